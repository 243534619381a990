/*
 * message.c - a mail as text: RFC 5322 headers, RFC 2047 words, MIME parts in base64.
 *
 * Everything that reaches a header line is checked first: a line break or NUL in it would let a
 * stranger write headers of his own. Bodies are base64 whatever they hold, so that no line is too
 * long and none begins with a dot. The boundary is made from the message's id: the same message
 * gives the same bytes, but for the date.
 */
#include <stdio.h>
#include <time.h>

#include "client/client_int.h"

#define NAME_BYTES  256
#define SUBJECT_MAX 1000
#define TO_MAX      100
#define BODY_MAX    ((size_t)5 << 20)
#define MESSAGE_MAX ((size_t)16 << 20)
#define WORD_BYTES  42 /* of text in one encoded word: 75 characters with its frame */
#define PLAIN_MAX   66 /* a header's text that is sent as it is */

const struct ar_err_def AR_E_MAIL_FAILED[1] = { { "client/mail-failed", 503 } };
const struct ar_err_def AR_E_MAIL_REFUSED[1] = { { "client/mail-refused", 422 } };
const struct ar_err_def AR_E_MAIL_INVALID[1] = { { "client/mail-invalid", 422 } };

/* ---- what is checked ---- */

static bool line_ok(struct ar_str s, size_t max)
{
	if (s.n > max || !ar_utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return false;
	}
	return true;
}

bool mail_address(struct ar_pool *pool, struct ar_str address, struct ar_str *ret)
{
	static const char others[] = ".!#$%&'*+/=?^_`{|}~-";
	struct ar_str rest = address, local = ar_str_cut(&rest, '@'), domain;

	if (rest.p == NULL || local.n == 0 || local.n > 64 ||
	    !client_host_ascii(pool, rest, &domain))
		return false;
	for (size_t i = 0; i < local.n; i++) {
		char c = local.p[i];
		bool edge = i == 0 || i + 1 == local.n;

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr(others, c) == NULL))
			return false;
		if (c == '.' && (edge || local.p[i + 1] == '.'))
			return false;
	}
	*ret = ar_strf(pool, "%.*s@%.*s", AR_FMT(local), AR_FMT(domain));
	return ret->n <= 254;
}

static bool message_id_ok(struct ar_str id)
{
	if (id.n < 3 || id.n > 250 || ar_str_find(id, '@') <= 0)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] <= ' ' || id.p[i] >= 0x7F || strchr("<>()[],;:\\\"", id.p[i]) != NULL)
			return false;
	}
	return true;
}

static bool body_ok(struct ar_str s)
{
	return ar_utf8_valid(s) && ar_str_find(s, '\0') < 0;
}

static const char *wrong_field(const struct ar_mail *mail)
{
	if (mail->nto < 1 || mail->nto > TO_MAX)
		return "to";
	if (!line_ok(mail->subject, SUBJECT_MAX))
		return "subject";
	if (!message_id_ok(mail->message_id))
		return "message_id";
	if (mail->text.n == 0 && mail->html.n == 0)
		return "text";
	if (!body_ok(mail->text) || mail->text.n > BODY_MAX)
		return "text";
	if (!body_ok(mail->html) || mail->html.n > BODY_MAX - mail->text.n)
		return "html";
	return NULL;
}

/* ---- headers ---- */

static bool is_plain(struct ar_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] >= 0x7F)
			return false;
		if (s.p[i] == '=' && i + 1 < s.n &&
		    s.p[i + 1] == '?') /* reads as an encoded word */
			return false;
	}
	return s.n <= PLAIN_MAX;
}

