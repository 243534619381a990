/*
 * units.c - one fiber's view of a unit of work, the same for every driver: errors that leave it
 * usable, what it reads, savepoints, hooks, cancellation.
 */
#include "tests/drivers/basics.h"

/* ---- errors ---- */

TEST(errors_leave_the_unit_usable)
{
	struct ar_db *db = rig_db(&rig, "errors");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE owner (id TEXT PRIMARY KEY)");
	rig_exec(db, "CREATE TABLE thing (id TEXT PRIMARY KEY, owner TEXT NOT NULL"
		     " REFERENCES owner (id), a TEXT, b TEXT, UNIQUE (a, b))");
	scope_on(&scope, db);
	CHECK(ar_exec(&scope, "INSERT INTO owner (id) VALUES (?)", AR_ARGS(AR_J_Z("o")), NULL) ==
	      0);
	CHECK(ar_exec(&scope, "INSERT INTO thing (id, owner, a, b) VALUES ('1', 'o', 'x', 'y')",
		      AR_NO_ARGS, NULL) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO thing (id, owner, a, b) VALUES ('2', 'o', 'x', 'y')",
		      AR_NO_ARGS, NULL) == -1);
	CHECK(ar_err()->def == AR_E_UNIQUE);
	CHECK(strcmp(ar_err_param(ar_err(), "constraint"), "a,b") == 0);
	CHECK(ar_exec(&scope, "INSERT INTO owner (id) VALUES ('o')", AR_NO_ARGS, NULL) == -1);
	CHECK(ar_err()->def == AR_E_UNIQUE);
	CHECK(strcmp(ar_err_param(ar_err(), "constraint"), "id") == 0);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO thing (id, owner) VALUES ('3', 'nobody')",
			    AR_NO_ARGS, NULL),
		    AR_E_REFERENCE);
	CHECK_FAILS(ar_exec(&scope, "DELETE FROM owner WHERE id = 'o'", AR_NO_ARGS, NULL),
		    AR_E_REFERENCE);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO thing (id) VALUES ('4')", AR_NO_ARGS, NULL),
		    AR_E_STORE);
	CHECK_FAILS(ar_exec(&scope, "SELEKT 1", AR_NO_ARGS, NULL), AR_E_STORE);
	CHECK_FAILS(ar_query(&scope, &rows, "SELECT x FROM nowhere", AR_NO_ARGS), AR_E_STORE);
	/* One of two rows is there already: neither is stored. */
	CHECK_FAILS(
		ar_exec(&scope, "INSERT INTO owner (id) VALUES ('new'), ('o')", AR_NO_ARGS, NULL),
		AR_E_UNIQUE);
	CHECK(ar_exec(&scope, "INSERT INTO owner (id) VALUES ('p')", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM owner") == 2);
	CHECK(rig_count(db, "SELECT count(*) FROM thing") == 1);
	/* Outside of a unit, a query may not write. */
	CHECK_FAILS(ar_query(&scope, &rows, "INSERT INTO owner (id) VALUES ('q') RETURNING id",
			     AR_NO_ARGS),
		    AR_E_STORE);
	CHECK(ar_query_lock(&scope, &rows, "SELECT id FROM owner WHERE id = ?",
			    AR_ARGS(AR_J_Z("p"))) == 0);
	CHECK(rows.count == 1 && scope.uow != NULL);
	CHECK_FAILS(ar_exec(&scope, "UPDATE owner SET id = ?", AR_NO_ARGS, NULL), AR_E_STORE);
	ar_rollback(&scope);
	CHECK(rig_count(db, "SELECT count(*) FROM owner") == 2);
	ar_db_release(db);
}

static const char *chain(int terms)
{
	struct ar_buf *buf = ar_buf_new(pool, 1 << 20);

	ar_buf_z(buf, "SELECT 'x'");
	for (int i = 1; i < terms; i++)
		ar_buf_z(buf, " || 'y'");
	return ar_strz(pool, ar_buf_view(buf));
}

TEST(deep_expressions_fit_the_stack_or_are_refused)
{
	struct ar_db *db = rig_db(&rig, "deep");
	struct ar_scope scope;
	struct ar_rows rows;

	scope_on(&scope, db);
	CHECK(ar_query(&scope, &rows, chain(390), AR_NO_ARGS) == 0);
	CHECK(ar_rows_next(&rows) && ar_col_str(&rows, 0).n == 390);
	if (rig_is_sqlite(&rig))
		CHECK_FAILS(ar_query(&scope, &rows, chain(900), AR_NO_ARGS), AR_E_TOO_LARGE);
	ar_db_release(db);
}

/* ---- units ---- */

TEST(reads_see_the_last_commit_then_their_own_writes)
{
	struct ar_db *db = rig_db(&rig, "reads");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	scope_on(&scope, db);
	CHECK(!ar_in_unit());
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_in_unit());
	CHECK(ar_query(&scope, &rows, "SELECT n FROM t", AR_NO_ARGS) == 0 && rows.count == 1);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 0); /* another scope */
	CHECK(ar_commit(&scope) == 0);
	CHECK(!ar_in_unit() && scope.uow == NULL);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 1);
	CHECK(ar_exec(&scope, "DELETE FROM t", AR_NO_ARGS, NULL) == 0);
	ar_rollback(&scope);
	ar_rollback(&scope); /* nothing to do */
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 1);
	/* DDL is part of the unit, too. */
	CHECK(ar_exec(&scope, "CREATE TABLE u (n BIGINT)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO u (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	ar_rollback(&scope);
	CHECK_FAILS(ar_query(&scope, &rows, "SELECT n FROM u", AR_NO_ARGS), AR_E_STORE);
	ar_db_release(db);
}

TEST(a_forgotten_unit_is_rolled_back)
{
	struct ar_db *db = rig_db(&rig, "forgotten");
	struct ar_pool *mine = ar_pool_new();
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_scope_init(&scope, db, mine);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	ar_log_level(AR_ERROR);
	ar_pool_free(mine);
	CHECK(!ar_in_unit());
	rig_exec(db, "INSERT INTO t (n) VALUES (2)");
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 2);
	ar_db_release(db);
}

