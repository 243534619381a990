/*
 * sqlite_faults.c - a disk that fails under the SQLite driver: syncs, writes, reads, a full disk. A
 * unit that got -1 is not stored, not even after a crash right then; one that got 0 is; the file
 * stays sound.
 */
#include "tests/drivers/sqlite_disk.h"

TEST(a_sync_that_fails)
{
	struct ar_db *db = rig_db(&rig, "sync");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	CHECK(insert(db, 1) == 0);
	fail_log_sync = 1;
	CHECK_FAILS(insert(db, 2), AR_E_STORE);
	CHECK(failed > 0 && fail_log_sync == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 1);
	CHECK(sum_after_crash("sync") == 1); /* nor would a restart bring it to life */
	CHECK(insert(db, 4) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	CHECK(sum_after_crash("sync") == 5);
	sound(db);
	ar_db_release(db);
}

TEST(a_disk_that_stays_broken)
{
	struct ar_db *db = rig_db(&rig, "broken");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	CHECK(insert(db, 1) == 0);
	fail_log_sync = 1000;
	for (int i = 0; i < 5; i++)
		CHECK_FAILS(insert(db, 2), AR_E_STORE);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 1); /* reads go on */
	fail_log_sync = 0;
	CHECK(insert(db, 4) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	CHECK(sum_after_crash("broken") == 5);
	sound(db);
	ar_db_release(db);
}

TEST(a_disk_that_is_full)
{
	struct ar_db *db = rig_db(&rig, "full");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	CHECK(insert(db, 1) == 0);
	fail_log_write = 3;
	CHECK_FAILS(insert(db, 2), AR_E_STORE);
	fail_log_write = 0;
	CHECK(sum_after_crash("full") == 1);
	CHECK(insert(db, 4) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 5);
	sound(db);
	ar_db_release(db);
}

/* Two hundred pages, some written twice, as the cache is full in between: whatever the pieces are
 * in which the log is written, a crash finds all of it. */
TEST(a_log_in_large_pieces)
{
	struct ar_db *db = rig_db(&rig, "pieces");
	int before;

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	before = log_writes;
	rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		     " SELECT n + 1 FROM c WHERE n < 200) SELECT 1, printf('%03000d', n) FROM c");
	CHECK(log_writes - before >= 13 && log_writes - before < 30);
	CHECK(sum_after_crash("pieces") == 200);
	rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		     " SELECT n + 1 FROM c WHERE n < 3000) SELECT 1, printf('%03000d', n) FROM c");
	rig_exec(db,
		 "UPDATE t SET n = n + 1, filler = filler || 'x'"); /* more than the cache holds */
	CHECK(sum_after_crash("pieces") == 6400);
	fail_log_write = 1; /* the piece at the end */
	CHECK_FAILS(insert(db, 1), AR_E_STORE);
	CHECK(fail_log_write == 0);
	CHECK(sum_after_crash("pieces") == 6400);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 6400);
	sound(db);
	ar_db_release(db);
}

/* A unit that is larger than the cache reads back what it wrote to the log, and the disk is full at
 * that moment only: pages are missing in the log, so the unit is lost, not that statement alone. */
TEST(a_disk_that_is_full_while_a_unit_reads)
{
	struct ar_db *db = rig_db(&rig, "spilled");
	struct ar_scope scope;

	rig_exec(db, "CREATE TABLE t (n BIGINT PRIMARY KEY, filler TEXT)");
	CHECK(insert(db, -1) == 0);
	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope,
		      "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		      " SELECT n + 1 FROM c WHERE n < 3000) SELECT n, printf('%03000d', n) FROM c",
		      AR_NO_ARGS, NULL) == 0);
	fail_log_write = 1;
	CHECK_FAILS(ar_exec(&scope,
			    "INSERT INTO t (n, filler) SELECT n + 10000, filler FROM t"
			    " WHERE n BETWEEN 1 AND 300",
			    AR_NO_ARGS, NULL),
		    AR_E_STORE);
	CHECK(fail_log_write == 0);
	CHECK(ar_commit(&scope) == -1);
	ar_err_clear();
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == -1);
	CHECK(insert(db, 4) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 3);
	CHECK(sum_after_crash("spilled") == 3);
	sound(db);
	ar_db_release(db);
}

