/*
 * libFuzzer: a message of a tenant in MessageFormat, read, tried out, written in several languages.
 *
 * What was tried out without an error is written without one, when its arguments are of the right
 * kind. Run: build/tests/fuzz/fuzz_message -max_total_time=60
 */
#include "i18n/i18n_int.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"Hello {name}, it''s '{quoted}' {n, number} {d, date, long} {d, time, ::Hm}",
	"{n, plural, offset:1 =0 {none} one {# file} few {# x} many {#} other {# files in {name}}}",
	"{n, selectordinal, one {#st} two {#nd} few {#rd} other {#th}}",
	"{name, select, male {his {n, plural, other {#}}} other {their '#'}}",
	"{n, number, ::currency/EUR .00 group-min2} {n, number, percent} {n, number, integer}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const locales[] = { "en", "zh-CN", "ar", "ru", "", "und-x-a" };
	static const char args_text[] =
		"{\"name\":\"male\",\"n\":2,\"d\":0,\"x\":-1.5,\"a\":[null]}";
	struct ar_str text = { (const char *)data, size };
	struct ar_pool *pool = ar_pool_new();
	struct i18n_piece *pieces;
	struct ar_json *args;

	if (ar_json_parse(pool, ar_str(args_text), NULL, &args) != 0)
		abort();
	if (ar_utf8_valid(text) && i18n_pattern_read(pool, text, &pieces) == 0)
		for (size_t i = 0; i < AR_COUNT(locales); i++) {
			struct ar_buf *out = ar_buf_new(pool, 1 << 20);
			int checked = i18n_check(pool, ar_str(locales[i]), pieces), written;

			written = i18n_compose(pool, ar_str(locales[i]), AR_STR("Asia/Shanghai"),
					       pieces, args, out);
			if (checked == 0 && written == 0 && !ar_utf8_valid(ar_buf_view(out)))
				abort();
			if (i18n_compose(pool, ar_str(locales[i]), AR_STR(""), pieces, NULL, out) !=
			    0)
				abort(); /* without arguments nothing can be of the wrong kind */
		}
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}

FUZZ_SEEDS(seeds)
