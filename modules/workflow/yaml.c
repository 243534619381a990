/*
 * yaml.c - YAML by libyaml's events as JSON values, for definitions that people write by hand.
 *
 * The core schema of YAML 1.2: plain true, false, null, integers and floats have their types, all
 * else is text ("on", "yes" and dates too). Anchors, aliases, tags, several documents, duplicate keys
 * and infinite numbers are refused: a definition needs none of them, and aliases are how small files
 * become large ones. Events are taken one by one, so what is too deep or too much ends the reading
 * where it stands.
 */
#include "workflow/workflow_int.h"

#include <yaml.h>

#define DEPTH_MAX   32
#define NODES_MAX   10000
#define MEMBERS_MAX 1000 /* of one mapping: duplicates are found by looking through it */
#define NUMBER_MAX  64   /* characters */

struct reader {
	struct ar_pool *pool;
	yaml_parser_t parser;
	unsigned depth, nodes;
};

static int refuse(struct reader *r, const char *reason, size_t line)
{
	return ar_fail(WORKFLOW_E_YAML, "reason", reason, "line",
		       ar_printf(r->pool, "%zu", line + 1));
}

static int next(struct reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->parser, event))
		return 0;
	return refuse(r, r->parser.problem != NULL ? r->parser.problem : "not YAML",
		      r->parser.problem_mark.line);
}

/* ---- scalars ---- */

static size_t digits(struct ar_str s, size_t at, int base)
{
	size_t n = 0;

	for (; at + n < s.n; n++) {
		char c = s.p[at + n];
		int v = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : 99;

		if (v >= base)
			break;
	}
	return n;
}

/* 0x1F and 0o17: 1 when it is one, -1 when it does not fit. */
static int based_number(struct ar_str s, int64_t *ret)
{
	int base = ar_str_starts(s, AR_STR("0x")) ? 16 : ar_str_starts(s, AR_STR("0o")) ? 8 : 0;
	int64_t v = 0;

	if (base == 0 || s.n == 2 || digits(s, 2, base) != s.n - 2)
		return 0;
	for (size_t i = 2; i < s.n; i++) {
		char c = s.p[i];
		int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return -1;
	}
	*ret = v;
	return 1;
}

struct number { /* the parts of [-+]? whole [. part] [e exponent] */
	bool minus, is_float;
	struct ar_str whole, part, exponent;
};

static bool number_split(struct ar_str s, struct number *ret)
{
	size_t at = 0, n;

	ret->minus = s.n > 0 && s.p[0] == '-';
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		at++;
	n = digits(s, at, 10);
	ret->whole = ar_str_sub(s, at, n);
	at += n;
	if (at < s.n && s.p[at] == '.') {
		ret->is_float = true;
		n = digits(s, ++at, 10);
		ret->part = ar_str_sub(s, at, n);
		at += n;
	}
	if (ret->whole.n + ret->part.n == 0)
		return false;
	if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
		size_t start = ++at;

		ret->is_float = true;
		if (at < s.n && (s.p[at] == '-' || s.p[at] == '+'))
			at++;
		n = digits(s, at, 10);
		ret->exponent = ar_str_sub(s, start, at - start + n);
		if (n == 0)
			return false;
		at += n;
	}
	return at == s.n;
}

/* 1: a number; 0: not one; -1: refused. */
static int number(struct reader *r, struct ar_str s, size_t line, struct ar_json **ret)
{
	struct number parts = { 0 };
	struct ar_str text;
	int64_t i = 0;
	double f;
	int based = s.n > 0 && s.n <= NUMBER_MAX ? based_number(s, &i) : 0;

	if (based > 0)
		*ret = ar_json_int(r->pool, i);
	if (based > 0)
		return 1;
	if (based == 0 && (s.n == 0 || s.n > NUMBER_MAX || !number_split(s, &parts)))
		return 0;
	while (parts.whole.n > 1 && parts.whole.p[0] == '0')
		parts.whole = ar_str_sub(parts.whole, 1, parts.whole.n);
	text = ar_strf(r->pool, "%s%.*s", parts.minus ? "-" : "", AR_FMT(parts.whole));
	if (based == 0 && !parts.is_float && ar_str_int(text, &i)) {
		*ret = ar_json_int(r->pool, i);
		return 1;
	}
	text = ar_strf(r->pool, "%s%.*s.%.*s%s%.*s", parts.minus ? "-" : "",
		       AR_FMT(parts.whole.n > 0 ? parts.whole : AR_STR("0")),
		       AR_FMT(parts.part.n > 0 ? parts.part : AR_STR("0")),
		       parts.exponent.n > 0 ? "e" : "", AR_FMT(parts.exponent));
	if (based < 0 || !parts.is_float || !ar_str_float(text, &f))
		return refuse(r, "a number is too large", line);
	*ret = ar_json_float(r->pool, f);
	return 1;
}

/* The text of a scalar; "\0" in quotes is a NUL, which no text of the house has. */
static int text_of(struct reader *r, const yaml_event_t *event, struct ar_str *ret)
{
	*ret = ar_str_dup(r->pool, ar_str_n((const char *)event->data.scalar.value,
					    event->data.scalar.length));
	return ret->n > 0 && memchr(ret->p, 0, ret->n) != NULL
		       ? refuse(r, "a text has a NUL", event->start_mark.line)
		       : 0;
}

