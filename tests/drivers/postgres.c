/*
 * postgres.c - what only the PostgreSQL driver has: a server that ends sessions, restarts or falls
 * silent in the middle of a commit, other tenants' schemas on the same connection, stale plans, the
 * pool's limits, and the translation of SQL.
 */
#include "store/postgres/postgres_int.h"
#include "tests/drivers/rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

static struct rig rig;
static struct ar_pool *pool;
static int server_port;

#define TEST_WITH(name, ...)                                                                       \
	static void name##_body(void *arg, int index);                                             \
	static void name(void **state)                                                             \
	{                                                                                          \
		rig_once(&rig, &(struct ar_store_options){ __VA_ARGS__ }, name##_body);            \
	}                                                                                          \
	static void name##_body(void *arg, int index)
#define TEST(name) TEST_WITH(name, .idle_ms = 0)

/* ---- SQL ---- */

static void places_are_numbered(void **state)
{
	static const struct {
		const char *sql, *expected;
		unsigned places;
		bool lock;
	} rows[] = {
		{ "SELECT 1", "SELECT 1", 0, false },
		{ "SELECT ? + ?", "SELECT $1 + $2", 2, false },
		{ "SELECT ?;  \n", "SELECT $1", 1, false },
		{ "SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = $1 FOR UPDATE", 1,
		  true },
		{ "SELECT a FROM t LIMIT 1 ;", "SELECT a FROM t LIMIT 1 FOR UPDATE", 0, true },
		{ "SELECT '?', 'it''s ?', ?", "SELECT '?', 'it''s ?', $1", 1, false },
		{ "SELECT \"a?\"\"?\", ?", "SELECT \"a?\"\"?\", $1", 1, false },
		{ "SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2", 2, false },
		{ "SELECT ? /* ? /* ? */ ? */, ?", "SELECT $1 /* ? /* ? */ ? */, $2", 2, false },
		{ "SELECT $$?$$, $a$ ? $$ $a$, ?", "SELECT $$?$$, $a$ ? $$ $a$, $1", 1, false },
		{ "SELECT 5 - ?, 6 / ?", "SELECT 5 - $1, 6 / $2", 2, false },
		{ "SELECT 'open ?", "SELECT 'open ?", 0, false },
		{ "SELECT $$open ?", "SELECT $$open ?", 0, false },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		unsigned places = 99;

		assert_string_equal(pg_sql_translate(pool, rows[i].sql, rows[i].lock, &places),
				    rows[i].expected);
		assert_int_equal(places, rows[i].places);
	}
}

/* ---- sessions that the server ends ---- */

static void rows_of(struct ar_scope *scope, const char *sql, struct ar_rows *ret)
{
	CHECK(ar_query(scope, ret, sql, AR_NO_ARGS) == 0);
}

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

static void warm_up(void *arg, int index)
{
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_pool *mine = ar_pool_new();

	ar_scope_init(&scope, arg, mine);
	rows_of(&scope, "SELECT pg_sleep(0.02)", &rows);
	ar_pool_free(mine);
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

/* ---- tenants on one connection ---- */

static void uses_own_table(void *arg, int index)
{
	struct ar_db *db = ((struct ar_db **)arg)[index % 4];
	int64_t mine = index % 4;

	for (int i = 0; i < 20; i++) {
		struct ar_pool *p = ar_pool_new();
		struct ar_scope scope;
		struct ar_rows rows;

		ar_scope_init(&scope, db, p);
		rows_of(&scope, "SELECT n, current_schema() FROM t", &rows);
		CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) == mine);
		CHECK(ar_exec(&scope, "UPDATE t SET n = n WHERE n = ?", AR_ARGS(AR_J_INT(mine)),
			      NULL) == 0);
		if (i % 3 == 0) {
			ar_rollback(&scope); /* the search path must not go with it */
		} else {
			CHECK(ar_exec(&scope, "SELECT no_such_column FROM t", AR_NO_ARGS, NULL) ==
			      -1);
			CHECK(ar_commit(&scope) == 0);
		}
		CHECK(rig_count(db, "SELECT n FROM t") == mine);
		ar_pool_free(p);
	}
}

