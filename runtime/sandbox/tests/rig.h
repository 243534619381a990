/*
 * rig.h - a loop with the sandbox on it, for tests: rig_call() runs one call to its end.
 *
 * Tests that root starts can be told, by SANDBOX_TEST_AS, to run as "nobody" or as root "without"
 * the right to place other users' processes, as in a container; for another user it is so already.
 */
#ifndef AR_SANDBOX_RIG_H
#define AR_SANDBOX_RIG_H

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/sandbox.h"

struct rig_call {
	struct ar_pool *pool;
	struct ar_sandbox_run run;
	struct ar_sandbox_result result;
	int r;
	bool ended;
	char slug[64]; /* of the error; empty: none */
	char message[256];
	int line;
};

static struct ar_loop *rig_loop;
static int rig_open;

/* The children of this process, whichever thread started them, in one line. */
static inline void rig_children(char *out, size_t n)
{
	DIR *dir = opendir("/proc/self/task");
	size_t used = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char path[300];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/children", e->d_name);
		f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
		if (f == NULL)
			continue;
		used += fread(out + used, 1, n - 1 - used, f);
		fclose(f);
	}
	closedir(dir);
	out[used] = '\0';
}

/* 0: there is none. */
static inline pid_t rig_zygote(void)
{
	char pids[256];

	rig_children(pids, sizeof(pids));
	return (pid_t)strtol(pids, NULL, 10);
}

/* The pids of the zygote's children, that is, of the executors. */
static inline size_t rig_executors(pid_t *pids, size_t max)
{
	char path[64], line[4096] = "";
	pid_t zygote = rig_zygote();
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", zygote, zygote);
	f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	for (char *save = NULL, *p = strtok_r(line, " ", &save); p != NULL && n < max;
	     p = strtok_r(NULL, " ", &save))
		pids[n++] = (pid_t)strtol(p, NULL, 10);
	return n;
}

static inline void rig_prepare(struct rig_call *c, const char *tenant, const char *source)
{
	memset(c, 0, sizeof(*c));
	c->pool = ar_pool_new();
	c->run.tenant = ar_str(tenant);
	c->run.code = (struct ar_sandbox_code){ ar_sha256_hex(c->pool, ar_str(source)),
						AR_STR("test"), ar_str(source) };
}

static inline void rig_note_error(struct rig_call *c)
{
	const struct ar_err *err = ar_err();
	const char *message, *line;

	c->slug[0] = c->message[0] = '\0';
	if (c->r == 0)
		return;
	assert_non_null(err);
	snprintf(c->slug, sizeof(c->slug), "%s", err->def->slug);
	message = ar_err_param(err, "message");
	line = ar_err_param(err, "line");
	snprintf(c->message, sizeof(c->message), "%s", message != NULL ? message : "");
	c->line = line != NULL ? (int)strtol(line, NULL, 10) : 0;
	ar_err_clear();
}

static inline void rig_end_one(void)
{
	if (--rig_open == 0)
		ar_loop_stop(rig_loop);
}

static inline void rig_fiber(void *arg)
{
	struct rig_call *c = arg;

	c->r = ar_sandbox_call(c->pool, &c->run, &c->result);
	rig_note_error(c);
	c->ended = true;
	rig_end_one();
}

/* Begins it; rig_wait() runs the loop until all that was begun has ended. */
static inline struct ar_fiber *rig_begin(struct rig_call *c)
{
	rig_open++;
	return ar_go("test", rig_fiber, c, AR_NO_DEADLINE);
}

static inline void rig_wait(void)
{
	while (rig_open > 0) /* a stop may be left over from a call that ended at once */
		ar_loop_run(rig_loop);
}

static inline void rig_call(struct rig_call *c)
{
	rig_begin(c);
	rig_wait();
}

/* fn(arg) in a fiber, to its end. */
struct rig_job {
	void (*fn)(void *arg);
	void *arg;
};

