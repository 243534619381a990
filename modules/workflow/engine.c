/*
 * engine.c - who drives which run, on its tenant's home loop: one fiber a run, a line per tenant.
 *
 * A run has at most one driver: it is known by its id from the moment it is asked for until its driver
 * has ended, and being asked for again in between makes the driver look once more. What is on disk is
 * all there is to know, so a driver may end at any instant: when the process stops, when the store
 * fails (it comes back after a pause), or when all that is left is to wait long.
 *
 * The line in memory is short. What does not fit is not lost: it runs, in the store, and is read from
 * there when there is room.
 */
#include "workflow/workflow_int.h"

#define DRIVERS_MAX  256                /* of a tenant at once */
#define DRIVERS_SURE 16                 /* that memory does not stop */
#define BYTES_MAX    ((size_t)64 << 20) /* of what a tenant's runs remember, about */
#define QUEUE_MAX    1024
#define PAUSE_MS     250 /* after a failure of the store; doubles */
#define PAUSE_MAX_MS 30000

struct driver {
	struct ar_str id; /* heap */
	struct ar_fiber *fiber;
	struct workflow_run *run;   /* NULL: not loaded */
	struct workflow_seed *seed; /* NULL: read it from the store */
	struct driver *next;        /* in the queue */
	bool active, again;
	int failures;
};

struct line {                   /* a tenant's runs */
	struct ar_str database; /* heap */
	struct ar_map *drivers; /* by run: at work and queued */
	struct driver *first, **last;
	size_t active, queued;
	bool more, filling; /* the store has more; is being asked */
	bool starting;      /* somebody up the stack starts drivers of this line */
};

static _Thread_local struct ar_map *lines; /* by database */
static _Thread_local bool stopping;
static _Thread_local struct ar_cond ended;

/* ---- seeds ---- */

static char *put(char *at, struct ar_str s, struct ar_str *ret)
{
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	*ret = ar_str_n(at, s.n);
	return at + s.n;
}

struct workflow_seed *workflow_seed_new(const struct workflow_seed *of)
{
	struct workflow_seed *seed = ar_heap_alloc(sizeof(*seed) + of->version.n + of->input.n +
						   of->cause.n + of->trace_id.n);
	char *at = (char *)(seed + 1);

	seed->hops = of->hops;
	at = put(at, of->version, &seed->version);
	at = put(at, of->input, &seed->input);
	at = put(at, of->cause, &seed->cause);
	put(at, of->trace_id, &seed->trace_id);
	return seed;
}

static void seed_drop(struct driver *driver)
{
	ar_heap_free(driver->seed);
	driver->seed = NULL;
}

/* ---- lines ---- */

static struct line *line_find(struct ar_str database)
{
	return lines != NULL ? ar_map_get(lines, database) : NULL;
}

static struct line *line_of(struct ar_str database)
{
	struct line *line = line_find(database);

	if (line != NULL)
		return line;
	if (lines == NULL)
		lines = ar_map_new();
	line = ar_heap_new(struct line);
	line->database = ar_str_n(ar_heap_strz(database), database.n);
	line->drivers = ar_map_new();
	line->last = &line->first;
	ar_map_set(lines, line->database, line);
	return line;
}

static void line_remove_if_idle(struct line *line)
{
	if (line->active > 0 || line->queued > 0 || line->filling || line->more || line->starting)
		return;
	ar_map_remove(lines, line->database);
	ar_map_free(line->drivers, NULL);
	ar_heap_free((char *)line->database.p);
	ar_heap_free(line);
}

static void driver_free(struct line *line, struct driver *driver)
{
	ar_map_remove(line->drivers, driver->id);
	ar_heap_free((char *)driver->id.p);
	ar_heap_free(driver->seed);
	ar_heap_free(driver);
}

static bool add_bytes(struct ar_str id AR_UNUSED, void *value, void *arg)
{
	const struct driver *driver = value;

	if (driver->run != NULL)
		*(size_t *)arg += driver->run->bytes;
	return true;
}

static bool has_room(struct line *line)
{
	size_t bytes = 0;

	if (line->active < DRIVERS_SURE)
		return true;
	if (line->active >= DRIVERS_MAX)
		return false;
	ar_map_each(line->drivers, add_bytes, &bytes);
	return bytes < BYTES_MAX;
}

