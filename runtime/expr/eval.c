/*
 * eval.c - an expression in memory: a walk over the tree, one value per node, on the C stack.
 *
 * Depth is at most AR_EXPR_DEPTH_MAX. Only texts that functions make are allocated.
 */
#include "expr/expr_int.h"

static bool fits(enum ar_expr_type type, struct ar_json *v)
{
	switch (type) {
	case AR_X_BOOL:
		return v->type == AR_BOOL;
	case AR_X_INT:
		return v->type == AR_INT;
	case AR_X_FLOAT:
		if (v->type == AR_INT)
			*v = AR_J_FLOAT((double)v->i);
		return v->type == AR_FLOAT;
	case AR_X_TEXT:
	case AR_X_DATE:
	case AR_X_DATETIME:
		return v->type == AR_STRING;
	default:
		return true;
	}
}

/* The value that the path's first parts name; members are still to be followed. */
static int path_base(struct eval *eval, const struct node *node, struct ar_json *hold,
		     const struct ar_json **ret)
{
	*hold = AR_J_NULL;
	*ret = hold;
	if (node->root >= 0) {
		const struct ar_json *root =
			eval->env->roots != NULL ? eval->env->roots[node->root] : NULL;

		if (root != NULL)
			*ret = root;
		return 0;
	}
	if (eval->env->get == NULL)
		return 0;
	if (eval->env->get(eval->env->arg, &node->field, eval->pool, hold) != 0)
		return -1;
	if (!fits(node->field.type, hold))
		*hold = AR_J_NULL;
	return 0;
}

static int eval_path(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	struct ar_json hold;
	const struct ar_json *v;

	if (path_base(eval, node, &hold, &v) != 0)
		return -1;
	v = value_member(v, node->parts + node->used, node->nparts - node->used);
	if (v == NULL)
		return 0;
	*ret = *v;
	ret->key = AR_STR_NONE;
	ret->next = NULL;
	return 0;
}

int eval_has(struct eval *eval, const struct node *path, bool *ret)
{
	struct ar_json hold;
	const struct ar_json *v;

	if (path_base(eval, path, &hold, &v) != 0)
		return -1;
	if (path->used < path->nparts)
		*ret = value_member(v, path->parts + path->used, path->nparts - path->used) != NULL;
	else
		*ret = v->type != AR_NULL;
	return 0;
}

int eval_kid(struct eval *eval, const struct node *node, size_t i, struct ar_json *ret)
{
	if (eval_node(eval, node->kids[i], ret) != 0)
		return -1;
	value_convert(node->conv[i], eval->pool, ret);
	return 0;
}

/* ---- comparisons ---- */

static bool like(struct eval *eval, const struct node *node, const struct ar_json *a,
		 const struct ar_json *b)
{
	bool yes = false;

	if (a->type == AR_STRING && b->type == AR_STRING) {
		if (!node->kids[1]->written)
			yes = value_contains(a->s, b->s);
		else if (value_has_wildcard(b->s))
			yes = value_like(a->s, b->s);
		else
			yes = value_contains(a->s, value_unescape(eval->pool, b->s));
	}
	return yes == (node->op == OP_LIKE);
}

static bool compare(struct eval *eval, const struct node *node, const struct ar_json *a,
		    const struct ar_json *b)
{
	if (node->op == OP_LIKE || node->op == OP_NOT_LIKE)
		return like(eval, node, a, b);
	return value_compare(node->op, a, b);
}

/* The elements of a list; a scalar is a list of itself, null and objects are empty. */
static const struct ar_json *elements(const struct ar_json *v)
{
	if (v->type == AR_ARRAY)
		return v->first;
	return v->type == AR_NULL || v->type == AR_OBJECT ? NULL : v;
}

static const struct ar_json *element_next(const struct ar_json *list, const struct ar_json *e)
{
	return list->type == AR_ARRAY ? e->next : NULL;
}

static bool compare_any(struct eval *eval, const struct node *node, const struct ar_json *a,
			const struct ar_json *b)
{
	for (const struct ar_json *x = elements(a); x != NULL; x = element_next(a, x)) {
		struct ar_json left = *x;

		value_convert(node->conv[0], eval->pool, &left);
		for (const struct ar_json *y = elements(b); y != NULL; y = element_next(b, y)) {
			struct ar_json right = *y;

			value_convert(node->conv[1], eval->pool, &right);
			if (compare(eval, node, &left, &right))
				return true;
		}
	}
	return false;
}

static int eval_compare(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	struct ar_json a = AR_J_NULL, b = AR_J_NULL;

	if (eval_node(eval, node->kids[0], &a) != 0 || eval_node(eval, node->kids[1], &b) != 0)
		return -1;
	if (node->any) {
		*ret = AR_J_BOOL(compare_any(eval, node, &a, &b));
		return 0;
	}
	value_convert(node->conv[0], eval->pool, &a);
	value_convert(node->conv[1], eval->pool, &b);
	*ret = AR_J_BOOL(compare(eval, node, &a, &b));
	return 0;
}

/* ---- calculations ---- */

static int join_text(struct eval *eval, struct ar_str a, struct ar_str b, struct ar_json *ret)
{
	if (a.n + b.n > TEXT_MAX)
		return ar_fail(AR_E_EXPR_LIMIT, "what", "text", "max", "1048576");
	char *text = ar_alloc(eval->pool, a.n + b.n + 1);

	if (a.n > 0)
		memcpy(text, a.p, a.n);
	if (b.n > 0)
		memcpy(text + a.n, b.p, b.n);
	*ret = AR_J_STR(ar_str_n(text, a.n + b.n));
	return 0;
}

