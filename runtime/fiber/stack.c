/*
 * stack.c - stacks of fibers: mapped, with guard pages below, kept for the next fiber.
 *
 * The kernel gives pages as they are touched, so a stack costs what it used. A stretch a few pages
 * below the top is looked at as a stack returns to the free list: while nobody was there it reads as
 * zeros (and costs no memory); when it does not, a fiber went deeper, and the pages from there down
 * are given back. A fiber that outgrows its stack hits the guard and the process dies with SIGSEGV,
 * which is better than a neighbour's data.
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

#define KEPT_TOP   (12 * 1024) /* of a stack, whatever happens */
#define DEEP_CHECK 1024        /* longer than nearly every frame, so that few step over it */

size_t ar_stack_size(void)
{
	return STACK_SIZE;
}

void *ar_stack_bottom(struct ar_stack *stack)
{
	return stack->map + GUARD_SIZE;
}

static void stack_trim(struct ar_stack *stack)
{
#if !defined(AR_ASAN) && !defined(AR_TSAN)
	char *kept = stack->map + GUARD_SIZE + STACK_SIZE - KEPT_TOP;
	const char *check = kept - DEEP_CHECK;

	if (check[0] == 0 && memcmp(check, check + 1, DEEP_CHECK - 1) == 0)
		return;
	madvise(stack->map + GUARD_SIZE, STACK_SIZE - KEPT_TOP, MADV_DONTNEED);
#endif
}

static struct ar_stack *stack_new(void)
{
	struct ar_stack *stack = ar_heap_new(struct ar_stack);

	stack->map = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (stack->map == MAP_FAILED || mprotect(stack->map, GUARD_SIZE, PROT_NONE) != 0) {
		perror("apprun: no memory for a fiber's stack"); /* as out of memory elsewhere */
		abort();
	}
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
