/*
 * module.c - the tables of notify.
 */
#include "notify/notify_int.h"

#include "client/client.h"

#define ADDRESS(name_, ...) AR_FIELD_FREE(name_, AR_F_EMAIL, .max = 254, __VA_ARGS__)

static const struct ar_field email_in[] = {
	AR_FIELD_FREE("to", AR_F_ARRAY, .min = 1, .max = 100, .required = true,
		      .items = AR_ITEM(AR_F_EMAIL, .max = 254)),
	AR_FIELD_FREE("subject", AR_F_TEXT, .min = 1, .max = 500, .required = true),
	AR_FIELD_FREE("text", AR_F_TEXT, .max = 1 << 20),
	AR_FIELD_FREE("html", AR_F_TEXT, .max = 1 << 20),
	ADDRESS("from",
		.help = "not given: the server's own; the operator's server takes no other"),
	AR_FIELD_FREE("fromName", AR_F_TEXT, .max = 200),
	ADDRESS("replyTo", 0),
	AR_FIELD_FREE("id", AR_F_TEXT, .max = 120, .pattern = "[a-zA-Z0-9_.-]+",
		      .help = "the same id twice is the same message"),
	{ 0 },
};
static const struct ar_field email_out[] = {
	AR_FIELD_FREE("messageId", AR_F_TEXT),
	AR_FIELD_FREE("sent", AR_F_TEXT, .help = "smtp, or outbox: no server is set"),
	{ 0 },
};

static const char *const tls_values[] = { "starttls", "tls", "none", NULL };
static const struct ar_field smtp_in[] = {
	AR_FIELD_FREE("host", AR_F_TEXT, .min = 1, .max = 253, .required = true),
	AR_FIELD_FREE("port", AR_F_INT, .min = 1, .max = 65535),
	AR_FIELD_FREE("tls", AR_F_ENUM, .values = tls_values, .otherwise = "\"starttls\""),
	AR_FIELD_FREE("user", AR_F_TEXT, .max = 320),
	AR_FIELD_FREE("password", AR_F_TEXT, .max = 1000, .secret = true),
	ADDRESS("from", .required = true),
	{ 0 },
};

static const struct ar_action actions[] = {
	{ "notify.send_email", "POST /notify/email", "notify.send", .in = email_in,
	  .out = email_out, .run = notify_send_email, .flags = AR_A_OUTSIDE, .deadline_ms = 90000,
	  .help = "Send an e-mail" },
	{ "notify.get_smtp", "GET /notify/smtp", "notify.settings", .out = smtp_in,
	  .run = notify_smtp_get, .help = "The tenant's own mail server" },
	{ "notify.set_smtp", "PUT /notify/smtp", "notify.settings", .in = smtp_in, .out = smtp_in,
	  .run = notify_smtp_put, .flags = AR_A_WRITE, .help = "Set the tenant's own mail server" },
	{ "notify.delete_smtp", "DELETE /notify/smtp", "notify.settings", .run = notify_smtp_delete,
	  .flags = AR_A_WRITE, .help = "Go back to the server of the process" },
	{ 0 },
};

static const struct ar_err_def *const errors[] = {
	AR_E_CLIENT_URL,       AR_E_CLIENT_REQUEST, AR_E_CLIENT_ADDRESS, AR_E_CLIENT_REDIRECTS,
	AR_E_CLIENT_TOO_LARGE, AR_E_CLIENT_FAILED,  AR_E_CLIENT_BUSY,    AR_E_CLIENT_TIMEOUT,
	AR_E_MAIL_FAILED,      AR_E_MAIL_REFUSED,   AR_E_MAIL_INVALID,   NULL,
};

const struct ar_module notify_module = {
	.name = "notify",
	.actions = actions,
	.errors = errors,
};
