/*
 * corpora.h - where a test finds public test data that is not part of the project.
 *
 * The folder is $APPRUN_CORPORA, or ../shared/corpora beside the source tree. Without it a test
 * uses its own vectors and says so; under CI the missing folder is a failure. The build passes
 * SOURCE_ROOT to tests that include this (see runtime/base/meson.build).
 */
#ifndef AR_TEST_CORPORA_H
#define AR_TEST_CORPORA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Writes the path of a file or folder below the corpora to out; false when it is not there. */
static inline int corpora_path(const char *name, char *out, size_t n)
{
	const char *root = getenv("APPRUN_CORPORA");

	if (root != NULL && root[0] != '\0')
		snprintf(out, n, "%s/%s", root, name);
	else
		snprintf(out, n, "%s/../shared/corpora/%s", SOURCE_ROOT, name);
	if (access(out, R_OK) == 0)
		return 1;
	if (getenv("CI") != NULL)
		fail_msg("%s is missing: set APPRUN_CORPORA", out);
	print_message("corpora: %s is not here; the test's own vectors only\n", name);
	return 0;
}

#endif
