/*
 * lives.h - tests of several lives: each of a test's bodies is a process's life on the same store.
 */
#ifndef WORKFLOW_TEST_LIVES_H
#define WORKFLOW_TEST_LIVES_H

#include "workflow/tests/rig.h"

#define ONCE(name, ...)                                                                            \
	static void name(void **state)                                                             \
	{                                                                                          \
		void (*const bodies[])(void *arg) = { __VA_ARGS__ };                               \
		rig_open();                                                                        \
		for (size_t i = 0; i < AR_COUNT(bodies); i++)                                      \
			rig_run(bodies[i], NULL);                                                  \
		rig_close();                                                                       \
	}

/* What main does at the start. */
static inline void resume(void)
{
	assert_ok(ar_bus_resume_all(ar_tenant_list));
}

static inline void sql(const char *text, const struct ar_json *args, size_t nargs)
{
	struct ar_scope scope;

	ar_scope_init(&scope, rig_tenant->db, rig_pool);
	assert_ok(ar_exec(&scope, text, args, nargs, NULL));
	assert_ok(ar_commit(&scope));
}

static inline int64_t runs(const char *status)
{
	return rig_count("SELECT count(*) FROM workflow_runs WHERE status = ?",
			 AR_ARGS(AR_J_Z(status)));
}

#endif
