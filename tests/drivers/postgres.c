/*
 * postgres.c - what only the PostgreSQL driver has: the translation of SQL, other tenants' schemas
 * on the same connection, stale plans, the pool's limits, locks.
 */
#include "tests/drivers/postgres.h"

/* ---- SQL ---- */

static void places_are_numbered(void **state)
{
	static const struct {
		const char *sql, *expected;
		unsigned places;
		bool lock;
	} rows[] = {
		{ "SELECT 1", "SELECT 1", 0, false },
		{ "SELECT ? + ?", "SELECT $1 + $2", 2, false },
		{ "SELECT ?;  \n", "SELECT $1", 1, false },
		{ "SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = $1 FOR UPDATE", 1,
		  true },
		{ "SELECT a FROM t LIMIT 1 ;", "SELECT a FROM t LIMIT 1 FOR UPDATE", 0, true },
		{ "SELECT '?', 'it''s ?', ?", "SELECT '?', 'it''s ?', $1", 1, false },
		{ "SELECT \"a?\"\"?\", ?", "SELECT \"a?\"\"?\", $1", 1, false },
		{ "SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2", 2, false },
		{ "SELECT ? /* ? /* ? */ ? */, ?", "SELECT $1 /* ? /* ? */ ? */, $2", 2, false },
		{ "SELECT $$?$$, $a$ ? $$ $a$, ?", "SELECT $$?$$, $a$ ? $$ $a$, $1", 1, false },
		{ "SELECT 5 - ?, 6 / ?", "SELECT 5 - $1, 6 / $2", 2, false },
		{ "SELECT 'open ?", "SELECT 'open ?", 0, false },
		{ "SELECT $$open ?", "SELECT $$open ?", 0, false },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		unsigned places = 99;

		assert_string_equal(pg_sql_translate(pool, rows[i].sql, rows[i].lock, &places),
				    rows[i].expected);
		assert_int_equal(places, rows[i].places);
	}
}

/* ---- tenants on one connection ---- */

static void uses_own_table(void *arg, int index)
{
	struct ar_db *db = ((struct ar_db **)arg)[index % 4];
	int64_t mine = index % 4;

	for (int i = 0; i < 20; i++) {
		struct ar_pool *p = ar_pool_new();
		struct ar_scope scope;
		struct ar_rows rows;

		ar_scope_init(&scope, db, p);
		rows_of(&scope, "SELECT n, current_schema() FROM t", &rows);
		CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) == mine);
		CHECK(ar_exec(&scope, "UPDATE t SET n = n WHERE n = ?", AR_ARGS(AR_J_INT(mine)),
			      NULL) == 0);
		if (i % 3 == 0) {
			ar_rollback(&scope); /* the search path must not go with it */
		} else {
			CHECK(ar_exec(&scope, "SELECT no_such_column FROM t", AR_NO_ARGS, NULL) ==
			      -1);
			CHECK(ar_commit(&scope) == 0);
		}
		CHECK(rig_count(db, "SELECT n FROM t") == mine);
		ar_pool_free(p);
	}
}

TEST_WITH(tenants_share_connections_and_nothing_else, .pg_connections = 3)
{
	struct ar_db *dbs[4];

	for (int i = 0; i < 4; i++) {
		char name[20], sql[80];

		snprintf(name, sizeof(name), "share-%d", i);
		dbs[i] = rig_db(&rig, name);
		rig_exec(dbs[i], i == 2 ? "CREATE TABLE t (x TEXT, n BIGINT)"
					: "CREATE TABLE t (n BIGINT)");
		snprintf(sql, sizeof(sql), "INSERT INTO t (n) VALUES (%d)", i);
		rig_exec(dbs[i], sql);
	}
	rig_fibers(16, uses_own_table, dbs);
	for (int i = 0; i < 4; i++)
		ar_db_release(dbs[i]);
}

TEST(a_plan_that_is_stale_is_made_anew)
{
	struct ar_db *db = rig_db(&rig, "stale");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_exec(db, "INSERT INTO t (n) VALUES (1)");
	ar_scope_init(&scope, db, pool);
	rows_of(&scope, "SELECT * FROM t", &rows);
	rig_exec(db, "ALTER TABLE t ADD COLUMN s TEXT");
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(rows.columns == 2);
	/* And in a unit, after its own change. */
	CHECK(ar_exec(&scope, "UPDATE t SET s = 'x'", AR_NO_ARGS, NULL) == 0);
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(ar_exec_long(&scope, "ALTER TABLE t DROP COLUMN n") == 0);
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(rows.columns == 1 && ar_rows_next(&rows) && ar_str_is(ar_col_str(&rows, 0), "x"));
	CHECK(ar_commit(&scope) == 0);
	ar_db_release(db);
}

