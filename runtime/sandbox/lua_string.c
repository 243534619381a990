/*
 * lua_string.c - the string library and text in the making.
 *
 * Long work looks at the stop flag; results that cannot fit are refused before they are built.
 * Buffers are Lua userdata, so that a full arena collects garbage before it gives up (luaL_Buffer
 * would not). Nothing shows an address: tostring() and %p give numbers of the state.
 */
#include "sandbox/executor.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

enum { RESULTS_MAX = 100000 };

/* ---- text ---- */

void sb_text_init(lua_State *L, struct text *t)
{
	luaL_checkstack(L, 4, "too many values");
	lua_pushnil(L);
	t->L = L;
	t->p = t->small;
	t->n = 0;
	t->cap = sizeof(t->small);
	t->slot = lua_gettop(L);
}

char *sb_text_room(struct text *t, size_t n)
{
	size_t cap = t->cap;
	char *p;

	if (t->cap - t->n >= n)
		return t->p + t->n;
	sb_poll(t->L);
	if (n > (size_t)1 << 30 || t->n > (size_t)1 << 30)
		luaL_error(t->L, "resulting string too large");
	while (cap - t->n < n)
		cap *= 2;
	p = lua_newuserdatauv(t->L, cap, 0);
	memcpy(p, t->p, t->n);
	lua_replace(t->L, t->slot);
	t->p = p;
	t->cap = cap;
	return p + t->n;
}

void sb_text_add(struct text *t, const char *p, size_t n)
{
	if (n > 0)
		memcpy(sb_text_room(t, n), p, n);
	t->n += n;
}

void sb_text_char(struct text *t, char c)
{
	*sb_text_room(t, 1) = c;
	t->n++;
}

void sb_text_push(struct text *t)
{
	lua_pushlstring(t->L, t->p, t->n);
}

/* ---- tostring ---- */

/* The number by which this state knows an object. */
static lua_Integer number_of(lua_State *L, int index)
{
	static const char key;
	lua_Integer n;

	index = lua_absindex(L, index);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_newtable(L);
		lua_pushliteral(L, "k");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	}
	lua_pushvalue(L, index);
	if (lua_rawget(L, -2) == LUA_TNUMBER) {
		n = lua_tointeger(L, -1);
		lua_pop(L, 2);
		return n;
	}
	lua_pop(L, 1);
	lua_rawgeti(L, -1, 0); /* the count, under a key that no object is */
	n = lua_tointeger(L, -1) + 1;
	lua_pop(L, 1);
	lua_pushinteger(L, n);
	lua_rawseti(L, -2, 0);
	lua_pushvalue(L, index);
	lua_pushinteger(L, n);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return n;
}

static void push_name(lua_State *L, int index)
{
	int type = luaL_getmetafield(L, index, "__name");
	const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index);

	lua_pushfstring(L, "%s: %I", name, (LUAI_UACINT)number_of(L, index));
	if (type != LUA_TNIL)
		lua_remove(L, -2);
}

const char *sb_tostring(lua_State *L, int index, size_t *n)
{
	index = lua_absindex(L, index);
	luaL_checkstack(L, 8, "too many values");
	sb_stack_check(L);
	if (luaL_callmeta(L, index, "__tostring")) {
		if (!lua_isstring(L, -1))
			luaL_error(L, "'__tostring' must return a string");
		return lua_tolstring(L, -1, n);
	}
	switch (lua_type(L, index)) {
	case LUA_TNIL:
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
	case LUA_TSTRING:
		return luaL_tolstring(L, index, n);
	case LUA_TLIGHTUSERDATA:
		lua_pushstring(L, lua_touserdata(L, index) == &sb_null ? "null" : "userdata");
		break;
	default:
		push_name(L, index);
		break;
	}
	return lua_tolstring(L, -1, n);
}

/* ---- format ---- */

/* Copies a conversion such as "%-10.3" without its letter to spec; the letter's place follows. */
static const char *read_spec(lua_State *L, const char *p, const char *end, char spec[16])
{
	const char *start = p;
	size_t digits = 0;

	while (p < end && *p != '\0' && strchr("-+ #0", *p) != NULL)
		p++;
	while (p < end && isdigit((unsigned char)*p) && digits++ < 2)
		p++;
	if (p < end && *p == '.') {
		p++;
		for (digits = 0; p < end && isdigit((unsigned char)*p) && digits++ < 2;)
			p++;
	}
	if (p >= end || p - start > 10 || isdigit((unsigned char)*p))
		luaL_error(L, "invalid conversion in the format of 'format'");
	spec[0] = '%';
	memcpy(spec + 1, start, (size_t)(p - start));
	spec[1 + (p - start)] = '\0';
	return p;
}

