/*
 * engine_sqlite.c - SQLite answers, in memory.
 */
#include <sqlite3.h>

#include "expr/tests/engine.h"

static sqlite3 *db;

static void bind(sqlite3_stmt *stmt, int at, const struct ar_json *v, struct ar_pool *pool)
{
	struct ar_str text;

	switch (v->type) {
	case AR_NULL:
		sqlite3_bind_null(stmt, at);
		break;
	case AR_BOOL:
		sqlite3_bind_int(stmt, at, v->b);
		break;
	case AR_INT:
		sqlite3_bind_int64(stmt, at, v->i);
		break;
	case AR_FLOAT:
		sqlite3_bind_double(stmt, at, v->f);
		break;
	default:
		text = v->type == AR_STRING ? v->s : ar_json_print(pool, v);
		sqlite3_bind_text(stmt, at, text.n ? text.p : "", (int)text.n, SQLITE_TRANSIENT);
	}
}

static bool sqlite_open(void)
{
	return sqlite3_open(":memory:", &db) == SQLITE_OK &&
	       sqlite3_exec(db,
			    "CREATE TABLE r (id INTEGER PRIMARY KEY, i INTEGER, k INTEGER, f REAL, "
			    "g REAL, "
			    "s TEXT, t TEXT, b INTEGER, c INTEGER, d TEXT, w TEXT, x TEXT, j TEXT, "
			    "l TEXT)",
			    NULL, NULL, NULL) == SQLITE_OK;
}

static void sqlite_fill(struct ar_pool *pool, struct ar_json cells[ROWS][COLUMNS_MAX])
{
	sqlite3_stmt *stmt;

	sqlite3_exec(db, "DELETE FROM r", NULL, NULL, NULL);
	sqlite3_prepare_v2(db, "INSERT INTO r VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1, &stmt,
			   NULL);
	for (int row = 0; row < ROWS; row++) {
		for (size_t i = 0; i < columns_count; i++) {
			struct ar_json v = cells[row][i];

			if (columns[i].type == AR_X_JSON && v.type != AR_NULL)
				v = AR_J_STR(ar_json_print(pool, &cells[row][i]));
			bind(stmt, (int)i + 2, &v, pool);
		}
		sqlite3_bind_int(stmt, 1, row);
		sqlite3_step(stmt);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
}

static uint64_t sqlite_ask(struct ar_pool *pool, struct ar_sql *sql, const char **problem)
{
	sqlite3_stmt *stmt = NULL;
	uint64_t rows = 0;
	int rc;
	char *text = ar_printf(pool, "SELECT id FROM r WHERE %s", ar_sql_text(sql));

	if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK) {
		*problem = sqlite3_errmsg(db);
		return 0;
	}
	for (size_t i = 0; i < sql->nargs; i++)
		bind(stmt, (int)i + 1, &sql->args[i], pool);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rows |= UINT64_C(1) << sqlite3_column_int(stmt, 0);
	if (rc != SQLITE_DONE)
		*problem = sqlite3_errmsg(db);
	sqlite3_finalize(stmt);
	return rows;
}

const struct engine engine = { AR_EXPR_SQLITE, sqlite_open, sqlite_fill, sqlite_ask };
