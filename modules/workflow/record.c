/*
 * record.c - what is written of runs, and how a run is read back to go on.
 *
 * A step's result is written in the commit of the step's own effect where the action writes to the
 * store, and the end of the run in the commit of its last step. Each write asks first that the run is
 * still running and holds its row, so a run that was cancelled gets no further effect; and a step that
 * has a result gets no second one, whatever the one who writes remembers.
 */
#include "workflow/workflow_int.h"

static const char *const status_names[] = {
	"pending", "running", "waiting", "succeeded", "skipped", "failed", "cancelled",
};

const char *workflow_step_status_name(enum workflow_step_status status)
{
	return status_names[status];
}

static enum workflow_step_status status_of(struct ar_str name)
{
	for (size_t i = 0; i < AR_COUNT(status_names); i++)
		if (ar_str_is(name, status_names[i]))
			return (enum workflow_step_status)i;
	return STEP_PENDING;
}

/* ---- what is remembered of a step ---- */

static struct ar_json *linked(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_json *copy = ar_new(pool, struct ar_json);

	*copy = *value;
	copy->next = NULL;
	return copy;
}

void workflow_step_seen(struct workflow_run *run, size_t i, enum workflow_step_status status,
			struct ar_json *output, struct ar_json *error)
{
	struct workflow_step_state *state = &run->states[i];
	struct ar_json *seen = ar_json_new(run->pool, AR_OBJECT);

	ar_json_set(seen, AR_STR("status"),
		    ar_json_str(run->pool, ar_str(workflow_step_status_name(status))));
	if (output != NULL)
		ar_json_set(seen, AR_STR("output"), linked(run->pool, output));
	if (error != NULL)
		ar_json_set(seen, AR_STR("error"), linked(run->pool, error));
	state->output = output;
	state->error = error;
	state->seen = seen;
}

bool workflow_step_done(const struct workflow_run *run, size_t i)
{
	enum workflow_step_status status = run->states[i].status;

	return status == STEP_SUCCEEDED || status == STEP_SKIPPED ||
	       (status == STEP_FAILED && run->graph->steps[i].goes_on);
}

/* ---- reading a run back ---- */

static int json_col(struct ar_pool *pool, const struct ar_rows *rows, size_t col,
		    struct ar_json **ret)
{
	static const struct ar_json_limits limits = { WORKFLOW_STATE_MAX * 2, 256, 4000000 };

	*ret = NULL;
	if (ar_col_null(rows, col))
		return 0;
	if (ar_json_parse(pool, ar_col_str(rows, col), &limits, ret) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	return 0;
}

AR_YIELDS static int steps_load(struct workflow_run *run, struct ar_scope *scope)
{
	struct workflow_step_state *state;
	struct ar_json *output, *error;
	struct workflow_step *step;
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT step, status, attempt, output, error, next_ms, started "
		     "FROM workflow_steps WHERE run_id = ?",
		     AR_ARGS(AR_J_STR(run->id))) != 0)
		return -1;
	while (ar_rows_next(&rows)) {
		step = workflow_step_find(run->graph, ar_col_str(&rows, 0));
		if (step == NULL)
			continue;
		state = &run->states[step - run->graph->steps];
		if (json_col(run->pool, &rows, 3, &output) != 0 ||
		    json_col(run->pool, &rows, 4, &error) != 0)
			return -1;
		state->status = status_of(ar_col_str(&rows, 1));
		state->attempt = ar_col_int(&rows, 2);
		state->next_ms = ar_col_int(&rows, 5);
		state->started_ms = ar_col_int(&rows, 6);
		run->bytes += ar_col_str(&rows, 3).n;
		if (state->status != STEP_WAITING)
			workflow_step_seen(run, (size_t)(step - run->graph->steps), state->status,
					   output, error);
		if (state->status == STEP_FAILED && !step->goes_on)
			run->error = error;
	}
	return 0;
}

