/*
 * cli_say.c - sentences of the command line in the user's language.
 *
 * Needs no server: the texts are in the program. What an operating system or a library says for a
 * reason stays as it comes.
 */
#include <stdarg.h>
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

void cli_say(FILE *to, const char *before, const char *slug, ...)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_err_param *params = NULL;
	const char *key;
	va_list pairs;

	va_start(pairs, slug);
	while ((key = va_arg(pairs, const char *)) != NULL) {
		struct ar_err_param *param = ar_new(pool, struct ar_err_param);

		*param = (struct ar_err_param){ key, va_arg(pairs, const char *), params };
		params = param;
	}
	va_end(pairs);
	fprintf(to, "%s%.*s\n", before,
		AR_FMT(ar_message(pool, ar_str(cli_language()), slug, params)));
}

int cli_try_help(void)
{
	cli_say(stderr, "", "cli/try", NULL);
	return CLI_USAGE;
}
