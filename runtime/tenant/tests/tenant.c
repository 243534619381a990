/*
 * tenant.c - tests of tenants: names, create and delete, slots and epochs over two loops, settings.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tenant/tenant.h"
#include "tests/harness/house.h"

static const struct ar_migration thing_migrations[] = {
	{ "0001_thing", "CREATE TABLE thing (n BIGINT NOT NULL)",
	  "CREATE TABLE thing (n BIGINT NOT NULL)" },
	{ 0 },
};
static const struct ar_migration_set sets[] = { { "tenant", ar_setting_migrations },
						{ "test", thing_migrations },
						{ 0 } };

static void run(void (*body)(void *arg))
{
	house_open(sets);
	house_run(body, NULL);
	house_close();
}

#define TEST(name) TEST_IN(name, run, void *arg)

static void names(void **state)
{
	static const char *const good[] = {
		"a", "demo", "a-b", "0", "x1", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddd"
	};
	static const char *const bad[] = { "",
					   "-a",
					   "A",
					   "a_b",
					   "a.b",
					   "..",
					   "a/b",
					   "\xe4",
					   "a b",
					   "demo\n",
					   "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd" };

	for (size_t i = 0; i < AR_COUNT(good); i++)
		assert_true(ar_tenant_name_valid(ar_str(good[i])));
	for (size_t i = 0; i < AR_COUNT(bad); i++)
		assert_false(ar_tenant_name_valid(ar_str(bad[i])));
	assert_false(ar_tenant_name_valid(ar_str_n("a\0b", 3)));
}

TEST(unknown_tenants)
{
	struct ar_tenant *tenant;

	assert_fails(ar_tenant_acquire(AR_STR("nobody"), &tenant), AR_E_TENANT_UNKNOWN);
	assert_fails(ar_tenant_acquire(AR_STR("../etc"), &tenant), AR_E_TENANT_UNKNOWN);
	assert_fails(ar_tenant_acquire(AR_STR(""), &tenant), AR_E_TENANT_UNKNOWN);
	assert_fails(ar_tenant_delete(AR_STR("nobody")), AR_E_TENANT_UNKNOWN);
}

static AR_YIELDS int add_thing(struct ar_tenant *tenant, void *arg)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	if (ar_exec(&scope, "INSERT INTO thing (n) VALUES (?)", AR_ARGS(AR_J_INT(7)), NULL) != 0)
		return -1;
	return ar_commit(&scope);
}

static AR_YIELDS int64_t sum_things(struct ar_tenant *tenant)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, tenant->db, pool);
	assert_ok(ar_query(&scope, &rows, "SELECT SUM(n) FROM thing", AR_NO_ARGS));
	assert_true(ar_rows_next(&rows));
	return ar_col_int(&rows, 0);
}

static int told;

static AR_YIELDS void tell(struct ar_str name)
{
	assert_str(name, "acme");
	told++;
}

TEST(created_filled_deleted)
{
	struct ar_tenant *tenant, *again;
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *list;

	assert_fails(ar_tenant_create(AR_STR("Acme"), NULL, NULL), AR_E_INVALID);
	assert_ok(ar_tenant_create(AR_STR("acme"), add_thing, NULL));
	assert_fails(ar_tenant_create(AR_STR("acme"), NULL, NULL), AR_E_TENANT_EXISTS);
	assert_ok(ar_tenant_create(AR_STR("beta"), NULL, NULL));

	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &again));
	assert_ptr_equal(tenant, again);
	assert_int_equal(tenant->id.n, AR_ID_LEN);
	assert_int_equal(sum_things(tenant), 7);
	ar_tenant_release(again);
	ar_tenant_release(tenant);

	assert_ok(ar_tenant_list(pool, AR_STR(""), 10, &list));
	assert_int_equal(list->count, 2);
	assert_str(ar_json_text(list->first, "name", AR_STR_NONE), "acme");
	assert_ok(ar_tenant_list(pool, AR_STR("acme"), 10, &list));
	assert_int_equal(list->count, 1);

	ar_tenant_on_delete(tell);
	assert_ok(ar_tenant_delete(AR_STR("acme")));
	assert_int_equal(told, 1);
	assert_fails(ar_tenant_acquire(AR_STR("acme"), &tenant), AR_E_TENANT_UNKNOWN);
	assert_ok(ar_tenant_create(AR_STR("acme"), NULL,
				   NULL)); /* the name is free again, and empty */
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_int_equal(sum_things(tenant), 0);
	ar_tenant_release(tenant);
}

static AR_YIELDS int setup_fails(struct ar_tenant *tenant, void *arg)
{
	struct ar_tenant *other;

	assert_fails(ar_tenant_acquire(AR_STR("acme"), &other), AR_E_TENANT_UNKNOWN);
	assert_fails(ar_tenant_create(AR_STR("acme"), NULL, NULL), AR_E_TENANT_EXISTS);
	assert_ok(add_thing(tenant, NULL));
	return ar_fail(AR_E_UNAVAILABLE);
}