/* ---- one run ---- */

AR_YIELDS static int run_begin(struct driver *driver, struct workflow_run *run)
{
	static const struct ar_json_limits limits = { WORKFLOW_INPUT_MAX * 2, 256, 4000000 };
	struct workflow_seed *seed = driver->seed;

	if (seed == NULL)
		return workflow_run_load(run);
	run->version = ar_str_dup(run->pool, seed->version);
	run->trace_id = ar_str_dup(run->pool, seed->trace_id);
	run->hops = seed->hops;
	if (ar_json_parse(run->pool, ar_str_dup(run->pool, seed->input), &limits, &run->input) !=
		    0 ||
	    ar_json_parse(run->pool, ar_str_dup(run->pool, seed->cause), &limits, &run->cause) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	seed_drop(driver); /* what happens from here on is read from the store */
	if (workflow_run_begin(run) == 0)
		return 0;
	ar_err_clear();
	return workflow_run_load(run);
}

AR_YIELDS static int drive_run(struct driver *driver, struct workflow_run *run)
{
	int rc = run_begin(driver, run);

	if (rc == 0) {
		run->log = (struct ar_log_context){ .trace_id = run->trace_id,
						    .tenant = run->tenant->name,
						    .hops = run->hops };
		driver->run = run;
		rc = workflow_run_advance(run);
		driver->run = NULL;
	}
	if (rc != 0 && (ar_err_is(AR_E_NOT_FOUND) || ar_err_is(WORKFLOW_E_OVER)))
		rc = 0;
	if (rc != 0 && ar_err() != NULL && !ar_cancelled())
		ar_log_err(AR_WARN, "workflow", "a run is interrupted and will be taken up again");
	ar_err_clear();
	return rc;
}

AR_YIELDS static int drive_once(struct driver *driver, struct ar_str database)
{
	struct workflow_run run = { .id = driver->id };
	struct ar_log_context *before;
	int rc;

	if (ar_tenant_acquire(database, &run.tenant) != 0)
		return ar_err_is(AR_E_TENANT_UNKNOWN) ? 0 : -1;
	run.pool = ar_pool_new();
	before = ar_log_context_use(&run.log);
	rc = drive_run(driver, &run);
	ar_log_context_use(before);
	ar_pool_free(run.pool);
	ar_tenant_release(run.tenant);
	return rc;
}

/* ---- drivers ---- */

AR_YIELDS static int fill(struct line *line);

static void fill_fiber(void *arg)
{
	struct line *line = arg;

	do {
		if (fill(line) == 0)
			continue;
		ar_log_err(AR_WARN, "workflow", "runs that wait could not be read");
		ar_err_clear();
		ar_sleep(PAUSE_MS * 4);
		ar_err_clear();
	} while (!stopping && line->more && line->first == NULL && has_room(line));
	line->filling = false;
	if (!stopping)
		line_remove_if_idle(line);
	ar_cond_broadcast(&ended);
}

static void driver_start(struct line *line, struct driver *driver);

/* A driver may end before driver_start() returns, and come here again: the first one goes on. */
static void next_start(struct line *line)
{
	if (line->starting)
		return;
	line->starting = true;
	while (!stopping && line->first != NULL && has_room(line)) {
		struct driver *next = line->first;

		line->first = next->next;
		if (line->first == NULL)
			line->last = &line->first;
		line->queued--;
		driver_start(line, next);
	}
	if (!stopping && line->first == NULL && line->more && !line->filling && has_room(line)) {
		line->filling = true;
		ar_go("workflow line", fill_fiber, line, AR_NO_DEADLINE);
	}
	line->starting = false;
}

struct driving {
	struct line *line;
	struct driver *driver;
};

AR_YIELDS static void driver_fiber(void *arg)
{
	struct driving driving = *(struct driving *)arg;
	struct driver *driver = driving.driver;
	struct line *line = driving.line;
	int64_t pause;

	ar_heap_free(arg);
	driver->fiber = ar_self();
	do {
		driver->again = false;
		if (drive_once(driver, line->database) == 0) {
			driver->failures = 0;
			continue;
		}
		seed_drop(driver);
		pause = AR_MIN(PAUSE_MS * ((int64_t)1 << AR_MIN((unsigned)driver->failures, 10u)),
			       PAUSE_MAX_MS);
		driver->failures++;
		if (!ar_cancelled() && ar_sleep(pause) == 0)
			driver->again = true;
		ar_err_clear();
	} while (driver->again && !ar_cancelled());
	ar_err_clear();
	driver_free(line, driver);
	line->active--;
	next_start(line);
	if (!stopping)
		line_remove_if_idle(line);
	ar_cond_broadcast(&ended);
}

static void driver_start(struct line *line, struct driver *driver)
{
	struct driving *driving = ar_heap_new(struct driving);

	*driving = (struct driving){ line, driver };
	driver->active = true;
	line->active++;
	ar_go("workflow run", driver_fiber, driving, AR_NO_DEADLINE);
}

/* Takes the seed. The line may be gone afterwards: the run may have ended at once. */
static void enqueue(struct line *line, struct ar_str id, struct workflow_seed *seed)
{
	struct driver *driver = ar_map_get(line->drivers, id);
	bool room = has_room(line) && line->first == NULL;

	if (driver != NULL || (!room && line->queued >= QUEUE_MAX)) {
		ar_heap_free(seed);
		if (driver != NULL)
			driver->again = true;
		else
			line->more = true;
		return;
	}
	driver = ar_heap_new(struct driver);
	driver->id = ar_str_n(ar_heap_strz(id), id.n);
	ar_map_set(line->drivers, driver->id, driver);
	if (room) {
		driver->seed = seed;
		driver_start(line, driver);
		return;
	}
	ar_heap_free(seed); /* it will be read when its turn comes */
	*line->last = driver;
	line->last = &driver->next;
	line->queued++;
}

/* ---- from the store: after a restart, and when the line was too long ---- */

AR_YIELDS static int running_read(struct ar_tenant *tenant, struct ar_pool *pool,
				  struct ar_rows *ret)
{
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	return ar_query(&scope, ret,
			"SELECT id FROM workflow_runs WHERE status = 'running' "
			"AND (wake IS NULL OR wake <= ?) ORDER BY id LIMIT ?",
			AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_INT(DRIVERS_MAX + QUEUE_MAX)));
}

