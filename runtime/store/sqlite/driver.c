/*
 * driver.c - the SQLite driver's table: the process's lock, handles of loops, statements.
 *
 * Reads run on the loop's own connection, in the fiber, for as long as their budget lasts; then they
 * are stopped and run again on another connection in the pool. A statement that was over its budget
 * goes there at once the next few times. Units of work use the file's writer (lease.c).
 */
#include "store/sqlite/sqlite_int.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOW_RUNS 8 /* of a statement that was over its budget go straight to a thread */

/* ---- the process ---- */

static void on_log(AR_UNUSED void *arg, int code, const char *text)
{
	char number[16];

	switch (code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_NOTADB:
	case SQLITE_WARNING:
		snprintf(number, sizeof(number), "%d", code);
		ar_warn("store", "sqlite", "code", number, "text", text);
		break;
	default:
		break;
	}
}

static int root_lock(struct sqlite_store *store)
{
	size_t cap = strlen(store->root) + 16;
	char *path = ar_heap_alloc(cap);

	snprintf(path, cap, "%s/store.lock", store->root);
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd >= 0 && flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		ar_heap_free(path);
		return 0;
	}
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	ar_fail_why(AR_E_STORE, "%s: %s", path,
		    errno == EWOULDBLOCK ? "another process uses this folder" : strerror(errno));
	ar_heap_free(path);
	return -1;
}

/* Removes what creations and drops left when they were cut short. */
static int sweep(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return ar_fail_why(AR_E_STORE, "%s: %s", path, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".db.new") != NULL ||
		    strstr(entry->d_name, ".db.dropped") != NULL)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	return 0;
}

static int folders(struct sqlite_store *store)
{
	size_t cap = strlen(store->root) + 16;
	char *path = ar_heap_alloc(cap);
	int rc = 0;

	snprintf(path, cap, "%s/tenants", store->root);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		rc = ar_fail_why(AR_E_STORE, "%s: %s", path, strerror(errno));
	if (rc == 0 && (sweep(store->root) != 0 || sweep(path) != 0))
		rc = -1;
	ar_heap_free(path);
	return rc;
}

static int sqlite_open(struct ar_store *store)
{
	struct sqlite_store *s = ar_heap_new(struct sqlite_store);
	char *data = realpath(store->options.data.n > 0 ? store->options.data.p : ".", NULL);

	if (data == NULL) {
		ar_heap_free(s);
		return ar_fail_why(AR_E_STORE, "data folder: %s", strerror(errno));
	}
	s->store = store;
	s->root = ar_heap_strz(ar_str(data));
	free(data);
	if (root_lock(s) != 0) {
		ar_heap_free(s->root);
		ar_heap_free(s);
		return -1;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->closed, NULL);
	store->driver = s;
	/* Connections are never shared at the same time, and nobody asks SQLite for its memory:
	 * without its locks for both it is faster. Ignored when it was started already. */
	sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0); /* pages as needed: small when idle */
	sqlite3_config(SQLITE_CONFIG_LOG, on_log, NULL);
	if (folders(s) != 0 || sqlite3_initialize() != SQLITE_OK ||
	    gather_register() != SQLITE_OK) {
		store->ops->close(store);
		return -1;
	}
	return 0;
}

static void sqlite_close(struct ar_store *store)
{
	struct sqlite_store *s = store->driver;

	if (store->count.open == 0) /* else somebody kept a handle, and said so */
		file_wait_all(s);
	close(s->lock_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->closed);
	ar_heap_free(s->root);
	ar_heap_free(s);
}

static void turn_over(AR_UNUSED void *arg)
{
	snapshot_turn_over();
	lease_turn_over();
}

static void sqlite_attach(AR_UNUSED struct ar_store_loop *loop)
{
	ar_loop_before_wait(ar_loop(), turn_over, NULL);
}

/* ---- work that blocks, in the pool ---- */

struct named {
	struct sqlite_store *store;
	struct ar_str name;
};

static int create_job(void *arg)
{
	struct named *job = arg;

	return file_create(job->store, job->name);
}

static int drop_job(void *arg)
{
	struct named *job = arg;

	return file_drop(job->store, job->name);
}

static AR_YIELDS int sqlite_create(struct ar_store *store, struct ar_str name)
{
	struct named job = { store->driver, name };

	return ar_offload(AR_OFFLOAD_IO, create_job, &job);
}

static AR_YIELDS int sqlite_drop(struct ar_store *store, struct ar_str name)
{
	struct named job = { store->driver, name };

	return ar_offload(AR_OFFLOAD_IO, drop_job, &job);
}

