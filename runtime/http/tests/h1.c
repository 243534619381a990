/*
 * h1.c - HTTP/1.1 over raw sockets: what works, and the lax forms that must not.
 */
#include "server.h"

static int up(void **state)
{
	server_up((struct ar_server_options){ .body_max = 100000, .deadline_ms = 3000 });
	return 0;
}

static int down(void **state)
{
	server_down();
	return 0;
}

static int times(const char *in, const char *what)
{
	int n = 0;

	for (const char *at = in; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static void plain_get(void **state)
{
	const char *r = ask("GET /echo/a%20b?x=1&y HTTP/1.1\r\nHost: Example.COM:80\r\n"
			    "X-One: 1\r\nConnection: close\r\n\r\n");

	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(r, "\r\nServer: apprun\r\n"));
	assert_non_null(strstr(r, "\r\nDate: "));
	assert_non_null(strstr(r, " GMT\r\n"));
	assert_non_null(strstr(r, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(r, "11 GET /echo/a%20b|x=1&y|Example.COM:80|host=Example.COM:80;"
				  "x-one=1;connection=close;|0:"));
	assert_true(got.closed);
}

static void version_10(void **state)
{
	const char *r = ask("GET /echo HTTP/1.0\r\n\r\n");

	assert_non_null(strstr(r, "10 GET /echo|||"));
	assert_non_null(strstr(r, "\r\nConnection: close\r\n"));
	r = ask("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		"GET /echo HTTP/1.0\r\n\r\n");
	assert_int_equal(times(r, "200 OK"), 2);
	assert_int_equal(times(r, "Connection: keep-alive"), 1);
}

static void bodies(void **state)
{
	const char *r = ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
			    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "3;x=y\r\nchu\r\n4\r\nnked\r\n0\r\nT: 1\r\n\r\n"
			    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
			    "Connection: close\r\n\r\n");

	assert_int_equal(times(r, "200 OK"), 3);
	assert_non_null(strstr(r, "|5:hello"));
	assert_non_null(strstr(r, "|7:chunked"));
	assert_non_null(strstr(r, "|0:"));
	assert_null(strstr(r, "T=1"));
}

/* 500 requests in one write; every reply comes, in order. */
static void pipelined(void **state)
{
	struct ar_buf b;
	int fd = dial(), at = -1;

	ar_buf_init(&b, 1 << 20);
	for (int i = 0; i < 500; i++)
		ar_buf_printf(&b, "GET /echo/%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
	assert_int_equal(put(fd, b.p, b.n), 0);
	read_until(fd, "200 OK", 500);
	read_until(fd, "never", 0);
	close(fd);
	/* and with a request in the middle that makes the fiber wait */
	b.n = 0;
	for (int i = 0; i < 100; i++)
		ar_buf_printf(&b, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
			      i == 50 ? "/sleep?50" : "/echo");
	ar_buf_z(&b, "GET /echo/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	fd = dial();
	assert_int_equal(put(fd, b.p, b.n), 0);
	read_for(fd, PATIENCE_MS);
	assert_int_equal(times(got.p, "200 OK"), 101);
	for (const char *p = got.p; (p = strstr(p, "200 OK")) != NULL; p++) {
		at++;
		if (strncmp(strstr(p, "\r\n\r\n") + 4, "slept", 5) == 0)
			assert_int_equal(at, 50);
	}
	assert_non_null(strstr(got.p, "/echo/last"));
	ar_buf_done(&b);
	close(fd);
}

/* What follows a refused request is never looked at, however good it is. */
static void pipelined_behind_bad(void **state)
{
	int before = handled;
	const char *r = ask("GET /echo/1 HTTP/1.1\r\nHost: a\r\n\r\n"
			    "POST /echo/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
			    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
			    "GET /echo/3 HTTP/1.1\r\nHost: a\r\n\r\n");

	assert_int_equal(times(r, "HTTP/1.1 "), 2);
	assert_non_null(strstr(r, "HTTP/1.1 400 Bad Request\r\n"));
	assert_null(strstr(r, "/echo/3"));
	assert_int_equal(handled, before + 1);
}

static void byte_by_byte(void **state)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
				   "\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	int fd = dial();

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(put(fd, text + i, 1), 0);
		usleep(500);
	}
	read_for(fd, PATIENCE_MS);
	assert_non_null(strstr(got.p, "|5:hello"));
	close(fd);
}

static void refused(const char *request, int status, const char *slug)
{
	const char *r;
	int before = handled;

	r = ask(request);
	if (status_of(r) != status || !got.closed)
		fail_msg("%d (not %d), closed %d: %s", status_of(r), status, got.closed, request);
	assert_int_equal(times(r, "HTTP/1.1 "), 1);
	assert_non_null(strstr(r, "\r\ncontent-type: application/problem+json\r\n"));
	assert_non_null(strstr(r, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(r, slug));
	assert_int_equal(handled, before);
}

static void lax_forms(void **state)
{
#define GOOD "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
	refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: "
		"2\r\n\r\nab" GOOD,
		400, "malformed");
	refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
		"\r\n0\r\n\r\n" GOOD,
		400, "malformed");
	refused("GET / HTTP/1.1\r\n\r\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\nHost: a\n\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\r\nHost: a\r\n\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n" GOOD, 400, "malformed");
	refused("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n" GOOD, 400, "malformed");
	refused("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n" GOOD, 400, "malformed");
	refused("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n" GOOD, 400, "malformed");
	refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n"
		"0\r\n\r\n" GOOD,
		400, "malformed");
	refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501,
		"http/transfer-coding");
	refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: x\r\n\r\na", 417,
		"http/expectation");
	refused("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http/version");
	refused("\x16\x03\x01\x02", 400, "malformed");
