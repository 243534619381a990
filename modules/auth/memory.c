/*
 * memory.c - what is remembered under a keyed digest of a bearer, bounded in number and in bytes.
 *
 * Values live in generations of one pool each. When a generation is full the next begins empty, and
 * the old one goes with the last call that holds it. Of one loop; nothing here waits.
 */
#include "auth/auth_int.h"

#define VALUES_MAX 8192              /* of a generation */
#define BYTES_MAX  ((size_t)8 << 20) /* of a generation, about */

struct generation {
	struct ar_pool *pool;
	struct ar_map *map;
	unsigned refs; /* one as the current one, and one of each call that holds it */
};

struct auth_memory {
	struct generation *current;
};

static struct generation *generation_new(void)
{
	struct generation *generation = ar_heap_new(struct generation);

	generation->pool = ar_pool_new();
	generation->map = ar_map_new();
	generation->refs = 1;
	return generation;
}

static void generation_unref(void *arg)
{
	struct generation *generation = arg;

	if (--generation->refs > 0)
		return;
	ar_map_free(generation->map, NULL);
	ar_pool_free(generation->pool);
	ar_heap_free(generation);
}

struct auth_memory *auth_memory_new(void)
{
	struct auth_memory *memory = ar_heap_new(struct auth_memory);

	memory->current = generation_new();
	return memory;
}

void auth_memory_free(void *arg)
{
	struct auth_memory *memory = arg;

	generation_unref(memory->current);
	ar_heap_free(memory);
}

void *auth_memory_get(const struct auth_memory *memory, struct ar_str key)
{
	return ar_map_get(memory->current->map, key);
}

struct ar_pool *auth_memory_room(struct auth_memory *memory)
{
	struct generation *now = memory->current;

	if (ar_map_count(now->map) >= VALUES_MAX || ar_pool_size(now->pool) >= BYTES_MAX) {
		generation_unref(now);
		now = memory->current = generation_new();
	}
	return now->pool;
}

void auth_memory_set(struct auth_memory *memory, struct ar_str key, void *value)
{
	ar_map_set(memory->current->map, key, value);
}

void auth_memory_hold(struct auth_memory *memory, struct ar_pool *pool)
{
	memory->current->refs++;
	ar_defer(pool, generation_unref, memory->current);
}
