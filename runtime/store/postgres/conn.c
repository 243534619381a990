/*
 * conn.c - one connection: opening it, batches of commands in pipeline mode, prepared statements.
 *
 * A batch is queued, sent with one Sync at its end, and its answers are read in order. After an
 * error the server skips to the Sync, so every step has an answer. A fiber whose deadline passes
 * while it waits asks the server to cancel (in the pool: libpq's call blocks), and reads on until
 * the answers are there, so that the connection stays usable; one that does not answer is dropped.
 *
 * Prepared statements are kept per schema: the same text means other tables in another schema, and
 * the server would plan it again at each change.
 */
#include "store/postgres/postgres_int.h"

#include <assert.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define PREPARED_MAX    400
#define GIVE_UP_MS      2000 /* for a cancelled statement to end */
#define CONNECT_WAIT_S  "10"
#define READS_UNCOUNTED 8
#define READ_LEAST      8192 /* the room that libpq makes for one */

/* The session is read-only outside of units, so that a read cannot write by mistake; a commit is
 * on disk when it is acknowledged, unless the server is set to wait for more than that. */
static const char session[] =
	"SET default_transaction_read_only = on; SET default_transaction_isolation = 'read "
	"committed';"
	"SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';"
	"SET statement_timeout = 0; SET standard_conforming_strings = on; SET bytea_output = 'hex';"
	"SET extra_float_digits = 1; SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC';"
	"SET search_path = '';" PG_KEEPALIVE " SELECT set_config('synchronous_commit', 'on', false)"
	" WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');";
#define XID_NAME   "apprun_xid"
#define XID_SQL    "PREPARE " XID_NAME " AS SELECT pg_catalog.txid_current_if_assigned()"
#define FORGET_ALL "DEALLOCATE ALL"

/* ---- opening and closing ---- */

static void no_notice(void *arg, const char *message)
{
}

PGconn *pg_connect(const char *url)
{
	/* What the url says overrides what stands before it. */
	const char *const names[] = { "connect_timeout",
				      "application_name",
				      "keepalives_idle",
				      "keepalives_interval",
				      "keepalives_count",
				      "tcp_user_timeout",
				      "dbname",
				      "client_encoding",
				      NULL };
	const char *const values[] = { CONNECT_WAIT_S, "apprun", "30",   "10", "3",
				       "30000",        url,      "UTF8", NULL };

	PGconn *h = PQconnectdbParams(names, values, 1);

	PQsetNoticeProcessor(h, no_notice, NULL);
	return h;
}

