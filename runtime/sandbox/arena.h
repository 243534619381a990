/*
 * arena.h - the memory of one Lua state: an area with a hard end, dropped whole.
 *
 * Small blocks come from the bottom by size classes, large ones from the top in 1 KiB granules that
 * merge with free neighbours. When the two meet, allocation fails: that is the memory limit. A
 * pristine state at the bottom can be copied aside and copied back, which is what makes a fresh
 * state for every call cheap. Executors only.
 */
#ifndef AR_SANDBOX_ARENA_H
#define AR_SANDBOX_ARENA_H

#include "base/base.h"

enum {
	ARENA_SMALL_MAX = 4096,
	ARENA_GRANULE = 1024,
	ARENA_CLASSES = 32 + 14, /* by 16 up to 512, by 256 up to 4096 */
	ARENA_BINS = 20,
};

struct arena_free {
	struct arena_free *next, *prev;
	uint32_t first, granules;
};

struct arena {
	char *base;        /* page-aligned mapping, at least `cap` bytes */
	uint32_t *tags;    /* for each granule: of the block that begins or ends there */
	size_t mapped;     /* bytes of the mapping that are for blocks */
	size_t cap;        /* the limit of this call */
	size_t low, high;  /* between them: never used */
	size_t high_min;   /* how far down the large blocks came */
	size_t used, peak; /* bytes that the state asked for */
	void *small[ARENA_CLASSES];
	struct arena_free *bins[ARENA_BINS];
};

/* A pristine state: the bytes at the bottom and the lists into them. */
struct arena_image {
	char *bytes;
	size_t low, used;
	void *small[ARENA_CLASSES];
};

int sb_arena_map(struct arena *arena, size_t size); /* -1: the kernel refused */
void sb_arena_unmap(struct arena *arena);
void sb_arena_begin(struct arena *arena, size_t cap); /* empty, with cap <= mapped */
void *sb_arena_alloc(void *arena, void *p, size_t osize, size_t nsize); /* a lua_Alloc */
/* Takes a copy; everything must be in small blocks. False when it is not. */
bool sb_arena_save(const struct arena *arena, struct arena_image *ret);
void sb_arena_restore(struct arena *arena, const struct arena_image *image, size_t cap);
void sb_arena_trim(struct arena *arena); /* gives pages of a large call back; then restore */

#endif
