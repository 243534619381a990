/*
 * code.c - what a call needs of a function, read once and remembered until any function changes.
 *
 * The tenant slot holds a table that fills as functions are called. Entries are never taken out one
 * by one: the whole table is replaced when its epoch moves, and lives on for calls under way.
 */
#include "function/function_int.h"

struct codes {
	struct ar_map *by_name;
};

static void code_free(void *value)
{
	struct function_code *code = value;

	ar_pool_free(code->pool);
}

AR_YIELDS static int codes_load(struct ar_tenant *tenant AR_UNUSED, void **ret)
{
	struct codes *codes = ar_heap_new(struct codes);

	codes->by_name = ar_map_new();
	*ret = codes;
	return 0;
}

static void codes_unload(void *value)
{
	struct codes *codes = value;

	ar_map_free(codes->by_name, code_free);
	ar_heap_free(codes);
}

struct ar_tenant_slot function_slot = { .name = "function", .load = codes_load,
					.unload = codes_unload };

int function_changes(struct ar_tenant *tenant, struct ar_scope *scope)
{
	return ar_tenant_changes(tenant, &function_slot, scope);
}

static int limits_read(struct ar_pool *pool, struct ar_str text, struct ar_sandbox_limits *ret)
{
	struct ar_json *limits;

	if (ar_json_parse(pool, text, &ar_json_limits_default, &limits) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	ret->cpu_soft_ms = ar_json_number(limits, "cpuMs", 0);
	ret->cpu_hard_ms = ret->cpu_soft_ms > 500 ? AR_MIN(ret->cpu_soft_ms * 2, 30000) : 0;
	ret->wall_ms = ar_json_number(limits, "wallMs", 0);
	ret->memory = (size_t)ar_json_number(limits, "memoryMb", 0) << 20;
	return 0;
}

AR_YIELDS static int modules_read(struct ar_scope *scope, struct function_code *code)
{
	struct ar_rows rows;
	size_t n = 0;

	if (ar_query(scope, &rows,
		     "SELECT f.name, f.version, v.source FROM function_functions f "
		     "JOIN function_versions v ON v.id = f.version WHERE f.library = 1 "
		     "ORDER BY f.name LIMIT 64",
		     AR_NO_ARGS) != 0)
		return -1;
	code->modules = ar_new_n(code->pool, struct ar_sandbox_code, rows.count + 1);
	while (ar_rows_next(&rows))
		code->modules[n++] = (struct ar_sandbox_code){
			.id = ar_str_dup(code->pool, ar_col_str(&rows, 1)),
			.name = ar_str_dup(code->pool, ar_col_str(&rows, 0)),
			.source = ar_str_dup(code->pool, ar_col_str(&rows, 2)),
		};
	code->nmodules = n;
	return 0;
}

AR_YIELDS static int code_read(struct ar_scope *scope, struct ar_str name, struct function_code *code)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT f.version, f.allow, f.permissions, f.limits, f.library, v.source "
		     "FROM function_functions f JOIN function_versions v ON v.id = f.version "
		     "WHERE f.name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "function");
	code->name = ar_str_dup(code->pool, name);
	code->version = ar_str_dup(code->pool, ar_col_str(&rows, 0));
	code->allow = ar_str_dup(code->pool, ar_col_str(&rows, 1));
	code->library = ar_col_int(&rows, 4) != 0;
	code->code.id = code->version;
	code->code.name = code->name;
	code->code.source = ar_str_dup(code->pool, ar_col_str(&rows, 5));
	if (ar_json_parse(code->pool, ar_str_dup(code->pool, ar_col_str(&rows, 2)),
			  &ar_json_limits_default, &code->permissions) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	code->who = ar_who_limited(code->pool, AR_WHO_FUNCTION, code->name, code->permissions);
	if (limits_read(scope->pool, ar_col_str(&rows, 3), &code->limits) != 0)
		return -1;
	return modules_read(scope, code);
}

struct held {
	struct ar_tenant *tenant;
	void *value;
};

static void held_drop(void *arg)
{
	struct held *held = arg;

	ar_tenant_drop(held->tenant, &function_slot, held->value);
}

AR_YIELDS static int code_load(struct ar_tenant *tenant, struct ar_str name, struct codes *codes,
			       struct function_code **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_pool *own = ar_pool_new();
	struct function_code *code = ar_new(own, struct function_code), *other;
	struct ar_scope scope;

	code->pool = own;
	ar_scope_init(&scope, tenant->db, pool);
	if (code_read(&scope, name, code) != 0) {
		ar_pool_free(own);
		return -1;
	}
	other = ar_map_get(codes->by_name, name); /* another call was faster */
	if (other != NULL) {
		ar_pool_free(own);
		code = other;
	} else {
		ar_map_set(codes->by_name, name, code);
	}
	*ret = code;
	return 0;
}

AR_YIELDS int function_code_get(struct ar_tenant *tenant, struct ar_pool *pool, struct ar_str name,
				struct function_code **ret)
{
	struct held *held = ar_new(pool, struct held);
	struct function_code *code;
	struct codes *codes;

	if (ar_tenant_get(tenant, &function_slot, &held->value) != 0)
		return -1;
	held->tenant = tenant;
	ar_defer(pool, held_drop, held);
	codes = held->value;
	code = ar_map_get(codes->by_name, name);
	if (code == NULL && code_load(tenant, name, codes, &code) != 0)
		return -1;
	*ret = code;
	return 0;
}
