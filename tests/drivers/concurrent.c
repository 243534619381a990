/*
 * concurrent.c - many fibers on many loops: no lost update, groups that really group, readers that
 * see commits only, cancelled waiters, handles that close, databases that go while others work.
 */
#include "tests/drivers/rig.h"

#include <dirent.h>
#include <sched.h>
#include <stdatomic.h>

static struct rig rig;

static void run_with(const struct ar_store_options *options, int loops,
		     void (*fn)(void *arg, int index), void *arg)
{
	rig_start(&rig, options);
	rig_run(&rig, loops, fn, arg);
	rig_stop(&rig);
}

/* The first loop makes the database, the others wait for it. */
static _Atomic int ready;

static struct ar_db *shared_db(int index, const char *name, const char *sql)
{
	struct ar_db *db;

	if (index > 0) {
		while (ready == 0)
			CHECK(ar_sleep(1) == 0);
		return rig_open(&rig, name);
	}
	db = rig_db(&rig, name);
	rig_exec(db, sql);
	ready = 1;
	return db;
}

/* All loops are done, and only then is a result looked at. total: calls so far, of all loops. */
static _Atomic int finished;

static void wait_for_all(int total)
{
	finished++;
	while (finished < total)
		CHECK(ar_sleep(1) == 0);
}

/* ---- counting ---- */

#define LOOPS  2
#define FIBERS 32
#define ROUNDS 15

static void count_up(void *arg, int index)
{
	struct ar_db *db = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;
		struct ar_rows rows;
		int64_t n;

		ar_scope_init(&scope, db, pool);
		CHECK(ar_query_lock(&scope, &rows, "SELECT n FROM counter WHERE id = ?",
				    AR_ARGS(AR_J_INT(1))) == 0);
		CHECK(ar_rows_next(&rows));
		n = ar_col_int(&rows, 0);
		CHECK(ar_exec(&scope, "UPDATE counter SET n = ? WHERE id = ?",
			      AR_ARGS(AR_J_INT(n + 1), AR_J_INT(1)), NULL) == 0);
		if ((i + index) % 5 == 4) {
			ar_rollback(&scope); /* does not count */
		} else {
			CHECK(ar_commit(&scope) == 0);
			/* What was committed is seen at once, outside of the unit too. */
			CHECK(ar_query(&scope, &rows, "SELECT n FROM counter WHERE id = ?",
				       AR_ARGS(AR_J_INT(1))) == 0);
			CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) >= n + 1);
		}
		ar_pool_free(pool);
	}
}

static void counting(void *arg, int index)
{
	struct ar_db *db = shared_db(index, "counting",
				     "CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT)");
	struct ar_store_stats stats;

	if (index == 0)
		rig_exec(db, "INSERT INTO counter (id, n) VALUES (1, 0)");
	while (rig_count(db, "SELECT count(*) FROM counter") == 0)
		CHECK(ar_sleep(1) == 0);
	rig_fibers(FIBERS, count_up, db);
	wait_for_all(LOOPS);
	CHECK(rig_count(db, "SELECT n FROM counter") == LOOPS * FIBERS * ROUNDS * 4 / 5);
	ar_store_stats(rig.store, &stats);
	CHECK(stats.units >= LOOPS * FIBERS * ROUNDS * 4 / 5);
	if (rig_is_sqlite(&rig)) {
		CHECK(stats.commits * 4 < stats.units); /* they share commits */
		CHECK(stats.lease_waits > 0);
	}
	ar_db_release(db);
}

static void no_update_is_lost(void **state)
{
	run_with(NULL, LOOPS, counting, NULL);
}

/* ---- what others see ---- */

static _Atomic int stage;

static void others(void *arg, int index)
{
	struct ar_db *db = shared_db(index, "others", "CREATE TABLE t (n BIGINT)");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	if (index == 0) {
		CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
		stage = 1;
		while (stage != 2) /* a unit waits for the store only: no fiber wait here */
			sched_yield();
		CHECK(ar_commit(&scope) == 0);
		stage = 3;
	} else {
		while (stage != 1)
			CHECK(ar_sleep(1) == 0);
		CHECK(rig_count(db, "SELECT count(*) FROM t") == 0);
		stage = 2;
		while (stage != 3)
			sched_yield();
		CHECK(rig_count(db, "SELECT count(*) FROM t") == 1);
	}
	wait_for_all(2);
	ar_pool_free(pool);
	ar_db_release(db);
}

static void other_loops_see_commits_at_once(void **state)
{
	run_with(NULL, 2, others, NULL);
}

/* ---- giving up ---- */

struct waiter {
	struct ar_db *db;
	bool ran, got;
	const struct ar_err_def *error;
};

