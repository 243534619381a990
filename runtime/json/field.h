/*
 * field.h - one table decodes, checks, prints and documents a struct.
 *
 *	static const struct ar_field contact_fields[] = {
 *		AR_FIELD(struct contact, id, AR_F_ID, .read_only = true),
 *		AR_FIELD(struct contact, name, AR_F_TEXT, .max = 120, .required = true),
 *		AR_FIELD_NAMED(struct contact, created_ms, "created", AR_F_TIME, .read_only = true),
 *		AR_FIELD_FREE("tags", AR_F_ARRAY, .max = 20, .items = AR_ITEM(AR_F_TEXT, .max = 40)),
 *		{ 0 },
 *	};
 *
 * Types are strict: "12" is not an int and 1 is not a bool (1.0 is an int, 1 is a float). The type
 * of the member is held against the type of the row when the table is compiled. A table has at most
 * 64 rows. Nothing here waits.
 */
#ifndef AR_FIELD_H
#define AR_FIELD_H

#include "json/json.h"

/*                  in the struct      in JSON */
enum ar_field_type {
	AR_F_BOOL = 1, /* bool              true, false */
	AR_F_INT,      /* int64_t             a number without a fraction */
	AR_F_FLOAT,    /* double              a number */
	AR_F_TEXT,     /* struct ar_str       a string; min and max count code points */
	AR_F_EMAIL,    /* struct ar_str       an address: trimmed, its domain in lower case */
	AR_F_ID,       /* struct ar_str       a UUID, lower case */
	AR_F_DATE,     /* struct ar_str       "2026-11-24" */
	AR_F_TIME,     /* int64_t, ms         RFC 3339 with any offset; printed in UTC */
	AR_F_ENUM,     /* struct ar_str       one of .values */
	AR_F_JSON,     /* struct ar_json *    anything */
	AR_F_OBJECT,   /* struct ar_json *    an object; by the table .fields when it is given */
	AR_F_ARRAY, /* struct ar_json *    an array; each member by the row .items when it is given */
};

struct ar_field {
	const char *name; /* in JSON: camelCase */
	enum ar_field_type type;
	size_t offset; /* in the struct; AR_FIELD_NO_MEMBER for a free field */
	/*
	 * Code points of texts, values of numbers, counts of arrays and of members of objects. Both 0: no
	 * limit. max 0 with min above 0: no upper limit.
	 */
	int64_t min, max;
	bool required;  /* must be in the input */
	bool read_only; /* refused in the input */
	bool secret;    /* never printed */
	bool query;     /* taken from the query string too, also on POST, PUT and PATCH */
	bool nullable;  /* null is allowed; a zero text, time or NULL value is printed as null */
	const char *const *values;     /* AR_F_ENUM: ends with NULL */
	const struct ar_field *fields; /* AR_F_OBJECT */
	const struct ar_field *items;  /* AR_F_ARRAY: AR_ITEM(type, ...) */
	/*
	 * AR_F_TEXT: what the whole text must match. A sequence of characters, classes ([a-z0-9_-],
	 * [^/], . for any), each with * + ? {n} {n,m} or none; \ before a special character. No groups.
	 * Texts above 1024 bytes do not match.
	 */
	const char *pattern;
	/* A check of its own: NULL when the value is good, else a code (message "field/<code>"). */
	const char *(*check)(const struct ar_field *field, const struct ar_json *value);
	const char *help;      /* one line, English */
	const char *otherwise; /* the value when it is not given, as JSON text */
};

#define AR_FIELD_NO_MEMBER SIZE_MAX

#define AR_FIELD_NAMED(struct_, member, name_, type_, ...)                                         \
	{                                                                                          \
		.name = (name_), .type = (type_),                                                  \
		.offset = AR_FIELD_OFFSET(struct_, member, type_), __VA_ARGS__                     \
	}
