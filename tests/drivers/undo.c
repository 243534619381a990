/*
 * undo.c - of a group of units some fail: what they wrote is undone, what the others wrote is
 * stored, whatever stands in their statements and however much it is.
 */
#include "tests/drivers/undo.h"

#include <math.h>

static int two_rows(struct ar_scope *scope, int index)
{
	CHECK(insert(scope, 2 * index, AR_J_Z("first")) == 0);
	CHECK(insert(scope, 2 * index + 1, AR_J_Z("second")) == 0);
	return index == failing ? fails() : 0;
}

TEST(the_first_the_middle_the_last)
{
	for (failing = 0; failing < 7; failing += 3) {
		struct ar_db *db = make_db("one");
		uint64_t before = replays();

		run_units(db, 7, two_rows);
		CHECK(rig_count(db, "SELECT count(*) FROM t") == 12);
		CHECK(rig_count(db, "SELECT sum(id) FROM t") == 91 - (4 * failing + 1));
		CHECK(replays() - before <=
		      (failing > 0 ? 1 : 0)); /* nobody was before the first */
		ar_db_release(db);
	}
}

static int nothing_written(struct ar_scope *scope, int index)
{
	int64_t changed = 1;

	if (index % 2 == 0)
		return insert(scope, index, AR_J_NULL);
	CHECK(ar_exec(scope, "UPDATE t SET v = 'x' WHERE id = ?", AR_ARGS(AR_J_INT(-1)),
		      &changed) == 0);
	CHECK(changed == 0);
	CHECK(insert(scope, index - 1, AR_J_NULL) == -1); /* it is there */
	CHECK(ar_err()->def == AR_E_UNIQUE);
	return -1;
}

TEST(one_that_changed_nothing_costs_nothing)
{
	struct ar_db *db = make_db("nothing");
	uint64_t before = replays();

	if (rig_is_sqlite(&rig)) { /* elsewhere they wait for each other's row */
		run_units(db, 20, nothing_written);
		CHECK(rig_count(db, "SELECT count(*) FROM t") == 10);
		CHECK(replays() == before);
	}
	ar_db_release(db);
}

/* ---- many ---- */

static int every_third_fails(struct ar_scope *scope, int index)
{
	CHECK(insert(scope, index, AR_J_Z("a row")) == 0);
	if (index % 3 == 0)
		return fails();
	CHECK(ar_exec(scope, "UPDATE t SET v = ? WHERE id = ?",
		      AR_ARGS(AR_J_Z("kept"), AR_J_INT(index)), NULL) == 0);
	return 0;
}

TEST(every_third)
{
	struct ar_db *db = make_db("third");
	struct ar_store_stats before = stats_now(), after;

	for (int round = 0; round < 20; round++) {
		run_units(db, 60, every_third_fails);
		CHECK(rig_count(db, "SELECT count(*) FROM t WHERE v = 'kept'") == 40);
		CHECK(rig_count(db, "SELECT sum(id) FROM t") == 1770 - 570);
	}
	after = stats_now();
	/* After one the units of some groups have savepoints: it does not become the rule. */
	CHECK(after.replays - before.replays <= 1 + (after.commits - before.commits) / 4);
	ar_db_release(db);
}

/* ---- what is in the statements ---- */

static const char all_bytes[] = "\0\x01\xff\xfe'\"\\?$1";

static int all_kinds(struct ar_scope *scope, int index)
{
	struct ar_json *object = ar_json_new(scope->pool, AR_OBJECT);
	struct ar_str bytes = { all_bytes, sizeof(all_bytes) - 1 };
	struct ar_json big = text_of(scope, 40000);

	if (index == 1) {
		CHECK(ar_exec(scope, "UPDATE kinds SET i = 0, f = 0, s = '', j = ''", AR_NO_ARGS,
			      NULL) == 0);
		return fails();
	}
	ar_json_set(object, AR_STR("n"), ar_json_int(scope->pool, 7));
	CHECK(ar_exec(scope,
		      "INSERT INTO kinds (id, i, f, s, b, j, x, big) VALUES (?, ?, ?, ?, ?, ?, ?, "
		      "?)",
		      AR_ARGS(AR_J_INT(1), AR_J_INT(INT64_MIN), AR_J_FLOAT(0.1),
			      AR_J_Z("it's ? $1 \xf0\x9f\x98\x80"), AR_J_BYTES(bytes), *object,
			      AR_J_NULL, big),
		      NULL) == 0);
	memset((char *)big.s.p, 'y', big.s.n); /* the statement is over: who called may do so */
	CHECK(ar_exec(scope, "INSERT INTO kinds (id, i, f, s, b) VALUES (?, ?, ?, ?, ?)",
		      AR_ARGS(AR_J_INT(2), AR_J_INT(INT64_MAX), AR_J_FLOAT(-1e300),
			      AR_J_STR(AR_STR_NONE), AR_J_BYTES(AR_STR_NONE)),
		      NULL) == 0);
	return 0;
}

