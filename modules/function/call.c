/*
 * call.c - the three ways into a function (HTTP, an action, an event), and the one way through.
 *
 * The code acts with the function's own permissions. What it calls goes through the action table's
 * door like everybody's calls, in the fiber that waits for the function.
 */
#include "function/function_int.h"

struct host {
	const struct function_call *call;
	struct function_code *code;
};

AR_YIELDS static int host_call(void *arg, struct ar_pool *pool, struct ar_str action,
			       struct ar_json *input, struct ar_json **ret)
{
	struct host *host = arg;
	struct ar_invoke invoke = {
		.tenant = host->call->tenant,
		.who = host->code->who,
		.face = AR_FACE_LUA,
		.depth = host->call->depth + 1,
		.action = action,
		.input = input,
		.trace_id = host->call->trace_id,
	};

	return ar_action_invoke(pool, &invoke, ret);
}

static struct ar_json *context_of(const struct function_call *call, struct ar_str run)
{
	struct ar_json *context = ar_json_new(call->pool, AR_OBJECT);
	const struct ar_who *who = call->caller;

	ar_json_set(context, AR_STR("tenant"), ar_json_str(call->pool, call->tenant->name));
	ar_json_set(context, AR_STR("function"), ar_json_str(call->pool, call->name));
	ar_json_set(context, AR_STR("run"), ar_json_str(call->pool, run));
	ar_json_set(context, AR_STR("cause"), ar_json_str(call->pool, ar_str(call->cause)));
	if (who != NULL && who->auth != NULL)
		ar_json_set(context, AR_STR("auth"), ar_json_copy(call->pool, who->auth));
	return context;
}

#define MESSAGE_MAX 1000 /* bytes that a caller hears */

static const char *message_text(struct ar_pool *pool, struct ar_str message)
{
	return ar_strz(pool, ar_utf8_head(message, MESSAGE_MAX));
}

int64_t function_status(const struct ar_json *value)
{
	const struct ar_json *status = ar_json_get(value, "status");

	if (status == NULL || (status->type != AR_INT && status->type != AR_FLOAT))
		return 0;
	if (status->type == AR_INT)
		return status->i;
	return status->f >= 100 && status->f < 1000 && status->f == (double)(int64_t)status->f
		       ? (int64_t)status->f
		       : 0;
}

/* The texts of an object as parameters of a message. */
static struct ar_err_param *params_of(struct ar_pool *pool, const struct ar_json *object)
{
	struct ar_err_param *params = NULL;

	if (object == NULL || object->type != AR_OBJECT)
		return NULL;
	ar_json_each (m, object) {
		struct ar_err_param *param;

		if (m->type != AR_STRING)
			continue;
		param = ar_new(pool, struct ar_err_param);
		*param = (struct ar_err_param){ message_text(pool, m->key),
						message_text(pool, m->s), params };
		params = param;
	}
	return params;
}

/* What the code said; where it said nothing, or passed on what the platform said to it (which begins
 * with the platform's code), our words for that. */
static const char *refusal_text(const struct function_call *call, const struct ar_json *value,
				const struct ar_err_def *def)
{
	struct ar_str code = ar_json_text(value, "code", AR_STR(""));
	struct ar_str message = ar_json_text(value, "message", AR_STR("")), text = AR_STR_NONE;

	if (message.n == 0 && code.n == 0)
		text = ar_message(call->pool, call->language, function_refused_words(def), NULL);
	else if (code.n > 0 && code.n < 100 && ar_str_starts(message, code))
		text = ar_message(call->pool, call->language, ar_strz(call->pool, code),
				  params_of(call->pool, value));
	if (text.n == 0)
		text = message.n > 0 ? message : code;
	return message_text(call->pool, text);
}

#define FIELDS_MAX 50

