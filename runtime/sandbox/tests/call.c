/*
 * call.c - calls as a caller sees them: values in and out, host calls, logs, errors, limits.
 */
#include "sandbox/tests/rig.h"

/* source, then the output's JSON or the error's slug */
struct row {
	const char *source, *want;
};

static void expect(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rig_call c;
		const char *got;

		rig_prepare(&c, "acme", rows[i].source);
		rig_call(&c);
		got = c.r == 0 ? rig_output(&c) : c.slug;
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s\n  gives %s (%s)\n  not   %s", rows[i].source, got, c.message,
				 rows[i].want);
		rig_free(&c);
	}
}

static void values_come_out(void **state)
{
	static const struct row rows[] = {
		{ "return function() return nil end", "null" },
		{ "return function() return {a = {1, 2.5, 'x'}, b = true} end",
		  "{\"a\":[1,2.5,\"x\"],\"b\":true}" },
		{ "function handle() return 7 end", "7" },
		{ "return function() return {} end", "{}" },
		{ "return function() return json.array{} end", "[]" },
		{ "return function() return {json.null, 1} end", "[null,1]" },
		{ "return function() return {z = 1, a = 2, m = 3} end",
		  "{\"a\":2,\"m\":3,\"z\":1}" },
		{ "return function() return -9007199254740993 end", "-9007199254740993" },
		{ "return function() return {1, nil, 3} end", "sandbox/error" },
		{ "return function() return {1, a = 2} end", "sandbox/error" },
		{ "return function() return {[1.5] = 2} end", "sandbox/error" },
		{ "return function() return 0/0 end", "sandbox/error" },
		{ "return function() return 'a\\0b' end", "sandbox/error" },
		{ "return function() return '\\xff' end", "sandbox/error" },
		{ "return function() return print end", "sandbox/error" },
		{ "local t = {} t.t = t return function() return t end",
		  "sandbox/result-too-large" },
		{ "return function() return string.rep('x', 2^20 + 1) end",
		  "sandbox/result-too-large" },
		{ "return 5", "sandbox/no-handler" },
		{ "local x =", "sandbox/syntax" },
		{ "return function() error('no') end", "sandbox/error" },
	};

	(void)state;
	expect(rows, AR_COUNT(rows));
}

static void values_come_in(void **state)
{
	static const char *const texts[] = {
		"{\"a\":[1,2,{\"b\":\"中文\"}],\"n\":-5,\"f\":0.25,\"t\":true,\"e\":[],\"o\":{}}",
		"[]",
		"{}",
		"\"x\"",
		"[null,false,63,64,9223372036854775807,1e300]",
	};

	(void)state;
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		struct rig_call c;
		struct ar_json *input;

		rig_prepare(&c, "acme", "return function(input) return input end");
		assert_int_equal(
			ar_json_parse(c.pool, ar_str(texts[i]), &ar_json_limits_default, &input),
			0);
		c.run.input = input;
		rig_call(&c);
		assert_int_equal(c.r, 0);
		if (!ar_json_equal(c.result.output, input))
			fail_msg("%s came back as %s", texts[i], rig_output(&c));
		rig_free(&c);
	}
}

static void large_values_pass(void **state)
{
	struct rig_call c;
	struct ar_json *list;
	char *text;

	(void)state;
	rig_prepare(&c, "acme",
		    "return function(input) return {input[1], #input[2], input[3]} end");
	list = ar_json_new(c.pool, AR_ARRAY);
	text = ar_alloc(c.pool, 900000);
	memset(text, 'a', 900000);
	for (int i = 0; i < 3; i++)
		ar_json_add(list, ar_json_str(c.pool, ar_str_n(text, i == 2 ? 10 : 900000)));
	c.run.input = list;
	rig_call(&c);
	assert_int_equal(c.r, 0);
	assert_int_equal(c.result.output->first->s.n, 900000);
	assert_int_equal(c.result.output->first->next->i, 900000);
	rig_free(&c);
}

/* Sorting them must not ask the kernel for anything: qsort() does, from a kilobyte on. */
static void many_keys_come_out_sorted(void **state)
{
	static const int counts[] = { 1, 2, 31, 32, 33, 100, 1000, 5000 };

	(void)state;
	for (size_t i = 0; i < AR_COUNT(counts); i++) {
		struct ar_str before = AR_STR("");
		struct rig_call c;
		char source[200];

		snprintf(source, sizeof(source),
			 "return function() local t = {} for i = 1, %d do t['k' .. i * 7919 %% "
			 "10007] "
			 "= i end return t end",
			 counts[i]);
		rig_prepare(&c, "acme", source);
		rig_call(&c);
		if (c.r != 0)
			fail_msg("%d keys: %s", counts[i], c.message);
		assert_int_equal(c.result.output->count, counts[i]);
		ar_json_each (m, c.result.output) {
			assert_true(ar_str_cmp(before, m->key) < 0);
			before = m->key;
		}
		rig_free(&c);
	}
}

