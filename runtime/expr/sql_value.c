/*
 * sql_value.c - values as SQL: columns, members of JSON columns, constants, calculations.
 *
 * Each operand's SQL appears once, also where a formula needs it twice: it is named in a subselect
 * (SELECT f(q.a, q.a) FROM (SELECT <operand> AS a) AS q), so that text does not grow with depth. The
 * formulas keep to the range that value.c keeps to, so neither dialect raises an error.
 */
#include "expr/expr_int.h"

void gen_add(struct gen *gen, const char *sqlite, const char *postgres)
{
	ar_sql_add(gen->sql, gen->dialect == AR_EXPR_SQLITE ? sqlite : postgres);
}

void gen_int(struct gen *gen, int64_t v)
{
	ar_buf_int(gen->sql->text, v);
}

void gen_name(struct gen *gen, int alias)
{
	ar_sql_add(gen->sql, "e");
	gen_int(gen, alias);
}

static const char *cast_of(const struct ar_json *value, enum ar_expr_type type)
{
	static const char *const by_type[] = {
		[AR_X_NULL] = "",           [AR_X_BOOL] = "::boolean",    [AR_X_INT] = "::bigint",
		[AR_X_FLOAT] = "::float8",  [AR_X_TEXT] = "::text",       [AR_X_DATE] = "::text",
		[AR_X_DATETIME] = "::text", [AR_X_DURATION] = "::bigint", [AR_X_JSON] = "::jsonb",
	};
	static const enum ar_expr_type by_value[] = {
		[AR_NULL] = AR_X_NULL,   [AR_BOOL] = AR_X_BOOL,   [AR_INT] = AR_X_INT,
		[AR_FLOAT] = AR_X_FLOAT, [AR_STRING] = AR_X_TEXT, [AR_ARRAY] = AR_X_JSON,
		[AR_OBJECT] = AR_X_JSON,
	};

	return by_type[type == AR_X_JSON ? by_value[value->type] : type];
}

void gen_bind(struct gen *gen, struct ar_json value, enum ar_expr_type type)
{
	if (type == AR_X_FLOAT && value.type == AR_INT)
		value = AR_J_FLOAT((double)value.i);
	if (value.type == AR_NULL)
		ar_sql_add(gen->sql, "NULL");
	else
		ar_sql_bind(gen->sql, value);
	gen_add(gen, "", cast_of(&value, type));
}

/* ---- JSON of a row ---- */

/* SQLite's path of the members, and PostgreSQL's: $."name"[0]. The checker refused quotes. */
static struct ar_json path_value(struct gen *gen, const struct node *node, const char *mode)
{
	struct ar_buf *buf = ar_buf_new(gen->sql->pool, AR_EXPR_LENGTH_MAX * 2);
	int64_t index;

	ar_buf_z(buf, mode);
	ar_buf_char(buf, '$');
	for (size_t i = node->used; i < node->nparts; i++) {
		if (value_index(node->parts[i], &index)) {
			ar_buf_printf(buf, "[%lld]", (long long)index);
			continue;
		}
		ar_buf_z(buf, ".\"");
		ar_buf_str(buf, node->parts[i]);
		ar_buf_char(buf, '"');
	}
	return AR_J_STR(ar_buf_view(buf));
}

static void sqlite_call(struct gen *gen, const char *function, const struct node *node)
{
	ar_sql_add(gen->sql, function);
	ar_sql_add(gen->sql, "(");
	ar_sql_add(gen->sql, node->field.sql);
	ar_sql_add(gen->sql, ", ");
	ar_sql_bind(gen->sql, path_value(gen, node, ""));
	ar_sql_add(gen->sql, ")");
}

static bool has_index(const struct node *node)
{
	int64_t index;

	for (size_t i = node->used; i < node->nparts; i++)
		if (value_index(node->parts[i], &index))
			return true;
	return false;
}

/* -> is the fast way, but takes a scalar for an array of one: an index goes by strict jsonpath. */
static void postgres_member(struct gen *gen, const struct node *node)
{
	if (has_index(node)) {
		ar_sql_add(gen->sql, "jsonb_path_query_first(");
		ar_sql_add(gen->sql, node->field.sql);
		ar_sql_add(gen->sql, ", ");
		ar_sql_bind(gen->sql, path_value(gen, node, "strict "));
		ar_sql_add(gen->sql, "::jsonpath, '{}', true)");
		return;
	}
	ar_sql_add(gen->sql, "(");
	ar_sql_add(gen->sql, node->field.sql);
	for (size_t i = node->used; i < node->nparts; i++) {
		ar_sql_add(gen->sql, "->");
		gen_bind(gen, AR_J_STR(node->parts[i]), AR_X_TEXT);
	}
	ar_sql_add(gen->sql, ")");
}

