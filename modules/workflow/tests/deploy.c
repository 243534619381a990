/*
 * deploy.c - workflows as their owners put them: versions, rights, events, bad sources, the end; and
 * what a step gets when it says nothing.
 */
#include "workflow/tests/rig.h"

static int put_as(const struct ar_who *who, const char *name, const char *text,
		  struct ar_json **ret)
{
	struct ar_json *input = ar_json_new(rig_pool, AR_OBJECT);
	struct ar_invoke invoke = { .tenant = rig_tenant,
				    .who = who,
				    .face = AR_FACE_LUA,
				    .action = AR_STR("workflows.put"),
				    .input = input };

	ar_json_set(input, AR_STR("name"), ar_json_str(rig_pool, ar_str(name)));
	ar_json_set(input, AR_STR("body"), ar_json_str(rig_pool, ar_str(text)));
	return ar_action_invoke(rig_pool, &invoke, ret);
}

TEST(keeps_versions)
{
	static const char first[] =
		"workflow: w\ndescription: one\nsteps: {a: {action: probe.idle}}\n";
	struct ar_json *a, *b, *c;

	assert_ok(rig_try_put("w", first, &a));
	assert_member(a, "number", "1");
	assert_member(a, "description", "\"one\"");
	assert_member(a, "definition.steps", "{\"a\":{\"action\":\"probe.idle\"}}");
	assert_str(ar_json_text(a, "source", AR_STR("")), first);
	assert_ok(rig_try_put("w", first, &b)); /* the same again changes nothing */
	assert_true(ar_json_equal(a, b));
	assert_ok(rig_try_put("w", "{\"steps\":{\"b\":{\"action\":\"probe.idle\"}}}", &c));
	assert_member(c, "number", "2");
	assert_member(c, "description", "\"\"");
	a = rig_call("workflows.list_versions", rig_json("{\"name\":\"w\"}"));
	assert_member(a, "items.0.number", "2");
	assert_member(a, "items.1.number", "1");
	a = rig_call("workflows.get_version", rig_json("{\"name\":\"w\",\"number\":1}"));
	assert_str(ar_json_text(a, "source", AR_STR("")), first);
	assert_member(a, "number", "1");
	assert_member(a, "definition.steps", "{\"a\":{\"action\":\"probe.idle\"}}");
	assert_str(ar_json_text(a, "sha256", AR_STR("")), ar_sha256_hex(rig_pool, ar_str(first)).p);
	assert_fails(
		rig_try("workflows.get_version", rig_json("{\"name\":\"w\",\"number\":3}"), &a),
		AR_E_NOT_FOUND);
	assert_fails(
		rig_try("workflows.get_version", rig_json("{\"name\":\"x\",\"number\":1}"), &a),
		AR_E_NOT_FOUND);
	assert_int_equal(ar_json_get(rig_call("workflows.list", NULL), "items")->count, 1);
}

TEST(a_run_keeps_its_version)
{
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  a: {action: probe.slow, ms: 150, note: a}\n"
		     "  b: {action: probe.note, note: old, depends_on: a}\n");
	id = rig_start("w", "{}");
	ar_sleep(20);
	rig_put("w", "steps: {x: {action: probe.note, note: new}}\n");
	assert_status(rig_wait(rig_start("w", "{}")), "succeeded");
	assert_status(rig_wait(id), "succeeded");
	assert_int_equal(rig_notes("old"), 1);
	assert_int_equal(rig_notes("new"), 1);
	assert_member(rig_step(id, "b"), "status", "\"succeeded\"");
}

TEST(nobody_grants_what_they_lack)
{
	static const char text[] = "steps: {a: {action: probe.note, note: n}}\n";
	static const char more[] = "permissions: [auth.users.write]\n"
				   "steps: {a: {action: probe.note, note: n}}\n";
	static const char all[] = "permissions: ['*']\nsteps: {a: {action: probe.idle}}\n";
	static const char branch[] = "permissions: ['probe.*']\nsteps: {a: {action: probe.idle}}\n";
	struct ar_who *writer = ar_who_limited(rig_pool, AR_WHO_USER, AR_STR("u"),
					       rig_json("[\"workflows.write\"]"));
	struct ar_who *owner = ar_who_limited(rig_pool, AR_WHO_USER, AR_STR("u"),
					      rig_json("[\"workflows.write\",\"probe.write\"]"));
	struct ar_json *ret;

	assert_fails(put_as(&ar_who_anyone, "w", text, &ret), AR_E_UNAUTHORIZED);
	assert_fails(put_as(writer, "w", text, &ret), WORKFLOW_E_ESCALATION);
	assert_ok(put_as(owner, "w", text, &ret));
	assert_fails(put_as(writer, "w", text, &ret), WORKFLOW_E_ESCALATION); /* also unchanged */
	assert_fails(put_as(owner, "w", more, &ret), WORKFLOW_E_ESCALATION);
	assert_fails(put_as(owner, "w", all, &ret), WORKFLOW_E_ESCALATION);
	assert_fails(put_as(owner, "w", branch, &ret), WORKFLOW_E_ESCALATION);
	assert_ok(put_as(&ar_who_system, "w", more, &ret));
}

