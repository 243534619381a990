/*
 * basics.h - a store and one loop for each test, a pool for all.
 */
#ifndef BASICS_H
#define BASICS_H

#include "tests/drivers/rig.h"

static struct rig rig;
static struct ar_pool *pool;

static inline void scope_on(struct ar_scope *scope, struct ar_db *db)
{
	ar_scope_init(scope, db, pool);
}

#define RUN(fn)    rig_once(&rig, NULL, fn)
#define TEST(name) TEST_IN(name, RUN, void *arg, int index)

static inline int make(void **state)
{
	pool = ar_pool_new();
	rig_make(&rig, "basics");
	return 0;
}

static inline int unmake(void **state)
{
	ar_pool_free(pool);
	rig_remove(&rig);
	return 0;
}

#endif
