/*
 * fence.c - who lost the databases to another server writes no more, what it had begun included.
 *
 * A session of a server that has a claim enters when it is opened: it takes a lock that such
 * sessions share, for as long as it lives, and sees that the claim is still its server's. Who gets a
 * claim closes the fence before it signs: it takes that lock alone, which means that every session
 * of the server before has ended, with what it was committing. It ends them itself. A session that
 * comes later finds the other's name. Units of work pay nothing for this.
 *
 * May surprise: to end a session takes its role, or the right to (pg_signal_backend). Without it the
 * claim fails after 10 s when there are any.
 */
#include "store/postgres/postgres_int.h"

#include <poll.h>
#include <stdio.h>

#define FENCE_WAIT "10s"
#define PAUSE_MS   50

static const char enter[] = "SELECT pg_catalog.pg_advisory_lock_shared(" PG_FENCE_KEY ");"
			    " SELECT token FROM " PG_HOLDER;
static const char close_now[] = "SELECT pg_catalog.pg_try_advisory_lock(" PG_FENCE_KEY ")";
/* While it waits in the line nobody else gets in. */
static const char close_slowly[] = "SET lock_timeout = '" FENCE_WAIT "';"
				   " SELECT pg_catalog.pg_advisory_lock(" PG_FENCE_KEY ")";
static const char inside[] =
	"SELECT l.pid FROM pg_catalog.pg_locks l WHERE " PG_LOCKED(PG_FENCE_KEY);

int pg_fence_enter(PGconn *h, const char *token)
{
	PGresult *result = PQexec(h, enter);
	int rc = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		rc = pg_result_fail(result, "fence");
	else if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, 0), token) != 0)
		rc = ar_fail_why(AR_E_BUSY, "another apprun has taken the database");
	PQclear(result);
	return rc;
}

/* One that may not be ended stays; the others go. */
static void end_inside(PGconn *h)
{
	PGresult *pids = PQexec(h, inside);

	for (int i = 0; i < PQntuples(pids); i++) {
		char sql[80];

		snprintf(sql, sizeof(sql), "SELECT pg_catalog.pg_terminate_backend(%s)",
			 PQgetvalue(pids, i, 0));
		PQclear(PQexec(h, sql));
	}
	PQclear(pids);
}

/* Until the lock is there, or an error. */
static bool close_ending(PGconn *h, PGconn *other)
{
	struct pollfd p = { .fd = PQsocket(h), .events = POLLIN };
	bool ok = PQsendQuery(h, close_slowly) == 1;
	PGresult *result;

	while (ok && PQisBusy(h)) {
		end_inside(other);
		if (poll(&p, 1, PAUSE_MS) != 0)
			ok = PQconsumeInput(h) == 1;
	}
	while (ok && (result = PQgetResult(h)) != NULL) {
		ExecStatusType status = PQresultStatus(result);

		ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
		PQclear(result);
	}
	return ok;
}

int pg_fence_close(PGconn *h, const char *url)
{
	char answer[8] = "", who[200] = "";
	PGconn *other;
	bool ok;

	if (pg_ask(h, close_now, answer, sizeof(answer)) && answer[0] == 't')
		return 0;
	ar_info("store", "the sessions of the server before are ended");
	other = pg_connect(url);
	ok = close_ending(h, other);
	if (!ok)
		pg_ask(other, PG_WHO(PG_FENCE_KEY), who, sizeof(who));
	PQfinish(other);
	if (ok)
		return 0;
	return ar_fail_why(AR_E_BUSY, "what the server before had open does not end (%s)", who);
}

int pg_fence_open(PGconn *h)
{
	char answer[8] = "";

	if (pg_ask(h, "SELECT pg_catalog.pg_advisory_unlock(" PG_FENCE_KEY ")", answer,
		   sizeof(answer)) &&
	    answer[0] == 't')
		return 0;
	return ar_fail_why(AR_E_BUSY, "fence: %s", PQerrorMessage(h));
}
