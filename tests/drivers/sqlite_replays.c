/*
 * sqlite_replays.c - units that fail by themselves on a disk that fails: a group that is run again
 * meets a fault in the midst of it, and answers stay true under faults at random.
 */
#include "tests/drivers/sqlite_disk.h"

#include <time.h>

/* A group takes units for some milliseconds: while a test makes one, the clock stands still. */
static _Atomic int64_t stands_us; /* 0: it goes */

static int64_t clock_us(void *arg)
{
	int64_t stands = stands_us;
	struct timespec now;

	if (stands != 0)
		return stands;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void clock_stands(bool stands)
{
	stands_us = stands ? ar_mono_us() : 0;
}

/* ---- units that fail by themselves, on a disk that fails ---- */

struct pair {
	struct ar_db *db;
	const char *sql;               /* of the second unit, which is to fail */
	_Atomic int *fault;            /* begins when it has run */
	const struct ar_err_def *says; /* afterwards */
};

static void second_fails(void *arg)
{
	struct pair *pair = arg;
	struct ar_scope scope;

	ar_scope_init(&scope, pair->db, pool);
	if (ar_exec(&scope, pair->sql, AR_NO_ARGS, NULL) == 0)
		ar_fail(AR_E_CONFLICT);
	*pair->fault = 1;
	ar_rollback(&scope);
	pair->says = ar_err()->def;
	ar_err_clear();
}

/* Returns what the first unit's commit says; both units are of one group. */
static const struct ar_err_def *run_pair(struct pair *pair, const char *first)
{
	const struct ar_err_def *says = NULL;
	struct ar_scope scope;

	pair->says = NULL;
	clock_stands(true);
	ar_scope_init(&scope, pair->db, pool);
	CHECK(ar_exec(&scope, first, AR_NO_ARGS, NULL) == 0);
	ar_go("second", second_fails, pair, AR_NO_DEADLINE);
	if (ar_commit(&scope) != 0)
		says = ar_err()->def;
	clock_stands(false);
	ar_err_clear();
	while (pair->says == NULL)
		CHECK(ar_sleep(1) == 0);
	return says;
}

/* "It is there already", said because of a row that was then not stored. */
TEST(who_saw_what_was_never_stored)
{
	static const char sql[] = "INSERT INTO t (n, filler) VALUES (1, 'a name')";
	struct pair pair = { rig_db(&rig, "witness"), sql, &fail_log_sync };

	rig_exec(pair.db, "CREATE TABLE t (n BIGINT PRIMARY KEY, filler TEXT)");
	CHECK(run_pair(&pair, sql) == AR_E_STORE);
	CHECK(fail_log_sync == 0);
	CHECK(pair.says == AR_E_BUSY);
	CHECK(rig_count(pair.db, "SELECT count(*) FROM t") == 0);
	pair.fault = &(_Atomic int){ 0 };
	CHECK(run_pair(&pair, sql) == NULL);
	CHECK(pair.says == AR_E_UNIQUE);
	CHECK(sum_after_crash("witness") == 1);
	ar_db_release(pair.db);
}

/* The group is run again without a unit that failed, and the disk fails in the midst of that. */
static void lose_again(void *arg, int index)
{
	struct pair pair = { rig_open(&rig, "group"),
			     "UPDATE t SET n = n + 1 WHERE rowid % 100 = 0", &fail_read };

	CHECK(run_pair(&pair, "INSERT INTO t (n) SELECT 7 FROM t WHERE rowid % 200 = 0") ==
	      AR_E_BUSY);
	CHECK(fail_read == 0);
	CHECK(pair.says == AR_E_BUSY);
	CHECK(rig_count(pair.db, "SELECT sum(n) FROM t") == 0);
	pair.fault = &(_Atomic int){ 0 };
	CHECK(run_pair(&pair, "INSERT INTO t (n) VALUES (8)") == NULL);
	CHECK(pair.says == AR_E_CONFLICT);
	CHECK(rig_count(pair.db, "SELECT sum(n) FROM t") == 8);
	CHECK(sum_after_crash("group") == 8);
	sound(pair.db);
	ar_db_release(pair.db);
}

static void a_disk_that_fails_while_a_group_is_run_again(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, fill, NULL);
	rig_stop(&rig);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, lose_again, NULL);
	rig_stop(&rig);
}

