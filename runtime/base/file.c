/*
 * file.c - see file.h.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BLOCK_MAX (1 << 20)

static int close_keeping_errno(int fd, int rc)
{
	int error = errno;

	close(fd);
	errno = error;
	return rc;
}

int ar_write_all(int fd, struct ar_str bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, AR_MIN(bytes.n, (size_t)BLOCK_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes = ar_str_sub(bytes, (size_t)n, bytes.n);
	}
	return 0;
}

int ar_read_at(int fd, void *p, size_t n, int64_t offset)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = pread(fd, at, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ENODATA;
		if (got <= 0)
			return -1;
		at += got;
		offset += got;
		n -= (size_t)got;
	}
	return 0;
}

int ar_folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : close_keeping_errno(fd, fsync(fd));
}

int ar_file_put(int dir, const char *name, const char *temporary, struct ar_str bytes)
{
	int fd, rc, error;

	unlinkat(dir, temporary, 0); /* of a process that was killed */
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	rc = ar_write_all(fd, bytes) != 0 || fsync(fd) != 0 ? -1 : 0;
	close_keeping_errno(fd, 0); /* synced: it has nothing more to say */
	if (rc == 0 && renameat(dir, temporary, dir, name) == 0)
		return fsync(dir);
	error = errno;
	unlinkat(dir, temporary, 0);
	errno = error;
	return -1;
}

int ar_file_put_in(const char *folder, const char *name, const char *temporary, struct ar_str bytes)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -1;
	return close_keeping_errno(dir, ar_file_put(dir, name, temporary, bytes));
}