static void a_state_is_fresh_each_time(void **state)
{
	static const char source[] = "n = (n or 0) + 1  string.mine = (string.mine or 0) + 1 "
				     "return function() return {n, string.mine} end";
	struct rig_call c;

	(void)state;
	for (int i = 0; i < 50; i++) {
		rig_prepare(&c, "acme", source);
		rig_call(&c);
		assert_string_equal(rig_output(&c), "[1,1]");
		rig_free(&c);
	}
}

static void errors_say_where(void **state)
{
	struct rig_call c;

	(void)state;
	rig_prepare(&c, "acme", "return function()\n  local x\n  return x.y\nend");
	rig_call(&c);
	assert_string_equal(c.slug, "sandbox/error");
	assert_int_equal(c.line, 3);
	assert_non_null(strstr(c.message, "local 'x'"));
	assert_int_equal(ar_json_number(c.result.error, "line", 0), 3);
	assert_true(ar_str_is(ar_json_text(c.result.error, "module", AR_STR("")), "test"));
	rig_free(&c);

	rig_prepare(&c, "acme", "local a = 1\nlocal b = = 2");
	rig_call(&c);
	assert_string_equal(c.slug, "sandbox/syntax");
	assert_int_equal(c.line, 2);
	rig_free(&c);

	rig_prepare(&c, "acme",
		    "return function() error{code = 'crm/gone', status = 410, message = 'm'} end");
	rig_call(&c);
	assert_string_equal(c.message, "m");
	assert_int_equal(ar_json_number(ar_json_get(c.result.error, "value"), "status", 0), 410);
	rig_free(&c);
}

static void logs_are_kept(void **state)
{
	struct rig_call c;

	(void)state;
	rig_prepare(
		&c, "acme",
		"return function() print('a', 1, nil, true) log.warn('w\\xff\\0') error('x') end");
	rig_call(&c);
	assert_int_equal(c.result.nlogs, 2);
	assert_true(ar_str_is(c.result.logs[0].text, "a\t1\tnil\ttrue"));
	assert_int_equal(c.result.logs[0].level, AR_INFO);
	assert_true(ar_str_is(c.result.logs[1].text, "w\xef\xbf\xbd\xef\xbf\xbd"));
	assert_int_equal(c.result.logs[1].level, AR_WARN);
	rig_free(&c);
}

/* ---- host calls ---- */

static const struct ar_err_def TEST_E_TAKEN[1] = { { "test/taken", 409 } };

static int host(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		struct ar_json **ret)
{
	int *calls = arg;

	(*calls)++;
	if (ar_str_is(action, "test.fail"))
		return ar_fail(TEST_E_TAKEN, "email", "li@x.cn");
	if (ar_str_is(action, "test.fields"))
		return ar_fail_field("email", "required");
	if (ar_str_is(action, "test.sleep"))
		return ar_sleep(ar_json_number(input, "ms", 0));
	*ret = ar_json_new(pool, AR_OBJECT);
	ar_json_set(*ret, AR_STR("action"), ar_json_str(pool, action));
	ar_json_set(*ret, AR_STR("input"), ar_json_copy(pool, input));
	return 0;
}

