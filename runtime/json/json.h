/*
 * json.h - the one dynamic value of the house, and JSON in and out of it.
 *
 * A struct ar_json is what comes from a body, a row, an expression, a Lua call or a workflow step.
 * Members of arrays and objects are linked in order. Memory belongs to the pool it was made with.
 */
#ifndef AR_JSON_H
#define AR_JSON_H

#include "base/base.h"

enum ar_type { AR_NULL, AR_BOOL, AR_INT, AR_FLOAT, AR_STRING, AR_ARRAY, AR_OBJECT };

struct ar_json {
	enum ar_type type;
	uint32_t count; /* members of an array or object */
	union {
		bool b;
		int64_t i;
		double f;        /* always finite */
		struct ar_str s; /* valid UTF-8 (or bytes, where a caller says so) */
		struct {
			struct ar_json *first, *last;
		};
	};
	struct ar_str key;    /* of a member of an object */
	struct ar_json *next; /* the next member */
};

/* Values without a pool: AR_J_STR(ar_str("x")), ... as arguments of one call. */
#define AR_J_NULL     ((struct ar_json){ .type = AR_NULL })
#define AR_J_BOOL(v)  ((struct ar_json){ .type = AR_BOOL, .b = (v) })
#define AR_J_INT(v)   ((struct ar_json){ .type = AR_INT, .i = (v) })
#define AR_J_FLOAT(v) ((struct ar_json){ .type = AR_FLOAT, .f = (v) })
#define AR_J_STR(v)   ((struct ar_json){ .type = AR_STRING, .s = (v) })
#define AR_J_Z(v)     AR_J_STR(ar_str(v))

struct ar_json_limits {
	size_t bytes;   /* of the text; more: AR_E_TOO_LARGE */
	unsigned depth; /* arrays and objects inside each other; more: AR_E_MALFORMED */
	size_t nodes;   /* values in all; more: AR_E_TOO_LARGE */
};
extern const struct ar_json_limits ar_json_limits_default; /* 1 MiB, 64, 100,000 */

/*
 * Reads one JSON text (RFC 8259). Refuses, each with AR_E_MALFORMED and a "reason" parameter:
 * invalid UTF-8, a NUL character in a string (also escaped), lone surrogates, duplicate keys,
 * integers outside of int64, floats that overflow, anything after the value, depth.
 * Strings point into `text` where they can: text must live as long as the pool.
 */
int ar_json_parse(struct ar_pool *pool, struct ar_str text, const struct ar_json_limits *limits,
		  struct ar_json **ret);

struct ar_json *ar_json_new(struct ar_pool *pool, enum ar_type type);
struct ar_json *ar_json_get(const struct ar_json *object, const char *key); /* NULL: not there */
struct ar_json *ar_json_get_str(const struct ar_json *object, struct ar_str key);
/* "a.b.0.c"; NULL when any part is missing. */
struct ar_json *ar_json_path(const struct ar_json *value, struct ar_str path);
/* Sets or replaces a member; value is linked in, not copied: it must not be in another container. */
void ar_json_set(struct ar_json *object, struct ar_str key, struct ar_json *value);
bool ar_json_remove(struct ar_json *object, struct ar_str key);
void ar_json_add(struct ar_json *array, struct ar_json *value);
struct ar_json *ar_json_copy(struct ar_pool *pool, const struct ar_json *value); /* deep */
struct ar_json *ar_json_str(struct ar_pool *pool, struct ar_str s); /* s is not copied */
struct ar_json *ar_json_int(struct ar_pool *pool, int64_t v);
struct ar_json *ar_json_bool(struct ar_pool *pool, bool v);
struct ar_json *ar_json_float(struct ar_pool *pool, double v);
bool ar_json_equal(const struct ar_json *a,
		   const struct ar_json *b); /* 1 equals 1.0; order of keys is free */
/* RFC 7386: target (may be NULL) patched, new nodes in pool; returns the result. */
struct ar_json *ar_json_merge(struct ar_pool *pool, struct ar_json *target,
			      const struct ar_json *patch);
/* for each member: ar_json_each(m, object) { ... } */
#define ar_json_each(m, container)                                                                 \
	for (struct ar_json *m = (container)->first; m != NULL; m = m->next)
/* A member as text, or `otherwise` when it is missing or not a string. */
struct ar_str ar_json_text(const struct ar_json *object, const char *key, struct ar_str otherwise);
int64_t ar_json_number(const struct ar_json *object, const char *key, int64_t otherwise);
bool ar_json_truth(const struct ar_json *object, const char *key, bool otherwise);

/* ---- writing ---- */

/*
 * A writer puts commas and quotes; the caller balances begin and end. Errors (buffer full) are kept
 * in buf->over and asked once. Room is asked for generously: a buffer counts as full up to 24 bytes
 * before its maximum.
 */
struct ar_jw {
	struct ar_buf *buf;
	bool comma; /* the next value wants one before it */
};
void ar_jw_init(struct ar_jw *w, struct ar_buf *buf);
void ar_jw_object(struct ar_jw *w);
void ar_jw_object_end(struct ar_jw *w);
void ar_jw_array(struct ar_jw *w);
void ar_jw_array_end(struct ar_jw *w);
void ar_jw_key(struct ar_jw *w, struct ar_str key);
void ar_jw_keyz(struct ar_jw *w, const char *key);
void ar_jw_key_made(struct ar_jw *w, struct ar_str key); /* text "name": with quotes and colon */
void ar_jw_null(struct ar_jw *w);
void ar_jw_bool(struct ar_jw *w, bool v);
void ar_jw_int(struct ar_jw *w, int64_t v);
void ar_jw_float(struct ar_jw *w, double v); /* shortest text that reads back the same; inf: null */
void ar_jw_str(struct ar_jw *w, struct ar_str s);    /* invalid UTF-8 becomes U+FFFD */
void ar_jw_plain(struct ar_jw *w, struct ar_str s);  /* known to need no escape: ids, times */
void ar_jw_strz(struct ar_jw *w, const char *s);     /* NULL writes null */
void ar_jw_time(struct ar_jw *w, int64_t ms);        /* RFC 3339 text */
void ar_jw_raw(struct ar_jw *w, struct ar_str json); /* text that is JSON already */
void ar_jw_value(struct ar_jw *w, const struct ar_json *value);
/* A key as for ar_jw_key_made() and its string, at once: what most of a record is. */
void ar_jw_member_str(struct ar_jw *w, struct ar_str made, struct ar_str s);
void ar_jw_member_plain(struct ar_jw *w, struct ar_str made, struct ar_str s);

int ar_json_write(struct ar_buf *buf, const struct ar_json *value);
struct ar_str ar_json_print(struct ar_pool *pool,
			    const struct ar_json *value); /* any size: trusted */

#endif
