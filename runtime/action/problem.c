/*
 * problem.c - the top of an error stack as application/problem+json (RFC 9457).
 *
 * The code is the slug and never changes; title, detail and the fields' messages are in the caller's
 * language. Only the slug, the parameters and the refused fields leave the house: `why` and the
 * causes below stay in the log.
 */
#include "action/action_int.h"

#define PROBLEM_TYPE "https://apprun.dev/problems/"

static void write_params(struct ar_jw *w, const struct ar_err_param *params)
{
	if (params == NULL)
		return;
	ar_jw_keyz(w, "params");
	ar_jw_object(w);
	for (const struct ar_err_param *p = params; p != NULL; p = p->next) {
		ar_jw_keyz(w, p->key);
		ar_jw_strz(w, p->value);
	}
	ar_jw_object_end(w);
}

/* A member's name stands once in an object: of two refusals of a path the first counts. */
static bool is_repeated(const struct ar_err_field *fields, const struct ar_err_field *field)
{
	for (; fields != field; fields = fields->next) {
		if (strcmp(fields->path, field->path) == 0)
			return true;
	}
	return false;
}

static void write_fields(struct ar_pool *pool, struct ar_jw *w, const struct ar_err *err,
			 struct ar_str accept_language)
{
	const struct ar_err_field *fields = err->fields;

	if (fields == NULL)
		return;
	ar_jw_keyz(w, "fields");
	ar_jw_object(w);
	for (const struct ar_err_field *f = fields; f != NULL; f = f->next) {
		if (is_repeated(fields, f))
			continue;
		ar_jw_keyz(w, f->path);
		ar_jw_object(w);
		ar_jw_keyz(w, "code");
		ar_jw_strz(w, f->code);
		ar_jw_keyz(w, "message");
		ar_jw_str(w, error_field_text(pool, accept_language, err, f));
		write_params(w, f->params);
		ar_jw_object_end(w);
	}
	ar_jw_object_end(w);
}

int ar_problem(struct ar_pool *pool, const struct ar_err *err, struct ar_str accept_language,
	       struct ar_str request_id, struct ar_buf *out)
{
	static const struct ar_err none = { .def = AR_E_INTERNAL };
	struct ar_jw w;

	if (err == NULL)
		err = &none;
	const char *slug = err->def->slug;
	struct ar_str detail =
		ar_message(pool, accept_language, ar_printf(pool, "%s.detail", slug), err->params);

	ar_jw_init(&w, out);
	ar_jw_object(&w);
	ar_jw_keyz(&w, "type");
	ar_jw_strz(&w, ar_printf(pool, PROBLEM_TYPE "%s", slug));
	ar_jw_keyz(&w, "title");
	ar_jw_str(&w, ar_error_text(pool, accept_language, err));
	ar_jw_keyz(&w, "status");
	ar_jw_int(&w, err->def->status);
	ar_jw_keyz(&w, "code");
	ar_jw_strz(&w, slug);
	if (detail.n > 0) {
		ar_jw_keyz(&w, "detail");
		ar_jw_str(&w, detail);
	}
	if (request_id.n > 0) {
		ar_jw_keyz(&w, "instance");
		ar_jw_str(&w, ar_strf(pool, "/requests/%.*s", AR_FMT(request_id)));
	}
	write_params(&w, err->params);
	write_fields(pool, &w, err, accept_language);
	ar_jw_object_end(&w);
	return err->def->status;
}
