/*
 * lua_run.c - one call in its state: made, begun, resumed, stopped, ended.
 *
 * A pristine state is built once for each place of an executor and copied back for every call. The
 * chunk, its handler, input, output all run inside of one protected coroutine, so that an error
 * anywhere is an error of the call. What a failed call says is read without running any more code.
 */
#include "sandbox/executor.h"

#include <lualib.h>
#include <stdio.h>

const char sb_sentinel = 0;

enum { STACK_MAX = 1 << 20, MESSAGE_MAX = 2000, TRACE_MAX = 4000 };

/* ---- stopping ---- */

void sb_raise_stop(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&sb_sentinel);
	lua_error(L);
	__builtin_unreachable();
}

void sb_stop(lua_State *L, enum stop why)
{
	call_of(L)->stop = why;
	sb_raise_stop(L);
}

bool sb_must_stop(lua_State *L, int status)
{
	struct call *call = call_of(L);

	if (status == LUA_ERRMEM && call->stop == STOP_NONE)
		call->stop = STOP_MEMORY;
	if (lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), "stack overflow") != NULL)
		call->retire = true;
	return call->stop != STOP_NONE;
}

/* Stock Lua counts nested C calls for each coroutine; only the real stack knows them all. */
void sb_stack_check(lua_State *L)
{
	char here;

	sb_poll(L);
	if ((size_t)(sb_executor.stack - &here) > STACK_MAX)
		luaL_error(L, "C stack overflow");
}

/* ---- the pristine state ---- */

static lua_State *stock; /* all of stock Lua, to take functions from; runs no code */

static void open_all(lua_State *L)
{
	sb_open_base(L, stock);
	sb_open_string(L, stock);
	lua_setglobal(L, "string");
	sb_open_table(L);
	lua_setglobal(L, "table");
	sb_open_coroutine(L);
	lua_setglobal(L, "coroutine");
	sb_open_math(L, stock);
	lua_setglobal(L, "math");
	sb_open_os(L);
	lua_setglobal(L, "os");
	sb_open_json(L);
	lua_setglobal(L, "json");
	sb_open_host(L);
#ifdef AR_SANDBOX_FAULTS
	sb_open_faults(L);
#endif
}

lua_State *sb_lua_pristine(struct call *call)
{
	lua_State *L;

	if (stock == NULL) {
		stock = luaL_newstate();
		if (stock == NULL)
			return NULL;
		luaL_openlibs(stock);
	}
	L = lua_newstate(sb_arena_alloc, &call->arena);
	if (L == NULL)
		return NULL;
	*(struct call **)lua_getextraspace(L) = call;
	open_all(L);
	lua_newtable(L); /* makes the list's metatable exist */
	sb_array_mark(L);
	lua_pop(L, 1);
	call->main = L;
	call->thread = lua_newthread(L); /* stays on the main stack */
	/* No collection before the state is ten times as large: most calls end before. */
	lua_gc(L, LUA_GCINC, 1000, 100, 13);
	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCINC, 200, 100, 13);
	return L;
}

/* ---- code ---- */

static int dump_part(lua_State *L, const void *p, size_t n, void *ud)
{
	(void)L;
	return ar_buf_add(ud, p, n);
}

static void keep_compiled(lua_State *L, struct code *code)
{
	struct ar_buf buf;

	ar_buf_init(&buf, 64 << 20);
	if (lua_dump(L, dump_part, &buf, 0) == 0) {
		ar_heap_free(code->text);
		code->text = ar_heap_alloc(buf.n);
		memcpy(code->text, buf.p, buf.n);
		code->n = buf.n;
		code->compiled = true;
	}
	ar_buf_done(&buf);
}

/* The bytecode that is loaded here was made here, from text. */
int sb_code_load(lua_State *L, struct code *code)
{
	if (luaL_loadbufferx(L, code->text, code->n, code->name, code->compiled ? "b" : "t") !=
	    LUA_OK)
		return lua_error(L);
	if (!code->compiled)
		keep_compiled(L, code);
	return 1;
}

/* ---- one call ---- */

