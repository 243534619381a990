/*
 * list.c - a collection's records: rule, filter, sort, page.
 *
 * Pages go by keyset: the condition compares the sort's fields, and the id last, with the values of
 * the row at the edge of the page before, so pages stay right while records come and go. Null is
 * smaller than every value, in both dialects. One row more than asked for tells whether there is
 * another page. Without a sort the newest records come first: ids are ordered by time.
 */
#include "data/data_int.h"

#define CURSOR_MAX 8192 /* what a list takes as one */

struct key {
	const char *sql;                /* r."name" */
	const struct data_field *field; /* NULL: id, created, updated, by cell */
	size_t cell;
	enum ar_expr_type type;
	bool never_null, descending;
};

struct listing {
	struct ar_call *call;
	const struct data_collection *c;
	struct ar_list list;
	struct data_shape shape;
	struct key keys[AR_LIST_SORT_MAX + 1];
	size_t nkeys;
	bool ruled; /* the list rule must be asked */
};

/* ---- keys ---- */

static bool key_find(const struct data_collection *c, struct ar_str name, struct key *ret)
{
	static const struct key fixed[] = {
		{ "r.\"id\"", NULL, CELL_ID, AR_X_TEXT, true, false },
		{ "r.\"created\"", NULL, CELL_CREATED, AR_X_TEXT, true, false },
		{ "r.\"updated\"", NULL, CELL_UPDATED, AR_X_TEXT, true, false },
	};
	static const char *const names[] = { "id", "created", "updated" };
	const struct data_field *field = data_field_find(c, name);

	for (size_t i = 0; i < AR_COUNT(fixed); i++)
		if (ar_str_is(name, names[i])) {
			*ret = fixed[i];
			return true;
		}
	if (field == NULL || field->json)
		return false;
	*ret = (struct key){ field->sql, field, field->cell, field->expr, false, false };
	return true;
}

static int keys_read(struct listing *l)
{
	bool descending = true;

	for (size_t i = 0; i < l->list.nsort; i++) {
		struct key *key = &l->keys[l->nkeys];

		if (!key_find(l->c, l->list.sort[i].name, key))
			return ar_fail_field("sort", "not-found");
		key->descending = descending = l->list.sort[i].descending;
		l->nkeys++;
		if (key->cell == CELL_ID)
			return 0; /* nothing can be equal after it */
	}
	/* The id runs with the last key, so that an index over both serves both directions. */
	key_find(l->c, AR_STR("id"), &l->keys[l->nkeys]);
	l->keys[l->nkeys++].descending = descending;
	return 0;
}

static bool value_fits(const struct key *key, const struct ar_json *value)
{
	switch (value->type) {
	case AR_NULL:
		return !key->never_null;
	case AR_BOOL:
		return key->type == AR_X_BOOL;
	case AR_INT:
		return key->type == AR_X_INT || key->type == AR_X_FLOAT;
	case AR_FLOAT:
		return key->type == AR_X_FLOAT;
	case AR_STRING:
		return key->type == AR_X_TEXT || key->type == AR_X_DATE ||
		       key->type == AR_X_DATETIME;
	default:
		return false;
	}
}

static int cursor_check(const struct listing *l)
{
	size_t i = 0;

	if (l->list.cursor == NULL)
		return 0;
	if (l->list.cursor->count != l->nkeys)
		return ar_list_fail_cursor();
	ar_json_each (value, l->list.cursor)
		if (!value_fits(&l->keys[i++], value))
			return ar_list_fail_cursor();
	return 0;
}

/* ---- SQL ---- */

static void bind(struct listing *l, struct ar_sql *sql, const struct key *key,
		 const struct ar_json *value)
{
	struct ar_json v = *value;

	if (key->type == AR_X_FLOAT && v.type == AR_INT)
		v = AR_J_FLOAT((double)v.i);
	ar_sql_bind(sql, v);
	if (l->c->schema->dialect == AR_POSTGRES)
		ar_sql_add(sql, key->field != NULL ? data_cast(l->c, key->field) : "::text");
}

