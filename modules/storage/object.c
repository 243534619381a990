/*
 * object.c - objects: put, get with ranges, head, list, delete.
 *
 * The bytes of a put are on disk before the first write of its unit of work; the bytes that it
 * replaced go after the commit.
 */
#include "storage/storage_int.h"

#include <unistd.h>

#include "http/server.h"

/* ---- reading rows ---- */

AR_YIELDS static int object_find(struct ar_call *call, struct ar_str bucket, struct ar_str key,
				 bool lock, struct storage_object *ret, bool *ret_found)
{
	static const char sql[] = "SELECT id, size, type, sha256, owner, created, updated "
				  "FROM storage_objects WHERE bucket = ? AND key = ?";
	struct ar_rows rows;

	if ((lock ? ar_query_lock : ar_query)(&call->scope, &rows, sql,
					      AR_ARGS(AR_J_STR(bucket), AR_J_STR(key))) != 0)
		return -1;
	*ret_found = ar_rows_next(&rows);
	if (*ret_found)
		*ret = (struct storage_object){
			.id = ar_col_str(&rows, 0),
			.key = key,
			.size = ar_col_int(&rows, 1),
			.type = ar_col_str(&rows, 2),
			.sha256 = ar_col_str(&rows, 3),
			.owner = ar_col_str(&rows, 4),
			.created = ar_col_int(&rows, 5),
			.updated = ar_col_int(&rows, 6),
		};
	return 0;
}

static struct ar_str etag_of(struct ar_pool *pool, const struct storage_object *object)
{
	return ar_strf(pool, "\"%.*s\"", AR_FMT(object->sha256));
}

static void object_write(struct ar_jw *w, struct ar_str bucket, const struct storage_object *object)
{
	const struct {
		const char *key;
		struct ar_str value;
	} texts[] = { { "bucket", bucket },
		      { "key", object->key },
		      { "type", object->type },
		      { "sha256", object->sha256 },
		      { "owner", object->owner } };

	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		ar_jw_keyz(w, texts[i].key);
		ar_jw_str(w, texts[i].value);
	}
	ar_jw_keyz(w, "size");
	ar_jw_int(w, object->size);
	ar_jw_keyz(w, "created");
	ar_jw_time(w, object->created);
	ar_jw_keyz(w, "updated");
	ar_jw_time(w, object->updated);
	ar_jw_object_end(w);
}

/* ---- put ---- */

static bool type_taken(const struct ar_json *types, struct ar_str full)
{
	struct ar_str type = ar_str_trim(ar_str_cut(&full, ';')); /* without "; charset=..." */

	if (types->count == 0)
		return true;
	ar_json_each (t, types) {
		struct ar_str branch =
			ar_str_sub(t->s, 0, t->s.n - 1); /* "image/" of "image/..." */

		if (ar_str_caseeq(t->s, type) ||
		    (ar_str_ends(t->s, AR_STR("/*")) &&
		     ar_str_caseeq(branch, ar_str_sub(type, 0, branch.n))))
			return true;
	}
	return false;
}

static int type_of(struct ar_call *call, struct ar_str *ret)
{
	struct ar_str type = ar_in_str(call, "type");

	if (type.n == 0 && call->http != NULL)
		type = ar_str_trim(ar_http_header(call->http, "content-type"));
	if (type.n == 0)
		type = AR_STR("application/octet-stream");
	if (type.n > 200)
		return ar_fail_field("type", "too-long", "max", "200");
	for (size_t i = 0; i < type.n; i++)
		if ((unsigned char)type.p[i] < ' ' || (unsigned char)type.p[i] > '~')
			return ar_fail_field("type", "format");
	*ret = type;
	return 0;
}

static int put_check(struct ar_call *call, const struct storage_bucket *bucket,
		     const struct storage_object *object)
{
	if (bucket->max_size > 0 && object->size > bucket->max_size)
		return ar_fail(STORAGE_E_TOO_LARGE, "max",
			       ar_printf(call->pool, "%lld", (long long)bucket->max_size));
	if (!type_taken(bucket->types, object->type))
		return ar_fail(STORAGE_E_TYPE, "type", ar_strz(call->pool, object->type));
	return storage_may(call, bucket, RULE_WRITE, object);
}

