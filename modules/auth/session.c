/*
 * session.c - sign-up, sign-in, refresh, sign-out, and the list of one's own sessions.
 *
 * A refresh token is good for one use. Using one again means that two hold it: the whole session is
 * revoked, and with it the access tokens made from it. Of two at once one wins, and the other one
 * ends the session: nobody can tell who of them is the thief.
 */
#include "auth/auth_int.h"

#include "config/config.h"
#include "http/server.h"

#define AGENT_MAX 200

struct fresh {
	struct ar_str user_id, session_id, access, refresh;
};

AR_YIELDS static int refresh_insert(struct ar_call *call, struct fresh *fresh)
{
	fresh->refresh = ar_token(call->pool, 32);
	return ar_exec(
		&call->scope,
		"INSERT INTO auth_refresh_tokens (hash, session_id, created) VALUES (?, ?, ?)",
		AR_ARGS(AR_J_STR(ar_sha256_hex(call->pool, fresh->refresh)),
			AR_J_STR(fresh->session_id), AR_J_INT(ar_now_ms())),
		NULL);
}

static struct ar_str user_agent(struct ar_call *call)
{
	struct ar_str agent = AR_STR_NONE;

	if (call->http != NULL)
		agent = ar_utf8_head(ar_http_header(call->http, "user-agent"), AGENT_MAX);
	return ar_utf8_valid(agent) && agent.n > 0 ? agent : AR_STR("");
}

/* Opens a session; sessions long over go on the way, a few at a time. */
AR_YIELDS static int session_open(struct ar_call *call, struct ar_str user_id, struct fresh *fresh)
{
	int64_t now = ar_now_ms(), ttl = ar_config_int("refresh-ttl-s") * 1000;

	fresh->user_id = user_id;
	fresh->session_id = ar_id(call->pool);
	if (ar_exec(&call->scope,
		    "INSERT INTO auth_sessions (id, user_id, created, used, expires, address, "
		    "agent) "
		    "VALUES (?, ?, ?, ?, ?, ?, ?)",
		    AR_ARGS(AR_J_STR(fresh->session_id), AR_J_STR(user_id), AR_J_INT(now),
			    AR_J_INT(now), AR_J_INT(now + ttl), AR_J_STR(call->client),
			    AR_J_STR(user_agent(call))),
		    NULL) != 0 ||
	    refresh_insert(call, fresh) != 0 ||
	    auth_event(call, "auth.session.created", fresh->session_id, "userId", user_id) != 0)
		return -1;
	return ar_exec(&call->scope,
		       "DELETE FROM auth_sessions WHERE id IN "
		       "(SELECT id FROM auth_sessions WHERE expires < ? LIMIT 20)",
		       AR_ARGS(AR_J_INT(now)), NULL);
}

AR_YIELDS static int tokens_reply(struct ar_call *call, const struct fresh *fresh, int status)
{
	struct ar_jw *w = ar_reply_json(call, status);

	ar_jw_object(w);
	ar_jw_keyz(w, "accessToken");
	ar_jw_str(w, fresh->access);
	ar_jw_keyz(w, "refreshToken");
	ar_jw_str(w, fresh->refresh);
	ar_jw_keyz(w, "tokenType");
	ar_jw_strz(w, "Bearer");
	ar_jw_keyz(w, "expiresIn");
	ar_jw_int(w, ar_config_int("access-ttl-s"));
	ar_jw_keyz(w, "user");
	if (auth_user_write(call, fresh->user_id, w) != 0)
		return -1;
	ar_jw_object_end(w);
	ar_reply_header(call, "Cache-Control", AR_STR("no-store"));
	return 0;
}

AR_YIELDS static int signed_in(struct ar_call *call, const struct auth_signing *signing,
			       struct ar_str user_id, int status)
{
	struct fresh fresh = { 0 };

	if (session_open(call, user_id, &fresh) != 0 ||
	    auth_token_make(call, signing, user_id, fresh.session_id, &fresh.access) != 0)
		return -1;
	return tokens_reply(call, &fresh, status);
}

