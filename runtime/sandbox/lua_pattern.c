/*
 * lua_pattern.c - Lua's patterns (manual 6.4.1), interruptible.
 *
 * The stock matcher may run for hours inside one C call, where no hook can fire. This one counts
 * steps and looks at the call's stop flag, so that the CPU limit holds inside of it too.
 * Recursion is bounded as in stock Lua.
 */
#include "sandbox/lua_pattern.h"

#include <ctype.h>

static inline void step(struct match *m)
{
	if (--m->fuel == 0) {
		sb_poll(m->L);
		m->fuel = MATCH_FUEL;
	}
}

static bool class_has(int c, int class)
{
	bool in;

	switch (tolower(class)) {
	case 'a':
		in = isalpha(c);
		break;
	case 'c':
		in = iscntrl(c);
		break;
	case 'd':
		in = isdigit(c);
		break;
	case 'g':
		in = isgraph(c);
		break;
	case 'l':
		in = islower(c);
		break;
	case 'p':
		in = ispunct(c);
		break;
	case 's':
		in = isspace(c);
		break;
	case 'u':
		in = isupper(c);
		break;
	case 'w':
		in = isalnum(c);
		break;
	case 'x':
		in = isxdigit(c);
		break;
	default:
		return class == c;
	}
	return isupper(class) ? !in : in;
}

/* Where the single-character item at p ends. */
static const char *item_end(struct match *m, const char *p)
{
	if (*p++ == '%') {
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 1;
	}
	if (p[-1] != '[')
		return p;
	if (p < m->pat_end && *p == '^')
		p++;
	do { /* a ']' right after the bracket is an ordinary one */
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p++ == '%') {
			if (p == m->pat_end)
				luaL_error(m->L, "malformed pattern (missing ']')");
			p++;
		}
	} while (p == m->pat_end || *p != ']');
	return p + 1;
}

/* p at '[', close at the matching ']'. */
static bool set_has(int c, const char *p, const char *close)
{
	bool found = true;

	if (p[1] == '^') {
		found = false;
		p++;
	}
	while (++p < close) {
		if (*p == '%') {
			p++;
			if (class_has(c, (unsigned char)*p))
				return found;
		} else if (p[1] == '-' && p + 2 < close) {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return found;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return found;
		}
	}
	return !found;
}

static bool item_matches(struct match *m, const char *s, const char *p, const char *ep)
{
	int c;

	if (s >= m->end)
		return false;
	c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return class_has(c, (unsigned char)p[1]);
	case '[':
		return set_has(c, p, ep - 1);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *match_here(struct match *m, const char *s, const char *p);

static const char *match_balance(struct match *m, const char *s, const char *p)
{
	int depth = 1;

	if (p + 1 >= m->pat_end)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->end || *s != *p)
		return NULL;
	while (++s < m->end) {
		step(m);
		if (*s == p[1]) {
			if (--depth == 0)
				return s + 1;
		} else if (*s == *p) {
			depth++;
		}
	}
	return NULL;
}

static const char *expand_max(struct match *m, const char *s, const char *p, const char *ep)
{
	ptrdiff_t i = 0;

	while (item_matches(m, s + i, p, ep)) {
		step(m);
		i++;
	}
	for (; i >= 0; i--) {
		const char *r = match_here(m, s + i, ep + 1);

		if (r != NULL)
			return r;
	}
	return NULL;
}

static const char *expand_min(struct match *m, const char *s, const char *p, const char *ep)
{
	for (;;) {
		const char *r = match_here(m, s, ep + 1);

		if (r != NULL)
			return r;
		if (!item_matches(m, s, p, ep))
			return NULL;
		s++;
	}
}

static const char *capture_start(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
	const char *r;

	if (m->level >= MATCH_CAPTURES)
		luaL_error(m->L, "too many captures");
	m->cap[m->level].at = s;
	m->cap[m->level].n = what;
	m->level++;
	r = match_here(m, s, p);
	if (r == NULL)
		m->level--;
	return r;
}

