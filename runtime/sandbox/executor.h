/*
 * executor.h - inside an executor: one process, one tenant, several calls that take turns.
 *
 * Nothing in here runs in the supervisor. One call runs at a time; it gives way only where it waits
 * for the platform. The timer's signal handler touches `sb_current` and the hook of its running
 * coroutine, nothing else.
 */
#ifndef AR_SANDBOX_EXECUTOR_H
#define AR_SANDBOX_EXECUTOR_H

#include <lauxlib.h>
#include <lua.h>
#include <signal.h>

#include "sandbox/arena.h"
#include "sandbox/wire.h"

enum { EXECUTOR_PLACES = 16, EXECUTOR_FD = 3, TICK_US = 10000 };

/* Why a call may not go on. Once set it stays; no pcall brings the code back. */
enum stop { STOP_NONE, STOP_CPU, STOP_MEMORY, STOP_RESULT, STOP_CALLS, STOP_HANDLER };

struct code {
	char *name;
	char *text; /* source, or the platform's own bytecode of it once compiled */
	size_t n;
	bool compiled;
};

struct call {
	enum { CALL_FREE, CALL_RUNNING, CALL_WAITING } state;
	uint32_t id;
	struct wire_call head;
	uint16_t code; /* slots */
	uint16_t modules[64];
	struct wire_reader args; /* input and context, until the first turn ends */

	struct arena arena;
	struct arena_image pristine; /* of this place; bytes NULL: not made yet */
	bool dirty;                  /* the arena holds an old call's state */
	lua_State *main, *thread;
	lua_State *volatile running; /* the coroutine that the hook must go to */
	volatile sig_atomic_t stop;  /* enum stop */

	uint64_t cpu_us;                    /* used before this turn */
	uint64_t turn_wall_us, turn_cpu_us; /* clocks at its start; the second when ticked */
	volatile bool ticked;
	uint64_t random[4];
	struct ar_buf log, out; /* out: the result, or a host call's frame */
	bool logs_cut;
	size_t log_used;
	uint32_t host_calls;
	bool waiting;        /* a host call has been made and not answered */
	const char *refused; /* the host call cannot be made: why */
	struct wire_reader answer;
	bool answer_ok, retire;
	const struct code *broken; /* what had the syntax error */
};

struct executor {
	struct call calls[EXECUTOR_PLACES];
	struct code codes[WIRE_CODE_SLOTS];
	struct ar_buf in, out;
	char *stack;   /* an address near the stack's start */
	size_t mapped; /* bytes of address space at the fork */
};
extern struct executor sb_executor;
extern struct call *volatile sb_current;

static inline struct call *call_of(lua_State *L)
{
	return *(struct call **)lua_getextraspace(L);
}

/* ---- executor.c ---- */

void sb_executor_prepare(void); /* in the zygote: place 0 gets its pristine state */
void sb_executor_serve(void);   /* locked already; returns when the supervisor is gone */
bool sb_place_ready(struct call *call, size_t memory); /* maps, makes or restores the state */
uint64_t sb_cpu_us(void);                              /* of this process */
uint64_t sb_wall_us(void);                             /* monotonic */
void sb_tick(int signal);
void sb_send_log(struct call *call); /* what was gathered */

/* ---- lua_run.c ---- */

void sb_lua_begin(struct call *call);          /* the thread is ready for its first turn */
int sb_lua_turn(struct call *call);            /* runs until it ends or waits; lua's status */
lua_State *sb_lua_pristine(struct call *call); /* a new state in the call's arena; NULL: no room */
void sb_lua_done(struct call *call, int status, struct wire_done *ret, struct ar_buf *out);
int sb_code_load(lua_State *L, struct code *code);     /* pushes the chunk; raises */
void sb_put_text(struct ar_buf *buf, struct ar_str s); /* u32 length and clean UTF-8 */

/* ---- for the library ---- */

extern const char sb_sentinel; /* as a light userdata: the error that stops a call */
_Noreturn void sb_stop(lua_State *L, enum stop why);
_Noreturn void sb_raise_stop(lua_State *L);
bool sb_must_stop(lua_State *L, int status); /* after a protected call that failed */
void sb_stack_check(lua_State *L);           /* raises when the C stack is deep */
static inline void sb_poll(lua_State *L)
{
	if (call_of(L)->stop != STOP_NONE)
		sb_raise_stop(L);
}
uint64_t sb_random(struct call *call);
void sb_random_seed(struct call *call, uint64_t a, uint64_t b);

/* A string in the making. Takes one stack slot when made; raises when memory ends. */
struct text {
	lua_State *L;
	char *p;
	size_t n, cap;
	int slot;
	char small[512];
};
void sb_text_init(lua_State *L, struct text *t);
char *sb_text_room(struct text *t, size_t n);
void sb_text_add(struct text *t, const char *p, size_t n);
void sb_text_char(struct text *t, char c);
void sb_text_push(struct text *t);                           /* the string, on top of the stack */
const char *sb_tostring(lua_State *L, int index, size_t *n); /* pushes; shows no address */

/* Values and the wire. Encoding returns NULL, or what is wrong; *large says that it is the size. */
const char *sb_lua_encode(lua_State *L, int index, struct ar_buf *out, bool *large);
void sb_lua_decode(lua_State *L, struct wire_reader *r); /* pushes; raises when memory ends */
void sb_array_mark(lua_State *L); /* the table on top is a list, also when empty */
bool sb_array_marked(lua_State *L, int index);
extern const char sb_null; /* json.null, a light userdata */

/* Each leaves one table on the stack, except base, which fills the globals. */
void sb_open_base(lua_State *L, lua_State *stock);
void sb_open_string(lua_State *L, lua_State *stock);
void sb_open_table(lua_State *L);
void sb_open_coroutine(lua_State *L);
void sb_open_math(lua_State *L, lua_State *stock);
void sb_open_os(lua_State *L);
void sb_open_json(lua_State *L);
void sb_open_host(lua_State *L); /* globals apprun, log, print, require */
/* Copies functions by name from a library of the stock state into the table on top. */
void sb_take(lua_State *L, lua_State *stock, const char *library, const char *const *names);

int sb_str_find(lua_State *L);
int sb_str_match(lua_State *L);
int sb_str_gmatch(lua_State *L);
int sb_str_gsub(lua_State *L);
int sb_str_format(lua_State *L);

#ifdef AR_SANDBOX_FAULTS
void sb_open_faults(lua_State *L); /* tests only: native misbehaviour as Lua functions */
#endif

#endif
