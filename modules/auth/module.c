/*
 * module.c - auth's tables: what it can do, who may, what goes in; its errors; a tenant's start.
 */
#include "auth/auth_int.h"

const struct ar_err_def AUTH_E_CREDENTIALS[1] = { { "auth/credentials", 401 } };
const struct ar_err_def AUTH_E_REFERENCED[1] = { { "auth/user-referenced", 409 } };
const struct ar_err_def AUTH_E_EMAIL_TAKEN[1] = { { "auth/email-taken", 409 } };
const struct ar_err_def AUTH_E_SIGNUP_CLOSED[1] = { { "auth/signup-closed", 403 } };
const struct ar_err_def AUTH_E_REFRESH[1] = { { "auth/refresh-token", 401 } };
const struct ar_err_def AUTH_E_REUSED[1] = { { "auth/refresh-token-reused", 401 } };
const struct ar_err_def AUTH_E_ROLE_EXISTS[1] = { { "auth/role-exists", 409 } };
const struct ar_err_def AUTH_E_ESCALATION[1] = { { "auth/escalation", 403 } };
const struct ar_err_def AUTH_E_LAST_ADMIN[1] = { { "auth/last-admin", 409 } };

static const struct ar_err_def *const errors[] = {
	AUTH_E_REFERENCED,  AUTH_E_CREDENTIALS,
	AUTH_E_EMAIL_TAKEN, AUTH_E_SIGNUP_CLOSED,
	AUTH_E_REFRESH,     AUTH_E_REUSED,
	AUTH_E_ROLE_EXISTS, AUTH_E_ESCALATION,
	AUTH_E_LAST_ADMIN,  NULL,
};

/* ---- what goes in and out ---- */

#define PERMISSION_PATTERN "[a-zA-Z0-9_*][a-zA-Z0-9_.:*-]*"
#define PLAIN_PATTERN      "[a-zA-Z0-9_][a-zA-Z0-9_.:-]*"
#define ROLE_PATTERN       "[a-z0-9][a-z0-9_-]*"
#define LOCALE_PATTERN     "[A-Za-z]{2,8}[A-Za-z0-9-]*"
#define EMAIL(...)         AR_FIELD_FREE("email", AR_F_EMAIL, .max = 254, __VA_ARGS__)
#define NAME(...)          AR_FIELD_FREE("name", AR_F_TEXT, .max = 200, __VA_ARGS__)
#define LOCALE             AR_FIELD_FREE("locale", AR_F_TEXT, .max = 35, .pattern = LOCALE_PATTERN)
#define PASSWORD(...)      AR_FIELD_FREE("password", AR_F_TEXT, AUTH_PASSWORD_FIELD, __VA_ARGS__)
#define ID                 AR_FIELD_FREE("id", AR_F_ID, .required = true)
#define ROLES                                                                                      \
	AR_FIELD_FREE("roles", AR_F_ARRAY, .max = 50,                                              \
		      .items = AR_ITEM(AR_F_TEXT, .max = 64, .pattern = ROLE_PATTERN))
#define PERMISSIONS(...)                                                                           \
	AR_FIELD_FREE("permissions", AR_F_ARRAY, .max = 500,                                       \
		      .items = AR_ITEM(AR_F_TEXT, .max = 128, .pattern = PERMISSION_PATTERN,       \
				       .check = star_rule),                                        \
		      __VA_ARGS__)
#define TIME_OUT(name) AR_FIELD_FREE(name, AR_F_TIME, .read_only = true)

/* "*" alone, or at the end of a branch: "auth.*". Anywhere else it would mean nothing. */
static const char *star_rule(const struct ar_field *field, const struct ar_json *value)
{
	ptrdiff_t at = ar_str_find(value->s, '*');

	if (at < 0 || value->s.n == 1)
		return NULL;
	if ((size_t)at != value->s.n - 1 || strchr(".:", value->s.p[at - 1]) == NULL)
		return "format";
	return NULL;
}

