/*
 * who.c - turns what stands behind "Bearer " into a caller: an access token or an API key.
 *
 * What was verified once is remembered in the tenant's auth state under the SHA-256 of the text, so
 * that the common request pays for a look-up and not for a signature. The state is replaced when any
 * user, role, session or key of the tenant changes: nothing remembered outlives a revocation. What
 * is refused is not remembered.
 *
 * Callers are kept in generations of one pool each; when one is full, the next begins empty, and the
 * old one goes with the last call that uses it.
 */
#include "auth/auth_int.h"

#include <stdlib.h>

#define CALLERS_MAX 8192              /* of a generation */
#define BYTES_MAX   ((size_t)8 << 20) /* of a generation, about */

struct caller {
	struct ar_who who;
	int64_t expires_ms; /* wall clock; INT64_MAX: never */
};

struct generation {
	struct ar_pool *pool;
	struct ar_map *map; /* SHA-256 of the bearer: struct caller */
	unsigned refs;      /* one as the current one, and one of each call that uses it */
};

struct auth_callers { /* of one loop */
	struct generation *current;
};

static struct generation *generation_new(void)
{
	struct generation *generation = ar_heap_new(struct generation);

	generation->pool = ar_pool_new();
	generation->map = ar_map_new();
	generation->refs = 1;
	return generation;
}

static void generation_unref(void *arg)
{
	struct generation *generation = arg;

	if (--generation->refs > 0)
		return;
	ar_map_free(generation->map, NULL);
	ar_pool_free(generation->pool);
	ar_heap_free(generation);
}

struct auth_callers *auth_callers_new(void)
{
	struct auth_callers *callers = ar_heap_new(struct auth_callers);

	callers->current = generation_new();
	return callers;
}

void auth_callers_free(struct auth_callers *callers)
{
	generation_unref(callers->current);
	ar_heap_free(callers);
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

AR_YIELDS static int bearer_find(struct ar_call *call, const struct auth_state *state,
				 struct ar_str bearer, struct found *ret)
{
	struct ar_scope scope;
	struct auth_claims claims;

	ar_scope_init(&scope, call->tenant->db, call->pool);
	if (ar_str_starts(bearer, AR_STR(AUTH_KEY_PREFIX)))
		return key_find(&scope, bearer, ret);
	if (auth_token_check(call->pool, state, call->tenant->name, bearer, &claims) != 0)
		return -1;
	return user_find(&scope, &claims, ret);
}

/* ---- remembering ---- */

static struct caller *caller_new(struct ar_pool *pool, const struct found *found)
{
	struct ar_who *who = ar_who_limited(pool, found->kind, found->id, found->permissions);
	struct caller *caller = ar_new(pool, struct caller);

	caller->who = *who;
	caller->who.session = ar_str_dup(pool, found->session);
	if (found->auth != NULL)
		caller->who.auth = ar_json_copy(pool, found->auth);
	caller->expires_ms = found->expires_ms;
	return caller;
}

/* Two calls may have verified the same text at once: the later one stays. */
static struct caller *caller_keep(struct auth_callers *callers, struct ar_str key,
				  const struct found *found)
{
	struct generation *now = callers->current;
	struct caller *caller;

	if (ar_map_count(now->map) >= CALLERS_MAX || ar_pool_size(now->pool) >= BYTES_MAX) {
		generation_unref(now);
		now = callers->current = generation_new();
	}
	caller = caller_new(now->pool, found);
	ar_map_set(now->map, key, caller);
	return caller;
}

AR_YIELDS int auth_authenticate(struct ar_call *call, struct ar_str bearer,
				const struct ar_who **ret)
{
	unsigned char digest[AR_SHA256_LEN] = { 0 };
	struct ar_str key = ar_str_n((char *)digest, sizeof(digest));
	struct found found = { 0 };
	struct auth_state *state;
	struct caller *caller;

	if (bearer.n > JWS_MAX)
		return ar_fail_why(AR_E_UNAUTHORIZED, "bearer too long");
	if (auth_state_get(call, &state) != 0)
		return -1;
	ar_sha256(bearer.p, bearer.n, digest);
	caller = ar_map_get(state->callers->current->map, key);
	if (caller == NULL) {
		if (bearer_find(call, state, bearer, &found) != 0)
			return -1;
		caller = caller_keep(state->callers, key, &found);
	}
	if (caller->expires_ms <= ar_now_ms())
		return ar_fail_why(AR_E_UNAUTHORIZED, "expired");
	state->callers->current->refs++; /* where the caller is: nothing has waited since */
	ar_defer(call->pool, generation_unref, state->callers->current);
	*ret = &caller->who;
	return 0;
}
