/*
 * str.c - strings: views, numbers, UTF-8 (own vectors and the public ones).
 */
#include <locale.h>

#include "tests/harness/corpora.h"
#include "tests/harness/test.h"

static void views(void **state)
{
	struct ar_str s = AR_STR("key=value"), none = AR_STR_NONE;

	assert_true(ar_str_is(s, "key=value"));
	assert_false(ar_str_is(s, "key=valuE"));
	assert_false(ar_str_is(s, "key=valu"));
	assert_true(ar_str_eq(none, ar_str("")));
	assert_true(ar_str_eq(none, ar_str(NULL)));
	assert_true(ar_str_caseeq(s, AR_STR("KEY=Value")));
	assert_false(ar_str_caseeq(AR_STR("\xC3\x84"), AR_STR("\xC3\xA4"))); /* ASCII only */
	assert_true(ar_str_starts(s, AR_STR("key")) && ar_str_starts(s, none));
	assert_false(ar_str_starts(AR_STR("ke"), AR_STR("key")));
	assert_true(ar_str_ends(s, AR_STR("value")) && ar_str_ends(s, s));
	assert_false(ar_str_ends(s, AR_STR("valu")));
	assert_int_equal(ar_str_find(s, '='), 3);
	assert_int_equal(ar_str_find(s, '#'), -1);
	assert_int_equal(ar_str_find(none, 'a'), -1);
	assert_str(ar_str_sub(s, 4, 3), "val");
	assert_str(ar_str_sub(s, 4, SIZE_MAX), "value");
	assert_str(ar_str_sub(s, 99, 1), "");
	assert_str(ar_str_trim(AR_STR(" \t a b\t ")), "a b");
	assert_str(ar_str_trim(AR_STR(" \t ")), "");
}

static void order(void **state)
{
	assert_int_equal(ar_str_cmp(AR_STR("a"), AR_STR("a")), 0);
	assert_true(ar_str_cmp(AR_STR("a"), AR_STR("ab")) < 0);
	assert_true(ar_str_cmp(AR_STR("b"), AR_STR("ab")) > 0);
	assert_true(ar_str_cmp(AR_STR("\xFF"), AR_STR("a")) > 0); /* bytes are unsigned */
	assert_true(ar_str_cmp(AR_STR_NONE, AR_STR("a")) < 0);
}

static void cutting(void **state)
{
	static const struct {
		const char *in, *parts[4];
	} rows[] = {
		{ "a,b,c", { "a", "b", "c" } },
		{ "a,", { "a", "" } },
		{ ",", { "", "" } },
		{ "", { "" } },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_str rest = ar_str(rows[i].in);
		size_t n = 0;

		while (rest.p != NULL) {
			struct ar_str part = ar_str_cut(&rest, ',');

			assert_non_null(rows[i].parts[n]);
			assert_str(part, rows[i].parts[n]);
			n++;
		}
		assert_null(rows[i].parts[n]);
	}
}

static void integers(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		int64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "-1", true, -1 },
		{ "007", true, 7 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "99999999999999999999", false, 0 },
		{ "", false, 0 },
		{ "-", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1.0", false, 0 },
		{ "0x1", false, 0 },
		{ "--1", false, 0 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		int64_t v = 42;

		if (ar_str_int(ar_str(rows[i].in), &v) != rows[i].ok)
			fail_msg("%s", rows[i].in);
		assert_int_equal(v, rows[i].ok ? rows[i].value : 42);
	}
	assert_false(ar_str_int(ar_str_n("1\0", 2), &(int64_t){ 0 }));
}

static void floats(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		double value;
	} rows[] = {
		{ "0", true, 0 },
		{ "-0.0", true, 0 },
		{ "1.5", true, 1.5 },
		{ "1e3", true, 1000 },
		{ "1E+2", true, 100 },
		{ "-2.5e-1", true, -0.25 },
		{ "0.1", true, 0.1 },
		{ "1e-999", true, 0 },
		{ "123456789012345678901234567890123456789012345678901234567890123456789", true,
		  123456789012345678901234567890123456789012345678901234567890123456789.0 },
		{ "1e999", false, 0 },
		{ "inf", false, 0 },
		{ "nan", false, 0 },
		{ "01", false, 0 },
		{ "1.", false, 0 },
		{ ".5", false, 0 },
		{ "1e", false, 0 },
		{ "1e+", false, 0 },
		{ "+1", false, 0 },
		{ "0x10", false, 0 },
		{ "1,5", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "-", false, 0 },
		{ "", false, 0 },
	};
	struct lconv *conv;

	/* German writes a comma; where the locale is not installed, this line changes nothing */
	setlocale(LC_ALL, "de_DE.UTF-8");
	conv = localeconv();
	print_message("decimal point of the process: %s\n", conv->decimal_point);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		double v = 42;

		if (ar_str_float(ar_str(rows[i].in), &v) != rows[i].ok)
			fail_msg("%s", rows[i].in);
		assert_true(v == (rows[i].ok ? rows[i].value : 42));
	}
	setlocale(LC_ALL, "C");
}

