/*
 * driver.c - the PostgreSQL driver's table: a schema per database, reads outside of units.
 *
 * The platform's database is the schema "apprun", a tenant's "t_" and its name. A read that meets a
 * connection the server has closed meanwhile is run again on another; it changed nothing.
 */
#include "store/postgres/postgres_int.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVER_MIN 120000

static void schema_name(struct ar_str name, char out[SCHEMA_MAX])
{
	if (name.n == 0)
		snprintf(out, SCHEMA_MAX, PG_PLATFORM_SCHEMA);
	else
		snprintf(out, SCHEMA_MAX, "t_%.*s", AR_FMT(name));
}

const char *pg_schema_of(const struct ar_db *db)
{
	return ((const struct pg_db *)db)->schema;
}

/* ---- the process ---- */

static int server_fits(struct conn *conn)
{
	const char *encoding = PQparameterStatus(conn->h, "server_encoding");

	if (PQserverVersion(conn->h) < SERVER_MIN)
		return ar_fail_why(AR_E_STORE, "PostgreSQL 12 or later is needed");
	if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
		return ar_fail_why(AR_E_STORE, "the database's encoding must be UTF8");
	return 0;
}

static int pg_open(struct ar_store *store)
{
	struct conn *conn;
	int rc;

	if (pg_conn_open(store, &conn) != 0)
		return -1;
	rc = server_fits(conn);
	pg_conn_close(conn);
	return rc;
}

static void pg_close(struct ar_store *store)
{
	pg_claim_end(store);
}

/* ---- statements outside of units ---- */

static AR_YIELDS int read_on(struct conn *conn, struct batch *batch, const char *schema,
			     const struct ar_stmt *stmt, struct ar_rows *ret)
{
	struct plan plan;

	pg_batch_begin(batch, conn);
	if (pg_plan_make(conn, schema, stmt, &plan) != 0)
		return -1;
	pg_batch_schema(batch, schema);
	pg_batch_plan(batch, &plan);
	if (pg_batch_run(batch, stmt->sql) != 0)
		return -1;
	return pg_rows_make(batch->result, stmt->pool, ret);
}

static AR_YIELDS int read_once(struct pg_loop *loop, const char *schema, const struct ar_stmt *stmt,
			       struct ar_rows *ret, bool *ret_again)
{
	struct batch batch;
	struct conn *conn;
	int rc;

	*ret_again = false;
	if (pg_pool_take(loop, schema, false, &conn) != 0)
		return -1;
	rc = read_on(conn, &batch, schema, stmt, ret);
	if (rc != 0 && pg_batch_plan_is_stale(&batch)) {
		pg_conn_forget(conn, schema, stmt);
		*ret_again = true;
	} else if (rc != 0 && conn->dead) {
		*ret_again = conn->used && batch.bytes <= AR_ROWS_BYTES_MAX && !batch.given_up;
	}
	pg_batch_end(&batch);
	pg_pool_give(loop, conn, false);
	return rc;
}

static AR_YIELDS int pg_query(struct ar_db *db, struct ar_uow *uow, const struct ar_stmt *stmt,
			      struct ar_rows *ret)
{
	bool again;
	int rc;

	if (uow != NULL)
		return pg_unit_query((struct unit *)uow, stmt, ret, NULL);
	rc = read_once(db->home->driver, pg_schema_of(db), stmt, ret, &again);
	if (rc != 0 && again)
		rc = read_once(db->home->driver, pg_schema_of(db), stmt, ret, &again);
	return rc;
}

static AR_YIELDS int pg_exec(struct ar_uow *uow, const struct ar_stmt *stmt, int64_t *ret_changed)
{
	return pg_unit_query((struct unit *)uow, stmt, NULL, ret_changed);
}

/* ---- schemas ---- */

/* One command that changes the catalog, in a transaction of its own, and no other of its kind at
 * the same time for the same name. */
static AR_YIELDS int schema_command(struct pg_loop *loop, const char *schema, const char *format)
{
	char sql[2 * SCHEMA_MAX + 64];
	struct batch batch;
	struct conn *conn;
	int rc;

	if (pg_pool_take(loop, "", false, &conn) != 0)
		return -1;
	pg_batch_begin(&batch, conn);
	pg_batch_command(&batch, "BEGIN READ WRITE");
	snprintf(sql, sizeof(sql), "SELECT pg_advisory_xact_lock(hashtext('schema %s'))", schema);
	pg_batch_command(&batch, sql);
	snprintf(sql, sizeof(sql), format, schema);
	pg_batch_command(&batch, sql);
	pg_batch_command(&batch, "COMMIT");
	rc = pg_batch_run(&batch, sql);
	pg_batch_end(&batch);
	if (rc != 0)
		conn->dead = true; /* with what is left of the transaction */
	pg_pool_give(loop, conn, false);
	return rc;
}

static AR_YIELDS int pg_create(struct ar_store *store, struct ar_str name)
{
	char schema[SCHEMA_MAX];

	schema_name(name, schema);
	if (schema_command(pg_here, schema, "CREATE SCHEMA \"%s\"") == 0)
		return 0;
	return ar_err_is(AR_E_UNIQUE) ? ar_fail(AR_E_CONFLICT) : -1;
}

static AR_YIELDS int pg_drop(struct ar_store *store, struct ar_str name)
{
	char schema[SCHEMA_MAX];

	schema_name(name, schema);
	return schema_command(pg_here, schema, "DROP SCHEMA \"%s\" CASCADE");
}

static AR_YIELDS int schema_exists(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_stmt stmt = {
		.sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?",
		.args = &AR_J_Z(pg_schema_of(db)),
		.nargs = 1,
		.pool = pool,
	};
	struct ar_rows rows;
	int rc = pg_query(db, NULL, &stmt, &rows);

	if (rc == 0 && rows.count == 0)
		rc = ar_fail(AR_E_NO_DATABASE);
	ar_pool_free(pool);
	return rc;
}

static AR_YIELDS int pg_db_open(struct ar_db *base)
{
	struct pg_db *db = (struct pg_db *)base;

	schema_name(base->name, db->schema);
	if (base->name.n == 0)
		return schema_command(pg_here, db->schema, "CREATE SCHEMA IF NOT EXISTS \"%s\"");
	return schema_exists(base);
}

static void pg_db_close(struct ar_db *db)
{
}

const struct ar_store_ops ar_store_postgres = {
	.name = "postgres",
	.dialect = AR_POSTGRES,
	.caps = AR_CAP_SERVER | AR_CAP_ROW_LOCKS,
	.db_size = sizeof(struct pg_db),
	.uow_size = sizeof(struct unit),
	.open = pg_open,
	.close = pg_close,
	.claim = pg_claim,
	.attach = pg_pool_attach,
	.detach = pg_pool_detach,
	.create = pg_create,
	.drop = pg_drop,
	.db_open = pg_db_open,
	.db_close = pg_db_close,
	.query = pg_query,
	.exec = pg_exec,
	.exec_long = pg_unit_script,
	.begin = pg_unit_begin,
	.commit = pg_unit_commit,
	.rollback = pg_unit_rollback,
	.savepoint = pg_unit_savepoint,
};
