/*
 * map.c - string keys to pointers on uthash, hashed with the process's key, so that strangers who
 * choose the keys cannot make them collide.
 */
#include "base/base_int.h"

#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)ar_hash((key), (len)))
#define uthash_malloc(n)               ar_heap_alloc(n)
#define uthash_free(p, n)              ar_heap_free(p)
#define uthash_fatal(what)             ar_die(what)
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	void *value;
	size_t n;
	char key[];
};

struct ar_map {
	struct entry *entries;
};

struct ar_map *ar_map_new(void)
{
	return ar_heap_new(struct ar_map);
}

void ar_map_free(struct ar_map *map, void (*free_value)(void *value))
{
	struct entry *e, *next;

	if (map == NULL)
		return;
	HASH_ITER(hh, map->entries, e, next)
	{
		HASH_DELETE(hh, map->entries, e);
		if (free_value != NULL)
			free_value(e->value);
		ar_heap_free(e);
	}
	ar_heap_free(map);
}

static struct entry *entry_find(const struct ar_map *map, struct ar_str key)
{
	struct entry *e;

	HASH_FIND(hh, map->entries, key.n != 0 ? key.p : "", key.n, e);
	return e;
}

void *ar_map_get(const struct ar_map *map, struct ar_str key)
{
	struct entry *e = entry_find(map, key);

	return e != NULL ? e->value : NULL;
}

void *ar_map_set(struct ar_map *map, struct ar_str key, void *value)
{
	struct entry *e = entry_find(map, key);
	void *before;

	if (e != NULL) {
		before = e->value;
		e->value = value;
		return before;
	}
	e = ar_heap_alloc(sizeof(*e) + key.n);
	e->value = value;
	e->n = key.n;
	if (key.n != 0)
		memcpy(e->key, key.p, key.n);
	HASH_ADD(hh, map->entries, key, e->n, e);
	return NULL;
}

void *ar_map_remove(struct ar_map *map, struct ar_str key)
{
	struct entry *e = entry_find(map, key);
	void *value;

	if (e == NULL)
		return NULL;
	value = e->value;
	HASH_DELETE(hh, map->entries, e);
	ar_heap_free(e);
	return value;
}

size_t ar_map_count(const struct ar_map *map)
{
	return HASH_COUNT(map->entries);
}

void ar_map_each(struct ar_map *map, bool (*fn)(struct ar_str key, void *value, void *arg),
		 void *arg)
{
	struct entry *e, *next;

	HASH_ITER(hh, map->entries, e, next)
	{
		if (!fn(ar_str_n(e->key, e->n), e->value, arg))
			return;
	}
}