TEST(many_different_statements)
{
	struct ar_db *db = rig_db(&rig, "many");
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	for (int i = 0; i < 1000; i++) {
		char sql[60];

		snprintf(sql, sizeof(sql), "SELECT CAST(? AS BIGINT) + %d", i);
		CHECK(ar_query(&scope, &rows, sql, AR_ARGS(AR_J_INT(1))) == 0);
		CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) == i + 1);
	}
	rows_of(&scope, "SELECT count(*) FROM pg_prepared_statements", &rows);
	CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) < 450);
	/* A unit still finds its transaction's id. */
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_db_release(db);
}

/* ---- limits ---- */

static void reads_inside_a_unit(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_pool *p = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, p);
	for (int i = 0; i < 5; i++) {
		CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
		CHECK(rig_count(db, "SELECT 1") == 1);        /* on another connection */
		rig_exec(db, "INSERT INTO t (n) VALUES (1)"); /* a second unit of this fiber */
		CHECK(ar_commit(&scope) == 0);
	}
	ar_pool_free(p);
}

TEST_WITH(those_who_hold_a_connection_can_go_on, .pg_connections = 4)
{
	struct ar_db *db = rig_db(&rig, "hold");
	struct ar_store_stats stats;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_fibers(30, reads_inside_a_unit, db);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 30 * 5 * 2);
	CHECK(rig_count(db, "SELECT count(*) FROM pg_stat_activity"
			    " WHERE application_name = 'apprun'") <= 4);
	ar_store_stats(rig.store, &stats);
	CHECK(stats.lease_waits > 0);
	ar_db_release(db);
}

static int64_t sessions(struct ar_db *db)
{
	return rig_count(db, "SELECT count(*) FROM pg_stat_activity"
			     " WHERE application_name = 'apprun'");
}

TEST_WITH(idle_connections_are_closed, .idle_ms = 1000)
{
	struct ar_db *db = rig_db(&rig, "idle");

	rig_fibers(8, warm_up, db);
	CHECK(sessions(db) >= 4);
	for (int i = 0; i < 1200 && sessions(db) > 2; i++)
		CHECK(ar_sleep(50) == 0);
	CHECK(sessions(db) <= 2);
	ar_db_release(db);
}

TEST(a_result_that_is_too_large_is_refused)
{
	struct ar_db *db = rig_db(&rig, "huge");
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	CHECK_FAILS(ar_query(&scope, &rows,
			     "SELECT repeat('x', 1000000) FROM generate_series(1, 90)", AR_NO_ARGS),
		    AR_E_TOO_LARGE);
	CHECK(rig_count(db, "SELECT 1") == 1);
	CHECK(ar_query(&scope, &rows, "SELECT repeat('x', 1000000) FROM generate_series(1, 55)",
		       AR_NO_ARGS) == 0);
	CHECK(rows.count == 55);
	ar_db_release(db);
}

/* ---- a statement that is given up ---- */

static void cancels(void *arg)
{
	CHECK(ar_sleep(30) == 0);
	ar_cancel(arg);
}

static void is_cancelled(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t began = ar_mono_ms();

	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	ar_go("cancels", cancels, ar_self(), AR_NO_DEADLINE);
	CHECK_FAILS(
		ar_exec(&scope, "INSERT INTO t (n) SELECT 2 FROM pg_sleep(30)", AR_NO_ARGS, NULL),
		AR_E_CANCELLED);
	CHECK(ar_mono_ms() - began < 25000);
	ar_shield(true);
	rows_of(&scope, "SELECT n FROM t", &rows); /* the unit goes on */
	CHECK(rows.count == 1);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_shield(false);
}

TEST(a_cancelled_statement_is_undone_alone)
{
	struct ar_db *db = rig_db(&rig, "stop");

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_fibers(1, is_cancelled, db);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	ar_db_release(db);
}

/* ---- locks ---- */

