/*
 * http.c - a request as a Lua table, and a Lua table as a reply.
 */
#include "function/tests/rig.h"

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
	put(t, admin, "f", "return function() return {status=402 / 2, body='made'} end", "");
	a = wire(t, admin, "GET /fn/f", "");
	assert_answer(a, 201, "");
	assert_true(ar_str_is(a.text, "made"));
	put(t, admin, "f", "return function() return {status=302, headers={Location='/x'}} end",
	    "");
	a = wire(t, NULL, "GET /fn/f", "");
	assert_true(ar_str_is(wire_header(&a, "location"), "/x"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_comes_as_a_table),
		cmocka_unit_test(a_table_goes_as_http),
	};

	return run_all(argc, argv, tests, AR_COUNT(tests));
}
