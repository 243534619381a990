/*
 * Field tables: one table checks, decodes, prints and documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/json_int.h"

static struct ar_pool *pool;

static int setup(void **state)
{
	pool = ar_pool_new();
	return 0;
}

static int teardown(void **state)
{
	ar_pool_free(pool);
	return 0;
}

struct thing {
	struct ar_str id, name, email, day, kind, secret, nick;
	int64_t n, created_ms, gone_ms;
	bool on;
	double rate;
	struct ar_json *any, *object, *list;
};

static const char *no_fives(const struct ar_field *field, const struct ar_json *value)
{
	return value->i % 5 == 0 ? "step" : NULL;
}

static const struct ar_field address_fields[] = {
	AR_FIELD_FREE("city", AR_F_TEXT, .max = 10, .required = true),
	AR_FIELD_FREE("zip", AR_F_TEXT, .pattern = "[0-9]{4,6}"),
	{ 0 },
};

static const struct ar_field thing_fields[] = {
	AR_FIELD(struct thing, id, AR_F_ID, .read_only = true),
	AR_FIELD(struct thing, name, AR_F_TEXT, .min = 2, .max = 5, .required = true,
		 .help = "What it is called"),
	AR_FIELD(struct thing, email, AR_F_EMAIL),
	AR_FIELD(struct thing, n, AR_F_INT, .min = -2, .max = 7, .check = no_fives),
	AR_FIELD(struct thing, on, AR_F_BOOL, .otherwise = "true"),
	AR_FIELD(struct thing, rate, AR_F_FLOAT, .min = 0, .max = 1, .nullable = true),
	AR_FIELD(struct thing, day, AR_F_DATE),
	AR_FIELD_NAMED(struct thing, created_ms, "created", AR_F_TIME),
	AR_FIELD_NAMED(struct thing, gone_ms, "gone", AR_F_TIME, .nullable = true),
	AR_FIELD(struct thing, kind, AR_F_ENUM, .otherwise = "\"cat\"",
		 .values = (const char *const[]){ "cat", "dog", NULL }),
	AR_FIELD(struct thing, nick, AR_F_TEXT, .nullable = true),
	AR_FIELD(struct thing, any, AR_F_JSON),
	AR_FIELD(struct thing, object, AR_F_OBJECT, .fields = address_fields),
	AR_FIELD(struct thing, list, AR_F_ARRAY, .max = 3, .items = AR_ITEM(AR_F_EMAIL)),
	AR_FIELD(struct thing, secret, AR_F_TEXT, .secret = true),
	AR_FIELD_FREE("grid", AR_F_ARRAY,
		      .items = AR_ITEM(AR_F_ARRAY, .min = 1, .items = AR_ITEM(AR_F_INT))),
	AR_FIELD_FREE("options", AR_F_OBJECT, .max = 2, .otherwise = "{\"a\":[1,\"\\u0062\"]}"),
	AR_FIELD_FREE("floor", AR_F_INT, .min = 1, .query = true),
	{ 0 },
};

static struct ar_json *read(const char *text)
{
	struct ar_json *value = NULL;

	if (ar_json_parse(pool, ar_str(text), NULL, &value) != 0)
		fail_msg("%s", text);
	return value;
}

static const char *refused(void)
{
	const char *all = "";

	assert_ptr_equal(ar_err()->def, AR_E_INVALID);
	assert_null(ar_err()->below);
	for (const struct ar_err_field *f = ar_err()->fields; f != NULL; f = f->next) {
		all = ar_printf(pool, "%s%s%s=%s", all, *all ? " " : "", f->path, f->code);
		for (const struct ar_err_param *p = f->params; p != NULL; p = p->next)
			all = ar_printf(pool, "%s(%s %s)", all, p->key, p->value);
	}
	return all;
}

#define REST ",\"on\":true,\"kind\":\"cat\",\"options\":{\"a\":[1,\"b\"]}}"

static const struct {
	const char *input;
	unsigned flags;
	const char *result, *refused;
} checks[] = {
	{ "{\"name\":\"abc\"}", 0, "{\"name\":\"abc\"" REST, NULL },
	{ "{\"name\":\"中文中文中\"}", 0, "{\"name\":\"中文中文中\"" REST, NULL },
	{ "{}", AR_FIELDS_PARTIAL, "{}", NULL },
	{ "{\"n\":3.0,\"rate\":1,\"created\":\"2026-01-02T03:04:05+02:00\",\"gone\":null}",
	  AR_FIELDS_PARTIAL,
	  "{\"n\":3,\"rate\":1,\"created\":\"2026-01-02T01:04:05.000Z\",\"gone\":null}", NULL },
	{ "{\"email\":\" Li.Wei@Example.COM \",\"list\":[\"a@B.cn\"]}", AR_FIELDS_PARTIAL,
	  "{\"email\":\"Li.Wei@example.com\",\"list\":[\"a@b.cn\"]}", NULL },
	{ "{\"x\":1,\"id\":2,\"on\":false}",
	  AR_FIELDS_PARTIAL | AR_FIELDS_DROP_UNKNOWN | AR_FIELDS_DROP_READ_ONLY, "{\"on\":false}",
	  NULL },
	{ "{\"any\":null,\"grid\":[[1],[2,3]],\"options\":{}}", AR_FIELDS_PARTIAL,
	  "{\"any\":null,\"grid\":[[1],[2,3]],\"options\":{}}", NULL },
	{ "{\"object\":{\"zip\":\"1234\"}}", AR_FIELDS_PARTIAL, "{\"object\":{\"zip\":\"1234\"}}",
	  NULL },
	{ "{\"floor\":1}", AR_FIELDS_PARTIAL, "{\"floor\":1}", NULL },
	{ "{\"floor\":9223372036854775807}", AR_FIELDS_PARTIAL, "{\"floor\":9223372036854775807}",
	  NULL },

	{ "{}", 0, NULL, "name=required" },
	{ "{\"name\":null}", 0, NULL, "name=null" },
	{ "{\"name\":1}", 0, NULL, "name=type(type string)" },
	{ "{\"name\":\"a\"}", 0, NULL, "name=too-short(min 2)" },
	{ "{\"name\":\"中文中文中文\"}", 0, NULL, "name=too-long(max 5)" },
	{ "{\"id\":\"x\",\"what\":1,\"name\":\"abc\"}", 0, NULL, "what=unknown id=read-only" },
	{ "{\"n\":\"3\"}", 1, NULL, "n=type(type integer)" },
	{ "{\"n\":3.5}", 1, NULL, "n=type(type integer)" },
	{ "{\"n\":1e300}", 1, NULL, "n=type(type integer)" },
	{ "{\"n\":-3}", 1, NULL, "n=too-small(min -2)" },
	{ "{\"n\":8}", 1, NULL, "n=too-large(max 7)" },
	{ "{\"n\":5}", 1, NULL, "n=step" },
	{ "{\"on\":1}", 1, NULL, "on=type(type boolean)" },
	{ "{\"on\":\"true\"}", 1, NULL, "on=type(type boolean)" },
	{ "{\"rate\":1.5}", 1, NULL, "rate=too-large(max 1)" },
	{ "{\"rate\":-0.1}", 1, NULL, "rate=too-small(min 0)" },
	{ "{\"rate\":true}", 1, NULL, "rate=type(type number)" },
	{ "{\"day\":\"2026-02-30\"}", 1, NULL, "day=date" },
	{ "{\"created\":\"yesterday\"}", 1, NULL, "created=time" },
	{ "{\"created\":1}", 1, NULL, "created=type(type string)" },
	{ "{\"kind\":\"cow\"}", 1, NULL, "kind=enum(values cat, dog)" },
	{ "{\"email\":\"no\"}", 1, NULL, "email=email" },
	{ "{\"object\":[]}", 1, NULL, "object=type(type object)" },
	{ "{\"object\":{\"city\":\"far too long\",\"zip\":\"12a4\",\"x\":1}}", 1, NULL,
	  "object.x=unknown object.city=too-long(max 10) object.zip=pattern(pattern [0-9]{4,6})" },
	{ "{\"name\":\"ab\",\"object\":{}}", 0, NULL, "object.city=required" },
	{ "{\"list\":[\"a@b.c\",1,\"x\"]}", 1, NULL, "list.1=type(type string) list.2=email" },
	{ "{\"list\":[1,2,3,4]}", 1, NULL, "list=too-many(max 3)" },
	{ "{\"list\":{}}", 1, NULL, "list=type(type array)" },
	{ "{\"grid\":[[1],[],[\"x\"]]}", 1, NULL,
	  "grid.1=too-few(min 1) grid.2.0=type(type integer)" },
	{ "{\"options\":{\"a\":1,\"b\":2,\"c\":3}}", 1, NULL, "options=too-many(max 2)" },
	{ "{\"floor\":0}", 1, NULL, "floor=too-small(min 1)" },
	{ "[]", 0, NULL, "=type(type object)" },
};

static void checks_inputs(void **state)
{
	for (size_t i = 0; i < AR_COUNT(checks); i++) {
		struct ar_json *result = NULL;
		int r = ar_fields_check(pool, thing_fields, read(checks[i].input), checks[i].flags,
					&result);

		if (r != (checks[i].result != NULL ? 0 : -1))
			fail_msg("%s: %d", checks[i].input, r);
		if (r == 0)
			assert_string_equal(ar_strz(pool, ar_json_print(pool, result)),
					    checks[i].result);
		else
			assert_string_equal(refused(), checks[i].refused);
	}
	assert_int_equal(ar_fields_check(pool, thing_fields, NULL, 0, &(struct ar_json *){ NULL }),
			 -1);
	assert_string_equal(refused(), "name=required");
}

/* The result is the input again, and checking it again changes nothing. */
static void is_idempotent(void **state)
{
	struct ar_json *once, *twice;

	assert_int_equal(ar_fields_check(pool, thing_fields,
					 read("{\"name\":\"abc\",\"email\":\"A@B.cn\",\"n\":1.0,"
					      "\"created\":\"2026-01-01\"}"),
					 0, &once),
			 0);
	assert_int_equal(ar_fields_check(pool, thing_fields, once, 0, &twice), 0);
	assert_true(ar_json_equal(once, twice));
}

