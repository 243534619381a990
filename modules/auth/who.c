/*
 * who.c - turns what stands behind "Bearer " into a caller: an access token or an API key.
 *
 * What was verified once is remembered in the tenant's auth state under the SHA-256 of the text, so
 * that the common request pays for a look-up and not for a signature. The state is replaced when any
 * user, role, session or key of the tenant changes: nothing remembered outlives a revocation.
 */
#include "auth/auth_int.h"

#include <stdlib.h>

#define CALLERS_MAX 20000 /* per tenant and loop; then all are forgotten */

struct caller {
	struct ar_pool *pool;
	struct ar_who who;
	int64_t expires_ms; /* wall clock; INT64_MAX: never */
	unsigned refs;      /* the table's, and one of each call under way; of one loop */
};

static void caller_unref(void *arg)
{
	struct caller *caller = arg;

	if (--caller->refs == 0)
		ar_pool_free(caller->pool);
}

void auth_callers_free(struct ar_map *callers)
{
	ar_map_free(callers, caller_unref);
}

static int str_order(const void *a, const void *b)
{
	return ar_str_cmp(*(const struct ar_str *)a, *(const struct ar_str *)b);
}

static void permissions_set(struct caller *caller, const struct ar_json *list)
{
	struct ar_str *permissions = ar_new_n(caller->pool, struct ar_str, list->count + 1);
	size_t n = 0;

	ar_json_each(p, list)
		if (p->type == AR_STRING)
			permissions[n++] = ar_str_dup(caller->pool, p->s);
	qsort(permissions, n, sizeof(*permissions), str_order);
	caller->who.permissions = permissions;
	caller->who.npermissions = n;
}

AR_YIELDS static int column_list(struct ar_scope *scope, const char *sql, struct ar_str arg,
				 struct ar_json **ret)
{
	struct ar_json *list = ar_json_new(scope->pool, AR_ARRAY);
	struct ar_rows rows;

	if (ar_query(scope, &rows, sql, AR_ARGS(AR_J_STR(arg))) != 0)
		return -1;
	while (ar_rows_next(&rows))
		ar_json_add(list, ar_json_str(scope->pool, ar_col_str(&rows, 0)));
	*ret = list;
	return 0;
}

static struct ar_json *auth_object(struct ar_pool *pool, struct ar_str id, const struct ar_rows *rows,
				   const struct ar_json *roles, const struct ar_json *permissions)
{
	struct ar_json *auth = ar_json_new(pool, AR_OBJECT);

	ar_json_set(auth, AR_STR("id"), ar_json_str(pool, ar_str_dup(pool, id)));
	ar_json_set(auth, AR_STR("email"), ar_json_str(pool, ar_str_dup(pool, ar_col_str(rows, 0))));
	ar_json_set(auth, AR_STR("name"), ar_json_str(pool, ar_str_dup(pool, ar_col_str(rows, 1))));
	ar_json_set(auth, AR_STR("verified"), ar_json_bool(pool, ar_col_int(rows, 2) != 0));
	ar_json_set(auth, AR_STR("roles"), ar_json_copy(pool, roles));
	ar_json_set(auth, AR_STR("permissions"), ar_json_copy(pool, permissions));
	return auth;
}

AR_YIELDS static int user_caller(struct ar_scope *scope, const struct auth_claims *claims,
				 struct caller *caller)
{
	struct ar_json *roles, *permissions;
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT u.email, u.name, u.verified FROM auth_sessions s "
		     "JOIN auth_users u ON u.id = s.user_id WHERE s.id = ? AND u.id = ? "
		     "AND s.revoked IS NULL AND s.expires > ? AND u.disabled = 0",
		     AR_ARGS(AR_J_STR(claims->session_id), AR_J_STR(claims->user_id),
			     AR_J_INT(ar_now_ms()))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail_why(AR_E_UNAUTHORIZED, "session is revoked or over, or user disabled");
	if (column_list(scope, "SELECT role FROM auth_user_roles WHERE user_id = ? ORDER BY role",
			claims->user_id, &roles) != 0 ||
	    column_list(scope,
			"SELECT DISTINCT p.permission FROM auth_user_roles r "
			"JOIN auth_role_permissions p ON p.role = r.role WHERE r.user_id = ?",
			claims->user_id, &permissions) != 0)
		return -1;
	caller->expires_ms = claims->expires_s * 1000;
	caller->who.kind = AR_WHO_USER;
	caller->who.id = ar_str_dup(caller->pool, claims->user_id);
	caller->who.session = ar_str_dup(caller->pool, claims->session_id);
	caller->who.auth = auth_object(caller->pool, claims->user_id, &rows, roles, permissions);
	permissions_set(caller, permissions);
	return 0;
}

