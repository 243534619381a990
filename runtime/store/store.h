/*
 * store.h - the relational store: one database per tenant, units of work, rows.
 *
 * Two drivers stand behind it, with one suite for both (tests/drivers): SQLite (one file per
 * tenant) and PostgreSQL (one schema per tenant). SQL is the subset that both speak, with `?` for
 * every value; text of SQL is built from constants and the query builder, never from a client.
 *
 * A scope is what a caller holds: a tenant's database and, once something was written, a unit of
 * work. Reads before the first write see the last commit; reads after it see the unit's own writes.
 * A unit of work waits for the store and for nothing else: any other wait inside of it is a bug,
 * and ends a debug build. What ar_commit() acknowledged is on disk.
 *
 * Fibers of one loop share handles; nothing here may be passed to another thread.
 */
#ifndef AR_STORE_H
#define AR_STORE_H

#include "fiber/fiber.h"
#include "json/json.h"

struct ar_store; /* the process's store: where databases live and which driver serves them */
struct ar_db;    /* one database, as this loop sees it */
struct ar_uow;

enum ar_dialect { AR_SQLITE, AR_POSTGRES };

extern const struct ar_err_def AR_E_UNIQUE[1];    /* 409 store/unique: "constraint" names it */
extern const struct ar_err_def AR_E_REFERENCE[1]; /* 409 store/reference: foreign key */
extern const struct ar_err_def AR_E_BUSY[1];  /* 503 store/busy: no lease or connection in time */
extern const struct ar_err_def AR_E_STORE[1]; /* 500 store/failed: the driver's text in the log */
extern const struct ar_err_def AR_E_NO_DATABASE[1]; /* 404 store/no-database */

/* ---- the process ---- */

struct ar_migration {
	const char *name; /* "0001_users" */
	const char *sqlite,
		*postgres; /* statements; the same text where the common subset is enough */
};
struct ar_migration_set {
	const char *module;              /* recorded as module/name */
	const struct ar_migration *list; /* ends with a zero row */
};

struct ar_store_options {
	struct ar_str url;  /* empty or "sqlite:": files below data; "postgres://...": libpq's */
	struct ar_str data; /* folder, exists */
	int open_max;       /* handles kept open per loop (default 512) */
	int64_t idle_ms;    /* a handle unused for so long is closed (default 60,000) */
	int64_t read_budget_us; /* a read on the loop longer than this moves to a thread (5,000) */
	int64_t slow_ms;        /* statements over this are logged (100) */
	int pg_connections;     /* per loop (default 16) */
	const struct ar_migration_set
		*platform;                     /* for the platform's own database; ends with zero */
	const struct ar_migration_set *tenant; /* for every tenant's; ends with zero */
};

/* Before the loops run. -1 when the data folder or the server cannot be used. */
int ar_store_open(const struct ar_store_options *options, struct ar_store **ret);
void ar_store_close(struct ar_store *store); /* after the loops ended */
/*
 * For a server, before its loops use the store: nobody else serves these databases. AR_E_BUSY when
 * another process does (after 3 s, which a server that was just killed may need to be gone). Until
 * ar_store_close(). lost: another process took them while the database server could not be reached,
 * or had them for a while; on a thread of its own, once. Nothing of this one is stored then, open
 * units included.
 */
int ar_store_claim(struct ar_store *store, void (*lost)(void));
enum ar_dialect ar_store_dialect(const struct ar_store *store);

/* The loop's part: call on each loop's thread, inside a fiber for the second. */
void ar_store_attach(struct ar_store *store);
AR_YIELDS void ar_store_detach(struct ar_store *store); /* commits in flight end, handles close */

/* ---- databases ---- */

#define AR_PLATFORM_DB AR_STR("") /* the name of the platform's own database */
#define AR_DB_NAME_MAX 39
/* What a tenant's database, and so a tenant, may be called: of a-z, 0-9 and -, which is not first. */
bool ar_db_name_valid(struct ar_str name);

/* Names are [a-z0-9][a-z0-9-]{0,38}: checked by the caller (tenant room), asserted here. */
AR_YIELDS int ar_store_create(struct ar_store *store,
			      struct ar_str name); /* AR_E_CONFLICT: is there */
AR_YIELDS int ar_store_drop(struct ar_store *store, struct ar_str name); /* closes and deletes */
/*
 * A handle for this loop: opened on use, counted, migrated on its first opening in this process.
 * AR_E_NO_DATABASE when there is none. ar_db_release() lets it cool; it is closed when idle.
 */
AR_YIELDS int ar_db_acquire(struct ar_store *store, struct ar_str name, struct ar_db **ret);
void ar_db_release(struct ar_db *db);
struct ar_str ar_db_name(const struct ar_db *db);
enum ar_dialect ar_db_dialect(const struct ar_db *db);

/* ---- scopes ---- */

