/*
 * stack.c - stacks of fibers: mapped, with guard pages below, kept for the next fiber.
 *
 * The kernel gives pages as they are touched, so a stack costs what it used. A row of marks lies a
 * few pages below the top: when a fiber that went deeper has overwritten one of them, the pages
 * below are given back as the stack returns to the free list. A fiber that outgrows its stack hits
 * the guard and the process dies with SIGSEGV, which is better than a neighbour's data.
 *
 * The guard is wider than a page because a frame with a large array may step over a single one.
 * Each stack is two mappings: vm.max_map_count (65,530) allows some 32,000 fibers in a process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fiber/fiber_int.h"

#define GUARD_SIZE (64 * 1024)
#if defined(AR_ASAN) || defined(AR_TSAN)
#define STACK_SIZE (1024 * 1024) /* instrumented frames are several times larger */
#else
#define STACK_SIZE (256 * 1024)
#endif
#define KEPT_MAX 512 /* free stacks of a loop; more are unmapped */

/* The marks stand in one page, 12 KiB below the top, in places that frames seldom leave out. */
#define MARKS_BELOW_TOP (12 * 1024)
#define MARKS 8
#define MARK_STEP 48
#define MARK_VALUE UINT64_C(0x5ca1ab1e0ddba11)

size_t ar_stack_size(void)
{
	return STACK_SIZE;
}

void *ar_stack_bottom(struct ar_stack *stack)
{
	return stack->map + GUARD_SIZE;
}

#if !defined(AR_ASAN) && !defined(AR_TSAN)

static char *marks(const struct ar_stack *stack)
{
	return stack->map + GUARD_SIZE + STACK_SIZE - MARKS_BELOW_TOP;
}

static void marks_set(struct ar_stack *stack)
{
	const uint64_t value = MARK_VALUE;

	for (int i = 0; i < MARKS; i++)
		memcpy(marks(stack) + i * MARK_STEP, &value, sizeof(value));
}

static bool marks_whole(const struct ar_stack *stack)
{
	for (int i = 0; i < MARKS; i++) {
		uint64_t value;

		memcpy(&value, marks(stack) + i * MARK_STEP, sizeof(value));
		if (value != MARK_VALUE)
			return false;
	}
	return true;
}

static void stack_trim(struct ar_stack *stack)
{
	if (marks_whole(stack))
		return;
	/* the marks' own page stays */
	madvise(stack->map + GUARD_SIZE, STACK_SIZE - MARKS_BELOW_TOP, MADV_DONTNEED);
	marks_set(stack);
}

#else

static void marks_set(struct ar_stack *stack)
{
}

static void stack_trim(struct ar_stack *stack)
{
}

#endif

static struct ar_stack *stack_new(void)
{
	struct ar_stack *stack = ar_heap_new(struct ar_stack);

	stack->map = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (stack->map == MAP_FAILED || mprotect(stack->map, GUARD_SIZE, PROT_NONE) != 0) {
		perror("apprun: no memory for a fiber's stack"); /* as out of memory elsewhere */
		abort();
	}
	marks_set(stack);
	return stack;
}

struct ar_stack *ar_stack_take(struct ar_stacks *stacks)
{
	struct ar_stack *stack = stacks->free;

	if (stack == NULL)
		return stack_new();
	stacks->free = stack->next;
	stacks->count--;
	return stack;
}

static void stack_free(struct ar_stack *stack)
{
	ar_context_done(&stack->ctx);
	munmap(stack->map, GUARD_SIZE + STACK_SIZE);
	ar_heap_free(stack);
}

void ar_stack_give(struct ar_stacks *stacks, struct ar_stack *stack)
{
	if (stacks->count >= KEPT_MAX) {
		stack_free(stack);
		return;
	}
	stack_trim(stack);
	stack->next = stacks->free;
	stacks->free = stack;
	stacks->count++;
}

void ar_stacks_done(struct ar_stacks *stacks)
{
	while (stacks->free != NULL) {
		struct ar_stack *stack = stacks->free;

		stacks->free = stack->next;
		stack_free(stack);
	}
	stacks->count = 0;
}
