/*
 * server.h - for tests: a server in this process, and clients on plain sockets.
 *
 * The handler answers by path: see test_handle(). Clients block, with a time limit on every read:
 * PATIENCE_MS where something must come, which a slow machine may take long for.
 */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/server.h"

#define PATIENCE_MS 60000

static struct ar_server *server;
static _Atomic int handled, cancelled;
static _Atomic bool released; /* what waits at /hold may go */
static struct ar_str big;     /* 8 MiB of text */

static void reply_text(struct ar_http *http, int status, struct ar_str text)
{
	struct ar_header type = { AR_STR("content-type"), AR_STR("text/plain") };

	ar_http_reply(http, status, &type, 1, text);
}

static void reply_echo(struct ar_http *http)
{
	struct ar_buf *b = ar_buf_new(http->pool, 64 * 1024 * 1024);

	ar_buf_printf(b, "%d %.*s %.*s|%.*s|%.*s|", http->version, AR_FMT(http->method),
		      AR_FMT(http->path), AR_FMT(http->query), AR_FMT(http->authority));
	for (size_t i = 0; i < http->nheaders; i++)
		ar_buf_printf(b, "%.*s=%.*s;", AR_FMT(http->headers[i].name),
			      AR_FMT(http->headers[i].value));
	ar_buf_printf(b, "|%zu:", http->body.n);
	ar_buf_str(b, ar_str_sub(http->body, 0, 100));
	reply_text(http, 200, ar_buf_view(b));
}

static void reply_tmp_file(struct ar_http *http)
{
	FILE *f = tmpfile();
	int64_t n = 0;
	int fd;

	ar_str_int(http->query, &n);
	for (int64_t i = 0; i < n; i++)
		fputc((int)(i * 7 % 251), f);
	fflush(f);
	fd = dup(fileno(f));
	if (ar_str_is(http->path, "/file-short"))
		assert_int_equal(ftruncate(fd, n / 2), 0);
	fclose(f);
	ar_http_reply_file(http, 200, NULL, 0, fd, 0, n);
}

static void test_handle(struct ar_http *http)
{
	int64_t ms;

	handled++;
	if (ar_str_starts(http->path, AR_STR("/echo"))) {
		reply_echo(http);
	} else if (ar_str_is(http->path, "/big")) {
		reply_text(http, 200, big);
	} else if (ar_str_starts(http->path, AR_STR("/file"))) {
		reply_tmp_file(http);
	} else if (ar_str_is(http->path, "/sleep") && ar_str_int(http->query, &ms)) {
		if (ar_sleep(ms) != 0) {
			cancelled++;
			reply_text(http, ar_err_is(AR_E_DEADLINE) ? 504 : 499, AR_STR("cut short"));
		} else {
			reply_text(http, 200, AR_STR("slept"));
		}
	} else if (ar_str_is(http->path, "/hold")) {
		while (!released && ar_sleep(2) == 0)
			;
		cancelled += !released;
		reply_text(http, 200, AR_STR("slept"));
	} else if (ar_str_is(http->path, "/silent")) {
		return; /* a bug in a handler */
	} else {
		reply_text(http, 200, AR_STR("hello"));
	}
}

/* A refusal that can be told from the default one. */
static void test_refuse(struct ar_pool *pool, int status, const char *slug,
			struct ar_str accept_language, struct ar_http_refusal *ret)
{
	ret->body = ar_strf(pool, "{\"status\":%d,\"code\":\"%s\",\"lang\":\"%.*s\"}", status, slug,
			    AR_FMT(accept_language));
	ret->headers[ret->nheaders++] =
		(struct ar_header){ AR_STR("content-type"), AR_STR("application/problem+json") };
}

static AR_UNUSED void server_up(struct ar_server_options o)
{
	if (big.p == NULL) {
		char *p = malloc(8 << 20);

		for (size_t i = 0; i < 8 << 20; i++)
			p[i] = (char)('a' + i * i % 23);
		big = ar_str_n(p, 8 << 20);
	}
	handled = cancelled = 0;
	released = false;
	ar_server_set_refuse(test_refuse);
	if (o.loops == 0)
		o.loops = 1;
	o.handle = test_handle;
	assert_int_equal(ar_server_start(&o, &server), 0);
}