TEST(savepoints_nest)
{
	struct ar_db *db = rig_db(&rig, "savepoints");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT PRIMARY KEY)");
	scope_on(&scope, db);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_savepoint(&scope) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (2)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_savepoint(&scope) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL), AR_E_UNIQUE);
	CHECK(ar_savepoint_keep(&scope) == 0);
	CHECK(ar_savepoint_undo(&scope) == 0);
	CHECK(ar_savepoint(&scope) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (8)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_savepoint(&scope) == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (16)", AR_NO_ARGS, NULL) == 0);
	ar_fail(AR_E_NOT_FOUND);
	CHECK(ar_savepoint_undo(&scope) == 0);
	CHECK(ar_err_is(AR_E_NOT_FOUND)); /* the caller's error is kept */
	CHECK(ar_savepoint_keep(&scope) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 9);
	ar_db_release(db);
}

/* ---- hooks ---- */

static char trace[64];

static void note(char c)
{
	size_t n = strlen(trace);

	CHECK(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = '\0';
}

static int before(struct ar_scope *scope, void *arg)
{
	CHECK(ar_in_unit());
	note(*(const char *)arg);
	return ar_exec(scope, "INSERT INTO t (n) VALUES (10)", AR_NO_ARGS, NULL);
}

static int before_more(struct ar_scope *scope, void *arg)
{
	note(*(const char *)arg);
	return ar_before_commit(scope, before, "c");
}

static int before_fails(struct ar_scope *scope, void *arg)
{
	note('!');
	return ar_fail(AR_E_FORBIDDEN);
}

static void after(void *arg)
{
	CHECK(!ar_in_unit());
	note(*(const char *)arg);
}

TEST(hooks_run_in_order)
{
	struct ar_db *db = rig_db(&rig, "hooks");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	scope_on(&scope, db);
	trace[0] = '\0';
	ar_after_commit(&scope, after, "x");
	ar_before_commit(&scope, before, "a"); /* before the unit begins */
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	ar_before_commit(&scope, before_more, "b");
	ar_after_commit(&scope, after, "y");
	CHECK(ar_commit(&scope) == 0);
	CHECK(strcmp(trace, "abcxy") == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 21);
	/* They belong to one commit. */
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(strcmp(trace, "abcxy") == 0);
	/* One that fails rolls back. */
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (100)", AR_NO_ARGS, NULL) == 0);
	ar_before_commit(&scope, before, "d");
	ar_before_commit(&scope, before_fails, NULL);
	ar_before_commit(&scope, before, "e");
	ar_after_commit(&scope, after, "z");
	CHECK_FAILS(ar_commit(&scope), AR_E_FORBIDDEN);
	CHECK(strcmp(trace, "abcxyd!") == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 22);
	/* A roll back drops them; without a unit they never run. */
	ar_before_commit(&scope, before, "f");
	ar_rollback(&scope);
	CHECK(ar_commit(&scope) == 0);
	ar_before_commit(&scope, before, "g");
	ar_after_commit(&scope, after, "h");
	CHECK(ar_commit(&scope) == 0);
	CHECK(strcmp(trace, "abcxyd!") == 0);
	ar_db_release(db);
}

TEST(hooks_follow_savepoints)
{
	struct ar_db *db = rig_db(&rig, "hooksave");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	scope_on(&scope, db);
	trace[0] = '\0';
	ar_after_commit(&scope, after, "1");
	CHECK(ar_savepoint(&scope) == 0);
	ar_after_commit(&scope, after, "2");
	CHECK(ar_savepoint(&scope) == 0);
	ar_after_commit(&scope, after, "3");
	CHECK(ar_savepoint_undo(&scope) == 0);
	ar_after_commit(&scope, after, "4");
	CHECK(ar_savepoint_keep(&scope) == 0);
	CHECK(ar_savepoint(&scope) == 0);
	ar_before_commit(&scope, before, "5");
	CHECK(ar_savepoint_undo(&scope) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(strcmp(trace, "124") == 0);
	ar_db_release(db);
}

/* ---- cancellation ---- */

TEST(a_cancelled_unit_is_rolled_back)
{
	struct ar_db *db = rig_db(&rig, "cancelled");
	struct ar_scope scope;
	int64_t deadline;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	scope_on(&scope, db);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	deadline = ar_deadline_set(ar_mono_ms() - 1);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (2)", AR_NO_ARGS, NULL),
		    AR_E_DEADLINE);
	CHECK_FAILS(ar_commit(&scope), AR_E_DEADLINE);
	CHECK(scope.uow == NULL);
	CHECK_FAILS(ar_begin(&scope), AR_E_DEADLINE);
	/* Clean-up that is shielded may still write. */
	ar_shield(true);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_shield(false);
	ar_deadline_set(deadline);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 4);
	ar_db_release(db);
}

