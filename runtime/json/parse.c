/*
 * parse.c - JSON text to values, on yajl (the one file with its header).
 *
 * yajl walks the text; everything that it lets through and we do not is refused here: depth, the
 * number of values, duplicate keys, NUL, numbers that do not fit. Lone surrogates need a look at the
 * text before yajl sees it, because it replaces them silently. Memory that yajl needs for itself
 * comes from the heap and is bounded by the depth and by the longest escaped string.
 */
#include "json/json_int.h"

#include <yajl/yajl_parse.h>

const struct ar_json_limits ar_json_limits_default = { 1 << 20, 64, 100000 };

struct reader {
	struct ar_pool *pool;
	struct ar_str text;
	const struct ar_json_limits *limits;
	struct ar_json *root;
	struct ar_json **open; /* the containers around the current place; limits->depth of them */
	unsigned depth;
	size_t nodes;
	struct ar_str key;  /* of the member that comes next */
	const char *reason; /* why we stopped yajl */
	struct ar_str detail;
	bool too_large;
};

static int refuse(struct reader *r, const char *reason, struct ar_str detail)
{
	r->reason = reason;
	r->detail = detail;
	return 0; /* yajl: stop */
}

/* A new value in its place; NULL: refused. */
static struct ar_json *put(struct reader *r, enum ar_type type)
{
	struct ar_json *value;

	if (++r->nodes > r->limits->nodes) {
		r->too_large = true;
		return NULL;
	}
	value = ar_json_new(r->pool, type);
	if (r->depth == 0) {
		r->root = value;
		return value;
	}
	if (r->open[r->depth - 1]->type == AR_OBJECT)
		value->key = r->key;
	ar_json_add(r->open[r->depth - 1], value);
	return value;
}

/* yajl hands out pieces of the text, or of a buffer of its own when there were escapes. */
static bool take(struct reader *r, const unsigned char *p, size_t n, struct ar_str *ret)
{
	struct ar_str s = ar_str_n((const char *)p, n);

	if (memchr(s.p, 0, n) != NULL) {
		refuse(r, "nul-character", AR_STR_NONE);
		return false;
	}
	if (s.p < r->text.p || s.p >= r->text.p + r->text.n)
		s = ar_str_dup(r->pool, s);
	*ret = s;
	return true;
}

static int on_null(void *arg)
{
	return put(arg, AR_NULL) != NULL;
}

static int on_bool(void *arg, int b)
{
	struct ar_json *value = put(arg, AR_BOOL);

	if (value == NULL)
		return 0;
	value->b = b != 0;
	return 1;
}

static bool is_integer(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '.' || p[i] == 'e' || p[i] == 'E')
			return false;
	}
	return true;
}

static int on_number(void *arg, const char *p, size_t n)
{
	struct reader *r = arg;
	struct ar_str text = ar_str_n(p, n);
	struct ar_json *value;
	int64_t i;
	double f;

	if (is_integer(p, n)) {
		if (!ar_str_int(text, &i))
			return refuse(r, "integer-out-of-range", ar_str_sub(text, 0, 40));
		value = put(r, AR_INT);
		if (value == NULL)
			return 0;
		value->i = i;
		return 1;
	}
	if (!ar_str_float(text, &f))
		return refuse(r, "number-out-of-range", ar_str_sub(text, 0, 40));
	value = put(r, AR_FLOAT);
	if (value == NULL)
		return 0;
	value->f = f;
	return 1;
}

static int on_string(void *arg, const unsigned char *p, size_t n)
{
	struct reader *r = arg;
	struct ar_json *value;
	struct ar_str s;

	if (!take(r, p, n, &s))
		return 0;
	value = put(r, AR_STRING);
	if (value == NULL)
		return 0;
	value->s = s;
	return 1;
}

static int on_key(void *arg, const unsigned char *p, size_t n)
{
	struct reader *r = arg;
	const struct ar_json *object = r->open[r->depth - 1];

	if (!take(r, p, n, &r->key))
		return 0;
	/* A large object is looked through once, when it ends. */
	if (object->count < INDEX_FROM && ar_json_get_str(object, r->key) != NULL)
		return refuse(r, "duplicate-key", r->key);
	return 1;
}

static int open_container(struct reader *r, enum ar_type type)
{
	struct ar_json *value;

	if (r->depth >= r->limits->depth)
		return refuse(r, "too-deep", AR_STR_NONE);
	value = put(r, type);
	if (value == NULL)
		return 0;
	r->open[r->depth++] = value;
	return 1;
}

static int on_object(void *arg)
{
	return open_container(arg, AR_OBJECT);
}

static int on_array(void *arg)
{
	return open_container(arg, AR_ARRAY);
}

static int on_array_end(void *arg)
{
	struct reader *r = arg;

	r->depth--;
	return 1;
}

