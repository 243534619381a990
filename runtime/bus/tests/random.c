/*
 * random.c - the promises of the bus under random schedules.
 *
 * A run: fibers publish with a few keys (some units are rolled back), targets fail by plan, the
 * worker is killed at random points without a commit, the bus is stopped and started, a subscription
 * comes late. Time is simulated and everything follows from the seed. In the end a checker goes over
 * what was seen: nothing lost, nothing made up, order within each key, stored effects exactly once,
 * dead letters after exactly the last attempt; brought back, they are delivered.
 *
 * BUS_SEED=n starts at another seed, BUS_RUNS=m does more of them.
 */
#include "runtime/bus/tests/rig.h"

#define EVENTS_MAX 200
#define SEEN_MAX   20000
#define KEYS       4

enum { SLOW, SOME, STORED, COUNTER, LATE, SUBS };
static const char *const sub_names[SUBS] = { "slow", "some", "stored", "counter", "late" };
static const int max_attempts[SUBS] = { 3, 2, 3, 10, 4 };

enum plan { GOOD, FAILS_SOME, FAILS_ALWAYS, REFUSED, CANCELLED_ONCE };

struct published {
	bool committed, odd, count;
	int key; /* KEYS: none */
	int64_t seq;
};

/* One delivery as the target saw it: its beginning, then its end. */
struct seen {
	int sub, attempt;
	int64_t n, seq;
	enum { BEGAN, OK, FAILED, LAST_FAILED } what;
};

static struct world {
	struct rig *rig;
	struct published events[EVENTS_MAX];
	int nevents, publishers;
	struct seen seen[SEEN_MAX];
	int nseen;
	int in_flight[SUBS][KEYS];
	bool cancelled_once[SUBS][EVENTS_MAX];
	int64_t late_from;
	bool calm; /* no more crashes */
	bool kind; /* no more failures */
	int crashes, restarts;
} world;

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = (a + 1) * 0x9e3779b97f4a7c15ull ^ (b + 1) * 0xc2b2ae3d27d4eb4full;

	z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9ull;
	return z ^ (z >> 32);
}

static uint64_t run_seed;

static enum plan plan_of(int sub, int64_t n)
{
	uint64_t p = mix(run_seed, (uint64_t)(n * SUBS + sub)) % 100;

	if (p < 72)
		return GOOD;
	if (p < 86)
		return FAILS_SOME;
	if (p < 92)
		return FAILS_ALWAYS;
	if (p < 96)
		return REFUSED;
	return CANCELLED_ONCE;
}

static void see(int sub, const struct ar_delivery *d, int64_t n, int what)
{
	CHECK(world.nseen < SEEN_MAX);
	world.seen[world.nseen++] = (struct seen){ sub, d->attempt, n, d->event->seq, what };
}

/* What the plan says of this attempt: 0, or -1 with its error. */
static int outcome(int sub, const struct ar_delivery *d, int64_t n)
{
	enum plan plan = world.kind ? GOOD : plan_of(sub, n);
	int some = 1 + (int)(mix(run_seed, (uint64_t)n) % 2);

	if (plan == FAILS_ALWAYS || (plan == FAILS_SOME && d->attempt <= some)) {
		see(sub, d, n, d->attempt >= max_attempts[sub] ? LAST_FAILED : FAILED);
		return ar_fail(AR_E_UNAVAILABLE);
	}
	if (plan == REFUSED) {
		see(sub, d, n, LAST_FAILED);
		return ar_fail(AR_E_INVALID);
	}
	if (plan == CANCELLED_ONCE && d->scope == NULL && !world.cancelled_once[sub][n]) {
		world.cancelled_once[sub][n] = true;
		see(sub, d, n, FAILED);
		return ar_fail(AR_E_CANCELLED);
	}
	see(sub, d, n, OK);
	return 0;
}

static int sub_of(struct ar_str name)
{
	for (int i = 0; i < SUBS; i++) {
		if (ar_str_is(name, sub_names[i]))
			return i;
	}
	return COUNTER;
}