bool pg_ask(PGconn *h, const char *sql, char *ret, size_t cap)
{
	PGresult *result = PQexec(h, sql);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0;

	if (ok)
		snprintf(ret, cap, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return ok;
}

static int session_set(PGconn *h, const char *sql)
{
	PGresult *result = PQexec(h, sql);
	ExecStatusType status = PQresultStatus(result);
	int rc = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		rc = pg_result_fail(result, "session");
	PQclear(result);
	return rc;
}

int pg_conn_open(const struct ar_store *store, struct conn **ret)
{
	const char *token = pg_claim_token(store);
	struct conn *conn;
	PGconn *h = pg_connect(store->options.url.p);

	if (PQstatus(h) != CONNECTION_OK) {
		ar_fail_why(AR_E_BUSY, "cannot connect: %s", PQerrorMessage(h));
		PQfinish(h);
		return -1;
	}
	if (session_set(h, session) != 0 || session_set(h, XID_SQL) != 0 ||
	    (token != NULL && pg_fence_enter(h, token) != 0)) {
		PQfinish(h);
		return -1;
	}
	if (PQsetnonblocking(h, 1) != 0 || PQenterPipelineMode(h) != 1) {
		ar_fail_why(AR_E_STORE, "pipeline mode: %s", PQerrorMessage(h));
		PQfinish(h);
		return -1;
	}
	conn = ar_heap_new(struct conn);
	conn->h = h;
	conn->fd = PQsocket(h);
	conn->prepared = ar_map_new();
	*ret = conn;
	return 0;
}

void pg_conn_close(struct conn *conn)
{
	if (conn == NULL)
		return;
	if (conn->fd >= 0)
		ar_fd_forget(conn->fd);
	PQfinish(conn->h);
	ar_map_free(conn->prepared, ar_heap_free);
	ar_heap_free(conn);
}

bool pg_conn_alive(struct conn *conn)
{
	struct pollfd p = { .fd = conn->fd, .events = POLLIN };
	char kind;

	if (conn->dead || PQstatus(conn->h) != CONNECTION_OK)
		return false;
	if (poll(&p, 1, 0) <= 0)
		return true;
	/* An idle server speaks up to tell a changed setting, or to say good-bye; under TLS one
	 * cannot see which. */
	if (PQsslInUse(conn->h) || recv(conn->fd, &kind, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return false;
	return kind == 'S' || kind == 'N' || kind == 'A';
}

/* ---- prepared statements ---- */

static struct ar_str prepared_key(struct ar_pool *pool, const char *schema,
				  const struct ar_stmt *stmt)
{
	struct ar_str space = ar_str(schema), text = ar_str(stmt->sql);
	char *key = ar_alloc(pool, space.n + text.n + 2);

	memcpy(key, space.p, space.n);
	key[space.n] = stmt->lock ? '!' : ' ';
	memcpy(key + space.n + 1, text.p, text.n);
	return ar_str_n(key, space.n + text.n + 1);
}

void pg_conn_forget(struct conn *conn, const char *schema, const struct ar_stmt *stmt)
{
	ar_heap_free(ar_map_remove(conn->prepared, prepared_key(stmt->pool, schema, stmt)));
}

void pg_conn_trim(struct conn *conn)
{
	if (ar_map_count(conn->prepared) <= PREPARED_MAX)
		return;
	ar_map_free(conn->prepared, ar_heap_free);
	conn->prepared = ar_map_new();
	conn->forget = true;
}

int pg_plan_make(struct conn *conn, const char *schema, const struct ar_stmt *stmt,
		 struct plan *ret)
{
	struct prepared *p;
	unsigned places;

	*ret = (struct plan){ .key = prepared_key(stmt->pool, schema, stmt) };
	p = ar_map_get(conn->prepared, ret->key);
	if (p == NULL)
		ret->sql = pg_sql_translate(stmt->pool, stmt->sql, stmt->lock, &places);
	else
		places = p->places;
	if (places != stmt->nargs)
		return ar_fail_why(AR_E_STORE, "%zu values for %u places: %.300s", stmt->nargs,
				   places, stmt->sql);
	if (pg_params_make(stmt, &ret->params) != 0)
		return -1;
	if (p == NULL) {
		p = ar_heap_new(struct prepared);
		p->places = places;
		snprintf(p->name, sizeof(p->name), "p%u", ++conn->names);
		ar_map_set(conn->prepared, ret->key, p);
	}
	ret->prepared = p;
	return 0;
}

/* ---- queueing ---- */

void pg_batch_begin(struct batch *batch, struct conn *conn)
{
	memset(batch, 0, sizeof(*batch));
	batch->conn = conn;
}

void pg_batch_end(struct batch *batch)
{
	PQclear(batch->result);
	PQclear(batch->xid);
	PQclear(batch->error);
	batch->result = batch->xid = batch->error = NULL;
}

static void batch_add(struct batch *batch, enum step_kind kind, int queued)
{
	assert(batch->nsteps < STEPS_MAX);
	if (queued == 1)
		batch->steps[batch->nsteps++] = kind;
	else
		batch->unsent = true;
}

void pg_batch_command(struct batch *batch, const char *sql)
{
	batch_add(batch, STEP_COMMAND,
		  PQsendQueryParams(batch->conn->h, sql, 0, NULL, NULL, NULL, NULL, 0));
}

/* What comes before is committed by itself, so that a later failure does not undo it. */
static void batch_sync(struct batch *batch)
{
	batch_add(batch, STEP_SYNC, PQpipelineSync(batch->conn->h));
}

void pg_batch_schema(struct batch *batch, const char *schema)
{
	struct conn *conn = batch->conn;
	char sql[SCHEMA_MAX + 32];

	if (conn->forget) {
		pg_batch_command(batch, FORGET_ALL);
		pg_batch_command(batch, XID_SQL);
		batch_sync(batch);
		conn->forget = false;
	}
	if (strcmp(conn->schema, schema) == 0)
		return;
	/* Names hold [a-z0-9_-] only: there is nothing to escape. */
	snprintf(sql, sizeof(sql), "SET search_path = \"%s\"", schema);
	pg_batch_command(batch, sql);
	batch_sync(batch);
	snprintf(conn->schema, sizeof(conn->schema), "%s", schema);
}

void pg_batch_plan(struct batch *batch, const struct plan *plan)
{
	PGconn *h = batch->conn->h;

	if (plan->sql != NULL) {
		batch->preparing = plan;
		batch_add(batch, STEP_PREPARE,
			  PQsendPrepare(h, plan->prepared->name, plan->sql, 0, NULL));
	}
	batch_add(batch, STEP_MAIN,
		  PQsendQueryPrepared(h, plan->prepared->name, plan->params.n, plan->params.values,
				      plan->params.lengths, plan->params.formats, 0));
}

void pg_batch_ask(struct batch *batch, const char *sql, const char *value)
{
	batch_add(batch, STEP_MAIN,
		  PQsendQueryParams(batch->conn->h, sql, 1, NULL, &value, NULL, NULL, 0));
}

void pg_batch_xid(struct batch *batch)
{
	batch_add(batch, STEP_XID,
		  PQsendQueryPrepared(batch->conn->h, XID_NAME, 0, NULL, NULL, NULL, 0));
}

/* ---- waiting ---- */

static int cancel_job(void *arg)
{
	char why[256];

	/* When it does not arrive, the time limit of giving up ends the connection. */
	PQcancel(arg, why, sizeof(why));
	return 0;
}

static AR_YIELDS void conn_cancel(struct conn *conn)
{
	PGcancel *cancel = PQgetCancel(conn->h);

	if (cancel == NULL)
		return;
	if (ar_offload(AR_OFFLOAD_IO, cancel_job, cancel) != 0)
		ar_err_clear();
	PQfreeCancel(cancel);
}

static int conn_lost(struct conn *conn)
{
	conn->dead = true;
	return -1;
}

/* Waits for the socket. The fiber's own end makes the server stop the statement, once; then the
 * wait goes on under a shield, for a limited time. */
static AR_YIELDS int batch_wait(struct batch *batch, int what)
{
	struct conn *conn = batch->conn;
	int ready = ar_wait_fd(conn->fd, what, batch->given_up ? GIVE_UP_MS : -1);

	if (ready > 0)
		return ready;
	if (batch->given_up)
		return conn_lost(conn);
	batch->given_up = true;
	ar_shield(true);
	conn_cancel(conn);
	return 0;
}

/*
 * Bounds what a result may make libpq hold, which keeps it whole: by what the connection has
 * received, as the kernel counts it; for a Unix socket by the least that a read takes. The first
 * reads are not worth the question.
 */
static int batch_bounded(struct batch *batch)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);

	if (++batch->reads <= READS_UNCOUNTED)
		return 0;
	if (getsockopt(batch->conn->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
	    info.tcpi_bytes_received == 0) {
		batch->bytes += READ_LEAST;
	} else {
		if (batch->received == 0)
			batch->received = info.tcpi_bytes_received;
		batch->bytes = info.tcpi_bytes_received - batch->received;
	}
	return batch->bytes > AR_ROWS_BYTES_MAX ? conn_lost(batch->conn) : 0;
}

static AR_YIELDS int batch_read(struct batch *batch)
{
	int ready;

	do
		ready = batch_wait(batch, AR_READ);
	while (ready == 0);
	if (ready < 0 || batch_bounded(batch) != 0)
		return -1;
	return PQconsumeInput(batch->conn->h) == 1 ? 0 : conn_lost(batch->conn);
}

static AR_YIELDS int batch_flush(struct batch *batch)
{
	PGconn *h = batch->conn->h;
	int left;

	/* The server may have to be read before it takes more. */
	while ((left = PQflush(h)) == 1) {
		int ready = batch_wait(batch, AR_READ | AR_WRITE);

		if (ready < 0)
			return -1;
		if ((ready & AR_READ) && PQconsumeInput(h) != 1)
			return conn_lost(batch->conn);
	}
	return left == 0 ? 0 : conn_lost(batch->conn);
}

/* ---- answers ---- */

/* Was the statement prepared? If not, it is not to be used again. */
static void batch_prepared(struct batch *batch, bool well)
{
	if (batch->preparing != NULL && !well)
		ar_heap_free(ar_map_remove(batch->conn->prepared, batch->preparing->key));
	batch->preparing = NULL;
}

/* Keeps what is of interest, frees the rest. */
static void batch_result(struct batch *batch, size_t step, PGresult *result)
{
	enum step_kind kind = batch->steps[step];
	PGresult **keep = NULL;

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (kind == STEP_PREPARE)
			batch_prepared(batch, true);
		keep = kind == STEP_XID       ? &batch->xid
		       : kind == STEP_PREPARE ? NULL
					      : &batch->result;
		break;
	case PGRES_PIPELINE_ABORTED:
		break;
	case PGRES_FATAL_ERROR:
		keep = batch->error == NULL ? &batch->error : NULL;
		break;
	default: /* COPY and its like: nothing here speaks that */
		batch->conn->dead = true;
		break;
	}
	if (keep != NULL) {
		PQclear(*keep);
		*keep = result;
	} else {
		PQclear(result);
	}
}

static AR_YIELDS int batch_collect(struct batch *batch)
{
	struct conn *conn = batch->conn;
	size_t step = 0;

	while (step < batch->nsteps) {
		PGresult *result;

		while (PQisBusy(conn->h)) {
			if (batch_read(batch) != 0)
				return -1;
		}
		result = PQgetResult(conn->h);
		if (result == NULL) { /* the end of one command's */
			if (PQstatus(conn->h) != CONNECTION_OK)
				return conn_lost(conn);
			step++;
		} else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			step++;
		} else {
			batch_result(batch, step, result);
			if (conn->dead || PQstatus(conn->h) != CONNECTION_OK)
				return conn_lost(conn);
		}
	}
	return 0;
}

