/*
 * value.c - values with ${expressions} in them, and what a step's action gets as its input.
 *
 * A text that is one whole ${...} keeps the expression's type; around other text it is printed. What
 * expressions see: `input` of the run, `steps.NAME.output`, `run` (id, workflow, event).
 *
 * The context is what a step without `input` draws from: the run's input, over it the outputs of the
 * steps it waits for, and for each thing that one of them created its id ("userId" after
 * auth.create_user). An action's `data` or `input` that nobody gave gets all of it, without what the
 * workflow's actions keep secret.
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

static const char *const roots[] = { "input", "steps", "run", NULL };

static int expr_read(struct ar_pool *pool, struct ar_str text, const char *path, bool test,
		     struct ar_expr **ret)
{
	struct ar_expr_names names = { .roots = roots };

	if (ar_expr_parse(pool, text, ret) != 0 ||
	    (test ? ar_expr_check_test(*ret, &names) : ar_expr_check(*ret, &names)) != 0)
		return ar_fail_over(WORKFLOW_E_DEFINITION, "where", path, "reason",
				    ar_printf(pool, "%.*s", AR_FMT(text)));
	return 0;
}

int workflow_test_read(struct ar_pool *pool, struct ar_str text, const char *path,
		       struct ar_expr **ret)
{
	if (ar_str_starts(text, AR_STR("${")) && ar_str_ends(text, AR_STR("}")))
		text = ar_str_sub(text, 2, text.n - 3);
	return expr_read(pool, text, path, true, ret);
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

static int text_read(struct ar_pool *pool, struct ar_str s, const char *path,
		     struct workflow_value *value)
{
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
			return ar_fail(WORKFLOW_E_DEFINITION, "where", path, "reason",
				       "${ without its }");
		if (expr_read(pool, ar_str_sub(s, start + 2, end - start - 2), path, false,
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

static int members_read(struct ar_pool *pool, const struct ar_json *json, const char *path,
			struct workflow_value *value)
{
	struct workflow_value **last = &value->first;

	value->kind = json->type == AR_ARRAY ? VALUE_ARRAY : VALUE_OBJECT;
	ar_json_each(m, json) {
		if (workflow_value_read(pool, m,
					ar_printf(pool, "%s.%.*s", path, AR_FMT(m->key)), last) != 0)
			return -1;
		(*last)->key = ar_str_dup(pool, m->key);
		last = &(*last)->next;
	}
	return 0;
}

int workflow_value_read(struct ar_pool *pool, const struct ar_json *json, const char *path,
			struct workflow_value **ret)
{
	struct workflow_value *value = ar_new(pool, struct workflow_value);

	*ret = value;
	if (json->type == AR_ARRAY || json->type == AR_OBJECT)
		return members_read(pool, json, path, value);
	if (json->type == AR_STRING && expr_start(json->s, 0) < json->s.n)
		return text_read(pool, json->s, path, value);
	value->literal = ar_json_copy(pool, json);
	return 0;
}

/* ---- the values of a run ---- */

static struct ar_json *shallow(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_json *copy = ar_new(pool, struct ar_json);

	*copy = *value;
	copy->next = NULL;
	return copy;
}

static struct ar_json *run_info(const struct workflow_run *run, struct ar_pool *pool)
{
	struct ar_json *info = ar_json_new(pool, AR_OBJECT);
	const struct ar_json *event = ar_json_get(run->cause, "event");

	ar_json_set(info, AR_STR("id"), ar_json_str(pool, run->id));
	ar_json_set(info, AR_STR("workflow"), ar_json_str(pool, run->graph->name));
	if (event != NULL)
		ar_json_set(info, AR_STR("event"), shallow(pool, event));
	return info;
}

static int eval(const struct ar_expr *expr, struct workflow_run *run, struct ar_pool *pool,
		struct ar_json **ret)
{
	const struct ar_json *values[] = { run->input, run->steps, run_info(run, pool) };
	struct ar_expr_env env = { .roots = values };
	struct ar_json *value;

	if (ar_expr_eval(expr, &env, pool, &value) != 0)
		return ar_fail_over(WORKFLOW_E_STEP, "expression",
				    ar_strz(pool, ar_expr_text(expr)));
	*ret = shallow(pool, value);
	return 0;
}

int workflow_test(const struct ar_expr *expr, struct workflow_run *run, struct ar_pool *pool,
		  bool *ret)
{
	const struct ar_json *values[] = { run->input, run->steps, run_info(run, pool) };
	struct ar_expr_env env = { .roots = values };

	if (ar_expr_test(expr, &env, pool, ret) != 0)
		return ar_fail_over(WORKFLOW_E_STEP, "expression",
				    ar_strz(pool, ar_expr_text(expr)));
	return 0;
}

