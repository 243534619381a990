/*
 * pool.c - executors come, grow, move on, die: the supervisor's side, with small limits.
 */
#include <pthread.h>
#include <signal.h>

#include "sandbox/tests/rig.h"

static int sleeping(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		    struct ar_json **ret)
{
	return ar_sleep(ar_json_number(input, "ms", 0));
}

/* A host call that lasts until the test lets it go. */
struct hold {
	int inside;
	bool over;
};

static int holding(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		   struct ar_json **ret)
{
	struct hold *hold = arg;
	int r = 0;

	hold->inside++;
	while (r == 0 && !hold->over)
		r = ar_sleep(2);
	return r;
}

static void prepare(struct rig_call *c, const char *tenant, const char *body)
{
	rig_prepare(c, tenant, "");
	c->run.code.source = ar_strf(c->pool, "return function() %s end", body);
	c->run.code.id = ar_sha256_hex(c->pool, c->run.code.source);
	c->run.host = sleeping;
	c->run.limits.wall_ms = 2 * RIG_PATIENCE_MS;
}

static void prepare_held(struct rig_call *c, const char *tenant, struct hold *hold)
{
	prepare(c, tenant, "apprun.a.b() return true");
	c->run.host = holding;
	c->run.host_arg = hold;
}

static struct ar_sandbox_stats stats(void)
{
	struct ar_sandbox_stats s;

	ar_sandbox_stats(&s);
	return s;
}

static void expect_one(const char *tenant)
{
	struct rig_call c;

	prepare(&c, tenant, "return true");
	rig_call(&c);
	if (c.r != 0)
		fail_msg("%s: %s", tenant, c.slug);
	rig_free(&c);
}

static void idle_ones_end(void **state)
{
	pid_t pids[16];

	rig_until(rig_executors(pids, 16) == 0); /* the self-test's processes end by themselves */
	expect_one("idle");
	assert_int_equal(stats().executors, 1);
	assert_int_equal(rig_executors(pids, 16), 1);
	rig_until(stats().executors == 0 && rig_executors(pids, 16) == 0);
	expect_one("idle");
}

static void one_tenant_keeps_its_process(void **state)
{
	uint64_t before;

	expect_one("steady");
	before = stats().spawned;
	for (int i = 0; i < 100; i++)
		expect_one("steady");
	assert_int_equal(stats().spawned, before);
}

static void grow_main(void *arg)
{
	uint64_t before = stats().spawned;
	struct rig_call c[3];

	for (size_t i = 0; i < AR_COUNT(c); i++) {
		prepare(&c[i], "growing", "while true do end");
		c[i].run.limits.cpu_soft_ms = 30000;
		c[i].run.limits.cpu_hard_ms = 30000;
		rig_begin(&c[i]);
		/* executors_per_tenant is 2 here */
		rig_until(stats().spawned - before == AR_MIN(i + 1, (size_t)2));
		ar_sleep(40); /* longer than a piece of work may run before others go elsewhere */
	}
	assert_int_equal(stats().spawned - before, 2);
	ar_sandbox_close(AR_STR("growing"));
	rig_wait_here();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		assert_string_equal(c[i].slug, "sandbox/killed");
		rig_free(&c[i]);
	}
}

static void busy_tenants_grow(void **state)
{
	rig_run(grow_main, NULL);
}

/* Three processes at most, eight tenants: the idle make room, nobody fails. */
static void tenants_share_the_places(void **state)
{
	for (int round = 0; round < 3; round++) {
		struct rig_call c[8];
		char names[8][16];

		for (size_t i = 0; i < AR_COUNT(c); i++) {
			snprintf(names[i], sizeof(names[i]), "t%zu", i);
			prepare(&c[i], names[i], "apprun.a.b{ms = 20} return true");
			rig_begin(&c[i]);
		}
		rig_wait();
		for (size_t i = 0; i < AR_COUNT(c); i++) {
			if (c[i].r != 0)
				fail_msg("%s: %s", names[i], c[i].slug);
			rig_free(&c[i]);
		}
		assert_true(stats().executors <= 3);
	}
}

static bool over;

static void hog_main(void *arg)
{
	while (!over) {
		struct rig_call c;

		prepare(&c, arg, "apprun.a.b{ms = 5} return true");
		rig_call_here(&c);
		assert_int_equal(c.r, 0);
		rig_free(&c);
	}
}

