/*
 * lua_pattern.h - the matcher, for the functions that use it.
 */
#ifndef AR_SANDBOX_LUA_PATTERN_H
#define AR_SANDBOX_LUA_PATTERN_H

#include "sandbox/executor.h"

enum { MATCH_CAPTURES = 32, MATCH_DEPTH = 200, MATCH_FUEL = 4096 };
enum { MATCH_OPEN = -1, MATCH_POSITION = -2 };

struct match {
	lua_State *L;
	const char *src, *end, *pat_end;
	unsigned fuel;
	int depth, level;
	struct {
		const char *at;
		ptrdiff_t n;
	} cap[MATCH_CAPTURES];
};

void sb_match_init(struct match *m, lua_State *L, const char *s, size_t ns, const char *p,
		   size_t np);
/* A match of p that begins at s: its end, or NULL. Raises for a malformed pattern. */
const char *sb_match_try(struct match *m, const char *s, const char *p);

#endif
