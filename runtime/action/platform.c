/*
 * platform.c - the room's own actions: the OpenAPI document, and what operators do with tenants.
 *
 * An operator's token makes and deletes tenants and sees nothing of what is in them. platform.call
 * is for the command line on the machine itself: the edge gives its permission only to the secret
 * that `apprun serve` leaves in the data folder, readable by its owner alone.
 */
#include <assert.h>

#include "action/action_int.h"

/* ---- founding a tenant ---- */

struct founding {
	struct ar_pool *pool;
	struct ar_json *input, *reply;
	int (*keep)(const struct ar_json *reply, void *arg);
	void *arg;
};

static AR_YIELDS int run_hooks(struct ar_call *call, struct ar_json *reply)
{
	for (const struct ar_module *const *m = ar_modules(); *m != NULL; m++) {
		if ((*m)->tenant_created != NULL && (*m)->tenant_created(call, reply) != 0)
			return -1;
	}
	return ar_commit(&call->scope);
}

static AR_YIELDS int found_setup(struct ar_tenant *tenant, void *arg)
{
	struct founding *founding = arg;
	struct ar_call call = { .pool = founding->pool,
				.tenant = tenant,
				.who = &ar_who_system,
				.input = founding->input,
				.face = AR_FACE_SYSTEM,
				.reply.fd = -1 };

	ar_scope_init(&call.scope, tenant->db, founding->pool);
	call.request_id = ar_id(founding->pool);
	ar_json_set(founding->reply, AR_STR("id"),
		    ar_json_str(founding->pool, ar_str_dup(founding->pool, tenant->id)));
	if (run_hooks(&call, founding->reply) == 0)
		return founding->keep != NULL ? founding->keep(founding->reply, founding->arg) : 0;
	ar_rollback(&call.scope);
	return -1;
}

AR_YIELDS int ar_tenant_found(struct ar_pool *pool, struct ar_json *input,
			      int (*keep)(const struct ar_json *reply, void *arg), void *arg,
			      struct ar_json **ret)
{
	struct founding founding = { pool, input, ar_json_new(pool, AR_OBJECT), keep, arg };
	struct ar_str name = ar_json_text(input, "name", AR_STR_NONE);

	ar_json_set(founding.reply, AR_STR("name"), ar_json_str(pool, name));
	if (ar_tenant_create(name, found_setup, &founding) != 0)
		return -1;
	*ret = founding.reply;
	return 0;
}

/* ---- tenants ---- */

static const struct ar_field name_fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .required = true, .min = 1, .max = 39,
		      .help = "Lower-case letters, digits and hyphens"),
	{ 0 },
};

static const struct ar_field create_fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .required = true, .min = 1, .max = 39,
		      .help = "Lower-case letters, digits and hyphens"),
	AR_FIELD_FREE("email", AR_F_EMAIL, .max = 254, .help = "Of the first administrator"),
	{ 0 },
};

static const struct ar_field list_in_fields[] = {
	AR_FIELD_FREE("limit", AR_F_INT, .min = 1, .max = 500, .otherwise = "100"),
	AR_FIELD_FREE("cursor", AR_F_TEXT, .max = 39, .help = "nextCursor of the page before"),
	{ 0 },
};

static const struct ar_field tenant_fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT),
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("created", AR_F_TIME),
	{ 0 },
};

static const struct ar_field created_fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT),
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("admin", AR_F_OBJECT,
		      .help = "The first administrator's sign-in, shown once"),
	{ 0 },
};

static const struct ar_field list_out_fields[] = {
	AR_FIELD_FREE("items", AR_F_ARRAY, .items = AR_ITEM(AR_F_OBJECT, .fields = tenant_fields)),
	AR_FIELD_FREE("nextCursor", AR_F_TEXT, .nullable = true),
	{ 0 },
};

static AR_YIELDS int tenant_create(struct ar_call *call)
{
	struct ar_json *reply;

	if (ar_tenant_found(call->pool, call->input, NULL, NULL, &reply) != 0)
		return -1;
	return ar_reply_value(call, reply);
}