static int entry_done(lua_State *L, int status, lua_KContext ctx)
{
	struct call *call = call_of(L);
	const char *wrong;
	bool large;

	(void)status;
	(void)ctx;
	ar_buf_done(&call->out);
	ar_buf_init(&call->out, call->head.output_max);
	wrong = sb_lua_encode(L, -1, &call->out, &large);
	if (large)
		sb_stop(L, STOP_RESULT);
	if (wrong != NULL)
		return luaL_error(L, "the result holds %s", wrong);
	return 0;
}

static int entry_loaded(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	if (!lua_isfunction(L, -1)) {
		lua_pop(L, 1);
		lua_pushglobaltable(L);
		lua_pushliteral(L, "handle");
		lua_rawget(L, -2);
		lua_remove(L, -2);
		if (!lua_isfunction(L, -1))
			sb_stop(L, STOP_HANDLER);
	}
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_callk(L, 2, 1, 0, entry_done);
	return entry_done(L, LUA_OK, 0);
}

static int entry(lua_State *L)
{
	struct call *call = call_of(L);
	struct code *code = &sb_executor.codes[call->code];

	sb_lua_decode(L, &call->args);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_newtable(L);
	}
	sb_lua_decode(L, &call->args);
	call->broken = code; /* should the next line fail */
	sb_code_load(L, code);
	call->broken = NULL;
	if (call->head.flags & WIRE_CHECK_ONLY)
		return 0;
	lua_callk(L, 0, 1, 0, entry_loaded);
	return entry_loaded(L, LUA_OK, 0);
}

void sb_lua_begin(struct call *call)
{
	call->running = call->thread;
	call->stop = STOP_NONE;
	call->retire = call->waiting = call->logs_cut = false;
	call->refused = NULL;
	call->broken = NULL;
	call->cpu_us = 0;
	call->log_used = 0;
	call->host_calls = 0;
	ar_buf_done(&call->log);
	ar_buf_init(&call->log, call->head.log_max + ((size_t)1 << 20));
	sb_random_seed(call, call->head.seed, 0);
	lua_pushcfunction(call->thread, entry);
}

/*
 * The process's own clock costs a system call, the machine's does not. A turn that no tick met took
 * less than a tick of CPU, and no more than its wall time.
 */
static void turn_end(struct call *call)
{
	uint64_t wall = sb_wall_us() - call->turn_wall_us;

	if (call->ticked)
		call->cpu_us += sb_cpu_us() - call->turn_cpu_us;
	else
		call->cpu_us += AR_MIN(wall, (uint64_t)TICK_US);
}

int sb_lua_turn(struct call *call)
{
	int status, n;

	call->turn_wall_us = sb_wall_us();
	call->ticked = false;
	sb_current = call;
	status = lua_resume(call->thread, NULL, 0, &n);
	sb_current = NULL;
	turn_end(call);
	if (status == LUA_YIELD && call->cpu_us > call->head.cpu_soft_us)
		call->stop = STOP_CPU;
	return status;
}

/* ---- what a failed call says ---- */

/* The first Lua function from the top: where it happened. */
static void find_place(lua_State *T, uint32_t *line, struct ar_str *module)
{
	lua_Debug ar;

	for (int level = 0; level < 20 && lua_getstack(T, level, &ar); level++) {
		if (lua_getinfo(T, "Sl", &ar) && ar.currentline > 0) {
			*line = (uint32_t)ar.currentline;
			*module = ar_str(ar.source + 1);
			return;
		}
	}
}

static struct ar_str message_of(lua_State *T, char *room, size_t n)
{
	static const char *const members[] = { "message", "code" };
	size_t len = 0;
	const char *s = NULL;

	if (lua_type(T, -1) == LUA_TSTRING || lua_type(T, -1) == LUA_TNUMBER) {
		s = lua_tolstring(T, -1, &len);
	} else if (lua_type(T, -1) == LUA_TTABLE) {
		for (size_t i = 0; s == NULL && i < AR_COUNT(members); i++) {
			lua_pushstring(T, members[i]);
			if (lua_rawget(T, -2) == LUA_TSTRING) /* which the table holds on to */
				s = lua_tolstring(T, -1, &len);
			lua_pop(T, 1);
		}
	}
	if (s != NULL)
		return ar_str_n(s, AR_MIN(len, (size_t)MESSAGE_MAX));
	return ar_str_n(room, (size_t)snprintf(room, n, "(error object is a %s value)",
					       luaL_typename(T, -1)));
}