static int text_make(const struct workflow_value *value, struct workflow_run *run,
		     struct ar_pool *pool, struct ar_json **ret)
{
	struct ar_buf *buf = ar_buf_new(pool, (size_t)1 << 20);
	struct ar_json *made;

	for (const struct part *part = value->parts; part != NULL; part = part->next) {
		ar_buf_str(buf, part->text);
		if (part->expr == NULL)
			continue;
		if (eval(part->expr, run, pool, &made) != 0)
			return -1;
		if (made->type == AR_STRING)
			ar_buf_str(buf, made->s);
		else if (made->type != AR_NULL)
			ar_json_write(buf, made);
	}
	if (buf->over)
		return ar_fail(AR_E_TOO_LARGE);
	*ret = ar_json_str(pool, ar_buf_view(buf));
	return 0;
}

int workflow_value_make(const struct workflow_value *value, struct workflow_run *run,
			struct ar_pool *pool, struct ar_json **ret)
{
	struct ar_json *made, *container;

	switch (value->kind) {
	case VALUE_LITERAL:
		*ret = shallow(pool, value->literal);
		return 0;
	case VALUE_EXPR:
		return eval(value->expr, run, pool, ret);
	case VALUE_TEXT:
		return text_make(value, run, pool, ret);
	default:
		break;
	}
	container = ar_json_new(pool, value->kind == VALUE_ARRAY ? AR_ARRAY : AR_OBJECT);
	for (const struct workflow_value *m = value->first; m != NULL; m = m->next) {
		if (workflow_value_make(m, run, pool, &made) != 0)
			return -1;
		if (value->kind == VALUE_ARRAY)
			ar_json_add(container, made);
		else
			ar_json_set(container, m->key, made);
	}
	*ret = container;
	return 0;
}

/* ---- the context ---- */

static void overlay(struct ar_pool *pool, struct ar_json *context, const struct ar_json *object)
{
	if (object == NULL || object->type != AR_OBJECT)
		return;
	ar_json_each(m, object)
		ar_json_set(context, m->key, shallow(pool, m));
}

/* auth.create_user made {"id": ...}: userId */
static void created_id(struct ar_pool *pool, struct ar_json *context,
		       const struct workflow_step *step, const struct ar_json *output)
{
	const char *noun = strstr(step->action->name, ".create_");
	const struct ar_json *id;

	if (noun == NULL || output == NULL || output->type != AR_OBJECT)
		return;
	id = ar_json_get(output, "id");
	if (id != NULL && id->type == AR_STRING)
		ar_json_set(context, ar_strf(pool, "%sId", noun + strlen(".create_")),
			    shallow(pool, id));
}

static struct ar_json *context_make(const struct workflow_run *run, const struct workflow_step *step,
				    struct ar_pool *pool)
{
	struct ar_json *context = ar_json_new(pool, AR_OBJECT);

	overlay(pool, context, run->input);
	for (size_t k = 0; k < step->nbefore; k++) {
		size_t i = step->before[k];

		overlay(pool, context, run->states[i].output);
		created_id(pool, context, &run->graph->steps[i], run->states[i].output);
	}
	return context;
}

static struct ar_json *without_secrets(const struct workflow_run *run, struct ar_pool *pool,
				       const struct ar_json *context)
{
	struct ar_json *open = ar_json_new(pool, AR_OBJECT);

	ar_json_each(m, context)
		if (ar_json_get_str(run->graph->secrets, m->key) == NULL)
			ar_json_set(open, m->key, shallow(pool, m));
	return open;
}

static bool takes_all(const struct ar_field *field)
{
	return (field->type == AR_F_OBJECT || field->type == AR_F_JSON) &&
	       (strcmp(field->name, "data") == 0 || strcmp(field->name, "input") == 0);
}

int workflow_step_input(struct workflow_run *run, const struct workflow_step *step,
			struct ar_pool *pool, struct ar_json **ret)
{
	struct ar_json *input, *context, *value;

	if (workflow_value_make(step->input, run, pool, &input) != 0)
		return -1;
	*ret = input;
	if (!step->implicit || step->action->in == NULL)
		return 0;
	context = context_make(run, step, pool);
	for (const struct ar_field *f = step->action->in; f->name != NULL; f++) {
		if (f->read_only || ar_json_get(input, f->name) != NULL)
			continue;
		value = takes_all(f) ? without_secrets(run, pool, context)
				     : ar_json_get(context, f->name);
		if (value != NULL)
			ar_json_set(input, ar_str(f->name), shallow(pool, value));
	}
	return 0;
}
