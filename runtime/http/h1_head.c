/*
 * h1_head.c - reads a request head as strictly as RFC 9112 allows. See h1_head.h.
 *
 * The head is read in one pass over its lines, once it is whole. Nothing is copied.
 */
#include "http/h1_head.h"

/* 1: tchar of RFC 9110; 2: may stand in a field value; 4: may stand in a host */
static const unsigned char kinds[256] = {
	['\t'] = 2,        [' '] = 2, ['!'] = 7,           ['"'] = 2,  ['#'] = 3,
	['$'] = 7,         ['%'] = 7, ['&'] = 7,           ['\''] = 7, ['('] = 6,
	[')'] = 6,         ['*'] = 7, ['+'] = 7,           [','] = 2,  ['-'] = 7,
	['.'] = 7,         ['/'] = 2, ['0' ... '9'] = 7,   [':'] = 2,  [';'] = 6,
	['<'] = 2,         ['='] = 6, ['>'] = 2,           ['?'] = 2,  ['@'] = 2,
	['A' ... 'Z'] = 7, ['['] = 2, ['\\'] = 2,          [']'] = 2,  ['^'] = 3,
	['_'] = 7,         ['`'] = 3, ['a' ... 'z'] = 7,   ['{'] = 2,  ['|'] = 3,
	['}'] = 2,         ['~'] = 7, [0x80 ... 0xff] = 2,
};

static bool all_of(struct ar_str s, int kind)
{
	int all = kind;

	for (size_t i = 0; i < s.n; i++)
		all &= kinds[(unsigned char)s.p[i]];
	return all == kind;
}

bool http_token(struct ar_str s)
{
	return s.n > 0 && all_of(s, 1);
}

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* How many bytes at the start, in steps of eight, are from `low` (below 0x80) to 0xff and neither
 * `a` nor `b`. Bytes from 0x80 stop it: text that is not ASCII is looked at one by one. */
static size_t plain_start(struct ar_str s, uint64_t low, uint64_t a, uint64_t b)
{
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		uint64_t x, xa, xb;

		memcpy(&x, s.p + i, 8);
		xa = x ^ (ONES * a);
		xb = x ^ (ONES * b);
		if ((((x - ONES * low) | (xa - ONES) | (xb - ONES) | x) & HIGHS) != 0)
			break;
	}
	return i;
}

bool http_field_value(struct ar_str s)
{
	return all_of(ar_str_sub(s, plain_start(s, ' ', 0x7f, 0x7f), s.n), 2);
}

bool http_target(struct ar_str s)
{
	for (size_t i = plain_start(s, ' ' + 1, 0x7f, '#'); i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f || c == '#')
			return false;
	}
	return true;
}

static bool ip_literal(struct ar_str s)
{
	if (s.n < 2)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
		      c == ':' || c == '.'))
			return false;
	}
	return true;
}

static bool port_valid(struct ar_str s)
{
	int64_t port;

	if (s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n == 0 || (ar_str_int(s, &port) && port <= 65535);
}

bool http_authority(struct ar_str s)
{
	ptrdiff_t colon, close;

	if (s.n == 0 || s.n > 255 + 6)
		return false;
	if (s.p[0] == '[') {
		close = ar_str_find(s, ']');
		if (close < 0 || !ip_literal(ar_str_sub(s, 1, (size_t)close - 1)))
			return false;
		s = ar_str_sub(s, (size_t)close + 1, s.n);
		return s.n == 0 || (s.p[0] == ':' && port_valid(ar_str_sub(s, 1, s.n)));
	}
	colon = ar_str_find(s, ':');
	if (colon >= 0 && !port_valid(ar_str_sub(s, (size_t)colon + 1, s.n)))
		return false;
	s = colon >= 0 ? ar_str_sub(s, 0, (size_t)colon) : s;
	return s.n > 0 && all_of(s, 4);
}

/* ---- where the head ends ---- */

ptrdiff_t h1_head_find(const char *p, size_t n, size_t *scanned)
{
	size_t at = *scanned;

	if (at == 0 && n > 0 && p[0] != '\r' && (kinds[(unsigned char)p[0]] & 1) == 0)
		return -1; /* TLS, or noise: need not be waited for */
	while (at < n) {
		const char *lf = memchr(p + at, '\n', n - at);
		size_t i;

		if (lf == NULL)
			break;
		i = (size_t)(lf - p);
		if (i == 0 || p[i - 1] != '\r')
			return -1;
		at = i + 1;
		/* An empty line ends the head, but for one before the request line. */
		if (i >= 3 && p[i - 2] == '\n') {
			*scanned = at;
			return (ptrdiff_t)at;
		}
	}
	*scanned = n;
	return 0;
}

/* ---- lines ---- */

static int refuse(struct h1_refusal *ret, int status, const char *slug)
{
	ret->status = status;
	ret->slug = slug;
	return -1;
}

static int malformed(struct h1_refusal *ret)
{
	return refuse(ret, 400, "malformed");
}

/* Cuts the next line (without CRLF) off *rest. The head is known to end with CRLF CRLF. */
static bool next_line(struct ar_str *rest, struct ar_str *ret)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n;

	if (lf == NULL || lf == rest->p || lf[-1] != '\r')
		return false;
	n = (size_t)(lf - rest->p);
	*ret = ar_str_n(rest->p, n - 1);
	*rest = ar_str_n(lf + 1, rest->n - n - 1);
	return memchr(ret->p, '\r', ret->n) == NULL;
}

