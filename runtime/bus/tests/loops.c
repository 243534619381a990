/*
 * loops.c - several loops, the real clock: tenants live on one loop each and are written to from all.
 */
#include "tests/harness/test.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>

#include "bus/bus.h"

#define LOOPS   2
#define TENANTS 6
#define EACH    60 /* events for each tenant from each loop */

static struct ar_store *store;
static struct ar_loop *loops[LOOPS];
static pthread_barrier_t barrier;
static char folder[64];
static _Atomic int delivered[TENANTS], wrong_loop, resumed, errands, ended;
static int64_t last[TENANTS][LOOPS]; /* touched on the tenant's home only */

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s: %s\n", what, ar_err() ? ar_err()->def->slug : "");
	_exit(99);
}
#define MUST(what) must((what), #what)

static struct ar_str name_of(int tenant, char out[24])
{
	snprintf(out, 24, "tenant-%d", tenant);
	return ar_str(out);
}

static int deliver(struct ar_delivery *d)
{
	int tenant = d->database.p[d->database.n - 1] - '0';
	int64_t from = ar_json_number(d->event->data, "from", -1);
	int64_t n = ar_json_number(d->event->data, "n", -1);

	if (ar_loop() != ar_bus_home(d->database))
		atomic_fetch_add(&wrong_loop, 1);
	/* The key is the publishing loop: its events come in its order. */
	MUST(n == last[tenant][from] + 1);
	last[tenant][from] = n;
	if (n % 7 == 0)
		MUST(ar_sleep(1) == 0);
	atomic_fetch_add(&delivered[tenant], 1);
	return 0;
}
static const struct ar_bus_target target = { "test", NULL, deliver, false };

static int on_start(struct ar_str database)
{
	if (ar_loop() != ar_bus_home(database))
		atomic_fetch_add(&wrong_loop, 1);
	atomic_fetch_add(&resumed, 1);
	return 0;
}

static void publish(int tenant, int from, int64_t n)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *data = ar_json_new(pool, AR_OBJECT);
	struct ar_scope scope;
	struct ar_db *db;
	char name[24], key[8];

	snprintf(key, sizeof(key), "k%d", from);
	ar_json_set(data, AR_STR("from"), ar_json_int(pool, from));
	ar_json_set(data, AR_STR("n"), ar_json_int(pool, n));
	MUST(ar_db_acquire(store, name_of(tenant, name), &db) == 0);
	ar_scope_init(&scope, db, pool);
	MUST(ar_publish(&scope, "t", ar_str(key), data, NULL) == 0);
	MUST(ar_commit(&scope) == 0);
	ar_db_release(db);
	ar_pool_free(pool);
}

static void make_tenants(void)
{
	for (int i = 0; i < TENANTS; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;
		struct ar_db *db;
		char name[24];

		MUST(ar_store_create(store, name_of(i, name)) == 0);
		MUST(ar_db_acquire(store, ar_str(name), &db) == 0);
		ar_scope_init(&scope, db, pool);
		MUST(ar_subscribe(&scope, &(struct ar_subscription){ .name = AR_STR("s"),
								     .topics = AR_STR("*"),
								     .kind = AR_STR("test") }) ==
		     0);
		MUST(ar_commit(&scope) == 0);
		ar_db_release(db);
		ar_pool_free(pool);
	}
}

static void errand(void *arg)
{
	char name[24];

	if (ar_loop() != ar_bus_home(name_of(*(int *)arg, name)))
		atomic_fetch_add(&wrong_loop, 1);
	atomic_fetch_add(&errands, 1);
}

static void all_delivered(void)
{
	int64_t until = ar_mono_ms() + 30000;

	for (int i = 0; i < TENANTS; i++) {
		while (atomic_load(&delivered[i]) < LOOPS * EACH) {
			MUST(ar_mono_ms() < until);
			MUST(ar_sleep(2) == 0);
		}
	}
}

static void meet(void) /* outside of waits of fibers: both loops stand still for a moment */
{
	pthread_barrier_wait(&barrier);
}

static void run(void *arg)
{
	static int numbers[TENANTS] = { 0, 1, 2, 3, 4, 5 };
	int me = *(int *)arg;
	char name[24];

	if (me == 0)
		make_tenants();
	meet();
	for (int64_t n = 1; n <= EACH; n++) {
		for (int i = 0; i < TENANTS; i++)
			publish(i, me, n);
	}
	for (int i = 0; i < TENANTS; i++)
		ar_bus_go_home(name_of(i, name), errand, &numbers[i]);
	all_delivered();
	while (atomic_load(&errands) < LOOPS * TENANTS)
		MUST(ar_sleep(1) == 0);
	/* Each loop ends half of the tenants, whichever their home, and drops them. */
	for (int i = me; i < TENANTS; i += LOOPS) {
		ar_bus_close(name_of(i, name));
		MUST(ar_store_drop(store, ar_str(name)) == 0);
	}
	/* A home that has stopped ends nobody's workers. */
	atomic_fetch_add(&ended, 1);
	while (atomic_load(&ended) < LOOPS)
		MUST(ar_sleep(1) == 0);
	ar_bus_stop();
	ar_store_detach(store);
	ar_loop_stop(ar_loop());
}

static void *thread(void *arg)
{
	int me = *(int *)arg;

	loops[me] = ar_loop_new();
	ar_store_attach(store);
	meet();
	if (me == 0)
		MUST(ar_bus_start(store, loops, LOOPS) == 0);
	meet();
	ar_go("test", run, arg, AR_NO_DEADLINE);
	ar_loop_run(loops[me]);
	meet();
	ar_loop_free(loops[me]);
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void serves_tenants_from_all_loops(void **state)
{
	static const struct ar_migration_set sets[] = { { "bus", ar_bus_migrations }, { 0 } };
	struct ar_store_options options = { .tenant = sets };
	static int numbers[LOOPS] = { 0, 1 };
	struct ar_bus_stats stats;
	pthread_t threads[LOOPS];

	snprintf(folder, sizeof(folder), "/tmp/apprun-bus-XXXXXX");
	assert_non_null(mkdtemp(folder));
	options.url = AR_STR("sqlite:");
	options.data = ar_str(folder);
	ar_bus_register(&target);
	ar_bus_on_start(on_start);
	assert_ok(ar_offload_start(0));
	assert_ok(ar_store_open(&options, &store));
	pthread_barrier_init(&barrier, NULL, LOOPS);
	for (int i = 0; i < LOOPS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread, &numbers[i]), 0);
	for (int i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	ar_store_close(store);
	ar_offload_stop();
	pthread_barrier_destroy(&barrier);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);

	assert_int_equal(wrong_loop, 0);
	assert_int_equal(resumed, TENANTS);
	for (int i = 0; i < TENANTS; i++)
		assert_int_equal(delivered[i], LOOPS * EACH);
	ar_bus_stats(&stats);
	assert_int_equal(stats.workers, 0);
	assert_int_equal(stats.published, LOOPS * EACH * TENANTS);
	assert_true(stats.delivered == LOOPS * EACH * TENANTS && stats.failed == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(serves_tenants_from_all_loops) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
