/*
 * sweep.c - bytes that no object has: what was put and never committed, what a deletion could not take
 * away. Once a day by itself, and when somebody asks.
 *
 * The tenant is held for one look at a time, so a sweep of millions of files keeps nobody from deleting
 * the tenant.
 */
#include "storage/storage_int.h"

#define AGE_MS (60 * 60 * 1000) /* a younger one may be about to be committed */

AR_YIELDS static int is_known(void *arg, struct ar_str id, bool *ret)
{
	const struct ar_str *name = arg;
	struct ar_tenant *tenant;
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_pool *pool;
	int rc;

	if (ar_tenant_acquire(*name, &tenant) != 0)
		return -1;
	pool = ar_pool_new(); /* of one: there may be millions */
	ar_scope_init(&scope, tenant->db, pool);
	rc = ar_query(&scope, &rows, "SELECT 1 FROM storage_objects WHERE id = ?",
		      AR_ARGS(AR_J_STR(id)));
	*ret = rc == 0 && rows.count > 0;
	ar_pool_free(pool);
	ar_tenant_release(tenant);
	return rc;
}

AR_YIELDS int storage_sweep(struct ar_call *call)
{
	struct ar_str name = call->tenant->name;
	int64_t deleted;
	struct ar_jw *w;

	if (ar_blob_sweep(name, AGE_MS, is_known, &name, &deleted) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "deleted");
	ar_jw_int(w, deleted);
	ar_jw_object_end(w);
	return 0;
}

/* ---- once a day ---- */

AR_YIELDS static void sweep_fiber(void *arg)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_str name = ar_str_dup(pool, ar_str(arg));
	int64_t deleted = 0;

	ar_heap_free(arg);
	if (ar_blob_sweep(name, AGE_MS, is_known, &name, &deleted) != 0) {
		if (!ar_cancelled() && !ar_err_is(AR_E_TENANT_UNKNOWN))
			ar_log_err(AR_WARN, "storage", "files were not swept; tomorrow again");
		ar_err_clear();
	} else if (deleted > 0) {
		ar_info("storage", "files that no object has are deleted", "tenant",
			ar_strz(pool, name), "count", ar_printf(pool, "%lld", (long long)deleted));
	}
}

static void sweep_go(void *arg)
{
	ar_go("storage sweep", sweep_fiber, ar_heap_strz(ar_str(arg)), AR_NO_DEADLINE);
}

AR_YIELDS int storage_daily(struct ar_scope *scope, struct ar_str database, bool *ret_more)
{
	*ret_more = false;
	return ar_after_commit(scope, sweep_go, (void *)ar_strz(scope->pool, database));
}
