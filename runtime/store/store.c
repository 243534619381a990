/*
 * store.c - the process's store: opened by its url's driver, what it knows of each name, databases
 * made and dropped. To drop one, every loop closes its handle first.
 */
#include "store/store_int.h"

#include <assert.h>

const struct ar_err_def AR_E_UNIQUE[1] = { { "store/unique", 409 } };
const struct ar_err_def AR_E_REFERENCE[1] = { { "store/reference", 409 } };
const struct ar_err_def AR_E_BUSY[1] = { { "store/busy", 503 } };
const struct ar_err_def AR_E_STORE[1] = { { "store/failed", 500 } };
const struct ar_err_def AR_E_NO_DATABASE[1] = { { "store/no-database", 404 } };

static const struct {
	const char *prefix;
	const struct ar_store_ops *ops;
} drivers[] = {
	{ "sqlite:", &ar_store_sqlite },
	{ "postgres://", &ar_store_postgres },
	{ "postgresql://", &ar_store_postgres },
};

#define DROP_WAIT_MS 10000

static const struct ar_store_ops *driver_of(struct ar_str url)
{
	if (url.n == 0)
		return &ar_store_sqlite;
	for (size_t i = 0; i < AR_COUNT(drivers); i++) {
		if (ar_str_starts(url, ar_str(drivers[i].prefix)))
			return drivers[i].ops;
	}
	return NULL;
}

static void options_copy(struct ar_store_options *to, const struct ar_store_options *from)
{
	*to = *from;
	to->url = ar_str(ar_heap_strz(from->url));
	to->data = ar_str(ar_heap_strz(from->data));
	if (to->open_max <= 0)
		to->open_max = 512;
	if (to->idle_ms <= 0)
		to->idle_ms = 60000;
	if (to->read_budget_us <= 0)
		to->read_budget_us = 5000;
	if (to->slow_ms <= 0)
		to->slow_ms = 100;
	if (to->pg_connections <= 0)
		to->pg_connections = 16;
}

static void store_free(struct ar_store *store)
{
	ar_map_free(store->core->names, ar_heap_free);
	pthread_mutex_destroy(&store->core->lock);
	ar_heap_free((char *)store->options.url.p);
	ar_heap_free((char *)store->options.data.p);
	ar_heap_free(store->core);
	ar_heap_free(store);
}

int ar_store_open(const struct ar_store_options *options, struct ar_store **ret)
{
	const struct ar_store_ops *ops = driver_of(options->url);
	struct ar_store *store;

	if (ops == NULL)
		return ar_fail_why(AR_E_STORE, "no driver for this kind of store url");
	store = ar_heap_new(struct ar_store);
	store->ops = ops;
	store->core = ar_heap_new(struct ar_store_core);
	store->core->names = ar_map_new();
	pthread_mutex_init(&store->core->lock, NULL);
	options_copy(&store->options, options);
	if (ops->open(store) != 0) {
		store_free(store);
		return -1;
	}
	*ret = store;
	return 0;
}

void ar_store_close(struct ar_store *store)
{
	if (store == NULL)
		return;
	assert(store->core->loops == NULL);
	store->ops->close(store);
	store_free(store);
}

int ar_store_claim(struct ar_store *store, void (*lost)(void))
{
	return store->ops->claim != NULL ? store->ops->claim(store, lost) : 0;
}

enum ar_dialect ar_store_dialect(const struct ar_store *store)
{
	return store->ops->dialect;
}

void ar_store_stats(struct ar_store *store, struct ar_store_stats *ret)
{
	*ret = (struct ar_store_stats){
		.commits = store->count.commits,
		.units = store->count.units,
		.statements = store->count.statements,
		.slow = store->count.slow,
		.lease_waits = store->count.lease_waits,
		.replays = store->count.replays,
		.open = store->count.open,
	};
}

/* ---- names ---- */

/* Under core->lock. */
static struct store_name *name_of(struct ar_store_core *core, struct ar_str name)
{
	struct store_name *known = ar_map_get(core->names, name);

	if (known == NULL) {
		known = ar_heap_new(struct store_name);
		ar_map_set(core->names, name, known);
	}
	return known;
}

