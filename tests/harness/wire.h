/*
 * wire.h - requests to modules without sockets: router, bearer, input, door, problem, as the edge
 * does it, on a store in a temporary folder.
 *
 *	wire_run(modules, body);             a house with these modules; body runs in a fiber of it
 *	wire_tenant("acme");                 makes and holds a tenant, as an operator does
 *	wire(tenant, bearer, "POST /auth/login", "{...}");     a request and its answer
 *
 * A body that is JSON is sent as such; for actions that take bytes it is the bytes. Everything of an
 * answer lives until the tenant is released (wire_release).
 */
#ifndef AR_TEST_WIRE_H
#define AR_TEST_WIRE_H

#include "action/action.h"
#include "blob/blob.h"
#include "bus/bus.h"
#include "config/config.h"
#include "http/server.h"
#include "tests/harness/house.h"

struct wire_tenant {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
	struct ar_json *founded; /* the operator's answer: "admin" */
};

struct answer {
	int status;
	struct ar_str code, text; /* of a problem; the body */
	struct ar_json *json;     /* NULL: none, or bytes */
	const struct ar_err *err; /* NULL: it went well */
	struct ar_call *call;
};

/* What a request carries beside the line and the body. */
struct wire_extra {
	const char *bearer, *key, *type, *client, *if_match, *if_none_match, *language;
	const struct ar_header *headers; /* as the socket would bring them */
	size_t nheaders;
	struct ar_str bytes; /* the body, when it holds NUL */
};

static void (*wire_body)(void);

static inline void wire_fiber(void *arg)
{
	wire_body();
}

static inline void wire_config(void)
{
	static char option[] = "--bcrypt-cost=4";
	char *argv[] = { option, NULL }, *env[] = { NULL };
	struct ar_buf message;
	int argc = 1;

	ar_buf_init(&message, 1024);
	if (ar_config_load(&argc, argv, env, true, &message) != 0)
		fail_msg("%.*s", AR_FMT(ar_buf_view(&message)));
	ar_buf_done(&message);
}

/* modules: ends with NULL. */
static inline void wire_open(const struct ar_module *const *modules)
{
	static struct ar_migration_set sets[16];
	size_t n = 0;

	wire_config();
	sets[n++] = (struct ar_migration_set){ "tenant", ar_setting_migrations };
	sets[n++] = (struct ar_migration_set){ "bus", ar_bus_migrations };
	sets[n++] = (struct ar_migration_set){ "action", ar_action_migrations };
	ar_action_register(&ar_core_module);
	for (const struct ar_module *const *m = modules; *m != NULL; m++) {
		ar_action_register(*m);
		if ((*m)->migrations != NULL)
			sets[n++] = (struct ar_migration_set){ (*m)->name, (*m)->migrations };
	}
	sets[n] = (struct ar_migration_set){ 0 };
	house_open(sets);
	for (const struct ar_module *const *m = modules; *m != NULL; m++)
		if ((*m)->start != NULL)
			assert_ok((*m)->start());
}

static inline void wire_close(void)
{
	house_close();
	ar_action_done();
	ar_config_reset();
}

static inline void wire_run(const struct ar_module *const *modules, void (*body)(void))
{
	wire_open(modules);
	wire_body = body;
	house_run(wire_fiber, NULL);
	wire_close();
}

static inline struct wire_tenant wire_hold(const char *name)
{
	struct wire_tenant t = { .pool = ar_pool_new() };

	assert_ok(ar_tenant_acquire(ar_str(name), &t.tenant));
	return t;
}

static inline struct wire_tenant wire_tenant(const char *name)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *reply;
	struct wire_tenant t;

	ar_json_set(input, AR_STR("name"), ar_json_str(pool, ar_str(name)));
	if (ar_tenant_delete(ar_str(name)) != 0) /* of the test before, where the store stays */
		ar_err_clear();
	assert_ok(ar_tenant_found(pool, input, NULL, NULL, &reply));
	t = wire_hold(name);
	t.founded = ar_json_copy(t.pool, reply);
	ar_pool_free(pool);
	return t;
}

static inline void wire_release(struct wire_tenant *t)
{
	ar_pool_free(t->pool);
	ar_tenant_release(t->tenant);
}

static inline int wire_enter(struct ar_call *call, struct ar_str line,
			     const struct wire_extra *extra, struct ar_str body)
{
	struct ar_str path = line, method = ar_str_cut(&path, ' '), query = path;
	struct ar_route_match match;
	enum ar_route_space space;

	path = ar_str_cut(&query, '?');
	space = ar_str_starts(path, AR_STR("/.well-known/")) ? AR_ROUTES_ROOT : AR_ROUTES_API;
	if (extra->bearer != NULL &&
	    ar_action_authenticate()(call, ar_str(extra->bearer), &call->who) != 0)
		return -1;
	if (ar_route_match(call->pool, method, path, space, &match) != 0)
		return -1;
	struct ar_rest rest = { &match,
				method,
				query,
				ar_str(extra->type != NULL ? extra->type : "application/json"),
				body,
				ar_str(extra->if_match),
				ar_str(extra->if_none_match) };

	if (ar_rest_input(call, &rest) != 0)
		return -1;
	return ar_action_enter(call, match.action);
}

