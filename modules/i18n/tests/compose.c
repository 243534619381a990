/*
 * compose.c - tests of messages: what ICU's own MessageFormat gives for them is the expectation.
 */
#include "i18n/i18n_int.h"
#include "tests/harness/test.h"

static const struct {
	const char *locale, *pattern, *args, *expected;
} rows[] = {
	{ "en", "Hello {name}", "{\"name\":\"Zoë\"}", "Hello Zoë" },
	{ "en", "Hello {name}", "{}", "Hello {name}" },
	{ "en", "it''s '{quoted}' and don't", "{}", "it's {quoted} and don't" },
	{ "en", "{n, plural, one {# file} other {# files}}", "{\"n\":1}", "1 file" },
	{ "en", "{n, plural, one {# file} other {# files}}", "{\"n\":1234}", "1,234 files" },
	{ "de", "{n, plural, one {# Datei} other {# Dateien}}", "{\"n\":1234}", "1.234 Dateien" },
	{ "zh-CN", "{n, plural, one {不用} other {#个文件}}", "{\"n\":1}", "1个文件" },
	{ "ru", "{n, plural, one {# файл} few {# файла} many {# файлов} other {# файла}}", "{\"n\":3}",
	  "3 файла" },
	{ "ru", "{n, plural, one {# файл} few {# файла} many {# файлов} other {# файла}}", "{\"n\":11}",
	  "11 файлов" },
	{ "ar", "{n, plural, zero {صفر} two {اثنان} few {قليل} other {غير}}", "{\"n\":2}", "اثنان" },
	{ "en", "{n, plural, =0 {none} one {one} other {many}}", "{\"n\":0}", "none" },
	{ "en", "{n, plural, offset:1 =1 {you} one {you and # more} other {you and # more}}",
	  "{\"n\":3}", "you and 2 more" },
	{ "en", "{n, selectordinal, one {#st} two {#nd} few {#rd} other {#th}}", "{\"n\":22}", "22nd" },
	{ "en", "{sex, select, female {her} male {his} other {their}} cat", "{\"sex\":\"female\"}",
	  "her cat" },
	{ "en", "{sex, select, female {her} other {their}} cat", "{\"sex\":\"x\"}", "their cat" },
	{ "de", "{x, number}", "{\"x\":1234567.5}", "1.234.567,5" },
	{ "en", "{x, number, integer}", "{\"x\":2.6}", "3" },
	{ "en", "{x, number, percent}", "{\"x\":0.25}", "25%" },
	{ "en", "{x, number, ::currency/EUR}", "{\"x\":12}", "€12.00" },
	{ "en", "{d, date, long}", "{\"d\":\"2026-11-25T10:00:00Z\"}", "November 25, 2026" },
	{ "zh-CN", "{d, date, long}", "{\"d\":\"2026-11-25T10:00:00Z\"}", "2026年11月25日" },
	{ "en", "{d, date, ::yMMM}", "{\"d\":\"2026-11-25T10:00:00Z\"}", "Nov 2026" },
	{ "en", "{a} {b, plural, one {{c} x} other {{c} y}}", "{\"a\":1,\"b\":1,\"c\":\"z\"}", "1 z x" },
};

static void messages(void **state AR_UNUSED)
{
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *out = ar_buf_new(pool, 4096);
		struct i18n_piece *pieces;
		struct ar_json *args;

		assert_ok(ar_json_parse(pool, ar_str(rows[i].args), &ar_json_limits_default, &args));
		assert_ok(i18n_pattern_read(pool, ar_str(rows[i].pattern), &pieces));
		assert_ok(i18n_compose(pool, ar_str(rows[i].locale), AR_STR(""), pieces, args, out));
		assert_str(ar_buf_view(out), rows[i].expected);
		ar_pool_free(pool);
	}
}

static void refused_patterns(void **state AR_UNUSED)
{
	static const char *const patterns[] = {
		"{",
		"}",
		"{name",
		"{}",
		"{n, plural}",
		"{n, plural, one {x}}",
		"{n, plural, one x other {y}}",
		"{n, select, other {",
		"{n, spellout}",
		"{n, number, }",
		"{n, plural, =x {a} other {b}}",
	};
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *deep = ar_buf_new(pool, I18N_TEXT_MAX);
	struct i18n_piece *pieces;

	for (size_t i = 0; i < AR_COUNT(patterns); i++)
		assert_fails(i18n_pattern_read(pool, ar_str(patterns[i]), &pieces), I18N_E_PATTERN);
	for (int i = 0; i < 100; i++)
		ar_buf_z(deep, "{n, select, other {");
	assert_fails(i18n_pattern_read(pool, ar_buf_view(deep), &pieces), I18N_E_PATTERN);
	ar_pool_free(pool);
}

static void zones(void **state AR_UNUSED)
{
	struct ar_pool *pool = ar_pool_new();
	struct i18n_moment moment = { .ms = 1792893600000, .date = I18N_SHORT, .time = I18N_SHORT };
	struct ar_str text;

	/* 2026-10-25: Berlin leaves summer time at 01:00 UTC; 02:00 UTC is 03:00 there */
	moment.zone = AR_STR("Europe/Berlin");
	assert_ok(i18n_date(pool, AR_STR("de"), &moment, &text));
	assert_str(text, "25.10.26, 03:00");
	moment.zone = AR_STR("Asia/Shanghai");
	assert_ok(i18n_date(pool, AR_STR("de"), &moment, &text));
	assert_str(text, "25.10.26, 10:00");
	moment.zone = AR_STR("Mars/Olympus");
	assert_fails(i18n_date(pool, AR_STR("de"), &moment, &text), I18N_E_ARGUMENT);
	ar_pool_free(pool);
}

static void tags(void **state AR_UNUSED)
{
	struct ar_pool *pool = ar_pool_new();

	assert_true(i18n_locale_valid(AR_STR("zh-Hant-TW")));
	assert_true(i18n_locale_valid(AR_STR("en")));
	assert_false(i18n_locale_valid(AR_STR("")));
	assert_false(i18n_locale_valid(AR_STR("e")));
	assert_false(i18n_locale_valid(AR_STR("en_US; DROP")));
	assert_false(i18n_locale_valid(AR_STR("../../etc")));
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hant-TW")), "zh-Hant");
	assert_str(i18n_locale_parent(pool, AR_STR("zh")), "");
	assert_true(i18n_currency_valid(AR_STR("CNY")));
	assert_false(i18n_currency_valid(AR_STR("ZZZ")));
	assert_false(i18n_currency_valid(AR_STR("eur")));
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(refused_patterns),
		cmocka_unit_test(zones),
		cmocka_unit_test(tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