TEST_WITH(tenants_share_connections_and_nothing_else, .pg_connections = 3)
{
	struct ar_db *dbs[4];

	for (int i = 0; i < 4; i++) {
		char name[20], sql[80];

		snprintf(name, sizeof(name), "share-%d", i);
		dbs[i] = rig_db(&rig, name);
		rig_exec(dbs[i], i == 2 ? "CREATE TABLE t (x TEXT, n BIGINT)"
					: "CREATE TABLE t (n BIGINT)");
		snprintf(sql, sizeof(sql), "INSERT INTO t (n) VALUES (%d)", i);
		rig_exec(dbs[i], sql);
	}
	rig_fibers(16, uses_own_table, dbs);
	for (int i = 0; i < 4; i++)
		ar_db_release(dbs[i]);
}

TEST(a_plan_that_is_stale_is_made_anew)
{
	struct ar_db *db = rig_db(&rig, "stale");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_exec(db, "INSERT INTO t (n) VALUES (1)");
	ar_scope_init(&scope, db, pool);
	rows_of(&scope, "SELECT * FROM t", &rows);
	rig_exec(db, "ALTER TABLE t ADD COLUMN s TEXT");
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(rows.columns == 2);
	/* And in a unit, after its own change. */
	CHECK(ar_exec(&scope, "UPDATE t SET s = 'x'", AR_NO_ARGS, NULL) == 0);
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(ar_exec_long(&scope, "ALTER TABLE t DROP COLUMN n") == 0);
	rows_of(&scope, "SELECT * FROM t", &rows);
	CHECK(rows.columns == 1 && ar_rows_next(&rows) && ar_str_is(ar_col_str(&rows, 0), "x"));
	CHECK(ar_commit(&scope) == 0);
	ar_db_release(db);
}

TEST(many_different_statements)
{
	struct ar_db *db = rig_db(&rig, "many");
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	for (int i = 0; i < 1000; i++) {
		char sql[60];

		snprintf(sql, sizeof(sql), "SELECT CAST(? AS BIGINT) + %d", i);
		CHECK(ar_query(&scope, &rows, sql, AR_ARGS(AR_J_INT(1))) == 0);
		CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) == i + 1);
	}
	rows_of(&scope, "SELECT count(*) FROM pg_prepared_statements", &rows);
	CHECK(ar_rows_next(&rows) && ar_col_int(&rows, 0) < 450);
	/* A unit still finds its transaction's id. */
	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_db_release(db);
}

/* ---- limits ---- */

static void reads_inside_a_unit(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_pool *p = ar_pool_new();
	struct ar_scope scope;

	ar_scope_init(&scope, db, p);
	for (int i = 0; i < 5; i++) {
		CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
		CHECK(rig_count(db, "SELECT 1") == 1);        /* on another connection */
		rig_exec(db, "INSERT INTO t (n) VALUES (1)"); /* a second unit of this fiber */
		CHECK(ar_commit(&scope) == 0);
	}
	ar_pool_free(p);
}

TEST_WITH(those_who_hold_a_connection_can_go_on, .pg_connections = 4)
{
	struct ar_db *db = rig_db(&rig, "hold");
	struct ar_store_stats stats;

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_fibers(30, reads_inside_a_unit, db);
	CHECK(rig_count(db, "SELECT count(*) FROM t") == 30 * 5 * 2);
	CHECK(rig_count(db, "SELECT count(*) FROM pg_stat_activity"
			    " WHERE application_name = 'apprun'") <= 4);
	ar_store_stats(rig.store, &stats);
	CHECK(stats.lease_waits > 0);
	ar_db_release(db);
}

TEST_WITH(idle_connections_are_closed, .idle_ms = 50)
{
	struct ar_db *db = rig_db(&rig, "idle");

	rig_fibers(8, warm_up, db);
	CHECK(rig_count(db, "SELECT count(*) FROM pg_stat_activity"
			    " WHERE application_name = 'apprun'") >= 4);
	CHECK(ar_sleep(150) == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM pg_stat_activity"
			    " WHERE application_name = 'apprun'") <= 2);
	ar_db_release(db);
}

