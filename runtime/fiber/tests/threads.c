/*
 * threads.c - tests of what crosses threads: wakes, posts, the offload pool. Run it with
 * -Db_sanitize=thread as well.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/harness/fiber.h"

#define RUN(body)  fiber_run(body, NULL)
#define TEST(name) TEST_IN(name, RUN, void *arg)

/* ---- wakes ---- */

static void *poster(void *arg)
{
	ar_wake_post(arg);
	return NULL;
}

static void *late_poster(void *arg)
{
	usleep(5000);
	ar_wake_post(arg);
	return NULL;
}

TEST(a_wake_before_and_after_the_wait)
{
	struct ar_wake wake;
	pthread_t t;

	ar_wake_init(&wake);
	pthread_create(&t, NULL, poster, &wake);
	pthread_join(t, NULL);
	ar_sleep(2);
	ar_wake_wait(&wake);
	ar_wake_init(&wake);
	pthread_create(&t, NULL, late_poster, &wake);
	ar_wake_wait(&wake);
	pthread_join(t, NULL);
}

static void waits_for_wake(void *arg)
{
	struct ar_wake wake;
	pthread_t t;

	ar_cancel(ar_self());
	ar_wake_init(&wake);
	pthread_create(&t, NULL, late_poster, &wake);
	ar_wake_wait(&wake); /* a cancelled fiber waits too */
	pthread_join(t, NULL);
	*(bool *)arg = true;
}

TEST(a_wake_is_waited_for_although_cancelled)
{
	bool done = false;
	struct ar_fiber *f = ar_go("waits", waits_for_wake, &done, AR_NO_DEADLINE);

	ar_fiber_hold(f);
	ar_cancel(f);
	ar_join(f);
	ar_fiber_drop(f);
	assert_true(done);
}

/* A storm: fibers hand their wakes to threads, which post them as fast as they can. */
#define STORM_THREADS 3
#define STORM_FIBERS  60
#define STORM_ROUNDS  200

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct ar_wake *queue[STORM_FIBERS];
	size_t n;
	bool end;
} storm = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static void *storm_thread(void *arg)
{
	pthread_mutex_lock(&storm.lock);
	for (;;) {
		struct ar_wake *wake;

		while (storm.n == 0 && !storm.end)
			pthread_cond_wait(&storm.more, &storm.lock);
		if (storm.n == 0)
			break;
		wake = storm.queue[--storm.n];
		pthread_mutex_unlock(&storm.lock);
		ar_wake_post(wake);
		pthread_mutex_lock(&storm.lock);
	}
	pthread_mutex_unlock(&storm.lock);
	return NULL;
}

static void storm_fiber(void *arg)
{
	for (int i = 0; i < STORM_ROUNDS; i++) {
		struct ar_wake wake;

		ar_wake_init(&wake);
		pthread_mutex_lock(&storm.lock);
		storm.queue[storm.n++] = &wake;
		pthread_cond_signal(&storm.more);
		pthread_mutex_unlock(&storm.lock);
		if (i % 7 == 0)
			ar_pause();
		ar_wake_wait(&wake);
		++*(int *)arg;
	}
}

