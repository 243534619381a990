/*
 * edge_limit.c - token buckets per client address and per tenant, in memory, for all loops.
 *
 * The table is a fixed number of shards, each with its lock and at most SHARD_MAX buckets. A full
 * shard forgets the buckets that have filled up again, which are as good as new ones; when all are
 * in use, the newcomer passes: a flood of addresses must not shut out everybody.
 */
#include <arpa/inet.h>
#include <pthread.h>

#include "http/edge_int.h"

#define SHARDS    64
#define SHARD_MAX 1024

struct bucket {
	int64_t tokens_us; /* tokens, each worth 1,000,000 / rate microseconds, as time */
	int64_t at_us;
	int64_t full_us; /* when it will be full again */
};

static struct shard {
	pthread_mutex_t lock;
	struct ar_map *buckets;
} shards[SHARDS] = { [0 ... SHARDS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER } };

static void free_bucket(void *bucket)
{
	ar_heap_free(bucket);
}

void edge_limit_done(void)
{
	for (int i = 0; i < SHARDS; i++) {
		ar_map_free(shards[i].buckets, free_bucket);
		shards[i].buckets = NULL;
	}
}

struct sweep {
	struct ar_map *map;
	int64_t now;
};

static bool sweep_one(struct ar_str key, void *value, void *arg)
{
	struct sweep *sweep = arg;
	struct bucket *bucket = value;

	if (bucket->full_us <= sweep->now)
		ar_heap_free(ar_map_remove(sweep->map, key));
	return true;
}

static struct bucket *bucket_find(struct shard *shard, struct ar_str key, int64_t now)
{
	if (shard->buckets == NULL)
		shard->buckets = ar_map_new();
	struct bucket *bucket = ar_map_get(shard->buckets, key);

	if (bucket != NULL)
		return bucket;
	if (ar_map_count(shard->buckets) >= SHARD_MAX) {
		struct sweep sweep = { shard->buckets, now };

		ar_map_each(shard->buckets, sweep_one, &sweep);
		if (ar_map_count(shard->buckets) >= SHARD_MAX)
			return NULL;
	}
	bucket = ar_heap_new(struct bucket);
	bucket->tokens_us = INT64_MAX; /* cut to the burst below */
	bucket->at_us = now;
	ar_map_set(shard->buckets, key, bucket);
	return bucket;
}

/* Takes one token. Returns what is left, in tokens; below 0: none, come back later. */
static int64_t bucket_take(struct bucket *bucket, int64_t now, int64_t cost_us, int64_t burst)
{
	int64_t most = burst * cost_us, have = bucket->tokens_us;

	have = have >= most ? most : AR_MIN(most, have + (now - bucket->at_us));
	bucket->at_us = now;
	if (have < cost_us) {
		bucket->tokens_us = have;
		bucket->full_us = now + most - have;
		return -1;
	}
	bucket->tokens_us = have - cost_us;
	bucket->full_us = now + most - bucket->tokens_us;
	return bucket->tokens_us / cost_us;
}

/* Who has one IPv6 address has a network of 2^64 of them: that is one client. */
struct ar_str edge_limit_client(struct ar_pool *pool, struct ar_str client)
{
	struct in6_addr address;

	if (ar_str_find(client, ':') < 0 ||
	    inet_pton(AF_INET6, ar_strz(pool, client), &address) != 1 ||
	    IN6_IS_ADDR_V4MAPPED(&address))
		return client;
	return ar_strf(pool, "n:%.16s", ar_hex(pool, address.s6_addr, 8).p);
}

int edge_limit(struct edge_request *request, struct ar_str key, int64_t rate, int64_t burst)
{
	if (rate <= 0)
		return 0;
	int64_t now = ar_mono_us(), cost_us = AR_MAX(1000000 / rate, 1);
	struct shard *shard = &shards[ar_hash(key.p, key.n) % SHARDS];

	burst = AR_MAX(burst, 1);
	pthread_mutex_lock(&shard->lock);
	struct bucket *bucket = bucket_find(shard, key, now);
	int64_t left = bucket != NULL ? bucket_take(bucket, now, cost_us, burst) : burst;
	int64_t wait_us = left < 0 ? cost_us - bucket->tokens_us : 0;

	pthread_mutex_unlock(&shard->lock);
	request->limit = (struct edge_limit){ .on = true,
					      .limit = burst,
					      .left = AR_MAX(left, 0),
					      .window_s = AR_MAX(burst / rate, 1),
					      .retry_s = (wait_us + 999999) / 1000000 };
	return left < 0 ? ar_fail(AR_E_TOO_MANY) : 0;
}
