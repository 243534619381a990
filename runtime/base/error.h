/*
 * error.h - 0 or -1 says whether; the fiber's error stack says what.
 *
 * ar_fail() starts a stack, ar_fail_over() adds the caller's view on top. A code is a row: a slug
 * that never changes (it is the i18n key, the problem type and the page in the docs) and an HTTP
 * status. Parameters are strings that the client may see; ar_fail_why() adds text for the log only.
 * The top of the stack goes to the client in its language; the log gets the whole stack once, at
 * the edge. Code below the edge never logs an error that it returns.
 */
#ifndef AR_ERROR_H
#define AR_ERROR_H

#include "base/attr.h"

struct ar_err_def {
	const char *slug;
	int status;
};

/* A module defines its codes as one-element arrays, so that a name is a pointer:
 *	const struct ar_err_def CRM_E_EMAIL_TAKEN[1] = { { "crm/email-taken", 409 } };
 */
extern const struct ar_err_def AR_E_MALFORMED[1];    /* 400 malformed: bytes that cannot be read */
extern const struct ar_err_def AR_E_UNAUTHORIZED[1]; /* 401 unauthorized */
extern const struct ar_err_def AR_E_FORBIDDEN[1];    /* 403 forbidden */
extern const struct ar_err_def AR_E_NOT_FOUND[1];    /* 404 not-found */
extern const struct ar_err_def AR_E_METHOD[1];       /* 405 method-not-allowed */
extern const struct ar_err_def AR_E_CONFLICT[1];     /* 409 conflict */
extern const struct ar_err_def AR_E_PRECONDITION[1]; /* 412 precondition-failed */
extern const struct ar_err_def AR_E_TOO_LARGE[1];    /* 413 too-large */
extern const struct ar_err_def AR_E_MEDIA_TYPE[1];   /* 415 unsupported-media-type */
extern const struct ar_err_def AR_E_RANGE[1];        /* 416 range-not-satisfiable */
extern const struct ar_err_def AR_E_INVALID[1];      /* 422 invalid: with fields */
extern const struct ar_err_def AR_E_TOO_MANY[1];     /* 429 too-many-requests */
extern const struct ar_err_def AR_E_INTERNAL[1];     /* 500 internal */
extern const struct ar_err_def AR_E_UNAVAILABLE[1];  /* 503 unavailable: may be tried again */
extern const struct ar_err_def AR_E_DEADLINE[1];     /* 504 deadline */
extern const struct ar_err_def AR_E_CANCELLED[1];    /* 499 cancelled */

struct ar_err_param {
	const char *key, *value;
	struct ar_err_param *next;
};

/* One refused field: path "email" or "address.zip", code "required", "too-long", "unique"... The
 * code's message is the i18n key "field/<code>". */
struct ar_err_field {
	const char *path, *code;
	struct ar_err_param *params;
	struct ar_err_field *next;
};

struct ar_err {
	const struct ar_err_def *def;
	struct ar_err_param *params;
	struct ar_err_field *fields; /* of AR_E_INVALID and its like */
	const char *why;             /* for the log; NULL when there is none */
	const char *file;
	int line;
	struct ar_err *below; /* the cause */
};

/* Says to the compiler and to the analyzer what the functions say in words. */
static inline int ar_failed(int minus_one AR_UNUSED)
{
	return -1;
}

/* Each starts or extends the current stack and returns -1. Parameters: key, value pairs of
 * const char *, copied. Use ar_fail(AR_E_NOT_FOUND, "what", "user"). */
#define ar_fail(def, ...)                                                                          \
	ar_failed(ar_fail_at(__FILE__, __LINE__, false, (def), ##__VA_ARGS__, NULL))
#define ar_fail_over(def, ...)                                                                     \
	ar_failed(ar_fail_at(__FILE__, __LINE__, true, (def), ##__VA_ARGS__, NULL))
#define ar_fail_why(def, ...) ar_failed(ar_fail_why_at(__FILE__, __LINE__, (def), __VA_ARGS__))
AR_COLD int ar_fail_at(const char *file, int line, bool over, const struct ar_err_def *def, ...)
	__attribute__((sentinel));
AR_COLD int ar_fail_why_at(const char *file, int line, const struct ar_err_def *def,
			   const char *fmt, ...) AR_PRINTF(4, 5);
/* Adds a refused field; when the top is not AR_E_INVALID, starts a new stack with it. */
#define ar_fail_field(path, code, ...)                                                             \
	ar_failed(ar_fail_field_at(__FILE__, __LINE__, AR_E_INVALID, (path), (code),               \
				   ##__VA_ARGS__, NULL))
/* The same under a code of its own: a conflict that one field is to blame for. */
#define ar_fail_field_as(def, path, code, ...)                                                     \
	ar_failed(ar_fail_field_at(__FILE__, __LINE__, (def), (path), (code), ##__VA_ARGS__, NULL))
/* The same over the error at hand, which is the cause: one field, the first of its error. */
#define ar_fail_field_over(path, code, ...)                                                        \
	ar_failed(ar_fail_field_over_at(__FILE__, __LINE__, (path), (code), ##__VA_ARGS__, NULL))
AR_COLD int ar_fail_field_over_at(const char *file, int line, const char *path, const char *code,
				  ...) __attribute__((sentinel));
AR_COLD int ar_fail_field_at(const char *file, int line, const struct ar_err_def *def,
			     const char *path, const char *code, ...) __attribute__((sentinel));

const struct ar_err *ar_err(void);            /* top of the stack, or NULL */
bool ar_err_is(const struct ar_err_def *def); /* the top, or any cause below it */
void ar_err_clear(void);
const char *ar_err_param(const struct ar_err *err, const char *key); /* or NULL */

/* An error stack of its own; the fiber room switches them. A thread starts with one. */
struct ar_errstack;
struct ar_errstack *ar_errstack_new(void);
void ar_errstack_free(struct ar_errstack *stack);
struct ar_errstack *ar_errstack_use(struct ar_errstack *stack); /* returns the one used before */
/* Moves the current stack of errors into dst, deep copied (threads and child fibers hand over). */
void ar_errstack_move(struct ar_errstack *dst, struct ar_errstack *src);

#endif
