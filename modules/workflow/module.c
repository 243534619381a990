/*
 * module.c - the tables of workflows: what can be done, who may, what goes in and out; errors.
 */
#include "action/version.h"
#include "workflow/workflow_int.h"

const struct ar_err_def WORKFLOW_E_DEFINITION[1] = { { "workflow/definition", 422 } };
const struct ar_err_def WORKFLOW_E_ESCALATION[1] = { { "workflow/escalation", 403 } };
const struct ar_err_def WORKFLOW_E_CYCLE[1] = { { "workflow/cycle", 422 } };
const struct ar_err_def WORKFLOW_E_OVER[1] = { { "workflow/over", 409 } };
const struct ar_err_def WORKFLOW_E_RUNNING[1] = { { "workflow/running", 409 } };
const struct ar_err_def WORKFLOW_E_YAML[1] = { { "workflow/yaml", 400 } };
const struct ar_err_def WORKFLOW_E_STEP[1] = { { "workflow/step", 422 } };
const struct ar_err_def WORKFLOW_E_VERSION[1] = { { "workflow/version", 422 } };
const struct ar_err_def WORKFLOW_E_STALE[1] = { { "workflow/stale", 409 } };

static const struct ar_err_def *const errors[] = {
	WORKFLOW_E_DEFINITION, WORKFLOW_E_ESCALATION,
	WORKFLOW_E_CYCLE,      WORKFLOW_E_OVER,
	WORKFLOW_E_YAML,       WORKFLOW_E_STEP,
	WORKFLOW_E_VERSION,    WORKFLOW_E_STALE,
	WORKFLOW_E_RUNNING,    NULL,
};

#define NAME_ROW(name_)                                                                            \
	AR_FIELD_FREE(name_, AR_F_TEXT, .min = 1, .max = 64, .pattern = "[a-zA-Z][a-zA-Z0-9_-]*",  \
		      .required = true)

static const struct ar_field name_in[] = { NAME_ROW("name"), { 0 } };
static const struct ar_field version_in[] = { NAME_ROW("name"), AR_VERSION_NUMBER, { 0 } };
static const struct ar_field run_create_in[] = {
	NAME_ROW("workflow"),
	AR_FIELD_FREE("input", AR_F_OBJECT, .otherwise = "{}"),
	{ 0 },
};
static const struct ar_field id_in[] = { AR_FIELD_FREE("id", AR_F_ID, .required = true), { 0 } };

static const struct ar_field workflow_out[] = {
	AR_FIELD_FREE("name", AR_F_TEXT),
	AR_FIELD_FREE("version", AR_F_ID),
	AR_FIELD_FREE("number", AR_F_INT),
	AR_FIELD_FREE("description", AR_F_TEXT),
	AR_FIELD_FREE("definition", AR_F_OBJECT),
	AR_FIELD_FREE("source", AR_F_TEXT),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};
static const struct ar_field version_out[] = { AR_VERSION_FIELDS, { 0 } };
static const struct ar_field version_get_out[] = {
	AR_VERSION_FIELDS,
	AR_FIELD_FREE("source", AR_F_TEXT),
	AR_FIELD_FREE("definition", AR_F_OBJECT),
	{ 0 },
};
static const struct ar_field run_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("workflow", AR_F_TEXT),
	AR_FIELD_FREE("version", AR_F_ID),
	AR_FIELD_FREE("status", AR_F_TEXT, .help = "running, succeeded, failed or cancelled"),
	AR_FIELD_FREE("traceId", AR_F_TEXT),
	AR_FIELD_FREE("input", AR_F_OBJECT),
	AR_FIELD_FREE("output", AR_F_JSON),
	AR_FIELD_FREE("error", AR_F_OBJECT, .nullable = true),
	AR_FIELD_FREE("cause", AR_F_OBJECT),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("finished", AR_F_TIME, .nullable = true),
	{ 0 },
};
static const struct ar_field step_out[] = {
	AR_FIELD_FREE("step", AR_F_TEXT),
	AR_FIELD_FREE("action", AR_F_TEXT),
	AR_FIELD_FREE("status", AR_F_TEXT,
		      .help = "pending, waiting, succeeded, skipped, failed or cancelled"),
	AR_FIELD_FREE("attempt", AR_F_INT),
	AR_FIELD_FREE("output", AR_F_JSON),
	AR_FIELD_FREE("error", AR_F_OBJECT, .nullable = true),
	AR_FIELD_FREE("next", AR_F_TIME, .nullable = true),
	AR_FIELD_FREE("started", AR_F_TIME, .nullable = true),
	AR_FIELD_FREE("finished", AR_F_TIME, .nullable = true),
	{ 0 },
};
static const struct ar_field steps_out[] = {
	AR_FIELD_FREE("items", AR_F_ARRAY, .items = AR_ITEM(AR_F_OBJECT, .fields = step_out)),
	{ 0 },
};

