/*
 * file.c - database files as the process sees them: one `file` for all loops, counted.
 *
 * SQLite 3.40 may corrupt a log that two connections restart at the same instant, so each file has
 * one connection, the writer, that makes every commit and every checkpoint. It is opened by the
 * first unit of work and closed last; until it is closed nobody else can open the file. A file that
 * is made or dropped appears or vanishes with one rename, so a crash leaves no half of it.
 */
#include "store/sqlite/sqlite_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct file **bucket_of(struct sqlite_store *store, struct ar_str name)
{
	return &store->buckets[ar_hash(name.p, name.n) % AR_COUNT(store->buckets)];
}

static char *path_of(const struct sqlite_store *store, struct ar_str name, const char *ending)
{
	size_t cap = strlen(store->root) + name.n + strlen(ending) + 32;
	char *path = ar_heap_alloc(cap);

	if (name.n == 0)
		snprintf(path, cap, "%s/platform.db%s", store->root, ending);
	else
		snprintf(path, cap, "%s/tenants/%.*s.db%s", store->root, AR_FMT(name), ending);
	return path;
}

/* Makes renames and removals in a file's folder last. */
static int sync_folder(const struct sqlite_store *store, struct ar_str name)
{
	size_t cap = strlen(store->root) + 16;
	char *path = ar_heap_alloc(cap);
	int fd, rc = -1;

	snprintf(path, cap, "%s%s", store->root, name.n == 0 ? "" : "/tenants");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		rc = fsync(fd);
		close(fd);
	}
	ar_heap_free(path);
	return rc == 0 ? 0 : ar_fail_why(AR_E_STORE, "sync of the folder: %s", strerror(errno));
}

static void unlink_as(const struct sqlite_store *store, struct ar_str name, const char *ending)
{
	char *path = path_of(store, name, ending);

	unlink(path);
	ar_heap_free(path);
}

/* ---- making and dropping ---- */

