/*
 * serve.c - a bare server to measure and to poke at: `serve [port] [loops]`, until its input ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/server.h"

static void handle(struct ar_http *http)
{
	struct ar_header type = { AR_STR("content-type"), AR_STR("text/plain") };

	ar_http_reply(http, 200, &type, 1, http->body.n > 0 ? http->body : AR_STR("hello\n"));
}

int main(int argc, char **argv)
{
	struct ar_server_options o = { .handle = handle };
	struct ar_server *server;
	char c;

	o.port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
	o.loops = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
	if (ar_server_start(&o, &server) != 0) {
		ar_log_err(AR_ERROR, "serve", "cannot start");
		return 1;
	}
	printf("%d\n", ar_server_port(server));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	ar_server_stop(server, 1000);
	return 0;
}
