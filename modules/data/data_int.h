/*
 * data_int.h - what the files of data share.
 *
 * A tenant's schema (struct data_schema) is read once, compiled, and kept in a tenant slot until a
 * collection changes: fields with their check tables, rules, SQL texts. It is read-only.
 */
#ifndef DATA_INT_H
#define DATA_INT_H

#include "action/list.h"
#include "bus/bus.h"
#include "data/data.h"
#include "expr/expr.h"

extern const struct ar_err_def DATA_E_UNIQUE[1];     /* 409 data/unique: field */
extern const struct ar_err_def DATA_E_EXISTS[1];     /* 409 data/collection-exists: name */
extern const struct ar_err_def DATA_E_REFERENCED[1]; /* 409 data/referenced: by */
extern const struct ar_err_def DATA_E_NOT_EMPTY[1];  /* 409 data/not-empty: name */
extern const struct ar_err_def DATA_E_RULE[1];       /* 422 data/rule: collection, rule */
extern const struct ar_err_def DATA_E_FULL[1];       /* 422 data/too-many: what, max */

#define DATA_FIELDS_MAX      200
#define DATA_COLLECTIONS_MAX 500
#define DATA_NAME_MAX        48
#define DATA_RECORD_MAX      ((size_t)1 << 20) /* bytes of JSON */
#define DATA_DEFINITION_MAX  ((size_t)256 << 10)
#define DATA_INDEXED_MAX     600 /* characters of a text under an index: what PostgreSQL takes */
#define DATA_HOPS_MAX        4   /* relations in one path */

#define DATA_PEOPLE "users" /* as a relation names the tenant's users: auth's table */

#define DATA_PEOPLE_READ   "auth.users.read"
#define DATA_RECORDS_READ  "data.records.read"
#define DATA_RECORDS_WRITE "data.records.write"
#define DATA_SCHEMA_READ   "data.collections.read"
#define DATA_SCHEMA_WRITE  "data.collections.write"

enum data_type {
	DATA_TEXT,
	DATA_INT,
	DATA_FLOAT,
	DATA_BOOL,
	DATA_DATE,
	DATA_DATETIME,
	DATA_JSON,
	DATA_SELECT,
	DATA_EMAIL,
	DATA_RELATION,
	DATA_TYPES
};
extern const char *const data_type_names[]; /* ends with NULL */

struct data_field {
	struct ar_str name;
	enum data_type type;
	bool required, unique, indexed;
	bool multiple;            /* a list, kept as JSON: of select and relation */
	bool json;                /* the column holds JSON text: type json, and lists */
	enum ar_expr_type expr;   /* as expressions see it */
	struct ar_str target;     /* of a relation: the collection's name */
	const char *column, *sql; /* "name" and r."name", quoted */
	struct ar_str key;        /* "name": as it stands in a reply */
	const struct ar_json *definition;
	size_t cell; /* column of a row, see DATA_CELLS */
};

/* The first cells of every row; the fields follow in order, and the revision when one row is read. */
enum { CELL_ID, CELL_CREATED, CELL_UPDATED, DATA_CELLS };
extern const char *const data_fixed_names[]; /* of the first three; ends with NULL */

enum data_rule_name { RULE_LIST, RULE_VIEW, RULE_CREATE, RULE_UPDATE, RULE_DELETE, DATA_RULES };
extern const char *const data_rule_names[]; /* "list", ... ends with NULL */

/* Arguments: the collection's id and revision. PostgreSQL asks it with each write of a record. */
#define DATA_SAME_COLLECTION "EXISTS (SELECT 1 FROM data_collections WHERE id = ? AND revision = ?)"

struct data_rule {
	bool set;             /* false: only who has the permission */
	bool broken;          /* set, but it does not compile any more: nobody */
	struct ar_expr *expr; /* NULL with set: anyone */
};

struct data_collection {
	const struct data_schema *schema;
	struct ar_str id, name, created, updated;
	int64_t revision;
	uint64_t
		held; /* ar_tenant_begun() + 1 when a unit found it as it is here (data_schema_hold) */
	const struct ar_json *definition;
	const char *table; /* quoted */
	struct data_field *fields;
	size_t nfields;
	bool has_json, has_lists;       /* fields of type json; lists of relations */
	const struct ar_field **checks; /* tables of at most 60 rows, ends with NULL */
	struct data_rule rules[DATA_RULES];
	const char *columns; /* r."id", ..., in the order of cells */
	const char *get_sql, *insert_sql, *delete_sql;
	struct ar_map *by_name; /* struct data_field */
	bool people;            /* the tenant's users, which are no collection: of relations only */
};

