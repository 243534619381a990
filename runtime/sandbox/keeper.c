/*
 * keeper.c - keeps a zygote: starts it, proves that its lock holds, starts another when it has died.
 *
 * A zygote is this program, executed again: it has nothing of this process but one socket; no
 * memory, no environment, no descriptor, not even the same addresses. So it can be started at any
 * time, by a process with threads and secrets. A thread waits for its death, by the kernel when
 * memory is short or by somebody's hand, and puts a new one in its place; loops find it there when
 * they need it next (sb_zygote_join).
 */
#include "sandbox/zygote.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox_int.h"

enum { AGAIN_MS = 100, AGAIN_MAX_MS = 5000, END_MS = 2000, KEEPER_STACK = 256 << 10 };

struct zygote {
	int control; /* its socket */
	int pidfd;
	pid_t pid;
	unsigned number; /* 1, 2, ... */
};

struct ar_sandbox_options sb_options;
struct sb_counts sb_counts;

static bool may_start; /* ar_sandbox_main() was called: a zygote will find its way */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct zygote zygote = { -1, -1, -1, 0 }; /* the keeper's; others read it under the lock */
static bool failing;                             /* under the lock: a new one did not come up */
static pthread_t keeper;
static int ending = -1; /* an eventfd: the keeper is to go */

/* ---- starting ---- */

/* What an environment may bring along: how to find libraries, how to report. */
static void environment(char **ret, size_t n)
{
	static const char *const names[] = {
		"LD_LIBRARY_PATH",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
		"ASAN_OPTIONS",
		"UBSAN_OPTIONS",
		"TSAN_OPTIONS",
#endif
	};
	size_t used = 0;

	for (size_t i = 0; i < AR_COUNT(names) && used + 1 < n; i++) {
		for (char **e = environ; *e != NULL; e++) {
			size_t length = strlen(names[i]);

			if (strncmp(*e, names[i], length) == 0 && (*e)[length] == '=')
				ret[used++] = *e;
		}
	}
	ret[used] = NULL;
}

/* The program, with `socket` as its ZYGOTE_CONTROL, and every signal as it was at the beginning. */
static int execute(int socket, pid_t *ret)
{
	char name[] = ZYGOTE_NAME, *argv[] = { name, NULL }, *env[8];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int error;

	environment(env, AR_COUNT(env));
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, socket, ZYGOTE_CONTROL);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	error = posix_spawn(ret, "/proc/self/exe", &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return error;
}

static int ask_loop(int control, int fd)
{
	struct zygote_ask ask = { .what = ZYGOTE_LOOP };

	return sb_send_fds(control, &ask, sizeof(ask), &fd, 1) == sizeof(ask) ? 0 : -1;
}

/* Asks for an executor and waits for the answer. Returns its socket. */
static int ask_now(int loop, enum zygote_what what)
{
	struct zygote_ask ask = { .what = what };
	struct zygote_told told;
	struct pollfd p = { loop, POLLIN, 0 };
	int fds[2];

	if (send(loop, &ask, sizeof(ask), MSG_NOSIGNAL) != sizeof(ask) || poll(&p, 1, 10000) != 1 ||
	    sb_recv_fds(loop, &told, sizeof(told), fds, 2, 0) != sizeof(told) || told.error != 0)
		return -1;
	close(fds[1]);
	return fds[0];
}

static ssize_t packet_now(int fd, void *packet, size_t n)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 10000) == 1 ? recv(fd, packet, n, 0) : -1;
}

/* `return function(t) return t end`, with {} */
static size_t probe_call(char *packet)
{
	static const char source[] = "return function(t) return t end";
	struct wire_header h = { .type = WIRE_CALL, .call = 1 };
	struct wire_call head = { .cpu_soft_us = 1000000, .memory = 4 << 20, .output_max = 1024 };
	struct wire_code code = { .name_len = 5, .source_len = sizeof(source) - 1 };
	static const unsigned char empty[] = { WIRE_OBJECT, 0, 0, 0, 0, WIRE_OBJECT, 0, 0, 0, 0 };
	size_t n = 0;

#define PUT(p, size) (memcpy(packet + n, (p), (size)), n += (size))
	PUT(&h, sizeof(h));
	PUT(&head, sizeof(head));
	PUT(&code, sizeof(code));
	PUT("probe", 5);
	PUT(source, sizeof(source) - 1);
	PUT(empty, sizeof(empty));
#undef PUT
	return n;
}

