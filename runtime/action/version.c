/*
 * version.c - numbered versions of sources, for the modules that keep some. SQL is put together from
 * the constant names of a module's tables; values are bound.
 */
#include "action/version.h"

#include "action/list.h"

AR_YIELDS int ar_version_current(struct ar_call *call, const struct ar_versioned *of,
				 struct ar_str name, struct ar_str sha256, struct ar_version *ret)
{
	struct ar_rows rows;

	*ret = (struct ar_version){ 0 };
	if (ar_query_lock(&call->scope, &rows,
			  ar_printf(call->pool,
				    "SELECT t.version, t.number, v.sha256 FROM %s t "
				    "JOIN %s v ON v.id = t.version WHERE t.name = ?",
				    of->things, of->versions),
			  AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return 0;
	ret->exists = true;
	ret->id = ar_col_str(&rows, 0);
	ret->number = ar_col_int(&rows, 1);
	ret->same_source = ar_str_eq(ar_col_str(&rows, 2), sha256);
	return 0;
}

void ar_version_next(struct ar_call *call, struct ar_version *version)
{
	version->id = ar_id(call->pool);
	version->number++;
}

AR_YIELDS int ar_version_insert(struct ar_call *call, const struct ar_versioned *of,
				struct ar_str name, const struct ar_version *version,
				struct ar_str source, struct ar_str sha256, struct ar_str parsed)
{
	const char *sql =
		ar_printf(call->pool,
			  "INSERT INTO %s (id, %s, number, source, sha256, created, "
			  "created_by%s%s) VALUES (?, ?, ?, ?, ?, ?, ?%s)",
			  of->versions, of->owner, of->parsed != NULL ? ", " : "",
			  of->parsed != NULL ? of->parsed : "", of->parsed != NULL ? ", ?" : "");
	const struct ar_json args[] = { AR_J_STR(version->id),     AR_J_STR(name),
					AR_J_INT(version->number), AR_J_STR(source),
					AR_J_STR(sha256),          AR_J_INT(ar_now_ms()),
					AR_J_STR(call->who->id),   AR_J_STR(parsed) };

	return ar_exec(&call->scope, sql, args, AR_COUNT(args) - (of->parsed == NULL), NULL);
}

/* ---- whole actions ---- */

AR_YIELDS int ar_version_list(struct ar_call *call, const struct ar_versioned *of)
{
	static const struct ar_list_column columns[] = {
		{ .name = "id" },
		{ .name = "number", .type = AR_LIST_INT },
		{ .name = "sha256" },
		{ .name = "created", .type = AR_LIST_TIME },
		{ .name = "createdBy", .sql = "created_by" },
		{ 0 },
	};
	const struct ar_list_table table = { of->versions, columns, "-number" };

	return ar_list_table(call, &table, ar_printf(call->pool, "%s = ?", of->owner),
			     AR_ARGS(AR_J_STR(ar_in_str(call, "name"))));
}

static void write_text(struct ar_jw *w, const char *name, struct ar_str text)
{
	ar_jw_keyz(w, name);
	ar_jw_str(w, text);
}

AR_YIELDS int ar_version_get(struct ar_call *call, const struct ar_versioned *of)
{
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     ar_printf(call->pool,
			       "SELECT id, number, sha256, created_by, created, source%s%s "
			       "FROM %s WHERE %s = ? AND number = ?",
			       of->parsed != NULL ? ", " : "", of->parsed != NULL ? of->parsed : "",
			       of->versions, of->owner),
		     AR_ARGS(AR_J_STR(ar_in_str(call, "name")), *ar_in(call, "number"))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "version");
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	write_text(w, "id", ar_col_str(&rows, 0));
	ar_jw_keyz(w, "number");
	ar_jw_int(w, ar_col_int(&rows, 1));
	write_text(w, "sha256", ar_col_str(&rows, 2));
	write_text(w, "createdBy", ar_col_str(&rows, 3));
	ar_jw_keyz(w, "created");
	ar_jw_time(w, ar_col_int(&rows, 4));
	write_text(w, "source", ar_col_str(&rows, 5));
	if (of->parsed != NULL) {
		ar_jw_keyz(w, of->parsed);
		ar_jw_raw(w, ar_col_str(&rows, 6));
	}
	ar_jw_object_end(w);
	return 0;
}

/* ---- samples ---- */

static AR_YIELDS int demo_put(struct ar_call *call, const struct ar_versioned *of,
			      struct ar_str name, const struct ar_file *file,
			      const struct ar_json *more)
{
	struct ar_json *input = ar_json_new(call->pool, AR_OBJECT), *ret;
	struct ar_invoke invoke = { .tenant = call->tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_SYSTEM,
				    .action = ar_str(of->put),
				    .input = input };

	if (more != NULL)
		input = invoke.input = ar_json_copy(call->pool, more);
	ar_json_set(input, AR_STR("name"), ar_json_str(call->pool, name));
	ar_json_set(input, ar_str(of->source),
		    ar_json_str(call->pool, ar_str_n(file->data, file->size)));
	return ar_action_invoke(call->pool, &invoke, &ret);
}

AR_YIELDS int ar_version_demo(struct ar_call *call, const struct ar_versioned *of,
			      const struct ar_file *files, const struct ar_json *more)
{
	const char *sql = ar_printf(call->pool, "SELECT 1 FROM %s WHERE name = ?", of->things);
	struct ar_rows rows;

	for (const struct ar_file *file = files; file->path != NULL; file++) {
		struct ar_str name = ar_str(file->path);

		name = ar_str_cut(&name, '.');
		if (ar_query(&call->scope, &rows, sql, AR_ARGS(AR_J_STR(name))) != 0)
			return -1;
		if (rows.count == 0 && demo_put(call, of, name, file, more) != 0)
			return -1;
	}
	return 0;
}