static void locks_second(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_pool *p = ar_pool_new();
	const char *order[2] = { "a", "b" };
	struct ar_scope scope;
	struct ar_rows rows;
	static int refused, locked;

	ar_scope_init(&scope, db, p);
	CHECK(ar_query_lock(&scope, &rows, "SELECT n FROM t WHERE id = ?",
			    AR_ARGS(AR_J_Z(order[index]))) == 0);
	CHECK(rows.count == 1);
	ar_shield(true);
	for (locked++; locked < 2;) /* both have one */
		CHECK(ar_sleep(1) == 0);
	ar_shield(false);
	if (ar_query_lock(&scope, &rows, "SELECT n FROM t WHERE id = ?",
			  AR_ARGS(AR_J_Z(order[1 - index]))) != 0) {
		CHECK(ar_err()->def == AR_E_BUSY); /* a deadlock: one of them has to yield */
		ar_err_clear();
		refused++;
	}
	CHECK(refused <= 1);
	CHECK(ar_exec(&scope, "UPDATE t SET n = n + 1 WHERE id = ?", AR_ARGS(AR_J_Z(order[index])),
		      NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(p);
}

TEST(of_two_that_deadlock_one_is_told)
{
	struct ar_db *db = rig_db(&rig, "dead");

	rig_exec(db, "CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT)");
	rig_exec(db, "INSERT INTO t (id, n) VALUES ('a', 0), ('b', 0)");
	rig_fibers(2, locks_second, db);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 2);
	ar_db_release(db);
}

TEST(constraints_are_named_by_their_columns)
{
	static const struct {
		const char *sql, *constraint;
	} rows[] = {
		{ "INSERT INTO t VALUES (1, 'x', 'y', 'z')", "id" },
		{ "INSERT INTO t VALUES (2, 'x', 'y', 'q')", "a,B c" },
		{ "INSERT INTO t VALUES (2, ')=(', ', (', 'Z')", "t_lower" },
	};
	struct ar_db *db = rig_db(&rig, "unique");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT, \"B c\" TEXT, d TEXT,"
		     " UNIQUE (a, \"B c\"))");
	rig_exec(db, "CREATE UNIQUE INDEX t_lower ON t (lower(d))");
	rig_exec(db, "INSERT INTO t VALUES (1, 'x', 'y', 'z')");
	ar_scope_init(&scope, db, pool);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		CHECK(ar_exec(&scope, rows[i].sql, AR_NO_ARGS, NULL) == -1);
		CHECK(ar_err()->def == AR_E_UNIQUE);
		CHECK(strcmp(ar_err_param(ar_err(), "constraint"), rows[i].constraint) == 0);
	}
	ar_rollback(&scope);
	ar_db_release(db);
}

/* ---- the rest ---- */

TEST(numbers_have_the_types_that_sqlite_gives)
{
	static const struct {
		const char *sql;
		enum ar_type type;
	} rows[] = {
		{ "SELECT CAST(1 AS SMALLINT)", AR_INT },
		{ "SELECT sum(n) FROM (VALUES (CAST(1 AS BIGINT)), (2)) v (n)", AR_INT },
		{ "SELECT CAST('1e30' AS NUMERIC)", AR_FLOAT },
		{ "SELECT avg(n) FROM (VALUES (1), (2)) v (n)", AR_FLOAT },
		{ "SELECT CAST(1 AS REAL)", AR_FLOAT },
		{ "SELECT CAST('NaN' AS DOUBLE PRECISION)", AR_FLOAT },
		{ "SELECT true", AR_BOOL },
		{ "SELECT CAST('{\"a\": 1}' AS JSONB)", AR_STRING },
		{ "SELECT CAST(NULL AS BIGINT)", AR_NULL },
	};
	struct ar_db *db = rig_db(&rig, "types");
	struct ar_scope scope;
	struct ar_rows r;

	ar_scope_init(&scope, db, pool);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		rows_of(&scope, rows[i].sql, &r);
		CHECK(ar_rows_next(&r));
		CHECK(ar_col_type(&r, 0) == rows[i].type);
	}
	CHECK_FAILS(ar_query(&scope, &r, "SELECT CAST(? AS TEXT)",
			     AR_ARGS(AR_J_STR(ar_str_n("a\0b", 3)))),
		    AR_E_STORE);
	rows_of(&scope, "SHOW synchronous_commit", &r);
	CHECK(ar_rows_next(&r) && ar_str_is(ar_col_str(&r, 0), "on"));
	ar_db_release(db);
}

static void a_server_that_is_not_there(void **state)
{
	struct ar_store_options options = {
		.url = AR_STR("postgres://nobody:secret-word@127.0.0.1:1/x"), .data = AR_STR("/tmp")
	};
	struct ar_store *store;

	assert_int_equal(ar_store_open(&options, &store), -1);
	assert_ptr_equal(ar_err()->def, AR_E_BUSY);
	assert_null(strstr(ar_err()->why, "secret-word"));
	ar_err_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_numbered),
		cmocka_unit_test(tenants_share_connections_and_nothing_else),
		cmocka_unit_test(a_plan_that_is_stale_is_made_anew),
		cmocka_unit_test(many_different_statements),
		cmocka_unit_test(those_who_hold_a_connection_can_go_on),
		cmocka_unit_test(idle_connections_are_closed),
		cmocka_unit_test(a_result_that_is_too_large_is_refused),
		cmocka_unit_test(a_cancelled_statement_is_undone_alone),
		cmocka_unit_test(of_two_that_deadlock_one_is_told),
		cmocka_unit_test(constraints_are_named_by_their_columns),
		cmocka_unit_test(numbers_have_the_types_that_sqlite_gives),
		cmocka_unit_test(a_server_that_is_not_there),
	};

	return cmocka_run_group_tests_name("postgres", tests, make, unmake);
}
