/*
 * parse.c - tokens to a tree, by recursive descent, one function per level of binding.
 *
 * Limits are held while reading: length before anything else, nodes and depth as they grow, so a
 * hostile text costs no more than its limits allow. && and || are kept as lists, so that a long chain of
 * them is not deep. `x in (a, b)` becomes x = a || x = b, with one shared x: its size counts once
 * for every member of the list.
 */
#include "expr/expr_int.h"

const struct ar_err_def AR_E_EXPR_SYNTAX[1] = { { "expr/syntax", 400 } };
const struct ar_err_def AR_E_EXPR_LIMIT[1] = { { "expr/limit", 422 } };
const struct ar_err_def AR_E_EXPR_FIELD[1] = { { "expr/unknown-field", 422 } };
const struct ar_err_def AR_E_EXPR_FUNCTION[1] = { { "expr/unknown-function", 422 } };
const struct ar_err_def AR_E_EXPR_PARAM[1] = { { "expr/unbound", 422 } };
const struct ar_err_def AR_E_EXPR_MEMBER[1] = { { "expr/unknown-member", 422 } };
const struct ar_err_def AR_E_EXPR_TYPE[1] = { { "expr/type", 422 } };

struct parser {
	struct lexer lexer;
	struct ar_expr *expr;
	unsigned nesting;
};

static int parse_or(struct parser *p, struct node **ret);

static int fail_limit(const char *what, unsigned max)
{
	char text[16] = "";
	struct ar_buf buf AR_CLEANUP(ar_buf_done);

	ar_buf_init(&buf, sizeof(text) - 1);
	ar_buf_int(&buf, max);
	memcpy(text, buf.p, buf.n);
	return ar_fail(AR_E_EXPR_LIMIT, "what", what, "max", text);
}

static int fail_here(struct parser *p, const char *reason)
{
	return lex_fail(p->lexer.text, p->lexer.now.at, reason);
}

/* Kids' sizes are counted already, except for `extra`. */
static int grow(struct parser *p, size_t extra)
{
	p->expr->nodes += extra;
	return p->expr->nodes > AR_EXPR_NODES_MAX ? fail_limit("nodes", AR_EXPR_NODES_MAX) : 0;
}

static int node_new(struct parser *p, enum node_kind kind, unsigned at, struct node **kids,
		    size_t nkids, struct node **ret)
{
	struct node *node;

	if (grow(p, 1) != 0)
		return -1;
	node = ar_new(p->expr->pool, struct node);
	node->kind = kind;
	node->at = at;
	node->root = -1;
	node->size = 1;
	node->nkids = nkids;
	if (nkids > 0) {
		node->kids = ar_memdup(p->expr->pool, kids, nkids * sizeof(*kids));
		node->conv = ar_new_n(p->expr->pool, enum conv, nkids);
	}
	for (size_t i = 0; i < nkids; i++) {
		node->depth = AR_MAX(node->depth, kids[i]->depth);
		node->size += kids[i]->size;
	}
	if (++node->depth > AR_EXPR_DEPTH_MAX)
		return fail_limit("depth", AR_EXPR_DEPTH_MAX);
	*ret = node;
	return 0;
}

static int node_op(struct parser *p, enum node_kind kind, const struct token *op, struct node *a,
		   struct node *b, struct node **ret)
{
	struct node *kids[2] = { a, b };

	if (node_new(p, kind, op->at, kids, 2, ret) != 0)
		return -1;
	(*ret)->op = op->op;
	(*ret)->any = op->kind == T_ANY_OP;
	return 0;
}

struct list {
	struct node **kids;
	size_t n, cap;
};

static void list_add(struct parser *p, struct list *list, struct node *kid)
{
	if (list->n == list->cap) {
		struct node **more = ar_new_n(p->expr->pool, struct node *, 4 + list->cap * 2);

		if (list->n > 0)
			memcpy(more, list->kids, list->n * sizeof(*more));
		list->kids = more;
		list->cap = 4 + list->cap * 2;
	}
	list->kids[list->n++] = kid;
}

