/*
 * step.c - runs one step once: its condition, its input, its action, and what is written of it.
 *
 * The result rides in the commit of the action's own effect: step done and effect stored are one.
 * An action without effect in the store (a function, a mail) has its result written right after it,
 * past deadlines and cancellation: only a crash between the two repeats it, which is what "at least
 * once" means.
 */
#include "workflow/workflow_int.h"

#define DEADLINE_MS 30000
#define WRITES      6 /* attempts to keep the result of an effect outside; pauses double */
#define WRITE_MS    50

struct attempt {
	struct workflow_run *run;
	size_t i;
	struct workflow_result result;
	bool written;
};

/* What the action replied, as JSON text. */
static struct ar_str reply_text(const struct ar_call *call)
{
	struct ar_buf *buf;

	if (call->reply.kind == AR_REPLY_JSON)
		return ar_buf_view(call->reply.json);
	if (call->reply.kind == AR_REPLY_BYTES && ar_utf8_valid(call->reply.bytes)) {
		struct ar_json text = AR_J_STR(call->reply.bytes);

		buf = ar_buf_new(call->pool, call->reply.bytes.n * 6 + 64);
		if (ar_json_write(buf, &text) == 0)
			return ar_buf_view(buf);
	}
	return AR_STR("null");
}

static int ride(struct ar_call *call, void *arg)
{
	struct attempt *attempt = arg;

	attempt->written = true;
	attempt->result =
		(struct workflow_result){ .status = STEP_SUCCEEDED, .output = reply_text(call) };
	return workflow_step_write(&call->scope, attempt->run, attempt->i, &attempt->result);
}

AR_YIELDS static int write_once(struct attempt *attempt, struct ar_pool *pool)
{
	struct ar_scope scope;

	ar_scope_init(&scope, attempt->run->tenant->db, pool);
	if (workflow_step_write(&scope, attempt->run, attempt->i, &attempt->result) == 0)
		return ar_commit(&scope);
	ar_rollback(&scope);
	return -1;
}

/* What happened outside cannot be undone: its record is worth some patience. */
AR_YIELDS static int write_alone(struct attempt *attempt, struct ar_pool *pool)
{
	int rc;

	ar_shield(true);
	for (int n = 0;; n++) {
		rc = write_once(attempt, pool);
		if (rc == 0 || n + 1 == WRITES || ar_err()->def->status < 500)
			break;
		ar_err_clear();
		ar_sleep(WRITE_MS << n);
	}
	ar_shield(false);
	return rc;
}

/* ---- failure ---- */

/* The error is of the moment: of a neighbour system, a limit, a deadline, the store. */
static bool may_repeat(const struct ar_err *err)
{
	int status = err->def->status;

	return status >= 499 || status == 408 || status == 425 || status == 429;
}

/* Between half and all of the delay, so that what failed together does not come back together. */
static int64_t delay_of(const struct workflow_retry *retry, int64_t attempt)
{
	double delay = (double)retry->delay_ms;

	for (int64_t n = 1; n < attempt && delay < (double)retry->max_delay_ms; n++)
		delay *= retry->backoff;
	if (delay > (double)retry->max_delay_ms)
		delay = (double)retry->max_delay_ms;
	return (int64_t)(delay / 2) + (int64_t)ar_random_below((uint64_t)(delay / 2) + 1);
}

/* The run is over, the engine stops, or the store knows better: not the step's failure. */
AR_YIELDS static bool gives_up(struct workflow_run *run)
{
	if (run->cancelled || (ar_err_is(AR_E_CANCELLED) && ar_cancelled())) {
		run->cancelled = true;
	} else if (ar_err_is(WORKFLOW_E_OVER)) {
		/* A step that would end its own run is undone with its effect: that is a failure. */
		int over = workflow_run_is_over(run);

		if (over == 0)
			return false;
		run->cancelled = over > 0;
		run->broken = over < 0;
	} else if (ar_err_is(WORKFLOW_E_STALE)) {
		run->broken = true;
	} else if (ar_err_is(AR_E_BUSY)) {
		run->broken = true;
		ar_log_err(AR_WARN, "workflow", "the store is busy: a run pauses");
	} else {
		return false;
	}
	ar_err_clear();
	return true;
}