/* The checkpoint fails: nothing is lost, and it is made later. */
TEST(a_checkpoint_that_fails)
{
	struct ar_db *db = rig_db(&rig, "checkpoint");
	struct ar_scope scope;
	struct ar_rows rows;

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	ar_log_level(AR_ERROR);
	fail_write = fail_sync = 1;
	for (int round = 0; round < 4; round++)
		rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
			     " SELECT n + 1 FROM c WHERE n < 30000)"
			     " SELECT n, 'some text to fill the pages of the log with' FROM c");
	while (fail_write > 0 || fail_sync > 0) /* the job goes on after the acknowledgement */
		rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
			     " SELECT n + 1 FROM c WHERE n < 30000) SELECT 0, 'more' FROM c");
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 4 * 450015000LL);
	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT count(*) FROM t WHERE n > 0", AR_NO_ARGS) == 0);
	sound(db);
	ar_db_release(db);
}

/* A unit whose write meets a disk error loses the transaction, and with it its group: all get -1. */
struct mate {
	struct ar_db *db;
	int rc;
	bool done;
};

static void mate(void *arg)
{
	struct mate *m = arg;
	struct ar_scope scope;

	ar_scope_init(&scope, m->db, pool);
	CHECK(ar_begin(&scope) == 0);
	fail_read = 1;
	m->rc = ar_exec(&scope, "UPDATE t SET n = n + 100000", AR_NO_ARGS, NULL);
	CHECK(fail_read == 0);
	ar_err_clear();
	CHECK(ar_commit(&scope) == -1); /* also when its failure was not looked at */
	m->done = true;
}

static void lose(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "group");
	struct mate m = { .db = db };
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (7)", AR_NO_ARGS, NULL) == 0);
	ar_go("mate", mate, &m, AR_NO_DEADLINE);
	CHECK_FAILS(ar_commit(&scope), AR_E_BUSY); /* nothing was wrong with it */
	while (!m.done)
		CHECK(ar_sleep(1) == 0);
	CHECK(m.rc == -1);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (8)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 8);
	sound(db);
	ar_db_release(db);
}

static void a_lost_transaction_fails_its_group(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, fill, NULL);
	rig_stop(&rig); /* so that pages are read from the file again */
	rig_start(&rig, NULL);
	rig_run(&rig, 1, lose, NULL);
	rig_stop(&rig);
}

/* The same by a read of the unit that takes so long that it runs on a thread. */
static int read_from(struct ar_scope *scope, int64_t row)
{
	struct ar_rows rows;

	return ar_query(scope, &rows,
			"SELECT count(*) FROM t WHERE rowid > ? AND filler LIKE '%not there%'",
			AR_ARGS(AR_J_INT(row)));
}

static void lose_by_reading(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "group");
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (7)", AR_NO_ARGS, NULL) == 0);
	CHECK(read_from(&scope, 4000) == 0); /* from now on it is known to be slow */
	fail_read = 1;
	CHECK_FAILS(read_from(&scope, 0), AR_E_STORE);
	CHECK(fail_read == 0);
	CHECK_FAILS(ar_exec(&scope, "INSERT INTO t (n) VALUES (8)", AR_NO_ARGS, NULL), AR_E_STORE);
	CHECK(ar_commit(&scope) == -1);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 0);
	CHECK(ar_exec(&scope, "INSERT INTO t (n) VALUES (9)", AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == 0);
	CHECK(rig_count(db, "SELECT sum(n) FROM t") == 9);
	sound(db);
	ar_db_release(db);
}

static void a_slow_read_loses_its_group_too(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, fill, NULL);
	rig_stop(&rig);
	rig_start(&rig, &(struct ar_store_options){ .read_budget_us = 1 });
	rig_run(&rig, 1, lose_by_reading, NULL);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sync_that_fails),
		cmocka_unit_test(a_disk_that_stays_broken),
		cmocka_unit_test(a_disk_that_is_full),
		cmocka_unit_test(a_log_in_large_pieces),
		cmocka_unit_test(a_disk_that_is_full_while_a_unit_reads),
		cmocka_unit_test(a_checkpoint_that_fails),
		cmocka_unit_test(a_lost_transaction_fails_its_group),
		cmocka_unit_test(a_slow_read_loses_its_group_too),
	};

	setenv("APPRUN_TEST_STORE", "sqlite:", 1);
	return cmocka_run_group_tests(tests, make, unmake);
}
