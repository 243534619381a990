/*
 * receive.c - reads what an executor sent, as from an enemy.
 *
 * A frame must belong to the call that the executor is to be running, be of a kind that can come
 * now, and be no longer than that call's limits allow. Whatever else comes ends the executor. Who it
 * works for is known from the socket; nothing in a frame can say otherwise.
 */
#include "sandbox/sandbox_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { PACKETS_AT_ONCE = 64, ERROR_MAX = 64 << 10 };

static void broken(struct sb_exec *exec, const char *how)
{
	ar_warn("sandbox", "an executor broke the protocol", "how", how);
	SB_COUNT(killed, 1);
	sb_exec_kill(exec, AR_E_SANDBOX_KILLED);
}

/* Log entries, coded: five bytes of head each, and 16 bytes of the limit for each line. */
static size_t logs_max(const struct sb_call *call)
{
	return call->limits.log_max + call->limits.log_max / 16 * 8 + 1024;
}

static size_t frame_max(const struct sb_call *call, int type)
{
	switch (type) {
	case WIRE_LOG:
		return logs_max(call);
	case WIRE_HOST:
		return call->limits.output_max + 1024 + sizeof(uint16_t);
	case WIRE_DONE:
		return sizeof(struct wire_done) + logs_max(call) + call->limits.output_max +
		       ERROR_MAX;
	default:
		return 0;
	}
}

/* The first piece of work is done; the next one runs now. */
static void work_done(struct sb_exec *exec)
{
	exec->work_at = (exec->work_at + 1) % SB_PLACES;
	exec->nwork--;
	exec->since_us = sb_real_us();
}

static bool got_log(struct sb_exec *exec, struct sb_call *call, struct ar_str frame)
{
	if (frame.n == 0) {
		broken(exec, "a frame that cannot come now");
		return false;
	}
	if (call->logs.n + frame.n > logs_max(call)) {
		broken(exec, "too many log lines");
		return false;
	}
	call->begun = true;
	if (call->logs.max == 0)
		ar_buf_init(&call->logs, logs_max(call));
	ar_buf_str(&call->logs, frame);
	return true;
}

/* Nobody waits for the call: what it asks for is not done. */
static void give_up(struct sb_exec *exec, struct sb_call *call)
{
	struct ar_buf *frame = &exec->loop->scratch;

	sb_frame_begin(frame, 64);
	sb_exec_send(exec, call, WIRE_CANCEL, frame);
}

static bool got_host(struct sb_exec *exec, struct sb_call *call, struct ar_str frame)
{
	if (call->host_calls == call->limits.host_calls) {
		broken(exec, "too many host calls");
		return false;
	}
	call->host_calls++;
	call->begun = true;
	if (!sb_exec_account(exec, call))
		return false;
	work_done(exec);
	if (call->run == NULL) {
		give_up(exec, call);
		return true;
	}
	call->state = SB_ASKING;
	call->host_pool = ar_pool_new();
	call->host_frame = ar_str_dup(call->host_pool, frame);
	ar_cond_signal(&call->changed);
	sb_pump(exec->tenant); /* there is room for one more piece of work */
	return !exec->dead;
}

static void call_remove(struct sb_exec *exec, struct sb_call *call)
{
	size_t i = 0;

	while (exec->calls[i] != call)
		i++;
	exec->ncalls--;
	memmove(&exec->calls[i], &exec->calls[i + 1], (exec->ncalls - i) * sizeof(exec->calls[0]));
	exec->memory -= call->limits.memory;
	SB_COUNT(running, -1);
}

