/*
 * refuse.c - what the parser and the checker refuse, with which code, at which position.
 */
#include "tests/harness/test.h"

#include "expr/expr.h"

static const struct row {
	const char *text;
	const struct ar_err_def *def;
	const char *position, *reason;
} rows[] = {
	{ "", AR_E_EXPR_SYNTAX, "1", "end" },
	{ "   ", AR_E_EXPR_SYNTAX, "4", "end" },
	{ "a =", AR_E_EXPR_SYNTAX, "4", "end" },
	{ "= a", AR_E_EXPR_SYNTAX, "1", "operand" },
	{ "n = 1 n", AR_E_EXPR_SYNTAX, "7", "operator" },
	{ "n = 1 = 1", AR_E_EXPR_SYNTAX, "7", "chain" },
	{ "n in (1) in (2)", AR_E_EXPR_SYNTAX, "10", "chain" },
	{ "(n = 1", AR_E_EXPR_SYNTAX, "1", "parenthesis-open" },
	{ "n = 1)", AR_E_EXPR_SYNTAX, "6", "operator" },
	{ "n in (1 2)", AR_E_EXPR_SYNTAX, "9", "comma" },
	{ "s = 'abc", AR_E_EXPR_SYNTAX, "5", "text-open" },
	{ "s = 'abc\\", AR_E_EXPR_SYNTAX, "5", "text-open" },
	{ "s = '\\q'", AR_E_EXPR_SYNTAX, "6", "escape" },
	{ "中文 = '中' ; x", AR_E_EXPR_SYNTAX, "10", "character" },
	{ "n = 12abc", AR_E_EXPR_SYNTAX, "5", "number" },
	{ "n = 1.5d", AR_E_EXPR_SYNTAX, "5", "number" },
	{ "n = 9223372036854775808", AR_E_EXPR_SYNTAX, "5", "number-range" },
	{ "n = 1e400", AR_E_EXPR_SYNTAX, "5", "number-range" },
	{ "n = 99999999999999w", AR_E_EXPR_SYNTAX, "5", "number-range" },
	{ "j. = 1", AR_E_EXPR_SYNTAX, "2", "path-end" },
	{ "j[x] = 1", AR_E_EXPR_SYNTAX, "3", "path-index" },
	{ "j[] = 1", AR_E_EXPR_SYNTAX, "3", "path-index" },
	{ "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", AR_E_EXPR_SYNTAX, "31", "path-long" },
	{ "{:} = 1", AR_E_EXPR_SYNTAX, "1", "param" },
	{ "{:a = 1", AR_E_EXPR_SYNTAX, "1", "param" },
	{ "n == 1", AR_E_EXPR_SYNTAX, "4", "operand" },
	{ "n & 1", AR_E_EXPR_SYNTAX, "3", "character" },
	{ "n = 1; DROP TABLE x", AR_E_EXPR_SYNTAX, "6", "character" },
	{ "n = 1 -- x", AR_E_EXPR_FIELD, "10", NULL },
	{ "s = \"a\"\" OR 1=1", AR_E_EXPR_SYNTAX, "8", "text-open" },
	{ "n = 1 OR 1=1", AR_E_EXPR_SYNTAX, "7", "operator" },
	{ "a\x80", AR_E_EXPR_SYNTAX, "1", "utf-8" },
	{ "unknown = 1", AR_E_EXPR_FIELD, "1", NULL },
	{ "n = 1 && unknown.x = 1", AR_E_EXPR_FIELD, "10", NULL },
	{ "@other.x = 1", AR_E_EXPR_FIELD, "1", NULL },
	{ "@now.x = 1", AR_E_EXPR_FIELD, "1", NULL },
	{ "n.x = 1", AR_E_EXPR_FIELD, "1", NULL },
	{ "j['a\"b'] = 1", AR_E_EXPR_FIELD, "1", NULL },
	{ "f(n)", AR_E_EXPR_FUNCTION, "1", NULL },
	{ "lower()", AR_E_EXPR_TYPE, "1", NULL },
	{ "lower(s, s)", AR_E_EXPR_TYPE, "1", NULL },
	{ "{:gone} = n", AR_E_EXPR_PARAM, "1", NULL },
	{ "{:object} = n", AR_E_EXPR_PARAM, "1", NULL },
	{ "{:nested} ?= n", AR_E_EXPR_PARAM, "1", NULL },
	{ "n = 'a'", AR_E_EXPR_TYPE, "5", NULL },
	{ "s > 5", AR_E_EXPR_TYPE, "5", NULL },
	{ "b > true", AR_E_EXPR_TYPE, "1", NULL },
	{ "b = 1", AR_E_EXPR_TYPE, "5", NULL },
	{ "n > null", AR_E_EXPR_TYPE, "5", NULL },
	{ "j ?= null", AR_E_EXPR_TYPE, "6", NULL },
	{ "d = 'never'", AR_E_EXPR_TYPE, "5", NULL },
	{ "d > 5", AR_E_EXPR_TYPE, "5", NULL },
	{ "n ~ 'a'", AR_E_EXPR_TYPE, "1", NULL },
	{ "s + 1", AR_E_EXPR_TYPE, "5", NULL },
	{ "s - s", AR_E_EXPR_TYPE, "1", NULL },
	{ "b + 1", AR_E_EXPR_TYPE, "1", NULL },
	{ "d * 2", AR_E_EXPR_TYPE, "1", NULL },
	{ "d + d", AR_E_EXPR_TYPE, "5", NULL },
	{ "1d - d", AR_E_EXPR_TYPE, "6", NULL },
	{ "j + 1d", AR_E_EXPR_TYPE, "1", NULL },
	{ "!n", AR_E_EXPR_TYPE, "2", NULL },
	{ "n && b", AR_E_EXPR_TYPE, "1", NULL },
	{ "-s", AR_E_EXPR_TYPE, "2", NULL },
	{ "n", AR_E_EXPR_TYPE, "1", NULL }, /* no condition */
	{ "if(b, 1, 'a') = 1", AR_E_EXPR_TYPE, "1", NULL },
	{ "has(1)", AR_E_EXPR_TYPE, "5", NULL },
};

