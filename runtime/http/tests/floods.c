/*
 * floods.c - HTTP/2 clients that make a server work for nothing: each is told to be calm and closed
 * long before it is done, few of its requests ran, and the server's memory did not grow.
 */
#include <sys/resource.h>

#include "h2_client.h"

#define FLOOD   20000 /* of whatever it is */
#define RAN_MAX 1200  /* requests that may have run in a flood */

static int up(void **state)
{
	server_up((struct ar_server_options){ 0 });
	return 0;
}

static int down(void **state)
{
	server_down();
	return 0;
}

static long rss_kb(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return r.ru_maxrss;
}

static void empty(uint32_t id)
{
	get(id, "/sleep?2000");
}

static void reset_flood(uint32_t id)
{
	empty(id);
	frame(H2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
}

static void reset_unfinished(uint32_t id)
{
	post(id, "/");
	frame(H2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
}

static void zero_window(uint32_t id)
{
	empty(id);
	frame(H2_WINDOW_UPDATE, 0, id, "\0\0\0\0", 4);
}

static void window_overflow(uint32_t id)
{
	empty(id);
	frame(H2_WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
}

static void window_overflow_in_two(uint32_t id)
{
	empty(id);
	frame(H2_WINDOW_UPDATE, 0, id, "\x7f\xff\x00\x00", 4);
	frame(H2_WINDOW_UPDATE, 0, id, "\x7f\xff\x00\x00", 4);
}

static void data_after_end(uint32_t id)
{
	empty(id);
	frame(H2_DATA, 0, id, "x", 1);
}

static void data_on_closed(uint32_t id)
{
	if (id == 1)
		get(1, "/");
	frame(H2_DATA, 0, 1, "x", 1);
}

static void wrong_length(uint32_t id)
{
	headers(id, 0,
		(const char *const[]){ ":method", "POST", ":scheme", "http", ":path", "/",
				       ":authority", "a", "content-length", "9", NULL });
	frame(H2_DATA, H2_END_STREAM, id, "x", 1);
}

static void no_path(uint32_t id)
{
	headers(id, H2_END_STREAM,
		(const char *const[]){ ":method", "GET", ":scheme", "http", NULL });
}

static void pings(uint32_t id)
{
	frame(H2_PING, 0, 0, "12345678", 8);
}

static void settings(uint32_t id)
{
	frame(H2_SETTINGS, 0, 0, "\x00\x04\x00\x00\xff\xff", 6);
}

static void priorities(uint32_t id)
{
	frame(H2_PRIORITY, 0, 1, "\0\0\0\x03\x10", 5);
}

static void empty_data(uint32_t id)
{
	if (id == 1)
		post(1, "/");
	frame(H2_DATA, 0, 1, "", 0);
}

static void window_noise(uint32_t id)
{
	for (int i = 0; i < 3; i++)
		frame(H2_WINDOW_UPDATE, 0, 0, "\0\0\0\x01", 4);
}

static void unknown_frames(uint32_t id)
{
	frame(0xaa, 0, 0, "", 0);
}

static void too_many_in_flight(uint32_t id)
{
	empty(id); /* refused from the 101st on, and that counts */
}

static const struct flood {
	const char *name;
	void (*one)(uint32_t id);
} floods[] = {
	{ "reset flood", reset_flood },
	{ "reset unfinished", reset_unfinished },
	{ "zero window", zero_window },
	{ "window overflow", window_overflow },
	{ "window overflow in two", window_overflow_in_two },
	{ "data after end", data_after_end },
	{ "data on closed", data_on_closed },
	{ "wrong length", wrong_length },
	{ "no path", no_path },
	{ "pings", pings },
	{ "settings", settings },
	{ "priorities", priorities },
	{ "empty data", empty_data },
	{ "window noise", window_noise },
	{ "unknown frames", unknown_frames },
	{ "too many in flight", too_many_in_flight },
};

static void all_floods(void **state)
{
	for (size_t i = 0; i < AR_COUNT(floods); i++) {
		long before = rss_kb();
		int ran = handled;

		dial_h2();
		for (uint32_t k = 0; k < FLOOD; k++)
			floods[i].one(1 + 2 * k);
		before = rss_kb(); /* with our own frames */
		flush_frames();
		listen_until(NULL, PATIENCE_MS);
		if (!h2.closed)
			fail_msg("%s: not closed", floods[i].name);
		if (h2.goaway != 11 && h2.goaway != -1) /* -1: lost in the reset that followed */
			fail_msg("%s: GOAWAY %d", floods[i].name, h2.goaway);
		if (handled - ran > RAN_MAX)
			fail_msg("%s: %d ran", floods[i].name, handled - ran);
		if (rss_kb() - before > 60000)
			fail_msg("%s: %ld KB", floods[i].name, rss_kb() - before);
		hang_up();
	}
}

static void flood_slowly(void)
{
	dial_h2();
	for (uint32_t k = 0; k < 300 && !h2.closed; k++) {
		reset_flood(1 + 2 * k);
		flush_frames();
		listen_until(NULL, 0);
	}
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	hang_up();
}

/* Sent slowly, so that nothing is lost: the client is told why. A server that is slower still may
 * have closed before the client's last words. */
static void told_to_be_calm(void **state)
{
	int told = 0;

	for (int i = 0; i < 50 && told == 0; i++) {
		flood_slowly();
		told += h2.goaway == 11;
	}
	assert_int_equal(told, 1);
}

/* A page full of cancelled pictures is none of that. */
static void some_resets_are_fine(void **state)
{
	dial_h2();
	for (uint32_t k = 0; k < 90; k++)
		reset_flood(1 + 2 * k);
	get(1001, "/echo");
	assert_int_equal(answer_to(1001)->status, 200);
	assert_int_equal(h2.goaway, -1);
	hang_up();
}

static size_t bomb_table(uint8_t *block)
{
	size_t n = block_of(block, (const char *const[]){ ":method", "GET", ":scheme", "http",
							  ":path", "/", ":authority", "a", NULL });

	memcpy(block + n, "\x40\x01x\x7f\x81\x1e", 6); /* x: 4,000 bytes into the table */
	n += 6;
	memset(block + n, 'v', 127 + 0xf01);
	return n + 127 + 0xf01;
}

/* One table entry of 4 KB, referred to 15,000 times: 60 MB in 15 KB. */
static void header_bomb(void **state)
{
	static uint8_t block[40000];
	size_t n = bomb_table(block);
	long before = rss_kb();
	int ran = handled;

	dial_h2();
	frame(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, n);
	assert_int_equal(answer_to(1)->status, 200);
	memset(block, 0xbe, 15000);
	frame(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 3, block, 15000);
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_int_equal(h2.goaway, 11);
	hang_up();
	/* in CONTINUATION frames */
	n = bomb_table(block);
	dial_h2();
	frame(H2_HEADERS, H2_END_STREAM, 1, block, n);
	memset(block, 0xbe, 16384);
	frame(H2_CONTINUATION, 0, 1, block, 10000);
	frame(H2_CONTINUATION, H2_END_HEADERS, 1, block, 10000);
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_int_equal(h2.goaway, 11);
	hang_up();
	assert_int_equal(handled - ran, 1);
	assert_true(rss_kb() - before < 20000);
}

/* As much as one request may refer to, 100 requests at once, again and again. */
static void many_small_bombs(void **state)
{
	static uint8_t block[5000];
	size_t n = bomb_table(block);
	long before;
	int ran = handled;

	dial_h2();
	frame(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, n);
	assert_int_equal(answer_to(1)->status, 200);
	memset(block + n, 0xbe, 90);
	n = block_of(block, (const char *const[]){ ":method", "GET", ":scheme", "http", ":path",
						   "/sleep?500", ":authority", "a", NULL });
	memset(block + n, 0xbe, 90);
	n += 90;
	before = rss_kb();
	for (uint32_t k = 0; k < 2000; k++)
		frame(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 3 + 2 * k, block, n);
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_int_equal(handled - ran, 1);
	assert_true(rss_kb() - before < 40000);
	hang_up();
}

static void endless_header_block(void **state)
{
	static uint8_t block[H2_FRAME_MAX];

	dial_h2();
	frame(H2_HEADERS, 0, 1, "", 0);
	for (int i = 0; i < FLOOD; i++)
		frame(H2_CONTINUATION, 0, 1, "", 0);
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	hang_up();
	memset(block, 0, sizeof(block));
	dial_h2();
	frame(H2_HEADERS, 0, 1, block, sizeof(block));
	for (int i = 0; i < 100; i++)
		frame(H2_CONTINUATION, 0, 1, block, sizeof(block));
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	hang_up();
}

static void too_long_a_frame(void **state)
{
	static uint8_t block[H2_FRAME_MAX + 1];

	dial_h2();
	frame(H2_DATA, 0, 1, block, sizeof(block));
	flush_frames();
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_true(h2.goaway == 6 || h2.goaway == -1); /* FRAME_SIZE_ERROR */
	hang_up();
}

/* Replies to PINGs that nobody reads may not pile up. */
static void pings_unread(void **state)
{
	long before;

	dial_h2();
	for (int i = 0; i < 400; i++)
		pings(1);
	flush_frames();
	before = rss_kb();
	for (int i = 0; i < 200; i++) {
		for (int k = 0; k < 400; k++)
			pings(1);
		if (flush_frames() != 0)
			break;
	}
	listen_until(NULL, PATIENCE_MS);
	assert_true(h2.closed);
	assert_true(rss_kb() - before < 20000);
	hang_up();
	assert_true(closed_to(0));
}

/* Bytes that are no HTTP/2 at all, after the preface: closed, and the server lives. */
static void noise(void **state)
{
	uint64_t seed = 42;

	for (int i = 0; i < 300; i++) {
		uint8_t bytes[400];

		for (size_t k = 0; k < sizeof(bytes); k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			bytes[k] = (uint8_t)(seed >> 56);
		}
		dial_h2();
		if (i % 3 != 0) { /* small frames of known types */
			for (size_t k = 0; k + 20 < sizeof(bytes); k += 20)
				frame(bytes[k] % 11, bytes[k + 1], bytes[k + 2] % 8, bytes + k + 3,
				      bytes[k + 4] % 17);
		} else {
			ar_buf_add(&out, bytes, sizeof(bytes));
		}
		flush_frames();
		shutdown(h2.fd, SHUT_WR);
		listen_until(NULL, 300);
		hang_up();
	}
	dial_h2();
	get(1, "/echo");
	assert_int_equal(answer_to(1)->status, 200);
	hang_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_floods),
		cmocka_unit_test(told_to_be_calm),
		cmocka_unit_test(some_resets_are_fine),
		cmocka_unit_test(header_bomb),
		cmocka_unit_test(many_small_bombs),
		cmocka_unit_test(endless_header_block),
		cmocka_unit_test(too_long_a_frame),
		cmocka_unit_test(pings_unread),
		cmocka_unit_test(noise),
	};

	ar_log_fd(open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, up, down);
}
