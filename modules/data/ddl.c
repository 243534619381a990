/*
 * ddl.c - collections as tables: the statements that make, change and drop them.
 *
 * Text is built from names that define.c let through (letters, digits, _), quoted. A field's value
 * may be missing in old rows, so NOT NULL is the module's business, not the table's; uniqueness and
 * references are the table's. An index on a field also holds the id, as lists are sorted. Indexes
 * are named by collection and field: a rename drops them, and whoever renames adds them again.
 */
#include "data/data_int.h"

static const char *const sqlite_types[] = {
	[DATA_TEXT] = "TEXT",     [DATA_INT] = "INTEGER", [DATA_FLOAT] = "REAL",
	[DATA_BOOL] = "INTEGER",  [DATA_DATE] = "TEXT",   [DATA_DATETIME] = "TEXT",
	[DATA_JSON] = "TEXT",     [DATA_SELECT] = "TEXT", [DATA_EMAIL] = "TEXT",
	[DATA_RELATION] = "TEXT",
};
#define PG_TEXT "TEXT COLLATE \"C\""
static const char *const postgres_types[] = {
	[DATA_TEXT] = PG_TEXT,     [DATA_INT] = "BIGINT",   [DATA_FLOAT] = "DOUBLE PRECISION",
	[DATA_BOOL] = "BOOLEAN",   [DATA_DATE] = PG_TEXT,   [DATA_DATETIME] = PG_TEXT,
	[DATA_JSON] = "JSONB",     [DATA_SELECT] = PG_TEXT, [DATA_EMAIL] = PG_TEXT,
	[DATA_RELATION] = PG_TEXT,
};

static bool is_postgres(const struct ar_call *call)
{
	return ar_db_dialect(call->scope.db) == AR_POSTGRES;
}

static AR_YIELDS int run(struct ar_call *call, struct ar_sql *sql)
{
	const char *text = ar_sql_text(sql);

	if (text == NULL)
		return ar_fail(AR_E_TOO_LARGE, "what", "collection");
	return ar_exec_long(&call->scope, text);
}

static void add_column(const struct ar_call *call, struct ar_sql *sql,
		       const struct data_collection *c, const struct data_field *field)
{
	enum data_type type = field->json ? DATA_JSON : field->type;

	ar_sql_add(sql, field->column);
	ar_sql_add(sql, " ");
	ar_sql_add(sql, is_postgres(call) ? postgres_types[type] : sqlite_types[type]);
	if (field->type != DATA_RELATION || field->multiple)
		return;
	ar_sql_add(sql, " REFERENCES ");
	ar_sql_add(sql, data_schema_target(c->schema, field->target)->table);
	ar_sql_add(sql, " (\"id\")");
}

AR_YIELDS int data_ddl_lock(struct ar_call *call, const struct data_collection *c)
{
	if (!is_postgres(call)) /* the unit has the database */
		return 0;
	return ar_exec(&call->scope,
		       ar_printf(call->pool, "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", c->table),
		       AR_NO_ARGS, NULL);
}

/* ---- indexes ---- */

static void index_name(const struct ar_call *call, struct ar_sql *sql, struct ar_str collection,
		       struct ar_str field, char kind)
{
	struct ar_str text = ar_strf(call->pool, "%.*s.%.*s", AR_FMT(collection), AR_FMT(field));

	/* PostgreSQL cuts names at 63 bytes: long ones are named by their digest. */
	if (text.n > 58)
		text = ar_str_sub(ar_sha256_hex(call->pool, text), 0, 40);
	ar_sql_name(sql, ar_strf(call->pool, "%c_%.*s", kind, AR_FMT(text)));
}

/* Texts that were taken before there was an index may be too long for one. */
static AR_YIELDS int check_lengths(struct ar_call *call, const struct data_collection *c,
				   const struct data_field *field)
{
	struct ar_rows rows;

	if (field->type != DATA_TEXT)
		return 0;
	if (ar_query(&call->scope, &rows,
		     ar_printf(call->pool, "SELECT 1 FROM %s WHERE length(%s) > %d LIMIT 1",
			       c->table, field->column, DATA_INDEXED_MAX),
		     AR_NO_ARGS) != 0)
		return -1;
	if (rows.count == 0)
		return 0;
	return ar_fail_field(ar_printf(call->pool, "fields.%.*s.indexed", AR_FMT(field->name)),
			     "too-long", "max", "600");
}

static AR_YIELDS int index_add(struct ar_call *call, const struct data_collection *c,
			       const struct data_field *field, char kind)
{
	struct ar_sql sql;

	if (check_lengths(call, c, field) != 0)
		return -1;
	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, kind == 'u' ? "CREATE UNIQUE INDEX " : "CREATE INDEX ");
	index_name(call, &sql, c->name, field->name, kind);
	ar_sql_add(&sql, " ON ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " (");
	ar_sql_add(&sql, field->column);
	if (kind == 'i')
		ar_sql_add(&sql, is_postgres(call) ? " NULLS FIRST, \"id\"" : ", \"id\"");
	ar_sql_add(&sql, ")");
	if (run(call, &sql) == 0)
		return 0;
	if (ar_err_is(AR_E_UNIQUE)) {
		ar_fail_field(ar_printf(call->pool, "fields.%.*s.unique", AR_FMT(field->name)),
			      "not-unique");
	}
	return -1;
}

static AR_YIELDS int index_drop(struct ar_call *call, const struct data_collection *c,
				const struct data_field *field, char kind)
{
	struct ar_sql sql;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "DROP INDEX IF EXISTS ");
	index_name(call, &sql, c->name, field->name, kind);
	return run(call, &sql);
}

