/*
 * exec.c - one executor as its supervisor sees it: what it was sent, what it runs, its end.
 *
 * Frames that the socket does not take at once wait in a list, so no fiber waits for an executor to
 * read. The supervisor alone decides what an executor's code slots hold, and so never has to ask.
 */
#include "sandbox/sandbox_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the loop's list of idle ones ---- */

static void idle_add(struct sb_exec *exec)
{
	struct sb_loop *loop = exec->loop;

	exec->idle = true;
	exec->idle_since_us = sb_real_us();
	DL_APPEND2(loop->idle_first, exec, idle_prev, idle_next);
}

static void idle_remove(struct sb_exec *exec)
{
	struct sb_loop *loop = exec->loop;

	if (!exec->idle)
		return;
	exec->idle = false;
	DL_DELETE2(loop->idle_first, exec, idle_prev, idle_next);
}

/* ---- life ---- */

struct sb_exec *sb_exec_new(struct sb_loop *loop, struct sb_tenant *tenant, int fd, int pidfd,
			    int32_t pid)
{
	struct sb_exec *exec = ar_heap_new(struct sb_exec);

	exec->loop = loop;
	exec->tenant = tenant;
	exec->fd = fd;
	exec->pidfd = pidfd;
	exec->pid = pid;
	exec->born_us = sb_real_us();
	exec->clock_us = sb_exec_clock_us(exec);
	exec->next = tenant->execs;
	tenant->execs = exec;
	tenant->nexecs++;
	loop->execs++;
	SB_COUNT(executors, 1);
	idle_add(exec);
	ar_fd_watch(fd, AR_READ, sb_exec_ready, exec);
	ar_cond_signal(&loop->watch_cond);
	return exec;
}

static void exec_unlink(struct sb_exec *exec)
{
	LL_DELETE(exec->tenant->execs, exec);
	exec->tenant->nexecs--;
	exec->loop->execs--;
	SB_COUNT(executors, -1);
	idle_remove(exec);
}

static void exec_free(struct sb_exec *exec)
{
	while (exec->out != NULL) {
		struct sb_out *out = exec->out;

		DL_DELETE(exec->out, out);
		ar_buf_done(&out->buf);
		ar_heap_free(out);
	}
	for (size_t i = 0; i < WIRE_CODE_SLOTS; i++)
		ar_heap_free((void *)(uintptr_t)exec->codes[i].id.p);
	ar_buf_done(&exec->in);
	ar_heap_free(exec);
}

static void exec_free_later(void *arg)
{
	exec_free(arg);
}

/* What becomes of a call whose executor is gone. What it did leaves the executor by frames alone, so
 * a call of which none was read can run again. */
static void bereave(struct sb_exec *exec, struct sb_call *call, bool ran)
{
	/* who is bereaved is there: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	call->exec = NULL;
	SB_COUNT(running, -1);
	if (exec->reason != NULL && ran)
		call->begun = true;
	if (exec->reason != NULL && !call->begun)
		call->retries++;
	if (call->begun || call->run == NULL || call->retries > SB_RETRIES) {
		sb_call_end(call, (ran && exec->reason != NULL) || exec->reason == AR_E_SANDBOX_LOST
					  ? exec->reason
					  : AR_E_SANDBOX_KILLED);
		sb_call_unref(call);
		return;
	}
	sb_enqueue(call); /* takes over the executor's reference */
}

/* Its last piece of work, and the process that will take its place, are the tenant's. */
static void charge_death(struct sb_exec *exec, struct sb_call *running)
{
	int64_t now = sb_real_us();

	if (running != NULL && sb_exec_clock_us(exec) > 0)
		sb_exec_measure(exec, running, now);
	else if (running != NULL) /* it is gone with its clock */
		sb_share_used(exec->tenant, (uint64_t)AR_MAX(now - exec->since_us, (int64_t)0),
			      now - exec->since_us);
	sb_share_used(exec->tenant, SB_DEATH_US, 0);
}

