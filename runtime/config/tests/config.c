/*
 * config.c - tests of settings: the order of sources, every kind of value, every refusal's message.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/config.h"
#include "tests/harness/test.h"

static char folder[] = "/tmp/apprun-config-XXXXXX";
static char path[64];

static void file(const char *name, const char *text)
{
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#define MAX_WORDS 8

/* Loads with a data folder that has no file unless the test made one. */
static int load_with(const char *const *env, const char *const *args, bool strict, int *ret_left,
		     char *message, size_t cap)
{
	struct ar_buf buf AR_CLEANUP(ar_buf_done) = { 0 };
	char *argv[MAX_WORDS + 2], *envp[MAX_WORDS + 2], data[80];
	int argc = 0, n = 0, rc;

	snprintf(data, sizeof(data), "APPRUN_DATA=%s", folder);
	envp[n++] = data;
	for (; env != NULL && env[n - 1] != NULL; n++)
		envp[n] = (char *)env[n - 1];
	envp[n] = NULL;
	for (; args != NULL && args[argc] != NULL; argc++)
		argv[argc] = (char *)args[argc];
	ar_buf_init(&buf, 4096);
	rc = ar_config_load(&argc, argv, envp, strict, &buf);
	if (ret_left != NULL)
		*ret_left = argc;
	for (int i = 0; ret_left != NULL && i < argc; i++)
		assert_int_equal(argv[i][0],
				 'k'); /* the words that stay begin with k or are none */
	snprintf(message, cap, "%.*s", AR_FMT(ar_buf_view(&buf)));
	return rc;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void good(const char *const *env, const char *const *args)
{
	char message[4096];

	if (load_with(env, args, true, NULL, message, sizeof(message)) != 0)
		fail_msg("%s", message);
	assert_string_equal(message, "");
}

static void bad(const char *const *env, const char *const *args, const char *expected)
{
	char message[4096];

	assert_int_equal(load_with(env, args, true, NULL, message, sizeof(message)), -1);
	if (strstr(message, expected) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", expected, message);
}

static int clean(void **state)
{
	snprintf(path, sizeof(path), "%s/apprun.json", folder);
	unlink(path);
	return 0;
}

static void defaults(void **state)
{
	good(NULL, NULL);
	assert_str(ar_config_str("host"), "127.0.0.1");
	assert_int_equal(ar_config_int("port"), 8090);
	assert_int_equal(ar_config_int("body-max"), 16 << 20);
	assert_int_equal(ar_config_int("bcrypt-cost"), 12);
	assert_int_equal(ar_config_int("access-ttl-s"), 900);
	assert_int_equal(ar_config_int("refresh-ttl-s"), 2592000);
	assert_str(ar_config_str("log-level"), "info");
	assert_str(ar_config_str("store"), "");
	assert_str(ar_config_str("data"), folder);
}

static void later_sources_win(void **state)
{
	file("apprun.json", "{\"port\": 1, \"host\": \"a\", \"slow-ms\": \"7\", \"loops\": 3}");
	good(WORDS("APPRUN_PORT=2", "APPRUN_HOST=b", "PATH=/bin"), WORDS("--port", "3"));
	assert_int_equal(ar_config_int("port"), 3);
	assert_str(ar_config_str("host"), "b");
	assert_int_equal(ar_config_int("slow-ms"), 7);
	assert_int_equal(ar_config_int("loops"), 3);
	good(NULL, NULL);
	assert_int_equal(ar_config_int("port"), 1);
}

static void a_named_file_is_read_instead(void **state)
{
	char option[100];

	file("apprun.json", "{\"port\": 1}");
	file("other.json",
	     "{\"host\": \"other\", \"client-allow\": [\"10.0.0.0/8\", \"fd00::/8\"]}");
	snprintf(option, sizeof(option), "--config=%s/other.json", folder);
	good(NULL, WORDS(option));
	assert_int_equal(ar_config_int("port"), 8090);
	assert_str(ar_config_str("host"), "other");
	assert_str(ar_config_str("client-allow"), "10.0.0.0/8,fd00::/8");
	snprintf(option, sizeof(option), "APPRUN_CONFIG=%s/missing.json", folder);
	bad(WORDS(option), NULL, "missing.json: No such file");
}

static void the_command_line_has_two_forms(void **state)
{
	good(NULL, WORDS("--port=5", "--host", "h", "--store="));
	assert_int_equal(ar_config_int("port"), 5);
	assert_str(ar_config_str("host"), "h");
	bad(NULL, WORDS("--port"), "command line: --port: a value must follow");
}

static void what_is_not_a_setting_stays_for_the_caller(void **state)
{
	const char *const args[] = { "k1", "--port", "5", "k2", "--loops=2", NULL };
	const char *const more[] = { "--port", "5", "--json", NULL };
	const char *const end[] = { "--port", "5", "--", "--port", NULL };
	char message[4096];
	int left = 0;

	assert_int_equal(load_with(NULL, args, true, &left, message, sizeof(message)), 0);
	assert_int_equal(left, 2);
	assert_int_equal(ar_config_int("port"), 5);
	assert_int_equal(ar_config_int("loops"), 2);
	assert_int_equal(load_with(NULL, more, false, NULL, message, sizeof(message)), 0);
	assert_int_equal(load_with(NULL, more, true, NULL, message, sizeof(message)), -1);
	assert_int_equal(load_with(NULL, end, true, NULL, message, sizeof(message)), 0);
}

static void sizes(void **state)
{
	static const struct {
		const char *arg;
		int64_t bytes;
	} rows[] = {
		{ "--body-max=65536", 65536 }, { "--body-max=64k", 65536 },
		{ "--body-max=64K", 65536 },   { "--body-max=3m", 3 << 20 },
		{ "--body-max=1g", 1 << 30 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		good(NULL, WORDS(rows[i].arg));
		assert_int_equal(ar_config_int("body-max"), rows[i].bytes);
	}
}

static void bad_values_name_source_and_setting(void **state)
{
	static const struct {
		const char *arg, *message;
	} rows[] = {
		{ "--port=abc", "command line: --port: must be a whole number from 0 to 65535" },
		{ "--port=65536", "command line: --port: must be from 0 to 65535" },
		{ "--port=-1", "--port: must be from 0 to 65535" },
		{ "--port=1.5", "--port: must be a whole number" },
		{ "--port=", "--port: must be a whole number" },
		{ "--port=99999999999999999999", "--port: must be a whole number" },
		{ "--body-max=16x", "--body-max: must be a size" },
		{ "--body-max=k", "--body-max: must be a size" },
		{ "--body-max=9999999999g", "--body-max: must be a size" },
		{ "--body-max=2g", "--body-max: must be from 1024 to 1073741824" },
		{ "--log-level=loud", "--log-level: must be one of: error warn info debug" },
		{ "--client-allow=10.0.0.0/33", "--client-allow: must be networks" },
		{ "--client-allow=10.0.0/8", "--client-allow: must be networks" },
		{ "--client-allow=,", "--client-allow: must be networks" },
		{ "--client-allow=fd00::/129", "--client-allow: must be networks" },
		{ "--store=mysql://x", "--store: must be empty, sqlite: or postgres://" },
		{ "--base-domain=-a.b", "--base-domain: must be a host name" },
		{ "--base-domain=a..b", "--base-domain: must be a host name" },
		{ "--platform-token=short", "--platform-token: must have at least 24" },
		{ "--host=\xff", "--host: must be UTF-8" },
		{ "--prot=1",
		  "command line: --prot: there is no such setting; did you mean port?" },
		{ "--completely-else=1", "--completely-else: there is no such setting (" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		bad(NULL, WORDS(rows[i].arg), rows[i].message);
	bad(WORDS("APPRUN_PORT=x"), NULL, "environment: APPRUN_PORT: must be a whole number");
	bad(WORDS("APPRUN_PORTS=1"), NULL,
	    "environment: APPRUN_PORTS: there is no such setting; did "
	    "you mean port?");
	bad(WORDS("APPRUN_PORT=tcp://10.0.0.1:8090"), NULL, "enableServiceLinks");
}

static void bad_files(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "{\"port\": \"x\"}", "file: port in " },
		{ "{\"port\": 1.5}", "port: must be a text, a whole number or a boolean" },
		{ "{\"port\": null}", "port: must be a text" },
		{ "{\"client-allow\": [1]}", "client-allow: must be a text" },
		{ "{\"prot\": 1}", "prot: there is no such setting; did you mean port?" },
		{ "{\"config\": \"x\"}", "config: cannot be set in the file itself" },
		{ "{\"port\": 1,}", "apprun.json: not JSON" },
		{ "[]", "must hold a JSON object" },
		{ "", "apprun.json: not JSON" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		file("apprun.json", rows[i].text);
		bad(NULL, NULL, rows[i].message);
	}
}

static void secrets_are_not_shown(void **state)
{
	static const char secret[] = "a-very-secret-token-of-operators";
	struct ar_buf buf AR_CLEANUP(ar_buf_done) = { 0 };
	char env[100], text[8192], message[4096];

	file("token", "a-very-secret-token-of-operators\n");
	snprintf(env, sizeof(env), "APPRUN_PLATFORM_TOKEN_FILE=%s/token", folder);
	good(WORDS(env), NULL);
	assert_str(ar_config_str("platform-token"), secret);
	ar_buf_init(&buf, sizeof(text));
	ar_config_show(&buf);
	snprintf(text, sizeof(text), "%.*s", AR_FMT(ar_buf_view(&buf)));
	assert_null(strstr(text, secret));
	assert_non_null(strstr(text, "platform-token         environment   (secret)\n"));
	assert_non_null(strstr(text, "port                   default       8090\n"));
	/* nor in a message about it */
	assert_int_equal(load_with(WORDS("APPRUN_PLATFORM_TOKEN=secret"), NULL, true, NULL, message,
				   sizeof(message)),
			 -1);
	assert_null(strstr(message, "secret"));
	/* only secrets come from files */
	bad(WORDS("APPRUN_PORT_FILE=/etc/passwd"), NULL,
	    "APPRUN_PORT_FILE: there is no such setting");
	snprintf(env, sizeof(env), "APPRUN_PLATFORM_TOKEN_FILE=%s/none", folder);
	bad(WORDS(env), NULL, "No such file");
}

static void help_names_every_setting(void **state)
{
	struct ar_buf buf AR_CLEANUP(ar_buf_done) = { 0 };

	ar_buf_init(&buf, 1 << 16);
	ar_config_help(&buf);
	assert_false(buf.over);
	ar_buf_char(&buf, 0);
	for (size_t i = 0; ar_settings[i].name != NULL; i++) {
		char option[64];

		snprintf(option, sizeof(option), "\n  --%s ", ar_settings[i].name);
		if (strstr(buf.p, option) == NULL)
			fail_msg("no %s", option);
		assert_non_null(ar_settings[i].help);
		assert_non_null(ar_settings[i].otherwise);
	}
}

static int setup(void **state)
{
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "apprun.json", "other.json", "token" };

	for (size_t i = 0; i < AR_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(defaults, clean),
		cmocka_unit_test_teardown(later_sources_win, clean),
		cmocka_unit_test_teardown(a_named_file_is_read_instead, clean),
		cmocka_unit_test_teardown(the_command_line_has_two_forms, clean),
		cmocka_unit_test_teardown(what_is_not_a_setting_stays_for_the_caller, clean),
		cmocka_unit_test_teardown(sizes, clean),
		cmocka_unit_test_teardown(bad_values_name_source_and_setting, clean),
		cmocka_unit_test_teardown(bad_files, clean),
		cmocka_unit_test_teardown(secrets_are_not_shown, clean),
		cmocka_unit_test_teardown(help_names_every_setting, clean),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
