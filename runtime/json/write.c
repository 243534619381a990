/*
 * write.c - the writer: the hot path of every list.
 *
 * A value asks the buffer for room once and writes there. Strings are copied in blocks until one of
 * them has a byte that needs care; what comes from the store or from a caller is not trusted to be
 * UTF-8, so no byte sequence can make the output anything but JSON. Nothing here calls printf.
 */
#include "json/json_int.h"

#include <math.h>

void ar_jw_init(struct ar_jw *w, struct ar_buf *buf)
{
	w->buf = buf;
	w->comma = false;
}

static inline char *room(struct ar_buf *buf, size_t n)
{
	if (buf->cap - buf->n >= n && !buf->over)
		return buf->p + buf->n;
	return buf->over ? NULL : ar_buf_room(buf, n);
}

/* Writes the comma that is due and n bytes; the value after it will want one. */
static inline void put(struct ar_jw *w, const char *text, size_t n)
{
	char *p = room(w->buf, n + 1);

	if (p == NULL)
		return;
	if (w->comma)
		*p++ = ',';
	memcpy(p, text, n);
	w->buf->n = (size_t)(p + n - w->buf->p);
	w->comma = true;
}

void ar_jw_object(struct ar_jw *w)
{
	put(w, "{", 1);
	w->comma = false;
}

void ar_jw_array(struct ar_jw *w)
{
	put(w, "[", 1);
	w->comma = false;
}

static inline void end(struct ar_jw *w, char c)
{
	char *p = room(w->buf, 1);

	if (p == NULL)
		return;
	*p = c;
	w->buf->n++;
	w->comma = true;
}

void ar_jw_object_end(struct ar_jw *w)
{
	end(w, '}');
}

void ar_jw_array_end(struct ar_jw *w)
{
	end(w, ']');
}

void ar_jw_null(struct ar_jw *w)
{
	put(w, "null", 4);
}

void ar_jw_bool(struct ar_jw *w, bool v)
{
	put(w, v ? "true" : "false", v ? 4 : 5);
}

void ar_jw_int(struct ar_jw *w, int64_t v)
{
	char *p = room(w->buf, 21);

	if (p == NULL)
		return;
	if (w->comma)
		*p++ = ',';
	p += ar_int_text(v, p);
	w->buf->n = (size_t)(p - w->buf->p);
	w->comma = true;
}

void ar_jw_float(struct ar_jw *w, double v)
{
	char text[FLOAT_TEXT];

	if (!isfinite(v))
		ar_jw_null(w);
	else
		put(w, text, float_text(v, text));
}

/* ---- strings ---- */

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* The high bit of each byte that is below 0x20, a quote, a backslash or not ASCII; exact up to and
 * including the first such byte. */
static inline uint64_t needs_care(uint64_t x)
{
	uint64_t quote = x ^ (ONES * '"'), slash = x ^ (ONES * '\\');

	return (((x - ONES * 0x20) | (quote - ONES) | (slash - ONES)) | x) & HIGHS;
}

#define BLOCK 32

/* True when no byte of the block needs care. */
static inline bool block_plain(const unsigned char *s)
{
	uint64_t x[BLOCK / 8];

	memcpy(x, s, BLOCK);
	return (needs_care(x[0]) | needs_care(x[1]) | needs_care(x[2]) | needs_care(x[3])) == 0;
}

/* Length of the well-formed UTF-8 sequence at p, or 0. */
static inline size_t utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char a = p[0], b;

	if (a < 0xc2 || a > 0xf4 || left < 2)
		return 0;
	b = p[1];
	if ((b & 0xc0) != 0x80)
		return 0;
	if (a < 0xe0)
		return 2;
	if (left < 3 || (p[2] & 0xc0) != 0x80)
		return 0;
	if (a < 0xf0)
		return (a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) ? 0 : 3;
	if (left < 4 || (p[3] & 0xc0) != 0x80)
		return 0;
	return (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f) ? 0 : 4;
}

