/*
 * cancel.c - runs that are cancelled, that events start, and that know secrets.
 */
#include "workflow/tests/lives.h"

/* ---- cancelling ---- */

#define RACES 150

static void cancel_race(int i)
{
	struct ar_json *in = ar_json_new(rig_pool, AR_OBJECT), *ret, *run;
	struct ar_str input = ar_strf(rig_pool, "{\"i\":%d}", i);
	struct ar_str id = rig_start("w", ar_strz(rig_pool, input));
	int64_t notes, rows;
	bool over;

	ar_json_set(in, AR_STR("id"), ar_json_str(rig_pool, id));
	ar_sleep((int64_t)ar_random_below(12));
	over = rig_try("workflows.cancel_run", in, &ret) != 0;
	if (over)
		assert_true(ar_err_is(WORKFLOW_E_OVER));
	ar_err_clear();
	if (over) /* its last step may be in the commit that is on its way */
		rig_wait(id);
	notes = rig_count("SELECT count(*) FROM probe_notes", AR_NO_ARGS);
	if (i % 4 == 0)
		ar_sleep(30);
	assert_int_equal(rig_count("SELECT count(*) FROM probe_notes", AR_NO_ARGS), notes);
	run = rig_wait(id);
	assert_status(run, over ? "succeeded" : "cancelled");
	rows = rig_count("SELECT count(*) FROM workflow_steps WHERE run_id = ? "
			 "AND status = 'succeeded'",
			 AR_ARGS(AR_J_STR(id)));
	assert_int_equal(rig_count("SELECT count(*) FROM probe_notes WHERE note LIKE ?",
				   AR_ARGS(AR_J_STR(ar_strf(rig_pool, "%% %d.", i)))),
			 rows);
	assert_int_equal(
		rig_count("SELECT count(*) FROM bus_event WHERE key = ?", AR_ARGS(AR_J_STR(id))),
		1);
	if (over)
		assert_int_equal(rows, 5);
}

static void cancel_races(void *arg)
{
	rig_put("w", "steps:\n"
		     "  a: {action: probe.note, note: 'a ${input.i}.'}\n"
		     "  b: {action: probe.slow, ms: 2, note: 'b ${input.i}.', depends_on: a}\n"
		     "  c: {action: probe.slow, ms: 3, note: 'c ${input.i}.', depends_on: a}\n"
		     "  d: {action: probe.slow, ms: 2, note: 'd ${input.i}.', depends_on: [b, c]}\n"
		     "  e: {action: probe.note, note: 'e ${input.i}.', depends_on: d}\n");
	for (int i = 0; i < RACES; i++)
		cancel_race(i);
}

ONCE(nothing_happens_after_cancel, cancel_races)

static void cancel_own(void *arg)
{
	struct ar_json *run;

	rig_put("w", "steps:\n"
		     "  a: {action: workflows.cancel_run, id: '${run.id}', on_error: continue}\n"
		     "  b: {action: probe.note, note: '${steps.a.error.code}', depends_on: a}\n");
	run = rig_wait(rig_start("w", "{}"));
	assert_status(run, "succeeded");
	assert_int_equal(rig_notes("workflow/over"), 1);
}

ONCE(a_run_cannot_cancel_itself, cancel_own)

/* The word of the cancel was faster than the word of the start. */
static void cancelled_first(void *arg)
{
	struct ar_str id, version;
	struct ar_json *w;

	rig_put("w", "steps: {a: {action: probe.outside, note: a}}\n");
	w = rig_call("workflows.get", rig_json("{\"name\":\"w\"}"));
	version = ar_json_text(w, "version", AR_STR(""));
	id = ar_id(rig_pool);
	sql("INSERT INTO workflow_runs (id, workflow, version, status, input, cause, trace_id, "
	    "created) "
	    "VALUES (?, 'w', ?, 'running', '{}', '{}', '', 0)",
	    AR_ARGS(AR_J_STR(id), AR_J_STR(version)));
	rig_of_run("workflows.cancel_run", id);
	workflow_drive(rig_tenant->name, id,
		       workflow_seed_new(&(struct workflow_seed){
			       .version = version, .input = AR_STR("{}"), .cause = AR_STR("{}") }));
	ar_sleep(50);
	assert_int_equal(probe_lines(AR_STR("a")), 0);
	assert_status(rig_wait(id), "cancelled");
}

