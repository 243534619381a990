/*
 * home.c - which loop a tenant's worker lives on, waking it from anywhere, and sleeping tenants.
 *
 * A worker that has nothing to do ends; what is left of it is at most one entry in its home's heap,
 * when a timer or a retry lies ahead. One fiber per loop, the clock, waits for the earliest. Wakes
 * from other loops are gathered and sent once per turn of the loop, so that a thousand publishing
 * commits of a turn make one message for each tenant.
 */
#include "bus/bus_int.h"

#include <assert.h>
#include <stdatomic.h>

#define RESUMES_MAX  8
#define RESUME_PAGE  100
#define AWAKE_MAX    16    /* with more workers awake, resuming waits a moment for each tenant */
#define RESUME_WAITS 5     /* of 20 ms: they may be awake for good, and somebody's timer is due */
#define CLOCK_MAX_MS 60000 /* the wall clock may be set: look at it now and then */

struct sleep {
	int64_t due_ms;
	struct ar_str database; /* heap */
};

static struct home homes[AR_LOOPS_MAX];
static _Atomic int nhomes, nrunning; /* loops; those whose bus has not stopped */
static struct ar_store *store;
static AR_YIELDS int (*resumes[RESUMES_MAX])(struct ar_str database);
static size_t nresumes;

struct bus_counters bus_count;

struct ar_store *bus_store(void)
{
	return store;
}

struct home *home_of(struct ar_str database)
{
	assert(nhomes > 0);
	return &homes[ar_hash(database.p, database.n) % (uint64_t)nhomes];
}

struct ar_loop *ar_bus_home(struct ar_str database)
{
	return home_of(database)->loop;
}

/* ---- sleeping tenants ---- */

static void heap_swap(struct home *home, size_t a, size_t b)
{
	struct sleep *t = home->heap[a];

	home->heap[a] = home->heap[b];
	home->heap[b] = t;
}

