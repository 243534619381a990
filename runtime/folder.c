/*
 * folder.c - the data folder and its small files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"

#define FILE_MAX (64 * 1024)

static int dir_fd = -1, lock_fd = -1;
static char *absolute;

static int fail_os(const char *what, const char *name)
{
	return ar_fail_why(AR_E_INTERNAL, "cannot %s %s: %s", what, name, strerror(errno));
}

int folder_open(const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail_os("make the data folder", path);
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return fail_os("open the data folder", path);
	absolute = realpath(path, NULL);
	return absolute != NULL ? 0 : fail_os("find the data folder", path);
}

void folder_close(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	if (dir_fd >= 0)
		close(dir_fd);
	free(absolute);
	lock_fd = dir_fd = -1;
	absolute = NULL;
}

struct ar_str folder_path(void)
{
	return ar_str(absolute);
}

int folder_lock(void)
{
	int fd = openat(dir_fd, "apprun.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return fail_os("open", "apprun.lock");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		lock_fd = fd;
		return 0;
	}
	int code = errno;

	close(fd);
	errno = code;
	return code == EWOULDBLOCK ? 1 : fail_os("lock", "apprun.lock");
}

int folder_write(const char *name, struct ar_str text)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	const char *temporary = ar_printf(pool, "%s.%ld.tmp", name, (long)getpid());

	return ar_file_put(dir_fd, name, temporary, text) == 0 ? 0 : fail_os("write", name);
}

int folder_read(struct ar_pool *pool, const char *name, struct ar_str *ret)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *text = ar_alloc(pool, FILE_MAX);
	size_t have = 0;
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT ? ar_fail(AR_E_NOT_FOUND, "what", name)
				       : fail_os("open", name);
	while (have < FILE_MAX && (n = read(fd, text + have, FILE_MAX - have)) > 0)
		have += (size_t)n;
	close(fd);
	if (n < 0)
		return fail_os("read", name);
	*ret = ar_str_n(text, have);
	return 0;
}

void folder_remove(const char *name)
{
	unlinkat(dir_fd, name, 0);
}

bool folder_has(const char *name)
{
	return faccessat(dir_fd, name, F_OK, 0) == 0;
}
