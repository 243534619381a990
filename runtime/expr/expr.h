/*
 * expr.h - the expression language: filters, row rules, trigger conditions, workflow branches and
 * workflow values. One parser, one checker, two back ends: SQL with bound values, and an evaluator
 * in memory. A random test holds the two equal; README.md says what every operator means.
 *
 * Life of an expression: ar_expr_parse() once, ar_expr_check() once against the names that its
 * place knows, then ar_expr_sql() or ar_expr_eval() any number of times, each with the values of the
 * moment. After the check an expression is read-only: a cache may share it between fibers.
 *
 * Nothing here waits, except env->get, which may when its owner says so.
 */
#ifndef AR_EXPR_H
#define AR_EXPR_H

#include "json/json.h"

extern const struct ar_err_def AR_E_EXPR_SYNTAX[1]; /* 400 expr/syntax: position, reason */
extern const struct ar_err_def AR_E_EXPR_LIMIT[1];  /* 422 expr/limit: what, max */
extern const struct ar_err_def AR_E_EXPR_FIELD[1];  /* 422 expr/unknown-field: name, position */
extern const struct ar_err_def
	AR_E_EXPR_FUNCTION[1];                     /* 422 expr/unknown-function: name, position */
extern const struct ar_err_def AR_E_EXPR_PARAM[1]; /* 422 expr/unbound: name, position */
extern const struct ar_err_def
	AR_E_EXPR_MEMBER[1]; /* 422 expr/unknown-member: name, position, known */
extern const struct ar_err_def AR_E_EXPR_TYPE[1]; /* 422 expr/type: position, expected, found */

#define AR_EXPR_LENGTH_MAX 8192 /* bytes of text */
#define AR_EXPR_DEPTH_MAX  64
#define AR_EXPR_NODES_MAX  1000

/*
 * The type that an expression has before any value is known. In memory DATE and DATETIME are texts
 * ("2026-11-24", "2026-11-24T16:09:00.000Z": always UTC, always milliseconds) and DURATION is an
 * integer of milliseconds. Every type may also be null.
 */
enum ar_expr_type {
	AR_X_NULL, /* the literal null */
	AR_X_BOOL,
	AR_X_INT,
	AR_X_FLOAT,
	AR_X_TEXT,
	AR_X_DATE,
	AR_X_DATETIME,
	AR_X_DURATION,
	AR_X_JSON, /* known only when the value is there: JSON fields, @auth, @request, steps... */
};
const char *ar_expr_type_name(enum ar_expr_type type); /* "datetime" */

struct ar_expr;

/* Parses text (copied into pool, where the expression lives). */
int ar_expr_parse(struct ar_pool *pool, struct ar_str text, struct ar_expr **ret);
struct ar_str ar_expr_text(const struct ar_expr *expr);

/* ---- what names mean ---- */

/* What a name that is not a root stands for, as the place's own resolver says it. */
struct ar_expr_field {
	enum ar_expr_type type; /* not AR_X_NULL, not AR_X_DURATION */
	size_t used; /* parts of the path that name the field; the rest are members of its JSON
			  * (type AR_X_JSON), else `used` must be all parts */
	const char
		*sql; /* how SQL reaches it: "r.\"age\"". The resolver's text, alive as long as the
			  * expression, made of identifiers that the resolver knows. NULL: the same for
			  * all rows, its value comes from env->get and is bound */
	int id;       /* the resolver's own, for env->get */
	const void *ref; /* likewise */
};

struct ar_expr_names {
	/* Roots are JSON values known as a whole when the expression runs: "@auth", "@request",
	 * "@event", "steps", "input". Ends with NULL. A path that starts with a root is that value's
	 * member; a missing member is null. */
	const char *const *roots;
	/* The members that each root has, in the order of roots: others are refused with
	 * AR_E_EXPR_MEMBER. NULL for a root, or for all: any. */
	const char *const *const *members;
	/* Every other path. Returns false for a name that it does not know. May be NULL. parts are
	 * views into the expression's text. */
	bool (*field)(void *arg, const struct ar_str *parts, size_t nparts,
		      struct ar_expr_field *ret);
	void *arg;
	const struct ar_json *params; /* for {:name}: an object of scalars and arrays of scalars */
};