TEST(a_result_that_is_too_large_is_refused)
{
	struct ar_db *db = rig_db(&rig, "huge");
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	CHECK_FAILS(ar_query(&scope, &rows,
			     "SELECT repeat('x', 1000000) FROM generate_series(1, 90)", AR_NO_ARGS),
		    AR_E_TOO_LARGE);
	CHECK(rig_count(db, "SELECT 1") == 1);
	CHECK(ar_query(&scope, &rows, "SELECT repeat('x', 1000000) FROM generate_series(1, 55)",
		       AR_NO_ARGS) == 0);
	CHECK(rows.count == 55);
	ar_db_release(db);
}

/* ---- a statement that is given up ---- */

static void cancels(void *arg)
{
	CHECK(ar_sleep(30) == 0);
	ar_cancel(arg);
}

static void is_cancelled(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_scope scope;
	struct ar_rows rows;
	int64_t began = ar_mono_ms();

	ar_go("cancels", cancels, ar_self(), AR_NO_DEADLINE);
	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	CHECK_FAILS(
		ar_exec(&scope, "INSERT INTO t (n) SELECT 2 FROM pg_sleep(30)", AR_NO_ARGS, NULL),
		AR_E_CANCELLED);
	CHECK(ar_mono_ms() - began < 5000);
	ar_shield(true);
	rows_of(&scope, "SELECT n FROM t", &rows); /* the unit goes on */
	CHECK(rows.count == 1);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_shield(false);
}

TEST(a_cancelled_statement_is_undone_alone)
{
	struct ar_db *db = rig_db(&rig, "stop");

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	rig_fibers(1, is_cancelled, db);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	ar_db_release(db);
}

/* ---- locks ---- */

static void locks_second(void *arg, int index)
{
	struct ar_db *db = arg;
	struct ar_pool *p = ar_pool_new();
	const char *order[2] = { "a", "b" };
	struct ar_scope scope;
	struct ar_rows rows;
	static int refused;

	ar_scope_init(&scope, db, p);
	CHECK(ar_query_lock(&scope, &rows, "SELECT n FROM t WHERE id = ?",
			    AR_ARGS(AR_J_Z(order[index]))) == 0);
	CHECK(rows.count == 1);
	ar_shield(true);
	CHECK(ar_sleep(50) == 0); /* both have one */
	ar_shield(false);
	if (ar_query_lock(&scope, &rows, "SELECT n FROM t WHERE id = ?",
			  AR_ARGS(AR_J_Z(order[1 - index]))) != 0) {
		CHECK(ar_err()->def == AR_E_BUSY); /* a deadlock: one of them has to yield */
		ar_err_clear();
		refused++;
	}
	CHECK(refused <= 1);
	CHECK(ar_exec(&scope, "UPDATE t SET n = n + 1 WHERE id = ?", AR_ARGS(AR_J_Z(order[index])),
		      NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	ar_pool_free(p);
}

TEST(of_two_that_deadlock_one_is_told)
{
	struct ar_db *db = rig_db(&rig, "dead");

	rig_exec(db, "CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT)");
	rig_exec(db, "INSERT INTO t (id, n) VALUES ('a', 0), ('b', 0)");
	rig_fibers(2, locks_second, db);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 2);
	ar_db_release(db);
}

TEST(constraints_are_named_by_their_columns)
{
	static const struct {
		const char *sql, *constraint;
	} rows[] = {
		{ "INSERT INTO t VALUES (1, 'x', 'y', 'z')", "id" },
		{ "INSERT INTO t VALUES (2, 'x', 'y', 'q')", "a,B c" },
		{ "INSERT INTO t VALUES (2, ')=(', ', (', 'Z')", "t_lower" },
	};
	struct ar_db *db = rig_db(&rig, "unique");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT, \"B c\" TEXT, d TEXT,"
		     " UNIQUE (a, \"B c\"))");
	rig_exec(db, "CREATE UNIQUE INDEX t_lower ON t (lower(d))");
	rig_exec(db, "INSERT INTO t VALUES (1, 'x', 'y', 'z')");
	ar_scope_init(&scope, db, pool);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		CHECK(ar_exec(&scope, rows[i].sql, AR_NO_ARGS, NULL) == -1);
		CHECK(ar_err()->def == AR_E_UNIQUE);
		CHECK(strcmp(ar_err_param(ar_err(), "constraint"), rows[i].constraint) == 0);
	}
	ar_rollback(&scope);
	ar_db_release(db);
}

