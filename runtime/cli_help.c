/*
 * cli_help.c - what `apprun help` prints: the commands, the settings, and every action, which is
 * one of the faces of the action table: its route, who may call it, what goes in and comes out.
 *
 * Needs no server and no data folder.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cli_say.h"
#include "config/config.h"
#include "modules/modules.h"

#define TEXT_MAX (1u << 20)

static const char overview[] =
	"apprun - a backend for many tenants, in one program\n"
	"\n"
	"  apprun serve [--demo]                       start the server\n"
	"  apprun tenant create NAME [--email EMAIL]   make a tenant and its first administrator\n"
	"  apprun tenant list\n"
	"  apprun tenant delete NAME --yes             delete a tenant with everything in it\n"
	"  apprun call ACTION --tenant T [--input JSON|@FILE|-]\n"
	"                                              call any action, as the system\n"
	"  apprun function deploy NAME FILE --tenant T [--permissions a,b]\n"
	"  apprun workflow run NAME --tenant T [--input JSON|@FILE|-]\n"
	"  apprun version\n"
	"  apprun help [COMMAND|settings|actions|ACTION]\n"
	"\n"
	"Every command takes --json, --help and --data FOLDER (default ./data). Settings are "
	"given\n"
	"as --NAME VALUE, as APPRUN_NAME in the environment, or in FOLDER/apprun.json.\n"
	"APPRUN_TENANT stands for --tenant.\n"
	"\n"
	"Exit codes: 0 done; 1 the server refused; 2 wrong usage or setting; 3 server, store or\n"
	"port cannot be reached; 4 not signed in or not allowed.\n";

static const char overview_zh[] =
	"apprun - 多租户后端，一个程序\n"
	"\n"
	"  apprun serve [--demo]                       启动服务器\n"
	"  apprun tenant create NAME [--email EMAIL]   创建租户及其首位管理员\n"
	"  apprun tenant list                          列出租户\n"
	"  apprun tenant delete NAME --yes             删除租户及其全部内容\n"
	"  apprun call ACTION --tenant T [--input JSON|@FILE|-]\n"
	"                                              以系统身份调用任一操作\n"
	"  apprun function deploy NAME FILE --tenant T [--permissions a,b]\n"
	"                                              部署函数\n"
	"  apprun workflow run NAME --tenant T [--input JSON|@FILE|-]\n"
	"                                              启动一次流程运行\n"
	"  apprun version                              版本\n"
	"  apprun help [COMMAND|settings|actions|ACTION]\n"
	"\n"
	"每个命令都接受 --json、--help 和 --data FOLDER（默认 ./data）。设置项可写成 --NAME "
	"VALUE、\n"
	"环境变量 APPRUN_NAME，或写入 FOLDER/apprun.json。APPRUN_TENANT 可代替 --tenant。\n"
	"\n"
	"退出码：0 成功；1 服务器拒绝；2 命令或设置有误；3 无法使用服务器、存储或端口；\n"
	"4 未登录或无权限。\n";

#define WITH_TENANT                                                                                \
	"  --tenant T     whose; APPRUN_TENANT in the environment stands for it\n"                 \
	"  --json         print the answer, or the problem, as JSON\n"                             \
	"  --data FOLDER  of the server; without one running on it, the command brings its own\n"
#define WITH_INPUT "  --input JSON   an object; @FILE reads it from a file, - from standard input\n"
#define WITH_TENANT_ZH                                                                             \
	"  --tenant T     哪个租户；可用环境变量 APPRUN_TENANT 代替\n"                \
	"  --json         以 JSON 输出应答或错误\n"                                        \
	"  --data FOLDER  服务器的数据目录；没有服务器在其上运行时，命令会临时启动一个\n"
#define WITH_INPUT_ZH "  --input JSON   一个对象；@FILE 从文件读取，- 从标准输入读取\n"

static const struct topic {
	const char *name, *text, *zh;
} commands[] = {
	{ "serve",
	  "apprun serve [--demo] [--json] [--SETTING VALUE ...]\n"
	  "\n"
	  "Starts the server and stays until SIGINT or SIGTERM: then requests in flight finish.\n"
	  "\n"
	  "  --demo   make the tenant `demo` with sample content, and data/first-login.json\n"
	  "  --json   print {\"url\", \"pid\"} in one line once it answers\n"
	  "\n",
	  "apprun serve [--demo] [--json] [--SETTING VALUE ...]\n"
	  "\n"
	  "启动服务器，直到收到 SIGINT 或 SIGTERM：届时处理中的请求会先完成。\n"
	  "\n"
	  "  --demo   创建带有示例内容的租户 demo，以及 data/first-login.json\n"
	  "  --json   就绪后以一行输出 {\"url\", \"pid\"}\n"
	  "\n" },
	{ "tenant",
	  "apprun tenant create NAME [--email EMAIL]\n"
	  "apprun tenant list\n"
	  "apprun tenant delete NAME --yes\n"
	  "\n"
	  "A NAME has 1 to 39 of a-z, 0-9 and -. `create` prints the first administrator's\n"
	  "password, once. `delete` removes all that the tenant has, for good.\n"
	  "\n"
	  "  --email EMAIL  of the first administrator; default admin@NAME.example\n"
	  "  --json         print the answer, or the problem, as JSON\n",
	  "apprun tenant create NAME [--email EMAIL]\n"
	  "apprun tenant list\n"
	  "apprun tenant delete NAME --yes\n"
	  "\n"
	  "NAME 由 1 到 39 个 a-z、0-9 和 - 组成。create 会显示首位管理员的密码，仅此一次。\n"
	  "delete 永久删除租户的全部内容。\n"
	  "\n"
	  "  --email EMAIL  首位管理员的邮箱；默认 admin@NAME.example\n"
	  "  --json         以 JSON 输出应答或错误\n" },
	{ "call",
	  "apprun call ACTION --tenant T [--input JSON|@FILE|-]\n"
	  "\n"
	  "Calls any action, as the system, and prints what it gives.\n"
	  "\n" WITH_INPUT WITH_TENANT "\n"
	  "`apprun help actions` lists them; `apprun help auth.create_user` shows one.\n",
	  "apprun call ACTION --tenant T [--input JSON|@FILE|-]\n"
	  "\n"
	  "以系统身份调用任一操作，并输出其结果。\n"
	  "\n" WITH_INPUT_ZH WITH_TENANT_ZH "\n"
	  "`apprun help actions` 列出全部操作；`apprun help auth.create_user` 说明其中一个。\n" },
	{ "function",
	  "apprun function deploy NAME FILE --tenant T [--permissions a,b]\n"
	  "\n"
	  "Deploys a Lua source file (- for standard input) as a new version; the same source\n"
	  "again makes none.\n"
	  "\n"
	  "  --permissions a,b   what it may do, beside answering\n" WITH_TENANT,
	  "apprun function deploy NAME FILE --tenant T [--permissions a,b]\n"
	  "\n"
	  "把 Lua 源文件（- 表示标准输入）部署为新版本；源码相同则不产生新版本。\n"
	  "\n"
	  "  --permissions a,b   除应答之外允许它做什么\n" WITH_TENANT_ZH },
	{ "workflow",
	  "apprun workflow run NAME --tenant T [--input JSON|@FILE|-]\n"
	  "\n"
	  "Starts a durable run and prints its id.\n"
	  "\n" WITH_INPUT WITH_TENANT,
	  "apprun workflow run NAME --tenant T [--input JSON|@FILE|-]\n"
	  "\n"
	  "启动一次持久运行，并输出其 id。\n"
	  "\n" WITH_INPUT_ZH WITH_TENANT_ZH },
	{ "version", "apprun version [--json]\n", "apprun version [--json]\n" },
};

/* ---- one action ---- */

