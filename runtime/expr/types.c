/*
 * types.c - which types meet in a comparison, a calculation, a function's argument, and what is
 * converted when they do. The rules of README.md, "Meaning", as code.
 */
#include "expr/expr_int.h"

bool check_is_number(enum ar_expr_type type)
{
	return type == AR_X_INT || type == AR_X_FLOAT;
}

bool check_is_time(enum ar_expr_type type)
{
	return type == AR_X_DATE || type == AR_X_DATETIME;
}

bool check_written_time(struct ar_expr *expr, struct node *node)
{
	int64_t ms;

	if (!node->written || node->type != AR_X_TEXT || !value_ms(&node->value, &ms))
		return false;
	if (ar_date_valid(node->value.s)) {
		node->type = AR_X_DATE;
		return true;
	}
	value_time(expr->pool, ms, &node->value);
	node->type = AR_X_DATETIME;
	return true;
}

static bool is_null(const struct node *node)
{
	return node->kind == N_LITERAL && node->type == AR_X_NULL;
}

/* ---- comparisons ---- */

static int check_null_test(struct ar_expr *expr, struct node *node)
{
	if (node->any || (node->op != OP_EQ && node->op != OP_NE))
		return check_fail_type(expr, is_null(node->kids[0]) ? node->kids[0] : node->kids[1],
				       "value");
	if (is_null(node->kids[0]))
		node->kids[0] = node->kids[1];
	node->kind = N_IS_NULL;
	node->nkids = 1;
	return 0;
}

static int check_like(struct ar_expr *expr, struct node *node)
{
	for (int i = 0; i < 2; i++) {
		enum ar_expr_type type = node->kids[i]->type;

		if (type != AR_X_TEXT && type != AR_X_JSON && !check_is_time(type))
			return check_fail_type(expr, node->kids[i], "text");
	}
	return 0;
}

/* Kid i is a time; the other one is not, or not of the same kind. */
static int check_time_pair(struct ar_expr *expr, struct node *node, int i)
{
	struct node *time = node->kids[i], *other = node->kids[1 - i];

	if (other->type == AR_X_TEXT && !check_written_time(expr, other))
		return check_fail_type(expr, other, ar_expr_type_name(time->type));
	if (other->type == AR_X_JSON) {
		if (other->row)
			return 0;
		node->conv[1 - i] = C_TIME;
		if (time->type == AR_X_DATE)
			node->conv[i] = C_MIDNIGHT;
		return 0;
	}
	if (!check_is_time(other->type))
		return check_fail_type(expr, other, ar_expr_type_name(time->type));
	if (time->type == AR_X_DATE && other->type == AR_X_DATETIME)
		node->conv[i] = C_MIDNIGHT;
	if (time->type == AR_X_DATETIME && other->type == AR_X_DATE)
		node->conv[1 - i] = C_MIDNIGHT;
	return 0;
}

int check_compare(struct ar_expr *expr, struct node *node)
{
	struct node *a = node->kids[0], *b = node->kids[1];
	bool equality = node->op == OP_EQ || node->op == OP_NE;

	node->type = AR_X_BOOL;
	if (is_null(a) || is_null(b))
		return check_null_test(expr, node);
	if (node->op == OP_LIKE || node->op == OP_NOT_LIKE)
		return check_like(expr, node);
	for (int i = 0; i < 2; i++) {
		if (node->kids[i]->type == AR_X_BOOL && !equality)
			return check_fail_type(expr, node->kids[i], "number, text or time");
		if (node->kids[i]->type == AR_X_JSON && node->kids[i]->row)
			node->conv[i] = C_LOOSE;
	}
	if (check_is_time(a->type) || check_is_time(b->type))
		return check_time_pair(expr, node, check_is_time(a->type) ? 0 : 1);
	if (a->type == b->type || a->type == AR_X_JSON || b->type == AR_X_JSON ||
	    (check_is_number(a->type) && check_is_number(b->type)))
		return 0;
	return check_fail_type(expr, b, ar_expr_type_name(a->type));
}

/* ---- calculations ---- */

static int arith_numbers(struct ar_expr *expr, struct node *node)
{
	bool json = false;

	for (int i = 0; i < 2; i++) {
		json = json || node->kids[i]->type == AR_X_JSON;
		if (!check_is_number(node->kids[i]->type) && node->kids[i]->type != AR_X_JSON)
			return check_fail_type(expr, node->kids[i], "number");
	}
	if (json && !node->row) {
		node->type = AR_X_JSON;
		return 0;
	}
	node->type = AR_X_FLOAT;
	if (json)
		node->conv[0] = node->conv[1] = C_FLOAT;
	else if (node->kids[0]->type == AR_X_INT && node->kids[1]->type == AR_X_INT &&
		 node->op != OP_DIV)
		node->type = AR_X_INT;
	return 0;
}

static int arith_text(struct ar_expr *expr, struct node *node)
{
	for (int i = 0; i < 2; i++) {
		if (node->kids[i]->type == AR_X_JSON)
			node->conv[i] = C_TEXT;
		else if (node->kids[i]->type != AR_X_TEXT || node->op != OP_ADD)
			return check_fail_type(expr, node->kids[i],
					       node->op == OP_ADD ? "text" : "number");
	}
	if (node->op != OP_ADD)
		return check_fail_type(expr, node->kids[0], "number");
	node->type = AR_X_TEXT;
	return 0;
}

