/*
 * server_int.h - inside the server: loops, connections, exchanges. See README.md for who does what.
 *
 * h2o gives the event loop, the sockets and HTTP/2; HTTP/1.1 is read and written by h1.c, because a
 * guard in front of h2o's own lenient reader would have to be the whole reader anyway. Everything
 * here belongs to one loop's thread unless it says "any thread".
 */
#ifndef AR_SERVER_INT_H
#define AR_SERVER_INT_H

#define H2O_USE_EPOLL 1 /* as the library was built: its sockets, not libuv's */
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "http/h1_head.h"
#include "http/h2_frames.h"

#define SCRATCH_LEN      (64 * 1024) /* the most that is read from a socket at once */
#define PIPELINE_MAX     (64 * 1024) /* of input kept while a request runs */
#define LINGER_MS        2000
#define JOIN_MAX         4096         /* a body up to so long is copied behind its head */
#define REPLY_FREE       (256 * 1024) /* smaller replies are not counted */
#define BODY_TIME_FACTOR 3            /* a body may take so many times header_ms, and then */
#define BODY_RATE_MIN    (16 * 1024)  /* ... a second more for each so many bytes that came */
#define SEND_MIN         4096 /* a reader that takes less than this in send_stall_ms is closed */
#define STREAM_MIN       1024 /* a stream of many on a slow line; less: it is reset */

struct conn;

/* One loop's counters: written by its thread, read by any. */
struct counters {
	_Atomic uint64_t connections, requests, requests_open, refused, resets, bytes_in, bytes_out;
};

struct sloop {
	struct ar_server *server;
	int index;
	pthread_t thread;
	struct ar_loop *loop;
	h2o_evloop_t *evloop;
	h2o_context_t ctx;
	h2o_accept_ctx_t accept_ctx;
	h2o_socket_t *listener, *inner; /* inner: the fiber loop's fd */
	struct conn *conns;
	_Atomic int nconns; /* with those that are on their way to this loop */
	size_t nexchanges;
	char *scratch;
	char date[32]; /* of the second date_s */
	int64_t date_s;
	int64_t tick_ms, accept_again_ms;
	int64_t now_us; /* when the input came that is being taken: read once for all that asks */
	bool stopping, read_stopped; /* h2o has stopped reading somewhere */
	struct counters n;
};

struct ar_server {
	struct ar_server_options options;
	h2o_globalconf_t conf;
	h2o_hostconf_t *host;
	int listen_fd, port, nloops;
	struct sloop *loops;
	_Atomic int open;
	_Atomic size_t body_bytes; /* of requests in memory, all loops */
	size_t body_bytes_max;
	_Atomic size_t reply_bytes; /* of large replies that are not sent yet, all loops */
	int64_t grace_ms;
	/* start-up: each loop reports once */
	pthread_mutex_t lock;
	pthread_cond_t reported;
	int nreported, nfailed;
	struct ar_errstack *errors; /* of the first that failed */
};

enum conn_state {
	CONN_HEAD,
	CONN_BODY,
	CONN_RUNNING, /* from the start of the fiber until the reply is sent and the fiber has ended */
	CONN_LINGER, /* shut down for writing; what still comes is dropped */
	CONN_H2,
};

struct conn {
	struct sloop *l;
	struct conn *prev, *next;
	h2o_socket_t *sock; /* NULL once closed; the struct lives on while refs > 0 */
	int refs;
	enum conn_state state;
	char peer[INET6_ADDRSTRLEN];
	struct ar_buf in;    /* read, not yet taken */
	int64_t expires_ms;  /* 0: never */
	struct iovec out[2]; /* what the socket would not take yet */
	int nout;
	int64_t mark_ms; /* progress of sending: when it was looked at, and where it stood */
	uint64_t mark_acked;
	size_t written_seen;       /* of h2o's count, already in the counters */
	struct ar_http_int *first; /* exchanges; at most one over HTTP/1.1 */
	bool taking;               /* h1_input() is on the stack */
	bool read_off;
	/* HTTP/1.1 */
	size_t scanned; /* of the head */
	int64_t body_left, since_ms;
	struct h1_chunked chunked;
	bool chunked_body, keepalive, eof, served;
	/* HTTP/2 */
	struct h2_conn *h2;
};

