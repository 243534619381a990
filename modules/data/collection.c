/*
 * collection.c - collections: define, change, drop.
 *
 * A change is tried on paper first: the tenant's schema as it would be is compiled with every rule of
 * every collection, so that a field cannot go while a rule still speaks of it. Nothing that holds data
 * goes unasked: a field is deleted when it is named in deleteFields, a collection with records when
 * the call says deleteRecords. A field's type never changes. Changes of one tenant come one after the
 * other, each with the schema as the one before left it.
 */
#include "data/data_int.h"

#define FILL_ROWS 500

/* ---- replies and events ---- */

static void write_collection(struct ar_jw *w, const struct data_collection *c)
{
	ar_jw_object(w);
	ar_jw_keyz(w, "id");
	ar_jw_str(w, c->id);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, c->name);
	ar_json_each (m, c->definition) {
		ar_jw_key(w, m->key);
		ar_jw_value(w, m);
	}
	ar_jw_keyz(w, "created");
	ar_jw_str(w, c->created);
	ar_jw_keyz(w, "updated");
	ar_jw_str(w, c->updated);
	ar_jw_object_end(w);
}

static int reply(struct ar_call *call, const struct data_collection *c)
{
	ar_reply_header(call, "ETag", data_etag(call->pool, c->revision, c->updated));
	write_collection(ar_reply_json(call, 0), c);
	return 0;
}

static AR_YIELDS int publish(struct ar_call *call, const char *topic,
			     const struct data_collection *c)
{
	struct ar_json *event = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(event, AR_STR("collection"), ar_json_str(call->pool, c->name));
	ar_json_set(event, AR_STR("id"), ar_json_str(call->pool, c->id));
	if (ar_tenant_changes(call->tenant, &data_slot, &call->scope) != 0)
		return -1;
	return ar_publish(&call->scope, topic, c->id, event, NULL);
}

static struct ar_str now_text(struct ar_pool *pool)
{
	char *text = ar_alloc(pool, AR_TIME_MAX);

	return ar_str_n(text, ar_time_format(ar_now_ms(), text));
}

/* ---- on paper ---- */

/* All five rules, as texts or null: those given, else those before. */
static struct ar_json *rules_merge(struct ar_pool *pool, const struct ar_json *before,
				   const struct ar_json *given)
{
	struct ar_json *rules = ar_json_new(pool, AR_OBJECT);

	for (size_t i = 0; data_rule_names[i] != NULL; i++) {
		const struct ar_json *v =
			given != NULL ? ar_json_get(given, data_rule_names[i]) : NULL;

		if (v == NULL && before != NULL)
			v = ar_json_get(before, data_rule_names[i]);
		ar_json_set(rules, ar_str(data_rule_names[i]),
			    v != NULL ? ar_json_copy(pool, v) : ar_json_new(pool, AR_NULL));
	}
	return rules;
}

static struct ar_json *definition_new(struct ar_pool *pool, struct ar_json *fields,
				      struct ar_json *rules)
{
	struct ar_json *definition = ar_json_new(pool, AR_OBJECT);

	ar_json_set(definition, AR_STR("fields"), fields);
	ar_json_set(definition, AR_STR("rules"), rules);
	return definition;
}

/* The schema with one collection as it shall be; every rule must compile. */
static int try_schema(struct ar_call *call, const struct data_schema *now, struct ar_str id,
		      struct ar_str name, const struct ar_json *definition,
		      struct data_collection **ret)
{
	struct data_schema *next = data_schema_new(call->pool, now->dialect);

	if (ar_json_print(call->pool, definition).n > DATA_DEFINITION_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "definition");
	for (size_t i = 0; i < now->count; i++)
		if (!ar_str_eq(now->list[i]->name, name))
			data_schema_add(next, now->list[i]->id, now->list[i]->name,
					now->list[i]->definition);
	*ret = data_schema_add(next, id, name, definition);
	return data_schema_compile(next, *ret);
}

/* ---- create ---- */

