/*
 * h2_frames.h - looks at HTTP/2 frames before h2o 2.2.5 sees them, and says which to keep from it.
 *
 * Pure: bytes in, verdict out. h2o answers what it is asked and never loses patience; this does.
 * A client pays for each frame that makes work or a reply without being a request, from budgets
 * that fill again with time. Header blocks are walked (not decoded) to count their fields, so that a
 * block of 15,000 references to one big table entry is refused before it is expanded.
 */
#ifndef AR_H2_FRAMES_H
#define AR_H2_FRAMES_H

#include "base/base.h"

#define H2_PREFACE          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LEN      24
#define H2_FRAME_HEAD       9
#define H2_FRAME_MAX        16384       /* of a payload: what h2o announces */
#define H2_BLOCK_MAX        (32 * 1024) /* of a header block as sent, over all its frames */
#define H2_BLOCK_FRAMES_MAX 16
#define H2_FIELDS_MAX       104 /* 100 headers and 4 pseudo-headers */

enum h2_type {
	H2_DATA,
	H2_HEADERS,
	H2_PRIORITY,
	H2_RST_STREAM,
	H2_SETTINGS,
	H2_PUSH_PROMISE,
	H2_PING,
	H2_GOAWAY,
	H2_WINDOW_UPDATE,
	H2_CONTINUATION,
};
#define H2_END_STREAM    1
#define H2_ACK           1
#define H2_END_HEADERS   4
#define H2_PADDED        8
#define H2_WITH_PRIORITY 32

struct h2_frame {
	size_t length; /* of the payload */
	int type;
	int flags;
	uint32_t stream;
	const uint8_t *payload;
};

/* What a connection may still spend, and when it was filled last. */
struct h2_budget {
	double left;
	int64_t at_ms; /* 0: never used, full */
};
enum h2_budget_kind {
	H2_RESETS,  /* streams ended early, by the client or because of its errors */
	H2_ECHOES,  /* PING, SETTINGS, PRIORITY, empty frames */
	H2_WINDOWS, /* WINDOW_UPDATE that says something */
	H2_BUDGETS,
};

struct h2_watch { /* of one connection; zero is the start */
	struct h2_budget budgets[H2_BUDGETS];
	uint32_t block_stream; /* whose header block is open; 0: none */
	int block_frames;
	struct ar_buf block; /* gathered when it came in several frames */
};

enum h2_verdict {
	H2_PASS,
	H2_DROP,  /* h2o need not know */
	H2_CLOSE, /* enough: ENHANCE_YOUR_CALM */
};

/* Reads the frame at p. The bytes that it takes, or 0 when it is not whole. A frame over the limit
 * is given as its head alone: h2o refuses it by that. */
size_t h2_frame_read(const uint8_t *p, size_t n, struct h2_frame *ret);
enum h2_verdict h2_watch_frame(struct h2_watch *watch, const struct h2_frame *frame,
			       int64_t now_ms);
/* False when the budget does not have it. */
bool h2_watch_spend(struct h2_watch *watch, enum h2_budget_kind kind, double cost, int64_t now_ms);
void h2_watch_done(struct h2_watch *watch);
/* Fields in a header block; -1 when it is malformed (h2o will say so). */
int h2_hpack_fields(const uint8_t *p, size_t n);

#endif
