/*
 * door.c - tests of the one way into an action: permission, validation, idempotency, commit, from
 * HTTP and from inside; and of founding a tenant.
 */
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

static AR_YIELDS int insert(struct ar_call *call, int64_t n)
{
	return ar_exec(&call->scope, "INSERT INTO thing (n) VALUES (?)", AR_ARGS(AR_J_INT(n)),
		       NULL);
}

static AR_YIELDS int add(struct ar_call *call)
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

static AR_YIELDS int slow(struct ar_call *call)
{
	runs++;
	return ar_cond_wait(&hold) != 0 ? -1 : insert(call, 1);
}

static AR_YIELDS int get(struct ar_call *call)
{
	return ar_reply_value(call, call->input);
}

static AR_YIELDS int bytes(struct ar_call *call)
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

static AR_YIELDS int created(struct ar_call *call, struct ar_json *reply)
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

static struct ar_who *who_with(struct ar_pool *pool, enum ar_who_kind kind, const char *id,
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
static AR_YIELDS int request(struct world *w, const struct ar_who *who, const char *line,
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

static AR_YIELDS int64_t things(struct world *w)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_query(&scope, &rows, "SELECT COUNT(*) FROM thing", AR_NO_ARGS));
	assert_true(ar_rows_next(&rows));
	return ar_col_int(&rows, 0) - 1; /* without the one of `created` */
}

static struct ar_json *parse(struct ar_pool *pool, const char *text)
{
	struct ar_json *value;

	assert_ok(ar_json_parse(pool, ar_str(text), &ar_json_limits_default, &value));
	return value;
}

static void world_body(void *arg)
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

static void run(void (*body)(struct world *w))
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

/* ---- permission ---- */

static void permissions(void **state)
{
	static const struct {
		const char *have, *want;
		bool may;
	} rows[] = {
		{ "[]", "a.b", false },
		{ "[\"a.b\"]", "a.b", true },
		{ "[\"a.b\"]", "a.bc", false },
		{ "[\"a.b\"]", "a", false },
		{ "[\"a.*\"]", "a.b", true },
		{ "[\"a.*\"]", "a.b.c", true },
		{ "[\"a.*\"]", "ab.c", false },
		{ "[\"a.*\"]", "a", false },
		{ "[\"a*\"]", "ab", false }, /* a star stands for whole parts */
		{ "[\"customer:*\"]", "customer:read", true },
		{ "[\"*\"]", "anything", true },
		{ "[\"*\"]", "", false },
		{ "[\"\", 3, null, \"x\"]", "x", true },
		{ "[\"A.B\"]", "a.b", false },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_who *who = who_with(pool, AR_WHO_USER, "u", rows[i].have);

		if (ar_who_may(who, ar_str(rows[i].want)) != rows[i].may)
			fail_msg("%s on %s", rows[i].have, rows[i].want);
	}
	assert_false(ar_who_may(&ar_who_anyone, AR_STR("x")));
	assert_true(ar_who_may(&ar_who_system, AR_STR("x")));
}

TEST(permission_matrix)
{
	struct ar_who *nobody = who_with(w->pool, AR_WHO_USER, "u2", "[]");
	struct ar_who *all = who_with(w->pool, AR_WHO_USER, "u3", "[\"*\"]");
	const struct ar_who *whos[] = { &ar_who_anyone, nobody, w->writer, all, &ar_who_system };
	static const struct {
		const char *line, *body;
		int status[5]; /* 0: success */
	} rows[] = {
		{ "POST /things", "{\"n\":1}", { 401, 403, 0, 0, 0 } },
		{ "GET /signed", "", { 401, 0, 0, 0, 0 } },
		{ "GET /things", "", { 0, 0, 0, 0, 0 } },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		for (size_t j = 0; j < AR_COUNT(whos); j++) {
			int rc = request(w, whos[j], rows[i].line, "application/json", rows[i].body,
					 "", &call);

			assert_int_equal(rc == 0 ? 0 : ar_err()->def->status, rows[i].status[j]);
		}
	}
	assert_int_equal(things(w), 3);
	/* Whoever is not an operator has no business with the platform, whatever the tenant gave. */
	call->tenant = NULL;
	call->who = all;
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("platform.create_tenant"))),
		     AR_E_FORBIDDEN);
	call->who = &ar_who_anyone;
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("platform.list_tenants"))),
		     AR_E_UNAUTHORIZED);
}

