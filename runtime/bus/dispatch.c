/*
 * dispatch.c - new events of the log, handed to those who subscribe.
 *
 * A transactional target runs here, in the turn's unit of work. For all others a row of bus_delivery
 * is written, and jobs take it from there once it is committed. Either way the position moves in
 * the same commit: no event is handed out twice, and none is passed over.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

/* ---- reading ---- */

/* PostgreSQL: up to the first number that may still come. */
static AR_YIELDS int cut_at_gap(struct worker *w, struct ar_scope *scope, struct batch *batch)
{
	int64_t expected = w->position + 1;

	for (size_t i = 0; i < batch->n; i++) {
		bool dead = true;

		if (batch->events[i].event.seq != expected &&
		    gap_is_dead(w, scope, expected, &dead) != 0)
			return -1;
		if (!dead) {
			batch->n = i;
			batch->full = false;
			return 0;
		}
		expected = batch->events[i].event.seq + 1;
	}
	return 0;
}

int batch_read(struct worker *w, struct ar_scope *scope, struct batch *ret)
{
	struct ar_rows rows;
	int rc;

	do {
		rc = ar_query(scope, &rows,
			      "SELECT " EVENT_COLUMNS " FROM bus_event e WHERE e.seq > ? "
			      "ORDER BY e.seq LIMIT ?",
			      AR_ARGS(AR_J_INT(w->position), AR_J_INT((int64_t)w->batch)));
		/* 256 events of 256 KiB are more than one result may be. */
		if (rc != 0 && ar_err_is(AR_E_TOO_LARGE) && w->batch > 1)
			w->batch /= 2;
		else if (rc != 0)
			return -1;
	} while (rc != 0);
	ret->events = ar_new_n(scope->pool, struct event_row, rows.count + 1);
	ret->n = 0;
	while (ar_rows_next(&rows))
		event_read(&rows, 0, &ret->events[ret->n++]);
	ret->full = ret->n == w->batch;
	w->batch = AR_MIN(w->batch * 2, (size_t)BATCH_EVENTS);
	if (ret->n > 0 && ar_db_dialect(w->db) == AR_POSTGRES)
		return cut_at_gap(w, scope, ret);
	return 0;
}

/* ---- matching ---- */

static bool wants(const struct sub *sub, struct ar_pool *pool, struct event_row *row)
{
	const struct ar_json *roots[1];
	const struct ar_expr_env env = { .roots = roots };
	bool result = false;

	if (sub->broken || row->event.seq <= sub->from_seq ||
	    !topic_matches(sub->topics, row->event.topic))
		return false;
	if (sub->condition == NULL)
		return true;
	roots[0] = event_json(pool, row);
	if (ar_expr_test(sub->condition, &env, pool, &result) != 0) {
		/* Only an event that makes a text of over 1 MiB gets here. */
		ar_log_err(AR_ERROR, "bus", "a condition cannot be evaluated: no match");
		ar_err_clear();
		return false;
	}
	return result;
}

/* Also true when it takes long to tell: the turn itself stops between two events. */
bool batch_wanted(struct worker *w, struct ar_pool *pool, struct batch *batch)
{
	int64_t until = ar_mono_us() + TURN_US;

	for (size_t i = 0; i < batch->n; i++) {
		if (ar_mono_us() >= until)
			return true;
		for (size_t k = 0; k < w->subs->n; k++) {
			if (wants(&w->subs->list[k], pool, &batch->events[i]))
				return true;
		}
	}
	return false;
}

/* ---- transactional targets ---- */

int deliver_in_unit(struct worker *w, struct ar_scope *scope, struct sub *sub,
		    struct event_row *row, int64_t attempt, bool *ret_failed,
		    struct failure *failure)
{
	struct ar_delivery delivery = { .pool = scope->pool,
					.database = w->database,
					.db = w->db,
					.event = &row->event,
					.scope = scope,
					.subscription = sub->name,
					.target = sub->target_name,
					.options = sub->options,
					.attempt = (int)attempt };
	struct ar_log_context context = { .trace_id = row->event.trace_id,
					  .tenant = w->database,
					  .hops = row->event.hops + 1 };
	struct ar_log_context *before;
	int rc;

	if (ar_savepoint(scope) != 0)
		return -1;
	event_parse(scope->pool, row);
	before = ar_log_context_use(&context);
	rc = sub->target->deliver(&delivery);
	*ret_failed = rc != 0;
	if (rc != 0) {
		atomic_fetch_add_explicit(&bus_count.failed, 1, memory_order_relaxed);
		failure_take(scope->pool, failure);
		if (failure->outcome == UNCOUNTED) /* nothing here can be cancelled by itself */
			failure->outcome = AGAIN;
	}
	ar_log_context_use(before);
	if (rc != 0)
		return ar_savepoint_undo(scope);
	ar_err_clear();
	atomic_fetch_add_explicit(&bus_count.delivered, 1, memory_order_relaxed);
	return ar_savepoint_keep(scope);
}

