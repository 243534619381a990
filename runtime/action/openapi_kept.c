/*
 * openapi_kept.c - a tenant's OpenAPI documents, made once and kept until something in them changes.
 *
 * To make one takes a tenth of a second when there are hundreds of collections, so it is done in
 * slices, by one fiber at a time, and once: each module numbers what it would add for a caller
 * (`openapi_stamp`), and a document with the same numbers is the same document. The memory is
 * bounded: a few documents of each tenant that is warm, KEPT_ALL bytes on each loop.
 */
#include <assert.h>

#include "action/action_int.h"

#define KEPT_ONE ((size_t)8 << 20)
#define KEPT_ALL ((size_t)64 << 20)

enum { VIEWS = 4, STAMPS = 8 };

struct document {
	int refs;
	struct ar_pool *pool;
	struct ar_str text, etag; /* text empty: it would be too large */
	size_t nstamps;
	uint64_t stamps[STAMPS]; /* the first: is the caller signed in? */
};

struct kept { /* of one tenant, on one loop */
	struct document *views[VIEWS];
	int next; /* which is replaced by the next one */
	bool making;
	struct ar_cond made;
};

static __thread size_t kept_bytes;

/* ---- documents ---- */

static void document_unref(void *arg)
{
	struct document *document = arg;

	if (document != NULL && --document->refs == 0)
		ar_pool_free(document->pool);
}

static AR_YIELDS int document_new(struct ar_call *call, struct document **ret)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_pool *own = ar_pool_new();
	struct document *document = ar_new(own, struct document);
	struct ar_call made_for = *call;
	struct ar_str text;

	document->refs = 1;
	document->pool = own;
	made_for.pool = pool;
	if (openapi_make(&made_for, &text) != 0) {
		ar_pool_free(own);
		return -1;
	}
	document->text = ar_str_dup(own, text);
	document->etag =
		ar_strf(own, "\"%.*s\"", AR_FMT(ar_str_sub(ar_sha256_hex(pool, text), 0, 24)));
	*ret = document;
	return 0;
}

/* ---- what is kept ---- */

static AR_YIELDS int kept_load(struct ar_tenant *tenant, void **ret)
{
	*ret = ar_heap_new(struct kept);
	return 0;
}

static void view_drop(struct kept *kept, int view)
{
	if (kept->views[view] != NULL)
		kept_bytes -= kept->views[view]->text.n;
	document_unref(kept->views[view]);
	kept->views[view] = NULL;
}

static void kept_unload(void *value)
{
	struct kept *kept = value;

	for (int i = 0; i < VIEWS; i++)
		view_drop(kept, i);
	ar_heap_free(kept);
}

static struct ar_tenant_slot slot = { .name = "openapi", .load = kept_load, .unload = kept_unload };

int openapi_start(void)
{
	ar_tenant_slot_register(&slot);
	return 0;
}

static void keep(struct kept *kept, struct document *document)
{
	view_drop(kept, kept->next);
	if (document->text.n > KEPT_ONE || kept_bytes + document->text.n > KEPT_ALL)
		return;
	document->refs++;
	kept_bytes += document->text.n;
	kept->views[kept->next] = document;
	kept->next = (kept->next + 1) % VIEWS;
}

static struct document *find(const struct kept *kept, const uint64_t *stamps, size_t nstamps)
{
	for (int i = 0; i < VIEWS; i++) {
		struct document *view = kept->views[i];

		if (view != NULL && view->nstamps == nstamps &&
		    memcmp(view->stamps, stamps, nstamps * sizeof(stamps[0])) == 0)
			return view;
	}
	return NULL;
}

/* ---- the call ---- */

static AR_YIELDS int stamps_of(struct ar_call *call, uint64_t *stamps, size_t *ret_n)
{
	size_t n = 0;

	stamps[n++] = call->who->kind != AR_WHO_ANYONE;
	for (const struct ar_module *const *m = ar_modules(); stamps[0] != 0 && *m != NULL; m++) {
		if ((*m)->openapi == NULL)
			continue;
		assert(n < STAMPS);
		if ((*m)->openapi_stamp(call, &stamps[n++]) != 0)
			return -1;
	}
	*ret_n = n;
	return 0;
}

static AR_YIELDS int make(struct ar_call *call, struct kept *kept, const uint64_t *stamps,
			  size_t nstamps, struct document **ret)
{
	struct document *document = NULL;
	int r;

	kept->making = true;
	r = document_new(call, &document);
	kept->making = false;
	ar_cond_broadcast(&kept->made);
	if (r != 0)
		return -1;
	document->nstamps = nstamps;
	memcpy(document->stamps, stamps, nstamps * sizeof(stamps[0]));
	keep(kept, document);
	ar_defer(call->pool, document_unref, document);
	*ret = document;
	return 0;
}

static AR_YIELDS int get(struct ar_call *call, struct document **ret)
{
	uint64_t stamps[STAMPS];
	struct kept *kept;
	void *value;
	size_t n;

	if (stamps_of(call, stamps, &n) != 0 ||
	    ar_tenant_use(call->tenant, &slot, call->pool, &value) != 0)
		return -1;
	kept = value;
	while ((*ret = find(kept, stamps, n)) == NULL) {
		if (!kept->making)
			return make(call, kept, stamps, n, ret);
		if (ar_cond_wait(&kept->made) != 0 || stamps_of(call, stamps, &n) != 0)
			return -1;
	}
	(*ret)->refs++;
	ar_defer(call->pool, document_unref, *ret);
	return 0;
}

AR_YIELDS int openapi_run(struct ar_call *call)
{
	struct document *document;

	if (get(call, &document) != 0)
		return -1;
	if (document->text.n == 0)
		return ar_fail(AR_E_TOO_LARGE, "what", "document");
	ar_reply_header(call, "etag", document->etag);
	return ar_reply_bytes(call, AR_STR("application/json"), document->text);
}
