/*
 * metrics.c - tests of metrics: counting from threads, limits, and the text that is written.
 */
#include <pthread.h>

#include "observe/observe.h"
#include "tests/harness/test.h"

static struct ar_metric requests = {
	.name = "test_requests_total",
	.help = "Requests, \\ and\nlines.",
	.kind = AR_COUNTER,
	.labels = { "route", "status" },
};
static struct ar_metric open_now = {
	.name = "test_open",
	.help = "Open.",
	.kind = AR_GAUGE,
};
static struct ar_metric seconds = {
	.name = "test_seconds",
	.help = "Durations.",
	.kind = AR_HISTOGRAM,
	.labels = { "route" },
	AR_DURATION_US,
};
static struct ar_metric bounded = {
	.name = "test_bounded_total",
	.help = "Few.",
	.kind = AR_COUNTER,
	.labels = { "who" },
	.max = 3,
};

static char *written(void)
{
	static struct ar_buf buf;

	ar_buf_done(&buf);
	ar_buf_init(&buf, 1 << 20);
	assert_ok(ar_metrics_write(&buf));
	assert_int_equal(ar_buf_char(&buf, 0), 0);
	return buf.p;
}

static void assert_line(const char *line)
{
	char *text = written(), *at = strstr(text, line);

	if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line \"%s\" in\n%s", line, text);
}

static void counters_and_labels(void **state)
{
	struct ar_series *ok = ar_series(&requests, "GET /x", "200");

	ar_series_add(ok, 1);
	ar_series_add(ok, 2);
	ar_series_add(ar_series(&requests, "a\"b\\c\nd", "500"), 1);
	assert_ptr_equal(ar_series(&requests, "GET /x", "200"), ok);
	assert_ptr_not_equal(ar_series(&requests, "GET /x2", "00"), ok);
	assert_int_equal(ar_series_value(ok), 3);
	assert_line("# HELP test_requests_total Requests, \\\\ and\\nlines.");
	assert_line("# TYPE test_requests_total counter");
	assert_line("test_requests_total{route=\"GET /x\",status=\"200\"} 3");
	assert_line("test_requests_total{route=\"a\\\"b\\\\c\\nd\",status=\"500\"} 1");
}

static void label_values_do_not_run_into_each_other(void **state)
{
	assert_ptr_not_equal(ar_series(&requests, "ab", "c"), ar_series(&requests, "a", "bc"));
	assert_ptr_not_equal(ar_series(&requests, "", "x"), ar_series(&requests, "x", ""));
}

static void a_gauge_goes_up_and_down(void **state)
{
	ar_metric_register(&open_now);
	assert_line("# TYPE test_open gauge");
	assert_line("test_open 0");
	ar_series_add(ar_series(&open_now), 5);
	ar_series_add(ar_series(&open_now), -7);
	assert_line("test_open -2");
	ar_series_set(ar_series(&open_now), 40);
	assert_line("test_open 40");
}

static void a_histogram_counts_up_to_its_bounds(void **state)
{
	struct ar_series *s = ar_series(&seconds, "r");

	ar_series_observe(s, 0);
	ar_series_observe(s, 100); /* the bound belongs to its bucket */
	ar_series_observe(s, 101);
	ar_series_observe(s, 4999);
	ar_series_observe(s, 60000000);
	assert_int_equal(ar_series_value(s), 5);
	assert_line("# TYPE test_seconds histogram");
	assert_line("test_seconds_bucket{route=\"r\",le=\"0.0001\"} 2");
	assert_line("test_seconds_bucket{route=\"r\",le=\"0.00025\"} 3");
	assert_line("test_seconds_bucket{route=\"r\",le=\"0.0025\"} 3");
	assert_line("test_seconds_bucket{route=\"r\",le=\"0.005\"} 4");
	assert_line("test_seconds_bucket{route=\"r\",le=\"10\"} 4");
	assert_line("test_seconds_bucket{route=\"r\",le=\"+Inf\"} 5");
	assert_line("test_seconds_sum{route=\"r\"} 60.0052");
	assert_line("test_seconds_count{route=\"r\"} 5");
}

