/*
 * tenant.h - who a call is for. Every way to data starts with a struct ar_tenant, and only the
 * runtime makes one: from the path, the host or the header of a request, or from a tenant's own
 * event, timer or run.
 *
 * A struct ar_tenant belongs to one loop. What loops share about a tenant (its epochs, its
 * existence) is behind it and is safe between threads. Modules keep their per-tenant caches in
 * slots: a slot is loaded on first use and again after its epoch moved, so a change that commits on
 * one loop is seen by the next call on every loop.
 */
#ifndef AR_TENANT_H
#define AR_TENANT_H

#include "store/store.h"

struct ar_tenant {
	struct ar_str name; /* [a-z0-9][a-z0-9-]{0,38}; also the name of its database */
	struct ar_str id;
	struct ar_db *db; /* this loop's handle, valid while the tenant is held */
	struct ar_tenant_int *in;
};

extern const struct ar_err_def AR_E_TENANT_MISSING[1];  /* 404 tenant/missing: none was named */
extern const struct ar_err_def AR_E_TENANT_UNKNOWN[1];  /* 404 tenant/unknown */
extern const struct ar_err_def AR_E_TENANT_CONFLICT[1]; /* 400 tenant/conflict: two that disagree */
extern const struct ar_err_def AR_E_TENANT_EXISTS[1];   /* 409 tenant/exists */

bool ar_tenant_name_valid(struct ar_str name);
extern const struct ar_migration ar_tenant_migrations[]; /* of the platform's database */

/* Once per process, then on each loop (attach in a fiber, after ar_store_attach). */
void ar_tenant_init(struct ar_store *store);
void ar_tenant_attach(void);
AR_YIELDS void ar_tenant_detach(void);
void ar_tenant_done(void); /* after the loops ended */
struct ar_store *ar_tenant_store(void);

/* Held until released; a tenant that nobody holds cools down and is dropped with its caches. */
AR_YIELDS int ar_tenant_acquire(struct ar_str name, struct ar_tenant **ret);
void ar_tenant_release(struct ar_tenant *tenant);

/* ---- making and unmaking: for the platform's operators ---- */

/*
 * setup (may be NULL) fills the new tenant before anybody can reach it; when it fails, or the
 * process ends before it is done, there is no tenant. AR_E_TENANT_EXISTS, AR_E_INVALID.
 */
AR_YIELDS int ar_tenant_create(struct ar_str name,
			       AR_YIELDS int (*setup)(struct ar_tenant *tenant, void *arg),
			       void *arg);
/* Waits until nobody holds the tenant (AR_E_BUSY after 10 s), then deletes its database. Calls of its
 * functions and runs of its workflows are ended, requests under way have that long. */
AR_YIELDS int ar_tenant_delete(struct ar_str name);
/* What else must let go of a tenant before its database goes (the bus's worker, files): called in
 * order of registration, once nobody can reach it any more. At start; at most 16. */
void ar_tenant_on_delete(AR_YIELDS void (*fn)(struct ar_str name));
/* Who works for a tenant on nobody's behalf (runs of workflows) lets go of it here: called as soon as
 * it cannot be acquired any more, before the wait for those who hold it. At start; at most 16. */
void ar_tenant_on_close(AR_YIELDS void (*fn)(struct ar_str name));
/* Names after `after`, in order, at most limit; texts in pool. */
AR_YIELDS int ar_tenant_list(struct ar_pool *pool, struct ar_str after, int limit,
			     struct ar_json **ret);

/* ---- caches of modules ---- */

struct ar_tenant_slot { /* one per kind of cache, static in the module */
	const char *name;
	/* Makes the value from the tenant's data. Runs at most once at a time per tenant and loop. */
	AR_YIELDS int (*load)(struct ar_tenant *tenant, void **ret);
	void (*unload)(void *value); /* nobody uses it any more */
	int index;                   /* set by ar_tenant_slot_register */
};
void ar_tenant_slot_register(struct ar_tenant_slot *slot); /* at start, before the loops */
/* The current value. It stays valid until ar_tenant_drop(), also when it is replaced meanwhile, and
 * when the tenant is released before: drop it on the same loop. */
AR_YIELDS int ar_tenant_get(struct ar_tenant *tenant, struct ar_tenant_slot *slot, void **ret);
void ar_tenant_drop(struct ar_tenant *tenant, struct ar_tenant_slot *slot, void *value);
/* The same for as long as the pool lives, which drops it: what a call wants. */
AR_YIELDS int ar_tenant_use(struct ar_tenant *tenant, struct ar_tenant_slot *slot,
			    struct ar_pool *pool, void **ret);
/* The cached thing changes with this unit of work: its epoch moves after the commit. */
int ar_tenant_changes(struct ar_tenant *tenant, struct ar_tenant_slot *slot,
		      struct ar_scope *scope);
/* How many units called ar_tenant_changes() so far, stored or not. With SQLite, who has a unit open
 * and finds the same number as in an earlier unit knows that nothing changed in between. */
uint64_t ar_tenant_begun(struct ar_tenant *tenant, const struct ar_tenant_slot *slot);

/* ---- settings of the tenant: small JSON values by name, kept in its database ---- */

AR_YIELDS int ar_setting_get(struct ar_tenant *tenant, struct ar_pool *pool, const char *name,
			     struct ar_json **ret); /* NULL value when it was never set */
AR_YIELDS int ar_setting_set(struct ar_tenant *tenant, struct ar_scope *scope, const char *name,
			     const struct ar_json *value); /* NULL removes it */
extern const struct ar_migration ar_setting_migrations[];  /* of each tenant's database */

#endif