static bool probe_serves(int loop)
{
	char packet[4096];
	struct wire_header h;
	struct wire_done done;
	size_t n = probe_call(packet);
	int fd = ask_now(loop, ZYGOTE_SPAWN);
	ssize_t r = -1;

	if (fd >= 0 && send(fd, packet, n, MSG_NOSIGNAL) == (ssize_t)n)
		r = packet_now(fd, packet, sizeof(packet));
	if (fd >= 0)
		close(fd);
	if (r < (ssize_t)(sizeof(h) + sizeof(done)))
		return false;
	memcpy(&h, packet, sizeof(h));
	memcpy(&done, packet + sizeof(h), sizeof(done));
	return h.type == WIRE_DONE && done.status == WIRE_OK;
}

static bool probe_is_killed(int loop)
{
	struct {
		struct wire_header h;
		int32_t status;
	} obit;
	int fd = ask_now(loop, ZYGOTE_PROBE);
	ssize_t r = fd >= 0 ? packet_now(fd, &obit, sizeof(obit)) : -1;

	if (fd >= 0)
		close(fd);
	return r == sizeof(obit) && obit.h.type == WIRE_OBIT && WIFSIGNALED(obit.status) &&
	       WTERMSIG(obit.status) == SIGSYS;
}

static int prove(int control)
{
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ar_fail_why(AR_E_INTERNAL, "socketpair: %s", strerror(errno));
	if (ask_loop(control, pair[1]) != 0)
		r = ar_fail_why(AR_E_INTERNAL, "the sandbox's zygote does not answer");
	close(pair[1]); /* its end is read when the zygote dies */
	if (r == 0 && !probe_serves(pair[0]))
		r = ar_fail_why(AR_E_INTERNAL, "a locked executor cannot serve on this system");
	else if (r == 0 && !probe_is_killed(pair[0]))
		r = ar_fail_why(AR_E_INTERNAL, "seccomp does not hold an executor on this system");
	close(pair[0]);
	return r;
}

/* Nothing is left of it. A zygote leads the group of its executors; those that it leaves behind die
 * with it, and are this process's to reap where it is the system's first. */
static void bury(struct zygote *z)
{
	kill(z->pid, SIGKILL);
	kill(-z->pid, SIGKILL);
	while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
		;
	while (waitpid(-z->pid, NULL, 0) > 0 || errno == EINTR)
		;
	if (z->control >= 0)
		close(z->control);
	if (z->pidfd >= 0)
		close(z->pidfd);
	*z = (struct zygote){ -1, -1, -1, 0 };
}

static int start(struct zygote *ret)
{
	static unsigned numbers;
	struct zygote z = { -1, -1, -1, ++numbers };
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ar_fail_why(AR_E_INTERNAL, "socketpair: %s", strerror(errno));
	error = execute(pair[1], &z.pid);
	close(pair[1]);
	if (error != 0) {
		close(pair[0]);
		return ar_fail_why(AR_E_INTERNAL, "the sandbox's zygote: %s", strerror(error));
	}
	z.control = pair[0];
	z.pidfd = pidfd_open(z.pid, 0);
	if (z.pidfd < 0)
		ar_fail_why(AR_E_INTERNAL, "pidfd_open: %s", strerror(errno));
	if (z.pidfd < 0 || prove(z.control) != 0) {
		bury(&z);
		return -1;
	}
	*ret = z;
	return 0;
}

/* ---- keeping ---- */

static void publish(const struct zygote *z, bool fails)
{
	pthread_mutex_lock(&lock);
	zygote = *z;
	failing = fails;
	pthread_mutex_unlock(&lock);
}

/* Until the descriptor is ready (-1: just the time). True: the keeper is to go. */
static bool wait_for(int fd, int timeout)
{
	struct pollfd p[2] = { { ending, POLLIN, 0 }, { fd, POLLIN, 0 } };

	while (poll(p, 2, timeout) < 0 && errno == EINTR)
		;
	return p[0].revents != 0;
}

