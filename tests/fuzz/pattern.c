/*
 * libFuzzer: the pattern of a tenant's field, a line end, and the text that is held against it.
 *
 * What is taken as a pattern is one for the matcher too, and no text makes it slow.
 * Run: build-fuzz/tests/fuzz/fuzz_pattern -max_total_time=60
 */
#include "data/data_int.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"^[a-z0-9_-]+\\.[^/]{2,4}.?x*$\nab-c.def1xx",
	"a*a*a*a*b\naaaaaaaaaaaaaaaaaaaaaaaa",
	"[\xe4\xb8\x80-\xe9\xbf\xbf]{1,}\n\xe4\xb8\xad\xe6\x96\x87",
};
FUZZ_SEEDS(seeds)

static void match(struct ar_pool *pool, struct ar_str pattern, struct ar_str text)
{
	const struct ar_field fields[] = {
		AR_FIELD_FREE("t", AR_F_TEXT, .pattern = ar_strz(pool, pattern)),
		{ 0 },
	};
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *checked;

	ar_json_set(input, AR_STR("t"), ar_json_str(pool, text));
	must(ar_fields_check(pool, fields, input, 0, &checked) == 0 || ar_err_is(AR_E_INVALID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_str text = { (const char *)data, size }, pattern = ar_str_cut(&text, '\n');
	struct ar_pool *pool = ar_pool_new();

	/* as data.collections.put takes it: 200 code points of UTF-8 */
	if (ar_utf8_valid(pattern) && ar_utf8_len(pattern) <= 200 && data_pattern_valid(pattern) &&
	    ar_utf8_valid(text))
		match(pool, pattern, text);
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}