static int on_object_end(void *arg)
{
	struct reader *r = arg;
	const struct ar_json *object = r->open[--r->depth], *twin = NULL;
	struct index index;

	if (object->count <= INDEX_FROM)
		return 1;
	index_init(&index, object->count);
	ar_json_each (member, object) {
		twin = index_add(&index, member);
		if (twin != NULL)
			break;
	}
	index_done(&index);
	return twin == NULL ? 1 : refuse(r, "duplicate-key", twin->key);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_map_key = on_key,
	.yajl_start_map = on_object,
	.yajl_end_map = on_object_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_array_end,
};

static void *yajl_get(void *ctx, size_t n)
{
	(void)ctx;
	return ar_heap_alloc(n);
}

static void *yajl_more(void *ctx, void *p, size_t n)
{
	(void)ctx;
	return ar_heap_realloc(p, n);
}

static void yajl_drop(void *ctx, void *p)
{
	(void)ctx;
	ar_heap_free(p);
}

/* ---- escapes: what yajl does not tell ---- */

static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + (c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + ((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/*
 * Walks the backslashes of the text. Outside of a string a backslash is an error that yajl finds;
 * inside, each one takes the next character with it, so pairs stay in step.
 */
static const char *check_escapes(struct ar_str text)
{
	const char *p = text.p, *end = text.p + text.n;

	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p >= 2) {
		int unit = p[1] == 'u' ? hex4(p + 2, end) : -1;

		if (unit < 0) { /* another escape; a malformed \u is yajl's to refuse */
			p += 2;
			continue;
		}
		p += 6;
		if (unit == 0)
			return "nul-character";
		if (unit < 0xd800 || unit > 0xdfff)
			continue;
		if (unit >= 0xdc00 || end - p < 6 || p[0] != '\\' || p[1] != 'u')
			return "lone-surrogate";
		unit = hex4(p + 2, end);
		if (unit < 0xdc00 || unit > 0xdfff)
			return "lone-surrogate";
		p += 6;
	}
	return NULL;
}

static int fail(struct reader *r, yajl_handle yajl)
{
	char at[24];

	if (r->too_large)
		return ar_fail(AR_E_TOO_LARGE, "what", "json");
	if (r->reason != NULL && r->detail.n > 0)
		return ar_fail(AR_E_MALFORMED, "reason", r->reason, "value",
			       ar_strz(r->pool, ar_str_sub(r->detail, 0, 120)));
	if (r->reason != NULL)
		return ar_fail(AR_E_MALFORMED, "reason", r->reason);
	at[ar_uint_text(yajl_get_bytes_consumed(yajl), at)] = 0;
	return ar_fail(AR_E_MALFORMED, "reason", "syntax", "offset", at);
}

static bool only_space(struct ar_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return false;
	}
	return true;
}

int ar_json_parse(struct ar_pool *pool, struct ar_str text, const struct ar_json_limits *limits,
		  struct ar_json **ret)
{
	struct reader r = { .pool = pool, .text = text };
	yajl_alloc_funcs funcs = { yajl_get, yajl_more, yajl_drop, NULL };
	yajl_handle yajl;
	yajl_status status;
	size_t consumed;
	int result = 0;

	r.limits = limits != NULL ? limits : &ar_json_limits_default;
	if (text.n > r.limits->bytes)
		return ar_fail(AR_E_TOO_LARGE, "what", "json");
	if (!ar_utf8_valid(text))
		return ar_fail(AR_E_MALFORMED, "reason", "invalid-utf8");
	if (text.n > 0 && memchr(text.p, 0, text.n) != NULL)
		return ar_fail(AR_E_MALFORMED, "reason", "nul-character");
	/* yajl takes these for white space; in a string they are refused anyway. */
	if (text.n > 0 && (memchr(text.p, '\f', text.n) || memchr(text.p, '\v', text.n)))
		return ar_fail(AR_E_MALFORMED, "reason", "syntax");
	r.reason = text.n > 0 ? check_escapes(text) : NULL;
	if (r.reason != NULL)
		return ar_fail(AR_E_MALFORMED, "reason", r.reason);
	r.open = ar_new_n(pool, struct ar_json *, r.limits->depth + 1);

	yajl = yajl_alloc(&callbacks, &funcs, &r);
	yajl_config(yajl, yajl_dont_validate_strings, 1); /* done above, for the whole text */
	/* yajl overlooks an unfinished string after the value: what follows it is looked at here. */
	yajl_config(yajl, yajl_allow_trailing_garbage, 1);
	status = yajl_parse(yajl, (const unsigned char *)text.p, text.n);
	consumed = yajl_get_bytes_consumed(yajl);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(yajl);
	if (status != yajl_status_ok || r.root == NULL)
		result = fail(&r, yajl);
	else if (!only_space(ar_str_sub(text, consumed, text.n)))
		result = ar_fail(AR_E_MALFORMED, "reason", "syntax");
	yajl_free(yajl);
	if (result == 0)
		*ret = r.root;
	return result;
}
