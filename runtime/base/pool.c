/*
 * pool.c - bump allocation from chunks; everything goes at once.
 *
 * A pool lives in its own first chunk. Chunks of the common size are kept in a list per thread, so
 * that a request costs no malloc. Memory is zeroed when handed out, not when a chunk is taken.
 * Under AddressSanitizer each allocation is a heap block, so that an overrun or a use after the
 * pool's end is seen at once; the rest of the behaviour is the same.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_int.h"

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_EACH 1
#endif
#endif
#ifndef BLOCK_EACH
#define BLOCK_EACH 0
#endif

#define ALIGN       16
#define CHUNK_SIZE  8192       /* with its header */
#define CHUNKS_KEPT 64         /* per thread */
#define CHUNK_BIG   (64 << 10) /* once a pool has shown that it is large */

struct chunk {
	struct chunk *next;
	size_t size; /* with this header */
} __attribute__((aligned(ALIGN)));

struct deferred {
	void (*fn)(void *arg);
	void *arg;
	struct deferred *next;
};

struct ar_pool {
	struct chunk *chunks; /* newest first; the last one holds this struct */
	char *at, *end;       /* free part of the current chunk */
	size_t handed;
	size_t count; /* chunks */
	struct deferred *deferred;
} __attribute__((aligned(ALIGN)));

/* ---- the heap ---- */

void ar_die(const char *what)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "apprun: %s\n", what);

	if (write(STDERR_FILENO, line, AR_MIN((size_t)n, sizeof(line) - 1)) < 0)
		abort();
	abort();
}

static void *heap_raw(size_t n)
{
	void *p = malloc(n != 0 ? n : 1);

	if (p == NULL)
		ar_die("out of memory");
	return p;
}

void *ar_heap_alloc(size_t n)
{
	void *p = calloc(1, n != 0 ? n : 1);

	if (p == NULL)
		ar_die("out of memory");
	return p;
}

void *ar_heap_realloc(void *p, size_t n)
{
	p = realloc(p, n != 0 ? n : 1);
	if (p == NULL)
		ar_die("out of memory");
	return p;
}

char *ar_heap_strz(struct ar_str s)
{
	char *z = heap_raw(s.n + 1);

	if (s.n != 0)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}

void ar_heap_free(void *p)
{
	free(p);
}

void ar_heap_trim(void)
{
	malloc_trim(0);
}

/* ---- chunks ---- */

static __thread struct chunk *kept;
static __thread int kept_count;
static pthread_key_t kept_key;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;

static void kept_end(void *unused AR_UNUSED)
{
	while (kept != NULL) {
		struct chunk *c = kept;

		kept = c->next;
		free(c);
	}
	kept_count = CHUNKS_KEPT; /* pools that other destructors free give back to the heap */
}

static void kept_start(void)
{
	if (pthread_key_create(&kept_key, kept_end) != 0)
		ar_die("no thread keys left");
}

static struct chunk *chunk_take(size_t size)
{
	struct chunk *c = kept;

	if (size == CHUNK_SIZE && c != NULL) {
		kept = c->next;
		kept_count--;
	} else {
		c = heap_raw(size);
		c->size = size;
	}
	return c;
}

static void chunk_give(struct chunk *c)
{
	if (c->size != CHUNK_SIZE || kept_count >= CHUNKS_KEPT || BLOCK_EACH) {
		free(c);
		return;
	}
	if (kept == NULL) {
		pthread_once(&kept_once, kept_start);
		pthread_setspecific(kept_key, &kept); /* so that kept_end runs on this thread */
	}
	c->next = kept;
	kept = c;
	kept_count++;
}

/* ---- pools ---- */

static void pool_start(struct ar_pool *pool, struct chunk *first)
{
	first->next = NULL;
	*pool = (struct ar_pool){
		.chunks = first,
		.at = (char *)(pool + 1),
		.end = (char *)first + first->size,
		.count = 1,
	};
}

struct ar_pool *ar_pool_new(void)
{
	size_t size = BLOCK_EACH ? sizeof(struct chunk) + sizeof(struct ar_pool) : CHUNK_SIZE;
	struct chunk *first = chunk_take(size);
	struct ar_pool *pool = (struct ar_pool *)(first + 1);

	pool_start(pool, first);
	return pool;
}

