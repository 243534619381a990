/*
 * fetch.c - HTTP calls against a server on threads: what comes back, what is refused, what ends.
 */
#include <curl/curl.h>
#include <zlib.h>

#include "client/tests/rig.h"

/* ---- the server: the path says how it behaves ---- */

static struct tcp_server server, other;
static char seen[65536]; /* head of the last request */

static void reply(int fd, const char *head, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head,
		 strlen(body), body);
	tcp_say(fd, text);
}

static void reply_gzip_bomb(int fd)
{
	static unsigned char zeros[65536], packed[131072];
	z_stream z = { 0 };
	char head[256];

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	for (int i = 0; i < 1000; i++) { /* 65 MB in 64 KB */
		z.next_in = zeros;
		z.avail_in = sizeof(zeros);
		deflate(&z, i == 999 ? Z_FINISH : Z_NO_FLUSH);
	}
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n",
		 z.total_out);
	tcp_say(fd, head);
	tcp_write(fd, packed, z.total_out);
	deflateEnd(&z);
}

static void reply_gzip(int fd)
{
	unsigned char packed[256];
	z_stream z = { .next_in = (unsigned char *)"hello, packed",
		       .avail_in = 13,
		       .next_out = packed,
		       .avail_out = sizeof(packed) };
	char head[256];

	deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	deflate(&z, Z_FINISH);
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nX-Kept: yes\r\nContent-Encoding: gzip\r\n"
		 "Content-Length: %lu\r\n\r\n",
		 z.total_out);
	tcp_say(fd, head);
	tcp_write(fd, packed, z.total_out);
	deflateEnd(&z);
}

static void reply_endless(int fd)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	tcp_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
	while (tcp_write(fd, block, sizeof(block)))
		;
}

static void reply_many_headers(int fd)
{
	tcp_say(fd, "HTTP/1.1 200 OK\r\n");
	while (tcp_say(fd, "X-More: and more and more and more and more and more\r\n"))
		;
}

static void reply_slow(int fd)
{
	tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	while (tcp_say(fd, "."))
		usleep(20000);
}

static bool redirect(struct tcp_server *self, int fd, const char *path)
{
	char text[512];
	int status = 0, port = 0, at = 0;

	/* /to/302/PORT/path, port 0: this server; "@" for the path alone */
	if (sscanf(path, "/to/%d/%d%n", &status, &port, &at) != 2)
		return false;
	snprintf(text, sizeof(text),
		 "HTTP/1.1 %d Moved\r\nLocation: http://127.0.0.1:%d%s\r\nContent-Length: "
		 "5\r\n\r\nmoved",
		 status, port == 0 ? self->port : port, path + at);
	tcp_say(fd, text);
	return true;
}

static bool answer(struct tcp_server *self, int fd, const char *path, const char *body)
{
	if (redirect(self, fd, path))
		return true;
	if (strcmp(path, "/hello") == 0)
		reply(fd, "200 OK\r\nContent-Type: text/plain\r\nX-Odd:   spaces  ", "hello");
	else if (strcmp(path, "/echo") == 0)
		reply(fd, "201 Created", body);
	else if (strcmp(path, "/missing") == 0)
		reply(fd, "404 Not Found", "no");
	else if (strcmp(path, "/head") == 0)
		tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	else if (strcmp(path, "/early") == 0)
		tcp_say(fd, "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
			    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	else if (strcmp(path, "/chunks") == 0)
		tcp_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "5\r\nhello\r\n6\r\n again\r\n0\r\nX-Trailer: no\r\n\r\n");
	else if (strcmp(path, "/gzip") == 0)
		reply_gzip(fd);
	else if (strcmp(path, "/wait") == 0)
		usleep(200000), reply(fd, "200 OK", "waited");
	else if (strcmp(path, "/metadata") == 0)
		reply(fd, "302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/", "");
	else if (strcmp(path, "/file") == 0)
		reply(fd, "302 Found\r\nLocation: file:///etc/passwd", "");
	else if (strcmp(path, "/loop") == 0)
		reply(fd, "302 Found\r\nLocation: /loop", "");
	else if (strcmp(path, "/neighbour") == 0) {
		char head[128];

		snprintf(head, sizeof(head), "302 Found\r\nLocation: http://127.0.0.2:%d/hello",
			 self->port);
		reply(fd, head, "");
	} else
		return false;
	return true;
}

