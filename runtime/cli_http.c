/*
 * cli_http.c - finds the server of the data folder by its lock and run.json, or becomes it for a
 * moment; then one request at a time, in a fiber of a loop of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_http.h"
#include "cli_say.h"
#include "client/client.h"
#include "config/config.h"
#include "fiber/fiber.h"
#include "folder.h"
#include "serve.h"

#define STARTING_MS 5000 /* a server that has the lock but is not there yet */
#define TIMEOUT_MS  120000

static struct {
	bool ready, mine;
	struct ar_pool *pool;
	struct ar_str url, token;
} server;

static int say_why(const char *slug)
{
	const struct ar_err *err = ar_err();

	while (err != NULL && err->why == NULL && err->below != NULL)
		err = err->below;
	cli_complain(slug, "why",
		     err == NULL        ? "?"
		     : err->why != NULL ? err->why
					: err->def->slug,
		     NULL);
	ar_err_clear();
	return -1;
}

/* ---- which server ---- */

static int read_run_file(void)
{
	struct ar_json *run;
	struct ar_str text;

	if (folder_read(server.pool, "run.json", &text) != 0 ||
	    ar_json_parse(server.pool, text, &ar_json_limits_default, &run) != 0)
		return -1;
	server.url = ar_json_text(run, "url", AR_STR(""));
	server.token = ar_json_text(run, "token", AR_STR(""));
	return 0;
}

static int find_running(void)
{
	int64_t until = ar_mono_ms() + STARTING_MS;

	while (read_run_file() != 0) {
		if (ar_mono_ms() > until)
			return say_why("cli/no-run-file");
		ar_err_clear();
		usleep(20000);
	}
	return 0;
}

static int bring_own(void)
{
	static const struct serve_options options = { .private = true };

	ar_log_level(AR_ERROR);
	if (main_start_sandbox() != 0 || serve_start(&options) != 0)
		return say_why("cli/cannot-start");
	server.mine = true;
	server.url = serve_url();
	server.token = serve_token();
	return 0;
}

static int find_server(void)
{
	server.pool = ar_pool_new();
	if (folder_open(ar_config_strz("data")) != 0)
		return say_why("cli/data");
	int lock = folder_lock();

	if (lock < 0)
		return say_why("cli/data");
	if ((lock == 1 ? find_running() : bring_own()) != 0)
		return -1;
	server.ready = true;
	return 0;
}

void cli_hang_up(void)
{
	if (server.mine)
		serve_stop();
	folder_close();
	ar_pool_free(server.pool);
	memset(&server, 0, sizeof(server));
}

/* ---- the request ---- */

struct request {
	struct ar_pool *pool;
	const char *method, *path;
	const struct ar_json *body;
	struct ar_fetched reply;
	int rc;
};

static void request_fiber(void *arg)
{
	struct request *r = arg;
	struct ar_fetch_header headers[] = {
		{ AR_STR("authorization"), ar_strf(r->pool, "Bearer %.*s", AR_FMT(server.token)) },
		{ AR_STR("accept-language"), ar_str(cli_language()) },
		{ AR_STR("content-type"), AR_STR("application/json") },
	};
	struct ar_fetch fetch = {
		.method = ar_str(r->method),
		.url = ar_strf(r->pool, "%.*s%s", AR_FMT(server.url), r->path),
		.headers = headers,
		.nheaders = AR_COUNT(headers),
		.timeout_ms = TIMEOUT_MS,
		.response_max = 64u << 20,
		.allow_private = true,
	};

	if (r->body != NULL)
		fetch.body = ar_json_print(r->pool, r->body);
	r->rc = ar_fetch(r->pool, &fetch, &r->reply);
	if (r->rc != 0)
		say_why("cli/unreached");
	ar_loop_stop(ar_loop());
}

int cli_ask(struct ar_pool *pool, const char *method, const char *path, const struct ar_json *body,
	    struct cli_answer *ret)
{
	static const struct ar_json_limits limits = { 64u << 20, 256, 10000000 };
	struct request request = { .pool = pool, .method = method, .path = path, .body = body };

	if (!server.ready && find_server() != 0)
		return -1;
	struct ar_loop *loop = ar_loop_new();

	if (ar_go("request", request_fiber, &request, AR_NO_DEADLINE) != NULL)
		ar_loop_run(loop);
	ar_client_detach();
	ar_loop_free(loop);
	if (request.rc != 0)
		return -1;
	ret->status = request.reply.status;
	if (request.reply.body.n > 0 &&
	    ar_json_parse(pool, request.reply.body, &limits, &ret->json) != 0) {
		ar_err_clear();
		ret->json = NULL;
	}
	return 0;
}