AR_YIELDS int data_collection_create(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name"), now = now_text(call->pool);
	struct ar_json *given = ar_in(call, "fields"), *fields, *definition;
	const struct data_schema *schema;
	struct data_collection *c;

	if (data_schema_lock(call, &schema) != 0)
		return -1;
	if (data_schema_find(schema, name) != NULL)
		return ar_fail_field_as(DATA_E_EXISTS, "name", "unique");
	if (ar_str_is(name, DATA_PEOPLE))
		return ar_fail_field("name", "reserved");
	if (schema->count >= DATA_COLLECTIONS_MAX)
		return ar_fail(DATA_E_FULL, "what", "collections", "max", "500");
	if (given == NULL)
		given = ar_json_new(call->pool, AR_ARRAY);
	if (data_define_fields(call->pool, schema, name, given, &fields) != 0)
		return -1;
	definition = definition_new(call->pool, fields,
				    rules_merge(call->pool, NULL, ar_in(call, "rules")));
	if (try_schema(call, schema, ar_id(call->pool), name, definition, &c) != 0)
		return -1;
	c->revision = 1;
	c->created = c->updated = now;
	if (ar_exec(&call->scope,
		    "INSERT INTO data_collections (id, name, definition, revision, created, "
		    "updated) "
		    "VALUES (?, ?, ?, 1, ?, ?)",
		    AR_ARGS(AR_J_STR(c->id), AR_J_STR(name),
			    AR_J_STR(ar_json_print(call->pool, definition)), AR_J_STR(now),
			    AR_J_STR(now)),
		    NULL) != 0)
		return ar_err_is(AR_E_UNIQUE) ? ar_fail_field_as(DATA_E_EXISTS, "name", "unique")
					      : -1;
	if (data_ddl_create(call, c) != 0 || publish(call, "data.collection.created", c) != 0)
		return -1;
	return reply(call, c);
}

/* ---- change ---- */

static AR_YIELDS int lock_collection(struct ar_call *call, const struct data_collection **ret)
{
	const struct data_schema *schema;

	if (data_schema_lock(call, &schema) != 0)
		return -1;
	*ret = data_schema_find(schema, ar_in_str(call, "collection"));
	return *ret != NULL ? 0 : ar_fail(AR_E_NOT_FOUND, "what", "collection");
}

struct changes {
	struct ar_call *call;
	const struct data_collection *before;
	struct ar_json *fields; /* definitions as they shall be */
	const struct ar_json *renames, *deletes, *given;
};

static struct ar_json *find_definition(const struct ar_json *fields, struct ar_str name)
{
	ar_json_each (f, fields)
		if (ar_str_eq(ar_json_text(f, "name", AR_STR_NONE), name))
			return f;
	return NULL;
}

static int plan_renames(struct changes *p)
{
	struct ar_pool *pool = p->call->pool;

	if (p->renames == NULL)
		return 0;
	ar_json_each (m, p->renames) {
		struct ar_json *definition = find_definition(p->fields, m->key);
		const char *path =
			ar_printf(pool, "renameFields.%.*s", AR_FMT(ar_utf8_head(m->key, 100)));

		if (definition == NULL || data_field_find(p->before, m->key) == NULL)
			return ar_fail_field(path, "not-found");
		if (m->type != AR_STRING)
			return ar_fail_field(path, "type", "type", "string");
		if (find_definition(p->fields, m->s) != NULL ||
		    data_field_find(p->before, m->s) != NULL)
			return ar_fail_field(path, "unique");
		ar_json_set(definition, AR_STR("name"), ar_json_str(pool, m->s));
	}
	return 0;
}

static int plan_deletes(struct changes *p)
{
	struct ar_json *left = ar_json_new(p->call->pool, AR_ARRAY);

	if (p->deletes == NULL)
		return 0;
	ar_json_each (name, p->deletes)
		if (find_definition(p->fields, name->s) == NULL)
			return ar_fail_field("deleteFields", "not-found");
	ar_json_each (f, p->fields) {
		bool deleted = false;

		ar_json_each (name, p->deletes)
			deleted =
				deleted || ar_str_eq(name->s, ar_json_text(f, "name", AR_STR_NONE));
		if (!deleted)
			ar_json_add(left, ar_json_copy(p->call->pool, f));
	}
	p->fields = left;
	return 0;
}

/* What a column is made of cannot be changed: old values would not fit. */
static int check_same(const struct ar_json *before, const struct ar_json *after, size_t index,
		      struct ar_pool *pool)
{
	static const char *const members[] = { "type", "collection" };

	for (size_t i = 0; i < AR_COUNT(members); i++)
		if (!ar_str_eq(ar_json_text(before, members[i], AR_STR_NONE),
			       ar_json_text(after, members[i], AR_STR_NONE)))
			return ar_fail_field(ar_printf(pool, "fields.%zu.%s", index, members[i]),
					     "immutable");
	if (ar_json_truth(before, "multiple", false) != ar_json_truth(after, "multiple", false))
		return ar_fail_field(ar_printf(pool, "fields.%zu.multiple", index), "immutable");
	return 0;
}

