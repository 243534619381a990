/*
 * module.c - the tables of data: what can be done, who may, what goes in and out; errors.
 *
 * Records' actions are open to anyone at the door: the collection's rules decide inside.
 */
#include "data/data_int.h"

const struct ar_err_def DATA_E_UNIQUE[1] = { { "data/unique", 409 } };
const struct ar_err_def DATA_E_EXISTS[1] = { { "data/collection-exists", 409 } };
const struct ar_err_def DATA_E_REFERENCED[1] = { { "data/referenced", 409 } };
const struct ar_err_def DATA_E_NOT_EMPTY[1] = { { "data/not-empty", 409 } };
const struct ar_err_def DATA_E_RULE[1] = { { "data/rule", 422 } };
const struct ar_err_def DATA_E_FULL[1] = { { "data/too-many", 422 } };

static const struct ar_err_def *const errors[] = {
	DATA_E_UNIQUE,     DATA_E_EXISTS,
	DATA_E_REFERENCED, DATA_E_NOT_EMPTY,
	DATA_E_RULE,       DATA_E_FULL,
	AR_E_EXPR_SYNTAX,  AR_E_EXPR_LIMIT,
	AR_E_EXPR_FIELD,   AR_E_EXPR_FUNCTION,
	AR_E_EXPR_PARAM,   AR_E_EXPR_MEMBER,
	AR_E_EXPR_TYPE,    NULL,
};

/* ---- collections ---- */

#define COLLECTION   AR_FIELD_FREE("collection", AR_F_TEXT, .min = 1, .max = 100, .required = true)
#define NAME_PATTERN "[A-Za-z][A-Za-z0-9_]*"
#define FLAG(name)   AR_FIELD_FREE(name, AR_F_BOOL)
#define RULE(name)   AR_FIELD_FREE(name, AR_F_TEXT, .max = AR_EXPR_LENGTH_MAX, .nullable = true)

static const struct ar_field field_fields[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = DATA_NAME_MAX, .pattern = NAME_PATTERN,
		      .required = true),
	AR_FIELD_FREE("type", AR_F_ENUM, .values = data_type_names, .required = true),
	FLAG("required"),
	FLAG("unique"),
	FLAG("indexed"),
	AR_FIELD_FREE("multiple", AR_F_BOOL, .help = "a list: of select and relation"),
	AR_FIELD_FREE("min", AR_F_INT, .nullable = true,
		      .help = "characters of text, value of numbers, members of lists"),
	AR_FIELD_FREE("max", AR_F_INT, .nullable = true, .help = "likewise; bytes of json"),
	AR_FIELD_FREE(
		"pattern", AR_F_TEXT, .max = 200, .nullable = true,
		.help = "what the whole text matches: characters, . and classes such as [a-z0-9], "
			"each with * + ? {n,m} or none; no groups"),
	AR_FIELD_FREE("values", AR_F_ARRAY, .max = 500, .nullable = true,
		      .items = AR_ITEM(AR_F_TEXT, .min = 1, .max = 200), .help = "of select"),
	AR_FIELD_FREE("collection", AR_F_TEXT, .max = 100, .nullable = true,
		      .help = "what a relation leads to"),
	AR_FIELD_FREE("default", AR_F_JSON),
	AR_FIELD_FREE("help", AR_F_TEXT, .max = 1000, .nullable = true),
	{ 0 },
};
static const struct ar_field rules_fields[] = {
	RULE("list"), RULE("view"), RULE("create"), RULE("update"), RULE("delete"), { 0 },
};
#define FIELDS                                                                                     \
	AR_FIELD_FREE("fields", AR_F_ARRAY, .max = DATA_FIELDS_MAX,                                \
		      .items = AR_ITEM(AR_F_OBJECT, .fields = field_fields))
#define RULES                                                                                      \
	AR_FIELD_FREE("rules", AR_F_OBJECT, .fields = rules_fields,                                \
		      .help = "expressions; null: only who has the permission; empty: anyone")

static const struct ar_field create_in[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .min = 1, .max = DATA_NAME_MAX,
		      .pattern = "[a-z][a-z0-9_]*", .required = true),
	FIELDS,
	RULES,
	{ 0 },
};
static const struct ar_field update_in[] = {
	COLLECTION,
	FIELDS,
	RULES,
	AR_FIELD_FREE("renameFields", AR_F_OBJECT, .max = DATA_FIELDS_MAX, .help = "{old: new}"),
	AR_FIELD_FREE("deleteFields", AR_F_ARRAY, .max = DATA_FIELDS_MAX,
		      .items = AR_ITEM(AR_F_TEXT, .max = 100), .help = "with all their values"),
	AR_FIELD_FREE("ifMatch", AR_F_TEXT, .max = 1000),
	{ 0 },
};
static const struct ar_field collection_in[] = { COLLECTION, { 0 } };
static const struct ar_field drop_in[] = {
	COLLECTION,
	AR_FIELD_FREE("deleteRecords", AR_F_BOOL, .query = true,
		      .help = "also when there are some"),
	{ 0 },
};
static const struct ar_field collection_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),        AR_FIELD_FREE("name", AR_F_TEXT),    FIELDS, RULES,
	AR_FIELD_FREE("created", AR_F_TIME), AR_FIELD_FREE("updated", AR_F_TIME), { 0 },
};
static const struct ar_field collections_out[] = {
	AR_FIELD_FREE("items", AR_F_ARRAY, .items = AR_ITEM(AR_F_OBJECT, .fields = collection_out)),
	AR_FIELD_FREE("nextCursor", AR_F_TEXT, .nullable = true),
	{ 0 },
};

/* ---- records ---- */

