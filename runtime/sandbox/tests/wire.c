/*
 * wire.c - values on the wire: what is written reads back, what is wrong is refused, at any byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sandbox/wire.h"

static const char *const texts[] = {
	"null",
	"true",
	"[]",
	"{}",
	"0",
	"63",
	"64",
	"-1",
	"9223372036854775807",
	"1.5",
	"\"\"",
	"[1,[2,[3,{\"a\":[]}]]]",
	"{\"a\":\"x\",\"b\":{\"c\":[null,false,1e300]},\"z\":\"中文\"}",
	/* a string of 130 bytes: the long form */
	"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"",
};

static void put(struct ar_pool *pool, const char *text, struct ar_buf *buf, struct ar_json **ret)
{
	assert_int_equal(ar_json_parse(pool, ar_str(text), &ar_json_limits_default, ret), 0);
	assert_int_equal(sb_value_write(buf, *ret), 0);
}

static bool reads(struct ar_pool *pool, const void *p, size_t n, struct ar_json **ret)
{
	/* A copy of exactly n bytes: a sanitizer sees what is read behind it. */
	unsigned char *exact = ar_memdup(pool, p, n);
	struct wire_reader r = { exact, exact + n, false };

	return sb_value_read(pool, &r, ret) && r.p == r.end;
}

static void values_read_back(void **state)
{
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *buf = ar_buf_new(pool, 1 << 20);
		struct ar_json *v, *back;

		put(pool, texts[i], buf, &v);
		assert_true(reads(pool, buf->p, buf->n, &back));
		assert_true(ar_json_equal(v, back));
		ar_pool_free(pool);
	}
}

static void every_prefix_is_refused(void **state)
{
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *buf = ar_buf_new(pool, 1 << 20);
		struct ar_json *v;

		put(pool, texts[i], buf, &v);
		for (size_t n = 0; n < buf->n; n++)
			assert_false(reads(pool, buf->p, n, &v));
		ar_pool_free(pool);
	}
}

/* Any byte may be anything: what comes of it is refused or is a value like any other. */
static void damage_does_no_harm(void **state)
{
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_buf *buf = ar_buf_new(pool, 1 << 20);
		struct ar_json *v;

		put(pool, texts[i], buf, &v);
		for (size_t at = 0; at < buf->n; at++) {
			char was = buf->p[at];

			for (int c = 0; c < 256; c++) {
				struct ar_pool *own = ar_pool_new();

				buf->p[at] = (char)c;
				if (reads(own, buf->p, buf->n, &v))
					ar_json_print(own, v);
				ar_pool_free(own);
			}
			buf->p[at] = was;
		}
		ar_pool_free(pool);
	}
}

static void wrong_values_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} wrong[] = {
		{ "\x08", 1 }, /* no such tag */
		{ "\x3f", 1 },
		{ "\x82\xc0\x80", 3 },             /* overlong UTF-8 */
		{ "\x81\0", 2 },                   /* a zero byte */
		{ "\x83\xed\xa0\x80", 4 },         /* a surrogate */
		{ "\x04\0\0\0\0\0\0\xf0\x7f", 9 }, /* infinity */
		{ "\x04\0\0\0\0\0\0\xf8\x7f", 9 }, /* not a number */
		{ "\x06\xff\xff\xff\xff", 5 },     /* more members than bytes */
		{ "\x07\1\0\0\0\x40\x40", 7 },     /* a key that is no string */
		{ "\x07\2\0\0\0\x81"
		  "b\x40\x81"
		  "a\x40",
		  11 }, /* keys that go down */
		{ "\x07\2\0\0\0\x81"
		  "a\x40\x81"
		  "a\x40",
		  11 },            /* the same key twice */
		{ "\x40\x40", 2 }, /* two values */
	};

	for (size_t i = 0; i < AR_COUNT(wrong); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_json *v;

		if (reads(pool, wrong[i].bytes, wrong[i].n, &v))
			fail_msg("wrong value %zu was read", i);
		ar_pool_free(pool);
	}
}

static void depth_and_count_are_bounded(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, 1 << 20);
	struct ar_json *v, *outer = ar_json_new(pool, AR_ARRAY), *in = outer;

	for (int depth = 1; depth <= 64; depth++) {
		buf->n = 0;
		buf->over = false;
		assert_int_equal(sb_value_write(buf, outer), 0);
		assert_true(reads(pool, buf->p, buf->n, &v));
		v = ar_json_new(pool, AR_ARRAY);
		ar_json_add(in, v);
		in = v;
	}
	assert_int_equal(sb_value_write(buf, outer), -1); /* 65 deep */
	ar_err_clear();
	buf->n = 0;
	buf->over = false;
	for (int i = 0; i < 65; i++)
		ar_buf_add(buf, "\x06\1\0\0\0", 5);
	ar_buf_char(buf, WIRE_NULL);
	assert_false(reads(pool, buf->p, buf->n, &v));
	buf->n = 0;
	ar_buf_add(buf, "\x06\xa0\x86\1\0", 5); /* 100,000 members: one value too many */
	for (int i = 0; i < 100000; i++)
		ar_buf_char(buf, WIRE_NULL);
	assert_false(reads(pool, buf->p, buf->n, &v));
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_read_back),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(damage_does_no_harm),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(depth_and_count_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
