/*
 * failure.c - what happens to what fails: tried again, put off, given up, paused; and that nobody
 * else waits for it.
 */
#include "runtime/bus/tests/record.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tries_again_and_keeps_the_others_waiting),
		cmocka_unit_test(waits_for_room_without_using_up_attempts),
		cmocka_unit_test(no_room_for_a_day_counts),
		cmocka_unit_test(gives_up_after_the_last_attempt),
		cmocka_unit_test(refusals_are_dead_at_once),
		cmocka_unit_test(heeds_pauses),
		cmocka_unit_test(one_dead_target_slows_no_other),
		cmocka_unit_test(unsubscribed_gets_nothing_more),
	};

	record_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
