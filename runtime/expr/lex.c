/*
 * lex.c - text to tokens.
 *
 * The text is valid UTF-8 without NUL (the parser checked). Every token knows its byte offset.
 * Texts are unescaped into the pool only when they hold an escape. Names keep their bytes; a
 * character outside of ASCII is part of a name.
 */
#include "expr/expr_int.h"

int lex_fail(struct ar_str text, size_t at, const char *reason)
{
	char position[24];
	struct ar_buf buf AR_CLEANUP(ar_buf_done);

	ar_buf_init(&buf, sizeof(position) - 1);
	ar_buf_int(&buf, (int64_t)ar_utf8_len(ar_str_n(text.p, AR_MIN(at, text.n))) + 1);
	memcpy(position, buf.p, buf.n);
	position[buf.n] = '\0';
	return ar_fail(AR_E_EXPR_SYNTAX, "position", position, "reason", reason);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool is_name(char c)
{
	return is_name_start(c) || is_digit(c);
}

static char look(const struct lexer *lexer, size_t ahead)
{
	size_t at = lexer->at + ahead;

	return at < lexer->text.n ? lexer->text.p[at] : '\0';
}

static int lex_text_into(struct lexer *lexer, struct ar_str *ret)
{
	char quote = look(lexer, 0);
	size_t start = lexer->at;
	bool escaped = false;

	for (lexer->at++; look(lexer, 0) != quote; lexer->at++) {
		if (lexer->at >= lexer->text.n)
			return lex_fail(lexer->text, start, "text-open");
		if (look(lexer, 0) == '\\') {
			escaped = true;
			lexer->at++;
		}
	}
	*ret = ar_str_n(lexer->text.p + start + 1, lexer->at - start - 1);
	lexer->at++;
	if (!escaped)
		return 0;
	char *out = ar_alloc(lexer->pool, ret->n + 1);
	size_t n = 0;

	for (size_t i = 0; i < ret->n; i++) {
		char c = ret->p[i];

		if (c != '\\') {
			out[n++] = c;
			continue;
		}
		c = ret->p[++i];
		if (c == 'n')
			out[n++] = '\n';
		else if (c == 't')
			out[n++] = '\t';
		else if (c == '\\' || c == '\'' || c == '"')
			out[n++] = c;
		else if (c == '%') { /* kept: ~ reads it as a percent sign */
			out[n++] = '\\';
			out[n++] = '%';
		} else
			return lex_fail(lexer->text, start + i, "escape");
	}
	*ret = ar_str_n(out, n);
	return 0;
}

static const struct unit {
	const char *name;
	int64_t ms;
} units[] = {
	{ "ms", 1 },      { "s", 1000 },     { "m", 60000 },
	{ "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 },
};

/* 1d12h: digits and units, until the name characters end. */
static int lex_duration(struct lexer *lexer, size_t start, bool negative)
{
	int64_t total = 0;

	lexer->at = start + negative;
	while (is_name(look(lexer, 0))) {
		size_t from = lexer->at, unit_at;
		int64_t n, ms = 0;

		while (is_digit(look(lexer, 0)))
			lexer->at++;
		unit_at = lexer->at;
		while (is_name_start(look(lexer, 0)))
			lexer->at++;
		struct ar_str unit = ar_str_n(lexer->text.p + unit_at, lexer->at - unit_at);

		for (size_t i = 0; i < AR_COUNT(units); i++)
			if (ar_str_is(unit, units[i].name))
				ms = units[i].ms;
		if (ms == 0)
			return lex_fail(lexer->text, start, "number");
		if (!ar_str_int(ar_str_n(lexer->text.p + from, unit_at - from), &n) ||
		    n > INT64_C(1000000000000000) / ms ||
		    total + n * ms > INT64_C(1000000000000000))
			return lex_fail(lexer->text, start, "number-range");
		total += n * ms;
	}
	lexer->now.kind = T_LITERAL;
	lexer->now.type = AR_X_DURATION;
	lexer->now.value = AR_J_INT(negative ? -total : total);
	return 0;
}

/* start may be the minus sign before it. */
static int lex_number_from(struct lexer *lexer, size_t start)
{
	bool fraction = false, negative = lexer->text.p[start] == '-';

	while (is_digit(look(lexer, 0)))
		lexer->at++;
	if (look(lexer, 0) == '.' && is_digit(look(lexer, 1))) {
		fraction = true;
		for (lexer->at++; is_digit(look(lexer, 0));)
			lexer->at++;
	}
	char sign = look(lexer, 1);

	if ((look(lexer, 0) == 'e' || look(lexer, 0) == 'E') &&
	    (is_digit(sign) || ((sign == '+' || sign == '-') && is_digit(look(lexer, 2))))) {
		fraction = true;
		for (lexer->at += 2; is_digit(look(lexer, 0));)
			lexer->at++;
	}
	if (is_name_start(look(lexer, 0)))
		return fraction ? lex_fail(lexer->text, start, "number")
				: lex_duration(lexer, start, negative);
	struct ar_str s = ar_str_n(lexer->text.p + start, lexer->at - start);
	struct token *token = &lexer->now;

	token->kind = T_LITERAL;
	if (!fraction) {
		int64_t i;

		if (!ar_str_int(s, &i))
			return lex_fail(lexer->text, start, "number-range");
		token->type = AR_X_INT;
		token->value = AR_J_INT(i);
		return 0;
	}
	double f;

	if (!ar_str_float(s, &f))
		return lex_fail(lexer->text, start, "number-range");
	token->type = AR_X_FLOAT;
	token->value = AR_J_FLOAT(f);
	return 0;
}

/* name.name.0['any text'][1]: parts of a path. */
static int lex_parts(struct lexer *lexer)
{
	struct token *token = &lexer->now;
	size_t start = lexer->at;

	token->kind = T_PATH;
	token->nparts = 0;
	if (look(lexer, 0) == '@')
		lexer->at++;
	for (;;) {
		while (is_name(look(lexer, 0)))
			lexer->at++;
		token->parts[token->nparts++] = ar_str_n(lexer->text.p + start, lexer->at - start);
		while (look(lexer, 0) == '[') {
			if (token->nparts == AR_COUNT(token->parts))
				return lex_fail(lexer->text, start, "path-long");
			char c = look(lexer, 1);
			struct ar_str *part = &token->parts[token->nparts];

			lexer->at++;
			start = lexer->at;
			if (c == '\'' || c == '"') {
				if (lex_text_into(lexer, part) != 0)
					return -1;
			} else {
				while (is_digit(look(lexer, 0)))
					lexer->at++;
				*part = ar_str_n(lexer->text.p + start, lexer->at - start);
			}
			if (part->n == 0 || look(lexer, 0) != ']')
				return lex_fail(lexer->text, start, "path-index");
			lexer->at++;
			token->nparts++;
		}
		if (look(lexer, 0) != '.' || !is_name(look(lexer, 1)))
			break;
		if (token->nparts == AR_COUNT(token->parts))
			return lex_fail(lexer->text, start, "path-long");
		start = ++lexer->at;
	}
	if (look(lexer, 0) == '.')
		return lex_fail(lexer->text, lexer->at, "path-end");
	return 0;
}

static int lex_name(struct lexer *lexer)
{
	struct token *token = &lexer->now;

	if (lex_parts(lexer) != 0)
		return -1;
	if (token->nparts != 1)
		return 0;
	struct ar_str name = token->parts[0];

	if (look(lexer, 0) == '(' && !ar_str_is(name, "in")) {
		token->kind = T_NAME;
		token->name = name;
		return 0;
	}
	if (ar_str_is(name, "true") || ar_str_is(name, "false")) {
		token->kind = T_LITERAL;
		token->type = AR_X_BOOL;
		token->value = AR_J_BOOL(name.p[0] == 't');
	} else if (ar_str_is(name, "null")) {
		token->kind = T_LITERAL;
		token->type = AR_X_NULL;
		token->value = AR_J_NULL;
	} else if (ar_str_is(name, "in")) {
		token->kind = T_IN;
	}
	return 0;
}

static int lex_param(struct lexer *lexer)
{
	size_t start = lexer->at;

	lexer->at += 2; /* {: */
	size_t from = lexer->at;

	while (is_name(look(lexer, 0)))
		lexer->at++;
	lexer->now.kind = T_PARAM;
	lexer->now.name = ar_str_n(lexer->text.p + from, lexer->at - from);
	if (lexer->now.name.n == 0 || look(lexer, 0) != '}')
		return lex_fail(lexer->text, start, "param");
	lexer->at++;
	return 0;
}

static const struct sign {
	const char *text;
	enum token_kind kind;
	enum op op;
} signs[] = {
	/* longer ones first */
	{ "?!=", T_ANY_OP, OP_NE }, { "?>=", T_ANY_OP, OP_GE },
	{ "?<=", T_ANY_OP, OP_LE }, { "?!~", T_ANY_OP, OP_NOT_LIKE },
	{ "?=", T_ANY_OP, OP_EQ },  { "?>", T_ANY_OP, OP_GT },
	{ "?<", T_ANY_OP, OP_LT },  { "?~", T_ANY_OP, OP_LIKE },
	{ "&&", T_AND, 0 },         { "||", T_OR, 0 },
	{ "!=", T_OP, OP_NE },      { "!~", T_OP, OP_NOT_LIKE },
	{ ">=", T_OP, OP_GE },      { "<=", T_OP, OP_LE },
	{ "=", T_OP, OP_EQ },       { ">", T_OP, OP_GT },
	{ "<", T_OP, OP_LT },       { "~", T_OP, OP_LIKE },
	{ "+", T_OP, OP_ADD },      { "-", T_OP, OP_SUB },
	{ "*", T_OP, OP_MUL },      { "/", T_OP, OP_DIV },
	{ "!", T_NOT, 0 },          { "(", T_OPEN, 0 },
	{ ")", T_CLOSE, 0 },        { ",", T_COMMA, 0 },
};

static int lex_sign(struct lexer *lexer)
{
	struct ar_str rest = ar_str_sub(lexer->text, lexer->at, lexer->text.n);

	for (size_t i = 0; i < AR_COUNT(signs); i++) {
		if (!ar_str_starts(rest, ar_str(signs[i].text)))
			continue;
		lexer->now.kind = signs[i].kind;
		lexer->now.op = signs[i].op;
		lexer->at += ar_str(signs[i].text).n;
		return 0;
	}
	return lex_fail(lexer->text, lexer->at, "character");
}

bool lex_is_negative(const struct lexer *lexer)
{
	return lexer->now.kind == T_OP && lexer->now.op == OP_SUB && is_digit(look(lexer, 0));
}

int lex_negative(struct lexer *lexer)
{
	return lex_number_from(lexer, lexer->now.at);
}

int lex_next(struct lexer *lexer)
{
	while (strchr(" \t\r\n", look(lexer, 0)) != NULL && lexer->at < lexer->text.n)
		lexer->at++;
	char c = look(lexer, 0);

	lexer->now = (struct token){ .kind = T_END, .at = (unsigned)lexer->at };
	if (lexer->at >= lexer->text.n)
		return 0;
	if (is_digit(c))
		return lex_number_from(lexer, lexer->at);
	if (c == '\'' || c == '"') {
		struct ar_str s;

		if (lex_text_into(lexer, &s) != 0)
			return -1;
		lexer->now.kind = T_LITERAL;
		lexer->now.type = AR_X_TEXT;
		lexer->now.value = AR_J_STR(s);
		return 0;
	}
	if (is_name_start(c) || (c == '@' && is_name_start(look(lexer, 1))))
		return lex_name(lexer);
	if (c == '{' && look(lexer, 1) == ':')
		return lex_param(lexer);
	return lex_sign(lexer);
}
