/*
 * right.c - tests of who may what: every action against every kind of caller, and every way that
 * somebody might get more than was given: roles, users, sessions, keys, permissions, other tenants.
 */
#include "auth/tests/people.h"

#define TEST(name) TEST_IN(name, auth_run, void)

#define NOBODY "00000000-0000-7000-8000-000000000000"

/* "GET /auth/users/{id}" with something in the braces. */
static const char *line_of(struct ar_pool *pool, const struct ar_action *action)
{
	struct ar_str rest = ar_str(action->route), head = ar_str_cut(&rest, '{'), name;

	if (rest.p == NULL)
		return action->route;
	name = ar_str_cut(&rest, '}');
	return ar_printf(pool, "%.*s%s%.*s", AR_FMT(head),
			 ar_str_is(name, "id") ? NOBODY : "nobody", AR_FMT(rest));
}

/* For each action: nobody, a user without rights, one with all rights but its own, one with its own. */
TEST(matrix)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *plain = user_with(&t, admin, "plain", "[]");
	int guarded = 0;

	for (const struct ar_action *a = auth_module.actions; a->name != NULL; a++) {
		bool anyone = strcmp(a->allow, AR_ALLOW_ANYONE) == 0;
		bool signed_in = strcmp(a->allow, AR_ALLOW_SIGNED_IN) == 0;
		const char *line = line_of(t.pool, a);
		struct answer with_nothing = wire(&t, NULL, line, "{}");

		if (anyone) {
			assert_int_not_equal(with_nothing.status, 401);
			continue;
		}
		assert_answer(with_nothing, 401, "unauthorized");
		if (signed_in)
			continue;
		assert_answer(wire(&t, plain, line, "{}"), 403, "forbidden");
		guarded++;
	}
	assert_true(guarded >= 15);
	wire_release(&t);
}

TEST(one_right_is_one_right)
{
	static const char *const rights[] = { "auth.users.read", "auth.users.write",
					      "auth.roles.read", "auth.roles.write",
					      "auth.keys.manage" };
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);

	for (size_t i = 0; i < AR_COUNT(rights); i++) {
		const char *user = user_with(&t, admin, ar_printf(t.pool, "r%zu", i),
					     ar_printf(t.pool, "[\"%s\"]", rights[i]));

		for (const struct ar_action *a = auth_module.actions; a->name != NULL; a++) {
			struct answer got;

			if (strlen(a->allow) == 1)
				continue;
			got = wire(&t, user, line_of(t.pool, a), "{}");
			if (strcmp(a->allow, rights[i]) == 0)
				assert_false(ar_str_is(got.code, "forbidden"));
			else
				assert_answer(got, 403, "forbidden");
		}
	}
	wire_release(&t);
}

/* ---- getting more than was given ---- */

static struct answer user_patch(struct wire_tenant *t, const char *who, const char *id,
				const char *body)
{
	return wire(t, who, ar_printf(t->pool, "PATCH /auth/users/%s", id), body);
}

