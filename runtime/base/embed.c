/*
 * embed.c - look-up in a table of embedded files, which the build has sorted.
 */
#include "base/base_int.h"

const struct ar_file *ar_file_find(const struct ar_file *list, struct ar_str path)
{
	for (const struct ar_file *f = list; f->path != NULL; f++) {
		if (ar_str_is(path, f->path))
			return f;
	}
	return NULL;
}