static int db_open_job(void *arg)
{
	struct sqlite_db *db = arg;
	struct file *file;

	if (file_ref(db->db.home->store->driver, db->db.name, &file) != 0)
		return -1;
	if (sqlite_conn_open(&db->reader, file->path, CONN_READER) != 0) {
		file_unref(file);
		return -1;
	}
	db->file = file;
	return 0;
}

static AR_YIELDS int sqlite_db_open(struct ar_db *db)
{
	return ar_offload(AR_OFFLOAD_IO, db_open_job, db);
}

struct close_job {
	struct sqlite_db *db;
	struct ar_wake wake;
};

static void db_close_job(void *arg)
{
	struct close_job *job = arg;

	sqlite_conn_close(&job->db->reader);
	file_unref(job->db->file);
	ar_wake_post(&job->wake);
}

static AR_YIELDS void sqlite_db_close(struct ar_db *db)
{
	struct close_job job = { .db = (struct sqlite_db *)db };

	snapshot_end(job.db);
	lease_turn_over();
	ar_wake_init(&job.wake);
	if (ar_offload_post(AR_OFFLOAD_IO, db_close_job, NULL, NULL, &job) != 0) {
		ar_err_clear();
		db_close_job(&job);
	}
	ar_wake_wait(&job.wake);
}

/* ---- reads ---- */

struct read_job {
	struct file *file; /* NULL: on the writer, which the unit has */
	struct conn *conn;
	const struct ar_stmt *stmt;
	struct ar_rows *rows;
	int64_t deadline_ms;
	int64_t took_us;
};

static int read_on(struct conn *conn, struct read_job *job)
{
	struct cached *c;

	if (conn_prepare(conn, job->stmt->sql, &c) != 0)
		return -1;
	return conn_query(conn, c, job->stmt, 0, job->deadline_ms, job->rows);
}

static int read_in_pool(void *arg)
{
	struct read_job *job = arg;
	int64_t began = ar_mono_us();
	struct conn *conn = job->conn;
	int rc;

	if (job->file != NULL && file_spare_take(job->file, &conn) != 0)
		return -1;
	rc = read_on(conn, job);
	if (job->file != NULL)
		file_spare_give(job->file, conn);
	job->took_us = ar_mono_us() - began;
	return rc;
}

static AR_YIELDS int read_slow(struct sqlite_db *db, struct ar_uow *uow, const struct ar_stmt *stmt,
			       struct ar_rows *ret)
{
	struct read_job job = {
		.file = uow == NULL ? db->file : NULL,
		.conn = uow == NULL ? NULL : &db->file->writer,
		.stmt = stmt,
		.rows = ret,
		.deadline_ms = ar_deadline(),
	};
	int rc = ar_offload(AR_OFFLOAD_CPU, read_in_pool, &job);

	/* It was quick this time: the next one may try on the loop again. */
	if (rc == 0 && job.took_us < db->db.home->store->options.read_budget_us / 2) {
		struct conn *conn = uow == NULL ? &db->reader : &db->file->writer;
		struct cached *c;

		if (conn_prepare(conn, stmt->sql, &c) == 0)
			c->slow = 0;
	}
	return rc;
}

/* What is no change of rows is undone by a savepoint only. */
static int guard(struct unit *unit)
{
	int rc = undo_guard(unit);

	return rc == SQLITE_OK ? 0 : conn_fail(&unit->file->writer, rc, "savepoint");
}

/* A unit is about to read; what it sees may be others' that is not stored yet. */
static int see(struct unit *unit, const struct cached *c)
{
	unit->read = true;
	if (c->reads)
		return 0;
	if (guard(unit) != 0)
		return -1;
	undo_note_unknown(unit);
	return 0;
}

/* On the loop, for as long as the budget lasts. */
static int read_here(struct sqlite_db *db, struct ar_uow *uow, struct cached *c,
		     const struct ar_stmt *stmt, struct ar_rows *ret)
{
	struct conn *conn = uow == NULL ? &db->reader : &db->file->writer;
	int rc;

	if (c->slow > 0) {
		c->slow--;
		return CONN_OVER_BUDGET;
	}
	if (uow == NULL && (rc = snapshot_use(db)) != SQLITE_OK)
		return conn_fail(conn, rc, "BEGIN");
	rc = conn_query(conn, c, stmt, db->db.home->store->options.read_budget_us, AR_NO_DEADLINE,
			ret);
	if (rc == CONN_OVER_BUDGET)
		c->slow = SLOW_RUNS;
	return rc;
}

