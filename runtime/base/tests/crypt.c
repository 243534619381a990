/*
 * crypt.c - digests, encodings, secrets, the keyed hash against its paper's vectors.
 */
#include "base/base_int.h"
#include "tests/harness/test.h"

static void sha256(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	unsigned char out[AR_SHA256_LEN];
	struct ar_sha256 *h = ar_sha256_new();

	/* FIPS 180-4 */
	assert_str(ar_sha256_hex(pool, AR_STR("abc")),
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_str(ar_sha256_hex(pool, AR_STR_NONE),
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	ar_sha256_add(h, "a", 1);
	ar_sha256_add(h, NULL, 0);
	ar_sha256_add(h, "bc", 2);
	ar_sha256_end(h, out);
	assert_str(ar_hex(pool, out, sizeof(out)),
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	h = ar_sha256_new();
	ar_sha256_add(h, "given up", 8);
	ar_sha256_free(h);
	ar_sha256_free(NULL);
}

static void base64_both_ways(void **state)
{
	/* RFC 4648, section 10, and the two characters in which the alphabets differ */
	static const struct {
		const char *raw, *std, *url;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xFB\xFF\xBF", "+/+/", "-_-_" },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		size_t n = strlen(rows[i].raw);
		struct ar_str got;

		assert_str(ar_base64(pool, rows[i].raw, n), rows[i].std);
		assert_str(ar_base64url(pool, rows[i].raw, n), rows[i].url);
		assert_ok(ar_base64_decode(pool, ar_str(rows[i].std), &got));
		assert_str(got, rows[i].raw);
		assert_ok(ar_base64url_decode(pool, ar_str(rows[i].url), &got));
		assert_str(got, rows[i].raw);
	}
}

static void base64_random_bytes_come_back(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t n = 0; n < 300; n++) {
		unsigned char raw[300];
		struct ar_str got;

		ar_random(raw, n);
		assert_ok(ar_base64url_decode(pool, ar_base64url(pool, raw, n), &got));
		assert_int_equal(got.n, n);
		assert_memory_equal(got.p, raw, n);
		assert_ok(ar_base64_decode(pool, ar_base64(pool, raw, n), &got));
		assert_int_equal(got.n, n);
		assert_memory_equal(got.p, raw, n);
	}
}

static void base64_refuses(void **state)
{
	static const char *const bad_url[] = { "Zg==",
					       "Z",
					       "Zh",
					       "Zm9",
					       "Zm 9v",
					       "Zm9v\n",
					       "+/+/",
					       "Zm9v=",
					       "Zm\xFF"
					       "v" };
	static const char *const bad_std[] = { "Zg",     "Zg=",   "Zg===", "Z===", "=",
					       "====",   "Zh==",  "Zm9=",  "-_-_", "Zg==Zg==",
					       "Zm9v\n", " Zm9v", "Zg=a" };
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str ret = AR_STR("untouched");

	for (size_t i = 0; i < AR_COUNT(bad_url); i++)
		assert_fails(ar_base64url_decode(pool, ar_str(bad_url[i]), &ret), AR_E_MALFORMED);
	for (size_t i = 0; i < AR_COUNT(bad_std); i++)
		assert_fails(ar_base64_decode(pool, ar_str(bad_std[i]), &ret), AR_E_MALFORMED);
	assert_fails(ar_base64url_decode(pool, ar_str_n("Zm9\0", 4), &ret), AR_E_MALFORMED);
	assert_str(ret, "untouched");
}

static void secrets(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str a = ar_token(pool, 32), b = ar_token(pool, 32);
	char bytes[4] = "abc";

	assert_int_equal(a.n, 43);
	assert_false(ar_secret_eq(a, b));
	assert_true(ar_secret_eq(a, ar_str_dup(pool, a)));
	assert_false(ar_secret_eq(a, ar_str_sub(a, 0, 42)));
	assert_true(ar_secret_eq(AR_STR_NONE, ar_str("")));
	ar_wipe(bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	ar_wipe(NULL, 0);
}

/* Appendix A of the SipHash paper, and the reference implementation's table for other lengths. */
static void siphash(void **state)
{
	static const struct {
		size_t n;
		uint64_t hash;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31u }, { 1, 0x74f839c593dc67fdu },  { 7, 0xab0200f58b01d137u },
		{ 8, 0x93f5f5799a932462u }, { 15, 0xa129ca6149be45e5u },
	};
	const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	unsigned char in[16];

	for (int i = 0; i < 16; i++)
		in[i] = i;
	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_true(ar_siphash(key, in, rows[i].n) == rows[i].hash);
	assert_true(ar_hash("abc", 3) == ar_hash("abc", 3));
	assert_true(ar_hash("abc", 3) != ar_hash("abd", 3));
	assert_true(ar_hash("abc", 3) != ar_siphash((uint64_t[2]){ 0 }, "abc", 3));
}

static void siphash128(void **state)
{
	/* the first of SipHash's own vectors_sip128, and openssl mac -macopt size:16 SIPHASH */
	static const struct {
		size_t n;
		const char *hash;
	} rows[] = {
		{ 0, "a3817f04ba25a8e66df67214c7550293" },
		{ 1, "da87c1d86b99af44347659119b22fc45" },
		{ 2, "8177228da4a45dc7fca38bdef60affe4" },
		{ 15, "5493e99933b0a8117e08ec0f97cfc3d9" },
	};
	const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	const unsigned char in[15] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	unsigned char a[AR_SECRET_NAME_LEN], b[AR_SECRET_NAME_LEN];

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		ar_siphash128(key, in, rows[i].n, a);
		assert_str(ar_hex(pool, a, sizeof(a)), rows[i].hash);
	}
	ar_secret_name("abc", 3, a);
	ar_secret_name("abc", 3, b);
	assert_memory_equal(a, b, sizeof(a));
	ar_secret_name("abd", 3, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256),
		cmocka_unit_test(base64_both_ways),
		cmocka_unit_test(base64_random_bytes_come_back),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(secrets),
		cmocka_unit_test(siphash),
		cmocka_unit_test(siphash128),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
