/*
 * sandbox_int.h - the supervisor's side: a loop's tenants, their executors, their calls.
 *
 * Everything here belongs to one loop. A call is shared by the fiber that waits for it and by the
 * executor that has it; either may be gone first, so it is counted. An executor's `work` mirrors the
 * order in which it does what it was sent: the first entry is what runs there now.
 */
#ifndef AR_SANDBOX_INT_H
#define AR_SANDBOX_INT_H

#include "sandbox/sandbox.h"
#include "sandbox/wire.h"

enum {
	SB_PLACES = 16,     /* calls that one executor has at a time, as in executor.h */
	SB_AHEAD = 8,       /* pieces of work that are sent to an executor before the first ends */
	SB_FRESH_US = 2000, /* a piece of work that runs longer makes others go elsewhere */
	SB_SHORT_US = 1000, /* shorter pieces of work are not measured */
	SB_DEATH_US = 1000, /* what a death costs its tenant, in CPU time */
	SB_TICK_MS = 25,
	SB_REST_US = 250000,    /* how often one without work is looked at */
	SB_REST_CPU_US = 50000, /* and how much CPU it may have used since */
	SB_REFUSED_US = 100000, /* after which a process is asked for again */
	SB_SILENT_US = 5000000, /* a zygote that does not answer for so long is ended, */
	SB_BLINK_US = 1000000,  /* unless nobody was looking for so long */
	SB_RETRIES = 3,         /* of a call that had not begun when its executor died */
	SB_CODE_BYTES = 8 << 20,
};
#define SB_MEMORY_BUDGET ((size_t)512 << 20)          /* of the calls in one executor */
#define SB_CPU_LIFE_US   ((uint64_t)30 * 1000 * 1000) /* an executor is replaced after */

enum sb_state {
	SB_QUEUED, /* in its tenant's queue */
	SB_SENT,   /* its executor runs it, or will */
	SB_ASKING, /* a host call waits for its answer */
	SB_ENDED,  /* the executor has no more to do with it */
};

/* Something is due from the zygote. */
struct sb_silence {
	int64_t since_us; /* 0: nothing is */
	int64_t looked_us;
};

struct sb_call {
	int refs;
	uint32_t id;
	enum sb_state state;
	bool begun; /* a frame of it was read: it may have had effects */
	int retries;
	const struct ar_sandbox_run *run; /* NULL: nobody waits any more */
	bool check;                       /* compile only */
	struct ar_pool *pool;             /* of the result; valid while run is */
	struct ar_sandbox_limits limits;
	uint64_t seed;
	int64_t now_ms;
	struct ar_buf args; /* input and context, coded */
	struct sb_tenant *tenant;
	struct sb_exec *exec;        /* NULL while queued and when ended */
	int32_t pid;                 /* of the last one */
	struct sb_call *prev, *next; /* in the queue */
	int64_t queued_us;
	struct ar_cond changed;
	struct ar_pool *host_pool; /* SB_ASKING: holds host_frame */
	struct ar_str host_frame;
	struct ar_str done_frame;       /* SB_ENDED by the executor; in pool */
	const struct ar_err_def *ended; /* SB_ENDED otherwise */
	struct ar_buf logs;             /* entries that came before the end */
	int host_calls;
	int64_t cpu_us;                       /* when it was killed for that */
	uint64_t turns_cpu_us, turns_wall_us; /* of earlier turns, by the supervisor's clocks */
};

struct sb_out { /* a frame that the socket did not take at once */
	struct sb_out *prev, *next;
	struct ar_buf buf;
	size_t at;
	uint32_t id;
	enum wire_type type;
};

