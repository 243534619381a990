/*
 * deploy.c - puts a workflow, from JSON or YAML: reads it into its graph once to find what is wrong
 * with it, keeps it as a new version when it differs, subscribes it to its events.
 */
#include "workflow/workflow_int.h"

#include "base/embed.h"
#include "http/server.h"

#define EVENTS_MAX 16

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

struct current {
	bool exists, same_source;
	int64_t number;
	struct ar_str version;
};

AR_YIELDS static int current_read(struct ar_call *call, struct ar_str name, struct ar_str sha256,
				  struct current *ret)
{
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows,
			  "SELECT w.version, w.number, v.sha256 FROM workflow_workflows w "
			  "JOIN workflow_versions v ON v.id = w.version WHERE w.name = ?",
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return 0;
	ret->exists = true;
	ret->version = ar_col_str(&rows, 0);
	ret->number = ar_col_int(&rows, 1);
	ret->same_source = ar_str_eq(ar_col_str(&rows, 2), sha256);
	return 0;
}

AR_YIELDS static int version_write(struct ar_call *call, struct ar_str name, struct ar_str sha256,
				   const struct ar_json *definition,
				   const struct workflow_graph *graph, struct current *current)
{
	int64_t now = ar_now_ms();
	bool created = !current->exists;

	current->version = ar_id(call->pool);
	current->number++;
	if (created ? ar_exec(&call->scope,
			      "INSERT INTO workflow_workflows (name, version, number, description, "
			      "created, updated) VALUES (?, ?, ?, ?, ?, ?)",
			      AR_ARGS(AR_J_STR(name), AR_J_STR(current->version),
				      AR_J_INT(current->number), AR_J_STR(graph->description),
				      AR_J_INT(now), AR_J_INT(now)),
			      NULL)
		    : ar_exec(&call->scope,
			      "UPDATE workflow_workflows SET version = ?, number = ?, description "
			      "= ?, "
			      "updated = ? WHERE name = ?",
			      AR_ARGS(AR_J_STR(current->version), AR_J_INT(current->number),
				      AR_J_STR(graph->description), AR_J_INT(now), AR_J_STR(name)),
			      NULL))
		return -1;
	return ar_exec(
		&call->scope,
		"INSERT INTO workflow_versions (id, workflow, number, definition, source, "
		"sha256, created, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		AR_ARGS(AR_J_STR(current->version), AR_J_STR(name), AR_J_INT(current->number),
			AR_J_STR(ar_json_print(call->pool, definition)), AR_J_STR(call->body),
			AR_J_STR(sha256), AR_J_INT(now), AR_J_STR(call->who->id)),
		NULL);
}

AR_YIELDS static int subscribe(struct ar_call *call, struct ar_str name,
			       const struct ar_json *events)
{
	size_t i = 0;

	ar_json_each (topic, events) {
		struct ar_subscription subscription = {
			.name = ar_strf(call->pool, "workflow.%.*s.%zu", AR_FMT(name), i++),
			.topics = topic->s,
			.kind = AR_STR("workflow"),
			.target = name,
		};

		if (ar_subscribe(&call->scope, &subscription) != 0)
			return -1;
	}
	for (; i < EVENTS_MAX; i++)
		if (ar_unsubscribe(&call->scope,
				   ar_strf(call->pool, "workflow.%.*s.%zu", AR_FMT(name), i)) != 0)
			return -1;
	return 0;
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
	struct current current = { 0 };
	struct workflow_graph graph;
	struct ar_json *definition;
	bool created;

	if (source_read(call, &definition) != 0 ||
	    workflow_graph_read(call->pool, definition, &graph) != 0)
		return -1;
	if (graph.name.n > 0 && !ar_str_eq(graph.name, name))
		return ar_fail(WORKFLOW_E_DEFINITION, "where", "workflow", "reason",
			       "another name than the address says");
	sha256 = ar_sha256_hex(call->pool, call->body);
	if (may_grant(call, &graph) != 0 || current_read(call, name, sha256, &current) != 0)
		return -1;
	created = !current.exists;
	if (!current.same_source &&
	    (version_write(call, name, sha256, definition, &graph, &current) != 0 ||
	     subscribe(call, name, graph.events) != 0))
		return -1;
	return workflow_write(call, name, created ? 201 : 200);
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
		return ar_fail(AR_E_CONFLICT, "what", "workflow", "reason", "it has running runs");
	if (ar_exec(&call->scope, "DELETE FROM workflow_workflows WHERE name = ?",
		    AR_ARGS(AR_J_STR(name)), &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "workflow");
	if (subscribe(call, name, &none) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int workflow_version_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "number", .type = AR_LIST_INT },
		{ .name = "sha256" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "createdBy", .sql = "created_by" },
		{ 0 },
	};
	static const struct ar_list_table table = { "workflow_versions", columns, "-number" };

	return ar_list_table(call, &table, "workflow = ?",
			     AR_ARGS(AR_J_STR(ar_in_str(call, "name"))));
}

/* ---- the demo tenant's workflow: design 004's own file, as written ---- */

extern const struct ar_file workflow_demo_files[]; /* scripts/packs/demo/workflows */

AR_YIELDS static int demo_put(struct ar_call *call, struct ar_str name, const struct ar_file *file)
{
	struct ar_json *input = ar_json_new(call->pool, AR_OBJECT), *ret;
	struct ar_invoke invoke = { .tenant = call->tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_SYSTEM,
				    .action = AR_STR("workflows.put"),
				    .input = input };

	ar_json_set(input, AR_STR("name"), ar_json_str(call->pool, name));
	ar_json_set(input, AR_STR("body"),
		    ar_json_str(call->pool, ar_str_n(file->data, file->size)));
	return ar_action_invoke(call->pool, &invoke, &ret);
}

AR_YIELDS int workflow_demo(struct ar_call *call)
{
	struct ar_rows rows;

	for (const struct ar_file *file = workflow_demo_files; file->path != NULL; file++) {
		struct ar_str name = ar_str(file->path);

		name = ar_str_cut(&name, '.');
		if (ar_query(&call->scope, &rows, "SELECT 1 FROM workflow_workflows WHERE name = ?",
			     AR_ARGS(AR_J_STR(name))) != 0)
			return -1;
		if (rows.count == 0 && demo_put(call, name, file) != 0)
			return -1;
	}
	return 0;
}