static int split_target(struct ar_str target, struct h1_head *head, struct h1_refusal *why)
{
	ptrdiff_t mark;

	if (target.n > H1_TARGET_MAX)
		return refuse(why, 414, "http/uri-too-long");
	if (!http_target(target))
		return malformed(why);
	if (ar_str_is(target, "*") && ar_str_is(head->method, "OPTIONS")) {
		head->path = target;
		return 0;
	}
	if (target.n > 0 && target.p[0] != '/') { /* absolute-form: "http://host/path" */
		struct ar_str host;
		ptrdiff_t slash;

		if (target.n > 7 && ar_str_caseeq(ar_str_sub(target, 0, 7), AR_STR("http://")))
			host = ar_str_sub(target, 7, target.n);
		else if (target.n > 8 &&
			 ar_str_caseeq(ar_str_sub(target, 0, 8), AR_STR("https://")))
			host = ar_str_sub(target, 8, target.n);
		else
			return malformed(why);
		slash = ar_str_find(host, '/');
		if (slash < 0)
			return malformed(why); /* "http://host?x" and "http://host": no path */
		head->authority = ar_str_sub(host, 0, (size_t)slash);
		if (!http_authority(head->authority))
			return malformed(why);
		target = ar_str_sub(host, (size_t)slash, host.n);
	}
	if (target.n == 0)
		return malformed(why);
	mark = ar_str_find(target, '?');
	head->path = mark < 0 ? target : ar_str_sub(target, 0, (size_t)mark);
	head->query = mark < 0 ? AR_STR_NONE : ar_str_sub(target, (size_t)mark + 1, target.n);
	return 0;
}

static int read_request_line(struct ar_str line, struct h1_head *head, struct h1_refusal *why)
{
	struct ar_str rest = line, target, version;

	head->method = ar_str_cut(&rest, ' ');
	if (rest.p == NULL || !http_token(head->method))
		return malformed(why);
	target = ar_str_cut(&rest, ' ');
	version = rest;
	if (rest.p == NULL || version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 ||
	    version.p[5] < '0' || version.p[5] > '9' || version.p[6] != '.' || version.p[7] < '0' ||
	    version.p[7] > '9')
		return malformed(why);
	if (head->method.n > H1_METHOD_MAX)
		return refuse(why, 501, "http/method-unknown");
	if (version.p[5] != '1' || version.p[7] > '1')
		return refuse(why, 505, "http/version");
	head->version = version.p[7] == '1' ? 11 : 10;
	head->keepalive = head->version == 11;
	if (ar_str_is(head->method, "CONNECT"))
		return refuse(why, 501, "http/method-unknown");
	return split_target(target, head, why);
}

/* ---- headers with a meaning for the framing ---- */

struct seen { /* how often each came */
	int host, length, coding, expect;
	struct ar_str host_value, settings;
	bool close, keep, upgrade, settings_listed, h2c;
};

static void read_connection(struct ar_str value, struct seen *seen)
{
	while (value.p != NULL) {
		struct ar_str token = ar_str_trim(ar_str_cut(&value, ','));

		if (ar_str_caseeq(token, AR_STR("close")))
			seen->close = true;
		else if (ar_str_caseeq(token, AR_STR("keep-alive")))
			seen->keep = true;
		else if (ar_str_caseeq(token, AR_STR("upgrade")))
			seen->upgrade = true;
		else if (ar_str_caseeq(token, AR_STR("http2-settings")))
			seen->settings_listed = true;
	}
}

