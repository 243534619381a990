/*
 * scope.c - what a caller holds: statements, units of work and their hooks.
 *
 * A unit begins with the first write and ends with ar_commit() or ar_rollback(). One that is
 * forgotten is rolled back, with an error in the log, when the scope's pool ends.
 */
#include "store/store_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* A unit keeps others of its tenant waiting: one that lasts longer gets no further statement. */
#define UNIT_MAX_US (30 * (int64_t)1000000)

void ar_scope_init(struct ar_scope *scope, struct ar_db *db, struct ar_pool *pool)
{
	*scope = (struct ar_scope){ .db = db, .pool = pool };
}

static const struct ar_store_ops *ops_of(const struct ar_scope *scope)
{
	return scope->db->home->store->ops;
}

/* ---- statements ---- */

static int may_run(const struct ar_scope *scope, int64_t now_us)
{
	const struct ar_uow *uow = scope->uow;

	if (ar_check_at(now_us / 1000) != 0)
		return -1;
	if (uow == NULL)
		return 0;
	assert(uow->fiber == ar_self());
	if (uow->lost)
		return ar_fail_why(AR_E_STORE, "the unit of work was lost by an earlier failure");
	if (now_us - uow->began_us > UNIT_MAX_US)
		return ar_fail_why(AR_E_DEADLINE, "the unit of work was open for too long");
	return 0;
}

static void ran(const struct ar_scope *scope, const char *sql, int64_t began_us)
{
	struct ar_store *store = scope->db->home->store;
	int64_t took = ar_mono_us() - began_us;
	struct ar_str name = scope->db->name;
	char ms[32], tenant[AR_DB_NAME_MAX + 1];

	store->count.statements++;
	if (took < store->options.slow_ms * 1000)
		return;
	store->count.slow++;
	snprintf(ms, sizeof(ms), "%" PRId64, took / 1000);
	snprintf(tenant, sizeof(tenant), "%.*s", AR_FMT(name));
	ar_warn("store", "slow statement", "sql", sql, "ms", ms, "database", tenant);
}

static AR_YIELDS int query(struct ar_scope *scope, struct ar_rows *ret, const struct ar_stmt *stmt)
{
	int64_t began = ar_mono_us();
	struct ar_rows rows;
	int rc;

	if (may_run(scope, began) != 0)
		return -1;
	rc = ops_of(scope)->query(scope->db, scope->uow, stmt, &rows);
	ran(scope, stmt->sql, began);
	if (rc == 0)
		*ret = rows;
	return rc;
}

int ar_query(struct ar_scope *scope, struct ar_rows *ret, const char *sql,
	     const struct ar_json *args, size_t nargs)
{
	struct ar_stmt stmt = { .sql = sql, .args = args, .nargs = nargs, .pool = scope->pool };

	return query(scope, ret, &stmt);
}

int ar_query_lock(struct ar_scope *scope, struct ar_rows *ret, const char *sql,
		  const struct ar_json *args, size_t nargs)
{
	struct ar_stmt stmt = {
		.sql = sql, .args = args, .nargs = nargs, .lock = true, .pool = scope->pool
	};

	if (ar_begin(scope) != 0)
		return -1;
	return query(scope, ret, &stmt);
}

int ar_exec(struct ar_scope *scope, const char *sql, const struct ar_json *args, size_t nargs,
	    int64_t *ret_changed)
{
	struct ar_stmt stmt = { .sql = sql, .args = args, .nargs = nargs, .pool = scope->pool };
	int64_t changed = 0, began;
	int rc;

	if (ar_begin(scope) != 0)
		return -1;
	began = ar_mono_us();
	if (may_run(scope, began) != 0)
		return -1;
	rc = ops_of(scope)->exec(scope->uow, &stmt, &changed);
	ran(scope, sql, began);
	if (rc == 0 && ret_changed != NULL)
		*ret_changed = changed;
	return rc;
}

int ar_exec_long(struct ar_scope *scope, const char *sql)
{
	int64_t began;
	int rc;

	if (ar_begin(scope) != 0)
		return -1;
	began = ar_mono_us();
	if (may_run(scope, began) != 0)
		return -1;
	rc = ops_of(scope)->exec_long(scope->uow, sql);
	ran(scope, sql, began);
	if (scope->uow != NULL) /* it was expected to be long: the clock of the unit stood still */
		scope->uow->began_us += ar_mono_us() - began;
	return rc;
}

/* ---- units of work ---- */

static void unit_ended(struct ar_uow *uow)
{
	DL_DELETE(store_here->units, uow);
	uow->ended = true;
}

static void unit_forgotten(void *arg)
{
	struct ar_uow *uow = arg;

	if (uow->ended)
		return;
	ar_error("store", "a unit of work was left open; it is rolled back");
	unit_ended(uow);
	uow->forgotten = true;
	uow->db->home->store->ops->rollback(uow);
}

/* A second unit of the same fiber on the same database would wait for the first one's lease. */
static bool would_wait_for_itself(const struct ar_scope *scope)
{
	const struct ar_uow *u;

	if ((ops_of(scope)->caps & AR_CAP_GROUP_COMMIT) == 0)
		return false;
	for (u = store_here->units; u != NULL; u = u->next) {
		if (u->db == scope->db && u->fiber == ar_self())
			return true;
	}
	return false;
}

