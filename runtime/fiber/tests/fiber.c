/*
 * fiber.c - fibers on one loop: how they start and end, what a switch keeps, time, the loop around
 * them. wait.c has what ends a wait.
 */
#include "runtime/fiber/tests/rig.h"

/* ---- start and end ---- */

static void mark_pause_mark(void *arg)
{
	mark(*(char *)arg);
	ar_pause();
	mark(*(char *)arg);
}

TEST(go_runs_at_once_until_the_first_wait)
{
	trace_reset();
	mark('1');
	struct ar_fiber *a = ar_go("a", mark_pause_mark, "a", AR_NO_DEADLINE);
	mark('2');
	struct ar_fiber *b = ar_go("b", mark_pause_mark, "b", AR_NO_DEADLINE);
	mark('3');
	assert_non_null(a);
	assert_non_null(b);
	ar_fiber_hold(a);
	ar_fiber_hold(b);
	ar_join(b);
	ar_join(a);
	ar_fiber_drop(a);
	ar_fiber_drop(b);
	assert_string_equal(trace, "1a2b3ab");
}

static void nothing(void *arg)
{
}

TEST(go_gives_null_when_the_fiber_has_ended)
{
	struct ar_fiber *f = ar_go("nothing", nothing, NULL, AR_NO_DEADLINE);

	assert_null(f);
	ar_fiber_hold(f); /* all of these take it */
	ar_cancel(f);
	ar_join(f);
	ar_fiber_drop(f);
}

static void others_end(void)
{
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_pause();
}

static void nested(void *arg)
{
	int *depth = arg;

	if (--*depth > 0)
		ar_go("nested", nested, depth, AR_NO_DEADLINE);
	mark('x');
	ar_pause();
	mark('y');
}

TEST(fibers_start_fibers)
{
	int depth = 5;

	trace_reset();
	ar_go("nested", nested, &depth, AR_NO_DEADLINE);
	assert_string_equal(trace, "xxxxx");
	assert_int_equal(ar_loop_fibers(ar_loop()), 6);
	others_end();
	assert_string_equal(trace, "xxxxxyyyyy");
}

static double fp_of(int n)
{
	volatile double x = 1.0;

	for (int i = 0; i < n; i++)
		x = x * 1.5 + n;
	return x;
}

static void computes(void *arg)
{
	int n = (int)(intptr_t)arg;
	volatile double a = fp_of(n);
	volatile long l[4] = { n, n * 2, n * 3, n * 4 };

	for (int i = 0; i < 5; i++) {
		ar_pause();
		assert_true(a == fp_of(n));
		for (int k = 0; k < 4; k++)
			assert_int_equal(l[k], n * (k + 1));
	}
}

TEST(registers_and_locals_survive_switches)
{
	for (int i = 1; i <= 200; i++)
		ar_go("computes", computes, (void *)(intptr_t)i, AR_NO_DEADLINE);
	assert_int_equal(ar_loop_fibers(ar_loop()), 201);
	others_end();
}

TEST(self_and_data_belong_to_the_fiber)
{
	int x;

	assert_non_null(ar_self());
	assert_null(ar_fiber_data());
	ar_fiber_set_data(&x);
	ar_go("other", mark_pause_mark, "o", AR_NO_DEADLINE);
	ar_pause();
	assert_ptr_equal(ar_fiber_data(), &x);
	others_end();
}

/* ---- what is switched with the fiber ---- */

static void fails_and_waits(void *arg)
{
	struct ar_log_context ctx = { .tenant = AR_STR("other") };

	assert_null(ar_err());
	assert_null(ar_log_context_use(&ctx));
	ar_fail(AR_E_CONFLICT, "who", "other");
	ar_pause();
	assert_true(ar_err_is(AR_E_CONFLICT));
	assert_string_equal(ar_err_param(ar_err(), "who"), "other");
	assert_ptr_equal(ar_log_context_use(NULL), &ctx);
}

