/*
 * icu.c - the one place that calls ICU: UTF-8 in, UTF-8 out.
 *
 * Formatters are opened for each call, which costs some ten microseconds: ICU keeps the data behind
 * them. How many a message can ask for is bounded (pattern.c).
 */
#include "i18n/i18n_int.h"

#include <stdio.h>
#include <unicode/ucal.h>
#include <unicode/ucurr.h>
#include <unicode/udat.h>
#include <unicode/udatpg.h>
#include <unicode/uloc.h>
#include <unicode/unumberformatter.h>
#include <unicode/upluralrules.h>
#include <unicode/ustring.h>

#define OUT_MAX 1024 /* UTF-16 units of one formatted piece */

/* ICU's names of errors are for those who program with it. */
static int fail_icu(UErrorCode code)
{
	if (code == U_NUMBER_SKELETON_SYNTAX_ERROR)
		return ar_fail(I18N_E_ARGUMENT, "reason", "not a number skeleton");
	if (code == U_BUFFER_OVERFLOW_ERROR)
		return ar_fail(I18N_E_ARGUMENT, "reason", "too long");
	return ar_fail(I18N_E_ARGUMENT, "reason", "not a usable format");
}

/* NUL-terminated UTF-16 of a valid text. */
static UChar *wide(struct ar_pool *pool, struct ar_str s, int32_t *ret_n)
{
	UChar *w = ar_new_n(pool, UChar, s.n + 1);
	UErrorCode code = U_ZERO_ERROR;

	u_strFromUTF8(w, (int32_t)s.n + 1, ret_n, s.p != NULL ? s.p : "", (int32_t)s.n, &code);
	if (U_FAILURE(code))
		*ret_n = 0;
	return w;
}

static struct ar_str narrow(struct ar_pool *pool, const UChar *w, int32_t n)
{
	size_t cap = (size_t)n * 3 + 1;
	char *s = ar_alloc(pool, cap);
	UErrorCode code = U_ZERO_ERROR;
	int32_t len = 0;

	u_strToUTF8(s, (int32_t)cap, &len, w, n, &code);
	return U_FAILURE(code) ? AR_STR("") : ar_str_n(s, (size_t)len);
}

