/*
 * yaml.c - YAML as JSON values: what is read, and what is refused with which words.
 */
#include "tests/harness/test.h"
#include "workflow/workflow_int.h"

static int parse(struct ar_pool *pool, struct ar_str text, struct ar_str *ret)
{
	struct ar_json *json;

	if (workflow_yaml_read(pool, text, &json) != 0)
		return -1;
	*ret = ar_json_print(pool, json);
	return 0;
}

static void reads(void **state)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "a: 1\nb: two\n", "{\"a\":1,\"b\":\"two\"}" },
		{ "\xef\xbb\xbf"
		  "a: 1",
		  "{\"a\":1}" },
		{ "- 1\n- [a, b]\n- {c: d}\n", "[1,[\"a\",\"b\"],{\"c\":\"d\"}]" },
		{ "on: x\nyes: no\n", "{\"on\":\"x\",\"yes\":\"no\"}" },
		{ "1. validate_input:\n    service: data-model\n",
		  "{\"1. validate_input\":{\"service\":\"data-model\"}}" },
		{ "[true, True, FALSE, null, ~, 'true', \"1\"]",
		  "[true,true,false,null,null,\"true\",\"1\"]" },
		{ "[0, -0, +7, 007, 0x1F, 0o17, -12]", "[0,0,7,7,31,15,-12]" },
		{ "[1.5, .5, 5., -1e3, +2.5E+2, 1e-2]", "[1.5,0.5,5,-1000,250,0.01]" },
		{ "[0x, 0xZ, 0o8, 1.2.3, 1e, ., -, +, 1_000, 12:30, 2026-11-24, e5]",
		  "[\"0x\",\"0xZ\",\"0o8\",\"1.2.3\",\"1e\",\".\",\"-\",\"+\",\"1_000\",\"12:30\","
		  "\"2026-11-24\",\"e5\"]" },
		{ "[9223372036854775807, -9223372036854775808, 0x7fffffffffffffff]",
		  "[9223372036854775807,-9223372036854775808,9223372036854775807]" },
		{ "a: |\n  two\n  lines\nb: >\n  folded\n  text\n",
		  "{\"a\":\"two\\nlines\\n\",\"b\":\"folded text\\n\"}" },
		{ "---\na: \"\\u4f60\\u597d\"\n...\n", "{\"a\":\"你好\"}" },
		{ "a:\nb: ''\n", "{\"a\":null,\"b\":\"\"}" },
		{ "# only\na: 'it''s' # a comment\n", "{\"a\":\"it's\"}" },
		{ "just text", "\"just text\"" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_str json;

		assert_ok(parse(pool, ar_str(rows[i].yaml), &json));
		assert_str(json, rows[i].json);
		ar_pool_free(pool);
	}
}

