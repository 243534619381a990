/*
 * definition.c - a definition's JSON form as a graph: which steps there are, what each waits for, what
 * a run may do.
 *
 * Steps are an object by name or an array with names; a leading "1. " of a name is for readers. First
 * names, then dependencies and their order, then each step's parts (define_step.c), because a step's
 * expressions may name the steps before it and no others.
 *
 * What a run may do is the union of what its actions ask for and of what `permissions` lists, no more;
 * whoever deploys it must have all of that, so a definition grants nothing in silence.
 */
#include "workflow/workflow_int.h"

static const struct workflow_where top = { 0 };

/* ---- places and texts ---- */

static void where_write(struct ar_buf *buf, const struct workflow_where *where)
{
	if (where->in != NULL) {
		where_write(buf, where->in);
		if (buf->n > 0)
			ar_buf_char(buf, '.');
	}
	if (where->name.p != NULL)
		ar_buf_str(buf, ar_utf8_head(where->name, 80));
	else if (where->in != NULL)
		ar_buf_int(buf, (int64_t)where->index);
}

const char *workflow_where_text(struct ar_pool *pool, const struct workflow_where *where)
{
	struct ar_buf *buf = ar_buf_new(pool, 4096);

	where_write(buf, where);
	return ar_strz(pool, ar_buf_view(buf));
}

int workflow_bad(const struct workflow_where *where, const char *reason)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	return ar_fail(WORKFLOW_E_DEFINITION, "where", workflow_where_text(pool, where), "reason",
		       reason);
}

int workflow_bad_name(const struct workflow_where *where, const char *reason, struct ar_str name)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	return ar_fail(WORKFLOW_E_DEFINITION, "where", workflow_where_text(pool, where), "reason",
		       reason, "name", ar_strz(pool, name));
}

int workflow_text(const struct ar_json *json, const char *key, const struct workflow_where *where,
		  struct ar_str *ret)
{
	const struct ar_json *value = ar_json_get(json, key);
	struct workflow_where at = { .in = where, .name = ar_str(key) };

	if (value == NULL || value->type == AR_NULL)
		return 0;
	if (value->type != AR_STRING)
		return workflow_bad(&at, "a text is wanted");
	*ret = value->s;
	return 0;
}

/* ---- steps' names ---- */

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

/* A name is also a part of a path in expressions. */
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

struct workflow_step *workflow_step_find(const struct workflow_graph *graph, struct ar_str name)
{
	for (size_t i = 0; i < graph->nsteps; i++)
		if (ar_str_eq(graph->steps[i].name, name))
			return &graph->steps[i];
	return NULL;
}

static int name_read(struct workflow_graph *graph, const struct ar_json *json, bool named,
		     const struct workflow_where *where)
{
	struct ar_str name = named ? AR_STR("") : json->key;

	if (json->type != AR_OBJECT)
		return workflow_bad(where, "a step is an object");
	if (named && workflow_text(json, "name", where, &name) != 0)
		return -1;
	name = plain_name(name);
	if (!name_valid(name))
		return workflow_bad(where, "a step's name begins with a letter and has letters, "
					   "digits, _ and -, 64 at most");
	if (workflow_step_find(graph, name) != NULL)
		return workflow_bad(where, "two steps have this name");
	graph->steps[graph->nsteps++].name = ar_str_dup(graph->pool, name);
	return 0;
}

static int names_read(struct workflow_graph *graph, const struct ar_json *steps)
{
	struct workflow_where where = { .in = &top, .name = AR_STR("steps") };
	size_t index = 0;

	if (steps == NULL || (steps->type != AR_OBJECT && steps->type != AR_ARRAY) ||
	    steps->count == 0 || steps->count > WORKFLOW_STEPS_MAX)
		return workflow_bad(&where, "1 to 256 steps are needed");
	graph->steps = ar_new_n(graph->pool, struct workflow_step, steps->count);
	ar_json_each (json, steps) {
		struct workflow_where at = { .in = &where, .index = index++ };

		if (steps->type == AR_OBJECT)
			at.name = json->key.n > 0 ? json->key : AR_STR("");
		if (name_read(graph, json, steps->type == AR_ARRAY, &at) != 0)
			return -1;
	}
	return 0;
}

/* ---- what waits for what ---- */

