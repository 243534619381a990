/*
 * server.h - HTTP/1.1 and HTTP/2 in, one fiber per request. The one room with h2o.h.
 *
 * The handler runs in the request's own fiber, with a pool that apprun owns: h2o's request may
 * vanish at any wait (a client that resets its stream), after which the reply is dropped in
 * silence and the fiber is cancelled. What h2o 2.2.5 lets through is refused here: reset floods,
 * lax HTTP/1.1 forms (400 and a closed connection), bodies over the cap, header bombs, clients that
 * send or read too slowly.
 */
#ifndef AR_SERVER_H
#define AR_SERVER_H

#include "fiber/fiber.h"

struct ar_header {
	struct ar_str name; /* lower case */
	struct ar_str value;
};

/* What came in; everything lives in `pool`, which ends after the handler returned and the reply
 * was sent. */
struct ar_http {
	struct ar_pool *pool;
	struct ar_str method, scheme, authority; /* authority as the client sent it */
	struct ar_str path;                      /* percent-encoded, without the query, as sent */
	struct ar_str query;                     /* without '?'; n == 0 when there was none */
	const struct ar_header *headers;
	size_t nheaders;
	struct ar_str body;
	struct ar_str peer;     /* "127.0.0.1" or an IPv6 address, of the socket */
	int version;            /* 10, 11 or 20 */
	int64_t started_us;     /* ar_mono_us() */
	struct ar_http_int *in; /* the room's */
};

struct ar_server_options {
	struct ar_str host;    /* "127.0.0.1"; "::" for all */
	int port;              /* 0: any free one */
	int loops;             /* event loop threads; 0: one per core */
	size_t body_max;       /* default 16 MiB; larger: 413 */
	int64_t deadline_ms;   /* of a request's fiber, default 30,000; routes narrow or widen it */
	int64_t idle_ms;       /* keep-alive idle, default 60,000 */
	int64_t send_stall_ms; /* a reader that takes nothing for so long is closed, default 20,000 */
	int64_t header_ms;     /* for the head, default 10,000; the body gets 3 times that, and more
			      * while it keeps coming */
	int connections_max;   /* per process, default 10,000; less when files are limited */
	size_t replies_max;    /* bytes of large replies that wait for their readers, default 1 GiB;
				* what would be over it is answered 503 */
	void (*handle)(struct ar_http *http); /* AR_YIELDS; replies exactly once */
	/* Run on each loop's thread in a fiber, when the loop has started and before it ends. */
	int (*loop_start)(int index);
	void (*loop_stop)(int index);
};

struct ar_server;
int ar_server_start(const struct ar_server_options *options, struct ar_server **ret);
int ar_server_port(const struct ar_server *server);
int ar_server_loops(const struct ar_server *server);
struct ar_loop *ar_server_loop(const struct ar_server *server, int index);
/* Stops accepting, lets requests in flight finish (at most grace_ms), ends the loops, joins. */
void ar_server_stop(struct ar_server *server, int64_t grace_ms);

struct ar_str ar_http_header(const struct ar_http *http, const char *name); /* p NULL: not there */

/*
 * The reply. body is copied or sent from memory that lives in http->pool. Content-Length, Date and
 * Server are added; gzip by Accept-Encoding when the type is text and the body over 1 KiB. HEAD
 * sends no body. A second reply on the same request is a bug and asserts.
 */
void ar_http_reply(struct ar_http *http, int status, const struct ar_header *headers,
		   size_t nheaders, struct ar_str body);
/* A part of a file: read off the loop in blocks, never whole in memory. Closes fd. */
AR_YIELDS void ar_http_reply_file(struct ar_http *http, int status, const struct ar_header *headers,
				  size_t nheaders, int fd, int64_t offset, int64_t length);
/* The client has left. Over HTTP/1.1 only a reset tells. */
bool ar_http_gone(const struct ar_http *http);

/* What the guards refuse is answered through this, so that it looks like every other refusal. */
struct ar_http_refusal { /* in the pool */
	struct ar_str body;
	struct ar_header headers[8];
	size_t nheaders;
};
typedef void ar_http_refuse_fn(struct ar_pool *pool, int status, const char *slug,
			       struct ar_str accept_language, struct ar_http_refusal *ret);
void ar_server_set_refuse(ar_http_refuse_fn *fn);

struct ar_server_stats {
	uint64_t connections, connections_open, requests, requests_open, refused, resets, bytes_in,
		bytes_out;
};
void ar_server_stats(struct ar_server *server, struct ar_server_stats *ret); /* any thread */

#endif