TEST(escalation)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const char *manager = user_with(&t, admin, "manager",
					"[\"auth.*\",\"customer:read\",\"customer:write\"]");
	const char *desk = user_with(&t, admin, "desk", "[\"auth.users.write\",\"customer:read\"]");
	const char *plain = user_with(&t, admin, "plain", "[\"customer:read\"]");
	const char *desk_id = id_of(&t, desk), *plain_id = id_of(&t, plain);
	const char *admin_id = id_of(&t, admin), *manager_id = id_of(&t, manager);

	assert_answer(
		wire(&t, admin, "POST /auth/roles", "{\"name\":\"named\",\"permissions\":[]}"), 201,
		"");
	const struct {
		const char *who, *line, *body;
		int status;
		const char *code;
	} rows[] = {
		/* roles: only what one has */
		{ manager, "POST /auth/roles", "{\"name\":\"a\",\"permissions\":[\"*\"]}", 403,
		  "auth/escalation" },
		{ manager, "POST /auth/roles", "{\"name\":\"a\",\"permissions\":[\"storage.*\"]}",
		  403, "auth/escalation" },
		{ manager, "POST /auth/roles", "{\"name\":\"a\",\"permissions\":[\"customer:*\"]}",
		  403, "auth/escalation" },
		{ manager, "POST /auth/roles",
		  "{\"name\":\"a\",\"permissions\":[\"auth.*\",\"auth.users.*\",\"customer:read\"]"
		  "}",
		  201, "" },
		{ manager, "POST /auth/roles", "{\"name\":\"b\",\"permissions\":[\"auth*\"]}", 422,
		  "invalid" },
		{ manager, "POST /auth/roles", "{\"name\":\"b\",\"permissions\":[\"auth.*.x\"]}",
		  422, "invalid" },
		{ manager, "PATCH /auth/roles/a", "{\"permissions\":[\"*\"]}", 403,
		  "auth/escalation" },
		{ manager, "PATCH /auth/roles/admin", "{\"permissions\":[]}", 409,
		  "auth/last-admin" },
		{ manager, "DELETE /auth/roles/admin", "", 409, "auth/last-admin" },
		{ admin, "PATCH /auth/roles/admin", "{\"permissions\":[]}", 409,
		  "auth/last-admin" },
		/* users: only who is not more powerful, only roles one may give */
		{ desk, "POST /auth/users", "{\"email\":\"n@x.cn\",\"roles\":[\"admin\"]}", 403,
		  "forbidden" },
		{ desk, "POST /auth/users", "{\"email\":\"n@x.cn\",\"roles\":[\"plain\"]}", 403,
		  "forbidden" },
		{ desk, "POST /auth/users", "{\"email\":\"n@x.cn\",\"roles\":[\"named\"]}", 403,
		  "forbidden" },
		{ desk, "POST /auth/users", "{\"email\":\"n@x.cn\",\"roles\":[]}", 201, "" },
		{ desk, ar_printf(t.pool, "PATCH /auth/users/%s", desk_id),
		  "{\"roles\":[\"named\"]}", 403, "forbidden" },
		{ desk, ar_printf(t.pool, "PATCH /auth/users/%s", desk_id),
		  "{\"roles\":[\"admin\"]}", 403, "forbidden" },
		{ desk, ar_printf(t.pool, "PATCH /auth/users/%s", admin_id),
		  "{\"password\":\"mine now!\"}", 403, "auth/escalation" },
		{ desk, ar_printf(t.pool, "PATCH /auth/users/%s", manager_id),
		  "{\"disabled\":true}", 403, "auth/escalation" },
		{ desk, ar_printf(t.pool, "DELETE /auth/users/%s", admin_id), "", 403,
		  "auth/escalation" },
		{ desk, ar_printf(t.pool, "PATCH /auth/users/%s", plain_id), "{\"name\":\"P\"}",
		  200, "" },
		{ manager, ar_printf(t.pool, "PATCH /auth/users/%s", manager_id),
		  "{\"roles\":[\"manager\",\"admin\"]}", 403, "auth/escalation" },
		{ manager, ar_printf(t.pool, "PATCH /auth/users/%s", plain_id),
		  "{\"roles\":[\"plain\",\"named\"]}", 200, "" },
		{ manager, ar_printf(t.pool, "PATCH /auth/users/%s", plain_id),
		  "{\"roles\":[\"nothere\"]}", 422, "invalid" },
		{ plain, ar_printf(t.pool, "PATCH /auth/users/%s", plain_id), "{\"name\":\"P\"}",
		  403, "forbidden" },
		/* keys: only what one has */
		{ manager, "POST /auth/keys", "{\"name\":\"k\",\"permissions\":[\"*\"]}", 403,
		  "auth/escalation" },
		{ manager, "POST /auth/keys", "{\"name\":\"k\",\"permissions\":[]}", 422,
		  "invalid" },
		{ manager, "POST /auth/keys",
		  "{\"name\":\"k\",\"permissions\":[\"customer:read\"],\"expires\":\"2020-01-01\"}",
		  422, "invalid" },
		/* permissions: naming one of apprun's own and deleting it would take it from everybody */
		{ manager, "POST /auth/permissions", "{\"name\":\"auth.users.write\"}", 409,
		  "conflict" },
		{ manager, "POST /auth/permissions", "{\"name\":\"auth.roles.assign\"}", 409,
		  "conflict" },
		{ manager, "POST /auth/permissions", "{\"name\":\"*\"}", 422, "invalid" },
		{ manager, "POST /auth/permissions", "{\"name\":\"employee:manage\"}", 201, "" },
		{ manager, "DELETE /auth/permissions/employee:manage", "", 403, "auth/escalation" },
		{ admin, "DELETE /auth/permissions/employee:manage", "", 204, "" },
		{ admin, "DELETE /auth/permissions/employee:manage", "", 404, "not-found" },
		{ admin, "DELETE /auth/permissions/auth.users.write", "", 404, "not-found" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer got = wire(&t, rows[i].who, rows[i].line, rows[i].body);

		if (got.status != rows[i].status)
			print_message("%s %s\n", rows[i].line, rows[i].body);
		assert_answer(got, rows[i].status, rows[i].code);
	}
	assert_answer(sign_in(&t, "manager@x.example", "mine now!"), 401, "auth/credentials");
	assert_answer(wire(&t, admin, "GET /auth/me", ""), 200, "");
	wire_release(&t);
}

