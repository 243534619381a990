/*
 * loops.c - units of several loops, with all that a unit may do, that fail as chance has it or run out
 * of time: what was answered with 0 is there, at once and in the end, and nothing else is.
 */
#include "tests/drivers/rig.h"
#include "tests/harness/fiber.h"

#include <pthread.h>
#include <stdatomic.h>

static struct rig rig;

static int insert(struct ar_scope *scope, int64_t id)
{
	return ar_exec(scope, "INSERT INTO t (id, v) VALUES (?, NULL)", AR_ARGS(AR_J_INT(id)),
		       NULL);
}

static struct ar_json long_text(struct ar_scope *scope)
{
	size_t n = ar_random_below(9000);
	char *text = ar_alloc(scope->pool, n + 1);

	memset(text, 'x', n);
	return AR_J_STR(ar_str_n(text, n));
}

enum { LOOPS = 3, EACH = 600, FIBERS = 12 };

static _Atomic unsigned char known[LOOPS * EACH]; /* 1: stored, 2: not */

static int one_thing(struct ar_scope *scope, int64_t id, int what)
{
	struct ar_json key = AR_J_INT(id);
	struct ar_rows rows;
	int rc;

	switch (what) {
	case 0:
		return ar_exec(scope, "UPDATE total SET n = n + 0", AR_NO_ARGS, NULL);
	case 1:
		if (ar_savepoint(scope) != 0)
			return -1;
		rc = ar_exec(scope, "UPDATE t SET v = 'undone' WHERE id < ?", AR_ARGS(key), NULL);
		return ar_savepoint_undo(scope) != 0 ? -1 : rc;
	case 2:
		return ar_query_lock(scope, &rows, "SELECT v FROM t WHERE id = ?", AR_ARGS(key));
	case 3:
		rc = insert(scope, id); /* refused by the key */
		if (rc == 0 || !ar_err_is(AR_E_UNIQUE))
			return -1;
		ar_err_clear();
		return 0;
	case 4:
		return ar_exec(scope,
			       ar_printf(scope->pool, "UPDATE t SET v = '%d' WHERE id = ?",
					 (int)ar_random_below(400)),
			       AR_ARGS(key), NULL);
	case 5:
		return rig_is_sqlite(&rig)
			       ? ar_query_lock(scope, &rows,
					       "UPDATE t SET v = 'r' WHERE id = ? RETURNING id",
					       AR_ARGS(key))
			       : 0;
	case 7:
		return ar_exec_long(scope,
				    ar_printf(scope->pool, "CREATE TABLE x%d (n BIGINT)", (int)id));
	default:
		return ar_exec(scope, "UPDATE t SET v = ? WHERE id = ?",
			       AR_ARGS(long_text(scope), key), NULL);
	}
}

static int several_things(struct ar_scope *scope, int64_t id)
{
	int things = (int)ar_random_below(5);

	if (insert(scope, id) != 0 ||
	    ar_exec(scope, "UPDATE total SET n = n + 1", AR_NO_ARGS, NULL) != 0)
		return -1;
	for (int i = 0; i < things; i++)
		if (one_thing(scope, id, (int)ar_random_below(i == 0 && id % 50 == 0 ? 8 : 7)) != 0)
			return -1;
	return ar_random_below(6) == 0 ? ar_fail(AR_E_CONFLICT, "what", "test") : 0;
}

static void any_unit(void *arg, int index)
{
	for (int n = index; n < EACH; n += FIBERS) {
		int64_t id = n + EACH * *(int *)arg;
		struct ar_db *db = rig_open(&rig, "loops");
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;
		int rc;

		ar_scope_init(&scope, db, pool);
		if (ar_random_below(8) == 0)
			ar_deadline_set(ar_mono_ms() + (int64_t)ar_random_below(6));
		rc = several_things(&scope, id);
		rc = rc == 0 ? ar_commit(&scope) : -1;
		if (rc != 0)
			ar_rollback(&scope);
		ar_err_clear();
		ar_deadline_set(AR_NO_DEADLINE);
		known[id] = rc == 0 ? 1 : 2;
		if (rc == 0) { /* and it is seen here at once */
			CHECK(rig_count(db, ar_printf(pool, "SELECT count(*) FROM t WHERE id = %d",
						      (int)id)) == 1);
		}
		ar_pool_free(pool);
		ar_db_release(db);
	}
}

