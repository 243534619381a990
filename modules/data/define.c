/*
 * define.c - the definition of a field: is it sound, and what is a record's value held against?
 *
 * A definition that was accepted is kept whole (every member that its type knows), so that nothing
 * later has to guess a default. The table of rows for ar_fields_check() is made from it.
 */
#include "data/data_int.h"

/* Rows of one table: the json room allows 64. */
#define CHUNK 60

/* ---- patterns: the json room trusts the program's own, a tenant's are read here first ---- */

static bool class_valid(struct ar_str s, size_t *at)
{
	size_t i = *at + 1, first;

	if (i < s.n && s.p[i] == '^')
		i++;
	for (first = i; i < s.n && s.p[i] != ']'; i++)
		if (s.p[i] == '\\' && ++i >= s.n)
			return false;
	*at = i;
	return i < s.n && i > first;
}

/* {n} {n,} {n,m} */
static bool count_valid(struct ar_str s, size_t *at)
{
	ptrdiff_t length = ar_str_find(ar_str_sub(s, *at, s.n), '}');
	struct ar_str high, low;
	int64_t n, m = 0;

	if (length < 2)
		return false;
	high = ar_str_sub(s, *at + 1, (size_t)length - 1);
	*at += (size_t)length;
	low = ar_str_cut(&high, ',');
	if (!ar_str_int(low, &n) || n < 0 || n > 1024)
		return false;
	return high.p == NULL || high.n == 0 || (ar_str_int(high, &m) && m >= n && m <= 1024);
}

/* The whole text is meant in any case: ^ and $ around a pattern say nothing more. */
static struct ar_str pattern_bare(struct ar_str s)
{
	size_t slashes = 0;

	if (s.n > 0 && s.p[0] == '^')
		s = ar_str_sub(s, 1, s.n);
	while (s.n > slashes + 1 && s.p[s.n - 2 - slashes] == '\\')
		slashes++;
	if (s.n > 0 && s.p[s.n - 1] == '$' && slashes % 2 == 0)
		s.n--;
	return s;
}

bool data_pattern_valid(struct ar_str s)
{
	bool atom = false; /* something that a count may follow */

	s = pattern_bare(s);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '*' || c == '+' || c == '?' || c == '{') {
			if (!atom || (c == '{' && !count_valid(s, &i)))
				return false;
			atom = false;
			continue;
		}
		if (strchr("()|^$]}", c) != NULL)
			return false;
		if (c == '\\' && (++i >= s.n || (s.p[i] & 0x80) != 0))
			return false;
		if (c == '[' && !class_valid(s, &i))
			return false;
		atom = true;
	}
	return s.n > 0;
}

/* ---- definitions ---- */

struct definer {
	struct ar_pool *pool;
	const struct data_schema *schema;
	struct ar_str self; /* the collection's own name: a relation to itself is fine */
	size_t index;
};

static int refuse(const struct definer *d, const char *member, const char *code)
{
	return ar_fail_field(ar_printf(d->pool, "fields.%zu.%s", d->index, member), code);
}

static int refuse_below(const struct definer *d, const char *member, int64_t min)
{
	return ar_fail_field(ar_printf(d->pool, "fields.%zu.%s", d->index, member), "too-small",
			     "min", ar_printf(d->pool, "%lld", (long long)min));
}

static int refuse_over(const struct definer *d, const char *member, const char *max)
{
	return ar_fail_field(ar_printf(d->pool, "fields.%zu.%s", d->index, member), "too-large",
			     "max", max);
}

static bool is_reserved(struct ar_str name)
{
	static const char *const names[] = { "id",          "created", "updated", "expand",
					     "ar_revision", "true",    "false",   "null",
					     "in",          "rowid",   "oid" };

	for (size_t i = 0; i < AR_COUNT(names); i++)
		if (ar_str_caseeq(name, ar_str(names[i])))
			return true;
	return false;
}

static int check_name(const struct definer *d, const struct ar_json *fields,
		      const struct ar_json *field)
{
	struct ar_str name = ar_json_text(field, "name", AR_STR_NONE);

	if (is_reserved(name))
		return refuse(d, "name", "reserved");
	for (const struct ar_json *f = fields->first; f != field; f = f->next)
		if (ar_str_caseeq(ar_json_text(f, "name", AR_STR_NONE), name))
			return refuse(d, "name", "duplicate");
	return 0;
}

static bool takes_range(enum data_type type)
{
	return type == DATA_TEXT || type == DATA_INT || type == DATA_FLOAT || type == DATA_JSON ||
	       type == DATA_EMAIL;
}