ONCE(a_cancelled_run_does_not_begin, cancelled_first)

/* ---- events ---- */

static void publish(const char *topic, const char *data)
{
	struct ar_scope scope;

	ar_scope_init(&scope, rig_tenant->db, rig_pool);
	assert_ok(ar_publish(&scope, topic, AR_STR("k"), rig_json(data), NULL));
	assert_ok(ar_commit(&scope));
}

static void events(void *arg)
{
	rig_put("w", "on: [thing.happened, other.*]\n"
		     "steps: {a: {action: probe.note, note: '${input.x} ${run.event.topic}'}}\n");
	rig_put("after", "on: workflow.run.finished\n"
			 "steps: {a: {action: probe.note, note: 'after ${input.workflow}'}}\n");
	publish("thing.happened", "{\"x\":1}");
	publish("other.thing", "{\"x\":2}");
	publish("thing.else", "{\"x\":3}");
	rig_until(runs("succeeded") >= 4);
	ar_sleep(100);
	assert_int_equal(runs("succeeded"), 4); /* after's own end starts nothing */
	assert_int_equal(rig_notes("1 thing.happened"), 1);
	assert_int_equal(rig_notes("2 other.thing"), 1);
	assert_int_equal(rig_notes("after w"), 2);
	rig_put("w", "steps: {a: {action: probe.note, note: x}}\n");
	publish("thing.happened", "{\"x\":9}");
	ar_sleep(100);
	assert_int_equal(runs("succeeded"), 4);
}

ONCE(events_start_runs, events)

static int deliver(const char *id, const char *workflow)
{
	struct ar_event event = { .id = ar_str(id),
				  .topic = AR_STR("t"),
				  .data = rig_json("{\"x\":1}") };
	struct ar_scope scope;
	struct ar_delivery delivery = { .pool = rig_pool,
					.database = rig_tenant->name,
					.db = rig_tenant->db,
					.event = &event,
					.scope = &scope,
					.subscription = AR_STR("s"),
					.target = ar_str(workflow) };

	ar_scope_init(&scope, rig_tenant->db, rig_pool);
	if (workflow_deliver(&delivery) == 0)
		return ar_commit(&scope);
	ar_rollback(&scope);
	return -1;
}

static void delivered_twice(void *arg)
{
	rig_put("w", "steps: {a: {action: probe.note, note: 'x ${input.x}'}}\n");
	assert_ok(deliver("e1", "w"));
	assert_ok(deliver("e1", "w"));
	rig_until(runs("succeeded") >= 1);
	assert_ok(deliver("e1", "w"));
	ar_sleep(50);
	assert_int_equal(runs("succeeded"), 1);
	assert_int_equal(rig_notes("x 1"), 1);
	assert_fails(deliver("e2", "nothing"), AR_E_NOT_FOUND);
}

ONCE(an_event_starts_one_run, delivered_twice)

/* ---- secrets ---- */

#define SECRET "geheim99"

static bool anywhere(const char *what)
{
	int64_t n = 0;

	n += rig_count("SELECT count(*) FROM workflow_runs WHERE input LIKE ? OR output LIKE ? "
		       "OR error LIKE ?",
		       AR_ARGS(AR_J_Z(what), AR_J_Z(what), AR_J_Z(what)));
	n += rig_count("SELECT count(*) FROM workflow_steps WHERE output LIKE ? OR error LIKE ?",
		       AR_ARGS(AR_J_Z(what), AR_J_Z(what)));
	n += rig_count("SELECT count(*) FROM bus_event WHERE data LIKE ?", AR_ARGS(AR_J_Z(what)));
	return n > 0;
}