TEST(values_are_the_same_again)
{
	struct ar_db *db = make_db("kinds");
	struct ar_pool *pool = ar_pool_new();
	uint64_t before = replays();
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(
		db,
		rig_is_sqlite(&rig)
			? "CREATE TABLE kinds (id BIGINT PRIMARY KEY, i BIGINT, f REAL, s TEXT,"
			  " b BLOB, j TEXT, x TEXT, big TEXT)"
			: "CREATE TABLE kinds (id BIGINT PRIMARY KEY, i BIGINT, f DOUBLE PRECISION,"
			  " s TEXT, b BYTEA, j TEXT, x TEXT, big TEXT)");
	do { /* a machine that is very busy may end the group between the two */
		rig_exec(db, "DELETE FROM kinds");
		run_units(db, 2, all_kinds);
	} while (rig_is_sqlite(&rig) && replays() == before);
	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT i, f, s, b, j, x, big FROM kinds ORDER BY id",
		       AR_NO_ARGS) == 0);
	CHECK(rows.count == 2 && ar_rows_next(&rows));
	CHECK(ar_col_type(&rows, 0) == AR_INT && ar_col_int(&rows, 0) == INT64_MIN);
	CHECK(ar_col_type(&rows, 1) == AR_FLOAT && ar_col_float(&rows, 1) == 0.1);
	CHECK(ar_str_is(ar_col_str(&rows, 2), "it's ? $1 \xf0\x9f\x98\x80"));
	CHECK(ar_str_eq(ar_col_bytes(&rows, 3),
			(struct ar_str){ all_bytes, sizeof(all_bytes) - 1 }));
	CHECK(ar_str_is(ar_col_str(&rows, 4), "{\"n\":7}"));
	CHECK(ar_col_null(&rows, 5));
	CHECK(ar_str_eq(ar_col_str(&rows, 6), text_of(&scope, 40000).s));
	CHECK(ar_rows_next(&rows));
	CHECK(ar_col_int(&rows, 0) == INT64_MAX && ar_col_float(&rows, 1) == -1e300);
	CHECK(!ar_col_null(&rows, 2) && ar_col_str(&rows, 2).n == 0);
	CHECK(!ar_col_null(&rows, 3) && ar_col_bytes(&rows, 3).n == 0);
	CHECK(ar_col_null(&rows, 4) && ar_col_null(&rows, 6));
	ar_pool_free(pool);
	ar_db_release(db);
}

/* Each unit reads what the one before it left, and goes on from there. */
static int count_up(struct ar_scope *scope, int index)
{
	struct ar_rows rows;

	CHECK(ar_query_lock(scope, &rows, "SELECT n FROM counter", AR_NO_ARGS) == 0);
	CHECK(ar_rows_next(&rows));
	CHECK(ar_exec(scope, "UPDATE counter SET n = ?",
		      AR_ARGS(AR_J_INT(ar_col_int(&rows, 0) + 1)), NULL) == 0);
	CHECK(ar_exec(scope, "INSERT INTO t (id, v) SELECT n, 'at ' || n FROM counter", AR_NO_ARGS,
		      NULL) == 0);
	return index % 4 == 3 ? fails() : 0;
}

TEST(units_that_build_on_each_other)
{
	struct ar_db *db = make_db("chain");

	rig_exec(db, "CREATE TABLE counter (n BIGINT)");
	rig_exec(db, "INSERT INTO counter (n) VALUES (0)");
	run_units(db, 40, count_up);
	CHECK(rig_count(db, "SELECT n FROM counter") == 30);
	CHECK(rig_count(db, "SELECT count(*) FROM t WHERE id BETWEEN 1 AND 30") == 30);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 30);
	ar_db_release(db);
}

