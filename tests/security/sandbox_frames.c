/*
 * sandbox_frames.c - an executor that breaks the protocol, is silent, crashes, or burns: the native
 * faults of sandbox_faults.c that need no system call which the lock forbids.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/security/sandbox_faults.h"

static void packet(int type, int flags, uint32_t id, const void *p, size_t n)
{
	static char room[200000];
	struct wire_header h = { .type = (uint8_t)type, .flags = (uint8_t)flags, .call = id };

	memcpy(room, &h, sizeof(h));
	if (n > 0)
		memcpy(room + sizeof(h), p, n);
	if (write(EXECUTOR_FD, room, n + sizeof(h)) < 0)
		_exit(0);
}

static uint32_t my_id(void)
{
	return sb_current->id;
}

/* A HOST frame "a.b" with the given bytes as its input. */
static void host(const void *value, size_t n)
{
	char room[4096];
	uint16_t len = 3;

	memcpy(room, &len, 2);
	memcpy(room + 2, "a.b", 3);
	memcpy(room + 5, value, n);
	packet(WIRE_HOST, 0, my_id(), room, n + 5);
}

static void done(uint32_t id, int status, const void *value, size_t n)
{
	char room[4096] = { 0 };
	struct wire_done d = { .status = (uint8_t)status };

	memcpy(room, &d, sizeof(d));
	memcpy(room + sizeof(d), value, n);
	packet(WIRE_DONE, 0, id, room, sizeof(d) + n);
}

static void wait_forever(void)
{
	char c[16];

	while (read(EXECUTOR_FD, c, sizeof(c)) > 0)
		;
	_exit(0);
}

static void f_short(void)
{
	if (write(EXECUTOR_FD, "abc", 3) < 0)
		_exit(0);
	wait_forever();
}

static void f_empty_frame(void)
{
	packet(WIRE_DONE, 0, my_id(), "", 0);
	wait_forever();
}

static void f_huge_packet(void)
{
	static char zero[150000];

	packet(WIRE_LOG, 0, my_id(), zero, sizeof(zero));
	wait_forever();
}

static void f_unknown_type(void)
{
	packet(77, 0, my_id(), "x", 1);
	wait_forever();
}

static void f_bad_flags(void)
{
	packet(WIRE_DONE, 0x80, my_id(), "x", 1);
	wait_forever();
}

static void f_endless_frame(void)
{
	static char zero[60000];

	for (;;)
		packet(WIRE_DONE, WIRE_MORE, my_id(), zero, sizeof(zero));
}

static void f_endless_nothing(void)
{
	for (;;)
		packet(WIRE_DONE, WIRE_MORE, my_id(), "", 0);
}

static void f_mixed_frames(void)
{
	packet(WIRE_DONE, WIRE_MORE, my_id(), "x", 1);
	packet(WIRE_HOST, 0, my_id(), "x", 1);
	wait_forever();
}

