/*
 * cli.c - tenant, call, function and workflow: from words to one request, from its answer to lines.
 *
 * With --json the answer is printed as it came (problems too, on standard output); without, people
 * get what they need to read, and problems on standard error, in their language (cli_say.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cli_http.h"
#include "cli_say.h"
#include "json/json.h"

#define INPUT_MAX (16u << 20)
#define WORDS_MAX 8

struct cli {
	struct ar_pool *pool;
	const char *words[WORDS_MAX]; /* without options */
	int nwords;
	const char *tenant, *input, *email, *permissions;
	bool json, yes;
};

/* ---- words ---- */

static int parse_option(struct cli *cli, int argc, char **argv, int *at)
{
	struct {
		const char *name;
		const char **value;
		bool *flag;
	} rows[] = {
		{ "--tenant", &cli->tenant, NULL }, { "--input", &cli->input, NULL },
		{ "--email", &cli->email, NULL },   { "--permissions", &cli->permissions, NULL },
		{ "--json", NULL, &cli->json },     { "--yes", NULL, &cli->yes },
	};
	const char *word = argv[*at], *equals = strchr(word, '=');
	size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (strlen(rows[i].name) != n || memcmp(rows[i].name, word, n) != 0)
			continue;
		if (rows[i].flag != NULL)
			return equals == NULL ? (*rows[i].flag = true, 0)
					      : cli_wrong("cli/switch-value", NULL);
		if (equals == NULL && *at + 1 >= argc)
			return cli_wrong("cli/wants-value", "option", word, NULL);
		*rows[i].value = equals != NULL ? equals + 1 : argv[++*at];
		return 0;
	}
	return cli_wrong("cli/no-option", "option", word, NULL);
}

static char *default_tenant;

void cli_take_environment(void)
{
	const char *tenant = getenv("APPRUN_TENANT");

	if (tenant != NULL && tenant[0] != '\0')
		default_tenant = ar_heap_strz(ar_str(tenant));
	unsetenv("APPRUN_TENANT");
}

static int parse_words(struct cli *cli, int argc, char **argv)
{
	cli->tenant = default_tenant;
	for (int i = 0; i < argc; i++) {
		bool option = argv[i][0] == '-' && argv[i][1] == '-';

		if (option && parse_option(cli, argc, argv, &i) != 0)
			return CLI_USAGE;
		if (option)
			continue;
		if (cli->nwords == WORDS_MAX)
			return cli_wrong("cli/too-many-words", NULL);
		cli->words[cli->nwords++] = argv[i];
	}
	return 0;
}

static int read_stream(struct cli *cli, FILE *f, struct ar_str *ret)
{
	struct ar_buf *text = ar_buf_new(cli->pool, INPUT_MAX);
	char *room;
	size_t n;

	while ((room = ar_buf_room(text, 65536)) != NULL && (n = fread(room, 1, 65536, f)) > 0)
		text->n += n;
	*ret = ar_buf_view(text);
	return room != NULL && !ferror(f) ? 0 : -1;
}

static int read_file(struct cli *cli, const char *path, struct ar_str *ret)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int rc = f != NULL ? read_stream(cli, f, ret) : -1;

	if (f != NULL && f != stdin)
		fclose(f);
	if (rc != 0)
		cli_wrong("cli/cannot-read", "file", path, NULL);
	return rc;
}

/* --input: JSON, @FILE or -. */
static int read_input(struct cli *cli, struct ar_json **ret)
{
	static const struct ar_json_limits limits = { INPUT_MAX, 64, 1000000 };
	struct ar_str text = ar_str(cli->input != NULL ? cli->input : "{}");

	if (cli->input != NULL && (cli->input[0] == '@' || strcmp(cli->input, "-") == 0) &&
	    read_file(cli, cli->input + (cli->input[0] == '@'), &text) != 0)
		return CLI_USAGE;
	if (ar_json_parse(cli->pool, text, &limits, ret) != 0 || (*ret)->type != AR_OBJECT)
		return cli_wrong("cli/not-an-object", NULL);
	return 0;
}

/* ---- answers ---- */

static void print_json(const struct cli *cli, const struct ar_json *value)
{
	struct ar_str text = ar_json_print(cli->pool, value);

	fwrite(text.p, 1, text.n, stdout);
	putchar('\n');
}

static const char *text_of(const struct cli *cli, const struct ar_json *object, const char *name)
{
	return ar_strz(cli->pool, ar_json_text(object, name, AR_STR("?")));
}

