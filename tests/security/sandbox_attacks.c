/*
 * sandbox_attacks.c - the rows of the attack table that Lua alone can try, through the real supervisor
 * and executors. Rows are told apart by number and name; one can be run alone:
 * test_sandbox_attacks '*row_54*'.
 */
#include "tests/security/sandbox_rig.h"

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

static bool crowded(void)
{
	double load = 0;

	return getloadavg(&load, 1) != 1 || load > (double)sysconf(_SC_NPROCESSORS_ONLN);
}

/*
 * NULL, or what took too long: a CPU that ends later than the hard limit and 50 ms, a neighbour that
 * waits. On a machine that others use, too, only the wait for the CPU itself (wall, not CPU time) can
 * be longer.
 */
static const char *too_late(const struct attack *a, const struct rig_call *c)
{
	int64_t latest_us = (a->hard_ms != 0 ? a->hard_ms : 1000) * 1000LL + 50000;

	if (outcome_of(c) == CPU && c->result.cpu_us > latest_us)
		return "it used too much CPU";
	if (outcome_of(c) == CPU && c->result.wall_us > latest_us && !crowded())
		return "it ended too late";
	if (neighbour_worst_us > 500000 && !crowded())
		return "the neighbour waited";
	return NULL;
}

static int limited(struct rig_call *c, const struct attack *a, const char *body)
{
	attack_prepare(c, a, body);
	rig_run(attacked, c);
	return c->r;
}

/* An error is an ordinary one: the code that calls can catch it. */
static void check_catchable(const struct attack *a)
{
	struct rig_call c;
	char body[1024];

	snprintf(body, sizeof(body), "return not pcall(function() %s end)", a->body);
	limited(&c, a, body);
	if (outcome_of(&c) != (OK | ABS | ISO))
		fail_msg("row %d %s: it cannot be caught (%s %s)", a->row, a->name, c.slug,
			 c.message);
	rig_free(&c);
}

