/*
 * pattern.c - ICU MessageFormat with named arguments, read into a tree.
 *
 * Taken: {name}, {name, number|date|time[, style]}, {name, plural|selectordinal|select, ...}, # in
 * plurals, apostrophes as ICU quotes with them. Depth, length and number of arguments are bounded:
 * what a message costs to write is what its arguments cost.
 */
#include "i18n/i18n_int.h"

#define DEPTH_MAX  16
#define OFFSET_MAX 1000000
#define ARGS_MAX   100 /* in all of a message's cases */

struct reader {
	struct ar_pool *pool;
	struct ar_str s;
	size_t at;
	unsigned depth, args;
};

static int refuse(struct reader *r, const char *reason)
{
	return ar_fail(I18N_E_PATTERN, "position", ar_printf(r->pool, "%zu", r->at + 1), "reason",
		       reason);
}

static char peek(const struct reader *r)
{
	return r->at < r->s.n ? r->s.p[r->at] : 0;
}

static bool one_of(char c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

static void skip_space(struct reader *r)
{
	while (one_of(peek(r), " \t\r\n"))
		r->at++;
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (peek(r) != c || r->at >= r->s.n)
		return false;
	r->at++;
	return true;
}

/* Letters, digits and what else may stand in names and keywords. */
static struct ar_str word(struct reader *r)
{
	size_t from;

	skip_space(r);
	from = r->at;
	while (peek(r) != 0 && !one_of(peek(r), " \t\r\n,{}'#=:|"))
		r->at++;
	return ar_str_sub(r->s, from, r->at - from);
}

/* ---- text, with apostrophes ---- */

/* After an apostrophe: '' is one; before { } (and # in a plural) it quotes to the next one. */
static void quoted(struct reader *r, struct ar_buf *buf, bool plural)
{
	char c;

	r->at++;
	c = peek(r);
	if (c == '\'') {
		ar_buf_char(buf, '\'');
		r->at++;
		return;
	}
	if (c != '{' && c != '}' && !(plural && c == '#')) {
		ar_buf_char(buf, '\'');
		return;
	}
	while (r->at < r->s.n) {
		c = r->s.p[r->at++];
		if (c != '\'') {
			ar_buf_char(buf, c);
		} else if (peek(r) == '\'') {
			ar_buf_char(buf, '\'');
			r->at++;
		} else {
			return;
		}
	}
}

static struct ar_str text(struct reader *r, bool plural)
{
	struct ar_buf *buf = ar_buf_new(r->pool, I18N_TEXT_MAX);

	while (r->at < r->s.n) {
		char c = r->s.p[r->at];

		if (c == '{' || c == '}' || (plural && c == '#'))
			break;
		if (c == '\'') {
			quoted(r, buf, plural);
		} else {
			ar_buf_char(buf, c);
			r->at++;
		}
	}
	return ar_buf_view(buf);
}

/* ---- arguments ---- */

static int message(struct reader *r, bool plural, bool inner, struct i18n_piece **ret);

static int number_of(struct reader *r, double *ret)
{
	struct ar_str w = word(r);

	return ar_str_float(w, ret) ? 0 : refuse(r, "a number is wanted");
}

static int case_read(struct reader *r, struct i18n_piece *piece, struct i18n_case *one)
{
	bool plural = piece->kind != PIECE_SELECT;

	if (plural && take(r, '=')) {
		one->exact = true;
		if (number_of(r, &one->number) != 0)
			return -1;
	} else {
		one->key = word(r);
		if (one->key.n == 0)
			return refuse(r, "a keyword is wanted");
	}
	if (!take(r, '{'))
		return refuse(r, "{ is wanted");
	return message(r, plural, true, &one->first);
}

static int offset_read(struct reader *r, int64_t *ret)
{
	struct ar_str w = word(r);

	if (!ar_str_int(w, ret) || *ret < -OFFSET_MAX || *ret > OFFSET_MAX)
		return refuse(r, "the offset is a whole number up to 1000000");
	return 0;
}

static bool twice(const struct i18n_piece *piece, const struct i18n_case *one)
{
	for (const struct i18n_case *c = piece->cases; c != NULL; c = c->next)
		if (c->exact == one->exact &&
		    (one->exact ? c->number == one->number : ar_str_eq(c->key, one->key)))
			return true;
	return false;
}

static int cases_read(struct reader *r, struct i18n_piece *piece)
{
	struct i18n_case **last = &piece->cases;
	bool other = false;
	size_t start;

	skip_space(r);
	start = r->at;
	if (piece->kind != PIECE_SELECT && ar_str_is(word(r), "offset") && take(r, ':')) {
		if (offset_read(r, &piece->offset) != 0)
			return -1;
	} else {
		r->at = start;
	}
	for (skip_space(r); peek(r) != '}'; skip_space(r)) {
		struct i18n_case *one = ar_new(r->pool, struct i18n_case);

		if (r->at >= r->s.n)
			return refuse(r, "} is missing");
		if (case_read(r, piece, one) != 0)
			return -1;
		if (twice(piece, one))
			return refuse(r, "a case comes twice");
		other = other || ar_str_is(one->key, "other");
		*last = one;
		last = &one->next;
	}
	return other ? 0 : refuse(r, "the case other is missing");
}

static int kind_of(struct reader *r, struct ar_str name, enum i18n_piece_kind *ret)
{
	static const struct {
		const char *name;
		enum i18n_piece_kind kind;
	} kinds[] = { { "number", PIECE_NUMBER }, { "date", PIECE_DATE },
		      { "time", PIECE_TIME },     { "plural", PIECE_PLURAL },
		      { "select", PIECE_SELECT }, { "selectordinal", PIECE_ORDINAL } };

	for (size_t i = 0; i < AR_COUNT(kinds); i++)
		if (ar_str_is(name, kinds[i].name)) {
			*ret = kinds[i].kind;
			return 0;
		}
	return refuse(r, "not a kind of argument");
}

static int style_read(struct reader *r, struct i18n_piece *piece)
{
	size_t from;

	skip_space(r);
	from = r->at;
	while (r->at < r->s.n && r->s.p[r->at] != '}' && r->s.p[r->at] != '{')
		r->at++;
	piece->style = ar_str_trim(ar_str_sub(r->s, from, r->at - from));
	return piece->style.n > 0 ? 0 : refuse(r, "a style is wanted");
}

static int argument(struct reader *r, struct i18n_piece *piece)
{
	piece->kind = PIECE_SIMPLE;
	piece->text = word(r);
	if (piece->text.n == 0)
		return refuse(r, "a name is wanted");
	if (take(r, ',')) {
		if (kind_of(r, word(r), &piece->kind) != 0)
			return -1;
		if (piece->kind >= PIECE_PLURAL) {
			if (!take(r, ','))
				return refuse(r, ", is wanted");
			if (cases_read(r, piece) != 0)
				return -1;
		} else if (take(r, ',') && style_read(r, piece) != 0) {
			return -1;
		}
	}
	return take(r, '}') ? 0 : refuse(r, "} is wanted");
}

static int piece_read(struct reader *r, bool plural, struct i18n_piece *piece)
{
	if (plural && peek(r) == '#') {
		piece->kind = PIECE_HASH;
		r->at++;
		return 0;
	}
	if (peek(r) == '{') {
		if (++r->args > ARGS_MAX)
			return refuse(r, "too many arguments");
		r->at++;
		return argument(r, piece);
	}
	piece->kind = PIECE_TEXT;
	piece->text = text(r, plural);
	return 0;
}

/* Up to the end, or as an inner message up to its }. */
static int message(struct reader *r, bool plural, bool inner, struct i18n_piece **ret)
{
	struct i18n_piece **last = ret;

	if (++r->depth > DEPTH_MAX)
		return refuse(r, "too deep");
	while (r->at < r->s.n && peek(r) != '}') {
		struct i18n_piece *piece = ar_new(r->pool, struct i18n_piece);

		if (piece_read(r, plural, piece) != 0)
			return -1;
		*last = piece;
		last = &piece->next;
	}
	r->depth--;
	if (inner)
		return r->at < r->s.n ? (r->at++, 0) : refuse(r, "} is missing");
	return r->at == r->s.n ? 0 : refuse(r, "} without {");
}

int i18n_pattern_read(struct ar_pool *pool, struct ar_str s, struct i18n_piece **ret)
{
	struct reader r = { .pool = pool, .s = s };

	if (s.n > I18N_TEXT_MAX)
		return ar_fail(AR_E_TOO_LARGE);
	*ret = NULL;
	return message(&r, false, false, ret);
}
