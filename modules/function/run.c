/*
 * run.c - the list of runs: kept in memory for a moment, written in one commit with its neighbours.
 *
 * One durable commit for each call of a function would cost more than the call. The list is a log: a
 * crash can lose its last moment (a fifth of a second, up to one second of a busy tenant). It keeps
 * the last 1,000 runs of each function, so of a function that is called more often than that between
 * two writes only the last 1,000 are written at all. What is secret is masked before it gets here.
 */
#include "function/function_int.h"

#define FLUSH_MS      200         /* after the first entry */
#define AGAIN_MS      1000        /* after the last write */
#define KEPT          1000        /* runs of one function */
#define FUNCTIONS_MAX 64          /* of one tenant in a batch; more are counted, not listed */
#define BYTES_MAX     (8u << 20)  /* of a batch */
#define TEXT_MAX      (64 * 1024) /* of an input or output that is kept; a longer one is cut */
#define COLUMNS       14

struct entry {
	struct entry *next;
	struct ar_pool *pool;
	struct ar_json args[COLUMNS];
	size_t bytes;
};

struct log {                    /* of one function */
	struct ar_str function; /* heap */
	struct entry *first, **last;
	size_t count;
};

struct batch { /* one tenant's, on one loop */
	struct batch *next;
	struct ar_str tenant; /* heap */
	struct log logs[FUNCTIONS_MAX];
	size_t nlogs, bytes, dropped;
};

static _Thread_local struct batch *batches;
static _Thread_local bool stopping;
static _Thread_local struct ar_cond stop, gone; /* the loop ends; a batch did */

/* ---- batches ---- */

AR_YIELDS static void batch_fiber(void *arg);

static struct batch *batch_of(struct ar_str tenant)
{
	struct batch *batch;

	for (batch = batches; batch != NULL; batch = batch->next)
		if (ar_str_eq(batch->tenant, tenant))
			return batch;
	batch = ar_heap_new(struct batch);
	batch->tenant = ar_str_n(ar_heap_strz(tenant), tenant.n);
	batch->next = batches;
	batches = batch;
	ar_go("function runs", batch_fiber, batch, AR_NO_DEADLINE);
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

/* NULL: too many functions at once. */
static struct log *log_of(struct batch *batch, struct ar_str function)
{
	struct log *log;

	for (size_t i = 0; i < batch->nlogs; i++)
		if (ar_str_eq(batch->logs[i].function, function))
			return &batch->logs[i];
	if (batch->nlogs == FUNCTIONS_MAX)
		return NULL;
	log = &batch->logs[batch->nlogs++];
	*log = (struct log){ .function = ar_str_n(ar_heap_strz(function), function.n) };
	log->last = &log->first;
	return log;
}

static void oldest_drop(struct batch *batch, struct log *log)
{
	struct entry *oldest = log->first;

	log->first = oldest->next;
	if (log->first == NULL)
		log->last = &log->first;
	log->count--;
	batch->bytes -= oldest->bytes;
	ar_pool_free(oldest->pool);
}

static void logs_free(struct batch *batch)
{
	for (size_t i = 0; i < batch->nlogs; i++) {
		while (batch->logs[i].first != NULL)
			oldest_drop(batch, &batch->logs[i]);
		ar_heap_free((char *)batch->logs[i].function.p);
	}
	batch->nlogs = 0;
}

/* ---- entries ---- */

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

static struct ar_json logs_of(struct ar_pool *pool, const struct ar_sandbox_result *result,
			      const struct ar_json *secrets)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" };
	struct ar_json *list, *line, text;

	if (result->nlogs == 0)
		return AR_J_Z("[]");
	list = ar_json_new(pool, AR_ARRAY);
	for (size_t i = 0; i < result->nlogs; i++) {
		line = ar_json_new(pool, AR_OBJECT);
		text = AR_J_STR(result->logs[i].text);
		ar_json_set(line, AR_STR("level"),
			    ar_json_str(pool, ar_str(levels[result->logs[i].level])));
		ar_json_set(line, AR_STR("text"),
			    ar_json_copy(pool, ar_mask(pool, &text, NULL, secrets)));
		ar_json_add(list, line);
	}
	return AR_J_STR(ar_json_print(pool, list));
}

static struct ar_json error_of(struct ar_pool *pool, const struct function_run_record *r,
			       const struct ar_json *secrets)
{
	struct ar_json *error;

	if (r->error == NULL)
		return AR_J_NULL;
	error = r->result->error != NULL
			? ar_json_copy(pool, ar_mask(pool, r->result->error, NULL, secrets))
			: ar_json_new(pool, AR_OBJECT);
	ar_json_set(error, AR_STR("code"), ar_json_str(pool, ar_str(r->error)));
	return text_of(pool, error);
}

