/*
 * rig.h - what the driver suite stands on: a store in a fresh folder, or on the server that
 * APPRUN_TEST_STORE names, and fibers on as many loops as a test wants.
 *
 * Checks inside fibers use CHECK: it names the line and the error stack, and ends the process.
 */
#ifndef RIG_H
#define RIG_H

#include "store/store.h"
#include "tests/harness/test.h"

struct rig {
	char folder[64];
	struct ar_store *store;
	const char *prefix; /* of the names of this rig's databases */
};

/* options may be NULL; url and data are the rig's. Data stays between a stop and a start. */
void rig_make(struct rig *rig, const char *prefix);
void rig_start(struct rig *rig, const struct ar_store_options *options);
/* Runs fn(arg, index) in a fiber on each of so many loops; returns when all have ended. */
void rig_run(struct rig *rig, int loops, void (*fn)(void *arg, int index), void *arg);
void rig_stop(struct rig *rig);
/* All three, on one loop. */
void rig_once(struct rig *rig, const struct ar_store_options *options,
	      void (*fn)(void *arg, int index));
void rig_remove(struct rig *rig); /* the folder */

/* A new, empty database of that name, whatever was there before. */
AR_YIELDS struct ar_db *rig_db(struct rig *rig, const char *name);
/* One that is there. */
AR_YIELDS struct ar_db *rig_open(struct rig *rig, const char *name);
AR_YIELDS int64_t rig_count(struct ar_db *db,
			    const char *sql);               /* the first column of the first row */
AR_YIELDS void rig_exec(struct ar_db *db, const char *sql); /* a unit of its own */
bool rig_is_sqlite(const struct rig *rig);
void rig_path(const struct rig *rig, char *out, size_t cap, const char *name, const char *ending);

/* Runs fn(arg, i) in n fibers of this loop and waits for all. */
AR_YIELDS void rig_fibers(int n, void (*fn)(void *arg, int index), void *arg);

void check_failed(const char *file, int line, const char *what) __attribute__((noreturn));
#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			check_failed(__FILE__, __LINE__, #what);                                   \
	} while (0)
/* The call fails with that code, and the error is cleared. */
#define CHECK_FAILS(call, code)                                                                    \
	do {                                                                                       \
		ar_err_clear();                                                                    \
		CHECK((call) == -1);                                                               \
		CHECK(ar_err() != NULL && ar_err()->def == (code));                                \
		ar_err_clear();                                                                    \
	} while (0)

#endif
