/*
 * arena.c - see arena.h. Blocks carry no header: Lua tells the old size with every free.
 *
 * Large blocks are known by the tags at their first and last granule (length << 1 | free). Tags
 * outside of [high, cap) are stale and never read. A shrink may not fail (Lua's rule), so a block
 * that cannot move stays where it is.
 */
#include "sandbox/arena.h"

#include <sys/mman.h>

enum { KEEP_RESIDENT = 512 << 10 };

static size_t class_of(size_t n)
{
	return n <= 512 ? (n + 15) / 16 - 1 : 32 + (n - 512 + 255) / 256 - 1;
}

static size_t class_size(size_t c)
{
	return c < 32 ? (c + 1) * 16 : 512 + (c - 31) * 256;
}

static size_t granules_of(size_t n)
{
	return (n + ARENA_GRANULE - 1) / ARENA_GRANULE;
}

static size_t bin_of(size_t granules)
{
	size_t bin = 63 - (size_t)__builtin_clzl(granules);

	return AR_MIN(bin, (size_t)ARENA_BINS - 1);
}

int sb_arena_map(struct arena *arena, size_t size)
{
	size_t tags = size / ARENA_GRANULE * sizeof(uint32_t);
	char *p = mmap(NULL, size + tags, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	memset(arena, 0, sizeof(*arena));
	arena->base = p;
	arena->tags = (uint32_t *)(void *)(p + size);
	arena->mapped = size;
	return 0;
}

void sb_arena_unmap(struct arena *arena)
{
	if (arena->base != NULL)
		munmap(arena->base,
		       arena->mapped + arena->mapped / ARENA_GRANULE * sizeof(uint32_t));
	memset(arena, 0, sizeof(*arena));
}

void sb_arena_begin(struct arena *arena, size_t cap)
{
	cap = cap / ARENA_GRANULE * ARENA_GRANULE;
	arena->cap = arena->high = arena->high_min = cap;
	arena->low = arena->used = arena->peak = 0;
	memset(arena->small, 0, sizeof(arena->small));
	memset(arena->bins, 0, sizeof(arena->bins));
}

/* ---- small blocks ---- */

static void *small_alloc(struct arena *a, size_t n)
{
	size_t c = class_of(n), size;
	void **p = a->small[c];

	if (p != NULL) {
		a->small[c] = *p;
		return p;
	}
	size = class_size(c);
	if (a->high - a->low < size)
		return NULL;
	p = (void **)(void *)(a->base + a->low);
	a->low += size;
	return p;
}

static void small_free(struct arena *a, void *p, size_t n)
{
	size_t c = class_of(n);

	*(void **)p = a->small[c];
	a->small[c] = p;
}

/* ---- large blocks ---- */

static void tag_set(struct arena *a, size_t first, size_t granules, bool is_free)
{
	a->tags[first] = a->tags[first + granules - 1] = (uint32_t)(granules << 1 | is_free);
}

static void bin_remove(struct arena *a, struct arena_free *f)
{
	if (f->prev != NULL)
		f->prev->next = f->next;
	else
		a->bins[bin_of(f->granules)] = f->next;
	if (f->next != NULL)
		f->next->prev = f->prev;
}

static struct arena_free *free_at(struct arena *a, size_t first)
{
	return (struct arena_free *)(void *)(a->base + first * ARENA_GRANULE);
}

static void large_free(struct arena *a, size_t first, size_t granules)
{
	size_t end = first + granules, high = a->high / ARENA_GRANULE;
	struct arena_free *f;

	if (end < a->cap / ARENA_GRANULE && (a->tags[end] & 1)) {
		f = free_at(a, end);
		bin_remove(a, f);
		granules += f->granules;
	}
	if (first > high && (a->tags[first - 1] & 1)) {
		size_t before = a->tags[first - 1] >> 1;

		first -= before;
		bin_remove(a, free_at(a, first));
		granules += before;
	}
	if (first == high) {
		a->high += granules * ARENA_GRANULE;
		return;
	}
	tag_set(a, first, granules, true);
	f = free_at(a, first);
	f->first = (uint32_t)first;
	f->granules = (uint32_t)granules;
	f->prev = NULL;
	f->next = a->bins[bin_of(granules)];
	if (f->next != NULL)
		f->next->prev = f;
	a->bins[bin_of(granules)] = f;
}

static struct arena_free *large_find(struct arena *a, size_t granules)
{
	for (size_t bin = bin_of(granules); bin < ARENA_BINS; bin++) {
		struct arena_free *f = a->bins[bin];

		/* Only the first bin, and the last, hold blocks that are too small. */
		for (int tries = 0; f != NULL && tries < 16; f = f->next, tries++) {
			if (f->granules >= granules)
				return f;
		}
	}
	return NULL;
}

static void *large_alloc(struct arena *a, size_t n)
{
	size_t granules = granules_of(n), first;
	struct arena_free *f = large_find(a, granules);

	if (f != NULL) {
		size_t rest = f->granules - granules;

		first = f->first;
		bin_remove(a, f);
		tag_set(a, first, granules, false);
		if (rest > 0) {
			tag_set(a, first + granules, rest, false);
			large_free(a, first + granules, rest);
		}
		return a->base + first * ARENA_GRANULE;
	}
	if ((a->high - a->low) / ARENA_GRANULE < granules)
		return NULL;
	a->high -= granules * ARENA_GRANULE;
	a->high_min = AR_MIN(a->high_min, a->high);
	first = a->high / ARENA_GRANULE;
	tag_set(a, first, granules, false);
	return a->base + a->high;
}

/* In place: gives the tail back, or takes the free block behind. */
static bool large_resize(struct arena *a, size_t first, size_t old, size_t granules)
{
	size_t end = first + old;

	if (granules < old) {
		tag_set(a, first, granules, false);
		tag_set(a, first + granules, old - granules, false);
		large_free(a, first + granules, old - granules);
	} else if (granules > old) {
		struct arena_free *f;
		size_t rest;

		if (end >= a->cap / ARENA_GRANULE || !(a->tags[end] & 1))
			return false;
		f = free_at(a, end);
		if (old + f->granules < granules)
			return false;
		rest = old + f->granules - granules;
		bin_remove(a, f);
		tag_set(a, first, granules, false);
		if (rest > 0) {
			tag_set(a, first + granules, rest, false);
			large_free(a, first + granules, rest);
		}
	}
	return true;
}

/*
 * Grows a block into everything that is free around it, the untouched middle included, and moves it
 * to the upper end of that. Without this an array could not double within half of the arena.
 */
static void *large_spread(struct arena *a, size_t first, size_t old, size_t granules, size_t bytes)
{
	size_t from = first, end = first + old, high = a->high / ARENA_GRANULE;
	bool above = end < a->cap / ARENA_GRANULE && (a->tags[end] & 1);
	bool below = first > high && (a->tags[first - 1] & 1);
	size_t middle = (a->high - a->low) / ARENA_GRANULE;

	if (above)
		end += a->tags[end] >> 1;
	if (below)
		from -= a->tags[first - 1] >> 1;
	if (end - from + (from == high ? middle : 0) < granules)
		return NULL;
	if (above)
		bin_remove(a, free_at(a, first + old));
	if (below)
		bin_remove(a, free_at(a, from));
	if (end - from < granules) {
		from = end - granules;
		a->high = from * ARENA_GRANULE;
		a->high_min = AR_MIN(a->high_min, a->high);
	}
	memmove(a->base + (end - granules) * ARENA_GRANULE, a->base + first * ARENA_GRANULE, bytes);
	tag_set(a, end - granules, granules, false);
	if (end - granules > from) {
		tag_set(a, from, end - granules - from, false);
		large_free(a, from, end - granules - from);
	}
	return a->base + (end - granules) * ARENA_GRANULE;
}

/* ---- the allocator of a state ---- */

static bool is_large(const struct arena *a, const void *p)
{
	return (size_t)((const char *)p - a->base) >= a->high;
}

static void block_free(struct arena *a, void *p, size_t n)
{
	if (n > ARENA_SMALL_MAX)
		large_free(a, (size_t)((char *)p - a->base) / ARENA_GRANULE, granules_of(n));
	else if (!is_large(a, p))
		small_free(a, p, n);
	/* else: a shrunk block that could not move; its granules end with the call */
}

static void *block_alloc(struct arena *a, size_t n)
{
	if (n <= ARENA_SMALL_MAX)
		return small_alloc(a, n);
	if (n > a->cap)
		return NULL;
	return large_alloc(a, n);
}

static void *block_resize(struct arena *a, void *p, size_t osize, size_t nsize)
{
	void *q;

	if (osize > ARENA_SMALL_MAX && nsize > ARENA_SMALL_MAX) {
		if (nsize <= a->cap &&
		    large_resize(a, (size_t)((char *)p - a->base) / ARENA_GRANULE,
				 granules_of(osize), granules_of(nsize)))
			return p;
	} else if (osize <= ARENA_SMALL_MAX && nsize <= ARENA_SMALL_MAX &&
		   class_of(osize) == class_of(nsize)) {
		return p;
	}
	q = block_alloc(a, nsize);
	if (q == NULL && osize > ARENA_SMALL_MAX && nsize > osize && nsize <= a->cap)
		return large_spread(a, (size_t)((char *)p - a->base) / ARENA_GRANULE,
				    granules_of(osize), granules_of(nsize), osize);
	if (q == NULL)
		return nsize <= osize ? p : NULL;
	memcpy(q, p, AR_MIN(osize, nsize));
	block_free(a, p, osize);
	return q;
}

void *sb_arena_alloc(void *ud, void *p, size_t osize, size_t nsize)
{
	struct arena *a = ud;

	if (p == NULL) { /* osize is a type tag then */
		if (nsize == 0)
			return NULL;
		osize = 0;
		p = block_alloc(a, nsize);
	} else if (nsize == 0) {
		if (osize > 0)
			block_free(a, p, osize);
		p = NULL;
	} else {
		p = block_resize(a, p, osize, nsize);
	}
	if (p == NULL && nsize > 0)
		return NULL;
	a->used += nsize - osize;
	a->peak = AR_MAX(a->peak, a->used);
	return p;
}

/* ---- images ---- */

bool sb_arena_save(const struct arena *a, struct arena_image *ret)
{
	if (a->high_min != a->cap)
		return false;
	ret->bytes = ar_heap_alloc(a->low);
	memcpy(ret->bytes, a->base, a->low);
	ret->low = a->low;
	ret->used = a->used;
	memcpy(ret->small, a->small, sizeof(ret->small));
	return true;
}

void sb_arena_restore(struct arena *a, const struct arena_image *image, size_t cap)
{
	sb_arena_begin(a, cap);
	memcpy(a->base, image->bytes, image->low);
	memcpy(a->small, image->small, sizeof(a->small));
	a->low = image->low;
	a->used = a->peak = image->used;
}

void sb_arena_trim(struct arena *a)
{
	if (a->low > KEEP_RESIDENT)
		madvise(a->base + KEEP_RESIDENT, a->low - KEEP_RESIDENT, MADV_DONTNEED);
	if (a->cap - a->high_min > KEEP_RESIDENT) {
		size_t from = a->high_min & ~(size_t)4095;

		madvise(a->base + from, a->cap - from, MADV_DONTNEED);
	}
}
