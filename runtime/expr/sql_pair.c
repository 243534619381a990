/*
 * sql_pair.c - one comparison between two values as SQL, true exactly when value_compare() is.
 *
 * A constant arrives with its kind, so the column's side is all that SQL has to know: a constant of
 * another kind makes the comparison never true. Int columns meet float constants (and the other way
 * round) by a constant of the column's own type, which is exact and keeps indexes usable.
 */
#include "expr/expr_int.h"

#include <math.h>

enum op op_flip(enum op op)
{
	switch (op) {
	case OP_LT:
		return OP_GT;
	case OP_LE:
		return OP_GE;
	case OP_GT:
		return OP_LT;
	case OP_GE:
		return OP_LE;
	default:
		return op;
	}
}

static const char *const signs[] = {
	[OP_EQ] = " = ", [OP_LT] = " < ", [OP_LE] = " <= ", [OP_GT] = " > ", [OP_GE] = " >= ",
};

/* How a side compares: as a number of its type, as text, as a bool. */
static enum ar_expr_type side_type(const struct ref *ref)
{
	if (ref->type == AR_X_DURATION)
		return AR_X_INT;
	return check_is_time(ref->type) ? AR_X_TEXT : ref->type;
}

/* The side as a value of the type: its own, or what its JSON holds of it. */
static int side(struct gen *gen, const struct ref *ref, enum ar_expr_type type)
{
	if (ref->type == AR_X_JSON)
		gen_as(gen, ref, type == AR_X_TEXT ? C_TEXT : type == AR_X_BOOL ? C_BOOL : C_FLOAT);
	else if (gen_converted(gen, ref->node, ref->conv) != 0)
		return -1;
	if (type == AR_X_TEXT)
		gen_add(gen, "", " COLLATE \"C\"");
	return 0;
}

/* ---- numbers against constants ---- */

enum answer { BIND, NEVER, NOT_NULL };

/* An int side against a float: the same question with an int. */
static enum answer int_against(enum op *op, double f, int64_t *ret)
{
	double below = floor(f);

	if (f >= 9223372036854775808.0)
		return *op == OP_LT || *op == OP_LE ? NOT_NULL : NEVER;
	if (f < -9223372036854775808.0)
		return *op == OP_GT || *op == OP_GE ? NOT_NULL : NEVER;
	*ret = (int64_t)below;
	if (below == f)
		return BIND;
	if (*op == OP_EQ)
		return NEVER;
	*op = *op == OP_LT || *op == OP_LE ? OP_LE : OP_GT;
	return BIND;
}

/* A float side against an int: the same question with the nearest float. */
static enum answer float_against(enum op *op, int64_t i, double *ret)
{
	struct ar_json whole = AR_J_INT(i), near = AR_J_FLOAT((double)i);
	int order = value_order(&whole, &near);
	bool less = *op == OP_LT || *op == OP_LE;

	*ret = near.f;
	if (order == 0)
		return BIND;
	if (*op == OP_EQ)
		return NEVER;
	if (order > 0) /* near is the last float below i */
		*op = less ? OP_LE : OP_GT;
	else
		*op = less ? OP_LT : OP_GE;
	return BIND;
}

static enum answer number_against(enum ar_expr_type type, enum op *op, const struct ar_json *v,
				  struct ar_json *ret)
{
	enum answer answer = BIND;

	*ret = *v;
	if (type == AR_X_INT && v->type == AR_FLOAT) {
		*ret = AR_J_INT(0);
		answer = int_against(op, v->f, &ret->i);
	} else if (type != AR_X_INT && v->type == AR_INT) {
		*ret = AR_J_FLOAT(0);
		answer = float_against(op, v->i, &ret->f);
	}
	return answer;
}

/* ---- against a constant ---- */

static int against_text(struct gen *gen, enum op op, const struct ref *a, struct ar_json v)
{
	if (side(gen, a, AR_X_TEXT) != 0)
		return -1;
	ar_sql_add(gen->sql, signs[op]);
	gen_bind(gen, v, AR_X_TEXT);
	return 0;
}

static int against_bool(struct gen *gen, const struct ref *a, bool v)
{
	if (side(gen, a, AR_X_BOOL) != 0)
		return -1;
	gen_add(gen, v ? " = 1" : " = 0", v ? " = TRUE" : " = FALSE");
	return 0;
}

static int against_number(struct gen *gen, enum op op, const struct ref *a, const struct ar_json *v,
			  enum ar_expr_truth *ret)
{
	enum ar_expr_type type = side_type(a) == AR_X_INT ? AR_X_INT : AR_X_FLOAT;
	struct ar_json bound;
	enum answer answer = number_against(type, &op, v, &bound);

