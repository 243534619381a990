/*
 * run.c - runs as their callers see them: start, list, look in, cancel. What is secret is masked.
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
	if (!ar_err_is(AR_E_NOT_FOUND) && !ar_err_is(WORKFLOW_E_VERSION))
		return -1;
	ar_err_clear(); /* its workflow was deleted: the run ended, and was masked then */
	*ret = NULL;
	return 0;
}

static int json_read(struct ar_pool *pool, struct ar_str text, struct ar_json **ret)
{
	static const struct ar_json_limits limits = { WORKFLOW_STATE_MAX * 2, 256, 4000000 };

	return ar_json_parse(pool, text, &limits, ret) == 0 ? 0 : ar_fail_over(AR_E_INTERNAL);
}

static int masked_write(struct ar_call *call, struct ar_jw *w, const char *key,
			const struct workflow_mask *mask, const struct ar_rows *rows, size_t col)
{
	bool error = strcmp(key, "error") == 0;
	struct ar_json *value;

	ar_jw_keyz(w, key);
	if (ar_col_null(rows, col)) {
		ar_jw_null(w);
		return 0;
	}
	if (json_read(call->pool, ar_col_str(rows, col), &value) != 0)
		return -1;
	value = error ? workflow_error_masked(call->pool, mask, value)
		      : workflow_masked(call->pool, mask, value);
	if (error)
		workflow_error_say(call->pool, call->language, value);
	ar_jw_value(w, value);
	return 0;
}

static void time_or_null(struct ar_jw *w, const char *key, const struct ar_rows *rows, size_t col)
{
	ar_jw_keyz(w, key);
	if (ar_col_null(rows, col))
		ar_jw_null(w);
	else
		ar_jw_time(w, ar_col_int(rows, col));
}

static void texts_write(struct ar_jw *w, const char *const *names, const struct ar_str *values)
{
	for (size_t i = 0; names[i] != NULL; i++) {
		ar_jw_keyz(w, names[i]);
		ar_jw_str(w, values[i]);
	}
}

static const char *const head[] = { "id", "workflow", "version", "status", "traceId", NULL };

AR_YIELDS static int run_write(struct ar_call *call, struct ar_str id)
{
	struct workflow_graph *graph;
	struct workflow_mask mask;
	struct ar_str values[AR_COUNT(head)];
	struct ar_json *input;
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT id, workflow, version, status, trace_id, input, output, error, cause, "
		     "created, finished FROM workflow_runs WHERE id = ?",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (run_graph(call, ar_col_str(&rows, 2), &graph) != 0 ||
	    json_read(call->pool, ar_col_str(&rows, 5), &input) != 0)
		return -1;
	mask = workflow_mask(call->pool, graph, input);
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	for (size_t i = 0; head[i] != NULL; i++)
		values[i] = ar_col_str(&rows, i);
	texts_write(w, head, values);
	if (masked_write(call, w, "input", &mask, &rows, 5) != 0 ||
	    masked_write(call, w, "output", &mask, &rows, 6) != 0 ||
	    masked_write(call, w, "error", &mask, &rows, 7) != 0 ||
	    masked_write(call, w, "cause", &mask, &rows, 8) != 0)
		return -1;
	time_or_null(w, "created", &rows, 9);
	time_or_null(w, "finished", &rows, 10);
	ar_jw_object_end(w);
	return 0;
}

/* The reply says what was written; it is not read again. */
AR_YIELDS int workflow_run_create(struct ar_call *call)
{
	struct workflow_start start = {
		.workflow = ar_in_str(call, "workflow"),
		.input = ar_in(call, "input"),
		.cause = cause_of(call),
		.trace_id = call->trace_id,
	};
	struct workflow_started started;
	struct workflow_graph *graph;
	struct workflow_mask mask;
	struct ar_jw *w;

	if (workflow_run_start(&call->scope, call->tenant->name, &start, &started) != 0 ||
	    run_graph(call, started.version, &graph) != 0)
		return -1;
	mask = workflow_mask(call->pool, graph, start.input);
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	texts_write(w, head,
		    (const struct ar_str[]){ started.id, start.workflow, started.version,
					     AR_STR("running"), start.trace_id });
	ar_jw_keyz(w, "input");
	ar_jw_value(w, workflow_masked(call->pool, &mask, start.input));
	ar_jw_keyz(w, "output");
	ar_jw_null(w);
	ar_jw_keyz(w, "error");
	ar_jw_null(w);
	ar_jw_keyz(w, "cause");
	ar_jw_value(w, start.cause);
	ar_jw_keyz(w, "created");
	ar_jw_time(w, started.created_ms);
	ar_jw_keyz(w, "finished");
	ar_jw_null(w);
	ar_jw_object_end(w);
	return 0;
}

