/*
 * ready.c - may traffic be sent here? The process's state, and checks that rooms register.
 *
 * A check that takes longer than it is given fails with the deadline's code; the rest are asked
 * all the same, so that one answer shows everything that is wrong.
 */
#include <assert.h>
#include <stdatomic.h>

#include "fiber/fiber.h"
#include "json/json.h"
#include "observe/observe_int.h"

#define CHECKS_MAX 16

static struct {
	const char *name;
	int (*check)(void *arg);
	void *arg;
} checks[CHECKS_MAX];
static size_t nchecks; /* registered at start, before other threads */
static atomic_int state;

void ar_state_set(enum ar_state to)
{
	atomic_store(&state, (int)to);
}

enum ar_state ar_state(void)
{
	return (enum ar_state)atomic_load(&state);
}

void ar_ready_register(const char *name, int (*check)(void *arg), void *arg)
{
	assert(nchecks < CHECKS_MAX);
	checks[nchecks].name = name;
	checks[nchecks].check = check;
	checks[nchecks].arg = arg;
	nchecks++;
}

static const char *check_ask(size_t i, int64_t timeout_ms)
{
	int64_t mine = ar_deadline(), narrow = ar_mono_ms() + timeout_ms;
	const char *slug = "ok";

	ar_deadline_set(AR_MIN(mine, narrow));
	if (checks[i].check(checks[i].arg) != 0)
		slug = ar_err() == NULL ? AR_E_INTERNAL->slug : ar_err()->def->slug;
	ar_deadline_set(mine);
	ar_err_clear();
	return slug;
}

bool ar_ready(struct ar_buf *buf, int64_t timeout_ms)
{
	static const char *const names[] = {
		[AR_STARTING] = "starting", [AR_STOPPING] = "stopping"
	};
	const char *results[CHECKS_MAX] = { NULL };
	enum ar_state now = ar_state();
	bool ready = true;
	struct ar_jw w;

	for (size_t i = 0; i < nchecks; i++) {
		results[i] = check_ask(i, timeout_ms);
		ready = ready && strcmp(results[i], "ok") == 0;
	}
	if (buf != NULL) {
		ar_jw_init(&w, buf);
		ar_jw_object(&w);
		ar_jw_keyz(&w, "status");
		ar_jw_strz(&w, now != AR_SERVING ? names[now] : ready ? "ready" : "failing");
		ar_jw_keyz(&w, "checks");
		ar_jw_object(&w);
		for (size_t i = 0; i < nchecks; i++) {
			ar_jw_keyz(&w, checks[i].name);
			ar_jw_strz(&w, results[i]);
		}
		ar_jw_object_end(&w);
		ar_jw_object_end(&w);
	}
	return ready && now == AR_SERVING;
}