/* ---- validation ---- */

TEST(bad_input)
{
	static const struct {
		const char *line, *type, *body;
		int status;
		const char *field;
	} rows[] = {
		{ "POST /things", "application/json", "{", 400 },
		{ "POST /things", "application/json", "{\"n\":1}x", 400 },
		{ "POST /things", "application/json", "{\"n\":1e400}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"n\":2}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"note\":\"a\\u0000\"}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"note\":\"\xff\"}", 400 },
		{ "POST /things", "application/json", "[]", 422, "" },
		{ "POST /things", "application/json", "3", 422, "" },
		{ "POST /things", "application/json", "", 422, "n" },
		{ "POST /things", "application/json", "{}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":\"1\"}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":1001}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":1,\"x\":2}", 422, "x" },
		{ "POST /things", "text/plain", "{\"n\":1}", 415 },
		{ "POST /things", "", "{\"n\":1}", 415 },
		{ "POST /things", "application/x-www-form-urlencoded", "n=1", 415 },
		{ "POST /things", "application/json; charset=gbk", "{\"n\":1}", 415 },
		{ "POST /things?n=1", "application/json", "{\"n\":1}", 422, "n" }, /* no .query */
		{ "POST /things?note=a&note=b", "application/json", "{\"n\":1}", 422, "note" },
		{ "POST /things?note=a%00", "application/json", "{\"n\":1}", 400 },
		{ "POST /things?note=%ff", "application/json", "{\"n\":1}", 400 },
		{ "PUT /things/7", "application/json", "{\"n\":1,\"id\":\"8\"}", 422, "id" },
		{ "GET /things?min=x", "", "", 422, "min" },
		{ "GET /things?nonsense=1", "", "", 422, "nonsense" },
		{ "GET /list?limit=501", "", "", 422, "limit" },
		{ "GET /list?sorted=n", "", "", 422, "sorted" },
		{ "GET /signed?x=1", "", "", 422, "x" },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (request(w, &ar_who_system, rows[i].line, rows[i].type, rows[i].body, "",
			    &call) == 0)
			fail_msg("%zu: %s %s passed", i, rows[i].line, rows[i].body);
		if (ar_err()->def->status != rows[i].status)
			fail_msg("%zu: %s %s: %s", i, rows[i].line, rows[i].body,
				 ar_err()->def->slug);
		if (rows[i].field != NULL)
			assert_string_equal(ar_err()->fields->path, rows[i].field);
	}
	ar_err_clear();
	assert_int_equal(things(w), 0);
	assert_int_equal(runs, 0);
}

