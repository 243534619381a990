/*
 * dead.c - rows of deliveries: waiting, tried again, given up, brought back.
 *
 * The order of a key is kept by the rows themselves: only the first of a key has a due time, those
 * behind it have none until it ends. A dead letter holds a copy of its event, so the log can be
 * pruned, and comes back at the end of its key's queue.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS  600000
#define RETRY_AFTER_MAX  86400 /* seconds */
#define PARAM_MAX        200   /* bytes of why a letter is dead: of a parameter, */
#define ERROR_MAX        500   /* of all */
#define WAIT_FIRST_MS    500
#define WAIT_LAST_MS     60000

int64_t backoff_ms(const struct ar_json *options, int64_t attempt)
{
	const struct ar_json *list = options != NULL ? ar_json_get(options, "backoff") : NULL;
	int64_t ms = BACKOFF_LAST_MS;

	if (list != NULL && list->type == AR_ARRAY && list->count > 0) {
		const struct ar_json *step = list->first;

		for (int64_t i = 1; i < attempt && step->next != NULL; i++)
			step = step->next;
		ms = step->type == AR_INT && step->i >= 0 && step->i <= RETRY_AFTER_MAX
			     ? step->i * 1000
			     : BACKOFF_LAST_MS;
	} else if (attempt < 11) {
		ms = AR_MIN((int64_t)BACKOFF_FIRST_MS << (attempt - 1), BACKOFF_LAST_MS);
	}
	/* Half of it for sure, the rest by chance: those that failed together come apart. */
	return ms / 2 + (int64_t)ar_random_below((uint64_t)(ms - ms / 2) + 1);
}

void failure_take(struct ar_pool *pool, struct failure *ret)
{
	const struct ar_err *err = ar_err();
	int status = err != NULL ? err->def->status : 500;
	const char *after = err != NULL ? ar_err_param(err, "retryAfter") : NULL;
	int64_t seconds;

	*ret = (struct failure){ .outcome = AGAIN };
	if (status == AR_E_CANCELLED->status)
		ret->outcome = UNCOUNTED;
	else if (status < 500 && status != 408 && status != 409 && status != 425 && status != 429)
		ret->outcome = DEAD;
	if (after != NULL && ar_str_int(ar_str(after), &seconds) && seconds > 0)
		ret->retry_after_ms = AR_MIN(seconds, RETRY_AFTER_MAX) * 1000;
	ret->error = ar_str_dup(pool, ar_str(err != NULL ? err->def->slug : "internal"));
	for (const struct ar_err_param *p = err != NULL ? err->params : NULL; p; p = p->next)
		ret->error = ar_strf(pool, "%.*s %s=%.*s", AR_FMT(ret->error), p->key,
				     AR_FMT(ar_utf8_head(ar_str(p->value), PARAM_MAX)));
	ret->error = ar_utf8_head(ret->error, ERROR_MAX);
	ar_log_err(AR_WARN, "bus", "a delivery failed");
	ar_err_clear();
}

/* ---- rows ---- */

int delivery_add(struct ar_scope *scope, struct sub *sub, const struct delivery_new *row)
{
	int rc;

	if (row->key.n == 0)
		rc = ar_exec(scope,
			     "INSERT INTO bus_delivery (subscription, seq, key, attempt, due_ms, "
			     "error, event) VALUES (?, ?, '', ?, ?, ?, ?)",
			     AR_ARGS(AR_J_INT(sub->id), AR_J_INT(row->seq), AR_J_INT(row->attempt),
				     AR_J_INT(row->due_ms), row->error, row->event),
			     NULL);
	else
		rc = ar_exec(
			scope,
			"INSERT INTO bus_delivery (subscription, seq, key, attempt, due_ms, "
			"error, event) VALUES (?, ?, ?, ?, CASE WHEN EXISTS (SELECT 1 FROM "
			"bus_delivery d WHERE d.subscription = ? AND d.key = ? AND d.key <> '') "
			"THEN NULL ELSE CAST(? AS BIGINT) END, ?, ?)",
			AR_ARGS(AR_J_INT(sub->id), AR_J_INT(row->seq), AR_J_STR(row->key),
				AR_J_INT(row->attempt), AR_J_INT(sub->id), AR_J_STR(row->key),
				AR_J_INT(row->due_ms), row->error, row->event),
			NULL);
	sub->backlog++;
	sub->next_due_ms = AR_MIN(sub->next_due_ms, row->due_ms);
	return rc;
}

