/*
 * lua_value.c - Lua values to the wire and back.
 *
 * Encoding reads tables raw: no metamethod of the tenant runs. A table whose content would be computed
 * by some (`__pairs`, `__len`, a function as `__index`) is refused, since what is in it is not what
 * its code sees. A list has exactly the keys 1 to n; anything else has string keys only. Keys go out
 * sorted. Depth and count are bounded.
 */
#include "sandbox/executor.h"

#include <math.h>
#include <stdlib.h>

const char sb_null = 0;
static const char array_key = 0;

struct encoder {
	lua_State *L;
	struct ar_buf *out;
	unsigned depth;
	size_t nodes;
	const char *wrong;
	bool large;
};

/* ---- lists ---- */

void sb_array_mark(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 1);
		lua_pushliteral(L, "array");
		lua_setfield(L, -2, "__name");
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
	}
	lua_setmetatable(L, -2);
}

bool sb_array_marked(lua_State *L, int index)
{
	bool is;

	if (!lua_getmetatable(L, index))
		return false;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
	is = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is;
}

/* ---- to the wire ---- */

static bool wrong(struct encoder *e, const char *what)
{
	e->wrong = what;
	return false;
}

static bool too_large(struct encoder *e)
{
	e->large = true;
	return wrong(e, "something too large, too deep or with too many values");
}

static bool put_string(struct encoder *e, struct ar_str s)
{
	if (s.n > 0 && (memchr(s.p, 0, s.n) != NULL || !ar_utf8_valid(s)))
		return wrong(e, "a string that is not text (UTF-8 without zero bytes)");
	if (s.n < 128) {
		ar_buf_char(e->out, (char)(WIRE_SHORT | s.n));
	} else {
		uint32_t n = (uint32_t)s.n;

		ar_buf_char(e->out, WIRE_STRING);
		ar_buf_add(e->out, &n, sizeof(n));
	}
	ar_buf_str(e->out, s);
	return !e->out->over || too_large(e);
}

static bool put_number(struct encoder *e, int index)
{
	if (lua_isinteger(e->L, index)) {
		lua_Integer i = lua_tointeger(e->L, index);

		if (i >= 0 && i < 64) {
			ar_buf_char(e->out, (char)(WIRE_SMALL_INT | i));
		} else {
			ar_buf_char(e->out, WIRE_INT);
			ar_buf_add(e->out, &i, sizeof(i));
		}
	} else {
		double f = lua_tonumber(e->L, index);

		if (!isfinite(f))
			return wrong(e, "a number that is not finite");
		ar_buf_char(e->out, WIRE_FLOAT);
		ar_buf_add(e->out, &f, sizeof(f));
	}
	return true;
}

static bool put_value(struct encoder *e, int index);

static bool put_list(struct encoder *e, int index, lua_Unsigned n)
{
	uint32_t count = (uint32_t)n;

	ar_buf_char(e->out, WIRE_ARRAY);
	ar_buf_add(e->out, &count, sizeof(count));
	for (lua_Unsigned i = 1; i <= n; i++) {
		lua_rawgeti(e->L, index, (lua_Integer)i);
		if (lua_isnil(e->L, -1))
			return wrong(e, "a list with holes");
		if (!put_value(e, lua_gettop(e->L)))
			return false;
		lua_pop(e->L, 1);
	}
	return true;
}

struct member {
	struct ar_str key;
	int index;
};

static void sift(struct member *members, uint32_t at, uint32_t n)
{
	struct member moved = members[at];

	for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && ar_str_cmp(members[child].key, members[child + 1].key) < 0)
			child++;
		if (ar_str_cmp(moved.key, members[child].key) >= 0)
			break;
		members[at] = members[child];
	}
	members[at] = moved;
}

/* By key, as a heap: qsort() of a kilobyte asks the kernel for the size of memory, and whoever asks
 * the kernel for anything here is killed. */
