/*
 * sandbox_faults.h - what an executor can be told to do natively, by name.
 */
#ifndef SANDBOX_FAULTS_H
#define SANDBOX_FAULTS_H

#include "sandbox/executor.h"

struct fault {
	const char *name; /* NULL: the last */
	void (*fn)(void);
};
extern const struct fault fault_calls[];  /* sandbox_faults.c: system calls */
extern const struct fault fault_frames[]; /* sandbox_frames.c: what it says, or does not */

/* Lua's fault_forge(name, n): a host call of that name, for the call n after this one. */
int fault_forge(lua_State *L);

#endif
