/*
 * record.c - rows as values and as JSON: cells, which members a reply shows, tags, reading by id.
 *
 * A row goes straight into the reply's text: nothing between the store's cells and the writer.
 */
#include "data/data_int.h"

/* What was stored was within the limits of a request: these are wider than any. */
static const struct ar_json_limits stored_limits = { .bytes = (size_t)8 << 20,
						     .depth = 128,
						     .nodes = 1000000 };

struct ar_json data_cell(const struct ar_rows *rows, const struct data_field *field,
			 struct ar_pool *pool)
{
	struct ar_json *value;

	if (ar_col_null(rows, field->cell))
		return AR_J_NULL;
	switch (field->expr) {
	case AR_X_BOOL:
		return AR_J_BOOL(ar_col_int(rows, field->cell) != 0);
	case AR_X_INT:
		return AR_J_INT(ar_col_int(rows, field->cell));
	case AR_X_FLOAT:
		return AR_J_FLOAT(ar_col_float(rows, field->cell));
	case AR_X_JSON:
		if (ar_json_parse(pool, ar_col_str(rows, field->cell), &stored_limits, &value) == 0)
			return *value;
		ar_err_clear(); /* not what this module wrote: like a missing value */
		return AR_J_NULL;
	default:
		return AR_J_STR(ar_col_str(rows, field->cell));
	}
}

struct ar_json data_stored(struct ar_pool *pool, const struct data_field *field,
			   const struct ar_json *value)
{
	if (value == NULL || value->type == AR_NULL)
		return AR_J_NULL;
	if (field->json)
		return AR_J_STR(ar_json_print(pool, value));
	return *value;
}

/* ---- shapes ---- */

const char *const data_fixed_names[] = { "id", "created", "updated", NULL };

static bool shape_add(const struct data_collection *collection, struct ar_str name,
		      struct data_shape *shape)
{
	const struct data_field *field = data_field_find(collection, name);
	size_t i;

	for (i = 0; data_fixed_names[i] != NULL; i++)
		if (ar_str_is(name, data_fixed_names[i])) {
			shape->fixed[i] = true;
			return true;
		}
	if (field == NULL)
		return false;
	i = field->cell - DATA_CELLS;
	shape->fields[i / 64] |= UINT64_C(1) << i % 64;
	return true;
}

int data_shape_read(const struct data_collection *collection, const struct ar_str *names, size_t n,
		    struct data_shape *ret)
{
	*ret = (struct data_shape){ .all = n == 0 };
	for (size_t i = 0; i < n; i++)
		if (!shape_add(collection, names[i], ret))
			return ar_fail_field("fields", "not-found");
	return 0;
}

static bool shape_has(const struct data_shape *shape, size_t field)
{
	return shape->all || (shape->fields[field / 64] >> field % 64 & 1) != 0;
}

/* ---- JSON ---- */

static const struct ar_str fixed_keys[] = { AR_STR("\"id\":"), AR_STR("\"created\":"),
					    AR_STR("\"updated\":") };

static void write_member(struct ar_jw *w, const struct ar_rows *rows,
			 const struct data_field *field)
{
	if (ar_col_null(rows, field->cell)) {
		ar_jw_key_made(w, field->key);
		ar_jw_null(w);
		return;
	}
	switch (field->expr) {
	case AR_X_BOOL:
		ar_jw_key_made(w, field->key);
		ar_jw_bool(w, ar_col_int(rows, field->cell) != 0);
		break;
	case AR_X_INT:
		ar_jw_key_made(w, field->key);
		ar_jw_int(w, ar_col_int(rows, field->cell));
		break;
	case AR_X_FLOAT:
		ar_jw_key_made(w, field->key);
		ar_jw_float(w, ar_col_float(rows, field->cell));
		break;
	case AR_X_JSON:
		ar_jw_key_made(w, field->key);
		ar_jw_raw(w, ar_col_str(rows, field->cell));
		break;
	default:
		ar_jw_member_str(w, field->key, ar_col_str(rows, field->cell));
	}
}

