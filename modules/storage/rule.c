/*
 * rule.c - a bucket's rules and limits, compiled once and remembered in a tenant slot.
 */
#include "storage/storage_int.h"

static const char *const roots[] = { "@auth", NULL };
static const char *const *const members[] = { ar_auth_members };

static const struct column {
	const char *name, *sql;
	enum ar_expr_type type;
} columns[] = {
	{ "key", "key", AR_X_TEXT },       { "size", "size", AR_X_INT },
	{ "type", "type", AR_X_TEXT },     { "owner", "owner", AR_X_TEXT },
	{ "sha256", "sha256", AR_X_TEXT },
};

static bool field_find(void *arg AR_UNUSED, const struct ar_str *parts, size_t nparts,
		       struct ar_expr_field *ret)
{
	if (nparts != 1)
		return false;
	for (size_t i = 0; i < AR_COUNT(columns); i++)
		if (ar_str_is(parts[0], columns[i].name)) {
			*ret = (struct ar_expr_field){ .type = columns[i].type,
						       .used = 1,
						       .sql = columns[i].sql,
						       .id = (int)i };
			return true;
		}
	return false;
}

int storage_rule_read(struct ar_pool *pool, const char *field, struct ar_str text,
		      struct ar_expr **ret)
{
	struct ar_expr_names names = { .roots = roots, .members = members, .field = field_find };

	if (ar_expr_parse(pool, text, ret) != 0 || ar_expr_check_test(*ret, &names) != 0)
		return ar_fail_field_over(field, "expression");
	return 0;
}

/* ---- the slot ---- */

static void bucket_free(void *value)
{
	struct storage_bucket *bucket = value;

	ar_pool_free(bucket->pool);
}

AR_YIELDS static int buckets_load(struct ar_tenant *tenant AR_UNUSED, void **ret)
{
	*ret = ar_map_new();
	return 0;
}

static void buckets_unload(void *value)
{
	ar_map_free(value, bucket_free);
}

struct ar_tenant_slot storage_slot = { .name = "storage",
				       .load = buckets_load,
				       .unload = buckets_unload };

int storage_changes(struct ar_call *call)
{
	return ar_tenant_changes(call->tenant, &storage_slot, &call->scope);
}

AR_YIELDS static int bucket_read(struct ar_scope *scope, struct ar_str name,
				 struct storage_bucket *bucket)
{
	static const char *const fields[RULES] = { "rules.read", "rules.write", "rules.delete",
						   "rules.list" };
	struct ar_rows rows;

