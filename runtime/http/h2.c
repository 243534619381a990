/*
 * h2.c - requests and replies over HTTP/2, which h2o speaks.
 *
 * h2o's request may vanish at any moment: a chunk of its pool with a destructor tells us, and its
 * strings are copied before the fiber starts. The body's buffer is taken from h2o's stream, not
 * copied. A reply's memory stays until h2o has let go of the request.
 *
 * Errors that h2o makes by itself (a header with a forbidden character) are plain text; a filter
 * puts our problem+json in their place.
 */
#include "http/h2_int.h"

static struct conn *conn_of(h2o_req_t *req)
{
	return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

static h2o_http2_stream_t *stream_of(h2o_req_t *req)
{
	return H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
}

/* ---- replies ---- */

static void on_proceed(h2o_generator_t *generator, AR_UNUSED h2o_req_t *req)
{
	struct ar_http_int *ex = AR_CONTAINER(generator, struct ar_http_int, generator);

	ex->can_send = true;
	ar_cond_signal(&ex->moved);
}

static void refuse_proceed(AR_UNUSED h2o_generator_t *generator, AR_UNUSED h2o_req_t *req)
{
}

static h2o_generator_t refuse_generator = { refuse_proceed, NULL };

static void put_headers(h2o_req_t *req, const struct ar_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *name = h2o_mem_alloc_pool(&req->pool, headers[i].name.n);

		/* HTTP/2 wants names in lower case */
		for (size_t k = 0; k < headers[i].name.n; k++)
			name[k] = (char)h2o_tolower(headers[i].name.p[k]);
		h2o_add_header_by_str(&req->pool, &req->res.headers, name, headers[i].name.n, 1,
				      NULL, headers[i].value.p, headers[i].value.n);
	}
}

void h2_reply(struct ar_http_int *ex, const struct reply *r)
{
	h2o_iovec_t body = h2o_iovec_init(r->body.p, r->body.n);
	struct conn *c = ex->conn;

	ex->req->res.status = r->status;
	if (r->length >= 0)
		ex->req->res.content_length = (size_t)r->length;
	put_headers(ex->req, r->headers, r->nheaders);
	ex->mark_ms = ar_mono_ms();
	h2o_start_response(ex->req, &ex->generator);
	h2o_send(ex->req, &body, r->body.n > 0,
		 ex->streaming ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_FINAL);
	h2_hook(c);
}

