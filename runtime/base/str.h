/*
 * str.h - a string is a pointer and a length; it is not NUL terminated unless a function says so.
 *
 * A struct ar_str never owns its bytes: they belong to a pool, a buffer or the program's text.
 */
#ifndef AR_STR_H
#define AR_STR_H

#include "base/attr.h"

struct ar_pool;

struct ar_str {
	const char *p; /* may be NULL when n is 0 */
	size_t n;      /* bytes */
};

#define AR_STR(literal) ((struct ar_str){ "" literal, sizeof(literal) - 1 })
#define AR_STR_NONE     ((struct ar_str){ NULL, 0 })
/* printf: "%.*s", AR_FMT(s) */
#define AR_FMT(s) (int)(s).n, (s).p

/* The smallest ones stand here, so that comparing with a literal knows its length. */

/* View of a NUL-terminated string; NULL gives the empty one. */
static inline struct ar_str ar_str(const char *z)
{
	return (struct ar_str){ z, z != NULL ? strlen(z) : 0 };
}

static inline struct ar_str ar_str_n(const char *p, size_t n)
{
	return (struct ar_str){ p, n };
}

static inline bool ar_str_eq(struct ar_str a, struct ar_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool ar_str_is(struct ar_str a, const char *z)
{
	return ar_str_eq(a, ar_str(z));
}

bool ar_str_caseeq(struct ar_str a, struct ar_str b); /* ASCII only */
int ar_str_cmp(struct ar_str a, struct ar_str b);     /* bytes, like memcmp, shorter first */
bool ar_str_starts(struct ar_str s, struct ar_str prefix);
bool ar_str_ends(struct ar_str s, struct ar_str suffix);
ptrdiff_t ar_str_find(struct ar_str s, char c);                   /* index, or -1 */
struct ar_str ar_str_sub(struct ar_str s, size_t from, size_t n); /* clamped to s */
struct ar_str ar_str_trim(struct ar_str s);                       /* spaces and tabs, both ends */

/* Cuts *rest at the first sep: returns what stands before it, *rest keeps what follows (the empty
 * string with p == NULL when there was no sep left). For loops: while (rest.p != NULL) ... */
struct ar_str ar_str_cut(struct ar_str *rest, char sep);

/* Whole string as a decimal number; false (and *ret untouched) on anything else or overflow. */
bool ar_str_int(struct ar_str s, int64_t *ret);
size_t ar_int_text(int64_t v, char *out); /* its digits, 20 bytes at most, no NUL: how many */
size_t ar_uint_text(uint64_t v, char *out);
bool ar_str_float(struct ar_str s, double *ret); /* JSON's form only; locale-free; not inf or nan */

struct ar_str ar_str_dup(struct ar_pool *pool, struct ar_str s);   /* copy, NUL added after n */
char *ar_strz(struct ar_pool *pool, struct ar_str s);              /* NUL-terminated copy */
struct ar_str ar_str_lower(struct ar_pool *pool, struct ar_str s); /* ASCII */

/* True for well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool ar_utf8_valid(struct ar_str s);
/* At most max bytes of it, of whole characters. s is valid. */
struct ar_str ar_utf8_head(struct ar_str s, size_t max);
size_t ar_utf8_len(struct ar_str s); /* code points of a valid string */

#endif
