/*
 * edge_log.c - the access log: one JSON line per request, gathered per loop and written once per
 * turn of the loop, so that a busy server does not pay a system call for each.
 *
 * The line has the fields of every log line, and data with method, path (without the query, which
 * may hold what is private), status, ms, bytes, client, action and the request's id.
 */
#include "http/edge_int.h"

#define LINES_MAX  (64u << 10)
#define LINES_FULL (LINES_MAX - 8192)
#define PATH_SHOWN 1024

static __thread struct ar_buf *lines;
static __thread size_t line_start;

static void flush(void *arg)
{
	if (lines == NULL || lines->n == 0)
		return;
	ar_log_lines(ar_buf_view(lines));
	lines->n = 0;
}

void ar_edge_attach(void)
{
	lines = ar_heap_new(struct ar_buf);
	ar_buf_init(lines, LINES_MAX);
	ar_loop_before_wait(ar_loop(), flush, NULL);
}

void ar_edge_detach(void)
{
	flush(NULL);
	ar_buf_done(lines);
	ar_heap_free(lines);
	lines = NULL;
}

static void put(struct ar_jw *w, const char *key, struct ar_str value)
{
	ar_jw_keyz(w, key);
	ar_jw_str(w, value);
}

static void write_data(struct ar_jw *w, const struct edge_request *request)
{
	const struct ar_http *http = request->http;
	const struct ar_action *action = request->call.action;

	ar_jw_object(w);
	put(w, "method", ar_str_sub(http->method, 0, 32));
	put(w, "path", ar_str_sub(http->path, 0, PATH_SHOWN));
	ar_jw_keyz(w, "status");
	ar_jw_int(w, request->status);
	ar_jw_keyz(w, "ms");
	ar_jw_float(w, (double)(ar_mono_us() - http->started_us) / 1000.0);
	put(w, "client", request->client);
	put(w, "requestId", request->call.request_id);
	if (action != NULL)
		put(w, "action", ar_str(action->name));
	ar_jw_object_end(w);
}

/* Begins a line; false when none is wanted. */
static bool line_begin(struct ar_jw *w, const struct ar_log_context *context, const char *message)
{
	static __thread int64_t time_ms;
	static __thread char time[AR_TIME_MAX];
	int64_t now;

	if (lines == NULL || !edge_options.access_log || !ar_log_wants(AR_INFO))
		return false;
	if (lines->n > LINES_FULL)
		flush(NULL);
	now = ar_now_ms();
	if (now != time_ms) {
		ar_time_format(now, time);
		time_ms = now;
	}
	line_start = lines->n;
	ar_jw_init(w, lines);
	ar_jw_object(w);
	put(w, "timestamp", ar_str(time));
	put(w, "level", AR_STR("info"));
	put(w, "service", AR_STR("http"));
	put(w, "traceId", context->trace_id);
	put(w, "userId", context->user_id);
	put(w, "tenant", context->tenant);
	put(w, "message", ar_str(message));
	ar_jw_keyz(w, "data");
	return true;
}

static void line_end(struct ar_jw *w)
{
	ar_jw_object_end(w);
	ar_buf_char(lines, '\n');
	if (lines->over) {
		lines->n = line_start;
		lines->over = false;
		ar_err_clear();
	}
}

void edge_log(const struct edge_request *request)
{
	struct ar_jw w;

	if (!line_begin(&w, &request->log, "request"))
		return;
	write_data(&w, request);
	line_end(&w);
}

/* What the guards refused before it became a request of the edge. */
void edge_log_refusal(int status, const char *slug, struct ar_str request_id)
{
	static const struct ar_log_context nobody;
	struct ar_jw w;

	if (!line_begin(&w, &nobody, "refused"))
		return;
	ar_jw_object(&w);
	ar_jw_keyz(&w, "status");
	ar_jw_int(&w, status);
	put(&w, "code", ar_str(slug));
	put(&w, "requestId", request_id);
	ar_jw_object_end(&w);
	line_end(&w);
}
