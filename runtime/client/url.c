/*
 * url.c - addresses of the web as libcurl's own parser understands them.
 *
 * A second parser beside the one that connects is how guards are fooled; so the text goes through
 * libcurl's once, and what it understood is what is used from there on.
 */
#include <curl/curl.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

#include "client/client_int.h"

#define URL_MAX 8192

static void url_end(CURLU **url)
{
	curl_url_cleanup(*url);
}

static char *part(struct ar_pool *pool, CURLU *url, CURLUPart what, unsigned flags)
{
	char *text = NULL, *copy = NULL;

	if (curl_url_get(url, what, &text, flags) == CURLUE_OK && text != NULL)
		copy = ar_strz(pool, ar_str(text));
	curl_free(text);
	return copy;
}

/* Printable, well-formed UTF-8, no back slash: some read it as a slash. */
static bool text_ok(struct ar_str s, size_t max)
{
	if (s.n == 0 || s.n > max || !ar_utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7F || s.p[i] == '\\')
			return false;
	}
	return true;
}

static locale_t utf8;

static void utf8_make(void)
{
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* libcurl encodes international names as the thread's locale reads them: for us that is UTF-8. */
static char *host_ascii(struct ar_pool *pool, CURLU *url)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	locale_t before = (locale_t)0;
	char *host;

	pthread_once(&once, utf8_make);
	if (utf8 != (locale_t)0)
		before = uselocale(utf8);
	host = part(pool, url, CURLUPART_HOST, CURLU_PUNYCODE);
	if (utf8 != (locale_t)0)
		uselocale(before);
	return host;
}

/* Who connects reads it once more, and may see a number ("0x7f.1") where a dot hid it. */
static char *host_again(struct ar_pool *pool, CURLU *url)
{
	char *text = part(pool, url, CURLUPART_URL, 0);

	if (text == NULL || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		return NULL;
	return part(pool, url, CURLUPART_HOST, 0);
}

/* Host in lower-case ASCII, without a final dot, also put into the URL. NULL: it has none. */
static char *host_normal(struct ar_pool *pool, CURLU *url)
{
	char *host = host_ascii(pool, url);
	size_t n;

	if (host == NULL || part(pool, url, CURLUPART_ZONEID, 0) != NULL)
		return NULL;
	host = (char *)ar_str_lower(pool, ar_str(host)).p;
	n = strlen(host);
	if (n > 1 && host[n - 1] == '.')
		host[--n] = '\0';
	if (n == 0 || n > 253 || host[n - 1] == '.')
		return NULL;
	if (curl_url_set(url, CURLUPART_HOST, host, 0) != CURLUE_OK)
		return NULL;
	return host_again(pool, url);
}

int client_url_parse(struct ar_pool *pool, struct ar_str text, struct client_url *ret)
{
	CURLU *url AR_CLEANUP(url_end) = curl_url();
	struct client_url parsed = { 0 };
	struct in6_addr addr;
	char *scheme, *host, *port;
	int64_t number;

	if (!text_ok(text, URL_MAX) ||
	    curl_url_set(url, CURLUPART_URL, ar_strz(pool, text),
			 CURLU_DISALLOW_USER | CURLU_URLENCODE) != CURLUE_OK)
		return ar_fail(AR_E_CLIENT_URL);
	scheme = part(pool, url, CURLUPART_SCHEME, 0);
	host = host_normal(pool, url);
	port = part(pool, url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (scheme == NULL || host == NULL || port == NULL || !ar_str_int(ar_str(port), &number))
		return ar_fail(AR_E_CLIENT_URL);
	parsed.secure = ar_str_is(ar_str(scheme), "https");
	if (!parsed.secure && !ar_str_is(ar_str(scheme), "http"))
		return ar_fail(AR_E_CLIENT_URL);
	curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
	parsed.text = part(pool, url, CURLUPART_URL, 0);
	if (parsed.text == NULL || number < 1 || number > 65535)
		return ar_fail(AR_E_CLIENT_URL);
	parsed.port = (int)number;
	parsed.origin = ar_printf(pool, "%s://%s:%d", scheme, host, parsed.port);
	parsed.host = host;
	if (host[0] == '[') {
		parsed.host = ar_strz(pool, ar_str_n(host + 1, strlen(host) - 2));
		if (!client_addr_parse(parsed.host, &addr))
			return ar_fail(AR_E_CLIENT_URL);
	}
	parsed.literal = client_addr_parse(parsed.host, &addr);
	*ret = parsed;
	return 0;
}

bool client_host_ascii(struct ar_pool *pool, struct ar_str host, struct ar_str *ret)
{
	CURLU *url AR_CLEANUP(url_end) = curl_url();
	char *ascii;

	if (!text_ok(host, 253) || curl_url_set(url, CURLUPART_SCHEME, "http", 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_HOST, ar_strz(pool, host), 0) != CURLUE_OK)
		return false;
	ascii = host_normal(pool, url);
	if (ascii == NULL)
		return false;
	for (const char *p = ascii; *p != '\0' && ascii[0] != '['; p++) {
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && *p != '-' &&
		    *p != '.')
			return false;
	}
	*ret = ar_str(ascii);
	return true;
}