void gen_json(struct gen *gen, const struct ref *ref)
{
	if (ref->alias >= 0) {
		gen_name(gen, ref->alias);
		gen_add(gen, ".atom", ".v");
	} else if (gen->dialect == AR_EXPR_SQLITE) {
		sqlite_call(gen, "json_extract", ref->node);
	} else {
		postgres_member(gen, ref->node);
	}
}

void gen_kind(struct gen *gen, const struct ref *ref)
{
	if (gen->dialect == AR_EXPR_POSTGRES) {
		ar_sql_add(gen->sql, "jsonb_typeof(");
		gen_json(gen, ref);
		ar_sql_add(gen->sql, ")");
	} else if (ref->alias >= 0) {
		gen_name(gen, ref->alias);
		ar_sql_add(gen->sql, ".type");
	} else {
		sqlite_call(gen, "json_type", ref->node);
	}
}

void gen_as(struct gen *gen, const struct ref *ref, enum conv kind)
{
	bool sqlite = gen->dialect == AR_EXPR_SQLITE;

	ar_sql_add(gen->sql, "(CASE WHEN ");
	gen_kind(gen, ref);
	if (kind == C_FLOAT) {
		gen_add(gen, " IN ('integer', 'real') THEN CAST(", " = 'number' THEN CAST(");
		gen_json(gen, ref);
		gen_add(gen, " AS REAL)", " AS float8)");
	} else if (kind == C_TEXT) {
		gen_add(gen, " = 'text' THEN ", " = 'string' THEN ");
		gen_json(gen, ref);
		gen_add(gen, "", " #>> '{}'");
	} else if (sqlite) {
		ar_sql_add(gen->sql, " IN ('true', 'false') THEN ");
		gen_kind(gen, ref);
		ar_sql_add(gen->sql, " = 'true'");
	} else {
		ar_sql_add(gen->sql, " = 'boolean' THEN CAST(");
		gen_json(gen, ref);
		ar_sql_add(gen->sql, " AS boolean)");
	}
	ar_sql_add(gen->sql, " END)");
}

void gen_elements(struct gen *gen, const struct ref *list, int alias)
{
	if (gen->dialect == AR_EXPR_SQLITE) {
		sqlite_call(gen, "json_each", list->node);
		ar_sql_add(gen->sql, " AS ");
		gen_name(gen, alias);
		ar_sql_add(gen->sql, " WHERE ");
		gen_kind(gen, list);
		ar_sql_add(gen->sql, " NOT IN ('object', 'null') AND ");
		return;
	}
	ar_sql_add(gen->sql, "jsonb_array_elements(CASE WHEN ");
	gen_kind(gen, list);
	ar_sql_add(gen->sql, " = 'array' THEN ");
	gen_json(gen, list);
	ar_sql_add(gen->sql, " WHEN ");
	gen_kind(gen, list);
	ar_sql_add(gen->sql, " IN ('string', 'number', 'boolean') THEN jsonb_build_array(");
	gen_json(gen, list);
	ar_sql_add(gen->sql, ") ELSE '[]'::jsonb END) AS ");
	gen_name(gen, alias);
	ar_sql_add(gen->sql, "(v) WHERE ");
}

static const char *const signs[] = {
	[OP_ADD] = " + ",
	[OP_SUB] = " - ",
	[OP_MUL] = " * ",
	[OP_DIV] = " / ",
};

static void formula(struct gen *gen, const char *a, enum op op, const char *b)
{
	ar_sql_add(gen->sql, a);
	ar_sql_add(gen->sql, signs[op]);
	ar_sql_add(gen->sql, b);
}

/* ---- time as milliseconds and back ---- */

static int gen_ms(struct gen *gen, const struct node *node, enum conv conv);

static int ms_constant(struct gen *gen, const struct node *node, enum conv conv)
{
	struct ar_json v;
	int64_t ms;

	if (eval_node(&gen->eval, node, &v) != 0)
		return -1;
	value_convert(conv, gen->eval.pool, &v);
	gen_bind(gen, value_ms(&v, &ms) ? AR_J_INT(ms) : AR_J_NULL, AR_X_INT);
	return 0;
}

