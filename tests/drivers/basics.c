/*
 * basics.c - one fiber's view of a database, the same for every driver: making and dropping,
 * migrations, values in and out, the process.
 */
#include "tests/drivers/basics.h"

#include <math.h>

/* ---- making and dropping ---- */

TEST(makes_and_drops)
{
	struct ar_str name = AR_STR("basics-made");
	struct ar_db *db, *again;

	CHECK_FAILS(ar_db_acquire(rig.store, name, &db), AR_E_NO_DATABASE);
	CHECK_FAILS(ar_store_drop(rig.store, name), AR_E_NO_DATABASE);
	CHECK(ar_store_create(rig.store, name) == 0);
	CHECK_FAILS(ar_store_create(rig.store, name), AR_E_CONFLICT);
	CHECK(ar_db_acquire(rig.store, name, &db) == 0);
	CHECK(ar_db_acquire(rig.store, name, &again) == 0);
	CHECK(again == db);
	CHECK(ar_str_eq(ar_db_name(db), name));
	ar_db_release(again);
	rig_exec(db, "CREATE TABLE t (a TEXT)");
	rig_exec(db, "INSERT INTO t (a) VALUES ('old')");
	ar_db_release(db);
	CHECK(ar_store_drop(rig.store, name) == 0);
	CHECK_FAILS(ar_db_acquire(rig.store, name, &db), AR_E_NO_DATABASE);
	/* The same name again is another database. */
	CHECK(ar_store_create(rig.store, name) == 0);
	CHECK(ar_db_acquire(rig.store, name, &db) == 0);
	rig_exec(db, "CREATE TABLE t (a TEXT)");
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 0);
	ar_db_release(db);
	CHECK(ar_store_drop(rig.store, name) == 0);
}

static void wait_and_release(void *arg)
{
	CHECK(ar_sleep(50) == 0);
	ar_db_release(arg);
}

TEST(drop_waits_for_who_holds_it)
{
	struct ar_db *db = rig_db(&rig, "held");
	int64_t began = ar_mono_ms();

	ar_go("holder", wait_and_release, db, AR_NO_DEADLINE);
	CHECK(ar_store_drop(rig.store, AR_STR("basics-held")) == 0);
	CHECK(ar_mono_ms() - began >= 45);
}

TEST(platform_is_always_there)
{
	struct ar_db *db;

	CHECK(ar_db_acquire(rig.store, AR_PLATFORM_DB, &db) == 0);
	CHECK(ar_db_name(db).n == 0);
	CHECK(rig_count(db, "SELECT 42") == 42);
	ar_db_release(db);
}

/* ---- migrations ---- */

#define BOTH(text) text, text
static const struct ar_migration one_first[] = {
	{ "0001_a", BOTH("CREATE TABLE a (n BIGINT); INSERT INTO a (n) VALUES (1);") },
	{ 0 },
};
static const struct ar_migration one_both[] = {
	{ "0001_a", BOTH("CREATE TABLE a (n BIGINT); INSERT INTO a (n) VALUES (1);") },
	{ "0002_b", BOTH("INSERT INTO a (n) VALUES (2); CREATE TABLE b (n BIGINT)") },
	{ 0 },
};
static const struct ar_migration bad[] = {
	{ "0001_c", BOTH("CREATE TABLE c (n BIGINT)") },
	{ "0002_d", BOTH("INSERT INTO nowhere (n) VALUES (1)") },
	{ 0 },
};

static void migrated_once(void *arg, int index)
{
	struct ar_db *db =
		index == 0 && arg == NULL ? rig_db(&rig, "moved") : rig_open(&rig, "moved");

	CHECK(rig_count(db, "SELECT count(*) FROM a") == (arg == NULL ? 1 : 2));
	ar_db_release(db);
}

static void migration_fails(void *arg, int index)
{
	struct ar_db *db = NULL;

	CHECK_FAILS(ar_db_acquire(rig.store, AR_STR("basics-moved"), &db), AR_E_STORE);
}

static void nothing_of_it(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "moved");
	struct ar_scope scope;
	struct ar_rows rows;

	scope_on(&scope, db);
	CHECK_FAILS(ar_query(&scope, &rows, "SELECT n FROM c", AR_NO_ARGS), AR_E_STORE);
	CHECK(rig_count(db, "SELECT count(*) FROM a") == 2);
	CHECK(rig_count(db, "SELECT count(*) FROM ar_migrations") == 2);
	ar_db_release(db);
}