static int need_add(struct workflow_graph *graph, struct workflow_step *step,
		    const struct ar_json *name, const struct workflow_where *where)
{
	struct workflow_step *needed;

	if (name->type != AR_STRING)
		return workflow_bad(where, "a step's name or a list of them");
	needed = workflow_step_find(graph, plain_name(name->s));
	if (needed == NULL)
		return workflow_bad_name(where, "no-step", ar_utf8_head(name->s, 64));
	for (size_t k = 0; k < step->nneeds; k++)
		if (step->needs[k] == (size_t)(needed - graph->steps))
			return workflow_bad(where, "the same step twice");
	step->needs[step->nneeds++] = (size_t)(needed - graph->steps);
	return 0;
}

static int needs_read(struct workflow_graph *graph, const struct ar_json *steps)
{
	struct workflow_where in = { .in = &top, .name = AR_STR("steps") };
	struct workflow_step *step = graph->steps;

	ar_json_each (json, steps) {
		struct workflow_where at = { .in = &in, .name = step->name };
		struct workflow_where where = { .in = &at, .name = AR_STR("depends_on") };
		const struct ar_json *needs = ar_json_get(json, "depends_on");

		step->needs = ar_new_n(graph->pool, size_t, graph->nsteps);
		if (needs != NULL && needs->type == AR_ARRAY) {
			ar_json_each (name, needs)
				if (need_add(graph, step, name, &where) != 0)
					return -1;
		} else if (needs != NULL && needs->type != AR_NULL) {
			if (need_add(graph, step, needs, &where) != 0)
				return -1;
		}
		step++;
	}
	return 0;
}

/* Depth first; a step met again while it is open is a cycle. */
static int visit(struct workflow_graph *graph, size_t i, char *marks, size_t *n)
{
	const struct workflow_step *step = &graph->steps[i];

	if (marks[i] == 2)
		return 0;
	if (marks[i] == 1)
		return ar_fail(WORKFLOW_E_CYCLE, "step", ar_strz(graph->pool, step->name));
	marks[i] = 1;
	for (size_t k = 0; k < step->nneeds; k++)
		if (visit(graph, step->needs[k], marks, n) != 0)
			return -1;
	marks[i] = 2;
	graph->order[(*n)++] = i;
	return 0;
}

/* Backwards through the order: a step is before this one when one that is needs it. */
static void before_make(struct workflow_graph *graph, struct workflow_step *step, char *marks)
{
	memset(marks, 0, graph->nsteps);
	for (size_t k = 0; k < step->nneeds; k++)
		marks[step->needs[k]] = 1;
	for (size_t o = graph->nsteps; o-- > 0;) {
		const struct workflow_step *earlier = &graph->steps[graph->order[o]];

		for (size_t k = 0; marks[graph->order[o]] && k < earlier->nneeds; k++)
			marks[earlier->needs[k]] = 1;
	}
	step->before = ar_new_n(graph->pool, size_t, graph->nsteps);
	for (size_t o = 0; o < graph->nsteps; o++)
		if (marks[graph->order[o]])
			step->before[step->nbefore++] = graph->order[o];
}

static int order_make(struct workflow_graph *graph)
{
	char *marks = ar_new_n(graph->pool, char, graph->nsteps);
	size_t n = 0;

	graph->order = ar_new_n(graph->pool, size_t, graph->nsteps);
	for (size_t i = 0; i < graph->nsteps; i++)
		if (visit(graph, i, marks, &n) != 0)
			return -1;
	for (size_t i = 0; i < graph->nsteps; i++)
		before_make(graph, &graph->steps[i], marks);
	return 0;
}

static int steps_read(struct workflow_graph *graph, const struct ar_json *steps)
{
	struct workflow_step *step;

	if (names_read(graph, steps) != 0 || needs_read(graph, steps) != 0 ||
	    order_make(graph) != 0)
		return -1;
	step = graph->steps;
	ar_json_each (json, steps)
		if (workflow_step_read(graph, step++, json, steps->type == AR_ARRAY) != 0)
			return -1;
	return 0;
}

/* ---- rights and secrets ---- */

static void permission_add(struct workflow_graph *graph, struct ar_str name)
{
	ar_json_each (p, graph->permissions)
		if (ar_str_eq(p->s, name))
			return;
	ar_json_add(graph->permissions, ar_json_str(graph->pool, name));
}

static void permissions_of(struct workflow_graph *graph, const struct ar_action *action)
{
	struct ar_str left = ar_str(action->wants != NULL ? action->wants : "");

	if (strlen(action->allow) > 1)
		permission_add(graph, ar_str(action->allow));
	while (left.n > 0)
		permission_add(graph, ar_str_cut(&left, ' '));
}