/* time ± duration */
static int ms_moved(struct gen *gen, const struct node *node)
{
	int time = node->kids[0]->type == AR_X_DURATION ? 1 : 0;

	ar_sql_add(gen->sql, "(SELECT CASE WHEN ");
	formula(gen, gen->dialect == AR_EXPR_SQLITE ? "q.a" : "CAST(q.a AS numeric)", node->op,
		"q.b");
	ar_sql_add(gen->sql, " BETWEEN ");
	gen_int(gen, TIME_MIN_MS);
	ar_sql_add(gen->sql, " AND ");
	gen_int(gen, TIME_MAX_MS);
	ar_sql_add(gen->sql, " THEN ");
	formula(gen, "q.a", node->op, "q.b");
	ar_sql_add(gen->sql, " END FROM (SELECT ");
	if (gen_ms(gen, node->kids[time], node->conv[time]) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS a, ");
	if (gen_kid(gen, node, 1 - time) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS b) AS q)");
	return 0;
}

static int gen_ms(struct gen *gen, const struct node *node, enum conv conv)
{
	if (!node->row)
		return ms_constant(gen, node, conv);
	if (node->kind == N_ARITH && node->type == AR_X_DATETIME)
		return ms_moved(gen, node);
	gen_add(gen,
		"(SELECT CAST(strftime('%s', substr(q.t, 1, 19)) AS INTEGER) * 1000 + "
		"CAST(substr(q.t, 21, 3) AS INTEGER) FROM (SELECT ",
		"CAST(extract(epoch FROM CAST(");
	if (gen_converted(gen, node, conv) != 0)
		return -1;
	gen_add(gen, " AS t) AS q)", " AS timestamptz)) * 1000 AS bigint)");
	return 0;
}

#define MILLIS "((q.m % 1000) + 1000) % 1000"

static int gen_moved_time(struct gen *gen, const struct node *node)
{
	gen_add(gen,
		"(SELECT strftime('%Y-%m-%dT%H:%M:%S', (q.m - " MILLIS ") / 1000, 'unixepoch') || "
		"printf('.%03dZ', " MILLIS ") FROM (SELECT ",
		"(SELECT to_char(timestamp '1970-01-01' + ((q.m - " MILLIS ") / 1000) * "
		"interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.' || "
		"lpad(CAST(" MILLIS " AS text), 3, '0') || 'Z' FROM (SELECT ");
	if (ms_moved(gen, node) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS m) AS q)");
	return 0;
}

/* ---- numbers ---- */

/* The guard and the formula on q.a and q.b; the caller adds the operands. */
static void int_formula(struct gen *gen, enum op op)
{
	ar_sql_add(gen->sql, "(SELECT CASE WHEN ");
	gen_add(gen, "typeof(", "CAST(");
	formula(gen, gen->dialect == AR_EXPR_SQLITE ? "q.a" : "q.a AS numeric)", op, "q.b");
	gen_add(gen, ") = 'integer'", " BETWEEN -9223372036854775808 AND 9223372036854775807");
	ar_sql_add(gen->sql, " THEN ");
	formula(gen, "q.a", op, "q.b");
	ar_sql_add(gen->sql, " END FROM (SELECT ");
}

static void float_formula(struct gen *gen, enum op op)
{
	ar_sql_add(gen->sql, "(SELECT CASE WHEN (q.a = 0 OR abs(q.a) BETWEEN 1e-150 AND 1e150) AND "
			     "(q.b = 0 OR abs(q.b) BETWEEN 1e-150 AND 1e150)");
	if (op == OP_DIV)
		ar_sql_add(gen->sql, " AND q.b <> 0");
	ar_sql_add(gen->sql, " THEN ");
	formula(gen, "q.a", op, "q.b");
	ar_sql_add(gen->sql, " END FROM (SELECT ");
}

static int float_operand(struct gen *gen, const struct node *node, size_t i)
{
	enum conv conv = node->conv[i];

	return gen_converted(gen, node->kids[i], conv == C_NONE ? C_FLOAT : conv);
}

static int gen_number(struct gen *gen, const struct node *node)
{
	bool whole = node->type != AR_X_FLOAT;

	if (whole)
		int_formula(gen, node->op);
	else
		float_formula(gen, node->op);
	if ((whole ? gen_kid(gen, node, 0) : float_operand(gen, node, 0)) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS a, ");
	if ((whole ? gen_kid(gen, node, 1) : float_operand(gen, node, 1)) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS b) AS q)");
	return 0;
}

