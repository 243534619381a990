/*
 * throttle.c - counts failed sign-ins per tenant and address, so that guessing gets slow.
 *
 * A fixed table, shared by all loops: an attacker with many addresses overwrites entries, never
 * memory. Ten failures within fifteen minutes close the door for the rest of the window, also for
 * the right password, and the answer says for how long.
 */
#include "auth/auth_int.h"

#include <pthread.h>

#define SLOTS 8192
#define WINDOW_MS (15 * 60 * 1000)
#define FAILURES 10

static struct slot {
	uint64_t hash;
	int64_t since_ms;
	int failures;
} slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t hash_of(const struct ar_tenant *tenant, struct ar_str email)
{
	return ar_hash(tenant->name.p, tenant->name.n) ^ (ar_hash(email.p, email.n) << 1);
}

int auth_throttle_check(struct ar_call *call, struct ar_str email)
{
	uint64_t hash = hash_of(call->tenant, email);
	struct slot *slot = &slots[hash % SLOTS];
	int64_t left = 0;

	pthread_mutex_lock(&lock);
	if (slot->hash == hash && slot->failures >= FAILURES)
		left = slot->since_ms + WINDOW_MS - ar_mono_ms();
	pthread_mutex_unlock(&lock);
	if (left <= 0)
		return 0;
	ar_reply_header(call, "Retry-After", ar_strf(call->pool, "%lld", (long long)(left / 1000 + 1)));
	return ar_fail(AR_E_TOO_MANY);
}

void auth_throttle_note(struct ar_call *call, struct ar_str email, bool good)
{
	uint64_t hash = hash_of(call->tenant, email);
	struct slot *slot = &slots[hash % SLOTS];
	int64_t now = ar_mono_ms();

	pthread_mutex_lock(&lock);
	if (good) {
		if (slot->hash == hash)
			slot->failures = 0;
	} else {
		if (slot->hash != hash || now - slot->since_ms > WINDOW_MS)
			*slot = (struct slot){ .hash = hash, .since_ms = now };
		slot->failures++;
	}
	pthread_mutex_unlock(&lock);
}
