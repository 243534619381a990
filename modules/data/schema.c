/*
 * schema.c - a tenant's collections, compiled: read from data_collections once, kept in a slot.
 *
 * Compiling makes everything that a request would otherwise make again: the tables that input is
 * held against, the texts of SQL, the rules as expressions. A rule that does not compile any more
 * (which changes of collections refuse) allows nobody.
 */
#include "data/data_int.h"

#include <assert.h>

#define FEW_FIELDS 16 /* are compared one by one: quicker than a digest of the name */

const char *const data_type_names[] = { "text", "int",    "float", "bool",     "date", "datetime",
					"json", "select", "email", "relation", NULL };
const char *const data_rule_names[] = { "list", "view", "create", "update", "delete", NULL };

static const enum ar_expr_type expr_types[] = {
	[DATA_TEXT] = AR_X_TEXT,     [DATA_INT] = AR_X_INT,     [DATA_FLOAT] = AR_X_FLOAT,
	[DATA_BOOL] = AR_X_BOOL,     [DATA_DATE] = AR_X_DATE,   [DATA_DATETIME] = AR_X_DATETIME,
	[DATA_JSON] = AR_X_JSON,     [DATA_SELECT] = AR_X_TEXT, [DATA_EMAIL] = AR_X_TEXT,
	[DATA_RELATION] = AR_X_TEXT,
};

const char *data_quoted(struct ar_pool *pool, struct ar_str name)
{
	struct ar_sql sql;

	ar_sql_init(&sql, pool);
	ar_sql_name(&sql, name);
	return ar_sql_text(&sql);
}

/* ---- one collection ---- */

static enum data_type type_of(struct ar_str name)
{
	int type = 0;

	while (data_type_names[type + 1] != NULL && !ar_str_is(name, data_type_names[type]))
		type++;
	return (enum data_type)type;
}

static void field_init(struct ar_pool *pool, struct data_field *field, const struct ar_json *json,
		       size_t cell)
{
	field->definition = json;
	field->name = ar_json_text(json, "name", AR_STR_NONE);
	field->type = type_of(ar_json_text(json, "type", AR_STR_NONE));
	field->required = ar_json_truth(json, "required", false);
	field->unique = ar_json_truth(json, "unique", false);
	field->indexed = ar_json_truth(json, "indexed", false);
	field->multiple = ar_json_truth(json, "multiple", false);
	field->json = field->type == DATA_JSON || field->multiple;
	field->expr = field->json ? AR_X_JSON : expr_types[field->type];
	field->target = ar_json_text(json, "collection", AR_STR_NONE);
	field->column = data_quoted(pool, field->name);
	field->sql = ar_printf(pool, "r.%s", field->column);
	field->key = ar_strf(pool, "\"%.*s\":", AR_FMT(field->name));
	field->cell = cell;
}

const char *data_cast(const struct data_collection *collection, const struct data_field *field)
{
	static const char *const casts[] = {
		[AR_X_BOOL] = "::boolean", [AR_X_INT] = "::bigint", [AR_X_FLOAT] = "::float8",
		[AR_X_TEXT] = "::text",    [AR_X_DATE] = "::text",  [AR_X_DATETIME] = "::text",
		[AR_X_JSON] = "::jsonb",
	};

	return collection->schema->dialect == AR_POSTGRES ? casts[field->expr] : "";
}

/* PostgreSQL asks whether the collection is still that one. It does so once it has the table: a change
 * of it is over by then, or waits. */
