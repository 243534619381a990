/*
 * bench.h - what benches without cmocka share: calls that must go well, the process's CPU time, a
 * folder that goes away.
 */
#ifndef BENCH_H
#define BENCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/base.h"

static inline void need(int rc, const char *what)
{
	const struct ar_err *err = ar_err();

	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, err != NULL ? err->def->slug : "",
		err != NULL && err->why != NULL ? err->why : "");
	exit(1);
}

static inline int64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void folder_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