static void among_hogs(void *arg)
{
	static const char *const hogs[] = { "hog1", "hog1", "hog2", "hog2", "hog3", "hog3" };
	static const char *const late[] = { "late", "later", "latest" };
	struct ar_fiber *fibers[AR_COUNT(hogs)];

	over = false;
	for (size_t i = 0; i < AR_COUNT(hogs); i++) {
		fibers[i] = ar_go("hog", hog_main, (void *)(uintptr_t)hogs[i], AR_NO_DEADLINE);
		ar_fiber_hold(fibers[i]);
	}
	ar_sleep(200);
	for (size_t i = 0; i < AR_COUNT(late); i++) {
		struct rig_call c;

		prepare(&c, late[i], "return true");
		rig_call_here(&c);
		if (c.r != 0)
			fail_msg("%s: %s", late[i], c.slug);
		rig_free(&c);
	}
	over = true;
	for (size_t i = 0; i < AR_COUNT(hogs); i++) {
		ar_join(fibers[i]);
		ar_fiber_drop(fibers[i]);
	}
}

/* Tenants that are never idle give way in turn. */
static void busy_tenants_give_way(void **state)
{
	rig_run(among_hogs, NULL);
}

static void a_full_queue_refuses(void **state)
{
	enum { CALLS = 120 };
	static struct rig_call c[CALLS];
	int served = 0, busy = 0;

	for (int i = 0; i < CALLS; i++) {
		prepare(&c[i], "crowd", "apprun.a.b{ms = 50} return true");
		rig_begin(&c[i]);
	}
	rig_wait();
	for (int i = 0; i < CALLS; i++) {
		served += c[i].r == 0;
		busy += strcmp(c[i].slug, "sandbox/busy") == 0;
		rig_free(&c[i]);
	}
	assert_int_equal(served + busy, CALLS);
	assert_true(busy > 0 && served >= 20); /* queue_max is 20 here */
}

static void no_place_main(void *arg)
{
	struct hold hold = { 0 };
	struct rig_call c[40];

	for (size_t i = 0; i < AR_COUNT(c); i++) {
		prepare_held(&c[i], "slow", &hold);
		if (i >= 32)
			c[i].run.limits.wall_ms = 100;
		rig_begin(&c[i]);
		if (i == 15 || i == 31) /* each of its two processes gets its sixteen */
			rig_until(hold.inside == (int)i + 1);
	}
	for (size_t i = 32; i < AR_COUNT(c); i++)
		rig_until(c[i].ended);
	hold.over = true;
	rig_wait_here();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		assert_string_equal(c[i].slug, i < 32 ? "" : "sandbox/busy");
		rig_free(&c[i]);
	}
}

static void a_call_that_finds_no_place_in_time_is_busy(void **state)
{
	rig_run(no_place_main, NULL);
}

/* A tenant asks for one more process, there is no place, and then its first one has done it all: the
 * one that makes room for it is its own, and it is forgotten with it. */
static void own_place_main(void *arg)
{
	struct rig_call others[2], c[2];
	struct hold hold = { 0 };

	for (size_t i = 0; i < AR_COUNT(others); i++) { /* of the three places of a loop */
		prepare_held(&others[i], i == 0 ? "one" : "two", &hold);
		rig_begin(&others[i]);
	}
	rig_until(hold.inside == 2);
	for (int n = 0; n < 20; n++) {
		prepare(&c[0], "third", "return true"); /* its process is there */
		rig_call_here(&c[0]);
		rig_free(&c[0]);
		prepare(&c[0], "third",
			ar_printf(others[0].pool, "for i = 1, %d do end apprun.a.b{ms = 10}",
				  (n + 1) * 200000));
		c[0].run.limits.cpu_soft_ms = 2000;
		c[0].run.limits.cpu_hard_ms = 5000;
		prepare(&c[1], "third", "return true");
		rig_begin(&c[0]);
		ar_sleep(3);
		rig_call_here(&c[1]);
		rig_until(c[0].ended);
		assert_string_equal(c[0].slug, "");
		assert_string_equal(c[1].slug, "");
		rig_free(&c[0]);
		rig_free(&c[1]);
	}
	hold.over = true;
	rig_wait_here();
	for (size_t i = 0; i < AR_COUNT(others); i++) {
		assert_string_equal(others[i].slug, "");
		rig_free(&others[i]);
	}
}

