/*
 * edge.c - tests of the edge over real sockets, with two loops: tenants by three addresses, callers,
 * headers, problems in two languages, limits, the process's own paths.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#include "http/edge.h"
#include "observe/observe.h"
#include "tests/harness/house.h"

#define PLATFORM "platform-token-for-tests-0123456789"
#define LOCAL    "local-token-for-tests-0123456789"

/* ---- a module ---- */

static const struct ar_field in[] = {
	AR_FIELD_FREE("id", AR_F_TEXT),
	AR_FIELD_FREE("n", AR_F_INT, .max = 10),
	AR_FIELD_FREE("ifMatch", AR_F_TEXT),
	{ 0 },
};

static AR_YIELDS int echo(struct ar_call *call)
{
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "tenant");
	ar_jw_str(w, call->tenant->name);
	ar_jw_keyz(w, "who");
	ar_jw_str(w, call->who->id);
	ar_jw_keyz(w, "input");
	ar_jw_value(w, call->input);
	ar_jw_object_end(w);
	ar_reply_header(call, "etag", AR_STR("\"e1\""));
	return 0;
}

static AR_YIELDS int insert(struct ar_call *call)
{
	if (ar_exec(&call->scope, "INSERT INTO thing (n) VALUES (?)",
		    AR_ARGS(AR_J_INT(ar_in_int(call, "n", 0))), NULL) != 0)
		return -1;
	return echo(call);
}

static AR_YIELDS int boom(struct ar_call *call)
{
	return ar_fail_why(AR_E_INTERNAL, "secret detail");
}

static AR_YIELDS int html(struct ar_call *call)
{
	return ar_reply_bytes(call, AR_STR("text/html"), AR_STR("<script>alert(1)</script>"));
}

static const struct ar_action actions[] = {
	{ "test.echo", "GET /echo/{id}", AR_ALLOW_ANYONE, .in = in, .run = echo },
	{ "test.add", "POST /things", "things.write", .in = in, .run = insert, .flags = AR_A_WRITE,
	  .status = 201 },
	{ "test.open", "POST /open", AR_ALLOW_ANYONE, .in = in, .run = insert,
	  .flags = AR_A_WRITE },
	{ "test.boom", "GET /boom", AR_ALLOW_ANYONE, .run = boom },
	{ "test.html", "GET /html", AR_ALLOW_ANYONE, .run = html, .flags = AR_A_RAW_OUT },
	{ "test.root", "GET /.well-known/test", AR_ALLOW_ANYONE, .run = echo, .flags = AR_A_ROOT },
	{ 0 },
};
static const struct ar_migration thing_migrations[] = {
	{ "0001_thing", "CREATE TABLE thing (n BIGINT NOT NULL)",
	  "CREATE TABLE thing (n BIGINT NOT NULL)" },
	{ 0 },
};
static const struct ar_module module = { .name = "test", .actions = actions };

static AR_YIELDS int authenticate(struct ar_call *call, struct ar_str bearer,
				  const struct ar_who **ret)
{
	static const struct ar_str all[1] = { { "things.write", 12 } };
	static const struct ar_who writer = {
		.kind = AR_WHO_USER, .id = { "u1", 2 }, .permissions = all, .npermissions = 1
	};
	static const struct ar_who reader = { .kind = AR_WHO_USER, .id = { "u2", 2 } };

	if (ar_str_is(bearer, "writer"))
		*ret = &writer;
	else if (ar_str_is(bearer, "reader"))
		*ret = &reader;
	else
		return ar_fail(AR_E_UNAUTHORIZED);
	return 0;
}

static AR_YIELDS bool page(struct ar_http *http)
{
	if (!ar_str_is(http->path, "/"))
		return false;
	ar_http_reply(http, 200, NULL, 0, AR_STR("the page"));
	return true;
}

/* ---- a server ---- */

static struct ar_server *server;
static int port;