static void wait_for_lease(void *arg)
{
	struct waiter *w = arg;
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, w->db, pool);
	if (ar_exec(&scope, "INSERT INTO t (n) VALUES (100)", AR_NO_ARGS, NULL) == 0) {
		w->got = true;
		ar_rollback(&scope);
	} else {
		w->error = ar_err()->def;
		ar_rollback(&scope); /* it may have begun before it was given up */
	}
	ar_pool_free(pool);
	w->ran = true;
}

static void giving_up(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "lease");
	struct waiter first = { .db = db }, late = { .db = db }, last = { .db = db };
	struct ar_pool *pool = ar_pool_new();
	struct ar_fiber *fiber;
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	fiber = ar_go("first", wait_for_lease, &first, AR_NO_DEADLINE);
	ar_go("late", wait_for_lease, &late, ar_mono_ms() + 500);
	ar_go("last", wait_for_lease, &last, AR_NO_DEADLINE);
	if (rig_is_sqlite(&rig)) {
		CHECK(!first.ran && !late.ran && !last.ran);
		ar_cancel(fiber);
		/* Other fibers run; as the test of the lease, this one waits inside of a unit. */
		CHECK(ar_sleep(700) == 0);
		CHECK(first.ran && first.error == AR_E_CANCELLED);
		CHECK(late.ran && late.error == AR_E_DEADLINE);
		CHECK(!last.ran);
	}
	CHECK(ar_commit(&scope) == 0);
	while (!first.ran || !late.ran || !last.ran)
		CHECK(ar_sleep(1) == 0);
	CHECK(last.got);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 1);
	rig_exec(db, "INSERT INTO t (n) VALUES (2)"); /* the lease is free */
	ar_pool_free(pool);
	ar_db_release(db);
}

static void waiters_may_give_up(void **state)
{
	run_with(NULL, 1, giving_up, NULL);
}

/* Fibers are cancelled at random moments, on two loops; what they say is what is stored. */
struct chaos {
	struct ar_db *db;
	int loop;
	int64_t stored; /* by fibers of this loop */
};

static void chaos_unit(void *arg, int index)
{
	struct chaos *c = arg;

	for (int i = 0; i < 40; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;
		int64_t before = ar_deadline_set(ar_mono_ms() + (int64_t)ar_random_below(4));
		int rc;

		ar_scope_init(&scope, c->db, pool);
		rc = ar_exec(&scope, "INSERT INTO t (n) VALUES (?)", AR_ARGS(AR_J_INT(index)),
			     NULL);
		if (rc == 0 && ar_random_below(4) == 0)
			rc = ar_exec(&scope, "INSERT INTO t (n) VALUES (?, 1)", /* not SQL for t */
				     AR_ARGS(AR_J_INT(index)), NULL);
		if (rc == 0)
			rc = ar_commit(&scope);
		else
			ar_rollback(&scope);
		c->stored += rc == 0;
		ar_deadline_set(before);
		ar_err_clear();
		ar_pool_free(pool);
		CHECK(ar_pause() == 0);
	}
}

static _Atomic int64_t stored;

static void chaos(void *arg, int index)
{
	struct ar_db *db = shared_db(index, "chaos", "CREATE TABLE t (n BIGINT)");
	struct chaos c = { .db = db, .loop = index };

	rig_fibers(32, chaos_unit, &c);
	stored += c.stored;
	wait_for_all(2);
	CHECK(c.stored > 0 && c.stored < 32 * 40);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == stored);
	wait_for_all(4);
	rig_exec(db, "DELETE FROM t"); /* both loops still get the lease */
	ar_db_release(db);
}

static void answers_are_true_under_deadlines(void **state)
{
	stored = 0;
	run_with(NULL, 2, chaos, NULL);
}

/* A second unit of the same fiber would wait for the first for ever. */
static void twice(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "twice"), *other = rig_db(&rig, "twice2");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope, second, elsewhere;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_exec(other, "CREATE TABLE t (n BIGINT)");
	ar_scope_init(&scope, db, pool);
	ar_scope_init(&second, db, pool);
	ar_scope_init(&elsewhere, other, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	if (rig_is_sqlite(&rig))
		CHECK_FAILS(ar_begin(&second), AR_E_INTERNAL);
	CHECK(ar_exec(&elsewhere, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&elsewhere) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
	ar_db_release(db);
	ar_db_release(other);
}

static void units_of_two_databases(void **state)
{
	run_with(NULL, 1, twice, NULL);
}

/* ---- handles ---- */

static int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

#define TENANTS 300

static void touch(void *arg, int index)
{
	char name[40];
	struct ar_str full;
	struct ar_db *db;

	snprintf(name, sizeof(name), "many-%d", index);
	full = ar_str(name);
	if (ar_store_create(rig.store, full) != 0) {
		CHECK(ar_err_is(AR_E_CONFLICT));
		CHECK(ar_store_drop(rig.store, full) == 0);
		CHECK(ar_store_create(rig.store, full) == 0);
	}
	CHECK(ar_db_acquire(rig.store, full, &db) == 0);
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_db_release(db);
	CHECK(ar_db_acquire(rig.store, full, &db) == 0);
	rig_exec(db, "INSERT INTO t (n) VALUES (1)");
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 1);
	ar_db_release(db);
}

