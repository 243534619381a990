/*
 * wake.c - a fiber waits, any thread wakes it once.
 *
 * The message lies in the waiter's frame, which is why the wait cannot be given up: it travels to
 * the loop without being allocated. Only the loop's thread reads or writes woken and waiting.
 */
#include "fiber/fiber_int.h"

static void wake_arrive(void *arg)
{
	struct ar_wake *wake = arg;

	wake->woken = true;
	if (wake->waiting)
		ar_fiber_ready(wake->fiber, AR_WHY_WOKEN);
}

void ar_wake_init(struct ar_wake *wake)
{
	memset(wake, 0, sizeof(*wake));
	wake->fiber = ar_self();
	assert(wake->fiber != NULL);
	wake->loop = wake->fiber->loop;
	wake->message.fn = wake_arrive;
	wake->message.arg = wake;
}

void ar_wake_post(struct ar_wake *wake)
{
	ar_post_message(wake->loop, &wake->message);
}

void ar_wake_wait(struct ar_wake *wake)
{
	assert(wake->fiber == ar_self());
	if (wake->woken)
		return;
	wake->waiting = true;
	ar_fiber_wait(NULL, NULL, AR_NO_DEADLINE);
}