int ar_begin(struct ar_scope *scope)
{
	struct ar_uow *uow;

	if (scope->uow != NULL)
		return 0;
	assert(store_here != NULL && scope->db->home == &store_here->pub && ar_self() != NULL);
	if (ar_check() != 0)
		return -1;
	if (would_wait_for_itself(scope))
		return ar_fail_why(AR_E_INTERNAL, "a unit of work inside a unit of work");
	uow = ar_alloc(scope->pool, ops_of(scope)->uow_size);
	uow->db = scope->db;
	uow->fiber = ar_self();
	uow->ended = true; /* until it has begun */
	if (ops_of(scope)->begin(uow) != 0)
		return -1;
	uow->ended = false;
	uow->began_us = ar_mono_us();
	DL_PREPEND(store_here->units, uow);
	ar_defer(scope->pool, unit_forgotten, uow);
	scope->uow = uow;
	return 0;
}

static void drop_hooks(struct ar_scope *scope)
{
	scope->before = scope->after = NULL;
}

void ar_rollback(struct ar_scope *scope)
{
	struct ar_uow *uow = scope->uow;

	drop_hooks(scope);
	if (uow == NULL)
		return;
	assert(uow->fiber == ar_self());
	scope->uow = NULL;
	unit_ended(uow);
	ar_shield(true);
	ops_of(scope)->rollback(uow);
	ar_shield(false);
}

static AR_YIELDS int run_before(struct ar_scope *scope)
{
	struct ar_scope_hook *hook;

	while ((hook = scope->before) != NULL) { /* a hook may register more */
		scope->before = hook->next;
		if (hook->before(scope, hook->arg) != 0)
			return -1;
	}
	return 0;
}

int ar_commit(struct ar_scope *scope)
{
	struct ar_uow *uow = scope->uow;
	struct ar_scope_hook *hook;
	int rc;

	if (uow == NULL) {
		drop_hooks(scope);
		return 0;
	}
	if (run_before(scope) != 0 || may_run(scope, ar_mono_us()) != 0) {
		ar_rollback(scope);
		return -1;
	}
	assert(uow->savepoints == 0);
	scope->uow = NULL;
	unit_ended(uow);
	ar_shield(true);
	rc = ops_of(scope)->commit(uow);
	ar_shield(false);
	hook = scope->after;
	drop_hooks(scope);
	if (rc != 0)
		return -1;
	scope->db->home->store->count.units++;
	for (; hook != NULL; hook = hook->next)
		hook->after(hook->arg);
	return 0;
}

bool ar_in_unit(void)
{
	const struct ar_fiber *self = ar_self();

	if (store_here == NULL || self == NULL)
		return false;
	for (const struct ar_uow *u = store_here->units; u != NULL; u = u->next) {
		if (u->fiber == self)
			return true;
	}
	return false;
}

/* ---- savepoints ---- */

int ar_savepoint(struct ar_scope *scope)
{
	if (ar_begin(scope) != 0 || may_run(scope, ar_mono_us()) != 0)
		return -1;
	if (ops_of(scope)->savepoint(scope->uow, AR_SAVEPOINT_SET) != 0)
		return -1;
	scope->uow->savepoints++;
	return 0;
}

/* Hooks of an undone part go; those of a kept part belong to what is around it. */
static void hooks_leave(struct ar_scope_hook **list, unsigned depth, bool keep)
{
	while (*list != NULL) {
		if ((*list)->depth < depth) {
			list = &(*list)->next;
		} else if (keep) {
			(*list)->depth = depth - 1;
			list = &(*list)->next;
		} else {
			*list = (*list)->next;
		}
	}
}

static AR_YIELDS int savepoint_leave(struct ar_scope *scope, enum ar_savepoint_op op)
{
	struct ar_uow *uow = scope->uow;
	bool keep = op == AR_SAVEPOINT_KEEP;

	assert(uow != NULL && uow->savepoints > 0);
	hooks_leave(&scope->before, uow->savepoints, keep);
	hooks_leave(&scope->after, uow->savepoints, keep);
	uow->savepoints--;
	if (uow->lost)
		return keep ? may_run(scope, uow->began_us) : -1;
	return ops_of(scope)->savepoint(uow, op);
}

int ar_savepoint_keep(struct ar_scope *scope)
{
	return savepoint_leave(scope, AR_SAVEPOINT_KEEP);
}

int ar_savepoint_undo(struct ar_scope *scope)
{
	int rc;

	ar_shield(true);
	rc = savepoint_leave(scope, AR_SAVEPOINT_UNDO);
	ar_shield(false);
	return rc;
}

/* ---- hooks ---- */

static struct ar_scope_hook *hook_add(struct ar_scope *scope, struct ar_scope_hook **list)
{
	struct ar_scope_hook *hook = ar_new(scope->pool, struct ar_scope_hook);

	while (*list != NULL)
		list = &(*list)->next;
	hook->depth = scope->uow != NULL ? scope->uow->savepoints : 0;
	*list = hook;
	return hook;
}

int ar_before_commit(struct ar_scope *scope, int (*fn)(struct ar_scope *scope, void *arg),
		     void *arg)
{
	struct ar_scope_hook *hook = hook_add(scope, &scope->before);

	hook->before = fn;
	hook->arg = arg;
	return 0;
}

int ar_after_commit(struct ar_scope *scope, void (*fn)(void *arg), void *arg)
{
	struct ar_scope_hook *hook = hook_add(scope, &scope->after);

	hook->after = fn;
	hook->arg = arg;
	return 0;
}