TEST(failed_setup_leaves_nothing)
{
	struct ar_tenant *tenant;

	assert_fails(ar_tenant_create(AR_STR("acme"), setup_fails, NULL), AR_E_UNAVAILABLE);
	assert_fails(ar_tenant_acquire(AR_STR("acme"), &tenant), AR_E_TENANT_UNKNOWN);
	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_int_equal(sum_things(tenant), 0);
	ar_tenant_release(tenant);
}

static void release_later(void *arg)
{
	ar_sleep(30);
	ar_tenant_release(arg);
}

TEST(delete_waits_for_holders)
{
	struct ar_tenant *tenant, *other;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	int64_t started = ar_mono_ms();

	ar_go("holder", release_later, tenant, AR_NO_DEADLINE);
	assert_ok(ar_tenant_delete(AR_STR("acme")));
	assert_true(ar_mono_ms() - started >= 25);
	assert_fails(ar_tenant_acquire(AR_STR("acme"), &other), AR_E_TENANT_UNKNOWN);
}

/* ---- slots ---- */

static atomic_int loads, unloads;

static AR_YIELDS int slot_load(struct ar_tenant *tenant, void **ret)
{
	int64_t *value = ar_heap_new(int64_t);

	*value = sum_things(tenant);
	if (ar_sleep(2) != 0) { /* so that others meet a load that is under way */
		ar_heap_free(value);
		return -1;
	}
	atomic_fetch_add(&loads, 1);
	*ret = value;
	return 0;
}

static void slot_unload(void *value)
{
	atomic_fetch_add(&unloads, 1);
	ar_heap_free(value);
}

static struct ar_tenant_slot slot = { .name = "sum", .load = slot_load, .unload = slot_unload };

static AR_YIELDS int64_t slot_value(struct ar_tenant *tenant)
{
	void *value;

	assert_ok(ar_tenant_get(tenant, &slot, &value));
	int64_t n = *(int64_t *)value;

	ar_tenant_drop(tenant, &slot, value);
	return n;
}

static AR_YIELDS void thing_add(struct ar_tenant *tenant, int64_t n, bool keep)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	assert_ok(ar_exec(&scope, "INSERT INTO thing (n) VALUES (?)", AR_ARGS(AR_J_INT(n)), NULL));
	assert_ok(ar_tenant_changes(tenant, &slot, &scope));
	if (keep)
		assert_ok(ar_commit(&scope));
	else
		ar_rollback(&scope);
}

static void get_too(void *arg)
{
	assert_int_equal(slot_value(arg), 1);
}

static void slot_body(void *arg)
{
	struct ar_tenant *tenant;
	void *old;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	thing_add(tenant, 1, true);
	for (int i = 0; i < 3; i++) /* they wait for one load */
		ar_go("getter", get_too, tenant, AR_NO_DEADLINE);
	assert_int_equal(slot_value(tenant), 1);
	assert_int_equal(loads, 1);

	thing_add(tenant, 10, false); /* rolled back: nothing moved */
	assert_int_equal(slot_value(tenant), 1);
	assert_int_equal(loads, 1);

	assert_ok(ar_tenant_get(tenant, &slot, &old));
	thing_add(tenant, 2, true);
	assert_int_equal(slot_value(tenant), 3);
	assert_int_equal(loads, 2);
	assert_int_equal(unloads, 0);
	assert_int_equal(*(int64_t *)old, 1); /* held: still there */
	ar_tenant_drop(tenant, &slot, old);
	assert_int_equal(unloads, 1);
	ar_tenant_release(tenant);
}

static void slots(void **state)
{
	loads = unloads = 0;
	house_open(sets);
	ar_tenant_slot_register(&slot);
	house_run(slot_body, NULL);
	house_close();
	assert_int_equal(loads, unloads);
}

/* A request's memory, and with it what it holds of a slot, may end long after its tenant was let go:
 * a client that reads slowly keeps it. Meanwhile the tenant cools down, or is deleted. */
static void slot_outlives_body(void *arg)
{
	struct ar_pool *pool = ar_pool_new(); /* the request's */
	struct ar_tenant *tenant;
	void *old, *current;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_ok(ar_tenant_use(tenant, &slot, pool, &old));
	thing_add(tenant, 5, true);
	assert_ok(ar_tenant_get(tenant, &slot, &current));
	ar_tenant_release(tenant);
	assert_ok(ar_tenant_delete(AR_STR("acme")));
	assert_int_equal(unloads, 0);
	assert_int_equal(*(int64_t *)old, 0);
	assert_int_equal(*(int64_t *)current, 5);
	ar_tenant_drop(tenant, &slot, current);
	assert_int_equal(unloads, 1);
	ar_pool_free(pool);
	assert_int_equal(unloads, 2);
}

