/*
 * driver.h - what a database driver gives to the store, and what the store gives to it.
 *
 * The core owns everything that is the same for all databases: names, handles and their counting,
 * idle closing, scopes, hooks, migrations, the slow-statement log, statistics. A driver opens,
 * begins, runs, commits. Its structs begin with the core's (ar_db, ar_uow) and are allocated by the
 * core with the sizes in struct ar_store_ops, zeroed.
 *
 * The core promises: calls come on the loop's thread; one fiber at a time uses a unit; a database is
 * closed only when nobody holds it; begin, commit, rollback and savepoints come in a sound order,
 * and after commit or rollback, with whatever result, the unit is never used again.
 * A driver promises: on -1 there is an error on the stack; a failed statement alone is undone and
 * its unit stays usable (unless it sets uow->lost); rows are complete when it returns.
 */
#ifndef AR_STORE_DRIVER_H
#define AR_STORE_DRIVER_H

#include "store/store.h"

#include <stdatomic.h>

/* ---- what the core keeps ---- */

struct ar_store_counters {
	_Atomic uint64_t commits, units, statements, slow, lease_waits, replays, open;
};

struct ar_store {
	const struct ar_store_ops *ops;
	struct ar_store_options options; /* texts are the store's own, defaults are filled in */
	void *driver;                    /* of the whole process: set by ops->open */
	struct ar_store_counters count;
	struct ar_store_core *core; /* the core's own */
};

/* One loop's part of a store: its open handles. */
struct ar_store_loop {
	struct ar_store *store;
	struct ar_loop *loop;
	void *driver; /* set by ops->attach */
	struct ar_store_loop_core *core;
};

struct ar_db {
	struct ar_store_loop *home;
	struct ar_str name; /* in name_text; empty: the platform's */
	char name_text[AR_DB_NAME_MAX + 1];
	/* The rest is the core's. */
	struct ar_db *prev, *next; /* among the idle ones, longest idle first */
	struct ar_cond opened;
	int64_t idle_since_ms;
	unsigned refs;
	int state; /* enum db_state */
};

struct ar_uow {
	struct ar_db *db;
	bool lost; /* set by the driver: the transaction is gone, only a roll back may follow */
	/* The rest is the core's. */
	bool ended, forgotten; /* forgotten: its pool ends, roll back without a wait */
	struct ar_fiber *fiber;
	struct ar_uow *prev, *next; /* open units of this loop */
	unsigned savepoints;
	int64_t began_us;
};

/* ---- one statement ---- */

struct ar_stmt {
	const char *sql; /* with ? for every value */
	const struct ar_json *args;
	size_t nargs;
	bool lock;            /* ar_query_lock: add FOR UPDATE where the dialect has it */
	struct ar_pool *pool; /* for rows and for texts on the way */
};

/* Strings that are bytes (AR_J_BYTES) bind as BLOB or BYTEA, arrays and objects as JSON text. */
bool ar_stmt_is_bytes(const struct ar_json *arg);

/* ---- rows: one form for all drivers ---- */

struct ar_cell {
	uint8_t type;  /* enum ar_type: AR_NULL, AR_BOOL, AR_INT, AR_FLOAT, AR_STRING */
	uint8_t bytes; /* of AR_STRING: BLOB or BYTEA */
	uint32_t n;    /* of AR_STRING */
	union {
		bool b;
		int64_t i;
		double f;
		const char *p;
	};
};

struct ar_row {
	struct ar_row *next;
	struct ar_cell cells[]; /* ar_rows.columns of them */
};

/* Fills a struct ar_rows from nothing. Works on any thread that has the pool to itself. */
struct ar_rows_builder {
	struct ar_rows *rows;
	struct ar_row *last;
	size_t bytes;
};
void ar_rows_begin(struct ar_rows_builder *builder, struct ar_rows *rows, struct ar_pool *pool,
		   size_t columns);