static int permissions_make(struct workflow_graph *graph, const struct ar_json *more)
{
	struct workflow_where where = { .in = &top, .name = AR_STR("permissions") };

	for (size_t i = 0; i < graph->nsteps; i++) {
		const struct workflow_step *step = &graph->steps[i];

		permissions_of(graph, step->action);
		for (const struct ar_field *f = step->action->in; f != NULL && f->name; f++) {
			if (!f->secret)
				continue;
			ar_json_set(graph->secrets, ar_str(f->name),
				    ar_json_bool(graph->pool, true));
			workflow_value_secret(graph, step->input, ar_str(f->name));
		}
	}
	if (more == NULL || more->type == AR_NULL)
		return 0;
	if (more->type != AR_ARRAY || more->count > 100)
		return workflow_bad(&where, "a list of at most 100 texts");
	ar_json_each (p, more) {
		if (p->type != AR_STRING || p->s.n == 0 || p->s.n > 128)
			return workflow_bad(&where, "a permission is a text of 1 to 128 bytes");
		permission_add(graph, ar_str_dup(graph->pool, p->s));
	}
	return 0;
}

static bool topic_good(const struct ar_json *topic)
{
	if (topic->type != AR_STRING || topic->s.n == 0 || topic->s.n > 200)
		return false;
	for (size_t i = 0; i < topic->s.n; i++) {
		char c = topic->s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c != 0 && strchr("_.:*-", c) != NULL)))
			return false;
	}
	return true;
}

static int events_read(struct workflow_graph *graph, const struct ar_json *on)
{
	struct workflow_where where = { .in = &top, .name = AR_STR("on") };

	if (on == NULL || on->type == AR_NULL)
		return 0;
	if (on->type == AR_STRING) {
		ar_json_add(graph->events, ar_json_copy(graph->pool, on));
	} else if (on->type == AR_ARRAY && on->count <= 16) {
		ar_json_each (topic, on)
			ar_json_add(graph->events, ar_json_copy(graph->pool, topic));
	} else {
		return workflow_bad(&where, "a topic or up to 16 of them");
	}
	ar_json_each (topic, graph->events)
		if (!topic_good(topic))
			return workflow_bad(&where,
					    "a topic has 1 to 200 letters, digits and _ . : * -");
	return 0;
}

/* ---- the whole ---- */

static int members_known(const struct ar_json *definition)
{
	static const char *const words[] = { "workflow", "name",   "description", "steps",
					     "on",       "output", "permissions", "version" };

	ar_json_each (m, definition) {
		struct workflow_where where = { .in = &top, .name = m->key };
		bool known = false;

		for (size_t i = 0; i < AR_COUNT(words) && !known; i++)
			known = ar_str_is(m->key, words[i]);
		if (!known)
			return workflow_bad(&where, "is not a part of a definition");
	}
	return 0;
}

static int head_read(struct workflow_graph *graph, const struct ar_json *definition)
{
	struct ar_str name = AR_STR(""), description = AR_STR("");

	if (workflow_text(definition, "name", &top, &name) != 0 ||
	    workflow_text(definition, "workflow", &top, &name) != 0 ||
	    workflow_text(definition, "description", &top, &description) != 0)
		return -1;
	graph->name = ar_str_dup(graph->pool, name);
	graph->description = ar_str_dup(graph->pool, ar_utf8_head(description, 4096));
	return 0;
}

int workflow_graph_read(struct ar_pool *pool, const struct ar_json *definition,
			struct workflow_graph *ret)
{
	static const struct workflow_where at_output = { .in = &top, .name = { "output", 6 } };
	struct workflow_reader reader = { .graph = ret };
	const struct ar_json *output;

	*ret = (struct workflow_graph){ .pool = pool,
					.events = ar_json_new(pool, AR_ARRAY),
					.permissions = ar_json_new(pool, AR_ARRAY),
					.secrets = ar_json_new(pool, AR_OBJECT) };
	if (definition->type != AR_OBJECT)
		return workflow_bad(&top, "a definition is an object");
	if (members_known(definition) != 0 || head_read(ret, definition) != 0 ||
	    steps_read(ret, ar_json_get(definition, "steps")) != 0 ||
	    events_read(ret, ar_json_get(definition, "on")) != 0 ||
	    permissions_make(ret, ar_json_get(definition, "permissions")) != 0)
		return -1;
	output = ar_json_get(definition, "output");
	if (output != NULL && output->type != AR_NULL &&
	    workflow_value_read(&reader, output, &at_output, &ret->output) != 0)
		return -1;
	ret->who = ar_who_limited(pool, AR_WHO_WORKFLOW, ret->name, ret->permissions);
	return 0;
}
