/*
 * module.c - the tables of functions: what can be done, who may, what goes in and out; errors.
 */
#include "action/version.h"
#include "function/function_int.h"

const struct ar_err_def FUNCTION_E_FAILED[1] = { { "function/failed", 500 } };
const struct ar_err_def FUNCTION_E_LIMIT[1] = { { "function/limit", 500 } };
const struct ar_err_def FUNCTION_E_ESCALATION[1] = { { "function/escalation", 403 } };
const struct ar_err_def FUNCTION_E_LIBRARY[1] = { { "function/library", 422 } };
const struct ar_err_def FUNCTION_E_REPLY[1] = { { "function/reply", 500 } };

static const struct refused {
	struct ar_err_def def;
	const char *words;
} refused[] = {
	{ { "function/refused", 400 }, "function/no-words" },
	{ { "function/unauthorized", 401 }, "unauthorized" },
	{ { "function/forbidden", 403 }, "forbidden" },
	{ { "function/not-found", 404 }, "not-found" },
	{ { "function/conflict", 409 }, "conflict" },
	{ { "function/unprocessable", 422 }, "function/no-words" },
	{ { "function/too-many-requests", 429 }, "too-many-requests" },
	{ { "function/unavailable", 503 }, "unavailable" },
};

const char *function_refused_words(const struct ar_err_def *def)
{
	return AR_CONTAINER(def, struct refused, def)->words;
}

const struct ar_err_def *function_refused(int64_t status)
{
	for (size_t i = 0; i < AR_COUNT(refused); i++)
		if (refused[i].def.status == status)
			return &refused[i].def;
	return NULL;
}

static const struct ar_err_def *const errors[] = {
	FUNCTION_E_FAILED,     FUNCTION_E_LIMIT,
	FUNCTION_E_ESCALATION, FUNCTION_E_LIBRARY,
	FUNCTION_E_REPLY,      &refused[0].def,
	&refused[1].def,       &refused[2].def,
	&refused[3].def,       &refused[4].def,
	&refused[5].def,       &refused[6].def,
	&refused[7].def,       NULL,
};

/* ---- what goes in and out ---- */

#define NAME_ROW(name_)                                                                            \
	AR_FIELD_FREE(name_, AR_F_TEXT, .min = 1, .max = 64, .pattern = "[a-z][a-z0-9_-]*",        \
		      .required = true)
#define NAME NAME_ROW("name")

static const char *allow_rule(const struct ar_field *field, const struct ar_json *value)
{
	return value->s.n == 1 && value->s.p[0] != '-' && value->s.p[0] != '+' ? "format" : NULL;
}

static const struct ar_field limits_fields[] = {
	AR_FIELD_FREE("cpuMs", AR_F_INT, .min = 1, .max = 30000),
	AR_FIELD_FREE("wallMs", AR_F_INT, .min = 10, .max = 900000),
	AR_FIELD_FREE("memoryMb", AR_F_INT, .min = 1, .max = 256),
	{ 0 },
};

#define SETTINGS                                                                                   \
	AR_FIELD_FREE("description", AR_F_TEXT, .max = 500),                                       \
		AR_FIELD_FREE("library", AR_F_BOOL,                                                \
			      .help = "only for require() by other functions"),                    \
		AR_FIELD_FREE("allow", AR_F_TEXT, .min = 1, .max = 128,                            \
			      .pattern = "[a-zA-Z0-9_.:+-]*", .check = allow_rule,                 \
			      .help = "who may call: - anyone, + signed in, or a permission"),     \
		AR_FIELD_FREE("permissions", AR_F_ARRAY, .max = 100,                               \
			      .items = AR_ITEM(AR_F_TEXT, .min = 1, .max = 128,                    \
					       .pattern = "[a-zA-Z0-9_.:*-]*"),                    \
			      .help = "what the code may do"),                                     \
		AR_FIELD_FREE("events", AR_F_ARRAY, .max = 16,                                     \
			      .items = AR_ITEM(AR_F_TEXT, .min = 1, .max = 200,                    \
					       .pattern = "[a-zA-Z0-9_.:*-]*"),                    \
			      .help = "topics that run it"),                                       \
		AR_FIELD_FREE("limits", AR_F_OBJECT, .fields = limits_fields)

static const struct ar_field put_in[] = {
	NAME,
	AR_FIELD_FREE("source", AR_F_TEXT, .max = 1 << 20, .required = true, .help = "Lua"),
	SETTINGS,
	{ 0 },
};
static const struct ar_field name_in[] = { NAME, { 0 } };
static const struct ar_field version_in[] = {
	NAME,
	AR_VERSION_NUMBER,
	{ 0 },
};
static const struct ar_field run_in[] = {
	NAME,
	AR_FIELD_FREE("id", AR_F_ID, .required = true),
	{ 0 },
};
static const struct ar_field execute_in[] = {
	NAME_ROW("function"),
	AR_FIELD_FREE("input", AR_F_JSON, .otherwise = "{}"),
	{ 0 },
};
static const struct ar_field function_out[] = {
	NAME,
	AR_FIELD_FREE("version", AR_F_ID),
	AR_FIELD_FREE("number", AR_F_INT),
	SETTINGS,
	AR_FIELD_FREE("source", AR_F_TEXT),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};
