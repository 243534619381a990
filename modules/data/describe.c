/*
 * describe.c - the tenant's own collections in its OpenAPI document: a schema per collection, and
 * the paths of its records with the types that they really have.
 */
#include "data/data_int.h"

#define RECORDS "/collections/{collection}/records"

/* The check tables as one JSON Schema. */
static struct ar_json *schema_of(struct ar_pool *pool, const struct data_collection *c,
				 bool for_input)
{
	struct ar_json *whole = NULL, *part, *properties, *required;

	for (size_t i = 0; c->checks[i] != NULL; i++) {
		struct ar_buf *buf = ar_buf_new(pool, 1 << 20);
		struct ar_jw w;

		ar_jw_init(&w, buf);
		ar_fields_schema(&w, c->checks[i], for_input);
		if (ar_json_parse(pool, ar_buf_view(buf), NULL, &part) != 0)
			return NULL;
		if (whole == NULL) {
			whole = part;
			continue;
		}
		properties = ar_json_get(part, "properties");
		required = ar_json_get(part, "required");
		if (properties != NULL)
			ar_json_each (m, properties)
				ar_json_set(ar_json_get(whole, "properties"), m->key,
					    ar_json_copy(pool, m));
		if (required != NULL && ar_json_get(whole, "required") == NULL)
			ar_json_set(whole, AR_STR("required"), ar_json_copy(pool, required));
		else if (required != NULL)
			ar_json_each (m, required)
				ar_json_add(ar_json_get(whole, "required"), ar_json_copy(pool, m));
	}
	return whole;
}

static struct ar_json *read(struct ar_pool *pool, const char *text)
{
	struct ar_json *value = NULL;

	ar_json_parse(pool, ar_str(text), NULL, &value);
	return value;
}

/* {"$ref": "#/components/schemas/NAME"} in an answer or a body. */
static struct ar_json *reference(struct ar_pool *pool, const char *name)
{
	return read(pool, ar_printf(pool, "{\"$ref\":\"#/components/schemas/%s\"}", name));
}

static void record_schema(struct ar_pool *pool, struct ar_json *schemas,
			  const struct data_collection *c, const char *name)
{
	struct ar_json *record = schema_of(pool, c, false), *input = schema_of(pool, c, true);
	struct ar_json *patch = schema_of(pool, c, true);
	struct ar_json *properties = record != NULL ? ar_json_get(record, "properties") : NULL;

	if (properties == NULL || input == NULL || patch == NULL)
		return;
	ar_json_set(properties, AR_STR("id"),
		    read(pool, "{\"type\":\"string\",\"format\":\"uuid\"}"));
	ar_json_set(properties, AR_STR("created"),
		    read(pool, "{\"type\":\"string\",\"format\":\"date-time\"}"));
	ar_json_set(properties, AR_STR("updated"),
		    read(pool, "{\"type\":\"string\",\"format\":\"date-time\"}"));
	ar_json_set(schemas, ar_str(name), record);
	ar_json_set(schemas, ar_strf(pool, "%sInput", name), input);
	ar_json_remove(patch, AR_STR("required"));
	ar_json_set(schemas, ar_strf(pool, "%sPatch", name), patch);
}

static const struct operation {
	const char *method, *id, *summary;
	const char *body;            /* suffix of the schema that is the body; NULL: none */
	const char *status, *answer; /* "one", "list" or "" */
	bool by_id;
} operations[] = {
	{ "get", "list", "List", NULL, "200", "list", false },
	{ "post", "create", "Create", "Input", "201", "one", false },
	{ "get", "get", "Read", NULL, "200", "one", true },
	{ "put", "replace", "Replace", "Input", "200", "one", true },
	{ "patch", "update", "Change", "Patch", "200", "one", true },
	{ "delete", "delete", "Delete", NULL, "204", "", true },
};

static struct ar_json *content(struct ar_pool *pool, struct ar_json *schema)
{
	struct ar_json *ret = ar_json_new(pool, AR_OBJECT), *type = ar_json_new(pool, AR_OBJECT);

	ar_json_set(type, AR_STR("schema"), schema);
	ar_json_set(ret, AR_STR("application/json"), type);
	return ret;
}

static struct ar_json *answer_schema(struct ar_pool *pool, const struct operation *op,
				     const char *name)
{
	struct ar_json *list;

	if (strcmp(op->answer, "one") == 0)
		return reference(pool, name);
	list = read(pool, "{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\"},"
			  "\"nextCursor\":{\"type\":[\"string\",\"null\"]},"
			  "\"prevCursor\":{\"type\":[\"string\",\"null\"]},"
			  "\"total\":{\"type\":\"integer\"}}}");
	ar_json_set(ar_json_path(list, AR_STR("properties.items")), AR_STR("items"),
		    reference(pool, name));
	return list;
}