/* "zh-Hant-TW" as ICU wants it. Empty: the root locale. */
static const char *icu_locale(struct ar_pool *pool, struct ar_str locale)
{
	char id[ULOC_FULLNAME_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;

	uloc_forLanguageTag(ar_strz(pool, locale), id, sizeof(id), NULL, &code);
	return U_FAILURE(code) ? "" : ar_printf(pool, "%s", id);
}

bool i18n_locale_valid(struct ar_str locale)
{
	char tag[64], id[ULOC_FULLNAME_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;
	int32_t parsed = 0;

	if (locale.n < 2 || locale.n >= sizeof(tag))
		return false;
	memcpy(tag, locale.p, locale.n);
	tag[locale.n] = 0;
	if (uloc_forLanguageTag(tag, id, sizeof(id), &parsed, &code) <= 0 || U_FAILURE(code))
		return false;
	return (size_t)parsed == locale.n;
}

static struct ar_str tag_of(struct ar_pool *pool, const char *id)
{
	char tag[ULOC_FULLNAME_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;

	uloc_toLanguageTag(id, tag, sizeof(tag), 0, &code);
	return U_FAILURE(code) || code == U_STRING_NOT_TERMINATED_WARNING
		       ? AR_STR("")
		       : ar_str_dup(pool, ar_str(tag));
}

struct ar_str i18n_locale_canonical(struct ar_pool *pool, struct ar_str locale)
{
	struct ar_str tag;

	if (!i18n_locale_valid(locale))
		return locale;
	tag = tag_of(pool, icu_locale(pool, locale));
	return tag.n > 0 ? tag : locale;
}

/* "Hant": what a locale is written in, also when it does not say. */
static void script_of(const char *id, char script[ULOC_SCRIPT_CAPACITY])
{
	char full[ULOC_FULLNAME_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;

	script[0] = 0;
	uloc_addLikelySubtags(id, full, sizeof(full), &code);
	if (U_SUCCESS(code))
		uloc_getScript(full, script, ULOC_SCRIPT_CAPACITY, &code);
}

/* "zh_Hans_CN" says no more than "zh_CN", under which its words may stand. Empty: it says more. */
static struct ar_str without_script(struct ar_pool *pool, const char *base, const char *own)
{
	char language[ULOC_LANG_CAPACITY], country[ULOC_COUNTRY_CAPACITY],
		script[ULOC_SCRIPT_CAPACITY];
	char shorter[ULOC_FULLNAME_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;

	uloc_getLanguage(base, language, sizeof(language), &code);
	uloc_getCountry(base, country, sizeof(country), &code);
	if (U_FAILURE(code) || own[0] == 0 || country[0] == 0)
		return AR_STR("");
	snprintf(shorter, sizeof(shorter), "%s_%s", language, country);
	script_of(shorter, script);
	return strcmp(script, own) == 0 ? tag_of(pool, shorter) : AR_STR("");
}

struct ar_str i18n_locale_parent(struct ar_pool *pool, struct ar_str locale)
{
	struct ar_str shorter;
	char base[ULOC_FULLNAME_CAPACITY], parent[ULOC_FULLNAME_CAPACITY];
	char script[ULOC_SCRIPT_CAPACITY], other[ULOC_SCRIPT_CAPACITY], own[ULOC_SCRIPT_CAPACITY];
	UErrorCode code = U_ZERO_ERROR;

	uloc_getBaseName(icu_locale(pool, locale), base, sizeof(base), &code);
	if (uloc_getParent(base, parent, sizeof(parent), &code) <= 0 || U_FAILURE(code))
		return AR_STR("");
	script_of(base, script);
	uloc_getScript(base, own, sizeof(own), &code);
	shorter = without_script(pool, base, own);
	if (shorter.n > 0)
		return shorter;
	if (strchr(parent, '_') == NULL && own[0] == 0 && script[0] != 0) /* "zh_TW": "zh_Hant" */
		return ar_strf(pool, "%s-%s", parent, script);
	script_of(parent, other);
	return strcmp(script, other) == 0 ? tag_of(pool, parent) : AR_STR("");
}

bool i18n_zone_valid(struct ar_pool *pool, struct ar_str zone)
{
	UChar canonical[64];
	UErrorCode code = U_ZERO_ERROR;
	UBool system = 0;
	int32_t n;
	UChar *w = wide(pool, zone, &n);

	ucal_getCanonicalTimeZoneID(w, n, canonical, AR_COUNT(canonical), &system, &code);
	return U_SUCCESS(code) && system;
}

bool i18n_currency_valid(struct ar_str code)
{
	UChar w[4] = { 0 };

	if (code.n != 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (code.p[i] < 'A' || code.p[i] > 'Z')
			return false;
		w[i] = (UChar)code.p[i];
	}
	return ucurr_getNumericCode(w) != 0;
}

/* The plain form has three digits at most, as everywhere. A half goes away from zero, as people and
 * browsers round; ICU would make it even. */
static struct ar_str rounded(struct ar_pool *pool, struct ar_str skeleton)
{
	if (skeleton.n > 0 && memmem(skeleton.p, skeleton.n, "rounding-mode", 13) != NULL)
		return skeleton;
	return ar_strf(pool, "%.*s rounding-mode-half-up",
		       AR_FMT(skeleton.n > 0 ? skeleton : AR_STR(".###")));
}

int i18n_number(struct ar_pool *pool, struct ar_str locale, struct ar_str skeleton,
		const struct ar_json *value, struct ar_str *ret)
{
	UErrorCode code = U_ZERO_ERROR;
	UNumberFormatter *formatter;
	UFormattedNumber *result;
	UChar out[OUT_MAX];
	int32_t n;
	UChar *w = wide(pool, rounded(pool, skeleton), &n);

	if (value->type != AR_INT && value->type != AR_FLOAT)
		return ar_fail(I18N_E_ARGUMENT, "reason", "not a number");
	formatter = unumf_openForSkeletonAndLocale(w, n, icu_locale(pool, locale), &code);
	result = unumf_openResult(&code);
	if (U_SUCCESS(code) && value->type == AR_INT)
		unumf_formatInt(formatter, value->i, result, &code);
	else if (U_SUCCESS(code))
		unumf_formatDouble(formatter, value->f, result, &code);
	n = U_SUCCESS(code) ? unumf_resultToString(result, out, OUT_MAX, &code) : 0;
	unumf_closeResult(result);
	unumf_close(formatter);
	if (U_FAILURE(code))
		return fail_icu(code);
	*ret = narrow(pool, out, n);
	return 0;
}

static UDateFormatStyle style_of(enum i18n_style style)
{
	static const UDateFormatStyle styles[] = { UDAT_NONE, UDAT_SHORT, UDAT_MEDIUM, UDAT_LONG,
						   UDAT_FULL };

	return styles[style];
}

/*
 * The locale's best pattern for a skeleton such as "yMMMd". To find one takes ICU a quarter of a
 * millisecond, so each thread remembers some.
 */
#define PATTERNS 64
static _Thread_local struct pattern {
	char key[64]; /* "locale skeleton"; longer ones are not kept */
	UChar text[64];
	int32_t n;
} patterns[PATTERNS];

static int32_t best_pattern(struct ar_pool *pool, const char *locale, struct ar_str skeleton,
			    UChar *out, UErrorCode *code)
{
	struct ar_str key = ar_strf(pool, "%s %.*s", locale, AR_FMT(skeleton));
	struct pattern *known = &patterns[ar_hash(key.p, key.n) % PATTERNS];
	UDateTimePatternGenerator *generator;
	int32_t n, len;
	UChar *w;

	if (ar_str_is(key, known->key)) {
		memcpy(out, known->text, sizeof(known->text));
		return known->n;
	}
	w = wide(pool, skeleton, &n);
	generator = udatpg_open(locale, code);
	len = udatpg_getBestPattern(generator, w, n, out, OUT_MAX, code);
	udatpg_close(generator);
	if (U_SUCCESS(*code) && key.n < sizeof(known->key) &&
	    len < (int32_t)AR_COUNT(known->text)) {
		memcpy(known->key, key.p, key.n + 1);
		memcpy(known->text, out, (size_t)len * sizeof(UChar));
		known->n = len;
	}
	return len;
}

int i18n_date(struct ar_pool *pool, struct ar_str locale, const struct i18n_moment *moment,
	      struct ar_str *ret)
{
	const char *id = icu_locale(pool, locale);
	struct ar_str zone = moment->zone.n > 0 && !moment->day ? moment->zone : AR_STR("UTC");
	UErrorCode code = U_ZERO_ERROR;
	UChar out[OUT_MAX], pattern[OUT_MAX];
	UDateFormat *format;
	int32_t zone_n, n;
	UChar *w = wide(pool, zone, &zone_n);

	if (!i18n_zone_valid(pool, zone))
		return ar_fail(I18N_E_ARGUMENT, "name", "timeZone", "reason", "not a time zone");
	if (moment->skeleton.n > 0) {
		n = best_pattern(pool, id, moment->skeleton, pattern, &code);
		format = udat_open(UDAT_PATTERN, UDAT_PATTERN, id, w, zone_n, pattern, n, &code);
	} else {
		format = udat_open(style_of(moment->time), style_of(moment->date), id, w, zone_n,
				   NULL, 0, &code);
	}
	n = U_SUCCESS(code) ? udat_format(format, (UDate)moment->ms, out, OUT_MAX, NULL, &code) : 0;
	if (format != NULL)
		udat_close(format);
	if (U_FAILURE(code))
		return fail_icu(code);
	*ret = narrow(pool, out, n);
	return 0;
}

int i18n_plural(struct ar_pool *pool, struct ar_str locale, bool ordinal, double value,
		struct ar_str *ret)
{
	UErrorCode code = U_ZERO_ERROR;
	UChar out[32];
	int32_t n;
	UPluralRules *rules =
		uplrules_openForType(icu_locale(pool, locale),
				     ordinal ? UPLURAL_TYPE_ORDINAL : UPLURAL_TYPE_CARDINAL, &code);

	n = U_SUCCESS(code) ? uplrules_select(rules, value, out, AR_COUNT(out), &code) : 0;
	if (rules != NULL)
		uplrules_close(rules);
	if (U_FAILURE(code))
		return fail_icu(code);
	*ret = narrow(pool, out, n);
	return 0;
}
