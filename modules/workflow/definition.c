/*
 * definition.c - a definition's JSON form as a graph: steps, what each needs, what each may do.
 *
 * Steps are an object by name or an array with names; a leading "1. " of a name is for readers. A
 * step says `service` and `action` (or `action: "auth.create_user"`), what it waits for, when, how
 * often; every other member is an input of the action. What a run may do is the union of what its
 * actions ask for, no more, so that a definition grants itself nothing in silence: whoever deploys
 * it must have all of that.
 */
#include "workflow/workflow_int.h"

#define RETRY_DEFAULT { .attempts = 5, .delay_ms = 1000, .max_delay_ms = 60000, .backoff = 2.0 }

static int bad(struct ar_pool *pool, const char *where, const char *reason)
{
	return ar_fail(WORKFLOW_E_DEFINITION, "where", ar_printf(pool, "%s", where), "reason", reason);
}

bool workflow_duration(const struct ar_json *value, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
		      { "h", 3600000 }, { "d", 86400000 } };
	int64_t n;

	if (value->type == AR_INT && value->i >= 0) {
		*ret_ms = value->i;
		return true;
	}
	if (value->type != AR_STRING)
		return false;
	for (size_t i = 0; i < AR_COUNT(units); i++) {
		struct ar_str unit = ar_str(units[i].unit);

		if (ar_str_ends(value->s, unit) &&
		    ar_str_int(ar_str_sub(value->s, 0, value->s.n - unit.n), &n) && n >= 0 &&
		    n <= INT32_MAX) {
			*ret_ms = n * units[i].ms;
			return true;
		}
	}
	return false;
}

/* "1. validate_input" is validate_input */
static struct ar_str plain_name(struct ar_str name)
{
	size_t i = 0;

	while (i < name.n && name.p[i] >= '0' && name.p[i] <= '9')
		i++;
	if (i == 0 || i >= name.n || name.p[i] != '.')
		return name;
	return ar_str_trim(ar_str_sub(name, i + 1, name.n));
}

static bool name_valid(struct ar_str name)
{
	if (name.n == 0 || name.n > 64)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      (i > 0 && ((c >= '0' && c <= '9') || c == '-'))))
			return false;
	}
	return true;
}

static struct workflow_step *step_find(const struct workflow_graph *graph, struct ar_str name)
{
	for (size_t i = 0; i < graph->nsteps; i++)
		if (ar_str_eq(graph->steps[i].name, name))
			return &graph->steps[i];
	return NULL;
}

static int action_read(struct ar_pool *pool, struct workflow_step *step, const struct ar_json *json,
		       const char *where)
{
	struct ar_str service = ar_json_text(json, "service", AR_STR(""));
	struct ar_str action = ar_json_text(json, "action", AR_STR(""));

	if (action.n == 0)
		return bad(pool, where, "action is missing");
	if (service.n > 0)
		action = ar_strf(pool, "%.*s.%.*s", AR_FMT(service), AR_FMT(action));
	step->action = ar_action_find(action);
	if (step->action == NULL)
		return ar_fail(AR_E_ACTION_UNKNOWN, "action", ar_strz(pool, action));
	if (step->action->flags & (AR_A_REST_ONLY | AR_A_PLATFORM | AR_A_SECRET_OUT))
		return ar_fail(AR_E_ACTION_FACE, "action", ar_strz(pool, action));
	return 0;
}

static int retry_read(struct ar_pool *pool, struct workflow_step *step, const struct ar_json *json,
		      const char *where)
{
	const struct ar_json *retry = ar_json_get(json, "retry"), *value;

	step->retry = (struct workflow_retry)RETRY_DEFAULT;
	if (retry == NULL)
		return 0;
	if (retry->type == AR_INT) {
		step->retry.attempts = retry->i;
	} else if (retry->type == AR_OBJECT) {
		step->retry.attempts = ar_json_number(retry, "attempts", step->retry.attempts);
		value = ar_json_get(retry, "delay");
		if (value != NULL && !workflow_duration(value, &step->retry.delay_ms))
			return bad(pool, where, "retry.delay is no duration");
		value = ar_json_get(retry, "max_delay");
		if (value != NULL && !workflow_duration(value, &step->retry.max_delay_ms))
			return bad(pool, where, "retry.max_delay is no duration");
		value = ar_json_get(retry, "backoff");
		if (value != NULL)
			step->retry.backoff = value->type == AR_FLOAT ? value->f
					      : value->type == AR_INT ? (double)value->i
								      : 0;
	} else {
		return bad(pool, where, "retry is a number of attempts or an object");
	}
	if (step->retry.attempts < 1 || step->retry.attempts > 100 || step->retry.backoff < 1 ||
	    step->retry.backoff > 100)
		return bad(pool, where, "retry is out of range");
	return 0;
}