static const struct ar_field user_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	EMAIL(0),
	NAME(0),
	AR_FIELD_FREE("locale", AR_F_TEXT, .help = "empty: none chosen"),
	AR_FIELD_FREE("data", AR_F_OBJECT),
	AR_FIELD_FREE("verified", AR_F_BOOL),
	AR_FIELD_FREE("disabled", AR_F_BOOL),
	TIME_OUT("created"),
	TIME_OUT("updated"),
	ROLES,
	{ 0 },
};
static const struct ar_field tokens_out[] = {
	AR_FIELD_FREE("accessToken", AR_F_TEXT),
	AR_FIELD_FREE("refreshToken", AR_F_TEXT),
	AR_FIELD_FREE("tokenType", AR_F_TEXT),
	AR_FIELD_FREE("expiresIn", AR_F_INT, .help = "seconds"),
	AR_FIELD_FREE("user", AR_F_OBJECT, .fields = user_out),
	{ 0 },
};
static const struct ar_field signup_in[] = {
	EMAIL(.required = true),
	PASSWORD(.required = true),
	NAME(.otherwise = "\"\""),
	LOCALE,
	{ 0 },
};
static const struct ar_field login_in[] = {
	EMAIL(.required = true),
	AR_FIELD_FREE("password", AR_F_TEXT, .max = 1000, .required = true, .secret = true),
	{ 0 },
};
static const struct ar_field refresh_in[] = {
	AR_FIELD_FREE("refreshToken", AR_F_TEXT, .max = 200, .required = true, .secret = true),
	{ 0 },
};
static const struct ar_field me_in[] = { NAME(0), LOCALE, { 0 } };
static const struct ar_field password_in[] = {
	AR_FIELD_FREE("current", AR_F_TEXT, .max = 1000, .required = true, .secret = true),
	PASSWORD(.required = true),
	{ 0 },
};
static const struct ar_field user_create_in[] = {
	EMAIL(.required = true),
	PASSWORD(0),
	NAME(.otherwise = "\"\""),
	LOCALE,
	ROLES,
	AR_FIELD_FREE("data", AR_F_OBJECT, .max = 100, .help = "anything else to keep of the user"),
	{ 0 },
};
static const struct ar_field user_update_in[] = {
	ID,
	EMAIL(0),
	PASSWORD(0),
	NAME(0),
	LOCALE,
	ROLES,
	AR_FIELD_FREE("data", AR_F_OBJECT, .max = 100),
	AR_FIELD_FREE("verified", AR_F_BOOL),
	AR_FIELD_FREE("disabled", AR_F_BOOL),
	{ 0 },
};
static const struct ar_field id_in[] = { ID, { 0 } };
static const struct ar_field session_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	TIME_OUT("created"),
	TIME_OUT("used"),
	TIME_OUT("expires"),
	AR_FIELD_FREE("address", AR_F_TEXT),
	AR_FIELD_FREE("agent", AR_F_TEXT),
	AR_FIELD_FREE("current", AR_F_BOOL, .help = "the one that asks"),
	{ 0 },
};

#define ROLE_NAME                                                                                  \
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = 64, .pattern = ROLE_PATTERN,             \
		      .required = true)
#define DESCRIPTION(...) AR_FIELD_FREE("description", AR_F_TEXT, .max = 500, __VA_ARGS__)
static const struct ar_field role_in[] = {
	ROLE_NAME,
	DESCRIPTION(.otherwise = "\"\""),
	PERMISSIONS(.otherwise = "[]"),
	{ 0 },
};
static const struct ar_field role_update_in[] = {
	ROLE_NAME,
	DESCRIPTION(0),
	PERMISSIONS(0),
	{ 0 },
};
static const struct ar_field role_name_in[] = { ROLE_NAME, { 0 } };
static const struct ar_field role_out[] = {
	ROLE_NAME, DESCRIPTION(0), TIME_OUT("created"), PERMISSIONS(0), { 0 },
};
#define PERMISSION_NAME                                                                            \
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = 128, .pattern = PLAIN_PATTERN,           \
		      .required = true)
static const struct ar_field permission_in[] = {
	PERMISSION_NAME,
	DESCRIPTION(.otherwise = "\"\""),
	{ 0 },
};
static const struct ar_field permission_name_in[] = { PERMISSION_NAME, { 0 } };
static const struct ar_field permission_list_out[] = {
	AR_FIELD_FREE("items", AR_F_ARRAY, .items = AR_ITEM(AR_F_OBJECT, .fields = permission_in)),
	{ 0 },
};
static const struct ar_field key_in[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = 100, .required = true),
	PERMISSIONS(.min = 1, .required = true),
	AR_FIELD_FREE("expires", AR_F_TIME, .help = "when it stops; not given: never"),
	{ 0 },
};
static const struct ar_field key_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	NAME(0),
	PERMISSIONS(0),
	TIME_OUT("created"),
	AR_FIELD_FREE("expires", AR_F_TIME, .read_only = true, .nullable = true),
	AR_FIELD_FREE("createdBy", AR_F_TEXT),
	AR_FIELD_FREE("key", AR_F_TEXT, .help = "shown once, when the key is made"),
	{ 0 },
};
static const struct ar_field jwks_out[] = {
	AR_FIELD_FREE("keys", AR_F_ARRAY, .items = AR_ITEM(AR_F_OBJECT, 0)),
	{ 0 },
};
static const struct ar_field openid_out[] = {
	AR_FIELD_FREE("issuer", AR_F_TEXT),
	AR_FIELD_FREE("jwks_uri", AR_F_TEXT),
	{ 0 },
};

