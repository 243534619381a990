/*
 * lua_host.c - what leads out of the state: apprun.MODULE.ACTION{...}, log and print, require.
 *
 * A host call encodes its input, marks the call as waiting and yields; the executor sends the frame
 * when the yield has come up to it. Its answer is decoded when the code is resumed, or raised as a
 * table {code, status, message, ...}. Log lines are gathered with the call, up to its limit.
 */
#include "sandbox/executor.h"

static const char error_key, loaded_key;

/* ---- log ---- */

/* Valid UTF-8 without zero bytes, whatever s is. */
static void add_clean(struct ar_buf *buf, struct ar_str s)
{
	size_t i = 0;

	if (ar_utf8_valid(s) && (s.n == 0 || memchr(s.p, 0, s.n) == NULL)) {
		ar_buf_str(buf, s);
		return;
	}
	while (i < s.n) {
		size_t n = 1;

		while (n < 4 && i + n < s.n && !ar_utf8_valid(ar_str_n(s.p + i, n)))
			n++;
		if (s.p[i] != '\0' && ar_utf8_valid(ar_str_n(s.p + i, n))) {
			ar_buf_add(buf, s.p + i, n);
			i += n;
		} else {
			ar_buf_z(buf, "\xef\xbf\xbd");
			i++;
		}
	}
}

void sb_put_text(struct ar_buf *buf, struct ar_str s)
{
	size_t at = buf->n;
	uint32_t n = 0;

	ar_buf_add(buf, &n, sizeof(n));
	add_clean(buf, s);
	n = (uint32_t)(buf->n - at - sizeof(n));
	memcpy(buf->p + at, &n, sizeof(n));
}

static void log_line(struct call *call, enum ar_level level, struct ar_str s)
{
	size_t cost = s.n + 16; /* so that empty lines have an end, too */

	if (call->logs_cut)
		return;
	if (cost > call->head.log_max - call->log_used) {
		call->logs_cut = true;
		level = AR_WARN;
		s = AR_STR("log limit reached: what follows is not kept");
	} else {
		call->log_used += cost;
	}
	ar_buf_char(&call->log, (char)level);
	sb_put_text(&call->log, s);
	if (call->log.n > 8192)
		sb_send_log(call);
}

static int log_at(lua_State *L, enum ar_level level)
{
	int n = lua_gettop(L);
	struct text t;

	sb_text_init(L, &t);
	for (int i = 1; i <= n; i++) {
		size_t len;
		const char *s;

		if (call_of(L)->logs_cut)
			return 0;
		s = sb_tostring(L, i, &len);
		if (i > 1)
			sb_text_char(&t, '\t');
		sb_text_add(&t, s, len);
		lua_pop(L, 1);
	}
	log_line(call_of(L), level, ar_str_n(t.p, t.n));
	return 0;
}

static int log_debug(lua_State *L)
{
	return log_at(L, AR_DEBUG);
}

static int log_info(lua_State *L)
{
	return log_at(L, AR_INFO);
}

static int log_warn(lua_State *L)
{
	return log_at(L, AR_WARN);
}

static int log_error(lua_State *L)
{
	return log_at(L, AR_ERROR);
}

/* ---- host calls ---- */

static int host_end(lua_State *L, int status, lua_KContext ctx)
{
	struct call *call = call_of(L);
	const char *refused = call->refused;

	(void)status;
	(void)ctx;
	call->waiting = false;
	call->refused = NULL;
	sb_poll(L);
	if (refused != NULL)
		return luaL_error(L, "%s", refused);
	sb_lua_decode(L, &call->answer);
	if (call->answer_ok)
		return 1;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
	lua_setmetatable(L, -2);
	return lua_error(L);
}

static int host_call(lua_State *L, const char *name, size_t n, int arg)
{
	struct call *call = call_of(L);
	uint16_t len = (uint16_t)n;
	const char *wrong;
	bool large;

	if (lua_gettop(L) > arg)
		return luaL_error(L, "%s takes one table", name);
	if (lua_isnoneornil(L, arg)) {
		lua_settop(L, arg - 1);
		lua_newtable(L);
	}
	luaL_checktype(L, arg, LUA_TTABLE);
	if (call->host_calls >= call->head.host_calls)
		sb_stop(L, STOP_CALLS);
	if (!lua_isyieldable(L))
		return luaL_error(L, "the platform cannot be called from inside of this function");
	ar_buf_done(&call->out);
	ar_buf_init(&call->out, call->head.output_max + 1024);
	ar_buf_room(&call->out, sizeof(struct wire_header));
	call->out.n = sizeof(struct wire_header);
	ar_buf_add(&call->out, &len, sizeof(len));
	ar_buf_add(&call->out, name, n);
	wrong = sb_lua_encode(L, arg, &call->out, &large);
	if (wrong != NULL)
		return luaL_error(L, "%s: the input holds %s", name, wrong);
	call->host_calls++;
	call->waiting = true;
	return lua_yieldk(L, 0, 0, host_end);
}

