/*
 * i18n_int.h - what the files of i18n share.
 */
#ifndef I18N_INT_H
#define I18N_INT_H

#include "action/action.h"
#include "action/list.h"
#include "i18n/i18n.h"

extern const struct ar_err_def I18N_E_PATTERN[1];    /* 422 i18n/pattern: position, reason */
extern const struct ar_err_def I18N_E_NO_MESSAGE[1]; /* 404 i18n/no-message: key */
extern const struct ar_err_def I18N_E_ARGUMENT[1];   /* 422 i18n/argument: name, reason */

#define I18N_TEXT_MAX  16384 /* bytes of a message */
#define I18N_CHAIN_MAX 24

/* ---- icu.c: NULL or empty texts mean "none"; results are the pool's ---- */

bool i18n_locale_valid(struct ar_str locale); /* BCP 47, known in form */
/* As BCP 47 writes it: "ZH-cn" is "zh-CN". The text itself when it is no locale. */
struct ar_str i18n_locale_canonical(struct ar_pool *pool, struct ar_str locale);
/*
 * Where to look next: "zh-Hant-TW" gives "zh-Hant", "zh-TW" too, "de-AT" gives "de-Latn" and that "de".
 * Empty at the end, and rather than change the script: "zh-Hant" has no parent, "zh" is written
 * in another one.
 */
struct ar_str i18n_locale_parent(struct ar_pool *pool, struct ar_str locale);
bool i18n_zone_valid(struct ar_pool *pool, struct ar_str zone);
bool i18n_currency_valid(struct ar_str code);

/* skeleton: ICU's number skeleton, "" for the plain form. -1 with I18N_E_ARGUMENT. */
int i18n_number(struct ar_pool *pool, struct ar_str locale, struct ar_str skeleton,
		const struct ar_json *value, struct ar_str *ret);
enum i18n_style { I18N_NONE, I18N_SHORT, I18N_MEDIUM, I18N_LONG, I18N_FULL };
struct i18n_moment {
	int64_t ms;
	bool day;                   /* a date alone: the same day in every zone */
	struct ar_str zone;         /* empty: UTC */
	enum i18n_style date, time; /* unless a skeleton is given */
	struct ar_str skeleton;     /* "yMMMd" */
};
int i18n_date(struct ar_pool *pool, struct ar_str locale, const struct i18n_moment *moment,
	      struct ar_str *ret);
/* "one", "other"...: of value in locale, for counting or for order. */
int i18n_plural(struct ar_pool *pool, struct ar_str locale, bool ordinal, double value,
		struct ar_str *ret);

/* ---- pattern.c: MessageFormat as a tree ---- */

enum i18n_piece_kind {
	PIECE_TEXT,
	PIECE_HASH,
	PIECE_SIMPLE,
	PIECE_NUMBER,
	PIECE_DATE,
	PIECE_TIME,
	PIECE_PLURAL,
	PIECE_ORDINAL,
	PIECE_SELECT,
};
struct i18n_piece {
	enum i18n_piece_kind kind;
	struct ar_str text;  /* the literal; the argument's name */
	struct ar_str style; /* of number, date, time */
	int64_t offset;      /* of plurals */
	struct i18n_case {
		struct ar_str key; /* "=1" for an exact number: exact is set then */
		bool exact;
		double number;
		struct i18n_piece *first;
		struct i18n_case *next;
	} * cases;
	struct i18n_piece *next;
};
/* Pieces and texts live in pool and in text. I18N_E_PATTERN. */
int i18n_pattern_read(struct ar_pool *pool, struct ar_str text, struct i18n_piece **ret);

/* ---- compose.c ---- */

/* Writes a message with its arguments (an object, or NULL). */
int i18n_compose(struct ar_pool *pool, struct ar_str locale, struct ar_str zone,
		 const struct i18n_piece *pieces, const struct ar_json *args, struct ar_buf *out);
/* Styles and skeletons of all pieces, tried out. I18N_E_ARGUMENT. */
int i18n_check(struct ar_pool *pool, struct ar_str locale, const struct i18n_piece *pieces);
/* RFC 3339 text, a date, or milliseconds. Sets ms and day. */
bool i18n_time_of(const struct ar_json *value, struct i18n_moment *ret);
bool i18n_style_of(struct ar_str name, enum i18n_style *ret);

/* ---- locale.c ---- */

/*
 * Where to look for a message: what the caller names, else what its Accept-Language says, in that
 * order; behind each what it falls back to, at last the default. chain has I18N_CHAIN_MAX places;
 * *ret_asked is the locale that the caller would like best.
 */
AR_YIELDS int i18n_chain(struct ar_call *call, struct ar_str *chain, size_t *ret_n,
			 struct ar_str *ret_asked);
struct ar_str i18n_locale_in(struct ar_call *call); /* the input "locale", canonical */
AR_YIELDS int i18n_locales_get(struct ar_call *call);
AR_YIELDS int i18n_locales_put(struct ar_call *call);
extern struct ar_tenant_slot i18n_slot;
int i18n_changes(struct ar_call *call);

/* ---- message.c, format.c ---- */

AR_YIELDS int i18n_message_list(struct ar_call *call);
AR_YIELDS int i18n_message_get(struct ar_call *call);
AR_YIELDS int i18n_message_put(struct ar_call *call);
AR_YIELDS int i18n_messages_put(struct ar_call *call);
AR_YIELDS int i18n_message_delete(struct ar_call *call);
AR_YIELDS int i18n_translate(struct ar_call *call);
AR_YIELDS int i18n_format(struct ar_call *call);

#endif
