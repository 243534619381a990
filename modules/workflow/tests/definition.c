/*
 * definition.c - a definition as a graph: what it becomes, and what is refused where with which words.
 */
#include "tests/harness/test.h"
#include "workflow/tests/probe.h"

static struct ar_json *json_of(struct ar_pool *pool, const char *text)
{
	static const struct ar_json_limits limits = { 1 << 20, 64, 100000 };
	struct ar_json *json;

	if (text[0] == '{')
		assert_ok(ar_json_parse(pool, ar_str(text), &limits, &json));
	else
		assert_ok(workflow_yaml_read(pool, ar_str(text), &json));
	return json;
}

#define STEP(more) "{\"steps\":{\"a\":{\"action\":\"probe.note\",\"note\":\"n\"" more "}}}"

static void refuses(void **state)
{
	static const struct {
		const char *definition, *slug, *where, *reason; /* reason: a part of it */
	} rows[] = {
		{ "just text", "workflow/definition", "", "an object" },
		{ "{\"step\":{}}", "workflow/definition", "step", "not a part of a definition" },
		{ "{\"workflow\":5,\"steps\":{}}", "workflow/definition", "workflow",
		  "a text is wanted" },
		{ "{\"description\":[],\"steps\":{}}", "workflow/definition", "description",
		  "a text is wanted" },
		{ "{\"workflow\":\"x\"}", "workflow/definition", "steps", "1 to 256 steps" },
		{ "{\"steps\":{}}", "workflow/definition", "steps", "1 to 256 steps" },
		{ "{\"steps\":\"a\"}", "workflow/definition", "steps", "1 to 256 steps" },
		{ "{\"steps\":{\"a\":1}}", "workflow/definition", "steps.a", "an object" },
		{ "{\"steps\":[{\"action\":\"probe.idle\"}]}", "workflow/definition", "steps.0",
		  "a step's name" },
		{ "{\"steps\":[{\"name\":\"a\",\"action\":\"probe.idle\"},{\"name\":7}]}",
		  "workflow/definition", "steps.1.name", "a text is wanted" },
		{ "{\"steps\":{\"9a\":{}}}", "workflow/definition", "steps.9a", "a step's name" },
		{ "{\"steps\":{\"a b\":{}}}", "workflow/definition", "steps.a b", "a step's name" },
		{ "{\"steps\":{\"\":{}}}", "workflow/definition", "steps.", "a step's name" },
		{ "{\"steps\":{\"1. a\":{\"action\":\"probe.idle\"},\"2. a\":{}}}",
		  "workflow/definition", "steps.2. a", "two steps have this name" },
		{ "{\"steps\":{\"a\":{\"note\":\"n\"}}}", "workflow/definition", "steps.a",
		  "action is missing" },
		{ "{\"steps\":{\"a\":{\"service\":1,\"action\":\"x\"}}}", "workflow/definition",
		  "steps.a.service", "a text is wanted" },
		{ "{\"steps\":{\"a\":{\"service\":\"probe\",\"action\":\"nope\"}}}",
		  "action/unknown", NULL, NULL },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.http\"}}}", "action/face", NULL, NULL },
		{ STEP(",\"depends_on\":\"b\""), "workflow/definition", "steps.a.depends_on",
		  "there is no step b" },
		{ STEP(",\"depends_on\":[1]"), "workflow/definition", "steps.a.depends_on",
		  "a step's name" },
		{ "{\"steps\":{\"b\":{\"action\":\"probe.idle\"},\"a\":{\"action\":\"probe.idle\","
		  "\"depends_on\":[\"b\",\"b\"]}}}",
		  "workflow/definition", "steps.a.depends_on", "the same step twice" },
		{ STEP(",\"depends_on\":\"a\""), "workflow/cycle", NULL, NULL },
		{ STEP(",\"color\":1"), "workflow/definition", "steps.a.color",
		  "probe.note does not take this" },
		{ STEP(",\"input\":{\"color\":1}"), "workflow/definition", "steps.a.input.color",
		  "probe.note does not take this" },
		{ STEP(",\"input\":{\"note\":1}"), "workflow/definition", "steps.a.note",
		  "given twice" },
		{ STEP(",\"input\":[]"), "workflow/definition", "steps.a.input", "an object" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\",\"x\":1}}}", "workflow/definition",
		  "steps.a.x", "probe.idle does not take this" },
		{ STEP(",\"retry\":0"), "workflow/definition", "steps.a.retry", "1 to 100" },
		{ STEP(",\"retry\":101"), "workflow/definition", "steps.a.retry", "1 to 100" },
		{ STEP(",\"retry\":\"3\""), "workflow/definition", "steps.a.retry",
		  "a number of attempts" },
		{ STEP(",\"retry\":{\"attempts\":\"3\"}"), "workflow/definition",
		  "steps.a.retry.attempts", "a whole number" },
		{ STEP(",\"retry\":{\"backoff\":0.5}"), "workflow/definition", "steps.a.retry",
		  "backoff is 1 to 100" },
		{ STEP(",\"retry\":{\"delay\":\"soon\"}"), "workflow/definition",
		  "steps.a.retry.delay", "no duration" },
		{ STEP(",\"retry\":{\"max_delay\":-1}"), "workflow/definition",
		  "steps.a.retry.max_delay", "no duration" },
		{ STEP(",\"retry\":{\"tries\":3}"), "workflow/definition", "steps.a.retry.tries",
		  "not a part of retry" },
		{ STEP(",\"timeout\":0"), "workflow/definition", "steps.a.timeout", "no duration" },
		{ STEP(",\"timeout\":9223372036854775807"), "workflow/definition",
		  "steps.a.timeout", "no duration" },
		{ STEP(",\"timeout\":\"366d\""), "workflow/definition", "steps.a.timeout",
		  "no duration" },
		{ STEP(",\"on_error\":\"ignore\""), "workflow/definition", "steps.a.on_error",
		  "fail or continue" },
		{ STEP(",\"on_error\":1"), "workflow/definition", "steps.a.on_error",
		  "a text is wanted" },
		{ STEP(",\"when\":1"), "workflow/definition", "steps.a.when", "an expression" },
		{ STEP(",\"when\":\"input.a >\""), "workflow/definition", "steps.a.when",
		  "input.a >: " },
		{ STEP(",\"when\":\"1 + 1\""), "workflow/definition", "steps.a.when", "1 + 1: " },
		{ STEP(",\"when\":\"inptu.a = 1\""), "workflow/definition", "steps.a.when",
		  "There is no inptu" },
		{ STEP(",\"when\":\"steps.b.output = 1\""), "workflow/definition", "steps.a.when",
		  "a step that this one waits for" },
		{ STEP(",\"when\":\"steps.a.output = 1\""), "workflow/definition", "steps.a.when",
		  "a step that this one waits for" },
		{ STEP(",\"data\":{\"x\":[1,\"${input.y\"]}"), "workflow/definition",
		  "steps.a.data.x.1", "a ${ has no end" },
		{ STEP(",\"data\":{\"x\":\"${steps}\"}"), "workflow/definition", "steps.a.data.x",
		  "steps: " },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"output\":\"${steps.b.output}"
		  "\"}",
		  "workflow/definition", "output", "There is no steps.b" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"on\":5}", "workflow/definition",
		  "on", "a topic" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"on\":[\"a\",7]}",
		  "workflow/definition", "on", "a topic has 1 to 200" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"on\":[\"a b\"]}",
		  "workflow/definition", "on", "a topic has 1 to 200" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"permissions\":\"*\"}",
		  "workflow/definition", "permissions", "a list" },
		{ "{\"steps\":{\"a\":{\"action\":\"probe.idle\"}},\"permissions\":[\"\"]}",
		  "workflow/definition", "permissions", "1 to 128 bytes" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct workflow_graph graph;
		const char *text;

		ar_err_clear();
		if (workflow_graph_read(pool, json_of(pool, rows[i].definition), &graph) == 0)
			fail_msg("row %zu was read: %s", i, rows[i].definition);
		if (strcmp(ar_err()->def->slug, rows[i].slug) != 0)
			fail_msg("row %zu: %s, %s", i, ar_err()->def->slug, rows[i].definition);
		if (rows[i].where != NULL &&
		    strcmp(ar_err_param(ar_err(), "where"), rows[i].where) != 0)
			fail_msg("row %zu: at %s", i, ar_err_param(ar_err(), "where"));
		text = ar_strz(pool, ar_error_text(pool, AR_STR("en"), ar_err()));
		if (rows[i].reason != NULL && strstr(text, rows[i].reason) == NULL)
			fail_msg("row %zu: %s", i, text);
		text = ar_strz(pool, ar_error_text(pool, AR_STR("zh-CN"), ar_err()));
		if (rows[i].reason != NULL && rows[i].reason[0] != 0 &&
		    strstr(text, rows[i].reason) != NULL)
			fail_msg("row %zu: English in %s", i, text);
		ar_err_clear();
		ar_pool_free(pool);
	}
}