static void a_tenant_makes_room_for_itself(void **state)
{
	rig_run(own_place_main, NULL);
}

static void kill_executors(void)
{
	pid_t pids[16];
	size_t n = rig_executors(pids, 16);

	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
}

static void kill_main(void *arg)
{
	struct hold *hold = arg;

	rig_until(hold->inside == 1);
	kill_executors();
	rig_until(stats().running == 0); /* the blow was felt */
	hold->over = true;
	rig_end_one();
}

static void kill_at_once_main(void *arg)
{
	ar_pause();
	kill_executors();
	rig_end_one();
}

/* kill -9 from outside: what waits inside fails, what had not begun runs elsewhere. */
static void a_killed_executor_is_replaced(void **state)
{
	struct rig_call waiting, quick[20];
	struct hold hold = { 0 };
	int lost = 0;

	prepare_held(&waiting, "struck", &hold);
	rig_begin(&waiting);
	rig_open++;
	ar_go("kill", kill_main, &hold, AR_NO_DEADLINE);
	rig_wait();
	assert_string_equal(waiting.slug, "sandbox/killed");
	assert_int_equal(hold.inside, 1);
	rig_free(&waiting);
	expect_one("struck");

	for (size_t i = 0; i < AR_COUNT(quick); i++) {
		prepare(&quick[i], "struck", "for i = 1, 1e5 do end return true");
		rig_begin(&quick[i]);
	}
	rig_open++;
	ar_go("kill", kill_at_once_main, NULL, AR_NO_DEADLINE);
	rig_wait();
	for (size_t i = 0; i < AR_COUNT(quick); i++) {
		/* what ran on its two processes when the blow fell may be lost, and that alone */
		assert_true(quick[i].r == 0 || strcmp(quick[i].slug, "sandbox/killed") == 0);
		lost += quick[i].r != 0;
		rig_free(&quick[i]);
	}
	assert_in_range(lost, 0, 2);
}

static void signal_main(void *arg)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct hold *hold = arg;
	pid_t pids[16];
	size_t n;

	rig_until(hold->inside == 1);
	n = rig_executors(pids, 15);
	pids[n++] = rig_zygote();
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < AR_COUNT(signals); k++)
			kill(pids[i], signals[k]);
	}
	ar_sleep(100);
	hold->over = true;
	rig_end_one();
}

/* A service manager that ends the program sends its signal to every process of it; calls in flight
 * are for this process to end. */
static void signals_are_the_supervisors(void **state)
{
	struct hold hold = { 0 };
	struct rig_call c;

	prepare_held(&c, "signalled", &hold);
	rig_begin(&c);
	rig_open++;
	ar_go("signal", signal_main, &hold, AR_NO_DEADLINE);
	rig_wait();
	assert_string_equal(c.slug, "");
	rig_free(&c);
	expect_one("signalled");
	expect_one("signalled-later");
}

static void a_forgotten_tenant_has_no_process(void **state)
{
	expect_one("gone");
	assert_true(stats().executors >= 1);
	ar_sandbox_forget(AR_STR("gone"));
	ar_sandbox_forget(AR_STR("never-was"));
	rig_pause(20);
	expect_one("gone");
}

static void memory_is_shared_out(void **state)
{
	struct rig_call c[6];

	for (size_t i = 0; i < AR_COUNT(c); i++) {
		prepare(&c[i], "large",
			"local t = {} for i = 1, 4e6 do t[i] = i end apprun.a.b{ms = 50} return "
			"#t");
		c[i].run.limits.memory = 256 << 20;
		c[i].run.limits.cpu_soft_ms = 25000;
		c[i].run.limits.cpu_hard_ms = 29000;
		rig_begin(&c[i]);
	}
	rig_wait();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		if (c[i].r != 0)
			fail_msg("%s", c[i].slug);
		assert_string_equal(rig_output(&c[i]), "4000000");
		rig_free(&c[i]);
	}
}

