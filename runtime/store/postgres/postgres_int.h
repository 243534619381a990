/*
 * postgres_int.h - the parts of the PostgreSQL driver: connections, batches, the loop's pool, units.
 *
 * Everything here belongs to one loop; only connecting and cancelling, which block, run in the
 * offload pool. A batch is what goes to the server in one write and is answered in one go: most
 * statements cost one round trip, with what must come before them (search path, BEGIN, savepoint,
 * preparing) in front.
 */
#ifndef AR_POSTGRES_INT_H
#define AR_POSTGRES_INT_H

#include "store/driver.h"

#include <libpq-fe.h>

#define SCHEMA_MAX 48 /* "t_" and a database's name */

/* ---- sql.c ---- */

/* `?` to $1, $2...; what stands in quotes and comments is left alone. In pool. */
char *pg_sql_translate(struct ar_pool *pool, const char *sql, bool lock, unsigned *ret_places);

/* ---- value.c ---- */

struct params {
	int n;
	const char **values;
	int *lengths, *formats;
};
int pg_params_make(const struct ar_stmt *stmt, struct params *ret);
int pg_rows_make(const PGresult *result, struct ar_pool *pool, struct ar_rows *ret);

/* ---- error.c ---- */

bool pg_result_is(const PGresult *result, const char *sqlstate);
int pg_result_fail(const PGresult *result, const char *sql); /* -1, with the error set */

/* ---- conn.c ---- */

struct prepared {
	char name[16];
	unsigned places; /* values it takes */
};

struct conn {
	PGconn *h;
	int fd;
	struct conn *prev, *next; /* among the idle ones, the latest first */
	char schema[SCHEMA_MAX];  /* what its search path is set to; "" is none */
	struct ar_map *prepared;  /* by schema and text */
	unsigned names;
	bool used;   /* it has answered before: a failure may be old */
	bool dead;   /* to be closed, not used again */
	bool forget; /* the server still has statements that were dropped here */
	int64_t idle_since_ms;
};

/* The server ends the session of who is out of reach after 25 s. */
#define PG_KEEPALIVE                                                                               \
	"SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;"                           \
	" SET tcp_keepalives_count = 3; SET tcp_user_timeout = 25000;"

PGconn *pg_connect(const char *url); /* never NULL; look at its status. Blocks */
/* False: there is no answer. ret is its first value. Blocks. */
bool pg_ask(PGconn *h, const char *sql, char *ret, size_t cap);
/* One that may write only as long as the store's claim is its own. Blocks: in the pool, or at start. */
int pg_conn_open(const struct ar_store *store, struct conn **ret);
void pg_conn_close(struct conn *conn); /* on its loop */
bool pg_conn_alive(struct conn *conn); /* an idle one: has the server left? */
void pg_conn_trim(struct conn *conn);  /* drops statements when there are too many */

/* How a statement will be run on a connection: nothing is sent yet. */
struct plan {
	struct prepared *prepared;
	struct ar_str key;
	const char *sql; /* to be prepared first; NULL when it is */
	struct params params;
};
/* -1: the values do not fit. The plan must be queued, or dropped, before the next is made. */
int pg_plan_make(struct conn *conn, const char *schema, const struct ar_stmt *stmt,
		 struct plan *ret);

enum step_kind { STEP_COMMAND, STEP_PREPARE, STEP_MAIN, STEP_XID, STEP_SYNC };
#define STEPS_MAX 32

struct batch {
	struct conn *conn;
	enum step_kind steps[STEPS_MAX];
	size_t nsteps;
	const struct plan *preparing;
	PGresult *result; /* of the main statement, or of the last command */
	PGresult *xid;
	PGresult *error;   /* the first one */
	size_t bytes;      /* of answers, about; 0 while they are few */
	uint64_t received; /* by the connection, when counting began */
	unsigned reads;
	bool unsent;   /* something could not be queued */
	bool given_up; /* the fiber was cancelled; the statement was asked to stop */
};
void pg_batch_begin(struct batch *batch, struct conn *conn);
void pg_batch_end(struct batch *batch); /* frees results */
void pg_batch_command(struct batch *batch, const char *sql);
void pg_batch_schema(struct batch *batch, const char *schema); /* when it is another one */
void pg_batch_ask(struct batch *batch, const char *sql, const char *value); /* one value, $1 */
void pg_batch_plan(struct batch *batch, const struct plan *plan);
void pg_batch_xid(struct batch *batch); /* asks for the transaction's id, if it has one */
/* Sends and waits for every answer. 0: all is well; -1: an error is set, and conn->dead when the
 * connection is gone. */