/* (a, b, c): the opening parenthesis is the token at hand; nodes limit the length. */
static int parse_list(struct parser *p, struct list *list)
{
	struct node *kid;

	if (lex_next(&p->lexer) != 0)
		return -1;
	if (p->lexer.now.kind == T_CLOSE)
		return lex_next(&p->lexer);
	for (;;) {
		if (parse_or(p, &kid) != 0)
			return -1;
		list_add(p, list, kid);
		if (p->lexer.now.kind == T_CLOSE)
			return lex_next(&p->lexer);
		if (p->lexer.now.kind != T_COMMA)
			return fail_here(p, "comma");
		if (lex_next(&p->lexer) != 0)
			return -1;
	}
}

static int parse_call(struct parser *p, struct node **ret)
{
	struct token name = p->lexer.now;
	struct list args = { 0 };

	if (lex_next(&p->lexer) != 0 || parse_list(p, &args) != 0 ||
	    node_new(p, N_CALL, name.at, args.kids, args.n, ret) != 0)
		return -1;
	(*ret)->name = name.name;
	return 0;
}

static int parse_group(struct parser *p, struct node **ret)
{
	unsigned at = p->lexer.now.at;

	if (lex_next(&p->lexer) != 0 || parse_or(p, ret) != 0)
		return -1;
	if (p->lexer.now.kind != T_CLOSE)
		return lex_fail(p->lexer.text, at, "parenthesis-open");
	return lex_next(&p->lexer);
}

static int parse_leaf(struct parser *p, struct node **ret)
{
	struct token token = p->lexer.now;
	struct node *node;

	if (node_new(p, N_LITERAL, token.at, NULL, 0, &node) != 0)
		return -1;
	if (token.kind == T_LITERAL) {
		node->value = token.value;
		node->type = token.type;
		node->written = true;
	} else if (token.kind == T_PARAM) {
		node->kind = N_PARAM;
		node->name = token.name;
	} else if (token.nparts == 1 && ar_str_is(token.parts[0], "@now")) {
		node->kind = N_NOW;
	} else {
		node->kind = N_PATH;
		node->nparts = token.nparts;
		node->parts = ar_memdup(p->expr->pool, token.parts,
					token.nparts * sizeof(token.parts[0]));
	}
	*ret = node;
	return lex_next(&p->lexer);
}

static int parse_primary(struct parser *p, struct node **ret)
{
	switch (p->lexer.now.kind) {
	case T_LITERAL:
	case T_PARAM:
	case T_PATH:
		return parse_leaf(p, ret);
	case T_NAME:
		return parse_call(p, ret);
	case T_OPEN:
		return parse_group(p, ret);
	case T_END:
		return fail_here(p, "end");
	default:
		return fail_here(p, "operand");
	}
}

static int parse_prefix(struct parser *p, struct node **ret)
{
	struct token op = p->lexer.now;
	struct node *kid;

	if (lex_is_negative(&p->lexer))
		return lex_negative(&p->lexer) != 0 ? -1 : parse_primary(p, ret);
	if (op.kind != T_NOT && !(op.kind == T_OP && op.op == OP_SUB))
		return parse_primary(p, ret);
	if (++p->nesting > AR_EXPR_DEPTH_MAX)
		return fail_limit("depth", AR_EXPR_DEPTH_MAX);
	if (lex_next(&p->lexer) != 0 || parse_prefix(p, &kid) != 0)
		return -1;
	p->nesting--;
	return node_new(p, op.kind == T_NOT ? N_NOT : N_NEGATE, op.at, &kid, 1, ret);
}

static bool is_op(const struct parser *p, enum op a, enum op b)
{
	return p->lexer.now.kind == T_OP && (p->lexer.now.op == a || p->lexer.now.op == b);
}

static int parse_product(struct parser *p, struct node **ret)
{
	if (parse_prefix(p, ret) != 0)
		return -1;
	while (is_op(p, OP_MUL, OP_DIV)) {
		struct token op = p->lexer.now;
		struct node *right = NULL;

		if (lex_next(&p->lexer) != 0 || parse_prefix(p, &right) != 0 ||
		    node_op(p, N_ARITH, &op, *ret, right, ret) != 0)
			return -1;
	}
	return 0;
}

