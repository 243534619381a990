/*
 * fetch_bounds.c - HTTP calls that are refused or ended: the guard of addresses, limits of size
 * and time, many at once, cancellation.
 */
#include "client/tests/fetch.h"

#include <malloc.h>

/* ---- the guard ---- */

TEST(guards_addresses)
{
	static const char *const hosts[] = {
		"127.0.0.1",
		"127.1",
		"2130706433",
		"0x7f000001",
		"017700000001",
		"localhost",
		"LOCALHOST.",
		"[::1]",
		"[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]",
		"[::]",
		"0.0.0.0",
		"127.0.0.2",
		"0",
	};
	struct ar_fetched r;
	int before = server.connections;

	assert_ok(ar_client_allow(AR_STR_NONE));
	for (size_t i = 0; i < AR_COUNT(hosts); i++) {
		struct ar_fetch req = { .url = ar_strf(pool, "http://%s:%d/hello", hosts[i],
						       server.port) };

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_ADDRESS);
	}
	assert_int_equal(server.connections, before);  /* nobody knocked */
	for (size_t i = 0; i < AR_COUNT(hosts); i++) { /* they would have come through */
		struct ar_fetch req = { .url = ar_strf(pool, "http://%s:%d/hello", hosts[i],
						       server.port),
					.allow_private = true };

		if (strstr(hosts[i], "::1]") == NULL) /* machines without IPv6 */
			assert_ok(ar_fetch(pool, &req, &r));
	}
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

TEST(guards_redirects)
{
	struct ar_fetched r;
	int before;

	assert_fails(get(pool, "/metadata", &r), AR_E_CLIENT_ADDRESS);
	before = server.connections;
	assert_fails(get(pool, "/neighbour", &r), AR_E_CLIENT_ADDRESS);
	assert_int_equal(server.connections, before);
	assert_fails(get(pool, "/file", &r), AR_E_CLIENT_URL);
}

/* The lower line of defence, where the socket is made and before each request on a kept one. */
static void guards_sockets(void **state)
{
	struct client_guard guard = { .on = true };
	char url[64];
	CURL *easy;

	client_start();
	easy = curl_easy_init();
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/missing", server.port);
	client_easy_setup(easy, &guard);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	assert_ok(ar_client_allow(AR_STR_NONE));
	assert_int_equal(curl_easy_perform(easy), CURLE_COULDNT_CONNECT);
	assert_true(guard.refused);
	guard = (struct client_guard){ 0 };
	curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, fopen("/dev/null", "w"));
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	guard.on = true; /* the connection is there already */
	assert_int_equal(curl_easy_perform(easy), CURLE_ABORTED_BY_CALLBACK);
	assert_true(guard.refused);
	curl_easy_cleanup(easy);
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

/* ---- limits ---- */

TEST(limits_size)
{
	static const char *const paths[] = { "/bomb", "/endless", "/big", "/headers" };
	struct ar_fetched r;
	int64_t start = ar_mono_ms();

	for (size_t i = 0; i < AR_COUNT(paths); i++) {
		struct ar_fetch req = { .url = at(pool, paths[i]), .response_max = 100000 };

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_TOO_LARGE);
		assert_true(ar_pool_size(pool) < 1000000);
	}
	assert_in_range(ar_mono_ms() - start, 0, 60000); /* one has no end */
	assert_ok(get(pool, "/gzip", &r));
	assert_str(r.body, "hello, packed");
	assert_null(ar_fetched_header(&r, "content-encoding").p);
	assert_null(ar_fetched_header(&r, "content-length").p);
	assert_str(ar_fetched_header(&r, "x-kept"), "yes");
}

TEST(limits_time)
{
	static const char *const paths[] = { "/slow", "/silent" };
	struct ar_fetched r;

	for (size_t i = 0; i < AR_COUNT(paths); i++) {
		struct ar_fetch req = { .url = at(pool, paths[i]), .timeout_ms = 150 };
		int64_t start = ar_mono_ms(), before;

		assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_TIMEOUT);
		assert_in_range(ar_mono_ms() - start, 150, 30000);
		req.timeout_ms = 60000;
		before = ar_deadline_set(ar_mono_ms() + 100);
		assert_fails(ar_fetch(pool, &req, &r), AR_E_DEADLINE);
		ar_deadline_set(before);
	}
	assert_ok(get(pool, "/hello", &r));
}