AR_YIELDS int auth_signup(struct ar_call *call)
{
	struct auth_new_user user = {
		.email = ar_in_str(call, "email"),
		.name = ar_in_str(call, "name"),
		.locale = ar_in_str(call, "locale"),
	};
	struct auth_signing *signing;
	struct ar_json *open;
	struct ar_str id;

	if (auth_signing_get(call, &signing) != 0 ||
	    ar_setting_get(call->tenant, call->pool, "auth.signup", &open) != 0)
		return -1;
	if (open != NULL && open->type == AR_BOOL && !open->b)
		return ar_fail(AUTH_E_SIGNUP_CLOSED);
	if (auth_password_hash(call->pool, ar_in_str(call, "password"), &user.password_hash) != 0 ||
	    auth_user_insert(call, &user, &id) != 0)
		return -1;
	return signed_in(call, signing, id, 201);
}

/* While the hash was made, the user may have been disabled or given another password, which ended the
 * sessions that there were: this one must not slip through. */
AR_YIELDS static int still_good(struct ar_call *call, struct ar_str id, struct ar_str hash)
{
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows,
			  "SELECT 1 FROM auth_users WHERE id = ? AND password = ? AND disabled = 0",
			  AR_ARGS(AR_J_STR(id), AR_J_STR(hash))) != 0)
		return -1;
	return rows.count > 0 ? 0 : ar_fail(AUTH_E_CREDENTIALS);
}

AR_YIELDS int auth_login(struct ar_call *call)
{
	struct ar_str email = ar_str_lower(call->pool, ar_in_str(call, "email"));
	struct ar_str id = AR_STR_NONE, hash = AR_STR_NONE;
	struct auth_signing *signing;
	struct ar_rows rows;

	if (auth_throttle_enter(call, email) != 0 || auth_signing_get(call, &signing) != 0)
		return -1;
	if (ar_query(&call->scope, &rows,
		     "SELECT id, password FROM auth_users WHERE email = ? AND disabled = 0",
		     AR_ARGS(AR_J_STR(email))) != 0)
		return -1;
	if (ar_rows_next(&rows)) {
		id = ar_col_str(&rows, 0);
		hash = ar_col_str(&rows, 1);
	}
	if (auth_password_check(call->pool, ar_in_str(call, "password"), hash) != 0)
		return -1;
	auth_throttle_good(call, email);
	if (still_good(call, id, hash) != 0)
		return -1;
	return signed_in(call, signing, id, 0);
}

AR_YIELDS static int session_revoke(struct ar_call *call, struct ar_str session_id)
{
	if (ar_exec(&call->scope,
		    "UPDATE auth_sessions SET revoked = ? WHERE id = ? AND revoked IS NULL",
		    AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_STR(session_id)), NULL) != 0 ||
	    auth_changes(call) != 0)
		return -1;
	return auth_event(call, "auth.session.revoked", session_id, NULL, AR_STR_NONE);
}

AR_YIELDS int auth_sessions_end(struct ar_call *call, struct ar_str user_id, struct ar_str but)
{
	return ar_exec(&call->scope,
		       "UPDATE auth_sessions SET revoked = ? WHERE user_id = ? AND id <> ? "
		       "AND revoked IS NULL",
		       AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_STR(user_id), AR_J_STR(but)), NULL);
}

/* The refusal must not roll the revocation back: it is committed before the error goes out. */
AR_YIELDS static int reuse_found(struct ar_call *call, struct ar_str session_id)
{
	if (session_revoke(call, session_id) != 0 || ar_commit(&call->scope) != 0)
		return -1;
	return ar_fail(AUTH_E_REUSED);
}

/* Tokens that were used long ago: a session that lives for years keeps no more than a month's. */
AR_YIELDS static int refresh_purge(struct ar_call *call, struct ar_str session_id, int64_t now)
{
	return ar_exec(&call->scope,
		       "DELETE FROM auth_refresh_tokens WHERE session_id = ? AND used < ?",
		       AR_ARGS(AR_J_STR(session_id),
			       AR_J_INT(now - ar_config_int("refresh-ttl-s") * 1000)),
		       NULL);
}

