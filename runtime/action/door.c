/*
 * door.c - the one way into an action, whoever calls: permission, validation, idempotency, the
 * row's function, one commit, metrics. In this order, and nothing of it twice.
 *
 * What may surprise: the reply is complete only after ar_action_enter() returned 0. On -1 nothing of
 * the unit of work is stored, and the error stack is the function's own.
 */
#include <assert.h>
#include <unistd.h>

#include "action/action_int.h"

/* ---- permission ---- */

static int deny(const struct ar_call *call, const struct ar_action *action)
{
	if (call->who->kind == AR_WHO_ANYONE)
		return ar_fail(AR_E_UNAUTHORIZED);
	return ar_fail(AR_E_FORBIDDEN, "permission", action->allow);
}

int ar_action_permit(const struct ar_call *call, const struct ar_action *action)
{
	const struct ar_who *who = call->who;

	if (action->flags & AR_A_PLATFORM) {
		bool is_operator = who->kind == AR_WHO_OPERATOR || who->kind == AR_WHO_SYSTEM;

		return is_operator && ar_who_may(who, ar_str(action->allow)) ? 0
									     : deny(call, action);
	}
	assert(call->tenant != NULL);
	if (strcmp(action->allow, AR_ALLOW_ANYONE) == 0)
		return 0;
	if (strcmp(action->allow, AR_ALLOW_SIGNED_IN) == 0)
		return who->kind != AR_WHO_ANYONE ? 0 : deny(call, action);
	return ar_who_may(who, ar_str(action->allow)) ? 0 : deny(call, action);
}

/* ---- run and commit ---- */

static void default_reply(struct ar_call *call)
{
	const struct ar_action *action = call->action;

	if (call->reply.status == 0)
		call->reply.status = action->status;
	if (call->reply.status == 0)
		call->reply.status = call->reply.kind == AR_REPLY_NONE ? 204 : 200;
}

static AR_YIELDS int run(struct ar_call *call, struct idempotency *idempotency)
{
	if (call->action->run(call) != 0) {
		assert(ar_err() != NULL); /* -1 without a reason */
		return -1;
	}
	if (call->reply.kind == AR_REPLY_JSON && call->reply.json->over)
		return ar_fail(AR_E_TOO_LARGE, "what", "reply");
	default_reply(call);
	if (idempotency->held && idempotency_store(call, idempotency) != 0)
		return -1;
	return ar_commit(&call->scope);
}

static AR_YIELDS void undo(struct ar_call *call)
{
	if (call->scope.db != NULL)
		ar_rollback(&call->scope);
	if (call->reply.kind == AR_REPLY_FILE && call->reply.fd >= 0)
		close(call->reply.fd);
	call->reply.kind = AR_REPLY_NONE;
	call->reply.fd = -1;
}

static AR_YIELDS int enter_checked(struct ar_call *call)
{
	struct idempotency idempotency = { 0 };

	if (ar_action_permit(call, call->action) != 0 || call_check_input(call) != 0)
		return -1;
	int rc = idempotency_enter(call, &idempotency);

	if (rc == 1)
		return 0;
	if (rc == 0)
		rc = run(call, &idempotency);
	if (rc != 0)
		undo(call);
	idempotency_leave(&idempotency);
	return rc;
}

/* A request's deadline may be widened by its row; a call inside of another can only narrow it. */
static int64_t deadline_enter(const struct ar_call *call)
{
	int64_t before = ar_deadline();

	if (call->action->deadline_ms > 0) {
		int64_t mine = ar_mono_ms() + call->action->deadline_ms;

		if (call->face == AR_FACE_REST || mine < before)
			ar_deadline_set(mine);
	}
	return before;
}

/* ---- metrics ---- */

static struct ar_metric calls_metric = { .name = "apprun_action_calls_total",
					 .help = "Calls of actions, on every face.",
					 .kind = AR_COUNTER,
					 .labels = { "action", "result" },
					 .max = 3 * ACTIONS_MAX };
static struct ar_metric seconds_metric = { .name = "apprun_action_seconds",
					   .help = "Time inside of actions.",
					   .kind = AR_HISTOGRAM,
					   .labels = { "action" },
					   .max = ACTIONS_MAX,
					   AR_DURATION_US };

/* refused: the caller's mistake (4xx). failed: ours (5xx). */
static void metrics_add(const struct ar_call *call, int rc, int64_t us)
{
	static const char *const names[RESULTS] = { "ok", "refused", "failed" };
	struct action_metrics *m = action_metrics(call->action);
	bool ours = rc != 0 && ar_err() != NULL && ar_err()->def->status >= 500;
	int result = rc == 0 ? 0 : ours ? 2 : 1;
	struct ar_series *calls = atomic_load_explicit(&m->calls[result], memory_order_relaxed);
	struct ar_series *seconds = atomic_load_explicit(&m->seconds, memory_order_relaxed);

	if (calls == NULL) {
		calls = ar_series(&calls_metric, call->action->name, names[result]);
		atomic_store_explicit(&m->calls[result], calls, memory_order_relaxed);
	}
	if (seconds == NULL) {
		seconds = ar_series(&seconds_metric, call->action->name);
		atomic_store_explicit(&m->seconds, seconds, memory_order_relaxed);
	}
	ar_series_add(calls, 1);
	ar_series_observe(seconds, us);
}

/* ---- the door ---- */

AR_YIELDS int ar_action_enter(struct ar_call *call, const struct ar_action *action)
{
	int64_t started_us = ar_mono_us();

	assert(call->pool != NULL && call->who != NULL);
	ar_err_clear(); /* what a call before was refused for is not for this one */
	call->action = action;
	int64_t deadline = deadline_enter(call);
	int rc = enter_checked(call);

	ar_deadline_set(deadline);
	metrics_add(call, rc, ar_mono_us() - started_us);
	return rc;
}
