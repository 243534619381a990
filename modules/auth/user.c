/*
 * user.c - a tenant's users, and what each may change about itself.
 *
 * A user and the event that announces it are stored in one commit. Passwords are hashed before the
 * first write, since a unit of work waits for nothing but the store.
 */
#include "auth/auth_int.h"

AR_YIELDS int auth_event(struct ar_call *call, const char *topic, struct ar_str id,
			 const char *more_key, struct ar_str more)
{
	struct ar_json *data = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(data, AR_STR("id"), ar_json_str(call->pool, id));
	if (more_key != NULL)
		ar_json_set(data, ar_str(more_key), ar_json_str(call->pool, more));
	return ar_publish(&call->scope, topic, id, data, NULL);
}

AR_YIELDS static int updated_event(struct ar_call *call, struct ar_str id)
{
	return auth_event(call, "auth.user.updated", id, NULL, AR_STR_NONE);
}

int auth_may_grant(struct ar_call *call, const struct ar_json *permissions)
{
	ar_json_each (p, permissions)
		if (!ar_who_may(call->who, p->s))
			return ar_fail(AUTH_E_ESCALATION, "permission", ar_strz(call->pool, p->s));
	return 0;
}

/*
 * Rules may ask for a role by its name, so a role is more than its permissions: to give one takes a
 * right of its own, and all that the role gives. In the unit of work that gives it.
 */
AR_YIELDS static int roles_check(struct ar_call *call, const struct ar_json *roles)
{
	struct ar_json *permissions;
	struct ar_rows rows;
	size_t at = 0;

	if (!ar_who_may(call->who, AR_STR(AUTH_ASSIGN)))
		return ar_fail(AR_E_FORBIDDEN, "permission", AUTH_ASSIGN);
	ar_json_each (role, roles) {
		if (ar_query(&call->scope, &rows, "SELECT name FROM auth_roles WHERE name = ?",
			     AR_ARGS(AR_J_STR(role->s))) != 0)
			return -1;
		if (rows.count == 0)
			return ar_fail_field(ar_printf(call->pool, "roles.%zu", at), "not-found");
		if (auth_names(&call->scope,
			       "SELECT permission FROM auth_role_permissions WHERE role = ?",
			       role->s, &permissions) != 0 ||
		    auth_may_grant(call, permissions) != 0)
			return -1;
		at++;
	}
	return 0;
}

AR_YIELDS static int roles_insert(struct ar_call *call, struct ar_str id,
				  const struct ar_json *roles)
{
	ar_json_each (role, roles)
		if (ar_exec(&call->scope,
			    "INSERT INTO auth_user_roles (user_id, role) VALUES (?, ?) "
			    "ON CONFLICT DO NOTHING",
			    AR_ARGS(AR_J_STR(id), AR_J_STR(role->s)), NULL) != 0)
			return -1;
	return 0;
}

AR_YIELDS int auth_user_insert(struct ar_call *call, const struct auth_new_user *user,
			       struct ar_str *ret_id)
{
	struct ar_str id = ar_id(call->pool), email = ar_str_lower(call->pool, user->email);
	struct ar_str data =
		user->data != NULL ? ar_json_print(call->pool, user->data) : AR_STR("{}");
	int64_t now = ar_now_ms();

	if (ar_exec(&call->scope,
		    "INSERT INTO auth_users (id, email, name, password, locale, data, verified, "
		    "disabled, created, updated) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?)",
		    AR_ARGS(AR_J_STR(id), AR_J_STR(email), AR_J_STR(user->name),
			    AR_J_STR(user->password_hash), AR_J_STR(user->locale), AR_J_STR(data),
			    AR_J_INT(now), AR_J_INT(now)),
		    NULL) != 0)
		return ar_err_is(AR_E_UNIQUE) ? ar_fail_over(AUTH_E_EMAIL_TAKEN) : -1;
	if (user->roles != NULL && roles_insert(call, id, user->roles) != 0)
		return -1;
	*ret_id = id;
	return auth_event(call, "auth.user.created", id, "email", email);
}

AR_YIELDS static int roles_write(struct ar_call *call, struct ar_str id, struct ar_jw *w)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT role FROM auth_user_roles WHERE user_id = ? ORDER BY role",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	ar_jw_keyz(w, "roles");
	ar_jw_array(w);
	while (ar_rows_next(&rows))
		ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_array_end(w);
	return 0;
}

AR_YIELDS int auth_user_write(struct ar_call *call, struct ar_str id, struct ar_jw *w)
{
	static const char *const texts[] = { "id", "email", "name", "locale" };
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT id, email, name, locale, data, verified, disabled, created, updated "
		     "FROM auth_users WHERE id = ?",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "user");
	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		ar_jw_keyz(w, texts[i]);
		ar_jw_str(w, ar_col_str(&rows, i));
	}
	ar_jw_keyz(w, "data");
	ar_jw_raw(w, ar_col_str(&rows, 4));
	ar_jw_keyz(w, "verified");
	ar_jw_bool(w, ar_col_int(&rows, 5) != 0);
	ar_jw_keyz(w, "disabled");
	ar_jw_bool(w, ar_col_int(&rows, 6) != 0);
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 7));
	ar_jw_keyz(w, "updated");
	ar_jw_time(w, ar_col_int(&rows, 8));
	if (roles_write(call, id, w) != 0)
		return -1;
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int auth_user_reply(struct ar_call *call, struct ar_str id, int status)
{
	return auth_user_write(call, id, ar_reply_json(call, status));
}

