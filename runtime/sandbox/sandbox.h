/*
 * sandbox.h - runs a tenant's Lua, in processes that can do nothing but answer.
 *
 * This process never runs tenant code. ar_sandbox_init() starts a zygote, and another one whenever it
 * has died; the zygote forks executors, each for one tenant only, ever, locked by seccomp and rlimits before
 * the tenant's first byte reaches it. Each call gets a fresh Lua state in a memory arena with a hard
 * end. A Lua call of the platform (apprun.auth.create_user{...}) comes back here as a host call and
 * runs in the fiber of ar_sandbox_call(); meanwhile the executor serves other calls of its tenant.
 *
 * Executors belong to a loop, so nothing here takes a lock. What an executor sends is hostile: it
 * is bounded and checked, and an executor that breaks the protocol dies.
 */
#ifndef AR_SANDBOX_H
#define AR_SANDBOX_H

#include "fiber/fiber.h"
#include "json/json.h"

/* Of the code: the caller of a function sees what the function module makes of them. */
extern const struct ar_err_def AR_E_SANDBOX_ERROR[1];   /* 500 sandbox/error: message, line */
extern const struct ar_err_def AR_E_SANDBOX_CPU[1];     /* 500 sandbox/cpu-limit: limit (ms) */
extern const struct ar_err_def AR_E_SANDBOX_MEMORY[1];  /* 500 sandbox/memory-limit: limit (MiB) */
extern const struct ar_err_def AR_E_SANDBOX_WALL[1];    /* 504 sandbox/wall-limit: limit (ms) */
extern const struct ar_err_def AR_E_SANDBOX_RESULT[1];  /* 500 sandbox/result-too-large: limit */
extern const struct ar_err_def AR_E_SANDBOX_CALLS[1];   /* 500 sandbox/host-calls: limit */
extern const struct ar_err_def AR_E_SANDBOX_DEPTH[1];   /* 508 sandbox/depth: limit */
extern const struct ar_err_def AR_E_SANDBOX_HANDLER[1]; /* 500 sandbox/no-handler */
extern const struct ar_err_def AR_E_SANDBOX_KILLED[1];  /* 500 sandbox/killed: the executor died */
/* Of the source, at deploy (and at a call, when it was never checked). */
extern const struct ar_err_def AR_E_SANDBOX_SYNTAX[1];   /* 422 sandbox/syntax: message, line */
extern const struct ar_err_def AR_E_SANDBOX_BYTECODE[1]; /* 422 sandbox/bytecode */
/* Of the moment: try again. */
extern const struct ar_err_def AR_E_SANDBOX_BUSY[1]; /* 429 sandbox/busy: this tenant's limit */
extern const struct ar_err_def AR_E_SANDBOX_FULL[1]; /* 503 sandbox/full: the process's limit */
extern const struct ar_err_def AR_E_SANDBOX_LOST[1]; /* 503 sandbox/lost: every process died */

/* ---- the process ---- */

struct ar_sandbox_options {       /* 0: the default */
	int loops;                /* that will attach (1): they share executors_max evenly */
	int executors_max;        /* processes, all loops together (512) */
	int executors_per_tenant; /* on one loop (4); more than one only while they are busy */
	int queue_max;            /* calls of one tenant that wait for a place, on one loop (256) */
	int64_t idle_ms;          /* an executor without work ends after (60,000) */
};

/* The first thing in main(), of tests too. Does not return in a zygote, which is this program,
 * executed again. */
void ar_sandbox_main(int argc, char **argv);

/*
 * Starts the zygote, and proves with two executors that the lock lets them answer and kills one that
 * opens a file; -1 when it does not (then do not serve). On a thread that lives until
 * ar_sandbox_done(): its end would be the zygote's. NULL: defaults.
 */
int ar_sandbox_init(const struct ar_sandbox_options *options);
void ar_sandbox_done(void); /* after the loops ended: every process is gone when it returns */

void ar_sandbox_attach(void);           /* on each loop's thread, before its first call */
AR_YIELDS void ar_sandbox_detach(void); /* ends this loop's executors; calls in flight: killed */

/* ---- a call ---- */

