/*
 * metrics.c - counting without locks: series, sharded by thread, and samples read on demand.
 *
 * Each series has one block of cells per shard, on cache lines of their own; a thread takes a shard
 * when it first counts and keeps it. With more threads than shards some share one, which the atomic
 * additions allow. Cells: a counter or gauge has one; a histogram one per bucket, one for what is
 * beyond the last bound, and one for the sum.
 *
 * Metrics and series live as long as the process.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "observe/observe_int.h"

#define SERIES_MAX 1000
#define SHARDS_MAX 16
#define LINE       64
#define KEY_MAX    1024
#define SEPARATOR  '\x1f'

const int64_t ar_bounds_us[AR_BOUNDS_US_N] = {
	100,   250,    500,    1000,   2500,    5000,    10000,   25000,
	50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ar_metric_int *metrics_first, *metrics_last;
static atomic_uint next_shard;
static size_t nshards;                  /* under the lock; fixed with the first metric */
static _Thread_local unsigned my_shard; /* 1-based */

static size_t shards(void)
{
	long cores;

	if (nshards == 0) {
		cores = sysconf(_SC_NPROCESSORS_ONLN);
		nshards = (size_t)AR_MAX(1, AR_MIN(cores, SHARDS_MAX));
	}
	return nshards;
}

static _Atomic int64_t *series_cells(const struct ar_series *series)
{
	if (my_shard == 0)
		my_shard = atomic_fetch_add(&next_shard, 1) + 1;
	return series->cells + (my_shard % series->metric->shards) * series->metric->stride;
}

/* ---- making them ---- */

static size_t label_count(const struct ar_metric *metric)
{
	size_t n = 0;

	while (n < AR_METRIC_LABELS && metric->labels[n] != NULL)
		n++;
	return n;
}

static void metric_add_locked(struct ar_metric *metric)
{
	struct ar_metric_int *in;
	size_t cells;

	if (metric->in != NULL)
		return;
	in = ar_heap_new(struct ar_metric_int);
	in->metric = metric;
	in->nlabels = label_count(metric);
	in->by_key = ar_map_new();
	in->shards = shards();
	in->max = metric->max == 0 ? SERIES_MAX : metric->max;
	cells = metric->kind == AR_HISTOGRAM ? metric->nbounds + 2 : 1;
	/* whole cache lines */
	in->stride = (cells * sizeof(int64_t) + LINE - 1) / LINE * LINE / sizeof(int64_t);
	if (metrics_last != NULL)
		metrics_last->next = in;
	else
		metrics_first = in;
	metrics_last = in;
	metric->in = in;
}

static struct ar_series *series_new(struct ar_metric_int *in, const struct ar_str *values)
{
	struct ar_series *series = ar_heap_new(struct ar_series);
	char *block = ar_heap_alloc(in->shards * in->stride * sizeof(int64_t) + LINE);

	series->metric = in;
	series->block = block;
	series->cells = (void *)(((uintptr_t)block + LINE - 1) & ~(uintptr_t)(LINE - 1));
	for (size_t i = 0; i < in->nlabels; i++)
		series->values[i] = ar_heap_strz(values[i]);
	if (in->last != NULL)
		in->last->next = series;
	else
		in->first = series;
	in->last = series;
	return series;
}

static struct ar_series *series_other(struct ar_metric_int *in)
{
	struct ar_str values[AR_METRIC_LABELS] = { 0 };

	for (size_t i = 0; i < AR_METRIC_LABELS; i++)
		values[i] = AR_STR("other");
	if (in->other == NULL)
		in->other = series_new(in, values);
	return in->other;
}

static struct ar_series *series_get_locked(struct ar_metric_int *in, const struct ar_str *values)
{
	char key[KEY_MAX];
	size_t n = 0;
	struct ar_series *series;

	for (size_t i = 0; i < in->nlabels; i++) {
		if (values[i].n + 1 > sizeof(key) - n)
			return series_other(in);
		if (values[i].n > 0)
			memcpy(key + n, values[i].p, values[i].n);
		n += values[i].n;
		key[n++] = SEPARATOR;
	}
	series = ar_map_get(in->by_key, ar_str_n(key, n));
	if (series != NULL)
		return series;
	if (ar_map_count(in->by_key) >= in->max)
		return series_other(in);
	series = series_new(in, values);
	ar_map_set(in->by_key, ar_str_n(key, n), series);
	return series;
}

void ar_metric_register(struct ar_metric *metric)
{
	pthread_mutex_lock(&lock);
	metric_add_locked(metric);
	if (metric->in->nlabels == 0)
		series_get_locked(metric->in, NULL);
	pthread_mutex_unlock(&lock);
}

struct ar_series *ar_series_get(struct ar_metric *metric, const struct ar_str *values, size_t n)
{
	struct ar_series *series;

	pthread_mutex_lock(&lock);
	metric_add_locked(metric);
	assert(n == metric->in->nlabels);
	series = series_get_locked(metric->in, values);
	pthread_mutex_unlock(&lock);
	return series;
}

struct ar_series *ar_series_of(struct ar_metric *metric, ...)
{
	struct ar_str values[AR_METRIC_LABELS] = { 0 };
	const char *value;
	size_t n = 0;
	va_list ap;

	va_start(ap, metric);
	while ((value = va_arg(ap, const char *)) != NULL) {
		assert(n < AR_METRIC_LABELS);
		values[n++] = ar_str(value);
	}
	va_end(ap);
	return ar_series_get(metric, values, n);
}

/* ---- counting ---- */

static void cell_add(_Atomic int64_t *cell, int64_t n)
{
	atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

void ar_series_add(struct ar_series *series, int64_t n)
{
	assert(series->metric->metric->kind != AR_HISTOGRAM);
	assert(n >= 0 || series->metric->metric->kind == AR_GAUGE);
	cell_add(series_cells(series), n);
}

void ar_series_set(struct ar_series *series, int64_t value)
{
	assert(series->metric->metric->kind == AR_GAUGE);
	cell_add(series_cells(series), value - ar_series_value(series));
}

void ar_series_observe(struct ar_series *series, int64_t value)
{
	const struct ar_metric *metric = series->metric->metric;
	_Atomic int64_t *cells = series_cells(series);
	size_t i = 0;

	assert(metric->kind == AR_HISTOGRAM);
	while (i < metric->nbounds && value > metric->bounds[i])
		i++;
	cell_add(&cells[i], 1);
	cell_add(&cells[metric->nbounds + 1], value);
}

int64_t ar_series_cell(const struct ar_series *series, size_t cell)
{
	const struct ar_metric_int *in = series->metric;
	int64_t sum = 0;

	for (size_t s = 0; s < in->shards; s++)
		sum += atomic_load_explicit(&series->cells[s * in->stride + cell],
					    memory_order_relaxed);
	return sum;
}

int64_t ar_series_value(const struct ar_series *series)
{
	const struct ar_metric *metric = series->metric->metric;
	int64_t sum = 0;

	if (metric->kind != AR_HISTOGRAM)
		return ar_series_cell(series, 0);
	for (size_t i = 0; i <= metric->nbounds; i++)
		sum += ar_series_cell(series, i);
	return sum;
}

/* Holds the lock meanwhile: counting goes on, new series wait. */
void ar_metrics_each(void (*fn)(const struct ar_metric_int *in, void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	for (const struct ar_metric_int *in = metrics_first; in != NULL; in = in->next)
		fn(in, arg);
	pthread_mutex_unlock(&lock);
}
