/*
 * fence.c - who lost a PostgreSQL to another server writes no more, what it had begun included. The
 * one before is a process of its own with an open unit of work; it is stopped, as a machine that
 * sleeps, loses its claim, and wakes when another one serves.
 */
#include "store/postgres/postgres_int.h"
#include "tests/drivers/rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct rig rig;

/* ---- the server before ---- */

static atomic_bool lost;

static void store_lost(void)
{
	atomic_store(&lost, true);
}

static void say(char what)
{
	CHECK(write(STDOUT_FILENO, &what, 1) == 1);
}

/* A unit that is asked to go on: 'c' committed, 'f' failed. Then new ones, until one is committed
 * ('w') or the databases are another's ('l'). */
static void child_body(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "shared");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	char go;
	bool ok;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (1)", AR_NO_ARGS, NULL) == 0);
	say('u');
	CHECK(read(STDIN_FILENO, &go, 1) == 1);
	say(ar_commit(&scope) == 0 ? 'c' : 'f');
	do {
		ar_rollback(&scope);
		ar_err_clear();
		CHECK(ar_sleep(20) == 0);
		ok = ar_exec(&scope, "INSERT INTO t (n) VALUES (4)", AR_NO_ARGS, NULL) == 0 &&
		     ar_commit(&scope) == 0;
	} while (!ok && !atomic_load(&lost));
	ar_rollback(&scope);
	ar_err_clear();
	say(ok ? 'w' : 'l');
	ar_pool_free(pool);
	ar_db_release(db);
}

static int child(const char *folder)
{
	snprintf(rig.folder, sizeof(rig.folder), "%s", folder);
	rig.prefix = "fence";
	rig_start(&rig, NULL);
	CHECK(ar_store_claim(rig.store, store_lost) == 0);
	rig_run(&rig, 1, child_body, NULL);
	rig_stop(&rig);
	return 0;
}

struct before {
	pid_t pid;
	int in, out;
};

static char heard(const struct before *before)
{
	char what = 0;

	return read(before->out, &what, 1) == 1 ? what : 0;
}

static struct before before_start(void)
{
	int in[2], out[2];
	struct before before;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	before.pid = fork();
	if (before.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it is stopped */
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl("/proc/self/exe", "fence", "child", rig.folder, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	before.in = in[1];
	before.out = out[0];
	assert_int_equal(heard(&before), 'u');
	return before;
}

static void before_sleeps(const struct before *before)
{
	int status;

	kill(before->pid, SIGSTOP);
	assert_int_equal(waitpid(before->pid, &status, WUNTRACED), before->pid);
	assert_true(WIFSTOPPED(status));
}

static void before_wakes(const struct before *before)
{
	assert_int_equal(write(before->in, "g", 1), 1);
	kill(before->pid, SIGCONT);
}

static void before_end(const struct before *before)
{
	int status;

	close(before->in);
	close(before->out);
	assert_int_equal(waitpid(before->pid, &status, 0), before->pid);
	assert_int_equal(status, 0);
}

/* ---- the database server, as an administrator sees it ---- */

static int64_t asked(PGconn *h, const char *sql)
{
	PGresult *result = PQexec(h, sql);
	int64_t n = -1;

	assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
	assert_int_equal(PQntuples(result), 1);
	ar_str_int(ar_str(PQgetvalue(result, 0, 0)), &n);
	PQclear(result);
	return n;
}

static PGconn *admin_open(const char *database)
{
	const char *const names[] = { "dbname", "dbname", NULL };
	const char *const values[] = { getenv("APPRUN_TEST_STORE"), database, NULL };
	PGconn *h = PQconnectdbParams(names, values, 1);

	assert_int_equal(PQstatus(h), CONNECTION_OK);
	return h;
}

/* As the keepalive does for a machine that is out of reach. */
static void claim_session_ends(PGconn *admin)
{
	static const char held[] = "SELECT count(*) FROM pg_locks l WHERE " PG_LOCKED(PG_CLAIM_KEY);

	assert_int_equal(asked(admin, held), 1);
	asked(admin, "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l WHERE " PG_LOCKED(
			     PG_CLAIM_KEY));
	while (asked(admin, held) > 0)
		usleep(5000);
}

/* ---- the tests ---- */

static void make_table(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "shared");

	rig_exec(db, "CREATE TABLE t (n BIGINT)");
	ar_db_release(db);
}

static void never(void)
{
	CHECK(!"lost");
}

static void serve_and_wake_the_other(void *arg, int index)
{
	const struct before *before = arg;
	struct ar_db *db = rig_open(&rig, "shared");

	rig_exec(db, "INSERT INTO t (n) VALUES (2)");
	before_wakes(before);
	CHECK(heard(before) == 'f');
	CHECK(heard(before) == 'l');
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 2);
	ar_db_release(db);
}

static void a_unit_from_before_is_not_stored_after(void **state)
{
	PGconn *admin = admin_open("postgres"), *elsewhere = admin_open("template1");
	struct before before;

	rig_once(&rig, NULL, make_table);
	/* Another installation, in a database of its own. */
	asked(elsewhere, "SELECT 1 FROM pg_advisory_lock_shared(" PG_FENCE_KEY ")");
	before = before_start();
	before_sleeps(&before);
	claim_session_ends(admin);
	rig_start(&rig, NULL);
	assert_ok(ar_store_claim(rig.store, never));
	rig_run(&rig, 1, serve_and_wake_the_other, &before);
	rig_stop(&rig);
	before_end(&before);
	assert_int_equal(asked(elsewhere, "SELECT 1"), 1);
	PQfinish(elsewhere);
	PQfinish(admin);
}

/* A role that may not end the sessions of the other's. */
static struct ar_str as_somebody(struct ar_pool *pool)
{
	const char *url = getenv("APPRUN_TEST_STORE"), *at = strchr(url, '@');

	assert_non_null(at);
	return ar_strf(pool, "postgres://somebody%s", at);
}

static void who_cannot_end_the_sessions_is_refused(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	const struct ar_store_options options = { .url = as_somebody(pool),
						  .data = ar_str(rig.folder) };
	PGconn *admin = admin_open("postgres");
	struct ar_store *second;
	struct before before;

	rig_once(&rig, NULL, make_table);
	PQclear(PQexec(admin, "CREATE ROLE somebody LOGIN"));
	before = before_start();
	before_sleeps(&before);
	claim_session_ends(admin);
	assert_ok(ar_offload_start(0));
	assert_ok(ar_store_open(&options, &second));
	assert_int_equal(ar_store_claim(second, never), -1);
	assert_ptr_equal(ar_err()->def, AR_E_BUSY);
	assert_non_null(strstr(ar_err()->why, "does not end (session "));
	ar_err_clear();
	ar_store_close(second);
	ar_offload_stop();
	before_wakes(&before); /* it has lost nothing */
	assert_int_equal(heard(&before), 'c');
	assert_int_equal(heard(&before), 'w');
	before_end(&before);
	PQfinish(admin);
	ar_pool_free(pool);
}

static int make(void **state)
{
	rig_make(&rig, "fence");
	return 0;
}

static int unmake(void **state)
{
	rig_remove(&rig);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_from_before_is_not_stored_after),
		cmocka_unit_test(who_cannot_end_the_sessions_is_refused),
	};

	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return child(argv[2]);
	return cmocka_run_group_tests_name("fence", tests, make, unmake);
}
