/*
 * write.c - records: create, replace, patch, delete.
 *
 * A change locks its row first, so that the rule, If-Match, {"$inc"} and the event all speak of the
 * same state; row and event are one unit of work. What the caller may not see is "not found", what
 * it may see and not change is "forbidden".
 */
#include "data/data_int.h"
#include "http/server.h"

#define EVENT_RECORD_MAX ((size_t)250 << 10) /* the bus takes 256 KiB */

enum { TRIES = 6, WAIT_MS = 2 }; /* of a create, while its collection changes: 126 ms in all */

/* ---- events ---- */

/* A record as it was written: printed once, for the event and the reply. */
struct written {
	struct ar_str id, text, updated;
};

static struct written written(struct ar_call *call, const struct data_collection *c,
			      const struct ar_json *record)
{
	return (struct written){ record->first->s, data_record_text(call->pool, c, record),
				 ar_json_text(record, "updated", AR_STR_NONE) };
}

/* An event carries the record when it has room for it; else the reader fetches it. */
static AR_YIELDS int publish(struct ar_call *call, const struct data_collection *c,
			     const char *topic, const struct written *written,
			     const struct ar_json *changed)
{
	struct ar_buf *buf = ar_buf_new(call->pool, EVENT_RECORD_MAX * 2);
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_jw_object(&w);
	ar_jw_key_made(&w, AR_STR("\"collection\":"));
	ar_jw_plain(&w, c->name);
	ar_jw_key_made(&w, AR_STR("\"id\":"));
	ar_jw_plain(&w, written->id);
	if (changed != NULL) {
		ar_jw_keyz(&w, "changed");
		ar_jw_value(&w, changed);
	}
	if (written->text.n <= EVENT_RECORD_MAX) {
		ar_jw_key_made(&w, AR_STR("\"record\":"));
		ar_jw_raw(&w, written->text);
	}
	ar_jw_object_end(&w);
	return ar_publish_text(&call->scope, topic, written->id, ar_buf_view(buf), NULL);
}

/* ---- replies ---- */

static bool wants_minimal(const struct ar_call *call)
{
	struct ar_str prefer;

	if (call->http == NULL)
		return false;
	prefer = ar_http_header(call->http, "prefer");
	while (prefer.p != NULL)
		if (ar_str_caseeq(ar_str_trim(ar_str_cut(&prefer, ',')), AR_STR("return=minimal")))
			return true;
	return false;
}

static int reply_record(struct ar_call *call, const struct written *written, int64_t revision,
			int status)
{
	ar_reply_header(call, "ETag", data_etag(call->pool, revision, written->updated));
	if (!wants_minimal(call)) {
		ar_jw_raw(ar_reply_json(call, status), written->text);
		return 0;
	}
	call->reply.status = status == 201 ? 201 : 204;
	return ar_reply_none(call);
}

/* ---- what the store refused ---- */

/* Another record has the value: which field is it? */
static AR_YIELDS int fail_unique(struct ar_call *call, const struct data_collection *c,
				 const struct ar_json *record)
{
	struct ar_json id = AR_J_STR(ar_json_text(record, "id", AR_STR_NONE));
	struct ar_rows rows;

	for (size_t i = 0; i < c->nfields; i++) {
		const struct data_field *field = &c->fields[i];
		const struct ar_json *value = ar_json_get_str(record, field->name);

		if (!field->unique || value == NULL || value->type == AR_NULL)
			continue;
		if (ar_query(&call->scope, &rows,
			     ar_printf(call->pool,
				       "SELECT 1 FROM %s WHERE %s = ?%s AND \"id\" <> ?", c->table,
				       field->column, data_cast(c, field)),
			     AR_ARGS(*value, id)) != 0)
			return -1;
		if (rows.count > 0)
			return ar_fail_field_as(DATA_E_UNIQUE, ar_strz(call->pool, field->name),
						"unique");
	}
	return ar_fail_field_as(DATA_E_UNIQUE, "id", "unique");
}

/* Which relation leads nowhere? */
static AR_YIELDS int fail_reference(struct ar_call *call, const struct data_collection *c,
				    const struct ar_json *record)
{
	struct ar_rows rows;
	int rc = 0;

	for (size_t i = 0; i < c->nfields; i++) {
		const struct data_field *field = &c->fields[i];
		const struct ar_json *value = ar_json_get_str(record, field->name);
		const struct data_collection *to = data_schema_target(c->schema, field->target);

		if (field->type != DATA_RELATION || field->multiple || value == NULL ||
		    to == NULL || value->type != AR_STRING)
			continue;
		if (ar_query(&call->scope, &rows, to->get_sql, AR_ARGS(*value)) != 0)
			return -1;
		if (rows.count == 0)
			rc = ar_fail_field(ar_strz(call->pool, field->name), "reference");
	}
	return rc != 0 ? rc : ar_fail(AR_E_REFERENCE);
}