/* Those after which the connection ends. */
static void answer_last(int fd, const char *path)
{
	if (strcmp(path, "/bomb") == 0)
		reply_gzip_bomb(fd);
	else if (strcmp(path, "/endless") == 0)
		reply_endless(fd);
	else if (strcmp(path, "/headers") == 0)
		reply_many_headers(fd);
	else if (strcmp(path, "/slow") == 0)
		reply_slow(fd);
	else if (strcmp(path, "/big") == 0)
		tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx");
	else if (strcmp(path, "/cut") == 0)
		tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
	else if (strcmp(path, "/old") == 0)
		tcp_say(fd, "no status line at all\r\n");
	else if (strcmp(path, "/silent") == 0)
		recv(fd, &(char){ 0 }, 1, 0); /* until the client leaves */
}

static void serve(struct tcp_server *self, int fd)
{
	char head[65536], path[1024], *length, body[4096];
	size_t n;

	while (tcp_read_until(fd, head, sizeof(head), "\r\n\r\n")) {
		length = strcasestr(head, "\r\ncontent-length:");
		n = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
		if (n >= sizeof(body) || !tcp_read_n(fd, body, n))
			return;
		body[n] = '\0';
		memcpy(seen, head, strlen(head) + 1);
		if (sscanf(head, "%*s %1023s", path) != 1)
			return;
		if (!answer(self, fd, path, body)) {
			answer_last(fd, path);
			return;
		}
	}
}

/* ---- tests ---- */

#define TEST(name) TEST_IN(name, rig_run, struct ar_pool *pool)

static struct ar_str at(struct ar_pool *pool, const char *path)
{
	return ar_strf(pool, "http://127.0.0.1:%d%s", server.port, path);
}

static int get(struct ar_pool *pool, const char *path, struct ar_fetched *ret)
{
	struct ar_fetch req = { .url = at(pool, path), .follow = 5 };

	return ar_fetch(pool, &req, ret);
}

TEST(gets)
{
	struct ar_fetched r;
	int before = server.connections;

	assert_ok(get(pool, "/hello", &r));
	assert_int_equal(r.status, 200);
	assert_str(r.body, "hello");
	assert_str(ar_fetched_header(&r, "Content-Type"), "text/plain");
	assert_str(ar_fetched_header(&r, "x-odd"), "spaces");
	assert_null(ar_fetched_header(&r, "x-none").p);
	assert_str(r.url, at(pool, "/hello").p);
	assert_non_null(strstr(seen, "\r\nUser-Agent: apprun\r\n"));
	assert_ok(get(pool, "/missing", &r));
	assert_int_equal(r.status, 404);
	assert_str(r.body, "no");
	assert_ok(get(pool, "/early", &r));
	assert_int_equal(r.status, 200);
	assert_null(ar_fetched_header(&r, "x-early").p);
	assert_ok(get(pool, "/chunks", &r));
	assert_str(r.body, "hello again");
	assert_null(ar_fetched_header(&r, "x-trailer").p);
	assert_int_equal(server.connections - before, 1); /* one connection for all of them */
}