/* fields = { size = "too big" }: what is wrong with what the caller sent. */
static void refusal_fields(const struct function_call *call, const struct ar_err_def *def,
			   const struct ar_json *value)
{
	const struct ar_json *fields = ar_json_get(value, "fields");
	const struct ar_json *all = ar_json_get(value, "fieldParams");
	size_t n = 0;

	if (fields == NULL || fields->type != AR_OBJECT)
		return;
	ar_json_each (f, fields) {
		struct ar_str code = f->type == AR_STRING ? f->s : AR_STR_NONE;
		const struct ar_err_param *params =
			all != NULL && all->type == AR_OBJECT
				? params_of(call->pool, ar_json_get_str(all, f->key))
				: NULL;
		const char *first[4] = { NULL };

		if (code.n == 0 || n == FIELDS_MAX)
			continue;
		n++;
		for (size_t i = 0; i < 2 && params != NULL; i++, params = params->next) {
			first[2 * i] = params->key;
			first[2 * i + 1] = params->value;
		}
		ar_fail_field_as(def, message_text(call->pool, f->key),
				 message_text(call->pool, code), first[0], first[1], first[2],
				 first[3]);
	}
}

/* error{ status = 404, code = "shop/no-such-order", message = "..." }: the code's own refusal. */
static int refusal(const struct function_call *call, const struct ar_json *value, struct ar_str run)
{
	const struct ar_err_def *def = function_refused(function_status(value));
	const char *code = message_text(call->pool, ar_json_text(value, "code", AR_STR("")));

	ar_fail_over(def, "function", ar_strz(call->pool, call->name), "run",
		     ar_strz(call->pool, run), "reason", code, "message",
		     refusal_text(call, value, def));
	refusal_fields(call, def, value);
	return -1;
}

/* A fault's message may say anything of the code and its data: people hear it who may read both, and
 * the house's own callers (workflows, functions, the bus). Others hear which run to ask about. */
static const char *fault_text(const struct function_call *call, struct ar_str message,
			      struct ar_str run)
{
	const struct ar_who *who = call->caller;
	bool person = who != NULL && (who->kind == AR_WHO_ANYONE || who->kind == AR_WHO_USER ||
				      who->kind == AR_WHO_KEY);

	if (person && !ar_who_may(who, AR_STR("functions.read")))
		return ar_printf(call->pool, "run %.*s", AR_FMT(run));
	return message_text(call->pool, message);
}

/* What the caller hears of a failure. The code's own refusals keep their status; limits say which
 * one; a fault says where it happened. */
static int failure(const struct function_call *call, const struct ar_sandbox_result *result,
		   struct ar_str run)
{
	const struct ar_json *error = result->error, *value;
	const char *run_z = ar_strz(call->pool, run), *name = ar_strz(call->pool, call->name);

	if (error != NULL) {
		value = ar_json_get(error, "value");
		if (value != NULL && value->type == AR_OBJECT &&
		    function_refused(function_status(value)) != NULL)
			return refusal(call, value, run);
		return ar_fail_over(
			FUNCTION_E_FAILED, "function", name, "run", run_z, "message",
			fault_text(call, ar_json_text(error, "message", AR_STR("")), run));
	}
	if (ar_err_is(AR_E_SANDBOX_BUSY) || ar_err_is(AR_E_SANDBOX_FULL) ||
	    ar_err_is(AR_E_SANDBOX_LOST) || ar_err_is(AR_E_CANCELLED) || ar_err_is(AR_E_DEADLINE) ||
	    ar_err()->def->status < 500)
		return -1;
	return ar_fail_over(FUNCTION_E_LIMIT, "function", name, "run", run_z, "limit",
			    ar_err()->def->slug, "cause", ar_err()->def->slug);
}

AR_YIELDS int function_run(const struct function_call *call, struct function_code *code,
			   struct ar_json **ret, struct ar_str *ret_run)
{
	struct ar_str run = ar_id(call->pool);
	struct host host = { call, code };
	struct ar_sandbox_result result = { 0 };
	struct ar_sandbox_run sandbox = {
		.tenant = call->tenant->name,
		.code = code->code,
		.modules = code->modules,
		.nmodules = code->nmodules,
		.input = call->input,
		.context = context_of(call, run),
		.limits = code->limits,
		.host = host_call,
		.host_arg = &host,
		.depth = call->depth,
	};
	struct function_run_record record = {
		.id = run,
		.function = code->name,
		.version = code->version,
		.trace_id = call->trace_id,
		.cause = call->cause,
		.input = call->input,
		.result = &result,
		.created_ms = ar_now_ms(),
	};
	int failed;

