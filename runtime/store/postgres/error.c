/*
 * error.c - what the server refuses, in the store's words.
 *
 * SQLSTATE decides; the server's text goes to the log alone. The columns of a unique constraint are
 * read from the detail "Key (a, b)=(x, y) already exists.", whose form is the same in every
 * language of the server.
 */
#include "store/postgres/postgres_int.h"

static const struct {
	const char *sqlstate; /* or its class, two characters */
	const struct ar_err_def *def;
} rows[] = {
	{ "23505", AR_E_UNIQUE },      { "23503", AR_E_REFERENCE },
	{ "23001", AR_E_REFERENCE },   { "40001", AR_E_BUSY }, /* could not serialize */
	{ "40P01", AR_E_BUSY },                                /* deadlock */
	{ "55P03", AR_E_BUSY },                                /* lock_timeout */
	{ "57014", AR_E_DEADLINE },                            /* statement_timeout */
	{ "57P", AR_E_BUSY },                                  /* the server stops or starts */
	{ "25P03", AR_E_BUSY }, /* idle_in_transaction_session_timeout */
	{ "53", AR_E_BUSY },    /* out of connections, memory, disk */
	{ "08", AR_E_BUSY },    /* the connection */
	{ "3F000", AR_E_NO_DATABASE }, { "42P06", AR_E_CONFLICT },
};

bool pg_result_is(const PGresult *result, const char *sqlstate)
{
	const char *state = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state != NULL && strncmp(state, sqlstate, strlen(sqlstate)) == 0;
}

/* "a, \"B c\"" to "a,B c"; false when it is not a list of plain columns. */
static bool columns_plain(struct ar_str list, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < list.n; i++) {
		char c = list.p[i];

		if (c == '(' || c == ')' || c == ':' || n + 2 > cap)
			return false; /* an expression */
		if (c == '"' || (c == ' ' && n > 0 && out[n - 1] == ','))
			continue;
		out[n++] = c;
	}
	out[n] = '\0';
	return n > 0;
}

static int unique_fail(const PGresult *result)
{
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *name = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	const char *open = detail == NULL ? NULL : strchr(detail, '(');
	const char *close = open == NULL ? NULL : strstr(open, ")=(");
	char columns[512];

	if (close != NULL &&
	    columns_plain(ar_str_n(open + 1, (size_t)(close - open - 1)), columns, sizeof(columns)))
		name = columns;
	return ar_fail(AR_E_UNIQUE, "constraint", name == NULL ? "" : name);
}

int pg_result_fail(const PGresult *result, const char *sql)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const struct ar_err_def *def = AR_E_STORE;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (pg_result_is(result, rows[i].sqlstate)) {
			def = rows[i].def;
			break;
		}
	}
	if (def == AR_E_UNIQUE)
		return unique_fail(result);
	if (text == NULL)
		text = PQresultErrorMessage(result);
	return ar_fail_why(def, "%s %s: %.300s", state == NULL ? "-" : state, text, sql);
}