/* Upvalue: "module.action". */
static int host_action(lua_State *L)
{
	size_t n;
	const char *name = lua_tolstring(L, lua_upvalueindex(1), &n);

	return host_call(L, name, n, 1);
}

/* apprun.call("module.action", {...}), for names that come from data */
static int host_by_name(lua_State *L)
{
	size_t n;
	const char *name = luaL_checklstring(L, 1, &n);

	luaL_argcheck(L, n > 0 && n <= WIRE_NAME_MAX, 1, "not an action's name");
	return host_call(L, name, n, 2);
}

static bool name_part(lua_State *L, int arg, size_t *n)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const char *s = lua_type(L, arg) == LUA_TSTRING ? lua_tolstring(L, arg, n) : "";

	return *s != '\0' && *n <= WIRE_NAME_MAX / 2 && strspn(s, good) == *n;
}

/* __index of apprun.MODULE; upvalue: the module's name. Made once for each name. */
static int host_index_action(lua_State *L)
{
	size_t n;

	if (!name_part(L, 2, &n))
		return 0;
	lua_pushvalue(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushliteral(L, ".");
	lua_pushvalue(L, 2);
	lua_concat(L, 3);
	lua_pushcclosure(L, host_action, 1);
	lua_pushvalue(L, -1);
	lua_insert(L, -3);
	lua_rawset(L, 1);
	return 1;
}

/* __index of apprun */
static int host_index_module(lua_State *L)
{
	size_t n;

	if (!name_part(L, 2, &n))
		return 0;
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, host_index_action, 1);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_rawset(L, 1);
	return 1;
}

/* __tostring of an error of the platform: "code: message" */
static int host_error_text(lua_State *L)
{
	static const char *const parts[] = { "code", "message" };

	luaL_checktype(L, 1, LUA_TTABLE);
	for (size_t i = 0; i < AR_COUNT(parts); i++) {
		lua_pushstring(L, parts[i]);
		if (lua_rawget(L, 1) != LUA_TSTRING) {
			lua_pop(L, 1);
			lua_pushliteral(L, "?");
		}
	}
	lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
	return 1;
}

/* ---- require ---- */

static int require_end(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return 1;
}

static int base_require(lua_State *L)
{
	struct call *call = call_of(L);
	const char *name = luaL_checkstring(L, 1);
	struct code *code = NULL;

	lua_settop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
	lua_pushvalue(L, 1);
	switch (lua_rawget(L, 2)) {
	case LUA_TNIL:
		break;
	case LUA_TLIGHTUSERDATA:
		return luaL_error(L, "loop while loading module '%s'", name);
	default:
		return 1;
	}
	for (unsigned i = 0; i < call->head.nmodules && code == NULL; i++) {
		if (strcmp(sb_executor.codes[call->modules[i]].name + 1, name) == 0)
			code = &sb_executor.codes[call->modules[i]];
	}
	if (code == NULL)
		return luaL_error(L, "module '%s' not found", name);
	lua_pushvalue(L, 1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&loaded_key);
	lua_rawset(L, 2);
	lua_settop(L, 1);
	sb_code_load(L, code);
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 1, 0, require_end);
	return require_end(L, LUA_OK, 0);
}

void sb_open_host(lua_State *L)
{
	static const luaL_Reg log[] = {
		{ "debug", log_debug }, { "error", log_error }, { "info", log_info },
		{ "warn", log_warn },   { NULL, NULL },
	};

	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, host_by_name);
	lua_setfield(L, -2, "call");
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, host_index_module);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_setglobal(L, "apprun");

	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, host_error_text);
	lua_setfield(L, -2, "__tostring");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);

	lua_createtable(L, 0, 4);
	luaL_setfuncs(L, log, 0);
	lua_setglobal(L, "log");
	lua_pushcfunction(L, log_info);
	lua_setglobal(L, "print");
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
	lua_pushcfunction(L, base_require);
	lua_setglobal(L, "require");
}
