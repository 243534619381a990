/*
 * look.c - the list of a function's runs, and one of them: as run.c has written them.
 */
#include "function/function_int.h"

AR_YIELDS int function_run_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "function" },
		{ .name = "version" },
		{ .name = "cause" },
		{ .name = "status" },
		{ .name = "durationUs", .sql = "duration_us", .type = AR_LIST_INT },
		{ .name = "cpuUs", .sql = "cpu_us", .type = AR_LIST_INT },
		{ .name = "memory", .type = AR_LIST_INT },
		{ .name = "input", .type = AR_LIST_JSON },
		{ .name = "output", .type = AR_LIST_JSON },
		{ .name = "error", .type = AR_LIST_JSON },
		{ .name = "logs", .type = AR_LIST_JSON },
		{ .name = "traceId", .sql = "trace_id" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "function_runs", columns, "-id" };

	return ar_list_table(call, &table, "function = ?",
			     AR_ARGS(AR_J_STR(ar_in_str(call, "name"))));
}

static void run_write(struct ar_jw *w, struct ar_rows *rows)
{
	static const char *const texts[] = { "id",    "function", "version",
					     "cause", "status",   "traceId" };
	static const char *const values[] = { "input", "output", "error", "logs" };
	static const char *const numbers[] = { "durationUs", "cpuUs", "memory" };
	size_t at = 0;

	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		ar_jw_keyz(w, texts[i]);
		ar_jw_str(w, ar_col_str(rows, at++));
	}
	for (size_t i = 0; i < AR_COUNT(values); i++, at++) {
		ar_jw_keyz(w, values[i]);
		ar_jw_raw(w, ar_col_null(rows, at) ? AR_STR("null") : ar_col_str(rows, at));
	}
	for (size_t i = 0; i < AR_COUNT(numbers); i++) {
		ar_jw_keyz(w, numbers[i]);
		ar_jw_int(w, ar_col_int(rows, at++));
	}
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(rows, at));
	ar_jw_object_end(w);
}

AR_YIELDS int function_run_get(struct ar_call *call)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT id, function, version, cause, status, trace_id, input, output, error, "
		     "logs, duration_us, cpu_us, memory, created FROM function_runs "
		     "WHERE function = ? AND id = ?",
		     AR_ARGS(AR_J_STR(ar_in_str(call, "name")), AR_J_STR(ar_in_str(call, "id")))) !=
	    0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	run_write(ar_reply_json(call, 0), &rows);
	return 0;
}