/* The bucket's row is held from here: two puts of one new key meet, and its counts are what the limits
 * are about. */
AR_YIELDS static int bucket_lock(struct ar_call *call, const struct storage_bucket *bucket)
{
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows, "SELECT name FROM storage_buckets WHERE name = ?",
			  AR_ARGS(AR_J_STR(bucket->name))) != 0)
		return -1;
	return rows.count > 0 ? 0 : ar_fail(AR_E_NOT_FOUND, "what", "bucket");
}

/* What grows must stay inside of the limits; what shrinks may always. */
AR_YIELDS static int counts_add(struct ar_call *call, const struct storage_bucket *bucket,
				int64_t objects, int64_t bytes)
{
	int64_t changed = 0;

	if (ar_exec(&call->scope,
		    "UPDATE storage_buckets SET objects = objects + ?, bytes = bytes + ? WHERE "
		    "name = ? "
		    "AND (max_objects = 0 OR objects + ? <= max_objects OR objects + ? <= objects) "
		    "AND (max_bytes = 0 OR bytes + ? <= max_bytes OR bytes + ? <= bytes)",
		    AR_ARGS(AR_J_INT(objects), AR_J_INT(bytes), AR_J_STR(bucket->name),
			    AR_J_INT(objects), AR_J_INT(objects), AR_J_INT(bytes), AR_J_INT(bytes)),
		    &changed) != 0)
		return -1;
	return changed > 0 ? 0 : ar_fail(STORAGE_E_FULL);
}

AR_YIELDS static int row_put(struct ar_call *call, const struct storage_bucket *bucket,
			     const struct storage_object *object)
{
	return ar_exec(
		&call->scope,
		"INSERT INTO storage_objects (id, bucket, key, size, type, sha256, owner, created, "
		"updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (bucket, key) DO UPDATE "
		"SET id = excluded.id, size = excluded.size, type = excluded.type, "
		"sha256 = excluded.sha256, updated = excluded.updated",
		AR_ARGS(AR_J_STR(object->id), AR_J_STR(bucket->name), AR_J_STR(object->key),
			AR_J_INT(object->size), AR_J_STR(object->type), AR_J_STR(object->sha256),
			AR_J_STR(object->owner), AR_J_INT(object->created),
			AR_J_INT(object->updated)),
		NULL);
}

struct replaced {
	struct ar_str tenant, id;
};

static void replaced_delete(void *arg)
{
	struct replaced *replaced = arg;

	ar_blob_delete_later(replaced->tenant, replaced->id);
}

static int delete_after(struct ar_call *call, struct ar_str id)
{
	struct replaced *replaced = ar_new(call->pool, struct replaced);

	*replaced = (struct replaced){ call->tenant->name, id };
	return ar_after_commit(&call->scope, replaced_delete, replaced);
}

#define EVENT_KEY_MAX 512

AR_YIELDS static int object_event(struct ar_call *call, const char *topic, struct ar_str bucket,
				  const struct storage_object *object)
{
	struct ar_json *data = ar_json_new(call->pool, AR_OBJECT);
	struct ar_str order = ar_strf(call->pool, "%.*s/%.*s", AR_FMT(bucket), AR_FMT(object->key));

	if (order.n > EVENT_KEY_MAX)
		order = ar_sha256_hex(call->pool, order);

	ar_json_set(data, AR_STR("bucket"), ar_json_str(call->pool, bucket));
	ar_json_set(data, AR_STR("key"), ar_json_str(call->pool, object->key));
	ar_json_set(data, AR_STR("size"), ar_json_int(call->pool, object->size));
	ar_json_set(data, AR_STR("type"), ar_json_str(call->pool, object->type));
	ar_json_set(data, AR_STR("sha256"), ar_json_str(call->pool, object->sha256));
	return ar_publish(&call->scope, topic, order, data, NULL);
}

