/*
 * The writer: escapes, foreign bytes, full buffers, and doubles that read back the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/json_int.h"

static const struct {
	struct ar_str s;
	const char *text;
} strings[] = {
	{ AR_STR(""), "\"\"" },
	{ AR_STR("plain"), "\"plain\"" },
	{ AR_STR("exactly8"), "\"exactly8\"" },
	{ AR_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
	{ AR_STR("\"\"\"\"\"\"\"\"\""), "\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"" },
	{ AR_STR("1234567\"12345678\\"), "\"1234567\\\"12345678\\\\\"" },
	{ AR_STR("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
	{ AR_STR("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"" },
	{ AR_STR("中文 é 😀 tail and more"), "\"中文 é 😀 tail and more\"" },
	{ AR_STR("x\xff"), "\"x\xef\xbf\xbd\"" },
	{ AR_STR("\xc3"), "\"\xef\xbf\xbd\"" },
	{ AR_STR("\xe4\xb8"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ AR_STR("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ AR_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ AR_STR("\xe0\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ AR_STR("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ AR_STR("\xf0\x9f\x98\"\xe4\xb8\xad"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"中\"" },
};

static void escapes_strings(void **state)
{
	for (size_t i = 0; i < AR_COUNT(strings); i++) {
		struct ar_buf buf;
		struct ar_jw w;
		char *exact = malloc(strings[i].s.n + 1); /* ASan sees a read past the end */

		memcpy(exact, strings[i].s.p, strings[i].s.n);
		ar_buf_init(&buf, 1000);
		ar_jw_init(&w, &buf);
		ar_jw_str(&w, ar_str_n(exact, strings[i].s.n));
		if (!ar_str_is(ar_buf_view(&buf), strings[i].text))
			fail_msg("%.*s, not %s", AR_FMT(ar_buf_view(&buf)), strings[i].text);
		ar_buf_done(&buf);
		free(exact);
	}
}

/* Random bytes at every length and place: always valid UTF-8 that reads back. */
static void takes_any_bytes(void **state)
{
	static const char bytes[] = "abc\"\\\n\xe4\xb8\xad\xff\xed\xf0\x9f\x98\x80\x7f";
	uint64_t seed = 7;

	for (int round = 0; round < 20000; round++) {
		struct ar_pool *pool = ar_pool_new();
		char s[40];
		size_t n = (size_t)round % sizeof(s);
		struct ar_json *back, value;
		struct ar_str text;
		bool good;

		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			s[i] = bytes[(seed >> 33) % (sizeof(bytes) - 1)];
		}
		value = AR_J_STR(ar_str_n(s, n));
		good = ar_utf8_valid(value.s);
		text = ar_json_print(pool, &value);
		assert_int_equal(ar_json_parse(pool, text, NULL, &back), 0);
		assert_int_equal(ar_str_eq(back->s, value.s), good);
		ar_pool_free(pool);
	}
}

/* Whatever is copied in blocks: each byte (but NUL, which the reader refuses) at each place. */
static void looks_at_every_byte(void **state)
{
	for (int c = 1; c < 128; c++) {
		for (size_t at = 0; at < 70; at++) {
			struct ar_pool *pool = ar_pool_new();
			struct ar_json *back, value;
			char s[70];

			memset(s, 'a', sizeof(s));
			s[at] = (char)c;
			value = AR_J_STR(ar_str_n(s, sizeof(s)));
			struct ar_str text = ar_json_print(pool, &value);

			assert_int_equal(text.n > sizeof(s) + 2, c < ' ' || c == '"' || c == '\\');
			assert_int_equal(ar_json_parse(pool, text, NULL, &back), 0);
			assert_true(ar_str_eq(back->s, value.s));
			ar_pool_free(pool);
		}
	}
}

static void places_commas(void **state)
{
	struct ar_buf buf;
	struct ar_jw w;

	ar_buf_init(&buf, 1000);
	ar_jw_init(&w, &buf);
	ar_jw_object(&w);
	ar_jw_keyz(&w, "a");
	ar_jw_array(&w);
	ar_jw_array_end(&w);
	ar_jw_key(&w, ar_str("b\n"));
	ar_jw_array(&w);
	ar_jw_int(&w, INT64_MIN);
	ar_jw_int(&w, INT64_MAX);
	ar_jw_float(&w, INFINITY);
	ar_jw_float(&w, -0.25);
	ar_jw_bool(&w, true);
	ar_jw_object(&w);
	ar_jw_object_end(&w);
	ar_jw_raw(&w, ar_str("[1, 2]"));
	ar_jw_strz(&w, NULL);
	ar_jw_time(&w, 1795536540123);
	ar_jw_array_end(&w);
	ar_jw_key_made(&w, AR_STR("\"c\":"));
	ar_jw_null(&w);
	ar_jw_member_plain(&w, AR_STR("\"d\":"), AR_STR("x"));
	ar_jw_member_str(&w, AR_STR("\"e\":"), AR_STR("y\n"));
	ar_jw_member_str(&w, AR_STR("\"f\":"), AR_STR(""));
	ar_jw_object_end(&w);
	assert_true(ar_str_is(ar_buf_view(&buf),
			      "{\"a\":[],\"b\\n\":[-9223372036854775808,9223372036854775807,null,"
			      "-0.25,true,{},[1, 2],null,\"2026-11-24T16:09:00.123Z\"],\"c\":null,"
			      "\"d\":\"x\",\"e\":\"y\\n\",\"f\":\"\"}"));
	ar_buf_done(&buf);
}

