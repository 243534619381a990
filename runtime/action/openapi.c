/*
 * openapi.c - GET /openapi.json: the action table as an OpenAPI 3.1 document.
 *
 * The part that is the same for every tenant is made once and kept as text; a signed-in caller's
 * copy also gets what the modules add of the tenant's own (their `openapi` functions). What was made
 * for a tenant is kept by openapi_kept.c.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "action/action_int.h"

#define DOCUMENT_MAX (16u << 20)
#define FIELDS_MAX   64
#define SLICE        ((size_t)64 << 10) /* of text, after which others get their turn */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ar_pool *memory;
static struct ar_str document;

/* ---- where a field of the input comes from ---- */

enum place { IN_PATH, IN_QUERY, IN_HEADER, IN_BODY };

static enum place place_of(const struct ar_action *action, int method, const struct ar_field *field)
{
	if (router_has_part(action, ar_str(field->name)))
		return IN_PATH;
	if (strcmp(field->name, "ifMatch") == 0 || strcmp(field->name, "ifNoneMatch") == 0)
		return IN_HEADER;
	if (field->query || method == METHOD_GET || method == METHOD_DELETE)
		return IN_QUERY;
	return IN_BODY;
}

static void write_parameter(struct ar_jw *w, const struct ar_field *field, enum place place)
{
	static const char *const names[] = { "path", "query", "header" };
	const char *name = field->name;

	if (place == IN_HEADER)
		name = strcmp(name, "ifMatch") == 0 ? "If-Match" : "If-None-Match";
	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_strz(w, name);
	ar_jw_keyz(w, "in");
	ar_jw_strz(w, names[place]);
	ar_jw_keyz(w, "required");
	ar_jw_bool(w, place == IN_PATH || field->required);
	if (field->help != NULL) {
		ar_jw_keyz(w, "description");
		ar_jw_strz(w, field->help);
	}
	ar_jw_keyz(w, "schema");
	ar_field_schema(w, field, true);
	ar_jw_object_end(w);
}

/* A {rest...} that no field takes, only call->subpath. */
static void write_rest_parameter(struct ar_jw *w, const struct ar_action *action)
{
	const char *start = strrchr(action->route, '{');
	struct ar_str name = start != NULL ? ar_str(start + 1) : AR_STR_NONE;

	if (!ar_str_ends(name, AR_STR("...}")))
		return;
	name.n -= 4;
	if (action->in != NULL && ar_fields_find(action->in, name) != NULL)
		return;
	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, name);
	ar_jw_keyz(w, "in");
	ar_jw_strz(w, "path");
	ar_jw_keyz(w, "required");
	ar_jw_bool(w, true);
	ar_jw_keyz(w, "schema");
	ar_jw_raw(w, AR_STR("{\"type\":\"string\"}"));
	ar_jw_object_end(w);
}

static void write_parameters(struct ar_jw *w, const struct ar_action *action, int method)
{
	ar_jw_keyz(w, "parameters");
	ar_jw_array(w);
	write_rest_parameter(w, action);
	for (const struct ar_field *f = action->in; f != NULL && f->name != NULL; f++) {
		enum place place = place_of(action, method, f);

		if (place != IN_BODY && !f->read_only)
			write_parameter(w, f, place);
	}
	for (const struct ar_field *f = list_fields; action->flags & AR_A_LIST && f->name != NULL;
	     f++)
		write_parameter(w, f, IN_QUERY);
	if (action->flags & AR_A_WRITE && !(action->flags & AR_A_PLATFORM))
		ar_jw_raw(w, AR_STR("{\"$ref\":\"#/components/parameters/IdempotencyKey\"}"));
	ar_jw_array_end(w);
}

/* ---- bodies ---- */

static void write_content(struct ar_jw *w, const char *type)
{
	ar_jw_keyz(w, "content");
	ar_jw_object(w);
	ar_jw_keyz(w, type);
	ar_jw_object(w);
	ar_jw_keyz(w, "schema");
}

static void end_content(struct ar_jw *w)
{
	ar_jw_object_end(w);
	ar_jw_object_end(w);
}

static void write_body(struct ar_jw *w, const struct ar_action *action, int method)
{
	struct ar_field fields[FIELDS_MAX + 1] = { 0 };
	const struct ar_field *whole = NULL;
	size_t n = 0;
	bool required = false;

	for (const struct ar_field *f = action->in; f != NULL && f->name != NULL; f++) {
		if (place_of(action, method, f) != IN_BODY || n == FIELDS_MAX)
			continue;
		if (action->body != NULL && strcmp(action->body, f->name) == 0)
			whole = f;
		fields[n++] = *f;
		required |= f->required;
	}
	if (method == METHOD_GET || method == METHOD_DELETE || method == METHOD_HEAD ||
	    (n == 0 && !(action->flags & AR_A_RAW_IN)))
		return;
	ar_jw_keyz(w, "requestBody");
	ar_jw_object(w);
	ar_jw_keyz(w, "required");
	ar_jw_bool(w, required);
	write_content(w, action->flags & AR_A_RAW_IN ? "application/octet-stream"
						     : "application/json");
	if (action->flags & AR_A_RAW_IN)
		ar_jw_raw(w, AR_STR("{\"type\":\"string\",\"format\":\"binary\"}"));
	else if (whole != NULL)
		ar_field_schema(w, whole, true);
	else
		ar_fields_schema(w, fields, true);
	end_content(w);
	ar_jw_object_end(w);
}