static AR_YIELDS int fail_write(struct ar_call *call, const struct data_collection *c,
				const struct ar_json *record)
{
	if (ar_err_is(AR_E_UNIQUE))
		return fail_unique(call, c, record);
	if (ar_err_is(AR_E_REFERENCE))
		return fail_reference(call, c, record);
	return -1;
}

/* Lists of relations have no foreign key: every id in them must be there now. */
static AR_YIELDS int check_lists(struct ar_call *call, const struct data_collection *c,
				 const struct ar_json *values)
{
	if (!c->has_lists)
		return 0;
	ar_json_each (list, values) {
		const struct data_field *field = data_field_find(c, list->key);
		const struct data_collection *to;
		struct ar_rows rows;

		if (field == NULL || field->type != DATA_RELATION || !field->multiple ||
		    list->type != AR_ARRAY)
			continue;
		to = data_schema_target(c->schema, field->target);
		ar_json_each (id, list) {
			if (ar_query(&call->scope, &rows, to->get_sql, AR_ARGS(*id)) != 0)
				return -1;
			if (rows.count == 0)
				return ar_fail_field(ar_strz(call->pool, field->name), "reference");
		}
	}
	return 0;
}

/* ---- while a collection changes ---- */

/* Who comes in while the collection changes waits until that is stored, if nothing was done in this
 * unit before, nor is to be done at its commit. */
static AR_YIELDS int tried(struct ar_call *call,
			   AR_YIELDS int (*once)(struct ar_call *call,
						 const struct data_collection **ret_c))
{
	const struct data_collection *c = NULL;
	const struct ar_scope *scope = &call->scope;
	bool alone = scope->uow == NULL && scope->before == NULL && scope->after == NULL;

	for (int i = 0; once(call, &c) != 0; i++) {
		data_failed(call, c);
		if (!alone || i == TRIES || !ar_err_is(AR_E_CONFLICT))
			return -1;
		ar_rollback(&call->scope);
		ar_err_clear();
		if (ar_sleep(WAIT_MS << i) != 0)
			return -1;
	}
	return 0;
}

/* The statement wrote nothing: its row is held, so it was the collection that changed. */
static int held_still(int64_t written)
{
	return written == 1 ? 0 : ar_fail(AR_E_CONFLICT, "what", "collection");
}

/* ---- create ---- */

static struct ar_str now_text(struct ar_pool *pool)
{
	char *text = ar_alloc(pool, AR_TIME_MAX);

	return ar_str_n(text, ar_time_format(ar_now_ms(), text));
}

static int new_id(struct ar_call *call, const struct ar_json *input, struct ar_str *ret)
{
	const struct ar_json *given = ar_json_get(input, "id");

	if (given == NULL || given->type == AR_NULL) {
		*ret = ar_id(call->pool);
		return 0;
	}
	if (given->type != AR_STRING || !ar_id_valid(given->s))
		return ar_fail_field("id", "id");
	*ret = given->s;
	return 0;
}

/* {id, created, updated} and then the fields, in the order of the collection. */
static struct ar_json *record_new(struct ar_pool *pool, const struct data_collection *c,
				  struct ar_str id, struct ar_str created, struct ar_str updated,
				  const struct ar_json *fields)
{
	struct ar_json *record = ar_json_new(pool, AR_OBJECT);

	ar_json_set(record, AR_STR("id"), ar_json_str(pool, id));
	ar_json_set(record, AR_STR("created"), ar_json_str(pool, created));
	ar_json_set(record, AR_STR("updated"), ar_json_str(pool, updated));
	for (size_t i = 0; i < c->nfields; i++) {
		const struct ar_json *value = ar_json_get_str(fields, c->fields[i].name);
		struct ar_json *copy = ar_new(pool, struct ar_json);

		*copy = *value;
		copy->next = NULL;
		ar_json_set(record, c->fields[i].name, copy);
	}
	return record;
}

static AR_YIELDS int insert(struct ar_call *call, const struct data_collection *c,
			    const struct ar_json *record)
{
	bool asks = c->schema->dialect == AR_POSTGRES; /* insert_sql */
	struct ar_json *args = ar_new_n(call->pool, struct ar_json, c->nfields + 5);
	const struct ar_json *value = record->first;
	int64_t made;

	for (size_t i = 0; i < 3; i++, value = value->next)
		args[i] = AR_J_STR(value->s);
	for (size_t i = 0; i < c->nfields; i++, value = value->next)
		args[3 + i] = data_stored(call->pool, &c->fields[i], value);
	args[c->nfields + 3] = AR_J_STR(c->id);
	args[c->nfields + 4] = AR_J_INT(c->revision);
	if (data_schema_hold(call, c) != 0 || check_lists(call, c, record) != 0)
		return -1;
	if (ar_exec(&call->scope, c->insert_sql, args, c->nfields + (asks ? 5 : 3), &made) != 0)
		return fail_write(call, c, record);
	return held_still(made);
}

