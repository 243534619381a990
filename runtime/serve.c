/*
 * serve.c - starts every room and module in order, and stops them in reverse.
 *
 * Start: sandbox's zygote (main did that, before any thread), offload pool, blobs, modules' tables,
 * store, modules, edge, loops. Each loop attaches the rooms; the last one to be ready starts the bus,
 * and only then does anybody listen.
 *
 * Stop: no more requests; when no loop has any left, the bus and the modules stop on every loop;
 * when that is done everywhere, each loop lets go of tenants and store. The two meeting points are
 * there because a request on one loop may wake work on another.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "apprun.h"
#include "blob/blob.h"
#include "client/client.h"
#include "config/config.h"
#include "folder.h"
#include "console-api/page.h"
#include "http/edge.h"
#include "modules.h"
#include "observe/observe.h"
#include "sandbox/sandbox.h"
#include "serve.h"

#define SETS_MAX 64
#define MB       INT64_C(1048576)
#define IDLE_MS  20000 /* of a handle; before it, a cold tenant holds its own for 30 s */

static struct {
	struct ar_pool *pool; /* texts of the start */
	struct ar_store *store;
	struct ar_server *server;
	struct ar_loop *loops[AR_LOOPS_MAX]; /* NULL: it is ending; under loops_lock */
	int nloops;
	atomic_int attached, met[2];
	struct ar_fiber *resume; /* on loop 0 */
	struct ar_str url, token;
} house;

static pthread_mutex_t loops_lock = PTHREAD_MUTEX_INITIALIZER;

struct ar_str serve_url(void)
{
	return house.url;
}

struct ar_str serve_token(void)
{
	return house.token;
}

/* ---- migrations: the rooms' own, then the modules' ---- */

static const struct ar_migration_set platform_sets[] = { { "tenant", ar_tenant_migrations },
							 { 0 } };
static struct ar_migration_set tenant_sets[SETS_MAX + 1];

static void collect_migrations(void)
{
	size_t n = 0;

	tenant_sets[n++] = (struct ar_migration_set){ "tenant", ar_setting_migrations };
	tenant_sets[n++] = (struct ar_migration_set){ "bus", ar_bus_migrations };
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		assert(n < SETS_MAX);
		if ((*m)->migrations != NULL)
			tenant_sets[n++] =
				(struct ar_migration_set){ (*m)->name, (*m)->migrations };
	}
	tenant_sets[n] = (struct ar_migration_set){ 0 };
}

/* ---- the process's rooms ---- */

/* Two servers on one database would each trust their own caches: this one ends. */
static atomic_bool lost;

static void store_lost(void)
{
	ar_error("store", "another apprun has taken the database");
	atomic_store(&lost, true);
	kill(getpid(), SIGTERM);
}

static int store_open(void)
{
	const struct ar_store_options options = {
		.url = ar_config_str("store"),
		.data = folder_path(),
		.idle_ms = IDLE_MS,
		.slow_ms = ar_config_int("slow-ms"),
		.pg_connections = (int)ar_config_int("pg-connections"),
		.platform = platform_sets,
		.tenant = tenant_sets,
	};

	if (ar_store_open(&options, &house.store) != 0)
		return -1;
	return ar_store_claim(house.store, store_lost);
}

static void forget_here(void *arg)
{
	ar_sandbox_forget(ar_str(arg));
	ar_heap_free(arg);
}

static void close_here(void *arg)
{
	ar_sandbox_close(ar_str(arg));
	ar_heap_free(arg);
}

/* On each loop that has not begun to end. */
static void post_everywhere(void (*fn)(void *arg), struct ar_str name)
{
	pthread_mutex_lock(&loops_lock);
	for (int i = 0; i < house.nloops; i++)
		if (house.loops[i] != NULL)
			ar_post(house.loops[i], fn, ar_heap_strz(name));
	pthread_mutex_unlock(&loops_lock);
}

/* Before the wait for those who hold the tenant: they are let go of. */
static void tenant_calls_end(struct ar_str name)
{
	post_everywhere(close_here, name);
}

static void tenant_executors_end(struct ar_str name)
{
	post_everywhere(forget_here, name);
}