struct data_schema {
	struct ar_pool *pool;
	enum ar_dialect dialect;
	uint64_t number;               /* of all schemas in this process, from 1 */
	struct data_collection **list; /* by name */
	size_t count;
	struct ar_map *by_name;
	struct data_collection *people; /* what "users" is to relations; not in the list */
};

/* ---- schema.c ---- */

extern struct ar_tenant_slot data_slot;
/* The tenant's schema as of the last commit; valid until the call's pool ends. */
AR_YIELDS int data_schema_get(struct ar_call *call, const struct data_schema **ret);
/* For who changes it: nobody else does until the unit, which it begins, ends; what it gives is what
 * is there now. */
AR_YIELDS int data_schema_lock(struct ar_call *call, const struct data_schema **ret);
/* Begins the unit of a record to be made or changed, when it makes sure of what c says:
 * AR_E_CONFLICT when that is no longer so. With PostgreSQL the statement itself asks. */
AR_YIELDS int data_schema_hold(struct ar_call *call, const struct data_collection *c);
/* AR_E_NOT_FOUND with what: collection. */
AR_YIELDS int data_collection_get(struct ar_call *call, struct ar_str name,
				  const struct data_collection **ret);
/*
 * -1, for what failed. What the store refused because collections have changed since the call read
 * them (c: its collection, or NULL when there was none yet) becomes AR_E_CONFLICT: it may be tried
 * again.
 */
AR_YIELDS int data_failed(struct ar_call *call, const struct data_collection *c);
const struct data_collection *data_schema_find(const struct data_schema *schema,
					       struct ar_str name);
/* What a relation leads to: a collection, or DATA_PEOPLE. NULL: there is none. */
const struct data_collection *data_schema_target(const struct data_schema *schema,
						 struct ar_str name);
const struct data_field *
data_field_find(const struct data_collection *collection,
		struct ar_str name); /* a field of the definition, or NULL */
struct data_schema *data_schema_new(struct ar_pool *pool,
				    enum ar_dialect dialect); /* ends with pool */
/* Adds a collection from its stored form; the definition was checked when it was stored. */
struct data_collection *data_schema_add(struct data_schema *schema, struct ar_str id,
					struct ar_str name, const struct ar_json *definition);
/* When all collections are in: rules. strict: a rule that does not compile is AR_E_INVALID or
 * DATA_E_RULE; else it is marked as broken. */
int data_schema_compile(struct data_schema *schema, const struct data_collection *changed);

/* ---- define.c: definitions as they come in ---- */

/* Checks the fields' definitions and makes each whole (all members, defaults). errors name them. */
int data_define_fields(struct ar_pool *pool, const struct data_schema *schema, struct ar_str self,
		       const struct ar_json *fields, struct ar_json **ret);
bool data_pattern_valid(struct ar_str pattern);
/* The check table of fields: what a record's input is held against. */
const struct ar_field **data_checks(struct ar_pool *pool, const struct data_field *fields,
				    size_t nfields);

/* ---- ddl.c ---- */

AR_YIELDS int data_ddl_create(struct ar_call *call, const struct data_collection *collection);
AR_YIELDS int data_ddl_drop(struct ar_call *call, const struct data_collection *collection);
AR_YIELDS int data_ddl_add_field(struct ar_call *call, const struct data_collection *collection,
				 const struct data_field *field);
AR_YIELDS int data_ddl_drop_field(struct ar_call *call, const struct data_collection *collection,
				  const struct data_field *field);
AR_YIELDS int data_ddl_rename_field(struct ar_call *call, const struct data_collection *collection,
				    const struct data_field *field, struct ar_str name);
/* Nobody writes records of it until the unit ends. */
AR_YIELDS int data_ddl_lock(struct ar_call *call, const struct data_collection *collection);
/* Indexes of a field as `after` wants them, when they were as `before` had them. */
AR_YIELDS int data_ddl_index(struct ar_call *call, const struct data_collection *collection,
			     const struct data_field *before, const struct data_field *after);
const char *data_quoted(struct ar_pool *pool, struct ar_str name);

/* ---- rule.c ---- */

/* A record under a rule: a row, or the object that is to become one. */
struct data_record {
	const struct data_collection *collection;
	const struct ar_rows *rows;   /* at the record; or NULL */
	const struct ar_json *object; /* or NULL */
};