static void migrates(void **state)
{
	struct ar_migration_set set[] = { { "one", one_first }, { NULL, NULL }, { NULL, NULL } };
	struct ar_store_options options = { .tenant = set };

	rig_start(&rig, &options);
	rig_run(&rig, 1, migrated_once, NULL);
	rig_run(&rig, 1, migrated_once, NULL);
	rig_stop(&rig);
	set[0].list = one_both;
	rig_start(&rig, &options);
	rig_run(&rig, 4, migrated_once, &set); /* four loops at the same time */
	rig_stop(&rig);
	set[1] = (struct ar_migration_set){ "two", bad };
	rig_start(&rig, &options);
	rig_run(&rig, 1, migration_fails, NULL);
	rig_stop(&rig);
	set[1].module = NULL;
	rig_start(&rig, &options);
	rig_run(&rig, 1, nothing_of_it, NULL);
	rig_stop(&rig);
}

/* ---- values ---- */

static struct ar_json *sample(void)
{
	struct ar_json *object = ar_json_new(pool, AR_OBJECT);

	ar_json_set(object, AR_STR("名"), ar_json_str(pool, AR_STR("é\"\\")));
	ar_json_set(object, AR_STR("n"), ar_json_int(pool, 7));
	return object;
}

TEST(values_come_back)
{
	static const char all_bytes[] = "\0\x01\xff\xfe'\"\\?$1";
	struct ar_str bytes = { all_bytes, sizeof(all_bytes) - 1 };
	struct ar_db *db = rig_db(&rig, "values");
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_json v;
	int64_t changed = 0;

	scope_on(&scope, db);
	CHECK(ar_exec_long(&scope,
			   rig_is_sqlite(&rig)
				   ? "CREATE TABLE v (id BIGINT PRIMARY KEY, i BIGINT,"
				     " f REAL, t TEXT, b BLOB, j TEXT, x TEXT)"
				   : "CREATE TABLE v (id BIGINT PRIMARY KEY, i BIGINT,"
				     " f DOUBLE PRECISION, t TEXT, b BYTEA, j TEXT, x TEXT)") == 0);
	CHECK(ar_exec(&scope, "INSERT INTO v (id, i, f, t, b, j, x) VALUES (?, ?, ?, ?, ?, ?, ?)",
		      AR_ARGS(AR_J_INT(1), AR_J_INT(INT64_MIN), AR_J_FLOAT(0.1),
			      AR_J_Z("it's ? \"中文\" $1 \xf0\x9f\x98\x80"), AR_J_BYTES(bytes),
			      *sample(), AR_J_NULL),
		      &changed) == 0);
	CHECK(changed == 1);
	CHECK(ar_exec(&scope, "INSERT INTO v (id, i, f, t, b) VALUES (?, ?, ?, ?, ?)",
		      AR_ARGS(AR_J_INT(2), AR_J_INT(INT64_MAX), AR_J_FLOAT(-1e300),
			      AR_J_STR(AR_STR_NONE), AR_J_BYTES(AR_STR_NONE)),
		      NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(ar_query(&scope, &rows, "SELECT i, f, t, b, j, x FROM v WHERE id >= ? ORDER BY id",
		       AR_ARGS(AR_J_INT(1))) == 0);
	CHECK(rows.count == 2 && rows.columns == 6);
	CHECK(ar_rows_next(&rows) && rows.at == 1);
	CHECK(ar_col_type(&rows, 0) == AR_INT && ar_col_int(&rows, 0) == INT64_MIN);
	CHECK(ar_col_type(&rows, 1) == AR_FLOAT && ar_col_float(&rows, 1) == 0.1);
	CHECK(ar_str_is(ar_col_str(&rows, 2), "it's ? \"中文\" $1 \xf0\x9f\x98\x80"));
	CHECK(ar_str_eq(ar_col_bytes(&rows, 3), bytes));
	CHECK(ar_str_is(ar_col_str(&rows, 4), "{\"名\":\"é\\\"\\\\\",\"n\":7}"));
	CHECK(ar_col_null(&rows, 5) && ar_col_int(&rows, 5) == 0 && ar_col_str(&rows, 5).n == 0);
	v = ar_col_value(&rows, 0);
	CHECK(v.type == AR_INT && v.i == INT64_MIN);
	v = ar_col_value(&rows, 2);
	CHECK(v.type == AR_STRING && v.s.n > 0);
	CHECK(ar_rows_next(&rows));
	CHECK(ar_col_int(&rows, 0) == INT64_MAX && ar_col_float(&rows, 1) == -1e300);
	CHECK(!ar_col_null(&rows, 2) && ar_col_str(&rows, 2).n == 0);
	CHECK(!ar_col_null(&rows, 3) && ar_col_bytes(&rows, 3).n == 0);
	CHECK(ar_col_null(&rows, 4));
	CHECK(!ar_rows_next(&rows) && !ar_rows_next(&rows));
	/* Compared with a value of each kind. */
	CHECK(ar_query(&scope, &rows, "SELECT id FROM v WHERE i > ? AND f < ? AND t = ?",
		       AR_ARGS(AR_J_INT(0), AR_J_FLOAT(0.5), AR_J_Z(""))) == 0);
	CHECK(rows.count == 1);
	CHECK(ar_exec(&scope, "UPDATE v SET x = ?", AR_ARGS(AR_J_Z("x")), &changed) == 0);
	CHECK(changed == 2);
	CHECK(ar_exec(&scope, "DELETE FROM v WHERE id = ?", AR_ARGS(AR_J_INT(99)), &changed) == 0);
	CHECK(changed == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_db_release(db);
}

TEST(a_large_result_is_whole)
{
	struct ar_db *db = rig_db(&rig, "large");
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t sum = 0;

	rig_exec(db, "CREATE TABLE t (n BIGINT, s TEXT)");
	rig_exec(db, "INSERT INTO t (n, s) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		     " SELECT n + 1 FROM c WHERE n < 20000)"
		     " SELECT n, 'row number ' || CAST(n AS TEXT) FROM c");
	scope_on(&scope, db);
	CHECK(ar_query(&scope, &rows, "SELECT n, s FROM t ORDER BY n", AR_NO_ARGS) == 0);
	CHECK(rows.count == 20000);
	while (ar_rows_next(&rows)) {
		char text[40];

		sum += ar_col_int(&rows, 0);
		snprintf(text, sizeof(text), "row number %zu", rows.at);
		CHECK(ar_str_is(ar_col_str(&rows, 1), text));
	}
	CHECK(sum == 200010000);
	ar_db_release(db);
}

/* ---- the process ---- */

static void slow_one(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "slow");
	struct ar_store_stats stats;

	rig_count(db, "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
		      " WHERE n < 200000) SELECT max(n) FROM c");
	ar_store_stats(rig.store, &stats);
	CHECK(stats.slow == 1 && stats.statements > 1);
	ar_db_release(db);
}

static void slow_statements_are_logged(void **state)
{
	struct ar_store_options options = { .slow_ms = 20 };
	char text[4096] = "";
	FILE *file = tmpfile();

	ar_log_level(AR_WARN);
	ar_log_fd(fileno(file));
	rig_start(&rig, &options);
	rig_run(&rig, 1, slow_one, NULL);
	rig_stop(&rig);
	ar_log_fd(2);
	ar_log_level(AR_ERROR);
	rewind(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(text, "slow statement"));
	assert_non_null(strstr(text, "WITH RECURSIVE"));
	assert_non_null(strstr(text, "basics-slow"));
}

static void bad_options_are_refused(void **state)
{
	struct ar_store_options options = { .url = AR_STR("mysql://x"),
					    .data = ar_str(rig.folder) };
	struct ar_store *store = NULL;

	assert_fails(ar_store_open(&options, &store), AR_E_STORE);
	options.url = AR_STR("sqlite:");
	options.data = AR_STR("/nowhere/at/all");
	assert_fails(ar_store_open(&options, &store), AR_E_STORE);
	rig_start(&rig, NULL);
	options.data = ar_str(rig.folder);
	if (rig_is_sqlite(&rig)) /* the folder is another's */
		assert_fails(ar_store_open(&options, &store), AR_E_STORE);
	rig_stop(&rig);
	assert_null(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_and_drops),
		cmocka_unit_test(drop_waits_for_who_holds_it),
		cmocka_unit_test(platform_is_always_there),
		cmocka_unit_test(migrates),
		cmocka_unit_test(values_come_back),
		cmocka_unit_test(a_large_result_is_whole),
		cmocka_unit_test(slow_statements_are_logged),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
