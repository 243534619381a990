/*
 * gap.c - PostgreSQL: numbers of the log that a read does not show.
 *
 * There seq is drawn when a row is inserted, and units of work commit in any order: a missing number
 * is either still to come or was rolled back. Whoever draws one holds a ROW EXCLUSIVE lock on the
 * table from before until its end. So: note who holds that lock after the gap was seen; once all of
 * them have ended, a read that still does not show the number proves that it will never come.
 * Neither other tenants' transactions nor long ones that publish nothing are waited for.
 * On SQLite units are serial and this file is not called.
 */
#include "bus/bus_int.h"

#define GAP_WAIT_MS 2

struct gap {
	int64_t from;
	bool clear; /* all that might have had it had ended before the read at hand began */
	struct ar_pool *pool;
	struct ar_str *holders;
	size_t nholders;
};

void gap_free(struct gap *gap)
{
	if (gap == NULL)
		return;
	ar_pool_free(gap->pool);
	ar_heap_free(gap);
}

static AR_YIELDS int holders_read(struct ar_scope *scope, struct ar_rows *ret)
{
	return ar_query(scope, ret,
			"SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' "
			"AND database = (SELECT oid FROM pg_database WHERE datname = "
			"current_database()) AND relation = to_regclass('bus_event') "
			"AND mode = 'RowExclusiveLock' AND granted",
			AR_NO_ARGS);
}

static void holders_note(struct gap *gap, struct ar_rows *rows)
{
	gap->holders = ar_new_n(gap->pool, struct ar_str, rows->count + 1);
	gap->nholders = 0;
	while (ar_rows_next(rows))
		gap->holders[gap->nholders++] = ar_str_dup(gap->pool, ar_col_str(rows, 0));
	gap->clear = gap->nholders == 0;
}

static bool any_left(const struct gap *gap, struct ar_rows *rows)
{
	while (ar_rows_next(rows)) {
		for (size_t i = 0; i < gap->nholders; i++) {
			if (ar_str_eq(gap->holders[i], ar_col_str(rows, 0)))
				return true;
		}
	}
	return false;
}

int gap_is_dead(struct worker *w, struct ar_scope *scope, int64_t from, bool *ret)
{
	struct ar_rows rows;

	*ret = w->gap != NULL && w->gap->from == from && w->gap->clear;
	if (*ret) {
		gap_free(w->gap);
		w->gap = NULL;
		return 0;
	}
	if (holders_read(scope, &rows) != 0)
		return -1;
	if (w->gap == NULL || w->gap->from != from) {
		gap_free(w->gap);
		w->gap = ar_heap_new(struct gap);
		w->gap->from = from;
		w->gap->pool = ar_pool_new();
		holders_note(w->gap, &rows);
	} else {
		w->gap->clear = !any_left(w->gap, &rows);
	}
	w->look_ms = ar_now_ms() + (w->gap->clear ? 0 : GAP_WAIT_MS);
	return 0;
}
