/*
 * deploy.c - puts a function: checks its source in an executor, keeps it as a new version when it
 * differs from the last, and subscribes it to its events. A version is never changed.
 */
#include "function/function_int.h"

#include "base/embed.h"

static int may_grant(struct ar_call *call, const struct ar_json *permissions)
{
	if (permissions == NULL)
		return 0;
	ar_json_each (p, permissions)
		if (!ar_who_may(call->who, p->s))
			return ar_fail(FUNCTION_E_ESCALATION, "permission",
				       ar_strz(call->pool, p->s));
	return 0;
}

struct current {
	bool exists, same_source, library;
	int64_t number;
	struct ar_str version, permissions; /* JSON text */
};

AR_YIELDS static int current_read(struct ar_call *call, struct ar_str name, struct ar_str sha256,
				  struct current *ret)
{
	struct ar_rows rows;

	if (ar_query_lock(&call->scope, &rows,
			  "SELECT f.version, f.number, v.sha256, f.permissions, f.library "
			  "FROM function_functions f "
			  "JOIN function_versions v ON v.id = f.version WHERE f.name = ?",
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return 0;
	ret->exists = true;
	ret->version = ar_col_str(&rows, 0);
	ret->number = ar_col_int(&rows, 1);
	ret->same_source = ar_str_eq(ar_col_str(&rows, 2), sha256);
	ret->permissions = ar_col_str(&rows, 3);
	ret->library = ar_col_int(&rows, 4) != 0;
	return 0;
}

static int may_grant_text(struct ar_call *call, struct ar_str text)
{
	struct ar_json *permissions;

	if (ar_json_parse(call->pool, text, &ar_json_limits_default, &permissions) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	return may_grant(call, permissions);
}

/*
 * A new source, another `allow` or an event would act with rights that somebody else gave: they must
 * be the caller's too. A library acts with the rights of every function that may require it.
 */
AR_YIELDS static int may_change(struct ar_call *call, const struct current *current)
{
	struct ar_rows rows;

	if (ar_in(call, "permissions") == NULL && current->exists &&
	    may_grant_text(call, current->permissions) != 0)
		return -1;
	if (!current->library && !ar_in_bool(call, "library", false))
		return 0;
	if (ar_query(&call->scope, &rows,
		     "SELECT DISTINCT permissions FROM function_functions WHERE library = 0",
		     AR_NO_ARGS) != 0)
		return -1;
	while (ar_rows_next(&rows))
		if (may_grant_text(call, ar_col_str(&rows, 0)) != 0)
			return -1;
	return 0;
}

/* The row first: versions refer to it. */
AR_YIELDS static int row_insert(struct ar_call *call, struct ar_str name, struct ar_str version)
{
	int64_t now = ar_now_ms();

	return ar_exec(
		&call->scope,
		"INSERT INTO function_functions (name, version, number, library, description, "
		"allow, permissions, events, limits, created, updated) "
		"VALUES (?, ?, 1, 0, '', '" FUNCTION_ALLOW "', '[]', '[]', '{}', ?, ?)",
		AR_ARGS(AR_J_STR(name), AR_J_STR(version), AR_J_INT(now), AR_J_INT(now)), NULL);
}

AR_YIELDS static int version_insert(struct ar_call *call, struct ar_str name, struct ar_str sha256,
				    const struct current *current)
{
	return ar_exec(
		&call->scope,
		"INSERT INTO function_versions (id, function, number, source, sha256, created, "
		"created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
		AR_ARGS(AR_J_STR(current->version), AR_J_STR(name), AR_J_INT(current->number),
			AR_J_STR(ar_in_str(call, "source")), AR_J_STR(sha256),
			AR_J_INT(ar_now_ms()), AR_J_STR(call->who->id)),
		NULL);
}

/* Settings that were not given stay as they are. */
AR_YIELDS static int settings_update(struct ar_call *call, struct ar_str name,
				     const struct current *current)
{
	static const struct {
		const char *input, *sql;
	} settings[] = {
		{ "description", "UPDATE function_functions SET description = ? WHERE name = ?" },
		{ "allow", "UPDATE function_functions SET allow = ? WHERE name = ?" },
		{ "permissions", "UPDATE function_functions SET permissions = ? WHERE name = ?" },
		{ "events", "UPDATE function_functions SET events = ? WHERE name = ?" },
		{ "limits", "UPDATE function_functions SET limits = ? WHERE name = ?" },
	};
	const struct ar_json *library = ar_in(call, "library");

	for (size_t i = 0; i < AR_COUNT(settings); i++) {
		const struct ar_json *value = ar_in(call, settings[i].input);

		if (value != NULL && ar_exec(&call->scope, settings[i].sql,
					     AR_ARGS(*value, AR_J_STR(name)), NULL) != 0)
			return -1;
	}
	if (library != NULL &&
	    ar_exec(&call->scope, "UPDATE function_functions SET library = ? WHERE name = ?",
		    AR_ARGS(AR_J_INT(library->b ? 1 : 0), AR_J_STR(name)), NULL) != 0)
		return -1;
	return ar_exec(&call->scope,
		       "UPDATE function_functions SET version = ?, number = ?, updated = ? "
		       "WHERE name = ?",
		       AR_ARGS(AR_J_STR(current->version), AR_J_INT(current->number),
			       AR_J_INT(ar_now_ms()), AR_J_STR(name)),
		       NULL);
}

/* Those beyond the first 64 could not be found by require(). */
AR_YIELDS static int library_room(struct ar_call *call, struct ar_str name)
{
	struct ar_rows rows;

	if (!ar_in_bool(call, "library", false))
		return 0;
	if (ar_query(&call->scope, &rows,
		     "SELECT count(*) FROM function_functions WHERE library = 1 AND name <> ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (ar_rows_next(&rows) && ar_col_int(&rows, 0) >= AR_SANDBOX_MODULES_MAX)
		return ar_fail_field("library", "too-many", "max", "64");
	return 0;
}

static struct ar_str subscription_name(struct ar_pool *pool, struct ar_str function, size_t i)
{
	return ar_strf(pool, "function.%.*s.%zu", AR_FMT(function), i);
}

#define EVENTS_MAX 16

AR_YIELDS static int subscribe(struct ar_call *call, struct ar_str name,
			       const struct ar_json *events)
{
	size_t i = 0;

	ar_json_each (topic, events) {
		struct ar_subscription subscription = {
			.name = subscription_name(call->pool, name, i++),
			.topics = topic->s,
			.kind = AR_STR("function"),
			.target = name,
		};

		if (ar_subscribe(&call->scope, &subscription) != 0)
			return -1;
	}
	for (; i < EVENTS_MAX; i++)
		if (ar_unsubscribe(&call->scope, subscription_name(call->pool, name, i)) != 0)
			return -1;
	return 0;
}

AR_YIELDS static int function_write(struct ar_call *call, struct ar_str name, int status);

AR_YIELDS int function_put(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name"), source = ar_in_str(call, "source");
	struct ar_str sha256 = ar_sha256_hex(call->pool, source);
	const struct ar_json *events = ar_in(call, "events");
	struct current current = { 0 };
	bool created;

	if (may_grant(call, ar_in(call, "permissions")) != 0 ||
	    ar_sandbox_check(call->tenant->name, name, source) != 0 ||
	    current_read(call, name, sha256, &current) != 0 || may_change(call, &current) != 0 ||
	    library_room(call, name) != 0)
		return -1;
	created = !current.exists;
	if (!current.same_source) {
		current.version = ar_id(call->pool);
		current.number++;
		if ((created && row_insert(call, name, current.version) != 0) ||
		    version_insert(call, name, sha256, &current) != 0)
			return -1;
	}
	if (settings_update(call, name, &current) != 0 ||
	    (events != NULL && subscribe(call, name, events) != 0) ||
	    function_changes(call->tenant, &call->scope) != 0)
		return -1;
	return function_write(call, name, created ? 201 : 200);
}

AR_YIELDS static int function_write(struct ar_call *call, struct ar_str name, int status)
{
	static const char *const texts[] = { "name", "version", "description", "allow" };
	static const char *const values[] = { "permissions", "events", "limits" };
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT f.name, f.version, f.description, f.allow, f.permissions, f.events, "
		     "f.limits, f.number, f.library, f.created, f.updated, v.source "
		     "FROM function_functions f JOIN function_versions v ON v.id = f.version "
		     "WHERE f.name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "function");
	w = ar_reply_json(call, status);
	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		ar_jw_keyz(w, texts[i]);
		ar_jw_str(w, ar_col_str(&rows, i));
	}
	for (size_t i = 0; i < AR_COUNT(values); i++) {
		ar_jw_keyz(w, values[i]);
		ar_jw_raw(w, ar_col_str(&rows, 4 + i));
	}
	ar_jw_keyz(w, "number");
	ar_jw_int(w, ar_col_int(&rows, 7));
	ar_jw_keyz(w, "library");
	ar_jw_bool(w, ar_col_int(&rows, 8) != 0);
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 9));
	ar_jw_keyz(w, "updated");
	ar_jw_time(w, ar_col_int(&rows, 10));
	ar_jw_keyz(w, "source");
	ar_jw_str(w, ar_col_str(&rows, 11));
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int function_get(struct ar_call *call)
{
	return function_write(call, ar_in_str(call, "name"), 0);
}

AR_YIELDS int function_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "name" },
		{ .name = "version" },
		{ .name = "number", .type = AR_LIST_INT },
		{ .name = "library", .type = AR_LIST_BOOL },
		{ .name = "description" },
		{ .name = "allow" },
		{ .name = "permissions", .type = AR_LIST_JSON },
		{ .name = "events", .type = AR_LIST_JSON },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "function_functions", columns, "name" };

