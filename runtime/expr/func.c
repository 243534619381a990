/*
 * func.c - the functions, one row each: what they take, what they do in memory, what they are in SQL.
 *
 * An argument that is null makes the result null (false where the function is a question), unless
 * the row says that it looks at its arguments itself.
 */
#include "expr/expr_int.h"

#include <math.h>

/* f(args) in SQL: text with %1 and %2 where the arguments stand (each once), per dialect. */
static int emit(struct gen *gen, const struct node *node, const char *sqlite, const char *postgres)
{
	const char *text = gen->dialect == AR_EXPR_SQLITE ? sqlite : postgres;

	for (; *text != '\0'; text++) {
		if (*text != '%' || (text[1] != '1' && text[1] != '2')) {
			ar_buf_char(gen->sql->text, *text);
			continue;
		}
		text++;
		if (gen_kid(gen, node, (size_t)(*text - '1')) != 0)
			return -1;
	}
	return 0;
}

#define EMIT(name, sqlite, postgres)                                                               \
	static int name(struct gen *gen, const struct node *node)                                  \
	{                                                                                          \
		return emit(gen, node, sqlite, postgres);                                          \
	}

/* ---- texts ---- */

static int text_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_TEXT;
	return check_arg(expr, node, 0, AR_X_TEXT);
}

static int lower_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		      struct ar_json *ret)
{
	*ret = AR_J_STR(ar_str_lower(eval->pool, args[0].s));
	return 0;
}
EMIT(lower_sql, "lower(%1)", "lower((%1) COLLATE \"C\")")

static int upper_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		      struct ar_json *ret)
{
	struct ar_str s = ar_str_dup(eval->pool, args[0].s);
	char *p = (char *)s.p;

	for (size_t i = 0; i < s.n; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] = (char)(p[i] - 32);
	*ret = AR_J_STR(s);
	return 0;
}
EMIT(upper_sql, "upper(%1)", "upper((%1) COLLATE \"C\")")

static int trim_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		     struct ar_json *ret)
{
	struct ar_str s = args[0].s;

	while (s.n > 0 && s.p[0] == ' ')
		s = ar_str_sub(s, 1, s.n);
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	*ret = AR_J_STR(s);
	return 0;
}
EMIT(trim_sql, "trim(%1)", "btrim(%1)")

static int pair_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_BOOL;
	return check_arg(expr, node, 0, AR_X_TEXT) != 0 ? -1 : check_arg(expr, node, 1, AR_X_TEXT);
}

static int starts_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		       struct ar_json *ret)
{
	*ret = AR_J_BOOL(ar_str_starts(args[0].s, args[1].s));
	return 0;
}
EMIT(starts_sql, "(SELECT substr(q.a, 1, length(q.b)) = q.b FROM (SELECT %1 AS a, %2 AS b) AS q)",
     "starts_with(%1, %2)")

static int ends_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		     struct ar_json *ret)
{
	*ret = AR_J_BOOL(ar_str_ends(args[0].s, args[1].s));
	return 0;
}
#define ENDS                                                                                       \
	"(SELECT length(q.a) >= length(q.b) AND substr(q.a, length(q.a) - length(q.b) + 1) = q.b " \
	"FROM (SELECT %1 AS a, %2 AS b) AS q)"
EMIT(ends_sql, ENDS, ENDS)

static int contains_eval(struct eval *eval, const struct node *node, struct ar_json *args,
			 struct ar_json *ret)
{
	struct ar_str part = args[1].s;
	bool yes = part.n == 0 ||
		   (args[0].s.n > 0 && memmem(args[0].s.p, args[0].s.n, part.p, part.n) != NULL);

	*ret = AR_J_BOOL(yes);
	return 0;
}
EMIT(contains_sql, "instr(%1, %2) > 0", "strpos(%1, %2) > 0")

static int length_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_INT;
	return node->kids[0]->type == AR_X_JSON ? 0 : check_arg(expr, node, 0, AR_X_TEXT);
}