TEST(good_input)
{
	static const struct {
		const char *line, *type, *body, *input;
	} rows[] = {
		{ "POST /things", "application/json", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things", "Application/JSON ; Charset=UTF-8", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things", "application/merge-patch+json", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things?note=a+b%26&tags=x,y", "application/json", "{\"n\":1}",
		  "{\"n\":1,\"note\":\"a b&\",\"tags\":[\"x\",\"y\"]}" },
		{ "PUT /things/7", "application/json", "{\"n\":1,\"id\":\"7\"}",
		  "{\"n\":1,\"id\":\"7\"}" },
		{ "PUT /whole/7", "application/json", "[1,{}]", "{\"id\":\"7\",\"data\":[1,{}]}" },
		{ "GET /things", "", "", "{\"min\":3}" },
		{ "GET /things?&min=4&&deep=true", "", "", "{\"min\":4,\"deep\":true}" },
		{ "GET /list?min=4&limit=7&sort=-n&params=%7B%22a%22:1%7D", "", "",
		  "{\"min\":4,\"limit\":7,\"sort\":\"-n\",\"params\":{\"a\":1}}" },
		{ "HEAD /things", "", "", "{\"min\":3}" },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		assert_ok(request(w, &ar_who_system, rows[i].line, rows[i].type, rows[i].body, "",
				  &call));
		if (!ar_json_equal(call->input, parse(w->pool, rows[i].input)))
			fail_msg("%zu: got %s", i,
				 ar_strz(w->pool, ar_json_print(w->pool, call->input)));
	}
}

/* ---- commit and roll back ---- */

TEST(commit_or_nothing)
{
	struct ar_call *call;

	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "", &call));
	assert_int_equal(call->reply.status, 201);
	assert_int_equal(call->reply.nheaders, 1); /* the one that would split is not sent */
	assert_int_equal(things(w), 1);
	assert_fails(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":13}", "", &call),
		AR_E_CONFLICT);
	assert_int_equal(things(w), 1);
	call->input = parse(w->pool, "{\"n\":1,\"ifMatch\":\"\\\"v0\\\", \\\"v9\\\"\"}");
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("test.add"))), AR_E_PRECONDITION);
	assert_int_equal(things(w), 1);
	call->input = parse(w->pool, "{\"n\":1,\"ifMatch\":\"\\\"v0\\\",\\\"v1\\\"\"}");
	assert_ok(ar_action_enter(call, ar_action_find(AR_STR("test.add"))));
	assert_int_equal(things(w), 2);
}

/* ---- idempotency ---- */

TEST(same_key_once)
{
	struct ar_who *other = who_with(w->pool, AR_WHO_USER, "u9", "[\"*\"]");
	struct ar_call *first, *again;

	assert_ok(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k1",
			  &first));
	assert_ok(request(w, w->writer, "POST /things", "application/json", "{ \"n\": 1 }", "k1",
			  &again));
	assert_int_equal(again->reply.status, 201);
	assert_true(ar_str_eq(ar_buf_view(first->reply.json), ar_buf_view(again->reply.json)));
	assert_int_equal(again->reply.nheaders, 2); /* etag, and idempotency-replayed */
	assert_string_equal(again->reply.headers[0].name, "etag");
	assert_str(again->reply.headers[0].value, "\"v2\"");
	assert_int_equal(runs, 1);
	assert_int_equal(things(w), 1);

	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k1",
			     &again),
		     AR_E_KEY_REUSED);
	assert_fails(request(w, w->writer, "PUT /things/1", "application/json", "{\"n\":1}", "k1",
			     &again),
		     AR_E_KEY_REUSED);
	assert_ok(request(w, other, "POST /things", "application/json", "{\"n\":2}", "k1", &again));
	assert_int_equal(things(w), 2); /* another caller's key is another key */

	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":13}", "k2",
			     &again),
		     AR_E_CONFLICT);
	assert_ok(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k2",
			  &again)); /* what failed may be tried again */
	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k 3",
			     &again),
		     AR_E_MALFORMED);

	assert_ok(request(w, w->writer, "PUT /bytes", "", "\x01\xff text", "k4", &again));
	assert_ok(request(w, w->writer, "PUT /bytes", "", "\x01\xff text", "k4", &again));
	assert_str(again->reply.bytes, "\x01\xff text");
	assert_str(again->reply.content_type, "text/plain");
	assert_fails(request(w, w->writer, "PUT /bytes", "", "\x01\xff texT", "k4", &again),
		     AR_E_KEY_REUSED);
}

static void slow_request(void *arg)
{
	struct ar_call *call;

	assert_ok(request(arg, &ar_who_anyone, "POST /slow", "", "", "s1", &call));
}

