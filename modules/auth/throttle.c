/*
 * throttle.c - counts failed attempts at a password, so that guessing gets slow.
 *
 * Two counts, each over fifteen minutes: of an account from one address (20), which stops a guesser
 * without locking the owner out elsewhere, and of an account from everywhere (200), which stops
 * guessers with many addresses. Over it the door is closed for the rest of the window, also for the
 * right password. An attempt counts as failed from its start, so that many at once are no way around.
 *
 * A fixed table, shared by all loops: whoever has many names overwrites the oldest of a few entries
 * that a keyed hash picks, never memory.
 */
#include "auth/auth_int.h"

#include <pthread.h>
#include <stdio.h>

#define SETS      4096
#define WAYS      4
#define WINDOW_MS (15 * 60 * 1000)

enum count { COUNT_PAIR, COUNT_ACCOUNT, COUNTS };
static const int limits[COUNTS] = { 20, 200 };

static struct slot {
	uint64_t hash; /* 0: free */
	int64_t since_ms;
	int failures;
} slots[SETS][WAYS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t hash_of(struct ar_call *call, struct ar_str account, enum count count)
{
	struct ar_str from = count == COUNT_PAIR ? call->client : AR_STR("*");
	struct ar_str name = ar_strf(call->pool, "%.*s\n%.*s\n%.*s", AR_FMT(call->tenant->id),
				     AR_FMT(account), AR_FMT(from));

	return ar_hash(name.p, name.n) | 1;
}

/* The entry of a hash: its own, else one that is over, else the oldest. */
static struct slot *slot_of(uint64_t hash, int64_t now)
{
	struct slot *set = slots[(hash >> 32) % SETS], *best = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].hash == hash) {
			best = &set[i];
			break;
		}
		if (set[i].hash == 0 || set[i].since_ms < best->since_ms)
			best = &set[i];
	}
	if (best->hash != hash || now - best->since_ms > WINDOW_MS)
		*best = (struct slot){ .hash = hash, .since_ms = now };
	return best;
}

int auth_throttle_enter(struct ar_call *call, struct ar_str account)
{
	int64_t now = ar_mono_ms(), left_ms = 0;
	struct slot *slot;
	char seconds[24];

	pthread_mutex_lock(&lock);
	for (int i = 0; i < COUNTS; i++) {
		slot = slot_of(hash_of(call, account, (enum count)i), now);
		if (slot->failures >= limits[i])
			left_ms = AR_MAX(left_ms, slot->since_ms + WINDOW_MS - now);
	}
	for (int i = 0; i < COUNTS && left_ms == 0; i++)
		slot_of(hash_of(call, account, (enum count)i), now)->failures++;
	pthread_mutex_unlock(&lock);
	if (left_ms == 0)
		return 0;
	snprintf(seconds, sizeof(seconds), "%lld", (long long)(left_ms / 1000 + 1));
	ar_reply_header(call, "Retry-After", ar_str_dup(call->pool, ar_str(seconds)));
	return ar_fail(AR_E_TOO_MANY, "retryAfter", seconds);
}

void auth_throttle_good(struct ar_call *call, struct ar_str account)
{
	int64_t now = ar_mono_ms();
	struct slot *slot;

	pthread_mutex_lock(&lock);
	slot_of(hash_of(call, account, COUNT_PAIR), now)->failures = 0;
	slot = slot_of(hash_of(call, account, COUNT_ACCOUNT), now);
	if (slot->failures > 0)
		slot->failures--;
	pthread_mutex_unlock(&lock);
}
