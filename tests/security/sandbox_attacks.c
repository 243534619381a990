/*
 * sandbox_attacks.c - every row of the attack table, through the real supervisor and executors.
 *
 * While a row runs, a neighbour tenant is called again and again and must always be answered. What
 * an executor held is watched from outside (/proc). Rows are told apart by number and name; one can
 * be run alone: test_sandbox_attacks '*row_54*'.
 */
#include <fcntl.h>
#include <pthread.h>

#include "sandbox/tests/rig.h"
#include "tests/security/sandbox_attacks.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- memory of executors, from outside ---- */

static volatile bool watching;
static volatile long most_kib; /* the largest executor that was seen since it was set to 0 */

static long status_kib(const char *pid, const char *what)
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

static void children_of(pid_t pid, char *out, size_t n)
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

static void *watch_memory(void *arg)
{
	char zygotes[64], pids[4096], *save = NULL;

	(void)arg;
	children_of(getpid(), zygotes, sizeof(zygotes));
	while (watching) {
		children_of((pid_t)strtol(zygotes, NULL, 10), pids, sizeof(pids));
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

static void neighbour_main(void *arg)
{
	(void)arg;
	while (!calm) {
		struct rig_call c;
		struct ar_json *input;

		rig_prepare(&c, "neighbour", "return function(t) return t.n + 1 end");
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

static void attacked(void *arg)
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

/* ---- rows in Lua ---- */

static int answering(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		     struct ar_json **ret)
{
	(void)arg;
	(void)action;
	(void)input;
	*ret = ar_json_int(pool, 1);
	return 0;
}

static void attack_prepare(struct rig_call *c, const struct attack *a, const char *body)
{
	rig_prepare(c, "evil", "");
	c->run.code.source = ar_strf(c->pool, "return function(input, ctx) %s\nend", body);
	c->run.code.id = ar_sha256_hex(c->pool, c->run.code.source);
	c->run.limits.memory = (size_t)a->memory_mib << 20;
	c->run.limits.cpu_soft_ms = a->soft_ms;
	c->run.limits.cpu_hard_ms = a->hard_ms;
	c->run.host = answering;
}

static enum outcome outcome_of(const struct rig_call *c)
{
	static const struct {
		const char *slug;
		enum outcome outcome;
	} slugs[] = {
		{ "sandbox/cpu-limit", CPU },
		{ "sandbox/memory-limit", MEM },
		{ "sandbox/error", ERR },
		{ "sandbox/syntax", ERR },
		{ "sandbox/result-too-large", RESULT },
		{ "sandbox/killed", KILLED },
	};

	if (c->r == 0)
		return c->result.output->type == AR_BOOL && c->result.output->b ? OK | ABS | ISO
										: 0;
	for (size_t i = 0; i < AR_COUNT(slugs); i++) {
		if (strcmp(slugs[i].slug, c->slug) == 0)
			return slugs[i].outcome;
	}
	return 0;
}

static void check_time(const struct attack *a, const struct rig_call *c)
{
	int64_t hard_us = (a->hard_ms != 0 ? a->hard_ms : 1000) * 1000LL;
	double load = 0;

	/* On a machine that others use, the limit is of CPU, and the wall can be later. */
	if (getloadavg(&load, 1) != 1 || load > (double)sysconf(_SC_NPROCESSORS_ONLN))
		hard_us *= 4;
	if (c->result.wall_us > hard_us + 50000)
		fail_msg("row %d %s: ended after %d ms", a->row, a->name,
			 (int)(c->result.wall_us / 1000));
}

/* Tenant evil still works, in the same process when the error was an ordinary one. */
static void check_after(const struct attack *a, enum outcome got, uint64_t spawned)
{
	struct ar_sandbox_stats stats;
	struct rig_call c;

	ar_sandbox_stats(&stats);
	attack_prepare(&c, &(struct attack){ 0 }, "return 'still here'");
	rig_call(&c);
	if (c.r != 0)
		fail_msg("row %d %s: afterwards %s", a->row, a->name, c.slug);
	rig_free(&c);
	if (got == ERR && strstr(a->name, "nested") == NULL && a->row != 54 && a->row != 55 &&
	    a->row != 50 && a->row != 51 && stats.spawned != spawned)
		fail_msg("row %d %s: the executor did not survive", a->row, a->name);
}

static void check_isolation(const struct attack *a)
{
	static const char *const tenants[] = { "evil", "neighbour", "evil" };

	for (size_t i = 0; i < AR_COUNT(tenants); i++) {
		struct rig_call c;

		attack_prepare(&c, &(struct attack){ 0 }, a->then);
		c.run.tenant = ar_str(tenants[i]);
		rig_call(&c);
		if (outcome_of(&c) != (OK | ABS | ISO))
			fail_msg("row %d %s: %s sees it (%s %s)", a->row, a->name, tenants[i],
				 c.slug, c.message);
		rig_free(&c);
	}
}

static void row_runs(void **state)
{
	const struct attack *a = *state;
	struct ar_sandbox_stats before;
	struct rig_call warm, c;
	enum outcome got;
	long cap_kib = (a->memory_mib != 0 ? a->memory_mib : 32) * 1024L;

	attack_prepare(&warm, a, "return 1"); /* so that the executors are there */
	rig_run(attacked, &warm);
	rig_free(&warm);
	ar_sandbox_stats(&before);
	most_kib = 0;
	attack_prepare(&c, a, a->body);
	rig_run(attacked, &c);
	got = outcome_of(&c);
	if ((got & a->want) == 0)
		fail_msg("row %d %s: %s %s %s (%d ms, %d KiB)", a->row, a->name,
			 c.r == 0 ? rig_output(&c) : "", c.slug, c.message,
			 (int)(c.result.wall_us / 1000), (int)(c.result.memory_peak / 1024));
	check_time(a, &c);
	if (!SANITIZED && most_kib > cap_kib + 8 * 1024)
		fail_msg("row %d %s: an executor held %ld KiB", a->row, a->name, most_kib);
	if (neighbour_worst_us > 500000)
		fail_msg("row %d %s: the neighbour waited %d ms", a->row, a->name,
			 (int)(neighbour_worst_us / 1000));
	check_after(a, got, before.spawned);
	if (a->then != NULL)
		check_isolation(a);
	rig_free(&c);
}

/* ---- rows that need more than Lua ---- */

static void row_48_log_flood(void **state)
{
	struct rig_call c;
	size_t bytes = 0;

	(void)state;
	attack_prepare(&c, &(struct attack){ .soft_ms = 5000, .hard_ms = 9000 },
		       "local s = ('x'):rep(64) for i = 1, 1e6 do print(s) end return true");
	rig_call(&c);
	assert_int_equal(c.r, 0);
	assert_true(c.result.logs_cut);
	for (size_t i = 0; i < c.result.nlogs; i++)
		bytes += c.result.logs[i].text.n;
	assert_in_range(bytes, 32 << 10, (64 << 10) + 100);
	assert_in_range(c.result.nlogs, 100, 64 << 10);
	assert_true(ar_str_starts(c.result.logs[c.result.nlogs - 1].text, AR_STR("log limit")));
	assert_false(ar_str_starts(c.result.logs[c.result.nlogs - 2].text, AR_STR("log limit")));
	rig_free(&c);

	attack_prepare(&c, &(struct attack){ .soft_ms = 5000, .hard_ms = 9000 },
		       "for i = 1, 1e6 do print() end return true");
	rig_call(&c);
	assert_int_equal(c.r, 0);
	assert_true(c.result.logs_cut);
	assert_in_range(c.result.nlogs, 1, 5000);
	rig_free(&c);
}

struct checked {
	struct ar_str source;
	char slug[64];
};

static void check_main(void *arg)
{
	struct checked *c = arg;

	c->slug[0] = '\0';
	if (ar_sandbox_check(AR_STR("evil"), AR_STR("deploy"), c->source) != 0) {
		snprintf(c->slug, sizeof(c->slug), "%s", ar_err()->def->slug);
		ar_err_clear();
	}
}

static void deploy_gives(struct ar_str source, const char *slug)
{
	struct checked c = { source, "" };

	rig_run(check_main, &c);
	assert_string_equal(c.slug, slug);
}

static void row_58_59_60_deploys(void **state)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_buf *buf = ar_buf_new(pool, 4 << 20);

	(void)state;
	for (int i = 0; i < 100000; i++)
		ar_buf_char(buf, '(');
	deploy_gives(ar_buf_view(buf), "sandbox/syntax");
	buf->n = 0;
	for (int i = 0; i < 100000; i++)
		ar_buf_z(buf, i == 0 ? "return {" : "{");
	deploy_gives(ar_buf_view(buf), "sandbox/syntax");
	buf->n = 0;
	for (int i = 0; i < 300; i++)
		ar_buf_printf(buf, "local v%d = %d ", i, i);
	deploy_gives(ar_buf_view(buf), "sandbox/syntax");
	buf->n = 0;
	ar_buf_z(buf, "return x");
	while (buf->n < AR_SANDBOX_SOURCE_MAX - 2)
		ar_buf_z(buf, "+1");
	deploy_gives(ar_buf_view(buf), "");
	buf->n = 0;
	ar_buf_z(buf, "--");
	while (buf->n < AR_SANDBOX_SOURCE_MAX)
		ar_buf_char(buf, 'x');
	deploy_gives(ar_buf_view(buf), "");
	ar_buf_char(buf, 'x');
	deploy_gives(ar_buf_view(buf), "too-large");
	deploy_gives(AR_STR("\x1bLuaT\0\x19\x93\r\n\x1a\n"), "sandbox/bytecode");
	ar_pool_free(pool);
}

/* A long run of hexadecimal digits, as an address would be. */
static bool shows_address(struct ar_str s)
{
	size_t run = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool hex = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');

		run = hex ? run + 1 : 0;
		if (run >= 8 || (i > 0 && s.p[i] == 'x' && s.p[i - 1] == '0'))
			return true;
	}
	return false;
}

static void row_79_addresses(void **state)
{
	static const char *const bodies[] = {
		"return tostring(print) .. tostring({}) .. tostring(coroutine.create(print)) .. "
		"tostring(json.null) .. tostring(apprun) .. tostring(function() end)",
		"return string.format('%p %p %p %s %s', {}, print, 'x', {}, print)",
		"return string.format('%q', 'x') .. tostring(setmetatable({}, {__name = 'n'}))",
		"print({}, print, coroutine.running()) error(string.format('%s', {}))",
		"local t = {} t[{}] = 1 return t",
		"math.randomseed() return tostring(select('#', math.randomseed()))",
		"return string.format('%s', coroutine.running()) .. select(2, pcall(error, {}))",
		"local t = setmetatable({}, {__index = print}) return {} .. t",
		"return #{} < {} ",
		"return ('x'):rep({}) ",
	};

	(void)state;
	for (size_t i = 0; i < AR_COUNT(bodies); i++) {
		struct rig_call c;

		attack_prepare(&c, &(struct attack){ 0 }, bodies[i]);
		rig_call(&c);
		if (c.r == 0 && shows_address(ar_str(rig_output(&c))))
			fail_msg("%s gives %s", bodies[i], rig_output(&c));
		if (c.result.error != NULL && shows_address(ar_json_print(c.pool, c.result.error)))
			fail_msg("%s fails with an address", bodies[i]);
		for (size_t l = 0; l < c.result.nlogs; l++)
			assert_false(shows_address(c.result.logs[l].text));
		rig_free(&c);
	}
}

static void row_80_random(void **state)
{
	static const char body[] = "return {math.random(0), math.random(0)}";
	struct rig_call a, b, again;

	(void)state;
	attack_prepare(&a, &(struct attack){ 0 }, body);
	rig_call(&a);
	attack_prepare(&b, &(struct attack){ 0 }, body);
	b.run.tenant = AR_STR("neighbour");
	rig_call(&b);
	assert_string_not_equal(rig_output(&a), rig_output(&b));
	assert_true(a.result.seed != 0 && a.result.seed != b.result.seed);
	attack_prepare(&again, &(struct attack){ 0 }, body);
	again.run.seed = a.result.seed;
	rig_call(&again);
	assert_string_equal(rig_output(&again), rig_output(&a));
	rig_free(&a);
	rig_free(&b);
	rig_free(&again);
}

/* ---- an executor in an attacker's hands ---- */

static int log_pipe[2];

/* What was logged since the last look. */
static const char *logged(void)
{
	static char text[8192];
	ssize_t n = read(log_pipe[0], text, sizeof(text) - 1);

	text[AR_MAX(n, (ssize_t)0)] = '\0';
	return text;
}

/* fault(name) must end in sandbox/killed, and the log say how; then a replacement serves. */
static void expect_kill(const char *name, const char *body, const char *how)
{
	struct rig_call c;
	const char *log;

	logged();
	attack_prepare(&c, &(struct attack){ .hard_ms = 600 }, body);
	c.run.limits.wall_ms = 3000;
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
	/* 5 ms on a machine of its own */
	assert_true(c.result.wall_us < (SANITIZED ? 500000 : 100000));
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

static int victim_host(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		       struct ar_json **ret)
{
	int *calls = arg;

	(void)pool;
	(void)input;
	(void)ret;
	(*calls)++;
	return ar_str_is(action, "wait.here") ? ar_sleep(400) : ar_fail(AR_E_FORBIDDEN);
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
	evil.run.limits.wall_ms = 500;
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
	rig_begin(&victim);
	attack_prepare(&evil, &(struct attack){ 0 }, "fault_forge('a.b', -1)");
	evil.run.host = witness;
	evil.run.host_arg = (void *)(uintptr_t) "evil";
	rig_begin(&evil);
	rig_wait();
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
		assert_in_range(c.result.wall_us, 290000, 1000000);
		rig_free(&c);
	}
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

/* ---- all of it ---- */

static pthread_t watcher;

static int start(void **state)
{
	if (rig_start(state) != 0 || pipe2(log_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	ar_log_fd(log_pipe[1]);
	ar_log_level(AR_WARN);
	watching = true;
	return pthread_create(&watcher, NULL, watch_memory, NULL);
}

static int end(void **state)
{
	watching = false;
	pthread_join(watcher, NULL);
	return rig_end(state);
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[AR_COUNT(attacks) + 16];
	static char names[AR_COUNT(attacks)][80];
	const struct CMUnitTest others[] = {
		cmocka_unit_test(row_48_log_flood),      cmocka_unit_test(row_58_59_60_deploys),
		cmocka_unit_test(row_79_addresses),      cmocka_unit_test(row_80_random),
		cmocka_unit_test(row_84_opens_a_file),   cmocka_unit_test(row_85_system_calls),
		cmocka_unit_test(row_86_frames),         cmocka_unit_test(row_87_forged_tenant),
		cmocka_unit_test(row_88_second_answers), cmocka_unit_test(row_89_host_call_flood),
		cmocka_unit_test(row_90_no_answer),      cmocka_unit_test(row_91_recursion_bomb),
		cmocka_unit_test(row_91_crowd),
	};
	size_t n = 0;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	for (; n < AR_COUNT(attacks); n++) {
		snprintf(names[n], sizeof(names[n]), "row_%d_%s", attacks[n].row, attacks[n].name);
		tests[n] = (struct CMUnitTest){ names[n], row_runs, NULL, NULL,
						(void *)(uintptr_t)&attacks[n] };
	}
	for (size_t i = 0; i < AR_COUNT(others); i++)
		tests[n++] = others[i];
	return _cmocka_run_group_tests("sandbox attacks", tests, n, start, end);
}
