/*
 * What is read, what is refused and why: the hard cases of the parser, by hand. The whole of
 * JSONTestSuite runs in tests/e2e.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/json.h"

#define TEXT(literal) ((struct ar_str){ literal, sizeof(literal) - 1 })

static const struct {
	struct ar_str text;
	const char *reason;
} refused[] = {
	{ TEXT(""), "syntax" },
	{ TEXT(" "), "syntax" },
	{ TEXT("{"), "syntax" },
	{ TEXT("[1,2"), "syntax" },
	{ TEXT("[1,]"), "syntax" },
	{ TEXT("[,1]"), "syntax" },
	{ TEXT("{\"a\":1,}"), "syntax" },
	{ TEXT("{a:1}"), "syntax" },
	{ TEXT("1\"a"), "syntax" },
	{ TEXT("{}\"a"), "syntax" },
	{ TEXT("[] []"), "syntax" },
	{ TEXT("1 2"), "syntax" },
	{ TEXT("true\"a"), "syntax" },
	{ TEXT("\"a\"\"b"), "syntax" },
	{ TEXT("{} x"), "syntax" },
	{ TEXT("{'a':1}"), "syntax" },
	{ TEXT("{\"a\" 1}"), "syntax" },
	{ TEXT("[1 2]"), "syntax" },
	{ TEXT("1 2"), "syntax" },
	{ TEXT("{}x"), "syntax" },
	{ TEXT("[]]"), "syntax" },
	{ TEXT("nul"), "syntax" },
	{ TEXT("True"), "syntax" },
	{ TEXT("NaN"), "syntax" },
	{ TEXT("Infinity"), "syntax" },
	{ TEXT("-"), "syntax" },
	{ TEXT("+1"), "syntax" },
	{ TEXT("01"), "syntax" },
	{ TEXT("-01"), "syntax" },
	{ TEXT("1."), "syntax" },
	{ TEXT(".5"), "syntax" },
	{ TEXT("1.e5"), "syntax" },
	{ TEXT("1e"), "syntax" },
	{ TEXT("1e+"), "syntax" },
	{ TEXT("0x1"), "syntax" },
	{ TEXT("\"a"), "syntax" },
	{ TEXT("\"\\x\""), "syntax" },
	{ TEXT("\"\\u12\""), "syntax" },
	{ TEXT("\"\\u12g4\""), "syntax" },
	{ TEXT("\"a\nb\""), "syntax" },
	{ TEXT("\"\\"), "syntax" },
	{ TEXT("\\"), "syntax" },
	{ TEXT("// c\n1"), "syntax" },
	{ TEXT("/* c */1"), "syntax" },
	{ TEXT("\xef\xbb\xbf{}"), "syntax" }, /* a byte order mark */
	{ TEXT("[\f1]"), "syntax" },
	{ TEXT("[1\xc2\xa0]"), "syntax" }, /* a no-break space is no white space */
	{ TEXT("123\0"), "nul-character" },
	{ TEXT("\"a\0b\""), "nul-character" },
	{ TEXT("\"\\u0000\""), "nul-character" },
	{ TEXT("{\"a\\u0000b\":1}"), "nul-character" },
	{ TEXT("\"\xff\""), "invalid-utf8" },
	{ TEXT("\"\xc0\xaf\""), "invalid-utf8" },
	{ TEXT("\"\xed\xa0\x80\""), "invalid-utf8" },
	{ TEXT("\"\xf4\x90\x80\x80\""), "invalid-utf8" },
	{ TEXT("\"\xe4\xb8\""), "invalid-utf8" },
	{ TEXT("\"\\ud800\""), "lone-surrogate" },
	{ TEXT("\"\\udc00\""), "lone-surrogate" },
	{ TEXT("\"\\ud800\\ud800\""), "lone-surrogate" },
	{ TEXT("\"\\ud800x\\udc00\""), "lone-surrogate" },
	{ TEXT("\"\\ud83d\\n\""), "lone-surrogate" },
	{ TEXT("\"\\\\\\ud800\""), "lone-surrogate" },
	{ TEXT("{\"\\uDFAA\":0}"), "lone-surrogate" },
	{ TEXT("{\"a\":1,\"a\":1}"), "duplicate-key" },
	{ TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate-key" },
	{ TEXT("[{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]"), "duplicate-key" },
	{ TEXT("{\"\":1,\"\":2}"), "duplicate-key" },
	{ TEXT("9223372036854775808"), "integer-out-of-range" },
	{ TEXT("-9223372036854775809"), "integer-out-of-range" },
	{ TEXT("[1000000000000000000000]"), "integer-out-of-range" },
	{ TEXT("1e400"), "number-out-of-range" },
	{ TEXT("-1e309"), "number-out-of-range" },
	{ TEXT("[1.7976931348623159e308]"), "number-out-of-range" },
};

