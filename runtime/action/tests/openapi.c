/*
 * openapi.c - tests of the OpenAPI document: every route is in it, inputs stand where REST reads
 * them, and what is a tenant's own is for who is signed in.
 */
#include "action/action.h"
#include "tests/harness/house.h"

static int nothing(struct ar_call *call)
{
	return 0;
}

static const struct ar_field in[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("name", AR_F_TEXT, .required = true, .max = 9),
	AR_FIELD_FREE("dry", AR_F_BOOL, .query = true),
	AR_FIELD_FREE("ifMatch", AR_F_TEXT),
	AR_FIELD_FREE("made", AR_F_TIME, .read_only = true),
	{ 0 },
};
static const struct ar_action actions[] = {
	{ "test.add", "POST /things", "things.write", .in = in, .out = in, .run = nothing,
	  .flags = AR_A_WRITE, .status = 201, .help = "Add \"one\"" },
	{ "test.get", "GET /things/{id}", "-", .in = in, .out = in, .run = nothing },
	{ "test.list", "GET /things", "+", .out = in, .run = nothing, .flags = AR_A_LIST },
	{ "test.put", "PUT /files/{id}/{path...}", "-", .in = in, .run = nothing,
	  .flags = AR_A_RAW_IN | AR_A_REST_ONLY },
	{ "test.any", "ANY /fn/{name}", "-", .in = in, .run = nothing },
	{ "test.key", "GET /.well-known/x", "-", .run = nothing, .flags = AR_A_ROOT },
	{ 0 },
};

static int stamp = 1, made;

static int own(struct ar_call *call, struct ar_json *paths, struct ar_json *schemas)
{
	ar_json_set(paths, AR_STR("/own"), ar_json_new(call->pool, AR_OBJECT));
	ar_json_set(schemas, ar_strf(call->pool, "Own%d", stamp),
		    ar_json_new(call->pool, AR_OBJECT));
	made++;
	return ar_pause();
}
static int own_stamp(struct ar_call *call, uint64_t *ret)
{
	*ret = (uint64_t)stamp;
	return 0;
}
static const struct ar_module module = {
	.name = "test", .actions = actions, .openapi = own, .openapi_stamp = own_stamp
};

static const char *etag; /* of the last one */

static struct ar_json *document(struct ar_pool *pool, struct ar_tenant *tenant,
				const struct ar_who *who)
{
	struct ar_call call = { .pool = pool, .tenant = tenant, .who = who, .reply.fd = -1 };
	struct ar_json *doc;

	ar_scope_init(&call.scope, tenant->db, pool);
	assert_ok(ar_action_enter(&call, ar_action_find(AR_STR("core.openapi"))));
	assert_ok(ar_json_parse(pool, call.reply.bytes, &ar_json_limits_default, &doc));
	assert_string_equal(call.reply.headers[0].name, "etag");
	etag = ar_strz(pool, call.reply.headers[0].value);
	return doc;
}

static struct ar_json *at(const struct ar_json *value, const char *a, const char *b)
{
	value = ar_json_get(value, a);
	return value != NULL ? ar_json_get(value, b) : NULL;
}

/* "path:id query:dry": where the parameters of an operation are. */
static const char *places(struct ar_pool *pool, const struct ar_json *operation)
{
	struct ar_buf *text = ar_buf_new(pool, 10000);

	ar_json_each (p, ar_json_get(operation, "parameters")) {
		struct ar_str name = ar_json_text(p, "name", AR_STR("ref"));

		ar_buf_printf(text, "%s%.*s:%.*s", text->n > 0 ? " " : "",
			      AR_FMT(ar_json_text(p, "in", AR_STR("ref"))), AR_FMT(name));
	}
	return ar_strz(pool, ar_buf_view(text));
}

struct reader {
	struct ar_tenant *tenant;
	int *ended;
};

static void read_main(void *arg)
{
	struct reader *reader = arg;
	struct ar_pool *pool = ar_pool_new();

	document(pool, reader->tenant, &ar_who_system);
	ar_pool_free(pool);
	++*reader->ended;
}

