/*
 * sandbox_native.c - rows 84 to 91 of the attack table: an executor in an attacker's hands.
 */
#include <sched.h>

#include "tests/security/sandbox_rig.h"

/* ---- an executor in an attacker's hands ---- */

static int64_t served_soonest_us = INT64_MAX; /* by a replacement */

/* fault(name) must end in sandbox/killed, and the log say how; then a replacement serves. */
static void expect_kill(const char *name, const char *body, const char *how)
{
	struct rig_call c;
	const char *log;

	logged();
	attack_prepare(&c, &(struct attack){ .hard_ms = 600 }, body);
	rig_run(attacked, &c);
	log = logged();
	if (strcmp(c.slug, "sandbox/killed") != 0)
		fail_msg("%s: %s %s", name, c.r == 0 ? rig_output(&c) : c.slug, c.message);
	if (how != NULL && strstr(log, how) == NULL)
		fail_msg("%s: the log says %s", name, log);
	rig_free(&c);
	attack_prepare(&c, &(struct attack){ 0 }, "return true");
	rig_call(&c);
	if (c.r != 0)
		fail_msg("%s: then %s %s", name, c.slug, logged());
	served_soonest_us = AR_MIN(served_soonest_us, c.result.wall_us);
	rig_free(&c);
}

static void expect_fault(const char *fault, const char *how)
{
	char body[128];

	snprintf(body, sizeof(body), "return fault('%s')", fault);
	expect_kill(fault, body, how);
}

static void row_84_opens_a_file(void **state)
{
	(void)state;
	expect_fault("fopen", "signal 31");
	expect_fault("open_write", "signal 31");
	assert_int_not_equal(access("/tmp/apprun-evil", F_OK), 0);
}

static void row_85_system_calls(void **state)
{
	static const char *const calls[] = {
		"fork",    "clone3",        "execve",      "ptrace",         "attach_parent",
		"socket",  "connect",       "sendmsg",     "io_uring",       "userfaultfd",
		"bpf",     "mmap_exec",     "mmap_shared", "kill",           "tgkill",
		"prlimit", "prctl",         "vm_read",     "read_elsewhere", "32_bit",
		"x32",     "mprotect_exec",
	};

	(void)state;
	for (size_t i = 0; i < AR_COUNT(calls); i++)
		expect_fault(calls[i], "signal 31");
	expect_fault("crash", "signal ");
	if (!SANITIZED) /* no RLIMIT_AS under a sanitizer */
		expect_fault("eat_memory", "exit 0");
	/* 5 ms on a machine of its own; of so many one is not held up by others */
	assert_in_range(served_soonest_us, 0, SANITIZED ? 500000 : 100000);
}

static void row_86_frames(void **state)
{
	static const char *const frames[] = {
		"short",          "empty_frame",         "huge_packet",     "unknown_type",
		"bad_flags",      "endless_frame",       "endless_nothing", "mixed_frames",
		"value_past_end", "array_past_end",      "value_deep",      "bad_utf8",
		"zero_byte",      "not_a_number",        "duplicate_keys",  "trailing_bytes",
		"bad_status",     "cancelled_by_itself", "logs_past_end",   "bad_log",
		"log_flood",      "host_bad_name",       "host_bad_value",  "supervisor_frame",
	};

	(void)state;
	for (size_t i = 0; i < AR_COUNT(frames); i++)
		expect_fault(frames[i], NULL);
	/* not left to the CPU limit: each costs the supervisor as much as it costs the sender */
	expect_fault("log_flood_of_nothing", "a frame that cannot come now");
}