static const char *capture_end(struct match *m, const char *s, const char *p)
{
	int i = m->level - 1;
	const char *r;

	while (i >= 0 && m->cap[i].n != MATCH_OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->cap[i].n = s - m->cap[i].at;
	r = match_here(m, s, p);
	if (r == NULL)
		m->cap[i].n = MATCH_OPEN;
	return r;
}

static const char *match_back(struct match *m, const char *s, int digit)
{
	int i = digit - '1';
	size_t n;

	if (i < 0 || i >= m->level || m->cap[i].n == MATCH_OPEN)
		luaL_error(m->L, "invalid capture index %%%d", i + 1);
	if (m->cap[i].n == MATCH_POSITION) /* as in stock Lua: it has no text to match */
		return NULL;
	n = (size_t)m->cap[i].n;
	if ((size_t)(m->end - s) < n || memcmp(m->cap[i].at, s, n) != 0)
		return NULL;
	for (size_t cost = n / 256; cost > 0; cost--)
		step(m);
	return s + n;
}

static bool frontier(struct match *m, const char *s, const char *p, const char *ep)
{
	int before = s == m->src ? 0 : (unsigned char)s[-1];
	int here = s < m->end ? (unsigned char)*s : 0;

	return !set_has(before, p, ep - 1) && set_has(here, p, ep - 1);
}

/* '%' followed by b, f or a digit. Returns false when it is an ordinary class. */
static bool match_special(struct match *m, const char **s, const char **p)
{
	const char *q = *p + 1;

	if (q == m->pat_end)
		return false;
	if (*q == 'b') {
		*s = match_balance(m, *s, q + 1);
		*p = q + 3;
		return true;
	}
	if (*q == 'f') {
		const char *ep;

		q++;
		if (q >= m->pat_end || *q != '[')
			luaL_error(m->L, "missing '[' after '%%f' in pattern");
		ep = item_end(m, q);
		if (!frontier(m, *s, q, ep))
			*s = NULL;
		*p = ep;
		return true;
	}
	if (isdigit((unsigned char)*q)) {
		*s = match_back(m, *s, (unsigned char)*q);
		*p = q + 1;
		return true;
	}
	return false;
}

/* A single item with its suffix. True when *s is the result of all the rest of the pattern. */
static bool match_item(struct match *m, const char **s, const char **p)
{
	const char *ep = item_end(m, *p), *r;
	char suffix = ep < m->pat_end ? *ep : '\0';
	bool here = suffix != '*' && suffix != '-' && item_matches(m, *s, *p, ep);

	switch (suffix) {
	case '*':
		*s = expand_max(m, *s, *p, ep);
		return true;
	case '+':
		*s = here ? expand_max(m, *s + 1, *p, ep) : NULL;
		return true;
	case '-':
		*s = expand_min(m, *s, *p, ep);
		return true;
	case '?':
		r = here ? match_here(m, *s + 1, ep + 1) : NULL;
		if (r != NULL) {
			*s = r;
			return true;
		}
		*p = ep + 1;
		return false;
	default:
		*s = here ? *s + 1 : NULL;
		*p = ep;
		return false;
	}
}

static const char *match_here(struct match *m, const char *s, const char *p)
{
	if (m->depth-- == 0)
		luaL_error(m->L, "pattern too complex");
	while (s != NULL && p != m->pat_end) {
		step(m);
		if (*p == '(') {
			bool position = p + 1 < m->pat_end && p[1] == ')';

			s = position ? capture_start(m, s, p + 2, MATCH_POSITION)
				     : capture_start(m, s, p + 1, MATCH_OPEN);
			break;
		}
		if (*p == ')') {
			s = capture_end(m, s, p + 1);
			break;
		}
		if (*p == '$' && p + 1 == m->pat_end) {
			s = s == m->end ? s : NULL;
			break;
		}
		if (*p == '%' && match_special(m, &s, &p))
			continue;
		if (match_item(m, &s, &p))
			break;
	}
	m->depth++;
	return s;
}

void sb_match_init(struct match *m, lua_State *L, const char *s, size_t ns, const char *p,
		   size_t np)
{
	m->L = L;
	m->src = s;
	m->end = s + ns;
	m->pat_end = p + np;
	m->fuel = MATCH_FUEL;
	m->depth = MATCH_DEPTH;
	m->level = 0;
}

const char *sb_match_try(struct match *m, const char *s, const char *p)
{
	m->level = 0;
	m->depth = MATCH_DEPTH;
	return match_here(m, s, p);
}
