/*
 * jws.c - tests of the one place that says a signature is good: Wycheproof's vectors of ES256, and
 * the confusions that libjwt falls for (facts: none, HS256 with the public key, another kid).
 */
#include "auth/jws.h"
#include "tests/harness/corpora.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

static struct ar_str read_file(struct ar_pool *pool, const char *path)
{
	FILE *file = fopen(path, "rb");
	char *bytes = ar_alloc(pool, (size_t)4 << 20);
	size_t n = fread(bytes, 1, (size_t)4 << 20, file);

	fclose(file);
	return ar_str_n(bytes, n);
}

static int verdict(struct ar_pool *pool, const struct ar_json *jwk, struct ar_str token)
{
	struct jws_key *key;
	struct jws jws;
	int result;

	if (jws_key_from_jwk(jwk, &key) != 0)
		return -1;
	result = jws_read(pool, token, &jws) == 0 ? jws_verify(&jws, key) : -1;
	jws_key_free(key);
	return result;
}

static int group_run(struct ar_pool *pool, const struct ar_json *group)
{
	const struct ar_json *jwk = ar_json_get(group, "public");
	bool ours = jwk != NULL && ar_str_is(ar_json_text(jwk, "crv", AR_STR("")), "P-256");
	int count = 0;

	ar_json_each (t, ar_json_get(group, "tests")) {
		bool valid = ours && ar_str_is(ar_json_text(t, "result", AR_STR("")), "valid");
		const struct ar_json *token = ar_json_get(t, "jws");
		int got;

		if (token->type != AR_STRING) /* the JSON serialisation is not taken at all */
			continue;
		got = verdict(pool, jwk != NULL ? jwk : ar_json_get(group, "private"), token->s);
		/* A key of another kind, and a token of another algorithm, is refused whatever Wycheproof
		 * says of it. */
		if ((got == 0) != valid)
			print_message("tcId %d: %s\n", (int)ar_json_number(t, "tcId", 0),
				      ar_strz(pool, ar_json_text(t, "comment", AR_STR(""))));
		assert_int_equal(got == 0, valid);
		ar_err_clear();
		count++;
	}
	return ours ? count : 0;
}

static void wycheproof(void **state AR_UNUSED)
{
	static const struct ar_json_limits limits = { (size_t)4 << 20, 64, 1000000 };
	struct ar_pool *pool = ar_pool_new();
	struct ar_json *file;
	char path[1024];
	int count = 0;

	if (corpora_path("wycheproof/json_web_signature_test.json", path, sizeof(path))) {
		assert_int_equal(ar_json_parse(pool, read_file(pool, path), &limits, &file), 0);
		ar_json_each (group, ar_json_get(file, "testGroups"))
			count += group_run(pool, group);
		assert_true(count >=
			    39); /* es256, SpecialCaseEs256 and a key kept for encryption */
	}
	ar_pool_free(pool);
}

/* ---- our own vectors: a key made here, tokens signed here ---- */

static struct ar_str encoded(struct ar_pool *pool, const char *text)
{
	return ar_base64url(pool, text, strlen(text));
}

static struct ar_str sign(struct ar_pool *pool, const struct jws_pair *pair, const char *header,
			  const char *payload)
{
	struct ar_str head = ar_strf(pool, "%.*s.%.*s", AR_FMT(encoded(pool, header)),
				     AR_FMT(encoded(pool, payload)));
	BIO *bio = BIO_new_mem_buf(pair->pem.p, (int)pair->pem.n);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[128], raw[64];
	const unsigned char *p = der;
	size_t n = sizeof(der);
	ECDSA_SIG *sig;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, der, &n, (const unsigned char *)head.p, head.n), 1);
	sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return ar_strf(pool, "%.*s.%.*s", AR_FMT(head),
		       AR_FMT(ar_base64url(pool, raw, sizeof(raw))));
}

static int check(struct ar_pool *pool, const struct jws_pair *pair, struct ar_str token)
{
	struct jws_key *key;
	struct jws jws;
	int result;

	assert_int_equal(jws_key_new(pair->x, pair->y, &key), 0);
	result = jws_read(pool, token, &jws) == 0 ? jws_verify(&jws, key) : -1;
	jws_key_free(key);
	ar_err_clear();
	return result;
}

static void own_vectors(void **state AR_UNUSED)
{
	static const char *const refused[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"es256\"}",
		"{}",
		"[]",
		"{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}",
		"{\"alg\":\"ES256\",\"jwk\":{}}",
		"{\"alg\":\"ES256\",\"b64\":false}",
		"{\"alg\":[\"ES256\"]}",
		"{\"alg\":\"ES256\",\"alg\":\"ES256\"}",
	};
	struct ar_pool *pool = ar_pool_new();
	struct jws_pair pair, other;
	struct ar_str good, bad;

	assert_int_equal(jws_pair_new(pool, &pair), 0);
	assert_int_equal(jws_pair_new(pool, &other), 0);
	good = sign(pool, &pair, "{\"alg\":\"ES256\",\"kid\":\"a\"}", "{\"sub\":\"1\"}");
	assert_int_equal(check(pool, &pair, good), 0);
	assert_int_equal(check(pool, &other, good), -1);
	for (size_t i = 0; i < AR_COUNT(refused); i++)
		assert_int_equal(check(pool, &pair, sign(pool, &pair, refused[i], "{}")), -1);
	for (size_t i = 0; i < good.n; i += 7) { /* any changed character breaks it */
		bad = ar_str_dup(pool, good);
		((char *)bad.p)[i] = bad.p[i] == 'A' ? 'B' : 'A';
		assert_int_equal(check(pool, &pair, bad), -1);
	}
	for (size_t n = 0; n < good.n; n += 11)
		assert_int_equal(check(pool, &pair, ar_str_sub(good, 0, n)), -1);
	ar_pool_free(pool);
}

static void points(void **state AR_UNUSED)
{
	struct ar_pool *pool = ar_pool_new();
	struct jws_pair pair;
	struct jws_key *key = NULL;
	char zeros[32] = { 0 };
	struct ar_str zero = ar_base64url(pool, zeros, sizeof(zeros));

	assert_int_equal(jws_pair_new(pool, &pair), 0);
	assert_int_equal(jws_key_new(zero, zero, &key), -1);
	assert_int_equal(jws_key_new(pair.y, pair.x, &key), -1);
	assert_int_equal(jws_key_new(pair.x, AR_STR("AAAA"), &key), -1);
	assert_null(key);
	ar_err_clear();
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wycheproof),
		cmocka_unit_test(own_vectors),
		cmocka_unit_test(points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