AR_YIELDS int pg_batch_run(struct batch *batch, const char *sql);
/* One text with any number of statements, no values. */
AR_YIELDS int pg_conn_script(struct conn *conn, const char *sql);
/* The plan of this statement is not valid any more: the next use prepares it anew. */
void pg_conn_forget(struct conn *conn, const char *schema, const struct ar_stmt *stmt);
bool pg_batch_plan_is_stale(const struct batch *batch);

/* ---- claim.c: one server at a time ---- */

#define PG_PLATFORM_SCHEMA "apprun"
#define PG_HOLDER          PG_PLATFORM_SCHEMA ".ar_holder" /* one row: the token of who had it last */
#define PG_CLAIM_KEY       "107135550780782" /* "apprun" as bytes; a number that nobody else locks */
#define PG_FENCE_KEY       "107135550780783"

/* Those who have that lock, among pg_locks l. Advisory locks belong to a database. */
#define PG_LOCKED(key)                                                                             \
	"l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"                                 \
	" AND (l.classid::bigint << 32 | l.objid::bigint) = " key                                  \
	" AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d"                            \
	" WHERE d.datname = pg_catalog.current_database())"
/* One of them, for people. */
#define PG_WHO(key)                                                                                \
	"SELECT pg_catalog.format('session %s of %s, since %s', a.pid,"                            \
	" coalesce(pg_catalog.host(a.client_addr), 'this machine'),"                               \
	" pg_catalog.to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'))"                        \
	" FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"               \
	" WHERE " PG_LOCKED(key)

int pg_claim(struct ar_store *store, void (*lost)(void)); /* blocks */
void pg_claim_end(struct ar_store *store);                /* when there is none, too */
int pg_claim_check(const struct ar_store *store);         /* AR_E_BUSY while it is not held */
const char *pg_claim_token(const struct ar_store *store); /* NULL without a claim */

/* ---- fence.c: nothing of an earlier holder is stored ---- */

/* All block. */
int pg_fence_enter(PGconn *h, const char *token); /* AR_E_BUSY: the token is not the last one */
int pg_fence_close(PGconn *h, const char *url);   /* AR_E_BUSY: somebody stays inside */
int pg_fence_open(PGconn *h);

/* ---- pool.c: the connections of one loop ---- */

struct pg_loop {
	struct ar_store_loop *home;
	struct conn *first;                  /* idle */
	int total, in_units;                 /* connections; those that units hold */
	struct ar_cond for_reads, for_units; /* who waits for one */
	struct ar_fiber *sweeper;
	struct ar_cond sweep;
	bool ending;
};
AR_YIELDS int pg_pool_take(struct pg_loop *loop, const char *schema, bool unit, struct conn **ret);
void pg_pool_give(struct pg_loop *loop, struct conn *conn, bool unit);
void pg_pool_attach(struct ar_store_loop *home);
AR_YIELDS void pg_pool_detach(struct ar_store_loop *home);
extern _Thread_local struct pg_loop *pg_here; /* this thread's */

/* ---- unit.c ---- */

struct pg_db {
	struct ar_db db; /* first */
	char schema[SCHEMA_MAX];
};

#define PENDING_MAX 12

struct unit {
	struct ar_uow uow; /* first */
	struct pg_loop *loop;
	struct conn *conn;
	/* Commands that the next batch sends first: they need no answer of their own. */
	char pending[PENDING_MAX][32];
	size_t npending;
	/* The savepoint around each statement, so that it can fail alone. */
	enum { MARK_NONE, MARK_FRESH, MARK_USED } mark;
	bool begun;   /* the server has answered to something of it */
	char xid[24]; /* of the transaction, once it has written; or empty */
};
AR_YIELDS int pg_unit_begin(struct ar_uow *uow);
AR_YIELDS int pg_unit_query(struct unit *unit, const struct ar_stmt *stmt, struct ar_rows *ret_rows,
			    int64_t *ret_changed);
AR_YIELDS int pg_unit_script(struct ar_uow *uow, const char *sql);
AR_YIELDS int pg_unit_savepoint(struct ar_uow *uow, enum ar_savepoint_op op);
AR_YIELDS int pg_unit_commit(struct ar_uow *uow);
AR_YIELDS void pg_unit_rollback(struct ar_uow *uow);

const char *pg_schema_of(const struct ar_db *db);

#endif
