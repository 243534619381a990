/*
 * observe_int.h - what the files of the observe room share.
 */
#ifndef AR_OBSERVE_INT_H
#define AR_OBSERVE_INT_H

#include <stdatomic.h>

#include "observe/observe.h"

struct ar_series {
	struct ar_metric_int *metric;
	struct ar_series *next;
	const char *values[AR_METRIC_LABELS];
	_Atomic int64_t *cells; /* shards times stride, on cache lines */
	void *block;            /* what was allocated for them */
};

struct ar_metric_int {
	struct ar_metric *metric;
	struct ar_metric_int *next;
	struct ar_series *first, *last, *other;
	struct ar_map *by_key;
	size_t nlabels, shards, stride, max;
};

int64_t ar_series_cell(const struct ar_series *series, size_t cell); /* summed over shards */
void ar_metrics_each(void (*fn)(const struct ar_metric_int *in, void *arg), void *arg);
void ar_process_collect(struct ar_samples *samples);

#endif