static void refuses(void **state)
{
	for (size_t i = 0; i < AR_COUNT(refused); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_json *value = (void *)1;
		const char *reason;

		if (ar_json_parse(pool, refused[i].text, NULL, &value) == 0)
			fail_msg("accepted: %.*s", AR_FMT(refused[i].text));
		assert_ptr_equal(value, (void *)1);
		assert_ptr_equal(ar_err()->def, AR_E_MALFORMED);
		reason = ar_err_param(ar_err(), "reason");
		if (strcmp(reason, refused[i].reason) != 0)
			fail_msg("%.*s: %s, not %s", AR_FMT(refused[i].text), reason,
				 refused[i].reason);
		ar_pool_free(pool);
	}
}

/* What is written for what was read; NULL: the same text. */
static const struct {
	const char *text, *back;
} accepted[] = {
	{ "null", NULL },
	{ "true", NULL },
	{ " [ ] ", "[]" },
	{ "\t\r\n{}\n", "{}" },
	{ "-0", "0" },
	{ "0", NULL },
	{ "9223372036854775807", NULL },
	{ "-9223372036854775808", NULL },
	{ "-0.0", NULL },
	{ "1e3", "1000" },
	{ "1E-2", "0.01" },
	{ "123.456e+5", "12345600" },
	{ "1e-400", "0" }, /* too small is zero, not an error */
	{ "1.7976931348623157e308", "1.7976931348623157e308" },
	{ "\"\"", NULL },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
	{ "\"\\u00e9\\u4e2d\\uD83D\\ude00\"", "\"é中😀\"" },
	{ "\"\\\\u0000 \\\\ud800\"", NULL }, /* an escaped backslash, then letters */
	{ "\"\\u001f\x7f\"", NULL },
	{ "\"\\ufffe\\uffff\"", "\"\xef\xbf\xbe\xef\xbf\xbf\"" },
	{ "[[],{},[{}]]", NULL },
	{ "{\"a\":{\"b\":[1,2.5,\"x\",null,false]},\"\":0}", NULL },
	{ "{\"a\":{\"a\":1},\"b\":{\"a\":1}}", NULL },
};

static void accepts(void **state)
{
	for (size_t i = 0; i < AR_COUNT(accepted); i++) {
		struct ar_pool *pool = ar_pool_new();
		const char *back = accepted[i].back != NULL ? accepted[i].back : accepted[i].text;
		struct ar_json *value;

		if (ar_json_parse(pool, ar_str(accepted[i].text), NULL, &value) != 0)
			fail_msg("%s: %s", accepted[i].text, ar_err_param(ar_err(), "reason"));
		assert_string_equal(ar_strz(pool, ar_json_print(pool, value)), back);
		ar_pool_free(pool);
	}
}

static struct ar_str repeat(struct ar_pool *pool, const char *open, const char *middle,
			    const char *close, unsigned n)
{
	struct ar_buf *buf = ar_buf_new(pool, 64 << 20);

	for (unsigned i = 0; i < n; i++)
		ar_buf_z(buf, open);
	ar_buf_z(buf, middle);
	for (unsigned i = 0; i < n; i++)
		ar_buf_z(buf, close);
	return ar_buf_view(buf);
}

