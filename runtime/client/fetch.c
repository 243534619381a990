/*
 * fetch.c - one HTTP call: check the request, find the addresses, transfer, follow redirects.
 *
 * Redirects are followed here and not by libcurl: each hop is parsed, resolved and checked like the
 * first, and what is meant for one origin is not shown to another. The time limit narrows the
 * fiber's deadline, so that every wait inside ends with it.
 */
#include <arpa/inet.h>
#include <curl/curl.h>

#include "client/client_int.h"

#define TIMEOUT_MS     30000
#define CONNECT_MS     10000L
#define SLOW_BYTES     64L /* a second, */
#define SLOW_SECONDS   60L /* for so long */
#define RESPONSE_MAX   ((size_t)10 << 20)
#define FOLLOW_MAX     20
#define HEADERS_MAX    100 /* sent */
#define HEADERS_BYTES  ((size_t)32 << 10)
#define RECEIVED_MAX   200 /* headers of a reply */
#define RECEIVED_BYTES ((size_t)64 << 10)

const struct ar_err_def AR_E_CLIENT_URL[1] = { { "client/bad-url", 422 } };
const struct ar_err_def AR_E_CLIENT_REQUEST[1] = { { "client/bad-request", 422 } };
const struct ar_err_def AR_E_CLIENT_ADDRESS[1] = { { "client/refused-address", 422 } };
const struct ar_err_def AR_E_CLIENT_REDIRECTS[1] = { { "client/too-many-redirects", 502 } };
const struct ar_err_def AR_E_CLIENT_TOO_LARGE[1] = { { "client/too-large", 502 } };
const struct ar_err_def AR_E_CLIENT_FAILED[1] = { { "client/failed", 503 } };
const struct ar_err_def AR_E_CLIENT_BUSY[1] = { { "client/busy", 503 } };
const struct ar_err_def AR_E_CLIENT_TIMEOUT[1] = { { "client/timeout", 504 } };

/* One request and its reply: a call has as many as it has hops. */
struct hop {
	struct ar_pool *pool;
	const struct ar_fetch *req;
	struct client_url url;
	struct ar_str method, body;
	bool same_origin; /* as the first */
	size_t max;

	struct mux_call call;
	struct client_guard guard;
	struct curl_slist *sent, *resolve;
	char why[CURL_ERROR_SIZE];
	struct ar_buf *received;
	struct ar_fetch_header *headers;
	size_t nheaders, header_bytes;
	bool too_large;
	char *location; /* absolute, when the reply is a redirect */
	int status;
};

/* ---- the request ---- */

static bool is_token(struct ar_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c <= ' ' || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return s.n > 0;
}

static bool is_one_of(struct ar_str name, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (ar_str_caseeq(name, ar_str(*list)))
			return true;
	}
	return false;
}

/* Those that decide where a message ends and whom it is for are libcurl's to write. */
static bool header_ok(const struct ar_fetch_header *header)
{
	static const char *const ours[] = {
		"Host",
		"Content-Length",
		"Transfer-Encoding",
		"Connection",
		"Keep-Alive",
		"Proxy-Connection",
		"Proxy-Authorization",
		"TE",
		"Trailer",
		"Upgrade",
		"Expect",
		"Accept-Encoding",
		NULL,
	};

	if (!is_token(header->name) || is_one_of(header->name, ours))
		return false;
	for (size_t i = 0; i < header->value.n; i++) {
		unsigned char c = header->value.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7F)
			return false;
	}
	return true;
}

static int request_check(struct ar_pool *pool, const struct ar_fetch *req)
{
	static const char *const refused[] = { "CONNECT", "TRACE", NULL };
	size_t bytes = 0;

	if (req->method.n > 0 &&
	    (!is_token(req->method) || req->method.n > 20 || is_one_of(req->method, refused)))
		return ar_fail(AR_E_CLIENT_REQUEST, "what", "method");
	if (req->nheaders > HEADERS_MAX)
		return ar_fail(AR_E_CLIENT_REQUEST, "what", "headers");
	for (size_t i = 0; i < req->nheaders; i++) {
		const struct ar_fetch_header *header = &req->headers[i];

		if (!header_ok(header))
			return ar_fail(AR_E_CLIENT_REQUEST, "what",
				       is_token(header->name) ? ar_strz(pool, header->name)
							      : "headers");
		bytes += header->name.n + header->value.n;
		if (bytes > HEADERS_BYTES)
			return ar_fail(AR_E_CLIENT_REQUEST, "what", "headers");
	}
	return 0;
}

static void slist_add(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer != NULL) /* without memory the process ends elsewhere soon */
		*list = longer;
}

