/*
 * libFuzzer: a compact JWS from a stranger, and JWKs.
 *
 * Of all texts only one is good: the token below, which was signed with a key that no longer exists.
 * Whatever else passes jws_verify() is a forgery. Run: build/tests/fuzz/fuzz_jws -max_total_time=60
 */
#include "auth/jws.h"
#include "tests/fuzz/fuzz.h"

/* RFC 7515, appendix A.3 */
#define X    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define HEAD "eyJhbGciOiJFUzI1NiJ9"
#define PAYLOAD                                                                                    \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"
#define SIG "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

static const char *const seeds[] = {
	HEAD "." PAYLOAD "." SIG,
	"eyJhbGciOiJub25lIn0." PAYLOAD ".",
	"eyJhbGciOiJIUzI1NiJ9." PAYLOAD "." SIG,
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":["
	"\"verify\"],"
	"\"x\":\"" X "\",\"y\":\"" Y "\"}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jws_key *key;
	struct ar_str text = { (const char *)data, size };
	struct ar_pool *pool = ar_pool_new();
	struct jws_key *other;
	struct ar_json *jwk;
	struct jws jws;

	if (key == NULL)
		must(jws_key_new(AR_STR(X), AR_STR(Y), &key) == 0);
	if (jws_read(pool, text, &jws) == 0) {
		bool good = jws_verify(&jws, key) == 0;

		must(good == ar_str_is(text, seeds[0]));
		must(jws.signed_part.n < size && jws.header->type == AR_OBJECT);
	}
	if (ar_json_parse(pool, text, NULL, &jwk) == 0 && jws_key_from_jwk(jwk, &other) == 0)
		jws_key_free(other);
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}

FUZZ_SEEDS(seeds)