static void tenant_blobs_drop(struct ar_str name)
{
	if (ar_blob_drop(name) != 0)
		ar_log_err(AR_WARN, "tenant", "files of a deleted tenant are left");
	ar_err_clear();
}

static void collect(struct ar_samples *to, void *arg)
{
	struct ar_sandbox_stats f;
	struct ar_bus_stats b;

	ar_bus_stats(&b);
	ar_sample(to, AR_COUNTER, "apprun_bus_published_total", "Events stored.",
		  (double)b.published);
	ar_sample(to, AR_COUNTER, "apprun_bus_delivered_total", "Deliveries done.",
		  (double)b.delivered);
	ar_sample(to, AR_COUNTER, "apprun_bus_failed_total",
		  "Deliveries that failed, each attempt.", (double)b.failed);
	ar_sample(to, AR_COUNTER, "apprun_bus_dead_total", "Deliveries given up.", (double)b.dead);
	ar_sample(to, AR_COUNTER, "apprun_bus_loops_total",
		  "Events refused because too many led to them, one from another.",
		  (double)b.loops);
	ar_sample(to, AR_COUNTER, "apprun_bus_timers_total", "Timers fired.",
		  (double)b.timers_fired);
	ar_sample(to, AR_GAUGE, "apprun_bus_workers", "Tenants awake.", (double)b.workers);
	ar_sandbox_stats(&f);
	ar_sample(to, AR_COUNTER, "apprun_function_calls_total", "Invocations.", (double)f.calls);
	ar_sample(to, AR_COUNTER, "apprun_function_host_calls_total", "Calls that functions made.",
		  (double)f.host_calls);
	ar_sample(to, AR_COUNTER, "apprun_function_cpu_seconds_total", "Time of functions.",
		  (double)f.cpu_us / 1e6);
	ar_sample(to, AR_GAUGE, "apprun_executors", "Executor processes now.", (double)f.executors);
	ar_sample(to, AR_COUNTER, "apprun_executors_killed_total", "Executors killed.",
		  (double)f.killed);
	ar_sample(to, AR_COUNTER, "apprun_sandbox_restarts_total",
		  "Times that all executors died, with what forks them.", (double)f.restarts);
}

static int modules_start(void)
{
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		if ((*m)->start != NULL && (*m)->start() != 0)
			return -1;
	}
	return 0;
}

static int rooms_start(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int threads = (int)ar_config_int("threads");
	struct ar_str blobs = ar_strf(house.pool, "%.*s/blobs", AR_FMT(folder_path()));

	if (ar_offload_start(threads > 0 ? threads : (int)AR_MAX(4, 2 * cores)) != 0 ||
	    ar_client_allow(ar_config_str("client-allow")) != 0 || ar_blob_init(blobs) != 0)
		return -1;
	for (const struct ar_module *const *m = ar_all_modules; *m != NULL; m++)
		ar_action_register(*m);
	ar_action_replies_max(ar_config_int("replies-keep-mb") * MB);
	collect_migrations();
	if (store_open() != 0)
		return -1;
	ar_tenant_init(house.store);
	ar_tenant_on_close(tenant_calls_end);
	ar_tenant_on_delete(ar_bus_close);
	ar_tenant_on_delete(tenant_executors_end);
	ar_tenant_on_delete(ar_action_forget);
	ar_tenant_on_delete(tenant_blobs_drop);
	return modules_start();
}

/* ---- the edge ---- */

/* The operators' token: configured, or made at the first start and kept. */
static int platform_token(struct ar_str *ret)
{
	*ret = ar_config_str("platform-token");
	if (ret->n > 0)
		return 0;
	if (folder_read(house.pool, "platform-token", ret) == 0) {
		while (ret->n > 0 && ret->p[ret->n - 1] <= ' ')
			ret->n--;
		return ret->n >= 24
			       ? 0
			       : ar_fail_why(AR_E_INTERNAL, "the file platform-token in the data "
							    "folder is too short: delete it");
	}
	if (!ar_err_is(AR_E_NOT_FOUND))
		return -1;
	ar_err_clear();
	*ret = ar_token(house.pool, 32);
	return folder_write("platform-token", ar_strf(house.pool, "%.*s\n", AR_FMT(*ret)));
}

