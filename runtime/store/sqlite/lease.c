/*
 * lease.c - the write lease of a file, and group commit.
 *
 * Units of work take turns: the lease passes from one to the next, across fibers and loops, oldest
 * first, except that a group finishes with the waiters of the loop where it is (a hand-over to
 * another loop costs a wake-up). One that fails is taken out of the transaction (undo.c). When nobody
 * waits, the group stays open until the loop's turn is over, for those whose requests came with it;
 * then, or when it is big or old enough, a job in the offload pool commits for all of them and
 * tells each loop once; units that come meanwhile gather for the next group.
 *
 * If the commit fails, every unit of the group failed. Its frames may still stand in the log, where
 * a crash would bring them to life: the file is `sick` until another commit has overwritten them.
 */
#include "store/sqlite/sqlite_int.h"

#include <assert.h>
#include <stdio.h>

#define GROUP_UNITS       128
#define GROUP_US          5000
#define LEASE_WAIT_MS     10000
#define CHECKPOINT_FRAMES 1000  /* 4 MB of log */
#define RESTART_FRAMES    32000 /* readers kept the log from starting anew for this long */

/* ---- on the loops: telling a unit that it has the lease, a group that it is stored ---- */

static void unit_arrive(void *arg)
{
	struct unit *unit = arg;

	unit->arrived = true;
	ar_cond_signal(&unit->turn);
}

static void deliver(struct unit *unit)
{
	if (unit == NULL)
		return;
	if (unit->loop == ar_loop())
		unit_arrive(unit);
	else
		ar_post(unit->loop, unit_arrive, unit);
}

static void slot_arrive(void *arg)
{
	struct slot *slot = arg;

	slot->done = true;
	ar_cond_broadcast(&slot->committed);
}

/* ---- passing the lease on; under file->lock ---- */

/* Takes the one behind `before`, NULL for the first, out of the queue. */
static struct unit *unlink_after(struct file *file, struct unit *before)
{
	struct unit *unit = before != NULL ? before->next : file->first;

	if (before != NULL)
		before->next = unit->next;
	else
		file->first = unit->next;
	if (file->last == unit)
		file->last = before;
	unit->next = NULL;
	return unit;
}

static struct unit *take_after(struct file *file, struct unit *before)
{
	struct unit *unit = unlink_after(file, before);

	unit->granted = true;
	file->holder = unit;
	return unit;
}

static bool group_may_grow(const struct group *group)
{
	return !group->lost && group->units < GROUP_UNITS &&
	       ar_mono_us() - group->began_us <= GROUP_US;
}

static struct unit *next_of_group(struct file *file)
{
	struct group *group = &file->group;
	struct unit *before = NULL;

	if (file->first == NULL || group->lost || (group->units > 0 && !group_may_grow(group)))
		return NULL;
	for (struct unit *u = file->first; u != NULL; before = u, u = u->next) {
		if (u->loop == ar_loop())
			return take_after(file, before);
	}
	return take_after(file, NULL);
}

static struct slot *slot_of(struct group *group, struct ar_loop *loop)
{
	struct slot *slot = group->slots;

	while (slot != NULL && slot->loop != loop)
		slot = slot->next;
	if (slot == NULL) {
		slot = ar_heap_new(struct slot);
		slot->loop = loop;
		slot->next = group->slots;
		group->slots = slot;
	}
	return slot;
}

/* ---- the commit job, in the pool ---- */

/* Overwrites what a failed commit left in the log. */
static void heal(struct file *file)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA user_version=%u",
		 1 + (unsigned)(ar_random_u64() & 0xffffff));
	file->sick = sqlite3_exec(file->writer.h, sql, NULL, NULL, NULL) != SQLITE_OK;
}

/* NULL: it is stored. */
static const struct ar_err_def *commit_group(struct file *file, char *why, size_t cap)
{
	sqlite3 *h = file->writer.h;
	int rc;

	if (file->group.lost) {
		snprintf(why, cap, "another unit of work lost the transaction");
		return AR_E_BUSY; /* it may do better in other company */
	}
	rc = conn_do(&file->writer, "COMMIT");
	if (rc == SQLITE_OK)
		return NULL;
	snprintf(why, cap, "commit: %s (%d)", sqlite3_errmsg(h), rc);
	if (conn_in_transaction(&file->writer))
		conn_do(&file->writer, "ROLLBACK");
	heal(file);
	return AR_E_STORE;
}

static void checkpoint(struct file *file)
{
	int log = 0, done = 0;
	int mode = file->wal_frames >= RESTART_FRAMES ? SQLITE_CHECKPOINT_RESTART
						      : SQLITE_CHECKPOINT_PASSIVE;
	int rc;

	sqlite3_busy_timeout(file->writer.h, 200);
	rc = sqlite3_wal_checkpoint_v2(file->writer.h, NULL, mode, &log, &done);
	sqlite3_busy_timeout(file->writer.h, 1000);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		ar_warn("store", "checkpoint failed", "database", file->name, "why",
			sqlite3_errmsg(file->writer.h));
	file->checkpoint_at = file->wal_frames + CHECKPOINT_FRAMES;
}