static int scalar(struct reader *r, const yaml_event_t *event, struct ar_json **ret)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };
	static const char *const endless[] = { ".inf", ".Inf", ".INF", "+.inf", "-.inf",
					       ".nan", ".NaN", ".NAN", "-.Inf", "-.INF" };
	struct ar_str s;

	if (text_of(r, event, &s) != 0)
		return -1;
	*ret = ar_json_str(r->pool, s);
	if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return 0;
	for (size_t n = 0; n < AR_COUNT(nulls); n++)
		if (ar_str_is(s, nulls[n]))
			*ret = ar_json_new(r->pool, AR_NULL);
	for (size_t n = 0; n < AR_COUNT(trues); n++)
		if (ar_str_is(s, trues[n]) || ar_str_is(s, falses[n]))
			*ret = ar_json_bool(r->pool, ar_str_is(s, trues[n]));
	for (size_t n = 0; n < AR_COUNT(endless); n++)
		if (ar_str_is(s, endless[n]))
			return refuse(r, "a number has no end", event->start_mark.line);
	return number(r, s, event->start_mark.line, ret) < 0 ? -1 : 0;
}

/* ---- nodes ---- */

static int node(struct reader *r, const yaml_event_t *event, struct ar_json **ret);

static int sequence(struct reader *r, struct ar_json **ret)
{
	struct ar_json *array = ar_json_new(r->pool, AR_ARRAY), *member;
	yaml_event_t event;
	int failed;

	for (;;) {
		if (next(r, &event) != 0)
			return -1;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			*ret = array;
			return 0;
		}
		failed = node(r, &event, &member);
		yaml_event_delete(&event);
		if (failed)
			return -1;
		ar_json_add(array, member);
	}
}

static bool has_tag(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.tag != NULL || event->data.scalar.anchor != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.tag != NULL ||
		       event->data.sequence_start.anchor != NULL;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.tag != NULL ||
		       event->data.mapping_start.anchor != NULL;
	default:
		return event->type == YAML_ALIAS_EVENT;
	}
}

static int plain_only(struct reader *r, const yaml_event_t *event)
{
	return has_tag(event) ? refuse(r, "anchors, aliases and tags are not taken",
				       event->start_mark.line)
			      : 0;
}

static int key_of(struct reader *r, const yaml_event_t *event, const struct ar_json *object,
		  struct ar_str *ret)
{
	if (plain_only(r, event) != 0)
		return -1;
	if (event->type != YAML_SCALAR_EVENT)
		return refuse(r, "a key must be a text", event->start_mark.line);
	if (text_of(r, event, ret) != 0)
		return -1;
	if (ar_json_get_str(object, *ret) != NULL)
		return refuse(r, "the same key twice", event->start_mark.line);
	if (object->count >= MEMBERS_MAX)
		return refuse(r, "too many members", event->start_mark.line);
	return 0;
}

static int mapping(struct reader *r, struct ar_json **ret)
{
	struct ar_json *object = ar_json_new(r->pool, AR_OBJECT), *member;
	struct ar_str key;
	yaml_event_t event;
	int failed;

	for (;;) {
		if (next(r, &event) != 0)
			return -1;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			*ret = object;
			return 0;
		}
		failed = key_of(r, &event, object, &key);
		yaml_event_delete(&event);
		if (failed || next(r, &event) != 0)
			return -1;
		failed = node(r, &event, &member);
		yaml_event_delete(&event);
		if (failed)
			return -1;
		ar_json_set(object, key, member);
	}
}

static int node(struct reader *r, const yaml_event_t *event, struct ar_json **ret)
{
	int failed;

	if (++r->nodes > NODES_MAX)
		return refuse(r, "too many values", event->start_mark.line);
	if (plain_only(r, event) != 0)
		return -1;
	if (event->type == YAML_SCALAR_EVENT)
		return scalar(r, event, ret);
	if (++r->depth > DEPTH_MAX)
		return refuse(r, "too deep", event->start_mark.line);
	failed = event->type == YAML_MAPPING_START_EVENT ? mapping(r, ret) : sequence(r, ret);
	r->depth--;
	return failed;
}

/* Reads one event, which must be of the type. */
static int expect(struct reader *r, yaml_event_type_t type, const char *reason)
{
	yaml_event_t event;
	int failed;

	if (next(r, &event) != 0)
		return -1;
	failed = event.type != type ? refuse(r, reason, event.start_mark.line) : 0;
	yaml_event_delete(&event);
	return failed;
}

static int document(struct reader *r, struct ar_json **ret)
{
	yaml_event_t event;
	int failed;

	if (expect(r, YAML_STREAM_START_EVENT, "not YAML") != 0 ||
	    expect(r, YAML_DOCUMENT_START_EVENT, "empty") != 0 || next(r, &event) != 0)
		return -1;
	failed = node(r, &event, ret);
	yaml_event_delete(&event);
	if (failed || expect(r, YAML_DOCUMENT_END_EVENT, "not YAML") != 0)
		return -1;
	return expect(r, YAML_STREAM_END_EVENT, "more than one document");
}

int workflow_yaml_read(struct ar_pool *pool, struct ar_str text, struct ar_json **ret)
{
	struct reader r = { .pool = pool };
	int failed;

	if (text.n > WORKFLOW_SOURCE_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "definition");
	if (!ar_utf8_valid(text) || (text.n > 0 && memchr(text.p, 0, text.n) != NULL))
		return ar_fail(AR_E_MALFORMED, "reason", "not valid UTF-8, or a NUL");
	if (ar_str_starts(text, AR_STR("\xef\xbb\xbf"))) /* editors of one system put it there */
		text = ar_str_sub(text, 3, text.n);
	if (text.n == 0)
		return refuse(&r, "empty", 0);
	if (!yaml_parser_initialize(&r.parser))
		return ar_fail(AR_E_INTERNAL);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	failed = document(&r, ret);
	yaml_parser_delete(&r.parser);
	return failed;
}
