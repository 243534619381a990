/*
 * fiber.h - stackful coroutines on event loops: C that waits reads like C that does not.
 *
 * One loop per thread; a fiber is born on a loop and never leaves it. Switching costs no system
 * call. Every fiber has a deadline and can be cancelled: either comes back as -1 (AR_E_DEADLINE,
 * AR_E_CANCELLED) from the call that waits, and from every later one, so that clean-up runs. The
 * error stack (base/error.h) and the log context belong to the fiber and are switched with it.
 *
 * Functions marked AR_YIELDS may only be called inside a fiber. The rest may be called anywhere on
 * the loop's thread, except those marked "any thread".
 */
#ifndef AR_FIBER_H
#define AR_FIBER_H

#include "base/base.h"

struct ar_loop;
struct ar_fiber;

/* ---- loops ---- */

#define AR_LOOPS_MAX 256 /* of a process: who keeps a table of them has room for so many */

struct ar_loop *ar_loop_new(void);       /* becomes this thread's loop */
void ar_loop_free(struct ar_loop *loop); /* cancels what is left and runs it to its end first */
struct ar_loop *ar_loop(void);           /* this thread's */
/* Runs fibers, timers, messages and file events until ar_loop_stop(). */
void ar_loop_run(struct ar_loop *loop);
void ar_loop_stop(struct ar_loop *loop); /* any thread */
/*
 * A library with a loop of its own (h2o) does the blocking wait: wait(arg, timeout_ms) must return
 * when ar_loop_fd() is readable, when its own events are done, or when the time (-1: none) is over.
 */
void ar_loop_set_wait(struct ar_loop *loop, void (*wait)(void *arg, int timeout_ms), void *arg);
int ar_loop_fd(const struct ar_loop *loop);
/* Runs fn(arg) on the loop, in order of posting, outside of any fiber. Any thread. */
void ar_post(struct ar_loop *loop, void (*fn)(void *arg), void *arg);
/* Calls fn each time before the loop blocks (flush what was gathered in this turn). The same fn and arg
 * again are one: who cannot know whether this loop has its hook asks each time, since the next loop
 * of a thread may stand where the last one stood. */
void ar_loop_before_wait(struct ar_loop *loop, void (*fn)(void *arg), void *arg);
size_t ar_loop_fibers(const struct ar_loop *loop);

/* ---- fibers ---- */

#define AR_NO_DEADLINE INT64_MAX

/*
 * Starts fn(arg) in a new fiber, which runs at once until its first wait. deadline: ar_mono_ms()
 * value or AR_NO_DEADLINE. The handle is valid until fn returns, unless ar_fiber_hold() was called
 * before that; NULL when fn has returned already, which hold, drop, cancel and join take as well.
 * name is kept, not copied.
 */
struct ar_fiber *ar_go(const char *name, void (*fn)(void *arg), void *arg, int64_t deadline_ms);
struct ar_fiber *ar_self(void);         /* NULL outside of fibers */
void ar_cancel(struct ar_fiber *fiber); /* sticky; stronger than the deadline */
bool ar_cancelled(void);                /* this fiber's deadline has passed or it was cancelled */
int ar_check(void);              /* 0, or the -1 that a wait would give now; 0 under ar_shield() */
int ar_check_at(int64_t now_ms); /* the same for who has just read ar_mono_ms() */
int64_t ar_deadline(void);
int64_t ar_deadline_set(int64_t deadline_ms); /* returns the one before; to narrow it for a while */
/* Until ar_shield(false), waits ignore cancel and deadline: for clean-up that must wait (commit
 * in flight, roll back). Calls nest. */
void ar_shield(bool on);
void ar_fiber_hold(struct ar_fiber *fiber);
void ar_fiber_drop(struct ar_fiber *fiber);
AR_YIELDS void ar_join(struct ar_fiber *held); /* waits until it has ended; not cancellable */
void *ar_fiber_data(void);                     /* one pointer of the fiber's owner; NULL at first */
void ar_fiber_set_data(void *data);

AR_YIELDS int ar_sleep(int64_t ms);
AR_YIELDS int ar_pause(void); /* lets other work run */
#define AR_READ  1
#define AR_WRITE 2
/* Waits until fd is readable or writable. Returns the ready set, or -1. One waiter per fd and
 * direction. timeout_ms < 0: only the fiber's deadline; passing it gives AR_E_DEADLINE. */
AR_YIELDS int ar_wait_fd(int fd, int what, int64_t timeout_ms);
void ar_fd_forget(int fd); /* before close(), when it was ever waited for */
/* Watches an fd with a callback on the loop, outside of fibers. what 0 ends it. For libraries with
 * their own state machine (libcurl). */
void ar_fd_watch(int fd, int what, void (*fn)(void *arg, int fd, int ready), void *arg);

/* ---- waiting for each other, on one loop ---- */

struct ar_cond { /* zero is a valid start */
	struct ar_cond_waiter *first;
};
/* Spurious wake-ups do not happen, but state may have changed again: loop around it. */
AR_YIELDS int ar_cond_wait(struct ar_cond *cond);
AR_YIELDS int ar_cond_wait_for(struct ar_cond *cond, int64_t timeout_ms); /* AR_E_DEADLINE */
void ar_cond_signal(struct ar_cond *cond); /* the longest waiter is made ready */
void ar_cond_broadcast(struct ar_cond *cond);

struct ar_mutex { /* fair, for fibers of one loop; zero is a valid start */
	struct ar_fiber *owner;
	struct ar_cond free;
};
AR_YIELDS int ar_mutex_lock(struct ar_mutex *mutex);
void ar_mutex_unlock(struct ar_mutex *mutex);

/* ---- waiting for another thread ---- */

/*
 * The one primitive under offload, leases and cross-loop calls: a fiber waits, any thread wakes it
 * once. Lives in the waiter's stack frame; wake may come before wait.
 */
struct ar_message { /* what travels to a loop without being allocated */
	struct ar_message *next;
	void (*fn)(void *arg);
	void *arg;
};
struct ar_wake {
	struct ar_message message;
	struct ar_loop *loop;
	struct ar_fiber *fiber;
	bool woken, waiting; /* owned by the loop's thread */
};
void ar_wake_init(struct ar_wake *wake); /* in the fiber that will wait */
void ar_wake_post(struct ar_wake *wake); /* any thread; exactly once per init */
/* Waits for the post. Not cancellable: the other thread holds a pointer into this frame. */
AR_YIELDS void ar_wake_wait(struct ar_wake *wake);

/* ---- the offload pool ---- */

int ar_offload_start(int threads); /* of each kind, started on use; 0: one per core, more for IO */
void ar_offload_stop(void);
/*
 * Runs fn(arg) on a pool thread and waits for it. An error that fn leaves is moved to this fiber.
 * Returns what fn returned. Not cancellable once begun; AR_E_UNAVAILABLE when more than the queue's
 * limit wait. `cpu` work (bcrypt) is bounded apart from the rest, so that it cannot starve commits.
 */
enum ar_offload_kind { AR_OFFLOAD_IO, AR_OFFLOAD_CPU };
AR_YIELDS int ar_offload(enum ar_offload_kind kind, int (*fn)(void *arg), void *arg);
/* Without waiting: done(arg) is posted to loop (which may be NULL) when fn has run. Any thread. */
int ar_offload_post(enum ar_offload_kind kind, void (*fn)(void *arg), struct ar_loop *loop,
		    void (*done)(void *arg), void *arg);

#endif
