/*
 * function.h - what other modules may ask of functions. Everything else goes through its actions.
 */
#ifndef FUNCTION_H
#define FUNCTION_H

#include "action/action.h"

extern const struct ar_module function_module;

#endif