#define READ  "workflows.read"
#define WRITE "workflows.write"
#define RUN   "workflows.run"

static const struct ar_action actions[] = {
	{ "workflows.list", "GET /workflows", READ, .out = workflow_out, .run = workflow_list,
	  .flags = AR_A_LIST, .help = "List workflows" },
	{ "workflows.put", "PUT /workflows/{name}", WRITE, .in = name_in, .out = workflow_out,
	  .run = workflow_put, .flags = AR_A_WRITE | AR_A_RAW_IN | AR_A_MAKES,
	  .help = "Deploy a workflow: its definition in JSON or YAML is the body" },
	{ "workflows.post", "POST /workflows/{name}", WRITE, .in = name_in, .out = workflow_out,
	  .run = workflow_put, .flags = AR_A_WRITE | AR_A_RAW_IN | AR_A_REST_ONLY | AR_A_MAKES,
	  .help = "The same as PUT" },
	{ "workflows.get", "GET /workflows/{name}", READ, .in = name_in, .out = workflow_out,
	  .run = workflow_get, .help = "Read a workflow with its source" },
	{ "workflows.delete", "DELETE /workflows/{name}", WRITE, .in = name_in,
	  .run = workflow_delete, .flags = AR_A_WRITE,
	  .help = "Delete a workflow without running runs" },
	{ "workflows.list_versions", "GET /workflows/{name}/versions", READ, .in = name_in,
	  .out = version_out, .run = workflow_version_list, .flags = AR_A_LIST,
	  .help = "List the versions of a workflow" },
	{ "workflows.get_version", "GET /workflows/{name}/versions/{number}", READ,
	  .in = version_in, .out = version_get_out, .run = workflow_version_get,
	  .help = "Read a version with its source" },
	{ "workflows.run", "POST /workflows/{workflow}/runs", RUN, .in = run_create_in,
	  .out = run_out, .run = workflow_run_create, .flags = AR_A_WRITE, .status = 201,
	  .alias = "workflow.run", .help = "Start a run" },
	{ "workflows.list_runs", "GET /runs", READ, .out = run_out, .run = workflow_run_list,
	  .flags = AR_A_LIST, .help = "List runs" },
	{ "workflows.get_run", "GET /runs/{id}", READ, .in = id_in, .out = run_out,
	  .run = workflow_run_get, .help = "Read a run" },
	{ "workflows.get_run_steps", "GET /runs/{id}/steps", READ, .in = id_in, .out = steps_out,
	  .run = workflow_run_steps, .help = "The steps of a run" },
	{ "workflows.cancel_run", "POST /runs/{id}/cancel", RUN, .in = id_in, .out = run_out,
	  .run = workflow_run_cancel, .flags = AR_A_WRITE, .help = "Cancel a run" },
	{ 0 },
};

static const struct ar_bus_target target = { .kind = "workflow",
					     .deliver = workflow_deliver,
					     .transactional = true };
static const struct ar_timer_kind timer = { .kind = "workflow", .fire = workflow_timer };

static const struct ar_bus_daily daily = { "workflow-runs", workflow_sweep };

static int start(void)
{
	ar_bus_daily(&daily);
	ar_tenant_slot_register(&workflow_slot);
	ar_bus_register(&target);
	ar_timer_register(&timer);
	ar_bus_on_start(workflow_resume);
	ar_tenant_on_close(workflow_close);
	return 0;
}

extern const struct ar_migration workflow_migrations[];

const struct ar_module workflow_module = {
	.name = "workflow",
	.actions = actions,
	.migrations = workflow_migrations,
	.errors = errors,
	.start = start,
	.attach = workflow_engine_start,
	.detach = workflow_engine_stop,
	.demo = workflow_demo,
};
