/*
 * edge.c - one request from its first byte in the house to its answer.
 *
 * In order: trace, client, the process's own paths, CORS, which space and tenant, route, rate limit,
 * who calls, may they, input, the door, the reply, the log. Every way out passes the same end, which
 * releases the tenant.
 */
#include <assert.h>
#include <stdatomic.h>

#include "http/edge_int.h"

struct ar_edge_options edge_options;
static struct ar_pool *memory;
static AR_YIELDS bool (*page)(struct ar_http *http);

void ar_edge_init(const struct ar_edge_options *options)
{
	assert(memory == NULL);
	memory = ar_pool_new();
	edge_options = *options;
	edge_options.base_domain = ar_str_lower(memory, options->base_domain);
	edge_options.platform_token = ar_str_dup(memory, options->platform_token);
	edge_options.local_token = ar_str_dup(memory, options->local_token);
	edge_options.own_address = ar_str_dup(memory, options->own_address);
	edge_options.cors_origins = ar_str_dup(memory, options->cors_origins);
	edge_ops_init();
}

void ar_edge_done(void)
{
	edge_limit_done();
	edge_ops_done();
	ar_pool_free(memory);
	memory = NULL;
	page = NULL;
	edge_options = (struct ar_edge_options){ 0 };
}

void ar_edge_set_page(AR_YIELDS bool (*fn)(struct ar_http *http))
{
	page = fn;
}

static void refusal_header(struct ar_http_refusal *refusal, const char *name, struct ar_str value)
{
	assert(refusal->nheaders < AR_COUNT(refusal->headers));
	refusal->headers[refusal->nheaders++] = (struct ar_header){ ar_str(name), value };
}

void ar_edge_refuse(struct ar_pool *pool, int status, const char *slug,
		    struct ar_str accept_language, struct ar_http_refusal *ret)
{
	const struct ar_err_def def = { slug, status };
	const struct ar_err err = { .def = &def };
	struct ar_buf *body = ar_buf_new(pool, 64 * 1024);
	struct ar_str id = ar_id(pool);

	ar_problem(pool, &err, accept_language, id, body);
	ret->body = ar_buf_view(body);
	refusal_header(ret, "content-type", AR_STR("application/problem+json"));
	refusal_header(ret, "content-language", ar_str(ar_language(accept_language)));
	refusal_header(ret, "cache-control", AR_STR("no-store"));
	refusal_header(ret, "x-request-id", id);
	refusal_header(ret, "x-content-type-options", AR_STR("nosniff"));
	if (status == 503)
		refusal_header(ret, "retry-after", AR_STR("1"));
	edge_log_refusal(status, slug, id);
}

/* ---- where to ---- */

static bool cut_prefix(struct ar_str *path, struct ar_str prefix)
{
	if (!ar_str_starts(*path, prefix) || (path->n > prefix.n && path->p[prefix.n] != '/'))
		return false;
	*path = ar_str_sub(*path, prefix.n, path->n);
	if (path->n == 0)
		*path = AR_STR("/");
	return true;
}

/* /t/{tenant} is taken off first; a name that must be decoded is no tenant's name. */
static void find_space(struct edge_request *request)
{
	struct ar_str path = request->http->path;

	if (cut_prefix(&path, AR_STR("/platform/v1"))) {
		request->space = AR_ROUTES_PLATFORM;
		request->path = path;
		return;
	}
	if (ar_str_starts(path, AR_STR("/t/"))) {
		struct ar_str rest = ar_str_sub(path, 3, path.n);

		request->path_tenant = ar_str_cut(&rest, '/');
		path = rest.p != NULL ? ar_str_n(rest.p - 1, rest.n + 1) : AR_STR("/");
		if (request->path_tenant.n == 0)
			request->path_tenant = AR_STR("?"); /* nobody's name */
	}
	request->space = cut_prefix(&path, AR_STR("/api/v1")) ? AR_ROUTES_API : AR_ROUTES_ROOT;
	request->path = path;
}

static int find_route(struct edge_request *request, struct ar_route_match *match)
{
	struct ar_http *http = request->http;

	if (ar_route_match(http->pool, http->method, request->path, request->space, match) == 0)
		return 0;
	request->allowed_methods = match->allowed_methods;
	return -1;
}

/* ---- the way through ---- */