TEST(fails)
{
	struct ar_fetch req = { .url = at(pool, "/cut") };
	struct ar_fetched r = { .status = 42 };

	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = at(pool, "/old"); /* HTTP/0.9 */
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = AR_STR("http://127.0.0.1:1/");
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	req.url = AR_STR("http://nobody.invalid/");
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED);
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_FAILED); /* remembered */
	assert_int_equal(r.status, 42);
	ar_fetch(pool, &(struct ar_fetch){ .url = at(pool, "/cut") }, &r);
	assert_string_equal(ar_err_param(ar_err(), "host"), "127.0.0.1");
	assert_non_null(ar_err()->below->why);
}

/* ---- together ---- */

static int finished;

static void one_of_many(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	assert_ok(get(pool, arg, &r));
	ar_pool_free(pool);
	finished++;
}

TEST(many_at_once)
{
	finished = waiting_most = 0;
	for (int i = 0; i < 60; i++)
		ar_go("one", one_of_many, "/wait", AR_NO_DEADLINE);
	for (int i = 0; i < 12000 && finished < 60; i++) /* and the loop goes on turning */
		ar_sleep(5);
	assert_int_equal(finished, 60);
	assert_true(waiting_most >= 10);
}

static const struct ar_err_def *ended_with;

static void wait_for_silence(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	assert_int_equal(get(pool, arg, &r), -1);
	ended_with = ar_err()->def;
	ar_pool_free(pool);
}

TEST(cancels)
{
	struct ar_fiber *fiber = ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);

	ended_with = NULL;
	ar_sleep(50);
	assert_null(ended_with);
	ar_cancel(fiber);
	ar_sleep(1);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
	for (int i = 0; i < 6000 && server.open > 0; i++) /* the server sees it leave */
		ar_sleep(10);
	assert_int_equal(server.open, 0);
}

TEST(detach_ends_what_runs)
{
	ended_with = NULL;
	ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);
	ar_sleep(50);
	ar_client_detach();
	ar_sleep(1);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
}

static void the_loops_end_cancels(void **state)
{
	struct ar_loop *loop = ar_loop_new();

	ended_with = NULL;
	ar_go("silent", wait_for_silence, "/silent", AR_NO_DEADLINE);
	ar_client_detach();
	ar_loop_free(loop);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
}

static void busy_one(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_fetched r;

	if (get(pool, "/silent", &r) != 0 && ar_err_is(AR_E_CLIENT_BUSY))
		++*(int *)arg;
	ar_pool_free(pool);
}

TEST(one_host_has_its_share)
{
	struct ar_fiber *fibers[140];
	int busy = 0;

	for (size_t i = 0; i < AR_COUNT(fibers); i++) {
		fibers[i] = ar_go("busy", busy_one, &busy, AR_NO_DEADLINE);
		ar_fiber_hold(fibers[i]);
	}
	assert_int_equal(busy, 12); /* 128 run */
	for (size_t i = 0; i < AR_COUNT(fibers); i++) {
		ar_cancel(fibers[i]);
		if (fibers[i] != NULL)
			ar_join(fibers[i]);
		ar_fiber_drop(fibers[i]);
	}
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* Of twenty replies that led elsewhere none is kept: the limit of size is for the call. */
TEST(redirects_hold_one_body_at_a_time)
{
	struct ar_fetch req = { .url = at(pool, "/heavy"), .follow = 20 };
	struct ar_fetched r;
	size_t before = allocated();

	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_REDIRECTS);
	assert_true(allocated() < before + (6 << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards_addresses),
		cmocka_unit_test(guards_redirects),
		cmocka_unit_test(redirects_hold_one_body_at_a_time),
		cmocka_unit_test(guards_sockets),
		cmocka_unit_test(limits_size),
		cmocka_unit_test(limits_time),
		cmocka_unit_test(fails),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(cancels),
		cmocka_unit_test(detach_ends_what_runs),
		cmocka_unit_test(the_loops_end_cancels),
		cmocka_unit_test(one_host_has_its_share),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
