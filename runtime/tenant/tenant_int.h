/*
 * tenant_int.h - inside the tenant room.
 *
 * `shared` is what the process knows about a tenant: one struct for all loops, found by name under
 * a mutex, kept until ar_tenant_done() (a deleted tenant's stays as a tombstone, because a loop may
 * still hold it). `in` is what one loop knows: its database handle, its references, its slots.
 */
#ifndef AR_TENANT_INT_H
#define AR_TENANT_INT_H

#include <stdatomic.h>

#include "tenant/tenant.h"

#define TENANT_NAME_MAX  AR_DB_NAME_MAX
#define TENANT_SLOTS_MAX 48
#define TENANT_COOL_MS   30000 /* unheld for so long: dropped with its caches */
#define TENANT_COOL_MAX  256   /* unheld tenants kept warm per loop */

struct tenant_shared {
	char name[TENANT_NAME_MAX + 1];
	char id[AR_ID_LEN + 1];
	atomic_bool gone;   /* deleted: loops drop what they have */
	atomic_int holders; /* loops that have it open */
	_Atomic uint64_t epochs[TENANT_SLOTS_MAX];
	_Atomic uint64_t begun[TENANT_SLOTS_MAX]; /* changes, committed or not */
	struct tenant_shared *next;               /* all that were ever made */
};

struct slot_value {
	void *value;
	uint64_t epoch;
	int refs; /* users, and one while it is the current value */
	const struct ar_tenant_slot *slot;
	struct slot_value *next; /* in `retired` */
};

struct slot_cell {
	struct slot_value *current;
	bool loading;
	struct ar_cond loaded;
};

struct ar_tenant_int {
	struct ar_tenant pub;
	struct tenant_shared *shared;
	int refs;
	bool listed; /* in the loop's table */
	int64_t idle_since_ms;
	struct ar_tenant_int *prev, *next; /* of the loop's idle list, oldest first */
	struct slot_cell cells[TENANT_SLOTS_MAX];
	struct slot_value *retired; /* replaced, still in use */
};

/* shared.c: any thread */
struct tenant_shared *tenant_shared_find(struct ar_str name); /* also one that is gone; or NULL */
/* Finds or makes; id is taken when it is made. */
struct tenant_shared *tenant_shared_make(struct ar_str name, struct ar_str id);
void tenant_shared_gone(struct tenant_shared *shared); /* tells every loop */
void tenant_shared_remove(struct ar_str name);         /* the name may be used again */
bool tenant_busy_enter(struct ar_str name); /* one creation or deletion of a name at a time */
void tenant_busy_leave(struct ar_str name);

void tenant_loop_add(struct ar_loop *loop);
void tenant_loop_remove(struct ar_loop *loop);

/* tenant.c */
AR_YIELDS int tenant_open(struct tenant_shared *shared, struct ar_tenant_int **ret);
void tenant_close(struct ar_tenant_int *in);
void tenant_forget(struct ar_str name); /* this loop's, when nobody holds it */

/* slot.c */
void tenant_slots_unload(struct ar_tenant_int *in);
void tenant_slots_reset(void); /* forgets what was registered */

/* setting.c */
extern struct ar_tenant_slot tenant_setting_slot;

/* manage.c */
void tenant_manage_reset(void);
AR_YIELDS int tenant_lookup(struct ar_str name, struct ar_pool *pool, struct ar_str *ret_id);

#endif
