/*
 * switch.c - changing stacks, the one place that knows the machine.
 *
 * On x86-64 and aarch64 a switch saves the registers that a call preserves and the floating-point
 * control words, about twenty instructions and no system call. Other machines use ucontext, which
 * costs two. sigsetjmp/longjmp is not used: _FORTIFY_SOURCE and AddressSanitizer stop it.
 *
 * The sanitizers are told of every switch; a context that ends says so, so that AddressSanitizer
 * frees its fake stack.
 */
#include "fiber/fiber_int.h"

#ifdef AR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef AR_TSAN
#include <sanitizer/tsan_interface.h>
#endif

void ar_context_jump(void **save_sp, void *sp);
void ar_context_start(void);

#if defined(__x86_64__) && !defined(AR_FIBER_UCONTEXT)

__asm__(".text\n"
	".p2align 4\n"
	".globl ar_context_jump\n"
	".hidden ar_context_jump\n"
	".type ar_context_jump,@function\n"
	"ar_context_jump:\n"
	"	.cfi_startproc\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size ar_context_jump,.-ar_context_jump\n"
	".globl ar_context_start\n"
	".hidden ar_context_start\n"
	".type ar_context_start,@function\n"
	"ar_context_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n" /* a backtrace ends here */
	"	movq %rbx, %rdi\n"
	"	callq *%r12\n"
	"	ud2\n"
	"	.cfi_endproc\n"
	".size ar_context_start,.-ar_context_start\n");

struct frame { /* as ar_context_jump pops it */
	uint32_t mxcsr;
	uint16_t fpucw, pad;
	void *r15, *r14, *r13, *r12, *rbx, *rbp, *rip;
};

static void *frame_make(void *bottom, size_t size, void (*entry)(void *arg), void *arg)
{
	/* ar_context_start must find the stack aligned to 16, which it is after rip was popped. */
	uintptr_t top = ((uintptr_t)bottom + size - 16) & ~(uintptr_t)15;
	struct frame *f = (struct frame *)(top - sizeof(struct frame));

	memset(f, 0, sizeof(*f));
	__asm__ volatile("stmxcsr %0" : "=m"(f->mxcsr));
	__asm__ volatile("fnstcw %0" : "=m"(f->fpucw));
	f->r12 = (void *)entry;
	f->rbx = arg;
	f->rip = (void *)ar_context_start;
	return f;
}

#elif defined(__aarch64__) && !defined(AR_FIBER_UCONTEXT)

__asm__(".text\n"
	".p2align 4\n"
	".globl ar_context_jump\n"
	".hidden ar_context_jump\n"
	".type ar_context_jump,%function\n"
	"ar_context_jump:\n"
	"	.cfi_startproc\n"
	"	sub sp, sp, #176\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mrs x9, fpcr\n"
	"	str x9, [sp, #160]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	ldr x9, [sp, #160]\n"
	"	msr fpcr, x9\n"
	"	add sp, sp, #176\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size ar_context_jump,.-ar_context_jump\n"
	".globl ar_context_start\n"
	".hidden ar_context_start\n"
	".type ar_context_start,%function\n"
	"ar_context_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined x30\n" /* a backtrace ends here */
	"	mov x0, x20\n"
	"	blr x19\n"
	"	brk #1\n"
	"	.cfi_endproc\n"
	".size ar_context_start,.-ar_context_start\n");

struct frame { /* as ar_context_jump loads it */
	void *x19, *x20, *x21_28[8], *x29, *x30;
	uint64_t d8_15[8];
	uint64_t fpcr, pad;
};

static void *frame_make(void *bottom, size_t size, void (*entry)(void *arg), void *arg)
{
	uintptr_t top = ((uintptr_t)bottom + size - 16) & ~(uintptr_t)15;
	struct frame *f = (struct frame *)(top - sizeof(struct frame));

	memset(f, 0, sizeof(*f));
	__asm__ volatile("mrs %0, fpcr" : "=r"(f->fpcr));
	f->x19 = (void *)entry;
	f->x20 = arg;
	f->x30 = (void *)ar_context_start;
	return f;
}

#else

#include <ucontext.h>

/* The saved state lies at the top of its own stack, or, for a thread, on the heap. */
static _Thread_local struct {
	void (*entry)(void *arg);
	void *arg;
} starting;

static void start(void)
{
	starting.entry(starting.arg);
}

struct frame {
	ucontext_t uc;
	void (*entry)(void *arg);
	void *arg;
};

void ar_context_jump(void **save_sp, void *sp)
{
	struct frame here = { .entry = NULL };
	struct frame *to = sp;

	*save_sp = &here;
	if (to->entry != NULL) {
		starting.entry = to->entry;
		starting.arg = to->arg;
	}
	swapcontext(&here.uc, &to->uc);
}

static void *frame_make(void *bottom, size_t size, void (*entry)(void *arg), void *arg)
{
	uintptr_t top = ((uintptr_t)bottom + size - sizeof(struct frame)) & ~(uintptr_t)63;
	struct frame *f = (struct frame *)top;

	memset(f, 0, sizeof(*f));
	getcontext(&f->uc);
	f->uc.uc_stack.ss_sp = bottom;
	f->uc.uc_stack.ss_size = top - (uintptr_t)bottom;
	f->uc.uc_link = NULL;
	makecontext(&f->uc, start, 0);
	f->entry = entry;
	f->arg = arg;
	return f;
}

#endif

#ifdef AR_ASAN
static _Thread_local struct ar_context *asan_from; /* who switched to whoever runs now */
#endif

void ar_context_thread(struct ar_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx)); /* AddressSanitizer tells its bounds at the first switch */
#ifdef AR_TSAN
	ctx->tsan = __tsan_get_current_fiber();
#endif
}

void ar_context_make(struct ar_context *ctx, void *bottom, size_t size, void (*entry)(void *arg),
		     void *arg)
{
#ifdef AR_ASAN
	/* what the last user of this stack left poisoned, when it did not return frame by frame */
	__asan_unpoison_memory_region(bottom, size);
#endif
	ctx->bottom = bottom;
	ctx->size = size;
	ctx->fake = NULL;
	ctx->sp = frame_make(bottom, size, entry, arg);
#ifdef AR_TSAN
	/* A new one each time: the last life's calls were entered but never left. */
	ar_context_done(ctx);
	ctx->tsan = __tsan_create_fiber(0);
#endif
}

void ar_context_switch(struct ar_context *from, struct ar_context *to, bool from_ends)
{
#ifdef AR_ASAN
	asan_from = from;
	__sanitizer_start_switch_fiber(from_ends ? NULL : &from->fake, to->bottom, to->size);
#endif
#ifdef AR_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
	ar_context_jump(&from->sp, to->sp);
#ifdef AR_ASAN
	__sanitizer_finish_switch_fiber(from->fake, &asan_from->bottom, &asan_from->size);
#endif
}

void ar_context_entered(void)
{
#ifdef AR_ASAN
	__sanitizer_finish_switch_fiber(NULL, &asan_from->bottom, &asan_from->size);
#endif
}

void ar_context_done(struct ar_context *ctx)
{
#ifdef AR_TSAN
	if (ctx->tsan != NULL)
		__tsan_destroy_fiber(ctx->tsan);
	ctx->tsan = NULL;
#endif
}
