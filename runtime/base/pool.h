/*
 * pool.h - memory that ends together: a request's, a fiber's, a statement's.
 *
 * Allocations are zeroed, aligned to 16 bytes, and freed with the pool. ar_defer() queues what is
 * not memory; deferred calls run in reverse order when the pool ends. Not thread-safe: a pool
 * belongs to one fiber at a time. In ASan builds each allocation is a block of its own.
 */
#ifndef AR_POOL_H
#define AR_POOL_H

#include "base/str.h"

struct ar_pool;

struct ar_pool *ar_pool_new(void);       /* the first chunks come from a thread-local free list */
void ar_pool_free(struct ar_pool *pool); /* NULL is fine */
void ar_pool_cleanup(struct ar_pool **pool);     /* for AR_CLEANUP */
void ar_pool_reset(struct ar_pool *pool);        /* runs deferred calls, keeps the first chunk */
size_t ar_pool_size(const struct ar_pool *pool); /* bytes handed out */

void *ar_alloc(struct ar_pool *pool, size_t n);     /* zeroed */
void *ar_alloc_raw(struct ar_pool *pool, size_t n); /* not: for what is filled at once */
void *ar_memdup(struct ar_pool *pool, const void *p, size_t n);
#define ar_new(pool, type) ((type *)ar_alloc((pool), sizeof(type)))
/* count is checked against overflow; a user-controlled count is bounded by the caller first */
void *ar_alloc_n(struct ar_pool *pool, size_t count, size_t size);
#define ar_new_n(pool, type, count) ((type *)ar_alloc_n((pool), (count), sizeof(type)))

char *ar_printf(struct ar_pool *pool, const char *fmt, ...) AR_PRINTF(2, 3);
struct ar_str ar_strf(struct ar_pool *pool, const char *fmt, ...) AR_PRINTF(2, 3);

void ar_defer(struct ar_pool *pool, void (*fn)(void *arg), void *arg);

/* The heap, for what outlives a pool. Zeroed; never NULL. Only base calls malloc. */
void *ar_heap_alloc(size_t n);
void *ar_heap_realloc(void *p, size_t n); /* new bytes are not zeroed */
char *ar_heap_strz(struct ar_str s);
void ar_heap_free(void *p);
void ar_heap_trim(void); /* gives free pages back to the system: slow, when much was freed */
#define ar_heap_new(type) ((type *)ar_heap_alloc(sizeof(type)))

#endif
