/*
 * bus.c - what the bus promises, one promise a test: who gets what, in which order, how often, and
 * what happens to what fails. random.c holds the same promises under random schedules.
 */
#include "runtime/bus/tests/rig.h"

#include <sys/mman.h>

/* ---- a target that keeps a record ---- */

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

static int take_record(struct ar_delivery *d)
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

static int deliver(struct ar_delivery *d)
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

static int deliver_stored(struct ar_delivery *d)
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
static int on_start(struct ar_str database)
{
	CHECK(ar_str_is(database, "bus-test"));
	resumes++;
	if (resume_fails != NULL && resumes < 4)
		return ar_fail(resume_fails);
	return 1;
}

static void reset(struct rig *rig)
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

static void subscribe(struct rig *rig, const char *name, const char *topics, const char *condition)
{
	rig_subscribe(rig, &(struct ar_subscription){ .name = ar_str(name),
						      .topics = ar_str(topics),
						      .condition = ar_str(condition),
						      .kind = AR_STR("test"),
						      .target = ar_str(name) });
}

static int count_target(const char *target)
{
	int n = 0;

	for (int i = 0; i < nrecord; i++)
		n += strcmp(record[i].target, target) == 0;
	return n;
}

static void run(void (*body)(struct rig *rig))
{
	struct rig rig;

	rig_run(&rig, 1, body);
}

#define TEST(name) TEST_IN(name, run, struct rig *rig)

/* ---- who gets what ---- */

