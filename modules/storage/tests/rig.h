/*
 * rig.h - tenants with buckets whose objects' bytes are below house.data, and a look at those
 * files.
 */
#ifndef STORAGE_RIG_H
#define STORAGE_RIG_H

#include "auth/tests/people.h"
#include "storage/storage_int.h"

#include <dirent.h>

static const struct ar_module *const modules[] = { &auth_module, &storage_module, NULL };

static inline void blobs_dropped(struct ar_str tenant)
{
	assert_ok(ar_blob_drop(tenant));
}

static void (*test_body)(void);

static inline void with_blobs(void)
{
	struct ar_pool *pool = ar_pool_new();

	assert_ok(ar_blob_init(ar_strf(pool, "%s/blobs", house.data)));
	ar_tenant_on_delete(blobs_dropped);
	ar_pool_free(pool);
	test_body();
}

static inline void run(void (*body)(void))
{
	test_body = body;
	wire_run(modules, with_blobs);
}

#define TEST(name) TEST_IN(name, run, void)

static inline struct answer put(struct wire_tenant *t, const char *who, const char *path,
				const char *bytes)
{
	struct wire_extra extra = { .bearer = who, .type = "text/plain" };
	struct ar_header type = { AR_STR("content-type"), AR_STR("text/plain") };

	extra.headers = &type;
	extra.nheaders = 1;
	return wire_with(t, ar_printf(t->pool, "PUT /buckets/%s", path), bytes, &extra);
}

static inline struct answer get(struct wire_tenant *t, const char *who, const char *path)
{
	return wire(t, who, ar_printf(t->pool, "GET /buckets/%s", path), "");
}

static inline void bucket(struct wire_tenant *t, const char *admin, const char *body)
{
	assert_answer(wire(t, admin, "POST /buckets", body), 201, "");
}

/* Files below data/blobs/TENANT; with `then` they become as old as that. */
static inline int files_touch(const char *tenant, const struct timespec then[2])
{
	int n = 0;

	for (int i = 0; i < 256; i++) {
		char path[200];
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "%s/blobs/%s/%02x", house.data, tenant, (unsigned)i);
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL) {
			if (entry->d_name[0] == '.')
				continue;
			n++;
			if (then != NULL)
				assert_ok(utimensat(dirfd(dir), entry->d_name, then, 0));
		}
		if (dir != NULL)
			closedir(dir);
	}
	return n;
}

static inline int files(const char *tenant)
{
	return files_touch(tenant, NULL);
}

/* All of them become two hours old. */
static inline void files_age(const char *tenant)
{
	const struct timespec then[2] = { { ar_now_ms() / 1000 - 7200, 0 },
					  { ar_now_ms() / 1000 - 7200, 0 } };

	files_touch(tenant, then);
}

/* What the bus does in the night. */
static inline void night(struct wire_tenant *t)
{
	struct ar_scope scope;
	bool more = true;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_begin(&scope));
	assert_ok(storage_daily(&scope, t->tenant->name, &more));
	assert_ok(ar_commit(&scope));
	assert_false(more);
}

/* Deletes run in the background. */
static inline void files_become(const char *tenant, int n)
{
	for (int i = 0; i < 12000 && files(tenant) != n; i++)
		assert_ok(ar_sleep(10));
	assert_int_equal(files(tenant), n);
}

#endif