/* ---- the rest ---- */

TEST(numbers_have_the_types_that_sqlite_gives)
{
	static const struct {
		const char *sql;
		enum ar_type type;
	} rows[] = {
		{ "SELECT CAST(1 AS SMALLINT)", AR_INT },
		{ "SELECT sum(n) FROM (VALUES (CAST(1 AS BIGINT)), (2)) v (n)", AR_INT },
		{ "SELECT CAST('1e30' AS NUMERIC)", AR_FLOAT },
		{ "SELECT avg(n) FROM (VALUES (1), (2)) v (n)", AR_FLOAT },
		{ "SELECT CAST(1 AS REAL)", AR_FLOAT },
		{ "SELECT CAST('NaN' AS DOUBLE PRECISION)", AR_FLOAT },
		{ "SELECT true", AR_BOOL },
		{ "SELECT CAST('{\"a\": 1}' AS JSONB)", AR_STRING },
		{ "SELECT CAST(NULL AS BIGINT)", AR_NULL },
	};
	struct ar_db *db = rig_db(&rig, "types");
	struct ar_scope scope;
	struct ar_rows r;

	ar_scope_init(&scope, db, pool);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		rows_of(&scope, rows[i].sql, &r);
		CHECK(ar_rows_next(&r));
		CHECK(ar_col_type(&r, 0) == rows[i].type);
	}
	CHECK_FAILS(ar_query(&scope, &r, "SELECT CAST(? AS TEXT)",
			     AR_ARGS(AR_J_STR(ar_str_n("a\0b", 3)))),
		    AR_E_STORE);
	rows_of(&scope, "SHOW synchronous_commit", &r);
	CHECK(ar_rows_next(&r) && ar_str_is(ar_col_str(&r, 0), "on"));
	ar_db_release(db);
}

static void a_server_that_is_not_there(void **state)
{
	struct ar_store_options options = {
		.url = AR_STR("postgres://nobody:secret-word@127.0.0.1:1/x"), .data = AR_STR("/tmp")
	};
	struct ar_store *store;

	assert_int_equal(ar_store_open(&options, &store), -1);
	assert_ptr_equal(ar_err()->def, AR_E_BUSY);
	assert_null(strstr(ar_err()->why, "secret-word"));
	ar_err_clear();
}

static int make(void **state)
{
	const char *url = getenv("APPRUN_TEST_STORE"),
		   *port = url == NULL ? NULL : strrchr(url, ':');

	assert_non_null(port);
	server_port = (int)strtol(port + 1, NULL, 10);
	pool = ar_pool_new();
	rig_make(&rig, "postgres");
	return 0;
}

static int unmake(void **state)
{
	ar_pool_free(pool);
	rig_remove(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_numbered),
		cmocka_unit_test(ended_sessions_are_not_noticed),
		cmocka_unit_test(a_unit_whose_session_ends_is_lost),
		cmocka_unit_test_setup_teardown(the_fate_of_a_commit_is_found_out, proxy_start,
						proxy_stop),
		cmocka_unit_test_setup_teardown(work_moves_from_a_line_that_is_cut, proxy_start,
						proxy_stop),
		cmocka_unit_test(tenants_share_connections_and_nothing_else),
		cmocka_unit_test(a_plan_that_is_stale_is_made_anew),
		cmocka_unit_test(many_different_statements),
		cmocka_unit_test(those_who_hold_a_connection_can_go_on),
		cmocka_unit_test(idle_connections_are_closed),
		cmocka_unit_test(a_result_that_is_too_large_is_refused),
		cmocka_unit_test(a_cancelled_statement_is_undone_alone),
		cmocka_unit_test(of_two_that_deadlock_one_is_told),
		cmocka_unit_test(constraints_are_named_by_their_columns),
		cmocka_unit_test(numbers_have_the_types_that_sqlite_gives),
		cmocka_unit_test(a_server_that_is_not_there),
		cmocka_unit_test(a_server_that_restarts),
	};

	return cmocka_run_group_tests_name("postgres", tests, make, unmake);
}