static AR_YIELDS int sqlite_query(struct ar_db *base, struct ar_uow *uow,
				  const struct ar_stmt *stmt, struct ar_rows *ret)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	struct cached *c;
	int rc;

	if (conn_prepare(uow == NULL ? &db->reader : &db->file->writer, stmt->sql, &c) != 0)
		return -1;
	if (uow != NULL && see((struct unit *)uow, c) != 0)
		return -1;
	rc = read_here(db, uow, c, stmt, ret);
	if (rc == CONN_OVER_BUDGET)
		rc = read_slow(db, uow, stmt, ret);
	if (rc != 0 && uow != NULL) /* an error of the disk may have cost the transaction */
		lease_check((struct unit *)uow);
	return rc;
}

/* ---- units of work ---- */

static AR_YIELDS int sqlite_begin(struct ar_uow *uow)
{
	struct unit *unit = (struct unit *)uow;

	unit->file = ((struct sqlite_db *)uow->db)->file;
	return lease_begin(unit);
}

static AR_YIELDS int sqlite_commit(struct ar_uow *uow)
{
	return lease_commit((struct unit *)uow);
}

static void sqlite_rollback(struct ar_uow *uow)
{
	lease_rollback((struct unit *)uow);
}

static int sqlite_exec(struct ar_uow *uow, const struct ar_stmt *stmt, int64_t *ret_changed)
{
	struct unit *unit = (struct unit *)uow;
	struct conn *conn = &unit->file->writer;
	struct ar_cell *values = ar_new_n(stmt->pool, struct ar_cell, stmt->nargs + 1);
	struct cached *c;

	for (size_t i = 0; i < stmt->nargs; i++)
		values[i] = conn_value(&stmt->args[i], stmt->pool);
	unit->read = true; /* a constraint may speak of others' rows */
	if (conn_prepare(conn, stmt->sql, &c) != 0 || (!c->rows_only && guard(unit) != 0) ||
	    conn_exec(conn, c, values, stmt->nargs, ret_changed) != 0) {
		lease_check(unit);
		return -1;
	}
	if (!c->rows_only)
		undo_note_unknown(unit);
	else if (conn->changed != 0)
		undo_note(unit, c, values, stmt->nargs);
	return 0;
}

struct script_job {
	struct conn *conn;
	const char *sql;
};

static int script_in_pool(void *arg)
{
	struct script_job *job = arg;

	return conn_script(job->conn, job->sql);
}

static AR_YIELDS int sqlite_exec_long(struct ar_uow *uow, const char *sql)
{
	struct unit *unit = (struct unit *)uow;
	struct script_job job = { &unit->file->writer, sql };
	int rc = guard(unit);

	undo_note_unknown(unit); /* a script that fails has done a part of it */
	if (rc == 0 && ar_offload(AR_OFFLOAD_IO, script_in_pool, &job) == 0)
		return 0;
	lease_check(unit);
	return -1;
}

static int savepoint_do(struct unit *unit, const char *sql)
{
	struct conn *conn = &unit->file->writer;
	struct cached *c;
	int rc;

	if (conn_prepare(conn, sql, &c) != 0)
		return -1;
	rc = conn_run(conn, c, NULL, 0);
	if (rc != SQLITE_OK)
		return conn_fail(conn, rc, sql);
	undo_note(unit, c, NULL, 0);
	return 0;
}

static int sqlite_savepoint(struct ar_uow *uow, enum ar_savepoint_op op)
{
	struct unit *unit = (struct unit *)uow;
	int rc = 0;

	if (op == AR_SAVEPOINT_SET)
		rc = guard(unit) == 0 ? savepoint_do(unit, "SAVEPOINT s") : -1;
	if (op == AR_SAVEPOINT_UNDO)
		rc = savepoint_do(unit, "ROLLBACK TO s");
	if (op != AR_SAVEPOINT_SET && rc == 0)
		rc = savepoint_do(unit, "RELEASE s");
	if (rc != 0)
		lease_check(unit);
	return rc;
}

const struct ar_store_ops ar_store_sqlite = {
	.name = "sqlite",
	.dialect = AR_SQLITE,
	.caps = AR_CAP_GROUP_COMMIT,
	.db_size = sizeof(struct sqlite_db),
	.uow_size = sizeof(struct unit),
	.open = sqlite_open,
	.close = sqlite_close,
	.attach = sqlite_attach,
	.create = sqlite_create,
	.drop = sqlite_drop,
	.db_open = sqlite_db_open,
	.db_close = sqlite_db_close,
	.query = sqlite_query,
	.exec = sqlite_exec,
	.exec_long = sqlite_exec_long,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.savepoint = sqlite_savepoint,
};