static int options_read(struct ar_pool *pool, struct workflow_step *step, const struct ar_json *json,
			const char *where)
{
	const struct ar_json *timeout = ar_json_get(json, "timeout");
	const struct ar_json *when = ar_json_get(json, "when");
	struct ar_str on_error = ar_json_text(json, "on_error", AR_STR("fail"));

	if (timeout != NULL &&
	    (!workflow_duration(timeout, &step->timeout_ms) || step->timeout_ms == 0))
		return bad(pool, where, "timeout is no duration");
	if (!ar_str_is(on_error, "fail") && !ar_str_is(on_error, "continue"))
		return bad(pool, where, "on_error is fail or continue");
	step->goes_on = ar_str_is(on_error, "continue");
	if (when != NULL && when->type != AR_STRING)
		return bad(pool, where, "when is an expression");
	if (when != NULL && workflow_test_read(pool, when->s, where, &step->when) != 0)
		return -1;
	return retry_read(pool, step, json, where);
}

/* `input`, or the members of the step that are none of its own words. */
static int input_read(struct ar_pool *pool, struct workflow_step *step, const struct ar_json *json,
		      const char *where)
{
	static const char *const words[] = { "name",  "service", "action", "depends_on", "when",
					     "input", "retry",   "timeout", "on_error",  "description" };
	struct ar_json *input = ar_json_new(pool, AR_OBJECT);
	const struct ar_json *explicit = ar_json_get(json, "input");

	step->implicit = explicit == NULL;
	if (explicit != NULL && explicit->type != AR_OBJECT)
		return bad(pool, where, "input is an object");
	if (explicit != NULL)
		ar_json_each(m, explicit)
			ar_json_set(input, m->key, ar_json_copy(pool, m));
	ar_json_each(m, json) {
		bool word = false;

		for (size_t i = 0; i < AR_COUNT(words) && !word; i++)
			word = ar_str_is(m->key, words[i]);
		if (!word && ar_json_get_str(input, m->key) == NULL)
			ar_json_set(input, m->key, ar_json_copy(pool, m));
	}
	if (step->action->in != NULL)
		ar_json_each(m, input)
			if (ar_fields_find(step->action->in, m->key) == NULL)
				return bad(pool, where,
					   ar_printf(pool, "%s takes no %.*s", step->action->name,
						     AR_FMT(m->key)));
	return workflow_value_read(pool, input, where, &step->input);
}

static int step_read(struct ar_pool *pool, struct workflow_graph *graph, struct ar_str name,
		     const struct ar_json *json)
{
	struct workflow_step *step = &graph->steps[graph->nsteps];
	const char *where;

	name = plain_name(name);
	where = ar_printf(pool, "steps.%.*s", AR_FMT(name));
	if (!name_valid(name))
		return bad(pool, where, "a step's name has letters, digits, _ and -");
	if (step_find(graph, name) != NULL)
		return bad(pool, where, "two steps have this name");
	if (json->type != AR_OBJECT)
		return bad(pool, where, "a step is an object");
	step->name = ar_str_dup(pool, name);
	if (action_read(pool, step, json, where) != 0 || options_read(pool, step, json, where) != 0 ||
	    input_read(pool, step, json, where) != 0)
		return -1;
	graph->nsteps++;
	return 0;
}

