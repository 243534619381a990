/*
 * store_int.h - what the files of the core share: the process's names, the loop's handles.
 */
#ifndef AR_STORE_INT_H
#define AR_STORE_INT_H

#include "store/driver.h"

#include <pthread.h>

enum db_state { DB_OPENING, DB_OPEN, DB_CLOSING };

struct ar_scope_hook {
	struct ar_scope_hook *next;
	int (*before)(struct ar_scope *scope, void *arg);
	void (*after)(void *arg);
	void *arg;
	unsigned depth; /* savepoints open when it was registered */
};

/* What the process knows about a name; made when it is first opened. */
struct store_name {
	bool migrated, dropping;
};

struct ar_store_core {
	pthread_mutex_t lock;
	struct ar_map *names;             /* struct store_name; under lock */
	struct ar_store_loop_core *loops; /* under lock */
};

struct ar_store_loop_core {
	struct ar_store_loop pub;
	struct ar_store_loop_core *next;
	struct ar_map *dbs;   /* struct ar_db, open or about to be */
	struct ar_db *idle;   /* the oldest first */
	struct ar_uow *units; /* open ones, until their commit begins */
	struct ar_fiber *sweeper;
	struct ar_cond sweep;    /* there are too many handles, or the end */
	struct ar_cond released; /* a handle became idle or is gone, for those who wait for that */
	unsigned release_waiters;
	unsigned evicting; /* fibers that close a handle here because its name is dropped */
	struct ar_cond evicted;
	bool ending;
};

/* This thread's loop, after ar_store_attach. */
extern _Thread_local struct ar_store_loop_core *store_here;

/* store.c: names. */
struct store_name store_name_get(struct ar_store *store, struct ar_str name);
void store_name_migrated(struct ar_store *store, struct ar_str name);
bool store_name_valid(struct ar_str name);
/* handles.c: closes this loop's handle of a name that is being dropped. -1: it is still held. */
AR_YIELDS int store_evict(struct ar_str name, int64_t end_ms);
/* Brings a database that was just opened up to date. */
AR_YIELDS int store_migrate(struct ar_db *db);

#endif