TEST(matches_topics_and_conditions)
{
	reset(rig);
	subscribe(rig, "exact", "user.created", "");
	subscribe(rig, "branch", "user.*", "");
	subscribe(rig, "all", "*", "");
	subscribe(rig, "two", "a.b, user.gone", "");
	subscribe(rig, "some", "user.*", "@event.data.n > 2 && @event.topic = 'user.created'");
	rig_publish(rig, "user.created", "k", 1);
	rig_publish(rig, "user.created.twice", "k", 2);
	rig_publish(rig, "user.created", "k", 3);
	rig_publish(rig, "user.gone", "k", 4);
	rig_publish(rig, "users", "k", 5);
	rig_sleep(100);
	CHECK_INT(count_target("exact"), 2);
	CHECK_INT(count_target("branch"), 4);
	CHECK_INT(count_target("all"), 5);
	CHECK_INT(count_target("two"), 1);
	CHECK_INT(count_target("some"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
	CHECK_INT(rig_count(rig, "SELECT position FROM bus_state"), 5);
}

TEST(starts_after_the_subscription)
{
	reset(rig);
	rig_publish(rig, "t", "k", 1);
	subscribe(rig, "late", "t", "");
	rig_publish(rig, "t", "k", 2);
	rig_sleep(100);
	CHECK_INT(nrecord, 1);
	CHECK_INT(record[0].n, 2);
	/* Replaced by name: not twice, and from here on by the new row. */
	subscribe(rig, "late", "u", "");
	rig_publish(rig, "t", "k", 3);
	rig_publish(rig, "u", "k", 4);
	rig_sleep(100);
	CHECK_INT(nrecord, 2);
	CHECK_INT(record[1].n, 4);
}

static void subscribe_topics(struct rig *rig, const char *topics, int meanwhile)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *array, *data = ar_json_new(pool, AR_OBJECT);
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_json_parse(pool, ar_str(topics), &ar_json_limits_default, &array) == 0);
	ar_json_set(data, AR_STR("n"), ar_json_int(pool, meanwhile));
	if (meanwhile > 0)
		CHECK(ar_publish(&scope, "t", AR_STR("k"), data, NULL) == 0);
	CHECK(ar_subscribe_topics(&scope, AR_STR("test"), AR_STR("all"), array) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

/* A topic that stays misses nothing, wherever it stands in the list; one named twice counts once. */
TEST(gives_a_target_its_topics)
{
	reset(rig);
	subscribe(rig, "all", "other", ""); /* the tenant's own, of the same target */
	subscribe_topics(rig, "[\"gone\",\"t\",\"more\",\"t\"]", 0);
	CHECK_INT(rig_count(rig,
			    "SELECT count(*) FROM bus_subscription WHERE name LIKE 'test.all.%'"),
		  3);
	rig_publish(rig, "t", "k", 1);
	rig_publish(rig, "gone", "k", 2);
	rig_sleep(100);
	CHECK_INT(nrecord, 2);
	subscribe_topics(rig, "[\"t\",\"new\"]", 3);
	rig_publish(rig, "gone", "k", 4);
	rig_publish(rig, "new", "k", 5);
	rig_publish(rig, "other", "k", 6);
	rig_sleep(100);
	CHECK_INT(nrecord, 5); /* in any order: they are of several subscriptions */
	CHECK_INT(record[2].n + record[3].n + record[4].n, 3 + 5 + 6);
	subscribe_topics(rig, "[]", 0);
	CHECK_INT(rig_count(rig,
			    "SELECT count(*) FROM bus_subscription WHERE name LIKE 'test.all.%'"),
		  0);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_subscription WHERE name = 'all'"), 1);
}

TEST(refuses_bad_input)
{
	static const struct {
		const char *topics, *condition, *kind;
	} bad[] = {
		{ "", "", "test" },       { "a*", "", "test" },          { "a.*.b", "", "test" },
		{ ".*", "", "test" },     { "a,,b", "", "test" },        { "a", "", "nobody" },
		{ "a", "", "counter" },   { "a", "@event.x >", "test" }, { "a", "x = 1", "test" },
		{ "a", "1 + 1", "test" },
	};
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_str big = { ar_alloc(pool, 300000), 300000 };
	struct ar_json *data;

	reset(rig);
	ar_scope_init(&scope, rig->db, pool);
	for (size_t i = 0; i < AR_COUNT(bad); i++) {
		const struct ar_subscription s = { .name = AR_STR("x"),
						   .topics = ar_str(bad[i].topics),
						   .condition = ar_str(bad[i].condition),
						   .kind = ar_str(bad[i].kind) };

		CHECK(ar_subscribe(&scope, &s) == -1);
		CHECK(ar_err()->def->status == 422 || ar_err()->def->status == 400);
	}
	CHECK(ar_unsubscribe(&scope, AR_STR("nobody")) == 0);
	CHECK_FAILS(ar_bus_redrive(&scope, 5), AR_E_NOT_FOUND);
	CHECK_FAILS(ar_bus_forget(&scope, 5), AR_E_NOT_FOUND);
	memset((char *)big.p, 'x', big.n);
	data = ar_json_str(pool, big);
	CHECK_FAILS(ar_publish(&scope, "t", AR_STR("k"), data, NULL), AR_E_TOO_LARGE);
	CHECK_FAILS(ar_publish(&scope, "t", big, NULL, NULL), AR_E_INVALID);
	CHECK_FAILS(ar_publish(&scope, "", AR_STR("k"), NULL, NULL), AR_E_INVALID);
	CHECK_FAILS(ar_publish(&scope, "t", AR_STR("a\0b"), NULL, NULL), AR_E_INVALID);
	ar_rollback(&scope);
	ar_pool_free(pool);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_subscription WHERE builtin = 0"), 0);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_event"), 0);
}

TEST(rolled_back_is_not_published)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	reset(rig);
	subscribe(rig, "s", "*", "");
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_publish(&scope, "t", AR_STR("k"), NULL, NULL) == 0);
	ar_rollback(&scope);
	rig_publish(rig, "t", "k", 2); /* after a number that will never come */
	rig_sleep(200);
	CHECK_INT(nrecord, 1);
	CHECK_INT(record[0].n, 2);
	ar_pool_free(pool);
}

/* PostgreSQL: a number of the log is drawn long before its unit commits, or rolls back. */
static bool late_open;

static void publish_late(void *arg)
{
	struct rig *rig = arg;
	bool commits = late_open;
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *data = ar_json_new(pool, AR_OBJECT);
	struct ar_scope scope;
	struct ar_rows rows;

	ar_json_set(data, AR_STR("n"), ar_json_int(pool, commits ? 1 : 3));
	late_open = true;
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_publish(&scope, "t", AR_STR("k"), data, NULL) == 0);
	CHECK(ar_query(&scope, &rows, "SELECT pg_sleep(0.5)", AR_NO_ARGS) == 0);
	late_open = false;
	if (commits)
		CHECK(ar_commit(&scope) == 0);
	ar_rollback(&scope);
	ar_pool_free(pool);
}

