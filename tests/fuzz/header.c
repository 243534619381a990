/*
 * libFuzzer: values of headers, and the small texts that come in them: ranges, languages, codings,
 * trace contexts, times, identifiers, base64, locales. The first byte says which.
 *
 * What is taken means the same when it is written out and read again.
 * Run: build-fuzz/tests/fuzz/fuzz_header -max_total_time=60
 */
#include "action/action.h"
#include "http/server_int.h"
#include "i18n/i18n_int.h"
#include "observe/observe.h"
#include "storage/storage_int.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"abytes=0-9",
	"abytes=5-",
	"a Bytes = -3",
	"abytes=9223372036854775807-9223372036854775807",
	"bzh-Hant-TW, en-GB;q=0.8, fr;q=1.000, *;q=0.05",
	"cgzip;q=0, br, *;q=0.001",
	"d00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	"d01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
	"e2026-11-24T23:59:60.123456+05:30",
	"e2024-02-29",
	"e0000-01-01T00:00:00-23:59",
	"f018f3c1e-7b2a-7c3d-8e4f-0123456789ab",
	"gaGVsbG8_-w",
	"haGVsbG8/+w==",
	"izh-Hant-TW",
	"ien-u-ca-buddhist-nu-thai-x-private",
	"jAsia/Shanghai",
	"k-12.5e-3",
};
FUZZ_SEEDS(seeds)

static void fuzz_range(struct ar_str s)
{
	static const int64_t sizes[] = { 0, 1, 10, INT64_MAX };

	for (size_t i = 0; i < AR_COUNT(sizes); i++) {
		int64_t offset = -1, length = -1;
		int taken = storage_range(s, sizes[i], &offset, &length);

		must(taken >= -1 && taken <= 1 && (taken == -1) == ar_err_is(AR_E_RANGE));
		must(taken != 1 || (offset >= 0 && length > 0 && length <= sizes[i] - offset));
		ar_err_clear();
	}
}

static void fuzz_trace(struct ar_str s)
{
	char text[AR_TRACEPARENT_LEN + 1];
	struct ar_trace trace, again;

	if (!ar_trace_parse(s, &trace))
		return;
	ar_trace_format(&trace, text);
	must(strlen(text) == AR_TRACEPARENT_LEN && ar_trace_parse(ar_str(text), &again));
	must(strcmp(trace.trace_id, again.trace_id) == 0 && trace.sampled == again.sampled);
}

static void fuzz_time(struct ar_str s)
{
	char text[AR_TIME_MAX];
	int64_t ms, again;

	must(!ar_date_valid(s) || ar_time_parse(s, &ms));
	if (!ar_time_parse(s, &ms))
		return;
	must(ar_time_format(ms, text) == AR_TIME_MAX - 1);
	must(ar_time_parse(ar_str(text), &again) && ms == again);
}

static void fuzz_base64(struct ar_pool *pool, struct ar_str s, bool url)
{
	struct ar_str bytes, again;
	int r = url ? ar_base64url_decode(pool, s, &bytes) : ar_base64_decode(pool, s, &bytes);

	if (r != 0)
		return;
	again = url ? ar_base64url(pool, bytes.p, bytes.n) : ar_base64(pool, bytes.p, bytes.n);
	must(ar_str_eq(again, s));
}

static void fuzz_locale(struct ar_pool *pool, struct ar_str s)
{
	struct ar_str at = i18n_locale_canonical(pool, s);

	must(ar_str_eq(at, i18n_locale_canonical(pool, at)));
	if (!i18n_locale_valid(at))
		return;
	for (int i = 0; at.n > 0; i++) { /* every way up ends */
		must(i < 32 && i18n_locale_valid(at));
		at = i18n_locale_parent(pool, at);
	}
}

static void fuzz_number(struct ar_pool *pool, struct ar_str s)
{
	double number;
	int64_t whole;
	char text[24];

	if (ar_str_int(s, &whole)) {
		int64_t again;

		must(ar_str_int(ar_str_n(text, ar_int_text(whole, text)), &again));
		must(whole == again);
	}
	if (ar_str_float(s, &number)) {
		struct ar_json *v = ar_json_float(pool, number), *again;

		must(ar_json_parse(pool, ar_json_print(pool, v), NULL, &again) == 0);
		must(ar_json_equal(v, again));
	}
}

static void fuzz_one(struct ar_pool *pool, int what, struct ar_str s)
{
	switch (what) {
	case 'a':
		fuzz_range(s);
		break;
	case 'b':
		must(ar_language(s)[0] != '\0');
		break;
	case 'c':
		gzip_accepted(s);
		gzip_pays(s, 2000);
		break;
	case 'd':
		fuzz_trace(s);
		break;
	case 'e':
		fuzz_time(s);
		break;
	case 'f':
		must(!ar_id_valid(s) || s.n == AR_ID_LEN);
		break;
	case 'g':
	case 'h':
		fuzz_base64(pool, s, what == 'g');
		break;
	case 'i':
		fuzz_locale(pool, s);
		break;
	case 'j':
		i18n_zone_valid(pool, s);
		i18n_currency_valid(s);
		break;
	default:
		fuzz_number(pool, s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_pool *pool = ar_pool_new();
	/* of exactly so many bytes: what is read behind them is seen */
	char *exact = size > 0 ? ar_memdup(pool, data + 1, size - 1) : NULL;

	if (size > 0)
		fuzz_one(pool, data[0], ar_str_n(exact, size - 1));
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}
