/*
 * list_table.c - a list over a table of the house, from a description of its columns.
 *
 * Pages are found by keyset: the condition compares the sort's columns, and the unique first column
 * last, with the values in the cursor. NULL is the smallest value on both dialects. One row more
 * than asked for is read, to know whether there is another page.
 */
#include <assert.h>

#include "action/action_int.h"
#include "action/list.h"

#define COLUMNS_MAX 48

struct key {
	size_t column;
	bool descending;
};

struct listing {
	struct ar_call *call;
	const struct ar_list_table *table;
	struct ar_list list;
	struct key keys[AR_LIST_SORT_MAX + 1];
	size_t nkeys;
	const char *where;
	const struct ar_json *args;
	size_t nargs;
	struct ar_expr *filter; /* or NULL */
};

static const struct ar_list_column *column_find(const struct ar_list_table *table,
						struct ar_str name)
{
	for (const struct ar_list_column *c = table->columns; c->name != NULL; c++) {
		if (ar_str_is(name, c->name))
			return c;
	}
	return NULL;
}

static const char *column_sql(const struct ar_list_column *column)
{
	return column->sql != NULL ? column->sql : column->name;
}

/* ---- what was asked for, against the columns ---- */

static int key_add(struct listing *l, struct ar_str name, bool descending)
{
	const struct ar_list_column *column = column_find(l->table, name);

	if (column == NULL || column->type == AR_LIST_JSON)
		return ar_fail_field("sort", "not-found");
	size_t index = (size_t)(column - l->table->columns);

	for (size_t i = 0; i < l->nkeys; i++) {
		if (l->keys[i].column == index)
			return 0;
	}
	l->keys[l->nkeys++] = (struct key){ index, descending };
	return 0;
}

static int keys_resolve(struct listing *l)
{
	struct ar_str left = ar_str(l->table->sort);

	for (size_t i = 0; i < l->list.nsort; i++) {
		if (key_add(l, l->list.sort[i].name, l->list.sort[i].descending) != 0)
			return -1;
	}
	while (l->list.nsort == 0 && left.p != NULL) {
		struct ar_str one = ar_str_cut(&left, ',');
		bool descending = ar_str_starts(one, AR_STR("-"));

		if (one.n > 0 &&
		    key_add(l, ar_str_sub(one, descending ? 1 : 0, one.n), descending) != 0)
			return -1;
	}
	/* The id runs with the last key, so that an index over both serves both directions. */
	return key_add(l, ar_str(l->table->columns[0].name),
		       l->nkeys > 0 && l->keys[l->nkeys - 1].descending);
}

static int fields_check(const struct listing *l)
{
	for (size_t i = 0; i < l->list.nfields; i++) {
		const struct ar_list_column *c = column_find(l->table, l->list.fields[i]);

		if (c == NULL || c->silent)
			return ar_fail_field("fields", "not-found");
	}
	return 0;
}

static bool value_fits(const struct ar_list_column *column, const struct ar_json *value)
{
	static const enum ar_type types[] = { [AR_LIST_STR] = AR_STRING,
					      [AR_LIST_INT] = AR_INT,
					      [AR_LIST_FLOAT] = AR_FLOAT,
					      [AR_LIST_BOOL] = AR_INT,
					      [AR_LIST_TIME] = AR_INT };

	return value->type == AR_NULL || value->type == types[column->type] ||
	       (column->type == AR_LIST_FLOAT && value->type == AR_INT);
}

static int cursor_check(const struct listing *l)
{
	size_t i = 0;

	if (l->list.cursor == NULL)
		return 0;
	if (l->list.cursor->count != l->nkeys)
		return ar_list_fail_cursor();
	ar_json_each (value, l->list.cursor) {
		if (!value_fits(&l->table->columns[l->keys[i++].column], value))
			return ar_list_fail_cursor();
	}
	return 0;
}

/* ---- the filter ---- */

/* Times are int64 ms in tables and RFC 3339 texts in expressions. Seconds and milliseconds apart: in
 * one floating point number the last digit of a far one is lost. */
