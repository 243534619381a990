/*
 * clock.h - time and randomness behind one seam.
 *
 * Everything that reads a clock or draws a random number calls these, so that a test can run the
 * bus and the workflows on a simulated clock and from a seed (ar_seam_set).
 */
#ifndef AR_CLOCK_H
#define AR_CLOCK_H

#include "base/str.h"

int64_t ar_now_ms(void);  /* wall clock, ms since 1970-01-01 UTC */
int64_t ar_mono_us(void); /* monotonic, microseconds from an arbitrary start */
int64_t ar_mono_ms(void);
void ar_random(void *buf, size_t n); /* from the kernel's generator, buffered per thread */
uint64_t ar_random_u64(void);
uint64_t ar_random_below(uint64_t n); /* without bias; n > 0 */

struct ar_seam {
	int64_t (*now_ms)(void *arg);
	int64_t (*mono_us)(void *arg);
	void (*random)(void *arg, void *buf, size_t n);
	void *arg;
};
/* For tests, before any thread starts. NULL restores the real ones. Members may be NULL. */
void ar_seam_set(const struct ar_seam *seam);

#define AR_TIME_MAX 25 /* room for "2026-11-24T16:09:00.000Z" and a NUL */
/* Writes RFC 3339 in UTC with milliseconds; returns its length (24). Years 0000 to 9999. */
size_t ar_time_format(int64_t ms, char out[AR_TIME_MAX]);
/* Reads RFC 3339 with any offset, a date alone counts as midnight UTC. False on anything else. */
bool ar_time_parse(struct ar_str s, int64_t *ret_ms);
bool ar_date_valid(struct ar_str s); /* exactly YYYY-MM-DD, a real day */
/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. Months from 1; any year. */
int64_t ar_date_days(int64_t year, int month, int day);
void ar_date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
