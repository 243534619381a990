/*
 * run.c - the list of runs: kept in memory for a moment, written in one commit with its neighbours.
 *
 * One durable commit for each call of a function would cost more than the call. The list is a log:
 * a crash can lose its last fifth of a second. It is bounded in memory (what would not fit is
 * counted in a log line) and in the store (the last 1,000 of each function).
 */
#include "function/function_int.h"

#define FLUSH_MS    200
#define PENDING_MAX 4096
#define TEXT_MAX    (64 * 1024) /* of an input or output that is kept; longer ones are cut */
#define KEPT        1000

struct entry {
	struct entry *next;
	struct ar_pool *pool;
	struct ar_json args[14];
	struct ar_str function;
};

struct batch { /* one tenant's, on one loop */
	struct batch *next;
	struct ar_str tenant; /* heap */
	struct entry *first, **last;
	size_t count, dropped;
	bool scheduled;
};

static _Thread_local struct batch *batches;
static _Thread_local unsigned flushing;
static _Thread_local struct ar_cond flushed;

static struct batch *batch_of(struct ar_str tenant)
{
	struct batch *batch;

	for (batch = batches; batch != NULL; batch = batch->next)
		if (ar_str_eq(batch->tenant, tenant))
			return batch;
	batch = ar_heap_new(struct batch);
	batch->tenant = ar_str(ar_heap_strz(tenant));
	batch->last = &batch->first;
	batch->next = batches;
	batches = batch;
	return batch;
}

static void batch_remove(struct batch *batch)
{
	struct batch **at = &batches;

	while (*at != batch)
		at = &(*at)->next;
	*at = batch->next;
	ar_heap_free((char *)batch->tenant.p);
	ar_heap_free(batch);
}

static struct ar_json text_of(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_str text;

	if (value == NULL)
		return AR_J_NULL;
	text = ar_json_print(pool, value);
	if (text.n > TEXT_MAX)
		text = ar_strf(pool, "{\"cut\":true,\"bytes\":%zu}", text.n);
	return AR_J_STR(text);
}

static struct ar_json logs_of(struct ar_pool *pool, const struct ar_sandbox_result *result)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" };
	struct ar_buf *buf = ar_buf_new(pool, (size_t)1 << 20);
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_jw_array(&w);
	for (size_t i = 0; i < result->nlogs; i++) {
		ar_jw_object(&w);
		ar_jw_keyz(&w, "level");
		ar_jw_strz(&w, levels[result->logs[i].level]);
		ar_jw_keyz(&w, "text");
		ar_jw_str(&w, result->logs[i].text);
		ar_jw_object_end(&w);
	}
	ar_jw_array_end(&w);
	return buf->over ? AR_J_Z("[]") : AR_J_STR(ar_buf_view(buf));
}

static struct ar_json error_of(struct ar_pool *pool, const struct function_run_record *r)
{
	struct ar_json *error;

	if (r->error == NULL)
		return AR_J_NULL;
	error = r->result->error != NULL ? ar_json_copy(pool, r->result->error)
					 : ar_json_new(pool, AR_OBJECT);
	ar_json_set(error, AR_STR("code"), ar_json_str(pool, ar_str(r->error)));
	return text_of(pool, error);
}

static struct entry *entry_new(const struct function_run_record *r)
{
	static const struct ar_json nothing = { .type = AR_NULL };
	struct ar_pool *pool = ar_pool_new();
	struct entry *entry = ar_new(pool, struct entry);
	const struct ar_sandbox_result *result = r->result;
	struct ar_json args[] = {
		AR_J_STR(ar_str_dup(pool, r->id)),
		AR_J_STR(ar_str_dup(pool, r->function)),
		AR_J_STR(ar_str_dup(pool, r->version)),
		AR_J_Z(r->cause),
		AR_J_Z(r->error == NULL ? "ok" : "failed"),
		text_of(pool, r->input != NULL ? r->input : &nothing),
		text_of(pool, result->output),
		error_of(pool, r),
		logs_of(pool, result),
		AR_J_INT(result->wall_us),
		AR_J_INT(result->cpu_us),
		AR_J_INT((int64_t)result->memory_peak),
		AR_J_STR(ar_str_dup(pool, r->trace_id)),
		AR_J_INT(r->created_ms),
	};

