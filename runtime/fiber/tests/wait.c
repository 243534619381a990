/*
 * wait.c - what ends a wait: cancellation, deadlines, shields, the end of another fiber, cond and
 * mutex.
 */
#include "runtime/fiber/tests/rig.h"

/* ---- cancellation while waiting on each thing ---- */

struct waiter {
	int (*wait)(struct waiter *w);
	const struct ar_err_def *def; /* the error that it ended with */
	int rc, later;
	struct ar_cond *cond;
	struct ar_mutex *mutex;
	int fd;
};

static int wait_sleep(struct waiter *w)
{
	return ar_sleep(60000);
}

static int wait_cond(struct waiter *w)
{
	return ar_cond_wait(w->cond);
}

static int wait_cond_for(struct waiter *w)
{
	return ar_cond_wait_for(w->cond, 60000);
}

static int wait_mutex(struct waiter *w)
{
	return ar_mutex_lock(w->mutex);
}

static int wait_pause(struct waiter *w)
{
	int rc = 0;

	while (rc == 0)
		rc = ar_pause();
	return rc;
}

static int (*const waits[])(struct waiter *) = { wait_sleep, wait_cond, wait_cond_for, wait_mutex,
						 wait_pause };

static void waiter_main(void *arg)
{
	struct waiter *w = arg;

	w->rc = w->wait(w);
	w->def = ar_err() == NULL ? NULL : ar_err()->def;
	w->later = ar_sleep(1);
	if (w->def != NULL)
		assert_true(ar_err_is(w->def)); /* and again from every later wait */
}

TEST(cancel_ends_every_wait)
{
	for (size_t i = 0; i < AR_COUNT(waits); i++) {
		struct ar_cond cond = { 0 };
		struct ar_mutex mutex = { 0 };
		struct waiter w = { .wait = waits[i], .cond = &cond, .mutex = &mutex };
		struct ar_fiber *f;

		assert_int_equal(ar_mutex_lock(&mutex), 0);
		f = ar_go("waiter", waiter_main, &w, AR_NO_DEADLINE);
		ar_fiber_hold(f);
		ar_cancel(f);
		ar_join(f);
		ar_fiber_drop(f);
		assert_int_equal(w.rc, -1);
		assert_ptr_equal(w.def, AR_E_CANCELLED);
		assert_int_equal(w.later, -1);
		assert_null(cond.first);
		ar_mutex_unlock(&mutex);
		assert_null(mutex.owner);
	}
}

TEST(a_deadline_ends_every_wait)
{
	for (size_t i = 0; i < AR_COUNT(waits); i++) {
		struct ar_cond cond = { 0 };
		struct ar_mutex mutex = { 0 };
		struct waiter w = { .wait = waits[i], .cond = &cond, .mutex = &mutex };
		int64_t before = ar_mono_ms();
		struct ar_fiber *f;

		assert_int_equal(ar_mutex_lock(&mutex), 0);
		f = ar_go("waiter", waiter_main, &w, before + 15);
		ar_fiber_hold(f);
		ar_join(f);
		ar_fiber_drop(f);
		assert_true(ar_mono_ms() - before >= 15);
		assert_int_equal(w.rc, -1);
		assert_ptr_equal(w.def, AR_E_DEADLINE);
		assert_int_equal(w.later, -1);
		assert_null(cond.first);
		ar_mutex_unlock(&mutex);
	}
}

