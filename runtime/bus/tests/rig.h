/*
 * rig.h - a store, one loop and a bus on a simulated clock, for the tests of this room.
 *
 * Time moves only when nothing is left to do: then the loop's wait moves the clock to the next timer.
 * Random numbers come from a seed. On SQLite the offload pool is stopped once the database is open,
 * so that commits run on the loop and a seed gives the same run every time. On PostgreSQL the clock
 * stands still while a fiber waits for the server.
 */
#ifndef BUS_RIG_H
#define BUS_RIG_H

#include "bus/bus_int.h"
#include "fiber/fiber_int.h"
#include "tests/harness/fiber.h"

#include <ftw.h>
#include <poll.h>

struct rig {
	char folder[64];
	struct ar_store *store;
	struct ar_loop *loop;
	struct ar_db *db;
	struct ar_str name;
	uint64_t seed;
	int64_t us; /* the simulated clock */
	void (*test)(struct rig *rig);
	bool server; /* PostgreSQL */
	bool warm;   /* all is open: time may be moved */
	int connecting, connected;
};

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			rig_fail(__FILE__, __LINE__, #what);                                       \
	} while (0)

static AR_UNUSED uint64_t rig_on_failure; /* the seed to tell */

static inline __attribute__((noreturn)) void rig_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s (seed %llu)\n", file, line, what,
		(unsigned long long)rig_on_failure);
	for (const struct ar_err *e = ar_err(); e != NULL; e = e->below)
		fprintf(stderr, "  error %s: %s (%s:%d)\n", e->def->slug, e->why ? e->why : "",
			e->file, e->line);
	_exit(99);
}

