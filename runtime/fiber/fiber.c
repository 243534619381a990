/*
 * fiber.c - the life of a fiber: start, wait, cancel, end, join.
 *
 * ar_go() runs the new fiber on top of its starter and comes back at its first wait; later the loop
 * resumes it from its ready queue. A wait ends exactly once, by ar_fiber_ready(). Whoever ends it
 * has taken the fiber off the list it stood in, so that a signal never goes to a fiber that was
 * cancelled, and a fiber that was signalled first returns 0 although it was cancelled afterwards.
 *
 * Fibers and their stacks are kept for the next: starting one allocates nothing once warm.
 */
#include <stdlib.h>

#include "fiber/fiber_int.h"

#define FREE_MAX 512 /* of a loop */

struct ar_fiber *ar_self(void)
{
	return ar_this_loop == NULL ? NULL : ar_this_loop->running;
}

/* ---- running ---- */

static void fiber_recycle(struct ar_fiber *fiber)
{
	struct ar_loop *loop = fiber->loop;

	if (loop->nfree >= FREE_MAX) {
		ar_errstack_free(fiber->errors);
		ar_heap_free(fiber);
		return;
	}
	fiber->next = loop->free;
	loop->free = fiber;
	loop->nfree++;
}

/* After its last switch: the stack is no longer in use. */
static void fiber_bury(struct ar_fiber *fiber)
{
	struct ar_loop *loop = fiber->loop;

	ar_timers_remove(&loop->timers, fiber);
	if (fiber->prev_all != NULL)
		fiber->prev_all->next_all = fiber->next_all;
	else
		loop->all = fiber->next_all;
	if (fiber->next_all != NULL)
		fiber->next_all->prev_all = fiber->prev_all;
	loop->nfibers--;
	ar_stack_give(&loop->stacks, fiber->stack);
	fiber->stack = NULL;
	ar_cond_broadcast(&fiber->ended_cond);
	if (--fiber->refs == 0)
		fiber_recycle(fiber);
}

void ar_fiber_run(struct ar_fiber *fiber)
{
	struct ar_loop *loop = fiber->loop;
	struct ar_fiber *before = loop->running;
	struct ar_errstack *errors = ar_errstack_use(fiber->errors);
	struct ar_log_context *log = ar_log_context_use(fiber->log);

	fiber->caller = before == NULL ? &loop->ctx : &before->stack->ctx;
	loop->running = fiber;
	ar_context_switch(fiber->caller, &fiber->stack->ctx, false);
	loop->running = before;
	fiber->log = ar_log_context_use(log);
	ar_errstack_use(errors);
	if (fiber->ended)
		fiber_bury(fiber);
}

static void fiber_main(void *arg)
{
	struct ar_fiber *fiber = arg;

	ar_context_entered();
	fiber->fn(fiber->arg);
	assert(fiber->shield == 0);
	ar_err_clear();
	ar_log_context_use(NULL);
	fiber->ended = true;
	ar_context_switch(&fiber->stack->ctx, fiber->caller, true);
	abort(); /* nobody resumes a fiber that has ended */
}

static struct ar_fiber *fiber_new(struct ar_loop *loop)
{
	struct ar_fiber *fiber = loop->free;
	struct ar_errstack *errors;

	if (fiber != NULL) {
		loop->free = fiber->next;
		loop->nfree--;
		errors = fiber->errors;
		memset(fiber, 0, sizeof(*fiber));
	} else {
		fiber = ar_heap_new(struct ar_fiber);
		errors = ar_errstack_new();
	}
	fiber->errors = errors;
	fiber->loop = loop;
	fiber->refs = 1;
	fiber->next_all = loop->all;
	if (loop->all != NULL)
		loop->all->prev_all = fiber;
	loop->all = fiber;
	loop->nfibers++;
	return fiber;
}

struct ar_fiber *ar_go(const char *name, void (*fn)(void *arg), void *arg, int64_t deadline_ms)
{
	struct ar_loop *loop = ar_this_loop;
	struct ar_fiber *fiber;
	bool ended;

	assert(loop != NULL);
	fiber = fiber_new(loop);
	fiber->name = name;
	fiber->fn = fn;
	fiber->arg = arg;
	fiber->deadline = deadline_ms;
	fiber->timeout = AR_NO_DEADLINE;
	fiber->cancelled = loop->closing;
	fiber->stack = ar_stack_take(&loop->stacks);
	ar_context_make(&fiber->stack->ctx, ar_stack_bottom(fiber->stack), ar_stack_size(),
			fiber_main, fiber);
	fiber->refs++;
	ar_fiber_run(fiber);
	ended = fiber->ended;
	ar_fiber_drop(fiber);
	return ended ? NULL : fiber;
}

/* ---- waiting ---- */

int ar_fiber_result(enum ar_why why)
{
	switch (why) {
	case AR_WHY_WOKEN:
		return 0;
	case AR_WHY_CANCELLED:
		return ar_fail(AR_E_CANCELLED);
	case AR_WHY_TIMEOUT:
	case AR_WHY_DEADLINE:
		break;
	}
	return ar_fail(AR_E_DEADLINE);
}

static int check_at(const struct ar_fiber *fiber, int64_t now_ms)
{
	if (fiber->shield > 0)
		return 0;
	if (fiber->cancelled)
		return ar_fiber_result(AR_WHY_CANCELLED);
	if (fiber->deadline != AR_NO_DEADLINE && fiber->deadline <= now_ms)
		return ar_fiber_result(AR_WHY_DEADLINE);
	return 0;
}

