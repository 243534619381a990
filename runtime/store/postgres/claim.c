/*
 * claim.c - one server at a time on a database: a session that holds an advisory lock.
 *
 * What a process keeps in memory about its tenants (the epochs of caches, who delivers events) is
 * its own, so a second server on the same database is refused. The lock lives as long as its
 * session; a thread watches that. While the session is gone, units of work are refused (busy) and
 * the thread takes the lock anew, unless another server was faster: then `lost` is called. So it is
 * when another had it in between and is gone: what it changed, a session that was revoked, say, is
 * not in our caches. A table of one row says who had it last.
 *
 * A process that is killed frees the lock with its socket. A machine that vanishes frees it when the
 * server's keepalive gives up, after 25 s; ours does before. What a server that lost the lock without
 * knowing it has begun is not stored: fence.c.
 */
#include "store/postgres/postgres_int.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS  3000 /* for a server that has just ended */
#define PAUSE_MS 100

struct pg_claim {
	const char *url; /* the store's */
	void (*lost)(void);
	PGconn *h; /* the thread's, once it runs */
	atomic_bool held;
	int stop;       /* eventfd */
	char token[40]; /* ours, in the table */
	pthread_t thread;
};

static const char session[] =
	PG_KEEPALIVE " SET search_path = ''; SELECT pg_catalog.set_config(name, '0', false)"
		     " FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'";

static const char holder_table[] =
	"SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('schema " PG_PLATFORM_SCHEMA
	"')); CREATE SCHEMA IF NOT EXISTS " PG_PLATFORM_SCHEMA
	"; CREATE TABLE IF NOT EXISTS " PG_HOLDER
	" (one BOOLEAN PRIMARY KEY CHECK (one), token TEXT NOT NULL)";

/* After 14 s without a sign of the server, whatever the url says. Not for a socket of this machine. */
static void give_up_soon(int fd)
{
	static const int values[][2] = {
		{ TCP_KEEPIDLE, 5 },
		{ TCP_KEEPINTVL, 3 },
		{ TCP_KEEPCNT, 3 },
		{ TCP_USER_TIMEOUT, 14000 },
	};
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	for (size_t i = 0; i < AR_COUNT(values); i++)
		setsockopt(fd, IPPROTO_TCP, values[i][0], &values[i][1], sizeof(values[i][1]));
}

enum taken { TAKEN, TAKEN_BY_ANOTHER, UNREACHED };

static int sign(struct pg_claim *claim)
{
	char sql[256], answer[sizeof(claim->token)];
	PGresult *made = PQexec(claim->h, holder_table);
	bool ok = PQresultStatus(made) == PGRES_COMMAND_OK;

	PQclear(made);
	snprintf(claim->token, sizeof(claim->token), "%016" PRIx64 "%016" PRIx64, ar_random_u64(),
		 ar_random_u64());
	snprintf(sql, sizeof(sql),
		 "INSERT INTO " PG_HOLDER " (one, token) VALUES (true, '%s') ON CONFLICT (one)"
		 " DO UPDATE SET token = excluded.token RETURNING token",
		 claim->token);
	if (ok && pg_ask(claim->h, sql, answer, sizeof(answer)))
		return 0;
	return ar_fail_why(AR_E_STORE, "claim: %s", PQerrorMessage(claim->h));
}

/* The lock is ours for the first time: until now it was another's, or nobody's. */
static int move_in(struct pg_claim *claim)
{
	if (pg_fence_close(claim->h, claim->url) != 0 || sign(claim) != 0)
		return -1;
	return pg_fence_open(claim->h);
}

/* It is ours again: was it another's in between? */
static enum taken signed_last(struct pg_claim *claim)
{
	char token[sizeof(claim->token)] = "";

	if (!pg_ask(claim->h, "SELECT token FROM " PG_HOLDER, token, sizeof(token)))
		return UNREACHED;
	return strcmp(token, claim->token) == 0 ? TAKEN : TAKEN_BY_ANOTHER;
}

static enum taken take(struct pg_claim *claim)
{
	char answer[8];

	if (claim->h == NULL || PQstatus(claim->h) != CONNECTION_OK) {
		PQfinish(claim->h);
		claim->h = pg_connect(claim->url);
		give_up_soon(PQsocket(claim->h));
		PQclear(PQexec(claim->h, session));
	}
	if (!pg_ask(claim->h, "SELECT pg_catalog.pg_try_advisory_lock(" PG_CLAIM_KEY ")", answer,
		    sizeof(answer)))
		return UNREACHED;
	return answer[0] == 't' ? TAKEN : TAKEN_BY_ANOTHER;
}

