/*
 * attacks.c - the sandbox's times under attack: how late a kill is, how soon a replacement serves, and
 * what a neighbour notices of one tenant that attacks and of many that burn all the CPU they get.
 *
 * A neighbour's call is a fresh state and a small sum, every millisecond. Each figure under attack
 * stands beside the one alone, which is measured in turn with it, since machines swing. Nothing here
 * asserts. bench_attacks [tenants that burn] [seconds for each figure]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

static struct ar_loop *loop;
static int seconds = 4;

struct samples {
	int64_t us[100000];
	size_t n;
};

static void add(struct samples *s, int64_t us)
{
	if (s->n < AR_COUNT(s->us))
		s->us[s->n++] = us;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t part(struct samples *s, int percent)
{
	if (s->n == 0)
		return -1;
	qsort(s->us, s->n, sizeof(s->us[0]), by_value);
	return s->us[AR_MIN(s->n * (size_t)percent / 100, s->n - 1)];
}

static void row(const char *what, struct samples *s, const char *goal)
{
	printf("%-44s n %6zu  p50 %8.3f  p99 %8.3f  max %8.3f ms  %s\n", what, s->n,
	       (double)part(s, 50) / 1000, (double)part(s, 99) / 1000, (double)part(s, 100) / 1000,
	       goal);
	fflush(stdout);
}

static const char *call(const char *tenant, const char *source,
			const struct ar_sandbox_limits *limits, int64_t *us)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_sandbox_run run = { .tenant = ar_str(tenant),
				      .code = { ar_str(source), AR_STR("bench"), ar_str(source) } };
	struct ar_sandbox_result result;
	const char *slug = "";
	int64_t from = ar_mono_us();

	if (limits != NULL)
		run.limits = *limits;
	if (ar_sandbox_call(pool, &run, &result) != 0) {
		slug = ar_err()->def->slug;
		ar_err_clear();
	}
	*us = ar_mono_us() - from;
	return slug;
}

static void must(const char *slug, const char *want)
{
	if (strcmp(slug, want) != 0) {
		fprintf(stderr, "a call ended with '%s', not '%s'\n", slug, want);
		exit(1);
	}
}

/* ---- how late, how soon ---- */

static void kills(void *arg)
{
	static struct samples soft, hard, again;
	const struct ar_sandbox_limits s = { .cpu_soft_ms = 100, .cpu_hard_ms = 1000 };
	const struct ar_sandbox_limits h = { .cpu_soft_ms = 20, .cpu_hard_ms = 200 };
	int64_t us;

	(void)arg;
	for (int i = 0; i < 30; i++) {
		must(call("evil", "return function() while true do end end", &s, &us),
		     "sandbox/cpu-limit");
		add(&soft, us - s.cpu_soft_ms * 1000);
	}
	row("soft limit 100 ms: ended after it by", &soft, "");
	for (int i = 0; i < 30; i++) {
		must(call("evil", "return function() fault('spin') end", &h, &us),
		     "sandbox/cpu-limit");
		add(&hard, us - h.cpu_hard_ms * 1000);
	}
	row("hard limit 200 ms: killed after it by", &hard, "at most 50 ms");
	for (int i = 0; i < 500; i++) {
		must(call("evil", "return function() fault('short') end", NULL, &us),
		     "sandbox/killed");
		must(call("evil", "return function() return 1 end", NULL, &us), "");
		add(&again, us);
	}
	row("killed: the replacement's first answer", &again, "within 5 ms");
	ar_loop_stop(loop);
}

/* ---- the neighbour ---- */

static const char neighbour[] = "return function() local s = 0 for i = 1, 100 do s = s + i end "
				"return s end";

static void neighbour_calls(struct samples *s, int64_t ms)
{
	int64_t until = ar_mono_ms() + ms, us;

	while (ar_mono_ms() < until) {
		must(call("neighbour", neighbour, NULL, &us), "");
		add(s, us);
		ar_sleep(1);
	}
}