static void f_value_past_end(void)
{
	unsigned char v[] = { WIRE_STRING, 0xff, 0xff, 0xff, 0x7f };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_array_past_end(void)
{
	unsigned char v[] = { WIRE_ARRAY, 0xff, 0xff, 0xff, 0xff, WIRE_NULL };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_value_deep(void)
{
	unsigned char v[5 * 200 + 1];

	for (size_t i = 0; i < 200; i++)
		memcpy(v + 5 * i, (unsigned char[]){ WIRE_ARRAY, 1, 0, 0, 0 }, 5);
	v[1000] = WIRE_NULL;
	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_bad_utf8(void)
{
	unsigned char v[] = { WIRE_SHORT | 2, 0xc0, 0x80 };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_zero_byte(void)
{
	unsigned char v[] = { WIRE_SHORT | 3, 'a', 0, 'b' };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_not_a_number(void)
{
	unsigned char v[9] = { WIRE_FLOAT };
	double nan = __builtin_nan("");

	memcpy(v + 1, &nan, 8);
	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_duplicate_keys(void)
{
	unsigned char v[] = { WIRE_OBJECT,    2,   0,         0, 0, WIRE_SHORT | 1, 'a', WIRE_TRUE,
			      WIRE_SHORT | 1, 'a', WIRE_FALSE };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_trailing_bytes(void)
{
	unsigned char v[] = { WIRE_NULL, WIRE_NULL };

	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_bad_status(void)
{
	done(my_id(), 99, "", 0);
	wait_forever();
}

static void f_cancelled_by_itself(void)
{
	done(my_id(), WIRE_CANCELLED, "", 0);
	wait_forever();
}

static void f_logs_past_end(void)
{
	char room[sizeof(struct wire_done)];
	struct wire_done d = { .status = WIRE_OK, .logs_len = 1 << 30 };

	memcpy(room, &d, sizeof(d));
	packet(WIRE_DONE, 0, my_id(), room, sizeof(room));
	wait_forever();
}

static void f_bad_log(void)
{
	unsigned char log[] = { 200, 1, 0, 0, 0, 'x' }, v[] = { WIRE_NULL };

	packet(WIRE_LOG, 0, my_id(), log, sizeof(log));
	done(my_id(), WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_log_flood(void)
{
	unsigned char log[] = { AR_INFO, 1, 0, 0, 0, 'x' };

	for (;;)
		packet(WIRE_LOG, 0, my_id(), log, sizeof(log));
}

static void f_log_flood_of_nothing(void)
{
	for (;;)
		packet(WIRE_LOG, 0, my_id(), "", 0);
}

static void f_host_bad_name(void)
{
	uint16_t len = 60000;

	packet(WIRE_HOST, 0, my_id(), &len, 2);
	wait_forever();
}

static void f_host_bad_value(void)
{
	host("\xff\xff", 2);
	wait_forever();
}

static void f_host_flood(void)
{
	for (;;)
		host((unsigned char[]){ WIRE_OBJECT, 0, 0, 0, 0 }, 5);
}

static void f_supervisor_frame(void)
{
	packet(WIRE_CALL, 0, my_id(), "x", 1);
	wait_forever();
}

/* A fine answer, then more of it. */
static void f_answer_twice(void)
{
	unsigned char one[] = { WIRE_SMALL_INT | 1 }, two[] = { WIRE_SMALL_INT | 2 };

	done(my_id(), WIRE_OK, one, sizeof(one));
	done(my_id(), WIRE_OK, two, sizeof(two));
	wait_forever();
}

static void f_answer_old_id(void)
{
	unsigned char v[] = { WIRE_SMALL_INT | 2 };

	done(my_id() - 1, WIRE_OK, v, sizeof(v));
	wait_forever();
}

static void f_answer_ids_around(void)
{
	unsigned char v[] = { WIRE_SMALL_INT | 2 };

	for (uint32_t i = 1; i < 50; i++)
		done(my_id() + i, WIRE_OK, v, sizeof(v));
	wait_forever();
}

/* An idle process that does not answer, and does not use the CPU. */
static void f_silence(void)
{
	wait_forever();
}

static void f_crash(void)
{
	static volatile uintptr_t nowhere = 8;

	*(volatile int *)nowhere = 1;
}

static void f_spin(void)
{
	for (volatile uint64_t i = 0;; i++)
		;
}

/* Answers, and then has a life of its own. */
static void f_answer_then_spin(void)
{
	unsigned char one[] = { WIRE_SMALL_INT | 1 };

	done(my_id(), WIRE_OK, one, sizeof(one));
	f_spin();
}

/* Burns the CPU in many turns, each of them short. */
static void f_burn_in_turns(void)
{
	char answer[4096];

	for (;;) {
		uint64_t until = sb_wall_us() + 15000;

		while (sb_wall_us() < until)
			;
		host((unsigned char[]){ WIRE_OBJECT, 0, 0, 0, 0 }, 5);
		if (read(EXECUTOR_FD, answer, sizeof(answer)) <= 0)
			_exit(0);
	}
}

/* Maps until it is refused. Nothing is touched: that would be a matter of the CPU limit first. */
static void f_eat_memory(void)
{
	while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED)
		;
	_exit(0);
}

const struct fault fault_frames[] = {
	{ "short", f_short },
	{ "empty_frame", f_empty_frame },
	{ "huge_packet", f_huge_packet },
	{ "unknown_type", f_unknown_type },
	{ "bad_flags", f_bad_flags },
	{ "endless_frame", f_endless_frame },
	{ "endless_nothing", f_endless_nothing },
	{ "mixed_frames", f_mixed_frames },
	{ "value_past_end", f_value_past_end },
	{ "array_past_end", f_array_past_end },
	{ "value_deep", f_value_deep },
	{ "bad_utf8", f_bad_utf8 },
	{ "zero_byte", f_zero_byte },
	{ "not_a_number", f_not_a_number },
	{ "duplicate_keys", f_duplicate_keys },
	{ "trailing_bytes", f_trailing_bytes },
	{ "bad_status", f_bad_status },
	{ "cancelled_by_itself", f_cancelled_by_itself },
	{ "logs_past_end", f_logs_past_end },
	{ "bad_log", f_bad_log },
	{ "log_flood", f_log_flood },
	{ "log_flood_of_nothing", f_log_flood_of_nothing },
	{ "host_bad_name", f_host_bad_name },
	{ "host_bad_value", f_host_bad_value },
	{ "host_flood", f_host_flood },
	{ "supervisor_frame", f_supervisor_frame },
	{ "answer_twice", f_answer_twice },
	{ "answer_old_id", f_answer_old_id },
	{ "answer_ids_around", f_answer_ids_around },
	{ "silence", f_silence },
	{ "crash", f_crash },
	{ "spin", f_spin },
	{ "answer_then_spin", f_answer_then_spin },
	{ "burn_in_turns", f_burn_in_turns },
	{ "eat_memory", f_eat_memory },
	{ NULL, NULL },
};

/* A host call of that name, for the call whose number is so far from this one's. */
int fault_forge(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	uint32_t id = my_id() + (uint32_t)luaL_optinteger(L, 2, 0);
	char room[512];
	uint16_t len = (uint16_t)n;

	luaL_argcheck(L, n < 400, 1, "too long");
	memcpy(room, &len, 2);
	memcpy(room + 2, s, n);
	memcpy(room + 2 + n, (unsigned char[]){ WIRE_OBJECT, 0, 0, 0, 0 }, 5);
	packet(WIRE_HOST, 0, id, room, n + 7);
	wait_forever();
	return 0;
}
