/*
 * loop.c - events that start each other for ever: where they are stopped, and what is said of it.
 *
 * What an event starts publishes with one hop more than the event had; beyond the limit it is refused,
 * before anything is written, so the change that it announces is refused with it. The events of a
 * circle have one trace, and stand in the log: the newest of them name it.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

#define LOOK_BACK 2000 /* rows of the log */
#define ROWS_MAX  200  /* of them, that may be of the circle */
#define LOOP_MAX  8    /* topics that are named */

const struct ar_err_def AR_E_BUS_LOOP[1] = { { "bus/loop", 422 } };

static _Atomic int64_t most = 16;

void ar_bus_hops_max(int64_t max)
{
	atomic_store_explicit(&most, max, memory_order_relaxed);
}

bool hops_too_many(int64_t hops)
{
	return hops > atomic_load_explicit(&most, memory_order_relaxed);
}

/* "a -> b -> a": back from the event that is refused to where its topic was last. Which of a run's
 * events started the next is not kept: it is taken to be the first of them. */
static AR_YIELDS int loop_name(struct ar_scope *scope, struct ar_str topic,
			       const struct ar_log_context *context, struct ar_str *ret)
{
	int64_t hops = context->hops;
	struct ar_rows rows;

	*ret = topic;
	if (ar_query(scope, &rows,
		     "SELECT topic, hops FROM bus_event WHERE seq > "
		     "(SELECT max(seq) FROM bus_event) - ? AND trace_id = ? AND hops < ? AND "
		     "hops >= ? ORDER BY hops DESC, seq LIMIT ?",
		     AR_ARGS(AR_J_INT(LOOK_BACK), AR_J_STR(context->trace_id), AR_J_INT(hops),
			     AR_J_INT(hops - LOOP_MAX), AR_J_INT(ROWS_MAX))) != 0)
		return -1;
	while (ar_rows_next(&rows)) {
		if (ar_col_int(&rows, 1) == hops) /* another one of the same run */
			continue;
		hops = ar_col_int(&rows, 1);
		*ret = ar_strf(scope->pool, "%.*s -> %.*s", AR_FMT(ar_col_str(&rows, 0)),
			       AR_FMT(*ret));
		if (ar_str_eq(ar_col_str(&rows, 0), topic))
			break;
	}
	return 0;
}

int loop_refuse(struct ar_scope *scope, struct ar_str topic, const struct ar_log_context *context)
{
	struct ar_pool *pool = scope->pool;
	struct ar_str loop;

	if (loop_name(scope, topic, context, &loop) != 0)
		return -1;
	atomic_fetch_add_explicit(&bus_count.loops, 1, memory_order_relaxed);
	return ar_fail(AR_E_BUS_LOOP, "topic", ar_strz(pool, topic), "max",
		       ar_printf(pool, "%lld", (long long)atomic_load(&most)), "loop",
		       ar_strz(pool, loop), "trace", ar_strz(pool, context->trace_id));
}
