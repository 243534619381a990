/*
 * engine.c - drives runs on their tenant's home loop: one fiber a run, one more for each step that
 * runs beside another.
 *
 * A run has at most one driver. What it knows is on disk after each step, so a driver may end at any
 * instant: when the process stops, when the store fails (it comes back after a pause), or when all
 * that is left is to wait long (a timer of the bus brings it back).
 */
#include "workflow/workflow_int.h"

#define DRIVERS_MAX 256   /* of a tenant at once; further runs wait in line */
#define PARK_MS     10000 /* a longer wait is the bus's timer's */
#define PAUSE_MS    1000  /* before a run whose store failed is tried again */

struct driver {
	struct driver *next;
	struct ar_str id; /* heap */
	struct ar_fiber *fiber;
	struct workflow_run *run; /* NULL: not loaded yet */
	bool again;               /* asked for while it was ending */
};

struct line { /* a tenant's runs on its home loop */
	struct line *next;
	struct ar_str database; /* heap */
	struct driver *drivers, *first, **last; /* at work; waiting */
	size_t count;
};

static _Thread_local struct line *lines;
static _Thread_local bool stopping;
static _Thread_local struct ar_cond ended;

static struct line *line_of(struct ar_str database)
{
	struct line *line;

	for (line = lines; line != NULL; line = line->next)
		if (ar_str_eq(line->database, database))
			return line;
	line = ar_heap_new(struct line);
	line->database = ar_str(ar_heap_strz(database));
	line->last = &line->first;
	line->next = lines;
	lines = line;
	return line;
}

static void line_remove_if_idle(struct line *line)
{
	struct line **at = &lines;

	if (line->drivers != NULL || line->first != NULL)
		return;
	while (*at != line)
		at = &(*at)->next;
	*at = line->next;
	ar_heap_free((char *)line->database.p);
	ar_heap_free(line);
}

static struct driver *driver_find(struct driver *list, struct ar_str id)
{
	for (; list != NULL; list = list->next)
		if (ar_str_eq(list->id, id))
			return list;
	return NULL;
}

static void driver_free(struct driver *driver)
{
	ar_heap_free((char *)driver->id.p);
	ar_heap_free(driver);
}

/* ---- one run ---- */

static bool is_done(const struct workflow_run *run, size_t i)
{
	enum workflow_step_status status = run->states[i].status;

	return status == STEP_SUCCEEDED || status == STEP_SKIPPED ||
	       (status == STEP_FAILED && run->graph->steps[i].goes_on);
}

static bool is_ready(const struct workflow_run *run, size_t i)
{
	const struct workflow_step *step = &run->graph->steps[i];
	const struct workflow_step_state *state = &run->states[i];

	if (state->status == STEP_WAITING)
		return state->next_ms <= ar_now_ms();
	if (state->status != STEP_PENDING)
		return false;
	for (size_t k = 0; k < step->nneeds; k++)
		if (!is_done(run, step->needs[k]))
			return false;
	return true;
}

struct beside {
	struct workflow_run *run;
	size_t i;
};

AR_YIELDS static void beside_fiber(void *arg)
{
	struct beside *beside = arg;
	struct workflow_run *run = beside->run;

	workflow_step_run(run, beside->i);
	run->fibers[beside->i] = NULL;
	run->running--;
	ar_cond_signal(&run->changed);
}

/* Starts all ready steps: the last one in this fiber, the others in their own. */
AR_YIELDS static bool start_ready(struct workflow_run *run)
{
	size_t last = SIZE_MAX;

	for (size_t o = 0; o < run->graph->nsteps; o++) {
		size_t i = run->graph->order[o];
		struct beside *beside;
		struct ar_fiber *fiber;

		if (!is_ready(run, i))
			continue;
		if (last != SIZE_MAX) {
			beside = ar_new(run->pool, struct beside);
			*beside = (struct beside){ run, last };
			run->states[last].status = STEP_RUNNING;
			run->running++;
			fiber = ar_go("workflow step", beside_fiber, beside, AR_NO_DEADLINE);
			if (run->states[last].status == STEP_RUNNING)
				run->fibers[last] = fiber;
		}
		last = i;
	}
	if (last == SIZE_MAX)
		return false;
	workflow_step_run(run, last);
	return true;
}

/* When the next waiting step is due; INT64_MAX when none waits. */
static int64_t next_due(const struct workflow_run *run)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < run->graph->nsteps; i++)
		if (run->states[i].status == STEP_WAITING)
			due = AR_MIN(due, run->states[i].next_ms);
	return due;
}