static void tries(void *arg)
{
	assert_true(ar_cancelled());
	assert_int_equal(ar_sleep(1000), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	mark('t');
}

TEST(a_deadline_in_the_past_fails_the_first_wait)
{
	trace_reset();
	assert_null(ar_go("tries", tries, NULL, ar_mono_ms() - 1));
	assert_string_equal(trace, "t");
}

TEST(cancel_is_stronger_than_the_deadline)
{
	ar_deadline_set(ar_mono_ms() - 1);
	assert_int_equal(ar_pause(), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	ar_cancel(ar_self());
	assert_int_equal(ar_pause(), -1);
	assert_true(ar_err_is(AR_E_CANCELLED));
}

TEST(a_deadline_can_be_narrowed_for_a_while)
{
	int64_t before = ar_deadline_set(ar_mono_ms() + 10);

	assert_true(before == AR_NO_DEADLINE);
	assert_int_equal(ar_sleep(1000), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	ar_deadline_set(before);
	assert_false(ar_cancelled());
	assert_int_equal(ar_sleep(5), 0);
}

static void shielded(void *arg)
{
	struct waiter *w = arg;

	ar_shield(true);
	ar_shield(true);
	w->rc = ar_sleep(20);
	ar_shield(false);
	w->later = ar_cond_wait_for(w->cond, 10); /* its own time-out still counts */
	w->def = ar_err()->def;
	assert_true(ar_cancelled());
	ar_shield(false);
	assert_int_equal(ar_sleep(1), -1);
	assert_true(ar_err_is(AR_E_CANCELLED));
	mark('s');
}

TEST(a_shield_holds_off_cancel_and_deadline)
{
	struct ar_cond cond = { 0 };
	struct waiter w = { .cond = &cond, .rc = 7 };
	struct ar_fiber *f;

	trace_reset();
	f = ar_go("shielded", shielded, &w, ar_mono_ms() + 1);
	ar_fiber_hold(f);
	ar_cancel(f);
	assert_int_equal(ar_sleep(5), 0);
	assert_int_equal(w.rc, 7);
	ar_join(f);
	ar_fiber_drop(f);
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.later, -1);
	assert_ptr_equal(w.def, AR_E_DEADLINE);
	assert_string_equal(trace, "s");
}

static void joiner(void *arg)
{
	ar_join(arg);
	mark('j');
}

static void sleeper(void *arg)
{
	ar_sleep(20);
	mark('s');
}

TEST(join_waits_also_when_cancelled)
{
	struct ar_fiber *s = ar_go("sleeper", sleeper, NULL, AR_NO_DEADLINE), *j;

	trace_reset();
	ar_fiber_hold(s);
	j = ar_go("joiner", joiner, s, AR_NO_DEADLINE);
	ar_cancel(j);
	ar_go("joiner", joiner, s, AR_NO_DEADLINE);
	ar_join(s);
	ar_pause();
	assert_string_equal(trace, "sjj");
	ar_join(s); /* at once */
	ar_cancel(s);
	ar_fiber_drop(s);
}

/* ---- cond and mutex ---- */

TEST(signal_wakes_the_longest_waiter)
{
	struct ar_fiber *b;

	trace_reset();
	ar_cond_signal(&shared); /* nobody there: lost */
	ar_go("a", cond_waiter, "a", AR_NO_DEADLINE);
	b = ar_go("b", cond_waiter, "b", AR_NO_DEADLINE);
	ar_go("c", cond_waiter, "c", AR_NO_DEADLINE);
	ar_go("d", cond_waiter, "d", AR_NO_DEADLINE);
	ar_cond_signal(&shared);
	ar_pause();
	assert_string_equal(trace, "a");
	ar_cancel(b); /* the signal that follows is not for it */
	ar_cond_signal(&shared);
	ar_pause();
	assert_string_equal(trace, "aBc");
	ar_cond_broadcast(&shared);
	ar_pause();
	assert_string_equal(trace, "aBcd");
}

TEST(a_signal_that_came_first_is_not_lost_by_cancel)
{
	struct ar_fiber *a;

	trace_reset();
	a = ar_go("a", cond_waiter, "a", AR_NO_DEADLINE);
	ar_cond_signal(&shared);
	ar_cancel(a);
	ar_pause();
	assert_string_equal(trace, "a");
}

TEST(a_timed_wait_ends_or_is_signalled)
{
	int64_t before = ar_mono_us();

	assert_int_equal(ar_cond_wait_for(&shared, 10), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	assert_true(ar_mono_us() - before >= 10000);
	assert_false(ar_cancelled());
	assert_null(shared.first);
}

static struct ar_mutex lock;
static int inside;

static void locker(void *arg)
{
	if (ar_mutex_lock(&lock) != 0) {
		mark('!');
		return;
	}
	assert_int_equal(inside++, 0);
	mark(*(char *)arg);
	ar_pause();
	ar_sleep(1);
	inside--;
	ar_mutex_unlock(&lock);
}

TEST(a_mutex_is_exclusive_and_fair)
{
	struct ar_fiber *b;

	trace_reset();
	assert_int_equal(ar_mutex_lock(&lock), 0);
	ar_go("a", locker, "a", AR_NO_DEADLINE);
	b = ar_go("b", locker, "b", AR_NO_DEADLINE);
	ar_go("c", locker, "c", AR_NO_DEADLINE);
	ar_cancel(b);
	ar_mutex_unlock(&lock);                    /* handed over: */
	assert_int_equal(ar_mutex_lock(&lock), 0); /* nobody overtakes */
	assert_string_equal(trace, "!ac");
	ar_mutex_unlock(&lock);
	assert_null(lock.owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancel_ends_every_wait),
		cmocka_unit_test(a_deadline_ends_every_wait),
		cmocka_unit_test(a_deadline_in_the_past_fails_the_first_wait),
		cmocka_unit_test(cancel_is_stronger_than_the_deadline),
		cmocka_unit_test(a_deadline_can_be_narrowed_for_a_while),
		cmocka_unit_test(a_shield_holds_off_cancel_and_deadline),
		cmocka_unit_test(join_waits_also_when_cancelled),
		cmocka_unit_test(signal_wakes_the_longest_waiter),
		cmocka_unit_test(a_signal_that_came_first_is_not_lost_by_cancel),
		cmocka_unit_test(a_timed_wait_ends_or_is_signalled),
		cmocka_unit_test(a_mutex_is_exclusive_and_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