TEST(sends)
{
	struct ar_fetch_header headers[] = {
		{ AR_STR("Content-Type"), AR_STR("application/json") },
		{ AR_STR("X-Empty"), AR_STR_NONE },
		{ AR_STR("Authorization"), AR_STR("Bearer t") },
	};
	struct ar_fetch req = { .method = AR_STR("POST"),
				.url = at(pool, "/echo"),
				.headers = headers,
				.nheaders = 3,
				.body = AR_STR("{\"a\":1}") };
	struct ar_fetched r;

	assert_ok(ar_fetch(pool, &req, &r));
	assert_int_equal(r.status, 201);
	assert_str(r.body, "{\"a\":1}");
	assert_non_null(strstr(seen, "POST /echo HTTP/1.1\r\n"));
	assert_non_null(strstr(seen, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(seen, "\r\nX-Empty:\r\n"));
	assert_non_null(strstr(seen, "\r\nAuthorization: Bearer t\r\n"));
	assert_null(strstr(seen, "Expect"));
	req.method = AR_STR("DELETE");
	req.body = AR_STR_NONE;
	req.nheaders = 0;
	assert_ok(ar_fetch(pool, &req, &r));
	assert_str(r.body, "");
	assert_non_null(strstr(seen, "DELETE /echo HTTP/1.1\r\n"));
	assert_null(strcasestr(seen, "content-type"));
	req.method = AR_STR("HEAD");
	req.url = at(pool, "/head");
	assert_ok(ar_fetch(pool, &req, &r));
	assert_str(ar_fetched_header(&r, "content-length"), "1000");
	assert_int_equal(r.body.n, 0);
}

TEST(refuses_requests)
{
	static const struct ar_fetch_header bad[] = {
		{ { "Host", 4 }, { "x", 1 } },
		{ { "content-length", 14 }, { "1", 1 } },
		{ { "Transfer-Encoding", 17 }, { "chunked", 7 } },
		{ { "Connection", 10 }, { "close", 5 } },
		{ { "X", 1 }, { "a\r\nB: c", 7 } },
		{ { "X", 1 }, { "a\0b", 3 } },
		{ { "X\r\nY", 4 }, { "a", 1 } },
		{ { "X Y", 3 }, { "a", 1 } },
		{ { "X:", 2 }, { "a", 1 } },
		{ { "", 0 }, { "a", 1 } },
	};
	static const char *const methods[] = { "CONNECT", "TRACE", "GET /x", "A\r\nB",
					       "AVERYLONGMETHODINDEED" };
	struct ar_fetch req = { .url = at(pool, "/hello") };
	struct ar_fetch_header many[101];
	struct ar_fetched r;
	int before = server.connections;

	for (size_t i = 0; i < AR_COUNT(bad); i++) {
		req.headers = &bad[i];
		req.nheaders = 1;
		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REQUEST);
	}
	for (size_t i = 0; i < AR_COUNT(many); i++)
		many[i] = (struct ar_fetch_header){ AR_STR("X"), AR_STR("y") };
	req.headers = many;
	req.nheaders = AR_COUNT(many);
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REQUEST);
	req.nheaders = 1;
	many[0].value = ar_str_n(ar_alloc(pool, 40000), 40000);
	memset((char *)many[0].value.p, 'a', 40000);
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REQUEST);
	req.nheaders = 0;
	for (size_t i = 0; i < AR_COUNT(methods); i++) {
		req.method = ar_str(methods[i]);
		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REQUEST);
	}
	assert_int_equal(server.connections, before);
}

/* ---- the guard ---- */

TEST(guards_addresses)
{
	static const char *const hosts[] = {
		"127.0.0.1",
		"127.1",
		"2130706433",
		"0x7f000001",
		"017700000001",
		"localhost",
		"LOCALHOST.",
		"[::1]",
		"[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]",
		"[::]",
		"0.0.0.0",
		"127.0.0.2",
		"0",
	};
	struct ar_fetched r;
	int before = server.connections;

	assert_ok(ar_client_allow(AR_STR_NONE));
	for (size_t i = 0; i < AR_COUNT(hosts); i++) {
		struct ar_fetch req = { .url = ar_strf(pool, "http://%s:%d/hello", hosts[i],
						       server.port) };

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_ADDRESS);
	}
	assert_int_equal(server.connections, before);  /* nobody knocked */
	for (size_t i = 0; i < AR_COUNT(hosts); i++) { /* they would have come through */
		struct ar_fetch req = { .url = ar_strf(pool, "http://%s:%d/hello", hosts[i],
						       server.port),
					.allow_private = true };

		if (strstr(hosts[i], "::1]") == NULL) /* machines without IPv6 */
			assert_ok(ar_fetch(pool, &req, &r));
	}
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

TEST(guards_redirects)
{
	struct ar_fetched r;
	int before;

	assert_fails(get(pool, "/metadata", &r), AR_E_CLIENT_ADDRESS);
	before = server.connections;
	assert_fails(get(pool, "/neighbour", &r), AR_E_CLIENT_ADDRESS);
	assert_int_equal(server.connections, before);
	assert_fails(get(pool, "/file", &r), AR_E_CLIENT_URL);
}

