/*
 * buf.c - bytes that grow up to a limit and then refuse.
 *
 * Once over, a buffer takes nothing more until ar_buf_done(): what it holds is a true prefix.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/base_int.h"

#define FIRST 1024 /* bytes of the first block: as large as malloc keeps at hand per thread */

void ar_buf_init(struct ar_buf *buf, size_t max)
{
	*buf = (struct ar_buf){ .max = max };
}

void ar_buf_done(struct ar_buf *buf)
{
	ar_heap_free(buf->p);
	ar_buf_init(buf, buf->max);
}

static void buf_end(void *buf)
{
	ar_buf_done(buf);
}

struct ar_buf *ar_buf_new(struct ar_pool *pool, size_t max)
{
	struct ar_buf *buf = ar_new(pool, struct ar_buf);

	ar_buf_init(buf, max);
	ar_defer(pool, buf_end, buf);
	return buf;
}

char *ar_buf_room(struct ar_buf *buf, size_t n)
{
	size_t cap = buf->cap;

	if (buf->over || n > buf->max - buf->n) {
		buf->over = true;
		ar_fail(AR_E_TOO_LARGE);
		return NULL;
	}
	if (buf->p == NULL || n > cap - buf->n) {
		cap = AR_MAX(cap <= buf->max / 2 ? cap * 2 : buf->max, buf->n + n);
		cap = AR_MAX(cap, AR_MIN((size_t)FIRST, buf->max));
		buf->p = ar_heap_realloc(buf->p, cap);
		buf->cap = cap;
	}
	return buf->p + buf->n;
}

int ar_buf_add(struct ar_buf *buf, const void *p, size_t n)
{
	char *to = ar_buf_room(buf, n);

	if (to == NULL)
		return -1;
	if (n != 0)
		memcpy(to, p, n);
	buf->n += n;
	return 0;
}

int ar_buf_str(struct ar_buf *buf, struct ar_str s)
{
	return ar_buf_add(buf, s.p, s.n);
}

int ar_buf_z(struct ar_buf *buf, const char *z)
{
	return ar_buf_add(buf, z, strlen(z));
}

int ar_buf_char(struct ar_buf *buf, char c)
{
	return ar_buf_add(buf, &c, 1);
}

int ar_buf_printf(struct ar_buf *buf, const char *fmt, ...)
{
	char small[256], *z;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		ar_die("a format that cannot be printed");
	if ((size_t)n < sizeof(small))
		return ar_buf_add(buf, small, n);
	if (ar_buf_room(buf, n) == NULL) /* refused before the text is made */
		return -1;
	z = ar_heap_alloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(z, (size_t)n + 1, fmt, ap);
	va_end(ap);
	rc = ar_buf_add(buf, z, n);
	ar_heap_free(z);
	return rc;
}

int ar_buf_int(struct ar_buf *buf, int64_t v)
{
	char text[20];

	return ar_buf_add(buf, text, ar_int_text(v, text));
}

struct ar_str ar_buf_view(const struct ar_buf *buf)
{
	return (struct ar_str){ buf->p, buf->n };
}
