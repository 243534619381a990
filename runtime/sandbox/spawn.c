/*
 * spawn.c - a loop asks the zygote for executors.
 *
 * Answers come in the order of the questions, so a loop's open questions are a list. Nothing waits
 * here: an executor is handed to its tenant when the zygote's answer is read. A zygote that died
 * took every executor with it; the next question goes to the one that keeper.c puts in its place.
 */
#include "sandbox/zygote.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox_int.h"

_Static_assert(ZYGOTE_LOOPS_MAX >= AR_LOOPS_MAX, "the zygote has no place for some loops");

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

	loop->silence.since_us = 0;
	if (spawn != NULL && told->error == 0 && fds[0] >= 0 && fds[1] >= 0) {
		exec = sb_exec_new(loop, spawn->tenant, fds[0], fds[1], told->pid);
		exec->behind = told->behind != 0;
		exec->policy = exec->behind ? SCHED_IDLE : SCHED_BATCH;
		exec->zygote = loop->zygote;
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

/* The zygote is gone, which keeper.c tells. The watch asks the next one for who still waits. */
static void lost(struct sb_loop *loop)
{
	struct sb_spawn *spawn;

	ar_fd_watch(loop->control, 0, NULL, NULL);
	close(loop->control);
	loop->control = -1;
	while ((spawn = spawn_pop(loop)) != NULL)
		ar_heap_free(spawn);
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

bool sb_loop_connect(struct sb_loop *loop)
{
	unsigned before = loop->zygote;
	int pair[2];

	if (loop->control >= 0)
		return true;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	loop->zygote = sb_zygote_join(pair[1]);
	close(pair[1]);
	if (loop->zygote == 0) {
		close(pair[0]);
		return false;
	}
	loop->control = pair[0];
	if (loop->zygote != before)
		loop->silence.since_us = 0;
	ar_fd_watch(loop->control, AR_READ, control_ready, loop);
	return true;
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
	if (send(loop->control, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(ask))
		shutdown(loop->control, SHUT_RDWR);
}

/*
 * A stopped zygote, or one that hangs, answers nothing. Where nothing ran here either, it is given its
 * time anew, and what is due may be there, and not read.
 */
void sb_silence_look(struct sb_silence *silence, unsigned zygote, int fd, int64_t now)
{
	struct pollfd p = { fd, POLLIN, 0 };

	if (silence->since_us == 0 || now - silence->looked_us > SB_BLINK_US)
		silence->since_us = now;
	silence->looked_us = now;
	if (now - silence->since_us < SB_SILENT_US || poll(&p, 1, 0) != 0)
		return;
	silence->since_us = 0; /* once more, later, if that did not help */
	sb_zygote_end(zygote);
}

void sb_zygote_place(const struct sb_exec *exec, int policy)
{
	const struct sb_loop *loop = exec->loop;
	struct zygote_ask ask = { .what = ZYGOTE_PLACE,
				  .token = (uint32_t)exec->pid,
				  .policy = policy };

	if (loop->control >= 0 && exec->zygote == loop->zygote)
		send(loop->control, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT);
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