static const char *const type_names[] = {
	[AR_F_BOOL] = "true/false", [AR_F_INT] = "integer",   [AR_F_FLOAT] = "number",
	[AR_F_TEXT] = "text",       [AR_F_EMAIL] = "email",   [AR_F_ID] = "id",
	[AR_F_DATE] = "date",       [AR_F_TIME] = "time",     [AR_F_ENUM] = "one of",
	[AR_F_JSON] = "any JSON",   [AR_F_OBJECT] = "object", [AR_F_ARRAY] = "array",
};

static void print_bounds(const struct ar_field *field)
{
	static const char *const units[] = { [AR_F_TEXT] = " characters",
					     [AR_F_EMAIL] = " characters",
					     [AR_F_OBJECT] = " members",
					     [AR_F_ARRAY] = " items" };
	const char *unit = field->type < AR_COUNT(units) && units[field->type] != NULL
				   ? units[field->type]
				   : "";

	if (field->max != 0 && field->min != 0)
		printf(", %lld to %lld%s", (long long)field->min, (long long)field->max, unit);
	else if (field->max != 0)
		printf(", up to %lld%s", (long long)field->max, unit);
	else if (field->min != 0)
		printf(", from %lld%s", (long long)field->min, unit);
}

static void print_field(const struct ar_field *field, int depth, bool input)
{
	printf("%*s%-*s %s", 2 + 2 * depth, "", 20 - 2 * depth, field->name,
	       type_names[field->type]);
	for (size_t i = 0; field->values != NULL && field->values[i] != NULL; i++)
		printf(" %s", field->values[i]);
	if (field->items != NULL)
		printf(" of %s", type_names[field->items->type]);
	print_bounds(field);
	if (input && field->required)
		printf(", required");
	if (input && field->otherwise != NULL)
		printf(", default %s", field->otherwise);
	if (field->help != NULL)
		printf(": %s", field->help);
	putchar('\n');
}

static void print_fields(const struct ar_field *fields, int depth, bool input)
{
	for (; fields->name != NULL; fields++) {
		if (input ? fields->read_only : fields->secret)
			continue;
		print_field(fields, depth, input);
		if (fields->fields != NULL)
			print_fields(fields->fields, depth + 1, input);
		if (fields->items != NULL && fields->items->fields != NULL)
			print_fields(fields->items->fields, depth + 1, input);
	}
}

