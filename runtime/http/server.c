/*
 * server.c - starts the loops, joins h2o's with the fibers', and stops them in order.
 *
 * Each loop is a thread with both event loops: h2o's does the blocking wait and watches the file
 * descriptor of the fibers' one. Stopping: no more connections, idle ones close, requests in flight
 * get until the grace is over, then they are cancelled; what is left after that is cut off.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "http/server_int.h"

#define TICK_MIN_MS  5
#define TICK_MAX_MS  250
#define CANCELLED_MS 1000 /* for what was cancelled to answer */
#define FILES_BESIDE 1024 /* files that are not connections */
#define BODIES_MAX   64   /* bodies of the largest size in memory, over all connections */

static ar_http_refuse_fn *refuse_fn;

void ar_server_set_refuse(ar_http_refuse_fn *fn)
{
	refuse_fn = fn;
}

void count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

void server_refusal(struct ar_pool *pool, int status, const char *slug,
		    struct ar_str accept_language, struct ar_http_refusal *ret)
{
	*ret = (struct ar_http_refusal){ 0 };
	if (refuse_fn != NULL)
		refuse_fn(pool, status, slug, accept_language, ret);
	if (ret->body.n > 0)
		return;
	ret->body = ar_strf(pool, "{\"type\":\"about:blank\",\"status\":%d,\"code\":\"%s\"}",
			    status, slug);
	ret->headers[ret->nheaders++] =
		(struct ar_header){ AR_STR("content-type"), AR_STR("application/problem+json") };
}

