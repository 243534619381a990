/*
 * setting.c - a tenant's settings: small JSON values by name, cached whole per loop in a slot.
 *
 * They are read on many requests and changed rarely, so a read is a look-up in memory. A value is
 * at most 64 KiB of JSON; names are constants of the modules.
 */
#include <assert.h>

#include "tenant/tenant_int.h"

#define SETTING_MAX (64 * 1024)

struct settings {
	struct ar_pool *pool;
	struct ar_json *values; /* an object */
};

static AR_YIELDS int settings_read(struct ar_tenant *tenant, struct settings *settings)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, tenant->db, settings->pool);
	if (ar_query(&scope, &rows, "SELECT name, value FROM tenant_setting", AR_NO_ARGS) != 0)
		return -1;
	settings->values = ar_json_new(settings->pool, AR_OBJECT);
	while (ar_rows_next(&rows)) {
		struct ar_json *value;

		if (ar_json_parse(settings->pool, ar_col_str(&rows, 1), &ar_json_limits_default,
				  &value) != 0)
			return -1;
		ar_json_set(settings->values, ar_col_str(&rows, 0), value);
	}
	return 0;
}

static AR_YIELDS int settings_load(struct ar_tenant *tenant, void **ret)
{
	struct ar_pool *pool = ar_pool_new();
	struct settings *settings = ar_new(pool, struct settings);

	settings->pool = pool;
	if (settings_read(tenant, settings) != 0) {
		ar_pool_free(pool);
		return -1;
	}
	*ret = settings;
	return 0;
}

static void settings_unload(void *value)
{
	ar_pool_free(((struct settings *)value)->pool);
}

struct ar_tenant_slot tenant_setting_slot = { .name = "settings",
					      .load = settings_load,
					      .unload = settings_unload };

AR_YIELDS int ar_setting_get(struct ar_tenant *tenant, struct ar_pool *pool, const char *name,
			     struct ar_json **ret)
{
	void *cached;

	if (ar_tenant_get(tenant, &tenant_setting_slot, &cached) != 0)
		return -1;
	const struct ar_json *value = ar_json_get(((struct settings *)cached)->values, name);

	*ret = value != NULL ? ar_json_copy(pool, value) : NULL;
	ar_tenant_drop(tenant, &tenant_setting_slot, cached);
	return 0;
}

AR_YIELDS int ar_setting_set(struct ar_tenant *tenant, struct ar_scope *scope, const char *name,
			     const struct ar_json *value)
{
	int rc;

	if (value == NULL) {
		rc = ar_exec(scope, "DELETE FROM tenant_setting WHERE name = ?",
			     AR_ARGS(AR_J_Z(name)), NULL);
	} else {
		struct ar_str text = ar_json_print(scope->pool, value);

		if (text.n > SETTING_MAX)
			return ar_fail(AR_E_TOO_LARGE, "what", name);
		rc = ar_exec(scope,
			     "INSERT INTO tenant_setting (name, value, updated) VALUES (?, ?, ?) "
			     "ON CONFLICT (name) DO UPDATE SET value = excluded.value, "
			     "updated = excluded.updated",
			     AR_ARGS(AR_J_Z(name), AR_J_STR(text), AR_J_INT(ar_now_ms())), NULL);
	}
	return rc != 0 ? -1 : ar_tenant_changes(tenant, &tenant_setting_slot, scope);
}