static void heap_push(struct home *home, struct sleep *sleep)
{
	size_t at = home->nheap++;

	if (home->nheap > home->heap_cap) {
		home->heap_cap = AR_MAX(home->heap_cap * 2, (size_t)64);
		home->heap = ar_heap_realloc(home->heap, home->heap_cap * sizeof(struct sleep *));
	}
	home->heap[at] = sleep;
	while (at > 0 && home->heap[(at - 1) / 2]->due_ms > home->heap[at]->due_ms) {
		heap_swap(home, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
}

static struct sleep *heap_pop(struct home *home)
{
	struct sleep *first = home->heap[0];
	size_t at = 0;

	home->heap[0] = home->heap[--home->nheap];
	for (;;) {
		size_t least = at, child = at * 2 + 1;

		for (size_t i = child; i < child + 2 && i < home->nheap; i++) {
			if (home->heap[i]->due_ms < home->heap[least]->due_ms)
				least = i;
		}
		if (least == at)
			return first;
		heap_swap(home, at, least);
		at = least;
	}
}

static void sleep_free(struct sleep *sleep)
{
	ar_heap_free((char *)sleep->database.p);
	ar_heap_free(sleep);
}

static void clock_turn(struct home *home)
{
	while (home->nheap > 0 && home->heap[0]->due_ms <= ar_now_ms()) {
		struct sleep *sleep = heap_pop(home);

		if (ar_map_get(home->sleeps, sleep->database) == sleep)
			ar_map_remove(home->sleeps, sleep->database);
		if (ar_map_get(home->workers, sleep->database) == NULL)
			worker_start(home, sleep->database);
		sleep_free(sleep);
	}
}

static void clock_run(void *arg)
{
	struct home *home = arg;

	while (!home->stopping) {
		int64_t pause;

		clock_turn(home);
		pause = home->nheap > 0 ? home->heap[0]->due_ms - ar_now_ms() : CLOCK_MAX_MS;
		if (ar_cond_wait_for(&home->heap_changed,
				     AR_MAX(AR_MIN(pause, (int64_t)CLOCK_MAX_MS), (int64_t)1)) != 0)
			ar_err_clear();
	}
	home->clock = NULL;
	ar_cond_broadcast(&home->changed);
}

void home_sleep(struct home *home, struct ar_str database, int64_t due_ms)
{
	struct sleep *known = ar_map_get(home->sleeps, database), *sleep;

	if (home->stopping || (known != NULL && known->due_ms <= due_ms))
		return;
	/* A later entry of the same tenant stays in the heap; it will wake it for nothing, once. */
	sleep = ar_heap_new(struct sleep);
	sleep->due_ms = due_ms;
	sleep->database = ar_str_n(ar_heap_strz(database), database.n);
	ar_map_set(home->sleeps, database, sleep);
	heap_push(home, sleep);
	if (home->clock == NULL)
		home->clock = ar_go("bus clock", clock_run, home, AR_NO_DEADLINE);
	else if (home->heap[0] == sleep)
		ar_cond_signal(&home->heap_changed);
}

/* ---- waking ---- */

struct wake {
	struct home *home;
	struct ar_str database; /* heap */
	bool look;
	int64_t due_ms;
	struct wake *next;
};

/* On the home's loop. A worker is started outside of the caller's fiber: who commits goes on first. */
static void wake_here(struct home *home, struct ar_str database, bool look, int64_t due_ms)
{
	struct worker *w = home->stopping ? NULL : ar_map_get(home->workers, database);

	if (home->stopping || (w != NULL && w->stopping))
		return;
	if (w == NULL) {
		if (look || due_ms <= ar_now_ms())
			worker_start(home, database);
		else if (due_ms != NEVER)
			home_sleep(home, database, due_ms);
		return;
	}
	if (due_ms == 0) /* subscriptions or their rows have changed */
		look = true;
	else if (due_ms < w->timer_due_ms)
		w->timer_due_ms = due_ms;
	else if (!look)
		return;
	w->look = w->look || look;
	worker_wake(w);
}

static void wake_arrived(void *arg)
{
	struct wake *wake = arg;

	wake_here(wake->home, wake->database, wake->look, wake->due_ms);
	ar_heap_free((char *)wake->database.p);
	ar_heap_free(wake);
}

static struct wake *wake_new(struct ar_str database, bool look, int64_t due_ms)
{
	struct wake *wake = ar_heap_new(struct wake);

	wake->home = home_of(database);
	wake->database = ar_str_n(ar_heap_strz(database), database.n);
	wake->look = look;
	wake->due_ms = due_ms;
	return wake;
}

/* Wakes for other loops that this loop has gathered in its turn. */
static __thread struct wake *gathered;

static void gathered_send(void *arg)
{
	struct wake *next;

	(void)arg;
	for (struct wake *wake = gathered; wake != NULL; wake = next) {
		next = wake->next;
		ar_post(wake->home->loop, wake_arrived, wake);
	}
	gathered = NULL;
}

static void gather(struct ar_loop *loop, struct ar_str database, bool look, int64_t due_ms)
{
	ar_loop_before_wait(loop, gathered_send, NULL);
	for (struct wake *wake = gathered; wake != NULL; wake = wake->next) {
		if (!ar_str_eq(wake->database, database))
			continue;
		wake->look = wake->look || look;
		wake->due_ms = AR_MIN(wake->due_ms, due_ms);
		return;
	}
	struct wake *wake = wake_new(database, look, due_ms);

	wake->next = gathered;
	gathered = wake;
}

void bus_wake(struct ar_str database, bool look, int64_t due_ms)
{
	struct home *home;
	struct ar_loop *loop = ar_loop();

	if (nhomes == 0 || database.n == 0) /* no bus in this process, or the platform's database */
		return;
	home = home_of(database);
	if (loop == home->loop && home->stopping)
		return;
	if (loop == home->loop && ar_map_get(home->workers, database) != NULL)
		wake_here(home, database, look, due_ms);
	else if (loop != NULL && loop != home->loop)
		gather(loop, database, look, due_ms);
	else
		ar_post(home->loop, wake_arrived, wake_new(database, look, due_ms));
}

void ar_bus_wake(struct ar_str database)
{
	bus_wake(database, true, NEVER);
}

struct errand {
	void (*fn)(void *arg);
	void *arg;
};

static void errand_arrived(void *arg)
{
	struct errand errand = *(struct errand *)arg;

	ar_heap_free(arg);
	ar_go("bus errand", errand.fn, errand.arg, AR_NO_DEADLINE);
}

void ar_bus_go_home(struct ar_str database, void (*fn)(void *arg), void *arg)
{
	struct home *home = home_of(database);
	struct errand *errand;

	if (ar_loop() == home->loop) {
		ar_go("bus errand", fn, arg, AR_NO_DEADLINE);
		return;
	}
	errand = ar_heap_new(struct errand);
	*errand = (struct errand){ fn, arg };
	ar_post(home->loop, errand_arrived, errand);
}

/* ---- start, resume, stop ---- */

void ar_bus_on_start(AR_YIELDS int (*resume)(struct ar_str database))
{
	assert(nresumes < RESUMES_MAX);
	resumes[nresumes++] = resume;
}

int bus_resume_one(struct ar_str database)
{
	struct home *home = home_of(database);

	if (nresumes == 0 || ar_map_get(home->resumed, database) != NULL)
		return 0;
	for (size_t i = 0; i < nresumes; i++) {
		if (resumes[i](database) < 0)
			return -1;
	}
	ar_map_set(home->resumed, database, home);
	return 0;
}

int ar_bus_start(struct ar_store *the_store, struct ar_loop *const *loops, int nloops)
{
	assert(nhomes == 0 && nloops > 0 && nloops <= AR_LOOPS_MAX);
	store = the_store;
	for (int i = 0; i < nloops; i++)
		homes[i] = (struct home){ .loop = loops[i],
					  .workers = ar_map_new(),
					  .resumed = ar_map_new(),
					  .sleeps = ar_map_new() };
	nrunning = nhomes = nloops;
	return 0;
}

static struct ar_str name_of(const struct ar_json *entry)
{
	return entry->type == AR_STRING ? entry->s : ar_json_text(entry, "name", AR_STR_NONE);
}

static AR_YIELDS int resume_page(const struct ar_json *page)
{
	ar_json_each (entry, page) {
		for (int i = 0; i < RESUME_WAITS && atomic_load(&bus_count.workers) >= AWAKE_MAX;
		     i++) {
			if (ar_sleep(20) != 0)
				return -1;
		}
		ar_bus_wake(name_of(entry));
		if (ar_sleep(1) != 0)
			return -1;
	}
	return 0;
}

int ar_bus_resume_all(AR_YIELDS int (*list)(struct ar_pool *pool, struct ar_str after, int limit,
					    struct ar_json **ret))
{
	char last[64] = "";
	int rc, more = 1;

	do {
		struct ar_pool *pool = ar_pool_new();
		struct ar_json *page = NULL;

		rc = list(pool, ar_str(last), RESUME_PAGE, &page);
		more = rc == 0 && page->count > 0;
		if (more) {
			struct ar_str name = ar_str_sub(name_of(page->last), 0, sizeof(last) - 1);

			memcpy(last, name.p, name.n);
			last[name.n] = 0;
			rc = resume_page(page);
		}
		ar_pool_free(pool);
	} while (rc == 0 && more);
	return rc;
}

static bool stop_worker(struct ar_str database, void *value, void *arg)
{
	struct worker *w = value;

	(void)database;
	(void)arg;
	w->stopping = true;
	worker_wake(w);
	return true;
}

void ar_bus_stop(void)
{
	struct home *home = NULL;

	for (int i = 0; i < nhomes; i++) {
		if (homes[i].loop == ar_loop())
			home = &homes[i];
	}
	if (home == NULL || home->workers == NULL)
		return;
	ar_shield(true);
	home->stopping = true;
	gathered_send(NULL);
	ar_map_each(home->workers, stop_worker, NULL);
	while (home->nworkers > 0) {
		if (ar_cond_wait(&home->changed) != 0)
			break;
	}
	ar_cond_signal(&home->heap_changed);
	while (home->clock != NULL) {
		if (ar_cond_wait(&home->changed) != 0)
			break;
	}
	ar_shield(false);
	while (home->nheap > 0)
		sleep_free(heap_pop(home));
	ar_heap_free(home->heap);
	ar_map_free(home->sleeps, NULL);
	ar_map_free(home->resumed, NULL);
	ar_map_free(home->workers, NULL);
	home->heap = NULL;
	home->heap_cap = 0;
	home->workers = home->sleeps = home->resumed = NULL;
	if (atomic_fetch_sub(&nrunning, 1) == 1)
		nhomes = 0; /* it may be started again */
}

/* ---- one tenant ends ---- */

struct closing {
	struct ar_str database;
	struct home *home;
	struct ar_wake done;
};

static void close_run(void *arg)
{
	struct closing *closing = arg;
	struct home *home = closing->home;
	struct worker *w;

	while (home->workers != NULL &&
	       (w = ar_map_get(home->workers, closing->database)) != NULL) {
		w->stopping = true;
		worker_wake(w);
		if (ar_cond_wait(&home->changed) != 0)
			break;
	}
	if (home->resumed != NULL)
		ar_map_remove(home->resumed, closing->database);
	ar_wake_post(&closing->done);
}

void ar_bus_close(struct ar_str database)
{
	struct closing closing = { .database = database };

	if (nhomes == 0)
		return;
	closing.home = home_of(database);
	ar_wake_init(&closing.done);
	ar_bus_go_home(database, close_run, &closing);
	ar_wake_wait(&closing.done);
}

void ar_bus_stats(struct ar_bus_stats *ret)
{
	ret->published = atomic_load(&bus_count.published);
	ret->delivered = atomic_load(&bus_count.delivered);
	ret->failed = atomic_load(&bus_count.failed);
	ret->dead = atomic_load(&bus_count.dead);
	ret->loops = atomic_load(&bus_count.loops);
	ret->timers_fired = atomic_load(&bus_count.timers_fired);
	ret->workers = atomic_load(&bus_count.workers);
}
