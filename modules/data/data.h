/*
 * data.h - collections and their records: a tenant's own tables, with rules in the expression
 * language. Everything else goes through the actions of the table in module.c.
 */
#ifndef DATA_H
#define DATA_H

#include "action/action.h"

extern const struct ar_module data_module;
extern const struct ar_migration data_migrations[];

/* What the module publishes, each with the record's (or collection's) id as key:
 *   data.record.created, .updated, .deleted   {collection, id, record, changed?}
 *   data.collection.created, .updated, .deleted  {collection, id} */

#endif