/* The line stays while this runs: `filling` is set. Returns -1, or 0. */
AR_YIELDS static int fill(struct line *line)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_tenant *tenant;
	struct ar_rows rows;

	if (ar_tenant_acquire(line->database, &tenant) != 0) {
		if (!ar_err_is(AR_E_TENANT_UNKNOWN))
			return -1;
		ar_err_clear();
		line->more = false;
		return 0;
	}
	line->more = false; /* what begins from here on is heard of */
	if (running_read(tenant, pool, &rows) != 0) {
		line->more = true;
		ar_tenant_release(tenant);
		return -1;
	}
	while (ar_rows_next(&rows) && !stopping)
		if (ar_map_get(line->drivers, ar_col_str(&rows, 0)) == NULL)
			enqueue(line, ar_col_str(&rows, 0), NULL);
	if (rows.count >= DRIVERS_MAX + QUEUE_MAX)
		line->more = true;
	ar_tenant_release(tenant);
	return 0;
}

AR_YIELDS int workflow_resume(struct ar_str database)
{
	struct line *line;
	int rc;

	if (stopping)
		return 0;
	line = line_of(database);
	if (line->filling)
		return 0;
	line->filling = true;
	rc = fill(line);
	line->filling = false;
	ar_cond_broadcast(&ended);
	if (rc != 0)
		line->more = false; /* the bus asks again */
	next_start(line);
	if (!stopping)
		line_remove_if_idle(line);
	return rc;
}

/* ---- from any loop ---- */

struct request {
	struct ar_str database, id; /* in one heap block with the request */
	struct workflow_seed *seed;
};

static struct request *request_new(struct ar_str database, struct ar_str id,
				   struct workflow_seed *seed)
{
	struct request *request = ar_heap_alloc(sizeof(*request) + database.n + id.n);
	char *at = put((char *)(request + 1), database, &request->database);

	put(at, id, &request->id);
	request->seed = seed;
	return request;
}

