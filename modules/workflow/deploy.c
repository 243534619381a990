/*
 * deploy.c - puts a workflow, from JSON or YAML: reads it into its graph once to find what is wrong
 * with it, keeps it as a new version when it differs, subscribes it to its events.
 */
#include "action/version.h"
#include "workflow/workflow_int.h"

static const struct ar_versioned versioned = { .things = "workflow_workflows",
					       .versions = "workflow_versions",
					       .owner = "workflow",
					       .parsed = "definition",
					       .put = "workflows.put",
					       .source = "body" };

/* JSON and YAML are told apart by the first character: YAML's flow mappings are JSON enough. */
static int source_read(struct ar_call *call, struct ar_json **ret)
{
	static const struct ar_json_limits limits = { WORKFLOW_SOURCE_MAX, 32, 10000 };
	struct ar_str text = call->body;

	if (text.n > WORKFLOW_SOURCE_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "definition");
	while (text.n > 0 && strchr(" \t\r\n", text.p[0]) != NULL)
		text = ar_str_sub(text, 1, text.n - 1);
	if (text.n == 0)
		return ar_fail(WORKFLOW_E_DEFINITION, "where", "", "reason", "empty");
	if (text.p[0] == '{')
		return ar_json_parse(call->pool, text, &limits, ret);
	return workflow_yaml_read(call->pool, call->body, ret);
}

static int may_grant(struct ar_call *call, const struct workflow_graph *graph)
{
	ar_json_each (p, graph->permissions)
		if (!ar_who_may(call->who, p->s))
			return ar_fail(WORKFLOW_E_ESCALATION, "permission",
				       ar_strz(call->pool, p->s));
	return 0;
}

/* The row of the workflow: versions refer to it. */
AR_YIELDS static int row_write(struct ar_call *call, struct ar_str name,
			       const struct workflow_graph *graph, const struct ar_version *version)
{
	int64_t now = ar_now_ms();

	if (version->exists)
		return ar_exec(&call->scope,
			       "UPDATE workflow_workflows SET version = ?, number = ?, "
			       "description = ?, updated = ? WHERE name = ?",
			       AR_ARGS(AR_J_STR(version->id), AR_J_INT(version->number),
				       AR_J_STR(graph->description), AR_J_INT(now), AR_J_STR(name)),
			       NULL);
	return ar_exec(&call->scope,
		       "INSERT INTO workflow_workflows (name, version, number, description, "
		       "created, updated) VALUES (?, ?, ?, ?, ?, ?)",
		       AR_ARGS(AR_J_STR(name), AR_J_STR(version->id), AR_J_INT(version->number),
			       AR_J_STR(graph->description), AR_J_INT(now), AR_J_INT(now)),
		       NULL);
}

AR_YIELDS static int version_write(struct ar_call *call, struct ar_str name, struct ar_str sha256,
				   const struct ar_json *definition,
				   const struct workflow_graph *graph, struct ar_version *version)
{
	ar_version_next(call, version);
	if (row_write(call, name, graph, version) != 0 ||
	    ar_version_insert(call, &versioned, name, version, call->body, sha256,
			      ar_json_print(call->pool, definition)) != 0)
		return -1;
	return ar_subscribe_topics(&call->scope, AR_STR("workflow"), name, graph->events);
}

AR_YIELDS static int workflow_write(struct ar_call *call, struct ar_str name, int status)
{
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT w.name, w.version, w.description, v.source, v.definition, w.number, "
		     "w.created, w.updated FROM workflow_workflows w "
		     "JOIN workflow_versions v ON v.id = w.version WHERE w.name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "workflow");
	w = ar_reply_json(call, status);
	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_keyz(w, "version");
	ar_jw_str(w, ar_col_str(&rows, 1));
	ar_jw_keyz(w, "number");
	ar_jw_int(w, ar_col_int(&rows, 5));
	ar_jw_keyz(w, "description");
	ar_jw_str(w, ar_col_str(&rows, 2));
	ar_jw_keyz(w, "definition");
	ar_jw_raw(w, ar_col_str(&rows, 4));
	ar_jw_keyz(w, "source");
	ar_jw_str(w, ar_col_str(&rows, 3));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 6));
	ar_jw_keyz(w, "updated");
	ar_jw_time(w, ar_col_int(&rows, 7));
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int workflow_put(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name"), sha256;
	struct workflow_graph graph;
	struct ar_version version;
	struct ar_json *definition;

	if (source_read(call, &definition) != 0 ||
	    workflow_graph_read(call->pool, definition, &graph) != 0)
		return -1;
	if (graph.name.n > 0 && !ar_str_eq(graph.name, name))
		return ar_fail(WORKFLOW_E_DEFINITION, "where", "workflow", "reason",
			       "another name than the address says");
	sha256 = ar_sha256_hex(call->pool, call->body);
	if (may_grant(call, &graph) != 0 ||
	    ar_version_current(call, &versioned, name, sha256, &version) != 0 ||
	    (!version.same_source &&
	     version_write(call, name, sha256, definition, &graph, &version) != 0))
		return -1;
	return workflow_write(call, name, version.exists ? 200 : 201);
}

AR_YIELDS int workflow_get(struct ar_call *call)
{
	return workflow_write(call, ar_in_str(call, "name"), 0);
}

AR_YIELDS int workflow_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "name" },
		{ .name = "version" },
		{ .name = "number", .type = AR_LIST_INT },
		{ .name = "description" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "workflow_workflows", columns, "name" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

/* Runs under way need their version: they are asked to end first. */
AR_YIELDS int workflow_delete(struct ar_call *call)
{
	static const struct ar_json none = { .type = AR_ARRAY };
	struct ar_str name = ar_in_str(call, "name");
	struct ar_rows rows;
	int64_t changed = 0;

	if (ar_query_lock(&call->scope, &rows,
			  "SELECT id FROM workflow_runs WHERE workflow = ? AND status = 'running' "
			  "LIMIT 1",
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (rows.count > 0)
		return ar_fail(WORKFLOW_E_RUNNING);
	if (ar_exec(&call->scope, "DELETE FROM workflow_workflows WHERE name = ?",
		    AR_ARGS(AR_J_STR(name)), &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "workflow");
	if (ar_subscribe_topics(&call->scope, AR_STR("workflow"), name, &none) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int workflow_version_list(struct ar_call *call)
{
	return ar_version_list(call, &versioned);
}

AR_YIELDS int workflow_version_get(struct ar_call *call)
{
	return ar_version_get(call, &versioned);
}

extern const struct ar_file workflow_demo_files[]; /* scripts/packs/demo/workflows */

AR_YIELDS int workflow_demo(struct ar_call *call)
{
	return ar_version_demo(call, &versioned, workflow_demo_files, NULL);
}
