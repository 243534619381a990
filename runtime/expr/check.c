/*
 * check.c - names get their meaning, nodes their types; what cannot be right is refused here, with
 * its position, before any row is read.
 *
 * The checker writes down, next to each operand, the conversion that the two back ends apply
 * (enum conv), so that neither of them has rules of its own about types.
 */
#include "expr/expr_int.h"

const char *ar_expr_type_name(enum ar_expr_type type)
{
	static const char *const names[] = {
		[AR_X_NULL] = "null",         [AR_X_BOOL] = "bool",         [AR_X_INT] = "int",
		[AR_X_FLOAT] = "float",       [AR_X_TEXT] = "text",         [AR_X_DATE] = "date",
		[AR_X_DATETIME] = "datetime", [AR_X_DURATION] = "duration", [AR_X_JSON] = "json",
	};

	return names[type];
}

const char *expr_position(const struct ar_expr *expr, size_t at)
{
	size_t n = ar_utf8_len(ar_str_sub(expr->text, 0, at));

	return ar_printf(expr->pool, "%zu", n + 1);
}

int check_fail_type(const struct ar_expr *expr, const struct node *node, const char *expected)
{
	return ar_fail(AR_E_EXPR_TYPE, "position", expr_position(expr, node->at), "expected",
		       expected, "found", ar_expr_type_name(node->type));
}

static int fail_name(const struct ar_err_def *def, const struct ar_expr *expr,
		     const struct node *node, struct ar_str name)
{
	return ar_fail(def, "name", ar_strz(expr->pool, name), "position",
		       expr_position(expr, node->at));
}

static struct ar_str path_text(const struct ar_expr *expr, const struct node *node)
{
	struct ar_buf *buf = ar_buf_new(expr->pool, AR_EXPR_LENGTH_MAX + 16);

	for (size_t i = 0; i < node->nparts; i++) {
		if (i > 0)
			ar_buf_char(buf, '.');
		ar_buf_str(buf, node->parts[i]);
	}
	return ar_buf_view(buf);
}

/* SQLite's paths cannot hold a quote in a member's name. */
static bool members_ok(const struct node *node)
{
	for (size_t i = node->used; i < node->nparts; i++)
		if (ar_str_find(node->parts[i], '"') >= 0 || ar_str_find(node->parts[i], '\\') >= 0)
			return false;
	return true;
}

static int check_member(const struct ar_expr *expr, const struct node *node,
			const char *const *members)
{
	struct ar_buf *known = ar_buf_new(expr->pool, 4096);

	if (members == NULL || node->nparts < 2)
		return 0;
	for (size_t i = 0; members[i] != NULL; i++) {
		if (ar_str_is(node->parts[1], members[i]))
			return 0;
		ar_buf_z(known, i > 0 ? ", " : "");
		ar_buf_z(known, members[i]);
	}
	return ar_fail(AR_E_EXPR_MEMBER, "name", ar_strz(expr->pool, path_text(expr, node)),
		       "position", expr_position(expr, node->at), "known",
		       ar_strz(expr->pool, ar_buf_view(known)));
}

static int check_path(struct ar_expr *expr, struct node *node, const struct ar_expr_names *names)
{
	struct ar_expr_field *field = &node->field;

	for (int i = 0; names->roots != NULL && names->roots[i] != NULL; i++) {
		if (!ar_str_is(node->parts[0], names->roots[i]))
			continue;
		node->root = i;
		node->used = 1;
		node->type = AR_X_JSON;
		return check_member(expr, node, names->members != NULL ? names->members[i] : NULL);
	}
	*field = (struct ar_expr_field){ .used = node->nparts };
	if (node->parts[0].p[0] == '@' || names->field == NULL ||
	    !names->field(names->arg, node->parts, node->nparts, field))
		return fail_name(AR_E_EXPR_FIELD, expr, node, path_text(expr, node));
	node->used = field->used;
	node->type = field->type;
	node->row = field->sql != NULL;
	if (node->used < node->nparts &&
	    (field->type != AR_X_JSON || (node->row && !members_ok(node))))
		return fail_name(AR_E_EXPR_FIELD, expr, node, path_text(expr, node));
	return 0;
}

static bool params_ok(const struct ar_json *value)
{
	if (value->type == AR_OBJECT)
		return false;
	if (value->type != AR_ARRAY)
		return true;
	if (value->count > AR_EXPR_NODES_MAX)
		return false;
	ar_json_each (m, value)
		if (m->type == AR_ARRAY || m->type == AR_OBJECT)
			return false;
	return true;
}

