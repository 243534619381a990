/*
 * file.h - files read and written whole. These wait for the disk: for ar_offload(), or before the
 * loops start. -1 with errno, which they keep.
 */
#ifndef AR_FILE_H
#define AR_FILE_H

#include "base/str.h"

int ar_write_all(int fd, struct ar_str bytes);
/* Exactly n bytes; ENODATA when the file ends before. */
int ar_read_at(int fd, void *p, size_t n, int64_t offset);
int ar_folder_sync(const char *path);
/*
 * A file of mode 600 that is there whole or not at all, also after a crash: written as `temporary`,
 * synced, renamed over `name`, and the folder synced. Both are names in the folder that dir is a
 * descriptor of, or of the path.
 */
int ar_file_put(int dir, const char *name, const char *temporary, struct ar_str bytes);
int ar_file_put_in(const char *folder, const char *name, const char *temporary,
		   struct ar_str bytes);

#endif