TEST(somebody_stays)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *id = id_of(&t, admin);
	struct answer second;

	assert_answer(user_patch(&t, admin, id, "{\"disabled\":true}"), 409, "auth/last-admin");
	assert_answer(user_patch(&t, admin, id, "{\"roles\":[]}"), 409, "auth/last-admin");
	assert_answer(wire(&t, admin, ar_printf(t.pool, "DELETE /auth/users/%s", id), ""), 409,
		      "auth/last-admin");
	assert_answer(user_patch(&t, admin, id, "{\"name\":\"Boss\"}"), 200, "");
	second = wire(&t, admin, "POST /auth/users",
		      "{\"email\":\"b@x.cn\",\"password\":\"" SECRET "\",\"roles\":[\"admin\"]}");
	assert_answer(second, 201, "");
	assert_answer(user_patch(&t, admin, id, "{\"roles\":[]}"), 200, "");
	/* the right is gone with the role, at once */
	assert_answer(wire(&t, admin, "GET /auth/users", ""), 403, "forbidden");
	assert_answer(wire(&t, admin, "GET /auth/me", ""), 200, "");
	wire_release(&t);
}

/* ---- roles and users as such ---- */

TEST(roles)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *user;
	struct answer a;
	int64_t seq = 0;

	wire_topics(&t, &seq);
	a = wire(&t, admin, "POST /auth/roles",
		 "{\"name\":\"trainer\",\"permissions\":[\"customer:read\",\"auth.users.read\"]}");
	assert_answer(a, 201, "");
	assert_string_equal(wire_text(&t, &a, "permissions.0"), "auth.users.read");
	assert_answer(wire(&t, admin, "POST /auth/roles", "{\"name\":\"trainer\"}"), 409,
		      "auth/role-exists");
	assert_answer(wire(&t, admin, "POST /auth/roles", "{\"name\":\"No Good\"}"), 422,
		      "invalid");
	assert_string_equal(wire_topics(&t, &seq), "auth.role.created");
	assert_answer(wire(&t, admin, "POST /auth/users",
			   "{\"email\":\"tr@x.cn\",\"password\":\"" SECRET
			   "\",\"roles\":[\"trainer\"],"
			   "\"data\":{\"team\":\"red\"}}"),
		      201, "");
	a = sign_in(&t, "tr@x.cn", SECRET);
	user = token_of(&t, &a);
	assert_string_equal(wire_text(&t, &a, "user.data.team"), "red");
	a = wire(&t, user, "GET /auth/users?filter=email%20%3D%20%22tr@x.cn%22", "");
	assert_answer(a, 200, "");
	assert_int_equal(ar_json_get(a.json, "items")->count, 1);
	assert_false(memmem(a.text.p, a.text.n, "password", 8) != NULL);

	/* a change of a role is seen by the next request of who has it */
	assert_answer(wire(&t, admin, "PATCH /auth/roles/trainer",
			   "{\"permissions\":[\"customer:read\"]}"),
		      200, "");
	assert_answer(wire(&t, user, "GET /auth/users", ""), 403, "forbidden");
	assert_answer(wire(&t, admin, "PATCH /auth/roles/trainer",
			   "{\"permissions\":[\"customer:read\",\"auth.users.read\"]}"),
		      200, "");
	assert_answer(wire(&t, user, "GET /auth/users", ""), 200, "");
	assert_answer(wire(&t, admin, "DELETE /auth/roles/trainer", ""), 204, "");
	assert_answer(wire(&t, user, "GET /auth/users", ""), 403, "forbidden");
	assert_answer(wire(&t, admin, "GET /auth/roles/trainer", ""), 404, "not-found");

	a = wire(&t, admin, "GET /auth/permissions", "");
	assert_answer(a, 200, "");
	assert_true(memmem(a.text.p, a.text.n, "\"auth.roles.assign\"", 19) != NULL);
	assert_true(memmem(a.text.p, a.text.n, "\"auth.users.write\"", 18) != NULL);
	wire_release(&t);
}

