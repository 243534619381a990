/*
 * lock.c - namespaces, rlimits and the seccomp allow-list.
 *
 * The filter kills the process for anything that is not on the list: memory that is anonymous and
 * not executable, the one socket, the clock, the end. Sanitizer builds keep standard error for their
 * reports and get the few more calls that these need; such a build is never shipped.
 */
#include "sandbox/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "sandbox/executor.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

extern char **environ;

enum { NOBODY = 65534, STACK_SIZE = 16 << 20, CPU_LIFE_S = 120 };
#define MEMORY_BEYOND ((rlim_t)640 << 20) /* what an executor may map after the fork */

/* ---- the zygote ---- */

/* Secrets come in environments and arguments: nothing of them stays in a process that runs tenants'
 * code. The arguments lie in one row, from the program's name to the first of the environment. */
static void wipe_environment(void)
{
	char *name = program_invocation_name, *first = environ[0];

	for (char **e = environ; *e != NULL; e++)
		memset(*e, 0, strlen(*e));
	environ[0] = NULL;
	if (first != NULL && name < first && first - name < 4 << 20)
		memset(name + strlen(name), 0, (size_t)(first - name) - strlen(name));
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static bool new_namespaces(void)
{
	const int kinds =
		CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP;
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(kinds) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | kinds) != 0)
		return false;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", map);
	return true;
}

static bool empty_root(void)
{
	char path[] = "/tmp/apprun-empty-XXXXXX";
	int fd;
	bool ok;

	if (mkdtemp(path) == NULL)
		return false;
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	rmdir(path);
	ok = fd >= 0 && fchdir(fd) == 0 && chroot(".") == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool drop_user(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	bool ok = true;

	if (geteuid() == 0)
		ok = setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
		     setresuid(NOBODY, NOBODY, NOBODY) == 0;
	return syscall(SYS_capset, &head, none) == 0 && ok;
}

const char *sb_lock_zygote(void)
{
	static char held[64];
	bool spaces, root, user;

	wipe_environment();
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a huge page for each executor is 2 MiB lost */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	write_file("/proc/self/oom_score_adj", "300");
	spaces = new_namespaces();
	root = empty_root();
	user = drop_user();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	snprintf(held, sizeof(held), "%s%s%s", spaces ? "namespaces " : "", root ? "root " : "",
		 user ? "user " : "");
	return held;
}

/* ---- the filter ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "name this machine's audit architecture here"
#endif

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(i)  LOAD(args[i]) /* its lower half: both machines are little-endian */
#define GIVE(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define KILL         GIVE(SECCOMP_RET_KILL_PROCESS)
#define ALLOW        GIVE(SECCOMP_RET_ALLOW)
/* If the number is nr, allow; else go on. */
#define PASS(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), ALLOW
/* If the number is nr, allow when arg i is v and kill when not; else go on. */
#define PASS_ARG(nr, i, v)                                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 4), LOAD_ARG(i),                              \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, 1), ALLOW, KILL
/* mmap: anonymous, private, neither executable nor at a place of the caller's choice. */
#define PASS_MMAP                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 7), LOAD_ARG(2),                          \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, ~(unsigned)(PROT_READ | PROT_WRITE), 4, 0),   \
		LOAD_ARG(3),                                                                       \
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K,                                                \
			 ~(unsigned)(MAP_NORESERVE | MAP_FIXED * SANITIZED)),                      \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_PRIVATE | MAP_ANONYMOUS, 0, 1), ALLOW,     \
		KILL

static const struct sock_filter filter[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
	KILL,
	LOAD(nr),
	PASS_ARG(SYS_read, 0, EXECUTOR_FD),
#if SANITIZED
	PASS(SYS_write),
#else
	PASS_ARG(SYS_write, 0, EXECUTOR_FD),
#endif
	PASS(SYS_clock_gettime),
	PASS(SYS_rt_sigreturn),
	PASS_MMAP,
	PASS(SYS_munmap),
	PASS(SYS_brk),
	PASS(SYS_mremap),
	PASS(SYS_madvise),
	PASS(SYS_exit_group),
	PASS(SYS_restart_syscall),
#if defined(__x86_64__)
	PASS(SYS_time), /* where the vDSO cannot tell the time by itself */
#endif
#if SANITIZED
	PASS(SYS_sigaltstack),
#endif
#if defined(__SANITIZE_THREAD__) /* looks at the signal mask */
	PASS(SYS_rt_sigprocmask),
#endif
	KILL,
};

/* ---- the executor ---- */

static bool limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit r = { soft, hard };

	return setrlimit(what, &r) == 0;
}

static rlim_t mapped_bytes(void)
{
	/* The zygote noted it: /proc is out of reach here. */
	return (rlim_t)sb_executor.mapped;
}

static bool set_limits(void)
{
	struct rlimit stack;

	if (getrlimit(RLIMIT_STACK, &stack) != 0)
		return false;
	stack.rlim_cur = AR_MIN((rlim_t)STACK_SIZE, stack.rlim_max);
	/* A descriptor that is open stays so; no new one can be made. */
	return setrlimit(RLIMIT_STACK, &stack) == 0 && limit(RLIMIT_NOFILE, 0, 0) &&
	       limit(RLIMIT_NPROC, 0, 0) && limit(RLIMIT_FSIZE, 0, 0) && limit(RLIMIT_CORE, 0, 0) &&
	       limit(RLIMIT_MEMLOCK, 0, 0) && limit(RLIMIT_MSGQUEUE, 0, 0) &&
	       limit(RLIMIT_CPU, CPU_LIFE_S, CPU_LIFE_S) &&
	       (SANITIZED ||
		limit(RLIMIT_AS, mapped_bytes() + MEMORY_BEYOND, mapped_bytes() + MEMORY_BEYOND));
}

static bool start_ticks(void)
{
	struct sigaction act = { .sa_handler = sb_tick, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, TICK_US }, { 0, TICK_US } };

	return sigaction(SIGPROF, &act, NULL) == 0 && setitimer(ITIMER_PROF, &every, NULL) == 0;
}

int sb_lock_executor(void)
{
	struct sock_fprog program = { AR_COUNT(filter), (struct sock_filter *)(uintptr_t)filter };

	if (!set_limits() || !start_ticks())
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
