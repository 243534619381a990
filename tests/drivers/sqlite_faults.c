/*
 * sqlite_faults.c - a disk that fails, for the SQLite driver: a file system layer of its own under
 * SQLite returns errors from sync, write and read when it is told to. A unit that got -1 is not
 * stored, not even after a crash right then; one that got 0 is; the file stays sound.
 */
#include "tests/drivers/rig.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ---- the layer ---- */

struct shim_file {
	sqlite3_file base;
	bool log; /* the write-ahead log */
	sqlite3_file *real;
};

/* So many calls from now on fail, of one kind of file. */
static _Atomic int fail_log_sync, fail_log_write, fail_write, fail_read, fail_sync;
static _Atomic int one_in; /* > 0: each log write or sync fails with this chance */
static _Atomic int failed;
static _Atomic int log_writes;

static bool fails(_Atomic int *left)
{
	if (*left <= 0)
		return false;
	(*left)--;
	failed++;
	return true;
}

static bool by_chance(void)
{
	if (one_in <= 0 || ar_random_below((uint64_t)one_in) != 0)
		return false;
	failed++;
	return true;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim_file *)file)->real;
}

static int shim_close(sqlite3_file *file)
{
	return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	if (!((struct shim_file *)file)->log && fails(&fail_read))
		return SQLITE_IOERR_READ;
	return real_of(file)->pMethods->xRead(real_of(file), p, n, at);
}

static int shim_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	bool log = ((struct shim_file *)file)->log;

	log_writes += log;
	if (log && (fails(&fail_log_write) || by_chance()))
		return SQLITE_FULL;
	if (!log && fails(&fail_write))
		return SQLITE_IOERR_WRITE;
	return real_of(file)->pMethods->xWrite(real_of(file), p, n, at);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 n)
{
	return real_of(file)->pMethods->xTruncate(real_of(file), n);
}

static int shim_sync(sqlite3_file *file, int flags)
{
	bool log = ((struct shim_file *)file)->log;

	if (log && (fails(&fail_log_sync) || by_chance()))
		return SQLITE_IOERR_FSYNC;
	if (!log && fails(&fail_sync))
		return SQLITE_IOERR_FSYNC;
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int shim_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_reserved(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int shim_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), at, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int remove_it)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), remove_it);
}

static const sqlite3_io_methods shim_methods = {
	.iVersion = 2,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_reserved,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static sqlite3_vfs *real_vfs, shim_vfs;

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
	struct shim_file *shim = (struct shim_file *)file;
	int rc;

	shim->real = (sqlite3_file *)(shim + 1);
	shim->log = (flags & SQLITE_OPEN_WAL) != 0;
	rc = real_vfs->xOpen(real_vfs, name, shim->real, flags, ret);
	shim->base.pMethods = shim->real->pMethods != NULL ? &shim_methods : NULL;
	return rc;
}

static void shim_register(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	shim_vfs = *real_vfs;
	shim_vfs.zName = "faults";
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim_vfs.xOpen = shim_open;
	shim_vfs.pNext = NULL;
	assert_int_equal(sqlite3_vfs_register(&shim_vfs, 1), SQLITE_OK);
}

/* ---- helpers ---- */

static struct rig rig;
static struct ar_pool *pool;

static int insert(struct ar_db *db, int64_t n)
{
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	if (ar_exec(&scope, "INSERT INTO t (n, filler) VALUES (?, ?)",
		    AR_ARGS(AR_J_INT(n),
			    AR_J_Z("text that takes some room in a page, more or less")),
		    NULL) != 0) {
		ar_rollback(&scope);
		return -1;
	}
	return ar_commit(&scope);
}

static int insert_and_fail(struct ar_db *db, int64_t n)
{
	struct ar_scope scope;

	ar_scope_init(&scope, db, pool);
	if (ar_exec(&scope, "INSERT INTO t (n) VALUES (?)", AR_ARGS(AR_J_INT(n)), NULL) == 0)
		ar_fail(AR_E_CONFLICT);
	ar_rollback(&scope);
	CHECK(ar_err() != NULL);
	return -1;
}

static void sound(struct ar_db *db)
{
	CHECK(rig_count(db, "SELECT count(*) FROM pragma_integrity_check"
			    " WHERE integrity_check = 'ok'") == 1);
}

static void copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK(write(out, buf, (size_t)n) == n);
	close(in);
	close(out);
}

