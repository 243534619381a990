/*
 * compose.c - tests of messages: what ICU's own MessageFormat gives for them is the expectation.
 */
#include "i18n/i18n_int.h"
#include "tests/harness/test.h"

#define PL "{n, plural, one {# plik} few {# pliki} many {# plików} other {# pliku}}"
#define AR "{n, plural, zero {z} one {1} two {2} few {f} many {m} other {o}}"

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
	{ "ru", "{n, plural, one {# файл} few {# файла} many {# файлов} other {# файла}}",
	  "{\"n\":3}", "3 файла" },
	{ "ru", "{n, plural, one {# файл} few {# файла} many {# файлов} other {# файла}}",
	  "{\"n\":11}", "11 файлов" },
	{ "pl", PL, "{\"n\":1}", "1 plik" },
	{ "pl", PL, "{\"n\":4}", "4 pliki" },
	{ "pl", PL, "{\"n\":12}", "12 plików" },
	{ "pl", PL, "{\"n\":22}", "22 pliki" },
	{ "pl", PL, "{\"n\":1.5}", "1,5 pliku" },
	{ "ru", "{n, plural, one {a} few {b} many {c} other {d}}", "{\"n\":1.5}", "d" },
	{ "ru", "{n, plural, one {a} few {b} many {c} other {d}}", "{\"n\":21}", "a" },
	{ "ru", "{n, plural, one {a} few {b} many {c} other {d}}", "{\"n\":0}", "c" },
	{ "fr", "{n, plural, one {# jour} many {# de jours} other {# jours}}", "{\"n\":0}",
	  "0 jour" },
	{ "fr", "{n, plural, one {# jour} many {# de jours} other {# jours}}", "{\"n\":1.9}",
	  "1,9 jour" },
	{ "fr", "{n, plural, one {# jour} many {# de jours} other {# jours}}", "{\"n\":1000000}",
	  "1\u202f000\u202f000 de jours" },
	{ "ar", AR, "{\"n\":0}", "z" },
	{ "ar", AR, "{\"n\":1}", "1" },
	{ "ar", AR, "{\"n\":110}", "f" },
	{ "ar", AR, "{\"n\":111}", "m" },
	{ "ar", AR, "{\"n\":102}", "o" },
	{ "ar", "{n, plural, zero {صفر} two {اثنان} few {قليل} other {غير}}", "{\"n\":2}",
	  "اثنان" },
	{ "en", "{n, plural, =0 {none} one {one} other {many}}", "{\"n\":0}", "none" },
	{ "en", "{n, plural, offset:1 =1 {you} one {you and # more} other {you and # more}}",
	  "{\"n\":3}", "you and 2 more" },
	{ "en", "{n, selectordinal, one {#st} two {#nd} few {#rd} other {#th}}", "{\"n\":22}",
	  "22nd" },
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
	{ "en", "{n, plural, offset: 1 one {a} other {# b}}", "{\"n\":-9223372036854775808}",
	  "-9,223,372,036,854,776,000 b" },
	{ "en", "{n, plural, =-1 {minus} other {x}}", "{\"n\":-1}", "minus" },
	{ "en", "{n}, {n, number} {n, number, percent}", "{\"n\":0.12345}", "0.123, 0.123 12%" },
	{ "en", "{d, date} {d, time, short}", "{\"d\":\"2026-11-25\"}",
	  "Nov 25, 2026 12:00\u202fAM" },
	{ "en", "{d, date}", "{\"d\":0}", "Jan 1, 1970" },
	{ "en", "{x}", "{\"x\":null}", "null" },
	{ "en", "{x}", "{\"x\":{\"a\":[1,true]}}", "{\"a\":[1,true]}" },
	{ "en", "{a} {b, plural, one {{c} x} other {{c} y}}", "{\"a\":1,\"b\":1,\"c\":\"z\"}",
	  "1 z x" },
};

static void messages(void **state AR_UNUSED)
{
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *out = ar_buf_new(pool, 4096);
		struct i18n_piece *pieces;
		struct ar_json *args;

		assert_ok(
			ar_json_parse(pool, ar_str(rows[i].args), &ar_json_limits_default, &args));
		assert_ok(i18n_pattern_read(pool, ar_str(rows[i].pattern), &pieces));
		assert_ok(
			i18n_compose(pool, ar_str(rows[i].locale), AR_STR(""), pieces, args, out));
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
		"{n, plural, offset:x other {b}}",
		"{n, plural, offset:1e300 other {b}}",
		"{n, plural, offset:1.5 other {b}}",
		"{n, plural, one {a} one {b} other {c}}",
		"{n, plural, =1 {a} =1.0 {b} other {c}}",
		"{n, select, a {a} a {b} other {c}}",
		"{a b}",
		"{a,}",
		"{,number}",
		"{n, choice, 0#a|1#b}",
	};
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *deep = ar_buf_new(pool, I18N_TEXT_MAX);
	struct i18n_piece *pieces;

	for (size_t i = 0; i < AR_COUNT(patterns); i++)
		assert_fails(i18n_pattern_read(pool, ar_str(patterns[i]), &pieces), I18N_E_PATTERN);
	for (int i = 0; i < 100; i++)
		ar_buf_z(deep, "{n, select, other {");
	assert_fails(i18n_pattern_read(pool, ar_buf_view(deep), &pieces), I18N_E_PATTERN);
	deep->n = 0;
	for (int i = 0; i < 101; i++)
		ar_buf_z(deep, "{n}");
	assert_fails(i18n_pattern_read(pool, ar_buf_view(deep), &pieces), I18N_E_PATTERN);
	deep->n -= 3;
	assert_ok(i18n_pattern_read(pool, ar_buf_view(deep), &pieces));
	ar_pool_free(pool);
}