/* 1: everything is allowed; 0: the rule must be asked; -1: AR_E_UNAUTHORIZED or AR_E_FORBIDDEN. */
int data_may(const struct ar_call *call, const struct data_collection *collection,
	     enum data_rule_name rule);
int data_deny(const struct ar_call *call, const char *permission);
/* The rule's answer for one record; input is what @request.data is (may be NULL). */
AR_YIELDS int data_rule_test(struct ar_call *call, const struct data_record *record,
			     enum data_rule_name rule, const struct ar_json *input, bool *ret);
/* Appends " AND (rule)" for lists. */
AR_YIELDS int data_rule_sql(struct ar_call *call, const struct data_collection *collection,
			    enum data_rule_name rule, struct ar_sql *sql);
/* A client's filter, compiled and appended as " AND (filter)". */
AR_YIELDS int data_filter_sql(struct ar_call *call, const struct data_collection *collection,
			      struct ar_str text, const struct ar_json *params, struct ar_sql *sql);
int data_rule_compile(const struct data_collection *collection, struct ar_str text,
		      struct ar_expr **ret);

/* ---- record.c: rows and JSON ---- */

struct ar_json data_cell(const struct ar_rows *rows, const struct data_field *field,
			 struct ar_pool *pool);
/* Which fields a reply shows: `fields=` of the call, or all. AR_E_INVALID. */
struct data_shape {
	bool all;
	bool fixed[DATA_CELLS]; /* id, created, updated */
	uint64_t fields[(DATA_FIELDS_MAX + 63) / 64];
};
int data_shape_read(const struct data_collection *collection, const struct ar_str *names, size_t n,
		    struct data_shape *ret);
void data_write_row(struct ar_jw *w, const struct data_collection *collection,
		    const struct data_shape *shape, const struct ar_rows *rows);
struct ar_json *data_row_object(struct ar_pool *pool, const struct data_collection *collection,
				const struct ar_rows *rows);
/* Of an object that has the members of a row, in their order (as data_row_object makes it). */
struct ar_str data_record_text(struct ar_pool *pool, const struct data_collection *collection,
			       const struct ar_json *record);
struct ar_str data_etag(struct ar_pool *pool, int64_t revision, struct ar_str updated);
/* Of a row that get_sql found. */
int64_t data_row_revision(const struct ar_rows *rows);
struct ar_str data_row_etag(struct ar_pool *pool, const struct ar_rows *rows);
/* A value as the column keeps it: JSON as text. */
struct ar_json data_stored(struct ar_pool *pool, const struct data_field *field,
			   const struct ar_json *value);
const char *data_cast(const struct data_collection *collection, const struct data_field *field);
/* AR_E_NOT_FOUND; lock: for a change in this unit of work. */
AR_YIELDS int data_row_get(struct ar_call *call, const struct data_collection *collection,
			   struct ar_str id, bool lock, struct ar_rows *ret);

/* ---- check.c: what comes in as a record ---- */

/* A whole record from input: every field, defaults, nulls. AR_E_INVALID with fields. */
int data_check_whole(struct ar_pool *pool, const struct data_collection *collection,
		     const struct ar_json *input, bool creating, struct ar_json **ret);
/* About the bytes of its JSON text, without making it; not less, but for escapes. */
size_t data_weight(const struct ar_json *value);
/* The fields that a merge patch gives, with {"$inc"} worked out on the record as it is. */
int data_check_patch(struct ar_pool *pool, const struct data_collection *collection,
		     const struct ar_json *record, const struct ar_json *patch,
		     struct ar_json **ret);

/* ---- actions ---- */

AR_YIELDS int data_collection_list(struct ar_call *call);
AR_YIELDS int data_collection_create(struct ar_call *call);
AR_YIELDS int data_collection_read(struct ar_call *call);
AR_YIELDS int data_collection_update(struct ar_call *call);
AR_YIELDS int data_collection_delete(struct ar_call *call);
AR_YIELDS int data_record_list(struct ar_call *call);
AR_YIELDS int data_record_create(struct ar_call *call);
AR_YIELDS int data_record_read(struct ar_call *call);
AR_YIELDS int data_record_replace(struct ar_call *call);
AR_YIELDS int data_record_patch(struct ar_call *call);
AR_YIELDS int data_record_delete(struct ar_call *call);
AR_YIELDS int data_validate(struct ar_call *call);
AR_YIELDS int data_openapi(struct ar_call *call, struct ar_json *paths, struct ar_json *schemas);
AR_YIELDS int data_openapi_stamp(struct ar_call *call, uint64_t *ret);
AR_YIELDS int data_demo(struct ar_call *call);

#endif