static void slot_outlives_its_tenant(void **state)
{
	loads = unloads = 0;
	house_open(sets);
	ar_tenant_slot_register(&slot);
	house_run(slot_outlives_body, NULL);
	house_close();
	assert_int_equal(loads, unloads);
}

/* ---- two loops: one writes, the other must see each commit in its next call ---- */

#define TURNS 200
static atomic_int written, seen, finished;

static void write_turns(void *arg)
{
	struct ar_tenant *tenant;

	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	for (int i = 1; i <= TURNS; i++) {
		thing_add(tenant, 1, true);
		written = i;
		while (seen < i)
			assert_ok(ar_pause());
	}
	ar_tenant_release(tenant);
}

static void *writer_thread(void *arg)
{
	house_run(write_turns, NULL);
	finished = 1;
	return NULL;
}

static void read_turns(void *arg)
{
	struct ar_tenant *tenant;
	pthread_t thread;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_int_equal(pthread_create(&thread, NULL, writer_thread, NULL), 0);
	for (int i = 1; i <= TURNS; i++) {
		while (written < i)
			assert_ok(ar_pause());
		assert_int_equal(slot_value(tenant), i);
		seen = i;
	}
	ar_tenant_release(tenant);
	while (!finished)
		assert_ok(ar_sleep(1));
	pthread_join(thread, NULL);
}

static void epochs_cross_loops(void **state)
{
	loads = unloads = 0;
	written = seen = finished = 0;
	house_open(sets);
	ar_tenant_slot_register(&slot);
	house_run(read_turns, NULL);
	house_close();
	assert_int_equal(loads, TURNS);
	assert_int_equal(unloads, TURNS);
}

/* ---- a tenant deleted while another loop has it warm ---- */

static atomic_int warm, deleted;

static void warm_up(void *arg)
{
	struct ar_tenant *tenant;

	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	ar_tenant_release(tenant);
	warm = 1;
	while (!deleted)
		assert_ok(ar_sleep(1));
	assert_fails(ar_tenant_acquire(AR_STR("acme"), &tenant), AR_E_TENANT_UNKNOWN);
}

static void *warm_thread(void *arg)
{
	house_run(warm_up, NULL);
	finished = 1;
	return NULL;
}

TEST(delete_reaches_other_loops)
{
	pthread_t thread;

	warm = deleted = finished = 0;
	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_int_equal(pthread_create(&thread, NULL, warm_thread, NULL), 0);
	while (!warm)
		assert_ok(ar_sleep(1));
	int64_t started = ar_mono_ms();

	assert_ok(ar_tenant_delete(AR_STR("acme")));
	assert_in_range(ar_mono_ms() - started, 0, 9000); /* who holds it may keep it for 10 s */
	deleted = 1;
	while (!finished)
		assert_ok(ar_sleep(1));
	pthread_join(thread, NULL);
}

/* ---- settings ---- */

TEST(settings)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *value, *big;
	struct ar_tenant *tenant;
	struct ar_scope scope;

	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &tenant));
	assert_ok(ar_setting_get(tenant, pool, "colour", &value));
	assert_null(value);

	ar_scope_init(&scope, tenant->db, pool);
	assert_ok(ar_setting_set(tenant, &scope, "colour", &AR_J_Z("红")));
	assert_ok(ar_setting_get(tenant, pool, "colour", &value));
	assert_null(value); /* not committed yet */
	assert_ok(ar_commit(&scope));
	assert_ok(ar_setting_get(tenant, pool, "colour", &value));
	assert_str(value->s, "红");

	assert_ok(ar_setting_set(tenant, &scope, "colour", &AR_J_INT(3)));
	assert_ok(ar_commit(&scope));
	assert_ok(ar_setting_get(tenant, pool, "colour", &value));
	assert_int_equal(value->i, 3);

	char *text = ar_alloc(pool, 70000);

	memset(text, 'x', 70000);
	big = ar_json_str(pool, ar_str_n(text, 70000));
	assert_fails(ar_setting_set(tenant, &scope, "colour", big), AR_E_TOO_LARGE);
	assert_ok(ar_setting_set(tenant, &scope, "colour", NULL));
	assert_ok(ar_commit(&scope));
	assert_ok(ar_setting_get(tenant, pool, "colour", &value));
	assert_null(value);
	ar_tenant_release(tenant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(unknown_tenants),
		cmocka_unit_test(created_filled_deleted),
		cmocka_unit_test(failed_setup_leaves_nothing),
		cmocka_unit_test(delete_waits_for_holders),
		cmocka_unit_test(slots),
		cmocka_unit_test(slot_outlives_its_tenant),
		cmocka_unit_test(epochs_cross_loops),
		cmocka_unit_test(delete_reaches_other_loops),
		cmocka_unit_test(settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
