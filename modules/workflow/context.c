/*
 * context.c - what a step's action gets when the step itself says nothing: the implicit context.
 *
 * The context is the run's input; over it, in their order, the outputs of the earlier steps that made
 * something (actions that write or act outside: what merely looks something up is named by an
 * expression); and for each thing that one of them created its id, so after auth.create_user there
 * is "userId". A member of the action's input that the step leaves open comes from the context's
 * member of that name.
 *
 * `data` or `input`, where the action needs it or has a default for it (a record to validate, an
 * event's data, a function's input), gets the whole context; where the action writes or acts outside,
 * without what is secret: names that the workflow's actions keep secret, and where expressions take
 * those from. What merely looks (a validation) must see what it judges. docs/decisions/0005 says why.
 */
#include "workflow/workflow_int.h"

static struct ar_json *shallow(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_json *copy = ar_new(pool, struct ar_json);

	*copy = *value;
	copy->next = NULL;
	return copy;
}

static void overlay(struct ar_pool *pool, struct ar_json *context, const struct ar_json *object)
{
	if (object == NULL || object->type != AR_OBJECT)
		return;
	ar_json_each (m, object)
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

static bool acts(const struct workflow_step *step)
{
	return (step->action->flags & (AR_A_WRITE | AR_A_OUTSIDE)) != 0;
}

static struct ar_json *context_make(const struct workflow_run *run,
				    const struct workflow_step *step, struct ar_pool *pool)
{
	struct ar_json *context = ar_json_new(pool, AR_OBJECT);

	overlay(pool, context, run->input);
	for (size_t k = 0; k < step->nbefore; k++) {
		const struct workflow_step *before = &run->graph->steps[step->before[k]];
		const struct ar_json *output = run->states[step->before[k]].output;

		if (!acts(before) || before->hidden)
			continue;
		overlay(pool, context, output);
		created_id(pool, context, before, output);
	}
	return context;
}

static struct ar_json *without_secrets(const struct workflow_run *run, struct ar_pool *pool,
				       const struct ar_json *value)
{
	struct ar_json *open = ar_json_new(pool, value->type);

	ar_json_each (m, value) {
		struct ar_json *copy;

		if (m->key.n > 0 && ar_json_get_str(run->graph->secrets, m->key) != NULL)
			continue;
		copy = m->type == AR_OBJECT || m->type == AR_ARRAY ? without_secrets(run, pool, m)
								   : shallow(pool, m);
		if (value->type == AR_OBJECT)
			ar_json_set(open, m->key, copy);
		else
			ar_json_add(open, copy);
	}
	return open;
}

static bool takes_all(const struct ar_field *field)
{
	return (field->type == AR_F_OBJECT || field->type == AR_F_JSON) &&
	       (field->required || field->otherwise != NULL) &&
	       (strcmp(field->name, "data") == 0 || strcmp(field->name, "input") == 0);
}

int workflow_step_input(struct workflow_run *run, const struct workflow_step *step,
			struct ar_pool *pool, struct ar_json **ret)
{
	struct ar_json *input, *context = NULL, *value;

	if (workflow_value_make(step->input, run, pool, &input) != 0)
		return -1;
	*ret = input;
	if (!step->implicit || step->action->in == NULL)
		return 0;
	for (const struct ar_field *f = step->action->in; f->name != NULL; f++) {
		if (f->read_only || ar_json_get(input, f->name) != NULL)
			continue;
		if (context == NULL)
			context = context_make(run, step, pool);
		if (!takes_all(f))
			value = ar_json_get(context, f->name);
		else
			value = acts(step) ? without_secrets(run, pool, context) : context;
		if (value != NULL)
			ar_json_set(input, ar_str(f->name), shallow(pool, value));
	}
	return 0;
}