static inline void rig_job(void *arg)
{
	struct rig_job *job = arg;

	job->fn(job->arg);
	rig_end_one();
}

static inline void rig_run(void (*fn)(void *arg), void *arg)
{
	struct rig_job job = { fn, arg };

	rig_open++;
	ar_go("job", rig_job, &job, AR_NO_DEADLINE);
	rig_wait();
}

/*
 * Until the condition holds. However slow the machine is, it does so within a minute, unless
 * something is wrong.
 */
#define RIG_PATIENCE_MS 60000
#define rig_until(condition)                                                                       \
	do {                                                                                       \
		int64_t until_ = ar_mono_ms() + RIG_PATIENCE_MS;                                   \
		while (!(condition) && ar_mono_ms() < until_)                                      \
			rig_pause(2);                                                              \
		if (!(condition))                                                                  \
			fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition);              \
	} while (0)

static inline void rig_pause_main(void *arg)
{
	ar_sleep(*(int64_t *)arg);
}

/* Inside of a job and outside. */
static inline void rig_pause(int64_t ms)
{
	if (ar_self() != NULL)
		ar_sleep(ms);
	else
		rig_run(rig_pause_main, &ms);
}

/* Inside of a job: until all that was begun has ended. */
static inline void rig_wait_here(void)
{
	while (rig_open > 1)
		ar_sleep(2);
}

static inline void rig_call_here(struct rig_call *c)
{
	c->r = ar_sandbox_call(c->pool, &c->run, &c->result);
	rig_note_error(c);
}

static inline void rig_free(struct rig_call *c)
{
	ar_pool_free(c->pool);
	memset(c, 0, sizeof(*c));
}

static inline const char *rig_output(struct rig_call *c)
{
	return c->result.output == NULL
		       ? "(none)"
		       : ar_strz(c->pool, ar_json_print(c->pool, c->result.output));
}

static inline int rig_become(const char *as)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];

	if (as == NULL || geteuid() != 0)
		return 0;
	if (strcmp(as, "nobody") == 0) /* it was not dumpable any more, which leak checks need */
		return setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
				       setresuid(65534, 65534, 65534) != 0 ||
				       prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0
			       ? -1
			       : 0;
	if (syscall(SYS_capget, &head, caps) != 0)
		return -1;
	prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0);
	caps[0].effective &= ~CAP_TO_MASK(CAP_SYS_NICE);
	caps[0].permitted &= ~CAP_TO_MASK(CAP_SYS_NICE);
	return (int)syscall(SYS_capset, &head, caps);
}

/* Whether an executor that was set back can come forward again. */
static inline bool rig_may_place(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2] = { 0 };
	struct rlimit nice;

	syscall(SYS_capget, &head, caps);
	return (caps[0].effective & CAP_TO_MASK(CAP_SYS_NICE)) != 0 ||
	       (geteuid() != 0 && getrlimit(RLIMIT_NICE, &nice) == 0 && nice.rlim_cur >= 15);
}

static inline int rig_start_with(const struct ar_sandbox_options *options)
{
	if (rig_become(getenv("SANDBOX_TEST_AS")) != 0)
		return -1;
	if (ar_sandbox_init(options) != 0) {
		ar_log_err(AR_ERROR, "test", "ar_sandbox_init");
		return -1;
	}
	ar_log_level(AR_ERROR);
	rig_loop = ar_loop_new();
	ar_sandbox_attach();
	return 0;
}

static inline int rig_start(void **state)
{
	(void)state;
	return rig_start_with(NULL);
}

static inline void rig_detach(void *arg)
{
	(void)arg;
	ar_sandbox_detach();
	ar_loop_stop(rig_loop);
}

static inline int rig_end(void **state)
{
	(void)state;
	ar_go("detach", rig_detach, NULL, AR_NO_DEADLINE);
	ar_loop_run(rig_loop);
	ar_loop_free(rig_loop);
	ar_sandbox_done();
	return 0;
}

#endif
