/*
 * cli_say.h - what the command line says of its own: the texts "cli/..." of i18n/, in the language of
 * LC_ALL, LC_MESSAGES or LANG. After the slug come pairs of a parameter's name and value, then NULL.
 */
#ifndef AR_CLI_SAY_H
#define AR_CLI_SAY_H

#include "base/base.h"

/* "zh_CN.UTF-8" as "zh-CN": an Accept-Language. Never NULL. */
const char *cli_language(void);
bool cli_speaks_chinese(void);

/* A line on standard output. */
void cli_print(const char *slug, ...) __attribute__((sentinel));
/* "apprun: ..." on standard error. */
void cli_complain(const char *slug, ...) __attribute__((sentinel));
/* The same of a wrong command line, with where help is. Returns CLI_USAGE. */
int cli_wrong(const char *slug, ...) __attribute__((sentinel));

#endif