/* Tenant evil still works, in the same process when the error was an ordinary one. */
static void check_after(const struct attack *a, const struct rig_call *attack, uint64_t spawned)
{
	bool overflow = strstr(attack->message, "stack overflow") != NULL;
	struct ar_sandbox_stats stats;
	struct rig_call c;

	ar_sandbox_stats(&stats);
	attack_prepare(&c, &(struct attack){ 0 }, "return 'still here'");
	rig_call(&c);
	if (c.r != 0)
		fail_msg("row %d %s: afterwards %s", a->row, a->name, c.slug);
	rig_free(&c);
	if (outcome_of(attack) == ERR && !overflow && stats.spawned != spawned)
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

/* Until it is in time: once in five, a moment's load is not the attack's doing. */
static enum outcome run_in_time(const struct attack *a, struct rig_call *c, uint64_t *ret_spawned)
{
	for (int tries = 1;; tries++) {
		struct ar_sandbox_stats before;
		const char *late;
		enum outcome got;

		ar_sandbox_stats(&before);
		*ret_spawned = before.spawned;
		limited(c, a, a->body);
		got = outcome_of(c);
		if ((got & a->want) == 0)
			fail_msg("row %d %s: %s %s %s (%d ms, %d KiB)", a->row, a->name,
				 c->r == 0 ? rig_output(c) : "", c->slug, c->message,
				 (int)(c->result.wall_us / 1000),
				 (int)(c->result.memory_peak / 1024));
		late = too_late(a, c);
		if (late == NULL)
			return got;
		if (tries == 5)
			fail_msg("row %d %s: %s (%d ms, CPU %d ms; the neighbour %d ms)", a->row,
				 a->name, late, (int)(c->result.wall_us / 1000),
				 (int)(c->result.cpu_us / 1000), (int)(neighbour_worst_us / 1000));
		rig_free(c);
	}
}

static void row_runs(void **state)
{
	const struct attack *a = *state;
	struct rig_call warm, c;
	uint64_t spawned;
	enum outcome got;
	long cap_kib = (a->memory_mib != 0 ? a->memory_mib : 32) * 1024L;

	limited(&warm, a, "return 1"); /* so that the executors are there */
	rig_free(&warm);
	most_kib = 0;
	got = run_in_time(a, &c, &spawned);
	if (a->says != NULL && strstr(c.message, a->says) == NULL)
		fail_msg("row %d %s: it says %s", a->row, a->name, c.message);
	if (!SANITIZED && most_kib > cap_kib + 8 * 1024)
		fail_msg("row %d %s: an executor held %ld KiB", a->row, a->name, most_kib);
	check_after(a, &c, spawned);
	if (got == ERR && strncmp(a->name, "result_", 7) != 0) /* that is after the code's end */
		check_catchable(a);
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
	for (size_t i = 0; i < c.result.nlogs; i++) /* one marker, and it is the last line */
		assert_int_equal(ar_str_starts(c.result.logs[i].text, AR_STR("log limit")),
				 i + 1 == c.result.nlogs);
	rig_free(&c);

	attack_prepare(&c, &(struct attack){ .soft_ms = 5000, .hard_ms = 9000 },
		       "for i = 1, 1e6 do print() end return true");
	rig_call(&c);
	assert_int_equal(c.r, 0);
	assert_true(c.result.logs_cut);
	assert_in_range(c.result.nlogs, 1, 5000);
	rig_free(&c);
}

/* Row 70: what the host does for the code does not go through what the code can replace. */
static void row_70_host_keeps_its_own(void **state)
{
	(void)state;
	expect_true(
		"local keep, log, json, apprun, _G = pcall, log, json, apprun, _G "
		"string.format, string.rep, table.concat, math.random = nil, nil, nil, nil "
		"for k in pairs(_G) do _G[k] = function() while true do end end end "
		"local ok, e = keep(apprun.a.b, 1) log.info(e, {}, 'text') "
		"return not ok and apprun.a.b() == 1 and json.decode(json.encode{a = 1}).a == 1 "
		"and ('x'):upper() == 'X'");
	expect_true("rawset(_G, 'handle', function() return false end) "
		    "rawset(_G, 'coroutine', nil) rawset(_G, 'error', nil) return true");
}

/* Row 72: a chunk's own variables are made again for each call, and those of its modules. */
static void row_72_upvalues(void **state)
{
	static const struct ar_sandbox_code module = {
		AR_STR("counter-1"), AR_STR("counter"),
		AR_STR("local n = 0 return function() n = n + 1 return n end")
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rig_call c;

		rig_prepare(&c, "evil",
			    "local n, count = 0, require('counter') "
			    "return function() n = n + 1 return n + count() end");
		c.run.modules = &module;
		c.run.nmodules = 1;
		rig_call(&c);
		assert_string_equal(rig_output(&c), "2");
		rig_free(&c);
	}
}

struct checked {
	struct ar_str source;
	char slug[64];
	int status;
};

static void check_main(void *arg)
{
	struct checked *c = arg;

	c->slug[0] = '\0';
	c->status = 200;
	if (ar_sandbox_check(AR_STR("evil"), AR_STR("deploy"), c->source) != 0) {
		snprintf(c->slug, sizeof(c->slug), "%s", ar_err()->def->slug);
		c->status = ar_err()->def->status;
		ar_err_clear();
	}
}

static void deploy_gives(struct ar_str source, const char *slug)
{
	struct checked c = { .source = source };

	rig_run(check_main, &c);
	assert_string_equal(c.slug, slug);
	assert_in_range(c.status, slug[0] == '\0' ? 200 : 400, slug[0] == '\0' ? 200 : 499);
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

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[AR_COUNT(attacks) + 16];
	static char names[AR_COUNT(attacks)][80];
	const struct CMUnitTest others[] = {
		cmocka_unit_test(row_48_log_flood),          cmocka_unit_test(row_58_59_60_deploys),
		cmocka_unit_test(row_70_host_keeps_its_own), cmocka_unit_test(row_72_upvalues),
		cmocka_unit_test(row_79_addresses),          cmocka_unit_test(row_80_random),
	};
	size_t n = 0;

	ar_sandbox_main(argc, argv);
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
