/*
 * config.c - reading the sources of settings, in order, and answering what counts.
 *
 * The data folder and the file's name must be known before the file is read, so environment and
 * command line are looked at twice: first for `data` and `config` alone.
 *
 * Kubernetes sets APPRUN_PORT=tcp://... and its like in every pod beside a service named apprun;
 * they are refused like any bad value, and the message says what to do.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_int.h"
#include "json/json.h"

#define BLOCK      4096
#define FILE_MAX   (1 << 20)
#define SECRET_MAX 4096
#define ENV_PREFIX "APPRUN_"

struct value {
	char *text; /* heap */
	int64_t number;
	const char *source; /* NULL: the default, not yet worked out */
};

static struct value values[AR_SETTINGS_MAX];

struct loading {
	struct ar_pool *pool;
	struct ar_buf *message;
	bool early; /* the first look: data and config alone, nothing refused */
	bool strict;
};

/* ---- the table ---- */

static size_t setting_find(struct ar_str name)
{
	size_t i = 0;

	while (ar_settings[i].name != NULL && !ar_str_is(name, ar_settings[i].name))
		i++;
	assert(i < AR_SETTINGS_MAX);
	return i; /* of the zero row when there is none */
}

static bool is_early(size_t i)
{
	return strcmp(ar_settings[i].name, "data") == 0 ||
	       strcmp(ar_settings[i].name, "config") == 0;
}

/* Steps from one word to another: for "did you mean". */
static size_t distance(struct ar_str a, struct ar_str b)
{
	size_t row[AR_SETTINGS_MAX + 1];

	if (a.n > AR_SETTINGS_MAX || b.n > AR_SETTINGS_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);

			diagonal = row[j];
			row[j] = AR_MIN(replaced, AR_MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.n];
}

/* ---- messages ---- */

static int refuse(struct loading *l, const char *source, struct ar_str shown, const char *why)
{
	ar_buf_printf(l->message, "%s: %.*s: %s", source, AR_FMT(shown), why);
	return -1;
}

static int refuse_unknown(struct loading *l, const char *source, struct ar_str shown,
			  struct ar_str name)
{
	size_t best = 3; /* further away is no likeness */
	const char *near = NULL;

	if (l->early)
		return 0;
	for (size_t i = 0; ar_settings[i].name != NULL; i++) {
		size_t d = distance(name, ar_str(ar_settings[i].name));

		if (d < best) {
			best = d;
			near = ar_settings[i].name;
		}
	}
	return refuse(l, source, shown,
		      near == NULL ? "there is no such setting (apprun help settings lists them)"
				   : ar_printf(l->pool,
					       "there is no such setting; did you mean %s?", near));
}

/* ---- one value ---- */

static int value_set(struct loading *l, size_t i, const char *source, struct ar_str shown,
		     struct ar_str text)
{
	int64_t number;
	const char *why;

	if (l->early && !is_early(i))
		return 0;
	why = ar_setting_check(&ar_settings[i], text, &number, l->pool);
	if (why != NULL && ar_str_starts(text, AR_STR("tcp://")))
		why = ar_printf(l->pool,
				"%s (Kubernetes sets this for a service named apprun: set "
				"enableServiceLinks: false)",
				why);
	if (why != NULL)
		return refuse(l, source, shown, why);
	ar_heap_free(values[i].text);
	values[i].text = ar_heap_strz(text);
	values[i].number = number;
	values[i].source = source;
	return 0;
}

static void value_default(struct loading *l, size_t i)
{
	int rc = value_set(l, i, "default", ar_str(ar_settings[i].name),
			   ar_str(ar_settings[i].otherwise));

	assert(rc == 0);
	(void)rc;
}

/* ---- the file ---- */

static int file_read(struct loading *l, const char *path, size_t max, bool needed,
		     struct ar_str *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ar_buf *buf = ar_buf_new(l->pool, max + BLOCK);
	ssize_t n = 0;

	*ret = AR_STR_NONE;
	if (fd < 0) {
		if (errno == ENOENT && !needed)
			return 0;
		return refuse(l, "file", ar_str(path), strerror(errno));
	}
	do {
		n = read(fd, ar_buf_room(buf, BLOCK), BLOCK);
		if (n > 0)
			buf->n += (size_t)n;
	} while (n > 0 && buf->n <= max);
	close(fd);
	if (n < 0)
		return refuse(l, "file", ar_str(path), strerror(errno));
	if (buf->n > max)
		return refuse(l, "file", ar_str(path), "too large");
	*ret = ar_buf_view(buf);
	if (ret->p == NULL)
		*ret = AR_STR("");
	return 0;
}

