/*
 * sqlite_disk.h - a layer below SQLite that fails when it is told to, and what tests on it need:
 * rows, a look at what a crash would leave.
 */
#ifndef SQLITE_DISK_H
#define SQLITE_DISK_H

#include "tests/drivers/rig.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ---- the layer ---- */

struct shim_file {
	sqlite3_file base;
	bool log; /* the write-ahead log */
	sqlite3_file *real;
};

/* So many calls from now on fail, of one kind of file. */
static _Atomic int fail_log_sync, fail_log_write, fail_write, fail_read, fail_sync;
static _Atomic int one_in; /* > 0: each log write or sync fails with this chance */
static _Atomic int failed;
static _Atomic int log_writes;

static inline bool fails(_Atomic int *left)
{
	if (*left <= 0)
		return false;
	(*left)--;
	failed++;
	return true;
}

static inline bool by_chance(void)
{
	if (one_in <= 0 || ar_random_below((uint64_t)one_in) != 0)
		return false;
	failed++;
	return true;
}

static inline sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim_file *)file)->real;
}

static inline int shim_close(sqlite3_file *file)
{
	return real_of(file)->pMethods->xClose(real_of(file));
}

static inline int shim_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	if (!((struct shim_file *)file)->log && fails(&fail_read))
		return SQLITE_IOERR_READ;
	return real_of(file)->pMethods->xRead(real_of(file), p, n, at);
}

static inline int shim_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	bool log = ((struct shim_file *)file)->log;

	log_writes += log;
	if (log && (fails(&fail_log_write) || by_chance()))
		return SQLITE_FULL;
	if (!log && fails(&fail_write))
		return SQLITE_IOERR_WRITE;
	return real_of(file)->pMethods->xWrite(real_of(file), p, n, at);
}

static inline int shim_truncate(sqlite3_file *file, sqlite3_int64 n)
{
	return real_of(file)->pMethods->xTruncate(real_of(file), n);
}

static inline int shim_sync(sqlite3_file *file, int flags)
{
	bool log = ((struct shim_file *)file)->log;

	if (log && (fails(&fail_log_sync) || by_chance()))
		return SQLITE_IOERR_FSYNC;
	if (!log && fails(&fail_sync))
		return SQLITE_IOERR_FSYNC;
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static inline int shim_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static inline int shim_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static inline int shim_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static inline int shim_reserved(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static inline int shim_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static inline int shim_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static inline int shim_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static inline int shim_shm_map(sqlite3_file *file, int page, int size, int extend,
			       void volatile **ret)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static inline int shim_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), at, n, flags);
}

static inline void shim_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static inline int shim_shm_unmap(sqlite3_file *file, int remove_it)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), remove_it);
}

static const sqlite3_io_methods shim_methods = {
	.iVersion = 2,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_reserved,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static sqlite3_vfs *real_vfs, shim_vfs;

static inline int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
			    int *ret)
{
	struct shim_file *shim = (struct shim_file *)file;
	int rc;

	shim->real = (sqlite3_file *)(shim + 1);
	shim->log = (flags & SQLITE_OPEN_WAL) != 0;
	rc = real_vfs->xOpen(real_vfs, name, shim->real, flags, ret);
	shim->base.pMethods = shim->real->pMethods != NULL ? &shim_methods : NULL;
	return rc;
}

static inline void shim_register(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	shim_vfs = *real_vfs;
	shim_vfs.zName = "faults";
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim_vfs.xOpen = shim_open;
	shim_vfs.pNext = NULL;
	assert_int_equal(sqlite3_vfs_register(&shim_vfs, 1), SQLITE_OK);
}

/* ---- helpers ---- */

static struct rig rig;
static struct ar_pool *pool;

static inline int insert(struct ar_db *db, int64_t n)
{
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	if (ar_exec(&scope, "INSERT INTO t (n, filler) VALUES (?, ?)",
		    AR_ARGS(AR_J_INT(n),
			    AR_J_Z("text that takes some room in a page, more or less")),
		    NULL) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

static inline int insert_and_fail(struct ar_db *db, int64_t n)
{
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	if (ar_exec(&scope, "INSERT INTO t (n) VALUES (?)", AR_ARGS(AR_J_INT(n)), NULL) == 0)
		ar_fail(AR_E_CONFLICT);
	ar_rollback(&scope);
	CHECK(ar_err() != NULL);
	return -1;
}

static inline void sound(struct ar_db *db)
{
	CHECK(rig_count(db, "SELECT count(*) FROM pragma_integrity_check"
			    " WHERE integrity_check = 'ok'") == 1);
}

static inline void copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK(write(out, buf, (size_t)n) == n);
	close(in);
	close(out);
}

/* What a crash at this instant would leave: the file and its log, as another database. */
static inline int64_t sum_after_crash(const char *name)
{
	char from[160], to[160];
	sqlite3 *h = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t sum;

	for (int i = 0; i < 2; i++) {
		rig_path(&rig, from, sizeof(from), name, i == 0 ? "" : "-wal");
		snprintf(to, sizeof(to), "%s/crashed.db%s", rig.folder, i == 0 ? "" : "-wal");
		copy(from, to);
	}
	snprintf(to, sizeof(to), "%s/crashed.db", rig.folder);
	CHECK(sqlite3_open(to, &h) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(h, "SELECT coalesce(sum(n), 0) FROM t", -1, &stmt, NULL) ==
	      SQLITE_OK);
	CHECK(sqlite3_step(stmt) == SQLITE_ROW);
	sum = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(h);
	return sum;
}

#define RUN(fn)    rig_once(&rig, NULL, fn)
#define TEST(name) TEST_IN(name, RUN, void *arg, int index)

static inline void fill(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "group");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		     " SELECT n + 1 FROM c WHERE n < 5000)"
		     " SELECT 0, 'some text to fill the pages of the file with' FROM c");
	ar_db_release(db);
}

static inline int make(void **state)
{
	pool = ar_pool_new();
	rig_make(&rig, "faults");
	shim_register();
	return 0;
}

static inline int unmake(void **state)
{
	ar_pool_free(pool);
	rig_remove(&rig);
	return 0;
}

#endif