static inline void wire_problem(struct ar_call *call, struct answer *a)
{
	struct ar_buf *out = ar_buf_new(call->pool, 64 << 10);

	assert_non_null(ar_err());
	a->err = ar_err();
	a->code = ar_str_dup(call->pool, ar_str(ar_err()->def->slug));
	a->status = ar_problem(call->pool, ar_err(), call->language, call->request_id, out);
	a->text = ar_buf_view(out);
	assert_ok(ar_json_parse(call->pool, a->text, &ar_json_limits_default, &a->json));
}

static inline struct ar_str wire_method(const char *line)
{
	struct ar_str rest = ar_str(line);

	return ar_str_cut(&rest, ' ');
}

static inline struct ar_str wire_query(const char *line)
{
	struct ar_str rest = ar_str(line);

	ar_str_cut(&rest, '?');
	return rest;
}

static inline struct answer wire_with(struct wire_tenant *t, const char *line, const char *text,
				      const struct wire_extra *extra)
{
	struct ar_pool *pool = t->pool;
	struct ar_call *call = ar_new(pool, struct ar_call);
	struct ar_http *http = ar_new(pool, struct ar_http);
	struct answer a = { .call = call };

	*http = (struct ar_http){ .pool = pool,
				  .method = wire_method(line),
				  .query = wire_query(line),
				  .headers = extra->headers,
				  .nheaders = extra->nheaders,
				  .peer = AR_STR("192.0.2.1") };
	*call = (struct ar_call){ .pool = pool,
				  .tenant = t->tenant,
				  .who = &ar_who_anyone,
				  .face = AR_FACE_REST,
				  .http = http,
				  .client = ar_str(extra->client != NULL ? extra->client
									 : "192.0.2.1"),
				  .language = ar_str(extra->language),
				  .request_id = ar_id(pool),
				  .idempotency_key = ar_str(extra->key),
				  .reply.fd = -1 };
	ar_scope_init(&call->scope, t->tenant->db, pool);
	ar_err_clear();
	if (wire_enter(call, ar_str_dup(pool, ar_str(line)), extra,
		       extra->bytes.n > 0 ? extra->bytes : ar_str_dup(pool, ar_str(text))) != 0) {
		wire_problem(call, &a);
		return a;
	}
	a.status = call->reply.status;
	if (call->reply.kind == AR_REPLY_JSON) {
		a.text = ar_buf_view(call->reply.json);
		assert_ok(ar_json_parse(pool, a.text, &ar_json_limits_default, &a.json));
	} else if (call->reply.kind == AR_REPLY_FILE) {
		char *p = ar_alloc(pool, (size_t)call->reply.length + 1);

		assert_int_equal(
			pread(call->reply.fd, p, (size_t)call->reply.length, call->reply.offset),
			call->reply.length);
		close(call->reply.fd);
		a.text = ar_str_n(p, (size_t)call->reply.length);
	} else if (call->reply.kind == AR_REPLY_BYTES) {
		a.text = call->reply.bytes;
	}
	return a;
}

static inline struct answer wire(struct wire_tenant *t, const char *bearer, const char *line,
				 const char *body)
{
	struct wire_extra extra = { .bearer = bearer };

	return wire_with(t, line, body, &extra);
}

/* The status, and the code of a problem ("" when it went well). */
#define assert_answer(got_, status_, code_)                                                        \
	do {                                                                                       \
		struct answer a_ = (got_);                                                         \
		if (a_.status != (status_) || !ar_str_is(a_.code, (code_)))                        \
			fail_msg("%d %.*s, not %d %s: %.*s", a_.status, AR_FMT(a_.code),           \
				 (status_), (code_), AR_FMT(a_.text));                             \
	} while (0)

/* A member of the answer, "a.b.0", as a NUL-terminated text; "" when it is not there. */
static inline const char *wire_text(struct wire_tenant *t, const struct answer *a, const char *path)
{
	struct ar_json *value = a->json != NULL ? ar_json_path(a->json, ar_str(path)) : NULL;

	if (value == NULL)
		return "";
	return ar_strz(t->pool,
		       value->type == AR_STRING ? value->s : ar_json_print(t->pool, value));
}

static inline struct ar_str wire_header(const struct answer *a, const char *name)
{
	for (size_t i = 0; i < a->call->reply.nheaders; i++)
		if (ar_str_caseeq(ar_str(a->call->reply.headers[i].name), ar_str(name)))
			return a->call->reply.headers[i].value;
	return AR_STR_NONE;
}

/* One number out of the tenant's database. */
static inline int64_t wire_count(struct wire_tenant *t, const char *sql)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_query(&scope, &rows, sql, AR_NO_ARGS));
	assert_true(ar_rows_next(&rows));
	return ar_col_int(&rows, 0);
}

/* The topics of the tenant's events from seq on, "a b c"; *seq moves behind them. */
static inline const char *wire_topics(struct wire_tenant *t, int64_t *seq)
{
	struct ar_buf *out = ar_buf_new(t->pool, 64 << 10);
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_query(&scope, &rows,
			   "SELECT seq, topic FROM bus_event WHERE seq > ? ORDER BY seq",
			   AR_ARGS(AR_J_INT(*seq))));
	while (ar_rows_next(&rows)) {
		if (out->n > 0)
			ar_buf_char(out, ' ');
		ar_buf_str(out, ar_col_str(&rows, 1));
		*seq = ar_col_int(&rows, 0);
	}
	return ar_strz(t->pool, ar_buf_view(out));
}

#endif
