/*
 * yaml.c - YAML by libyaml's events as JSON values, for definitions that people write by hand.
 *
 * The core schema of YAML 1.2: plain true, false, null, integers and floats have their types, all
 * else is text. Aliases, tags, several documents and duplicate keys are refused: a definition needs
 * none of them, and aliases are how small files become large ones.
 */
#include "workflow/workflow_int.h"

#include <yaml.h>

#define DEPTH_MAX 32
#define NODES_MAX 10000

struct reader {
	struct ar_pool *pool;
	yaml_parser_t parser;
	unsigned depth, nodes;
};

static int refuse(struct reader *r, const char *reason, size_t line)
{
	return ar_fail(WORKFLOW_E_YAML, "reason", reason, "line", ar_printf(r->pool, "%zu", line + 1));
}

static int next(struct reader *r, yaml_event_t *event)
{
	if (!yaml_parser_parse(&r->parser, event))
		return refuse(r, r->parser.problem != NULL ? r->parser.problem : "not YAML",
			      r->parser.problem_mark.line);
	return 0;
}

static struct ar_json *scalar(struct ar_pool *pool, const yaml_event_t *event)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };
	struct ar_str s = ar_str_dup(pool, ar_str_n((const char *)event->data.scalar.value,
						    event->data.scalar.length));
	int64_t i;
	double f;

	if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return ar_json_str(pool, s);
	for (size_t n = 0; n < AR_COUNT(nulls); n++)
		if (ar_str_is(s, nulls[n]))
			return ar_json_new(pool, AR_NULL);
	for (size_t n = 0; n < AR_COUNT(trues); n++) {
		if (ar_str_is(s, trues[n]))
			return ar_json_bool(pool, true);
		if (ar_str_is(s, falses[n]))
			return ar_json_bool(pool, false);
	}
	if (ar_str_int(s, &i))
		return ar_json_int(pool, i);
	if (ar_str_float(s, &f))
		return ar_json_float(pool, f);
	return ar_json_str(pool, s);
}

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

static int key_of(struct reader *r, const yaml_event_t *event, const struct ar_json *object,
		  struct ar_str *ret)
{
	if (event->type != YAML_SCALAR_EVENT)
		return refuse(r, "a key must be a text", event->start_mark.line);
	*ret = ar_str_dup(r->pool, ar_str_n((const char *)event->data.scalar.value,
					    event->data.scalar.length));
	if (ar_json_get_str(object, *ret) != NULL)
		return refuse(r, "the same key twice", event->start_mark.line);
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
		return false;
	}
}

static int node(struct reader *r, const yaml_event_t *event, struct ar_json **ret)
{
	int failed;

	if (++r->nodes > NODES_MAX)
		return refuse(r, "too many values", event->start_mark.line);
	if (has_tag(event) || event->type == YAML_ALIAS_EVENT)
		return refuse(r, "anchors, aliases and tags are not taken", event->start_mark.line);
	if (event->type == YAML_SCALAR_EVENT) {
		*ret = scalar(r->pool, event);
		return 0;
	}
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
	if (failed)
		return -1;
	return expect(r, YAML_DOCUMENT_END_EVENT, "not YAML") != 0 ||
			       expect(r, YAML_STREAM_END_EVENT, "more than one document") != 0
		       ? -1
		       : 0;
}

int workflow_yaml_read(struct ar_pool *pool, struct ar_str text, struct ar_json **ret)
{
	struct reader r = { .pool = pool };
	int failed;

	if (text.n > WORKFLOW_SOURCE_MAX)
		return ar_fail(AR_E_TOO_LARGE);
	if (!ar_utf8_valid(text) || (text.n > 0 && memchr(text.p, 0, text.n) != NULL))
		return ar_fail(AR_E_MALFORMED, "reason", "not valid UTF-8, or a NUL");
	if (!yaml_parser_initialize(&r.parser))
		return ar_fail(AR_E_INTERNAL);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	failed = document(&r, ret);
	yaml_parser_delete(&r.parser);
	return failed;
}
