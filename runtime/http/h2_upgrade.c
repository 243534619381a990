/*
 * h2_upgrade.c - "Upgrade: h2c": a request in HTTP/1.1 whose reply comes over HTTP/2.
 *
 * The head, which h1_head.c has found good, is handed to h2o's own HTTP/1.1, which knows how to turn
 * into HTTP/2. Until its 101 is written the connection is h2o's; then the guard takes its place.
 */
#include "http/h2_int.h"

static void on_101_written(h2o_socket_t *sock, const char *err)
{
	struct conn *c = sock->on_close.data;
	h2o_socket_cb on_written = c->h2->on_written;

	conn_ref(c);
	c->h2->on_written = NULL;
	on_written(sock, err);
	if (c->sock != NULL) {
		c->h2->on_read = sock->_cb.read;
		c->read_off = false;
		h2_hook(c);
		if (c->h2->calmed) /* closed meanwhile */
			h2_eof(c, "closed");
		else if (c->in.n > 0)
			h2_input(c, c->in.p, c->in.n);
	}
	conn_unref(c);
}

/* head: the request; rest: what came behind it. */
void h2_upgrade(struct conn *c, struct ar_str head, struct ar_str rest)
{
	struct timeval now = { .tv_sec = (time_t)(ar_now_ms() / 1000) };
	struct ar_buf in;

	ar_buf_init(&in, SIZE_MAX);
	ar_buf_str(&in, rest);
	h2_begin(c);
	h2_push(c, head.p, head.n);
	ar_buf_done(&c->in); /* head and rest may have lain there */
	c->in = in;
	h2o_http1_accept(&c->l->accept_ctx, c->sock, now);
	if (c->sock == NULL)
		return;
	c->h2->on_written = c->sock->_cb.write;
	c->sock->_cb.write = on_101_written;
}