TEST(a_storm_of_wakes_loses_none)
{
	pthread_t threads[STORM_THREADS];
	int count = 0;

	storm.end = false;
	for (int i = 0; i < STORM_THREADS; i++)
		pthread_create(&threads[i], NULL, storm_thread, NULL);
	for (int i = 0; i < STORM_FIBERS; i++)
		ar_go("storm", storm_fiber, &count, AR_NO_DEADLINE);
	while (ar_loop_fibers(ar_loop()) > 1)
		assert_int_equal(ar_sleep(1), 0);
	assert_int_equal(count, STORM_FIBERS * STORM_ROUNDS);
	pthread_mutex_lock(&storm.lock);
	storm.end = true;
	pthread_cond_broadcast(&storm.more);
	pthread_mutex_unlock(&storm.lock);
	for (int i = 0; i < STORM_THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- loops of two threads ---- */

static struct ar_loop *_Atomic other_loop;
static int order_next, order_bad;

static void in_order(void *arg)
{
	if ((int)(intptr_t)arg != order_next++)
		order_bad++;
}

static void *loop_thread(void *arg)
{
	struct ar_loop *loop = ar_loop_new();

	atomic_store(&other_loop, loop);
	ar_loop_run(loop);
	ar_loop_free(loop);
	return NULL;
}

static void posts_keep_their_order(void **state)
{
	pthread_t t;

	order_next = order_bad = 0;
	atomic_store(&other_loop, NULL);
	pthread_create(&t, NULL, loop_thread, NULL);
	while (atomic_load(&other_loop) == NULL)
		usleep(100);
	for (int i = 0; i < 20000; i++) {
		ar_post(other_loop, in_order, (void *)(intptr_t)i);
		if (i % 1000 == 0)
			usleep(500); /* lets it fall asleep */
	}
	ar_loop_stop(other_loop);
	pthread_join(t, NULL);
	assert_int_equal(order_next, 20000);
	assert_int_equal(order_bad, 0);
}

static void wake_back(void *arg)
{
	ar_wake_post(arg);
}

static void pings(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		struct ar_wake wake;

		ar_wake_init(&wake);
		ar_post(other_loop, wake_back, &wake);
		ar_wake_wait(&wake);
	}
}

static void two_loops_call_each_other(void **state)
{
	pthread_t t;

	atomic_store(&other_loop, NULL);
	pthread_create(&t, NULL, loop_thread, NULL);
	while (atomic_load(&other_loop) == NULL)
		usleep(100);
	RUN(pings);
	ar_loop_stop(other_loop);
	pthread_join(t, NULL);
}

/* ---- offload ---- */

static int answers(void *arg)
{
	assert_null(ar_loop());
	*(int *)arg *= 2;
	return 0;
}

static int fails(void *arg)
{
	ar_fail(AR_E_CONFLICT, "key", "value");
	return ar_fail_over(AR_E_UNAVAILABLE, "over", arg);
}

static atomic_int napping;
static atomic_bool held; /* who naps goes on until it is false */

static int naps(void *arg)
{
	atomic_fetch_add(&napping, 1);
	usleep(2000);
	while (atomic_load(&held))
		usleep(500);
	atomic_fetch_sub(&napping, 1);
	return 0;
}

static void until_napping(int n)
{
	for (int i = 0; i < 60000 && atomic_load(&napping) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&napping), n);
}

