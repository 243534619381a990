/*
 * replies.c - how many bytes of replies are kept for a tenant's Idempotency-Keys: no more than a
 * bound, above which new keys are refused until older replies are a day old. A reply is never
 * forgotten early, for its request would then be done twice.
 *
 * One server at a time has the databases, so a number in memory that all loops share will do: counted
 * from the table's index when a tenant's first key comes, and again when it is over the bound, at most
 * once a minute. It may be too high in between (a unit that failed, a reply that is too old by now).
 */
#include <pthread.h>

#include "action/action_int.h"

#define AGAIN_MS 60000
#define ROW_SIZE 300 /* the other columns of a row and its places in indexes, about */

struct kept {
	int64_t bytes, counted_ms; /* 0: not yet */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ar_map *tenants; /* struct kept, by name */
static int64_t most = INT64_C(1) << 30;

void ar_action_replies_max(int64_t bytes)
{
	pthread_mutex_lock(&lock);
	most = bytes;
	pthread_mutex_unlock(&lock);
}

void ar_action_forget(struct ar_str tenant)
{
	pthread_mutex_lock(&lock);
	if (tenants != NULL)
		ar_heap_free(ar_map_remove(tenants, tenant));
	pthread_mutex_unlock(&lock);
}

void replies_done(void)
{
	ar_map_free(tenants, ar_heap_free);
	tenants = NULL;
}

/* Under lock. */
static struct kept *kept_of(struct ar_str tenant)
{
	struct kept *kept;

	if (tenants == NULL)
		tenants = ar_map_new();
	kept = ar_map_get(tenants, tenant);
	if (kept == NULL) {
		kept = ar_heap_new(struct kept);
		ar_map_set(tenants, tenant, kept);
	}
	return kept;
}

/* True when the number says that there is room, or that it is to be counted. */
static bool known(struct ar_str tenant, int64_t now, bool *ret_count)
{
	struct kept *kept;
	bool room;

	pthread_mutex_lock(&lock);
	kept = kept_of(tenant);
	room = kept->bytes <= most;
	*ret_count = kept->counted_ms == 0 || (!room && now - kept->counted_ms >= AGAIN_MS);
	if (*ret_count)
		kept->counted_ms = now; /* the others go by what it was */
	pthread_mutex_unlock(&lock);
	return room;
}

/* bytes < 0: it could not be counted. */
static bool counted(struct ar_str tenant, int64_t bytes)
{
	bool room;

	pthread_mutex_lock(&lock);
	if (bytes >= 0)
		kept_of(tenant)->bytes = bytes;
	else
		kept_of(tenant)->counted_ms = 0;
	room = bytes <= most;
	pthread_mutex_unlock(&lock);
	return room;
}

AR_YIELDS int replies_room(struct ar_call *call, int64_t keep_ms)
{
	int64_t now = ar_now_ms();
	bool count, room = known(call->tenant->name, now, &count);

	if (count) {
		struct ar_rows rows;

		if (ar_query(&call->scope, &rows,
			     "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM action_reply "
			     "WHERE created > ?",
			     AR_ARGS(AR_J_INT(now - keep_ms))) != 0) {
			counted(call->tenant->name, -1);
			return -1;
		}
		room = counted(call->tenant->name, ar_rows_next(&rows) ? ar_col_int(&rows, 0) : 0);
	}
	if (room)
		return 0;
	ar_reply_header(call, "retry-after", AR_STR("60"));
	return ar_fail(AR_E_KEYS_FULL);
}

int64_t replies_add(const struct ar_call *call, int64_t bytes)
{
	pthread_mutex_lock(&lock);
	kept_of(call->tenant->name)->bytes += bytes + ROW_SIZE;
	pthread_mutex_unlock(&lock);
	return bytes + ROW_SIZE;
}
