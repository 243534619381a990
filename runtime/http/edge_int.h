/*
 * edge_int.h - inside the edge.
 */
#ifndef AR_EDGE_INT_H
#define AR_EDGE_INT_H

#include "http/edge.h"
#include "observe/observe.h"

#define EDGE_HEADERS_MAX 40

struct edge_request { /* in the request fiber's frame */
	struct ar_http *http;
	struct ar_call call;  /* call.action NULL: none was found */
	struct ar_str client; /* address of the client */
	struct ar_str path;   /* below /api/v1, /platform/v1 or the tenant's root */
	enum ar_route_space space;
	struct ar_str path_tenant; /* named by /t/{tenant} */
	struct ar_str origin;      /* Origin; empty: none */
	bool local;                /* the client is this machine */
	unsigned allowed_methods;  /* for 405 */
	struct edge_limit {
		bool on;
		int64_t limit, left, retry_s, window_s;
	} limit; /* what the RateLimit headers say */
	struct ar_trace trace;
	int status; /* of the reply that went out */
	struct ar_log_context log;
	struct ar_header headers[EDGE_HEADERS_MAX];
	size_t nheaders;
};

extern struct ar_edge_options edge_options;

/* edge.c */
bool edge_client_local(struct ar_str address);

/* edge_who.c */
void edge_trace(struct edge_request *request);
void edge_client(struct edge_request *request);
AR_YIELDS int edge_tenant(struct edge_request *request); /* call.tenant is held after it */
AR_YIELDS int edge_who(struct edge_request *request);
bool edge_is_operator(const struct edge_request *request, struct ar_str *ret_permission);

/* edge_reply.c */
void edge_header(struct edge_request *request, const char *name, struct ar_str value);
AR_YIELDS void edge_reply(struct edge_request *request);   /* what call.reply says */
AR_YIELDS void edge_problem(struct edge_request *request); /* the current error stack */
void edge_send(struct edge_request *request, int status, const char *content_type,
	       struct ar_str body);
void edge_preflight(struct edge_request *request);

/* edge_limit.c */
struct ar_str edge_limit_client(struct ar_pool *pool, struct ar_str client); /* its key */
int edge_limit(struct edge_request *request, struct ar_str key, int64_t rate, int64_t burst);
void edge_limit_done(void);

/* edge_ops.c: true when the path was one of the process's own and is answered */
AR_YIELDS bool edge_ops(struct edge_request *request);
void edge_ops_init(void);
void edge_ops_done(void);

/* edge_log.c */
void edge_log(const struct edge_request *request);
void edge_log_refusal(int status, const char *slug, struct ar_str request_id);

#endif
