/*
 * fetch.h - a server on threads that behaves as the path says, and calls of it.
 */
#ifndef CLIENT_FETCH_TEST_H
#define CLIENT_FETCH_TEST_H

#include <curl/curl.h>
#include <zlib.h>

#include "client/tests/rig.h"

static struct tcp_server server, other;
static char seen[65536]; /* head of the last request */
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int waiting, waiting_most;

static inline void reply(int fd, const char *head, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head,
		 strlen(body), body);
	tcp_say(fd, text);
}

static inline void reply_gzip_bomb(int fd)
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

static inline void reply_gzip(int fd)
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

static inline void reply_endless(int fd)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	tcp_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
	while (tcp_write(fd, block, sizeof(block)))
		;
}

static inline void reply_many_headers(int fd)
{
	tcp_say(fd, "HTTP/1.1 200 OK\r\n");
	while (tcp_say(fd, "X-More: and more and more and more and more and more\r\n"))
		;
}

static inline void reply_slow(int fd)
{
	tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	while (tcp_say(fd, "."))
		usleep(20000);
}

static inline void reply_late(int fd)
{
	int now = atomic_fetch_add(&waiting, 1) + 1, most = waiting_most;

	while (now > most && !atomic_compare_exchange_weak(&waiting_most, &most, now))
		;
	usleep(200000);
	atomic_fetch_sub(&waiting, 1);
	reply(fd, "200 OK", "waited");
}

static inline bool redirect(struct tcp_server *self, int fd, const char *path)
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

/* A redirect to itself, with a megabyte in it. */
static inline void reply_heavy(int fd)
{
	static const char body[1 << 20];

	tcp_say(fd, "HTTP/1.1 302 Found\r\nLocation: /heavy\r\nContent-Length: 1048576\r\n\r\n");
	tcp_write(fd, body, sizeof(body));
}

static inline bool answer(struct tcp_server *self, int fd, const char *path, const char *body)
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
		reply_late(fd);
	else if (strcmp(path, "/metadata") == 0)
		reply(fd, "302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/", "");
	else if (strcmp(path, "/file") == 0)
		reply(fd, "302 Found\r\nLocation: file:///etc/passwd", "");
	else if (strcmp(path, "/heavy") == 0)
		reply_heavy(fd);
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
static inline void answer_last(int fd, const char *path)
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

static inline void serve(struct tcp_server *self, int fd)
{
	char head[65536], path[1024], *length, body[4096];
	size_t n;

	while (tcp_read_until(fd, head, sizeof(head), "\r\n\r\n")) {
		length = strcasestr(head, "\r\ncontent-length:");
		n = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
		if (n >= sizeof(body) || !tcp_read_n(fd, body, n))
			return;
		body[n] = '\0';
		pthread_mutex_lock(&seen_lock); /* connections are threads */
		memcpy(seen, head, strlen(head) + 1);
		pthread_mutex_unlock(&seen_lock);
		if (sscanf(head, "%*s %1023s", path) != 1)
			return;
		if (!answer(self, fd, path, body)) {
			answer_last(fd, path);
			return;
		}
	}
}

#define TEST(name) TEST_IN(name, rig_run, struct ar_pool *pool)

static inline struct ar_str at(struct ar_pool *pool, const char *path)
{
	return ar_strf(pool, "http://127.0.0.1:%d%s", server.port, path);
}

static inline int get(struct ar_pool *pool, const char *path, struct ar_fetched *ret)
{
	struct ar_fetch req = { .url = at(pool, path), .follow = 5 };

	return ar_fetch(pool, &req, ret);
}

static inline int start(void **state)
{
	tcp_start(&server, serve, NULL);
	tcp_start(&other, serve, NULL);
	return ar_client_allow(AR_STR("127.0.0.1"));
}

static inline int stop(void **state)
{
	tcp_stop(&server);
	tcp_stop(&other);
	return 0;
}

#endif
