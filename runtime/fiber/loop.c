/*
 * loop.c - one loop per thread: messages, timers, fibers, file events, in turns.
 *
 * A turn runs the messages that came, the timers that are due, the fibers that are ready, the hooks
 * before waiting, and then waits. Another thread's message costs it a lock-free push, and a write
 * to the eventfd only when the loop sleeps: `awake` says so. Messages run in the order of posting.
 *
 * When a library with a loop of its own does the waiting, epoll is asked afterwards without
 * blocking; that call is left out when there is nothing that it could tell.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fiber/fiber_int.h"

#define EVENTS_MAX 64
#define RUNS_MAX   128 /* fibers that one turn resumes before events are looked at */

_Thread_local struct ar_loop *ar_this_loop;

struct ar_loop *ar_loop(void)
{
	return ar_this_loop;
}

void ar_queue_add(struct ar_queue *queue, struct ar_fiber *fiber)
{
	fiber->next = NULL;
	if (queue->last != NULL)
		queue->last->next = fiber;
	else
		queue->first = fiber;
	queue->last = fiber;
}

static struct ar_fiber *queue_take(struct ar_queue *queue)
{
	struct ar_fiber *fiber = queue->first;

	if (fiber != NULL) {
		queue->first = fiber->next;
		if (queue->first == NULL)
			queue->last = NULL;
	}
	return fiber;
}

/* ---- made and ended ---- */

static void die(const char *what)
{
	ar_error("fiber", "cannot make an event loop", "call", what, "error", strerror(errno));
	abort();
}

struct ar_loop *ar_loop_new(void)
{
	struct ar_loop *loop = ar_heap_new(struct ar_loop);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = UINT64_MAX };

	assert(ar_this_loop == NULL);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		die("epoll_create1");
	loop->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->evfd < 0)
		die("eventfd");
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, loop->evfd, &event) != 0)
		die("epoll_ctl");
	atomic_store(&loop->awake, true);
	ar_context_thread(&loop->ctx);
	ar_this_loop = loop;
	return loop;
}

size_t ar_loop_fibers(const struct ar_loop *loop)
{
	return loop->nfibers;
}

int ar_loop_fd(const struct ar_loop *loop)
{
	return loop->epfd;
}

void ar_loop_set_wait(struct ar_loop *loop, void (*wait)(void *arg, int timeout_ms), void *arg)
{
	loop->wait = wait;
	loop->wait_arg = arg;
}

void ar_loop_before_wait(struct ar_loop *loop, void (*fn)(void *arg), void *arg)
{
	for (size_t i = 0; i < loop->nhooks; i++)
		if (loop->hooks[i].fn == fn && loop->hooks[i].arg == arg)
			return;
	loop->hooks =
		ar_heap_realloc(loop->hooks, (loop->nhooks + 1) * sizeof(struct ar_loop_hook));
	loop->hooks[loop->nhooks].fn = fn;
	loop->hooks[loop->nhooks].arg = arg;
	loop->nhooks++;
}

/* ---- messages ---- */

