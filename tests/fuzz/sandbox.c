/*
 * sandbox.c - a value as an executor in an attacker's hands might send it: refused, or a value that
 * can be printed and written back.
 */
#include "sandbox/wire.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_pool *pool = ar_pool_new();
	struct wire_reader r = { data, data + size, false };
	struct ar_json *v;

	if (sb_value_read(pool, &r, &v)) {
		struct ar_buf *buf = ar_buf_new(pool, 64 << 20);

		ar_json_print(pool, v);
		if (sb_value_write(buf, v) != 0)
			abort();
	}
	ar_pool_free(pool);
	return 0;
}
