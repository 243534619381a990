/*
 * unit.c - a unit of work: one transaction on one connection.
 *
 * An error ends a PostgreSQL transaction, but here a statement fails alone: each runs behind a
 * savepoint of its own, sent in the same batch. BEGIN, savepoints and their ends are not waited for;
 * they go in front of the next statement, so a unit of one statement takes two round trips, the
 * second of which is the COMMIT.
 *
 * When the connection is lost while the COMMIT is on its way, nobody knows whether it happened: the
 * transaction's id, fetched with the first statement that wrote, answers that on a new connection.
 */
#include "store/postgres/postgres_int.h"

#include <assert.h>
#include <stdio.h>

#define OUTCOME_WAIT_MS 20000 /* for the server to answer again, and to end the old session */
#define OUTCOME_PAUSE   100

static void pending_add(struct unit *unit, const char *sql)
{
	assert(unit->npending < PENDING_MAX);
	snprintf(unit->pending[unit->npending++], sizeof(unit->pending[0]), "%s", sql);
}

static const char *schema(const struct unit *unit)
{
	return pg_schema_of(unit->uow.db);
}

/* ---- the connection ---- */

int pg_unit_begin(struct ar_uow *uow)
{
	struct unit *unit = (struct unit *)uow;

	unit->loop = uow->db->home->driver;
	if (pg_claim_check(uow->db->home->store) != 0)
		return -1;
	if (pg_pool_take(unit->loop, schema(unit), true, &unit->conn) != 0)
		return -1;
	pending_add(unit, "BEGIN READ WRITE");
	return 0;
}

static void unit_give(struct unit *unit)
{
	pg_pool_give(unit->loop, unit->conn, true);
	unit->conn = NULL;
}

/* An idle connection turned out to be closed, and nothing of the unit has happened yet. */
static bool unit_may_move(const struct unit *unit)
{
	return unit->conn->dead && unit->conn->used && !unit->begun;
}

/* Then it goes on with another. */
static AR_YIELDS bool unit_moves(struct unit *unit)
{
	if (!unit_may_move(unit))
		return false;
	unit_give(unit);
	if (pg_pool_take(unit->loop, schema(unit), true, &unit->conn) == 0)
		return true;
	unit->uow.lost = true;
	return false;
}

/* ---- statements ---- */

static void batch_open(struct batch *batch, struct unit *unit)
{
	pg_batch_begin(batch, unit->conn);
	if (!unit->begun)
		pg_batch_schema(batch, schema(unit));
	for (size_t i = 0; i < unit->npending; i++)
		pg_batch_command(batch, unit->pending[i]);
}

static void batch_mark(struct batch *batch, struct unit *unit)
{
	if (unit->mark == MARK_USED)
		pg_batch_command(batch, "RELEASE SAVEPOINT s");
	if (unit->mark != MARK_FRESH)
		pg_batch_command(batch, "SAVEPOINT s");
}

/* The last statement is to be undone. */
static void unit_undo(struct unit *unit)
{
	unit->mark = MARK_FRESH;
	unit->npending = 0;
	pending_add(unit, "ROLLBACK TO SAVEPOINT s");
}

/* What the answers mean for the unit. */
static void unit_after(struct unit *unit, const struct batch *batch, int rc)
{
	if (unit_may_move(unit))
		return;
	if (unit->conn->dead || PQtransactionStatus(unit->conn->h) == PQTRANS_IDLE) {
		unit->uow.lost = true;
		return;
	}
	unit->begun = true;
	unit->npending = 0;
	unit->mark = MARK_USED;
	if (rc != 0)
		unit_undo(unit);
	else if (batch->xid != NULL && PQntuples(batch->xid) == 1 && !PQgetisnull(batch->xid, 0, 0))
		snprintf(unit->xid, sizeof(unit->xid), "%s", PQgetvalue(batch->xid, 0, 0));
}

static AR_YIELDS int statement_once(struct unit *unit, struct batch *batch,
				    const struct ar_stmt *stmt)
{
	struct plan plan;
	int rc;

	pg_batch_begin(batch, unit->conn);
	if (pg_plan_make(unit->conn, schema(unit), stmt, &plan) != 0)
		return -1;
	batch_open(batch, unit);
	batch_mark(batch, unit);
	pg_batch_plan(batch, &plan);
	if (unit->xid[0] == '\0')
		pg_batch_xid(batch);
	rc = pg_batch_run(batch, stmt->sql);
	unit_after(unit, batch, rc);
	return rc;
}

int pg_unit_query(struct unit *unit, const struct ar_stmt *stmt, struct ar_rows *ret_rows,
		  int64_t *ret_changed)
{
	bool again = true;
	int rc = -1;

	for (int attempt = 0; again && attempt < 2; attempt++) {
		struct batch batch;

		rc = statement_once(unit, &batch, stmt);
		if (rc == 0 && ret_rows != NULL) {
			rc = pg_rows_make(batch.result, stmt->pool, ret_rows);
			if (rc != 0)
				unit_undo(unit);
		}
		if (rc == 0 && ret_changed != NULL)
			ar_str_int(ar_str(PQcmdTuples(batch.result)), ret_changed);
		again = rc != 0 && !unit->conn->dead && pg_batch_plan_is_stale(&batch);
		if (again)
			pg_conn_forget(unit->conn, schema(unit), stmt);
		pg_batch_end(&batch);
		again = again || (rc != 0 && unit_moves(unit));
	}
	return rc;
}