/* ms < 0: for ever. True when the claim ends. */
static bool stopped(const struct pg_claim *claim, int fd, int ms)
{
	struct pollfd polls[] = { { claim->stop, POLLIN, 0 }, { fd, POLLIN, 0 } };

	while (poll(polls, fd >= 0 ? 2 : 1, ms) < 0 && errno == EINTR)
		;
	return polls[0].revents != 0;
}

/* Until the session is gone (false), or the claim ends (true). */
static bool watch(struct pg_claim *claim)
{
	while (PQstatus(claim->h) == CONNECTION_OK) {
		if (stopped(claim, PQsocket(claim->h), -1))
			return true;
		PQconsumeInput(claim->h);
	}
	return false;
}

/* False: the claim ends, or has gone to another server. */
static bool take_again(struct pg_claim *claim)
{
	int64_t taken_since = 0;

	while (!stopped(claim, -1, PAUSE_MS)) {
		enum taken taken = take(claim);

		if (taken == TAKEN) {
			taken = signed_last(claim);
			if (taken == TAKEN)
				return true;
			if (taken == TAKEN_BY_ANOTHER) {
				claim->lost();
				return false;
			}
		}
		if (taken == UNREACHED)
			taken_since = 0;
		else if (taken_since == 0)
			taken_since =
				ar_mono_ms(); /* perhaps by our own session, which is ending */
		else if (ar_mono_ms() - taken_since > WAIT_MS) {
			claim->lost();
			return false;
		}
	}
	return false;
}

static void *claim_thread(void *arg)
{
	struct pg_claim *claim = arg;

	for (;;) {
		if (watch(claim))
			return NULL;
		atomic_store(&claim->held, false);
		ar_warn("store", "the session that holds the database is gone");
		if (!take_again(claim))
			return NULL;
		atomic_store(&claim->held, true);
		ar_info("store", "the database is held again");
	}
}

static int take_first(struct pg_claim *claim)
{
	int64_t end = ar_mono_ms() + WAIT_MS;
	char holder[200] = "";

	for (;;) {
		switch (take(claim)) {
		case TAKEN:
			return move_in(claim);
		case UNREACHED:
			return ar_fail_why(AR_E_BUSY, "cannot connect: %s",
					   PQerrorMessage(claim->h));
		case TAKEN_BY_ANOTHER:
			break;
		}
		if (ar_mono_ms() >= end)
			break;
		stopped(claim, -1, PAUSE_MS);
	}
	pg_ask(claim->h, PG_WHO(PG_CLAIM_KEY), holder, sizeof(holder));
	return ar_fail_why(AR_E_BUSY, "another apprun serves this database (%s)", holder);
}

static void claim_free(struct pg_claim *claim)
{
	PQfinish(claim->h);
	close(claim->stop);
	ar_heap_free(claim);
}

int pg_claim(struct ar_store *store, void (*lost)(void))
{
	struct pg_claim *claim = ar_heap_new(struct pg_claim);

	claim->url = store->options.url.p;
	claim->lost = lost;
	claim->stop = eventfd(0, EFD_CLOEXEC);
	if (take_first(claim) != 0) {
		claim_free(claim);
		return -1;
	}
	atomic_store(&claim->held, true);
	if (pthread_create(&claim->thread, NULL, claim_thread, claim) != 0) {
		claim_free(claim);
		return ar_fail_why(AR_E_STORE, "no thread for the claim");
	}
	store->driver = claim;
	return 0;
}

void pg_claim_end(struct ar_store *store)
{
	struct pg_claim *claim = store->driver;

	if (claim == NULL)
		return;
	eventfd_write(claim->stop, 1);
	pthread_join(claim->thread, NULL);
	claim_free(claim);
	store->driver = NULL;
}

int pg_claim_check(const struct ar_store *store)
{
	const struct pg_claim *claim = store->driver;

	if (claim == NULL || atomic_load_explicit(&claim->held, memory_order_relaxed))
		return 0;
	return ar_fail_why(AR_E_BUSY, "the database is not held");
}

const char *pg_claim_token(const struct ar_store *store)
{
	const struct pg_claim *claim = store->driver;

	return claim != NULL ? claim->token : NULL;
}
