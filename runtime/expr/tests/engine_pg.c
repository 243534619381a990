/*
 * engine_pg.c - PostgreSQL answers, in a temporary table of one connection.
 */
#include <libpq-fe.h>
#include <stdlib.h>

#include "expr/tests/engine.h"

static PGconn *db;

static bool run(const char *sql)
{
	PGresult *result = PQexec(db, sql);
	bool good = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return good;
}

static bool pg_open(void)
{
	const char *where = getenv("APPRUN_TEST_STORE");

	if (where == NULL)
		return false;
	db = PQconnectdb(where);
	return PQstatus(db) == CONNECTION_OK && run("CREATE TEMPORARY TABLE r (id int PRIMARY KEY, "
						    "i bigint, k bigint, f float8, g float8, "
						    "s text, t text, b boolean, c boolean, d text, "
						    "w text, x text, j jsonb, l jsonb)");
}

static const char *as_text(struct ar_pool *pool, const struct ar_json *v, bool json)
{
	if (v->type == AR_NULL)
		return NULL;
	if (json || v->type != AR_STRING)
		return ar_strz(pool, ar_json_print(pool, v));
	return ar_strz(pool, v->s);
}

static void pg_fill(struct ar_pool *pool, struct ar_json cells[ROWS][COLUMNS_MAX])
{
	run("TRUNCATE r");
	for (int row = 0; row < ROWS; row++) {
		const char *values[COLUMNS_MAX];

		values[0] = ar_printf(pool, "%d", row);
		for (size_t i = 0; i < columns_count; i++)
			values[i + 1] = as_text(pool, &cells[row][i], columns[i].type == AR_X_JSON);
		PQclear(PQexecParams(db,
				     "INSERT INTO r VALUES "
				     "($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)",
				     14, NULL, values, NULL, NULL, 0));
	}
}

static uint64_t pg_ask(struct ar_pool *pool, struct ar_sql *sql, const char **problem)
{
	struct ar_buf *text = ar_buf_new(pool, 1 << 20);
	const char **values = ar_new_n(pool, const char *, sql->nargs + 1);
	uint64_t rows = 0;
	int n = 0;

	ar_buf_z(text, "SELECT id FROM r WHERE ");
	for (const char *p = ar_sql_text(sql); *p != '\0'; p++) {
		if (*p == '?')
			ar_buf_printf(text, "$%d", ++n);
		else
			ar_buf_char(text, *p);
	}
	for (size_t i = 0; i < sql->nargs; i++)
		values[i] = as_text(pool, &sql->args[i], false);
	PGresult *result =
		PQexecParams(db, ar_strz(pool, ar_buf_view(text)), n, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		*problem = ar_strz(pool, ar_str(PQresultErrorMessage(result)));
	for (int i = 0; i < PQntuples(result); i++)
		rows |= UINT64_C(1) << strtol(PQgetvalue(result, i, 0), NULL, 10);
	PQclear(result);
	return rows;
}

const struct engine engine = { AR_EXPR_POSTGRES, pg_open, pg_fill, pg_ask };
