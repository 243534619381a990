/*
 * conn.c - one SQLite connection: how it is set up, its prepared statements, values in, rows out.
 *
 * Statements are prepared once per connection and kept by their text, the least used goes first.
 * A read has a budget: SQLite asks the progress handler every thousand instructions, and stops when
 * the handler says so. A statement that writes is never stopped, because SQLite would undo the
 * whole transaction with it, and others share that.
 */
#include "store/sqlite/sqlite_int.h"

#include <assert.h>

#define CACHE_MAX       96
#define PROGRESS_OPS    1000
#define EXPR_DEPTH_MAX  400
#define READER_CACHE_KB "1024"
#define WRITER_CACHE_KB "4096"

/* ---- errors ---- */

/* "UNIQUE constraint failed: t.a, t.b" gives "a,b"; "...: index 'x'" gives "x". */
static void constraint_of(const char *text, char *out, size_t cap)
{
	const char *at = strstr(text, "failed: ");
	size_t n = 0;

	out[0] = '\0';
	if (at == NULL)
		return;
	at += strlen("failed: ");
	if (strncmp(at, "index '", 7) == 0) {
		for (at += 7; *at != '\0' && *at != '\'' && n + 1 < cap; at++)
			out[n++] = *at;
		out[n] = '\0';
		return;
	}
	while (*at != '\0') {
		const char *end = strchr(at, ',');
		const char *dot = strchr(at, '.');
		const char *p = dot != NULL && (end == NULL || dot < end) ? dot + 1 : at;

		if (end == NULL)
			end = at + strlen(at);
		if (n > 0 && n + 1 < cap)
			out[n++] = ',';
		for (; p < end && n + 1 < cap; p++)
			out[n++] = *p;
		at = *end == ',' ? end + 1 : end;
		while (*at == ' ')
			at++;
	}
	out[n] = '\0';
}

int conn_fail(struct conn *conn, int rc, const char *sql)
{
	const char *text = conn->h != NULL ? sqlite3_errmsg(conn->h) : sqlite3_errstr(rc);
	char constraint[256];

	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		constraint_of(text, constraint, sizeof(constraint));
		return ar_fail(AR_E_UNIQUE, "constraint", constraint);
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return ar_fail(AR_E_REFERENCE);
	case SQLITE_CONSTRAINT_TRIGGER: /* how ON DELETE RESTRICT says it */
		if (strncmp(text, "FOREIGN KEY", 11) == 0)
			return ar_fail(AR_E_REFERENCE);
		break;
	}
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ar_fail_why(AR_E_BUSY, "%s (%d), in: %.300s", text, rc, sql);
	case SQLITE_TOOBIG:
		return ar_fail(AR_E_TOO_LARGE, "what", "value");
	default:
		if (strncmp(text, "Expression tree is too large", 28) == 0)
			return ar_fail(AR_E_TOO_LARGE, "what", "expression");
		return ar_fail_why(AR_E_STORE, "%s (%d), in: %.300s", text, rc, sql);
	}
}

/* ---- opening ---- */

static int on_progress(void *arg)
{
	struct conn *conn = arg;

	if (conn->deadline_ms != AR_NO_DEADLINE && conn->deadline_ms != 0 &&
	    ar_mono_ms() >= conn->deadline_ms) {
		conn->stopped = STOP_DEADLINE;
		return 1;
	}
	if (conn->budget_us == 0)
		return 0;
	if (conn->began_us == 0) {
		conn->began_us = ar_mono_us();
	} else if (ar_mono_us() - conn->began_us > conn->budget_us) {
		conn->stopped = STOP_BUDGET;
		return 1;
	}
	return 0;
}

static int configure(struct conn *conn, enum conn_kind kind)
{
	static const char reader[] = "PRAGMA query_only=ON; PRAGMA temp_store=MEMORY;"
				     " PRAGMA cache_size=-" READER_CACHE_KB;
	static const char writer[] =
		"PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
		" PRAGMA secure_delete=FAST; PRAGMA journal_size_limit=16777216;"
		" PRAGMA cache_size=-" WRITER_CACHE_KB;
	sqlite3 *h = conn->h;

	sqlite3_extended_result_codes(h, 1);
	sqlite3_db_config(h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, kind == CONN_READER, NULL);
	sqlite3_limit(h, SQLITE_LIMIT_ATTACHED, 0);
	/* Each level may take 400 bytes of a fiber's stack. */
	sqlite3_limit(h, SQLITE_LIMIT_EXPR_DEPTH, EXPR_DEPTH_MAX);
	sqlite3_limit(h, SQLITE_LIMIT_LENGTH, (int)AR_ROWS_BYTES_MAX);
	sqlite3_busy_timeout(h, 1000); /* only recovery after a crash makes anybody wait */
	sqlite3_wal_autocheckpoint(h, 0);
	sqlite3_progress_handler(h, PROGRESS_OPS, on_progress, conn);
	return sqlite3_exec(h, kind == CONN_READER ? reader : writer, NULL, NULL, NULL);
}