static struct ar_str location(struct ar_pool *pool, struct ar_str id)
{
	static const char folder[] = "records/";
	char *text = ar_alloc(pool, sizeof(folder) - 1 + id.n);

	memcpy(text, folder, sizeof(folder) - 1);
	memcpy(text + sizeof(folder) - 1, id.p, id.n);
	return ar_str_n(text, sizeof(folder) - 1 + id.n);
}

static AR_YIELDS int create(struct ar_call *call, const struct data_collection **ret_c)
{
	const struct ar_json *input = ar_in(call, "data");
	const struct data_collection *c;
	struct ar_json *fields, *record;
	struct ar_str id, now = now_text(call->pool);
	struct written made;
	bool yes = true;
	int may;

	if (data_collection_get(call, ar_in_str(call, "collection"), ret_c) != 0)
		return -1;
	c = *ret_c;
	may = data_may(call, c, RULE_CREATE);
	if (may < 0 || data_check_whole(call->pool, c, input, true, &fields) != 0 ||
	    new_id(call, input, &id) != 0)
		return -1;
	record = record_new(call->pool, c, id, now, now, fields);
	if (may == 0 && data_rule_test(call, &(struct data_record){ c, NULL, record }, RULE_CREATE,
				       input, &yes) != 0)
		return -1;
	if (!yes)
		return data_deny(call, DATA_RECORDS_WRITE);
	if (insert(call, c, record) != 0)
		return -1;
	made = written(call, c, record);
	if (publish(call, c, "data.record.created", &made, NULL) != 0)
		return -1;
	ar_reply_header(call, "Location", location(call->pool, id));
	return reply_record(call, &made, 1, 201);
}

AR_YIELDS int data_record_create(struct ar_call *call)
{
	return tried(call, create);
}

/* ---- change ---- */

/* The rule said no: forbidden for who may see the record, not there for others. */
static AR_YIELDS int refuse_change(struct ar_call *call, const struct data_record *record)
{
	bool sees = ar_who_may(call->who, AR_STR(DATA_RECORDS_READ));

	if (!sees && data_rule_test(call, record, RULE_VIEW, NULL, &sees) != 0)
		return -1;
	if (!sees)
		return ar_fail(AR_E_NOT_FOUND, "what", "record");
	return data_deny(call, DATA_RECORDS_WRITE);
}

/* The row to be changed, locked, with everything asked that may stop the change. */
static AR_YIELDS int take(struct ar_call *call, enum data_rule_name rule,
			  const struct ar_json *input, const struct data_collection **ret_c,
			  struct ar_rows *ret_rows)
{
	struct data_record record = { .rows = ret_rows };
	bool yes = true;
	int may;

	if (data_collection_get(call, ar_in_str(call, "collection"), ret_c) != 0)
		return -1;
	record.collection = *ret_c;
	may = data_may(call, *ret_c, rule);
	if (may < 0 || data_schema_hold(call, *ret_c) != 0 ||
	    data_row_get(call, *ret_c, ar_in_str(call, "id"), true, ret_rows) != 0)
		return -1;
	if (may == 0 && data_rule_test(call, &record, rule, input, &yes) != 0)
		return -1;
	if (!yes)
		return refuse_change(call, &record);
	return ar_check_if_match(call, data_row_etag(call->pool, ret_rows));
}

/* Puts what differs into the record; returns the names of the fields. */
static struct ar_json *apply(struct ar_pool *pool, struct ar_json *record,
			     const struct ar_json *values)
{
	struct ar_json *changed = ar_json_new(pool, AR_ARRAY);

	ar_json_each (m, values) {
		const struct ar_json *before = ar_json_get_str(record, m->key);
		struct ar_json *copy;

		if (before != NULL && ar_json_equal(before, m))
			continue;
		copy = ar_memdup(pool, m, sizeof(*m));
		copy->next = NULL;
		ar_json_set(record, m->key, copy);
		ar_json_add(changed, ar_json_str(pool, m->key));
	}
	return changed;
}

