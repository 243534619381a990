/*
 * stack.c - tests of stacks: the guard, memory given back, and what a switch costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "fiber/fiber_int.h"

static int deeper(int n)
{
	volatile char frame[512];

	frame[0] = (char)n;
	frame[sizeof(frame) - 1] = (char)n;
	return n == 0 ? frame[0] : deeper(n - 1) + frame[sizeof(frame) - 1];
}

static void overflows(void *arg)
{
	deeper(4 * 1024 * 1024);
}

static void overflow_hits_the_guard_page(void **state)
{
	pid_t pid;
	int status;

#ifdef AR_TSAN
	skip(); /* ThreadSanitizer keeps a call stack of its own, which ends before ours */
#endif
	pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		fclose(stderr);
		ar_loop_new();
		ar_go("overflows", overflows, NULL, AR_NO_DEADLINE);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void goes_deep(void *arg)
{
	deeper(200);
	ar_pause();
	deeper(200);
}

static void stays(void *arg)
{
	ar_pause();
}

static long resident_kib(void)
{
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &ignored, &pages), 2);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void turn(void *arg)
{
	void (*fn)(void *) = *(void (**)(void *))arg;

	for (int i = 0; i < 300; i++)
		ar_go("deep", fn, NULL, AR_NO_DEADLINE);
	while (ar_loop_fibers(ar_loop()) > 1)
		ar_pause();
	ar_loop_stop(ar_loop());
}

static long resident_after(void (*fn)(void *arg))
{
	ar_go("turn", turn, &fn, AR_NO_DEADLINE);
	ar_loop_run(ar_loop());
	return resident_kib();
}

static void deep_use_is_given_back(void **state)
{
	struct ar_loop *loop = ar_loop_new();
	long shallow = resident_after(stays), deep = resident_after(goes_deep);

	print_message("resident: %ld KiB, after deep use %ld KiB\n", shallow, deep);
	/* 300 stacks that went 100 KiB deep would keep 30,000 KiB */
#if !defined(AR_ASAN) && !defined(AR_TSAN)
	assert_true(deep - shallow < 6000);
#else
	assert_true(deep >= 0 && shallow >= 0);
#endif
	ar_loop_free(loop);
}

static void nothing(void *arg)
{
}

#ifdef AR_TSAN
#define STARTS 1000 /* it makes a thread's record for each */
#else
#define STARTS 100000
#endif

static void switches(void *arg)
{
	int64_t *us = arg, before = ar_mono_us();

	for (int i = 0; i < STARTS; i++)
		ar_go("nothing", nothing, NULL, AR_NO_DEADLINE);
	us[0] = ar_mono_us() - before;
	ar_loop_stop(ar_loop());
}

/* Prints; only a figure that is wrong by an order of magnitude fails, machines differ. */
static void starting_a_fiber_is_cheap(void **state)
{
	struct ar_loop *loop = ar_loop_new();
	int64_t us[1];

	ar_go("switches", switches, us, AR_NO_DEADLINE);
	ar_loop_run(loop);
	ar_loop_free(loop);
	print_message("a fiber's start and end: %.0f ns\n", (double)us[0] * 1000 / STARTS);
#ifndef AR_TSAN
	assert_true(us[0] / STARTS < 50);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overflow_hits_the_guard_page),
		cmocka_unit_test(deep_use_is_given_back),
		cmocka_unit_test(starting_a_fiber_is_cheap),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
