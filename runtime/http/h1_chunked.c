/*
 * h1_chunked.c - the chunked transfer coding, read strictly: CRLF only, hexadecimal sizes of at most
 * 15 digits, extensions and trailers bounded and dropped, no control characters in either.
 */
#include "http/h1_head.h"

enum {
	SIZE,      /* digits */
	EXTENSION, /* after ';', up to CR */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,      /* at the start of a line */
	TRAILER_NAME, /* up to ':' */
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	END,
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int take_size(struct h1_chunked *d, char c)
{
	int v = hex(c);

	if (v >= 0) {
		if (d->left >> 56 != 0)
			return -1;
		d->left = d->left << 4 | (size_t)v;
		d->digits = true;
		return 0;
	}
	if (!d->digits || (c != ';' && c != '\r'))
		return -1;
	d->state = c == ';' ? EXTENSION : SIZE_LF;
	return 0;
}

/* One byte that is not body data. */
static int take_char(struct h1_chunked *d, char c)
{
	struct ar_str one = ar_str_n(&c, 1);

	switch (d->state) {
	case SIZE:
		return take_size(d, c);
	case EXTENSION:
		if (c == '\r')
			d->state = SIZE_LF;
		else if (!http_field_value(one))
			return -1;
		return 0;
	case SIZE_LF:
		if (c != '\n')
			return -1;
		d->state = d->left > 0 ? DATA : TRAILER;
		d->overhead = 0;
		return 0;
	case DATA_CR:
		d->state = DATA_LF;
		return c == '\r' ? 0 : -1;
	case DATA_LF:
		d->state = SIZE;
		d->digits = false;
		d->overhead = 0;
		return c == '\n' ? 0 : -1;
	case TRAILER:
		d->state = c == '\r' ? END_LF : TRAILER_NAME;
		return c == '\r' || http_token(one) ? 0 : -1;
	case TRAILER_NAME:
		if (c == ':')
			d->state = TRAILER_VALUE;
		return c == ':' || http_token(one) ? 0 : -1;
	case TRAILER_VALUE:
		if (c == '\r')
			d->state = TRAILER_LF;
		return c == '\r' || http_field_value(one) ? 0 : -1;
	case TRAILER_LF:
		d->state = TRAILER;
		return c == '\n' ? 0 : -1;
	default: /* END_LF */
		d->state = END;
		return c == '\n' ? 0 : -1;
	}
}

ptrdiff_t h1_chunked_take(struct h1_chunked *d, const char *p, size_t n, struct ar_str *ret_data,
			  bool *ret_end)
{
	size_t i = 0;

	*ret_data = AR_STR_NONE;
	*ret_end = false;
	while (i < n && d->state != DATA && d->state != END) {
		if (++d->overhead > H1_CHUNK_OVERHEAD_MAX || take_char(d, p[i++]) != 0)
			return -1;
	}
	if (d->state == DATA && i < n) {
		*ret_data = ar_str_n(p + i, AR_MIN(n - i, d->left));
		i += ret_data->n;
		d->left -= ret_data->n;
		if (d->left == 0)
			d->state = DATA_CR;
	}
	*ret_end = d->state == END;
	return (ptrdiff_t)i;
}
