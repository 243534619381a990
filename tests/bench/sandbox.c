/*
 * sandbox.c - what a function call costs below HTTP: rate, CPU, latency, a fork, memory of the idle.
 *
 * Every call is a fresh state, on one loop. CPU is that of all processes, from /proc, so that a busy
 * machine's numbers can be compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

static struct ar_loop *loop;
static int64_t end_us, latency[2000000];
static size_t ncalls;
static int running;

static const struct shape {
	const char *name, *source, *input;
	int fibers;
} shapes[] = {
	{ "return nothing, 1 at a time", "return function() end", "{}", 1 },
	{ "return nothing, 16 at a time", "return function() end", "{}", 16 },
	{ "sum of 20 items, 1 at a time",
	  "return function(t) local s = 0 for _, v in ipairs(t.items) do s = s + v.price * v.n end "
	  "return {sum = s, count = #t.items} end",
	  NULL, 1 },
	{ "sum of 20 items, 16 at a time",
	  "return function(t) local s = 0 for _, v in ipairs(t.items) do s = s + v.price * v.n end "
	  "return {sum = s, count = #t.items} end",
	  NULL, 16 },
	{ "one host call, 16 at a time", "return function() return apprun.a.b{x = 1} end", "{}",
	  16 },
};

static int host(void *arg, struct ar_pool *pool, struct ar_str action, struct ar_json *input,
		struct ar_json **ret)
{
	(void)arg;
	(void)action;
	*ret = input;
	(void)pool;
	return 0;
}

static struct ar_json *make_input(struct ar_pool *pool, const char *text)
{
	struct ar_json *v = NULL;
	char items[2048];
	int n = 0;

	if (text == NULL) {
		n = snprintf(items, sizeof(items), "{\"items\":[");
		for (int i = 0; i < 20; i++)
			n += snprintf(items + n, sizeof(items) - (size_t)n,
				      "%s{\"name\":\"item %d\",\"price\":%d.5,\"n\":%d}",
				      i ? "," : "", i, i, i + 1);
		snprintf(items + n, sizeof(items) - (size_t)n, "]}");
		text = items;
	}
	if (ar_json_parse(pool, ar_str_dup(pool, ar_str(text)), &ar_json_limits_default, &v) != 0)
		abort();
	return v;
}

static void caller(void *arg)
{
	const struct shape *shape = arg;
	struct ar_pool *own = ar_pool_new();
	struct ar_json *input = make_input(own, shape->input);
	struct ar_pool *pool = ar_pool_new();

	while (ar_mono_us() < end_us) {
		struct ar_sandbox_run run = { .tenant = AR_STR("bench"),
					      .code = { ar_str(shape->name), AR_STR("bench"),
							ar_str(shape->source) },
					      .input = input,
					      .host = host };
		struct ar_sandbox_result result;
		int64_t from = ar_mono_us();

		if (ar_sandbox_call(pool, &run, &result) != 0)
			abort();
		if (ncalls < AR_COUNT(latency))
			latency[ncalls] = ar_mono_us() - from;
		ncalls++;
		ar_pool_reset(pool);
	}
	ar_pool_free(pool);
	ar_pool_free(own);
	if (--running == 0)
		ar_loop_stop(loop);
}

/* CPU of this process and of all its descendants, in microseconds. */
static double cpu_of(pid_t pid)
{
	char path[64], line[4096];
	unsigned long user = 0, sys = 0;
	double us;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL ||
	    sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &sys) != 2)
		user = sys = 0;
	if (f != NULL)
		fclose(f);
	us = (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	line[0] = '\0';
	if (f != NULL && fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	if (f != NULL)
		fclose(f);
	for (char *save = NULL, *p = strtok_r(line, " ", &save); p != NULL;
	     p = strtok_r(NULL, " ", &save))
		us += cpu_of((pid_t)strtol(p, NULL, 10));
	return us;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void bench_shape(const struct shape *shape)
{
	double cpu = cpu_of(getpid());
	int64_t start = ar_mono_us();
	size_t n;

	end_us = start + 2000000;
	ncalls = 0;
	running = shape->fibers;
	for (int i = 0; i < shape->fibers; i++)
		ar_go("caller", caller, (void *)(uintptr_t)shape, AR_NO_DEADLINE);
	ar_loop_run(loop);
	cpu = cpu_of(getpid()) - cpu;
	n = AR_MIN(ncalls, AR_COUNT(latency));
	qsort(latency, n, sizeof(latency[0]), by_value);
	printf("%-32s %8.0f/s  %6.1f us CPU  p50 %5d us  p99 %5d us\n", shape->name,
	       (double)ncalls * 1e6 / (double)(ar_mono_us() - start), cpu / (double)ncalls,
	       (int)latency[n / 2], (int)latency[n * 99 / 100]);
}

static void one_call(void *arg)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_sandbox_run run = {
		.tenant = ar_str(arg),
		.code = { AR_STR("x"), AR_STR("x"),
			  AR_STR("return function(t) if t.loop then while true do "
				 "end end return 1 end") }
	};
	struct ar_sandbox_result result;

	latency[ncalls] = ar_mono_us();
	if (ar_sandbox_call(pool, &run, &result) != 0)
		abort();
	latency[ncalls] = ar_mono_us() - latency[ncalls];
	ncalls++;
	ar_pool_free(pool);
	ar_loop_stop(loop);
}

static long private_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Private_Dirty:", 14) == 0)
			kib += strtol(line + 14, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kib;
}

/* Private memory of each of a process's grandchildren: the executors. */
static long executors_kib(size_t *ret_n)
{
	char path[64], line[65536] = "";
	long sum = 0;
	FILE *f;

	*ret_n = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getpid(), getpid());
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%60s", line) != 1)
		return 0;
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%s/task/%s/children", line, line);
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		return 0;
	fclose(f);
	for (char *save = NULL, *p = strtok_r(line, " ", &save); p != NULL;
	     p = strtok_r(NULL, " ", &save), ++*ret_n)
		sum += private_kib((pid_t)strtol(p, NULL, 10));
	return sum;
}

