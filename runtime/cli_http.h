/*
 * cli_http.h - one request of the command line to the server of the data folder.
 */
#ifndef AR_CLI_HTTP_H
#define AR_CLI_HTTP_H

#include "json/json.h"

struct cli_answer {
	int status;
	struct ar_json *json; /* of the body; NULL when it has none */
};

/* Finds the server, or starts one, at the first call. -1: said on standard error. */
int cli_ask(struct ar_pool *pool, const char *method, const char *path, const struct ar_json *body,
	    struct cli_answer *ret);
void cli_hang_up(void); /* stops the server that was started here, if one was */

#endif
