/*
 * bucket.c - buckets: a name, rules, limits. Making one is a row and nothing else: its folder comes
 * with its first object.
 */
#include "storage/storage_int.h"

static const char *const rule_names[RULES] = { "read", "write", "delete", "list" };
static const char *const rule_fields[RULES] = { "rules.read", "rules.write", "rules.delete",
						"rules.list" };

static int rules_check(struct ar_call *call, const struct ar_json *rules)
{
	struct ar_expr *expr;

	for (size_t i = 0; rules != NULL && i < RULES; i++) {
		const struct ar_json *rule = ar_json_get(rules, rule_names[i]);

		if (rule != NULL && rule->type == AR_STRING && rule->s.n > 0 &&
		    storage_rule_read(call->pool, rule_fields[i], rule->s, &expr) != 0)
			return -1;
	}
	return 0;
}

static struct ar_json rule_of(const struct ar_json *rules, size_t i)
{
	const struct ar_json *rule = rules != NULL ? ar_json_get(rules, rule_names[i]) : NULL;

	return rule != NULL && rule->type == AR_STRING ? AR_J_STR(rule->s) : AR_J_NULL;
}

AR_YIELDS static int bucket_reply(struct ar_call *call, struct ar_str name, int status)
{
	static const char *const numbers[] = { "maxSize", "maxObjects", "maxBytes", "objects",
					       "bytes" };
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT name, owner, read_rule, write_rule, delete_rule, list_rule, max_size, "
		     "max_objects, max_bytes, objects, bytes, types, created, updated "
		     "FROM storage_buckets WHERE name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "bucket");
	w = ar_reply_json(call, status);
	ar_jw_object(w);
	ar_jw_keyz(w, "bucket");
	ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_keyz(w, "owner");
	ar_jw_str(w, ar_col_str(&rows, 1));
	ar_jw_keyz(w, "rules");
	ar_jw_object(w);
	for (size_t i = 0; i < RULES; i++) {
		ar_jw_keyz(w, rule_names[i]);
		if (ar_col_null(&rows, 2 + i))
			ar_jw_null(w);
		else
			ar_jw_str(w, ar_col_str(&rows, 2 + i));
	}
	ar_jw_object_end(w);
	for (size_t i = 0; i < AR_COUNT(numbers); i++) {
		ar_jw_keyz(w, numbers[i]);
		ar_jw_int(w, ar_col_int(&rows, 6 + i));
	}
	ar_jw_keyz(w, "types");
	ar_jw_raw(w, ar_col_str(&rows, 11));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 12));
	ar_jw_keyz(w, "updated");
	ar_jw_time(w, ar_col_int(&rows, 13));
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS static int bucket_event(struct ar_call *call, const char *topic, struct ar_str name)
{
	struct ar_json *data = ar_json_new(call->pool, AR_OBJECT);

	ar_json_set(data, AR_STR("bucket"), ar_json_str(call->pool, name));
	return ar_publish(&call->scope, topic, name, data, NULL);
}

static int name_of(struct ar_call *call, struct ar_str *ret)
{
	struct ar_str name = ar_in_str(call, "bucket"), user = ar_in_str(call, "userId");

	if (name.n == 0 && user.n == 0)
		return ar_fail_field("bucket", "required");
	*ret = name.n > 0 ? name : ar_strf(call->pool, "user-%.*s", AR_FMT(user));
	return 0;
}

AR_YIELDS int storage_bucket_create(struct ar_call *call)
{
	const struct ar_json *rules = ar_in(call, "rules"), *types = ar_in(call, "types");
	struct ar_str user = ar_in_str(call, "userId"), name;
	int64_t now = ar_now_ms();

	if (name_of(call, &name) != 0 || rules_check(call, rules) != 0)
		return -1;
	if (ar_exec(&call->scope,
		    "INSERT INTO storage_buckets (name, owner, read_rule, write_rule, delete_rule, "
		    "list_rule, max_size, max_objects, max_bytes, types, objects, bytes, created, "
		    "updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)",
		    AR_ARGS(AR_J_STR(name), AR_J_STR(user), rule_of(rules, RULE_READ),
			    rule_of(rules, RULE_WRITE), rule_of(rules, RULE_DELETE),
			    rule_of(rules, RULE_LIST), AR_J_INT(ar_in_int(call, "maxSize", 0)),
			    AR_J_INT(ar_in_int(call, "maxObjects", 0)),
			    AR_J_INT(ar_in_int(call, "maxBytes", 0)),
			    AR_J_STR(ar_json_print(call->pool, types)), AR_J_INT(now),
			    AR_J_INT(now)),
		    NULL) != 0)
		return ar_err_is(AR_E_UNIQUE) ? ar_fail_over(STORAGE_E_BUCKET_EXISTS) : -1;
	if (bucket_event(call, "storage.bucket.created", name) != 0)
		return -1;
	return bucket_reply(call, name, 0);
}

