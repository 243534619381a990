/*
 * keep.c - a tenant's log and its dead letters stay below their bounds, the newest stay, and what is
 * counted is what is there.
 */
#include "runtime/bus/tests/record.h"

#define LETTERS   1000
#define KEEP_LOG  400000
#define ONE       4000 /* more than one event takes */
#define LOG_LEAST (KEEP_LOG - KEEP_LOG / 16 - ONE)
#define PLENTY    (INT64_C(1) << 30)

/* About 3,000 bytes as it is stored: they are not the same as its characters. */
static void publish_large(struct rig *rig, const char *key, int64_t n)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *data = ar_json_new(pool, AR_OBJECT);
	struct ar_buf *text = ar_buf_new(pool, 3 * LETTERS);
	struct ar_scope scope;

	for (int i = 0; i < LETTERS; i++)
		ar_buf_str(text, AR_STR("\xe7\x8e\x8b"));
	ar_json_set(data, AR_STR("n"), ar_json_int(pool, n));
	ar_json_set(data, AR_STR("text"), ar_json_str(pool, ar_buf_view(text)));
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_publish(&scope, "t", ar_str(key), data, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

static void publish_many(struct rig *rig, const char *key, int64_t from, int64_t to)
{
	for (int64_t n = from; n <= to; n++) {
		publish_large(rig, key, n);
		if (n % 10 == 0)
			rig_sleep(3000);
	}
	rig_sleep(3000);
}

TEST(the_oldest_events_go_when_there_are_too_many_bytes)
{
	reset(rig);
	rig_retain(RIG_WEEK_MS, KEEP_LOG, PLENTY);
	subscribe(rig, "s", "*", "");
	publish_many(rig, "", 1, 100);
	CHECK_INT(nrecord, 100);
	CHECK_RANGE(rig_count(rig, "SELECT count(*) FROM bus_event"), 100, 100);
	rig_kept_is_counted(rig);
	publish_many(rig, "", 101, 400);
	CHECK_INT(nrecord, 400);
	CHECK_RANGE(rig_bytes_of(rig, "data", "bus_event"), LOG_LEAST, KEEP_LOG);
	CHECK_INT(rig_count(rig, "SELECT max(seq) FROM bus_event"), 400);
	CHECK_INT(rig_count(rig, "SELECT max(seq) - min(seq) + 1 FROM bus_event"),
		  rig_count(rig, "SELECT count(*) FROM bus_event"));
	rig_kept_is_counted(rig);
	rig_retain(RIG_WEEK_MS, PLENTY, PLENTY);
}

TEST(what_waits_for_a_delivery_stays_however_much_it_is)
{
	reset(rig);
	rig_retain(RIG_WEEK_MS, KEEP_LOG, PLENTY);
	untried = true;
	fail_n = 1;
	fail_times = 1000000;
	fail_with = AR_E_TOO_MANY;
	subscribe(rig, "s", "*", "");
	publish_large(rig, "stuck", 1);
	publish_many(rig, "", 2, 300);
	CHECK_INT(rig_count(rig, "SELECT min(seq) FROM bus_event"), 1);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_event"), 300);
	fail_times = 0;
	rig_sleep(120000);
	publish_many(rig, "", 301, 320);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_delivery"), 0);
	CHECK_RANGE(rig_bytes_of(rig, "data", "bus_event"), LOG_LEAST, KEEP_LOG);
	rig_kept_is_counted(rig);
	rig_retain(RIG_WEEK_MS, PLENTY, PLENTY);
}

TEST(the_oldest_dead_letters_go_when_there_are_too_many_bytes)
{
	int64_t oldest;

	reset(rig);
	rig_retain(RIG_WEEK_MS, PLENTY, KEEP_LOG);
	fail_with = AR_E_INVALID; /* dead at once */
	subscribe(rig, "s", "*", "");
	for (int64_t n = 1; n <= 200; n++) {
		fail_n = n;
		fail_times = 1;
		publish_large(rig, "", n);
		rig_sleep(100);
	}
	CHECK_RANGE(rig_bytes_of(rig, "event", "bus_dead"), KEEP_LOG - ONE, KEEP_LOG);
	CHECK_INT(rig_count(rig, "SELECT max(seq) FROM bus_dead"), 200);
	CHECK_INT(rig_count(rig, "SELECT max(seq) - min(seq) + 1 FROM bus_dead"),
		  rig_count(rig, "SELECT count(*) FROM bus_dead"));
	rig_kept_is_counted(rig);
	oldest = dead_letter(rig);
	dead_call(rig, ar_bus_forget, oldest);
	rig_kept_is_counted(rig);
	dead_call(rig, ar_bus_redrive, dead_letter(rig));
	rig_sleep(1000);
	CHECK_INT(dead_letter(rig), oldest + 2);
	rig_kept_is_counted(rig);
	rig_retain(RIG_WEEK_MS, PLENTY, PLENTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_events_go_when_there_are_too_many_bytes),
		cmocka_unit_test(what_waits_for_a_delivery_stays_however_much_it_is),
		cmocka_unit_test(the_oldest_dead_letters_go_when_there_are_too_many_bytes),
	};

	record_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