/* "comes after the value" in the direction of reading. */
static void after(struct listing *l, struct ar_sql *sql, const struct key *key, bool descending,
		  const struct ar_json *value)
{
	if (value->type == AR_NULL) {
		ar_sql_add(sql, descending ? "1=0" : key->sql);
		ar_sql_add(sql, descending ? "" : " IS NOT NULL");
		return;
	}
	ar_sql_add(sql, "(");
	ar_sql_add(sql, key->sql);
	ar_sql_add(sql, descending ? " < " : " > ");
	bind(l, sql, key, value);
	if (descending && !key->never_null) {
		ar_sql_add(sql, " OR ");
		ar_sql_add(sql, key->sql);
		ar_sql_add(sql, " IS NULL");
	}
	ar_sql_add(sql, ")");
}

static void equal(struct listing *l, struct ar_sql *sql, const struct key *key,
		  const struct ar_json *value)
{
	ar_sql_add(sql, key->sql);
	if (value->type == AR_NULL) {
		ar_sql_add(sql, " IS NULL");
		return;
	}
	ar_sql_add(sql, " = ");
	bind(l, sql, key, value);
}

/* A range on the first key alone lets an index start at the page: the rest is asked of few rows. */
static void start_at(struct listing *l, struct ar_sql *sql)
{
	const struct key *key = &l->keys[0];
	bool descending = key->descending != l->list.backward;
	const struct ar_json *value = l->list.cursor->first;

	if (l->nkeys == 1 || value->type == AR_NULL || (descending && !key->never_null))
		return;
	ar_sql_add(sql, key->sql);
	ar_sql_add(sql, descending ? " <= " : " >= ");
	bind(l, sql, key, value);
	ar_sql_add(sql, " AND ");
}

/* (k1 after v1) OR (k1 = v1 AND k2 after v2) OR ... */
static void keyset(struct listing *l, struct ar_sql *sql)
{
	if (l->list.cursor == NULL)
		return;
	ar_sql_add(sql, " AND ");
	start_at(l, sql);
	ar_sql_add(sql, "(");
	for (size_t i = 0; i < l->nkeys; i++) {
		const struct ar_json *value = l->list.cursor->first;

		ar_sql_add(sql, i > 0 ? " OR (" : "(");
		for (size_t j = 0; j < i; j++, value = value->next) {
			equal(l, sql, &l->keys[j], value);
			ar_sql_add(sql, " AND ");
		}
		after(l, sql, &l->keys[i], l->keys[i].descending != l->list.backward, value);
		ar_sql_add(sql, ")");
	}
	ar_sql_add(sql, ")");
}

static void order(const struct listing *l, struct ar_sql *sql)
{
	bool postgres = l->c->schema->dialect == AR_POSTGRES;

	ar_sql_add(sql, " ORDER BY ");
	for (size_t i = 0; i < l->nkeys; i++) {
		bool descending = l->keys[i].descending != l->list.backward;

		ar_sql_add(sql, i > 0 ? ", " : "");
		ar_sql_add(sql, l->keys[i].sql);
		ar_sql_add(sql, descending ? " DESC" : " ASC");
		if (postgres && !l->keys[i].never_null)
			ar_sql_add(sql, descending ? " NULLS LAST" : " NULLS FIRST");
	}
}

static AR_YIELDS int conditions(struct listing *l, struct ar_sql *sql)
{
	ar_sql_add(sql, " FROM ");
	ar_sql_add(sql, l->c->table);
	ar_sql_add(sql, " AS r WHERE 1=1");
	if (l->ruled && data_rule_sql(l->call, l->c, RULE_LIST, sql) != 0)
		return -1;
	if (l->list.filter.n == 0)
		return 0;
	return data_filter_sql(l->call, l->c, l->list.filter, l->list.params, sql);
}