static void stops_when_full(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *list = ar_json_new(pool, AR_ARRAY);
	struct ar_json quotes = AR_J_STR(ar_str("\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""));

	for (int i = 0; i < 100; i++)
		ar_json_add(list, ar_json_str(pool, ar_str("some \"text\"")));
	for (size_t max = 0; max < 300; max++) {
		struct ar_buf buf;
		int result;

		ar_buf_init(&buf, max);
		assert_int_equal(ar_json_write(&buf, list), -1);
		assert_ptr_equal(ar_err()->def, AR_E_TOO_LARGE);
		assert_true(buf.over && buf.n <= max);
		ar_buf_done(&buf);
		ar_buf_init(&buf, max);
		result = ar_json_write(&buf, &quotes); /* 42 bytes; room is asked for generously */
		assert_true(max < 42 ? result == -1 : max < 56 || result == 0);
		assert_true(buf.n <= max);
		ar_buf_done(&buf);
	}
	ar_pool_free(pool);
}

static const struct {
	double v;
	const char *text;
} doubles[] = {
	{ 0.1, "0.1" },
	{ 0.3, "0.3" },
	{ 1.0 / 3, "0.3333333333333333" },
	{ 2.0 / 3, "0.6666666666666666" },
	{ 100, "100" },
	{ 1e15, "1000000000000000" },
	{ 1e20, "1e20" },
	{ 1e21, "1e21" },
	{ 1.5e21, "1.5e21" },
	{ 123456789012345680000.0, "1.2345678901234568e20" },
	{ 922337203685477580.7, "9.223372036854776e17" },
	{ 0.000001, "0.000001" },
	{ 0.0000012, "0.0000012" },
	{ 0.00000012, "1.2e-7" },
	{ 5e-324, "5e-324" },
	{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
	{ 2.225073858507201e-308, "2.225073858507201e-308" },
	{ 1.7976931348623157e308, "1.7976931348623157e308" },
	{ 9007199254740993.0, "9.007199254740992e15" },
	{ 9007199254740991.0, "9007199254740991" },
	{ -1.5, "-1.5" },
	{ 4.35, "4.35" },
	{ 9.5367431640625e-7, "9.5367431640625e-7" },
	{ 2e-3, "0.002" },
	{ 299792.458, "299792.458" },
	{ 8.41e21, "8.41e21" },
};

static void check_double(double v)
{
	char text[FLOAT_TEXT + 1], wanted[40];
	uint64_t digits;
	int exponent, precision = 0;

	text[float_text(v, text)] = 0;
	if (strtod(text, NULL) != v)
		fail_msg("%.17g is written %s", v, text);
	float_shortest(fabs(v), &digits, &exponent);
	while (digits % 10 == 0)
		digits /= 10;
	do
		snprintf(wanted, sizeof(wanted), "%.*e", precision++, fabs(v));
	while (strtod(wanted, NULL) != fabs(v));
	/* As few digits as any text that reads back needs. */
	if (snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long)digits) > precision)
		fail_msg("%.17g is written %s", v, text);
}

static void writes_doubles(void **state)
{
	uint64_t seed = 1;

	for (size_t i = 0; i < AR_COUNT(doubles); i++) {
		char text[FLOAT_TEXT + 1];

		text[float_text(doubles[i].v, text)] = 0;
		assert_string_equal(text, doubles[i].text);
	}
	for (int exponent = 1; exponent < 2047;
	     exponent++) { /* every power of two and neighbours */
		for (int64_t d = -1; d <= 1; d++) {
			uint64_t bits = (uint64_t)(((int64_t)exponent << 52) + d);
			double v;

			memcpy(&v, &bits, 8);
			check_double(v);
		}
	}
	for (int i = 0; i < 30000; i++) {
		double v;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(&v, &seed, 8);
		if (isfinite(v) && v != 0)
			check_double(v);
		check_double((double)(int64_t)(seed >> 34) / 1000);
		check_double((double)(seed >> 60) * 5e-324 + 5e-324);
	}
}

static void writes_integers(void **state)
{
	char text[24], wanted[24];

	for (uint64_t v = 1; v != 0; v *= 2) {
		for (int64_t d = -1; d <= 1; d++) {
			text[ar_int_text((int64_t)(v + (uint64_t)d), text)] = 0;
			snprintf(wanted, sizeof(wanted), "%lld", (long long)(v + (uint64_t)d));
			assert_string_equal(text, wanted);
		}
	}
	for (int64_t v = 1, i = 0; i < 18; v *= 10, i++) {
		text[ar_int_text(v, text)] = 0;
		snprintf(wanted, sizeof(wanted), "%lld", (long long)v);
		assert_string_equal(text, wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_strings),     cmocka_unit_test(takes_any_bytes),
		cmocka_unit_test(looks_at_every_byte), cmocka_unit_test(places_commas),
		cmocka_unit_test(stops_when_full),     cmocka_unit_test(writes_doubles),
		cmocka_unit_test(writes_integers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
