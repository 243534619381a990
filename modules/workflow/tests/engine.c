/*
 * engine.c - runs on a real store: order, values, failure, retries, waiting, the end.
 */
#include "workflow/tests/rig.h"

TEST(runs_step_by_step)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w",
		"steps:\n"
		"  a: {action: probe.note, note: 'a ${input.x}', data: {n: '${input.n}'}}\n"
		"  b: {action: probe.note, note: '${steps.a.output.note}!', depends_on: a}\n"
		"  c: {action: probe.outside, note: c, depends_on: b,\n"
		"      input: '${steps.a.output.data.n + 1}'}\n"
		"output: {last: '${steps.c.output.input}', id: '${run.id}', w: '${run.workflow}',"
		" s: '${steps.b.status}'}\n");
	id = rig_start("w", "{\"x\":\"你好\",\"n\":41}");
	run = rig_wait(id);
	assert_status(run, "succeeded");
	assert_member(run, "output.last", "42");
	assert_member(run, "output.s", "\"succeeded\"");
	assert_member(run, "output.w", "\"w\"");
	assert_true(ar_str_eq(ar_json_path(run, AR_STR("output.id"))->s, id));
	assert_member(run, "error", "null");
	assert_member(run, "cause.face", "\"system\"");
	assert_int_equal(rig_notes("a 你好"), 1);
	assert_int_equal(rig_notes("a 你好!"), 1);
	assert_int_equal(probe_lines(AR_STR("c")), 1);
	assert_member(rig_step(id, "a"), "output.data.n", "41");
	assert_member(rig_step(id, "c"), "attempt", "1");
	assert_int_equal(rig_count("SELECT count(*) FROM bus_event WHERE topic = "
				   "'workflow.run.finished' AND key = ?",
				   AR_ARGS(AR_J_STR(id))),
			 1);
}

TEST(runs_side_by_side)
{
	struct ar_str id;

	probe_most = 0;
	probe_hold = true;
	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, note: a}\n"
		     "  b: {action: probe.slow, note: b}\n"
		     "  c: {action: probe.slow, note: c}\n"
		     "  d: {action: probe.note, note: d}\n"
		     "  after_d: {action: probe.slow, note: e, depends_on: d}\n"
		     "  all: {action: probe.note, note: all, depends_on: [a, b, c, after_d]}\n");
	id = rig_start("w", "{}");
	rig_until(probe_running == 4); /* what waits for the short one does not wait longer */
	assert_int_equal(rig_notes("all"), 0);
	probe_hold = false;
	assert_status(rig_wait(id), "succeeded");
	assert_int_equal(rig_notes("all"), 1);
	assert_int_equal(probe_most, 4);
}

TEST(bounds_what_runs_at_once)
{
	struct ar_buf *buf = ar_buf_new(rig_pool, 1 << 20);

	ar_buf_z(buf, "steps:\n");
	for (int i = 0; i < 60; i++)
		ar_buf_printf(buf, "  s%d: {action: probe.slow, ms: 20, note: s}\n", i);
	ar_buf_char(buf, '\0');
	probe_most = 0;
	rig_put("w", buf->p);
	assert_status(rig_wait(rig_start("w", "{}")), "succeeded");
	assert_int_equal(rig_notes("s"), 60);
	assert_int_equal(probe_most, 16);
}

TEST(tries_again)
{
	struct ar_json *step;
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.fail, note: a, times: 3, retry: {delay: 20ms}}\n"
		     "  b: {action: probe.note, note: b, depends_on: a}\n");
	id = rig_start("w", "{}");
	assert_status(rig_wait(id), "succeeded");
	step = rig_step(id, "a");
	assert_member(step, "attempt", "4");
	assert_member(step, "status", "\"succeeded\"");
	assert_member(step, "error", "null");
	assert_member(step, "next", "null");
	assert_int_equal(rig_notes("a"), 1);
	assert_int_equal(rig_notes("b"), 1);
	assert_int_equal(probe_lines(AR_STR("failed a")), 3);
}

TEST(gives_up_after_the_last_attempt)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w",
		"steps:\n"
		"  a: {action: probe.fail, note: a, times: 9, retry: {attempts: 3, delay: 5ms}}\n"
		"  b: {action: probe.note, note: b, depends_on: a}\n");
	id = rig_start("w", "{}");
	run = rig_wait(id);
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"unavailable\"");
	assert_member(run, "error.step", "\"a\"");
	assert_member(run, "error.message", "\"a\"");
	assert_member(run, "output", "null");
	assert_member(rig_step(id, "a"), "attempt", "3");
	assert_member(rig_step(id, "b"), "status", "\"cancelled\"");
	assert_int_equal(rig_notes("a"), 0);
	assert_int_equal(rig_notes("b"), 0);
}

TEST(a_refusal_is_not_repeated)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w", "steps: {a: {action: probe.fail, note: a, times: 9, status: 422}}\n");
	id = rig_start("w", "{}");
	run = rig_wait(id);
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"invalid\"");
	assert_member(run, "error.fields.note", "\"pattern\"");
	assert_member(rig_step(id, "a"), "attempt", "1");
}

TEST(goes_on_after_an_error)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.fail, note: a, status: 422, on_error: continue}\n"
		     "  b: {action: probe.note, note: 'b ${steps.a.error.code}', depends_on: a}\n"
		     "  c: {action: probe.note, note: c, depends_on: a,"
		     "      when: steps.a.status = 'succeeded'}\n"
		     "  d: {action: probe.note, note: 'd ${steps.c.status}', depends_on: c}\n"
		     "output: '${steps.a.status}'\n");
	id = rig_start("w", "{}");
	run = rig_wait(id);
	assert_status(run, "succeeded");
	assert_member(run, "output", "\"failed\"");
	assert_int_equal(rig_notes("b invalid"), 1);
	assert_int_equal(rig_notes("c"), 0);
	assert_int_equal(rig_notes("d skipped"), 1);
	assert_member(rig_step(id, "c"), "status", "\"skipped\"");
	assert_member(rig_step(id, "c"), "attempt", "0");
}

