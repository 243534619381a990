/*
 * migrate.c - brings a database up to date when it is first opened in the process.
 *
 * What was applied is recorded in ar_migrations, in the same unit of work: a database has a
 * migration wholly or not at all. Processes and loops that come at the same time take turns.
 */
#include "store/store_int.h"

/* The two things that the dialects say differently. */
static const char *const has_table[] = {
	[AR_SQLITE] = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ar_migrations'",
	[AR_POSTGRES] = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema()"
			" AND tablename = 'ar_migrations'",
};
static const char *const take_turn[] = {
	[AR_SQLITE] = "SELECT 1", /* the unit of work is alone anyway */
	[AR_POSTGRES] = "SELECT pg_advisory_xact_lock(hashtext(current_schema()))",
};

static const struct ar_migration_set *sets_of(const struct ar_db *db)
{
	const struct ar_store_options *options = &db->home->store->options;

	return db->name.n == 0 ? options->platform : options->tenant;
}

/* Names that were applied, as "module/name", in a table of their own. */
static AR_YIELDS int applied(struct ar_scope *scope, struct ar_map *ret)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows, has_table[ar_db_dialect(scope->db)], AR_NO_ARGS) != 0)
		return -1;
	if (rows.count == 0)
		return 0;
	if (ar_query(scope, &rows, "SELECT module, name FROM ar_migrations", AR_NO_ARGS) != 0)
		return -1;
	while (ar_rows_next(&rows)) {
		struct ar_str key = ar_strf(scope->pool, "%.*s/%.*s", AR_FMT(ar_col_str(&rows, 0)),
					    AR_FMT(ar_col_str(&rows, 1)));

		ar_map_set(ret, key, scope);
	}
	return 0;
}

static bool has(const struct ar_scope *scope, const struct ar_map *done, const char *module,
		const char *name)
{
	return ar_map_get(done, ar_strf(scope->pool, "%s/%s", module, name)) != NULL;
}

static bool complete(const struct ar_scope *scope, const struct ar_map *done)
{
	const struct ar_migration_set *set = sets_of(scope->db);

	for (; set != NULL && set->module != NULL; set++) {
		for (const struct ar_migration *m = set->list; m != NULL && m->name != NULL; m++) {
			if (!has(scope, done, set->module, m->name))
				return false;
		}
	}
	return true;
}

static AR_YIELDS int apply(struct ar_scope *scope, const char *module, const struct ar_migration *m)
{
	bool sqlite = ar_db_dialect(scope->db) == AR_SQLITE;

	if (ar_exec_long(scope, sqlite ? m->sqlite : m->postgres) != 0)
		return -1;
	return ar_exec(scope, "INSERT INTO ar_migrations (module, name, applied) VALUES (?, ?, ?)",
		       AR_ARGS(AR_J_Z(module), AR_J_Z(m->name), AR_J_INT(ar_now_ms())), NULL);
}

static AR_YIELDS int apply_missing(struct ar_scope *scope, struct ar_map *done)
{
	const struct ar_migration_set *set = sets_of(scope->db);
	struct ar_rows rows;

	if (ar_begin(scope) != 0 ||
	    ar_query(scope, &rows, take_turn[ar_db_dialect(scope->db)], AR_NO_ARGS) != 0)
		return -1;
	if (ar_exec_long(scope, "CREATE TABLE IF NOT EXISTS ar_migrations ("
				"module TEXT NOT NULL, name TEXT NOT NULL,"
				" applied BIGINT NOT NULL, PRIMARY KEY (module, name))") != 0)
		return -1;
	if (applied(scope, done) != 0)
		return -1;
	for (; set != NULL && set->module != NULL; set++) {
		for (const struct ar_migration *m = set->list; m != NULL && m->name != NULL; m++) {
			if (has(scope, done, set->module, m->name))
				continue;
			if (apply(scope, set->module, m) != 0)
				return ar_fail_over(AR_E_STORE, "module", set->module, "migration",
						    m->name);
		}
	}
	return 0;
}

int store_migrate(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_map *done = ar_map_new();
	struct ar_scope scope;
	int rc;

	ar_scope_init(&scope, db, pool);
	rc = applied(&scope, done);
	if (rc == 0 && !complete(&scope, done)) {
		rc = apply_missing(&scope, done);
		if (rc == 0)
			rc = ar_commit(&scope);
		else
			ar_rollback(&scope);
	}
	ar_map_free(done, NULL);
	ar_pool_free(pool);
	return rc;
}
