/*
 * http.c - an HTTP request as a Lua table, and a Lua table as an HTTP reply.
 *
 * Bodies that say they are JSON are read as JSON; other texts stay texts; bytes that are no UTF-8
 * are refused. What a function sets in the reply's headers is checked: names that belong to the
 * server, and values that would end a line, are an error of the function.
 */
#include "function/function_int.h"

#include "http/server.h"

#define HEADERS_MAX 12

static struct ar_json *headers_of(struct ar_pool *pool, const struct ar_http *http)
{
	struct ar_json *headers = ar_json_new(pool, AR_OBJECT);

	for (size_t i = 0; i < http->nheaders; i++) {
		const struct ar_header *h = &http->headers[i];

		/* What proves who the caller is stays with the platform. */
		if (ar_str_is(h->name, "authorization") || ar_str_is(h->name, "cookie") ||
		    ar_str_is(h->name, "proxy-authorization"))
			continue;
		if (ar_utf8_valid(h->value) && memchr(h->value.p, 0, h->value.n) == NULL)
			ar_json_set(headers, h->name, ar_json_str(pool, h->value));
	}
	return headers;
}

static int body_of(struct ar_call *call, struct ar_json **ret)
{
	struct ar_str type = ar_http_header(call->http, "content-type");
	struct ar_str kind = ar_str_trim(ar_str_cut(&type, ';'));

	*ret = ar_json_new(call->pool, AR_NULL);
	if (call->body.n == 0)
		return 0;
	if (ar_str_caseeq(kind, AR_STR("application/json")) || ar_str_ends(kind, AR_STR("+json")))
		return ar_json_parse(call->pool, call->body, &ar_json_limits_default, ret);
	if (!ar_utf8_valid(call->body) || memchr(call->body.p, 0, call->body.n) != NULL)
		return ar_fail(AR_E_MALFORMED, "reason", "a function takes JSON or text");
	*ret = ar_json_str(call->pool, call->body);
	return 0;
}

/* A name given twice has a list of values. */
static int query_of(struct ar_pool *pool, struct ar_str text, struct ar_json **ret)
{
	struct ar_json *query = ar_json_new(pool, AR_OBJECT), *before, *list;
	struct ar_str name, value;
	int more;

	*ret = query;
	while ((more = ar_query_next(pool, &text, &name, &value)) == 1) {
		before = ar_json_get_str(query, name);
		if (before == NULL) {
			ar_json_set(query, name, ar_json_str(pool, value));
		} else if (before->type == AR_ARRAY) {
			ar_json_add(before, ar_json_str(pool, value));
		} else {
			list = ar_json_new(pool, AR_ARRAY);
			ar_json_add(list, ar_json_str(pool, before->s));
			ar_json_add(list, ar_json_str(pool, value));
			ar_json_set(query, name, list);
		}
	}
	return more;
}

int function_http_input(struct ar_call *call, struct ar_json **ret)
{
	struct ar_pool *pool = call->pool;
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *body, *query;

	if (body_of(call, &body) != 0 || query_of(pool, call->http->query, &query) != 0)
		return -1;
	ar_json_set(input, AR_STR("method"), ar_json_str(pool, call->http->method));
	ar_json_set(input, AR_STR("path"),
		    ar_json_str(pool, ar_strf(pool, "/%.*s", AR_FMT(call->subpath))));
	ar_json_set(input, AR_STR("query"), query);
	ar_json_set(input, AR_STR("headers"), headers_of(pool, call->http));
	ar_json_set(input, AR_STR("body"), body);
	*ret = input;
	return 0;
}

/* {status, headers, body} and nothing else, with a status */
static bool is_reply(const struct ar_json *output)
{
	if (output->type != AR_OBJECT || function_status(output) == 0)
		return false;
	ar_json_each (m, output)
		if (!ar_str_is(m->key, "status") && !ar_str_is(m->key, "headers") &&
		    !ar_str_is(m->key, "body"))
			return false;
	return true;
}

/* What frames the message, what a browser takes as said for all tenants of one address (a page of one
 * must not get at another's, nor be told of its requests), and cookies, which belong to the console.
 * So what a function answers is always in the edge's sandbox, also at the tenant's own host: there
 * the console is its neighbour. */
static bool header_of_server(struct ar_str name)
{
	static const char *const own[] = {
		"connection",
		"content-length",
		"content-encoding",
		"date",
		"server",
		"set-cookie",
		"trailer",
		"transfer-encoding",
		"upgrade",
		"keep-alive",
		"te",
		"x-request-id",
		"traceparent",
		"content-security-policy",
		"content-security-policy-report-only",
		"referrer-policy",
		"x-content-type-options",
		"clear-site-data",
		"service-worker-allowed",
		"alt-svc",
		"strict-transport-security",
		"x-apprun-run",
		"idempotency-replayed",
		"public-key-pins",
		"nel",
		"report-to",
		"reporting-endpoints",
		"accept-ch",
		"critical-ch",
		"www-authenticate",
		"x-frame-options",
	};

	for (size_t i = 0; i < AR_COUNT(own); i++)
		if (ar_str_is(name, own[i]))
			return true;
	return ar_str_starts(name, AR_STR("access-control-")) ||
	       ar_str_starts(name, AR_STR("ratelimit")) || ar_str_starts(name, AR_STR("proxy-")) ||
	       ar_str_starts(name, AR_STR("sec-"));
}

static bool header_allowed(struct ar_str name, struct ar_str value)
{
	if (name.n == 0 || name.n > 64 || value.n > 4096)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 127)
			return false;
	return !header_of_server(name);
}

static int headers_reply(struct ar_call *call, const struct ar_json *headers, struct ar_str *type)
{
	if (headers == NULL)
		return 0;
	if (headers->type != AR_OBJECT || headers->count > HEADERS_MAX)
		return ar_fail(FUNCTION_E_REPLY, "reason", "headers");
	ar_json_each (h, headers) {
		struct ar_str name = ar_str_lower(call->pool, h->key);

		if (h->type != AR_STRING || !header_allowed(name, h->s))
			return ar_fail(FUNCTION_E_REPLY, "reason", "header", "header",
				       ar_strz(call->pool, ar_utf8_head(h->key, 64)));
		if (ar_str_is(name, "content-type"))
			*type = h->s;
		else
			ar_reply_header(call, ar_strz(call->pool, name), h->s);
	}
	return 0;
}

int function_http_reply(struct ar_call *call, struct ar_json *output)
{
	struct ar_str type = AR_STR_NONE;
	struct ar_json *body;
	int64_t status;

	if (!is_reply(output))
		return ar_reply_value(call, output);
	status = function_status(output);
	if (status < 200 || status > 599)
		return ar_fail(FUNCTION_E_REPLY, "reason", "status");
	if (headers_reply(call, ar_json_get(output, "headers"), &type) != 0)
		return -1;
	body = ar_json_get(output, "body");
	if (body == NULL || body->type == AR_NULL)
		ar_reply_none(call);
	else if (body->type == AR_STRING)
		ar_reply_bytes(call, type.n > 0 ? type : AR_STR("text/plain; charset=utf-8"),
			       body->s);
	else
		ar_reply_value(call, body);
	call->reply.status = (int)status;
	return 0;
}
