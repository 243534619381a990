/*
 * edge_reply.c - the answer on the wire: headers that every answer has, the action's reply, or the
 * error stack as problem+json.
 *
 * Replies of the API carry a policy under which a browser runs nothing in them, also not in a file
 * that some tenant's user uploaded. Nothing is cached unless the action says so.
 */
#include <assert.h>
#include <unistd.h>

#include "http/edge_int.h"

#define PROBLEM_MAX (1u << 20)

/* ---- headers ---- */

void edge_header(struct edge_request *request, const char *name, struct ar_str value)
{
	assert(request->nheaders < EDGE_HEADERS_MAX);
	request->headers[request->nheaders++] = (struct ar_header){ ar_str(name), value };
}

static struct ar_str reply_header(const struct ar_call *call, const char *name)
{
	for (size_t i = 0; i < call->reply.nheaders; i++) {
		if (ar_str_caseeq(ar_str(call->reply.headers[i].name), ar_str(name)))
			return call->reply.headers[i].value;
	}
	return AR_STR_NONE;
}

static bool origin_allowed(struct ar_str origin)
{
	struct ar_str left = edge_options.cors_origins;

	while (left.p != NULL) {
		if (ar_str_eq(ar_str_trim(ar_str_cut(&left, ',')), origin))
			return true;
	}
	return false;
}

static void cors_headers(struct edge_request *request)
{
	bool any = ar_str_is(edge_options.cors_origins, "*");

	if (request->origin.n == 0 || edge_options.cors_origins.n == 0)
		return;
	if (!any)
		edge_header(request, "vary", AR_STR("origin"));
	if (!any && !origin_allowed(request->origin))
		return;
	edge_header(request, "access-control-allow-origin", any ? AR_STR("*") : request->origin);
	edge_header(request, "access-control-expose-headers",
		    AR_STR("etag, location, content-disposition, content-range, retry-after, "
			   "x-request-id, traceparent, ratelimit, ratelimit-policy, "
			   "idempotency-replayed, preference-applied"));
}

static void limit_headers(struct edge_request *request)
{
	const struct edge_limit *limit = &request->limit;
	struct ar_pool *pool = request->http->pool;

	if (!limit->on)
		return;
	edge_header(request, "ratelimit-policy",
		    ar_strf(pool, "\"default\";q=%lld;w=%lld", (long long)limit->limit,
			    (long long)limit->window_s));
	edge_header(request, "ratelimit",
		    ar_strf(pool, "\"default\";r=%lld;t=%lld", (long long)limit->left,
			    (long long)AR_MAX(limit->retry_s, limit->left > 0 ? 0 : 1)));
}

static void common_headers(struct edge_request *request)
{
	const struct ar_call *call = &request->call;
	char *parent = ar_alloc(request->http->pool, AR_TRACEPARENT_LEN + 1);

	ar_trace_format(&request->trace, parent);
	edge_header(request, "x-request-id", call->request_id);
	edge_header(request, "traceparent", ar_str_n(parent, AR_TRACEPARENT_LEN));
	edge_header(request, "x-content-type-options", AR_STR("nosniff"));
	edge_header(request, "referrer-policy", AR_STR("no-referrer"));
	if (reply_header(call, "content-security-policy").n == 0)
		edge_header(request, "content-security-policy",
			    AR_STR("default-src 'none'; frame-ancestors 'none'; sandbox"));
	cors_headers(request);
	limit_headers(request);
}

void edge_send(struct edge_request *request, int status, const char *content_type,
	       struct ar_str body)
{
	if (content_type != NULL)
		edge_header(request, "content-type", ar_str(content_type));
	common_headers(request);
	request->status = status;
	ar_http_reply(request->http, status, request->headers, request->nheaders, body);
}

/* ---- what the action replied ---- */

static bool wants_nothing(const struct edge_request *request)
{
	struct ar_str left = ar_http_header(request->http, "prefer");

	if (left.n == 0 || !(request->call.action->flags & AR_A_WRITE))
		return false;
	while (left.p != NULL) {
		if (ar_str_caseeq(ar_str_trim(ar_str_cut(&left, ',')), AR_STR("return=minimal")))
			return true;
	}
	return false;
}

/* Weak comparison, as If-None-Match wants it. */
static bool not_modified(const struct edge_request *request)
{
	struct ar_str left = ar_http_header(request->http, "if-none-match");
	struct ar_str etag = reply_header(&request->call, "etag");

	if (left.n == 0 || etag.n == 0 || request->call.reply.status != 200 ||
	    !(ar_str_is(request->http->method, "GET") || ar_str_is(request->http->method, "HEAD")))
		return false;
	if (ar_str_starts(etag, AR_STR("W/")))
		etag = ar_str_sub(etag, 2, etag.n);
	while (left.p != NULL) {
		struct ar_str one = ar_str_trim(ar_str_cut(&left, ','));

		if (ar_str_starts(one, AR_STR("W/")))
			one = ar_str_sub(one, 2, one.n);
		if (ar_str_eq(one, etag) || ar_str_is(one, "*"))
			return true;
	}
	return false;
}

