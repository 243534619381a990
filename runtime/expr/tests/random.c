/*
 * random.c - a grammar that produces text: conditions of typed pieces, with constants and cells drawn
 * from the same small sets, so that equal, less and contained all happen.
 */
#include "expr/tests/random.h"

const struct column columns[] = {
	{ "i", AR_X_INT },  { "k", AR_X_INT },      { "f", AR_X_FLOAT },    { "g", AR_X_FLOAT },
	{ "s", AR_X_TEXT }, { "t", AR_X_TEXT },     { "b", AR_X_BOOL },     { "c", AR_X_BOOL },
	{ "d", AR_X_DATE }, { "w", AR_X_DATETIME }, { "x", AR_X_DATETIME }, { "j", AR_X_JSON },
	{ "l", AR_X_JSON },
};
const size_t columns_count = AR_COUNT(columns);

uint64_t random_state = 1;

size_t random_below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)((random_state >> 11) % n);
}

static const char *const ints[] = { "0",
				    "1",
				    "-1",
				    "2",
				    "3",
				    "7",
				    "100",
				    "9007199254740993",
				    "-5",
				    "9223372036854775807",
				    "-9223372036854775808" };
static const char *const floats[] = { "0.5",    "1.0",  "-1.5",  "2.0",    "2.5",
				      "7.25",   "1e3",  "1e200", "1e-200", "9007199254740992.0",
				      "9.3e18", "-0.5", "100.0" };
static const char *const texts[] = { "''",       "'a'",     "'A'",      "'ab'",  "'Abc'",
				     "'b%'",     "'%b'",    "'_'",      "'a_c'", "'50%'",
				     "'x\\\\y'", "'中文'",  "'é'",      "'!'",   "'1'",
				     "'true'",   "'aXbXc'", "'  pad '", "'a%c'", "'2024-02-29'",
				     "'%'",      "'\\%'",   "'ZZ'",     "'z'" };
static const char *const dates[] = { "'2024-02-29'", "'1970-01-01'", "'2026-11-24'", "'0001-01-01'",
				     "'9999-12-31'" };
static const char *const times[] = { "'2024-02-29T00:00:00.000Z'",
				     "'2026-11-24T16:09:00.001Z'",
				     "'1969-12-31T23:59:59.999Z'",
				     "'2024-02-28T23:30:00Z'",
				     "@now",
				     "'9999-12-31T23:59:59.999Z'",
				     "'0001-01-01T00:00:00.000Z'" };
static const char *const spans[] = { "1d",  "30d", "12h", "5m",    "10s",
				     "1ms", "0s",  "-1d", "4000w", "1h30m" };
static const char *const jsons[] = { "j",   "j.a", "j.b",   "j.a.0",   "l",
				     "l.0", "l.1", "j.c.d", "j['a b']" };
static const char *const roots[] = { "@auth.n",    "@auth.f", "@auth.s", "@auth.b", "@auth.l",
				     "@auth.none", "@auth.o", "@auth.t", "@auth" };
static const char *const orders[] = { "=", "!=", "<", "<=", ">", ">=" };
static const char *const any_orders[] = { "?=", "?!=", "?<", "?<=", "?>", "?>=" };

#define PICK(list) (list)[random_below(AR_COUNT(list))]

static void put(struct ar_buf *out, const char *text)
{
	ar_buf_z(out, text);
}

static void number(struct ar_buf *out, int depth);
static void text(struct ar_buf *out, int depth);
static void datetime(struct ar_buf *out, int depth);
static void boolean(struct ar_buf *out, int depth);

static void call(struct ar_buf *out, const char *name, void (*arg)(struct ar_buf *, int), int depth)
{
	put(out, name);
	put(out, "(");
	arg(out, depth - 1);
	put(out, ")");
}

static void any_json(struct ar_buf *out, int depth)
{
	put(out, random_below(3) == 0 ? PICK(roots) : PICK(jsons));
}

static void anything(struct ar_buf *out, int depth)
{
	static void (*const kinds[])(struct ar_buf *, int) = { number, text, datetime, boolean,
							       any_json };

	PICK(kinds)(out, depth);
}

static void two(struct ar_buf *out, void (*piece)(struct ar_buf *, int), const char *between,
		int depth)
{
	piece(out, depth - 1);
	put(out, between);
	piece(out, depth - 1);
}

static void branches(struct ar_buf *out, void (*piece)(struct ar_buf *, int), int depth)
{
	if (random_below(2) == 0) {
		put(out, "coalesce(");
	} else {
		put(out, "if(");
		random_condition(out, depth - 1);
		put(out, ", ");
	}
	two(out, piece, ", ", depth);
	put(out, ")");
}

