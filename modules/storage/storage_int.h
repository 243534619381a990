/*
 * storage_int.h - what the files of storage share.
 */
#ifndef STORAGE_INT_H
#define STORAGE_INT_H

#include "action/action.h"
#include "action/list.h"
#include "blob/blob.h"
#include "bus/bus.h"
#include "expr/expr.h"
#include "storage/storage.h"

extern const struct ar_err_def STORAGE_E_BUCKET_EXISTS[1]; /* 409 storage/bucket-exists */
extern const struct ar_err_def STORAGE_E_NOT_EMPTY[1];     /* 409 storage/not-empty */
extern const struct ar_err_def STORAGE_E_TOO_LARGE[1];     /* 413 storage/too-large: max */
extern const struct ar_err_def STORAGE_E_TYPE[1];          /* 415 storage/type: type */
extern const struct ar_err_def STORAGE_E_FULL[1];          /* 409 storage/bucket-full */

#define STORAGE_SIZE_MAX   ((int64_t)1 << 40)
#define STORAGE_REMEMBERED 2000 /* buckets of a tenant, per loop */
#define STORAGE_READ       "storage.objects.read"
#define STORAGE_WRITE      "storage.objects.write"

/* ---- rule.c ---- */

enum storage_rule { RULE_READ, RULE_WRITE, RULE_DELETE, RULE_LIST, RULES };

struct storage_bucket { /* as the slot remembers it */
	struct ar_pool *pool;
	struct ar_str name, owner;    /* a user's id, or empty */
	struct ar_expr *rules[RULES]; /* NULL: see `anyone` */
	bool anyone[RULES];           /* the rule is "" */
	int64_t max_size, max_objects, max_bytes;
	struct ar_json *types;
};

struct storage_object {
	struct ar_str id, key, type, owner, sha256;
	int64_t size, created, updated;
};

extern struct ar_tenant_slot storage_slot;
/* Valid until the call's pool ends. AR_E_NOT_FOUND; AR_E_UNAUTHORIZED for anyone, who is not told what
 * there is. */
AR_YIELDS int storage_bucket_get(struct ar_call *call, struct ar_str name,
				 struct storage_bucket **ret);
int storage_changes(struct ar_call *call);
/* Reads a rule's text: AR_E_INVALID with the field, when it is no condition over an object. */
int storage_rule_read(struct ar_pool *pool, const char *field, struct ar_str text,
		      struct ar_expr **ret);
/* 0, or AR_E_UNAUTHORIZED / AR_E_FORBIDDEN; AR_E_NOT_FOUND where reading is not allowed. */
int storage_may(struct ar_call *call, const struct storage_bucket *bucket, enum storage_rule rule,
		const struct storage_object *object);
/* Adds " AND ..." for what the list rule leaves to see. AR_E_UNAUTHORIZED, AR_E_FORBIDDEN. */
int storage_list_sql(struct ar_call *call, const struct storage_bucket *bucket, struct ar_sql *sql);

/* ---- bucket.c ---- */

AR_YIELDS int storage_bucket_create(struct ar_call *call);
AR_YIELDS int storage_bucket_list(struct ar_call *call);
AR_YIELDS int storage_bucket_read(struct ar_call *call);
AR_YIELDS int storage_bucket_update(struct ar_call *call);
AR_YIELDS int storage_bucket_delete(struct ar_call *call);

/* ---- object.c ---- */

AR_YIELDS int storage_object_put(struct ar_call *call);
AR_YIELDS int storage_object_get(struct ar_call *call);
AR_YIELDS int storage_object_list(struct ar_call *call);
AR_YIELDS int storage_object_delete(struct ar_call *call);
AR_YIELDS int storage_sweep(struct ar_call *call);
AR_YIELDS int storage_daily(struct ar_scope *scope, struct ar_str database, bool *ret_more);

/* ---- range.c ---- */

/* "bytes=0-9", "bytes=5-", "bytes=-3" over size bytes. 1: a part, 0: no range that we take (send
 * all), -1 with AR_E_RANGE. */
int storage_range(struct ar_str header, int64_t size, int64_t *ret_offset, int64_t *ret_length);

#endif