/* A relation is looked up by the other side when that is deleted. */
static bool wants_index(const struct data_field *field)
{
	return field != NULL && !field->json && !field->unique &&
	       (field->indexed || field->type == DATA_RELATION);
}

static bool wants_unique(const struct data_field *field)
{
	return field != NULL && field->unique;
}

AR_YIELDS int data_ddl_index(struct ar_call *call, const struct data_collection *collection,
			     const struct data_field *before, const struct data_field *after)
{
	if (wants_unique(before) && !wants_unique(after) &&
	    index_drop(call, collection, before, 'u') != 0)
		return -1;
	if (wants_index(before) && !wants_index(after) &&
	    index_drop(call, collection, before, 'i') != 0)
		return -1;
	if (!wants_unique(before) && wants_unique(after) &&
	    index_add(call, collection, after, 'u') != 0)
		return -1;
	if (!wants_index(before) && wants_index(after))
		return index_add(call, collection, after, 'i');
	return 0;
}

/* ---- tables ---- */

/* Most lists that ask for an order ask for this one. */
static AR_YIELDS int created_index(struct ar_call *call, const struct data_collection *c)
{
	struct ar_sql sql;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "CREATE INDEX ");
	index_name(call, &sql, c->name, AR_STR("created"), 'i');
	ar_sql_add(&sql, " ON ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " (\"created\", \"id\")");
	return run(call, &sql);
}

AR_YIELDS int data_ddl_create(struct ar_call *call, const struct data_collection *c)
{
	const char *text = is_postgres(call) ? PG_TEXT : "TEXT";
	struct ar_sql sql;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "CREATE TABLE ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " (\"id\" ");
	ar_sql_add(&sql, text);
	ar_sql_add(&sql, " NOT NULL PRIMARY KEY, \"created\" ");
	ar_sql_add(&sql, text);
	ar_sql_add(&sql, " NOT NULL, \"updated\" ");
	ar_sql_add(&sql, text);
	ar_sql_add(&sql, " NOT NULL, \"ar_revision\" BIGINT NOT NULL");
	for (size_t i = 0; i < c->nfields; i++) {
		ar_sql_add(&sql, ", ");
		add_column(call, &sql, c, &c->fields[i]);
	}
	/* Not WITHOUT ROWID: a record of 1 KB would take a page of its own, and each step through an
	 * index a search among whole records. */
	ar_sql_add(&sql, ")");
	if (run(call, &sql) != 0 || created_index(call, c) != 0)
		return -1;
	for (size_t i = 0; i < c->nfields; i++)
		if (data_ddl_index(call, c, NULL, &c->fields[i]) != 0)
			return -1;
	return 0;
}

AR_YIELDS int data_ddl_drop(struct ar_call *call, const struct data_collection *c)
{
	struct ar_sql sql;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "DROP TABLE ");
	ar_sql_add(&sql, c->table);
	return run(call, &sql);
}

AR_YIELDS int data_ddl_add_field(struct ar_call *call, const struct data_collection *c,
				 const struct data_field *field)
{
	struct ar_sql sql;

	ar_sql_init(&sql, call->pool);
	ar_sql_add(&sql, "ALTER TABLE ");
	ar_sql_add(&sql, c->table);
	ar_sql_add(&sql, " ADD COLUMN ");
	add_column(call, &sql, c, field);
	if (run(call, &sql) != 0)
		return -1;
	return data_ddl_index(call, c, NULL, field);
}

/* Its index goes first; what is to be done with the column is in `what`. */
static AR_YIELDS int column_open(struct ar_call *call, const struct data_collection *c,
				 const struct data_field *field, const char *what,
				 struct ar_sql *sql)
{
	if (data_ddl_index(call, c, field, NULL) != 0)
		return -1;
	ar_sql_init(sql, call->pool);
	ar_sql_add(sql, "ALTER TABLE ");
	ar_sql_add(sql, c->table);
	ar_sql_add(sql, what);
	ar_sql_add(sql, field->column);
	return 0;
}

AR_YIELDS int data_ddl_drop_field(struct ar_call *call, const struct data_collection *c,
				  const struct data_field *field)
{
	struct ar_sql sql;

	return column_open(call, c, field, " DROP COLUMN ", &sql) == 0 ? run(call, &sql) : -1;
}

AR_YIELDS int data_ddl_rename_field(struct ar_call *call, const struct data_collection *c,
				    const struct data_field *field, struct ar_str name)
{
	struct ar_sql sql;

	if (column_open(call, c, field, " RENAME COLUMN ", &sql) != 0)
		return -1;
	ar_sql_add(&sql, " TO ");
	ar_sql_name(&sql, name);
	return run(call, &sql);
}