static const struct ar_field version_out[] = { AR_VERSION_FIELDS, { 0 } };
static const struct ar_field version_get_out[] = {
	AR_VERSION_FIELDS,
	AR_FIELD_FREE("source", AR_F_TEXT),
	{ 0 },
};
static const struct ar_field run_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("function", AR_F_TEXT),
	AR_FIELD_FREE("version", AR_F_ID),
	AR_FIELD_FREE("cause", AR_F_TEXT, .help = "http, call or event"),
	AR_FIELD_FREE("status", AR_F_TEXT, .help = "ok or failed"),
	AR_FIELD_FREE("input", AR_F_JSON),
	AR_FIELD_FREE("output", AR_F_JSON),
	AR_FIELD_FREE("error", AR_F_JSON),
	AR_FIELD_FREE("logs", AR_F_ARRAY),
	AR_FIELD_FREE("durationUs", AR_F_INT),
	AR_FIELD_FREE("cpuUs", AR_F_INT),
	AR_FIELD_FREE("memory", AR_F_INT, .help = "bytes of the Lua state at its largest"),
	AR_FIELD_FREE("traceId", AR_F_TEXT),
	AR_FIELD_FREE("created", AR_F_TIME),
	{ 0 },
};
static const struct ar_field any_out[] = { { 0 } };

/* ---- actions ---- */

#define READ  "functions.read"
#define WRITE "functions.write"

static const struct ar_action actions[] = {
	{ "functions.list", "GET /functions", READ, .out = function_out, .run = function_list,
	  .flags = AR_A_LIST, .help = "List functions" },
	{ "functions.put", "PUT /functions/{name}", WRITE, .in = put_in, .out = function_out,
	  .run = function_put, .flags = AR_A_WRITE | AR_A_MAKES, .help = "Deploy a function" },
	{ "functions.get", "GET /functions/{name}", READ, .in = name_in, .out = function_out,
	  .run = function_get, .help = "Read a function with its source" },
	{ "functions.delete", "DELETE /functions/{name}", WRITE, .in = name_in,
	  .run = function_delete, .flags = AR_A_WRITE,
	  .help = "Delete a function, its versions and its runs" },
	{ "functions.list_versions", "GET /functions/{name}/versions", READ, .in = name_in,
	  .out = version_out, .run = function_version_list, .flags = AR_A_LIST,
	  .help = "List the versions of a function" },
	{ "functions.get_version", "GET /functions/{name}/versions/{number}", READ,
	  .in = version_in, .out = version_get_out, .run = function_version_get,
	  .help = "Read a version with its source" },
	{ "functions.list_runs", "GET /functions/{name}/runs", READ, .in = name_in, .out = run_out,
	  .run = function_run_list, .flags = AR_A_LIST, .help = "List the runs of a function" },
	{ "functions.get_run", "GET /functions/{name}/runs/{id}", READ, .in = run_in,
	  .out = run_out, .run = function_run_get,
	  .help = "Read a run: input, output, log lines, figures" },
	/* The function's own `allow` is asked inside; the code's effects are outside of this unit. */
	{ "functions.execute", "POST /functions/{function}/execute", AR_ALLOW_ANYONE,
	  .in = execute_in, .out = any_out, .run = function_execute, .flags = AR_A_OUTSIDE,
	  .deadline_ms = 900000, .alias = "function.execute", .wants = FUNCTION_ALLOW,
	  .help = "Run a function with an input" },
	{ "functions.call", "ANY /fn/{name}/{path...}", AR_ALLOW_ANYONE, .in = name_in,
	  .run = function_http, .flags = AR_A_RAW_IN | AR_A_RAW_OUT | AR_A_REST_ONLY | AR_A_OUTSIDE,
	  .deadline_ms = 900000, .help = "Call a function over HTTP" },
	{ 0 },
};

static const char *const permissions[] = {
	FUNCTION_ALLOW,
	"Call the functions that do not say who may",
	NULL,
};

static const struct ar_bus_target target = { .kind = "function", .deliver = function_deliver };

static const struct ar_bus_daily daily = { "function-runs", function_sweep };

static int start(void)
{
	ar_bus_daily(&daily);
	ar_tenant_slot_register(&function_slot);
	ar_bus_register(&target);
	return 0;
}

extern const struct ar_migration function_migrations[];

const struct ar_module function_module = {
	.name = "function",
	.actions = actions,
	.migrations = function_migrations,
	.errors = errors,
	.permissions = permissions,
	.start = start,
	.attach = function_runs_start,
	.detach = function_runs_flush,
	.demo = function_demo,
};
