/*
 * tenants.c - which call gets which executor, when one is started, when one ends; the watch.
 *
 * A tenant's executors grow while they are busy: a call goes to one that is free or will be within
 * microseconds, else a new one is asked for, else it waits in the tenant's queue. When the process
 * has all that it may, an idle one of another tenant makes room, else tenants take turns. A fiber
 * per loop looks every 25 ms for code that runs too long and for executors that nobody needs.
 */
#include "sandbox/sandbox_int.h"

#include <time.h>

__thread struct sb_loop *sb_loop;

enum { TURN_US = 100000 };

int64_t sb_real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- tenants ---- */

struct sb_tenant *sb_tenant_get(struct sb_loop *loop, struct ar_str name)
{
	struct sb_tenant *tenant = ar_map_get(loop->tenants, name);

	if (tenant != NULL)
		return tenant;
	tenant = ar_heap_new(struct sb_tenant);
	tenant->loop = loop;
	tenant->name.p = ar_heap_strz(name);
	tenant->name.n = name.n;
	ar_map_set(loop->tenants, name, tenant);
	return tenant;
}

static void unstarve(struct sb_tenant *tenant)
{
	if (!tenant->starving)
		return;
	LL_DELETE2(tenant->loop->starving_first, tenant, starving_next);
	tenant->starving = false;
}

void sb_tenant_drop(struct sb_tenant *tenant)
{
	if (tenant->held > 0 || tenant->nexecs > 0 || tenant->spawning > 0 || tenant->queued > 0 ||
	    sb_share_remembered(tenant))
		return;
	unstarve(tenant);
	ar_map_remove(tenant->loop->tenants, tenant->name);
	ar_heap_free((void *)(uintptr_t)tenant->name.p);
	ar_heap_free(tenant);
}

void ar_sandbox_forget(struct ar_str name)
{
	struct sb_tenant *tenant = sb_loop != NULL ? ar_map_get(sb_loop->tenants, name) : NULL;
	struct sb_exec *exec = tenant != NULL ? tenant->execs : NULL;

	while (exec != NULL) {
		struct sb_exec *next = exec->next;

		sb_exec_retire(exec); /* the last one may take the tenant with it */
		exec = next;
	}
}

/* ---- the queue ---- */

void sb_enqueue(struct sb_call *call)
{
	struct sb_tenant *tenant = call->tenant;

	call->state = SB_QUEUED;
	call->queued_us = sb_real_us();
	if (call->retries > 0) /* it was first before */
		DL_PREPEND(tenant->first, call);
	else
		DL_APPEND(tenant->first, call);
	tenant->queued++;
	SB_COUNT(queued, 1);
}

void sb_unqueue(struct sb_call *call)
{
	struct sb_tenant *tenant = call->tenant;

	DL_DELETE(tenant->first, call);
	tenant->queued--;
	SB_COUNT(queued, -1);
}

static void fail_queue(struct sb_tenant *tenant, const struct ar_err_def *def)
{
	while (tenant->first != NULL) {
		struct sb_call *call = tenant->first;

		sb_unqueue(call);
		sb_call_end(call, def);
		sb_call_unref(call);
	}
}

/* A killed executor gives calls that had not begun back to the queue, and may be the tenant's last. */
void ar_sandbox_close(struct ar_str name)
{
	struct sb_tenant *tenant;

	while (sb_loop != NULL && (tenant = ar_map_get(sb_loop->tenants, name)) != NULL &&
	       (tenant->first != NULL || tenant->execs != NULL)) {
		if (tenant->first != NULL) {
			fail_queue(tenant, AR_E_SANDBOX_KILLED);
		} else {
			SB_COUNT(killed, 1);
			sb_exec_kill(tenant->execs, AR_E_SANDBOX_KILLED);
		}
	}
}

/* ---- choosing ---- */

static bool may_take(const struct sb_exec *exec, const struct sb_call *call, int64_t now)
{
	if (exec->retiring || exec->ncalls == SB_PLACES ||
	    (exec->ncalls > 0 && exec->memory + call->limits.memory > SB_MEMORY_BUDGET))
		return false;
	return exec->nwork == 0 || (exec->nwork < SB_AHEAD && now - exec->since_us < SB_FRESH_US);
}

static struct sb_exec *choose(struct sb_tenant *tenant, const struct sb_call *call)
{
	struct sb_exec *best = NULL;
	int64_t now = sb_real_us();

	for (struct sb_exec *exec = tenant->execs; exec != NULL; exec = exec->next) {
		if (may_take(exec, call, now) && (best == NULL || exec->nwork < best->nwork))
			best = exec;
	}
	return best;
}

/* Whether the first call in the queue is worth another process. */
static bool wants_more(const struct sb_tenant *tenant)
{
	int64_t now = sb_real_us();
	bool fresh = false;

	if (tenant->spawning > 0 || tenant->nexecs >= sb_options.executors_per_tenant)
		return false;
	for (struct sb_exec *exec = tenant->execs; exec != NULL; exec = exec->next)
		fresh |= !exec->retiring && exec->nwork > 0 && now - exec->since_us < SB_FRESH_US;
	return !fresh || now - tenant->first->queued_us > SB_FRESH_US;
}

