/*
 * cond.c - fibers of one loop waiting for each other, first come first served.
 *
 * The waiter's entry lies in its own frame and is out of the list when the wait ends, however it
 * ends. A mutex is handed over: unlock makes the longest waiter its owner, so nobody overtakes.
 */
#include "fiber/fiber_int.h"

static void cond_add(struct ar_cond *cond, struct ar_cond_waiter *waiter)
{
	waiter->cond = cond;
	waiter->fiber = ar_self();
	DL_APPEND(cond->first, waiter);
}

static bool cond_give_up(struct ar_fiber *fiber, void *arg)
{
	struct ar_cond_waiter *waiter = arg;

	DL_DELETE(waiter->cond->first, waiter);
	return true;
}

int ar_cond_wait_for(struct ar_cond *cond, int64_t timeout_ms)
{
	struct ar_cond_waiter waiter;

	if (ar_fiber_check(ar_self()) != 0)
		return -1;
	cond_add(cond, &waiter);
	return ar_fiber_result(ar_fiber_wait(cond_give_up, &waiter, ar_time_after(timeout_ms)));
}

int ar_cond_wait(struct ar_cond *cond)
{
	return ar_cond_wait_for(cond, -1);
}

void ar_cond_wait_always(struct ar_cond *cond)
{
	struct ar_cond_waiter waiter;

	cond_add(cond, &waiter);
	ar_fiber_wait(NULL, NULL, AR_NO_DEADLINE);
}

void ar_cond_signal(struct ar_cond *cond)
{
	struct ar_cond_waiter *waiter = cond->first;

	if (waiter == NULL)
		return;
	DL_DELETE(cond->first, waiter);
	ar_fiber_ready(waiter->fiber, AR_WHY_WOKEN);
}

void ar_cond_broadcast(struct ar_cond *cond)
{
	while (cond->first != NULL)
		ar_cond_signal(cond);
}

int ar_mutex_lock(struct ar_mutex *mutex)
{
	struct ar_fiber *fiber = ar_self();

	assert(mutex->owner != fiber); /* it would wait for itself */
	if (ar_fiber_check(fiber) != 0)
		return -1;
	if (mutex->owner == NULL) {
		mutex->owner = fiber;
		return 0;
	}
	return ar_cond_wait(&mutex->free);
}

void ar_mutex_unlock(struct ar_mutex *mutex)
{
	assert(mutex->owner == ar_self());
	mutex->owner = mutex->free.first == NULL ? NULL : mutex->free.first->fiber;
	ar_cond_signal(&mutex->free);
}
