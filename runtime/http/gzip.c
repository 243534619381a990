/*
 * gzip.c - compresses replies: text of some size, when the client says that it can read it.
 *
 * It runs on the loop, so it is kept cheap: the fastest level, and nothing over GZIP_MAX.
 */
#include <zlib.h>

#include "http/server_int.h"

#define GZIP_MIN    1024
#define GZIP_MAX    (512 * 1024)
#define GZIP_LEVEL  1
#define GZIP_WINDOW (15 + 16) /* +16: with the gzip head */

static const char *const text_types[] = {
	"application/json",         "application/javascript", "application/xml",
	"application/yaml",         "application/x-ndjson",   "image/svg+xml",
	"application/openapi+json",
};

bool gzip_pays(struct ar_str content_type, size_t n)
{
	struct ar_str type = ar_str_trim(ar_str_cut(&content_type, ';'));

	if (n <= GZIP_MIN || n > GZIP_MAX)
		return false;
	if (ar_str_starts(type, AR_STR("text/")) || ar_str_ends(type, AR_STR("+json")))
		return true;
	for (size_t i = 0; i < AR_COUNT(text_types); i++)
		if (ar_str_is(type, text_types[i]))
			return true;
	return false;
}

/* "q=0", "q=0.0", "q=0.000": not acceptable. */
static bool weight_zero(struct ar_str params)
{
	while (params.p != NULL) {
		struct ar_str p = ar_str_trim(ar_str_cut(&params, ';'));

		if (p.n < 3 || !ar_str_caseeq(ar_str_sub(p, 0, 2), AR_STR("q=")))
			continue;
		for (size_t i = 2; i < p.n; i++)
			if (p.p[i] != '0' && p.p[i] != '.')
				return false;
		return true;
	}
	return false;
}

bool gzip_accepted(struct ar_str accept_encoding)
{
	bool any = false;

	while (accept_encoding.p != NULL) {
		struct ar_str params = ar_str_cut(&accept_encoding, ',');
		struct ar_str coding = ar_str_trim(ar_str_cut(&params, ';'));

		if (ar_str_caseeq(coding, AR_STR("gzip")))
			return !weight_zero(params);
		if (ar_str_is(coding, "*"))
			any = !weight_zero(params);
	}
	return any;
}

static void *zalloc(AR_UNUSED void *opaque, unsigned n, unsigned size)
{
	return ar_heap_alloc((size_t)n * size);
}

static void zfree(AR_UNUSED void *opaque, void *p)
{
	ar_heap_free(p);
}

/* The state is a quarter of a megabyte: each thread makes one and keeps it. */
static _Thread_local z_stream stream;
static _Thread_local bool stream_made;

void gzip_thread_done(void)
{
	if (stream_made)
		deflateEnd(&stream);
	stream_made = false;
}

bool gzip_body(struct ar_pool *pool, struct ar_str body, struct ar_str *ret)
{
	size_t bound;
	char *out;

	if (!stream_made) {
		stream = (z_stream){ .zalloc = zalloc, .zfree = zfree };
		if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			return false;
		stream_made = true;
	} else if (deflateReset(&stream) != Z_OK) {
		return false;
	}
	bound = deflateBound(&stream, body.n);
	out = ar_alloc(pool, bound);
	stream.next_in = (Bytef *)body.p;
	stream.avail_in = (uInt)body.n;
	stream.next_out = (Bytef *)out;
	stream.avail_out = (uInt)bound;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END || stream.total_out >= body.n)
		return false;
	*ret = ar_str_n(out, stream.total_out);
	return true;
}