struct store_name store_name_get(struct ar_store *store, struct ar_str name)
{
	struct store_name known = { 0 }, *found;

	pthread_mutex_lock(&store->core->lock);
	found = ar_map_get(store->core->names, name);
	if (found != NULL)
		known = *found;
	pthread_mutex_unlock(&store->core->lock);
	return known;
}

void store_name_migrated(struct ar_store *store, struct ar_str name)
{
	pthread_mutex_lock(&store->core->lock);
	name_of(store->core, name)->migrated = true;
	pthread_mutex_unlock(&store->core->lock);
}

bool ar_db_name_valid(struct ar_str name)
{
	if (name.n < 1 || name.n > AR_DB_NAME_MAX || name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return true;
}

/* The platform's own is one, too. */
bool store_name_valid(struct ar_str name)
{
	return name.n == 0 || ar_db_name_valid(name);
}

/* ---- making and dropping ---- */

int ar_store_create(struct ar_store *store, struct ar_str name)
{
	assert(name.n > 0 && store_name_valid(name));
	return store->ops->create(store, name);
}

struct evict {
	struct ar_wake wake;
	struct ar_str name;
	int64_t end_ms;
	int rc;
};

static void evict_fiber(void *arg)
{
	struct evict *job = arg;
	struct ar_store_loop_core *here = store_here; /* stays while it is counted */

	if (here != NULL)
		here->evicting++;
	job->rc = store_evict(job->name, job->end_ms);
	if (here != NULL && --here->evicting == 0)
		ar_cond_signal(&here->evicted);
	ar_wake_post(&job->wake);
}

static void evict_start(void *arg)
{
	ar_go("store drop", evict_fiber, arg, AR_NO_DEADLINE);
}

/* False: the loop's part has ended meanwhile, and the loop with it, maybe. Under the lock it cannot. */
static bool evict_post(struct ar_store_core *core, struct ar_loop *loop, struct evict *job)
{
	struct ar_store_loop_core *l;

	pthread_mutex_lock(&core->lock);
	for (l = core->loops; l != NULL && l->pub.loop != loop; l = l->next)
		;
	if (l != NULL)
		ar_post(loop, evict_start, job);
	pthread_mutex_unlock(&core->lock);
	return l != NULL;
}

static AR_YIELDS int evict_all(struct ar_store *store, struct ar_str name)
{
	int64_t end = ar_mono_ms() + DROP_WAIT_MS;
	struct ar_loop *loops[AR_LOOPS_MAX];
	size_t n = 0;
	int rc;

	pthread_mutex_lock(&store->core->lock);
	for (struct ar_store_loop_core *l = store->core->loops; l != NULL; l = l->next) {
		assert(n < AR_COUNT(loops));
		if (l != store_here)
			loops[n++] = l->pub.loop;
	}
	pthread_mutex_unlock(&store->core->lock);
	rc = store_evict(name, end);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct evict job = { .name = name, .end_ms = end };

		ar_wake_init(&job.wake);
		if (!evict_post(store->core, loops[i], &job))
			continue;
		ar_wake_wait(&job.wake);
		rc = job.rc;
	}
	return rc;
}

int ar_store_drop(struct ar_store *store, struct ar_str name)
{
	struct ar_store_core *core = store->core;
	struct store_name *known;
	bool twice;
	int rc;

	assert(store_here != NULL && name.n > 0 && store_name_valid(name));
	pthread_mutex_lock(&core->lock);
	known = name_of(core, name);
	twice = known->dropping;
	known->dropping = true;
	pthread_mutex_unlock(&core->lock);
	if (twice)
		return ar_fail(AR_E_NO_DATABASE);
	ar_shield(true);
	rc = evict_all(store, name);
	if (rc == 0)
		rc = store->ops->drop(store, name);
	else
		ar_fail(AR_E_BUSY);
	ar_shield(false);
	pthread_mutex_lock(&core->lock);
	if (rc == 0) {
		ar_heap_free(ar_map_remove(core->names, name));
	} else {
		known = name_of(core, name);
		known->dropping = false;
	}
	pthread_mutex_unlock(&core->lock);
	return rc;
}