static void host_calls_answer(void **state)
{
	static const struct row rows[] = {
		{ "return function() return apprun.auth.create_user{a = 1} end",
		  "{\"action\":\"auth.create_user\",\"input\":{\"a\":1}}" },
		{ "return function() return apprun['data-model'].validate() end",
		  "{\"action\":\"data-model.validate\",\"input\":{}}" },
		{ "return function() return apprun.call('x.y', {}).action end", "\"x.y\"" },
		{ "local r = apprun.a.b() return function() return r.action end", "\"a.b\"" },
		{ "return function() return {pcall(apprun.test.fail, {})} end",
		  "[false,{\"code\":\"test/taken\",\"email\":\"li@x.cn\",\"message\":"
		  "\"test/taken (email: li@x.cn)\",\"status\":409}]" },
		{ "return function() local _, e = pcall(apprun.test.fields) return e.fields end",
		  "{\"email\":\"required\"}" },
		{ "return function() local _, e = pcall(apprun.test.fail) return tostring(e) end",
		  "\"test/taken: test/taken (email: li@x.cn)\"" },
		{ "return function() apprun.test.fail() end", "sandbox/error" },
		{ "return function() return apprun.test.sleep{ms = 1} end", "null" },
		/* through coroutines, pcall and xpcall */
		{ "return function() return coroutine.wrap(function() "
		  "return apprun.a.b().action end)() end",
		  "\"a.b\"" },
		{ "return function() local co = coroutine.create(function(x) "
		  "local y = coroutine.yield(apprun.a.b{x = x}.input.x) "
		  "return apprun.c.d{y = y}.input.y end) "
		  "local _, one = coroutine.resume(co, 1) local _, two = coroutine.resume(co, 2) "
		  "return {one, two, coroutine.status(co)} end",
		  "[1,2,\"dead\"]" },
		{ "return function() return {xpcall(function() apprun.test.fail() end, "
		  "function(e) return apprun.a.b{c = e.code}.input.c end)} end",
		  "[false,\"test/taken\"]" },
		{ "return function() local t = setmetatable({}, {__index = function(_, k) "
		  "return apprun.a[k]().action end}) return t.x end",
		  "\"a.x\"" },
		{ "return function() local ok, e = pcall(string.gsub, 'x', 'x', apprun.a.b) "
		  "return {ok, e} end",
		  "[false,\"bad argument #1 to '?' (table expected, got string)\"]" },
		{ "return function() local ok, e = pcall(string.gsub, 'x', 'x', "
		  "function() apprun.a.b() end) return {ok, (e:gsub('^.-: ', ''))} end",
		  "[false,\"the platform cannot be called from inside of this function\"]" },
		{ "return function() local ok, e = pcall(string.gsub, 'x', 'x', function() "
		  "coroutine.wrap(function() apprun.a.b() end)() end) "
		  "return (e:gsub('^.*: ', '')) end",
		  "\"the platform cannot be called from inside of this function\"" },
		{ "return function() apprun.a.b{f = print} end", "sandbox/error" },
	};
	int calls = 0;

	(void)state;
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct rig_call c;
		const char *got;

		rig_prepare(&c, "acme", rows[i].source);
		c.run.host = host;
		c.run.host_arg = &calls;
		rig_call(&c);
		got = c.r == 0 ? rig_output(&c) : c.slug;
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s\n  gives %s (%s)\n  not   %s", rows[i].source, got, c.message,
				 rows[i].want);
		rig_free(&c);
	}
	assert_true(calls > 10);
}

static void waiting_calls_share_an_executor(void **state)
{
	struct rig_call c[12];
	struct ar_sandbox_stats before, after;
	int calls = 0;

	(void)state;
	ar_sandbox_stats(&before);
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		rig_prepare(&c[i], "sharing", "return function() apprun.test.sleep{ms = 200} end");
		c[i].run.host = host;
		c[i].run.host_arg = &calls;
		rig_begin(&c[i]);
	}
	rig_wait();
	ar_sandbox_stats(&after);
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		assert_int_equal(c[i].r, 0);
		assert_true(c[i].result.wall_us < 1000000);
		assert_int_equal(c[i].result.host_calls, 1);
		rig_free(&c[i]);
	}
	assert_true(after.spawned - before.spawned <= 4);
}

static void modules_are_found(void **state)
{
	static const struct ar_sandbox_code modules[] = {
		{ { "m1", 2 },
		  { "text", 4 },
		  { "local t = {} function t.up(s) return s:upper() end return t", 59 } },
		{ { "m2", 2 }, { "a", 1 }, { "return require('b')", 19 } },
		{ { "m3", 2 }, { "b", 1 }, { "return require('a')", 19 } },
		{ { "m4", 2 }, { "bad", 3 }, { "x = = 1", 7 } },
	};
	static const struct row rows[] = {
		{ "local t = require('text') return function() "
		  "return {t.up('a'), require('text') == t} end",
		  "[\"A\",true]" },
		{ "require('a')", "sandbox/error" },
		{ "require('none')", "sandbox/error" },
		{ "require('bad')", "sandbox/error" },
	};

	(void)state;
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct rig_call c;

		rig_prepare(&c, "acme", rows[i].source);
		c.run.modules = modules;
		c.run.nmodules = AR_COUNT(modules);
		rig_call(&c);
		assert_string_equal(c.r == 0 ? rig_output(&c) : c.slug, rows[i].want);
		rig_free(&c);
	}
}

/* ---- limits ---- */

