/*
 * exposition.c - all metrics as Prometheus text, format 0.0.4.
 *
 * Whole numbers are written as such, so that a counter beyond 2^53 does not lose its last digits
 * here. Names are the house's own; label values and help texts are escaped.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>

#include "json/json.h"
#include "observe/observe_int.h"

struct ar_samples {
	struct ar_buf *buf;
	const char *last; /* the name whose help was written last */
};

#define COLLECTORS_MAX 32

static struct {
	void (*fn)(struct ar_samples *samples, void *arg);
	void *arg;
} collectors[COLLECTORS_MAX];
static size_t ncollectors;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const kind_names[] = {
	[AR_COUNTER] = "counter",
	[AR_GAUGE] = "gauge",
	[AR_HISTOGRAM] = "histogram",
};

static void write_escaped(struct ar_buf *buf, const char *z, bool quotes)
{
	for (; *z != 0; z++) {
		if (*z == '\\')
			ar_buf_z(buf, "\\\\");
		else if (*z == '\n')
			ar_buf_z(buf, "\\n");
		else if (*z == '"' && quotes)
			ar_buf_z(buf, "\\\"");
		else
			ar_buf_char(buf, *z);
	}
}

static void write_head(struct ar_buf *buf, const char *name, const char *help,
		       enum ar_metric_kind kind)
{
	ar_buf_printf(buf, "# HELP %s ", name);
	write_escaped(buf, help, false);
	ar_buf_printf(buf, "\n# TYPE %s %s\n", name, kind_names[kind]);
}

/* Shortest text that reads back the same, without a locale's comma. */
static void write_number(struct ar_buf *buf, double value)
{
	struct ar_jw w;

	if (isnan(value)) {
		ar_buf_z(buf, "NaN");
		return;
	}
	if (isinf(value)) {
		ar_buf_z(buf, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	if (value == floor(value) && fabs(value) < 9e18) {
		ar_buf_int(buf, (int64_t)value);
		return;
	}
	ar_jw_init(&w, buf);
	ar_jw_float(&w, value);
}

static void write_scaled(struct ar_buf *buf, const struct ar_metric *metric, int64_t value)
{
	if (metric->per <= 1)
		ar_buf_int(buf, value);
	else
		write_number(buf, (double)value / (double)metric->per);
}

static void write_labels(struct ar_buf *buf, const struct ar_series *series)
{
	const struct ar_metric_int *in = series->metric;

	for (size_t i = 0; i < in->nlabels; i++) {
		ar_buf_printf(buf, "%s%s=\"", i == 0 ? "" : ",", in->metric->labels[i]);
		write_escaped(buf, series->values[i], true);
		ar_buf_char(buf, '"');
	}
}

static void write_plain(struct ar_buf *buf, const struct ar_series *series)
{
	const struct ar_metric_int *in = series->metric;

	ar_buf_z(buf, in->metric->name);
	if (in->nlabels > 0) {
		ar_buf_char(buf, '{');
		write_labels(buf, series);
		ar_buf_char(buf, '}');
	}
	ar_buf_char(buf, ' ');
	write_scaled(buf, in->metric, ar_series_cell(series, 0));
	ar_buf_char(buf, '\n');
}

static void write_bucket_head(struct ar_buf *buf, const struct ar_series *series,
			      const char *suffix)
{
	ar_buf_printf(buf, "%s%s", series->metric->metric->name, suffix);
	if (series->metric->nlabels > 0) {
		ar_buf_char(buf, '{');
		write_labels(buf, series);
		ar_buf_char(buf, '}');
	}
	ar_buf_char(buf, ' ');
}

static void write_histogram(struct ar_buf *buf, const struct ar_series *series)
{
	const struct ar_metric *metric = series->metric->metric;
	const char *comma = series->metric->nlabels > 0 ? "," : "";
	int64_t count = 0;

	for (size_t i = 0; i <= metric->nbounds; i++) {
		count += ar_series_cell(series, i);
		ar_buf_printf(buf, "%s_bucket{", metric->name);
		write_labels(buf, series);
		ar_buf_printf(buf, "%sle=\"", comma);
		if (i == metric->nbounds)
			ar_buf_z(buf, "+Inf");
		else
			write_scaled(buf, metric, metric->bounds[i]);
		ar_buf_printf(buf, "\"} %" PRId64 "\n", count);
	}
	write_bucket_head(buf, series, "_sum");
	write_scaled(buf, metric, ar_series_cell(series, metric->nbounds + 1));
	ar_buf_char(buf, '\n');
	write_bucket_head(buf, series, "_count");
	ar_buf_printf(buf, "%" PRId64 "\n", count);
}

static void write_metric(const struct ar_metric_int *in, void *arg)
{
	struct ar_buf *buf = arg;
	const struct ar_metric *metric = in->metric;

	write_head(buf, metric->name, metric->help, metric->kind);
	for (const struct ar_series *s = in->first; s != NULL; s = s->next) {
		if (metric->kind == AR_HISTOGRAM)
			write_histogram(buf, s);
		else
			write_plain(buf, s);
	}
}

/* ---- what is read on demand ---- */

void ar_metrics_collect(void (*fn)(struct ar_samples *samples, void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	assert(ncollectors < COLLECTORS_MAX);
	collectors[ncollectors].fn = fn;
	collectors[ncollectors].arg = arg;
	ncollectors++;
	pthread_mutex_unlock(&lock);
}

void ar_sample_of(struct ar_samples *samples, enum ar_metric_kind kind, const char *name,
		  const char *help, double value, ...)
{
	struct ar_buf *buf = samples->buf;
	const char *label, *open = "{";
	va_list ap;

	assert(kind != AR_HISTOGRAM);
	if (samples->last == NULL || strcmp(samples->last, name) != 0)
		write_head(buf, name, help, kind);
	samples->last = name;
	ar_buf_z(buf, name);
	va_start(ap, value);
	while ((label = va_arg(ap, const char *)) != NULL) {
		const char *text = va_arg(ap, const char *);

		ar_buf_printf(buf, "%s%s=\"", open, label);
		write_escaped(buf, text, true);
		ar_buf_char(buf, '"');
		open = ",";
	}
	va_end(ap);
	ar_buf_z(buf, *open == ',' ? "} " : " ");
	write_number(buf, value);
	ar_buf_char(buf, '\n');
}

int ar_metrics_write(struct ar_buf *buf)
{
	struct ar_samples samples = { .buf = buf };

	ar_metrics_each(write_metric, buf);
	ar_process_collect(&samples);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < ncollectors; i++)
		collectors[i].fn(&samples, collectors[i].arg);
	pthread_mutex_unlock(&lock);
	return buf->over ? ar_fail(AR_E_TOO_LARGE, "what", "metrics") : 0;
}