static void duration(struct ar_buf *out, int depth)
{
	if (depth <= 0 || random_below(3) > 0) {
		put(out, PICK(spans));
		return;
	}
	put(out, "(");
	two(out, random_below(2) == 0 ? datetime : duration, " - ", depth);
	put(out, ")");
}

static void number_deep(struct ar_buf *out, int depth)
{
	static const char *const signs[] = { " + ", " - ", " * ", " / " };
	static const char *const wholes[] = { "abs", "floor", "ceil", "round" };
	static const char *const parts[] = { "year", "month", "day" };

	switch (random_below(8)) {
	case 0:
		call(out, PICK(wholes), number, depth);
		break;
	case 1:
		call(out, PICK(parts), datetime, depth);
		break;
	case 2:
		call(out, "length", random_below(3) == 0 ? any_json : text, depth);
		break;
	case 3:
		branches(out, number, depth);
		break;
	case 4:
		put(out, "-");
		number(out, depth - 1);
		break;
	default:
		put(out, "(");
		two(out, number, PICK(signs), depth);
		put(out, ")");
	}
}

static void number(struct ar_buf *out, int depth)
{
	static const char *const names[] = { "i", "k", "f", "g" };

	if (depth > 0 && random_below(3) == 0) {
		number_deep(out, depth);
		return;
	}
	switch (random_below(7)) {
	case 0:
		put(out, PICK(ints));
		break;
	case 1:
		put(out, PICK(floats));
		break;
	case 2:
		any_json(out, depth);
		break;
	default:
		put(out, PICK(names));
	}
}

static void text_deep(struct ar_buf *out, int depth)
{
	static const char *const names[] = { "lower", "upper", "trim" };

	switch (random_below(5)) {
	case 0:
		branches(out, text, depth);
		break;
	case 1:
		call(out, "text", random_below(4) > 0 ? number : anything, depth);
		break;
	case 2:
		put(out, "(");
		two(out, text, " + ", depth);
		put(out, ")");
		break;
	default:
		call(out, PICK(names), text, depth);
	}
}

static void text(struct ar_buf *out, int depth)
{
	if (depth > 0 && random_below(3) == 0) {
		text_deep(out, depth);
		return;
	}
	switch (random_below(6)) {
	case 0:
	case 1:
		put(out, PICK(texts));
		break;
	case 2:
		any_json(out, depth);
		break;
	default:
		put(out, random_below(2) == 0 ? "s" : "t");
	}
}

static void datetime_deep(struct ar_buf *out, int depth)
{
	switch (random_below(4)) {
	case 0:
		branches(out, datetime, depth);
		break;
	case 1:
		call(out, "date", datetime, depth);
		break;
	default:
		put(out, "(");
		datetime(out, depth - 1);
		put(out, random_below(2) == 0 ? " + " : " - ");
		duration(out, depth - 1);
		put(out, ")");
	}
}

static void datetime(struct ar_buf *out, int depth)
{
	static const char *const names[] = { "d", "w", "x" };

	if (depth > 0 && random_below(3) == 0) {
		datetime_deep(out, depth);
		return;
	}
	switch (random_below(7)) {
	case 0:
		put(out, PICK(times));
		break;
	case 1:
		put(out, PICK(dates));
		break;
	case 2:
		any_json(out, depth);
		break;
	default:
		put(out, PICK(names));
	}
}

static void boolean(struct ar_buf *out, int depth)
{
	static const char *const names[] = { "b", "c", "true", "false" };

	if (depth > 0 && random_below(3) == 0) {
		if (random_below(2) == 0) {
			branches(out, boolean, depth);
			return;
		}
		put(out, "(");
		random_condition(out, depth - 1);
		put(out, ")");
		return;
	}
	if (random_below(5) == 0)
		any_json(out, depth);
	else
		put(out, PICK(names));
}

static void list_of(struct ar_buf *out, void (*piece)(struct ar_buf *, int), int depth)
{
	piece(out, depth - 1);
	if (random_below(4) == 0) {
		put(out, " in ");
		put(out, random_below(2) == 0 ? "@auth.l" : "{:list}");
		return;
	}
	put(out, " in (");
	for (size_t n = random_below(4); n > 0; n--) {
		piece(out, depth - 1);
		put(out, n > 1 ? ", " : "");
	}
	put(out, ")");
}