static void bench_forks(void)
{
	size_t n;
	long kib;

	ncalls = 0;
	for (int i = 0; i < 300; i++) {
		char tenant[32];

		snprintf(tenant, sizeof(tenant), "tenant-%d", i);
		ar_go("one", one_call, tenant, AR_NO_DEADLINE);
		ar_loop_run(loop);
	}
	qsort(latency, ncalls, sizeof(latency[0]), by_value);
	printf("new tenant, fork to first answer  p50 %d us  p99 %d us\n", (int)latency[ncalls / 2],
	       (int)latency[ncalls * 99 / 100]);
	kib = executors_kib(&n);
	printf("private memory of an idle executor  %ld KiB (mean of %zu)\n",
	       n > 0 ? kib / (long)n : 0, n);
}

static void detach(void *arg)
{
	(void)arg;
	ar_sandbox_detach();
	ar_loop_stop(loop);
}

int main(int argc, char **argv)
{
	int64_t start = ar_mono_us();

	ar_sandbox_main(argc, argv);
	if (ar_sandbox_init(NULL) != 0) {
		ar_log_err(AR_ERROR, "bench", "ar_sandbox_init");
		return 1;
	}
	printf("zygote and its self-test  %.1f ms\n", (double)(ar_mono_us() - start) / 1000);
	loop = ar_loop_new();
	ar_sandbox_attach();
	for (size_t i = 0; i < AR_COUNT(shapes); i++)
		bench_shape(&shapes[i]);
	bench_forks();
	ar_go("detach", detach, NULL, AR_NO_DEADLINE);
	ar_loop_run(loop);
	ar_loop_free(loop);
	ar_sandbox_done();
	return 0;
}
