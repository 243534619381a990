/*
 * rig.c - see rig.h.
 */
#include "tests/drivers/rig.h"
#include "tests/harness/fiber.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	for (const struct ar_err *e = ar_err(); e != NULL; e = e->below)
		fprintf(stderr, "  error %s: %s (%s:%d)\n", e->def->slug,
			e->why != NULL ? e->why : "", e->file, e->line);
	_exit(99);
}

static struct ar_str url(void)
{
	const char *text = getenv("APPRUN_TEST_STORE");

	return ar_str(text != NULL ? text : "sqlite:");
}

bool rig_is_sqlite(const struct rig *rig)
{
	return ar_store_dialect(rig->store) == AR_SQLITE;
}

void rig_make(struct rig *rig, const char *prefix)
{
	memset(rig, 0, sizeof(*rig));
	rig->prefix = prefix;
	snprintf(rig->folder, sizeof(rig->folder), "/tmp/apprun-drivers-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
}

void rig_start(struct rig *rig, const struct ar_store_options *options)
{
	struct ar_store_options mine = { 0 };

	if (options != NULL)
		mine = *options;
	mine.url = url();
	mine.data = ar_str(rig->folder);
	assert_ok(ar_offload_start(0));
	assert_ok(ar_store_open(&mine, &rig->store));
}

void rig_stop(struct rig *rig)
{
	ar_store_close(rig->store);
	rig->store = NULL;
	ar_offload_stop();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void rig_remove(struct rig *rig)
{
	nftw(rig->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct runner {
	struct rig *rig;
	void (*fn)(void *arg, int index);
	void *arg;
	int index;
	struct ar_loop *loop;
	pthread_barrier_t *all;
};

static void run_fiber(void *arg)
{
	struct runner *r = arg;

	r->fn(r->arg, r->index);
	ar_store_detach(r->rig->store);
}

static void *run_loop(void *arg)
{
	struct runner *r = arg;

	r->loop = ar_loop_new();
	ar_store_attach(r->rig->store);
	pthread_barrier_wait(r->all);
	fiber_run_on(r->loop, run_fiber, r);
	ar_loop_free(r->loop);
	return NULL;
}

void rig_run(struct rig *rig, int loops, void (*fn)(void *arg, int index), void *arg)
{
	struct runner runners[8];
	pthread_t threads[8];
	pthread_barrier_t all;

	assert_in_range(loops, 1, 8);
	pthread_barrier_init(&all, NULL, (unsigned)loops);
	for (int i = 0; i < loops; i++) {
		runners[i] = (struct runner){ rig, fn, arg, i, NULL, &all };
		assert_int_equal(pthread_create(&threads[i], NULL, run_loop, &runners[i]), 0);
	}
	for (int i = 0; i < loops; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&all);
}

void rig_once(struct rig *rig, const struct ar_store_options *options,
	      void (*fn)(void *arg, int index))
{
	rig_start(rig, options);
	rig_run(rig, 1, fn, NULL);
	rig_stop(rig);
}

/* ---- databases ---- */

static struct ar_str full_name(struct rig *rig, const char *name, char out[40])
{
	snprintf(out, 40, "%s-%s", rig->prefix, name);
	return ar_str(out);
}

struct ar_db *rig_open(struct rig *rig, const char *name)
{
	char text[40];
	struct ar_db *db = NULL;

	CHECK(ar_db_acquire(rig->store, full_name(rig, name, text), &db) == 0);
	return db;
}

struct ar_db *rig_db(struct rig *rig, const char *name)
{
	char text[40];
	struct ar_str full = full_name(rig, name, text);

	if (ar_store_create(rig->store, full) != 0) {
		CHECK(ar_err_is(AR_E_CONFLICT));
		ar_err_clear();
		CHECK(ar_store_drop(rig->store, full) == 0);
		CHECK(ar_store_create(rig->store, full) == 0);
	}
	return rig_open(rig, name);
}

int64_t rig_count(struct ar_db *db, const char *sql)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t n;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, sql, AR_NO_ARGS) == 0);
	CHECK(ar_rows_next(&rows));
	n = ar_col_int(&rows, 0);
	ar_pool_free(pool);
	return n;
}

void rig_exec(struct ar_db *db, const char *sql)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, sql, AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

void rig_path(const struct rig *rig, char *out, size_t cap, const char *name, const char *ending)
{
	snprintf(out, cap, "%s/tenants/%s-%s.db%s", rig->folder, rig->prefix, name, ending);
}

/* ---- fibers ---- */

struct member {
	void (*fn)(void *arg, int index);
	void *arg;
	int index;
};

static void member_run(void *arg)
{
	struct member *m = arg;

	m->fn(m->arg, m->index);
}

void rig_fibers(int n, void (*fn)(void *arg, int index), void *arg)
{
	struct member *members = ar_heap_alloc((size_t)n * sizeof(*members));
	struct ar_fiber **fibers = ar_heap_alloc((size_t)n * sizeof(struct ar_fiber *));

	for (int i = 0; i < n; i++) {
		members[i] = (struct member){ fn, arg, i };
		fibers[i] = ar_go("member", member_run, &members[i], AR_NO_DEADLINE);
		ar_fiber_hold(fibers[i]);
	}
	for (int i = 0; i < n; i++) {
		ar_join(fibers[i]);
		ar_fiber_drop(fibers[i]);
	}
	ar_heap_free(fibers);
	ar_heap_free(members);
}
