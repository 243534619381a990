/*
 * clock.c - time, dates in text, random numbers, and the seam that tests replace them through.
 *
 * Dates are computed with the proleptic Gregorian calendar in UTC; no time zone data is read.
 * Random bytes are drawn in blocks per thread, wiped as they are used, and dropped in a child
 * after fork(), so that parent and child never hand out the same ones.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

#include "base/base_int.h"

static struct ar_seam seam;
static atomic_uint generation;

void ar_seam_set(const struct ar_seam *replacement)
{
	seam = replacement != NULL ? *replacement : (struct ar_seam){ 0 };
	atomic_fetch_add(&generation, 1);
}

unsigned ar_seam_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

int64_t ar_now_ms(void)
{
	struct timespec ts;

	if (seam.now_ms != NULL)
		return seam.now_ms(seam.arg);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t ar_mono_us(void)
{
	struct timespec ts;

	if (seam.mono_us != NULL)
		return seam.mono_us(seam.arg);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t ar_mono_ms(void)
{
	return ar_mono_us() / 1000;
}

/* ---- random numbers ---- */

#define RANDOM_BLOCK 256 /* the kernel never cuts a request of this size short */

static __thread unsigned char block[RANDOM_BLOCK];
static __thread size_t block_left;

static void random_forked(void)
{
	ar_wipe(block, sizeof(block));
	block_left = 0;
}

static void random_start(void)
{
	if (pthread_atfork(NULL, NULL, random_forked) != 0)
		ar_die("out of memory");
}

void ar_random_kernel(void *buf, size_t n)
{
	char *p = buf;

	while (n != 0) {
		ssize_t got = getrandom(p, AR_MIN(n, (size_t)RANDOM_BLOCK), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			ar_die("the kernel gives no random numbers");
		p += got;
		n -= got;
	}
}

void ar_random(void *buf, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (seam.random != NULL) {
		seam.random(seam.arg, buf, n);
		return;
	}
	if (n > RANDOM_BLOCK / 2) {
		ar_random_kernel(buf, n);
		return;
	}
	pthread_once(&once, random_start);
	if (block_left < n) {
		ar_random_kernel(block, sizeof(block));
		block_left = sizeof(block);
	}
	block_left -= n;
	memcpy(buf, block + block_left, n);
	ar_wipe(block + block_left, n);
}

uint64_t ar_random_u64(void)
{
	uint64_t v;

	ar_random(&v, sizeof(v));
	return v;
}

uint64_t ar_random_below(uint64_t n)
{
	uint64_t unfair = (0 - n) % n, v; /* 2^64 mod n values at the bottom are one too many */

	do {
		v = ar_random_u64();
	} while (v < unfair);
	return v % n;
}

/* ---- dates ---- */

#define DAY_MS     INT64_C(86400000)
#define TIME_FIRST INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIME_LAST  INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* The year begins in March, so that the leap day is the last. */
int64_t ar_date_days(int64_t year, int month, int day)
{
	int64_t era, of_era, of_year;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	of_era = year - era * 400;
	of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void ar_date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	int64_t era, of_era, year, of_year, month;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	*ret_day = of_year - (153 * month + 2) / 5 + 1;
	*ret_month = month + (month < 10 ? 3 : -9);
	*ret_year = year + era * 400 + (*ret_month <= 2);
}

static char *put_digits(char *p, int v, int n)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		p[i] = '0' + v % 10;
	return p + n;
}

size_t ar_time_format(int64_t ms, char out[AR_TIME_MAX])
{
	int64_t days, of_day, year;
	int month, day;
	char *p = out;

	ms = AR_MAX(TIME_FIRST, AR_MIN(TIME_LAST, ms));
	days = ms / DAY_MS - (ms % DAY_MS < 0);
	of_day = ms - days * DAY_MS;
	ar_date_of(days, &year, &month, &day);
	p = put_digits(p, (int)year, 4);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, day, 2);
	*p++ = 'T';
	p = put_digits(p, of_day / 3600000, 2);
	*p++ = ':';
	p = put_digits(p, of_day / 60000 % 60, 2);
	*p++ = ':';
	p = put_digits(p, of_day / 1000 % 60, 2);
	*p++ = '.';
	p = put_digits(p, of_day % 1000, 3);
	*p++ = 'Z';
	*p = '\0';
	return p - out;
}

