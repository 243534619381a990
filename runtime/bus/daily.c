/*
 * daily.c - what is done once a day for each tenant: old rows away, files that nobody knows.
 *
 * Each is a timer of the tenant, "daily:NAME", which its worker adds when it is missing. It is due in
 * the small hours of this machine's time, each tenant at a moment of its own, and fires once when the
 * program was not there then. What has more to do than one unit of work should hold comes again a
 * second later.
 */
#include "bus/bus_int.h"

#include <assert.h>
#include <time.h>

#define DAILY_MAX 16
#define DAY_MS    (24 * 60 * 60 * 1000)
#define FROM_MS   (2 * 60 * 60 * 1000) /* two o'clock */
#define SPREAD_MS (3 * 60 * 60 * 1000)
#define MORE_MS   1000

static const struct ar_bus_daily *list[DAILY_MAX];
static size_t count;

static AR_YIELDS int fire(struct ar_scope *scope, struct ar_str database,
			  const struct ar_timer *timer);
static const struct ar_timer_kind kind = { "daily", fire };

void ar_bus_daily(const struct ar_bus_daily *daily)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == daily) /* a module that is started again */
			return;
	assert(count < DAILY_MAX);
	if (count == 0)
		ar_timer_register(&kind);
	list[count++] = daily;
}

static int64_t next_ms(struct ar_str database, int64_t now)
{
	time_t seconds = now / 1000;
	uint64_t hash = 14695981039346656037u;
	struct tm local;
	int64_t zone, at;

	for (size_t i = 0; i < database.n; i++)
		hash = (hash ^ (unsigned char)database.p[i]) * 1099511628211u;
	zone = localtime_r(&seconds, &local) != NULL ? (int64_t)local.tm_gmtoff * 1000 : 0;
	at = now + zone;
	at = at - at % DAY_MS - zone + FROM_MS + (int64_t)(hash % SPREAD_MS);
	return at > now ? at : at + DAY_MS;
}

static AR_YIELDS int set(struct ar_scope *scope, const struct ar_bus_daily *daily, int64_t due_ms)
{
	return ar_timer_set(scope,
			    &(struct ar_timer){ .id = ar_strf(scope->pool, "daily:%s", daily->name),
						.due_ms = due_ms,
						.kind = AR_STR("daily"),
						.data = ar_str(daily->name) });
}

static AR_YIELDS int fire(struct ar_scope *scope, struct ar_str database,
			  const struct ar_timer *timer)
{
	for (size_t i = 0; i < count; i++) {
		int64_t now = ar_now_ms();
		bool more = false;

		if (!ar_str_is(timer->data, list[i]->name))
			continue;
		if (list[i]->run(scope, database, &more) != 0)
			return -1;
		return set(scope, list[i], more ? now + MORE_MS : next_ms(database, now));
	}
	return 0; /* this program has none of the name: nobody misses it */
}

int daily_missing(struct ar_scope *scope, size_t *ret)
{
	struct ar_rows rows;

	*ret = 0;
	if (count == 0)
		return 0;
	if (ar_query(scope, &rows, "SELECT count(*) FROM bus_timer WHERE kind = 'daily'",
		     AR_NO_ARGS) != 0)
		return -1;
	*ret = ar_rows_next(&rows) && ar_col_int(&rows, 0) >= (int64_t)count ? 0 : count;
	return 0;
}

/* One that is there keeps its time. The worker looks at its timers after this. */
int daily_add(struct ar_scope *scope)
{
	int64_t due_ms = next_ms(ar_db_name(scope->db), ar_now_ms());

	for (size_t i = 0; i < count; i++)
		if (ar_exec(scope,
			    "INSERT INTO bus_timer (id, due_ms, kind, data, attempt) VALUES "
			    "(?, ?, 'daily', ?, 0) ON CONFLICT (id) DO NOTHING",
			    AR_ARGS(AR_J_STR(ar_strf(scope->pool, "daily:%s", list[i]->name)),
				    AR_J_INT(due_ms), AR_J_Z(list[i]->name)),
			    NULL) != 0)
			return -1;
	return 0;
}