static int check_param(struct ar_expr *expr, struct node *node, const struct ar_expr_names *names)
{
	static const enum ar_expr_type types[] = {
		[AR_NULL] = AR_X_NULL,   [AR_BOOL] = AR_X_BOOL,   [AR_INT] = AR_X_INT,
		[AR_FLOAT] = AR_X_FLOAT, [AR_STRING] = AR_X_TEXT, [AR_ARRAY] = AR_X_JSON,
	};
	const struct ar_json *value =
		names->params != NULL ? ar_json_get_str(names->params, node->name) : NULL;

	if (value == NULL || !params_ok(value))
		return fail_name(AR_E_EXPR_PARAM, expr, node, node->name);
	node->kind = N_LITERAL;
	node->written = true;
	node->value = *ar_json_copy(expr->pool, value);
	node->type = types[value->type];
	return 0;
}

static int check_test(struct ar_expr *expr, struct node *node)
{
	if (node->type == AR_X_BOOL || node->type == AR_X_JSON || node->type == AR_X_NULL)
		return 0;
	return check_fail_type(expr, node, "bool");
}

static int check_negate(struct ar_expr *expr, struct node *node)
{
	struct node *kid = node->kids[0];

	node->type = kid->type;
	if (kid->type == AR_X_JSON && kid->row) {
		node->type = AR_X_FLOAT;
		node->conv[0] = C_FLOAT;
	}
	if (check_is_number(node->type) || node->type == AR_X_DURATION || node->type == AR_X_JSON)
		return 0;
	return check_fail_type(expr, kid, "number");
}

static int check_call(struct ar_expr *expr, struct node *node)
{
	node->func = func_find(node->name);
	if (node->func == NULL)
		return fail_name(AR_E_EXPR_FUNCTION, expr, node, node->name);
	if (node->nkids < node->func->min || node->nkids > node->func->max) {
		const char *wanted = ar_printf(expr->pool, "%zu", node->func->min);

		return ar_fail(AR_E_EXPR_TYPE, "position", expr_position(expr, node->at),
			       "expected", "arguments", "found", "arguments", "wanted", wanted,
			       "given", ar_printf(expr->pool, "%zu", node->nkids));
	}
	return node->func->check(expr, node);
}

static int check_by_kind(struct ar_expr *expr, struct node *node, const struct ar_expr_names *names)
{
	switch (node->kind) {
	case N_LITERAL:
		return 0;
	case N_PARAM:
		return check_param(expr, node, names);
	case N_NOW:
		node->type = AR_X_DATETIME;
		return 0;
	case N_PATH:
		return check_path(expr, node, names);
	case N_NOT:
	case N_AND:
	case N_OR:
		node->type = AR_X_BOOL;
		for (size_t i = 0; i < node->nkids; i++)
			if (check_test(expr, node->kids[i]) != 0)
				return -1;
		return 0;
	case N_NEGATE:
		return check_negate(expr, node);
	case N_ARITH:
		return check_arith(expr, node);
	case N_COMPARE:
		return check_compare(expr, node);
	case N_CALL:
		return check_call(expr, node);
	case N_IS_NULL:
		break;
	}
	return 0;
}

int check_node(struct ar_expr *expr, struct node *node, const struct ar_expr_names *names)
{
	if (node->checked)
		return 0;
	node->checked = true;
	for (size_t i = 0; i < node->nkids; i++) {
		if (check_node(expr, node->kids[i], names) != 0)
			return -1;
		node->row = node->row || node->kids[i]->row;
	}
	return check_by_kind(expr, node, names);
}

int ar_expr_check(struct ar_expr *expr, const struct ar_expr_names *names)
{
	static const struct ar_expr_names none;

	if (names == NULL)
		names = &none;
	if (check_node(expr, expr->top, names) != 0)
		return -1;
	expr->roots = names->roots;
	expr->checked = true;
	return 0;
}

int ar_expr_check_test(struct ar_expr *expr, const struct ar_expr_names *names)
{
	return ar_expr_check(expr, names) != 0 ? -1 : check_test(expr, expr->top);
}

enum ar_expr_type ar_expr_type(const struct ar_expr *expr)
{
	return expr->top->type;
}

bool ar_expr_has_rows(const struct ar_expr *expr)
{
	return expr->top->row;
}

static bool uses_root(const struct node *node, const char *root)
{
	if (node->kind == N_PATH && ar_str_is(node->parts[0], root))
		return true;
	for (size_t i = 0; i < node->nkids; i++)
		if (uses_root(node->kids[i], root))
			return true;
	return false;
}

bool ar_expr_uses_root(const struct ar_expr *expr, const char *root)
{
	return uses_root(expr->top, root);
}
