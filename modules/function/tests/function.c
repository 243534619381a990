/*
 * function.c - functions through router and door, on real executors: deploying, who may call and
 * what the code may do, failures, libraries.
 */
#include "function/tests/rig.h"

/* ---- deploying ---- */

TEST(keeps_versions)
{
	struct answer a = deploy(t, admin, "f", "return function() return 1 end",
				 ",\"description\":\"one\",\"limits\":{\"wallMs\":500}");

	assert_answer(a, 201, "");
	assert_string_equal(wire_text(t, &a, "number"), "1");
	assert_string_equal(wire_text(t, &a, "allow"), "functions.call");
	assert_string_equal(wire_text(t, &a, "permissions"), "[]");
	a = deploy(t, admin, "f", "return function() return 1 end", ",\"allow\":\"+\"");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "number"), "1"); /* the same source */
	assert_string_equal(wire_text(t, &a, "allow"), "+");
	assert_string_equal(wire_text(t, &a, "description"), "one"); /* not given: it stays */
	assert_string_equal(wire_text(t, &a, "limits.wallMs"), "500");
	a = deploy(t, admin, "f", "return function() return 2 end", "");
	assert_string_equal(wire_text(t, &a, "number"), "2");
	a = call(t, admin, "f", "{}");
	assert_string_equal(ar_strz(t->pool, a.text), "2"); /* seen by the next call */
	a = wire(t, admin, "GET /functions/f/versions", "");
	assert_string_equal(wire_text(t, &a, "items.0.number"), "2");
	assert_string_equal(wire_text(t, &a, "items.1.number"), "1");
	a = wire(t, admin, "GET /functions/f/versions/1", "");
	assert_string_equal(wire_text(t, &a, "source"), "return function() return 1 end");
	assert_answer(wire(t, admin, "GET /functions/f/versions/3", ""), 404, "not-found");
	a = wire(t, admin, "GET /functions", "");
	assert_string_equal(wire_text(t, &a, "items.0.name"), "f");
	assert_answer(wire(t, admin, "DELETE /functions/f", ""), 204, "");
	assert_answer(wire(t, admin, "DELETE /functions/f", ""), 404, "not-found");
	assert_answer(wire(t, admin, "GET /functions/f", ""), 404, "not-found");
	assert_answer(call(t, admin, "f", "{}"), 404, "not-found");
}

TEST(refuses_sources)
{
	static const struct {
		const char *name, *source, *more;
		int status;
		const char *code;
	} rows[] = {
		{ "f", "return function() return 1 en", "", 422, "sandbox/syntax" },
		{ "f",
		  "\x1b"
		  "Lua",
		  "", 400, "malformed" }, /* no control character in JSON */
		{ "F", "return 1", "", 422, "invalid" },
		{ "9", "return 1", "", 422, "invalid" },
		{ "f", "return 1", ",\"allow\":\"x\"", 422, "invalid" },
		{ "f", "return 1", ",\"allow\":\"a b\"", 422, "invalid" },
		{ "f", "return 1", ",\"allow\":\"\"", 422, "invalid" },
		{ "f", "return 1", ",\"permissions\":[1]", 422, "invalid" },
		{ "f", "return 1", ",\"permissions\":\"*\"", 422, "invalid" },
		{ "f", "return 1", ",\"events\":[\"a b\"]", 422, "invalid" },
		{ "f", "return 1", ",\"events\":[\"a.*.b\"]", 422, "invalid" },
		{ "f", "return 1", ",\"limits\":{\"cpuMs\":0}", 422, "invalid" },
		{ "f", "return 1", ",\"limits\":{\"memoryMb\":257}", 422, "invalid" },
		{ "f", "return 1", ",\"limits\":{\"wallMs\":900001}", 422, "invalid" },
		{ "f", "return 1", ",\"limits\":{\"calls\":1}", 422, "invalid" },
		{ "f", "return 1", ",\"color\":1", 422, "invalid" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a;

		if (rows[i].status == 400)
			continue;
		a = deploy(t, admin, rows[i].name, rows[i].source, rows[i].more);
		if (a.status != rows[i].status)
			print_message("row %zu\n", i);
		assert_answer(a, rows[i].status, rows[i].code);
	}
	assert_string_equal(
		ar_err_param(deploy(t, admin, "f", "local a\nlocal b\nx = = 1", "").err, "line"),
		"3");
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_functions"), 0);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM bus_subscription WHERE builtin = 0"),
			 0);
}