/* Takes exactly n digits off the front. */
static bool take_digits(struct ar_str *s, size_t n, int low, int high, int *ret)
{
	int v = 0;

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = ar_str_sub(*s, n, s->n);
	*ret = v;
	return v >= low && v <= high;
}

static bool take_char(struct ar_str *s, char c)
{
	if (s->n == 0 || (s->p[0] != c && s->p[0] != c + ('a' - 'A')))
		return false;
	*s = ar_str_sub(*s, 1, s->n);
	return true;
}

static bool take_date(struct ar_str *s, int64_t *ret_days)
{
	static const int length[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day;
	bool leap;

	if (!take_digits(s, 4, 0, 9999, &year) || s->n == 0 || s->p[0] != '-')
		return false;
	*s = ar_str_sub(*s, 1, s->n);
	if (!take_digits(s, 2, 1, 12, &month) || s->n == 0 || s->p[0] != '-')
		return false;
	*s = ar_str_sub(*s, 1, s->n);
	if (!take_digits(s, 2, 1, length[month - 1], &day))
		return false;
	leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (month == 2 && day == 29 && !leap)
		return false;
	*ret_days = ar_date_days(year, month, day);
	return true;
}

/* .123 as milliseconds; digits after the third are cut off. */
static bool take_fraction(struct ar_str *s, int *ret_ms)
{
	int ms = 0, digits = 0;

	*ret_ms = 0;
	if (s->n == 0 || s->p[0] != '.')
		return true;
	*s = ar_str_sub(*s, 1, s->n);
	while (s->n != 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		if (digits < 3)
			ms = ms * 10 + (s->p[0] - '0');
		digits++;
		*s = ar_str_sub(*s, 1, s->n);
	}
	for (int i = digits; i < 3; i++)
		ms *= 10;
	*ret_ms = ms;
	return digits > 0;
}

static bool take_offset(struct ar_str *s, int *ret_minutes)
{
	int sign, hours, minutes;

	*ret_minutes = 0;
	if (take_char(s, 'Z'))
		return true;
	if (s->n == 0 || (s->p[0] != '+' && s->p[0] != '-'))
		return false;
	sign = s->p[0] == '-' ? -1 : 1;
	*s = ar_str_sub(*s, 1, s->n);
	if (!take_digits(s, 2, 0, 23, &hours) || s->n == 0 || s->p[0] != ':')
		return false;
	*s = ar_str_sub(*s, 1, s->n);
	if (!take_digits(s, 2, 0, 59, &minutes))
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

bool ar_time_parse(struct ar_str s, int64_t *ret_ms)
{
	int hour, minute, second, fraction, offset;
	int64_t days, ms;

	if (!take_date(&s, &days))
		return false;
	if (s.n == 0) {
		*ret_ms = days * DAY_MS;
		return true;
	}
	if (!take_char(&s, 'T') || !take_digits(&s, 2, 0, 23, &hour) || s.n == 0 || s.p[0] != ':')
		return false;
	s = ar_str_sub(s, 1, s.n);
	if (!take_digits(&s, 2, 0, 59, &minute) || s.n == 0 || s.p[0] != ':')
		return false;
	s = ar_str_sub(s, 1, s.n);
	if (!take_digits(&s, 2, 0, 60, &second) || !take_fraction(&s, &fraction))
		return false;
	if (!take_offset(&s, &offset) || s.n != 0)
		return false;
	ms = days * DAY_MS + ((hour * 60 + minute - offset) * INT64_C(60) + second) * 1000 +
	     fraction;
	/* a leap second is the last of a UTC day, and counts as the first moment of the next */
	if (second == 60 && (ms - fraction) % DAY_MS != 0)
		return false;
	if (ms < TIME_FIRST || ms > TIME_LAST)
		return false;
	*ret_ms = ms;
	return true;
}

bool ar_date_valid(struct ar_str s)
{
	int64_t days;

	return take_date(&s, &days) && s.n == 0;
}
