/*
 * router.c - tests of the route table: which row a path finds, what is refused before any row runs.
 */
#include "action/action.h"
#include "tests/harness/test.h"

static int nothing(struct ar_call *call)
{
	return 0;
}

static const struct ar_field in[] = {
	AR_FIELD_FREE("id", AR_F_TEXT),
	AR_FIELD_FREE("bucket", AR_F_TEXT),
	AR_FIELD_FREE("key", AR_F_TEXT),
	AR_FIELD_FREE("name", AR_F_TEXT),
	{ 0 },
};

#define ROW(name_, route_, ...)                                                                    \
	{                                                                                          \
		name_, route_, "-", .in = in, .run = nothing, __VA_ARGS__                          \
	}
static const struct ar_action actions[] = {
	ROW("users", "GET /users"),
	ROW("create", "POST /users"),
	ROW("me", "GET /users/me"),
	ROW("user", "GET /users/{id}"),
	ROW("patch", "PATCH /users/{id}"),
	ROW("sessions", "GET /users/{id}/sessions"),
	ROW("object", "GET /buckets/{bucket}/objects/{key...}"),
	ROW("objects", "GET /buckets/{bucket}/objects"),
	ROW("call", "ANY /fn/{name}"),
	ROW("hook", "ANY /hooks/{name}/{path...}", .flags = AR_A_REST_ONLY),
	ROW("call.path", "ANY /fn/{name}/{path...}", .flags = AR_A_REST_ONLY),
	ROW("tenants", "GET /tenants", .flags = AR_A_PLATFORM),
	ROW("jwks", "GET /.well-known/jwks.json", .flags = AR_A_ROOT),
	{ 0 },
};
static const struct ar_module module = { .name = "test", .actions = actions };

static int start(void **state)
{
	ar_action_register(&module);
	return 0;
}

static int stop(void **state)
{
	ar_action_done();
	return 0;
}

static void finds(void **state)
{
	static const struct {
		const char *method, *path, *name, *param, *value, *rest;
		enum ar_route_space space;
	} rows[] = {
		{ "GET", "/users", "users" },
		{ "HEAD", "/users", "users" },
		{ "POST", "/users", "create" },
		{ "GET", "/users/me", "me" },
		{ "GET", "/users/you", "user", "id", "you" },
		{ "GET", "/%75sers/me", "me" },
		{ "PATCH", "/users/me", "patch", "id", "me" }, /* the literal row has no PATCH */
		{ "GET", "/users/me/sessions", "sessions", "id", "me" },
		{ "GET", "/users/%E6%9D%8E%20x", "user", "id", "李 x" },
		{ "GET", "/users/a+b", "user", "id", "a+b" },
		{ "GET", "/users/a%2Fb", "user", "id", "a/b" },
		{ "GET", "/users/...", "user", "id", "..." },
		{ "GET", "/buckets/b/objects", "objects", "bucket", "b" },
		{ "GET", "/buckets/b/objects/x", "object", "key", "x", "x" },
		{ "GET", "/buckets/b/objects/x/y%20z/w", "object", "key", "x/y z/w", "x/y z/w" },
		{ "GET", "/buckets/b/objects/x//y", "object", "key", "x//y", "x//y" },
		{ "DELETE", "/fn/f", "call", "name", "f" },
		{ "PUT", "/fn/f/a/b", "call.path", "name", "f", "a/b" },
		{ "PUT", "/hooks/h/a", "hook", "name", "h", "a" },
		{ "PUT", "/hooks/h/", "hook", "name", "h", "" },
		{ "PUT", "/hooks/h", "hook", "name", "h", "" },
		{ "GET", "/tenants", "tenants", .space = AR_ROUTES_PLATFORM },
		{ "GET", "/.well-known/jwks.json", "jwks", .space = AR_ROUTES_ROOT },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_route_match match;
		bool found = rows[i].param == NULL;

		assert_ok(ar_route_match(pool, ar_str(rows[i].method), ar_str(rows[i].path),
					 rows[i].space, &match));
		assert_string_equal(match.action->name, rows[i].name);
		for (size_t j = 0; j < match.nparams && !found; j++) {
			if (ar_str_is(match.params[j].name, rows[i].param)) {
				assert_str(match.params[j].value, rows[i].value);
				found = true;
			}
		}
		assert_true(found);
		assert_str(match.rest, rows[i].rest != NULL ? rows[i].rest : "");
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *method, *path;
		const struct ar_err_def *def;
		enum ar_route_space space;
	} rows[] = {
		{ "GET", "/", AR_E_NOT_FOUND },
		{ "GET", "/nothing", AR_E_NOT_FOUND },
		{ "GET", "/users/", AR_E_NOT_FOUND },
		{ "GET", "//users", AR_E_NOT_FOUND },
		{ "GET", "/users/a/b/c", AR_E_NOT_FOUND },
		{ "GET", "/hooks", AR_E_NOT_FOUND },
		{ "GET", "/buckets//objects", AR_E_NOT_FOUND },
		{ "GET", "/USERS", AR_E_NOT_FOUND },
		{ "GET", "/tenants", AR_E_NOT_FOUND },
		{ "GET", "/.well-known/jwks.json", AR_E_NOT_FOUND },
		{ "GET", "/users", AR_E_NOT_FOUND, AR_ROUTES_PLATFORM },
		{ "DELETE", "/users", AR_E_METHOD },
		{ "ANY", "/fn/f", AR_E_METHOD },
		{ "get", "/users", AR_E_METHOD },
		{ "BREW", "/users", AR_E_METHOD },
		{ "GET", "/users/%", AR_E_MALFORMED },
		{ "GET", "/users/%4", AR_E_MALFORMED },
		{ "GET", "/users/%zz", AR_E_MALFORMED },
		{ "GET", "/users/a%00b", AR_E_MALFORMED },
		{ "GET", "/users/%C0%AE%C0%AE", AR_E_MALFORMED }, /* overlong */
		{ "GET", "/users/%ED%A0%80", AR_E_MALFORMED },    /* a surrogate */
		{ "GET", "/users/%FF", AR_E_MALFORMED },
		{ "GET", "/users/..", AR_E_MALFORMED },
		{ "GET", "/users/%2e%2E", AR_E_MALFORMED },
		{ "GET", "/users/./me", AR_E_MALFORMED },
		{ "GET", "/buckets/b/objects/../../x", AR_E_MALFORMED },
		{ "GET", "/buckets/b/objects/a%2F..%2Fb", AR_E_MALFORMED },
		{ "GET", "/nothing/%00", AR_E_MALFORMED },
		{ "GET", "users", AR_E_MALFORMED },
		{ "GET", "", AR_E_MALFORMED },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_route_match match = { 0 };

		ar_err_clear();
		int rc = ar_route_match(pool, ar_str(rows[i].method), ar_str(rows[i].path),
					rows[i].space, &match);

		if (rc == 0 || ar_err()->def != rows[i].def)
			fail_msg("%s %s: %s", rows[i].method, rows[i].path,
				 rc == 0 ? "found" : ar_err()->def->slug);
		assert_null(match.action);
	}
	ar_err_clear();
}

