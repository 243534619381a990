/*
 * h1.c - HTTP/1.1 on one connection: head, body, fiber, reply, next.
 *
 * One request at a time; what a client sends ahead waits in conn->in, and past PIPELINE_MAX in the
 * kernel. A refusal before the handler runs is answered and ends the connection, because after a
 * request that two readers could read differently nothing that follows can be trusted.
 */
#include <stdio.h>

#include "http/server_int.h"

static void set_expiry(struct conn *c, int64_t ms)
{
	c->expires_ms = c->l->now_us / 1000 + ms;
}

static const struct ar_server_options *options(const struct conn *c)
{
	return &c->l->server->options;
}

/* ---- refusing ---- */

static struct ar_str wanted_language(const struct conn *c)
{
	if (c->first == NULL)
		return AR_STR_NONE;
	return ar_http_header(&c->first->http, "accept-language");
}

void h1_refuse(struct conn *c, int status, const char *slug)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_http_refusal refusal;
	struct reply r = { .status = status };
	struct iovec out[2];
	int n;

	count(&c->l->n.refused, 1);
	c->keepalive = false;
	server_refusal(pool, status, slug, wanted_language(c), &refusal);
	r.headers = refusal.headers;
	r.nheaders = refusal.nheaders;
	r.body = refusal.body;
	r.length = (int64_t)r.body.n;
	n = h1_format(c, pool, &r, out);
	if (c->first != NULL)
		exchange_discard(c->first);
	switch (conn_write(c, out, n)) {
	case 1:
		conn_linger(c);
		break;
	case 0: /* a client that has not read its earlier replies gets no more */
		conn_close(c);
	}
}

void h1_expired(struct conn *c)
{
	if (c->state == CONN_BODY || c->in.n > 0)
		h1_refuse(c, 408, "http/too-slow");
	else
		conn_close(c);
}

/* ---- the head ---- */

/* The head's bytes move to the exchange's pool, with the names in lower case. */
static void copy_head(struct ar_http_int *ex, const char *p, size_t n, const struct h1_head *head)
{
	struct ar_pool *pool = ex->http.pool;
	char *copy = ar_memdup(pool, p, n);
	struct ar_header *headers = ar_new_n(pool, struct ar_header, head->nheaders + 1);

#define MOVED(s) ((s).n > 0 ? ar_str_n(copy + ((s).p - p), (s).n) : AR_STR(""))
	ex->http.method = MOVED(head->method);
	ex->http.path = MOVED(head->path);
	ex->http.query = MOVED(head->query);
	ex->http.authority = MOVED(head->authority);
	for (size_t i = 0; i < head->nheaders; i++) {
		char *name = copy + (head->headers[i].name.p - p);

		for (size_t k = 0; k < head->headers[i].name.n; k++)
			if (name[k] >= 'A' && name[k] <= 'Z')
				name[k] |= 0x20;
		headers[i].name = ar_str_n(name, head->headers[i].name.n);
		headers[i].value = MOVED(head->headers[i].value);
	}
#undef MOVED
	ex->http.headers = headers;
	ex->http.nheaders = head->nheaders;
	ex->http.scheme = AR_STR("http");
	ex->http.version = head->version;
}

static void run(struct conn *c)
{
	struct ar_http_int *ex = c->first;

	ex->http.body = ar_buf_view(&ex->body);
	c->state = CONN_RUNNING;
	c->expires_ms = 0;
	c->served = true;
	exchange_start(ex, c->l->now_us);
}

static void body_begin(struct conn *c, const struct h1_head *head)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = { (char *)go_on, sizeof(go_on) - 1 };

	if (head->length > 0 && (uint64_t)head->length > options(c)->body_max) {
		h1_refuse(c, 413, "too-large");
		return;
	}
	c->state = CONN_BODY;
	c->since_ms = c->l->now_us / 1000;
	c->body_left = head->length;
	c->chunked_body = head->chunked;
	c->chunked = (struct h1_chunked){ 0 };
	c->expires_ms = c->since_ms + options(c)->header_ms * BODY_TIME_FACTOR;
	if (head->expect && conn_write(c, &iov, 1) == 0)
		conn_close(c); /* not even that fits: it does not read */
}

