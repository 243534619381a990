/*
 * rig.h - a tenant with functions on real executors, and the calls that tests make.
 */
#ifndef FUNCTION_RIG_H
#define FUNCTION_RIG_H

#include "auth/tests/people.h"
#include "function/function_int.h"

/* The bus remembers who registered; the tenant room forgets with each house. */
static inline int start_again(void)
{
	static bool started;

	if (!started) {
		started = true;
		return function_module.start();
	}
	ar_tenant_slot_register(&function_slot);
	return 0;
}

static struct ar_module again; /* function_module, to be started once for each test */
static const struct ar_module *const modules[] = { &auth_module, &again, NULL };
static void (*test_body)(struct wire_tenant *t, const char *admin);

static inline void with_executors(void)
{
	struct ar_loop *loop = ar_loop();
	struct wire_tenant t;

	ar_sandbox_attach();
	assert_ok(again.attach());
	assert_ok(ar_bus_start(house.store, &loop, 1));
	t = wire_tenant("acme");
	test_body(&t, admin_token(&t));
	ar_bus_stop();
	again.detach();
	ar_sandbox_detach();
	wire_release(&t);
}

static inline void run(void (*body)(struct wire_tenant *t, const char *admin))
{
	again = function_module;
	again.start = start_again;
	test_body = body;
	wire_run(modules, with_executors);
}

#define TEST(name) TEST_IN(name, run, struct wire_tenant *t, const char *admin)

/* Lua as a JSON text. */
static inline const char *quoted(struct wire_tenant *t, const char *source)
{
	struct ar_json text = AR_J_Z(source);

	return ar_strz(t->pool, ar_json_print(t->pool, &text));
}

/* more: further members, ",\"allow\":\"-\"" */
static inline struct answer deploy(struct wire_tenant *t, const char *who, const char *name,
				   const char *source, const char *more)
{
	return wire(t, who, ar_printf(t->pool, "PUT /functions/%s", name),
		    ar_printf(t->pool, "{\"source\":%s%s}", quoted(t, source), more));
}

static inline void put(struct wire_tenant *t, const char *admin, const char *name,
		       const char *source, const char *more)
{
	struct answer a = deploy(t, admin, name, source, more);

	if (a.status != 200 && a.status != 201)
		fail_msg("%s: %d %.*s", name, a.status, AR_FMT(a.text));
}

static inline struct answer call(struct wire_tenant *t, const char *who, const char *name,
				 const char *input)
{
	return wire(t, who, ar_printf(t->pool, "POST /functions/%s/execute", name),
		    ar_printf(t->pool, "{\"input\":%s}", input));
}

#define ANYONE ",\"allow\":\"-\""

/* What main does: the same program is the executor. */
static inline int run_all(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	int failed;

	ar_sandbox_main(argc, argv);
	setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check must not jump out of a fiber */
	assert_ok(ar_sandbox_init(NULL));    /* before any thread */
	failed = _cmocka_run_group_tests("function", tests, n, NULL, NULL);
	ar_sandbox_done();
	return failed;
}

#endif
