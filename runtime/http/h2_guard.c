/*
 * h2_guard.c - stands between the socket and h2o's HTTP/2: feeds it whole frames, and only those
 * that h2_frames.c lets pass.
 */
#include "http/h2_int.h"

#define EARLY_MAX 100 /* requests ended early by one read; more are not even started */

void h2_request(struct conn *c, uint32_t stream, size_t *nheaders, struct h1_refusal *why)
{
	struct h2_conn *h2 = c->h2;
	struct open_stream *o = h2_body_find(h2, stream);

	if (h2->calmed || h2->early > EARLY_MAX || (h2->draining && stream > h2->last_stream))
		*why = (struct h1_refusal){ 503, "unavailable" };
	else if (o != NULL)
		*why = o->why;
	if (o != NULL && o->trailers)
		*nheaders = AR_MIN(*nheaders, o->nheaders);
}

/* ---- feeding h2o ---- */

void h2_push(struct conn *c, const void *p, size_t n)
{
	h2o_iovec_t room = h2o_buffer_reserve(&c->sock->input, n);

	memcpy(room.base, p, n);
	c->sock->input->size += n;
}

/* After h2o ran: it may have set its own reader again, or stopped reading while it writes. */
void h2_hook(struct conn *c)
{
	if (c == NULL || c->h2 == NULL || c->sock == NULL || c->h2->calmed ||
	    c->h2->on_read == NULL)
		return;
	if (c->sock->_cb.read == c->h2->on_read)
		c->sock->_cb.read = conn_readable;
	else if (c->sock->_cb.read == NULL)
		c->l->read_stopped = true;
}

static uint64_t stream_errors(const struct sloop *l)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < AR_COUNT(l->ctx.http2.events.protocol_level_errors); i++)
		sum += l->ctx.http2.events.protocol_level_errors[i];
	return sum;
}

bool h2_flush(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	int64_t now = ar_mono_ms();
	uint64_t errors;

	if (c->sock == NULL || h2->calmed)
		return false;
	if (c->sock->input->size > 0) {
		errors = stream_errors(c->l);
		h2->early = 0;
		h2->on_read(c->sock, NULL);
		if (c->sock == NULL)
			return false;
		/* What made h2o end a stream by itself is paid for like a reset. */
		errors = stream_errors(c->l) - errors;
		if (!h2_watch_spend(&h2->watch, H2_RESETS, (double)errors, now)) {
			h2_calm(c, "too many stream errors");
			return false;
		}
	}
	if (h2o_conn(c)->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING) {
		h2->calmed = true;
		h2o_socket_read_stop(c->sock);
		c->expires_ms = now + LINGER_MS;
		return false;
	}
	h2_hook(c);
	return h2_body_tidy(c);
}

/* ---- frames ---- */

/* False when the connection takes no more. */
static bool take_frame(struct conn *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	struct open_stream *o = h2_body_find(c->h2, f->stream);

	switch (h2_watch_frame(&c->h2->watch, f, ar_mono_ms())) {
	case H2_CLOSE:
		if (h2_flush(c))
			h2_calm(c, "too much of it");
		return false;
	case H2_DROP:
		return true;
	default:
		break;
	}
	if (f->length > H2_FRAME_MAX) {
		h2_push(c, p, n);
		h2_flush(c);
		return false;
	}
	if (f->type == H2_DATA && o != NULL)
		return h2_body_data(c, o, f, p, n);
	if (f->type == H2_HEADERS && !h2_body_headers(c, o, f))
		return false;
	if (f->type == H2_RST_STREAM && o != NULL)
		h2_body_remove(c, o);
	h2_push(c, p, n);
	return true;
}

static void keep_rest(struct conn *c, const char *p, size_t n)
{
	conn_keep(c, p, n);
	/* Half a frame or half a header block may not last. */
	if (n == 0 && c->h2->watch.block_stream == 0)
		c->expires_ms = 0;
	else if (c->expires_ms == 0)
		c->expires_ms = ar_mono_ms() + c->l->server->options.header_ms * BODY_TIME_FACTOR;
}

