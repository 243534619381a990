/*
 * rule.c - who may do what to which record: permissions first, then the collection's rule.
 *
 * A rule sees the record's fields by name, @auth (who calls) and @request (action, method, data). A
 * path may go through relations: author.org.name. In SQL that is a subselect, in memory a query by
 * id (so a test may wait). A client's filter may go through a relation only where everybody may
 * view what it leads to: else a filter would tell what a view would not.
 */
#include "data/data_int.h"

static const char *const roots[] = { "@auth", "@request", NULL };
static const char *const request_members[] = { "action", "method", "data", NULL };
static const char *const *const members[] = { ar_auth_members, request_members };

static const struct builtin {
	const char *name, *sql;
	enum ar_expr_type type;
	int cell;
} builtins[] = {
	{ "id", "r.\"id\"", AR_X_TEXT, CELL_ID },
	{ "created", "r.\"created\"", AR_X_DATETIME, CELL_CREATED },
	{ "updated", "r.\"updated\"", AR_X_DATETIME, CELL_UPDATED },
};

/* author.org.name: hops author, org; then a field of what they lead to. */
struct relation {
	size_t nhops;
	struct hop {
		const struct data_field *field;
		const struct data_collection *to;
	} hops[DATA_HOPS_MAX];
	const struct data_field *last; /* or NULL */
	const struct builtin *builtin;
};

struct resolver {
	struct ar_pool *pool;
	const struct data_collection *collection;
	const struct ar_call
		*call; /* of a client's filter; NULL: a rule, which may look anywhere */
};

/* ---- names ---- */

static const struct builtin *builtin_find(struct ar_str name)
{
	for (size_t i = 0; i < AR_COUNT(builtins); i++)
		if (ar_str_is(name, builtins[i].name))
			return &builtins[i];
	return NULL;
}

static bool may_look(const struct resolver *r, const struct data_collection *to)
{
	const struct data_rule *rule = &to->rules[RULE_VIEW];
	const char *permission = to->people ? DATA_PEOPLE_READ : DATA_RECORDS_READ;

	return r->call == NULL || (rule->set && rule->expr == NULL && !rule->broken) ||
	       ar_who_may(r->call->who, ar_str(permission));
}

static const char *relation_sql(struct ar_pool *pool, const struct relation *relation)
{
	const char *sql = relation->hops[0].field->sql;

	for (size_t i = 0; i < relation->nhops; i++) {
		/* every hop has its field: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		const char *column = i + 1 < relation->nhops ? relation->hops[i + 1].field->column
				     : relation->last != NULL
					     ? relation->last->column
					     : data_quoted(pool, ar_str(relation->builtin->name));

		sql = ar_printf(pool, "(SELECT x%zu.%s FROM %s AS x%zu WHERE x%zu.\"id\" = %s)", i,
				column, relation->hops[i].to->table, i, i, sql);
	}
	return sql;
}

static bool relation_find(const struct resolver *r, const struct ar_str *parts, size_t nparts,
			  const struct data_field *field, struct ar_expr_field *ret)
{
	struct relation *relation = ar_new(r->pool, struct relation);
	const struct data_collection *to;
	size_t used = 1;

	while (field != NULL && field->type == DATA_RELATION && !field->multiple && used < nparts) {
		to = data_schema_target(r->collection->schema, field->target);
		if (to == NULL || relation->nhops == DATA_HOPS_MAX || !may_look(r, to))
			return false;
		relation->hops[relation->nhops++] = (struct hop){ field, to };
		relation->builtin = builtin_find(parts[used]);
		relation->last = field = data_field_find(to, parts[used++]);
		if (to->people && relation->builtin != NULL && relation->builtin->cell != CELL_ID)
			return false; /* auth keeps its times as numbers */
		if (field == NULL && relation->builtin == NULL)
			return false;
	}
	*ret = (struct ar_expr_field){
		.type = field != NULL ? field->expr : relation->builtin->type,
		.used = used,
		.sql = relation_sql(r->pool, relation),
		.ref = relation,
	};
	return true;
}

static bool field_find(void *arg, const struct ar_str *parts, size_t nparts,
		       struct ar_expr_field *ret)
{
	const struct resolver *r = arg;
	const struct builtin *builtin = builtin_find(parts[0]);
	const struct data_field *field = data_field_find(r->collection, parts[0]);

	if (builtin != NULL) {
		*ret = (struct ar_expr_field){
			.type = builtin->type, .used = 1, .sql = builtin->sql, .id = builtin->cell
		};
		return true;
	}
	if (field == NULL)
		return false;
	if (field->type == DATA_RELATION && !field->multiple && nparts > 1)
		return relation_find(r, parts, nparts, field, ret);
	*ret = (struct ar_expr_field){
		.type = field->expr, .used = 1, .sql = field->sql, .id = (int)field->cell
	};
	return true;
}

int data_rule_compile(const struct data_collection *collection, struct ar_str text,
		      struct ar_expr **ret)
{
	struct resolver resolver = { collection->schema->pool, collection, NULL };
	const struct ar_expr_names names = {
		.roots = roots, .members = members, .field = field_find, .arg = &resolver
	};

	if (ar_expr_parse(resolver.pool, text, ret) != 0)
		return -1;
	return ar_expr_check_test(*ret, &names);
}

/* ---- values ---- */

struct values {
	struct ar_call *call;
	const struct data_record *record;
};

static struct ar_json record_value(const struct values *v, int cell, struct ar_pool *pool)
{
	const struct data_collection *c = v->record->collection;
	const struct data_field *field = cell >= DATA_CELLS ? &c->fields[cell - DATA_CELLS] : NULL;
	const struct ar_json *value;

