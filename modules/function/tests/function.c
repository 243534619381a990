/*
 * function.c - functions through router and door, on real executors: deploying, who may call and what
 * the code may do, HTTP in and out, failures, libraries, the list of runs, events.
 */
#include "auth/tests/people.h"
#include "function/function_int.h"

/* The bus remembers who registered; the tenant room forgets with each house. */
static int start_again(void)
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

static void with_executors(void)
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

static void run(void (*body)(struct wire_tenant *t, const char *admin))
{
	again = function_module;
	again.start = start_again;
	test_body = body;
	wire_run(modules, with_executors);
}

#define TEST(name) TEST_IN(name, run, struct wire_tenant *t, const char *admin)

/* Lua as a JSON text. */
static const char *quoted(struct wire_tenant *t, const char *source)
{
	struct ar_json text = AR_J_Z(source);

	return ar_strz(t->pool, ar_json_print(t->pool, &text));
}

/* more: further members, ",\"allow\":\"-\"" */
static struct answer deploy(struct wire_tenant *t, const char *who, const char *name,
			    const char *source, const char *more)
{
	return wire(t, who, ar_printf(t->pool, "PUT /functions/%s", name),
		    ar_printf(t->pool, "{\"source\":%s%s}", quoted(t, source), more));
}

static void put(struct wire_tenant *t, const char *admin, const char *name, const char *source,
		const char *more)
{
	struct answer a = deploy(t, admin, name, source, more);

	if (a.status != 200 && a.status != 201)
		fail_msg("%s: %d %.*s", name, a.status, AR_FMT(a.text));
}

static struct answer call(struct wire_tenant *t, const char *who, const char *name,
			  const char *input)
{
	return wire(t, who, ar_printf(t->pool, "POST /functions/%s/execute", name),
		    ar_printf(t->pool, "{\"input\":%s}", input));
}

#define ANYONE ",\"allow\":\"-\""

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

/* ---- HTTP ---- */

TEST(http_comes_as_a_table)
{
	static const struct ar_header headers[] = {
		{ { "content-type", 12 }, { "application/json; charset=utf-8", 31 } },
		{ { "x-mine", 6 }, { "a, b", 4 } },
		{ { "authorization", 13 }, { "Bearer geheim", 13 } },
		{ { "cookie", 6 }, { "a=b", 3 } },
		{ { "proxy-authorization", 19 }, { "x", 1 } },
		{ { "x-bad", 5 }, { "\xff", 1 } },
	};
	struct wire_extra extra = { .headers = headers, .nheaders = AR_COUNT(headers) };
	struct answer a;

	put(t, admin, "f", "return function(r) return r end", ANYONE);
	a = wire_with(t, "PUT /fn/f/a%20b/c?x=1&x=2&y=&z=%E4%BD%A0", "{\"n\":[1,2.5,\"三\"]}",
		      &extra);
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "method"), "PUT");
	assert_string_equal(wire_text(t, &a, "path"), "/a b/c");
	assert_string_equal(wire_text(t, &a, "query"),
			    "{\"x\":[\"1\",\"2\"],\"y\":\"\",\"z\":\"你\"}");
	assert_string_equal(wire_text(t, &a, "body"), "{\"n\":[1,2.5,\"三\"]}");
	assert_string_equal(wire_text(t, &a, "headers"),
			    "{\"content-type\":\"application/json; charset=utf-8\","
			    "\"x-mine\":\"a, b\"}");
	assert_true(wire_header(&a, "x-apprun-run").n == AR_ID_LEN);
	assert_answer(wire_with(t, "POST /fn/f", "{\"n\":", &extra), 400, "malformed");

	extra.nheaders = 0;
	a = wire_with(t, "POST /fn/f", "plain {text", &extra);
	assert_string_equal(wire_text(t, &a, "body"), "plain {text");
	assert_string_equal(wire_text(t, &a, "path"), "/");
	extra.bytes = ar_str_n("a\0b", 3);
	assert_answer(wire_with(t, "POST /fn/f", "", &extra), 400, "malformed");
	extra.bytes = AR_STR("\xff\xfe");
	assert_answer(wire_with(t, "POST /fn/f", "", &extra), 400, "malformed");
	assert_answer(wire(t, NULL, "GET /fn/f?x=%ff", ""), 400, "malformed");
	assert_answer(wire(t, NULL, "GET /fn/g", ""), 404, "not-found");
	a = wire(t, NULL, "GET /fn/f", "");
	assert_string_equal(wire_text(t, &a, "body"), "");
}

