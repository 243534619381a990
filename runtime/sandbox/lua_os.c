/*
 * lua_os.c - time that stands still, and random numbers that follow the call's seed.
 *
 * os.time() and os.date() say the moment at which the call was made, in UTC, however often they are
 * asked; os.clock() is 0. So no code can measure its neighbours, and a run can be repeated.
 * The calendar is base's: the C library's would read the time zone's file.
 */
#include "sandbox/executor.h"

#include <math.h>
#include <stdio.h>

/* ---- calendar (proleptic Gregorian, UTC) ---- */

struct date {
	int64_t year;
	int month, day, hour, min, sec, wday, yday; /* wday 0: Sunday; yday from 0 */
};

/* Months count on over the years' ends. */
static int64_t days_of(int64_t year, int64_t month)
{
	year += (month - 1) / 12;
	month = (month - 1) % 12;
	if (month < 0) {
		month += 12;
		year--;
	}
	return ar_date_days(year, (int)month + 1, 1);
}

static void date_of(int64_t t, struct date *d)
{
	int64_t days = t / 86400, sec = t % 86400;

	if (sec < 0) {
		sec += 86400;
		days--;
	}
	d->hour = (int)(sec / 3600);
	d->min = (int)(sec / 60 % 60);
	d->sec = (int)(sec % 60);
	d->wday = (int)(((days + 4) % 7 + 7) % 7);
	ar_date_of(days, &d->year, &d->month, &d->day);
	d->yday = (int)(days - ar_date_days(d->year, 1, 1));
}

static int64_t now_s(lua_State *L)
{
	int64_t ms = call_of(L)->head.now_ms;

	return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

static int64_t field(lua_State *L, const char *key, int64_t otherwise, bool must)
{
	int64_t v = otherwise;
	int ok;

	if (lua_getfield(L, 1, key) != LUA_TNIL) {
		v = lua_tointegerx(L, -1, &ok);
		if (!ok || v < -1000000000 || v > 1000000000)
			luaL_error(L, "field '%s' is not an integer in range", key);
	} else if (must) {
		luaL_error(L, "field '%s' missing in date table", key);
	}
	lua_pop(L, 1);
	return v;
}

static int os_time(lua_State *L)
{
	int64_t year, month, day, sec;

	if (lua_isnoneornil(L, 1)) {
		lua_pushinteger(L, now_s(L));
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	year = field(L, "year", 0, true);
	month = field(L, "month", 0, true);
	day = field(L, "day", 0, true);
	sec = field(L, "hour", 12, false) * 3600 + field(L, "min", 0, false) * 60 +
	      field(L, "sec", 0, false);
	lua_pushinteger(L, (days_of(year, month) + day - 1) * 86400 + sec);
	return 1;
}

static void set_int(lua_State *L, const char *key, int64_t v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, key);
}

static int date_table(lua_State *L, const struct date *d)
{
	lua_createtable(L, 0, 9);
	set_int(L, "year", d->year);
	set_int(L, "month", d->month);
	set_int(L, "day", d->day);
	set_int(L, "hour", d->hour);
	set_int(L, "min", d->min);
	set_int(L, "sec", d->sec);
	set_int(L, "wday", d->wday + 1);
	set_int(L, "yday", d->yday + 1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "isdst");
	return 1;
}

static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
					"Thursday", "Friday", "Saturday" };
static const char *const months[] = { "January",   "February", "March",    "April",
				      "May",       "June",     "July",     "August",
				      "September", "October",  "November", "December" };

/* One conversion of strftime, for those that need no locale. False: not one of them. */
static bool date_part(char out[64], char c, const struct date *d, int64_t t)
{
	int hour12 = d->hour % 12 == 0 ? 12 : d->hour % 12;

#define PART(...) return snprintf(out, 64, __VA_ARGS__) >= 0
	switch (c) {
	case 'a':
		PART("%.3s", weekdays[d->wday]);
	case 'A':
		PART("%s", weekdays[d->wday]);
	case 'b':
		PART("%.3s", months[d->month - 1]);
	case 'B':
		PART("%s", months[d->month - 1]);
	case 'c':
		PART("%.3s %.3s %2d %02d:%02d:%02d %lld", weekdays[d->wday], months[d->month - 1],
		     d->day, d->hour, d->min, d->sec, (long long)d->year);
	case 'd':
		PART("%02d", d->day);
	case 'D':
	case 'x':
		PART("%02d/%02d/%02d", d->month, d->day, (int)(d->year % 100));
	case 'e':
		PART("%2d", d->day);
	case 'F':
		PART("%lld-%02d-%02d", (long long)d->year, d->month, d->day);
	case 'H':
		PART("%02d", d->hour);
	case 'I':
		PART("%02d", hour12);
	case 'j':
		PART("%03d", d->yday + 1);
	case 'm':
		PART("%02d", d->month);
	case 'M':
		PART("%02d", d->min);
	case 'p':
		PART("%s", d->hour < 12 ? "AM" : "PM");
	case 's':
		PART("%lld", (long long)t);
	case 'S':
		PART("%02d", d->sec);
	case 'T':
	case 'X':
		PART("%02d:%02d:%02d", d->hour, d->min, d->sec);
	case 'u':
		PART("%d", d->wday == 0 ? 7 : d->wday);
	case 'w':
		PART("%d", d->wday);
	case 'y':
		PART("%02d", (int)(d->year % 100));
	case 'Y':
		PART("%lld", (long long)d->year);
	case 'z':
		PART("+0000");
	case 'Z':
		PART("UTC");
	case '%':
		PART("%%");
	default:
		return false;
	}
#undef PART
}

