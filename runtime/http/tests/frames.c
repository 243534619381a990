/*
 * frames.c - the watch over HTTP/2 frames alone: budgets, header blocks, what h2o need not see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h2_frames.h"

static enum h2_verdict show(struct h2_watch *w, int type, int flags, const void *p, size_t n,
			    int64_t now)
{
	struct h2_frame f = {
		.type = type, .flags = flags, .stream = 1, .payload = p, .length = n
	};

	return h2_watch_frame(w, &f, now);
}

static void cut(void **state)
{
	const uint8_t bytes[] = { 0, 0, 3, H2_DATA, 1, 0x80, 0, 0, 5, 'a', 'b', 'c', 'x' };
	const uint8_t huge[] = { 0, 0x40, 1, H2_DATA, 0, 0, 0, 0, 1 };
	struct h2_frame f;

	for (size_t n = 0; n < 12; n++)
		assert_int_equal(h2_frame_read(bytes, n, &f), 0);
	assert_int_equal(h2_frame_read(bytes, 13, &f), 12);
	assert_int_equal(f.stream, 5);
	assert_int_equal(f.length, 3);
	assert_int_equal(h2_frame_read(huge, 9, &f), 9);
	assert_int_equal(f.length, H2_FRAME_MAX + 1);
}

/* How many of a kind pass at once, and after a second more. */
static void budgets(void **state)
{
	static const uint8_t zero[8] = { 0 }, one[8] = { 0, 0, 0, 1 },
			     most[4] = { 255, 255, 255, 255 };
	static const struct {
		int type, flags;
		const uint8_t *p;
		size_t n;
		int burst, second;
	} kinds[] = {
		{ H2_RST_STREAM, 0, zero, 4, 200, 20 },
		{ H2_WINDOW_UPDATE, 0, zero, 4, 100, 10 },
		{ H2_WINDOW_UPDATE, 0, most, 4, 100, 10 },
		{ H2_WINDOW_UPDATE, 0, one, 4, 20000, 20000 },
		{ H2_PING, 0, zero, 8, 500, 100 },
		{ H2_SETTINGS, 0, zero, 0, 500, 100 },
		{ H2_PRIORITY, 0, zero, 5, 500, 100 },
		{ H2_DATA, 0, zero, 0, 500, 100 },
		{ 77, 0, zero, 0, 500, 100 },
	};

	for (size_t i = 0; i < AR_COUNT(kinds); i++) {
		struct h2_watch w = { 0 };
		int n = 0;

		while (show(&w, kinds[i].type, kinds[i].flags, kinds[i].p, kinds[i].n, 1000) !=
		       H2_CLOSE)
			n++;
		assert_int_equal(n, kinds[i].burst);
		w = (struct h2_watch){ 0 };
		for (n = 0; n < kinds[i].burst; n++)
			show(&w, kinds[i].type, kinds[i].flags, kinds[i].p, kinds[i].n, 1000);
		for (n = 0; show(&w, kinds[i].type, kinds[i].flags, kinds[i].p, kinds[i].n, 2000) !=
			    H2_CLOSE;
		     n++)
			;
		assert_int_equal(n, kinds[i].second);
	}
}

static void body_is_free(void **state)
{
	struct h2_watch w = { 0 };

	for (int i = 0; i < 100000; i++)
		assert_int_equal(show(&w, H2_DATA, 0, "x", 1, 1), H2_PASS);
	assert_int_equal(show(&w, 99, 0, "", 0, 1), H2_DROP);
}

static void fields_counted(void **state)
{
	static const struct {
		const char *block;
		size_t n;
		int fields;
	} blocks[] = {
		{ "", 0, 0 },
		{ "\x82\x86\x84", 3, 3 },
		{ "\x41\x01x", 3, 1 },
		{ "\x40\x01n\x01v", 5, 1 },
		{ "\x00\x01n\x01v\x82", 6, 2 },
		{ "\x0f\x10\x01v", 4, 1 },
		{ "\xff\x80\x01", 3, 1 },
		{ "\x3f\xe1\x1f\x82", 4, 1 },
		{ "\x20\x20\x20", 3, 3 },
		{ "\x80", 1, -1 },
		{ "\x40\x05n", 3, -1 },
		{ "\xff", 1, -1 },
		{ "\xff\xff\xff\xff\xff\xff\x01", 7, -1 },
		{ "\x41", 1, -1 },
		{ "\x40\x7f\xff\xff\xff\x7f", 6, -1 },
	};

	for (size_t i = 0; i < AR_COUNT(blocks); i++)
		if (h2_hpack_fields((const uint8_t *)blocks[i].block, blocks[i].n) !=
		    blocks[i].fields)
			fail_msg("block %zu", i);
}

static void bombs(void **state)
{
	uint8_t refs[H2_FRAME_MAX];
	struct h2_watch w = { 0 };

	memset(refs, 0xbe, sizeof(refs)); /* table entry 62, over and over */
	assert_int_equal(show(&w, H2_HEADERS, H2_END_HEADERS, refs, H2_FIELDS_MAX, 1), H2_PASS);
	assert_int_equal(show(&w, H2_HEADERS, H2_END_HEADERS, refs, H2_FIELDS_MAX + 1, 1),
			 H2_CLOSE);
	/* in pieces */
	assert_int_equal(show(&w, H2_HEADERS, 0, refs, 60, 1), H2_PASS);
	assert_int_equal(show(&w, H2_CONTINUATION, 0, refs, 40, 1), H2_PASS);
	assert_int_equal(show(&w, H2_CONTINUATION, H2_END_HEADERS, refs, 5, 1), H2_CLOSE);
	/* padded, with priority */
	refs[0] = 3;
	assert_int_equal(show(&w, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_WITH_PRIORITY, refs,
			      1 + 5 + H2_FIELDS_MAX + 3, 1),
			 H2_PASS);
	assert_int_equal(show(&w, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_WITH_PRIORITY, refs,
			      1 + 5 + H2_FIELDS_MAX + 4, 1),
			 H2_CLOSE);
	h2_watch_done(&w);
}

static void endless_blocks(void **state)
{
	uint8_t bytes[H2_FRAME_MAX] = { 0 };
	struct h2_watch w = { 0 };
	int n = 0;

	/* empty CONTINUATION frames */
	assert_int_equal(show(&w, H2_HEADERS, 0, "", 0, 1), H2_PASS);
	while (show(&w, H2_CONTINUATION, 0, "", 0, 1) == H2_PASS)
		n++;
	assert_int_equal(n, H2_BLOCK_FRAMES_MAX - 1);
	h2_watch_done(&w);
	/* and full ones */
	w = (struct h2_watch){ 0 };
	assert_int_equal(show(&w, H2_HEADERS, 0, bytes, sizeof(bytes), 1), H2_PASS);
	assert_int_equal(show(&w, H2_CONTINUATION, 0, bytes, sizeof(bytes), 1), H2_PASS);
	assert_int_equal(show(&w, H2_CONTINUATION, 0, bytes, 1, 1), H2_CLOSE);
	h2_watch_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut),          cmocka_unit_test(budgets),
		cmocka_unit_test(body_is_free), cmocka_unit_test(fields_counted),
		cmocka_unit_test(bombs),        cmocka_unit_test(endless_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
