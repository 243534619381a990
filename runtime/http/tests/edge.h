/*
 * edge.h - a server with a small module behind the edge, and a client that speaks to it over a
 * socket.
 */
#ifndef HTTP_EDGE_TEST_H
#define HTTP_EDGE_TEST_H

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

static inline AR_YIELDS int echo(struct ar_call *call)
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

static inline AR_YIELDS int insert(struct ar_call *call)
{
	if (ar_exec(&call->scope, "INSERT INTO thing (n) VALUES (?)",
		    AR_ARGS(AR_J_INT(ar_in_int(call, "n", 0))), NULL) != 0)
		return -1;
	return echo(call);
}

static inline AR_YIELDS int boom(struct ar_call *call)
{
	return ar_fail_why(AR_E_INTERNAL, "secret detail");
}

static inline AR_YIELDS int html(struct ar_call *call)
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

static inline AR_YIELDS int authenticate(struct ar_call *call, struct ar_str bearer,
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

static inline AR_YIELDS bool page(struct ar_http *http)
{
	if (!ar_str_is(http->path, "/"))
		return false;
	ar_http_reply(http, 200, NULL, 0, AR_STR("the page"));
	return true;
}

/* ---- a server ---- */

static struct ar_server *server;
static int port;

static inline int loop_start(int index)
{
	ar_store_attach(house.store);
	ar_tenant_attach();
	ar_edge_attach();
	return 0;
}

static inline void loop_stop(int index)
{
	ar_edge_detach();
	ar_tenant_detach();
	ar_store_detach(house.store);
}

static inline void serve(const struct ar_edge_options *edge)
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

static inline void served(void)
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
static inline struct answer ask_host(const char *host, const char *request)
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

static inline struct answer ask(const char *request)
{
	return ask_host("127.0.0.1", request);
}

static inline const char *header(const struct answer *answer, const char *name)
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

static inline const char *code(const struct answer *answer)
{
	return answer->json == NULL ? ""
				    : ar_strz(pool, ar_json_text(answer->json, "code", AR_STR("")));
}

#define ECHO_TENANT(a) ar_json_text((a).json, "tenant", AR_STR_NONE)

static inline void make_tenant(const char *name)
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

static inline int start(void **state)
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

static inline int stop(void **state)
{
	served();
	ar_pool_free(pool);
	ar_log_fd(2);
	close(log_fd);
	return 0;
}

#endif