/* What a run may do is what its definition says, whoever starts it. */
TEST(a_run_has_its_own_rights)
{
	struct ar_json *run;

	rig_put("w", "steps: {a: {action: workflows.delete, input: {name: other}}}\n");
	rig_put("v", "steps: {a: {action: workflows.delete, input: {name: nothing}}}\n");
	rig_put("other", "steps: {a: {action: probe.idle}}\n");
	assert_status(rig_wait(rig_start("w", "{}")), "succeeded");
	run = rig_wait(rig_start("v", "{}"));
	assert_member(run, "error.code", "\"not-found\"");
	assert_int_equal(ar_json_get(rig_call("workflows.list", NULL), "items")->count, 2);
}

TEST(refuses_sources)
{
	static const struct {
		const char *name, *text, *slug;
	} rows[] = {
		{ "w", "", "workflow/definition" },
		{ "w", " \n\t", "workflow/definition" },
		{ "w", "{\"steps\":", "malformed" },
		{ "w", "{\"steps\":{},\"steps\":{}}", "malformed" },
		{ "w", "steps: [", "workflow/yaml" },
		{ "w", "workflow: other\nsteps: {a: {action: probe.idle}}", "workflow/definition" },
		{ "w", "on: 'a.*.b'\nsteps: {a: {action: probe.idle}}", "invalid" },
		{ "w", "on: '*x'\nsteps: {a: {action: probe.idle}}", "invalid" },
		{ "9", "steps: {a: {action: probe.idle}}", "invalid" },
		{ "a/b", "steps: {a: {action: probe.idle}}", "invalid" },
	};
	struct ar_json *ret;
	char *big = ar_alloc(rig_pool, WORKFLOW_SOURCE_MAX + 2);

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (rig_try_put(rows[i].name, rows[i].text, &ret) == 0)
			fail_msg("taken: %s", rows[i].text);
		assert_string_equal(ar_err()->def->slug, rows[i].slug);
		ar_err_clear();
	}
	memset(big, ' ', WORKFLOW_SOURCE_MAX + 1);
	assert_fails(rig_try_put("w", big, &ret), AR_E_TOO_LARGE);
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_workflows", AR_NO_ARGS), 0);
	assert_int_equal(
		rig_count("SELECT count(*) FROM bus_subscription WHERE builtin = 0", AR_NO_ARGS),
		0);
}

static int64_t subscriptions(void)
{
	return rig_count("SELECT count(*) FROM bus_subscription WHERE builtin = 0", AR_NO_ARGS);
}