static void end_committing(struct file *file)
{
	struct unit *next = NULL;

	pthread_mutex_lock(&file->lock);
	file->committing = false;
	if (file->first != NULL)
		next = take_after(file, NULL);
	pthread_mutex_unlock(&file->lock);
	deliver(next);
}

static void tell(struct slot *slot, const struct ar_err_def *failed, const char *why)
{
	while (slot != NULL) {
		struct slot *next = slot->next; /* the last who waits frees it */

		slot->failed = failed;
		if (failed != NULL)
			snprintf(slot->why, sizeof(slot->why), "%s", why);
		ar_post(slot->loop, slot_arrive, slot);
		slot = next;
	}
}

static void commit_job(void *arg)
{
	struct file *file = arg;
	struct slot *slots;
	char why[256] = "";
	const struct ar_err_def *failed = commit_group(file, why, sizeof(why));
	bool long_log;

	file->in_transaction = false;
	undo_end_group(file);
	if (failed == NULL) {
		file->commits++;
		file->store->store->count.commits++;
	}
	pthread_mutex_lock(&file->lock);
	slots = file->group.slots;
	file->group = (struct group){ 0 };
	pthread_mutex_unlock(&file->lock);
	long_log = file->wal_frames >= AR_MAX(file->checkpoint_at, CHECKPOINT_FRAMES);
	if (!long_log)
		end_committing(file);
	tell(slots, failed, why);
	if (long_log) {
		checkpoint(file);
		end_committing(file);
	}
	file_unref(file);
}

static void start_commit(struct file *file)
{
	file_hold(file); /* the units may be gone before the job is */
	if (ar_offload_post(AR_OFFLOAD_IO, commit_job, NULL, NULL, file) != 0) {
		ar_err_clear(); /* the pool is full: this loop pays */
		commit_job(file);
	}
}

/* ---- groups that stay open until the loop's turn is over ---- */

static _Thread_local struct sqlite_db *gathering;

static void gather(struct sqlite_db *db)
{
	if (db->gathering)
		return;
	db->gathering = true;
	db->gather_next = gathering;
	gathering = db;
}

void lease_turn_over(void)
{
	while (gathering != NULL) {
		struct sqlite_db *db = gathering;
		struct file *file = db->file;
		bool commit;

		gathering = db->gather_next;
		db->gathering = false;
		pthread_mutex_lock(&file->lock);
		/* A unit of another loop may have joined: then that loop sees to the rest. */
		commit = file->holder == NULL && !file->committing && file->group.units > 0;
		file->committing = file->committing || commit;
		pthread_mutex_unlock(&file->lock);
		if (commit)
			start_commit(file);
	}
}

/* ---- the lease ---- */

/* The holder is done. Its unit counts for the group already, if it is to be stored. */
static void lease_pass(struct unit *unit)
{
	struct file *file = unit->file;
	struct unit *next = NULL;
	bool commit = false;

	pthread_mutex_lock(&file->lock);
	for (;;) {
		next = next_of_group(file);
		if (next != NULL)
			break;
		if (file->group.units > 0 || file->group.lost) {
			file->holder = NULL;
			if (file->first == NULL && group_may_grow(&file->group))
				gather((struct sqlite_db *)unit->uow.db);
			else
				file->committing = commit = true;
			break;
		}
		if (!file->in_transaction) {
			file->holder = NULL;
			break;
		}
		pthread_mutex_unlock(&file->lock); /* still the holder: nothing to store */
		conn_do(&file->writer, "ROLLBACK");
		file->in_transaction = false;
		undo_end_group(file);
		pthread_mutex_lock(&file->lock);
	}
	pthread_mutex_unlock(&file->lock);
	deliver(next);
	if (commit)
		start_commit(file);
}

/* True when the unit left the queue; false when it was given the lease meanwhile. */
static bool queue_leave(struct file *file, struct unit *unit)
{
	struct unit *before = NULL, *u;

	pthread_mutex_lock(&file->lock);
	if (!unit->granted) {
		for (u = file->first; u != unit; u = u->next)
			before = u;
		unlink_after(file, before);
	}
	pthread_mutex_unlock(&file->lock);
	return !unit->granted;
}

static AR_YIELDS int give_up(struct file *file, struct unit *unit)
{
	if (!ar_cancelled())
		ar_fail(AR_E_BUSY);
	if (queue_leave(file, unit))
		return -1;
	ar_shield(true); /* the lease is on its way to this loop */
	while (!unit->arrived)
		ar_cond_wait(&unit->turn);
	ar_shield(false);
	lease_pass(unit);
	return -1;
}