/* The caller holds the connection. */
void h2_input(struct conn *c, const char *p, size_t n)
{
	struct h2_frame f;
	size_t took;

	if (c->h2->calmed)
		return;
	if (c->in.n > 0 && p != c->in.p) {
		ar_buf_add(&c->in, p, n);
		p = c->in.p;
		n = c->in.n;
	}
	if (!c->h2->preface_seen) {
		if (n < H2_PREFACE_LEN) { /* only after an upgrade */
			keep_rest(c, p, n);
			return;
		}
		h2_push(c, p, H2_PREFACE_LEN);
		p += H2_PREFACE_LEN;
		n -= H2_PREFACE_LEN;
		c->h2->preface_seen = true;
	}
	while ((took = h2_frame_read((const uint8_t *)p, n, &f)) > 0) {
		if (!take_frame(c, &f, (const uint8_t *)p, took))
			return;
		p += took;
		n -= took;
	}
	keep_rest(c, p, n);
	h2_flush(c);
}

/* ---- the connection ---- */

void h2_begin(struct conn *c)
{
	c->h2 = ar_heap_new(struct h2_conn);
	c->state = CONN_H2;
	c->served = true;
	c->expires_ms = 0;
}

void h2_adopt(struct conn *c, const char *p, size_t n)
{
	struct timeval now = { .tv_sec = (time_t)(ar_now_ms() / 1000) };

	h2_begin(c);
	h2o_http2_accept(&c->l->accept_ctx, c->sock, now);
	c->h2->on_read = c->sock->_cb.read;
	c->sock->_cb.read = conn_readable;
	h2_input(c, p, n);
}

void h2_eof(struct conn *c, const char *err)
{
	c->h2->calmed = true;
	if (c->expires_ms == 0)
		c->expires_ms = ar_mono_ms() + LINGER_MS;
	if (c->h2->on_read != NULL)
		c->h2->on_read(c->sock, err); /* closes now, or when what it writes is out */
}

/* Says ENHANCE_YOUR_CALM and closes; the second time, without a word. */
void h2_calm(struct conn *c, const char *why)
{
	h2o_http2_conn_t *conn = h2o_conn(c);

	if (c->h2->calmed) {
		conn_close(c);
		return;
	}
	count(&c->l->n.refused, 1);
	if (c->h2->on_read != NULL && conn->state < H2O_HTTP2_CONN_STATE_IS_CLOSING) {
		h2o_http2_encode_goaway_frame(&conn->_write.buf, conn->pull_stream_ids.max_open,
					      H2O_HTTP2_ERROR_ENHANCE_YOUR_CALM,
					      h2o_iovec_init(why, strlen(why)));
		h2o_http2_conn_request_write(conn);
	}
	h2_eof(c, why);
}

void h2_drain(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	h2o_http2_conn_t *conn = h2o_conn(c);

	if (h2->calmed || h2->on_read == NULL)
		return;
	if (!h2->draining) {
		h2->draining = true;
		h2->last_stream = conn->pull_stream_ids.max_open;
		h2o_http2_encode_goaway_frame(&conn->_write.buf, h2->last_stream,
					      H2O_HTTP2_ERROR_NONE,
					      h2o_iovec_init(H2O_STRLIT("stopping")));
		h2o_http2_conn_request_write(conn);
	} else if (c->first == NULL && h2->nopen == 0 && conn->_write.buf->size == 0 &&
		   !h2o_socket_is_writing(c->sock)) {
		h2_eof(c, "stopping");
	}
}

/* A reader that opens no window, or a few bytes of it, gets its stream taken away. */
static void check_windows(struct conn *c, int64_t now)
{
	int64_t stall = c->l->server->options.send_stall_ms;
	struct ar_http_int *next;

	for (struct ar_http_int *ex = c->first; ex != NULL; ex = next) {
		bool waits_for_us = ex->streaming && ex->can_send;

		next = ex->next;
		if (ex->req == NULL || !ex->replied)
			continue;
		if (waits_for_us || ex->mark_ms == 0 ||
		    ex->req->bytes_sent - ex->mark_bytes >= STREAM_MIN) {
			ex->mark_bytes = ex->req->bytes_sent;
			ex->mark_ms = now;
		} else if (now - ex->mark_ms >= stall) {
			count(&c->l->n.refused, 1);
			h2_abort(ex);
		}
	}
}

void h2_sweep(struct conn *c, int64_t now)
{
	if (c->h2->calmed || c->h2->on_read == NULL)
		return;
	check_windows(c, now);
	if (c->h2->watch.block_stream != 0 || !h2_body_tidy(c))
		return; /* no frame may come between the parts of a header block */
	h2_body_paces(c, now);
}

void h2_done(struct conn *c)
{
	if (c->h2 == NULL)
		return;
	while (c->h2->nopen > 0)
		h2_body_remove(c, &c->h2->open[0]);
	h2_watch_done(&c->h2->watch);
	ar_heap_free(c->h2);
	c->h2 = NULL;
}
