/*
 * message.c - what the product says, in the caller's language: i18n/LANGUAGE/ROOM.json, embedded by
 * the build, read once.
 *
 * A key is an error's slug, "field/CODE", or any of the two with ".detail" behind it. {name} in a
 * text is replaced by the parameter of that name, and stays as it is when there is none. The
 * parameters reason, what, expected, found and where hold words of the source: they are looked up in turn,
 * as "reason/VALUE", and stand as they are when there is no such word. {cause} is the message of the
 * error below, when there is one.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "action/action_int.h"

extern const struct ar_file ar_i18n_files[];

static const char *const languages[] = { "en", "zh-CN" };
#define LANGUAGES AR_COUNT(languages)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool ready;
static struct ar_map *texts[LANGUAGES]; /* struct ar_str, in `memory` */
static struct ar_pool *memory;

/* ---- reading what the build embedded ---- */

static void read_file(const struct ar_file *file)
{
	struct ar_str path = ar_str(file->path), language = ar_str_cut(&path, '/');
	struct ar_json *object;

	if (ar_json_parse(memory, ar_str_n(file->data, file->size), &ar_json_limits_default,
			  &object) != 0)
		assert(!"a file of i18n/ is not JSON");
	for (size_t i = 0; i < LANGUAGES; i++) {
		if (!ar_str_is(language, languages[i]))
			continue;
		ar_json_each (text, object)
			ar_map_set(texts[i], text->key, text);
	}
}

static void messages_ready(void)
{
	if (atomic_load_explicit(&ready, memory_order_acquire))
		return;
	pthread_mutex_lock(&lock);
	if (!atomic_load(&ready)) {
		memory = ar_pool_new();
		for (size_t i = 0; i < LANGUAGES; i++)
			texts[i] = ar_map_new();
		for (const struct ar_file *file = ar_i18n_files; file->path != NULL; file++)
			read_file(file);
		atomic_store_explicit(&ready, true, memory_order_release);
	}
	pthread_mutex_unlock(&lock);
}

void messages_done(void)
{
	if (!atomic_load(&ready))
		return;
	for (size_t i = 0; i < LANGUAGES; i++)
		ar_map_free(texts[i], NULL);
	ar_pool_free(memory);
	atomic_store(&ready, false);
}

/* ---- Accept-Language ---- */

/* "0.85" as 850; anything that is not a weight as -1. */
static int weight(struct ar_str q)
{
	int value = 0, scale = 100;

	if (q.n < 1 || q.n > 5 || (q.p[0] != '0' && q.p[0] != '1') || (q.n > 1 && q.p[1] != '.'))
		return -1;
	value = (q.p[0] - '0') * 1000;
	for (size_t i = 2; i < q.n; i++, scale /= 10) {
		if (q.p[i] < '0' || q.p[i] > '9')
			return -1;
		value += (q.p[i] - '0') * scale;
	}
	return value <= 1000 ? value : -1;
}

/* Which of ours a range means: its main part decides ("zh-TW" is better served by zh-CN than by
 * English). -1: none. */
static int language_of(struct ar_str range)
{
	struct ar_str rest = range, main = ar_str_cut(&rest, '-');

	if (ar_str_is(range, "*"))
		return 0;
	for (size_t i = 0; i < LANGUAGES; i++) {
		struct ar_str ours = ar_str(languages[i]), ours_main = ar_str_cut(&ours, '-');

		if (ar_str_caseeq(main, ours_main))
			return (int)i;
	}
	return -1;
}

static size_t negotiate(struct ar_str accept)
{
	int best = 0, best_weight = 0;

	for (int i = 0; accept.p != NULL && i < 50; i++) {
		struct ar_str q = ar_str_cut(&accept, ','),
			      range = ar_str_trim(ar_str_cut(&q, ';'));
		int w = 1000, language = language_of(range);

		q = ar_str_trim(q);
		if (q.n > 0)
			w = ar_str_starts(q, AR_STR("q=")) ? weight(ar_str_sub(q, 2, q.n)) : -1;
		if (language >= 0 && w > best_weight) {
			best = language;
			best_weight = w;
		}
	}
	return (size_t)best;
}

const char *ar_language(struct ar_str accept_language)
{
	return languages[negotiate(accept_language)];
}

/* ---- texts ---- */

