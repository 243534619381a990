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

extern const struct ar_err_def
	WORKFLOW_E_DEFINITION[1]; /* 422 workflow/definition: where, reason */
extern const struct ar_err_def WORKFLOW_E_ESCALATION[1]; /* 403 workflow/escalation: permission */
extern const struct ar_err_def WORKFLOW_E_CYCLE[1];      /* 422 workflow/cycle: step */
extern const struct ar_err_def WORKFLOW_E_OVER[1];       /* 409 workflow/over: the run has ended */
extern const struct ar_err_def WORKFLOW_E_RUNNING[1];    /* 409 workflow/running: runs go on */
extern const struct ar_err_def WORKFLOW_E_YAML[1];       /* 400 workflow/yaml: line, reason */
extern const struct ar_err_def WORKFLOW_E_STEP[1];       /* 422 workflow/step: expression */
extern const struct ar_err_def WORKFLOW_E_VERSION[1];    /* 422 workflow/version: not runnable */
extern const struct ar_err_def WORKFLOW_E_STALE[1];      /* 409 workflow/stale: never leaves */

#define WORKFLOW_SOURCE_MAX ((size_t)256 << 10)
#define WORKFLOW_STEPS_MAX  256
#define WORKFLOW_INPUT_MAX  ((size_t)1 << 20) /* of a run */
#define WORKFLOW_OUTPUT_MAX ((size_t)1 << 20) /* of a step */
#define WORKFLOW_STATE_MAX  ((size_t)4 << 20) /* all outputs of a run together */
#define WORKFLOW_MADE_MAX   ((size_t)4 << 20) /* what expressions make of them for one step */

/* ---- the one graph form, whatever the source was ---- */

struct workflow_retry {
	int64_t attempts; /* in all */
	int64_t delay_ms, max_delay_ms;
	double backoff;
};

struct workflow_step {
	struct ar_str name;
	const struct ar_action *action;
	size_t *needs, nneeds;        /* direct dependencies, by index */
	size_t *before, nbefore;      /* all dependencies, in an order that respects them */
	struct workflow_value *input; /* explicit members: an object */
	bool implicit;                /* missing members come from the context */
	bool hidden;                  /* its output as a whole is a secret */
	struct ar_expr *when;         /* NULL: always */
	struct workflow_retry retry;
	int64_t timeout_ms; /* 0: the action's own deadline */
	bool goes_on;       /* on_error: continue */
};

struct workflow_graph {
	struct ar_pool *pool;
	size_t refs; /* of who remembers it and who uses it (record.c) */
	struct ar_str name, description, version;
	struct workflow_step *steps;
	size_t nsteps;
	size_t *order;                 /* all steps, dependencies first */
	struct workflow_value *output; /* NULL: none */
	struct ar_json *events;        /* topics that start a run */
	struct ar_json *permissions;   /* what the steps may do: texts */
	struct ar_json *secrets;       /* names of members that are secret: an object */
	struct ar_who *who;
};

/* A place in a definition; it is written out only when something is wrong there. */
struct workflow_where {
	const struct workflow_where *in;
	struct ar_str name; /* p NULL: the member `index` of an array */
	size_t index;
};
int workflow_bad(const struct workflow_where *where, const char *reason); /* -1 */
/* The same with a name that the reason speaks of. */
int workflow_bad_name(const struct workflow_where *where, const char *reason, struct ar_str name);
const char *workflow_where_text(struct ar_pool *pool, const struct workflow_where *where);

/* ---- definition.c ---- */

/* Reads the JSON form into pool. WORKFLOW_E_DEFINITION, WORKFLOW_E_CYCLE, AR_E_ACTION_*. */
int workflow_graph_read(struct ar_pool *pool, const struct ar_json *definition,
			struct workflow_graph *ret);
struct workflow_step *workflow_step_find(const struct workflow_graph *graph, struct ar_str name);
/* A member that must be a text: 0 also when it is not there (*ret untouched). */
int workflow_text(const struct ar_json *json, const char *key, const struct workflow_where *where,
		  struct ar_str *ret);

/* ---- define_step.c ---- */

/* Everything of one step but its name and what it needs. named: it has a `name` of its own. */
int workflow_step_read(struct workflow_graph *graph, struct workflow_step *step,
		       const struct ar_json *json, bool named);
/* "30s", "5m", "1h", "2d", "250ms", or a number of milliseconds; at most a year. */
bool workflow_duration(const struct ar_json *value, int64_t *ret_ms);

/* ---- yaml.c ---- */

