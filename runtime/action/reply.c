/*
 * reply.c - what an action answers. Nothing is sent here: the door commits first, then the face
 * that the call came through sends, stores or parses the reply.
 *
 * A later ar_reply_*() replaces an earlier one; headers stay.
 */
#include <assert.h>
#include <unistd.h>

#include "action/action_int.h"

static void reply_begin(struct ar_call *call, enum ar_reply_kind kind, int status)
{
	call->reply.kind = kind;
	call->reply.status = status;
}

struct ar_jw *ar_reply_json(struct ar_call *call, int status)
{
	struct ar_jw *w = ar_new(call->pool, struct ar_jw);

	reply_begin(call, AR_REPLY_JSON, status);
	call->reply.json = ar_buf_new(call->pool, REPLY_JSON_MAX);
	ar_jw_init(w, call->reply.json);
	return w;
}

int ar_reply_struct(struct ar_call *call, const void *value)
{
	assert(call->action->out != NULL);
	ar_fields_print(ar_reply_json(call, 0), call->action->out, value);
	return 0;
}

int ar_reply_value(struct ar_call *call, const struct ar_json *value)
{
	struct ar_jw *w = ar_reply_json(call, 0);

	if (value != NULL)
		ar_jw_value(w, value);
	else
		ar_jw_null(w);
	return 0;
}

int ar_reply_bytes(struct ar_call *call, struct ar_str content_type, struct ar_str bytes)
{
	reply_begin(call, AR_REPLY_BYTES, call->reply.status);
	call->reply.content_type = content_type;
	call->reply.bytes = bytes;
	return 0;
}

int ar_reply_none(struct ar_call *call)
{
	reply_begin(call, AR_REPLY_NONE, call->reply.status);
	return 0;
}

/* A value that could end the header and begin another one is not sent at all. */
void ar_reply_header(struct ar_call *call, const char *name, struct ar_str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
			return;
	}
	for (size_t i = 0; i < call->reply.nheaders; i++) {
		if (ar_str_caseeq(ar_str(call->reply.headers[i].name), ar_str(name)) &&
		    !ar_str_caseeq(ar_str(name), AR_STR("set-cookie"))) {
			call->reply.headers[i].value = value;
			return;
		}
	}
	assert(call->reply.nheaders < AR_COUNT(call->reply.headers));
	call->reply.headers[call->reply.nheaders].name = name;
	call->reply.headers[call->reply.nheaders++].value = value;
}

/* If-Match: * or a list of strong tags. */
int ar_check_if_match(struct ar_call *call, struct ar_str etag)
{
	struct ar_str list = ar_in_str(call, "ifMatch");

	if (list.n == 0 || ar_str_is(ar_str_trim(list), "*"))
		return 0;
	while (list.p != NULL) {
		if (ar_str_eq(ar_str_trim(ar_str_cut(&list, ',')), etag))
			return 0;
	}
	return ar_fail(AR_E_PRECONDITION);
}

bool ar_none_match_names(struct ar_call *call, struct ar_str etag)
{
	struct ar_str list = ar_in_str(call, "ifNoneMatch");

	while (list.n > 0) {
		struct ar_str one = ar_str_trim(ar_str_cut(&list, ','));

		if (ar_str_starts(one, AR_STR("W/")))
			one = ar_str_sub(one, 2, one.n);
		if (ar_str_is(one, "*") || ar_str_eq(one, etag))
			return true;
	}
	return false;
}
