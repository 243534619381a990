/*
 * value.c - values with ${expressions} in them: read once with the definition, made for each step.
 *
 * A text that is one whole ${...} keeps the expression's type; around other text it is printed. What
 * expressions see: `input` of the run, `steps.NAME` (status, output, error), `run` (id, workflow,
 * event). A step's expressions may name only steps that it waits for: what runs beside it would be
 * there or not as it happens, and a run that is taken up again would end in another way.
 *
 * What is made for one step has a limit, since ten thousand ${input} of a megabyte are easily written.
 */
#include "workflow/workflow_int.h"

struct part { /* of a text: the literal, then the expression (NULL in the last one) */
	struct ar_str text;
	struct ar_expr *expr;
	struct part *next;
};

struct workflow_value {
	enum { VALUE_LITERAL, VALUE_EXPR, VALUE_TEXT, VALUE_ARRAY, VALUE_OBJECT } kind;
	const struct ar_json *literal;
	struct ar_expr *expr;
	struct part *parts;
	struct workflow_value *first, *next; /* members */
	struct ar_str key;
};

/* ---- reading ---- */

static const char *const roots[] = { "input", "run", NULL };
static const char *const run_members[] = { "id", "workflow", "event", NULL };
static const char *const *const members[] = { NULL, run_members };

static bool step_known(const struct workflow_reader *reader, size_t index)
{
	if (reader->step == NULL)
		return true;
	for (size_t k = 0; k < reader->step->nbefore; k++)
		if (reader->step->before[k] == index)
			return true;
	return false;
}

/* steps.NAME: the rest of the path is in its JSON. */
static bool step_field(void *arg, const struct ar_str *parts, size_t nparts,
		       struct ar_expr_field *ret)
{
	const struct workflow_reader *reader = arg;
	const struct workflow_step *step;

	if (nparts < 2 || !ar_str_is(parts[0], "steps"))
		return false;
	step = workflow_step_find(reader->graph, parts[1]);
	if (step == NULL || !step_known(reader, (size_t)(step - reader->graph->steps)))
		return false;
	*ret = (struct ar_expr_field){ .type = AR_X_JSON,
				       .used = 2,
				       .id = (int)(step - reader->graph->steps) };
	return true;
}

/* Over the expression's own error, which stays below. */
static int expr_bad(struct ar_pool *pool, struct ar_str text, const struct workflow_where *where)
{
	const struct ar_err *err = ar_err();
	const char *name = ar_err_param(err, "name");
	bool step = err->def == AR_E_EXPR_FIELD && name != NULL && strncmp(name, "steps.", 6) == 0;

	return ar_fail_over(WORKFLOW_E_DEFINITION, "where", workflow_where_text(pool, where),
			    "reason", step ? "expression-step" : "expression", "expression",
			    ar_strz(pool, ar_str_sub(text, 0, 100)), "cause", err->def->slug);
}

static int expr_read(const struct workflow_reader *reader, struct ar_str text, bool test,
		     const struct workflow_where *where, struct ar_expr **ret)
{
	struct ar_expr_names names = {
		.roots = roots, .members = members, .field = step_field, .arg = (void *)reader
	};
	struct ar_pool *pool = reader->graph->pool;

	if (ar_expr_parse(pool, text, ret) != 0 ||
	    (test ? ar_expr_check_test(*ret, &names) : ar_expr_check(*ret, &names)) != 0)
		return expr_bad(pool, text, where);
	return 0;
}

int workflow_test_read(const struct workflow_reader *reader, struct ar_str text,
		       const struct workflow_where *where, struct ar_expr **ret)
{
	if (ar_str_starts(text, AR_STR("${")) && ar_str_ends(text, AR_STR("}")))
		text = ar_str_sub(text, 2, text.n - 3);
	return expr_read(reader, text, true, where, ret);
}

/* The end of an expression that starts at `from`: the } outside of quotes. */
static size_t expr_end(struct ar_str s, size_t from)
{
	char quote = 0;

	for (size_t i = from; i < s.n; i++) {
		if (quote != 0) {
			if (s.p[i] == '\\')
				i++;
			else if (s.p[i] == quote)
				quote = 0;
		} else if (s.p[i] == '\'' || s.p[i] == '"') {
			quote = s.p[i];
		} else if (s.p[i] == '}') {
			return i;
		}
	}
	return s.n;
}

static size_t expr_start(struct ar_str s, size_t from)
{
	for (size_t i = from; i + 1 < s.n; i++)
		if (s.p[i] == '$' && s.p[i + 1] == '{')
			return i;
	return s.n;
}

