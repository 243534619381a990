/*
 * lua_json.c - json.encode and json.decode: the same rules as for what enters and leaves a call.
 *
 * Strict RFC 8259 in, compact JSON with sorted keys out, by way of the wire's form and its limits
 * (depth 64, 100,000 values). Decoding is a parser of its own over Lua values: its memory is the
 * state's.
 */
#include "sandbox/executor.h"

#include <math.h>
#include <stdio.h>

enum { TEXT_MAX = 6 << 20 };

/* ---- encode ---- */

static void put_json_string(struct text *t, struct ar_str s)
{
	size_t from = 0;

	sb_text_char(t, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char code[8];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		sb_text_add(t, s.p + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			snprintf(code, sizeof(code), "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			snprintf(code, sizeof(code), "\\%c",
				 c == '\n'   ? 'n'
				 : c == '\t' ? 't'
					     : 'r');
		else
			snprintf(code, sizeof(code), "\\u%04x", c);
		sb_text_add(t, code, strlen(code));
	}
	sb_text_add(t, s.p + from, s.n - from);
	sb_text_char(t, '"');
}

static void put_json_number(struct text *t, struct wire_reader *r, int tag)
{
	char number[40];
	int64_t i = tag - WIRE_SMALL_INT;
	double f;

	if (tag == WIRE_FLOAT) {
		sb_read(r, &f, sizeof(f));
		for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back */
			double back = 0;

			snprintf(number, sizeof(number), "%.*g", digits, f);
			if (ar_str_float(ar_str(number), &back) && back == f)
				break;
		}
	} else {
		if (tag == WIRE_INT)
			sb_read(r, &i, sizeof(i));
		snprintf(number, sizeof(number), "%lld", (long long)i);
	}
	sb_text_add(t, number, strlen(number));
}

static void put_json(struct text *t, struct wire_reader *r)
{
	unsigned char tag, key;
	uint32_t n;

	sb_read(r, &tag, 1);
	switch (tag) {
	case WIRE_NULL:
		sb_text_add(t, "null", 4);
		return;
	case WIRE_FALSE:
		sb_text_add(t, "false", 5);
		return;
	case WIRE_TRUE:
		sb_text_add(t, "true", 4);
		return;
	case WIRE_STRING:
		put_json_string(t, sb_read_str32(r));
		return;
	case WIRE_ARRAY:
	case WIRE_OBJECT:
		break;
	default:
		if (tag >= WIRE_SHORT)
			put_json_string(t, sb_read_str(r, tag & 127));
		else
			put_json_number(t, r, tag);
		return;
	}
	sb_read(r, &n, sizeof(n));
	sb_text_char(t, tag == WIRE_ARRAY ? '[' : '{');
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			sb_text_char(t, ',');
		if (tag == WIRE_OBJECT) {
			sb_read(r, &key, 1);
			put_json_string(t, key >= WIRE_SHORT ? sb_read_str(r, key & 127)
							     : sb_read_str32(r));
			sb_text_char(t, ':');
		}
		put_json(t, r);
	}
	sb_text_char(t, tag == WIRE_ARRAY ? ']' : '}');
}

static int json_encode(lua_State *L)
{
	static struct ar_buf wire; /* one call runs at a time, and this does not give way */
	struct wire_reader r;
	struct text t;
	const char *wrong;
	bool large;

	luaL_checkany(L, 1);
	ar_buf_done(&wire);
	ar_buf_init(&wire, TEXT_MAX);
	wrong = sb_lua_encode(L, 1, &wire, &large);
	if (wrong != NULL)
		return luaL_error(L, "cannot encode %s", wrong);
	r = (struct wire_reader){ (unsigned char *)wire.p, (unsigned char *)wire.p + wire.n,
				  false };
	sb_text_init(L, &t);
	put_json(&t, &r);
	sb_text_push(&t);
	return 1;
}

/* ---- decode ---- */

struct parser {
	lua_State *L;
	const char *start, *p, *end;
	unsigned depth;
	size_t nodes;
	bool keep_null;
};

static _Noreturn void bad(struct parser *j, const char *what)
{
	luaL_error(j->L, "invalid JSON at byte %I: %s", (LUAI_UACINT)(j->p - j->start + 1), what);
	__builtin_unreachable();
}

static void skip_space(struct parser *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
		j->p++;
}

static unsigned hex4(struct parser *j)
{
	unsigned v = 0;

	if (j->end - j->p < 4)
		bad(j, "unfinished escape");
	for (int i = 0; i < 4; i++) {
		char c = *j->p++;
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			bad(j, "wrong escape");
		v = v * 16 + (unsigned)digit;
	}
	return v;
}

static void put_utf8(struct text *t, unsigned c)
{
	char s[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		s[i] = (char)(0x80 | (c & 63));
	s[0] = (char)(n == 1 ? c : (0xf00 >> n) | c);
	sb_text_add(t, s, n);
}

static void parse_escape(struct parser *j, struct text *t)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char c = j->p < j->end ? *j->p++ : '\0';
	const char *at;
	unsigned u;

	if (c != 'u') {
		at = c != '\0' ? strchr(from, c) : NULL;
		if (at == NULL)
			bad(j, "wrong escape");
		sb_text_char(t, to[at - from]);
		return;
	}
	u = hex4(j);
	if (u >= 0xd800 && u < 0xdc00) {
		unsigned low;

		if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
			bad(j, "lone surrogate");
		j->p += 2;
		low = hex4(j);
		if (low < 0xdc00 || low > 0xdfff)
			bad(j, "lone surrogate");
		u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
	} else if (u == 0 || (u >= 0xdc00 && u < 0xe000)) {
		bad(j, u == 0 ? "zero character" : "lone surrogate");
	}
	put_utf8(t, u);
}