/* Those of the operation for any collection; only, it is known here which. */
static struct ar_json *parameters(struct ar_pool *pool, const struct ar_json *paths,
				  const struct operation *op)
{
	const struct ar_json *any =
		ar_json_get_str(paths, op->by_id ? AR_STR(RECORDS "/{id}") : AR_STR(RECORDS));
	struct ar_json *ret = ar_json_new(pool, AR_ARRAY);

	any = ar_json_get(ar_json_get(any, op->method), "parameters");
	if (any == NULL)
		return ret;
	ar_json_each (p, any)
		if (!ar_str_is(ar_json_text(p, "name", AR_STR_NONE), "collection"))
			ar_json_add(ret, ar_json_copy(pool, p));
	return ret;
}

static struct ar_json *operation(struct ar_pool *pool, const struct ar_json *paths,
				 const struct operation *op, const struct data_collection *c,
				 const char *name)
{
	struct ar_json *ret = ar_json_new(pool, AR_OBJECT),
		       *responses = ar_json_new(pool, AR_OBJECT);
	struct ar_json *answer = read(pool, "{\"description\":\"Done\"}"), *body;

	ar_json_set(ret, AR_STR("operationId"),
		    ar_json_str(pool, ar_strf(pool, "%s_%.*s", op->id, AR_FMT(c->name))));
	ar_json_set(ret, AR_STR("summary"),
		    ar_json_str(pool, ar_strf(pool, "%s: %.*s", op->summary, AR_FMT(c->name))));
	ar_json_set(ret, AR_STR("tags"),
		    read(pool, ar_printf(pool, "[\"%.*s\"]", AR_FMT(c->name))));
	ar_json_set(ret, AR_STR("parameters"), parameters(pool, paths, op));
	if (op->body != NULL) {
		body = ar_json_new(pool, AR_OBJECT);
		ar_json_set(body, AR_STR("required"), ar_json_bool(pool, true));
		ar_json_set(
			body, AR_STR("content"),
			content(pool, reference(pool, ar_printf(pool, "%s%s", name, op->body))));
		ar_json_set(ret, AR_STR("requestBody"), body);
	}
	if (op->answer[0] != '\0')
		ar_json_set(answer, AR_STR("content"),
			    content(pool, answer_schema(pool, op, name)));
	ar_json_set(responses, ar_str(op->status), answer);
	ar_json_set(responses, AR_STR("default"),
		    read(pool, "{\"$ref\":\"#/components/responses/Problem\"}"));
	ar_json_set(ret, AR_STR("responses"), responses);
	return ret;
}

static void record_paths(struct ar_pool *pool, struct ar_json *paths,
			 const struct data_collection *c, const char *name)
{
	struct ar_json *list = ar_json_new(pool, AR_OBJECT), *one = ar_json_new(pool, AR_OBJECT);

	for (size_t i = 0; i < AR_COUNT(operations); i++)
		ar_json_set(operations[i].by_id ? one : list, ar_str(operations[i].method),
			    operation(pool, paths, &operations[i], c, name));
	ar_json_set(paths, ar_strf(pool, "/collections/%.*s/records", AR_FMT(c->name)), list);
	ar_json_set(paths, ar_strf(pool, "/collections/%.*s/records/{id}", AR_FMT(c->name)), one);
}

static bool knows_all(const struct ar_call *call)
{
	return ar_who_may(call->who, AR_STR(DATA_SCHEMA_READ)) ||
	       ar_who_may(call->who, AR_STR(DATA_RECORDS_READ));
}

/* Only what the caller may know of: the definitions, or a collection that it may list or view. */
AR_YIELDS int data_openapi_stamp(struct ar_call *call, uint64_t *ret)
{
	const struct data_schema *schema;

	if (data_schema_get(call, &schema) != 0)
		return -1;
	*ret = schema->number << 1 | knows_all(call);
	return 0;
}

AR_YIELDS int data_openapi(struct ar_call *call, struct ar_json *paths, struct ar_json *schemas)
{
	const struct data_schema *schema;
	bool all = knows_all(call);

	if (data_schema_get(call, &schema) != 0)
		return -1;
	for (size_t i = 0; i < schema->count; i++) {
		if (i % 4 == 3 && ar_pause() != 0) /* hundreds take a tenth of a second */
			return -1;
		const struct data_collection *c = schema->list[i];
		const char *name = ar_printf(call->pool, "record_%.*s", AR_FMT(c->name));

		if (!all && !c->rules[RULE_LIST].set && !c->rules[RULE_VIEW].set)
			continue;
		record_schema(call->pool, schemas, c, name);
		record_paths(call->pool, paths, c, name);
	}
	return 0;
}