static void print_problem(const struct cli_answer *answer)
{
	const struct ar_json *fields, *params;
	struct ar_str what = AR_STR("");

	if (answer->json == NULL) {
		cli_complain("cli/unreadable", NULL);
		return;
	}
	fields = ar_json_get(answer->json, "fields");
	params = ar_json_get(answer->json, "params");
	if (answer->status == 404 && params != NULL)
		what = ar_json_text(params, "what", what);
	fprintf(stderr, "apprun: %.*s%s%.*s (%.*s)\n",
		AR_FMT(ar_json_text(answer->json, "title", AR_STR("?"))), what.n > 0 ? ": " : "",
		AR_FMT(what), AR_FMT(ar_json_text(answer->json, "code", AR_STR("?"))));
	if (fields == NULL || fields->type != AR_OBJECT)
		return;
	ar_json_each (field, fields) {
		struct ar_str message = ar_json_text(field, "message", AR_STR(""));

		fprintf(stderr, "  %.*s: %.*s\n", AR_FMT(field->key), AR_FMT(message));
	}
}

/* Sends it; on success *ret is the answer's JSON (NULL for none). */
static int ask(struct cli *cli, const char *method, const char *path, const struct ar_json *body,
	       struct ar_json **ret)
{
	struct cli_answer answer = { 0 };

	if (cli_ask(cli->pool, method, path, body, &answer) != 0)
		return CLI_UNREACHED;
	if (answer.status < 400) {
		*ret = answer.json;
		return CLI_OK;
	}
	if (cli->json && answer.json != NULL)
		print_json(cli, answer.json);
	else
		print_problem(&answer);
	return answer.status == 401 || answer.status == 403 ? CLI_DENIED : CLI_REFUSED;
}

static void put(struct cli *cli, struct ar_json *object, const char *name, const char *text)
{
	ar_json_set(object, ar_str(name), ar_json_str(cli->pool, ar_str(text)));
}

static int call_action(struct cli *cli, const char *action, struct ar_json *input,
		       struct ar_json **ret)
{
	struct ar_json *body = ar_json_new(cli->pool, AR_OBJECT), *reply;

	if (cli->tenant == NULL)
		return cli_wrong("cli/which-tenant", NULL);
	put(cli, body, "tenant", cli->tenant);
	put(cli, body, "action", action);
	ar_json_set(body, AR_STR("input"), input);
	int rc = ask(cli, "POST", "/platform/v1/call", body, &reply);

	if (rc == CLI_OK)
		*ret = reply != NULL ? ar_json_get(reply, "output") : NULL;
	return rc;
}

/* ---- commands ---- */

static int tenant_create(struct cli *cli)
{
	struct ar_json *body = ar_json_new(cli->pool, AR_OBJECT), *reply;

	put(cli, body, "name", cli->words[2]);
	if (cli->email != NULL)
		put(cli, body, "email", cli->email);
	int rc = ask(cli, "POST", "/platform/v1/tenants", body, &reply);

	if (rc != CLI_OK)
		return rc;
	const struct ar_json *admin = ar_json_get(reply, "admin");

	if (cli->json) {
		print_json(cli, reply);
	} else {
		cli_print("cli/made-tenant", "name", cli->words[2], NULL);
		if (admin != NULL) {
			cli_print("cli/administrator", "value", text_of(cli, admin, "email"), NULL);
			cli_print("cli/password", "value", text_of(cli, admin, "password"), NULL);
		}
	}
	return CLI_OK;
}

/* All pages. */
static int tenant_list(struct cli *cli)
{
	struct ar_json *all = ar_json_new(cli->pool, AR_ARRAY), *reply;
	struct ar_str cursor = AR_STR("");

	do {
		const char *path = ar_printf(
			cli->pool, "/platform/v1/tenants?limit=500&cursor=%.*s", AR_FMT(cursor));
		int rc = ask(cli, "GET", path, NULL, &reply);

		if (rc != CLI_OK)
			return rc;
		ar_json_each (one, ar_json_get(reply, "items"))
			ar_json_add(all, ar_json_copy(cli->pool, one));
		cursor = ar_json_text(reply, "nextCursor", AR_STR(""));
	} while (cursor.n > 0);
	if (cli->json) {
		print_json(cli, all);
		return CLI_OK;
	}
	ar_json_each (one, all) {
		printf("%-40.*s %.*s\n", AR_FMT(ar_json_text(one, "name", AR_STR(""))),
		       AR_FMT(ar_json_text(one, "created", AR_STR(""))));
	}
	return CLI_OK;
}

