/*
 * edge_who.c - what a request says about itself: trace, client, tenant, caller.
 *
 * All of it is hostile until checked. A tenant may be named up to three times, and must be the same
 * each time. Tokens are compared in constant time, and are in no log and no error.
 */
#include <assert.h>

#include "http/edge_int.h"

/* ---- trace ---- */

static bool request_id_valid(struct ar_str id)
{
	if (id.n < 1 || id.n > 128)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

void edge_trace(struct edge_request *request)
{
	struct ar_call *call = &request->call;
	struct ar_str id = ar_http_header(request->http, "x-request-id");

	if (ar_trace_parse(ar_http_header(request->http, "traceparent"), &request->trace))
		ar_trace_child(&request->trace, &request->trace);
	else
		ar_trace_new(&request->trace);
	call->trace_id = ar_str_n(request->trace.trace_id, 32);
	call->request_id = request_id_valid(id) ? id : ar_id(call->pool);
	request->log.trace_id = call->trace_id;
}

/* ---- client ---- */

bool edge_client_local(struct ar_str address)
{
	return ar_str_starts(address, AR_STR("127.")) || ar_str_is(address, "::1") ||
	       ar_str_starts(address, AR_STR("::ffff:127.")) ||
	       (address.n > 0 && ar_str_eq(address, edge_options.own_address));
}

/* The last line of several: a proxy appends to the client's, or adds one of its own behind it. */
static struct ar_str last_forwarded(const struct ar_http *http)
{
	struct ar_str last = AR_STR_NONE;

	for (size_t i = 0; i < http->nheaders; i++)
		if (ar_str_is(http->headers[i].name, "x-forwarded-for"))
			last = http->headers[i].value;
	return last;
}

/* Behind a proxy on this machine everybody seems to be this machine: whoever was forwarded is not,
 * whether or not the header is trusted to say who it is. */
void edge_client(struct edge_request *request)
{
	struct ar_str forwarded = last_forwarded(request->http), last = forwarded;

	request->client = request->http->peer;
	request->local = edge_client_local(request->http->peer) && forwarded.p == NULL &&
			 ar_http_header(request->http, "forwarded").p == NULL;
	if (!edge_options.trust_proxy || forwarded.n == 0 ||
	    !edge_client_local(request->http->peer))
		return;
	while (forwarded.p != NULL) /* the proxy's own entry is the last */
		last = ar_str_trim(ar_str_cut(&forwarded, ','));
	if (last.n > 0 && last.n <= 45)
		request->client = last;
}

/* ---- tenant ---- */

static struct ar_str host_tenant(const struct ar_http *http)
{
	struct ar_str rest = http->authority, host = ar_str_cut(&rest, ':');
	struct ar_str domain = edge_options.base_domain;

	if (domain.n == 0 || host.n <= domain.n + 1)
		return AR_STR_NONE;
	struct ar_str name = ar_str_sub(host, 0, host.n - domain.n - 1);

	if (host.p[name.n] != '.' || !ar_str_caseeq(ar_str_sub(host, name.n + 1, domain.n), domain))
		return AR_STR_NONE;
	return ar_str_lower(http->pool, name);
}

static int agree(struct ar_str *name, struct ar_str other)
{
	if (other.n == 0)
		return 0;
	if (name->n > 0 && !ar_str_eq(*name, other))
		return ar_fail(AR_E_TENANT_CONFLICT);
	*name = other;
	return 0;
}

AR_YIELDS int edge_tenant(struct edge_request *request)
{
	struct ar_str name = AR_STR_NONE;
	struct ar_call *call = &request->call;

	if (agree(&name, request->path_tenant) != 0 ||
	    agree(&name, host_tenant(request->http)) != 0 ||
	    agree(&name, ar_http_header(request->http, "x-apprun-tenant")) != 0)
		return -1;
	if (name.n == 0)
		return ar_fail(AR_E_TENANT_MISSING);
	if (ar_tenant_acquire(name, &call->tenant) != 0)
		return -1;
	ar_scope_init(&call->scope, call->tenant->db, call->pool);
	request->log.tenant = call->tenant->name;
	return 0;
}

/* ---- caller ---- */

/* "Bearer x"; *ret_given tells that there was an Authorization at all. */
static struct ar_str bearer_of(const struct ar_http *http, bool *ret_given)
{
	struct ar_str header = ar_http_header(http, "authorization");
	struct ar_str scheme = ar_str_cut(&header, ' ');

	*ret_given = scheme.n > 0;
	return ar_str_caseeq(scheme, AR_STR("bearer")) ? ar_str_trim(header) : AR_STR_NONE;
}

bool edge_is_operator(const struct edge_request *request, struct ar_str *ret_permission)
{
	bool given;
	struct ar_str token = bearer_of(request->http, &given);
	bool is_operator = edge_options.platform_token.n > 0 && token.n > 0 &&
			   ar_secret_eq(token, edge_options.platform_token);
	bool owner = edge_options.local_token.n > 0 && token.n > 0 && request->local &&
		     ar_secret_eq(token, edge_options.local_token);

	*ret_permission = owner ? AR_STR("*") : AR_STR("platform.*");
	return is_operator || owner;
}

static int operator_who(struct edge_request *request)
{
	struct ar_call *call = &request->call;
	struct ar_str permission;
	bool given;

	if (!edge_is_operator(request, &permission)) {
		bearer_of(request->http, &given);
		return given ? ar_fail(AR_E_UNAUTHORIZED) : 0;
	}
	struct ar_who *who = ar_new(call->pool, struct ar_who);
	struct ar_str *list = ar_new(call->pool, struct ar_str);

	*list = permission;
	*who = (struct ar_who){ .kind = AR_WHO_OPERATOR,
				.id = AR_STR("operator"),
				.permissions = list,
				.npermissions = 1 };
	call->who = who;
	return 0;
}

AR_YIELDS int edge_who(struct edge_request *request)
{
	struct ar_call *call = &request->call;
	bool given;
	struct ar_str token = bearer_of(request->http, &given);

	if (request->space == AR_ROUTES_PLATFORM)
		return operator_who(request);
	if (!given)
		return 0;
	if (token.n == 0 || ar_action_authenticate() == NULL)
		return ar_fail(AR_E_UNAUTHORIZED);
	if (ar_action_authenticate()(call, token, &call->who) != 0)
		return -1;
	request->log.user_id = call->who->id;
	return 0;
}