static void error_print(struct ar_call *call, struct ar_jw *w, struct ar_str text)
{
	struct ar_json *error;

	if (json_read(call->pool, text, &error) != 0) {
		ar_err_clear();
		ar_jw_raw(w, text);
		return;
	}
	workflow_error_say(call->pool, call->language, error);
	ar_jw_value(w, error);
}

AR_YIELDS int workflow_run_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "workflow" },
		{ .name = "version" },
		{ .name = "status" },
		{ .name = "error", .type = AR_LIST_JSON, .print = error_print },
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
	return run_write(call, ar_in_str(call, "id"));
}

/* ---- the steps of a run ---- */

struct step_rows {
	struct ar_rows rows;
	struct workflow_mask mask;
	bool over; /* what did not begin will not */
};

/* A hidden step's output is not shown; until the run ends it is in the store. */
static int row_write(struct ar_call *call, struct ar_jw *w, bool hidden,
		     const struct step_rows *steps, const struct ar_rows *row)
{
	if (hidden && !ar_col_null(row, 3)) {
		ar_jw_keyz(w, "output");
		ar_jw_strz(w, "***");
	} else if (masked_write(call, w, "output", &steps->mask, row, 3) != 0) {
		return -1;
	}
	if (masked_write(call, w, "error", &steps->mask, row, 4) != 0)
		return -1;
	time_or_null(w, "next", row, 5);
	time_or_null(w, "started", row, 6);
	time_or_null(w, "finished", row, 7);
	return 0;
}

static int step_write(struct ar_call *call, struct ar_jw *w, const struct workflow_step *step,
		      const struct step_rows *steps, const struct ar_rows *row)
{
	struct ar_str begun = steps->over ? AR_STR("cancelled") : AR_STR("pending");

	ar_jw_object(w);
	ar_jw_keyz(w, "step");
	ar_jw_str(w, step->name);
	ar_jw_keyz(w, "action");
	ar_jw_strz(w, step->action->name);
	ar_jw_keyz(w, "status");
	ar_jw_str(w, row != NULL ? ar_col_str(row, 1) : begun);
	ar_jw_keyz(w, "attempt");
	ar_jw_int(w, row != NULL ? ar_col_int(row, 2) : 0);
	if (row != NULL && row_write(call, w, step->hidden, steps, row) != 0)
		return -1;
	ar_jw_object_end(w);
	return 0;
}

/* The workflow is gone: what there is of a run that ended was masked then, and says no action. */
static int bare_write(struct ar_call *call, struct ar_jw *w, const struct step_rows *steps,
		      const struct ar_rows *row)
{
	ar_jw_object(w);
	ar_jw_keyz(w, "step");
	ar_jw_str(w, ar_col_str(row, 0));
	ar_jw_keyz(w, "status");
	ar_jw_str(w, ar_col_str(row, 1));
	ar_jw_keyz(w, "attempt");
	ar_jw_int(w, ar_col_int(row, 2));
	if (steps->over && row_write(call, w, false, steps, row) != 0)
		return -1;
	ar_jw_object_end(w);
	return 0;
}

/* Secret texts are in the input, and in what earlier steps made. */
static int steps_mask(struct ar_call *call, const struct workflow_graph *graph,
		      struct step_rows *steps)
{
	struct ar_rows rows = steps->rows;
	struct ar_json *output;

	while (ar_rows_next(&rows)) {
		if (ar_col_null(&rows, 3))
			continue;
		if (json_read(call->pool, ar_col_str(&rows, 3), &output) != 0)
			return -1;
		ar_mask_gather(call->pool, output, graph != NULL ? graph->secrets : NULL,
			       steps->mask.texts);
	}
	return 0;
}

AR_YIELDS static int steps_read(struct ar_call *call, struct workflow_graph **ret_graph,
				struct step_rows *ret)
{
	struct ar_rows rows;
	struct ar_json *input;

