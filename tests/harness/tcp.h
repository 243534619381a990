/*
 * tcp.h - a TCP server for tests: one thread a connection, straight-line blocking code.
 *
 * It listens on every address of the machine at a free port, so that a test can ask whether a
 * guard let somebody through to 127.0.0.2 or ::1. A connection's handler returns when it is done;
 * the descriptor is closed after it. A read waits at most ten seconds.
 */
#ifndef AR_TEST_TCP_H
#define AR_TEST_TCP_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "tests/harness/test.h"

struct tcp_server {
	int port, fd;
	pthread_t thread;
	void (*handle)(struct tcp_server *server, int fd);
	void *arg;
	atomic_int connections, open;
	pthread_mutex_t lock;
	bool live[65536]; /* descriptors of open connections, to cut them off at the end */
};

struct tcp_conn {
	struct tcp_server *server;
	int fd;
};

static void *tcp_conn_run(void *arg)
{
	struct tcp_conn conn = *(struct tcp_conn *)arg;
	struct timeval limit = { .tv_sec = 10 };

	free(arg);
	setsockopt(conn.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(conn.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	conn.server->handle(conn.server, conn.fd);
	pthread_mutex_lock(&conn.server->lock);
	conn.server->live[conn.fd] = false;
	close(conn.fd);
	pthread_mutex_unlock(&conn.server->lock);
	atomic_fetch_sub(&conn.server->open, 1);
	return NULL;
}

static void *tcp_accept(void *arg)
{
	struct tcp_server *server = arg;

	for (;;) {
		int fd = accept(server->fd, NULL, NULL);
		struct tcp_conn *conn;
		pthread_t thread;

		if (fd < 0 || fd >= (int)AR_COUNT(server->live))
			break;
		conn = malloc(sizeof(*conn));
		*conn = (struct tcp_conn){ server, fd };
		pthread_mutex_lock(&server->lock);
		server->live[fd] = true;
		pthread_mutex_unlock(&server->lock);
		atomic_fetch_add(&server->connections, 1);
		atomic_fetch_add(&server->open, 1);
		if (pthread_create(&thread, NULL, tcp_conn_run, conn) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static inline void tcp_start(struct tcp_server *server,
			     void (*handle)(struct tcp_server *server, int fd), void *arg)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(addr);
	int off = 0;

	memset(server, 0, sizeof(*server));
	pthread_mutex_init(&server->lock, NULL);
	server->handle = handle;
	server->arg = arg;
	server->fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->fd >= 0);
	setsockopt(server->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(server->fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(server->fd, 512), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&addr, &len), 0);
	server->port = ntohs(addr.sin6_port);
	assert_int_equal(pthread_create(&server->thread, NULL, tcp_accept, server), 0);
}

/* Cuts off the connections that are left, and waits for their threads. */
static inline void tcp_stop(struct tcp_server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	pthread_mutex_lock(&server->lock);
	for (int fd = 0; fd < (int)AR_COUNT(server->live); fd++) {
		if (server->live[fd])
			shutdown(fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
	for (int i = 0; i < 2000 && atomic_load(&server->open) > 0; i++)
		usleep(10000);
	assert_int_equal(atomic_load(&server->open), 0);
}

static inline bool tcp_write(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		n -= sent;
	}
	return true;
}

static inline bool tcp_say(int fd, const char *text)
{
	return tcp_write(fd, text, strlen(text));
}

/* Reads until the text ends with `end`, byte by byte. False: closed, too long, too slow. */
static inline bool tcp_read_until(int fd, char *out, size_t max, const char *end)
{
	size_t n = 0, len = strlen(end);

	while (n + 1 < max && recv(fd, out + n, 1, 0) == 1) {
		out[++n] = '\0';
		if (n >= len && memcmp(out + n - len, end, len) == 0)
			return true;
	}
	return false;
}

static inline bool tcp_read_n(int fd, char *out, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, out, n, 0);

		if (got <= 0)
			return false;
		out += got;
		n -= got;
	}
	return true;
}

#endif
