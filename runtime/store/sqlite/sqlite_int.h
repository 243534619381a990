/*
 * sqlite_int.h - the parts of the SQLite driver: connections, files, the write lease.
 *
 * Threads: a `file` is shared by all loops. A connection is used by one thread at a time and never
 * takes a mutex of its own: a reader belongs to its loop, a spare to who took it from the file, the
 * writer to who holds the file's lease (a unit of work on its loop, or the commit job in the pool).
 */
#ifndef AR_SQLITE_INT_H
#define AR_SQLITE_INT_H

#include "store/driver.h"

#include <pthread.h>
#include <sqlite3.h>

/* ---- conn.c: one connection and its prepared statements ---- */

#define CONN_BUCKETS 64

struct cached {
	sqlite3_stmt *h;
	uint64_t hash;
	size_t n;
	struct cached *chain;       /* of its bucket */
	struct cached *prev, *next; /* by use, the latest first */
	unsigned slow;  /* runs to go straight to a thread, after one was over the budget */
	unsigned pins;  /* places in the group's log that speak of it: it is not evicted */
	bool reads;     /* it changes nothing */
	bool rows_only; /* INSERT, UPDATE, DELETE: without a changed row it did nothing */
	char sql[];
};

struct conn {
	sqlite3 *h; /* NULL: closed */
	struct cached *buckets[CONN_BUCKETS], *first, *last;
	unsigned count;
	int64_t changed; /* rows, by the last conn_run, with what triggers and foreign keys did */
	/* What the progress handler looks at. */
	int64_t budget_us; /* 0: none */
	int64_t began_us;  /* of the statement; 0: the handler has not been called yet */
	int64_t deadline_ms;
	enum { STOP_NONE, STOP_BUDGET, STOP_DEADLINE } stopped;
};

enum conn_kind { CONN_READER, CONN_WRITER };

/* The file must be there. -1: nothing is open. Blocks. */
int sqlite_conn_open(struct conn *conn, const char *path, enum conn_kind kind);
void sqlite_conn_close(struct conn *conn);
int conn_prepare(struct conn *conn, const char *sql, struct cached **ret);

#define CONN_OVER_BUDGET 1
/* 0, -1, or CONN_OVER_BUDGET: the read was stopped and left nothing. */
int conn_query(struct conn *conn, struct cached *c, const struct ar_stmt *stmt, int64_t budget_us,
	       int64_t deadline_ms, struct ar_rows *ret);
/* A value as SQLite takes it: arrays and objects are their text. */
struct ar_cell conn_value(const struct ar_json *v, struct ar_pool *pool);
int conn_exec(struct conn *conn, struct cached *c, const struct ar_cell *values, size_t nvalues,
	      int64_t *ret_changed);
/* The same without its checks; SQLite's code, no error on the stack. */
int conn_run(struct conn *conn, struct cached *c, const struct ar_cell *values, size_t nvalues);
int conn_script(struct conn *conn, const char *sql); /* several statements, no values */
/* A constant without values or rows (BEGIN...); SQLite's code, no error on the stack. */
int conn_do(struct conn *conn, const char *sql);
int conn_fail(struct conn *conn, int rc, const char *sql);
bool conn_in_transaction(const struct conn *conn);

/* ---- gather.c: the log of writers is written in large pieces ---- */

#define GATHER_VFS "apprun"
int gather_register(void); /* SQLite's code; once SQLite is initialized */

/* ---- file.c: a database file, as the process sees it ---- */

struct unit;

/* Units that wait on one loop for a group's commit: its members, and witnesses (lease.c). */
struct slot {
	struct ar_loop *loop;
	struct ar_cond committed;
	unsigned waiting;
	bool done; /* set on the loop */
	const struct ar_err_def *failed;
	char why[256];
	struct slot *next;
};

struct group {
	unsigned units;
	int64_t began_us;
	bool lost; /* SQLite rolled the transaction back under it */
	struct slot *slots;
};

/* What the units of the open group did: undo.c. */
struct undo_log {
	char *p;
	size_t n, cap;
	unsigned statements;
	bool whole; /* nothing of the group is missing in it */
};

