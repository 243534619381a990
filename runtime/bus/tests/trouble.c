/*
 * trouble.c - the bus when what it does fails half-way: turns that are not stored, a log that has grown
 * long, a process that has many tenants awake.
 */
#include "runtime/bus/tests/rig.h"

static void run(void (*body)(struct rig *rig))
{
	struct rig rig;

	rig_run(&rig, 1, body);
}

#define TEST(name) TEST_IN(name, run, struct rig *rig)

/* ---- a turn that is not stored ---- */

static int commits_to_fail, stored;

static int refuse_commit(struct ar_scope *scope, void *arg)
{
	return commits_to_fail-- > 0 ? ar_fail(AR_E_UNAVAILABLE) : 0;
}

/* In the turn's unit of work: the first turns that have an event for it fail as they commit. */
static int deliver_stored(struct ar_delivery *d)
{
	stored++;
	return ar_before_commit(d->scope, refuse_commit, NULL);
}

/* Is refused for good, and has an event for the turn that says so. */
static int deliver_refused(struct ar_delivery *d)
{
	struct ar_scope scope;

	ar_scope_init(&scope, d->db, d->pool);
	CHECK(ar_publish(&scope, "stored", AR_STR(""), NULL, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	return ar_fail(AR_E_INVALID);
}

static const struct ar_bus_target refused_target = { "refused", NULL, deliver_refused, false };
static const struct ar_bus_target stored_target = { "stored", NULL, deliver_stored, true };

static void subscribe(struct rig *rig, const char *kind)
{
	rig_subscribe(rig, &(struct ar_subscription){ .name = ar_str(kind),
						      .topics = ar_str(kind),
						      .kind = ar_str(kind) });
}

TEST(a_dead_letter_is_whole_although_its_turn_failed)
{
	commits_to_fail = 2;
	stored = 0;
	subscribe(rig, "refused");
	subscribe(rig, "stored");
	rig_publish(rig, "refused", "k", 7);
	rig_sleep(10000);
	CHECK_INT(stored, 3);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead WHERE event LIKE '%\"n\":7%'"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
}

/* ---- words of several bytes ---- */

static int deliver_wordy(struct ar_delivery *d)
{
	char words[601] = "";

	for (int i = 0; i < 200; i++)
		memcpy(words + (size_t)i * 3, "\xe9\x94\x99", 3);
	return ar_fail(AR_E_INVALID, "a", words, "b", words, "c", words);
}

static const struct ar_bus_target wordy_target = { "wordy", NULL, deliver_wordy, false };

TEST(why_a_letter_is_dead_is_cut_between_characters)
{
	subscribe(rig, "wordy");
	rig_publish(rig, "wordy", "k", 1);
	rig_sleep(10000);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead WHERE length(error) > 150 AND "
				 "replace(error, '\xe9\x94\x99', '') = 'invalid a= b= c='"),
		  1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
}

/* ---- a long log ---- */

TEST(a_long_log_is_pruned_also_of_a_tenant_that_is_idle)
{
	rig_retain(60000, INT64_C(1) << 30, INT64_C(1) << 28);
	rig_exec(rig,
		 "INSERT INTO bus_event (id, topic, key, time_ms, trace_id, data, hops) "
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7000) "
		 "SELECT 'id' || i, 'nobody', '', 1700000000000, '', '{}', 0 FROM n");
	rig_publish(rig, "nobody", "", 1);
	rig_sleep(3600000);
	rig_publish(rig, "nobody", "", 2);
	rig_sleep(60000);
	CHECK_RANGE(rig_count(rig, "SELECT count(*) FROM bus_event"), 1, 2);
	CHECK_INT(rig_count(rig, "SELECT max(seq) FROM bus_event"), 7002);
	rig_retain(RIG_WEEK_MS, INT64_C(1) << 30, INT64_C(1) << 28);
}

/* ---- many tenants ---- */

static int list_one(struct ar_pool *pool, struct ar_str after, int limit, struct ar_json **ret)
{
	*ret = ar_json_new(pool, AR_ARRAY);
	if (after.n == 0)
		ar_json_add(*ret, ar_json_str(pool, AR_STR("bus-test")));
	return 0;
}

TEST(resumes_also_while_many_tenants_are_awake_all_the_time)
{
	int64_t deadline;

	commits_to_fail = stored = 0;
	subscribe(rig, "stored");
	rig_sleep(10000); /* the worker has ended */
	ar_bus_stop();
	rig_publish(rig, "stored", "", 1); /* nobody hears it */
	rig_bus_start(rig);
	bus_count.workers += 1000; /* of other tenants */
	deadline = ar_deadline_set(ar_mono_ms() + 60000);
	CHECK(ar_bus_resume_all(list_one) == 0);
	ar_deadline_set(deadline);
	rig_sleep(100);
	bus_count.workers -= 1000;
	CHECK_INT(stored, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_letter_is_whole_although_its_turn_failed),
		cmocka_unit_test(why_a_letter_is_dead_is_cut_between_characters),
		cmocka_unit_test(a_long_log_is_pruned_also_of_a_tenant_that_is_idle),
		cmocka_unit_test(resumes_also_while_many_tenants_are_awake_all_the_time),
	};

	ar_bus_register(&refused_target);
	ar_bus_register(&wordy_target);
	ar_bus_register(&stored_target);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
