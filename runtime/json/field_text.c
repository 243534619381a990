/*
 * field_text.c - texts of fields: patterns, e-mail addresses, values from a query string.
 *
 * A pattern is a sequence of classes with counts and nothing more, so matching is a walk of sets of
 * positions: its time is the product of both lengths whatever the text, and the same pattern is a
 * valid regular expression for the JSON Schema.
 */
#include "json/json_int.h"

#define PATTERN_TEXT 1024 /* bytes */

/* The next code point of valid UTF-8. */
static uint32_t next_point(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;

	if (s[0] < 0x80) {
		*p += 1;
		return s[0];
	}
	if (s[0] < 0xe0) {
		*p += 2;
		return (uint32_t)(s[0] & 31) << 6 | (s[1] & 63);
	}
	if (s[0] < 0xf0) {
		*p += 3;
		return (uint32_t)(s[0] & 15) << 12 | (uint32_t)(s[1] & 63) << 6 | (s[2] & 63);
	}
	*p += 4;
	return (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 63) << 12 |
	       (uint32_t)(s[2] & 63) << 6 | (s[3] & 63);
}

/* ---- patterns ---- */

struct atom {
	const char *set, *set_end; /* of a class, between the brackets; or one character */
	bool negated, any;
	unsigned min, max;
};

static bool in_set(const struct atom *atom, uint32_t c)
{
	const char *p = atom->set;
	bool found = false;

	if (atom->any)
		return c != '\n';
	while (p < atom->set_end && !found) {
		uint32_t low, high;

		p += *p == '\\';
		low = high = next_point(&p);
		if (p + 1 < atom->set_end && *p == '-') {
			p++;
			p += *p == '\\';
			high = next_point(&p);
		}
		found = c >= low && c <= high;
	}
	return found != atom->negated;
}

static unsigned count(const char **p)
{
	unsigned n = 0;

	while (**p >= '0' && **p <= '9')
		n = n * 10 + (unsigned)(*(*p)++ - '0');
	return n;
}

static const char *read_atom(const char *p, struct atom *atom)
{
	*atom = (struct atom){ .min = 1, .max = 1 };
	if (*p == '[') {
		atom->negated = *++p == '^';
		p += atom->negated;
		atom->set = p;
		while (*p != ']')
			p += *p == '\\' ? 2 : 1;
		atom->set_end = p++;
	} else {
		atom->any = *p == '.';
		p += *p == '\\';
		atom->set = p;
		next_point(&p);
		atom->set_end = p;
	}
	if (*p == '*' || *p == '?')
		atom->min = 0;
	if (*p == '*' || *p == '+')
		atom->max = PATTERN_TEXT;
	if (*p == '*' || *p == '?' || *p == '+')
		return p + 1;
	if (*p != '{')
		return p;
	p++;
	atom->min = atom->max = count(&p);
	if (*p == ',') {
		p++;
		atom->max = *p == '}' ? PATTERN_TEXT : count(&p);
	}
	return p + 1;
}

struct work {             /* n: characters of the text */
	uint32_t *points; /* [n] */
	bool *at;    /* [n + 1]; at[i]: the atoms so far can have matched the first i characters */
	int *change; /* [n + 2]: where ranges of reachable positions begin and end */
	unsigned n;
};

static void step(const struct atom *atom, struct work *work)
{
	unsigned run = 0; /* characters from i on that the atom takes */
	int open = 0;

	memset(work->change, 0, (work->n + 2) * sizeof(*work->change));
	for (unsigned i = work->n + 1; i-- > 0;) {
		run = i < work->n && in_set(atom, work->points[i]) ? run + 1 : 0;
		if (!work->at[i] || run < atom->min)
			continue;
		work->change[i + atom->min]++;
		work->change[i + AR_MIN(run, atom->max) + 1]--;
	}
	for (unsigned i = 0; i <= work->n; i++) {
		open += work->change[i];
		work->at[i] = open > 0;
	}
}

static bool match(const char *pattern, struct ar_str text, struct work *work)
{
	const char *p = text.p, *end = text.n > 0 ? p + text.n : p;
	struct atom atom;

	while (p < end)
		work->points[work->n++] = next_point(&p);
	memset(work->at, 0, work->n + 1);
	work->at[0] = true;
	while (*pattern != 0) {
		pattern = read_atom(pattern, &atom);
		step(&atom, work);
	}
	return work->at[work->n];
}

/* Nearly every text is a short one, and a fiber's stack that is used deeply costs page faults. */
#define PATTERN_SHORT 128

static __attribute__((noinline)) bool match_short(const char *pattern, struct ar_str text)
{
	uint32_t points[PATTERN_SHORT];
	bool at[PATTERN_SHORT + 1];
	int change[PATTERN_SHORT + 2];
	struct work work = { points, at, change, 0 };

	return match(pattern, text, &work);
}

static __attribute__((noinline)) bool match_long(const char *pattern, struct ar_str text)
{
	uint32_t points[PATTERN_TEXT];
	bool at[PATTERN_TEXT + 1];
	int change[PATTERN_TEXT + 2];
	struct work work = { points, at, change, 0 };

	return match(pattern, text, &work);
}

