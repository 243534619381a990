/*
 * meaning.c - what expressions mean, row by row of a table: text, and the value as JSON.
 */
#include "tests/harness/test.h"

#include "expr/expr.h"

static const char *const values_json = "{\"age\":30,\"size\":2.5,\"name\":\"Li "
				       "Wei\",\"empty\":null,\"ok\":true,\"born\":\"1994-05-06\","
				       "\"seen\":\"2026-11-24T16:09:00.001Z\",\"meta\":{\"tags\":["
				       "\"vip\",\"New\",null,3],\"deep\":{\"n\":7},"
				       "\"key with space\":1,\"none\":null,\"0\":\"zero\"}}";
static const char *const auth_json = "{\"id\":\"u1\",\"roles\":[\"admin\",\"staff\"],\"n\":4,\"f\":"
				     "0.5,\"since\":\"2026-11-01T08:00:00+08:00\"}";
static const char *const steps_json =
	"{\"create_user\":{\"output\":{\"id\":\"u9\",\"list\":[1,{\"a\":2}]}}}";
static const char *const params_json =
	"{\"me\":\"u1\",\"nothing\":null,\"ids\":[\"u1\",\"u2\"],\"n\":30}";

static const struct row {
	const char *text, *json;
} rows[] = {
	/* literals */
	{ "null", "null" },
	{ "true", "true" },
	{ "-9223372036854775808", "-9223372036854775808" },
	{ "1.5", "1.5" },
	{ "'it\\'s \\\\ \\n'", "\"it's \\\\ \\n\"" },
	{ "\"双\"", "\"双\"" },
	{ "30d", "2592000000" },
	{ "1d12h30m5s250ms", "131405250" },
	{ "{:me}", "\"u1\"" },
	/* names */
	{ "age", "30" },
	{ "meta.deep.n", "7" },
	{ "meta.tags.0", "\"vip\"" },
	{ "meta.tags[1]", "\"New\"" },
	{ "meta['key with space']", "1" },
	{ "meta.0", "null" }, /* an index, and meta is no array */
	{ "meta.gone.deeper", "null" },
	{ "@auth.id", "\"u1\"" },
	{ "@request.query.page", "null" },
	{ "steps.create_user.output.id", "\"u9\"" },
	{ "steps.create_user.output.list.1.a", "2" },
	{ "@now", "\"2026-11-24T16:09:00.000Z\"" },
	{ "now()", "\"2026-11-24T16:09:00.000Z\"" },
	/* comparisons */
	{ "age = 30", "true" },
	{ "age = 30.0", "true" },
	{ "age > 30 || size <= 2.5", "true" },
	{ "9007199254740993 = 9007199254740992.0", "false" },
	{ "9007199254740993 > 9007199254740992.0", "true" },
	{ "name = 'li wei'", "false" },
	{ "name ~ 'LI'", "true" },
	{ "name ~ 'li%'", "true" },
	{ "name ~ 'wei%'", "false" },
	{ "name ~ '%wei'", "true" },
	{ "name ~ 'l%w%i'", "true" },
	{ "'100%' ~ '0\\%'", "true" },
	{ "'100x' ~ '0\\%'", "false" },
	{ "'a_c' ~ 'A_C' && 'abc' !~ 'a_c'", "true" },
	{ "'a%c' ~ steps.create_user.output.id", "false" },
	{ "name !~ 'zhang'", "true" },
	{ "'b' > 'a' && 'a' > 'B' && '中' > 'z'", "true" },
	{ "ok = true && !(ok = false)", "true" },
	{ "ok", "true" },
	{ "!ok", "false" },
	{ "@auth.id = 'u1'", "true" },
	{ "@auth.n = '4'", "false" },
	{ "@auth.n != '4'", "true" },
	{ "@auth.roles = 'admin'", "false" },
	{ "born < '2000-01-01'", "true" },
	{ "born = '1994-05-06T00:00:00Z'", "true" },
	{ "seen > '2026-11-24T17:09:00+01:00'", "true" },
	{ "seen > @auth.since && @auth.since < @now - 20d", "true" },
	{ "seen > @auth.id", "false" }, /* no time */
	/* null */
	{ "empty = null", "true" },
	{ "empty != null", "false" },
	{ "empty = ''", "false" },
	{ "empty != ''", "true" },
	{ "empty > ''", "false" },
	{ "!(empty > '')", "true" },
	{ "empty ~ ''", "false" },
	{ "empty !~ 'x'", "true" },
	{ "empty = meta.gone", "false" }, /* two nulls are not equal */
	{ "empty != meta.gone", "true" },
	{ "{:nothing} = empty", "true" },
	{ "meta.none = null && meta.gone = null", "true" },
	{ "has(meta.none) && !has(meta.gone) && has(age) && !has(empty)", "true" },
	{ "empty + 'x'", "null" },
	{ "null = null", "true" },
	/* any of */
	{ "meta.tags ?= 'vip'", "true" },
	{ "meta.tags ?= 'new'", "false" },
	{ "meta.tags ?~ 'new'", "true" },
	{ "meta.tags ?> 2", "true" },
	{ "meta.tags ?!= 'vip'", "true" },
	{ "meta.deep ?= 7", "false" },
	{ "meta.gone ?!= 1", "false" },
	{ "age ?= 30", "true" },
	{ "@auth.roles ?= meta.tags", "false" },
	{ "'staff' in @auth.roles", "true" },
	{ "@auth.id in {:ids}", "true" },
	{ "age in (1, 2.5, {:n})", "true" },
	{ "age in (1, 2)", "false" },
	{ "age in ()", "false" },
	{ "empty in ('a', null)", "true" },
	/* calculations */
	{ "age + 1", "31" },
	{ "age * 2 - 3 * (1 + 1)", "54" },
	{ "7 / 2", "3.5" },
	{ "1 / 0", "null" },
	{ "9223372036854775807 + 1", "null" },
	{ "-age", "-30" },
	{ "- -age", "30" },
	{ "1e150 * 1e150 > 1e299", "true" },
	{ "1e160 * 1.0", "null" },
	{ "@auth.n + 1", "5" },
	{ "@auth.n + @auth.f", "4.5" },
	{ "@auth.id + '/' + name", "\"u1/Li Wei\"" },
	{ "@auth.id + @auth.id", "\"u1u1\"" },
	{ "@auth.id + @auth.n", "null" },
	{ "@now + 1d", "\"2026-11-25T16:09:00.000Z\"" },
	{ "born - 1ms", "\"1994-05-05T23:59:59.999Z\"" },
	{ "'2024-02-28' + 1d", "\"2024-02-29T00:00:00.000Z\"" },
	{ "seen - @now", "1" },
	{ "@now - '2026-11-24' > 16h", "true" },
	{ "@now + 1000000000s*1", NULL },
	{ "'9999-12-31' + 1d", "null" },
	/* functions */
	{ "lower('ÀbC') + upper('ñbC')", "\"ÀbcñBC\"" },
	{ "trim('  a b ')", "\"a b\"" },
	{ "length('中文')", "2" },
	{ "length(meta.tags)", "4" },
	{ "coalesce(empty, name)", "\"Li Wei\"" },
	{ "if(age > 18, 'adult', 'child')", "\"adult\"" },
	{ "starts_with(name, 'Li') && ends_with(name, 'ei') && contains(name, ' ')", "true" },
	{ "starts_with(empty, 'a')", "false" },
	{ "abs(-3) + floor(2.7) + ceil(2.1) + round(2.5)", "11" },
	{ "round(-2.5)", "-2" },
	{ "date(seen)", "\"2026-11-24\"" },
	{ "year(born) * 10000 + month(born) * 100 + day(born)", "19940506" },
	{ "text(age) + text(ok) + text(1.5)", "\"30true1.5\"" },
	{ "text(@auth.roles)", "\"[\\\"admin\\\",\\\"staff\\\"]\"" },
	/* binding */
	{ "true || false && false", "true" },
	{ "!false && true", "true" },
	{ "1 + 2 * 3 = 7", "true" },
};