/* Behind those who have waited for longer, and before those in debt. */
static void starve(struct sb_tenant *tenant)
{
	struct sb_tenant **at = &tenant->loop->starving_first;

	if (tenant->starving)
		return;
	tenant->starving = true;
	tenant->first_class = !sb_share_behind(tenant);
	while (*at != NULL && ((*at)->first_class || !tenant->first_class))
		at = &(*at)->starving_next;
	tenant->starving_next = *at;
	*at = tenant;
}

/* Asks for a process, making room for it. */
static void grow(struct sb_tenant *tenant)
{
	struct sb_loop *loop = tenant->loop;

	if (!sb_loop_connect(
		    loop)) { /* calls wait for the next zygote; the watch comes back here */
		if (sb_zygote_fails())
			fail_queue(tenant, AR_E_SANDBOX_LOST);
		else
			ar_cond_signal(&loop->watch_cond);
		return;
	}
	if (sb_real_us() < loop->spawn_after_us) {
		if (tenant->nexecs == 0 && tenant->spawning == 0)
			fail_queue(tenant, AR_E_SANDBOX_FULL);
		return;
	}
	if (loop->execs + loop->spawning >= sb_share_places(tenant)) {
		struct sb_exec *victim = sb_share_victim(tenant);

		starve(tenant);
		if (victim != NULL)
			sb_exec_retire(victim); /* comes back here through sb_room_left */
		return;
	}
	sb_spawn(tenant);
}

void sb_pump(struct sb_tenant *tenant)
{
	while (tenant->first != NULL) {
		struct sb_call *call = tenant->first;
		struct sb_exec *exec = choose(tenant, call);

		if (exec == NULL) {
			if (wants_more(tenant))
				grow(tenant);
			return;
		}
		if (!sb_share_place(exec)) { /* what it has begun goes on there */
			tenant->held++;
			sb_exec_close(exec);
			tenant->held--;
			continue;
		}
		sb_unqueue(call);
		sb_exec_send_call(exec, call);
	}
}

void sb_spawned(struct sb_tenant *tenant, struct sb_exec *exec)
{
	if (exec == NULL && tenant->nexecs == 0 && tenant->spawning == 0)
		fail_queue(tenant, AR_E_SANDBOX_FULL);
	sb_pump(tenant);
	sb_tenant_drop(tenant);
}

void sb_room_left(struct sb_loop *loop)
{
	while (loop->starving_first != NULL && sb_real_us() >= loop->spawn_after_us &&
	       sb_loop_connect(loop)) {
		struct sb_tenant *tenant = loop->starving_first;

		if (loop->execs + loop->spawning >= sb_share_places(tenant)) {
			struct sb_exec *victim = sb_share_victim(tenant);

			if (victim != NULL)
				sb_exec_retire(victim);
			return;
		}
		unstarve(tenant);
		if (tenant->first != NULL && tenant->spawning == 0 &&
		    tenant->nexecs < sb_options.executors_per_tenant)
			sb_spawn(tenant);
		else
			sb_tenant_drop(tenant);
	}
}

/* ---- the watch ---- */

/* The hard limit is on the process's own clock: a machine that is busy does not kill. Who was told
 * to stop, by the soft limit, and runs on does not get longer than that by the wall's clock either. */
static void watch_running(struct sb_exec *exec, struct sb_call *call, int64_t now)
{
	int64_t ran = now - exec->since_us;
	uint64_t hard_us = (uint64_t)call->limits.cpu_hard_ms * 1000;

	if (ran < SB_TICK_MS * 1000)
		return;
	if (sb_exec_is_over(exec)) {
		sb_silence_look(&exec->untold, exec->zygote, exec->fd, now);
		return;
	}
	sb_exec_measure(exec, call, now);
	if (call->turns_cpu_us >= hard_us ||
	    (call->turns_wall_us + (uint64_t)ran >= hard_us &&
	     call->turns_cpu_us >= (uint64_t)call->limits.cpu_soft_ms * 1000))
		sb_exec_kill_cpu(exec, call);
	else if (!sb_share_place(exec))
		sb_exec_close(exec); /* not what runs: it would begin anew, again and again */
}

/* One that has no work, its calls waiting or none there, uses no CPU; else it is not ours any more. */
static void watch_resting(struct sb_exec *exec, int64_t now)
{
	uint64_t clock;

	if (now - AR_MAX(exec->rested_us, exec->since_us) < SB_REST_US)
		return;
	clock = sb_exec_clock_us(exec);
	if (exec->rested_us > exec->since_us && clock > exec->rest_clock_us + SB_REST_CPU_US) {
		ar_warn("sandbox", "an executor at rest used the CPU");
		SB_COUNT(killed, 1);
		sb_exec_kill(exec, AR_E_SANDBOX_KILLED);
		return;
	}
	exec->rested_us = now;
	exec->rest_clock_us = clock;
	if (!sb_share_place(exec))
		sb_exec_retire(exec);
}

