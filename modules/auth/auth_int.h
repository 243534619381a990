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
extern const struct ar_err_def AUTH_E_REFERENCED[1];    /* 409 auth/user-referenced: by records */
extern const struct ar_err_def AUTH_E_EMAIL_TAKEN[1];   /* 409 auth/email-taken */
extern const struct ar_err_def AUTH_E_SIGNUP_CLOSED[1]; /* 403 auth/signup-closed */
extern const struct ar_err_def AUTH_E_REFRESH[1];       /* 401 auth/refresh-token */
extern const struct ar_err_def AUTH_E_REUSED[1];        /* 401 auth/refresh-token-reused */
extern const struct ar_err_def AUTH_E_ROLE_EXISTS[1];   /* 409 auth/role-exists */
extern const struct ar_err_def AUTH_E_ESCALATION[1];    /* 403 auth/escalation */
extern const struct ar_err_def AUTH_E_LAST_ADMIN[1];    /* 409 auth/last-admin */

/* ---- password.c: yields; hash before the first write of an action ---- */

#define AUTH_PASSWORD_BYTES 72 /* bcrypt looks at no more */

AR_YIELDS int auth_password_hash(struct ar_pool *pool, struct ar_str password, struct ar_str *ret);
/* AUTH_E_CREDENTIALS when it does not match; hash may be empty, which costs as much. */
AR_YIELDS int auth_password_check(struct ar_pool *pool, struct ar_str password, struct ar_str hash);
const char *auth_password_rule(const struct ar_field *field, const struct ar_json *value);
#define AUTH_PASSWORD_FIELD                                                                        \
	.min = 8, .max = AUTH_PASSWORD_BYTES, .check = auth_password_rule, .secret = true,         \
	.help = "8 characters at least, 72 bytes at most"

/* ---- memory.c ---- */

struct auth_memory;
struct auth_memory *auth_memory_new(void);
void auth_memory_free(void *memory);
void *auth_memory_get(const struct auth_memory *memory, struct ar_str key); /* or NULL */
/* Where the next value is made; may forget all that there is. Set it before anything waits. */
struct ar_pool *auth_memory_room(struct auth_memory *memory);
void auth_memory_set(struct auth_memory *memory, struct ar_str key, void *value);
/* What is remembered now stays until the pool ends. */
void auth_memory_hold(struct auth_memory *memory, struct ar_pool *pool);

/* ---- throttle.c: any thread ---- */

/* Counts an attempt at a password of this account as failed: AR_E_TOO_MANY. */
int auth_throttle_enter(struct ar_call *call, struct ar_str account);
/* The attempt was good after all. */
void auth_throttle_good(struct ar_call *call, struct ar_str account);

/* ---- signing.c ---- */

struct auth_signing_key {
	struct ar_str kid, private_pem, x, y;
	struct jws_key *verifier;
	struct auth_signing_key *next; /* older */
};
/* Replaced as a whole when a signing key is made, which is not often: what a signature said holds. */
struct auth_signing {
	struct ar_pool *pool;
	struct auth_signing_key *keys; /* the first one signs */
	struct auth_memory *verified;  /* by token: struct auth_claims */
};
extern struct ar_tenant_slot auth_signing_slot;
/* Held until the call's pool ends. */
AR_YIELDS int auth_signing_get(struct ar_call *call, struct auth_signing **ret);
AR_YIELDS int auth_signing_key_make(struct ar_call *call);
AR_YIELDS int auth_jwks(struct ar_call *call);
AR_YIELDS int auth_openid_configuration(struct ar_call *call);

/* ---- token.c ---- */

struct auth_claims {
	struct ar_str user_id, session_id;
	int64_t expires_s;
};
/* Does not wait: state was fetched before the unit of work began. */
int auth_token_make(struct ar_call *call, const struct auth_signing *signing, struct ar_str user_id,
		    struct ar_str session_id, struct ar_str *ret);
/* Signature, algorithm, key, exp, nbf, iat, iss, aud. AR_E_UNAUTHORIZED. Does not wait. */
int auth_token_check(struct ar_pool *pool, const struct auth_signing *signing, struct ar_str tenant,
		     struct ar_str token, struct auth_claims *ret);

/* ---- who.c ---- */

AR_YIELDS int auth_authenticate(struct ar_call *call, struct ar_str bearer,
				const struct ar_who **ret);
/* By bearer, who calls; replaced as a whole when any user, role, session or key changes. */
extern struct ar_tenant_slot auth_slot;
/* Users, roles, sessions or keys change with the call's unit of work. */
int auth_changes(struct ar_call *call);
/* The names in the first column of a query over one id. */
AR_YIELDS int auth_names(struct ar_scope *scope, const char *sql, struct ar_str id,
			 struct ar_json **ret);
extern const char auth_sql_permissions[]; /* of a user, through its roles */

/* ---- user.c ---- */

/* A caller may only hand out what it has itself. AUTH_E_ESCALATION. */
int auth_may_grant(struct ar_call *call, const struct ar_json *permissions);
/* Locks a user, and refuses one who is more powerful than the caller. */
AR_YIELDS int auth_may_manage(struct ar_call *call, struct ar_str id);
AR_YIELDS int auth_event(struct ar_call *call, const char *topic, struct ar_str id,
			 const char *more_key, struct ar_str more);

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
int auth_is_user(struct ar_call *call); /* AR_E_FORBIDDEN for keys and functions */
AR_YIELDS int auth_me(struct ar_call *call);
AR_YIELDS int auth_me_update(struct ar_call *call);
AR_YIELDS int auth_password_change(struct ar_call *call);

/* ---- session.c ---- */

/* Ends a user's sessions, all but one. */
AR_YIELDS int auth_sessions_end(struct ar_call *call, struct ar_str user_id, struct ar_str but);

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
#define AUTH_ROLE_ADMIN "admin"
#define AUTH_ASSIGN     "auth.roles.assign"

#endif
