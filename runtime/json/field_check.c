/*
 * field_check.c - an input object held against a table, and a checked object put into a struct.
 *
 * A check goes on after a refusal, so that a form shows all that is wrong at once; it stops at 20.
 * The input may come from Lua or a workflow as well as from JSON text, so strings are looked at
 * again: what passed here is UTF-8 without NUL, everywhere.
 */
#include "json/json_int.h"

#define REFUSED_MAX 20
#define FIELDS_MAX  64
#define DEPTH_MAX   64
#define EMAIL_MAX   254

struct path { /* on the stack, from the inside out */
	const struct path *up;
	struct ar_str part;
};

struct checker {
	struct ar_pool *pool;
	unsigned flags;
	int refused;
};

static const char *const type_names[] = {
	[AR_F_BOOL] = "boolean", [AR_F_INT] = "integer",   [AR_F_FLOAT] = "number",
	[AR_F_TEXT] = "string",  [AR_F_EMAIL] = "string",  [AR_F_ID] = "string",
	[AR_F_DATE] = "string",  [AR_F_TIME] = "string",   [AR_F_ENUM] = "string",
	[AR_F_JSON] = "any",     [AR_F_OBJECT] = "object", [AR_F_ARRAY] = "array",
};

const struct ar_field *ar_fields_find(const struct ar_field *fields, struct ar_str name)
{
	for (; fields->name != NULL; fields++) {
		if (ar_str_is(name, fields->name))
			return fields;
	}
	return NULL;
}

static const char *path_text(struct ar_pool *pool, const struct path *path)
{
	struct ar_str part = path->part;

	if (part.n > 100) /* a key that a stranger chose */
		part.n = 100;
	if (path->up == NULL)
		return ar_strz(pool, part);
	return ar_printf(pool, "%s.%.*s", path_text(pool, path->up), AR_FMT(part));
}

/* Refuses one field. key and value: the parameter of its message, or NULL. */
static struct ar_json *refuse(struct checker *c, const struct path *path, const char *code,
			      const char *key, const char *value)
{
	if (c->refused++ == 0 && (c->flags & AR_FIELDS_ADD) == 0)
		ar_fail(AR_E_INVALID);
	if (c->refused <= REFUSED_MAX)
		ar_fail_field(path != NULL ? path_text(c->pool, path) : "", code, key, value);
	return NULL;
}

static struct ar_json *refuse_int(struct checker *c, const struct path *path, const char *code,
				  const char *key, int64_t limit)
{
	char text[24];

	text[ar_int_text(limit, text)] = 0;
	return refuse(c, path, code, key, text);
}

/* The code of a text that nobody may store, or NULL. */
static const char *text_fault(struct ar_str s)
{
	if (!ar_utf8_valid(s))
		return "encoding";
	return s.n > 0 && memchr(s.p, 0, s.n) != NULL ? "characters" : NULL;
}

static const char *value_fault(const struct ar_json *value, int depth)
{
	const char *fault = NULL;

	if (value->type == AR_STRING)
		return text_fault(value->s);
	if (value->type != AR_ARRAY && value->type != AR_OBJECT)
		return NULL;
	if (depth >= DEPTH_MAX)
		return "too-deep";
	ar_json_each (member, value) {
		if (value->type == AR_OBJECT)
			fault = text_fault(member->key);
		if (fault == NULL)
			fault = value_fault(member, depth + 1);
		if (fault != NULL)
			return fault;
	}
	return NULL;
}

static bool has_range(const struct ar_field *f)
{
	return f->min != 0 || f->max != 0;
}

static bool has_max(const struct ar_field *f)
{
	return f->max != 0 || f->min < 0;
}

/* The node itself may be linked into the result, so it is a new one; what hangs below is shared. */
static struct ar_json *share(struct checker *c, const struct ar_json *value)
{
	struct ar_json *node = ar_new(c->pool, struct ar_json);

	*node = *value;
	node->next = NULL;
	return node;
}

