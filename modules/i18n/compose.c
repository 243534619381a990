/*
 * compose.c - a message's tree with arguments, as text. An argument that is not there stays as {name},
 * which is what ICU does and what a translator notices.
 */
#include "i18n/i18n_int.h"

struct composer {
	struct ar_pool *pool;
	struct ar_str locale, zone;
	const struct ar_json *args;
	struct ar_buf *out;
	struct ar_json number; /* what # stands for */
};

bool i18n_style_of(struct ar_str name, enum i18n_style *ret)
{
	static const char *const names[] = { "none", "short", "medium", "long", "full" };

	for (size_t i = 1; i < AR_COUNT(names); i++)
		if (ar_str_is(name, names[i])) {
			*ret = (enum i18n_style)i;
			return true;
		}
	return false;
}

bool i18n_time_of(const struct ar_json *value, struct i18n_moment *ret)
{
	ret->day = value->type == AR_STRING && ar_date_valid(value->s);
	/* Years 0001 to 9999: what RFC 3339 can say. */
	if (value->type == AR_INT && value->i >= -62135596800000 && value->i <= 253402300799999) {
		ret->ms = value->i;
		return true;
	}
	return value->type == AR_STRING && ar_time_parse(value->s, &ret->ms);
}

static int fail_name(struct composer *c, struct ar_str name, const char *reason)
{
	return ar_fail(I18N_E_ARGUMENT, "name", ar_strz(c->pool, name), "reason", reason);
}

static int pieces_write(struct composer *c, const struct i18n_piece *piece);

static int simple_write(struct composer *c, const struct ar_json *value)
{
	struct ar_str s;

	if (value->type == AR_STRING)
		return ar_buf_str(c->out, value->s);
	if (value->type == AR_INT || value->type == AR_FLOAT) {
		if (i18n_number(c->pool, c->locale, AR_STR(""), value, &s) != 0)
			return -1;
		return ar_buf_str(c->out, s);
	}
	return ar_json_write(c->out, value);
}

static int number_write(struct composer *c, const struct i18n_piece *piece,
			const struct ar_json *value)
{
	struct ar_str skeleton = AR_STR(""), s;

	if (ar_str_is(piece->style, "integer"))
		skeleton = AR_STR("precision-integer");
	else if (ar_str_is(piece->style, "percent"))
		skeleton = AR_STR("percent scale/100 precision-integer");
	else if (ar_str_starts(piece->style, AR_STR("::")))
		skeleton = ar_str_sub(piece->style, 2, piece->style.n);
	else if (piece->style.n > 0)
		return fail_name(c, piece->text,
				 "number styles are integer, percent or ::skeleton");
	if (i18n_number(c->pool, c->locale, skeleton, value, &s) != 0)
		return -1;
	return ar_buf_str(c->out, s);
}

static int date_write(struct composer *c, const struct i18n_piece *piece,
		      const struct ar_json *value)
{
	struct i18n_moment moment = { .zone = c->zone };
	enum i18n_style style = I18N_MEDIUM;
	struct ar_str s;

	if (!i18n_time_of(value, &moment))
		return fail_name(c, piece->text, "not a time");
	if (ar_str_starts(piece->style, AR_STR("::")))
		moment.skeleton = ar_str_sub(piece->style, 2, piece->style.n);
	else if (piece->style.n > 0 && !i18n_style_of(piece->style, &style))
		return fail_name(c, piece->text,
				 "styles are short, medium, long, full or ::skeleton");
	if (piece->kind == PIECE_DATE)
		moment.date = style;
	else
		moment.time = style;
	if (i18n_date(c->pool, c->locale, &moment, &s) != 0)
		return -1;
	return ar_buf_str(c->out, s);
}

static const struct i18n_case *case_find(const struct i18n_piece *piece, struct ar_str key)
{
	const struct i18n_case *other = NULL;

	for (const struct i18n_case *one = piece->cases; one != NULL; one = one->next) {
		if (!one->exact && ar_str_eq(one->key, key))
			return one;
		if (!one->exact && ar_str_is(one->key, "other"))
			other = one;
	}
	return other;
}