static int tenant_delete(struct cli *cli)
{
	struct ar_json *reply;

	if (!cli->yes)
		return cli_wrong("cli/delete-yes", "name", cli->words[2], NULL);
	for (const char *c = cli->words[2]; *c != '\0'; c++) {
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *c) == NULL)
			return cli_wrong("cli/not-a-name", NULL);
	}
	int rc = ask(cli, "DELETE", ar_printf(cli->pool, "/platform/v1/tenants/%s", cli->words[2]),
		     NULL, &reply);

	if (rc == CLI_OK && !cli->json)
		cli_print("cli/deleted-tenant", "name", cli->words[2], NULL);
	return rc;
}

static int show_output(struct cli *cli, int rc, const struct ar_json *output)
{
	if (rc == CLI_OK && output != NULL && (output->type != AR_NULL || cli->json))
		print_json(cli, output);
	return rc;
}

static int call(struct cli *cli)
{
	struct ar_json *input, *output = NULL;

	if (read_input(cli, &input) != 0)
		return CLI_USAGE;
	int rc = call_action(cli, cli->words[1], input, &output);

	return show_output(cli, rc, output);
}

static int function_deploy(struct cli *cli)
{
	struct ar_json *input = ar_json_new(cli->pool, AR_OBJECT), *output = NULL;
	struct ar_str source, left = ar_str(cli->permissions);

	if (read_file(cli, cli->words[3], &source) != 0)
		return CLI_USAGE;
	put(cli, input, "name", cli->words[2]);
	ar_json_set(input, AR_STR("source"), ar_json_str(cli->pool, source));
	if (cli->permissions != NULL) {
		struct ar_json *list = ar_json_new(cli->pool, AR_ARRAY);

		while (left.p != NULL) {
			struct ar_str one = ar_str_trim(ar_str_cut(&left, ','));

			if (one.n > 0)
				ar_json_add(list, ar_json_str(cli->pool, one));
		}
		ar_json_set(input, AR_STR("permissions"), list);
	}
	int rc = call_action(cli, "functions.put", input, &output);

	if (rc == CLI_OK && !cli->json && output != NULL) {
		cli_print("cli/deployed", "name", cli->words[2], "number",
			  ar_printf(cli->pool, "%lld",
				    (long long)ar_json_number(output, "number", 0)),
			  NULL);
		return CLI_OK;
	}
	return show_output(cli, rc, output);
}

static int workflow_run(struct cli *cli)
{
	struct ar_json *input = ar_json_new(cli->pool, AR_OBJECT), *given, *output = NULL;

	if (read_input(cli, &given) != 0)
		return CLI_USAGE;
	put(cli, input, "workflow", cli->words[2]);
	ar_json_set(input, AR_STR("input"), given);
	int rc = call_action(cli, "workflows.run", input, &output);

	if (rc == CLI_OK && !cli->json && output != NULL) {
		cli_print("cli/run", "id", text_of(cli, output, "id"), "status",
			  text_of(cli, output, "status"), NULL);
		return CLI_OK;
	}
	return show_output(cli, rc, output);
}

/* ---- which ---- */

static const struct command {
	const char *first, *second; /* second NULL: the command is one word */
	int words;                  /* in all */
	int (*run)(struct cli *cli);
	const char *usage;
} commands[] = {
	{ "tenant", "create", 3, tenant_create, "tenant create NAME [--email EMAIL]" },
	{ "tenant", "list", 2, tenant_list, "tenant list" },
	{ "tenant", "delete", 3, tenant_delete, "tenant delete NAME --yes" },
	{ "call", NULL, 2, call, "call ACTION --tenant T [--input JSON|@FILE|-]" },
	{ "function", "deploy", 4, function_deploy, "function deploy NAME FILE --tenant T" },
	{ "workflow", "run", 3, workflow_run,
	  "workflow run NAME --tenant T [--input JSON|@FILE|-]" },
};

static int run_command(struct cli *cli)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < AR_COUNT(commands); i++) {
		const struct command *c = &commands[i];

		if (cli->nwords > 0 && strcmp(cli->words[0], c->first) == 0 &&
		    (c->second == NULL ||
		     (cli->nwords > 1 && strcmp(cli->words[1], c->second) == 0)))
			found = c;
	}
	if (found == NULL)
		return cli_wrong("cli/no-command", NULL);
	if (cli->nwords != found->words)
		return cli_wrong("cli/usage", "usage", found->usage, NULL);
	return found->run(cli);
}

int cli_run(int argc, char **argv)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct cli cli = { .pool = pool };
	int rc = parse_words(&cli, argc, argv);

	if (rc == 0)
		rc = run_command(&cli);
	cli_hang_up();
	ar_heap_free(default_tenant);
	default_tenant = NULL;
	fflush(stdout);
	return rc;
}