/* What Lua or a workflow may hand in, JSON could not: bytes, NUL, depth, NaN. */
static void distrusts_every_face(void **state)
{
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *deep = ar_json_new(pool, AR_ARRAY);
	struct ar_json *list = ar_json_new(pool, AR_ARRAY), *result;

	ar_json_set(input, ar_str("name"), ar_json_str(pool, ar_str("a\xff")));
	ar_json_set(input, ar_str("nick"), ar_json_str(pool, AR_STR("a\0b")));
	ar_json_set(input, ar_str("rate"), ar_json_float(pool, 0.0 / 0.0));
	ar_json_add(list, ar_json_str(pool, ar_str("\xff")));
	ar_json_set(input, ar_str("any"), list);
	assert_int_equal(ar_fields_check(pool, thing_fields, input, 0, &result), -1);
	assert_string_equal(refused(),
			    "name=encoding rate=type(type number) nick=characters any=encoding");

	input = read("{\"name\":\"abc\"}");
	for (int i = 0; i < 100; i++) {
		struct ar_json *outer = ar_json_new(pool, AR_ARRAY);

		ar_json_add(outer, deep);
		deep = outer;
	}
	ar_json_set(input, ar_str("any"), deep);
	assert_int_equal(ar_fields_check(pool, thing_fields, input, 0, &result), -1);
	assert_string_equal(refused(), "any=too-deep");
}