TEST(a_table_goes_as_http)
{
	static const struct {
		const char *result;
		int status;
		const char *type, *text; /* type NULL: JSON */
	} rows[] = {
		{ "{a = 1}", 200, NULL, "{\"a\":1}" },
		{ "nil", 200, NULL, "null" },
		{ "'text'", 200, NULL, "\"text\"" },
		{ "{status = 201, body = {id = 7}}", 201, NULL, "{\"id\":7}" },
		{ "{status = 404, body = 'no'}", 404, "text/plain; charset=utf-8", "no" },
		{ "{status = 200, body = '<p>', headers = {['Content-Type'] = 'text/html'}}", 200,
		  "text/html", "<p>" },
		{ "{status = 204}", 204, "", "" },
		{ "{status = 302, headers = {location = '/x'}}", 302, "", "" },
		{ "{status = 500, body = {sorry = true}}", 500, NULL, "{\"sorry\":true}" },
		/* Not replies: a status that is a word of the business. */
		{ "{status = 'paid'}", 200, NULL, "{\"status\":\"paid\"}" },
		{ "{status = 201, id = 7}", 200, NULL, "{\"id\":7,\"status\":201}" },
	};
	static const char *const bad[] = {
		"{status = 99}",
		"{status = 600}",
		"{status = 101}",
		"{status = 200, headers = {['set-cookie'] = 'a=b'}}",
		"{status = 200, headers = {['Content-Length'] = '5'}}",
		"{status = 200, headers = {['content-security-policy'] = 'x'}}",
		"{status = 200, headers = {['Content-Security-Policy-Report-Only'] = 'x'}}",
		"{status = 200, headers = {NEL = '{}'}}",
		"{status = 200, headers = {['report-to'] = '{}'}}",
		"{status = 200, headers = {['reporting-endpoints'] = 'a=\"https://b\"'}}",
		"{status = 401, headers = {['www-authenticate'] = 'Basic realm=\"x\"'}}",
		"{status = 200, headers = {['Access-Control-Allow-Origin'] = '*'}}",
		"{status = 200, headers = {['x y'] = '1'}}",
		"{status = 200, headers = {['x'] = 'a\\r\\nb: c'}}",
		"{status = 200, headers = {x = 1}}",
		"{status = 200, headers = 'x'}",
		"{status = 200, headers = {a='',b='',c='',d='',e='',f='',g='',h='',i='',j='',"
		"k='',l='',m=''}}",
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		put(t, admin, "f",
		    ar_printf(t->pool, "return function() return %s end", rows[i].result), ANYONE);
		a = wire(t, NULL, "GET /fn/f", "");
		if (a.status != rows[i].status)
			fail_msg("%s: %d %.*s", rows[i].result, a.status, AR_FMT(a.text));
		assert_string_equal(ar_strz(t->pool, a.text), rows[i].text);
		if (rows[i].type != NULL)
			assert_string_equal(ar_strz(t->pool, a.call->reply.content_type),
					    rows[i].type);
	}
	for (size_t i = 0; i < AR_COUNT(bad); i++) {
		put(t, admin, "f", ar_printf(t->pool, "return function() return %s end", bad[i]),
		    ANYONE);
		assert_answer(wire(t, NULL, "GET /fn/f", ""), 500, "function/reply");
	}
	put(t, admin, "f", "return function() return {status=302, headers={Location='/x'}} end",
	    "");
	a = wire(t, NULL, "GET /fn/f", "");
	assert_true(ar_str_is(wire_header(&a, "location"), "/x"));
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
		{ "error{status=429}", 429, "function/too-many-requests", "message", "" },
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

/* ---- runs ---- */

static struct answer runs_of(struct wire_tenant *t, const char *admin, const char *name, int count)
{
	const char *line = ar_printf(t->pool, "GET /functions/%s/runs?limit=500", name);
	struct answer a;

	for (int i = 0; i < 400; i++) {
		a = wire(t, admin, line, "");
		assert_answer(a, 200, "");
		if ((int)ar_json_get(a.json, "items")->count >= count)
			return a;
		ar_sleep(10);
	}
	fail_msg("%d runs are not listed", count);
	return a;
}

TEST(remembers_runs)
{
	struct answer a;
	const char *id;

	put(t, admin, "f",
	    "return function(i)\n"
	    "  print('hello', i.n) log.warn('about ' .. i.password)\n"
	    "  if i.n == 2 then error('bad ' .. i.password) end\n"
	    "  return {n = i.n, echo = i.password, password = 'other'}\n"
	    "end",
	    ANYONE);
	assert_answer(call(t, NULL, "f", "{\"n\":1,\"password\":\"geheim99\"}"), 200, "");
	assert_answer(call(t, NULL, "f", "{\"n\":2,\"password\":\"geheim99\"}"), 500,
		      "function/failed");
	a = runs_of(t, admin, "f", 2);
	assert_string_equal(wire_text(t, &a, "items.1.status"), "ok");
	assert_string_equal(wire_text(t, &a, "items.1.input"), "{\"n\":1,\"password\":\"***\"}");
	assert_string_equal(wire_text(t, &a, "items.1.output"),
			    "{\"echo\":\"***\",\"n\":1,\"password\":\"***\"}");
	assert_string_equal(wire_text(t, &a, "items.1.logs"),
			    "[{\"level\":\"info\",\"text\":\"hello\\t1\"},"
			    "{\"level\":\"warn\",\"text\":\"about ***\"}]");
	assert_string_equal(wire_text(t, &a, "items.1.error"), "null");
	assert_string_equal(wire_text(t, &a, "items.0.status"), "failed");
	assert_non_null(strstr(wire_text(t, &a, "items.0.error.message"), "bad ***"));
	assert_string_equal(wire_text(t, &a, "items.0.error.code"), "sandbox/error");
	assert_null(strstr(ar_strz(t->pool, a.text), "geheim99"));
	assert_true(strtol(wire_text(t, &a, "items.0.durationUs"), NULL, 10) > 0);
	assert_true(strtol(wire_text(t, &a, "items.0.memory"), NULL, 10) > 0);
	id = wire_text(t, &a, "items.0.id");
	a = wire(t, admin, ar_printf(t->pool, "GET /functions/f/runs/%s", id), "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "id"), id);
	assert_string_equal(wire_text(t, &a, "cause"), "call");
	assert_answer(wire(t, admin, ar_printf(t->pool, "GET /functions/g/runs/%s", id), ""), 404,
		      "not-found");
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE input LIKE "
				       "'%geheim99%' OR output LIKE '%geheim99%' OR error LIKE "
				       "'%geheim99%' OR logs LIKE '%geheim99%'"),
			 0);
}

