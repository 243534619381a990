/*
 * modules.h - all modules, in the order in which they start.
 */
#ifndef AR_MODULES_H
#define AR_MODULES_H

#include "action/action.h"

extern const struct ar_module *const ar_all_modules[]; /* ends with NULL */

#endif
