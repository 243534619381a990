/*
 * executor.c - an executor's life: read work, give it a turn, say how it went.
 *
 * Work is done strictly in the order in which it was sent; each piece ends with one HOST or DONE
 * frame. The loop trusts the supervisor for form, but checks lengths all the same. The interval
 * timer ticks only while this process burns CPU; its handler puts the stop hook on the coroutine
 * that runs, again at each tick until the call has ended.
 */
#include "sandbox/executor.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

struct executor sb_executor;
struct call *volatile sb_current;

enum { FIRST_PLACE_SIZE = 256 << 20, PLACE_SIZE = 32 << 20 };

/* ---- the soft limit ---- */

uint64_t sb_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t sb_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void stop_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	sb_poll(L);
}

void sb_tick(int signal)
{
	struct call *call = sb_current;
	int saved = errno;
	uint64_t cpu;

	(void)signal;
	if (call == NULL)
		return;
	cpu = sb_cpu_us();
	if (!call->ticked) { /* how much of the tick was this turn's? */
		call->turn_cpu_us =
			cpu - AR_MIN(sb_wall_us() - call->turn_wall_us, (uint64_t)TICK_US);
		call->ticked = true;
	}
	if (call->stop == STOP_NONE &&
	    call->cpu_us + (cpu - call->turn_cpu_us) >= call->head.cpu_soft_us)
		call->stop = STOP_CPU;
	if (call->stop != STOP_NONE)
		lua_sethook(call->running, stop_hook,
			    LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
	errno = saved;
}

/* ---- places ---- */

bool sb_place_ready(struct call *call, size_t memory)
{
	if (call->arena.base != NULL && call->arena.mapped < memory) {
		sb_arena_unmap(&call->arena);
		ar_heap_free(call->pristine.bytes);
		call->pristine.bytes = NULL;
	}
	if (call->arena.base == NULL &&
	    sb_arena_map(&call->arena, AR_MAX(memory, (size_t)PLACE_SIZE)) != 0)
		return false;
	if (call->dirty)
		sb_arena_trim(&call->arena);
	call->dirty = true;
	if (call->pristine.bytes == NULL) {
		sb_arena_begin(&call->arena, call->arena.mapped);
		if (sb_lua_pristine(call) == NULL || !sb_arena_save(&call->arena, &call->pristine))
			return false;
	}
	sb_arena_restore(&call->arena, &call->pristine, memory);
	return true;
}

/* Room for another place's arena: the mappings of those that are idle. */
static void places_release(void)
{
	for (size_t i = 1; i < EXECUTOR_PLACES; i++) {
		struct call *call = &sb_executor.calls[i];

		if (call->state != CALL_FREE || call->arena.base == NULL)
			continue;
		sb_arena_unmap(&call->arena);
		ar_heap_free(call->pristine.bytes);
		call->pristine.bytes = NULL;
		call->dirty = false;
	}
}

static struct call *place_find(uint32_t id)
{
	for (size_t i = 0; i < EXECUTOR_PLACES; i++) {
		struct call *call = &sb_executor.calls[i];

		if (call->state == CALL_WAITING && call->id == id)
			return call;
	}
	return NULL;
}

static struct call *place_free(void)
{
	for (size_t i = 0; i < EXECUTOR_PLACES; i++) {
		if (sb_executor.calls[i].state == CALL_FREE)
			return &sb_executor.calls[i];
	}
	return NULL;
}

void sb_executor_prepare(void)
{
	struct call *call = &sb_executor.calls[0];
	char here;

	sb_executor.stack = &here;
	if (sb_arena_map(&call->arena, FIRST_PLACE_SIZE) != 0 || !sb_place_ready(call, PLACE_SIZE))
		_exit(70);
	ar_buf_init(&sb_executor.in, WIRE_FRAME_MAX);
	ar_buf_init(&sb_executor.out, WIRE_FRAME_MAX);
}

/* ---- sending ---- */

static void send_all(const void *p, size_t n)
{
	for (;;) {
		ssize_t r = write(EXECUTOR_FD, p, n);

		if (r == (ssize_t)n)
			return;
		if (r < 0 && errno == EINTR)
			continue;
		_exit(0); /* the supervisor is gone */
	}
}

/* buf begins with room for one header; that of a later packet overwrites what was sent before it. */
static void send_frame(enum wire_type type, uint32_t id, struct ar_buf *buf)
{
	size_t at = sizeof(struct wire_header);

	do {
		size_t n = AR_MIN(buf->n - at, WIRE_PAYLOAD);
		struct wire_header h = { .type = (uint8_t)type,
					 .flags = at + n < buf->n ? WIRE_MORE : 0,
					 .call = id };

		memcpy(buf->p + at - sizeof(h), &h, sizeof(h));
		send_all(buf->p + at - sizeof(h), n + sizeof(h));
		at += n;
	} while (at < buf->n);
}

static void begin_frame(struct ar_buf *buf)
{
	buf->n = 0;
	buf->over = false;
	ar_buf_room(buf, sizeof(struct wire_header));
	buf->n = sizeof(struct wire_header);
}

void sb_send_log(struct call *call)
{
	struct ar_buf *out = &sb_executor.out;

	if (call->log.n == 0)
		return;
	begin_frame(out);
	ar_buf_str(out, ar_buf_view(&call->log));
	call->log.n = 0;
	send_frame(WIRE_LOG, call->id, out);
}

static void send_done(struct call *call, struct wire_done *done, int status)
{
	struct ar_buf *out = &sb_executor.out;
	size_t at = sizeof(struct wire_header);

	begin_frame(out);
	ar_buf_add(out, done, sizeof(*done));
	ar_buf_str(out, ar_buf_view(&call->log));
	done->logs_len = (uint32_t)call->log.n;
	if (status >= 0)
		sb_lua_done(call, status, done, out);
	memcpy(out->p + at, done, sizeof(*done));
	send_frame(WIRE_DONE, call->id, out);
	call->state = CALL_FREE;
	ar_buf_done(&call->out);
	ar_buf_done(&call->log);
}

static void send_status(struct call *call, enum wire_status status)
{
	struct wire_done done = { .status = (uint8_t)status,
				  .cpu_us = call->cpu_us,
				  .memory_peak = call->arena.peak,
				  .host_calls = call->host_calls };

	send_done(call, &done, -1);
}

/* ---- work ---- */

static void give_turn(struct call *call)
{
	struct wire_done done = { 0 };
	int status;

	call->state = CALL_RUNNING;
	status = sb_lua_turn(call);
	if (status != LUA_YIELD) {
		send_done(call, &done, status);
		return;
	}
	call->state = CALL_WAITING;
	sb_send_log(call);
	send_frame(WIRE_HOST, call->id, &call->out);
	ar_buf_done(&call->out);
}

static void code_drop(struct code *code)
{
	ar_heap_free(code->name);
	ar_heap_free(code->text);
	memset(code, 0, sizeof(*code));
}

/* Reads one source, or the slot that has it. */
static uint16_t read_code(struct wire_reader *r)
{
	struct wire_code head;
	struct ar_str name, source;
	struct code *code;

	sb_read(r, &head, sizeof(head));
	if (r->bad || head.slot >= WIRE_CODE_SLOTS)
		_exit(71);
	code = &sb_executor.codes[head.slot];
	if (head.source_len == WIRE_CACHED) {
		if (code->text == NULL)
			_exit(71);
		return head.slot;
	}
	name = sb_read_str(r, head.name_len);
	source = sb_read_str(r, head.source_len);
	if (r->bad)
		_exit(71);
	code_drop(code);
	code->name = ar_heap_alloc(name.n + 2);
	code->name[0] = '='; /* Lua then takes the rest as the name, as it is */
	memcpy(code->name + 1, name.p, name.n);
	code->text = ar_heap_alloc(source.n + 1);
	if (source.n > 0)
		memcpy(code->text, source.p, source.n);
	code->n = source.n;
	return head.slot;
}

static void work_call(uint32_t id, struct wire_reader *r)
{
	struct call *call = place_free();

	if (call == NULL)
		_exit(71);
	call->id = id;
	sb_read(r, &call->head, sizeof(call->head));
	for (unsigned i = 0; i < call->head.ndrop; i++) {
		uint16_t slot;

		sb_read(r, &slot, sizeof(slot));
		code_drop(&sb_executor.codes[slot % WIRE_CODE_SLOTS]);
	}
	if (call->head.nmodules > AR_COUNT(call->modules))
		_exit(71);
	call->code = read_code(r);
	for (unsigned i = 0; i < call->head.nmodules; i++)
		call->modules[i] = read_code(r);
	call->args = *r;
	if (!sb_place_ready(call, call->head.memory)) {
		places_release();
		if (!sb_place_ready(call, call->head.memory)) {
			ar_buf_init(&call->log, 0);
			send_status(call, WIRE_MEMORY);
			return;
		}
	}
	sb_lua_begin(call);
	give_turn(call);
}

static void work_done(enum wire_type type, uint32_t id, struct wire_reader *r)
{
	struct call *call;
	uint8_t ok;

	if (type == WIRE_CALL) {
		work_call(id, r);
		return;
	}
	call = place_find(id);
	if (call == NULL)
		_exit(71);
	if (type == WIRE_CANCEL) {
		send_status(call, WIRE_CANCELLED);
		return;
	}
	sb_read(r, &ok, sizeof(ok));
	call->answer_ok = ok != 0;
	call->answer = *r;
	give_turn(call);
}

void sb_executor_serve(void)
{
	static char packet[WIRE_PACKET];
	struct executor *x = &sb_executor;

	for (;;) {
		struct wire_header h;
		struct wire_reader r;
		ssize_t n = read(EXECUTOR_FD, packet, sizeof(packet));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(h))
			return;
		memcpy(&h, packet, sizeof(h));
		r.p = (unsigned char *)packet + sizeof(h);
		r.end = (unsigned char *)packet + n;
		r.bad = false;
		if (x->in.n > 0 || (h.flags & WIRE_MORE)) {
			if (ar_buf_add(&x->in, r.p, (size_t)(r.end - r.p)) != 0)
				return;
			if (h.flags & WIRE_MORE)
				continue;
			r.p = (unsigned char *)x->in.p;
			r.end = r.p + x->in.n;
		}
		work_done(h.type, h.call, &r);
		if (x->in.cap > WIRE_PACKET)
			ar_buf_done(&x->in);
		else
			x->in.n = 0;
	}
}
