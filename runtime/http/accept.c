/*
 * accept.c - the listening socket, shared by all loops, and where a new connection goes.
 *
 * One socket, not one per loop with SO_REUSEPORT: a second apprun on the same port must fail to
 * start, and a loop that is busy must not hold connections that another could take. The loop that
 * accepts hands the connection to the loop that has the fewest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>

#include "http/server_int.h"

#define ACCEPTS_MAX    16 /* a turn */
#define BACKLOG        1024
#define NO_FD_PAUSE_MS 100

static int listen_fail(struct ar_server_options o, const char *call)
{
	return ar_fail_why(AR_E_UNAVAILABLE, "%s %.*s port %d: %s", call, AR_FMT(o.host), o.port,
			   strerror(errno));
}

int listen_open(const struct ar_server_options *options, int *ret_port)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6; /* its port lies where v4's does */
	} bound = { 0 };
	socklen_t len = sizeof(bound);
	char host[256], port[8];
	int on = 1, off = 0, fd;

	snprintf(host, sizeof(host), "%.*s", AR_FMT(options->host));
	snprintf(port, sizeof(port), "%d", options->port);
	if (getaddrinfo(host, port, &hints, &ai) != 0)
		return ar_fail_why(AR_E_INVALID, "not an address to listen on: %s", host);
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		freeaddrinfo(ai);
		return listen_fail(*options, "socket");
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, &bound.any, &len) != 0) {
		listen_fail(*options, "listen on");
		freeaddrinfo(ai);
		close(fd);
		return -1;
	}
	freeaddrinfo(ai);
	*ret_port = ntohs(bound.v4.sin_port);
	return fd;
}

/* ---- a new connection ---- */

struct arrival {
	struct sloop *l;
	int fd;
	struct sockaddr_storage peer;
};

static void arrive(void *arg)
{
	struct arrival *a = arg;

	if (a->l->stopping) {
		close(a->fd);
		atomic_fetch_sub(&a->l->nconns, 1);
		atomic_fetch_sub(&a->l->server->open, 1);
	} else {
		conn_open(a->l, a->fd, &a->peer);
	}
	ar_heap_free(a);
}

static struct sloop *idlest(struct sloop *here)
{
	struct ar_server *s = here->server;
	struct sloop *best = here;

	for (int i = 0; i < s->nloops; i++)
		if (atomic_load(&s->loops[i].nconns) < atomic_load(&best->nconns))
			best = &s->loops[i];
	return best;
}

/* Over connections_max: say so and close, without spending a connection on it. */
static void turn_away(struct sloop *l, int fd)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str text = AR_STR("HTTP/1.1 503 Service Unavailable\r\n");
	struct ar_http_refusal refusal;
	ssize_t n;

	server_refusal(pool, 503, "unavailable", AR_STR_NONE, &refusal);
	for (size_t i = 0; i < refusal.nheaders; i++)
		text = ar_strf(pool, "%.*s%.*s: %.*s\r\n", AR_FMT(text),
			       AR_FMT(refusal.headers[i].name), AR_FMT(refusal.headers[i].value));
	text = ar_strf(pool, "%.*sContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
		       AR_FMT(text), refusal.body.n, AR_FMT(refusal.body));
	n = send(fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		count(&l->n.bytes_out, (uint64_t)n);
	count(&l->n.refused, 1);
	shutdown(fd, SHUT_WR);
	close(fd);
}

static void take(struct sloop *l, int fd, const struct sockaddr_storage *peer)
{
	struct ar_server *s = l->server;
	struct sloop *to;
	struct arrival *a;

	if (atomic_fetch_add(&s->open, 1) >= s->options.connections_max) {
		atomic_fetch_sub(&s->open, 1);
		turn_away(l, fd);
		return;
	}
	to = idlest(l);
	atomic_fetch_add(&to->nconns, 1);
	if (to == l) {
		conn_open(l, fd, peer);
		return;
	}
	a = ar_heap_new(struct arrival);
	*a = (struct arrival){ .l = to, .fd = fd, .peer = *peer };
	ar_post(to->loop, arrive, a);
}

static void on_listener(h2o_socket_t *listener, AR_UNUSED const char *err)
{
	struct sloop *l = listener->data;

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(h2o_socket_get_fd(listener), (struct sockaddr *)&peer, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(l, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The listener stays readable: look away for a while instead of spinning. */
			ar_error("http", "cannot accept", "error", strerror(errno));
			h2o_socket_read_stop(listener);
			l->accept_again_ms = ar_mono_ms() + NO_FD_PAUSE_MS;
		}
		return;
	}
}

void listener_start(struct sloop *l)
{
	if (l->listener == NULL) {
		l->listener = h2o_evloop_socket_create(l->evloop, dup(l->server->listen_fd), 0);
		l->listener->data = l;
		h2o_socket_dont_read(l->listener, 1);
	}
	l->accept_again_ms = 0;
	h2o_socket_read_start(l->listener, on_listener);
}

void listener_stop(struct sloop *l)
{
	if (l->listener != NULL)
		h2o_socket_close(l->listener);
	l->listener = NULL;
	l->accept_again_ms = 0;
}