	return ar_list_table(call, &table, NULL, AR_NO_ARGS);
}

AR_YIELDS int function_delete(struct ar_call *call)
{
	static const struct ar_json none = { .type = AR_ARRAY };
	struct ar_str name = ar_in_str(call, "name");
	int64_t changed = 0;

	if (ar_exec(&call->scope, "DELETE FROM function_functions WHERE name = ?",
		    AR_ARGS(AR_J_STR(name)), &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "function");
	if (ar_exec(&call->scope, "DELETE FROM function_runs WHERE function = ?",
		    AR_ARGS(AR_J_STR(name)), NULL) != 0 ||
	    subscribe(call, name, &none) != 0 || function_changes(call->tenant, &call->scope) != 0)
		return -1;
	return ar_reply_none(call);
}

AR_YIELDS int function_version_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "number", .type = AR_LIST_INT },
		{ .name = "sha256" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "createdBy", .sql = "created_by" },
		{ 0 },
	};
	static const struct ar_list_table table = { "function_versions", columns, "-number" };

	return ar_list_table(call, &table, "function = ?",
			     AR_ARGS(AR_J_STR(ar_in_str(call, "name"))));
}

AR_YIELDS int function_version_get(struct ar_call *call)
{
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(
		    &call->scope, &rows,
		    "SELECT id, sha256, created_by, source, number, created FROM function_versions "
		    "WHERE function = ? AND number = ?",
		    AR_ARGS(AR_J_STR(ar_in_str(call, "name")), *ar_in(call, "number"))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "version");
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "id");
	ar_jw_str(w, ar_col_str(&rows, 0));
	ar_jw_keyz(w, "sha256");
	ar_jw_str(w, ar_col_str(&rows, 1));
	ar_jw_keyz(w, "createdBy");
	ar_jw_str(w, ar_col_str(&rows, 2));
	ar_jw_keyz(w, "source");
	ar_jw_str(w, ar_col_str(&rows, 3));
	ar_jw_keyz(w, "number");
	ar_jw_int(w, ar_col_int(&rows, 4));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 5));
	ar_jw_object_end(w);
	return 0;
}