static const char *time_sql(const struct ar_call *call, const char *sql)
{
	if (ar_db_dialect(call->scope.db) == AR_POSTGRES)
		return ar_printf(call->pool,
				 "to_char(timestamp 'epoch' + (%s) / 1000 * interval '1 second' + "
				 "(%s) %% 1000 * interval '1 millisecond', "
				 "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
				 sql, sql);
	return ar_printf(call->pool,
			 "(strftime('%%Y-%%m-%%dT%%H:%%M:%%S', (%s) / 1000, 'unixepoch') || "
			 "printf('.%%03dZ', (%s) %% 1000))",
			 sql, sql);
}

static bool filter_field(void *arg, const struct ar_str *parts, size_t nparts,
			 struct ar_expr_field *ret)
{
	static const enum ar_expr_type types[] = {
		[AR_LIST_STR] = AR_X_TEXT,      [AR_LIST_INT] = AR_X_INT,
		[AR_LIST_FLOAT] = AR_X_FLOAT,   [AR_LIST_BOOL] = AR_X_BOOL,
		[AR_LIST_TIME] = AR_X_DATETIME, [AR_LIST_JSON] = AR_X_JSON
	};
	struct listing *l = arg;
	const struct ar_list_column *column = column_find(l->table, parts[0]);

	if (column == NULL || (nparts > 1 && column->type != AR_LIST_JSON))
		return false;
	*ret = (struct ar_expr_field){ .type = types[column->type],
				       .used = 1,
				       .sql = column_sql(column) };
	if (column->type == AR_LIST_TIME)
		ret->sql = time_sql(l->call, ret->sql);
	if (ar_db_dialect(l->call->scope.db) != AR_POSTGRES)
		return true;
	/* Tables keep 0 and 1, and JSON as text: PostgreSQL takes neither for what it stands for. */
	if (column->type == AR_LIST_BOOL)
		ret->sql = ar_printf(l->call->pool, "(%s <> 0)", ret->sql);
	if (column->type == AR_LIST_JSON)
		ret->sql = ar_printf(l->call->pool, "(%s)::jsonb", ret->sql);
	return true;
}

static int filter_parse(struct listing *l)
{
	static const char *const roots[] = { "@auth", NULL };
	static const char *const *const members[] = { ar_auth_members };
	const struct ar_expr_names names = { .roots = roots,
					     .members = members,
					     .field = filter_field,
					     .arg = l,
					     .params = l->list.params };

	if (l->list.filter.n == 0)
		return 0;
	if (ar_expr_parse(l->call->pool, l->list.filter, &l->filter) != 0)
		return -1;
	return ar_expr_check_test(l->filter, &names);
}

static int filter_sql(struct listing *l, struct ar_sql *sql)
{
	const struct ar_json *roots[] = { l->call->who->auth };
	const struct ar_expr_env env = { .roots = roots };
	enum ar_expr_dialect dialect =
		ar_db_dialect(l->call->scope.db) == AR_POSTGRES ? AR_EXPR_POSTGRES : AR_EXPR_SQLITE;

	if (l->filter == NULL)
		return 0;
	ar_sql_add(sql, " AND ");
	return ar_expr_sql(l->filter, dialect, &env, sql, NULL);
}

/* ---- SQL ---- */

static int where_sql(struct listing *l, struct ar_sql *sql)
{
	ar_sql_add(sql, " FROM ");
	ar_sql_add(sql, l->table->from);
	ar_sql_add(sql, " WHERE (");
	ar_sql_add(sql, l->where != NULL ? l->where : "1=1");
	ar_sql_add(sql, ")");
	for (size_t i = 0; i < l->nargs; i++)
		ar_sql_arg(sql, l->args[i]);
	return filter_sql(l, sql);
}

