/*
 * hops.c - events that start each other are stopped, over every way that leads from one to the next:
 * deliveries that wait, transactional ones, timers, dead letters that come back.
 */
#include "runtime/bus/tests/rig.h"

static int delivered, refused, most_hops;
static char last_loop[400];

static int answer(struct ar_scope *scope, const struct ar_event *event)
{
	bool ping = ar_str_is(event->topic, "ping");

	delivered++;
	most_hops = AR_MAX(most_hops, (int)event->hops);
	CHECK_INT(ar_bus_hops(), event->hops + 1);
	if (ar_publish(scope, ping ? "pong" : "ping", event->key, event->data, NULL) == 0)
		return 0;
	CHECK(ar_err()->def == AR_E_BUS_LOOP);
	snprintf(last_loop, sizeof(last_loop), "%s", ar_err_param(ar_err(), "loop"));
	refused++;
	return -1;
}

static int deliver(struct ar_delivery *d)
{
	struct ar_scope scope;

	ar_scope_init(&scope, d->db, d->pool);
	if (answer(&scope, d->event) == 0)
		return ar_commit(&scope);
	ar_rollback(&scope);
	return -1;
}

static int deliver_stored(struct ar_delivery *d)
{
	return answer(d->scope, d->event);
}

/* An hour later the next timer, until one may not publish. */
static int fire(struct ar_scope *scope, struct ar_str database, const struct ar_timer *timer)
{
	return ar_publish(scope, "ping", AR_STR(""), NULL, NULL);
}

static int deliver_timer(struct ar_delivery *d)
{
	delivered++;
	most_hops = AR_MAX(most_hops, (int)d->event->hops);
	if (d->event->hops == 16)
		return 0;
	return ar_timer_set(d->scope, &(struct ar_timer){ .id = AR_STR("later"),
							  .due_ms = ar_now_ms() + 3600000,
							  .kind = AR_STR("hop"),
							  .data = AR_STR("x") });
}

static const struct ar_bus_target waits = { "waits", NULL, deliver, false };
static const struct ar_bus_target stored = { "stored", NULL, deliver_stored, true };
static const struct ar_bus_target timed = { "timed", NULL, deliver_timer, true };
static const struct ar_timer_kind hop = { "hop", fire };

static void subscribe(struct rig *rig, const char *kind)
{
	delivered = refused = most_hops = 0;
	rig_subscribe(rig, &(struct ar_subscription){ .name = AR_STR("s"),
						      .topics = AR_STR("ping,pong"),
						      .kind = ar_str(kind),
						      .target = AR_STR("t") });
}

static void stopped(struct rig *rig)
{
	CHECK_INT(delivered, 17); /* no hop, and 16 */
	CHECK_INT(most_hops, 16);
	CHECK_INT(refused, 1); /* and not tried again */
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_event"), 17);
	CHECK_INT(rig_count(rig, "SELECT max(hops) FROM bus_event"), 16);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead WHERE error LIKE 'bus/loop %' AND "
				 "error LIKE '%pong -> ping -> pong%'"),
		  1);
}

static void run(void (*body)(struct rig *rig))
{
	struct rig rig;

	rig_run(&rig, 1, body);
}

#define TEST(name) TEST_IN(name, run, struct rig *rig)

TEST(deliveries_that_wait)
{
	struct ar_bus_stats before, after;

	subscribe(rig, "waits");
	ar_bus_stats(&before);
	rig_publish(rig, "ping", "k", 1);
	rig_sleep(20000);
	stopped(rig);
	ar_bus_stats(&after);
	CHECK_INT(after.loops - before.loops, 1);
	CHECK(strcmp(last_loop, "pong -> ping -> pong") == 0);
}

TEST(deliveries_in_the_unit)
{
	subscribe(rig, "stored");
	rig_publish(rig, "ping", "k", 1);
	rig_sleep(20000);
	stopped(rig);
}

TEST(a_dead_letter_that_comes_back_is_no_way_around)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	subscribe(rig, "waits");
	rig_publish(rig, "ping", "k", 1);
	rig_sleep(20000);
	stopped(rig);
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_bus_redrive(&scope, 1) == 0 && ar_commit(&scope) == 0);
	rig_sleep(20000);
	CHECK_INT(refused, 2);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_event"), 17);
	CHECK_INT(rig_count(rig, "SELECT count(*) FROM bus_dead"), 1);
	ar_pool_free(pool);
}

TEST(timers_hand_on_where_they_come_from)
{
	subscribe(rig, "timed");
	rig_publish(rig, "ping", "", 1);
	rig_sleep(20 * 3600000LL);
	CHECK_INT(delivered, 17);
	CHECK_INT(most_hops, 16);
}

TEST(the_limit_is_a_setting)
{
	ar_bus_hops_max(3);
	subscribe(rig, "stored");
	rig_publish(rig, "ping", "k", 1);
	rig_sleep(20000);
	CHECK_INT(delivered, 4);
	CHECK_INT(refused, 1);
	ar_bus_hops_max(16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deliveries_that_wait),
		cmocka_unit_test(deliveries_in_the_unit),
		cmocka_unit_test(a_dead_letter_that_comes_back_is_no_way_around),
		cmocka_unit_test(timers_hand_on_where_they_come_from),
		cmocka_unit_test(the_limit_is_a_setting),
	};

	ar_bus_register(&waits);
	ar_bus_register(&stored);
	ar_bus_register(&timed);
	ar_timer_register(&hop);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
