/*
 * prune.c - what is kept stays bounded: events that were delivered go when they are old, or when
 * there are too many bytes of them; the oldest dead letters go when there are too many bytes of those.
 *
 * How much there is stands in the state row. The log's bytes are counted as its position passes them,
 * in the same statement, so nobody reads the whole log and publishing does nothing for it. Dead letters
 * are rare: each is counted as it comes and goes.
 *
 * May surprise: an event that waits for a delivery stays, and all that follow it, however many.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

#define PRUNE_EVENTS  1000
#define PRUNE_PART    16 /* of what may be kept is made free at once */
#define PRUNE_ROWS    2000
#define PRUNE_BYTES   (64 << 20) /* of one unit of work, about */
#define PRUNE_EACH_MS 600000
#define PRUNE_MORE_MS 1000 /* there are more rows than one unit of work takes */
#define DEAD_ROWS     32

#define MB INT64_C(1048576)
static _Atomic int64_t keep_ms = INT64_C(7) * 24 * 3600 * 1000;
static _Atomic int64_t keep_log = 1024 * MB, keep_dead = 256 * MB;

void ar_bus_retain(const struct ar_bus_retain *retain)
{
	atomic_store(&keep_ms, retain->log_ms);
	atomic_store(&keep_log, retain->log_bytes);
	atomic_store(&keep_dead, retain->dead_bytes);
}

#define TEXT(token)    #token
#define TEXT_OF(macro) TEXT(macro)
#define ROW_BYTES      TEXT_OF(ROW_SIZE)

static const char *const oldest_sql[] = {
#define OLDEST_SQL(bytes)                                                                          \
	"SELECT seq, time_ms, " bytes " + " ROW_BYTES                                              \
	" FROM bus_event WHERE seq < ? ORDER BY seq LIMIT ?"
	[AR_SQLITE] = OLDEST_SQL("length(CAST(data AS BLOB))"),
	[AR_POSTGRES] = OLDEST_SQL("octet_length(data)"),
};

/* ---- the log ---- */

struct pruning {
	struct worker *w;
	struct ar_scope scope;
	int64_t before_ms, most; /* older ones go, and what is over so many bytes */
	int64_t freed;
	bool more;
};

/* The newest event stays, for seq goes on from it, and so does what waits for a delivery. Rows of
 * those come in the order of the log; one that was redriven has its event with it. */
static AR_YIELDS int bound_of(struct pruning *p, int64_t *ret)
{
	struct ar_rows rows;

	if (ar_query(&p->scope, &rows, "SELECT seq FROM bus_delivery ORDER BY id LIMIT 1",
		     AR_NO_ARGS) != 0)
		return -1;
	*ret = p->w->stored;
	if (ar_rows_next(&rows))
		*ret = AR_MIN(*ret, ar_col_int(&rows, 0));
	return 0;
}

/* first: the oldest event. */
static AR_YIELDS int delete_oldest(struct pruning *p, int64_t first)
{
	/* To ask for a row's size is to read it: not many of large ones. */
	int64_t each = p->w->log_bytes / AR_MAX(p->w->stored - first + 1, 1) + 1;
	int64_t limit = AR_MAX(AR_MIN(PRUNE_BYTES / AR_MAX(each, 1), PRUNE_ROWS), 16);
	int64_t bound, last = 0;
	struct ar_rows rows;

	if (bound_of(p, &bound) != 0 ||
	    ar_query(&p->scope, &rows, oldest_sql[ar_db_dialect(p->w->db)],
		     AR_ARGS(AR_J_INT(bound), AR_J_INT(limit))) != 0)
		return -1;
	p->more = (int64_t)rows.count == limit;
	while (ar_rows_next(&rows)) {
		if (ar_col_int(&rows, 1) >= p->before_ms && p->w->log_bytes - p->freed <= p->most) {
			p->more = false;
			break;
		}
		last = ar_col_int(&rows, 0);
		p->freed += ar_col_int(&rows, 2);
	}
	if (last == 0)
		return 0;
	if (ar_exec(&p->scope, "UPDATE bus_state SET log_bytes = log_bytes - ? WHERE id = 1",
		    AR_ARGS(AR_J_INT(p->freed)), NULL) != 0)
		return -1;
	return ar_exec(&p->scope, "DELETE FROM bus_event WHERE seq <= ?", AR_ARGS(AR_J_INT(last)),
		       NULL);
}

static AR_YIELDS int prune_log(struct pruning *p)
{
	struct ar_rows rows;

	if (ar_query(&p->scope, &rows, "SELECT seq, time_ms FROM bus_event ORDER BY seq LIMIT 1",
		     AR_NO_ARGS) != 0)
		return -1;
	if (!ar_rows_next(&rows) ||
	    (ar_col_int(&rows, 1) >= p->before_ms && p->w->log_bytes <= p->most))
		return 0;
	if (delete_oldest(p, ar_col_int(&rows, 0)) != 0)
		return -1;
	return ar_commit(&p->scope);
}

