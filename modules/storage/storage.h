/*
 * storage.h - what other modules may ask of storage. Everything else goes through its actions.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include "action/action.h"

extern const struct ar_module storage_module;

#endif