static void send_headers(struct hop *hop)
{
	static const char *const harmless[] = {
		"Accept", "Accept-Language", "Content-Type", "User-Agent", NULL,
	};
	bool typed = false, named = false;

	for (size_t i = 0; i < hop->req->nheaders; i++) {
		const struct ar_fetch_header *header = &hop->req->headers[i];
		struct ar_str value = ar_str_trim(header->value);

		if (!hop->same_origin && !is_one_of(header->name, harmless))
			continue;
		typed = typed || ar_str_caseeq(header->name, AR_STR("Content-Type"));
		named = named || ar_str_caseeq(header->name, AR_STR("User-Agent"));
		slist_add(&hop->sent,
			  value.n == 0 /* how libcurl is told of a header without a value */
				  ? ar_printf(hop->pool, "%.*s;", AR_FMT(header->name))
				  : ar_printf(hop->pool, "%.*s: %.*s", AR_FMT(header->name),
					      AR_FMT(value)));
	}
	if (!typed)
		slist_add(&hop->sent, "Content-Type:");
	if (!named)
		slist_add(&hop->sent, "User-Agent: apprun");
	slist_add(&hop->sent, "Expect:");
}

/* ---- the reply ---- */

static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
	struct hop *hop = arg;
	struct ar_str line = ar_str_n(p, size * n), name;
	struct ar_fetch_header *header;

	if (ar_str_starts(line, AR_STR("HTTP/"))) { /* the last of several counts: 100, then 200 */
		hop->nheaders = 0;
		return line.n;
	}
	if (hop->received->n > 0 || ar_str_find(line, ':') <= 0)
		return line.n; /* the empty line, and trailers */
	hop->header_bytes += line.n;
	if (hop->nheaders == RECEIVED_MAX || hop->header_bytes > RECEIVED_BYTES) {
		hop->too_large = true;
		return 0;
	}
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	name = ar_str_cut(&line, ':');
	header = &hop->headers[hop->nheaders++];
	header->name = ar_str_lower(hop->pool, ar_str_trim(name));
	header->value = ar_str_dup(hop->pool, ar_str_trim(line));
	return size * n;
}

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
	struct hop *hop = arg;

	if (size * n > hop->received->max - hop->received->n) {
		hop->too_large = true;
		return 0; /* libcurl ends the transfer */
	}
	ar_buf_add(hop->received, p, size * n);
	return size * n;
}

/* After decompression they would tell of bytes that nobody sees. */
static void drop_encoding(struct hop *hop)
{
	static const char *const gone[] = { "content-encoding", "content-length", NULL };
	bool encoded = false;
	size_t kept = 0;

	for (size_t i = 0; i < hop->nheaders; i++)
		encoded = encoded || ar_str_is(hop->headers[i].name, "content-encoding");
	if (!encoded || ar_str_is(hop->method, "HEAD"))
		return;
	for (size_t i = 0; i < hop->nheaders; i++) {
		if (!is_one_of(hop->headers[i].name, gone))
			hop->headers[kept++] = hop->headers[i];
	}
	hop->nheaders = kept;
}

static int transfer_error(struct hop *hop)
{
	CURLcode code = hop->call.code;
	const char *why = hop->why[0] != '\0' ? hop->why : curl_easy_strerror(code);

	if (hop->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return ar_fail(AR_E_CLIENT_TOO_LARGE, "max", ar_printf(hop->pool, "%zu", hop->max));
	if (hop->guard.refused)
		return ar_fail(AR_E_CLIENT_ADDRESS, "host", hop->url.host);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ar_fail(AR_E_CLIENT_TIMEOUT, "host", hop->url.host);
	ar_fail_why(AR_E_INTERNAL, "libcurl %d: %s", (int)code, why);
	return ar_fail_over(AR_E_CLIENT_FAILED, "host", hop->url.host);
}

/* ---- a hop ---- */

/* Tells libcurl the addresses, so that it has no name to look up. */
static int hop_resolve(struct hop *hop)
{
	struct ar_buf *line = ar_buf_new(hop->pool, 4096);
	struct client_addrs addrs = { .n = 1 };
	char text[INET6_ADDRSTRLEN];
	int open = 0;

	if (hop->url.literal)
		client_addr_parse(hop->url.host, &addrs.addr[0]);
	else if (resolver_find(client_resolver(), hop->url.host, &addrs) != 0)
		return -1;
	ar_buf_printf(line, "+%s:%d", hop->url.host, hop->url.port);
	for (int i = 0; i < addrs.n; i++) {
		bool v6;

		if (hop->guard.on && !client_addr_open(&addrs.addr[i]))
			continue;
		client_addr_print(&addrs.addr[i], text);
		v6 = strchr(text, ':') != NULL;
		ar_buf_printf(line, v6 ? "%c[%s]" : "%c%s", open++ == 0 ? ':' : ',', text);
	}
	if (open == 0)
		return ar_fail(AR_E_CLIENT_ADDRESS, "host", hop->url.host);
	ar_buf_char(line, '\0');
	if (!hop->url.literal)
		slist_add(&hop->resolve, line->p);
	return 0;
}

static void hop_method(struct hop *hop, CURL *easy)
{
	bool head = ar_str_is(hop->method, "HEAD"), get = ar_str_is(hop->method, "GET");

	if (head) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (hop->body.n > 0 || !get) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, hop->body.n > 0 ? hop->body.p : "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)hop->body.n);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, ar_strz(hop->pool, hop->method));
}

static void hop_setup(struct hop *hop, CURL *easy)
{
	client_easy_setup(easy, &hop->guard);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_URL, hop->url.text);
	curl_easy_setopt(easy, CURLOPT_RESOLVE, hop->resolve);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never join a look-up's thread */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, hop->sent);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)hop->max);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, hop);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, hop);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, hop->why);
	hop_method(hop, easy);
}

