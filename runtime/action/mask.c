/*
 * mask.c - what a record of a call must not show: in lists of runs, in logs of functions, in audits.
 *
 * Two ways find a secret. By name: a member that is called as some action's secret input is
 * ("password", also written "Password" or "pass_word"), or as the caller's own list says. By value: a
 * text that was found under such a name, wherever it turns up again ("the password 12345678 is
 * bad"). API keys are known by their form. What is masked becomes "***"; a value without secrets is
 * returned as it is, uncopied.
 */
#include "action/action_int.h"

#define NAMES_MAX 128
#define INSIDE    6 /* a shorter secret is looked for as a whole text only: "1" is everywhere */
#define KEY_CHARS 24

static const char *names[NAMES_MAX]; /* grows while actions are registered */
static size_t nnames;
static uint32_t initials; /* of names, a bit for each letter: most members are told apart by it */

/* Secret where its action takes it, and a word of everyday data elsewhere. */
static const char *const common[] = { "current" };

static void learn(const char *name)
{
	for (size_t i = 0; i < AR_COUNT(common); i++)
		if (strcmp(common[i], name) == 0)
			return;
	for (size_t i = 0; i < nnames; i++)
		if (strcmp(names[i], name) == 0)
			return;
	if (nnames == NAMES_MAX)
		return;
	names[nnames++] = name;
	initials |= 1u << (name[0] & 31);
}

void mask_learn(const struct ar_action *action)
{
	for (const struct ar_field *f = action->in; f != NULL && f->name != NULL; f++)
		if (f->secret)
			learn(f->name);
	learn("accessToken");
	learn("apiKey"); /* what callers of other systems send to functions */
	learn("xApiKey");
}

void mask_done(void)
{
	nnames = 0;
	initials = 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* "refresh_token" and "Refresh-Token" are refreshToken. */
static bool same_name(struct ar_str s, const char *name)
{
	size_t i = 0;

	for (; *name != '\0'; name++, i++) {
		while (i < s.n && (s.p[i] == '_' || s.p[i] == '-'))
			i++;
		if (i >= s.n || lower(s.p[i]) != lower(*name))
			return false;
	}
	return i == s.n;
}

static bool is_secret(const struct ar_json *member, const struct ar_json *more)
{
	if (member->key.n == 0 ||
	    (member->type != AR_STRING && member->type != AR_ARRAY && member->type != AR_OBJECT))
		return false;
	if (initials & 1u << (member->key.p[0] & 31) || member->key.p[0] == '_' ||
	    member->key.p[0] == '-')
		for (size_t i = 0; i < nnames; i++)
			if (same_name(member->key, names[i]))
				return true;
	return more != NULL && ar_json_get_str(more, member->key) != NULL;
}

static bool is_api_key(struct ar_str s)
{
	if (s.n < KEY_CHARS || !ar_str_starts(s, AR_STR("ark_")))
		return false;
	return memchr(s.p, ' ', s.n) == NULL;
}

static ptrdiff_t find(struct ar_str s, struct ar_str what)
{
	const char *at = s.n >= what.n ? memmem(s.p, s.n, what.p, what.n) : NULL;

	return at != NULL ? at - s.p : -1;
}

static bool shows(struct ar_str s, const struct ar_json *texts)
{
	if (is_api_key(s))
		return true;
	if (texts != NULL)
		ar_json_each (text, texts)
			if (text->s.n < INSIDE ? ar_str_eq(s, text->s) : find(s, text->s) >= 0)
				return true;
	return false;
}

static struct ar_str blot(struct ar_pool *pool, struct ar_str s, struct ar_str what)
{
	struct ar_buf *buf;
	ptrdiff_t at = find(s, what);

	if (at < 0)
		return s;
	buf = ar_buf_new(pool, s.n * 3 + 64);
	for (; at >= 0; at = find(s, what)) {
		ar_buf_add(buf, s.p, (size_t)at);
		ar_buf_z(buf, "***");
		s = ar_str_sub(s, (size_t)at + what.n, s.n);
	}
	ar_buf_str(buf, s);
	return ar_buf_view(buf);
}

static struct ar_str masked_text(struct ar_pool *pool, struct ar_str s, const struct ar_json *texts)
{
	if (is_api_key(s))
		return AR_STR("***");
	ar_json_each (text, texts) {
		if (text->s.n >= INSIDE)
			s = blot(pool, s, text->s);
		else if (ar_str_eq(s, text->s))
			return AR_STR("***");
	}
	return s;
}

static bool needs_mask(const struct ar_json *value, const struct ar_json *more,
		       const struct ar_json *texts)
{
	if (is_secret(value, more))
		return true;
	if (value->type == AR_STRING)
		return shows(value->s, texts);
	if (value->type != AR_ARRAY && value->type != AR_OBJECT)
		return false;
	ar_json_each (m, value)
		if (needs_mask(m, more, texts))
			return true;
	return false;
}

static struct ar_json *masked(struct ar_pool *pool, const struct ar_json *value,
			      const struct ar_json *more, const struct ar_json *texts)
{
	struct ar_json *copy;

	if (!needs_mask(value, more, texts)) {
		copy = ar_new(pool, struct ar_json);
		*copy = *value;
		copy->next = NULL;
		return copy;
	}
	if (is_secret(value, more))
		return ar_json_str(pool, AR_STR("***"));
	if (value->type == AR_STRING)
		return ar_json_str(pool, masked_text(pool, value->s, texts));
	copy = ar_json_new(pool, value->type);
	ar_json_each (m, value) {
		struct ar_json *member = masked(pool, m, more, texts);

		if (value->type == AR_OBJECT)
			ar_json_set(copy, m->key, member);
		else
			ar_json_add(copy, member);
	}
	return copy;
}

struct ar_json *ar_mask(struct ar_pool *pool, const struct ar_json *value,
			const struct ar_json *more, const struct ar_json *texts)
{
	static const struct ar_json none = { .type = AR_ARRAY };
	struct ar_json top;

	if (texts == NULL)
		texts = &none;
	top = *value;
	top.key = AR_STR_NONE; /* a name that the value has where it comes from is not its own */
	if (!needs_mask(&top, more, texts))
		return (struct ar_json *)value;
	return masked(pool, &top, more, texts);
}

void ar_mask_gather(struct ar_pool *pool, const struct ar_json *value, const struct ar_json *more,
		    struct ar_json *texts)
{
	bool secret = is_secret(value, more);

	if (value->type == AR_STRING && secret && value->s.n > 0)
		ar_json_add(texts, ar_json_str(pool, value->s));
	if (value->type != AR_ARRAY && value->type != AR_OBJECT)
		return;
	ar_json_each (m, value) {
		if (secret && m->type == AR_STRING && m->s.n > 0)
			ar_json_add(texts, ar_json_str(pool, m->s));
		else
			ar_mask_gather(pool, m, more, texts);
	}
}
