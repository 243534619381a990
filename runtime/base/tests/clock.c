/*
 * clock.c - dates in text, the seam, random numbers, ids.
 */
#include <sys/wait.h>
#include <time.h>

#include "tests/harness/test.h"

static void times_parse(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		const char *out;
	} rows[] = {
		{ "2026-11-24T16:09:00Z", true, "2026-11-24T16:09:00.000Z" },
		{ "2026-11-24T16:09:00.1Z", true, "2026-11-24T16:09:00.100Z" },
		{ "2026-11-24t16:09:00.123456789z", true, "2026-11-24T16:09:00.123Z" },
		{ "2026-11-24T16:09:00+08:00", true, "2026-11-24T08:09:00.000Z" },
		{ "2026-01-01T00:30:00+01:00", true, "2025-12-31T23:30:00.000Z" },
		{ "2026-11-24T16:09:00-03:30", true, "2026-11-24T19:39:00.000Z" },
		{ "2026-11-24", true, "2026-11-24T00:00:00.000Z" },
		{ "2024-02-29", true, "2024-02-29T00:00:00.000Z" },
		{ "2000-02-29", true, "2000-02-29T00:00:00.000Z" },
		{ "1969-12-31T23:59:59.999Z", true, "1969-12-31T23:59:59.999Z" },
		{ "0000-01-01T00:00:00Z", true, "0000-01-01T00:00:00.000Z" },
		{ "9999-12-31T23:59:59.999Z", true, "9999-12-31T23:59:59.999Z" },
		{ "2016-12-31T23:59:60Z", true, "2017-01-01T00:00:00.000Z" },
		{ "2017-01-01T07:59:60+08:00", true, "2017-01-01T00:00:00.000Z" },
		{ "2016-12-31T22:59:60Z", false, NULL },
		{ "0000-01-01T00:00:00+00:01", false, NULL },
		{ "9999-12-31T23:59:59-00:01", false, NULL },
		{ "2023-02-29", false, NULL },
		{ "1900-02-29", false, NULL },
		{ "2026-13-01", false, NULL },
		{ "2026-00-01", false, NULL },
		{ "2026-04-31", false, NULL },
		{ "2026-11-24T24:00:00Z", false, NULL },
		{ "2026-11-24T16:60:00Z", false, NULL },
		{ "2026-11-24T16:09:61Z", false, NULL },
		{ "2026-11-24T16:09:00.Z", false, NULL },
		{ "2026-11-24T16:09:00", false, NULL },
		{ "2026-11-24T16:09Z", false, NULL },
		{ "2026-11-24 16:09:00Z", false, NULL },
		{ "2026-11-24T16:09:00+24:00", false, NULL },
		{ "2026-11-24T16:09:00+0800", false, NULL },
		{ "2026-11-24T16:09:00ZZ", false, NULL },
		{ "2026-11-24T", false, NULL },
		{ "26-11-24", false, NULL },
		{ "+2026-11-24", false, NULL },
		{ " 2026-11-24", false, NULL },
		{ "", false, NULL },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		char out[AR_TIME_MAX];
		int64_t ms = 42;

		if (ar_time_parse(ar_str(rows[i].in), &ms) != rows[i].ok)
			fail_msg("%s", rows[i].in);
		if (!rows[i].ok) {
			assert_int_equal(ms, 42);
			continue;
		}
		assert_int_equal(ar_time_format(ms, out), 24);
		assert_string_equal(out, rows[i].out);
	}
}

/* The C library is the second opinion, over random moments of all ten thousand years. */
static void times_agree_with_libc(void **state)
{
	const int64_t first = INT64_C(-62167219200000), last = INT64_C(253402300799999);

	for (int i = 0; i < 20000; i++) {
		int64_t ms = first + (int64_t)ar_random_below(last - first + 1), back;
		int64_t sec = ms / 1000 - (ms % 1000 < 0);
		char out[AR_TIME_MAX], want[64];
		time_t t = sec;
		struct tm tm;

		gmtime_r(&t, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec, (int)(ms - sec * 1000));
		ar_time_format(ms, out);
		assert_string_equal(out, want);
		assert_true(ar_time_parse(ar_str(out), &back));
		assert_int_equal(back, ms);
	}
}

static void times_out_of_range_are_clamped(void **state)
{
	char out[AR_TIME_MAX];

	assert_int_equal(ar_time_format(INT64_MAX, out), 24);
	assert_string_equal(out, "9999-12-31T23:59:59.999Z");
	assert_int_equal(ar_time_format(INT64_MIN, out), 24);
	assert_string_equal(out, "0000-01-01T00:00:00.000Z");
}

static void dates(void **state)
{
	assert_true(ar_date_valid(AR_STR("2026-11-24")));
	assert_false(ar_date_valid(AR_STR("2026-11-31")));
	assert_false(ar_date_valid(AR_STR("2026-11-24T00:00:00Z")));
	assert_false(ar_date_valid(AR_STR("2026-11-2")));
	assert_false(ar_date_valid(AR_STR("2026-1-24")));
}

static void clocks_run(void **state)
{
	int64_t a = ar_mono_us(), wall = ar_now_ms();
	int64_t diff = wall - (int64_t)time(NULL) * 1000;

	usleep(2000);
	assert_true(ar_mono_us() - a >= 2000);
	assert_true(diff > -2000 && diff < 2000);
}

static int64_t fake_ms;

static int64_t fake_now(void *arg)
{
	return fake_ms;
}