static void arith_datetime(struct eval *eval, const struct node *node, const struct ar_json *a,
			   const struct ar_json *b, struct ar_json *ret)
{
	bool time_first = a->type == AR_STRING;
	const struct ar_json *duration = time_first ? b : a;
	int64_t ms, sum;

	if (!value_ms(time_first ? a : b, &ms) || duration->type != AR_INT)
		return;
	if (node->op == OP_ADD ? __builtin_add_overflow(ms, duration->i, &sum)
			       : __builtin_sub_overflow(ms, duration->i, &sum))
		return;
	value_time(eval->pool, sum, ret);
}

static int eval_arith(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	struct ar_json a = AR_J_NULL, b = AR_J_NULL;
	int64_t x, y;

	if (eval_kid(eval, node, 0, &a) != 0 || eval_kid(eval, node, 1, &b) != 0)
		return -1;
	if (a.type == AR_NULL || b.type == AR_NULL)
		return 0;
	if (node->type == AR_X_DATETIME) {
		arith_datetime(eval, node, &a, &b, ret);
	} else if (node->type == AR_X_DURATION && a.type == AR_STRING) {
		if (value_ms(&a, &x) && value_ms(&b, &y))
			*ret = AR_J_INT(x - y);
	} else if (a.type == AR_STRING && b.type == AR_STRING && node->op == OP_ADD) {
		return join_text(eval, a.s, b.s, ret);
	} else {
		value_arith(node->op, &a, &b, ret);
	}
	return 0;
}

static int eval_negate(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	struct ar_json v = AR_J_NULL;

	if (eval_kid(eval, node, 0, &v) != 0)
		return -1;
	if (v.type == AR_INT)
		value_arith(OP_SUB, &AR_J_INT(0), &v, ret);
	else if (v.type == AR_FLOAT)
		*ret = AR_J_FLOAT(-v.f);
	return 0;
}

static int eval_call(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	struct ar_json args[3] = { 0 };

	if (node->func->nulls)
		return node->func->eval(eval, node, NULL, ret);
	for (size_t i = 0; i < node->nkids; i++) {
		if (eval_kid(eval, node, i, &args[i]) != 0)
			return -1;
		if (args[i].type == AR_NULL) {
			if (node->func->test)
				*ret = AR_J_BOOL(false);
			return 0;
		}
	}
	return node->func->eval(eval, node, args, ret);
}

/* ---- the walk ---- */

static int eval_logic(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	bool stop = node->kind == N_OR, yes;

	for (size_t i = 0; i < node->nkids; i++) {
		if (eval_test(eval, node->kids[i], &yes) != 0)
			return -1;
		if (yes == stop) {
			*ret = AR_J_BOOL(stop);
			return 0;
		}
	}
	*ret = AR_J_BOOL(!stop);
	return 0;
}

/* Read once, and only when something asks. */
static int64_t now_ms(struct eval *eval)
{
	if (eval->now_ms == 0)
		eval->now_ms = eval->env->now_ms != 0 ? eval->env->now_ms : ar_now_ms();
	return eval->now_ms;
}

int eval_node(struct eval *eval, const struct node *node, struct ar_json *ret)
{
	bool yes;

	*ret = AR_J_NULL;
	switch (node->kind) {
	case N_LITERAL:
		*ret = node->value;
		return 0;
	case N_NOW:
		value_time(eval->pool, now_ms(eval), ret);
		return 0;
	case N_PATH:
		return eval_path(eval, node, ret);
	case N_NOT:
		if (eval_test(eval, node->kids[0], &yes) != 0)
			return -1;
		*ret = AR_J_BOOL(!yes);
		return 0;
	case N_NEGATE:
		return eval_negate(eval, node, ret);
	case N_ARITH:
		return eval_arith(eval, node, ret);
	case N_COMPARE:
		return eval_compare(eval, node, ret);
	case N_IS_NULL:
		if (eval_node(eval, node->kids[0], ret) != 0)
			return -1;
		*ret = AR_J_BOOL((ret->type == AR_NULL) == (node->op == OP_EQ));
		return 0;
	case N_AND:
	case N_OR:
		return eval_logic(eval, node, ret);
	case N_CALL:
		return eval_call(eval, node, ret);
	case N_PARAM:
		break;
	}
	return 0;
}

int eval_test(struct eval *eval, const struct node *node, bool *ret)
{
	struct ar_json v;

	if (eval_node(eval, node, &v) != 0)
		return -1;
	*ret = v.type == AR_BOOL && v.b;
	return 0;
}

static void eval_init(struct eval *eval, const struct ar_expr_env *env, struct ar_pool *pool)
{
	static const struct ar_expr_env none;

	*eval = (struct eval){ .env = env != NULL ? env : &none, .pool = pool };
}

int ar_expr_eval(const struct ar_expr *expr, const struct ar_expr_env *env, struct ar_pool *pool,
		 struct ar_json **ret)
{
	struct eval eval;
	struct ar_json v;

	eval_init(&eval, env, pool);
	if (eval_node(&eval, expr->top, &v) != 0)
		return -1;
	*ret = ar_memdup(pool, &v, sizeof(v));
	return 0;
}

int ar_expr_test(const struct ar_expr *expr, const struct ar_expr_env *env, struct ar_pool *pool,
		 bool *ret)
{
	struct eval eval;

	eval_init(&eval, env, pool);
	return eval_test(&eval, expr->top, ret);
}
