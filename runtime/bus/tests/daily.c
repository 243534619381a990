/*
 * daily.c - what is done once a day: in the small hours, once a day, in pieces, and after a restart
 * that came too late once.
 */
#include "runtime/bus/tests/rig.h"

static int runs, pieces;
static int64_t at_ms[64];
static bool fails;

static int run_daily(struct ar_scope *scope, struct ar_str database, bool *ret_more)
{
	CHECK(ar_str_is(database, "bus-test"));
	if (fails) {
		fails = false;
		return ar_fail(AR_E_UNAVAILABLE);
	}
	at_ms[runs++] = ar_now_ms();
	*ret_more = pieces > 0 && pieces-- > 0;
	return 0;
}

static const struct ar_bus_daily daily = { "tidy", run_daily };

static int deliver(struct ar_delivery *d)
{
	return 0;
}

static const struct ar_bus_target target = { "test", NULL, deliver, false };

static void run(void (*body)(struct rig *rig))
{
	struct rig rig;

	rig_run(&rig, 1, body);
}

#define TEST(name) TEST_IN(name, run, struct rig *rig)
#define HOUR       3600000LL

TEST(once_a_day_in_the_small_hours)
{
	runs = pieces = 0;
	rig_publish(rig, "t", "", 1); /* the first thing that happens to the tenant */
	rig_sleep(1000);
	CHECK_INT(runs, 0);
	rig_sleep(5 * 24 * HOUR);
	CHECK_INT(runs, 5);
	for (int i = 0; i < runs; i++) {
		int64_t hours = at_ms[i] / HOUR % 24; /* the test's zone is UTC */

		CHECK_RANGE(hours, 2, 4);
		CHECK_RANGE(at_ms[i] - (i > 0 ? at_ms[i - 1] : at_ms[i] - 24 * HOUR),
			    24 * HOUR - 1000, 24 * HOUR + 1000);
	}
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_timer"), 1);
}

TEST(in_pieces_and_again_after_a_failure)
{
	runs = 0;
	pieces = 3;
	fails = true;
	rig_publish(rig, "t", "", 1);
	rig_sleep(24 * HOUR);
	CHECK_INT(runs, 4);
	CHECK(at_ms[3] - at_ms[0] < 10000);
}

TEST(missed_while_away_is_made_up_for_once)
{
	runs = pieces = 0;
	rig_publish(rig, "t", "", 1);
	rig_sleep(10000);
	ar_bus_stop();
	rig_sleep(4 * 24 * HOUR);
	CHECK_INT(runs, 0);
	rig_bus_start(rig);
	rig_publish(rig, "t", "", 1);
	rig_sleep(1000);
	CHECK_INT(runs, 1);
	rig_sleep(24 * HOUR);
	CHECK_INT(runs, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_a_day_in_the_small_hours),
		cmocka_unit_test(in_pieces_and_again_after_a_failure),
		cmocka_unit_test(missed_while_away_is_made_up_for_once),
	};

	setenv("TZ", "UTC", 1);
	ar_bus_register(&target);
	ar_bus_daily(&daily);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
