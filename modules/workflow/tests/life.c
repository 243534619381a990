/*
 * life.c - runs through restarts, a long line of them, a tenant that goes in the middle, and runs
 * that ended long ago.
 */
#include <time.h>

#include "workflow/tests/lives.h"

static char kept_id[AR_ID_LEN + 1]; /* from one life to the next */

static void keep(struct ar_str id)
{
	memcpy(kept_id, id.p, AR_ID_LEN);
}

/* ---- restarts ---- */

static void stop_in_a_step(void *arg)
{
	rig_put("w", "steps:\n"
		     "  a: {action: probe.note, note: 'a ${input.x}'}\n"
		     "  b: {action: probe.slow, ms: 100, note: b, depends_on: a}\n"
		     "  c: {action: probe.slow, ms: 100, note: c, depends_on: a}\n"
		     "  d: {action: probe.note, note: '${steps.a.output.note} d', depends_on: [b, "
		     "c]}\n");
	probe_hold = true;
	keep(rig_start("w", "{\"x\":1}"));
	rig_until(probe_running == 2);
	assert_int_equal(rig_notes("a 1"), 1);
	assert_member(rig_step(ar_str(kept_id), "b"), "status", "\"pending\"");
}

static void go_on(void *arg)
{
	probe_hold = false;
	resume();
	assert_status(rig_wait(ar_str(kept_id)), "succeeded");
	assert_int_equal(rig_notes("a 1"), 1);
	assert_int_equal(rig_notes("b"), 1);
	assert_int_equal(rig_notes("c"), 1);
	assert_int_equal(rig_notes("a 1 d"), 1);
}

ONCE(goes_on_after_a_restart, stop_in_a_step, go_on, go_on)

static int64_t shift_ms;

static int64_t shifted_now(void *arg)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000 + shift_ms;
}

static void park(void *arg)
{
	rig_put("w", "steps:\n"
		     "  a: {action: probe.fail, note: a, times: 2, retry: {delay: 1h}}\n"
		     "  b: {action: probe.note, note: b, depends_on: a}\n");
	keep(rig_start("w", "{}"));
	rig_until(rig_timers() > 0);
	assert_int_equal(rig_timers(), 1);
}

static void too_early(void *arg)
{
	resume();
	ar_sleep(100);
	assert_member(rig_step(ar_str(kept_id), "a"), "attempt", "1");
	assert_member(rig_step(ar_str(kept_id), "a"), "status", "\"waiting\"");
	assert_member(rig_step(ar_str(kept_id), "a"), "error.code", "\"unavailable\"");
}

static void second_time(void *arg)
{
	shift_ms += 3600 * 1000;
	resume();
	rig_until(ar_json_number(rig_step(ar_str(kept_id), "a"), "attempt", 0) == 2);
	assert_int_equal(probe_lines(AR_STR("failed a")), 2);
	/* Twice as long now, and its length was drawn once: the timer says when. */
	shift_ms += 3 * 3600 * 1000;
	ar_bus_wake(rig_tenant->name);
}

static void third_time(void *arg)
{
	resume();
	assert_status(rig_wait(ar_str(kept_id)), "succeeded");
	assert_member(rig_step(ar_str(kept_id), "a"), "attempt", "3");
	assert_int_equal(rig_notes("a"), 1);
	assert_int_equal(rig_notes("b"), 1);
	/* The run may end before the commit in which its timer goes. */
	rig_until(rig_timers() == 0);
}

ONCE(parked_runs_come_back, park, too_early, second_time, third_time)

static void other_result(void *arg)
{
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, ms: 100, note: a}\n"
		     "  b: {action: probe.note, note: 'b ${steps.a.output.by}', depends_on: a}\n");
	probe_hold = true;
	id = rig_start("w", "{}");
	rig_until(probe_running == 1);
	/* Somebody else was faster (a commit whose answer was lost, another process). */
	sql("INSERT INTO workflow_steps (run_id, step, status, attempt, output, started) "
	    "VALUES (?, 'a', 'succeeded', 1, '{\"by\":\"another\"}', 0)",
	    AR_ARGS(AR_J_STR(id)));
	probe_hold = false;
	assert_status(rig_wait(id), "succeeded");
	assert_int_equal(rig_notes("a"), 0);
	assert_int_equal(rig_notes("b another"), 1);
}

ONCE(a_step_has_one_result, other_result)

static void many_drivers(void *arg)
{
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, ms: 30, note: a}\n"
		     "  b: {action: probe.outside, note: b, depends_on: a}\n");
	id = rig_start("w", "{}");
	for (int i = 0; i < 20; i++) {
		workflow_drive(rig_tenant->name, id, NULL);
		ar_sleep(3);
	}
	assert_status(rig_wait(id), "succeeded");
	ar_sleep(50);
	assert_int_equal(rig_notes("a"), 1);
	assert_int_equal(probe_lines(AR_STR("b")), 1);
}

