/*
 * lua_table.c - the table library on raw access.
 *
 * Metamethods are not asked: a list is what is in the table. One with `__len` is refused, since its
 * length would be a lie to whoever wrote it. Ranges are capped, loops look at the stop flag. concat
 * alone reads as stock Lua does, through `__len` and `__index` and without a cap: what it reads
 * costs the code its own CPU time.
 */
#include "sandbox/executor.h"

enum { RANGE_MAX = 10000000, RESULTS_MAX = 100000 };

static lua_Integer length_of(lua_State *L, int arg)
{
	luaL_checktype(L, arg, LUA_TTABLE);
	if (luaL_getmetafield(L, arg, "__len") != LUA_TNIL)
		luaL_argerror(L, arg, "a table with __len is not a list");
	return (lua_Integer)lua_rawlen(L, arg);
}

static void check_range(lua_State *L, lua_Integer from, lua_Integer to)
{
	lua_Integer n;

	if (from <= to && (__builtin_sub_overflow(to, from, &n) || n >= RANGE_MAX))
		luaL_error(L, "range too large");
}

static int table_insert(lua_State *L)
{
	lua_Integer n = length_of(L, 1) + 1, at = n;

	switch (lua_gettop(L)) {
	case 2:
		break;
	case 3:
		at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, at >= 1 && at <= n, 2, "position out of bounds");
		check_range(L, at, n);
		for (lua_Integer i = n; i > at; i--) {
			if ((i & 4095) == 0)
				sb_poll(L);
			lua_rawgeti(L, 1, i - 1);
			lua_rawseti(L, 1, i);
		}
		break;
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
	lua_rawseti(L, 1, at);
	return 0;
}

static int table_remove(lua_State *L)
{
	lua_Integer n = length_of(L, 1), at = luaL_optinteger(L, 2, n);

	if (lua_gettop(L) > 1)
		luaL_argcheck(L, (at >= 1 && at <= n + 1) || (n == 0 && at == 0), 2,
			      "position out of bounds");
	check_range(L, at, n);
	lua_rawgeti(L, 1, at);
	for (; at < n; at++) {
		if ((at & 4095) == 0)
			sb_poll(L);
		lua_rawgeti(L, 1, at + 1);
		lua_rawseti(L, 1, at);
	}
	lua_pushnil(L);
	lua_rawseti(L, 1, at);
	return 1;
}

static int table_concat(lua_State *L)
{
	size_t nsep;
	const char *sep = luaL_optlstring(L, 2, "", &nsep);
	lua_Integer from = luaL_optinteger(L, 3, 1), to;
	struct text t;

	luaL_checktype(L, 1, LUA_TTABLE);
	sb_stack_check(L); /* what is read can be a function that calls this */
	to = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4);
	lua_settop(L, 4);
	sb_text_init(L, &t);
	for (lua_Integer i = from; i <= to; i++) {
		size_t len;
		const char *s;

		sb_poll(L);
		lua_geti(L, 1, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
					  (LUAI_UACINT)i);
		s = lua_tolstring(L, -1, &len);
		sb_text_add(&t, s, len);
		lua_pop(L, 1);
		if (i == to)
			break; /* also where i + 1 would overflow */
		sb_text_add(&t, sep, nsep);
	}
	sb_text_push(&t);
	return 1;
}

static int table_pack(lua_State *L)
{
	int n = lua_gettop(L);

	lua_createtable(L, n, 1);
	lua_insert(L, 1);
	for (int i = n; i >= 1; i--)
		lua_rawseti(L, 1, i);
	lua_pushinteger(L, n);
	lua_setfield(L, 1, "n");
	return 1;
}

static int table_unpack(lua_State *L)
{
	lua_Integer from = luaL_optinteger(L, 2, 1), to, n;

	luaL_checktype(L, 1, LUA_TTABLE);
	to = lua_isnoneornil(L, 3) ? length_of(L, 1) : luaL_checkinteger(L, 3);
	if (from > to)
		return 0;
	if (__builtin_sub_overflow(to, from, &n) || n >= RESULTS_MAX ||
	    !lua_checkstack(L, (int)n + 1))
		return luaL_error(L, "too many results to unpack");
	for (lua_Integer i = 0; i <= n; i++)
		lua_rawgeti(L, 1, from + i);
	return (int)n + 1;
}