static struct entry *entry_new(const struct function_run_record *r)
{
	static const struct ar_json nothing = { .type = AR_NULL };
	const struct ar_json *input = r->input != NULL ? r->input : &nothing;
	const struct ar_sandbox_result *result = r->result;
	struct ar_pool *pool = ar_pool_new();
	struct entry *entry = ar_new(pool, struct entry);
	struct ar_json *secrets = ar_json_new(pool, AR_ARRAY), *output = result->output;

	ar_mask_gather(pool, input, NULL, secrets);
	input = ar_mask(pool, input, NULL, secrets);
	if (output != NULL)
		output = ar_mask(pool, output, NULL, secrets);
	struct ar_json args[COLUMNS] = {
		AR_J_STR(ar_str_dup(pool, r->id)),
		AR_J_STR(ar_str_dup(pool, r->function)),
		AR_J_STR(ar_str_dup(pool, r->version)),
		AR_J_Z(r->cause),
		AR_J_Z(r->error == NULL ? "ok" : "failed"),
		text_of(pool, input),
		text_of(pool, output),
		error_of(pool, r, secrets),
		logs_of(pool, result, secrets),
		AR_J_INT(result->wall_us),
		AR_J_INT(result->cpu_us),
		AR_J_INT((int64_t)result->memory_peak),
		AR_J_STR(ar_str_dup(pool, r->trace_id)),
		AR_J_INT(r->created_ms),
	};

	memcpy(entry->args, args, sizeof(args));
	entry->pool = pool;
	entry->bytes = ar_pool_size(pool);
	return entry;
}

void function_run_record(struct ar_tenant *tenant, const struct function_run_record *record)
{
	struct batch *batch = batch_of(tenant->name);
	struct log *log = log_of(batch, record->function);
	struct entry *entry;

	if (log == NULL) {
		batch->dropped++;
		return;
	}
	entry = entry_new(record);
	*log->last = entry;
	log->last = &entry->next;
	log->count++;
	batch->bytes += entry->bytes;
	while (log->count > 1 && (log->count > KEPT || batch->bytes > BYTES_MAX))
		oldest_drop(batch, log);
}

/* ---- writing ---- */

AR_YIELDS static int log_write(struct ar_scope *scope, const struct log *log)
{
	for (const struct entry *e = log->first; e != NULL; e = e->next)
		if (ar_exec(scope,
			    "INSERT INTO function_runs (id, function, version, cause, status, "
			    "input, output, error, logs, duration_us, cpu_us, memory, trace_id, "
			    "created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    e->args, COLUMNS, NULL) != 0)
			return -1;
	/* Ids grow with time. */
	return ar_exec(scope,
		       "DELETE FROM function_runs WHERE function = ? AND id <= (SELECT id FROM "
		       "function_runs WHERE function = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
		       AR_ARGS(AR_J_STR(log->function), AR_J_STR(log->function), AR_J_INT(KEPT)),
		       NULL);
}

AR_YIELDS static int logs_write(struct ar_tenant *tenant, struct ar_pool *pool,
				const struct batch *batch)
{
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	for (size_t i = 0; i < batch->nlogs; i++) {
		if (log_write(&scope, &batch->logs[i]) != 0) {
			ar_rollback(&scope);
			return -1;
		}
	}
	return ar_commit(&scope);
}

/* What comes while this writes is gathered for the next time. */
AR_YIELDS static void batch_write(struct batch *batch)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct batch *now = ar_new(pool, struct batch);
	struct ar_tenant *tenant;

	if (batch->dropped > 0)
		ar_warn("function", "runs not listed: too many functions at once", "count",
			ar_printf(pool, "%zu", batch->dropped));
	*now = *batch;
	for (size_t i = 0; i < now->nlogs; i++) /* the lists' ends pointed into the batch */
		now->logs[i].last = NULL;
	batch->nlogs = batch->bytes = batch->dropped = 0;
	if (ar_tenant_acquire(now->tenant, &tenant) == 0) {
		if (logs_write(tenant, pool, now) != 0)
			ar_log_err(AR_WARN, "function", "runs not listed");
		ar_tenant_release(tenant);
	}
	ar_err_clear(); /* a tenant that was deleted meanwhile has no runs */
	logs_free(now);
}

AR_YIELDS static void batch_fiber(void *arg)
{
	struct batch *batch = arg;
	int64_t pause = FLUSH_MS;

	ar_shield(true); /* when the loop ends, what there is gets written */
	do {
		if (!stopping)
			ar_cond_wait_for(&stop, pause);
		ar_err_clear();
		batch_write(batch);
		pause = AGAIN_MS - FLUSH_MS;
	} while (batch->nlogs > 0 || batch->dropped > 0);
	batch_remove(batch);
	ar_shield(false);
	ar_cond_broadcast(&gone);
}

AR_YIELDS int function_runs_start(void)
{
	stopping = false;
	return 0;
}

AR_YIELDS void function_runs_flush(void)
{
	stopping = true;
	ar_shield(true);
	ar_cond_broadcast(&stop);
	while (batches != NULL)
		ar_cond_wait(&gone);
	ar_shield(false);
}