/* YAML 1.2's core schema, without aliases and tags, as JSON values. WORKFLOW_E_YAML. */
int workflow_yaml_read(struct ar_pool *pool, struct ar_str text, struct ar_json **ret);

/* ---- value.c: values with ${expressions} in them ---- */

struct workflow_value;
/* Expressions of a step know only the steps before it; step NULL: all steps. */
struct workflow_reader {
	struct workflow_graph *graph;
	const struct workflow_step *step;
};
/* "${input.email}" is the expression's own value, "Hello ${input.name}" a text. */
int workflow_value_read(const struct workflow_reader *reader, const struct ar_json *json,
			const struct workflow_where *where, struct workflow_value **ret);
int workflow_test_read(const struct workflow_reader *reader, struct ar_str text,
		       const struct workflow_where *where, struct ar_expr **ret);
/* What these expressions read is secret from now on. */
void workflow_value_secret(struct workflow_graph *graph, const struct workflow_value *value,
			   struct ar_str member);

struct workflow_run;
int workflow_value_make(const struct workflow_value *value, struct workflow_run *run,
			struct ar_pool *pool, struct ar_json **ret);
int workflow_test(const struct ar_expr *expr, struct workflow_run *run, struct ar_pool *pool,
		  bool *ret);

/* ---- context.c ---- */

/* The input of a step: what it says, and what it leaves open from the context. */
int workflow_step_input(struct workflow_run *run, const struct workflow_step *step,
			struct ar_pool *pool, struct ar_json **ret);

/* ---- a run, while somebody drives it ---- */

enum workflow_step_status {
	STEP_PENDING,
	STEP_RUNNING,
	STEP_WAITING,
	STEP_SUCCEEDED,
	STEP_SKIPPED,
	STEP_FAILED,
	STEP_CANCELLED,
};
const char *workflow_step_status_name(enum workflow_step_status status);

struct workflow_step_state {
	enum workflow_step_status status;
	int64_t attempt, next_ms, started_ms;
	struct ar_json *output, *error;
	struct ar_json
		*seen; /* what expressions see of it: status, output, error; NULL until over */
	struct ar_fiber *fiber; /* of a step that runs beside the driver */
};

struct workflow_run {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
	struct workflow_graph *graph;
	struct ar_str id, version, trace_id;
	int64_t hops; /* events that led here (bus) */
	struct ar_json *input, *cause;
	struct workflow_step_state *states; /* of the graph's steps */
	struct ar_log_context log;
	size_t running, bytes; /* steps beside the driver; text of what is remembered */
	struct ar_cond changed;
	bool cancelled;        /* the run ended, or the engine stops: no further step */
	bool broken;           /* the store failed, or knows better: read it again */
	bool finished;         /* the end of the run is stored */
	struct ar_json *error; /* of the step that ended the run */
};

/* ---- graph.c ---- */

/* Finds the graph of a version; valid until pool ends. AR_E_NOT_FOUND, WORKFLOW_E_VERSION. */
AR_YIELDS int workflow_graph_get(struct ar_tenant *tenant, struct ar_pool *pool,
				 struct ar_str version, struct workflow_graph **ret);
extern struct ar_tenant_slot workflow_slot;

/* ---- record.c: what is written of runs, and read back ---- */

/* Fills everything of a run by its id, from the store. AR_E_NOT_FOUND when it does not run. */
AR_YIELDS int workflow_run_load(struct workflow_run *run);
/* The same for a run that has just begun: version, input, cause and trace are there already. */
AR_YIELDS int workflow_run_begin(struct workflow_run *run);
struct workflow_result {
	enum workflow_step_status status;
	struct ar_str output, error; /* JSON; p NULL: none */
	int64_t next_ms;             /* STEP_WAITING */
	bool ends;                   /* set: the run's end is written with it */
};
/*
 * Writes what came of a step in the scope's unit, and the end of the run with it when that was its
 * last one. WORKFLOW_E_OVER: the run was ended meanwhile; WORKFLOW_E_STALE: the step has a result
 * already; AR_E_TOO_LARGE. Roll back then. What is remembered in memory changes after the commit.
 */
AR_YIELDS int workflow_step_write(struct ar_scope *scope, struct workflow_run *run, size_t i,
				  struct workflow_result *result);
/* 1: it does not run any more, 0: it does, -1. */
AR_YIELDS int workflow_run_is_over(const struct workflow_run *run);
/* Ends the run alone, in a unit of its own. */
AR_YIELDS int workflow_run_finish(struct workflow_run *run);
/* In the scope's unit: the run waits until then, and a timer of the bus brings it back. */
AR_YIELDS int workflow_run_park(struct ar_scope *scope, const struct workflow_run *run,
				int64_t due_ms);