/* The Date header's text, made once a second. */
const char *loop_date(struct sloop *l)
{
	int64_t now = ar_now_ms() / 1000;
	time_t t = (time_t)now;
	struct tm tm;

	if (now != l->date_s) {
		l->date_s = now;
		gmtime_r(&t, &tm);
		strftime(l->date, sizeof(l->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return l->date;
}

/* ---- one loop ---- */

static void on_inner(h2o_socket_t *sock, const char *err)
{
	/* Only to wake: the fiber loop looks at its own events after the wait. */
}

static void loop_wait(void *arg, int timeout_ms)
{
	struct sloop *l = arg;
	int32_t max = timeout_ms < 0 ? INT32_MAX : timeout_ms;

	if (l->read_stopped) {
		l->read_stopped = false;
		for (struct conn *c = l->conns; c != NULL; c = c->next)
			h2_hook(c);
	}
	/* Fibers may have written since h2o's last turn: their callbacks are due now. */
	if (l->evloop->_pending_as_client != NULL || l->evloop->_pending_as_server != NULL)
		max = 0;
	h2o_evloop_run(l->evloop, max);
}

static void sweep_main(void *arg)
{
	struct sloop *l = arg;

	while (ar_sleep(l->tick_ms) == 0)
		conn_sweep(l);
	ar_err_clear();
}

static void report(struct sloop *l, bool failed)
{
	struct ar_server *s = l->server;

	pthread_mutex_lock(&s->lock);
	if (failed && s->nfailed++ == 0) {
		struct ar_errstack *mine = ar_errstack_use(s->errors);

		ar_errstack_use(mine);
		ar_errstack_move(s->errors, mine);
	}
	s->nreported++;
	pthread_cond_signal(&s->reported);
	pthread_mutex_unlock(&s->lock);
}

static void start_main(void *arg)
{
	struct sloop *l = arg;
	struct ar_server *s = l->server;
	bool failed = s->options.loop_start != NULL && s->options.loop_start(l->index) != 0;

	ar_go("http sweep", sweep_main, l, AR_NO_DEADLINE);
	report(l, failed);
}

static void listen_begin(void *arg)
{
	listener_start(arg);
}

static void loop_begin(struct sloop *l)
{
	l->loop = ar_loop_new();
	l->evloop = h2o_evloop_create();
	h2o_context_init(&l->ctx, l->evloop, &l->server->conf);
	l->accept_ctx = (h2o_accept_ctx_t){ .ctx = &l->ctx, .hosts = l->server->conf.hosts };
	l->scratch = ar_heap_alloc(SCRATCH_LEN);
	l->inner = h2o_evloop_socket_create(l->evloop, dup(ar_loop_fd(l->loop)), 0);
	h2o_socket_dont_read(l->inner, 1);
	h2o_socket_read_start(l->inner, on_inner);
	ar_loop_set_wait(l->loop, loop_wait, l);
}

static void loop_end(struct sloop *l)
{
	struct conn *next;

	listener_stop(l);
	for (struct conn *c = l->conns; c != NULL; c = next) {
		next = c->next;
		conn_close(c);
	}
	while (l->conns != NULL) /* HTTP/2 that waited for a write */
		h2o_evloop_run(l->evloop, 10);
	ar_loop_free(l->loop); /* runs what was cancelled to its end */
	h2o_socket_close(l->inner);
	h2o_evloop_run(l->evloop, 0);
	h2o_context_dispose(&l->ctx);
	h2o_evloop_destroy(l->evloop);
	ar_heap_free(l->scratch);
	gzip_thread_done();
}

static void *loop_thread(void *arg)
{
	struct sloop *l = arg;

	loop_begin(l);
	ar_go("http start", start_main, l, AR_NO_DEADLINE);
	ar_loop_run(l->loop);
	loop_end(l);
	return NULL;
}

/* ---- stopping, in a fiber of each loop ---- */

static AR_YIELDS void wait_for_requests(struct sloop *l, int64_t ms)
{
	int64_t until = ar_mono_ms() + ms;

	while ((l->nexchanges > 0 || l->conns != NULL) && ar_mono_ms() < until) {
		conn_sweep(l);
		ar_sleep(TICK_MIN_MS);
	}
}

static void cancel_requests(struct sloop *l)
{
	for (struct conn *c = l->conns; c != NULL; c = c->next)
		for (struct ar_http_int *ex = c->first; ex != NULL; ex = ex->next)
			if (ex->fiber != NULL)
				ar_cancel(ex->fiber);
}

static void stop_main(void *arg)
{
	struct sloop *l = arg;
	struct ar_server *s = l->server;

	l->stopping = true;
	listener_stop(l);
	wait_for_requests(l, s->grace_ms);
	cancel_requests(l);
	wait_for_requests(l, CANCELLED_MS);
	if (s->options.loop_stop != NULL)
		s->options.loop_stop(l->index);
	ar_loop_stop(l->loop);
}

static void stop_begin(void *arg)
{
	ar_go("http stop", stop_main, arg, AR_NO_DEADLINE);
}

/* ---- the server ---- */

static void defaults(struct ar_server *s, const struct ar_server_options *given)
{
	struct ar_server_options *o = &s->options;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	*o = *given;
	o->host = ar_str(ar_heap_strz(given->host.n > 0 ? given->host : AR_STR("127.0.0.1")));
	s->nloops = o->loops > 0 ? o->loops : (int)AR_MAX(1, cores);
	o->body_max = o->body_max > 0 ? o->body_max : 16 * 1024 * 1024;
	o->deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : 30000;
	o->idle_ms = o->idle_ms > 0 ? o->idle_ms : 60000;
	o->send_stall_ms = o->send_stall_ms > 0 ? o->send_stall_ms : 20000;
	o->header_ms = o->header_ms > 0 ? o->header_ms : 10000;
	o->connections_max = o->connections_max > 0 ? o->connections_max : 10000;
	o->replies_max = o->replies_max > 0 ? o->replies_max : (size_t)1 << 30;
	s->body_bytes_max = o->body_max * BODIES_MAX;
}

/* Each connection is a file, and the stores need theirs. */
static void fit_files(struct ar_server_options *o)
{
	struct rlimit files;
	rlim_t wanted = (rlim_t)o->connections_max + FILES_BESIDE;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
		return;
	files.rlim_cur = AR_MIN(wanted, files.rlim_max);
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur == wanted)
		return;
	o->connections_max =
		(int)(files.rlim_cur > 2 * FILES_BESIDE ? files.rlim_cur - FILES_BESIDE
							: AR_MAX(1, files.rlim_cur / 2));
	ar_warn("http", "fewer connections than asked for: the limit of open files is low");
}

static int64_t tick(const struct ar_server_options *o)
{
	int64_t shortest = AR_MIN(o->idle_ms, AR_MIN(o->send_stall_ms, o->header_ms));

	return AR_MAX(TICK_MIN_MS, AR_MIN(TICK_MAX_MS, shortest / 4));
}

static void server_free(struct ar_server *s)
{
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	h2o_config_dispose(&s->conf);
	ar_errstack_free(s->errors);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->reported);
	ar_heap_free((void *)s->options.host.p);
	ar_heap_free(s->loops);
	ar_heap_free(s);
}

static void start_loops(struct ar_server *s)
{
	s->loops = ar_heap_alloc((size_t)s->nloops * sizeof(*s->loops));
	for (int i = 0; i < s->nloops; i++) {
		struct sloop *l = &s->loops[i];

		l->server = s;
		l->index = i;
		l->tick_ms = tick(&s->options);
		if (pthread_create(&l->thread, NULL, loop_thread, l) != 0) {
			ar_error("http", "cannot start a thread");
			abort();
		}
	}
	pthread_mutex_lock(&s->lock);
	while (s->nreported < s->nloops)
		pthread_cond_wait(&s->reported, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

int ar_server_start(const struct ar_server_options *options, struct ar_server **ret)
{
	struct ar_server *s = ar_heap_new(struct ar_server);
	struct sigaction old;
	struct ar_errstack *mine;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->reported, NULL);
	s->errors = ar_errstack_new();
	defaults(s, options);
	fit_files(&s->options);
	h2_setup(s);
	s->listen_fd = listen_open(&s->options, &s->port);
	if (s->listen_fd < 0) {
		server_free(s);
		return -1;
	}
	/* h2o writes with writev(), which has no MSG_NOSIGNAL. */
	if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	start_loops(s);
	if (s->nfailed > 0) {
		mine = ar_errstack_use(s->errors);
		ar_errstack_use(mine);
		ar_errstack_move(mine, s->errors);
		ar_server_stop(s, 0);
		return -1;
	}
	for (int i = 0; i < s->nloops; i++)
		ar_post(s->loops[i].loop, listen_begin, &s->loops[i]);
	*ret = s;
	return 0;
}

void ar_server_stop(struct ar_server *server, int64_t grace_ms)
{
	if (server == NULL)
		return;
	server->grace_ms = grace_ms;
	/* Who comes now is refused by the kernel, instead of waiting for nobody. */
	shutdown(server->listen_fd, SHUT_RDWR);
	for (int i = 0; i < server->nloops; i++)
		ar_post(server->loops[i].loop, stop_begin, &server->loops[i]);
	for (int i = 0; i < server->nloops; i++)
		pthread_join(server->loops[i].thread, NULL);
	server_free(server);
}

int ar_server_port(const struct ar_server *server)
{
	return server->port;
}

int ar_server_loops(const struct ar_server *server)
{
	return server->nloops;
}

struct ar_loop *ar_server_loop(const struct ar_server *server, int index)
{
	assert(index >= 0 && index < server->nloops);
	return server->loops[index].loop;
}

void ar_server_stats(struct ar_server *server, struct ar_server_stats *ret)
{
	*ret = (struct ar_server_stats){ .connections_open = (uint64_t)atomic_load(&server->open) };
	for (int i = 0; i < server->nloops; i++) {
		struct counters *n = &server->loops[i].n;

		ret->connections += atomic_load(&n->connections);
		ret->requests += atomic_load(&n->requests);
		ret->requests_open += atomic_load(&n->requests_open);
		ret->refused += atomic_load(&n->refused);
		ret->resets += atomic_load(&n->resets);
		ret->bytes_in += atomic_load(&n->bytes_in);
		ret->bytes_out += atomic_load(&n->bytes_out);
	}
}
