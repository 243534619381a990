/*
 * store.c - how fast the store is: durable creates and gets by key, per second and per CPU second,
 * with so many fibers on so many loops. Not a test. `bench_store [loops [fibers [seconds]]]`.
 *
 * The disk's own fdatasync latency is printed with it: durable figures mean little without.
 */
#include "store/store.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct ar_store *store;
static int nloops = 1, nfibers = 64;
static int64_t run_ms = 3000;
static _Atomic int64_t done, serial;
static int64_t end_ms;
static void (*work)(struct ar_db *db);
static pthread_barrier_t all;

static void create(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	need(ar_exec(&scope, "INSERT INTO note (id, title, body, created) VALUES (?, ?, ?, ?)",
		     AR_ARGS(AR_J_STR(ar_id(pool)), AR_J_Z("a title"),
			     AR_J_Z("a body that is a little longer than the title"),
			     AR_J_INT(ar_now_ms())),
		     NULL),
	     "insert");
	need(ar_commit(&scope), "commit");
	ar_pool_free(pool);
}

static void get(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	need(ar_query(&scope, &rows, "SELECT id, title, body, created FROM note WHERE rowid = ?",
		      AR_ARGS(AR_J_INT(1 + (int64_t)ar_random_below((uint64_t)serial)))),
	     "get");
	if (!ar_rows_next(&rows) || ar_col_str(&rows, 0).n != AR_ID_LEN)
		need(-1, "no row");
	ar_pool_free(pool);
}

static void worker(void *arg)
{
	struct ar_db *db = arg;

	while (ar_mono_ms() < end_ms) {
		for (int i = 0; i < 8; i++)
			work(db);
		done += 8;
		need(ar_pause(), "pause");
	}
}

static void first(void *arg)
{
	struct ar_loop *loop = arg;
	struct ar_fiber *fibers[1024];
	struct ar_db *db;

	need(ar_db_acquire(store, AR_STR("bench"), &db), "open");
	for (int i = 0; i < nfibers; i++) {
		fibers[i] = ar_go("worker", worker, db, AR_NO_DEADLINE);
		ar_fiber_hold(fibers[i]);
	}
	for (int i = 0; i < nfibers; i++) {
		ar_join(fibers[i]);
		ar_fiber_drop(fibers[i]);
	}
	ar_db_release(db);
	ar_store_detach(store);
	ar_loop_stop(loop);
}

static void make_table(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	need(ar_exec(&scope,
		     "CREATE TABLE note (id TEXT PRIMARY KEY, title TEXT, body TEXT, created "
		     "BIGINT)",
		     AR_NO_ARGS, NULL),
	     "table");
	need(ar_commit(&scope), "commit");
	ar_pool_free(pool);
}

static void prepare(void *arg)
{
	struct ar_db *db;

	need(ar_store_create(store, AR_STR("bench")), "create");
	need(ar_db_acquire(store, AR_STR("bench"), &db), "open");
	make_table(db);
	ar_db_release(db);
	ar_store_detach(store);
	ar_loop_stop(arg);
}

static void (*only)(void *arg); /* instead of the workers */

static void *thread(void *arg)
{
	struct ar_loop *loop = ar_loop_new();

	ar_store_attach(store);
	if (only == NULL)
		pthread_barrier_wait(&all);
	ar_go("first", only != NULL ? only : first, loop, AR_NO_DEADLINE);
	ar_loop_run(loop);
	ar_loop_free(loop);
	return NULL;
}

static void measure(const char *name, void (*fn)(struct ar_db *db))
{
	struct ar_store_stats before, after;
	pthread_t threads[16];
	int64_t cpu = cpu_us();
	int64_t began = ar_mono_ms();

	work = fn;
	done = 0;
	end_ms = began + run_ms;
	ar_store_stats(store, &before);
	pthread_barrier_init(&all, NULL, (unsigned)nloops);
	for (int i = 0; i < nloops; i++)
		pthread_create(&threads[i], NULL, thread, NULL);
	for (int i = 0; i < nloops; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&all);
	ar_store_stats(store, &after);
	printf("%-8s %9.0f/s  %6.2f us CPU each", name,
	       (double)done * 1000 / (double)(ar_mono_ms() - began),
	       (double)(cpu_us() - cpu) / (double)done);
	if (after.commits > before.commits)
		printf("  %.1f units a commit", (double)(after.units - before.units) /
							(double)(after.commits - before.commits));
	printf("\n");
}

/* ---- what open handles cost ---- */

#define HANDLES 400

static long resident_kb(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
		need(-1, "statm");
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void open_many(void *arg)
{
	struct ar_db *db;
	char name[40];
	long before = 0;
	int64_t began = 0;

	for (int i = 0; i <= HANDLES; i++) {
		if (i == 1) { /* the first one warms up */
			before = resident_kb();
			began = ar_mono_us();
		}
		snprintf(name, sizeof(name), "many-%d", i);
		need(ar_store_create(store, ar_str(name)), "create");
		need(ar_db_acquire(store, ar_str(name), &db), "open");
		make_table(db);
		create(db);
		serial = 1;
		get(db);
		ar_db_release(db);
	}
	printf("handles  %.0f KB each, %.0f us to create, open, write and read",
	       (double)(resident_kb() - before) / HANDLES,
	       (double)(ar_mono_us() - began) / HANDLES);
	ar_store_detach(store);
	printf("; %.0f KB each stay when closed\n", (double)(resident_kb() - before) / HANDLES);
	ar_loop_stop(arg);
}

static void disk(const char *folder)
{
	char path[128], block[4096] = { 0 };
	int64_t began;
	int fd;

	snprintf(path, sizeof(path), "%s/probe", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	began = ar_mono_us();
	for (int i = 0; i < 500; i++) {
		if (pwrite(fd, block, sizeof(block), i * 4096L) < 0 || fdatasync(fd) != 0)
			need(-1, "disk");
	}
	printf("disk     %.0f us for 4 KiB and fdatasync\n", (double)(ar_mono_us() - began) / 500);
	close(fd);
}

int main(int argc, char **argv)
{
	char folder[] = "./bench-store-XXXXXX";
	struct ar_store_options options = { 0 };
	pthread_t t;

	if (argc > 1)
		nloops = (int)strtol(argv[1], NULL, 10);
	if (argc > 2)
		nfibers = (int)strtol(argv[2], NULL, 10);
	if (argc > 3)
		run_ms = 1000 * strtol(argv[3], NULL, 10);
	if (nloops < 1 || nloops > 16 || nfibers < 1 || nfibers > 1024 || mkdtemp(folder) == NULL)
		return 2;
	options.data = ar_str(folder);
	options.url = ar_str(getenv("APPRUN_TEST_STORE"));
	need(ar_offload_start(0), "offload");
	need(ar_store_open(&options, &store), "store");
	disk(folder);
	only = prepare;
	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	only = NULL;
	printf("%d loops, %d fibers each\n", nloops, nfibers);
	measure("create", create);
	serial = done;
	measure("get", get);
	only = open_many;
	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	ar_store_close(store);
	ar_offload_stop();
	folder_remove(folder);
	return 0;
}
