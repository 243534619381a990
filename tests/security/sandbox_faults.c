/*
 * sandbox_faults.c - an executor that misbehaves natively, as if an exploit had taken it over.
 *
 * Linked into the attack test's executors only: Lua gets a function fault(name, ...), which does the
 * named thing from C, inside the lock. What should have killed the process and did not is reported
 * as the string "survived".
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sandbox/executor.h"

/* ---- system calls ---- */

static void do_fopen(void)
{
	fopen("/etc/passwd", "r");
}

static void do_open_write(void)
{
	open("/tmp/apprun-evil", O_CREAT | O_WRONLY, 0600);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void do_clone3(void)
{
	uint64_t args[8] = { 0 };

	syscall(SYS_clone3, args, sizeof(args));
}

static void do_execve(void)
{
	char *const argv[] = { NULL };

	execve("/bin/sh", argv, argv);
}

static void do_ptrace(void)
{
	ptrace(PTRACE_ATTACH, getpid(), NULL, NULL);
}

static void do_attach_parent(void)
{
	syscall(SYS_ptrace, PTRACE_SEIZE, 1, 0, 0);
}

static void do_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };

	connect(EXECUTOR_FD, (struct sockaddr *)&a, sizeof(a));
}

static void do_sendmsg(void)
{
	struct msghdr m = { 0 };

	sendmsg(EXECUTOR_FD, &m, 0);
}

static void do_io_uring(void)
{
	char params[256] = { 0 };

	syscall(425, 8, params);
}

static void do_userfaultfd(void)
{
	syscall(SYS_userfaultfd, 0);
}

static void do_bpf(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static void do_mmap_exec(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_mmap_shared(void)
{
	mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void do_mprotect_exec(void)
{
	mprotect((void *)((uintptr_t)sb_executor.calls & ~(uintptr_t)4095), 4096,
		 PROT_READ | PROT_EXEC);
}

static void do_kill(void)
{
	kill(getppid(), SIGKILL);
}

static void do_tgkill(void)
{
	syscall(SYS_tgkill, 1, 1, SIGKILL);
}

static void do_prlimit(void)
{
	struct rlimit r = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_AS, &r);
}

static void do_prctl(void)
{
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void do_vm_read(void)
{
	char c;
	struct iovec local = { &c, 1 }, remote = { (void *)(uintptr_t)4096, 1 };

	process_vm_readv(1, &local, 1, &remote, 1, 0);
}

static void do_read_elsewhere(void)
{
	char c;

	syscall(SYS_read, 0, &c, 1);
}

static void do_32_bit(void)
{
#if defined(__x86_64__)
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid */
#else
	syscall(SYS_getpid);
#endif
}

static void do_x32(void)
{
	syscall(0x40000000 + SYS_getpid);
}

/* ---- frames ---- */

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

static const struct {
	const char *name;
	void (*fn)(void);
} faults[] = {
	{ "fopen", do_fopen },
	{ "open_write", do_open_write },
	{ "fork", do_fork },
	{ "clone3", do_clone3 },
	{ "execve", do_execve },
	{ "ptrace", do_ptrace },
	{ "attach_parent", do_attach_parent },
	{ "socket", do_socket },
	{ "connect", do_connect },
	{ "sendmsg", do_sendmsg },
	{ "io_uring", do_io_uring },
	{ "userfaultfd", do_userfaultfd },
	{ "bpf", do_bpf },
	{ "mmap_exec", do_mmap_exec },
	{ "mmap_shared", do_mmap_shared },
	{ "mprotect_exec", do_mprotect_exec },
	{ "kill", do_kill },
	{ "tgkill", do_tgkill },
	{ "prlimit", do_prlimit },
	{ "prctl", do_prctl },
	{ "vm_read", do_vm_read },
	{ "read_elsewhere", do_read_elsewhere },
	{ "32_bit", do_32_bit },
	{ "x32", do_x32 },
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
};

/* A host call of that name, for the call whose number is so far from this one's. */
static int fault_forge(lua_State *L)
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

static int fault(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	for (size_t i = 0; i < AR_COUNT(faults); i++) {
		if (strcmp(faults[i].name, name) == 0) {
			faults[i].fn();
			lua_pushliteral(L, "survived");
			return 1;
		}
	}
	return luaL_error(L, "no such fault");
}

void sb_open_faults(lua_State *L)
{
	lua_pushcfunction(L, fault);
	lua_setglobal(L, "fault");
	lua_pushcfunction(L, fault_forge);
	lua_setglobal(L, "fault_forge");
}