TEST(deletes)
{
	struct ar_json *ret, *in = rig_json("{\"name\":\"w\"}");
	struct ar_str id;

	rig_put("w", "on: [a, b]\nsteps: {a: {action: probe.slow, ms: 100, note: a}}\n");
	assert_int_equal(subscriptions(), 2);
	rig_put("w", "on: [c]\nsteps: {a: {action: probe.slow, ms: 100, note: a}}\n");
	assert_int_equal(subscriptions(), 1);
	id = rig_start("w", "{\"x\":1}");
	assert_int_equal(rig_try("workflows.delete", in, &ret), -1);
	assert_true(ar_err_is(WORKFLOW_E_RUNNING));
	ar_err_clear();
	rig_wait(id);
	rig_call("workflows.delete", in);
	assert_int_equal(subscriptions(), 0);
	assert_int_equal(rig_count("SELECT count(*) FROM workflow_versions", AR_NO_ARGS), 0);
	assert_int_equal(rig_try("workflows.delete", in, &ret), -1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	assert_int_equal(rig_try("workflows.get", in, &ret), -1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	ar_err_clear();
	assert_status(rig_wait(id), "succeeded"); /* what happened is still told */
	assert_member(rig_wait(id), "input.x", "1");
}

TEST(refuses_runs)
{
	struct ar_json *in = rig_json("{\"workflow\":\"w\"}"), *ret, *big;
	char *text = ar_alloc(rig_pool, WORKFLOW_INPUT_MAX + 1);

	assert_int_equal(rig_try("workflows.run", in, &ret), -1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	rig_put("w", "steps: {a: {action: probe.idle}}\n");
	memset(text, 'x', WORKFLOW_INPUT_MAX);
	big = ar_json_new(rig_pool, AR_OBJECT);
	ar_json_set(big, AR_STR("t"), ar_json_str(rig_pool, ar_str(text)));
	ar_json_set(in, AR_STR("input"), big);
	assert_int_equal(rig_try("workflows.run", in, &ret), -1);
	assert_true(ar_err_is(AR_E_TOO_LARGE));
	ar_json_set(in, AR_STR("input"), ar_json_str(rig_pool, AR_STR("text")));
	assert_int_equal(rig_try("workflows.run", in, &ret), -1);
	assert_true(ar_err_is(AR_E_INVALID));
	ar_err_clear();
	assert_int_equal(rig_try("workflows.get_run",
				 rig_json("{\"id\":\"019353a1-7b1c-7000-8000-000000000000\"}"),
				 &ret),
			 -1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	assert_int_equal(rig_try("workflows.cancel_run",
				 rig_json("{\"id\":\"019353a1-7b1c-7000-8000-000000000000\"}"),
				 &ret),
			 -1);
	assert_true(ar_err_is(AR_E_NOT_FOUND));
	ar_err_clear();
}

/* docs/decisions/0005: what a step gets when it says nothing. */
TEST(the_context_fills_in)
{
	struct ar_json *step;
	struct ar_str id;

	rig_put("w", "steps:\n"
		     "  check: {action: probe.look}\n"
		     "  make: {action: probe.create_thing, depends_on: check}\n"
		     "  tell: {action: probe.outside, note: tell, depends_on: make}\n"
		     "  beside: {action: probe.outside, note: beside, depends_on: check}\n"
		     "  log: {action: probe.note, note: log, depends_on: [tell, beside]}\n"
		     "  say: {action: probe.note, input: {note: say}, depends_on: make}\n");
	id = rig_start("w", "{\"name\":\"李\",\"secretWord\":\"geheim99\",\"more\":{\"a\":[1],"
			    "\"secretWord\":\"x\"},\"collection\":\"people\"}");
	assert_status(rig_wait(id), "succeeded");
	step = rig_step(id, "check"); /* it judges the secret too, but no answer shows it */
	assert_member(step, "output.collection", "\"people\"");
	assert_member(step, "output.data",
		      "{\"name\":\"李\",\"secretWord\":\"***\",\"more\":{\"a\":[1],"
		      "\"secretWord\":\"***\"},\"collection\":\"people\"}");
	step = rig_step(id, "make"); /* by name; nothing that it need not have */
	assert_member(step, "output.name", "\"李\"");
	assert_member(step, "output.data", "missing");
	step = rig_step(id, "tell"); /* all: the input, what was made, its id; no secret */
	assert_member(step, "output.input.name", "\"李\"");
	assert_member(step, "output.input.more", "{\"a\":[1]}");
	assert_member(step, "output.input.secretWord", "missing");
	assert_member(step, "output.input.data", "missing"); /* a look makes nothing */
	assert_true(ar_json_path(step, AR_STR("output.input.thingId")) != NULL);
	assert_true(ar_json_equal(ar_json_path(step, AR_STR("output.input.thingId")),
				  ar_json_path(rig_step(id, "make"), AR_STR("output.id"))));
	step = rig_step(id, "beside"); /* what it does not wait for is not there */
	assert_member(step, "output.input.thingId", "missing");
	step = rig_step(id, "log");
	assert_true(ar_json_equal(ar_json_path(step, AR_STR("output.thingId")),
				  ar_json_path(step, AR_STR("output.data.thingId"))));
	assert_member(step, "output.data.name", "\"李\"");
	step = rig_step(id, "say"); /* an `input` of its own: that and nothing else */
	assert_member(step, "output", "{\"note\":\"say\",\"data\":{}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_versions),
		cmocka_unit_test(a_run_keeps_its_version),
		cmocka_unit_test(nobody_grants_what_they_lack),
		cmocka_unit_test(a_run_has_its_own_rights),
		cmocka_unit_test(refuses_sources),
		cmocka_unit_test(deletes),
		cmocka_unit_test(refuses_runs),
		cmocka_unit_test(the_context_fills_in),
	};

	return cmocka_run_group_tests(tests, rig_register, rig_forget);
}