static void look_again(struct worker *w)
{
	w->look_ms = AR_MIN(w->look_ms, w->pruned_ms + PRUNE_MORE_MS);
}

static bool is_time(struct worker *w, int64_t now, bool over)
{
	if (w->stored - w->pruned_at >= PRUNE_EVENTS || now - w->pruned_ms >= PRUNE_EACH_MS)
		return true;
	if (!over)
		return false;
	if (!w->stuck || now - w->pruned_ms >= PRUNE_MORE_MS)
		return true;
	look_again(w); /* what was waited for may be delivered by now */
	return false;
}

int prune(struct worker *w)
{
	int64_t now = ar_now_ms(), most = atomic_load(&keep_log);
	bool over = w->log_bytes > most;
	struct pruning p = { .w = w, .before_ms = now - atomic_load(&keep_ms), .most = most };
	struct ar_pool *pool;
	int rc;

	if (!is_time(w, now, over))
		return 0;
	w->pruned_at = w->stored;
	w->pruned_ms = now;
	if (over) /* not at every turn */
		p.most -= most / PRUNE_PART;
	pool = ar_pool_new();
	ar_scope_init(&p.scope, w->db, pool);
	rc = prune_log(&p);
	if (rc != 0)
		ar_rollback(&p.scope);
	else
		w->log_bytes -= p.freed;
	w->stuck = over && p.freed == 0;
	ar_pool_free(pool);
	if (rc == 0 && p.more) { /* also when nothing else keeps the worker awake */
		look_again(w);
		w->pruned_ms = now - PRUNE_EACH_MS + PRUNE_MORE_MS;
	}
	return rc;
}

/* ---- dead letters ---- */

static const struct {
	const char *uncount, *oldest;
} dead_sql[] = {
#define DEAD_SQL(bytes)                                                                            \
	{                                                                                          \
		"UPDATE bus_state SET dead_bytes = dead_bytes - coalesce((SELECT " bytes           \
		" FROM bus_dead WHERE id = ?), 0) WHERE id = 1",                                   \
			"SELECT id, " bytes " FROM bus_dead ORDER BY id LIMIT ?"                   \
	}
	[AR_SQLITE] = DEAD_SQL("length(CAST(event AS BLOB)) + " ROW_BYTES),
	[AR_POSTGRES] = DEAD_SQL("octet_length(event) + " ROW_BYTES),
};

static AR_YIELDS int dead_moves(struct ar_scope *scope, int64_t bytes)
{
	return ar_exec(scope, "UPDATE bus_state SET dead_bytes = dead_bytes + ? WHERE id = 1",
		       AR_ARGS(AR_J_INT(bytes)), NULL);
}

/* Takes the oldest away until `over` bytes are gone. */
static AR_YIELDS int dead_drop(struct ar_scope *scope, int64_t over)
{
	if (over > 0)
		ar_warn("bus", "the oldest dead letters are dropped: there are too many");
	while (over > 0) {
		int64_t last = 0, freed = 0;
		struct ar_rows rows;

		if (ar_query(scope, &rows, dead_sql[ar_db_dialect(scope->db)].oldest,
			     AR_ARGS(AR_J_INT(DEAD_ROWS))) != 0)
			return -1;
		while (freed < over && ar_rows_next(&rows)) {
			last = ar_col_int(&rows, 0);
			freed += ar_col_int(&rows, 1);
		}
		if (last == 0)
			return 0;
		if (ar_exec(scope, "DELETE FROM bus_dead WHERE id <= ?", AR_ARGS(AR_J_INT(last)),
			    NULL) != 0 ||
		    dead_moves(scope, -freed) != 0)
			return -1;
		over -= freed;
	}
	return 0;
}

int dead_came(struct ar_scope *scope, struct ar_str event)
{
	struct ar_rows rows;

	if (dead_moves(scope, (int64_t)event.n + ROW_SIZE) != 0 ||
	    ar_query(scope, &rows, "SELECT dead_bytes FROM bus_state WHERE id = 1", AR_NO_ARGS) !=
		    0)
		return -1;
	return ar_rows_next(&rows)
		       ? dead_drop(scope, ar_col_int(&rows, 0) - atomic_load(&keep_dead))
		       : 0;
}

int dead_goes(struct ar_scope *scope, int64_t id, int64_t *ret_gone)
{
	if (ar_exec(scope, dead_sql[ar_db_dialect(scope->db)].uncount, AR_ARGS(AR_J_INT(id)),
		    NULL) != 0)
		return -1;
	return ar_exec(scope, "DELETE FROM bus_dead WHERE id = ?", AR_ARGS(AR_J_INT(id)), ret_gone);
}
