/*
 * range.c - one range of bytes (RFC 9110, 14.2). Several ranges in one header are answered with all.
 */
#include "storage/storage_int.h"

int storage_range(struct ar_str header, int64_t size, int64_t *ret_offset, int64_t *ret_length)
{
	struct ar_str rest = header, first, unit;
	int64_t from, to;

	unit = ar_str_cut(&rest, '=');
	if (rest.p == NULL || !ar_str_caseeq(ar_str_trim(unit), AR_STR("bytes")) ||
	    ar_str_find(rest, ',') >= 0)
		return 0;
	rest = ar_str_trim(rest);
	first = ar_str_cut(&rest, '-');
	if (rest.p == NULL)
		return 0;
	if (first.n == 0) { /* the last N bytes */
		if (!ar_str_int(rest, &to) || to < 0)
			return 0;
		from = size - AR_MIN(to, size);
		if (to == 0)
			return ar_fail(AR_E_RANGE);
		to = size - 1;
	} else {
		if (!ar_str_int(first, &from) || from < 0)
			return 0;
		to = size - 1;
		if (rest.n > 0 && (!ar_str_int(rest, &to) || to < from))
			return 0;
	}
	if (from >= size)
		return ar_fail(AR_E_RANGE);
	to = AR_MIN(to, size - 1);
	*ret_offset = from;
	*ret_length = to - from + 1;
	return 1;
}
