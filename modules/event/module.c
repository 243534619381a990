/*
 * module.c - the tables of event.
 */
#include "event/event_int.h"

const struct ar_err_def EVENT_E_RESERVED[1] = { { "event/reserved", 422 } };
const struct ar_err_def EVENT_E_NAME[1] = { { "event/name", 422 } };
static const struct ar_err_def *const errors[] = { EVENT_E_RESERVED, EVENT_E_NAME, NULL };

#define TOPIC_CHARS "[a-zA-Z0-9_.:-]+"

static const struct ar_field publish_in[] = {
	AR_FIELD_FREE("event", AR_F_TEXT, .min = 1, .max = 200, .pattern = TOPIC_CHARS,
		      .required = true, .help = "the topic"),
	AR_FIELD_FREE("key", AR_F_TEXT, .max = 200, .help = "events of one key keep their order"),
	AR_FIELD_FREE("data", AR_F_OBJECT, .otherwise = "{}"),
	{ 0 },
};
static const struct ar_field publish_out[] = { AR_FIELD_FREE("eventId", AR_F_ID), { 0 } };
static const struct ar_field event_out[] = {
	AR_FIELD_FREE("seq", AR_F_INT),
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("event", AR_F_TEXT),
	AR_FIELD_FREE("key", AR_F_TEXT),
	AR_FIELD_FREE("time", AR_F_TIME),
	AR_FIELD_FREE("traceId", AR_F_TEXT),
	AR_FIELD_FREE("hops", AR_F_INT, .help = "Events before it, one led to another"),
	AR_FIELD_FREE("data", AR_F_OBJECT),
	{ 0 },
};

#define NAME                                                                                       \
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = 100, .pattern = "[a-zA-Z0-9_.-]+",       \
		      .required = true)
static const char *const kinds[] = { "function", "workflow", NULL };
static const struct ar_field subscription_in[] = {
	NAME,
	AR_FIELD_FREE("topics", AR_F_TEXT, .min = 1, .max = 200, .pattern = "[a-zA-Z0-9_.:*-]+",
		      .required = true, .help = "user_registered, data.record.*, *"),
	AR_FIELD_FREE("condition", AR_F_TEXT, .max = 8192, .help = "an expression on @event"),
	AR_FIELD_FREE("kind", AR_F_ENUM, .values = kinds, .required = true),
	AR_FIELD_FREE("target", AR_F_TEXT, .min = 1, .max = 64, .required = true),
	AR_FIELD_FREE("maxAttempts", AR_F_INT, .min = 1, .max = 100),
	{ 0 },
};
static const struct ar_field name_in[] = { NAME, { 0 } };
static const struct ar_field dead_in[] = {
	AR_FIELD_FREE("id", AR_F_INT, .min = 1, .required = true),
	{ 0 },
};
static const struct ar_field dead_out[] = {
	AR_FIELD_FREE("id", AR_F_INT),
	AR_FIELD_FREE("subscription", AR_F_TEXT),
	AR_FIELD_FREE("event", AR_F_TEXT),
	AR_FIELD_FREE("key", AR_F_TEXT),
	AR_FIELD_FREE("attempts", AR_F_INT),
	AR_FIELD_FREE("error", AR_F_TEXT),
	AR_FIELD_FREE("time", AR_F_TIME),
	AR_FIELD_FREE("letter", AR_F_OBJECT),
	{ 0 },
};

#define READ      "events.read"
#define PUBLISH   "events.publish"
#define SUBSCRIBE "events.subscribe"

static const struct ar_action actions[] = {
	{ "events.publish", "POST /events", PUBLISH, .in = publish_in, .out = publish_out,
	  .run = event_publish, .flags = AR_A_WRITE, .status = 201, .alias = "workflow.emit_event",
	  .help = "Publish an event" },
	{ "events.list", "GET /events", READ, .out = event_out, .run = event_list,
	  .flags = AR_A_LIST, .help = "Read the event log" },
	{ "events.list_subscriptions", "GET /subscriptions", READ, .out = subscription_in,
	  .run = event_subscription_list, .flags = AR_A_LIST, .help = "List subscriptions" },
	{ "events.subscribe", "PUT /subscriptions/{name}", SUBSCRIBE, .in = subscription_in,
	  .out = subscription_in, .run = event_subscription_put, .flags = AR_A_WRITE,
	  .help = "Have a function or a workflow run on events" },
	{ "events.unsubscribe", "DELETE /subscriptions/{name}", SUBSCRIBE, .in = name_in,
	  .run = event_subscription_delete, .flags = AR_A_WRITE, .help = "Delete a subscription" },
	{ "events.list_deadletters", "GET /deadletters", READ, .out = dead_out,
	  .run = event_dead_list, .flags = AR_A_LIST,
	  .help = "Events that could not be delivered" },
	{ "events.redrive", "POST /deadletters/{id}/redrive", SUBSCRIBE, .in = dead_in,
	  .run = event_dead_redrive, .flags = AR_A_WRITE, .help = "Deliver a dead letter again" },
	{ "events.delete_deadletter", "DELETE /deadletters/{id}", SUBSCRIBE, .in = dead_in,
	  .run = event_dead_delete, .flags = AR_A_WRITE, .help = "Delete a dead letter" },
	{ 0 },
};

const struct ar_module event_module = {
	.name = "event",
	.actions = actions,
	.errors = errors,
};