TEST(still_running)
{
	struct ar_call *call;

	ar_go("slow", slow_request, w, AR_NO_DEADLINE);
	assert_fails(request(w, &ar_who_anyone, "POST /slow", "", "", "s1", &call),
		     AR_E_KEY_RUNNING);
	assert_string_equal(call->reply.headers[0].name, "retry-after");
	ar_cond_signal(&hold);
	while (things(w) == 0)
		assert_ok(ar_sleep(1));
	assert_ok(ar_sleep(5));
	assert_ok(request(w, &ar_who_anyone, "POST /slow", "", "", "s1", &call));
	assert_int_equal(runs, 1);
	assert_int_equal(call->reply.status, 204);
}

static int64_t shifted_now;
static int64_t shifted(void *arg)
{
	return shifted_now;
}

TEST(kept_for_a_day)
{
	static const struct ar_seam seam = { .now_ms = shifted };
	struct ar_call *call;

	shifted_now = ar_now_ms();
	ar_seam_set(&seam);
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k", &call));
	shifted_now += 24 * 3600 * 1000LL - 1;
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k", &call));
	assert_int_equal(runs, 1);
	shifted_now += 1;
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k", &call));
	assert_int_equal(runs, 2);
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k", &call));
	assert_int_equal(runs, 2);
	ar_seam_set(NULL);
}

/* ---- from inside ---- */

static int hook_calls;
static AR_YIELDS int hook(struct ar_call *call, void *arg)
{
	hook_calls++;
	assert_int_equal(call->reply.status, 201);
	return *(bool *)arg ? insert(call, 50) : ar_fail(AR_E_UNAVAILABLE);
}

TEST(invoked)
{
	bool good = true, bad = false;
	struct ar_json *out;
	struct ar_invoke call = { .tenant = w->tenant,
				  .who = w->writer,
				  .face = AR_FACE_LUA,
				  .action = AR_STR("test.add"),
				  .input = parse(w->pool, "{\"n\":5}"),
				  .hook = hook,
				  .hook_arg = &good };

	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_int_equal(ar_json_number(out, "run", 0), 1);
	assert_int_equal(things(w), 2);
	call.hook_arg = &bad; /* the hook's failure undoes the action */
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_UNAVAILABLE);
	assert_int_equal(things(w), 2);
	assert_int_equal(hook_calls, 2);
	call.action = AR_STR("test.get"); /* writes nothing: no hook */
	call.input = NULL;
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_int_equal(ar_json_number(out, "min", 0), 3);
	assert_int_equal(hook_calls, 2);

	call.hook = NULL;
	call.action = AR_STR("things-old.add");
	call.input = parse(w->pool, "{\"n\":5,\"x\":1}");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_INVALID);
	call.input = parse(w->pool, "{\"n\":5}");
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	call.who = &ar_who_anyone;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_UNAUTHORIZED);
	call.depth = AR_CALL_DEPTH_MAX + 1;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_DEPTH);
	call.depth = 0;
	call.action = AR_STR("test.http");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_FACE);
	call.action = AR_STR("platform.list_tenants");
	call.who = &ar_who_system;
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_FACE);
	call.action = AR_STR("test.none");
	assert_fails(ar_action_invoke(w->pool, &call, &out), AR_E_ACTION_UNKNOWN);
	call.action = AR_STR("test.bytes");
	call.input = parse(w->pool, "{\"body\":{\"a\":1}}");
	assert_ok(ar_action_invoke(w->pool, &call, &out));
	assert_str(out->s, "{\"a\":1}");
}

/* ---- tenants ---- */

static AR_YIELDS int platform(struct world *w, const char *name, const char *input,
			      struct ar_call **ret)
{
	struct ar_who *who = who_with(w->pool, AR_WHO_OPERATOR, "o", "[\"platform.*\"]");
	struct ar_call *call = ar_new(w->pool, struct ar_call);

	*call = (struct ar_call){
		.pool = w->pool, .who = who, .input = parse(w->pool, input), .reply.fd = -1
	};
	*ret = call;
	ar_err_clear();
	return ar_action_enter(call, ar_action_find(ar_str(name)));
}