static int length_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		       struct ar_json *ret)
{
	if (args[0].type == AR_STRING)
		*ret = AR_J_INT((int64_t)ar_utf8_len(args[0].s));
	else if (args[0].type == AR_ARRAY)
		*ret = AR_J_INT(args[0].count);
	return 0;
}

static int length_sql(struct gen *gen, const struct node *node)
{
	struct ref ref = { .node = node->kids[0], .type = AR_X_JSON, .alias = -1 };

	if (node->kids[0]->type != AR_X_JSON)
		return emit(gen, node, "length(%1)", "CAST(length(%1) AS bigint)");
	ar_sql_add(gen->sql, "(CASE ");
	gen_kind(gen, &ref);
	gen_add(gen, " WHEN 'text' THEN length(", " WHEN 'string' THEN CAST(length(");
	gen_json(gen, &ref);
	gen_add(gen, ") WHEN 'array' THEN json_array_length(",
		" #>> '{}') AS bigint) WHEN 'array' THEN CAST(jsonb_array_length(");
	gen_json(gen, &ref);
	gen_add(gen, ") END)", ") AS bigint) END)");
	return 0;
}

/* ---- choices ---- */

static int coalesce_check(struct ar_expr *expr, struct node *node)
{
	return check_branches(expr, node, 0);
}

static int coalesce_eval(struct eval *eval, const struct node *node, struct ar_json *args,
			 struct ar_json *ret)
{
	for (size_t i = 0; i < node->nkids && ret->type == AR_NULL; i++)
		if (eval_kid(eval, node, i, ret) != 0)
			return -1;
	return 0;
}

static int coalesce_sql(struct gen *gen, const struct node *node)
{
	ar_sql_add(gen->sql, "coalesce(");
	for (size_t i = 0; i < node->nkids; i++) {
		if (i > 0)
			ar_sql_add(gen->sql, ", ");
		if (gen_kid(gen, node, i) != 0)
			return -1;
	}
	ar_sql_add(gen->sql, ")");
	return 0;
}

static int if_check(struct ar_expr *expr, struct node *node)
{
	enum ar_expr_type type = node->kids[0]->type;

	if (type != AR_X_BOOL && type != AR_X_JSON && type != AR_X_NULL)
		return check_fail_type(expr, node->kids[0], "bool");
	return check_branches(expr, node, 1);
}

static int if_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		   struct ar_json *ret)
{
	bool yes;

	if (eval_test(eval, node->kids[0], &yes) != 0)
		return -1;
	return eval_kid(eval, node, yes ? 1 : 2, ret);
}

static int if_sql(struct gen *gen, const struct node *node)
{
	ar_sql_add(gen->sql, "(CASE WHEN ");
	if (gen_test(gen, node->kids[0], true, NULL) != 0)
		return -1;
	return emit(gen, node, " THEN %2 ELSE ", " THEN %2 ELSE ") != 0 ||
			       gen_kid(gen, node, 2) != 0
		       ? -1
		       : (ar_sql_add(gen->sql, " END)"), 0);
}

static int has_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_BOOL;
	if (node->kids[0]->kind == N_PATH)
		return 0;
	return check_fail_type(expr, node->kids[0], "name");
}

static int has_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		    struct ar_json *ret)
{
	*ret = AR_J_BOOL(false);
	return eval_has(eval, node->kids[0], &ret->b);
}

static int has_sql(struct gen *gen, const struct node *node)
{
	const struct node *path = node->kids[0];
	struct ref ref = { .node = path, .type = AR_X_JSON, .alias = -1 };

	if (path->used < path->nparts) {
		gen_kind(gen, &ref);
		ar_sql_add(gen->sql, " IS NOT NULL");
		return 0;
	}
	if (path->type == AR_X_JSON) {
		ar_sql_add(gen->sql, "coalesce(");
		gen_kind(gen, &ref);
		ar_sql_add(gen->sql, ", 'null') <> 'null'");
		return 0;
	}
	return emit(gen, node, "%1 IS NOT NULL", "%1 IS NOT NULL");
}

/* ---- numbers ---- */