static AR_YIELDS int update(struct ar_call *call, const struct data_collection *c,
			    const struct ar_json *record, const struct ar_json *changed)
{
	struct ar_sql sql;
	const char *text;
	int64_t made;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "UPDATE ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " SET \"ar_revision\" = \"ar_revision\" + 1, \"updated\" = ");
	ar_sql_bind(&sql, AR_J_STR(ar_json_text(record, "updated", AR_STR_NONE)));
	ar_json_each (name, changed) {
		const struct data_field *field = data_field_find(c, name->s);

		ar_sql_add(&sql, ", ");
		ar_sql_add(&sql, field->column);
		ar_sql_add(&sql, " = ");
		ar_sql_bind(&sql,
			    data_stored(call->pool, field, ar_json_get_str(record, field->name)));
		ar_sql_add(&sql, data_cast(c, field));
	}
	ar_sql_add(&sql, " WHERE \"id\" = ");
	ar_sql_bind(&sql, AR_J_STR(ar_json_text(record, "id", AR_STR_NONE)));
	if (c->schema->dialect == AR_POSTGRES) {
		ar_sql_add(&sql, " AND " DATA_SAME_COLLECTION);
		ar_sql_arg(&sql, AR_J_STR(c->id));
		ar_sql_arg(&sql, AR_J_INT(c->revision));
	}
	text = ar_sql_text(&sql);
	if (check_lists(call, c, record) != 0)
		return -1;
	if (ar_exec(&call->scope, text, sql.args, sql.nargs, &made) != 0)
		return fail_write(call, c, record);
	return held_still(made);
}

static AR_YIELDS int change(struct ar_call *call, bool whole, const struct data_collection **ret_c)
{
	const struct ar_json *input = ar_in(call, "data");
	const struct data_collection *c;
	struct ar_json *record, *values, *changed;
	struct written after;
	struct ar_rows rows;
	int64_t revision;

	if (take(call, RULE_UPDATE, input, ret_c, &rows) != 0)
		return -1;
	c = *ret_c;
	record = data_row_object(call->pool, c, &rows);
	revision = data_row_revision(&rows);
	if ((whole ? data_check_whole(call->pool, c, input, false, &values)
		   : data_check_patch(call->pool, c, record, input, &values)) != 0)
		return -1;
	changed = apply(call->pool, record, values);
	if (changed->count > 0)
		ar_json_set(record, AR_STR("updated"),
			    ar_json_str(call->pool, now_text(call->pool)));
	after = written(call, c, record);
	if (changed->count == 0)
		return reply_record(call, &after, revision, 200);
	if (update(call, c, record, changed) != 0 ||
	    publish(call, c, "data.record.updated", &after, changed) != 0)
		return -1;
	return reply_record(call, &after, revision + 1, 200);
}

static AR_YIELDS int replace(struct ar_call *call, const struct data_collection **ret_c)
{
	return change(call, true, ret_c);
}

static AR_YIELDS int patch(struct ar_call *call, const struct data_collection **ret_c)
{
	return change(call, false, ret_c);
}

AR_YIELDS int data_record_replace(struct ar_call *call)
{
	return tried(call, replace);
}

AR_YIELDS int data_record_patch(struct ar_call *call)
{
	return tried(call, patch);
}

/* ---- delete ---- */

/* Who holds on to the record? */
static AR_YIELDS int fail_referenced(struct ar_call *call, const struct data_collection *c,
				     struct ar_str id)
{
	struct ar_rows rows;

	for (size_t i = 0; i < c->schema->count; i++) {
		const struct data_collection *from = c->schema->list[i];

		for (size_t j = 0; j < from->nfields; j++) {
			const struct data_field *field = &from->fields[j];

			if (field->type != DATA_RELATION || field->multiple ||
			    !ar_str_eq(field->target, c->name))
				continue;
			if (ar_query(&call->scope, &rows,
				     ar_printf(call->pool, "SELECT 1 FROM %s WHERE %s = ? LIMIT 1",
					       from->table, field->column),
				     AR_ARGS(AR_J_STR(id))) != 0)
				return -1;
			if (rows.count > 0)
				return ar_fail(DATA_E_REFERENCED, "by",
					       ar_strz(call->pool, from->name));
		}
	}
	return ar_fail(DATA_E_REFERENCED, "by", "?");
}

static AR_YIELDS int delete (struct ar_call *call, const struct data_collection **ret_c)
{
	struct ar_str id = ar_in_str(call, "id");
	const struct data_collection *c;
	struct ar_json *record;
	struct written gone;
	struct ar_rows rows;
	int64_t made;

	if (take(call, RULE_DELETE, NULL, ret_c, &rows) != 0)
		return -1;
	c = *ret_c;
	record = data_row_object(call->pool, c, &rows);
	const struct ar_json args[] = { AR_J_STR(id), AR_J_STR(c->id), AR_J_INT(c->revision) };
	size_t nargs = c->schema->dialect == AR_POSTGRES ? AR_COUNT(args) : 1; /* delete_sql */

	if (ar_exec(&call->scope, c->delete_sql, args, nargs, &made) != 0)
		return ar_err_is(AR_E_REFERENCE) ? fail_referenced(call, c, id) : -1;
	if (held_still(made) != 0)
		return -1;
	gone = written(call, c, record);
	if (publish(call, c, "data.record.deleted", &gone, NULL) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int data_record_delete(struct ar_call *call)
{
	return tried(call, delete);
}
