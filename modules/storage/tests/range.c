/*
 * range.c - tests of one range of bytes.
 */
#include "storage/storage_int.h"
#include "tests/harness/test.h"

static const struct {
	const char *header;
	int64_t size;
	int result;
	int64_t offset, length;
} rows[] = {
	{ "bytes=0-9", 100, 1, 0, 10 },
	{ "bytes=90-", 100, 1, 90, 10 },
	{ "bytes=-10", 100, 1, 90, 10 },
	{ "bytes=-1000", 100, 1, 0, 100 },
	{ "bytes=95-200", 100, 1, 95, 5 },
	{ "Bytes=0-0", 1, 1, 0, 1 },
	{ "bytes=100-", 100, -1, 0, 0 },
	{ "bytes=0-", 0, -1, 0, 0 },
	{ "bytes=-0", 100, -1, 0, 0 },
	{ "bytes=5-4", 100, 0, 0, 0 },
	{ "bytes=0-1,5-6", 100, 0, 0, 0 },
	{ "items=0-1", 100, 0, 0, 0 },
	{ "bytes=a-b", 100, 0, 0, 0 },
	{ "bytes", 100, 0, 0, 0 },
	{ "bytes=--5", 100, 0, 0, 0 },
	{ "bytes=0-99999999999999999999", 100, 0, 0, 0 },
	{ "bytes=9223372036854775807-", 100, -1, 0, 0 },
};

static void ranges(void **state AR_UNUSED)
{
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		int64_t offset = -7, length = -7;
		int got = storage_range(ar_str(rows[i].header), rows[i].size, &offset, &length);

		if (got != rows[i].result)
			print_message("%s of %d\n", rows[i].header, (int)rows[i].size);
		assert_int_equal(got, rows[i].result);
		if (got == 1) {
			assert_int_equal(offset, rows[i].offset);
			assert_int_equal(length, rows[i].length);
		}
		ar_err_clear();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ranges) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