static void members_sort(struct member *members, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift(members, i, n);
	for (uint32_t last = n; last-- > 1;) {
		struct member largest = members[0];

		members[0] = members[last];
		members[last] = largest;
		sift(members, 0, last);
	}
}

static bool put_sorted(struct encoder *e, struct member *members, uint32_t n)
{
	ar_buf_char(e->out, WIRE_OBJECT);
	ar_buf_add(e->out, &n, sizeof(n));
	members_sort(members, n);
	for (uint32_t i = 0; i < n; i++) {
		if (!put_string(e, members[i].key) || !put_value(e, members[i].index))
			return false;
	}
	return true;
}

/* The values are on the stack while the keys are sorted; the keys stay in the table. */
static bool put_object(struct encoder *e, int index, size_t n)
{
	struct member few[32], *members = few;
	uint32_t count = 0;
	bool ok;

	if (n > WIRE_NODES || !lua_checkstack(e->L, (int)n + 8))
		return too_large(e);
	if (n > AR_COUNT(few))
		members = ar_heap_alloc(n * sizeof(*members));
	lua_pushnil(e->L);
	while (lua_next(e->L, index)) {
		size_t len;

		members[count].key.p = lua_tolstring(e->L, -2, &len);
		members[count].key.n = len;
		members[count].index = lua_gettop(e->L) - 1;
		lua_insert(e->L, -2); /* value below, key on top for the next step */
		count++;
	}
	ok = put_sorted(e, members, count);
	if (members != few)
		ar_heap_free(members);
	if (ok)
		lua_pop(e->L, (int)count);
	return ok;
}

