/*
 * step.c - runs one step once: its condition, its input, its action, and what is written of it.
 *
 * The result rides in the commit of the action's own effect: step done and effect stored are one.
 * An action without effect in the store (a function, a mail) has its result written right after it:
 * a crash between the two repeats it, which is what "at least once" means.
 */
#include "workflow/workflow_int.h"

#define DEADLINE_MS 30000

struct attempt {
	struct workflow_run *run;
	size_t i;
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

		buf = ar_buf_new(call->pool, call->reply.bytes.n * 6 + 16);
		if (ar_json_write(buf, &text) == 0)
			return ar_buf_view(buf);
	}
	return AR_STR("null");
}

static int ride(struct ar_call *call, void *arg)
{
	struct attempt *attempt = arg;

	attempt->run->states[attempt->i].status = STEP_SUCCEEDED;
	attempt->written = true;
	return workflow_step_write(&call->scope, attempt->run, attempt->i, reply_text(call),
				   AR_STR_NONE);
}

AR_YIELDS static int write_alone(struct workflow_run *run, size_t i, struct ar_pool *pool,
				 const struct ar_json *output, const struct ar_json *error)
{
	struct ar_scope scope;

	ar_scope_init(&scope, run->tenant->db, pool);
	if (workflow_step_write(&scope, run, i,
				output != NULL ? ar_json_print(pool, output) : AR_STR_NONE,
				error != NULL ? ar_json_print(pool, error) : AR_STR_NONE) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

/* The error is of the moment: of a neighbour system, a limit, a deadline, the store. */
static bool may_repeat(const struct ar_err *err)
{
	int status = err->def->status;

	return status >= 500 || status == 408 || status == 425 || status == 429;
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

/* What the run's expressions see of a step that is over. */
static void publish_output(struct workflow_run *run, size_t i, const struct ar_json *output,
			   const struct ar_json *error)
{
	struct ar_json *seen = ar_json_new(run->pool, AR_OBJECT);
	struct workflow_step_state *state = &run->states[i];

	state->output = output != NULL ? ar_json_copy(run->pool, output) : NULL;
	ar_json_set(seen, AR_STR("status"),
		    ar_json_str(run->pool, ar_str(workflow_step_status_name(state->status))));
	if (output != NULL)
		ar_json_set(seen, AR_STR("output"), ar_json_copy(run->pool, output));
	if (error != NULL)
		ar_json_set(seen, AR_STR("error"), ar_json_copy(run->pool, error));
	ar_json_set(run->steps, run->graph->steps[i].name, seen);
}

static void broken(struct workflow_run *run)
{
	if (ar_err_is(WORKFLOW_E_OVER))
		run->cancelled = true;
	else
		run->broken = true;
	ar_err_clear();
}

AR_YIELDS static void failed(struct workflow_run *run, size_t i, struct ar_pool *pool)
{
	const struct workflow_step *step = &run->graph->steps[i];
	struct workflow_step_state *state = &run->states[i];
	struct ar_json *error;

	/* A fiber that was cancelled stops here: the run is over, or goes on after a restart. */
	if (ar_err_is(WORKFLOW_E_OVER) || ar_err_is(AR_E_CANCELLED) || run->cancelled) {
		state->status = STEP_PENDING;
		run->cancelled = true;
		ar_err_clear();
		return;
	}
	error = workflow_error(run->pool);
	ar_json_set(error, AR_STR("step"), ar_json_str(run->pool, step->name));
	state->status = STEP_FAILED;
	if (may_repeat(ar_err()) && state->attempt < step->retry.attempts) {
		state->status = STEP_WAITING;
		state->next_ms = ar_now_ms() + delay_of(&step->retry, state->attempt);
	}
	ar_err_clear();
	if (write_alone(run, i, pool, NULL, error) != 0) {
		broken(run);
		return;
	}
	if (state->status == STEP_FAILED) {
		publish_output(run, i, NULL, error);
		if (!step->goes_on && run->error == NULL)
			run->error = error;
	}
}

AR_YIELDS static int attempt_once(struct workflow_run *run, size_t i, struct ar_pool *pool)
{
	const struct workflow_step *step = &run->graph->steps[i];
	struct workflow_step_state *state = &run->states[i];
	struct attempt attempt = { .run = run, .i = i };
	struct ar_json *input, *output = NULL;
	struct ar_invoke invoke = {
		.tenant = run->tenant,
		.who = run->graph->who,
		.face = AR_FACE_WORKFLOW,
		.action = ar_str(step->action->name),
		.trace_id = run->trace_id,
		.hook = ride,
		.hook_arg = &attempt,
	};
	bool wanted = true;

	if (step->when != NULL && workflow_test(step->when, run, pool, &wanted) != 0)
		return -1;
	if (wanted) {
		if (workflow_step_input(run, step, pool, &input) != 0)
			return -1;
		invoke.input = input;
		if (ar_action_invoke(pool, &invoke, &output) != 0)
			return -1;
	}
	state->status = wanted ? STEP_SUCCEEDED : STEP_SKIPPED;
	if (!attempt.written && write_alone(run, i, pool, output, NULL) != 0)
		return -1;
	publish_output(run, i, output, NULL);
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
	int64_t before = ar_deadline_set(deadline_of(&run->graph->steps[i]));
	int result;

	state->status = STEP_RUNNING;
	state->attempt++;
	if (state->started_ms == 0)
		state->started_ms = ar_now_ms();
	result = attempt_once(run, i, pool);
	ar_deadline_set(before);
	if (result != 0)
		failed(run, i, pool);
}