TEST(nobody_grants_what_they_lack)
{
	const char *dev = user_with(t, admin, "dev", "[\"functions.write\",\"auth.users.read\"]");
	static const char source[] = "return function() return 1 end";

	assert_answer(deploy(t, NULL, "f", source, ""), 401, "unauthorized");
	assert_answer(deploy(t, dev, "f", source, ",\"permissions\":[\"auth.users.read\"]"), 201,
		      "");
	assert_answer(deploy(t, dev, "f", source, ",\"permissions\":[\"auth.users.write\"]"), 403,
		      "function/escalation");
	assert_answer(deploy(t, dev, "f", source, ",\"permissions\":[\"auth.*\"]"), 403,
		      "function/escalation");
	assert_answer(deploy(t, dev, "f", source, ",\"permissions\":[\"*\"]"), 403,
		      "function/escalation");
	assert_answer(deploy(t, admin, "f", source, ",\"permissions\":[\"*\"]"), 200, "");
	/* A library acts with the rights of who requires it. */
	assert_answer(deploy(t, dev, "lib", "return {}", ",\"library\":true"), 403,
		      "function/escalation");
	assert_answer(deploy(t, admin, "lib", "return {}", ",\"library\":true"), 201, "");
	assert_answer(deploy(t, dev, "lib", "return {1}", ""), 403, "function/escalation");
	assert_answer(deploy(t, dev, "lib", "return {1}", ",\"library\":false"), 403,
		      "function/escalation");
	/* A new source, or more callers, under rights that somebody else gave. */
	assert_answer(deploy(t, dev, "f", source, ",\"allow\":\"-\""), 403, "function/escalation");
	assert_answer(deploy(t, dev, "f", "return function() return 2 end", ""), 403,
		      "function/escalation");
}

/* ---- rights ---- */

