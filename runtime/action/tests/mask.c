/*
 * mask.c - what is secret is not shown: by name, by value, by form.
 */
#include "action/action.h"
#include "tests/harness/test.h"

static int nothing(struct ar_call *call)
{
	return ar_reply_none(call);
}

static const struct ar_field in[] = {
	AR_FIELD_FREE("password", AR_F_TEXT, .secret = true),
	AR_FIELD_FREE("refreshToken", AR_F_TEXT, .secret = true),
	AR_FIELD_FREE("email", AR_F_TEXT),
	{ 0 },
};
static const struct ar_action actions[] = {
	{ "t.sign_in", "POST /t", AR_ALLOW_ANYONE, .in = in, .run = nothing },
	{ 0 },
};
static const struct ar_module module = { .name = "t", .actions = actions };

static struct ar_json *parse(struct ar_pool *pool, const char *text)
{
	struct ar_json *json;

	assert_ok(ar_json_parse(pool, ar_str(text), &ar_json_limits_default, &json));
	return json;
}

static void masks(void **state)
{
	static const struct {
		const char *value, *more, *texts, *masked;
	} rows[] = {
		{ "{\"email\":\"a\",\"password\":\"x\"}", NULL, NULL,
		  "{\"email\":\"a\",\"password\":\"***\"}" },
		{ "{\"Password\":\"x\",\"refresh_token\":\"y\",\"REFRESH-TOKEN\":\"z\"}", NULL,
		  NULL,
		  "{\"Password\":\"***\",\"refresh_token\":\"***\",\"REFRESH-TOKEN\":\"***\"}" },
		{ "{\"accessToken\":\"x\",\"passwords\":\"x\",\"passwor\":\"x\"}", NULL, NULL,
		  "{\"accessToken\":\"***\",\"passwords\":\"x\",\"passwor\":\"x\"}" },
		{ "{\"x-api-key\":\"x\",\"api_key\":\"x\",\"x-key\":\"x\"}", NULL, NULL,
		  "{\"x-api-key\":\"***\",\"api_key\":\"***\",\"x-key\":\"x\"}" },
		{ "{\"a\":[{\"password\":{\"deep\":1}}]}", NULL, NULL,
		  "{\"a\":[{\"password\":\"***\"}]}" },
		{ "{\"password\":true,\"refreshToken\":null}", NULL, NULL,
		  "{\"password\":true,\"refreshToken\":null}" },
		{ "{\"pin\":\"1\",\"email\":\"1\"}", "{\"pin\":true}", NULL,
		  "{\"pin\":\"***\",\"email\":\"1\"}" },
		{ "{\"m\":\"the password geheim99 is not geheim99\"}", NULL, "[\"geheim99\"]",
		  "{\"m\":\"the password *** is not ***\"}" },
		{ "[\"abc\",\"xabcx\"]", NULL, "[\"abc\"]", "[\"***\",\"xabcx\"]" },
		{ "{\"k\":\"ark_0123456789012345678901234567\",\"l\":\"ark_ is a prefix of our "
		  "keys\"}",
		  NULL, NULL, "{\"k\":\"***\",\"l\":\"ark_ is a prefix of our keys\"}" },
		{ "\"geheim99\"", NULL, "[\"geheim99\"]", "\"***\"" },
	};
	struct ar_pool *pool = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_json *value = parse(pool, rows[i].value);
		struct ar_str before = ar_json_print(pool, value);
		struct ar_json *masked =
			ar_mask(pool, value, rows[i].more ? parse(pool, rows[i].more) : NULL,
				rows[i].texts ? parse(pool, rows[i].texts) : NULL);

		assert_str(ar_json_print(pool, masked), rows[i].masked);
		assert_true(ar_str_eq(ar_json_print(pool, value), before));
		assert_int_equal(masked == value, ar_str_is(before, rows[i].masked));
	}
	ar_pool_free(pool);
}

static void gathers(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *texts = ar_json_new(pool, AR_ARRAY);

	ar_mask_gather(pool,
		       parse(pool, "{\"password\":\"one\",\"a\":[{\"refreshToken\":[\"two\"]}],"
				   "\"pin\":\"three\",\"email\":\"four\",\"accessToken\":\"\"}"),
		       parse(pool, "{\"pin\":true}"), texts);
	assert_str(ar_json_print(pool, texts), "[\"one\",\"two\",\"three\"]");
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks),
		cmocka_unit_test(gathers),
	};

	ar_action_register(&module);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0 ? 1 : (ar_action_done(), 0);
}