static void add_spec(char spec[16], const char *what)
{
	size_t n = strlen(spec);

	snprintf(spec + n, 16 - n, "%s", what);
}

static void add_quoted(lua_State *L, struct text *t, int arg)
{
	size_t n;
	const char *s;

	if (lua_type(L, arg) != LUA_TSTRING) {
		luaL_argcheck(L, lua_type(L, arg) <= LUA_TNUMBER && !lua_isuserdata(L, arg), arg,
			      "value has no literal form");
		if (lua_type(L, arg) == LUA_TNUMBER && !lua_isinteger(L, arg)) {
			char number[64];
			double v = lua_tonumber(L, arg);

			if (isfinite(v))
				snprintf(number, sizeof(number), "%a", v);
			else
				snprintf(number, sizeof(number), "%s",
					 isnan(v) ? "(0/0)"
					 : v > 0  ? "1e9999"
						  : "-1e9999");
			sb_text_add(t, number, strlen(number));
			return;
		}
		if (lua_isinteger(L, arg) && lua_tointeger(L, arg) == LUA_MININTEGER) {
			sb_text_add(t, "0x8000000000000000", 18); /* its decimal form is a float */
			return;
		}
		s = luaL_tolstring(L, arg, &n);
		sb_text_add(t, s, n);
		lua_pop(L, 1);
		return;
	}
	s = lua_tolstring(L, arg, &n);
	sb_text_char(t, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char code[8];

		if (c == '"' || c == '\\' || c == '\n') {
			sb_text_char(t, '\\');
			sb_text_char(t, (char)c);
		} else if (iscntrl(c)) {
			bool digit = i + 1 < n && isdigit((unsigned char)s[i + 1]);

			snprintf(code, sizeof(code), digit ? "\\%03d" : "\\%d", c);
			sb_text_add(t, code, strlen(code));
		} else {
			sb_text_char(t, (char)c);
		}
	}
	sb_text_char(t, '"');
}

static void add_string(lua_State *L, struct text *t, int arg, char spec[16])
{
	size_t n;
	const char *s = sb_tostring(L, arg, &n);

	if (spec[1] == '\0') { /* plain %s: any length, also with zeros */
		sb_text_add(t, s, n);
	} else {
		luaL_argcheck(L, n == strlen(s), arg, "string contains zeros");
		if (strchr(spec, '.') == NULL && n >= 100) {
			sb_text_add(t, s, n);
		} else {
			char *room = sb_text_room(t, 256);

			add_spec(spec, "s");
			t->n += (size_t)snprintf(room, 256, spec, s);
		}
	}
	lua_pop(L, 1);
}

static void add_conversion(lua_State *L, struct text *t, int arg, char letter, char spec[16])
{
	char *room = sb_text_room(t, 512); /* %99.99f of 1e308: 409 bytes */
	char kind[2] = { letter, '\0' };

	switch (letter) {
	case 'c':
		add_spec(spec, kind);
		t->n += (size_t)snprintf(room, 512, spec, (int)luaL_checkinteger(L, arg));
		return;
	case 'd':
	case 'i':
	case 'o':
	case 'u':
	case 'x':
	case 'X':
		add_spec(spec, "ll");
		add_spec(spec, kind);
		t->n += (size_t)snprintf(room, 512, spec, (long long)luaL_checkinteger(L, arg));
		return;
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		add_spec(spec, kind);
		t->n += (size_t)snprintf(room, 512, spec, luaL_checknumber(L, arg));
		return;
	case 'p': /* a number of the state, as tostring() gives it */
		if (lua_type(L, arg) <= LUA_TSTRING)
			lua_pushliteral(L, "(null)");
		else
			push_name(L, arg);
		sb_text_add(t, lua_tostring(L, -1), lua_rawlen(L, -1));
		lua_pop(L, 1);
		return;
	case 'q':
		if (spec[1] != '\0')
			luaL_error(L, "specifier '%%q' cannot have modifiers");
		add_quoted(L, t, arg);
		return;
	case 's':
		add_string(L, t, arg, spec);
		return;
	default:
		luaL_error(L, "invalid conversion '%%%c' to 'format'", letter);
	}
}