/* One request and its reply. Freed when the fiber has ended and the reply is sent or unwanted. */
struct ar_http_int {
	struct ar_http http;
	struct sloop *l;
	struct conn *conn; /* NULL once the client is gone */
	struct ar_http_int *prev, *next;
	struct ar_fiber *fiber; /* while it runs */
	struct ar_buf body;
	size_t charged;       /* to server->body_bytes */
	size_t reply_charged; /* to server->reply_bytes */
	struct ar_cond moved; /* what was given to send has been taken */
	bool started, ended, replied, streaming, sent, gone;
	/* HTTP/2 */
	h2o_req_t *req; /* NULL once h2o has let go of it */
	h2o_generator_t generator;
	h2o_buffer_t *h2_body; /* taken from h2o's stream */
	bool can_send;
	size_t mark_bytes;
	int64_t mark_ms;
};

/* A reply made ready for either protocol. */
struct reply {
	int status;
	struct ar_header *headers;
	size_t nheaders;
	struct ar_str body; /* empty when none is to be sent */
	int64_t length;     /* Content-Length; -1: none */
};

/* server.c */
void count(_Atomic uint64_t *counter, uint64_t by);
void server_refusal(struct ar_pool *pool, int status, const char *slug,
		    struct ar_str accept_language, struct ar_http_refusal *ret);
const char *loop_date(struct sloop *l);

/* accept.c */
int listen_open(const struct ar_server_options *options, int *ret_port);
void listener_start(struct sloop *l);
void listener_stop(struct sloop *l);

/* conn.c */
void conn_open(struct sloop *l, int fd, const struct sockaddr_storage *peer);
void conn_close(struct conn *c); /* at once; over HTTP/2 as soon as h2o lets go */
void conn_ref(struct conn *c);
void conn_unref(struct conn *c);
/* Sends, and keeps the rest for later. 1: all gone; 0: some waits; -1: the connection is closed. */
int conn_write(struct conn *c, const struct iovec *iov, int n);
void conn_linger(struct conn *c);
void conn_read(struct conn *c, bool on);
/* Keeps p[0..n), which may lie inside of c->in, as all that c->in holds. */
void conn_keep(struct conn *c, const char *p, size_t n);
void conn_readable(h2o_socket_t *sock, const char *err);
void conn_sweep(struct sloop *l);
void conn_drain(struct conn *c); /* the loop is stopping: close when what runs is done */

/* exchange.c */
struct ar_http_int *exchange_new(struct conn *c, int64_t now_us);
void exchange_start(struct ar_http_int *ex, int64_t now_us);
void exchange_discard(struct ar_http_int *ex); /* one that was never started */
void exchange_gone(struct ar_http_int *ex);
void exchange_settle(struct ar_http_int *ex); /* frees it when it is done */
bool exchange_charge(struct ar_http_int *ex, size_t bytes);
/* Likewise of replies that wait for their readers. */
bool exchange_charge_reply(struct ar_http_int *ex, size_t body);

/* h1.c */
void h1_input(struct conn *c, const char *p, size_t n);
void h1_next(struct conn *c);
void h1_refuse(struct conn *c, int status, const char *slug);
void h1_reply(struct ar_http_int *ex, const struct reply *r);
AR_YIELDS int h1_send(struct ar_http_int *ex, const char *p, size_t n);
void h1_expired(struct conn *c);
/* A reply as it goes out: the head, in the pool, with a small body in one piece. How many pieces. */
int h1_format(struct conn *c, struct ar_pool *pool, const struct reply *r, struct iovec out[2]);

/* h2.c, h2_guard.c, h2_body.c, h2_upgrade.c */
void h2_setup(struct ar_server *server);
void h2_adopt(struct conn *c, const char *p, size_t n);
void h2_upgrade(struct conn *c, struct ar_str head, struct ar_str rest);
void h2_input(struct conn *c, const char *p, size_t n);
void h2_eof(struct conn *c, const char *err);
void h2_calm(struct conn *c, const char *why);
void h2_sweep(struct conn *c, int64_t now);
void h2_drain(struct conn *c);
void h2_done(struct conn *c);
void h2_hook(struct conn *c);
void h2_reply(struct ar_http_int *ex, const struct reply *r);
AR_YIELDS int h2_send(struct ar_http_int *ex, const char *p, size_t n, bool last);
void h2_abort(struct ar_http_int *ex);

/* gzip.c */
bool gzip_accepted(struct ar_str accept_encoding);
bool gzip_pays(struct ar_str content_type, size_t n);
bool gzip_body(struct ar_pool *pool, struct ar_str body, struct ar_str *ret);
void gzip_thread_done(void);

#endif
