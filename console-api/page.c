/*
 * page.c - the API reference: one page, its script and style, and the viewer's files, all embedded.
 *
 * The page is the same for every tenant; its script finds the tenant in the address and asks for that
 * tenant's openapi.json as anybody would. Files have their digest as ETag.
 */
#include "console-api/page.h"

#include "base/embed.h"

extern const struct ar_file console_files[]; /* console-api/web */

static const struct {
	const char *ending, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".png", "image/png" },
};

static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
	"data:; "
	"connect-src 'self'; font-src 'self' data:; base-uri 'none'; form-action 'none'; "
	"frame-ancestors 'none'";

/* "/", "/t/acme", "/t/acme/": the page. "/_/NAME": one of its files. Else none. */
static const struct ar_file *file_of(struct ar_str path)
{
	struct ar_str rest = path;

	if (ar_str_starts(path, AR_STR("/_/"))) {
		rest = ar_str_sub(path, 3, path.n);
		return ar_str_find(rest, '/') < 0 ? ar_file_find(console_files, rest) : NULL;
	}
	if (ar_str_starts(path, AR_STR("/t/"))) {
		rest = ar_str_sub(path, 3, path.n);
		ar_str_cut(&rest, '/');
		return rest.n == 0 ? ar_file_find(console_files, AR_STR("index.html")) : NULL;
	}
	return ar_str_is(path, "/") ? ar_file_find(console_files, AR_STR("index.html")) : NULL;
}

static struct ar_str type_of(struct ar_str path)
{
	for (size_t i = 0; i < AR_COUNT(types); i++)
		if (ar_str_ends(path, ar_str(types[i].ending)))
			return ar_str(types[i].type);
	return AR_STR("application/octet-stream");
}

bool console_page(struct ar_http *http)
{
	const struct ar_file *file = file_of(http->path);
	struct ar_str body, etag;

	if (file == NULL)
		return false;
	body = ar_str_n(file->data, file->size);
	etag = ar_strf(http->pool, "\"%.16s\"", ar_sha256_hex(http->pool, body).p);
	const struct ar_header headers[] = {
		{ AR_STR("content-type"), type_of(ar_str(file->path)) },
		{ AR_STR("content-security-policy"), ar_str(policy) },
		{ AR_STR("x-content-type-options"), AR_STR("nosniff") },
		{ AR_STR("referrer-policy"), AR_STR("no-referrer") },
		{ AR_STR("cache-control"), AR_STR("no-cache") },
		{ AR_STR("etag"), etag },
	};

	if (ar_str_eq(ar_http_header(http, "if-none-match"), etag))
		ar_http_reply(http, 304, headers, AR_COUNT(headers), AR_STR(""));
	else
		ar_http_reply(http, 200, headers, AR_COUNT(headers), body);
	return true;
}
