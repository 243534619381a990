/*
 * handles.c - each loop's open handles.
 *
 * A handle is opened by the first fiber that wants it, while others of the loop wait for that; it is
 * counted, cools in the idle list when nobody holds it, and is closed by the loop's sweeper when it
 * was idle long enough or when too many are open. A name is migrated once per process.
 */
#include "store/store_int.h"

#include <assert.h>

#define DETACH_WAIT_MS 10000 /* for handles that are still held */
#define TRIM_AFTER     16    /* handles that were closed, or when none is left to close */

_Thread_local struct ar_store_loop_core *store_here;

/* ---- opening and closing ---- */

static void db_forget(struct ar_store_loop_core *here, struct ar_db *db)
{
	ar_map_remove(here->dbs, db->name);
	ar_cond_broadcast(&db->opened);
	if (here->release_waiters > 0) /* the loop's end waits for the last one */
		ar_cond_broadcast(&here->released);
	ar_heap_free(db);
}

/* Closes a handle that is idle or that nobody else has seen yet. */
static AR_YIELDS void db_close(struct ar_store_loop_core *here, struct ar_db *db)
{
	db->state = DB_CLOSING;
	here->pub.store->ops->db_close(db);
	here->pub.store->count.open--;
	db_forget(here, db);
}

static AR_YIELDS int db_open(struct ar_store_loop_core *here, struct ar_str name,
			     struct ar_db **ret)
{
	struct ar_store *store = here->pub.store;
	struct store_name known = store_name_get(store, name);
	struct ar_db *db;

	if (known.dropping)
		return ar_fail(AR_E_NO_DATABASE);
	db = ar_heap_alloc(store->ops->db_size);
	memcpy(db->name_text, name.p != NULL ? name.p : "", name.n);
	db->name = (struct ar_str){ db->name_text, name.n };
	db->home = &here->pub;
	db->state = DB_OPENING;
	db->refs = 1;
	ar_map_set(here->dbs, db->name, db);
	if (store->ops->db_open(db) != 0) {
		db_forget(here, db);
		return -1;
	}
	store->count.open++;
	if (!known.migrated) {
		if (store_migrate(db) != 0) {
			db_close(here, db);
			return -1;
		}
		store_name_migrated(store, db->name);
	}
	db->state = DB_OPEN;
	ar_cond_broadcast(&db->opened);
	*ret = db;
	return 0;
}

/* Room for one more, where that can be had: who opens pays, so that opening cannot outrun it. */
static AR_YIELDS bool close_oldest(struct ar_store_loop_core *here)
{
	struct ar_db *db = here->idle;

	if (db == NULL || ar_map_count(here->dbs) < (size_t)here->pub.store->options.open_max)
		return false;
	DL_DELETE(here->idle, db);
	db_close(here, db);
	return true;
}

int ar_db_acquire(struct ar_store *store, struct ar_str name, struct ar_db **ret)
{
	struct ar_store_loop_core *here = store_here;
	struct ar_db *db;

	assert(here != NULL && here->pub.store == store && store_name_valid(name));
	for (;;) {
		db = ar_map_get(here->dbs, name);
		if (db == NULL) {
			if (close_oldest(here))
				continue; /* it may have been opened meanwhile */
			return db_open(here, name, ret);
		}
		if (db->state == DB_OPEN)
			break;
		if (ar_cond_wait(&db->opened) != 0)
			return -1;
	}
	if (db->refs++ == 0)
		DL_DELETE(here->idle, db);
	*ret = db;
	return 0;
}

void ar_db_release(struct ar_db *db)
{
	struct ar_store_loop_core *here = store_here;

	if (db == NULL)
		return;
	assert(db->home == &here->pub && db->refs > 0);
	if (--db->refs > 0)
		return;
	db->idle_since_ms = ar_mono_ms();
	DL_APPEND(here->idle, db);
	if (here->release_waiters > 0)
		ar_cond_broadcast(&here->released);
	if (ar_map_count(here->dbs) > (size_t)here->pub.store->options.open_max)
		ar_cond_signal(&here->sweep);
}

struct ar_str ar_db_name(const struct ar_db *db)
{
	return db->name;
}

enum ar_dialect ar_db_dialect(const struct ar_db *db)
{
	return db->home->store->ops->dialect;
}

static void trim(AR_UNUSED void *arg)
{
	ar_heap_trim();
}