static int check_limits(const struct definer *d, const struct ar_json *field,
			const struct data_field *f)
{
	const struct ar_json *min = ar_json_get(field, "min"), *max = ar_json_get(field, "max");
	struct ar_str pattern = ar_json_text(field, "pattern", AR_STR_NONE);

	if ((min != NULL || max != NULL) && !takes_range(f->type) && !f->multiple)
		return refuse(d, min != NULL ? "min" : "max", "not-for-type");
	if (min != NULL && max != NULL && min->i > max->i)
		return refuse_below(d, "max", min->i);
	bool number = f->type == DATA_INT || f->type == DATA_FLOAT;

	if (min != NULL && min->i < 0 && !number)
		return refuse_below(d, "min", 0);
	if (max != NULL && max->i < 0 && !number)
		return refuse_below(d, "max", 0);
	if (max != NULL && max->i > DATA_INDEXED_MAX && f->type == DATA_TEXT &&
	    (f->unique || f->indexed))
		return refuse_over(d, "max", "600");
	if (pattern.n > 0 && f->type != DATA_TEXT)
		return refuse(d, "pattern", "not-for-type");
	if (pattern.n > 0 && !data_pattern_valid(pattern))
		return refuse(d, "pattern", "pattern-syntax");
	return 0;
}

static int check_values(const struct definer *d, const struct ar_json *field,
			const struct data_field *f)
{
	const struct ar_json *values = ar_json_get(field, "values");

	if (f->type != DATA_SELECT)
		return values == NULL ? 0 : refuse(d, "values", "not-for-type");
	if (values == NULL || values->count == 0)
		return refuse(d, "values", "required");
	ar_json_each (v, values)
		for (const struct ar_json *u = values->first; u != v; u = u->next)
			if (ar_str_eq(u->s, v->s))
				return refuse(d, "values", "duplicate");
	return 0;
}

static int check_type(const struct definer *d, const struct ar_json *field,
		      const struct data_field *f)
{
	if (f->multiple && f->type != DATA_SELECT && f->type != DATA_RELATION)
		return refuse(d, "multiple", "not-for-type");
	if ((f->unique || f->indexed) && f->json)
		return refuse(d, f->unique ? "unique" : "indexed", "not-for-type");
	if (f->type != DATA_RELATION)
		return f->target.n == 0 ? 0 : refuse(d, "collection", "not-for-type");
	if (f->target.n == 0)
		return refuse(d, "collection", "required");
	if (!ar_str_eq(f->target, d->self) && data_schema_target(d->schema, f->target) == NULL)
		return refuse(d, "collection", "not-found");
	return 0;
}

/* The default must be a value that the field would take. */
static int check_default(const struct definer *d, const struct ar_json *definition,
			 const struct data_field *f)
{
	const struct ar_json *value = ar_json_get(definition, "default");
	struct ar_json *input, *checked;
	const struct ar_field **checks;

	if (value == NULL || value->type == AR_NULL)
		return 0;
	if (f->unique || f->type == DATA_RELATION)
		return refuse(d, "default", "not-for-type");
	input = ar_json_new(d->pool, AR_OBJECT);
	ar_json_set(input, f->name, ar_json_copy(d->pool, value));
	checks = data_checks(d->pool, f, 1);
	if (ar_fields_check(d->pool, checks[0], input, AR_FIELDS_PARTIAL, &checked) == 0)
		return 0;
	ar_err_clear();
	return refuse(d, "default", "default");
}

/* The members that a definition has, in this order, with what stands for those not given. */
static struct ar_json *whole(struct ar_pool *pool, const struct ar_json *field)
{
	static const struct {
		const char *name;
		bool truth; /* always there */
	} members[] = { { "name" },         { "type" },          { "required", true },
			{ "unique", true }, { "indexed", true }, { "multiple", true },
			{ "min" },          { "max" },           { "pattern" },
			{ "values" },       { "collection" },    { "default" },
			{ "help" } };
	struct ar_json *ret = ar_json_new(pool, AR_OBJECT);

	for (size_t i = 0; i < AR_COUNT(members); i++) {
		const struct ar_json *v = ar_json_get(field, members[i].name);

		if (v != NULL && v->type != AR_NULL)
			ar_json_set(ret, ar_str(members[i].name), ar_json_copy(pool, v));
		else if (members[i].truth)
			ar_json_set(ret, ar_str(members[i].name), ar_json_bool(pool, false));
	}
	return ret;
}

int data_define_fields(struct ar_pool *pool, const struct data_schema *schema, struct ar_str self,
		       const struct ar_json *fields, struct ar_json **ret)
{
	struct definer d = { .pool = pool, .schema = schema, .self = self };
	struct ar_json *list = ar_json_new(pool, AR_ARRAY);
	struct data_schema *alone = data_schema_new(pool, schema->dialect);
	struct ar_json *shell = ar_json_new(pool, AR_OBJECT);
	struct data_collection *c;
	int rc = 0;

	if (fields->count > DATA_FIELDS_MAX)
		return ar_fail(DATA_E_FULL, "what", "fields", "max", "200");
	ar_json_each (f, fields)
		ar_json_add(list, whole(pool, f));
	ar_json_set(shell, AR_STR("fields"), list);
	c = data_schema_add(alone, AR_STR_NONE, self, shell);
	for (const struct ar_json *f = list->first; f != NULL && rc == 0; f = f->next, d.index++) {
		const struct data_field *field = &c->fields[d.index];

		if (check_name(&d, list, f) != 0 || check_type(&d, f, field) != 0 ||
		    check_limits(&d, f, field) != 0 || check_values(&d, f, field) != 0 ||
		    check_default(&d, f, field) != 0)
			rc = -1;
	}
	*ret = list;
	return rc;
}

