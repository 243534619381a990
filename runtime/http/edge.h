/*
 * edge.h - where HTTP meets the house: which tenant, who calls, which action, and the answer.
 *
 * Three addresses lead to a tenant: /t/{tenant}/api/v1/..., {tenant}.{base_domain}/api/v1/... and
 * the header X-Apprun-Tenant on /api/v1/.... Operators come to /platform/v1/... with the platform's
 * token. /livez, /readyz, /healthz and /metrics are the process's own.
 *
 * Every answer from 400 up is problem+json; the error stack of a 5xx is logged here, once.
 */
#ifndef AR_EDGE_H
#define AR_EDGE_H

#include "action/action.h"
#include "http/server.h"

struct ar_edge_options {
	struct ar_str
		base_domain; /* "localhost": {tenant}.localhost; empty: hosts name no tenant */
	struct ar_str platform_token; /* of operators; empty: nobody is one */
	/* Of the machine's owner (the command line), accepted from this machine only: loopback, or
	 * own_address, where the server listens. */
	struct ar_str local_token, own_address;
	struct ar_str cors_origins; /* "*": any, without credentials; a comma list; empty: none */
	bool trust_proxy;           /* a loopback peer's X-Forwarded-For names the client */
	bool access_log;            /* one line per request, at level info */
	/* Requests a second, and how many at once; 0: no limit. Loopback clients have none. */
	int64_t client_rate, client_burst;
	int64_t tenant_rate, tenant_burst;
};

/* Once per process, before the loops; texts are copied. */
void ar_edge_init(const struct ar_edge_options *options);
void ar_edge_done(void); /* after the loops ended */
/* For ar_server_options.handle and ar_server_set_refuse. */
AR_YIELDS void ar_edge_handle(struct ar_http *http);
void ar_edge_refuse(struct ar_pool *pool, int status, const char *slug,
		    struct ar_str accept_language, struct ar_http_refusal *ret);
/* On each loop, in loop_start and loop_stop: the access log's buffer. */
void ar_edge_attach(void);
void ar_edge_detach(void);

void ar_edge_set_server(struct ar_server *server); /* whose figures /metrics shows; NULL: none */
/* Pages beside the API (GET /): asked before the answer 404; true when it has replied. At start. */
void ar_edge_set_page(AR_YIELDS bool (*fn)(struct ar_http *http));

#endif