static const struct {
	const char *name;
	enum ar_expr_type type;
} fields[] = {
	{ "age", AR_X_INT },       { "size", AR_X_FLOAT }, { "name", AR_X_TEXT },
	{ "empty", AR_X_TEXT },    { "ok", AR_X_BOOL },    { "born", AR_X_DATE },
	{ "seen", AR_X_DATETIME }, { "meta", AR_X_JSON },
};

static bool field(void *arg, const struct ar_str *parts, size_t nparts, struct ar_expr_field *ret)
{
	for (size_t i = 0; i < AR_COUNT(fields); i++)
		if (ar_str_is(parts[0], fields[i].name)) {
			*ret = (struct ar_expr_field){ fields[i].type, 1, NULL, (int)i,
						       fields[i].name };
			return true;
		}
	return false;
}

static int get(void *arg, const struct ar_expr_field *f, struct ar_pool *pool, struct ar_json *ret)
{
	const struct ar_json *v = ar_json_get(arg, f->ref);

	if (v != NULL)
		*ret = *v;
	return 0;
}

static struct ar_json *json(struct ar_pool *pool, const char *text)
{
	struct ar_json *v;

	assert_ok(ar_json_parse(pool, ar_str(text), NULL, &v));
	return v;
}

static void values_are_as_documented(void **state)
{
	static const char *const roots[] = { "@auth", "@request", "steps", NULL };
	struct ar_pool *pool = ar_pool_new();
	const struct ar_json *values[] = { json(pool, auth_json), NULL, json(pool, steps_json) };
	struct ar_expr_names names = { .roots = roots,
				       .field = field,
				       .params = json(pool, params_json) };
	struct ar_expr_env env = { .roots = values, .get = get, .arg = json(pool, values_json) };

	assert_true(ar_time_parse(AR_STR("2026-11-24T16:09:00Z"), &env.now_ms));
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_expr *expr;
		struct ar_json *v;

		assert_ok(ar_expr_parse(pool, ar_str(rows[i].text), &expr));
		if (rows[i].json == NULL) {
			assert_fails(ar_expr_check(expr, &names), AR_E_EXPR_TYPE);
			continue;
		}
		if (ar_expr_check(expr, &names) != 0)
			fail_msg("%s: %s", rows[i].text, ar_err()->def->slug);
		assert_ok(ar_expr_eval(expr, &env, pool, &v));
		struct ar_str text = ar_json_print(pool, v);

		if (!ar_str_is(text, rows[i].json))
			fail_msg("%s is %.*s, not %s", rows[i].text, AR_FMT(text), rows[i].json);
	}
	ar_pool_free(pool);
}