int delivery_blocked(struct ar_scope *scope, const struct sub *sub, struct ar_str key, bool *ret)
{
	struct ar_rows rows;

	*ret = false;
	if (sub->backlog == 0 || key.n == 0)
		return 0;
	if (ar_query(scope, &rows,
		     "SELECT 1 FROM bus_delivery WHERE subscription = ? AND key = ? AND key <> '' "
		     "LIMIT 1",
		     AR_ARGS(AR_J_INT(sub->id), AR_J_STR(key))) != 0)
		return -1;
	*ret = rows.count > 0;
	return 0;
}

int delivery_end(struct ar_scope *scope, struct sub *sub, int64_t id, int64_t seq)
{
	int64_t changed = 0;

	/* By seq too: after an unsubscribe, SQLite may have given the id to another row. */
	if (ar_exec(scope, "DELETE FROM bus_delivery WHERE id = ? AND subscription = ? AND seq = ?",
		    AR_ARGS(AR_J_INT(id), AR_J_INT(sub->id), AR_J_INT(seq)), &changed) != 0)
		return -1;
	sub->backlog -= changed;
	return 0;
}

int delivery_promote(struct ar_scope *scope, struct sub *sub, struct ar_str key)
{
	if (key.n == 0)
		return 0;
	sub->next_due_ms = 0;
	return ar_exec(scope,
		       "UPDATE bus_delivery SET due_ms = ? WHERE due_ms IS NULL AND id = "
		       "(SELECT min(d.id) FROM bus_delivery d WHERE d.subscription = ? AND "
		       "d.key = ? AND d.key <> '')",
		       AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_INT(sub->id), AR_J_STR(key)), NULL);
}

int delivery_fail(struct ar_scope *scope, struct sub *sub, int64_t id, struct event_row *row,
		  int64_t attempt, const struct failure *failure, bool *ret_ended)
{
	int64_t pause = AR_MAX(backoff_ms(sub->options, attempt), failure->retry_after_ms);
	int64_t due = ar_now_ms() + pause;

	*ret_ended = failure->outcome == DEAD || attempt >= sub->max_attempts;
	if (*ret_ended) {
		if (dead_add(scope, sub, row, attempt, failure->error) != 0)
			return -1;
		return delivery_end(scope, sub, id, row->event.seq);
	}
	sub->next_due_ms = AR_MIN(sub->next_due_ms, due);
	return ar_exec(scope,
		       "UPDATE bus_delivery SET attempt = ?, due_ms = ?, error = ? "
		       "WHERE id = ? AND subscription = ? AND seq = ?",
		       AR_ARGS(AR_J_INT(attempt), AR_J_INT(due), AR_J_STR(failure->error),
			       AR_J_INT(id), AR_J_INT(sub->id), AR_J_INT(row->event.seq)),
		       NULL);
}

/* The longer it has waited, the longer it waits: a quarter of its age, half a second to a minute. */
static int64_t wait_ms(int64_t age)
{
	int64_t ms = AR_MIN(AR_MAX(age / 4, (int64_t)WAIT_FIRST_MS), (int64_t)WAIT_LAST_MS);

	return ms / 2 + (int64_t)ar_random_below((uint64_t)(ms - ms / 2) + 1);
}

