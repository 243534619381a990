/*
 * notify.h - messages to people. E-mail now; other channels join this module.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "action/action.h"

extern const struct ar_module notify_module;

#endif
