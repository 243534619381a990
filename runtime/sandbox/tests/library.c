/*
 * library.c - the sandbox's own library against stock Lua: the same results for random arguments.
 *
 * Both run in this process, which no product does; the arguments come from library.lua. json.decode
 * is held against the json room's reader.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <lualib.h>

#include <cmocka.h>

#include "sandbox/executor.h"

static struct call *call;

/* ---- values from one state to the other ---- */

static void carry(lua_State *from, int index, lua_State *to)
{
	size_t n;
	const char *s;

	index = lua_absindex(from, index);
	luaL_checkstack(from, 4, NULL);
	luaL_checkstack(to, 4, NULL);
	switch (lua_type(from, index)) {
	case LUA_TNIL:
		lua_pushnil(to);
		break;
	case LUA_TBOOLEAN:
		lua_pushboolean(to, lua_toboolean(from, index));
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(from, index))
			lua_pushinteger(to, lua_tointeger(from, index));
		else
			lua_pushnumber(to, lua_tonumber(from, index));
		break;
	case LUA_TSTRING:
		s = lua_tolstring(from, index, &n);
		lua_pushlstring(to, s, n);
		break;
	case LUA_TTABLE:
		lua_newtable(to);
		lua_pushnil(from);
		while (lua_next(from, index)) {
			carry(from, -2, to);
			carry(from, -1, to);
			lua_rawset(to, -3);
			lua_pop(from, 1);
		}
		break;
	default:
		lua_pushstring(to, luaL_typename(from, index));
		break;
	}
}

/* ours(name, ...): what our function gives, after true, or false and its error. */
static int ours(lua_State *L)
{
	lua_State *o = call->main;
	int n = lua_gettop(L), base = lua_gettop(o), ok;

	lua_getglobal(o, "for_tests");
	lua_getfield(o, -1, luaL_checkstring(L, 1));
	lua_remove(o, -2);
	for (int i = 2; i <= n; i++)
		carry(L, i, o);
	ok = lua_pcall(o, n - 1, LUA_MULTRET, 0) == LUA_OK;
	lua_settop(L, 0);
	lua_pushboolean(L, ok);
	for (int i = base + 1; i <= lua_gettop(o); i++)
		carry(o, i, L);
	lua_settop(o, base);
	return lua_gettop(L);
}

static const char names[] =
	"local function keep(f) return function(a, ...) local r = table.pack(f(a, ...)) "
	"return a, r end end "
	"for_tests = { find = string.find, match = string.match, gsub = string.gsub, "
	"gmatch_list = function(...) local t = {} for a, b, c in string.gmatch(...) do "
	"t[#t + 1] = {a, b, c} end return t end, "
	"format = string.format, byte = string.byte, rep = string.rep, upper = string.upper, "
	"lower = string.lower, reverse = string.reverse, tostring = tostring, tonumber = tonumber, "
	"insert = keep(table.insert), remove = keep(table.remove), concat = table.concat, "
	"unpack = table.unpack, move = table.move, pack = table.pack, sort = keep(table.sort), "
	"date = os.date, time = os.time, decode = json.decode, encode = json.encode }";

/* A fresh state of ours, with the names above. */
static void fresh(void)
{
	static struct code code = { .name = (char *)(uintptr_t) "=names" };

	assert_true(sb_place_ready(call, 64 << 20));
	call->stop = STOP_NONE;
	call->running = call->main;
	ar_heap_free(code.text);
	code.text = ar_heap_strz(ar_str(names));
	code.n = sizeof(names) - 1;
	code.compiled = false;
	sb_code_load(call->main, &code);
	lua_call(call->main, 0, 0);
}

static void agrees_with_stock_lua(void **state)
{
	lua_State *L = luaL_newstate();

	setenv("TZ", "UTC0", 1);
	luaL_openlibs(L);
	lua_register(L, "ours", ours);
	for (int seed = 1; seed <= 20; seed++) {
		fresh();
		if (luaL_loadfile(L, SOURCE_ROOT "/runtime/sandbox/tests/library.lua") != LUA_OK)
			fail_msg("%s", lua_tostring(L, -1));
		lua_pushinteger(L, seed);
		lua_pushinteger(L, SEEDED_ROUNDS);
		if (lua_pcall(L, 2, 0, 0) != LUA_OK)
			fail_msg("seed %d: %s", seed, lua_tostring(L, -1));
	}
	lua_close(L);
}