static void keeps_its_limits(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	const struct ar_json_limits few = { 1 << 20, 4, 10 };
	struct ar_json *value;

	assert_int_equal(ar_json_parse(pool, repeat(pool, "[", "", "]", 64), NULL, &value), 0);
	assert_int_equal(ar_json_parse(pool, repeat(pool, "[", "", "]", 65), NULL, &value), -1);
	assert_string_equal(ar_err_param(ar_err(), "reason"), "too-deep");
	assert_int_equal(ar_json_parse(pool, repeat(pool, "{\"a\":", "1", "}", 65), NULL, &value),
			 -1);
	assert_string_equal(ar_err_param(ar_err(), "reason"), "too-deep");
	assert_int_equal(ar_json_parse(pool, repeat(pool, "[", "", "", 100000), NULL, &value), -1);
	assert_string_equal(ar_err_param(ar_err(), "reason"), "too-deep");

	assert_int_equal(ar_json_parse(pool, ar_str("[1,2,3,4,5,6,7,8,9]"), &few, &value), 0);
	assert_int_equal(ar_json_parse(pool, ar_str("[1,2,3,4,5,6,7,8,9,0]"), &few, &value), -1);
	assert_ptr_equal(ar_err()->def, AR_E_TOO_LARGE);
	assert_int_equal(ar_json_parse(pool, repeat(pool, " ", "1", "", 1 << 20), NULL, &value),
			 -1);
	assert_ptr_equal(ar_err()->def, AR_E_TOO_LARGE);
	ar_pool_free(pool);
}

/* Large objects are searched through an index: duplicates are found, and in linear time. */
static void looks_at_every_key(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, 2 << 20);
	struct ar_json *value;
	struct ar_str text;

	ar_buf_char(buf, '{');
	for (int i = 0; i < 60000; i++)
		ar_buf_printf(buf, "\"key%d\":1,", i);
	ar_buf_z(buf, "\"last\":1}");
	text = ar_buf_view(buf);
	assert_int_equal(ar_json_parse(pool, text, NULL, &value), 0);
	assert_int_equal(value->count, 60001);
	assert_true(ar_json_number(value, "key59999", 0) == 1);

	buf->n -= strlen("last\":1}");
	ar_buf_z(buf, "key777\":1}");
	assert_int_equal(ar_json_parse(pool, ar_buf_view(buf), NULL, &value), -1);
	assert_string_equal(ar_err_param(ar_err(), "reason"), "duplicate-key");
	assert_string_equal(ar_err_param(ar_err(), "value"), "key777");
	ar_pool_free(pool);
}

static void points_into_the_text(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_str text = ar_str("{\"plain\":\"text\",\"es\\u0063\":\"a\\nb\"}");
	struct ar_json *value;
	struct ar_str s;

	assert_int_equal(ar_json_parse(pool, text, NULL, &value), 0);
	s = ar_json_text(value, "plain", AR_STR_NONE);
	assert_true(s.p > text.p && s.p < text.p + text.n);
	s = ar_json_text(value, "esc", AR_STR_NONE);
	assert_true(ar_str_is(s, "a\nb"));
	assert_false(s.p > text.p && s.p < text.p + text.n);
	ar_pool_free(pool);
}

/* Every prefix and every single changed byte is either read or refused; ASan watches. */
static void survives_damage(void **state)
{
	static const char good[] =
		"{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\\n\"],\"b\":{\"c\":null}}";
	static const char bytes[] = "\"\\{}[]:,0-e.u\x80\xff\n";
	char *copy = malloc(sizeof(good));
	struct ar_json *value;

	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		struct ar_pool *pool = ar_pool_new();
		char *exact = malloc(n + 1);

		memcpy(exact, good, n);
		assert_int_equal(ar_json_parse(pool, ar_str_n(exact, n), NULL, &value), -1);
		free(exact);
		ar_pool_free(pool);
	}
	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			struct ar_pool *pool = ar_pool_new();

			memcpy(copy, good, sizeof(good));
			copy[n] = bytes[i];
			if (ar_json_parse(pool, ar_str_n(copy, sizeof(good) - 1), NULL, &value) ==
			    0)
				assert_true(ar_utf8_valid(ar_json_print(pool, value)));
			ar_pool_free(pool);
		}
	}
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(accepts),
		cmocka_unit_test(keeps_its_limits),
		cmocka_unit_test(looks_at_every_key),
		cmocka_unit_test(points_into_the_text),
		cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