int sqlite_conn_open(struct conn *conn, const char *path, enum conn_kind kind)
{
	int rc;

	memset(conn, 0, sizeof(*conn));
	rc = sqlite3_open_v2(path, &conn->h,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
			     kind == CONN_WRITER ? GATHER_VFS : NULL);
	if (rc == SQLITE_OK)
		rc = configure(conn, kind);
	if (rc == SQLITE_OK) /* reads the schema now, off the loop, and proves the file */
		rc = sqlite3_exec(conn->h, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	conn_fail(conn, rc, "open");
	sqlite_conn_close(conn);
	return -1;
}

void sqlite_conn_close(struct conn *conn)
{
	struct cached *c = conn->first;

	while (c != NULL) {
		struct cached *next = c->next;

		sqlite3_finalize(c->h);
		ar_heap_free(c);
		c = next;
	}
	if (conn->h != NULL)
		sqlite3_close(conn->h);
	memset(conn, 0, sizeof(*conn));
}

bool conn_in_transaction(const struct conn *conn)
{
	return conn->h != NULL && sqlite3_get_autocommit(conn->h) == 0;
}

/* ---- prepared statements ---- */

static void used_remove(struct conn *conn, struct cached *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		conn->first = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		conn->last = c->prev;
}

static void used_first(struct conn *conn, struct cached *c)
{
	c->prev = NULL;
	c->next = conn->first;
	if (conn->first != NULL)
		conn->first->prev = c;
	else
		conn->last = c;
	conn->first = c;
}

/* The latest one stays: who has it may need another before it runs. False: none can go. */
static bool evict(struct conn *conn)
{
	struct cached *c = conn->last, **at;

	while (c != NULL && (c->pins > 0 || c == conn->first))
		c = c->prev;
	if (c == NULL)
		return false;
	at = &conn->buckets[c->hash % CONN_BUCKETS];
	while (*at != c)
		at = &(*at)->chain;
	*at = c->chain;
	used_remove(conn, c);
	conn->count--;
	sqlite3_finalize(c->h);
	ar_heap_free(c);
	return true;
}

/* INSERT, UPDATE and DELETE; for others the count of changed rows does not say what they did. */
static bool changes_rows_only(const char *sql)
{
	return strncmp(sql, "INSERT ", 7) == 0 || strncmp(sql, "UPDATE ", 7) == 0 ||
	       strncmp(sql, "DELETE ", 7) == 0;
}

static bool only_space(const char *tail)
{
	return tail[strspn(tail, " \t\r\n;")] == '\0';
}

static struct cached *find(struct conn *conn, const char *sql, size_t n, uint64_t hash)
{
	struct cached *c = conn->buckets[hash % CONN_BUCKETS];

	while (c != NULL && !(c->hash == hash && c->n == n && memcmp(c->sql, sql, n) == 0))
		c = c->chain;
	if (c != NULL && c != conn->first) {
		used_remove(conn, c);
		used_first(conn, c);
	}
	return c;
}

static struct cached *keep(struct conn *conn, sqlite3_stmt *h, const char *sql, size_t n,
			   uint64_t hash)
{
	struct cached *c = ar_heap_alloc(sizeof(*c) + n + 1);

	while (conn->count >= CACHE_MAX && evict(conn)) /* more than one: they were pinned */
		;
	*c = (struct cached){ .h = h, .hash = hash, .n = n };
	c->reads = sqlite3_stmt_readonly(h) != 0;
	c->rows_only = changes_rows_only(sql);
	memcpy(c->sql, sql, n + 1);
	c->chain = conn->buckets[hash % CONN_BUCKETS];
	conn->buckets[hash % CONN_BUCKETS] = c;
	used_first(conn, c);
	conn->count++;
	return c;
}

/* Not ar_hash(): it runs several times a request, and who could choose texts that collide would
 * gain nothing in a table of at most CACHE_MAX entries. */
static uint64_t text_hash(const char *text, size_t n)
{
	uint64_t hash = n, word;

	for (; n >= 8; text += 8, n -= 8) {
		memcpy(&word, text, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, text, n);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 32;
}

/* SQLITE_MISUSE: not exactly one statement. */
static int prepare(struct conn *conn, const char *sql, struct cached **ret)
{
	size_t n = strlen(sql);
	uint64_t hash = text_hash(sql, n);
	sqlite3_stmt *h = NULL;
	const char *tail;
	int rc;

	*ret = find(conn, sql, n, hash);
	if (*ret != NULL)
		return SQLITE_OK;
	rc = sqlite3_prepare_v3(conn->h, sql, (int)n + 1, SQLITE_PREPARE_PERSISTENT, &h, &tail);
	if (rc != SQLITE_OK)
		return rc;
	if (h == NULL || !only_space(tail)) {
		sqlite3_finalize(h);
		return SQLITE_MISUSE;
	}
	*ret = keep(conn, h, sql, n, hash);
	return SQLITE_OK;
}

int conn_prepare(struct conn *conn, const char *sql, struct cached **ret)
{
	int rc = prepare(conn, sql, ret);

	if (rc == SQLITE_OK)
		return 0;
	if (rc == SQLITE_MISUSE)
		return ar_fail_why(AR_E_STORE, "not exactly one statement: %.300s", sql);
	return conn_fail(conn, rc, sql);
}

/* ---- values in ---- */

struct ar_cell conn_value(const struct ar_json *v, struct ar_pool *pool)
{
	struct ar_cell value = { .type = v->type };
	struct ar_str s;

	switch (v->type) {
	case AR_BOOL:
		return (struct ar_cell){ .type = AR_INT, .i = v->b };
	case AR_INT:
		value.i = v->i;
		return value;
	case AR_FLOAT:
		value.f = v->f;
		return value;
	case AR_STRING:
		s = v->s;
		break;
	case AR_ARRAY:
	case AR_OBJECT:
		s = ar_json_print(pool, v);
		break;
	default:
		return (struct ar_cell){ .type = AR_NULL };
	}
	if (s.n > INT32_MAX) /* more than SQLite takes: it says so */
		s.n = INT32_MAX;
	return (struct ar_cell){
		.type = AR_STRING, .bytes = ar_stmt_is_bytes(v), .n = (uint32_t)s.n, .p = s.p
	};
}

static int bind_one(sqlite3_stmt *h, int at, const struct ar_cell *v)
{
	const char *p = v->type == AR_STRING && v->n > 0 ? v->p : "";

	switch (v->type) {
	case AR_INT:
		return sqlite3_bind_int64(h, at, v->i);
	case AR_FLOAT:
		return sqlite3_bind_double(h, at, v->f);
	case AR_STRING:
		return v->bytes ? sqlite3_bind_blob64(h, at, p, v->n, SQLITE_STATIC)
				: sqlite3_bind_text64(h, at, p, v->n, SQLITE_STATIC, SQLITE_UTF8);
	default:
		return sqlite3_bind_null(h, at);
	}
}

static int check_count(const struct cached *c, size_t nvalues)
{
	if ((size_t)sqlite3_bind_parameter_count(c->h) == nvalues)
		return 0;
	return ar_fail_why(AR_E_STORE, "%zu values for %d places: %.300s", nvalues,
			   sqlite3_bind_parameter_count(c->h), c->sql);
}

static int bind(struct conn *conn, struct cached *c, const struct ar_stmt *stmt)
{
	if (check_count(c, stmt->nargs) != 0)
		return -1;
	for (size_t i = 0; i < stmt->nargs; i++) {
		struct ar_cell value = conn_value(&stmt->args[i], stmt->pool);
		int rc = bind_one(c->h, (int)i + 1, &value);

		if (rc != SQLITE_OK)
			return conn_fail(conn, rc, c->sql);
	}
	return 0;
}

/* Leaves no read transaction and no pointer to the caller's values behind. */
static void finish(struct cached *c, size_t nvalues)
{
	sqlite3_reset(c->h);
	if (nvalues > 0)
		sqlite3_clear_bindings(c->h);
}

/* ---- rows out ---- */

/* The connection belongs to one thread at a time, so the value needs no mutex of its own. Its text is
 * SQLite's until the next step. */
static struct ar_cell cell_of(sqlite3_value *v)
{
	int type = sqlite3_value_type(v);

	switch (type) {
	case SQLITE_INTEGER:
		return (struct ar_cell){ .type = AR_INT, .i = sqlite3_value_int64(v) };
	case SQLITE_FLOAT:
		return (struct ar_cell){ .type = AR_FLOAT, .f = sqlite3_value_double(v) };
	case SQLITE_BLOB:
	case SQLITE_TEXT:
		return (struct ar_cell){ .type = AR_STRING,
					 .bytes = type == SQLITE_BLOB,
					 .p = sqlite3_value_blob(v),
					 .n = (uint32_t)sqlite3_value_bytes(v) };
	default:
		return (struct ar_cell){ .type = AR_NULL };
	}
}

static int collect(struct conn *conn, struct cached *c, const struct ar_stmt *stmt,
		   struct ar_rows *ret)
{
	struct ar_rows_builder builder;
	int rc = sqlite3_step(c->h); /* may prepare again: columns are known after it */
	int columns = sqlite3_column_count(c->h);
	struct ar_cell *cells = ar_new_n(stmt->pool, struct ar_cell, (size_t)columns);

	ar_rows_begin(&builder, ret, stmt->pool, (size_t)columns);
	while (rc == SQLITE_ROW) {
		for (int i = 0; i < columns; i++)
			cells[i] = cell_of(sqlite3_column_value(c->h, i));
		if (ar_rows_copy(&builder, cells) != 0)
			return -1;
		rc = sqlite3_step(c->h);
	}
	if (rc == SQLITE_DONE)
		return 0;
	if (rc == SQLITE_INTERRUPT && conn->stopped == STOP_BUDGET)
		return CONN_OVER_BUDGET;
	if (rc == SQLITE_INTERRUPT && conn->stopped == STOP_DEADLINE)
		return ar_fail(AR_E_DEADLINE);
	return conn_fail(conn, rc, c->sql);
}

int conn_query(struct conn *conn, struct cached *c, const struct ar_stmt *stmt, int64_t budget_us,
	       int64_t deadline_ms, struct ar_rows *ret)
{
	int rc = bind(conn, c, stmt);

	if (rc == 0) {
		conn->budget_us = c->reads ? budget_us : 0;
		conn->deadline_ms = c->reads ? deadline_ms : 0;
		conn->began_us = 0;
		conn->stopped = STOP_NONE;
		rc = collect(conn, c, stmt, ret);
		conn->budget_us = conn->deadline_ms = 0;
	}
	finish(c, stmt->nargs);
	return rc;
}

/* ---- statements that write ---- */

int conn_run(struct conn *conn, struct cached *c, const struct ar_cell *values, size_t nvalues)
{
	int64_t before = sqlite3_total_changes64(conn->h);
	int rc = SQLITE_OK;

	for (size_t i = 0; i < nvalues && rc == SQLITE_OK; i++)
		rc = bind_one(c->h, (int)i + 1, &values[i]);
	if (rc == SQLITE_OK) {
		do
			rc = sqlite3_step(c->h);
		while (rc == SQLITE_ROW);
	}
	conn->changed = sqlite3_total_changes64(conn->h) - before;
	finish(c, nvalues);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int conn_exec(struct conn *conn, struct cached *c, const struct ar_cell *values, size_t nvalues,
	      int64_t *ret_changed)
{
	int rc;

	if (check_count(c, nvalues) != 0)
		return -1;
	rc = conn_run(conn, c, values, nvalues);
	if (rc != SQLITE_OK)
		return conn_fail(conn, rc, c->sql);
	/* SQLite keeps the count of the last INSERT, UPDATE or DELETE through other statements. */
	*ret_changed = conn->changed == 0 ? 0 : sqlite3_changes64(conn->h);
	return 0;
}

int conn_script(struct conn *conn, const char *sql)
{
	int rc = sqlite3_exec(conn->h, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : conn_fail(conn, rc, sql);
}

int conn_do(struct conn *conn, const char *sql)
{
	struct cached *c;
	int rc;

	rc = prepare(conn, sql, &c);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(c->h);
	sqlite3_reset(c->h);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}
