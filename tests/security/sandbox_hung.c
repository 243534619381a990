/*
 * sandbox_hung.c - processes that are there and do nothing: a zygote that is stopped, which is ended
 * and replaced; a death that it does not tell; executors that are stopped, at work or at rest.
 */
#include <errno.h>
#include <signal.h>

#include "tests/security/sandbox_rig.h"

static void begin_call(struct rig_call *c, const char *tenant, const char *body)
{
	attack_prepare(c, &(struct attack){ .soft_ms = 30000, .hard_ms = 30000 }, body);
	c->run.tenant = ar_str(tenant);
	c->run.limits.wall_ms = 2 * RIG_PATIENCE_MS;
	rig_begin(c);
}

/* The slug that it ended with. */
static const char *ended(struct rig_call *c)
{
	static char slug[64];

	rig_until(c->ended);
	snprintf(slug, sizeof(slug), "%s", c->slug);
	rig_free(c);
	return slug;
}

static const char *outcome(const char *tenant)
{
	struct rig_call c;

	begin_call(&c, tenant, "return true");
	return ended(&c);
}

static struct ar_sandbox_stats stats(void)
{
	struct ar_sandbox_stats s;

	ar_sandbox_stats(&s);
	return s;
}

static pid_t only_executor(void)
{
	pid_t pids[2];

	return rig_executors(pids, 2) == 1 ? pids[0] : 0;
}

/* No executor is left; then the tenant has the only one. */
static pid_t fresh_executor(const char *tenant)
{
	pid_t pid;

	ar_sandbox_forget(AR_STR("a"));
	ar_sandbox_forget(AR_STR("b"));
	rig_until(stats().executors == 0 && only_executor() == 0);
	assert_string_equal(outcome(tenant), "");
	rig_until((pid = only_executor()) != 0);
	return pid;
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static bool is_stopped(pid_t pid)
{
	char path[64], line[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	return strstr(line, ") T ") != NULL;
}

static void stop_zygote(pid_t zygote)
{
	assert_int_equal(kill(zygote, SIGSTOP), 0);
	rig_until(is_stopped(zygote));
}

static void replaced(pid_t zygote, uint64_t restarts)
{
	rig_until(stats().restarts == restarts + 1);
	rig_until(rig_zygote() != 0 && rig_zygote() != zygote);
	assert_true(is_gone(zygote));
	assert_non_null(strstr(logged(), "the zygote does not answer"));
	assert_string_equal(outcome("a"), "");
}

/* ---- the zygote ---- */

static void stopped_zygote_main(void *arg)
{
	uint64_t restarts = stats().restarts;
	pid_t zygote = rig_zygote();
	struct rig_call c[8];
	char names[8][16];

	(void)arg;
	fresh_executor("a");
	logged();
	stop_zygote(zygote);
	assert_string_equal(outcome("a"), ""); /* who has a process does not need it */
	for (size_t i = 0; i < AR_COUNT(c); i++) {
		snprintf(names[i], sizeof(names[i]), "fresh-%zu", i);
		begin_call(&c[i], names[i], "return true");
	}
	for (size_t i = 0; i < AR_COUNT(c); i++)
		assert_string_equal(ended(&c[i]), ""); /* by the next one's */
	replaced(zygote, restarts);
	for (size_t i = 0; i < AR_COUNT(names); i++)
		ar_sandbox_forget(ar_str(names[i]));
}

static void a_stopped_zygote_is_replaced(void **state)
{
	(void)state;
	rig_run(stopped_zygote_main, NULL);
}

static void untold_death_main(void *arg)
{
	uint64_t restarts = stats().restarts;
	pid_t zygote = rig_zygote(), pid = fresh_executor("a");
	struct rig_call c;
	const char *slug;

	(void)arg;
	logged();
	begin_call(&c, "a", "while true do end");
	ar_sleep(10);
	stop_zygote(zygote);
	assert_int_equal(kill(pid, SIGKILL), 0);
	slug = ended(&c); /* it is both */
	if (strcmp(slug, "sandbox/lost") != 0)
		assert_string_equal(slug, "sandbox/killed");
	replaced(zygote, restarts);
}

/* Of who dies while the zygote is stopped nothing is heard. */
static void an_untold_death_is_noticed(void **state)
{
	(void)state;
	rig_run(untold_death_main, NULL);
}

/* ---- executors ---- */

static void stopped_executor_main(void *arg)
{
	pid_t pid = fresh_executor("b");
	struct rig_call c;

	(void)arg;
	assert_int_equal(kill(pid, SIGSTOP), 0); /* at rest: the next call is another one's */
	rig_until(stats().executors == 0 && is_gone(pid));
	assert_string_equal(outcome("b"), "");
	rig_until((pid = only_executor()) != 0);
	begin_call(&c, "b", "while true do end");
	ar_sleep(10);
	assert_int_equal(kill(pid, SIGSTOP), 0); /* at work */
	assert_string_equal(ended(&c), "sandbox/killed");
	rig_until(is_gone(pid));
	assert_string_equal(outcome("b"), "");
}

static void a_stopped_executor_is_ended(void **state)
{
	(void)state;
	rig_run(stopped_executor_main, NULL);
}

/* The end does not wait for who is stopped. */
static int end_stopped(void **state)
{
	pid_t zygote = rig_zygote();

	stop_zygote(zygote);
	end(state);
	return is_gone(zygote) ? 0 : -1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_zygote_is_replaced),
		cmocka_unit_test(an_untold_death_is_noticed),
		cmocka_unit_test(a_stopped_executor_is_ended),
	};

	ar_sandbox_main(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, start, end_stopped);
}