/* RFC 2047 words of whole characters, folded between words. */
static void put_words(struct ar_pool *pool, struct ar_buf *out, struct ar_str s)
{
	while (s.n > 0) {
		size_t n = AR_MIN(s.n, (size_t)WORD_BYTES);
		struct ar_str word;

		while (n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
			n--;
		word = ar_base64(pool, s.p, n);
		s = ar_str_sub(s, n, s.n);
		ar_buf_printf(out, "=?UTF-8?B?%.*s?=%s", AR_FMT(word), s.n > 0 ? "\r\n " : "");
	}
}

static void put_name(struct ar_pool *pool, struct ar_buf *out, struct ar_str name)
{
	if (!is_plain(name)) {
		put_words(pool, out, name);
		return;
	}
	ar_buf_char(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			ar_buf_char(out, '\\');
		ar_buf_char(out, name.p[i]);
	}
	ar_buf_char(out, '"');
}

static int put_mailbox(struct ar_pool *pool, struct ar_buf *out, const char *field,
		       const struct ar_mailbox *box)
{
	struct ar_str name = ar_str_trim(box->name), address;

	if (!line_ok(name, NAME_BYTES) || !mail_address(pool, box->address, &address))
		return ar_fail(AR_E_MAIL_INVALID, "field", field);
	if (name.n > 0) {
		put_name(pool, out, name);
		ar_buf_z(out, "\r\n ");
	}
	ar_buf_printf(out, "<%.*s>", AR_FMT(address));
	return 0;
}

static void put_date(struct ar_buf *out)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = ar_now_ms() / 1000;
	struct tm tm;

	gmtime_r(&now, &tm);
	ar_buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
		      tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		      tm.tm_sec);
}

static int put_headers(struct ar_pool *pool, struct ar_buf *out, const struct ar_mail *mail)
{
	struct ar_str subject = ar_str_trim(mail->subject);

	put_date(out);
	ar_buf_z(out, "From: ");
	if (put_mailbox(pool, out, "from", &mail->from) != 0)
		return -1;
	if (mail->reply_to.address.n > 0) {
		ar_buf_z(out, "\r\nReply-To: ");
		if (put_mailbox(pool, out, "reply_to", &mail->reply_to) != 0)
			return -1;
	}
	ar_buf_z(out, "\r\nTo: ");
	for (size_t i = 0; i < mail->nto; i++) {
		if (i > 0)
			ar_buf_z(out, ",\r\n ");
		if (put_mailbox(pool, out, "to", &mail->to[i]) != 0)
			return -1;
	}
	ar_buf_z(out, "\r\nSubject: ");
	if (is_plain(subject))
		ar_buf_str(out, subject);
	else
		put_words(pool, out, subject);
	ar_buf_printf(out, "\r\nMessage-ID: <%.*s>\r\nMIME-Version: 1.0\r\n",
		      AR_FMT(mail->message_id));
	return 0;
}

/* ---- bodies ---- */

static void put_part(struct ar_pool *pool, struct ar_buf *out, const char *type, struct ar_str s)
{
	struct ar_buf *crlf = ar_buf_new(pool, MESSAGE_MAX);
	struct ar_str coded;

	for (size_t i = 0; i < s.n; i++) {
		bool alone = s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r');

		if (alone)
			ar_buf_char(crlf, '\r');
		ar_buf_char(crlf, s.p[i]);
	}
	coded = ar_base64(pool, crlf->p, crlf->n);
	ar_buf_printf(out,
		      "Content-Type: %s; charset=utf-8\r\n"
		      "Content-Transfer-Encoding: base64\r\n\r\n",
		      type);
	for (size_t i = 0; i < coded.n; i += 76) {
		ar_buf_str(out, ar_str_sub(coded, i, 76));
		ar_buf_z(out, "\r\n");
	}
}

int ar_mail_print(struct ar_pool *pool, const struct ar_mail *mail, struct ar_str *ret)
{
	struct ar_buf *out = ar_buf_new(pool, MESSAGE_MAX);
	const char *wrong = wrong_field(mail), *boundary;

	if (wrong != NULL)
		return ar_fail(AR_E_MAIL_INVALID, "field", wrong);
	if (put_headers(pool, out, mail) != 0)
		return -1;
	if (mail->text.n == 0) {
		put_part(pool, out, "text/html", mail->html);
	} else if (mail->html.n == 0) {
		put_part(pool, out, "text/plain", mail->text);
	} else {
		/* neither base64 nor a header here has "=_" in it */
		boundary = ar_printf(pool, "=_%.*s", AR_FMT(ar_id_from(pool, mail->message_id)));
		ar_buf_printf(out,
			      "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n",
			      boundary);
		ar_buf_printf(out, "--%s\r\n", boundary);
		put_part(pool, out, "text/plain", mail->text);
		ar_buf_printf(out, "--%s\r\n", boundary);
		put_part(pool, out, "text/html", mail->html);
		ar_buf_printf(out, "--%s--\r\n", boundary);
	}
	if (out->over)
		return ar_fail(AR_E_MAIL_INVALID, "field", "text");
	*ret = ar_buf_view(out);
	return 0;
}