/* More sources than an executor keeps, again and again. */
static void sources_are_dropped_and_sent_again(void **state)
{
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			struct rig_call c;
			char body[64], want[16];

			snprintf(body, sizeof(body), "return %d", i);
			snprintf(want, sizeof(want), "%d", i);
			prepare(&c, "many", body);
			rig_call(&c);
			assert_string_equal(rig_output(&c), want);
			rig_free(&c);
		}
	}
	for (int i = 0; i < 24; i++) { /* and more bytes than it keeps */
		struct rig_call c;
		char want[16];
		struct ar_buf *buf;

		prepare(&c, "many", "");
		buf = ar_buf_new(c.pool, 1 << 20);
		ar_buf_printf(buf, "return function() return %d end --", i % 12);
		while (buf->n < 900000)
			ar_buf_z(buf, "................................");
		c.run.code.source = ar_buf_view(buf);
		c.run.code.id = ar_strf(c.pool, "large-%d", i % 12);
		rig_call(&c);
		snprintf(want, sizeof(want), "%d", i % 12);
		assert_string_equal(rig_output(&c), want);
		rig_free(&c);
	}
}

/* ---- several loops ---- */

static void other_main(void *arg)
{
	int *bad = arg;

	for (int i = 0; i < 200; i++) {
		struct rig_call c;

		prepare(&c, "shared", "return apprun.a.b{ms = 0}");
		c.r = ar_sandbox_call(c.pool, &c.run, &c.result);
		*bad += c.r != 0;
		ar_err_clear();
		rig_free(&c);
	}
	ar_sandbox_detach();
	ar_loop_stop(ar_loop());
}

static void *other_loop(void *arg)
{
	int *bad = arg;

	ar_loop_new();
	ar_sandbox_attach();
	ar_go("other", other_main, bad, AR_NO_DEADLINE);
	ar_loop_run(ar_loop());
	ar_loop_free(ar_loop());
	return NULL;
}

static void loops_do_not_meet(void **state)
{
	pthread_t threads[2];
	int bad[2] = { 0 };

	for (size_t i = 0; i < AR_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, other_loop, &bad[i]), 0);
	for (int i = 0; i < 50; i++)
		expect_one("shared");
	for (size_t i = 0; i < AR_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(bad[0] + bad[1], 0);
}

/* ---- ends ---- */

static void detach_main(void *arg)
{
	struct hold *hold = arg;

	rig_until(hold->inside == 4);
	ar_sandbox_detach();
	hold->over = true;
	rig_end_one();
}

static void detaching_ends_what_runs(void **state)
{
	struct hold hold = { 0 };
	struct rig_call c[4];

	for (size_t i = 0; i < AR_COUNT(c); i++) {
		prepare_held(&c[i], i < 2 ? "a" : "b", &hold);
		rig_begin(&c[i]);
	}
	rig_open++;
	ar_go("detach", detach_main, &hold, AR_NO_DEADLINE);
	rig_wait();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		assert_string_equal(c[i].slug, "sandbox/killed");
		rig_free(&c[i]);
	}
	assert_int_equal(stats().executors, 0);
	assert_int_equal(stats().running, 0);
	assert_int_equal(stats().queued, 0);
	ar_sandbox_attach();
	expect_one("a");
}

static int start(void **state)
{
	static const struct ar_sandbox_options options = { .executors_max = 9,
							   .loops = 3,
							   .executors_per_tenant = 2,
							   .queue_max = 20,
							   .idle_ms = 1000 };

	return rig_start_with(&options);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_ones_end),
		cmocka_unit_test(one_tenant_keeps_its_process),
		cmocka_unit_test(busy_tenants_grow),
		cmocka_unit_test(tenants_share_the_places),
		cmocka_unit_test(busy_tenants_give_way),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(a_call_that_finds_no_place_in_time_is_busy),
		cmocka_unit_test(a_tenant_makes_room_for_itself),
		cmocka_unit_test(a_killed_executor_is_replaced),
		cmocka_unit_test(signals_are_the_supervisors),
		cmocka_unit_test(a_forgotten_tenant_has_no_process),
		cmocka_unit_test(memory_is_shared_out),
		cmocka_unit_test(sources_are_dropped_and_sent_again),
		cmocka_unit_test(loops_do_not_meet),
		cmocka_unit_test(detaching_ends_what_runs),
	};

	ar_sandbox_main(argc, argv);
	return cmocka_run_group_tests(tests, start, rig_end);
}