int h2_send(struct ar_http_int *ex, const char *p, size_t n, bool last)
{
	h2o_iovec_t block = h2o_iovec_init(p, n);

	while (!ex->gone && !ex->can_send)
		if (ar_cond_wait(&ex->moved) != 0)
			return -1;
	if (ex->gone)
		return -1;
	ex->can_send = false;
	h2o_send(ex->req, &block, 1, last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
	h2_hook(ex->conn);
	if (last)
		ex->streaming = false;
	while (!last && !ex->gone && !ex->can_send)
		if (ar_cond_wait(&ex->moved) != 0)
			return -1;
	return ex->gone ? -1 : 0;
}

/* The stream ends with an error, so that the client notices that something is missing. */
void h2_abort(struct ar_http_int *ex)
{
	h2o_http2_conn_t *conn = (h2o_http2_conn_t *)ex->req->conn;
	h2o_http2_stream_t *stream = stream_of(ex->req);

	if (conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
		return;
	h2o_http2_encode_rst_stream_frame(&conn->_write.buf, stream->stream_id,
					  -H2O_HTTP2_ERROR_INTERNAL);
	h2o_http2_conn_request_write(conn);
	h2o_http2_stream_reset(conn, stream);
}

/* Makes the reply's headers those of a refusal, and gives its body. */
static h2o_iovec_t refusal_of(h2o_req_t *req, int status, const char *slug, struct ar_str language)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_http_refusal refusal;
	h2o_iovec_t body;

	server_refusal(pool, status, slug, language, &refusal);
	body = h2o_strdup(&req->pool, refusal.body.p, refusal.body.n);
	memset(&req->res.headers, 0, sizeof(req->res.headers));
	for (size_t i = 0; i < refusal.nheaders; i++) {
		const struct ar_header *h = &refusal.headers[i];
		h2o_iovec_t name = h2o_strdup(&req->pool, h->name.p, h->name.n);
		h2o_iovec_t value = h2o_strdup(&req->pool, h->value.p, h->value.n);

		h2o_add_header_by_str(&req->pool, &req->res.headers, name.base, name.len, 1, NULL,
				      value.base, value.len);
	}
	req->res.content_length = body.len;
	return body;
}

/* Without an exchange or a fiber: for what is refused before it runs. */
static void refuse(h2o_req_t *req, int status, const char *slug)
{
	struct conn *c = conn_of(req);
	ssize_t lang = h2o_find_header_by_str(&req->headers, H2O_STRLIT("accept-language"), -1);
	struct ar_str language = AR_STR_NONE;
	h2o_iovec_t body;

	if (lang >= 0)
		language = ar_str_n(req->headers.entries[lang].value.base,
				    req->headers.entries[lang].value.len);
	body = refusal_of(req, status, slug, language);
	count(&c->l->n.refused, 1);
	req->res.status = status;
	h2o_start_response(req, &refuse_generator);
	h2o_send(req, &body, !h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")),
		 H2O_SEND_STATE_FINAL);
}

/* ---- requests ---- */

static struct ar_str str_of(h2o_iovec_t v)
{
	return ar_str_n(v.base, v.len);
}

/* `host` beside :authority says the same, or somebody between us would send the request elsewhere. */
static bool host_agrees(const h2o_req_t *req, size_t nheaders)
{
	struct ar_str authority = str_of(req->input.authority);

	for (size_t i = 0; i < nheaders; i++) {
		const h2o_header_t *h = &req->headers.entries[i];

		if (ar_str_is(str_of(*h->name), "host") &&
		    !ar_str_caseeq(ar_str_trim(str_of(h->value)), authority))
			return false;
	}
	return true;
}

/* The head as HTTP/1.1 would check it. Returns false when it was refused. */
static bool check_head(struct conn *c, h2o_req_t *req, size_t nheaders)
{
	struct ar_str method = str_of(req->input.method), path = str_of(req->input.path);
	h2o_http2_stream_t *stream = stream_of(req);
	size_t size = path.n;
	bool star = ar_str_is(path, "*") && ar_str_is(method, "OPTIONS");

	for (size_t i = 0; i < nheaders; i++)
		size += req->headers.entries[i].name->len + req->headers.entries[i].value.len;
	if (nheaders > H1_HEADERS_MAX || size > H1_HEAD_MAX) {
		h2_watch_spend(&c->h2->watch, H2_RESETS, 10, ar_mono_ms());
		refuse(req, 431, "http/headers-too-large");
	} else if (method.n > H1_METHOD_MAX || ar_str_is(method, "CONNECT")) {
		refuse(req, 501, "http/method-unknown");
	} else if (path.n > H1_TARGET_MAX) {
		refuse(req, 414, "http/uri-too-long");
	} else if (!http_token(method) || !http_target(path) ||
		   !(star || (path.n > 0 && path.p[0] == '/')) ||
		   req->input.authority.base == req->hostconf->authority.hostport.base ||
		   !http_authority(str_of(req->input.authority)) || !host_agrees(req, nheaders)) {
		refuse(req, 400, "malformed");
	} else if (stream->_req_body == NULL && stream->_expected_content_length != SIZE_MAX &&
		   stream->_expected_content_length != 0) {
		refuse(req, 400, "malformed"); /* a length, and nothing that has it */
	} else {
		return true;
	}
	return false;
}

/* Cookies may come as one header each; everything else expects one line. */
static struct ar_str join_cookies(struct ar_pool *pool, struct ar_str a, struct ar_str b)
{
	return ar_strf(pool, "%.*s; %.*s", AR_FMT(a), AR_FMT(b));
}

static void copy_headers(struct ar_http *http, const h2o_req_t *req, size_t n)
{
	struct ar_header *headers = ar_new_n(http->pool, struct ar_header, n + 1);
	struct ar_header *cookie = NULL;
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		const h2o_header_t *h = &req->headers.entries[i];
		struct ar_str name = ar_str_dup(http->pool, str_of(*h->name));
		struct ar_str value = ar_str_trim(ar_str_dup(http->pool, str_of(h->value)));

		if (cookie != NULL && ar_str_is(name, "cookie")) {
			cookie->value = join_cookies(http->pool, cookie->value, value);
			continue;
		}
		headers[used] = (struct ar_header){ name, value };
		if (ar_str_is(name, "cookie"))
			cookie = &headers[used];
		used++;
	}
	http->headers = headers;
	http->nheaders = used;
}

static void copy_request(struct ar_http_int *ex, h2o_req_t *req, size_t nheaders)
{
	struct ar_http *http = &ex->http;
	struct ar_str path = ar_str_dup(http->pool, str_of(req->input.path));
	h2o_http2_stream_t *stream = stream_of(req);
	ptrdiff_t mark = ar_str_find(path, '?');

	http->method = ar_str_dup(http->pool, str_of(req->input.method));
	http->scheme = ar_str_dup(http->pool, str_of(req->input.scheme->name));
	http->authority = ar_str_dup(http->pool, str_of(req->input.authority));
	http->path = mark < 0 ? path : ar_str_sub(path, 0, (size_t)mark);
	http->query = mark < 0 ? AR_STR("") : ar_str_sub(path, (size_t)mark + 1, path.n);
	http->version = 20;
	copy_headers(http, req, nheaders);
	if (stream->_req_body != NULL) {
		ex->h2_body = stream->_req_body;
		stream->_req_body = NULL;
		http->body = ar_str_n(ex->h2_body->bytes, ex->h2_body->size);
	}
}