/* ---- what a value is held against ---- */

/* Years before 1 have no place in expressions. */
static const char *year_check(const struct ar_field *field, const struct ar_json *value)
{
	if (value->type == AR_STRING && ar_str_starts(value->s, AR_STR("0000")))
		return "year";
	return NULL;
}

static const enum ar_field_type field_types[] = {
	[DATA_TEXT] = AR_F_TEXT,   [DATA_INT] = AR_F_INT,     [DATA_FLOAT] = AR_F_FLOAT,
	[DATA_BOOL] = AR_F_BOOL,   [DATA_DATE] = AR_F_DATE,   [DATA_DATETIME] = AR_F_TIME,
	[DATA_JSON] = AR_F_JSON,   [DATA_SELECT] = AR_F_ENUM, [DATA_EMAIL] = AR_F_EMAIL,
	[DATA_RELATION] = AR_F_ID,
};

static const char *const *texts(struct ar_pool *pool, const struct ar_json *values)
{
	const char **list;
	size_t n = 0;

	if (values == NULL)
		return NULL;
	list = ar_new_n(pool, const char *, values->count + 1);
	ar_json_each (v, values)
		list[n++] = ar_strz(pool, v->s);
	return list;
}

/* 0 and 0 mean no limits to the table: one that is not given is the farthest there is. */
static void number_limits(struct ar_field *row, const struct ar_json *min,
			  const struct ar_json *max)
{
	if (min == NULL && max == NULL)
		return;
	row->min = min != NULL ? min->i : INT64_MIN;
	row->max = max != NULL ? max->i : INT64_MAX;
}

/* The largest count that a field without `max` takes; 0: no limit. */
static int64_t widest(const struct data_field *f)
{
	if (f->multiple)
		return 1000;
	if (f->type == DATA_TEXT)
		return f->unique || f->indexed ? DATA_INDEXED_MAX : 100000;
	return f->type == DATA_EMAIL ? 254 : 0;
}

static void check_init(struct ar_pool *pool, struct ar_field *row, const struct data_field *f)
{
	const struct ar_json *json = f->definition, *otherwise = ar_json_get(json, "default");
	struct ar_str pattern = ar_json_text(json, "pattern", AR_STR_NONE);
	struct ar_str help = ar_json_text(json, "help", AR_STR_NONE);

	*row = (struct ar_field){ .name = ar_strz(pool, f->name),
				  .type = field_types[f->type],
				  .offset = AR_FIELD_NO_MEMBER,
				  .min = ar_json_number(json, "min", 0),
				  .max = ar_json_number(json, "max", widest(f)),
				  .required = f->required,
				  .nullable = !f->required };
	if (f->type == DATA_JSON) /* its limits are bytes of its text: data_stored() */
		row->min = row->max = 0;
	if (f->type == DATA_INT || f->type == DATA_FLOAT)
		number_limits(row, ar_json_get(json, "min"), ar_json_get(json, "max"));
	row->values = texts(pool, ar_json_get(json, "values"));
	if (pattern.n > 0)
		row->pattern = ar_strz(pool, pattern_bare(pattern));
	if (help.n > 0)
		row->help = ar_strz(pool, help);
	if (f->type == DATA_DATE || f->type == DATA_DATETIME)
		row->check = year_check;
	if (otherwise != NULL)
		row->otherwise = ar_strz(pool, ar_json_print(pool, otherwise));
	if (f->multiple) {
		struct ar_field *item = ar_new_n(pool, struct ar_field, 2);

		*item = (struct ar_field){ .name = "",
					   .type = row->type,
					   .values = row->values,
					   .offset = AR_FIELD_NO_MEMBER };
		row->type = AR_F_ARRAY;
		row->items = item;
		row->values = NULL;
	}
}

const struct ar_field **data_checks(struct ar_pool *pool, const struct data_field *fields,
				    size_t nfields)
{
	size_t chunks = (nfields + CHUNK - 1) / CHUNK;
	const struct ar_field **checks = ar_new_n(pool, const struct ar_field *, chunks + 2);

	for (size_t i = 0; i < AR_MAX(chunks, 1); i++) {
		size_t n = AR_MIN(nfields - i * CHUNK, CHUNK);
		struct ar_field *rows = ar_new_n(pool, struct ar_field, n + 1);

		for (size_t j = 0; j < n; j++)
			check_init(pool, &rows[j], &fields[i * CHUNK + j]);
		checks[i] = rows;
	}
	return checks;
}