static void action_headers(struct edge_request *request)
{
	struct ar_call *call = &request->call;

	for (size_t i = 0; i < call->reply.nheaders; i++)
		edge_header(request, call->reply.headers[i].name, call->reply.headers[i].value);
	if (reply_header(call, "cache-control").n == 0)
		edge_header(request, "cache-control",
			    reply_header(call, "etag").n > 0 ? AR_STR("private, no-cache")
							     : AR_STR("no-store"));
}

static void reply_empty(struct edge_request *request, int status)
{
	struct ar_reply *reply = &request->call.reply;

	if (reply->kind == AR_REPLY_FILE)
		close(reply->fd);
	reply->kind = AR_REPLY_NONE;
	edge_send(request, status, NULL, AR_STR_NONE);
}

static AR_YIELDS void reply_file(struct edge_request *request)
{
	struct ar_reply *reply = &request->call.reply;

	edge_header(request, "content-type", reply->content_type);
	common_headers(request);
	request->status = reply->status;
	ar_http_reply_file(request->http, reply->status, request->headers, request->nheaders,
			   reply->fd, reply->offset, reply->length);
}

AR_YIELDS void edge_reply(struct edge_request *request)
{
	struct ar_reply *reply = &request->call.reply;

	if (reply->content_type.n == 0)
		reply->content_type = AR_STR("application/octet-stream");
	action_headers(request);
	if (not_modified(request)) {
		reply_empty(request, 304);
		return;
	}
	if (wants_nothing(request) && reply->status >= 200 && reply->status < 300) {
		edge_header(request, "preference-applied", AR_STR("return=minimal"));
		reply_empty(request, reply->status == 200 ? 204 : reply->status);
		return;
	}
	switch (reply->kind) {
	case AR_REPLY_NONE:
		edge_send(request, reply->status, NULL, AR_STR_NONE);
		break;
	case AR_REPLY_JSON:
		edge_send(request, reply->status, "application/json", ar_buf_view(reply->json));
		break;
	case AR_REPLY_BYTES:
		edge_header(request, "content-type", reply->content_type);
		edge_send(request, reply->status, NULL, reply->bytes);
		break;
	case AR_REPLY_FILE:
		reply_file(request);
		break;
	}
}

/* ---- what went wrong ---- */

static void problem_headers(struct edge_request *request, int status)
{
	struct ar_str again = reply_header(&request->call, "retry-after");
	struct ar_str size = reply_header(&request->call, "content-range"); /* how many there are */
	struct ar_pool *pool = request->http->pool;
	char methods[80];

	request->call.reply.nheaders = 0;
	edge_header(request, "content-language", ar_str(ar_language(request->call.language)));
	edge_header(request, "cache-control", AR_STR("no-store"));
	if (status == 416 && size.n > 0)
		edge_header(request, "content-range", size);
	if (status == 401)
		edge_header(request, "www-authenticate", AR_STR("Bearer"));
	if (status == 405) {
		ar_route_methods(request->allowed_methods, methods, sizeof(methods));
		edge_header(request, "allow", ar_str_dup(pool, ar_str(methods)));
	}
	if (status == 429 && again.n == 0)
		again = ar_strf(pool, "%lld", (long long)AR_MAX(request->limit.retry_s, 1));
	if (status == 503 && again.n == 0)
		again = AR_STR("1");
	if (again.n > 0)
		edge_header(request, "retry-after", again);
}

AR_YIELDS void edge_problem(struct edge_request *request)
{
	struct ar_pool *pool = request->http->pool;
	struct ar_buf *body = ar_buf_new(pool, PROBLEM_MAX);
	int status =
		ar_problem(pool, ar_err(), request->call.language, request->call.request_id, body);

	if (status >= 500)
		ar_log_err(status == 503 ? AR_WARN : AR_ERROR, "http", "request failed");
	problem_headers(request, status);
	edge_send(request, status, "application/problem+json", ar_buf_view(body));
	ar_err_clear();
}

/* ---- CORS ---- */

void edge_preflight(struct edge_request *request)
{
	struct ar_str asked = ar_http_header(request->http, "access-control-request-headers");

	edge_header(request, "access-control-allow-methods",
		    AR_STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
	if (asked.n > 0)
		edge_header(request, "access-control-allow-headers", asked);
	edge_header(request, "access-control-max-age", AR_STR("7200"));
	edge_header(request, "vary", AR_STR("access-control-request-headers"));
	edge_send(request, 204, NULL, AR_STR_NONE);
}