/* What a crash at this instant would leave: the file and its log, as another database. */
static int64_t sum_after_crash(const char *name)
{
	char from[160], to[160];
	sqlite3 *h = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t sum;

	for (int i = 0; i < 2; i++) {
		rig_path(&rig, from, sizeof(from), name, i == 0 ? "" : "-wal");
		snprintf(to, sizeof(to), "%s/crashed.db%s", rig.folder, i == 0 ? "" : "-wal");
		copy(from, to);
	}
	snprintf(to, sizeof(to), "%s/crashed.db", rig.folder);
	CHECK(sqlite3_open(to, &h) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(h, "SELECT coalesce(sum(n), 0) FROM t", -1, &stmt, NULL) ==
	      SQLITE_OK);
	CHECK(sqlite3_step(stmt) == SQLITE_ROW);
	sum = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(h);
	return sum;
}

#define RUN(fn)    rig_once(&rig, NULL, fn)
#define TEST(name) TEST_IN(name, RUN, void *arg, int index)

/* ---- tests ---- */

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

static void fill(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "group");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	rig_exec(db, "INSERT INTO t (n, filler) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL"
		     " SELECT n + 1 FROM c WHERE n < 5000)"
		     " SELECT 0, 'some text to fill the pages of the file with' FROM c");
	ar_db_release(db);
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

/* ---- units that fail by themselves, on a disk that fails ---- */

struct pair {
	struct ar_db *db;
	const char *sql;               /* of the second unit, which is to fail */
	_Atomic int *fault;            /* begins when it has run */
	const struct ar_err_def *says; /* afterwards */
};

static void second_fails(void *arg)
{
	struct pair *pair = arg;
	struct ar_scope scope;

	ar_scope_init(&scope, pair->db, pool);
	if (ar_exec(&scope, pair->sql, AR_NO_ARGS, NULL) == 0)
		ar_fail(AR_E_CONFLICT);
	*pair->fault = 1;
	ar_rollback(&scope);
	pair->says = ar_err()->def;
	ar_err_clear();
}

/* Returns what the first unit's commit says; both units are of one group. */
static const struct ar_err_def *run_pair(struct pair *pair, const char *first)
{
	const struct ar_err_def *says = NULL;
	struct ar_scope scope;

	pair->says = NULL;
	ar_scope_init(&scope, pair->db, pool);
	CHECK(ar_exec(&scope, first, AR_NO_ARGS, NULL) == 0);
	ar_go("second", second_fails, pair, AR_NO_DEADLINE);
	if (ar_commit(&scope) != 0)
		says = ar_err()->def;
	ar_err_clear();
	while (pair->says == NULL)
		CHECK(ar_sleep(1) == 0);
	return says;
}

/* "It is there already", said because of a row that was then not stored. */
TEST(who_saw_what_was_never_stored)
{
	static const char sql[] = "INSERT INTO t (n, filler) VALUES (1, 'a name')";
	struct pair pair = { rig_db(&rig, "witness"), sql, &fail_log_sync };

	rig_exec(pair.db, "CREATE TABLE t (n BIGINT PRIMARY KEY, filler TEXT)");
	CHECK(run_pair(&pair, sql) == AR_E_STORE);
	CHECK(fail_log_sync == 0);
	CHECK(pair.says == AR_E_BUSY);
	CHECK(rig_count(pair.db, "SELECT count(*) FROM t") == 0);
	pair.fault = &(_Atomic int){ 0 };
	CHECK(run_pair(&pair, sql) == NULL);
	CHECK(pair.says == AR_E_UNIQUE);
	CHECK(sum_after_crash("witness") == 1);
	ar_db_release(pair.db);
}

/* The group is run again without a unit that failed, and the disk fails in the midst of that. */
static void lose_again(void *arg, int index)
{
	struct pair pair = { rig_open(&rig, "group"),
			     "UPDATE t SET n = n + 1 WHERE rowid % 100 = 0", &fail_read };

	CHECK(run_pair(&pair, "INSERT INTO t (n) SELECT 7 FROM t WHERE rowid % 200 = 0") ==
	      AR_E_BUSY);
	CHECK(fail_read == 0);
	CHECK(pair.says == AR_E_BUSY);
	CHECK(rig_count(pair.db, "SELECT sum(n) FROM t") == 0);
	pair.fault = &(_Atomic int){ 0 };
	CHECK(run_pair(&pair, "INSERT INTO t (n) VALUES (8)") == NULL);
	CHECK(pair.says == AR_E_CONFLICT);
	CHECK(rig_count(pair.db, "SELECT sum(n) FROM t") == 8);
	CHECK(sum_after_crash("group") == 8);
	sound(pair.db);
	ar_db_release(pair.db);
}