TEST(offload_returns_what_fn_returned)
{
	int n = 21;

	assert_int_equal(ar_offload(AR_OFFLOAD_IO, answers, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(ar_offload(AR_OFFLOAD_CPU, answers, &n), 0);
	assert_int_equal(n, 84);
}

TEST(offload_hands_the_error_over)
{
	assert_int_equal(ar_offload(AR_OFFLOAD_IO, fails, "text"), -1);
	assert_ptr_equal(ar_err()->def, AR_E_UNAVAILABLE);
	assert_string_equal(ar_err_param(ar_err(), "over"), "text");
	assert_ptr_equal(ar_err()->below->def, AR_E_CONFLICT);
	assert_string_equal(ar_err_param(ar_err()->below, "key"), "value");
}

static void offloads_nap(void *arg)
{
	int rc = ar_offload(AR_OFFLOAD_CPU, naps, NULL);

	if (rc == 0)
		++((int *)arg)[0];
	else if (ar_err_is(AR_E_UNAVAILABLE))
		++((int *)arg)[1];
	else if (ar_err_is(AR_E_DEADLINE))
		++((int *)arg)[2];
	else if (ar_err_is(AR_E_CANCELLED))
		++((int *)arg)[3];
}

TEST(work_in_the_queue_can_be_given_up_work_begun_cannot)
{
	int counts[4] = { 0 };
	struct ar_fiber *f[4];

	atomic_store(&held, true); /* two threads: two begin, two queue */
	for (int i = 0; i < 4; i++) {
		f[i] = ar_go("nap", offloads_nap, counts, AR_NO_DEADLINE);
		ar_fiber_hold(f[i]);
	}
	until_napping(2);
	for (int i = 0; i < 4; i++)
		ar_cancel(f[i]);
	atomic_store(&held, false);
	for (int i = 0; i < 4; i++) {
		ar_join(f[i]);
		ar_fiber_drop(f[i]);
	}
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[3], 2);
}

TEST(a_deadline_takes_work_out_of_the_queue)
{
	int counts[4] = { 0 };

	atomic_store(&held, true);
	for (int i = 0; i < 2; i++)
		ar_go("nap", offloads_nap, counts, AR_NO_DEADLINE);
	until_napping(2);
	for (int i = 0; i < 18; i++)
		ar_go("nap", offloads_nap, counts, ar_mono_ms() + 10);
	while (ar_loop_fibers(ar_loop()) > 3)
		ar_sleep(1);
	assert_int_equal(counts[2], 18);
	atomic_store(&held, false);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_sleep(1);
	assert_int_equal(counts[0], 2);
}

TEST(a_full_queue_refuses)
{
	int counts[4] = { 0 }, n = 21;
	struct ar_fiber *f[400];

	atomic_store(&held, true);
	for (size_t i = 0; i < AR_COUNT(f); i++) {
		f[i] = ar_go("nap", offloads_nap, counts, AR_NO_DEADLINE);
		ar_fiber_hold(f[i]);
	}
	assert_true(counts[1] > 50); /* 400, less the queue and the two that run */
	/* the other kind is not held up */
	assert_int_equal(ar_offload(AR_OFFLOAD_IO, answers, &n), 0);
	atomic_store(&held, false);
	for (size_t i = 0; i < AR_COUNT(f); i++) {
		ar_cancel(f[i]);
		ar_join(f[i]);
		ar_fiber_drop(f[i]);
	}
}

static atomic_int posted;

static void post_runs(void *arg)
{
	atomic_fetch_add(&posted, 1);
}

static void post_done(void *arg)
{
	++*(int *)arg;
}

TEST(posted_work_reports_to_the_loop)
{
	int done = 0;

	atomic_store(&posted, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(
			ar_offload_post(AR_OFFLOAD_IO, post_runs, ar_loop(), post_done, &done), 0);
	assert_int_equal(ar_offload_post(AR_OFFLOAD_IO, post_runs, NULL, NULL, NULL), 0);
	while (done < 100 || atomic_load(&posted) < 101)
		assert_int_equal(ar_sleep(1), 0);
}

TEST(many_fibers_offload)
{
	int counts[4] = { 0 };

	for (int i = 0; i < 20; i++)
		ar_go("nap", offloads_nap, counts, AR_NO_DEADLINE);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_sleep(1);
	assert_int_equal(counts[0], 20);
}

static void stopped_body(void *arg)
{
	int n = 1;

	assert_int_equal(ar_offload(AR_OFFLOAD_IO, answers, &n), -1);
	assert_true(ar_err_is(AR_E_UNAVAILABLE));
	assert_int_equal(ar_offload_post(AR_OFFLOAD_CPU, post_runs, NULL, NULL, NULL), -1);
}

static void a_stopped_pool_refuses_and_starts_again(void **state)
{
	ar_offload_stop();
	RUN(stopped_body);
	assert_int_equal(ar_offload_start(2), 0);
	RUN(offload_returns_what_fn_returned_body);
}

static int start(void **state)
{
	return ar_offload_start(2);
}

static int stop(void **state)
{
	ar_offload_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_before_and_after_the_wait),
		cmocka_unit_test(a_wake_is_waited_for_although_cancelled),
		cmocka_unit_test(a_storm_of_wakes_loses_none),
		cmocka_unit_test(posts_keep_their_order),
		cmocka_unit_test(two_loops_call_each_other),
		cmocka_unit_test(offload_returns_what_fn_returned),
		cmocka_unit_test(offload_hands_the_error_over),
		cmocka_unit_test(work_in_the_queue_can_be_given_up_work_begun_cannot),
		cmocka_unit_test(a_deadline_takes_work_out_of_the_queue),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(posted_work_reports_to_the_loop),
		cmocka_unit_test(many_fibers_offload),
		cmocka_unit_test(a_stopped_pool_refuses_and_starts_again),
	};

	return cmocka_run_group_tests_name("threads", tests, start, stop);
}
