/*
 * crypt.c - SHA-256 through libcrypto, base64 and hex, secrets, the keyed hash of tables.
 *
 * The one file of this room that includes OpenSSL. Failures of a digest can only be failures of
 * memory or of the installation, and end the process.
 */
#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "base/base_int.h"

struct ar_sha256 {
	EVP_MD_CTX *ctx;
};

static EVP_MD *sha256;
static uint64_t hash_key[2], name_key[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void crypt_start(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); /* once: each implicit fetch takes a lock */
	if (sha256 == NULL)
		ar_die("libcrypto has no SHA-256");
	ar_random_kernel(hash_key, sizeof(hash_key));
	ar_random_kernel(name_key, sizeof(name_key));
}

void ar_sha256(const void *p, size_t n, unsigned char out[AR_SHA256_LEN])
{
	pthread_once(&once, crypt_start);
	if (EVP_Digest(n != 0 ? p : "", n, out, NULL, sha256, NULL) != 1)
		ar_die("SHA-256 failed");
}

struct ar_str ar_sha256_hex(struct ar_pool *pool, struct ar_str s)
{
	unsigned char digest[AR_SHA256_LEN];

	ar_sha256(s.p, s.n, digest);
	return ar_hex(pool, digest, sizeof(digest));
}

struct ar_sha256 *ar_sha256_new(void)
{
	struct ar_sha256 *h = ar_heap_new(struct ar_sha256);

	pthread_once(&once, crypt_start);
	h->ctx = EVP_MD_CTX_new();
	if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, sha256, NULL) != 1)
		ar_die("SHA-256 failed");
	return h;
}

void ar_sha256_add(struct ar_sha256 *h, const void *p, size_t n)
{
	if (n != 0 && EVP_DigestUpdate(h->ctx, p, n) != 1)
		ar_die("SHA-256 failed");
}

void ar_sha256_end(struct ar_sha256 *h, unsigned char out[AR_SHA256_LEN])
{
	if (EVP_DigestFinal_ex(h->ctx, out, NULL) != 1)
		ar_die("SHA-256 failed");
	ar_sha256_free(h);
}

void ar_sha256_free(struct ar_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	ar_heap_free(h);
}

bool ar_secret_eq(struct ar_str a, struct ar_str b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void ar_wipe(void *p, size_t n)
{
	if (n != 0)
		explicit_bzero(p, n);
}

/* ---- encodings ---- */

static const char alphabet_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct ar_str ar_hex(struct ar_pool *pool, const void *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *in = p;
	char *z = ar_alloc_n(pool, n + 1, 2);

	for (size_t i = 0; i < n; i++) {
		z[2 * i] = hex[in[i] >> 4];
		z[2 * i + 1] = hex[in[i] & 15];
	}
	return (struct ar_str){ z, 2 * n };
}

static struct ar_str encode(struct ar_pool *pool, const unsigned char *in, size_t n,
			    const char *alphabet, bool pad)
{
	char *z = ar_alloc_n(pool, n / 3 + 2, 4), *out = z;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = AR_MIN(n - i, (size_t)3);
		uint32_t v = in[i] << 16;

		v |= have > 1 ? in[i + 1] << 8 : 0;
		v |= have > 2 ? in[i + 2] : 0;
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		if (have > 1)
			*out++ = alphabet[v >> 6 & 63];
		if (have > 2)
			*out++ = alphabet[v & 63];
		for (; pad && have < 3; have++)
			*out++ = '=';
	}
	return (struct ar_str){ z, out - z };
}

struct ar_str ar_base64url(struct ar_pool *pool, const void *p, size_t n)
{
	return encode(pool, p, n, alphabet_url, false);
}

struct ar_str ar_base64(struct ar_pool *pool, const void *p, size_t n)
{
	return encode(pool, p, n, alphabet_std, true);
}

/* By arithmetic and not by table: the time does not depend on the value of a secret. */
static int sextet(unsigned char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

static int decode(struct ar_pool *pool, struct ar_str s, bool url, struct ar_str *ret)
{
	char *z, *out;
	uint32_t v = 0;
	int bits = 0;

	if (s.n % 4 == 1)
		return ar_fail(AR_E_MALFORMED, "what", "base64");
	z = out = ar_alloc(pool, s.n / 4 * 3 + 4);
	for (size_t i = 0; i < s.n; i++) {
		int six = sextet(s.p[i], url);

		if (six < 0)
			return ar_fail(AR_E_MALFORMED, "what", "base64");
		v = v << 6 | six;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*out++ = v >> bits;
			v &= (1u << bits) - 1;
		}
	}
	if (v != 0) /* bits left over must be zero, or two texts would mean the same bytes */
		return ar_fail(AR_E_MALFORMED, "what", "base64");
	*ret = (struct ar_str){ z, out - z };
	return 0;
}

int ar_base64url_decode(struct ar_pool *pool, struct ar_str s, struct ar_str *ret)
{
	return decode(pool, s, true, ret);
}

int ar_base64_decode(struct ar_pool *pool, struct ar_str s, struct ar_str *ret)
{
	if (s.n % 4 != 0)
		return ar_fail(AR_E_MALFORMED, "what", "base64");
	for (int i = 0; i < 2 && s.n != 0 && s.p[s.n - 1] == '='; i++)
		s.n--;
	return decode(pool, s, false, ret);
}

struct ar_str ar_token(struct ar_pool *pool, size_t n)
{
	unsigned char *raw = ar_alloc(pool, n);
	struct ar_str text;

	ar_random(raw, n);
	text = ar_base64url(pool, raw, n);
	ar_wipe(raw, n);
	return text;
}

/* ---- SipHash-2-4 ---- */

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static inline void sip_start(uint64_t v[4], const uint64_t key[2])
{
	v[0] = key[0] ^ 0x736f6d6570736575u;
	v[1] = key[1] ^ 0x646f72616e646f6du;
	v[2] = key[0] ^ 0x6c7967656e657261u;
	v[3] = key[1] ^ 0x7465646279746573u;
}

static inline void sip_text(uint64_t v[4], const unsigned char *in, size_t n)
{
	uint64_t word;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, in + i, 8);
		sip_word(v, le64toh(word));
	}
	word = (uint64_t)n << 56;
	for (size_t j = 0; i + j < n; j++)
		word |= (uint64_t)in[i + j] << (8 * j);
	sip_word(v, word);
}

static inline uint64_t sip_end(uint64_t v[4])
{
	for (int round = 0; round < 4; round++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t ar_siphash(const uint64_t key[2], const void *p, size_t n)
{
	uint64_t v[4];

	sip_start(v, key);
	sip_text(v, p, n);
	v[2] ^= 0xff;
	return sip_end(v);
}

void ar_siphash128(const uint64_t key[2], const void *p, size_t n, unsigned char out[16])
{
	uint64_t v[4], low, high;

	sip_start(v, key);
	v[1] ^= 0xee;
	sip_text(v, p, n);
	v[2] ^= 0xee;
	low = htole64(sip_end(v));
	v[1] ^= 0xdd;
	high = htole64(sip_end(v));
	memcpy(out, &low, 8);
	memcpy(out + 8, &high, 8);
}

uint64_t ar_hash(const void *p, size_t n)
{
	pthread_once(&once, crypt_start);
	return ar_siphash(hash_key, p, n);
}

void ar_secret_name(const void *p, size_t n, unsigned char out[AR_SECRET_NAME_LEN])
{
	pthread_once(&once, crypt_start);
	ar_siphash128(name_key, p, n, out);
}