static int loop_start(int index)
{
	ar_store_attach(house.store);
	ar_tenant_attach();
	ar_edge_attach();
	return 0;
}

static void loop_stop(int index)
{
	ar_edge_detach();
	ar_tenant_detach();
	ar_store_detach(house.store);
}

static void serve(const struct ar_edge_options *edge)
{
	static const struct ar_migration_set sets[] = { { "action", ar_action_migrations },
							{ "test", thing_migrations },
							{ 0 } };
	const struct ar_server_options options = { .host = AR_STR("127.0.0.1"),
						   .loops = 2,
						   .handle = ar_edge_handle,
						   .body_max = 100000,
						   .loop_start = loop_start,
						   .loop_stop = loop_stop };

	ar_action_register(&ar_core_module);
	ar_action_register(&module);
	ar_action_set_authenticate(authenticate);
	house_open(sets);
	ar_edge_init(edge);
	ar_edge_set_page(page);
	ar_server_set_refuse(ar_edge_refuse);
	assert_ok(ar_server_start(&options, &server));
	ar_edge_set_server(server);
	ar_state_set(AR_SERVING);
	port = ar_server_port(server);
}

static void served(void)
{
	ar_server_stop(server, 1000);
	ar_edge_done();
	house_close();
	ar_action_done();
}

/* ---- a client ---- */

static struct ar_pool *pool;

struct answer {
	int status;
	const char *head, *body;
	struct ar_json *json; /* of the body, when it is JSON */
};

/* request: lines with \n, without Host and Connection; body behind an empty line. */
static struct answer ask_host(const char *host, const char *request)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct ar_buf *out = ar_buf_new(pool, 1 << 20), *in_ = ar_buf_new(pool, 1 << 24);
	const char *body = strstr(request, "\n\n");
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct answer answer = { 0 };
	ssize_t n;

	for (const char *c = request; *c != '\0' && c != body; c++) {
		if (*c == '\n')
			ar_buf_char(out, '\r');
		ar_buf_char(out, *c);
	}
	ar_buf_printf(out, "\r\nHost: %s\r\nConnection: close\r\n", host);
	if (body != NULL)
		ar_buf_printf(out, "Content-Length: %zu\r\n", strlen(body + 2));
	ar_buf_z(out, "\r\n");
	ar_buf_z(out, body != NULL ? body + 2 : "");
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(fd, out->p, out->n), out->n);
	while ((n = read(fd, ar_buf_room(in_, 65536), 65536)) > 0)
		in_->n += (size_t)n;
	close(fd);
	answer.head = ar_strz(pool, ar_buf_view(in_));
	char *end = strstr(answer.head, "\r\n\r\n");

	assert_non_null(end);
	*end = '\0';
	answer.body = end + 4;
	answer.status = (int)strtol(answer.head + 9, NULL, 10);
	if (answer.body[0] == '{')
		assert_ok(ar_json_parse(pool, ar_str(answer.body), &ar_json_limits_default,
					&answer.json));
	return answer;
}

static struct answer ask(const char *request)
{
	return ask_host("127.0.0.1", request);
}

static const char *header(const struct answer *answer, const char *name)
{
	struct ar_str left = ar_str(answer->head);

	while (left.p != NULL) {
		struct ar_str value = ar_str_trim(ar_str_cut(&left, '\n'));
		struct ar_str key = ar_str_cut(&value, ':');

		if (ar_str_caseeq(key, ar_str(name))) {
			value = ar_str_trim(value);
			if (value.n > 0 && value.p[value.n - 1] == '\r')
				value.n--;
			return ar_strz(pool, value);
		}
	}
	return "";
}

static const char *code(const struct answer *answer)
{
	return answer->json == NULL ? ""
				    : ar_strz(pool, ar_json_text(answer->json, "code", AR_STR("")));
}

#define ECHO_TENANT(a) ar_json_text((a).json, "tenant", AR_STR_NONE)