/* ---- JSON ---- */

static bool decodes(struct ar_str text, char *why, size_t n)
{
	lua_State *L = call->main;
	bool ok;

	lua_getglobal(L, "for_tests");
	lua_getfield(L, -1, "decode");
	lua_pushlstring(L, text.p, text.n);
	ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
	snprintf(why, n, "%s", ok ? "" : lua_tostring(L, -1));
	lua_settop(L, 1);
	return ok;
}

/*
 * The same verdict on texts with random damage. Nulls stand in arrays only: in an object one is an
 * absent key here, so that it may come twice.
 */
static void decides_like_the_json_room(void **state)
{
	static const char *const texts[] = {
		"{\"a\":[1,-2.5e3,true,false,[],{},null],\"b\":{\"c\":\"x\\\"\\n\\u00e9\"}}",
		"[0.1,1E+2,-0,0e0,9223372036854775807,-9223372036854775808,1e308]",
		"  [ \"\\ud83d\\ude00\" , \"\xc3\xa9\xf0\x9f\x98\x80\" ]\r\n\t",
		"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
		"{\"a\":1,\"b\":2,\"c\":3,\"d\":[{\"a\":1},{\"a\":2}]}",
	};
	static const char damage[] = "\"\\{}[],:0123456789.eE+-tfn u\x80\xc3\xff\x01\t/d";
	char text[256], why[256];
	uint64_t seed = 1;
	int good = 0;

	fresh();
	for (int i = 0; i < 40000; i++) {
		const char *base = texts[i % AR_COUNT(texts)];
		struct ar_pool *pool = ar_pool_new();
		struct ar_str s = { text, strlen(base) };
		struct ar_json *v;
		bool house, lua;

		memcpy(text, base, s.n);
		for (int k = 0; k < 1 + i % 3; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			if ((seed >> 60) < 2)
				s.n = s.n > 0 ? (seed >> 33) % s.n : 0;
			else if ((seed >> 60) < 14 && s.n > 0)
				text[(seed >> 33) % s.n] =
					damage[(seed >> 20) % (sizeof(damage) - 1)];
		}
		house = ar_json_parse(pool, ar_str_dup(pool, s), &ar_json_limits_default, &v) == 0;
		ar_err_clear();
		lua = decodes(s, why, sizeof(why));
		if (house != lua)
			fail_msg("%.*s (%s): house %d, lua %d (%s)", AR_FMT(s),
				 ar_hex(pool, s.p, s.n).p, house, lua, why);
		good += house;
		ar_pool_free(pool);
	}
	assert_in_range(good, 1000, 39000);
}

static void encodes_what_it_decodes(void **state)
{
	static const char *const texts[] = {
		"{\"a\":[1,2.5,true,false,[],{}],\"b\":\"x\\\"\\\\\\n\\u0001é😀\"}",
		"[null,1e300,-0.1,9223372036854775807,-9223372036854775808]",
		"[\"\\ud83d\\ude00\",\"\\u00e9\"]",
		"[0.1,0.30000000000000004,1e-7,123456789012345680]",
	};
	lua_State *L = call->main;

	fresh();
	for (size_t i = 0; i < AR_COUNT(texts); i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_json *a, *b;
		size_t n;
		const char *s;

		lua_getglobal(L, "for_tests");
		lua_getfield(L, -1, "encode");
		lua_getfield(L, -2, "decode");
		lua_pushstring(L, texts[i]);
		lua_call(L, 1, 1);
		lua_call(L, 1, 1);
		s = lua_tolstring(L, -1, &n);
		assert_int_equal(ar_json_parse(pool, ar_str(texts[i]), &ar_json_limits_default, &a),
				 0);
		assert_int_equal(ar_json_parse(pool, ar_str_n(s, n), &ar_json_limits_default, &b),
				 0);
		if (!ar_json_equal(a, b))
			fail_msg("%s came back as %s", texts[i], s);
		lua_settop(L, 1);
		ar_pool_free(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_stock_lua),
		cmocka_unit_test(decides_like_the_json_room),
		cmocka_unit_test(encodes_what_it_decodes),
	};

	sb_executor_prepare();
	call = &sb_executor.calls[0];
	call->head.log_max = 1 << 16;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