static const char *who_may(const struct ar_action *action)
{
	if (strcmp(action->allow, AR_ALLOW_ANYONE) == 0)
		return "anyone";
	return strcmp(action->allow, AR_ALLOW_SIGNED_IN) == 0 ? "whoever is signed in"
							      : action->allow;
}

static void print_action(const struct ar_action *action)
{
	printf("%s - %s\n\n", action->name, action->help);
	printf("  route    %s%s\n", action->route,
	       action->flags & AR_A_PLATFORM ? "  (of the platform, for operators)" : "");
	printf("  allowed  %s\n", who_may(action));
	if (action->alias != NULL)
		printf("  also     %s\n", action->alias);
	if (action->in != NULL && action->in->name != NULL) {
		printf("\nInput\n");
		print_fields(action->in, 0, true);
	}
	if (action->flags & AR_A_LIST)
		printf("\nA list: also takes filter, params, sort, fields, limit, cursor, "
		       "count.\n");
	if (action->out != NULL && action->out->name != NULL) {
		printf("\nOutput%s\n", action->flags & AR_A_LIST ? ", of each item" : "");
		print_fields(action->out, 0, false);
	}
}

static void write_action(struct ar_jw *w, const struct ar_action *action)
{
	static const struct ar_field nothing[] = { { 0 } };

	ar_jw_object(w);
	ar_jw_keyz(w, "name");
	ar_jw_str(w, ar_str(action->name));
	ar_jw_keyz(w, "help");
	ar_jw_str(w, ar_str(action->help));
	ar_jw_keyz(w, "route");
	ar_jw_str(w, ar_str(action->route));
	ar_jw_keyz(w, "allowed");
	ar_jw_str(w, ar_str(who_may(action)));
	ar_jw_keyz(w, "list");
	ar_jw_bool(w, (action->flags & AR_A_LIST) != 0);
	ar_jw_keyz(w, "input");
	ar_fields_schema(w, action->in != NULL ? action->in : nothing, true);
	ar_jw_keyz(w, "output");
	ar_fields_schema(w, action->out != NULL ? action->out : nothing, false);
	ar_jw_object_end(w);
}

/* ---- which ---- */

/* Calls fn for each action of that name; for all when name is NULL. How many there were. */
static size_t each_action(const char *name, void (*fn)(void *arg, const struct ar_action *action),
			  void *arg)
{
	size_t n = 0;

	for (const struct ar_module *const *m = ar_all_modules; *m != NULL; m++)
		for (const struct ar_action *a = (*m)->actions; a != NULL && a->name != NULL; a++) {
			if (name != NULL && strcmp(a->name, name) != 0 &&
			    (a->alias == NULL || strcmp(a->alias, name) != 0))
				continue;
			fn(arg, a);
			n++;
		}
	return n;
}

static void show_line(void *arg AR_UNUSED, const struct ar_action *action)
{
	printf("%-32s %s\n", action->name, action->help);
}

static void show_one(void *arg AR_UNUSED, const struct ar_action *action)
{
	print_action(action);
}

static void show_json(void *w, const struct ar_action *action)
{
	write_action(w, action);
}

static bool help_actions(const char *name, bool json)
{
	struct ar_buf text AR_CLEANUP(ar_buf_done) = { 0 };
	struct ar_jw w;
	size_t n;

	if (!json)
		return each_action(name, name != NULL ? show_one : show_line, NULL) > 0;
	ar_buf_init(&text, TEXT_MAX);
	ar_jw_init(&w, &text);
	if (name == NULL)
		ar_jw_array(&w);
	n = each_action(name, show_json, &w);
	if (name == NULL)
		ar_jw_array_end(&w);
	if (n > 0)
		printf("%.*s\n", AR_FMT(ar_buf_view(&text)));
	return n > 0;
}

static void help_settings(void)
{
	struct ar_buf text AR_CLEANUP(ar_buf_done) = { 0 };

	ar_buf_init(&text, TEXT_MAX);
	ar_config_help(&text);
	fwrite(text.p, 1, text.n, stdout);
}

static bool help_command(const char *name)
{
	for (size_t i = 0; i < AR_COUNT(commands); i++)
		if (strcmp(commands[i].name, name) == 0) {
			fputs(cli_speaks_chinese() ? commands[i].zh : commands[i].text, stdout);
			if (strcmp(name, "serve") == 0)
				help_settings();
			return true;
		}
	return false;
}

int cli_help(const char *topic, const char *below, bool json)
{
	bool action = topic != NULL && strcmp(topic, "call") == 0 && below != NULL;

	if (action)
		topic = below;
	if (topic == NULL)
		fputs(cli_speaks_chinese() ? overview_zh : overview, stdout);
	else if (strcmp(topic, "settings") == 0)
		help_settings();
	else if (strcmp(topic, "actions") == 0)
		help_actions(NULL, json);
	else if ((action || !help_command(topic)) && !help_actions(topic, json)) {
		return cli_wrong("cli/no-help", "topic", topic, NULL);
	}
	return CLI_OK;
}
