/*
 * worker.c - a tenant's worker: one fiber on its home loop, awake while there is something to do.
 *
 * It works in turns. A turn takes everything that waits (reports of jobs, retries, timers, new
 * events) and does it in one unit of work, together with the position: however much comes, a turn
 * costs one commit. When a turn fails, nothing of it is stored, and what the worker remembers is
 * read again from the database. An event that nobody wants costs no commit: the position is then
 * only remembered, and stored with the next unit, after some hundred, or when the worker ends. A
 * worker that found events stays awake for a while, because starting one costs more than a turn.
 *
 * The state row is locked first and its position compared: a second worker of the same tenant, by
 * whatever mistake, finds that it is late and changes nothing.
 */
#include "bus/bus_int.h"

#include <assert.h>
#include <stdatomic.h>

#define LINGER_MS    2000 /* a worker that found something stays awake for so long */
#define WAIT_MAX_MS  60000
#define PAUSE_MAX_MS 2000         /* after turns that failed */
#define POSITION_LAG BATCH_EVENTS /* events that the stored position may be behind */
#define STOP_MS      10000        /* jobs may go on for so long when the bus stops */

bool (*bus_fault)(const char *point);

bool fault(struct worker *w, const char *point)
{
	if (bus_fault != NULL && !w->crashed && bus_fault(point)) {
		w->crashed = true;
		jobs_cancel(w);
	}
	return w->crashed;
}

void worker_wake(struct worker *w)
{
	ar_cond_signal(&w->wake);
}

struct sub *worker_sub(const struct worker *w, int64_t id)
{
	for (size_t i = 0; i < w->subs->n; i++) {
		if (w->subs->list[i].id == id)
			return &w->subs->list[i];
	}
	return NULL;
}

void pass(struct worker *w, const struct event_row *row)
{
	w->position = row->event.seq;
	w->passed += (int64_t)row->data.n + ROW_SIZE;
}

/* ---- what the worker remembers ---- */

struct state {
	int64_t position, version, log_bytes;
};

static AR_YIELDS int state_read(struct ar_scope *scope, bool lock, struct state *ret)
{
	static const char sql[] = "SELECT position, version, log_bytes FROM bus_state WHERE id = 1";
	struct ar_rows rows;

	if ((lock ? ar_query_lock(scope, &rows, sql, AR_NO_ARGS)
		  : ar_query(scope, &rows, sql, AR_NO_ARGS)) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail_why(AR_E_INTERNAL, "bus_state is empty");
	*ret = (struct state){ ar_col_int(&rows, 0), ar_col_int(&rows, 1), ar_col_int(&rows, 2) };
	return 0;
}

static void count_jobs(struct worker *w)
{
	const struct job *lists[] = { w->running, w->finished };

	for (size_t i = 0; i < AR_COUNT(lists); i++) {
		for (const struct job *job = lists[i]; job != NULL; job = job->next) {
			struct sub *sub = worker_sub(w, job->sub->id);

			if (sub != NULL) {
				sub->jobs++;
				sub->running += i == 0;
			}
		}
	}
}

static AR_YIELDS int subs_reload(struct worker *w, struct ar_scope *scope)
{
	struct subs *subs;

	if (subs_load(scope, &subs) != 0)
		return -1;
	subs_unref(w->subs);
	w->subs = subs;
	count_jobs(w);
	return 0;
}

static bool has_builtin(const struct worker *w)
{
	for (size_t i = 0; target_at(i) != NULL; i++) {
		bool found = target_at(i)->topics == NULL;

		for (size_t k = 0; k < w->subs->n && !found; k++)
			found = w->subs->list[k].target == target_at(i);
		if (!found)
			return false;
	}
	return true;
}

static AR_YIELDS int load_in(struct worker *w, struct ar_scope *scope)
{
	struct state state;
	int64_t next;
	size_t missing = 0;

	/* The version first: a change in between is then seen as one. */
	if (state_read(scope, false, &state) != 0 || subs_reload(w, scope) != 0)
		return -1;
	w->stored = state.position;
	w->version = state.version;
	w->log_bytes = state.log_bytes;
	if (!has_builtin(w)) {
		if (ar_begin(scope) != 0 || subs_add_builtin(scope) != 0 ||
		    subs_reload(w, scope) != 0 || ar_commit(scope) != 0)
			return -1;
	}
	if (daily_missing(scope, &missing) != 0 ||
	    (missing > 0 && (daily_add(scope) != 0 || ar_commit(scope) != 0)))
		return -1;
	w->position = w->stored;
	w->passed = 0;
	/* One that is set while we look lowers it again. */
	w->timer_due_ms = NEVER;
	if (timers_next(scope, &next) != 0)
		return -1;
	w->timer_due_ms = AR_MIN(w->timer_due_ms, next);
	return 0;
}

static AR_YIELDS int load(struct worker *w)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	int rc;

	ar_scope_init(&scope, w->db, pool);
	rc = load_in(w, &scope);
	if (rc != 0)
		ar_rollback(&scope);
	ar_pool_free(pool);
	w->loaded = rc == 0;
	w->look = true;
	return rc;
}