static int parse_sum(struct parser *p, struct node **ret)
{
	if (parse_product(p, ret) != 0)
		return -1;
	while (is_op(p, OP_ADD, OP_SUB)) {
		struct token op = p->lexer.now;
		struct node *right = NULL;

		if (lex_next(&p->lexer) != 0 || parse_product(p, &right) != 0 ||
		    node_op(p, N_ARITH, &op, *ret, right, ret) != 0)
			return -1;
	}
	return 0;
}

static int parse_in(struct parser *p, struct node *left, struct node **ret)
{
	struct token op = { .kind = T_OP, .op = OP_EQ, .at = p->lexer.now.at };
	struct list list = { 0 };
	struct node *right = NULL;

	if (lex_next(&p->lexer) != 0)
		return -1;
	if (p->lexer.now.kind != T_OPEN) {
		op.kind = T_ANY_OP;
		return parse_sum(p, &right) != 0 ? -1
						 : node_op(p, N_COMPARE, &op, left, right, ret);
	}
	if (parse_list(p, &list) != 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		if ((i > 0 && grow(p, left->size) != 0) ||
		    node_op(p, N_COMPARE, &op, left, list.kids[i], &list.kids[i]) != 0)
			return -1;
	return node_new(p, N_OR, op.at, list.kids, list.n, ret);
}

static int parse_comparison(struct parser *p, struct node **ret)
{
	struct token op;
	struct node *right = NULL;

	if (parse_sum(p, ret) != 0)
		return -1;
	op = p->lexer.now;
	if (op.kind == T_IN) {
		if (parse_in(p, *ret, ret) != 0)
			return -1;
	} else if (op.kind == T_ANY_OP || (op.kind == T_OP && op.op <= OP_NOT_LIKE)) {
		if (lex_next(&p->lexer) != 0 || parse_sum(p, &right) != 0 ||
		    node_op(p, N_COMPARE, &op, *ret, right, ret) != 0)
			return -1;
	} else
		return 0;
	op = p->lexer.now;
	if (op.kind == T_IN || op.kind == T_ANY_OP || (op.kind == T_OP && op.op <= OP_NOT_LIKE))
		return fail_here(p, "chain");
	return 0;
}

static int parse_chain(struct parser *p, enum token_kind sign, struct node **ret)
{
	unsigned at = p->lexer.now.at;
	struct list list = { 0 };
	struct node *kid;

	for (;;) {
		if ((sign == T_OR ? parse_chain(p, T_AND, &kid) : parse_comparison(p, &kid)) != 0)
			return -1;
		if (list.n == 0 && p->lexer.now.kind != sign) {
			*ret = kid;
			return 0;
		}
		list_add(p, &list, kid);
		if (p->lexer.now.kind != sign)
			break;
		if (lex_next(&p->lexer) != 0)
			return -1;
	}
	return node_new(p, sign == T_OR ? N_OR : N_AND, at, list.kids, list.n, ret);
}

static int parse_or(struct parser *p, struct node **ret)
{
	if (++p->nesting > AR_EXPR_DEPTH_MAX)
		return fail_limit("depth", AR_EXPR_DEPTH_MAX);
	if (parse_chain(p, T_OR, ret) != 0)
		return -1;
	p->nesting--;
	return 0;
}

int ar_expr_parse(struct ar_pool *pool, struct ar_str text, struct ar_expr **ret)
{
	struct parser p = { .lexer = { .pool = pool } };

	if (text.n > AR_EXPR_LENGTH_MAX)
		return fail_limit("length", AR_EXPR_LENGTH_MAX);
	if (!ar_utf8_valid(text) || (text.n > 0 && memchr(text.p, '\0', text.n) != NULL))
		return ar_fail(AR_E_EXPR_SYNTAX, "position", "1", "reason", "utf-8");
	p.expr = ar_new(pool, struct ar_expr);
	p.expr->pool = pool;
	p.expr->text = ar_str_dup(pool, text);
	p.lexer.text = p.expr->text;
	if (lex_next(&p.lexer) != 0 || parse_or(&p, &p.expr->top) != 0)
		return -1;
	if (p.lexer.now.kind != T_END)
		return fail_here(&p, "operator");
	*ret = p.expr;
	return 0;
}

struct ar_str ar_expr_text(const struct ar_expr *expr)
{
	return expr->text;
}
