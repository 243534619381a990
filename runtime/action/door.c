/*
 * door.c - the one way into an action, whoever calls: permission, validation, idempotency, the
 * row's function, one commit, metrics. In this order, and nothing of it twice.
 *
 * What may surprise: the reply is complete only after ar_action_enter() returned 0. On -1 nothing of
 * the unit of work is stored, and the error stack is the function's own.
 */
#include <assert.h>
#include <pthread.h>
#include <unistd.h>

#include "action/action_int.h"

/* ---- permission ---- */

static int deny(const struct ar_call *call, const struct ar_action *action)
{
	if (call->who->kind == AR_WHO_ANYONE)
		return ar_fail(AR_E_UNAUTHORIZED);
	return ar_fail(AR_E_FORBIDDEN, "permission", action->allow);
}

int ar_action_permit(const struct ar_call *call, const struct ar_action *action)
{
	const struct ar_who *who = call->who;

	if (action->flags & AR_A_PLATFORM) {
		bool is_operator = who->kind == AR_WHO_OPERATOR || who->kind == AR_WHO_SYSTEM;

		return is_operator && ar_who_may(who, ar_str(action->allow)) ? 0
									     : deny(call, action);
	}
	assert(call->tenant != NULL);
	if (strcmp(action->allow, AR_ALLOW_ANYONE) == 0)
		return 0;
	if (strcmp(action->allow, AR_ALLOW_SIGNED_IN) == 0)
		return who->kind != AR_WHO_ANYONE ? 0 : deny(call, action);
	return ar_who_may(who, ar_str(action->allow)) ? 0 : deny(call, action);
}

/* ---- run and commit ---- */

static void default_reply(struct ar_call *call)
{
	const struct ar_action *action = call->action;

	if (call->reply.status == 0)
		call->reply.status = action->status;
	if (call->reply.status == 0)
		call->reply.status = call->reply.kind == AR_REPLY_NONE ? 204 : 200;
}

static AR_YIELDS int run(struct ar_call *call, struct idempotency *idempotency)
{
	if (call->action->run(call) != 0) {
		assert(ar_err() != NULL); /* -1 without a reason */
		return -1;
	}
	if (call->reply.kind == AR_REPLY_JSON && call->reply.json->over)
		return ar_fail(AR_E_TOO_LARGE, "what", "reply");
	default_reply(call);
	if (idempotency->held && idempotency_store(call, idempotency) != 0)
		return -1;
	return ar_commit(&call->scope);
}

static AR_YIELDS void undo(struct ar_call *call)
{
	if (call->scope.db != NULL)
		ar_rollback(&call->scope);
	if (call->reply.kind == AR_REPLY_FILE && call->reply.fd >= 0)
		close(call->reply.fd);
	call->reply.kind = AR_REPLY_NONE;
	call->reply.fd = -1;
}

static AR_YIELDS int enter_checked(struct ar_call *call)
{
	struct idempotency idempotency = { 0 };

	if (ar_action_permit(call, call->action) != 0 || call_check_input(call) != 0)
		return -1;
	int rc = idempotency_enter(call, &idempotency);

	if (rc == 1)
		return 0;
	if (rc == 0)
		rc = run(call, &idempotency);
	if (rc != 0)
		undo(call);
	idempotency_leave(&idempotency);
	return rc;
}

/* A request's deadline may be widened by its row; a call inside of another can only narrow it. */
static int64_t deadline_enter(const struct ar_call *call)
{
	int64_t before = ar_deadline();

	if (call->action->deadline_ms > 0) {
		int64_t mine = ar_mono_ms() + call->action->deadline_ms;

		if (call->face == AR_FACE_REST || mine < before)
			ar_deadline_set(mine);
	}
	return before;
}

/* ---- metrics: counters per thread and action, added up when somebody looks ---- */

#define BUCKETS 12
static const int64_t bucket_us[BUCKETS] = { 100,   250,   500,    1000,   2500,    5000,
					    10000, 25000, 100000, 500000, 2500000, 10000000 };

struct counters {
	_Atomic uint64_t ok, refused, failed, us;
	_Atomic uint64_t buckets[BUCKETS];
};

struct thread_counters {
	struct thread_counters *next;
	struct counters list[ACTIONS_MAX];
};

static pthread_mutex_t metrics_lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread_counters *metrics_all;
static unsigned metrics_round; /* moves when the counters are thrown away */
static __thread struct thread_counters *metrics_mine;
static __thread unsigned metrics_mine_round;