static void loop_notify(struct ar_loop *loop)
{
	const uint64_t one = 1;

	if (atomic_exchange(&loop->awake, true))
		return;
	while (write(loop->evfd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void ar_post_message(struct ar_loop *loop, struct ar_message *message)
{
	struct ar_message *head;

	/* The receiver may end the loop as soon as the message is in: see ar_loop_free(). */
	atomic_fetch_add(&loop->posting, 1);
	head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
	do
		message->next = head;
	while (!atomic_compare_exchange_weak(&loop->inbox, &head, message));
	loop_notify(loop);
	atomic_fetch_sub(&loop->posting, 1);
}

struct heap_message {
	struct ar_message message;
	void (*fn)(void *arg);
	void *arg;
};

static void heap_message_run(void *arg)
{
	struct heap_message *m = arg;
	void (*fn)(void *arg) = m->fn;
	void *fn_arg = m->arg;

	ar_heap_free(m);
	fn(fn_arg);
}

void ar_post(struct ar_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct heap_message *m = ar_heap_new(struct heap_message);

	m->fn = fn;
	m->arg = arg;
	m->message.fn = heap_message_run;
	m->message.arg = m;
	ar_post_message(loop, &m->message);
}

void ar_loop_stop(struct ar_loop *loop)
{
	atomic_fetch_add(&loop->posting, 1);
	atomic_store(&loop->stop, true);
	loop_notify(loop);
	atomic_fetch_sub(&loop->posting, 1);
}

static void run_messages(struct ar_loop *loop)
{
	struct ar_message *newest, *oldest = NULL;

	if (atomic_load_explicit(&loop->inbox, memory_order_relaxed) == NULL)
		return;
	newest = atomic_exchange(&loop->inbox, NULL);
	while (newest != NULL) {
		struct ar_message *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct ar_message *next = oldest->next; /* fn may end the message's frame */

		oldest->fn(oldest->arg);
		oldest = next;
	}
}

/* ---- turns ---- */

static void run_fibers(struct ar_loop *loop)
{
	for (int i = 0; i < RUNS_MAX; i++) {
		struct ar_fiber *fiber = queue_take(&loop->ready);

		if (fiber == NULL)
			return;
		ar_fiber_run(fiber);
	}
}

/* Fibers that paused come after those that were ready, in the next turn. */
static void paused_to_ready(struct ar_loop *loop)
{
	if (loop->paused.first == NULL)
		return;
	if (loop->ready.last != NULL)
		loop->ready.last->next = loop->paused.first;
	else
		loop->ready.first = loop->paused.first;
	loop->ready.last = loop->paused.last;
	loop->paused.first = loop->paused.last = NULL;
}

static int loop_timeout(struct ar_loop *loop)
{
	int64_t next, left;

	if (loop->ready.first != NULL || loop->paused.first != NULL)
		return 0;
	if (loop->closing && loop->nfibers == 0)
		return 0;
	next = ar_timers_next(&loop->timers);
	if (next == AR_NO_DEADLINE)
		return -1;
	left = next - ar_mono_ms();
	return (int)AR_MAX(0, AR_MIN(left, INT32_MAX));
}

static void drain_eventfd(struct ar_loop *loop)
{
	uint64_t n;

	/* A poster that owes a write may not have made it yet: then it is read in a later turn. */
	if (read(loop->evfd, &n, sizeof(n)) == sizeof(n))
		loop->owed -= (int64_t)n;
}

static void run_events(struct ar_loop *loop, int timeout)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(loop->epfd, events, EVENTS_MAX, timeout);

	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == UINT64_MAX)
			drain_eventfd(loop);
		else
			ar_fd_event(loop, &events[i]);
	}
}

static void loop_wait(struct ar_loop *loop)
{
	int timeout = loop_timeout(loop);
	bool asleep = timeout != 0;

	if (asleep) {
		atomic_store(&loop->awake, false);
		if (atomic_load(&loop->inbox) != NULL || atomic_load(&loop->stop))
			timeout = 0;
	}
	if (loop->wait != NULL) {
		loop->wait(loop->wait_arg, timeout);
		timeout = 0;
	}
	if (timeout != 0 || loop->watched > 0)
		run_events(loop, timeout);
	if (asleep && atomic_exchange(&loop->awake, true))
		loop->owed++;
	if (loop->owed > 0)
		drain_eventfd(loop);
}

static void loop_turn(struct ar_loop *loop)
{
	run_messages(loop);
	ar_timers_run(&loop->timers, ar_mono_ms());
	paused_to_ready(loop);
	run_fibers(loop);
	for (size_t i = 0; i < loop->nhooks; i++)
		loop->hooks[i].fn(loop->hooks[i].arg);
	loop_wait(loop);
}

void ar_loop_run(struct ar_loop *loop)
{
	assert(loop == ar_this_loop && loop->running == NULL);
	while (!atomic_load(&loop->stop))
		loop_turn(loop);
	atomic_store(&loop->stop, false);
}

void ar_loop_free(struct ar_loop *loop)
{
	if (loop == NULL)
		return;
	assert(loop == ar_this_loop && loop->running == NULL);
	loop->closing = true;
	for (struct ar_fiber *f = loop->all; f != NULL; f = f->next_all)
		ar_cancel(f);
	while (loop->nfibers > 0 || atomic_load(&loop->inbox) != NULL)
		loop_turn(loop);
	while (atomic_load(&loop->posting) > 0)
		sched_yield(); /* a thread is on its last instructions of a post */
	run_messages(loop);
	while (loop->free != NULL) {
		struct ar_fiber *fiber = loop->free;

		loop->free = fiber->next;
		ar_errstack_free(fiber->errors);
		ar_heap_free(fiber);
	}
	ar_stacks_done(&loop->stacks);
	ar_heap_free(loop->timers.heap);
	ar_heap_free(loop->fds);
	ar_heap_free(loop->hooks);
	close(loop->evfd);
	close(loop->epfd);
	ar_this_loop = NULL;
	ar_heap_free(loop);
}