static AR_UNUSED void server_down(void)
{
	ar_server_stop(server, 1000);
	server = NULL;
}

/* ---- clients ---- */

static AR_UNUSED int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)ar_server_port(server)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static AR_UNUSED int put(int fd, const void *p, size_t n)
{
	size_t sent = 0;

	while (sent < n) {
		ssize_t r = send(fd, (const char *)p + sent, n - sent, MSG_NOSIGNAL);

		if (r <= 0)
			return -1;
		sent += (size_t)r;
	}
	return 0;
}

static AR_UNUSED int put_z(int fd, const char *z)
{
	return put(fd, z, strlen(z));
}

static struct text {
	char p[1 << 20];
	size_t n;
	bool closed;
} got;

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Reads until the peer closes or nothing comes for `ms`. NUL-terminated. */
static AR_UNUSED const char *read_for(int fd, int ms)
{
	got.n = 0;
	got.closed = false;
	while (got.n < sizeof(got.p) - 1 && readable(fd, ms)) {
		ssize_t r = read(fd, got.p + got.n, sizeof(got.p) - 1 - got.n);

		if (r <= 0) {
			got.closed = true;
			break;
		}
		got.n += (size_t)r;
	}
	got.p[got.n] = '\0';
	return got.p;
}

/* Reads until `what` has come n times. */
static AR_UNUSED const char *read_until(int fd, const char *what, int n)
{
	got.n = 0;
	got.closed = false;
	for (;;) {
		const char *at = got.p;
		int seen = 0;
		ssize_t r;

		got.p[got.n] = '\0';
		while ((at = strstr(at, what)) != NULL) {
			seen++;
			at++;
		}
		if (seen >= n || !readable(fd, PATIENCE_MS))
			return got.p;
		r = read(fd, got.p + got.n, sizeof(got.p) - 1 - got.n);
		if (r <= 0) {
			got.closed = true;
			return got.p;
		}
		got.n += (size_t)r;
	}
}

static AR_UNUSED int status_of(const char *reply)
{
	return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (int)strtol(reply + 9, NULL, 10) : -1;
}

/* One exchange on a connection of its own: sends, reads until the server closes. */
static AR_UNUSED const char *ask(const char *request)
{
	int fd = dial();

	put_z(fd, request);
	read_for(fd, PATIENCE_MS);
	close(fd);
	return got.p;
}

/* Asks for 8 MB and takes them so slowly that most of them wait for us. How much came. */
static AR_UNUSED size_t read_slowly(int pause_ms)
{
	static char block[65536];
	int fd = dial(), small = sizeof(block);
	size_t n = 0;
	ssize_t r;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	put_z(fd, "GET /file?8000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	while ((r = read(fd, block, sizeof(block))) > 0) {
		n += (size_t)r;
		usleep((unsigned)pause_ms * 1000);
	}
	close(fd);
	return n;
}

static AR_UNUSED bool wait_until(_Atomic int *value, int least)
{
	for (int i = 0; i < PATIENCE_MS / 5 && *value < least; i++)
		usleep(5000);
	return *value >= least;
}

static AR_UNUSED int connections_open(void)
{
	struct ar_server_stats s;

	ar_server_stats(server, &s);
	return (int)s.connections_open;
}

/* No more than so many are open, soon. */
static AR_UNUSED bool closed_to(int most)
{
	for (int i = 0; i < PATIENCE_MS / 5 && connections_open() > most; i++)
		usleep(5000);
	return connections_open() <= most;
}

/* Waits for what is in flight. */
static AR_UNUSED void *stop_server(void *arg)
{
	ar_server_stop(server, 2 * PATIENCE_MS);
	server = NULL;
	return NULL;
}

#endif
