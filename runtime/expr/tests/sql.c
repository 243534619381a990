/*
 * sql.c - the SQL that comes out: values are bound and never in the text, plain comparisons stay plain
 * (so that indexes serve them), what is known is folded.
 */
#include "tests/harness/test.h"

#include "expr/expr.h"

static bool field(void *arg, const struct ar_str *parts, size_t nparts, struct ar_expr_field *ret)
{
	static const struct {
		const char *name, *sql;
		enum ar_expr_type type;
	} fields[] = { { "n", "r.\"n\"", AR_X_INT },  { "f", "r.\"f\"", AR_X_FLOAT },
		       { "s", "r.\"s\"", AR_X_TEXT }, { "b", "r.\"b\"", AR_X_BOOL },
		       { "j", "r.\"j\"", AR_X_JSON }, { "t", "r.\"t\"", AR_X_DATETIME } };

	for (size_t i = 0; i < AR_COUNT(fields); i++)
		if (ar_str_is(parts[0], fields[i].name)) {
			*ret = (struct ar_expr_field){ fields[i].type, 1, fields[i].sql, (int)i,
						       NULL };
			return true;
		}
	return false;
}

static const struct row {
	const char *text, *sqlite, *postgres, *args;
	enum ar_expr_truth truth;
} rows[] = {
	{ "n = 5", "(r.\"n\" = ?)", "(r.\"n\" = ?::bigint)", "[5]" },
	{ "5 < n", "(r.\"n\" > ?)", "(r.\"n\" > ?::bigint)", "[5]" },
	{ "n > 1.5", "(r.\"n\" > ?)", "(r.\"n\" > ?::bigint)", "[1]" },
	{ "f = 2", "(r.\"f\" = ?)", "(r.\"f\" = ?::float8)", "[2]" },
	{ "n = 1.5", "(1=0)", "(1=0)", "[]", AR_X_NEVER },
	{ "s = 'x\\'; DROP'", "(r.\"s\" = ?)", "(r.\"s\" COLLATE \"C\" = ?::text)",
	  "[\"x'; DROP\"]" },
	{ "s != 'x'", "((r.\"s\" = ?) IS NOT TRUE)",
	  "((r.\"s\" COLLATE \"C\" = ?::text) IS NOT TRUE)", "[\"x\"]" },
	{ "!(s != 'x')", "(r.\"s\" = ?)", "(r.\"s\" COLLATE \"C\" = ?::text)", "[\"x\"]" },
	{ "s ~ '5%_'", "(r.\"s\" LIKE ? ESCAPE '!')",
	  "(r.\"s\" COLLATE \"C\" ILIKE ?::text ESCAPE '!')", "[\"5%!_\"]" },
	{ "s ~ '5\\%!'", "(r.\"s\" LIKE ? ESCAPE '!')",
	  "(r.\"s\" COLLATE \"C\" ILIKE ?::text ESCAPE '!')", "[\"%5!%!!%\"]" },
	{ "b", "(r.\"b\" = 1)", "(r.\"b\")", "[]" },
	{ "!b", "((r.\"b\" = 1) IS NOT TRUE)", "((r.\"b\") IS NOT TRUE)", "[]" },
	{ "b = false", "(r.\"b\" = 0)", "(r.\"b\" = FALSE)", "[]" },
	{ "s = null", "(r.\"s\" IS NULL)", "(r.\"s\" IS NULL)", "[]" },
	{ "!(s = null)", "(r.\"s\" IS NOT NULL)", "(r.\"s\" IS NOT NULL)", "[]" },
	{ "t > @now - 1d", "(r.\"t\" > ?)", "(r.\"t\" COLLATE \"C\" > ?::text)",
	  "[\"1969-12-31T00:00:00.001Z\"]" },
	{ "s in @auth.teams", "((r.\"s\" IN (?, ?)))",
	  "((r.\"s\" COLLATE \"C\" IN (?::text, ?::text)))", "[\"a\",\"b\"]" },
	{ "s = @auth.gone", "(1=0)", "(1=0)", "[]", AR_X_NEVER },
	{ "s != @auth.gone", "(1=1)", "(1=1)", "[]", AR_X_ALWAYS },
	{ "s = @auth.n", "(1=0)", "(1=0)", "[]", AR_X_NEVER },
	{ "@auth.id = 'u1' || s = 'x'", "(1=1)", "(1=1)", "[]", AR_X_ALWAYS },
	{ "s = 'x' && @auth.id = 'u2'", "(1=0)", "(1=0)", "[]", AR_X_NEVER },
	{ "@auth.id = 'u1' && n = 1", "((r.\"n\" = ?))", "((r.\"n\" = ?::bigint))", "[1]" },
	{ "!(n = 1 && s = 'x')", "(((r.\"n\" = ?) IS NOT TRUE) OR ((r.\"s\" = ?) IS NOT TRUE))",
	  NULL, "[1,\"x\"]" },
	{ "j.a['b c'].0 = 'x'",
	  "((CASE WHEN json_type(r.\"j\", ?) = 'text' THEN json_extract(r.\"j\", ?) END) = ?)",
	  "((CASE WHEN jsonb_typeof(jsonb_path_query_first(r.\"j\", ?::jsonpath, '{}', true)) = "
	  "'string' "
	  "THEN jsonb_path_query_first(r.\"j\", ?::jsonpath, '{}', true) #>> '{}' END) COLLATE "
	  "\"C\" = "
	  "?::text)",
	  NULL },
};