static void finds_circles(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct workflow_graph graph;

	assert_fails(workflow_graph_read(pool,
					 json_of(pool, "steps:\n"
						       "  a: {action: probe.idle, depends_on: c}\n"
						       "  b: {action: probe.idle, depends_on: a}\n"
						       "  c: {action: probe.idle, depends_on: b}\n"
						       "  d: {action: probe.idle}\n"),
					 &graph),
		     WORKFLOW_E_CYCLE);
	ar_pool_free(pool);
}

static void orders_steps(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct workflow_graph graph;
	struct workflow_step *last;

	assert_ok(workflow_graph_read(
		pool,
		json_of(pool, "workflow: w\n"
			      "steps:\n"
			      "  4. last: {action: probe.idle, depends_on: [3. right, left]}\n"
			      "  left: {action: probe.idle, depends_on: 1. first}\n"
			      "  3. right: {action: probe.idle, depends_on: first}\n"
			      "  1. first: {action: probe.idle}\n"
			      "  beside: {action: probe.idle}\n"),
		&graph));
	assert_int_equal(graph.nsteps, 5);
	last = workflow_step_find(&graph, AR_STR("last"));
	assert_non_null(last);
	assert_int_equal(last->nbefore, 3);
	assert_str(graph.steps[last->before[0]].name, "first");
	for (size_t o = 0; o < graph.nsteps; o++) {
		const struct workflow_step *step = &graph.steps[graph.order[o]];

		for (size_t k = 0; k < step->nneeds; k++) {
			bool earlier = false;

			for (size_t p = 0; p < o; p++)
				earlier = earlier || graph.order[p] == step->needs[k];
			assert_true(earlier);
		}
	}
	ar_pool_free(pool);
}