static bool shown(struct ar_str id)
{
	struct ar_str texts[] = {
		ar_json_print(rig_pool, rig_of_run("workflows.get_run", id)),
		ar_json_print(rig_pool, rig_of_run("workflows.get_run_steps", id)),
		ar_json_print(rig_pool, rig_call("workflows.list_runs", NULL)),
	};
	bool found = false;

	for (size_t i = 0; i < AR_COUNT(texts); i++)
		found = found || memmem(texts[i].p, texts[i].n, SECRET, strlen(SECRET)) != NULL;
	return found;
}

static void secrets(void *arg)
{
	struct ar_str id;

	rig_put("w",
		"steps:\n"
		"  make: {action: probe.create_thing, name: n}\n"
		"  tell: {action: probe.outside, note: tell, depends_on: make}\n"
		"  leak: {action: probe.outside, note: leak, depends_on: tell,\n"
		"         input: {said: 'it is ${input.secretWord}, so', pin: '${input.pin}'}}\n"
		"  other: {action: probe.create_thing, name: n, secretWord: '${input.pin}',\n"
		"          depends_on: make}\n"
		"  wait: {action: probe.slow, note: w, depends_on: leak}\n"
		"  fail: {action: probe.fail, note: 'no ${input.secretWord}', times: 9,\n"
		"         retry: 1, depends_on: wait}\n"
		"output: {word: '${input.secretWord}'}\n");
	probe_hold = true;
	id = rig_start("w", "{\"secretWord\":\"" SECRET "\",\"pin\":\"47110815\",\"open\":1}");
	rig_until(probe_running == 1);
	/* Nobody gets it by itself, and no answer shows it while the run still needs it. */
	assert_member(rig_step(id, "tell"), "output.input.open", "1");
	assert_member(rig_step(id, "tell"), "output.input.secretWord", "missing");
	assert_member(rig_step(id, "tell"), "output.input.pin", "missing");
	assert_member(rig_step(id, "leak"), "output.input.said", "\"it is ***, so\"");
	assert_member(rig_step(id, "leak"), "output.input.pin", "\"***\"");
	assert_true(anywhere("%" SECRET "%"));
	assert_false(shown(id));
	probe_hold = false;
	assert_status(rig_wait(id), "failed");
	assert_false(anywhere("%" SECRET "%"));
	assert_false(anywhere("%47110815%"));
	assert_false(shown(id));
	assert_member(rig_of_run("workflows.get_run", id), "input",
		      "{\"secretWord\":\"***\",\"pin\":\"***\",\"open\":1}");
	assert_member(rig_of_run("workflows.get_run", id), "error.message", "\"no ***\"");
	assert_int_equal(rig_notes("n"), 2);
}

ONCE(secrets_go_with_the_run, secrets)

static void secrets_of_cancelled(void *arg)
{
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  gen: {action: probe.outside, note: g, input: '" SECRET "'}\n"
		     "  use: {action: probe.create_thing, name: x, depends_on: gen,\n"
		     "        on_error: continue,\n"
		     "        secretWord: '${steps.gen.output}'}\n"
		     "  make: {action: probe.create_thing, name: n, depends_on: gen,\n"
		     "         secretWord: '${steps.gen.output.input}', retry: 1}\n"
		     "  wait: {action: probe.slow, ms: 60000, note: w, depends_on: make}\n");
	id = rig_start("w", "{\"secretWord\":\"" SECRET "\"}");
	rig_until(rig_notes("n") > 0);
	assert_false(shown(id));
	assert_member(rig_step(id, "gen"), "output", "\"***\"");
	rig_of_run("workflows.cancel_run", id);
	assert_false(shown(id));
	assert_false(anywhere("%" SECRET "%"));
}

ONCE(secrets_go_when_cancelled, secrets_of_cancelled)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happens_after_cancel),
		cmocka_unit_test(a_run_cannot_cancel_itself),
		cmocka_unit_test(a_cancelled_run_does_not_begin),
		cmocka_unit_test(events_start_runs),
		cmocka_unit_test(an_event_starts_one_run),
		cmocka_unit_test(secrets_go_with_the_run),
		cmocka_unit_test(secrets_go_when_cancelled),
	};

	return cmocka_run_group_tests(tests, rig_register, rig_forget);
}