static int plan_given(struct changes *p)
{
	struct ar_pool *pool = p->call->pool;
	struct ar_json *all = ar_json_new(pool, AR_ARRAY);
	size_t index = 0;

	if (p->given == NULL)
		return 0;
	ar_json_each (f, p->fields) {
		struct ar_json *given =
			find_definition(p->given, ar_json_text(f, "name", AR_STR_NONE));

		ar_json_add(all, ar_json_copy(pool, given != NULL ? given : f));
	}
	ar_json_each (f, p->given) {
		struct ar_json *before =
			find_definition(p->fields, ar_json_text(f, "name", AR_STR_NONE));

		if (before == NULL)
			ar_json_add(all, ar_json_copy(pool, f));
		else if (check_same(before, f, index, pool) != 0)
			return -1;
		index++;
	}
	p->fields = all;
	return 0;
}

/* The field that `after` was: by its name, or the one that was renamed to it. */
static const struct data_field *field_before(const struct changes *p,
					     const struct data_field *after)
{
	if (p->renames != NULL)
		ar_json_each (m, p->renames)
			if (ar_str_eq(m->s, after->name))
				return data_field_find(p->before, m->key);
	return data_field_find(p->before, after->name);
}

/* The last id of the next piece; empty: the rest is one. */
static AR_YIELDS int piece_end(struct ar_call *call, const struct data_collection *c,
			       struct ar_str after, struct ar_str *ret)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     ar_printf(call->pool,
			       "SELECT \"id\" FROM %s WHERE \"id\" > ? ORDER BY \"id\" LIMIT 1 "
			       "OFFSET %d",
			       c->table, FILL_ROWS - 1),
		     AR_ARGS(AR_J_STR(after))) != 0)
		return -1;
	*ret = ar_rows_next(&rows) ? ar_col_str(&rows, 0) : AR_STR("");
	return 0;
}

/* In pieces: SQLite works on the loop, where others wait. */
static AR_YIELDS int fill_pieces(struct ar_call *call, const struct data_collection *c,
				 const char *update, struct ar_json value)
{
	const char *piece = ar_printf(call->pool, "%s WHERE \"id\" > ? AND \"id\" <= ?", update);
	const char *rest = ar_printf(call->pool, "%s WHERE \"id\" > ?", update);
	struct ar_str after = AR_STR(""), end;

	for (;;) {
		if (piece_end(call, c, after, &end) != 0)
			return -1;
		if (end.n == 0)
			return ar_exec(&call->scope, rest, AR_ARGS(value, AR_J_STR(after)), NULL);
		if (ar_exec(&call->scope, piece, AR_ARGS(value, AR_J_STR(after), AR_J_STR(end)),
			    NULL) != 0 ||
		    ar_pause() != 0)
			return -1;
		after = end;
	}
}

/* Records that are there get the default of a new field. */
static AR_YIELDS int fill_default(struct ar_call *call, const struct data_collection *c,
				  const struct data_field *field)
{
	const struct ar_json *value = ar_json_get(field->definition, "default");
	const char *update = ar_printf(call->pool, "UPDATE %s SET %s = ?%s", c->table,
				       field->column, data_cast(c, field));
	struct ar_json stored;

	if (value == NULL)
		return 0;
	stored = data_stored(call->pool, field, value);
	if (c->schema->dialect == AR_SQLITE)
		return fill_pieces(call, c, update, stored);
	return ar_exec(&call->scope, update, AR_ARGS(stored), NULL);
}

static bool is_deleted(const struct changes *p, const struct data_field *field)
{
	if (p->deletes != NULL)
		ar_json_each (name, p->deletes)
			if (ar_str_eq(name->s, field->name))
				return true;
	return false;
}

static AR_YIELDS int change_table(struct changes *p, const struct data_collection *after)
{
	struct ar_call *call = p->call;

	if (p->renames == NULL && p->deletes == NULL && p->given == NULL)
		return 0;
	if (data_ddl_lock(call, after) != 0)
		return -1;
	for (size_t i = 0; i < p->before->nfields; i++)
		if (is_deleted(p, &p->before->fields[i]) &&
		    data_ddl_drop_field(call, after, &p->before->fields[i]) != 0)
			return -1;
	for (size_t i = 0; i < after->nfields; i++) {
		const struct data_field *field = &after->fields[i],
					*before = field_before(p, field);
		bool renamed = before != NULL && !ar_str_eq(before->name, field->name);

		if (before == NULL) {
			if (data_ddl_add_field(call, after, field) != 0 ||
			    fill_default(call, after, field) != 0)
				return -1;
			continue;
		}
		if (renamed && data_ddl_rename_field(call, after, before, field->name) != 0)
			return -1;
		if (data_ddl_index(call, after, renamed ? NULL : before, field) != 0)
			return -1;
	}
	return 0;
}