/* True: the keeper is to go. */
static bool start_again(void)
{
	struct zygote dead = zygote, none = { -1, -1, -1, 0 };
	int wait = AGAIN_MS;

	publish(&none, false);
	bury(&dead);
	SB_COUNT(restarts, 1);
	ar_error("sandbox", "the zygote has died, and every function that ran: starting another");
	while (start(&none) != 0) {
		if (!failing)
			ar_log_err(AR_ERROR, "sandbox", "no function can run");
		ar_err_clear();
		publish(&none, true);
		if (wait_for(-1, wait))
			return true;
		wait = AR_MIN(wait * 2, AGAIN_MAX_MS);
	}
	publish(&none, false);
	ar_info("sandbox", "functions can run again");
	return wait_for(-1,
			AGAIN_MS); /* who kills one after the other does not get all of the CPU */
}

static void *keeper_main(void *arg)
{
	(void)arg;
	while (!wait_for(zygote.pidfd, -1)) {
		if (start_again())
			break;
	}
	return NULL;
}

static int keep(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int error;

	ending = eventfd(0, EFD_CLOEXEC);
	if (ending < 0)
		return ar_fail_why(AR_E_INTERNAL, "eventfd: %s", strerror(errno));
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, KEEPER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&keeper, &attr, keeper_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error == 0)
		return 0;
	close(ending);
	ending = -1;
	return ar_fail_why(AR_E_INTERNAL, "a thread: %s", strerror(error));
}

/* ---- the process ---- */

static void set_options(const struct ar_sandbox_options *given)
{
	struct ar_sandbox_options o = given != NULL ? *given : (struct ar_sandbox_options){ 0 };

	if (o.loops <= 0)
		o.loops = 1;
	if (o.executors_max <= 0)
		o.executors_max = 512;
	if (o.executors_per_tenant <= 0)
		o.executors_per_tenant = 4;
	if (o.queue_max <= 0)
		o.queue_max = 256;
	if (o.idle_ms <= 0)
		o.idle_ms = 60000;
	sb_options = o;
}

void ar_sandbox_main(int argc, char **argv)
{
	if (argc == 1 && strcmp(argv[0], ZYGOTE_NAME) == 0)
		sb_zygote_main();
	may_start = true;
}

int ar_sandbox_init(const struct ar_sandbox_options *options)
{
	assert(may_start); /* else a zygote would be this program again, and start a zygote */
	set_options(options);
	if (start(&zygote) != 0)
		return -1;
	if (keep() != 0) {
		bury(&zygote);
		return -1;
	}
	return 0;
}

void ar_sandbox_done(void)
{
	struct pollfd ended = { -1, POLLIN, 0 };
	uint64_t one = 1;

	if (ending < 0)
		return;
	while (write(ending, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(keeper, NULL);
	close(ending);
	ending = -1;
	if (zygote.pid < 0)
		return;
	close(zygote.control); /* it ends its executors, and itself */
	zygote.control = -1;
	ended.fd = zygote.pidfd;
	while (poll(&ended, 1, END_MS) < 0 && errno == EINTR)
		;
	bury(&zygote);
}

void ar_sandbox_stats(struct ar_sandbox_stats *ret)
{
#define TAKE(what) ret->what = __atomic_load_n(&sb_counts.what, __ATOMIC_RELAXED)
	TAKE(calls);
	TAKE(host_calls);
	TAKE(spawned);
	TAKE(killed);
	TAKE(retired);
	TAKE(restarts);
	TAKE(cpu_us);
	TAKE(executors);
	TAKE(running);
	TAKE(queued);
#undef TAKE
}

/* ---- for the loops ---- */

unsigned sb_zygote_join(int fd)
{
	unsigned r = 0;

	pthread_mutex_lock(&lock);
	if (zygote.control >= 0 && ask_loop(zygote.control, fd) == 0)
		r = zygote.number;
	pthread_mutex_unlock(&lock);
	return r;
}

bool sb_zygote_died(unsigned number)
{
	struct pollfd p = { -1, POLLIN, 0 };
	bool r;

	pthread_mutex_lock(&lock);
	p.fd = zygote.pidfd;
	r = zygote.number != number || zygote.pid < 0 || poll(&p, 1, 0) != 0;
	pthread_mutex_unlock(&lock);
	return r;
}

void sb_zygote_end(unsigned number)
{
	pthread_mutex_lock(&lock);
	if (zygote.number == number && zygote.pidfd >= 0) {
		ar_error("sandbox", "the zygote does not answer: ending it");
		pidfd_send_signal(zygote.pidfd, SIGKILL, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
}

bool sb_zygote_fails(void)
{
	bool r;

	pthread_mutex_lock(&lock);
	r = failing;
	pthread_mutex_unlock(&lock);
	return r;
}