static AR_YIELDS int lease_take(struct file *file, struct unit *unit)
{
	int64_t end = 0;

	pthread_mutex_lock(&file->lock);
	if (file->holder == NULL && !file->committing && file->first == NULL) {
		file->holder = unit;
		unit->granted = unit->arrived = true;
	} else {
		if (file->last != NULL)
			file->last->next = unit;
		else
			file->first = unit;
		file->last = unit;
		file->store->store->count.lease_waits++;
	}
	pthread_mutex_unlock(&file->lock);
	if (!unit->arrived)
		end = ar_mono_ms() + LEASE_WAIT_MS;
	while (!unit->arrived) {
		int64_t left = AR_MAX(end - ar_mono_ms(), 1);

		if (ar_cond_wait_for(&unit->turn, left) != 0)
			return give_up(file, unit);
	}
	return 0;
}

static int writer_ready(void *arg)
{
	struct file *file = arg;

	if (file->writer.h == NULL && file_open_writer(file) != 0)
		return -1;
	if (file->sick)
		heal(file);
	if (file->sick)
		return ar_fail_why(AR_E_STORE, "commits fail: %s", sqlite3_errmsg(file->writer.h));
	return 0;
}

static int unit_start(struct unit *unit)
{
	struct file *file = unit->file;
	int rc = SQLITE_OK;

	if (!file->in_transaction) {
		rc = conn_do(&file->writer, "BEGIN IMMEDIATE");
		if (rc == SQLITE_OK) {
			file->in_transaction = true;
			file->group.began_us = ar_mono_us();
			undo_begin_group(file);
		}
	}
	if (rc == SQLITE_OK)
		rc = undo_begin(unit);
	return rc == SQLITE_OK ? 0 : conn_fail(&file->writer, rc, "begin");
}

int lease_begin(struct unit *unit)
{
	struct file *file = unit->file;

	unit->loop = ar_loop();
	if (lease_take(file, unit) != 0)
		return -1;
	if ((file->writer.h == NULL || file->sick) &&
	    ar_offload(AR_OFFLOAD_IO, writer_ready, file) != 0) {
		lease_pass(unit);
		return -1;
	}
	if (unit_start(unit) != 0) {
		lease_check(unit);
		lease_pass(unit);
		return -1;
	}
	return 0;
}

static void lose(struct unit *unit)
{
	unit->file->in_transaction = false;
	unit->file->group.lost = true;
	unit->uow.lost = true;
}

void lease_check(struct unit *unit)
{
	if (unit->file->in_transaction && !conn_in_transaction(&unit->file->writer))
		lose(unit);
}

static void undo(struct unit *unit)
{
	struct conn *conn = &unit->file->writer;

	if (undo_unit(unit) == SQLITE_OK)
		return;
	if (conn_in_transaction(conn))
		conn_do(conn, "ROLLBACK");
	lose(unit);
}

static AR_YIELDS int wait_committed(struct slot *slot)
{
	int rc = 0;

	while (!slot->done)
		ar_cond_wait(&slot->committed);
	if (slot->failed != NULL)
		rc = ar_fail_why(slot->failed, "%s", slot->why);
	if (--slot->waiting == 0)
		ar_heap_free(slot);
	return rc;
}

/* The caller's unit waits for the commit of what the group has so far. */
static struct slot *slot_join(struct unit *unit)
{
	struct slot *slot = slot_of(&unit->file->group, unit->loop);

	slot->waiting++;
	return slot;
}

/* A unit that failed may say so because of rows that are not stored yet ("this name is taken"). It
 * is a witness: it may say so once they are. */
static struct slot *slot_witness(struct unit *unit)
{
	struct file *file = unit->file;
	struct slot *slot = NULL;

	if (!unit->read || unit->uow.forgotten || ar_err() == NULL)
		return NULL;
	pthread_mutex_lock(&file->lock);
	if (file->group.units > 0)
		slot = slot_join(unit);
	pthread_mutex_unlock(&file->lock);
	return slot;
}

void lease_rollback(struct unit *unit)
{
	struct slot *slot = NULL;

	if (!unit->uow.lost) {
		undo(unit);
		slot = slot_witness(unit);
	}
	lease_pass(unit);
	if (slot != NULL && wait_committed(slot) != 0)
		ar_fail_why(AR_E_BUSY, "what the unit of work saw was not stored");
}

/* A foreign key that may be broken until the commit would fail the whole group there. */
static int check_deferred(struct file *file)
{
	int broken = 0, high = 0;

	sqlite3_db_status(file->writer.h, SQLITE_DBSTATUS_DEFERRED_FKS, &broken, &high, 0);
	return broken == 0 ? 0 : ar_fail(AR_E_REFERENCE);
}

int lease_commit(struct unit *unit)
{
	struct file *file = unit->file;
	struct slot *slot;
	int rc = check_deferred(file);

	if (rc == 0) {
		int code = undo_keep(unit);

		if (code != SQLITE_OK)
			rc = conn_fail(&file->writer, code, "release");
	}
	if (rc != 0) {
		lease_check(unit);
		lease_rollback(unit);
		return -1;
	}
	pthread_mutex_lock(&file->lock);
	slot = slot_join(unit);
	file->group.units++;
	pthread_mutex_unlock(&file->lock);
	lease_pass(unit);
	return wait_committed(slot);
}