/*
 * Resolves names, binds params, checks types. Errors: AR_E_EXPR_FIELD, _FUNCTION, _PARAM, _TYPE.
 * May be called once per expression. names are not needed afterwards (params are copied).
 */
int ar_expr_check(struct ar_expr *expr, const struct ar_expr_names *names);
/* Like ar_expr_check, for a place that wants a condition: any other type than bool, JSON and null
 * is AR_E_EXPR_TYPE. */
int ar_expr_check_test(struct ar_expr *expr, const struct ar_expr_names *names);

enum ar_expr_type ar_expr_type(const struct ar_expr *expr); /* after the check */
/* True when its value differs from row to row (a field with sql is used). */
bool ar_expr_has_rows(const struct ar_expr *expr);
/* True when a path starts with this root: is @request.data ever asked for? */
bool ar_expr_uses_root(const struct ar_expr *expr, const char *root);

/* ---- the values of the moment ---- */

struct ar_expr_env {
	/* In the order of names->roots; NULL entries are null. May be NULL when there are no roots. */
	const struct ar_json *const *roots;
	/*
	 * The value of a field, typed as the resolver said: AR_BOOL for bools (not 0 and 1), text in
	 * the one form for dates. A value of another kind counts as null. ret starts as null; what it
	 * points to must live as long as `pool`. May be NULL when there are no fields.
	 */
	int (*get)(void *arg, const struct ar_expr_field *field, struct ar_pool *pool,
		   struct ar_json *ret);
	void *arg;
	int64_t now_ms; /* @now; 0: the clock is read once per call */
};

/*
 * In memory. The value is new in pool; members of arrays and objects are shared with the roots
 * (copy before changing). -1 only when get fails or a text grows over 1 MiB (AR_E_EXPR_LIMIT).
 */
int ar_expr_eval(const struct ar_expr *expr, const struct ar_expr_env *env, struct ar_pool *pool,
		 struct ar_json **ret);
/* As a condition: only true is true; null, and anything else that JSON may hold, is not. */
int ar_expr_test(const struct ar_expr *expr, const struct ar_expr_env *env, struct ar_pool *pool,
		 bool *ret);

/* ---- SQL ---- */

enum ar_expr_dialect { AR_EXPR_SQLITE, AR_EXPR_POSTGRES }; /* the values of enum ar_dialect */

/* SQL text and the values of its `?`, in order. Callers may add parts of their own. */
struct ar_sql {
	struct ar_pool *pool;
	struct ar_buf *text;
	struct ar_json *args;
	size_t nargs, cap;
};
void ar_sql_init(struct ar_sql *sql, struct ar_pool *pool); /* text of at most 256 KiB */
void ar_sql_add(struct ar_sql *sql, const char *text);      /* constants of the program only */
void ar_sql_name(struct ar_sql *sql, struct ar_str name);   /* quoted identifier */
void ar_sql_bind(struct ar_sql *sql, struct ar_json value); /* adds "?" and the value */
void ar_sql_arg(struct ar_sql *sql, struct ar_json value);  /* the value alone */
const char *ar_sql_text(struct ar_sql *sql); /* NUL-terminated, in the pool; NULL: over the limit */

enum ar_expr_truth { AR_X_DEPENDS, AR_X_ALWAYS, AR_X_NEVER };

/*
 * Appends a condition in parentheses that is true for exactly the rows for which ar_expr_test()
 * says true (where it does not, SQL says false or NULL: use it under WHERE and AND). Everything
 * that does not depend on the row is worked out first and bound. ret_truth (may be NULL) tells when
 * no row is needed to know the answer; the text is then (1=1) or (1=0).
 * -1: env->get failed, or AR_E_EXPR_LIMIT.
 */
int ar_expr_sql(const struct ar_expr *expr, enum ar_expr_dialect dialect,
		const struct ar_expr_env *env, struct ar_sql *ret, enum ar_expr_truth *ret_truth);

#endif
