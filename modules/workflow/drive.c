/*
 * drive.c - takes one run as far as it goes: starts what is ready, waits for what runs, retries what
 * failed when its time has come, and ends or parks the run.
 *
 * A step that is alone runs in the driver's own fiber; steps side by side have one each. The driver
 * knows nothing that the store does not: it may stop between any two lines.
 */
#include "workflow/workflow_int.h"

#define SIDE_MAX 16    /* steps of one run at once */
#define PARK_MS  10000 /* a longer wait is the bus's timer's */
#define NEVER    INT64_MAX

static bool is_ready(const struct workflow_run *run, size_t i)
{
	const struct workflow_step *step = &run->graph->steps[i];
	const struct workflow_step_state *state = &run->states[i];

	if (state->status == STEP_WAITING)
		return state->next_ms <= ar_now_ms();
	if (state->status != STEP_PENDING)
		return false;
	for (size_t k = 0; k < step->nneeds; k++)
		if (!workflow_step_done(run, step->needs[k]))
			return false;
	return true;
}

static bool goes_on(const struct workflow_run *run)
{
	return !run->cancelled && !run->broken && !run->finished && run->error == NULL;
}

struct beside {
	struct workflow_run *run;
	size_t i;
};

AR_YIELDS static void beside_fiber(void *arg)
{
	struct beside beside = *(struct beside *)arg;
	struct workflow_run *run = beside.run;
	struct ar_log_context *before = ar_log_context_use(&run->log);

	run->states[beside.i].fiber = ar_self();
	workflow_step_run(run, beside.i);
	run->states[beside.i].fiber = NULL;
	ar_log_context_use(before);
	run->running--;
	ar_cond_signal(&run->changed); /* the run may be gone once the driver goes on */
}

static void start_beside(struct workflow_run *run, size_t i)
{
	struct beside *beside = ar_new(run->pool, struct beside);

	*beside = (struct beside){ run, i };
	run->running++;
	run->states[i].status = STEP_RUNNING;
	ar_go("workflow step", beside_fiber, beside, AR_NO_DEADLINE);
}

/* The one step that is ready when nothing else runs or waits; SIZE_MAX when there is no such. */
static size_t the_only_one(const struct workflow_run *run)
{
	size_t only = SIZE_MAX;

	if (run->running > 0)
		return SIZE_MAX;
	for (size_t i = 0; i < run->graph->nsteps; i++) {
		bool ready = is_ready(run, i);

		if ((ready && only != SIZE_MAX) ||
		    (!ready && run->states[i].status == STEP_WAITING))
			return SIZE_MAX;
		if (ready)
			only = i;
	}
	return only;
}

/* False when there is nothing to start now. */
AR_YIELDS static bool start_ready(struct workflow_run *run)
{
	size_t only = the_only_one(run);
	bool started = false;

	if (only != SIZE_MAX) {
		workflow_step_run(run, only);
		return true;
	}
	for (size_t o = 0; o < run->graph->nsteps; o++) {
		size_t i = run->graph->order[o];

		if (run->running >= SIDE_MAX || !goes_on(run))
			break;
		if (!is_ready(run, i))
			continue;
		start_beside(run, i);
		started = true;
	}
	return started;
}

/* When the next waiting step is due. */
static int64_t next_due(const struct workflow_run *run)
{
	int64_t due = NEVER;

	for (size_t i = 0; i < run->graph->nsteps && goes_on(run); i++)
		if (run->states[i].status == STEP_WAITING)
			due = AR_MIN(due, run->states[i].next_ms);
	return due;
}

/* Until a step ends, or the time has come. */
AR_YIELDS static void wait(struct workflow_run *run, int64_t due)
{
	int64_t ms = due == NEVER ? NEVER : AR_MAX(due - ar_now_ms(), (int64_t)1);
	int rc;

	if (run->running == 0)
		rc = ar_sleep(ms);
	else if (ms == NEVER || run->running >= SIDE_MAX)
		rc = ar_cond_wait(&run->changed);
	else
		rc = ar_cond_wait_for(&run->changed, ms);
	if (rc != 0 && ar_err_is(AR_E_CANCELLED))
		run->cancelled = true;
	ar_err_clear();
}

AR_YIELDS static int park(struct workflow_run *run, int64_t due)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, run->tenant->db, pool);
	if (workflow_run_park(&scope, run, due) == 0)
		return ar_commit(&scope);
	ar_rollback(&scope);
	return -1;
}

/* Steps beside the driver hold pointers into the run. */
AR_YIELDS static void settle(struct workflow_run *run)
{
	ar_shield(true);
	while (run->running > 0)
		ar_cond_wait(&run->changed);
	ar_shield(false);
}

AR_YIELDS int workflow_run_advance(struct workflow_run *run)
{
	int64_t due;

	for (;;) {
		if (run->cancelled || run->broken || run->finished) {
			settle(run);
			return run->broken && !run->cancelled ? -1 : 0;
		}
		if (run->error == NULL && start_ready(run))
			continue;
		due = next_due(run);
		if (run->running > 0)
			wait(run, due);
		else if (due == NEVER)
			return workflow_run_finish(run);
		else if (due - ar_now_ms() > PARK_MS)
			return park(run, due);
		else
			wait(run, due);
	}
}