static int read_length(struct ar_str value, struct h1_head *head, struct h1_refusal *why)
{
	if (value.n == 0)
		return malformed(why);
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return malformed(why);
	if (value.n > 18)
		return refuse(why, 413, "too-large");
	return ar_str_int(value, &head->length) ? 0 : malformed(why);
}

static int read_special(struct ar_str name, struct ar_str value, struct h1_head *head,
			struct seen *seen, struct h1_refusal *why)
{
	if (ar_str_caseeq(name, AR_STR("host"))) {
		seen->host++;
		seen->host_value = value;
	} else if (ar_str_caseeq(name, AR_STR("content-length"))) {
		if (seen->length++ > 0)
			return malformed(why);
		return read_length(value, head, why);
	} else if (ar_str_caseeq(name, AR_STR("transfer-encoding"))) {
		if (seen->coding++ > 0 || head->version != 11)
			return malformed(why);
		if (!ar_str_caseeq(value, AR_STR("chunked")))
			return refuse(why, 501, "http/transfer-coding");
		head->chunked = true;
	} else if (ar_str_caseeq(name, AR_STR("connection"))) {
		read_connection(value, seen);
	} else if (ar_str_caseeq(name, AR_STR("expect"))) {
		if (seen->expect++ > 0 || !ar_str_caseeq(value, AR_STR("100-continue")))
			return refuse(why, 417, "http/expectation");
	} else if (ar_str_caseeq(name, AR_STR("upgrade"))) {
		seen->h2c = ar_str_caseeq(value, AR_STR("h2c"));
	} else if (ar_str_caseeq(name, AR_STR("http2-settings"))) {
		seen->settings = value;
	}
	return 0;
}

static int read_header(struct ar_str line, struct h1_head *head, struct seen *seen,
		       struct h1_refusal *why)
{
	struct ar_str name, value = line;

	/* A leading space or tab is a folded line; it is no token either, as is "Host :". */
	name = ar_str_cut(&value, ':');
	if (value.p == NULL || !http_token(name))
		return malformed(why);
	value = ar_str_trim(value);
	if (!http_field_value(value))
		return malformed(why);
	if (head->nheaders == H1_HEADERS_MAX)
		return refuse(why, 431, "http/headers-too-large");
	head->headers[head->nheaders].name = name;
	head->headers[head->nheaders++].value = value;
	return read_special(name, value, head, seen, why);
}

static int check_whole(struct h1_head *head, const struct seen *seen, struct h1_refusal *why)
{
	if (seen->host > 1 || (seen->host == 0 && head->version == 11))
		return malformed(why);
	if (seen->host == 1 && !http_authority(seen->host_value))
		return malformed(why);
	if (head->authority.n > 0 && seen->host == 1 &&
	    !ar_str_caseeq(head->authority, seen->host_value))
		return malformed(why);
	if (head->authority.n == 0)
		head->authority = seen->host_value;
	if (seen->length > 0 && head->chunked)
		return malformed(why);
	if (head->chunked)
		head->length = -1;
	if (seen->close)
		head->keepalive = false;
	else if (seen->keep)
		head->keepalive = true;
	/* RFC 9110: an expectation in an HTTP/1.0 request or without a body means nothing. */
	head->expect = seen->expect > 0 && head->version == 11 && head->length != 0;
	head->upgrade_h2c = seen->h2c && seen->upgrade && seen->settings_listed &&
			    seen->settings.n > 0 && head->version == 11 && head->length == 0;
	return 0;
}

int h1_head_read(const char *p, size_t n, struct h1_head *ret, struct h1_refusal *ret_refusal)
{
	struct ar_str rest = ar_str_n(p, n), line;
	struct seen seen = { 0 };

	ret->method = ret->path = ret->query = ret->authority = AR_STR_NONE;
	ret->nheaders = 0;
	ret->chunked = ret->expect = ret->upgrade_h2c = false;
	ret->length = 0;
	if (n >= 2 && p[0] == '\r' && p[1] == '\n')
		rest = ar_str_n(p + 2, n - 2); /* one empty line before the request is allowed */
	if (!next_line(&rest, &line))
		return malformed(ret_refusal);
	if (read_request_line(line, ret, ret_refusal) != 0)
		return -1;
	for (;;) {
		if (!next_line(&rest, &line))
			return malformed(ret_refusal);
		if (line.n == 0)
			break;
		if (read_header(line, ret, &seen, ret_refusal) != 0)
			return -1;
	}
	return check_whole(ret, &seen, ret_refusal);
}
