/*
 * h2_body.c - which streams of an HTTP/2 connection are still sending a body, for which h2o has no
 * good limits: too large (413), too slow (408), or more than there is memory for (503) ends the
 * stream's input here, and a refusal takes the handler's place. What then still comes for that
 * stream is dropped, and given back to the connection's window.
 */
#include "http/h2_int.h"

#define BODIES_MAX 2 /* bodies of the largest size that one connection may have in flight */

static h2o_http2_stream_t *h2o_stream(const struct conn *c, uint32_t id)
{
	return h2o_http2_conn_get_stream(h2o_conn(c), id);
}

/* ---- the table ---- */

struct open_stream *h2_body_find(struct h2_conn *h2, uint32_t id)
{
	for (int i = 0; i < h2->nopen; i++)
		if (h2->open[i].id == id)
			return &h2->open[i];
	return NULL;
}

static void uncharge(struct conn *c, struct open_stream *o)
{
	atomic_fetch_sub(&c->l->server->body_bytes, o->bytes);
	o->bytes = 0;
}

void h2_body_remove(struct conn *c, struct open_stream *o)
{
	uncharge(c, o);
	*o = c->h2->open[--c->h2->nopen];
}

/* Cut-off streams whose client just stopped sending would fill the table. */
static void open_make_room(struct conn *c)
{
	struct h2_conn *h2 = c->h2;

	for (int i = 0; i < h2->nopen && h2->nopen == H2_OPEN_MAX; i++)
		if (h2->open[i].told)
			h2_body_remove(c, &h2->open[i]);
}

static bool open_add(struct conn *c, uint32_t id)
{
	struct h2_conn *h2 = c->h2;

	open_make_room(c);
	if (h2->nopen == H2_OPEN_MAX)
		return false;
	h2->open[h2->nopen++] = (struct open_stream){ .id = id, .since_ms = ar_mono_ms() };
	return true;
}

/* ---- limits ---- */

/* Ends a stream's input, so that its request runs now and is refused. */
static bool cut_off(struct conn *c, uint32_t id, int status, const char *slug)
{
	uint8_t end[H2_FRAME_HEAD] = { 0, 0, 0, H2_DATA, H2_END_STREAM };
	struct open_stream *o;
	h2o_http2_stream_t *s;

	if (!h2_flush(c))
		return false;
	o = h2_body_find(c->h2, id);
	s = h2o_stream(c, id);
	if (o == NULL || o->why.slug != NULL)
		return true;
	if (s == NULL || s->state != H2O_HTTP2_STREAM_STATE_RECV_BODY) {
		h2_body_remove(c, o);
		return true;
	}
	s->_expected_content_length = SIZE_MAX;
	o->why = (struct h1_refusal){ status, slug };
	for (int i = 0; i < 4; i++)
		end[5 + i] = (uint8_t)(id >> (24 - 8 * i));
	h2_push(c, end, sizeof(end));
	return h2_flush(c);
}

static void give_back(struct conn *c, size_t n)
{
	if (n == 0)
		return;
	h2o_http2_encode_window_update_frame(&h2o_conn(c)->_write.buf, 0, (int32_t)n);
	h2o_http2_conn_request_write(h2o_conn(c));
	h2_hook(c);
}

/* Forgets streams that have sent all; cuts off those that announce too much. */
bool h2_body_tidy(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	size_t max = c->l->server->options.body_max;

	for (int i = h2->nopen - 1; i >= 0; i--) {
		struct open_stream *o = &h2->open[i];
		h2o_http2_stream_t *s = h2o_stream(c, o->id);

		if (o->why.slug != NULL) {
			if (s == NULL && !o->told) { /* answered: the rest need not come */
				h2o_http2__encode_rst_stream_frame(&h2o_conn(c)->_write.buf, o->id,
								   0);
				h2o_http2_conn_request_write(h2o_conn(c));
				o->told = true;
				uncharge(c, o);
			}
			if (o->ended)
				h2_body_remove(c, o);
		} else if (s == NULL || (s->state > H2O_HTTP2_STREAM_STATE_RECV_BODY &&
					 s->state != H2O_HTTP2_STREAM_STATE_REQ_PENDING)) {
			h2_body_remove(c, o);
		} else if (!o->seen && !o->ended) {
			o->seen = true;
			if (s->_expected_content_length != SIZE_MAX &&
			    s->_expected_content_length > max)
				return cut_off(c, o->id, 413, "too-large");
		}
	}
	return true;
}

void h2_body_paces(struct conn *c, int64_t now)
{
	const struct ar_server_options *o = &c->l->server->options;

	for (int i = 0; i < c->h2->nopen; i++) {
		const struct open_stream *s = &c->h2->open[i];
		int64_t pace = (int64_t)(s->bytes / BODY_RATE_MIN) * 1000;

		if (s->why.slug == NULL && !s->ended &&
		    now > s->since_ms + o->header_ms * BODY_TIME_FACTOR + pace) {
			cut_off(c, s->id, 408, "http/too-slow");
			return; /* the table has moved; the next sweep goes on */
		}
	}
}

/* ---- what comes ---- */

static bool charge(struct conn *c, struct open_stream *o, size_t n)
{
	struct ar_server *s = c->l->server;
	size_t sum = n;

	for (int i = 0; i < c->h2->nopen; i++)
		sum += c->h2->open[i].bytes;
	if (sum > s->options.body_max * BODIES_MAX)
		return false;
	if (atomic_fetch_add(&s->body_bytes, n) + n > s->body_bytes_max) {
		atomic_fetch_sub(&s->body_bytes, n);
		return false;
	}
	o->bytes += n;
	return true;
}

bool h2_body_data(struct conn *c, struct open_stream *o, const struct h2_frame *f, const uint8_t *p,
		  size_t n)
{
	struct h1_refusal why = { 0, NULL };

	if (o->why.slug != NULL) {
		o->ended = (f->flags & H2_END_STREAM) != 0;
		give_back(c, f->length);
		return true;
	}
	if (o->bytes + f->length > c->l->server->options.body_max)
		why = (struct h1_refusal){ 413, "too-large" };
	else if (!charge(c, o, f->length))
		why = (struct h1_refusal){ 503, "unavailable" };
	if (why.slug == NULL) {
		o->ended = (f->flags & H2_END_STREAM) != 0;
		h2_push(c, p, n);
		return true;
	}
	if (!cut_off(c, f->stream, why.status, why.slug))
		return false;
	o = h2_body_find(c->h2, f->stream);
	if (o != NULL)
		o->ended = (f->flags & H2_END_STREAM) != 0;
	give_back(c, f->length);
	return true;
}

bool h2_body_headers(struct conn *c, struct open_stream *o, const struct h2_frame *f)
{
	bool end = (f->flags & H2_END_STREAM) != 0;
	h2o_http2_stream_t *s;

	if (o == NULL) {
		if (end || open_add(c, f->stream))
			return true;
		h2_calm(c, "too many streams");
		return false;
	}
	/* Trailers. h2o adds them to the headers: remember where those end. */
	if (!h2_flush(c))
		return false;
	o = h2_body_find(c->h2, f->stream);
	s = h2o_stream(c, f->stream);
	if (o != NULL && s != NULL) {
		o->nheaders = s->req.headers.size;
		o->trailers = true;
		o->ended = end;
	}
	return true;
}