static int abs_check(struct ar_expr *expr, struct node *node)
{
	struct node *kid = node->kids[0];

	if (check_arg(expr, node, 0, AR_X_FLOAT) != 0)
		return -1;
	node->type = kid->type == AR_X_JSON && kid->row ? AR_X_FLOAT : kid->type;
	return 0;
}

static int abs_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		    struct ar_json *ret)
{
	if (args[0].type == AR_FLOAT)
		*ret = AR_J_FLOAT(fabs(args[0].f));
	else if (args[0].type == AR_INT && args[0].i != INT64_MIN)
		*ret = AR_J_INT(args[0].i < 0 ? -args[0].i : args[0].i);
	return 0;
}

static int abs_sql(struct gen *gen, const struct node *node)
{
	static const char guarded[] =
		"(SELECT CASE WHEN q.a > -9223372036854775808 THEN abs(q.a) END "
		"FROM (SELECT %1 AS a) AS q)";

	return node->type == AR_X_FLOAT ? emit(gen, node, "abs(%1)", "abs(%1)")
					: emit(gen, node, guarded, guarded);
}

static int whole_check(struct ar_expr *expr, struct node *node)
{
	struct node *kid = node->kids[0];

	if (check_arg(expr, node, 0, AR_X_FLOAT) != 0)
		return -1;
	node->type = kid->type == AR_X_JSON && !kid->row ? AR_X_JSON : AR_X_INT;
	return 0;
}

#define WHOLE_MAX 9007199254740992.0 /* 2^53: beyond it floats are no exact ints */

static int whole(struct ar_json *arg, double v, struct ar_json *ret)
{
	if (arg->type == AR_INT)
		*ret = *arg;
	else if (arg->type == AR_FLOAT && fabs(arg->f) < WHOLE_MAX)
		*ret = AR_J_INT((int64_t)v);
	return 0;
}

static double number(const struct ar_json *arg)
{
	return arg->type == AR_FLOAT ? arg->f : 0;
}

static int floor_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		      struct ar_json *ret)
{
	return whole(&args[0], floor(number(&args[0])), ret);
}

static int ceil_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		     struct ar_json *ret)
{
	return whole(&args[0], ceil(number(&args[0])), ret);
}

static int round_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		      struct ar_json *ret)
{
	return whole(&args[0], floor(number(&args[0]) + 0.5), ret);
}

static int whole_sql(struct gen *gen, const struct node *node, const char *formula)
{
	if (node->kids[0]->type == AR_X_INT)
		return gen_kid(gen, node, 0);
	ar_sql_add(gen->sql, "(SELECT CASE WHEN abs(q.a) < 9007199254740992 THEN CAST(");
	ar_sql_add(gen->sql, formula);
	return emit(gen, node, " AS BIGINT) END FROM (SELECT %1 AS a) AS q)",
		    " AS BIGINT) END FROM (SELECT %1 AS a) AS q)");
}

static int floor_sql(struct gen *gen, const struct node *node)
{
	return whole_sql(gen, node, "floor(q.a)");
}

static int ceil_sql(struct gen *gen, const struct node *node)
{
	return whole_sql(gen, node, "ceil(q.a)");
}

static int round_sql(struct gen *gen, const struct node *node)
{
	return whole_sql(gen, node, "floor(q.a + 0.5)");
}

/* ---- time ---- */

static int now_check(struct ar_expr *expr, struct node *node)
{
	node->kind = N_NOW;
	node->type = AR_X_DATETIME;
	return 0;
}

static int date_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_DATE;
	return check_arg(expr, node, 0, AR_X_DATETIME);
}

static int date_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		     struct ar_json *ret)
{
	*ret = AR_J_STR(ar_str_sub(args[0].s, 0, 10));
	return 0;
}
EMIT(date_sql, "substr(%1, 1, 10)", "substr(%1, 1, 10)")

static int part_check(struct ar_expr *expr, struct node *node)
{
	node->type = AR_X_INT;
	return check_arg(expr, node, 0, AR_X_DATETIME);
}