/* Pushes it. */
static void parse_string(struct parser *j)
{
	const char *from = ++j->p;
	struct text t;

	while (j->p < j->end && *j->p != '"' && *j->p != '\\' && (unsigned char)*j->p >= 0x20)
		j->p++;
	if (j->p < j->end && *j->p == '"') { /* no escape in it */
		if (!ar_utf8_valid(ar_str_n(from, (size_t)(j->p - from))))
			bad(j, "invalid UTF-8");
		lua_pushlstring(j->L, from, (size_t)(j->p - from));
		j->p++;
		return;
	}
	sb_text_init(j->L, &t);
	for (;;) {
		sb_text_add(&t, from, (size_t)(j->p - from));
		if (j->p == j->end || (unsigned char)*j->p < 0x20)
			bad(j, "unfinished string");
		if (*j->p++ == '"')
			break;
		parse_escape(j, &t);
		from = j->p;
		while (j->p < j->end && *j->p != '"' && *j->p != '\\' &&
		       (unsigned char)*j->p >= 0x20)
			j->p++;
	}
	if (!ar_utf8_valid(ar_str_n(t.p, t.n)))
		bad(j, "invalid UTF-8");
	sb_text_push(&t);
	lua_remove(j->L, t.slot);
}

static void parse_number(struct parser *j)
{
	const char *from = j->p;
	struct ar_str s;
	int64_t i;
	double f;

	while (j->p < j->end && memchr("+-.eE0123456789", *j->p, 15) != NULL)
		j->p++;
	s = ar_str_n(from, (size_t)(j->p - from));
	if (s.n == 0 || !ar_str_float(s, &f)) {
		j->p = from;
		bad(j, "neither a value nor a number in range");
	}
	if (memchr(s.p, '.', s.n) || memchr(s.p, 'e', s.n) || memchr(s.p, 'E', s.n))
		lua_pushnumber(j->L, f);
	else if (ar_str_int(s, &i))
		lua_pushinteger(j->L, i);
	else
		bad(j, "integer out of range");
}

static void parse_value(struct parser *j, bool member);

static void parse_list(struct parser *j)
{
	lua_Integer n = 0;

	j->p++;
	lua_newtable(j->L);
	sb_array_mark(j->L);
	skip_space(j);
	if (j->p < j->end && *j->p == ']') {
		j->p++;
		return;
	}
	for (;;) {
		parse_value(j, false);
		lua_rawseti(j->L, -2, ++n);
		if (j->p < j->end && *j->p == ',') {
			j->p++;
			continue;
		}
		if (j->p < j->end && *j->p == ']')
			break;
		bad(j, "',' or ']' expected");
	}
	j->p++;
}

static void parse_object(struct parser *j)
{
	j->p++;
	lua_newtable(j->L);
	skip_space(j);
	if (j->p < j->end && *j->p == '}') {
		j->p++;
		return;
	}
	for (;;) {
		skip_space(j);
		if (j->p == j->end || *j->p != '"')
			bad(j, "a key expected");
		parse_string(j);
		lua_pushvalue(j->L, -1);
		if (lua_rawget(j->L, -3) != LUA_TNIL)
			bad(j, "duplicate key");
		lua_pop(j->L, 1);
		skip_space(j);
		if (j->p == j->end || *j->p++ != ':')
			bad(j, "':' expected");
		parse_value(j, true);
		lua_rawset(j->L, -3);
		if (j->p < j->end && *j->p == ',') {
			j->p++;
			continue;
		}
		if (j->p < j->end && *j->p == '}')
			break;
		bad(j, "',' or '}' expected");
	}
	j->p++;
}

static bool parse_word(struct parser *j, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
		return false;
	j->p += n;
	return true;
}

/* Pushes the value and skips the space behind it. */
static void parse_value(struct parser *j, bool member)
{
	skip_space(j);
	if (++j->nodes > WIRE_NODES)
		bad(j, "too many values");
	if ((j->nodes & 255) == 0)
		sb_poll(j->L);
	luaL_checkstack(j->L, 10, "too deep");
	if (j->p == j->end)
		bad(j, "unfinished");
	if (*j->p == '{' || *j->p == '[') {
		if (++j->depth > WIRE_DEPTH)
			bad(j, "too deep");
		if (*j->p == '{')
			parse_object(j);
		else
			parse_list(j);
		j->depth--;
	} else if (*j->p == '"') {
		parse_string(j);
	} else if (parse_word(j, "true")) {
		lua_pushboolean(j->L, 1);
	} else if (parse_word(j, "false")) {
		lua_pushboolean(j->L, 0);
	} else if (parse_word(j, "null")) {
		if (member && !j->keep_null)
			lua_pushnil(j->L);
		else
			lua_pushlightuserdata(j->L, (void *)(uintptr_t)&sb_null);
	} else {
		parse_number(j);
	}
	skip_space(j);
}

static int json_decode(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	struct parser j = {
		.L = L, .start = s, .p = s, .end = s + n, .keep_null = lua_toboolean(L, 2)
	};

	luaL_argcheck(L, n <= TEXT_MAX, 1, "text too long");
	lua_settop(L, 1);
	parse_value(&j, true);
	if (j.p != j.end)
		bad(&j, "more than one value");
	return 1;
}

static int json_array(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	sb_array_mark(L);
	return 1;
}

void sb_open_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "array", json_array },
		{ "decode", json_decode },
		{ "encode", json_encode },
		{ NULL, NULL },
	};

	lua_createtable(L, 0, 4);
	luaL_setfuncs(L, functions, 0);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&sb_null);
	lua_setfield(L, -2, "null");
}