/* Runs what is deferred and gives back all chunks but the first, which it returns. */
static struct chunk *pool_drain(struct ar_pool *pool)
{
	struct chunk *c;

	while (pool->deferred != NULL) {
		struct deferred *d = pool->deferred;

		pool->deferred = d->next; /* first, for fn may defer more */
		d->fn(d->arg);
	}
	while (c = pool->chunks, c->next != NULL) {
		pool->chunks = c->next;
		chunk_give(c);
	}
	return c;
}

void ar_pool_free(struct ar_pool *pool)
{
	if (pool != NULL)
		chunk_give(pool_drain(pool));
}

void ar_pool_cleanup(struct ar_pool **pool)
{
	ar_pool_free(*pool);
	*pool = NULL;
}

void ar_pool_reset(struct ar_pool *pool)
{
	struct chunk *first = pool_drain(pool);

	pool_start(pool, first);
}

size_t ar_pool_size(const struct ar_pool *pool)
{
	return pool->handed;
}

/* A chunk for n bytes alone, put behind the current one so that its free part stays in use. */
static void *chunk_alone(struct ar_pool *pool, size_t n)
{
	struct chunk *c = chunk_take(sizeof(struct chunk) + n);

	c->next = pool->chunks->next;
	if (c->next != NULL) {
		pool->chunks->next = c;
	} else { /* the first chunk stays last in the list */
		c->next = pool->chunks;
		pool->chunks = c;
	}
	return c + 1;
}

void *ar_alloc_raw(struct ar_pool *pool, size_t n)
{
	size_t room, size;
	struct chunk *c;
	char *p;

	if (n > SIZE_MAX / 2)
		ar_die("an allocation's size is out of range");
	pool->handed += n;
	if (BLOCK_EACH)
		return chunk_alone(pool, n);
	n = n != 0 ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
	room = pool->end - pool->at;
	if (n > room) {
		if (n > CHUNK_SIZE / 4)
			return chunk_alone(pool, n);
		size = pool->count < 4 ? CHUNK_SIZE : CHUNK_BIG;
		c = chunk_take(size);
		c->next = pool->chunks;
		pool->chunks = c;
		pool->count++;
		pool->at = (char *)(c + 1);
		pool->end = (char *)c + size;
	}
	p = pool->at;
	pool->at += n;
	return p;
}

void *ar_alloc(struct ar_pool *pool, size_t n)
{
	return memset(ar_alloc_raw(pool, n), 0, n);
}

void *ar_alloc_n(struct ar_pool *pool, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		ar_die("an allocation's size is out of range");
	return ar_alloc(pool, n);
}

void *ar_memdup(struct ar_pool *pool, const void *p, size_t n)
{
	void *copy = ar_alloc_raw(pool, n);

	return n != 0 ? memcpy(copy, p, n) : copy;
}

static AR_PRINTF(2, 0) struct ar_str pool_vprintf(struct ar_pool *pool, const char *fmt, va_list ap)
{
	char small[256], *z;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0)
		ar_die("a format that cannot be printed");
	z = ar_alloc_raw(pool, (size_t)n + 1);
	if ((size_t)n < sizeof(small))
		memcpy(z, small, (size_t)n + 1);
	else
		vsnprintf(z, (size_t)n + 1, fmt, again);
	va_end(again);
	return (struct ar_str){ z, n };
}

char *ar_printf(struct ar_pool *pool, const char *fmt, ...)
{
	struct ar_str s;
	va_list ap;

	va_start(ap, fmt);
	s = pool_vprintf(pool, fmt, ap);
	va_end(ap);
	return (char *)s.p;
}

struct ar_str ar_strf(struct ar_pool *pool, const char *fmt, ...)
{
	struct ar_str s;
	va_list ap;

	va_start(ap, fmt);
	s = pool_vprintf(pool, fmt, ap);
	va_end(ap);
	return s;
}

char *ar_vprintf(struct ar_pool *pool, const char *fmt, va_list ap)
{
	return (char *)pool_vprintf(pool, fmt, ap).p;
}

void ar_defer(struct ar_pool *pool, void (*fn)(void *arg), void *arg)
{
	struct deferred *d = ar_new(pool, struct deferred);

	*d = (struct deferred){ fn, arg, pool->deferred };
	pool->deferred = d;
}