static void watch_one(struct sb_exec *exec, int64_t now)
{
	struct sb_call *call = sb_exec_running(exec);

	if (call != NULL)
		watch_running(exec, call, now);
	else
		watch_resting(exec, now);
}

struct watching {
	struct sb_exec **execs;
	struct sb_tenant **tenants; /* with a queue */
	size_t nexecs, ntenants;
	struct sb_exec *oldest; /* that takes calls, of those behind if there are any */
	size_t retiring;
};

static bool gather(struct ar_str key, void *value, void *arg)
{
	struct watching *w = arg;
	struct sb_tenant *tenant = value;

	(void)key;
	for (struct sb_exec *exec = tenant->execs; exec != NULL; exec = exec->next) {
		w->execs[w->nexecs++] = exec;
		if (exec->retiring)
			w->retiring++;
		else if (w->oldest == NULL || exec->behind > w->oldest->behind ||
			 (exec->behind == w->oldest->behind && exec->born_us < w->oldest->born_us))
			w->oldest = exec;
	}
	if (tenant->first != NULL)
		w->tenants[w->ntenants++] = tenant;
	return true;
}

/* Every executor is busy and tenants wait for one: the one that served for longest gives way when its
 * call has ended, or at once, when it is a debtor's and who waits is none. */
static void take_turns(struct sb_loop *loop, const struct watching *w, int64_t now)
{
	struct sb_exec *oldest = w->oldest;

	if (loop->starving_first == NULL || loop->idle_first != NULL || oldest == NULL ||
	    oldest->dead || now - oldest->born_us < TURN_US)
		return;
	if (loop->starving_first->first_class && oldest->behind)
		sb_exec_retire(oldest);
	else if (w->retiring == 0)
		sb_exec_close(oldest);
}

static bool gather_forgotten(struct ar_str key, void *value, void *arg)
{
	struct watching *w = arg;
	struct sb_tenant *tenant = value;

	(void)key;
	if (tenant->nexecs == 0 && tenant->spawning == 0 && tenant->queued == 0)
		w->tenants[w->ntenants++] = tenant;
	return true;
}

/* Those that were there still for their debt. */
static void forget_tenants(struct sb_loop *loop)
{
	size_t n = ar_map_count(loop->tenants);
	struct watching w = { .tenants = ar_heap_alloc(n * sizeof(struct sb_tenant *) + 1) };

	ar_map_each(loop->tenants, gather_forgotten, &w);
	for (size_t i = 0; i < w.ntenants; i++)
		sb_tenant_drop(w.tenants[i]);
	ar_heap_free(w.tenants);
}

/* Kills and pumps change the lists, so who is looked at is gathered first. A killed executor is
 * freed by a posted message, that is, after this. */
static void watch_look(struct sb_loop *loop)
{
	size_t n = ar_map_count(loop->tenants);
	struct watching w = { ar_heap_alloc((size_t)loop->execs * sizeof(struct sb_exec *) + 1),
			      ar_heap_alloc(n * sizeof(struct sb_tenant *) + 1),
			      0,
			      0,
			      NULL,
			      0 };
	int64_t now = sb_real_us();

	if (loop->spawns != NULL)
		sb_silence_look(&loop->silence, loop->zygote, loop->control, now);
	ar_map_each(loop->tenants, gather, &w);
	/* Tenants with a queue are not dropped by a pump; kills, which may, come after. */
	for (size_t i = 0; i < w.ntenants; i++)
		sb_pump(w.tenants[i]);
	for (size_t i = 0; i < w.nexecs; i++) {
		if (!w.execs[i]->dead)
			watch_one(w.execs[i], now);
	}
	while (loop->idle_first != NULL &&
	       now - loop->idle_first->idle_since_us > sb_options.idle_ms * 1000)
		sb_exec_retire(loop->idle_first);
	take_turns(loop, &w, now);
	ar_heap_free(w.execs);
	ar_heap_free(w.tenants);
	forget_tenants(loop);
}

static void watch_main(void *arg)
{
	struct sb_loop *loop = arg;

	while (!loop->ending) {
		if (ar_map_count(loop->tenants) == 0) {
			if (ar_cond_wait(&loop->watch_cond) != 0)
				break;
			continue;
		}
		if (ar_cond_wait_for(&loop->watch_cond, SB_TICK_MS) != 0 && ar_cancelled())
			break;
		ar_err_clear();
		if (!loop->ending)
			watch_look(loop);
	}
}

void sb_watch_start(struct sb_loop *loop)
{
	loop->watch = ar_go("sandbox-watch", watch_main, loop, AR_NO_DEADLINE);
	ar_fiber_hold(loop->watch);
}