/* Whether a metatable makes the table look other than it is. */
static bool computed(lua_State *L, int index)
{
	static const char *const keys[] = { "__pairs", "__len", "__index" };
	bool is = false;

	if (!lua_getmetatable(L, index))
		return false;
	for (size_t i = 0; i < AR_COUNT(keys) && !is; i++) {
		int type;

		lua_pushstring(L, keys[i]);
		type = lua_rawget(L, -2);
		/* a table there is a class: its fields are not the object's */
		is = type != LUA_TNIL && (type != LUA_TTABLE || keys[i][2] != 'i');
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return is;
}

static bool put_table(struct encoder *e, int index)
{
	lua_Unsigned n = lua_rawlen(e->L, index);
	size_t strings = 0, integers = 0;
	bool ok;

	if (e->depth == WIRE_DEPTH || n > WIRE_NODES)
		return too_large(e);
	if (computed(e->L, index))
		return wrong(e, "a table that its metatable makes look other than it is");
	e->depth++;
	lua_pushnil(e->L);
	while (lua_next(e->L, index)) {
		lua_pop(e->L, 1);
		if (lua_type(e->L, -1) == LUA_TSTRING)
			strings++;
		else if (lua_isinteger(e->L, -1))
			integers++;
		else
			return wrong(e, "a table with a key that is neither text nor a position");
		if (strings + integers > WIRE_NODES)
			return too_large(e);
	}
	if (strings > 0 && integers > 0)
		return wrong(e, "a table that is both a list and a map");
	if (integers > 0 && integers != n)
		return wrong(e, "a list with holes");
	if (integers > 0 || (strings == 0 && sb_array_marked(e->L, index)))
		ok = put_list(e, index, n);
	else
		ok = put_object(e, index, strings);
	e->depth--;
	return ok;
}

/* index is absolute. On failure values may be left on the stack. */
static bool put_value(struct encoder *e, int index)
{
	lua_State *L = e->L;
	size_t n;

	if (++e->nodes > WIRE_NODES || e->out->over || !lua_checkstack(L, 8))
		return too_large(e);
	switch (lua_type(L, index)) {
	case LUA_TNONE:
	case LUA_TNIL:
		ar_buf_char(e->out, WIRE_NULL);
		return true;
	case LUA_TBOOLEAN:
		ar_buf_char(e->out, lua_toboolean(L, index) ? WIRE_TRUE : WIRE_FALSE);
		return true;
	case LUA_TNUMBER:
		return put_number(e, index);
	case LUA_TSTRING: {
		const char *s = lua_tolstring(L, index, &n);

		return put_string(e, ar_str_n(s, n));
	}
	case LUA_TTABLE:
		return put_table(e, index);
	case LUA_TLIGHTUSERDATA:
		ar_buf_char(e->out, WIRE_NULL);
		return lua_touserdata(L, index) == &sb_null || wrong(e, "a value of the runtime");
	case LUA_TFUNCTION:
		return wrong(e, "a function");
	case LUA_TTHREAD:
		return wrong(e, "a coroutine");
	default:
		return wrong(e, "a value of the runtime");
	}
}

const char *sb_lua_encode(lua_State *L, int index, struct ar_buf *out, bool *large)
{
	struct encoder e = { .L = L, .out = out };
	int top = lua_gettop(L);
	bool ok = put_value(&e, lua_absindex(L, index));

	if (ok && out->over)
		ok = too_large(&e);
	ar_err_clear(); /* what a full buffer left */
	lua_settop(L, top);
	*large = e.large;
	return ok ? NULL : e.wrong;
}

/* ---- from the wire ---- */

static void get_string(lua_State *L, struct wire_reader *r, int tag)
{
	struct ar_str s = tag >= WIRE_SHORT ? sb_read_str(r, (size_t)tag & 127) : sb_read_str32(r);

	lua_pushlstring(L, s.p != NULL ? s.p : "", s.n);
}

static void get_value(lua_State *L, struct wire_reader *r, bool member);

static void get_table(lua_State *L, struct wire_reader *r, bool array)
{
	uint32_t n;

	sb_read(r, &n, sizeof(n));
	if (n > (size_t)(r->end - r->p))
		luaL_error(L, "broken input");
	luaL_checkstack(L, 8, "input too deep");
	lua_createtable(L, array ? (int)n : 0, array ? 0 : (int)n);
	for (uint32_t i = 1; i <= n; i++) {
		unsigned char tag;

		if (array) {
			get_value(L, r, false);
			lua_rawseti(L, -2, i);
			continue;
		}
		sb_read(r, &tag, 1);
		get_string(L, r, tag);
		get_value(L, r, true);
		lua_rawset(L, -3);
	}
	if (array)
		sb_array_mark(L);
}

static void get_value(lua_State *L, struct wire_reader *r, bool member)
{
	unsigned char tag;
	int64_t i;
	double f;

	sb_read(r, &tag, 1);
	if (r->bad)
		luaL_error(L, "broken input");
	if (tag >= WIRE_SHORT || tag == WIRE_STRING) {
		get_string(L, r, tag);
		return;
	}
	switch (tag) {
	case WIRE_NULL:
		if (member)
			lua_pushnil(L);
		else
			lua_pushlightuserdata(L, (void *)(uintptr_t)&sb_null);
		return;
	case WIRE_FALSE:
	case WIRE_TRUE:
		lua_pushboolean(L, tag == WIRE_TRUE);
		return;
	case WIRE_INT:
		sb_read(r, &i, sizeof(i));
		lua_pushinteger(L, i);
		return;
	case WIRE_FLOAT:
		sb_read(r, &f, sizeof(f));
		lua_pushnumber(L, f);
		return;
	case WIRE_ARRAY:
	case WIRE_OBJECT:
		get_table(L, r, tag == WIRE_ARRAY);
		return;
	default:
		lua_pushinteger(L, tag - WIRE_SMALL_INT);
		return;
	}
}

void sb_lua_decode(lua_State *L, struct wire_reader *r)
{
	luaL_checkstack(L, 8, "input too deep");
	/* A null that is not in an array is nil. */
	get_value(L, r, true);
	if (r->bad)
		luaL_error(L, "broken input");
}
