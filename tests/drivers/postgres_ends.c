/*
 * postgres_ends.c - a PostgreSQL server that ends sessions, restarts, or falls silent in the
 * middle of a commit.
 */
#include "tests/drivers/postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* Ends all other sessions of this server, as an administrator would. */
static void end_sessions(struct ar_db *db)
{
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	rows_of(&scope,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		" WHERE pid <> pg_backend_pid() AND application_name = 'apprun'",
		&rows);
}

TEST(ended_sessions_are_not_noticed)
{
	struct ar_db *db = rig_db(&rig, "ended");

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	for (int i = 0; i < 5; i++) {
		rig_fibers(8, warm_up, db);
		end_sessions(db);
		if (i % 2 == 0)
			CHECK(ar_sleep(10) == 0); /* the end has arrived, or is on its way */
		CHECK(rig_count(db, "SELECT count(*) FROM t") == i);
		end_sessions(db);
		rig_exec(db, "INSERT INTO t (n) VALUES (1)");
		end_sessions(db);
	}
	ar_db_release(db);
}

TEST(a_unit_whose_session_ends_is_lost)
{
	struct ar_db *db = rig_db(&rig, "lost");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	end_sessions(db);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (2)", AR_NO_ARGS, NULL), AR_E_BUSY);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (3)", AR_NO_ARGS, NULL), AR_E_STORE);
	CHECK(ar_savepoint(&scope) == -1);
	CHECK_FAILS(ar_commit(&scope), AR_E_STORE);
	CHECK(scope.uow == NULL);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 4);
	/* Only the commit finds it. */
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (8)", AR_NO_ARGS, NULL) == 0);
	end_sessions(db);
	CHECK_FAILS(ar_commit(&scope), AR_E_BUSY);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 4);
	ar_db_release(db);
}

static void harness(const char *what)
{
	char command[600];
	const char *folder = getenv("APPRUN_TEST_POSTGRES");

	CHECK(folder != NULL);
	snprintf(command, sizeof(command),
		 SOURCE_ROOT "/tests/harness/postgres.sh %s %s >/dev/null", what, folder);
	CHECK(system(command) == 0);
}

TEST(a_server_that_restarts)
{
	struct ar_db *db = rig_db(&rig, "restart");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_exec(db, "INSERT INTO t (n) VALUES (1)");
	rig_fibers(4, warm_up, db);
	harness("stop");
	ar_scope_init(&scope, db, pool);
	CHECK_FAILS(ar_query(&scope, &rows, "SELECT n FROM t", AR_NO_ARGS), AR_E_BUSY);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (2)", AR_NO_ARGS, NULL), AR_E_BUSY);
	CHECK(scope.uow == NULL || ar_commit(&scope) != 0);
	harness("start");
	rig_exec(db, "INSERT INTO t (n) VALUES (4)");
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	ar_db_release(db);
}

/* ---- commits whose answer never comes: a proxy that cuts the line ---- */

enum cut { CUT_NOTHING, CUT_NEXT, CUT_BEFORE_COMMIT, CUT_AFTER_COMMIT };
static _Atomic enum cut cut;
static _Atomic int cuts;
static int proxy_fd;

static bool has(const char *bytes, size_t n, const char *word)
{
	return memmem(bytes, n, word, strlen(word) + 1) != NULL;
}

static bool pass(int from, int to, bool from_client)
{
	char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));
	enum cut now = cut;

	if (n <= 0)
		return false;
	if ((now == CUT_NEXT && from_client) ||
	    (now == CUT_BEFORE_COMMIT && from_client && has(bytes, (size_t)n, "COMMIT")) ||
	    (now == CUT_AFTER_COMMIT && !from_client && has(bytes, (size_t)n, "COMMIT"))) {
		cut = CUT_NOTHING;
		cuts++;
		return false;
	}
	return write(to, bytes, (size_t)n) == n;
}

static void *proxy_line(void *arg)
{
	int client = (int)(intptr_t)arg, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)server_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd p[2] = { { .fd = client, .events = POLLIN },
			       { .fd = server, .events = POLLIN } };

	if (connect(server, (struct sockaddr *)&to, sizeof(to)) == 0) {
		while (poll(p, 2, -1) > 0) {
			if (p[0].revents != 0 && !pass(client, server, true))
				break;
			if (p[1].revents != 0 && !pass(server, client, false))
				break;
		}
	}
	close(client);
	close(server);
	return NULL;
}