static bool field(void *arg, const struct ar_str *parts, size_t nparts, struct ar_expr_field *ret)
{
	static const struct {
		const char *name;
		enum ar_expr_type type;
	} fields[] = { { "n", AR_X_INT },
		       { "s", AR_X_TEXT },
		       { "b", AR_X_BOOL },
		       { "d", AR_X_DATE },
		       { "j", AR_X_JSON } };

	for (size_t i = 0; i < AR_COUNT(fields); i++)
		if (ar_str_is(parts[0], fields[i].name)) {
			*ret = (struct ar_expr_field){ fields[i].type, 1, "r.x", (int)i, NULL };
			return true;
		}
	return false;
}

static int understand(struct ar_pool *pool, struct ar_str text)
{
	static const char *const roots[] = { "@auth", NULL };
	struct ar_expr_names names = { .roots = roots, .field = field };
	struct ar_json *params;
	struct ar_expr *expr;

	assert_ok(ar_json_parse(pool, AR_STR("{\"object\":{},\"nested\":[[1]],\"a\":1}"), NULL,
				&params));
	names.params = params;
	return ar_expr_parse(pool, text, &expr) != 0 ? -1 : ar_expr_check_test(expr, &names);
}

static void every_mistake_has_its_code_and_place(void **state)
{
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		const struct ar_err *err;

		ar_err_clear();
		if (understand(pool, ar_str(rows[i].text)) == 0)
			fail_msg("%s was taken", rows[i].text);
		err = ar_err();
		if (err->def != rows[i].def)
			fail_msg("%s: %s, not %s", rows[i].text, err->def->slug, rows[i].def->slug);
		if (strcmp(ar_err_param(err, "position"), rows[i].position) != 0)
			fail_msg("%s: at %s", rows[i].text, ar_err_param(err, "position"));
		if (rows[i].reason != NULL &&
		    strcmp(ar_err_param(err, "reason"), rows[i].reason) != 0)
			fail_msg("%s: %s", rows[i].text, ar_err_param(err, "reason"));
		ar_pool_free(pool);
	}
	ar_err_clear();
}

static struct ar_str repeated(struct ar_pool *pool, const char *before, const char *piece, int n,
			      const char *after)
{
	struct ar_buf *buf = ar_buf_new(pool, 1 << 20);

	ar_buf_z(buf, before);
	for (int i = 0; i < n; i++)
		ar_buf_z(buf, piece);
	ar_buf_z(buf, after);
	return ar_buf_view(buf);
}

static void limits_hold(void **state)
{
	static const struct {
		const char *before, *piece, *after;
		int good, bad;
		const char *what;
	} limits[] = {
		{ "", "(", "", 0, 100000, "length" },
		{ "b", "          ", "", 800, 820, "length" },
		{ "b && ", "!", "b", 60, 65, "depth" },
		{ "s = s", " + s", "", 60, 64, "depth" },
		{ "b", " && b", "", 900, 1000, "nodes" },
		{ "n in (0", ",1", ")", 300, 500, "nodes" },
	};

	for (size_t i = 0; i < AR_COUNT(limits); i++) {
		struct ar_pool *pool = ar_pool_new();

		if (limits[i].good > 0)
			assert_ok(understand(pool, repeated(pool, limits[i].before, limits[i].piece,
							    limits[i].good, limits[i].after)));
		assert_int_equal(understand(pool, repeated(pool, limits[i].before, limits[i].piece,
							   limits[i].bad, limits[i].after)),
				 -1);
		assert_true(ar_err_is(AR_E_EXPR_LIMIT));
		assert_string_equal(ar_err_param(ar_err(), "what"), limits[i].what);
		ar_err_clear();
		ar_pool_free(pool);
	}
}

/* Not closed, so the nesting must stop by itself. */
static void nesting_is_bounded(void **state)
{
	static const char *const pieces[] = { "(", "!", "- ", "lower(", "n in (", "if(b,", "! (" };

	for (size_t i = 0; i < AR_COUNT(pieces); i++) {
		struct ar_pool *pool = ar_pool_new();

		assert_fails(understand(pool, repeated(pool, "", pieces[i], 1000, "")),
			     AR_E_EXPR_LIMIT);
		ar_pool_free(pool);
	}
}

/* x in (a, b, ...) repeats x: a large x may not multiply. */
static void shared_left_sides_count(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_str left = repeated(pool, "(n", "+n", 50, ") in (0");

	assert_ok(understand(pool, repeated(pool, ar_strz(pool, left), ",1", 5, ")")));
	assert_fails(understand(pool, repeated(pool, ar_strz(pool, left), ",1", 15, ")")),
		     AR_E_EXPR_LIMIT);
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_has_its_code_and_place),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(shared_left_sides_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
