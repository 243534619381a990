/*
 * who.c - turns what stands behind "Bearer " into a caller: an access token or an API key.
 *
 * Who was found once is remembered in the tenant's auth slot under a keyed digest of the text, so
 * that the common request pays for a look-up alone. The slot is replaced when any user, role,
 * session or key of the tenant changes: nothing remembered outlives a revocation. Signatures are
 * remembered apart from that, with the keys that made them, so that after a change the store is
 * asked again and the elliptic curve is not. What is refused is not remembered.
 */
#include "auth/auth_int.h"

struct caller {
	struct ar_who who;
	int64_t expires_ms; /* wall clock; INT64_MAX: never */
};

/* ---- the slot ---- */

AR_YIELDS static int memory_load(struct ar_tenant *tenant, void **ret)
{
	*ret = auth_memory_new();
	return 0;
}

struct ar_tenant_slot auth_slot = { .name = "auth",
				    .load = memory_load,
				    .unload = auth_memory_free };

int auth_changes(struct ar_call *call)
{
	return ar_tenant_changes(call->tenant, &auth_slot, &call->scope);
}

AR_YIELDS static int memory_get(struct ar_call *call, struct auth_memory **ret)
{
	void *value;

	if (ar_tenant_use(call->tenant, &auth_slot, call->pool, &value) != 0)
		return -1;
	*ret = value;
	return 0;
}

/* ---- what the store says of a caller ---- */

struct found { /* in the call's pool */
	enum ar_who_kind kind;
	struct ar_str id, session;
	struct ar_json *auth, *permissions;
	int64_t expires_ms;
};

const char auth_sql_permissions[] = "SELECT DISTINCT p.permission FROM auth_user_roles r "
				    "JOIN auth_role_permissions p ON p.role = r.role "
				    "WHERE r.user_id = ?";

AR_YIELDS int auth_names(struct ar_scope *scope, const char *sql, struct ar_str id,
			 struct ar_json **ret)
{
	struct ar_json *list = ar_json_new(scope->pool, AR_ARRAY);
	struct ar_rows rows;

