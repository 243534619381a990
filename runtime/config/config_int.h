/*
 * config_int.h - what the files of the config room share.
 */
#ifndef AR_CONFIG_INT_H
#define AR_CONFIG_INT_H

#include "config/config.h"

#define AR_SETTINGS_MAX 64

/* Checks a text against its row; a number's value goes to *ret_number. NULL, or why not. */
const char *ar_setting_check(const struct ar_setting *setting, struct ar_str value,
			     int64_t *ret_number, struct ar_pool *pool);

#endif