TEST(users)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *id, *user;
	struct answer a, me;
	int64_t seq = 0;

	wire_topics(&t, &seq);
	me = sign_up(&t, "li@x.cn");
	user = token_of(&t, &me);
	id = wire_text(&t, &me, "user.id");
	a = user_patch(&t, admin, id, "{\"verified\":true,\"data\":{\"a\":[1]}}");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "verified"), "true");
	a = user_patch(&t, admin, id, "{\"email\":\"New@x.cn\"}");
	assert_string_equal(wire_text(&t, &a, "email"), "new@x.cn");
	assert_string_equal(wire_text(&t, &a, "verified"), "false");
	assert_string_equal(wire_text(&t, &a, "data"), "{\"a\":[1]}");
	sign_up(&t, "wu@x.cn");
	assert_answer(user_patch(&t, admin, id, "{\"email\":\"WU@x.cn\"}"), 409,
		      "auth/email-taken");
	assert_answer(user_patch(&t, admin, NOBODY, "{\"name\":\"x\"}"), 404, "not-found");
	assert_answer(user_patch(&t, admin, "li", "{\"name\":\"x\"}"), 422, "invalid");
	assert_answer(user_patch(&t, admin, id, "{\"created\":\"2020-01-01\"}"), 422, "invalid");

	/* a password set by an administrator ends the sessions */
	assert_answer(wire(&t, user, "GET /auth/me", ""), 200, "");
	assert_answer(user_patch(&t, admin, id, "{\"password\":\"given by admin\"}"), 200, "");
	assert_answer(wire(&t, user, "GET /auth/me", ""), 401, "unauthorized");
	a = sign_in(&t, "new@x.cn", "given by admin");
	assert_answer(a, 200, "");
	assert_answer(wire(&t, admin, ar_printf(t.pool, "DELETE /auth/users/%s", id), ""), 204, "");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(wire(&t, admin, ar_printf(t.pool, "GET /auth/users/%s", id), ""), 404,
		      "not-found");
	assert_int_equal(wire_count(&t, ar_printf(t.pool,
						  "SELECT count(*) FROM auth_sessions "
						  "WHERE user_id = '%s'",
						  id)),
			 0);
	assert_non_null(strstr(wire_topics(&t, &seq), "auth.user.deleted"));
	wire_release(&t);
}

/* ---- keys ---- */

static const char *key_with(struct wire_tenant *t, const char *who, const char *permissions,
			    const char *more)
{
	struct answer a = wire(
		t, who, "POST /auth/keys",
		ar_printf(t->pool, "{\"name\":\"k\",\"permissions\":%s%s}", permissions, more));

	assert_answer(a, 201, "");
	assert_str(wire_header(&a, "cache-control"), "no-store");
	return wire_text(t, &a, "key");
}

static const char *key_id(struct wire_tenant *t, const char *key)
{
	return ar_printf(t->pool, "%.36s", key + strlen(AUTH_KEY_PREFIX));
}

TEST(keys)
{
	struct wire_tenant t = wire_tenant("acme"), b = wire_tenant("beta");
	const char *admin = admin_token(&t);
	const char *reader = key_with(&t, admin, "[\"auth.users.read\"]", "");
	const char *all = key_with(&t, admin, "[\"*\"]", "");
	struct answer list;

	assert_answer(wire(&t, reader, "GET /auth/users", ""), 200, "");
	assert_answer(wire(&t, reader, "POST /auth/users", "{\"email\":\"a@x.cn\"}"), 403,
		      "forbidden");
	assert_answer(wire(&t, reader, "GET /auth/me", ""), 403, "forbidden");
	assert_answer(wire(&t, reader, "POST /auth/logout", ""), 403, "forbidden");
	assert_answer(wire(&b, reader, "GET /auth/users", ""), 401, "unauthorized");
	assert_answer(wire(&b, all, "GET /auth/users", ""), 401, "unauthorized");
	assert_answer(wire(&t, ar_printf(t.pool, "%sx", reader), "GET /auth/users", ""), 401,
		      "unauthorized");
	assert_answer(wire(&t, ar_printf(t.pool, "%.*s", (int)strlen(reader) - 1, reader),
			   "GET /auth/users", ""),
		      401, "unauthorized");
	/* one key's id with another's secret */
	assert_answer(wire(&t, ar_printf(t.pool, "ark_%s%s", key_id(&t, all), reader + 4 + 36),
			   "GET /auth/users", ""),
		      401, "unauthorized");
	list = wire(&t, admin, "GET /auth/keys", "");
	assert_answer(list, 200, "");
	assert_int_equal(ar_json_get(list.json, "items")->count, 2);
	assert_null(memmem(list.text.p, list.text.n, reader + 4 + 37, strlen(reader) - 4 - 37));
	assert_int_equal(
		wire_count(&t, ar_printf(t.pool,
					 "SELECT count(*) FROM auth_keys WHERE hash LIKE '%%%s%%'",
					 reader + 4 + 37)),
		0);
	assert_answer(
		wire(&t, admin, ar_printf(t.pool, "DELETE /auth/keys/%s", key_id(&t, reader)), ""),
		204, "");
	assert_answer(wire(&t, reader, "GET /auth/users", ""), 401, "unauthorized");
	assert_answer(
		wire(&t, admin, ar_printf(t.pool, "DELETE /auth/keys/%s", key_id(&t, reader)), ""),
		404, "not-found");
	wire_release(&b);
	wire_release(&t);
}

