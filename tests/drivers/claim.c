/*
 * claim.c - one server at a time on a PostgreSQL: a second one is refused, a session that ends is
 * replaced, and a server whose place was taken says so and writes no more.
 */
#include "store/postgres/postgres_int.h"
#include "tests/drivers/rig.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>

static struct rig rig;
static atomic_int losses;

static void lost(void)
{
	atomic_fetch_add(&losses, 1);
}

static void ask(PGconn *h, const char *sql)
{
	PGresult *result = PQexec(h, sql);

	CHECK(PQresultStatus(result) == PGRES_TUPLES_OK);
	PQclear(result);
}

/* The sessions of apprun, as an administrator would end them. */
static void end_sessions(PGconn *h)
{
	ask(h, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	       " WHERE pid <> pg_backend_pid() AND application_name = 'apprun'");
}

/* A claim that somebody has, or waits for: sessions share another lock. */
static AR_YIELDS void await_locks(struct ar_db *db, const char *granted)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = "
		 "'ExclusiveLock' AND %s",
		 granted);
	while (rig_count(db, sql) == 0)
		CHECK(ar_sleep(5) == 0);
}

static AR_YIELDS bool writes(struct ar_db *db)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	bool ok;

	ar_scope_init(&scope, db, pool);
	ok = ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0 &&
	     ar_commit(&scope) == 0;
	if (!ok)
		CHECK(ar_err_is(AR_E_BUSY) || ar_err_is(AR_E_STORE));
	ar_rollback(&scope);
	ar_err_clear();
	ar_pool_free(pool);
	return ok;
}

static AR_YIELDS bool writes_within(struct ar_db *db, int64_t ms)
{
	int64_t end = ar_mono_ms() + ms;

	while (!writes(db)) {
		if (ar_mono_ms() > end)
			return false;
		CHECK(ar_sleep(20) == 0);
	}
	return true;
}

static void second_is_refused_body(void *arg, int index)
{
	struct ar_store *second;

	CHECK(ar_store_claim(rig.store, lost) == 0);
	CHECK(ar_store_open(&rig.store->options, &second) == 0);
	CHECK(ar_store_claim(second, lost) == -1);
	CHECK(ar_err()->def == AR_E_BUSY);
	CHECK(strstr(ar_err()->why, "another apprun serves this database (session ") != NULL);
	ar_err_clear();
	pg_claim_end(rig.store);
	CHECK(ar_store_claim(second, lost) == 0);
	ar_store_close(second);
	CHECK(ar_store_claim(rig.store, lost) == 0);
}

static void a_second_server_is_refused(void **state)
{
	rig_once(&rig, NULL, second_is_refused_body);
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, name, &value, &n) == 0 ? value : 0;
}

/* Sockets that notice within so many seconds that the server is out of reach. */
static int sockets_within(int seconds)
{
	int found = 0;

	for (int fd = 0; fd < 256; fd++) {
		int wait = option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			   option(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
				   option(fd, IPPROTO_TCP, TCP_KEEPCNT);

		found += option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0 && wait > 0 && wait < seconds &&
			 option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) < seconds * 1000;
	}
	return found;
}

/* The server frees the lock of who is out of reach after 25 s. */
static void cut_off_body(void *arg, int index)
{
	CHECK(sockets_within(20) == 0);
	CHECK(ar_store_claim(rig.store, lost) == 0);
	CHECK(sockets_within(20) == 1);
}

static void who_is_cut_off_knows_it_before_the_server(void **state)
{
	rig_once(&rig, NULL, cut_off_body);
}

static void session_body(void *arg, int index)
{
	PGconn *admin = PQconnectdb(rig.store->options.url.p), *other;
	struct ar_db *db = rig_db(&rig, "claimed");

	CHECK(ar_store_claim(rig.store, lost) == 0);
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	for (int i = 0; i < 3; i++) {
		end_sessions(admin);
		CHECK(writes_within(db, 120000));
		await_locks(db, "granted");
	}
	CHECK(losses == 0);
	/* Another one has waited for the lock: now it has it, and keeps it. */
	other = PQconnectdb(rig.store->options.url.p);
	CHECK(PQsendQuery(other, "SELECT pg_advisory_lock(" PG_CLAIM_KEY ")") == 1);
	await_locks(db, "NOT granted");
	end_sessions(admin);
	PQclear(PQgetResult(other));
	while (pg_claim_check(rig.store) == 0)
		CHECK(ar_sleep(5) == 0);
	ar_err_clear();
	while (losses == 0) {
		CHECK(!writes(db));
		CHECK(ar_sleep(20) == 0);
	}
	CHECK(!writes(db));
	CHECK(losses == 1);
	PQfinish(other);
	PQfinish(admin);
	ar_db_release(db);
}

static void a_session_that_ends_is_replaced_unless_another_was_faster(void **state)
{
	losses = 0;
	rig_once(&rig, NULL, session_body);
}

/* One had it while our session was gone, and is gone itself: its changes are not in our caches. */
static void between_body(void *arg, int index)
{
	PGconn *admin = PQconnectdb(rig.store->options.url.p), *other;
	struct ar_db *db = rig_db(&rig, "between");

	CHECK(ar_store_claim(rig.store, lost) == 0);
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	other = PQconnectdb(rig.store->options.url.p);
	CHECK(PQsendQuery(other, "SELECT pg_advisory_lock(" PG_CLAIM_KEY ")") == 1);
	await_locks(db, "NOT granted");
	end_sessions(admin);
	PQclear(PQgetResult(other));
	CHECK(PQgetResult(other) == NULL);
	ask(other, "UPDATE apprun.ar_holder SET token = 'the other one' RETURNING token");
	PQfinish(other);
	while (losses == 0 && ar_sleep(20) == 0)
		ar_err_clear();
	CHECK(!writes(db));
	pg_claim_end(rig.store);
	CHECK(ar_store_claim(rig.store, lost) == 0); /* as a new process would */
	CHECK(writes_within(db, 120000));
	CHECK(losses == 1);
	PQfinish(admin);
	ar_db_release(db);
}

static void a_server_that_had_it_in_between_is_noticed(void **state)
{
	losses = 0;
	rig_once(&rig, NULL, between_body);
}

static int make(void **state)
{
	rig_make(&rig, "claim");
	return 0;
}

static int unmake(void **state)
{
	rig_remove(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_server_is_refused),
		cmocka_unit_test(who_is_cut_off_knows_it_before_the_server),
		cmocka_unit_test(a_session_that_ends_is_replaced_unless_another_was_faster),
		cmocka_unit_test(a_server_that_had_it_in_between_is_noticed),
	};

	return cmocka_run_group_tests_name("claim", tests, make, unmake);
}
