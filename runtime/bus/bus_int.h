/*
 * bus_int.h - the parts of the bus: homes, the worker and its turns, jobs.
 *
 * home.c     one struct home per loop: which workers are awake there, wakes between loops
 * worker.c   a tenant's worker: its life, and the turn that does everything in one unit of work
 * dispatch.c new events of the log handed to subscriptions; subscriptions.c: who they are
 * job.c      one delivery in a fiber of its own, and what came of it
 * timer.c    timers that are due; publish.c, subscribe.c, dead.c: what callers use
 * gap.c      PostgreSQL only: numbers of the log that are not there yet
 *
 * Everything of a worker is touched on its home loop only.
 */
#ifndef AR_BUS_INT_H
#define AR_BUS_INT_H

#include "bus/bus.h"
#include "expr/expr.h"
#include "fiber/fiber.h"

#define EVENT_BYTES_MAX (256 << 10)
#define TOPIC_MAX       200
#define NAME_MAX_       200 /* of subscriptions, timers, targets; bytes */
#define KEY_MAX         512
#define BATCH_EVENTS    256   /* read from the log in one turn */
#define BATCH_ROWS      256   /* other rows taken in one turn */
#define TURN_US         20000 /* a unit of work is ended after this, so that others get the lease */
#define PICK_FACTOR     4     /* rows read for each free place: most jobs may end at once */
#define JOBS_PER_SUB    16
#define JOBS_MAX        256 /* of one tenant */
#define CHAIN_MAX       32  /* events of one key that a job delivers before it reports */
#define NEVER           INT64_MAX

/* ---- who gets what ---- */

struct sub {
	int64_t id;
	struct ar_str name, topics, kind, target_name;
	const struct ar_bus_target
		*target;           /* NULL: this program has no such kind; its events wait */
	struct ar_expr *condition; /* NULL: all */
	bool broken;               /* the condition can no longer be read: nothing matches */
	struct ar_json *options;
	int64_t max_attempts;
	int64_t from_seq;    /* events above it */
	int64_t backlog;     /* rows in bus_delivery */
	int64_t next_due_ms; /* nothing of it is due before; NEVER: nothing is waiting */
	unsigned running;    /* jobs */
	unsigned jobs;       /* and those that wait to be reported: their rows are still there */
};

struct subs { /* shared by the worker and its jobs */
	struct ar_pool *pool;
	unsigned refs;
	struct sub *list;
	size_t n;
};
AR_YIELDS int subs_load(struct ar_scope *scope, struct subs **ret);
/* Adds rows for built-in consumers that have none. Begins the unit when there is something to do. */
AR_YIELDS int subs_add_builtin(struct ar_scope *scope);
void subs_unref(struct subs *subs);
bool topic_matches(struct ar_str patterns, struct ar_str topic);
struct ar_expr *condition_compile(struct ar_pool *pool, struct ar_str text); /* NULL: an error */
const struct ar_bus_target *target_find(struct ar_str kind);
const struct ar_bus_target *target_at(size_t i); /* NULL after the last */

/* ---- events ---- */

#define EVENT_COLUMNS "e.seq, e.id, e.topic, e.key, e.time_ms, e.trace_id, e.data, e.hops"
/* From EVENT_COLUMNS, the first of which is `column`. data is not parsed yet. */
struct event_row {
	struct ar_event event;
	struct ar_str data;
	bool parsed;
	struct ar_json *json; /* as @event; made on demand */
};
void event_read(const struct ar_rows *rows, size_t column, struct event_row *ret);
void event_parse(struct ar_pool *pool, struct event_row *row);
struct ar_json *event_json(struct ar_pool *pool, struct event_row *row);
/* The other way, from a dead letter; seq is left alone. */
int event_from_json(struct ar_pool *pool, struct ar_str text, struct event_row *ret);
int check_text(const char *field, struct ar_str s, size_t min, size_t max);

/* ---- what is done once a day (daily.c) ---- */

AR_YIELDS int daily_missing(struct ar_scope *scope, size_t *ret);
AR_YIELDS int daily_add(struct ar_scope *scope); /* begins the unit when one is missing */

/* ---- events that start each other (loop.c) ---- */

