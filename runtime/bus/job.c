/*
 * job.c - a delivery that may wait: a fiber of its own, and its report to the worker.
 *
 * A job takes the first waiting row of a key, delivers it, and goes on with the next of the same
 * key, up to a limit, before it reports: so a busy key does not need a commit for each event. What
 * it reports is written in the worker's next unit of work. Until then its key is its own: rows are
 * picked by the worker alone, and never while a job has them.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

#define DELIVERY_MS (15 * 60 * 1000)      /* the longest that one delivery may take */
#define UNTRIED_MS  (24 * 60 * 60 * 1000) /* after the event: from then on it counts */

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- in the job's fiber ---- */

static void job_unlink(struct job *job)
{
	struct worker *w = job->worker;
	struct sub *sub = worker_sub(w, job->sub->id); /* they may have been read again meanwhile */

	if (sub != NULL)
		sub->running--;
	w->njobs--;
	DL_DELETE(w->running, job);
}

static void job_free(struct job *job)
{
	subs_unref(job->subs);
	ar_pool_free(job->pool); /* holds the job itself */
}

static AR_YIELDS void deliver_one(struct job *job)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_delivery delivery = { .pool = pool,
					.database = job->worker->database,
					.db = job->worker->db,
					.event = &job->row.event,
					.subscription = job->sub->name,
					.target = job->sub->target_name,
					.options = job->sub->options,
					.attempt = (int)job->attempt + 1 };
	struct ar_log_context context = { .trace_id = job->row.event.trace_id,
					  .tenant = job->worker->database,
					  .hops = job->row.event.hops + 1 };
	struct ar_log_context *before = ar_log_context_use(&context);
	int64_t deadline = ar_deadline_set(ar_mono_ms() + DELIVERY_MS);

	event_parse(pool, &job->row);
	if (job->sub->target->deliver(&delivery) == 0) {
		job->failure.outcome = DONE;
		ar_err_clear();
	} else {
		failure_take(job->pool, &job->failure);
		if (delivery.untried && ar_now_ms() - job->row.event.time_ms < UNTRIED_MS)
			job->failure.outcome = UNTRIED;
	}
	ar_deadline_set(deadline);
	ar_log_context_use(before);
	job->row.parsed = false; /* what was parsed goes with the pool */
	job->row.json = NULL;
	ar_pool_free(pool);
}

/* The next row of the key, as of the last commit. False: none, or the read failed. */
static AR_YIELDS bool next_of_key(struct job *job)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, job->worker->db, job->pool);
	if (ar_query(&scope, &rows,
		     "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.subscription = ? AND "
		     "d.key = ? AND d.key <> '' AND d.id > ? ORDER BY d.id LIMIT 1",
		     AR_ARGS(AR_J_INT(job->sub->id), AR_J_STR(job->row.event.key),
			     AR_J_INT(job->id))) != 0) {
		ar_err_clear();
		return false;
	}
	if (!ar_rows_next(&rows))
		return false;
	job->id = ar_col_int(&rows, 0);
	job->attempt = ar_col_int(&rows, 1);
	delivery_read(job->pool, &rows, &job->row);
	return true;
}

static void job_run(void *arg)
{
	struct job *job = arg;
	struct worker *w = job->worker;

	for (;;) {
		deliver_one(job);
		if (fault(w, "delivered") || job->failure.outcome != DONE)
			break;
		job->done[job->ndone].id = job->id;
		job->done[job->ndone++].seq = job->row.event.seq;
		if (job->row.event.key.n == 0 || job->ndone == CHAIN_MAX || w->stopping ||
		    !next_of_key(job) || w->crashed)
			break;
	}
	job_unlink(job);
	if (w->crashed) {
		job_free(job);
	} else {
		job->fiber = NULL;
		job->next = w->finished;
		w->finished = job;
	}
	worker_wake(w);
}

void jobs_cancel(struct worker *w)
{
	struct job *next;

	for (struct job *job = w->running; job != NULL; job = next) {
		next = job->next;
		if (job->fiber != NULL)
			ar_cancel(job->fiber);
	}
}

/* ---- in the worker's fiber ---- */

static AR_YIELDS int report(struct worker *w, struct ar_scope *scope, struct job *job)
{
	struct sub *sub = worker_sub(w, job->sub->id);
	struct event_row row =
		job->row; /* what is parsed goes with the turn, the job may outlive it */
	bool ended = false;

	if (sub == NULL) /* nobody subscribes any more, and its rows are gone */
		return 0;
	for (size_t i = 0; i < job->ndone; i++) {
		if (delivery_end(scope, sub, job->done[i].id, job->done[i].seq) != 0)
			return -1;
	}
	if (job->failure.outcome == UNCOUNTED) {
		sub->next_due_ms = 0;
	} else if (job->failure.outcome == UNTRIED) {
		if (delivery_wait(scope, sub, job->id, &row, &job->failure) != 0)
			return -1;
	} else if (job->failure.outcome != DONE) {
		if (delivery_fail(scope, sub, job->id, &row, job->attempt + 1, &job->failure,
				  &ended) != 0)
			return -1;
	}
	/* When the first of the key is gone, another is first: also one that was not counted. */
	if (ended || job->ndone > 0)
		return delivery_promote(scope, sub, row.event.key);
	return 0;
}

