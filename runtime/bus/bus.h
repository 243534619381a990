/*
 * bus.h - the durable event log of a tenant, those who react to it, and timers.
 *
 * ar_publish() writes an event in the unit of work of the change that it announces, so a change
 * and its event are stored together or not at all. After the commit the tenant's bus worker (one
 * fiber on the tenant's home loop) hands it to every matching subscription: at least once, in order
 * for events of the same key, in parallel across keys. A delivery that fails is tried again with a
 * jittered back-off; later events of its key wait behind it; after the last attempt it is a dead
 * letter, kept until it is redriven or deleted. Positions are kept in the tenant's database, so a
 * restart resumes where the last commit left off.
 *
 * Effects that only touch the store can be exactly once: a target gets a scope whose commit also
 * moves the position.
 */
#ifndef AR_BUS_H
#define AR_BUS_H

#include "json/json.h"
#include "store/store.h"

struct ar_event {
	int64_t seq;         /* order in the tenant's log */
	struct ar_str id;    /* UUIDv7 */
	struct ar_str topic; /* "data.record.created", "auth.user.created", a tenant's own name */
	struct ar_str key;   /* what keeps its order: a record's id; may be empty */
	int64_t time_ms;
	struct ar_str trace_id;
	int64_t hops; /* events before it, each of which started what published the next */
	struct ar_json *data;
};

extern const struct ar_err_def AR_E_BUS_LOOP[1]; /* 422 bus/loop: topic, max, loop, trace */

/* Takes part in the scope's unit of work (begins it). The payload is printed at once. At most
 * 256 KiB of JSON: AR_E_TOO_LARGE. ret_id may be NULL. AR_E_BUS_LOOP, before anything is written:
 * what runs here was itself started by an event, that one too, and so on, more often than allowed. */
AR_YIELDS int ar_publish(struct ar_scope *scope, const char *topic, struct ar_str key,
			 const struct ar_json *data, struct ar_str *ret_id);
/* The same with a payload that is JSON text already. */
AR_YIELDS int ar_publish_text(struct ar_scope *scope, const char *topic, struct ar_str key,
			      struct ar_str json, struct ar_str *ret_id);

/* How many events led to what runs here: for what is kept and goes on later. Its log context gets
 * them back in `hops` then; deliveries and timers see to that themselves. */
int64_t ar_bus_hops(void);
void ar_bus_hops_max(int64_t max); /* default 16 */

/* ---- reacting ---- */

struct ar_delivery {
	struct ar_pool *pool;
	struct ar_str database; /* the tenant's name */
	struct ar_db *db;
	const struct ar_event *event;
	struct ar_scope *scope; /* of a transactional target, in its unit of work; else NULL */
	struct ar_str subscription, target; /* names; target is what the subscription row says */
	const struct ar_json *options;      /* of the subscription */
	int attempt;                        /* from 1 */
	bool untried; /* set by deliver() with -1: nothing was begun, there was no room for it */
};

/*
 * A kind of target: "function", "workflow", or one of the house's own consumers. deliver() returns
 * 0 when it is done, -1 with an error to be tried again (an error below 500 other than 408, 409,
 * 425 and 429 goes to the dead letters at once; 499, cancelled, does not count as an attempt, nor
 * does what was untried, for a day after the event). A
 * parameter "retryAfter" of the error, in seconds, is the least pause before the next attempt.
 *
 * By default it runs in a fiber of its own, up to 16 at a time for each subscription, and must be
 * idempotent by event id. A transactional one touches nothing but the store, through
 * delivery->scope, in the worker's fiber: its effects commit with the position, exactly once. It
 * neither commits nor rolls back; when it fails, its own writes alone are undone.
 */
struct ar_bus_target {
	const char *kind;
	const char
		*topics; /* a built-in consumer's pattern ("auth.*"); NULL: by subscription rows */
	AR_YIELDS int (*deliver)(struct ar_delivery *delivery);
	bool transactional;
};
void ar_bus_register(const struct ar_bus_target *target); /* at start */

struct ar_subscription {
	struct ar_str name;      /* unique in the tenant */
	struct ar_str topics;    /* "user_registered", "data.record.*", "*"; several: "a.*,b.c" */
	struct ar_str condition; /* an expression on @event; empty: all */
	struct ar_str kind, target;
	struct ar_json
		*options;     /* NULL: none. "backoff": [seconds, ...]: pauses between attempts */
	int64_t max_attempts; /* 0: 10 */
};
/* Inside the scope's unit of work; starts at the events that commit after it. Replaces by name.
 * AR_E_INVALID, or AR_E_EXPR_* for the condition. */
