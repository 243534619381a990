/*
 * remember.h - what the tenant slot of i18n remembers, for locale.c and message.c.
 */
#ifndef I18N_REMEMBER_H
#define I18N_REMEMBER_H

#include "i18n/i18n_int.h"

struct i18n_remembered {
	struct ar_pool *pool;
	struct ar_str otherwise;  /* the default locale */
	struct ar_map *fallbacks; /* locale: its fallback, heap text, "" for none */
	struct ar_map *messages;  /* "locale key": heap text; "" when there is none */
};
/* Valid until the call's pool ends. */
AR_YIELDS int i18n_remembered_get(struct ar_call *call, struct i18n_remembered **ret);

#endif
