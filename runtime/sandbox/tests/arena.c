/*
 * arena.c - the arena under random use: blocks keep their bytes, never overlap, end at the limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sandbox/arena.h"

enum { BLOCKS = 400 };

struct block {
	unsigned char *p;
	size_t n;
	unsigned char mark;
};

static struct block blocks[BLOCKS];
static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

static size_t some_size(void)
{
	switch (rnd(4)) {
	case 0:
		return 1 + rnd(64);
	case 1:
		return 1 + rnd(5000);
	case 2:
		return 1 + rnd(40000);
	default:
		return 1 + rnd(400000);
	}
}

static void fill(struct block *b, size_t from)
{
	memset(b->p + from, b->mark, b->n - from);
}

static void check(const struct block *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->p[i] != b->mark)
			fail_msg("a block of %zu bytes changed at %zu", b->n, i);
	}
}

static void step(struct arena *a, struct block *b)
{
	size_t n = some_size();
	unsigned char *p;

	if (b->p == NULL) {
		p = sb_arena_alloc(a, NULL, 0, n);
		if (p == NULL)
			return;
		assert_int_equal((uintptr_t)p % 16, 0);
		*b = (struct block){ p, n, (unsigned char)rnd(256) };
		fill(b, 0);
	} else if (rnd(2) == 0) {
		check(b);
		assert_null(sb_arena_alloc(a, b->p, b->n, 0));
		b->p = NULL;
	} else {
		size_t kept = AR_MIN(b->n, n);

		p = sb_arena_alloc(a, b->p, b->n, n);
		if (p == NULL) {
			assert_true(n > b->n); /* a shrink may not fail */
			check(b);
			return;
		}
		b->p = p;
		b->n = n;
		if (kept < n)
			fill(b, kept);
		check(b);
	}
}

static void blocks_keep_their_bytes(void **state)
{
	struct arena a;

	assert_int_equal(sb_arena_map(&a, 32 << 20), 0);
	for (int round = 0; round < 12; round++) {
		size_t cap = (size_t)(1 + round % 8) << 20, used = 0;

		seed = (uint64_t)round + 1;
		memset(blocks, 0, sizeof(blocks));
		sb_arena_begin(&a, cap);
		for (int i = 0; i < 6000; i++) {
			step(&a, &blocks[rnd(BLOCKS)]);
			assert_true(a.low <= a.high && a.high <= cap);
		}
		for (size_t i = 0; i < BLOCKS; i++) {
			if (blocks[i].p != NULL) {
				check(&blocks[i]);
				used += blocks[i].n;
				assert_true((char *)blocks[i].p >= a.base &&
					    (char *)blocks[i].p + blocks[i].n <= a.base + cap);
			}
		}
		assert_int_equal(a.used, used);
		assert_true(a.peak >= a.used && a.peak <= cap);
		sb_arena_trim(&a);
	}
	sb_arena_unmap(&a);
}

/* An array that doubles may fill more than half of the arena. */
static void an_array_doubles(void **state)
{
	struct arena a;
	unsigned char *p;
	size_t n = 16;

	assert_int_equal(sb_arena_map(&a, 32 << 20), 0);
	sb_arena_begin(&a, 20 << 20);
	p = sb_arena_alloc(&a, NULL, 0, n);
	for (; n < 16 << 20; n *= 2) {
		p[0] = p[n - 1] = 7;
		p = sb_arena_alloc(&a, p, n, n * 2);
		assert_non_null(p);
		assert_true(p[0] == 7 && p[n - 1] == 7);
	}
	assert_null(sb_arena_alloc(&a, p, n, n * 2));
	assert_null(sb_arena_alloc(&a, p, n, 0));
	assert_int_equal(a.high, a.cap); /* all of it has come together again */
	sb_arena_unmap(&a);
}

static void an_image_is_restored(void **state)
{
	struct arena a;
	struct arena_image image;
	char *p, *q;

	assert_int_equal(sb_arena_map(&a, 8 << 20), 0);
	sb_arena_begin(&a, 8 << 20);
	p = sb_arena_alloc(&a, NULL, 0, 100);
	q = sb_arena_alloc(&a, NULL, 0, 100);
	memset(p, 'p', 100);
	sb_arena_alloc(&a, q, 100, 0);
	assert_true(sb_arena_save(&a, &image));
	memset(p, 'x', 100);
	assert_ptr_equal(sb_arena_alloc(&a, NULL, 0, 100), q);
	assert_non_null(sb_arena_alloc(&a, NULL, 0, 100000));
	sb_arena_restore(&a, &image, 4 << 20);
	assert_int_equal(p[99], 'p');
	assert_ptr_equal(sb_arena_alloc(&a, NULL, 0, 100), q);
	assert_null(sb_arena_alloc(&a, NULL, 0, 4 << 20));
	sb_arena_begin(&a, 8 << 20);
	sb_arena_alloc(&a, NULL, 0, 5000);
	assert_false(sb_arena_save(&a, &image)); /* a large block is no part of an image */
	ar_heap_free(image.bytes);
	sb_arena_unmap(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_keep_their_bytes),
		cmocka_unit_test(an_array_doubles),
		cmocka_unit_test(an_image_is_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
