/*
 * run.c - runs as their callers see them: start, list, look in, cancel; started by an event.
 */
#include "workflow/workflow_int.h"

static struct ar_json *cause_of(struct ar_call *call)
{
	static const char *const faces[] = { "rest", "lua", "workflow", "cli", "system" };
	struct ar_json *cause = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(cause, AR_STR("by"), ar_json_str(call->pool, call->who->id));
	ar_json_set(cause, AR_STR("face"), ar_json_str(call->pool, ar_str(faces[call->face])));
	return cause;
}

AR_YIELDS static int run_graph(struct ar_call *call, struct ar_str version,
			       struct workflow_graph **ret)
{
	if (workflow_graph_get(call->tenant, call->pool, version, ret) == 0)
		return 0;
	if (!ar_err_is(AR_E_NOT_FOUND))
		return -1;
	ar_err_clear(); /* its workflow was deleted: the run ended, its input was masked then */
	*ret = NULL;
	return 0;
}

AR_YIELDS static int run_input_write(struct ar_call *call, struct ar_jw *w, struct ar_str version,
				     struct ar_str text)
{
	static const struct ar_json_limits limits = { (size_t)8 << 20, 64, 1000000 };
	struct workflow_graph *graph;
	struct ar_json *input;

	if (run_graph(call, version, &graph) != 0)
		return -1;
	ar_jw_keyz(w, "input");
	if (graph == NULL) {
		ar_jw_raw(w, text);
		return 0;
	}
	if (ar_json_parse(call->pool, text, &limits, &input) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	ar_jw_value(w, workflow_masked(call->pool, input, graph));
	return 0;
}

static void raw_or_null(struct ar_jw *w, const char *key, struct ar_rows *rows, size_t col)
{
	ar_jw_keyz(w, key);
	ar_jw_raw(w, ar_col_null(rows, col) ? AR_STR("null") : ar_col_str(rows, col));
}

static void time_or_null(struct ar_jw *w, const char *key, struct ar_rows *rows, size_t col)
{
	ar_jw_keyz(w, key);
	if (ar_col_null(rows, col))
		ar_jw_null(w);
	else
		ar_jw_time(w, ar_col_int(rows, col));
}

AR_YIELDS static int run_write(struct ar_call *call, struct ar_str id, int status)
{
	static const char *const texts[] = { "id", "workflow", "version", "status", "traceId" };
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT id, workflow, version, status, trace_id, input, output, error, cause, "
		     "created, finished FROM workflow_runs WHERE id = ?",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	w = ar_reply_json(call, status);
	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		ar_jw_keyz(w, texts[i]);
		ar_jw_str(w, ar_col_str(&rows, i));
	}
	if (run_input_write(call, w, ar_col_str(&rows, 2), ar_col_str(&rows, 5)) != 0)
		return -1;
	raw_or_null(w, "output", &rows, 6);
	raw_or_null(w, "error", &rows, 7);
	raw_or_null(w, "cause", &rows, 8);
	time_or_null(w, "created", &rows, 9);
	time_or_null(w, "finished", &rows, 10);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int workflow_run_create(struct ar_call *call)
{
	struct workflow_start start = {
		.workflow = ar_in_str(call, "workflow"),
		.input = ar_in(call, "input"),
		.cause = cause_of(call),
		.trace_id = call->trace_id,
	};
	struct ar_str id;

	if (workflow_run_start(&call->scope, call->tenant, &start, &id) != 0)
		return -1;
	return run_write(call, id, 0);
}

AR_YIELDS int workflow_run_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "workflow" },
		{ .name = "version" },
		{ .name = "status" },
		{ .name = "error", .type = AR_LIST_JSON },
		{ .name = "cause", .type = AR_LIST_JSON },
		{ .name = "traceId", .sql = "trace_id" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "finished", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "workflow_runs", columns, "-id" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS int workflow_run_get(struct ar_call *call)
{
	return run_write(call, ar_in_str(call, "id"), 0);
}

static void step_write(struct ar_jw *w, const struct workflow_step *step, struct ar_rows *rows)
{
	ar_jw_object(w);
	ar_jw_keyz(w, "step");
	ar_jw_str(w, step->name);
	ar_jw_keyz(w, "action");
	ar_jw_strz(w, step->action->name);
	ar_jw_keyz(w, "status");
	ar_jw_str(w, rows != NULL ? ar_col_str(rows, 1) : AR_STR("pending"));
	ar_jw_keyz(w, "attempt");
	ar_jw_int(w, rows != NULL ? ar_col_int(rows, 2) : 0);
	if (rows != NULL) {
		raw_or_null(w, "output", rows, 3);
		raw_or_null(w, "error", rows, 4);
		time_or_null(w, "next", rows, 5);
		time_or_null(w, "started", rows, 6);
		time_or_null(w, "finished", rows, 7);
	}
	ar_jw_object_end(w);
}

/* All steps in an order that respects what they need, those not begun too. */
AR_YIELDS int workflow_run_steps(struct ar_call *call)
{
	struct workflow_graph *graph;
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows, "SELECT version FROM workflow_runs WHERE id = ?",
		     AR_ARGS(AR_J_STR(ar_in_str(call, "id")))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (workflow_graph_get(call->tenant, call->pool, ar_col_str(&rows, 0), &graph) != 0 ||
	    ar_query(&call->scope, &rows,
		     "SELECT step, status, attempt, output, error, next_ms, started, finished "
		     "FROM workflow_steps WHERE run_id = ?",
		     AR_ARGS(AR_J_STR(ar_in_str(call, "id")))) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_array(w);
	for (size_t o = 0; o < graph->nsteps; o++) {
		const struct workflow_step *step = &graph->steps[graph->order[o]];
		bool found = false;

		rows.at = 0;
		while (!found && ar_rows_next(&rows))
			found = ar_str_eq(ar_col_str(&rows, 0), step->name);
		step_write(w, step, found ? &rows : NULL);
	}
	ar_jw_array_end(w);
	ar_jw_object_end(w);
	return 0;
}

/* ---- cancelling ---- */

struct cancelled {
	struct ar_str database, id;
};

static void cancelled_tell(void *arg)
{
	struct cancelled *cancelled = arg;

	workflow_cancel(cancelled->database, cancelled->id);
}

/* What a step did stays done; nothing of the run happens after this commit. */
AR_YIELDS int workflow_run_cancel(struct ar_call *call)
{
	struct cancelled *cancelled = ar_new(call->pool, struct cancelled);
	struct workflow_graph *graph;
	struct ar_json *input;
	struct ar_rows rows;

	cancelled->database = call->tenant->name;
	cancelled->id = ar_in_str(call, "id");
	if (ar_query_lock(&call->scope, &rows,
			  "SELECT status, version, input FROM workflow_runs WHERE id = ?",
			  AR_ARGS(AR_J_STR(cancelled->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (!ar_str_is(ar_col_str(&rows, 0), "running"))
		return ar_fail(WORKFLOW_E_OVER);
	if (workflow_graph_get(call->tenant, call->pool, ar_col_str(&rows, 1), &graph) != 0 ||
	    ar_json_parse(call->pool, ar_col_str(&rows, 2), &ar_json_limits_default, &input) != 0)
		return -1;
	input = workflow_masked(call->pool, input, graph);
	if (ar_exec(&call->scope,
		    "UPDATE workflow_runs SET status = 'cancelled', input = ?, finished = ? "
		    "WHERE id = ?",
		    AR_ARGS(AR_J_STR(ar_json_print(call->pool, input)), AR_J_INT(ar_now_ms()),
			    AR_J_STR(cancelled->id)),
		    NULL) != 0 ||
	    ar_exec(&call->scope,
		    "UPDATE workflow_steps SET status = 'cancelled' WHERE run_id = ? "
		    "AND status = 'waiting'",
		    AR_ARGS(AR_J_STR(cancelled->id)), NULL) != 0 ||
	    ar_after_commit(&call->scope, cancelled_tell, cancelled) != 0)
		return -1;
	return run_write(call, cancelled->id, 0);
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

/* The run's id comes from the event's: delivered twice, it still starts once. */
AR_YIELDS int workflow_deliver(struct ar_delivery *delivery)
{
	struct ar_pool *pool = delivery->pool;
	const struct ar_event *event = delivery->event;
	struct workflow_start start = {
		.workflow = delivery->target,
		.id = ar_id_from(pool, ar_strf(pool, "%.*s %.*s", AR_FMT(delivery->subscription),
					       AR_FMT(event->id))),
		.input = event->data,
		.cause = event_cause(pool, event),
		.trace_id = event->trace_id,
	};
	struct ar_tenant *tenant;
	struct ar_scope scope;
	struct ar_str id;
	int result;

	if (ar_tenant_acquire(delivery->database, &tenant) != 0)
		return -1;
	ar_scope_init(&scope, tenant->db, pool);
	result = workflow_run_start(&scope, tenant, &start, &id);
	if (result == 0)
		result = ar_commit(&scope);
	else
		ar_rollback(&scope);
	ar_tenant_release(tenant);
	return result;
}