/* ---- actions ---- */

#define READ_USERS   "auth.users.read"
#define WRITE_USERS  "auth.users.write"
#define READ_ROLES   "auth.roles.read"
#define WRITE_ROLES  "auth.roles.write"
#define KEYS         "auth.keys.manage"
#define IN_OUT(i, o) .in = (i), .out = (o)

static const struct ar_action actions[] = {
	{ "auth.signup", "POST /auth/signup", AR_ALLOW_ANYONE, IN_OUT(signup_in, tokens_out),
	  .run = auth_signup, .flags = AR_A_WRITE | AR_A_SECRET_OUT, .status = 201,
	  .help = "Open an account" },
	{ "auth.login", "POST /auth/login", AR_ALLOW_ANYONE, IN_OUT(login_in, tokens_out),
	  .run = auth_login, .flags = AR_A_WRITE | AR_A_REST_ONLY | AR_A_SECRET_OUT,
	  .help = "Sign in" },
	{ "auth.refresh", "POST /auth/refresh", AR_ALLOW_ANYONE, IN_OUT(refresh_in, tokens_out),
	  .run = auth_refresh, .flags = AR_A_WRITE | AR_A_REST_ONLY | AR_A_SECRET_OUT,
	  .help = "Trade a refresh token for new tokens" },
	{ "auth.logout", "POST /auth/logout", AR_ALLOW_SIGNED_IN, .run = auth_logout,
	  .flags = AR_A_WRITE | AR_A_REST_ONLY, .help = "Sign out: end this session" },
	{ "auth.me", "GET /auth/me", AR_ALLOW_SIGNED_IN, .out = user_out, .run = auth_me,
	  .help = "Who am I" },
	{ "auth.update_me", "PATCH /auth/me", AR_ALLOW_SIGNED_IN, IN_OUT(me_in, user_out),
	  .run = auth_me_update, .flags = AR_A_WRITE, .help = "Change my name or language" },
	{ "auth.change_password", "POST /auth/password", AR_ALLOW_SIGNED_IN, .in = password_in,
	  .run = auth_password_change, .flags = AR_A_WRITE,
	  .help = "Change my password and end my other sessions" },

	{ "auth.list_sessions", "GET /auth/sessions", AR_ALLOW_SIGNED_IN, .out = session_out,
	  .run = auth_session_list, .flags = AR_A_LIST, .help = "My sessions" },
	{ "auth.revoke_session", "DELETE /auth/sessions/{id}", AR_ALLOW_SIGNED_IN, .in = id_in,
	  .run = auth_session_delete, .flags = AR_A_WRITE, .help = "End a session" },

	{ "auth.list_users", "GET /auth/users", READ_USERS, .out = user_out, .run = auth_user_list,
	  .flags = AR_A_LIST, .help = "List users" },
	{ "auth.create_user", "POST /auth/users", WRITE_USERS, IN_OUT(user_create_in, user_out),
	  .run = auth_user_create, .flags = AR_A_WRITE, .status = 201, .help = "Create a user" },
	{ "auth.get_user", "GET /auth/users/{id}", READ_USERS, IN_OUT(id_in, user_out),
	  .run = auth_user_get, .help = "Read a user" },
	{ "auth.update_user", "PATCH /auth/users/{id}", WRITE_USERS,
	  IN_OUT(user_update_in, user_out), .run = auth_user_update, .flags = AR_A_WRITE,
	  .help = "Change a user" },
	{ "auth.delete_user", "DELETE /auth/users/{id}", WRITE_USERS, .in = id_in,
	  .run = auth_user_delete, .flags = AR_A_WRITE, .help = "Delete a user" },

	{ "auth.list_roles", "GET /auth/roles", READ_ROLES, .out = role_out, .run = auth_role_list,
	  .flags = AR_A_LIST, .help = "List roles" },
	{ "auth.create_role", "POST /auth/roles", WRITE_ROLES, IN_OUT(role_in, role_out),
	  .run = auth_role_create, .flags = AR_A_WRITE, .status = 201, .help = "Create a role" },
	{ "auth.get_role", "GET /auth/roles/{name}", READ_ROLES, IN_OUT(role_name_in, role_out),
	  .run = auth_role_get, .help = "Read a role with its permissions" },
	{ "auth.update_role", "PATCH /auth/roles/{name}", WRITE_ROLES,
	  IN_OUT(role_update_in, role_out), .run = auth_role_update, .flags = AR_A_WRITE,
	  .help = "Change a role" },
	{ "auth.delete_role", "DELETE /auth/roles/{name}", WRITE_ROLES, .in = role_name_in,
	  .run = auth_role_delete, .flags = AR_A_WRITE, .help = "Delete a role" },
	{ "auth.list_permissions", "GET /auth/permissions", READ_ROLES, .out = permission_list_out,
	  .run = auth_permission_list, .help = "All permissions that can be given" },
	{ "auth.create_permission", "POST /auth/permissions", WRITE_ROLES,
	  IN_OUT(permission_in, permission_in), .run = auth_permission_create, .flags = AR_A_WRITE,
	  .status = 201, .help = "Name a permission of the tenant's own" },
	{ "auth.delete_permission", "DELETE /auth/permissions/{name}", WRITE_ROLES,
	  .in = permission_name_in, .run = auth_permission_delete, .flags = AR_A_WRITE,
	  .help = "Remove one of the tenant's own permissions" },

	{ "auth.list_keys", "GET /auth/keys", KEYS, .out = key_out, .run = auth_key_list,
	  .flags = AR_A_LIST, .help = "List API keys" },
	{ "auth.create_key", "POST /auth/keys", KEYS, IN_OUT(key_in, key_out),
	  .run = auth_key_create, .flags = AR_A_WRITE | AR_A_SECRET_OUT, .status = 201,
	  .help = "Make an API key; its secret is shown once" },
	{ "auth.delete_key", "DELETE /auth/keys/{id}", KEYS, .in = id_in, .run = auth_key_delete,
	  .flags = AR_A_WRITE, .help = "Revoke an API key" },

	{ "auth.jwks", "GET /.well-known/jwks.json", AR_ALLOW_ANYONE, .out = jwks_out,
	  .run = auth_jwks, .flags = AR_A_ROOT | AR_A_REST_ONLY,
	  .help = "The public keys of this tenant's tokens" },
	{ "auth.openid_configuration", "GET /.well-known/openid-configuration", AR_ALLOW_ANYONE,
	  .out = openid_out, .run = auth_openid_configuration, .flags = AR_A_ROOT | AR_A_REST_ONLY,
	  .help = "Where the keys are" },
	{ 0 },
};

