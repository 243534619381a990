/*
 * expr_int.h - inside the expression room: the tree that the parser makes, the checker completes
 * and the two back ends walk.
 *
 * A node is written by the parser and the checker only. `row` splits the tree: what does not depend
 * on a row is evaluated in memory also by the SQL back end, so SQL only has to know the rest.
 */
#ifndef AR_EXPR_INT_H
#define AR_EXPR_INT_H

#include "expr/expr.h"

enum node_kind {
	N_LITERAL, /* also a bound value, after the check */
	N_PARAM,
	N_NOW,
	N_PATH,
	N_NOT,
	N_NEGATE,
	N_ARITH,
	N_COMPARE,
	N_IS_NULL, /* made by the checker from = null and != null (op says which) */
	N_AND,
	N_OR,
	N_CALL,
};

/* Of N_COMPARE, N_IS_NULL and N_ARITH. */
enum op {
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_LIKE,
	OP_NOT_LIKE,
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV
};

/* What happens to an operand before it is used; chosen by the checker from the two types. */
enum conv {
	C_NONE,
	C_MIDNIGHT, /* a date as the datetime of its midnight */
	C_TIME,     /* a text of a root as a datetime, null when it is none */
	C_FLOAT,    /* a number as a float; anything else is null */
	C_TEXT,     /* a text; anything else is null */
	C_BOOL,
	C_LOOSE, /* numbers as floats; anything else as it is */
};

struct func;

struct node {
	enum node_kind kind;
	enum op op;
	enum ar_expr_type type; /* after the check */
	bool any;               /* of N_COMPARE: the form with ? */
	bool row;               /* depends on the row */
	bool written;           /* a literal or a bound value */
	bool checked;           /* a node may be shared */
	unsigned at;            /* byte offset in the text */
	unsigned depth, size;
	struct ar_json value;       /* of N_LITERAL */
	struct ar_str name;         /* of N_PARAM, N_CALL */
	const struct ar_str *parts; /* of N_PATH */
	size_t nparts, used;        /* parts that name the root or field; the rest are members */
	int root;                   /* of N_PATH: index into roots, or -1 for a field */
	struct ar_expr_field field;
	const struct func *func;
	struct node **kids;
	enum conv *conv; /* one per kid, of N_ARITH, N_COMPARE, N_CALL */
	size_t nkids;
};

struct ar_expr {
	struct ar_pool *pool;
	struct ar_str text;
	struct node *top;
	size_t nodes;
	bool checked;
	const char *const *roots;
};

/* ---- lex.c ---- */

enum token_kind {
	T_END,
	T_LITERAL,
	T_PATH,
	T_NAME,
	T_PARAM,
	T_OP,
	T_ANY_OP,
	T_AND,
	T_OR,
	T_NOT,
	T_IN,
	T_OPEN,
	T_CLOSE,
	T_COMMA,
	T_BAD
};

struct token {
	enum token_kind kind;
	enum op op;
	unsigned at;
	struct ar_json value;    /* of a literal */
	enum ar_expr_type type;  /* of a literal */
	struct ar_str name;      /* T_NAME (before a parenthesis), T_PARAM */
	struct ar_str parts[16]; /* T_PATH */
	size_t nparts;
};

struct lexer {
	struct ar_pool *pool;
	struct ar_str text;
	size_t at;
	struct token now; /* the token at hand */
};

int lex_next(struct lexer *lexer); /* moves to the next token; -1 with AR_E_EXPR_SYNTAX */
int lex_fail(struct ar_str text, size_t at, const char *reason);
/* A minus right before a number: read as one literal, because INT64_MIN has no positive twin. */
bool lex_is_negative(const struct lexer *lexer);
int lex_negative(struct lexer *lexer);

/* ---- check.c ---- */

/* The position for a message: characters from 1, as text in pool. */
const char *expr_position(const struct ar_expr *expr, size_t at);
int check_node(struct ar_expr *expr, struct node *node, const struct ar_expr_names *names);
int check_fail_type(const struct ar_expr *expr, const struct node *node, const char *expected);
/* For functions: the conversion that turns kid i into the type; -1 when there is none. */
int check_arg(struct ar_expr *expr, struct node *node, size_t i, enum ar_expr_type want);
int check_branches(struct ar_expr *expr, struct node *node, size_t from);
int check_compare(struct ar_expr *expr, struct node *node);
int check_arith(struct ar_expr *expr, struct node *node);
bool check_is_number(enum ar_expr_type type);
bool check_is_time(enum ar_expr_type type);
/* A written text becomes a date or a datetime in the one form; false when it is no time. */
bool check_written_time(struct ar_expr *expr, struct node *node);

/* ---- value.c: what values do, for the evaluator and for constants in SQL ---- */