int delivery_wait(struct ar_scope *scope, struct sub *sub, int64_t id, const struct event_row *row,
		  const struct failure *failure)
{
	int64_t now = ar_now_ms();
	int64_t due = now + AR_MAX(wait_ms(now - row->event.time_ms), failure->retry_after_ms);

	sub->next_due_ms = AR_MIN(sub->next_due_ms, due);
	return ar_exec(scope,
		       "UPDATE bus_delivery SET due_ms = ?, error = ? "
		       "WHERE id = ? AND subscription = ? AND seq = ?",
		       AR_ARGS(AR_J_INT(due), AR_J_STR(failure->error), AR_J_INT(id),
			       AR_J_INT(sub->id), AR_J_INT(row->event.seq)),
		       NULL);
}

void delivery_read(struct ar_pool *pool, const struct ar_rows *rows, struct event_row *ret)
{
	event_read(rows, 4, ret);
	ret->event.seq = ar_col_int(rows, 2);
	if (ar_col_null(rows, 3))
		return;
	if (event_from_json(pool, ar_col_str(rows, 3), ret) != 0) {
		ar_log_err(AR_ERROR, "bus", "a redriven event cannot be read");
		ar_err_clear();
	}
}

/* ---- dead letters ---- */

int dead_add(struct ar_scope *scope, const struct sub *sub, struct event_row *row, int64_t attempts,
	     struct ar_str error)
{
	struct ar_str event = ar_json_print(scope->pool, event_json(scope->pool, row));

	if (ar_exec(scope,
		    "INSERT INTO bus_dead (subscription, seq, topic, key, attempts, error, "
		    "time_ms, event) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		    AR_ARGS(AR_J_STR(sub->name), AR_J_INT(row->event.seq),
			    AR_J_STR(row->event.topic), AR_J_STR(row->event.key),
			    AR_J_INT(attempts), AR_J_STR(error), AR_J_INT(ar_now_ms()),
			    AR_J_STR(event)),
		    NULL) != 0 ||
	    dead_came(scope, event) != 0)
		return -1;
	atomic_fetch_add_explicit(&bus_count.dead, 1, memory_order_relaxed);
	return 0;
}

static AR_YIELDS int redrive_row(struct ar_scope *scope, const struct ar_rows *dead)
{
	struct sub sub = { 0 };
	struct ar_rows rows;

	if (ar_query(scope, &rows, "SELECT id FROM bus_subscription WHERE name = ?",
		     AR_ARGS(AR_J_STR(ar_col_str(dead, 0)))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "subscription");
	sub.id = ar_col_int(&rows, 0);
	return delivery_add(scope, &sub,
			    &(struct delivery_new){ .seq = ar_col_int(dead, 1),
						    .key = ar_col_str(dead, 2),
						    .due_ms = ar_now_ms(),
						    .event = AR_J_STR(ar_col_str(dead, 3)) });
}

int ar_bus_redrive(struct ar_scope *scope, int64_t dead_letter)
{
	struct ar_rows rows;

	/* First the lock that the worker takes too, so that "who is first of this key" holds. */
	if (ar_exec(scope, "UPDATE bus_state SET version = version + 1 WHERE id = 1", AR_NO_ARGS,
		    NULL) != 0)
		return -1;
	if (ar_query(scope, &rows,
		     "SELECT subscription, seq, key, event FROM bus_dead WHERE id = ?",
		     AR_ARGS(AR_J_INT(dead_letter))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "dead letter");
	if (redrive_row(scope, &rows) != 0 || dead_goes(scope, dead_letter, NULL) != 0)
		return -1;
	return wake_after_commit(scope, false, 0);
}

int ar_bus_forget(struct ar_scope *scope, int64_t dead_letter)
{
	int64_t changed = 0;

	if (dead_goes(scope, dead_letter, &changed) != 0)
		return -1;
	return changed > 0 ? 0 : ar_fail(AR_E_NOT_FOUND, "what", "dead letter");
}
