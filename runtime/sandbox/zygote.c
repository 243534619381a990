/*
 * zygote.c - forks executors when asked, and tells of their deaths.
 *
 * Single-threaded; liblua is mapped, relocated, and a pristine state lies ready, so that a fork is
 * all that a new executor costs. It keeps the executor's end of each socket: when the child is
 * reaped, its wait status goes out on it as a last frame, and closing it ends the stream. It ends
 * when the supervisor is gone, and its children with it. A process of its own from the first
 * instruction on: see keeper.c.
 */
#include "sandbox/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/executor.h"
#include "sandbox/lock.h"

enum {
	NICE = 5, /* the loops' latency comes first */
	SLICE_BEHIND_NS = 100000000,
};

struct child {
	pid_t pid;
	int fd;
};

static struct child *children;
static size_t nchildren, children_cap;
static struct pollfd polled[1 + ZYGOTE_LOOPS_MAX]; /* the control socket, then the loops' */
static nfds_t npolled = 1;
static pid_t self;

/* ---- descriptors in messages ---- */

ssize_t sb_send_fds(int socket, const void *p, size_t n, const int *fds, size_t nfds)
{
	char room[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		struct cmsghdr *c;

		m.msg_control = room;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	return sendmsg(socket, &m, MSG_NOSIGNAL);
}

ssize_t sb_recv_fds(int socket, void *p, size_t n, int *fds, size_t nfds, int flags)
{
	char room[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { p, n };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = room,
			    .msg_controllen = sizeof(room) };
	ssize_t r = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = r >= 0 ? CMSG_FIRSTHDR(&m) : NULL;

	for (size_t i = 0; i < nfds; i++)
		fds[i] = -1;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), AR_MIN(c->cmsg_len - CMSG_LEN(0), nfds * sizeof(int)));
	return r;
}

/* Every descriptor from `first` on. Old kernels, and some containers, do not have close_range(). */
static void close_from(int first)
{
	struct rlimit limit;

	if (close_range((unsigned)first, ~0U, 0) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (int fd = first; fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

/* ---- children ---- */

/*
 * The kernel's queue goes by deadlines, also between SCHED_IDLE and others: of many that burn there is
 * always one whose turn was due before whoever wakes up, and it then has the CPU until the next
 * tick, 4 ms. A slice of 100 ms puts their deadlines far off (Linux 6.12; before, it is ignored).
 */
int sb_place(pid_t pid, int policy)
{
	struct { /* struct sched_attr; glibc got it late, and linux/sched/types.h fights sched.h */
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr), .policy = (uint32_t)policy, .nice = NICE };
	struct sched_param zero = { 0 };

	if (policy == SCHED_IDLE) { /* which takes no slice, but keeps one */
		attr.policy = SCHED_BATCH;
		attr.runtime = SLICE_BEHIND_NS;
		syscall(SYS_sched_setattr, pid, &attr, 0);
		return sched_setscheduler(pid, policy, &zero);
	}
	if (syscall(SYS_sched_setattr, pid, &attr, 0) == 0)
		return 0;
	return errno == ENOSYS ? sched_setscheduler(pid, policy, &zero) : -1;
}

static _Noreturn void child_main(int fd, uint32_t what)
{
	sigset_t none;

	setpriority(PRIO_PROCESS, 0, NICE);
	sb_place(0, what == ZYGOTE_SPAWN_BEHIND ? SCHED_IDLE : SCHED_BATCH);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != self)
		_exit(0);
	sigemptyset(&none);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd != EXECUTOR_FD)
		dup2(fd, EXECUTOR_FD);
	close_from(EXECUTOR_FD + 1);
	close(0);
	close(1);
#if !defined(__SANITIZE_ADDRESS__)
	close(2);
#endif
	if (sb_lock_executor() != 0)
		_exit(72);
	if (what == ZYGOTE_PROBE) /* must not come back */
		_exit(open("/dev/null", O_RDONLY) >= 0 ? 73 : 74);
	sb_executor_serve();
	_exit(0);
}

static void child_add(pid_t pid, int fd)
{
	if (nchildren == children_cap) {
		children_cap = AR_MAX(children_cap * 2, (size_t)64);
		children = ar_heap_realloc(children, children_cap * sizeof(*children));
	}
	children[nchildren++] = (struct child){ pid, fd };
}

static void tell_error(int loop, uint32_t token, int error)
{
	struct zygote_told told = { .token = token, .error = error };

	sb_send_fds(loop, &told, sizeof(told), NULL, 0);
}