static int text_read(const struct workflow_reader *reader, struct ar_str s,
		     const struct workflow_where *where, struct workflow_value *value)
{
	struct ar_pool *pool = reader->graph->pool;
	struct part **last = &value->parts;
	size_t at = 0;

	for (;;) {
		struct part *part = ar_new(pool, struct part);
		size_t start = expr_start(s, at), end;

		part->text = ar_str_dup(pool, ar_str_sub(s, at, start - at));
		*last = part;
		last = &part->next;
		if (start == s.n)
			break;
		end = expr_end(s, start + 2);
		if (end == s.n)
			return workflow_bad(where, "a ${ has no end");
		if (expr_read(reader, ar_str_sub(s, start + 2, end - start - 2), false, where,
			      &part->expr) != 0)
			return -1;
		at = end + 1;
	}
	value->kind = VALUE_TEXT;
	if (value->parts->text.n == 0 && value->parts->expr != NULL &&
	    value->parts->next->text.n == 0 && value->parts->next->expr == NULL) {
		value->kind = VALUE_EXPR;
		value->expr = value->parts->expr;
	}
	return 0;
}

static int members_read(const struct workflow_reader *reader, const struct ar_json *json,
			const struct workflow_where *where, struct workflow_value *value)
{
	struct workflow_value **last = &value->first;
	size_t index = 0;

	value->kind = json->type == AR_ARRAY ? VALUE_ARRAY : VALUE_OBJECT;
	ar_json_each (m, json) {
		struct workflow_where at = { .in = where, .index = index++ };

		if (json->type == AR_OBJECT)
			at.name = m->key.n > 0 ? m->key : AR_STR("");
		if (workflow_value_read(reader, m, &at, last) != 0)
			return -1;
		(*last)->key = ar_str_dup(reader->graph->pool, m->key);
		last = &(*last)->next;
	}
	return 0;
}

int workflow_value_read(const struct workflow_reader *reader, const struct ar_json *json,
			const struct workflow_where *where, struct workflow_value **ret)
{
	struct workflow_value *value = ar_new(reader->graph->pool, struct workflow_value);

	*ret = value;
	if (json->type == AR_ARRAY || json->type == AR_OBJECT)
		return members_read(reader, json, where, value);
	if (json->type == AR_STRING && expr_start(json->s, 0) < json->s.n)
		return text_read(reader, json->s, where, value);
	value->literal = ar_json_copy(reader->graph->pool, json);
	return 0;
}

/* ---- secrets: where does a secret member's value come from? ---- */

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (c & 0x80) != 0;
}

/* input.user.pin: "pin" is secret; steps.make.output: all that this step made is. */
static void path_secret(struct workflow_graph *graph, struct ar_str path)
{
	struct ar_str first = ar_str_cut(&path, '.'), last = AR_STR_NONE, step = AR_STR_NONE;
	bool of_step = ar_str_is(first, "steps");
	struct workflow_step *found;

	if (!of_step && !ar_str_is(first, "input"))
		return;
	if (of_step) {
		step = ar_str_cut(&path, '.');
		ar_str_cut(&path, '.'); /* output */
	}
	while (path.p != NULL) {
		struct ar_str part = ar_str_cut(&path, '.');

		if (part.n > 0 && (part.p[0] < '0' || part.p[0] > '9'))
			last = part;
	}
	found = of_step && last.n == 0 ? workflow_step_find(graph, step) : NULL;
	if (found != NULL)
		found->hidden = true;
	if (last.n > 0)
		ar_json_set(graph->secrets, ar_str_dup(graph->pool, last),
			    ar_json_bool(graph->pool, true));
}

static void expr_secret(struct workflow_graph *graph, struct ar_str text)
{
	for (size_t i = 0; i < text.n;) {
		size_t n = 0;

		while (i + n < text.n &&
		       (is_name(text.p[i + n]) || (n > 0 && text.p[i + n] == '.')))
			n++;
		if (n > 0)
			path_secret(graph, ar_str_sub(text, i, n));
		i += n > 0 ? n : 1;
	}
}

static void all_secret(struct workflow_graph *graph, const struct workflow_value *value)
{
	if (value->expr != NULL)
		expr_secret(graph, ar_expr_text(value->expr));
	for (const struct part *part = value->parts; part != NULL; part = part->next)
		if (part->expr != NULL)
			expr_secret(graph, ar_expr_text(part->expr));
	for (const struct workflow_value *m = value->first; m != NULL; m = m->next)
		all_secret(graph, m);
}

void workflow_value_secret(struct workflow_graph *graph, const struct workflow_value *value,
			   struct ar_str member)
{
	for (const struct workflow_value *m = value->first; m != NULL; m = m->next)
		if (ar_str_eq(m->key, member))
			all_secret(graph, m);
}

/* ---- making ---- */

struct maker {
	struct workflow_run *run;
	struct ar_pool *pool;
	const struct ar_json *values[2]; /* of roots */
	size_t left;                     /* bytes that may still be made */
};

static struct ar_json *run_info(const struct workflow_run *run, struct ar_pool *pool)
{
	struct ar_json *info = ar_json_new(pool, AR_OBJECT);
	const struct ar_json *event =
		run->cause->type == AR_OBJECT ? ar_json_get(run->cause, "event") : NULL;
	struct ar_json *copy;

