/*
 * embed.h - files that the build puts into the program (scripts/dev/embed).
 *
 * A table is sorted by path and ends with a row whose path is NULL. Bytes are followed by a NUL
 * that size does not count. Everything lives as long as the program.
 */
#ifndef AR_EMBED_H
#define AR_EMBED_H

#include "base/str.h"

struct ar_file {
	const char *path; /* relative to the root named at build time, "/" between parts */
	const char *data;
	size_t size; /* bytes */
};

/* The row of exactly that path, or NULL. */
const struct ar_file *ar_file_find(const struct ar_file *list, struct ar_str path);

#endif