static int steps_read(struct ar_pool *pool, struct workflow_graph *graph, const struct ar_json *steps)
{
	if (steps == NULL || (steps->type != AR_OBJECT && steps->type != AR_ARRAY) ||
	    steps->count == 0 || steps->count > WORKFLOW_STEPS_MAX)
		return bad(pool, "steps", "1 to 256 steps are needed");
	graph->steps = ar_new_n(pool, struct workflow_step, steps->count);
	ar_json_each(json, steps) {
		struct ar_str name = steps->type == AR_OBJECT
					     ? json->key
					     : (json->type == AR_OBJECT
							? ar_json_text(json, "name", AR_STR(""))
							: AR_STR(""));

		if (step_read(pool, graph, name, json) != 0)
			return -1;
	}
	return 0;
}

static int need_add(struct ar_pool *pool, struct workflow_graph *graph, struct workflow_step *step,
		    const struct ar_json *name)
{
	const char *where = ar_printf(pool, "steps.%.*s.depends_on", AR_FMT(step->name));
	struct workflow_step *needed;

	if (name->type != AR_STRING)
		return bad(pool, where, "a step's name or a list of them");
	needed = step_find(graph, plain_name(name->s));
	if (needed == NULL)
		return bad(pool, where, ar_printf(pool, "no step %.*s", AR_FMT(name->s)));
	step->needs[step->nneeds++] = (size_t)(needed - graph->steps);
	return 0;
}

static int needs_read(struct ar_pool *pool, struct workflow_graph *graph, const struct ar_json *steps)
{
	struct workflow_step *step = graph->steps;

	ar_json_each(json, steps) {
		const struct ar_json *needs = ar_json_get(json, "depends_on");

		step->needs = ar_new_n(pool, size_t, needs != NULL ? needs->count + 1 : 1);
		if (needs != NULL && needs->type == AR_ARRAY) {
			ar_json_each(name, needs)
				if (need_add(pool, graph, step, name) != 0)
					return -1;
		} else if (needs != NULL && needs->type != AR_NULL) {
			if (need_add(pool, graph, step, needs) != 0)
				return -1;
		}
		step++;
	}
	return 0;
}

/* Depth first; a step met again while it is open is a cycle. */
static int visit(struct ar_pool *pool, struct workflow_graph *graph, size_t i, char *marks, size_t *n)
{
	const struct workflow_step *step = &graph->steps[i];

	if (marks[i] == 2)
		return 0;
	if (marks[i] == 1)
		return ar_fail(WORKFLOW_E_CYCLE, "step", ar_strz(pool, step->name));
	marks[i] = 1;
	for (size_t k = 0; k < step->nneeds; k++)
		if (visit(pool, graph, step->needs[k], marks, n) != 0)
			return -1;
	marks[i] = 2;
	graph->order[(*n)++] = i;
	return 0;
}

static int order_make(struct ar_pool *pool, struct workflow_graph *graph)
{
	char *marks = ar_new_n(pool, char, graph->nsteps);
	size_t n = 0;

	graph->order = ar_new_n(pool, size_t, graph->nsteps);
	for (size_t i = 0; i < graph->nsteps; i++)
		if (visit(pool, graph, i, marks, &n) != 0)
			return -1;
	for (size_t i = 0; i < graph->nsteps; i++) {
		struct workflow_step *step = &graph->steps[i];
		size_t own = 0;

		memset(marks, 0, graph->nsteps);
		step->before = ar_new_n(pool, size_t, graph->nsteps);
		/* Backwards through the order: a step is before this one when one after it needs it. */
		for (size_t k = 0; k < step->nneeds; k++)
			marks[step->needs[k]] = 1;
		for (size_t o = graph->nsteps; o-- > 0;)
			if (marks[graph->order[o]])
				for (size_t k = 0; k < graph->steps[graph->order[o]].nneeds; k++)
					marks[graph->steps[graph->order[o]].needs[k]] = 1;
		for (size_t o = 0; o < graph->nsteps; o++)
			if (marks[graph->order[o]])
				step->before[own++] = graph->order[o];
		step->nbefore = own;
	}
	return 0;
}

static void permission_add(struct ar_pool *pool, struct workflow_graph *graph, struct ar_str name)
{
	ar_json_each(p, graph->permissions)
		if (ar_str_eq(p->s, name))
			return;
	ar_json_add(graph->permissions, ar_json_str(pool, name));
}