TEST(error_stack_and_log_context_are_switched)
{
	struct ar_log_context ctx = { .tenant = AR_STR("mine") };

	ar_log_context_use(&ctx);
	ar_fail(AR_E_NOT_FOUND, "what", "mine");
	ar_go("fails", fails_and_waits, NULL, AR_NO_DEADLINE);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	ar_pause();
	ar_pause();
	assert_int_equal(ar_loop_fibers(ar_loop()), 1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	assert_string_equal(ar_err_param(ar_err(), "what"), "mine");
	assert_ptr_equal(ar_log_context_use(NULL), &ctx);
	/* a fiber that is used again starts clean */
	ar_go("fails", fails_and_waits, NULL, AR_NO_DEADLINE);
	others_end();
}

/* ---- time ---- */

TEST(sleep_is_never_shorter_than_asked)
{
	for (int ms = 1; ms <= 20; ms += 6) {
		int64_t before = ar_mono_us();

		assert_int_equal(ar_sleep(ms), 0);
		assert_true(ar_mono_us() - before >= ms * 1000);
	}
}

static int64_t fake_now;

static int64_t fake_mono(void *arg)
{
	return fake_now;
}

static void fake_wait(void *arg, int timeout_ms)
{
	if (timeout_ms > 0)
		fake_now += (int64_t)timeout_ms * 1000;
}

static void simulated_body(void *arg)
{
	int64_t before = ar_mono_ms();

	for (int day = 0; day < 365; day++)
		assert_int_equal(ar_sleep(86400000), 0);
	assert_true(ar_mono_ms() - before >= INT64_C(365) * 86400000);
}

static void simulated(void (*body)(void *arg))
{
	static const struct ar_seam seam = { .mono_us = fake_mono };
	struct ar_loop *loop;

	fake_now = 1000;
	ar_seam_set(&seam);
	loop = ar_loop_new();
	ar_loop_set_wait(loop, fake_wait, NULL);
	fiber_run_on(loop, body, NULL);
	ar_loop_free(loop);
	ar_seam_set(NULL);
}

static void a_simulated_clock_sleeps_a_year(void **state)
{
	simulated(simulated_body);
}

static void sleeps(void *arg)
{
	int ms = *(char *)arg - '0';

	assert_int_equal(ar_sleep(ms * 10), 0);
	mark(*(char *)arg);
}

static void timers_body(void *arg)
{
	char ms[] = "739152846";

	trace_reset();
	for (char *p = ms; *p != 0; p++)
		ar_go("sleeps", sleeps, p, AR_NO_DEADLINE);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_sleep(5);
	assert_string_equal(trace, "123456789");
}

static void timers_fire_in_order(void **state)
{
	simulated(timers_body);
}

/* A fiber's place in the heap is kept between waits: random waits against the rule. */
static void random_waits(void *arg)
{
	struct ar_cond cond = { 0 };
	unsigned seed = (unsigned)(intptr_t)arg;

	ar_deadline_set(ar_mono_ms() + 100000 + rand_r(&seed) % 100000);
	while (!ar_cancelled()) {
		int64_t ms = rand_r(&seed) % 2000, before = ar_mono_ms(),
			left = ar_deadline() - before;
		int rc = (ms & 1) ? ar_sleep(ms) : ar_cond_wait_for(&cond, ms);
		int64_t spent = ar_mono_ms() - before;

		if (left <= ms) {
			assert_int_equal(rc, -1);
			assert_true(spent == left);
		} else if (ms & 1) {
			assert_int_equal(rc, 0);
			assert_true(spent >= ms && spent <= ms + 1);
		} else {
			assert_int_equal(rc, -1);
			assert_true(spent >= ms && spent <= ms + 1);
		}
	}
}

static void random_body(void *arg)
{
	for (intptr_t i = 1; i <= 100; i++)
		ar_go("random", random_waits, (void *)i, AR_NO_DEADLINE);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_sleep(777);
}

static void random_waits_end_at_their_time(void **state)
{
	static const struct ar_seam seam = { .mono_us = fake_mono };
	struct ar_loop *loop;

	fake_now = 0;
	ar_seam_set(&seam);
	loop = ar_loop_new();
	ar_loop_set_wait(loop, fake_wait, NULL);
	fiber_run_on(loop, random_body, NULL);
	ar_loop_free(loop);
	ar_seam_set(NULL);
}

/* ---- the loop ---- */

static void post_mark(void *arg)
{
	assert_null(ar_self());
	mark(*(char *)arg);
}

static void hook_mark(void *arg)
{
	int *calls = arg;

	++*calls;
}

TEST(posts_run_in_order_outside_of_fibers)
{
	trace_reset();
	for (const char *p = "abcdefgh"; *p != 0; p++)
		ar_post(ar_loop(), post_mark, (void *)p);
	assert_string_equal(trace, "");
	for (int i = 0; i < 60000 && strlen(trace) < 8; i++)
		ar_sleep(1);
	assert_string_equal(trace, "abcdefgh");
}

TEST(hooks_run_before_waiting)
{
	int calls = 0;

	int other = 0;

	ar_loop_before_wait(ar_loop(), hook_mark, &calls);
	ar_loop_before_wait(ar_loop(), hook_mark, &calls); /* is the same */
	ar_loop_before_wait(ar_loop(), hook_mark, &other);
	for (int i = 0; i < 60000 && calls == 0; i++)
		ar_sleep(1);
	assert_true(calls >= 1);
	assert_int_equal(calls, other);
}

static void starts_another_and_waits(void *arg)
{
	if (ar_cond_wait(&shared) == 0)
		return;
	mark('c');
	ar_shield(true);
	ar_sleep(3);
	ar_shield(false);
	mark('d');
	ar_go("late", cond_waiter, "e", AR_NO_DEADLINE); /* born cancelled */
}

static void freeing_a_loop_ends_its_fibers(void **state)
{
	struct ar_loop *loop = ar_loop_new();

	trace_reset();
	ar_go("waits", starts_another_and_waits, NULL, AR_NO_DEADLINE);
	ar_post(loop, post_mark, "p");
	assert_int_equal(ar_loop_fibers(loop), 1);
	ar_loop_free(loop);
	assert_string_equal(trace, "pcdE");
}

static void stop_before_run(void **state)
{
	struct ar_loop *loop = ar_loop_new();

	ar_loop_stop(loop);
	ar_loop_run(loop);
	ar_loop_free(loop);
}

static void counts(void *arg)
{
	size_t *ended = arg;

	ar_cond_wait(&shared);
	++*ended;
}

TEST(many_fibers_at_once)
{
	const size_t n = 3000; /* more than are kept */
	size_t ended = 0;

	for (size_t i = 0; i < n; i++)
		ar_go("many", counts, &ended, AR_NO_DEADLINE);
	assert_int_equal(ar_loop_fibers(ar_loop()), n + 1);
	ar_cond_broadcast(&shared);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_pause();
	assert_int_equal(ended, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(go_runs_at_once_until_the_first_wait),
		cmocka_unit_test(go_gives_null_when_the_fiber_has_ended),
		cmocka_unit_test(fibers_start_fibers),
		cmocka_unit_test(registers_and_locals_survive_switches),
		cmocka_unit_test(self_and_data_belong_to_the_fiber),
		cmocka_unit_test(error_stack_and_log_context_are_switched),
		cmocka_unit_test(sleep_is_never_shorter_than_asked),
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(a_simulated_clock_sleeps_a_year),
		cmocka_unit_test(random_waits_end_at_their_time),
		cmocka_unit_test(posts_run_in_order_outside_of_fibers),
		cmocka_unit_test(hooks_run_before_waiting),
		cmocka_unit_test(freeing_a_loop_ends_its_fibers),
		cmocka_unit_test(stop_before_run),
		cmocka_unit_test(many_fibers_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
