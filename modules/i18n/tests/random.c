/*
 * random.c - random messages, written here and by ICU's own MessageFormat, must be the same text.
 *
 * ICU's C interface numbers its arguments and takes each with one type: 0 is a number, 1 a text, 2 a
 * time, and every message uses all three.
 */
#include "i18n/i18n_int.h"
#include "tests/harness/test.h"

#include <unicode/ucal.h>
#include <unicode/umsg.h>
#include <unicode/ustring.h>

#define MESSAGES 1500

static uint64_t state_of;

static unsigned below(unsigned n)
{
	state_of = state_of * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state_of >> 33) % n;
}

static const char *one_of(const char *const *list, unsigned n)
{
	return list[below(n)];
}
#define ONE_OF(...)                                                                                \
	one_of((const char *const[]){ __VA_ARGS__ },                                               \
	       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void message(struct ar_buf *out, unsigned depth);

static void plural(struct ar_buf *out, unsigned depth)
{
	static const char *const keywords[] = { "zero", "one", "two", "few", "many" };
	bool offset = below(4) == 0;

	ar_buf_printf(out, "{0, %s,%s", ONE_OF("plural", "selectordinal"), ONE_OF("", " ", "\n\t"));
	if (offset)
		ar_buf_printf(out, " offset:%u ", below(4));
	for (unsigned i = 0; i < 3; i++)
		if (below(3) == 0) {
			ar_buf_printf(out, " =%u {", i);
			message(out, depth + 1);
			ar_buf_char(out, '}');
		}
	for (unsigned i = 0; i < AR_COUNT(keywords); i++)
		if (below(2) == 0) {
			ar_buf_printf(out, "%s %s{", ONE_OF("", " ", "\n"), keywords[i]);
			message(out, depth + 1);
			ar_buf_char(out, '}');
		}
	ar_buf_z(out, " other{");
	message(out, depth + 1);
	ar_buf_z(out, "# }}");
}

static void choice(struct ar_buf *out, unsigned depth)
{
	ar_buf_z(out, "{1, select, ");
	for (unsigned i = 0; i < 2; i++) {
		ar_buf_printf(out, "%s {", i == 0 ? "male" : "wei\xc3\x9f");
		message(out, depth + 1);
		ar_buf_z(out, "} ");
	}
	ar_buf_z(out, "other {");
	message(out, depth + 1);
	ar_buf_z(out, "}}");
}

static void piece(struct ar_buf *out, unsigned depth)
{
	switch (below(depth < 3 ? 8 : 6)) {
	case 0:
		ar_buf_z(out, ONE_OF("Hello ", "中文", "x", " ", "a, b: c ", "|", "="));
		break;
	case 1:
		ar_buf_z(out, ONE_OF("''", "don't ", "'{'", "'{1}'", "'}' ", "it''s ", "'{''}'",
				     "'#'", "' "));
		break;
	case 2:
		ar_buf_z(out, ONE_OF("{1}", "{ 1 }", "{1 }"));
		break;
	case 3:
		ar_buf_z(out,
			 ONE_OF("{0, number}", "{0,number, ::percent .0}", "{0, number, ::.00}"));
		break;
	case 4:
		ar_buf_z(out, ONE_OF("{2, date}", "{2,date,short}", "{2, date, full}",
				     "{2,time,medium}", "{2, time, short}", "{2, date, ::yMMMd}"));
		break;
	case 5:
		ar_buf_z(out, ONE_OF("#", "# ", "#1"));
		break;
	case 6:
		plural(out, depth);
		break;
	case 7:
		choice(out, depth);
		break;
	}
}

static void message(struct ar_buf *out, unsigned depth)
{
	for (unsigned n = below(depth == 0 ? 4 : 2) + 1; n > 0; n--)
		piece(out, depth);
}

static const UChar *wide(struct ar_pool *pool, struct ar_str s)
{
	UErrorCode code = U_ZERO_ERROR;
	UChar *w = ar_alloc(pool, (s.n + 1) * sizeof(UChar));

	u_strFromUTF8(w, (int32_t)s.n + 1, NULL, s.p, (int32_t)s.n, &code);
	assert_true(U_SUCCESS(code));
	return w;
}

/* NULL: ICU refuses the pattern. */
static const char *by_icu(struct ar_pool *pool, const char *locale, struct ar_str pattern, double n,
			  struct ar_str text, double ms)
{
	static UChar out[100000];
	UErrorCode code = U_ZERO_ERROR;
	const UChar *w = wide(pool, pattern);
	UMessageFormat *format = umsg_open(w, -1, locale, NULL, &code);
	char *narrow = ar_alloc(pool, 400000);
	int32_t len;

	if (U_FAILURE(code)) {
		umsg_close(format);
		return NULL;
	}
	len = umsg_format(format, out, 100000, &code, n, wide(pool, text), ms);
	umsg_close(format);
	assert_true(U_SUCCESS(code));
	u_strToUTF8(narrow, 400000, NULL, out, len, &code);
	assert_true(U_SUCCESS(code));
	return narrow;
}

static struct ar_json *args_of(struct ar_pool *pool, double n, struct ar_str text, double ms)
{
	struct ar_json *args = ar_json_new(pool, AR_OBJECT);

	ar_json_set(args, AR_STR("0"),
		    n == (double)(int64_t)n ? ar_json_int(pool, (int64_t)n)
					    : ar_json_float(pool, n));
	ar_json_set(args, AR_STR("1"), ar_json_str(pool, text));
	ar_json_set(args, AR_STR("2"), ar_json_int(pool, (int64_t)ms));
	return args;
}

/* What we refuse and ICU takes: our bounds, a } that closes nothing, which ICU writes as it is, and a
 * case that comes twice, of which ICU uses the first. */
static bool stricter(void)
{
	const char *reason = ar_err_param(ar_err(), "reason");

	return ar_err_is(AR_E_TOO_LARGE) || strcmp(reason, "too many arguments") == 0 ||
	       strcmp(reason, "} without {") == 0 || strcmp(reason, "a case comes twice") == 0;
}

static void same_as_icu(void **state)
{
	static const char *const locales[] = { "en", "de", "zh-CN", "ru", "ar", "pl", "fr", "cy" };
	static const double numbers[] = { 0,  1,   2,       3,  5,   11,       21,
					  22, 100, 1234567, -1, 1.5, 0.1234567 };
	static const char *const texts[] = { "male", "wei\xc3\x9f", "x", "other", "a'b{c}#" };
	int compared = 0;

	state_of = 20261125;
	for (int i = 0; i < MESSAGES; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *pattern = ar_buf_new(pool, 1 << 20),
			      *out = ar_buf_new(pool, 1 << 20);
		const char *locale = locales[below(AR_COUNT(locales))], *expected;
		double n = numbers[below(AR_COUNT(numbers))],
		       ms = 1792893600000.0 + below(1000) * 86400000.0;
		struct ar_str text = ar_str(texts[below(AR_COUNT(texts))]);
		struct i18n_piece *pieces;

		ar_buf_z(pattern, "{0,number}{1}{2,time}");
		message(pattern, 0);
		expected = by_icu(pool, locale, ar_buf_view(pattern), n, text, ms);
		if (i18n_pattern_read(pool, ar_buf_view(pattern), &pieces) == 0) {
			assert_ok(i18n_compose(pool, ar_str(locale), AR_STR("UTC"), pieces,
					       args_of(pool, n, text, ms), out));
			if (expected == NULL || !ar_str_is(ar_buf_view(out), expected))
				fail_msg("%s of %g: %.*s\ngot  %.*s\nICU: %s", locale, n,
					 AR_FMT(ar_buf_view(pattern)), AR_FMT(ar_buf_view(out)),
					 expected != NULL ? expected : "(refused)");
			compared++;
		} else {
			assert_true(ar_err_is(I18N_E_PATTERN) || ar_err_is(AR_E_TOO_LARGE));
			if (expected != NULL && !stricter())
				fail_msg("%s at %s, but not by ICU: %.*s",
					 ar_err_param(ar_err(), "reason"),
					 ar_err_param(ar_err(), "position"),
					 AR_FMT(ar_buf_view(pattern)));
			ar_err_clear();
		}
		ar_pool_free(pool);
	}
	print_message("%d of %d messages compared\n", compared, MESSAGES);
	assert_true(compared > MESSAGES / 2);
}

static int utc(void **state)
{
	static const UChar zone[] = { 'U', 'T', 'C', 0 };
	UErrorCode code = U_ZERO_ERROR;

	ucal_setDefaultTimeZone(zone, &code);
	return U_SUCCESS(code) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_icu) };

	return cmocka_run_group_tests(tests, utc, NULL);
}