AR_YIELDS int storage_bucket_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "bucket", .sql = "name" },
		{ .name = "owner" },
		{ .name = "maxSize", .sql = "max_size", .type = AR_LIST_INT },
		{ .name = "maxObjects", .sql = "max_objects", .type = AR_LIST_INT },
		{ .name = "maxBytes", .sql = "max_bytes", .type = AR_LIST_INT },
		{ .name = "objects", .type = AR_LIST_INT },
		{ .name = "bytes", .type = AR_LIST_INT },
		{ .name = "types", .type = AR_LIST_JSON },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "storage_buckets", columns, "bucket" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS int storage_bucket_read(struct ar_call *call)
{
	return bucket_reply(call, ar_in_str(call, "bucket"), 0);
}

AR_YIELDS static int number_update(struct ar_call *call, struct ar_str name, const char *field,
				   const char *sql)
{
	const struct ar_json *value = ar_in(call, field);

	if (value == NULL)
		return 0;
	return ar_exec(&call->scope, sql, AR_ARGS(*value, AR_J_STR(name)), NULL);
}

/* `rules` replaces those it names; null closes one. */
AR_YIELDS static int rules_update(struct ar_call *call, struct ar_str name,
				  const struct ar_json *rules)
{
	static const char *const sql[RULES] = {
		"UPDATE storage_buckets SET read_rule = ? WHERE name = ?",
		"UPDATE storage_buckets SET write_rule = ? WHERE name = ?",
		"UPDATE storage_buckets SET delete_rule = ? WHERE name = ?",
		"UPDATE storage_buckets SET list_rule = ? WHERE name = ?",
	};

	for (size_t i = 0; rules != NULL && i < RULES; i++)
		if (ar_json_get(rules, rule_names[i]) != NULL &&
		    ar_exec(&call->scope, sql[i], AR_ARGS(rule_of(rules, i), AR_J_STR(name)),
			    NULL) != 0)
			return -1;
	return 0;
}

AR_YIELDS int storage_bucket_update(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "bucket");
	const struct ar_json *rules = ar_in(call, "rules");
	int64_t changed = 0;

	if (rules_check(call, rules) != 0 ||
	    ar_exec(&call->scope, "UPDATE storage_buckets SET updated = ? WHERE name = ?",
		    AR_ARGS(AR_J_INT(ar_now_ms()), AR_J_STR(name)), &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "bucket");
	if (rules_update(call, name, rules) != 0 ||
	    number_update(call, name, "maxSize",
			  "UPDATE storage_buckets SET max_size = ? WHERE name = ?") != 0 ||
	    number_update(call, name, "maxObjects",
			  "UPDATE storage_buckets SET max_objects = ? WHERE name = ?") != 0 ||
	    number_update(call, name, "maxBytes",
			  "UPDATE storage_buckets SET max_bytes = ? WHERE name = ?") != 0 ||
	    number_update(call, name, "types",
			  "UPDATE storage_buckets SET types = ? WHERE name = ?") != 0 ||
	    storage_changes(call) != 0 || bucket_event(call, "storage.bucket.updated", name) != 0)
		return -1;
	return bucket_reply(call, name, 0);
}

/* Only an empty one: a slip must not take files with it. */
AR_YIELDS int storage_bucket_delete(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "bucket");
	int64_t changed = 0;

	if (ar_exec(&call->scope, "DELETE FROM storage_buckets WHERE name = ?",
		    AR_ARGS(AR_J_STR(name)), &changed) != 0)
		return ar_err_is(AR_E_REFERENCE) ? ar_fail_over(STORAGE_E_NOT_EMPTY) : -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "bucket");
	if (storage_changes(call) != 0 || bucket_event(call, "storage.bucket.deleted", name) != 0)
		return -1;
	return ar_reply_none(call);
}
