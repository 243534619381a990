/*
 * role.c - roles are named lists of permissions; permissions are texts such as "customer:read".
 *
 * apprun's own permissions come from the action table. A tenant may name others, for its rules and
 * its functions to ask about. "*" stands for all, "auth.*" for a branch.
 */
#include "auth/auth_int.h"

static int role_changes(struct ar_call *call, const char *topic, struct ar_str name)
{
	struct ar_json *data = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(data, AR_STR("name"), ar_json_str(call->pool, name));
	if (auth_changes(call) != 0)
		return -1;
	return ar_publish(&call->scope, topic, name, data, NULL);
}

AR_YIELDS int auth_role_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ "name" },
		{ "description" },
		{ "created", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "auth_roles", columns, "name" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS static int role_reply(struct ar_call *call, struct ar_str name, int status)
{
	struct ar_jw *w = ar_reply_json(call, status);
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT name, description, created FROM auth_roles WHERE name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "role");
	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_keyz(w, "description");
	ar_jw_str(w, ar_col_str(&rows, 1));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 2));
	if (ar_query(&call->scope, &rows,
		     "SELECT permission FROM auth_role_permissions WHERE role = ? ORDER BY "
		     "permission",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	ar_jw_keyz(w, "permissions");
	ar_jw_array(w);
	while (ar_rows_next(&rows))
		ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_array_end(w);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS static int permissions_insert(struct ar_call *call, struct ar_str role,
					const struct ar_json *permissions)
{
	ar_json_each (p, permissions)
		if (ar_exec(&call->scope,
			    "INSERT INTO auth_role_permissions (role, permission) VALUES (?, ?) "
			    "ON CONFLICT DO NOTHING",
			    AR_ARGS(AR_J_STR(role), AR_J_STR(p->s)), NULL) != 0)
			return -1;
	return 0;
}

AR_YIELDS int auth_role_create(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name");
	const struct ar_json *permissions = ar_in(call, "permissions");

	if (auth_may_grant(call, permissions) != 0)
		return -1;
	if (ar_exec(&call->scope,
		    "INSERT INTO auth_roles (name, description, created) VALUES (?, ?, ?)",
		    AR_ARGS(AR_J_STR(name), AR_J_STR(ar_in_str(call, "description")),
			    AR_J_INT(ar_now_ms())),
		    NULL) != 0)
		return ar_err_is(AR_E_UNIQUE) ? ar_fail_over(AUTH_E_ROLE_EXISTS) : -1;
	if (permissions_insert(call, name, permissions) != 0 ||
	    role_changes(call, "auth.role.created", name) != 0)
		return -1;
	return role_reply(call, name, 0);
}

AR_YIELDS int auth_role_get(struct ar_call *call)
{
	return role_reply(call, ar_in_str(call, "name"), 0);
}

/* Locks the role and refuses one that gives more than the caller has, and the administrators'. */
AR_YIELDS static int may_change(struct ar_call *call, struct ar_str name)
{
	struct ar_json *permissions;
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows, "SELECT name FROM auth_roles WHERE name = ?",
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (rows.count == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "role");
	if (ar_str_is(name, AUTH_ROLE_ADMIN))
		return ar_fail(AUTH_E_LAST_ADMIN);
	if (auth_names(&call->scope, "SELECT permission FROM auth_role_permissions WHERE role = ?",
		       name, &permissions) != 0)
		return -1;
	return auth_may_grant(call, permissions);
}

AR_YIELDS int auth_role_update(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name");
	const struct ar_json *permissions = ar_in(call, "permissions");
	const struct ar_json *description = ar_in(call, "description");

	if (may_change(call, name) != 0)
		return -1;
	if (description != NULL &&
	    ar_exec(&call->scope, "UPDATE auth_roles SET description = ? WHERE name = ?",
		    AR_ARGS(*description, AR_J_STR(name)), NULL) != 0)
		return -1;
	if (permissions != NULL &&
	    (auth_may_grant(call, permissions) != 0 ||
	     ar_exec(&call->scope, "DELETE FROM auth_role_permissions WHERE role = ?",
		     AR_ARGS(AR_J_STR(name)), NULL) != 0 ||
	     permissions_insert(call, name, permissions) != 0))
		return -1;
	if (role_changes(call, "auth.role.updated", name) != 0)
		return -1;
	return role_reply(call, name, 0);
}

AR_YIELDS int auth_role_delete(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name");

	if (may_change(call, name) != 0 ||
	    ar_exec(&call->scope, "DELETE FROM auth_roles WHERE name = ?", AR_ARGS(AR_J_STR(name)),
		    NULL) != 0 ||
	    role_changes(call, "auth.role.deleted", name) != 0)
		return -1;
	return ar_reply_none(call);
}

/* ---- permissions ---- */

static void permission_add(struct ar_json *all, struct ar_pool *pool, struct ar_str name,
			   struct ar_str description)
{
	struct ar_json *item;

	if (ar_json_get_str(all, name) != NULL)
		return;
	item = ar_json_new(pool, AR_OBJECT);
	ar_json_set(item, AR_STR("name"), ar_json_str(pool, name));
	ar_json_set(item, AR_STR("description"), ar_json_str(pool, description));
	ar_json_set(all, name, item);
}

/* What the modules know: of their action rows, and what they ask for inside. */
static void permissions_of_modules(struct ar_json *all, struct ar_pool *pool)
{
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		for (const char *const *p = (*m)->permissions; p != NULL && *p != NULL; p += 2)
			permission_add(all, pool, ar_str(p[0]), ar_str(p[1]));
		for (const struct ar_action *a = (*m)->actions; a != NULL && a->name != NULL; a++)
			if (strlen(a->allow) > 1 && !(a->flags & AR_A_PLATFORM))
				permission_add(all, pool, ar_str(a->allow), ar_str(a->help));
	}
}

/* Not paged: as many as the action table has, and what the tenant added by hand. */
AR_YIELDS int auth_permission_list(struct ar_call *call)
{
	struct ar_json *all = ar_json_new(call->pool, AR_OBJECT);
	struct ar_rows rows;
	struct ar_jw *w;

	permissions_of_modules(all, call->pool);
	if (ar_query(&call->scope, &rows,
		     "SELECT name, description FROM auth_permissions ORDER BY name LIMIT 1000",
		     AR_NO_ARGS) != 0)
		return -1;
	while (ar_rows_next(&rows))
		permission_add(all, call->pool, ar_col_str(&rows, 0), ar_col_str(&rows, 1));
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_array(w);
	ar_json_each (item, all)
		ar_jw_value(w, item);
	ar_jw_array_end(w);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int auth_permission_create(struct ar_call *call)
{
	struct ar_json *built_in = ar_json_new(call->pool, AR_OBJECT);
	struct ar_str name = ar_in_str(call, "name");
	struct ar_jw *w;

	permissions_of_modules(built_in, call->pool);
	if (ar_json_get_str(built_in, name) != NULL)
		return ar_fail(AR_E_CONFLICT, "what", "permission");
	if (ar_exec(&call->scope, "INSERT INTO auth_permissions (name, description) VALUES (?, ?)",
		    AR_ARGS(AR_J_STR(name), AR_J_STR(ar_in_str(call, "description"))), NULL) != 0)
		return ar_err_is(AR_E_UNIQUE) ? ar_fail_over(AR_E_CONFLICT, "what", "permission")
					      : -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, name);
	ar_jw_keyz(w, "description");
	ar_jw_str(w, ar_in_str(call, "description"));
	ar_jw_object_end(w);
	return 0;
}

/* Takes it out of the list and out of every role that gives it; who has not got it may not. */
AR_YIELDS int auth_permission_delete(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name");
	int64_t changed = 0;

	if (!ar_who_may(call->who, name))
		return ar_fail(AUTH_E_ESCALATION, "permission", ar_strz(call->pool, name));
	if (ar_exec(&call->scope, "DELETE FROM auth_permissions WHERE name = ?",
		    AR_ARGS(AR_J_STR(name)), &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "permission");
	if (ar_exec(&call->scope, "DELETE FROM auth_role_permissions WHERE permission = ?",
		    AR_ARGS(AR_J_STR(name)), NULL) != 0 ||
	    auth_changes(call) != 0)
		return -1;
	return ar_reply_none(call);
}
