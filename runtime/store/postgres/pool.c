/*
 * pool.c - the connections of one loop: taken for a statement or a unit of work, given back, closed
 * when idle.
 *
 * A connection that last served the same schema is preferred. Units may not take them all: some are
 * kept for reads, and for the second unit of a fiber that has one open, so that those who hold
 * connections can always go on to give them back.
 */
#include "store/postgres/postgres_int.h"

_Thread_local struct pg_loop *pg_here;

#define TAKE_WAIT_MS   10000
#define DETACH_WAIT_MS 10000 /* for units that are about to end */
#define LOOK_AT        16    /* idle ones that are looked at for the same schema */

static bool unit_may(const struct pg_loop *loop)
{
	int most = loop->home->store->options.pg_connections;
	int kept = AR_MAX(1, most / 4);

	return loop->in_units < AR_MAX(1, most - kept);
}

/* One connection more can be had: tells one of those who wait. */
static void freed(struct pg_loop *loop)
{
	if (loop->for_reads.first != NULL)
		ar_cond_signal(&loop->for_reads);
	else if (unit_may(loop))
		ar_cond_signal(&loop->for_units);
}

static void discard(struct pg_loop *loop, struct conn *conn)
{
	pg_conn_close(conn);
	loop->total--;
	freed(loop);
}

static struct conn *idle_take(struct pg_loop *loop, const char *schema)
{
	struct conn *conn;

	do {
		int looked = 0;

		conn = loop->first;
		while (conn != NULL && looked++ < LOOK_AT && strcmp(conn->schema, schema) != 0)
			conn = conn->next;
		if (conn == NULL || looked > LOOK_AT)
			conn = loop->first;
		if (conn == NULL)
			return NULL;
		DL_DELETE(loop->first, conn);
		if (pg_conn_alive(conn))
			return conn;
		discard(loop, conn);
	} while (true);
}

/* ---- opening ---- */

struct open_job {
	const struct ar_store *store;
	struct conn *conn;
};

static int open_in_pool(void *arg)
{
	struct open_job *job = arg;

	return pg_conn_open(job->store, &job->conn);
}

static AR_YIELDS int open_one(struct pg_loop *loop, struct conn **ret)
{
	struct open_job job = { .store = loop->home->store };

	loop->total++;
	if (ar_offload(AR_OFFLOAD_IO, open_in_pool, &job) != 0) {
		loop->total--;
		freed(loop);
		return -1;
	}
	*ret = job.conn;
	return 0;
}

/* ---- taking and giving ---- */

/* 0: *ret is one, or NULL when all are in use. */
static AR_YIELDS int take_one(struct pg_loop *loop, const char *schema, struct conn **ret)
{
	int most = AR_MAX(2, loop->home->store->options.pg_connections);

	*ret = idle_take(loop, schema);
	if (*ret == NULL && loop->total < most && open_one(loop, ret) != 0)
		return -1;
	if (*ret != NULL)
		pg_conn_trim(*ret);
	return 0;
}

int pg_pool_take(struct pg_loop *loop, const char *schema, bool unit, struct conn **ret)
{
	bool as_unit = unit && !ar_in_unit();
	struct ar_cond *line = as_unit ? &loop->for_units : &loop->for_reads;
	bool turn = line->first == NULL; /* nobody is overtaken */
	int64_t end = 0;

	for (;; turn = true) {
		if (turn && (!as_unit || unit_may(loop))) {
			int rc;

			loop->in_units += unit; /* also while it opens */
			rc = take_one(loop, schema, ret);
			if (rc == 0 && *ret != NULL)
				return 0;
			loop->in_units -= unit;
			if (rc != 0)
				return -1;
		}
		if (end == 0) {
			end = ar_mono_ms() + TAKE_WAIT_MS;
			loop->home->store->count.lease_waits++;
		}
		if (ar_cond_wait_for(line, AR_MAX(end - ar_mono_ms(), 0)) != 0) {
			if (ar_check() != 0)
				return -1;
			return ar_fail_why(AR_E_BUSY, "no connection became free");
		}
	}
}

void pg_pool_give(struct pg_loop *loop, struct conn *conn, bool unit)
{
	loop->in_units -= unit;
	if (conn->dead) {
		discard(loop, conn);
		return;
	}
	conn->idle_since_ms = ar_mono_ms();
	DL_PREPEND(loop->first, conn);
	freed(loop);
}

/* ---- the loop ---- */

static void sweeper(void *arg)
{
	struct pg_loop *loop = arg;
	int64_t idle = loop->home->store->options.idle_ms;

	while (!loop->ending) {
		struct conn *oldest = loop->first != NULL ? loop->first->prev : NULL;

		if (oldest != NULL && ar_mono_ms() - oldest->idle_since_ms >= idle) {
			DL_DELETE(loop->first, oldest);
			discard(loop, oldest);
			continue;
		}
		if (ar_cond_wait_for(&loop->sweep, AR_MAX(AR_MIN(idle / 4, 5000), 10)) != 0) {
			if (ar_cancelled())
				break;
			ar_err_clear();
		}
	}
}

void pg_pool_attach(struct ar_store_loop *home)
{
	struct pg_loop *loop = ar_heap_new(struct pg_loop);

	loop->home = home;
	home->driver = loop;
	pg_here = loop;
	loop->sweeper = ar_go("postgres sweeper", sweeper, loop, AR_NO_DEADLINE);
	ar_fiber_hold(loop->sweeper);
}

static void close_idle(struct pg_loop *loop)
{
	while (loop->first != NULL) {
		struct conn *conn = loop->first;

		DL_DELETE(loop->first, conn);
		discard(loop, conn);
	}
}

void pg_pool_detach(struct ar_store_loop *home)
{
	struct pg_loop *loop = home->driver;

	loop->ending = true;
	ar_cond_signal(&loop->sweep);
	ar_join(loop->sweeper);
	ar_fiber_drop(loop->sweeper);
	for (int64_t end = ar_mono_ms() + DETACH_WAIT_MS;;) {
		close_idle(loop);
		if (loop->total == 0 || ar_mono_ms() >= end)
			break;
		ar_sleep(1);
	}
	if (loop->total > 0) /* whoever holds them still needs the loop's part: it stays */
		ar_error("store", "connections are still in use at the end");
	else
		ar_heap_free(loop);
	home->driver = NULL;
	pg_here = NULL;
}
