/*
 * door.h - a module to call, a tenant, callers, and a call as HTTP makes it.
 */
#ifndef ACTION_DOOR_TEST_H
#define ACTION_DOOR_TEST_H

#include "action/action.h"
#include "observe/observe.h"
#include "tests/harness/house.h"

/* ---- a module to call ---- */

static const struct ar_field add_in[] = {
	AR_FIELD_FREE("id", AR_F_TEXT, .max = 20),
	AR_FIELD_FREE("n", AR_F_INT, .required = true, .min = 0, .max = 1000),
	AR_FIELD_FREE("note", AR_F_TEXT, .query = true),
	AR_FIELD_FREE("tags", AR_F_ARRAY, .query = true),
	AR_FIELD_FREE("ifMatch", AR_F_TEXT),
	{ 0 },
};
static const struct ar_field get_in[] = {
	AR_FIELD_FREE("min", AR_F_INT, .otherwise = "3"),
	AR_FIELD_FREE("deep", AR_F_BOOL),
	{ 0 },
};
static const struct ar_field whole_in[] = {
	AR_FIELD_FREE("id", AR_F_TEXT, .required = true),
	AR_FIELD_FREE("data", AR_F_JSON, .required = true),
	{ 0 },
};

static int runs;
static struct ar_cond hold; /* what the slow action waits for */

static inline AR_YIELDS int insert(struct ar_call *call, int64_t n)
{
	return ar_exec(&call->scope, "INSERT INTO thing (n) VALUES (?)", AR_ARGS(AR_J_INT(n)),
		       NULL);
}

static inline AR_YIELDS int add(struct ar_call *call)
{
	int64_t n = ar_in_int(call, "n", -1);

	runs++;
	if (insert(call, n) != 0 || ar_check_if_match(call, AR_STR("\"v1\"")) != 0)
		return -1;
	if (n == 13)
		return ar_fail(AR_E_CONFLICT);
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "run");
	ar_jw_int(w, runs);
	ar_jw_object_end(w);
	ar_reply_header(call, "etag", AR_STR("\"v2\""));
	ar_reply_header(call, "x-evil", AR_STR("a\r\nset-cookie: x"));
	return 0;
}

static inline AR_YIELDS int slow(struct ar_call *call)
{
	runs++;
	return ar_cond_wait(&hold) != 0 ? -1 : insert(call, 1);
}

static inline AR_YIELDS int get(struct ar_call *call)
{
	return ar_reply_value(call, call->input);
}

static inline AR_YIELDS int bytes(struct ar_call *call)
{
	return ar_reply_bytes(call, AR_STR("text/plain"), call->body);
}

static const struct ar_action actions[] = {
	{ "test.add", "POST /things", "things.write", .in = add_in, .run = add, .flags = AR_A_WRITE,
	  .status = 201, .alias = "things-old.add" },
	{ "test.put", "PUT /things/{id}", "things.write", .in = add_in, .run = add,
	  .flags = AR_A_WRITE },
	{ "test.whole", "PUT /whole/{id}", AR_ALLOW_ANYONE, .in = whole_in, .body = "data",
	  .run = get },
	{ "test.slow", "POST /slow", AR_ALLOW_ANYONE, .run = slow, .flags = AR_A_WRITE },
	{ "test.get", "GET /things", AR_ALLOW_ANYONE, .in = get_in, .run = get },
	{ "test.list", "GET /list", AR_ALLOW_ANYONE, .in = get_in, .run = get, .flags = AR_A_LIST },
	{ "test.signed", "GET /signed", AR_ALLOW_SIGNED_IN, .run = get },
	{ "test.bytes", "PUT /bytes", AR_ALLOW_ANYONE, .run = bytes,
	  .flags = AR_A_RAW_IN | AR_A_RAW_OUT | AR_A_WRITE },
	{ "test.http", "GET /http", AR_ALLOW_ANYONE, .run = get, .flags = AR_A_REST_ONLY },
	{ 0 },
};