static int deliver(struct ar_delivery *d)
{
	int64_t n = ar_json_number(d->event->data, "n", -1);
	int sub = sub_of(d->subscription), key = world.events[n].key;
	int64_t ms = (int64_t)rig_below(world.rig, 30);

	see(sub, d, n, BEGAN);
	if (key < KEYS)
		CHECK_INT(world.in_flight[sub][key]++, 0);
	if (ms > 5)
		ar_sleep(ms);
	if (key < KEYS)
		world.in_flight[sub][key]--;
	if (ar_cancelled()) /* killed, or the bus stopped: nobody saw it end */
		return ar_fail(AR_E_CANCELLED);
	return outcome(sub, d, n);
}

static int deliver_stored(struct ar_delivery *d)
{
	int64_t n = ar_json_number(d->event->data, "n", -1);
	int sub = sub_of(d->subscription);

	see(sub, d, n, BEGAN);
	if (ar_exec(d->scope, "INSERT INTO effect (sub, n) VALUES (?, ?)",
		    AR_ARGS(AR_J_INT(sub), AR_J_INT(n)), NULL) != 0)
		return -1;
	return outcome(sub, d, n);
}

static const struct ar_bus_target slow_target = { "slow", NULL, deliver, false };
static const struct ar_bus_target stored_target = { "stored", NULL, deliver_stored, true };
static const struct ar_bus_target counter_target = { "counter", "count.*", deliver_stored, true };

static bool kill_now(const char *point)
{
	if (world.calm || rig_below(world.rig, 40) != 0)
		return false;
	world.crashes++;
	return true;
}

/* ---- those who publish ---- */

static int64_t publish_one(struct ar_scope *scope)
{
	struct rig *rig = world.rig;
	struct ar_json *data = ar_json_new(scope->pool, AR_OBJECT);
	int n = world.nevents++;
	struct published *e = &world.events[n];
	char key[8] = "";

	e->key = (int)rig_below(rig, KEYS + 1);
	e->odd = rig_below(rig, 2);
	e->count = rig_below(rig, 4) == 0;
	if (e->key < KEYS)
		snprintf(key, sizeof(key), "k%d", e->key);
	ar_json_set(data, AR_STR("n"), ar_json_int(scope->pool, n));
	ar_json_set(data, AR_STR("odd"), ar_json_bool(scope->pool, e->odd));
	CHECK(ar_publish(scope, e->count ? "count.x" : "t", ar_str(key), data, NULL) == 0);
	return n;
}

static void publisher(void *arg)
{
	struct rig *rig = world.rig;
	int units = 3 + (int)rig_below(rig, 20);

	while (units-- > 0 && world.nevents < EVENTS_MAX - 8) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;
		int64_t mine[4];
		int n = 1 + (int)rig_below(rig, 3), kept = 0;

		ar_scope_init(&scope, rig->db, pool);
		while (n-- > 0)
			mine[kept++] = publish_one(&scope);
		if (rig_below(rig, 4) == 0) { /* a part that is undone */
			CHECK(ar_savepoint(&scope) == 0);
			publish_one(&scope);
			CHECK(ar_savepoint_undo(&scope) == 0);
		}
		if (rig_below(rig, 8) == 0) {
			ar_rollback(&scope);
		} else {
			CHECK(ar_commit(&scope) == 0);
			while (kept-- > 0)
				world.events[mine[kept]].committed = true;
		}
		ar_pool_free(pool);
		if (rig_below(rig, 2))
			rig_sleep((int64_t)rig_below(rig, 200));
	}
	world.publishers--;
}

static void subscribe(int sub, const char *kind, const char *topics, const char *condition)
{
	rig_subscribe(world.rig, &(struct ar_subscription){ .name = ar_str(sub_names[sub]),
							    .topics = ar_str(topics),
							    .condition = ar_str(condition),
							    .kind = ar_str(kind),
							    .max_attempts = max_attempts[sub] });
}

/* ---- the run ---- */

