/*
 * cli.h - the commands that talk to a server: over HTTP, always. When none runs on the data folder,
 * the command brings one of its own for a moment, so that there is one process that writes.
 *
 * Exit codes, the same for every command.
 */
#ifndef AR_CLI_H
#define AR_CLI_H

#include <stdbool.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_REFUSED = 1, /* the server's answer says no */
	CLI_USAGE = 2,   /* the command line or a setting is wrong */
	CLI_UNREACHED =
		3,      /* the server cannot be reached, or the store or the port cannot be used */
	CLI_DENIED = 4, /* not signed in, or not allowed */
};

/* Takes APPRUN_TENANT out of the environment, which otherwise holds settings only. */
void cli_take_environment(void);
/* What stands behind "apprun" once settings are taken out; words[0] is the command. */
int cli_run(int argc, char **argv);
/* Prints about a command, an action, "settings" or "actions"; NULL: the overview. below: the word
 * after the topic, or NULL ("call ACTION"). */
int cli_help(const char *topic, const char *below, bool json);

#endif
