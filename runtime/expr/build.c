/*
 * build.c - SQL text and its values, side by side.
 *
 * Text comes from the program, values from anywhere: ar_sql_bind() is the only way for a value.
 */
#include "expr/expr.h"

#define SQL_TEXT_MAX ((size_t)256 << 10)

void ar_sql_init(struct ar_sql *sql, struct ar_pool *pool)
{
	*sql = (struct ar_sql){ .pool = pool, .text = ar_buf_new(pool, SQL_TEXT_MAX) };
}

void ar_sql_add(struct ar_sql *sql, const char *text)
{
	ar_buf_z(sql->text, text);
}

void ar_sql_name(struct ar_sql *sql, struct ar_str name)
{
	ar_buf_char(sql->text, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"')
			ar_buf_char(sql->text, '"');
		ar_buf_char(sql->text, name.p[i]);
	}
	ar_buf_char(sql->text, '"');
}

void ar_sql_arg(struct ar_sql *sql, struct ar_json value)
{
	if (sql->nargs == sql->cap) {
		size_t cap = sql->cap == 0 ? 8 : sql->cap * 2;
		struct ar_json *more = ar_new_n(sql->pool, struct ar_json, cap);

		if (sql->nargs > 0)
			memcpy(more, sql->args, sql->nargs * sizeof(*more));
		sql->args = more;
		sql->cap = cap;
	}
	sql->args[sql->nargs++] = value;
}

void ar_sql_bind(struct ar_sql *sql, struct ar_json value)
{
	ar_buf_char(sql->text, '?');
	ar_sql_arg(sql, value);
}

const char *ar_sql_text(struct ar_sql *sql)
{
	if (sql->text->over)
		return NULL;
	return ar_strz(sql->pool, ar_buf_view(sql->text));
}
