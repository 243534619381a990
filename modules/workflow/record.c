/*
 * record.c - what is written of runs, and how a run is read back to go on.
 *
 * A step's result is written in the commit of the step's own effect where the action writes to the
 * store. Each write asks first that the run is still running and holds its row, so that a run that
 * was cancelled gets no further effect.
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

/* ---- graphs, remembered by version ---- */

static void graph_free(void *value)
{
	struct workflow_graph *graph = value;

	ar_pool_free(graph->pool);
}

AR_YIELDS static int graphs_load(struct ar_tenant *tenant AR_UNUSED, void **ret)
{
	*ret = ar_map_new();
	return 0;
}

static void graphs_unload(void *value)
{
	ar_map_free(value, graph_free);
}

struct ar_tenant_slot workflow_slot = { .name = "workflow", .load = graphs_load,
					.unload = graphs_unload };

AR_YIELDS static int graph_load(struct ar_tenant *tenant, struct ar_str version,
				struct workflow_graph **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new(), *own;
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_json *definition;
	struct workflow_graph *graph;

	ar_scope_init(&scope, tenant->db, pool);
	if (ar_query(&scope, &rows, "SELECT definition FROM workflow_versions WHERE id = ?",
		     AR_ARGS(AR_J_STR(version))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "version");
	if (ar_json_parse(pool, ar_col_str(&rows, 0), &ar_json_limits_default, &definition) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	own = ar_pool_new();
	graph = ar_new(own, struct workflow_graph);
	if (workflow_graph_read(own, definition, graph) != 0) {
		ar_pool_free(own);
		return -1;
	}
	graph->version = ar_str_dup(own, version);
	*ret = graph;
	return 0;
}

struct held {
	struct ar_tenant *tenant;
	void *value;
};

static void held_drop(void *arg)
{
	struct held *held = arg;

	ar_tenant_drop(held->tenant, &workflow_slot, held->value);
}

AR_YIELDS int workflow_graph_get(struct ar_tenant *tenant, struct ar_pool *pool,
				 struct ar_str version, struct workflow_graph **ret)
{
	struct held *held = ar_new(pool, struct held);
	struct workflow_graph *graph, *other;

	if (ar_tenant_get(tenant, &workflow_slot, &held->value) != 0)
		return -1;
	held->tenant = tenant;
	ar_defer(pool, held_drop, held);
	graph = ar_map_get(held->value, version);
	if (graph == NULL) {
		if (graph_load(tenant, version, &graph) != 0)
			return -1;
		other = ar_map_get(held->value, version); /* another run was faster */
		if (other != NULL) {
			graph_free(graph);
			graph = other;
		} else {
			ar_map_set(held->value, version, graph);
		}
	}
	*ret = graph;
	return 0;
}

/* ---- reading a run back ---- */

static int json_col(struct ar_pool *pool, const struct ar_rows *rows, size_t col, struct ar_json **ret)
{
	static const struct ar_json_limits limits = { (size_t)8 << 20, 64, 1000000 };

	*ret = NULL;
	if (ar_col_null(rows, col))
		return 0;
	if (ar_json_parse(pool, ar_str_dup(pool, ar_col_str(rows, col)), &limits, ret) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	return 0;
}

static ptrdiff_t step_index(const struct workflow_graph *graph, struct ar_str name)
{
	for (size_t i = 0; i < graph->nsteps; i++)
		if (ar_str_eq(graph->steps[i].name, name))
			return (ptrdiff_t)i;
	return -1;
}

AR_YIELDS static int steps_load(struct workflow_run *run, struct ar_scope *scope)
{
	struct workflow_step_state *state;
	struct ar_rows rows;
	ptrdiff_t i;

	if (ar_query(scope, &rows,
		     "SELECT step, status, attempt, output, next_ms, started, error FROM workflow_steps "
		     "WHERE run_id = ?",
		     AR_ARGS(AR_J_STR(run->id))) != 0)
		return -1;
	while (ar_rows_next(&rows)) {
		i = step_index(run->graph, ar_col_str(&rows, 0));
		if (i < 0)
			continue;
		state = &run->states[i];
		state->status = status_of(ar_col_str(&rows, 1));
		state->attempt = ar_col_int(&rows, 2);
		state->next_ms = ar_col_int(&rows, 4);
		state->started_ms = ar_col_int(&rows, 5);
		if (json_col(run->pool, &rows, 3, &state->output) != 0 ||
		    json_col(run->pool, &rows, 6, &state->error) != 0)
			return -1;
	}
	return 0;
}

AR_YIELDS int workflow_run_load(struct workflow_run *run)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, run->tenant->db, run->pool);
	if (ar_query(&scope, &rows,
		     "SELECT version, input, cause, trace_id FROM workflow_runs "
		     "WHERE id = ? AND status = 'running'",
		     AR_ARGS(AR_J_STR(run->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	if (json_col(run->pool, &rows, 1, &run->input) != 0 ||
	    json_col(run->pool, &rows, 2, &run->cause) != 0 ||
	    workflow_graph_get(run->tenant, run->pool, ar_col_str(&rows, 0), &run->graph) != 0)
		return -1;
	run->trace_id = ar_col_str(&rows, 3);
	run->states = ar_new_n(run->pool, struct workflow_step_state, run->graph->nsteps);
	run->fibers = ar_new_n(run->pool, struct ar_fiber *, run->graph->nsteps);
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

AR_YIELDS int workflow_step_write(struct ar_scope *scope, const struct workflow_run *run, size_t i,
				  struct ar_str output, struct ar_str error)
{
	const struct workflow_step_state *state = &run->states[i];
	bool waits = state->status == STEP_WAITING;

	if (hold_running(scope, run->id) != 0)
		return -1;
	return ar_exec(scope,
		       "INSERT INTO workflow_steps (run_id, step, status, attempt, output, error, "
		       "next_ms, started, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		       "ON CONFLICT (run_id, step) DO UPDATE SET status = excluded.status, "
		       "attempt = excluded.attempt, output = excluded.output, error = excluded.error, "
		       "next_ms = excluded.next_ms, finished = excluded.finished",
		       AR_ARGS(AR_J_STR(run->id), AR_J_STR(run->graph->steps[i].name),
			       AR_J_Z(workflow_step_status_name(state->status)),
			       AR_J_INT(state->attempt), output.p != NULL ? AR_J_STR(output) : AR_J_NULL,
			       error.p != NULL ? AR_J_STR(error) : AR_J_NULL,
			       waits ? AR_J_INT(state->next_ms) : AR_J_NULL,
			       AR_J_INT(state->started_ms),
			       waits ? AR_J_NULL : AR_J_INT(ar_now_ms())),
		       NULL);
}

struct ar_json *workflow_masked(struct ar_pool *pool, const struct ar_json *input,
				const struct workflow_graph *graph)
{
	struct ar_json *masked = ar_json_copy(pool, input);

	if (masked->type == AR_OBJECT)
		ar_json_each(secret, graph->secrets)
			if (ar_json_get_str(masked, secret->key) != NULL)
				ar_json_set(masked, secret->key, ar_json_str(pool, AR_STR("***")));
	return masked;
}

AR_YIELDS static int finished_publish(struct ar_scope *scope, const struct workflow_run *run,
				      const char *status)
{
	struct ar_json *data = ar_json_new(scope->pool, AR_OBJECT);

	ar_json_set(data, AR_STR("id"), ar_json_str(scope->pool, run->id));
	ar_json_set(data, AR_STR("workflow"), ar_json_str(scope->pool, run->graph->name));
	ar_json_set(data, AR_STR("status"), ar_json_str(scope->pool, ar_str(status)));
	return ar_publish(scope, "workflow.run.finished", run->id, data, NULL);
}

/* With the end of a run its secrets go: the input that is kept has none. */
AR_YIELDS int workflow_run_finish(struct workflow_run *run, const char *status,
				  const struct ar_json *output)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str error = AR_STR_NONE, out = AR_STR_NONE;
	struct ar_scope scope;

	if (run->error != NULL)
		error = ar_json_print(pool, run->error);
	if (output != NULL)
		out = ar_json_print(pool, output);
	ar_scope_init(&scope, run->tenant->db, pool);
	if (hold_running(&scope, run->id) != 0 ||
	    ar_exec(&scope,
		    "UPDATE workflow_runs SET status = ?, output = ?, error = ?, input = ?, "
		    "finished = ? WHERE id = ?",
		    AR_ARGS(AR_J_Z(status), out.p != NULL ? AR_J_STR(out) : AR_J_NULL,
			    error.p != NULL ? AR_J_STR(error) : AR_J_NULL,
			    AR_J_STR(ar_json_print(pool, workflow_masked(pool, run->input, run->graph))),
			    AR_J_INT(ar_now_ms()), AR_J_STR(run->id)),
		    NULL) != 0 ||
	    finished_publish(&scope, run, status) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

static struct ar_json *error_fields(struct ar_pool *pool, const struct ar_err *err)
{
	struct ar_json *fields = ar_json_new(pool, AR_OBJECT);

	for (const struct ar_err_field *f = err->fields; f != NULL; f = f->next)
		ar_json_set(fields, ar_str_dup(pool, ar_str(f->path)),
			    ar_json_str(pool, ar_str_dup(pool, ar_str(f->code))));
	return fields;
}

struct ar_json *workflow_error(struct ar_pool *pool)
{
	struct ar_json *json = ar_json_new(pool, AR_OBJECT);
	const struct ar_err *err = ar_err();

	ar_json_set(json, AR_STR("code"), ar_json_str(pool, ar_str(err->def->slug)));
	ar_json_set(json, AR_STR("status"), ar_json_int(pool, err->def->status));
	ar_json_set(json, AR_STR("title"),
		    ar_json_str(pool, ar_message(pool, AR_STR("en"), err->def->slug, err->params)));
	for (const struct ar_err_param *p = err->params; p != NULL; p = p->next)
		if (ar_json_get(json, p->key) == NULL)
			ar_json_set(json, ar_str_dup(pool, ar_str(p->key)),
				    ar_json_str(pool, ar_str_dup(pool, ar_str(p->value))));
	if (err->fields != NULL)
		ar_json_set(json, AR_STR("fields"), error_fields(pool, err));
	return json;
}

/* ---- starting ---- */

struct started {
	struct ar_str database, id;
};

static void started_drive(void *arg)
{
	struct started *started = arg;

	workflow_drive(started->database, started->id);
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

AR_YIELDS int workflow_run_start(struct ar_scope *scope, struct ar_tenant *tenant,
				 const struct workflow_start *start, struct ar_str *ret_id)
{
	struct started *started = ar_new(scope->pool, struct started);
	struct ar_str version;
	int64_t changed = 0;

	started->database = ar_str_dup(scope->pool, tenant->name);
	started->id = start->id.n > 0 ? start->id : ar_id(scope->pool);
	if (current_version(scope, start->workflow, &version) != 0)
		return -1;
	if (ar_exec(scope,
		    "INSERT INTO workflow_runs (id, workflow, version, status, input, cause, trace_id, "
		    "created) VALUES (?, ?, ?, 'running', ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
		    AR_ARGS(AR_J_STR(started->id), AR_J_STR(start->workflow), AR_J_STR(version),
			    AR_J_STR(ar_json_print(scope->pool, start->input)),
			    AR_J_STR(ar_json_print(scope->pool, start->cause)),
			    AR_J_STR(start->trace_id), AR_J_INT(ar_now_ms())),
		    &changed) != 0)
		return -1;
	*ret_id = started->id;
	return changed > 0 ? ar_after_commit(scope, started_drive, started) : 0;
}