	if (ar_query(scope, &rows,
		     "SELECT read_rule, write_rule, delete_rule, list_rule, max_size, max_objects, "
		     "max_bytes, types, owner FROM storage_buckets WHERE name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "bucket");
	bucket->name = ar_str_dup(bucket->pool, name);
	for (size_t i = 0; i < RULES; i++) {
		struct ar_str text = ar_col_str(&rows, i);

		bucket->anyone[i] = !ar_col_null(&rows, i) && text.n == 0;
		if (text.n > 0 &&
		    storage_rule_read(bucket->pool, fields[i], text, &bucket->rules[i]) != 0)
			return -1;
	}
	bucket->owner = ar_str_dup(bucket->pool, ar_col_str(&rows, 8));
	bucket->max_size = ar_col_int(&rows, 4);
	bucket->max_objects = ar_col_int(&rows, 5);
	bucket->max_bytes = ar_col_int(&rows, 6);
	if (ar_json_parse(bucket->pool, ar_str_dup(bucket->pool, ar_col_str(&rows, 7)),
			  &ar_json_limits_default, &bucket->types) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	return 0;
}

static void bucket_defer(void *arg)
{
	bucket_free(arg);
}

/* Keeps what was read, unless another call was faster or there are too many: then it lives as long as
 * the call. */
static struct storage_bucket *bucket_keep(struct ar_call *call, struct ar_map *map,
					  struct storage_bucket *bucket)
{
	if (ar_map_get(map, bucket->name) == NULL && ar_map_count(map) < STORAGE_REMEMBERED)
		ar_map_set(map, bucket->name, bucket);
	else
		ar_defer(call->pool, bucket_defer, bucket);
	return bucket;
}

AR_YIELDS static int bucket_load(struct ar_call *call, struct ar_map *map, struct ar_str name,
				 struct storage_bucket **ret)
{
	struct ar_pool *own = ar_pool_new();
	struct storage_bucket *bucket = ar_new(own, struct storage_bucket);
	struct ar_scope scope;

	bucket->pool = own;
	ar_scope_init(&scope, call->tenant->db, call->pool);
	if (bucket_read(&scope, name, bucket) != 0) {
		ar_pool_free(own);
		return -1;
	}
	*ret = bucket_keep(call, map, bucket);
	return 0;
}

AR_YIELDS int storage_bucket_get(struct ar_call *call, struct ar_str name,
				 struct storage_bucket **ret)
{
	struct storage_bucket *bucket;
	void *map;

	if (ar_tenant_use(call->tenant, &storage_slot, call->pool, &map) != 0)
		return -1;
	bucket = ar_map_get(map, name);
	if (bucket == NULL && bucket_load(call, map, name, &bucket) != 0)
		return call->who->kind == AR_WHO_ANYONE && ar_err_is(AR_E_NOT_FOUND)
			       ? ar_fail(AR_E_UNAUTHORIZED)
			       : -1;
	*ret = bucket;
	return 0;
}

/* ---- asking ---- */

static int object_value(void *arg, const struct ar_expr_field *field,
			struct ar_pool *pool AR_UNUSED, struct ar_json *ret)
{
	const struct storage_object *object = arg;
	const struct ar_json values[] = {
		AR_J_STR(object->key),   AR_J_INT(object->size),   AR_J_STR(object->type),
		AR_J_STR(object->owner), AR_J_STR(object->sha256),
	};

	*ret = values[field->id];
	return 0;
}

static bool passes_by_right(struct ar_call *call, const struct storage_bucket *bucket,
			    enum storage_rule rule)
{
	bool reads = rule == RULE_READ || rule == RULE_LIST;
	bool owns = call->who->kind == AR_WHO_USER && ar_str_eq(bucket->owner, call->who->id);

	return bucket->anyone[rule] || owns ||
	       ar_who_may(call->who, reads ? AR_STR(STORAGE_READ) : AR_STR(STORAGE_WRITE));
}

static int refusal(struct ar_call *call, enum storage_rule rule)
{
	if (call->who->kind == AR_WHO_ANYONE)
		return ar_fail(AR_E_UNAUTHORIZED);
	if (rule == RULE_READ)
		return ar_fail(AR_E_NOT_FOUND, "what", "object");
	return ar_fail(AR_E_FORBIDDEN);
}

int storage_may(struct ar_call *call, const struct storage_bucket *bucket, enum storage_rule rule,
		const struct storage_object *object)
{
	const struct ar_json *values[] = { call->who->auth };
	struct ar_expr_env env = { .roots = values, .get = object_value, .arg = (void *)object };
	bool good = false;

	if (passes_by_right(call, bucket, rule))
		return 0;
	if (bucket->rules[rule] != NULL &&
	    ar_expr_test(bucket->rules[rule], &env, call->pool, &good) != 0)
		return -1;
	return good ? 0 : refusal(call, rule);
}

int storage_list_sql(struct ar_call *call, const struct storage_bucket *bucket, struct ar_sql *sql)
{
	const struct ar_json *values[] = { call->who->auth };
	struct ar_expr_env env = { .roots = values };

	if (passes_by_right(call, bucket, RULE_LIST))
		return 0;
	if (bucket->rules[RULE_LIST] == NULL)
		return refusal(call, RULE_LIST);
	ar_sql_add(sql, " AND ");
	return ar_expr_sql(bucket->rules[RULE_LIST],
			   (enum ar_expr_dialect)ar_db_dialect(call->tenant->db), &env, sql, NULL);
}