static AR_YIELDS int tenant_list(struct ar_call *call)
{
	int limit = (int)ar_in_int(call, "limit", 100);
	struct ar_json *list;

	if (ar_tenant_list(call->pool, ar_in_str(call, "cursor"), limit, &list) != 0)
		return -1;
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_value(w, list);
	ar_jw_keyz(w, "nextCursor");
	if (list->count == (uint32_t)limit)
		ar_jw_str(w, ar_json_text(list->last, "name", AR_STR_NONE));
	else
		ar_jw_null(w);
	ar_jw_object_end(w);
	return 0;
}

static AR_YIELDS int tenant_delete(struct ar_call *call)
{
	return ar_tenant_delete(ar_in_str(call, "name")) != 0 ? -1 : ar_reply_none(call);
}

/* ---- the command line's call ---- */

static const struct ar_field call_fields[] = {
	AR_FIELD_FREE("tenant", AR_F_TEXT, .required = true, .min = 1, .max = 39),
	AR_FIELD_FREE("action", AR_F_TEXT, .required = true, .min = 1, .max = 100),
	AR_FIELD_FREE("input", AR_F_OBJECT),
	{ 0 },
};

static const struct ar_field call_out_fields[] = {
	AR_FIELD_FREE("output", AR_F_JSON, .nullable = true),
	{ 0 },
};

static AR_YIELDS int local_call(struct ar_call *call)
{
	struct ar_invoke invoke = { .who = &ar_who_system,
				    .face = AR_FACE_CLI,
				    .action = ar_in_str(call, "action"),
				    .input = ar_in(call, "input"),
				    .idempotency_key = call->idempotency_key,
				    .trace_id = call->trace_id };
	struct ar_json *output = NULL;

	if (ar_tenant_acquire(ar_in_str(call, "tenant"), &invoke.tenant) != 0)
		return -1;
	int rc = ar_action_invoke(call->pool, &invoke, &output);

	ar_tenant_release(invoke.tenant);
	if (rc != 0)
		return -1;
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "output");
	if (output != NULL)
		ar_jw_value(w, output);
	else
		ar_jw_null(w);
	ar_jw_object_end(w);
	return 0;
}

/* ---- the table ---- */

static const struct ar_field any_out[] = { { 0 } };

static const struct ar_action core_actions[] = {
	{ "core.openapi", "GET /openapi.json", AR_ALLOW_ANYONE, .out = any_out, .run = openapi_run,
	  .flags = AR_A_REST_ONLY,
	  .help = "This document; what is the tenant's own is in it for who is signed in" },
	{ "platform.list_tenants", "GET /tenants", "platform.tenants.read", .in = list_in_fields,
	  .out = list_out_fields, .run = tenant_list, .flags = AR_A_PLATFORM,
	  .help = "The tenants, by name" },
	{ "platform.create_tenant", "POST /tenants", "platform.tenants.write", .in = create_fields,
	  .out = created_fields, .run = tenant_create, .flags = AR_A_PLATFORM | AR_A_WRITE,
	  .status = 201, .help = "Make a tenant and its first administrator" },
	{ "platform.delete_tenant", "DELETE /tenants/{name}", "platform.tenants.write",
	  .in = name_fields, .run = tenant_delete, .flags = AR_A_PLATFORM | AR_A_WRITE,
	  .help = "Delete a tenant with everything in it, for good" },
	{ "platform.call", "POST /call", "local.call", .in = call_fields, .out = call_out_fields,
	  .run = local_call, .flags = AR_A_PLATFORM | AR_A_WRITE | AR_A_REST_ONLY,
	  .help = "Call an action of a tenant: for the command line on the machine itself" },
	{ 0 },
};

static const struct ar_err_def *const core_errors[] = {
	AR_E_TENANT_MISSING,
	AR_E_TENANT_UNKNOWN,
	AR_E_TENANT_CONFLICT,
	AR_E_TENANT_EXISTS,
	AR_E_ACTION_UNKNOWN,
	AR_E_ACTION_FACE,
	AR_E_ACTION_DEPTH,
	AR_E_KEY_REUSED,
	AR_E_KEY_RUNNING,
	AR_E_KEY_SECRET,
	AR_E_UNIQUE,
	AR_E_REFERENCE,
	AR_E_BUSY,
	AR_E_STORE,
	AR_E_NO_DATABASE,
	AR_E_KEYS_FULL,
	NULL,
};

const struct ar_module ar_core_module = {
	.name = "core",
	.actions = core_actions,
	.start = openapi_start,
	.migrations = ar_action_migrations,
	.errors = core_errors,
};