/* The new child goes to the supervisor, or is ended. 0, or the error. */
static int hand_over(int loop, const struct zygote_ask *ask, pid_t pid, int socket)
{
	struct zygote_told told = { .token = ask->token,
				    .pid = pid,
				    .behind = ask->what == ZYGOTE_SPAWN_BEHIND };
	int fds[2] = { socket, pidfd_open(pid, 0) };
	int error = 0;

	/* The kernel may refuse the descriptors, of which too many are on their way. */
	if (fds[1] < 0 || sb_send_fds(loop, &told, sizeof(told), fds, 2) != sizeof(told)) {
		error = errno;
		kill(pid, SIGKILL);
	}
	if (fds[1] >= 0)
		close(fds[1]);
	return error;
}

static void spawn(int loop, const struct zygote_ask *ask)
{
	int pair[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		tell_error(loop, ask->token, errno);
		return;
	}
	pid = fork();
	if (pid == 0)
		child_main(pair[1], ask->what);
	if (pid < 0) {
		error = errno;
		close(pair[1]);
	} else {
		child_add(pid, pair[1]);
		error = hand_over(loop, ask, pid, pair[0]);
	}
	close(pair[0]);
	if (error != 0)
		tell_error(loop, ask->token, error);
}

static void place(pid_t pid, int policy)
{
	for (size_t i = 0; i < nchildren; i++) {
		if (children[i].pid == pid)
			sb_place(pid, policy);
	}
}

static void child_ended(struct child *child, int status)
{
	struct {
		struct wire_header h;
		int32_t status;
	} obit = { { .type = WIRE_OBIT }, status };

	send(child->fd, &obit, sizeof(obit), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(child->fd);
	*child = children[--nchildren];
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status)) { /* it would keep its calls waiting */
			kill(pid, SIGKILL);
			continue;
		}
		for (size_t i = 0; i < nchildren; i++) {
			if (children[i].pid == pid) {
				child_ended(&children[i], status);
				break;
			}
		}
	}
}

/* ---- the loop ---- */

static void on_child(int signal)
{
	(void)signal;
}

static _Noreturn void finish(void)
{
	for (size_t i = 0; i < nchildren; i++)
		kill(children[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	_exit(0);
}

static void control_ready(void)
{
	struct zygote_ask ask;
	int fd;
	ssize_t n = sb_recv_fds(ZYGOTE_CONTROL, &ask, sizeof(ask), &fd, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(ask))
		finish();
	if (ask.what == ZYGOTE_LOOP && fd >= 0 && npolled <= ZYGOTE_LOOPS_MAX)
		polled[npolled++] = (struct pollfd){ fd, POLLIN, 0 };
	else if (fd >= 0)
		close(fd);
}

/* False when the loop is gone. */
static bool loop_ready(int fd)
{
	struct zygote_ask ask;
	ssize_t n = recv(fd, &ask, sizeof(ask), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n != sizeof(ask))
		return false;
	if (ask.what == ZYGOTE_PLACE)
		place((pid_t)ask.token, ask.policy);
	else
		spawn(fd, &ask);
	return true;
}

/* Only the control socket and the standard descriptors stay; these lead nowhere. */
static void only_control(void)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, 0);
	dup2(null, 1);
#if !defined(__SANITIZE_ADDRESS__)
	dup2(null, 2);
#endif
	close_from(ZYGOTE_CONTROL + 1);
}

static size_t mapped_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	if (f == NULL || fscanf(f, "%zu", &pages) != 1)
		pages = (size_t)1 << 20; /* a guess on the safe side: 4 GiB */
	if (f != NULL)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void prepare(void)
{
	struct sigaction act = { .sa_handler = on_child };
	struct rlimit files;
	double unused;

	self = getpid();
	/* A terminal's Ctrl-C is the supervisor's to handle. Not a session: the kernel would share the
	 * CPU out between sessions first, and nice and SCHED_IDLE hold within one only. */
	setpgid(0, 0);
	prctl(PR_SET_NAME, "apprun-sandbox", 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	/* Who ends the program may signal all of its processes: the end is the supervisor's to make. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigaction(SIGCHLD, &act, NULL);
	only_control();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* one for each executor */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* What base makes once takes system calls that an executor does not have. */
	ar_str_float(AR_STR("1.5"), &unused);
	ar_fail(AR_E_TOO_LARGE, "what", "nothing");
	ar_err_clear();
	sb_executor_prepare();
	sb_executor.mapped = mapped_bytes();
	sb_lock_zygote();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* after the user was changed, which clears it */
	polled[0] = (struct pollfd){ ZYGOTE_CONTROL, POLLIN, 0 };
}

void sb_zygote_main(void)
{
	sigset_t blocked, waiting;

	prepare();
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigemptyset(&waiting);
	for (;;) {
		reap();
		if (ppoll(polled, npolled, NULL, &waiting) < 0)
			continue;
		for (nfds_t i = npolled - 1; i >= 1; i--) {
			if (polled[i].revents != 0 && !loop_ready(polled[i].fd)) {
				close(polled[i].fd);
				polled[i] = polled[--npolled];
			}
		}
		if (polled[0].revents != 0)
			control_ready();
	}
}