static int batch_outcome(struct batch *batch, const char *sql)
{
	struct conn *conn = batch->conn;

	if (batch->given_up) {
		ar_shield(false);
		/* Also when it ended just before: the caller undoes what it may have done. */
		if (ar_check() != 0)
			return -1;
	}
	if (batch->bytes > AR_ROWS_BYTES_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "result");
	if (batch->error != NULL && PQresultErrorField(batch->error, PG_DIAG_SQLSTATE) != NULL)
		return pg_result_fail(batch->error, sql);
	if (conn->dead || batch->error != NULL) {
		conn->dead = true;
		return ar_fail_why(AR_E_BUSY, "the connection was lost: %s",
				   PQerrorMessage(conn->h));
	}
	conn->used = true;
	return 0;
}

int pg_batch_run(struct batch *batch, const char *sql)
{
	struct conn *conn = batch->conn;

	batch_sync(batch);
	if (batch->unsent)
		conn->dead = true;
	else if (batch_flush(batch) == 0)
		batch_collect(batch);
	batch_prepared(batch, false); /* its answer never came */
	return batch_outcome(batch, sql);
}

bool pg_batch_plan_is_stale(const struct batch *batch)
{
	/* "cached plan must not change result type", or the statement is not there */
	return pg_result_is(batch->error, "0A000") || pg_result_is(batch->error, "26000");
}

/* ---- scripts ---- */

int pg_conn_script(struct conn *conn, const char *sql)
{
	struct batch batch;
	int rc;

	pg_batch_begin(&batch, conn);
	if (PQexitPipelineMode(conn->h) != 1 || PQsendQuery(conn->h, sql) != 1) {
		conn->dead = true;
	} else if (batch_flush(&batch) == 0) {
		/* One NULL comes, after the results of all its statements. */
		batch.steps[0] = STEP_COMMAND;
		batch.nsteps = 1;
		batch_collect(&batch);
		if (!conn->dead && PQenterPipelineMode(conn->h) != 1)
			conn->dead = true;
	}
	rc = batch_outcome(&batch, sql);
	pg_batch_end(&batch);
	return rc;
}
