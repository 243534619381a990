/*
 * memory.c - pools, buffers, maps, embedded files.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/harness/test.h"

extern const struct ar_file test_files[];

static char ran[16];
static size_t ran_n;

static void note(void *what)
{
	ran[ran_n++] = *(const char *)what;
}

static void pool_zeroed_and_aligned(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 2047, 2048, 2049, 9000, 100000 };
	struct ar_pool *pool = ar_pool_new();
	size_t total = 0;

	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < AR_COUNT(sizes); i++) {
			unsigned char *p = ar_alloc(pool, sizes[i]);

			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0xAA, sizes[i]); /* the next pool gets these chunks again */
			total += sizes[i];
		}
		if (round % 100 == 50) {
			assert_int_equal(ar_pool_size(pool), total);
			ar_pool_reset(pool);
			assert_int_equal(ar_pool_size(pool), 0);
			total = 0;
		}
		if (round % 100 == 99) {
			ar_pool_free(pool);
			pool = ar_pool_new();
			total = 0;
		}
	}
	ar_pool_free(pool);
	ar_pool_free(NULL);
}

/* Neighbours keep their bytes whatever is allocated between them. */
static void pool_blocks_do_not_overlap(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct {
		unsigned char *p;
		size_t n;
	} blocks[500];

	for (size_t i = 0; i < AR_COUNT(blocks); i++) {
		blocks[i].n = i * 37 % 3000 + 1;
		blocks[i].p = ar_alloc(pool, blocks[i].n);
		memset(blocks[i].p, (int)(i % 251), blocks[i].n);
	}
	for (size_t i = 0; i < AR_COUNT(blocks); i++) {
		for (size_t k = 0; k < blocks[i].n; k++)
			assert_int_equal(blocks[i].p[k], i % 251);
	}
	ar_pool_free(pool);
}

static void defer_more(void *pool)
{
	ran[ran_n++] = 'm';
	ar_defer(pool, note, "n");
}

static void pool_deferred(void **state)
{
	struct ar_pool *pool = ar_pool_new();

	ran_n = 0;
	ar_defer(pool, note, "1");
	ar_defer(pool, note, "2");
	ar_pool_reset(pool);
	assert_memory_equal(ran, "21", 2);
	ar_defer(pool, note, "3");
	ar_defer(pool, defer_more, pool);
	ar_pool_cleanup(&pool);
	assert_null(pool);
	assert_int_equal(ran_n, 5);
	assert_memory_equal(ran, "21mn3", 5);
}

static void pool_printing(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	char wide[1000];
	struct ar_str s;

	memset(wide, 'x', sizeof(wide));
	assert_string_equal(ar_printf(pool, "%d-%s", 7, "seven"), "7-seven");
	s = ar_strf(pool, "<%.*s>", (int)sizeof(wide), wide);
	assert_int_equal(s.n, 1002);
	assert_int_equal(strlen(s.p), 1002);
	assert_int_equal(s.p[1001], '>');
}

static void *thread_pools(void *arg)
{
	for (int i = 0; i < 100; i++)
		ar_pool_free(ar_pool_new());
	ar_fail(AR_E_CONFLICT, "what", "left on purpose"); /* the thread's end frees it */
	return NULL;
}

static void pools_end_with_their_thread(void **state)
{
	for (int i = 0; i < 4; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, thread_pools, NULL), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

/* A product of sizes that wraps around must not give a small block. */
static void overflow_ends_the_process(void **state)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct ar_pool *pool = ar_pool_new();

		signal(SIGABRT, SIG_DFL);
		close(2);
		ar_alloc_n(pool, SIZE_MAX / 8, 16);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void buf_grows_and_refuses(void **state)
{
	struct ar_buf buf;

	ar_buf_init(&buf, 1000);
	assert_ok(ar_buf_add(&buf, NULL, 0));
	for (int i = 0; i < 100; i++)
		assert_ok(ar_buf_z(&buf, "123456789"));
	assert_ok(ar_buf_char(&buf, '!'));
	assert_int_equal(buf.n, 901);
	assert_fails(ar_buf_printf(&buf, "%0100d", 1), AR_E_TOO_LARGE);
	assert_int_equal(buf.n, 901);
	assert_true(buf.over);
	assert_fails(ar_buf_char(&buf, 'x'), AR_E_TOO_LARGE); /* nothing more: it stays a prefix */
	assert_int_equal(buf.n, 901);
	ar_buf_done(&buf);
	assert_int_equal(buf.max, 1000);
	assert_ok(ar_buf_printf(&buf, "%0600d", 1)); /* longer than printf's own room */
	assert_int_equal(buf.n, 600);
	assert_int_equal(buf.p[599], '1');
	assert_null(ar_buf_room(&buf, SIZE_MAX));
	ar_buf_done(&buf);
	ar_err_clear();
}

static void buf_exactly_full(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, 5), *none = ar_buf_new(pool, 0);

	assert_ok(ar_buf_str(buf, AR_STR("12345")));
	assert_str(ar_buf_view(buf), "12345");
	assert_false(buf->over);
	assert_fails(ar_buf_char(buf, '6'), AR_E_TOO_LARGE);
	assert_ok(ar_buf_z(none, ""));
	assert_fails(ar_buf_char(none, 'x'), AR_E_TOO_LARGE);
}

