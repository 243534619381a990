/*
 * signing.c - a tenant's ES256 keys: made with the tenant, published as JWKS, held in a slot.
 *
 * The newest key signs; older ones still verify what they signed.
 */
#include "auth/auth_int.h"

static int key_read(struct ar_pool *pool, const struct ar_rows *rows, struct auth_signing_key **ret)
{
	struct auth_signing_key *key = ar_new(pool, struct auth_signing_key);

	key->kid = ar_str_dup(pool, ar_col_str(rows, 0));
	key->private_pem = ar_str_dup(pool, ar_col_str(rows, 1));
	key->x = ar_str_dup(pool, ar_col_str(rows, 2));
	key->y = ar_str_dup(pool, ar_col_str(rows, 3));
	if (jws_key_new(key->x, key->y, &key->verifier) != 0)
		return -1;
	*ret = key;
	return 0;
}

static void signing_unload(void *value)
{
	struct auth_signing *signing = value;

	for (struct auth_signing_key *key = signing->keys; key != NULL; key = key->next)
		jws_key_free(key->verifier);
	auth_memory_free(signing->verified);
	ar_pool_free(signing->pool);
}

AR_YIELDS static int signing_load(struct ar_tenant *tenant, void **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	struct auth_signing *signing;
	struct auth_signing_key **last;

	ar_scope_init(&scope, tenant->db, pool);
	if (ar_query(&scope, &rows,
		     "SELECT kid, private_pem, x, y FROM auth_signing_keys ORDER BY created DESC, "
		     "kid",
		     AR_NO_ARGS) != 0)
		return -1;
	struct ar_pool *own = ar_pool_new();
	signing = ar_new(own, struct auth_signing);
	signing->pool = own;
	signing->verified = auth_memory_new();
	last = &signing->keys;
	while (ar_rows_next(&rows)) {
		if (key_read(own, &rows, last) != 0) {
			signing_unload(signing);
			return ar_fail_over(AR_E_INTERNAL);
		}
		last = &(*last)->next;
	}
	*ret = signing;
	return 0;
}

struct ar_tenant_slot auth_signing_slot = { .name = "auth keys",
					    .load = signing_load,
					    .unload = signing_unload };

AR_YIELDS int auth_signing_get(struct ar_call *call, struct auth_signing **ret)
{
	void *value;

	if (ar_tenant_use(call->tenant, &auth_signing_slot, call->pool, &value) != 0)
		return -1;
	*ret = value;
	return 0;
}

AR_YIELDS int auth_signing_key_make(struct ar_call *call)
{
	struct jws_pair pair;

	if (jws_pair_new(call->pool, &pair) != 0)
		return -1;
	return ar_exec(&call->scope,
		       "INSERT INTO auth_signing_keys (kid, alg, private_pem, x, y, created) "
		       "VALUES (?, 'ES256', ?, ?, ?, ?)",
		       AR_ARGS(AR_J_STR(ar_token(call->pool, 12)), AR_J_STR(pair.pem),
			       AR_J_STR(pair.x), AR_J_STR(pair.y), AR_J_INT(ar_now_ms())),
		       NULL);
}

static void jwk_write(struct ar_jw *w, const struct auth_signing_key *key)
{
	static const char *const fixed[][2] = {
		{ "kty", "EC" },
		{ "crv", "P-256" },
		{ "alg", "ES256" },
		{ "use", "sig" },
	};

	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(fixed); i++) {
		ar_jw_keyz(w, fixed[i][0]);
		ar_jw_strz(w, fixed[i][1]);
	}
	ar_jw_keyz(w, "kid");
	ar_jw_str(w, key->kid);
	ar_jw_keyz(w, "x");
	ar_jw_str(w, key->x);
	ar_jw_keyz(w, "y");
	ar_jw_str(w, key->y);
	ar_jw_object_end(w);
}

AR_YIELDS int auth_jwks(struct ar_call *call)
{
	struct auth_signing *signing;
	struct ar_jw *w;

	if (auth_signing_get(call, &signing) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "keys");
	ar_jw_array(w);
	for (struct auth_signing_key *key = signing->keys; key != NULL; key = key->next)
		jwk_write(w, key);
	ar_jw_array_end(w);
	ar_jw_object_end(w);
	ar_reply_header(call, "Cache-Control", AR_STR("public, max-age=300"));
	return 0;
}

static void text_list(struct ar_jw *w, const char *key, const char *only)
{
	ar_jw_keyz(w, key);
	ar_jw_array(w);
	ar_jw_strz(w, only);
	ar_jw_array_end(w);
}

/* What tokens say and where their keys are; apprun is no OpenID provider for others yet. */
AR_YIELDS int auth_openid_configuration(struct ar_call *call)
{
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "issuer");
	ar_jw_str(w, ar_strf(call->pool, "apprun/%.*s", AR_FMT(call->tenant->name)));
	ar_jw_keyz(w, "jwks_uri");
	ar_jw_str(w,
		  ar_strf(call->pool, "/t/%.*s/.well-known/jwks.json", AR_FMT(call->tenant->name)));
	text_list(w, "id_token_signing_alg_values_supported", "ES256");
	text_list(w, "subject_types_supported", "public");
	text_list(w, "response_types_supported", "token");
	ar_jw_object_end(w);
	return 0;
}