bool hops_too_many(int64_t hops);
/* AR_E_BUS_LOOP for the event that would be one more. */
AR_YIELDS int loop_refuse(struct ar_scope *scope, struct ar_str topic,
			  const struct ar_log_context *context);

/* ---- what came of a delivery ---- */

enum outcome { DONE, AGAIN, DEAD, UNCOUNTED, UNTRIED };

struct failure {
	enum outcome outcome;
	int64_t retry_after_ms;
	struct ar_str error; /* in the pool */
};
/* Reads and clears the current error stack. */
void failure_take(struct ar_pool *pool, struct failure *ret);
int64_t backoff_ms(const struct ar_json *options, int64_t attempt);

/* ---- a delivery in its own fiber ---- */

struct worker;

struct job {
	struct worker *worker;
	struct job *prev, *next; /* in worker->running, then in worker->finished */
	struct ar_pool *pool;
	struct subs *subs;
	struct sub *sub;
	struct ar_fiber *fiber;
	struct event_row row;
	int64_t id;      /* of the row of bus_delivery */
	int64_t attempt; /* made before */
	struct {
		int64_t id, seq;
	} done[CHAIN_MAX]; /* delivered; then maybe one that failed */
	size_t ndone;
	bool reported; /* in the unit of work at hand, or the one just stored */
	struct failure failure;
};

/* ---- the worker ---- */

struct worker {
	struct home *home;
	struct ar_str database; /* heap */
	struct ar_db *db;
	struct ar_fiber *fiber;
	struct ar_cond wake;
	bool look;     /* there may be new events */
	bool stopping; /* no new work; ends when the jobs have ended */
	bool crashed;  /* tests: ends here and now, as if killed; its jobs report to nobody */
	bool loaded;   /* the rest is as the database says */
	struct subs *subs;
	int64_t position, stored, version; /* stored: what bus_state says */
	int64_t log_bytes, passed;         /* of the log up to stored; from there to position */
	int64_t timer_due_ms;              /* no timer is due before */
	int64_t look_ms;                   /* look at the log again then; NEVER: only when woken */
	int64_t pruned_at;                 /* position at the last pruning */
	int64_t pruned_ms;
	bool stuck;        /* the last pruning found nothing that may go */
	unsigned failures; /* turns in a row */
	bool worked;       /* found events or had a unit of work of its own: may have more soon */
	bool settle;       /* about to end: stores the position first */
	size_t batch;      /* events to read next: smaller after trouble */
	struct gap *gap;
	struct job *running, *finished;
	unsigned njobs;
};
void worker_start(struct home *home, struct ar_str database);
void worker_wake(struct worker *w);
void pass(struct worker *w, const struct event_row *row); /* the position moves there */
struct sub *worker_sub(const struct worker *w, int64_t id);

/* New events of the log, as far as they are complete, and what becomes of them. */
struct batch {
	struct event_row *events;
	size_t n;
	bool full; /* there may be more */
};
AR_YIELDS int batch_read(struct worker *w, struct ar_scope *scope, struct batch *ret);
bool batch_wanted(struct worker *w, struct ar_pool *pool, struct batch *batch);
/* The rest of a turn, in its unit of work. Stops early, with w->look set, when time is up. */
AR_YIELDS int dispatch(struct worker *w, struct ar_scope *scope, struct batch *batch);
AR_YIELDS int retry_due(struct worker *w, struct ar_scope *scope); /* of transactional targets */
AR_YIELDS int jobs_report(struct worker *w, struct ar_scope *scope);
AR_YIELDS int timers_fire(struct worker *w, struct ar_scope *scope);
AR_YIELDS int timers_next(struct ar_scope *scope, int64_t *ret);
/* Runs a transactional target's deliver() between savepoints. *ret_failed: it failed, in *failure. */
AR_YIELDS int deliver_in_unit(struct worker *w, struct ar_scope *scope, struct sub *sub,
			      struct event_row *row, int64_t attempt, bool *ret_failed,
			      struct failure *failure);

/* After the commit, or outside of units. */
AR_YIELDS int jobs_start(struct worker *w);
/* Those whose report is stored; or all. */
void jobs_drop_finished(struct worker *w, bool all);
void jobs_cancel(struct worker *w);

/* ---- prune.c: what is kept stays bounded ---- */

