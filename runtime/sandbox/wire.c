/*
 * wire.c - values between struct ar_json and the wire, as the supervisor reads and writes them.
 *
 * What is read came from a process that may be in an attacker's hands: every length is checked
 * against the bytes that are there before anything is allocated, strings must be valid UTF-8
 * without NUL, floats finite, keys strictly ascending (so none comes twice).
 */
#include "sandbox/wire.h"

#include <math.h>

void sb_read(struct wire_reader *r, void *to, size_t n)
{
	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		memset(to, 0, n);
		return;
	}
	memcpy(to, r->p, n);
	r->p += n;
}

struct ar_str sb_read_str(struct wire_reader *r, size_t n)
{
	struct ar_str s = { (const char *)r->p, n };

	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return AR_STR_NONE;
	}
	r->p += n;
	return s;
}

struct ar_str sb_read_str32(struct wire_reader *r)
{
	uint32_t n;

	sb_read(r, &n, sizeof(n));
	return sb_read_str(r, n);
}

/* ---- writing ---- */

static void write_string(struct ar_buf *buf, struct ar_str s)
{
	if (s.n < 128) {
		ar_buf_char(buf, (char)(WIRE_SHORT | s.n));
	} else {
		uint32_t n = (uint32_t)s.n;

		ar_buf_char(buf, WIRE_STRING);
		ar_buf_add(buf, &n, sizeof(n));
	}
	ar_buf_str(buf, s);
}

struct counts {
	unsigned depth;
	size_t nodes;
};

static void write_value(struct ar_buf *buf, const struct ar_json *v, struct counts *c)
{
	if (buf->over || ++c->nodes > WIRE_NODES) {
		buf->over = true;
		return;
	}
	switch (v->type) {
	case AR_NULL:
		ar_buf_char(buf, WIRE_NULL);
		return;
	case AR_BOOL:
		ar_buf_char(buf, v->b ? WIRE_TRUE : WIRE_FALSE);
		return;
	case AR_INT:
		if (v->i >= 0 && v->i < 64) {
			ar_buf_char(buf, (char)(WIRE_SMALL_INT | v->i));
			return;
		}
		ar_buf_char(buf, WIRE_INT);
		ar_buf_add(buf, &v->i, sizeof(v->i));
		return;
	case AR_FLOAT:
		ar_buf_char(buf, WIRE_FLOAT);
		ar_buf_add(buf, &v->f, sizeof(v->f));
		return;
	case AR_STRING:
		write_string(buf, v->s);
		return;
	case AR_ARRAY:
	case AR_OBJECT:
		break;
	}
	if (c->depth == WIRE_DEPTH) {
		buf->over = true;
		return;
	}
	c->depth++;
	ar_buf_char(buf, v->type == AR_ARRAY ? WIRE_ARRAY : WIRE_OBJECT);
	ar_buf_add(buf, &v->count, sizeof(v->count));
	ar_json_each (m, v) {
		if (v->type == AR_OBJECT)
			write_string(buf, m->key);
		write_value(buf, m, c);
	}
	c->depth--;
}

int sb_value_write(struct ar_buf *buf, const struct ar_json *value)
{
	static const struct ar_json empty = { .type = AR_OBJECT };
	struct counts c = { 0 };

	write_value(buf, value != NULL ? value : &empty, &c);
	return buf->over ? ar_fail(AR_E_TOO_LARGE) : 0;
}

/* ---- reading ---- */

static bool read_string(struct wire_reader *r, int tag, struct ar_str *ret)
{
	if (tag >= WIRE_SHORT)
		*ret = sb_read_str(r, (size_t)tag & 127);
	else
		*ret = sb_read_str32(r);
	if (r->bad || !ar_utf8_valid(*ret) || memchr(ret->n ? ret->p : "", 0, ret->n) != NULL)
		r->bad = true;
	return !r->bad;
}

static bool read_scalar(struct wire_reader *r, int tag, struct ar_json *v)
{
	switch (tag) {
	case WIRE_NULL:
		v->type = AR_NULL;
		return true;
	case WIRE_FALSE:
	case WIRE_TRUE:
		v->type = AR_BOOL;
		v->b = tag == WIRE_TRUE;
		return true;
	case WIRE_INT:
		v->type = AR_INT;
		sb_read(r, &v->i, sizeof(v->i));
		return !r->bad;
	case WIRE_FLOAT:
		v->type = AR_FLOAT;
		sb_read(r, &v->f, sizeof(v->f));
		return !r->bad && isfinite(v->f);
	default:
		if (tag < WIRE_SMALL_INT || tag >= WIRE_SHORT)
			return false;
		v->type = AR_INT;
		v->i = tag - WIRE_SMALL_INT;
		return true;
	}
}

static struct ar_json *read_value(struct ar_pool *pool, struct wire_reader *r, struct counts *c);

static bool read_members(struct ar_pool *pool, struct wire_reader *r, struct ar_json *v,
			 struct counts *c)
{
	uint32_t count;
	struct ar_str last = AR_STR_NONE;

	sb_read(r, &count, sizeof(count));
	if (r->bad || count > WIRE_NODES || count > (size_t)(r->end - r->p) ||
	    c->depth == WIRE_DEPTH)
		return false;
	c->depth++;
	for (uint32_t i = 0; i < count; i++) {
		struct ar_str key = AR_STR_NONE;
		struct ar_json *m;

		if (v->type == AR_OBJECT) {
			unsigned char tag;

			sb_read(r, &tag, 1);
			if (r->bad || (tag < WIRE_SHORT && tag != WIRE_STRING) ||
			    !read_string(r, tag, &key) || (i > 0 && ar_str_cmp(last, key) >= 0))
				return false;
			last = key;
		}
		m = read_value(pool, r, c);
		if (m == NULL)
			return false;
		m->key = key;
		if (v->last != NULL)
			v->last->next = m;
		else
			v->first = m;
		v->last = m;
		v->count++;
	}
	c->depth--;
	return true;
}

static struct ar_json *read_value(struct ar_pool *pool, struct wire_reader *r, struct counts *c)
{
	unsigned char tag;
	struct ar_json *v;

	sb_read(r, &tag, 1);
	if (r->bad || ++c->nodes > WIRE_NODES)
		return NULL;
	v = ar_new(pool, struct ar_json);
	if (tag == WIRE_STRING || tag >= WIRE_SHORT) {
		struct ar_str s;

		if (!read_string(r, tag, &s))
			return NULL;
		v->type = AR_STRING;
		v->s = s;
		return v;
	}
	if (tag == WIRE_ARRAY || tag == WIRE_OBJECT) {
		v->type = tag == WIRE_ARRAY ? AR_ARRAY : AR_OBJECT;
		return read_members(pool, r, v, c) ? v : NULL;
	}
	return read_scalar(r, tag, v) ? v : NULL;
}

bool sb_value_read(struct ar_pool *pool, struct wire_reader *r, struct ar_json **ret)
{
	struct counts c = { 0 };
	struct ar_json *v = read_value(pool, r, &c);

	if (v == NULL) {
		r->bad = true;
		return false;
	}
	*ret = v;
	return true;
}