/* An error while it is being said. */
struct speech {
	struct ar_pool *pool;
	size_t language;
	const struct ar_err_param *params;
	const struct ar_err *below; /* the cause, or NULL */
	unsigned depth;
};

#define DEPTH_MAX 8 /* causes of causes, and words within words */

static const struct ar_json *find_text(size_t language, const char *slug)
{
	const struct ar_json *text = ar_map_get(texts[language], ar_str(slug));

	return text != NULL ? text : ar_map_get(texts[0], ar_str(slug));
}

static void fill(const struct speech *speech, struct ar_buf *out, struct ar_str text);

/* NULL: the parameter's value is no word of ours. */
static const struct ar_json *find_word(size_t language, const struct ar_err_param *param)
{
	static const char *const wordy[] = { "reason", "what", "expected", "found", "where" };
	char key[160];

	for (size_t i = 0; i < AR_COUNT(wordy); i++) {
		int n = strcmp(param->key, wordy[i]) == 0
				? snprintf(key, sizeof(key), "%s/%s", param->key, param->value)
				: -1;

		if (n > 0 && (size_t)n < sizeof(key))
			return ar_map_get(texts[language], ar_str(key));
	}
	return NULL;
}

static void say_param(const struct speech *speech, struct ar_buf *out,
		      const struct ar_err_param *param)
{
	struct speech inner = *speech;
	const struct ar_json *word =
		inner.depth++ < DEPTH_MAX ? find_word(speech->language, param) : NULL;

	if (word != NULL)
		fill(&inner, out, word->s);
	else
		ar_buf_z(out, param->value);
}

static void say_cause(const struct speech *speech, struct ar_buf *out)
{
	const struct ar_err *cause = speech->below;
	struct speech inner = *speech;
	const struct ar_json *text = find_text(speech->language, cause->def->slug);

	inner.params = cause->params;
	inner.below = cause->below;
	if (inner.depth++ < DEPTH_MAX && text != NULL)
		fill(&inner, out, text->s);
	else
		ar_buf_z(out, cause->def->slug);
}

static void fill(const struct speech *speech, struct ar_buf *out, struct ar_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		struct ar_str rest = ar_str_sub(text, i, text.n);
		ptrdiff_t end = text.p[i] == '{' ? ar_str_find(rest, '}') : -1;
		const struct ar_err_param *param = end > 1 ? speech->params : NULL;
		struct ar_str name = end > 1 ? ar_str_sub(rest, 1, (size_t)end - 1) : AR_STR_NONE;
		bool cause = speech->below != NULL && ar_str_is(name, "cause");

		while (param != NULL && !ar_str_is(name, param->key))
			param = param->next;
		if (cause)
			say_cause(speech, out);
		else if (param != NULL)
			say_param(speech, out, param);
		else
			ar_buf_char(out, text.p[i]);
		if (cause || param != NULL)
			i += (size_t)end;
	}
}

static struct ar_str say(struct speech speech, const char *slug)
{
	const struct ar_json *text = find_text(speech.language, slug);
	struct ar_buf *out;

	if (text == NULL)
		return AR_STR_NONE;
	out = ar_buf_new(speech.pool, 64 * 1024);
	fill(&speech, out, text->s);
	return ar_buf_view(out);
}

struct ar_str ar_message(struct ar_pool *pool, struct ar_str accept_language, const char *slug,
			 const struct ar_err_param *params)
{
	messages_ready();
	return say((struct speech){ .pool = pool,
				    .language = negotiate(accept_language),
				    .params = params },
		   slug);
}

struct ar_str error_field_text(struct ar_pool *pool, struct ar_str accept_language,
			       const struct ar_err *err, const struct ar_err_field *field)
{
	struct ar_str text;

	messages_ready();
	text = say((struct speech){ .pool = pool,
				    .language = negotiate(accept_language),
				    .params = field->params,
				    .below = err->below },
		   ar_printf(pool, "field/%s", field->code));
	return text.n > 0 ? text : ar_str(field->code); /* a function's own words */
}

struct ar_str ar_error_text(struct ar_pool *pool, struct ar_str accept_language,
			    const struct ar_err *err)
{
	struct ar_str text;

	messages_ready();
	text = say((struct speech){ .pool = pool,
				    .language = negotiate(accept_language),
				    .params = err->params,
				    .below = err->below },
		   err->def->slug);
	return text.n > 0 ? text : ar_str(err->def->slug);
}