struct ar_scope {
	struct ar_db *db;
	struct ar_uow *uow;                   /* NULL until the first write */
	struct ar_pool *pool;                 /* rows and texts live here */
	struct ar_scope_hook *before, *after; /* of the next commit; the room's own */
};
void ar_scope_init(struct ar_scope *scope, struct ar_db *db, struct ar_pool *pool);

/* Values of a statement: AR_ARGS(AR_J_STR(id), AR_J_INT(n)). Arrays and objects bind as JSON text. */
#define AR_ARGS(...)                                                                               \
	(const struct ar_json[]){ __VA_ARGS__ },                                                   \
		(sizeof((const struct ar_json[]){ __VA_ARGS__ }) / sizeof(struct ar_json))
#define AR_NO_ARGS NULL, 0
/* Bytes, for BLOB and BYTEA columns. */
#define AR_J_BYTES(v) ((struct ar_json){ .type = AR_STRING, .count = AR_ARG_BYTES, .s = (v) })
#define AR_ARG_BYTES  0xB17E5u

/* Rows are complete when ar_query returns, so the fiber may wait between them. */
struct ar_rows {
	size_t count, columns;
	size_t at;          /* of the current row, 1-based after ar_rows_next */
	struct ar_row *row; /* the current one (driver.h) */
	struct ar_pool *pool;
}; /* a copy of the struct goes through the rows on its own */

AR_YIELDS int ar_query(struct ar_scope *scope, struct ar_rows *ret, const char *sql,
		       const struct ar_json *args, size_t nargs);
/* A query on rows that the unit of work will change: begins it, and locks the rows where the
 * dialect needs it (FOR UPDATE is added by the driver). */
AR_YIELDS int ar_query_lock(struct ar_scope *scope, struct ar_rows *ret, const char *sql,
			    const struct ar_json *args, size_t nargs);
/* A statement that writes; begins the unit of work when none is open. ret_changed may be NULL.
 * After AR_E_UNIQUE and the like the unit is still usable: the statement alone was undone. */
AR_YIELDS int ar_exec(struct ar_scope *scope, const char *sql, const struct ar_json *args,
		      size_t nargs, int64_t *ret_changed);
/* Statements that may take long (CREATE INDEX on a full table): run off the loop. No values. */
AR_YIELDS int ar_exec_long(struct ar_scope *scope, const char *sql);

bool ar_rows_next(struct ar_rows *rows);
bool ar_col_null(const struct ar_rows *rows, size_t column);
int64_t ar_col_int(const struct ar_rows *rows, size_t column); /* 0 for NULL; bools 0 or 1 */
double ar_col_float(const struct ar_rows *rows, size_t column);
struct ar_str ar_col_str(const struct ar_rows *rows, size_t column); /* lives as long as the pool */
struct ar_str ar_col_bytes(const struct ar_rows *rows, size_t column); /* BLOB and BYTEA */
enum ar_type ar_col_type(const struct ar_rows *rows,
			 size_t column); /* AR_BOOL on PostgreSQL only */
struct ar_json ar_col_value(const struct ar_rows *rows, size_t column); /* by its type */

/* ---- units of work ---- */

/* Begins the unit now (waits for the tenant's write lease). Nothing to do when one is open. */
AR_YIELDS int ar_begin(struct ar_scope *scope);
/*
 * Runs the before-commit hooks, commits, waits until it is on disk, runs the after-commit hooks.
 * Nothing to do without a unit. On -1 nothing of the unit is stored. Cancellation and deadlines do
 * not break a commit in flight.
 */
AR_YIELDS int ar_commit(struct ar_scope *scope);
/*
 * No-op without a unit. Keeps the error stack, once it is sure: an error that may speak of another
 * unit's rows waits until those are stored, and is AR_E_BUSY instead when they never were.
 */
AR_YIELDS void ar_rollback(struct ar_scope *scope);
/* Marks inside a unit, for steps that may fail alone. Strictly nested. */
AR_YIELDS int ar_savepoint(struct ar_scope *scope);
AR_YIELDS int ar_savepoint_keep(struct ar_scope *scope);
AR_YIELDS int ar_savepoint_undo(struct ar_scope *scope); /* keeps the error stack */

/* fn runs inside the unit, right before its commit, in order of registration; -1 rolls back. May
 * write. May be registered before the unit begins; without a unit it never runs. Hooks are dropped with a roll back. Memory for them comes from the scope's pool. */
int ar_before_commit(struct ar_scope *scope, int (*fn)(struct ar_scope *scope, void *arg),
		     void *arg);
/* fn runs in the same fiber once the commit is on disk; it may not fail. */
int ar_after_commit(struct ar_scope *scope, void (*fn)(void *arg), void *arg);

/* True while the calling fiber has a unit of work open: other rooms' waits assert on it. */
bool ar_in_unit(void);

struct ar_store_stats {
	uint64_t commits, units, statements, slow, lease_waits;
	uint64_t replays; /* transactions that were run again without a unit that failed (SQLite) */
	uint64_t open;    /* handles, now */
};
void ar_store_stats(struct ar_store *store, struct ar_store_stats *ret); /* any thread */

#endif
