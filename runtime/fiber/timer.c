/*
 * timer.c - a binary heap of fibers by the time at which they must be looked at.
 *
 * A fiber keeps its place between waits: a request that waits fifty times under one deadline enters
 * the heap once. So an entry may be earlier than what its fiber needs now; when it comes up, the
 * fiber's needs decide whether it is woken, moved to a later time, or leaves the heap.
 */
#include "fiber/fiber_int.h"

static void put(struct ar_timers *timers, size_t at, struct ar_fiber *fiber)
{
	timers->heap[at] = fiber;
	fiber->timer_index = at;
}

static void sift_up(struct ar_timers *timers, size_t at, struct ar_fiber *fiber)
{
	while (at > 1 && timers->heap[at / 2]->timer_at > fiber->timer_at) {
		put(timers, at, timers->heap[at / 2]);
		at /= 2;
	}
	put(timers, at, fiber);
}

static void sift_down(struct ar_timers *timers, size_t at, struct ar_fiber *fiber)
{
	for (;;) {
		size_t child = at * 2;

		if (child > timers->n)
			break;
		if (child < timers->n &&
		    timers->heap[child + 1]->timer_at < timers->heap[child]->timer_at)
			child++;
		if (timers->heap[child]->timer_at >= fiber->timer_at)
			break;
		put(timers, at, timers->heap[child]);
		at = child;
	}
	put(timers, at, fiber);
}

void ar_timers_need(struct ar_timers *timers, struct ar_fiber *fiber, int64_t at)
{
	if (at == AR_NO_DEADLINE)
		return;
	if (fiber->timer_index != 0) {
		if (fiber->timer_at <= at)
			return;
		fiber->timer_at = at;
		sift_up(timers, fiber->timer_index, fiber);
		return;
	}
	if (timers->n + 1 >= timers->cap) {
		timers->cap = timers->cap == 0 ? 64 : timers->cap * 2;
		timers->heap =
			ar_heap_realloc(timers->heap, timers->cap * sizeof(struct ar_fiber *));
	}
	fiber->timer_at = at;
	sift_up(timers, ++timers->n, fiber);
}

void ar_timers_remove(struct ar_timers *timers, struct ar_fiber *fiber)
{
	size_t at = fiber->timer_index;
	struct ar_fiber *last;

	if (at == 0)
		return;
	fiber->timer_index = 0;
	last = timers->heap[timers->n--];
	if (last == fiber)
		return;
	if (at > 1 && timers->heap[at / 2]->timer_at > last->timer_at)
		sift_up(timers, at, last);
	else
		sift_down(timers, at, last);
}

int64_t ar_timers_next(const struct ar_timers *timers)
{
	return timers->n == 0 ? AR_NO_DEADLINE : timers->heap[1]->timer_at;
}

/* What a fiber whose entry came up needs: woken, or another time. */
static void timer_due(struct ar_timers *timers, struct ar_fiber *fiber, int64_t now)
{
	int64_t deadline = fiber->shield > 0 ? AR_NO_DEADLINE : fiber->deadline;

	if (!fiber->waiting || fiber->give_up == NULL)
		return;
	if (deadline <= now)
		ar_fiber_give_up(fiber, AR_WHY_DEADLINE);
	else if (fiber->timeout <= now)
		ar_fiber_give_up(fiber, AR_WHY_TIMEOUT);
	else
		ar_timers_need(timers, fiber, AR_MIN(deadline, fiber->timeout));
}

void ar_timers_run(struct ar_timers *timers, int64_t now)
{
	while (timers->n > 0 && timers->heap[1]->timer_at <= now) {
		struct ar_fiber *fiber = timers->heap[1];

		ar_timers_remove(timers, fiber);
		timer_due(timers, fiber, now);
	}
}