ONCE(a_run_has_one_driver, many_drivers)

static void version_gone(void *arg)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w", "steps: {a: {action: probe.fail, note: a, retry: {delay: 1h}}}\n");
	id = rig_start("w", "{\"secretWord\":\"geheim99\"}");
	rig_until(rig_timers() > 0);
	sql("UPDATE workflow_versions SET definition = "
	    "'{\"steps\":{\"a\":{\"action\":\"gone.away\"}}}', "
	    "id = 'x'",
	    AR_NO_ARGS);
	sql("UPDATE workflow_runs SET version = 'x', wake = NULL", AR_NO_ARGS);
	workflow_drive(rig_tenant->name, id, NULL);
	run = rig_wait(id);
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"workflow/version\"");
	assert_member(run, "input", "{}");
	assert_member(rig_of_run("workflows.get_run_steps", id), "items.0.status", "\"cancelled\"");
	assert_member(rig_of_run("workflows.get_run_steps", id), "items.0.error", "null");
}

ONCE(a_version_that_cannot_run_ends_its_runs, version_gone)

/* ---- a workflow that is gone ---- */

static void cancel_and_delete(void *arg)
{
	struct ar_json *in = ar_json_new(rig_pool, AR_OBJECT), *ret;
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.note, note: a}\n"
		     "  b: {action: probe.fail, note: '${input.secretWord}', depends_on: a,"
		     " retry: {delay: 1h}}\n"
		     "  c: {action: probe.note, note: c, depends_on: b}\n");
	id = rig_start("w", "{\"secretWord\":\"geheim99\"}");
	keep(id);
	for (int i = 0;
	     i < 4000 &&
	     rig_count("SELECT count(*) FROM bus_timer WHERE kind = 'workflow'", AR_NO_ARGS) == 0;
	     i++)
		ar_sleep(5);
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_steps WHERE error LIKE "
				   "'%geheim99%'",
				   AR_NO_ARGS),
			 1);
	rig_of_run("workflows.cancel_run", id);
	/* Why a step failed is kept without secrets, too. */
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_steps WHERE error LIKE "
				   "'%geheim99%'",
				   AR_NO_ARGS),
			 0);
	ar_json_set(in, AR_STR("name"), ar_json_str(rig_pool, AR_STR("w")));
	assert_ok(rig_try("workflows.delete", in, &ret));
}

/* After a restart: nobody remembers its graph. */
static void steps_are_there(void *arg)
{
	struct ar_json *steps = rig_of_run("workflows.get_run_steps", ar_str(kept_id));

	assert_member(steps, "items.0.step", "\"a\"");
	assert_member(steps, "items.0.status", "\"succeeded\"");
	assert_member(steps, "items.0.output.note", "\"a\"");
	assert_member(steps, "items.1.step", "\"b\"");
	assert_member(steps, "items.1.status", "\"cancelled\"");
	assert_member(steps, "items.1.error.code", "\"unavailable\"");
	assert_member(steps, "items.1.next", "null");
	assert_int_equal(ar_json_get(steps, "items")->count, 2);
}

ONCE(steps_outlive_their_workflow, cancel_and_delete, steps_are_there)

/* ---- a long line ---- */

#define LINE 1400

static void begin_many(void *arg)
{
	struct ar_scope scope;
	struct ar_json *w;

	rig_put("w", "steps: {a: {action: probe.note, note: a}}\n");
	w = rig_call("workflows.get", rig_json("{\"name\":\"w\"}"));
	ar_scope_init(&scope, rig_tenant->db, rig_pool);
	for (int i = 0; i < LINE; i++)
		assert_ok(
			ar_exec(&scope,
				"INSERT INTO workflow_runs (id, workflow, version, status, input, "
				"cause, trace_id, created) VALUES (?, 'w', ?, 'running', '{}', "
				"'{}', '', 0)",
				AR_ARGS(AR_J_STR(ar_id(rig_pool)),
					AR_J_STR(ar_json_text(w, "version", AR_STR("")))),
				NULL));
	assert_ok(ar_commit(&scope));
}

static void end_many(void *arg)
{
	resume();
	rig_until(runs("running") == 0);
	assert_int_equal(runs("succeeded"), LINE);
	assert_int_equal(rig_notes("a"), LINE);
}

static void end_while_stopping(void *arg)
{
	resume();
	ar_sleep(30);
}

ONCE(a_long_line_ends, begin_many, end_while_stopping, end_many)

/* ---- a tenant goes ---- */