/* A function is called by a permission that the action's row cannot name. */
#define CALLS_FUNCTIONS "functions.execute"

static int permissions_make(struct ar_pool *pool, struct workflow_graph *graph,
			    const struct ar_json *more)
{
	graph->permissions = ar_json_new(pool, AR_ARRAY);
	graph->secrets = ar_json_new(pool, AR_OBJECT);
	for (size_t i = 0; i < graph->nsteps; i++) {
		const struct ar_action *action = graph->steps[i].action;

		if (strlen(action->allow) > 1)
			permission_add(pool, graph, ar_str(action->allow));
		if (strcmp(action->name, CALLS_FUNCTIONS) == 0)
			permission_add(pool, graph, AR_STR("functions.call"));
		for (const struct ar_field *f = action->in; f != NULL && f->name != NULL; f++)
			if (f->secret)
				ar_json_set(graph->secrets, ar_str(f->name), ar_json_bool(pool, true));
	}
	if (more == NULL)
		return 0;
	if (more->type != AR_ARRAY || more->count > 100)
		return bad(pool, "permissions", "a list of texts");
	ar_json_each(p, more) {
		if (p->type != AR_STRING || p->s.n == 0 || p->s.n > 128)
			return bad(pool, "permissions", "a list of texts");
		permission_add(pool, graph, ar_str_dup(pool, p->s));
	}
	return 0;
}

static int events_read(struct ar_pool *pool, struct workflow_graph *graph, const struct ar_json *on)
{
	graph->events = ar_json_new(pool, AR_ARRAY);
	if (on == NULL || on->type == AR_NULL)
		return 0;
	if (on->type == AR_STRING) {
		ar_json_add(graph->events, ar_json_copy(pool, on));
	} else if (on->type == AR_ARRAY && on->count <= 16) {
		ar_json_each(topic, on)
			ar_json_add(graph->events, ar_json_copy(pool, topic));
	} else {
		return bad(pool, "on", "a topic or up to 16 of them");
	}
	ar_json_each(topic, graph->events)
		if (topic->type != AR_STRING || topic->s.n == 0 || topic->s.n > 200)
			return bad(pool, "on", "a topic is a text");
	return 0;
}

static int members_known(struct ar_pool *pool, const struct ar_json *definition)
{
	static const char *const words[] = { "workflow", "name",   "description", "steps", "on",
					     "output",   "permissions", "version" };

	ar_json_each(m, definition) {
		bool known = false;

		for (size_t i = 0; i < AR_COUNT(words) && !known; i++)
			known = ar_str_is(m->key, words[i]);
		if (!known)
			return bad(pool, ar_strz(pool, m->key), "is not a part of a definition");
	}
	return 0;
}

int workflow_graph_read(struct ar_pool *pool, const struct ar_json *definition,
			struct workflow_graph *ret)
{
	struct workflow_graph graph = { .pool = pool };
	const struct ar_json *steps, *output;

	if (definition->type != AR_OBJECT)
		return bad(pool, "", "a definition is an object");
	if (members_known(pool, definition) != 0)
		return -1;
	graph.name = ar_str_dup(pool, ar_json_text(definition, "workflow",
						   ar_json_text(definition, "name", AR_STR(""))));
	graph.description =
		ar_str_dup(pool, ar_json_text(definition, "description", AR_STR("")));
	steps = ar_json_get(definition, "steps");
	output = ar_json_get(definition, "output");
	if (steps_read(pool, &graph, steps) != 0 || needs_read(pool, &graph, steps) != 0 ||
	    order_make(pool, &graph) != 0 ||
	    events_read(pool, &graph, ar_json_get(definition, "on")) != 0 ||
	    permissions_make(pool, &graph, ar_json_get(definition, "permissions")) != 0)
		return -1;
	if (output != NULL && workflow_value_read(pool, output, "output", &graph.output) != 0)
		return -1;
	graph.who = ar_who_limited(pool, AR_WHO_WORKFLOW, graph.name, graph.permissions);
	*ret = graph;
	return 0;
}