static bool other_ran;

static void other(void *arg)
{
	for (int i = 0; i < 20; i++)
		CHECK(ar_sleep(1) == 0);
	other_ran = true;
}

TEST(a_long_read_moves_off_the_loop_and_ends_at_the_deadline)
{
	static const char count_up[] = "WITH RECURSIVE c (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL"
				       " SELECT n + 1 FROM c WHERE n < ?) SELECT max(n) FROM c";
	struct ar_db *db = rig_db(&rig, "long");
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t deadline, began;

	scope_on(&scope, db);
	other_ran = false;
	ar_go("other", other, NULL, AR_NO_DEADLINE);
	CHECK(ar_query(&scope, &rows, count_up, AR_ARGS(AR_J_INT(1000000))) == 0);
	CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) == 1000000);
	CHECK(other_ran);
	/* In a unit as well, and the unit stays usable. */
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	other_ran = false;
	ar_go("other", other, NULL, AR_NO_DEADLINE);
	CHECK(ar_query(&scope, &rows, count_up, AR_ARGS(AR_J_INT(1000000))) == 0);
	CHECK(other_ran);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 1);
	began = ar_mono_ms();
	deadline = ar_deadline_set(began + 150);
	CHECK_FAILS(ar_query(&scope, &rows, count_up, AR_ARGS(AR_J_INT(INT64_MAX))), AR_E_DEADLINE);
	CHECK(ar_mono_ms() - began < 60000); /* it would never end */
	ar_deadline_set(deadline);
	CHECK(ar_query(&scope, &rows, count_up, AR_ARGS(AR_J_INT(10))) == 0);
	ar_db_release(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_leave_the_unit_usable),
		cmocka_unit_test(deep_expressions_fit_the_stack_or_are_refused),
		cmocka_unit_test(reads_see_the_last_commit_then_their_own_writes),
		cmocka_unit_test(a_forgotten_unit_is_rolled_back),
		cmocka_unit_test(savepoints_nest),
		cmocka_unit_test(hooks_run_in_order),
		cmocka_unit_test(hooks_follow_savepoints),
		cmocka_unit_test(a_cancelled_unit_is_rolled_back),
		cmocka_unit_test(a_long_read_moves_off_the_loop_and_ends_at_the_deadline),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