static void disturb(struct rig *rig)
{
	bool late = false;

	while (world.publishers > 0) {
		rig_sleep(1 + (int64_t)rig_below(rig, 200));
		if (rig_below(rig, 10) == 0) {
			ar_bus_stop();
			world.restarts++;
			if (rig_below(rig, 2))
				rig_sleep((int64_t)rig_below(rig, 500));
			rig_bus_start(rig);
		}
		if (!late && rig_below(rig, 5) == 0) {
			late = true;
			subscribe(LATE, "slow", "t,count.*", "");
		}
		ar_bus_wake(rig->name); /* as a restart of the process would */
	}
	if (!late)
		subscribe(LATE, "slow", "t,count.*", "");
	world.late_from =
		rig_count(rig, "SELECT from_seq FROM bus_subscription WHERE name = 'late'");
}

static void settle(struct rig *rig)
{
	for (int hours = 0; hours < 100; hours++) {
		ar_bus_wake(rig->name);
		rig_sleep(3600000);
		if (rig_count(rig, "SELECT count(*) FROM bus_delivery") == 0 &&
		    rig_count(rig, "SELECT count(*) FROM bus_event e WHERE e.seq > "
				   "(SELECT position FROM bus_state) AND e.topic = 't'") == 0)
			return;
	}
	CHECK(!"nothing is left to do");
}

static bool wants(int sub, int64_t n)
{
	const struct published *e = &world.events[n];

	switch (sub) {
	case SLOW:
		return true;
	case SOME:
		return e->odd;
	case STORED:
		return !e->count;
	case COUNTER:
		return e->count;
	default:
		return e->seq > world.late_from;
	}
}

static bool should_die(int sub, int64_t n)
{
	int some = 1 + (int)(mix(run_seed, (uint64_t)n) % 2);
	enum plan plan = plan_of(sub, n);

	return plan == FAILS_ALWAYS || plan == REFUSED ||
	       (plan == FAILS_SOME && some >= max_attempts[sub]);
}

static void read_seqs(struct rig *rig)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	int committed = 0;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT seq, data FROM bus_event ORDER BY seq", AR_NO_ARGS) ==
	      0);
	for (int n = 0; n < world.nevents; n++)
		committed += world.events[n].committed;
	CHECK_INT(rows.count, committed);
	while (ar_rows_next(&rows)) {
		struct ar_json *data;
		int64_t n;

		CHECK(ar_json_parse(pool, ar_col_str(&rows, 1), NULL, &data) == 0);
		n = ar_json_number(data, "n", -1);
		CHECK(world.events[n].committed);
		world.events[n].seq = ar_col_int(&rows, 0);
	}
	ar_pool_free(pool);
}

/* Had event n an end (delivered, or the last attempt failed) before entry `until`? */
static bool ended_before(int sub, int64_t n, int until)
{
	for (int i = 0; i < until; i++) {
		const struct seen *s = &world.seen[i];

		if (s->sub == sub && s->n == n && (s->what == OK || s->what == LAST_FAILED))
			return true;
	}
	return false;
}

static void check_order(void)
{
	for (int i = 0; i < world.nseen; i++) {
		const struct seen *s = &world.seen[i];
		const struct published *e = &world.events[s->n];

		CHECK(e->committed && s->seq == e->seq && wants(s->sub, s->n));
		CHECK(s->attempt >= 1 && s->attempt <= max_attempts[s->sub]);
		if (s->what != BEGAN || e->key == KEYS)
			continue;
		for (int n = 0; n < world.nevents; n++) {
			const struct published *other = &world.events[n];

			if (other->committed && other->key == e->key && other->seq < e->seq &&
			    wants(s->sub, n))
				CHECK(ended_before(s->sub, n, i));
		}
	}
}

static int count_seen(int sub, int64_t n, int what)
{
	int count = 0;

	for (int i = 0; i < world.nseen; i++) {
		const struct seen *s = &world.seen[i];

		count += s->sub == sub && s->n == n && (int)s->what == what;
	}
	return count;
}

static int64_t count_rows(const char *sql, struct ar_json a, struct ar_json b)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t n;

	ar_scope_init(&scope, world.rig->db, pool);
	CHECK(ar_query(&scope, &rows, sql, AR_ARGS(a, b)) == 0 && ar_rows_next(&rows));
	n = ar_col_int(&rows, 0);
	ar_pool_free(pool);
	return n;
}