void data_write_row(struct ar_jw *w, const struct data_collection *collection,
		    const struct data_shape *shape, const struct ar_rows *rows)
{
	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(fixed_keys); i++) {
		if (!shape->all && !shape->fixed[i])
			continue;
		ar_jw_member_plain(w, fixed_keys[i], ar_col_str(rows, i));
	}
	for (size_t i = 0; i < collection->nfields; i++) {
		if (shape_has(shape, i))
			write_member(w, rows, &collection->fields[i]);
	}
	ar_jw_object_end(w);
}

struct ar_str data_record_text(struct ar_pool *pool, const struct data_collection *collection,
			       const struct ar_json *record)
{
	struct ar_buf *buf = ar_buf_new(pool, SIZE_MAX / 4);
	const struct ar_json *value = record->first;
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_jw_object(&w);
	for (size_t i = 0; i < AR_COUNT(fixed_keys); i++, value = value->next)
		ar_jw_member_plain(&w, fixed_keys[i], value->s);
	for (size_t i = 0; i < collection->nfields; i++, value = value->next) {
		ar_jw_key_made(&w, collection->fields[i].key);
		ar_jw_value(&w, value);
	}
	ar_jw_object_end(&w);
	return ar_buf_view(buf);
}

struct ar_json *data_row_object(struct ar_pool *pool, const struct data_collection *collection,
				const struct ar_rows *rows)
{
	struct ar_json *object = ar_json_new(pool, AR_OBJECT);

	ar_json_set(object, AR_STR("id"), ar_json_str(pool, ar_col_str(rows, CELL_ID)));
	ar_json_set(object, AR_STR("created"), ar_json_str(pool, ar_col_str(rows, CELL_CREATED)));
	ar_json_set(object, AR_STR("updated"), ar_json_str(pool, ar_col_str(rows, CELL_UPDATED)));
	for (size_t i = 0; i < collection->nfields; i++) {
		struct ar_json *value = ar_new(pool, struct ar_json);

		*value = data_cell(rows, &collection->fields[i], pool);
		ar_json_set(object, collection->fields[i].name, value);
	}
	return object;
}

/* ---- tags ---- */

/* The revision alone would come back when a record is deleted and made again under its id. */
struct ar_str data_etag(struct ar_pool *pool, int64_t revision, struct ar_str updated)
{
	char *tag = ar_alloc_raw(pool, 20 + updated.n + 3);
	size_t n = 0;

	tag[n++] = '"';
	n += ar_int_text(revision, tag + n);
	tag[n++] = '-';
	for (size_t i = 0; i < updated.n; i++)
		if (updated.p[i] >= '0' && updated.p[i] <= '9')
			tag[n++] = updated.p[i];
	tag[n++] = '"';
	return ar_str_n(tag, n);
}

int64_t data_row_revision(const struct ar_rows *rows)
{
	return ar_col_int(rows, rows->columns - 1);
}

struct ar_str data_row_etag(struct ar_pool *pool, const struct ar_rows *rows)
{
	return data_etag(pool, data_row_revision(rows), ar_col_str(rows, CELL_UPDATED));
}

/* ---- by id ---- */

AR_YIELDS int data_row_get(struct ar_call *call, const struct data_collection *collection,
			   struct ar_str id, bool lock, struct ar_rows *ret)
{
	int rc = lock ? ar_query_lock(&call->scope, ret, collection->get_sql, AR_ARGS(AR_J_STR(id)))
		      : ar_query(&call->scope, ret, collection->get_sql, AR_ARGS(AR_J_STR(id)));

	if (rc != 0)
		return -1;
	if (!ar_rows_next(ret))
		return ar_fail(AR_E_NOT_FOUND, "what", "record");
	return 0;
}
