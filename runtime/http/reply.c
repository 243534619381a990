/*
 * reply.c - what a handler may say: a reply from memory, or a part of a file.
 *
 * Headers of the connection (Content-Length, Connection, Date...) are the server's: a handler's own
 * are left out, and so is one with a line break or another control character in it.
 */

#include "http/server_int.h"

#define BLOCK      (128 * 1024) /* of a file, in memory at once */
#define BUSY_TRIES 100          /* the offload queue is full: wait a little */

static const struct ar_str own_headers[] = {
	AR_STR("content-length"), AR_STR("connection"), AR_STR("transfer-encoding"),
	AR_STR("keep-alive"),     AR_STR("upgrade"),    AR_STR("proxy-connection"),
	AR_STR("date"),           AR_STR("server"),
};

static bool header_allowed(const struct ar_header *h)
{
	for (size_t i = 0; i < AR_COUNT(own_headers); i++)
		if (h->name.n == own_headers[i].n && ar_str_caseeq(h->name, own_headers[i]))
			return false;
	if (http_token(h->name) && http_field_value(h->value))
		return true;
	ar_warn("http", "left out a reply header with characters that are not allowed");
	return false;
}

static struct ar_str find(const struct reply *r, const char *name)
{
	struct ar_str wanted = ar_str(name);

	for (size_t i = 0; i < r->nheaders; i++)
		if (r->headers[i].name.n == wanted.n && ar_str_caseeq(r->headers[i].name, wanted))
			return r->headers[i].value;
	return AR_STR_NONE;
}

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static void compress(struct ar_http *http, struct reply *r)
{
	struct ar_str packed;

	if (!gzip_pays(find(r, "content-type"), r->body.n) || r->status == 206 ||
	    find(r, "content-encoding").p != NULL)
		return;
	r->headers[r->nheaders++] = (struct ar_header){ AR_STR("vary"), AR_STR("Accept-Encoding") };
	if (!gzip_accepted(ar_http_header(http, "accept-encoding")) ||
	    !gzip_body(http->pool, r->body, &packed))
		return;
	r->headers[r->nheaders++] =
		(struct ar_header){ AR_STR("content-encoding"), AR_STR("gzip") };
	r->body = packed;
	r->length = (int64_t)packed.n;
}

static void prepare(struct ar_http *http, int status, const struct ar_header *headers, size_t n,
		    struct reply *r)
{
	assert(status >= 200 && status <= 599);
	r->status = status;
	r->headers = ar_new_n(http->pool, struct ar_header, n + 2);
	r->nheaders = 0;
	for (size_t i = 0; i < n; i++)
		if (header_allowed(&headers[i]))
			r->headers[r->nheaders++] = headers[i];
}

static void hand_over(struct ar_http_int *ex, const struct reply *r)
{
	if (ex->req != NULL)
		h2_reply(ex, r);
	else
		h1_reply(ex, r);
}

/* Too many replies wait for clients that do not read: this one becomes a refusal, which is small. */
static struct ar_str refuse(struct ar_http *http, struct reply *r)
{
	struct ar_http_refusal refusal;

	count(&http->in->l->n.refused, 1);
	server_refusal(http->pool, 503, "unavailable", ar_http_header(http, "accept-language"),
		       &refusal);
	prepare(http, 503, refusal.headers, refusal.nheaders, r);
	return refusal.body;
}

void ar_http_reply(struct ar_http *http, int status, const struct ar_header *headers,
		   size_t nheaders, struct ar_str body)
{
	struct ar_http_int *ex = http->in;
	struct reply r;

	assert(!ex->replied);
	ex->replied = true;
	if (ex->gone)
		return;
	if (exchange_charge_reply(ex, body.n)) {
		prepare(http, status, headers, nheaders, &r);
	} else {
		status = 503;
		body = refuse(http, &r);
	}
	if (status ==
	    205) /* has a length, and it is 0: else a client may read the next reply wrong */
		body = AR_STR("");
	r.body = body;
	r.length = (int64_t)body.n;
	compress(http, &r);
	if (!has_body(status))
		r.length = -1;
	if (!has_body(status) || ar_str_is(http->method, "HEAD"))
		r.body = AR_STR("");
	hand_over(ex, &r);
}

/* ---- files ---- */

struct block {
	int fd;
	off_t offset;
	char *p;
	size_t n;
};

static int block_read(void *arg)
{
	struct block *b = arg;

	if (ar_read_at(b->fd, b->p, b->n, b->offset) != 0)
		return ar_fail_why(AR_E_INTERNAL, "file ended early or cannot be read");
	return 0;
}

static AR_YIELDS int block_load(struct block *b)
{
	for (int i = 0; i < BUSY_TRIES; i++) {
		if (ar_offload(AR_OFFLOAD_IO, block_read, b) == 0)
			return 0;
		if (!ar_err_is(AR_E_UNAVAILABLE) || ar_sleep(10) != 0)
			return -1;
		ar_err_clear();
	}
	return -1;
}

static AR_YIELDS int send_blocks(struct ar_http_int *ex, int fd, int64_t offset, int64_t length)
{
	struct block b = { .fd = fd, .offset = offset };

	b.p = ar_alloc(ex->http.pool, (size_t)AR_MIN(length, BLOCK));
	while (length > 0) {
		b.n = (size_t)AR_MIN(length, BLOCK);
		if (block_load(&b) != 0 || ex->gone)
			return -1;
		length -= (int64_t)b.n;
		b.offset += (off_t)b.n;
		if (ex->req != NULL) {
			if (h2_send(ex, b.p, b.n, length == 0) != 0)
				return -1;
		} else if (h1_send(ex, b.p, b.n) != 0) {
			return -1;
		}
	}
	return 0;
}

static void stream_end(struct ar_http_int *ex, int r)
{
	if (ex->gone)
		return;
	if (ex->req != NULL) {
		if (r != 0)
			h2_abort(ex);
	} else if (r != 0) {
		ex->conn->keepalive = false;
		conn_close(ex->conn); /* shorter than announced: the client notices */
	} else {
		ex->sent = true;
	}
}

void ar_http_reply_file(struct ar_http *http, int status, const struct ar_header *headers,
			size_t nheaders, int fd, int64_t offset, int64_t length)
{
	struct ar_http_int *ex = http->in;
	int64_t deadline;
	struct reply r;
	int sent;

	assert(!ex->replied && length >= 0);
	ex->replied = true;
	if (ex->gone) {
		close(fd);
		return;
	}
	prepare(http, status, headers, nheaders, &r);
	r.body = AR_STR("");
	r.length = has_body(status) ? length : -1;
	ex->streaming = has_body(status) && length > 0 && !ar_str_is(http->method, "HEAD");
	hand_over(ex, &r);
	if (ex->streaming && !ex->gone) {
		/* However long it takes, as long as the client keeps taking: send_stall_ms. */
		deadline = ar_deadline_set(AR_NO_DEADLINE);
		sent = send_blocks(ex, fd, offset, length);
		if (sent != 0 && !ex->gone)
			ar_log_err(AR_WARN, "http", "a file's reply was broken off");
		ar_err_clear();
		stream_end(ex, sent);
		ar_deadline_set(deadline);
	}
	close(fd);
}

bool ar_http_gone(const struct ar_http *http)
{
	return http->in->gone;
}

struct ar_str ar_http_header(const struct ar_http *http, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < http->nheaders; i++)
		if (http->headers[i].name.n == n && memcmp(http->headers[i].name.p, name, n) == 0)
			return http->headers[i].value;
	return AR_STR_NONE;
}
