/*
 * manage.c - making, unmaking and listing tenants, in the platform's own database.
 *
 * A tenant has a row before it has a database: `creating` until its set-up has committed, then
 * `ready`, and `deleting` before its database goes. A process that ends in between leaves a row that
 * no request can reach; the next create or delete of that name clears it away and starts over.
 */
#include <assert.h>

#include "tenant/tenant_int.h"

#define DELETE_WAIT_MS 10000

struct platform { /* a scope on the platform's database */
	struct ar_scope scope;
	struct ar_pool *pool;
};

static AR_YIELDS int platform_open(struct platform *platform)
{
	struct ar_db *db;

	if (ar_db_acquire(ar_tenant_store(), AR_PLATFORM_DB, &db) != 0)
		return -1;
	platform->pool = ar_pool_new();
	ar_scope_init(&platform->scope, db, platform->pool);
	return 0;
}

static AR_YIELDS void platform_close(struct platform *platform)
{
	ar_rollback(&platform->scope);
	ar_db_release(platform->scope.db);
	ar_pool_free(platform->pool);
}

static AR_YIELDS int state_read(struct ar_scope *scope, struct ar_str name,
				struct ar_str *ret_state, struct ar_str *ret_id)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows, "SELECT state, id FROM tenant WHERE name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	bool found = ar_rows_next(&rows);

	*ret_state = found ? ar_col_str(&rows, 0) : AR_STR_NONE;
	*ret_id = found ? ar_col_str(&rows, 1) : AR_STR_NONE;
	return 0;
}

static int fail_name(const struct ar_err_def *def, struct ar_str name)
{
	char text[TENANT_NAME_MAX + 1] = { 0 };

	memcpy(text, name.p, AR_MIN(name.n, TENANT_NAME_MAX));
	return ar_fail(def, "tenant", text);
}

AR_YIELDS int tenant_lookup(struct ar_str name, struct ar_pool *pool, struct ar_str *ret_id)
{
	struct platform platform;
	struct ar_str state, id;

	if (platform_open(&platform) != 0)
		return -1;
	int rc = state_read(&platform.scope, name, &state, &id);

	if (rc == 0) {
		if (ar_str_is(state, "ready"))
			*ret_id = ar_str_dup(pool, id);
		else
			rc = fail_name(AR_E_TENANT_UNKNOWN, name);
	}
	platform_close(&platform);
	return rc;
}

/* ---- create ---- */

static AR_YIELDS int state_write(struct ar_str name, const char *sql, const char *state)
{
	struct platform platform;

	if (platform_open(&platform) != 0)
		return -1;
	int rc = state != NULL ? ar_exec(&platform.scope, sql,
					 AR_ARGS(AR_J_Z(state), AR_J_STR(name)), NULL)
			       : ar_exec(&platform.scope, sql, AR_ARGS(AR_J_STR(name)), NULL);

	if (rc == 0)
		rc = ar_commit(&platform.scope);
	platform_close(&platform);
	return rc;
}

/* Writes the row; what a creation that did not end left behind is cleared away first. */
static AR_YIELDS int create_row(struct ar_str name, char id[AR_ID_LEN + 1])
{
	struct platform platform;
	struct ar_str state, old_id;

	if (platform_open(&platform) != 0)
		return -1;
	int rc = state_read(&platform.scope, name, &state, &old_id);

	if (rc == 0 && state.n > 0 && !ar_str_is(state, "creating"))
		rc = fail_name(AR_E_TENANT_EXISTS, name);
	if (rc == 0 && state.n > 0 && ar_store_drop(ar_tenant_store(), name) != 0 &&
	    !ar_err_is(AR_E_NO_DATABASE))
		rc = -1;
	if (rc == 0) {
		ar_id_new(id);
		rc = ar_exec(&platform.scope,
			     "INSERT INTO tenant (name, id, state, created) "
			     "VALUES (?, ?, 'creating', ?) ON CONFLICT (name) DO UPDATE SET "
			     "id = excluded.id, created = excluded.created",
			     AR_ARGS(AR_J_STR(name), AR_J_Z(id), AR_J_INT(ar_now_ms())), NULL);
	}
	if (rc == 0)
		rc = ar_commit(&platform.scope);
	platform_close(&platform);
	return rc;
}

/* The new tenant as its set-up sees it: in no table, so nobody else can have it. */
static AR_YIELDS int create_setup(struct ar_str name, const char *id,
				  AR_YIELDS int (*setup)(struct ar_tenant *tenant, void *arg),
				  void *arg)
{
	struct tenant_shared *shared = ar_heap_new(struct tenant_shared);
	struct ar_tenant_int *in;
	int rc;

	memcpy(shared->name, name.p, name.n);
	memcpy(shared->id, id, AR_ID_LEN);
	rc = tenant_open(shared, &in);
	if (rc == 0) {
		in->refs = 1;
		rc = setup != NULL ? setup(&in->pub, arg) : 0;
		in->refs = 0;
		tenant_close(in);
	}
	ar_heap_free(shared);
	return rc;
}

static AR_YIELDS int create_rest(struct ar_str name, const char *id,
				 AR_YIELDS int (*setup)(struct ar_tenant *tenant, void *arg),
				 void *arg)
{
	if (ar_store_create(ar_tenant_store(), name) != 0) {
		if (ar_err_is(AR_E_CONFLICT)) /* a database without a row: not ours to overwrite */
			return fail_name(AR_E_TENANT_EXISTS, name);
		return -1;
	}
	tenant_shared_remove(name); /* of a namesake that was deleted while a loop looked it up */
	if (create_setup(name, id, setup, arg) == 0 &&
	    state_write(name, "UPDATE tenant SET state = ? WHERE name = ?", "ready") == 0)
		return 0;
	return 1; /* failed with a database to take away */
}