struct sb_exec {
	struct sb_loop *loop;
	struct sb_tenant *tenant;
	struct sb_exec *next;                  /* of the tenant */
	struct sb_exec *idle_prev, *idle_next; /* in the loop's list, while without calls */
	int fd, pidfd;
	int32_t pid;
	unsigned zygote; /* that forked it */
	bool idle, retiring, dead;
	struct sb_call *calls[SB_PLACES];
	size_t ncalls;
	size_t memory;                   /* of the calls' limits */
	struct sb_call *work[SB_PLACES]; /* a ring */
	size_t work_at, nwork;
	int64_t since_us;    /* when work[work_at] became the first */
	uint64_t clock_us;   /* the process's own clock when it was measured last, */
	int64_t measured_us; /* and when that was */
	int64_t rested_us;   /* when it was last looked at without work, and the clock then */
	uint64_t rest_clock_us;
	struct sb_silence untold; /* it is dead, and the zygote has not said so */
	bool behind;              /* as share.c placed it: SCHED_IDLE */
	int policy;               /* SCHED_..., likewise */
	uint64_t cpu_us;          /* of all its calls */
	int64_t born_us, idle_since_us;
	const struct ar_err_def *reason; /* of the kill, for the call that ran */
	struct ar_buf in;                /* a frame in several packets */
	uint8_t in_type;
	struct sb_out *out;
	bool watch_write;
	struct {
		struct ar_str id; /* heap; p NULL: empty */
		size_t bytes;
		uint64_t used;
	} codes[WIRE_CODE_SLOTS];
	size_t code_bytes;
	uint64_t code_clock;
};

struct sb_tenant {
	struct sb_loop *loop;
	struct ar_str name; /* heap */
	struct sb_exec *execs;
	int nexecs, spawning;
	int held;              /* somebody is at work with it */
	struct sb_call *first; /* the queue */
	int queued;
	uint64_t hash; /* of the name; 0: not made yet */
	int64_t debt_us, paid_us;
	bool behind;      /* in debt */
	bool first_class; /* when it began to starve: not in debt */
	bool starving;    /* in the loop's list: wants an executor, there is no room */
	struct sb_tenant *starving_next;
};

struct sb_spawn { /* asked of the zygote, in order */
	struct sb_spawn *prev, *next;
	struct sb_tenant *tenant;
};

struct sb_loop {
	int control;     /* to the zygote; -1: it died, or was never asked */
	unsigned zygote; /* its number */
	struct ar_map *tenants;
	int execs, spawning, execs_max;
	uint32_t next_id;
	struct sb_spawn *spawns;
	struct sb_silence silence;  /* no answer to the first of them */
	bool spawn_refused;         /* the last one was */
	int64_t spawn_after_us;     /* not before */
	struct sb_exec *idle_first; /* the one that is idle for longest */
	struct sb_tenant *starving_first;
	struct ar_fiber *watch;
	struct ar_cond watch_cond;
	bool ending;
	struct ar_buf scratch; /* a frame in the making */
};
extern __thread struct sb_loop *sb_loop;
extern struct ar_sandbox_options sb_options; /* with the defaults filled in */

struct sb_counts { /* of the process; atomics */
	uint64_t calls, host_calls, spawned, killed, retired, restarts, cpu_us;
	uint64_t executors, running, queued;
};
extern struct sb_counts sb_counts;
#define SB_COUNT(what, n) __atomic_fetch_add(&sb_counts.what, (uint64_t)(n), __ATOMIC_RELAXED)

int64_t sb_real_us(void); /* monotonic, also where a test's clock stands still */

/* ---- keeper.c: there is a zygote ---- */

/* From now on one listens to the loop's socket. Its number; 0: there is none now. */
unsigned sb_zygote_join(int fd);
bool sb_zygote_died(unsigned number);
void sb_zygote_end(unsigned number); /* it does not answer; the keeper starts another */
bool sb_zygote_fails(void); /* there is none, and starting another did not help: do not wait */

/* ---- spawn.c: a loop and its zygote ---- */

