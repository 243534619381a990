/*
 * share.c - who gets the CPU first: tenants that burned little of it lately.
 *
 * A tenant's measured CPU time is a debt that is paid off at a tenth of a core. While others call,
 * too, the executors of a tenant in debt run only on what CPU is left (SCHED_IDLE: whoever wakes up
 * takes the CPU from them at once), and as all others again when it is paid. A tenant that is alone
 * is never set back. An executor that cannot come forward again, which takes CAP_SYS_NICE or an
 * RLIMIT_NICE of 15, ends with what it runs, and another takes its place. Places are shared
 * likewise: a quarter of them is not for tenants in debt. The debt outlives executors; the tenant is
 * remembered until it is paid.
 */
#include "sandbox/sandbox_int.h"
#include "sandbox/zygote.h"

#include <sched.h>

enum {
	DEBT_HIGH_US = 10000, /* from here on it is set back, */
	DEBT_LOW_US = 3000,   /* until here */
	DEBT_MAX_US = 1000000,
	PAID_PART = 10,         /* of the time that passes */
	CONTENDED_US = 2000000, /* after a call of another tenant */
	KEPT_PART = 4,          /* of the places is kept from those in debt */
	IDLE_KEPT_US = 1000000, /* and an executor of another that was at work in this time */
};

/* Of the process; atomic. */
static uint64_t last_tenant;                  /* a hash of the name of who called last */
static int64_t last_other_us = INT64_MIN / 2; /* when that was another one than before */

/* FNV-1a: a name that hits another one's number is set back a little less, no more */
static uint64_t hash_of(struct ar_str s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	return h;
}

void sb_share_called(struct sb_tenant *tenant)
{
	uint64_t last = __atomic_load_n(&last_tenant, __ATOMIC_RELAXED);

	if (tenant->hash == 0)
		tenant->hash = hash_of(tenant->name) | 1;
	if (last == tenant->hash)
		return;
	__atomic_store_n(&last_tenant, tenant->hash, __ATOMIC_RELAXED);
	if (last != 0)
		__atomic_store_n(&last_other_us, sb_real_us(), __ATOMIC_RELAXED);
}

static bool contended(int64_t now)
{
	return now - __atomic_load_n(&last_other_us, __ATOMIC_RELAXED) < CONTENDED_US;
}

static void pay(struct sb_tenant *tenant, int64_t now)
{
	int64_t paid = (now - tenant->paid_us) / PAID_PART;

	if (paid <= 0)
		return;
	tenant->debt_us = AR_MAX(tenant->debt_us - paid, (int64_t)0);
	tenant->paid_us = now;
	if (tenant->debt_us > DEBT_HIGH_US)
		tenant->behind = true;
	else if (tenant->debt_us < DEBT_LOW_US)
		tenant->behind = false;
}

void sb_share_used(struct sb_tenant *tenant, uint64_t us, int64_t wall_us)
{
	int64_t now = sb_real_us();

	pay(tenant, now - wall_us); /* nothing is paid while it is at it, however little it gets */
	tenant->paid_us = now;
	tenant->debt_us = AR_MIN(tenant->debt_us + (int64_t)AR_MIN(us, (uint64_t)DEBT_MAX_US),
				 (int64_t)DEBT_MAX_US);
	if (tenant->debt_us > DEBT_HIGH_US)
		tenant->behind = true;
}

bool sb_share_remembered(struct sb_tenant *tenant)
{
	if (tenant->debt_us == 0)
		return false;
	pay(tenant, sb_real_us());
	return tenant->behind;
}

/*
 * Alone, executors are batch work: one that wakes up lets the loop that woke it go on, and so finds
 * several calls at a time, which saves a fifth of a call's CPU. Among others it must not wait for
 * those that burn and are not in debt yet.
 */
bool sb_share_place(struct sb_exec *exec)
{
	struct sb_tenant *tenant = exec->tenant;
	int64_t now = sb_real_us();
	bool among = contended(now);
	int policy = among ? SCHED_OTHER : SCHED_BATCH;

	if (tenant->debt_us != 0 || exec->behind)
		pay(tenant, now);
	if (tenant->behind && among)
		policy = SCHED_IDLE;
	if (policy == exec->policy)
		return true;
	if (sb_place(exec->pid, policy) != 0) {
		if (exec->behind)
			return false; /* without privileges there is no way back up */
		/* root without CAP_SYS_NICE has no right over another user's; that user has */
		sb_zygote_place(exec, policy);
	}
	exec->policy = policy;
	exec->behind = policy == SCHED_IDLE;
	return true;
}

bool sb_share_behind(struct sb_tenant *tenant)
{
	int64_t now;

	if (tenant->debt_us == 0)
		return false;
	now = sb_real_us();
	pay(tenant, now);
	return tenant->behind && contended(now);
}

int sb_share_places(struct sb_tenant *tenant)
{
	int max = tenant->loop->execs_max;

	return sb_share_behind(tenant) ? max - max / KEPT_PART : max;
}

struct sb_exec *sb_share_victim(struct sb_tenant *tenant)
{
	struct sb_exec *idle = tenant->loop->idle_first;

	if (idle != NULL && sb_share_behind(tenant) &&
	    sb_real_us() - idle->idle_since_us < IDLE_KEPT_US)
		return NULL;
	return idle;
}
