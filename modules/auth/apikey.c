/*
 * apikey.c - keys for programs: a name, a list of permissions, perhaps an end. The secret is shown
 * once, when the key is made; only its SHA-256 is kept.
 *
 * A key is no way past its maker's end. A user's key gives at most what the user may at that moment,
 * and ends with the user; a key that a key made belongs to the same user, ends no later than its
 * maker, and goes when that one is deleted.
 */
#include "auth/auth_int.h"

AR_YIELDS int auth_key_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ "id" },
		{ "name" },
		{ "permissions", .type = AR_LIST_JSON },
		{ "createdBy", "created_by" },
		{ "created", .type = AR_LIST_TIME },
		{ "expires", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "auth_keys", columns, "-created" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

struct lineage {
	struct ar_json owner, parent, expires; /* null: none */
};

/* Whom the new key belongs to. A key that makes one is there: it was checked a moment ago, but may
 * have been deleted since. */
AR_YIELDS static int lineage_of(struct ar_call *call, struct lineage *ret)
{
	struct ar_rows rows;

	*ret = (struct lineage){ AR_J_NULL, AR_J_NULL, AR_J_NULL };
	if (call->who->kind == AR_WHO_USER)
		ret->owner = AR_J_STR(call->who->id);
	if (call->who->kind != AR_WHO_KEY)
		return 0;
	if (ar_query_lock(&call->scope, &rows, "SELECT owner, expires FROM auth_keys WHERE id = ?",
			  AR_ARGS(AR_J_STR(call->who->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_UNAUTHORIZED);
	ret->parent = AR_J_STR(call->who->id);
	ret->owner = ar_col_value(&rows, 0);
	ret->expires = ar_col_value(&rows, 1);
	return 0;
}

static int expiry(struct ar_call *call, const struct lineage *lineage, struct ar_json *ret)
{
	const struct ar_json *expires = ar_in(call, "expires");
	int64_t ms;

	*ret = lineage->expires;
	if (expires == NULL)
		return 0;
	if (!ar_time_parse(expires->s, &ms) || ms <= ar_now_ms())
		return ar_fail_field("expires", "in-the-past");
	if (lineage->expires.type == AR_INT && ms > lineage->expires.i)
		return ar_fail_field("expires", "after-its-maker");
	*ret = AR_J_INT(ms);
	return 0;
}

static void key_write(struct ar_jw *w, struct ar_call *call, struct ar_str id, struct ar_str secret,
		      const struct ar_json *expires, int64_t now)
{
	ar_jw_object(w);
	ar_jw_keyz(w, "id");
	ar_jw_str(w, id);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, ar_in_str(call, "name"));
	ar_jw_keyz(w, "permissions");
	ar_jw_value(w, ar_in(call, "permissions"));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, now);
	ar_jw_keyz(w, "expires");
	if (expires->type == AR_INT)
		ar_jw_time(w, expires->i);
	else
		ar_jw_null(w);
	ar_jw_keyz(w, "key");
	ar_jw_str(w, ar_strf(call->pool, AUTH_KEY_PREFIX "%.*s_%.*s", AR_FMT(id), AR_FMT(secret)));
	ar_jw_object_end(w);
}

AR_YIELDS int auth_key_create(struct ar_call *call)
{
	struct ar_str id = ar_id(call->pool), secret = ar_token(call->pool, 32);
	const struct ar_json *permissions = ar_in(call, "permissions");
	int64_t now = ar_now_ms();
	struct lineage lineage;
	struct ar_json expires;

	if (auth_may_grant(call, permissions) != 0 || lineage_of(call, &lineage) != 0 ||
	    expiry(call, &lineage, &expires) != 0)
		return -1;
	if (ar_exec(&call->scope,
		    "INSERT INTO auth_keys (id, name, hash, permissions, owner, parent, "
		    "created_by, "
		    "created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    AR_ARGS(AR_J_STR(id), AR_J_STR(ar_in_str(call, "name")),
			    AR_J_STR(ar_sha256_hex(call->pool, secret)),
			    AR_J_STR(ar_json_print(call->pool, permissions)), lineage.owner,
			    lineage.parent, AR_J_STR(call->who->id), AR_J_INT(now), expires),
		    NULL) != 0 ||
	    auth_event(call, "auth.key.created", id, "name", ar_in_str(call, "name")) != 0)
		return -1;
	key_write(ar_reply_json(call, 0), call, id, secret, &expires, now);
	ar_reply_header(call, "Cache-Control", AR_STR("no-store"));
	return 0;
}

AR_YIELDS int auth_key_delete(struct ar_call *call)
{
	struct ar_str id = ar_in_str(call, "id");
	int64_t changed = 0;

	if (ar_exec(&call->scope, "DELETE FROM auth_keys WHERE id = ?", AR_ARGS(AR_J_STR(id)),
		    &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "key");
	if (auth_changes(call) != 0 ||
	    auth_event(call, "auth.key.deleted", id, NULL, AR_STR_NONE) != 0)
		return -1;
	return ar_reply_none(call);
}