	if (ar_query(scope, &rows, sql, AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	while (ar_rows_next(&rows))
		ar_json_add(list, ar_json_str(scope->pool, ar_col_str(&rows, 0)));
	*ret = list;
	return 0;
}

/* What rules see as @auth. */
static struct ar_json *auth_object(struct ar_pool *pool, struct ar_str id,
				   const struct ar_rows *rows, struct ar_json *roles,
				   const struct ar_json *permissions)
{
	struct ar_json *auth = ar_json_new(pool, AR_OBJECT);

	ar_json_set(auth, AR_STR("id"), ar_json_str(pool, id));
	ar_json_set(auth, AR_STR("email"), ar_json_str(pool, ar_col_str(rows, 0)));
	ar_json_set(auth, AR_STR("name"), ar_json_str(pool, ar_col_str(rows, 1)));
	ar_json_set(auth, AR_STR("verified"), ar_json_bool(pool, ar_col_int(rows, 2) != 0));
	ar_json_set(auth, AR_STR("roles"), roles);
	ar_json_set(auth, AR_STR("permissions"), ar_json_copy(pool, permissions));
	return auth;
}

AR_YIELDS static int user_find(struct ar_scope *scope, const struct auth_claims *claims,
			       struct found *ret)
{
	struct ar_json *roles;
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT u.email, u.name, u.verified, s.expires FROM auth_sessions s "
		     "JOIN auth_users u ON u.id = s.user_id WHERE s.id = ? AND u.id = ? "
		     "AND s.revoked IS NULL AND s.expires > ? AND u.disabled = 0",
		     AR_ARGS(AR_J_STR(claims->session_id), AR_J_STR(claims->user_id),
			     AR_J_INT(ar_now_ms()))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail_why(AR_E_UNAUTHORIZED,
				   "session is revoked or over, or user disabled");
	if (auth_names(scope, "SELECT role FROM auth_user_roles WHERE user_id = ? ORDER BY role",
		       claims->user_id, &roles) != 0 ||
	    auth_names(scope, auth_sql_permissions, claims->user_id, &ret->permissions) != 0)
		return -1;
	ret->kind = AR_WHO_USER;
	ret->id = claims->user_id;
	ret->session = claims->session_id;
	ret->expires_ms = AR_MIN(claims->expires_s * 1000, ar_col_int(&rows, 3));
	ret->auth = auth_object(scope->pool, claims->user_id, &rows, roles, ret->permissions);
	return 0;
}

/* Adds those of `list` that `who` has. */
static void shared_add(struct ar_json *to, struct ar_pool *pool, const struct ar_json *list,
		       const struct ar_who *who)
{
	ar_json_each (p, list)
		if (p->type == AR_STRING && ar_who_may(who, p->s))
			ar_json_add(to, ar_json_str(pool, p->s));
}

/* A user's key gives what it says and its user may now: the narrower of the two, name by name. */
AR_YIELDS static int owner_limit(struct ar_scope *scope, struct ar_str owner, struct found *found)
{
	struct ar_json *may, *both = ar_json_new(scope->pool, AR_ARRAY);

	if (auth_names(scope, auth_sql_permissions, owner, &may) != 0)
		return -1;
	shared_add(both, scope->pool, found->permissions,
		   ar_who_limited(scope->pool, AR_WHO_USER, owner, may));
	shared_add(both, scope->pool, may,
		   ar_who_limited(scope->pool, AR_WHO_KEY, found->id, found->permissions));
	found->permissions = both;
	return 0;
}

/* "ark_" + 36 characters of the id + "_" + secret */
AR_YIELDS static int key_find(struct ar_scope *scope, struct ar_str bearer, struct found *ret)
{
	const size_t head = sizeof(AUTH_KEY_PREFIX) - 1;
	struct ar_str id = ar_str_sub(bearer, head, AR_ID_LEN), secret;
	struct ar_rows rows;

	secret = ar_str_sub(bearer, head + AR_ID_LEN + 1, bearer.n);
	if (!ar_id_valid(id) || secret.n == 0 || bearer.p[head + AR_ID_LEN] != '_')
		return ar_fail_why(AR_E_UNAUTHORIZED, "key has a wrong form");
	if (ar_query(scope, &rows,
		     "SELECT k.hash, k.permissions, k.expires, k.owner FROM auth_keys k "
		     "LEFT JOIN auth_users u ON u.id = k.owner "
		     "WHERE k.id = ? AND (k.owner IS NULL OR u.disabled = 0)",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows) ||
	    !ar_secret_eq(ar_col_str(&rows, 0), ar_sha256_hex(scope->pool, secret)))
		return ar_fail_why(AR_E_UNAUTHORIZED, "no such key");
	ret->expires_ms = ar_col_null(&rows, 2) ? INT64_MAX : ar_col_int(&rows, 2);
	if (ar_json_parse(scope->pool, ar_col_str(&rows, 1), &ar_json_limits_default,
			  &ret->permissions) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	ret->kind = AR_WHO_KEY;
	ret->id = id;
	return ar_col_null(&rows, 3) ? 0 : owner_limit(scope, ar_col_str(&rows, 3), ret);
}

/* What a good token says, from the signature or from memory; its end is the caller's to look at. */
AR_YIELDS static int claims_of(struct ar_call *call, struct ar_str token, struct ar_str key,
			       struct auth_claims *ret)
{
	struct auth_claims *claims;
	struct auth_signing *signing;
	struct ar_pool *room;

	if (auth_signing_get(call, &signing) != 0)
		return -1;
	claims = auth_memory_get(signing->verified, key);
	if (claims == NULL) {
		if (auth_token_check(call->pool, signing, call->tenant->name, token, ret) != 0)
			return -1;
		room = auth_memory_room(signing->verified);
		claims = ar_new(room, struct auth_claims);
		*claims = (struct auth_claims){ ar_str_dup(room, ret->user_id),
						ar_str_dup(room, ret->session_id), ret->expires_s };
		auth_memory_set(signing->verified, key, claims);
	}
	auth_memory_hold(signing->verified, call->pool);
	*ret = *claims;
	return 0;
}

AR_YIELDS static int bearer_find(struct ar_call *call, struct ar_str bearer, struct ar_str key,
				 struct found *ret)
{
	struct ar_scope scope;
	struct auth_claims claims;

	ar_scope_init(&scope, call->tenant->db, call->pool);
	if (ar_str_starts(bearer, AR_STR(AUTH_KEY_PREFIX)))
		return key_find(&scope, bearer, ret);
	if (claims_of(call, bearer, key, &claims) != 0)
		return -1;
	return user_find(&scope, &claims, ret);
}

/* Two calls may have found the same caller at once: the later one stays. */
static struct caller *caller_keep(struct auth_memory *memory, struct ar_str key,
				  const struct found *found)
{
	struct ar_pool *pool = auth_memory_room(memory);
	struct ar_who *who = ar_who_limited(pool, found->kind, found->id, found->permissions);
	struct caller *caller = ar_new(pool, struct caller);

	caller->who = *who;
	caller->who.session = ar_str_dup(pool, found->session);
	if (found->auth != NULL)
		caller->who.auth = ar_json_copy(pool, found->auth);
	caller->expires_ms = found->expires_ms;
	auth_memory_set(memory, key, caller);
	return caller;
}

AR_YIELDS int auth_authenticate(struct ar_call *call, struct ar_str bearer,
				const struct ar_who **ret)
{
	unsigned char name[AR_SECRET_NAME_LEN];
	struct ar_str key = ar_str_n((char *)name, sizeof(name));
	struct found found = { 0 };
	struct auth_memory *memory;
	struct caller *caller;

	if (bearer.n > JWS_MAX)
		return ar_fail_why(AR_E_UNAUTHORIZED, "bearer too long");
	if (memory_get(call, &memory) != 0)
		return -1;
	ar_secret_name(bearer.p, bearer.n, name);
	caller = auth_memory_get(memory, key);
	if (caller == NULL) {
		if (bearer_find(call, bearer, key, &found) != 0)
			return -1;
		caller = caller_keep(memory, key, &found);
	}
	if (caller->expires_ms <= ar_now_ms())
		return ar_fail_why(AR_E_UNAUTHORIZED, "expired");
	auth_memory_hold(memory, call->pool); /* where the caller is: nothing has waited since */
	*ret = &caller->who;
	return 0;
}