static int plan(struct changes *p)
{
	p->renames = ar_in(p->call, "renameFields");
	p->deletes = ar_in(p->call, "deleteFields");
	p->given = ar_in(p->call, "fields");
	p->fields = ar_json_copy(p->call->pool, ar_json_get(p->before->definition, "fields"));
	return plan_renames(p) != 0 || plan_deletes(p) != 0 || plan_given(p) != 0 ||
			       data_define_fields(p->call->pool, p->before->schema, p->before->name,
						  p->fields, &p->fields) != 0
		       ? -1
		       : 0;
}

/* Two who change the same collection: the second is told. */
static AR_YIELDS int store_definition(struct ar_call *call, const struct data_collection *c)
{
	int64_t changed = 0;

	if (ar_exec(&call->scope,
		    "UPDATE data_collections SET definition = ?, revision = revision + 1, updated "
		    "= ? "
		    "WHERE id = ? AND revision = ?",
		    AR_ARGS(AR_J_STR(ar_json_print(call->pool, c->definition)),
			    AR_J_STR(c->updated), AR_J_STR(c->id), AR_J_INT(c->revision - 1)),
		    &changed) != 0)
		return -1;
	return changed == 1 ? 0 : ar_fail(AR_E_CONFLICT, "what", "collection");
}

AR_YIELDS int data_collection_update(struct ar_call *call)
{
	struct changes p = { .call = call };
	struct ar_json *definition;
	struct data_collection *after;

	if (lock_collection(call, &p.before) != 0 ||
	    ar_check_if_match(call, data_etag(call->pool, p.before->revision, p.before->updated)) !=
		    0 ||
	    plan(&p) != 0)
		return -1;
	definition =
		definition_new(call->pool, p.fields,
			       rules_merge(call->pool, ar_json_get(p.before->definition, "rules"),
					   ar_in(call, "rules")));
	if (try_schema(call, p.before->schema, p.before->id, p.before->name, definition, &after) !=
	    0)
		return -1;
	after->revision = p.before->revision + 1;
	after->created = p.before->created;
	after->updated = now_text(call->pool);
	if (store_definition(call, after) != 0 || change_table(&p, after) != 0 ||
	    publish(call, "data.collection.updated", after) != 0)
		return -1;
	return reply(call, after);
}

/* ---- read, list, delete ---- */

AR_YIELDS int data_collection_read(struct ar_call *call)
{
	const struct data_collection *c;

	if (data_collection_get(call, ar_in_str(call, "collection"), &c) != 0)
		return -1;
	return reply(call, c);
}

AR_YIELDS int data_collection_list(struct ar_call *call)
{
	const struct data_schema *schema;
	struct ar_jw *w;

	if (data_schema_get(call, &schema) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "items");
	ar_jw_array(w);
	for (size_t i = 0; i < schema->count; i++)
		write_collection(w, schema->list[i]);
	ar_jw_array_end(w);
	ar_jw_keyz(w, "nextCursor");
	ar_jw_null(w);
	ar_jw_object_end(w);
	return 0;
}

static int check_unused(const struct ar_call *call, const struct data_collection *c)
{
	for (size_t i = 0; i < c->schema->count; i++) {
		const struct data_collection *other = c->schema->list[i];

		for (size_t j = 0; other != c && j < other->nfields; j++)
			if (ar_str_eq(other->fields[j].target, c->name))
				return ar_fail(DATA_E_REFERENCED, "by",
					       ar_strz(call->pool, other->name));
	}
	return 0;
}

AR_YIELDS int data_collection_delete(struct ar_call *call)
{
	const struct data_collection *c;
	struct ar_rows rows;

	if (lock_collection(call, &c) != 0 || check_unused(call, c) != 0 ||
	    data_ddl_lock(call, c) != 0 ||
	    ar_exec(&call->scope, "DELETE FROM data_collections WHERE id = ?",
		    AR_ARGS(AR_J_STR(c->id)), NULL) != 0 ||
	    ar_query(&call->scope, &rows,
		     ar_printf(call->pool, "SELECT 1 FROM %s LIMIT 1", c->table), AR_NO_ARGS) != 0)
		return -1;
	if (rows.count > 0 && !ar_in_bool(call, "deleteRecords", false))
		return ar_fail(DATA_E_NOT_EMPTY, "name", ar_strz(call->pool, c->name));
	if (data_ddl_drop(call, c) != 0 || publish(call, "data.collection.deleted", c) != 0)
		return -1;
	return ar_reply_none(call);
}
