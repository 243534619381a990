/*
 * blob.h - objects' bytes: a tenant's folder of files that are written once and never changed.
 *
 * Files are named by ids that apprun makes, never by a client's key: a key cannot leave its tenant's
 * folder because it never becomes a path. A blob is complete and on disk (temporary file, fsync,
 * rename, fsync of the folder) before ar_blob_put() returns; who keeps the id in a database commits
 * after that. What was put but never committed is found by ar_blob_sweep().
 *
 * Everything that touches the disk runs in the offload pool.
 */
#ifndef AR_BLOB_H
#define AR_BLOB_H

#include "fiber/fiber.h"

extern const struct ar_err_def AR_E_BLOB_MISSING[1]; /* 500 blob/missing: the file is not there */
extern const struct ar_err_def AR_E_BLOB_FULL[1];    /* 507 blob/full: no space left */

/* Before the loops run: blobs live in folder/TENANT/. Makes the folder. */
int ar_blob_init(struct ar_str folder);

struct ar_blob {
	struct ar_str id;     /* 36 characters */
	struct ar_str sha256; /* hex */
	int64_t size;
};
/* Writes bytes as a new blob. Texts of *ret are the pool's. */
AR_YIELDS int ar_blob_put(struct ar_pool *pool, struct ar_str tenant, struct ar_str bytes,
			  struct ar_blob *ret);
/* Opens a blob for reading; the caller closes the fd, which stays readable after a delete. */
AR_YIELDS int ar_blob_open(struct ar_str tenant, struct ar_str id, int *ret_fd);
/* Not there is no error. */
AR_YIELDS int ar_blob_delete(struct ar_str tenant, struct ar_str id);
/* The same without waiting, in the background; failures are left to the sweep. */
void ar_blob_delete_later(struct ar_str tenant, struct ar_str id);
/* Deletes every blob of the tenant. */
AR_YIELDS int ar_blob_drop(struct ar_str tenant);

/*
 * Deletes blobs older than age_ms that known() does not know, and temporary files of puts that were
 * cut off. known runs in the calling fiber and may wait; -1 from it ends the sweep. *ret_deleted
 * holds also then.
 */
AR_YIELDS int ar_blob_sweep(struct ar_str tenant, int64_t age_ms,
			    AR_YIELDS int (*known)(void *arg, struct ar_str id, bool *ret),
			    void *arg, int64_t *ret_deleted);

#endif
