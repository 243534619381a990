/*
 * graph.c - the graphs of versions, read once and remembered per tenant and loop.
 *
 * A version never changes, so a graph is right for ever; the newest few are kept, and one that is
 * pushed out lives on as long as a run uses it.
 */
#include "workflow/workflow_int.h"

#define GRAPHS_MAX 64

static void graph_drop(void *value)
{
	struct workflow_graph *graph = value;

	if (--graph->refs == 0)
		ar_pool_free(graph->pool);
}

AR_YIELDS static int graphs_load(struct ar_tenant *tenant AR_UNUSED, void **ret)
{
	*ret = ar_map_new();
	return 0;
}

static void graphs_unload(void *value)
{
	ar_map_free(value, graph_drop);
}

struct ar_tenant_slot workflow_slot = { .name = "workflow",
					.load = graphs_load,
					.unload = graphs_unload };

AR_YIELDS static int graph_load(struct ar_tenant *tenant, struct ar_str version,
				struct workflow_graph **ret)
{
	static const struct ar_json_limits limits = { WORKFLOW_SOURCE_MAX * 4, 64, 100000 };
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_pool *own AR_CLEANUP(ar_pool_cleanup) = NULL;
	struct workflow_graph *graph;
	struct ar_json *definition;
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, tenant->db, pool);
	if (ar_query(&scope, &rows,
		     "SELECT definition, workflow FROM workflow_versions WHERE id = ?",
		     AR_ARGS(AR_J_STR(version))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "version");
	own = ar_pool_new();
	graph = ar_new(own, struct workflow_graph);
	if (ar_json_parse(pool, ar_col_str(&rows, 0), &limits, &definition) != 0 ||
	    workflow_graph_read(own, definition, graph) != 0)
		return ar_fail_over(WORKFLOW_E_VERSION, "cause", ar_err()->def->slug);
	graph->version = ar_str_dup(own, version);
	graph->name = graph->who->id = ar_str_dup(own, ar_col_str(&rows, 1));
	graph->refs = 1;
	own = NULL;
	*ret = graph;
	return 0;
}

static bool evict_one(struct ar_str version, void *value, void *arg)
{
	struct ar_map *graphs = arg;

	ar_map_remove(graphs, version);
	graph_drop(value);
	return false;
}

AR_YIELDS int workflow_graph_get(struct ar_tenant *tenant, struct ar_pool *pool,
				 struct ar_str version, struct workflow_graph **ret)
{
	struct workflow_graph *graph, *other;
	struct ar_map *graphs;
	void *value;

	if (ar_tenant_get(tenant, &workflow_slot, &value) != 0)
		return -1;
	graphs = value;
	graph = ar_map_get(graphs, version);
	if (graph == NULL) {
		if (graph_load(tenant, version, &graph) != 0) {
			ar_tenant_drop(tenant, &workflow_slot, value);
			return -1;
		}
		if (ar_map_count(graphs) >= GRAPHS_MAX)
			ar_map_each(graphs, evict_one, graphs);
		other = ar_map_set(graphs, version, graph); /* another run was faster */
		if (other != NULL)
			graph_drop(other);
	}
	graph->refs++;
	ar_defer(pool, graph_drop, graph);
	ar_tenant_drop(tenant, &workflow_slot, value);
	*ret = graph;
	return 0;
}