/* One more row with room for text_bytes of all its strings together, in one block. NULL and
 * AR_E_TOO_LARGE when the result grows over AR_ROWS_BYTES_MAX. */
#define AR_ROWS_BYTES_MAX ((size_t)64 << 20)
struct ar_row *ar_rows_append(struct ar_rows_builder *builder, size_t text_bytes, char **ret_text);
/* One more row, like `cells`, whose strings are copied. -1 as above. */
int ar_rows_copy(struct ar_rows_builder *builder, const struct ar_cell *cells);

/* ---- the driver ---- */

enum ar_savepoint_op { AR_SAVEPOINT_SET, AR_SAVEPOINT_KEEP, AR_SAVEPOINT_UNDO };

enum ar_store_cap {
	AR_CAP_SERVER = 1 << 0, /* other processes may use the same databases */
	AR_CAP_GROUP_COMMIT =
		1 << 1, /* units of one database are run one by one, committed together */
	AR_CAP_ROW_LOCKS = 1 << 2, /* units of one database run side by side */
};

struct ar_store_ops {
	const char *name;
	enum ar_dialect dialect;
	unsigned caps; /* enum ar_store_cap */
	size_t db_size, uow_size;

	/* Process: before the loops; outside of fibers. */
	int (*open)(struct ar_store *store);
	void (*close)(struct ar_store *store);
	/* May be NULL: opening it is enough. Ends with close. */
	int (*claim)(struct ar_store *store, void (*lost)(void));
	/* Loop: may be NULL. detach comes when every db of the loop was closed with db_close. */
	void (*attach)(struct ar_store_loop *loop);
	AR_YIELDS void (*detach)(struct ar_store_loop *loop);

	/* AR_E_CONFLICT when it is there, AR_E_NO_DATABASE when it is not. drop is called when this
	 * process has no handle of it any more. The platform's database is made by the first db_open. */
	AR_YIELDS int (*create)(struct ar_store *store, struct ar_str name);
	AR_YIELDS int (*drop)(struct ar_store *store, struct ar_str name);

	/* db->home and db->name are set. After a db_open that failed, db_close does not follow. */
	AR_YIELDS int (*db_open)(struct ar_db *db);
	/* Frees what db_open made, not the struct. When it returns the database may be opened again,
	 * or dropped. Ignores cancellation. */
	AR_YIELDS void (*db_close)(struct ar_db *db);

	/* uow NULL: reads the last commit (a statement that writes is AR_E_STORE). */
	AR_YIELDS int (*query)(struct ar_db *db, struct ar_uow *uow, const struct ar_stmt *stmt,
			       struct ar_rows *ret);
	AR_YIELDS int (*exec)(struct ar_uow *uow, const struct ar_stmt *stmt, int64_t *ret_changed);
	/* One or more statements, separated by semicolons, without values; off the loop. */
	AR_YIELDS int (*exec_long)(struct ar_uow *uow, const char *sql);

	/* uow->db is set. On -1 (AR_E_BUSY, AR_E_DEADLINE, AR_E_CANCELLED...) nothing is held. */
	AR_YIELDS int (*begin)(struct ar_uow *uow);
	/* Durable when it returns 0. Ignores cancellation once begun. */
	AR_YIELDS int (*commit)(struct ar_uow *uow);
	/* Keeps the error stack; but where that may come from rows which were then not stored, it is
	 * AR_E_BUSY afterwards. */
	AR_YIELDS void (*rollback)(struct ar_uow *uow);
	AR_YIELDS int (*savepoint)(struct ar_uow *uow, enum ar_savepoint_op op);
};

/*
 * Errors that both drivers name alike. AR_E_UNIQUE has "constraint": the columns, joined by commas
 * ("email", "owner,name"), or the name of the index when the driver is told no columns.
 */
extern const struct ar_store_ops ar_store_sqlite, ar_store_postgres;

#endif