static void make_tenant(const char *name)
{
	struct answer a =
		ask(ar_printf(pool,
			      "POST /platform/v1/tenants HTTP/1.1\nAuthorization: Bearer " PLATFORM
			      "\nContent-Type: application/json\n\n{\"name\":\"%s\"}",
			      name));

	assert_int_equal(a.status, 201);
}

static const struct ar_edge_options plain = {
	.base_domain = { "apprun.test", 11 },
	.platform_token = { PLATFORM, sizeof(PLATFORM) - 1 },
	.local_token = { LOCAL, sizeof(LOCAL) - 1 },
	.cors_origins = { "*", 1 },
	.access_log = true,
};

static int log_fd;

static int start(void **state)
{
	char path[] = "/tmp/apprun-log-XXXXXX";

	log_fd = mkstemp(path);
	unlink(path);
	ar_log_fd(log_fd);
	pool = ar_pool_new();
	serve(&plain);
	make_tenant("acme");
	make_tenant("beta");
	return 0;
}

static int stop(void **state)
{
	served();
	ar_pool_free(pool);
	ar_log_fd(2);
	close(log_fd);
	return 0;
}

/* ---- tenants ---- */

static void tenants(void **state)
{
	static const struct {
		const char *host, *path, *header;
		int status;
		const char *want; /* the tenant, or the problem's code */
	} rows[] = {
		{ "x", "/t/acme/api/v1/echo/1", NULL, 200, "acme" },
		{ "acme.apprun.test", "/api/v1/echo/1", NULL, 200, "acme" },
		{ "ACME.AppRun.Test:8090", "/api/v1/echo/1", NULL, 200, "acme" },
		{ "x", "/api/v1/echo/1", "beta", 200, "beta" },
		{ "beta.apprun.test", "/t/beta/api/v1/echo/1", "beta", 200, "beta" },
		{ "acme.apprun.test", "/t/beta/api/v1/echo/1", NULL, 400, "tenant/conflict" },
		{ "acme.apprun.test", "/api/v1/echo/1", "beta", 400, "tenant/conflict" },
		{ "x", "/t/acme/api/v1/echo/1", "beta", 400, "tenant/conflict" },
		{ "x", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "apprun.test", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "acmeapprun.test", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "x.acme.apprun.test", "/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/nobody/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/ACME/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/%61cme/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t//api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/acme/api/v1/nothing", NULL, 404, "not-found" },
		{ "x", "/t/acme/api/v2/echo/1", NULL, 404, "not-found" },
		{ "x", "/t/acme/echo/1", NULL, 404, "not-found" },
		{ "x", "/t/acme/api/v1/../../beta/api/v1/echo/1", NULL, 400, "malformed" },
		{ "x", "/t/acme/api/v1/echo/%00", NULL, 400, "malformed" },
		{ "x", "/t/acme/.well-known/test", NULL, 200, "acme" },
		{ "acme.apprun.test", "/.well-known/test", NULL, 200, "acme" },
		{ "x", "/.well-known/test", NULL, 404, "tenant/missing" },
		{ "x", "/t/acme", NULL, 404, "not-found" },
		{ "x", "/platform/v1/echo/1", NULL, 404, "not-found" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = ask_host(
			rows[i].host, ar_printf(pool, "GET %s HTTP/1.1%s%s", rows[i].path,
						rows[i].header != NULL ? "\nX-Apprun-Tenant: " : "",
						rows[i].header != NULL ? rows[i].header : ""));
		const char *got = a.status == 200 ? ar_strz(pool, ECHO_TENANT(a)) : code(&a);

		if (a.status != rows[i].status || strcmp(got, rows[i].want) != 0)
			fail_msg("%s%s (%s): %d %s", rows[i].host, rows[i].path,
				 rows[i].header != NULL ? rows[i].header : "", a.status, got);
	}
}

/* ---- callers ---- */

static void callers(void **state)
{
	static const struct {
		const char *authorization;
		int status;
	} rows[] = {
		{ "", 401 },
		{ "\nAuthorization: Bearer writer", 201 },
		{ "\nAuthorization: bearer writer", 201 },
		{ "\nAuthorization: Bearer reader", 403 },
		{ "\nAuthorization: Bearer nobody", 401 },
		{ "\nAuthorization: Bearer ", 401 },
		{ "\nAuthorization: Bearer", 401 },
		{ "\nAuthorization: Basic d3JpdGVyOg==", 401 },
		{ "\nAuthorization: Bearer " PLATFORM, 401 },
		{ "\nAuthorization: Bearer " LOCAL, 401 },
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = ask(ar_printf(
			pool,
			"POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json%s"
			"\n\n{\"n\":1}",
			rows[i].authorization));
		if (a.status != rows[i].status)
			fail_msg("%s: %d", rows[i].authorization, a.status);
		if (a.status == 401)
			assert_string_equal(header(&a, "www-authenticate"), "Bearer");
	}
	/* Who may not call learns nothing about the body. */
	a = ask("POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: text/plain\n\n{{{");
	assert_int_equal(a.status, 401);
	a = ask("POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json\n"
		"Authorization: Bearer writer\n\n{{{");
	assert_int_equal(a.status, 400);
}

static void operators(void **state)
{
	static const struct {
		const char *line, *token, *body;
		int status;
	} rows[] = {
		{ "GET /platform/v1/tenants", "", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer writer", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM "x", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM, NULL, 200 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " LOCAL, NULL, 200 },
		{ "GET /platform/v1/tenants",
		  "\nX-Forwarded-For: 1.2.3.4\nAuthorization: Bearer " LOCAL, NULL, 401 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " PLATFORM,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":2}}", 403 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":2}}", 200 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":20}}", 422 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"nobody\",\"action\":\"test.add\"}", 404 },
		{ "DELETE /platform/v1/tenants/nobody", "\nAuthorization: Bearer " PLATFORM, NULL,
		  404 },
		{ "PUT /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM, NULL, 405 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = ask(
			ar_printf(pool, "%s HTTP/1.1\nContent-Type: application/json%s%s%s",
				  rows[i].line, rows[i].token, rows[i].body != NULL ? "\n\n" : "",
				  rows[i].body != NULL ? rows[i].body : ""));

		if (a.status != rows[i].status)
			fail_msg("%zu: %s: %d %s", i, rows[i].line, a.status, a.body);
	}
}

