/*
 * life.c - a bus over time: effects that are there once, timers, restarts, sleep, pruning, work
 * left over.
 */
#include "runtime/bus/tests/record.h"

#include <sys/mman.h>

/* ---- exactly once ---- */

TEST(stored_effects_commit_with_the_position)
{
	reset(rig);
	rig_subscribe(rig, &(struct ar_subscription){ .name = AR_STR("s"),
						      .topics = AR_STR("t"),
						      .kind = AR_STR("stored") });
	fail_n = 2;
	fail_times = 2;
	for (int i = 1; i <= 4; i++)
		rig_publish(rig, "t", "a", i);
	rig_publish(rig, "t", "b", 5);
	for (int i = 6; i <= 9; i++)
		rig_publish(rig, "count.x", "a", i);
	rig_sleep(100);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect WHERE n < 5"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 6);
	rig_sleep(20000);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 9);
	CHECK_INT(rig_count(rig, "SELECT count(DISTINCT n) FROM effect"), 9);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
	for (int i = 1, last = 0; i < nrecord; i++) { /* 2, 2, 2, 3, 4 after 1 */
		if (record[i].n > 4)
			continue;
		CHECK(record[i].n >= last);
		last = (int)record[i].n;
	}
}

/* ---- timers ---- */

static int fired;
static int64_t fired_ms;
static int fire_fails;

static int fire(struct ar_scope *scope, struct ar_str database, const struct ar_timer *timer)
{
	CHECK(ar_str_is(timer->kind, "tick") && ar_str_is(database, "bus-test"));
	if (ar_exec(scope, "INSERT INTO effect (n, key) VALUES (1, ?)",
		    AR_ARGS(AR_J_STR(timer->data)), NULL) != 0)
		return -1;
	if (fire_fails > 0) {
		fire_fails--;
		return ar_fail(AR_E_UNAVAILABLE);
	}
	fired++;
	fired_ms = ar_now_ms();
	if (ar_str_is(timer->data, "again") && fired < 5) {
		struct ar_timer next = *timer;

		next.due_ms += 1000;
		return ar_timer_set(scope, &next);
	}
	return 0;
}
static const struct ar_timer_kind tick = { "tick", fire };

static void timer_set(struct rig *rig, const char *id, int64_t after_ms, const char *data)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_timer_set(&scope, &(struct ar_timer){ .id = ar_str(id),
						       .due_ms = ar_now_ms() + after_ms,
						       .kind = AR_STR("tick"),
						       .data = ar_str(data) }) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

TEST(timers_fire_when_due)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	int64_t began;

	reset(rig);
	fired = 0;
	began = ar_now_ms();
	timer_set(rig, "far", 3600000, "x"); /* the worker ends, the clock brings it back */
	timer_set(rig, "near", 500, "x");
	timer_set(rig, "cleared", 600, "x");
	timer_set(rig, "moved", 700, "x");
	timer_set(rig, "moved", 7200000, "x");
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_timer_clear(&scope, AR_STR("cleared")) == 0 && ar_commit(&scope) == 0);
	rig_sleep(10000);
	CHECK_INT(fired, 1);
	CHECK_RANGE(fired_ms - began, 500, 520);
	rig_sleep(3600000);
	CHECK_INT(fired, 2);
	CHECK_RANGE(fired_ms - began, 3600000, 3600100);
	rig_sleep(3600000);
	CHECK_INT(fired, 3);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_timer"), 0);

	fired = 0;
	timer_set(rig, "many", 100, "again");
	rig_sleep(3200);
	CHECK_INT(fired, 4);
	rig_sleep(10000);
	CHECK_INT(fired, 5);

	fired = 0;
	fire_fails = 3;
	rig_exec(rig, "DELETE FROM effect");
	timer_set(rig, "fails", 100, "x");
	rig_sleep(20000);
	CHECK_INT(fired, 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 1);
	ar_pool_free(pool);
}

/* ---- restart, sleep, pruning ---- */

TEST(resumes_after_a_restart)
{
	reset(rig);
	fired = 0;
	subscribe(rig, "s", "*", "");
	work_ms = 50000; /* none of them ends before the stop */
	for (int i = 1; i <= 5; i++)
		rig_publish(rig, "t", "a", i);
	timer_set(rig, "t", 100000, "x");
	rig_sleep(100);
	CHECK_INT(resumes, 1);
	ar_bus_stop();
	CHECK_INT(nrecord, 0);
	work_ms = 0;
	rig_bus_start(rig);
	ar_bus_wake(rig->name);
	rig_sleep(1000);
	CHECK_INT(resumes, 2);
	CHECK_INT(nrecord, 5);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(record[i].n, i + 1);
		CHECK_INT(record[i].attempt, 1);
	}
	rig_sleep(200000);
	CHECK_INT(fired, 1);
}

/* Log lines of a level while a tenant cannot be resumed at first. */
static int lines_until_resumed(struct rig *rig, const struct ar_err_def *why, const char *level)
{
	static char text[1 << 20];
	int fd = memfd_create("log", MFD_CLOEXEC), count = 0;
	const char *at = text;
	ssize_t n;

	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_sleep(100000);
	ar_bus_stop();
	ar_log_fd(fd);
	resumes = 0;
	resume_fails = why;
	rig_bus_start(rig);
	rig_publish(rig, "t", "a", 1);
	rig_sleep(10000);
	ar_log_fd(2);
	CHECK_INT(resumes, 4);
	CHECK_INT(nrecord, 1);
	n = pread(fd, text, sizeof(text) - 1, 0);
	CHECK(n >= 0);
	text[n] = '\0';
	close(fd);
	while ((at = strstr(at, level)) != NULL) {
		count++;
		at++;
	}
	return count;
}

