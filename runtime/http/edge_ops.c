/*
 * edge_ops.c - the process's own paths: /livez, /readyz, /healthz, /metrics.
 *
 * livez says that the loop turns; readyz and healthz that requests may come: no start or stop is
 * under way and every registered check passes. Metrics are for this machine and for operators.
 */
#include <assert.h>
#include <stdatomic.h>

#include "http/edge_int.h"

#define METRICS_MAX (16u << 20)
#define READY_MS    2000

static struct ar_server *_Atomic server;

void ar_edge_set_server(struct ar_server *of)
{
	atomic_store(&server, of);
}

void edge_ops_done(void)
{
	atomic_store(&server, NULL);
}

/* ---- health ---- */

static AR_YIELDS int store_check(void *arg)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_store *store = ar_tenant_store();
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_db *db;

	if (store == NULL)
		return ar_fail(AR_E_UNAVAILABLE);
	if (ar_db_acquire(store, AR_PLATFORM_DB, &db) != 0)
		return -1;
	ar_scope_init(&scope, db, pool);
	int rc = ar_query(&scope, &rows, "SELECT 1", AR_NO_ARGS);

	ar_db_release(db);
	return rc;
}

static AR_YIELDS void livez(struct edge_request *request)
{
	edge_header(request, "cache-control", AR_STR("no-store"));
	edge_send(request, 200, "application/json", AR_STR("{\"status\":\"ok\"}"));
}

static AR_YIELDS void readyz(struct edge_request *request)
{
	struct ar_buf *body = ar_buf_new(request->http->pool, 64 * 1024);
	bool ready = ar_ready(body, READY_MS);

	edge_header(request, "cache-control", AR_STR("no-store"));
	edge_send(request, ready ? 200 : 503, "application/json", ar_buf_view(body));
}

/* ---- metrics ---- */

static void server_samples(struct ar_samples *to)
{
	struct ar_server *of = atomic_load(&server);
	struct ar_server_stats s;

	if (of == NULL)
		return;
	ar_server_stats(of, &s);
	ar_sample(to, AR_COUNTER, "apprun_http_connections_total", "Connections accepted.",
		  (double)s.connections);
	ar_sample(to, AR_GAUGE, "apprun_http_connections_open", "Connections now.",
		  (double)s.connections_open);
	ar_sample(to, AR_COUNTER, "apprun_http_requests_total", "Requests begun.",
		  (double)s.requests);
	ar_sample(to, AR_GAUGE, "apprun_http_requests_open", "Requests now.",
		  (double)s.requests_open);
	ar_sample(to, AR_COUNTER, "apprun_http_refused_total", "Refused by the guards.",
		  (double)s.refused);
	ar_sample(to, AR_COUNTER, "apprun_http_resets_total", "Streams that clients reset.",
		  (double)s.resets);
	ar_sample(to, AR_COUNTER, "apprun_http_received_bytes_total", "Bytes in.",
		  (double)s.bytes_in);
	ar_sample(to, AR_COUNTER, "apprun_http_sent_bytes_total", "Bytes out.",
		  (double)s.bytes_out);
}

static void store_samples(struct ar_samples *to)
{
	struct ar_store_stats s;

	if (ar_tenant_store() == NULL)
		return;
	ar_store_stats(ar_tenant_store(), &s);
	ar_sample(to, AR_COUNTER, "apprun_store_commits_total", "Commits on disk.",
		  (double)s.commits);
	ar_sample(to, AR_COUNTER, "apprun_store_units_total", "Units of work committed.",
		  (double)s.units);
	ar_sample(to, AR_COUNTER, "apprun_store_statements_total", "Statements run.",
		  (double)s.statements);
	ar_sample(to, AR_COUNTER, "apprun_store_slow_total", "Statements over the slow limit.",
		  (double)s.slow);
	ar_sample(to, AR_COUNTER, "apprun_store_lease_waits_total",
		  "Units that waited for their tenant's lease.", (double)s.lease_waits);
	ar_sample(to, AR_COUNTER, "apprun_store_replays_total",
		  "Transactions run again without a unit that failed.", (double)s.replays);
	ar_sample(to, AR_GAUGE, "apprun_store_handles_open", "Databases open now.", (double)s.open);
}

static void collect(struct ar_samples *samples, void *arg)
{
	server_samples(samples);
	store_samples(samples);
}

void edge_ops_init(void)
{
	static bool registered; /* what is registered stays for the process's life */

	if (!registered) {
		ar_metrics_collect(collect, NULL);
		ar_ready_register("store", store_check, NULL);
	}
	registered = true;
}

static AR_YIELDS void metrics(struct edge_request *request)
{
	struct ar_buf *out = ar_buf_new(request->http->pool, METRICS_MAX);
	struct ar_str permission;

	if (!request->local && !edge_is_operator(request, &permission)) {
		ar_fail(AR_E_UNAUTHORIZED);
		edge_problem(request);
	} else if (ar_metrics_write(out) != 0) {
		edge_problem(request);
	} else {
		edge_header(request, "cache-control", AR_STR("no-store"));
		edge_send(request, 200, AR_METRICS_TYPE, ar_buf_view(out));
	}
}

/* ---- which ---- */

AR_YIELDS bool edge_ops(struct edge_request *request)
{
	static const struct {
		const char *path;
		AR_YIELDS void (*answer)(struct edge_request *request);
	} rows[] = {
		{ "/livez", livez },
		{ "/readyz", readyz },
		{ "/healthz", readyz },
		{ "/metrics", metrics },
	};
	const struct ar_http *http = request->http;

	if (http->path.n < 6 || http->path.n > 8)
		return false;
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (!ar_str_is(http->path, rows[i].path))
			continue;
		if (ar_str_is(http->method, "GET") || ar_str_is(http->method, "HEAD")) {
			rows[i].answer(request);
		} else {
			request->allowed_methods = 1;
			ar_fail(AR_E_METHOD);
			edge_problem(request);
		}
		return true;
	}
	return false;
}
