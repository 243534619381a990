/*
 * fiber.h - a loop on this thread and a fiber in it, for tests of what waits.
 *
 *	fiber_run(body, arg);           returns when body has returned
 *	fiber_run_on(loop, body, arg);  the same on a loop that the test made, and frees
 */
#ifndef AR_TEST_FIBER_H
#define AR_TEST_FIBER_H

#include "fiber/fiber.h"
#include "tests/harness/test.h"

struct fiber_body {
	void (*body)(void *arg);
	void *arg;
};

static inline void fiber_main(void *arg)
{
	struct fiber_body *run = arg;

	run->body(run->arg);
	ar_loop_stop(ar_loop());
}

static inline void fiber_run_on(struct ar_loop *loop, void (*body)(void *arg), void *arg)
{
	struct fiber_body run = { body, arg };

	ar_err_clear();
	if (ar_go("test", fiber_main, &run, AR_NO_DEADLINE) != NULL)
		ar_loop_run(loop);
}

static inline void fiber_run(void (*body)(void *arg), void *arg)
{
	struct ar_loop *loop = ar_loop_new();

	fiber_run_on(loop, body, arg);
	ar_loop_free(loop);
}

#endif
