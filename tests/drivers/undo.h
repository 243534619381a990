/*
 * undo.h - units of one group, each told what to write and whether to fail. With SQLite the units
 * of a test share a transaction (they come in one turn of the loop), which is run again without
 * the one that failed; the statistics say that it was.
 */
#ifndef UNDO_H
#define UNDO_H

#include "tests/drivers/rig.h"

static struct rig rig;

#define TEST(name)                                                                                 \
	static void name##_fiber(void *arg, int index);                                            \
	static void name(void **state)                                                             \
	{                                                                                          \
		rig_start(&rig, NULL);                                                             \
		rig_run(&rig, 1, name##_fiber, NULL);                                              \
		rig_stop(&rig);                                                                    \
	}                                                                                          \
	static void name##_fiber(void *arg, int index)

static inline struct ar_store_stats stats_now(void)
{
	struct ar_store_stats stats;

	ar_store_stats(rig.store, &stats);
	return stats;
}

static inline uint64_t replays(void)
{
	return stats_now().replays;
}

/* ---- a unit, told what to do ---- */

struct plan {
	struct ar_db *db;
	/* Writes what the unit is to write; -1 with an error: the unit fails. */
	int (*write)(struct ar_scope *scope, int index);
};

static inline int fails(void)
{
	return ar_fail(AR_E_CONFLICT, "what", "test");
}

/* One that fails says why, also after it was undone. */
static inline void unit(void *arg, int index)
{
	const struct plan *plan = arg;
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, plan->db, pool);
	if (plan->write(&scope, index) == 0) {
		CHECK(ar_commit(&scope) == 0);
	} else {
		const struct ar_err_def *why = ar_err()->def;

		ar_rollback(&scope);
		CHECK(ar_err() != NULL && ar_err()->def == why);
		ar_err_clear();
	}
	ar_pool_free(pool);
}

/* All in one turn of the loop. */
static inline void run_units(struct ar_db *db, int n,
			     int (*write)(struct ar_scope *scope, int index))
{
	struct plan plan = { db, write };

	rig_exec(db, "DELETE FROM t"); /* opens the writer: else the first unit waits for that */
	rig_fibers(n, unit, &plan);
}

static inline int insert(struct ar_scope *scope, int64_t id, struct ar_json v)
{
	return ar_exec(scope, "INSERT INTO t (id, v) VALUES (?, ?)", AR_ARGS(AR_J_INT(id), v),
		       NULL);
}

static inline struct ar_json text_of(struct ar_scope *scope, size_t n)
{
	char *text = ar_alloc(scope->pool, n);

	memset(text, 'x', n);
	return AR_J_STR(ar_str_n(text, n));
}

static inline struct ar_db *make_db(const char *name)
{
	struct ar_db *db = rig_db(&rig, name);

	rig_exec(db, "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)");
	return db;
}

static int failing; /* the index of the unit that fails */

static inline int make(void **state)
{
	rig_make(&rig, "undo");
	return 0;
}

static inline int unmake(void **state)
{
	rig_remove(&rig);
	return 0;
}

#endif