bool value_compare(enum op op, const struct ar_json *a, const struct ar_json *b);
int value_order(const struct ar_json *a, const struct ar_json *b); /* numbers, exactly */
bool value_is_number(const struct ar_json *v);
bool value_contains(struct ar_str text, struct ar_str part); /* ASCII case folded */
bool value_like(struct ar_str text, struct ar_str pattern);  /* % any run, \% a percent sign */
bool value_has_wildcard(struct ar_str pattern);
struct ar_str value_unescape(struct ar_pool *pool, struct ar_str pattern); /* \% to % */
void value_convert(enum conv conv, struct ar_pool *pool, struct ar_json *v);
void value_arith(enum op op, const struct ar_json *a, const struct ar_json *b, struct ar_json *ret);
void value_time(struct ar_pool *pool, int64_t ms,
		struct ar_json *ret); /* null outside of the years */
bool value_ms(const struct ar_json *time, int64_t *ret);
bool value_float_ok(double v); /* in the range that arithmetic knows */
/* The member that is named by the parts; NULL when there is none. */
const struct ar_json *value_member(const struct ar_json *v, const struct ar_str *parts, size_t n);
bool value_index(struct ar_str part, int64_t *ret); /* all digits: an index */

#define TIME_MIN_MS INT64_C(-62135596800000) /* 0001-01-01T00:00:00.000Z */
#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define TEXT_MAX    ((size_t)1 << 20)

/* ---- eval.c ---- */

struct eval {
	const struct ar_expr_env *env;
	struct ar_pool *pool;
	int64_t now_ms; /* 0: not asked for yet */
};
int eval_node(struct eval *eval, const struct node *node, struct ar_json *ret);
int eval_test(struct eval *eval, const struct node *node, bool *ret);
int eval_kid(struct eval *eval, const struct node *node, size_t i, struct ar_json *ret);
int eval_has(struct eval *eval, const struct node *path, bool *ret);

/* ---- sql.c (conditions), sql_pair.c (one comparison), sql_value.c (values) ---- */

struct gen {
	struct eval eval;
	enum ar_expr_dialect dialect;
	struct ar_sql *sql;
	int aliases; /* of lists' elements, so far */
};

/* A value that depends on the row, as SQL reaches it: an expression of a known type, a member of a
 * row's JSON, or (alias >= 0) an element of a JSON list. */
struct ref {
	const struct node *node;
	enum conv conv;
	enum ar_expr_type type; /* AR_X_JSON: use gen_as() */
	int alias;
};

/* A condition that is true when the node's truth is `want`. */
int gen_test(struct gen *gen, const struct node *node, bool want, enum ar_expr_truth *ret);
/* `a op b` for one a and one b; op is none of NE and NOT_LIKE. */
int gen_refs(struct gen *gen, enum op op, const struct ref *a, const struct ref *b);
int gen_ref_const(struct gen *gen, enum op op, const struct ref *a, const struct ar_json *v,
		  bool pattern, enum ar_expr_truth *ret);
int gen_const_like(struct gen *gen, const struct ar_json *v, const struct ref *b,
		   enum ar_expr_truth *ret);
/* `a in (values)`; what cannot be equal is left out. */
int gen_ref_in(struct gen *gen, const struct ref *a, const struct ar_json *const *values, size_t n,
	       enum ar_expr_truth *ret);
enum op op_flip(enum op op); /* a < b is b > a */

/* The value, typed as the node is (not for JSON that depends on the row). */
int gen_value(struct gen *gen, const struct node *node);
int gen_kid(struct gen *gen, const struct node *node, size_t i); /* after its conversion */
int gen_converted(struct gen *gen, const struct node *node, enum conv conv);
/* A constant with the cast that PostgreSQL wants; type AR_X_JSON: by its kind. */
void gen_bind(struct gen *gen, struct ar_json value, enum ar_expr_type type);
/* JSON of a row: the name of its kind (SQLite's or PostgreSQL's), and itself as a value of one kind
 * (C_FLOAT, C_TEXT, C_BOOL), NULL when it is of another. */
void gen_kind(struct gen *gen, const struct ref *ref);
void gen_as(struct gen *gen, const struct ref *ref, enum conv kind);
void gen_json(struct gen *gen, const struct ref *ref); /* the SQL of the JSON itself */
void gen_elements(struct gen *gen, const struct ref *list, int alias); /* what follows FROM */
void gen_add(struct gen *gen, const char *sqlite, const char *postgres);
void gen_int(struct gen *gen, int64_t v); /* a number of the program's own */
void gen_name(struct gen *gen, int alias);

/* ---- func.c ---- */

struct func {
	const char *name;
	size_t min, max; /* arguments */
	/* Sets node->type and node->conv. */
	int (*check)(struct ar_expr *expr, struct node *node);
	/* args are converted; null arguments never come here unless `nulls`. */
	int (*eval)(struct eval *eval, const struct node *node, struct ar_json *args,
		    struct ar_json *ret);
	int (*sql)(struct gen *gen, const struct node *node);
	bool nulls; /* evaluates its own kids */
	bool test;  /* sql makes a condition, not a value */
};
const struct func *func_find(struct ar_str name);

#endif
