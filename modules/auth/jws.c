/*
 * jws.c - reads and verifies a compact JWS with ES256, by libcrypto.
 *
 * libjwt 1.10 makes our tokens but does not verify them: it lets the token choose the algorithm and
 * wants a JSON payload (docs/decisions/0003-jws.md). All that the Wycheproof vectors ask of ES256
 * is asked here: exact lengths, no stray bits in base64url, 0 < r, s < n.
 */
#include "auth/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#define COORDINATE 32 /* bytes of a P-256 field element */

struct jws_key {
	EVP_PKEY *pkey;
};

static EVP_PKEY *pkey_from_point(const unsigned char point[1 + 2 * COORDINATE])
{
	char group[] = "P-256";
	unsigned char copy[1 + 2 * COORDINATE];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof(copy)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;

	memcpy(copy, point, sizeof(copy));
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

int jws_key_new(struct ar_str x, struct ar_str y, struct jws_key **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	unsigned char point[1 + 2 * COORDINATE] = { POINT_CONVERSION_UNCOMPRESSED };
	struct ar_str bx, by;
	EVP_PKEY *pkey;

	if (ar_base64url_decode(pool, x, &bx) != 0 || ar_base64url_decode(pool, y, &by) != 0)
		return -1;
	if (bx.n != COORDINATE || by.n != COORDINATE)
		return ar_fail(AR_E_MALFORMED, "reason", "coordinates of P-256 have 32 bytes");
	memcpy(point + 1, bx.p, COORDINATE);
	memcpy(point + 1 + COORDINATE, by.p, COORDINATE);
	pkey = pkey_from_point(point);
	if (pkey == NULL)
		return ar_fail(AR_E_MALFORMED, "reason", "not a point of P-256");
	*ret = ar_heap_new(struct jws_key);
	(*ret)->pkey = pkey;
	return 0;
}

void jws_key_free(struct jws_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	ar_heap_free(key);
}

static bool may_verify(const struct ar_json *jwk)
{
	const struct ar_json *ops = ar_json_get(jwk, "key_ops");

	if (!ar_str_is(ar_json_text(jwk, "use", AR_STR("sig")), "sig"))
		return false;
	if (ops == NULL)
		return true;
	if (ops->type != AR_ARRAY)
		return false;
	ar_json_each (op, ops)
		if (op->type == AR_STRING && ar_str_is(op->s, "verify"))
			return true;
	return false;
}

int jws_key_from_jwk(const struct ar_json *jwk, struct jws_key **ret)
{
	if (jwk->type != AR_OBJECT || !ar_str_is(ar_json_text(jwk, "kty", AR_STR("")), "EC") ||
	    !ar_str_is(ar_json_text(jwk, "crv", AR_STR("")), "P-256"))
		return ar_fail(AR_E_MALFORMED, "reason", "only EC keys on P-256");
	if (!ar_str_is(ar_json_text(jwk, "alg", AR_STR("ES256")), "ES256") || !may_verify(jwk))
		return ar_fail(AR_E_MALFORMED, "reason", "not a key for ES256 signatures");
	return jws_key_new(ar_json_text(jwk, "x", AR_STR("")), ar_json_text(jwk, "y", AR_STR("")),
			   ret);
}

int jws_read(struct ar_pool *pool, struct ar_str token, struct jws *ret)
{
	static const struct ar_json_limits limits = { JWS_MAX, 8, 256 };
	struct ar_str rest = token, header, payload, decoded;
	struct jws jws = { 0 };

	if (token.n > JWS_MAX)
		return ar_fail(AR_E_MALFORMED, "reason", "token too long");
	header = ar_str_cut(&rest, '.');
	if (rest.p == NULL)
		return ar_fail(AR_E_MALFORMED, "reason", "not three parts");
	payload = ar_str_cut(&rest, '.');
	if (rest.p == NULL || ar_str_find(rest, '.') >= 0)
		return ar_fail(AR_E_MALFORMED, "reason", "not three parts");
	jws.signed_part = ar_str_n(token.p, header.n + 1 + payload.n);
	if (ar_base64url_decode(pool, header, &decoded) != 0 ||
	    ar_base64url_decode(pool, payload, &jws.payload) != 0 ||
	    ar_base64url_decode(pool, rest, &jws.signature) != 0 ||
	    ar_json_parse(pool, decoded, &limits, &jws.header) != 0)
		return -1;
	if (jws.header->type != AR_OBJECT)
		return ar_fail(AR_E_MALFORMED, "reason", "header is no object");
	*ret = jws;
	return 0;
}

/* The header may only carry what we know: an unknown "crit" or an embedded key is a refusal. */
static bool header_fits(const struct ar_json *header)
{
	return ar_str_is(ar_json_text(header, "alg", AR_STR("")), "ES256") &&
	       ar_json_get(header, "crit") == NULL && ar_json_get(header, "b64") == NULL &&
	       ar_json_get(header, "jwk") == NULL && ar_json_get(header, "jku") == NULL &&
	       ar_json_get(header, "x5u") == NULL && ar_json_get(header, "x5c") == NULL;
}

static unsigned char *to_der(struct ar_str raw, int *ret_len)
{
	const unsigned char *p = (const unsigned char *)raw.p;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(p, COORDINATE, NULL),
	       *s = BN_bin2bn(p + COORDINATE, COORDINATE, NULL);
	unsigned char *der = NULL;

	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return NULL;
	}
	*ret_len = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return *ret_len > 0 ? der : NULL;
}

int jws_verify(const struct jws *jws, const struct jws_key *key)
{
	EVP_MD_CTX *ctx;
	unsigned char *der;
	int len = 0, good;

	if (!header_fits(jws->header) || jws->signature.n != (size_t)2 * COORDINATE)
		return ar_fail_why(AR_E_UNAUTHORIZED,
				   "token's header or signature has a wrong form");
	der = to_der(jws->signature, &len);
	ctx = EVP_MD_CTX_new();
	good = der != NULL && ctx != NULL &&
	       EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(ctx, der, (size_t)len, (const unsigned char *)jws->signed_part.p,
				jws->signed_part.n) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return good ? 0 : ar_fail_why(AR_E_UNAUTHORIZED, "token's signature is not good");
}

static struct ar_str coordinate(struct ar_pool *pool, const EVP_PKEY *pkey, const char *name)
{
	unsigned char bytes[COORDINATE];
	BIGNUM *n = NULL;
	bool good = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 &&
		    BN_bn2binpad(n, bytes, COORDINATE) == COORDINATE;

	BN_free(n);
	return good ? ar_base64url(pool, bytes, COORDINATE) : AR_STR_NONE;
}

int jws_pair_new(struct ar_pool *pool, struct jws_pair *ret)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	struct jws_pair pair = { 0 };
	char *text = NULL;
	long n;

	if (pkey != NULL && bio != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		n = BIO_get_mem_data(bio, &text);
		pair.pem = ar_str_dup(pool, ar_str_n(text, (size_t)n));
		ar_wipe(text, (size_t)n);
		pair.x = coordinate(pool, pkey, OSSL_PKEY_PARAM_EC_PUB_X);
		pair.y = coordinate(pool, pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
	}
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	if (pair.pem.n == 0 || pair.x.n == 0 || pair.y.n == 0)
		return ar_fail_why(AR_E_INTERNAL, "libcrypto made no P-256 key");
	*ret = pair;
	return 0;
}