static int edge_start(const struct serve_options *options)
{
	struct ar_edge_options edge = {
		.base_domain = ar_config_str("base-domain"),
		.cors_origins = ar_config_str("cors-origins"),
		.own_address = options->private ? AR_STR_NONE : ar_config_str("host"),
		.trust_proxy = ar_config_bool("trust-proxy"),
		.access_log = ar_config_bool("access-log") && !options->private,
		.client_rate = ar_config_int("client-rate"),
		.client_burst = ar_config_int("client-burst"),
		.tenant_rate = ar_config_int("tenant-rate"),
		.tenant_burst = ar_config_int("tenant-burst"),
	};

	house.token = ar_token(house.pool, 32);
	edge.local_token = house.token;
	if (platform_token(&edge.platform_token) != 0)
		return -1;
	ar_edge_init(&edge);
	ar_edge_set_page(console_page);
	ar_metrics_collect(collect, NULL);
	ar_server_set_refuse(ar_edge_refuse);
	return 0;
}

/* ---- loops ---- */

static void loop_is(int index, struct ar_loop *loop)
{
	pthread_mutex_lock(&loops_lock);
	house.loops[index] = loop;
	pthread_mutex_unlock(&loops_lock);
}

static int loop_start(int index)
{
	ar_store_attach(house.store);
	ar_tenant_attach();
	ar_sandbox_attach();
	ar_edge_attach();
	loop_is(index, ar_loop());
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		if ((*m)->attach != NULL && (*m)->attach() != 0)
			return -1;
	}
	if (atomic_fetch_add(&house.attached, 1) + 1 < house.nloops)
		return 0;
	ar_bus_hops_max(ar_config_int("event-hops-max"));
	ar_bus_retain(&(struct ar_bus_retain){
		.log_ms = ar_config_int("events-keep-days") * INT64_C(86400000),
		.log_bytes = ar_config_int("events-keep-mb") * MB,
		.dead_bytes = ar_config_int("dead-letters-keep-mb") * MB,
	});
	return ar_bus_start(house.store, house.loops, house.nloops);
}

/* Waits until every loop has come here. */
static AR_YIELDS void meet(int place)
{
	atomic_fetch_add(&house.met[place], 1);
	while (atomic_load(&house.met[place]) < house.nloops)
		ar_sleep(1);
}

static void loop_stop(int index)
{
	size_t n = 0;

	if (index == 0 && house.resume != NULL) {
		ar_cancel(house.resume);
		ar_join(house.resume);
		ar_fiber_drop(house.resume);
		house.resume = NULL;
	}
	meet(0);
	ar_bus_stop();
	while (ar_modules()[n] != NULL)
		n++;
	while (n-- > 0) {
		if (ar_modules()[n]->detach != NULL)
			ar_modules()[n]->detach();
	}
	meet(1);
	loop_is(index, NULL);
	ar_edge_detach();
	ar_sandbox_detach();
	ar_tenant_detach();
	ar_store_detach(house.store);
	ar_client_detach();
}

static int server_start(const struct serve_options *options)
{
	const struct ar_server_options server = {
		.host = options->private ? AR_STR("127.0.0.1") : ar_config_str("host"),
		.port = options->private ? 0 : (int)ar_config_int("port"),
		.loops = house.nloops,
		.body_max = (size_t)ar_config_int("body-max"),
		.deadline_ms = ar_config_int("deadline-ms"),
		.connections_max = (int)ar_config_int("connections-max"),
		.handle = ar_edge_handle,
		.loop_start = loop_start,
		.loop_stop = loop_stop,
	};

	if (ar_server_start(&server, &house.server) != 0)
		return -1;
	ar_edge_set_server(house.server);
	return 0;
}

static void make_url(const struct serve_options *options)
{
	struct ar_str host = options->private ? AR_STR("127.0.0.1") : ar_config_str("host");
	int port = ar_server_port(house.server);

	if (ar_str_is(host, "::") || ar_str_is(host, "0.0.0.0"))
		host = AR_STR("127.0.0.1");
	house.url = ar_str_find(host, ':') >= 0
			    ? ar_strf(house.pool, "http://[%.*s]:%d", AR_FMT(host), port)
			    : ar_strf(house.pool, "http://%.*s:%d", AR_FMT(host), port);
}

/* ---- errands ---- */

