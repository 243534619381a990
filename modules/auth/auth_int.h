/*
 * auth_int.h - what the files of auth share.
 */
#ifndef AUTH_INT_H
#define AUTH_INT_H

#include "action/action.h"
#include "action/list.h"
#include "auth/auth.h"
#include "auth/jws.h"
#include "bus/bus.h"

extern const struct ar_err_def AUTH_E_CREDENTIALS[1];   /* 401 auth/credentials */
extern const struct ar_err_def AUTH_E_EMAIL_TAKEN[1];   /* 409 auth/email-taken */
extern const struct ar_err_def AUTH_E_SIGNUP_CLOSED[1]; /* 403 auth/signup-closed */
extern const struct ar_err_def AUTH_E_REFRESH[1];       /* 401 auth/refresh-token */
extern const struct ar_err_def AUTH_E_REUSED[1];        /* 401 auth/refresh-token-reused */
extern const struct ar_err_def AUTH_E_ROLE_EXISTS[1];   /* 409 auth/role-exists */
extern const struct ar_err_def AUTH_E_ESCALATION[1];    /* 403 auth/escalation */
extern const struct ar_err_def AUTH_E_LAST_ADMIN[1];    /* 409 auth/last-admin */

/* ---- password.c: yields; hash before the first write of an action ---- */

AR_YIELDS int auth_password_hash(struct ar_pool *pool, struct ar_str password, struct ar_str *ret);
/* AUTH_E_CREDENTIALS when it does not match; hash may be empty, which costs as much. */
AR_YIELDS int auth_password_check(struct ar_pool *pool, struct ar_str password, struct ar_str hash);
const char *auth_password_rule(const struct ar_field *field, const struct ar_json *value);
#define AUTH_PASSWORD_FIELD                                                                        \
	.min = 8, .max = 72, .check = auth_password_rule, .secret = true,                          \
	.help = "8 characters at least, 72 bytes at most"

/* ---- throttle.c: any thread ---- */

int auth_throttle_check(struct ar_call *call, struct ar_str email); /* AR_E_TOO_MANY */
void auth_throttle_note(struct ar_call *call, struct ar_str email, bool good);

/* ---- signing.c ---- */

struct auth_signing_key {
	struct ar_str kid, private_pem, x, y;
	struct jws_key *verifier;
	struct auth_signing_key *next; /* older */
};
/* What is remembered about a tenant's callers; replaced as a whole when anything of it changes. */
struct auth_state {
	struct ar_pool *pool;
	struct auth_signing_key *keys; /* the first one signs */
	struct ar_map *callers;        /* by token: who.c's */
};
extern struct ar_tenant_slot auth_slot;
/* Held until the call's pool ends. */
AR_YIELDS int auth_state_get(struct ar_call *call, struct auth_state **ret);
/* Users, roles, sessions, keys or signing keys change with the call's unit of work. */
int auth_changes(struct ar_call *call);
AR_YIELDS int auth_signing_key_make(struct ar_call *call);
AR_YIELDS int auth_jwks(struct ar_call *call);
AR_YIELDS int auth_openid_configuration(struct ar_call *call);

/* ---- token.c ---- */

struct auth_claims {
	struct ar_str user_id, session_id;
	int64_t expires_s;
};
AR_YIELDS int auth_token_make(struct ar_call *call, struct ar_str user_id, struct ar_str session_id,
			      struct ar_str *ret);
/* Signature, algorithm, key, exp, nbf, iat, iss, aud. AR_E_UNAUTHORIZED. Does not wait. */
int auth_token_check(struct ar_pool *pool, const struct auth_state *state, struct ar_str tenant,
		     struct ar_str token, struct auth_claims *ret);

/* ---- who.c ---- */

AR_YIELDS int auth_authenticate(struct ar_call *call, struct ar_str bearer,
				const struct ar_who **ret);
void auth_callers_free(struct ar_map *callers);

/* ---- user.c ---- */

/* Checks that the roles exist and that the caller has all that they give. */
AR_YIELDS int auth_roles_check(struct ar_call *call, const struct ar_json *roles);
/* A caller may only hand out what it has itself. AUTH_E_ESCALATION. */
int auth_may_grant(struct ar_call *call, const struct ar_json *permissions);

struct auth_new_user {
	struct ar_str email, name, locale, password_hash;
	const struct ar_json *roles, *data; /* NULL: none */
};
/* Writes the user, its roles and its event. AUTH_E_EMAIL_TAKEN. */
AR_YIELDS int auth_user_insert(struct ar_call *call, const struct auth_new_user *user,
			       struct ar_str *ret_id);
/* One user as JSON, with its roles; AR_E_NOT_FOUND. */
AR_YIELDS int auth_user_write(struct ar_call *call, struct ar_str id, struct ar_jw *w);
AR_YIELDS int auth_user_reply(struct ar_call *call, struct ar_str id, int status);

AR_YIELDS int auth_user_create(struct ar_call *call);
AR_YIELDS int auth_user_list(struct ar_call *call);
AR_YIELDS int auth_user_get(struct ar_call *call);
AR_YIELDS int auth_user_update(struct ar_call *call);
AR_YIELDS int auth_user_delete(struct ar_call *call);
AR_YIELDS int auth_me(struct ar_call *call);
AR_YIELDS int auth_me_update(struct ar_call *call);
AR_YIELDS int auth_password_change(struct ar_call *call);

/* ---- session.c ---- */

AR_YIELDS int auth_signup(struct ar_call *call);
AR_YIELDS int auth_login(struct ar_call *call);
AR_YIELDS int auth_refresh(struct ar_call *call);
AR_YIELDS int auth_logout(struct ar_call *call);
AR_YIELDS int auth_session_list(struct ar_call *call);
AR_YIELDS int auth_session_delete(struct ar_call *call);

/* ---- role.c ---- */

AR_YIELDS int auth_role_list(struct ar_call *call);
AR_YIELDS int auth_role_create(struct ar_call *call);
AR_YIELDS int auth_role_get(struct ar_call *call);
AR_YIELDS int auth_role_update(struct ar_call *call);
AR_YIELDS int auth_role_delete(struct ar_call *call);
AR_YIELDS int auth_permission_list(struct ar_call *call);
AR_YIELDS int auth_permission_create(struct ar_call *call);
AR_YIELDS int auth_permission_delete(struct ar_call *call);

/* ---- apikey.c ---- */

AR_YIELDS int auth_key_list(struct ar_call *call);
AR_YIELDS int auth_key_create(struct ar_call *call);
AR_YIELDS int auth_key_delete(struct ar_call *call);

#define AUTH_KEY_PREFIX "ark_"

#endif
