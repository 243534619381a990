/*
 * str.c - views of bytes: compare, cut, trim, numbers, copies, UTF-8.
 *
 * Numbers are read without the process's locale and only in the forms the header names, so that
 * what one face accepts, every face accepts.
 */
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/base_int.h"

static unsigned char ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool ar_str_caseeq(struct ar_str a, struct ar_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	}
	return true;
}

int ar_str_cmp(struct ar_str a, struct ar_str b)
{
	size_t n = AR_MIN(a.n, b.n);
	int diff = n != 0 ? memcmp(a.p, b.p, n) : 0;

	if (diff != 0)
		return diff;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool ar_str_starts(struct ar_str s, struct ar_str prefix)
{
	return s.n >= prefix.n && ar_str_eq(ar_str_n(s.p, prefix.n), prefix);
}

bool ar_str_ends(struct ar_str s, struct ar_str suffix)
{
	return s.n >= suffix.n && ar_str_eq(ar_str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

ptrdiff_t ar_str_find(struct ar_str s, char c)
{
	const char *at = s.n != 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? at - s.p : -1;
}

struct ar_str ar_str_sub(struct ar_str s, size_t from, size_t n)
{
	if (s.p == NULL)
		return AR_STR_NONE;
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return (struct ar_str){ s.p + from, n };
}

struct ar_str ar_str_trim(struct ar_str s)
{
	while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = ar_str_sub(s, 1, s.n);
	while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct ar_str ar_str_cut(struct ar_str *rest, char sep)
{
	struct ar_str all = *rest;
	ptrdiff_t at = ar_str_find(all, sep);

	if (at < 0) {
		*rest = AR_STR_NONE;
		return all;
	}
	*rest = ar_str_sub(all, at + 1, all.n);
	return ar_str_sub(all, 0, at);
}

bool ar_str_int(struct ar_str s, int64_t *ret)
{
	bool negative = s.n != 0 && s.p[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t v = 0;

	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int digit = s.p[i] - '0';

		if (digit < 0 || digit > 9)
			return false;
		/* counted downwards, because INT64_MIN has no positive twin */
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, digit, &v))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
		return false;
	*ret = v;
	return true;
}

static size_t digits_at(struct ar_str s, size_t i)
{
	size_t from = i;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i - from;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool json_number(struct ar_str s)
{
	size_t i = s.n != 0 && s.p[0] == '-' ? 1 : 0, n = digits_at(s, i);

	if (n == 0 || (n > 1 && s.p[i] == '0'))
		return false;
	i += n;
	if (i < s.n && s.p[i] == '.') {
		n = digits_at(s, i + 1);
		if (n == 0)
			return false;
		i += 1 + n;
	}
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
			i++;
		n = digits_at(s, i);
		if (n == 0)
			return false;
		i += n;
	}
	return i == s.n;
}

static locale_t c_locale;

static void c_locale_make(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (c_locale == (locale_t)0)
		ar_die("the C locale is missing");
}

bool ar_str_float(struct ar_str s, double *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char small[64], *z = small;
	double v;

	if (!json_number(s))
		return false;
	pthread_once(&once, c_locale_make);
	if (s.n < sizeof(small)) {
		memcpy(small, s.p, s.n);
		small[s.n] = '\0';
	} else {
		z = ar_heap_strz(s);
	}
	v = strtod_l(z, NULL, c_locale);
	if (z != small)
		ar_heap_free(z);
	if (!isfinite(v))
		return false;
	*ret = v;
	return true;
}

static const char pairs[201] =
	"00010203040506070809101112131415161718192021222324252627282930313233"
	"34353637383940414243444546474849505152535455565758596061626364656667"
	"6869707172737475767778798081828384858687888990919293949596979899";

size_t ar_uint_text(uint64_t v, char *out)
{
	char tmp[20];
	char *p = tmp + sizeof(tmp);
	size_t n;

	while (v >= 100) {
		p -= 2;
		memcpy(p, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		p -= 2;
		memcpy(p, pairs + v * 2, 2);
	} else {
		*--p = (char)('0' + v);
	}
	n = (size_t)(tmp + sizeof(tmp) - p);
	memcpy(out, p, n);
	return n;
}

size_t ar_int_text(int64_t v, char *out)
{
	if (v >= 0)
		return ar_uint_text((uint64_t)v, out);
	out[0] = '-';
	return 1 + ar_uint_text(0 - (uint64_t)v, out + 1);
}

struct ar_str ar_str_dup(struct ar_pool *pool, struct ar_str s)
{
	return (struct ar_str){ ar_strz(pool, s), s.n };
}

char *ar_strz(struct ar_pool *pool, struct ar_str s)
{
	char *z = ar_alloc_raw(pool, s.n + 1);

	if (s.n != 0)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}

struct ar_str ar_str_lower(struct ar_pool *pool, struct ar_str s)
{
	char *z = ar_strz(pool, s);

	for (size_t i = 0; i < s.n; i++)
		z[i] = ascii_lower(z[i]);
	return (struct ar_str){ z, s.n };
}

/* The ranges are table 3-7 of the Unicode standard. */
size_t ar_utf8_step(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xBF;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if ((p[0] & 0xF0) == 0xE0)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	return len;
}

struct ar_str ar_utf8_head(struct ar_str s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
		max--;
	return ar_str_n(s.p, max);
}

bool ar_utf8_valid(struct ar_str s)
{
	const char *p = s.p, *end;

	if (s.n == 0)
		return true;
	end = p + s.n;
	while (p < end) {
		uint64_t eight;
		size_t len;

		while (end - p >= 8) {
			memcpy(&eight, p, 8);
			if (eight & 0x8080808080808080u)
				break;
			p += 8;
		}
		if (p == end)
			break;
		len = ar_utf8_step(p, end - p);
		if (len == 0)
			return false;
		p += len;
	}
	return true;
}

size_t ar_utf8_len(struct ar_str s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.n; i++)
		count += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return count;
}
