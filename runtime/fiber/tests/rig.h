/*
 * rig.h - each test's body in a fiber of a fresh loop, which stops when the body returns; and
 * marks that show the order of what happened.
 */
#ifndef FIBER_RIG_H
#define FIBER_RIG_H

#include "tests/harness/fiber.h"

static inline void run(void (*body)(void *arg), void *arg)
{
	struct ar_loop *loop = ar_loop_new();

	fiber_run_on(loop, body, arg);
	assert_int_equal(ar_loop_fibers(loop), 0);
	ar_loop_free(loop);
	assert_null(ar_loop());
}

#define RUN(body)  run(body, NULL)
#define TEST(name) TEST_IN(name, RUN, void *arg)

static char trace[64];
static size_t ntrace;

static inline void mark(char c)
{
	trace[ntrace++] = c;
	trace[ntrace] = 0;
}

static inline void trace_reset(void)
{
	ntrace = 0;
	trace[0] = 0;
}

static struct ar_cond shared;

static inline void cond_waiter(void *arg)
{
	char c = *(char *)arg;

	if (ar_cond_wait(&shared) == 0)
		mark(c);
	else
		mark((char)(c - 'a' + 'A'));
}

#endif