int pg_unit_script(struct ar_uow *uow, const char *sql)
{
	struct unit *unit = (struct unit *)uow;
	struct batch batch;
	int rc;

	do {
		batch_open(&batch, unit);
		batch_mark(&batch, unit);
		rc = pg_batch_run(&batch, "SAVEPOINT");
		unit_after(unit, &batch, rc);
		pg_batch_end(&batch);
	} while (rc != 0 && unit_moves(unit));
	if (rc != 0)
		return -1;
	rc = pg_conn_script(unit->conn, sql);
	pg_batch_begin(&batch, unit->conn);
	if (rc == 0 && unit->xid[0] == '\0') {
		pg_batch_xid(&batch);
		rc = pg_batch_run(&batch, sql);
	}
	unit_after(unit, &batch, rc);
	pg_batch_end(&batch);
	return rc;
}

/* ---- savepoints of the caller ---- */

static AR_YIELDS int pending_flush(struct unit *unit)
{
	struct batch batch;
	int rc;

	do {
		batch_open(&batch, unit);
		rc = pg_batch_run(&batch, "SAVEPOINT");
		pg_batch_end(&batch);
	} while (rc != 0 && unit_moves(unit));
	unit->begun = true;
	unit->npending = 0;
	if (rc != 0)
		unit->uow.lost = true;
	return rc;
}

int pg_unit_savepoint(struct ar_uow *uow, enum ar_savepoint_op op)
{
	struct unit *unit = (struct unit *)uow;
	unsigned level =
		uow->savepoints + 1; /* the core counts after the first, before the others */
	char sql[32];

	if (unit->npending + 2 > PENDING_MAX && pending_flush(unit) != 0)
		return -1;
	if (op == AR_SAVEPOINT_SET) {
		if (unit->mark != MARK_NONE)
			pending_add(unit, "RELEASE SAVEPOINT s");
		snprintf(sql, sizeof(sql), "SAVEPOINT u%u", level);
		pending_add(unit, sql);
	} else {
		if (op == AR_SAVEPOINT_UNDO) {
			snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT u%u", level);
			pending_add(unit, sql);
		}
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT u%u", level);
		pending_add(unit, sql);
	}
	unit->mark = MARK_NONE; /* released before, or gone with what was around it */
	return 0;
}

/* ---- the end ---- */

/* 1: committed, 0: not, -1: nobody knows. */
static int xid_status(struct conn *conn, const char *xid)
{
	struct batch batch;
	int status = -1;

	pg_batch_begin(&batch, conn);
	pg_batch_ask(&batch, "SELECT pg_catalog.txid_status($1::bigint)", xid);
	if (pg_batch_run(&batch, "txid_status") == 0 && PQntuples(batch.result) == 1) {
		const char *text = PQgetvalue(batch.result, 0, 0);

		status = strcmp(text, "committed") == 0 ? 1 : strcmp(text, "aborted") == 0 ? 0 : -1;
	}
	pg_batch_end(&batch);
	return status;
}

/* Asks on other connections, until the server is back and the old session has ended. */
static AR_YIELDS int unit_outcome(struct unit *unit)
{
	int64_t end = ar_mono_ms() + OUTCOME_WAIT_MS;
	int status = -1;

	while (status < 0 && ar_mono_ms() < end) {
		struct conn *conn;

		if (pg_pool_take(unit->loop, schema(unit), false, &conn) == 0) {
			status = xid_status(conn, unit->xid);
			pg_pool_give(unit->loop, conn, false);
		}
		if (status < 0)
			ar_sleep(OUTCOME_PAUSE);
	}
	if (status == 1) {
		ar_err_clear();
		return 0;
	}
	if (status == 0)
		return ar_fail_why(AR_E_BUSY, "the connection was lost before the commit");
	return ar_fail_why(AR_E_STORE, "whether transaction %s was committed is not known",
			   unit->xid);
}

int pg_unit_commit(struct ar_uow *uow)
{
	struct unit *unit = (struct unit *)uow;
	struct batch batch;
	bool dead;
	int rc;

	if (!unit->begun) { /* there was no statement */
		unit_give(unit);
		return 0;
	}
	batch_open(&batch, unit);
	pg_batch_command(&batch, "COMMIT");
	rc = pg_batch_run(&batch, "COMMIT");
	if (rc == 0 && strcmp(PQcmdStatus(batch.result), "COMMIT") != 0)
		rc = ar_fail_why(AR_E_STORE, "the server rolled back");
	pg_batch_end(&batch);
	dead = unit->conn->dead;
	if (!dead && PQtransactionStatus(unit->conn->h) != PQTRANS_IDLE)
		unit->conn->dead =
			true; /* a transaction that is not ended goes with its connection */
	unit_give(unit);
	if (rc != 0 && dead && unit->xid[0] != '\0')
		rc = unit_outcome(unit);
	if (rc == 0)
		uow->db->home->store->count.commits++;
	return rc;
}

void pg_unit_rollback(struct ar_uow *uow)
{
	struct unit *unit = (struct unit *)uow;
	struct ar_errstack *saved;
	struct batch batch;

	if (unit->conn == NULL)
		return;
	if (unit->begun && !unit->conn->dead) {
		saved = ar_errstack_new();
		ar_errstack_move(saved, NULL);
		pg_batch_begin(&batch, unit->conn);
		pg_batch_command(&batch, "ROLLBACK");
		if (pg_batch_run(&batch, "ROLLBACK") != 0 ||
		    PQtransactionStatus(unit->conn->h) != PQTRANS_IDLE)
			unit->conn->dead = true;
		pg_batch_end(&batch);
		ar_errstack_move(NULL, saved);
		ar_errstack_free(saved);
	}
	unit_give(unit);
}