static void some(void *arg, int index)
{
	for (int i = index; i < TENANTS; i += 10)
		touch(arg, i);
}

static void drop_one(void *arg, int index)
{
	char name[40];

	for (int i = index; i < TENANTS; i += 10) {
		snprintf(name, sizeof(name), "many-%d", i);
		CHECK(ar_store_drop(rig.store, ar_str(name)) == 0);
	}
}

static void many(void *arg, int index)
{
	struct ar_store_stats stats;
	int files = open_files();
	int64_t end;

	rig_fibers(10, some, NULL);
	ar_store_stats(rig.store, &stats);
	CHECK(stats.open > 0 && stats.open <= 40 + 10); /* the newest, until the sweeper comes */
	end = ar_mono_ms() + 60000;
	while (stats.open > 0 && ar_mono_ms() < end) {
		CHECK(ar_sleep(20) == 0);
		ar_store_stats(rig.store, &stats);
	}
	CHECK(stats.open == 0);
	if (rig_is_sqlite(&rig))
		CHECK(open_files() <= files + 8); /* the pool's threads have none */
	rig_fibers(10, some, NULL);
	rig_fibers(10, drop_one, NULL);
}

static void handles_close_when_cold(void **state)
{
	struct ar_store_options options = { .open_max = 40, .idle_ms = 100 };

	run_with(&options, 1, many, NULL);
}

/* Two loops open, write, close and open again all the time; files must never be opened twice. */
static _Atomic int64_t written;

static void flapper(void *arg, int index)
{
	for (int i = 0; i < 60; i++) {
		struct ar_db *db = rig_open(&rig, "flap");

		rig_exec(db, "INSERT INTO t (n) VALUES (1)");
		written++;
		CHECK(rig_count(db, "SELECT count(*) FROM t") >= 1);
		ar_db_release(db);
		CHECK(ar_sleep((int64_t)ar_random_below(25)) == 0);
	}
}

static void flapping(void *arg, int index)
{
	struct ar_db *db = shared_db(index, "flap", "CREATE TABLE t (n BIGINT)");

	ar_db_release(db);
	rig_fibers(2, flapper, NULL);
	wait_for_all(2);
	db = rig_open(&rig, "flap");
	CHECK(rig_count(db, "SELECT count(*) FROM t") == written);
	if (rig_is_sqlite(&rig))
		CHECK(rig_count(db, "SELECT count(*) FROM pragma_integrity_check"
				    " WHERE integrity_check = 'ok'") == 1);
	ar_db_release(db);
}

static void handles_open_and_close_under_load(void **state)
{
	struct ar_store_options options = { .idle_ms = 1 };

	written = 0;
	run_with(&options, 2, flapping, NULL);
}

/* Another loop has an idle handle of what is dropped. */
static void drop_elsewhere(void *arg, int index)
{
	struct ar_db *db = shared_db(index, "elsewhere", "CREATE TABLE t (n BIGINT)");

	CHECK(rig_count(db, "SELECT count(*) FROM t") == 0);
	ar_db_release(db);
	finished++;
	while (finished < 2)
		CHECK(ar_sleep(1) == 0);
	if (index == 0) {
		CHECK(ar_store_drop(rig.store, AR_STR("conc-elsewhere")) == 0);
		finished++;
	}
	while (finished < 3)
		CHECK(ar_sleep(1) == 0);
	CHECK_FAILS(ar_db_acquire(rig.store, AR_STR("conc-elsewhere"), &db), AR_E_NO_DATABASE);
}

static void a_drop_reaches_every_loop(void **state)
{
	run_with(NULL, 2, drop_elsewhere, NULL);
}

static int reset(void **state)
{
	ready = finished = stage = 0;
	return 0;
}

static int make(void **state)
{
	rig_make(&rig, "conc");
	return 0;
}

static int unmake(void **state)
{
	rig_remove(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_update_is_lost, reset),
		cmocka_unit_test_setup(other_loops_see_commits_at_once, reset),
		cmocka_unit_test_setup(waiters_may_give_up, reset),
		cmocka_unit_test_setup(answers_are_true_under_deadlines, reset),
		cmocka_unit_test_setup(units_of_two_databases, reset),
		cmocka_unit_test_setup(handles_close_when_cold, reset),
		cmocka_unit_test_setup(handles_open_and_close_under_load, reset),
		cmocka_unit_test_setup(a_drop_reaches_every_loop, reset),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
