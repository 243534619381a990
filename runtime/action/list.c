/*
 * list.c - what a list was asked for: filter, sort, fields, limit, cursor, page, count; and the
 * frame of its reply.
 *
 * A cursor is base64url of the JSON array [sort, backward, values...]. It is not a secret and not
 * trusted: it comes back as values to bind, checked by whoever compares with them.
 */
#include "action/action_int.h"
#include "action/list.h"

#define PAGE_MAX     100000
#define ESTIMATE_MAX 10000

static const char *const counts[] = { "none", "estimated", "exact", NULL };

const struct ar_field list_fields[] = {
	AR_FIELD_FREE("filter", AR_F_TEXT, .max = 8192, .help = "Which items: an expression"),
	AR_FIELD_FREE("params", AR_F_OBJECT, .max = 100,
		      .help = "What {:name} in filter stands for"),
	AR_FIELD_FREE("sort", AR_F_TEXT, .max = 512, .help = "\"-created,name\": - for descending"),
	AR_FIELD_FREE("fields", AR_F_TEXT, .max = 4096, .help = "Only these members of each item"),
	AR_FIELD_FREE("limit", AR_F_INT, .min = 1, .max = AR_LIST_LIMIT_MAX,
		      .help = "Items a page (30)"),
	AR_FIELD_FREE("cursor", AR_F_TEXT, .max = 8192,
		      .help = "nextCursor or prevCursor of a page"),
	AR_FIELD_FREE("page", AR_F_INT, .min = 1, .max = PAGE_MAX,
		      .help = "Instead of a cursor, from 1"),
	AR_FIELD_FREE("perPage", AR_F_INT, .min = 1, .max = AR_LIST_LIMIT_MAX, .help = "As limit"),
	AR_FIELD_FREE("count", AR_F_ENUM, .values = counts, .help = "Whether to add \"total\""),
	{ 0 },
};

static int parse_sort(struct ar_call *call, struct ar_list *list)
{
	struct ar_str names[AR_LIST_SORT_MAX] = { 0 };

	if (ar_in_names(call, "sort", names, AR_LIST_SORT_MAX, &list->nsort) != 0)
		return -1;
	for (size_t i = 0; i < list->nsort; i++) {
		bool sign = names[i].n > 0 && (names[i].p[0] == '-' || names[i].p[0] == '+');

		list->sort[i].descending = sign && names[i].p[0] == '-';
		list->sort[i].name = sign ? ar_str_sub(names[i], 1, names[i].n) : names[i];
		for (size_t j = 0; j < i; j++) {
			if (ar_str_eq(list->sort[j].name, list->sort[i].name))
				return ar_fail_field("sort", "duplicate");
		}
	}
	return 0;
}

/* ---- cursors ---- */

static struct ar_str sort_text(struct ar_pool *pool, const struct ar_list *list)
{
	struct ar_buf *text = ar_buf_new(pool, 1024);

	for (size_t i = 0; i < list->nsort; i++) {
		ar_buf_char(text, list->sort[i].descending ? '-' : '+');
		ar_buf_str(text, list->sort[i].name);
	}
	return ar_buf_view(text);
}

int ar_list_fail_cursor(void)
{
	return ar_fail_field("cursor", "cursor");
}

static int parse_cursor(struct ar_call *call, struct ar_list *list)
{
	struct ar_str text, encoded = ar_in_str(call, "cursor");
	struct ar_json *array;

	if (encoded.n == 0)
		return 0;
	if (ar_base64url_decode(call->pool, encoded, &text) != 0 ||
	    ar_json_parse(call->pool, text, &ar_json_limits_default, &array) != 0 ||
	    array->type != AR_ARRAY || array->count < 3) {
		ar_err_clear();
		return ar_list_fail_cursor();
	}
	struct ar_json *sort = array->first, *backward = sort->next;

	if (sort->type != AR_STRING || !ar_str_eq(sort->s, sort_text(call->pool, list)) ||
	    backward->type != AR_BOOL)
		return ar_list_fail_cursor();
	list->backward = backward->b;
	array->first = backward->next;
	array->count -= 2;
	list->cursor = array;
	return 0;
}

