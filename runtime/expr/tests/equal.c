/*
 * equal.c - the two back ends give the same answer: 100,000 random expressions over random rows, in
 * SQL and in memory. A failure prints the expression, the SQL and the row.
 *
 * AR_EXPR_COUNT and AR_EXPR_SEED in the environment change how many and which; APPRUN_TEST_STORE is
 * the url of a server for test_expr_equal_pg, which is skipped without.
 */
#include "tests/harness/test.h"

#include "expr/tests/engine.h"

struct table {
	struct ar_pool *pool;
	const struct engine *engine;
	struct ar_json cells[ROWS][COLUMNS_MAX];
	size_t row; /* under evaluation */
	const struct ar_json *auth;
	int64_t split; /* expressions that were true for some rows and not for others */
};

static bool field(void *arg, const struct ar_str *parts, size_t nparts, struct ar_expr_field *ret)
{
	static const char *const sql[] = { "r.i", "r.k", "r.f", "r.g", "r.s", "r.t", "r.b",
					   "r.c", "r.d", "r.w", "r.x", "r.j", "r.l" };

	for (size_t i = 0; i < columns_count; i++) {
		if (!ar_str_is(parts[0], columns[i].name))
			continue;
		*ret = (struct ar_expr_field){ columns[i].type, 1, sql[i], (int)i, NULL };
		return true;
	}
	return false;
}

static int get(void *arg, const struct ar_expr_field *f, struct ar_pool *pool, struct ar_json *ret)
{
	struct table *table = arg;

	*ret = table->cells[table->row][f->id];
	return 0;
}

static void fill(struct table *table)
{
	for (int row = 0; row < ROWS; row++)
		for (size_t i = 0; i < columns_count; i++)
			table->cells[row][i] = random_cell(table->pool, &columns[i]);
	table->engine->fill(table->pool, table->cells);
}

static void print_failure(struct table *table, const struct ar_expr *expr, struct ar_sql *sql,
			  int row, struct ar_pool *pool)
{
	struct ar_str text = ar_expr_text(expr);

	print_error("expression: %.*s\nsql: %.*s\n", AR_FMT(text), (int)sql->text->n, sql->text->p);
	for (size_t i = 0; i < sql->nargs; i++)
		print_error("  ? = %.*s\n", AR_FMT(ar_json_print(pool, &sql->args[i])));
	for (size_t i = 0; row >= 0 && i < columns_count; i++)
		print_error("  %s = %.*s\n", columns[i].name,
			    AR_FMT(ar_json_print(pool, &table->cells[row][i])));
}

/* Returns 1 when the expression was well typed and asked, 0 when the checker refused it. */
static int ask_both(struct table *table, struct ar_pool *pool, const struct ar_json *params)
{
	static const char *const roots[] = { "@auth", NULL };
	const struct ar_json *values[] = { table->auth };
	struct ar_expr_names names = { .roots = roots, .field = field, .params = params };
	struct ar_expr_env env = {
		.roots = values, .get = get, .arg = table, .now_ms = 1709164800000
	};
	struct ar_buf *text = ar_buf_new(pool, AR_EXPR_LENGTH_MAX);
	struct ar_expr *expr;
	struct ar_sql sql;
	enum ar_expr_truth truth;
	bool yes;

	random_condition(text, (int)random_below(5));
	if (text->over)
		return 0;
	if (ar_expr_parse(pool, ar_buf_view(text), &expr) != 0 ||
	    ar_expr_check_test(expr, &names) != 0) {
		const struct ar_err *err = ar_err();

		assert_true(err->def == AR_E_EXPR_TYPE || err->def == AR_E_EXPR_LIMIT);
		ar_err_clear();
		return 0;
	}
	ar_sql_init(&sql, pool);
	if (ar_expr_sql(expr, table->engine->dialect, &env, &sql, &truth) != 0) {
		assert_true(ar_err_is(AR_E_EXPR_LIMIT));
		ar_err_clear();
		return 0;
	}
	const char *problem = NULL;
	uint64_t rows = table->engine->ask(pool, &sql, &problem);

	if (problem != NULL) {
		print_failure(table, expr, &sql, -1, pool);
		fail_msg("%s", problem);
	}

	table->split += rows != 0 && rows != (UINT64_C(1) << ROWS) - 1;

	for (table->row = 0; table->row < ROWS; table->row++) {
		assert_int_equal(ar_expr_test(expr, &env, pool, &yes), 0);
		if (yes != ((rows >> table->row & 1) != 0)) {
			print_failure(table, expr, &sql, (int)table->row, pool);
			fail_msg("in memory %s, in SQL not", yes ? "true" : "false");
		}
		if (truth != AR_X_DEPENDS)
			assert_int_equal(yes, truth == AR_X_ALWAYS);
	}
	return 1;
}

static struct ar_json *json(struct ar_pool *pool, const char *text)
{
	struct ar_json *v;

	assert_int_equal(ar_json_parse(pool, ar_str(text), NULL, &v), 0);
	return v;
}

static void back_ends_are_equal(void **state)
{
	const char *count_text = getenv("AR_EXPR_COUNT"), *seed = getenv("AR_EXPR_SEED");
	int64_t count = 100000, asked = 0, tried = 0, n = 0;
	struct table table = { .pool = ar_pool_new(), .engine = &engine };
	struct ar_pool *pool = ar_pool_new(), *forever = ar_pool_new();
	struct ar_json *params =
		json(forever, "{\"list\":[\"a\",1,2.5,null,true,\"ab\",\"2024-02-29\"]}");

	if (count_text != NULL)
		ar_str_int(ar_str(count_text), &count);
	if (seed != NULL && ar_str_int(ar_str(seed), &n))
		random_state = (uint64_t)n * 0x9e3779b97f4a7c15u + 1;
	table.auth = json(
		forever,
		"{\"n\":2,\"f\":2.5,\"s\":\"ab\",\"b\":true,\"o\":{\"k\":1},\"t\":\"2024-02-29\","
		"\"l\":[\"a\",\"Abc\",1,7,2.5,true,null,\"2024-02-29\"]}");
	for (; asked < count; tried++) {
		if (tried % 500 == 0) {
			ar_pool_reset(table.pool);
			fill(&table);
		}
		asked += ask_both(&table, pool, params);
		ar_pool_reset(pool);
	}
	print_message("%lld expressions asked, %lld of them split the rows, %lld more refused\n",
		      (long long)asked, (long long)table.split, (long long)(tried - asked));
	assert_true(asked * 2 > tried); /* or the grammar tests too little */
	assert_true(table.split * 3 > asked);
	ar_pool_free(table.pool);
	ar_pool_free(pool);
	ar_pool_free(forever);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(back_ends_are_equal) };

	if (!engine.open()) {
		print_message("no server to ask\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
