/*
 * h2.c - HTTP/2 by hand: what works, and what is refused a stream at a time.
 */
#include "h2_client.h"

static int up(void **state)
{
	server_up((struct ar_server_options){
		.body_max = 100000, .header_ms = 1000, .send_stall_ms = 1000 });
	return 0;
}

static int down(void **state)
{
	if (server != NULL)
		server_down();
	return 0;
}

static void plain_get(void **state)
{
	struct answer *a;

	dial_h2();
	headers(1, H2_END_STREAM,
		(const char *const[]){ ":method", "GET", ":scheme", "http", ":path", "/echo?q=1",
				       ":authority", "a.example:80", "cookie", "a=1", "x-one", "1",
				       "cookie", "b=2", NULL });
	a = answer_to(1);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "20 GET /echo|q=1|a.example:80|cookie=a=1; b=2;x-one=1;|0:");
	assert_int_equal(h2.settings, 2);
	headers(3, H2_END_STREAM,
		(const char *const[]){ ":method", "GET", ":scheme", "http", ":path", "/echo",
				       ":authority", "a.example:80", "host", "A.example:80",
				       NULL });
	assert_int_equal(answer_to(3)->status, 200);
	hang_up();
}

/* Long before the connection ends. */
static void counts_what_it_sends(void **state)
{
	struct ar_server_stats s = { 0 };
	uint64_t before;

	ar_server_stats(server, &s);
	before = s.bytes_out;
	dial_h2();
	get(1, "/file?300000");
	frame(H2_WINDOW_UPDATE, 0, 0, "\x00\x0f\x00\x00", 4);
	frame(H2_WINDOW_UPDATE, 0, 1, "\x00\x0f\x00\x00", 4);
	assert_int_equal(answer_to(1)->status, 200);
	for (int i = 0; i < 3000 && s.bytes_out < before + 300000; i++) {
		usleep(1000);
		ar_server_stats(server, &s);
	}
	assert_in_range(s.bytes_out - before, 300000, 310000);
	hang_up();
}

static void in_pieces(void **state)
{
	struct ar_buf all;

	dial_h2();
	post(1, "/echo");
	frame(H2_DATA, 0, 1, "hel", 3);
	frame(H2_DATA, H2_END_STREAM, 1, "lo", 2);
	ar_buf_init(&all, 1 << 20);
	ar_buf_add(&all, out.p, out.n);
	out.n = 0;
	for (size_t i = 0; i < all.n; i++) {
		assert_int_equal(put(h2.fd, all.p + i, 1), 0);
		usleep(200);
	}
	assert_string_equal(answer_to(1)->body, "20 POST /echo||a||5:hello");
	ar_buf_done(&all);
	hang_up();
}

/* 900 requests, as many at once as the server allows. */
static void many_streams(void **state)
{
	int ok = 0;

	dial_h2();
	for (uint32_t i = 0; i < 900; i++) {
		get(1 + 2 * i, "/echo");
		if (i % 100 == 99)
			answer_to(1 + 2 * i);
	}
	for (int i = 0; i < 900; i++)
		ok += h2.answers[i].status == 200 && h2.answers[i].end;
	assert_int_equal(ok, 900);
	hang_up();
}

static bool last_is_refused(void)
{
	return h2.answers[129].reset >= 0;
}

static void refused_streams(void **state)
{
	dial_h2();
	for (uint32_t i = 0; i < 130; i++)
		get(1 + 2 * i, "/hold");
	flush_frames();
	listen_until(last_is_refused, PATIENCE_MS);
	released = true;
	assert_int_equal(answer_to(1)->status, 200);
	released = false;
	assert_int_equal(h2.answers[129].reset, 7); /* REFUSED_STREAM */
	hang_up();
}

static void trailers_are_no_headers(void **state)
{
	dial_h2();
	post(1, "/echo");
	frame(H2_DATA, 0, 1, "body", 4);
	headers(1, H2_END_STREAM, (const char *const[]){ "authorization", "smuggled", NULL });
	assert_string_equal(answer_to(1)->body, "20 POST /echo||a||4:body");
	hang_up();
}

