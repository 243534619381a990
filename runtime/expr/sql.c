/*
 * sql.c - an expression as a SQL condition.
 *
 * gen_test() writes a condition that is true exactly when the node's truth is what is wanted, and
 * anything (false or NULL) when it is not: under AND and OR that is enough, and it keeps plain
 * comparisons plain, so that indexes serve them. `want` false is a node under `!`: the negation is
 * carried down to the comparison and becomes IS NOT TRUE there. Sub-trees without rows are evaluated, and
 * fold the tree around them.
 */
#include "expr/expr_int.h"

struct mark {
	size_t text, args;
};

static struct mark mark(const struct gen *gen)
{
	return (struct mark){ gen->sql->text->n, gen->sql->nargs };
}

static void rewind_to(struct gen *gen, struct mark m)
{
	gen->sql->text->n = m.text;
	gen->sql->nargs = m.args;
}

static void constant(struct gen *gen, struct mark m, bool yes, enum ar_expr_truth *ret)
{
	rewind_to(gen, m);
	ar_sql_add(gen->sql, yes ? "(1=1)" : "(1=0)");
	*ret = yes ? AR_X_ALWAYS : AR_X_NEVER;
}

/* Between mark and here stands a condition in its positive form; truth says if it was needed. */
static void finish(struct gen *gen, struct mark m, bool want, enum ar_expr_truth *ret)
{
	if (*ret != AR_X_DEPENDS)
		constant(gen, m, (*ret == AR_X_ALWAYS) == want, ret);
	else
		ar_sql_add(gen->sql, want ? ")" : ") IS NOT TRUE)");
}

static void start(struct gen *gen, bool want)
{
	ar_sql_add(gen->sql, want ? "(" : "((");
}

/* ---- && and || ---- */

static int gen_logic(struct gen *gen, const struct node *node, bool want, enum ar_expr_truth *ret)
{
	bool all = (node->kind == N_AND) == want; /* De Morgan */
	enum ar_expr_truth stop = all ? AR_X_NEVER : AR_X_ALWAYS, truth;
	struct mark whole = mark(gen);
	size_t count = 0;

	ar_sql_add(gen->sql, "(");
	for (size_t i = 0; i < node->nkids; i++) {
		struct mark before = mark(gen);

		if (count > 0)
			ar_sql_add(gen->sql, all ? " AND " : " OR ");
		if (gen_test(gen, node->kids[i], want, &truth) != 0)
			return -1;
		if (truth == stop) {
			constant(gen, whole, !all, ret);
			return 0;
		}
		if (truth != AR_X_DEPENDS)
			rewind_to(gen, before);
		else
			count++;
	}
	if (count == 0) {
		constant(gen, whole, all, ret);
		return 0;
	}
	ar_sql_add(gen->sql, ")");
	*ret = AR_X_DEPENDS;
	return 0;
}

/* ---- comparisons ---- */

static struct ref ref_of(const struct node *node, size_t i)
{
	return (struct ref){ node->kids[i], node->conv[i], node->kids[i]->type, -1 };
}

static int constant_side(struct gen *gen, const struct node *node, size_t i, struct ar_json *ret)
{
	return eval_kid(&gen->eval, node, i, ret);
}

/* One positive comparison of the node's two sides; either may be an element of a list. */
struct pair {
	struct ref ref[2];
	struct ar_json value[2];
	bool row[2];
	bool pattern; /* the right side was written */
};

static int gen_pair(struct gen *gen, enum op op, const struct pair *pair, enum ar_expr_truth *ret)
{
	*ret = AR_X_DEPENDS;
	if (pair->row[0] && pair->row[1])
		return gen_refs(gen, op, &pair->ref[0], &pair->ref[1]);
	if (pair->row[0])
		return gen_ref_const(gen, op, &pair->ref[0], &pair->value[1], pair->pattern, ret);
	if (op == OP_LIKE)
		return gen_const_like(gen, &pair->value[0], &pair->ref[1], ret);
	return gen_ref_const(gen, op_flip(op), &pair->ref[1], &pair->value[0], false, ret);
}

static int gen_compare(struct gen *gen, const struct node *node, bool want, enum ar_expr_truth *ret)
{
	enum op op = node->op;
	struct pair pair = { .pattern = node->kids[1]->written };
	struct mark m = mark(gen);

	if (op == OP_NE || op == OP_NOT_LIKE) {
		op = op == OP_NE ? OP_EQ : OP_LIKE;
		want = !want;
	}
	start(gen, want);
	for (int i = 0; i < 2; i++) {
		pair.ref[i] = ref_of(node, i);
		pair.row[i] = node->kids[i]->row;
		if (!pair.row[i] && constant_side(gen, node, i, &pair.value[i]) != 0)
			return -1;
	}
	if (gen_pair(gen, op, &pair, ret) != 0)
		return -1;
	finish(gen, m, want, ret);
	return 0;
}

