/*
 * lua_coroutine.c - coroutines that know who runs, and let a host call pass through.
 *
 * The timer's hook goes to call->running, so every switch is recorded here. A stop is passed on by
 * whoever resumed. A coroutine that waits for the platform yields with call->waiting set; each
 * resumer then yields in turn up to the executor, and resumes again when the answer is there.
 *
 * Debian's Lua 5.4.4 overflows the C stack by chains of coroutine.close: every function here looks
 * at the real depth first.
 */
#include "sandbox/executor.h"

static lua_State *check_co(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co != NULL, 1, "coroutine");
	return co;
}

/* Resumes with the n values on top of co. The host call inside cannot be made from here: it gets
 * an error instead, and co goes on. */
static int resume_co(lua_State *L, lua_State *co, int n, int *nresults)
{
	struct call *call = call_of(L);
	int status;

	for (;;) {
		call->running = co;
		status = lua_resume(co, L, n, nresults);
		call->running = L;
		if (status != LUA_YIELD || !call->waiting || lua_isyieldable(L))
			return status;
		call->refused = "the platform cannot be called from inside of this function";
		n = 0;
	}
}

/* After a resume: the number of results on L, -1 for an error value on L, -2 to wait. */
static int take_results(lua_State *L, lua_State *co, int status, int n)
{
	if (status == LUA_YIELD && call_of(L)->waiting)
		return -2;
	if (status == LUA_OK || status == LUA_YIELD) {
		if (!lua_checkstack(L, n + 1)) {
			lua_pop(co, n);
			lua_pushliteral(L, "too many results to resume");
			return -1;
		}
		lua_xmove(co, L, n);
		return n;
	}
	if (sb_must_stop(L, status))
		sb_raise_stop(L);
	lua_xmove(co, L, 1);
	return -1;
}

/* Moves the arguments over; false leaves a message on L. */
static bool give_arguments(lua_State *L, lua_State *co, int n)
{
	if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
		lua_pushliteral(L, "cannot resume dead coroutine");
		return false;
	}
	if (!lua_checkstack(co, n)) {
		lua_pushliteral(L, "too many arguments to resume");
		return false;
	}
	lua_xmove(L, co, n);
	return true;
}

static int resume_end(lua_State *L, int n);

static int resume_go_on(lua_State *L, int status, lua_KContext ctx)
{
	lua_State *co = lua_tothread(L, 1);
	int n;

	(void)status;
	(void)ctx;
	lua_settop(L, 1);
	status = resume_co(L, co, 0, &n);
	return resume_end(L, take_results(L, co, status, n));
}

static int resume_end(lua_State *L, int n)
{
	if (n == -2)
		return lua_yieldk(L, 0, 0, resume_go_on);
	lua_pushboolean(L, n >= 0);
	lua_insert(L, n >= 0 ? -(n + 1) : -2);
	return n >= 0 ? n + 1 : 2;
}

static int co_resume(lua_State *L)
{
	lua_State *co = check_co(L);
	int n = lua_gettop(L) - 1, status;

	sb_stack_check(L);
	if (!give_arguments(L, co, n))
		return resume_end(L, -1);
	status = resume_co(L, co, n, &n);
	return resume_end(L, take_results(L, co, status, n));
}

/* ---- wrap ---- */

static int close_co(lua_State *L, lua_State *co)
{
	struct call *call = call_of(L);
	int status;

	sb_stack_check(L);
	call->running = co;
	status = lua_resetthread(co);
	call->running = L;
	if (status != LUA_OK && sb_must_stop(L, status))
		sb_raise_stop(L);
	return status;
}

static int wrap_end(lua_State *L, lua_State *co, int n);

static int wrap_go_on(lua_State *L, int status, lua_KContext ctx)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n;

	(void)ctx;
	lua_settop(L, 0);
	status = resume_co(L, co, 0, &n);
	return wrap_end(L, co, take_results(L, co, status, n));
}

static int wrap_end(lua_State *L, lua_State *co, int n)
{
	int status = lua_status(co);

	if (n == -2)
		return lua_yieldk(L, 0, 0, wrap_go_on);
	if (n >= 0)
		return n;
	if (status != LUA_OK && status != LUA_YIELD) { /* it failed: run what it had to close */
		status = close_co(L, co);
		lua_xmove(co, L, 1);
		if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
			luaL_where(L, 1);
			lua_insert(L, -2);
			lua_concat(L, 2);
		}
	}
	return lua_error(L);
}

static int wrap_call(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n = lua_gettop(L), status;

	sb_stack_check(L);
	if (!give_arguments(L, co, n))
		return wrap_end(L, co, -1);
	status = resume_co(L, co, n, &n);
	return wrap_end(L, co, take_results(L, co, status, n));
}

static int co_create(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrap_call, 1);
	return 1;
}

static int co_yield (lua_State *L)
{
	/* The call's own thread must not yield to the executor: nobody would resume it. */
	if (L == call_of(L)->thread)
		return luaL_error(L, "attempt to yield from outside a coroutine");
	return lua_yield(L, lua_gettop(L));
}

/* ---- status ---- */

static const char *status_of(lua_State *L, lua_State *co)
{
	lua_Debug ar;

	if (L == co)
		return "running";
	switch (lua_status(co)) {
	case LUA_YIELD:
		return "suspended";
	case LUA_OK:
		if (lua_getstack(co, 0, &ar))
			return "normal";
		return lua_gettop(co) == 0 ? "dead" : "suspended";
	default:
		return "dead";
	}
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, status_of(L, check_co(L)));
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *co = check_co(L);
	const char *status = status_of(L, co);

	if (strcmp(status, "dead") != 0 && strcmp(status, "suspended") != 0)
		return luaL_error(L, "cannot close a %s coroutine", status);
	if (close_co(L, co) == LUA_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushboolean(L, 0);
	lua_xmove(co, L, 1);
	return 2;
}

static int co_isyieldable(lua_State *L)
{
	lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;

	lua_pushboolean(L, co != call_of(L)->thread && lua_isyieldable(co));
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushthread(L);
	lua_pushboolean(L, L == call_of(L)->thread);
	return 2;
}

void sb_open_coroutine(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "close", co_close },
		{ "create", co_create },
		{ "isyieldable", co_isyieldable },
		{ "resume", co_resume },
		{ "running", co_running },
		{ "status", co_status },
		{ "wrap", co_wrap },
		{ "yield", co_yield },
		{ NULL, NULL },
	};

	lua_createtable(L, 0, 8);
	luaL_setfuncs(L, functions, 0);
}
