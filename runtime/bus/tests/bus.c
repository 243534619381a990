/*
 * bus.c - who gets what, and in which order: one promise a test. failure.c and life.c hold what
 * else the bus promises; random.c holds all of it under random schedules.
 */
#include "runtime/bus/tests/record.h"

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
	};

	record_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