static const char *const permissions[] = {
	AUTH_ASSIGN,
	"Give roles to users, and take them away",
	NULL,
};

/* ---- a tenant's start ---- */

AR_YIELDS static int admin_create(struct ar_call *call, struct ar_json *reply)
{
	struct ar_str password = ar_token(call->pool, 12);
	struct ar_str email = ar_json_text(call->input, "email", AR_STR_NONE), id;
	struct ar_json *roles = ar_json_new(call->pool, AR_ARRAY);
	struct ar_json *admin = ar_json_new(call->pool, AR_OBJECT);
	struct auth_new_user user = { .name = AR_STR("Administrator"), .roles = roles };

	if (email.n == 0)
		email = ar_strf(call->pool, "admin@%.*s.example", AR_FMT(call->tenant->name));
	user.email = email;
	ar_json_add(roles, ar_json_str(call->pool, AR_STR("admin")));
	if (auth_password_hash(call->pool, password, &user.password_hash) != 0 ||
	    ar_exec(&call->scope,
		    "INSERT INTO auth_roles (name, description, created) "
		    "VALUES ('admin', 'May do everything in this tenant', ?)",
		    AR_ARGS(AR_J_INT(ar_now_ms())), NULL) != 0 ||
	    ar_exec(&call->scope,
		    "INSERT INTO auth_role_permissions (role, permission) VALUES ('admin', '*')",
		    AR_NO_ARGS, NULL) != 0 ||
	    auth_user_insert(call, &user, &id) != 0)
		return -1;
	ar_json_set(admin, AR_STR("email"), ar_json_str(call->pool, email));
	ar_json_set(admin, AR_STR("password"), ar_json_str(call->pool, password));
	ar_json_set(reply, AR_STR("admin"), admin);
	return 0;
}

AR_YIELDS static int tenant_created(struct ar_call *call, struct ar_json *reply)
{
	if (admin_create(call, reply) != 0)
		return -1;
	return auth_signing_key_make(call);
}

static int start(void)
{
	ar_tenant_slot_register(&auth_slot);
	ar_tenant_slot_register(&auth_signing_slot);
	ar_action_set_authenticate(auth_authenticate);
	return 0;
}

extern const struct ar_migration auth_migrations[];

const struct ar_module auth_module = {
	.name = "auth",
	.actions = actions,
	.migrations = auth_migrations,
	.errors = errors,
	.permissions = permissions,
	.start = start,
	.tenant_created = tenant_created,
};