	if (answer == NEVER) {
		*ret = AR_X_NEVER;
		return 0;
	}
	if (side(gen, a, type) != 0)
		return -1;
	if (answer == NOT_NULL) {
		ar_sql_add(gen->sql, " IS NOT NULL");
		return 0;
	}
	ar_sql_add(gen->sql, signs[op]);
	gen_bind(gen, bound, type);
	return 0;
}

/* %: any run; everything else means itself. ! escapes for LIKE. */
static struct ar_str like_pattern(struct gen *gen, struct ar_str s, bool pattern)
{
	struct ar_buf *buf = ar_buf_new(gen->sql->pool, s.n * 2 + 2);
	bool wild = pattern && value_has_wildcard(s);

	if (!wild)
		ar_buf_char(buf, '%');
	for (size_t i = 0; i < s.n; i++) {
		bool escaped = pattern && s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '%';
		char c = s.p[escaped ? ++i : i];

		if (c == '_' || c == '!' || (c == '%' && (escaped || !wild)))
			ar_buf_char(buf, '!');
		ar_buf_char(buf, c);
	}
	if (!wild)
		ar_buf_char(buf, '%');
	return ar_buf_view(buf);
}

static int against_like(struct gen *gen, const struct ref *a, struct ar_str s, bool pattern)
{
	if (side(gen, a, AR_X_TEXT) != 0)
		return -1;
	gen_add(gen, " LIKE ", " ILIKE ");
	gen_bind(gen, AR_J_STR(like_pattern(gen, s, pattern)), AR_X_TEXT);
	ar_sql_add(gen->sql, " ESCAPE '!'");
	return 0;
}

/* SQLite's LIKE takes patterns up to 50,000 bytes. */
static int against_long_part(struct gen *gen, const struct ref *a, struct ar_str s)
{
	gen_add(gen, "instr(lower(", "strpos(lower(");
	if (side(gen, a, AR_X_TEXT) != 0)
		return -1;
	gen_add(gen, "), lower(", "), lower((");
	gen_bind(gen, AR_J_STR(s), AR_X_TEXT);
	gen_add(gen, ")) > 0", ") COLLATE \"C\")) > 0");
	return 0;
}

int gen_ref_const(struct gen *gen, enum op op, const struct ref *a, const struct ar_json *v,
		  bool pattern, enum ar_expr_truth *ret)
{
	enum ar_expr_type type = side_type(a);
	bool json = type == AR_X_JSON;

	*ret = AR_X_DEPENDS;
	if (op == OP_LIKE) {
		if (v->type != AR_STRING)
			*ret = AR_X_NEVER;
		else if (v->s.n > 10000 && !(pattern && value_has_wildcard(v->s)))
			return against_long_part(
				gen, a, pattern ? value_unescape(gen->sql->pool, v->s) : v->s);
		else if (v->s.n > 20000)
			return ar_fail(AR_E_EXPR_LIMIT, "what", "pattern", "max", "20000");
		else
			return against_like(gen, a, v->s, pattern);
	} else if (value_is_number(v) && (json || check_is_number(type))) {
		return against_number(gen, op, a, v, ret);
	} else if (v->type == AR_STRING && (json || type == AR_X_TEXT)) {
		return against_text(gen, op, a, *v);
	} else if (v->type == AR_BOOL && op == OP_EQ && (json || type == AR_X_BOOL)) {
		return against_bool(gen, a, v->b);
	} else {
		*ret = AR_X_NEVER;
	}
	return 0;
}

/* constant ~ row */
int gen_const_like(struct gen *gen, const struct ar_json *v, const struct ref *b,
		   enum ar_expr_truth *ret)
{
	*ret = v->type == AR_STRING ? AR_X_DEPENDS : AR_X_NEVER;
	if (v->type != AR_STRING)
		return 0;
	gen_add(gen, "instr(lower(", "strpos(lower((");
	gen_bind(gen, *v, AR_X_TEXT);
	gen_add(gen, "), lower(", ") COLLATE \"C\"), lower(");
	if (side(gen, b, AR_X_TEXT) != 0)
		return -1;
	ar_sql_add(gen->sql, ")) > 0");
	return 0;
}

/* ---- lists of constants ---- */

static bool in_member(enum ar_expr_type type, const struct ar_json *v, struct ar_json *ret)
{
	enum op op = OP_EQ;

	*ret = *v;
	if (type == AR_X_TEXT)
		return v->type == AR_STRING;
	if (type == AR_X_BOOL)
		return v->type == AR_BOOL;
	return value_is_number(v) && number_against(type, &op, v, ret) == BIND;
}