static int os_date(lua_State *L)
{
	size_t n;
	const char *p = luaL_optlstring(L, 1, "%c", &n), *end = p + n;
	int64_t t = lua_isnoneornil(L, 2) ? now_s(L) : luaL_checkinteger(L, 2);
	struct date d;
	struct text text;

	if (t < -62167219200 || t > 253402300799)
		return luaL_error(L, "date out of range");
	date_of(t, &d);
	if (p < end && *p == '!')
		p++;
	if (end - p >= 2 && p[0] == '*' && p[1] == 't')
		return date_table(L, &d);
	lua_settop(L, 2);
	sb_text_init(L, &text);
	for (; p < end; p++) {
		char part[64];

		if (*p != '%') {
			sb_text_char(&text, *p);
			continue;
		}
		if (++p == end || !date_part(part, *p, &d, t))
			return luaL_argerror(L, 1, "invalid conversion specifier");
		sb_text_add(&text, part, strlen(part));
	}
	sb_text_push(&text);
	return 1;
}

static int os_clock(lua_State *L)
{
	lua_pushnumber(L, 0);
	return 1;
}

static int os_difftime(lua_State *L)
{
	lua_pushnumber(L,
		       (lua_Number)luaL_checkinteger(L, 1) - (lua_Number)luaL_optinteger(L, 2, 0));
	return 1;
}

void sb_open_os(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "clock", os_clock }, { "date", os_date }, { "difftime", os_difftime },
		{ "time", os_time },   { NULL, NULL },
	};

	lua_createtable(L, 0, 4);
	luaL_setfuncs(L, functions, 0);
}

/* ---- random numbers: xoshiro256** ---- */

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

uint64_t sb_random(struct call *call)
{
	uint64_t *s = call->random, r = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return r;
}

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void sb_random_seed(struct call *call, uint64_t a, uint64_t b)
{
	call->random[0] = splitmix(&a);
	call->random[1] = splitmix(&a);
	call->random[2] = splitmix(&b);
	call->random[3] = splitmix(&b) | 1; /* never all zero */
}

/* A number below n + 1, without bias. */
static uint64_t project(struct call *call, uint64_t n)
{
	uint64_t mask = n, r;

	for (int shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	do
		r = sb_random(call) & mask;
	while (r > n);
	return r;
}

static int math_random(lua_State *L)
{
	struct call *call = call_of(L);
	lua_Integer lo = 1, hi;

	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (lua_Number)(sb_random(call) >> 11) * 0x1p-53);
		return 1;
	case 1:
		hi = luaL_checkinteger(L, 1);
		if (hi == 0) {
			lua_pushinteger(L, (lua_Integer)sb_random(call));
			return 1;
		}
		break;
	case 2:
		lo = luaL_checkinteger(L, 1);
		hi = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, lo <= hi, lua_gettop(L), "interval is empty");
	lua_pushinteger(L,
			(lua_Integer)(project(call, (uint64_t)hi - (uint64_t)lo) + (uint64_t)lo));
	return 1;
}

static int math_randomseed(lua_State *L)
{
	struct call *call = call_of(L);
	uint64_t a, b;

	if (lua_isnone(L, 1)) {
		a = sb_random(call);
		b = sb_random(call);
	} else {
		lua_Number n = luaL_checknumber(L, 1);

		if (!lua_isinteger(L, 1))
			memcpy(&a, &n, sizeof(a));
		else
			a = (uint64_t)lua_tointeger(L, 1);
		b = (uint64_t)luaL_optinteger(L, 2, 0);
	}
	sb_random_seed(call, a, b);
	return 0;
}

void sb_open_math(lua_State *L, lua_State *stock)
{
	static const luaL_Reg functions[] = {
		{ "random", math_random },
		{ "randomseed", math_randomseed },
		{ NULL, NULL },
	};
	static const char *const names[] = {
		"abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",  "exp", "floor",
		"fmod", "huge", "log",  "max",  "maxinteger", "min",  "modf", "pi",  "mininteger",
		"rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult",  NULL
	};

	lua_createtable(L, 0, 32);
	luaL_setfuncs(L, functions, 0);
	sb_take(L, stock, "math", names);
}