AR_YIELDS int auth_user_create(struct ar_call *call)
{
	struct auth_new_user user = {
		.email = ar_in_str(call, "email"),
		.name = ar_in_str(call, "name"),
		.locale = ar_in_str(call, "locale"),
		.roles = ar_in(call, "roles"),
		.data = ar_in(call, "data"),
	};
	struct ar_str password = ar_in_str(call, "password"), id;

	/* Without a password the account cannot sign in until one is set. */
	if (password.n > 0 && auth_password_hash(call->pool, password, &user.password_hash) != 0)
		return -1;
	if (ar_begin(&call->scope) != 0 ||
	    (user.roles != NULL && user.roles->count > 0 && roles_check(call, user.roles) != 0))
		return -1;
	if (auth_user_insert(call, &user, &id) != 0)
		return -1;
	return auth_user_reply(call, id, 0);
}

AR_YIELDS int auth_user_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ "id" },
		{ "email" },
		{ "name" },
		{ "locale" },
		{ "data", .type = AR_LIST_JSON },
		{ "verified", .type = AR_LIST_BOOL },
		{ "disabled", .type = AR_LIST_BOOL },
		{ "created", .type = AR_LIST_TIME },
		{ "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "auth_users", columns, "-created" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS int auth_user_get(struct ar_call *call)
{
	return auth_user_reply(call, ar_in_str(call, "id"), 0);
}

/* Nobody can lock a tenant out by accident: one enabled administrator stays. */
AR_YIELDS static int last_admin_check(struct ar_call *call, bool was_admin)
{
	struct ar_rows rows;

	if (!was_admin)
		return 0;
	/* Two that demote each other at once meet here. */
	if (ar_query_lock(&call->scope, &rows,
			  "SELECT name FROM auth_roles WHERE name = '" AUTH_ROLE_ADMIN "'",
			  AR_NO_ARGS) != 0 ||
	    ar_query(&call->scope, &rows,
		     "SELECT count(*) FROM auth_user_roles r JOIN auth_users u ON u.id = r.user_id "
		     "WHERE r.role = '" AUTH_ROLE_ADMIN "' AND u.disabled = 0",
		     AR_NO_ARGS) != 0)
		return -1;
	ar_rows_next(&rows);
	return ar_col_int(&rows, 0) > 0 ? 0 : ar_fail(AUTH_E_LAST_ADMIN);
}

AR_YIELDS static int is_admin(struct ar_call *call, struct ar_str id, bool *ret)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT 1 FROM auth_user_roles WHERE user_id = ? AND role = '" AUTH_ROLE_ADMIN
		     "'",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	*ret = rows.count > 0;
	return 0;
}

/* Who is more powerful than the caller is not the caller's to change. */
AR_YIELDS int auth_may_manage(struct ar_call *call, struct ar_str id)
{
	struct ar_json *permissions;
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows, "SELECT id FROM auth_users WHERE id = ?",
			  AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (rows.count == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "user");
	if (auth_names(&call->scope, auth_sql_permissions, id, &permissions) != 0)
		return -1;
	return auth_may_grant(call, permissions);
}

AR_YIELDS static int roles_replace(struct ar_call *call, struct ar_str id,
				   const struct ar_json *roles)
{
	if (roles == NULL)
		return 0;
	if (roles_check(call, roles) != 0 ||
	    ar_exec(&call->scope, "DELETE FROM auth_user_roles WHERE user_id = ?",
		    AR_ARGS(AR_J_STR(id)), NULL) != 0)
		return -1;
	return roles_insert(call, id, roles);
}

AR_YIELDS static int password_set(struct ar_call *call, struct ar_str id, struct ar_str hash,
				  struct ar_str but)
{
	if (ar_exec(&call->scope, "UPDATE auth_users SET password = ?, updated = ? WHERE id = ?",
		    AR_ARGS(AR_J_STR(hash), AR_J_INT(ar_now_ms()), AR_J_STR(id)), NULL) != 0)
		return -1;
	return auth_sessions_end(call, id, but);
}