static bool got_done(struct sb_exec *exec, struct sb_call *call, struct ar_str frame)
{
	struct sb_tenant *tenant = exec->tenant;
	struct wire_done done;

	if (frame.n < sizeof(done)) {
		broken(exec, "a short end");
		return false;
	}
	memcpy(&done, frame.p, sizeof(done));
	if (done.status >= WIRE_STATUSES || done.cpu_us > (uint64_t)1 << 40 ||
	    (done.status == WIRE_CANCELLED && call->run != NULL)) {
		broken(exec, "an impossible end");
		return false;
	}
	if (!sb_exec_account(exec, call))
		return false;
	exec->cpu_us += done.cpu_us;
	SB_COUNT(cpu_us, done.cpu_us);
	work_done(exec);
	call_remove(exec, call);
	call->exec = NULL;
	call->state = SB_ENDED;
	if (call->run != NULL)
		call->done_frame = ar_str_dup(call->pool, frame);
	ar_cond_signal(&call->changed);
	sb_call_unref(call);
	if (done.retire)
		sb_exec_retire(exec);
	else
		sb_exec_settle(exec);
	if (exec->dead)
		return false;
	sb_pump(tenant);
	return !exec->dead;
}

static void got_obit(struct sb_exec *exec, struct ar_str frame)
{
	int32_t status = 0;
	char text[64];

	if (frame.n == sizeof(status))
		memcpy(&status, frame.p, sizeof(status));
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
	ar_warn("sandbox", "an executor died", "status", text);
	SB_COUNT(killed, 1);
	sb_exec_kill(exec, AR_E_SANDBOX_KILLED);
}

/* A whole frame. False when the executor is no more. */
static bool got_frame(struct sb_exec *exec, const struct wire_header *h, struct ar_str frame)
{
	struct sb_call *call = sb_exec_running(exec);

	switch (h->type) {
	case WIRE_LOG:
		return got_log(exec, call, frame);
	case WIRE_HOST:
		return got_host(exec, call, frame);
	default:
		return got_done(exec, call, frame);
	}
}

static bool got_packet(struct sb_exec *exec, const char *packet, size_t n)
{
	struct sb_call *call = sb_exec_running(exec);
	struct wire_header h;
	struct ar_str part = { packet + sizeof(h), n - sizeof(h) };
	bool r;

	memcpy(&h, packet, sizeof(h));
	if (h.type == WIRE_OBIT) {
		got_obit(exec, part);
		return false;
	}
	if (call == NULL || h.call != call->id || h.zero != 0 || (h.flags & ~WIRE_MORE) != 0 ||
	    part.n + exec->in.n > frame_max(call, h.type) ||
	    (exec->in.n > 0 && h.type != exec->in_type) || ((h.flags & WIRE_MORE) && part.n == 0)) {
		broken(exec, "a frame that cannot come now");
		return false;
	}
	if (exec->in.n == 0 && !(h.flags & WIRE_MORE))
		return got_frame(exec, &h, part);
	if (exec->in.n == 0)
		ar_buf_init(&exec->in, frame_max(call, h.type));
	exec->in_type = h.type;
	ar_buf_str(&exec->in, part);
	if (h.flags & WIRE_MORE)
		return true;
	r = got_frame(exec, &h, ar_buf_view(&exec->in));
	ar_buf_done(&exec->in);
	return r;
}

void sb_exec_ready(void *arg, int fd, int ready)
{
	static __thread char packet[WIRE_PACKET];
	struct sb_exec *exec = arg;

	if (ready & AR_WRITE)
		sb_exec_writable(exec);
	for (int i = 0; i < PACKETS_AT_ONCE && !exec->dead; i++) {
		ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <=
		    0) { /* its death was not told: it is that of who tells them, or else hidden */
			SB_COUNT(killed, 1);
			sb_exec_kill(exec, sb_zygote_died(exec->zygote) ? AR_E_SANDBOX_LOST
									: AR_E_SANDBOX_KILLED);
			return;
		}
		if (n < (ssize_t)sizeof(struct wire_header) || n > (ssize_t)sizeof(packet)) {
			broken(exec, "a packet of a wrong size");
			return;
		}
		if (!got_packet(exec, packet, (size_t)n))
			return;
	}
}