	ar_json_set(info, AR_STR("id"), ar_json_str(pool, run->id));
	ar_json_set(info, AR_STR("workflow"), ar_json_str(pool, run->graph->name));
	if (event != NULL) {
		copy = ar_new(pool, struct ar_json);
		*copy = *event;
		copy->next = NULL;
		ar_json_set(info, AR_STR("event"), copy);
	}
	return info;
}

static struct maker maker(struct workflow_run *run, struct ar_pool *pool)
{
	return (struct maker){ .run = run,
			       .pool = pool,
			       .values = { run->input, run_info(run, pool) },
			       .left = WORKFLOW_MADE_MAX };
}

static int step_get(void *arg, const struct ar_expr_field *field, struct ar_pool *pool,
		    struct ar_json *ret)
{
	const struct maker *m = arg;
	const struct ar_json *seen = m->run->states[field->id].seen;

	if (seen != NULL)
		*ret = *seen;
	ret->next = NULL;
	return 0;
}

/* Takes what the value weighs from what is left. */
static int weigh(struct maker *m, const struct ar_json *value)
{
	size_t n = sizeof(*value) + value->key.n + (value->type == AR_STRING ? value->s.n : 0);

	if (n > m->left)
		return ar_fail(AR_E_TOO_LARGE, "what", "step input");
	m->left -= n;
	if (value->type == AR_ARRAY || value->type == AR_OBJECT)
		ar_json_each (member, value)
			if (weigh(m, member) != 0)
				return -1;
	return 0;
}

static int eval(struct maker *m, const struct ar_expr *expr, struct ar_json **ret)
{
	struct ar_expr_env env = { .roots = m->values, .get = step_get, .arg = m };
	struct ar_json *value, *copy;

	if (ar_expr_eval(expr, &env, m->pool, &value) != 0)
		return ar_fail_over(WORKFLOW_E_STEP, "expression",
				    ar_strz(m->pool, ar_str_sub(ar_expr_text(expr), 0, 200)));
	if (weigh(m, value) != 0)
		return -1;
	copy = ar_new(m->pool, struct ar_json);
	*copy = *value;
	copy->next = NULL;
	copy->key = AR_STR_NONE;
	*ret = copy;
	return 0;
}

int workflow_test(const struct ar_expr *expr, struct workflow_run *run, struct ar_pool *pool,
		  bool *ret)
{
	struct maker m = maker(run, pool);
	struct ar_expr_env env = { .roots = m.values, .get = step_get, .arg = &m };

	if (ar_expr_test(expr, &env, pool, ret) != 0)
		return ar_fail_over(WORKFLOW_E_STEP, "expression",
				    ar_strz(pool, ar_str_sub(ar_expr_text(expr), 0, 200)));
	return 0;
}

static int text_make(struct maker *m, const struct workflow_value *value, struct ar_json **ret)
{
	struct ar_buf *buf = ar_buf_new(m->pool, WORKFLOW_MADE_MAX);
	struct ar_json *made;

	for (const struct part *part = value->parts; part != NULL; part = part->next) {
		ar_buf_str(buf, part->text);
		if (part->expr == NULL)
			continue;
		if (eval(m, part->expr, &made) != 0)
			return -1;
		if (made->type == AR_STRING)
			ar_buf_str(buf, made->s);
		else if (made->type != AR_NULL)
			ar_json_write(buf, made);
	}
	if (buf->over)
		return ar_fail(AR_E_TOO_LARGE, "what", "step input");
	*ret = ar_json_str(m->pool, ar_buf_view(buf));
	return weigh(m, *ret);
}

static int make(struct maker *m, const struct workflow_value *value, struct ar_json **ret)
{
	struct ar_json *made, *container;

	switch (value->kind) {
	case VALUE_LITERAL:
		container = ar_new(m->pool, struct ar_json);
		*container = *value->literal;
		container->next = NULL;
		*ret = container;
		return 0;
	case VALUE_EXPR:
		return eval(m, value->expr, ret);
	case VALUE_TEXT:
		return text_make(m, value, ret);
	default:
		break;
	}
	container = ar_json_new(m->pool, value->kind == VALUE_ARRAY ? AR_ARRAY : AR_OBJECT);
	for (const struct workflow_value *member = value->first; member != NULL;
	     member = member->next) {
		if (make(m, member, &made) != 0)
			return -1;
		if (value->kind == VALUE_ARRAY)
			ar_json_add(container, made);
		else
			ar_json_set(container, member->key, made);
	}
	*ret = container;
	return 0;
}

int workflow_value_make(const struct workflow_value *value, struct workflow_run *run,
			struct ar_pool *pool, struct ar_json **ret)
{
	struct maker m = maker(run, pool);

	return make(&m, value, ret);
}