AR_YIELDS static void failed(struct attempt *attempt, struct ar_pool *pool)
{
	struct workflow_run *run = attempt->run;
	const struct workflow_step *step = &run->graph->steps[attempt->i];
	struct workflow_step_state *state = &run->states[attempt->i];
	struct ar_json *error;

	if (gives_up(run)) {
		state->status = STEP_PENDING;
		return;
	}
	error = workflow_error(run->pool);
	ar_json_set(error, AR_STR("step"), ar_json_str(run->pool, step->name));
	attempt->result = (struct workflow_result){ .status = STEP_FAILED,
						    .error = ar_json_print(pool, error) };
	if (may_repeat(ar_err()) && state->attempt < step->retry.attempts) {
		attempt->result.status = STEP_WAITING;
		attempt->result.next_ms = ar_now_ms() + delay_of(&step->retry, state->attempt);
	}
	ar_err_clear();
	if (write_alone(attempt, pool) != 0) {
		if (!gives_up(run)) {
			ar_log_err(AR_WARN, "workflow", "a failure could not be recorded");
			run->broken = true;
			ar_err_clear();
		}
		state->status = STEP_PENDING;
		return;
	}
	state->next_ms = attempt->result.next_ms;
	state->status = attempt->result.status;
	run->finished = run->finished || attempt->result.ends;
	if (state->status == STEP_WAITING)
		return;
	workflow_step_seen(run, attempt->i, STEP_FAILED, NULL, error);
	if (!step->goes_on && run->error == NULL)
		run->error = error;
}

/* ---- one attempt ---- */

/* An effect in the store is undone when the run has ended; one outside must not begin. */
AR_YIELDS static int may_act(const struct workflow_run *run, const struct ar_action *action)
{
	int over = action->flags & AR_A_OUTSIDE ? workflow_run_is_over(run) : 0;

	return over > 0 ? ar_fail(WORKFLOW_E_OVER) : over;
}

AR_YIELDS static int try_once(struct attempt *attempt, struct ar_pool *pool, struct ar_json **ret)
{
	struct workflow_run *run = attempt->run;
	const struct workflow_step *step = &run->graph->steps[attempt->i];
	struct ar_json *input;
	struct ar_invoke invoke = {
		.tenant = run->tenant,
		.who = run->graph->who,
		.face = AR_FACE_WORKFLOW,
		.action = ar_str(step->action->name),
		.trace_id = run->trace_id,
		.hook = ride,
		.hook_arg = attempt,
	};
	bool wanted = true;

	if (step->when != NULL && workflow_test(step->when, run, pool, &wanted) != 0)
		return -1;
	if (!wanted) {
		attempt->result.status = STEP_SKIPPED;
		run->states[attempt->i].attempt = 0;
		return 0;
	}
	if (workflow_step_input(run, step, pool, &input) != 0)
		return -1;
	invoke.input = input;
	if (may_act(run, step->action) != 0)
		return -1;
	if (ar_action_invoke(pool, &invoke, ret) != 0)
		return -1;
	if (!attempt->written)
		attempt->result = (struct workflow_result){
			.status = STEP_SUCCEEDED,
			.output = *ret != NULL ? ar_json_print(pool, *ret) : AR_STR("null"),
		};
	return 0;
}

static int64_t deadline_of(const struct workflow_step *step)
{
	int64_t ms = step->timeout_ms;

	if (ms == 0)
		ms = step->action->deadline_ms > 0 ? step->action->deadline_ms : DEADLINE_MS;
	return ar_mono_ms() + ms;
}

AR_YIELDS void workflow_step_run(struct workflow_run *run, size_t i)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct workflow_step_state *state = &run->states[i];
	struct attempt attempt = { .run = run, .i = i };
	int64_t before = ar_deadline_set(deadline_of(&run->graph->steps[i]));
	struct ar_json *output = NULL;
	int rc;

	state->status = STEP_RUNNING;
	state->attempt++;
	if (state->started_ms == 0)
		state->started_ms = ar_now_ms();
	rc = try_once(&attempt, pool, &output);
	ar_deadline_set(before);
	if (rc == 0 && !attempt.written)
		rc = write_alone(&attempt, pool);
	if (rc != 0) {
		failed(&attempt, pool);
		return;
	}
	if (output != NULL)
		output = ar_json_copy(run->pool, output);
	run->bytes += attempt.result.output.n;
	workflow_step_seen(run, i, attempt.result.status, output, NULL);
	state->status = attempt.result.status;
	run->finished = run->finished || attempt.result.ends;
}
