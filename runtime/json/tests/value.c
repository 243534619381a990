/*
 * The dynamic value: look-ups, changes, copies, equality, merge patches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/json.h"

static struct ar_pool *pool;

static struct ar_json *read(const char *text)
{
	struct ar_json *value = NULL;

	if (ar_json_parse(pool, ar_str(text), NULL, &value) != 0)
		fail_msg("%s", text);
	return value;
}

static const char *print(const struct ar_json *value)
{
	return ar_strz(pool, ar_json_print(pool, value));
}

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

static void finds(void **state)
{
	struct ar_json *v =
		read("{\"a\":{\"b\":[10,{\"c\":\"x\"}]},\"n\":null,\"t\":true,\"i\":5,\"\":9}");

	assert_string_equal(print(ar_json_path(v, ar_str("a.b.1.c"))), "\"x\"");
	assert_int_equal(ar_json_path(v, ar_str("a.b.0"))->i, 10);
	assert_ptr_equal(ar_json_path(v, AR_STR_NONE), v);
	assert_null(ar_json_path(v, ar_str("a.b.2")));
	assert_null(ar_json_path(v, ar_str("a.b.-1")));
	assert_null(ar_json_path(v, ar_str("a.b.x")));
	assert_null(ar_json_path(v, ar_str("a.x.c")));
	assert_null(ar_json_path(v, ar_str("i.x")));
	assert_null(ar_json_path(v, ar_str("a.b.99999999999999999999")));
	assert_int_equal(ar_json_get(v, "")->i, 9);
	assert_null(ar_json_get(ar_json_get(v, "i"), "x"));
	assert_null(ar_json_get(NULL, "x"));
	assert_true(ar_json_truth(v, "t", false));
	assert_true(ar_json_truth(v, "i", true)); /* not a bool */
	assert_int_equal(ar_json_number(v, "i", 1), 5);
	assert_int_equal(ar_json_number(v, "t", 1), 1);
	assert_true(ar_str_is(ar_json_text(v, "i", ar_str("none")), "none"));
}

static void changes(void **state)
{
	struct ar_json *v = ar_json_new(pool, AR_OBJECT);
	struct ar_json *list = ar_json_new(pool, AR_ARRAY);

	ar_json_set(v, ar_str("a"), ar_json_int(pool, 1));
	ar_json_set(v, ar_str("b"), ar_json_bool(pool, true));
	ar_json_set(v, ar_str("c"), ar_json_float(pool, 0.5));
	ar_json_set(v, ar_str("b"), ar_json_str(pool, ar_str("new")));
	ar_json_set(v, ar_str("c"), ar_json_new(pool, AR_NULL));
	assert_string_equal(print(v), "{\"a\":1,\"b\":\"new\",\"c\":null}");
	assert_int_equal(v->count, 3);
	assert_true(ar_json_remove(v, ar_str("c"))); /* the last: appending still works */
	ar_json_set(v, ar_str("d"), list);
	assert_true(ar_json_remove(v, ar_str("a"))); /* the first */
	assert_false(ar_json_remove(v, ar_str("a")));
	assert_false(ar_json_remove(list, ar_str("a")));
	ar_json_add(list, ar_json_int(pool, 1));
	ar_json_add(list, ar_json_int(pool, 2));
	assert_string_equal(print(v), "{\"b\":\"new\",\"d\":[1,2]}");
	assert_int_equal(v->count, 2);
	assert_true(ar_json_remove(v, ar_str("d")) && ar_json_remove(v, ar_str("b")));
	ar_json_set(v, ar_str("e"), ar_json_int(pool, 7));
	assert_string_equal(print(v), "{\"e\":7}");
}

static void copies_deep(void **state)
{
	char text[] = "{\"a\":[1,{\"b\":\"x\"}],\"f\":1.5,\"n\":null,\"t\":true}";
	struct ar_json *v = read(text);
	struct ar_pool *other = ar_pool_new();
	struct ar_json *copy = ar_json_copy(other, v);

	memset(text, '#', sizeof(text) - 1); /* the copy does not look at the text any more */
	assert_string_equal(print(copy),
			    "{\"a\":[1,{\"b\":\"x\"}],\"f\":1.5,\"n\":null,\"t\":true}");
	ar_pool_free(other);
}

