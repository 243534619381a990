/*
 * i18n.h - what other modules may ask of i18n. Everything else goes through its actions.
 */
#ifndef I18N_H
#define I18N_H

#include "action/action.h"

extern const struct ar_module i18n_module;

#endif