static void overtake(struct rig *rig, bool commits, int64_t drawn)
{
	int asked = 0, before = nrecord;

	late_open = commits;
	ar_go("late", publish_late, rig, AR_NO_DEADLINE);
	while (rig_count(rig, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END "
			      "FROM bus_event_seq_seq") < drawn)
		;
	rig_publish(rig, "t", "k", drawn + 1);
	while (late_open) { /* the worker has all the time that it wants, and waits */
		CHECK_INT(rig_count(rig, "SELECT 1"), 1);
		CHECK(!late_open || nrecord == before);
		asked++;
	}
	CHECK(asked > 5);
	rig_sleep(100);
}

TEST(waits_for_numbers_that_come_late)
{
	if (!rig->server)
		return;
	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_sleep(10);
	overtake(rig, true, 1);
	CHECK_INT(nrecord, 2);
	CHECK(record[0].n == 1 && record[1].n == 2);
	overtake(rig, false, 3);
	CHECK_INT(nrecord, 3);
	CHECK_INT(record[2].n, 4);
}

/* ---- order ---- */

TEST(keeps_the_order_of_a_key)
{
	int64_t last[3] = { 0 };

	reset(rig);
	work_ms = 5;
	subscribe(rig, "s", "*", "");
	for (int i = 1; i <= 120; i++)
		rig_publish(rig, "t", (const char *[]){ "a", "b", "c" }[i % 3], i);
	rig_sleep(2000);
	CHECK_INT(nrecord, 120);
	for (int i = 0; i < nrecord; i++) {
		int64_t *l = &last[record[i].key[0] - 'a'];

		CHECK(record[i].n > *l);
		*l = record[i].n;
	}
	CHECK_INT(running_most, 3); /* keys side by side, each alone */
}

TEST(events_without_a_key_run_side_by_side)
{
	reset(rig);
	work_ms = 10;
	subscribe(rig, "s", "*", "");
	for (int i = 1; i <= 60; i++)
		rig_publish(rig, "t", "", i);
	rig_sleep(5000);
	CHECK_INT(nrecord, 60);
	CHECK(running_most > 4 && running_most <= JOBS_PER_SUB);
}

/* ---- failure ---- */

TEST(tries_again_and_keeps_the_others_waiting)
{
	reset(rig);
	fail_n = 1;
	fail_times = 3;
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_publish(rig, "t", "a", 2);
	rig_publish(rig, "t", "b", 3);
	rig_sleep(100);
	CHECK_INT(nrecord, 2); /* 1 failed, 3 was delivered, 2 waits */
	rig_sleep(60000);
	CHECK_INT(nrecord, 6);
	CHECK_INT(record[2].attempt, 2);
	CHECK_INT(record[4].attempt, 4);
	CHECK_INT(record[4].n, 1);
	CHECK_INT(record[5].n, 2);
	CHECK_INT(record[5].attempt, 1);
	for (int i = 2; i < 5; i++) { /* 1, 2, 4 seconds, less up to a half */
		int64_t pause = record[i].at_ms - record[i == 2 ? 0 : i - 1].at_ms;

		CHECK_RANGE(pause, 500 << (i - 2), (1000 << (i - 2)) + 50);
	}
}

/* No room for it, a hundred times: it waits, ever longer, its key with it, and is then delivered at
 * its first attempt. */
TEST(waits_for_room_without_using_up_attempts)
{
	reset(rig);
	untried = true;
	fail_n = 1;
	fail_times = 100;
	fail_with = AR_E_TOO_MANY;
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_publish(rig, "t", "a", 2);
	rig_publish(rig, "t", "b", 3);
	rig_sleep(10000);
	CHECK_RANGE(nrecord, 10, 30);
	rig_sleep(3 * 3600000);
	CHECK_INT(nrecord, 103);
	CHECK_INT(record[101].n, 1);
	CHECK_INT(record[101].attempt, 1);
	CHECK_INT(record[102].n, 2);
	CHECK(record[100].at_ms - record[99].at_ms <= 61000);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 0);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
}

/* But not for ever. */
TEST(no_room_for_a_day_counts)
{
	reset(rig);
	untried = true;
	fail_n = 1;
	fail_times = 1000000;
	fail_with = AR_E_TOO_MANY;
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_sleep(23 * 3600000);
	CHECK_INT(rig_count(rig, "SELECT max(attempt) FROM bus_delivery"), 0);
	rig_sleep(3 * 3600000);
	CHECK_INT(rig_count(rig, "SELECT attempts FROM bus_dead"), 10);
}

