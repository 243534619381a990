/*
 * validate.c - data-model.validate_schema: is this a record of that collection? Nothing is stored.
 *
 * A workflow's first step is this, often without any parameter: then the run's input is the data,
 * and the collection is "registrations", which the demo tenant has.
 */
#include "data/data_int.h"

AR_YIELDS int data_validate(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "collection");
	const struct data_collection *c;
	struct ar_json *checked;
	struct ar_jw *w;

	if (data_collection_get(call, name.n > 0 ? name : AR_STR("registrations"), &c) != 0 ||
	    data_check_whole(call->pool, c, ar_in(call, "data"), true, &checked) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "valid");
	ar_jw_bool(w, true);
	ar_jw_keyz(w, "collection");
	ar_jw_str(w, c->name);
	ar_jw_keyz(w, "data");
	ar_jw_value(w, checked);
	ar_jw_object_end(w);
	return 0;
}
