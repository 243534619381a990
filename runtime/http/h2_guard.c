/*
 * h2_guard.c - stands between the socket and h2o's HTTP/2: feeds it whole frames, and only those
 * that h2_frames.c lets pass.
 *
 * It also knows which streams are still sending a body, which h2o has no good limits for: too large
 * (413), too slow (408), or more than there is memory for (503) ends the stream's input here, and a
 * refusal takes the handler's place. What then still comes for that stream is dropped, and given
 * back to the connection's window.
 */
#include "http/h2_int.h"

#define BODIES_MAX 2   /* bodies of the largest size that one connection may have in flight */
#define EARLY_MAX  100 /* requests ended early by one read; more are not even started */

static h2o_http2_conn_t *h2o_conn(const struct conn *c)
{
	return c->sock->data;
}

static h2o_http2_stream_t *h2o_stream(const struct conn *c, uint32_t id)
{
	return h2o_http2_conn_get_stream(h2o_conn(c), id);
}

/* ---- streams that are sending ---- */

static struct open_stream *open_find(struct h2_conn *h2, uint32_t id)
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

static void open_remove(struct conn *c, struct open_stream *o)
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
			open_remove(c, &h2->open[i]);
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

void h2_request(struct conn *c, uint32_t stream, size_t *nheaders, struct h1_refusal *why)
{
	struct h2_conn *h2 = c->h2;
	struct open_stream *o = open_find(h2, stream);

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

static bool cut_off(struct conn *c, uint32_t id, int status, const char *slug);

/* Forgets streams that have sent all; cuts off those that announce too much. */
static bool tidy(struct conn *c)
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
				open_remove(c, o);
		} else if (s == NULL || (s->state > H2O_HTTP2_STREAM_STATE_RECV_BODY &&
					 s->state != H2O_HTTP2_STREAM_STATE_REQ_PENDING)) {
			open_remove(c, o);
		} else if (!o->seen && !o->ended) {
			o->seen = true;
			if (s->_expected_content_length != SIZE_MAX &&
			    s->_expected_content_length > max)
				return cut_off(c, o->id, 413, "too-large");
		}
	}
	return true;
}

/* Hands h2o what was pushed. False when the connection takes no more. */
static bool flush(struct conn *c)
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
	return tidy(c);
}

/* Ends a stream's input, so that its request runs now and is refused. */
static bool cut_off(struct conn *c, uint32_t id, int status, const char *slug)
{
	uint8_t end[H2_FRAME_HEAD] = { 0, 0, 0, H2_DATA, H2_END_STREAM };
	struct open_stream *o;
	h2o_http2_stream_t *s;

	if (!flush(c))
		return false;
	o = open_find(c->h2, id);
	s = h2o_stream(c, id);
	if (o == NULL || o->why.slug != NULL)
		return true;
	if (s == NULL || s->state != H2O_HTTP2_STREAM_STATE_RECV_BODY) {
		open_remove(c, o);
		return true;
	}
	s->_expected_content_length = SIZE_MAX;
	o->why = (struct h1_refusal){ status, slug };
	for (int i = 0; i < 4; i++)
		end[5 + i] = (uint8_t)(id >> (24 - 8 * i));
	h2_push(c, end, sizeof(end));
	return flush(c);
}

static void give_back(struct conn *c, size_t n)
{
	if (n == 0)
		return;
	h2o_http2_encode_window_update_frame(&h2o_conn(c)->_write.buf, 0, (int32_t)n);
	h2o_http2_conn_request_write(h2o_conn(c));
	h2_hook(c);
}

/* ---- frames ---- */

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

static bool take_data(struct conn *c, struct open_stream *o, const struct h2_frame *f,
		      const uint8_t *p, size_t n)
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
	o = open_find(c->h2, f->stream);
	if (o != NULL)
		o->ended = (f->flags & H2_END_STREAM) != 0;
	give_back(c, f->length);
	return true;
}

static bool take_headers(struct conn *c, struct open_stream *o, const struct h2_frame *f)
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
	if (!flush(c))
		return false;
	o = open_find(c->h2, f->stream);
	s = h2o_stream(c, f->stream);
	if (o != NULL && s != NULL) {
		o->nheaders = s->req.headers.size;
		o->trailers = true;
		o->ended = end;
	}
	return true;
}

/* False when the connection takes no more. */
static bool take_frame(struct conn *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	struct open_stream *o = open_find(c->h2, f->stream);

	switch (h2_watch_frame(&c->h2->watch, f, ar_mono_ms())) {
	case H2_CLOSE:
		if (flush(c))
			h2_calm(c, "too much of it");
		return false;
	case H2_DROP:
		return true;
	default:
		break;
	}
	if (f->length > H2_FRAME_MAX) {
		h2_push(c, p, n);
		flush(c);
		return false;
	}
	if (f->type == H2_DATA && o != NULL)
		return take_data(c, o, f, p, n);
	if (f->type == H2_HEADERS && !take_headers(c, o, f))
		return false;
	if (f->type == H2_RST_STREAM && o != NULL)
		open_remove(c, o);
	h2_push(c, p, n);
	return true;
}

static void keep_rest(struct conn *c, const char *p, size_t n)
{
	if (n == 0) {
		ar_buf_done(&c->in);
	} else if (c->in.n > 0) {
		memmove(c->in.p, p, n);
		c->in.n = n;
	} else {
		ar_buf_add(&c->in, p, n);
	}
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
	flush(c);
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

/* A reader that opens no window gets its stream taken away. */
static void check_windows(struct conn *c, int64_t now)
{
	int64_t stall = c->l->server->options.send_stall_ms;
	struct ar_http_int *next;

	for (struct ar_http_int *ex = c->first; ex != NULL; ex = next) {
		next = ex->next;
		if (ex->req == NULL || !ex->replied || (ex->streaming && ex->can_send))
			continue;
		if (ex->req->bytes_sent != ex->mark_bytes || ex->mark_ms == 0) {
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
	const struct ar_server_options *o = &c->l->server->options;

	if (c->h2->calmed || c->h2->on_read == NULL)
		return;
	check_windows(c, now);
	if (c->h2->watch.block_stream != 0 || !tidy(c))
		return; /* no frame may come between the parts of a header block */
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

void h2_done(struct conn *c)
{
	if (c->h2 == NULL)
		return;
	while (c->h2->nopen > 0)
		open_remove(c, &c->h2->open[0]);
	h2_watch_done(&c->h2->watch);
	ar_heap_free(c->h2);
	c->h2 = NULL;
}
