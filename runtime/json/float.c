/*
 * float.c - numbers to text: integers two digits a step, doubles by Schubfach.
 *
 * Schubfach (R. Giulietti, "The Schubfach way to render doubles") finds the shortest decimal in the
 * interval that rounds to the double with three multiplications by a 128-bit power of ten. The 617
 * powers are computed exactly, once, on first use (some 100 microseconds), not kept as a table.
 */
#include "json/json_int.h"

#include <math.h>
#include <pthread.h>

#define POWER_MIN (-292)
#define POWER_MAX 324

struct power {
	uint64_t hi, lo;
};
static struct power powers[POWER_MAX - POWER_MIN + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

#define WORDS 40 /* 32 bits each, little end first: 2^1279 holds 10^324 and 2^1250 */

/* The first 128 bits; one more when anything stands below them: rounded up. */
static struct power top_bits(const uint32_t *w, bool inexact)
{
	unsigned __int128 top = 0;
	int high = WORDS - 1, bits = 0;

	while (w[high] == 0)
		high--;
	for (int i = high; i >= 0; i--) {
		uint32_t word = w[i];
		int width = i == high ? 32 - __builtin_clz(word) : 32;
		int take = AR_MIN(width, 128 - bits);

		if (take > 0) {
			top = (top << take) | (word >> (width - take));
			bits += take;
		}
		if (take < width && (word & ((1ull << (width - take)) - 1)) != 0)
			inexact = true;
	}
	top <<= 128 - bits;
	top += inexact;
	return (struct power){ (uint64_t)(top >> 64), (uint64_t)top };
}

static void powers_make(void)
{
	uint32_t up[WORDS] = { 1 }, down[WORDS] = { 0 };

	for (int k = 0; k <= POWER_MAX; k++) {
		uint64_t carry = 0;

		powers[k - POWER_MIN] = top_bits(up, false);
		for (int i = 0; i < WORDS; i++) {
			carry += (uint64_t)up[i] * 10;
			up[i] = (uint32_t)carry;
			carry >>= 32;
		}
	}
	down[WORDS - 1] = 1u << 2; /* 2^1250; floors of quotients compose, so this stays exact */
	for (int k = -1; k >= POWER_MIN; k--) {
		uint64_t rest = 0;

		for (int i = WORDS - 1; i >= 0; i--) {
			rest = rest << 32 | down[i];
			down[i] = (uint32_t)(rest / 10);
			rest %= 10;
		}
		powers[k - POWER_MIN] = top_bits(down, true);
	}
}

static uint64_t round_to_odd(struct power g, uint64_t c)
{
	unsigned __int128 x = (unsigned __int128)g.lo * c;
	unsigned __int128 y = (unsigned __int128)g.hi * c + (uint64_t)(x >> 64);

	return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

void float_shortest(double v, uint64_t *ret_digits, int *ret_exponent)
{
	uint64_t bits, c, s, lower, upper, mid, vb;
	bool closer, up_in, down_in;
	int exponent, q, k, h;
	struct power g;

	pthread_once(&powers_once, powers_make);
	memcpy(&bits, &v, sizeof(bits));
	c = bits & 0xfffffffffffffull;
	exponent = (int)(bits >> 52 & 0x7ff);
	closer = c == 0 && exponent > 1; /* the neighbour below is nearer than the one above */
	q = exponent != 0 ? exponent - 1075 : -1074;
	if (exponent != 0)
		c |= 1ull << 52;
	k = (q * 1262611 - (closer ? 524031 : 0)) >> 22; /* floor(log10(2^q)), of 3/4 2^q */
	h = q + ((-k * 1741647) >> 19) + 1;              /* floor(log2(10^-k)) */
	g = powers[-k - POWER_MIN];
	lower = round_to_odd(g, (4 * c - 2 + closer) << h) + (c & 1); /* odd: bounds are out */
	vb = round_to_odd(g, 4 * c << h);
	upper = round_to_odd(g, (4 * c + 2) << h) - (c & 1);
	s = vb / 4;
	if (s >= 10) {
		uint64_t tens = s / 10;

		down_in = lower <= 40 * tens;
		up_in = 40 * tens + 40 <= upper;
		if (up_in != down_in) {
			*ret_digits = tens + up_in;
			*ret_exponent = k + 1;
			return;
		}
	}
	down_in = lower <= 4 * s;
	up_in = 4 * s + 4 <= upper;
	mid = 4 * s + 2;
	if (up_in == down_in)
		up_in = vb > mid || (vb == mid && (s & 1) != 0);
	*ret_digits = s + up_in;
	*ret_exponent = k;
}

/* ---- text ---- */

/* digits with the point after `point` < n of them: 1234, 2 is 12.34; 12, -1 is 0.012 */
static size_t place_point(char *out, const char *digits, int n, int point)
{
	char *p = out;

	if (point <= 0) {
		*p++ = '0';
		*p++ = '.';
		memset(p, '0', (size_t)-point);
		p += -point;
		memcpy(p, digits, (size_t)n);
		return (size_t)(p + n - out);
	}
	memcpy(p, digits, (size_t)point);
	p[point] = '.';
	memcpy(p + point + 1, digits + point, (size_t)(n - point));
	return (size_t)n + 1;
}

size_t float_text(double v, char out[FLOAT_TEXT])
{
	char digits[20];
	char *p = out;
	uint64_t mantissa;
	int n, exponent, point;

	if (v == 0) {
		const char *zero = signbit(v) ? "-0.0" : "0";

		n = (int)strlen(zero);
		memcpy(out, zero, (size_t)n);
		return (size_t)n;
	}
	if (fabs(v) < 0x1p53 && v == (double)(int64_t)v)
		return ar_int_text((int64_t)v, out);
	if (v < 0)
		*p++ = '-';
	float_shortest(fabs(v), &mantissa, &exponent);
	while (mantissa % 10 == 0) {
		mantissa /= 10;
		exponent++;
	}
	n = (int)ar_uint_text(mantissa, digits);
	point = n + exponent;
	/* From 2^53 on with an exponent: plain digits would be read back as another number, or as an
	 * integer that is out of range. */
	if (point > -6 && point < n)
		return (size_t)(p - out) + place_point(p, digits, n, point);
	*p++ = digits[0];
	if (n > 1) {
		*p++ = '.';
		memcpy(p, digits + 1, (size_t)n - 1);
		p += n - 1;
	}
	*p++ = 'e';
	p += ar_int_text(point - 1, p);
	return (size_t)(p - out);
}
