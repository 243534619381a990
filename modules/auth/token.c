/*
 * token.c - access tokens: made with libjwt, checked after jws.c said that the signature is good.
 */
#include "auth/auth_int.h"

#include <jwt.h>
#include <stdlib.h>

#include "config/config.h"

#define AUDIENCE     "apprun"
#define CLOCK_SKEW_S 60

static struct ar_str issuer(struct ar_pool *pool, struct ar_str tenant)
{
	return ar_strf(pool, "apprun/%.*s", AR_FMT(tenant));
}

struct signing {
	const struct auth_signing_key *key;
	const char *issuer, *user_id, *session_id, *token_id;
	int64_t now_s, ttl_s;
	char *token; /* libjwt's heap */
};

static int sign(struct signing *s)
{
	jwt_t *jwt = NULL;
	int failed;

	if (jwt_new(&jwt) != 0)
		return -1;
	failed = jwt_add_header(jwt, "kid", s->key->kid.p) != 0 ||
		 jwt_add_grant(jwt, "iss", s->issuer) != 0 ||
		 jwt_add_grant(jwt, "aud", AUDIENCE) != 0 ||
		 jwt_add_grant(jwt, "sub", s->user_id) != 0 ||
		 jwt_add_grant(jwt, "sid", s->session_id) != 0 ||
		 jwt_add_grant(jwt, "jti", s->token_id) != 0 ||
		 jwt_add_grant_int(jwt, "iat", (long)s->now_s) != 0 ||
		 jwt_add_grant_int(jwt, "exp", (long)(s->now_s + s->ttl_s)) != 0 ||
		 jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)s->key->private_pem.p,
			     (int)s->key->private_pem.n) != 0;
	if (!failed)
		s->token = jwt_encode_str(jwt);
	jwt_free(jwt);
	return s->token == NULL ? -1 : 0;
}

int auth_token_make(struct ar_call *call, const struct auth_signing *signing, struct ar_str user_id,
		    struct ar_str session_id, struct ar_str *ret)
{
	struct signing s;

	if (signing->keys == NULL)
		return ar_fail_why(AR_E_INTERNAL, "tenant has no signing key");
	s = (struct signing){
		.key = signing->keys,
		.issuer = issuer(call->pool, call->tenant->name).p,
		.user_id = ar_strz(call->pool, user_id),
		.session_id = ar_strz(call->pool, session_id),
		.token_id = ar_id(call->pool).p,
		.now_s = ar_now_ms() / 1000,
		.ttl_s = ar_config_int("access-ttl-s"),
	};
	if (sign(&s) != 0)
		return ar_fail_why(AR_E_INTERNAL, "libjwt made no token");
	*ret = ar_str_dup(call->pool, ar_str(s.token));
	free(s.token);
	return 0;
}

static const struct jws_key *key_by_id(const struct auth_signing *signing, struct ar_str kid)
{
	for (const struct auth_signing_key *key = signing->keys; key != NULL; key = key->next)
		if (ar_str_eq(key->kid, kid))
			return key->verifier;
	return NULL;
}

/* NULL when the claims are ours and in time, else why not. */
static const char *claims_refused(struct ar_pool *pool, const struct ar_json *claims,
				  struct ar_str tenant)
{
	int64_t now_s = ar_now_ms() / 1000;
	const struct ar_json *nbf = ar_json_get(claims, "nbf");

	if (claims->type != AR_OBJECT)
		return "claims are no object";
	if (!ar_str_eq(ar_json_text(claims, "iss", AR_STR("")), issuer(pool, tenant)))
		return "another issuer";
	if (!ar_str_is(ar_json_text(claims, "aud", AR_STR("")), AUDIENCE))
		return "another audience";
	if (ar_json_number(claims, "exp", 0) <= now_s)
		return "expired";
	if (ar_json_number(claims, "iat", INT64_MAX) > now_s + CLOCK_SKEW_S)
		return "issued in the future";
	if (nbf != NULL && (nbf->type != AR_INT || nbf->i > now_s + CLOCK_SKEW_S))
		return "not valid yet";
	if (!ar_id_valid(ar_json_text(claims, "sub", AR_STR(""))) ||
	    !ar_id_valid(ar_json_text(claims, "sid", AR_STR(""))))
		return "no subject or session";
	return NULL;
}

int auth_token_check(struct ar_pool *pool, const struct auth_signing *signing, struct ar_str tenant,
		     struct ar_str token, struct auth_claims *ret)
{
	static const struct ar_json_limits limits = { JWS_MAX, 8, 256 };
	const struct jws_key *key;
	struct ar_json *claims;
	const char *refused;
	struct jws jws;

	if (jws_read(pool, token, &jws) != 0)
		return ar_fail_over(AR_E_UNAUTHORIZED);
	key = key_by_id(signing, ar_json_text(jws.header, "kid", AR_STR("")));
	if (key == NULL)
		return ar_fail_why(AR_E_UNAUTHORIZED, "token names no key of this tenant");
	if (jws_verify(&jws, key) != 0)
		return -1;
	if (ar_json_parse(pool, jws.payload, &limits, &claims) != 0)
		return ar_fail_over(AR_E_UNAUTHORIZED);
	refused = claims_refused(pool, claims, tenant);
	if (refused != NULL)
		return ar_fail_why(AR_E_UNAUTHORIZED, "token refused: %s", refused);
	ret->user_id = ar_json_text(claims, "sub", AR_STR(""));
	ret->session_id = ar_json_text(claims, "sid", AR_STR(""));
	ret->expires_s = ar_json_number(claims, "exp", 0);
	return 0;
}
