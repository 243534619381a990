/*
 * workflow_int.h - what the files of workflow share: the graph, a run, the engine's parts.
 */
#ifndef WORKFLOW_INT_H
#define WORKFLOW_INT_H

#include "action/action.h"
#include "action/list.h"
#include "bus/bus.h"
#include "expr/expr.h"
#include "workflow/workflow.h"

extern const struct ar_err_def WORKFLOW_E_DEFINITION[1]; /* 422 workflow/definition: where, reason */
extern const struct ar_err_def WORKFLOW_E_ESCALATION[1]; /* 403 workflow/escalation */
extern const struct ar_err_def WORKFLOW_E_CYCLE[1];      /* 422 workflow/cycle */
extern const struct ar_err_def WORKFLOW_E_OVER[1];       /* 409 workflow/over: the run has ended */
extern const struct ar_err_def WORKFLOW_E_YAML[1];       /* 400 workflow/yaml: line, reason */
extern const struct ar_err_def WORKFLOW_E_STEP[1];       /* 500 workflow/step: a value went wrong */

#define WORKFLOW_SOURCE_MAX ((size_t)256 << 10)
#define WORKFLOW_STEPS_MAX  256

/* ---- definition.c: the one graph form, whatever the source was ---- */

struct workflow_retry {
	int64_t attempts; /* in all */
	int64_t delay_ms, max_delay_ms;
	double backoff;
};

struct workflow_step {
	struct ar_str name;
	const struct ar_action *action;
	size_t *needs, nneeds;          /* direct dependencies, by index */
	size_t *before, nbefore;        /* all dependencies, in an order that respects them */
	struct workflow_value *input;   /* explicit members; NULL when there are none */
	bool implicit;                  /* missing members come from the context */
	struct ar_expr *when;           /* NULL: always */
	struct workflow_retry retry;
	int64_t timeout_ms;             /* 0: the action's own deadline */
	bool goes_on;                   /* on_error: continue */
};

struct workflow_graph {
	struct ar_pool *pool;
	struct ar_str name, description, version;
	struct workflow_step *steps;
	size_t nsteps;
	size_t *order;                  /* all steps, dependencies first */
	struct workflow_value *output;  /* NULL: none */
	struct ar_json *events;         /* topics that start a run */
	struct ar_json *permissions;    /* what the steps may do: texts */
	struct ar_json *secrets;        /* names of inputs that actions keep secret: an object */
	struct ar_who *who;
};

/* Reads the JSON form into pool. AR_E_INVALID..., WORKFLOW_E_DEFINITION, WORKFLOW_E_CYCLE. */
int workflow_graph_read(struct ar_pool *pool, const struct ar_json *definition,
			struct workflow_graph *ret);
/* "30s", "5m", "1h", "2d", "250ms", or a number of milliseconds. */
bool workflow_duration(const struct ar_json *value, int64_t *ret_ms);

/* ---- yaml.c ---- */

/* YAML 1.2's core schema, without aliases and tags, as JSON values. WORKFLOW_E_YAML. */
int workflow_yaml_read(struct ar_pool *pool, struct ar_str text, struct ar_json **ret);

/* ---- value.c: values with ${expressions} in them ---- */

struct workflow_value;
/* "${input.email}" is the expression's own value, "Hello ${input.name}" a text. path: for errors. */
int workflow_value_read(struct ar_pool *pool, const struct ar_json *json, const char *path,
			struct workflow_value **ret);
int workflow_test_read(struct ar_pool *pool, struct ar_str text, const char *path,
		       struct ar_expr **ret);

struct workflow_run;
int workflow_value_make(const struct workflow_value *value, struct workflow_run *run,
			struct ar_pool *pool, struct ar_json **ret);
int workflow_test(const struct ar_expr *expr, struct workflow_run *run, struct ar_pool *pool,
		  bool *ret);
/* The input of a step: what it says, and what it leaves open from the context. */
int workflow_step_input(struct workflow_run *run, const struct workflow_step *step,
			struct ar_pool *pool, struct ar_json **ret);

/* ---- a run, while somebody drives it ---- */