static void reads_parts(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct workflow_graph graph;
	const struct workflow_step *a, *b;

	assert_ok(workflow_graph_read(
		pool,
		json_of(pool,
			"name: w\ndescription: d\non: [x.*, y]\n"
			"permissions: [more:read, probe.write]\n"
			"steps:\n"
			"  - name: a\n    action: probe.note\n    note: n\n    timeout: 2m\n"
			"    on_error: continue\n    when: ${input.x = 1}\n"
			"    retry: {attempts: 7, delay: 1500ms, backoff: 1.5, max_delay: 1h}\n"
			"  - name: b\n    service: probe-alias\n    action: outside\n"
			"    note: n\n    input: {email: '${input.email}'}\n    retry: 2\n"
			"    depends_on: a\n    when: false\n"),
		&graph));
	assert_str(graph.name, "w");
	assert_str(graph.description, "d");
	assert_str(ar_json_print(pool, graph.events), "[\"x.*\",\"y\"]");
	assert_str(ar_json_print(pool, graph.permissions),
		   "[\"probe.write\",\"probe.act\",\"more:read\"]");
	assert_true(ar_who_may(graph.who, AR_STR("probe.act")));
	assert_false(ar_who_may(graph.who, AR_STR("probe.read")));
	a = &graph.steps[0];
	b = &graph.steps[1];
	assert_int_equal(a->timeout_ms, 120000);
	assert_true(a->goes_on && a->implicit && a->when != NULL);
	assert_int_equal(a->retry.attempts, 7);
	assert_int_equal(a->retry.delay_ms, 1500);
	assert_int_equal(a->retry.max_delay_ms, 3600000);
	assert_true(a->retry.backoff == 1.5);
	assert_string_equal(b->action->name, "probe.outside");
	assert_int_equal(b->retry.attempts, 2);
	assert_int_equal(b->retry.delay_ms, 1000);
	assert_true(!b->goes_on && !b->implicit && b->when != NULL);
	ar_pool_free(pool);
}