#undef GOOD
}

static void head_too_large(void **state)
{
	struct ar_buf b;

	ar_buf_init(&b, 1 << 20);
	ar_buf_z(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	while (b.n < 600000)
		ar_buf_char(&b, 'x');
	ar_buf_char(&b, '\0');
	/* it goes on sending long after it was refused, and still gets to read why */
	refused(b.p, 431, "http/headers-too-large");
	ar_buf_done(&b);
}

static void body_too_large(void **state)
{
	struct ar_buf b;

	refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nAccept-Language: zh-CN\r\n"
		"\r\n",
		413, "\"lang\":\"zh-CN\"");
	refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n"
		"\r\n",
		413, "too-large");
	ar_buf_init(&b, 1 << 20);
	ar_buf_z(&b, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 2000; i++)
		ar_buf_printf(&b, "100\r\n%0256d\r\n", 0);
	ar_buf_z(&b, "0\r\n\r\n");
	ar_buf_char(&b, '\0');
	refused(b.p, 413, "too-large");
	ar_buf_done(&b);
	/* the largest that is allowed */
	ar_buf_init(&b, 1 << 20);
	ar_buf_z(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
		     "Connection: close\r\n\r\n");
	ar_buf_printf(&b, "%0100000d", 0);
	ar_buf_char(&b, '\0');
	assert_non_null(strstr(ask(b.p), "|100000:0000"));
	ar_buf_done(&b);
}

static void expect_continue(void **state)
{
	int fd = dial();

	put_z(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
		  "Expect: 100-continue\r\nConnection: close\r\n\r\n");
	read_until(fd, "\r\n\r\n", 1);
	assert_string_equal(got.p, "HTTP/1.1 100 Continue\r\n\r\n");
	put_z(fd, "hello");
	read_for(fd, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 200);
	assert_non_null(strstr(got.p, "|5:hello"));
	close(fd);
}

static void head_has_no_body(void **state)
{
	const char *r = ask("HEAD /plain HTTP/1.1\r\nHost: a\r\n\r\n"
			    "HEAD /file?1000 HTTP/1.1\r\nHost: a\r\n\r\n"
			    "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

	assert_int_equal(times(r, "200 OK"), 3);
	assert_int_equal(times(r, "Content-Length: 5\r\n"), 2);
	assert_int_equal(times(r, "Content-Length: 1000\r\n"), 1);
	assert_int_equal(times(r, "hello"), 1);
}

/* A client that only closes its sending side still gets its reply. */
static void half_closed(void **state)
{
	int fd = dial();

	put_z(fd, "GET /sleep?100 HTTP/1.1\r\nHost: a\r\n\r\n");
	shutdown(fd, SHUT_WR);
	read_for(fd, PATIENCE_MS);
	assert_non_null(strstr(got.p, "slept"));
	assert_true(got.closed);
	close(fd);
}

static void reset(int fd)
{
	struct linger hard = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void client_resets(void **state)
{
	int fd = dial(), before = cancelled, began = handled;

	put_z(fd, "GET /sleep?2500 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(wait_until(&handled, began + 1));
	reset(fd);
	assert_true(wait_until(&cancelled, before + 1));
}

static void client_resets_in_body(void **state)
{
	int fd = dial();

	put_z(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhalf");
	usleep(50000);
	reset(fd);
	assert_true(closed_to(0));
}

static void deadline(void **state)
{
	const char *r = ask("GET /sleep?60000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

	assert_int_equal(status_of(r), 504);
}

static void silent_handler(void **state)
{
	const char *r = ask("GET /silent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

	assert_int_equal(status_of(r), 500);
	assert_non_null(strstr(r, "\"code\":\"internal\""));
}

/* Every head cut at every place, then closed: nothing is handled, nothing breaks. */
static void torn_heads(void **state)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx";
	int before = handled, fd;

	for (size_t i = 1; i < sizeof(text) - 1; i += 3) {
		fd = dial();
		put(fd, text, i);
		close(fd);
	}
	fd = dial();
	put_z(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	read_until(fd, "200 OK", 1);
	close(fd);
	assert_int_equal(handled, before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_get),
		cmocka_unit_test(version_10),
		cmocka_unit_test(bodies),
		cmocka_unit_test(pipelined),
		cmocka_unit_test(pipelined_behind_bad),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(lax_forms),
		cmocka_unit_test(head_too_large),
		cmocka_unit_test(body_too_large),
		cmocka_unit_test(expect_continue),
		cmocka_unit_test(head_has_no_body),
		cmocka_unit_test(half_closed),
		cmocka_unit_test(client_resets),
		cmocka_unit_test(client_resets_in_body),
		cmocka_unit_test(deadline),
		cmocka_unit_test(silent_handler),
		cmocka_unit_test(torn_heads),
	};

	ar_log_fd(open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, up, down);
}