static void stops_at_twenty(void **state)
{
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *result;
	int n = 0;

	for (int i = 0; i < 50; i++)
		ar_json_set(input, ar_strf(pool, "x%d", i), ar_json_int(pool, i));
	assert_int_equal(ar_fields_check(pool, thing_fields, input, 0, &result), -1);
	for (const struct ar_err_field *f = ar_err()->fields; f != NULL; f = f->next)
		n++;
	assert_int_equal(n, 20);
}

#define ID "0190163d-8694-739b-aea5-966c26f8ad91"

static void decodes_and_prints(void **state)
{
	struct ar_json *input, *keep = read("{\"k\":1}");
	struct thing t = { .rate = 9, .nick = ar_str("old"), .any = keep, .n = 4 };
	struct ar_buf *buf = ar_buf_new(pool, 10000);
	struct ar_json value;
	uint64_t present;
	struct ar_jw w;

	assert_int_equal(ar_fields_check(pool, thing_fields,
					 read("{\"name\":\"abc\",\"rate\":null,\"secret\":\"s\","
					      "\"created\":\"2026-11-24T16:09:00.123Z\","
					      "\"grid\":[]}"),
					 0, &input),
			 0);
	assert_int_equal(ar_fields_decode(pool, thing_fields, input, &t, &present), 0);
	t.id = ar_str(ID);
	assert_int_equal(present,
			 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14 | 1 << 15 | 1 << 16);
	assert_true(ar_str_is(t.secret, "s"));
	ar_jw_init(&w, buf);
	ar_fields_print(&w, thing_fields, &t);
	assert_string_equal(
		ar_strz(pool, ar_buf_view(buf)),
		"{\"id\":\"" ID "\",\"name\":\"abc\",\"email\":\"\",\"n\":4,\"on\":true,\"rate\":0,"
		"\"day\":\"\",\"created\":\"2026-11-24T16:09:00.123Z\",\"gone\":null,"
		"\"kind\":\"cat\",\"nick\":\"old\",\"any\":{\"k\":1},\"object\":{},\"list\":[]}");

	value = ar_field_value(&thing_fields[7], &t);
	assert_true(value.type == AR_INT && value.i == 1795536540123);
	assert_int_equal(ar_field_value(&thing_fields[8], &t).type, AR_NULL);
	assert_int_equal(ar_field_value(&thing_fields[11], &t).type, AR_OBJECT);
	assert_int_equal(ar_field_value(&thing_fields[12], &t).type, AR_NULL);
	assert_true(ar_str_is(ar_field_value(&thing_fields[1], &t).s, "abc"));
}