static void is_kept(struct ar_pool *pool, struct ar_tenant *tenant)
{
	const char *first, *second;
	struct reader reader = { tenant, &(int){ 0 } };
	int before;

	document(pool, tenant, &ar_who_system);
	first = etag;
	before = made;
	document(pool, tenant, &ar_who_system);
	assert_string_equal(etag, first);
	assert_int_equal(made, before);
	document(pool, tenant, &ar_who_anyone);
	assert_string_not_equal(etag, first);
	stamp = 2; /* something has changed: ten come at once, one makes it */
	for (int i = 0; i < 10; i++)
		ar_go("reader", read_main, &reader, AR_NO_DEADLINE);
	while (*reader.ended < 10)
		assert_ok(ar_sleep(1));
	assert_int_equal(made, before + 1);
	assert_non_null(ar_json_path(document(pool, tenant, &ar_who_system),
				     AR_STR("components.schemas.Own2")));
	second = etag;
	assert_string_not_equal(second, first);
	for (stamp = 3; stamp < 20; stamp++) /* only the last few are kept */
		document(pool, tenant, &ar_who_system);
	before = made;
	stamp = 19;
	document(pool, tenant, &ar_who_system);
	assert_int_equal(made, before);
	stamp = 2;
	document(pool, tenant, &ar_who_system);
	assert_string_equal(etag, second); /* it speaks of the content */
	assert_int_equal(made, before + 1);
	stamp = 1;
}

static void body(void *arg)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *doc, *paths, *op;
	struct ar_tenant *tenant;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	doc = document(pool, tenant, &ar_who_system);
	paths = ar_json_get(doc, "paths");
	assert_str(ar_json_text(doc, "openapi", AR_STR_NONE), "3.1.0");
	assert_str(ar_json_path(doc, AR_STR("servers.0.url"))->s, "/t/acme/api/v1");
	assert_int_equal(paths->count, 6); /* openapi, things, things/id, files, fn, own */
	assert_null(ar_json_get(paths, "/tenants"));
	assert_null(ar_json_get(paths, "/.well-known/x"));

	op = at(paths, "/things", "post");
	assert_str(ar_json_text(op, "operationId", AR_STR_NONE), "test.add");
	assert_str(ar_json_text(op, "summary", AR_STR_NONE), "Add \"one\"");
	assert_string_equal(places(pool, op), "query:dry header:If-Match ref:ref");
	op = ar_json_path(op, AR_STR("requestBody.content"));
	op = ar_json_get(ar_json_get(op, "application/json"), "schema");
	assert_non_null(at(op, "properties", "name"));
	assert_null(at(op, "properties", "dry"));
	assert_null(at(op, "properties", "made"));
	assert_non_null(ar_json_path(at(paths, "/things", "post"), AR_STR("responses.201")));

	assert_string_equal(places(pool, at(paths, "/things/{id}", "get")),
			    "path:id query:name query:dry header:If-Match");
	assert_null(ar_json_get(at(paths, "/things/{id}", "get"), "requestBody"));
	op = at(paths, "/things", "get");
	assert_string_equal(places(pool, op),
			    "query:filter query:params query:sort query:fields "
			    "query:limit query:cursor query:page query:perPage query:count");
	op = ar_json_path(op, AR_STR("responses.200.content"));
	op = ar_json_path(ar_json_get(op, "application/json"),
			  AR_STR("schema.properties.items.items"));
	assert_non_null(at(op, "properties", "made"));
	assert_string_equal(places(pool, at(paths, "/files/{id}/{path}", "put")),
			    "path:path path:id query:dry header:If-Match");
	for (size_t i = 0; i < 5; i++) {
		static const char *const methods[] = { "get", "post", "put", "patch", "delete" };

		assert_non_null(at(paths, "/fn/{name}", methods[i]));
	}
	assert_non_null(ar_json_path(doc, AR_STR("components.schemas.Own1")));

	doc = document(pool, tenant, &ar_who_anyone);
	assert_int_equal(ar_json_get(doc, "paths")->count, 5);
	assert_null(ar_json_path(doc, AR_STR("components.schemas.Own1")));
	is_kept(pool, tenant);
	ar_tenant_release(tenant);
}

static void whole(void **state)
{
	static const struct ar_migration_set sets[] = { { "action", ar_action_migrations }, { 0 } };

	ar_action_register(&ar_core_module);
	ar_action_register(&module);
	house_open(sets);
	assert_ok(ar_core_module.start());
	house_run(body, NULL);
	house_close();
	ar_action_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