/* A JSON value as the text that the other sources would give; arrays of texts are joined. */
static bool json_text(struct ar_pool *pool, const struct ar_json *v, struct ar_str *ret)
{
	struct ar_str all = AR_STR("");

	switch (v->type) {
	case AR_STRING:
		*ret = v->s;
		return true;
	case AR_INT:
		*ret = ar_strf(pool, "%lld", (long long)v->i);
		return true;
	case AR_BOOL:
		*ret = ar_str(v->b ? "true" : "false");
		return true;
	case AR_ARRAY:
		ar_json_each (m, v) {
			if (m->type != AR_STRING)
				return false;
			all = ar_strf(pool, "%.*s%s%.*s", AR_FMT(all), all.n > 0 ? "," : "",
				      AR_FMT(m->s));
		}
		*ret = all;
		return true;
	default:
		return false;
	}
}

static int file_load(struct loading *l, const char *path, bool needed)
{
	const char *source = ar_printf(l->pool, "file %s", path), *reason;
	struct ar_json *root;
	struct ar_str text;

	if (file_read(l, path, FILE_MAX, needed, &text) != 0)
		return -1;
	if (text.p == NULL)
		return 0;
	if (ar_json_parse(l->pool, text, &ar_json_limits_default, &root) != 0) {
		reason = ar_err_param(ar_err(), "reason");
		refuse(l, "file", ar_str(path),
		       ar_printf(l->pool, "not JSON: %s", reason == NULL ? "malformed" : reason));
		ar_err_clear();
		return -1;
	}
	if (root->type != AR_OBJECT)
		return refuse(l, "file", ar_str(path), "must hold a JSON object");
	ar_json_each (m, root) {
		size_t i = setting_find(m->key);
		struct ar_str value;

		if (ar_settings[i].name == NULL) {
			if (refuse_unknown(l, source, m->key, m->key) != 0)
				return -1;
		} else if (strcmp(ar_settings[i].name, "config") == 0) {
			return refuse(l, source, m->key, "cannot be set in the file itself");
		} else if (!json_text(l->pool, m, &value)) {
			return refuse(l, source, m->key,
				      "must be a text, a whole number or a boolean");
		} else if (value_set(l, i, "file",
				     ar_strf(l->pool, "%.*s in %s", AR_FMT(m->key), path),
				     value) != 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- the environment ---- */

static struct ar_str env_to_name(struct ar_pool *pool, struct ar_str env)
{
	char *name = ar_strz(pool, env);

	for (char *p = name; *p != 0; p++)
		*p = *p == '_' ? '-' : (*p >= 'A' && *p <= 'Z') ? (char)(*p | 0x20) : *p;
	return ar_str(name);
}

static int env_secret(struct loading *l, size_t i, struct ar_str shown, struct ar_str path)
{
	struct ar_str text;

	if (l->early)
		return 0;
	if (file_read(l, ar_strz(l->pool, path), SECRET_MAX, true, &text) != 0)
		return -1;
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	return value_set(l, i, "environment", shown, text);
}

static int env_load(struct loading *l, char *const *env)
{
	for (; env != NULL && *env != NULL; env++) {
		struct ar_str value = ar_str(*env), shown = ar_str_cut(&value, '='), name;
		size_t i;

		if (!ar_str_starts(shown, AR_STR(ENV_PREFIX)) || value.p == NULL)
			continue;
		name = env_to_name(l->pool, ar_str_sub(shown, sizeof(ENV_PREFIX) - 1, shown.n));
		i = setting_find(name);
		if (ar_settings[i].name == NULL && ar_str_ends(name, AR_STR("-file"))) {
			i = setting_find(ar_str_sub(name, 0, name.n - 5));
			if (ar_settings[i].name != NULL && ar_settings[i].secret) {
				if (env_secret(l, i, shown, value) != 0)
					return -1;
				continue;
			}
			i = setting_find(name);
		}
		if (ar_settings[i].name == NULL ? refuse_unknown(l, "environment", shown, name) != 0
						: value_set(l, i, "environment", shown, value) != 0)
			return -1;
	}
	return 0;
}

/* ---- the command line ---- */

/* Reads the option argv[at]. Returns how many words it took, 0: not ours, -1: refused. */
static int arg_take(struct loading *l, int argc, char **argv, int at)
{
	struct ar_str value = ar_str(argv[at] + 2), name = ar_str_cut(&value, '='), shown;
	size_t i = setting_find(name);
	int words = 1;

	shown = ar_strf(l->pool, "--%.*s", AR_FMT(name));
	if (ar_settings[i].name == NULL && ar_str_starts(name, AR_STR("no-")) && value.p == NULL) {
		i = setting_find(ar_str_sub(name, 3, name.n));
		if (ar_settings[i].name != NULL && ar_settings[i].type == AR_SET_BOOL)
			return value_set(l, i, "command line", shown, AR_STR("false")) != 0 ? -1
											    : 1;
		i = setting_find(name);
	}
	if (ar_settings[i].name == NULL) {
		if (!l->strict || l->early)
			return 0;
		return refuse_unknown(l, "command line", shown, name);
	}
	if (value.p == NULL && ar_settings[i].type == AR_SET_BOOL) {
		value = AR_STR("true");
	} else if (value.p == NULL) {
		if (at + 1 >= argc)
			return l->early ? 1
					: refuse(l, "command line", shown, "a value must follow");
		value = ar_str(argv[at + 1]);
		words = 2;
	}
	return value_set(l, i, "command line", shown, value) != 0 ? -1 : words;
}

static int args_load(struct loading *l, int *argc, char **argv)
{
	int kept = 0, at = 0;

	while (at < *argc) {
		int words = 0;

		if (strcmp(argv[at], "--") == 0)
			break;
		if (argv[at][0] == '-' && argv[at][1] == '-')
			words = arg_take(l, *argc, argv, at);
		if (words < 0)
			return -1;
		if (words == 0 && !l->early)
			argv[kept++] = argv[at];
		at += words == 0 ? 1 : words;
	}
	if (l->early)
		return 0;
	while (at < *argc)
		argv[kept++] = argv[at++];
	*argc = kept;
	return 0;
}

/* ---- all of it ---- */

static int load(struct loading *l, int *argc, char **argv, char *const *env)
{
	size_t config = setting_find(AR_STR("config")), data = setting_find(AR_STR("data"));
	const char *path;
	bool needed;

	l->early = true;
	if (env_load(l, env) != 0 || args_load(l, argc, argv) != 0)
		return -1;
	l->early = false;
	path = values[config].text;
	needed = path[0] != 0;
	if (!needed)
		path = ar_printf(l->pool, "%s/apprun.json", values[data].text);
	if (file_load(l, path, needed) != 0)
		return -1;
	return env_load(l, env) != 0 || args_load(l, argc, argv) != 0 ? -1 : 0;
}

int ar_config_load(int *argc, char **argv, char *const *env, bool strict, struct ar_buf *message)
{
	struct loading l = { .pool = ar_pool_new(), .message = message, .strict = strict };
	int rc;

	ar_config_reset();
	rc = load(&l, argc, argv, env);
	ar_pool_free(l.pool);
	return rc;
}

void ar_config_reset(void)
{
	struct ar_buf none AR_CLEANUP(ar_buf_done) = { 0 };
	struct loading l = { .pool = ar_pool_new(), .message = &none };

	for (size_t i = 0; ar_settings[i].name != NULL; i++)
		value_default(&l, i);
	ar_pool_free(l.pool);
}

/* ---- reading ---- */

static const struct value *value_of(const char *name, unsigned types)
{
	size_t i = setting_find(ar_str(name));

	assert(ar_settings[i].name != NULL && (types & 1u << ar_settings[i].type));
	assert(values[i].source != NULL); /* read before ar_config_load() */
	return &values[i];
}

const char *ar_config_strz(const char *name)
{
	return value_of(name, 1u << AR_SET_TEXT | 1u << AR_SET_CHOICE | 1u << AR_SET_CIDRS)->text;
}

struct ar_str ar_config_str(const char *name)
{
	return ar_str(ar_config_strz(name));
}

int64_t ar_config_int(const char *name)
{
	return value_of(name, 1u << AR_SET_INT | 1u << AR_SET_SIZE)->number;
}

bool ar_config_bool(const char *name)
{
	return value_of(name, 1u << AR_SET_BOOL)->number != 0;
}

/* ---- printing ---- */

void ar_config_help(struct ar_buf *out)
{
	static const char *const types[] = {
		[AR_SET_TEXT] = "text",     [AR_SET_INT] = "number",
		[AR_SET_SIZE] = "size",     [AR_SET_BOOL] = "true/false",
		[AR_SET_CHOICE] = "choice", [AR_SET_CIDRS] = "networks",
	};

	ar_buf_z(out,
		 "Settings, as --NAME VALUE, as APPRUN_NAME in the environment, or as \"NAME\" in "
		 "apprun.json:\n\n");
	for (size_t i = 0; ar_settings[i].name != NULL; i++) {
		const struct ar_setting *s = &ar_settings[i];

		ar_buf_printf(out, "  --%-22s %s", s->name, s->help);
		ar_buf_printf(out, "\n%27s%s", "",
			      s->type == AR_SET_CHOICE ? s->choices : types[s->type]);
		if (s->type == AR_SET_INT)
			ar_buf_printf(out, ", %lld to %lld", (long long)s->min, (long long)s->max);
		if (s->otherwise[0] != 0)
			ar_buf_printf(out, "; default %s", s->otherwise);
		if (s->secret)
			ar_buf_z(out, "; secret: better in the environment or by APPRUN_..._FILE");
		ar_buf_char(out, '\n');
	}
}

void ar_config_show(struct ar_buf *out)
{
	for (size_t i = 0; ar_settings[i].name != NULL; i++) {
		const char *text = values[i].text;

		if (ar_settings[i].secret && text[0] != 0)
			text = "(secret)";
		ar_buf_printf(out, "%-22s %-13s %s\n", ar_settings[i].name, values[i].source, text);
	}
}