enum workflow_step_status {
	STEP_PENDING, STEP_RUNNING, STEP_WAITING, STEP_SUCCEEDED, STEP_SKIPPED, STEP_FAILED,
	STEP_CANCELLED,
};
const char *workflow_step_status_name(enum workflow_step_status status);

struct workflow_step_state {
	enum workflow_step_status status;
	int64_t attempt, next_ms, started_ms;
	struct ar_json *output, *error;
};

struct workflow_run {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
	struct workflow_graph *graph;
	struct ar_str id, trace_id;
	struct ar_json *input, *cause, *steps; /* steps: what expressions see */
	struct workflow_step_state *states;
	size_t running;
	struct ar_fiber **fibers;              /* of steps that run beside the driver, by index */
	struct ar_cond changed;
	bool cancelled, broken;                /* broken: the store failed; try again later */
	struct ar_json *error;                 /* of the step that ended the run */
};

/* ---- record.c: what is written of runs ---- */

/* Finds the graph of a version; valid until pool ends. */
AR_YIELDS int workflow_graph_get(struct ar_tenant *tenant, struct ar_pool *pool,
				 struct ar_str version, struct workflow_graph **ret);
extern struct ar_tenant_slot workflow_slot;
/* Fills input, cause, graph and states. AR_E_NOT_FOUND when the run is not there or not running. */
AR_YIELDS int workflow_run_load(struct workflow_run *run);
/* In the scope's unit: 0, or WORKFLOW_E_OVER when the run was ended meanwhile (roll back). */
AR_YIELDS int workflow_step_write(struct ar_scope *scope, const struct workflow_run *run, size_t i,
				  struct ar_str output, struct ar_str error);
AR_YIELDS int workflow_run_finish(struct workflow_run *run, const char *status,
				  const struct ar_json *output);
/* The current error stack's top as JSON: {"code", "status", "title", params..., "fields"}. */
struct ar_json *workflow_error(struct ar_pool *pool);
/* The input without what is secret. */
struct ar_json *workflow_masked(struct ar_pool *pool, const struct ar_json *input,
				const struct workflow_graph *graph);

struct workflow_start {
	struct ar_str workflow, id; /* id: empty for a new one */
	const struct ar_json *input, *cause;
	struct ar_str trace_id;
};
/* Writes a run in the scope's unit and has it driven after the commit. A run of that id that is
 * there already is left alone. ret_id in the scope's pool. */
AR_YIELDS int workflow_run_start(struct ar_scope *scope, struct ar_tenant *tenant,
				 const struct workflow_start *start, struct ar_str *ret_id);

/* ---- step.c ---- */

/* Runs one step once and writes its result; states[i] says what came of it. */
AR_YIELDS void workflow_step_run(struct workflow_run *run, size_t i);

/* ---- engine.c: drives runs on their tenant's home loop ---- */

void workflow_drive(struct ar_str database, struct ar_str run_id); /* any loop */
void workflow_cancel(struct ar_str database, struct ar_str run_id); /* any loop; after the commit */
AR_YIELDS int workflow_resume(struct ar_str database);
AR_YIELDS int workflow_timer(struct ar_scope *scope, struct ar_str database,
			     const struct ar_timer *timer);
AR_YIELDS void workflow_engine_stop(void);

/* ---- actions ---- */

AR_YIELDS int workflow_put(struct ar_call *call);
AR_YIELDS int workflow_get(struct ar_call *call);
AR_YIELDS int workflow_list(struct ar_call *call);
AR_YIELDS int workflow_delete(struct ar_call *call);
AR_YIELDS int workflow_version_list(struct ar_call *call);
AR_YIELDS int workflow_version_get(struct ar_call *call);
AR_YIELDS int workflow_demo(struct ar_call *call);
AR_YIELDS int workflow_run_create(struct ar_call *call);
AR_YIELDS int workflow_run_list(struct ar_call *call);
AR_YIELDS int workflow_run_get(struct ar_call *call);
AR_YIELDS int workflow_run_steps(struct ar_call *call);
AR_YIELDS int workflow_run_cancel(struct ar_call *call);
AR_YIELDS int workflow_deliver(struct ar_delivery *delivery);

#endif
