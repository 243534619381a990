/*
 * timer.c - timers: rows with a due time, fired in the worker's unit of work.
 *
 * The row is deleted first, by id and due time, so that a timer that was replaced or cleared in the
 * meantime does not fire, and one that its own handler sets again stays. A kind that this program
 * does not know, or whose handler fails, is put off; a timer is never given up.
 */
#include "bus/bus_int.h"

#include <assert.h>
#include <stdatomic.h>

#define KINDS_MAX  32
#define TIMERS_MAX 64 /* fired in one turn */

static const struct ar_timer_kind *kinds[KINDS_MAX];
static size_t nkinds;

static const struct ar_timer_kind *kind_find(struct ar_str name)
{
	for (size_t i = 0; i < nkinds; i++) {
		if (ar_str_is(name, kinds[i]->kind))
			return kinds[i];
	}
	return NULL;
}

void ar_timer_register(const struct ar_timer_kind *kind)
{
	assert(nkinds < KINDS_MAX && kind_find(ar_str(kind->kind)) == NULL);
	kinds[nkinds++] = kind;
}

int ar_timer_set(struct ar_scope *scope, const struct ar_timer *timer)
{
	assert(kind_find(timer->kind) != NULL);
	if (check_text("id", timer->id, 1, NAME_MAX_) != 0)
		return -1;
	if (timer->data.n > EVENT_BYTES_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "timer");
	if (ar_exec(scope,
		    "INSERT INTO bus_timer (id, due_ms, kind, data, attempt, hops) VALUES "
		    "(?, ?, ?, ?, 0, ?) "
		    "ON CONFLICT (id) DO UPDATE SET due_ms = excluded.due_ms, "
		    "kind = excluded.kind, data = excluded.data, attempt = 0, "
		    "hops = excluded.hops",
		    AR_ARGS(AR_J_STR(timer->id), AR_J_INT(timer->due_ms), AR_J_STR(timer->kind),
			    AR_J_STR(timer->data), AR_J_INT(ar_bus_hops())),
		    NULL) != 0)
		return -1;
	return wake_after_commit(scope, false, timer->due_ms);
}

int ar_timer_clear(struct ar_scope *scope, struct ar_str id)
{
	return ar_exec(scope, "DELETE FROM bus_timer WHERE id = ?", AR_ARGS(AR_J_STR(id)), NULL);
}

static AR_YIELDS int put_off(struct ar_scope *scope, const struct ar_timer *timer, int64_t attempt)
{
	return ar_exec(scope,
		       "UPDATE bus_timer SET due_ms = ?, attempt = ? WHERE id = ? AND due_ms = ?",
		       AR_ARGS(AR_J_INT(ar_now_ms() + backoff_ms(NULL, AR_MIN(attempt, 10))),
			       AR_J_INT(attempt), AR_J_STR(timer->id), AR_J_INT(timer->due_ms)),
		       NULL);
}

/* 0: fired, or gone. 1: the handler failed and its writes are undone. -1: the unit is lost. */
static AR_YIELDS int fire(struct worker *w, struct ar_scope *scope, const struct ar_timer *timer)
{
	const struct ar_timer_kind *kind = kind_find(timer->kind);
	int64_t changed = 0;

	if (kind == NULL) {
		ar_warn("bus", "a timer of an unknown kind waits", "kind",
			ar_strz(scope->pool, timer->kind));
		return 1;
	}
	if (ar_savepoint(scope) != 0)
		return -1;
	if (ar_exec(scope, "DELETE FROM bus_timer WHERE id = ? AND due_ms = ?",
		    AR_ARGS(AR_J_STR(timer->id), AR_J_INT(timer->due_ms)), &changed) == 0 &&
	    (changed == 0 || kind->fire(scope, w->database, timer) == 0)) {
		if (changed > 0)
			atomic_fetch_add_explicit(&bus_count.timers_fired, 1, memory_order_relaxed);
		return ar_savepoint_keep(scope);
	}
	ar_log_err(AR_WARN, "bus", "a timer failed and is put off");
	if (ar_savepoint_undo(scope) != 0)
		return -1;
	ar_err_clear();
	return 1;
}

int timers_next(struct ar_scope *scope, int64_t *ret)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows, "SELECT min(due_ms) FROM bus_timer", AR_NO_ARGS) != 0)
		return -1;
	*ret = ar_rows_next(&rows) && !ar_col_null(&rows, 0) ? ar_col_int(&rows, 0) : NEVER;
	return 0;
}

int timers_fire(struct worker *w, struct ar_scope *scope)
{
	int64_t until = ar_mono_us() + TURN_US;
	struct ar_rows rows;

	/* A timer that is set from here on, with an earlier due time, lowers this again. */
	w->timer_due_ms = NEVER;
	if (ar_query(
		    scope, &rows,
		    "SELECT id, due_ms, kind, data, attempt, hops FROM bus_timer WHERE due_ms <= ? "
		    "ORDER BY due_ms, id LIMIT ?",
		    AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_INT(TIMERS_MAX))) != 0)
		return -1;
	while (ar_rows_next(&rows) && ar_mono_us() < until) {
		const struct ar_timer timer = { .id = ar_col_str(&rows, 0),
						.due_ms = ar_col_int(&rows, 1),
						.kind = ar_col_str(&rows, 2),
						.data = ar_col_str(&rows, 3) };
		struct ar_log_context context = { .tenant = w->database,
						  .hops = ar_col_int(&rows, 5) };
		struct ar_log_context *before = ar_log_context_use(&context);
		int rc = fire(w, scope, &timer);

		ar_log_context_use(before);

		if (rc < 0 || (rc > 0 && put_off(scope, &timer, ar_col_int(&rows, 4) + 1) != 0))
			return -1;
	}
	int64_t next;

	if (timers_next(scope, &next) != 0)
		return -1;
	w->timer_due_ms = AR_MIN(w->timer_due_ms, next);
	return 0;
}
