/*
 * folder.h - the data folder: one server at a time, and the small files with secrets in it.
 *
 * apprun.lock     held by the server that runs; whoever cannot get it talks to that server
 * platform-token  of operators, made once
 * run.json        where the server is, and the secret of the command line; only while it runs
 * first-login.json  the demo tenant's administrator, written once
 *
 * Files are written whole (temporary file, fsync, rename) and are their owner's alone (mode 600).
 * Errors carry a `why` for the operator.
 */
#ifndef AR_FOLDER_H
#define AR_FOLDER_H

#include "base/base.h"

int folder_open(const char *path); /* makes it when it is missing, mode 700 */
void folder_close(void);           /* also lets go of the lock */
/* 0: ours until folder_close(), 1: a server has it, -1. */
int folder_lock(void);
int folder_write(const char *name, struct ar_str text);
/* AR_E_NOT_FOUND when it is not there. */
int folder_read(struct ar_pool *pool, const char *name, struct ar_str *ret);
void folder_remove(const char *name);
bool folder_has(const char *name);
struct ar_str folder_path(void); /* absolute */

#endif