AR_YIELDS int ar_tenant_create(struct ar_str name,
			       AR_YIELDS int (*setup)(struct ar_tenant *tenant, void *arg),
			       void *arg)
{
	char id[AR_ID_LEN + 1];

	if (!ar_tenant_name_valid(name))
		return ar_fail_field("name", "tenant-name");
	if (!tenant_busy_enter(name))
		return fail_name(AR_E_TENANT_EXISTS, name);
	int rc = create_row(name, id);

	if (rc == 0 && (rc = create_rest(name, id, setup, arg)) != 0) {
		struct ar_errstack *kept = ar_errstack_new(), *mine = ar_errstack_use(kept);

		ar_shield(true);
		if (rc < 0 || ar_store_drop(ar_tenant_store(), name) == 0)
			state_write(name, "DELETE FROM tenant WHERE name = ?", NULL);
		ar_shield(false);
		ar_errstack_use(mine);
		ar_errstack_free(kept);
		rc = -1;
	}
	tenant_busy_leave(name);
	return rc;
}

/* ---- delete and list ---- */

static AR_YIELDS void (*on_delete[16])(struct ar_str name);
static AR_YIELDS void (*on_close[16])(struct ar_str name);
static size_t non_delete, non_close;

void ar_tenant_on_delete(AR_YIELDS void (*fn)(struct ar_str name))
{
	assert(non_delete < AR_COUNT(on_delete));
	on_delete[non_delete++] = fn;
}

void ar_tenant_on_close(AR_YIELDS void (*fn)(struct ar_str name))
{
	assert(non_close < AR_COUNT(on_close));
	on_close[non_close++] = fn;
}

void tenant_manage_reset(void)
{
	non_delete = non_close = 0;
}

static AR_YIELDS int delete_row(struct ar_str name, struct tenant_shared **ret_shared)
{
	struct platform platform;
	struct ar_str state, id;

	if (platform_open(&platform) != 0)
		return -1;
	int rc = state_read(&platform.scope, name, &state, &id);

	if (rc == 0 && state.n == 0)
		rc = fail_name(AR_E_TENANT_UNKNOWN, name);
	if (rc == 0)
		rc = ar_exec(&platform.scope, "UPDATE tenant SET state = 'deleting' WHERE name = ?",
			     AR_ARGS(AR_J_STR(name)), NULL);
	if (rc == 0)
		rc = ar_commit(&platform.scope);
	if (rc == 0)
		*ret_shared = tenant_shared_make(name, id);
	platform_close(&platform);
	return rc;
}

static AR_YIELDS int delete_rest(struct ar_str name, struct tenant_shared *shared)
{
	int64_t until = ar_mono_ms() + DELETE_WAIT_MS;

	tenant_shared_gone(shared);
	for (size_t i = 0; i < non_close; i++)
		on_close[i](name);
	while (atomic_load(&shared->holders) > 0) {
		if (ar_mono_ms() > until)
			return ar_fail_why(AR_E_BUSY, "tenant %s is still held", shared->name);
		if (ar_sleep(5) != 0)
			return -1;
	}
	for (size_t i = 0; i < non_delete; i++)
		on_delete[i](name);
	if (ar_store_drop(ar_tenant_store(), name) != 0 && !ar_err_is(AR_E_NO_DATABASE))
		return -1;
	ar_err_clear();
	if (state_write(name, "DELETE FROM tenant WHERE name = ?", NULL) != 0)
		return -1;
	tenant_shared_remove(name);
	return 0;
}

AR_YIELDS int ar_tenant_delete(struct ar_str name)
{
	struct tenant_shared *shared;

	if (!ar_tenant_name_valid(name))
		return ar_fail(AR_E_TENANT_UNKNOWN, "tenant", "?");
	if (!tenant_busy_enter(name))
		return ar_fail_why(AR_E_BUSY, "the tenant is being made or deleted");
	int rc = delete_row(name, &shared);

	if (rc == 0)
		rc = delete_rest(name, shared);
	tenant_busy_leave(name);
	return rc;
}

AR_YIELDS int ar_tenant_list(struct ar_pool *pool, struct ar_str after, int limit,
			     struct ar_json **ret)
{
	struct platform platform;
	struct ar_rows rows;
	struct ar_json *list = ar_json_new(pool, AR_ARRAY);

	if (platform_open(&platform) != 0)
		return -1;
	int rc = ar_query(&platform.scope, &rows,
			  "SELECT name, id, created FROM tenant WHERE state = 'ready' "
			  "AND name > ? ORDER BY name LIMIT ?",
			  AR_ARGS(AR_J_STR(after), AR_J_INT(limit)));

	while (rc == 0 && ar_rows_next(&rows)) {
		struct ar_json *one = ar_json_new(pool, AR_OBJECT);
		char time[AR_TIME_MAX];
		struct ar_str created = { time, ar_time_format(ar_col_int(&rows, 2), time) };

		ar_json_set(one, AR_STR("name"),
			    ar_json_str(pool, ar_str_dup(pool, ar_col_str(&rows, 0))));
		ar_json_set(one, AR_STR("id"),
			    ar_json_str(pool, ar_str_dup(pool, ar_col_str(&rows, 1))));
		ar_json_set(one, AR_STR("created"), ar_json_str(pool, ar_str_dup(pool, created)));
		ar_json_add(list, one);
	}
	platform_close(&platform);
	*ret = list;
	return rc;
}