static int64_t dead_letter(struct rig *rig)
{
	return rig_count(rig, "SELECT id FROM bus_dead ORDER BY id LIMIT 1");
}

static void dead_call(struct rig *rig, int (*fn)(struct ar_scope *scope, int64_t id), int64_t id)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(fn(&scope, id) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

TEST(gives_up_after_the_last_attempt)
{
	reset(rig);
	fail_n = 1;
	fail_times = 4;
	rig_subscribe(rig, &(struct ar_subscription){ .name = AR_STR("s"),
						      .topics = AR_STR("*"),
						      .kind = AR_STR("test"),
						      .max_attempts = 3 });
	rig_publish(rig, "t", "a", 1);
	rig_publish(rig, "t", "a", 2);
	rig_sleep(60000);
	CHECK_INT(nrecord, 4);
	CHECK_INT(record[3].n, 2);
	CHECK_INT(rig_count(rig, "SELECT attempts FROM bus_dead"), 3);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);

	/* Brought back it fails once more, and has all its attempts again. */
	dead_call(rig, ar_bus_redrive, dead_letter(rig));
	rig_sleep(60000);
	CHECK_INT(nrecord, 6);
	CHECK_INT(record[4].attempt, 1);
	CHECK_INT(record[5].attempt, 2);
	CHECK_INT(record[5].n, 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 0);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
}

TEST(refusals_are_dead_at_once)
{
	static const struct {
		const struct ar_err_def *def;
		int attempts;
	} rows[] = {
		{ AR_E_INVALID, 1 },  { AR_E_NOT_FOUND, 1 },   { AR_E_CONFLICT, 2 },
		{ AR_E_TOO_MANY, 2 }, { AR_E_UNAVAILABLE, 2 }, { AR_E_CANCELLED, 2 },
	};

	reset(rig);
	subscribe(rig, "s", "*", "");
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		nrecord = 0;
		fail_n = (int64_t)i;
		fail_times = 1;
		fail_with = rows[i].def;
		rig_publish(rig, "t", "a", (int64_t)i);
		rig_sleep(5000);
		CHECK_INT(nrecord, rows[i].attempts);
		/* One that was cancelled did not count. */
		CHECK_INT(record[nrecord - 1].attempt,
			  rows[i].def == AR_E_CANCELLED ? 1 : rows[i].attempts);
	}
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 2);
	dead_call(rig, ar_bus_forget, dead_letter(rig));
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 1);
}

TEST(heeds_pauses)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *options = NULL;

	reset(rig);
	CHECK(ar_json_parse(pool, AR_STR("{\"backoff\":[0,30]}"), NULL, &options) == 0);
	fail_n = 1;
	fail_times = 3;
	rig_subscribe(rig, &(struct ar_subscription){ .name = AR_STR("s"),
						      .topics = AR_STR("*"),
						      .kind = AR_STR("test"),
						      .options = options });
	rig_publish(rig, "t", "a", 1);
	rig_sleep(300000);
	CHECK_INT(nrecord, 4);
	CHECK(record[1].at_ms - record[0].at_ms < 100);
	CHECK_RANGE(record[2].at_ms - record[1].at_ms, 15000, 30100);
	CHECK_RANGE(record[3].at_ms - record[2].at_ms, 15000, 30100);
	nrecord = 0;
	fail_times = 1;
	fail_with = AR_E_TOO_MANY;
	retry_after = "120";
	rig_publish(rig, "t", "a", 1);
	rig_sleep(300000);
	CHECK_INT(nrecord, 2);
	CHECK_RANGE(record[1].at_ms - record[0].at_ms, 120000, 120100);
	ar_pool_free(pool);
}

/* All that it gets fails, again and again: the others do not notice. */
TEST(one_dead_target_slows_no_other)
{
	reset(rig);
	subscribe(rig, "bad", "*", "");
	subscribe(rig, "good", "*", "");
	fail_target = "bad";
	fail_n = 7;
	fail_times = 1 << 30;
	for (int i = 0; i < 300; i++)
		rig_publish(rig, "t", i % 2 ? "a" : "", 7);
	rig_sleep(50);
	CHECK_INT(count_target("good"), 300);
	rig_sleep(30000);
	rig_publish(rig, "t", "a", 7);
	rig_sleep(10);
	CHECK_INT(count_target("good"), 301);
	CHECK(count_target("bad") > 300);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 301);
}

