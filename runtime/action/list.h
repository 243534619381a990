/*
 * list.h - what every list takes and gives: filter, sort, fields, limit, cursor, count.
 *
 * An action with AR_A_LIST accepts these inputs beside its own and reads them with ar_list_parse().
 * Lists over a table of the house are one call, ar_list_table(): it filters, sorts, pages by
 * keyset (right under concurrent inserts and deletes, both directions) and writes the reply
 * {"items": [...], "nextCursor": "..."|null, "prevCursor": "..."|null, "total"?: n}. The row's `out`
 * describes one item.
 *
 * A cursor is opaque to clients: base64url of the sort it was made for and of the values of the
 * row next to it. One that does not fit the list's sort is refused (field/cursor).
 */
#ifndef AR_LIST_H
#define AR_LIST_H

#include "action/action.h"
#include "expr/expr.h"

#define AR_LIST_LIMIT     30
#define AR_LIST_LIMIT_MAX 500
#define AR_LIST_SORT_MAX  8
#define AR_LIST_NAMES_MAX 64

enum ar_list_count { AR_COUNT_NONE, AR_COUNT_ESTIMATED, AR_COUNT_EXACT };

struct ar_list_sort {
	struct ar_str name; /* as the client wrote it; the caller checks that there is such a field,
			     * and leaves the list as it was parsed: cursors are made from it */
	bool descending;
};

struct ar_list {
	struct ar_str filter;         /* expression text; empty: all */
	const struct ar_json *params; /* what {:name} in it is bound to; an object or NULL */
	struct ar_list_sort sort[AR_LIST_SORT_MAX];
	size_t nsort;
	struct ar_str fields[AR_LIST_NAMES_MAX]; /* nfields 0: all */
	size_t nfields;
	int64_t limit;  /* 1 to AR_LIST_LIMIT_MAX; perPage is another name for it */
	int64_t offset; /* from page and perPage; 0 with a cursor */
	enum ar_list_count count;
	const struct ar_json
		*cursor; /* array: the values of the sort's fields; NULL: from the start */
	bool backward;   /* the cursor asks for the page before it */
};

/* Refuses what is not understood with AR_E_INVALID and the input's name. */
int ar_list_parse(struct ar_call *call, struct ar_list *ret);
/* The cursor of a row: the values of what the caller sorts by, an array of any length; comes back
 * as list->cursor, whose length and types the caller checks (ar_list_fail_cursor). */
struct ar_str ar_list_cursor(struct ar_pool *pool, const struct ar_list *list,
			     const struct ar_json *values, bool backward);
int ar_list_fail_cursor(void); /* -1 with field/cursor */
bool ar_list_wants(const struct ar_list *list,
		   const char *field); /* fields= names it, or is empty */

/* ---- for lists that read their own rows ---- */

/* The answer of a list's statement. AR_E_TOO_LARGE: its filter did not fit. */
AR_YIELDS int ar_list_query(struct ar_call *call, struct ar_sql *sql, struct ar_rows *ret);
/* How many there are, exactly or up to some number, as the client asked: the caller writes
 * " FROM ... WHERE ..." into sql between the two. */
void ar_list_total_open(const struct ar_list *list, struct ar_sql *sql);
AR_YIELDS int ar_list_total(struct ar_call *call, const struct ar_list *list, struct ar_sql *sql,
			    int64_t *ret);
/* Whether there are pages beside one of `count` items; more: one row too many was found. */
void ar_list_beside(const struct ar_list *list, size_t count, bool more, bool *ret_next,
		    bool *ret_prev);
/* The reply: the items are written between the two, in the order in which they are shown.
 * AR_STR_NONE: there is no such page. total counts only when the client asked. */
struct ar_jw *ar_list_reply(struct ar_call *call);
void ar_list_reply_end(struct ar_jw *w, const struct ar_list *list, struct ar_str next,
		       struct ar_str prev, int64_t total);

/* ---- lists over a table of the house ---- */

struct ar_list_column {
	const char *name; /* of the item's member, and in filter and sort; dots are not allowed */
	const char *sql;  /* the SQL column, constant text; NULL: the same as name */
	/* How it prints: AR_LIST_TIME is int64 ms as RFC 3339, AR_LIST_JSON is text that is JSON. */
	enum ar_list_type {
		AR_LIST_STR,
		AR_LIST_INT,
		AR_LIST_FLOAT,
		AR_LIST_BOOL,
		AR_LIST_TIME,
		AR_LIST_JSON
	} type;
	bool silent; /* may be filtered and sorted by, is not printed */
	/* NULL, or prints the column's text when it is not null. */
	void (*print)(struct ar_call *call, struct ar_jw *w, struct ar_str text);
};

struct ar_list_table {
	const char *from;                     /* "auth_user u" or a join; constant text */
	const struct ar_list_column *columns; /* ends with a zero row; the first is the unique id */
	const char *sort;                     /* when the client asks for none: "-created" */
};

/* where: constant SQL with `?` ("u.role = ?"), or NULL; its values in args. Reads call->scope,
 * replies. The action's `in` holds only what is its own. */
AR_YIELDS int ar_list_table(struct ar_call *call, const struct ar_list_table *table,
			    const char *where, const struct ar_json *args, size_t nargs);

#endif