static void a_checked_expression_is_used_again(void **state)
{
	static const char *const roots[] = { "@auth", NULL };
	struct ar_pool *pool = ar_pool_new(), *call = ar_pool_new();
	struct ar_expr_names names = { .roots = roots };
	struct ar_expr *expr;

	assert_ok(ar_expr_parse(pool, AR_STR("@auth.n > 2 && @auth.id in ('a', 'b')"), &expr));
	assert_ok(ar_expr_check_test(expr, &names));
	assert_true(ar_expr_uses_root(expr, "@auth"));
	assert_false(ar_expr_uses_root(expr, "@request"));
	assert_false(ar_expr_has_rows(expr));
	assert_int_equal(ar_expr_type(expr), AR_X_BOOL);
	for (int i = 0; i < 6; i++) {
		const struct ar_json *auth =
			json(call, i % 2 ? "{\"n\":3,\"id\":\"a\"}" : "{\"n\":2,\"id\":\"a\"}");
		struct ar_expr_env env = { .roots = &auth };
		bool yes;

		assert_ok(ar_expr_test(expr, &env, call, &yes));
		assert_int_equal(yes, i % 2);
		ar_pool_reset(call);
	}
	ar_pool_free(call);
	ar_pool_free(pool);
}

static int get_fails(void *arg, const struct ar_expr_field *f, struct ar_pool *pool,
		     struct ar_json *ret)
{
	return ar_fail(AR_E_UNAVAILABLE);
}

static void a_failing_get_is_the_answer(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_expr_names names = { .field = field };
	struct ar_expr_env env = { .get = get_fails };
	struct ar_expr *expr;
	struct ar_json *v;
	bool yes;

	assert_ok(ar_expr_parse(pool, AR_STR("true && (name = 'x' || lower(name) = 'y')"), &expr));
	assert_ok(ar_expr_check(expr, &names));
	assert_fails(ar_expr_eval(expr, &env, pool, &v), AR_E_UNAVAILABLE);
	assert_fails(ar_expr_test(expr, &env, pool, &yes), AR_E_UNAVAILABLE);
	ar_pool_free(pool);
}

static void texts_do_not_grow_without_end(void **state)
{
	static const char *const roots[] = { "x", NULL };
	struct ar_pool *pool = ar_pool_new();
	struct ar_json big = AR_J_STR(ar_str_n(ar_alloc(pool, 600000), 600000));
	const struct ar_json *value = &big;
	struct ar_expr_names names = { .roots = roots };
	struct ar_expr_env env = { .roots = &value };
	struct ar_expr *expr;
	struct ar_json *v;

	memset((char *)big.s.p, 'a', big.s.n);
	assert_ok(ar_expr_parse(pool, AR_STR("x + x"), &expr));
	assert_ok(ar_expr_check(expr, &names));
	assert_fails(ar_expr_eval(expr, &env, pool, &v), AR_E_EXPR_LIMIT);
	ar_pool_free(pool);
}

static void a_value_of_another_kind_is_null(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_expr_names names = { .field = field };
	struct ar_expr_env env = { .get = get,
				   .arg = json(pool, "{\"age\":\"30\",\"ok\":1,\"size\":3}") };
	struct ar_expr *expr;
	bool yes;

	assert_ok(ar_expr_parse(pool, AR_STR("age = null && ok = null && size = 3.0"), &expr));
	assert_ok(ar_expr_check(expr, &names));
	assert_ok(ar_expr_test(expr, &env, pool, &yes));
	assert_true(yes);
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_as_documented),
		cmocka_unit_test(a_checked_expression_is_used_again),
		cmocka_unit_test(a_failing_get_is_the_answer),
		cmocka_unit_test(texts_do_not_grow_without_end),
		cmocka_unit_test(a_value_of_another_kind_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