	if (v->record->rows != NULL && field != NULL)
		return data_cell(v->record->rows, field, pool);
	if (v->record->rows != NULL)
		return AR_J_STR(ar_col_str(v->record->rows, (size_t)cell));
	value = ar_json_get_str(v->record->object,
				field != NULL ? field->name : ar_str(builtins[cell].name));
	return value != NULL ? *value : AR_J_NULL;
}

static AR_YIELDS int relation_get(struct values *v, const struct relation *relation,
				  struct ar_pool *pool, struct ar_json *ret)
{
	struct ar_json id = record_value(v, (int)relation->hops[0].field->cell, pool);

	for (size_t i = 0; i < relation->nhops && id.type == AR_STRING; i++) {
		bool end = i + 1 == relation->nhops;
		const struct data_field *field = end ? relation->last : relation->hops[i + 1].field;
		const char *column = field != NULL
					     ? field->column
					     : data_quoted(pool, ar_str(relation->builtin->name));
		struct data_field cell = { .expr = AR_X_TEXT };
		struct ar_rows rows;

		if (ar_query(&v->call->scope, &rows,
			     ar_printf(pool, "SELECT x.%s FROM %s AS x WHERE x.\"id\" = ?", column,
				       relation->hops[i].to->table),
			     AR_ARGS(id)) != 0)
			return -1;
		if (field != NULL)
			cell = *field;
		cell.cell = 0;
		id = ar_rows_next(&rows) ? data_cell(&rows, &cell, pool) : AR_J_NULL;
		if (end)
			*ret = id;
	}
	return 0;
}

static AR_YIELDS int value_get(void *arg, const struct ar_expr_field *field, struct ar_pool *pool,
			       struct ar_json *ret)
{
	struct values *v = arg;

	if (field->ref != NULL)
		return relation_get(v, field->ref, pool, ret);
	*ret = record_value(v, field->id, pool);
	return 0;
}

static struct ar_json *request_value(struct ar_call *call, const struct ar_json *input)
{
	struct ar_json *request = ar_json_new(call->pool, AR_OBJECT);
	struct ar_str route = ar_str(call->action->route), action = ar_str(call->action->name);

	ar_json_set(request, AR_STR("action"), ar_json_str(call->pool, action));
	ar_json_set(request, AR_STR("method"), ar_json_str(call->pool, ar_str_cut(&route, ' ')));
	if (input != NULL) {
		struct ar_json *data = ar_new(call->pool, struct ar_json);

		*data = *input;
		ar_json_set(request, AR_STR("data"), data);
	}
	return request;
}

/* ---- permissions ---- */

int data_deny(const struct ar_call *call, const char *permission)
{
	if (call->who->kind == AR_WHO_ANYONE)
		return ar_fail(AR_E_UNAUTHORIZED);
	return ar_fail(AR_E_FORBIDDEN, "permission", permission);
}

int data_may(const struct ar_call *call, const struct data_collection *collection,
	     enum data_rule_name rule)
{
	const char *permission =
		rule == RULE_LIST || rule == RULE_VIEW ? DATA_RECORDS_READ : DATA_RECORDS_WRITE;

	if (ar_who_may(call->who, ar_str(permission)))
		return 1;
	if (!collection->rules[rule].set || collection->rules[rule].broken)
		return data_deny(call, permission);
	return 0;
}

/* ---- rules ---- */

AR_YIELDS int data_rule_test(struct ar_call *call, const struct data_record *record,
			     enum data_rule_name name, const struct ar_json *input, bool *ret)
{
	const struct data_rule *rule = &record->collection->rules[name];
	struct values values = { call, record };
	const struct ar_json *root_values[2] = { call->who->auth, NULL };
	struct ar_expr_env env = { .roots = root_values, .get = value_get, .arg = &values };

	*ret = rule->set && !rule->broken;
	if (!*ret || rule->expr == NULL)
		return 0;
	if (ar_expr_uses_root(rule->expr, "@request"))
		root_values[1] = request_value(call, input);
	return ar_expr_test(rule->expr, &env, call->pool, ret);
}

static int add_condition(struct ar_call *call, const struct ar_expr *expr, struct ar_sql *sql)
{
	const struct ar_json *root_values[2] = { call->who->auth, NULL };
	struct ar_expr_env env = { .roots = root_values };

	if (ar_expr_uses_root(expr, "@request"))
		root_values[1] = request_value(call, NULL);
	ar_sql_add(sql, " AND ");
	return ar_expr_sql(expr,
			   ar_db_dialect(call->scope.db) == AR_POSTGRES ? AR_EXPR_POSTGRES
									: AR_EXPR_SQLITE,
			   &env, sql, NULL);
}

AR_YIELDS int data_rule_sql(struct ar_call *call, const struct data_collection *collection,
			    enum data_rule_name name, struct ar_sql *sql)
{
	const struct data_rule *rule = &collection->rules[name];

	if (rule->expr == NULL)
		return 0;
	return add_condition(call, rule->expr, sql);
}

AR_YIELDS int data_filter_sql(struct ar_call *call, const struct data_collection *collection,
			      struct ar_str text, const struct ar_json *params, struct ar_sql *sql)
{
	struct resolver resolver = { call->pool, collection, call };
	const struct ar_expr_names names = {
		.roots = roots,
		.members = members,
		.field = field_find,
		.arg = &resolver,
		.params = params,
	};
	struct ar_expr *expr;

	if (ar_expr_parse(call->pool, text, &expr) != 0 || ar_expr_check_test(expr, &names) != 0)
		return -1;
	return add_condition(call, expr, sql);
}