struct errand {
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

static void errand_fiber(void *arg)
{
	struct errand *errand = arg;

	errand->fn(errand->arg);
	sem_post(&errand->done);
}

static void errand_post(void *arg)
{
	ar_go("errand", errand_fiber, arg, AR_NO_DEADLINE);
}

void serve_errand(void (*fn)(void *arg), void *arg)
{
	struct errand errand = { .fn = fn, .arg = arg };

	sem_init(&errand.done, 0, 0);
	ar_post(ar_server_loop(house.server, 0), errand_post, &errand);
	while (sem_wait(&errand.done) != 0 && errno == EINTR)
		;
	sem_destroy(&errand.done);
}

/* What a killed process left behind is taken up in the background. */
static void resume_fiber(void *arg)
{
	if (ar_bus_resume_all(ar_tenant_list) != 0 && !ar_err_is(AR_E_CANCELLED))
		ar_log_err(AR_ERROR, "bus", "not all tenants were looked through");
	ar_err_clear();
}

static void resume_begin(void *arg)
{
	house.resume = ar_go("resume", resume_fiber, NULL, AR_NO_DEADLINE);
	if (house.resume != NULL)
		ar_fiber_hold(house.resume);
}

/* Sample content that cannot be made is no reason not to serve. */
static void demo_errand(void *arg)
{
	if (demo_prepare() != 0)
		ar_log_err(AR_ERROR, "demo", "the demo tenant could not be prepared");
	ar_err_clear();
}

/* ---- all of it ---- */

static int write_run_file(void)
{
	struct ar_buf *text = ar_buf_new(house.pool, 4096);
	struct ar_jw w;

	ar_jw_init(&w, text);
	ar_jw_object(&w);
	ar_jw_keyz(&w, "pid");
	ar_jw_int(&w, getpid());
	ar_jw_keyz(&w, "url");
	ar_jw_str(&w, house.url);
	ar_jw_keyz(&w, "token");
	ar_jw_str(&w, house.token);
	ar_jw_keyz(&w, "version");
	ar_jw_strz(&w, APPRUN_VERSION);
	ar_jw_object_end(&w);
	return folder_write("run.json", ar_buf_view(text));
}

int serve_start(const struct serve_options *options)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	house.pool = ar_pool_new();
	house.nloops = (int)ar_config_int("loops");
	if (house.nloops == 0)
		house.nloops = options->private ? 1 : (int)AR_MAX(1, AR_MIN(cores, AR_LOOPS_MAX));
	if (rooms_start() != 0 || edge_start(options) != 0 || server_start(options) != 0)
		return -1;
	make_url(options);
	if (options->demo)
		serve_errand(demo_errand, NULL);
	if (write_run_file() != 0) {
		serve_stop();
		return -1;
	}
	ar_state_set(AR_SERVING);
	if (!options->private)
		ar_post(ar_server_loop(house.server, 0), resume_begin, NULL);
	return 0;
}

void serve_stop(void)
{
	folder_remove("run.json");
	ar_state_set(AR_STOPPING);
	ar_edge_set_server(NULL);
	ar_server_stop(house.server, ar_config_int("stop-ms"));
	ar_edge_done();
	ar_tenant_done();
	ar_store_close(house.store);
	ar_action_done();
	ar_offload_stop();
	ar_sandbox_done();
	ar_pool_free(house.pool);
	memset(&house, 0, sizeof(house));
}

/* ---- signals ---- */

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void serve_block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* A second signal: what is committed is on disk, so ending here loses nothing that was promised. */
static void *second_signal(void *arg)
{
	sigset_t set;
	int got;

	signal_set(&set);
	sigwait(&set, &got);
	ar_warn("apprun", "ended by a second signal");
	_exit(128 + got);
}

int serve_wait(void)
{
	pthread_t thread;
	sigset_t set;
	int got;

	signal_set(&set);
	sigwait(&set, &got);
	ar_info("apprun", "stopping", "signal",
		got == SIGINT   ? "SIGINT"
		: got == SIGHUP ? "SIGHUP"
				: "SIGTERM");
	if (pthread_create(&thread, NULL, second_signal, NULL) == 0)
		pthread_detach(thread);
	return atomic_load(&lost) ? -1 : 0;
}