/* What says who calls, whom, and how: with two of them, a proxy and we could each read another. */
static int refuse_twice(const struct ar_http *http)
{
	static const char *const names[] = { "authorization", "x-apprun-tenant", "content-type",
					     "idempotency-key" };
	unsigned seen = 0;

	for (size_t i = 0; i < http->nheaders; i++) {
		for (size_t k = 0; k < AR_COUNT(names); k++) {
			if (!ar_str_is(http->headers[i].name, names[k]))
				continue;
			if (seen & 1u << k)
				return ar_fail(AR_E_MALFORMED, "what", names[k], "reason",
					       "given twice");
			seen |= 1u << k;
		}
	}
	return 0;
}

static int read_input(struct edge_request *request, const struct ar_route_match *match)
{
	const struct ar_http *http = request->http;
	const struct ar_rest rest = {
		.match = match,
		.method = http->method,
		.query = http->query,
		.body = http->body,
		.content_type = ar_http_header(http, "content-type"),
		.if_match = ar_http_header(http, "if-match"),
		.if_none_match = ar_http_header(http, "if-none-match"),
	};
	struct ar_call *call = &request->call;

	struct ar_str coding = ar_http_header(http, "content-encoding");

	/* Bytes are kept as they come; what is read must be what it says. */
	if (coding.n > 0 && http->body.n > 0 && !(match->action->flags & AR_A_RAW_IN) &&
	    !ar_str_caseeq(coding, AR_STR("identity")))
		return ar_fail(AR_E_MEDIA_TYPE, "wanted", "identity");
	call->idempotency_key = ar_http_header(http, "idempotency-key");
	call->target = http->query.n == 0 ? http->path
					  : ar_strf(http->pool, "%.*s?%.*s", AR_FMT(http->path),
						    AR_FMT(http->query));
	return ar_rest_input(call, &rest);
}

static AR_YIELDS int limit_client(struct edge_request *request)
{
	if (request->local)
		return 0;
	return edge_limit(request, edge_limit_client(request->call.pool, request->client),
			  edge_options.client_rate, edge_options.client_burst);
}

static AR_YIELDS int limit_tenant(struct edge_request *request)
{
	struct ar_call *call = &request->call;

	if (call->tenant == NULL || edge_options.tenant_rate == 0)
		return 0;
	struct ar_str key = ar_strf(call->pool, "t:%.*s", AR_FMT(call->tenant->name));

	return edge_limit(request, key, edge_options.tenant_rate, edge_options.tenant_burst);
}

static AR_YIELDS int pass(struct edge_request *request)
{
	struct ar_call *call = &request->call;
	struct ar_route_match match = { 0 };

	if (limit_client(request) != 0 || refuse_twice(request->http) != 0 ||
	    find_route(request, &match) != 0)
		return -1;
	if (request->space != AR_ROUTES_PLATFORM &&
	    (edge_tenant(request) != 0 || limit_tenant(request) != 0))
		return -1;
	if (edge_who(request) != 0 || ar_action_permit(call, match.action) != 0 ||
	    read_input(request, &match) != 0)
		return -1;
	return ar_action_enter(call, match.action);
}

static bool is_page(struct edge_request *request)
{
	if (page == NULL || request->space != AR_ROUTES_ROOT || !ar_err_is(AR_E_NOT_FOUND))
		return false;
	if (!ar_str_is(request->http->method, "GET") && !ar_str_is(request->http->method, "HEAD"))
		return false;
	return page(request->http);
}

static AR_YIELDS void answer(struct edge_request *request)
{
	struct ar_http *http = request->http;

	if (edge_ops(request))
		return;
	find_space(request);
	if (ar_str_is(http->method, "OPTIONS") && request->origin.n > 0 &&
	    ar_http_header(http, "access-control-request-method").n > 0) {
		edge_preflight(request);
		return;
	}
	if (pass(request) == 0) {
		edge_reply(request);
	} else if (is_page(request)) {
		request->status = 200;
		ar_err_clear();
	} else {
		edge_problem(request);
	}
}

AR_YIELDS void ar_edge_handle(struct ar_http *http)
{
	struct edge_request request = { .http = http };
	struct ar_call *call = &request.call;

	call->pool = http->pool;
	call->http = http;
	call->who = &ar_who_anyone;
	call->face = AR_FACE_REST;
	call->reply.fd = -1;
	call->language = ar_http_header(http, "accept-language");
	request.origin = ar_http_header(http, "origin");
	edge_client(&request);
	call->client = request.client;
	edge_trace(&request);
	struct ar_log_context *before = ar_log_context_use(&request.log);

	answer(&request);
	edge_log(&request);
	ar_log_context_use(before);
	ar_tenant_release(call->tenant);
}