TEST(unsubscribed_gets_nothing_more)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	reset(rig);
	subscribe(rig, "s", "*", "");
	fail_n = 1;
	fail_times = 100;
	rig_publish(rig, "t", "a", 1);
	rig_publish(rig, "t", "a", 2);
	rig_sleep(100);
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_unsubscribe(&scope, AR_STR("s")) == 0);
	CHECK(ar_commit(&scope) == 0);
	nrecord = 0;
	rig_publish(rig, "t", "a", 3);
	rig_sleep(100000);
	CHECK_INT(nrecord, 0);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
	ar_pool_free(pool);
}

/* ---- exactly once ---- */

TEST(stored_effects_commit_with_the_position)
{
	reset(rig);
	rig_subscribe(rig, &(struct ar_subscription){ .name = AR_STR("s"),
						      .topics = AR_STR("t"),
						      .kind = AR_STR("stored") });
	fail_n = 2;
	fail_times = 2;
	for (int i = 1; i <= 4; i++)
		rig_publish(rig, "t", "a", i);
	rig_publish(rig, "t", "b", 5);
	for (int i = 6; i <= 9; i++)
		rig_publish(rig, "count.x", "a", i);
	rig_sleep(100);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect WHERE n < 5"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 6);
	rig_sleep(20000);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 9);
	CHECK_INT(rig_count(rig, "SELECT count(DISTINCT n) FROM effect"), 9);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
	for (int i = 1, last = 0; i < nrecord; i++) { /* 2, 2, 2, 3, 4 after 1 */
		if (record[i].n > 4)
			continue;
		CHECK(record[i].n >= last);
		last = (int)record[i].n;
	}
}

/* ---- timers ---- */

static int fired;
static int64_t fired_ms;
static int fire_fails;

static int fire(struct ar_scope *scope, struct ar_str database, const struct ar_timer *timer)
{
	CHECK(ar_str_is(timer->kind, "tick") && ar_str_is(database, "bus-test"));
	if (ar_exec(scope, "INSERT INTO effect (n, key) VALUES (1, ?)",
		    AR_ARGS(AR_J_STR(timer->data)), NULL) != 0)
		return -1;
	if (fire_fails > 0) {
		fire_fails--;
		return ar_fail(AR_E_UNAVAILABLE);
	}
	fired++;
	fired_ms = ar_now_ms();
	if (ar_str_is(timer->data, "again") && fired < 5) {
		struct ar_timer next = *timer;

		next.due_ms += 1000;
		return ar_timer_set(scope, &next);
	}
	return 0;
}
static const struct ar_timer_kind tick = { "tick", fire };

static void timer_set(struct rig *rig, const char *id, int64_t after_ms, const char *data)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_timer_set(&scope, &(struct ar_timer){ .id = ar_str(id),
						       .due_ms = ar_now_ms() + after_ms,
						       .kind = AR_STR("tick"),
						       .data = ar_str(data) }) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

TEST(timers_fire_when_due)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	int64_t began;

	reset(rig);
	fired = 0;
	began = ar_now_ms();
	timer_set(rig, "far", 3600000, "x"); /* the worker ends, the clock brings it back */
	timer_set(rig, "near", 500, "x");
	timer_set(rig, "cleared", 600, "x");
	timer_set(rig, "moved", 700, "x");
	timer_set(rig, "moved", 7200000, "x");
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_timer_clear(&scope, AR_STR("cleared")) == 0 && ar_commit(&scope) == 0);
	rig_sleep(10000);
	CHECK_INT(fired, 1);
	CHECK_RANGE(fired_ms - began, 500, 520);
	rig_sleep(3600000);
	CHECK_INT(fired, 2);
	CHECK_RANGE(fired_ms - began, 3600000, 3600100);
	rig_sleep(3600000);
	CHECK_INT(fired, 3);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_timer"), 0);

	fired = 0;
	timer_set(rig, "many", 100, "again");
	rig_sleep(3200);
	CHECK_INT(fired, 4);
	rig_sleep(10000);
	CHECK_INT(fired, 5);

	fired = 0;
	fire_fails = 3;
	rig_exec(rig, "DELETE FROM effect");
	timer_set(rig, "fails", 100, "x");
	rig_sleep(20000);
	CHECK_INT(fired, 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM effect"), 1);
	ar_pool_free(pool);
}