#define AR_FIELD(struct_, member, type_, ...)                                                      \
	AR_FIELD_NAMED(struct_, member, #member, type_, __VA_ARGS__)
#define AR_FIELD_FREE(name_, type_, ...)                                                           \
	{                                                                                          \
		.name = (name_), .type = (type_), .offset = AR_FIELD_NO_MEMBER, __VA_ARGS__        \
	}
/* What each member of an array is; at file scope, as the value of .items. */
#define AR_ITEM(type_, ...) ((const struct ar_field[]){ AR_FIELD_FREE("", type_, __VA_ARGS__) })

/* An array of negative size here means: the member's C type is not the one that the row needs. */
#define AR_FIELD_OFFSET(struct_, member, type_)                                                    \
	(offsetof(struct_, member) +                                                               \
	 0 * sizeof(char[_Generic(((struct_ *)0)->member, bool                                     \
				  : (type_) == AR_F_BOOL, int64_t                                  \
				  : (type_) == AR_F_INT || (type_) == AR_F_TIME, double            \
				  : (type_) == AR_F_FLOAT, struct ar_str                           \
				  : (type_) >= AR_F_TEXT && (type_) <= AR_F_ENUM &&                \
					    (type_) != AR_F_TIME,                                  \
				    struct ar_json *                                               \
				  : (type_) >= AR_F_JSON)                                          \
				 ? 1                                                               \
				 : -1]))

enum ar_fields_flag {
	AR_FIELDS_PARTIAL = 1 << 0,        /* a patch: nothing is required, no defaults */
	AR_FIELDS_DROP_UNKNOWN = 1 << 1,   /* instead of refusing them */
	AR_FIELDS_DROP_READ_ONLY = 1 << 2, /* instead of refusing them (a record sent back whole) */
	AR_FIELDS_ADD =
		1 << 3, /* to the refusals of this call that are there; else they start anew */
};

/*
 * Holds an input object (NULL counts as {}) against a table: unknown members, missing ones, types,
 * ranges. Every refused field is in the one AR_E_INVALID, up to 20. ret: a new object in the order
 * of the table, with defaults; values that need no change are shared with the input.
 */
int ar_fields_check(struct ar_pool *pool, const struct ar_field *fields,
		    const struct ar_json *input, unsigned flags, struct ar_json **ret);

/*
 * Fills a struct from a checked object: members that are not there are left alone, null makes zero.
 * ret_present (may be NULL): bit i is set when row i was there. Texts and values are shared.
 */
int ar_fields_decode(struct ar_pool *pool, const struct ar_field *fields,
		     const struct ar_json *object, void *ret_struct, uint64_t *ret_present);

/* Writes a struct as one object: every row with a member that is not secret. */
void ar_fields_print(struct ar_jw *w, const struct ar_field *fields, const void *value);
/* The same without the braces, for an object that has more members. */
void ar_fields_print_members(struct ar_jw *w, const struct ar_field *fields, const void *value);

/*
 * Writes the JSON Schema (draft 2020-12) of a table: for input without what is read only, for
 * output without what is secret.
 */
void ar_fields_schema(struct ar_jw *w, const struct ar_field *fields, bool for_input);
/* The schema of one row alone (a query parameter). */
void ar_field_schema(struct ar_jw *w, const struct ar_field *field, bool for_input);

/*
 * A text (from a query string or a path) as a value of the row's type, unchecked: "12" becomes 12
 * for an int, "a,b" an array. A text that does not fit stays a string, and the check refuses it.
 */
struct ar_json *ar_field_from_text(struct ar_pool *pool, const struct ar_field *field,
				   struct ar_str text);
/* The same, in place, for each string member of an object that the table knows. */
void ar_fields_from_text(struct ar_pool *pool, const struct ar_field *fields,
			 struct ar_json *object);

const struct ar_field *ar_fields_find(const struct ar_field *fields,
				      struct ar_str name); /* or NULL */
/* A struct's member as a value, to bind in a statement; times are ints (ms). */
struct ar_json ar_field_value(const struct ar_field *field, const void *value);
/* "li@例子.cn": one @, a sensible local part, a domain with a dot. No comments, no quotes. */
bool ar_email_valid(struct ar_str s);

#endif