/* What follows the backslash; 'u': the long form; 0: nothing, the byte stands for itself. */
static const char escapes[256] = {
	['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
	['\t'] = 't', [0] = 'u',     [1] = 'u',    [2] = 'u',    [3] = 'u',    [4] = 'u',
	[5] = 'u',    [6] = 'u',     [7] = 'u',    [11] = 'u',   [14] = 'u',   [15] = 'u',
	[16] = 'u',   [17] = 'u',    [18] = 'u',   [19] = 'u',   [20] = 'u',   [21] = 'u',
	[22] = 'u',   [23] = 'u',    [24] = 'u',   [25] = 'u',   [26] = 'u',   [27] = 'u',
	[28] = 'u',   [29] = 'u',    [30] = 'u',   [31] = 'u',
};

/* Writes the escape, or U+FFFD, for the byte at *s; 6 bytes at most. */
static inline char *escape(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char e = escapes[c];

	if (c >= 0x80) {
		*out++ = (char)0xef;
		*out++ = (char)0xbf;
		*out++ = (char)0xbd;
		return out;
	}
	*out++ = '\\';
	*out++ = e;
	if (e != 'u')
		return out;
	*out++ = '0';
	*out++ = '0';
	*out++ = hex[c >> 4];
	*out++ = hex[c & 15];
	return out;
}

/* The bytes of a string between its quotes. out has room for `left` and 8 more; when escapes need
 * more, asks again. Returns where it ended, or NULL when the buffer is full. */
static char *string_bytes(struct ar_buf *buf, char *out, const unsigned char *s, size_t left)
{
	while (left > 0) {
		size_t n;

		while (left >= BLOCK && block_plain(s)) {
			memcpy(out, s, BLOCK);
			out += BLOCK;
			s += BLOCK;
			left -= BLOCK;
		}
		while (left >= 8) {
			uint64_t x, care;

			memcpy(&x, s, 8);
			memcpy(out, s, 8);
			care = needs_care(x);
			n = care == 0 ? 8 : (size_t)__builtin_ctzll(care) / 8;
			out += n;
			s += n;
			left -= n;
			if (care != 0)
				break;
		}
		if (left == 0)
			break;
		if (*s >= 0x80) {
			/* A run of text that is not ASCII: no need to look at it eight bytes a step. */
			while (left > 0 && *s >= 0x80 && (n = utf8_sequence(s, left)) > 0) {
				for (size_t i = 0; i < n; i++)
					*out++ = (char)*s++;
				left -= n;
			}
			if (left == 0 || *s < 0x80)
				continue;
		} else if (escapes[*s] == 0) {
			*out++ = (char)*s++;
			left--;
			continue;
		}
		buf->n = (size_t)(out - buf->p);
		out = room(buf, 6 + left + 8);
		if (out == NULL)
			return NULL;
		out = escape(out, *s++);
		left--;
	}
	return out;
}

/* The comma that is due, and the made key. */
static inline char *before(struct ar_jw *w, char *p, struct ar_str made)
{
	if (w->comma)
		*p++ = ',';
	if (made.n > 0)
		memcpy(p, made.p, made.n);
	return p + made.n;
}

static inline void string(struct ar_jw *w, struct ar_str made, struct ar_str s, bool key)
{
	size_t start = w->buf->n;
	char *p = room(w->buf, made.n + s.n + 12);

	if (p == NULL) /* not even without escapes and their spare room */
		return;
	p = before(w, p, made);
	*p++ = '"';
	p = string_bytes(w->buf, p, (const unsigned char *)s.p, s.n);
	if (p == NULL) {
		w->buf->n = start;
		return;
	}
	*p++ = '"';
	if (key)
		*p++ = ':';
	w->buf->n = (size_t)(p - w->buf->p);
	w->comma = !key;
}

void ar_jw_key(struct ar_jw *w, struct ar_str key)
{
	string(w, AR_STR_NONE, key, true);
}

void ar_jw_key_made(struct ar_jw *w, struct ar_str key)
{
	put(w, key.p, key.n);
	w->comma = false;
}

void ar_jw_keyz(struct ar_jw *w, const char *key)
{
	string(w, AR_STR_NONE, ar_str(key), true);
}

void ar_jw_str(struct ar_jw *w, struct ar_str s)
{
	string(w, AR_STR_NONE, s, false);
}

void ar_jw_member_str(struct ar_jw *w, struct ar_str made, struct ar_str s)
{
	string(w, made, s, false);
}

void ar_jw_plain(struct ar_jw *w, struct ar_str s)
{
	ar_jw_member_plain(w, AR_STR_NONE, s);
}

void ar_jw_member_plain(struct ar_jw *w, struct ar_str made, struct ar_str s)
{
	char *p = room(w->buf, made.n + s.n + 3);

	if (p == NULL)
		return;
	p = before(w, p, made);
	*p++ = '"';
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '"';
	w->buf->n = (size_t)(p + s.n + 1 - w->buf->p);
	w->comma = true;
}

void ar_jw_strz(struct ar_jw *w, const char *s)
{
	if (s == NULL)
		ar_jw_null(w);
	else
		string(w, AR_STR_NONE, ar_str(s), false);
}

void ar_jw_time(struct ar_jw *w, int64_t ms)
{
	char text[AR_TIME_MAX + 1];
	size_t n;

	text[0] = '"';
	n = ar_time_format(ms, text + 1);
	text[n + 1] = '"';
	put(w, text, n + 2);
}

void ar_jw_raw(struct ar_jw *w, struct ar_str json)
{
	put(w, json.p, json.n);
}

void ar_jw_value(struct ar_jw *w, const struct ar_json *value)
{
	switch (value->type) {
	case AR_NULL:
		ar_jw_null(w);
		return;
	case AR_BOOL:
		ar_jw_bool(w, value->b);
		return;
	case AR_INT:
		ar_jw_int(w, value->i);
		return;
	case AR_FLOAT:
		ar_jw_float(w, value->f);
		return;
	case AR_STRING:
		ar_jw_str(w, value->s);
		return;
	case AR_ARRAY:
		ar_jw_array(w);
		ar_json_each (member, value)
			ar_jw_value(w, member);
		ar_jw_array_end(w);
		return;
	case AR_OBJECT:
		ar_jw_object(w);
		ar_json_each (member, value) {
			ar_jw_key(w, member->key);
			ar_jw_value(w, member);
		}
		ar_jw_object_end(w);
		return;
	}
}

int ar_json_write(struct ar_buf *buf, const struct ar_json *value)
{
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_jw_value(&w, value);
	return buf->over ? ar_fail(AR_E_TOO_LARGE, "what", "json") : 0;
}

struct ar_str ar_json_print(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_buf *buf = ar_buf_new(pool, SIZE_MAX / 4);

	ar_json_write(buf, value);
	return ar_buf_view(buf);
}
