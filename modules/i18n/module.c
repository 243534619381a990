/*
 * module.c - the tables of i18n.
 */
#include "i18n/i18n_int.h"

const struct ar_err_def I18N_E_PATTERN[1] = { { "i18n/pattern", 422 } };
const struct ar_err_def I18N_E_NO_MESSAGE[1] = { { "i18n/no-message", 404 } };
const struct ar_err_def I18N_E_ARGUMENT[1] = { { "i18n/argument", 422 } };
static const struct ar_err_def *const errors[] = { I18N_E_PATTERN, I18N_E_NO_MESSAGE,
						   I18N_E_ARGUMENT, NULL };

static const char *locale_rule(const struct ar_field *field, const struct ar_json *value)
{
	return value->s.n == 0 || i18n_locale_valid(value->s) ? NULL : "locale";
}

#define LOCALE(name, ...)                                                                          \
	AR_FIELD_FREE(name, AR_F_TEXT, .max = 35, .check = locale_rule, __VA_ARGS__)
#define KEY  AR_FIELD_FREE("key", AR_F_TEXT, .min = 1, .max = 200, .required = true)
#define ZONE AR_FIELD_FREE("timeZone", AR_F_TEXT, .max = 64, .help = "IANA name; not given: UTC")

static const struct ar_field locale_fields[] = {
	LOCALE("locale", .min = 2, .required = true),
	LOCALE("fallback", .help = "where to look next; not given: its parent"),
	AR_FIELD_FREE("default", AR_F_BOOL),
	{ 0 },
};
static const struct ar_field locales_fields[] = {
	AR_FIELD_FREE("locales", AR_F_ARRAY, .min = 1, .max = 500, .required = true,
		      .items = AR_ITEM(AR_F_OBJECT, .fields = locale_fields)),
	{ 0 },
};
static const struct ar_field list_in[] = { LOCALE("locale", .min = 2, .required = true), { 0 } };
static const struct ar_field key_in[] = { LOCALE("locale", .min = 2, .required = true),
					  KEY,
					  { 0 } };
static const struct ar_field message_in[] = {
	LOCALE("locale", .min = 2, .required = true),
	KEY,
	AR_FIELD_FREE("text", AR_F_TEXT, .min = 1, .max = I18N_TEXT_MAX, .required = true,
		      .help = "ICU MessageFormat"),
	{ 0 },
};
static const struct ar_field messages_in[] = {
	LOCALE("locale", .min = 2, .required = true),
	AR_FIELD_FREE("messages", AR_F_OBJECT, .min = 1, .max = 5000, .required = true,
		      .help = "text by key"),
	{ 0 },
};
static const struct ar_field messages_out[] = { AR_FIELD_FREE("count", AR_F_INT), { 0 } };
static const struct ar_field message_out[] = {
	AR_FIELD_FREE("locale", AR_F_TEXT),
	KEY,
	AR_FIELD_FREE("text", AR_F_TEXT),
	{ 0 },
};
static const struct ar_field message_item[] = {
	KEY,
	AR_FIELD_FREE("text", AR_F_TEXT),
	AR_FIELD_FREE("updated", AR_F_TIME),
	{ 0 },
};
static const struct ar_field translate_in[] = {
	KEY,
	LOCALE("locale", .help = "not given: Accept-Language"),
	AR_FIELD_FREE("args", AR_F_OBJECT, .max = 100),
	ZONE,
	{ 0 },
};
static const char *const kinds[] = { "number", "integer", "percent",  "currency",
				     "date",   "time",    "datetime", NULL };
static const char *const styles[] = { "short", "medium", "long", "full", NULL };
static const struct ar_field format_in[] = {
	AR_FIELD_FREE("kind", AR_F_ENUM, .values = kinds, .required = true),
	AR_FIELD_FREE("value", AR_F_JSON, .required = true,
		      .help = "a number; RFC 3339 or milliseconds for times"),
	LOCALE("locale", .min = 2, .required = true),
	AR_FIELD_FREE("currency", AR_F_TEXT, .max = 3, .help = "ISO 4217"),
	AR_FIELD_FREE("style", AR_F_ENUM, .values = styles),
	AR_FIELD_FREE("skeleton", AR_F_TEXT, .max = 100, .help = "ICU's; instead of a style"),
	ZONE,
	{ 0 },
};
static const struct ar_field format_out[] = { AR_FIELD_FREE("text", AR_F_TEXT), { 0 } };

#define WRITE "i18n.write"

static const struct ar_action actions[] = {
	{ "i18n.get_locales", "GET /i18n/locales", AR_ALLOW_ANYONE, .out = locales_fields,
	  .run = i18n_locales_get, .help = "The tenant's locales" },
	{ "i18n.put_locales", "PUT /i18n/locales", WRITE, .in = locales_fields,
	  .out = locales_fields, .run = i18n_locales_put, .flags = AR_A_WRITE,
	  .help = "Set the tenant's locales, one of them the default" },
	{ "i18n.list_messages", "GET /i18n/messages/{locale}", AR_ALLOW_ANYONE, .in = list_in,
	  .out = message_item, .run = i18n_message_list, .flags = AR_A_LIST,
	  .help = "List the messages of a locale" },
	{ "i18n.put_messages", "PUT /i18n/messages/{locale}", WRITE, .in = messages_in,
	  .out = messages_out, .run = i18n_messages_put, .flags = AR_A_WRITE,
	  .help = "Put many messages of a locale" },
	{ "i18n.get_message", "GET /i18n/messages/{locale}/{key}", AR_ALLOW_ANYONE, .in = key_in,
	  .out = message_out, .run = i18n_message_get, .help = "Read a message as it was put" },
	{ "i18n.put_message", "PUT /i18n/messages/{locale}/{key}", WRITE, .in = message_in,
	  .out = message_out, .run = i18n_message_put, .flags = AR_A_WRITE,
	  .help = "Put a message" },
	{ "i18n.delete_message", "DELETE /i18n/messages/{locale}/{key}", WRITE, .in = key_in,
	  .run = i18n_message_delete, .flags = AR_A_WRITE, .help = "Delete a message" },
	{ "i18n.translate", "GET /i18n/translate", AR_ALLOW_ANYONE, .in = translate_in,
	  .out = message_out, .run = i18n_translate, .help = "A message with its arguments" },
	{ "i18n.format", "POST /i18n/format", AR_ALLOW_SIGNED_IN, .in = format_in,
	  .out = format_out, .run = i18n_format,
	  .help = "Write a number, money, a date or a time" },
	{ 0 },
};

static int start(void)
{
	ar_tenant_slot_register(&i18n_slot);
	return 0;
}

extern const struct ar_migration i18n_migrations[];

const struct ar_module i18n_module = {
	.name = "i18n",
	.actions = actions,
	.migrations = i18n_migrations,
	.errors = errors,
	.start = start,
};
