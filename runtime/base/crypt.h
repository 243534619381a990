/*
 * crypt.h - digests, encodings and the comparison of secrets. Digests come from libcrypto.
 */
#ifndef AR_CRYPT_H
#define AR_CRYPT_H

#include "base/pool.h"

#define AR_SHA256_LEN 32

void ar_sha256(const void *p, size_t n, unsigned char out[AR_SHA256_LEN]);
struct ar_str ar_sha256_hex(struct ar_pool *pool, struct ar_str s);
struct ar_sha256; /* incremental */
struct ar_sha256 *ar_sha256_new(void);
void ar_sha256_add(struct ar_sha256 *h, const void *p, size_t n);
void ar_sha256_end(struct ar_sha256 *h, unsigned char out[AR_SHA256_LEN]); /* frees h */
void ar_sha256_free(struct ar_sha256 *h); /* gives up without a digest; NULL is fine */

bool ar_secret_eq(struct ar_str a, struct ar_str b); /* time depends on the lengths only */
void ar_wipe(void *p, size_t n);

struct ar_str ar_hex(struct ar_pool *pool, const void *p, size_t n);
struct ar_str ar_base64url(struct ar_pool *pool, const void *p, size_t n); /* no padding */
struct ar_str ar_base64(struct ar_pool *pool, const void *p, size_t n);    /* padded */
/* Strict: no white space, no stray bits, padding as the alphabet asks. -1 with AR_E_MALFORMED. */
int ar_base64url_decode(struct ar_pool *pool, struct ar_str s, struct ar_str *ret);
int ar_base64_decode(struct ar_pool *pool, struct ar_str s, struct ar_str *ret);
/* n random bytes as base64url text. */
struct ar_str ar_token(struct ar_pool *pool, size_t n);
/* A keyed 64-bit hash (SipHash-2-4) for tables that strangers fill; the key is per process. */
uint64_t ar_hash(const void *p, size_t n);
/* What to remember a secret by, for as long as the process lives: SipHash-2-4-128 under a key of its
 * own. Who does not know the key can neither make a text of the same name nor learn one from it. */
#define AR_SECRET_NAME_LEN 16
void ar_secret_name(const void *p, size_t n, unsigned char out[AR_SECRET_NAME_LEN]);

#endif
