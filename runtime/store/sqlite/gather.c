/*
 * gather.c - the writer's log is written in large pieces.
 *
 * SQLite writes each changed page to the log by two calls, 24 bytes and the page; a group of thirty
 * units makes sixty. This layer between SQLite and its file system (a VFS, for the log of writers
 * only) keeps what follows on each other and writes it at once: when it is full, and before anything
 * else happens to the file, above all before a sync. With synchronous=FULL SQLite syncs the log
 * before it tells readers of a commit, so nobody looks for bytes that are still here, and a write
 * that fails is told by the sync: the commit has failed.
 */
#include "store/sqlite/sqlite_int.h"

#define GATHERED ((size_t)64 << 10)

struct log_file {
	sqlite3_file base; /* first */
	sqlite3_file *real;
	char *p; /* GATHERED bytes, from the first write on */
	size_t n;
	sqlite3_int64 at; /* in the file, of the first one */
};

static sqlite3_vfs *real_vfs, vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct log_file *)file)->real;
}

static int write_out(sqlite3_file *file)
{
	struct log_file *log = (struct log_file *)file;
	int n = (int)log->n;

	log->n = 0; /* also when it fails: the transaction has, then */
	return n == 0 ? SQLITE_OK : log->real->pMethods->xWrite(log->real, log->p, n, log->at);
}

static int log_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct log_file *log = (struct log_file *)file;
	int rc = SQLITE_OK;

	if (log->n + (size_t)n > GATHERED || at != log->at + (sqlite3_int64)log->n)
		rc = write_out(file);
	if (rc != SQLITE_OK || (size_t)n > GATHERED)
		return rc != SQLITE_OK ? rc : log->real->pMethods->xWrite(log->real, p, n, at);
	if (log->p == NULL)
		log->p = ar_heap_alloc(GATHERED);
	if (log->n == 0)
		log->at = at;
	memcpy(log->p + log->n, p, (size_t)n);
	log->n += (size_t)n;
	return SQLITE_OK;
}

/* Pages that SQLite thinks are written may be missing now. Of the errors of a read it undoes the
 * whole transaction for SQLITE_IOERR; for SQLITE_FULL it would undo the statement alone. */
static int log_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	if (write_out(file) != SQLITE_OK)
		return SQLITE_IOERR_WRITE;
	return real_of(file)->pMethods->xRead(real_of(file), p, n, at);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = write_out(file);

	return rc == SQLITE_OK ? real_of(file)->pMethods->xTruncate(real_of(file), size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
	int rc = write_out(file);

	return rc == SQLITE_OK ? real_of(file)->pMethods->xSync(real_of(file), flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	int rc = write_out(file);

	return rc == SQLITE_OK ? real_of(file)->pMethods->xFileSize(real_of(file), ret) : rc;
}

static int log_close(sqlite3_file *file)
{
	int rc = write_out(file), closed = real_of(file)->pMethods->xClose(real_of(file));

	ar_heap_free(((struct log_file *)file)->p);
	return rc == SQLITE_OK ? closed : rc;
}

static int log_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int log_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int log_reserved(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int log_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int log_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

static int open_file(AR_UNUSED sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags,
		     int *ret_flags)
{
	struct log_file *log = (struct log_file *)file;
	int rc;

	if ((flags & SQLITE_OPEN_WAL) == 0)
		return real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
	*log = (struct log_file){ .real = (sqlite3_file *)(log + 1) };
	rc = real_vfs->xOpen(real_vfs, name, log->real, flags, ret_flags);
	if (log->real->pMethods != NULL)
		log->base.pMethods = &methods;
	return rc;
}

int gather_register(void)
{
	if (real_vfs != NULL)
		return SQLITE_OK;
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == NULL)
		return SQLITE_ERROR;
	vfs = *real_vfs;
	vfs.zName = GATHER_VFS;
	vfs.szOsFile = (int)sizeof(struct log_file) + real_vfs->szOsFile;
	vfs.xOpen = open_file;
	vfs.pNext = NULL;
	return sqlite3_vfs_register(&vfs, 0);
}