/* A key gives no more than its user may now, and ends with the user. */
TEST(keys_follow_their_user)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const char *user =
		user_with(&t, admin, "maker", "[\"auth.keys.manage\",\"auth.users.read\"]");
	const char *key = key_with(&t, user, "[\"auth.users.read\"]", ""), *id = id_of(&t, user);

	assert_answer(wire(&t, key, "GET /auth/users", ""), 200, "");
	assert_answer(wire(&t, admin, "PATCH /auth/roles/maker", "{\"permissions\":[]}"), 200, "");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 403, "forbidden");
	assert_answer(wire(&t, admin, "PATCH /auth/roles/maker", "{\"permissions\":[\"auth.*\"]}"),
		      200, "");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 200, "");
	assert_answer(wire(&t, key, "GET /auth/roles", ""), 403,
		      "forbidden"); /* not in its scope */
	assert_answer(user_patch(&t, admin, id, "{\"disabled\":true}"), 200, "");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 401, "unauthorized");
	assert_answer(user_patch(&t, admin, id, "{\"disabled\":false}"), 200, "");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 200, "");
	assert_answer(wire(&t, admin, ar_printf(t.pool, "DELETE /auth/users/%s", id), ""), 204, "");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 401, "unauthorized");
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_keys"), 0);
	wire_release(&t);
}

/* A stolen key is no way to a key that outlives it. */
TEST(keys_of_keys)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const char *key = key_with(&t, admin, "[\"auth.keys.manage\",\"auth.users.read\"]",
				   ",\"expires\":\"2040-01-01T00:00:00Z\"");
	const char *child, *grandchild;

	assert_answer(wire(&t, key, "POST /auth/keys",
			   "{\"name\":\"k\",\"permissions\":[\"auth.users.read\"],"
			   "\"expires\":\"2041-01-01T00:00:00Z\"}"),
		      422, "invalid");
	assert_answer(
		wire(&t, key, "POST /auth/keys", "{\"name\":\"k\",\"permissions\":[\"auth.*\"]}"),
		403, "auth/escalation");
	child = key_with(&t, key, "[\"auth.keys.manage\",\"auth.users.read\"]", "");
	assert_int_equal(wire_count(&t, "SELECT count(DISTINCT expires) FROM auth_keys"), 1);
	grandchild = key_with(&t, child, "[\"auth.users.read\"]", "");
	assert_answer(wire(&t, grandchild, "GET /auth/users", ""), 200, "");
	assert_answer(
		wire(&t, admin, ar_printf(t.pool, "DELETE /auth/keys/%s", key_id(&t, key)), ""),
		204, "");
	assert_answer(wire(&t, child, "GET /auth/users", ""), 401, "unauthorized");
	assert_answer(wire(&t, grandchild, "GET /auth/users", ""), 401, "unauthorized");
	wire_release(&t);
}

static int64_t ahead_ms;

static int64_t later(void *arg)
{
	return 1800000000000 + ahead_ms;
}

TEST(keys_end)
{
	static const struct ar_seam seam = { .now_ms = later };
	const char *admin, *key;

	ahead_ms = 0;
	ar_seam_set(&seam);
	struct wire_tenant t = wire_tenant("acme");

	admin = admin_token(&t);
	key = key_with(&t, admin, "[\"auth.users.read\"]", ",\"expires\":\"2027-01-15T09:00:00Z\"");
	assert_answer(wire(&t, key, "GET /auth/users", ""), 200, "");
	ahead_ms = 3600 * 1000 - 1; /* 1800000000 is 2027-01-15T08:00:00Z */
	assert_answer(wire(&t, key, "GET /auth/users", ""), 200, "");
	ahead_ms = 3600 * 1000;
	assert_answer(wire(&t, key, "GET /auth/users", ""), 401, "unauthorized");
	wire_release(&t);
	ar_seam_set(NULL);
}