static void tenant_comes_and_goes(void **state)
{
	struct answer a;

	make_tenant("gamma");
	for (int i = 0; i < 8; i++) { /* on both loops */
		a = ask("GET /t/gamma/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 200);
	}
	a = ask("DELETE /platform/v1/tenants/gamma HTTP/1.1\nAuthorization: Bearer " PLATFORM);
	assert_int_equal(a.status, 204);
	for (int i = 0; i < 8; i++) {
		a = ask("GET /t/gamma/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 404);
	}
}

/* ---- headers ---- */

static void headers(void **state)
{
	struct answer a =
		ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Request-Id: abc-1.2_3\n"
		    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

	assert_string_equal(header(&a, "x-request-id"), "abc-1.2_3");
	assert_memory_equal(header(&a, "traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
	assert_null(strstr(header(&a, "traceparent"), "00f067aa0ba902b7"));
	assert_string_equal(header(&a, "content-type"), "application/json");
	assert_string_equal(header(&a, "x-content-type-options"), "nosniff");
	assert_string_equal(header(&a, "cache-control"), "private, no-cache");
	assert_string_equal(header(&a, "etag"), "\"e1\"");
	assert_string_equal(header(&a, "access-control-allow-origin"), "");
	assert_string_equal(header(&a, "ratelimit"), "");

	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Request-Id: a b<>\ntraceparent: 00-0-0-0\n"
		"Origin: https://x.example");
	assert_int_equal(strlen(header(&a, "x-request-id")), AR_ID_LEN);
	assert_int_equal(strlen(header(&a, "traceparent")), 55);
	assert_string_equal(header(&a, "access-control-allow-origin"), "*");
	assert_string_equal(header(&a, "access-control-allow-credentials"), "");

	a = ask("GET /t/acme/api/v1/html HTTP/1.1");
	assert_string_equal(header(&a, "content-type"), "text/html");
	assert_non_null(strstr(header(&a, "content-security-policy"), "sandbox"));

	a = ask("OPTIONS /t/acme/api/v1/things HTTP/1.1\nOrigin: https://x.example\n"
		"Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: "
		"authorization");
	assert_int_equal(a.status, 204);
	assert_string_equal(header(&a, "access-control-allow-headers"), "authorization");
	assert_string_equal(header(&a, "access-control-allow-origin"), "*");

	a = ask("DELETE /t/acme/api/v1/things HTTP/1.1\nAuthorization: Bearer writer");
	assert_int_equal(a.status, 405);
	assert_string_equal(header(&a, "allow"), "POST");
}

static void conditions(void **state)
{
	static const struct {
		const char *header;
		int status;
	} rows[] = {
		{ "If-None-Match: \"e1\"", 304 }, { "If-None-Match: W/\"e1\"", 304 },
		{ "If-None-Match: *", 304 },      { "If-None-Match: \"e0\", \"e1\"", 304 },
		{ "If-None-Match: \"e0\"", 200 }, { "Prefer: return=minimal", 200 }, /* no write */
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = ask(ar_printf(pool, "GET /t/acme/api/v1/echo/1 HTTP/1.1\n%s", rows[i].header));
		assert_int_equal(a.status, rows[i].status);
		assert_int_equal(strlen(a.body) == 0, a.status == 304);
	}
	a = ask("GET /t/acme/api/v1/echo/1?n=3 HTTP/1.1\nIf-Match: \"q\"");
	assert_str(ar_json_path(a.json, AR_STR("input.ifMatch"))->s, "\"q\"");
	a = ask("POST /t/acme/api/v1/open HTTP/1.1\nContent-Type: application/json\n"
		"Prefer: return=minimal\n\n{}");
	assert_int_equal(a.status, 204);
	assert_string_equal(header(&a, "preference-applied"), "return=minimal");
	a = ask("HEAD /t/acme/api/v1/echo/1 HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "");
}

static void idempotent(void **state)
{
	static const char request[] =
		"POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json\n"
		"Authorization: Bearer writer\nIdempotency-Key: k-%d\n\n{\"n\":%d}";
	struct answer a = ask(ar_printf(pool, request, 1, 1)),
		      b = ask(ar_printf(pool, request, 1, 1));

	assert_int_equal(a.status, 201);
	assert_int_equal(b.status, 201);
	assert_string_equal(a.body, b.body);
	assert_string_equal(header(&a, "idempotency-replayed"), "");
	assert_string_equal(header(&b, "idempotency-replayed"), "true");
	a = ask(ar_printf(pool, request, 1, 2));
	assert_int_equal(a.status, 422);
	assert_string_equal(code(&a), "action/key-reused");
}

/* ---- problems ---- */

static void problems(void **state)
{
	struct answer a = ask("GET /t/acme/api/v1/boom HTTP/1.1\nX-Request-Id: r1");

	assert_int_equal(a.status, 500);
	assert_string_equal(header(&a, "content-type"), "application/problem+json");
	assert_string_equal(header(&a, "cache-control"), "no-store");
	assert_string_equal(header(&a, "content-language"), "en");
	assert_null(strstr(a.body, "secret"));
	assert_str(ar_json_text(a.json, "instance", AR_STR_NONE), "/requests/r1");

	a = ask("GET /t/acme/api/v1/echo/1?n=11&x=1 HTTP/1.1\nAccept-Language: de, zh-CN;q=0.9, "
		"en;q=0.1");
	assert_int_equal(a.status, 422);
	assert_string_equal(header(&a, "content-language"), "zh-CN");
	assert_str(ar_json_path(a.json, AR_STR("fields.n.code"))->s, "too-large");
	assert_str(ar_json_path(a.json, AR_STR("fields.x.code"))->s, "unknown");
	assert_true((unsigned char)ar_json_text(a.json, "title", AR_STR_NONE).p[0] > 127);

	/* What the server's own guards refuse looks the same. */
	a = ask("BREW /t/acme/api/v1/echo/1 HTTP/1.1");
	assert_true(a.status >= 400 && a.json != NULL);
	char *big = ar_alloc(pool, 200001);

	memset(big, 'a', 200000);
	a = ask(ar_printf(pool,
			  "POST /t/acme/api/v1/open HTTP/1.1\nContent-Type: application/json\n\n%s",
			  big));
	assert_int_equal(a.status, 413);
	assert_string_equal(code(&a), "too-large");
}

/* ---- the process's own ---- */

static void own_paths(void **state)
{
	struct answer a = ask("GET /livez HTTP/1.1");

	assert_int_equal(a.status, 200);
	a = ask("GET /readyz HTTP/1.1");
	assert_int_equal(a.status, 200);
	ar_state_set(AR_STOPPING);
	a = ask("GET /readyz HTTP/1.1");
	assert_int_equal(a.status, 503);
	a = ask("GET /livez HTTP/1.1");
	assert_int_equal(a.status, 200);
	ar_state_set(AR_SERVING);
	a = ask("GET /healthz HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_str(ar_json_path(a.json, AR_STR("checks.store"))->s, "ok");
	a = ask("POST /livez HTTP/1.1\n\n");
	assert_int_equal(a.status, 405);
	assert_string_equal(header(&a, "allow"), "GET, HEAD");

	a = ask("GET /metrics HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_non_null(
		strstr(a.body, "\napprun_action_calls_total{action=\"test.echo\",result=\"ok\"} "));
	assert_non_null(strstr(a.body, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(a.body, "\napprun_http_requests_total "));
	assert_non_null(strstr(a.body, "\napprun_store_commits_total "));
	a = ask("GET /metrics HTTP/1.1\nX-Forwarded-For: 1.2.3.4");
	assert_int_equal(a.status, 401);
	a = ask("GET /metrics HTTP/1.1\nX-Forwarded-For: 1.2.3.4\nAuthorization: Bearer " PLATFORM);
	assert_int_equal(a.status, 200);

	a = ask("GET / HTTP/1.1");
	assert_string_equal(a.body, "the page");
	a = ask("GET /else HTTP/1.1");
	assert_int_equal(a.status, 404);
	a = ask("POST / HTTP/1.1\n\n");
	assert_int_equal(a.status, 404);
}

static void access_log(void **state)
{
	static char text[1 << 20];
	struct answer a =
		ask("GET /t/acme/api/v1/echo/1?n=3 HTTP/1.1\nX-Request-Id: logged-1\n"
		    "Authorization: Bearer writer\n"
		    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	struct ar_json *line = NULL;
	char *at = NULL;

	assert_int_equal(a.status, 200);
	for (int i = 0; i < 100 && at == NULL; i++) { /* written at the end of the loop's turn */
		ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

		text[n > 0 ? n : 0] = '\0';
		at = strstr(text, "logged-1");
		usleep(1000);
	}
	assert_non_null(at);
	assert_null(strstr(text, PLATFORM));
	while (at > text && at[-1] != '\n')
		at--;
	*strchr(at, '\n') = '\0';
	assert_ok(ar_json_parse(pool, ar_str(at), &ar_json_limits_default, &line));
	assert_str(ar_json_text(line, "traceId", AR_STR_NONE), "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_str(ar_json_text(line, "userId", AR_STR_NONE), "u1");
	assert_str(ar_json_text(line, "tenant", AR_STR_NONE), "acme");
	assert_str(ar_json_path(line, AR_STR("data.path"))->s, "/t/acme/api/v1/echo/1");
	assert_str(ar_json_path(line, AR_STR("data.action"))->s, "test.echo");
	assert_int_equal(ar_json_path(line, AR_STR("data.status"))->i, 200);
	assert_non_null(ar_json_path(line, AR_STR("timestamp")));
	assert_non_null(ar_json_path(line, AR_STR("data.ms")));
}

/* ---- limits: a server of its own ---- */

static void limits(void **state)
{
	static const char request[] =
		"GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Forwarded-For: 9.9.9.9, %s";
	struct ar_edge_options options = plain;
	struct answer a;

	options.trust_proxy = true;
	options.client_rate = 2;
	options.client_burst = 3;
	options.tenant_rate = 1000;
	options.tenant_burst = 1000;
	options.cors_origins = AR_STR("https://a.example, https://b.example");
	pool = ar_pool_new();
	serve(&options);
	make_tenant("acme");
	for (int i = 0; i < 3; i++) {
		a = ask(ar_printf(pool, request, "1.2.3.4"));
		assert_int_equal(a.status, 200);
	}
	a = ask(ar_printf(pool, request, "1.2.3.4"));
	assert_int_equal(a.status, 429);
	assert_string_equal(code(&a), "too-many-requests");
	assert_string_equal(header(&a, "retry-after"), "1");
	assert_string_equal(header(&a, "ratelimit-policy"), "\"default\";q=3;w=1");
	assert_string_equal(header(&a, "ratelimit"), "\"default\";r=0;t=1");
	a = ask(ar_printf(pool, request, "1.2.3.5")); /* another client */
	assert_int_equal(a.status, 200);
	for (int i = 0; i < 4; i++) { /* a proxy that adds a line of its own: the last one counts */
		a = ask(ar_printf(pool,
				  "GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Forwarded-For: 7.7.7.%d\n"
				  "X-Forwarded-For: 5.5.5.5",
				  i));
		assert_int_equal(a.status, i < 3 ? 200 : 429);
	}
	for (int i = 0; i < 4; i++) { /* who has one IPv6 address has all of its network */
		a = ask(ar_printf(pool, request, ar_printf(pool, "2001:db8:1:2:%x::%x", i, i + 1)));
		assert_int_equal(a.status, i < 3 ? 200 : 429);
	}
	a = ask(ar_printf(pool, request, "2001:db8:1:3::1"));
	assert_int_equal(a.status, 200);
	usleep(600000);
	a = ask(ar_printf(pool, request, "1.2.3.4")); /* half a second is one token */
	assert_int_equal(a.status, 200);
	for (int i = 0; i < 8; i++) { /* this machine has no limit of its own */
		a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 200);
	}
	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nOrigin: https://b.example");
	assert_string_equal(header(&a, "access-control-allow-origin"), "https://b.example");
	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nOrigin: https://c.example");
	assert_string_equal(header(&a, "access-control-allow-origin"), "");
	assert_non_null(strstr(header(&a, "vary"), "origin"));
	served();
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenants),    cmocka_unit_test(callers),
		cmocka_unit_test(operators),  cmocka_unit_test(tenant_comes_and_goes),
		cmocka_unit_test(headers),    cmocka_unit_test(conditions),
		cmocka_unit_test(idempotent), cmocka_unit_test(problems),
		cmocka_unit_test(own_paths),  cmocka_unit_test(access_log),
	};
	const struct CMUnitTest alone[] = { cmocka_unit_test(limits) };

	return cmocka_run_group_tests(tests, start, stop) +
	       cmocka_run_group_tests_name("limits", alone, NULL, NULL);
}
