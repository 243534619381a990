/*
 * value.c - values in and out.
 *
 * Values go as text without a type, so that the server takes the type of the column or expression
 * they meet, as SQLite does; bytes go as they are. Results come as text: numbers of every width are
 * AR_INT or AR_FLOAT, `numeric` is AR_INT when it is whole and fits (a sum of bigints is).
 */
#include "store/postgres/postgres_int.h"

#include <math.h>

/* Types of the catalog, whose numbers never change. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_NUMERIC = 1700,
};

#define PARAMS_MAX 65535

/* ---- in ---- */

static int param_text(struct ar_pool *pool, struct ar_str s, const char **ret)
{
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		return ar_fail_why(AR_E_STORE, "a text with a NUL character");
	*ret = ar_strz(pool, s);
	return 0;
}

static int param_make(struct ar_pool *pool, const struct ar_json *v, struct params *params, int i)
{
	params->values[i] = NULL;
	switch (v->type) {
	case AR_NULL:
		return 0;
	case AR_BOOL: /* a boolean as well as a number */
		params->values[i] = v->b ? "1" : "0";
		return 0;
	case AR_INT:
		params->values[i] = ar_printf(pool, "%lld", (long long)v->i);
		return 0;
	case AR_FLOAT:
		params->values[i] = ar_printf(pool, "%.17g", v->f);
		return 0;
	case AR_STRING:
		if (!ar_stmt_is_bytes(v))
			return param_text(pool, v->s, &params->values[i]);
		params->values[i] = v->s.n > 0 ? v->s.p : "";
		params->lengths[i] = (int)v->s.n;
		params->formats[i] = 1;
		return 0;
	case AR_ARRAY:
	case AR_OBJECT:
		break;
	}
	return param_text(pool, ar_json_print(pool, v), &params->values[i]);
}

int pg_params_make(const struct ar_stmt *stmt, struct params *ret)
{
	if (stmt->nargs > PARAMS_MAX)
		return ar_fail_why(AR_E_STORE, "%zu values", stmt->nargs);
	ret->n = (int)stmt->nargs;
	ret->values = ar_new_n(stmt->pool, const char *, stmt->nargs + 1);
	ret->lengths = ar_new_n(stmt->pool, int, stmt->nargs + 1);
	ret->formats = ar_new_n(stmt->pool, int, stmt->nargs + 1);
	for (int i = 0; i < ret->n; i++) {
		if (param_make(stmt->pool, &stmt->args[i], ret, i) != 0)
			return -1;
	}
	return 0;
}

/* ---- out ---- */

static int hex_digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0';
}

/* "\x0aff", which is what bytea_output = hex gives. */
static char *bytes_out(struct ar_cell *cell, const char *p, size_t n, char *text)
{
	size_t bytes = n >= 2 ? (n - 2) / 2 : 0;

	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)(hex_digit(p[2 + 2 * i]) << 4 | hex_digit(p[3 + 2 * i]));
	cell->type = AR_STRING;
	cell->bytes = 1;
	cell->n = (uint32_t)bytes;
	cell->p = text;
	return text + bytes;
}

static double float_out(struct ar_str s)
{
	double f = NAN;

	if (ar_str_is(s, "Infinity"))
		return INFINITY;
	if (ar_str_is(s, "-Infinity"))
		return -INFINITY;
	ar_str_float(s, &f);
	return f;
}

static void number_out(struct ar_cell *cell, struct ar_str s, bool may_be_int)
{
	if (may_be_int && ar_str_int(s, &cell->i)) {
		cell->type = AR_INT;
		return;
	}
	cell->type = AR_FLOAT;
	cell->f = float_out(s);
}

static char *cell_out(struct ar_cell *cell, const PGresult *result, int row, int column, char *text)
{
	const char *p = PQgetvalue(result, row, column);
	size_t n = (size_t)PQgetlength(result, row, column);

	if (PQgetisnull(result, row, column)) {
		cell->type = AR_NULL;
		return text;
	}
	switch (PQftype(result, column)) {
	case OID_BOOL:
		cell->type = AR_BOOL;
		cell->b = *p == 't';
		return text;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
	case OID_NUMERIC:
		number_out(cell, ar_str_n(p, n), true);
		return text;
	case OID_FLOAT4:
	case OID_FLOAT8:
		number_out(cell, ar_str_n(p, n), false);
		return text;
	case OID_BYTEA:
		return bytes_out(cell, p, n, text);
	default:
		cell->type = AR_STRING;
		cell->n = (uint32_t)n;
		cell->p = text;
		memcpy(text, p, n);
		return text + n;
	}
}

int pg_rows_make(const PGresult *result, struct ar_pool *pool, struct ar_rows *ret)
{
	int columns = PQnfields(result), rows = PQntuples(result);
	struct ar_rows_builder builder;

	ar_rows_begin(&builder, ret, pool, (size_t)columns);
	for (int r = 0; r < rows; r++) {
		size_t bytes = 0;
		struct ar_row *row;
		char *text;

		for (int c = 0; c < columns; c++)
			bytes += (size_t)PQgetlength(result, r, c);
		row = ar_rows_append(&builder, bytes, &text);
		if (row == NULL)
			return -1;
		for (int c = 0; c < columns; c++)
			text = cell_out(&row->cells[c], result, r, c, text);
	}
	return 0;
}