TEST(asks_who_may_call)
{
	const char *nobody = user_with(t, admin, "nobody", "[]");
	const char *caller = user_with(t, admin, "caller", "[\"functions.call\"]");
	const char *seller = user_with(t, admin, "seller", "[\"sales:run\"]");
	static const char source[] = "return function() return 1 end";
	static const struct {
		const char *allow;
		int none, nobody, caller, seller;
	} rows[] = {
		{ "-", 200, 200, 200, 200 },
		{ "+", 401, 200, 200, 200 },
		{ "functions.call", 401, 403, 200, 403 },
		{ "sales:run", 401, 403, 403, 200 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		const char *line = "GET /fn/f";

		put(t, admin, "f", source, ar_printf(t->pool, ",\"allow\":\"%s\"", rows[i].allow));
		assert_int_equal(wire(t, NULL, line, "").status, rows[i].none);
		assert_int_equal(wire(t, nobody, line, "").status, rows[i].nobody);
		assert_int_equal(wire(t, caller, line, "").status, rows[i].caller);
		assert_int_equal(wire(t, seller, line, "").status, rows[i].seller);
		assert_int_equal(call(t, NULL, "f", "{}").status, rows[i].none);
		assert_int_equal(call(t, seller, "f", "{}").status, rows[i].seller);
	}
}

TEST(the_code_has_its_own_rights)
{
	static const char source[] = "return function(_, c)\n"
				     "  return #apprun.auth.list_users{}.items\n"
				     "end";
	struct answer a;

	/* The administrator who calls may; the code may not. */
	put(t, admin, "f", source, ANYONE);
	a = call(t, admin, "f", "{}");
	assert_answer(a, 403, "function/forbidden");
	assert_string_equal(ar_err_param(a.err, "reason"), "forbidden");
	/* Nobody who calls may; the code may. */
	put(t, admin, "f", source, ",\"permissions\":[\"auth.users.read\"]");
	a = call(t, NULL, "f", "{}");
	assert_answer(a, 200, "");
	assert_string_equal(ar_strz(t->pool, a.text), "1");
	put(t, admin, "f", "return function(_, c) return c end", "");
	a = call(t, admin, "f", "{}");
	assert_string_equal(wire_text(t, &a, "tenant"), "acme");
	assert_string_equal(wire_text(t, &a, "cause"), "call");
	assert_string_equal(wire_text(t, &a, "function"), "f");
	assert_string_equal(wire_text(t, &a, "auth.id"), id_of(t, admin));
	a = call(t, NULL, "f", "{}");
	assert_string_equal(wire_text(t, &a, "auth"), "");
}

/* ---- failures ---- */

TEST(failures_say_what_happened)
{
	static const struct {
		const char *body;
		int status;
		const char *code, *param, *value; /* value: a part of it */
	} rows[] = {
		{ "error('boom')", 500, "function/failed", "message", "boom" },
		{ "local x = nil; return x.y", 500, "function/failed", "message", "nil value" },
		{ "error{status=404, code='shop/none', message='no such order'}", 404,
		  "function/not-found", "message", "no such order" },
		{ "error{status=404, code='shop/none'}", 404, "function/not-found", "reason",
		  "shop/none" },
		{ "error{status=418, message='tea'}", 500, "function/failed", "message", "" },
		{ "error{status='404'}", 500, "function/failed", "message", "" },
		{ "while true do end", 500, "function/limit", "limit", "sandbox/cpu-limit" },
		{ "local t = {} for i = 1, 1e9 do t[i] = {i} end", 500, "function/limit", "limit",
		  "sandbox/" },
		{ "return string.rep('x', 2000000)", 500, "function/limit", "limit",
		  "sandbox/result-too-large" },
		{ "return apprun.no.such_thing{}", 404, "function/not-found", "reason",
		  "action/unknown" },
		{ "return apprun.functions.call{name='f'}", 422, "function/unprocessable", "reason",
		  "action/face" },
		{ "return apprun.auth.me{}", 404, NULL, NULL, NULL },
		{ "error(('你'):rep(2000))", 500, "function/failed", "message", "你" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a;

		put(t, admin, "f", ar_printf(t->pool, "return function()\n%s\nend", rows[i].body),
		    ANYONE);
		a = call(t, admin, "f", "{}");
		if (rows[i].code == NULL)
			continue;
		if (a.status != rows[i].status || !ar_str_is(a.code, rows[i].code))
			fail_msg("%s: %.*s", rows[i].body, AR_FMT(a.text));
		if (strstr(ar_err_param(a.err, rows[i].param), rows[i].value) == NULL)
			fail_msg("%s: %.*s", rows[i].body, AR_FMT(a.text));
		assert_string_equal(ar_err_param(a.err, "function"), "f");
		assert_int_equal(strlen(ar_err_param(a.err, "run")), AR_ID_LEN);
		assert_true(strlen(ar_err_param(a.err, rows[i].param)) <= 1000);
	}
}

/* What a refusal says to people: its own words, or ours in their language; and which fields. */
TEST(refusals_are_said)
{
	static const struct {
		const char *body;
		int status;
		const char *en, *zh, *path, *value; /* title; a member of the problem */
	} rows[] = {
		{ "error{status=404}", 404, "Not found", "未找到", "code", "function/not-found" },
		{ "error{status=400}", 400, "The function refused this", "函数拒绝了这个请求",
		  "code", "function/refused" },
		{ "error{status=404, code='shop/none'}", 404, "shop/none", "shop/none",
		  "params.reason", "shop/none" },
		{ "error{status=404, code='not-found', message='no such order'}", 404,
		  "no such order", "no such order", "params.reason", "not-found" },
		{ "error{status=808 / 2, message='half'}", 404, "half", "half", "code",
		  "function/not-found" },
		{ "error{status=404.5, message='half'}", 500, "The function f failed: half",
		  "函数 f 运行失败：half", "code", "function/failed" },
		{ "error{code='shop/none'}", 500, "The function f failed: shop/none",
		  "函数 f 运行失败：shop/none", "code", "function/failed" },
		{ "return apprun.auth.get_user{id='01a21480-81c8-70dc-ad0d-d4cf9f81a4a0'}", 404,
		  "Not found", "未找到", "params.reason", "not-found" },
		{ "return apprun.no.such_thing{}", 404, "There is no action no.such_thing",
		  "没有名为 no.such_thing 的操作", "params.reason", "action/unknown" },
		{ "return apprun.auth.create_user{email='x', password='y'}", 422,
		  "Some fields are not right", "部分字段有误", "fields.password.message",
		  "must be at least 8 long" },
		{ "return apprun.auth.create_user{email='x', password='y'}", 422,
		  "Some fields are not right", "部分字段有误", "fields.email.code", "email" },
		{ "error{status=422, message='no', fields={size='too big'}}", 422, "no", "no",
		  "fields.size.message", "too big" },
		{ "error{status=422, message='no', fields={size=1}}", 422, "no", "no", "fields",
		  "" },
		{ "error{status=422, message='no', fields='size'}", 422, "no", "no", "fields", "" },
	};
	struct wire_extra extra = { .bearer = admin, .language = "en" };

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a;

		put(t, admin, "f", ar_printf(t->pool, "return function()\n%s\nend", rows[i].body),
		    ",\"permissions\":[\"auth.users.read\",\"auth.users.write\"]");
		extra.language = "zh-CN";
		a = wire_with(t, "POST /functions/f/execute", "{}", &extra);
		if (a.status != rows[i].status ||
		    strcmp(wire_text(t, &a, "title"), rows[i].zh) != 0)
			fail_msg("%s: %.*s", rows[i].body, AR_FMT(a.text));
		extra.language = "en";
		a = wire_with(t, "POST /functions/f/execute", "{}", &extra);
		if (strcmp(wire_text(t, &a, "title"), rows[i].en) != 0 ||
		    strcmp(wire_text(t, &a, rows[i].path), rows[i].value) != 0)
			fail_msg("%s: %.*s", rows[i].body, AR_FMT(a.text));
	}
}

TEST(null_is_an_absent_key)
{
	struct answer a;

	put(t, admin, "f",
	    "return function(i) return {a = i.a == nil, b = i.b[2] == json.null, c = json.null} "
	    "end",
	    "");
	a = call(t, admin, "f", "{\"a\":null,\"b\":[1,null]}");
	assert_answer(a, 200, "");
	assert_string_equal(ar_strz(t->pool, a.text), "{\"a\":true,\"b\":true,\"c\":null}");
}

TEST(calls_inside_of_calls_end)
{
	struct answer a;

	put(t, admin, "down",
	    "return function(i)\n"
	    "  local ok, r = pcall(apprun.functions.execute,\n"
	    "    {['function'] = 'down', input = {n = i.n + 1}})\n"
	    "  if ok then return r end\n"
	    "  return {n = i.n, code = r.code}\n"
	    "end",
	    ANYONE);
	a = call(t, NULL, "down", "{\"n\":0}");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "n"), "8");
	assert_string_equal(wire_text(t, &a, "code"), "action/depth");
}