static int64_t fake_mono(void *arg)
{
	return fake_ms * 1000;
}

static void fake_random(void *arg, void *buf, size_t n)
{
	memset(buf, 0x5A, n);
}

static void seam_replaces_and_gives_back(void **state)
{
	struct ar_seam seam = { fake_now, fake_mono, fake_random, NULL };
	char first[AR_ID_LEN + 1], again[AR_ID_LEN + 1];
	uint64_t r;

	fake_ms = 1000000;
	ar_seam_set(&seam);
	assert_int_equal(ar_now_ms(), 1000000);
	assert_int_equal(ar_mono_ms(), 1000000);
	assert_int_equal(ar_random_u64(), 0x5A5A5A5A5A5A5A5A);
	ar_id_new(first);
	ar_id_new(again);
	assert_string_not_equal(first, again);
	ar_seam_set(&seam); /* the same seed gives the same ids, also after earlier ones */
	ar_id_new(again);
	assert_string_equal(first, again);
	ar_seam_set(NULL);
	assert_true(ar_now_ms() > fake_ms);
	r = ar_random_u64();
	assert_true(r != 0x5A5A5A5A5A5A5A5A);
}

static void ids_rise(void **state)
{
	struct ar_seam seam = { .now_ms = fake_now };
	char id[AR_ID_LEN + 1], before[AR_ID_LEN + 1] = "";

	fake_ms = INT64_C(1764000000000);
	ar_seam_set(&seam);
	for (int i = 0; i < 30000; i++) { /* more than fit in one millisecond's counter */
		ar_id_new(id);
		assert_true(ar_id_valid(ar_str(id)));
		assert_int_equal(id[14], '7');
		assert_true(strchr("89ab", id[19]) != NULL);
		assert_true(strcmp(before, id) < 0);
		memcpy(before, id, sizeof(id));
		if (i == 10000)
			fake_ms -= 5000; /* the clock steps back */
		if (i == 20000)
			fake_ms += 60000;
	}
	assert_memory_equal(id, "019ab6fe-", 9 - 5); /* begins with the time */
	ar_seam_set(NULL);
}

static void ids_are_checked(void **state)
{
	static const char *const bad[] = {
		"",
		"019ab6fe-0000-7000-8000-00000000000",
		"019ab6fe-0000-7000-8000-0000000000000",
		"019AB6FE-0000-7000-8000-000000000000",
		"019ab6fe00000-7000-8000-000000000000",
		"019ab6fe-0000-7000-8000-00000000000g",
		"019ab6fe-0000-7000-8000-00000000000-",
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(bad); i++)
		assert_false(ar_id_valid(ar_str(bad[i])));
	assert_true(ar_id_valid(ar_id(pool)));
	assert_true(ar_id_valid(AR_STR("00000000-0000-0000-0000-000000000000")));
}

/* The value was computed with Python's hashlib and written down here. */
static void ids_from_names(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str a = ar_id_from(pool, AR_STR("abc"));

	assert_str(a, "ba7816bf-8f01-8fea-8141-40de5dae2223");
	assert_true(ar_str_eq(a, ar_id_from(pool, AR_STR("abc"))));
	assert_false(ar_str_eq(a, ar_id_from(pool, AR_STR("abd"))));
	assert_true(ar_id_valid(ar_id_from(pool, AR_STR_NONE)));
	assert_str(ar_id_from_at(pool, 0x19aa12345678, AR_STR("abc")),
		   "19aa1234-5678-8fea-8141-40de5dae2223");
}

static void random_below_is_below_and_even(void **state)
{
	int count[6] = { 0 };

	for (int i = 0; i < 60000; i++) {
		uint64_t v = ar_random_below(6);

		assert_true(v < 6);
		count[v]++;
	}
	for (int i = 0; i < 6; i++) /* 10,000 +- 6 standard deviations: 91 each */
		assert_true(count[i] > 9400 && count[i] < 10600);
	assert_int_equal(ar_random_below(1), 0);
	assert_true(ar_random_below(UINT64_MAX) < UINT64_MAX);
}

static void random_differs_after_fork(void **state)
{
	uint64_t mine, child_value = 0;
	int fds[2], status;
	pid_t child;

	ar_random_u64(); /* the block is drawn before the fork */
	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		uint64_t v = ar_random_u64();

		_exit(write(fds[1], &v, sizeof(v)) == sizeof(v) ? 0 : 1);
	}
	mine = ar_random_u64();
	assert_int_equal(read(fds[0], &child_value, sizeof(child_value)), sizeof(child_value));
	waitpid(child, &status, 0);
	close(fds[0]);
	close(fds[1]);
	assert_true(mine != child_value);
}

static void random_fills_large_buffers(void **state)
{
	unsigned char *p = ar_heap_alloc(100000);
	size_t zeros = 0;

	ar_random(p, 100000);
	for (size_t i = 0; i < 100000; i++)
		zeros += p[i] == 0;
	ar_heap_free(p);
	assert_true(zeros > 250 && zeros < 550); /* 390 expected */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_parse),
		cmocka_unit_test(times_agree_with_libc),
		cmocka_unit_test(times_out_of_range_are_clamped),
		cmocka_unit_test(dates),
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(seam_replaces_and_gives_back),
		cmocka_unit_test(ids_rise),
		cmocka_unit_test(ids_are_checked),
		cmocka_unit_test(ids_from_names),
		cmocka_unit_test(random_below_is_below_and_even),
		cmocka_unit_test(random_differs_after_fork),
		cmocka_unit_test(random_fills_large_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
