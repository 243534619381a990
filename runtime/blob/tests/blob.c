/*
 * blob.c - what is put comes back byte for byte, is on disk under an id, goes away when told; the
 * sweep takes what nobody knows and nothing else.
 */
#include "blob/blob.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

static char folder[] = "/tmp/apprun-blob-XXXXXX";
static void (*body)(void);

static void in_fiber(void *arg AR_UNUSED)
{
	body();
	ar_loop_stop(ar_loop());
}

static void run(void (*fn)(void))
{
	struct ar_loop *loop = ar_loop_new();

	body = fn;
	ar_go("test", in_fiber, NULL, AR_NO_DEADLINE);
	ar_loop_run(loop);
	ar_loop_free(loop);
}

static const char *file_of(struct ar_pool *pool, const char *tenant, struct ar_str id)
{
	return ar_printf(pool, "%s/%s/%.2s/%.*s", folder, tenant, id.p + id.n - 2, AR_FMT(id));
}

static void put_and_read(void)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_blob blob;
	char back[32];
	int fd;

	assert_int_equal(ar_blob_put(pool, AR_STR("acme"), AR_STR("a\0b\r\n\xff"), &blob), 0);
	assert_int_equal(blob.size, 6);
	assert_true(ar_str_eq(blob.sha256, ar_sha256_hex(pool, AR_STR("a\0b\r\n\xff"))));
	assert_int_equal(access(file_of(pool, "acme", blob.id), R_OK), 0);
	assert_int_equal(ar_blob_open(AR_STR("acme"), blob.id, &fd), 0);
	assert_int_equal(read(fd, back, sizeof(back)), 6);
	assert_memory_equal(back, "a\0b\r\n\xff", 6);
	assert_int_equal(ar_blob_delete(AR_STR("acme"), blob.id), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read(fd, back, sizeof(back)), 6);
	close(fd);
	assert_int_equal(ar_blob_open(AR_STR("acme"), blob.id, &fd), -1);
	assert_true(ar_err_is(AR_E_BLOB_MISSING));
	assert_int_equal(ar_blob_delete(AR_STR("acme"), blob.id), 0);
	ar_pool_free(pool);
}

static void ids_name_no_path(void)
{
	int fd = -1;

	assert_int_equal(ar_blob_open(AR_STR("acme"), AR_STR("../../../../../../../etc/passwd"), &fd), -1);
	assert_true(ar_err_is(AR_E_BLOB_MISSING));
	assert_int_equal(fd, -1);
}

static struct ar_str kept;

static int known(void *arg AR_UNUSED, struct ar_str id, bool *ret)
{
	*ret = ar_str_eq(id, kept);
	return 0;
}

static void sweep(void)
{
	struct ar_pool *pool = ar_pool_new();
	struct utimbuf old = { 1000, 1000 };
	struct ar_blob keep, lost, young;
	int64_t deleted = -1;

	assert_int_equal(ar_blob_put(pool, AR_STR("beta"), AR_STR("keep"), &keep), 0);
	assert_int_equal(ar_blob_put(pool, AR_STR("beta"), AR_STR("lost"), &lost), 0);
	assert_int_equal(ar_blob_put(pool, AR_STR("beta"), AR_STR("young"), &young), 0);
	utime(file_of(pool, "beta", keep.id), &old);
	utime(file_of(pool, "beta", lost.id), &old);
	kept = keep.id;
	assert_int_equal(ar_blob_sweep(pool, AR_STR("beta"), 3600000, known, NULL, &deleted), 0);
	assert_int_equal(deleted, 1);
	assert_int_equal(access(file_of(pool, "beta", keep.id), R_OK), 0);
	assert_int_equal(access(file_of(pool, "beta", young.id), R_OK), 0);
	assert_int_not_equal(access(file_of(pool, "beta", lost.id), R_OK), 0);
	assert_int_equal(ar_blob_drop(AR_STR("beta")), 0);
	assert_int_not_equal(access(ar_printf(pool, "%s/beta", folder), R_OK), 0);
	ar_pool_free(pool);
}

static void test_put_and_read(void **state AR_UNUSED)
{
	run(put_and_read);
}

static void test_ids_name_no_path(void **state AR_UNUSED)
{
	run(ids_name_no_path);
}

static void test_sweep(void **state AR_UNUSED)
{
	run(sweep);
}

static int setup(void **state AR_UNUSED)
{
	return mkdtemp(folder) == NULL || ar_offload_start(2) != 0 ? -1 : ar_blob_init(ar_str(folder));
}

static int teardown(void **state AR_UNUSED)
{
	char command[64];

	ar_offload_stop();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_read),
		cmocka_unit_test(test_ids_name_no_path),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