/* ---- restart, sleep, pruning ---- */

TEST(resumes_after_a_restart)
{
	reset(rig);
	fired = 0;
	subscribe(rig, "s", "*", "");
	work_ms = 50000; /* none of them ends before the stop */
	for (int i = 1; i <= 5; i++)
		rig_publish(rig, "t", "a", i);
	timer_set(rig, "t", 100000, "x");
	rig_sleep(100);
	CHECK_INT(resumes, 1);
	ar_bus_stop();
	CHECK_INT(nrecord, 0);
	work_ms = 0;
	rig_bus_start(rig);
	ar_bus_wake(rig->name);
	rig_sleep(1000);
	CHECK_INT(resumes, 2);
	CHECK_INT(nrecord, 5);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(record[i].n, i + 1);
		CHECK_INT(record[i].attempt, 1);
	}
	rig_sleep(200000);
	CHECK_INT(fired, 1);
}

/* Log lines of a level while a tenant cannot be resumed at first. */
static int lines_until_resumed(struct rig *rig, const struct ar_err_def *why, const char *level)
{
	static char text[1 << 20];
	int fd = memfd_create("log", MFD_CLOEXEC), count = 0;
	const char *at = text;
	ssize_t n;

	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_sleep(100000);
	ar_bus_stop();
	ar_log_fd(fd);
	resumes = 0;
	resume_fails = why;
	rig_bus_start(rig);
	rig_publish(rig, "t", "a", 1);
	rig_sleep(10000);
	ar_log_fd(2);
	CHECK_INT(resumes, 4);
	CHECK_INT(nrecord, 1);
	n = pread(fd, text, sizeof(text) - 1, 0);
	CHECK(n >= 0);
	text[n] = '\0';
	close(fd);
	while ((at = strstr(at, level)) != NULL) {
		count++;
		at++;
	}
	return count;
}

TEST(what_cannot_be_resumed_is_said)
{
	CHECK_INT(lines_until_resumed(rig, AR_E_UNAVAILABLE, "\"level\":\"error\""), 3);
}

/* It publishes while it is being made, before anybody can reach it. */
TEST(a_tenant_that_is_not_there_yet_is_no_error)
{
	CHECK_INT(lines_until_resumed(rig, AR_E_NOT_FOUND, "\"level\":\"error\""), 0);
}

/* Each event is held against each subscription: a tenant has so many, and may change those. */
TEST(subscriptions_are_bounded)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_subscription s = { .name = AR_STR("s"),
				     .topics = AR_STR("*"),
				     .kind = AR_STR("test"),
				     .target = AR_STR("t") };
	struct ar_scope scope;

	reset(rig);
	rig_exec(rig,
		 "INSERT INTO bus_subscription (name, builtin, topics, condition, kind, target, "
		 "options, max_attempts, from_seq) WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL "
		 "SELECT n + 1 FROM up WHERE n < 999) SELECT 'n' || n, 0, 'x', '', 'test', 't', "
		 "'{}', 10, 0 FROM up");
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_subscribe(&scope, &s) == 0);
	CHECK(ar_subscribe(&scope, &s) == 0);
	s.name = AR_STR("one more");
	CHECK_FAILS(ar_subscribe(&scope, &s), AR_E_INVALID);
	ar_rollback(&scope);
	ar_pool_free(pool);
}

TEST(sleeps_when_there_is_nothing)
{
	struct ar_bus_stats stats;

	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_sleep(100);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 1);
	rig_sleep(5000);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 0);
	rig_publish(rig, "t", "a", 2);
	rig_sleep(100);
	CHECK_INT(nrecord, 2);
	ar_bus_close(rig->name);
	ar_bus_stats(&stats);
	CHECK_INT(stats.workers, 0);
}

