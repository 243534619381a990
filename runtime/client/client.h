/*
 * client.h - calls that go out: HTTP and mail, for fibers, through libcurl.
 *
 * Whoever names the address may be a stranger (a webhook, a function), so every address that is
 * really connected to is checked, on every redirect and also when a name changes its mind: only
 * public ones are open, and what ar_client_allow() opened. Everything has a limit: time, size of
 * the reply (after decompression), headers, redirects, slowness. Nothing here retries; errors say
 * what may be tried again (503, 504).
 *
 * HTTP runs on the fiber's own loop and keeps connections. Mail runs on threads of this room,
 * because libcurl's SMTP waits for some replies without yielding.
 */
#ifndef AR_CLIENT_H
#define AR_CLIENT_H

#include "base/base.h"

extern const struct ar_err_def AR_E_CLIENT_URL[1];     /* 422 client/bad-url */
extern const struct ar_err_def AR_E_CLIENT_REQUEST[1]; /* 422 client/bad-request: method, header */
extern const struct ar_err_def AR_E_CLIENT_ADDRESS[1]; /* 422 client/refused-address: "host" */
extern const struct ar_err_def AR_E_CLIENT_REDIRECTS[1]; /* 502 client/too-many-redirects */
extern const struct ar_err_def AR_E_CLIENT_TOO_LARGE[1]; /* 502 client/too-large: "max" bytes */
extern const struct ar_err_def AR_E_CLIENT_FAILED[1];    /* 503 client/failed: try again */
extern const struct ar_err_def AR_E_CLIENT_BUSY[1];      /* 503 client/busy: too many at once */
extern const struct ar_err_def AR_E_CLIENT_TIMEOUT[1];   /* 504 client/timeout */
extern const struct ar_err_def AR_E_MAIL_FAILED[1];      /* 503 client/mail-failed: try again */
extern const struct ar_err_def AR_E_MAIL_REFUSED[1];     /* 422 client/mail-refused: for good */
extern const struct ar_err_def AR_E_MAIL_INVALID[1];     /* 422 client/mail-invalid: "field" */

/* ---- the process ---- */

/*
 * Opens address ranges that are closed to strangers: "10.1.0.0/16, 127.0.0.1, fd00::/8". Replaces
 * what was opened before. Before the loops run. -1 with AR_E_INVALID, and nothing changed.
 */
int ar_client_allow(struct ar_str cidrs);
/* A file of certificates (PEM) to trust besides the system's folder; NULL for the system's only.
 * Before the loops run. */
void ar_client_trust(const char *pem_file);
/* Closes this thread's kept connections: before ar_loop_free(), when no fetch runs any more. */
void ar_client_detach(void);

/* True when a stranger may make us connect there: text of an IPv4 or IPv6 address. False for
 * anything else, also for names. */
bool ar_client_public(struct ar_str address);

/* ---- HTTP ---- */

struct ar_fetch_header {
	struct ar_str name; /* of a reply: lower case */
	struct ar_str value;
};

struct ar_fetch {
	struct ar_str method;                  /* empty: GET */
	struct ar_str url;                     /* http or https, without user and password */
	const struct ar_fetch_header *headers; /* not Host, Content-Length and their like */
	size_t nheaders;
	struct ar_str body;
	int64_t timeout_ms; /* whole call with redirects; 0: 30,000; the fiber's deadline ends it too */
	size_t response_max; /* bytes of body, decompressed; 0: 10 MiB */
	int follow;          /* redirects to follow; 0: a redirect is a reply like others */
	bool allow_private;  /* the operator wrote the address (never a tenant): no guard */
};

struct ar_fetched {
	int status; /* any that the server sent, also 4xx and 5xx: those are not errors here */
	struct ar_fetch_header *headers;
	size_t nheaders;
	struct ar_str body; /* decompressed */
	struct ar_str url;  /* where it came from, after redirects */
};

/*
 * One call. Bytes of *ret are the pool's. To another origin a redirect takes only Accept,
 * Accept-Language, Content-Type and User-Agent along; from https to http none is followed.
 */
AR_YIELDS int ar_fetch(struct ar_pool *pool, const struct ar_fetch *req, struct ar_fetched *ret);
/* The first header of that name (any case); p NULL: not there. */
struct ar_str ar_fetched_header(const struct ar_fetched *reply, const char *name);

/* ---- mail ---- */

enum ar_mail_tls {
	AR_MAIL_STARTTLS, /* the server must offer it */
	AR_MAIL_TLS,      /* from the first byte (port 465) */
	AR_MAIL_PLAIN,    /* a relay on the same host or network */
};

struct ar_mailbox {
	struct ar_str name;    /* shown; may be empty; any UTF-8 */
	struct ar_str address; /* li@example.cn; the domain may be international */
};

struct ar_mail {
	/* the server */
	struct ar_str host;
	int port; /* 0: 587, 465 or 25 as tls says */
	enum ar_mail_tls tls;
	struct ar_str user, password; /* empty user: none is sent */
	struct ar_str helo;           /* our name; empty: the machine's */
	int64_t timeout_ms;           /* 0: 60,000 */
	bool allow_private;           /* the operator wrote the host: no guard */
	/* the message */
	struct ar_mailbox from, reply_to; /* reply_to may be empty */
	const struct ar_mailbox *to;
	size_t nto; /* 1 to 100 */
	struct ar_str subject;
	struct ar_str text, html; /* one of them, or both; UTF-8; at most 5 MiB together */
	struct ar_str message_id; /* without <>; the same for each attempt */
};

/*
 * Hands one message to the server; returns 0 when the server has taken it for all recipients. After
 * a failure or a cancel it may still have been taken: message_id tells the copies apart.
 */
AR_YIELDS int ar_mail_send(struct ar_pool *pool, const struct ar_mail *mail);
/* The message as it is sent (RFC 5322, CRLF), for previews and tests. */
int ar_mail_print(struct ar_pool *pool, const struct ar_mail *mail, struct ar_str *ret);

#endif
