/*
 * health.c - tests of readiness and of trace ids.
 */
#include "observe/observe.h"
#include "tests/harness/fiber.h"

/* ---- trace context ---- */

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static const struct {
	const char *header;
	bool good, sampled;
} headers[] = {
	{ "00-" TRACE "-" SPAN "-01", true, true },
	{ "00-" TRACE "-" SPAN "-00", true, false },
	{ "00-" TRACE "-" SPAN "-ff", true, true },
	{ "00-" TRACE "-" SPAN "-08", true, false },
	{ "cc-" TRACE "-" SPAN "-01", true, true },
	{ "cc-" TRACE "-" SPAN "-01-what-comes-later", true, true },
	{ "cc-" TRACE "-" SPAN "-01.later", false, false },
	{ "ff-" TRACE "-" SPAN "-01", false, false },
	{ "00-" TRACE "-" SPAN "-01-later", false, false },
	{ "00-" TRACE "-" SPAN "-1", false, false },
	{ "00-" TRACE "-" SPAN "-0x", false, false },
	{ "00-" TRACE "-" SPAN "_01", false, false },
	{ "00-00000000000000000000000000000000-" SPAN "-01", false, false },
	{ "00-" TRACE "-0000000000000000-01", false, false },
	{ "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false, false },
	{ "0-" TRACE "-" SPAN "-01", false, false },
	{ " 00-" TRACE "-" SPAN "-01", false, false },
	{ "", false, false },
	{ "00", false, false },
};

static void traceparent_is_read_as_the_standard_says(void **state)
{
	for (size_t i = 0; i < AR_COUNT(headers); i++) {
		struct ar_trace t;
		size_t n = strlen(headers[i].header);
		char *exact = malloc(n + 1); /* so that ASan sees a read beyond the end */

		memcpy(exact, headers[i].header, n);
		memset(&t, 0, sizeof(t));
		if (ar_trace_parse(ar_str_n(exact, n), &t) != headers[i].good)
			fail_msg("%s", headers[i].header);
		if (headers[i].good) {
			assert_string_equal(t.trace_id, TRACE);
			assert_string_equal(t.span_id, SPAN);
			assert_int_equal(t.sampled, headers[i].sampled);
		}
		free(exact);
	}
}

static void traceparent_is_made(void **state)
{
	struct ar_trace a, b, back;
	char text[AR_TRACEPARENT_LEN + 1];

	ar_trace_new(&a);
	ar_trace_new(&b);
	assert_string_not_equal(a.trace_id, b.trace_id);
	ar_trace_child(&a, &b);
	assert_string_equal(a.trace_id, b.trace_id);
	assert_string_not_equal(a.span_id, b.span_id);
	b.sampled = false;
	ar_trace_format(&b, text);
	assert_int_equal(strlen(text), AR_TRACEPARENT_LEN);
	assert_true(ar_trace_parse(ar_str(text), &back));
	assert_string_equal(back.trace_id, b.trace_id);
	assert_string_equal(back.span_id, b.span_id);
	assert_false(back.sampled);
}

/* ---- readiness ---- */

static bool store_fails;

static int check_store(void *arg)
{
	return store_fails ? ar_fail(AR_E_UNAVAILABLE, "what", "store") : 0;
}

static int check_slow(void *arg)
{
	return ar_sleep(*(int64_t *)arg);
}

static int64_t slow_ms = 1;

static void asks(const char *expected, bool ready, int64_t timeout_ms)
{
	struct ar_buf buf AR_CLEANUP(ar_buf_done) = { 0 };

	ar_buf_init(&buf, 1000);
	assert_int_equal(ar_ready(&buf, timeout_ms), ready);
	assert_str(ar_buf_view(&buf), expected);
	assert_int_equal(ar_ready(NULL, timeout_ms), ready);
	assert_null(ar_err());
	assert_true(ar_deadline() == AR_NO_DEADLINE);
}

static void body(void *arg)
{
	asks("{\"status\":\"starting\",\"checks\":{\"store\":\"ok\",\"slow\":\"ok\"}}", false,
	     60000);
	ar_state_set(AR_SERVING);
	asks("{\"status\":\"ready\",\"checks\":{\"store\":\"ok\",\"slow\":\"ok\"}}", true, 60000);
	store_fails = true;
	slow_ms = 10000;
	asks("{\"status\":\"failing\",\"checks\":{\"store\":\"unavailable\",\"slow\":\"deadline\"}"
	     "}",
	     false, 30);
	store_fails = false;
	slow_ms = 1;
	asks("{\"status\":\"ready\",\"checks\":{\"store\":\"ok\",\"slow\":\"ok\"}}", true, 60000);
	ar_state_set(AR_STOPPING);
	asks("{\"status\":\"stopping\",\"checks\":{\"store\":\"ok\",\"slow\":\"ok\"}}", false,
	     60000);
}

static void readiness_asks_every_check(void **state)
{
	ar_ready_register("store", check_store, NULL);
	ar_ready_register("slow", check_slow, &slow_ms);
	fiber_run(body, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceparent_is_read_as_the_standard_says),
		cmocka_unit_test(traceparent_is_made),
		cmocka_unit_test(readiness_asks_every_check),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
