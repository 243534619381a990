/*
 * read.c - one record by id.
 *
 * The view rule is asked in memory, on the row that was read. Who may not see a record gets the
 * same answer as for one that is not there.
 */
#include "data/data_int.h"

static bool matches(struct ar_str list, struct ar_str etag)
{
	while (list.p != NULL) {
		struct ar_str one = ar_str_trim(ar_str_cut(&list, ','));

		if (ar_str_starts(one, AR_STR("W/")))
			one = ar_str_sub(one, 2, one.n);
		if (ar_str_is(one, "*") || ar_str_eq(one, etag))
			return true;
	}
	return false;
}

static int names_of(struct ar_call *call, struct ar_str *names, size_t max, size_t *ret)
{
	struct ar_str left = ar_in_str(call, "fields");

	*ret = 0;
	while (left.n > 0 && left.p != NULL) {
		struct ar_str name = ar_str_trim(ar_str_cut(&left, ','));

		if (name.n == 0)
			continue;
		if (*ret == max)
			return ar_fail_field("fields", "too-many", "max", "64");
		names[(*ret)++] = name;
	}
	return 0;
}

AR_YIELDS int data_record_read(struct ar_call *call)
{
	struct ar_str names[AR_LIST_NAMES_MAX], etag;
	const struct data_collection *c;
	struct data_shape shape;
	struct ar_rows rows;
	size_t n;
	bool yes = true;
	int may;

	if (data_collection_get(call, ar_in_str(call, "collection"), &c) != 0)
		return -1;
	may = data_may(call, c, RULE_VIEW);
	if (may < 0 || names_of(call, names, AR_COUNT(names), &n) != 0 ||
	    data_shape_read(c, names, n, &shape) != 0)
		return -1;
	if (data_row_get(call, c, ar_in_str(call, "id"), false, &rows) != 0 ||
	    (may == 0 && data_rule_test(call, &(struct data_record){ c, &rows, NULL }, RULE_VIEW,
					NULL, &yes) != 0))
		return data_failed(call, c);
	if (!yes)
		return ar_fail(AR_E_NOT_FOUND, "what", "record");
	etag = data_row_etag(call->pool, &rows);
	ar_reply_header(call, "ETag", etag);
	if (matches(ar_in_str(call, "ifNoneMatch"), etag)) {
		call->reply.status = 304;
		return ar_reply_none(call);
	}
	data_write_row(ar_reply_json(call, 0), c, &shape, &rows);
	return 0;
}