/* Returns the bytes taken; 0 when more are needed, or when the connection takes no more. */
static size_t take_head(struct conn *c, const char *p, size_t n)
{
	struct h1_head head;
	struct h1_refusal why;
	struct ar_http_int *ex;
	ptrdiff_t len = h1_head_find(p, n, &c->scanned);

	if (len > H1_HEAD_MAX || (len == 0 && n > H1_HEAD_MAX)) {
		h1_refuse(c, 431, "http/headers-too-large");
		return 0;
	}
	if (len < 0) {
		h1_refuse(c, 400, "malformed");
		return 0;
	}
	if (len == 0)
		return 0;
	c->scanned = 0;
	if (h1_head_read(p, (size_t)len, &head, &why) != 0) {
		h1_refuse(c, why.status, why.slug);
		return 0;
	}
	if (head.upgrade_h2c && !c->l->stopping) {
		h2_upgrade(c, ar_str_n(p, (size_t)len), ar_str_n(p + len, n - (size_t)len));
		return 0;
	}
	ex = exchange_new(c, c->l->now_us);
	copy_head(ex, p, (size_t)len, &head);
	c->keepalive = head.keepalive && !c->l->stopping;
	if (head.length == 0)
		run(c);
	else
		body_begin(c, &head);
	return (size_t)len;
}

/* ---- the body ---- */

static int keep_body(struct conn *c, struct ar_str data)
{
	struct ar_http_int *ex = c->first;
	int64_t pace = (int64_t)(ex->body.n / BODY_RATE_MIN) * 1000;

	if (ex->body.n + data.n > options(c)->body_max) {
		h1_refuse(c, 413, "too-large");
		return -1;
	}
	if (!exchange_charge(ex, data.n)) {
		h1_refuse(c, 503, "unavailable");
		return -1;
	}
	ar_buf_str(&ex->body, data);
	c->expires_ms = c->since_ms + options(c)->header_ms * BODY_TIME_FACTOR + pace;
	return 0;
}

static size_t take_body(struct conn *c, const char *p, size_t n)
{
	struct ar_str data;
	size_t taken;
	bool end;

	if (c->chunked_body) {
		ptrdiff_t r = h1_chunked_take(&c->chunked, p, n, &data, &end);

		if (r < 0) {
			h1_refuse(c, 400, "malformed");
			return 0;
		}
		taken = (size_t)r;
	} else {
		taken = (size_t)AR_MIN((int64_t)n, c->body_left);
		data = ar_str_n(p, taken);
		c->body_left -= (int64_t)taken;
		end = c->body_left == 0;
	}
	if (data.n > 0 && keep_body(c, data) != 0)
		return 0;
	if (end)
		run(c);
	return taken;
}

/* ---- input ---- */

static void take_all(struct conn *c, const char *p, size_t n, bool fresh)
{
	while (n > 0 && c->sock != NULL && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
		size_t taken = c->state == CONN_HEAD ? take_head(c, p, n) : take_body(c, p, n);

		if (taken == 0)
			break;
		p += taken;
		n -= taken;
		fresh = true;
	}
	if (c->sock == NULL || c->state == CONN_LINGER || c->state == CONN_H2)
		return;
	conn_keep(c, p, n);
	conn_read(c, c->state != CONN_RUNNING || (!c->eof && c->in.n < PIPELINE_MAX));
	/* A head that trickles in does not get its time anew with each piece. */
	if (c->state == CONN_HEAD && fresh)
		set_expiry(c, c->in.n > 0 ? options(c)->header_ms : options(c)->idle_ms);
}

/* p may be c->in itself, when its bytes were added there already. */
void h1_input(struct conn *c, const char *p, size_t n)
{
	bool fresh = c->state == CONN_HEAD && c->in.n == 0;

	if (c->in.n > 0 && p != c->in.p) {
		ar_buf_add(&c->in, p, n);
		p = c->in.p;
		n = c->in.n;
	}
	if (c->state == CONN_RUNNING) {
		if (p != c->in.p)
			ar_buf_add(&c->in, p, n);
		conn_read(c, c->in.n < PIPELINE_MAX);
		return;
	}
	c->taking = true;
	conn_ref(c);
	take_all(c, p, n, fresh);
	c->taking = false;
	conn_unref(c);
}

static void resume(void *arg)
{
	struct conn *c = arg;

	if (c->sock != NULL && c->state == CONN_HEAD && c->in.n > 0 && !c->taking) {
		c->l->now_us = ar_mono_us();
		set_expiry(c, options(c)->header_ms);
		h1_input(c, c->in.p, c->in.n);
	}
	conn_unref(c);
}

/* The reply is out and the fiber has ended. May run in that fiber: goes on from the loop. */
void h1_next(struct conn *c)
{
	if (!c->keepalive || c->eof || c->l->stopping) {
		conn_linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->scanned = 0;
	if (c->taking)
		return; /* take_all() goes on */
	c->l->now_us = ar_mono_us();
	set_expiry(c, options(c)->idle_ms);
	conn_read(c, true);
	if (c->in.n > 0) {
		conn_ref(c);
		ar_post(c->l->loop, resume, c);
	}
}