static void delete_busy(void *arg)
{
	struct ar_str name = ar_str(rig_name);
	int64_t before;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, ms: 600000, note: a}\n"
		     "  b: {action: probe.slow, ms: 600000, note: b}\n");
	rig_put("v", "steps: {a: {action: probe.fail, note: a, times: 9, retry: {delay: 5s}}}\n");
	for (int i = 0; i < 300; i++)
		rig_start(i % 2 == 0 ? "w" : "v", "{}"); /* 256 with a driver, the rest in line */
	ar_pool_reset(rig_pool);
	ar_tenant_release(rig_tenant);
	before = ar_mono_ms();
	assert_ok(ar_tenant_delete(name));
	assert_in_range(ar_mono_ms() - before, 0, 60000); /* not as long as what runs */
	assert_ok(ar_tenant_create(name, NULL, NULL));
	assert_ok(ar_tenant_acquire(name, &rig_tenant));
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_runs", AR_NO_ARGS), 0);
}

ONCE(a_busy_tenant_can_be_deleted, delete_busy)

/* ---- what ended long ago goes ---- */

static void old_run(struct ar_scope *scope, int i, const char *status, int64_t days)
{
	int64_t then = ar_now_ms() - days * 86400000;
	struct ar_str id = ar_strf(scope->pool, "old-%d", i);

	assert_ok(ar_exec(
		scope,
		"INSERT INTO workflow_runs (id, workflow, version, status, input, cause, "
		"trace_id, wake, created, finished) VALUES (?, 'w', 'v', ?, '{}', '{}', '', "
		"?, ?, ?)",
		AR_ARGS(AR_J_STR(id), AR_J_Z(status), AR_J_INT(INT64_MAX), AR_J_INT(then),
			strcmp(status, "running") == 0 ? AR_J_NULL : AR_J_INT(then)),
		NULL));
	assert_ok(ar_exec(scope,
			  "INSERT INTO workflow_steps (run_id, step, status, attempt, started) "
			  "VALUES (?, 'a', 'succeeded', 1, 0)",
			  AR_ARGS(AR_J_STR(id)), NULL));
}

/* By the timer that the bus has added by itself, brought forward; in several batches. */
static void old_runs_go(void *arg)
{
	struct ar_scope scope;
	struct ar_str id;

	rig_put("w", "steps: {a: {action: probe.idle}}\n");
	id = rig_start("w", "{}");
	rig_wait(id);
	ar_scope_init(&scope, rig_tenant->db, rig_pool);
	for (int i = 0; i < 450; i++)
		old_run(&scope, i,
			i % 3 == 0   ? "failed"
			: i % 3 == 1 ? "cancelled"
				     : "succeeded",
			31);
	old_run(&scope, 1000, "succeeded", 29);
	old_run(&scope, 1001, "running", 400);
	assert_ok(ar_timer_set(&scope, &(struct ar_timer){ .id = AR_STR("daily:workflow-runs"),
							   .due_ms = ar_now_ms(),
							   .kind = AR_STR("daily"),
							   .data = AR_STR("workflow-runs") }));
	assert_ok(ar_commit(&scope));
	rig_until(rig_count("SELECT count(*) FROM workflow_runs", AR_NO_ARGS) <= 3);
	ar_sleep(50);
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_runs", AR_NO_ARGS), 3);
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_steps WHERE run_id LIKE 'old-%'",
				   AR_NO_ARGS),
			 2);
	assert_int_equal(
		rig_count("SELECT count(*) FROM workflow_runs WHERE id = ?", AR_ARGS(AR_J_STR(id))),
		1);
	/* and comes again tomorrow */
	assert_int_equal(rig_count("SELECT count(*) FROM bus_timer WHERE id = "
				   "'daily:workflow-runs' AND due_ms > ?",
				   AR_ARGS(AR_J_INT(ar_now_ms() + 1000))),
			 1);
}

ONCE(what_ended_long_ago_goes, old_runs_go)

int main(void)
{
	static const struct ar_seam seam = { .now_ms = shifted_now };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on_after_a_restart),
		cmocka_unit_test(parked_runs_come_back),
		cmocka_unit_test(a_step_has_one_result),
		cmocka_unit_test(a_run_has_one_driver),
		cmocka_unit_test(a_version_that_cannot_run_ends_its_runs),
		cmocka_unit_test(steps_outlive_their_workflow),
		cmocka_unit_test(a_long_line_ends),
		cmocka_unit_test(a_busy_tenant_can_be_deleted),
		cmocka_unit_test(what_ended_long_ago_goes),
	};

	ar_seam_set(&seam);
	return cmocka_run_group_tests(tests, rig_register, rig_forget);
}
