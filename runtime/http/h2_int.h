/*
 * h2_int.h - what h2.c (requests and replies), h2_guard.c (frames) and h2_body.c (bodies that still
 * come) share.
 */
#ifndef AR_H2_INT_H
#define AR_H2_INT_H

#include "http/server_int.h"

#define H2_OPEN_MAX 128 /* h2o allows 100 streams at once */

struct open_stream { /* its body has not ended */
	uint32_t id;
	int64_t since_ms;
	size_t bytes;     /* that came, charged to the server */
	size_t nheaders;  /* of the head, when trailers came */
	bool seen, ended; /* seen: its declared length was looked at */
	bool trailers;
	bool told;             /* the client knows that it may stop */
	struct h1_refusal why; /* slug: it was cut off */
};

struct h2_conn {
	h2o_socket_cb on_read;    /* h2o's; NULL before an upgrade is made */
	h2o_socket_cb on_written; /* h2o's, while the 101 is on its way */
	struct h2_watch watch;
	struct open_stream open[H2_OPEN_MAX];
	int nopen;
	int early; /* requests that ended before their reply, in the input fed last */
	bool preface_seen, draining, calmed;
	uint32_t last_stream; /* when draining: the last that will be served */
};

/* A request is about to run. Sets why->slug when it must be refused; *nheaders without trailers. */
void h2_request(struct conn *c, uint32_t stream, size_t *nheaders, struct h1_refusal *why);
/* Makes the connection an HTTP/2 one; h2o does not know yet. */
void h2_begin(struct conn *c);
void h2_push(struct conn *c, const void *p, size_t n); /* into h2o's input */
bool h2_flush(struct conn *c); /* gives it to h2o. False: the connection takes no more */

/* ---- h2_body.c. What says false: the connection takes no more ---- */

struct open_stream *h2_body_find(struct h2_conn *h2, uint32_t id); /* or NULL */
void h2_body_remove(struct conn *c, struct open_stream *o);
/* A frame of the stream; o: in the table, NULL for the head of a new one. */
bool h2_body_headers(struct conn *c, struct open_stream *o, const struct h2_frame *f);
bool h2_body_data(struct conn *c, struct open_stream *o, const struct h2_frame *f, const uint8_t *p,
		  size_t n);
/* Forgets streams that have sent all; cuts off those that announce too much. */
bool h2_body_tidy(struct conn *c);
void h2_body_paces(struct conn *c, int64_t now); /* cuts off one that is too slow */

static inline h2o_http2_conn_t *h2o_conn(const struct conn *c)
{
	return c->sock->data;
}

#endif
