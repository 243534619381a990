/*
 * sandbox_rig.h - what the tests of the attack table share: the neighbour, the watch on memory, the
 * log, one attack as a call.
 *
 * While a row runs, a neighbour tenant is called again and again and must always be answered. What
 * executors hold is watched from outside (/proc).
 */
#ifndef AR_SANDBOX_ATTACK_RIG_H
#define AR_SANDBOX_ATTACK_RIG_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "sandbox/tests/rig.h"
#include "tests/security/sandbox_attacks.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- processes, from outside ---- */

static atomic_bool watching;
static atomic_long most_kib; /* the largest executor that was seen since it was set to 0 */

static inline long status_kib(const char *pid, const char *what)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, what, strlen(what)) == 0)
			kib = strtol(line + strlen(what), NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kib;
}

static inline void children_of(pid_t pid, char *out, size_t n)
{
	char path[64];
	FILE *f;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	if (f == NULL)
		return;
	if (fgets(out, (int)n, f) == NULL)
		out[0] = '\0';
	fclose(f);
}

static inline void *watch_memory(void *arg)
{
	char pids[4096], *save = NULL;
	pid_t zygote = rig_zygote();

	(void)arg;
	while (watching) {
		children_of(zygote, pids, sizeof(pids));
		for (char *p = strtok_r(pids, " ", &save); p != NULL;
		     p = strtok_r(NULL, " ", &save)) {
			long kib = status_kib(p, "RssAnon:");

			if (kib > most_kib)
				most_kib = kib;
		}
		usleep(1000);
	}
	return NULL;
}

/* ---- the neighbour ---- */

static bool calm;
static int neighbour_calls;
static int64_t neighbour_worst_us;

static inline void neighbour_main(void *arg)
{
	(void)arg;
	while (!calm) {
		struct rig_call c;
		struct ar_json *input;

		rig_prepare(&c, "neighbour", "return function(t) return t.n + 1 end");
		c.run.limits.wall_ms = 2 * RIG_PATIENCE_MS;
		input = ar_json_new(c.pool, AR_OBJECT);
		ar_json_set(input, AR_STR("n"), ar_json_int(c.pool, neighbour_calls));
		c.run.input = input;
		rig_call_here(&c);
		if (c.r != 0)
			fail_msg("the neighbour got %s", c.slug);
		assert_int_equal(c.result.output->i, neighbour_calls + 1);
		neighbour_worst_us = AR_MAX(neighbour_worst_us, c.result.wall_us);
		neighbour_calls++;
		rig_free(&c);
		ar_sleep(2);
	}
}

/* A job: one call, with the neighbour beside it. */
static inline void attacked(void *arg)
{
	struct ar_fiber *neighbour;

	calm = false;
	neighbour_calls = 0;
	neighbour_worst_us = 0;
	neighbour = ar_go("neighbour", neighbour_main, NULL, AR_NO_DEADLINE);
	ar_fiber_hold(neighbour);
	rig_call_here(arg);
	calm = true;
	ar_join(neighbour);
	ar_fiber_drop(neighbour);
	assert_true(neighbour_calls > 0);
}

/* ---- one attack ---- */

static inline int answering(void *arg, struct ar_pool *pool, struct ar_str action,
			    struct ar_json *input, struct ar_json **ret)
{
	(void)arg;
	(void)action;
	(void)input;
	*ret = ar_json_int(pool, 1);
	return 0;
}

static inline void attack_prepare(struct rig_call *c, const struct attack *a, const char *body)
{
	rig_prepare(c, "evil", "");
	c->run.code.source = ar_strf(c->pool, "return function(input, ctx) %s\nend", body);
	c->run.code.id = ar_sha256_hex(c->pool, c->run.code.source);
	c->run.limits.memory = (size_t)a->memory_mib << 20;
	c->run.limits.cpu_soft_ms = a->soft_ms;
	c->run.limits.cpu_hard_ms = a->hard_ms;
	if (a->soft_ms == 0 && a->hard_ms == 0 &&
	    (a->want & CPU) == 0) { /* on a slow machine, too */
		c->run.limits.cpu_soft_ms = 2000;
		c->run.limits.cpu_hard_ms = 5000;
	}
	c->run.limits.wall_ms = 2 * RIG_PATIENCE_MS;
	c->run.host = answering;
}

/* The body must return true, as tenant evil. */
static inline void expect_true(const char *body)
{
	struct rig_call c;

	attack_prepare(&c, &(struct attack){ 0 }, body);
	rig_call(&c);
	if (strcmp(rig_output(&c), "true") != 0)
		fail_msg("%s: %s %s %s", body, rig_output(&c), c.slug, c.message);
	rig_free(&c);
}

/* ---- the group ---- */

static int log_pipe[2];
static pthread_t watcher;

/* What was logged since the last look. */
static inline const char *logged(void)
{
	static char text[8192];
	ssize_t n = read(log_pipe[0], text, sizeof(text) - 1);

	text[AR_MAX(n, (ssize_t)0)] = '\0';
	return text;
}

static inline int start_with(const struct ar_sandbox_options *options)
{
	if (rig_start_with(options) != 0 || pipe2(log_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	ar_log_fd(log_pipe[1]);
	ar_log_level(AR_WARN);
	watching = true;
	return pthread_create(&watcher, NULL, watch_memory, NULL);
}

static inline int start(void **state)
{
	(void)state;
	return start_with(NULL);
}

static inline int end(void **state)
{
	watching = false;
	pthread_join(watcher, NULL);
	return rig_end(state);
}

#endif
