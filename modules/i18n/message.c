/*
 * message.c - messages by locale and key: put, list, delete, translate.
 */
#include "i18n/i18n_int.h"

#include "i18n/remember.h"

#define REMEMBERED_MAX 50000 /* messages, found or not; beyond it the store is asked each time */

AR_YIELDS int i18n_message_list(struct ar_call *call)
{
	static const struct ar_list_column columns[] = {
		{ .name = "key" },
		{ .name = "text" },
		{ .name = "updated", .type = AR_LIST_TIME },
		{ 0 },
	};
	static const struct ar_list_table table = { "i18n_messages", columns, "key" };

	return ar_list_table(call, &table, "locale = ?", AR_ARGS(AR_J_STR(i18n_locale_in(call))));
}

static int message_reply(struct ar_call *call, struct ar_str locale, struct ar_str key,
			 struct ar_str text)
{
	struct ar_jw *w = ar_reply_json(call, 0);

	ar_jw_object(w);
	ar_jw_keyz(w, "locale");
	ar_jw_str(w, locale);
	ar_jw_keyz(w, "key");
	ar_jw_str(w, key);
	ar_jw_keyz(w, "text");
	ar_jw_str(w, text);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int i18n_message_get(struct ar_call *call)
{
	struct ar_str locale = i18n_locale_in(call), key = ar_in_str(call, "key");
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT text FROM i18n_messages WHERE locale = ? AND key = ?",
		     AR_ARGS(AR_J_STR(locale), AR_J_STR(key))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return ar_fail(AR_E_NOT_FOUND, "what", "message");
	return message_reply(call, locale, key, ar_col_str(&rows, 0));
}

AR_YIELDS static int message_write(struct ar_call *call, struct ar_str locale, struct ar_str key,
				   struct ar_str text)
{
	struct i18n_piece *pieces;

	if (i18n_pattern_read(call->pool, text, &pieces) != 0)
		return ar_err_is(I18N_E_PATTERN)
			       ? ar_fail_over(I18N_E_PATTERN, "key", ar_strz(call->pool, key),
					      "position", ar_err_param(ar_err(), "position"),
					      "reason", ar_err_param(ar_err(), "reason"))
			       : -1;
	if (i18n_check(call->pool, locale, pieces) != 0)
		return -1;
	return ar_exec(
		&call->scope,
		"INSERT INTO i18n_messages (locale, key, text, updated) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (locale, key) DO UPDATE SET text = excluded.text, "
		"updated = excluded.updated",
		AR_ARGS(AR_J_STR(locale), AR_J_STR(key), AR_J_STR(text), AR_J_INT(ar_now_ms())),
		NULL);
}

AR_YIELDS int i18n_message_put(struct ar_call *call)
{
	struct ar_str locale = i18n_locale_in(call), key = ar_in_str(call, "key");
	struct ar_str text = ar_in_str(call, "text");

	if (message_write(call, locale, key, text) != 0 || i18n_changes(call) != 0)
		return -1;
	return message_reply(call, locale, key, text);
}

/* {"key": "text", ...}: all of them, or none when one is not right. */
AR_YIELDS int i18n_messages_put(struct ar_call *call)
{
	const struct ar_json *messages = ar_in(call, "messages");
	struct ar_str locale = i18n_locale_in(call);
	struct ar_jw *w;

	ar_json_each (m, messages) {
		if (m->key.n == 0 || ar_utf8_len(m->key) > 200)
			return ar_fail_field("messages", "characters");
		const char *path = ar_printf(call->pool, "messages.%.*s", AR_FMT(m->key));

		if (m->type != AR_STRING)
			return ar_fail_field(path, "type", "type", "string");
		if (m->s.n == 0)
			return ar_fail_field(path, "required");
		if (message_write(call, locale, m->key, m->s) != 0)
			return -1;
	}
	if (i18n_changes(call) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "count");
	ar_jw_int(w, messages->count);
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int i18n_message_delete(struct ar_call *call)
{
	int64_t changed = 0;

	if (ar_exec(&call->scope, "DELETE FROM i18n_messages WHERE locale = ? AND key = ?",
		    AR_ARGS(AR_J_STR(i18n_locale_in(call)), AR_J_STR(ar_in_str(call, "key"))),
		    &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_NOT_FOUND, "what", "message");
	if (i18n_changes(call) != 0)
		return -1;
	return ar_reply_none(call);
}

/* ---- translate ---- */

AR_YIELDS static int text_find(struct ar_call *call, struct i18n_remembered *r,
			       struct ar_str locale, struct ar_str key, struct ar_str *ret)
{
	struct ar_str at = ar_strf(call->pool, "%.*s %.*s", AR_FMT(locale), AR_FMT(key));
	const char *known = ar_map_get(r->messages, at);
	struct ar_rows rows;

	if (known != NULL) {
		*ret = ar_str(known);
		return 0;
	}
	if (ar_query(&call->scope, &rows,
		     "SELECT text FROM i18n_messages WHERE locale = ? AND key = ?",
		     AR_ARGS(AR_J_STR(locale), AR_J_STR(key))) != 0)
		return -1;
	*ret = ar_rows_next(&rows) ? ar_col_str(&rows, 0) : AR_STR("");
	if (ar_map_count(r->messages) < REMEMBERED_MAX)
		ar_heap_free(ar_map_set(r->messages, at, ar_heap_strz(*ret)));
	return 0;
}

/* Numbers and dates of a message in "de" are written as "de-AT" does, when that was asked for. */
static struct ar_str format_locale(struct ar_pool *pool, struct ar_str found, struct ar_str asked)
{
	return ar_str_starts(asked, ar_strf(pool, "%.*s-", AR_FMT(found))) ? asked : found;
}

AR_YIELDS int i18n_translate(struct ar_call *call)
{
	struct ar_str key = ar_in_str(call, "key"), chain[I18N_CHAIN_MAX], text = AR_STR(""), asked;
	struct ar_buf *out = ar_buf_new(call->pool, (size_t)1 << 20);
	struct i18n_remembered *r;
	struct i18n_piece *pieces;
	size_t n, i;

	if (i18n_chain(call, chain, &n, &asked) != 0 || i18n_remembered_get(call, &r) != 0)
		return -1;
	for (i = 0; i < n; i++) {
		if (text_find(call, r, chain[i], key, &text) != 0)
			return -1;
		if (text.n > 0)
			break;
	}
	if (i == n)
		return ar_fail(I18N_E_NO_MESSAGE, "key", ar_strz(call->pool, key));
	if (i18n_pattern_read(call->pool, text, &pieces) != 0 ||
	    i18n_compose(call->pool, format_locale(call->pool, chain[i], asked),
			 ar_in_str(call, "timeZone"), pieces, ar_in(call, "args"), out) != 0)
		return -1;
	if (out->over)
		return ar_fail(AR_E_TOO_LARGE, "what", "message");
	return message_reply(call, chain[i], key, ar_buf_view(out));
}