static void copies(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	char bytes[] = "Ab\0Z";
	struct ar_str s = ar_str_n(bytes, 4), copy = ar_str_dup(pool, s);

	bytes[0] = '!';
	assert_int_equal(copy.n, 4);
	assert_memory_equal(copy.p, "Ab\0Z\0", 5);
	assert_string_equal(ar_strz(pool, AR_STR_NONE), "");
	assert_str(ar_str_lower(pool, AR_STR("ABC-\xC3\x84z")), "abc-\xC3\x84z");
}

static void utf8_own(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		size_t len;
	} rows[] = {
		{ "", true, 0 },
		{ "plain text that is long enough for the fast path", true, 48 },
		{ "12345678\xE4\xB8\xAD\xE6\x96\x87", true, 10 },
		{ "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true,
		  6 },
		{ "\xED\x9F\xBF\xEE\x80\x80", true, 2 },
		{ "\xC0\xAF", false, 0 }, /* overlong */
		{ "\xC1\xBF", false, 0 },
		{ "\xE0\x9F\xBF", false, 0 },
		{ "\xF0\x8F\xBF\xBF", false, 0 },
		{ "\xED\xA0\x80", false, 0 }, /* surrogates */
		{ "\xED\xBF\xBF", false, 0 },
		{ "\xF4\x90\x80\x80", false, 0 }, /* above U+10FFFF */
		{ "\xF5\x80\x80\x80", false, 0 },
		{ "\xFF", false, 0 },
		{ "\x80", false, 0 },             /* alone */
		{ "12345678\xE4\xB8", false, 0 }, /* cut short */
		{ "\xE4\xB8"
		  "a",
		  false, 0 },
		{ "\xF0\x90\x80", false, 0 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_str s = ar_str(rows[i].in);
		/* an exact heap block, so that a step past the end is seen */
		char *exact = ar_heap_alloc(s.n);

		memcpy(exact, s.p, s.n);
		if (ar_utf8_valid(ar_str_n(exact, s.n)) != rows[i].ok)
			fail_msg("row %zu", i);
		if (rows[i].ok)
			assert_int_equal(ar_utf8_len(s), rows[i].len);
		ar_heap_free(exact);
	}
	assert_true(ar_utf8_valid(AR_STR_NONE));
}

/* Pairs of digits, with spaces between some of them. */
static size_t unhex(struct ar_str hex, char *out, size_t max)
{
	size_t n = 0, i = 0;

	while (i < hex.n) {
		char digits[3] = { 0 };

		if (hex.p[i] == ' ') {
			i++;
			continue;
		}
		assert_true(i + 1 < hex.n && n < max);
		memcpy(digits, hex.p + i, 2);
		out[n++] = strtoul(digits, NULL, 16);
		i += 2;
	}
	return n;
}

/* lines "num:valid:ASCII", "num:valid hex:..." and "num:invalid hex:...:skipped:replaced" */
static void utf8_public(void **state)
{
	char path[512], line[4096], bytes[1024];
	int valid = 0, invalid = 0;
	FILE *file;

	if (!corpora_path("utf8/utf8tests.txt", path, sizeof(path)))
		return;
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		struct ar_str rest = ar_str_n(line, strcspn(line, "\n")), number, kind, text;

		if (rest.n == 0 || line[0] == '#')
			continue;
		number = ar_str_cut(&rest, ':');
		kind = ar_str_trim(ar_str_cut(&rest, ':'));
		if (ar_str_is(kind, "valid")) {
			assert_true(ar_utf8_valid(rest));
			valid++;
			continue;
		}
		text = ar_str_cut(&rest, ':');
		text = ar_str_n(bytes, unhex(text, bytes, sizeof(bytes)));
		if (ar_utf8_valid(text) != ar_str_is(kind, "valid hex"))
			fail_msg("%.*s %.*s", AR_FMT(number), AR_FMT(kind));
		*(ar_str_is(kind, "valid hex") ? &valid : &invalid) += 1;
	}
	fclose(file);
	print_message("utf8tests: %d valid, %d invalid\n", valid, invalid);
	assert_true(valid > 50 && invalid > 50);
}

static void a_head_ends_between_characters(void **state)
{
	struct ar_str s =
		AR_STR("a\xc3\xa9\xe9\x94\x99\xf0\x9f\x98\x80"); /* of 1, 2, 3 and 4 bytes */
	static const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };

	for (size_t max = 0; max < AR_COUNT(want); max++)
		assert_int_equal(ar_utf8_head(s, max).n, want[max]);
	assert_int_equal(ar_utf8_head(AR_STR_NONE, 5).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_ends_between_characters),
		cmocka_unit_test(views),
		cmocka_unit_test(order),
		cmocka_unit_test(cutting),
		cmocka_unit_test(integers),
		cmocka_unit_test(floats),
		cmocka_unit_test(copies),
		cmocka_unit_test(utf8_own),
		cmocka_unit_test(utf8_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
