/*
 * rows.c - the rows of a result: a chain of blocks in the caller's pool, one per row, with its
 * cells first and its texts behind them. Complete when ar_query() returns, so nothing here waits.
 */
#include "store/driver.h"

#include <assert.h>
#include <math.h>

void ar_rows_begin(struct ar_rows_builder *builder, struct ar_rows *rows, struct ar_pool *pool,
		   size_t columns)
{
	struct ar_row *head = ar_new(pool, struct ar_row); /* stands before the first row */

	*rows = (struct ar_rows){ .columns = columns, .row = head, .pool = pool };
	*builder = (struct ar_rows_builder){ .rows = rows, .last = head };
}

struct ar_row *ar_rows_append(struct ar_rows_builder *builder, size_t text_bytes, char **ret_text)
{
	struct ar_rows *rows = builder->rows;
	size_t head = sizeof(struct ar_row) + rows->columns * sizeof(struct ar_cell);
	struct ar_row *row;

	if (text_bytes > AR_ROWS_BYTES_MAX ||
	    builder->bytes + head + text_bytes > AR_ROWS_BYTES_MAX) {
		ar_fail(AR_E_TOO_LARGE, "what", "result");
		return NULL;
	}
	builder->bytes += head + text_bytes;
	row = ar_alloc_raw(rows->pool, head + text_bytes);
	memset(row, 0, head);
	builder->last->next = row;
	builder->last = row;
	rows->count++;
	*ret_text = (char *)row + head;
	return row;
}

int ar_rows_copy(struct ar_rows_builder *builder, const struct ar_cell *cells)
{
	size_t columns = builder->rows->columns, bytes = 0;
	struct ar_row *row;
	char *text;

	for (size_t i = 0; i < columns; i++)
		if (cells[i].type == AR_STRING)
			bytes += cells[i].n;
	row = ar_rows_append(builder, bytes, &text);
	if (row == NULL)
		return -1;
	for (size_t i = 0; i < columns; i++) {
		row->cells[i] = cells[i];
		if (cells[i].type != AR_STRING)
			continue;
		row->cells[i].p = text;
		if (cells[i].n > 0)
			memcpy(text, cells[i].p, cells[i].n);
		text += cells[i].n;
	}
	return 0;
}

bool ar_rows_next(struct ar_rows *rows)
{
	if (rows->row == NULL || rows->row->next == NULL)
		return false;
	rows->row = rows->row->next;
	rows->at++;
	return true;
}

static const struct ar_cell *cell(const struct ar_rows *rows, size_t column)
{
	assert(rows->at > 0 && column < rows->columns);
	return &rows->row->cells[column];
}

static struct ar_str cell_str(const struct ar_cell *c)
{
	return (struct ar_str){ c->p, c->n };
}

bool ar_col_null(const struct ar_rows *rows, size_t column)
{
	return cell(rows, column)->type == AR_NULL;
}

enum ar_type ar_col_type(const struct ar_rows *rows, size_t column)
{
	return cell(rows, column)->type;
}

int64_t ar_col_int(const struct ar_rows *rows, size_t column)
{
	const struct ar_cell *c = cell(rows, column);
	int64_t v = 0;

	switch (c->type) {
	case AR_INT:
		return c->i;
	case AR_BOOL:
		return c->b;
	case AR_FLOAT:
		if (c->f >= -9223372036854775808.0 && c->f < 9223372036854775808.0)
			return (int64_t)c->f;
		return 0;
	case AR_STRING:
		ar_str_int(cell_str(c), &v);
		return v;
	default:
		return 0;
	}
}

double ar_col_float(const struct ar_rows *rows, size_t column)
{
	const struct ar_cell *c = cell(rows, column);
	double v = 0;

	switch (c->type) {
	case AR_FLOAT:
		return c->f;
	case AR_INT:
		return (double)c->i;
	case AR_BOOL:
		return c->b;
	case AR_STRING:
		ar_str_float(cell_str(c), &v);
		return v;
	default:
		return 0;
	}
}

struct ar_str ar_col_str(const struct ar_rows *rows, size_t column)
{
	const struct ar_cell *c = cell(rows, column);

	switch (c->type) {
	case AR_STRING:
		return cell_str(c);
	case AR_INT:
		return ar_strf(rows->pool, "%lld", (long long)c->i);
	case AR_FLOAT:
		return ar_strf(rows->pool, "%.17g", c->f);
	case AR_BOOL:
		return c->b ? AR_STR("true") : AR_STR("false");
	default:
		return AR_STR_NONE;
	}
}

struct ar_str ar_col_bytes(const struct ar_rows *rows, size_t column)
{
	return ar_col_str(rows, column);
}

struct ar_json ar_col_value(const struct ar_rows *rows, size_t column)
{
	const struct ar_cell *c = cell(rows, column);

	switch (c->type) {
	case AR_BOOL:
		return AR_J_BOOL(c->b);
	case AR_INT:
		return AR_J_INT(c->i);
	case AR_FLOAT:
		if (!isfinite(c->f))
			return AR_J_NULL;
		return AR_J_FLOAT(c->f);
	case AR_STRING:
		return AR_J_STR(cell_str(c));
	default:
		return AR_J_NULL;
	}
}

bool ar_stmt_is_bytes(const struct ar_json *arg)
{
	return arg->type == AR_STRING && arg->count == AR_ARG_BYTES;
}