TEST(what_cannot_be_resumed_is_said)
{
	CHECK_INT(lines_until_resumed(rig, AR_E_UNAVAILABLE, "\"level\":\"error\""), 3);
}

/* It publishes while it is being made, before anybody can reach it. */
TEST(a_tenant_that_is_not_there_yet_is_no_error)
{
	CHECK_INT(lines_until_resumed(rig, AR_E_NOT_FOUND, "\"level\":\"error\""), 0);
}

/* Each event is held against each subscription: a tenant has so many, and may change those. */
TEST(subscriptions_are_bounded)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_subscription s = { .name = AR_STR("s"),
				     .topics = AR_STR("*"),
				     .kind = AR_STR("test"),
				     .target = AR_STR("t") };
	struct ar_scope scope;

	reset(rig);
	rig_exec(rig,
		 "INSERT INTO bus_subscription (name, builtin, topics, condition, kind, target, "
		 "options, max_attempts, from_seq) WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL "
		 "SELECT n + 1 FROM up WHERE n < 999) SELECT 'n' || n, 0, 'x', '', 'test', 't', "
		 "'{}', 10, 0 FROM up");
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_subscribe(&scope, &s) == 0);
	CHECK(ar_subscribe(&scope, &s) == 0);
	s.name = AR_STR("one more");
	CHECK_FAILS(ar_subscribe(&scope, &s), AR_E_INVALID);
	ar_rollback(&scope);
	ar_pool_free(pool);
}

TEST(sleeps_when_there_is_nothing)
{
	struct ar_bus_stats stats;

	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_sleep(100);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 1);
	rig_sleep(5000);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 0);
	rig_publish(rig, "t", "a", 2);
	rig_sleep(100);
	CHECK_INT(nrecord, 2);
	ar_bus_close(rig->name);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 0);
}

TEST(prunes_what_is_delivered_and_old)
{
	reset(rig);
	rig_retain(60000, INT64_C(1) << 30, INT64_C(1) << 28);
	subscribe(rig, "s", "*", "");
	fail_n = 50;
	fail_times = 8;
	for (int i = 1; i <= 100; i++)
		rig_publish(rig, "t", "a", i);
	rig_sleep(150000); /* 50 is still being tried: it and what follows must stay */
	rig_publish(rig, "t", "b", 101);
	rig_sleep(5000);
	rig_publish(rig, "t", "b", 102);
	rig_sleep(2000000);
	CHECK_INT(nrecord, 110);
	rig_publish(rig, "t", "b", 103);
	rig_sleep(700000);
	rig_publish(rig, "t", "b", 104);
	rig_sleep(5000);
	CHECK_INT(rig_count(rig, "SELECT max(seq) FROM bus_event"), 104);
	CHECK(rig_count(rig, "SELECT count(*) FROM bus_event") <= 2);
	rig_retain(RIG_WEEK_MS, INT64_C(1) << 30, INT64_C(1) << 28);
}

static int list_one(struct ar_pool *pool, struct ar_str after, int limit, struct ar_json **ret)
{
	*ret = ar_json_new(pool, AR_ARRAY);
	if (after.n == 0)
		ar_json_add(*ret, ar_json_str(pool, AR_STR("bus-test")));
	return 0;
}

TEST(finds_work_left_over)
{
	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_sleep(10000); /* the worker has ended */
	ar_bus_stop();
	rig_publish(rig, "t", "a", 1); /* nobody hears it */
	rig_bus_start(rig);
	rig_sleep(10000);
	CHECK_INT(nrecord, 0);
	CHECK(ar_bus_resume_all(list_one) == 0);
	rig_sleep(100);
	CHECK_INT(nrecord, 1);
}

static bool dies_once(const char *point)
{
	if (strcmp(point, "committed") != 0 || running == 0)
		return false;
	bus_fault = NULL;
	return true;
}

/* A worker that died takes as long as its deliveries take to hear of it. */
TEST(stopping_waits_for_the_dying)
{
	reset(rig);
	work_ms = 5000;
	unmoved = true;
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_sleep(100);
	CHECK_INT(running, 1);
	bus_fault = dies_once;
	rig_publish(rig, "t", "b", 2);
	rig_sleep(100);
	CHECK(bus_fault == NULL);
	ar_bus_stop();
	CHECK_INT(running, 0);
	rig_bus_start(rig);
	work_ms = 0;
	ar_bus_wake(rig->name);
	rig_sleep(1000);
	CHECK_INT(nrecord, 3); /* the first one twice: nobody saw it end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stored_effects_commit_with_the_position),
		cmocka_unit_test(timers_fire_when_due),
		cmocka_unit_test(resumes_after_a_restart),
		cmocka_unit_test(subscriptions_are_bounded),
		cmocka_unit_test(what_cannot_be_resumed_is_said),
		cmocka_unit_test(a_tenant_that_is_not_there_yet_is_no_error),
		cmocka_unit_test(sleeps_when_there_is_nothing),
		cmocka_unit_test(prunes_what_is_delivered_and_old),
		cmocka_unit_test(finds_work_left_over),
		cmocka_unit_test(stopping_waits_for_the_dying),
	};

	record_register();
	ar_timer_register(&tick);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