void sb_exec_kill(struct sb_exec *exec, const struct ar_err_def *reason)
{
	struct sb_loop *loop = exec->loop;
	struct sb_tenant *tenant = exec->tenant;
	struct sb_call *running = sb_exec_running(exec);
	struct sb_call *calls[SB_PLACES];
	size_t n = exec->ncalls;

	if (exec->dead)
		return;
	exec->dead = true;
	exec->reason = reason;
	if (reason != NULL && reason != AR_E_SANDBOX_LOST) /* that was not its doing */
		charge_death(exec, running);
	pidfd_send_signal(exec->pidfd, SIGKILL, NULL, 0);
	ar_fd_watch(exec->fd, 0, NULL, NULL);
	close(exec->fd);
	close(exec->pidfd);
	exec_unlink(exec);
	memcpy(calls, exec->calls, n * sizeof(calls[0]));
	exec->ncalls = 0;
	exec->nwork = 0;
	for (size_t i = n; i-- > 0;) /* the first sent is to be the first in the queue again */
		bereave(exec, calls[i], calls[i] == running);
	ar_post(ar_loop(), exec_free_later, exec); /* a caller further up may still look at it */
	if (!loop->ending) {
		tenant->held++; /* who makes room may be the last that was wanted of it */
		sb_room_left(loop);
		sb_pump(tenant);
		tenant->held--;
		sb_tenant_drop(tenant);
	}
}

void sb_exec_retire(struct sb_exec *exec)
{
	if (exec->retiring)
		return;
	exec->retiring = true;
	idle_remove(exec);
	SB_COUNT(retired, 1);
	sb_exec_settle(exec);
}

void sb_exec_close(struct sb_exec *exec)
{
	if (exec->nwork == 0 || exec->retiring) {
		sb_exec_retire(exec);
		return;
	}
	exec->retiring = true; /* settled when what runs has ended */
	SB_COUNT(retired, 1);
}

void sb_exec_settle(struct sb_exec *exec)
{
	struct sb_loop *loop = exec->loop;
	bool begun = false;

	if (exec->dead)
		return;
	if (exec->cpu_us > SB_CPU_LIFE_US && !exec->retiring) {
		sb_exec_retire(exec);
		return;
	}
	for (size_t i = 0; i < exec->ncalls; i++)
		begun |= exec->calls[i]->begun;
	if (exec->retiring && !begun) { /* what was sent, but had no effect yet, goes elsewhere */
		sb_exec_kill(exec, NULL);
		return;
	}
	if (exec->ncalls == 0 && !exec->idle) {
		idle_add(exec);
		if (loop->starving_first != NULL)
			sb_room_left(loop);
	}
}

struct sb_call *sb_exec_running(const struct sb_exec *exec)
{
	return exec->nwork > 0 ? exec->work[exec->work_at] : NULL;
}

bool sb_exec_is_over(const struct sb_exec *exec)
{
	struct pollfd p = { exec->pidfd, POLLIN, 0 };

	return poll(&p, 1, 0) > 0;
}