static int gen_arith(struct gen *gen, const struct node *node)
{
	if (node->type == AR_X_DATETIME)
		return gen_moved_time(gen, node);
	if (node->type == AR_X_DURATION && node->kids[0]->type != AR_X_DURATION) {
		ar_sql_add(gen->sql, "(");
		if (gen_ms(gen, node->kids[0], node->conv[0]) != 0)
			return -1;
		ar_sql_add(gen->sql, " - ");
		if (gen_ms(gen, node->kids[1], node->conv[1]) != 0)
			return -1;
		ar_sql_add(gen->sql, ")");
		return 0;
	}
	if (node->type != AR_X_TEXT)
		return gen_number(gen, node);
	ar_sql_add(gen->sql, "(");
	if (gen_kid(gen, node, 0) != 0)
		return -1;
	ar_sql_add(gen->sql, " || ");
	if (gen_kid(gen, node, 1) != 0)
		return -1;
	ar_sql_add(gen->sql, ")");
	return 0;
}

static int gen_negate(struct gen *gen, const struct node *node)
{
	if (node->type == AR_X_FLOAT) {
		ar_sql_add(gen->sql, "(-");
		if (gen_kid(gen, node, 0) != 0)
			return -1;
		ar_sql_add(gen->sql, ")");
		return 0;
	}
	int_formula(gen, OP_SUB);
	gen_add(gen, "0", "CAST(0 AS bigint)");
	ar_sql_add(gen->sql, " AS a, ");
	if (gen_kid(gen, node, 0) != 0)
		return -1;
	ar_sql_add(gen->sql, " AS b) AS q)");
	return 0;
}

/* ---- any value ---- */

static int gen_truth_value(struct gen *gen, const struct node *node)
{
	ar_sql_add(gen->sql, "(");
	if (gen_test(gen, node, true, NULL) != 0)
		return -1;
	ar_sql_add(gen->sql, " IS TRUE)");
	return 0;
}

int gen_value(struct gen *gen, const struct node *node)
{
	struct ar_json v;

	if (!node->row) {
		if (eval_node(&gen->eval, node, &v) != 0)
			return -1;
		gen_bind(gen, v, node->type);
		return 0;
	}
	switch (node->kind) {
	case N_PATH:
		ar_sql_add(gen->sql, node->field.sql);
		return 0;
	case N_ARITH:
		return gen_arith(gen, node);
	case N_NEGATE:
		return gen_negate(gen, node);
	case N_CALL:
		if (!node->func->test)
			return node->func->sql(gen, node);
		return gen_truth_value(gen, node);
	default:
		return gen_truth_value(gen, node);
	}
}

static enum ar_expr_type type_after(enum conv conv, enum ar_expr_type type)
{
	switch (conv) {
	case C_MIDNIGHT:
	case C_TIME:
		return AR_X_DATETIME;
	case C_FLOAT:
		return AR_X_FLOAT;
	case C_TEXT:
		return AR_X_TEXT;
	case C_BOOL:
		return AR_X_BOOL;
	default:
		return type;
	}
}

int gen_converted(struct gen *gen, const struct node *node, enum conv conv)
{
	struct ref ref = { .node = node, .type = node->type, .alias = -1 };
	struct ar_json v;

	if (!node->row) {
		if (eval_node(&gen->eval, node, &v) != 0)
			return -1;
		value_convert(conv, gen->eval.pool, &v);
		gen_bind(gen, v, type_after(conv, node->type));
		return 0;
	}
	if (node->type == AR_X_JSON) {
		gen_as(gen, &ref, conv);
		return 0;
	}
	if (conv != C_MIDNIGHT && (conv != C_FLOAT || node->type == AR_X_FLOAT))
		return gen_value(gen, node);
	ar_sql_add(gen->sql, conv == C_FLOAT ? "CAST(" : "(");
	if (gen_value(gen, node) != 0)
		return -1;
	if (conv == C_FLOAT)
		gen_add(gen, " AS REAL)", " AS float8)");
	else
		ar_sql_add(gen->sql, " || 'T00:00:00.000Z')");
	return 0;
}

int gen_kid(struct gen *gen, const struct node *node, size_t i)
{
	return gen_converted(gen, node->kids[i], node->conv[i]);
}
