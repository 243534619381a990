/*
 * cli_say.c - sentences of the command line in the user's language.
 *
 * Needs no server: the texts are in the program. What an operating system or a library says for a
 * reason stays as it comes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action/action.h"
#include "cli.h"
#include "cli_say.h"

const char *cli_language(void)
{
	static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
	static char text[24];

	for (size_t i = 0; i < AR_COUNT(names); i++) {
		const char *value = getenv(names[i]);

		if (value == NULL || value[0] == '\0')
			continue;
		snprintf(text, sizeof(text), "%.20s", value);
		text[strcspn(text, ".@")] = '\0';
		if (strchr(text, '_') != NULL)
			*strchr(text, '_') = '-';
		return text;
	}
	return "en";
}

bool cli_speaks_chinese(void)
{
	return strcmp(ar_language(ar_str(cli_language())), "zh-CN") == 0;
}

static void print(FILE *to, const char *before, const char *slug, va_list pairs)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_err_param *params = NULL;
	const char *key;

	while ((key = va_arg(pairs, const char *)) != NULL) {
		struct ar_err_param *param = ar_new(pool, struct ar_err_param);

		*param = (struct ar_err_param){ key, va_arg(pairs, const char *), params };
		params = param;
	}
	fprintf(to, "%s%.*s\n", before,
		AR_FMT(ar_message(pool, ar_str(cli_language()), slug, params)));
}

void cli_print(const char *slug, ...)
{
	va_list pairs;

	va_start(pairs, slug);
	print(stdout, "", slug, pairs);
	va_end(pairs);
}

void cli_complain(const char *slug, ...)
{
	va_list pairs;

	va_start(pairs, slug);
	print(stderr, "apprun: ", slug, pairs);
	va_end(pairs);
}

static void say_try(const char *slug, ...)
{
	va_list none;

	va_start(none, slug);
	print(stderr, "", slug, none);
	va_end(none);
}

int cli_wrong(const char *slug, ...)
{
	va_list pairs;

	va_start(pairs, slug);
	print(stderr, "apprun: ", slug, pairs);
	va_end(pairs);
	say_try("cli/try", NULL);
	return CLI_USAGE;
}