/* cmocka's own checks would jump out of a fiber. */
#define CHECK_INT(got, wanted)                                                                     \
	do {                                                                                       \
		int64_t got_ = (got), wanted_ = (wanted);                                          \
		if (got_ != wanted_) {                                                             \
			fprintf(stderr, "%lld, not %lld: ", (long long)got_, (long long)wanted_);  \
			rig_fail(__FILE__, __LINE__, #got);                                        \
		}                                                                                  \
	} while (0)
#define CHECK_RANGE(got, low, high)                                                                \
	do {                                                                                       \
		int64_t got_ = (got);                                                              \
		if (got_ < (low) || got_ > (high)) {                                               \
			fprintf(stderr, "%lld: ", (long long)got_);                                \
			rig_fail(__FILE__, __LINE__, #got);                                        \
		}                                                                                  \
	} while (0)
#define CHECK_FAILS(call, code)                                                                    \
	do {                                                                                       \
		ar_err_clear();                                                                    \
		CHECK((call) == -1 && ar_err() != NULL && ar_err()->def == (code));                \
		ar_err_clear();                                                                    \
	} while (0)

static inline uint64_t rig_random(struct rig *rig)
{
	uint64_t z = (rig->seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint64_t rig_below(struct rig *rig, uint64_t n)
{
	return rig_random(rig) % n;
}

static inline int64_t rig_now_ms(void *arg)
{
	return 1700000000000 + ((struct rig *)arg)->us / 1000;
}

static inline int64_t rig_mono_us(void *arg)
{
	return ((struct rig *)arg)->us;
}

static inline void rig_bytes(void *arg, void *buf, size_t n)
{
	char *p = buf;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rig_random(arg);

		memcpy(p + i, &v, AR_MIN((size_t)8, n - i));
	}
}

/* A fiber waits for the server's answer: no time may pass on the clock meanwhile. */
static inline bool rig_asks_server(struct rig *rig)
{
	for (size_t i = 0; i < rig->loop->nfds; i++) {
		if (rig->loop->fds[i].reader != NULL || rig->loop->fds[i].writer != NULL)
			return true;
	}
	return false;
}

static inline void rig_wait(void *arg, int timeout_ms)
{
	struct rig *rig = arg;
	struct pollfd fd = { ar_loop_fd(rig->loop), POLLIN, 0 };
	bool real = !rig->warm || timeout_ms < 0 || rig_asks_server(rig);

	if (timeout_ms != 0 && poll(&fd, 1, real ? 100 : 0) == 0 && !real)
		rig->us += (int64_t)timeout_ms * 1000;
}

/*
 * Connections are made by threads, in real time: all that there may be are made before the test.
 * The pool keeps a quarter of them for reads.
 */
#define RIG_CONNECTIONS 8
#define RIG_UNITS       6

static inline void rig_connect(void *arg)
{
	struct rig *rig = arg;
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, rig->db, pool);
	if (rig->connecting++ < RIG_UNITS) {
		CHECK(ar_begin(&scope) == 0);
		rig->connected++;
		while (rig->connected < RIG_CONNECTIONS)
			CHECK(ar_pause() == 0);
		ar_rollback(&scope);
	} else {
		while (rig->connected < RIG_UNITS)
			CHECK(ar_pause() == 0);
		CHECK(ar_query(&scope, &rows, "SELECT 1", AR_NO_ARGS) == 0);
		rig->connected++;
	}
	rig->connecting--;
	ar_pool_free(pool);
}

static inline void rig_warm(struct rig *rig)
{
	if (!rig->server) {
		ar_offload_stop();
	} else {
		for (int i = 0; i < RIG_CONNECTIONS; i++)
			ar_go("connect", rig_connect, rig, AR_NO_DEADLINE);
		while (rig->connecting > 0)
			CHECK(ar_pause() == 0);
	}
	rig->warm = true;
}

static inline int rig_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void rig_bus_start(struct rig *rig)
{
	CHECK(ar_bus_start(rig->store, &rig->loop, 1) == 0);
}

static inline void rig_fiber(void *arg)
{
	struct rig *rig = arg;

	CHECK(ar_store_create(rig->store, rig->name) == 0);
	CHECK(ar_db_acquire(rig->store, rig->name, &rig->db) == 0);
	rig->server = ar_store_dialect(rig->store) == AR_POSTGRES;
	rig_warm(rig);
	rig_bus_start(rig);
	rig->test(rig);
	ar_bus_stop();
	ar_db_release(rig->db);
	if (rig->server)
		CHECK(ar_store_drop(rig->store, rig->name) == 0);
	ar_store_detach(rig->store);
}

/* Runs test(rig) in a fiber, with the tenant "bus-test" open and the bus started. */
static inline void rig_run(struct rig *rig, uint64_t seed, void (*test)(struct rig *rig))
{
	static const struct ar_migration_set sets[] = { { "bus", ar_bus_migrations }, { 0 } };
	const char *url = getenv("APPRUN_TEST_STORE");
	struct ar_store_options options = { .tenant = sets,
					    .idle_ms = INT64_MAX / 4,
					    .pg_connections = RIG_CONNECTIONS };
	const struct ar_seam seam = { rig_now_ms, rig_mono_us, rig_bytes, rig };

	memset(rig, 0, sizeof(*rig));
	rig->seed = seed;
	rig->us = 1000000;
	rig->test = test;
	rig->name = AR_STR("bus-test");
	snprintf(rig->folder, sizeof(rig->folder), "/dev/shm/apprun-bus-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	options.url = ar_str(url != NULL ? url : "sqlite:");
	options.data = ar_str(rig->folder);
	ar_seam_set(&seam);
	ar_log_level(AR_ERROR);
	assert_ok(ar_offload_start(0));
	assert_ok(ar_store_open(&options, &rig->store));
	rig->loop = ar_loop_new();
	ar_loop_set_wait(rig->loop, rig_wait, rig);
	ar_store_attach(rig->store);
	fiber_run_on(rig->loop, rig_fiber, rig);
	ar_loop_free(rig->loop);
	if (!rig->server) /* closing wants it */
		assert_ok(ar_offload_start(1));
	ar_store_close(rig->store);
	ar_offload_stop();
	ar_seam_set(NULL);
	nftw(rig->folder, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what tests do ---- */

static inline int64_t rig_count(struct rig *rig, const char *sql)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t n;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_query(&scope, &rows, sql, AR_NO_ARGS) == 0);
	n = ar_rows_next(&rows) ? ar_col_int(&rows, 0) : -1;
	ar_pool_free(pool);
	return n;
}

static inline void rig_exec(struct rig *rig, const char *sql)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_exec(&scope, sql, AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

/* One event whose data is {"n": n}, in a unit of its own. */
static inline void rig_publish(struct rig *rig, const char *topic, const char *key, int64_t n)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *data = ar_json_new(pool, AR_OBJECT);
	struct ar_scope scope;

	ar_json_set(data, AR_STR("n"), ar_json_int(pool, n));
	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_publish(&scope, topic, ar_str(key), data, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

/* As prune.c counts: the column's bytes and something for the rest of the row. */
static inline int64_t rig_bytes_of(struct rig *rig, const char *column, const char *rows)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 rig->server ? "SELECT coalesce(sum(octet_length(%s) + %d), 0) FROM %s"
			     : "SELECT coalesce(sum(length(CAST(%s AS BLOB)) + %d), 0) FROM %s",
		 column, ROW_SIZE, rows);
	return rig_count(rig, sql);
}

static inline void rig_kept_is_counted(struct rig *rig)
{
	CHECK_INT(rig_count(rig, "SELECT log_bytes FROM bus_state"),
		  rig_bytes_of(rig, "data",
			       "bus_event WHERE seq <= (SELECT position FROM bus_state)"));
	CHECK_INT(rig_count(rig, "SELECT dead_bytes FROM bus_state"),
		  rig_bytes_of(rig, "event", "bus_dead"));
}

#define RIG_WEEK_MS (7 * 24 * 3600 * INT64_C(1000))

static inline void rig_retain(int64_t log_ms, int64_t log_bytes, int64_t dead_bytes)
{
	ar_bus_retain(&(struct ar_bus_retain){
		.log_ms = log_ms, .log_bytes = log_bytes, .dead_bytes = dead_bytes });
}

static inline void rig_subscribe(struct rig *rig, const struct ar_subscription *subscription)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, rig->db, pool);
	CHECK(ar_subscribe(&scope, subscription) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(pool);
}

static inline void rig_sleep(int64_t ms)
{
	CHECK(ar_sleep(ms) == 0);
}

#endif