static struct ar_json *check_count(struct checker *c, const struct ar_field *f,
				   const struct path *path, int64_t n, const char *few,
				   const char *many, struct ar_json *good)
{
	if (!has_range(f))
		return good;
	if (n < f->min)
		return refuse_int(c, path, few, "min", f->min);
	if (has_max(f) && n > f->max)
		return refuse_int(c, path, many, "max", f->max);
	return good;
}

static struct ar_json *check_number(struct checker *c, const struct ar_field *f,
				    const struct path *path, const struct ar_json *value)
{
	struct ar_json *node = share(c, value);

	if (f->type == AR_F_FLOAT) {
		if (value->type == AR_INT) {
			node->type = AR_FLOAT;
			node->f = (double)value->i;
		} else if (value->type != AR_FLOAT || !(value->f - value->f == 0)) {
			return refuse(c, path, "type", "type", "number");
		}
		if (has_range(f) && node->f < (double)f->min)
			return refuse_int(c, path, "too-small", "min", f->min);
		if (has_range(f) && has_max(f) && node->f > (double)f->max)
			return refuse_int(c, path, "too-large", "max", f->max);
		return node;
	}
	if (value->type == AR_FLOAT && value->f >= -0x1p63 && value->f < 0x1p63 &&
	    (double)(int64_t)value->f == value->f) {
		node->type = AR_INT;
		node->i = (int64_t)value->f;
	} else if (value->type != AR_INT) {
		return refuse(c, path, "type", "type", "integer");
	}
	return check_count(c, f, path, node->i, "too-small", "too-large", node);
}

static struct ar_json *check_enum(struct checker *c, const struct ar_field *f,
				  const struct path *path, const struct ar_json *value)
{
	const char *all = "";

	for (const char *const *v = f->values; *v != NULL; v++) {
		if (ar_str_is(value->s, *v))
			return share(c, value);
	}
	for (const char *const *v = f->values; *v != NULL; v++)
		all = ar_printf(c->pool, "%s%s%s", all, *all != 0 ? ", " : "", *v);
	return refuse(c, path, "enum", "values", all);
}

static struct ar_json *check_text(struct checker *c, const struct ar_field *f,
				  const struct path *path, const struct ar_json *value)
{
	struct ar_json *node = share(c, value);
	const char *fault = text_fault(value->s);
	char time[AR_TIME_MAX];
	int64_t ms;
	size_t n;

	if (fault != NULL)
		return refuse(c, path, fault, NULL, NULL);
	switch (f->type) {
	case AR_F_EMAIL:
		if (!email_normal(c->pool, value->s, &node->s))
			return refuse(c, path, "email", NULL, NULL);
		break;
	case AR_F_ID:
		return ar_id_valid(value->s) ? node : refuse(c, path, "id", NULL, NULL);
	case AR_F_DATE:
		return ar_date_valid(value->s) ? node : refuse(c, path, "date", NULL, NULL);
	case AR_F_TIME:
		if (!ar_time_parse(value->s, &ms))
			return refuse(c, path, "time", NULL, NULL);
		n = ar_time_format(ms, time);
		node->s = ar_str_dup(c->pool, ar_str_n(time, n));
		return node;
	case AR_F_ENUM:
		return check_enum(c, f, path, value);
	default:
		break;
	}
	/* Bytes first: a text that is far too long is not counted. */
	if (has_range(f) && has_max(f) && node->s.n / 4 > (size_t)f->max)
		return refuse_int(c, path, "too-long", "max", f->max);
	node = check_count(c, f, path, (int64_t)ar_utf8_len(node->s), "too-short", "too-long",
			   node);
	if (node != NULL && f->pattern != NULL && !pattern_match(f->pattern, node->s))
		return refuse(c, path, "pattern", "pattern", f->pattern);
	return node;
}

static struct ar_json *check_object(struct checker *c, const struct ar_field *fields,
				    const struct path *path, const struct ar_json *input);
static struct ar_json *check_value(struct checker *c, const struct ar_field *f,
				   const struct path *path, const struct ar_json *value);

