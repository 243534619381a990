/*
 * people.h - the people of auth's tests: administrators, users with exactly some permissions, keys.
 */
#ifndef AUTH_TEST_PEOPLE_H
#define AUTH_TEST_PEOPLE_H

#include "auth/auth_int.h"
#include "tests/harness/wire.h"

#define SECRET "correct horse battery"

static const struct ar_module *const auth_modules[] = { &auth_module, NULL };

static inline void auth_run(void (*body)(void))
{
	wire_run(auth_modules, body);
}

/* Signs in; the answer's accessToken and refreshToken are the caller's. */
static inline struct answer sign_in(struct wire_tenant *t, const char *email, const char *password)
{
	struct answer a =
		wire(t, NULL, "POST /auth/login",
		     ar_printf(t->pool, "{\"email\":\"%s\",\"password\":\"%s\"}", email, password));

	return a;
}

static inline const char *token_of(struct wire_tenant *t, const struct answer *a)
{
	return wire_text(t, a, "accessToken");
}

static inline const char *admin_token(struct wire_tenant *t)
{
	struct ar_json *admin = ar_json_get(t->founded, "admin");
	struct answer a = sign_in(t, ar_strz(t->pool, ar_json_text(admin, "email", AR_STR(""))),
				  ar_strz(t->pool, ar_json_text(admin, "password", AR_STR(""))));

	assert_answer(a, 200, "");
	return token_of(t, &a);
}

/* Opens an account: {accessToken, refreshToken, user}. */
static inline struct answer sign_up(struct wire_tenant *t, const char *email)
{
	struct answer a =
		wire(t, NULL, "POST /auth/signup",
		     ar_printf(t->pool, "{\"email\":\"%s\",\"password\":\"" SECRET "\"}", email));

	assert_answer(a, 201, "");
	return a;
}

/* A user of its own role with exactly these permissions (JSON array); returns its access token. */
static inline const char *user_with(struct wire_tenant *t, const char *admin, const char *name,
				    const char *permissions)
{
	assert_answer(
		wire(t, admin, "POST /auth/roles",
		     ar_printf(t->pool, "{\"name\":\"%s\",\"permissions\":%s}", name, permissions)),
		201, "");
	assert_answer(wire(t, admin, "POST /auth/users",
			   ar_printf(t->pool,
				     "{\"email\":\"%s@x.example\",\"password\":\"" SECRET
				     "\",\"roles\":[\"%s\"]}",
				     name, name)),
		      201, "");
	struct answer a = sign_in(t, ar_printf(t->pool, "%s@x.example", name), SECRET);

	assert_answer(a, 200, "");
	return token_of(t, &a);
}

static inline const char *id_of(struct wire_tenant *t, const char *token)
{
	struct answer a = wire(t, token, "GET /auth/me", "");

	assert_answer(a, 200, "");
	return wire_text(t, &a, "id");
}

#endif