bool pattern_match(const char *pattern, struct ar_str text)
{
	if (text.n > PATTERN_TEXT)
		return false;
	return text.n <= PATTERN_SHORT ? match_short(pattern, text) : match_long(pattern, text);
}

/* ---- e-mail ---- */

/* Invisible or direction-changing characters and odd spaces have no place in an address. */
static bool visible(uint32_t c)
{
	static const uint32_t ranges[][2] = {
		{ 0x80, 0xa0 },       { 0xad, 0xad },     { 0x61c, 0x61c },   { 0x115f, 0x1160 },
		{ 0x1680, 0x1680 },   { 0x180b, 0x180f }, { 0x2000, 0x200f }, { 0x2028, 0x202f },
		{ 0x205f, 0x206f },   { 0x3000, 0x3000 }, { 0x3164, 0x3164 }, { 0xe000, 0xf8ff },
		{ 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xffff },
		{ 0xe0000, 0x10ffff }
	};

	for (size_t i = 0; i < AR_COUNT(ranges); i++) {
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return false;
	}
	return true;
}

static bool is_alnum(uint32_t c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	       (c >= 0x80 && visible(c));
}

static bool local_good(struct ar_str s)
{
	const char *p = s.p, *end = s.p + s.n;
	bool dot = true; /* none at the start, none after another, none at the end */

	if (s.n == 0 || s.n > 64)
		return false;
	while (p < end) {
		uint32_t c = next_point(&p);

		if (c == '.' ? dot
			     : !is_alnum(c) && (c >= 0x80 || c == 0 ||
						strchr("!#$%&'*+/=?^_`{|}~-", (int)c) == NULL))
			return false;
		dot = c == '.';
	}
	return !dot;
}

static bool label_good(struct ar_str s)
{
	const char *p = s.p, *end = s.p + s.n;

	if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	while (p < end) {
		uint32_t c = next_point(&p);

		if (!is_alnum(c) && c != '-')
			return false;
	}
	return true;
}

bool ar_email_valid(struct ar_str s)
{
	ptrdiff_t at = ar_str_find(s, '@');
	struct ar_str rest, label = AR_STR_NONE;
	int64_t digits;
	int labels = 0;

	if (at < 0 || s.n > 254 || !ar_utf8_valid(s) || !local_good(ar_str_n(s.p, (size_t)at)))
		return false;
	rest = ar_str_n(s.p + at + 1, s.n - (size_t)at - 1);
	while (rest.p != NULL) {
		label = ar_str_cut(&rest, '.');
		if (!label_good(label))
			return false;
		labels++;
	}
	return labels >= 2 && !ar_str_int(label, &digits);
}

bool email_normal(struct ar_pool *pool, struct ar_str s, struct ar_str *ret)
{
	struct ar_str trimmed = ar_str_trim(s);
	char *copy;

	if (!ar_email_valid(trimmed))
		return false;
	copy = ar_strz(pool, trimmed);
	for (char *p = strchr(copy, '@'); *p != 0; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	}
	*ret = ar_str_n(copy, trimmed.n);
	return true;
}

/* ---- values from texts ---- */

static struct ar_json *parsed(struct ar_pool *pool, struct ar_str text)
{
	struct ar_json *value = NULL;

	if (ar_json_parse(pool, text, NULL, &value) != 0)
		ar_err_clear();
	return value;
}

static struct ar_json *list_from_text(struct ar_pool *pool, const struct ar_field *field,
				      struct ar_str text)
{
	struct ar_json *array = ar_json_new(pool, AR_ARRAY);
	struct ar_str rest = text;

	while (rest.p != NULL && rest.n > 0) {
		struct ar_str part = ar_str_cut(&rest, ',');

		ar_json_add(array, field->items != NULL
					   ? ar_field_from_text(pool, field->items, part)
					   : ar_json_str(pool, part));
	}
	return array;
}

struct ar_json *ar_field_from_text(struct ar_pool *pool, const struct ar_field *field,
				   struct ar_str text)
{
	struct ar_json *value = NULL;
	int64_t i;
	double f;

	switch (field->type) {
	case AR_F_BOOL:
		if (ar_str_is(text, "true") || ar_str_is(text, "false"))
			return ar_json_bool(pool, text.n == 4);
		break;
	case AR_F_INT:
		if (ar_str_int(text, &i))
			return ar_json_int(pool, i);
		break;
	case AR_F_FLOAT:
		if (ar_str_float(text, &f))
			return ar_json_float(pool, f);
		break;
	case AR_F_ARRAY:
		if (text.n > 0 && text.p[0] == '[')
			value = parsed(pool, text);
		else
			value = list_from_text(pool, field, text);
		break;
	case AR_F_OBJECT:
	case AR_F_JSON:
		value = parsed(pool, text);
		break;
	default:
		break;
	}
	return value != NULL ? value : ar_json_str(pool, text);
}

void ar_fields_from_text(struct ar_pool *pool, const struct ar_field *fields,
			 struct ar_json *object)
{
	ar_json_each (member, object) {
		const struct ar_field *field = ar_fields_find(fields, member->key);
		struct ar_json *value;

		if (field == NULL || member->type != AR_STRING)
			continue;
		value = ar_field_from_text(pool, field, member->s);
		value->key = member->key;
		value->next = member->next;
		*member = *value;
	}
}
