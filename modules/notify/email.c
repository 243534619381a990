/*
 * email.c - one message to one SMTP server, or into the outbox folder when there is none.
 *
 * The effect is outside of the store: who repeats the call repeats the mail, under the same
 * Message-ID when the caller gave an id. The operator's server sends under the operator's name only:
 * one tenant's mail must not pass for another's, or for the bank's. A tenant that wants to choose the
 * sender brings a server.
 */
#include "notify/notify_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client.h"
#include "config/config.h"

#define SETTING "notify.smtp"

struct server {
	bool none;     /* the outbox takes it */
	bool operator; /* the operator's: may have a private address */
	struct ar_str host, user, password, from;
	int port;
	enum ar_mail_tls tls;
};

/* "%40" is "@": a user's name may well be an address. */
static struct ar_str unescaped(struct ar_pool *pool, struct ar_str s)
{
	char *out = ar_alloc(pool, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		const char *hex = "0123456789abcdef", *high, *low;

		if (s.p[i] == '%' && i + 2 < s.n && s.p[i + 1] != '\0' && s.p[i + 2] != '\0') {
			high = strchr(hex, s.p[i + 1] | 0x20);
			low = strchr(hex, s.p[i + 2] | 0x20);
			if (high != NULL && low != NULL) {
				out[n++] = (char)((high - hex) * 16 + (low - hex));
				i += 2;
				continue;
			}
		}
		out[n++] = s.p[i];
	}
	return ar_str_n(out, n);
}

/* HOST:PORT, [::1]:PORT, HOST */
static int host_and_port(struct ar_pool *pool, struct ar_str s, struct server *ret)
{
	struct ar_str rest = s, host;
	int64_t port = 0;

	if (ar_str_starts(s, AR_STR("["))) {
		rest = ar_str_sub(s, 1, s.n);
		host = ar_str_cut(&rest, ']');
		rest = ar_str_starts(rest, AR_STR(":")) ? ar_str_sub(rest, 1, rest.n) : AR_STR_NONE;
	} else {
		host = ar_str_cut(&rest, ':');
	}
	if (host.n == 0 || (rest.n > 0 && (!ar_str_int(rest, &port) || port < 1 || port > 65535)))
		return ar_fail_why(AR_E_INTERNAL, "smtp-url has no good host and port");
	ret->host = ar_str_dup(pool, host);
	ret->port = (int)port;
	return 0;
}

static bool is_here(struct ar_str host)
{
	return ar_str_is(host, "127.0.0.1") || ar_str_is(host, "localhost") ||
	       ar_str_is(host, "::1");
}

/* smtp://USER:PASSWORD@HOST:PORT; smtps:// for TLS from the first byte. */
static int server_from_url(struct ar_pool *pool, struct ar_str url, struct server *ret)
{
	bool tls = ar_str_starts(url, AR_STR("smtps://"));
	struct ar_str rest = ar_str_sub(url, tls ? 8 : 7, url.n), user;
	ptrdiff_t at = -1;

	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] == '@')
			at = (ptrdiff_t)i;
	ret->operator= true;
	ret->from = ar_config_str("smtp-from");
	if (at >= 0) {
		user = ar_str_sub(rest, 0, (size_t)at);
		rest = ar_str_sub(rest, (size_t)at + 1, rest.n);
		ret->user = unescaped(pool, ar_str_cut(&user, ':'));
		ret->password = unescaped(pool, user);
	}
	if (host_and_port(pool, ar_str_cut(&rest, '/'), ret) != 0)
		return -1;
	/* The operator's own relay on this machine speaks plain SMTP; elsewhere TLS is a must. */
	ret->tls = tls ? AR_MAIL_TLS : is_here(ret->host) ? AR_MAIL_PLAIN : AR_MAIL_STARTTLS;
	return 0;
}

static void server_from_setting(const struct ar_json *setting, struct server *ret)
{
	struct ar_str tls = ar_json_text(setting, "tls", AR_STR("starttls"));

	ret->host = ar_json_text(setting, "host", AR_STR(""));
	ret->port = (int)ar_json_number(setting, "port", 0);
	ret->user = ar_json_text(setting, "user", AR_STR(""));
	ret->password = ar_json_text(setting, "password", AR_STR(""));
	ret->from = ar_json_text(setting, "from", AR_STR(""));
	ret->tls = ar_str_is(tls, "tls")    ? AR_MAIL_TLS
		   : ar_str_is(tls, "none") ? AR_MAIL_PLAIN
					    : AR_MAIL_STARTTLS;
}

AR_YIELDS static int server_find(struct ar_call *call, struct server *ret)
{
	struct ar_str url = ar_config_str("smtp-url");
	struct ar_json *setting;

	if (ar_setting_get(call->tenant, call->pool, SETTING, &setting) != 0)
		return -1;
	if (setting != NULL && setting->type == AR_OBJECT) {
		server_from_setting(setting, ret);
		return 0;
	}
	ret->none = url.n == 0;
	return ret->none ? 0 : server_from_url(call->pool, url, ret);
}

/* Who it is from: what the caller says where the server is the tenant's own. */
static int sender(struct ar_call *call, const struct server *server, struct ar_str *ret)
{
	struct ar_str from = ar_in_str(call, "from"), own = server->from;

	if (own.n == 0)
		own = ar_strf(call->pool, "no-reply@%.*s.example", AR_FMT(call->tenant->name));
	*ret = from.n > 0 ? from : own;
	if (server->operator&& !ar_str_caseeq(*ret, own))
		return ar_fail_field("from", "forbidden");
	return 0;
}

