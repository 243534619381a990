/*
 * module.c - the tables of storage: what can be done, who may, what goes in and out; errors.
 */
#include "storage/storage_int.h"

const struct ar_err_def STORAGE_E_BUCKET_EXISTS[1] = { { "storage/bucket-exists", 409 } };
const struct ar_err_def STORAGE_E_NOT_EMPTY[1] = { { "storage/not-empty", 409 } };
const struct ar_err_def STORAGE_E_TOO_LARGE[1] = { { "storage/too-large", 413 } };
const struct ar_err_def STORAGE_E_TYPE[1] = { { "storage/type", 415 } };
const struct ar_err_def STORAGE_E_FULL[1] = { { "storage/bucket-full", 409 } };

static const struct ar_err_def *const errors[] = {
	STORAGE_E_BUCKET_EXISTS, STORAGE_E_NOT_EMPTY, STORAGE_E_TOO_LARGE, STORAGE_E_TYPE,
	STORAGE_E_FULL,          AR_E_BLOB_MISSING,   AR_E_BLOB_FULL,      NULL,
};

#define BUCKET_ROW(...)                                                                            \
	AR_FIELD_FREE("bucket", AR_F_TEXT, .min = 1, .max = 63, .pattern = "[a-z0-9][a-z0-9.-]*",  \
		      __VA_ARGS__)
#define KEY                                                                                        \
	AR_FIELD_FREE("key", AR_F_TEXT, .min = 1, .max = 1024, .check = key_rule, .required = true)
#define RULE(name) AR_FIELD_FREE(name, AR_F_TEXT, .max = 8192, .nullable = true)
#define LIMITS                                                                                     \
	AR_FIELD_FREE("maxSize", AR_F_INT, .min = 0, .max = STORAGE_SIZE_MAX,                      \
		      .help = "bytes of an object; 0: the server's limit"),                        \
		AR_FIELD_FREE("maxObjects", AR_F_INT, .min = 0, .max = INT32_MAX),                 \
		AR_FIELD_FREE("maxBytes", AR_F_INT, .min = 0, .max = STORAGE_SIZE_MAX)
#define TYPES(...)                                                                                 \
	AR_FIELD_FREE(                                                                             \
		"types", AR_F_ARRAY, .max = 50,                                                    \
		.items = AR_ITEM(AR_F_TEXT, .max = 100, .pattern = "[a-z0-9.+-]+/[a-z0-9.+*-]+"),  \
		.help = "content types that are taken: image/png, image/*; none: all",             \
		__VA_ARGS__)

/* Control characters and "..", "." parts make trouble in every tool downstream. */
static const char *key_rule(const struct ar_field *field, const struct ar_json *value)
{
	struct ar_str rest = value->s;

	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.p[i] < ' ' || rest.p[i] == 127)
			return "format";
	while (rest.p != NULL) {
		struct ar_str part = ar_str_cut(&rest, '/');

		if (ar_str_is(part, "..") || ar_str_is(part, "."))
			return "format";
	}
	return NULL;
}

static const struct ar_field rules_fields[] = {
	RULE("read"), RULE("write"), RULE("delete"), RULE("list"), { 0 },
};
#define RULES_ROW AR_FIELD_FREE("rules", AR_F_OBJECT, .fields = rules_fields)

static const struct ar_field create_in[] = {
	BUCKET_ROW(.help = "not given: user-ID of userId"),
	AR_FIELD_FREE("userId", AR_F_ID,
		      .help = "the user who owns it, and may do everything in it"),
	RULES_ROW,
	LIMITS,
	TYPES(.otherwise = "[]"),
	{ 0 },
};
static const struct ar_field update_in[] = {
	BUCKET_ROW(.required = true), RULES_ROW, LIMITS, TYPES(0), { 0 },
};
static const struct ar_field bucket_in[] = { BUCKET_ROW(.required = true), { 0 } };
static const struct ar_field bucket_out[] = {
	BUCKET_ROW(0),
	AR_FIELD_FREE("owner", AR_F_TEXT),
	RULES_ROW,
	LIMITS,
	TYPES(0),
	AR_FIELD_FREE("objects", AR_F_INT),
	AR_FIELD_FREE("bytes", AR_F_INT),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};