/* ---- the demo tenant's function ---- */

extern const struct ar_file function_demo_files[]; /* scripts/packs/demo/functions */

AR_YIELDS static int demo_put(struct ar_call *call, struct ar_str name, struct ar_str source)
{
	struct ar_json *input = ar_json_new(call->pool, AR_OBJECT), *permissions, *ret;
	struct ar_invoke invoke = { .tenant = call->tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_SYSTEM,
				    .action = AR_STR("functions.put"),
				    .input = input };

	permissions = ar_json_new(call->pool, AR_ARRAY);
	ar_json_add(permissions, ar_json_str(call->pool, AR_STR("notify.send")));
	ar_json_set(input, AR_STR("name"), ar_json_str(call->pool, name));
	ar_json_set(input, AR_STR("source"), ar_json_str(call->pool, source));
	ar_json_set(input, AR_STR("permissions"), permissions);
	return ar_action_invoke(call->pool, &invoke, &ret);
}

AR_YIELDS int function_demo(struct ar_call *call)
{
	struct ar_rows rows;

	for (const struct ar_file *file = function_demo_files; file->path != NULL; file++) {
		struct ar_str name = ar_str(file->path);

		name = ar_str_cut(&name, '.');
		if (ar_query(&call->scope, &rows, "SELECT 1 FROM function_functions WHERE name = ?",
			     AR_ARGS(AR_J_STR(name))) != 0)
			return -1;
		if (rows.count == 0 &&
		    demo_put(call, name, ar_str_n((const char *)file->data, file->size)) != 0)
			return -1;
	}
	return 0;
}