int ar_fiber_check(struct ar_fiber *fiber)
{
	assert(fiber != NULL); /* waiting outside of a fiber */
	return check_at(fiber, fiber->deadline != AR_NO_DEADLINE ? ar_mono_ms() : 0);
}

enum ar_why ar_fiber_wait(bool (*give_up)(struct ar_fiber *fiber, void *arg), void *arg,
			  int64_t timeout)
{
	struct ar_fiber *fiber = ar_self();

	assert(fiber != NULL); /* waiting outside of a fiber */
	fiber->waiting = true;
	fiber->give_up = give_up;
	fiber->give_up_arg = arg;
	fiber->timeout = timeout;
	if (give_up != NULL) {
		int64_t deadline = fiber->shield > 0 ? AR_NO_DEADLINE : fiber->deadline;

		ar_timers_need(&fiber->loop->timers, fiber, AR_MIN(deadline, timeout));
	}
	ar_context_switch(&fiber->stack->ctx, fiber->caller, false);
	return fiber->why;
}

void ar_fiber_ready(struct ar_fiber *fiber, enum ar_why why)
{
	assert(fiber->waiting);
	fiber->waiting = false;
	fiber->why = why;
	ar_queue_add(&fiber->loop->ready, fiber);
}

void ar_fiber_give_up(struct ar_fiber *fiber, enum ar_why why)
{
	if (!fiber->waiting || fiber->give_up == NULL)
		return;
	if (fiber->give_up(fiber, fiber->give_up_arg))
		ar_fiber_ready(fiber, why);
	else
		fiber->give_up = NULL;
}

bool ar_give_up_nothing(struct ar_fiber *fiber, void *arg)
{
	return true;
}

int64_t ar_time_after(int64_t ms)
{
	int64_t now;

	if (ms < 0)
		return AR_NO_DEADLINE;
	now = ar_mono_ms();
	/* +1: the clock's own millisecond has partly passed, and a wait is never shorter than asked */
	return ms >= AR_NO_DEADLINE - now - 1 ? AR_NO_DEADLINE : now + ms + (ms > 0);
}

int ar_sleep(int64_t ms)
{
	enum ar_why why;

	if (ms <= 0)
		return ar_pause();
	if (ar_fiber_check(ar_self()) != 0)
		return -1;
	why = ar_fiber_wait(ar_give_up_nothing, NULL, ar_time_after(ms));
	return why == AR_WHY_TIMEOUT ? 0 : ar_fiber_result(why);
}

int ar_pause(void)
{
	struct ar_fiber *fiber = ar_self();

	if (ar_fiber_check(fiber) != 0)
		return -1;
	fiber->why = AR_WHY_WOKEN;
	ar_queue_add(&fiber->loop->paused, fiber);
	ar_context_switch(&fiber->stack->ctx, fiber->caller, false);
	return ar_fiber_check(fiber);
}

/* ---- cancellation and deadlines ---- */

void ar_cancel(struct ar_fiber *fiber)
{
	if (fiber == NULL || fiber->ended)
		return;
	assert(fiber->loop == ar_this_loop);
	fiber->cancelled = true;
	if (fiber->shield == 0)
		ar_fiber_give_up(fiber, AR_WHY_CANCELLED);
}

bool ar_cancelled(void)
{
	struct ar_fiber *fiber = ar_self();

	if (fiber == NULL)
		return false;
	return fiber->cancelled ||
	       (fiber->deadline != AR_NO_DEADLINE && fiber->deadline <= ar_mono_ms());
}

int ar_check(void)
{
	return ar_fiber_check(ar_self());
}

int ar_check_at(int64_t now_ms)
{
	assert(ar_self() != NULL);
	return check_at(ar_self(), now_ms);
}

int64_t ar_deadline(void)
{
	struct ar_fiber *fiber = ar_self();

	return fiber == NULL ? AR_NO_DEADLINE : fiber->deadline;
}

int64_t ar_deadline_set(int64_t deadline_ms)
{
	struct ar_fiber *fiber = ar_self();
	int64_t before;

	assert(fiber != NULL);
	before = fiber->deadline;
	fiber->deadline = deadline_ms;
	return before;
}

void ar_shield(bool on)
{
	struct ar_fiber *fiber = ar_self();

	assert(fiber != NULL && (on || fiber->shield > 0));
	if (on)
		fiber->shield++;
	else
		fiber->shield--;
}

/* ---- handles ---- */

void ar_fiber_hold(struct ar_fiber *fiber)
{
	if (fiber != NULL)
		fiber->refs++;
}

void ar_fiber_drop(struct ar_fiber *fiber)
{
	if (fiber != NULL && --fiber->refs == 0)
		fiber_recycle(fiber);
}

void ar_join(struct ar_fiber *held)
{
	if (held == NULL)
		return;
	assert(held != ar_self() && held->loop == ar_this_loop);
	while (!held->ended)
		ar_cond_wait_always(&held->ended_cond);
}

void *ar_fiber_data(void)
{
	struct ar_fiber *fiber = ar_self();

	return fiber == NULL ? NULL : fiber->data;
}

void ar_fiber_set_data(void *data)
{
	struct ar_fiber *fiber = ar_self();

	assert(fiber != NULL);
	fiber->data = data;
}