/* ---- any-of comparisons ---- */

/* Side i of an any-of: constants (a list of them), a row's scalar, or a row's JSON list. */
struct any_side {
	const struct ar_json **values;
	size_t nvalues;
	struct ref ref;
	bool row, list;
};

static int any_constants(struct gen *gen, const struct node *node, int i, struct any_side *side)
{
	struct ar_json *v = ar_new(gen->sql->pool, struct ar_json);
	size_t n;

	if (eval_node(&gen->eval, node->kids[i], v) != 0)
		return -1;
	n = v->type == AR_ARRAY ? v->count : v->type == AR_NULL || v->type == AR_OBJECT ? 0 : 1;
	if (n > AR_EXPR_NODES_MAX)
		return ar_fail(AR_E_EXPR_LIMIT, "what", "list", "max", "1000");
	side->values = ar_new_n(gen->sql->pool, const struct ar_json *, n + 1);
	for (const struct ar_json *e = v->type == AR_ARRAY ? v->first : v; side->nvalues < n;
	     e = e->next) {
		struct ar_json *copy = ar_memdup(gen->sql->pool, e, sizeof(*e));

		value_convert(node->conv[i], gen->sql->pool, copy);
		side->values[side->nvalues++] = copy;
	}
	return 0;
}

/* One element against one element, in the elementwise meaning: != is the complement of =. */
static int any_pair(struct gen *gen, const struct node *node, const struct pair *pair,
		    enum ar_expr_truth *ret)
{
	bool negative = node->op == OP_NE || node->op == OP_NOT_LIKE;
	enum op op = node->op == OP_NE ? OP_EQ : node->op == OP_NOT_LIKE ? OP_LIKE : node->op;
	struct mark m = mark(gen);

	start(gen, !negative);
	if (gen_pair(gen, op, pair, ret) != 0)
		return -1;
	finish(gen, m, !negative, ret);
	return 0;
}

/* The row's side against a list of constants: IN for =, else one by one. */
static int any_against(struct gen *gen, const struct node *node, struct pair *pair, int constants,
		       const struct any_side *side, enum ar_expr_truth *ret)
{
	struct mark m = mark(gen);
	size_t count = 0;
	enum ar_expr_truth truth;

	if (node->op == OP_EQ) {
		ar_sql_add(gen->sql, "(");
		if (gen_ref_in(gen, &pair->ref[1 - constants], side->values, side->nvalues, ret) !=
		    0)
			return -1;
		finish(gen, m, true, ret);
		return 0;
	}
	if (side->nvalues > 100)
		return ar_fail(AR_E_EXPR_LIMIT, "what", "list", "max", "100");
	ar_sql_add(gen->sql, "(");
	for (size_t i = 0; i < side->nvalues; i++) {
		struct mark before = mark(gen);

		if (count > 0)
			ar_sql_add(gen->sql, " OR ");
		pair->value[constants] = *side->values[i];
		if (any_pair(gen, node, pair, &truth) != 0)
			return -1;
		if (truth == AR_X_ALWAYS) {
			constant(gen, m, true, ret);
			return 0;
		}
		if (truth == AR_X_NEVER)
			rewind_to(gen, before);
		else
			count++;
	}
	if (count == 0) {
		constant(gen, m, false, ret);
		return 0;
	}
	ar_sql_add(gen->sql, ")");
	*ret = AR_X_DEPENDS;
	return 0;
}

/* A scalar without a value is an empty list: it has no element that could differ. (In the positive
 * forms NULL says the same.) */
static int any_present(struct gen *gen, const struct any_side *side)
{
	ar_sql_add(gen->sql, "(");
	if (gen_converted(gen, side->ref.node, side->ref.conv) != 0)
		return -1;
	ar_sql_add(gen->sql, ") IS NOT NULL AND ");
	return 0;
}

static int any_sides(struct gen *gen, const struct node *node, struct any_side *side,
		     enum ar_expr_truth *ret)
{
	struct pair pair = { .pattern = node->kids[1]->written };
	bool negative = node->op == OP_NE || node->op == OP_NOT_LIKE;
	int closing = 0;

