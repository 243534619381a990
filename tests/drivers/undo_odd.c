/*
 * undo_odd.c - units of a group that are odd: savepoints, tables that they make, keys that are
 * checked at the end, what one says that failed because of another; and all of it by chance.
 */
#include "tests/drivers/undo.h"

/* ---- savepoints, tables, keys ---- */

static int with_savepoints(struct ar_scope *scope, int index)
{
	CHECK(insert(scope, 10 * index, AR_J_NULL) == 0);
	CHECK(ar_savepoint(scope) == 0);
	CHECK(insert(scope, 10 * index + 1, AR_J_NULL) == 0);
	CHECK(ar_savepoint_undo(scope) == 0);
	CHECK(ar_savepoint(scope) == 0);
	CHECK(insert(scope, 10 * index + 2, AR_J_NULL) == 0);
	if (index == failing)
		return fails(); /* in the midst of it */
	return ar_savepoint_keep(scope);
}

static int savepoint_first(struct ar_scope *scope, int index)
{
	CHECK(ar_savepoint(scope) == 0);
	CHECK(insert(scope, 10 * index, AR_J_NULL) == 0);
	if (index == failing)
		return fails();
	CHECK(ar_savepoint_keep(scope) == 0);
	return insert(scope, 10 * index + 2, AR_J_NULL);
}

TEST(savepoints)
{
	for (failing = 0; failing < 5; failing += 2) {
		struct ar_db *db = make_db("savepoints");

		run_units(db, 5, with_savepoints);
		CHECK(rig_count(db, "SELECT sum(id) FROM t") == 210 - (20 * failing + 2));
		run_units(db, 5, savepoint_first);
		CHECK(rig_count(db, "SELECT sum(id) FROM t") == 210 - (20 * failing + 2));
		ar_db_release(db);
	}
}

static int with_tables(struct ar_scope *scope, int index)
{
	CHECK(index != 2 || insert(scope, 102, AR_J_NULL) == 0);
	if (index == 1 || index == 2)
		CHECK(ar_exec_long(scope, index == 1 ? "CREATE TABLE made (n BIGINT)"
						     : "CREATE TABLE unmade (n BIGINT)") == 0);
	if (index == 3)
		CHECK(ar_exec(scope, "CREATE TABLE made_too (n BIGINT)", AR_NO_ARGS, NULL) == 0);
	CHECK(insert(scope, index, AR_J_NULL) == 0);
	return index == 2 || index == 4 ? fails() : 0;
}

TEST(units_that_make_tables)
{
	struct ar_db *db = make_db("tables");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	run_units(db, 6, with_tables);
	CHECK(rig_count(db, "SELECT sum(id) FROM t") == 0 + 1 + 3 + 5);
	CHECK(rig_count(db, "SELECT count(*) FROM made") == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM made_too") == 0);
	ar_scope_init(&scope, db, pool);
	CHECK_FAILS(ar_query(&scope, &rows, "SELECT n FROM unmade", AR_NO_ARGS), AR_E_STORE);
	ar_pool_free(pool);
	ar_db_release(db);
}

static int dangling(struct ar_scope *scope, int index)
{
	return ar_exec(scope, "INSERT INTO child (id, parent) VALUES (?, ?)",
		       AR_ARGS(AR_J_INT(index), AR_J_INT(index == 2 ? 99 : 1)), NULL);
}

static void dangling_unit(void *arg, int index)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, arg, pool);
	CHECK(dangling(&scope, index) == 0);
	if (index == 2)
		CHECK_FAILS(ar_commit(&scope), AR_E_REFERENCE);
	else
		CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

TEST(a_key_that_is_checked_at_the_end)
{
	struct ar_db *db = make_db("keys");

	rig_exec(db, "CREATE TABLE parent (id BIGINT PRIMARY KEY)");
	rig_exec(db,
		 "CREATE TABLE child (id BIGINT PRIMARY KEY, parent BIGINT REFERENCES parent (id)"
		 " DEFERRABLE INITIALLY DEFERRED)");
	rig_exec(db, "INSERT INTO parent (id) VALUES (1)");
	rig_fibers(5, dangling_unit, db);
	CHECK(rig_count(db, "SELECT sum(id) FROM child") == 0 + 1 + 3 + 4);
	ar_db_release(db);
}

/* ---- what a unit says that failed because of another ---- */

static bool told;

static int same_name(struct ar_scope *scope, int index)
{
	int rc = insert(scope, 1, AR_J_Z("the name"));

	CHECK(rc == 0 || ar_err()->def == AR_E_UNIQUE);
	return rc;
}

static void second(void *arg, int index)
{
	struct plan plan = { arg, same_name };

	unit(&plan, index);
	if (index != 0) { /* it failed: what it says is true by now */
		CHECK(rig_count(arg, "SELECT count(*) FROM t") == 1);
		told = true;
	}
}

TEST(taken_means_stored)
{
	struct ar_db *db = make_db("taken");

	told = false;
	rig_exec(db, "DELETE FROM t");
	rig_fibers(2, second, db);
	CHECK(told);
	ar_db_release(db);
}

/* ---- chance ---- */

#define UNITS 2000
static bool stored[UNITS];

static void random_unit(void *arg, int index)
{
	for (int n = index; n < UNITS; n += 40) {
		struct ar_pool *pool = ar_pool_new();
		unsigned rows = 1 + (unsigned)ar_random_below(4);
		struct ar_scope scope;

		ar_scope_init(&scope, arg, pool);
		for (unsigned i = 0; i < rows; i++)
			CHECK(insert(&scope, 10 * n + i, text_of(&scope, ar_random_below(3000))) ==
			      0);
		CHECK(ar_exec(&scope, "UPDATE total SET n = n + ?", AR_ARGS(AR_J_INT(rows)),
			      NULL) == 0);
		stored[n] = ar_random_below(10) != 0;
		if (stored[n]) {
			CHECK(ar_commit(&scope) == 0);
		} else {
			fails();
			ar_rollback(&scope);
			ar_err_clear();
		}
		ar_pool_free(pool);
	}
}

TEST(whatever_comes)
{
	struct ar_db *db = make_db("chance");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE total (n BIGINT)");
	rig_exec(db, "INSERT INTO total (n) VALUES (0)");
	rig_fibers(40, random_unit, db);
	CHECK(rig_count(db, "SELECT n FROM total") == rig_count(db, "SELECT count(*) FROM t"));
	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT DISTINCT id / 10 FROM t", AR_NO_ARGS) == 0);
	while (ar_rows_next(&rows)) {
		CHECK(stored[ar_col_int(&rows, 0)]);
		stored[ar_col_int(&rows, 0)] = false;
	}
	for (int n = 0; n < UNITS; n++)
		CHECK(!stored[n]);
	ar_pool_free(pool);
	ar_db_release(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(savepoints),
		cmocka_unit_test(units_that_make_tables),
		cmocka_unit_test(a_key_that_is_checked_at_the_end),
		cmocka_unit_test(taken_means_stored),
		cmocka_unit_test(whatever_comes),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
