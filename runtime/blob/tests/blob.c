/*
 * blob.c - what is put comes back byte for byte, is on disk under an id, goes away when told; the
 * sweep takes what nobody knows and nothing else.
 */
#include "blob/blob.h"
#include "tests/harness/fiber.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utime.h>

static char folder[] = "/tmp/apprun-blob-XXXXXX";
static bool started; /* the pool's threads */

static void in_fiber(void *arg)
{
	void (**fn)(void) = arg;

	(*fn)();
}

static void run(void (*fn)(void))
{
	if (!started)
		assert_int_equal(ar_offload_start(2), 0);
	started = true;
	fiber_run(in_fiber, &fn);
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

	assert_int_equal(
		ar_blob_open(AR_STR("acme"), AR_STR("../../../../../../../etc/passwd"), &fd), -1);
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
	assert_int_equal(ar_blob_sweep(AR_STR("beta"), 3600000, known, NULL, &deleted), 0);
	assert_int_equal(deleted, 1);
	assert_int_equal(access(file_of(pool, "beta", keep.id), R_OK), 0);
	assert_int_equal(access(file_of(pool, "beta", young.id), R_OK), 0);
	assert_int_not_equal(access(file_of(pool, "beta", lost.id), R_OK), 0);
	assert_int_equal(ar_blob_drop(AR_STR("beta")), 0);
	assert_int_not_equal(access(ar_printf(pool, "%s/beta", folder), R_OK), 0);
	ar_pool_free(pool);
}

/* ---- a tenant with many files ---- */

#define MANY 3000

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static size_t held_before, held_most;
static int asked;

static int known_many(void *arg AR_UNUSED, struct ar_str id AR_UNUSED, bool *ret)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		held_most = AR_MAX(held_most, __sanitizer_get_current_allocated_bytes());
	*ret = asked++ % 2 == 0;
	return 0;
}

/* What a sweep holds does not grow with all that a tenant has. */
static void sweep_of_many(void)
{
	struct utimbuf old = { 1000, 1000 };
	struct ar_pool *pool = ar_pool_new();
	int64_t deleted = 0;

	mkdir(ar_printf(pool, "%s/many", folder), 0700);
	for (int i = 0; i < MANY; i++) {
		struct ar_pool *one = ar_pool_new();
		struct ar_str id = ar_id(one);
		const char *path = file_of(one, "many", id);
		int fd;

		mkdir(ar_printf(one, "%s/many/%.2s", folder, id.p + id.n - 2), 0700);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(utime(path, &old), 0);
		ar_pool_free(one);
	}
	if (__sanitizer_get_current_allocated_bytes != NULL)
		held_before = __sanitizer_get_current_allocated_bytes();
	assert_int_equal(ar_blob_sweep(AR_STR("many"), 3600000, known_many, NULL, &deleted), 0);
	assert_int_equal(asked, MANY);
	assert_int_equal(deleted, MANY / 2);
	assert_true(held_most < held_before + MANY * 20);
	assert_int_equal(ar_blob_drop(AR_STR("many")), 0);
	ar_pool_free(pool);
}

/* ---- a process that is killed in the middle of a put ---- */

#define PIECES 3000

/* Blobs of many sizes, each PIECES or fewer times the same eight bytes, until killed. */
static void put_without_end(void)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, PIECES * 8 + 8);
	struct ar_blob blob;

	for (uint32_t i = 0;; i++) {
		uint32_t n = 1 + i * 37 % PIECES;

		buf->n = 0;
		for (uint32_t j = 0; j < n; j++) {
			ar_buf_add(buf, &n, 4);
			ar_buf_add(buf, &j, 4);
		}
		if (ar_blob_put(pool, AR_STR("kill"), ar_buf_view(buf), &blob) != 0)
			_exit(1);
	}
}

static void is_whole(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint32_t pair[2], n = 0, j = 0;

	assert_non_null(file);
	for (; fread(pair, 8, 1, file) == 1; j++) {
		if (j == 0)
			n = pair[0];
		assert_int_equal(pair[0], n);
		assert_int_equal(pair[1], j);
	}
	assert_int_equal(j, n);
	assert_true(n > 0);
	fclose(file);
}

/* Counts what stands under a blob's name, each of which must be whole, and what does not. */
static void look(const char *tenant, int *ret_whole, int *ret_cut)
{
	*ret_whole = *ret_cut = 0;
	for (int i = 0; i < 256; i++) {
		char path[300], name[600];
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "%s/%s/%02x", folder, tenant, (unsigned)i);
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL) {
			if (entry->d_name[0] == '.')
				continue;
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			if (ar_id_valid(ar_str(entry->d_name))) {
				is_whole(name);
				(*ret_whole)++;
			} else {
				(*ret_cut)++;
			}
		}
		if (dir != NULL)
			closedir(dir);
	}
}

static int known_all(void *arg AR_UNUSED, struct ar_str id AR_UNUSED, bool *ret)
{
	*ret = true;
	return 0;
}

static void sweep_the_cut(void)
{
	struct ar_pool *pool = ar_pool_new();
	int64_t deleted;

	assert_int_equal(ar_blob_sweep(AR_STR("kill"), -10000, known_all, NULL, &deleted), 0);
	assert_int_equal(deleted, 0);
	ar_pool_free(pool);
}

static void test_killed(void **state AR_UNUSED)
{
	int whole = 0, cut = 0, after;

	/* more of them where a life is too short for a blob */
	for (int round = 0; round < 15 || (whole <= 15 && round < 300); round++) {
		pid_t pid = fork();

		if (pid == 0)
			run(put_without_end);
		assert_true(pid > 0);
		usleep(50000 + (useconds_t)round * 3337);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		look("kill", &whole, &cut);
	}
	assert_true(whole > 15);
	print_message("%d whole, %d cut off in 15 kills\n", whole, cut);
	run(sweep_the_cut);
	look("kill", &after, &cut);
	assert_int_equal(after, whole);
	assert_int_equal(cut, 0);
}

static void no_room(void)
{
	struct ar_pool *pool = ar_pool_new();
	struct rlimit before, small = { 1000, 1000 };
	struct ar_blob blob = { .size = -7 };
	int whole, cut;

	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(
		ar_blob_put(pool, AR_STR("full"), ar_str_n(ar_alloc(pool, 100000), 100000), &blob),
		-1);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_true(ar_err_is(AR_E_UNAVAILABLE));
	assert_int_equal(blob.size, -7);
	look("full", &whole, &cut);
	assert_int_equal(whole + cut, 0);
	ar_pool_free(pool);
}

static void test_no_room(void **state AR_UNUSED)
{
	run(no_room);
}

static void test_put_and_read(void **state AR_UNUSED)
{
	run(put_and_read);
}

static void test_ids_name_no_path(void **state AR_UNUSED)
{
	run(ids_name_no_path);
}

static void test_sweep_of_many(void **state AR_UNUSED)
{
	run(sweep_of_many);
}

static void test_sweep(void **state AR_UNUSED)
{
	run(sweep);
}

static int setup(void **state AR_UNUSED)
{
	return mkdtemp(folder) == NULL ? -1 : ar_blob_init(ar_str(folder));
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
		cmocka_unit_test(test_killed), /* forks: before there are threads */
		cmocka_unit_test(test_put_and_read),  cmocka_unit_test(test_ids_name_no_path),
		cmocka_unit_test(test_sweep),         cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_sweep_of_many),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
