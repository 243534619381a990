/*
 * head.c - the strict reader alone: rows of heads with the verdict that each must get, the chunked
 * coding in one piece and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1_head.h"

static const struct row {
	const char *head;
	int status; /* 0: accepted */
} rows[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "GET / HTTP/1.0\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 0 },
	{ "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "GET HTTP://A/ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", 0 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChunkeD\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\xbd\xa0\t x \r\n\r\n", 0 },
	{ "GET /\xe4\xbd\xa0?f=a>1|b HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	/* the request line */
	{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
	{ "GET /\r\nHost: a\r\n\r\n", 400 },
	{ "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/11\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400 },
	{ "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
	{ "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400 },
	{ "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
	{ "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501 },
	{ "\r\n\r\n", 400 },
	{ "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400 },
	/* header lines */
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX(: 1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: a\x0b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa9: a\r\n\r\n", 400 },
	/* framing */
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
	  400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n",
	  400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n", 417 },
};

static int verdict(const char *head, size_t n, struct h1_head *ret)
{
	struct h1_refusal why = { 0 };
	size_t scanned = 0;
	ptrdiff_t len = h1_head_find(head, n, &scanned);

	if (len < 0)
		return 400;
	assert_true(len > 0);
	return h1_head_read(head, (size_t)len, ret, &why) == 0 ? 0 : why.status;
}

static void verdicts(void **state)
{
	struct h1_head head;

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		if (verdict(rows[i].head, strlen(rows[i].head), &head) != rows[i].status)
			fail_msg("row %zu: %d, not %d: %s", i,
				 verdict(rows[i].head, strlen(rows[i].head), &head), rows[i].status,
				 rows[i].head);
}

static void parts(void **state)
{
	static const char text[] = "PATCH HTTP://x.example:1/a/b?c=d?e HTTP/1.1\r\n"
				   "Host: X.example:1\r\nX-A:  v 1\t\r\nContent-Length: 12\r\n"
				   "Expect: 100-Continue\r\nConnection: x , Close\r\n\r\nrest";
	struct h1_head h;
	size_t scanned = 0;

	assert_int_equal(h1_head_find(text, sizeof(text) - 1, &scanned), sizeof(text) - 5);
	assert_int_equal(verdict(text, sizeof(text) - 1, &h), 0);
	assert_true(ar_str_is(h.method, "PATCH"));
	assert_true(ar_str_is(h.path, "/a/b"));
	assert_true(ar_str_is(h.query, "c=d?e"));
	assert_true(ar_str_is(h.authority, "x.example:1"));
	assert_int_equal(h.nheaders, 5);
	assert_true(ar_str_is(h.headers[1].value, "v 1"));
	assert_int_equal(h.length, 12);
	assert_int_equal(h.version, 11);
	assert_true(h.expect);
	assert_false(h.keepalive);
	assert_false(h.chunked);
}

static void keep_alive(void **state)
{
	static const struct {
		const char *head;
		bool keep;
	} kept[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
	};
	struct h1_head h;

	for (size_t i = 0; i < AR_COUNT(kept); i++) {
		assert_int_equal(verdict(kept[i].head, strlen(kept[i].head), &h), 0);
		assert_int_equal(h.keepalive, kept[i].keep);
	}
}

static void nul_and_bare_lf(void **state)
{
	static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
	static const char *const bare[] = { "GET / HTTP/1.1\nHost: a\n\n", "\n",
					    "GET / HTTP/1.1\r\nHost: a\n\r\n",
					    "GET / HTTP/1.1\r\nHost: a\r\n\n" };
	struct h1_head h;

	assert_int_equal(verdict(nul, sizeof(nul) - 1, &h), 400);
	for (size_t i = 0; i < AR_COUNT(bare); i++) {
		size_t scanned = 0;

		assert_int_equal(h1_head_find(bare[i], strlen(bare[i]), &scanned), -1);
	}
}

/* However the bytes are cut, the end is found at the same place. */
static void found_in_pieces(void **state)
{
	static const char text[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
	size_t n = sizeof(text) - 1, scanned = 0;

	for (size_t i = 1; i <= n; i++) {
		ptrdiff_t r = h1_head_find(text, i, &scanned);

		assert_int_equal(r, i < 29 ? 0 : 29);
		if (r > 0)
			break;
	}
}

static void limits(void **state)
{
	struct ar_buf b;
	struct h1_head h;

	ar_buf_init(&b, 1 << 20);
	ar_buf_z(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < H1_HEADERS_MAX - 1; i++)
		ar_buf_printf(&b, "X%d: 1\r\n", i);
	ar_buf_z(&b, "\r\n");
	assert_int_equal(verdict(b.p, b.n, &h), 0);
	b.n -= 2;
	ar_buf_z(&b, "One-More: 1\r\n\r\n");
	assert_int_equal(verdict(b.p, b.n, &h), 431);
	b.n = 0;
	ar_buf_z(&b, "GET /");
	while (b.n < H1_TARGET_MAX + 5)
		ar_buf_char(&b, 'a');
	ar_buf_z(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(verdict(b.p, b.n, &h), 414);
	ar_buf_done(&b);
}

/* ---- chunked ---- */

static const struct coded {
	const char *in, *out; /* out NULL: malformed */
	const char *rest;
} codings[] = {
	{ "0\r\n\r\n", "", "" },
	{ "5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET" },
	{ "5;a=b;c=\"d\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n",
	  "hello0123456789", "" },
	{ "a\r\n0123456789\r\n000\r\n\r\n", "0123456789", "" },
	{ "\r\n\r\n", NULL, NULL },
	{ "5\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "5\r\nhello\n0\r\n\r\n", NULL, NULL },
	{ "5\r\nhelloX\r\n0\r\n\r\n", NULL, NULL },
	{ "0x5\r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "-5\r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ " 5\r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "5 \r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ ";a\r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "5;a\x01\r\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "5;a\nhello\r\n0\r\n\r\n", NULL, NULL },
	{ "fffffffffffffffff\r\n", NULL, NULL },
	{ "0\r\nX y: 1\r\n\r\n", NULL, NULL },
	{ "0\r\n: 1\r\n\r\n", NULL, NULL },
	{ "0\r\n X: 1\r\n\r\n", NULL, NULL },
	{ "0\r\nX: 1\n\r\n", NULL, NULL },
	{ "0\r\n\n", NULL, NULL },
};

/* Decodes in steps of `step` bytes. Returns the bytes taken, or -1. */
static ptrdiff_t decode(const char *in, size_t n, size_t step, struct ar_buf *out, bool *ret_end)
{
	struct h1_chunked d = { 0 };
	size_t at = 0, given = AR_MIN(step, n);

	*ret_end = false;
	while (!*ret_end) {
		struct ar_str data;
		ptrdiff_t r = h1_chunked_take(&d, in + at, given - at, &data, ret_end);

		if (r < 0)
			return -1;
		ar_buf_str(out, data);
		at += (size_t)r;
		if (at == given && !*ret_end) {
			if (given == n)
				break;
			given = AR_MIN(given + step, n);
		}
	}
	return (ptrdiff_t)at;
}

/* What is looked at in words: each byte at each place. */
static void every_byte(void **state)
{
	for (int c = 0; c < 256; c++) {
		bool value = c == '\t' || (c >= ' ' && c != 0x7f);
		bool target = c > ' ' && c != 0x7f && c != '#';

		for (size_t at = 0; at < 20; at++) {
			char s[20];

			memset(s, 'a', sizeof(s));
			s[at] = (char)c;
			assert_int_equal(http_field_value(ar_str_n(s, sizeof(s))), value);
			assert_int_equal(http_target(ar_str_n(s, sizeof(s))), target);
		}
	}
	assert_true(http_field_value(AR_STR_NONE) && http_target(AR_STR_NONE));
}

static void chunked(void **state)
{
	struct ar_buf out;
	bool end;

	ar_buf_init(&out, 1 << 20);
	for (size_t i = 0; i < AR_COUNT(codings); i++) {
		const struct coded *c = &codings[i];
		size_t n = strlen(c->in);

		for (size_t step = 1; step <= n; step++) {
			ptrdiff_t r;

			out.n = 0;
			r = decode(c->in, n, step, &out, &end);
			if (c->out == NULL && r >= 0)
				fail_msg("coding %zu was taken", i);
			if (c->out == NULL)
				continue;
			if (r < 0 || !end || !ar_str_is(ar_buf_view(&out), c->out) ||
			    strcmp(c->in + r, c->rest) != 0)
				fail_msg("coding %zu, step %zu: %td", i, step, r);
		}
	}
	ar_buf_done(&out);
}

static void chunked_overhead(void **state)
{
	struct ar_buf in, out;
	bool end;

	ar_buf_init(&in, 1 << 20);
	ar_buf_init(&out, 1 << 20);
	ar_buf_z(&in, "1;");
	while (in.n < H1_CHUNK_OVERHEAD_MAX + 10)
		ar_buf_char(&in, 'a');
	assert_int_equal(decode(in.p, in.n, in.n, &out, &end), -1);
	in.n = 0;
	ar_buf_z(&in, "0\r\n");
	while (in.n < H1_CHUNK_OVERHEAD_MAX + 10)
		ar_buf_z(&in, "A: b\r\n");
	assert_int_equal(decode(in.p, in.n, in.n, &out, &end), -1);
	ar_buf_done(&in);
	ar_buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),         cmocka_unit_test(parts),
		cmocka_unit_test(keep_alive),       cmocka_unit_test(nul_and_bare_lf),
		cmocka_unit_test(found_in_pieces),  cmocka_unit_test(limits),
		cmocka_unit_test(every_byte),       cmocka_unit_test(chunked),
		cmocka_unit_test(chunked_overhead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