/* What the input names of a user; each action's table says which of them it takes. */
AR_YIELDS static int columns_update(struct ar_call *call, struct ar_str id)
{
	static const struct {
		const char *field, *sql;
	} columns[] = {
		{ "email", "UPDATE auth_users SET email = ?, updated = ? WHERE id = ?" },
		{ "name", "UPDATE auth_users SET name = ?, updated = ? WHERE id = ?" },
		{ "locale", "UPDATE auth_users SET locale = ?, updated = ? WHERE id = ?" },
		{ "data", "UPDATE auth_users SET data = ?, updated = ? WHERE id = ?" },
		{ "verified", "UPDATE auth_users SET verified = ?, updated = ? WHERE id = ?" },
		{ "disabled", "UPDATE auth_users SET disabled = ?, updated = ? WHERE id = ?" },
	};

	for (size_t i = 0; i < AR_COUNT(columns); i++) {
		const struct ar_json *given = ar_in(call, columns[i].field);
		struct ar_json value;

		if (given == NULL)
			continue;
		value = *given;
		if (i == 0)
			value = AR_J_STR(ar_str_lower(call->pool, given->s));
		if (given->type == AR_BOOL)
			value = AR_J_INT(given->b ? 1 : 0);
		if (ar_exec(&call->scope, columns[i].sql,
			    AR_ARGS(value, AR_J_INT(ar_now_ms()), AR_J_STR(id)), NULL) != 0)
			return ar_err_is(AR_E_UNIQUE) ? ar_fail_over(AUTH_E_EMAIL_TAKEN) : -1;
	}
	return 0;
}

/* An address that changes is not verified, and who is disabled is signed out for good. */
AR_YIELDS static int consequences(struct ar_call *call, struct ar_str id)
{
	if (ar_in(call, "email") != NULL && ar_in(call, "verified") == NULL &&
	    ar_exec(&call->scope, "UPDATE auth_users SET verified = 0 WHERE id = ?",
		    AR_ARGS(AR_J_STR(id)), NULL) != 0)
		return -1;
	if (ar_in_bool(call, "disabled", false) && auth_sessions_end(call, id, AR_STR("")) != 0)
		return -1;
	return 0;
}

AR_YIELDS int auth_user_update(struct ar_call *call)
{
	struct ar_str id = ar_in_str(call, "id"), password = ar_in_str(call, "password"), hash;
	bool admin;

	if (password.n > 0 && auth_password_hash(call->pool, password, &hash) != 0)
		return -1;
	if (auth_may_manage(call, id) != 0 || is_admin(call, id, &admin) != 0 ||
	    columns_update(call, id) != 0 || roles_replace(call, id, ar_in(call, "roles")) != 0)
		return -1;
	if (password.n > 0 && password_set(call, id, hash, AR_STR("")) != 0)
		return -1;
	if (consequences(call, id) != 0 || last_admin_check(call, admin) != 0 ||
	    auth_changes(call) != 0 || updated_event(call, id) != 0)
		return -1;
	return auth_user_reply(call, id, 0);
}

AR_YIELDS int auth_user_delete(struct ar_call *call)
{
	struct ar_str id = ar_in_str(call, "id");
	bool admin;

	if (auth_may_manage(call, id) != 0 || is_admin(call, id, &admin) != 0)
		return -1;
	if (ar_exec(&call->scope, "DELETE FROM auth_users WHERE id = ?", AR_ARGS(AR_J_STR(id)),
		    NULL) != 0)
		return ar_err_is(AR_E_REFERENCE) ? ar_fail_over(AUTH_E_REFERENCED) : -1;
	if (last_admin_check(call, admin) != 0 || auth_changes(call) != 0 ||
	    auth_event(call, "auth.user.deleted", id, NULL, AR_STR_NONE) != 0)
		return -1;
	return ar_reply_none(call);
}

/* ---- oneself ---- */

int auth_is_user(struct ar_call *call)
{
	return call->who->kind == AR_WHO_USER ? 0 : ar_fail(AR_E_FORBIDDEN);
}

AR_YIELDS int auth_me(struct ar_call *call)
{
	if (auth_is_user(call) != 0)
		return -1;
	return auth_user_reply(call, call->who->id, 0);
}

AR_YIELDS int auth_me_update(struct ar_call *call)
{
	if (auth_is_user(call) != 0 || columns_update(call, call->who->id) != 0 ||
	    auth_changes(call) != 0 || updated_event(call, call->who->id) != 0)
		return -1;
	return auth_user_reply(call, call->who->id, 0);
}

/* The session that asks stays; all others of the user end. A stolen token is no way to guess the
 * password faster than signing in would be. */
AR_YIELDS int auth_password_change(struct ar_call *call)
{
	struct ar_str hash, id = call->who->id;
	struct ar_rows rows;

	if (auth_is_user(call) != 0 || auth_throttle_enter(call, id) != 0)
		return -1;
	if (ar_query(&call->scope, &rows, "SELECT password FROM auth_users WHERE id = ?",
		     AR_ARGS(AR_J_STR(id))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_UNAUTHORIZED);
	if (auth_password_check(call->pool, ar_in_str(call, "current"), ar_col_str(&rows, 0)) != 0)
		return ar_err_is(AUTH_E_CREDENTIALS) ? ar_fail_field("current", "wrong") : -1;
	auth_throttle_good(call, id);
	if (auth_password_hash(call->pool, ar_in_str(call, "password"), &hash) != 0 ||
	    password_set(call, id, hash, call->who->session) != 0 || auth_changes(call) != 0 ||
	    updated_event(call, id) != 0)
		return -1;
	return ar_reply_none(call);
}
