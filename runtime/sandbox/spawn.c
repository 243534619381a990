/*
 * spawn.c - starts and ends the zygote, proves the lock, asks for executors.
 *
 * Answers come in the order of the questions, so a loop's open questions are a list. Nothing waits
 * here: an executor is handed to its tenant when the zygote's answer is read.
 */
#include "sandbox/zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox_int.h"

struct ar_sandbox_options sb_options;
struct sb_counts sb_counts;
static int control = -1;
static pid_t zygote;

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

static int ask_loop(int fd)
{
	struct zygote_ask ask = { .what = ZYGOTE_LOOP };

	return sb_send_fds(control, &ask, sizeof(ask), &fd, 1) == sizeof(ask) ? 0 : -1;
}

/* Asks for an executor and waits for the answer: before any loop runs. Returns its socket. */
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

static int prove(void)
{
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ar_fail_why(AR_E_INTERNAL, "socketpair: %s", strerror(errno));
	if (ask_loop(pair[1]) != 0)
		r = ar_fail_why(AR_E_INTERNAL, "the sandbox's zygote does not answer");
	else if (!probe_serves(pair[0]))
		r = ar_fail_why(AR_E_INTERNAL, "a locked executor cannot serve on this system");
	else if (!probe_is_killed(pair[0]))
		r = ar_fail_why(AR_E_INTERNAL, "seccomp does not hold an executor on this system");
	close(pair[0]);
	close(pair[1]);
	return r;
}

int ar_sandbox_init(const struct ar_sandbox_options *options)
{
	int pair[2];
	pid_t parent = getpid();

	set_options(options);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ar_fail_why(AR_E_INTERNAL, "socketpair: %s", strerror(errno));
	zygote = fork();
	if (zygote == 0)
		sb_zygote_main(pair[1], parent);
	close(pair[1]);
	control = pair[0];
	if (zygote < 0) {
		close(control);
		control = -1;
		return ar_fail_why(AR_E_INTERNAL, "fork: %s", strerror(errno));
	}
	if (prove() != 0) {
		ar_sandbox_done();
		return -1;
	}
	return 0;
}

void ar_sandbox_done(void)
{
	if (control < 0)
		return;
	close(control);
	control = -1;
	while (waitpid(zygote, NULL, 0) < 0 && errno == EINTR)
		;
}

void ar_sandbox_stats(struct ar_sandbox_stats *ret)
{
#define TAKE(what) ret->what = __atomic_load_n(&sb_counts.what, __ATOMIC_RELAXED)
	TAKE(calls);
	TAKE(host_calls);
	TAKE(spawned);
	TAKE(killed);
	TAKE(retired);
	TAKE(cpu_us);
	TAKE(executors);
	TAKE(running);
	TAKE(queued);
#undef TAKE
}

/* ---- a loop's questions ---- */

static struct sb_spawn *spawn_pop(struct sb_loop *loop)
{
	struct sb_spawn *spawn = loop->spawns;

	if (spawn != NULL) {
		DL_DELETE(loop->spawns, spawn);
		loop->spawning--;
		spawn->tenant->spawning--;
	}
	return spawn;
}

/* Nobody asks again for a while; it is said once until it has worked again. */
static void refused(struct sb_loop *loop, int error)
{
	if (!loop->spawn_refused)
		ar_error("sandbox", "cannot start an executor", "error", strerror(error));
	loop->spawn_refused = true;
	loop->spawn_after_us = sb_real_us() + SB_REFUSED_US;
}

static void answered(struct sb_loop *loop, const struct zygote_told *told, const int fds[2])
{
	struct sb_spawn *spawn = spawn_pop(loop);
	struct sb_exec *exec = NULL;

	if (spawn != NULL && told->error == 0 && fds[0] >= 0 && fds[1] >= 0) {
		exec = sb_exec_new(loop, spawn->tenant, fds[0], fds[1], told->pid);
		exec->behind = told->behind != 0;
		loop->spawn_refused = false;
		SB_COUNT(spawned, 1);
	} else {
		/* A process whose socket could not be received here ends by itself. */
		for (int i = 0; i < 2; i++) {
			if (fds[i] >= 0)
				close(fds[i]);
		}
		refused(loop, told->error != 0 ? told->error : EMFILE);
	}
	if (spawn == NULL)
		return;
	sb_spawned(spawn->tenant, exec);
	ar_heap_free(spawn);
}

/* The zygote is gone: every executor went with it. */
static void lost(struct sb_loop *loop)
{
	struct sb_spawn *spawn;

	ar_fd_watch(loop->control, 0, NULL, NULL);
	close(loop->control);
	loop->control = -1;
	if (!loop->ending)
		ar_error("sandbox", "the zygote has died: no function can run until a restart");
	while ((spawn = spawn_pop(loop)) != NULL) {
		sb_spawned(spawn->tenant, NULL);
		ar_heap_free(spawn);
	}
}

static void control_ready(void *arg, int fd, int ready)
{
	struct sb_loop *loop = arg;

	(void)ready;
	for (;;) {
		struct zygote_told told;
		int fds[2];
		ssize_t n = sb_recv_fds(fd, &told, sizeof(told), fds, 2, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != sizeof(told)) {
			lost(loop);
			return;
		}
		answered(loop, &told, fds);
	}
}

int sb_loop_connect(struct sb_loop *loop)
{
	int pair[2];

	loop->control = -1;
	if (control < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	if (ask_loop(pair[1]) != 0) {
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	close(pair[1]);
	loop->control = pair[0];
	ar_fd_watch(loop->control, AR_READ, control_ready, loop);
	return 0;
}

void sb_spawn(struct sb_tenant *tenant)
{
	struct sb_loop *loop = tenant->loop;
	struct zygote_ask ask = { .what = sb_share_behind(tenant) ? ZYGOTE_SPAWN_BEHIND
								  : ZYGOTE_SPAWN };
	struct sb_spawn *spawn;

	tenant->spawning++;
	loop->spawning++;
	spawn = ar_heap_new(struct sb_spawn);
	spawn->tenant = tenant;
	DL_APPEND(loop->spawns, spawn);
	/* Questions are bounded by executors_max, far below what the socket takes; the answer to one
	 * that could not be sent is the end of the stream. */
	if (loop->control >= 0 &&
	    send(loop->control, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(ask))
		shutdown(loop->control, SHUT_RDWR);
}

void sb_spawn_forget(struct sb_loop *loop)
{
	struct sb_spawn *spawn;

	while ((spawn = spawn_pop(loop)) != NULL)
		ar_heap_free(spawn);
	if (loop->control >= 0) {
		ar_fd_watch(loop->control, 0, NULL, NULL);
		close(loop->control);
		loop->control = -1;
	}
}