/* The other columns of a row that has an event, and its places in indexes, about. */
#define ROW_SIZE 200

AR_YIELDS int prune(struct worker *w);
/* In the unit that adds a dead letter, and the one that takes it away. Both lock the state row. */
AR_YIELDS int dead_came(struct ar_scope *scope, struct ar_str event);
AR_YIELDS int dead_goes(struct ar_scope *scope, int64_t id, int64_t *ret_gone);

/*
 * Rows of bus_delivery, all in the unit of work. One with a key that has earlier rows waits behind
 * them (due_ms NULL), else it is due at due_ms.
 */
struct delivery_new {
	int64_t seq, attempt, due_ms;
	struct ar_str key;
	struct ar_json error, event; /* AR_J_NULL or text */
};
AR_YIELDS int delivery_add(struct ar_scope *scope, struct sub *sub, const struct delivery_new *row);
AR_YIELDS int delivery_blocked(struct ar_scope *scope, const struct sub *sub, struct ar_str key,
			       bool *ret);
AR_YIELDS int delivery_end(struct ar_scope *scope, struct sub *sub, int64_t id, int64_t seq);
/* The first of its key is due now. */
AR_YIELDS int delivery_promote(struct ar_scope *scope, struct sub *sub, struct ar_str key);
/* The row failed: due again later, or moved to the dead letters (then *ret_ended). attempt: the
 * one that failed, from 1. */
AR_YIELDS int delivery_fail(struct ar_scope *scope, struct sub *sub, int64_t id,
			    struct event_row *row, int64_t attempt, const struct failure *failure,
			    bool *ret_ended);
/* The row was not tried: due again later, as often as before. */
AR_YIELDS int delivery_wait(struct ar_scope *scope, struct sub *sub, int64_t id,
			    const struct event_row *row, const struct failure *failure);
AR_YIELDS int dead_add(struct ar_scope *scope, const struct sub *sub, struct event_row *row,
		       int64_t attempts, struct ar_str error);
/* Columns of a due row: id, attempt, seq, event, then EVENT_COLUMNS. */
#define DELIVERY_COLUMNS "d.id, d.attempt, d.seq, d.event, " EVENT_COLUMNS
#define DELIVERY_FROM    " FROM bus_delivery d LEFT JOIN bus_event e ON e.seq = d.seq "
void delivery_read(struct ar_pool *pool, const struct ar_rows *rows, struct event_row *ret);

/* ---- gaps in the log (PostgreSQL) ---- */

/* A read of the log that has ended did not show the number `from`. *ret: it will never come. Else
 * w->look_ms says when to read again. */
AR_YIELDS int gap_is_dead(struct worker *w, struct ar_scope *scope, int64_t from, bool *ret);
void gap_free(struct gap *gap);

/* ---- homes ---- */

struct home {
	struct ar_loop *loop;
	struct ar_map *workers; /* by database */
	unsigned nworkers; /* whose fibers have not ended; those that crashed are not in the map */
	struct ar_map *resumed; /* databases whose on_start calls were made */
	struct ar_cond changed; /* a worker ended */
	bool stopping;
	struct ar_map *sleeps; /* database: struct sleep, the earliest of it in the heap */
	struct sleep **heap;   /* by due time */
	size_t nheap, heap_cap;
	struct ar_cond heap_changed;
	struct ar_fiber *clock;
};
struct home *home_of(struct ar_str database);
/* The tenant has nothing to do before due_ms (wall clock): its worker ends and comes back then. */
void home_sleep(struct home *home, struct ar_str database, int64_t due_ms);
/* look: there may be new events. due_ms: a timer was set for then (NEVER: none). Any thread. */
void bus_wake(struct ar_str database, bool look, int64_t due_ms);
AR_YIELDS int bus_resume_one(struct ar_str database); /* the on_start calls */
struct ar_store *bus_store(void);
/* Registers a wake for when the scope's unit is committed. */
int wake_after_commit(struct ar_scope *scope, bool look, int64_t due_ms);

extern struct bus_counters {
	_Atomic uint64_t published, delivered, failed, dead, loops, timers_fired, workers;
} bus_count;

/* Tests only: asked at each named point; true kills the worker there, as a crash would. */
extern bool (*bus_fault)(const char *point);
bool fault(struct worker *w, const char *point);

#endif
