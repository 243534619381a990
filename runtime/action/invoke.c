/*
 * invoke.c - the in-process face: functions, workflows, the command line and modules call an action
 * by its name with a JSON object and get JSON back, through the same door as everybody.
 */
#include <assert.h>
#include <unistd.h>

#include "action/action_int.h"

#define FILE_REPLY_MAX (8 << 20)

struct file_read {
	int fd;
	int64_t offset;
	char *p;
	size_t n;
};

static int read_whole(void *arg)
{
	struct file_read *job = arg;

	if (ar_read_at(job->fd, job->p, job->n, job->offset) != 0)
		return ar_fail_why(AR_E_INTERNAL, "a file ended before its length");
	return 0;
}

static AR_YIELDS int file_text(struct ar_call *call, struct ar_str *ret)
{
	struct file_read job = { call->reply.fd, call->reply.offset, NULL,
				 (size_t)call->reply.length };
	int rc = -1;

	if (call->reply.length > FILE_REPLY_MAX) {
		ar_fail(AR_E_TOO_LARGE, "what", "reply");
	} else {
		job.p = ar_alloc(call->pool, job.n + 1);
		rc = ar_offload(AR_OFFLOAD_IO, read_whole, &job);
	}
	close(call->reply.fd);
	call->reply.fd = -1;
	*ret = ar_str_n(job.p, job.n);
	return rc;
}

static AR_YIELDS int reply_value(struct ar_call *call, struct ar_json **ret)
{
	static const struct ar_json_limits limits = { REPLY_JSON_MAX, 256, 4000000 };
	struct ar_str text = call->reply.bytes;

	switch (call->reply.kind) {
	case AR_REPLY_NONE:
		*ret = NULL;
		return 0;
	case AR_REPLY_JSON:
		return ar_json_parse(call->pool, ar_buf_view(call->reply.json), &limits, ret);
	case AR_REPLY_FILE:
		if (file_text(call, &text) != 0)
			return -1;
		break;
	case AR_REPLY_BYTES:
		break;
	}
	*ret = ar_json_str(call->pool, text);
	return 0;
}

/* Bytes come in the member "body": a string as it is, anything else as JSON text. */
static void take_body(struct ar_call *call)
{
	struct ar_json *body;

	if (!(call->action->flags & AR_A_RAW_IN) ||
	    (call->action->in != NULL && ar_fields_find(call->action->in, AR_STR("body")) != NULL))
		return;
	body = ar_json_get(call->input, "body");
	if (body == NULL)
		return;
	call->body = body->type == AR_STRING ? body->s : ar_json_print(call->pool, body);
	ar_json_remove(call->input, AR_STR("body"));
}

struct ride {
	struct ar_call *call;
	const struct ar_invoke *invoke;
};

static int ride_along(struct ar_scope *scope, void *arg)
{
	struct ride *ride = arg;

	return ride->invoke->hook(ride->call, ride->invoke->hook_arg);
}

static int find_action(const struct ar_invoke *invoke, struct ar_pool *pool,
		       const struct ar_action **ret)
{
	const struct ar_action *action = ar_action_find(invoke->action);

	if (action == NULL)
		return ar_fail(AR_E_ACTION_UNKNOWN, "action",
			       ar_strz(pool, ar_str_sub(invoke->action, 0, 100)));
	if (action->flags & (AR_A_REST_ONLY | AR_A_PLATFORM) ||
	    (invoke->face == AR_FACE_WORKFLOW && action->flags & AR_A_SECRET_OUT))
		return ar_fail(AR_E_ACTION_FACE, "action", action->name);
	if (invoke->depth > AR_CALL_DEPTH_MAX)
		return ar_fail(AR_E_ACTION_DEPTH, "action", action->name);
	*ret = action;
	return 0;
}

AR_YIELDS int ar_action_invoke(struct ar_pool *pool, const struct ar_invoke *invoke,
			       struct ar_json **ret)
{
	const struct ar_action *action;

	assert(invoke->tenant != NULL && invoke->who != NULL);
	if (find_action(invoke, pool, &action) != 0)
		return -1;
	struct ar_call *call = ar_new(pool, struct ar_call);
	struct ride ride = { call, invoke };

	call->pool = pool;
	call->tenant = invoke->tenant;
	call->who = invoke->who;
	call->action = action;
	call->face = invoke->face;
	call->depth = invoke->depth;
	call->idempotency_key = invoke->idempotency_key;
	call->trace_id = invoke->trace_id;
	call->request_id = ar_id(pool);
	call->reply.fd = -1;
	call->input = invoke->input != NULL ? ar_json_copy(pool, invoke->input)
					    : ar_json_new(pool, AR_OBJECT);
	take_body(call);
	ar_scope_init(&call->scope, invoke->tenant->db, pool);
	if (invoke->hook != NULL && ar_before_commit(&call->scope, ride_along, &ride) != 0)
		return -1;
	return ar_action_enter(call, action) != 0 ? -1 : reply_value(call, ret);
}