TEST(keeps_the_last_runs)
{
	put(t, admin, "f", "return function(i) return i end", ANYONE);
	put(t, admin, "g", "return function(i) return i end", ANYONE);
	assert_answer(call(t, NULL, "g", "{\"n\":0}"), 200, "");
	for (int i = 0; i < 1200; i++) {
		struct ar_json n = AR_J_INT(i);
		struct ar_sandbox_result result = { .output = &n };
		struct function_run_record record = { .id = ar_id(t->pool),
						      .function = AR_STR("f"),
						      .version = AR_STR("v"),
						      .cause = "call",
						      .result = &result,
						      .created_ms = ar_now_ms() };

		function_run_record(t->tenant, &record);
		if (i == 500)
			runs_of(t, admin, "f", 500);
	}
	again.detach(); /* writes what is left */
	again.attach();
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE function = 'f'"),
			 1000);
	assert_int_equal(wire_count(t, "SELECT min(CAST(output AS BIGINT)) FROM function_runs "
				       "WHERE function = 'f'"),
			 200);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE function = 'g'"),
			 1);
}

TEST(large_values_are_cut)
{
	struct answer a;

	put(t, admin, "f", "return function() return string.rep('x', 100000) end", ANYONE);
	assert_answer(call(t, NULL, "f", "{}"), 200, "");
	a = runs_of(t, admin, "f", 1);
	assert_string_equal(wire_text(t, &a, "items.0.output"), "{\"cut\":true,\"bytes\":100002}");
}

/* ---- events ---- */

static void publish(struct wire_tenant *t, const char *topic, const char *key)
{
	struct ar_json *data = ar_json_new(t->pool, AR_OBJECT);
	struct ar_scope scope;

	ar_json_set(data, AR_STR("x"), ar_json_str(t->pool, AR_STR("你")));
	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_publish(&scope, topic, ar_str(key), data, NULL));
	assert_ok(ar_commit(&scope));
}

static void wait_for(struct wire_tenant *t, const char *sql, int64_t want)
{
	for (int i = 0; i < 800 && wire_count(t, sql) != want; i++)
		ar_sleep(10);
	assert_int_equal(wire_count(t, sql), want);
}