/* Of a run whose graph cannot be read: nobody knows what is secret in its steps. */
AR_YIELDS int workflow_steps_wipe(struct ar_scope *scope, struct ar_str id);
/* Steps that waited do so no more. */
AR_YIELDS int workflow_steps_stop(struct ar_scope *scope, struct ar_str id);
AR_YIELDS int workflow_finished_publish(struct ar_scope *scope, struct ar_str id,
					struct ar_str workflow, const char *status);
struct ar_str workflow_timer_id(struct ar_pool *pool, struct ar_str run_id);
/* The step's result becomes what expressions see. output and error live in the run's pool. */
void workflow_step_seen(struct workflow_run *run, size_t i, enum workflow_step_status status,
			struct ar_json *output, struct ar_json *error);
/* Steps that need it may go on. */
bool workflow_step_done(const struct workflow_run *run, size_t i);

/* ---- mask.c: what a record of a run does not show ---- */

/* The current error stack's top as JSON: {"code", "status", "title", params..., "fields"}. */
struct ar_json *workflow_error(struct ar_pool *pool);
struct workflow_mask {
	const struct workflow_graph
		*graph;        /* NULL: its workflow is gone; only names of actions count */
	struct ar_json *texts; /* that are secret */
};
struct workflow_mask workflow_mask(struct ar_pool *pool, const struct workflow_graph *graph,
				   const struct ar_json *input);
/* The mask of a run under way: with what its steps made that is secret. */
struct workflow_mask workflow_run_mask(struct ar_pool *pool, const struct workflow_run *run);
/* The value itself when there is nothing secret in it; NULL stays NULL. */
struct ar_json *workflow_masked(struct ar_pool *pool, const struct workflow_mask *mask,
				const struct ar_json *value);
/* The same of an error, whose fields' codes stay. */
struct ar_json *workflow_error_masked(struct ar_pool *pool, const struct workflow_mask *mask,
				      const struct ar_json *error);
/* Its title again, in the language of who looks. */
void workflow_error_say(struct ar_pool *pool, struct ar_str language, struct ar_json *error);

/* ---- start.c ---- */

struct workflow_start {
	struct ar_str workflow, id; /* id: empty for a new one */
	const struct ar_json *input, *cause;
	struct ar_str trace_id;
};
struct workflow_started {
	struct ar_str id, version;
	int64_t created_ms;
	bool again; /* it was there already, and is left alone */
};
/* Writes a run in the scope's unit and has it driven after the commit. Texts in the scope's pool. */
AR_YIELDS int workflow_run_start(struct ar_scope *scope, struct ar_str database,
				 const struct workflow_start *start, struct workflow_started *ret);
AR_YIELDS int workflow_deliver(struct ar_delivery *delivery);

/* ---- sweep.c ---- */

AR_YIELDS int workflow_sweep(struct ar_scope *scope, struct ar_str database, bool *ret_more);

/* ---- step.c ---- */

/* Runs one step once and writes its result; states[i] says what came of it. */
AR_YIELDS void workflow_step_run(struct workflow_run *run, size_t i);

/* ---- drive.c ---- */

/* Takes a run as far as it goes: 0 when it is over, parked or cancelled; -1: to be read again. */
AR_YIELDS int workflow_run_advance(struct workflow_run *run);

/* ---- engine.c: who drives which run, on its tenant's home loop ---- */

/* A run that has just begun, in one heap block (workflow_seed_new); the driver need not read it. */
struct workflow_seed {
	struct ar_str version, input, cause, trace_id;
	int64_t hops; /* ar_bus_hops() where it began */
};
struct workflow_seed *workflow_seed_new(const struct workflow_seed *of);
void workflow_drive(struct ar_str database, struct ar_str run_id,
		    struct workflow_seed *seed); /* any loop; takes the seed, which may be NULL */
void workflow_cancel(struct ar_str database, struct ar_str run_id); /* any loop; after the commit */
AR_YIELDS int workflow_resume(struct ar_str database);
AR_YIELDS int workflow_timer(struct ar_scope *scope, struct ar_str database,
			     const struct ar_timer *timer);
AR_YIELDS void workflow_close(struct ar_str database); /* the tenant goes; any loop */
AR_YIELDS int workflow_engine_start(void);             /* on each loop */
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

#endif