static const struct ar_migration thing_migrations[] = {
	{ "0001_thing", "CREATE TABLE thing (n BIGINT NOT NULL)",
	  "CREATE TABLE thing (n BIGINT NOT NULL)" },
	{ 0 },
};

static inline AR_YIELDS int created(struct ar_call *call, struct ar_json *reply)
{
	if (ar_json_get(call->input, "fail") != NULL)
		return ar_fail(AR_E_UNAVAILABLE);
	ar_json_set(reply, AR_STR("admin"), ar_json_str(call->pool, AR_STR("root")));
	return insert(call, 100);
}

static const struct ar_module module = { .name = "test",
					 .actions = actions,
					 .migrations = thing_migrations,
					 .tenant_created = created };

/* ---- callers ---- */

static inline struct ar_who *who_with(struct ar_pool *pool, enum ar_who_kind kind, const char *id,
				      const char *permissions)
{
	struct ar_json *list;

	assert_ok(ar_json_parse(pool, ar_str(permissions), &ar_json_limits_default, &list));
	return ar_who_limited(pool, kind, ar_str(id), list);
}

struct world {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
	struct ar_who *writer;
};

/* A call from HTTP, up to and through the door. */
static inline AR_YIELDS int request(struct world *w, const struct ar_who *who, const char *line,
				    const char *type, const char *body, const char *key,
				    struct ar_call **ret)
{
	struct ar_str path = ar_str(line), method = ar_str_cut(&path, ' '), query = path;
	struct ar_call *call = ar_new(w->pool, struct ar_call);
	struct ar_route_match match;

	path = ar_str_cut(&query, '?');
	ar_err_clear();
	*call = (struct ar_call){ .pool = w->pool,
				  .tenant = w->tenant,
				  .who = who,
				  .idempotency_key = ar_str(key),
				  .reply.fd = -1 };
	*ret = call;
	ar_scope_init(&call->scope, w->tenant->db, w->pool);
	if (ar_route_match(w->pool, method, path, AR_ROUTES_API, &match) != 0)
		return -1;
	struct ar_rest rest = { &match,       method,      query,      ar_str(type),
				ar_str(body), AR_STR_NONE, AR_STR_NONE };

	if (ar_rest_input(call, &rest) != 0)
		return -1;
	return ar_action_enter(call, match.action);
}

static inline AR_YIELDS int64_t things(struct world *w)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_query(&scope, &rows, "SELECT COUNT(*) FROM thing", AR_NO_ARGS));
	assert_true(ar_rows_next(&rows));
	return ar_col_int(&rows, 0) - 1; /* without the one of `created` */
}

static inline struct ar_json *parse(struct ar_pool *pool, const char *text)
{
	struct ar_json *value;

	assert_ok(ar_json_parse(pool, ar_str(text), &ar_json_limits_default, &value));
	return value;
}

static inline void world_body(void *arg)
{
	void (*body)(struct world *) = arg;
	struct world w = { .pool = ar_pool_new() };
	struct ar_json *reply;

	runs = 0;
	assert_ok(
		ar_tenant_found(w.pool, parse(w.pool, "{\"name\":\"acme\"}"), NULL, NULL, &reply));
	assert_str(ar_json_text(reply, "admin", AR_STR_NONE), "root");
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &w.tenant));
	w.writer = who_with(w.pool, AR_WHO_USER, "u1", "[\"things.*\"]");
	body(&w);
	ar_tenant_release(w.tenant);
	ar_pool_free(w.pool);
}

static inline void run(void (*body)(struct world *w))
{
	static const struct ar_migration_set sets[] = {
		{ "tenant", ar_setting_migrations },
		{ "action", ar_action_migrations },
		{ "test", thing_migrations },
		{ 0 },
	};

	ar_action_register(&ar_core_module);
	ar_action_register(&module);
	house_open(sets);
	house_run(world_body, body);
	house_close();
	ar_action_done();
}

#define TEST(name) TEST_IN(name, run, struct world *w)

#endif
