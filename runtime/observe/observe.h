/*
 * observe.h - what an operator sees: metrics, readiness, trace ids.
 *
 * A metric is a static struct in the room that counts. Its series (one per set of label values) are
 * found once and kept: adding to a series is one relaxed atomic addition on memory of the thread's
 * own, no lock. Label values come from a bounded set (routes, actions, codes); a stranger's words
 * never become labels, and beyond the metric's limit everything goes to one series "other".
 */
#ifndef AR_OBSERVE_H
#define AR_OBSERVE_H

#include "base/base.h"

/* ---- metrics ---- */

enum ar_metric_kind { AR_COUNTER, AR_GAUGE, AR_HISTOGRAM };

#define AR_METRIC_LABELS 4
struct ar_metric {
	const char *name; /* "apprun_http_requests_total", "apprun_http_request_seconds" */
	const char *help;
	enum ar_metric_kind kind;
	const char *labels[AR_METRIC_LABELS]; /* names, ends with NULL or full */
	/* Of a histogram: upper bounds, rising, in the unit of the observed numbers. */
	const int64_t *bounds;
	size_t nbounds;
	int64_t per; /* observed numbers to one written unit: microseconds 1,000,000; 0: 1 */
	size_t max;  /* series; 0: 1,000 */
	struct ar_metric_int *in; /* the room's own */
};

extern const int64_t ar_bounds_us[]; /* 100 µs to 10 s, for durations in microseconds */
#define AR_BOUNDS_US_N 16
#define AR_DURATION_US .bounds = ar_bounds_us, .nbounds = AR_BOUNDS_US_N, .per = 1000000

struct ar_series;

/* Shows the metric although nothing was counted yet. Optional: the first series does it as well. */
void ar_metric_register(struct ar_metric *metric);
/* The series of these label values, in the metric's order, copied; made on first use, never
 * freed: keep the pointer where it is used often. Any thread. ar_series(&m) without labels. */
#define ar_series(metric, ...) ar_series_of((metric), ##__VA_ARGS__, NULL)
struct ar_series *ar_series_of(struct ar_metric *metric, ...) __attribute__((sentinel));
struct ar_series *ar_series_get(struct ar_metric *metric, const struct ar_str *values, size_t n);

/* Any thread. A counter's n is not negative. */
void ar_series_add(struct ar_series *series, int64_t n);         /* counters and gauges */
void ar_series_set(struct ar_series *series, int64_t value);     /* gauges that one thread sets */
void ar_series_observe(struct ar_series *series, int64_t value); /* histograms */
int64_t ar_series_value(
	const struct ar_series *series); /* the sum over all threads; histogram: its count */

/*
 * What is counted elsewhere: fn is called each time the metrics are written, on the writer's thread,
 * and calls ar_sample() for each number. It may not wait. At start.
 */
struct ar_samples;
void ar_metrics_collect(void (*fn)(struct ar_samples *samples, void *arg), void *arg);
/* help is written once per name; samples of one name follow each other. labels: name, value pairs,
 * ending with NULL. */
#define ar_sample(samples, kind, name, help, value, ...)                                           \
	ar_sample_of((samples), (kind), (name), (help), (value), ##__VA_ARGS__, NULL)
void ar_sample_of(struct ar_samples *samples, enum ar_metric_kind kind, const char *name,
		  const char *help, double value, ...) __attribute__((sentinel));

/* Prometheus text format 0.0.4, of all metrics and of the process itself. -1: buf is full. */
#define AR_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
int ar_metrics_write(struct ar_buf *buf);

/* ---- readiness ---- */

enum ar_state { AR_STARTING, AR_SERVING, AR_STOPPING };
void ar_state_set(enum ar_state state); /* any thread */
enum ar_state ar_state(void);

/* A check that /readyz asks: 0, or -1 with an error. May wait; give it little time. At start. */
void ar_ready_register(const char *name, AR_YIELDS int (*check)(void *arg), void *arg);
/* True when the process serves and every check passes. Writes {"status":"ready|starting|stopping|
 * failing","checks":{"store":"ok|SLUG"}} to buf, which may be NULL. In a fiber; each check has at
 * most timeout_ms. */
AR_YIELDS bool ar_ready(struct ar_buf *buf, int64_t timeout_ms);

/* ---- W3C trace context ---- */

struct ar_trace {
	char trace_id[33]; /* lower-case hex and a NUL */
	char span_id[17];
	bool sampled;
};
#define AR_TRACEPARENT_LEN 55

void ar_trace_new(struct ar_trace *ret);
/* Reads a traceparent header; false when it is not one: then make a new trace. */
bool ar_trace_parse(struct ar_str header, struct ar_trace *ret);
/* The same trace with a span of its own; ret may be parent. */
void ar_trace_child(const struct ar_trace *parent, struct ar_trace *ret);
void ar_trace_format(const struct ar_trace *trace, char out[AR_TRACEPARENT_LEN + 1]);

#endif
