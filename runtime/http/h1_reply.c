/*
 * h1_reply.c - writes HTTP/1.1 replies: a head, a body, or a file's blocks.
 */
#include "http/server_int.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < AR_COUNT(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

static char *put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

static char *put_z(char *at, const char *z)
{
	return put(at, z, strlen(z));
}

static char *put_int(char *at, int64_t v)
{
	return at + ar_int_text(v, at);
}

int h1_format(struct conn *c, struct ar_pool *pool, const struct reply *r, struct iovec out[2])
{
	bool joined = r->body.n <= JOIN_MAX;
	size_t room = 256 + (joined ? r->body.n : 0);
	char *start, *at;

	for (size_t i = 0; i < r->nheaders; i++)
		room += r->headers[i].name.n + r->headers[i].value.n + 4;
	start = at = ar_alloc_raw(pool, room);
	at = put_z(at, "HTTP/1.1 ");
	at = put_int(at, r->status);
	at = put_z(at, " ");
	at = put_z(at, reason_of(r->status));
	at = put_z(at, "\r\nDate: ");
	at = put_z(at, loop_date(c->l));
	at = put_z(at, "\r\nServer: apprun\r\n");
	for (size_t i = 0; i < r->nheaders; i++) {
		at = put(at, r->headers[i].name.p, r->headers[i].name.n);
		at = put(at, ": ", 2);
		at = put(at, r->headers[i].value.p, r->headers[i].value.n);
		at = put(at, "\r\n", 2);
	}
	if (r->length >= 0) {
		at = put_z(at, "Content-Length: ");
		at = put_int(at, r->length);
		at = put(at, "\r\n", 2);
	}
	if (!c->keepalive)
		at = put_z(at, "Connection: close\r\n");
	else if (c->first != NULL && c->first->http.version == 10)
		at = put_z(at, "Connection: keep-alive\r\n");
	at = put(at, "\r\n", 2);
	if (joined && r->body.n > 0)
		at = put(at, r->body.p, r->body.n);
	out[0] = (struct iovec){ start, (size_t)(at - start) };
	out[1] = (struct iovec){ (char *)r->body.p, r->body.n };
	return joined ? 1 : 2;
}

/* Sends head and body; for a stream (ex->streaming) only what there is, the rest follows. */
void h1_reply(struct ar_http_int *ex, const struct reply *r)
{
	struct conn *c = ex->conn;
	struct iovec out[2];
	int n;

	if (c->l->stopping || c->eof)
		c->keepalive = false;
	n = h1_format(c, ex->http.pool, r, out);
	if (conn_write(c, out, n) == 1 && !ex->streaming)
		ex->sent = true; /* settled when the fiber ends */
}

/* One block of a stream; returns when the kernel has taken it. -1 when the client is gone. */
int h1_send(struct ar_http_int *ex, const char *p, size_t n)
{
	struct iovec iov = { (char *)p, n };

	while (!ex->gone && ex->conn->nout > 0)
		if (ar_cond_wait(&ex->moved) != 0)
			return -1;
	if (ex->gone || (n > 0 && conn_write(ex->conn, &iov, 1) < 0))
		return -1;
	while (!ex->gone && ex->conn->nout > 0)
		if (ar_cond_wait(&ex->moved) != 0)
			return -1;
	return ex->gone ? -1 : 0;
}
