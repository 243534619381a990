/*
 * edge_ops.c - the process's own paths: /livez, /readyz, /healthz, /metrics.
 *
 * livez says that the loop turns, readyz that requests may come (the store answers, no stop is under
 * way), healthz both with their parts. Metrics are for this machine and for operators.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http/edge_int.h"

#define METRICS_MAX (16u << 20)
#define METRICS_FNS 32

static atomic_bool draining;
static struct ar_server *_Atomic server;
static void (*metrics_fns[METRICS_FNS])(struct ar_buf *out);
static size_t nmetrics_fns;

void ar_edge_set_server(struct ar_server *of)
{
	atomic_store(&server, of);
}

void ar_edge_set_draining(bool on)
{
	atomic_store(&draining, on);
}

void ar_edge_on_metrics(void (*fn)(struct ar_buf *out))
{
	assert(nmetrics_fns < METRICS_FNS);
	metrics_fns[nmetrics_fns++] = fn;
}

void edge_ops_done(void)
{
	nmetrics_fns = 0;
	atomic_store(&server, NULL);
	atomic_store(&draining, false);
}

/* ---- health ---- */

static AR_YIELDS bool store_answers(struct ar_pool *pool)
{
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_db *db;

	if (ar_tenant_store() == NULL || ar_db_acquire(ar_tenant_store(), AR_PLATFORM_DB, &db) != 0)
		return false;
	ar_scope_init(&scope, db, pool);
	bool ok = ar_query(&scope, &rows, "SELECT 1", AR_NO_ARGS) == 0;

	ar_db_release(db);
	return ok;
}

static AR_YIELDS void livez(struct edge_request *request)
{
	edge_header(request, "cache-control", AR_STR("no-store"));
	edge_send(request, 200, "application/json", AR_STR("{\"status\":\"ok\"}"));
}

static AR_YIELDS void healthz(struct edge_request *request)
{
	struct ar_pool *pool = request->http->pool;
	bool stopping = atomic_load(&draining), store = store_answers(pool),
	     ok = !stopping && store;

	if (!store)
		ar_log_err(AR_ERROR, "http", "the store does not answer");
	ar_err_clear();
	edge_header(request, "cache-control", AR_STR("no-store"));
	edge_send(request, ok ? 200 : 503, "application/json",
		  ar_strf(pool,
			  "{\"status\":\"%s\",\"checks\":{\"store\":\"%s\",\"accepting\":\"%s\"}}",
			  ok ? "ok" : "unavailable", store ? "ok" : "failed",
			  stopping ? "stopping" : "ok"));
}

/* ---- metrics ---- */

static void metric(struct ar_buf *out, const char *name, const char *type, const char *help,
		   double value)
{
	ar_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name,
		      value);
}

static void process_metrics(struct ar_buf *out)
{
	struct rusage usage;
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL) {
		if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	getrusage(RUSAGE_SELF, &usage);
	metric(out, "process_resident_memory_bytes", "gauge", "Memory in use.",
	       (double)resident * (double)sysconf(_SC_PAGESIZE));
	metric(out, "process_cpu_seconds_total", "counter", "User and system time.",
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void server_metrics(struct ar_buf *out)
{
	struct ar_server *of = atomic_load(&server);
	struct ar_server_stats s;

	if (of == NULL)
		return;
	ar_server_stats(of, &s);
	metric(out, "apprun_http_connections_total", "counter", "Connections accepted.",
	       (double)s.connections);
	metric(out, "apprun_http_connections_open", "gauge", "Connections now.",
	       (double)s.connections_open);
	metric(out, "apprun_http_requests_total", "counter", "Requests begun.", (double)s.requests);
	metric(out, "apprun_http_requests_open", "gauge", "Requests now.", (double)s.requests_open);
	metric(out, "apprun_http_refused_total", "counter", "Refused by the guards.",
	       (double)s.refused);
	metric(out, "apprun_http_resets_total", "counter", "Streams reset by clients.",
	       (double)s.resets);
	metric(out, "apprun_http_received_bytes_total", "counter", "Bytes in.", (double)s.bytes_in);
	metric(out, "apprun_http_sent_bytes_total", "counter", "Bytes out.", (double)s.bytes_out);
}

static void store_metrics(struct ar_buf *out)
{
	struct ar_store_stats s;

	if (ar_tenant_store() == NULL)
		return;
	ar_store_stats(ar_tenant_store(), &s);
	metric(out, "apprun_store_commits_total", "counter", "Commits on disk.", (double)s.commits);
	metric(out, "apprun_store_units_total", "counter", "Units of work committed.",
	       (double)s.units);
	metric(out, "apprun_store_statements_total", "counter", "Statements run.",
	       (double)s.statements);
	metric(out, "apprun_store_slow_total", "counter", "Statements over the slow limit.",
	       (double)s.slow);
	metric(out, "apprun_store_lease_waits_total", "counter", "Units that waited for the lease.",
	       (double)s.lease_waits);
	metric(out, "apprun_store_handles_open", "gauge", "Databases open now.", (double)s.open);
}

static AR_YIELDS void metrics(struct edge_request *request)
{
	struct ar_buf *out = ar_buf_new(request->http->pool, METRICS_MAX);
	struct ar_str permission;

	if (!request->local && !edge_is_operator(request, &permission)) {
		ar_fail(AR_E_UNAUTHORIZED);
		edge_problem(request);
		return;
	}
	process_metrics(out);
	server_metrics(out);
	store_metrics(out);
	ar_action_metrics(out);
	for (size_t i = 0; i < nmetrics_fns; i++)
		metrics_fns[i](out);
	edge_header(request, "cache-control", AR_STR("no-store"));
	edge_send(request, 200, "text/plain; version=0.0.4; charset=utf-8", ar_buf_view(out));
}

/* ---- which ---- */

AR_YIELDS bool edge_ops(struct edge_request *request)
{
	static const struct {
		const char *path;
		AR_YIELDS void (*answer)(struct edge_request *request);
	} rows[] = {
		{ "/livez", livez },
		{ "/readyz", healthz },
		{ "/healthz", healthz },
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