AR_YIELDS int ar_subscribe(struct ar_scope *scope, const struct ar_subscription *subscription);
/* With its deliveries. 0 too when there is none of the name. */
AR_YIELDS int ar_unsubscribe(struct ar_scope *scope, struct ar_str name);
/*
 * What a target gets, all of it: a subscription "KIND.TARGET.0" to "KIND.TARGET.15" for each of the
 * topics, an array of texts. Those that it has already stay as they are and miss no event; those
 * that are not named end.
 */
#define AR_SUBSCRIBE_TOPICS_MAX 16
AR_YIELDS int ar_subscribe_topics(struct ar_scope *scope, struct ar_str kind, struct ar_str target,
				  const struct ar_json *topics);

/* ---- timers ---- */

struct ar_timer {
	struct ar_str id;   /* unique in the tenant: the same id replaces */
	int64_t due_ms;     /* wall clock */
	struct ar_str kind; /* who handles it */
	struct ar_str data; /* JSON text, small */
};
/*
 * Fires at or after due_ms, also after a restart. fire() runs in the worker's unit of work, which has
 * deleted the timer already: it touches only the store, and may set the same id again. When it
 * fails, its writes are undone and the timer comes again after a pause, without end.
 */
struct ar_timer_kind {
	const char *kind;
	AR_YIELDS int (*fire)(struct ar_scope *scope, struct ar_str database,
			      const struct ar_timer *timer);
};
void ar_timer_register(const struct ar_timer_kind *kind);
AR_YIELDS int ar_timer_set(struct ar_scope *scope, const struct ar_timer *timer);
AR_YIELDS int ar_timer_clear(struct ar_scope *scope, struct ar_str id);

/*
 * What is done once a day for each tenant, in the small hours, each tenant at a moment of its own; also
 * for one that nobody uses. run() is like a timer's: in the worker's unit, only the store; what is to
 * be done outside it starts after the commit. *ret_more: a batch was done, come again in a second.
 */
struct ar_bus_daily {
	const char *name;
	AR_YIELDS int (*run)(struct ar_scope *scope, struct ar_str database, bool *ret_more);
};
void ar_bus_daily(const struct ar_bus_daily *daily); /* at start; twice is once */

/* ---- the machine ---- */

extern const struct ar_migration ar_bus_migrations[]; /* of each tenant's database */

/*
 * Something else that must resume after a restart or wakes with the tenant (workflow runs): called
 * on the home loop, in the worker's fiber, when the tenant's bus starts; returns how many it found.
 */
void ar_bus_on_start(AR_YIELDS int (*resume)(struct ar_str database));

/* loops: all event loops, in order; a tenant's home is chosen by its name. */
int ar_bus_start(struct ar_store *store, struct ar_loop *const *loops, int nloops);
/*
 * Looks through all tenants for work left over, a few at a time. list is ar_tenant_list: names (or
 * objects with a "name") after `after`, in order. -1: it failed, or was cancelled.
 */
AR_YIELDS int ar_bus_resume_all(AR_YIELDS int (*list)(struct ar_pool *pool, struct ar_str after,
						      int limit, struct ar_json **ret));
/* On each loop, when none of them is in ar_bus_close: workers end after the delivery at hand. */
AR_YIELDS void ar_bus_stop(void);
/* Ends the tenant's worker and waits for it, so that its database can be dropped. Any loop. */
AR_YIELDS void ar_bus_close(struct ar_str database);
/* What is kept of each tenant: delivered events for so long, and the newest of so many bytes; the
 * newest dead letters of so many bytes. Default: 7 days, 1 GiB, 256 MiB. */
struct ar_bus_retain {
	int64_t log_ms, log_bytes, dead_bytes;
};
void ar_bus_retain(const struct ar_bus_retain *retain);
struct ar_loop *ar_bus_home(struct ar_str database);
/* Runs fn(arg) in a new fiber on the tenant's home loop. Any loop. */
void ar_bus_go_home(struct ar_str database, void (*fn)(void *arg), void *arg);
/* There may be work for the tenant's worker: after a commit, any loop. Cheap when it is awake. */
void ar_bus_wake(struct ar_str database);

/* ---- looking in: for actions ---- */

/* AR_E_NOT_FOUND: no such dead letter, or nobody subscribes under its name any more. */
AR_YIELDS int ar_bus_redrive(struct ar_scope *scope, int64_t dead_letter);
AR_YIELDS int ar_bus_forget(struct ar_scope *scope, int64_t dead_letter);

struct ar_bus_stats {
	uint64_t published, delivered, failed, dead, loops, timers_fired, workers;
};
void ar_bus_stats(struct ar_bus_stats *ret);

#endif