static void buf_integers(void **state)
{
	static const struct {
		int64_t v;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ -7, "-7" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_buf buf AR_CLEANUP(ar_buf_done) = { .max = 64 };

		assert_ok(ar_buf_int(&buf, rows[i].v));
		assert_str(ar_buf_view(&buf), rows[i].text);
	}
}

static bool remove_even(struct ar_str key, void *value, void *map)
{
	if ((uintptr_t)value % 2 == 0)
		assert_ptr_equal(ar_map_remove(map, key), value);
	return true;
}

static bool stop_at_third(struct ar_str key, void *value, void *count)
{
	return ++*(int *)count < 3;
}

static void map_keeps_what_it_was_given(void **state)
{
	struct ar_map *map = ar_map_new();
	char key[32];
	int seen = 0;

	for (uintptr_t i = 1; i <= 5000; i++) {
		snprintf(key, sizeof(key), "key-%zu", (size_t)i);
		assert_null(ar_map_set(map, ar_str(key), (void *)i));
	}
	snprintf(key, sizeof(key), "%s", "changed"); /* keys were copied */
	assert_int_equal(ar_map_count(map), 5000);
	assert_ptr_equal(ar_map_get(map, AR_STR("key-77")), (void *)77);
	assert_null(ar_map_get(map, AR_STR("key-7777")));
	assert_ptr_equal(ar_map_set(map, AR_STR("key-77"), (void *)79), (void *)77);
	assert_ptr_equal(ar_map_remove(map, AR_STR("key-79")), (void *)79);
	assert_null(ar_map_remove(map, AR_STR("key-79")));
	ar_map_each(map, remove_even, map);
	assert_int_equal(ar_map_count(map), 2499);
	assert_null(ar_map_get(map, AR_STR("key-78")));
	ar_map_each(map, stop_at_third, &seen);
	assert_int_equal(seen, 3);
	ar_map_free(map, NULL);
	ar_map_free(NULL, NULL);
}

static void map_keys_are_bytes(void **state)
{
	struct ar_map *map = ar_map_new();

	ar_map_set(map, ar_str_n("a\0b", 3), ar_heap_strz(AR_STR("nul inside")));
	ar_map_set(map, AR_STR_NONE, ar_heap_strz(AR_STR("empty")));
	assert_null(ar_map_get(map, AR_STR("a")));
	assert_string_equal(ar_map_get(map, ar_str_n("a\0b", 3)), "nul inside");
	assert_string_equal(ar_map_get(map, ar_str("")), "empty");
	ar_map_free(map, ar_heap_free);
}

/* tests/embed/ went through scripts/dev/embed: every byte value, and a file without any. */
static void embedded_files(void **state)
{
	const struct ar_file *f = ar_file_find(test_files, AR_STR("bytes.bin"));
	unsigned char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = i;
	assert_non_null(f);
	assert_int_equal(f->size, 256);
	assert_memory_equal(f->data, all, 256);
	f = ar_file_find(test_files, AR_STR("sub/empty.txt"));
	assert_non_null(f);
	assert_int_equal(f->size, 0);
	assert_null(ar_file_find(test_files, AR_STR("empty.txt")));
	f = ar_file_find(test_files, AR_STR("sub/\xE4\xB8\xAD.txt"));
	assert_non_null(f);
	assert_string_equal(f->data, "digits after an escape: \xC3\xA9"
				     "1 ?\?= \"q\" \\n\n");
	assert_string_equal(test_files[0].path, "bytes.bin"); /* sorted */
	assert_null(test_files[3].path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_zeroed_and_aligned),
		cmocka_unit_test(pool_blocks_do_not_overlap),
		cmocka_unit_test(pool_deferred),
		cmocka_unit_test(pool_printing),
		cmocka_unit_test(pools_end_with_their_thread),
		cmocka_unit_test(overflow_ends_the_process),
		cmocka_unit_test(buf_grows_and_refuses),
		cmocka_unit_test(buf_exactly_full),
		cmocka_unit_test(buf_integers),
		cmocka_unit_test(map_keeps_what_it_was_given),
		cmocka_unit_test(map_keys_are_bytes),
		cmocka_unit_test(embedded_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
