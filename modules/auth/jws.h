/*
 * jws.h - a compact JWS (RFC 7515), verified with one key and the one algorithm bound to it: ES256.
 *
 * Nothing in the token chooses how it is verified: the caller finds a key by `kid`, the header must
 * then name that key's algorithm, and `none`, HS256 and the rest never reach a verifier.
 */
#ifndef AUTH_JWS_H
#define AUTH_JWS_H

#include "json/json.h"

struct jws_key; /* a public P-256 key */

/* x and y: base64url of 32 bytes each. -1 with AR_E_MALFORMED when it is no point of the curve. */
int jws_key_new(struct ar_str x, struct ar_str y, struct jws_key **ret);
void jws_key_free(struct jws_key *key);
/*
 * From a JWK: only {"kty":"EC","crv":"P-256"} that is not kept for encryption ("use", "key_ops")
 * and whose "alg", when given, is ES256.
 */
int jws_key_from_jwk(const struct ar_json *jwk, struct jws_key **ret);

#define JWS_MAX 8192 /* bytes of a token: longer ones are refused unread */

struct jws {
	struct ar_str signed_part, signature; /* "header.payload"; decoded */
	struct ar_json *header;
	struct ar_str payload; /* decoded bytes, unverified until jws_verify() */
};
/* Takes a token apart, strictly. AR_E_MALFORMED. The result lives in pool and in `token`. */
int jws_read(struct ar_pool *pool, struct ar_str token, struct jws *ret);
/* 0 when the signature is good and the header fits the key; else AR_E_UNAUTHORIZED. */
int jws_verify(const struct jws *jws, const struct jws_key *key);

/* A fresh P-256 key: its PKCS #8 PEM and its point as base64url. */
struct jws_pair {
	struct ar_str pem, x, y;
};
int jws_pair_new(struct ar_pool *pool, struct jws_pair *ret);

#endif