	*ret_run = run;
	if (code->library)
		return ar_fail(FUNCTION_E_LIBRARY);
	failed = ar_sandbox_call(call->pool, &sandbox, &result);
	record.error = failed ? ar_err()->def->slug : NULL;
	function_run_record(call->tenant, &record);
	if (failed)
		return failure(call, &result, run);
	*ret = result.output;
	return 0;
}

static int may_call(struct ar_pool *pool, const struct ar_who *who, struct ar_str allow)
{
	if (ar_str_is(allow, AR_ALLOW_ANYONE))
		return 0;
	if (who->kind == AR_WHO_ANYONE)
		return ar_fail(AR_E_UNAUTHORIZED);
	if (ar_str_is(allow, AR_ALLOW_SIGNED_IN) || ar_who_may(who, allow))
		return 0;
	return ar_fail(AR_E_FORBIDDEN, "permission", ar_strz(pool, allow));
}

AR_YIELDS static int run_for(struct ar_call *call, struct ar_str name, const struct ar_json *input,
			     const char *cause, struct ar_json **ret)
{
	struct function_call fn = {
		.tenant = call->tenant,
		.pool = call->pool,
		.name = name,
		.input = input,
		.cause = cause,
		.trace_id = call->trace_id,
		.language = call->language,
		.depth = call->depth,
		.caller = call->who,
	};
	struct function_code *code;
	struct ar_str run;

	if (function_code_get(call->tenant, call->pool, name, &code) != 0 ||
	    may_call(call->pool, call->who, code->allow) != 0 ||
	    function_run(&fn, code, ret, &run) != 0)
		return -1;
	ar_reply_header(call, "X-Apprun-Run", run);
	return 0;
}

/* ANY /fn/{name}/{path...} */
AR_YIELDS int function_http(struct ar_call *call)
{
	struct ar_json *input, *output;

	if (function_http_input(call, &input) != 0 ||
	    run_for(call, ar_in_str(call, "name"), input, "http", &output) != 0)
		return -1;
	return function_http_reply(call, output);
}

/* POST /functions/{function}/execute: the action that workflows and other functions use */
AR_YIELDS int function_execute(struct ar_call *call)
{
	struct ar_json *output;

	if (run_for(call, ar_in_str(call, "function"), ar_in(call, "input"), "call", &output) != 0)
		return -1;
	return ar_reply_value(call, output);
}

static struct ar_json *event_input(struct ar_pool *pool, const struct ar_event *event)
{
	struct ar_json *input = ar_json_new(pool, AR_OBJECT);
	char time[AR_TIME_MAX];

	ar_time_format(event->time_ms, time);
	ar_json_set(input, AR_STR("id"), ar_json_str(pool, event->id));
	ar_json_set(input, AR_STR("event"), ar_json_str(pool, event->topic));
	ar_json_set(input, AR_STR("key"), ar_json_str(pool, event->key));
	ar_json_set(input, AR_STR("time"), ar_json_str(pool, ar_str_dup(pool, ar_str(time))));
	ar_json_set(input, AR_STR("data"), ar_json_copy(pool, event->data));
	return input;
}

/* A subscription of kind "function": at least once, so the code should be idempotent by event id. */
AR_YIELDS int function_deliver(struct ar_delivery *delivery)
{
	struct ar_pool *pool = delivery->pool;
	struct function_code *code;
	struct ar_tenant *tenant;
	struct ar_json *output;
	struct ar_str run;
	int failed;

	if (ar_tenant_acquire(delivery->database, &tenant) != 0)
		return -1;
	struct function_call fn = {
		.tenant = tenant,
		.pool = ar_pool_new(), /* ends before the tenant is let go */
		.name = delivery->target,
		.input = event_input(pool, delivery->event),
		.cause = "event",
		.trace_id = delivery->event->trace_id,
	};
	failed = function_code_get(tenant, fn.pool, fn.name, &code) != 0 ||
		 function_run(&fn, code, &output, &run) != 0;
	delivery->untried = failed && (ar_err()->def == AR_E_SANDBOX_BUSY ||
				       ar_err()->def == AR_E_SANDBOX_FULL);
	ar_pool_free(fn.pool);
	ar_tenant_release(tenant);
	return failed ? -1 : 0;
}