/* "ark_" + 36 characters of the id + "_" + secret */
AR_YIELDS static int key_caller(struct ar_scope *scope, struct ar_str bearer, struct caller *caller)
{
	const size_t head = sizeof(AUTH_KEY_PREFIX) - 1;
	struct ar_str id = ar_str_sub(bearer, head, AR_ID_LEN), secret;
	struct ar_json *permissions;
	struct ar_rows rows;

	secret = ar_str_sub(bearer, head + AR_ID_LEN + 1, bearer.n);
	if (!ar_id_valid(id) || secret.n == 0 || bearer.p[head + AR_ID_LEN] != '_')
		return ar_fail_why(AR_E_UNAUTHORIZED, "key has a wrong form");
	if (ar_query(scope, &rows, "SELECT hash, permissions, expires FROM auth_keys WHERE id = ?",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows) ||
	    !ar_secret_eq(ar_col_str(&rows, 0), ar_sha256_hex(scope->pool, secret)))
		return ar_fail_why(AR_E_UNAUTHORIZED, "no such key");
	caller->expires_ms = ar_col_null(&rows, 2) ? INT64_MAX : ar_col_int(&rows, 2);
	if (caller->expires_ms <= ar_now_ms())
		return ar_fail_why(AR_E_UNAUTHORIZED, "key has expired");
	if (ar_json_parse(scope->pool, ar_col_str(&rows, 1), &ar_json_limits_default,
			  &permissions) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	caller->who.kind = AR_WHO_KEY;
	caller->who.id = ar_str_dup(caller->pool, id);
	permissions_set(caller, permissions);
	return 0;
}

AR_YIELDS static int caller_make(struct ar_call *call, struct auth_state *state, struct ar_str bearer,
				 struct caller *caller)
{
	struct ar_scope scope;
	struct auth_claims claims;

	ar_scope_init(&scope, call->tenant->db, call->pool);
	if (ar_str_starts(bearer, AR_STR(AUTH_KEY_PREFIX)))
		return key_caller(&scope, bearer, caller);
	if (auth_token_check(call->pool, state, call->tenant->name, bearer, &claims) != 0)
		return -1;
	return user_caller(&scope, &claims, caller);
}

/* Two calls may have verified the same text at once: the later one stays. */
static void caller_keep(struct auth_state *state, struct ar_str key, struct caller *caller)
{
	struct caller *before;

	if (ar_map_count(state->callers) >= CALLERS_MAX) {
		ar_map_free(state->callers, caller_unref);
		state->callers = ar_map_new();
	}
	caller->refs++;
	before = ar_map_set(state->callers, key, caller);
	if (before != NULL)
		caller_unref(before);
}

static const struct ar_who *caller_use(struct ar_call *call, struct caller *caller)
{
	caller->refs++;
	ar_defer(call->pool, caller_unref, caller);
	return &caller->who;
}

AR_YIELDS int auth_authenticate(struct ar_call *call, struct ar_str bearer,
				const struct ar_who **ret)
{
	unsigned char digest[AR_SHA256_LEN] = { 0 };
	struct ar_str key = ar_str_n((char *)digest, sizeof(digest));
	struct auth_state *state;
	struct caller *caller;
	struct ar_pool *pool;

	if (bearer.n > JWS_MAX)
		return ar_fail_why(AR_E_UNAUTHORIZED, "bearer too long");
	if (auth_state_get(call, &state) != 0)
		return -1;
	ar_sha256(bearer.p, bearer.n, digest);
	caller = ar_map_get(state->callers, key);
	if (caller == NULL) {
		pool = ar_pool_new();
		caller = ar_new(pool, struct caller);
		caller->pool = pool;
		if (caller_make(call, state, bearer, caller) != 0) {
			ar_pool_free(pool);
			return -1;
		}
		caller_keep(state, key, caller);
	}
	*ret = caller_use(call, caller);
	if (caller->expires_ms <= ar_now_ms())
		return ar_fail_why(AR_E_UNAUTHORIZED, "expired");
	return 0;
}
