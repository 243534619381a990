/*
 * auth.h - what other modules may ask of auth. Everything else goes through its actions.
 */
#ifndef AUTH_H
#define AUTH_H

#include "action/action.h"

extern const struct ar_module auth_module;

#endif
