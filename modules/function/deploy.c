/*
 * deploy.c - puts a function: checks its source in an executor, keeps it as a new version when it
 * differs from the last, and subscribes it to its events. A version is never changed.
 */
#include "action/version.h"
#include "function/function_int.h"

static const struct ar_versioned versioned = { .things = "function_functions",
					       .versions = "function_versions",
					       .owner = "function",
					       .put = "functions.put",
					       .source = "source" };

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
AR_YIELDS static int may_change(struct ar_call *call, struct ar_str name)
{
	bool library = ar_in_bool(call, "library", false);
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT permissions, library FROM function_functions WHERE name = ?",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (ar_rows_next(&rows)) {
		if (ar_in(call, "permissions") == NULL &&
		    may_grant_text(call, ar_col_str(&rows, 0)) != 0)
			return -1;
		library = library || ar_col_int(&rows, 1) != 0;
	}
	if (!library)
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

/* Settings that were not given stay as they are. */
AR_YIELDS static int settings_update(struct ar_call *call, struct ar_str name,
				     const struct ar_version *version)
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
		       AR_ARGS(AR_J_STR(version->id), AR_J_INT(version->number),
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

AR_YIELDS static int subscribe(struct ar_call *call, struct ar_str name,
			       const struct ar_json *events)
{
	return ar_subscribe_topics(&call->scope, AR_STR("function"), name, events);
}

AR_YIELDS static int function_write(struct ar_call *call, struct ar_str name, int status);

AR_YIELDS int function_put(struct ar_call *call)
{
	struct ar_str name = ar_in_str(call, "name"), source = ar_in_str(call, "source");
	struct ar_str sha256 = ar_sha256_hex(call->pool, source);
	const struct ar_json *events = ar_in(call, "events");
	struct ar_version version;

	if (may_grant(call, ar_in(call, "permissions")) != 0 ||
	    ar_sandbox_check(call->tenant->name, name, source) != 0 ||
	    ar_version_current(call, &versioned, name, sha256, &version) != 0 ||
	    may_change(call, name) != 0 || library_room(call, name) != 0)
		return -1;
	if (!version.same_source) {
		ar_version_next(call, &version);
		if ((!version.exists && row_insert(call, name, version.id) != 0) ||
		    ar_version_insert(call, &versioned, name, &version, source, sha256,
				      AR_STR_NONE) != 0)
			return -1;
	}
	if (settings_update(call, name, &version) != 0 ||
	    (events != NULL && subscribe(call, name, events) != 0) ||
	    function_changes(call->tenant, &call->scope) != 0)
		return -1;
	return function_write(call, name, version.exists ? 200 : 201);
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
	return ar_version_list(call, &versioned);
}

AR_YIELDS int function_version_get(struct ar_call *call)
{
	return ar_version_get(call, &versioned);
}

extern const struct ar_file function_demo_files[]; /* scripts/packs/demo/functions */

AR_YIELDS int function_demo(struct ar_call *call)
{
	struct ar_json *more = ar_json_new(call->pool, AR_OBJECT);
	struct ar_json *permissions = ar_json_new(call->pool, AR_ARRAY);

	ar_json_add(permissions, ar_json_str(call->pool, AR_STR("notify.send")));
	ar_json_set(more, AR_STR("permissions"), permissions);
	return ar_version_demo(call, &versioned, function_demo_files, more);
}
