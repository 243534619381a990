/*
 * h2_int.h - what h2.c (requests and replies) and h2_guard.c (frames) share.
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

#endif