static void allow(void **state)
{
	static const struct {
		const char *path, *methods;
	} rows[] = {
		{ "/users", "GET, HEAD, POST" },
		{ "/users/me", "GET, HEAD, PATCH" }, /* of both rows that the path fits */
		{ "/fn/f", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	char text[80], small[8];

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_route_match match;

		assert_fails(ar_route_match(pool, AR_STR("BREW"), ar_str(rows[i].path),
					    AR_ROUTES_API, &match),
			     AR_E_METHOD);
		ar_route_methods(match.allowed_methods, text, sizeof(text));
		assert_string_equal(text, rows[i].methods);
	}
	ar_route_methods(0xff, small, sizeof(small));
	assert_true(strlen(small) < sizeof(small));
}

/* As deep and as long as a stranger likes: bounded, and no way but {rest...} finds anything. */
static void long_paths(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_route_match match;
	char path[9000];

	memset(path, '/', sizeof(path));
	assert_fails(
		ar_route_match(pool, AR_STR("GET"), ar_str_n(path, 8000), AR_ROUTES_API, &match),
		AR_E_NOT_FOUND);
	assert_fails(
		ar_route_match(pool, AR_STR("GET"), ar_str_n(path, 9000), AR_ROUTES_API, &match),
		AR_E_MALFORMED);
	for (size_t i = 0; i < 4000; i += 2)
		memcpy(path + i, "/a", 2);
	memcpy(path, "/buckets/b/objects", 18);
	assert_ok(ar_route_match(pool, AR_STR("GET"), ar_str_n(path, 4000), AR_ROUTES_API, &match));
	assert_int_equal(match.rest.n, 4000 - 19);
}

static void find_by_name(void **state)
{
	assert_ptr_equal(ar_action_find(AR_STR("me")), &actions[2]);
	assert_null(ar_action_find(AR_STR("m")));
	assert_null(ar_action_find(AR_STR("")));
	assert_ptr_equal(ar_modules()[0], &module);
	assert_null(ar_modules()[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),        cmocka_unit_test(refuses),
		cmocka_unit_test(allow),        cmocka_unit_test(long_paths),
		cmocka_unit_test(find_by_name),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