/* ---- another tenant ---- */

/* Whatever of tenant B one holds, in tenant A it is nothing. */
TEST(canary)
{
	struct wire_tenant a = wire_tenant("acme"), b = wire_tenant("beta");
	const char *admin_a = admin_token(&a), *admin_b = admin_token(&b);
	const char *key_b = key_with(&b, admin_b, "[\"*\"]", "");
	struct answer li = sign_up(&b, "canary@x.cn"), got;
	const char *id = wire_text(&b, &li, "user.id");

	assert_answer(wire(&b, admin_b, "POST /auth/roles", "{\"name\":\"canary\"}"), 201, "");
	got = wire(&b, token_of(&b, &li), "GET /auth/sessions", "");
	const char *session = wire_text(&b, &got, "items.0.id");
	const char *const lines[] = {
		ar_printf(a.pool, "GET /auth/users/%s", id),
		ar_printf(a.pool, "DELETE /auth/users/%s", id),
		ar_printf(a.pool, "DELETE /auth/sessions/%s", session),
		ar_printf(a.pool, "DELETE /auth/keys/%s", key_id(&b, key_b)),
		"GET /auth/roles/canary",
		"DELETE /auth/roles/canary",
	};

	for (size_t i = 0; i < AR_COUNT(lines); i++) {
		assert_answer(wire(&a, admin_a, lines[i], ""), 404, "not-found");
		assert_answer(wire(&a, admin_b, lines[i], ""), 401, "unauthorized");
		assert_answer(wire(&a, key_b, lines[i], ""), 401, "unauthorized");
	}
	got = wire(&a, admin_a, "GET /auth/users?limit=500", "");
	assert_null(memmem(got.text.p, got.text.n, "canary", 6));
	got = wire(&a, admin_a, "GET /auth/roles", "");
	assert_null(memmem(got.text.p, got.text.n, "canary", 6));
	assert_answer(wire(&b, token_of(&b, &li), "GET /auth/me", ""), 200, "");
	assert_answer(wire(&b, key_b, "GET /auth/users", ""), 200, "");
	wire_release(&b);
	wire_release(&a);
}

/* Workflows keep what their steps return: no step may return a secret. */
TEST(no_secret_in_a_workflow)
{
	struct wire_tenant t = wire_tenant("acme");
	struct ar_json *input, *out;
	struct ar_invoke invoke = { .tenant = t.tenant, .who = &ar_who_system };

	assert_ok(ar_json_parse(t.pool,
				AR_STR("{\"name\":\"k\",\"permissions\":[\"customer:read\"]}"),
				&ar_json_limits_default, &input));
	invoke.input = input;
	invoke.action = AR_STR("auth.create_key");
	invoke.face = AR_FACE_WORKFLOW;
	assert_fails(ar_action_invoke(t.pool, &invoke, &out), AR_E_ACTION_FACE);
	invoke.face = AR_FACE_LUA;
	assert_ok(ar_action_invoke(t.pool, &invoke, &out));
	assert_true(ar_str_starts(ar_json_text(out, "key", AR_STR("")), AR_STR("ark_")));
	/* a key of the platform's own has no user to follow */
	assert_answer(wire(&t, ar_strz(t.pool, ar_json_text(out, "key", AR_STR(""))),
			   "GET /auth/users", ""),
		      403, "forbidden");
	invoke.action = AR_STR("auth.signup");
	invoke.face = AR_FACE_WORKFLOW;
	assert_fails(ar_action_invoke(t.pool, &invoke, &out), AR_E_ACTION_FACE);
	wire_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matrix),       cmocka_unit_test(one_right_is_one_right),
		cmocka_unit_test(escalation),   cmocka_unit_test(somebody_stays),
		cmocka_unit_test(roles),        cmocka_unit_test(users),
		cmocka_unit_test(keys),         cmocka_unit_test(keys_follow_their_user),
		cmocka_unit_test(keys_of_keys), cmocka_unit_test(keys_end),
		cmocka_unit_test(canary),       cmocka_unit_test(no_secret_in_a_workflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
