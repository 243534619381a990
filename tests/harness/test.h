/*
 * test.h - cmocka with its needs, the house's base, and what every room's tests want.
 */
#ifndef AR_TEST_H
#define AR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

/*
 * A test that runs inside of what run(body) sets up; the rest is the body's parameters:
 *
 *	#define TEST(name) TEST_IN(name, run, struct world *w)
 *	TEST(counts) { ... w->pool ... }
 */
#define TEST_IN(name, run, ...)                                                                    \
	static void name##_body(__VA_ARGS__);                                                      \
	static void name(void **state)                                                             \
	{                                                                                          \
		run(name##_body);                                                                  \
	}                                                                                          \
	static void name##_body(__VA_ARGS__)

/* The bytes of s are exactly the literal. */
#define assert_str(s, literal)                                                                     \
	do {                                                                                       \
		struct ar_str got_ = (s);                                                          \
		if (!ar_str_eq(got_, ar_str(literal)))                                             \
			fail_msg("got \"%.*s\", not \"%s\"", AR_FMT(got_), (literal));             \
	} while (0)

/* The call fails with that code on top of the error stack, which is cleared. */
#define assert_fails(call, code)                                                                   \
	do {                                                                                       \
		ar_err_clear();                                                                    \
		assert_int_equal((call), -1);                                                      \
		assert_non_null(ar_err());                                                         \
		assert_string_equal(ar_err()->def->slug, (code)->slug);                            \
		ar_err_clear();                                                                    \
	} while (0)

/* The call succeeds; if not, the error's code is shown. */
#define assert_ok(call)                                                                            \
	do {                                                                                       \
		if ((call) != 0)                                                                   \
			fail_msg("%s: %s (%s)", #call,                                             \
				 ar_err() ? ar_err()->def->slug : "no error",                      \
				 ar_err() && ar_err()->why ? ar_err()->why : "");                  \
	} while (0)

#endif