struct ar_str ar_list_cursor(struct ar_pool *pool, const struct ar_list *list,
			     const struct ar_json *values, bool backward)
{
	struct ar_buf *text = ar_buf_new(pool, 64 * 1024);
	struct ar_jw w;

	ar_jw_init(&w, text);
	ar_jw_array(&w);
	ar_jw_str(&w, sort_text(pool, list));
	ar_jw_bool(&w, backward);
	ar_json_each (value, values)
		ar_jw_value(&w, value);
	ar_jw_array_end(&w);
	return ar_base64url(pool, text->p, text->n);
}

/* ---- all of it ---- */

static int parse_page(struct ar_call *call, struct ar_list *list)
{
	int64_t page = ar_in_int(call, "page", 1);

	list->limit = ar_in_int(call, "limit", ar_in_int(call, "perPage", AR_LIST_LIMIT));
	if (list->cursor != NULL && ar_in(call, "page") != NULL)
		return ar_fail_field("page", "conflict", "other", "cursor");
	list->offset = (page - 1) * list->limit;
	return 0;
}

int ar_list_parse(struct ar_call *call, struct ar_list *ret)
{
	struct ar_str count = ar_in_str(call, "count");

	*ret = (struct ar_list){ .filter = ar_str_trim(ar_in_str(call, "filter")),
				 .params = ar_in(call, "params") };
	ret->count = ar_str_is(count, "exact")       ? AR_COUNT_EXACT
		     : ar_str_is(count, "estimated") ? AR_COUNT_ESTIMATED
						     : AR_COUNT_NONE;
	if (parse_sort(call, ret) != 0 ||
	    ar_in_names(call, "fields", ret->fields, AR_LIST_NAMES_MAX, &ret->nfields) != 0 ||
	    parse_cursor(call, ret) != 0)
		return -1;
	return parse_page(call, ret);
}

bool ar_list_wants(const struct ar_list *list, const char *field)
{
	for (size_t i = 0; i < list->nfields; i++) {
		if (ar_str_is(list->fields[i], field))
			return true;
	}
	return list->nfields == 0;
}

/* ---- what is the same in every reply ---- */

AR_YIELDS int ar_list_query(struct ar_call *call, struct ar_sql *sql, struct ar_rows *ret)
{
	const char *text = ar_sql_text(sql);

	if (text == NULL)
		return ar_fail(AR_E_TOO_LARGE, "what", "filter");
	return ar_query(&call->scope, ret, text, sql->args, sql->nargs);
}

void ar_list_total_open(const struct ar_list *list, struct ar_sql *sql)
{
	ar_sql_add(sql, list->count == AR_COUNT_ESTIMATED ? "SELECT COUNT(*) FROM (SELECT 1 AS one"
							  : "SELECT COUNT(*)");
}

AR_YIELDS int ar_list_total(struct ar_call *call, const struct ar_list *list, struct ar_sql *sql,
			    int64_t *ret)
{
	struct ar_rows rows;

	if (list->count == AR_COUNT_ESTIMATED) {
		ar_sql_add(sql, " LIMIT ");
		ar_sql_bind(sql, AR_J_INT(ESTIMATE_MAX));
		ar_sql_add(sql, ") AS counted");
	}
	if (ar_list_query(call, sql, &rows) != 0)
		return -1;
	*ret = ar_rows_next(&rows) ? ar_col_int(&rows, 0) : 0;
	return 0;
}

void ar_list_beside(const struct ar_list *list, size_t count, bool more, bool *ret_next,
		    bool *ret_prev)
{
	bool back = list->backward;

	*ret_next = count > 0 && (back || more);
	*ret_prev = count > 0 && (back ? more : list->cursor != NULL || list->offset > 0);
}

struct ar_jw *ar_list_reply(struct ar_call *call)
{
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_array(w);
	return w;
}

static void write_cursor(struct ar_jw *w, const char *name, struct ar_str cursor)
{
	ar_jw_keyz(w, name);
	if (cursor.n > 0)
		ar_jw_str(w, cursor);
	else
		ar_jw_null(w);
}

void ar_list_reply_end(struct ar_jw *w, const struct ar_list *list, struct ar_str next,
		       struct ar_str prev, int64_t total)
{
	ar_jw_array_end(w);
	write_cursor(w, "nextCursor", next);
	write_cursor(w, "prevCursor", prev);
	if (list->count != AR_COUNT_NONE) {
		ar_jw_keyz(w, "total");
		ar_jw_int(w, total);
	}
	ar_jw_object_end(w);
}