AR_YIELDS static int park(struct workflow_run *run, int64_t due)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_timer timer = {
		.id = ar_strf(pool, "workflow:%.*s", AR_FMT(run->id)),
		.due_ms = due,
		.kind = AR_STR("workflow"),
		.data = ar_strf(pool, "\"%.*s\"", AR_FMT(run->id)),
	};
	struct ar_scope scope;

	ar_scope_init(&scope, run->tenant->db, pool);
	if (ar_timer_set(&scope, &timer) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

AR_YIELDS static int finish(struct workflow_run *run)
{
	struct ar_json *output = NULL;

	if (run->error == NULL && run->graph->output != NULL &&
	    workflow_value_make(run->graph->output, run, run->pool, &output) != 0) {
		run->error = workflow_error(run->pool);
		ar_err_clear();
	}
	return workflow_run_finish(run, run->error == NULL ? "succeeded" : "failed",
				   run->error == NULL ? output : NULL);
}

/* 0: over or parked; -1: the store failed, or the fiber was cancelled. */
AR_YIELDS static int advance(struct workflow_run *run)
{
	int64_t due;

	for (;;) {
		if (run->cancelled || run->broken) {
			ar_shield(true); /* its steps hold pointers into it */
			while (run->running > 0)
				ar_cond_wait(&run->changed);
			ar_shield(false);
			return run->broken ? -1 : 0;
		}
		if (run->error == NULL && start_ready(run))
			continue;
		if (run->running > 0) {
			if (ar_cond_wait(&run->changed) != 0)
				run->cancelled = true;
			continue;
		}
		due = run->error == NULL ? next_due(run) : INT64_MAX;
		if (due == INT64_MAX)
			return finish(run);
		if (due - ar_now_ms() > PARK_MS)
			return park(run, due);
		if (due > ar_now_ms() && ar_sleep(due - ar_now_ms()) != 0)
			return -1;
	}
}

/* Steps that were over before the process ended are seen by expressions as if they had just run. */
static void recall(struct workflow_run *run)
{
	run->steps = ar_json_new(run->pool, AR_OBJECT);
	for (size_t i = 0; i < run->graph->nsteps; i++) {
		struct workflow_step_state *state = &run->states[i];
		struct ar_json *seen = ar_json_new(run->pool, AR_OBJECT);

		if (state->status == STEP_RUNNING)
			state->status = STEP_PENDING;
		if (state->status == STEP_FAILED && !run->graph->steps[i].goes_on)
			run->error = state->error;
		if (state->status == STEP_PENDING || state->status == STEP_WAITING)
			continue;
		ar_json_set(seen, AR_STR("status"),
			    ar_json_str(run->pool,
					ar_str(workflow_step_status_name(state->status))));
		if (state->output != NULL)
			ar_json_set(seen, AR_STR("output"), ar_json_copy(run->pool, state->output));
		if (state->error != NULL)
			ar_json_set(seen, AR_STR("error"), ar_json_copy(run->pool, state->error));
		ar_json_set(run->steps, run->graph->steps[i].name, seen);
	}
}

AR_YIELDS static int drive_once(struct driver *driver, struct ar_str database)
{
	struct workflow_run run = { .id = driver->id };
	int result;

	if (ar_tenant_acquire(database, &run.tenant) != 0)
		return ar_err_is(AR_E_TENANT_UNKNOWN) ? 0 : -1;
	run.pool = ar_pool_new();
	result = workflow_run_load(&run);
	if (result == 0) {
		recall(&run);
		driver->run = &run;
		result = advance(&run);
		driver->run = NULL;
	}
	if (result != 0 && (ar_err_is(AR_E_NOT_FOUND) || ar_err_is(WORKFLOW_E_OVER)))
		result = 0;
	if (result != 0 && !ar_cancelled())
		ar_log_err(AR_WARN, "workflow", "run interrupted; it will be tried again");
	ar_err_clear();
	ar_pool_free(run.pool);
	ar_tenant_release(run.tenant);
	return result;
}

/* ---- the line of a tenant ---- */

static void driver_start(struct line *line, struct driver *driver);

static void driver_ended(struct line *line, struct driver *driver)
{
	struct driver **at = &line->drivers, *next;

	while (*at != driver)
		at = &(*at)->next;
	*at = driver->next;
	line->count--;
	driver_free(driver);
	next = stopping ? NULL : line->first;
	if (next != NULL) {
		line->first = next->next;
		if (line->first == NULL)
			line->last = &line->first;
		driver_start(line, next);
	} else if (!stopping) {
		line_remove_if_idle(line);
	}
	ar_cond_broadcast(&ended);
}

struct driving {
	struct line *line;
	struct driver *driver;
};

AR_YIELDS static void driver_fiber(void *arg)
{
	struct driving driving = *(struct driving *)arg;
	struct driver *driver = driving.driver;

	ar_heap_free(arg);
	driver->fiber = ar_self();
	do {
		driver->again = false;
		if (drive_once(driver, driving.line->database) != 0 && !ar_cancelled() &&
		    ar_sleep(PAUSE_MS) == 0)
			driver->again = true;
		ar_err_clear();
	} while (driver->again && !ar_cancelled());
	driver_ended(driving.line, driver);
}

static void driver_start(struct line *line, struct driver *driver)
{
	struct driving *driving = ar_heap_new(struct driving);

	*driving = (struct driving){ line, driver };
	driver->next = line->drivers;
	line->drivers = driver;
	line->count++;
	ar_go("workflow run", driver_fiber, driving, AR_NO_DEADLINE);
}

struct request {
	struct ar_str database, id; /* one heap block each */
};

static struct request *request_new(struct ar_str database, struct ar_str id)
{
	struct request *request = ar_heap_new(struct request);

	request->database = ar_str(ar_heap_strz(database));
	request->id = ar_str(ar_heap_strz(id));
	return request;
}

static void request_free(struct request *request)
{
	ar_heap_free((char *)request->database.p);
	ar_heap_free((char *)request->id.p);
	ar_heap_free(request);
}

static void enqueue(struct line *line, struct ar_str id)
{
	struct driver *driver = driver_find(line->drivers, id);

	if (driver != NULL) {
		driver->again = true;
		return;
	}
	if (driver_find(line->first, id) != NULL)
		return;
	driver = ar_heap_new(struct driver);
	driver->id = ar_str(ar_heap_strz(id));
	if (line->count < DRIVERS_MAX) {
		driver_start(line, driver);
		return;
	}
	*line->last = driver;
	line->last = &driver->next;
}

static void drive_at_home(void *arg)
{
	struct request *request = arg;

	if (!stopping)
		enqueue(line_of(request->database), request->id);
	request_free(request);
}

void workflow_drive(struct ar_str database, struct ar_str run_id)
{
	ar_bus_go_home(database, drive_at_home, request_new(database, run_id));
}

static void driver_cancel(struct driver *driver)
{
	struct workflow_run *run = driver->run;

	if (run != NULL) {
		run->cancelled = true;
		for (size_t i = 0; i < run->graph->nsteps; i++)
			if (run->fibers[i] != NULL)
				ar_cancel(run->fibers[i]);
	}
	ar_cancel(driver->fiber);
}

static void cancel_at_home(void *arg)
{
	struct request *request = arg;
	struct driver *driver = driver_find(line_of(request->database)->drivers, request->id);

	if (driver != NULL)
		driver_cancel(driver);
	else
		line_remove_if_idle(line_of(request->database));
	request_free(request);
}

void workflow_cancel(struct ar_str database, struct ar_str run_id)
{
	ar_bus_go_home(database, cancel_at_home, request_new(database, run_id));
}

/* ---- coming back ---- */

AR_YIELDS int workflow_resume(struct ar_str database)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_tenant *tenant;
	struct ar_scope scope;
	struct ar_rows rows;
	int found = 0;

	if (ar_tenant_acquire(database, &tenant) != 0)
		return -1;
	ar_scope_init(&scope, tenant->db, pool);
	if (ar_query(&scope, &rows, "SELECT id FROM workflow_runs WHERE status = 'running' ORDER BY id",
		     AR_NO_ARGS) != 0) {
		ar_tenant_release(tenant);
		return -1;
	}
	while (ar_rows_next(&rows) && !stopping) {
		enqueue(line_of(database), ar_col_str(&rows, 0));
		found++;
	}
	ar_tenant_release(tenant);
	return found;
}

/* The bus's timer deletes itself in this scope; the driver goes on from what is on disk. */
AR_YIELDS int workflow_timer(struct ar_scope *scope, struct ar_str database,
			     const struct ar_timer *timer)
{
	struct ar_str id = ar_str_sub(timer->data, 1, timer->data.n - 2);

	workflow_drive(database, ar_str_dup(scope->pool, id));
	return 0;
}

static void line_drop_waiting(struct line *line)
{
	struct driver *next;

	for (struct driver *d = line->first; d != NULL; d = next) {
		next = d->next;
		driver_free(d);
	}
	line->first = NULL;
	line->last = &line->first;
}

AR_YIELDS void workflow_engine_stop(void)
{
	stopping = true;
	for (struct line *line = lines; line != NULL; line = line->next) {
		line_drop_waiting(line);
		for (struct driver *d = line->drivers; d != NULL; d = d->next)
			driver_cancel(d);
	}
	while (lines != NULL) {
		while (lines->drivers != NULL)
			if (ar_cond_wait(&ended) != 0)
				return;
		line_remove_if_idle(lines);
	}
}