static int mail_fill(struct ar_call *call, const struct server *server, struct ar_mail *mail)
{
	const struct ar_json *to = ar_in(call, "to");
	struct ar_mailbox *boxes = ar_new_n(call->pool, struct ar_mailbox, to->count);
	struct ar_str id = ar_in_str(call, "id"), from;
	size_t n = 0;

	if (sender(call, server, &from) != 0)
		return -1;
	ar_json_each (address, to)
		boxes[n++].address = address->s;
	*mail = (struct ar_mail){
		.host = server->host,
		.port = server->port,
		.tls = server->tls,
		.user = server->user,
		.password = server->password,
		.allow_private = server->operator,
		.from = { ar_in_str(call, "fromName"), from },
		.reply_to = { AR_STR(""), ar_in_str(call, "replyTo") },
		.to = boxes,
		.nto = n,
		.subject = ar_in_str(call, "subject"),
		.text = ar_in_str(call, "text"),
		.html = ar_in_str(call, "html"),
		.message_id = ar_strf(call->pool, "%.*s@%.*s.apprun",
				      AR_FMT(id.n > 0 ? id : ar_id(call->pool)),
				      AR_FMT(call->tenant->name)),
	};
	return 0;
}

/* ---- the outbox ---- */

struct outbox {
	const char *folder, *tenant_folder, *name, *temporary;
	struct ar_str message;
};

static int outbox_failed(const char *path)
{
	return ar_fail_why(AR_E_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

static int outbox_write(void *arg)
{
	const struct outbox *out = arg;

	if ((mkdir(out->folder, 0700) != 0 && errno != EEXIST) ||
	    (mkdir(out->tenant_folder, 0700) != 0 && errno != EEXIST))
		return outbox_failed(out->tenant_folder);
	if (ar_file_put_in(out->tenant_folder, out->name, out->temporary, out->message) != 0)
		return outbox_failed(out->tenant_folder);
	return 0;
}

/* The file's name comes from a digest: a message-id that a caller chose names no path. */
AR_YIELDS static int outbox_put(struct ar_call *call, const struct ar_mail *mail)
{
	struct ar_pool *pool = call->pool;
	struct ar_str name = ar_str_sub(ar_sha256_hex(pool, mail->message_id), 0, 32);
	struct outbox out;

	if (ar_mail_print(pool, mail, &out.message) != 0)
		return -1;
	out.folder = ar_printf(pool, "%s/outbox", ar_config_strz("data"));
	out.tenant_folder = ar_printf(pool, "%s/%.*s", out.folder, AR_FMT(call->tenant->name));
	out.name = ar_printf(pool, "%.*s.eml", AR_FMT(name));
	out.temporary = ar_printf(pool, ".%.*s", AR_FMT(ar_id(pool)));
	return ar_offload(AR_OFFLOAD_IO, outbox_write, &out);
}

AR_YIELDS int notify_send_email(struct ar_call *call)
{
	struct server server = { 0 };
	struct ar_mail mail;
	struct ar_jw *w;

	if (ar_in_str(call, "text").n == 0 && ar_in_str(call, "html").n == 0)
		return ar_fail_field("text", "required");
	if (server_find(call, &server) != 0 || mail_fill(call, &server, &mail) != 0)
		return -1;
	if ((server.none ? outbox_put(call, &mail) : ar_mail_send(call->pool, &mail)) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "messageId");
	ar_jw_str(w, mail.message_id);
	ar_jw_keyz(w, "sent");
	ar_jw_strz(w, server.none ? "outbox" : "smtp");
	ar_jw_object_end(w);
	return 0;
}

/* ---- the tenant's own server ---- */

static int smtp_reply(struct ar_call *call, const struct ar_json *setting)
{
	static const char *const shown[] = { "host", "port", "tls", "user", "from" };
	struct ar_jw *w = ar_reply_json(call, 0);
	const struct ar_json *value;

	ar_jw_object(w);
	for (size_t i = 0; i < AR_COUNT(shown); i++) {
		value = ar_json_get(setting, shown[i]);
		if (value == NULL)
			continue;
		ar_jw_keyz(w, shown[i]);
		ar_jw_value(w, value);
	}
	ar_jw_object_end(w);
	return 0;
}

AR_YIELDS int notify_smtp_get(struct ar_call *call)
{
	struct ar_json *setting;

	if (ar_setting_get(call->tenant, call->pool, SETTING, &setting) != 0)
		return -1;
	if (setting == NULL || setting->type != AR_OBJECT)
		return ar_fail(AR_E_NOT_FOUND, "what", "smtp");
	return smtp_reply(call, setting);
}

AR_YIELDS int notify_smtp_put(struct ar_call *call)
{
	if (ar_setting_set(call->tenant, &call->scope, SETTING, call->input) != 0)
		return -1;
	return smtp_reply(call, call->input);
}

AR_YIELDS int notify_smtp_delete(struct ar_call *call)
{
	if (ar_setting_set(call->tenant, &call->scope, SETTING, NULL) != 0)
		return -1;
	return ar_reply_none(call);
}