/* If-None-Match: * puts only what is not there; If-Match only over what is known. */
static int put_conditions(struct ar_call *call, const struct storage_object *before, bool found)
{
	if (found && ar_none_match_names(call, etag_of(call->pool, before)))
		return ar_fail(AR_E_PRECONDITION);
	if (!found && ar_in_str(call, "ifMatch").n > 0)
		return ar_fail(AR_E_PRECONDITION);
	return found ? ar_check_if_match(call, etag_of(call->pool, before)) : 0;
}

AR_YIELDS static int object_store(struct ar_call *call, struct storage_bucket *bucket,
				  struct storage_object *object)
{
	struct storage_object before;
	bool found;

	if (bucket_lock(call, bucket) != 0 ||
	    object_find(call, bucket->name, object->key, true, &before, &found) != 0 ||
	    (found && storage_may(call, bucket, RULE_WRITE, &before) != 0) ||
	    put_conditions(call, &before, found) != 0)
		return -1;
	if (found) {
		object->owner = before.owner;
		object->created = before.created;
		if (delete_after(call, before.id) != 0)
			return -1;
	}
	if (counts_add(call, bucket, found ? 0 : 1, object->size - (found ? before.size : 0)) !=
		    0 ||
	    row_put(call, bucket, object) != 0 ||
	    object_event(call, "storage.object.put", bucket->name, object) != 0)
		return -1;
	object_write(ar_reply_json(call, found ? 200 : 201), bucket->name, object);
	ar_reply_header(call, "ETag", etag_of(call->pool, object));
	return 0;
}

AR_YIELDS int storage_object_put(struct ar_call *call)
{
	struct storage_bucket *bucket;
	struct storage_object object = {
		.key = ar_in_str(call, "key"),
		.owner = call->who->id,
		.size = (int64_t)call->body.n,
		.created = ar_now_ms(),
	};
	struct ar_blob blob;

	object.updated = object.created;
	if (storage_bucket_get(call, ar_in_str(call, "bucket"), &bucket) != 0 ||
	    type_of(call, &object.type) != 0 || put_check(call, bucket, &object) != 0 ||
	    ar_blob_put(call->pool, call->tenant->name, call->body, &blob) != 0)
		return -1;
	object.id = blob.id;
	object.sha256 = blob.sha256;
	if (object_store(call, bucket, &object) != 0) {
		ar_blob_delete_later(call->tenant->name, blob.id);
		return -1;
	}
	return 0;
}

/* ---- get ---- */

/* What a browser shows by itself may not run as a page of ours. */
static void get_headers(struct ar_call *call, const struct storage_object *object)
{
	ar_reply_header(call, "ETag", etag_of(call->pool, object));
	ar_reply_header(call, "Accept-Ranges", AR_STR("bytes"));
	ar_reply_header(call, "Cache-Control", AR_STR("private, no-cache"));
	ar_reply_header(call, "Content-Security-Policy", AR_STR("sandbox; default-src 'none'"));
}

static int part_of(struct ar_call *call, const struct storage_object *object, int64_t *offset,
		   int64_t *length)
{
	struct ar_str range = AR_STR_NONE, if_range = AR_STR_NONE;
	int part;

	*offset = 0;
	*length = object->size;
	if (call->http != NULL && ar_str_is(call->http->method, "GET")) {
		range = ar_http_header(call->http, "range");
		if_range = ar_http_header(call->http, "if-range");
	}
	if (range.n == 0 || (if_range.n > 0 && !ar_str_eq(if_range, etag_of(call->pool, object))))
		return 0;
	part = storage_range(range, object->size, offset, length);
	if (part < 0)
		ar_reply_header(call, "Content-Range",
				ar_strf(call->pool, "bytes */%lld", (long long)object->size));
	if (part > 0)
		ar_reply_header(call, "Content-Range",
				ar_strf(call->pool, "bytes %lld-%lld/%lld", (long long)*offset,
					(long long)(*offset + *length - 1),
					(long long)object->size));
	return part;
}

