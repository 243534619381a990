/*
 * config.h - one table of settings, and where their values come from.
 *
 * Sources, each overriding the one before: the default in the table, the file (--config, or
 * apprun.json in the data folder), the environment (APPRUN_NAME, dashes as underscores), the command
 * line (--name value, --name=value, --no-name and --name for switches). A name that is not in the
 * table or a value that does not fit ends the start with a message that names source and setting.
 * After ar_config_load() nothing changes any more: reading is safe on every thread.
 */
#ifndef AR_CONFIG_H
#define AR_CONFIG_H

#include "base/base.h"

enum ar_setting_type {
	AR_SET_TEXT,
	AR_SET_INT,
	AR_SET_SIZE,   /* bytes: 65536, 64k, 16m, 1g (powers of 1024) */
	AR_SET_BOOL,   /* true, false, yes, no, on, off, 1, 0 */
	AR_SET_CHOICE, /* one of `choices` */
	AR_SET_CIDRS,  /* addresses or networks, with commas between */
};

struct ar_setting {
	const char *name; /* "body-max" */
	enum ar_setting_type type;
	const char *otherwise; /* the default, as text */
	int64_t min, max;      /* of numbers; of the length of texts when max is not 0 */
	bool secret; /* never printed; also read from the file that APPRUN_NAME_FILE names */
	const char *choices;               /* "error warn info debug" */
	bool (*good)(struct ar_str value); /* a further check of a text; may be NULL */
	const char *must;                  /* what `good` asks for: "must be ..." */
	const char *help;
};
extern const struct ar_setting ar_settings[]; /* ends with a zero row */

/*
 * Reads all sources. argv: without the program's name and the command; options are taken out of
 * it and what remains is moved to the front, *argc says how much. env: as environ. strict: an
 * option that is not in the table is an error; otherwise it stays for the caller, who has options
 * of its own. "--" ends options. -1: message holds one English line for the operator.
 */
int ar_config_load(int *argc, char **argv, char *const *env, bool strict, struct ar_buf *message);
void ar_config_reset(void); /* back to the defaults: for tests */

/* A name that is not in the table, or one of another type, is a bug and asserts. */
struct ar_str ar_config_str(const char *name); /* TEXT, CHOICE, CIDRS; lives until a reset */
const char *ar_config_strz(const char *name);
int64_t ar_config_int(const char *name); /* INT, SIZE */
bool ar_config_bool(const char *name);

void ar_config_help(struct ar_buf *out); /* the table, for people */
void ar_config_show(struct ar_buf *out); /* the values that count, with their sources; no secrets */

#endif