static struct ar_json *check_array(struct checker *c, const struct ar_field *f,
				   const struct path *path, const struct ar_json *value)
{
	struct ar_json *array = f->items != NULL ? ar_json_new(c->pool, AR_ARRAY) : share(c, value);
	int64_t i = 0;

	if (check_count(c, f, path, value->count, "too-few", "too-many", array) == NULL)
		return NULL;
	if (f->items == NULL)
		return array;
	ar_json_each (member, value) {
		char text[24];
		struct path at = { path, { text, ar_int_text(i++, text) } };
		struct ar_json *item = check_value(c, f->items, &at, member);

		if (item != NULL)
			ar_json_add(array, item);
		if (c->refused >= REFUSED_MAX)
			return NULL;
	}
	return array;
}

/* The value as it is kept, or NULL when it was refused. */
static struct ar_json *check_type(struct checker *c, const struct ar_field *f,
				  const struct path *path, const struct ar_json *value)
{
	static const enum ar_type wanted[] = {
		[AR_F_BOOL] = AR_BOOL,   [AR_F_TEXT] = AR_STRING,   [AR_F_EMAIL] = AR_STRING,
		[AR_F_ID] = AR_STRING,   [AR_F_DATE] = AR_STRING,   [AR_F_TIME] = AR_STRING,
		[AR_F_ENUM] = AR_STRING, [AR_F_OBJECT] = AR_OBJECT, [AR_F_ARRAY] = AR_ARRAY,
	};
	const char *fault;

	if (f->type == AR_F_INT || f->type == AR_F_FLOAT)
		return check_number(c, f, path, value);
	if (f->type != AR_F_JSON && value->type != wanted[f->type])
		return refuse(c, path, "type", "type", type_names[f->type]);
	if (f->type == AR_F_BOOL)
		return share(c, value);
	if (f->type < AR_F_JSON)
		return check_text(c, f, path, value);
	if (f->type == AR_F_OBJECT && f->fields != NULL)
		return check_object(c, f->fields, path, value);
	if (f->type != AR_F_ARRAY || f->items == NULL) {
		fault = value_fault(value, 0);
		if (fault != NULL)
			return refuse(c, path, fault, NULL, NULL);
	}
	if (f->type == AR_F_ARRAY)
		return check_array(c, f, path, value);
	if (f->type == AR_F_OBJECT)
		return check_count(c, f, path, value->count, "too-few", "too-many",
				   share(c, value));
	return share(c, value);
}

static struct ar_json *check_value(struct checker *c, const struct ar_field *f,
				   const struct path *path, const struct ar_json *value)
{
	struct ar_json *good;
	const char *code;

	if (value->type == AR_NULL && f->type != AR_F_JSON)
		return f->nullable ? share(c, value) : refuse(c, path, "null", NULL, NULL);
	good = check_type(c, f, path, value);
	if (good != NULL && f->check != NULL) {
		code = f->check(f, good);
		if (code != NULL && strcmp(code, "too-long") == 0)
			return refuse_int(c, path, code, "max", f->max);
		if (code != NULL)
			return refuse(c, path, code, NULL, NULL);
	}
	return good;
}

/* Defaults are constants of the program: mostly short enough to need no parser. */
static struct ar_json *default_value(struct ar_pool *pool, const char *text)
{
	struct ar_str s = ar_str(text);
	struct ar_json *value = NULL;
	int64_t i;

	if (ar_str_int(s, &i))
		return ar_json_int(pool, i);
	if (ar_str_is(s, "true") || ar_str_is(s, "false"))
		return ar_json_bool(pool, text[0] == 't');
	if (s.n >= 2 && s.p[0] == '"' && ar_str_find(s, '\\') < 0)
		return ar_json_str(pool, ar_str_sub(s, 1, s.n - 2));
	ar_json_parse(pool, s, NULL, &value); /* a NULL here is a wrong table: caught by its test */
	return value;
}

