/*
 * cli_say.h - what the command line says of its own: the texts "cli/..." of i18n/, in the language of
 * LC_ALL, LC_MESSAGES or LANG. After the slug come pairs of a parameter's name and value, then NULL.
 */
#ifndef AR_CLI_SAY_H
#define AR_CLI_SAY_H

#include <stdio.h>

#include "base/base.h"

/* "zh_CN.UTF-8" as "zh-CN": an Accept-Language. Never NULL. */
const char *cli_language(void);
bool cli_speaks_chinese(void);

void cli_say(FILE *to, const char *before, const char *slug, ...) __attribute__((sentinel));
int cli_try_help(void); /* says where help is; CLI_USAGE */

/* A line on standard output. */
#define cli_print(...) cli_say(stdout, "", __VA_ARGS__)
/* "apprun: ..." on standard error. */
#define cli_complain(...) cli_say(stderr, "apprun: ", __VA_ARGS__)
/* The same of a wrong command line; CLI_USAGE. */
#define cli_wrong(...) (cli_complain(__VA_ARGS__), cli_try_help())

#endif
