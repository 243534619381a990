/*
 * share.c - who burned the CPU runs behind the others, as long as there are others.
 */
#include <sched.h>

#include "sandbox/tests/rig.h"

static bool is_behind(pid_t pid)
{
	return sched_getscheduler(pid) == SCHED_IDLE;
}

static int behind_count(void)
{
	pid_t pids[16];
	size_t n = rig_executors(pids, 16);
	int behind = 0;

	for (size_t i = 0; i < n; i++)
		behind += is_behind(pids[i]);
	return behind;
}

static void prepare(struct rig_call *c, const char *tenant, const char *body)
{
	rig_prepare(c, tenant, "");
	c->run.code.source = ar_strf(c->pool, "return function() %s end", body);
	c->run.code.id = ar_sha256_hex(c->pool, c->run.code.source);
	c->run.limits.cpu_soft_ms = 400;
	c->run.limits.wall_ms = 2 * RIG_PATIENCE_MS;
}

static void call_here(const char *tenant, const char *body, const char *slug)
{
	struct rig_call c;

	prepare(&c, tenant, body);
	rig_call_here(&c);
	assert_string_equal(c.slug, slug);
	rig_free(&c);
}

static void alone_main(void *arg)
{
	struct rig_call c;

	prepare(&c, "alone", "while true do end");
	rig_begin(&c);
	for (int i = 0; i < 20; i++) {
		ar_sleep(10);
		assert_int_equal(behind_count(), 0);
	}
	rig_wait_here();
	assert_string_equal(c.slug, "sandbox/cpu-limit");
	rig_free(&c);
	assert_int_equal(behind_count(), 0);
}

/* Its own debt does not hold anybody up. */
static void who_is_alone_is_not_set_back(void **state)
{
	rig_run(alone_main, NULL);
}

/* Two tenants in turn: one alone would soon not be one of others. */
static void modest_call(void)
{
	static int turn;

	call_here(turn++ % 2 == 0 ? "modest" : "sober", "return true", "");
}

static int behind_beside_others(void)
{
	modest_call();
	return behind_count();
}

static void burning_main(void *arg)
{
	struct rig_call burns;

	modest_call();
	modest_call();
	prepare(&burns, "burner", "while true do end");
	burns.run.limits.cpu_soft_ms = 1000;
	burns.run.limits.cpu_hard_ms = 4000;
	rig_begin(&burns);
	rig_until(behind_beside_others() == 1);
	assert_false(burns.ended); /* within its first call */
	for (int i = 0; i < 10; i++)
		assert_int_equal(behind_beside_others(), 1); /* not the other ones */
	rig_wait_here();
	assert_string_equal(burns.slug, "sandbox/cpu-limit");
	rig_free(&burns);

	prepare(&burns, "burner",
		"return apprun.a.b()"); /* a new process, and behind from the start */
	rig_call_here(&burns);
	rig_free(&burns);
	rig_until(behind_beside_others() == 1); /* when the old one's end has come, too */
}

static void who_burns_beside_others_is_set_back(void **state)
{
	rig_run(burning_main, NULL);
}

/* Others come, it is set back; they go, it may come forward: whether it can or not, it does not begin
 * anew. */
static void long_main(void *arg)
{
	struct ar_sandbox_stats before, after;
	struct rig_call burns;

	prepare(&burns, "long", "while true do end");
	burns.run.limits.cpu_soft_ms = burns.run.limits.cpu_hard_ms = 30000;
	rig_begin(&burns);
	rig_until(behind_beside_others() == 1);
	ar_sandbox_stats(&before);
	rig_until((ar_sandbox_stats(&after), /* it is seen that the others are gone */
		   rig_may_place() ? behind_count() == 0 : after.retired > before.retired));
	ar_sleep(100);
	ar_sandbox_stats(&after);
	assert_int_equal(behind_count(), rig_may_place() ? 0 : 1);
	assert_int_equal(after.spawned, before.spawned);
	assert_false(burns.ended);
	ar_sandbox_close(AR_STR("long"));
	rig_wait_here();
	assert_string_equal(burns.slug, "sandbox/killed");
	rig_until(behind_count() == 0);
	rig_free(&burns);
}

static void a_long_call_does_not_begin_anew(void **state)
{
	rig_run(long_main, NULL);
}