/* The lower line of defence, where the socket is made and before each request on a kept one. */
static void guards_sockets(void **state)
{
	struct client_guard guard = { .on = true };
	char url[64];
	CURL *easy;

	client_start();
	easy = curl_easy_init();
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/missing", server.port);
	client_easy_setup(easy, &guard);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	assert_ok(ar_client_allow(AR_STR_NONE));
	assert_int_equal(curl_easy_perform(easy), CURLE_COULDNT_CONNECT);
	assert_true(guard.refused);
	guard = (struct client_guard){ 0 };
	curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, fopen("/dev/null", "w"));
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	guard.on = true; /* the connection is there already */
	assert_int_equal(curl_easy_perform(easy), CURLE_ABORTED_BY_CALLBACK);
	assert_true(guard.refused);
	curl_easy_cleanup(easy);
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

/* ---- redirects ---- */

TEST(follows)
{
	struct ar_fetch_header headers[] = {
		{ AR_STR("Authorization"), AR_STR("Bearer secret") },
		{ AR_STR("X-Api-Key"), AR_STR("secret") },
		{ AR_STR("Accept"), AR_STR("text/plain") },
	};
	struct ar_fetch req = {
		.url = at(pool, "/to/302/0/hello"), .headers = headers, .nheaders = 3, .follow = 3
	};
	struct ar_fetched r;

	assert_ok(ar_fetch(pool, &req, &r));
	assert_str(r.body, "hello");
	assert_str(r.url, at(pool, "/hello").p);
	assert_non_null(strstr(seen, "Bearer secret")); /* the same origin */
	req.url = ar_strf(pool, "http://127.0.0.1:%d/to/302/%d/to/302/%d/hello", server.port,
			  other.port, server.port);
	assert_ok(ar_fetch(pool, &req, &r)); /* away and back: the secret stays away */
	assert_str(r.body, "hello");
	assert_null(strstr(seen, "secret"));
	assert_non_null(strstr(seen, "Accept: text/plain\r\n"));
	req.follow = 0;
	assert_ok(ar_fetch(pool, &req, &r));
	assert_int_equal(r.status, 302);
	assert_str(r.body, "moved");
	req.follow = 3;
	req.url = at(pool, "/loop");
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REDIRECTS);
	req.follow = 1000000;
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REDIRECTS);
}

TEST(follows_with_the_right_method)
{
	static const struct {
		int status;
		const char *method, *then;
	} rows[] = {
		{ 301, "POST", "GET" },  { 302, "POST", "GET" },      { 303, "POST", "GET" },
		{ 303, "PUT", "GET" },   { 302, "PUT", "PUT" },       { 307, "POST", "POST" },
		{ 308, "POST", "POST" }, { 307, "DELETE", "DELETE" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_fetch req = { .method = ar_str(rows[i].method),
					.body = AR_STR("body"),
					.url = ar_strf(pool, "http://127.0.0.1:%d/to/%d/0/echo",
						       server.port, rows[i].status),
					.follow = 1 };
		bool get = strcmp(rows[i].then, "GET") == 0;
		struct ar_fetched r;

		assert_ok(ar_fetch(pool, &req, &r));
		assert_int_equal(strncmp(seen, rows[i].then, strlen(rows[i].then)), 0);
		assert_str(r.body, get ? "" : "body");
	}
}

/* ---- limits ---- */

TEST(limits_size)
{
	static const char *const paths[] = { "/bomb", "/endless", "/big", "/headers" };
	struct ar_fetched r;
	int64_t start = ar_mono_ms();

	for (size_t i = 0; i < AR_COUNT(paths); i++) {
		struct ar_fetch req = { .url = at(pool, paths[i]), .response_max = 100000 };

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_TOO_LARGE);
		assert_true(ar_pool_size(pool) < 1000000);
	}
	assert_true(ar_mono_ms() - start < 5000);
	assert_ok(get(pool, "/gzip", &r));
	assert_str(r.body, "hello, packed");
	assert_null(ar_fetched_header(&r, "content-encoding").p);
	assert_null(ar_fetched_header(&r, "content-length").p);
	assert_str(ar_fetched_header(&r, "x-kept"), "yes");
}

TEST(limits_time)
{
	static const char *const paths[] = { "/slow", "/silent" };
	struct ar_fetched r;

	for (size_t i = 0; i < AR_COUNT(paths); i++) {
		struct ar_fetch req = { .url = at(pool, paths[i]), .timeout_ms = 150 };
		int64_t start = ar_mono_ms(), before;

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_TIMEOUT);
		assert_true(ar_mono_ms() - start >= 150 && ar_mono_ms() - start < 2000);
		req.timeout_ms = 60000;
		before = ar_deadline_set(ar_mono_ms() + 100);
		assert_fails(ar_fetch(pool, &req, &r), AR_E_DEADLINE);
		ar_deadline_set(before);
	}
	assert_ok(get(pool, "/hello", &r));
}

