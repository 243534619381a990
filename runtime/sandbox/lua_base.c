/*
 * lua_base.c - the globals: what is safe of stock Lua, and own versions of the rest.
 *
 * pcall and xpcall pass a stop on, whatever the code does. xpcall calls its handler after the stack
 * was unwound, because hooks are off inside of a real message handler. There is no load, dofile,
 * loadfile, debug, io, package; require finds the tenant's shared modules.
 */
#include "sandbox/executor.h"

/* ---- protected calls ---- */

static int pcall_end(lua_State *L, int status, lua_KContext extra)
{
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - (int)extra;
	if (sb_must_stop(L, status))
		sb_raise_stop(L);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int base_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	sb_stack_check(L);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return pcall_end(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, pcall_end), 0);
}

static int handler_end(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	if (status != LUA_OK && status != LUA_YIELD && sb_must_stop(L, status))
		sb_raise_stop(L);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int xpcall_end(lua_State *L, int status, lua_KContext extra)
{
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - (int)extra;
	if (sb_must_stop(L, status))
		sb_raise_stop(L);
	lua_pushvalue(L, 2); /* the handler, which stands before its error */
	lua_insert(L, -2);
	return handler_end(L, lua_pcallk(L, 1, 1, 0, 0, handler_end), 0);
}

static int base_xpcall(lua_State *L)
{
	int n = lua_gettop(L);

	luaL_checktype(L, 2, LUA_TFUNCTION);
	sb_stack_check(L);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
	return xpcall_end(L, lua_pcallk(L, n - 2, LUA_MULTRET, 0, 2, xpcall_end), 2);
}

/* ---- metatables ---- */

static int base_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (!lua_getmetatable(L, 1)) {
		lua_pushnil(L);
		return 1;
	}
	luaL_getmetafield(L, 1, "__metatable");
	return 1;
}

static bool has_raw(lua_State *L, int index, const char *key)
{
	bool has;

	lua_pushstring(L, key);
	lua_rawget(L, index);
	has = !lua_isnil(L, -1);
	lua_pop(L, 1);
	return has;
}

static int base_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (type == LUA_TTABLE && has_raw(L, 2, "__gc"))
		return luaL_argerror(L, 2, "'__gc' is not available here");
	if (type == LUA_TTABLE && has_raw(L, 2, "__mode"))
		return luaL_argerror(L, 2, "'__mode' is not available here");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

/* ---- conversions ---- */

static int base_tostring(lua_State *L)
{
	size_t n;

	luaL_checkany(L, 1);
	sb_tostring(L, 1, &n);
	return 1;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

static bool number_in(const char *s, size_t n, int base, lua_Integer *ret)
{
	const char *end = s + n;
	lua_Unsigned v = 0;
	bool minus = false;

	while (s < end && strchr(" \f\n\r\t\v", *s) != NULL && *s != '\0')
		s++;
	while (s < end && end[-1] != '\0' && strchr(" \f\n\r\t\v", end[-1]) != NULL)
		end--;
	if (s < end && (*s == '-' || *s == '+'))
		minus = *s++ == '-';
	if (s == end)
		return false;
	for (; s < end; s++) {
		int digit = digit_of(*s);

		if (digit >= base)
			return false;
		v = v * (lua_Unsigned)base +
		    (lua_Unsigned)digit; /* wraps around, as in stock Lua */
	}
	*ret = (lua_Integer)(minus ? 0 - v : v);
	return true;
}

static int base_tonumber(lua_State *L)
{
	size_t n;
	const char *s;
	lua_Integer base, v;

	if (lua_isnoneornil(L, 2)) {
		luaL_checkany(L, 1);
		if (lua_type(L, 1) == LUA_TNUMBER) {
			lua_settop(L, 1);
			return 1;
		}
		s = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
		if (s == NULL || lua_stringtonumber(L, s) != n + 1)
			lua_pushnil(L);
		return 1;
	}
	base = luaL_checkinteger(L, 2);
	luaL_checktype(L, 1, LUA_TSTRING);
	s = lua_tolstring(L, 1, &n);
	luaL_argcheck(L, base >= 2 && base <= 36, 2, "base out of range");
	if (number_in(s, n, (int)base, &v))
		lua_pushinteger(L, v);
	else
		lua_pushnil(L);
	return 1;
}

static int base_collectgarbage(lua_State *L)
{
	if (strcmp(luaL_optstring(L, 1, ""), "count") != 0)
		return luaL_argerror(L, 1, "only \"count\" is available here");
	lua_pushnumber(L, (lua_Number)call_of(L)->arena.used / 1024);
	return 1;
}

void sb_take(lua_State *L, lua_State *stock, const char *library, const char *const *names)
{
	lua_getglobal(stock, library);
	for (; *names != NULL; names++) {
		lua_getfield(stock, -1, *names);
		if (lua_iscfunction(stock, -1))
			lua_pushcfunction(L, lua_tocfunction(stock, -1));
		else if (lua_isinteger(stock, -1))
			lua_pushinteger(L, lua_tointeger(stock, -1));
		else if (lua_type(stock, -1) == LUA_TNUMBER)
			lua_pushnumber(L, lua_tonumber(stock, -1));
		else
			lua_pushlstring(L, lua_tostring(stock, -1), lua_rawlen(stock, -1));
		lua_setfield(L, -2, *names);
		lua_pop(stock, 1);
	}
	lua_pop(stock, 1);
}

void sb_open_base(lua_State *L, lua_State *stock)
{
	static const luaL_Reg functions[] = {
		{ "collectgarbage", base_collectgarbage },
		{ "getmetatable", base_getmetatable },
		{ "pcall", base_pcall },
		{ "setmetatable", base_setmetatable },
		{ "tonumber", base_tonumber },
		{ "tostring", base_tostring },
		{ "xpcall", base_xpcall },
		{ NULL, NULL },
	};
	static const char *const names[] = { "_VERSION", "assert",   "error",  "ipairs", "next",
					     "pairs",    "rawequal", "rawget", "rawlen", "rawset",
					     "select",   "type",     NULL };
	static const char *const utf8[] = { "char", "charpattern", "codepoint", "codes",
					    "len",  "offset",      NULL };

	lua_pushglobaltable(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	luaL_setfuncs(L, functions, 0);
	sb_take(L, stock, "_G", names);
	lua_createtable(L, 0, 8);
	sb_take(L, stock, "utf8", utf8);
	lua_setfield(L, -2, "utf8");
	lua_pop(L, 1);
}
