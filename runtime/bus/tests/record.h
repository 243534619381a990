/*
 * record.h - targets that keep a record of what they are given and fail when they are told to, for
 * the tests that hold one promise of the bus each.
 */
#ifndef BUS_RECORD_H
#define BUS_RECORD_H

#include "runtime/bus/tests/rig.h"

#define LOG_MAX 8192

struct record {
	char target[16], key[16];
	int64_t n, at_ms;
	int attempt;
};
static struct record record[LOG_MAX];
static int nrecord;
static int running, running_most;
static int64_t fail_n; /* events with this n fail... */
static int fail_times; /* ...so often */
static const struct ar_err_def *fail_with;
static const char *fail_target; /* only there; NULL: everywhere */
static int64_t work_ms;         /* a delivery takes so long */
static const char *retry_after;
static bool untried; /* what fails says so */
static bool unmoved; /* a delivery goes on although it was cancelled */

static inline int take_record(struct ar_delivery *d)
{
	struct record *r = &record[nrecord++];

	CHECK(nrecord < LOG_MAX);
	snprintf(r->target, sizeof(r->target), "%.*s", AR_FMT(d->target));
	snprintf(r->key, sizeof(r->key), "%.*s", AR_FMT(d->event->key));
	r->n = ar_json_number(d->event->data, "n", -1);
	r->at_ms = ar_now_ms();
	r->attempt = d->attempt;
	if (r->n == fail_n && fail_times > 0 &&
	    (fail_target == NULL || strcmp(fail_target, r->target) == 0)) {
		fail_times--;
		d->untried = untried;
		if (retry_after != NULL)
			return ar_fail(fail_with, "retryAfter", retry_after);
		return ar_fail(fail_with, "why", "asked to");
	}
	return 0;
}

static inline int deliver(struct ar_delivery *d)
{
	CHECK(d->scope == NULL);
	CHECK(ar_str_is(d->database, "bus-test"));
	running++;
	running_most = AR_MAX(running_most, running);
	if (unmoved)
		ar_shield(true);
	if (work_ms > 0 && ar_sleep(work_ms) != 0) {
		running--;
		return -1;
	}
	if (unmoved)
		ar_shield(false);
	running--;
	return take_record(d);
}

static inline int deliver_stored(struct ar_delivery *d)
{
	CHECK(d->scope != NULL);
	/* Written first: what fails must leave nothing. */
	if (ar_exec(d->scope, "INSERT INTO effect (n, key) VALUES (?, ?)",
		    AR_ARGS(AR_J_INT(ar_json_number(d->event->data, "n", -1)),
			    AR_J_STR(d->event->key)),
		    NULL) != 0)
		return -1;
	return take_record(d);
}

static const struct ar_bus_target test_target = { "test", NULL, deliver, false };
static const struct ar_bus_target stored_target = { "stored", NULL, deliver_stored, true };
static const struct ar_bus_target builtin_target = { "counter", "count.*", deliver_stored, true };

static int resumes;
static const struct ar_err_def *resume_fails;
static inline int on_start(struct ar_str database)
{
	CHECK(ar_str_is(database, "bus-test"));
	resumes++;
	if (resume_fails != NULL && resumes < 4)
		return ar_fail(resume_fails);
	return 1;
}

static inline void reset(struct rig *rig)
{
	nrecord = running = running_most = fail_times = resumes = 0;
	fail_n = -1;
	resume_fails = NULL;
	fail_with = AR_E_UNAVAILABLE;
	work_ms = 0;
	fail_target = retry_after = NULL;
	untried = unmoved = false;
	rig_exec(rig, "CREATE TABLE effect (n BIGINT NOT NULL, key TEXT NOT NULL)");
}

static inline void subscribe(struct rig *rig, const char *name, const char *topics,
			     const char *condition)
{
	rig_subscribe(rig, &(struct ar_subscription){ .name = ar_str(name),
						      .topics = ar_str(topics),
						      .condition = ar_str(condition),
						      .kind = AR_STR("test"),
						      .target = ar_str(name) });
}

static inline int count_target(const char *target)
{
	int n = 0;

	for (int i = 0; i < nrecord; i++)
		n += strcmp(record[i].target, target) == 0;
	return n;
}

/* The oldest. */
static inline int64_t dead_letter(struct rig *rig)
{
	return rig_count(rig, "SELECT id FROM bus_dead ORDER BY id LIMIT 1");
}

static inline void dead_call(struct rig *rig, int (*fn)(struct ar_scope *scope, int64_t id),
			     int64_t id)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(fn(&scope, id) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

static inline void run(void (*body)(struct rig *rig))
{
	struct rig rig;

	rig_run(&rig, 1, body);
}

static inline void record_register(void)
{
	ar_bus_register(&test_target);
	ar_bus_register(&stored_target);
	ar_bus_register(&builtin_target);
	ar_bus_on_start(on_start);
}

#define TEST(name) TEST_IN(name, run, struct rig *rig)

#endif
