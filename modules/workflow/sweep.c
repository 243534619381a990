/*
 * sweep.c - runs that ended long ago go, with their steps: once a day, some hundred at a time.
 *
 * How long ago is the setting runs-keep-days. A run that has not ended stays, however old it is.
 */
#include "config/config.h"
#include "workflow/workflow_int.h"

#define DAY_MS INT64_C(86400000)
#define ROWS   200

AR_YIELDS int workflow_sweep(struct ar_scope *scope, struct ar_str database AR_UNUSED,
			     bool *ret_more)
{
	int64_t before = ar_now_ms() - ar_config_int("runs-keep-days") * DAY_MS, changed = 0;

	/* The steps go by their reference. */
	if (ar_exec(scope,
		    "DELETE FROM workflow_runs WHERE id IN (SELECT id FROM workflow_runs WHERE "
		    "finished IS NOT NULL AND finished < ? ORDER BY finished LIMIT ?)",
		    AR_ARGS(AR_J_INT(before), AR_J_INT(ROWS)), &changed) != 0)
		return -1;
	*ret_more = changed == ROWS;
	return 0;
}