static const char *insert_sql(const struct data_collection *c, struct ar_pool *pool)
{
	bool asks = c->schema->dialect == AR_POSTGRES;
	struct ar_sql sql;

	ar_sql_init(&sql, pool);
	ar_sql_add(&sql, "INSERT INTO ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " (\"id\", \"created\", \"updated\", \"ar_revision\"");
	for (size_t i = 0; i < c->nfields; i++) {
		ar_sql_add(&sql, ", ");
		ar_sql_add(&sql, c->fields[i].column);
	}
	ar_sql_add(&sql, asks ? ") SELECT ?::text, ?::text, ?::text, 1" : ") VALUES (?, ?, ?, 1");
	for (size_t i = 0; i < c->nfields; i++) {
		ar_sql_add(&sql, ", ?");
		ar_sql_add(&sql, data_cast(c, &c->fields[i]));
	}
	ar_sql_add(&sql, asks ? " WHERE " DATA_SAME_COLLECTION : ")");
	return ar_sql_text(&sql);
}

static void make_sql(struct data_collection *c, struct ar_pool *pool)
{
	struct ar_sql sql;

	ar_sql_init(&sql, pool);
	ar_sql_add(&sql, "r.\"id\", r.\"created\", r.\"updated\"");
	for (size_t i = 0; i < c->nfields; i++) {
		ar_sql_add(&sql, ", ");
		ar_sql_add(&sql, c->fields[i].sql);
	}
	c->columns = ar_sql_text(&sql);
	c->get_sql = ar_printf(pool, "SELECT %s, r.\"ar_revision\" FROM %s AS r WHERE r.\"id\" = ?",
			       c->columns, c->table);
	c->delete_sql =
		ar_printf(pool, "DELETE FROM %s WHERE \"id\" = ?%s", c->table,
			  c->schema->dialect == AR_POSTGRES ? " AND " DATA_SAME_COLLECTION : "");
	c->insert_sql = insert_sql(c, pool);
}

static void schema_free(void *value)
{
	struct data_schema *schema = value;

	for (size_t i = 0; i < schema->count; i++)
		ar_map_free(schema->list[i]->by_name, NULL);
	ar_map_free(schema->by_name, NULL);
}

/* Of a user, records may follow what says who it is; how it signs in is auth's. */
static struct data_collection *people_new(struct data_schema *schema)
{
	static const char fields[] = "[{\"name\":\"email\",\"type\":\"email\"},"
				     "{\"name\":\"name\",\"type\":\"text\"},"
				     "{\"name\":\"locale\",\"type\":\"text\"}]";
	struct data_collection *c = ar_new(schema->pool, struct data_collection);
	struct ar_json *list = NULL;

	if (ar_json_parse(schema->pool, ar_str(fields), NULL, &list) != 0)
		assert(!"the fields of users");
	c->schema = schema;
	c->name = AR_STR(DATA_PEOPLE);
	c->people = true;
	c->table = "\"auth_users\"";
	c->fields = ar_new_n(schema->pool, struct data_field, list->count);
	ar_json_each (f, list) {
		field_init(schema->pool, &c->fields[c->nfields], f, 1 + c->nfields);
		c->nfields++;
	}
	c->get_sql = "SELECT r.\"id\" FROM \"auth_users\" AS r WHERE r.\"id\" = ?";
	return c;
}

struct data_schema *data_schema_new(struct ar_pool *pool, enum ar_dialect dialect)
{
	static _Atomic uint64_t numbers;
	struct data_schema *schema = ar_new(pool, struct data_schema);

	schema->pool = pool;
	schema->number = ++numbers;
	schema->dialect = dialect;
	schema->list = ar_new_n(pool, struct data_collection *, DATA_COLLECTIONS_MAX + 1);
	schema->by_name = ar_map_new();
	schema->people = people_new(schema);
	ar_defer(pool, schema_free, schema);
	return schema;
}

struct data_collection *data_schema_add(struct data_schema *schema, struct ar_str id,
					struct ar_str name, const struct ar_json *definition)
{
	struct ar_pool *pool = schema->pool;
	struct data_collection *c = ar_new(pool, struct data_collection);
	const struct ar_json *fields = ar_json_get(definition, "fields");
	size_t i = 0;

	c->schema = schema;
	c->id = id;
	c->name = name;
	c->definition = definition;
	c->table = data_quoted(pool, ar_strf(pool, "c_%.*s", AR_FMT(name)));
	c->nfields = fields != NULL ? fields->count : 0;
	c->fields = ar_new_n(pool, struct data_field, c->nfields + 1);
	c->by_name = ar_map_new();
	for (const struct ar_json *f = fields != NULL ? fields->first : NULL; f != NULL;
	     f = f->next) {
		field_init(pool, &c->fields[i], f, DATA_CELLS + i);
		ar_map_set(c->by_name, c->fields[i].name, &c->fields[i]);
		c->has_json = c->has_json || c->fields[i].type == DATA_JSON;
		c->has_lists = c->has_lists ||
			       (c->fields[i].type == DATA_RELATION && c->fields[i].multiple);
		i++;
	}
	c->checks = data_checks(pool, c->fields, c->nfields);
	make_sql(c, pool);
	schema->list[schema->count++] = c;
	ar_map_set(schema->by_name, name, c);
	return c;
}

/* ---- rules, once every collection is known ---- */

static int rule_init(struct data_collection *c, enum data_rule_name name,
		     const struct data_collection *changed)
{
	const struct ar_json *rules = ar_json_get(c->definition, "rules");
	const struct ar_json *text =
		rules != NULL ? ar_json_get(rules, data_rule_names[name]) : NULL;
	struct data_rule *rule = &c->rules[name];
	struct ar_pool *pool = c->schema->pool;

	*rule = (struct data_rule){ .set = text != NULL && text->type == AR_STRING };
	if (!rule->set || ar_str_trim(text->s).n == 0)
		return 0;
	if (data_rule_compile(c, text->s, &rule->expr) == 0)
		return 0;
	rule->broken = true;
	if (changed != NULL) {
		ar_fail_over(DATA_E_RULE, "collection", ar_strz(pool, c->name), "rule",
			     data_rule_names[name], "position",
			     ar_err_param(ar_err(), "position") != NULL
				     ? ar_err_param(ar_err(), "position")
				     : "",
			     "cause", ar_err()->def->slug);
		if (c == changed)
			ar_fail_field_as(DATA_E_RULE,
					 ar_printf(pool, "rules.%s", data_rule_names[name]),
					 "expression");
		return -1;
	}
	ar_log_err(AR_WARN, "data", "a collection's rule does not compile");
	ar_err_clear();
	return 0;
}

int data_schema_compile(struct data_schema *schema, const struct data_collection *changed)
{
	for (size_t i = 0; i < schema->count; i++)
		for (int rule = 0; rule < DATA_RULES; rule++)
			if (rule_init(schema->list[i], (enum data_rule_name)rule, changed) != 0)
				return -1;
	return 0;
}

/* ---- the slot ---- */

static AR_YIELDS int schema_fill(struct data_schema *schema, struct ar_scope *scope)
{
	struct ar_rows rows;

	if (ar_query(
		    scope, &rows,
		    "SELECT id, name, definition, revision, created, updated FROM data_collections "
		    "ORDER BY name",
		    AR_NO_ARGS) != 0)
		return -1;
	while (ar_rows_next(&rows) && schema->count < DATA_COLLECTIONS_MAX) {
		struct ar_json *definition;
		struct data_collection *c;

		if (ar_json_parse(schema->pool, ar_col_str(&rows, 2), NULL, &definition) != 0)
			return -1;
		c = data_schema_add(schema, ar_col_str(&rows, 0), ar_col_str(&rows, 1), definition);
		c->revision = ar_col_int(&rows, 3);
		c->created = ar_col_str(&rows, 4);
		c->updated = ar_col_str(&rows, 5);
	}
	return 0;
}

static AR_YIELDS int schema_load(struct ar_tenant *tenant, void **ret)
{
	struct ar_pool *pool = ar_pool_new();
	struct data_schema *schema = data_schema_new(pool, ar_db_dialect(tenant->db));
	struct ar_scope scope;

	ar_scope_init(&scope, tenant->db, pool);
	if (schema_fill(schema, &scope) != 0 || data_schema_compile(schema, NULL) != 0) {
		ar_pool_free(pool);
		return -1;
	}
	*ret = schema;
	return 0;
}

static void schema_unload(void *value)
{
	struct data_schema *schema = value;

	ar_pool_free(schema->pool);
}

struct ar_tenant_slot data_slot = { .name = "data", .load = schema_load, .unload = schema_unload };

AR_YIELDS int data_schema_get(struct ar_call *call, const struct data_schema **ret)
{
	void *value;

	if (ar_tenant_use(call->tenant, &data_slot, call->pool, &value) != 0)
		return -1;
	*ret = value;
	return 0;
}

const struct data_collection *data_schema_find(const struct data_schema *schema, struct ar_str name)
{
	return ar_map_get(schema->by_name, name);
}

/* A collection that was called so before the name was reserved keeps its relations. */
const struct data_collection *data_schema_target(const struct data_schema *schema,
						 struct ar_str name)
{
	const struct data_collection *own = data_schema_find(schema, name);

	return own != NULL || !ar_str_is(name, DATA_PEOPLE) ? own : schema->people;
}

const struct data_field *data_field_find(const struct data_collection *collection,
					 struct ar_str name)
{
	if (collection->nfields > FEW_FIELDS)
		return ar_map_get(collection->by_name, name);
	for (size_t i = 0; i < collection->nfields; i++)
		if (ar_str_eq(collection->fields[i].name, name))
			return &collection->fields[i];
	return NULL;
}

AR_YIELDS int data_collection_get(struct ar_call *call, struct ar_str name,
				  const struct data_collection **ret)
{
	const struct data_schema *schema;

	if (data_schema_get(call, &schema) != 0)
		return -1;
	*ret = data_schema_find(schema, name);
	if (*ret == NULL)
		return ar_fail(AR_E_NOT_FOUND, "what", "collection");
	return 0;
}

/* ---- a schema that has changed under a call ---- */

static AR_YIELDS int has_changed(struct ar_call *call, const struct data_schema *schema, bool *ret)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows, "SELECT id, revision FROM data_collections ORDER BY name",
		     AR_NO_ARGS) != 0)
		return -1;
	*ret = rows.count != schema->count;
	for (size_t i = 0; !*ret && ar_rows_next(&rows); i++)
		*ret = !ar_str_eq(ar_col_str(&rows, 0), schema->list[i]->id) ||
		       ar_col_int(&rows, 1) != schema->list[i]->revision;
	return 0;
}