/* One `side IN (...)` with the values of one type; returns how many there were, or -1. */
static int in_type(struct gen *gen, const struct ref *a, enum ar_expr_type type,
		   const struct ar_json *const *values, size_t n, const char *before)
{
	struct ar_json bound;
	int count = 0;

	for (size_t i = 0; i < n; i++) {
		if (!in_member(type, values[i], &bound))
			continue;
		if (count++ == 0) {
			ar_sql_add(gen->sql, before);
			if (side(gen, a, type) != 0)
				return -1;
			ar_sql_add(gen->sql, " IN (");
		} else {
			ar_sql_add(gen->sql, ", ");
		}
		gen_bind(gen, bound, type);
	}
	if (count > 0)
		ar_sql_add(gen->sql, ")");
	return count;
}

int gen_ref_in(struct gen *gen, const struct ref *a, const struct ar_json *const *values, size_t n,
	       enum ar_expr_truth *ret)
{
	static const enum ar_expr_type kinds[] = { AR_X_TEXT, AR_X_FLOAT, AR_X_BOOL };
	enum ar_expr_type own = side_type(a);
	int total = 0, count;

	if (own != AR_X_JSON) {
		total = in_type(gen, a, own, values, n, "");
	} else {
		for (size_t i = 0; i < AR_COUNT(kinds) && total >= 0; i++) {
			count = in_type(gen, a, kinds[i], values, n, total > 0 ? " OR " : "");
			total = count < 0 ? -1 : total + count;
		}
	}
	*ret = total == 0 ? AR_X_NEVER : AR_X_DEPENDS;
	return total < 0 ? -1 : 0;
}

/* ---- two sides that depend on the row ---- */

static int refs_as(struct gen *gen, enum op op, const struct ref *a, const struct ref *b,
		   enum ar_expr_type type)
{
	if (side(gen, a, type) != 0)
		return -1;
	ar_sql_add(gen->sql, signs[op]);
	return side(gen, b, type);
}

/* PostgreSQL compares int with float as floats; value_order() is exact, and SQLite is. */
static int refs_int_float(struct gen *gen, enum op op, const struct ref *i, const struct ref *f)
{
	bool less = op == OP_LT || op == OP_LE;

	ar_sql_add(gen->sql, "(SELECT CASE WHEN q.i IS NULL OR q.f IS NULL THEN NULL "
			     "WHEN CAST(q.i AS float8) <> q.f THEN CAST(q.i AS float8)");
	ar_sql_add(gen->sql, signs[op]);
	ar_sql_add(gen->sql, "q.f WHEN q.f >= 9223372036854775808 THEN ");
	ar_sql_add(gen->sql, less ? "TRUE" : "FALSE");
	ar_sql_add(gen->sql, " ELSE q.i");
	ar_sql_add(gen->sql, signs[op]);
	ar_sql_add(gen->sql, "CAST(q.f AS bigint) END FROM (SELECT ");
	if (side(gen, i, AR_X_INT) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS i, ");
	if (side(gen, f, AR_X_FLOAT) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS f) AS q)");
	return 0;
}

static int refs_json(struct gen *gen, enum op op, const struct ref *a, const struct ref *b)
{
	if (refs_as(gen, op, a, b, AR_X_FLOAT) != 0)
		return -1;
	ar_sql_add(gen->sql, " OR ");
	if (refs_as(gen, op, a, b, AR_X_TEXT) != 0)
		return -1;
	if (op != OP_EQ)
		return 0;
	ar_sql_add(gen->sql, " OR ");
	return refs_as(gen, op, a, b, AR_X_BOOL);
}

int gen_refs(struct gen *gen, enum op op, const struct ref *a, const struct ref *b)
{
	enum ar_expr_type ta = side_type(a), tb = side_type(b);

	if (op == OP_LIKE) {
		gen_add(gen, "instr(lower(", "strpos(lower(");
		if (side(gen, a, AR_X_TEXT) != 0)
			return -1;
		ar_sql_add(gen->sql, "), lower(");
		if (side(gen, b, AR_X_TEXT) != 0)
			return -1;
		ar_sql_add(gen->sql, ")) > 0");
		return 0;
	}
	if (ta == AR_X_JSON && tb == AR_X_JSON)
		return refs_json(gen, op, a, b);
	if (ta == AR_X_JSON && tb == AR_X_INT)
		ta = AR_X_FLOAT;
	if (tb == AR_X_JSON && ta == AR_X_INT)
		tb = AR_X_FLOAT;
	if (gen->dialect == AR_EXPR_POSTGRES && ta == AR_X_INT && tb == AR_X_FLOAT)
		return refs_int_float(gen, op, a, b);
	if (gen->dialect == AR_EXPR_POSTGRES && ta == AR_X_FLOAT && tb == AR_X_INT)
		return refs_int_float(gen, op_flip(op), b, a);
	if (side(gen, a, ta == AR_X_JSON ? tb : ta) != 0)
		return -1;
	ar_sql_add(gen->sql, signs[op]);
	return side(gen, b, tb == AR_X_JSON ? ta : tb);
}