int jobs_report(struct worker *w, struct ar_scope *scope)
{
	for (struct job *job = w->finished; job != NULL; job = job->next)
		job->reported = false; /* a turn before this one may have failed */
	for (struct job *job = w->finished; job != NULL; job = job->next) {
		if (report(w, scope, job) != 0)
			return -1;
		job->reported = true;
	}
	return 0;
}

void jobs_drop_finished(struct worker *w, bool all)
{
	struct job **at = &w->finished;

	while (*at != NULL) {
		struct job *job = *at;
		struct sub *sub = w->subs != NULL ? worker_sub(w, job->sub->id) : NULL;

		if (!job->reported && !all) { /* it ended while the others were being stored */
			at = &job->next;
			continue;
		}
		*at = job->next;
		if (sub != NULL)
			sub->jobs--;
		count(&bus_count.delivered, job->ndone);
		if (job->failure.outcome == AGAIN || job->failure.outcome == DEAD)
			count(&bus_count.failed, 1);
		job_free(job);
	}
}

static bool has_job(const struct worker *w, int64_t sub, int64_t id)
{
	const struct job *lists[] = { w->running, w->finished };

	for (size_t i = 0; i < AR_COUNT(lists); i++) {
		for (const struct job *job = lists[i]; job != NULL; job = job->next) {
			if (job->sub->id != sub)
				continue;
			if (job->id == id)
				return true;
			for (size_t k = 0; k < job->ndone; k++) {
				if (job->done[k].id == id)
					return true;
			}
		}
	}
	return false;
}

static void job_start(struct worker *w, struct sub *sub, const struct ar_rows *rows)
{
	struct ar_pool *pool = ar_pool_new();
	struct job *job = ar_new(pool, struct job);
	struct event_row *row = &job->row;

	*job = (struct job){ .worker = w, .pool = pool, .subs = w->subs, .sub = sub };
	job->id = ar_col_int(rows, 0);
	job->attempt = ar_col_int(rows, 1);
	delivery_read(pool, rows, row);
	row->event.id = ar_str_dup(pool, row->event.id); /* the rows' pool ends before the job */
	row->event.topic = ar_str_dup(pool, row->event.topic);
	row->event.key = ar_str_dup(pool, row->event.key);
	row->event.trace_id = ar_str_dup(pool, row->event.trace_id);
	row->data = ar_str_dup(pool, row->data);
	w->subs->refs++;
	sub->jobs++;
	sub->running++;
	w->njobs++;
	DL_PREPEND(w->running, job);
	/* NULL when it has ended already: then it has reported too, or is free. */
	struct ar_fiber *fiber = ar_go("bus delivery", job_run, job, AR_NO_DEADLINE);

	if (fiber != NULL)
		job->fiber = fiber;
}

static AR_YIELDS int next_due(struct ar_scope *scope, struct sub *sub, int64_t now)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT min(due_ms) FROM bus_delivery WHERE subscription = ? AND due_ms > ?",
		     AR_ARGS(AR_J_INT(sub->id), AR_J_INT(now))) != 0)
		return -1;
	sub->next_due_ms =
		ar_rows_next(&rows) && !ar_col_null(&rows, 0) ? ar_col_int(&rows, 0) : NEVER;
	return 0;
}

static AR_YIELDS int start_of_sub(struct worker *w, struct ar_scope *scope, struct sub *sub)
{
	unsigned free = AR_MIN(JOBS_PER_SUB - sub->running, JOBS_MAX - w->njobs);
	int64_t now = ar_now_ms(), limit = free * PICK_FACTOR + sub->jobs;
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.subscription = ? AND "
		     "d.due_ms <= ? ORDER BY d.due_ms, d.id LIMIT ?",
		     AR_ARGS(AR_J_INT(sub->id), AR_J_INT(now), AR_J_INT(limit))) != 0)
		return -1;
	if ((int64_t)rows.count < limit && next_due(scope, sub, now) != 0)
		return -1;
	while (sub->running < JOBS_PER_SUB && w->njobs < JOBS_MAX && !w->crashed &&
	       ar_rows_next(&rows)) {
		if (!has_job(w, sub->id, ar_col_int(&rows, 0)))
			job_start(w, sub, &rows);
	}
	if (rows.at < rows.count)
		sub->next_due_ms = AR_MIN(sub->next_due_ms, now); /* one that was left is due */
	return 0;
}

int jobs_start(struct worker *w)
{
	struct ar_pool *pool = NULL;
	struct ar_scope scope;
	int rc = 0;

	for (size_t i = 0; i < w->subs->n && rc == 0 && !w->crashed; i++) {
		struct sub *sub = &w->subs->list[i];

		if (sub->target == NULL || sub->target->transactional ||
		    sub->next_due_ms > ar_now_ms() || sub->running >= JOBS_PER_SUB ||
		    w->njobs >= JOBS_MAX)
			continue;
		if (pool == NULL)
			pool = ar_pool_new();
		ar_scope_init(&scope, w->db, pool);
		rc = start_of_sub(w, &scope, sub);
	}
	if (pool != NULL)
		ar_pool_free(pool);
	return rc;
}
