/*
 * id.h - UUIDv7 as text: time-ordered, 36 lower-case characters, monotonic within a thread.
 */
#ifndef AR_ID_H
#define AR_ID_H

#include "base/pool.h"

#define AR_ID_LEN 36

void ar_id_new(char out[AR_ID_LEN + 1]);
struct ar_str ar_id(struct ar_pool *pool);
bool ar_id_valid(struct ar_str s); /* any UUID text, lower case */
/* A UUID made from a name (SHA-256 of it, version 8): the same name gives the same id. */
struct ar_str ar_id_from(struct ar_pool *pool, struct ar_str name);
/* The same, in the order of time among the ids of ar_id(): it begins with the moment. */
struct ar_str ar_id_from_at(struct ar_pool *pool, int64_t ms, struct ar_str name);

#endif