static void refuses(void **state)
{
	static const struct {
		struct ar_str yaml;
		const char *slug, *reason, *line; /* NULL: libyaml's own words */
	} rows[] = {
		{ AR_STR(""), "workflow/yaml", "empty", "1" },
		{ AR_STR("# nothing\n"), "workflow/yaml", "empty", NULL },
		{ AR_STR("\xef\xbb\xbf"), "workflow/yaml", "empty", "1" },
		{ AR_STR("a: &x 1\nb: *x\n"), "workflow/yaml",
		  "anchors, aliases and tags are not taken", "1" },
		{ AR_STR("a: !!str 1\n"), "workflow/yaml",
		  "anchors, aliases and tags are not taken", "1" },
		{ AR_STR("a: 1\n!t b: 1\n"), "workflow/yaml",
		  "anchors, aliases and tags are not taken", "2" },
		{ AR_STR("&a k: 1\n"), "workflow/yaml", "anchors, aliases and tags are not taken",
		  "1" },
		{ AR_STR("a: 1\nb: 2\na: 3\n"), "workflow/yaml", "the same key twice", "3" },
		{ AR_STR("? [a]\n: 1\n"), "workflow/yaml", "a key must be a text", "1" },
		{ AR_STR("a: 1\n---\nb: 2\n"), "workflow/yaml", "more than one document", "2" },
		{ AR_STR("a: .inf\n"), "workflow/yaml", "a number has no end", "1" },
		{ AR_STR("a: -.INF\n"), "workflow/yaml", "a number has no end", "1" },
		{ AR_STR("a: .nan\n"), "workflow/yaml", "a number has no end", "1" },
		{ AR_STR("a: 1e999\n"), "workflow/yaml", "a number is too large", "1" },
		{ AR_STR("a: 9223372036854775808\n"), "workflow/yaml", "a number is too large",
		  "1" },
		{ AR_STR("a: 0xffffffffffffffff\n"), "workflow/yaml", "a number is too large",
		  "1" },
		{ AR_STR("a: \"x\\0y\"\n"), "workflow/yaml", "a text has a NUL", "1" },
		{ AR_STR("\"\\0\": 1\n"), "workflow/yaml", "a text has a NUL", "1" },
		{ AR_STR("a: \"\\ud800\"\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("a: [1\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("a: 'x\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("\ta: 1\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("a: b: c\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("*x\n"), "workflow/yaml", NULL, NULL },
		{ AR_STR("a: x\0y\n"), "malformed", "not valid UTF-8, or a NUL", NULL },
		{ AR_STR("a: \xc0\x80\n"), "malformed", "not valid UTF-8, or a NUL", NULL },
		{ AR_STR("a: \xed\xa0\x80\n"), "malformed", "not valid UTF-8, or a NUL", NULL },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_str json;

		ar_err_clear();
		if (parse(pool, rows[i].yaml, &json) == 0)
			fail_msg("row %zu was read: %.*s", i, AR_FMT(json));
		assert_string_equal(ar_err()->def->slug, rows[i].slug);
		if (rows[i].reason != NULL)
			assert_string_equal(ar_err_param(ar_err(), "reason"), rows[i].reason);
		if (rows[i].line != NULL)
			assert_string_equal(ar_err_param(ar_err(), "line"), rows[i].line);
		ar_err_clear();
		ar_pool_free(pool);
	}
}

static void refused_for(struct ar_buf *buf, const char *reason)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_str json;

	ar_err_clear();
	assert_int_equal(parse(pool, ar_buf_view(buf), &json), -1);
	assert_string_equal(ar_err_param(ar_err(), "reason"), reason);
	ar_err_clear();
	ar_pool_free(pool);
	buf->n = 0;
}

static void is_bounded(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, (size_t)1 << 20);
	struct ar_str json;

	for (int i = 0; i < 33; i++)
		ar_buf_z(buf, "[");
	refused_for(buf, "too deep");
	for (int i = 0; i < 100000; i++)
		ar_buf_z(buf, "[");
	refused_for(buf, "too deep");
	for (int i = 0; i < 33; i++)
		ar_buf_printf(buf, "%*sa:\n", i, "");
	refused_for(buf, "too deep");
	ar_buf_z(buf, "[");
	for (int i = 0; i < 10001; i++)
		ar_buf_z(buf, "1,");
	ar_buf_z(buf, "1]");
	refused_for(buf, "too many values");
	for (int i = 0; i < 1001; i++)
		ar_buf_printf(buf, "k%d: 1\n", i);
	refused_for(buf, "too many members");
	for (int i = 0; i < 32; i++)
		ar_buf_z(buf, "[");
	for (int i = 0; i < 32; i++)
		ar_buf_z(buf, "]");
	assert_ok(parse(pool, ar_buf_view(buf), &json));
	buf->n = 0;
	while (buf->n <= WORKFLOW_SOURCE_MAX)
		ar_buf_z(buf, "# a comment that says nothing\n");
	assert_fails(parse(pool, ar_buf_view(buf), &json), AR_E_TOO_LARGE);
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