/* Handles are made of many small blocks, allocated on many threads: freed, they would stay. */
static void trim_after(const struct ar_store_loop_core *here, unsigned *closed)
{
	if (*closed == 0 || (*closed < TRIM_AFTER && here->idle != NULL))
		return;
	*closed = 0;
	if (ar_offload_post(AR_OFFLOAD_IO, trim, NULL, NULL, NULL) != 0)
		ar_err_clear();
}

static void sweeper(void *arg)
{
	struct ar_store_loop_core *here = arg;
	const struct ar_store_options *options = &here->pub.store->options;
	int64_t period = AR_MAX(AR_MIN(options->idle_ms / 4, 5000), 10);
	unsigned closed = 0;

	while (!here->ending) {
		struct ar_db *db = here->idle;

		if (db != NULL && (ar_map_count(here->dbs) > (size_t)options->open_max ||
				   ar_mono_ms() - db->idle_since_ms >= options->idle_ms)) {
			DL_DELETE(here->idle, db);
			db_close(here, db);
			closed++;
			continue;
		}
		trim_after(here, &closed);
		if (ar_cond_wait_for(&here->sweep, period) != 0) {
			if (ar_cancelled())
				break;
			ar_err_clear();
		}
	}
}

static AR_YIELDS void wait_released(struct ar_store_loop_core *here, int64_t end_ms)
{
	here->release_waiters++;
	if (ar_cond_wait_for(&here->released, AR_MAX(end_ms - ar_mono_ms(), 1)) != 0)
		ar_err_clear();
	here->release_waiters--;
}

int store_evict(struct ar_str name, int64_t end_ms)
{
	struct ar_store_loop_core *here = store_here;
	struct ar_db *db;

	if (here == NULL)
		return 0;
	while ((db = ar_map_get(here->dbs, name)) != NULL) {
		if (db->state == DB_OPEN && db->refs == 0) {
			DL_DELETE(here->idle, db);
			db_close(here, db);
		} else if (ar_mono_ms() >= end_ms) {
			return -1;
		} else if (db->state != DB_OPEN) {
			if (ar_cond_wait_for(&db->opened, AR_MAX(end_ms - ar_mono_ms(), 1)) != 0)
				ar_err_clear();
		} else {
			wait_released(here, end_ms);
		}
	}
	return 0;
}

/* ---- loops ---- */

void ar_store_attach(struct ar_store *store)
{
	struct ar_store_loop_core *here = ar_heap_new(struct ar_store_loop_core);

	assert(store_here == NULL && ar_loop() != NULL);
	here->pub.store = store;
	here->pub.loop = ar_loop();
	here->pub.core = here;
	here->dbs = ar_map_new();
	store_here = here;
	if (store->ops->attach != NULL)
		store->ops->attach(&here->pub);
	pthread_mutex_lock(&store->core->lock);
	here->next = store->core->loops;
	store->core->loops = here;
	pthread_mutex_unlock(&store->core->lock);
	here->sweeper = ar_go("store sweeper", sweeper, here, AR_NO_DEADLINE);
	ar_fiber_hold(here->sweeper);
}

void ar_store_detach(struct ar_store *store)
{
	struct ar_store_loop_core *here = store_here;
	int64_t end = ar_mono_ms() + DETACH_WAIT_MS;

	assert(here != NULL && here->pub.store == store);
	ar_shield(true);
	pthread_mutex_lock(&store->core->lock);
	LL_DELETE(store->core->loops, here);
	pthread_mutex_unlock(&store->core->lock);
	here->ending = true;
	ar_cond_signal(&here->sweep);
	ar_join(here->sweeper);
	ar_fiber_drop(here->sweeper);
	while (ar_map_count(here->dbs) > 0) {
		struct ar_db *db = here->idle;

		if (db != NULL) {
			DL_DELETE(here->idle, db);
			db_close(here, db);
		} else if (ar_mono_ms() < end) {
			wait_released(here, end);
		} else {
			ar_error("store", "databases are still in use at the end");
			break;
		}
	}
	while (here->evicting > 0)
		ar_cond_wait(&here->evicted);
	if (store->ops->detach != NULL)
		store->ops->detach(&here->pub);
	ar_shield(false);
	store_here = NULL;
	ar_map_free(here->dbs, NULL);
	ar_heap_free(here);
}
