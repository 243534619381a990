/*
 * h2_client.h - for tests: HTTP/2 frames written and read by hand.
 */
#ifndef TEST_H2_CLIENT_H
#define TEST_H2_CLIENT_H

#include "http/h2_frames.h"
#include "server.h"

struct answer {     /* what came on one stream */
	int status; /* 0: none yet */
	size_t n;   /* body bytes */
	char body[2000];
	bool end;
	int reset; /* error code, or -1 */
};

static struct h2_client {
	int fd;
	uint8_t in[1 << 20];
	size_t n;
	int goaway; /* error code, or -1 */
	uint32_t goaway_last;
	bool closed;
	int settings, pings, windows;
	size_t window_bytes;
	struct answer answers[2000]; /* by stream id / 2 */
} h2;

static struct ar_buf out; /* frames gathered to be sent at once */

static void frame(int type, int flags, uint32_t stream, const void *p, size_t n)
{
	uint8_t head[9] = {
		(uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,
		(uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
		(uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream
	};

	ar_buf_add(&out, head, 9);
	ar_buf_add(&out, p, n);
}

static AR_UNUSED int flush_frames(void)
{
	int r = put(h2.fd, out.p, out.n);

	out.n = 0;
	return r;
}

static void dial_h2(void)
{
	h2.fd = dial();
	h2.n = 0;
	h2.goaway = -1;
	h2.closed = false;
	h2.settings = h2.pings = h2.windows = 0;
	h2.window_bytes = 0;
	for (size_t i = 0; i < AR_COUNT(h2.answers); i++)
		h2.answers[i] = (struct answer){ .reset = -1 };
	ar_buf_done(&out);
	ar_buf_init(&out, 256 << 20);
	ar_buf_add(&out, H2_PREFACE, H2_PREFACE_LEN);
	frame(H2_SETTINGS, 0, 0, "", 0);
}

static AR_UNUSED void hang_up(void)
{
	close(h2.fd);
	ar_buf_done(&out);
}

/* A header block, spelled out: name, value pairs up to NULL. Lengths under 127. */
static size_t block_of(uint8_t *p, const char *const *pairs)
{
	size_t n = 0;

	for (int i = 0; pairs[i] != NULL; i++) {
		size_t len = strlen(pairs[i]);

		if (i % 2 == 0)
			p[n++] = 0;
		assert(len < 127);
		p[n++] = (uint8_t)len;
		memcpy(p + n, pairs[i], len);
		n += len;
	}
	return n;
}

static void headers(uint32_t stream, int flags, const char *const *pairs)
{
	uint8_t block[4096];

	frame(H2_HEADERS, flags | H2_END_HEADERS, stream, block, block_of(block, pairs));
}

static AR_UNUSED void get(uint32_t stream, const char *path)
{
	headers(stream, H2_END_STREAM,
		(const char *const[]){ ":method", "GET", ":scheme", "http", ":path", path,
				       ":authority", "a", NULL });
}

static AR_UNUSED void post(uint32_t stream, const char *path)
{
	headers(stream, 0,
		(const char *const[]){ ":method", "POST", ":scheme", "http", ":path", path,
				       ":authority", "a", NULL });
}

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int block_status(const uint8_t *p, size_t n)
{
	static const int known[] = { 200, 204, 206, 304, 400, 404, 500 };

	assert(n > 0);
	if (p[0] >= 0x88 && p[0] <= 0x8e)
		return known[p[0] - 0x88];
	assert(n >= 5 && p[0] == 8 && p[1] == 3);
	return (p[2] - '0') * 100 + (p[3] - '0') * 10 + p[4] - '0';
}

static void on_frame(const struct h2_frame *f)
{
	struct answer *a = &h2.answers[f->stream / 2 % AR_COUNT(h2.answers)];

	switch (f->type) {
	case H2_HEADERS:
		a->status = block_status(f->payload, f->length);
		a->end = (f->flags & H2_END_STREAM) != 0;
		break;
	case H2_DATA:
		if (a->n < sizeof(a->body) - 1)
			memcpy(a->body + a->n, f->payload,
			       AR_MIN(f->length, sizeof(a->body) - 1 - a->n));
		a->n += f->length;
		a->end = (f->flags & H2_END_STREAM) != 0;
		break;
	case H2_RST_STREAM:
		a->reset = (int)read_u32(f->payload);
		break;
	case H2_GOAWAY:
		h2.goaway_last = read_u32(f->payload);
		h2.goaway = (int)read_u32(f->payload + 4);
		break;
	case H2_SETTINGS:
		h2.settings++;
		break;
	case H2_PING:
		h2.pings++;
		break;
	case H2_WINDOW_UPDATE:
		h2.windows++;
		if (f->stream == 0 && read_u32(f->payload) < 1 << 20) /* not h2o's first */
			h2.window_bytes += read_u32(f->payload);
	}
}

/* Reads frames until `done` says so, the server closes, or nothing comes for ms. */
static void listen_until(bool (*done)(void), int ms)
{
	while (!h2.closed && !(done != NULL && done()) && readable(h2.fd, ms)) {
		ssize_t r = read(h2.fd, h2.in + h2.n, sizeof(h2.in) - h2.n);
		struct h2_frame f;
		size_t took, at = 0;

		if (r <= 0) {
			h2.closed = true;
			break;
		}
		h2.n += (size_t)r;
		while ((took = h2_frame_read(h2.in + at, h2.n - at, &f)) > 0) {
			on_frame(&f);
			at += took;
		}
		memmove(h2.in, h2.in + at, h2.n - at);
		h2.n -= at;
	}
}

static uint32_t awaited;

static bool awaited_is_done(void)
{
	struct answer *a = &h2.answers[awaited / 2];

	return a->end || a->reset >= 0;
}

/* Sends what was gathered, and waits for the end of a stream. */
static AR_UNUSED struct answer *answer_to(uint32_t stream)
{
	flush_frames();
	awaited = stream;
	listen_until(awaited_is_done, PATIENCE_MS);
	return &h2.answers[stream / 2];
}

#endif