struct file {
	struct sqlite_store *store;
	struct file *next; /* in the store's list */
	char name[AR_DB_NAME_MAX + 1];
	char *path;
	unsigned refs; /* under store->lock */
	bool closing;

	_Atomic uint64_t commits; /* moves before a commit is acknowledged */

	pthread_mutex_t lock;      /* of what follows */
	struct unit *holder;       /* of the lease */
	struct unit *first, *last; /* who waits for it */
	bool committing;           /* the commit job has the writer */
	struct group group;
	struct conn *spares[2];

	/* The lease holder's or the commit job's. */
	struct conn writer;
	bool in_transaction;
	struct undo_log log;
	unsigned careful; /* groups to come whose units are guarded */
	bool sick;        /* a commit failed and its traces are still in the log */
	int wal_frames, checkpoint_at;
};

struct sqlite_store {
	struct ar_store *store;
	char *root; /* absolute path of the data folder */
	int lock_fd;
	pthread_mutex_t lock;
	pthread_cond_t closed;
	struct file *buckets[1024];
	unsigned files;
};

/* These block: call them in the offload pool. */
int file_ref(struct sqlite_store *store, struct ar_str name, struct file **ret);
void file_hold(struct file *file);  /* one more reference; the caller has one. Any thread */
void file_unref(struct file *file); /* the last one closes the writer, which checkpoints */
int file_open_writer(struct file *file);
int file_create(struct sqlite_store *store, struct ar_str name);
int file_drop(struct sqlite_store *store, struct ar_str name); /* waits until it is closed */
void file_wait_all(struct sqlite_store *store);                /* until every file is closed */
int file_spare_take(struct file *file, struct conn **ret);     /* a reader for a pool thread */
void file_spare_give(struct file *file, struct conn *conn);

/* ---- lease.c: whose turn it is to write ---- */

struct unit {
	struct ar_uow uow; /* first */
	struct file *file;
	struct ar_loop *loop;
	struct unit *next; /* in the queue */
	struct ar_cond turn;
	bool granted; /* under file->lock */
	bool arrived; /* on its loop: the lease is here */
	/* undo.c's */
	bool guarded;     /* it has a savepoint */
	bool wrote, read; /* it changed something; it saw what the group has not stored yet */
	size_t log_bytes; /* of the log when it began */
	unsigned log_statements;
};

AR_YIELDS int lease_begin(struct unit *unit);
AR_YIELDS int lease_commit(struct unit *unit);
AR_YIELDS void lease_rollback(struct unit *unit);
/* After a statement of the unit failed: is the transaction still there? */
void lease_check(struct unit *unit);
/* Before the loop waits, and before one of its handles is closed: commits what was gathered. */
void lease_turn_over(void);

/* ---- undo.c: one unit of a group is undone, the others are not ---- */

void undo_begin_group(struct file *file); /* its transaction has begun */
void undo_end_group(struct file *file);   /* it ended, whatever way */
void undo_free(struct file *file);
/* These return SQLite's code. Not SQLITE_OK: the unit is not what it should be, give it up. */
int undo_begin(struct unit *unit);
int undo_guard(struct unit *unit); /* before something that the log does not hold, or a savepoint */
int undo_keep(struct unit *unit);  /* the unit ends well */
int undo_unit(struct unit *unit);  /* it ends as if it had not been; else the group is lost */
/* A statement changed something: it can be run again; or only its effect is known. */
void undo_note(struct unit *unit, struct cached *statement, const struct ar_cell *values,
	       size_t nvalues);
void undo_note_unknown(struct unit *unit);

/* ---- driver.c ---- */

/* A loop's handle. */
struct sqlite_db {
	struct ar_db db; /* first */
	struct file *file;
	struct conn reader;
	/* snapshot.c's */
	bool reading;                  /* a read transaction is open */
	uint64_t seen;                 /* file->commits when it began */
	struct sqlite_db *prev, *next; /* of this loop, those that are reading */
	/* lease.c's */
	bool gathering; /* its file has a group that is committed when the loop's turn is over */
	struct sqlite_db *gather_next;
};

/* ---- snapshot.c ---- */

void snapshot_turn_over(void);          /* before the loop waits */
int snapshot_use(struct sqlite_db *db); /* before a read on db->reader; SQLite's code */
void snapshot_end(struct sqlite_db *db);

#endif