bool sb_loop_connect(struct sb_loop *loop); /* false: no zygote now */
void sb_spawn(struct sb_tenant *tenant);
/* By who forked it, which is the same user: SCHED_... Not answered. */
void sb_zygote_place(const struct sb_exec *exec, int policy);
/* The watch: something is due that could be read from fd when it comes. Ends a zygote that hangs. */
void sb_silence_look(struct sb_silence *silence, unsigned zygote, int fd, int64_t now);
void sb_spawn_forget(struct sb_loop *loop); /* at the end: nobody waits for the answers */

/* ---- tenants.c: who gets which executor ---- */

struct sb_tenant *sb_tenant_get(struct sb_loop *loop, struct ar_str name); /* made when it is new */
void sb_tenant_drop(struct sb_tenant *tenant); /* freed when nothing of it is left */
void sb_enqueue(struct sb_call *call);
void sb_unqueue(struct sb_call *call);
void sb_pump(struct sb_tenant *tenant); /* sends what there is a place for; spawns */
void sb_spawned(struct sb_tenant *tenant, struct sb_exec *exec); /* NULL: it did not work */
void sb_room_left(struct sb_loop *loop); /* an executor is gone or idle: serve who starves */
void sb_watch_start(struct sb_loop *loop);

/* ---- exec.c: one executor ---- */

struct sb_exec *sb_exec_new(struct sb_loop *loop, struct sb_tenant *tenant, int fd, int pidfd,
			    int32_t pid);
void sb_exec_send_call(struct sb_exec *exec, struct sb_call *call);
void sb_exec_send(struct sb_exec *exec, struct sb_call *call, enum wire_type type,
		  struct ar_buf *frame); /* a piece of work; frame begins with room for a header */
void sb_exec_retire(struct sb_exec *exec); /* no new calls; ends when none has begun */
void sb_exec_close(struct sb_exec *exec);  /* the same after what runs now */
/* The process is killed. What runs fails with reason (NULL: none, it is just not needed), calls
 * that have begun with sandbox/killed, others move. AR_E_SANDBOX_LOST: so do all that have begun. */
void sb_exec_kill(struct sb_exec *exec, const struct ar_err_def *reason);
void sb_exec_writable(struct sb_exec *exec);
bool sb_exec_is_over(const struct sb_exec *exec); /* its process has ended, told or not */
void sb_exec_settle(struct sb_exec *exec); /* after a call left: idle, retired, or more work */
struct sb_call *sb_exec_running(const struct sb_exec *exec);
uint64_t sb_exec_clock_us(const struct sb_exec *exec);
/* What the piece of work that runs used since it was measured last is the call's, and its tenant's. */
void sb_exec_measure(struct sb_exec *exec, struct sb_call *call, int64_t now);
/* That piece of work ends now. False when the call used more than the hard limit allows: the executor
 * is killed then. */
bool sb_exec_account(struct sb_exec *exec, struct sb_call *call);
void sb_exec_kill_cpu(struct sb_exec *exec, struct sb_call *call);

/* ---- share.c: who gets the CPU, and a place, first ---- */

void sb_share_called(struct sb_tenant *tenant); /* a call of it begins */
/* CPU time, within the last wall_us. */
void sb_share_used(struct sb_tenant *tenant, uint64_t us, int64_t wall_us);
bool sb_share_remembered(struct sb_tenant *tenant); /* not to be forgotten yet */
bool sb_share_place(struct sb_exec *exec);          /* false: it cannot come forward; close it */
bool sb_share_behind(struct sb_tenant *tenant);     /* others come first, now */
int sb_share_places(struct sb_tenant *tenant);      /* executors that the loop may have for it */
/* The idle one that makes room for it: NULL: none may */
struct sb_exec *sb_share_victim(struct sb_tenant *tenant);

/* ---- receive.c: what executors send ---- */

void sb_exec_ready(void *arg, int fd, int ready);

/* ---- call.c ---- */

void sb_call_end(struct sb_call *call, const struct ar_err_def *ended); /* not by its executor */
void sb_call_unref(struct sb_call *call);
void sb_frame_begin(struct ar_buf *buf, size_t max);

#endif