static int behind_count(void)
{
	char pids[4096], *save = NULL;
	int n = 0;

	children_of(rig_zygote(), pids, sizeof(pids));
	for (char *p = strtok_r(pids, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
		n += sched_getscheduler((pid_t)strtol(p, NULL, 10)) == SCHED_IDLE;
	return n;
}

/* What an executor used before it broke is its tenant's debt as anything else. */
static void row_86_dying_is_no_way_out(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		expect_kill("burn", "for i = 1, 1e7 do end fault('short')", NULL);
	for (int i = 0; i < 3000 && behind_count() > 1; i++) /* the last one's reaping */
		usleep(10000);
	assert_int_equal(behind_count(), 1);
}

/* Every host call that comes in is for tenant evil, whatever its bytes say. */
static int witness_calls;
static char witness_action[256];

static int witness(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		   struct ar_json **ret)
{
	(void)pool;
	(void)input;
	(void)ret;
	assert_string_equal(arg, "evil");
	snprintf(witness_action, sizeof(witness_action), "%.*s", AR_FMT(action));
	witness_calls++;
	return 0;
}

static bool victim_may_go;

static int victim_host(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		       struct ar_json **ret)
{
	int *calls = arg, r = 0;

	(void)pool;
	(void)input;
	(void)ret;
	(*calls)++;
	if (!ar_str_is(action, "wait.here"))
		return ar_fail(AR_E_FORBIDDEN);
	while (r == 0 && !victim_may_go)
		r = ar_sleep(2);
	return r;
}

static void evil_beside_victim(void *arg)
{
	struct rig_call *evil = ((struct rig_call **)arg)[0],
			*victim = ((struct rig_call **)arg)[1];

	victim_may_go = false;
	rig_begin(victim);
	rig_until(*(int *)victim->run.host_arg == 1);
	rig_call_here(evil);
	ar_sleep(50);
	victim_may_go = true;
	rig_wait_here();
}

static void row_87_forged_tenant(void **state)
{
	struct rig_call evil, victim;
	int victims = 0;

	(void)state;
	/* Its own call, with another tenant's name in the bytes: it is evil's all the same. */
	attack_prepare(&evil, &(struct attack){ 0 }, "fault_forge('neighbour.delete_all')");
	evil.run.host = witness;
	evil.run.host_arg = (void *)(uintptr_t) "evil";
	evil.run.limits.wall_ms = 3000; /* it waits for ever then */
	witness_calls = 0;
	rig_call(&evil);
	assert_int_equal(witness_calls, 1);
	assert_string_equal(witness_action, "neighbour.delete_all");
	rig_free(&evil);
	/* Another tenant's call, by its number, while that one waits. */
	attack_prepare(&victim, &(struct attack){ 0 }, "apprun.wait.here() return 'unharmed'");
	victim.run.tenant = AR_STR("victim");
	victim.run.host = victim_host;
	victim.run.host_arg = &victims;
	attack_prepare(&evil, &(struct attack){ 0 }, "fault_forge('a.b', -1)");
	evil.run.host = witness;
	evil.run.host_arg = (void *)(uintptr_t) "evil";
	rig_run(evil_beside_victim, (struct rig_call *[]){ &evil, &victim });
	assert_string_equal(evil.slug, "sandbox/killed");
	assert_int_equal(witness_calls, 1);
	assert_int_equal(victims, 1);
	assert_string_equal(rig_output(&victim), "\"unharmed\"");
	rig_free(&evil);
	rig_free(&victim);
}

static void row_88_second_answers(void **state)
{
	struct rig_call c;

	(void)state;
	attack_prepare(&c, &(struct attack){ 0 }, "return fault('answer_twice')");
	rig_run(attacked, &c);
	assert_string_equal(rig_output(&c), "1"); /* the first; the second kills */
	rig_free(&c);
	expect_fault("answer_old_id", NULL);
	expect_fault("answer_ids_around", NULL);
}

static void row_89_host_call_flood(void **state)
{
	struct rig_call c;

	(void)state;
	attack_prepare(&c, &(struct attack){ .soft_ms = 9000, .hard_ms = 20000 },
		       "for i = 1, 1e6 do pcall(apprun.a.b) end");
	rig_run(attacked, &c);
	assert_string_equal(c.slug, "sandbox/host-calls");
	assert_int_equal(c.result.host_calls, 1000);
	rig_free(&c);
	/* natively, without waiting for answers */
	attack_prepare(&c, &(struct attack){ 0 }, "fault('host_flood')");
	rig_run(attacked, &c);
	assert_string_equal(c.slug, "sandbox/killed");
	assert_in_range(c.result.host_calls, 0, 1000);
	rig_free(&c);
}

static int never(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		 struct ar_json **ret)
{
	(void)arg;
	(void)pool;
	(void)action;
	(void)input;
	(void)ret;
	return ar_sleep(3600 * 1000);
}

static void row_90_no_answer(void **state)
{
	static const char *const bodies[] = { "apprun.a.b()", "pcall(apprun.a.b) return 1",
					      "fault('silence')" };

	(void)state;
	for (size_t i = 0; i < AR_COUNT(bodies); i++) {
		struct rig_call c;

		attack_prepare(&c, &(struct attack){ 0 }, bodies[i]);
		c.run.host = never;
		c.run.limits.wall_ms = 300;
		rig_run(attacked, &c);
		assert_string_equal(c.slug, "sandbox/wall-limit");
		assert_in_range(c.result.wall_us, 290000, 30000000);
		rig_free(&c);
	}
}

/* The hard limit is of a call, however many host calls it makes. */
static void row_89_burns_in_turns(void **state)
{
	struct rig_call c;

	(void)state;
	attack_prepare(&c, &(struct attack){ .hard_ms = 300 }, "fault('burn_in_turns')");
	rig_run(attacked, &c);
	assert_string_equal(c.slug, "sandbox/cpu-limit");
	/* 300 ms, of CPU or of wall, seen by a supervisor that may be late; its host calls would last for
	 * 15 s */
	assert_in_range(c.result.cpu_us, 100000, 3000000);
	rig_free(&c);
}

static void wait_for_kill(void *arg)
{
	struct ar_sandbox_stats stats;
	uint64_t *killed = arg;

	for (int i = 0; i < 3000; i++) {
		ar_sandbox_stats(&stats);
		if (stats.killed > *killed)
			break;
		ar_sleep(10);
	}
	*killed = stats.killed - *killed;
}

/* An executor that has answered has nothing to do, and must not do anything. */
static void row_90_spins_after_the_answer(void **state)
{
	struct ar_sandbox_stats stats;
	struct rig_call c;
	uint64_t killed;

	(void)state;
	ar_sandbox_stats(&stats);
	killed = stats.killed;
	attack_prepare(&c, &(struct attack){ 0 }, "return fault('answer_then_spin')");
	rig_run(attacked, &c);
	assert_string_equal(rig_output(&c), "1");
	rig_free(&c);
	rig_run(wait_for_kill, &killed);
	assert_int_equal(killed, 1);
	assert_non_null(strstr(logged(), "at rest"));
	expect_true("return true");
}

/* ---- recursion and crowds ---- */

struct recursion {
	int depth, deepest, calls;
};

static int recurse(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		   struct ar_json **ret)
{
	struct recursion *r = arg;
	struct rig_call c;
	int result;

	(void)pool;
	(void)action;
	(void)input;
	(void)ret;
	r->calls++;
	attack_prepare(&c, &(struct attack){ 0 }, "return apprun.functions.call{name = 'me'}");
	c.run.depth = ++r->depth;
	c.run.host = recurse;
	c.run.host_arg = r;
	r->deepest = AR_MAX(r->deepest, r->depth);
	result = ar_sandbox_call(c.pool, &c.run, &c.result);
	r->depth--;
	ar_pool_free(c.pool);
	return result;
}

static void row_91_recursion_bomb(void **state)
{
	struct recursion r = { 0 };
	struct rig_call c;

	(void)state;
	attack_prepare(&c, &(struct attack){ 0 }, "return apprun.functions.call{name = 'me'}");
	c.run.host = recurse;
	c.run.host_arg = &r;
	rig_run(attacked, &c);
	assert_string_equal(c.slug, "sandbox/error");
	assert_int_equal(r.deepest, AR_SANDBOX_DEPTH_MAX + 1);
	assert_int_equal(r.calls, AR_SANDBOX_DEPTH_MAX + 1);
	rig_free(&c);
}

static int slowly(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		  struct ar_json **ret)
{
	(void)arg;
	(void)pool;
	(void)action;
	(void)input;
	(void)ret;
	return ar_sleep(300);
}

/* Row 100 at this level: a tenant's crowd is refused, a neighbour is not. */
static void row_91_crowd(void **state)
{
	enum { CROWD = 1000 };
	struct rig_call *c = ar_heap_alloc(CROWD * sizeof(*c)), neighbour;
	int served = 0, busy = 0;

	(void)state;
	for (int i = 0; i < CROWD; i++) {
		attack_prepare(&c[i], &(struct attack){ 0 }, "apprun.a.b() return true");
		c[i].run.host = slowly;
		rig_begin(&c[i]);
	}
	rig_prepare(&neighbour, "neighbour", "return function() return true end");
	rig_call(&neighbour);
	assert_int_equal(neighbour.r, 0);
	rig_free(&neighbour);
	for (int i = 0; i < CROWD; i++) {
		served += c[i].r == 0;
		busy += strcmp(c[i].slug, "sandbox/busy") == 0;
		rig_free(&c[i]);
	}
	assert_int_equal(served + busy, CROWD);
	assert_true(served >= 256);
	assert_true(busy > 0);
	ar_heap_free(c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_84_opens_a_file),
		cmocka_unit_test(row_85_system_calls),
		cmocka_unit_test(row_86_frames),
		cmocka_unit_test(row_86_dying_is_no_way_out),
		cmocka_unit_test(row_87_forged_tenant),
		cmocka_unit_test(row_88_second_answers),
		cmocka_unit_test(row_89_host_call_flood),
		cmocka_unit_test(row_89_burns_in_turns),
		cmocka_unit_test(row_90_no_answer),
		cmocka_unit_test(row_90_spins_after_the_answer),
		cmocka_unit_test(row_91_recursion_bomb),
		cmocka_unit_test(row_91_crowd),
	};

	ar_sandbox_main(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, start, end);
}