static void write_list_schema(struct ar_jw *w, const struct ar_field *item)
{
	ar_jw_raw(w, AR_STR("{\"type\":\"object\",\"required\":[\"items\",\"nextCursor\"],"
			    "\"properties\":{\"nextCursor\":{\"type\":[\"string\",\"null\"]},"
			    "\"prevCursor\":{\"type\":[\"string\",\"null\"]},"
			    "\"total\":{\"type\":\"integer\"},"
			    "\"items\":{\"type\":\"array\",\"items\":"));
	w->comma = false;
	ar_fields_schema(w, item, false);
	w->comma = false;
	ar_jw_raw(w, AR_STR("}}}"));
}

static void write_success(struct ar_jw *w, const struct ar_action *action, int status)
{
	bool bytes = (action->flags & AR_A_RAW_OUT) != 0;
	char key[16];

	snprintf(key, sizeof(key), "%d", status);
	ar_jw_keyz(w, key);
	ar_jw_object(w);
	ar_jw_keyz(w, "description");
	ar_jw_strz(w, status == 201 ? "Made" : "Done");
	if (bytes) {
		write_content(w, "*/*");
		ar_jw_raw(w, AR_STR("{}"));
		end_content(w);
	} else if (action->out != NULL) {
		write_content(w, "application/json");
		if (action->flags & AR_A_LIST &&
		    ar_fields_find(action->out, AR_STR("items")) == NULL)
			write_list_schema(w, action->out);
		else if (action->out[0].name == NULL)
			ar_jw_raw(w, AR_STR("{}"));
		else
			ar_fields_schema(w, action->out, false);
		end_content(w);
	}
	ar_jw_object_end(w);
}

static void write_responses(struct ar_jw *w, const struct ar_action *action)
{
	bool body = action->flags & AR_A_RAW_OUT || action->out != NULL;

	ar_jw_keyz(w, "responses");
	ar_jw_object(w);
	write_success(w, action, action->status != 0 ? action->status : body ? 200 : 204);
	if (action->flags & AR_A_MAKES)
		write_success(w, action, 201);
	ar_jw_keyz(w, "default");
	ar_jw_raw(w, AR_STR("{\"$ref\":\"#/components/responses/Problem\"}"));
	ar_jw_object_end(w);
}

/* ---- operations ---- */

static void write_operation(struct ar_jw *w, size_t index, int method, bool suffix)
{
	const struct ar_action *action = action_at(index);
	char id[160];

	snprintf(id, sizeof(id), "%s%s%s", action->name, suffix ? "_" : "",
		 suffix ? method_names[method] : "");
	ar_jw_object(w);
	ar_jw_keyz(w, "operationId");
	ar_jw_strz(w, id);
	ar_jw_keyz(w, "tags");
	ar_jw_array(w);
	ar_jw_strz(w, action_module(index));
	ar_jw_array_end(w);
	if (action->help != NULL) {
		ar_jw_keyz(w, "summary");
		ar_jw_strz(w, action->help);
	}
	ar_jw_keyz(w, "x-apprun-action");
	ar_jw_strz(w, action->name);
	ar_jw_keyz(w, "x-apprun-allow");
	ar_jw_strz(w, action->allow);
	ar_jw_keyz(w, "security");
	ar_jw_raw(w, strcmp(action->allow, AR_ALLOW_ANYONE) == 0 ? AR_STR("[]")
								 : AR_STR("[{\"bearer\":[]}]"));
	write_parameters(w, action, method);
	write_body(w, action, method);
	write_responses(w, action);
	ar_jw_object_end(w);
}

static struct ar_str route_text(size_t index, struct ar_str *ret_method)
{
	struct ar_str path = ar_str(action_at(index)->route);

	*ret_method = ar_str_cut(&path, ' ');
	return path;
}

/* OpenAPI has no {rest...}: the dots go. */
static void write_path_key(struct ar_jw *w, struct ar_pool *pool, struct ar_str path)
{
	if (ar_str_ends(path, AR_STR("...}")))
		path = ar_strf(pool, "%.*s}", (int)path.n - 4, path.p);
	ar_jw_key(w, path);
}

static bool is_shown(size_t index)
{
	return router_space(action_at(index)) == AR_ROUTES_API;
}