static void any_loop(void *arg, int index)
{
	rig_fibers(FIBERS, any_unit, &index);
}

static void prepare_loops(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "loops");

	rig_exec(db, "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)");
	rig_exec(db, "CREATE TABLE total (n BIGINT)");
	rig_exec(db, "INSERT INTO total (n) VALUES (0)");
	ar_db_release(db);
}

static void look_at_loops(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "loops");
	int64_t stored_ones = 0;

	for (int i = 0; i < LOOPS * EACH; i++)
		stored_ones += known[i] == 1;
	CHECK(rig_count(db, "SELECT count(*) FROM t") == stored_ones);
	CHECK(rig_count(db, "SELECT n FROM total") == stored_ones);
	CHECK(rig_count(db, "SELECT count(*) FROM t WHERE v = 'undone'") == 0);
	for (int i = 0; i < LOOPS * EACH; i++)
		if (known[i] == 1) {
			char sql[64];

			snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE id = %d", i);
			CHECK(rig_count(db, sql) == 1);
		}
	ar_db_release(db);
}

static void whatever_comes_on_several_loops(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, prepare_loops, NULL);
	rig_run(&rig, LOOPS, any_loop, NULL);
	rig_run(&rig, 1, look_at_loops, NULL);
	rig_stop(&rig);
}

/* ---- a database is dropped while loops end ---- */

static atomic_bool other_there, other_may_go;

static void other_waits(void *arg)
{
	atomic_store(&other_there, true);
	while (!atomic_load(&other_may_go))
		CHECK(ar_sleep(1) == 0);
	ar_store_detach(rig.store);
}

static void *other_loop(void *arg)
{
	struct ar_loop *loop = ar_loop_new();

	ar_store_attach(rig.store);
	fiber_run_on(loop, other_waits, NULL);
	ar_loop_free(loop);
	return NULL;
}

struct drop {
	char name[40];
	bool done;
};

static void drop(void *arg)
{
	struct drop *d = arg;

	CHECK(ar_store_drop(rig.store, ar_str(d->name)) == 0);
	d->done = true;
}

static void drop_it(struct ar_db *db, struct drop *d)
{
	*d = (struct drop){ .done = false };
	memcpy(d->name, ar_db_name(db).p, ar_db_name(db).n);
	ar_go("drop", drop, d, AR_NO_DEADLINE);
}

static void drop_while_another_ends(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "gone");
	struct drop d;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, other_loop, NULL) == 0);
	while (!atomic_load(&other_there))
		CHECK(ar_sleep(1) == 0);
	drop_it(db, &d); /* it waits for this loop's handle, and will then ask the other loop */
	atomic_store(&other_may_go, true);
	pthread_join(thread, NULL);
	ar_db_release(db);
	while (!d.done)
		CHECK(ar_sleep(1) == 0);
}

static void a_loop_may_end_while_a_database_is_dropped(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, drop_while_another_ends, NULL);
	rig_stop(&rig);
}

static struct drop last_drop;

static void drop_and_leave(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "last");

	ar_db_release(db);
	drop_it(db, &last_drop);
}

/* It used to wait for ten seconds, as for a handle that somebody holds. */
static void a_loop_ends_when_its_last_handle_is_closed(void **state)
{
	int64_t began;

	rig_start(&rig, NULL);
	began = ar_mono_ms();
	rig_run(&rig, 1, drop_and_leave, NULL);
	assert_in_range(ar_mono_ms() - began, 0, 9000);
	assert_true(last_drop.done);
	rig_stop(&rig);
}

static int make(void **state)
{
	rig_make(&rig, "loops");
	return 0;
}

static int unmake(void **state)
{
	rig_remove(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_comes_on_several_loops),
		cmocka_unit_test(a_loop_may_end_while_a_database_is_dropped),
		cmocka_unit_test(a_loop_ends_when_its_last_handle_is_closed),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