struct held { /* in h2o's pool of the request */
	struct ar_http_int *ex;
};

/* h2o lets go of the request: after the reply, or because the stream or connection ended early. */
static void on_dispose(void *arg)
{
	struct ar_http_int *ex = ((struct held *)arg)->ex;
	struct conn *c = ex->conn;

	ex->req = NULL;
	if (ex->replied && !ex->streaming) {
		ex->sent = true;
		exchange_settle(ex);
		return;
	}
	count(&ex->l->n.resets, 1);
	c->h2->early++;
	exchange_gone(ex);
}

static int on_req(AR_UNUSED h2o_handler_t *self, h2o_req_t *req)
{
	struct conn *c = conn_of(req);
	size_t nheaders = req->headers.size;
	struct h1_refusal why = { 0, NULL };
	int64_t now_us = ar_mono_us();
	struct ar_http_int *ex;
	struct held *held;

	if (req->version < 0x200) { /* an upgrade that h2o would not make */
		req->http1_is_persistent = 0;
		refuse(req, 400, "malformed");
		return 0;
	}
	h2_request(c, stream_of(req)->stream_id, &nheaders, &why);
	if (why.slug != NULL) {
		refuse(req, why.status, why.slug);
		return 0;
	}
	if (!check_head(c, req, nheaders))
		return 0;
	ex = exchange_new(c, now_us);
	ex->req = req;
	ex->generator.proceed = on_proceed;
	if (!exchange_charge(ex, req->entity.len)) {
		exchange_discard(ex);
		refuse(req, 503, "unavailable");
		return 0;
	}
	copy_request(ex, req, nheaders);
	held = h2o_mem_alloc_shared(&req->pool, sizeof(*held), on_dispose);
	held->ex = ex;
	exchange_start(ex, now_us);
	return 0;
}

/* ---- h2o's own errors ---- */

struct error_stream {
	h2o_ostream_t super;
	h2o_iovec_t body;
};

static void error_send(h2o_ostream_t *self, h2o_req_t *req, AR_UNUSED h2o_iovec_t *bufs,
		       AR_UNUSED size_t n, AR_UNUSED h2o_send_state_t state)
{
	struct error_stream *e = (struct error_stream *)self;

	h2o_ostream_send_next(self, req, &e->body, e->body.len > 0, H2O_SEND_STATE_FINAL);
}

static void on_setup_ostream(AR_UNUSED h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
	bool ours = req->_generator != NULL && (req->_generator->proceed == on_proceed ||
						req->_generator->proceed == refuse_proceed);

	if (!ours && req->res.status >= 400) {
		const char *slug = req->res.status == 400 ? "malformed" : "internal";
		struct error_stream *e =
			(struct error_stream *)h2o_add_ostream(req, sizeof(*e), slot);

		count(&conn_of(req)->l->n.refused, 1);
		e->super.do_send = error_send;
		e->body = refusal_of(req, req->res.status, slug, AR_STR_NONE);
		if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")))
			e->body.len = 0;
		slot = &e->super.next;
	}
	h2o_setup_next_ostream(req, slot);
}

/* h2o drops `host` without a look at it, as this bit of its table of names tells it to. */
static void see_host(void)
{
	h2o_token_t *host = (h2o_token_t *)(uintptr_t)h2o_lookup_token(H2O_STRLIT("host"));

	host->http2_should_reject = 0;
}

void h2_setup(struct ar_server *server)
{
	h2o_globalconf_t *conf = &server->conf;
	h2o_handler_t *handler;

	see_host();

	h2o_config_init(conf);
	conf->server_name = h2o_iovec_init(H2O_STRLIT("apprun"));
	conf->max_request_entity_size = SIZE_MAX / 2; /* h2_body.c says when it is too much */
	conf->http1.upgrade_to_http2 = 1;
	conf->http2.idle_timeout = (uint64_t)server->options.idle_ms;
	server->host = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	server->host->http2.reprioritize_blocking_assets = 0;
	server->host->http2.push_preload = 0;
	handler = h2o_create_handler(&server->host->fallback_path, sizeof(*handler));
	handler->on_req = on_req;
	h2o_create_filter(&server->host->fallback_path, sizeof(h2o_filter_t))->on_setup_ostream =
		on_setup_ostream;
}