/* A version that is gone, or that this program cannot run, ends its runs: with why. */
static int without_graph(struct workflow_run *run, struct ar_str workflow)
{
	if (!ar_err_is(AR_E_NOT_FOUND) && !ar_err_is(WORKFLOW_E_VERSION))
		return -1;
	run->error = workflow_error(run->pool);
	ar_err_clear();
	run->graph = ar_new(run->pool, struct workflow_graph);
	run->graph->name = workflow;
	run->graph->secrets = ar_json_new(run->pool, AR_OBJECT);
	return 0;
}

AR_YIELDS int workflow_run_begin(struct workflow_run *run)
{
	if (workflow_graph_get(run->tenant, run->pool, run->version, &run->graph) != 0)
		return -1;
	run->states = ar_new_n(run->pool, struct workflow_step_state, run->graph->nsteps);
	return 0;
}

AR_YIELDS int workflow_run_load(struct workflow_run *run)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, run->tenant->db, run->pool);
	if (ar_query(&scope, &rows,
		     "SELECT version, input, cause, trace_id, workflow, hops FROM workflow_runs "
		     "WHERE id = ? AND status = 'running'",
		     AR_ARGS(AR_J_STR(run->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	run->version = ar_col_str(&rows, 0);
	run->trace_id = ar_col_str(&rows, 3);
	run->hops = ar_col_int(&rows, 5);
	if (json_col(run->pool, &rows, 1, &run->input) != 0 ||
	    json_col(run->pool, &rows, 2, &run->cause) != 0)
		return -1;
	if (workflow_run_begin(run) != 0)
		return without_graph(run, ar_col_str(&rows, 4));
	return steps_load(run, &scope);
}

/* ---- writing ---- */

AR_YIELDS static int hold_running(struct ar_scope *scope, struct ar_str run_id)
{
	struct ar_rows rows;

	if (ar_query_lock(scope, &rows,
			  "SELECT id FROM workflow_runs WHERE id = ? AND status = 'running'",
			  AR_ARGS(AR_J_STR(run_id))) != 0)
		return -1;
	return rows.count > 0 ? 0 : ar_fail(WORKFLOW_E_OVER);
}

AR_YIELDS int workflow_run_is_over(const struct workflow_run *run)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, run->tenant->db, pool);
	if (ar_query(&scope, &rows,
		     "SELECT id FROM workflow_runs WHERE id = ? AND status = 'running'",
		     AR_ARGS(AR_J_STR(run->id))) != 0)
		return -1;
	return rows.count == 0;
}

AR_YIELDS static int row_write(struct ar_scope *scope, const struct workflow_run *run, size_t i,
			       const struct workflow_result *result)
{
	const struct workflow_step_state *state = &run->states[i];
	bool waits = result->status == STEP_WAITING;
	int64_t changed = 0;

	if (ar_exec(scope,
		    "INSERT INTO workflow_steps (run_id, step, status, attempt, output, error, "
		    "next_ms, started, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		    "ON CONFLICT (run_id, step) DO UPDATE SET status = excluded.status, "
		    "attempt = excluded.attempt, output = excluded.output, error = excluded.error, "
		    "next_ms = excluded.next_ms, finished = excluded.finished "
		    "WHERE workflow_steps.status = 'waiting'",
		    AR_ARGS(AR_J_STR(run->id), AR_J_STR(run->graph->steps[i].name),
			    AR_J_Z(workflow_step_status_name(result->status)),
			    AR_J_INT(state->attempt),
			    result->output.p != NULL ? AR_J_STR(result->output) : AR_J_NULL,
			    result->error.p != NULL ? AR_J_STR(result->error) : AR_J_NULL,
			    waits ? AR_J_INT(result->next_ms) : AR_J_NULL,
			    AR_J_INT(state->started_ms), waits ? AR_J_NULL : AR_J_INT(ar_now_ms())),
		    &changed) != 0)
		return -1;
	return changed > 0 ? 0 : ar_fail(WORKFLOW_E_STALE);
}

/* ---- the end of a run ---- */

/* A run ends, also where the event that tells of it would be one too many. */
AR_YIELDS int workflow_finished_publish(struct ar_scope *scope, struct ar_str id,
					struct ar_str workflow, const char *status)
{
	struct ar_json *data = ar_json_new(scope->pool, AR_OBJECT);

	ar_json_set(data, AR_STR("id"), ar_json_str(scope->pool, id));
	ar_json_set(data, AR_STR("workflow"), ar_json_str(scope->pool, workflow));
	ar_json_set(data, AR_STR("status"), ar_json_str(scope->pool, ar_str(status)));
	if (ar_publish(scope, "workflow.run.finished", id, data, NULL) == 0)
		return 0;
	if (!ar_err_is(AR_E_BUS_LOOP))
		return -1;
	ar_log_err(AR_WARN, "workflow", "nobody is told of the end of a run: a loop");
	ar_err_clear();
	return 0;
}

static struct ar_json text_or_null(struct ar_pool *pool, const struct ar_json *value)
{
	return value != NULL ? AR_J_STR(ar_json_print(pool, value)) : AR_J_NULL;
}

AR_YIELDS int workflow_steps_wipe(struct ar_scope *scope, struct ar_str id)
{
	return ar_exec(scope,
		       "UPDATE workflow_steps SET output = NULL, error = NULL WHERE run_id = ?",
		       AR_ARGS(AR_J_STR(id)), NULL);
}

AR_YIELDS int workflow_steps_stop(struct ar_scope *scope, struct ar_str id)
{
	return ar_exec(scope,
		       "UPDATE workflow_steps SET status = 'cancelled', next_ms = NULL "
		       "WHERE run_id = ? AND status = 'waiting'",
		       AR_ARGS(AR_J_STR(id)), NULL);
}

/* Until now the steps' outputs were needed as they were. */
AR_YIELDS static int steps_mask(struct ar_scope *scope, const struct workflow_run *run,
				const struct workflow_mask *mask)
{
	if (run->graph->nsteps == 0)
		return workflow_steps_wipe(scope, run->id);
	for (size_t i = 0; i < run->graph->nsteps; i++) {
		const struct workflow_step_state *state = &run->states[i];
		struct ar_json *output = state->output, *error;

		output = run->graph->steps[i].hidden && output != NULL
				 ? ar_json_str(scope->pool, AR_STR("***"))
				 : workflow_masked(scope->pool, mask, output);
		error = workflow_error_masked(scope->pool, mask, state->error);
		if (output == state->output && error == state->error)
			continue;
		if (ar_exec(scope,
			    "UPDATE workflow_steps SET output = ?, error = ? "
			    "WHERE run_id = ? AND step = ?",
			    AR_ARGS(text_or_null(scope->pool, output),
				    text_or_null(scope->pool, error), AR_J_STR(run->id),
				    AR_J_STR(run->graph->steps[i].name)),
			    NULL) != 0)
			return -1;
	}
	return 0;
}

/* A failed run does not wait any more. */
AR_YIELDS static int waiting_end(struct ar_scope *scope, const struct workflow_run *run)
{
	bool waits = run->graph->nsteps == 0; /* who knows */

	for (size_t i = 0; i < run->graph->nsteps; i++)
		waits = waits || run->states[i].status == STEP_WAITING;
	return waits ? workflow_steps_stop(scope, run->id) : 0;
}

/* With the end of a run its secrets go: what is kept has none. The run's row is held. */
AR_YIELDS static int finish_write(struct ar_scope *scope, struct workflow_run *run,
				  struct ar_json *error)
{
	struct workflow_mask mask = workflow_run_mask(scope->pool, run);
	struct ar_json *output = NULL, *input = workflow_masked(scope->pool, &mask, run->input);
	const char *status;

	if (run->graph->nsteps == 0) /* nobody knows what was secret in it */
		input = ar_json_new(scope->pool, AR_OBJECT);
	if (error == NULL && run->graph->output != NULL &&
	    workflow_value_make(run->graph->output, run, scope->pool, &output) != 0) {
		error = workflow_error(scope->pool);
		ar_err_clear();
	}
	status = error == NULL ? "succeeded" : "failed";
	output = error == NULL ? workflow_masked(scope->pool, &mask, output) : NULL;
	error = workflow_error_masked(scope->pool, &mask, error);
	if (ar_exec(scope,
		    "UPDATE workflow_runs SET status = ?, output = ?, error = ?, input = ?, "
		    "wake = NULL, finished = ? WHERE id = ?",
		    AR_ARGS(AR_J_Z(status), text_or_null(scope->pool, output),
			    text_or_null(scope->pool, error), text_or_null(scope->pool, input),
			    AR_J_INT(ar_now_ms()), AR_J_STR(run->id)),
		    NULL) != 0 ||
	    waiting_end(scope, run) != 0 || steps_mask(scope, run, &mask) != 0)
		return -1;
	return workflow_finished_publish(scope, run->id, run->graph->name, status);
}

AR_YIELDS int workflow_run_finish(struct workflow_run *run)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, run->tenant->db, pool);
	if (hold_running(&scope, run->id) != 0 || finish_write(&scope, run, run->error) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

/* Is everything over once this step is? What runs beside it may still fail. */
static bool ends_with(const struct workflow_run *run, size_t i,
		      const struct workflow_result *result)
{
	bool fails = result->status == STEP_FAILED && !run->graph->steps[i].goes_on;

	if (result->status == STEP_WAITING)
		return false;
	for (size_t k = 0; k < run->graph->nsteps; k++) {
		if (k == i)
			continue;
		if (run->states[k].status == STEP_RUNNING)
			return false;
		if (!fails && run->error == NULL && !workflow_step_done(run, k))
			return false;
	}
	return true;
}

AR_YIELDS int workflow_step_write(struct ar_scope *scope, struct workflow_run *run, size_t i,
				  struct workflow_result *result)
{
	static const struct ar_json_limits limits = { WORKFLOW_OUTPUT_MAX, 256, 4000000 };
	struct ar_json *output = NULL, *error = NULL, *ended_by = run->error;

	result->ends = false;
	if (result->output.n > WORKFLOW_OUTPUT_MAX ||
	    run->bytes + result->output.n > WORKFLOW_STATE_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "step output");
	if (hold_running(scope, run->id) != 0 || row_write(scope, run, i, result) != 0)
		return -1;
	if (!ends_with(run, i, result))
		return 0;
	if ((result->output.p != NULL &&
	     ar_json_parse(run->pool, ar_str_dup(run->pool, result->output), &limits, &output) !=
		     0) ||
	    (result->error.p != NULL &&
	     ar_json_parse(run->pool, ar_str_dup(run->pool, result->error), &limits, &error) != 0))
		return ar_fail_over(AR_E_INTERNAL);
	workflow_step_seen(run, i, result->status, output, error);
	if (ended_by == NULL && result->status == STEP_FAILED && !run->graph->steps[i].goes_on)
		ended_by = error;
	if (finish_write(scope, run, ended_by) != 0)
		return -1;
	result->ends = true;
	return 0;
}

/* ---- waiting long ---- */

struct ar_str workflow_timer_id(struct ar_pool *pool, struct ar_str run_id)
{
	return ar_strf(pool, "workflow:%.*s", AR_FMT(run_id));
}

AR_YIELDS int workflow_run_park(struct ar_scope *scope, const struct workflow_run *run,
				int64_t due_ms)
{
	struct ar_timer timer = {
		.id = workflow_timer_id(scope->pool, run->id),
		.due_ms = due_ms,
		.kind = AR_STR("workflow"),
		.data = ar_strf(scope->pool, "\"%.*s\"", AR_FMT(run->id)),
	};

	if (hold_running(scope, run->id) != 0 ||
	    ar_exec(scope, "UPDATE workflow_runs SET wake = ? WHERE id = ?",
		    AR_ARGS(AR_J_INT(due_ms), AR_J_STR(run->id)), NULL) != 0)
		return -1;
	return ar_timer_set(scope, &timer);
}