TEST(prunes_what_is_delivered_and_old)
{
	reset(rig);
	ar_bus_retain(60000);
	subscribe(rig, "s", "*", "");
	fail_n = 50;
	fail_times = 8;
	for (int i = 1; i <= 100; i++)
		rig_publish(rig, "t", "a", i);
	rig_sleep(150000); /* 50 is still being tried: it and what follows must stay */
	rig_publish(rig, "t", "b", 101);
	rig_sleep(5000);
	rig_publish(rig, "t", "b", 102);
	rig_sleep(2000000);
	CHECK_INT(nrecord, 110);
	rig_publish(rig, "t", "b", 103);
	rig_sleep(700000);
	rig_publish(rig, "t", "b", 104);
	rig_sleep(5000);
	CHECK_INT(rig_count(rig, "SELECT max(seq) FROM bus_event"), 104);
	CHECK(rig_count(rig, "SELECT count(*) FROM bus_event") <= 2);
	ar_bus_retain(7 * 24 * 3600 * 1000LL);
}

static int list_one(struct ar_pool *pool, struct ar_str after, int limit, struct ar_json **ret)
{
	*ret = ar_json_new(pool, AR_ARRAY);
	if (after.n == 0)
		ar_json_add(*ret, ar_json_str(pool, AR_STR("bus-test")));
	return 0;
}

TEST(finds_work_left_over)
{
	reset(rig);
	subscribe(rig, "s", "*", "");
	rig_sleep(10000); /* the worker has ended */
	ar_bus_stop();
	rig_publish(rig, "t", "a", 1); /* nobody hears it */
	rig_bus_start(rig);
	rig_sleep(10000);
	CHECK_INT(nrecord, 0);
	CHECK(ar_bus_resume_all(list_one) == 0);
	rig_sleep(100);
	CHECK_INT(nrecord, 1);
}

static bool dies_once(const char *point)
{
	if (strcmp(point, "committed") != 0 || running == 0)
		return false;
	bus_fault = NULL;
	return true;
}

/* A worker that died takes as long as its deliveries take to hear of it. */
TEST(stopping_waits_for_the_dying)
{
	reset(rig);
	work_ms = 5000;
	unmoved = true;
	subscribe(rig, "s", "*", "");
	rig_publish(rig, "t", "a", 1);
	rig_sleep(100);
	CHECK_INT(running, 1);
	bus_fault = dies_once;
	rig_publish(rig, "t", "b", 2);
	rig_sleep(100);
	CHECK(bus_fault == NULL);
	ar_bus_stop();
	CHECK_INT(running, 0);
	rig_bus_start(rig);
	work_ms = 0;
	ar_bus_wake(rig->name);
	rig_sleep(1000);
	CHECK_INT(nrecord, 3); /* the first one twice: nobody saw it end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_topics_and_conditions),
		cmocka_unit_test(starts_after_the_subscription),
		cmocka_unit_test(gives_a_target_its_topics),
		cmocka_unit_test(refuses_bad_input),
		cmocka_unit_test(rolled_back_is_not_published),
		cmocka_unit_test(waits_for_numbers_that_come_late),
		cmocka_unit_test(keeps_the_order_of_a_key),
		cmocka_unit_test(events_without_a_key_run_side_by_side),
		cmocka_unit_test(tries_again_and_keeps_the_others_waiting),
		cmocka_unit_test(waits_for_room_without_using_up_attempts),
		cmocka_unit_test(no_room_for_a_day_counts),
		cmocka_unit_test(gives_up_after_the_last_attempt),
		cmocka_unit_test(refusals_are_dead_at_once),
		cmocka_unit_test(heeds_pauses),
		cmocka_unit_test(one_dead_target_slows_no_other),
		cmocka_unit_test(unsubscribed_gets_nothing_more),
		cmocka_unit_test(stored_effects_commit_with_the_position),
		cmocka_unit_test(timers_fire_when_due),
		cmocka_unit_test(resumes_after_a_restart),
		cmocka_unit_test(subscriptions_are_bounded),
		cmocka_unit_test(what_cannot_be_resumed_is_said),
		cmocka_unit_test(a_tenant_that_is_not_there_yet_is_no_error),
		cmocka_unit_test(sleeps_when_there_is_nothing),
		cmocka_unit_test(prunes_what_is_delivered_and_old),
		cmocka_unit_test(finds_work_left_over),
		cmocka_unit_test(stopping_waits_for_the_dying),
	};

	ar_bus_register(&test_target);
	ar_bus_register(&stored_target);
	ar_bus_register(&builtin_target);
	ar_timer_register(&tick);
	ar_bus_on_start(on_start);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