static void drive_at_home(void *arg)
{
	struct request *request = arg;

	if (stopping)
		ar_heap_free(request->seed);
	else
		enqueue(line_of(request->database), request->id, request->seed);
	ar_heap_free(request);
}

void workflow_drive(struct ar_str database, struct ar_str run_id, struct workflow_seed *seed)
{
	if (stopping) /* so does the bus; the run is taken up at the next start */
		ar_heap_free(seed);
	else
		ar_bus_go_home(database, drive_at_home, request_new(database, run_id, seed));
}

static void driver_cancel(struct driver *driver)
{
	struct workflow_run *run = driver->run;

	if (run != NULL) {
		run->cancelled = true;
		for (size_t i = 0; i < run->graph->nsteps; i++)
			if (run->states[i].fiber != NULL)
				ar_cancel(run->states[i].fiber);
	}
	ar_cancel(driver->fiber);
}

static void cancel_at_home(void *arg)
{
	struct request *request = arg;
	struct line *line = line_find(request->database);
	struct driver *driver = line != NULL ? ar_map_get(line->drivers, request->id) : NULL;

	if (driver != NULL && driver->active)
		driver_cancel(driver);
	ar_heap_free(request);
}

void workflow_cancel(struct ar_str database, struct ar_str run_id)
{
	if (!stopping)
		ar_bus_go_home(database, cancel_at_home, request_new(database, run_id, NULL));
}

struct timed {
	struct ar_str database, id;
};

static void timed_drive(void *arg)
{
	const struct timed *timed = arg;

	workflow_drive(timed->database, timed->id, NULL);
}

/* The bus deletes the timer in this scope; the driver goes on from what is on disk. */
AR_YIELDS int workflow_timer(struct ar_scope *scope, struct ar_str database,
			     const struct ar_timer *timer)
{
	struct timed *timed = ar_new(scope->pool, struct timed);

	timed->database = ar_str_dup(scope->pool, database);
	timed->id = ar_str_dup(scope->pool, ar_str_sub(timer->data, 1, timer->data.n - 2));
	return ar_after_commit(scope, timed_drive, timed);
}

/* ---- start and stop ---- */

AR_YIELDS int workflow_engine_start(void)
{
	stopping = false;
	return 0;
}

static bool driver_stop(struct ar_str id AR_UNUSED, void *value, void *arg)
{
	struct driver *driver = value;

	if (driver->active)
		driver_cancel(driver);
	else
		driver_free(arg, driver);
	return true;
}

static void line_stop(struct line *line)
{
	line->first = NULL;
	line->last = &line->first;
	line->queued = 0;
	line->more = false;
	ar_map_each(line->drivers, driver_stop, line);
}

static bool line_stop_one(struct ar_str database AR_UNUSED, void *value, void *arg AR_UNUSED)
{
	line_stop(value);
	return true;
}

static bool line_end(struct ar_str database AR_UNUSED, void *value, void *arg)
{
	struct line *line = value;

	if (line->active > 0 || line->filling)
		*(bool *)arg = true;
	else
		line_remove_if_idle(line);
	return true;
}

AR_YIELDS void workflow_engine_stop(void)
{
	bool busy;

	stopping = true;
	if (lines == NULL)
		return;
	ar_map_each(lines, line_stop_one, NULL);
	ar_shield(true);
	for (;;) {
		busy = false;
		ar_map_each(lines, line_end, &busy);
		if (!busy)
			break;
		ar_cond_wait(&ended);
	}
	ar_shield(false);
	ar_map_free(lines, NULL);
	lines = NULL;
}

/* ---- a tenant goes ---- */

struct closing {
	struct ar_str database;
	struct ar_wake done;
};

static void close_at_home(void *arg)
{
	struct closing *closing = arg;
	struct line *line = line_find(closing->database);

	ar_shield(true);
	if (line != NULL && !stopping) {
		line_stop(line);
		line_remove_if_idle(line);
		while (!stopping && line_find(closing->database) != NULL)
			ar_cond_wait(&ended);
	}
	ar_shield(false);
	ar_wake_post(&closing->done);
}

AR_YIELDS void workflow_close(struct ar_str database)
{
	struct closing closing = { .database = database };

	ar_wake_init(&closing.done);
	ar_bus_go_home(database, close_at_home, &closing);
	ar_wake_wait(&closing.done);
}