static void describes(void **state)
{
	struct ar_buf *buf = ar_buf_new(pool, 10000);
	struct ar_json *schema;
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_fields_schema(&w, thing_fields, true);
	assert_int_equal(ar_json_parse(pool, ar_buf_view(buf), NULL, &schema), 0);
	assert_null(ar_json_path(schema, ar_str("properties.id")));
	assert_true(
		ar_json_truth(ar_json_path(schema, ar_str("properties.secret")), "writeOnly", 0));
	assert_false(ar_json_truth(schema, "additionalProperties", true));
#define IS(path, text) assert_true(ar_json_equal(ar_json_path(schema, ar_str(path)), read(text)))
	IS("required", "[\"name\"]");
	IS("properties.name", "{\"type\":\"string\",\"minLength\":2,\"maxLength\":5,"
			      "\"description\":\"What it is called\"}");
	IS("properties.n",
	   "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":-2,\"maximum\":7}");
	IS("properties.rate.type", "[\"number\",\"null\"]");
	IS("properties.rate.minimum", "0");
	IS("properties.kind",
	   "{\"type\":\"string\",\"enum\":[\"cat\",\"dog\"],\"default\":\"cat\"}");
	IS("properties.any", "{}");
	IS("properties.grid", "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"minItems\":1,"
			      "\"items\":{\"type\":\"integer\",\"format\":\"int64\"}}}");
	IS("properties.object.properties.zip",
	   "{\"type\":\"string\",\"pattern\":\"^[0-9]{4,6}$\"}");
	IS("properties.object.required", "[\"city\"]");
	IS("properties.created.format", "\"date-time\"");
	IS("properties.floor.minimum", "1");
	assert_null(ar_json_path(schema, ar_str("properties.floor.maximum")));

	buf->n = 0;
	ar_jw_init(&w, buf);
	ar_fields_schema(&w, thing_fields, false);
	assert_int_equal(ar_json_parse(pool, ar_buf_view(buf), NULL, &schema), 0);
	assert_null(ar_json_path(schema, ar_str("properties.secret")));
	assert_true(ar_json_truth(ar_json_path(schema, ar_str("properties.id")), "readOnly", 0));
	assert_int_equal(ar_json_get(schema, "required")->count, 14);
}

static void reads_texts(void **state)
{
	static const struct {
		enum ar_field_type type;
		const char *text, *value;
	} rows[] = {
		{ AR_F_INT, "12", "12" },
		{ AR_F_INT, "-9223372036854775808", "-9223372036854775808" },
		{ AR_F_INT, "12x", "\"12x\"" },
		{ AR_F_INT, "", "\"\"" },
		{ AR_F_FLOAT, "1.50", "1.5" },
		{ AR_F_FLOAT, "nan", "\"nan\"" },
		{ AR_F_BOOL, "true", "true" },
		{ AR_F_BOOL, "false", "false" },
		{ AR_F_BOOL, "1", "\"1\"" },
		{ AR_F_TEXT, "12", "\"12\"" },
		{ AR_F_ARRAY, "a,b", "[\"a\",\"b\"]" },
		{ AR_F_ARRAY, "", "[]" },
		{ AR_F_ARRAY, "[1,\"x\"]", "[1,\"x\"]" },
		{ AR_F_ARRAY, "[1", "\"[1\"" },
		{ AR_F_OBJECT, "{\"a\":1}", "{\"a\":1}" },
		{ AR_F_JSON, "null", "null" },
		{ AR_F_JSON, "abc", "\"abc\"" },
	};
	struct ar_json *object =
		read("{\"n\":\"3\",\"name\":\"7\",\"zzz\":\"1\",\"on\":\"false\"}");

	ar_err_clear();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_field f = { .name = "x", .type = rows[i].type };
		struct ar_json *value = ar_field_from_text(pool, &f, ar_str(rows[i].text));

		assert_string_equal(ar_strz(pool, ar_json_print(pool, value)), rows[i].value);
		assert_null(ar_err());
	}
	ar_fields_from_text(pool, thing_fields, object);
	assert_string_equal(ar_strz(pool, ar_json_print(pool, object)),
			    "{\"n\":3,\"name\":\"7\",\"zzz\":\"1\",\"on\":false}");
}

