/*
 * rig.h - a tenant with workflows on a store of its own, for tests that run them.
 *
 *	rig_open(); rig_run(body, arg); rig_close();
 *
 * body runs in a fiber of a loop with the bus and the engine attached. rig_run() may be called again
 * on the same store: that is a restart.
 */
#ifndef WORKFLOW_TEST_RIG_H
#define WORKFLOW_TEST_RIG_H

#include "config/config.h"
#include "tests/harness/house.h"
#include "workflow/tests/probe.h"

extern const struct ar_migration workflow_migrations[];

static struct ar_tenant *rig_tenant;
static struct ar_pool *rig_pool; /* of the test */

static const struct ar_migration_set rig_sets[] = {
	{ "tenant", ar_setting_migrations }, { "bus", ar_bus_migrations },
	{ "action", ar_action_migrations },  { "workflow", workflow_migrations },
	{ "probe", probe_migrations },       { 0 },
};

/* A failed check must not jump out of a fiber: it ends the process. */
static inline int rig_register(void **state)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	ar_action_register(&workflow_module);
	ar_action_register(&probe_module);
	return 0;
}

static inline int rig_forget(void **state)
{
	ar_action_done();
	return 0;
}

static char rig_name[16]; /* of the tenant: a server that tests share has one for each folder */

/* Settings as they are by default. */
static inline void rig_config(void)
{
	static bool loaded;
	char *argv[] = { NULL }, *env[] = { NULL };
	struct ar_buf message;
	int argc = 0;

	if (loaded)
		return;
	loaded = true;
	ar_buf_init(&message, 1000);
	assert_ok(ar_config_load(&argc, argv, env, true, &message));
	ar_buf_done(&message);
}

static inline void rig_open_at(const char *folder)
{
	static bool started; /* the bus remembers who registered, the tenant room forgets */
	unsigned hash = 5381;

	house_open_at(folder, rig_sets);
	rig_config();
	for (const char *p = folder; *p != '\0'; p++)
		hash = hash * 33 + (unsigned char)*p;
	snprintf(rig_name, sizeof(rig_name), "t%08x", hash);
	if (started) {
		ar_tenant_slot_register(&workflow_slot);
		ar_tenant_on_close(workflow_close);
	} else {
		assert_ok(workflow_module.start());
	}
	started = true;
	snprintf(probe_file, sizeof(probe_file), "%s/probe", house.data);
}

static inline void rig_open(void)
{
	char folder[] = "/tmp/apprun-test-XXXXXX";

	assert_non_null(mkdtemp(folder));
	rig_open_at(folder);
}

static inline void rig_close(void)
{
	house_close();
}

struct rig_body {
	void (*body)(void *arg);
	void *arg;
};

static inline void rig_fiber(void *arg)
{
	struct rig_body *run = arg;
	struct ar_loop *loop = ar_loop();
	size_t fibers;

	assert_ok(ar_bus_start(house.store, &loop, 1));
	assert_ok(workflow_module.attach());
	if (ar_tenant_create(ar_str(rig_name), NULL, NULL) != 0)
		ar_err_clear();
	assert_ok(ar_tenant_acquire(ar_str(rig_name), &rig_tenant));
	fibers = ar_loop_fibers(loop);
	rig_pool = ar_pool_new();
	run->body(run->arg);
	ar_pool_free(rig_pool);
	ar_bus_stop();
	workflow_module.detach();
	assert_true(ar_loop_fibers(loop) <= fibers); /* neither bus nor engine left one */
	ar_tenant_release(rig_tenant);
}

static inline void rig_run(void (*body)(void *arg), void *arg)
{
	struct rig_body run = { body, arg };

	house_run(rig_fiber, &run);
}

static inline void rig_alone(void (*body)(void *arg))
{
	rig_open();
	rig_run(body, NULL);
	rig_close();
}

#define TEST(name) TEST_IN(name, rig_alone, void *arg)

/* ---- what a test does ---- */