/* As sched_getattr() tells it. 0: it does not, before Linux 6.12. */
static uint64_t slice_ns(pid_t pid)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		uint32_t nice, priority;
		uint64_t runtime, deadline, period;
	} attr = { 0 };

	syscall(SYS_sched_getattr, pid, &attr, sizeof(attr), 0);
	return attr.runtime;
}

static void placed_main(void *arg)
{
	struct rig_call burns;
	pid_t pids[16];
	size_t n;
	int behind = 0;

	prepare(&burns, "placed", "while true do end");
	burns.run.limits.cpu_soft_ms = burns.run.limits.cpu_hard_ms = 30000;
	rig_begin(&burns);
	rig_until(behind_beside_others() == 1);
	n = rig_executors(pids, 16);
	for (size_t i = 0; i < n; i++) {
		uint64_t slice = slice_ns(pids[i]);

		if (getsid(pids[i]) != -1) /* an earlier test's may go */
			assert_int_equal(getsid(pids[i]), getsid(0));
		if (is_behind(pids[i]) && slice != 0)
			assert_int_equal(slice, 100000000);
		else
			assert_in_range(slice, 0, 20000000);
		behind += is_behind(pids[i]);
	}
	assert_int_equal(behind, 1);
	assert_int_equal(getpgid(rig_zygote()), rig_zygote());
	ar_sandbox_close(AR_STR("placed"));
	rig_wait_here();
	rig_until(behind_count() == 0);
	rig_free(&burns);
}

/* Nice and SCHED_IDLE hold within a session, and without a long slice SCHED_IDLE holds others up. */
static void who_is_behind_holds_nobody_up(void **state)
{
	rig_run(placed_main, NULL);
}

static void crowd_burns(void *arg)
{
	struct rig_call *c = arg;

	rig_call_here(c);
	rig_end_one();
}

/* More than there are places, each for longer than a turn of the places: all come to their end. */
static void crowd_main(void *arg)
{
	enum { CROWD = 16 };
	struct rig_call c[CROWD];
	char names[CROWD][16];

	for (int i = 0; i < CROWD; i++) {
		snprintf(names[i], sizeof(names[i]), "crowd-%d", i);
		prepare(&c[i], names[i], "while true do end");
		c[i].run.limits.cpu_soft_ms = 150;
		rig_open++;
		ar_go("crowd", crowd_burns, &c[i], AR_NO_DEADLINE);
	}
	ar_sleep(500);
	while (rig_open > 1) { /* and nobody else waits for a place */
		struct rig_call modest;

		prepare(&modest, "modest", "return true");
		rig_call_here(&modest);
		assert_string_equal(modest.slug, "");
		rig_free(&modest);
		ar_sleep(5);
	}
	for (int i = 0; i < CROWD; i++) {
		assert_string_equal(c[i].slug, "sandbox/cpu-limit");
		rig_free(&c[i]);
	}
}

static void a_crowd_that_burns_comes_to_its_end(void **state)
{
	rig_run(crowd_main, NULL);
}

static void paid_main(void *arg)
{
	struct ar_sandbox_stats before, after;

	ar_sandbox_stats(&before);
	/* At most a second's debt, of which a tenth of a second is paid in a second; its own calls, and
	 * processes that take the place of others, are new debts. */
	for (int i = 0; i < 480 && behind_count() > 0; i++) {
		modest_call();
		if (i % 64 == 63)
			call_here("burner", "return true", "");
		ar_sleep(250);
	}
	assert_int_equal(behind_count(), 0);
	ar_sandbox_stats(&after);
	assert_in_range(after.spawned - before.spawned, 0, rig_may_place() ? 0 : 4);
}

static void a_paid_debt_is_forgotten(void **state)
{
	rig_run(paid_main, NULL);
}

static int start(void **state)
{
	static const struct ar_sandbox_options options = { .executors_max = 8 };

	return rig_start_with(&options);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_alone_is_not_set_back),
		cmocka_unit_test(who_burns_beside_others_is_set_back),
		cmocka_unit_test(a_paid_debt_is_forgotten),
		cmocka_unit_test(who_is_behind_holds_nobody_up),
		cmocka_unit_test(a_long_call_does_not_begin_anew),
		cmocka_unit_test(a_crowd_that_burns_comes_to_its_end),
	};

	ar_sandbox_main(argc, argv);
	return cmocka_run_group_tests(tests, start, rig_end);
}
