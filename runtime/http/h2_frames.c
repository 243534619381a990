/*
 * h2_frames.c - budgets for what HTTP/2 clients may do to a server. See h2_frames.h.
 *
 * The limits are far over what browsers, proxies and load tools do: a page full of cancelled images
 * is some dozens of resets; gRPC clients ping a few times a second.
 */
#include "http/h2_frames.h"

static const struct {
	double burst, per_second;
} limits[H2_BUDGETS] = {
	[H2_RESETS] = { 200, 20 },
	[H2_ECHOES] = { 500, 100 },
	[H2_WINDOWS] = { 20000, 20000 },
};

bool h2_watch_spend(struct h2_watch *watch, enum h2_budget_kind kind, double cost, int64_t now_ms)
{
	struct h2_budget *b = &watch->budgets[kind];

	if (b->at_ms == 0)
		b->left = limits[kind].burst;
	else
		b->left += (double)(now_ms - b->at_ms) * limits[kind].per_second / 1000;
	b->left = AR_MIN(b->left, limits[kind].burst);
	b->at_ms = now_ms;
	b->left -= cost;
	return b->left >= 0;
}

void h2_watch_done(struct h2_watch *watch)
{
	ar_buf_done(&watch->block);
}

size_t h2_frame_read(const uint8_t *p, size_t n, struct h2_frame *ret)
{
	if (n < H2_FRAME_HEAD)
		return 0;
	ret->length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	ret->type = p[3];
	ret->flags = p[4];
	ret->stream = ((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]) &
		      0x7fffffff;
	ret->payload = p + H2_FRAME_HEAD;
	if (ret->length > H2_FRAME_MAX)
		return H2_FRAME_HEAD;
	return n < H2_FRAME_HEAD + ret->length ? 0 : H2_FRAME_HEAD + ret->length;
}

/* ---- header blocks ---- */

static int read_int(const uint8_t **p, const uint8_t *end, int prefix)
{
	int max = (1 << prefix) - 1, shift = 0, value;

	if (*p >= end)
		return -1;
	value = *(*p)++ & max;
	if (value < max)
		return value;
	for (; *p < end && shift <= 21; shift += 7) {
		uint8_t b = *(*p)++;

		value += (b & 127) << shift;
		if ((b & 128) == 0)
			return value;
	}
	return -1;
}

static int skip_string(const uint8_t **p, const uint8_t *end)
{
	int n = read_int(p, end, 7);

	if (n < 0 || n > end - *p)
		return -1;
	*p += n;
	return 0;
}

/* RFC 7541, section 6: one representation. 1 for a field, 0 for a table size update. */
static int skip_field(const uint8_t **p, const uint8_t *end)
{
	uint8_t first = **p;
	int index;

	if (first & 0x80)
		return read_int(p, end, 7) > 0 ? 1 : -1;
	if ((first & 0xe0) == 0x20)
		return read_int(p, end, 5) >= 0 ? 0 : -1;
	index = read_int(p, end, first & 0x40 ? 6 : 4);
	if (index < 0 || (index == 0 && skip_string(p, end) != 0))
		return -1;
	return skip_string(p, end) == 0 ? 1 : -1;
}

int h2_hpack_fields(const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	int fields = 0, updates = 0;

	while (p < end) {
		int r = skip_field(&p, end);

		if (r < 0)
			return -1;
		fields += r;
		updates += 1 - r;
	}
	return AR_MAX(fields, updates);
}

/* The block's bytes in a HEADERS frame: without padding and priority. */
static bool headers_fragment(const struct h2_frame *f, const uint8_t **ret, size_t *ret_n)
{
	size_t skip = (f->flags & H2_PADDED ? 1 : 0) + (f->flags & H2_WITH_PRIORITY ? 5 : 0);
	size_t pad = f->flags & H2_PADDED && f->length > 0 ? f->payload[0] : 0;

	if (skip + pad > f->length)
		return false;
	*ret = f->payload + skip;
	*ret_n = f->length - skip - pad;
	return true;
}

static enum h2_verdict block_whole(struct h2_watch *watch, const uint8_t *p, size_t n)
{
	watch->block_stream = 0;
	return h2_hpack_fields(p, n) > H2_FIELDS_MAX ? H2_CLOSE : H2_PASS;
}

static enum h2_verdict watch_headers(struct h2_watch *watch, const struct h2_frame *f)
{
	const uint8_t *p;
	size_t n;

	if (!headers_fragment(f, &p, &n))
		return H2_PASS; /* h2o closes it */
	if (f->flags & H2_END_HEADERS)
		return block_whole(watch, p, n);
	ar_buf_done(&watch->block);
	ar_buf_init(&watch->block, H2_BLOCK_MAX);
	watch->block_stream = f->stream;
	watch->block_frames = 1;
	return ar_buf_add(&watch->block, p, n) == 0 ? H2_PASS : H2_CLOSE;
}

static enum h2_verdict watch_continuation(struct h2_watch *watch, const struct h2_frame *f)
{
	enum h2_verdict v;

	if (f->stream != watch->block_stream)
		return H2_PASS; /* h2o closes it */
	if (++watch->block_frames > H2_BLOCK_FRAMES_MAX ||
	    ar_buf_add(&watch->block, f->payload, f->length) != 0) {
		ar_err_clear();
		return H2_CLOSE;
	}
	if ((f->flags & H2_END_HEADERS) == 0)
		return H2_PASS;
	v = block_whole(watch, (const uint8_t *)watch->block.p, watch->block.n);
	ar_buf_done(&watch->block);
	return v;
}

/* ---- frames ---- */

static bool window_is_abuse(const struct h2_frame *f)
{
	uint32_t by;

	if (f->length != 4)
		return false; /* h2o closes it */
	by = ((uint32_t)f->payload[0] << 24 | (uint32_t)f->payload[1] << 16 |
	      (uint32_t)f->payload[2] << 8 | f->payload[3]) &
	     0x7fffffff;
	return by == 0 || by == 0x7fffffff;
}

static bool pay(struct h2_watch *watch, const struct h2_frame *f, int64_t now_ms)
{
	switch (f->type) {
	case H2_DATA:
		if (f->length > 0 || f->flags & H2_END_STREAM)
			return true;
		return h2_watch_spend(watch, H2_ECHOES, 1, now_ms);
	case H2_HEADERS:
	case H2_CONTINUATION:
	case H2_PUSH_PROMISE:
		return true;
	case H2_RST_STREAM:
		return h2_watch_spend(watch, H2_RESETS, 1, now_ms);
	case H2_WINDOW_UPDATE:
		if (window_is_abuse(f))
			return h2_watch_spend(watch, H2_RESETS, 2, now_ms);
		return h2_watch_spend(watch, H2_WINDOWS, 1, now_ms);
	default:
		return h2_watch_spend(watch, H2_ECHOES, 1, now_ms);
	}
}

enum h2_verdict h2_watch_frame(struct h2_watch *watch, const struct h2_frame *frame, int64_t now_ms)
{
	if (frame->length > H2_FRAME_MAX)
		return H2_PASS; /* its head is enough for h2o to close */
	if (!pay(watch, frame, now_ms))
		return H2_CLOSE;
	if (frame->type == H2_CONTINUATION)
		return watch_continuation(watch, frame);
	if (watch->block_stream != 0)
		return H2_PASS; /* h2o closes it: only CONTINUATION may come now */
	if (frame->type == H2_HEADERS)
		return watch_headers(watch, frame);
	/* Unknown types are to be ignored; h2o would write a line to standard error for each. */
	return frame->type > H2_CONTINUATION ? H2_DROP : H2_PASS;
}
