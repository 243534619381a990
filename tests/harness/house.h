/*
 * house.h - a store in a folder of its own, and a loop with tenants, for tests of what stands on
 * them. Each test process has one house at a time.
 *
 *	house_open(sets);                    the store (sets: the tenants' migrations, or NULL)
 *	house_run(body, arg);                a loop on this thread; body runs in a fiber of it
 *	house_close();                       and the folder is gone
 *
 * APPRUN_TEST_STORE=postgres://... takes that server instead of files; what tests leave there stays.
 * house_open_at(folder, sets) opens one that is there already (a restart; house_leave() keeps it).
 * house_run() may be called on several threads at once: each has a loop of its own.
 */
#ifndef AR_TEST_HOUSE_H
#define AR_TEST_HOUSE_H

#include <ftw.h>

#include "tenant/tenant.h"
#include "tests/harness/fiber.h"

static struct {
	char data[64];
	struct ar_store *store;
} house;

static inline int house_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void house_open_at(const char *folder, const struct ar_migration_set *sets)
{
	static const struct ar_migration_set none[] = { { 0 } };
	static const struct ar_migration_set platform[] = { { "tenant", ar_tenant_migrations },
							    { 0 } };
	struct ar_store_options options = { .platform = platform,
					    .tenant = sets != NULL ? sets : none };

	snprintf(house.data, sizeof(house.data), "%s", folder);
	options.data = ar_str(house.data);
	options.url = ar_str(getenv("APPRUN_TEST_STORE")); /* none: files below data */
	assert_int_equal(ar_offload_start(2), 0);
	assert_ok(ar_store_open(&options, &house.store));
	ar_tenant_init(house.store);
}

static inline void house_open(const struct ar_migration_set *sets)
{
	char folder[] = "/tmp/apprun-test-XXXXXX";

	assert_non_null(mkdtemp(folder));
	house_open_at(folder, sets);
}

static inline void house_leave(void)
{
	ar_tenant_done();
	ar_store_close(house.store);
	ar_offload_stop();
}

static inline void house_close(void)
{
	house_leave();
	nftw(house.data, house_remove, 16, FTW_DEPTH | FTW_PHYS);
}

struct house_body {
	void (*body)(void *arg);
	void *arg;
};

static inline void house_fiber(void *arg)
{
	struct house_body *run = arg;

	ar_store_attach(house.store);
	ar_tenant_attach();
	run->body(run->arg);
	ar_tenant_detach();
	ar_store_detach(house.store);
}

static inline void house_run(void (*body)(void *arg), void *arg)
{
	struct house_body run = { body, arg };

	fiber_run(house_fiber, &run);
}

#endif
