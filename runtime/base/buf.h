/*
 * buf.h - a growing byte buffer with a maximum named when it is made.
 *
 * Appending past the maximum leaves the buffer as it was, marks it `over` and returns -1 with
 * AR_E_TOO_LARGE; a writer may append on and check `over` once at the end.
 */
#ifndef AR_BUF_H
#define AR_BUF_H

#include "base/pool.h"

struct ar_buf {
	char *p; /* heap; NUL is not kept */
	size_t n, cap;
	size_t max;
	bool over;
};

void ar_buf_init(struct ar_buf *buf, size_t max);
void ar_buf_done(struct ar_buf *buf); /* also for AR_CLEANUP; the struct may be used again */
/* A buffer whose memory ends with the pool. */
struct ar_buf *ar_buf_new(struct ar_pool *pool, size_t max);

int ar_buf_add(struct ar_buf *buf, const void *p, size_t n);
int ar_buf_str(struct ar_buf *buf, struct ar_str s);
int ar_buf_z(struct ar_buf *buf, const char *z);
int ar_buf_char(struct ar_buf *buf, char c);
int ar_buf_printf(struct ar_buf *buf, const char *fmt, ...) AR_PRINTF(2, 3);
int ar_buf_int(struct ar_buf *buf, int64_t v);
/* Room for n more bytes at buf->p + buf->n, or NULL; the caller adds to buf->n what it wrote. */
char *ar_buf_room(struct ar_buf *buf, size_t n);
struct ar_str ar_buf_view(const struct ar_buf *buf); /* valid until the next append */

#endif
