/*
 * read.c - one record by id.
 *
 * The view rule is asked in memory, on the row that was read. Who may not see a record gets the
 * same answer as for one that is not there.
 */
#include "data/data_int.h"

AR_YIELDS int data_record_read(struct ar_call *call)
{
	struct ar_str names[AR_LIST_NAMES_MAX], etag;
	const struct data_collection *c;
	struct data_shape shape;
	struct ar_rows rows;
	size_t n = 0;
	bool yes = true;
	int may;

	if (data_collection_get(call, ar_in_str(call, "collection"), &c) != 0)
		return -1;
	may = data_may(call, c, RULE_VIEW);
	if (may < 0 || ar_in_names(call, "fields", names, AR_COUNT(names), &n) != 0 ||
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
	if (ar_none_match_names(call, etag)) {
		call->reply.status = 304;
		return ar_reply_none(call);
	}
	data_write_row(ar_reply_json(call, 0), c, &shape, &rows);
	return 0;
}
