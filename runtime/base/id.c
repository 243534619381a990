/*
 * id.c - UUIDs: version 7 by time, version 8 by name.
 *
 * Within one millisecond the 12 bits after the version count up from a random start, so that ids
 * made by one thread sort in the order of making, also when the clock steps back.
 */
#include "base/base_int.h"

struct id_state {
	int64_t ms;
	unsigned counter; /* 12 bits */
	unsigned generation;
};

static __thread struct id_state state;

static void id_print(const unsigned char raw[16], char out[AR_ID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[raw[i] >> 4];
		*p++ = hex[raw[i] & 15];
	}
	*p = '\0';
}

static void put_ms(unsigned char raw[16], int64_t ms)
{
	for (int i = 0; i < 6; i++)
		raw[i] = (uint64_t)ms >> (40 - 8 * i);
}

void ar_id_new(char out[AR_ID_LEN + 1])
{
	unsigned char raw[16];
	int64_t now = ar_now_ms();
	unsigned generation = ar_seam_generation();

	ar_random(raw + 6, 10);
	if (state.generation != generation)
		state = (struct id_state){ .ms = -1, .generation = generation };
	if (now > state.ms) {
		state.ms = now;
		state.counter = ((raw[6] << 8) | raw[7]) & 0x7FF; /* leaves room to count */
	} else if (++state.counter > 0xFFF) {
		state.ms++;
		state.counter = 0;
	}
	put_ms(raw, state.ms);
	raw[6] = 0x70 | state.counter >> 8;
	raw[7] = state.counter & 0xFF;
	raw[8] = 0x80 | (raw[8] & 0x3F);
	id_print(raw, out);
}

struct ar_str ar_id(struct ar_pool *pool)
{
	char *z = ar_alloc(pool, AR_ID_LEN + 1);

	ar_id_new(z);
	return (struct ar_str){ z, AR_ID_LEN };
}

bool ar_id_valid(struct ar_str s)
{
	if (s.n != AR_ID_LEN)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return false;
		} else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			return false;
		}
	}
	return true;
}

static struct ar_str named(struct ar_pool *pool, const int64_t *ms, struct ar_str name)
{
	unsigned char digest[AR_SHA256_LEN];
	char *z = ar_alloc(pool, AR_ID_LEN + 1);

	ar_sha256(name.p, name.n, digest);
	if (ms != NULL)
		put_ms(digest, *ms);
	digest[6] = 0x80 | (digest[6] & 0x0F);
	digest[8] = 0x80 | (digest[8] & 0x3F);
	id_print(digest, z);
	return (struct ar_str){ z, AR_ID_LEN };
}

struct ar_str ar_id_from(struct ar_pool *pool, struct ar_str name)
{
	return named(pool, NULL, name);
}

struct ar_str ar_id_from_at(struct ar_pool *pool, int64_t ms, struct ar_str name)
{
	return named(pool, &ms, name);
}