/* So many rows as chance gives: ten such statements do not give the same ones twice. */
#define BY_CHANCE                                                                                  \
	"INSERT INTO t (n) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"        \
	" WHERE n < 100 AND random() % 8 <> 0) SELECT n FROM c"

static void chance_unit(void *arg)
{
	struct pair *pair = arg;
	struct ar_scope scope;

	ar_scope_init(&scope, pair->db, pool);
	for (int i = 0; i < 10; i++)
		CHECK(ar_exec(&scope, BY_CHANCE, AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == -1);
	pair->says = ar_err()->def;
	ar_err_clear();
}

TEST(a_statement_that_answers_otherwise_the_second_time)
{
	struct pair first = { rig_db(&rig, "chance"), NULL, NULL, NULL };
	struct pair pair = { first.db, "INSERT INTO t (n) VALUES (5)", &(_Atomic int){ 0 } };

	rig_exec(first.db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	clock_stands(true);
	ar_go("chance", chance_unit, &first, AR_NO_DEADLINE);
	CHECK(run_pair(&pair, "INSERT INTO t (n) VALUES (1)") == AR_E_BUSY);
	CHECK(first.says == AR_E_BUSY && pair.says == AR_E_BUSY);
	CHECK(rig_count(first.db, "SELECT count(*) FROM t") == 0);
	CHECK(insert(first.db, 4) == 0);
	CHECK(sum_after_crash("chance") == 4);
	sound(first.db);
	ar_db_release(first.db);
}

/* Many units, faults at random: the answers tell exactly what is stored. */
#define UNITS 3000
static unsigned char answer[UNITS]; /* 1: stored, 2: not */

static void random_unit(void *arg, int index)
{
	for (int n = index; n < UNITS; n += 16) {
		answer[n] = (n % 9 == 5 ? insert_and_fail(arg, n) : insert(arg, n)) == 0 ? 1 : 2;
		ar_err_clear();
		if (ar_random_below(8) == 0)
			CHECK(ar_pause() == 0);
	}
}

static void random_faults(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "random");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	one_in = 12;
	rig_fibers(16, random_unit, db);
	one_in = 0;
	ar_db_release(db);
}

static void compare(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "random");
	struct ar_scope scope;
	struct ar_rows rows;
	int stored = 0;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT n FROM t", AR_NO_ARGS) == 0);
	while (ar_rows_next(&rows)) {
		CHECK(answer[ar_col_int(&rows, 0)] == 1);
		answer[ar_col_int(&rows, 0)] = 3;
		stored++;
	}
	for (int n = 0; n < UNITS; n++)
		CHECK(answer[n] == 2 || answer[n] == 3);
	CHECK(stored > 0 && stored < UNITS);
	sound(db);
	ar_db_release(db);
}

static void answers_are_true_under_faults(void **state)
{
	int before = failed;

	ar_log_level(AR_ERROR);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, random_faults, NULL);
	rig_stop(&rig);
	assert_true(failed > before + 2);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, compare, NULL);
	rig_stop(&rig);
}

int main(void)
{
	static const struct ar_seam seam = { .mono_us = clock_us };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_saw_what_was_never_stored),
		cmocka_unit_test(a_disk_that_fails_while_a_group_is_run_again),
		cmocka_unit_test(a_statement_that_answers_otherwise_the_second_time),
		cmocka_unit_test(answers_are_true_under_faults),
	};

	setenv("APPRUN_TEST_STORE", "sqlite:", 1);
	ar_seam_set(&seam);
	return cmocka_run_group_tests(tests, make, unmake);
}