TEST(operators_make_tenants)
{
	struct ar_tenant *tenant;
	struct ar_call *call;

	assert_ok(platform(w, "platform.create_tenant", "{\"name\":\"beta\"}", &call));
	assert_int_equal(call->reply.status, 201);
	struct ar_json *reply = parse(w->pool, ar_strz(w->pool, ar_buf_view(call->reply.json)));

	assert_str(ar_json_text(reply, "name", AR_STR_NONE), "beta");
	assert_true(ar_id_valid(ar_json_text(reply, "id", AR_STR_NONE)));
	assert_str(ar_json_text(reply, "admin", AR_STR_NONE), "root");
	assert_fails(platform(w, "platform.create_tenant", "{\"name\":\"beta\"}", &call),
		     AR_E_TENANT_EXISTS);
	assert_fails(platform(w, "platform.create_tenant", "{\"name\":\"Beta\"}", &call),
		     AR_E_INVALID);
	assert_ok(platform(w, "platform.list_tenants", "{\"limit\":1}", &call));
	reply = parse(w->pool, ar_strz(w->pool, ar_buf_view(call->reply.json)));
	assert_str(ar_json_text(reply, "nextCursor", AR_STR_NONE), "acme");
	assert_ok(platform(w, "platform.delete_tenant", "{\"name\":\"beta\"}", &call));
	assert_int_equal(call->reply.status, 204);
	assert_fails(ar_tenant_acquire(AR_STR("beta"), &tenant), AR_E_TENANT_UNKNOWN);
	/* A module that cannot set the tenant up leaves no tenant. */
	assert_fails(ar_tenant_found(w->pool, parse(w->pool, "{\"name\":\"gone\",\"fail\":1}"),
				     NULL, NULL, &reply),
		     AR_E_UNAVAILABLE);
	assert_fails(ar_tenant_acquire(AR_STR("gone"), &tenant), AR_E_TENANT_UNKNOWN);
	/* An operator's token is not the machine's owner's. */
	assert_fails(platform(w, "platform.call", "{\"tenant\":\"acme\",\"action\":\"test.get\"}",
			      &call),
		     AR_E_FORBIDDEN);
}

static const char *metrics_text(struct ar_pool *pool)
{
	struct ar_buf *out = ar_buf_new(pool, 1 << 22);

	assert_ok(ar_metrics_write(out));
	return ar_strz(pool, ar_buf_view(out));
}

/* The number behind a series; 0 when it is not there. */
static long series(struct ar_pool *pool, const char *name)
{
	const char *text = strstr(metrics_text(pool), name);

	return text != NULL ? strtol(text + strlen(name), NULL, 10) : 0;
}

TEST(metrics)
{
	static const char ok[] = "apprun_action_calls_total{action=\"test.add\",result=\"ok\"} ";
	static const char no[] =
		"apprun_action_calls_total{action=\"test.add\",result=\"refused\"} ";
	static const char count[] = "apprun_action_seconds_count{action=\"test.add\"} ";
	long before[3] = { series(w->pool, ok), series(w->pool, no), series(w->pool, count) };
	struct ar_call *call;

	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "", &call));
	assert_int_equal(request(w, w->writer, "POST /things", "application/json", "{}", "", &call),
			 -1);
	ar_err_clear();
	assert_int_equal(series(w->pool, ok), before[0] + 1);
	assert_int_equal(series(w->pool, no), before[1] + 1);
	assert_int_equal(series(w->pool, count), before[2] + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permissions),       cmocka_unit_test(permission_matrix),
		cmocka_unit_test(bad_input),         cmocka_unit_test(good_input),
		cmocka_unit_test(commit_or_nothing), cmocka_unit_test(same_key_once),
		cmocka_unit_test(still_running),     cmocka_unit_test(kept_for_a_day),
		cmocka_unit_test(invoked),           cmocka_unit_test(operators_make_tenants),
		cmocka_unit_test(metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
