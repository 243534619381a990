/*
 * sweep.c - old entries of the list of runs go, of functions that are called no more too: once a day,
 * some hundred at a time. How old is the setting runs-keep-days; run.c keeps the last 1,000 anyway.
 */
#include "config/config.h"
#include "function/function_int.h"

#define DAY_MS INT64_C(86400000)
#define ROWS   500

AR_YIELDS int function_sweep(struct ar_scope *scope, struct ar_str database AR_UNUSED,
			     bool *ret_more)
{
	int64_t before = ar_now_ms() - ar_config_int("runs-keep-days") * DAY_MS, changed = 0;

	/* Ids grow with time: the oldest come first, and when there are few the rest is looked at. */
	if (ar_exec(scope,
		    "DELETE FROM function_runs WHERE id IN (SELECT x.id FROM (SELECT id, created "
		    "FROM function_runs ORDER BY id LIMIT ?) x WHERE x.created < ?)",
		    AR_ARGS(AR_J_INT(ROWS), AR_J_INT(before)), &changed) != 0)
		return -1;
	*ret_more = changed == ROWS;
	return 0;
}