static void a_disk_that_fails_while_a_group_is_run_again(void **state)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, fill, NULL);
	rig_stop(&rig);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, lose_again, NULL);
	rig_stop(&rig);
}

/* So many rows as chance gives: ten such statements do not give the same ones twice. */
#define BY_CHANCE                                                                                  \
	"INSERT INTO t (n) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"        \
	" WHERE n < 100 AND random() % 8 <> 0) SELECT n FROM c"

static void chance_unit(void *arg)
{
	struct pair *pair = arg;
	struct ar_scope scope;

	ar_scope_init(&scope, pair->db, pool);
	for (int i = 0; i < 10; i++)
		CHECK(ar_exec(&scope, BY_CHANCE, AR_NO_ARGS, NULL) == 0);
	CHECK(ar_commit(&scope) == -1);
	pair->says = ar_err()->def;
	ar_err_clear();
}

TEST(a_statement_that_answers_otherwise_the_second_time)
{
	struct pair first = { rig_db(&rig, "chance"), NULL, NULL, NULL };
	struct pair pair = { first.db, "INSERT INTO t (n) VALUES (5)", &(_Atomic int){ 0 } };

	rig_exec(first.db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	ar_go("chance", chance_unit, &first, AR_NO_DEADLINE);
	CHECK(run_pair(&pair, "INSERT INTO t (n) VALUES (1)") == AR_E_BUSY);
	CHECK(first.says == AR_E_BUSY && pair.says == AR_E_BUSY);
	CHECK(rig_count(first.db, "SELECT count(*) FROM t") == 0);
	CHECK(insert(first.db, 4) == 0);
	CHECK(sum_after_crash("chance") == 4);
	sound(first.db);
	ar_db_release(first.db);
}

/* Many units, faults at random: the answers tell exactly what is stored. */
#define UNITS 3000
static unsigned char answer[UNITS]; /* 1: stored, 2: not */

static void random_unit(void *arg, int index)
{
	for (int n = index; n < UNITS; n += 16) {
		answer[n] = (n % 9 == 5 ? insert_and_fail(arg, n) : insert(arg, n)) == 0 ? 1 : 2;
		ar_err_clear();
		if (ar_random_below(8) == 0)
			CHECK(ar_pause() == 0);
	}
}

static void random_faults(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "random");

	rig_exec(db, "CREATE TABLE t (n BIGINT, filler TEXT)");
	one_in = 40;
	rig_fibers(16, random_unit, db);
	one_in = 0;
	ar_db_release(db);
}

static void compare(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "random");
	struct ar_scope scope;
	struct ar_rows rows;
	int stored = 0;

	ar_scope_init(&scope, db, pool);
	CHECK(ar_query(&scope, &rows, "SELECT n FROM t", AR_NO_ARGS) == 0);
	while (ar_rows_next(&rows)) {
		CHECK(answer[ar_col_int(&rows, 0)] == 1);
		answer[ar_col_int(&rows, 0)] = 3;
		stored++;
	}
	for (int n = 0; n < UNITS; n++)
		CHECK(answer[n] == 2 || answer[n] == 3);
	CHECK(stored > 0 && stored < UNITS);
	sound(db);
	ar_db_release(db);
}

static void answers_are_true_under_faults(void **state)
{
	int before = failed;

	ar_log_level(AR_ERROR);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, random_faults, NULL);
	rig_stop(&rig);
	assert_true(failed > before + 5);
	rig_start(&rig, NULL);
	rig_run(&rig, 1, compare, NULL);
	rig_stop(&rig);
}

static int make(void **state)
{
	pool = ar_pool_new();
	rig_make(&rig, "faults");
	shim_register();
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
		cmocka_unit_test(a_sync_that_fails),
		cmocka_unit_test(a_disk_that_stays_broken),
		cmocka_unit_test(a_disk_that_is_full),
		cmocka_unit_test(a_log_in_large_pieces),
		cmocka_unit_test(a_disk_that_is_full_while_a_unit_reads),
		cmocka_unit_test(a_checkpoint_that_fails),
		cmocka_unit_test(a_lost_transaction_fails_its_group),
		cmocka_unit_test(who_saw_what_was_never_stored),
		cmocka_unit_test(a_disk_that_fails_while_a_group_is_run_again),
		cmocka_unit_test(a_statement_that_answers_otherwise_the_second_time),
		cmocka_unit_test(answers_are_true_under_faults),
	};

	setenv("APPRUN_TEST_STORE", "sqlite:", 1);
	return cmocka_run_group_tests(tests, make, unmake);
}