static void text_and_values_are_apart(void **state)
{
	static const char *const roots[] = { "@auth", NULL };
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *auth;

	assert_ok(ar_json_parse(pool,
				AR_STR("{\"id\":\"u1\",\"n\":4,\"teams\":[\"a\",1,\"b\",null]}"),
				NULL, &auth));
	const struct ar_json *values[] = { auth };
	struct ar_expr_names names = { .roots = roots, .field = field };
	struct ar_expr_env env = { .roots = values, .now_ms = 1 };

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_expr *expr;

		assert_ok(ar_expr_parse(pool, ar_str(rows[i].text), &expr));
		assert_ok(ar_expr_check_test(expr, &names));
		for (int dialect = AR_EXPR_SQLITE; dialect <= AR_EXPR_POSTGRES; dialect++) {
			const char *want =
				dialect == AR_EXPR_SQLITE ? rows[i].sqlite : rows[i].postgres;
			struct ar_json *args = ar_json_new(pool, AR_ARRAY);
			enum ar_expr_truth truth;
			struct ar_sql sql;

			ar_sql_init(&sql, pool);
			assert_ok(ar_expr_sql(expr, dialect, &env, &sql, &truth));
			assert_int_equal(truth, rows[i].truth);
			if (want != NULL)
				assert_string_equal(ar_sql_text(&sql), want);
			for (size_t a = 0; a < sql.nargs; a++)
				ar_json_add(args, ar_json_copy(pool, &sql.args[a]));
			if (rows[i].args != NULL)
				assert_str(ar_json_print(pool, args), rows[i].args);
		}
	}
	ar_pool_free(pool);
}

static void names_are_quoted(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_sql sql;

	ar_sql_init(&sql, pool);
	ar_sql_name(&sql, AR_STR("a\"b"));
	ar_sql_add(&sql, " = ");
	ar_sql_bind(&sql, AR_J_Z("v"));
	assert_string_equal(ar_sql_text(&sql), "\"a\"\"b\" = ?");
	assert_int_equal(sql.nargs, 1);
	ar_pool_free(pool);
}

static void sql_is_bounded(void **state)
{
	static const char *const roots[] = { "@auth", NULL };
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *list = ar_json_new(pool, AR_ARRAY);
	const struct ar_json *values[] = { list };
	struct ar_expr_names names = { .roots = roots, .field = field };
	struct ar_expr_env env = { .roots = values };
	struct ar_expr *expr;
	struct ar_sql sql;

	for (int i = 0; i < 1001; i++)
		ar_json_add(list, ar_json_int(pool, i));
	ar_sql_init(&sql, pool);
	assert_ok(ar_expr_parse(pool, AR_STR("n in @auth"), &expr));
	assert_ok(ar_expr_check(expr, &names));
	assert_fails(ar_expr_sql(expr, AR_EXPR_SQLITE, &env, &sql, NULL), AR_E_EXPR_LIMIT);
	assert_ok(ar_expr_parse(pool, AR_STR("n ?> @auth"), &expr));
	assert_ok(ar_expr_check(expr, &names));
	list->count = 101;
	assert_fails(ar_expr_sql(expr, AR_EXPR_SQLITE, &env, &sql, NULL), AR_E_EXPR_LIMIT);
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_values_are_apart),
		cmocka_unit_test(names_are_quoted),
		cmocka_unit_test(sql_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
