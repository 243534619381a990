/*
 * mask.c - what a record of a run does not show, and errors as they are kept.
 *
 * A run needs its secrets until it ends, so until then they are in the store as they came, and every
 * answer about the run is masked; at its end they are masked where they are kept. Secret is what the
 * action room says, what stands under a name that the workflow's own actions take as a secret, and
 * the texts found there, wherever they come up again.
 */
#include "workflow/workflow_int.h"

struct workflow_mask workflow_mask(struct ar_pool *pool, const struct workflow_graph *graph,
				   const struct ar_json *input)
{
	struct workflow_mask mask = { graph, ar_json_new(pool, AR_ARRAY) };

	if (input != NULL)
		ar_mask_gather(pool, input, graph != NULL ? graph->secrets : NULL, mask.texts);
	return mask;
}

static void gather_all(struct ar_pool *pool, const struct ar_json *value, struct ar_json *texts)
{
	if (value->type == AR_STRING && value->s.n > 0)
		ar_json_add(texts, ar_json_str(pool, value->s));
	if (value->type == AR_ARRAY || value->type == AR_OBJECT)
		ar_json_each (m, value)
			gather_all(pool, m, texts);
}

struct workflow_mask workflow_run_mask(struct ar_pool *pool, const struct workflow_run *run)
{
	struct workflow_mask mask = workflow_mask(pool, run->graph, run->input);

	for (size_t i = 0; i < run->graph->nsteps; i++) {
		const struct ar_json *output = run->states[i].output;

		if (output == NULL)
			continue;
		if (run->graph->steps[i].hidden)
			gather_all(pool, output, mask.texts);
		else
			ar_mask_gather(pool, output, run->graph->secrets, mask.texts);
	}
	return mask;
}

struct ar_json *workflow_masked(struct ar_pool *pool, const struct workflow_mask *mask,
				const struct ar_json *value)
{
	if (value == NULL)
		return NULL;
	return ar_mask(pool, value, mask->graph != NULL ? mask->graph->secrets : NULL, mask->texts);
}

/* What is wrong with a field called "password" is a code of ours, and no secret. */
struct ar_json *workflow_error_masked(struct ar_pool *pool, const struct workflow_mask *mask,
				      const struct ar_json *error)
{
	struct ar_json *masked = workflow_masked(pool, mask, error), *fields, *open;

	if (masked == error)
		return masked;
	fields = ar_json_get(error, "fields");
	if (fields == NULL || fields->type != AR_OBJECT)
		return masked;
	open = ar_json_new(pool, AR_OBJECT);
	ar_json_each (f, fields) {
		struct ar_json *code = ar_json_copy(pool, f);

		ar_json_set(open, f->key,
			    ar_json_copy(pool, ar_mask(pool, code, NULL, mask->texts)));
	}
	ar_json_set(masked, AR_STR("fields"), open);
	return masked;
}

/* ---- errors ---- */

#define PARAM_MAX 2000 /* bytes */

static struct ar_json *param_text(struct ar_pool *pool, const char *value)
{
	return ar_json_str(pool, ar_str_dup(pool, ar_utf8_head(ar_str(value), PARAM_MAX)));
}

static struct ar_json *error_fields(struct ar_pool *pool, const struct ar_err *err)
{
	struct ar_json *fields = ar_json_new(pool, AR_OBJECT);

	for (const struct ar_err_field *f = err->fields; f != NULL; f = f->next)
		ar_json_set(fields, ar_str_dup(pool, ar_str(f->path)),
			    ar_json_str(pool, ar_str_dup(pool, ar_str(f->code))));
	return fields;
}

static struct ar_json *error_json(struct ar_pool *pool, const struct ar_err *err)
{
	struct ar_json *json = ar_json_new(pool, AR_OBJECT);
	struct ar_str title = ar_error_text(pool, AR_STR("en"), err);

	ar_json_set(json, AR_STR("code"), ar_json_str(pool, ar_str(err->def->slug)));
	ar_json_set(json, AR_STR("status"), ar_json_int(pool, err->def->status));
	ar_json_set(json, AR_STR("title"), param_text(pool, ar_strz(pool, title)));
	if (err->below != NULL && ar_err_param(err, "cause") != NULL)
		ar_json_set(json, AR_STR("cause"), error_json(pool, err->below));
	for (const struct ar_err_param *p = err->params; p != NULL; p = p->next)
		if (ar_json_get(json, p->key) == NULL)
			ar_json_set(json, ar_str_dup(pool, ar_str(p->key)),
				    param_text(pool, p->value));
	if (err->fields != NULL)
		ar_json_set(json, AR_STR("fields"), error_fields(pool, err));
	return json;
}

struct ar_json *workflow_error(struct ar_pool *pool)
{
	return error_json(pool, ar_err());
}

/* The error that was kept, as far as its message needs it. */
static struct ar_err *error_again(struct ar_pool *pool, const struct ar_json *json)
{
	struct ar_err_def *def = ar_new(pool, struct ar_err_def);
	struct ar_err *err = ar_new(pool, struct ar_err);
	const struct ar_json *cause = ar_json_get(json, "cause");

	def->slug = ar_strz(pool, ar_json_text(json, "code", AR_STR("")));
	err->def = def;
	ar_json_each (m, json) {
		struct ar_err_param *param;

		if (m->type != AR_STRING)
			continue;
		param = ar_new(pool, struct ar_err_param);
		param->key = ar_strz(pool, m->key);
		param->value = ar_strz(pool, m->s);
		param->next = err->params;
		err->params = param;
	}
	if (cause != NULL && cause->type == AR_OBJECT)
		err->below = error_again(pool, cause);
	return err;
}

void workflow_error_say(struct ar_pool *pool, struct ar_str language, struct ar_json *error)
{
	struct ar_json *cause = error != NULL ? ar_json_get(error, "cause") : NULL;
	const struct ar_err *err;
	struct ar_str title;

	if (error == NULL || error->type != AR_OBJECT)
		return;
	err = error_again(pool, error);
	title = ar_error_text(pool, language, err);
	if (!ar_str_is(title, err->def->slug)) /* else: no message of this program's */
		ar_json_set(error, AR_STR("title"), ar_json_str(pool, title));
	if (cause != NULL)
		workflow_error_say(pool, language, cause);
}
