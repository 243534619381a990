/*
 * shared.c - what all loops of the process know about tenants, behind one mutex.
 *
 * The mutex is taken when a loop meets a tenant for the first time, at creation and at deletion;
 * never on the way of a request to a tenant that its loop has warm. Epochs are atomics beside it.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "tenant/tenant_int.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ar_store *process_store;
static struct ar_map *shared_by_name, *busy_names;
static struct tenant_shared *all_shared;
static struct ar_loop *loops[AR_LOOPS_MAX];
static size_t nloops;

void ar_tenant_init(struct ar_store *store)
{
	assert(process_store == NULL);
	process_store = store;
	shared_by_name = ar_map_new();
	busy_names = ar_map_new();
	ar_tenant_slot_register(&tenant_setting_slot);
}

void ar_tenant_done(void)
{
	assert(nloops == 0);
	ar_map_free(shared_by_name, NULL);
	ar_map_free(busy_names, NULL);
	while (all_shared != NULL) {
		struct tenant_shared *next = all_shared->next;

		ar_heap_free(all_shared);
		all_shared = next;
	}
	shared_by_name = busy_names = NULL;
	process_store = NULL;
	tenant_slots_reset();
	tenant_manage_reset();
}

struct ar_store *ar_tenant_store(void)
{
	return process_store;
}

void tenant_loop_add(struct ar_loop *loop)
{
	pthread_mutex_lock(&lock);
	assert(nloops < AR_LOOPS_MAX);
	loops[nloops++] = loop;
	pthread_mutex_unlock(&lock);
}

void tenant_loop_remove(struct ar_loop *loop)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nloops; i++) {
		if (loops[i] == loop)
			loops[i--] = loops[--nloops];
	}
	pthread_mutex_unlock(&lock);
}

struct tenant_shared *tenant_shared_find(struct ar_str name)
{
	pthread_mutex_lock(&lock);
	struct tenant_shared *shared = ar_map_get(shared_by_name, name);
	pthread_mutex_unlock(&lock);
	return shared;
}

struct tenant_shared *tenant_shared_make(struct ar_str name, struct ar_str id)
{
	assert(name.n <= TENANT_NAME_MAX && id.n <= AR_ID_LEN);
	pthread_mutex_lock(&lock);
	struct tenant_shared *shared = ar_map_get(shared_by_name, name);

	if (shared == NULL) {
		shared = ar_heap_new(struct tenant_shared);
		memcpy(shared->name, name.p, name.n);
		memcpy(shared->id, id.p, id.n);
		shared->next = all_shared;
		all_shared = shared;
		ar_map_set(shared_by_name, name, shared);
	}
	pthread_mutex_unlock(&lock);
	return shared;
}

static void forget_on_loop(void *arg)
{
	char *name = arg;

	tenant_forget(ar_str(name));
	ar_heap_free(name);
}

void tenant_shared_gone(struct tenant_shared *shared)
{
	pthread_mutex_lock(&lock);
	atomic_store(&shared->gone, true);
	for (size_t i = 0; i < nloops; i++)
		ar_post(loops[i], forget_on_loop, ar_heap_strz(ar_str(shared->name)));
	pthread_mutex_unlock(&lock);
}

void tenant_shared_remove(struct ar_str name)
{
	pthread_mutex_lock(&lock);
	struct tenant_shared *shared = ar_map_remove(shared_by_name, name);

	if (shared != NULL)
		atomic_store(&shared->gone, true);
	pthread_mutex_unlock(&lock);
}

bool tenant_busy_enter(struct ar_str name)
{
	pthread_mutex_lock(&lock);
	bool free = ar_map_get(busy_names, name) == NULL;

	if (free)
		ar_map_set(busy_names, name, busy_names);
	pthread_mutex_unlock(&lock);
	return free;
}

void tenant_busy_leave(struct ar_str name)
{
	pthread_mutex_lock(&lock);
	ar_map_remove(busy_names, name);
	pthread_mutex_unlock(&lock);
}
