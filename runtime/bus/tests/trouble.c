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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_letter_is_whole_although_its_turn_failed),
	};

	ar_bus_register(&refused_target);
	ar_bus_register(&stored_target);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