static int table_move(lua_State *L)
{
	lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
	lua_Integer at = luaL_checkinteger(L, 4), last;
	int into = lua_isnoneornil(L, 5) ? 1 : 5;

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, into, LUA_TTABLE);
	if (to >= from) {
		check_range(L, from, to);
		luaL_argcheck(L, !__builtin_add_overflow(at, to - from, &last), 4,
			      "destination wrap around");
		bool up = at > to || at <= from || (into != 1 && !lua_rawequal(L, 1, into));

		for (lua_Integer i = 0; i <= to - from; i++) {
			lua_Integer k = up ? i : to - from - i;

			if ((i & 4095) == 0)
				sb_poll(L);
			lua_rawgeti(L, 1, from + k);
			lua_rawseti(L, into, at + k);
		}
	}
	lua_pushvalue(L, into);
	return 1;
}

/* ---- sort: quicksort with the middle of three, as the manual's rules ask ---- */

static bool less(lua_State *L, int a, int b)
{
	bool r;

	if (lua_isnil(L, 2))
		return lua_compare(L, a, b, LUA_OPLT);
	a = lua_absindex(L, a);
	b = lua_absindex(L, b);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, a);
	lua_pushvalue(L, b);
	lua_call(L, 2, 1);
	r = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return r;
}

/* Sets t[i] and t[j] from the two values on top: the upper one goes to i. */
static void set_two(lua_State *L, lua_Integer i, lua_Integer j)
{
	lua_rawseti(L, 1, i);
	lua_rawseti(L, 1, j);
}

static void order_two(lua_State *L, lua_Integer i, lua_Integer j)
{
	lua_rawgeti(L, 1, i);
	lua_rawgeti(L, 1, j);
	if (less(L, -1, -2))
		set_two(L, i, j);
	else
		lua_pop(L, 2);
}

/* The pivot is on top of the stack and at t[up - 1]. Returns its place, having popped it. */
static lua_Integer partition(lua_State *L, lua_Integer lo, lua_Integer up)
{
	lua_Integer i = lo, j = up - 1;

	for (;;) {
		sb_poll(L);
		while (lua_rawgeti(L, 1, ++i), less(L, -1, -2)) {
			if (i == up - 1)
				luaL_error(L, "invalid order function for sorting");
			lua_pop(L, 1);
		}
		while (lua_rawgeti(L, 1, --j), less(L, -3, -1)) {
			if (j < i)
				luaL_error(L, "invalid order function for sorting");
			lua_pop(L, 1);
		}
		if (j < i) {
			lua_pop(L, 1);
			set_two(L, up - 1, i); /* t[up - 1] = t[i], t[i] = pivot */
			return i;
		}
		set_two(L, i, j);
	}
}

static lua_Integer choose_pivot(lua_State *L, lua_Integer lo, lua_Integer up, bool random)
{
	lua_Integer quarter = (up - lo) / 4;

	if (!random || quarter == 0)
		return lo + (up - lo) / 2;
	return lo + quarter + (lua_Integer)(sb_random(call_of(L)) % (uint64_t)(quarter * 2));
}

static void sort_range(lua_State *L, lua_Integer lo, lua_Integer up, bool random)
{
	while (lo < up) {
		lua_Integer p;

		order_two(L, lo, up);
		if (up - lo == 1)
			return;
		p = choose_pivot(L, lo, up, random);
		order_two(L, lo, p);
		order_two(L, p, up);
		if (up - lo == 2)
			return;
		lua_rawgeti(L, 1, p);
		lua_pushvalue(L, -1);
		lua_rawgeti(L, 1, up - 1);
		set_two(L, p, up - 1); /* the pivot goes to up - 1 */
		p = partition(L, lo, up);
		if (p - lo < up - p) { /* the smaller half by recursion, the larger one here */
			random |= (up - lo) / 128 > p - lo;
			sort_range(L, lo, p - 1, random);
			lo = p + 1;
		} else {
			random |= (up - lo) / 128 > up - p;
			sort_range(L, p + 1, up, random);
			up = p - 1;
		}
	}
}

static int table_sort(lua_State *L)
{
	lua_Integer n = length_of(L, 1);

	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	luaL_argcheck(L, n < RANGE_MAX, 1, "array too big");
	lua_settop(L, 2);
	luaL_checkstack(L, 200, "too many values");
	sb_stack_check(L);
	sort_range(L, 1, n, false);
	return 0;
}

void sb_open_table(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "concat", table_concat }, { "insert", table_insert },
		{ "move", table_move },     { "pack", table_pack },
		{ "remove", table_remove }, { "sort", table_sort },
		{ "unpack", table_unpack }, { NULL, NULL },
	};

	lua_createtable(L, 0, 8);
	luaL_setfuncs(L, functions, 0);
}