TEST(a_failure_lets_what_runs_end)
{
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, ms: 100, note: a}\n"
		     "  b: {action: probe.fail, note: b, status: 422}\n"
		     "  c: {action: probe.fail, note: c, times: 9, retry: {delay: 1h}}\n"
		     "  d: {action: probe.note, note: d, depends_on: a}\n");
	id = rig_start("w", "{}");
	assert_status(rig_wait(id), "failed");
	assert_member(rig_step(id, "a"), "status", "\"succeeded\"");
	assert_member(rig_step(id, "b"), "status", "\"failed\"");
	assert_member(rig_step(id, "c"), "status", "\"cancelled\"");
	assert_member(rig_step(id, "d"), "status", "\"cancelled\"");
	assert_int_equal(rig_notes("a"), 1);
	assert_int_equal(rig_notes("d"), 0);
}

TEST(times_out)
{
	struct ar_json *run;
	struct ar_str id;

	rig_put("w", "steps: {a: {action: probe.slow, ms: 60000, note: a, timeout: 50ms,"
		     " retry: {attempts: 2, delay: 1ms}}}\n");
	id = rig_start("w", "{}");
	run = rig_wait(id);
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"deadline\"");
	assert_member(rig_step(id, "a"), "attempt", "2");
	assert_int_equal(rig_notes("a"), 0);
}

TEST(a_large_result_fails_its_step)
{
	struct ar_json *run;

	rig_put("w", "steps: {a: {action: probe.large, note: a, bytes: 1100000}}\n");
	run = rig_wait(rig_start("w", "{}"));
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"too-large\"");
	assert_int_equal(rig_notes("a"), 0); /* its effect is undone with it */
	rig_put("v", "steps:\n"
		     "  a: {action: probe.large, note: b, bytes: 1000000}\n"
		     "  b: {action: probe.large, note: b, bytes: 1000000, depends_on: a}\n"
		     "  c: {action: probe.large, note: b, bytes: 1000000, depends_on: b}\n"
		     "  d: {action: probe.large, note: b, bytes: 1000000, depends_on: c}\n"
		     "  e: {action: probe.large, note: b, bytes: 1000000, depends_on: d}\n");
	run = rig_wait(rig_start("v", "{}"));
	assert_member(run, "error.code", "\"too-large\"");
	assert_member(run, "error.step", "\"e\"");
	rig_put("u", "steps:\n"
		     "  a: {action: probe.large, note: c, bytes: 1000000}\n"
		     "  b: {action: probe.note, note: c, depends_on: a, data: {t: ["
		     "'${steps.a.output.text}', '${steps.a.output.text}', '${steps.a.output.text}',"
		     "'${steps.a.output.text}', '${steps.a.output.text}']}}\n");
	run = rig_wait(rig_start("u", "{}"));
	assert_member(run, "error.code", "\"too-large\"");
	assert_member(run, "error.step", "\"b\"");
}

TEST(bad_values_fail_the_step)
{
	struct ar_json *run;

	rig_put("w", "steps: {a: {action: probe.note, note: '${input.n}'}}\n");
	run = rig_wait(rig_start("w", "{\"n\":5}"));
	assert_status(run, "failed");
	assert_member(run, "error.code", "\"invalid\"");
	assert_member(run, "error.fields.note", "\"type\"");
	run = rig_wait(rig_start("w", "{}"));
	assert_member(run, "error.fields.note", "\"null\"");
}

TEST(waits_long_without_a_driver)
{
	struct ar_str id;

	rig_put("w", "steps: {a: {action: probe.fail, note: a, retry: {delay: 20m}}}\n");
	id = rig_start("w", "{}");
	rig_until(rig_timers() > 0);
	assert_int_equal(rig_count("SELECT count(*) FROM bus_timer WHERE id = ?",
				   AR_ARGS(AR_J_STR(workflow_timer_id(rig_pool, id)))),
			 1);
	assert_member(rig_step(id, "a"), "status", "\"waiting\"");
	assert_true(rig_count("SELECT wake - CAST(? AS BIGINT) FROM workflow_runs",
			      AR_ARGS(AR_J_INT(ar_now_ms()))) > 500000);
	rig_of_run("workflows.cancel_run", id);
	assert_int_equal(
		rig_count("SELECT count(*) FROM bus_timer WHERE kind = 'workflow'", AR_NO_ARGS), 0);
	assert_member(rig_step(id, "a"), "status", "\"cancelled\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_step_by_step),
		cmocka_unit_test(runs_side_by_side),
		cmocka_unit_test(bounds_what_runs_at_once),
		cmocka_unit_test(tries_again),
		cmocka_unit_test(gives_up_after_the_last_attempt),
		cmocka_unit_test(a_refusal_is_not_repeated),
		cmocka_unit_test(goes_on_after_an_error),
		cmocka_unit_test(a_failure_lets_what_runs_end),
		cmocka_unit_test(times_out),
		cmocka_unit_test(a_large_result_fails_its_step),
		cmocka_unit_test(bad_values_fail_the_step),
		cmocka_unit_test(waits_long_without_a_driver),
	};

	return cmocka_run_group_tests(tests, rig_register, rig_forget);
}