static int hop_transfer(struct hop *hop)
{
	char *location = NULL;
	long status = 0;
	CURL *easy = hop->call.easy;

	hop_setup(hop, easy);
	if (mux_run(&hop->call) != 0)
		return -1;
	if (hop->call.code != CURLE_OK)
		return transfer_error(hop);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &location);
	hop->status = (int)status;
	if (location != NULL)
		hop->location = ar_strz(hop->pool, ar_str(location));
	drop_encoding(hop);
	return 0;
}

static int hop_run(struct hop *hop)
{
	int rc;

	hop->guard.on = !hop->req->allow_private;
	if (hop_resolve(hop) != 0)
		return -1;
	client_start();
	hop->received = ar_buf_new(hop->pool, hop->max);
	hop->headers = ar_new_n(hop->pool, struct ar_fetch_header, RECEIVED_MAX);
	hop->call.host = hop->url.host;
	hop->call.easy = curl_easy_init();
	if (hop->call.easy == NULL) {
		curl_slist_free_all(hop->resolve);
		return ar_fail_why(AR_E_INTERNAL, "libcurl gives no handle");
	}
	send_headers(hop);
	rc = hop_transfer(hop);
	curl_easy_cleanup(hop->call.easy);
	curl_slist_free_all(hop->sent);
	curl_slist_free_all(hop->resolve);
	return rc;
}

/* ---- the call ---- */

/* Prepares the next hop from the last. False: the reply is to be given as it is. */
static int next_hop(const struct hop *last, const char *first_origin, struct hop *ret, bool *ret_go)
{
	bool see_other = last->status == 303 && !ar_str_is(last->method, "HEAD");
	bool moved =
		(last->status == 301 || last->status == 302) && ar_str_is(last->method, "POST");
	struct hop next = { .pool = last->pool, .req = last->req, .max = last->max };

	*ret_go = false;
	if (last->location == NULL || last->status == 304)
		return 0;
	if (client_url_parse(last->pool, ar_str(last->location), &next.url) != 0)
		return -1;
	if (last->url.secure && !next.url.secure)
		return 0;
	next.method = see_other || moved ? AR_STR("GET") : last->method;
	next.body = see_other || moved ? AR_STR_NONE : last->body;
	next.same_origin = last->same_origin && strcmp(next.url.origin, first_origin) == 0;
	ar_buf_done(last->received); /* a call holds one reply, however many led to it */
	*ret = next;
	*ret_go = true;
	return 0;
}

static int fetch_run(struct ar_pool *pool, const struct ar_fetch *req, struct ar_fetched *ret)
{
	struct hop hop = {
		.pool = pool,
		.req = req,
		.method = req->method.n > 0 ? req->method : AR_STR("GET"),
		.body = req->body,
		.same_origin = true,
		.max = req->response_max > 0 ? req->response_max : RESPONSE_MAX,
	};
	const char *first_origin;
	bool go = false;

	if (request_check(pool, req) != 0 || client_url_parse(pool, req->url, &hop.url) != 0)
		return -1;
	first_origin = hop.url.origin;
	for (int followed = 0;; followed++) {
		if (ar_cancelled() && ar_sleep(0) != 0)
			return -1;
		if (hop_run(&hop) != 0)
			return -1;
		if (req->follow > 0 && next_hop(&hop, first_origin, &hop, &go) != 0)
			return -1;
		if (!go)
			break;
		if (followed >= AR_MIN(req->follow, FOLLOW_MAX))
			return ar_fail(AR_E_CLIENT_REDIRECTS, "host", hop.url.host);
	}
	*ret = (struct ar_fetched){
		.status = hop.status,
		.headers = hop.headers,
		.nheaders = hop.nheaders,
		.body = ar_buf_view(hop.received),
		.url = ar_str(hop.url.text),
	};
	return 0;
}

int ar_fetch(struct ar_pool *pool, const struct ar_fetch *req, struct ar_fetched *ret)
{
	int64_t own = ar_mono_ms() + (req->timeout_ms > 0 ? req->timeout_ms : TIMEOUT_MS);
	int64_t before = ar_deadline_set(AR_MIN(own, ar_deadline()));
	int rc = fetch_run(pool, req, ret);

	ar_deadline_set(before);
	/* the fiber may go on: it was this call that had no time left */
	if (rc != 0 && ar_err_is(AR_E_DEADLINE) && !ar_cancelled())
		return ar_fail(AR_E_CLIENT_TIMEOUT);
	return rc;
}

struct ar_str ar_fetched_header(const struct ar_fetched *reply, const char *name)
{
	for (size_t i = 0; i < reply->nheaders; i++) {
		if (ar_str_caseeq(reply->headers[i].name, ar_str(name)))
			return reply->headers[i].value;
	}
	return AR_STR_NONE;
}