static int part(const struct ar_json *time, size_t from, size_t n, struct ar_json *ret)
{
	int64_t v = 0;

	for (size_t i = from; i < from + n && i < time->s.n; i++)
		v = v * 10 + (time->s.p[i] - '0');
	*ret = AR_J_INT(v);
	return 0;
}

static int year_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		     struct ar_json *ret)
{
	return part(&args[0], 0, 4, ret);
}
EMIT(year_sql, "CAST(substr(%1, 1, 4) AS BIGINT)", "CAST(substr(%1, 1, 4) AS BIGINT)")

static int month_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		      struct ar_json *ret)
{
	return part(&args[0], 5, 2, ret);
}
EMIT(month_sql, "CAST(substr(%1, 6, 2) AS BIGINT)", "CAST(substr(%1, 6, 2) AS BIGINT)")

static int day_eval(struct eval *eval, const struct node *node, struct ar_json *args,
		    struct ar_json *ret)
{
	return part(&args[0], 8, 2, ret);
}
EMIT(day_sql, "CAST(substr(%1, 9, 2) AS BIGINT)", "CAST(substr(%1, 9, 2) AS BIGINT)")

/* ---- text(x) ---- */

/* How a float is written differs between stores: only what is known in memory may be one. */
static int as_text_check(struct ar_expr *expr, struct node *node)
{
	struct node *kid = node->kids[0];
	bool known = kid->type == AR_X_TEXT || kid->type == AR_X_INT || kid->type == AR_X_BOOL ||
		     check_is_time(kid->type);

	node->type = AR_X_TEXT;
	return known || !kid->row ? 0 : check_fail_type(expr, kid, "text, int, bool or time");
}

static int as_text_eval(struct eval *eval, const struct node *node, struct ar_json *args,
			struct ar_json *ret)
{
	if (args[0].type == AR_STRING)
		*ret = args[0];
	else
		*ret = AR_J_STR(ar_json_print(eval->pool, &args[0]));
	return 0;
}

static int as_text_sql(struct gen *gen, const struct node *node)
{
	if (node->kids[0]->type != AR_X_BOOL)
		return emit(gen, node, "CAST(%1 AS TEXT)", "CAST(%1 AS TEXT)");
	return emit(gen, node, "(CASE %1 WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)",
		    "(CASE %1 WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END)");
}

static const struct func funcs[] = {
	{ "lower", 1, 1, text_check, lower_eval, lower_sql },
	{ "upper", 1, 1, text_check, upper_eval, upper_sql },
	{ "trim", 1, 1, text_check, trim_eval, trim_sql },
	{ "length", 1, 1, length_check, length_eval, length_sql },
	{ "starts_with", 2, 2, pair_check, starts_eval, starts_sql, .test = true },
	{ "ends_with", 2, 2, pair_check, ends_eval, ends_sql, .test = true },
	{ "contains", 2, 2, pair_check, contains_eval, contains_sql, .test = true },
	{ "coalesce", 2, 32, coalesce_check, coalesce_eval, coalesce_sql, .nulls = true },
	{ "if", 3, 3, if_check, if_eval, if_sql, .nulls = true },
	{ "has", 1, 1, has_check, has_eval, has_sql, .nulls = true, .test = true },
	{ "abs", 1, 1, abs_check, abs_eval, abs_sql },
	{ "floor", 1, 1, whole_check, floor_eval, floor_sql },
	{ "ceil", 1, 1, whole_check, ceil_eval, ceil_sql },
	{ "round", 1, 1, whole_check, round_eval, round_sql },
	{ "now", 0, 0, now_check, NULL, NULL },
	{ "date", 1, 1, date_check, date_eval, date_sql },
	{ "year", 1, 1, part_check, year_eval, year_sql },
	{ "month", 1, 1, part_check, month_eval, month_sql },
	{ "day", 1, 1, part_check, day_eval, day_sql },
	{ "text", 1, 1, as_text_check, as_text_eval, as_text_sql },
};

const struct func *func_find(struct ar_str name)
{
	for (size_t i = 0; i < AR_COUNT(funcs); i++)
		if (ar_str_is(name, funcs[i].name))
			return &funcs[i];
	return NULL;
}
