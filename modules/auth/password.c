/*
 * password.c - bcrypt, in the offload pool's CPU part so that no loop ever waits for a hash.
 *
 * bcrypt looks at 72 bytes: longer passwords are refused, not cut in silence, also at sign-in, where
 * the first 72 bytes would do otherwise. A sign-in that cannot succeed pays for a hash all the same:
 * for an address that does not exist, an account without a password, one that is too long.
 */
#include "auth/auth_int.h"

#include <crypt.h>

#include "config/config.h"

struct job {
	struct ar_str password; /* NUL-terminated */
	struct ar_str setting; /* a salt with its cost, or a hash to compare with; NUL-terminated */
	char hash[CRYPT_OUTPUT_SIZE];
};

static int job_run(void *arg)
{
	struct job *job = arg;
	struct crypt_data *data = ar_heap_new(struct crypt_data);
	char *out = crypt_r(job->password.p, job->setting.p, data);
	int failed = out == NULL || out[0] == '*';

	if (!failed)
		memcpy(job->hash, out, strlen(out) + 1);
	ar_wipe(data, sizeof(*data));
	ar_heap_free(data);
	return failed ? ar_fail_why(AR_E_INTERNAL, "crypt_r refused a setting") : 0;
}

AR_YIELDS static int hash_with(struct ar_pool *pool, struct ar_str password, struct ar_str setting,
			       struct ar_str *ret)
{
	struct job *job = ar_new(pool, struct job);

	job->password = ar_str_dup(pool, password);
	job->setting = ar_str_dup(pool, setting);
	if (ar_offload(AR_OFFLOAD_CPU, job_run, job) != 0)
		return -1;
	*ret = ar_str(job->hash);
	return 0;
}

AR_YIELDS int auth_password_hash(struct ar_pool *pool, struct ar_str password, struct ar_str *ret)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], noise[16];

	ar_random(noise, sizeof(noise));
	if (crypt_gensalt_rn("$2b$", (unsigned long)ar_config_int("bcrypt-cost"), noise,
			     sizeof(noise), salt, sizeof(salt)) == NULL)
		return ar_fail_why(AR_E_INTERNAL, "crypt_gensalt_rn refused the cost");
	return hash_with(pool, password, ar_str(salt), ret);
}

AR_YIELDS int auth_password_check(struct ar_pool *pool, struct ar_str password, struct ar_str hash)
{
	struct ar_str again;
	bool too_long = password.n > AUTH_PASSWORD_BYTES;

	if (too_long)
		password = ar_str_sub(password, 0, AUTH_PASSWORD_BYTES);
	if (hash.n == 0 || too_long) {
		if (auth_password_hash(pool, password, &again) != 0)
			return -1;
		return ar_fail(AUTH_E_CREDENTIALS);
	}
	if (hash_with(pool, password, hash, &again) != 0)
		return -1;
	return ar_secret_eq(again, hash) ? 0 : ar_fail(AUTH_E_CREDENTIALS);
}

const char *auth_password_rule(const struct ar_field *field, const struct ar_json *value)
{
	return value->s.n > AUTH_PASSWORD_BYTES ? "too-long" : NULL;
}