static void *proxy(void *arg)
{
	int client;

	while ((client = accept4(proxy_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		pthread_t line;

		pthread_create(&line, NULL, proxy_line, (void *)(intptr_t)client);
		pthread_detach(line);
	}
	return NULL;
}

static pthread_t proxy_thread;

static int proxy_start(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	char url[80];

	proxy_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(proxy_fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(proxy_fd, 50), 0);
	assert_int_equal(getsockname(proxy_fd, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(pthread_create(&proxy_thread, NULL, proxy, NULL), 0);
	snprintf(url, sizeof(url), "postgres://apprun@127.0.0.1:%d/postgres", ntohs(at.sin_port));
	*state = strdup(getenv("APPRUN_TEST_STORE"));
	setenv("APPRUN_TEST_STORE", url, 1);
	return 0;
}

static int proxy_stop(void **state)
{
	shutdown(proxy_fd, SHUT_RDWR);
	pthread_join(proxy_thread, NULL);
	close(proxy_fd);
	setenv("APPRUN_TEST_STORE", *state, 1);
	free(*state);
	return 0;
}

TEST(the_fate_of_a_commit_is_found_out)
{
	struct ar_db *db = rig_db(&rig, "fate");
	struct ar_scope scope;
	int64_t sum = 0;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	cuts = 0;
	for (int i = 0; i < 6; i++) {
		ar_scope_init(&scope, db, pool);
		/* the first thing that it does is not always what writes */
		if (i % 3 == 1)
			CHECK(ar_begin(&scope) == 0 && ar_savepoint(&scope) == 0 &&
			      ar_savepoint_keep(&scope) == 0);
		if (i % 3 == 2)
			CHECK(ar_exec_long(&scope, "CREATE TABLE IF NOT EXISTS u (n BIGINT)") == 0);
		CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (?)", AR_ARGS(AR_J_INT(1 << i)),
			      NULL) == 0);
		cut = i % 2 == 0 ? CUT_AFTER_COMMIT : CUT_BEFORE_COMMIT;
		if (i % 2 == 0) {
			CHECK(ar_commit(&scope) == 0); /* it was done: that is what counts */
			CHECK(ar_err() == NULL);
			sum += 1 << i;
		} else {
			CHECK_FAILS(ar_commit(&scope), AR_E_BUSY);
		}
		CHECK(cuts == i + 1);
		CHECK(rig_count(db, "SELECT sum(n) FROM t") == sum);
	}
	ar_db_release(db);
}

TEST(work_moves_from_a_line_that_is_cut)
{
	struct ar_db *db = rig_db(&rig, "cut");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_fibers(8, warm_up, db);
	cuts = 0;
	for (int i = 0; i < 4; i++) {
		cut = CUT_NEXT;
		CHECK(rig_count(db, "SELECT count(*) FROM t") == i);
		CHECK(cuts == 4 * i + 1);
		cut = CUT_NEXT;
		rig_exec(db, "INSERT INTO t (n) VALUES (1)");
		CHECK(cuts == 4 * i + 2);
		rig_fibers(8, warm_up, db);
		ar_scope_init(&scope, db, pool);
		cut = CUT_NEXT;
		CHECK(ar_exec_long(&scope, "CREATE TABLE IF NOT EXISTS u (n BIGINT)") == 0);
		CHECK(cuts == 4 * i + 3);
		cut = CUT_NEXT; /* in the middle of a unit there is nowhere to go */
		CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL),
			    AR_E_BUSY);
		CHECK(cuts == 4 * i + 4);
		ar_rollback(&scope);
	}
	ar_db_release(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ended_sessions_are_not_noticed),
		cmocka_unit_test(a_unit_whose_session_ends_is_lost),
		cmocka_unit_test_setup_teardown(the_fate_of_a_commit_is_found_out, proxy_start,
						proxy_stop),
		cmocka_unit_test_setup_teardown(work_moves_from_a_line_that_is_cut, proxy_start,
						proxy_stop),
		cmocka_unit_test(a_server_that_restarts),
	};

	return cmocka_run_group_tests_name("postgres", tests, make, unmake);
}