/* Until it holds: within two minutes on the slowest machine, if at all. */
#define RIG_PATIENCE_MS 120000
#define rig_until(condition)                                                                       \
	do {                                                                                       \
		int64_t until_ = ar_mono_ms() + RIG_PATIENCE_MS;                                   \
		while (!(condition) && ar_mono_ms() < until_)                                      \
			ar_sleep(5);                                                               \
		if (!(condition))                                                                  \
			fail_msg("never: %s", #condition);                                         \
	} while (0)

static inline struct ar_json *rig_json(const char *text)
{
	struct ar_json *json;

	assert_ok(ar_json_parse(rig_pool, ar_str(text), &ar_json_limits_default, &json));
	return json;
}

static inline int rig_try(const char *action, struct ar_json *input, struct ar_json **ret)
{
	struct ar_invoke invoke = { .tenant = rig_tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_SYSTEM,
				    .action = ar_str(action),
				    .input = input,
				    .trace_id = AR_STR("4bf92f3577b34da6a3ce929d0e0e4736") };

	*ret = NULL;
	return ar_action_invoke(rig_pool, &invoke, ret);
}

static inline struct ar_json *rig_call(const char *action, struct ar_json *input)
{
	struct ar_json *ret;

	if (rig_try(action, input, &ret) != 0)
		fail_msg("%s: %s %s %s", action, ar_err()->def->slug,
			 ar_err_param(ar_err(), "where") ? ar_err_param(ar_err(), "where") : "",
			 ar_err_param(ar_err(), "reason") ? ar_err_param(ar_err(), "reason") : "");
	return ret;
}

static inline int rig_try_put(const char *name, const char *definition, struct ar_json **ret)
{
	struct ar_json *input = ar_json_new(rig_pool, AR_OBJECT);

	ar_json_set(input, AR_STR("name"), ar_json_str(rig_pool, ar_str(name)));
	ar_json_set(input, AR_STR("body"), ar_json_str(rig_pool, ar_str(definition)));
	return rig_try("workflows.put", input, ret);
}

static inline void rig_put(const char *name, const char *definition)
{
	struct ar_json *ret;

	ar_err_clear();
	if (rig_try_put(name, definition, &ret) != 0)
		fail_msg("put %s: %s at %s: %s", name, ar_err()->def->slug,
			 ar_err_param(ar_err(), "where"), ar_err_param(ar_err(), "reason"));
}

static inline struct ar_str rig_start(const char *name, const char *input)
{
	struct ar_json *in = ar_json_new(rig_pool, AR_OBJECT);

	ar_json_set(in, AR_STR("workflow"), ar_json_str(rig_pool, ar_str(name)));
	ar_json_set(in, AR_STR("input"), rig_json(input));
	return ar_json_text(rig_call("workflows.run", in), "id", AR_STR(""));
}

static inline struct ar_json *rig_of_run(const char *action, struct ar_str id)
{
	struct ar_json *in = ar_json_new(rig_pool, AR_OBJECT);

	ar_json_set(in, AR_STR("id"), ar_json_str(rig_pool, id));
	return rig_call(action, in);
}

/* Waits until the run has ended: what it is then. */
static inline struct ar_json *rig_wait(struct ar_str id)
{
	struct ar_json *run = NULL;

	rig_until((run = rig_of_run("workflows.get_run", id),
		   !ar_str_is(ar_json_text(run, "status", AR_STR("")), "running")));
	return run;
}

static inline struct ar_json *rig_step(struct ar_str id, const char *name)
{
	struct ar_json *steps = rig_of_run("workflows.get_run_steps", id);

	ar_json_each (step, ar_json_get(steps, "items"))
		if (ar_str_is(ar_json_text(step, "step", AR_STR("")), name))
			return step;
	fail_msg("no step %s", name);
	return NULL;
}

static inline int64_t rig_count(const char *sql, const struct ar_json *args, size_t nargs)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t count;

	ar_scope_init(&scope, rig_tenant->db, pool);
	assert_ok(ar_query(&scope, &rows, sql, args, nargs));
	assert_true(ar_rows_next(&rows));
	count = ar_col_int(&rows, 0);
	ar_pool_free(pool);
	return count;
}

static inline int64_t rig_timers(void)
{
	return rig_count("SELECT count(*) FROM bus_timer WHERE kind = 'workflow'", AR_NO_ARGS);
}

static inline int64_t rig_notes(const char *note)
{
	return rig_count("SELECT count(*) FROM probe_notes WHERE note = ?", AR_ARGS(AR_J_Z(note)));
}

#define assert_status(json, literal) assert_str(ar_json_text((json), "status", AR_STR("")), literal)
/* A member as JSON text. */
#define assert_member(json, path, literal)                                                         \
	do {                                                                                       \
		struct ar_json *m_ = ar_json_path((json), AR_STR(path));                           \
		assert_str(m_ != NULL ? ar_json_print(rig_pool, m_) : AR_STR("missing"), literal); \
	} while (0)

#endif
