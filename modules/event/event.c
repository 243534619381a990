/*
 * event.c - publish, read the log, subscribe, and the letters that could not be delivered.
 */
#include "event/event_int.h"

/* Topics of apprun's own say what really happened: nobody may feign them. */
static const char *const reserved[] = { "auth.",     "data.",   "storage.", "workflow.",
					"function.", "tenant.", "system.",  "event.",
					"notify.",   "i18n.",   "bus.",     "apprun." };

static int topic_open(struct ar_call *call, struct ar_str topic)
{
	for (size_t i = 0; i < AR_COUNT(reserved); i++)
		if (ar_str_starts(topic, ar_str(reserved[i])))
			return ar_fail(EVENT_E_RESERVED, "topic", ar_strz(call->pool, topic));
	return 0;
}

/* The log is read by many and kept for days: what is secret by its name does not get there. */
AR_YIELDS int event_publish(struct ar_call *call)
{
	struct ar_str topic = ar_in_str(call, "event"), id;
	const struct ar_json *data = ar_in(call, "data");
	struct ar_jw *w;

	if (topic_open(call, topic) != 0)
		return -1;
	if (data != NULL)
		data = ar_mask(call->pool, data, NULL, NULL);
	if (ar_publish(&call->scope, ar_strz(call->pool, topic), ar_in_str(call, "key"), data,
		       &id) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "eventId");
	ar_jw_str(w, id);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int event_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "seq", .type = AR_LIST_INT },
		{ .name = "id" },
		{ .name = "event", .sql = "topic" },
		{ .name = "key" },
		{ .name = "time", .sql = "time_ms", .type = AR_LIST_TIME },
		{ .name = "traceId", .sql = "trace_id" },
		{ .name = "hops", .type = AR_LIST_INT },
		{ .name = "data", .type = AR_LIST_JSON },
		{ 0 },
	};
	static const struct ar_list_table table = { "bus_event", columns, "-seq" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

/* ---- subscriptions ---- */

AR_YIELDS int event_subscription_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "name" },
		{ .name = "topics" },
		{ .name = "condition" },
		{ .name = "kind" },
		{ .name = "target" },
		{ .name = "maxAttempts", .sql = "max_attempts", .type = AR_LIST_INT },
		{ 0 },
	};
	static const struct ar_list_table table = { "bus_subscription", columns, "name" };

	return ar_list_table(call, &table, "builtin = 0", AR_NO_ARGS);
}

/* function.NAME.N and workflow.NAME.N are made with their function or workflow. */
static int name_open(struct ar_call *call, struct ar_str name)
{
	if (ar_str_starts(name, AR_STR("function.")) || ar_str_starts(name, AR_STR("workflow.")))
		return ar_fail(EVENT_E_NAME, "name", ar_strz(call->pool, name));
	return 0;
}

/* Who has something run by an event must be allowed to run it. */
static int may_run(struct ar_call *call, bool function)
{
	const char *permission = function ? "functions.call" : "workflows.run";

	if (ar_who_may(call->who, ar_str(permission)))
		return 0;
	return ar_fail(AR_E_FORBIDDEN, "permission", permission);
}

AR_YIELDS static int target_there(struct ar_call *call, struct ar_str kind, struct ar_str target)
{
	bool function = ar_str_is(kind, "function");
	struct ar_rows rows;

	if (may_run(call, function) != 0)
		return -1;
	if (ar_query(&call->scope, &rows,
		     function ? "SELECT 1 FROM function_functions WHERE name = ? AND library = 0"
			      : "SELECT 1 FROM workflow_workflows WHERE name = ?",
		     AR_ARGS(AR_J_STR(target))) != 0)
		return -1;
	return rows.count > 0 ? 0 : ar_fail_field("target", "not-found");
}

AR_YIELDS int event_subscription_put(struct ar_call *call)
{
	struct ar_subscription subscription = {
		.name = ar_in_str(call, "name"),
		.topics = ar_in_str(call, "topics"),
		.condition = ar_in_str(call, "condition"),
		.kind = ar_in_str(call, "kind"),
		.target = ar_in_str(call, "target"),
		.max_attempts = ar_in_int(call, "maxAttempts", 0),
	};

	if (name_open(call, subscription.name) != 0 ||
	    target_there(call, subscription.kind, subscription.target) != 0 ||
	    ar_subscribe(&call->scope, &subscription) != 0)
		return -1;
	return ar_reply_value(call, call->input);
}

AR_YIELDS int event_subscription_delete(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name");
	struct ar_rows rows;

	if (name_open(call, name) != 0 ||
	    ar_query_lock(&call->scope, &rows,
			  "SELECT name FROM bus_subscription WHERE name = ? AND builtin = 0",
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (rows.count == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "subscription");
	if (ar_unsubscribe(&call->scope, name) != 0)
		return -1;
	return ar_reply_none(call);
}

/* ---- dead letters ---- */

AR_YIELDS int event_dead_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id", .type = AR_LIST_INT },
		{ .name = "subscription" },
		{ .name = "event", .sql = "topic" },
		{ .name = "key" },
		{ .name = "attempts", .type = AR_LIST_INT },
		{ .name = "error" },
		{ .name = "time", .sql = "time_ms", .type = AR_LIST_TIME },
		{ .name = "letter", .sql = "event", .type = AR_LIST_JSON },
		{ 0 },
	};
	static const struct ar_list_table table = { "bus_dead", columns, "-id" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS int event_dead_redrive(struct ar_call *call)
{
	if (ar_bus_redrive(&call->scope, ar_in_int(call, "id", 0)) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int event_dead_delete(struct ar_call *call)
{
	if (ar_bus_forget(&call->scope, ar_in_int(call, "id", 0)) != 0)
		return -1;
	return ar_reply_none(call);
}
