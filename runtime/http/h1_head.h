/*
 * h1_head.h - the strict reader of an HTTP/1.1 request head, and of the chunked coding.
 *
 * Pure: bytes in, verdict out; no sockets, no memory of its own. What RFC 9112 lets a server accept
 * "for robustness" is refused, because two readers that are robust in different ways can be played
 * against each other (request smuggling): bare LF, folded lines, space before the colon, more than
 * one Content-Length or Transfer-Encoding, both together, no Host or two, control characters, and
 * targets whose authority says something else than Host.
 */
#ifndef AR_H1_HEAD_H
#define AR_H1_HEAD_H

#include "http/server.h"

#define H1_HEAD_MAX    (32 * 1024) /* bytes of request line and headers; more: 431 */
#define H1_TARGET_MAX  (8 * 1024)  /* more: 414 */
#define H1_METHOD_MAX  32
#define H1_HEADERS_MAX 100

/* A refusal: what goes to the client. slug NULL: none. */
struct h1_refusal {
	int status;
	const char *slug;
};

struct h1_head {
	struct ar_str method, path, query, authority; /* views into the bytes given */
	struct ar_header headers[H1_HEADERS_MAX];     /* names as sent */
	size_t nheaders;
	int version;    /* 10 or 11 */
	bool keepalive; /* the connection may carry another request */
	bool chunked;
	bool expect; /* 100-continue */
	bool upgrade_h2c;
	int64_t length; /* of the body; 0 when there is none; -1 when chunked */
};

/*
 * Looks for the end of the head in p[0..n). *scanned says how far earlier calls came (0 at first).
 * Returns the head's length with its empty line, 0 when more bytes are needed, -1 when a line ends
 * without CR or the first byte cannot begin a request.
 */
ptrdiff_t h1_head_find(const char *p, size_t n, size_t *scanned);
/* Reads a whole head (what h1_head_find found). 0, or -1 with the refusal. */
int h1_head_read(const char *p, size_t n, struct h1_head *ret, struct h1_refusal *ret_refusal);

bool http_token(struct ar_str s);       /* 1*tchar */
bool http_field_value(struct ar_str s); /* no control characters but tab */
bool http_authority(struct ar_str s);   /* host [":" port], not empty */
bool http_target(struct ar_str s);      /* no space, control character or '#' */

/* ---- chunked ---- */

#define H1_CHUNK_OVERHEAD_MAX (8 * 1024) /* of one chunk's extension line, and of all trailers */

struct h1_chunked { /* zero is the start */
	int state;
	bool digits;
	size_t left;     /* of the chunk's data */
	size_t overhead; /* bytes of the line that is being read */
};

/*
 * Takes coded bytes from p[0..n): sets *ret_data to the run of body bytes found (maybe empty) and
 * returns how many coded bytes were taken, or -1 when they are malformed. *ret_end becomes true
 * after the last byte of the body. Call again with the rest while there is some.
 */
ptrdiff_t h1_chunked_take(struct h1_chunked *d, const char *p, size_t n, struct ar_str *ret_data,
			  bool *ret_end);

#endif
