/*
 * sandbox_poor.c - a system that gives little: no namespaces, no chroot, no change of user, none of
 * the newer calls. What must hold, holds: executors serve, and the filter kills.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/security/sandbox_rig.h"

#define REFUSE(nr, code)                                                                           \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))

static int begin(void **state)
{
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_unshare, EPERM),
		REFUSE(SYS_chroot, EPERM),
		REFUSE(SYS_setresuid, EPERM),
		REFUSE(SYS_setresgid, EPERM),
		REFUSE(SYS_setgroups, EPERM),
		REFUSE(SYS_capset, EPERM),
		REFUSE(SYS_sched_setscheduler, EPERM),
		REFUSE(SYS_sched_setattr, ENOSYS),
		REFUSE(SYS_clone3, ENOSYS),
		REFUSE(SYS_close_range, ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { AR_COUNT(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
		return -1;
	assert_true(syscall(SYS_close_range, 1000, 1000, 0) < 0 && errno == ENOSYS);
	return start(state);
}

static void it_serves(void **state)
{
	(void)state;
	expect_true("return apprun.a.b() == 1");
}

static void it_is_locked(void **state)
{
	static const char *const calls[] = { "fopen",    "fork",   "clone3",         "execve",
					     "ptrace",   "socket", "read_elsewhere", "mmap_exec",
					     "io_uring", "kill" };

	(void)state;
	for (size_t i = 0; i < AR_COUNT(calls); i++) {
		struct rig_call c;
		char body[64];

		snprintf(body, sizeof(body), "return fault('%s')", calls[i]);
		logged();
		attack_prepare(&c, &(struct attack){ 0 }, body);
		rig_run(attacked, &c);
		if (strcmp(c.slug, "sandbox/killed") != 0 || strstr(logged(), "signal 31") == NULL)
			fail_msg("%s: %s %s", calls[i], rig_output(&c), c.slug);
		rig_free(&c);
	}
}

/* An executor has its one socket, and nothing of this process, of the zygote or of another tenant. */
static void it_has_no_descriptors(void **state)
{
	static const char *const tenants[] = { "one", "two", "three" };
	char pids[4096], *save = NULL;
	int seen = 0;

	(void)state;
	for (size_t i = 0; i < AR_COUNT(tenants); i++) {
		struct rig_call c;

		attack_prepare(&c, &(struct attack){ 0 }, "return true");
		c.run.tenant = ar_str(tenants[i]);
		rig_call(&c);
		assert_int_equal(c.r, 0);
		rig_free(&c);
	}
	children_of(rig_zygote(), pids, sizeof(pids));
	for (char *p = strtok_r(pids, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save)) {
		struct dirent *entry;
		char path[64];
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%s/fd", p);
		dir = opendir(path);
		if (dir == NULL) /* to look is root's */
			continue;
		while ((entry = readdir(dir)) != NULL) {
			if (entry->d_name[0] != '.' && strcmp(entry->d_name, "3") != 0 &&
			    (!SANITIZED || strcmp(entry->d_name, "2") != 0))
				fail_msg("an executor has descriptor %s", entry->d_name);
		}
		closedir(dir);
		seen++;
	}
	if (geteuid() == 0)
		assert_in_range(seen, 3, 10);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_serves),
		cmocka_unit_test(it_is_locked),
		cmocka_unit_test(it_has_no_descriptors),
	};

	ar_sandbox_main(argc, argv);
	return cmocka_run_group_tests(tests, begin, end);
}