TEST(libraries)
{
	struct answer a;

	put(t, admin, "f", "local l = require('lib')\nreturn function() return l.hello() end",
	    ANYONE);
	assert_answer(call(t, NULL, "f", "{}"), 500, "function/failed");
	put(t, admin, "lib", "return {hello = function() return 'one' end}",
	    ",\"library\":true,\"allow\":\"-\"");
	a = call(t, NULL, "f", "{}");
	assert_string_equal(ar_strz(t->pool, a.text), "\"one\"");
	assert_answer(call(t, NULL, "lib", "{}"), 422, "function/library");
	put(t, admin, "lib", "return {hello = function() return 'two' end}", "");
	a = call(t, NULL, "f", "{}");
	assert_string_equal(ar_strz(t->pool, a.text), "\"two\"");
	for (int i = 0; i < 63; i++)
		put(t, admin, ar_printf(t->pool, "l%d", i), "return {}", ",\"library\":true");
	a = deploy(t, admin, "l63", "return {}", ",\"library\":true");
	assert_answer(a, 422, "invalid");
	put(t, admin, "l62", "return {1}", ",\"library\":true"); /* one of the 64 may change */
	assert_answer(call(t, NULL, "f", "{}"), 200, "");
	assert_answer(wire(t, admin, "DELETE /functions/lib", ""), 204, "");
	assert_answer(call(t, NULL, "f", "{}"), 500, "function/failed");
}

TEST(many_functions)
{
	for (int i = 0; i < 300; i++)
		put(t, admin, ar_printf(t->pool, "f%d", i),
		    ar_printf(t->pool, "return function() return %d end", i), ANYONE);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i += 7) {
			struct answer a = call(t, NULL, ar_printf(t->pool, "f%d", i), "{}");

			assert_string_equal(ar_strz(t->pool, a.text), ar_printf(t->pool, "%d", i));
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_versions),
		cmocka_unit_test(refuses_sources),
		cmocka_unit_test(nobody_grants_what_they_lack),
		cmocka_unit_test(asks_who_may_call),
		cmocka_unit_test(the_code_has_its_own_rights),
		cmocka_unit_test(failures_say_what_happened),
		cmocka_unit_test(refusals_are_said),
		cmocka_unit_test(null_is_an_absent_key),
		cmocka_unit_test(calls_inside_of_calls_end),
		cmocka_unit_test(libraries),
		cmocka_unit_test(many_functions),
	};

	return run_all(argc, argv, tests, AR_COUNT(tests));
}