struct ar_sandbox_limits {   /* 0: the default */
	int64_t cpu_soft_ms; /* 100: the Lua code gets an error that it cannot catch */
	int64_t cpu_hard_ms; /* 1,000: its process is killed; at most 30,000 */
	int64_t wall_ms;     /* 30,000: with all waiting; includes the wait for a place */
	size_t memory;       /* 32 MiB; 1 MiB to 256 MiB; of the Lua state, all in all */
	size_t output_max; /* 1 MiB; at most 6 MiB; of the result, and of each host call's input */
	size_t log_max;    /* 64 KiB of text; a line that says so follows when more was printed */
	int host_calls;    /* 1,000 */
};
#define AR_SANDBOX_SOURCE_MAX  ((size_t)1 << 20)
#define AR_SANDBOX_INPUT_MAX   ((size_t)6 << 20)
#define AR_SANDBOX_DEPTH_MAX   8
#define AR_SANDBOX_MODULES_MAX 64

struct ar_sandbox_code {
	struct ar_str id;   /* never another source under the same id: a version's id, a hash */
	struct ar_str name; /* how errors and require() name it: "send_email", at most 120 bytes */
	struct ar_str source; /* text */
};

/*
 * A call of the platform by the code. Runs in the fiber of ar_sandbox_call, with a deadline no later
 * than the call's. On -1 the top of the error stack becomes a Lua error: a table with code, status,
 * message and what the error carried; the stack is empty afterwards. *ret may be left NULL (nil).
 * pool lives until the answer has been sent.
 */
typedef int ar_sandbox_host_fn(void *arg, struct ar_pool *pool, struct ar_str action,
			       struct ar_json *input, struct ar_json **ret);

struct ar_sandbox_run {
	struct ar_str tenant; /* its executors never see another one */
	struct ar_sandbox_code code;
	const struct ar_sandbox_code *modules; /* what require() finds, by name */
	size_t nmodules;
	const struct ar_json *input;   /* first argument; NULL: an empty table */
	const struct ar_json *context; /* second argument; NULL: an empty table */
	struct ar_sandbox_limits limits;
	AR_YIELDS ar_sandbox_host_fn *host; /* NULL: host calls raise an error */
	void *host_arg;
	int depth;      /* 0 outside; more than AR_SANDBOX_DEPTH_MAX is refused */
	int64_t now_ms; /* what os.time() says throughout; 0: ar_now_ms() */
	uint64_t seed;  /* of math.random; 0: a random one. Same seed, same numbers */
};

struct ar_sandbox_log {
	enum ar_level level; /* print() is AR_INFO; log.debug, log.info, log.warn, log.error */
	struct ar_str text;  /* valid UTF-8 */
};

struct ar_sandbox_result {      /* filled also when the call fails, as far as it got */
	struct ar_json *output; /* JSON null for nil; NULL when the call failed */
	const struct ar_sandbox_log *logs;
	size_t nlogs;
	bool logs_cut; /* the limit was met */
	int64_t cpu_us, wall_us;
	size_t memory_peak; /* bytes of the Lua state */
	int host_calls;
	uint64_t seed; /* that was used: record it to run the same again */
	/*
	 * When the code itself failed (sandbox/error, sandbox/syntax), else NULL: {"message", "line",
	 * "module", "trace"} and "value", what error() was given when that was a table: the error of
	 * a host call, or one that the code made, such as error({code = "x/y", status = 404}).
	 */
	struct ar_json *error;
};

/*
 * Runs the code once: the chunk, then the function that it returned (or its global `handle`) with
 * input and context. Everything in *ret lives in pool. Cancelling the fiber gives up the call.
 */
AR_YIELDS int ar_sandbox_call(struct ar_pool *pool, const struct ar_sandbox_run *run,
			      struct ar_sandbox_result *ret);

/* Compiles a source in the tenant's executor, without running it, for deploys. AR_E_SANDBOX_SYNTAX,
 * AR_E_SANDBOX_BYTECODE, AR_E_TOO_LARGE. */
AR_YIELDS int ar_sandbox_check(struct ar_str tenant, struct ar_str name, struct ar_str source);

/* The tenant is to go: its calls on this loop end with sandbox/killed, running or not. */
void ar_sandbox_close(struct ar_str tenant);
/* The tenant is gone: its executors on this loop end as soon as they have no call. */
void ar_sandbox_forget(struct ar_str tenant);

struct ar_sandbox_stats { /* sums over the loops; any thread */
	uint64_t calls, host_calls, spawned, killed, retired, cpu_us;
	uint64_t restarts;                   /* of the zygote, after it died */
	uint64_t executors, running, queued; /* now */
};
void ar_sandbox_stats(struct ar_sandbox_stats *ret);

#endif
