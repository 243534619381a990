/*
 * fetch.c - HTTP calls against a server on threads: what is sent, what comes back, redirects.
 */
#include "client/tests/fetch.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gets),
		cmocka_unit_test(sends),
		cmocka_unit_test(refuses_requests),
		cmocka_unit_test(follows),
		cmocka_unit_test(follows_with_the_right_method),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
