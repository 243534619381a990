/*
 * libFuzzer: YAML text as JSON values, and what was read as a workflow's definition.
 *
 * What is read is valid (texts, depth, finite numbers): written as JSON and read again it must be
 * equal. A definition that is taken has an order in which each step comes after all that it needs.
 * Run: build-fuzz/tests/fuzz/fuzz_yaml -max_total_time=60
 */
#include "workflow/workflow_int.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *const seeds[] = {
	"workflow: w\nsteps:\n  1. a:\n      service: fuzz\n      action: act\n      note: n\n"
	"  2. b:\n      action: fuzz.act\n      depends_on: a\n      when: steps.a.output.x = 1\n",
	"on: [a.*, b]\npermissions: [x]\nsteps:\n  - name: a\n    action: fuzz.act\n    retry:\n"
	"      {attempts: 3, delay: 2s, backoff: 1.5, max_delay: 1h}\n    timeout: 5m\n"
	"    on_error: continue\n    input: {secret: '${input.user.pin}', data: {x: [1, ~, .5]}}\n"
	"output: {a: '${steps.a.output} and ${input.b}'}\n",
	"a: |\n  two\n  lines\nb: >-\n  folded\n  text\nc: \"\\u4f60\\x41\\n\"\nd: 'it''s'\n",
	"[0x1F, 0o17, +7, -1e3, .5, 5., 1_000, true, ~, 2026-11-24, 12:30]",
	"? a\n: b\n? [x]\n: y\n--- \n&a *a !!str x\n",
	"{\"steps\":{\"a\":{\"action\":\"fuzz.act\",\"depends_on\":[\"a\"]}}}",
};

static int act(struct ar_call *call)
{
	return ar_reply_none(call);
}

static const struct ar_field in[] = {
	AR_FIELD_FREE("note", AR_F_TEXT),
	AR_FIELD_FREE("data", AR_F_OBJECT, .otherwise = "{}"),
	AR_FIELD_FREE("secret", AR_F_TEXT, .secret = true),
	{ 0 },
};
static const struct ar_action actions[] = {
	{ "fuzz.act", "POST /fuzz", "fuzz.act", .in = in, .run = act, .flags = AR_A_WRITE },
	{ 0 },
};
static const struct ar_module module = { .name = "fuzz", .actions = actions };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	ar_action_register(&module);
	return 0;
}

FUZZ_SEEDS(seeds)

static void check_value(struct ar_pool *pool, const struct ar_json *json)
{
	struct ar_str text = ar_json_print(pool, json);
	struct ar_json *again;

	if (!ar_utf8_valid(text) ||
	    ar_json_parse(pool, text, &ar_json_limits_default, &again) != 0 ||
	    !ar_json_equal(json, again))
		abort();
}

static void check_graph(const struct workflow_graph *graph)
{
	char seen[WORKFLOW_STEPS_MAX] = { 0 };

	for (size_t o = 0; o < graph->nsteps; o++) {
		const struct workflow_step *step = &graph->steps[graph->order[o]];

		for (size_t k = 0; k < step->nneeds; k++)
			if (!seen[step->needs[k]])
				abort();
		for (size_t k = 0; k < step->nbefore; k++)
			if (!seen[step->before[k]])
				abort();
		if (seen[graph->order[o]]++ || step->action == NULL)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_pool *pool = ar_pool_new();
	struct workflow_graph graph;
	struct ar_json *json;

	if (workflow_yaml_read(pool, ar_str_n((const char *)data, size), &json) == 0) {
		check_value(pool, json);
		if (workflow_graph_read(pool, json, &graph) == 0)
			check_graph(&graph);
	}
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}
