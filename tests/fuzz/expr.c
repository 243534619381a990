/*
 * libFuzzer: expression texts. What the parser and the checker take is evaluated and translated to
 * both dialects; nothing may fail there but for a limit, and no value may end up in the SQL's text.
 * Run: build-fuzz/tests/fuzz/fuzz_expr -max_total_time=60
 */
#include "expr/expr.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"i > 3 && (s ~ 'A%' || s !~ {:s}) and not b",
	"@auth.id = 'u' || @auth.l ?= 'a' || has(@request.n)",
	"i + f * 2 - -1 / 4 % 3 >= k and i in {:l}",
	"d >= '2024-02-29' && t < now() && year(d) = 2024 and text(i) = date(t)",
	"lower(trim(s)) = upper(s) + 'x' and length(s) != 0",
	"if(b, coalesce(j.a, 1), abs(round(f))) = 1",
	"j.a[0] = 1 or j.x.y = null or contains(s, 'b')",
	"floor(f) <= ceil(f) and starts_with(s, {:s}) and ends_with(s, 'c')",
};
FUZZ_SEEDS(seeds)

static bool field(void *arg, const struct ar_str *parts, size_t nparts, struct ar_expr_field *ret)
{
	static const struct {
		const char *name, *sql;
		enum ar_expr_type type;
	} fields[] = { { "i", "r.i", AR_X_INT },  { "f", "r.f", AR_X_FLOAT },
		       { "s", "r.s", AR_X_TEXT }, { "b", "r.b", AR_X_BOOL },
		       { "d", "r.d", AR_X_DATE }, { "t", "r.t", AR_X_DATETIME },
		       { "j", "r.j", AR_X_JSON }, { "k", NULL, AR_X_INT } };

	for (size_t i = 0; i < AR_COUNT(fields); i++)
		if (ar_str_is(parts[0], fields[i].name)) {
			*ret = (struct ar_expr_field){ fields[i].type, 1, fields[i].sql, (int)i,
						       NULL };
			return true;
		}
	return false;
}

static int get(void *arg, const struct ar_expr_field *f, struct ar_pool *pool, struct ar_json *ret)
{
	const struct ar_json *row = arg, *v = row->first;

	for (int i = 0; i < f->id && v != NULL; i++)
		v = v->next;
	if (v != NULL)
		*ret = *v;
	return 0;
}

static struct ar_json *json(struct ar_pool *pool, const char *text)
{
	struct ar_json *v;

	must(ar_json_parse(pool, ar_str(text), NULL, &v) == 0);
	return v;
}

static void use(struct ar_pool *pool, struct ar_expr *expr, const struct ar_expr_env *env)
{
	struct ar_json *v;

	must(ar_expr_eval(expr, env, pool, &v) == 0 || ar_err_is(AR_E_EXPR_LIMIT));
	if (ar_expr_type(expr) != AR_X_BOOL && ar_expr_type(expr) != AR_X_JSON)
		return;
	for (int dialect = AR_EXPR_SQLITE; dialect <= AR_EXPR_POSTGRES; dialect++) {
		struct ar_sql sql;
		size_t marks = 0;

		ar_sql_init(&sql, pool);
		if (ar_expr_sql(expr, dialect, env, &sql, NULL) != 0) {
			must(ar_err_is(AR_E_EXPR_LIMIT));
			continue;
		}
		for (size_t i = 0; i < sql.text->n; i++)
			marks += sql.text->p[i] == '?';
		must(marks == sql.nargs);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const roots[] = { "@auth", "@request", NULL };
	struct ar_pool *pool = ar_pool_new();
	const struct ar_json *values[] = {
		json(pool, "{\"id\":\"u\",\"n\":4,\"l\":[1,\"a\",null,true],\"f\":0.5}"), NULL
	};
	struct ar_expr_names names = { .roots = roots,
				       .field = field,
				       .params = json(pool,
						      "{\"a\":1,\"s\":\"x%\",\"l\":[1,\"a\"]}") };
	struct ar_expr_env env = { .roots = values, .get = get, .now_ms = 1709164800000 };
	struct ar_expr *expr;

	env.arg = json(pool, "[5,2.5,\"Abc\",true,\"2024-02-29\",\"2024-02-29T00:00:00.000Z\","
			     "{\"a\":[1,\"x\"]},7]");
	if (ar_expr_parse(pool, ar_str_n((const char *)data, size), &expr) == 0 &&
	    ar_expr_check(expr, &names) == 0)
		use(pool, expr, &env);
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}
