/*
 * json_int.h - what the files of this room share.
 */
#ifndef AR_JSON_INT_H
#define AR_JSON_INT_H

#include "json/field.h"

/* A table of an object's members by key, for objects too large to search member by member. */
struct index {
	struct ar_json **slots; /* heap; NULL: free */
	size_t mask;
};
#define INDEX_FROM 16 /* members; smaller objects are searched in line */

void index_init(struct index *index, size_t members);
void index_done(struct index *index);
/* Adds a member, or returns the one that has its key already. */
struct ar_json *index_add(struct index *index, struct ar_json *member);
struct ar_json *index_get(const struct index *index, struct ar_str key); /* or NULL */

#define FLOAT_TEXT 32 /* room for any double's text */
/* Shortest decimal text of a finite double that reads back the same; returns its length. */
size_t float_text(double v, char out[FLOAT_TEXT]);
/* Shortest digits: v = digits * 10^exponent. v finite, above zero. */
void float_shortest(double v, uint64_t *ret_digits, int *ret_exponent);

/* field_text.c */
bool pattern_match(const char *pattern, struct ar_str text);
/* Trimmed, domain in lower case; false when it is no address. */
bool email_normal(struct ar_pool *pool, struct ar_str s, struct ar_str *ret);

#endif
