/*
 * serve.h - the whole of apprun, started and stopped: for `apprun serve`, and for a command that
 * finds no server running and brings its own for a moment.
 */
#ifndef AR_SERVE_H
#define AR_SERVE_H

#include "base/base.h"

struct serve_options {
	bool demo;    /* see to the demo tenant */
	bool private; /* loopback, any free port, little log: for one command */
};

/*
 * After ar_config_load(), folder_open() and folder_lock(), on the main thread, before any other
 * thread runs, after main_start_sandbox(). -1: the error's `why` says it to the operator.
 */
int serve_start(const struct serve_options *options);
void serve_stop(void);
/* Blocks until SIGTERM, SIGINT or SIGHUP; from then on a second one ends the process at once. */
int serve_wait(void);           /* -1: it was the database that went to another server */
void serve_block_signals(void); /* before any thread */

struct ar_str serve_url(void);   /* "http://127.0.0.1:8090" */
struct ar_str serve_token(void); /* the command line's secret */

/* Runs fn in a fiber of a loop of the server and waits for it; not on a loop's own thread. */
void serve_errand(void (*fn)(void *arg), void *arg);

int main_start_sandbox(void); /* main.c; before serve_start() */

/* demo.c, in a fiber: the tenant "demo", its sample content, first-login.json. */
int demo_prepare(void);

#endif
