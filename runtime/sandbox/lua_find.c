/*
 * lua_find.c - string.find, match, gmatch and gsub over the matcher of lua_pattern.c.
 *
 * A plain find is linear (memmem). Results are built in a text that grows with the state's memory.
 */
#include "sandbox/lua_pattern.h"

#include <ctype.h>

/* ---- captures ---- */

static void push_capture(struct match *m, int i, const char *s, const char *e)
{
	if (i >= m->level) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, s, (size_t)(e - s));
	} else if (m->cap[i].n == MATCH_POSITION) {
		lua_pushinteger(m->L, m->cap[i].at - m->src + 1);
	} else if (m->cap[i].n == MATCH_OPEN) {
		luaL_error(m->L, "unfinished capture");
	} else {
		lua_pushlstring(m->L, m->cap[i].at, (size_t)m->cap[i].n);
	}
}

static int push_captures(struct match *m, const char *s, const char *e)
{
	int n = m->level == 0 && s != NULL ? 1 : m->level;

	luaL_checkstack(m->L, n, "too many captures");
	for (int i = 0; i < n; i++)
		push_capture(m, i, s, e);
	return n;
}

static bool has_specials(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (memchr("^$*+?.([%-", p[i], 10) != NULL)
			return true;
	}
	return false;
}

static size_t start_of(lua_State *L, int arg, size_t n)
{
	lua_Integer i = luaL_optinteger(L, arg, 1);

	if (i > 0)
		return (size_t)i - 1;
	if (i == 0 || i < -(lua_Integer)n)
		return 0;
	return n + (size_t)i;
}

static int find_or_match(lua_State *L, bool find)
{
	size_t ns, np, from;
	const char *s = luaL_checklstring(L, 1, &ns), *p = luaL_checklstring(L, 2, &np);
	struct match m;
	bool anchor;

	from = start_of(L, 3, ns);
	if (from > ns) {
		lua_pushnil(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || !has_specials(p, np))) {
		const char *at = np == 0 ? s + from : memmem(s + from, ns - from, p, np);

		if (at == NULL) {
			lua_pushnil(L);
			return 1;
		}
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, at - s + (lua_Integer)np);
		return 2;
	}
	anchor = np > 0 && *p == '^';
	sb_match_init(&m, L, s, ns, p, np);
	p += anchor;
	for (const char *at = s + from;; at++) {
		const char *e = sb_match_try(&m, at, p);

		if (e != NULL && find) {
			lua_pushinteger(L, at - s + 1);
			lua_pushinteger(L, e - s);
			return push_captures(&m, NULL, NULL) + 2;
		}
		if (e != NULL)
			return push_captures(&m, at, e);
		if (anchor || at == m.end)
			break;
	}
	lua_pushnil(L);
	return 1;
}

int sb_str_find(lua_State *L)
{
	return find_or_match(L, true);
}

int sb_str_match(lua_State *L)
{
	return find_or_match(L, false);
}

/* Upvalues: subject, pattern, position to start at, end of the last match (-1: none). */
static int gmatch_next(lua_State *L)
{
	size_t ns, np;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &ns);
	const char *p = lua_tolstring(L, lua_upvalueindex(2), &np);
	lua_Integer from = lua_tointeger(L, lua_upvalueindex(3));
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct match m;

	sb_match_init(&m, L, s, ns, p, np);
	for (; from <= (lua_Integer)ns; from++) {
		const char *e = sb_match_try(&m, s + from, p);

		if (e != NULL && e - s != last) {
			lua_pushinteger(L, e - s);
			lua_copy(L, -1, lua_upvalueindex(3));
			lua_replace(L, lua_upvalueindex(4));
			return push_captures(&m, s + from, e);
		}
	}
	return 0;
}

int sb_str_gmatch(lua_State *L)
{
	size_t n, from;

	luaL_checklstring(L, 1, &n);
	luaL_checkstring(L, 2);
	from = start_of(L, 3, n);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)AR_MIN(from, n + 1));
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

/* ---- gsub ---- */

static void add_template(struct match *m, struct text *t, const char *s, const char *e)
{
	lua_State *L = m->L;
	size_t n;
	const char *r = lua_tolstring(L, 3, &n), *end = r + n;

	while (r < end) {
		const char *percent = memchr(r, '%', (size_t)(end - r));

		if (percent == NULL) {
			sb_text_add(t, r, (size_t)(end - r));
			return;
		}
		sb_text_add(t, r, (size_t)(percent - r));
		r = percent + 1;
		if (r < end && *r == '%') {
			sb_text_char(t, '%');
		} else if (r < end && *r == '0') {
			sb_text_add(t, s, (size_t)(e - s));
		} else if (r < end && isdigit((unsigned char)*r)) {
			const char *c;

			push_capture(m, *r - '1', s, e);
			c = luaL_tolstring(L, -1, &n);
			sb_text_add(t, c, n);
			lua_pop(L, 2);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement string");
		}
		r++;
	}
}

/* Adds what stands for the match s..e. True when something was replaced. */
static bool add_replacement(struct match *m, struct text *t, const char *s, const char *e, int type)
{
	lua_State *L = m->L;
	size_t n;
	const char *r;

	if (type == LUA_TFUNCTION) {
		sb_stack_check(L);
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, s, e), 1);
	} else if (type == LUA_TTABLE) {
		push_capture(m, 0, s, e);
		lua_gettable(L, 3);
	} else {
		add_template(m, t, s, e);
		return true;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		sb_text_add(t, s, (size_t)(e - s));
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	r = lua_tolstring(L, -1, &n);
	sb_text_add(t, r, n);
	lua_pop(L, 1);
	return true;
}

int sb_str_gsub(lua_State *L)
{
	size_t ns, np;
	const char *s = luaL_checklstring(L, 1, &ns), *p = luaL_checklstring(L, 2, &np);
	const char *last = NULL;
	int type = lua_type(L, 3);
	lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)ns + 1), count = 0;
	bool anchor = np > 0 && *p == '^', changed = false;
	struct match m;
	struct text t;

	if (type == LUA_TNUMBER) {
		lua_tostring(L, 3);
		type = LUA_TSTRING;
	}
	luaL_argexpected(L, type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION, 3,
			 "string/function/table");
	lua_settop(L, 3);
	sb_text_init(L, &t);
	sb_match_init(&m, L, s, ns, p, np);
	p += anchor;
	while (count < max) {
		const char *e = sb_match_try(&m, s, p);

		if (e != NULL && e != last) {
			count++;
			changed |= add_replacement(&m, &t, s, e, type);
			s = last = e;
		} else if (s < m.end) {
			sb_text_char(&t, *s++);
		} else {
			break;
		}
		if (anchor)
			break;
	}
	if (changed) {
		sb_text_add(&t, s, (size_t)(m.end - s));
		sb_text_push(&t);
	} else {
		lua_pushvalue(L, 1);
	}
	lua_pushinteger(L, count);
	return 2;
}
