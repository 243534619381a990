/*
 * rig.h - tests of calls to elsewhere: a fiber with a pool, on a loop that leaves the client behind
 * clean; servers are in tests/harness/tcp.h.
 *
 *	#define TEST(name) TEST_IN(name, rig_run, struct ar_pool *pool)
 */
#ifndef CLIENT_RIG_H
#define CLIENT_RIG_H

#include "client/client_int.h"
#include "tests/harness/fiber.h"
#include "tests/harness/tcp.h"

static void (*rig_body)(struct ar_pool *pool);

static inline void rig_fiber(void *arg)
{
	struct ar_pool *pool = ar_pool_new();

	rig_body(pool);
	ar_pool_free(pool);
}

static inline void rig_run(void (*body)(struct ar_pool *pool))
{
	struct ar_loop *loop = ar_loop_new();

	rig_body = body;
	fiber_run_on(loop, rig_fiber, NULL);
	ar_client_detach();
	ar_loop_free(loop);
}

#endif