static void too_many_series_share_one(void **state)
{
	struct ar_series *a = ar_series(&bounded, "a"), *d;
	char longer[2000];

	ar_series(&bounded, "b");
	ar_series(&bounded, "c");
	d = ar_series(&bounded, "d");
	assert_ptr_equal(ar_series(&bounded, "e"), d);
	assert_ptr_equal(ar_series(&bounded, "a"), a);
	ar_series_add(d, 1);
	ar_series_add(ar_series(&bounded, "e"), 1);
	assert_line("test_bounded_total{who=\"other\"} 2");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_ptr_equal(ar_series(&bounded, longer), d);
}

#define THREADS 6
#define ROUNDS  20000

static void *counts(void *arg)
{
	struct ar_series *h = ar_series(&seconds, "threads");

	for (int i = 0; i < ROUNDS; i++) {
		ar_series_add(ar_series(&requests, "threads", i % 2 ? "1" : "0"), 1);
		ar_series_observe(h, i % 200);
	}
	return NULL;
}

static void threads_lose_nothing(void **state)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, counts, NULL), 0);
	written(); /* while they count */
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(ar_series_value(ar_series(&requests, "threads", "0")),
			 THREADS * ROUNDS / 2);
	assert_int_equal(ar_series_value(ar_series(&requests, "threads", "1")),
			 THREADS * ROUNDS / 2);
	assert_int_equal(ar_series_value(ar_series(&seconds, "threads")), THREADS * ROUNDS);
}

static void collector(struct ar_samples *samples, void *arg)
{
	ar_sample(samples, AR_GAUGE, "test_read", "Read.", 1.5, "db", "one", "kind", "x\"y");
	ar_sample(samples, AR_GAUGE, "test_read", "Read.", 9007199254740993.0, "db", "two");
	ar_sample(samples, AR_COUNTER, "test_total", "All.", *(double *)arg);
}

static void collected_samples(void **state)
{
	static double total = 0.1;
	char *first, *second;

	ar_metrics_collect(collector, &total);
	assert_line("test_read{db=\"one\",kind=\"x\\\"y\"} 1.5");
	assert_line("test_read{db=\"two\"} 9007199254740992");
	assert_line("test_total 0.1");
	total = 3;
	assert_line("test_total 3");
	first = strstr(written(), "# TYPE test_read");
	assert_non_null(first);
	second = strstr(first + 1, "# TYPE test_read");
	assert_null(second);
}

static double number_after(const char *name)
{
	char *text = written(), *at = strstr(text, name);

	assert_non_null(at);
	return strtod(at + strlen(name), NULL);
}

static void the_process_itself(void **state)
{
	double now = (double)ar_now_ms() / 1000;
	int fds[2];
	double before = number_after("\nprocess_open_fds ");

	assert_true(number_after("\nprocess_resident_memory_bytes ") > 1e6);
	assert_true(number_after("\nprocess_cpu_seconds_total ") >= 0);
	assert_true(number_after("\nprocess_threads ") >= 1);
	assert_true(number_after("\nprocess_max_fds ") > 0);
	assert_true(number_after("\nprocess_start_time_seconds ") > now - 600);
	assert_true(number_after("\nprocess_start_time_seconds ") < now + 5);
	assert_int_equal(pipe(fds), 0);
	assert_true(number_after("\nprocess_open_fds ") == before + 2);
	close(fds[0]);
	close(fds[1]);
}

static void a_full_buffer_is_an_error(void **state)
{
	struct ar_buf buf AR_CLEANUP(ar_buf_done) = { 0 };

	ar_buf_init(&buf, 100);
	assert_fails(ar_metrics_write(&buf), AR_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_and_labels),
		cmocka_unit_test(label_values_do_not_run_into_each_other),
		cmocka_unit_test(a_gauge_goes_up_and_down),
		cmocka_unit_test(a_histogram_counts_up_to_its_bounds),
		cmocka_unit_test(too_many_series_share_one),
		cmocka_unit_test(threads_lose_nothing),
		cmocka_unit_test(collected_samples),
		cmocka_unit_test(the_process_itself),
		cmocka_unit_test(a_full_buffer_is_an_error),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