static void bump(_Atomic uint64_t *counter, uint64_t by)
{
	/* Only this thread writes it: no locked instruction needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void metrics_add(const struct ar_call *call, int rc, int64_t us)
{
	if (metrics_mine == NULL || metrics_mine_round != metrics_round) {
		metrics_mine = ar_heap_new(struct thread_counters);
		pthread_mutex_lock(&metrics_lock);
		metrics_mine_round = metrics_round;
		metrics_mine->next = metrics_all;
		metrics_all = metrics_mine;
		pthread_mutex_unlock(&metrics_lock);
	}
	struct counters *c = &metrics_mine->list[action_index(call->action)];
	bool ours = rc != 0 && ar_err() != NULL && ar_err()->def->status >= 500;

	bump(rc == 0 ? &c->ok : ours ? &c->failed : &c->refused, 1);
	bump(&c->us, (uint64_t)us);
	for (int i = 0; i < BUCKETS; i++) {
		if (us <= bucket_us[i]) {
			bump(&c->buckets[i], 1);
			break;
		}
	}
}

void metrics_done(void)
{
	pthread_mutex_lock(&metrics_lock);
	while (metrics_all != NULL) {
		struct thread_counters *next = metrics_all->next;

		ar_heap_free(metrics_all);
		metrics_all = next;
	}
	metrics_round++;
	pthread_mutex_unlock(&metrics_lock);
}

static void metrics_sum(size_t index, uint64_t sum[4 + BUCKETS])
{
	for (const struct thread_counters *t = metrics_all; t != NULL; t = t->next) {
		const struct counters *c = &t->list[index];
		const _Atomic uint64_t *head[4] = { &c->ok, &c->refused, &c->failed, &c->us };

		for (int i = 0; i < 4; i++)
			sum[i] += atomic_load_explicit(head[i], memory_order_relaxed);
		for (int i = 0; i < BUCKETS; i++)
			sum[4 + i] += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
	}
}

static void metrics_write(struct ar_buf *out, const char *name, const uint64_t sum[4 + BUCKETS])
{
	static const char *const results[3] = { "ok", "refused", "failed" };
	uint64_t total = sum[0] + sum[1] + sum[2], below = 0;

	for (int i = 0; i < 3; i++)
		ar_buf_printf(out, "apprun_action_calls_total{action=\"%s\",result=\"%s\"} %llu\n",
			      name, results[i], (unsigned long long)sum[i]);
	for (int i = 0; i < BUCKETS; i++) {
		below += sum[4 + i];
		ar_buf_printf(out, "apprun_action_seconds_bucket{action=\"%s\",le=\"%g\"} %llu\n",
			      name, (double)bucket_us[i] / 1e6, (unsigned long long)below);
	}
	ar_buf_printf(out, "apprun_action_seconds_bucket{action=\"%s\",le=\"+Inf\"} %llu\n", name,
		      (unsigned long long)total);
	ar_buf_printf(out, "apprun_action_seconds_sum{action=\"%s\"} %.6f\n", name,
		      (double)sum[3] / 1e6);
	ar_buf_printf(out, "apprun_action_seconds_count{action=\"%s\"} %llu\n", name,
		      (unsigned long long)total);
}

void ar_action_metrics(struct ar_buf *out)
{
	ar_buf_z(out, "# HELP apprun_action_calls_total Calls of actions, on every face.\n"
		      "# TYPE apprun_action_calls_total counter\n"
		      "# HELP apprun_action_seconds Time inside of an action.\n"
		      "# TYPE apprun_action_seconds histogram\n");
	pthread_mutex_lock(&metrics_lock);
	for (size_t i = 0; i < action_count(); i++) {
		uint64_t sum[4 + BUCKETS] = { 0 };

		metrics_sum(i, sum);
		if (sum[0] + sum[1] + sum[2] > 0)
			metrics_write(out, action_at(i)->name, sum);
	}
	pthread_mutex_unlock(&metrics_lock);
}

/* ---- the door ---- */

AR_YIELDS int ar_action_enter(struct ar_call *call, const struct ar_action *action)
{
	int64_t started_us = ar_mono_us();

	assert(call->pool != NULL && call->who != NULL);
	call->action = action;
	int64_t deadline = deadline_enter(call);
	int rc = enter_checked(call);

	ar_deadline_set(deadline);
	metrics_add(call, rc, ar_mono_us() - started_us);
	return rc;
}
