/*
 * loops.c - tests that a revocation on one loop is the end on every other, at once, although each
 * remembers who it verified.
 */
#include "auth/tests/people.h"

#include <pthread.h>
#include <stdatomic.h>

static struct {
	char token[2048], admin[2048], user[64];
	atomic_bool ready, seen, revoked, done;
	atomic_llong requests;
	bool by_admin;
} shared;

/* The other loop: asks without pause, until it is refused. */
static void asking(void *arg)
{
	struct wire_tenant t;

	while (!atomic_load(&shared.ready))
		assert_ok(ar_sleep(1));
	t = wire_hold("acme");
	for (;;) {
		bool over = atomic_load(&shared.revoked);
		struct answer a = wire(&t, shared.token, "GET /auth/me", "");

		atomic_fetch_add(&shared.requests, 1);
		if (a.status != 200) {
			assert_answer(a, 401, "unauthorized");
			break;
		}
		assert_false(over); /* answered although it was revoked before the request came */
		if (atomic_load(&shared.requests) > 50)
			atomic_store(&shared.seen, true);
		assert_ok(ar_sleep(0));
		wire_release(&t);
		t = wire_hold("acme");
	}
	wire_release(&t);
	atomic_store(&shared.done, true);
}

static void revoking(void *arg)
{
	struct wire_tenant t = arg == NULL ? wire_tenant("acme") : wire_hold("acme");
	struct answer a = sign_up(&t, "li@x.cn");

	snprintf(shared.token, sizeof(shared.token), "%s", token_of(&t, &a));
	snprintf(shared.user, sizeof(shared.user), "%s", wire_text(&t, &a, "user.id"));
	snprintf(shared.admin, sizeof(shared.admin), "%s", admin_token(&t));
	atomic_store(&shared.ready, true);
	while (!atomic_load(&shared.seen))
		assert_ok(ar_sleep(1));
	if (shared.by_admin)
		assert_answer(wire(&t, shared.admin,
				   ar_printf(t.pool, "PATCH /auth/users/%s", shared.user),
				   "{\"disabled\":true}"),
			      200, "");
	else
		assert_answer(wire(&t, shared.token, "POST /auth/logout", ""), 204, "");
	atomic_store(&shared.revoked, true);
	while (!atomic_load(&shared.done))
		assert_ok(ar_sleep(1));
	wire_release(&t);
}

static void *other_loop(void *arg)
{
	house_run(asking, NULL);
	return NULL;
}

static void revoked_everywhere(bool by_admin)
{
	pthread_t thread;

	memset(&shared, 0, sizeof(shared));
	shared.by_admin = by_admin;
	wire_open(auth_modules);
	assert_int_equal(pthread_create(&thread, NULL, other_loop, NULL), 0);
	house_run(revoking, NULL);
	pthread_join(thread, NULL);
	wire_close();
}

static void sign_out(void **state)
{
	revoked_everywhere(false);
}

static void disabled(void **state)
{
	revoked_everywhere(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sign_out),
		cmocka_unit_test(disabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
