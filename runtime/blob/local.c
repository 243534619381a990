/*
 * local.c - blobs as local files: data/blobs/TENANT/aa/ID, where aa is the end of the id.
 *
 * Written as ID.tmp, synced, renamed, and the folder synced. Ids are checked to be UUIDs and tenants
 * to be one plain name before they become a path.
 */
#include "blob/blob.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const struct ar_err_def AR_E_BLOB_MISSING[1] = { { "blob/missing", 500 } };
const struct ar_err_def AR_E_BLOB_FULL[1] = { { "blob/full", 507 } };

#define FOLDERS 256 /* of a tenant */

static char root[3072];

struct path {
	char tenant[3200], folder[3216], file[3280];
};

/* The runtime gives checked names only; a bug there must not become a way out of the folder. */
static bool is_plain(struct ar_str tenant)
{
	for (size_t i = 0; i < tenant.n; i++) {
		char c = tenant.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return tenant.n > 0 && tenant.n <= 63;
}

static void path_make(struct path *path, struct ar_str tenant, struct ar_str id)
{
	assert(is_plain(tenant) && ar_id_valid(id));
	snprintf(path->tenant, sizeof(path->tenant), "%s/%.*s", root, AR_FMT(tenant));
	snprintf(path->folder, sizeof(path->folder), "%s/%.2s", path->tenant, id.p + id.n - 2);
	snprintf(path->file, sizeof(path->file), "%s/%.*s", path->folder, AR_FMT(id));
}

static int fail_errno(const char *path)
{
	int error = errno;

	if (error == ENOSPC || error == EDQUOT)
		return ar_fail(AR_E_BLOB_FULL);
	return ar_fail_why(AR_E_UNAVAILABLE, "%s: %s", path, strerror(error));
}

/* A new folder is on disk when its parent is. Whoever finds it made must not be faster than the sync
 * of who made it. */
static int folder_make(const char *path, const char *parent)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (mkdir(path, 0700) == 0) {
		if (ar_folder_sync(parent) != 0)
			rc = fail_errno(parent);
	} else if (errno != EEXIST) {
		rc = fail_errno(path);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

int ar_blob_init(struct ar_str folder)
{
	char parent[sizeof(root) + 3];

	if (folder.n >= sizeof(root))
		return ar_fail(AR_E_INVALID);
	snprintf(root, sizeof(root), "%.*s", AR_FMT(folder));
	snprintf(parent, sizeof(parent), "%s/..", root);
	return folder_make(root, parent);
}

/* ---- put ---- */

struct put {
	struct ar_str tenant, id, bytes;
	unsigned char digest[AR_SHA256_LEN];
};

static int put_run(void *arg)
{
	struct put *put = arg;
	char name[AR_ID_LEN + 1], temporary[AR_ID_LEN + 5];
	struct path path;

	path_make(&path, put->tenant, put->id);
	snprintf(name, sizeof(name), "%.*s", AR_FMT(put->id));
	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	ar_sha256(put->bytes.p, put->bytes.n, put->digest);
	if (folder_make(path.tenant, root) != 0 || folder_make(path.folder, path.tenant) != 0)
		return -1;
	return ar_file_put_in(path.folder, name, temporary, put->bytes) == 0
		       ? 0
		       : fail_errno(path.file);
}

AR_YIELDS int ar_blob_put(struct ar_pool *pool, struct ar_str tenant, struct ar_str bytes,
			  struct ar_blob *ret)
{
	struct put put = { .tenant = tenant, .id = ar_id(pool), .bytes = bytes };

	if (ar_offload(AR_OFFLOAD_IO, put_run, &put) != 0)
		return -1;
	ret->id = put.id;
	ret->sha256 = ar_hex(pool, put.digest, sizeof(put.digest));
	ret->size = (int64_t)bytes.n;
	return 0;
}

/* ---- open, delete ---- */

struct one {
	struct ar_str tenant, id;
	int fd;
};

static int open_run(void *arg)
{
	struct one *one = arg;
	struct path path;

	path_make(&path, one->tenant, one->id);
	one->fd = open(path.file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (one->fd < 0 && errno == ENOENT)
		return ar_fail_why(AR_E_BLOB_MISSING, "%s is not there", path.file);
	return one->fd >= 0 ? 0 : fail_errno(path.file);
}

AR_YIELDS int ar_blob_open(struct ar_str tenant, struct ar_str id, int *ret_fd)
{
	struct one one = { .tenant = tenant, .id = id };

	if (!ar_id_valid(id))
		return ar_fail_why(AR_E_BLOB_MISSING, "not a blob's id");
	if (ar_offload(AR_OFFLOAD_IO, open_run, &one) != 0)
		return -1;
	*ret_fd = one.fd;
	return 0;
}

static int delete_run(void *arg)
{
	struct one *one = arg;
	struct path path;

	path_make(&path, one->tenant, one->id);
	return unlink(path.file) == 0 || errno == ENOENT ? 0 : fail_errno(path.file);
}

AR_YIELDS int ar_blob_delete(struct ar_str tenant, struct ar_str id)
{
	struct one one = { .tenant = tenant, .id = id };

	if (!ar_id_valid(id))
		return 0;
	return ar_offload(AR_OFFLOAD_IO, delete_run, &one);
}

static void delete_later_run(void *arg)
{
	struct one *one = arg;

	if (delete_run(one) != 0)
		ar_err_clear();
	ar_heap_free((char *)one->tenant.p);
	ar_heap_free((char *)one->id.p);
	ar_heap_free(one);
}

void ar_blob_delete_later(struct ar_str tenant, struct ar_str id)
{
	struct one *one;

	if (!ar_id_valid(id))
		return;
	one = ar_heap_new(struct one);
	one->tenant = ar_str(ar_heap_strz(tenant));
	one->id = ar_str(ar_heap_strz(id));
	if (ar_offload_post(AR_OFFLOAD_IO, delete_later_run, NULL, NULL, one) != 0)
		delete_later_run(one);
}

/* ---- the whole folder ---- */

struct listing {
	struct ar_pool *pool;
	struct ar_str tenant;
	unsigned at;      /* the folder */
	int64_t before_s; /* modified before this */
	bool all;         /* delete everything, the folders too */
	struct found {
		struct ar_str id;
		struct found *next;
	} * found;
};

static bool is_old(const struct listing *list, const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && st.st_mtime < list->before_s;
}

static void entry_look(struct listing *list, const char *folder, const char *name)
{
	struct ar_str id = ar_str(name);
	struct found *found;
	char file[3600];

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	if (list->all || (ar_str_ends(id, AR_STR(".tmp")) && is_old(list, file))) {
		unlink(file);
		return;
	}
	if (!ar_id_valid(id) || !is_old(list, file))
		return;
	found = ar_new(list->pool, struct found);
	found->id = ar_str_dup(list->pool, id);
	found->next = list->found;
	list->found = found;
}

static void folder_look(struct listing *list, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			entry_look(list, folder, entry->d_name);
	closedir(dir);
	if (list->all)
		rmdir(folder);
}

/* One of the folders of a tenant. */
static int listing_run(void *arg)
{
	struct listing *list = arg;
	char folder[3216];

	assert(is_plain(list->tenant));
	snprintf(folder, sizeof(folder), "%s/%.*s/%02x", root, AR_FMT(list->tenant), list->at);
	folder_look(list, folder);
	return 0;
}

static int drop_run(void *arg)
{
	struct listing *list = arg;
	char top[3200];

	for (list->at = 0; list->at < FOLDERS; list->at++)
		listing_run(list);
	snprintf(top, sizeof(top), "%s/%.*s", root, AR_FMT(list->tenant));
	return rmdir(top) == 0 || errno == ENOENT ? 0 : fail_errno(top);
}

AR_YIELDS int ar_blob_drop(struct ar_str tenant)
{
	struct listing list = { .tenant = tenant, .all = true };

	return ar_offload(AR_OFFLOAD_IO, drop_run, &list);
}

/* What a folder lists is let go of before the next: a tenant may have millions of files. */
static AR_YIELDS int sweep_folder(struct listing *list,
				  AR_YIELDS int (*known)(void *arg, struct ar_str id, bool *ret),
				  void *arg, int64_t *deleted)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	bool is_known;

	list->pool = pool;
	list->found = NULL;
	if (ar_offload(AR_OFFLOAD_IO, listing_run, list) != 0)
		return -1;
	for (struct found *f = list->found; f != NULL; f = f->next) {
		if (known(arg, f->id, &is_known) != 0)
			return -1;
		if (is_known)
			continue;
		if (ar_blob_delete(list->tenant, f->id) != 0)
			return -1;
		++*deleted;
	}
	return 0;
}

AR_YIELDS int ar_blob_sweep(struct ar_str tenant, int64_t age_ms,
			    AR_YIELDS int (*known)(void *arg, struct ar_str id, bool *ret),
			    void *arg, int64_t *ret_deleted)
{
	struct listing list = { .tenant = tenant, .before_s = (ar_now_ms() - age_ms) / 1000 };

	*ret_deleted = 0;
	for (; list.at < FOLDERS; list.at++)
		if (sweep_folder(&list, known, arg, ret_deleted) != 0)
			return -1;
	return 0;
}