#define IF_MATCH      AR_FIELD_FREE("ifMatch", AR_F_TEXT, .max = 1000)
#define IF_NONE_MATCH AR_FIELD_FREE("ifNoneMatch", AR_F_TEXT, .max = 1000)
static const struct ar_field put_in[] = {
	BUCKET_ROW(.required = true),
	KEY,
	AR_FIELD_FREE("type", AR_F_TEXT, .max = 200, .help = "REST: the Content-Type"),
	IF_MATCH,
	IF_NONE_MATCH,
	{ 0 },
};
static const struct ar_field get_in[] = {
	BUCKET_ROW(.required = true), KEY, IF_MATCH, IF_NONE_MATCH, { 0 },
};
static const struct ar_field delete_in[] = {
	BUCKET_ROW(.required = true),
	KEY,
	IF_MATCH,
	{ 0 },
};
static const struct ar_field list_in[] = {
	BUCKET_ROW(.required = true),
	AR_FIELD_FREE("prefix", AR_F_TEXT, .max = 1024),
	{ 0 },
};
static const struct ar_field object_out[] = {
	AR_FIELD_FREE("bucket", AR_F_TEXT),
	AR_FIELD_FREE("key", AR_F_TEXT),
	AR_FIELD_FREE("type", AR_F_TEXT),
	AR_FIELD_FREE("size", AR_F_INT),
	AR_FIELD_FREE("sha256", AR_F_TEXT),
	AR_FIELD_FREE("owner", AR_F_TEXT),
	AR_FIELD_FREE("created", AR_F_TIME),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};
static const struct ar_field sweep_out[] = { AR_FIELD_FREE("deleted", AR_F_INT), { 0 } };

#define READ_BUCKETS  "storage.buckets.read"
#define WRITE_BUCKETS "storage.buckets.write"

static const struct ar_action actions[] = {
	{ "storage.create_bucket", "POST /buckets", WRITE_BUCKETS, .in = create_in,
	  .out = bucket_out, .run = storage_bucket_create, .flags = AR_A_WRITE, .status = 201,
	  .help = "Create a bucket" },
	{ "storage.list_buckets", "GET /buckets", READ_BUCKETS, .out = bucket_out,
	  .run = storage_bucket_list, .flags = AR_A_LIST, .help = "List buckets" },
	{ "storage.get_bucket", "GET /buckets/{bucket}", READ_BUCKETS, .in = bucket_in,
	  .out = bucket_out, .run = storage_bucket_read, .help = "Read a bucket" },
	{ "storage.update_bucket", "PATCH /buckets/{bucket}", WRITE_BUCKETS, .in = update_in,
	  .out = bucket_out, .run = storage_bucket_update, .flags = AR_A_WRITE,
	  .help = "Change a bucket's rules and limits" },
	{ "storage.delete_bucket", "DELETE /buckets/{bucket}", WRITE_BUCKETS, .in = bucket_in,
	  .run = storage_bucket_delete, .flags = AR_A_WRITE, .help = "Delete an empty bucket" },

	/* The bucket's rules are asked inside. */
	{ "storage.list_objects", "GET /buckets/{bucket}/objects", AR_ALLOW_ANYONE, .in = list_in,
	  .out = object_out, .run = storage_object_list, .flags = AR_A_LIST, .wants = STORAGE_READ,
	  .help = "List the objects of a bucket" },
	{ "storage.put_object", "PUT /buckets/{bucket}/objects/{key...}", AR_ALLOW_ANYONE,
	  .in = put_in, .out = object_out, .run = storage_object_put,
	  .flags = AR_A_WRITE | AR_A_RAW_IN | AR_A_MAKES, .deadline_ms = 120000,
	  .wants = STORAGE_WRITE, .help = "Put an object: the body is its bytes" },
	{ "storage.get_object", "GET /buckets/{bucket}/objects/{key...}", AR_ALLOW_ANYONE,
	  .in = get_in, .run = storage_object_get, .flags = AR_A_RAW_OUT, .deadline_ms = 600000,
	  .wants = STORAGE_READ, .help = "Get an object's bytes, or a range of them" },
	{ "storage.delete_object", "DELETE /buckets/{bucket}/objects/{key...}", AR_ALLOW_ANYONE,
	  .in = delete_in, .run = storage_object_delete, .flags = AR_A_WRITE,
	  .wants = STORAGE_READ " " STORAGE_WRITE, .help = "Delete an object" },
	{ "storage.sweep", "POST /storage/sweep", WRITE_BUCKETS, .out = sweep_out,
	  .run = storage_sweep, .flags = AR_A_OUTSIDE, .deadline_ms = 600000,
	  .help = "Delete bytes that a crash left behind" },
	{ 0 },
};

static const char *const permissions[] = {
	STORAGE_READ,  "Read and list the objects of every bucket",
	STORAGE_WRITE, "Put and delete the objects of every bucket",
	NULL,
};

static const struct ar_bus_daily daily = { "storage-files", storage_daily };

static int start(void)
{
	ar_tenant_slot_register(&storage_slot);
	ar_bus_daily(&daily);
	return 0;
}

extern const struct ar_migration storage_migrations[];

const struct ar_module storage_module = {
	.name = "storage",
	.actions = actions,
	.migrations = storage_migrations,
	.errors = errors,
	.permissions = permissions,
	.start = start,
};