AR_YIELDS int storage_object_get(struct ar_call *call)
{
	struct storage_bucket *bucket;
	struct storage_object object;
	int64_t offset, length;
	bool found;
	int part, fd;

	if (storage_bucket_get(call, ar_in_str(call, "bucket"), &bucket) != 0 ||
	    object_find(call, bucket->name, ar_in_str(call, "key"), false, &object, &found) != 0)
		return -1;
	if (!found)
		object = (struct storage_object){ .key = ar_in_str(call, "key") };
	if (storage_may(call, bucket, RULE_READ, &object) != 0)
		return -1;
	if (!found)
		return ar_fail(AR_E_NOT_FOUND, "what", "object");
	if (ar_check_if_match(call, etag_of(call->pool, &object)) != 0)
		return -1;
	get_headers(call, &object);
	if (ar_none_match_names(call, etag_of(call->pool, &object))) {
		call->reply.status = 304;
		return ar_reply_none(call);
	}
	part = part_of(call, &object, &offset, &length);
	if (part < 0 || ar_blob_open(call->tenant->name, object.id, &fd) != 0)
		return -1;
	call->reply.kind = AR_REPLY_FILE;
	call->reply.status = part > 0 ? 206 : 200;
	call->reply.content_type = object.type;
	call->reply.fd = fd;
	call->reply.offset = offset;
	call->reply.length = length;
	return 0;
}

/* ---- list ---- */

/* SQLite compares bytes: from the prefix to where its last byte is one more (UTF-8 has no 0xff). */
static void prefix_range(struct ar_call *call, struct ar_str prefix, struct ar_sql *where)
{
	struct ar_str end = ar_str_dup(call->pool, prefix);

	((char *)end.p)[end.n - 1]++;
	ar_sql_add(where, " AND key >= ");
	ar_sql_bind(where, AR_J_STR(prefix));
	ar_sql_add(where, " AND key < ");
	ar_sql_bind(where, AR_J_STR(end));
}

AR_YIELDS int storage_object_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "key" },
		{ .name = "size", .type = AR_LIST_INT },
		{ .name = "type" },
		{ .name = "sha256" },
		{ .name = "owner" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "storage_objects", columns, "key" };
	struct ar_str prefix = ar_in_str(call, "prefix");
	struct storage_bucket *bucket;
	struct ar_sql where;

	if (storage_bucket_get(call, ar_in_str(call, "bucket"), &bucket) != 0)
		return -1;
	ar_sql_init(&where, call->pool);
	ar_sql_add(&where, "bucket = ");
	ar_sql_bind(&where, AR_J_STR(bucket->name));
	if (prefix.n > 0 && ar_db_dialect(call->tenant->db) == AR_SQLITE)
		prefix_range(call, prefix, &where);
	if (prefix.n > 0) {
		ar_sql_add(&where, " AND substr(key, 1, ");
		ar_sql_bind(&where, AR_J_INT((int64_t)ar_utf8_len(prefix)));
		ar_sql_add(&where, ") = ");
		ar_sql_bind(&where, AR_J_STR(prefix));
	}
	if (storage_list_sql(call, bucket, &where) != 0)
		return -1;
	return ar_list_table(call, &table, ar_sql_text(&where), where.args, where.nargs);
}

/* ---- delete ---- */

AR_YIELDS int storage_object_delete(struct ar_call *call)
{
	struct storage_bucket *bucket;
	struct storage_object object;
	bool found;

	if (storage_bucket_get(call, ar_in_str(call, "bucket"), &bucket) != 0 ||
	    bucket_lock(call, bucket) != 0 ||
	    object_find(call, bucket->name, ar_in_str(call, "key"), true, &object, &found) != 0)
		return -1;
	if (!found)
		object = (struct storage_object){ .key = ar_in_str(call, "key") };
	if (storage_may(call, bucket, RULE_DELETE, &object) != 0)
		return -1;
	if (!found)
		return ar_fail(AR_E_NOT_FOUND, "what", "object");
	if (ar_check_if_match(call, etag_of(call->pool, &object)) != 0 ||
	    ar_exec(&call->scope, "DELETE FROM storage_objects WHERE id = ?",
		    AR_ARGS(AR_J_STR(object.id)), NULL) != 0 ||
	    counts_add(call, bucket, -1, -object.size) != 0 || delete_after(call, object.id) != 0 ||
	    object_event(call, "storage.object.deleted", bucket->name, &object) != 0)
		return -1;
	return ar_reply_none(call);
}
