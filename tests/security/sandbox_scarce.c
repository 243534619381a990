/*
 * sandbox_scarce.c - what executors leave behind when they die by the hundred, what happens when
 * the system refuses another process or another descriptor, and when it takes the zygote itself: a
 * clear 503, nothing lost, and everything as before when there is room again.
 */
#include <dirent.h>
#include <grp.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/security/sandbox_rig.h"

#if SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void); /* its header is not everywhere */
#endif

static size_t heap_bytes(void)
{
#if SANITIZED
	return __sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#endif
}

static int descriptors_of(pid_t pid)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (dir == NULL) /* the zygote's, unless this is root */
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Executors, the dead that nobody reaped included. */
static int executor_count(void)
{
	pid_t pids[256];

	return (int)rig_executors(pids, AR_COUNT(pids));
}

/* What ends of itself has ended: every executor, and what was freed or closed after it. */
static void settle(int own, int zygotes)
{
	struct ar_sandbox_stats stats;

	rig_until((ar_sandbox_stats(&stats), stats.executors + stats.running + stats.queued) == 0);
	rig_until(executor_count() == 0);
	rig_pause(20);
	if (own >= 0)
		rig_until(descriptors_of(getpid()) == own);
	if (zygotes >= 0)
		rig_until(descriptors_of(rig_zygote()) == zygotes);
}

/* The slug that a call of the tenant ends with; empty: it went well. */
static const char *outcome(const char *tenant, const char *body)
{
	static char slug[64];
	struct rig_call c;

	attack_prepare(&c, &(struct attack){ 0 }, body);
	c.run.tenant = ar_str(tenant);
	rig_call(&c);
	snprintf(slug, sizeof(slug), "%s", c.slug);
	rig_free(&c);
	return slug;
}

static void forget_main(void *arg)
{
	ar_sandbox_forget(ar_str(arg));
}

/* ---- death by the hundred ---- */

static void kill_some(int n)
{
	static const char *const ways[] = { "short", "kill", "cancelled_by_itself", "zero_byte",
					    "host_bad_value" };
	char body[64];

	for (int i = 0; i < n; i++) {
		snprintf(body, sizeof(body), "return fault('%s')", ways[i % AR_COUNT(ways)]);
		assert_string_equal(outcome("evil", body), "sandbox/killed");
		logged();
	}
}

static void a_thousand_kills_leave_nothing(void **state)
{
	enum { KILLS = 1000 };
	int own, zygotes;
	size_t heap;
	long zygote_kib;
	char pid[16];

	(void)state;
	kill_some(50);
	settle(-1, -1);
	snprintf(pid, sizeof(pid), "%d", rig_zygote());
	own = descriptors_of(getpid());
	zygotes = descriptors_of(rig_zygote());
	heap = heap_bytes();
	zygote_kib = status_kib(pid, "RssAnon:");
	kill_some(KILLS);
	settle(own, zygotes);
	assert_in_range(heap_bytes(), 0, heap + KILLS * 4); /* less than any one thing for each */
	assert_in_range(status_kib(pid, "RssAnon:"), 0, zygote_kib + 64);
}

/* ---- refusals ---- */

/* The zygote is another user's than root's, and root may lack the right to its limits: a child asks,
 * as that user. */
static void zygote_limit(int what, const struct rlimit *now, struct rlimit *before)
{
	struct rlimit *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t zygote = rig_zygote(), child;
	int status;

	assert_true(shared != MAP_FAILED);
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
		     setresuid(65534, 65534, 65534) != 0))
			_exit(1);
		_exit(prlimit(zygote, what, now, shared) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	if (before != NULL)
		*before = *shared;
	munmap(shared, sizeof(*shared));
}

static struct rlimit zygote_narrow(int what, rlim_t soft)
{
	struct rlimit before, now;

	zygote_limit(what, NULL, &before);
	now = (struct rlimit){ soft, before.rlim_max };
	zygote_limit(what, &now, NULL);
	return before;
}