	for (int i = 0; i < 2; i++) {
		pair.row[i] = side[i].row;
		pair.ref[i] = side[i].ref;
		if (negative && side[i].row && !side[i].list && any_present(gen, &side[i]) != 0)
			return -1;
	}
	for (int i = 0; i < 2; i++) {
		if (!side[i].list)
			continue;
		pair.ref[i].alias = gen->aliases++;
		ar_sql_add(gen->sql, "EXISTS (SELECT 1 FROM ");
		gen_elements(gen, &side[i].ref, pair.ref[i].alias);
		closing++;
	}
	if (side[0].row && side[1].row) {
		if (any_pair(gen, node, &pair, ret) != 0)
			return -1;
	} else if (any_against(gen, node, &pair, side[0].row ? 1 : 0, &side[side[0].row ? 1 : 0],
			       ret))
		return -1;
	for (; closing > 0; closing--)
		ar_sql_add(gen->sql, ")");
	return 0;
}

static int gen_any(struct gen *gen, const struct node *node, bool want, enum ar_expr_truth *ret)
{
	struct any_side side[2] = { { 0 } };
	struct mark m = mark(gen);

	start(gen, want);
	for (int i = 0; i < 2; i++) {
		side[i].row = node->kids[i]->row;
		side[i].ref = ref_of(node, i);
		side[i].list = side[i].row && node->kids[i]->type == AR_X_JSON;
		if (!side[i].row && any_constants(gen, node, i, &side[i]) != 0)
			return -1;
	}
	if (any_sides(gen, node, side, ret) != 0)
		return -1;
	if (*ret == AR_X_ALWAYS) /* every element would do, but there may be none */
		*ret = AR_X_DEPENDS;
	finish(gen, m, want, ret);
	return 0;
}

/* ---- the rest ---- */

static int gen_is_null(struct gen *gen, const struct node *node, bool want)
{
	struct ref ref = ref_of(node, 0);
	bool null = (node->op == OP_EQ) == want;

	if (node->kids[0]->type == AR_X_JSON) {
		ar_sql_add(gen->sql, "(coalesce(");
		gen_kind(gen, &ref);
		ar_sql_add(gen->sql, null ? ", 'null') = 'null')" : ", 'null') <> 'null')");
		return 0;
	}
	ar_sql_add(gen->sql, "(");
	if (gen_value(gen, node->kids[0]) != 0)
		return -1;
	ar_sql_add(gen->sql, null ? " IS NULL)" : " IS NOT NULL)");
	return 0;
}

/* A value used as a condition. */
static int gen_bool(struct gen *gen, const struct node *node, bool want)
{
	struct ref ref = { .node = node, .type = node->type, .alias = -1 };

	start(gen, want);
	if (node->type == AR_X_JSON)
		gen_as(gen, &ref, C_BOOL);
	else if ((node->kind == N_CALL ? node->func->sql(gen, node) : gen_value(gen, node)) != 0)
		return -1;
	if (node->kind != N_CALL || !node->func->test)
		gen_add(gen, " = 1", "");
	ar_sql_add(gen->sql, want ? ")" : ") IS NOT TRUE)");
	return 0;
}

int gen_test(struct gen *gen, const struct node *node, bool want, enum ar_expr_truth *ret)
{
	enum ar_expr_truth ignored;
	bool yes;

	if (ret == NULL)
		ret = &ignored;
	*ret = AR_X_DEPENDS;
	if (!node->row) {
		if (eval_test(&gen->eval, node, &yes) != 0)
			return -1;
		constant(gen, mark(gen), yes == want, ret);
		return 0;
	}
	switch (node->kind) {
	case N_AND:
	case N_OR:
		return gen_logic(gen, node, want, ret);
	case N_NOT:
		return gen_test(gen, node->kids[0], !want, ret);
	case N_COMPARE:
		return node->any ? gen_any(gen, node, want, ret)
				 : gen_compare(gen, node, want, ret);
	case N_IS_NULL:
		return gen_is_null(gen, node, want);
	default:
		return gen_bool(gen, node, want);
	}
}

int ar_expr_sql(const struct ar_expr *expr, enum ar_expr_dialect dialect,
		const struct ar_expr_env *env, struct ar_sql *ret, enum ar_expr_truth *ret_truth)
{
	static const struct ar_expr_env none;
	struct gen gen = { .dialect = dialect, .sql = ret };

	gen.eval = (struct eval){ .env = env != NULL ? env : &none, .pool = ret->pool };
	if (gen_test(&gen, expr->top, true, ret_truth) != 0)
		return -1;
	if (ret->text->over)
		return ar_fail(AR_E_EXPR_LIMIT, "what", "sql", "max", "262144");
	return 0;
}
