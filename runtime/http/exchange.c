/*
 * exchange.c - one request's life: its memory, its fiber, and who may still need it.
 *
 * Two parties hold an exchange: the fiber until it has ended, the transport until the reply is sent
 * or the client is gone. It is freed by whichever comes last.
 */
#include "http/server_int.h"

struct ar_http_int *exchange_new(struct conn *c, int64_t now_us)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_http_int *ex = ar_new(pool, struct ar_http_int);

	ex->http.pool = pool;
	ex->http.in = ex;
	ex->http.started_us = now_us;
	ex->http.peer = ar_str_dup(pool, ar_str(c->peer));
	ex->l = c->l;
	ex->conn = c;
	DL_PREPEND(c->first, ex);
	c->l->nexchanges++;
	ar_buf_init(&ex->body, c->l->server->options.body_max);
	return ex;
}

static void exchange_unlink(struct ar_http_int *ex)
{
	if (ex->conn == NULL)
		return;
	DL_DELETE(ex->conn->first, ex);
	ex->conn = NULL;
}

/* False when the process holds as many bytes of request bodies as it may. */
bool exchange_charge(struct ar_http_int *ex, size_t bytes)
{
	struct ar_server *s = ex->l->server;

	if (atomic_fetch_add(&s->body_bytes, bytes) + bytes > s->body_bytes_max) {
		atomic_fetch_sub(&s->body_bytes, bytes);
		return false;
	}
	ex->charged += bytes;
	return true;
}

/* A reply holds what its request made, until a client that may be slow has read it. */
bool exchange_charge_reply(struct ar_http_int *ex, size_t body)
{
	struct ar_server *s = ex->l->server;
	size_t bytes = AR_MAX(body, ar_pool_size(ex->http.pool));

	if (bytes <= REPLY_FREE)
		return true;
	if (atomic_fetch_add(&s->reply_bytes, bytes) + bytes > s->options.replies_max) {
		atomic_fetch_sub(&s->reply_bytes, bytes);
		return false;
	}
	ex->reply_charged = bytes;
	return true;
}

static void exchange_free(struct ar_http_int *ex)
{
	exchange_unlink(ex);
	atomic_fetch_sub(&ex->l->server->reply_bytes, ex->reply_charged);
	atomic_fetch_sub(&ex->l->server->body_bytes, ex->charged);
	ar_buf_done(&ex->body);
	if (ex->h2_body != NULL)
		h2o_buffer_dispose(&ex->h2_body);
	ex->l->nexchanges--;
	ar_pool_free(ex->http.pool);
}

void exchange_discard(struct ar_http_int *ex)
{
	assert(!ex->started);
	exchange_free(ex);
}

void exchange_settle(struct ar_http_int *ex)
{
	struct conn *c = ex->conn;
	bool next = ex->sent && c != NULL && c->state == CONN_RUNNING;

	if (!ex->ended || !(ex->sent || ex->gone))
		return;
	exchange_free(ex);
	if (next)
		h1_next(c);
}

void exchange_gone(struct ar_http_int *ex)
{
	if (!ex->started) {
		exchange_discard(ex);
		return;
	}
	exchange_unlink(ex);
	if (ex->sent)
		return; /* only the fiber's last steps are left */
	ex->gone = true;
	if (ex->fiber != NULL)
		ar_cancel(ex->fiber);
	ar_cond_broadcast(&ex->moved);
	exchange_settle(ex);
}

static void exchange_main(void *arg)
{
	struct ar_http_int *ex = arg;
	struct sloop *l = ex->l;

	ex->fiber = ar_self();
	l->server->options.handle(&ex->http);
	if (!ex->replied) {
		struct ar_http_refusal refusal;

		ar_error("http", "a handler returned without a reply");
		server_refusal(ex->http.pool, 500, "internal",
			       ar_http_header(&ex->http, "accept-language"), &refusal);
		ar_http_reply(&ex->http, 500, refusal.headers, refusal.nheaders, refusal.body);
	}
	ex->fiber = NULL;
	ex->ended = true;
	atomic_fetch_sub_explicit(&l->n.requests_open, 1, memory_order_relaxed);
	exchange_settle(ex);
}

void exchange_start(struct ar_http_int *ex, int64_t now_us)
{
	struct sloop *l = ex->l;

	ex->started = true;
	count(&l->n.requests, 1);
	count(&l->n.requests_open, 1);
	ar_go("request", exchange_main, ex, now_us / 1000 + l->server->options.deadline_ms);
}