/* "comes after the value" in the direction of reading. */
static void after_sql(struct ar_sql *sql, const char *column, bool descending,
		      const struct ar_json *value)
{
	if (value->type == AR_NULL) {
		ar_sql_add(sql, descending ? "1=0" : column);
		ar_sql_add(sql, descending ? "" : " IS NOT NULL");
		return;
	}
	ar_sql_add(sql, "(");
	ar_sql_add(sql, column);
	ar_sql_add(sql, descending ? " < " : " > ");
	ar_sql_bind(sql, *value);
	if (descending) {
		ar_sql_add(sql, " OR ");
		ar_sql_add(sql, column);
		ar_sql_add(sql, " IS NULL");
	}
	ar_sql_add(sql, ")");
}

static void equal_sql(struct ar_sql *sql, const char *column, const struct ar_json *value)
{
	ar_sql_add(sql, column);
	if (value->type == AR_NULL) {
		ar_sql_add(sql, " IS NULL");
	} else {
		ar_sql_add(sql, " = ");
		ar_sql_bind(sql, *value);
	}
}

/* (k1 after v1) OR (k1 = v1 AND k2 after v2) OR ... */
static void keyset_sql(const struct listing *l, struct ar_sql *sql)
{
	if (l->list.cursor == NULL)
		return;
	ar_sql_add(sql, " AND (");
	for (size_t i = 0; i < l->nkeys; i++) {
		const struct ar_json *value = l->list.cursor->first;

		ar_sql_add(sql, i > 0 ? " OR (" : "(");
		for (size_t j = 0; j <= i; j++, value = value->next) {
			const char *column = column_sql(&l->table->columns[l->keys[j].column]);

			if (j > 0)
				ar_sql_add(sql, " AND ");
			if (j < i)
				equal_sql(sql, column, value);
			else
				after_sql(sql, column, l->keys[j].descending != l->list.backward,
					  value);
		}
		ar_sql_add(sql, ")");
	}
	ar_sql_add(sql, ")");
}

static int select_sql(struct listing *l, struct ar_sql *sql)
{
	ar_sql_add(sql, "SELECT ");
	for (const struct ar_list_column *c = l->table->columns; c->name != NULL; c++) {
		ar_sql_add(sql, c != l->table->columns ? ", " : "");
		ar_sql_add(sql, column_sql(c));
	}
	if (where_sql(l, sql) != 0)
		return -1;
	keyset_sql(l, sql);
	ar_sql_add(sql, " ORDER BY ");
	for (size_t i = 0; i < l->nkeys; i++) {
		bool descending = l->keys[i].descending != l->list.backward;

		ar_sql_add(sql, i > 0 ? ", " : "");
		ar_sql_add(sql, column_sql(&l->table->columns[l->keys[i].column]));
		ar_sql_add(sql, descending ? " DESC NULLS LAST" : " ASC NULLS FIRST");
	}
	ar_sql_add(sql, " LIMIT ");
	ar_sql_bind(sql, AR_J_INT(l->list.limit + 1));
	if (l->list.offset > 0) {
		ar_sql_add(sql, " OFFSET ");
		ar_sql_bind(sql, AR_J_INT(l->list.offset));
	}
	return 0;
}

/* ---- items ---- */

struct item {
	struct ar_buf *text;
	struct ar_json *keys;
};

static void write_cell(struct ar_jw *w, const struct ar_rows *rows, size_t i,
		       enum ar_list_type type)
{
	char time[AR_TIME_MAX];

	if (ar_col_null(rows, i)) {
		ar_jw_null(w);
		return;
	}
	switch (type) {
	case AR_LIST_STR:
		ar_jw_str(w, ar_col_str(rows, i));
		break;
	case AR_LIST_INT:
		ar_jw_int(w, ar_col_int(rows, i));
		break;
	case AR_LIST_FLOAT:
		ar_jw_float(w, ar_col_float(rows, i));
		break;
	case AR_LIST_BOOL:
		ar_jw_bool(w, ar_col_int(rows, i) != 0);
		break;
	case AR_LIST_TIME:
		ar_jw_str(w, ar_str_n(time, ar_time_format(ar_col_int(rows, i), time)));
		break;
	case AR_LIST_JSON:
		ar_jw_raw(w, ar_col_str(rows, i));
		break;
	}
}

