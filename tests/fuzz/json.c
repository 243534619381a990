/*
 * libFuzzer: JSON text, and field tables on what was read.
 *
 * What is read is written, read again, and must be equal and written the same; a checked object must
 * pass the check again unchanged. Run: build/tests/fuzz/fuzz_json -max_total_time=60
 */
#include "json/field.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"{\"name\":\"abc\",\"email\":\"A.b@Example.CN\",\"n\":3.0,\"when\":\"2026-01-01T00:00:00+"
	"08:00\"}",
	"[1,-2.5e-3,1e308,9223372036854775807,true,false,null,\"\\ud83d\\ude00\\n\\\"\"]",
	"{\"a\":{\"b\":{\"c\":[[],{},\"\"]}},\"list\":[\"a\",\"b\"],\"any\":{\"x\":[0.1,5e-324]}}",
	"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":"
	"11,"
	"\"l\":12,\"m\":13,\"o\":14,\"p\":15,\"q\":16,\"r\":17,\"s\":18}",
	"{\"a\":{\"c\":\"ab.123x\"},\"day\":\"2024-02-29\"}",
	"\"\\u00e9 中文 \\\\ud800\"",
};

static const struct ar_field nested[] = {
	AR_FIELD_FREE("b", AR_F_JSON),
	AR_FIELD_FREE("c", AR_F_TEXT, .pattern = "[a-z]+\\.[0-9]{2,4}.*"),
	{ 0 },
};

static const struct ar_field fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = 10),
	AR_FIELD_FREE("email", AR_F_EMAIL),
	AR_FIELD_FREE("n", AR_F_INT, .min = -5, .max = 100, .otherwise = "7"),
	AR_FIELD_FREE("when", AR_F_TIME, .nullable = true),
	AR_FIELD_FREE("day", AR_F_DATE),
	AR_FIELD_FREE("f", AR_F_FLOAT),
	AR_FIELD_FREE("a", AR_F_OBJECT, .fields = nested),
	AR_FIELD_FREE("list", AR_F_ARRAY, .max = 3, .items = AR_ITEM(AR_F_TEXT, .max = 5)),
	AR_FIELD_FREE("any", AR_F_JSON),
	{ 0 },
};

static struct ar_json *again(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_str text = ar_json_print(pool, value);
	struct ar_json *back;

	must(ar_utf8_valid(text));
	must(ar_json_parse(pool, text, NULL, &back) == 0);
	must(ar_json_equal(value, back));
	must(ar_str_eq(text, ar_json_print(pool, back)));
	return back;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *value, *checked, *twice;

	if (ar_json_parse(pool, ar_str_n((const char *)data, size), NULL, &value) == 0) {
		again(pool, value);
		must(ar_json_equal(ar_json_copy(pool, value), value));
		if (ar_fields_check(pool, fields, value, AR_FIELDS_DROP_UNKNOWN, &checked) == 0) {
			must(ar_fields_check(pool, fields, again(pool, checked), 0, &twice) == 0);
			must(ar_json_equal(checked, twice));
		}
		ar_json_merge(pool, ar_json_copy(pool, value), value);
	}
	ar_pool_free(pool);
	return 0;
}

FUZZ_SEEDS(seeds)