static AR_YIELDS int hand_in_unit(struct worker *w, struct ar_scope *scope, struct sub *sub,
				  struct event_row *row)
{
	struct failure failure;
	bool blocked, failed;
	struct delivery_new new = { .seq = row->event.seq,
				    .key = row->event.key,
				    .due_ms = ar_now_ms(),
				    .error = AR_J_NULL,
				    .event = AR_J_NULL };

	if (delivery_blocked(scope, sub, row->event.key, &blocked) != 0)
		return -1;
	if (blocked)
		return delivery_add(scope, sub, &new);
	if (deliver_in_unit(w, scope, sub, row, 1, &failed, &failure) != 0)
		return -1;
	if (!failed)
		return 0;
	if (failure.outcome == DEAD || sub->max_attempts <= 1)
		return dead_add(scope, sub, row, 1, failure.error);
	new.attempt = 1;
	new.due_ms += AR_MAX(backoff_ms(sub->options, 1), failure.retry_after_ms);
	new.error = AR_J_STR(failure.error);
	return delivery_add(scope, sub, &new);
}

/* ---- the turn's part ---- */

static AR_YIELDS int hand_out(struct worker *w, struct ar_scope *scope, struct event_row *row)
{
	for (size_t i = 0; i < w->subs->n; i++) {
		struct sub *sub = &w->subs->list[i];
		int rc;

		if (!wants(sub, scope->pool, row))
			continue;
		if (sub->target != NULL && sub->target->transactional)
			rc = hand_in_unit(w, scope, sub, row);
		else
			rc = delivery_add(scope, sub,
					  &(struct delivery_new){ .seq = row->event.seq,
								  .key = row->event.key,
								  .due_ms = ar_now_ms(),
								  .error = AR_J_NULL,
								  .event = AR_J_NULL });
		if (rc != 0)
			return -1;
	}
	return 0;
}

int dispatch(struct worker *w, struct ar_scope *scope, struct batch *batch)
{
	int64_t until = ar_mono_us() + TURN_US;

	for (size_t i = 0; i < batch->n; i++) {
		if (hand_out(w, scope, &batch->events[i]) != 0)
			return -1;
		pass(w, &batch->events[i]);
		if (i + 1 < batch->n && ar_mono_us() >= until) {
			w->look = true;
			break;
		}
	}
	return 0;
}

/* ---- rows of transactional targets that are due again ---- */

static AR_YIELDS int retry_row(struct worker *w, struct ar_scope *scope, struct sub *sub,
			       const struct ar_rows *rows)
{
	int64_t id = ar_col_int(rows, 0), attempt = ar_col_int(rows, 1) + 1;
	bool failed, ended = true;
	struct failure failure;
	struct event_row row;

	delivery_read(scope->pool, rows, &row);
	if (deliver_in_unit(w, scope, sub, &row, attempt, &failed, &failure) != 0)
		return -1;
	if (failed)
		failed = delivery_fail(scope, sub, id, &row, attempt, &failure, &ended) != 0;
	else
		failed = delivery_end(scope, sub, id, row.event.seq) != 0;
	if (failed)
		return -1;
	return ended ? delivery_promote(scope, sub, row.event.key) : 0;
}

static AR_YIELDS int retry_sub(struct worker *w, struct ar_scope *scope, struct sub *sub)
{
	int64_t now = ar_now_ms(), until = ar_mono_us() + TURN_US;
	struct ar_rows rows;

	do { /* again: the next ones of their keys have become due */
		if (ar_query(scope, &rows,
			     "SELECT " DELIVERY_COLUMNS DELIVERY_FROM
			     "WHERE d.subscription = ? AND "
			     "d.due_ms <= ? ORDER BY d.due_ms, d.id LIMIT ?",
			     AR_ARGS(AR_J_INT(sub->id), AR_J_INT(now), AR_J_INT(BATCH_ROWS))) != 0)
			return -1;
		while (ar_rows_next(&rows)) {
			if (retry_row(w, scope, sub, &rows) != 0)
				return -1;
		}
	} while (rows.count > 0 && ar_mono_us() < until);

	if (ar_query(scope, &rows, "SELECT min(due_ms) FROM bus_delivery WHERE subscription = ?",
		     AR_ARGS(AR_J_INT(sub->id))) != 0)
		return -1;
	sub->next_due_ms =
		ar_rows_next(&rows) && !ar_col_null(&rows, 0) ? ar_col_int(&rows, 0) : NEVER;
	return 0;
}

int retry_due(struct worker *w, struct ar_scope *scope)
{
	for (size_t i = 0; i < w->subs->n; i++) {
		struct sub *sub = &w->subs->list[i];

		if (sub->target != NULL && sub->target->transactional &&
		    sub->next_due_ms <= ar_now_ms() && retry_sub(w, scope, sub) != 0)
			return -1;
	}
	return 0;
}
