/*
 * map.h - a hash table from strings to pointers (keys copied). Built on uthash with ar_hash.
 */
#ifndef AR_MAP_H
#define AR_MAP_H

#include "base/str.h"

struct ar_map;

struct ar_map *ar_map_new(void);
/* free_value is called for each value left; NULL when the table does not own them. */
void ar_map_free(struct ar_map *map, void (*free_value)(void *value));
void *ar_map_get(const struct ar_map *map, struct ar_str key); /* or NULL */
void *ar_map_set(struct ar_map *map, struct ar_str key,
		 void *value);                              /* the value before, or NULL */
void *ar_map_remove(struct ar_map *map, struct ar_str key); /* the value removed, or NULL */
size_t ar_map_count(const struct ar_map *map);
/* Stops when fn returns false. fn may remove the entry it is given, no other. */
void ar_map_each(struct ar_map *map, bool (*fn)(struct ar_str key, void *value, void *arg),
		 void *arg);

#endif