	if (ar_query(&call->scope, &rows,
		     "SELECT version, input, status FROM workflow_runs WHERE id = ?",
		     AR_ARGS(AR_J_STR(ar_in_str(call, "id")))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (run_graph(call, ar_col_str(&rows, 0), ret_graph) != 0 ||
	    json_read(call->pool, ar_col_str(&rows, 1), &input) != 0)
		return -1;
	ret->over = !ar_str_is(ar_col_str(&rows, 2), "running");
	ret->mask = workflow_mask(call->pool, *ret_graph, input);
	if (ar_query(&call->scope, &ret->rows,
		     "SELECT step, status, attempt, output, error, next_ms, started, finished "
		     "FROM workflow_steps WHERE run_id = ? ORDER BY started, step",
		     AR_ARGS(AR_J_STR(ar_in_str(call, "id")))) != 0)
		return -1;
	return steps_mask(call, *ret_graph, ret);
}

/* All steps in an order that respects what they need, those not begun too; when the workflow is gone,
 * those that have begun, as they did. */
AR_YIELDS int workflow_run_steps(struct ar_call *call)
{
	struct workflow_graph *graph;
	struct step_rows steps;
	struct ar_jw *w;

	if (steps_read(call, &graph, &steps) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_array(w);
	while (graph == NULL && ar_rows_next(&steps.rows))
		if (bare_write(call, w, &steps, &steps.rows) != 0)
			return -1;
	for (size_t o = 0; graph != NULL && o < graph->nsteps; o++) {
		const struct workflow_step *step = &graph->steps[graph->order[o]];
		struct ar_rows row = steps.rows;
		bool found = false;

		while (!found && ar_rows_next(&row))
			found = ar_str_eq(ar_col_str(&row, 0), step->name);
		if (step_write(call, w, step, &steps, found ? &row : NULL) != 0)
			return -1;
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

/* What steps made, and why they failed, as it is kept from now on. */
AR_YIELDS static int step_mask(struct ar_call *call, const struct workflow_step *step,
			       const struct step_rows *steps, struct ar_str id)
{
	struct ar_json *values[2], masked[2] = { AR_J_NULL, AR_J_NULL };
	bool same = true;

	for (size_t i = 0; i < 2; i++) {
		struct ar_json *shown;

		if (ar_col_null(&steps->rows, 3 + i))
			continue;
		if (json_read(call->pool, ar_col_str(&steps->rows, 3 + i), &values[i]) != 0)
			return -1;
		shown = i == 1         ? workflow_error_masked(call->pool, &steps->mask, values[i])
			: step->hidden ? ar_json_str(call->pool, AR_STR("***"))
				       : workflow_masked(call->pool, &steps->mask, values[i]);
		same = same && shown == values[i];
		masked[i] = AR_J_STR(ar_json_print(call->pool, shown));
	}
	if (same)
		return 0;
	return ar_exec(&call->scope,
		       "UPDATE workflow_steps SET output = ?, error = ? WHERE run_id = ? AND "
		       "step = ?",
		       AR_ARGS(masked[0], masked[1], AR_J_STR(id), AR_J_STR(step->name)), NULL);
}

AR_YIELDS static int steps_keep(struct ar_call *call, const struct workflow_graph *graph,
				struct ar_str id)
{
	struct step_rows steps;
	struct workflow_graph *same;

	if (graph == NULL)
		return workflow_steps_wipe(&call->scope, id);
	if (steps_read(call, &same, &steps) != 0)
		return -1;
	while (ar_rows_next(&steps.rows)) {
		const struct workflow_step *step =
			workflow_step_find(graph, ar_col_str(&steps.rows, 0));

		if (step != NULL && step_mask(call, step, &steps, id) != 0)
			return -1;
	}
	return 0;
}

AR_YIELDS static int cancel_write(struct ar_call *call, struct ar_str id, struct ar_str workflow,
				  struct ar_str version, struct ar_str text)
{
	struct workflow_graph *graph;
	struct workflow_mask mask;
	struct ar_json *input;

	if (run_graph(call, version, &graph) != 0 || json_read(call->pool, text, &input) != 0)
		return -1;
	mask = workflow_mask(call->pool, graph, input);
	input = graph != NULL ? workflow_masked(call->pool, &mask, input)
			      : ar_json_new(call->pool, AR_OBJECT);
	if (steps_keep(call, graph, id) != 0 ||
	    ar_exec(&call->scope,
		    "UPDATE workflow_runs SET status = 'cancelled', input = ?, wake = NULL, "
		    "finished = ? WHERE id = ?",
		    AR_ARGS(AR_J_STR(ar_json_print(call->pool, input)), AR_J_INT(ar_now_ms()),
			    AR_J_STR(id)),
		    NULL) != 0 ||
	    workflow_steps_stop(&call->scope, id) != 0 ||
	    ar_timer_clear(&call->scope, workflow_timer_id(call->pool, id)) != 0)
		return -1;
	return workflow_finished_publish(&call->scope, id, workflow, "cancelled");
}

/* What a step did stays done; nothing of the run happens after this commit. */
AR_YIELDS int workflow_run_cancel(struct ar_call *call)
{
	struct cancelled *cancelled = ar_new(call->pool, struct cancelled);
	struct ar_rows rows;

	cancelled->database = call->tenant->name;
	cancelled->id = ar_in_str(call, "id");
	if (ar_query_lock(&call->scope, &rows,
			  "SELECT status, workflow, version, input FROM workflow_runs WHERE id = ?",
			  AR_ARGS(AR_J_STR(cancelled->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (!ar_str_is(ar_col_str(&rows, 0), "running"))
		return ar_fail(WORKFLOW_E_OVER);
	if (cancel_write(call, cancelled->id, ar_col_str(&rows, 1), ar_col_str(&rows, 2),
			 ar_col_str(&rows, 3)) != 0 ||
	    ar_after_commit(&call->scope, cancelled_tell, cancelled) != 0)
		return -1;
	return run_write(call, cancelled->id);
}
