/*
 * bus.c - how fast the bus is: 64 fibers publish durably, one event a commit, to one tenant on one
 * loop, until all is delivered. Not a test. `bench_bus [events]`.
 *
 * A line for each kind of delivery: nobody wants the events; a transactional target; a target in
 * fibers, without keys; with 50 keys. The CPU is the whole process's, publishing included.
 */
#include "bus/bus.h"
#include "tests/bench/bench.h"

#include <unistd.h>

static struct ar_store *store;
static struct ar_loop *loop;
static struct ar_db *db;
static int64_t events = 50000, published, delivered;
static int publishers;
static bool keyed;

static int deliver(struct ar_delivery *d)
{
	(void)d;
	delivered++;
	return 0;
}
static const struct ar_bus_target fibers = { "fibers", NULL, deliver, false };
static const struct ar_bus_target stored = { "stored", NULL, deliver, true };

static void publisher(void *arg)
{
	(void)arg;
	while (published < events) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_json *data = ar_json_new(pool, AR_OBJECT);
		struct ar_scope scope;
		struct ar_str key = AR_STR_NONE;

		published++;
		if (keyed)
			key = ar_strf(pool, "key-%d", (int)(published % 50));
		ar_json_set(data, AR_STR("n"), ar_json_int(pool, published));
		ar_json_set(data, AR_STR("title"), ar_json_str(pool, AR_STR("a record's title")));
		ar_scope_init(&scope, db, pool);
		need(ar_publish(&scope, "data.record.created", key, data, NULL), "publish");
		need(ar_commit(&scope), "commit");
		ar_pool_free(pool);
	}
	publishers--;
}

static void measure(const char *what, const char *kind, bool keys)
{
	int64_t began = ar_mono_us(), cpu = cpu_us(), stored_us;

	if (kind != NULL) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_scope scope;

		ar_scope_init(&scope, db, pool);
		need(ar_subscribe(&scope, &(struct ar_subscription){ .name = AR_STR("s"),
								     .topics = AR_STR("data.*"),
								     .kind = ar_str(kind) }),
		     "subscribe");
		need(ar_commit(&scope), "commit");
		ar_pool_free(pool);
	}
	published = delivered = 0;
	keyed = keys;
	for (publishers = 0; publishers < 64; publishers++)
		ar_go("publisher", publisher, NULL, AR_NO_DEADLINE);
	while (publishers > 0)
		need(ar_sleep(1), "sleep");
	stored_us = ar_mono_us() - began;
	while (kind != NULL && delivered < events)
		need(ar_sleep(1), "sleep");
	began = ar_mono_us() - began;
	cpu = cpu_us() - cpu;
	printf("%-24s %8.0f published/s %8.0f delivered/s %6.1f us CPU each\n", what,
	       (double)events * 1e6 / (double)stored_us, (double)events * 1e6 / (double)began,
	       (double)cpu / (double)events);
}

static void run(void *arg)
{
	(void)arg;
	need(ar_store_create(store, AR_STR("bench")), "create");
	need(ar_db_acquire(store, AR_STR("bench"), &db), "acquire");
	need(ar_bus_start(store, &loop, 1), "start");
	measure("nobody", NULL, false);
	measure("transactional", "stored", true);
	measure("fibers, no keys", "fibers", false);
	measure("fibers, 50 keys", "fibers", true);
	ar_bus_stop();
	ar_db_release(db);
	ar_store_detach(store);
	ar_loop_stop(loop);
}

int main(int argc, char **argv)
{
	static const struct ar_migration_set sets[] = { { "bus", ar_bus_migrations }, { 0 } };
	struct ar_store_options options = { .tenant = sets, .url = AR_STR("sqlite:") };
	char folder[] = "/var/tmp/apprun-bench-XXXXXX";

	if (argc > 1)
		events = strtol(argv[1], NULL, 10);
	if (mkdtemp(folder) == NULL)
		return 1;
	options.data = ar_str(folder);
	ar_bus_register(&fibers);
	ar_bus_register(&stored);
	need(ar_offload_start(0), "offload");
	need(ar_store_open(&options, &store), "open");
	loop = ar_loop_new();
	ar_store_attach(store);
	ar_go("bench", run, NULL, AR_NO_DEADLINE);
	ar_loop_run(loop);
	ar_loop_free(loop);
	ar_store_close(store);
	ar_offload_stop();
	folder_remove(folder);
	return 0;
}
