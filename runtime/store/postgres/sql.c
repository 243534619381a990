/*
 * sql.c - the house's SQL as PostgreSQL takes it: places for values are numbered.
 *
 * A question mark in a string, a quoted name, a comment or a dollar-quoted text is not a place. The
 * texts are the house's own, so a quote that does not end is a bug and PostgreSQL will say so.
 */
#include "store/postgres/postgres_int.h"

#include <ctype.h>

/* The end of a quoted text that begins at p; the quote itself is written twice inside. */
static const char *quoted_end(const char *p)
{
	char quote = *p++;

	while (*p != '\0') {
		if (*p != quote) {
			p++;
		} else if (p[1] == quote) {
			p += 2;
		} else {
			return p + 1;
		}
	}
	return p;
}

static const char *comment_end(const char *p)
{
	int depth = 1; /* they nest */

	for (p += 2; *p != '\0' && depth > 0; p++) {
		if (p[0] == '*' && p[1] == '/') {
			depth--;
			p++;
		} else if (p[0] == '/' && p[1] == '*') {
			depth++;
			p++;
		}
	}
	return p;
}

/* The end of $tag$...$tag$, or p + 1 when no such text begins here. */
static const char *dollar_end(const char *p)
{
	const char *end = p + 1, *close;
	size_t n;

	while (isalnum((unsigned char)*end) || *end == '_')
		end++;
	if (*end != '$' || isdigit((unsigned char)p[1]))
		return p + 1;
	n = (size_t)(end + 1 - p);
	for (close = end + 1; *close != '\0'; close++)
		if (strncmp(close, p, n) == 0)
			return close + n;
	return close;
}

/* The end of what begins at p and holds no place; p itself when there is no such thing. */
static const char *opaque_end(const char *p)
{
	if (*p == '\'' || *p == '"')
		return quoted_end(p);
	if (p[0] == '-' && p[1] == '-')
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*')
		return comment_end(p);
	if (*p == '$')
		return dollar_end(p);
	return p;
}

char *pg_sql_translate(struct ar_pool *pool, const char *sql, bool lock, unsigned *ret_places)
{
	struct ar_buf *out = ar_buf_new(pool, strlen(sql) * 6 + 64); /* "?" becomes "$65535" */
	unsigned places = 0;

	for (const char *p = sql; *p != '\0';) {
		const char *end = opaque_end(p);

		if (end != p) {
			ar_buf_add(out, p, (size_t)(end - p));
			p = end;
		} else if (*p == '?') {
			ar_buf_printf(out, "$%u", ++places);
			p++;
		} else {
			ar_buf_char(out, *p++);
		}
	}
	while (out->n > 0 &&
	       (isspace((unsigned char)out->p[out->n - 1]) || out->p[out->n - 1] == ';'))
		out->n--;
	if (lock)
		ar_buf_z(out, " FOR UPDATE");
	ar_buf_char(out, '\0');
	*ret_places = places;
	return out->p;
}