	memcpy(entry->args, args, sizeof(args));
	entry->pool = pool;
	entry->function = args[1].s;
	return entry;
}

AR_YIELDS static int entries_write(struct ar_tenant *tenant, struct ar_pool *pool,
				   struct entry *first)
{
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	for (struct entry *e = first; e != NULL; e = e->next) {
		if (ar_exec(&scope,
			    "INSERT INTO function_runs (id, function, version, cause, status, input, "
			    "output, error, logs, duration_us, cpu_us, memory, trace_id, created) "
			    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    e->args, AR_COUNT(e->args), NULL) != 0) {
			ar_rollback(&scope);
			return -1;
		}
	}
	/* Ids grow with time. Only the function written last is looked at: each has its turn. */
	for (struct entry *e = first; e != NULL; e = e->next)
		if (e->next == NULL &&
		    ar_exec(&scope,
			    "DELETE FROM function_runs WHERE function = ? AND id < (SELECT id FROM "
			    "function_runs WHERE function = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
			    AR_ARGS(AR_J_STR(e->function), AR_J_STR(e->function), AR_J_INT(KEPT)),
			    NULL) != 0) {
			ar_rollback(&scope);
			return -1;
		}
	return ar_commit(&scope);
}

AR_YIELDS static void batch_write(struct batch *batch)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct entry *first = batch->first, *next;
	struct ar_tenant *tenant;

	if (batch->dropped > 0)
		ar_warn("function", "runs not recorded: too many at once", "count",
			ar_printf(pool, "%zu", batch->dropped));
	batch->first = NULL;
	batch->last = &batch->first;
	batch->count = batch->dropped = 0;
	if (first == NULL)
		return;
	if (ar_tenant_acquire(batch->tenant, &tenant) == 0) {
		if (entries_write(tenant, pool, first) != 0)
			ar_log_err(AR_WARN, "function", "runs not recorded");
		ar_tenant_release(tenant);
	}
	ar_err_clear(); /* a tenant that was deleted meanwhile has no runs */
	for (struct entry *e = first; e != NULL; e = next) {
		next = e->next;
		ar_pool_free(e->pool);
	}
}

AR_YIELDS static void batch_fiber(void *arg)
{
	struct batch *batch = arg;

	while (batch->first != NULL) {
		if (ar_sleep(FLUSH_MS) != 0)
			ar_err_clear(); /* the loop ends: write what there is */
		ar_shield(true);
		batch_write(batch);
		ar_shield(false);
	}
	batch_remove(batch);
	flushing--;
	ar_cond_broadcast(&flushed);
}

void function_run_record(struct ar_tenant *tenant, const struct function_run_record *record)
{
	struct batch *batch = batch_of(tenant->name);
	struct entry *entry;

	if (batch->count >= PENDING_MAX) {
		batch->dropped++;
		return;
	}
	entry = entry_new(record);
	*batch->last = entry;
	batch->last = &entry->next;
	batch->count++;
	if (!batch->scheduled) {
		batch->scheduled = true;
		flushing++;
		ar_go("function runs", batch_fiber, batch, AR_NO_DEADLINE);
	}
}

AR_YIELDS void function_runs_flush(void)
{
	while (flushing > 0)
		if (ar_cond_wait_for(&flushed, 10 * FLUSH_MS) != 0)
			break;
	ar_err_clear();
}

/* ---- looking in ---- */

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
	static const char *const texts[] = { "id",     "function", "version",
					     "cause",  "status",   "traceId" };
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
		     AR_ARGS(AR_J_STR(ar_in_str(call, "name")), AR_J_STR(ar_in_str(call, "id")))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "run");
	run_write(ar_reply_json(call, 0), &rows);
	return 0;
}
