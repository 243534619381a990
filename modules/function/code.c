/*
 * code.c - what a call needs of a function, read once and remembered until any function changes.
 *
 * The tenant slot holds a table that fills as functions are called, and the tenant's libraries, which
 * all of its functions share. Functions that were not called lately make room for others; one that is
 * in use lives on until its last call ends. A change of any function replaces the whole table.
 */
#include "function/function_int.h"

#define CODES_MAX 256
#define BYTES_MAX ((size_t)16 << 20) /* of sources in one table, about */

struct libraries { /* shared by the codes that were read with it */
	struct ar_pool *pool;
	size_t refs;
	struct ar_sandbox_code *list;
	size_t n;
};

struct codes {
	struct ar_map *by_name;
	struct libraries *libraries; /* NULL: not read yet */
	size_t bytes;
};

struct code { /* as it is kept: one reference by the table, one by each call */
	struct function_code code;
	struct libraries *libraries;
	size_t refs;
};

/* ---- lives ---- */

static void libraries_drop(struct libraries *libraries)
{
	if (libraries != NULL && --libraries->refs == 0)
		ar_pool_free(libraries->pool);
}

static void code_drop(void *value)
{
	struct code *code = value;

	if (--code->refs > 0)
		return;
	libraries_drop(code->libraries);
	ar_pool_free(code->code.pool);
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

	ar_map_free(codes->by_name, code_drop);
	libraries_drop(codes->libraries);
	ar_heap_free(codes);
}

struct ar_tenant_slot function_slot = { .name = "function",
					.load = codes_load,
					.unload = codes_unload };

int function_changes(struct ar_tenant *tenant, struct ar_scope *scope)
{
	return ar_tenant_changes(tenant, &function_slot, scope);
}

/* ---- reading ---- */

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

AR_YIELDS static int libraries_read(struct ar_scope *scope, struct libraries **ret)
{
	struct ar_pool *pool = ar_pool_new();
	struct libraries *libraries = ar_new(pool, struct libraries);
	struct ar_rows rows;

	libraries->pool = pool;
	libraries->refs = 1;
	if (ar_query(scope, &rows,
		     "SELECT f.name, f.version, v.source FROM function_functions f "
		     "JOIN function_versions v ON v.id = f.version WHERE f.library = 1 "
		     "ORDER BY f.name LIMIT ?",
		     AR_ARGS(AR_J_INT(AR_SANDBOX_MODULES_MAX))) != 0) {
		ar_pool_free(pool);
		return -1;
	}
	libraries->list = ar_new_n(pool, struct ar_sandbox_code, rows.count + 1);
	while (ar_rows_next(&rows))
		libraries->list[libraries->n++] = (struct ar_sandbox_code){
			.id = ar_str_dup(pool, ar_col_str(&rows, 1)),
			.name = ar_str_dup(pool, ar_col_str(&rows, 0)),
			.source = ar_str_dup(pool, ar_col_str(&rows, 2)),
		};
	*ret = libraries;
	return 0;
}

AR_YIELDS static int code_read(struct ar_scope *scope, struct ar_str name,
			       struct function_code *code)
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
	return limits_read(scope->pool, ar_col_str(&rows, 3), &code->limits);
}

/* ---- the table ---- */

static bool evict_one(struct ar_str name, void *value, void *arg)
{
	struct codes *codes = arg;
	struct code *code = value;

	codes->bytes -= code->code.code.source.n;
	ar_map_remove(codes->by_name, name);
	code_drop(code);
	return false;
}

static void keep(struct codes *codes, struct code *code)
{
	struct code *other;

	while (ar_map_count(codes->by_name) >= CODES_MAX ||
	       (codes->bytes > BYTES_MAX && ar_map_count(codes->by_name) > 0))
		ar_map_each(codes->by_name, evict_one, codes);
	other = ar_map_set(codes->by_name, code->code.name, code); /* another was faster */
	codes->bytes += code->code.code.source.n;
	if (other != NULL) {
		codes->bytes -= other->code.code.source.n;
		code_drop(other);
	}
}

AR_YIELDS static int code_load(struct ar_tenant *tenant, struct ar_str name, struct codes *codes,
			       struct code **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_pool *own = ar_pool_new();
	struct code *code = ar_new(own, struct code);
	struct libraries *libraries;
	struct ar_scope scope;

	code->code.pool = own;
	code->refs = 1;
	ar_scope_init(&scope, tenant->db, pool);
	if (code_read(&scope, name, &code->code) != 0) {
		ar_pool_free(own);
		return -1;
	}
	if (codes->libraries == NULL) {
		if (libraries_read(&scope, &libraries) != 0) {
			ar_pool_free(own);
			return -1;
		}
		libraries_drop(codes->libraries); /* read by another call meanwhile */
		codes->libraries = libraries;
	}
	code->libraries = codes->libraries;
	code->libraries->refs++;
	code->code.modules = code->libraries->list;
	code->code.nmodules = code->libraries->n;
	keep(codes, code);
	*ret = code;
	return 0;
}

AR_YIELDS int function_code_get(struct ar_tenant *tenant, struct ar_pool *pool, struct ar_str name,
				struct function_code **ret)
{
	struct codes *codes;
	struct code *code;
	void *value;

	if (ar_tenant_get(tenant, &function_slot, &value) != 0)
		return -1;
	codes = value;
	code = ar_map_get(codes->by_name, name);
	if (code == NULL && code_load(tenant, name, codes, &code) != 0) {
		ar_tenant_drop(tenant, &function_slot, value);
		return -1;
	}
	code->refs++;
	ar_defer(pool, code_drop, code);
	ar_tenant_drop(tenant, &function_slot, value);
	*ret = &code->code;
	return 0;
}