int sb_str_format(lua_State *L)
{
	int top = lua_gettop(L), arg = 1;
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n), *end = p + n;
	struct text t;

	sb_text_init(L, &t);
	while (p < end) {
		const char *percent = memchr(p, '%', (size_t)(end - p));
		char spec[16];

		if (percent == NULL) {
			sb_text_add(&t, p, (size_t)(end - p));
			break;
		}
		sb_text_add(&t, p, (size_t)(percent - p));
		p = percent + 1;
		if (p < end && *p == '%') {
			sb_text_char(&t, *p++);
			continue;
		}
		if (++arg > top)
			return luaL_argerror(L, arg, "no value");
		p = read_spec(L, p, end, spec);
		add_conversion(L, &t, arg, *p++, spec);
	}
	sb_text_push(&t);
	return 1;
}

/* ---- the small ones ---- */

static int str_rep(lua_State *L)
{
	size_t n, nsep, total;
	const char *s = luaL_checklstring(L, 1, &n), *sep = luaL_optlstring(L, 3, "", &nsep);
	lua_Integer times = luaL_checkinteger(L, 2);
	struct text t;

	if (times <= 0 || n + nsep == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (__builtin_mul_overflow(n + nsep, (size_t)times, &total) ||
	    total > call_of(L)->arena.cap)
		return luaL_error(L, "resulting string too large");
	sb_text_init(L, &t);
	sb_text_room(&t, total);
	for (lua_Integer i = 0; i < times; i++) {
		if ((i & 4095) == 4095)
			sb_poll(L);
		sb_text_add(&t, s, n);
		if (i + 1 < times)
			sb_text_add(&t, sep, nsep);
	}
	sb_text_push(&t);
	return 1;
}

static int map_bytes(lua_State *L, int (*fn)(int c))
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	struct text t;
	char *room;

	sb_text_init(L, &t);
	room = sb_text_room(&t, n);
	for (size_t i = 0; i < n; i++)
		room[i] = (char)fn((unsigned char)s[i]);
	t.n = n;
	sb_text_push(&t);
	return 1;
}

static int str_lower(lua_State *L)
{
	return map_bytes(L, tolower);
}

static int str_upper(lua_State *L)
{
	return map_bytes(L, toupper);
}

static int str_reverse(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	struct text t;
	char *room;

	sb_text_init(L, &t);
	room = sb_text_room(&t, n);
	for (size_t i = 0; i < n; i++)
		room[i] = s[n - 1 - i];
	t.n = n;
	sb_text_push(&t);
	return 1;
}

/* A position counted from the end when negative, as one from 1; clamped below to 0. */
static lua_Integer position(lua_Integer i, size_t n)
{
	if (i >= 0)
		return i;
	return i < -(lua_Integer)n ? 0 : (lua_Integer)n + i + 1;
}

static int str_byte(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer i = luaL_optinteger(L, 2, 1), from, to;

	from = AR_MAX(position(i, n), 1);
	to = AR_MIN(position(luaL_optinteger(L, 3, i), n), (lua_Integer)n);
	if (from > to)
		return 0;
	if (to - from >= RESULTS_MAX)
		return luaL_error(L, "string slice too long");
	luaL_checkstack(L, (int)(to - from + 1), "string slice too long");
	for (lua_Integer k = from; k <= to; k++)
		lua_pushinteger(L, (unsigned char)s[k - 1]);
	return (int)(to - from + 1);
}

static const luaL_Reg functions[] = {
	{ "byte", str_byte },        { "find", sb_str_find }, { "format", sb_str_format },
	{ "gmatch", sb_str_gmatch }, { "gsub", sb_str_gsub }, { "lower", str_lower },
	{ "match", sb_str_match },   { "rep", str_rep },      { "reverse", str_reverse },
	{ "upper", str_upper },      { NULL, NULL },
};

/* The strings' metatable: arithmetic as in stock Lua, methods, and no way in. */
static void set_metatable(lua_State *L, lua_State *stock)
{
	static const char *const names[] = { "__add", "__sub", "__mul",  "__mod",
					     "__pow", "__div", "__idiv", "__unm" };

	lua_pushliteral(L, "");
	lua_createtable(L, 0, 12);
	lua_pushliteral(stock, "");
	lua_getmetatable(stock, -1);
	for (size_t i = 0; i < AR_COUNT(names); i++) {
		lua_getfield(stock, -1, names[i]);
		lua_pushcfunction(L, lua_tocfunction(stock, -1));
		lua_setfield(L, -2, names[i]);
		lua_pop(stock, 1);
	}
	lua_pop(stock, 2);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

void sb_open_string(lua_State *L, lua_State *stock)
{
	static const char *const names[] = { "char", "len",    "pack", "packsize",
					     "sub",  "unpack", NULL };

	lua_createtable(L, 0, 16);
	luaL_setfuncs(L, functions, 0);
	sb_take(L, stock, "string", names);
	set_metatable(L, stock);
}
