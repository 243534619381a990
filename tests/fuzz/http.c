/*
 * libFuzzer: what reads bytes off the wire before anything else does: request heads, the chunked
 * coding, HTTP/2 frames and header blocks.
 *
 * A head that is accepted must keep its promises (one Host, one length, no control characters) and
 * must be read the same when written out again; where input is cut must not matter.
 * Run: build-fuzz/tests/fuzz/fuzz_http -max_total_time=60
 */
#include "http/h1_head.h"
#include "http/h2_frames.h"
#include "tests/fuzz/fuzz.h"

/* The first byte says which: '0' a head, '1' the chunked coding; '2', frames, is binary. */
static const char *const seeds[] = {
	"0GET /a%20b?c=d HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: text/*\r\nConnection: close, "
	"upgrade\r\n\r\n",
	"0POST / HTTP/1.1\r\nhost:a.example:80\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
	"\r\nabc",
	"0PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n"
	"\r\n",
	"0GET http://a.example:80/p?q HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
	"0OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"0GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	"HTTP2-Settings: AAMAAABk\r\n\r\n",
	"15;name=\"value\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
};
FUZZ_SEEDS(seeds)

static void within(struct ar_str s, const char *p, size_t n)
{
	must(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

static void check_promises(const struct h1_head *h, const char *p, size_t n)
{
	int hosts = 0, lengths = 0, codings = 0;

	within(h->method, p, n);
	within(h->path, p, n);
	within(h->query, p, n);
	within(h->authority, p, n);
	must(http_token(h->method) && h->path.n > 0 && http_target(h->path));
	must(h->path.p[0] == '/' || ar_str_is(h->path, "*"));
	must(h->authority.n == 0 || http_authority(h->authority));
	for (size_t i = 0; i < h->nheaders; i++) {
		struct ar_str name = h->headers[i].name, value = h->headers[i].value;

		within(name, p, n);
		within(value, p, n);
		must(http_token(name) && http_field_value(value));
		hosts += ar_str_caseeq(name, AR_STR("host"));
		lengths += ar_str_caseeq(name, AR_STR("content-length"));
		codings += ar_str_caseeq(name, AR_STR("transfer-encoding"));
	}
	must(hosts == 1 || (hosts == 0 && h->version == 10));
	must(lengths + codings <= 1);
	must(h->chunked == (codings == 1) && h->chunked == (h->length == -1));
}

/* Written out plainly and read again, it says the same. */
static void check_again(const struct h1_head *h)
{
	struct h1_refusal why;
	struct h1_head again;
	size_t scanned = 0;
	struct ar_buf b;

	ar_buf_init(&b, 1 << 20);
	ar_buf_printf(&b, "%.*s %.*s%s%.*s HTTP/1.%d\r\n", AR_FMT(h->method), AR_FMT(h->path),
		      h->query.p != NULL ? "?" : "", AR_FMT(h->query), h->version - 10);
	for (size_t i = 0; i < h->nheaders; i++)
		ar_buf_printf(&b, "%.*s:%.*s\r\n", AR_FMT(h->headers[i].name),
			      AR_FMT(h->headers[i].value));
	ar_buf_z(&b, "\r\n");
	must(h1_head_find(b.p, b.n, &scanned) == (ptrdiff_t)b.n);
	must(h1_head_read(b.p, b.n, &again, &why) == 0);
	must(ar_str_eq(h->path, again.path) && ar_str_eq(h->query, again.query));
	must(h->length == again.length && h->keepalive == again.keepalive);
	must(h->nheaders == again.nheaders && h->upgrade_h2c == again.upgrade_h2c);
	ar_buf_done(&b);
}

static void fuzz_head(const char *p, size_t n)
{
	size_t scanned = 0, pieces = 0;
	ptrdiff_t whole = h1_head_find(p, n, &scanned), r = 0;
	struct h1_refusal why = { 0, NULL };
	struct h1_head head;

	for (size_t i = 1; i <= n && r == 0; i++)
		r = h1_head_find(p, i, &pieces);
	must(r == whole);
	if (whole <= 0)
		return;
	if (h1_head_read(p, (size_t)whole, &head, &why) != 0) {
		must(why.status >= 400 && why.slug != NULL);
		return;
	}
	check_promises(&head, p, (size_t)whole);
	check_again(&head);
}

/* What comes out when the input is given in steps; *ret_taken is -1 when it is malformed. */
static void decode(const char *p, size_t n, size_t step, struct ar_buf *ret, ptrdiff_t *ret_taken)
{
	struct h1_chunked d = { 0 };
	size_t at = 0, given = AR_MIN(step, n);
	bool end = false;

	while (!end) {
		struct ar_str data;
		ptrdiff_t r = h1_chunked_take(&d, p + at, given - at, &data, &end);

		if (r < 0) {
			*ret_taken = -1;
			return;
		}
		within(data, p, n);
		ar_buf_str(ret, data);
		at += (size_t)r;
		if (at == given && !end) {
			if (given == n)
				break;
			given = AR_MIN(given + step, n);
		}
	}
	*ret_taken = (ptrdiff_t)at;
}

static void fuzz_chunked(const char *p, size_t n)
{
	struct ar_buf one, many;
	ptrdiff_t a, b;

	ar_buf_init(&one, 1 << 20);
	ar_buf_init(&many, 1 << 20);
	decode(p, n, n, &one, &a);
	decode(p, n, 1 + n / 7, &many, &b);
	must(a == b);
	must(a < 0 || ar_str_eq(ar_buf_view(&one), ar_buf_view(&many)));
	ar_buf_done(&one);
	ar_buf_done(&many);
}

static void fuzz_frames(const uint8_t *p, size_t n)
{
	struct h2_watch watch = { 0 };
	struct h2_frame f;
	int64_t now = 1;
	size_t took;

	must(h2_hpack_fields(p, n) <= (int)n);
	while ((took = h2_frame_read(p, n, &f)) > 0) {
		must(took <= n);
		if (h2_watch_frame(&watch, &f, now++) == H2_CLOSE || f.length > H2_FRAME_MAX)
			break;
		must(watch.block.n <= H2_BLOCK_MAX);
		p += took;
		n -= took;
	}
	h2_watch_done(&watch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		fuzz_head((const char *)data + 1, size - 1);
		break;
	case 1:
		fuzz_chunked((const char *)data + 1, size - 1);
		break;
	default:
		fuzz_frames(data + 1, size - 1);
	}
	return 0;
}