static AR_YIELDS int page(struct listing *l, struct ar_rows *ret)
{
	struct ar_sql sql;

	ar_sql_init(&sql, l->call->pool);
	ar_sql_add(&sql, "SELECT ");
	ar_sql_add(&sql, l->c->columns);
	if (conditions(l, &sql) != 0)
		return -1;
	keyset(l, &sql);
	order(l, &sql);
	ar_sql_add(&sql, " LIMIT ");
	ar_sql_bind(&sql, AR_J_INT(l->list.limit + 1));
	if (l->list.offset > 0) {
		ar_sql_add(&sql, " OFFSET ");
		ar_sql_bind(&sql, AR_J_INT(l->list.offset));
	}
	return ar_list_query(l->call, &sql, ret);
}

static AR_YIELDS int total(struct listing *l, int64_t *ret)
{
	struct ar_sql sql;

	ar_sql_init(&sql, l->call->pool);
	ar_list_total_open(&l->list, &sql);
	if (conditions(l, &sql) != 0)
		return -1;
	return ar_list_total(l->call, &l->list, &sql, ret);
}

/* ---- the reply ---- */

/* The values of the sort at the edge of a page; a cursor must fit into an address. */
static int cursor_text(const struct listing *l, const struct ar_rows *row, bool backward,
		       struct ar_str *ret)
{
	struct ar_pool *pool = l->call->pool;
	struct ar_json *values = ar_json_new(pool, AR_ARRAY);

	*ret = AR_STR_NONE;
	if (row == NULL)
		return 0;
	for (size_t i = 0; i < l->nkeys; i++) {
		const struct key *key = &l->keys[i];
		struct ar_json *value = ar_new(pool, struct ar_json);

		*value = key->field != NULL ? data_cell(row, key->field, pool)
					    : AR_J_STR(ar_col_str(row, key->cell));
		ar_json_add(values, value);
	}
	if (data_weight(values) < CURSOR_MAX)
		*ret = ar_list_cursor(pool, &l->list, values, backward);
	if (ret->n == 0 || ret->n > CURSOR_MAX)
		return ar_fail_field("sort", "too-long", "max", "8192");
	return 0;
}

static AR_YIELDS int reply(struct listing *l, struct ar_rows *rows)
{
	bool back = l->list.backward, more = rows->count > (size_t)l->list.limit;
	size_t count = AR_MIN(rows->count, (size_t)l->list.limit);
	bool next, prev;
	struct ar_rows *row = ar_new_n(l->call->pool, struct ar_rows, count + 1);
	struct ar_str next_cursor, prev_cursor;
	int64_t all = 0;

	if (l->list.count != AR_COUNT_NONE && total(l, &all) != 0)
		return -1;
	ar_list_beside(&l->list, count, more, &next, &prev);
	for (size_t i = 0; i < count && ar_rows_next(rows); i++)
		row[back ? count - 1 - i : i] = *rows;
	if (cursor_text(l, next ? &row[count - 1] : NULL, false, &next_cursor) != 0 ||
	    cursor_text(l, prev ? &row[0] : NULL, true, &prev_cursor) != 0)
		return -1;
	struct ar_jw *w = ar_list_reply(l->call);

	for (size_t i = 0; i < count; i++)
		data_write_row(w, l->c, &l->shape, &row[i]);
	ar_list_reply_end(w, &l->list, next_cursor, prev_cursor, all);
	return 0;
}

AR_YIELDS int data_record_list(struct ar_call *call)
{
	struct listing l = { .call = call };
	struct ar_rows rows;
	int may;

	if (data_collection_get(call, ar_in_str(call, "collection"), &l.c) != 0)
		return -1;
	may = data_may(call, l.c, RULE_LIST);
	if (may < 0 || ar_list_parse(call, &l.list) != 0)
		return -1;
	l.ruled = may == 0;
	if (data_shape_read(l.c, l.list.fields, l.list.nfields, &l.shape) != 0 ||
	    keys_read(&l) != 0 || cursor_check(&l) != 0)
		return -1;
	if (page(&l, &rows) != 0 || reply(&l, &rows) != 0)
		return data_failed(call, l.c);
	return 0;
}