static int plural_write(struct composer *c, const struct i18n_piece *piece,
			const struct ar_json *value)
{
	struct ar_json outer = c->number;
	const struct i18n_case *found = NULL;
	struct ar_str keyword;
	double n;
	int failed;

	if (value->type != AR_INT && value->type != AR_FLOAT)
		return fail_name(c, piece->text, "not a number");
	n = value->type == AR_INT ? (double)value->i : value->f;
	for (const struct i18n_case *one = piece->cases; one != NULL && found == NULL;
	     one = one->next)
		if (one->exact && one->number == n)
			found = one;
	if (found == NULL) {
		if (i18n_plural(c->pool, c->locale, piece->kind == PIECE_ORDINAL,
				n - (double)piece->offset, &keyword) != 0)
			return -1;
		found = case_find(piece, keyword);
	}
	c->number = AR_J_INT(0);
	if (value->type != AR_INT || __builtin_sub_overflow(value->i, piece->offset, &c->number.i))
		c->number = AR_J_FLOAT(n - (double)piece->offset);
	failed = pieces_write(c, found->first);
	c->number = outer;
	return failed;
}

static int select_write(struct composer *c, const struct i18n_piece *piece,
			const struct ar_json *value)
{
	struct ar_str key = value->type == AR_STRING ? value->s : ar_json_print(c->pool, value);

	return pieces_write(c, case_find(piece, key)->first);
}

static int piece_write(struct composer *c, const struct i18n_piece *piece)
{
	const struct ar_json *value = NULL;

	if (piece->kind == PIECE_TEXT)
		return ar_buf_str(c->out, piece->text);
	if (piece->kind == PIECE_HASH)
		return simple_write(c, &c->number);
	if (c->args != NULL)
		value = ar_json_get_str(c->args, piece->text);
	if (value == NULL)
		return ar_buf_printf(c->out, "{%.*s}", AR_FMT(piece->text));
	switch (piece->kind) {
	case PIECE_NUMBER:
		return number_write(c, piece, value);
	case PIECE_DATE:
	case PIECE_TIME:
		return date_write(c, piece, value);
	case PIECE_PLURAL:
	case PIECE_ORDINAL:
		return plural_write(c, piece, value);
	case PIECE_SELECT:
		return select_write(c, piece, value);
	default:
		return simple_write(c, value);
	}
}

static int pieces_write(struct composer *c, const struct i18n_piece *piece)
{
	for (; piece != NULL; piece = piece->next)
		if (piece_write(c, piece) != 0)
			return -1;
	return 0;
}

int i18n_compose(struct ar_pool *pool, struct ar_str locale, struct ar_str zone,
		 const struct i18n_piece *pieces, const struct ar_json *args, struct ar_buf *out)
{
	struct composer c = {
		.pool = pool, .locale = locale, .zone = zone, .args = args, .out = out
	};

	return pieces_write(&c, pieces);
}

/* ---- trying out ---- */

static int pieces_check(struct composer *c, const struct i18n_piece *piece)
{
	const struct ar_json sample = AR_J_INT(1);

	for (; piece != NULL; piece = piece->next) {
		if (piece->kind == PIECE_NUMBER && number_write(c, piece, &sample) != 0)
			return -1;
		if ((piece->kind == PIECE_DATE || piece->kind == PIECE_TIME) &&
		    date_write(c, piece, &sample) != 0)
			return -1;
		for (const struct i18n_case *one = piece->cases; one != NULL; one = one->next)
			if (pieces_check(c, one->first) != 0)
				return -1;
	}
	return 0;
}

int i18n_check(struct ar_pool *pool, struct ar_str locale, const struct i18n_piece *pieces)
{
	struct composer c = { .pool = pool, .locale = locale, .out = ar_buf_new(pool, 1 << 20) };

	return pieces_check(&c, pieces);
}