/* More texts of SQL than are kept prepared. */
static int own_texts(struct ar_scope *scope, int index)
{
	for (int i = 0; i < 40; i++)
		CHECK(ar_exec(scope,
			      ar_printf(scope->pool, "INSERT INTO t (id, v) VALUES (%d, ?)",
					index * 40 + i),
			      AR_ARGS(AR_J_Z("x")), NULL) == 0);
	return index == 5 ? fails() : 0;
}

TEST(many_texts)
{
	struct ar_db *db = make_db("texts");

	run_units(db, 8, own_texts);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 280);
	CHECK(rig_count(db, "SELECT count(*) FROM t WHERE id BETWEEN 200 AND 239") == 0);
	ar_db_release(db);
}

/* All that is kept prepared is in the log, and a statement needs another one, the savepoint. */
static int texts_then_others(struct ar_scope *scope, int index)
{
	struct ar_rows rows;

	if (index == 0)
		CHECK(insert(scope, 0, AR_J_NULL) == 0);
	for (int i = 0; i < (index == 0 ? 150 : 0); i++)
		CHECK(ar_exec(scope, ar_printf(scope->pool, "UPDATE t SET v = '%d'", i), AR_NO_ARGS,
			      NULL) == 0);
	if (index == 0)
		return 0;
	if (index == 1)
		return ar_exec(scope, "CREATE TABLE other (n BIGINT)", AR_NO_ARGS, NULL);
	CHECK(ar_query_lock(scope, &rows, "INSERT INTO t (id) VALUES (2) RETURNING id",
			    AR_NO_ARGS) == 0);
	return 0;
}

static int texts_then_returning(struct ar_scope *scope, int index)
{
	return texts_then_others(scope, index * 2);
}

TEST(many_texts_and_one_that_needs_a_savepoint)
{
	struct ar_db *db = make_db("crowd");

	if (rig_is_sqlite(&rig)) { /* FOR UPDATE goes with no INSERT */
		run_units(db, 2, texts_then_others);
		CHECK(rig_count(db, "SELECT count(*) FROM other") == 0);
		run_units(db, 2, texts_then_returning);
		CHECK(rig_count(db, "SELECT sum(id) FROM t") == 2);
	}
	ar_db_release(db);
}

/* ---- more than the log holds ---- */

static int large(struct ar_scope *scope, int index)
{
	CHECK(insert(scope, 10 * index, AR_J_Z("small")) == 0);
	if (index == 1 || index == 3)
		for (int i = 1; i < 5; i++)
			CHECK(insert(scope, 10 * index + i, text_of(scope, 100000)) == 0);
	return index == 1 || index == 4 ? fails() : 0;
}

TEST(large_units)
{
	struct ar_db *db = make_db("large");

	run_units(db, 6, large);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 8);
	CHECK(rig_count(db, "SELECT sum(id) FROM t") == 0 + 20 + 30 + 31 + 32 + 33 + 34 + 50);
	CHECK(rig_count(db, "SELECT sum(length(v)) FROM t") == 400000 + 4 * 5);
	ar_db_release(db);
}

static int long_unit(struct ar_scope *scope, int index)
{
	for (int i = 0; i < (index == 1 ? 700 : 3); i++)
		CHECK(insert(scope, 1000 * index + i, AR_J_NULL) == 0);
	return index == failing ? fails() : 0;
}

TEST(long_units)
{
	for (failing = 1; failing <= 2; failing++) {
		struct ar_db *db = make_db("long");

		run_units(db, 4, long_unit);
		CHECK(rig_count(db, "SELECT count(*) FROM t") == 9 + (failing == 1 ? 0 : 697));
		CHECK(rig_count(db, "SELECT count(*) FROM t WHERE id / 1000 = 0") == 3);
		CHECK(rig_count(db, "SELECT count(*) FROM t WHERE id / 1000 = 3") == 3);
		ar_db_release(db);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_the_middle_the_last),
		cmocka_unit_test(one_that_changed_nothing_costs_nothing),
		cmocka_unit_test(every_third),
		cmocka_unit_test(values_are_the_same_again),
		cmocka_unit_test(units_that_build_on_each_other),
		cmocka_unit_test(many_texts),
		cmocka_unit_test(many_texts_and_one_that_needs_a_savepoint),
		cmocka_unit_test(large_units),
		cmocka_unit_test(long_units),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