static void limits_hold(void **state)
{
	static const struct row rows[] = {
		{ "return function() while true do end end", "sandbox/cpu-limit" },
		{ "return function() local t = {} for i = 1, 1e9 do t[i] = i end end",
		  "sandbox/memory-limit" },
		{ "return function() for i = 1, 2000 do apprun.a.b() end end",
		  "sandbox/host-calls" },
		{ "return function() apprun.test.sleep{ms = 5000} end", "sandbox/wall-limit" },
	};
	int calls = 0;

	(void)state;
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct rig_call c;

		rig_prepare(&c, "acme", rows[i].source);
		c.run.host = host;
		c.run.host_arg = &calls;
		c.run.limits.wall_ms = i == 3 ? 100 : 0;
		c.run.limits.cpu_soft_ms = i == 0 ? 0 : 3000;
		c.run.limits.cpu_hard_ms = i == 0 ? 0 : 5000;
		rig_call(&c);
		if (strcmp(c.slug, rows[i].want) != 0)
			fail_msg("%s\n  gives %s (%s)\n  not %s", rows[i].source, c.slug, c.message,
				 rows[i].want);
		rig_free(&c);
	}
}

static void cancel(void *arg)
{
	ar_sleep(50);
	ar_cancel(*(struct ar_fiber **)arg);
}

static void a_cancelled_call_gives_up(void **state)
{
	struct rig_call c;
	struct ar_fiber *fiber;
	int calls = 0;

	(void)state;
	rig_prepare(&c, "acme", "return function() apprun.test.sleep{ms = 5000} end");
	c.run.host = host;
	c.run.host_arg = &calls;
	fiber = rig_begin(&c);
	ar_go("cancel", cancel, &fiber, AR_NO_DEADLINE);
	rig_wait();
	assert_string_equal(c.slug, "cancelled");
	assert_true(c.result.wall_us < 1000000);
	rig_free(&c);
	rig_prepare(&c, "acme", "return function() return 1 end");
	rig_call(&c);
	assert_string_equal(rig_output(&c), "1");
	rig_free(&c);
}

static void too_deep_is_refused(void **state)
{
	struct rig_call c;

	(void)state;
	rig_prepare(&c, "acme", "return function() end");
	c.run.depth = AR_SANDBOX_DEPTH_MAX;
	rig_call(&c);
	assert_int_equal(c.r, 0);
	rig_free(&c);
	rig_prepare(&c, "acme", "return function() end");
	c.run.depth = AR_SANDBOX_DEPTH_MAX + 1;
	rig_call(&c);
	assert_string_equal(c.slug, "sandbox/depth");
	rig_free(&c);
}

/* ---- checks ---- */

struct check {
	const char *source;
	size_t n;
	char slug[64];
	int line;
};

static void check_fiber(void *arg)
{
	struct check *c = arg;

	if (ar_sandbox_check(AR_STR("acme"), AR_STR("test"), ar_str_n(c->source, c->n)) != 0) {
		const char *line = ar_err_param(ar_err(), "line");

		snprintf(c->slug, sizeof(c->slug), "%s", ar_err()->def->slug);
		c->line = line != NULL ? (int)strtol(line, NULL, 10) : 0;
		ar_err_clear();
	}
	rig_end_one();
}

static void check(struct check *c)
{
	rig_open++;
	ar_go("check", check_fiber, c, AR_NO_DEADLINE);
	rig_wait();
}

static void sources_are_checked(void **state)
{
	struct check good = { "error('is not run')", 19, "", 0 };
	struct check bad = { "local x = 1\n\nif x then", 22, "", 0 };
	struct check code = { "\x1bLua\x54", 5, "", 0 };
	struct check long_one = { NULL, AR_SANDBOX_SOURCE_MAX + 1, "", 0 };

	(void)state;
	check(&good);
	assert_string_equal(good.slug, "");
	check(&bad);
	assert_string_equal(bad.slug, "sandbox/syntax");
	assert_int_equal(bad.line, 3);
	check(&code);
	assert_string_equal(code.slug, "sandbox/bytecode");
	long_one.source = ar_heap_alloc(long_one.n);
	check(&long_one);
	assert_string_equal(long_one.slug, "too-large");
	ar_heap_free((void *)(uintptr_t)long_one.source);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_out),
		cmocka_unit_test(values_come_in),
		cmocka_unit_test(large_values_pass),
		cmocka_unit_test(many_keys_come_out_sorted),
		cmocka_unit_test(a_state_is_fresh_each_time),
		cmocka_unit_test(errors_say_where),
		cmocka_unit_test(logs_are_kept),
		cmocka_unit_test(host_calls_answer),
		cmocka_unit_test(waiting_calls_share_an_executor),
		cmocka_unit_test(modules_are_found),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_cancelled_call_gives_up),
		cmocka_unit_test(too_deep_is_refused),
		cmocka_unit_test(sources_are_checked),
	};

	ar_sandbox_main(argc, argv);
	return cmocka_run_group_tests(tests, rig_start, rig_end);
}