/* Makes kid i a datetime; -1 when it cannot be one. */
static int arith_as_time(struct ar_expr *expr, struct node *node, int i)
{
	struct node *kid = node->kids[i];

	check_written_time(expr, kid);
	if (kid->type == AR_X_DATE)
		node->conv[i] = C_MIDNIGHT;
	else if (kid->type == AR_X_JSON && !kid->row)
		node->conv[i] = C_TIME;
	else if (kid->type != AR_X_DATETIME)
		return check_fail_type(expr, kid, "datetime");
	return 0;
}

static int arith_time(struct ar_expr *expr, struct node *node)
{
	bool da = node->kids[0]->type == AR_X_DURATION, db = node->kids[1]->type == AR_X_DURATION;

	if (node->op != OP_ADD && node->op != OP_SUB)
		return check_fail_type(expr, node->kids[da || !db ? 0 : 1], "number");
	if (da && db) {
		node->type = AR_X_DURATION;
		return 0;
	}
	if (!da && !db) { /* two times: the distance */
		node->type = AR_X_DURATION;
		if (node->op != OP_SUB)
			return check_fail_type(expr, node->kids[1], "duration");
		return arith_as_time(expr, node, 0) != 0 ? -1 : arith_as_time(expr, node, 1);
	}
	if (da && node->op == OP_SUB)
		return check_fail_type(expr, node->kids[1], "duration");
	node->type = AR_X_DATETIME;
	return arith_as_time(expr, node, da ? 1 : 0);
}

int check_arith(struct ar_expr *expr, struct node *node)
{
	enum ar_expr_type a = node->kids[0]->type, b = node->kids[1]->type;

	if (a == AR_X_DURATION || b == AR_X_DURATION || check_is_time(a) || check_is_time(b))
		return arith_time(expr, node);
	if (a == AR_X_TEXT || b == AR_X_TEXT)
		return arith_text(expr, node);
	return arith_numbers(expr, node);
}

/* ---- arguments of functions ---- */

int check_arg(struct ar_expr *expr, struct node *node, size_t i, enum ar_expr_type want)
{
	struct node *kid = node->kids[i];
	bool json = kid->type == AR_X_JSON;

	switch (want) {
	case AR_X_TEXT:
		if (json)
			node->conv[i] = C_TEXT;
		if (json || kid->type == AR_X_TEXT || check_is_time(kid->type))
			return 0;
		return check_fail_type(expr, kid, "text");
	case AR_X_DATETIME:
		check_written_time(expr, kid);
		if (json && !kid->row)
			node->conv[i] = C_TIME;
		if ((json && !kid->row) || check_is_time(kid->type))
			return 0;
		return check_fail_type(expr, kid, "datetime");
	default:
		if (json && kid->row)
			node->conv[i] = C_FLOAT;
		if (json || check_is_number(kid->type))
			return 0;
		return check_fail_type(expr, kid, "number");
	}
}

/* The type that two branches share, or AR_X_JSON when there is none. */
static enum ar_expr_type join(enum ar_expr_type a, enum ar_expr_type b)
{
	if (a == AR_X_NULL || a == b)
		return b;
	if (check_is_number(a) && check_is_number(b))
		return AR_X_FLOAT;
	if (check_is_time(a) && check_is_time(b))
		return AR_X_DATETIME;
	return AR_X_JSON;
}

static int branch_convert(struct ar_expr *expr, struct node *node, size_t i)
{
	struct node *kid = node->kids[i];
	bool json = kid->type == AR_X_JSON;
	enum conv *conv = &node->conv[i];

	if (is_null(kid) || kid->type == node->type)
		return 0;
	switch (node->type) {
	case AR_X_FLOAT:
		*conv = C_FLOAT;
		return 0;
	case AR_X_TEXT:
		*conv = C_TEXT;
		return json ? 0 : check_fail_type(expr, kid, "text");
	case AR_X_BOOL:
		*conv = C_BOOL;
		return json ? 0 : check_fail_type(expr, kid, "bool");
	case AR_X_DATETIME:
		*conv = json ? C_TIME : C_MIDNIGHT;
		return json && kid->row ? check_fail_type(expr, kid, "datetime") : 0;
	default:
		return check_fail_type(expr, kid, ar_expr_type_name(node->type));
	}
}

/*
 * Branches of if() and coalesce(). Where a row is involved SQL must know one type: JSON takes the
 * type of the branches that have one. Without rows every branch may be what it is.
 */
int check_branches(struct ar_expr *expr, struct node *node, size_t from)
{
	enum ar_expr_type type = AR_X_NULL, known = AR_X_NULL;
	bool json = false, time = false;

	for (size_t i = from; i < node->nkids; i++)
		time = time || check_is_time(node->kids[i]->type);
	for (size_t i = from; i < node->nkids; i++) {
		struct node *kid = node->kids[i];

		if (time && node->row)
			check_written_time(expr, kid);
		if (is_null(kid))
			continue;
		type = type == AR_X_NULL || type == kid->type ? kid->type : AR_X_JSON;
		json = json || kid->type == AR_X_JSON;
		if (kid->type != AR_X_JSON)
			known = join(known, kid->type);
	}
	node->type = type;
	if (!node->row)
		return 0;
	if (known == AR_X_NULL || known == AR_X_JSON)
		return check_fail_type(expr, node, "one type");
	if (json && known == AR_X_INT)
		known = AR_X_FLOAT;
	if (json && known == AR_X_DATE)
		known = AR_X_DATETIME;
	node->type = known;
	for (size_t i = from; i < node->nkids; i++)
		if (branch_convert(expr, node, i) != 0)
			return -1;
	return 0;
}
