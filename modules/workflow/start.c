/*
 * start.c - begins runs: a row in the caller's unit of work, and a word to the engine after its commit.
 *
 * An event starts a run whose id is made from the event's: delivered twice, it still starts once.
 * It begins with the event's time, for lists by id are lists by time.
 */
#include "workflow/workflow_int.h"

struct beginning {
	struct ar_str database, id;
	struct workflow_seed seed;
};

static void begin(void *arg)
{
	const struct beginning *b = arg;

	workflow_drive(b->database, b->id, workflow_seed_new(&b->seed));
}

AR_YIELDS static int current_version(struct ar_scope *scope, struct ar_str workflow,
				     struct ar_str *ret)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows, "SELECT version FROM workflow_workflows WHERE name = ?",
		     AR_ARGS(AR_J_STR(workflow))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "workflow");
	*ret = ar_col_str(&rows, 0);
	return 0;
}

AR_YIELDS int workflow_run_start(struct ar_scope *scope, struct ar_str database,
				 const struct workflow_start *start, struct workflow_started *ret)
{
	struct beginning *b = ar_new(scope->pool, struct beginning);
	int64_t changed = 0, now = ar_now_ms();

	b->database = ar_str_dup(scope->pool, database);
	b->id = start->id.n > 0 ? start->id : ar_id(scope->pool);
	b->seed.input = ar_json_print(scope->pool, start->input);
	b->seed.cause = ar_json_print(scope->pool, start->cause);
	b->seed.trace_id = start->trace_id;
	b->seed.hops = ar_bus_hops();
	if (b->seed.input.n > WORKFLOW_INPUT_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "input");
	if (current_version(scope, start->workflow, &b->seed.version) != 0 ||
	    ar_exec(scope,
		    "INSERT INTO workflow_runs (id, workflow, version, status, input, cause, "
		    "trace_id, created, hops) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?) "
		    "ON CONFLICT (id) DO NOTHING",
		    AR_ARGS(AR_J_STR(b->id), AR_J_STR(start->workflow), AR_J_STR(b->seed.version),
			    AR_J_STR(b->seed.input), AR_J_STR(b->seed.cause),
			    AR_J_STR(b->seed.trace_id), AR_J_INT(now), AR_J_INT(b->seed.hops)),
		    &changed) != 0)
		return -1;
	*ret = (struct workflow_started){ b->id, b->seed.version, now, changed == 0 };
	return changed > 0 ? ar_after_commit(scope, begin, b) : 0;
}

/* ---- started by an event ---- */

static struct ar_json *event_cause(struct ar_pool *pool, const struct ar_event *event)
{
	struct ar_json *cause = ar_json_new(pool, AR_OBJECT), *json = ar_json_new(pool, AR_OBJECT);

	ar_json_set(json, AR_STR("id"), ar_json_str(pool, event->id));
	ar_json_set(json, AR_STR("topic"), ar_json_str(pool, event->topic));
	ar_json_set(json, AR_STR("key"), ar_json_str(pool, event->key));
	ar_json_set(cause, AR_STR("event"), json);
	return cause;
}

/* The end of a run starts other workflows, not the same one for ever. */
static bool own_end(const struct ar_delivery *delivery)
{
	const struct ar_event *event = delivery->event;

	return ar_str_is(event->topic, "workflow.run.finished") &&
	       ar_str_eq(ar_json_text(event->data, "workflow", AR_STR("")), delivery->target);
}

/* In the bus's own unit of work: the run begins with the commit that moves the position. */
AR_YIELDS int workflow_deliver(struct ar_delivery *delivery)
{
	struct ar_pool *pool = delivery->scope->pool;
	const struct ar_event *event = delivery->event;
	struct workflow_start start = {
		.workflow = delivery->target,
		.id = ar_id_from_at(pool, event->time_ms,
				    ar_strf(pool, "%.*s %.*s", AR_FMT(delivery->subscription),
					    AR_FMT(event->id))),
		.input = event->data,
		.cause = event_cause(pool, event),
		.trace_id = event->trace_id,
	};
	struct workflow_started started;

	if (own_end(delivery))
		return 0;
	return workflow_run_start(delivery->scope, delivery->database, &start, &started);
}
