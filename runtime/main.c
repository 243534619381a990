/*
 * main.c - the program's one entrance: settings, the command, signals, an orderly stop.
 *
 * It is also the sandbox's zygote, when it is executed as such: then it has no settings and reads none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "cli.h"
#include "cli_say.h"
#include "config/config.h"
#include "folder.h"
#include "json/json.h"
#include "sandbox/sandbox.h"
#include "serve.h"

extern char **environ;

static const char *why_not(void)
{
	const struct ar_err *err = ar_err();

	while (err != NULL && err->why == NULL && err->below != NULL)
		err = err->below;
	return err == NULL ? "?" : err->why != NULL ? err->why : err->def->slug;
}

#ifdef __SANITIZE_ADDRESS__
/* h2o 2.2.5 keeps free lists per thread, and a queue per loop, that it never gives back. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}
const char *__lsan_default_suppressions(void)
{
	return "leak:h2o_mem_alloc_recycle\nleak:h2o_multithread_create_queue\n";
}
#endif

/* ---- settings ---- */

struct words {
	int argc;
	char **argv; /* owned: the pointers, not the texts */
};

static int load_settings(int argc, char **argv, struct words *ret)
{
	struct ar_buf message AR_CLEANUP(ar_buf_done) = { 0 };

	ar_buf_init(&message, 16 * 1024);
	ret->argc = argc;
	ret->argv = ar_heap_alloc((size_t)(argc + 1) * sizeof(char *));
	memcpy(ret->argv, argv, (size_t)argc * sizeof(char *));
	if (ar_config_load(&ret->argc, ret->argv, environ, false, &message) == 0)
		return 0;
	fprintf(stderr, "apprun: %.*s\n", AR_FMT(ar_buf_view(&message)));
	ar_heap_free(ret->argv);
	ret->argv = NULL;
	return -1;
}

static int open_log(void)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	const char *path = ar_config_strz("log-file");

	for (size_t i = 0; i < AR_COUNT(names); i++) {
		if (strcmp(ar_config_strz("log-level"), names[i]) == 0)
			ar_log_level((enum ar_level)i);
	}
	if (path[0] == '\0')
		return 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return cli_complain("cli/no-log", "file", path, NULL), -1;
	ar_log_fd(fd);
	return 0;
}

int main_start_sandbox(void)
{
	struct ar_sandbox_options options = {
		.executors_max = (int)ar_config_int("executors-max"),
		.executors_per_tenant = (int)ar_config_int("executors-per-tenant"),
		.idle_ms = ar_config_int("executor-idle-s") * 1000,
		.loops = (int)ar_config_int("loops"),
	};

	if (options.loops == 0)
		options.loops = (int)AR_MAX(1, AR_MIN(sysconf(_SC_NPROCESSORS_ONLN), AR_LOOPS_MAX));
	return ar_sandbox_init(&options);
}

/* ---- commands ---- */

static void greet(bool json)
{
	if (json) {
		printf("{\"url\":\"%.*s\",\"pid\":%ld}\n", AR_FMT(serve_url()), (long)getpid());
	} else {
		struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
		const char *folder = ar_strz(pool, folder_path());

		cli_print("cli/answers", "version", APPRUN_VERSION, "url",
			  ar_strz(pool, serve_url()), NULL);
		cli_print("cli/at-data", "folder", folder, NULL);
		if (folder_has("first-login.json"))
			cli_print("cli/at-login", "folder", folder, NULL);
	}
	fflush(stdout);
}

static int serve_words(const struct words *words, struct serve_options *ret, bool *ret_json)
{
	for (int i = 0; i < words->argc; i++) {
		if (strcmp(words->argv[i], "--demo") == 0) {
			ret->demo = true;
		} else if (strcmp(words->argv[i], "--json") == 0) {
			*ret_json = true;
		} else {
			cli_complain("cli/serve-word", "word", words->argv[i], NULL);
			return CLI_USAGE;
		}
	}
	return CLI_OK;
}

static int serve(const struct words *words)
{
	struct serve_options options = { 0 };
	bool json = false;

	if (serve_words(words, &options, &json) != 0)
		return CLI_USAGE;
	if (open_log() != 0)
		return CLI_UNREACHED;
	if (folder_open(ar_config_strz("data")) != 0)
		return cli_complain("cli/cannot-start", "why", why_not(), NULL), CLI_UNREACHED;
	int lock = folder_lock();

	if (lock == 1)
		return cli_complain("cli/another", "folder", ar_config_strz("data"), NULL),
		       CLI_UNREACHED;
	if (lock < 0 || main_start_sandbox() != 0 || serve_start(&options) != 0)
		return cli_complain("cli/cannot-start", "why", why_not(), NULL), CLI_UNREACHED;
	greet(json);
	ar_info("apprun", "started", "version", APPRUN_VERSION);
	int rc = serve_wait() == 0 ? CLI_OK : CLI_UNREACHED;

	serve_stop();
	folder_close();
	ar_info("apprun", "stopped");
	return rc;
}

static int version(bool json)
{
	printf(json ? "{\"version\":\"%s\"}\n" : "apprun %s\n", APPRUN_VERSION);
	return CLI_OK;
}

/* "help [TOPIC [WORD]] [--json]", or "TOPIC [WORD] ... --help". */
static int help(int argc, char **argv)
{
	const char *words[2] = { NULL, NULL };
	bool json = false;
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (argv[i][0] == '-' && strchr(argv[i], '=') == NULL)
			i++; /* a setting and its value: every command takes some */
		else if (argv[i][0] != '-' && n < 2)
			words[n++] = argv[i];
	}
	return cli_help(words[0], words[1], json);
}

/* argv without the program's name. */
static int run(int argc, char **argv)
{
	bool is_serve = strcmp(argv[0], "serve") == 0;
	struct words words;

	umask(077);
	cli_take_environment();
	serve_block_signals();
	if (load_settings(is_serve ? argc - 1 : argc, is_serve ? argv + 1 : argv, &words) != 0)
		return CLI_USAGE;
	int rc = is_serve ? serve(&words) : cli_run(words.argc, words.argv);

	ar_heap_free(words.argv);
	return rc;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "help";
	bool json = argc > 2 && strcmp(argv[2], "--json") == 0;

	ar_sandbox_main(argc, argv);
	if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
		return version(json);
	if (strcmp(command, "help") == 0)
		return help(AR_MAX(argc - 2, 0), argv + AR_MIN(argc, 2));
	if (strcmp(argv[argc - 1], "--help") == 0)
		return help(argc - 1, argv + 1);
	return run(argc - 1, argv + 1);
}