static void check_one(int sub, int64_t n, bool after_redrive)
{
	const struct published *e = &world.events[n];
	struct ar_json name = AR_J_Z(sub == COUNTER ? "builtin:counter" : sub_names[sub]);
	bool wanted = e->committed && wants(sub, n), dies = wanted && should_die(sub, n);
	bool delivered = wanted && (!dies || after_redrive);
	int ok = count_seen(sub, n, OK), last = count_seen(sub, n, LAST_FAILED);
	int64_t dead =
		count_rows("SELECT count(*) FROM bus_dead WHERE subscription = ? AND seq = ?", name,
			   AR_J_INT(e->committed ? e->seq : -1));

	CHECK(delivered ? ok >= 1 : ok == 0);
	CHECK(dies ? last >= 1 : last == 0);
	CHECK_INT(dead, dies && !after_redrive);
	if (world.crashes == 0 && world.restarts == 0)
		CHECK_INT(ok, delivered);
	if (dead > 0)
		CHECK_INT(
			count_rows(
				"SELECT attempts FROM bus_dead WHERE subscription = ? AND seq = ?",
				name, AR_J_INT(e->seq)),
			plan_of(sub, n) == REFUSED ? 1 : max_attempts[sub]);
	if (sub == STORED || sub == COUNTER)
		CHECK_INT(count_rows("SELECT count(*) FROM effect WHERE sub = ? AND n = ?",
				     AR_J_INT(sub), AR_J_INT(n)),
			  delivered);
}

static void check_all(bool after_redrive)
{
	for (int sub = 0; sub < SUBS; sub++) {
		for (int n = 0; n < world.nevents; n++)
			check_one(sub, n, after_redrive);
	}
}

static void redrive_all(struct rig *rig)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT id FROM bus_dead ORDER BY id", AR_NO_ARGS) == 0);
	while (ar_rows_next(&rows))
		CHECK(ar_bus_redrive(&scope, ar_col_int(&rows, 0)) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

static void run(struct rig *rig)
{
	rig_exec(rig, "CREATE TABLE effect (sub BIGINT NOT NULL, n BIGINT NOT NULL)");
	world.rig = rig;
	bus_fault = kill_now;
	subscribe(SLOW, "slow", "*", "");
	subscribe(SOME, "slow", "*", "@event.data.odd = true");
	subscribe(STORED, "stored", "t", "");
	for (int i = 0; i < 4; i++) {
		world.publishers++;
		ar_go("publisher", publisher, NULL, AR_NO_DEADLINE);
	}
	disturb(rig);
	settle(rig); /* with crashes */
	world.calm = true;
	settle(rig);
	read_seqs(rig);
	check_order();
	check_all(false);
	rig_kept_is_counted(rig);
	world.kind = true;
	redrive_all(rig);
	settle(rig);
	check_all(true);
	rig_kept_is_counted(rig);
	bus_fault = NULL;
}

static void keeps_its_promises(void **state)
{
	const char *seed = getenv("BUS_SEED"), *runs = getenv("BUS_RUNS");
	uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : 1;
	int n = runs != NULL ? (int)strtol(runs, NULL, 10) : 48;
	int crashes = 0, restarts = 0, events = 0, seen = 0;

	for (int i = 0; i < n; i++) {
		struct rig rig;

		run_seed = first + (uint64_t)i;
		if (n <= 3)
			fprintf(stderr, "seed %llu\n", (unsigned long long)run_seed);
		memset(&world, 0, sizeof(world));
		world.calm = run_seed % 8 == 0; /* also without any crash */
		rig_on_failure = run_seed;
		rig_run(&rig, run_seed, run);
		crashes += world.crashes;
		restarts += world.restarts;
		events += world.nevents;
		seen += world.nseen / 2;
	}
	printf("%d runs: %d events, %d deliveries, %d crashes, %d restarts\n", n, events, seen,
	       crashes, restarts);
	assert_true(n < 8 || (crashes > n && restarts > n / 4 && seen > events));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_its_promises) };

	ar_bus_register(&slow_target);
	ar_bus_register(&stored_target);
	ar_bus_register(&counter_target);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
