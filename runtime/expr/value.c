/*
 * value.c - what single values do: compare, match, convert, calculate.
 *
 * These few functions are the meaning of the language; the SQL back end says the same in SQL and
 * uses these for everything that is constant. Nothing here fails: what has no answer is null.
 */
#include "expr/expr_int.h"

#include <math.h>

bool value_is_number(const struct ar_json *v)
{
	return v->type == AR_INT || v->type == AR_FLOAT;
}

/* Exact, also where an int has no double of its own. */
static int order_int_float(int64_t i, double f)
{
	double d = (double)i; /* rounding keeps order: only equality needs a second look */

	if (d != f)
		return d < f ? -1 : 1;
	if (f >= 9223372036854775808.0)
		return -1;
	int64_t g = (int64_t)f;

	return (i > g) - (i < g);
}

int value_order(const struct ar_json *a, const struct ar_json *b)
{
	if (a->type == AR_INT && b->type == AR_INT)
		return (a->i > b->i) - (a->i < b->i);
	if (a->type == AR_INT)
		return order_int_float(a->i, b->f);
	if (b->type == AR_INT)
		return -order_int_float(b->i, a->f);
	return (a->f > b->f) - (a->f < b->f);
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same_folded(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fold(a[i]) != fold(b[i]))
			return false;
	return true;
}

bool value_contains(struct ar_str text, struct ar_str part)
{
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (same_folded(text.p + i, part.p, part.n))
			return true;
	return false;
}

bool value_has_wildcard(struct ar_str pattern)
{
	for (size_t i = 0; i < pattern.n; i++) {
		if (pattern.p[i] == '%')
			return true;
		if (pattern.p[i] == '\\' && i + 1 < pattern.n && pattern.p[i + 1] == '%')
			i++;
	}
	return false;
}

struct ar_str value_unescape(struct ar_pool *pool, struct ar_str pattern)
{
	char *out = ar_alloc(pool, pattern.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < pattern.n; i++) {
		if (pattern.p[i] == '\\' && i + 1 < pattern.n && pattern.p[i + 1] == '%')
			i++;
		out[n++] = pattern.p[i];
	}
	return ar_str_n(out, n);
}

/* Greedy with one point to return to: length of text times length of pattern at worst. */
bool value_like(struct ar_str text, struct ar_str pattern)
{
	size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '%') {
			back_p = ++p;
			back_t = t;
			continue;
		}
		size_t skip = p + 1 < pattern.n && pattern.p[p] == '\\' && pattern.p[p + 1] == '%';

		if (p < pattern.n && fold(text.p[t]) == fold(pattern.p[p + skip])) {
			t++;
			p += 1 + skip;
		} else if (back_p != SIZE_MAX) {
			p = back_p;
			t = ++back_t;
		} else
			return false;
	}
	while (p < pattern.n && pattern.p[p] == '%')
		p++;
	return p == pattern.n;
}

static bool compare_kinds(enum op op, const struct ar_json *a, const struct ar_json *b, int *order)
{
	if (value_is_number(a) && value_is_number(b))
		*order = value_order(a, b);
	else if (a->type == AR_STRING && b->type == AR_STRING)
		*order = ar_str_cmp(a->s, b->s);
	else if (a->type == AR_BOOL && b->type == AR_BOOL && (op == OP_EQ || op == OP_NE))
		*order = a->b != b->b;
	else
		return false;
	return true;
}

bool value_compare(enum op op, const struct ar_json *a, const struct ar_json *b)
{
	int order = 0;

	if (op == OP_NE)
		return !value_compare(OP_EQ, a, b);
	if (op == OP_NOT_LIKE)
		return !value_compare(OP_LIKE, a, b);
	if (op == OP_LIKE)
		return a->type == AR_STRING && b->type == AR_STRING && value_contains(a->s, b->s);
	if (!compare_kinds(op, a, b, &order))
		return false;
	switch (op) {
	case OP_EQ:
		return order == 0;
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_GT:
		return order > 0;
	default:
		return order >= 0;
	}
}

bool value_float_ok(double v)
{
	return v == 0 || (fabs(v) >= 1e-150 && fabs(v) <= 1e150);
}

static double as_float(const struct ar_json *v)
{
	return v->type == AR_INT ? (double)v->i : v->f;
}

static void arith_int(enum op op, int64_t a, int64_t b, struct ar_json *ret)
{
	int64_t v;
	bool over = op == OP_ADD   ? __builtin_add_overflow(a, b, &v)
		    : op == OP_SUB ? __builtin_sub_overflow(a, b, &v)
				   : __builtin_mul_overflow(a, b, &v);

	*ret = over ? AR_J_NULL : AR_J_INT(v);
}

void value_arith(enum op op, const struct ar_json *a, const struct ar_json *b, struct ar_json *ret)
{
	*ret = AR_J_NULL;
	if (!value_is_number(a) || !value_is_number(b))
		return;
	if (a->type == AR_INT && b->type == AR_INT && op != OP_DIV) {
		arith_int(op, a->i, b->i, ret);
		return;
	}
	double x = as_float(a), y = as_float(b);

	if (!value_float_ok(x) || !value_float_ok(y) || (op == OP_DIV && y == 0))
		return;
	*ret = AR_J_FLOAT(op == OP_ADD   ? x + y
			  : op == OP_SUB ? x - y
			  : op == OP_MUL ? x * y
					 : x / y);
}

void value_time(struct ar_pool *pool, int64_t ms, struct ar_json *ret)
{
	*ret = AR_J_NULL;
	if (ms < TIME_MIN_MS || ms > TIME_MAX_MS)
		return;
	char *text = ar_alloc(pool, AR_TIME_MAX);

	*ret = AR_J_STR(ar_str_n(text, ar_time_format(ms, text)));
}

bool value_ms(const struct ar_json *time, int64_t *ret)
{
	return time->type == AR_STRING && ar_time_parse(time->s, ret) && *ret >= TIME_MIN_MS &&
	       *ret <= TIME_MAX_MS;
}

void value_convert(enum conv conv, struct ar_pool *pool, struct ar_json *v)
{
	int64_t ms;

	switch (conv) {
	case C_NONE:
		break;
	case C_MIDNIGHT:
	case C_TIME:
		if (value_ms(v, &ms))
			value_time(pool, ms, v);
		else
			*v = AR_J_NULL;
		break;
	case C_FLOAT:
		*v = value_is_number(v) ? AR_J_FLOAT(as_float(v)) : AR_J_NULL;
		break;
	case C_TEXT:
		if (v->type != AR_STRING)
			*v = AR_J_NULL;
		break;
	case C_BOOL:
		if (v->type != AR_BOOL)
			*v = AR_J_NULL;
		break;
	case C_LOOSE:
		if (v->type == AR_INT)
			*v = AR_J_FLOAT((double)v->i);
		break;
	}
}

bool value_index(struct ar_str part, int64_t *ret)
{
	for (size_t i = 0; i < part.n; i++)
		if (part.p[i] < '0' || part.p[i] > '9')
			return false;
	return part.n <= 9 && ar_str_int(part, ret);
}

const struct ar_json *value_member(const struct ar_json *v, const struct ar_str *parts, size_t n)
{
	int64_t index;

	for (size_t i = 0; i < n && v != NULL; i++) {
		if (!value_index(parts[i], &index)) {
			v = v->type == AR_OBJECT ? ar_json_get_str(v, parts[i]) : NULL;
			continue;
		}
		if (v->type != AR_ARRAY)
			return NULL;
		v = v->first;
		while (v != NULL && index-- > 0)
			v = v->next;
	}
	return v;
}