TEST(fails)
{
	struct ar_fetch req = { .url = at(pool, "/cut") };
	struct ar_fetched r = { .status = 42 };

	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = at(pool, "/old"); /* HTTP/0.9 */
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = AR_STR("http://127.0.0.1:1/");
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = AR_STR("http://nobody.invalid/");
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED); /* remembered */
	assert_int_equal(r.status, 42);
	ar_fetch(pool, &(struct ar_fetch){ .url = at(pool, "/cut") }, &r);
	assert_string_equal(ar_err_param(ar_err(), "host"), "127.0.0.1");
	assert_non_null(ar_err()->below->why);
}

/* ---- together ---- */

static int finished;

static void one_of_many(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	assert_ok(get(pool, arg, &r));
	ar_pool_free(pool);
	finished++;
}

TEST(many_at_once)
{
	int64_t start = ar_mono_ms(), last = start, longest = 0;

	finished = 0;
	for (int i = 0; i < 60; i++)
		ar_go("one", one_of_many, "/wait", AR_NO_DEADLINE);
	while (finished < 60) { /* and the loop goes on turning */
		ar_sleep(5);
		longest = AR_MAX(longest, ar_mono_ms() - last);
		last = ar_mono_ms();
		assert_true(last - start < 10000);
	}
	assert_true(last - start < 5000); /* 60 * 200 ms one after the other would be 12 s */
	assert_true(longest < 1000);
}

static const struct ar_err_def *ended_with;

static void wait_for_silence(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	assert_int_equal(get(pool, arg, &r), -1);
	ended_with = ar_err()->def;
	ar_pool_free(pool);
}

TEST(cancels)
{
	struct ar_fiber *fiber = ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);

	ended_with = NULL;
	ar_sleep(50);
	assert_null(ended_with);
	ar_cancel(fiber);
	ar_sleep(1);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
	for (int i = 0; i < 500 && server.open > 0; i++) /* the server sees it leave */
		ar_sleep(10);
	assert_int_equal(server.open, 0);
}

TEST(detach_ends_what_runs)
{
	ended_with = NULL;
	ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);
	ar_sleep(50);
	ar_client_detach();
	ar_sleep(1);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
}

static void the_loops_end_cancels(void **state)
{
	struct ar_loop *loop = ar_loop_new();

	ended_with = NULL;
	ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);
	ar_client_detach();
	ar_loop_free(loop);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
}

static void busy_one(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	if (get(pool, "/silent", &r) != 0 && ar_err_is(AR_E_CLIENT_BUSY))
		++*(int *)arg;
	ar_pool_free(pool);
}

TEST(one_host_has_its_share)
{
	struct ar_fiber *fibers[140];
	int busy = 0;

	for (size_t i = 0; i < AR_COUNT(fibers); i++) {
		fibers[i] = ar_go("busy", busy_one, &busy, AR_NO_DEADLINE);
		ar_fiber_hold(fibers[i]);
	}
	assert_int_equal(busy, 12); /* 128 run */
	for (size_t i = 0; i < AR_COUNT(fibers); i++) {
		ar_cancel(fibers[i]);
		if (fibers[i] != NULL)
			ar_join(fibers[i]);
		ar_fiber_drop(fibers[i]);
	}
}

static int start(void **state)
{
	tcp_start(&server, serve, NULL);
	tcp_start(&other, serve, NULL);
	return ar_client_allow(AR_STR("127.0.0.1"));
}

static int stop(void **state)
{
	tcp_stop(&server);
	tcp_stop(&other);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gets),
		cmocka_unit_test(sends),
		cmocka_unit_test(refuses_requests),
		cmocka_unit_test(guards_addresses),
		cmocka_unit_test(guards_redirects),
		cmocka_unit_test(guards_sockets),
		cmocka_unit_test(follows),
		cmocka_unit_test(follows_with_the_right_method),
		cmocka_unit_test(limits_size),
		cmocka_unit_test(limits_time),
		cmocka_unit_test(fails),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(cancels),
		cmocka_unit_test(detach_ends_what_runs),
		cmocka_unit_test(the_loops_end_cancels),
		cmocka_unit_test(one_host_has_its_share),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