/* All methods of one path stand together under its key: written with the first action of it. */
static void write_path(struct ar_jw *w, struct ar_pool *pool, size_t first)
{
	static const char *const keys[METHODS] = { "get",   "head",   "post",   "put",
						   "patch", "delete", "options" };
	struct ar_str method, path = route_text(first, &method);

	for (size_t i = 0; i < first; i++) {
		if (is_shown(i) && ar_str_eq(route_text(i, &method), path))
			return;
	}
	write_path_key(w, pool, path);
	ar_jw_object(w);
	for (size_t i = first; i < action_count(); i++) {
		if (!is_shown(i) || !ar_str_eq(route_text(i, &method), path))
			continue;
		int index = method_index(method);

		for (int m = 0; m < METHODS; m++) {
			bool any = index == METHOD_ANY && m != METHOD_HEAD && m != METHOD_OPTIONS;

			if (m != index && !any)
				continue;
			ar_jw_keyz(w, keys[m]);
			write_operation(w, i, m, any);
		}
	}
	ar_jw_object_end(w);
}

static const char components[] =
	"{\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":"
	"\"An access token, or an API key that begins with ark_\"}},"
	"\"parameters\":{\"IdempotencyKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\","
	"\"description\":\"The same key and request within 24 hours get the stored reply\","
	"\"schema\":{\"type\":\"string\",\"maxLength\":255}}},"
	"\"responses\":{\"Problem\":{\"description\":\"What went wrong (RFC 9457)\",\"content\":"
	"{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}},"
	"\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\","
	"\"code\"],\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
	"\"status\":{\"type\":\"integer\"},\"code\":{\"type\":\"string\"},"
	"\"detail\":{\"type\":\"string\"},\"instance\":{\"type\":\"string\"},"
	"\"params\":{\"type\":\"object\"},\"fields\":{\"type\":\"object\",\"additionalProperties\":"
	"{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"},"
	"\"message\":{\"type\":\"string\"},\"params\":{\"type\":\"object\"}}}}}}}}";

static void make_document(void)
{
	struct ar_jw w;

	memory = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(memory, DOCUMENT_MAX);

	ar_jw_init(&w, buf);
	ar_jw_object(&w);
	ar_jw_keyz(&w, "openapi");
	ar_jw_strz(&w, "3.1.0");
	ar_jw_keyz(&w, "info");
	ar_jw_raw(&w, AR_STR("{\"title\":\"apprun\",\"version\":\"1\"}"));
	ar_jw_keyz(&w, "paths");
	ar_jw_object(&w);
	for (size_t i = 0; i < action_count(); i++) {
		if (is_shown(i))
			write_path(&w, memory, i);
	}
	ar_jw_object_end(&w);
	ar_jw_keyz(&w, "components");
	ar_jw_raw(&w, ar_str_n(components, sizeof(components) - 1));
	ar_jw_object_end(&w);
	assert(!buf->over);
	document = ar_buf_view(buf);
}

void openapi_done(void)
{
	ar_pool_free(memory);
	memory = NULL;
	document = AR_STR_NONE;
}

/* ---- the action ---- */

static AR_YIELDS int add_own(struct ar_call *call, struct ar_json *doc)
{
	struct ar_json *paths = ar_json_get(doc, "paths");
	struct ar_json *schemas = ar_json_path(doc, AR_STR("components.schemas"));

	if (call->who->kind == AR_WHO_ANYONE)
		return 0;
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		if ((*m)->openapi != NULL && (*m)->openapi(call, paths, schemas) != 0)
			return -1;
	}
	return 0;
}

static struct ar_json *servers(struct ar_call *call)
{
	struct ar_json *list = ar_json_new(call->pool, AR_ARRAY);
	struct ar_json *server = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(server, AR_STR("url"),
		    ar_json_str(call->pool,
				ar_strf(call->pool, "/t/%.*s/api/v1", AR_FMT(call->tenant->name))));
	ar_json_add(list, server);
	return list;
}

/* Two levels deep member by member: "paths" and "components"/"schemas" are what grows. */
static AR_YIELDS int write_sliced(struct ar_jw *w, const struct ar_buf *buf,
				  const struct ar_json *object, int levels, size_t *slice)
{
	ar_jw_object(w);
	ar_json_each (m, object) {
		ar_jw_key(w, m->key);
		if (levels > 0 && m->type == AR_OBJECT) {
			if (write_sliced(w, buf, m, levels - 1, slice) != 0)
				return -1;
			continue;
		}
		ar_jw_value(w, m);
		if (buf->n < *slice + SLICE)
			continue;
		*slice = buf->n;
		if (ar_pause() != 0)
			return -1;
	}
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int openapi_make(struct ar_call *call, struct ar_str *ret)
{
	static const struct ar_json_limits limits = { DOCUMENT_MAX, 256, 4000000 };
	struct ar_buf *buf = ar_buf_new(call->pool, DOCUMENT_MAX);
	struct ar_json *doc;
	struct ar_jw w;
	size_t slice = 0;

	pthread_mutex_lock(&lock);
	if (document.n == 0)
		make_document();
	pthread_mutex_unlock(&lock);
	if (ar_json_parse(call->pool, document, &limits, &doc) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	ar_json_set(doc, AR_STR("servers"), servers(call));
	if (add_own(call, doc) != 0)
		return -1;
	ar_jw_init(&w, buf);
	if (write_sliced(&w, buf, doc, 2, &slice) != 0)
		return -1;
	*ret = buf->over ? AR_STR_NONE : ar_buf_view(buf);
	return 0;
}
