/*
 * tenant.c - the tenants that this loop has open: acquire, release, cool down.
 *
 * A warm tenant costs a table look-up and a counter per request. One that nobody holds stays for
 * TENANT_COOL_MS (at most TENANT_COOL_MAX of them), then its caches and its handle go. A tenant
 * deleted meanwhile is dropped with its last release.
 */
#include <assert.h>

#include "tenant/tenant_int.h"

#define SWEEP_MS 5000

struct tenant_loop {
	struct ar_map *by_name;       /* struct ar_tenant_int */
	struct ar_tenant_int *oldest; /* of the idle ones */
	size_t nidle;
	struct ar_fiber *sweeper;
};

static __thread struct tenant_loop *tl;

const struct ar_err_def AR_E_TENANT_MISSING[1] = { { "tenant/missing", 404 } };
const struct ar_err_def AR_E_TENANT_UNKNOWN[1] = { { "tenant/unknown", 404 } };
const struct ar_err_def AR_E_TENANT_CONFLICT[1] = { { "tenant/conflict", 400 } };
const struct ar_err_def AR_E_TENANT_EXISTS[1] = { { "tenant/exists", 409 } };

bool ar_tenant_name_valid(struct ar_str name)
{
	return ar_db_name_valid(name);
}

/* ---- the idle list ---- */

static void idle_remove(struct ar_tenant_int *in)
{
	DL_DELETE(tl->oldest, in);
	tl->nidle--;
}

static void idle_add(struct ar_tenant_int *in)
{
	in->idle_since_ms = ar_mono_ms();
	DL_APPEND(tl->oldest, in);
	tl->nidle++;
}

static void drop_idle(struct ar_tenant_int *in)
{
	idle_remove(in);
	ar_map_remove(tl->by_name, in->pub.name);
	in->listed = false;
	tenant_close(in);
}

static void sweep(void *arg)
{
	while (ar_sleep(SWEEP_MS) == 0) {
		int64_t cold = ar_mono_ms() - TENANT_COOL_MS;

		while (tl->oldest != NULL && tl->oldest->idle_since_ms <= cold)
			drop_idle(tl->oldest);
	}
	ar_err_clear();
}

/* ---- the loop's part ---- */

void ar_tenant_attach(void)
{
	assert(tl == NULL && ar_tenant_store() != NULL);
	tl = ar_heap_new(struct tenant_loop);
	tl->by_name = ar_map_new();
	tenant_loop_add(ar_loop());
	tl->sweeper = ar_go("tenant-sweeper", sweep, NULL, AR_NO_DEADLINE);
	ar_fiber_hold(tl->sweeper);
}

AR_YIELDS void ar_tenant_detach(void)
{
	tenant_loop_remove(ar_loop());
	ar_cancel(tl->sweeper);
	ar_join(tl->sweeper);
	ar_fiber_drop(tl->sweeper);
	while (tl->oldest != NULL)
		drop_idle(tl->oldest);
	assert(ar_map_count(tl->by_name) == 0); /* somebody still holds a tenant */
	ar_map_free(tl->by_name, NULL);
	ar_heap_free(tl);
	tl = NULL;
}

/* Messages that were posted before the loop detached may come after it. */
void tenant_forget(struct ar_str name)
{
	struct ar_tenant_int *in = tl != NULL ? ar_map_get(tl->by_name, name) : NULL;

	if (in != NULL && in->refs == 0 && atomic_load(&in->shared->gone))
		drop_idle(in);
}

/* ---- one tenant ---- */

AR_YIELDS int tenant_open(struct tenant_shared *shared, struct ar_tenant_int **ret)
{
	struct ar_db *db;

	atomic_fetch_add(&shared->holders, 1);
	if (ar_db_acquire(ar_tenant_store(), ar_str(shared->name), &db) != 0) {
		atomic_fetch_sub(&shared->holders, 1);
		return -1;
	}
	struct ar_tenant_int *in = ar_heap_new(struct ar_tenant_int);

	in->shared = shared;
	in->pub = (struct ar_tenant){ ar_str(shared->name), ar_str(shared->id), db, in };
	*ret = in;
	return 0;
}

void tenant_close(struct ar_tenant_int *in)
{
	assert(in->refs == 0 && !in->listed);
	tenant_slots_unload(in);
	ar_db_release(in->pub.db);
	atomic_fetch_sub(&in->shared->holders, 1);
	ar_heap_free(in);
}

/* What this loop has under the name, unless it was deleted. */
static struct ar_tenant_int *find_open(struct ar_str name)
{
	struct ar_tenant_int *in = ar_map_get(tl->by_name, name);

	if (in == NULL || !atomic_load_explicit(&in->shared->gone, memory_order_acquire))
		return in;
	if (in->refs == 0) {
		drop_idle(in);
	} else { /* its holders end it; the name is free for a new one */
		ar_map_remove(tl->by_name, name);
		in->listed = false;
	}
	return NULL;
}

static AR_YIELDS int open_shared(struct ar_str name, struct tenant_shared **ret)
{
	struct tenant_shared *shared = tenant_shared_find(name);

	if (shared == NULL) {
		struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
		struct ar_str id;

		if (tenant_lookup(name, pool, &id) != 0)
			return -1;
		shared = tenant_shared_make(name, id);
	}
	if (atomic_load(&shared->gone))
		return ar_fail(AR_E_TENANT_UNKNOWN, "tenant", shared->name);
	*ret = shared;
	return 0;
}

static AR_YIELDS int open_new(struct ar_str name, struct ar_tenant_int **ret)
{
	struct tenant_shared *shared;
	struct ar_tenant_int *in;

	if (open_shared(name, &shared) != 0)
		return -1;
	if (tenant_open(shared, &in) != 0) {
		if (ar_err_is(AR_E_NO_DATABASE))
			return ar_fail(AR_E_TENANT_UNKNOWN, "tenant", shared->name);
		return -1;
	}
	struct ar_tenant_int *other = find_open(name); /* another fiber was faster */

	if (other != NULL || atomic_load(&shared->gone)) {
		tenant_close(in);
		if (other == NULL)
			return ar_fail(AR_E_TENANT_UNKNOWN, "tenant", shared->name);
		*ret = other;
		return 0;
	}
	ar_map_set(tl->by_name, name, in);
	in->listed = true;
	idle_add(in);
	*ret = in;
	return 0;
}

AR_YIELDS int ar_tenant_acquire(struct ar_str name, struct ar_tenant **ret)
{
	assert(tl != NULL);
	if (!ar_tenant_name_valid(name)) /* the name is not repeated: it may be anything */
		return ar_fail(AR_E_TENANT_UNKNOWN, "tenant", "?");
	struct ar_tenant_int *in = find_open(name);

	if (in == NULL && open_new(name, &in) != 0)
		return -1;
	if (in->refs++ == 0)
		idle_remove(in);
	*ret = &in->pub;
	return 0;
}

void ar_tenant_release(struct ar_tenant *tenant)
{
	if (tenant == NULL)
		return;
	struct ar_tenant_int *in = tenant->in;

	assert(in->refs > 0);
	if (--in->refs > 0)
		return;
	if (!in->listed) {
		tenant_close(in);
		return;
	}
	idle_add(in);
	if (atomic_load(&in->shared->gone))
		drop_idle(in);
	else if (tl->nidle > TENANT_COOL_MAX)
		drop_idle(tl->oldest);
}