/* The line that a syntax error's message names: "name:LINE: ..." */
static uint32_t line_in(struct ar_str message, struct ar_str name)
{
	int64_t line = 0;

	if (ar_str_starts(message, name) && message.n > name.n) {
		struct ar_str rest = ar_str_sub(message, name.n + 1, message.n);

		if (!ar_str_int(ar_str_cut(&rest, ':'), &line) || line < 0 || line > INT32_MAX)
			line = 0;
	}
	return (uint32_t)line;
}

struct telling {
	struct call *call;
	struct wire_done *done;
	struct ar_buf *out;
};

/* On the main thread, protected: even this may meet the end of memory. */
static int tell_error(lua_State *L)
{
	struct telling *t = lua_touserdata(L, 1);
	lua_State *T = t->call->thread;
	struct ar_str message, module = AR_STR_NONE, trace = AR_STR_NONE;
	char room[64];
	size_t at;
	bool large;

	lua_checkstack(T, 8);
	message = message_of(T, room, sizeof(room));
	if (t->done->status == WIRE_SYNTAX) {
		module = ar_str(t->call->broken->name + 1);
		t->done->line = line_in(message, module);
	} else {
		find_place(T, &t->done->line, &module);
		luaL_traceback(L, T, NULL, 0);
		trace = ar_str(lua_tostring(L, -1));
	}
	sb_put_text(t->out, message);
	sb_put_text(t->out, module);
	sb_put_text(t->out, ar_str_sub(trace, 0, TRACE_MAX));
	at = t->out->n;
	ar_buf_char(t->out, 1);
	if (lua_type(T, -1) != LUA_TTABLE || sb_lua_encode(T, -1, t->out, &large) != NULL) {
		t->out->n = at;
		t->out->over = false;
		ar_buf_char(t->out, 0);
	}
	return 0;
}

static void put_error(struct call *call, struct wire_done *ret, struct ar_buf *out)
{
	struct telling t = { call, ret, out };
	size_t at = out->n;

	lua_pushcfunction(call->main, tell_error);
	lua_pushlightuserdata(call->main, &t);
	if (lua_pcall(call->main, 1, 0, 0) == LUA_OK)
		return;
	out->n = at;
	sb_put_text(out, AR_STR("the function failed, and its memory was full"));
	sb_put_text(out, AR_STR_NONE);
	sb_put_text(out, AR_STR_NONE);
	ar_buf_char(out, 0);
}

static enum wire_status status_of(const struct call *call, int status)
{
	static const uint8_t of_stop[] = {
		[STOP_CPU] = WIRE_CPU,         [STOP_MEMORY] = WIRE_MEMORY,
		[STOP_RESULT] = WIRE_RESULT,   [STOP_CALLS] = WIRE_CALLS,
		[STOP_HANDLER] = WIRE_HANDLER,
	};

	if (status == LUA_OK)
		return WIRE_OK;
	if (call->stop != STOP_NONE)
		return of_stop[call->stop];
	if (status == LUA_ERRMEM)
		return WIRE_MEMORY;
	return call->broken != NULL ? WIRE_SYNTAX : WIRE_ERROR;
}

void sb_lua_done(struct call *call, int status, struct wire_done *ret, struct ar_buf *out)
{
	if (status != LUA_OK)
		sb_must_stop(call->thread, status);
	ret->status = status_of(call, status);
	ret->retire = call->retire || ret->status == WIRE_CPU || ret->status == WIRE_MEMORY;
	ret->cpu_us = call->cpu_us;
	ret->memory_peak = call->arena.peak;
	ret->host_calls = call->host_calls;
	ret->logs_cut = call->logs_cut;
	if (ret->status == WIRE_OK && !(call->head.flags & WIRE_CHECK_ONLY))
		ar_buf_add(out, call->out.p, call->out.n);
	else if (ret->status == WIRE_ERROR || ret->status == WIRE_SYNTAX)
		put_error(call, ret, out);
}