/* Arguments that a message cannot be written with, and styles that nothing can be written with. */
static void refused_arguments(void **state AR_UNUSED)
{
	static const struct {
		const char *pattern, *args;
		bool style;
	} bad[] = {
		{ "{n, plural, other {x}}", "{\"n\":\"1\"}", false },
		{ "{n, plural, other {x}}", "{\"n\":null}", false },
		{ "{n, number}", "{\"n\":true}", false },
		{ "{d, date}", "{\"d\":\"yesterday\"}", false },
		{ "{d, date}", "{\"d\":1.5}", false },
		{ "{d, date}", "{\"d\":9000000000000000000}", false },
		{ "{n, number, currency}", "{\"n\":1}", true },
		{ "{n, number, ::nonsense}", "{\"n\":1}", true },
		{ "{n, select, a {{m, number, ::nonsense}} other {}}", "{\"n\":\"a\",\"m\":1}",
		  true },
		{ "{d, date, enormous}", "{\"d\":0}", true },
	};

	for (size_t i = 0; i < AR_COUNT(bad); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *out = ar_buf_new(pool, 4096);
		struct i18n_piece *pieces;
		struct ar_json *args;

		assert_ok(ar_json_parse(pool, ar_str(bad[i].args), &ar_json_limits_default, &args));
		assert_ok(i18n_pattern_read(pool, ar_str(bad[i].pattern), &pieces));
		assert_fails(i18n_compose(pool, AR_STR("en"), AR_STR(""), pieces, args, out),
			     I18N_E_ARGUMENT);
		if (bad[i].style)
			assert_fails(i18n_check(pool, AR_STR("en"), pieces), I18N_E_ARGUMENT);
		else
			assert_ok(i18n_check(pool, AR_STR("en"), pieces));
		ar_pool_free(pool);
	}
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
	/* a day is the same day everywhere */
	moment = (struct i18n_moment){ .zone = AR_STR("America/New_York"), .date = I18N_SHORT };
	assert_true(i18n_time_of(&AR_J_STR(AR_STR("2026-11-25")), &moment));
	assert_ok(i18n_date(pool, AR_STR("de"), &moment, &text));
	assert_str(text, "25.11.26");
	assert_true(i18n_time_of(&AR_J_STR(AR_STR("2026-11-25T00:00:00Z")), &moment));
	assert_ok(i18n_date(pool, AR_STR("de"), &moment, &text));
	assert_str(text, "24.11.26");
	for (int i = 0; i < 2; i++) { /* the second time from what is remembered */
		moment.skeleton = AR_STR("yMMMd");
		assert_ok(i18n_date(pool, AR_STR("fr"), &moment, &text));
		assert_str(text, "24 nov. 2026");
		assert_ok(i18n_date(pool, AR_STR("en"), &moment, &text));
		assert_str(text, "Nov 24, 2026");
	}
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
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hant-TW")), "zh-TW");
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hans-CN")), "zh-CN");
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hant-CN")), "zh-Hant");
	assert_str(i18n_locale_parent(pool, AR_STR("zh")), "");
	assert_str(i18n_locale_parent(pool, AR_STR("zh-TW")), "zh-Hant");
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hant")), ""); /* zh is simplified */
	assert_str(i18n_locale_parent(pool, AR_STR("zh-CN")), "zh-Hans");
	assert_str(i18n_locale_parent(pool, AR_STR("zh-Hans")), "zh");
	assert_str(i18n_locale_parent(pool, AR_STR("sr-Latn-RS")), "sr-Latn");
	assert_str(i18n_locale_parent(pool, AR_STR("sr-Latn")), "");
	assert_str(i18n_locale_parent(pool, AR_STR("en-GB-u-ca-buddhist")), "en-Latn");
	assert_str(i18n_locale_canonical(pool, AR_STR("ZH-hant-tw")), "zh-Hant-TW");
	assert_str(i18n_locale_canonical(pool, AR_STR("EN")), "en");
	assert_str(i18n_locale_canonical(pool, AR_STR("not a locale")), "not a locale");
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
		cmocka_unit_test(refused_arguments),
		cmocka_unit_test(zones),
		cmocka_unit_test(tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