static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{ "1", "1.0", true },
	{ "1.0", "1", true },
	{ "1", "1.5", false },
	{ "9007199254740993", "9007199254740992.0", false },
	{ "9223372036854775807", "9223372036854775808.0", false },
	{ "-9223372036854775808", "-9223372036854775808.0", true },
	{ "0", "-0.0", true },
	{ "1", "true", false },
	{ "null", "0", false },
	{ "\"a\"", "\"a\"", true },
	{ "\"a\"", "\"b\"", false },
	{ "[1,2]", "[1,2]", true },
	{ "[1,2]", "[2,1]", false },
	{ "[1,2]", "[1]", false },
	{ "{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"a\":1}", true },
	{ "{\"a\":1}", "{\"a\":1,\"b\":1}", false },
	{ "{\"a\":1,\"b\":1}", "{\"a\":1,\"c\":1}", false },
	{ "{\"a\":null}", "{}", false },
};

static void compares(void **state)
{
	struct ar_json *forward = ar_json_new(pool, AR_OBJECT);
	struct ar_json *backward = ar_json_new(pool, AR_OBJECT);

	for (size_t i = 0; i < AR_COUNT(pairs); i++) {
		if (ar_json_equal(read(pairs[i].a), read(pairs[i].b)) != pairs[i].equal)
			fail_msg("%s %s", pairs[i].a, pairs[i].b);
	}
	for (int i = 0; i < 20000; i++) { /* linear: quadratic would take minutes here */
		struct ar_json *a = ar_json_int(pool, i), *b = ar_json_int(pool, 19999 - i);

		a->key = ar_strf(pool, "k%d", i);
		b->key = ar_strf(pool, "k%d", 19999 - i);
		ar_json_add(forward, a);
		ar_json_add(backward, b);
	}
	assert_true(ar_json_equal(forward, backward));
	backward->last->i = 1;
	assert_false(ar_json_equal(forward, backward));
}

/* Appendix A of RFC 7386. */
static const struct {
	const char *target, *patch, *result;
} merges[] = {
	{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
	{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
	{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
	{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
	{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
	{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
	{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
	{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
	{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
	{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
	{ "{\"a\":\"foo\"}", "null", "null" },
	{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
	{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
	{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
	{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
};

static void merges_patches(void **state)
{
	struct ar_json *big = ar_json_new(pool, AR_OBJECT), *none = ar_json_new(pool, AR_OBJECT);
	struct ar_json *target;

	for (size_t i = 0; i < AR_COUNT(merges); i++) {
		struct ar_json *got =
			ar_json_merge(pool, read(merges[i].target), read(merges[i].patch));

		assert_string_equal(print(got), merges[i].result);
	}
	assert_string_equal(print(ar_json_merge(pool, NULL, read("{\"a\":1,\"b\":null}"))),
			    "{\"a\":1}");
	for (int i = 0; i < 20000; i++) { /* through the index, in linear time */
		struct ar_json *a = ar_json_int(pool, i), *b = ar_json_new(pool, AR_NULL);

		a->key = b->key = ar_strf(pool, "k%d", 19999 - i);
		ar_json_add(big, a);
		if (i != 5)
			ar_json_add(none, b);
	}
	target = ar_json_merge(pool, NULL, big);
	assert_int_equal(target->count, 20000);
	assert_true(ar_json_equal(ar_json_merge(pool, target, big), big));
	assert_string_equal(print(ar_json_merge(pool, target, none)), "{\"k19994\":5}");
	assert_int_equal(target->count, 1);
	ar_json_set(target, ar_str("z"), ar_json_int(pool, 1));
	assert_string_equal(print(target), "{\"k19994\":5,\"z\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds, setup, teardown),
		cmocka_unit_test_setup_teardown(changes, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(compares, setup, teardown),
		cmocka_unit_test_setup_teardown(merges_patches, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