static int log_lines(void)
{
	int n = 0;

	for (const char *p = logged(); *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

/* fork() says EAGAIN. */
static void no_process_left(void **state)
{
	struct rlimit before = zygote_narrow(RLIMIT_NPROC, 0);
	int own = descriptors_of(getpid()), zygotes = descriptors_of(rig_zygote());

	(void)state;
	logged();
	for (int i = 0; i < 50; i++)
		assert_string_equal(outcome("alone", "return true"), "sandbox/full");
	assert_in_range(log_lines(), 1, 3); /* it is said, not shouted */
	settle(own, zygotes);
	zygote_limit(RLIMIT_NPROC, &before, NULL);
	rig_pause(150);
	assert_string_equal(outcome("alone", "return true"), "");
}

static uint64_t cpu_of_zygote_ms(void)
{
	char path[64], line[1024];
	unsigned long user = 0, sys = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", rig_zygote());
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_int_equal(sscanf(strrchr(line, ')') + 1,
				" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				&sys),
			 2);
	return (user + sys) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* A tenant with one process that wants a second, which it cannot have, does not ask without end. */
static void no_second_process_left(void **state)
{
	struct rig_call c[20];
	struct rlimit before;
	int64_t start;
	uint64_t cpu;

	(void)state;
	rig_pause(150);
	assert_string_equal(outcome("alone", "return true"), "");
	before = zygote_narrow(RLIMIT_NPROC, 0);
	logged();
	cpu = cpu_of_zygote_ms();
	start = ar_mono_ms();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		attack_prepare(&c[i], &(struct attack){ .soft_ms = 5000, .hard_ms = 9000 },
			       i == 0 ? "local n = 0 for i = 1, 2e7 do n = n + i end return true"
				      : "return true");
		c[i].run.limits.cpu_soft_ms = 25000;
		c[i].run.limits.cpu_hard_ms = 29000;
		c[i].run.tenant = AR_STR("alone");
		rig_begin(&c[i]);
	}
	rig_wait();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		assert_string_equal(c[i].slug, "");
		rig_free(&c[i]);
	}
	assert_in_range(log_lines(), 1, 3);
	/* ten times a second at most, and the clock's tick is 10 ms */
	assert_in_range(cpu_of_zygote_ms() - cpu, 0, 50 + (ar_mono_ms() - start) / 20);
	zygote_limit(RLIMIT_NPROC, &before, NULL);
	rig_pause(150);
}

/* It has one for each executor, and takes what it may have. */
static void the_zygote_takes_its_descriptors(void **state)
{
	struct rlimit limit;

	(void)state;
	zygote_limit(RLIMIT_NOFILE, NULL, &limit);
	assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

/* The zygote has no descriptor left for a socket. */
static void no_descriptor_in_the_zygote(void **state)
{
	struct rlimit before;
	int own, zygotes;

	(void)state;
	settle(-1, -1);
	own = descriptors_of(getpid());
	zygotes = descriptors_of(rig_zygote());
	for (rlim_t limit = 5; limit < 12; limit++) { /* each of a new one's is the last in turn */
		before = zygote_narrow(RLIMIT_NOFILE, limit);
		for (int i = 0; i < 3; i++) {
			const char *slug = outcome("fresh", "return true");

			assert_true(slug[0] == '\0' || strcmp(slug, "sandbox/full") == 0);
			rig_run(forget_main, (void *)(uintptr_t) "fresh");
		}
		zygote_limit(RLIMIT_NOFILE, &before, NULL);
		rig_pause(120);
	}
	assert_string_equal(outcome("fresh", "return true"), "");
	rig_run(forget_main, (void *)(uintptr_t) "fresh");
	settle(own, zygotes);
}

/* This process has none left to receive one. */
static void no_descriptor_here(void **state)
{
	struct rlimit before, now;
	int own, zygotes, pair[2];

	(void)state;
	own = descriptors_of(getpid());
	zygotes = descriptors_of(rig_zygote());
	assert_int_equal(pipe(pair), 0); /* the next free numbers are from here on */
	close(pair[0]);
	close(pair[1]);
	for (rlim_t more = 0; more < 3; more++) {
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
		now = (struct rlimit){ (rlim_t)pair[0] + more, before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
		for (int i = 0; i < 3; i++) {
			struct rig_call c;

			attack_prepare(&c, &(struct attack){ 0 }, "return true");
			c.run.tenant = AR_STR("fresh");
			rig_call(&c);
			if (more < 2)
				assert_string_equal(c.slug, "sandbox/full");
			else
				assert_true(c.r == 0 || strcmp(c.slug, "sandbox/full") == 0);
			rig_free(&c);
		}
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		rig_pause(150);
	}
	assert_string_equal(outcome("fresh", "return true"), "");
	rig_run(forget_main, (void *)(uintptr_t) "fresh");
	settle(own, zygotes);
}

/* ---- the zygote dies ---- */

struct blow {
	int inside;
	bool felt;
	int64_t after_ms; /* somebody was inside */
};

static int struck_host(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		       struct ar_json **ret)
{
	struct blow *blow = arg;

	blow->inside++;
	while (!blow->felt) {
		if (ar_sleep(2) != 0)
			return -1;
	}
	return answering(arg, pool, action, input, ret);
}

static void strike_main(void *arg)
{
	struct ar_sandbox_stats before, now;
	struct blow *blow = arg;

	ar_sandbox_stats(&before);
	rig_until(blow->inside > 0);
	ar_sleep(blow->after_ms);
	assert_int_equal(kill(rig_zygote(), SIGKILL), 0);
	rig_until((ar_sandbox_stats(&now), now.restarts) > before.restarts);
	blow->felt = true;
	rig_end_one();
}

/* Calls of six tenants, that wait, that compute and that are short, with a blow in the midst. Returns
 * how many were lost. */
static int strike(int64_t after_ms)
{
	static const char *const bodies[] = { "apprun.a.b{} return true",
					      "for i = 1, 3e5 do end return true", "return true" };
	static const char *const tenants[] = { "a", "b", "c", "d", "e", "f" };
	struct blow blow = { .after_ms = after_ms };
	struct rig_call c[24];
	int lost = 0;

	for (size_t i = 0; i < AR_COUNT(c); i++) {
		attack_prepare(&c[i], &(struct attack){ .soft_ms = 5000, .hard_ms = 9000 },
			       bodies[i % AR_COUNT(bodies)]);
		c[i].run.tenant = ar_str(tenants[i % AR_COUNT(tenants)]);
		c[i].run.host = struck_host;
		c[i].run.host_arg = &blow;
		rig_begin(&c[i]);
	}
	rig_open++;
	ar_go("strike", strike_main, &blow, AR_NO_DEADLINE);
	rig_wait();
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		if (c[i].r != 0 && strcmp(c[i].slug, "sandbox/lost") != 0)
			fail_msg("call %zu: %s; %s", i, c[i].slug, logged());
		lost += c[i].r != 0;
		rig_free(&c[i]);
	}
	return lost;
}

/* How long it took. */
static int64_t serves(void)
{
	int64_t start = ar_mono_ms();

	assert_string_equal(outcome("a", "return true"), "");
	assert_string_equal(outcome("new", "return apprun.a.b{} == 1"), "");
	return ar_mono_ms() - start;
}

static void a_killed_zygote_is_replaced(void **state)
{
	enum { BLOWS = 20 };
	struct ar_sandbox_stats before, after;
	int own, lost = 0, told = 0;
	int64_t soonest = INT64_MAX;
	char pids[256], *end;

	(void)state;
	serves();
	settle(-1, -1); /* executors that rest for 50 ms end */
	own = descriptors_of(getpid());
	ar_sandbox_stats(&before);
	logged();
	for (int i = 0; i < BLOWS; i++) {
		pid_t zygote = rig_zygote();

		lost += strike(i * 2);
		soonest = AR_MIN(soonest, serves());
		assert_int_not_equal(rig_zygote(), zygote);
		for (const char *p = logged(); (p = strstr(p, "the zygote has died")) != NULL; p++)
			told++;
	}
	ar_sandbox_stats(&after);
	assert_in_range(lost, BLOWS, BLOWS * 24);
	assert_int_equal(after.restarts - before.restarts, BLOWS);
	assert_int_equal(told, BLOWS);
	assert_in_range(soonest, 0,
			SANITIZED ? 5000 : 1000); /* others may hold up one of so many */
	settle(own, -1);
	rig_children(pids, sizeof(pids));
	assert_int_equal(strtol(pids, &end, 10), rig_zygote());
	assert_int_equal(strtol(end, NULL, 10), 0); /* it is the only child, zombies included */
}

/* Nothing to start it with: calls are refused at once, until there is. */
static void a_zygote_that_does_not_come_up(void **state)
{
	struct rlimit before, none = { .rlim_cur = 4 };
	int told = 0;

	(void)state;
	serves();
	logged();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(kill(rig_zygote(), SIGKILL), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rig_pause(400);
	for (int i = 0; i < 10; i++)
		assert_string_equal(outcome("a", "return true"), "sandbox/lost");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (const char *p = logged(); (p = strstr(p, "no function can run")) != NULL; p++)
		told++;
	assert_int_equal(told, 1);
	rig_until(outcome("a", "return true")[0] == '\0'); /* tried again every 5 s at last */
	serves();
}

static int begin(void **state)
{
	static const struct ar_sandbox_options options = { .executors_per_tenant = 2,
							   .idle_ms = 50 };

	(void)state;
	if (start_with(&options) != 0)
		return -1;
	watching = false; /* its own descriptors would be counted */
	pthread_join(watcher, NULL);
	return 0;
}

static int finish(void **state)
{
	return rig_end(state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_kills_leave_nothing),
		cmocka_unit_test(no_process_left),
		cmocka_unit_test(no_second_process_left),
		cmocka_unit_test(the_zygote_takes_its_descriptors),
		cmocka_unit_test(no_descriptor_in_the_zygote),
		cmocka_unit_test(no_descriptor_here),
		cmocka_unit_test(a_killed_zygote_is_replaced),
		cmocka_unit_test(a_zygote_that_does_not_come_up),
	};

	ar_sandbox_main(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, begin, finish);
}
