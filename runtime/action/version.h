/*
 * version.h - things with a name and numbered versions of their source that never change: functions,
 * workflows. The module has two tables,
 *
 *	things     name, version (the id of the current one), number, and what else a thing has
 *	versions   id, OWNER (the thing's name), number, source, sha256, created, created_by
 *
 * and this room reads and writes what they have in common. The inputs of its actions are "name" and
 * "number".
 */
#ifndef AR_VERSION_H
#define AR_VERSION_H

#include "action/action.h"
#include "base/embed.h"

/* Constant text. */
struct ar_versioned {
	const char *things, *versions; /* the tables */
	const char *owner;             /* the column of `versions` */
	const char *parsed; /* a column of `versions` with the source as JSON, shown; or NULL */
	const char *put, *source; /* the action that deploys, its input that is the source */
};

struct ar_version {
	bool exists, same_source;
	int64_t number; /* 0: there is none yet */
	struct ar_str id;
};

/* The current version, locked until the unit of work ends; nothing (0) when there is no such thing. */
AR_YIELDS int ar_version_current(struct ar_call *call, const struct ar_versioned *of,
				 struct ar_str name, struct ar_str sha256, struct ar_version *ret);
/* The next version's id and number, in place. */
void ar_version_next(struct ar_call *call, struct ar_version *version);
/* Its row, made by the caller; the thing's row must be there. parsed: JSON text. */
AR_YIELDS int ar_version_insert(struct ar_call *call, const struct ar_versioned *of,
				struct ar_str name, const struct ar_version *version,
				struct ar_str source, struct ar_str sha256, struct ar_str parsed);

/* ---- whole actions ---- */

AR_YIELDS int ar_version_list(struct ar_call *call, const struct ar_versioned *of);
AR_YIELDS int ar_version_get(struct ar_call *call, const struct ar_versioned *of);
/* Samples: deploys each file whose name, to its first dot, no thing has. more: inputs of all. */
AR_YIELDS int ar_version_demo(struct ar_call *call, const struct ar_versioned *of,
			      const struct ar_file *files, const struct ar_json *more);

#define AR_VERSION_NUMBER                                                                          \
	AR_FIELD_FREE("number", AR_F_INT, .min = 1, .max = INT32_MAX, .required = true)
/* What ar_version_list() shows of each; ar_version_get() adds "source" and what is parsed. */
#define AR_VERSION_FIELDS                                                                          \
	AR_FIELD_FREE("id", AR_F_ID), AR_FIELD_FREE("number", AR_F_INT),                           \
		AR_FIELD_FREE("sha256", AR_F_TEXT), AR_FIELD_FREE("createdBy", AR_F_TEXT),         \
		AR_FIELD_FREE("created", AR_F_TIME)

#endif