static void matches_patterns(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} rows[] = {
		{ "[a-z0-9][a-z0-9-]{0,3}", "a-b", true },
		{ "[a-z0-9][a-z0-9-]{0,3}", "-ab", false },
		{ "[a-z0-9][a-z0-9-]{0,3}", "abcde", false },
		{ "[a-z0-9][a-z0-9-]{0,3}", "", false },
		{ "a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", true },
		{ "x?y+z{2}", "yyzz", true },
		{ "x?y+z{2}", "xzz", false },
		{ "[^/]+/.{2,}", "中文/ab", true },
		{ "[^/]+/.{2,}", "a/b/c", true },
		{ "[^/]+/.{2,}", "/ab", false },
		{ "\\.[\\]x]", ".]", true },
		{ "\\.[\\]x]", "x]", false },
		{ "[一-龥]{2}", "中文", true },
		{ "[一-龥]{2}", "ab", false },
		{ ".", "\n", false },
		{ ".", "😀", true },
		{ "", "", true },
		{ "", "a", false },
	};
	char *longest = malloc(2000);

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (pattern_match(rows[i].pattern, ar_str(rows[i].text)) != rows[i].match)
			fail_msg("%s %s", rows[i].pattern, rows[i].text);
	}
	memset(longest, 'a', 2000);
	assert_true(pattern_match(".*", ar_str_n(longest, 1024)));
	assert_true(pattern_match("a*.+[a]*", ar_str_n(longest, 1024)));
	assert_false(pattern_match(".*", ar_str_n(longest, 1025)));
	free(longest);
}

static void knows_addresses(void **state)
{
	static const char *const good[] = { "a@b.cn",      "li.wei+x@mail.example.com",
					    "o'x@a-b.org", "李@例子.中国",
					    "é@x.fr",      "a_b-c@1.2.com" };
	static const char *const bad[] = { "",
					   "@",
					   "a",
					   "a@",
					   "@b.cn",
					   "a@b",
					   "a@@b.cn",
					   "a@b@c.cn",
					   ".a@b.cn",
					   "a.@b.cn",
					   "a..b@c.cn",
					   "a@-b.cn",
					   "a@b-.cn",
					   "a@b..cn",
					   "a@b.cn.",
					   "a@.cn",
					   "a b@c.cn",
					   "a@b c.cn",
					   "a\n@b.cn",
					   "a@b.cn\r\nBcc: x@y.z",
					   "\"a\"@b.cn",
					   "a@1.2.3.4",
					   "a@[1.2.3.4]",
					   "a@b.c\xff",
					   "a\xe2\x80\xae@b.cn",
					   "a\xe3\x80\x80@b.cn",
					   "a<b@c.cn",
					   "a,b@c.cn" };

	for (size_t i = 0; i < AR_COUNT(good); i++) {
		if (!ar_email_valid(ar_str(good[i])))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < AR_COUNT(bad); i++) {
		if (ar_email_valid(ar_str(bad[i])))
			fail_msg("%s", bad[i]);
	}
	assert_false(ar_email_valid(AR_STR("a\0@b.cn")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checks_inputs, setup, teardown),
		cmocka_unit_test_setup_teardown(is_idempotent, setup, teardown),
		cmocka_unit_test_setup_teardown(distrusts_every_face, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_at_twenty, setup, teardown),
		cmocka_unit_test_setup_teardown(decodes_and_prints, setup, teardown),
		cmocka_unit_test_setup_teardown(describes, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(matches_patterns, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