TEST(events_run_functions)
{
	struct answer a;

	put(t, admin, "f", "return function(e) return e end",
	    ",\"events\":[\"thing.*\",\"other\"]");
	publish(t, "thing.made", "k");
	publish(t, "nothing", "k");
	a = runs_of(t, admin, "f", 1);
	assert_string_equal(wire_text(t, &a, "items.0.cause"), "event");
	assert_string_equal(wire_text(t, &a, "items.0.output.event"), "thing.made");
	assert_string_equal(wire_text(t, &a, "items.0.output.key"), "k");
	assert_string_equal(wire_text(t, &a, "items.0.output.data.x"), "你");
	put(t, admin, "f", "return function(e) return e end", ",\"events\":[]");
	publish(t, "other", "k");
	ar_sleep(400);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs"), 1);
}

TEST(failed_events_are_kept)
{
	struct ar_subscription s = { .name = AR_STR("s"),
				     .topics = AR_STR("again"),
				     .kind = AR_STR("function"),
				     .target = AR_STR("faulty"),
				     .max_attempts = 3 };
	struct ar_scope scope;

	put(t, admin, "faulty", "return function() error('no') end", "");
	put(t, admin, "picky", "return function() error{status = 422, message = 'no'} end",
	    ",\"events\":[\"once\"]");
	s.options = ar_json_new(t->pool, AR_OBJECT);
	ar_json_set(s.options, AR_STR("backoff"), ar_json_new(t->pool, AR_ARRAY));
	ar_json_add(ar_json_get(s.options, "backoff"), ar_json_int(t->pool, 0));
	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_subscribe(&scope, &s));
	assert_ok(ar_commit(&scope));
	publish(t, "again", "k");
	publish(t, "once", "k");
	wait_for(t, "SELECT count(*) FROM bus_dead", 2);
	wait_for(t, "SELECT count(*) FROM function_runs WHERE function = 'faulty'", 3);
	wait_for(t, "SELECT count(*) FROM function_runs WHERE function = 'picky'", 1);
	assert_int_equal(wire_count(t, "SELECT attempts FROM bus_dead WHERE topic = 'again'"), 3);
	assert_int_equal(wire_count(t, "SELECT attempts FROM bus_dead WHERE topic = 'once'"), 1);
}

/* Also of functions that nobody calls any more. */
TEST(old_runs_go)
{
	struct ar_scope scope;
	bool more;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	for (int i = 0; i < 700; i++)
		assert_ok(ar_exec(
			&scope,
			"INSERT INTO function_runs (id, function, version, cause, status, "
			"input, logs, duration_us, cpu_us, memory, trace_id, created) VALUES "
			"(?, 'gone', 'v', 'call', 'ok', 'null', '[]', 0, 0, 0, '', ?)",
			AR_ARGS(AR_J_STR(ar_strf(t->pool, "%03d", i)),
				AR_J_INT(ar_now_ms() - (i < 600 ? 31 : 29) * 86400000LL)),
			NULL));
	assert_ok(function_sweep(&scope, AR_STR("acme"), &more));
	assert_true(more);
	assert_ok(function_sweep(&scope, AR_STR("acme"), &more));
	assert_false(more);
	assert_ok(ar_commit(&scope));
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs"), 100);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE id < '600'"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_versions),
		cmocka_unit_test(refuses_sources),
		cmocka_unit_test(nobody_grants_what_they_lack),
		cmocka_unit_test(asks_who_may_call),
		cmocka_unit_test(the_code_has_its_own_rights),
		cmocka_unit_test(http_comes_as_a_table),
		cmocka_unit_test(a_table_goes_as_http),
		cmocka_unit_test(failures_say_what_happened),
		cmocka_unit_test(calls_inside_of_calls_end),
		cmocka_unit_test(libraries),
		cmocka_unit_test(many_functions),
		cmocka_unit_test(remembers_runs),
		cmocka_unit_test(keeps_the_last_runs),
		cmocka_unit_test(large_values_are_cut),
		cmocka_unit_test(old_runs_go),
		cmocka_unit_test(events_run_functions),
		cmocka_unit_test(failed_events_are_kept),
	};
	int failed;

	ar_sandbox_main(argc, argv);
	setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check must not jump out of a fiber */
	assert_ok(ar_sandbox_init(NULL));    /* before any thread */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ar_sandbox_done();
	return failed;
}