/* A key of 100 KB over ten thousand members must not cost a gigabyte. */
static void long_keys_are_cheap(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, (size_t)1 << 20);
	struct workflow_graph graph;
	struct ar_json *json;
	size_t before;

	ar_buf_z(buf, "{\"steps\":{\"a\":{\"action\":\"probe.note\",\"note\":\"n\",\"data\":{\"");
	for (int i = 0; i < 100000; i++)
		ar_buf_char(buf, 'k');
	ar_buf_z(buf, "\":[");
	for (int i = 0; i < 5000; i++)
		ar_buf_z(buf, "\"${input.a}\",");
	ar_buf_z(buf, "1]}}}}");
	assert_ok(ar_json_parse(pool, ar_buf_view(buf), &ar_json_limits_default, &json));
	before = ar_pool_size(pool);
	assert_ok(workflow_graph_read(pool, json, &graph));
	assert_in_range(ar_pool_size(pool) - before, 0, 16 << 20);
	ar_pool_free(pool);
}

static void knows_durations(void **state)
{
	static const struct {
		const char *json;
		int64_t ms; /* -1: none */
	} rows[] = {
		{ "\"250ms\"", 250 },
		{ "\"30s\"", 30000 },
		{ "\"5m\"", 300000 },
		{ "\"2h\"", 7200000 },
		{ "\"1d\"", 86400000 },
		{ "\"365d\"", INT64_C(31536000000) },
		{ "17", 17 },
		{ "\"0s\"", 0 },
		{ "\"366d\"", -1 },
		{ "\"s\"", -1 },
		{ "\"-1s\"", -1 },
		{ "\"1.5s\"", -1 },
		{ "\"1 s\"", -1 },
		{ "\"9223372036854775807d\"", -1 },
		{ "\"99999999999999999999s\"", -1 },
		{ "-5", -1 },
		{ "1.5", -1 },
		{ "true", -1 },
		{ "31536000001", -1 },
	};
	struct ar_pool *pool = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_json *json;
		int64_t ms = -1;

		assert_ok(
			ar_json_parse(pool, ar_str(rows[i].json), &ar_json_limits_default, &json));
		assert_int_equal(workflow_duration(json, &ms), rows[i].ms >= 0);
		assert_int_equal(ms, rows[i].ms);
	}
	ar_pool_free(pool);
}

static void finds_secrets(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct workflow_graph graph;

	assert_ok(workflow_graph_read(
		pool,
		json_of(pool, "steps:\n"
			      "  make: {action: probe.look, data: {}}\n"
			      "  a: {action: probe.create_thing, name: x,\n"
			      "      secretWord: '${input.user.pin}-${lower(input.codes.0)}'}\n"
			      "  b: {action: probe.create_thing, name: x, depends_on: make,\n"
			      "      secretWord: '${steps.make.output}'}\n"
			      "  c: {action: probe.create_thing, name: x, depends_on: make,\n"
			      "      secretWord: '${steps.make.output.data.token}'}\n"),
		&graph));
	assert_str(ar_json_print(pool, graph.secrets),
		   "{\"secretWord\":true,\"pin\":true,\"codes\":true,\"token\":true}");
	assert_true(graph.steps[0].hidden);
	assert_false(graph.steps[1].hidden);
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(finds_circles),
		cmocka_unit_test(orders_steps),
		cmocka_unit_test(reads_parts),
		cmocka_unit_test(long_keys_are_cheap),
		cmocka_unit_test(knows_durations),
		cmocka_unit_test(finds_secrets),
	};
	int failed;

	ar_action_register(&probe_module);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ar_action_done();
	return failed;
}
