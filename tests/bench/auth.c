/*
 * auth.c - what it costs to know who calls: a bearer that was seen before, one that was not, one that
 * is forged. CPU time of the process; what HTTP costs is not in it.
 *
 * build-release/tests/bench/bench_auth [calls]
 */
#include <time.h>

#include "auth/tests/people.h"

static int calls = 200000;

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* change: the n-th call's bearer differs, so that nothing is remembered of it. */
static void measure(struct wire_tenant *t, const char *name, const char *bearer, int count,
		    bool change)
{
	struct ar_str text = ar_str_dup(t->pool, ar_str(bearer));
	const struct ar_who *who;
	int64_t before = cpu_ns();
	int good = 0;

	for (int i = 0; i < count; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_call call = { .pool = pool, .tenant = t->tenant };

		if (change)
			memcpy((char *)text.p + text.n - 20,
			       ar_printf(pool, "%06u", (unsigned)i % 1000000), 6);
		good += auth_authenticate(&call, text, &who) == 0;
		ar_err_clear();
		ar_pool_free(pool);
	}
	print_message("%-24s %9.2f us CPU, %d of %d good\n", name,
		      (double)(cpu_ns() - before) / count / 1000, good, count);
}

/* The first call after a change of the tenant's roles: keys, signature, session, roles, permissions. */
static void fresh(struct wire_tenant *t, const char *bearer, int count)
{
	int64_t spent = 0;

	for (int i = 0; i < count; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_call call = { .pool = pool, .tenant = t->tenant };
		const struct ar_who *who;

		assert_answer(wire(t, bearer, "POST /auth/roles",
				   ar_printf(t->pool, "{\"name\":\"r%d\"}", i)),
			      201, "");
		spent -= cpu_ns();
		assert_ok(auth_authenticate(&call, ar_str(bearer), &who));
		spent += cpu_ns();
		ar_pool_free(pool);
	}
	print_message("%-24s %9.2f us CPU\n", "token, not seen before",
		      (double)spent / count / 1000);
}

static void pools(int count)
{
	int64_t before = cpu_ns();

	for (int i = 0; i < count; i++)
		ar_pool_free(ar_pool_new());
	print_message("%-24s %9.2f us CPU\n", "a pool, for comparison",
		      (double)(cpu_ns() - before) / count / 1000);
}

static void body(void)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct answer key =
		wire(&t, admin, "POST /auth/keys", "{\"name\":\"k\",\"permissions\":[\"*\"]}");

	print_message("token of %zu bytes\n", strlen(admin));
	pools(calls);
	measure(&t, "token, seen before", admin, calls, false);
	measure(&t, "key, seen before", wire_text(&t, &key, "key"), calls, false);
	measure(&t, "token, forged", admin, AR_MIN(calls, 5000), true);
	measure(&t, "key, forged", wire_text(&t, &key, "key"), AR_MIN(calls, 5000), true);
	fresh(&t, admin, 300);
	wire_release(&t);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		calls = (int)strtol(argv[1], NULL, 10);
	wire_run(auth_modules, body);
	return 0;
}