/* An empty database in WAL mode: from here on every connection finds it so. */
static int make_empty(const char *path)
{
	sqlite3 *h = NULL;
	int rc = sqlite3_open_v2(
		path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(h,
				  "PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL;"
				  " PRAGMA user_version=1",
				  NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		ar_fail_why(AR_E_STORE, "new database: %s", sqlite3_errmsg(h));
	if (sqlite3_close(h) != SQLITE_OK)
		rc = SQLITE_ERROR;
	return rc == SQLITE_OK ? 0 : -1;
}

/* Under the lock: of two that make the same name, none may remove the other's log. */
static int put_in_place(struct sqlite_store *store, struct ar_str name, const char *fresh,
			const char *path)
{
	int rc, why;

	pthread_mutex_lock(&store->lock);
	if (access(path, F_OK) != 0) { /* what a drop left when it was cut short */
		unlink_as(store, name, "-wal");
		unlink_as(store, name, "-shm");
	}
	rc = link(fresh, path);
	why = errno;
	pthread_mutex_unlock(&store->lock);
	if (rc == 0)
		return 0;
	return why == EEXIST ? ar_fail(AR_E_CONFLICT)
			     : ar_fail_why(AR_E_STORE, "new database: %s", strerror(why));
}

int file_create(struct sqlite_store *store, struct ar_str name)
{
	static _Atomic unsigned serial;
	char ending[32];
	char *path = path_of(store, name, ""), *fresh;
	int rc;

	snprintf(ending, sizeof(ending), ".new%u", serial++);
	fresh = path_of(store, name, ending);
	unlink(fresh);
	rc = make_empty(fresh);
	if (rc == 0)
		rc = put_in_place(store, name, fresh, path);
	if (rc == 0)
		rc = sync_folder(store, name);
	unlink(fresh);
	ar_heap_free(fresh);
	ar_heap_free(path);
	return rc;
}

/* Under the lock. */
static struct file *find(struct sqlite_store *store, struct ar_str name)
{
	struct file *file = *bucket_of(store, name);

	while (file != NULL && !ar_str_is(name, file->name))
		file = file->next;
	return file;
}

/* Nobody opens it any more; a commit job may be about to close it. */
static void wait_closed(struct sqlite_store *store, struct ar_str name)
{
	pthread_mutex_lock(&store->lock);
	while (find(store, name) != NULL)
		pthread_cond_wait(&store->closed, &store->lock);
	pthread_mutex_unlock(&store->lock);
}

void file_wait_all(struct sqlite_store *store)
{
	pthread_mutex_lock(&store->lock);
	while (store->files > 0)
		pthread_cond_wait(&store->closed, &store->lock);
	pthread_mutex_unlock(&store->lock);
}

int file_drop(struct sqlite_store *store, struct ar_str name)
{
	char *path = path_of(store, name, ""), *gone = path_of(store, name, ".dropped");
	int rc = 0;

	wait_closed(store, name);
	if (rename(path, gone) != 0)
		rc = errno == ENOENT ? ar_fail(AR_E_NO_DATABASE)
				     : ar_fail_why(AR_E_STORE, "drop: %s", strerror(errno));
	if (rc == 0)
		rc = sync_folder(store, name);
	if (rc == 0) {
		unlink_as(store, name, "-wal");
		unlink_as(store, name, "-shm");
		unlink(gone);
	}
	ar_heap_free(path);
	ar_heap_free(gone);
	return rc;
}

/* ---- counting ---- */

static struct file *file_new(struct sqlite_store *store, struct ar_str name)
{
	struct file *file = ar_heap_new(struct file);

	file->store = store;
	memcpy(file->name, name.p != NULL ? name.p : "", name.n);
	file->path = path_of(store, name, "");
	file->refs = 1;
	pthread_mutex_init(&file->lock, NULL);
	return file;
}

static void file_free(struct file *file)
{
	pthread_mutex_destroy(&file->lock);
	ar_heap_free(file->path);
	ar_heap_free(file);
}

/* The platform's own database needs nobody to make it; two loops may try at once. */
static int create_platform(struct sqlite_store *store, struct ar_str name)
{
	if (file_create(store, name) == 0)
		return 0;
	if (!ar_err_is(AR_E_CONFLICT))
		return -1;
	ar_err_clear();
	return 0;
}

static int file_exists(struct sqlite_store *store, struct ar_str name)
{
	char *path = path_of(store, name, "");
	int rc = access(path, R_OK | W_OK);

	if (rc != 0 && errno != ENOENT)
		rc = ar_fail_why(AR_E_STORE, "%s: %s", path, strerror(errno));
	else if (rc != 0 && name.n > 0)
		rc = ar_fail(AR_E_NO_DATABASE);
	else if (rc != 0)
		rc = create_platform(store, name);
	ar_heap_free(path);
	return rc;
}

int file_ref(struct sqlite_store *store, struct ar_str name, struct file **ret)
{
	struct file **bucket = bucket_of(store, name), *file;

	if (file_exists(store, name) != 0)
		return -1;
	pthread_mutex_lock(&store->lock);
	/* Its closer runs already, so this wait ends. */
	while ((file = find(store, name)) != NULL && file->closing)
		pthread_cond_wait(&store->closed, &store->lock);
	if (file != NULL) {
		file->refs++;
	} else {
		file = file_new(store, name);
		file->next = *bucket;
		*bucket = file;
		store->files++;
	}
	pthread_mutex_unlock(&store->lock);
	*ret = file;
	return 0;
}

void file_hold(struct file *file)
{
	pthread_mutex_lock(&file->store->lock);
	file->refs++;
	pthread_mutex_unlock(&file->store->lock);
}

static void close_all(struct file *file)
{
	for (size_t i = 0; i < AR_COUNT(file->spares); i++) {
		if (file->spares[i] != NULL) {
			sqlite_conn_close(file->spares[i]);
			ar_heap_free(file->spares[i]);
		}
	}
	undo_free(file);
	sqlite_conn_close(&file->writer); /* last: it checkpoints and removes the log */
}

void file_unref(struct file *file)
{
	struct sqlite_store *store = file->store;
	struct file **at = bucket_of(store, ar_str(file->name));

	pthread_mutex_lock(&store->lock);
	if (--file->refs > 0) {
		pthread_mutex_unlock(&store->lock);
		return;
	}
	file->closing = true;
	pthread_mutex_unlock(&store->lock);
	close_all(file);
	pthread_mutex_lock(&store->lock);
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	store->files--;
	pthread_cond_broadcast(&store->closed);
	pthread_mutex_unlock(&store->lock);
	file_free(file);
}

/* ---- connections of the file ---- */

static int on_wal(void *arg, AR_UNUSED sqlite3 *h, AR_UNUSED const char *name, int frames)
{
	struct file *file = arg;

	if (frames < file->wal_frames) /* the log was begun anew */
		file->checkpoint_at = 0;
	file->wal_frames = frames;
	return SQLITE_OK;
}

int file_open_writer(struct file *file)
{
	if (sqlite_conn_open(&file->writer, file->path, CONN_WRITER) != 0)
		return -1;
	sqlite3_wal_hook(file->writer.h, on_wal, file);
	return 0;
}

int file_spare_take(struct file *file, struct conn **ret)
{
	struct conn *conn = NULL;

	pthread_mutex_lock(&file->lock);
	for (size_t i = 0; i < AR_COUNT(file->spares) && conn == NULL; i++) {
		conn = file->spares[i];
		file->spares[i] = NULL;
	}
	pthread_mutex_unlock(&file->lock);
	if (conn == NULL) {
		conn = ar_heap_new(struct conn);
		if (sqlite_conn_open(conn, file->path, CONN_READER) != 0) {
			ar_heap_free(conn);
			return -1;
		}
	}
	*ret = conn;
	return 0;
}

void file_spare_give(struct file *file, struct conn *conn)
{
	pthread_mutex_lock(&file->lock);
	for (size_t i = 0; i < AR_COUNT(file->spares) && conn != NULL; i++) {
		if (file->spares[i] == NULL) {
			file->spares[i] = conn;
			conn = NULL;
		}
	}
	pthread_mutex_unlock(&file->lock);
	if (conn != NULL) {
		sqlite_conn_close(conn);
		ar_heap_free(conn);
	}
}
