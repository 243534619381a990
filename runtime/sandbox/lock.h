/*
 * lock.h - what takes a process's rights away. Only in the zygote and its children.
 */
#ifndef AR_SANDBOX_LOCK_H
#define AR_SANDBOX_LOCK_H

#include <stdbool.h>

/* Once, in the zygote: own namespaces where allowed, an empty root, no user, no environment. What
 * is not allowed is left out; seccomp does not depend on it. Returns a text that names what held. */
const char *sb_lock_zygote(void);
/*
 * In a new executor: rlimits, no new privileges, not dumpable, dies with its parent, only
 * EXECUTOR_FD open, the interval timer, then the seccomp filter. -1: something was refused, and the
 * process must end.
 */
int sb_lock_executor(void);

#endif
