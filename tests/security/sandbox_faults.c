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

#include "tests/security/sandbox_faults.h"

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

const struct fault fault_calls[] = {
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
	{ NULL, NULL },
};

/* ---- for Lua ---- */

static bool run_one(const struct fault *faults, const char *name)
{
	for (; faults->name != NULL; faults++) {
		if (strcmp(faults->name, name) == 0) {
			faults->fn();
			return true;
		}
	}
	return false;
}

static int fault(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	if (!run_one(fault_calls, name) && !run_one(fault_frames, name))
		return luaL_error(L, "no such fault");
	lua_pushliteral(L, "survived");
	return 1;
}

void sb_open_faults(lua_State *L)
{
	lua_pushcfunction(L, fault);
	lua_setglobal(L, "fault");
	lua_pushcfunction(L, fault_forge);
	lua_setglobal(L, "fault_forge");
}