static void head_and_file(void **state)
{
	struct answer *a;

	dial_h2();
	headers(1, H2_END_STREAM,
		(const char *const[]){ ":method", "HEAD", ":scheme", "http", ":path", "/file?500",
				       ":authority", "a", NULL });
	a = answer_to(1);
	assert_int_equal(a->status, 200);
	assert_int_equal(a->n, 0);
	get(3, "/file?300000");
	frame(H2_WINDOW_UPDATE, 0, 0, "\x00\x10\x00\x00", 4);
	frame(H2_WINDOW_UPDATE, 0, 3, "\x00\x10\x00\x00", 4);
	a = answer_to(3);
	assert_int_equal(a->status, 200);
	assert_int_equal(a->n, 300000);
	assert_true(a->end);
	get(5, "/file?0");
	assert_int_equal(answer_to(5)->status, 200);
	get(7, "/file-short?300000");
	frame(H2_WINDOW_UPDATE, 0, 7, "\x00\x10\x00\x00", 4);
	a = answer_to(7);
	assert_int_equal(a->reset, 2); /* INTERNAL_ERROR: not the whole */
	get(9, "/echo");
	assert_int_equal(answer_to(9)->status, 200);
	hang_up();
}

static void bad_heads(void **state)
{
	static const char *const rows[][11] = {
		{ ":method", "GET", ":scheme", "http", ":path", "", ":authority", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "x", ":authority", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/a#b", ":authority", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a", NULL },
		{ ":method", "G T", ":scheme", "http", ":path", "/", ":authority", "a", NULL },
		{ ":method", "", ":scheme", "http", ":path", "/", ":authority", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a/b", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", "host", "a", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a", "host", "b",
		  NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a", "host", "",
		  NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a", "x",
		  "a\x01", NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a", "x y", "a",
		  NULL },
		{ ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a",
		  "content-length", "5", NULL },
	};
	int before = handled;

	dial_h2();
	for (uint32_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer *a;

		headers(1 + 2 * i, H2_END_STREAM, rows[i]);
		a = answer_to(1 + 2 * i);
		if (a->status != 400 || strstr(a->body, "\"code\":\"malformed\"") == NULL)
			fail_msg("row %u: %d %s", i, a->status, a->body);
	}
	assert_int_equal(handled, before);
	hang_up();
	dial_h2();
	headers(1, H2_END_STREAM,
		(const char *const[]){ ":method", "CONNECT", ":scheme", "http", ":path", "/",
				       ":authority", "a", NULL });
	assert_int_equal(answer_to(1)->status, 501);
	hang_up();
}

/* 99 references to one table entry of 1 KB: few bytes sent, many meant. */
static void headers_too_large(void **state)
{
	uint8_t block[2000];
	size_t n = block_of(block, (const char *const[]){ ":method", "GET", ":scheme", "http",
							  ":path", "/", ":authority", "a", NULL });

	memcpy(block + n, "\x40\x01x\x7f\x81\x07", 6); /* x: 1,024 bytes, into the table */
	n += 6;
	memset(block + n, 'v', 127 + 0x381);
	n += 127 + 0x381;
	memset(block + n, 0xbe, 90);
	n += 90;
	dial_h2();
	frame(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, n);
	assert_int_equal(answer_to(1)->status, 431);
	hang_up();
}

static void client_resets(void **state)
{
	int before = cancelled, began = handled;

	dial_h2();
	get(1, "/hold");
	flush_frames();
	assert_true(wait_until(&handled, began + 1));
	frame(H2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
	get(3, "/echo");
	assert_int_equal(answer_to(3)->status, 200);
	assert_true(wait_until(&cancelled, before + 1));
	assert_int_equal(h2.answers[0].status, 0);
	hang_up();
	/* and one that leaves altogether */
	dial_h2();
	began = handled;
	get(1, "/hold");
	flush_frames();
	assert_true(wait_until(&handled, began + 1));
	hang_up();
	assert_true(wait_until(&cancelled, before + 2));
}

static bool first_is_reset(void)
{
	return h2.answers[0].reset >= 0;
}

static void body_announced_too_large(void **state)
{
	struct answer *a;

	dial_h2();
	headers(1, 0,
		(const char *const[]){ ":method", "POST", ":scheme", "http", ":path", "/echo",
				       ":authority", "a", "content-length", "100001",
				       "accept-language", "zh", NULL });
	a = answer_to(1);
	assert_int_equal(a->status, 413);
	assert_non_null(strstr(a->body, "\"lang\":\"zh\""));
	listen_until(first_is_reset, PATIENCE_MS);
	assert_int_equal(a->reset, 0); /* NO_ERROR: the rest need not come */
	get(3, "/echo");
	assert_int_equal(answer_to(3)->status, 200);
	hang_up();
}

/* A body that turns out too large is answered at once; what it still sends harms nobody. */
static void body_too_large(void **state)
{
	static uint8_t block[H2_FRAME_MAX];
	struct answer *a;
	int before = handled;

	dial_h2();
	post(1, "/echo");
	for (int i = 0; i < 30; i++)
		frame(H2_DATA, 0, 1, block, sizeof(block));
	a = answer_to(1);
	assert_int_equal(a->status, 413);
	for (int i = 0; i < 30; i++)
		frame(H2_DATA, i == 29 ? H2_END_STREAM : 0, 1, block, sizeof(block));
	get(3, "/echo");
	assert_int_equal(answer_to(3)->status, 200);
	assert_int_equal(h2.goaway, -1);
	/* 54 of 60 frames were dropped, and their bytes given back */
	assert_in_range(h2.window_bytes, 53 * sizeof(block), 55 * sizeof(block));
	/* exactly the largest is fine */
	post(5, "/echo");
	for (int i = 0; i < 10; i++)
		frame(H2_DATA, i == 9 ? H2_END_STREAM : 0, 5, block, 10000);
	a = answer_to(5);
	assert_int_equal(a->status, 200);
	assert_non_null(strstr(a->body, "|100000:"));
	assert_int_equal(handled, before + 2);
	hang_up();
}

/* One connection may hold two bodies of the largest size, not more. */
static void bodies_together_too_large(void **state)
{
	static uint8_t block[H2_FRAME_MAX];

	dial_h2();
	for (uint32_t id = 1; id <= 5; id += 2)
		post(id, "/echo");
	for (int k = 0; k < 6; k++) {
		frame(H2_DATA, 0, 1, block, sizeof(block));
		frame(H2_DATA, 0, 3, block, sizeof(block));
	}
	frame(H2_DATA, 0, 5, block, sizeof(block));
	assert_int_equal(answer_to(5)->status, 503);
	frame(H2_DATA, H2_END_STREAM, 1, "", 0);
	assert_int_equal(answer_to(1)->status, 200);
	frame(H2_DATA, H2_END_STREAM, 3, "", 0);
	assert_int_equal(answer_to(3)->status, 200);
	post(7, "/echo");
	frame(H2_DATA, H2_END_STREAM, 7, block, sizeof(block));
	assert_int_equal(answer_to(7)->status, 200);
	hang_up();
}

static void slow_body(void **state)
{
	int64_t start = ar_mono_ms();
	struct answer *a;

	dial_h2();
	post(1, "/echo");
	flush_frames();
	while (ar_mono_ms() - start < PATIENCE_MS && !h2.closed && h2.answers[0].status == 0) {
		frame(H2_DATA, 0, 1, "x", 1);
		flush_frames();
		listen_until(NULL, 50);
	}
	a = answer_to(1);
	assert_int_equal(a->status, 408);
	assert_true(ar_mono_ms() - start >= 3000);
	get(3, "/echo");
	assert_int_equal(answer_to(3)->status, 200);
	hang_up();
}

static void half_a_frame(void **state)
{
	int64_t start = ar_mono_ms();

	dial_h2();
	frame(H2_DATA, 0, 1, "xxx", 3);
	out.n -= 2;
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_int_equal(h2.goaway, 11);
	assert_in_range(ar_mono_ms() - start, 2900, PATIENCE_MS);
	hang_up();
}

static void half_a_preface(void **state)
{
	int64_t start = ar_mono_ms();
	int fd = dial();

	put(fd, H2_PREFACE, 20);
	read_for(fd, PATIENCE_MS);
	assert_true(got.closed);
	assert_in_range(ar_mono_ms() - start, 900, PATIENCE_MS);
	close(fd);
}

static bool two_are_reset(void)
{
	return first_is_reset() && h2.answers[1].reset >= 0;
}

/* A window that never opens: the stream is taken back, its neighbour is served. */
static void no_window(void **state)
{
	dial_h2();
	frame(H2_SETTINGS, 0, 0, "\x00\x04\x00\x00\x00\x00", 6);
	get(1, "/big");
	get(3, "/file?100000");
	flush_frames();
	listen_until(two_are_reset, PATIENCE_MS);
	assert_int_equal(h2.answers[0].status, 200);
	assert_true(h2.answers[0].reset > 0);
	assert_true(h2.answers[1].reset > 0);
	assert_int_equal(h2.goaway, -1);
	frame(H2_SETTINGS, 0, 0, "\x00\x04\x00\x00\xff\xff", 6);
	get(5, "/echo");
	assert_int_equal(answer_to(5)->status, 200);
	hang_up();
}

/* A window that opens byte by byte is as good as none; one that opens slowly is served. */
static void window_that_sips(void **state)
{
	int64_t start = ar_mono_ms(), last = start, now, longest = 0;

	dial_h2();
	frame(H2_SETTINGS, 0, 0, "\x00\x04\x00\x00\x00\x00", 6);
	get(1, "/big");
	get(3, "/file?4000000");
	while (h2.answers[0].reset < 0 && ar_mono_ms() - start < PATIENCE_MS) {
		frame(H2_WINDOW_UPDATE, 0, 1, "\x00\x00\x00\x01", 4);
		frame(H2_WINDOW_UPDATE, 0, 3, "\x00\x00\x20\x00", 4);
		frame(H2_WINDOW_UPDATE, 0, 0, "\x00\x00\x20\x01", 4);
		assert_int_equal(flush_frames(), 0);
		listen_until(NULL, 20);
		now = ar_mono_ms();
		longest = AR_MAX(longest, now - last);
		last = now;
	}
	assert_int_equal(h2.answers[0].status, 200);
	assert_true(h2.answers[0].reset > 0);
	assert_true(h2.answers[1].n > 0);
	if (longest < 200) /* else it was us who kept it waiting */
		assert_true(h2.answers[1].reset < 0);
	hang_up();
}

/* All the window in the world, but nothing is read from the socket. */
static void no_reading(void **state)
{
	int small = 4096;

	dial_h2();
	setsockopt(h2.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	frame(H2_SETTINGS, 0, 0, "\x00\x04\x7f\xff\xff\xff", 6);
	frame(H2_WINDOW_UPDATE, 0, 0, "\x7f\x00\x00\x00", 4);
	get(1, "/big");
	flush_frames();
	assert_true(closed_to(0));
	hang_up();
}

static void ignores_unknown_frames(void **state)
{
	dial_h2();
	frame(0xee, 0xff, 77, "whatever", 8);
	get(1, "/echo");
	assert_int_equal(answer_to(1)->status, 200);
	hang_up();
}

static const char upgrade[] = "GET /echo/up HTTP/1.1\r\nHost: up.example\r\nConnection: Upgrade, "
			      "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: ";

/* The reply to the request in HTTP/1.1 comes on stream 1, and the connection goes on. */
static void upgrades(void **state)
{
	const char *end;

	dial_h2();
	put_z(h2.fd, upgrade);
	put_z(h2.fd, "AAMAAABkAAQAAP__\r\n\r\n");
	read_until(h2.fd, "\r\n\r\n", 1);
	assert_int_equal(status_of(got.p), 101);
	assert_non_null(strstr(got.p, "\r\nupgrade: h2c\r\n"));
	end = strstr(got.p, "\r\n\r\n") + 4;
	h2.n = got.n - (size_t)(end - got.p);
	memcpy(h2.in, end, h2.n);
	get(3, "/echo/3");
	assert_int_equal(answer_to(3)->status, 200);
	assert_int_equal(h2.answers[0].status, 200);
	assert_non_null(strstr(h2.answers[0].body, "20 GET /echo/up||up.example|"));
	/* and the guard stands there too */
	for (uint32_t k = 2; k < 1000; k++) {
		get(1 + 2 * k, "/sleep?1000");
		frame(H2_RST_STREAM, 0, 1 + 2 * k, "\0\0\0\x08", 4);
	}
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	hang_up();
}

static void upgrades_not(void **state)
{
	const char *r;
	char text[1000];

	/* settings that are none: refused by h2o, said by us */
	snprintf(text, sizeof(text), "%s%s", upgrade, "!!!!\r\n\r\nGET / HTTP/1.1\r\n\r\n");
	r = ask(text);
	assert_int_equal(status_of(r), 400);
	assert_non_null(strstr(r, "\"code\":\"malformed\""));
	assert_true(got.closed);
	/* with a body, or not listed as an option of the connection: plain HTTP/1.1 */
	snprintf(text, sizeof(text), "%s%s", upgrade,
		 "AAMAAABk\r\nContent-Length: 1\r\n\r\nxGET /echo HTTP/1.1\r\nHost: a\r\n"
		 "Connection: close\r\nUpgrade: h2c\r\n\r\n");
	r = ask(text);
	assert_non_null(strstr(r, "11 GET /echo/up"));
	assert_non_null(strstr(r, "11 GET /echo|"));
	/* a client that leaves in the middle of it */
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		put_z(fd, upgrade);
		put_z(fd, "AAMAAABkAAQAAP__\r\n\r\nPRI * HT");
		close(fd);
	}
}

static bool told_to_go(void)
{
	return h2.goaway >= 0 && h2.goaway_last == 1;
}

static bool second_is_answered(void)
{
	return h2.answers[1].status > 0;
}

static void graceful_stop(void **state)
{
	int before;
	pthread_t t;

	/* clients of earlier tests have gone: whoever came before this one, and stays no longer */
	ask("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_true(closed_to(0));
	before = handled;
	dial_h2();
	get(1, "/hold");
	flush_frames();
	assert_true(wait_until(&handled, before + 1));
	pthread_create(&t, NULL, stop_server, NULL);
	listen_until(told_to_go, PATIENCE_MS);
	get(3, "/echo"); /* after the GOAWAY: not to be run */
	flush_frames();
	listen_until(second_is_answered, PATIENCE_MS);
	released = true;
	listen_until(NULL, PATIENCE_MS);
	pthread_join(t, NULL); /* before anything may fail: the server stops once */
	assert_int_equal(h2.goaway, 0);
	assert_int_equal(h2.goaway_last, 1);
	assert_int_equal(h2.answers[0].status, 200);
	assert_string_equal(h2.answers[0].body, "slept");
	assert_int_equal(h2.answers[1].status, 503);
	assert_true(h2.closed);
	assert_int_equal(handled, before + 1);
	hang_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_get),
		cmocka_unit_test(counts_what_it_sends),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(many_streams),
		cmocka_unit_test(refused_streams),
		cmocka_unit_test(trailers_are_no_headers),
		cmocka_unit_test(head_and_file),
		cmocka_unit_test(bad_heads),
		cmocka_unit_test(headers_too_large),
		cmocka_unit_test(client_resets),
		cmocka_unit_test(body_announced_too_large),
		cmocka_unit_test(body_too_large),
		cmocka_unit_test(bodies_together_too_large),
		cmocka_unit_test(slow_body),
		cmocka_unit_test(half_a_frame),
		cmocka_unit_test(half_a_preface),
		cmocka_unit_test(no_window),
		cmocka_unit_test(window_that_sips),
		cmocka_unit_test(no_reading),
		cmocka_unit_test(ignores_unknown_frames),
		cmocka_unit_test(upgrades),
		cmocka_unit_test(upgrades_not),
		cmocka_unit_test(graceful_stop),
	};

	ar_log_fd(open("/dev/null", O_WRONLY));
	assert_int_equal(ar_offload_start(2), 0);
	return cmocka_run_group_tests(tests, up, down);
}