static void check_field(struct checker *c, const struct ar_field *f, const struct path *up,
			const struct ar_json *value, struct ar_json *ret)
{
	struct path path = { up, ar_str(f->name) };
	struct ar_json *good;

	if (value != NULL && f->read_only) {
		if ((c->flags & AR_FIELDS_DROP_READ_ONLY) == 0)
			refuse(c, &path, "read-only", NULL, NULL);
		return;
	}
	if (value == NULL) {
		if ((c->flags & AR_FIELDS_PARTIAL) != 0 || f->read_only)
			return;
		if (f->required)
			refuse(c, &path, "required", NULL, NULL);
		if (f->required || f->otherwise == NULL)
			return;
		good = default_value(c->pool, f->otherwise);
	} else {
		good = check_value(c, f, &path, value);
	}
	if (good == NULL)
		return;
	good->key = path.part;
	ar_json_add(ret, good);
}

static struct ar_json *check_object(struct checker *c, const struct ar_field *fields,
				    const struct path *path, const struct ar_json *input)
{
	const struct ar_json *found[FIELDS_MAX] = { NULL };
	struct ar_json *ret = ar_json_new(c->pool, AR_OBJECT);
	int before = c->refused;

	ar_json_each (member, input) {
		const struct ar_field *f = ar_fields_find(fields, member->key);

		if (f != NULL)
			found[f - fields] = member;
		else if ((c->flags & AR_FIELDS_DROP_UNKNOWN) == 0)
			refuse(c, &(struct path){ path, member->key }, "unknown", NULL, NULL);
		if (c->refused >= REFUSED_MAX)
			return NULL;
	}
	for (int i = 0; fields[i].name != NULL && c->refused < REFUSED_MAX; i++)
		check_field(c, &fields[i], path, found[i], ret);
	return c->refused == before ? ret : NULL;
}

int ar_fields_check(struct ar_pool *pool, const struct ar_field *fields,
		    const struct ar_json *input, unsigned flags, struct ar_json **ret)
{
	static const struct ar_json nothing = { .type = AR_OBJECT };
	struct checker c = { pool, flags, 0 };
	struct ar_json *good;

	if (input == NULL)
		input = &nothing;
	if (input->type != AR_OBJECT) {
		refuse(&c, NULL, "type", "type", "object");
		return -1;
	}
	good = check_object(&c, fields, NULL, input);
	if (good == NULL)
		return -1;
	*ret = good;
	return 0;
}

/* ---- into a struct ---- */

static int store(const struct ar_field *f, struct ar_json *value, void *at)
{
	bool null = value->type == AR_NULL;

	switch (f->type) {
	case AR_F_BOOL:
		*(bool *)at = !null && value->b;
		return 0;
	case AR_F_INT:
		*(int64_t *)at = null ? 0 : value->i;
		return 0;
	case AR_F_FLOAT:
		*(double *)at = null ? 0 : value->f;
		return 0;
	case AR_F_TIME:
		if (null)
			*(int64_t *)at = 0;
		else if (!ar_time_parse(value->s, at))
			return ar_fail_field(f->name, "time");
		return 0;
	case AR_F_TEXT:
	case AR_F_EMAIL:
	case AR_F_ID:
	case AR_F_DATE:
	case AR_F_ENUM:
		*(struct ar_str *)at = null ? AR_STR_NONE : value->s;
		return 0;
	case AR_F_JSON:
	case AR_F_OBJECT:
	case AR_F_ARRAY:
		*(struct ar_json **)at = null ? NULL : value;
		return 0;
	}
	return 0;
}

int ar_fields_decode(struct ar_pool *pool, const struct ar_field *fields,
		     const struct ar_json *object, void *ret_struct, uint64_t *ret_present)
{
	uint64_t present = 0;

	(void)pool; /* values are shared today; a type that needs memory has it */
	ar_json_each (member, object) {
		const struct ar_field *f = ar_fields_find(fields, member->key);

		if (f == NULL)
			continue;
		present |= 1ull << (f - fields);
		if (f->offset != AR_FIELD_NO_MEMBER &&
		    store(f, member, (char *)ret_struct + f->offset) != 0)
			return -1;
	}
	if (ret_present != NULL)
		*ret_present = present;
	return 0;
}