static volatile bool attacking;
static int attackers;
static long attacks;

struct attacker {
	char tenant[32];
	bool mixed;
};

static void attacker_main(void *arg)
{
	static const char *const bodies[] = {
		"while true do end",
		"(('a'):rep(10000)):find('.-.-.-.-b')",
		"local s = 'x' while true do s = s .. s end",
		"while true do local s = ('x'):rep(7000000) end",
		"local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
		"fault('short')",
		"fault('fopen')",
		"fault('log_flood')",
		"while true do print('x') end",
		"local function f() return coroutine.wrap(f)() end f()",
	};
	const struct attacker *a = arg;
	char source[256];
	int64_t us;

	for (size_t i = 0; attacking; i++) {
		snprintf(source, sizeof(source), "return function() %s end",
			 bodies[a->mixed ? i % AR_COUNT(bodies) : 0]);
		call(a->tenant, source, NULL, &us);
		attacks++;
	}
	attackers--;
}

static void beside(int n, bool mixed, const char *name, const char *goal)
{
	static struct samples alone, attacked;
	struct attacker *a = ar_heap_alloc((size_t)n * sizeof(*a));
	char what[64];
	long from;

	alone.n = attacked.n = 0;
	attacks = 0;
	for (int turn = 0; turn < 2; turn++) {
		neighbour_calls(&alone, seconds * 500);
		from = attacks;
		attacking = true;
		for (int i = 0; i < n; i++) {
			snprintf(a[i].tenant, sizeof(a[i].tenant), "evil-%d", i);
			a[i].mixed = mixed;
			attackers++;
			ar_go("attacker", attacker_main, &a[i], AR_NO_DEADLINE);
		}
		for (int i = 0; i < 20 || (attacks < from + n && i < 400); i++)
			ar_sleep(50); /* until it is known who they are */
		neighbour_calls(&attacked, seconds * 500);
		attacking = false;
		while (attackers > 0)
			ar_sleep(5);
	}
	row("neighbour, alone", &alone, "");
	snprintf(what, sizeof(what), "neighbour, %s (%ld calls)", name, attacks);
	row(what, &attacked, goal);
	printf("%-44s p50 x %.2f  p99 x %.2f\n", "",
	       (double)part(&attacked, 50) / (double)part(&alone, 50),
	       (double)part(&attacked, 99) / (double)part(&alone, 99));
	ar_heap_free(a);
}

static int burning = 50;

static void neighbours(void *arg)
{
	char name[32];

	(void)arg;
	beside(1, false, "one tenant loops", "p99 within x 1.2");
	beside(1, true, "one tenant attacks", "p99 within x 1.2");
	snprintf(name, sizeof(name), "%d tenants burn", burning);
	beside(burning, false, name, "p99 within x 2");
	ar_loop_stop(loop);
}

static void detach(void *arg)
{
	(void)arg;
	ar_sandbox_detach();
	ar_loop_stop(loop);
}

int main(int argc, char **argv)
{
	const struct ar_sandbox_options options = { .executors_max = 2048 };
	static void (*const parts[])(void *arg) = { kills, neighbours, detach };

	ar_sandbox_main(argc, argv);
	if (argc > 1)
		burning = (int)AR_MIN(AR_MAX(strtol(argv[1], NULL, 10), 1), 1000);
	if (argc > 2)
		seconds = (int)AR_MIN(AR_MAX(strtol(argv[2], NULL, 10), 1), 60);
	if (ar_sandbox_init(&options) != 0) {
		ar_log_err(AR_ERROR, "bench", "ar_sandbox_init");
		return 1;
	}
	ar_log_level(AR_ERROR);
	loop = ar_loop_new();
	ar_sandbox_attach();
	for (size_t i = 0; i < AR_COUNT(parts); i++) {
		ar_go("bench", parts[i], NULL, AR_NO_DEADLINE);
		ar_loop_run(loop);
	}
	ar_loop_free(loop);
	ar_sandbox_done();
	return 0;
}
