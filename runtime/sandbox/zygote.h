/*
 * zygote.h - the process that executors are forked from, and how it is asked.
 *
 * The main control socket carries new loops' sockets to it (struct zygote_ask with ZYGOTE_LOOP and
 * a descriptor). A loop's socket carries ZYGOTE_SPAWN; the answer is struct zygote_told with two
 * descriptors: the supervisor's end of the new executor's socket, and its pidfd.
 */
#ifndef AR_SANDBOX_ZYGOTE_H
#define AR_SANDBOX_ZYGOTE_H

#include <stdint.h>
#include <sys/types.h>

enum zygote_what {
	ZYGOTE_LOOP = 1,
	ZYGOTE_SPAWN,
	ZYGOTE_SPAWN_BEHIND, /* one that runs on what CPU is left */
	ZYGOTE_PROBE,        /* one that opens a file */
	ZYGOTE_PLACE, /* an executor, by its pid in `token`, is to be of `policy`; no answer */
};

struct zygote_ask {
	uint32_t what, token;
	int32_t policy; /* SCHED_... */
};
struct zygote_told {
	uint32_t token;
	int32_t error; /* errno; 0: descriptors come along */
	int32_t pid;
	int32_t behind;
};

/* What the program is called when it is executed to be a zygote, and where its socket is then. */
#define ZYGOTE_NAME "apprun-sandbox"
enum { ZYGOTE_CONTROL = 3, ZYGOTE_LOOPS_MAX = 256 };

/* Ends with the supervisor. */
_Noreturn void sb_zygote_main(void);

/* Executor `pid` (0: this one) is scheduled like that from now on: SCHED_... 0, or -1. */
int sb_place(pid_t pid, int policy);

/* SCM_RIGHTS in one message, on either side. Return bytes, or -1 with errno. */
ssize_t sb_send_fds(int socket, const void *p, size_t n, const int *fds, size_t nfds);
ssize_t sb_recv_fds(int socket, void *p, size_t n, int *fds, size_t nfds, int flags);

#endif