/* ---- a turn ---- */

static AR_YIELDS int turn_in_unit(struct worker *w, struct ar_scope *scope, struct batch *batch)
{
	struct state state;

	if (state_read(scope, true, &state) != 0)
		return -1;
	if (state.position != w->stored)
		return ar_fail_why(AR_E_CONFLICT, "the position was moved by somebody else");
	if (state.version != w->version && subs_reload(w, scope) != 0)
		return -1;
	w->version = state.version;
	if (jobs_report(w, scope) != 0 || retry_due(w, scope) != 0)
		return -1;
	if (w->timer_due_ms <= ar_now_ms() && timers_fire(w, scope) != 0)
		return -1;
	if (dispatch(w, scope, batch) != 0)
		return -1;
	if (w->position != w->stored &&
	    ar_exec(scope,
		    "UPDATE bus_state SET position = ?, log_bytes = log_bytes + ? WHERE id = 1",
		    AR_ARGS(AR_J_INT(w->position), AR_J_INT(w->passed)), NULL) != 0)
		return -1;
	if (fault(w, "before-commit"))
		return -1;
	if (ar_commit(scope) != 0)
		return -1;
	w->stored = w->position;
	w->log_bytes += w->passed;
	w->passed = 0;
	w->worked = true;
	fault(w, "committed");
	return 0;
}

static bool retries_are_due(const struct worker *w)
{
	int64_t now = ar_now_ms();

	for (size_t i = 0; i < w->subs->n; i++) {
		const struct sub *sub = &w->subs->list[i];

		if (sub->target != NULL && sub->target->transactional && sub->next_due_ms <= now)
			return true;
	}
	return false;
}

static AR_YIELDS int turn_in(struct worker *w, struct ar_scope *scope)
{
	struct batch batch = { 0 };
	struct state state = { .version = w->version };
	bool look = w->look, settle = w->settle;

	w->look = w->settle = false;
	w->look_ms = NEVER;
	if (look && (batch_read(w, scope, &batch) != 0 || state_read(scope, false, &state) != 0))
		return -1;
	if (batch.full)
		w->look = true;
	if (state.version != w->version || w->finished != NULL || w->timer_due_ms <= ar_now_ms() ||
	    retries_are_due(w) || batch_wanted(w, scope->pool, &batch))
		return turn_in_unit(w, scope, &batch);
	if (settle && w->position != w->stored)
		return turn_in_unit(w, scope, &batch);
	if (batch.n == 0)
		return 0;
	w->worked = true;
	if (batch.events[batch.n - 1].event.seq - w->stored >= POSITION_LAG)
		return turn_in_unit(w, scope, &batch);
	for (size_t i = 0; i < batch.n; i++)
		pass(w, &batch.events[i]);
	return 0;
}

static AR_YIELDS int turn(struct worker *w)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	int rc;

	ar_scope_init(&scope, w->db, pool);
	rc = turn_in(w, &scope);
	if (rc != 0)
		ar_rollback(&scope);
	ar_pool_free(pool);
	if (rc == 0 && !w->crashed)
		jobs_drop_finished(w, false);
	if (rc == 0 && !w->crashed && !w->stopping)
		rc = jobs_start(w);
	return rc;
}

/* A tenant that is being made publishes before it can be reached: it is not there yet, no more. */
static AR_YIELDS void trouble(struct worker *w)
{
	bool not_there = ar_err() != NULL && ar_err()->def->status == 404;
	int64_t pause = AR_MIN((int64_t)10 << AR_MIN(w->failures, 10u), PAUSE_MAX_MS);

	ar_log_err(not_there ? AR_DEBUG : AR_ERROR, "bus",
		   "a turn of the bus failed; it is tried again");
	ar_err_clear();
	w->loaded = false;
	w->failures++;
	ar_sleep(pause);
	ar_err_clear();
}

/* ---- life ---- */