static struct ar_json *key_value(struct ar_pool *pool, const struct ar_rows *rows, size_t i,
				 enum ar_list_type type)
{
	if (ar_col_null(rows, i))
		return ar_json_new(pool, AR_NULL);
	if (type == AR_LIST_STR)
		return ar_json_str(pool, ar_col_str(rows, i));
	if (type == AR_LIST_FLOAT)
		return ar_json_float(pool, ar_col_float(rows, i));
	return ar_json_int(pool, ar_col_int(rows, i));
}

static struct item item_read(const struct listing *l, const struct ar_rows *rows)
{
	struct ar_pool *pool = l->call->pool;
	struct item item = { ar_buf_new(pool, REPLY_JSON_MAX), ar_json_new(pool, AR_ARRAY) };
	struct ar_jw w;

	ar_jw_init(&w, item.text);
	ar_jw_object(&w);
	for (size_t i = 0; l->table->columns[i].name != NULL; i++) {
		const struct ar_list_column *c = &l->table->columns[i];

		if (c->silent || !ar_list_wants(&l->list, c->name))
			continue;
		ar_jw_keyz(&w, c->name);
		if (c->print != NULL && !ar_col_null(rows, i))
			c->print(l->call, &w, ar_col_str(rows, i));
		else
			write_cell(&w, rows, i, c->type);
	}
	ar_jw_object_end(&w);
	for (size_t i = 0; i < l->nkeys; i++) {
		size_t column = l->keys[i].column;

		ar_json_add(item.keys,
			    key_value(pool, rows, column, l->table->columns[column].type));
	}
	return item;
}

/* ---- the reply ---- */

static AR_YIELDS int total(struct listing *l, int64_t *ret)
{
	struct ar_sql sql;

	ar_sql_init(&sql, l->call->pool);
	ar_list_total_open(&l->list, &sql);
	if (where_sql(l, &sql) != 0)
		return -1;
	return ar_list_total(l->call, &l->list, &sql, ret);
}

static struct ar_str cursor_of(const struct listing *l, const struct item *item, bool backward)
{
	return ar_list_cursor(l->call->pool, &l->list, item->keys, backward);
}

static AR_YIELDS int reply(struct listing *l, const struct item *items, size_t count, bool more)
{
	const struct item *first = items, *last = count > 0 ? &items[count - 1] : items;
	bool back = l->list.backward, next, prev;
	int64_t all = 0;

	if (l->list.count != AR_COUNT_NONE && total(l, &all) != 0)
		return -1;
	ar_list_beside(&l->list, count, more, &next, &prev);
	struct ar_jw *w = ar_list_reply(l->call);

	for (size_t i = 0; i < count; i++)
		ar_jw_raw(w, ar_buf_view(items[back ? count - 1 - i : i].text));
	ar_list_reply_end(w, &l->list,
			  next ? cursor_of(l, back ? first : last, false) : AR_STR_NONE,
			  prev ? cursor_of(l, back ? last : first, true) : AR_STR_NONE, all);
	return 0;
}

AR_YIELDS int ar_list_table(struct ar_call *call, const struct ar_list_table *table,
			    const char *where, const struct ar_json *args, size_t nargs)
{
	struct listing l = {
		.call = call, .table = table, .where = where, .args = args, .nargs = nargs
	};
	struct ar_rows rows;
	struct ar_sql sql;
	size_t count = 0;

	if (ar_list_parse(call, &l.list) != 0 || keys_resolve(&l) != 0 || fields_check(&l) != 0 ||
	    cursor_check(&l) != 0 || filter_parse(&l) != 0)
		return -1;
	ar_sql_init(&sql, call->pool);
	if (select_sql(&l, &sql) != 0 || ar_list_query(call, &sql, &rows) != 0)
		return -1;
	struct item *items = ar_new_n(call->pool, struct item, (size_t)l.list.limit);

	while (count < (size_t)l.list.limit && ar_rows_next(&rows))
		items[count++] = item_read(&l, &rows);
	return reply(&l, items, count, rows.count > count);
}