AR_YIELDS int auth_refresh(struct ar_call *call)
{
	struct ar_str hash = ar_sha256_hex(call->pool, ar_in_str(call, "refreshToken"));
	int64_t now = ar_now_ms();
	struct fresh fresh = { 0 };
	struct auth_signing *signing;
	struct ar_rows rows;

	if (auth_signing_get(call, &signing) != 0)
		return -1;
	if (ar_query_lock(&call->scope, &rows,
			  "SELECT t.session_id, s.user_id, t.used FROM auth_refresh_tokens t "
			  "JOIN auth_sessions s ON s.id = t.session_id "
			  "JOIN auth_users u ON u.id = s.user_id WHERE t.hash = ? "
			  "AND s.revoked IS NULL AND s.expires > ? AND u.disabled = 0",
			  AR_ARGS(AR_J_STR(hash), AR_J_INT(now))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AUTH_E_REFRESH);
	fresh.session_id = ar_col_str(&rows, 0);
	fresh.user_id = ar_col_str(&rows, 1);
	if (!ar_col_null(&rows, 2))
		return reuse_found(call, fresh.session_id);
	if (ar_exec(&call->scope, "UPDATE auth_refresh_tokens SET used = ? WHERE hash = ?",
		    AR_ARGS(AR_J_INT(now), AR_J_STR(hash)), NULL) != 0 ||
	    ar_exec(&call->scope, "UPDATE auth_sessions SET used = ?, expires = ? WHERE id = ?",
		    AR_ARGS(AR_J_INT(now), AR_J_INT(now + ar_config_int("refresh-ttl-s") * 1000),
			    AR_J_STR(fresh.session_id)),
		    NULL) != 0 ||
	    refresh_purge(call, fresh.session_id, now) != 0 || refresh_insert(call, &fresh) != 0 ||
	    auth_token_make(call, signing, fresh.user_id, fresh.session_id, &fresh.access) != 0)
		return -1;
	return tokens_reply(call, &fresh, 0);
}

AR_YIELDS int auth_logout(struct ar_call *call)
{
	if (auth_is_user(call) != 0 || session_revoke(call, call->who->session) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int auth_session_list(struct ar_call *call)
{
	struct ar_str own = call->who->session;
	const char *current = ar_printf(call->pool, "(CASE WHEN id = '%.*s' THEN 1 ELSE 0 END)",
					ar_id_valid(own) ? AR_ID_LEN : 0, own.p);
	const struct ar_list_column columns[] = {
		{ "id" },
		{ "created", .type = AR_LIST_TIME },
		{ "used", .type = AR_LIST_TIME },
		{ "expires", .type = AR_LIST_TIME },
		{ "address" },
		{ "agent" },
		{ "current", current, AR_LIST_BOOL },
		{ 0 },
	};
	const struct ar_list_table table = { "auth_sessions", columns, "-created" };

	if (auth_is_user(call) != 0)
		return -1;
	return ar_list_table(call, &table, "user_id = ? AND revoked IS NULL AND expires > ?",
			     AR_ARGS(AR_J_STR(call->who->id), AR_J_INT(ar_now_ms())));
}

/* One's own session; with the right to manage users, those of who is not more powerful. */
AR_YIELDS int auth_session_delete(struct ar_call *call)
{
	bool all = ar_who_may(call->who, AR_STR("auth.users.write")), own;
	struct ar_str id = ar_in_str(call, "id");
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows,
			  "SELECT user_id FROM auth_sessions WHERE id = ? AND revoked IS NULL",
			  AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	own = ar_rows_next(&rows) && call->who->kind == AR_WHO_USER &&
	      ar_str_eq(ar_col_str(&rows, 0), call->who->id);
	if (rows.count == 0 || (!own && !all))
		return ar_fail(AR_E_NOT_FOUND, "what", "session");
	if (!own && auth_may_manage(call, ar_col_str(&rows, 0)) != 0)
		return -1;
	if (session_revoke(call, id) != 0)
		return -1;
	return ar_reply_none(call);
}
