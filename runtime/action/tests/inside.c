/*
 * inside.c - calls that do not come from a tenant's people: from inside the process, and operators
 * who make and delete tenants.
 */
#include "action/tests/door.h"

/* ---- from inside ---- */

static int hook_calls;
static AR_YIELDS int hook(struct ar_call *call, void *arg)
{
	hook_calls++;
	assert_int_equal(call->reply.status, 201);
	return *(bool *)arg ? insert(call, 50) : ar_fail(AR_E_UNAVAILABLE);
}

TEST(invoked)
{
	bool good = true, bad = false;
	struct ar_json *out;
	struct ar_invoke call = { .tenant = w->tenant,
				  .who = w->writer,
				  .face = AR_FACE_LUA,
				  .action = AR_STR("test.add"),
				  .input = parse(w->pool, "{\"n\":5}"),
				  .hook = hook,
				  .hook_arg = &good };

	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_int_equal(ar_json_number(out, "run", 0), 1);
	assert_int_equal(things(w), 2);
	call.hook_arg = &bad; /* the hook's failure undoes the action */
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_UNAVAILABLE);
	assert_int_equal(things(w), 2);
	assert_int_equal(hook_calls, 2);
	call.action = AR_STR("test.get"); /* writes nothing: no hook */
	call.input = NULL;
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_int_equal(ar_json_number(out, "min", 0), 3);
	assert_int_equal(hook_calls, 2);

	call.hook = NULL;
	call.action = AR_STR("things-old.add");
	call.input = parse(w->pool, "{\"n\":5,\"x\":1}");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_INVALID);
	call.input = parse(w->pool, "{\"n\":5}");
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	call.who = &ar_who_anyone;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_UNAUTHORIZED);
	call.depth = AR_CALL_DEPTH_MAX + 1;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_DEPTH);
	call.depth = 0;
	call.action = AR_STR("test.http");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_FACE);
	call.action = AR_STR("platform.list_tenants");
	call.who = &ar_who_system;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_FACE);
	call.action = AR_STR("test.none");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_UNKNOWN);
	call.action = AR_STR("test.bytes");
	call.input = parse(w->pool, "{\"body\":{\"a\":1}}");
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_str(out->s, "{\"a\":1}");
}

/* ---- tenants ---- */

static AR_YIELDS int platform(struct world *w, const char *name, const char *input,
			      struct ar_call **ret)
{
	struct ar_who *who = who_with(w->pool, AR_WHO_OPERATOR, "o", "[\"platform.*\"]");
	struct ar_call *call = ar_new(w->pool, struct ar_call);

	*call = (struct ar_call){
		.pool = w->pool, .who = who, .input = parse(w->pool, input), .reply.fd = -1
	};
	*ret = call;
	ar_err_clear();
	return ar_action_enter(call, ar_action_find(ar_str(name)));
}

TEST(operators_make_tenants)
{
	struct ar_tenant *tenant;
	struct ar_call *call;

	assert_ok(platform(w, "platform.create_tenant", "{\"name\":\"beta\"}", &call));
	assert_int_equal(call->reply.status, 201);
	struct ar_json *reply = parse(w->pool, ar_strz(w->pool, ar_buf_view(call->reply.json)));

	assert_str(ar_json_text(reply, "name", AR_STR_NONE), "beta");
	assert_true(ar_id_valid(ar_json_text(reply, "id", AR_STR_NONE)));
	assert_str(ar_json_text(reply, "admin", AR_STR_NONE), "root");
	assert_fails(platform(w, "platform.create_tenant", "{\"name\":\"beta\"}", &call),
		     AR_E_TENANT_EXISTS);
	assert_fails(platform(w, "platform.create_tenant", "{\"name\":\"Beta\"}", &call),
		     AR_E_INVALID);
	assert_ok(platform(w, "platform.list_tenants", "{\"limit\":1}", &call));
	reply = parse(w->pool, ar_strz(w->pool, ar_buf_view(call->reply.json)));
	assert_str(ar_json_text(reply, "nextCursor", AR_STR_NONE), "acme");
	assert_ok(platform(w, "platform.delete_tenant", "{\"name\":\"beta\"}", &call));
	assert_int_equal(call->reply.status, 204);
	assert_fails(ar_tenant_acquire(AR_STR("beta"), &tenant), AR_E_TENANT_UNKNOWN);
	/* A module that cannot set the tenant up leaves no tenant. */
	assert_fails(ar_tenant_found(w->pool, parse(w->pool, "{\"name\":\"gone\",\"fail\":1}"),
				     NULL, NULL, &reply),
		     AR_E_UNAVAILABLE);
	assert_fails(ar_tenant_acquire(AR_STR("gone"), &tenant), AR_E_TENANT_UNKNOWN);
	/* An operator's token is not the machine's owner's. */
	assert_fails(platform(w, "platform.call", "{\"tenant\":\"acme\",\"action\":\"test.get\"}",
			      &call),
		     AR_E_FORBIDDEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invoked),
		cmocka_unit_test(operators_make_tenants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
