/*
 * fd.c - waiting for files: fibers by direction, or a callback, over level-triggered epoll.
 *
 * What epoll watches is changed late: a fiber that reads, waits and reads again causes no
 * epoll_ctl() in between, and a direction that fires with nobody waiting is switched off then. An
 * error or a hang-up wakes both directions. Files that epoll refuses (ordinary ones) are always
 * ready.
 */
#include <errno.h>

#include "fiber/fiber_int.h"

static struct ar_fd *fd_get(struct ar_loop *loop, int fd)
{
	assert(fd >= 0);
	if ((size_t)fd >= loop->nfds) {
		size_t n = AR_MAX((size_t)fd + 1, AR_MAX(loop->nfds * 2, (size_t)64));

		loop->fds = ar_heap_realloc(loop->fds, n * sizeof(struct ar_fd));
		memset(loop->fds + loop->nfds, 0, (n - loop->nfds) * sizeof(struct ar_fd));
		loop->nfds = n;
	}
	return &loop->fds[fd];
}

/* Makes epoll watch exactly `what`. Returns 0 or -1 with errno. */
static int fd_arm(struct ar_loop *loop, int fd, struct ar_fd *f, int what)
{
	struct epoll_event event = {
		.events = ((what & AR_READ) ? EPOLLIN : 0) | ((what & AR_WRITE) ? EPOLLOUT : 0),
		.data.u64 = (uint64_t)f->generation << 32 | (uint32_t)fd,
	};
	int op = f->armed == 0 ? EPOLL_CTL_ADD : what == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

	if (f->armed == what)
		return 0;
	/* Closed without ar_fd_forget(): the kernel has dropped it, which is what DEL wanted. */
	if (epoll_ctl(loop->epfd, op, fd, &event) != 0 && op != EPOLL_CTL_DEL &&
	    (op != EPOLL_CTL_MOD || errno != ENOENT ||
	     epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &event) != 0))
		return -1;
	if (f->armed == 0)
		loop->watched++;
	else if (what == 0)
		loop->watched--;
	f->armed = (uint8_t)what;
	return 0;
}

struct fd_wait {
	int fd, what;
};

/* Out of the table; epoll may go on watching until it fires. */
static void fd_leave(struct ar_loop *loop, struct ar_fiber *fiber, int fd)
{
	struct ar_fd *f = fd_get(loop, fd);

	if (f->reader == fiber)
		f->reader = NULL;
	if (f->writer == fiber)
		f->writer = NULL;
}

static bool fd_give_up(struct ar_fiber *fiber, void *arg)
{
	struct fd_wait *wait = arg;

	fd_leave(fiber->loop, fiber, wait->fd);
	return true;
}

int ar_wait_fd(int fd, int what, int64_t timeout_ms)
{
	struct ar_fiber *fiber = ar_self();
	struct fd_wait wait = { .fd = fd, .what = what };
	struct ar_fd *f;
	enum ar_why why;

	assert(what > 0 && what <= (AR_READ | AR_WRITE));
	if (ar_fiber_check(fiber) != 0)
		return -1;
	f = fd_get(fiber->loop, fd);
	assert(f->fn == NULL);
	if (fd_arm(fiber->loop, fd, f, f->armed | what) != 0) {
		if (errno == EPERM)
			return what;
		return ar_fail_why(AR_E_INTERNAL, "epoll_ctl on %d: %s", fd, strerror(errno));
	}
	if (what & AR_READ) {
		assert(f->reader == NULL);
		f->reader = fiber;
	}
	if (what & AR_WRITE) {
		assert(f->writer == NULL);
		f->writer = fiber;
	}
	fiber->ready = 0;
	why = ar_fiber_wait(fd_give_up, &wait, ar_time_after(timeout_ms));
	if (ar_fiber_result(why) != 0)
		return -1;
	return fiber->ready;
}

void ar_fd_forget(int fd)
{
	struct ar_loop *loop = ar_this_loop;
	struct ar_fd *f;

	if (loop == NULL || fd < 0 || (size_t)fd >= loop->nfds)
		return;
	f = &loop->fds[fd];
	fd_arm(loop, fd, f, 0);
	f->generation++;
	f->fn = NULL;
	/* Somebody still waits for what is about to be closed: an error is all there is to tell. */
	if (f->reader != NULL)
		ar_fiber_give_up(f->reader, AR_WHY_CANCELLED);
	if (f->writer != NULL)
		ar_fiber_give_up(f->writer, AR_WHY_CANCELLED);
}

void ar_fd_watch(int fd, int what, void (*fn)(void *arg, int fd, int ready), void *arg)
{
	struct ar_loop *loop = ar_this_loop;
	struct ar_fd *f;

	assert(loop != NULL && what >= 0 && what <= (AR_READ | AR_WRITE));
	f = fd_get(loop, fd);
	assert(f->reader == NULL && f->writer == NULL);
	f->fn = what == 0 ? NULL : fn;
	f->arg = arg;
	if (what == 0)
		f->generation++;
	if (fd_arm(loop, fd, f, what) != 0)
		ar_error("fiber", "cannot watch a file", "error", strerror(errno));
}

static void fd_wake(struct ar_loop *loop, int fd, struct ar_fiber *fiber, int ready)
{
	fiber->ready = ready;
	fd_leave(loop, fiber, fd);
	ar_fiber_ready(fiber, AR_WHY_WOKEN);
}

void ar_fd_event(struct ar_loop *loop, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	struct ar_fd *f = fd_get(loop, fd);
	int ready = 0, wanted = 0;

	if (f->generation != (uint32_t)(event->data.u64 >> 32))
		return;
	if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		ready |= AR_READ;
	if (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		ready |= AR_WRITE;
	if (f->fn != NULL) {
		if (event->events & (EPOLLERR | EPOLLHUP) || (ready & f->armed) != 0)
			f->fn(f->arg, fd, ready);
		return;
	}
	if (f->reader != NULL)
		wanted |= AR_READ;
	if (f->writer != NULL)
		wanted |= AR_WRITE;
	if ((ready & wanted) == 0) { /* nobody is there: hang-ups are told until it leaves epoll */
		fd_arm(loop, fd, f, wanted);
		if (event->events & (EPOLLERR | EPOLLHUP) && wanted == 0)
			fd_arm(loop, fd, f, 0);
		return;
	}
	if (f->reader != NULL && f->reader == f->writer) {
		fd_wake(loop, fd, f->reader, ready);
		return;
	}
	if (f->reader != NULL && (ready & AR_READ))
		fd_wake(loop, fd, f->reader, AR_READ);
	if (f->writer != NULL && (ready & AR_WRITE))
		fd_wake(loop, fd, f->writer, AR_WRITE);
}