/* When there is something to do that nobody wakes us for. */
static int64_t next_due(const struct worker *w)
{
	int64_t due = AR_MIN(w->timer_due_ms, w->look_ms);

	for (size_t i = 0; i < w->subs->n && !w->stopping; i++) {
		const struct sub *sub = &w->subs->list[i];

		if (sub->target == NULL)
			continue;
		if (!sub->target->transactional &&
		    (sub->running >= JOBS_PER_SUB || w->njobs >= JOBS_MAX))
			continue; /* a job that ends wakes us */
		due = AR_MIN(due, sub->next_due_ms);
	}
	return due;
}

/* Waits for work. False: there is none, and the worker may end; *ret_due is when there will be. */
static AR_YIELDS bool wait_for_work(struct worker *w, int64_t *ret_due)
{
	bool lingered = !w->worked;

	for (;;) {
		int64_t now = ar_now_ms(), due = next_due(w), pause;

		if (w->look_ms <= now)
			w->look = true;
		if (w->look || w->finished != NULL || due <= now || w->crashed)
			return true;
		pause = AR_MIN(due - now, WAIT_MAX_MS);
		if (w->stopping || (w->njobs == 0 && lingered && pause > LINGER_MS)) {
			w->settle = !w->stopping && w->position != w->stored;
			*ret_due = due;
			return w->settle;
		}
		if (w->njobs == 0)
			pause = AR_MIN(pause, LINGER_MS);
		if (ar_cond_wait_for(&w->wake, pause) == 0)
			continue;
		lingered = pause == LINGER_MS || lingered;
		ar_err_clear();
	}
}

/* Jobs get some time to end; then they are cancelled, and delivered again after the restart. */
static AR_YIELDS void wait_for_jobs(struct worker *w)
{
	int64_t until = ar_mono_ms() + (w->crashed ? 0 : STOP_MS);

	while (w->njobs > 0) {
		int64_t left = until - ar_mono_ms();

		if (left <= 0)
			jobs_cancel(w);
		ar_cond_wait_for(&w->wake, left > 0 ? left : 1000);
		ar_err_clear();
	}
}

static AR_YIELDS int64_t work(struct worker *w)
{
	int64_t due = NEVER;

	while (!w->crashed) {
		if (!w->stopping && bus_resume_one(w->database) != 0) {
			trouble(w);
		} else if (!w->loaded && load(w) != 0) {
			trouble(w);
		} else if (turn(w) != 0 || (!w->crashed && prune(w) != 0)) {
			if (!w->crashed)
				trouble(w);
		} else {
			w->failures = 0;
			if (!w->crashed && !wait_for_work(w, &due))
				break;
		}
		/* A tenant that is being deleted, or a store that is gone, is not tried for ever. */
		if (w->stopping && (w->failures > 3 || w->njobs > 0))
			break;
	}
	return due;
}

static void worker_free(struct worker *w)
{
	jobs_drop_finished(w, true);
	subs_unref(w->subs);
	gap_free(w->gap);
	ar_heap_free((char *)w->database.p);
	ar_heap_free(w);
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct home *home = w->home;
	int64_t due = NEVER;

	if (ar_db_acquire(bus_store(), w->database, &w->db) == 0) {
		due = work(w);
		if (w->crashed) /* another may be started at once, as after a real crash */
			ar_map_remove(home->workers, w->database);
		wait_for_jobs(w);
		if (!w->crashed && w->finished != NULL && (w->loaded || load(w) == 0))
			turn(w); /* their reports; without it they are delivered again */
		ar_db_release(w->db);
	} else if (!ar_err_is(AR_E_NO_DATABASE)) {
		ar_log_err(AR_ERROR, "bus", "a tenant's database cannot be opened");
		due = ar_now_ms() + WAIT_MAX_MS;
	}
	ar_err_clear();
	if (ar_map_get(home->workers, w->database) == w)
		ar_map_remove(home->workers, w->database);
	if (due != NEVER && !w->stopping && !w->crashed)
		home_sleep(home, w->database, due);
	worker_free(w);
	home->nworkers--;
	atomic_fetch_sub_explicit(&bus_count.workers, 1, memory_order_relaxed);
	ar_cond_broadcast(&home->changed);
}

void worker_start(struct home *home, struct ar_str database)
{
	struct worker *w = ar_heap_new(struct worker);

	w->home = home;
	w->database = ar_str_n(ar_heap_strz(database), database.n);
	w->batch = BATCH_EVENTS;
	w->timer_due_ms = w->look_ms = NEVER;
	w->pruned_ms = 0;
	ar_map_set(home->workers, database, w);
	home->nworkers++;
	atomic_fetch_add_explicit(&bus_count.workers, 1, memory_order_relaxed);
	ar_go("bus worker", worker_main, w, AR_NO_DEADLINE);
}