AR_YIELDS int data_schema_lock(struct ar_call *call, const struct data_schema **ret)
{
	struct data_schema *now;
	bool changed = false;

	if (data_schema_get(call, ret) != 0 || ar_begin(&call->scope) != 0)
		return -1;
	if ((*ret)->dialect == AR_POSTGRES &&
	    ar_exec(&call->scope, "LOCK TABLE data_collections IN SHARE ROW EXCLUSIVE MODE",
		    AR_NO_ARGS, NULL) != 0)
		return -1;
	if (has_changed(call, *ret, &changed) != 0)
		return -1;
	if (!changed)
		return 0;
	now = data_schema_new(call->pool, (*ret)->dialect);
	if (schema_fill(now, &call->scope) != 0 || data_schema_compile(now, NULL) != 0)
		return -1;
	*ret = now;
	return 0;
}

AR_YIELDS int data_schema_hold(struct ar_call *call, const struct data_collection *c)
{
	struct data_collection *note = (struct data_collection *)(uintptr_t)c;
	struct ar_rows rows;
	uint64_t begun;

	if (c->schema->dialect == AR_POSTGRES)
		return 0;
	if (ar_begin(&call->scope) != 0)
		return -1;
	begun = ar_tenant_begun(call->tenant, &data_slot) + 1;
	if (c->held == begun)
		return 0;
	if (ar_query(&call->scope, &rows, "SELECT revision FROM data_collections WHERE id = ?",
		     AR_ARGS(AR_J_STR(c->id))) != 0)
		return -1;
	if (!ar_rows_next(&rows) || ar_col_int(&rows, 0) != c->revision)
		return ar_fail(AR_E_CONFLICT, "what", "collection");
	note->held = begun;
	return 0;
}

AR_YIELDS int data_failed(struct ar_call *call, const struct data_collection *c)
{
	struct ar_errstack *own, *before;
	bool changed = false;

	if (c == NULL || !ar_err_is(AR_E_STORE))
		return -1;
	own = ar_errstack_new();
	before = ar_errstack_use(own);
	if (has_changed(call, c->schema, &changed) != 0)
		changed = false;
	ar_errstack_use(before);
	ar_errstack_free(own);
	return changed ? ar_fail_over(AR_E_CONFLICT, "what", "collection") : -1;
}
