/*
 * fiber_int.h - what the files of the fiber room share.
 *
 * A wait is one call, ar_fiber_wait(): the fiber says how it is taken off whatever it waits on
 * (give_up), and until when. Everything that ends a wait calls ar_fiber_ready() once.
 */
#ifndef AR_FIBER_INT_H
#define AR_FIBER_INT_H

#include <assert.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "fiber/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#define AR_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define AR_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AR_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define AR_TSAN 1
#endif
#endif

/* ---- switch.c: machine contexts ---- */

struct ar_context {
	void *sp;           /* where it was left; a ucontext_t on machines without our own switch */
	const void *bottom; /* of its stack, lowest address */
	size_t size;
	void *fake; /* AddressSanitizer's */
	void *tsan; /* ThreadSanitizer's */
};
void ar_context_thread(struct ar_context *ctx); /* the thread's own stack */
void ar_context_make(struct ar_context *ctx, void *bottom, size_t size, void (*entry)(void *arg),
		     void *arg);
void ar_context_switch(struct ar_context *from, struct ar_context *to, bool from_ends);
void ar_context_entered(void); /* first thing in entry */
void ar_context_done(struct ar_context *ctx);

/* ---- stack.c ---- */

struct ar_stack {
	struct ar_stack *next;
	char *map; /* guard pages first, then the stack */
	struct ar_context ctx;
};
struct ar_stacks { /* of one loop */
	struct ar_stack *free;
	size_t count;
};
struct ar_stack *ar_stack_take(struct ar_stacks *stacks);
void ar_stack_give(struct ar_stacks *stacks, struct ar_stack *stack);
void ar_stacks_done(struct ar_stacks *stacks);
void *ar_stack_bottom(struct ar_stack *stack);
size_t ar_stack_size(void);

/* ---- fiber.c ---- */

enum ar_why { AR_WHY_WOKEN, AR_WHY_TIMEOUT, AR_WHY_DEADLINE, AR_WHY_CANCELLED };

struct ar_fiber {
	struct ar_fiber *next; /* in the ready queue or the free list */
	struct ar_fiber *prev_all, *next_all;
	struct ar_loop *loop;
	struct ar_stack *stack;
	struct ar_context *caller;     /* who gets the thread at the next wait */
	struct ar_fiber *caller_fiber; /* NULL: the loop */
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	void *data;
	struct ar_errstack *errors;
	struct ar_log_context *log;
	int64_t deadline;
	int64_t timeout;    /* of the current wait, ar_mono_ms() */
	int64_t timer_at;   /* key in the heap, never later than what is needed */
	size_t timer_index; /* 1-based; 0: not in the heap */
	/* Takes the fiber off what it waits on; false: too late. NULL: the wait cannot be given up. */
	bool (*give_up)(struct ar_fiber *fiber, void *arg);
	void *give_up_arg;
	struct ar_cond ended_cond; /* joiners */
	uint32_t refs;
	uint32_t shield;
	enum ar_why why; /* the last wait ended */
	int ready;       /* file events that ended it */
	bool waiting, cancelled, ended;
};

/* 0, or -1 with AR_E_CANCELLED or AR_E_DEADLINE: a wait must not begin. */
int ar_fiber_check(struct ar_fiber *fiber);
enum ar_why ar_fiber_wait(bool (*give_up)(struct ar_fiber *fiber, void *arg), void *arg,
			  int64_t timeout);
int ar_fiber_result(enum ar_why why); /* sets the error of a wait that was given up */
void ar_fiber_ready(struct ar_fiber *fiber, enum ar_why why);
void ar_fiber_give_up(struct ar_fiber *fiber, enum ar_why why);
void ar_fiber_run(struct ar_fiber *fiber);                  /* until it waits or ends */
bool ar_give_up_nothing(struct ar_fiber *fiber, void *arg); /* for waits that stand in no list */
int64_t ar_time_after(int64_t ms);                          /* ms < 0: AR_NO_DEADLINE */

/* ---- cond.c ---- */

struct ar_cond_waiter { /* in the waiter's frame */
	struct ar_cond_waiter *next, *prev;
	struct ar_fiber *fiber;
	struct ar_cond *cond;
};
void ar_cond_wait_always(struct ar_cond *cond); /* not cancellable */

/* ---- timer.c: a heap of fibers by timer_at ---- */

struct ar_timers {
	struct ar_fiber **heap; /* [1..n] */
	size_t n, cap;
};
void ar_timers_need(struct ar_timers *timers, struct ar_fiber *fiber, int64_t at);
void ar_timers_remove(struct ar_timers *timers, struct ar_fiber *fiber);
int64_t ar_timers_next(const struct ar_timers *timers);
void ar_timers_run(struct ar_timers *timers, int64_t now);

/* ---- fd.c ---- */

struct ar_fd {
	struct ar_fiber *reader, *writer;
	void (*fn)(void *arg, int fd, int ready);
	void *arg;
	uint32_t generation; /* events of an fd that was forgotten since are dropped */
	uint8_t armed;       /* what epoll watches */
};
void ar_fd_event(struct ar_loop *loop, const struct epoll_event *event);

/* ---- loop.c ---- */

struct ar_loop_hook {
	void (*fn)(void *arg);
	void *arg;
};

struct ar_queue {
	struct ar_fiber *first, *last;
};

struct ar_loop {
	/* touched by other threads */
	_Atomic(struct ar_message *) inbox; /* newest first */
	atomic_bool awake; /* a poster that turns it to true writes to the eventfd */
	atomic_bool stop;
	atomic_uint posting; /* threads inside of a post: the loop may not be freed */

	int epfd, evfd;
	int64_t owed; /* writes to evfd that posters announced, less those read */
	struct ar_context ctx;
	struct ar_fiber *running;
	struct ar_queue ready, paused;
	struct ar_fiber *all, *free;
	size_t nfibers, nfree;
	struct ar_stacks stacks;
	struct ar_timers timers;
	struct ar_fd *fds;
	size_t nfds, watched; /* size of the table; how many epoll knows */
	void (*wait)(void *arg, int timeout_ms);
	void *wait_arg;
	struct ar_loop_hook *hooks;
	size_t nhooks;
	bool closing; /* fibers are born cancelled */
};
extern _Thread_local struct ar_loop *ar_this_loop;

void ar_queue_add(struct ar_queue *queue, struct ar_fiber *fiber);
void ar_post_message(struct ar_loop *loop, struct ar_message *message); /* any thread */

#endif