static void comparison(struct ar_buf *out, int depth)
{
	static void (*const kinds[])(struct ar_buf *, int) = { number, text, datetime, duration,
							       any_json };
	void (*kind)(struct ar_buf *, int) = PICK(kinds);

	switch (random_below(14)) {
	case 0:
		two(out, text, random_below(2) == 0 ? " ~ " : " !~ ", depth);
		break;
	case 1:
		two(out, text, random_below(2) == 0 ? " ?~ " : " ?!~ ", depth);
		break;
	case 2:
		anything(out, depth - 1);
		put(out, random_below(2) == 0 ? " = null" : " != null");
		break;
	case 3:
		two(out, boolean, random_below(2) == 0 ? " = " : " != ", depth);
		break;
	case 4:
		list_of(out, kind, depth);
		break;
	case 5:
	case 6:
		any_json(out, depth - 1);
		put(out, PICK(any_orders));
		anything(out, depth - 1);
		break;
	case 7:
		two(out, kind, PICK(any_orders), depth);
		break;
	case 8:
		anything(out, depth - 1);
		put(out, PICK(orders));
		any_json(out, depth - 1);
		break;
	default:
		two(out, kind, PICK(orders), depth);
	}
}

void random_condition(struct ar_buf *out, int depth)
{
	static const char *const questions[] = { "starts_with", "ends_with", "contains" };

	switch (random_below(depth > 0 ? 12 : 5)) {
	case 5:
	case 6:
		two(out, random_condition, " && ", depth);
		break;
	case 7:
	case 8:
		put(out, "(");
		two(out, random_condition, " || ", depth);
		put(out, ")");
		break;
	case 9:
		put(out, "!(");
		random_condition(out, depth - 1);
		put(out, ")");
		break;
	case 10:
		put(out, PICK(questions));
		put(out, "(");
		two(out, text, ", ", depth);
		put(out, ")");
		break;
	case 11:
		if (random_below(2) == 0) {
			put(out, "has(");
			any_json(out, depth);
			put(out, ")");
		} else
			boolean(out, depth);
		break;
	default:
		comparison(out, depth);
	}
}

/* ---- rows ---- */

static struct ar_json literal(struct ar_pool *pool, const char *quoted)
{
	struct ar_expr *expr;
	struct ar_json *v;

	if (ar_expr_parse(pool, ar_str(quoted), &expr) != 0 || ar_expr_check(expr, NULL) != 0 ||
	    ar_expr_eval(expr, NULL, pool, &v) != 0)
		return AR_J_NULL;
	return *v;
}

static struct ar_json json_cell(struct ar_pool *pool, bool list)
{
	static const char *const objects[] = {
		"{\"a\":1,\"b\":\"ab\",\"c\":{\"d\":true}}",
		"{\"a\":2.5,\"b\":null,\"a b\":\"Abc\"}",
		"{\"a\":[\"a\",1,null,true,[1],{\"x\":2}],\"b\":7}",
		"{\"b\":false,\"c\":{\"d\":\"2024-02-29\"}}",
		"5",
		"\"ab\"",
		"true",
		"[1,2,3]",
		"{}",
		"{\"a\":{\"0\":\"key\"},\"b\":\"true\"}",
		"{\"a\":\"1\",\"b\":1,\"c\":{\"d\":[]},\"a b\":\"2026-11-24T16:09:00.001Z\"}",
	};
	static const char *const lists[] = {
		"[]",           "[\"a\"]",      "[\"a\",\"ab\",\"Abc\"]",
		"[1,2.5,null]", "[true,false]", "[null]",
		"[[\"a\"]]",    "[{\"a\":1}]",  "\"a\"",
		"null",         "[\"1\",1]",    "[\"2024-02-29\",0]",
		"{\"a\":1}",
	};
	struct ar_json *v = NULL;

	ar_json_parse(pool, ar_str(list ? PICK(lists) : PICK(objects)), NULL, &v);
	return *v;
}

struct ar_json random_cell(struct ar_pool *pool, const struct column *column)
{
	if (random_below(5) == 0)
		return AR_J_NULL;
	switch (column->type) {
	case AR_X_INT:
		return literal(pool, PICK(ints));
	case AR_X_FLOAT:
		return literal(pool, PICK(floats));
	case AR_X_TEXT: {
		struct ar_json v = literal(pool, PICK(texts));

		return v;
	}
	case AR_X_BOOL:
		return AR_J_BOOL(random_below(2) == 0);
	case AR_X_DATE:
		return literal(pool, PICK(dates));
	case AR_X_DATETIME: {
		struct ar_json v;

		do
			v = literal(pool, PICK(times));
		while (v.s.n != 24);
		return v;
	}
	default:
		return json_cell(pool, column->name[0] == 'l');
	}
}
