/*
 * slot.c - the caches that modules keep per tenant, each with an epoch that all loops share.
 *
 * A value is loaded on the loop that asks, stamped with the epoch read before the load began. A
 * commit that changes the thing moves the epoch, so the next ar_tenant_get() on any loop loads
 * again. A replaced value lives on in `retired` until its last user drops it. A tenant may go before
 * that user does (a request's memory stays until a slow client has read the reply): what is still in
 * use then is left to the loop, in `orphans`.
 */
#include <assert.h>

#include "tenant/tenant_int.h"

static struct ar_tenant_slot *slots[TENANT_SLOTS_MAX];
static int nslots;
static __thread struct slot_value *orphans;

void ar_tenant_slot_register(struct ar_tenant_slot *slot)
{
	for (int i = 0; i < nslots; i++)
		assert(slots[i] != slot);
	assert(nslots < TENANT_SLOTS_MAX);
	slot->index = nslots;
	slots[nslots++] = slot;
}

void tenant_slots_reset(void)
{
	nslots = 0;
}

static void value_free(struct slot_value *value)
{
	if (value->slot->unload != NULL)
		value->slot->unload(value->value);
	ar_heap_free(value);
}

static void cell_replace(struct ar_tenant_int *in, struct slot_cell *cell, struct slot_value *value)
{
	struct slot_value *old = cell->current;

	cell->current = value;
	if (old == NULL)
		return;
	if (--old->refs == 0) {
		value_free(old);
	} else {
		old->next = in->retired;
		in->retired = old;
	}
}

static AR_YIELDS int cell_load(struct ar_tenant *tenant, struct ar_tenant_slot *slot,
			       struct slot_value **ret)
{
	struct slot_cell *cell = &tenant->in->cells[slot->index];
	uint64_t epoch = atomic_load(&tenant->in->shared->epochs[slot->index]);
	void *loaded = NULL;

	cell->loading = true;
	int rc = slot->load(tenant, &loaded);
	cell->loading = false;
	ar_cond_broadcast(&cell->loaded);
	if (rc != 0)
		return -1;
	struct slot_value *value = ar_heap_new(struct slot_value);

	*value = (struct slot_value){ .value = loaded, .epoch = epoch, .refs = 1, .slot = slot };
	cell_replace(tenant->in, cell, value);
	*ret = value;
	return 0;
}

AR_YIELDS int ar_tenant_get(struct ar_tenant *tenant, struct ar_tenant_slot *slot, void **ret)
{
	struct slot_cell *cell = &tenant->in->cells[slot->index];
	struct slot_value *value;

	assert(slots[slot->index] == slot);
	for (;;) {
		uint64_t epoch = atomic_load_explicit(&tenant->in->shared->epochs[slot->index],
						      memory_order_acquire);

		value = cell->current;
		if (value != NULL && value->epoch == epoch)
			break;
		if (!cell->loading) {
			if (cell_load(tenant, slot, &value) != 0)
				return -1;
			break;
		}
		if (ar_cond_wait(&cell->loaded) != 0)
			return -1;
	}
	value->refs++;
	*ret = value->value;
	return 0;
}

/* True when the value was in the list: one user less. */
static bool list_drop(struct slot_value **list, const struct ar_tenant_slot *slot,
		      const void *value)
{
	for (struct slot_value **at = list; *at != NULL; at = &(*at)->next) {
		struct slot_value *old = *at;

		if (old->slot != slot || old->value != value)
			continue;
		if (--old->refs == 0) {
			*at = old->next;
			value_free(old);
		}
		return true;
	}
	return false;
}

void ar_tenant_drop(struct ar_tenant *tenant, struct ar_tenant_slot *slot, void *value)
{
	if (list_drop(&orphans, slot, value)) /* then the tenant is no more */
		return;
	struct slot_value *current = tenant->in->cells[slot->index].current;

	if (current != NULL && current->value == value) {
		assert(current->refs > 1);
		current->refs--;
		return;
	}
	if (!list_drop(&tenant->in->retired, slot, value))
		assert(!"a slot's value was dropped once too often");
}

struct use {
	struct ar_tenant *tenant;
	struct ar_tenant_slot *slot;
	void *value;
};

static void use_end(void *arg)
{
	struct use *use = arg;

	ar_tenant_drop(use->tenant, use->slot, use->value);
}

AR_YIELDS int ar_tenant_use(struct ar_tenant *tenant, struct ar_tenant_slot *slot,
			    struct ar_pool *pool, void **ret)
{
	struct use *use = ar_new(pool, struct use);

	*use = (struct use){ .tenant = tenant, .slot = slot };
	if (ar_tenant_get(tenant, slot, &use->value) != 0)
		return -1;
	ar_defer(pool, use_end, use);
	*ret = use->value;
	return 0;
}

static void orphan(struct slot_value *value)
{
	value->next = orphans;
	orphans = value;
}

void tenant_slots_unload(struct ar_tenant_int *in)
{
	struct slot_value *value;

	while ((value = in->retired) != NULL) {
		in->retired = value->next;
		orphan(value);
	}
	for (int i = 0; i < nslots; i++) {
		value = in->cells[i].current;
		if (value == NULL)
			continue;
		assert(!in->cells[i].loading);
		in->cells[i].current = NULL;
		if (--value->refs == 0)
			value_free(value);
		else
			orphan(value);
	}
}

static void epoch_move(void *arg)
{
	atomic_fetch_add((_Atomic uint64_t *)arg, 1);
}

int ar_tenant_changes(struct ar_tenant *tenant, struct ar_tenant_slot *slot, struct ar_scope *scope)
{
	atomic_fetch_add(&tenant->in->shared->begun[slot->index], 1);
	return ar_after_commit(scope, epoch_move, &tenant->in->shared->epochs[slot->index]);
}

uint64_t ar_tenant_begun(struct ar_tenant *tenant, const struct ar_tenant_slot *slot)
{
	return atomic_load(&tenant->in->shared->begun[slot->index]);
}