#define ID       AR_FIELD_FREE("id", AR_F_TEXT, .min = 1, .max = 100, .required = true)
#define DATA     AR_FIELD_FREE("data", AR_F_OBJECT, .required = true)
#define IF_MATCH AR_FIELD_FREE("ifMatch", AR_F_TEXT, .max = 1000)

static const struct ar_field list_in[] = { COLLECTION, { 0 } };
static const struct ar_field record_create_in[] = { COLLECTION, DATA, { 0 } };
static const struct ar_field record_read_in[] = {
	COLLECTION,
	ID,
	AR_FIELD_FREE("fields", AR_F_TEXT, .max = 4096, .help = "Only these members"),
	AR_FIELD_FREE("ifNoneMatch", AR_F_TEXT, .max = 1000),
	{ 0 },
};
static const struct ar_field record_change_in[] = { COLLECTION, ID, DATA, IF_MATCH, { 0 } };
static const struct ar_field record_delete_in[] = { COLLECTION, ID, IF_MATCH, { 0 } };
static const struct ar_field record_out[] = {
	AR_FIELD_FREE("id", AR_F_ID),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};

static const struct ar_field validate_in[] = {
	AR_FIELD_FREE("collection", AR_F_TEXT, .min = 1, .max = 100, .help = "registrations"),
	DATA,
	{ 0 },
};
static const struct ar_field validate_out[] = {
	AR_FIELD_FREE("valid", AR_F_BOOL),
	AR_FIELD_FREE("collection", AR_F_TEXT),
	AR_FIELD_FREE("data", AR_F_OBJECT, .help = "with defaults, in the one form of its types"),
	{ 0 },
};

#define RECORDS "/collections/{collection}/records"

#define READS   DATA_RECORDS_READ
#define WRITES  DATA_RECORDS_WRITE
#define CHANGES READS " " WRITES /* who may not see a record does not find it */

static const struct ar_action actions[] = {
	{ "data.list_collections", "GET /collections", DATA_SCHEMA_READ, .out = collections_out,
	  .run = data_collection_list, .help = "List collections" },
	{ "data.create_collection", "POST /collections", DATA_SCHEMA_WRITE, .in = create_in,
	  .out = collection_out, .run = data_collection_create, .flags = AR_A_WRITE, .status = 201,
	  .help = "Create a collection" },
	{ "data.get_collection", "GET /collections/{collection}", DATA_SCHEMA_READ,
	  .in = collection_in, .out = collection_out, .run = data_collection_read,
	  .help = "Read a collection's definition" },
	{ "data.update_collection", "PATCH /collections/{collection}", DATA_SCHEMA_WRITE,
	  .in = update_in, .out = collection_out, .run = data_collection_update,
	  .flags = AR_A_WRITE, .deadline_ms = 120000,
	  .help = "Add, change, rename and delete fields; set rules" },
	{ "data.delete_collection", "DELETE /collections/{collection}", DATA_SCHEMA_WRITE,
	  .in = drop_in, .run = data_collection_delete, .flags = AR_A_WRITE, .deadline_ms = 120000,
	  .help = "Delete a collection" },

	{ "data.list_records", "GET " RECORDS, AR_ALLOW_ANYONE, .in = list_in, .out = record_out,
	  .run = data_record_list, .flags = AR_A_LIST, .wants = READS,
	  .help = "List a collection's records" },
	{ "data.create_record", "POST " RECORDS, AR_ALLOW_ANYONE, .in = record_create_in,
	  .body = "data", .out = record_out, .run = data_record_create, .flags = AR_A_WRITE,
	  .status = 201, .wants = WRITES, .help = "Create a record" },
	{ "data.get_record", "GET " RECORDS "/{id}", AR_ALLOW_ANYONE, .in = record_read_in,
	  .out = record_out, .run = data_record_read, .wants = READS, .help = "Read a record" },
	{ "data.replace_record", "PUT " RECORDS "/{id}", AR_ALLOW_ANYONE, .in = record_change_in,
	  .body = "data", .out = record_out, .run = data_record_replace, .flags = AR_A_WRITE,
	  .wants = CHANGES, .help = "Replace a record: what is not given becomes its default" },
	{ "data.update_record", "PATCH " RECORDS "/{id}", AR_ALLOW_ANYONE, .in = record_change_in,
	  .body = "data", .out = record_out, .run = data_record_patch, .flags = AR_A_WRITE,
	  .wants = CHANGES,
	  .help = "Merge a patch into a record; {\"n\":{\"$inc\":1}} adds to a number" },
	{ "data.delete_record", "DELETE " RECORDS "/{id}", AR_ALLOW_ANYONE, .in = record_delete_in,
	  .run = data_record_delete, .flags = AR_A_WRITE, .wants = CHANGES,
	  .help = "Delete a record" },

	{ "data.validate_schema", "POST /validate", DATA_SCHEMA_READ, .in = validate_in,
	  .out = validate_out, .run = data_validate, .help = "Hold data against a collection",
	  .alias = "data-model.validate_schema" },
	{ 0 },
};

static const char *const permissions[] = {
	DATA_RECORDS_READ,
	"Read and list the records of every collection",
	DATA_RECORDS_WRITE,
	"Create, change and delete records of every collection",
	NULL,
};

static int start(void)
{
	ar_tenant_slot_register(&data_slot);
	return 0;
}

const struct ar_module data_module = {
	.name = "data",
	.actions = actions,
	.migrations = data_migrations,
	.errors = errors,
	.permissions = permissions,
	.start = start,
	.demo = data_demo,
	.openapi = data_openapi,
	.openapi_stamp = data_openapi_stamp,
};