uint64_t sb_exec_clock_us(const struct sb_exec *exec)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(exec->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void sb_exec_kill_cpu(struct sb_exec *exec, struct sb_call *call)
{
	call->cpu_us = (int64_t)call->turns_cpu_us;
	SB_COUNT(killed, 1);
	sb_exec_kill(exec, AR_E_SANDBOX_CPU);
}

void sb_exec_measure(struct sb_exec *exec, struct sb_call *call, int64_t now)
{
	uint64_t clock = sb_exec_clock_us(exec), used = 0;
	int64_t wall = AR_MAX(now - AR_MAX(exec->since_us, exec->measured_us), (int64_t)0);

	if (clock > exec->clock_us) {
		/* Pieces of work that were too short to measure are not this one's. */
		used = AR_MIN(clock - exec->clock_us, (uint64_t)wall);
		exec->clock_us = clock;
	}
	exec->measured_us = now;
	call->turns_cpu_us += used;
	sb_share_used(exec->tenant, used, wall);
}

bool sb_exec_account(struct sb_exec *exec, struct sb_call *call)
{
	int64_t now = sb_real_us(), ran = now - exec->since_us;

	call->turns_wall_us += (uint64_t)AR_MAX(ran, (int64_t)0);
	if (ran <
	    SB_SHORT_US) /* host calls are counted, too: they bound how many such turns come */
		return true;
	sb_exec_measure(exec, call, now);
	if (call->turns_cpu_us < (uint64_t)call->limits.cpu_hard_ms * 1000)
		return true;
	sb_exec_kill_cpu(exec, call);
	return false;
}

/* ---- sending ---- */

/* False when the socket is full; the rest waits. buf: as in executor.c, headers are put in place. */
static bool send_some(struct sb_exec *exec, struct ar_buf *buf, size_t *at, enum wire_type type,
		      uint32_t id)
{
	do {
		size_t n = AR_MIN(buf->n - *at, WIRE_PAYLOAD);
		struct wire_header h = { .type = (uint8_t)type,
					 .flags = *at + n < buf->n ? WIRE_MORE : 0,
					 .call = id };
		ssize_t r;

		memcpy(buf->p + *at - sizeof(h), &h, sizeof(h));
		do
			r = send(exec->fd, buf->p + *at - sizeof(h), n + sizeof(h),
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return errno != EAGAIN && errno != ENOBUFS; /* dead: its end will be read */
		*at += n;
	} while (*at < buf->n);
	return true;
}

static void send_rest(struct sb_exec *exec)
{
	while (exec->out != NULL) {
		struct sb_out *out = exec->out;

		if (!send_some(exec, &out->buf, &out->at, out->type, out->id))
			return;
		DL_DELETE(exec->out, out);
		ar_buf_done(&out->buf);
		ar_heap_free(out);
	}
	exec->watch_write = false;
	ar_fd_watch(exec->fd, AR_READ, sb_exec_ready, exec);
}

void sb_exec_writable(struct sb_exec *exec)
{
	if (exec->watch_write && !exec->dead)
		send_rest(exec);
}

static void send_frame(struct sb_exec *exec, enum wire_type type, uint32_t id, struct ar_buf *frame)
{
	size_t at = sizeof(struct wire_header);
	struct sb_out *out;

	if (exec->out == NULL && send_some(exec, frame, &at, type, id))
		return;
	out = ar_heap_new(struct sb_out);
	out->buf = *frame;
	memset(frame, 0, sizeof(*frame));
	out->at = at;
	out->type = type;
	out->id = id;
	DL_APPEND(exec->out, out);
	if (!exec->watch_write) {
		exec->watch_write = true;
		ar_fd_watch(exec->fd, AR_READ | AR_WRITE, sb_exec_ready, exec);
	}
}

void sb_exec_send(struct sb_exec *exec, struct sb_call *call, enum wire_type type,
		  struct ar_buf *frame)
{
	if (exec->nwork == 0)
		exec->since_us = sb_real_us();
	exec->work[(exec->work_at + exec->nwork) % SB_PLACES] = call;
	exec->nwork++;
	call->state = SB_SENT;
	send_frame(exec, type, call->id, frame);
}

/* ---- code slots ---- */

static void code_forget(struct sb_exec *exec, size_t slot)
{
	ar_heap_free((void *)(uintptr_t)exec->codes[slot].id.p);
	exec->code_bytes -= exec->codes[slot].bytes;
	memset(&exec->codes[slot], 0, sizeof(exec->codes[slot]));
}

static int code_find(struct sb_exec *exec, struct ar_str id)
{
	for (int i = 0; i < WIRE_CODE_SLOTS && id.n > 0; i++) {
		if (exec->codes[i].id.p != NULL && ar_str_eq(exec->codes[i].id, id))
			return i;
	}
	return -1;
}

/* The slot to use next: an empty one, or the one that was not used for longest. Slots of the call
 * that is being sent (used since `from`) are not taken. */
static size_t code_victim(struct sb_exec *exec, uint64_t from, bool full_only)
{
	size_t best = WIRE_CODE_SLOTS;

	for (size_t i = 0; i < WIRE_CODE_SLOTS; i++) {
		if (exec->codes[i].id.p == NULL) {
			if (!full_only)
				return i;
			continue;
		}
		if (exec->codes[i].used < from &&
		    (best == WIRE_CODE_SLOTS || exec->codes[i].used < exec->codes[best].used))
			best = i;
	}
	return best;
}

struct sending {
	uint64_t from; /* code_clock when this call began */
	uint16_t drops[WIRE_CODE_SLOTS];
	uint16_t ndrop;
	struct ar_buf *codes;
};

static void put_code(struct sb_exec *exec, struct sending *s, const struct ar_sandbox_code *code)
{
	struct wire_code head = { .name_len = (uint16_t)code->name.n, .source_len = WIRE_CACHED };
	int found = code_find(exec, code->id);

	if (found < 0) {
		size_t bytes = code->source.n + 256;
		size_t slot;

		while (exec->code_bytes + bytes > SB_CODE_BYTES) {
			slot = code_victim(exec, s->from, true);
			if (slot == WIRE_CODE_SLOTS)
				break;
			code_forget(exec, slot);
			s->drops[s->ndrop++] = (uint16_t)slot;
		}
		slot = code_victim(exec, s->from, false);
		code_forget(exec, slot);
		exec->codes[slot].id.p = ar_heap_strz(code->id);
		exec->codes[slot].id.n = code->id.n;
		exec->codes[slot].bytes = bytes;
		exec->code_bytes += bytes;
		head.source_len = (uint32_t)code->source.n;
		found = (int)slot;
	}
	exec->codes[found].used = ++exec->code_clock;
	head.slot = (uint16_t)found;
	ar_buf_add(s->codes, &head, sizeof(head));
	if (head.source_len != WIRE_CACHED) {
		ar_buf_str(s->codes, code->name);
		ar_buf_str(s->codes, code->source);
	}
}

void sb_exec_send_call(struct sb_exec *exec, struct sb_call *call)
{
	const struct ar_sandbox_run *run = call->run;
	const struct ar_sandbox_limits *l = &call->limits;
	struct ar_buf codes AR_CLEANUP(ar_buf_done) = { 0 };
	struct ar_buf *frame = &exec->loop->scratch;
	struct sending s = { .from = exec->code_clock + 1, .codes = &codes };
	struct wire_call head = { .seed = call->seed,
				  .now_ms = call->now_ms,
				  .cpu_soft_us = (uint64_t)l->cpu_soft_ms * 1000,
				  .memory = l->memory,
				  .output_max = l->output_max,
				  .log_max = l->log_max,
				  .host_calls = (uint32_t)l->host_calls,
				  .flags = call->check ? WIRE_CHECK_ONLY : 0,
				  .nmodules = (uint16_t)run->nmodules };

	ar_buf_init(&codes, (AR_SANDBOX_MODULES_MAX + 1) * (AR_SANDBOX_SOURCE_MAX + 512));
	put_code(exec, &s, &run->code);
	for (size_t i = 0; i < run->nmodules; i++)
		put_code(exec, &s, &run->modules[i]);
	head.ndrop = s.ndrop;
	sb_frame_begin(frame, (size_t)128 << 20);
	ar_buf_add(frame, &head, sizeof(head));
	ar_buf_add(frame, s.drops, s.ndrop * sizeof(s.drops[0]));
	ar_buf_str(frame, ar_buf_view(&codes));
	ar_buf_str(frame, ar_buf_view(&call->args));
	idle_remove(exec);
	exec->calls[exec->ncalls++] = call;
	exec->memory += l->memory;
	call->exec = exec;
	call->pid = exec->pid;
	SB_COUNT(running, 1);
	sb_exec_send(exec, call, WIRE_CALL, frame);
}
