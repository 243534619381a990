/*
 * idempotency.c - a write that is sent twice with the same Idempotency-Key happens once.
 *
 * The reply is stored in the tenant's database in the same commit as the effect, under the caller,
 * the key and a hash of the request, for 24 hours. The same request gets the stored reply again, a
 * different one 422, one that comes while the first still runs 409. An action that failed stored
 * nothing: it may be tried again. Replies that are files are never stored; writes do not send any.
 * How much may be stored is bounded (replies.c): then a request with a new key is refused.
 *
 * Nothing secret is stored. Of a reply with a secret (AR_A_SECRET_OUT) only the fact stays, and a
 * replay is told so with 409. Secret inputs (passwords) are left out of the hash, which would let
 * whoever has the database try passwords at its speed and not at bcrypt's.
 */
#include <assert.h>
#include <pthread.h>

#include "action/action_int.h"

#define KEEP_MS     (24 * 3600 * 1000LL)
#define KEY_MAX     255
#define PURGE_EVERY 64 /* one write with a key in so many clears away what is too old */
#define PURGE_MAX   500

static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ar_map *running;

static bool running_enter(struct ar_str name)
{
	pthread_mutex_lock(&running_lock);
	if (running == NULL)
		running = ar_map_new();
	bool free = ar_map_get(running, name) == NULL;

	if (free)
		ar_map_set(running, name, running);
	pthread_mutex_unlock(&running_lock);
	return free;
}

void idempotency_leave(struct idempotency *idempotency)
{
	if (!idempotency->held)
		return;
	pthread_mutex_lock(&running_lock);
	ar_map_remove(running, ar_str(idempotency->name));
	if (ar_map_count(running) == 0) {
		ar_map_free(running, NULL);
		running = NULL;
	}
	pthread_mutex_unlock(&running_lock);
	ar_heap_free(idempotency->name);
	idempotency->held = false;
}

static bool key_valid(struct ar_str key)
{
	if (key.n > KEY_MAX)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] < '!' || key.p[i] > '~')
			return false;
	}
	return true;
}

static struct ar_str input_text(const struct ar_call *call)
{
	struct ar_json *open = ar_json_new(call->pool, AR_OBJECT);

	ar_json_each (member, call->input) {
		const struct ar_field *field =
			call->action->in != NULL ? ar_fields_find(call->action->in, member->key)
						 : NULL;
		struct ar_json *copy = ar_new(call->pool, struct ar_json);

		if (field != NULL && field->secret)
			continue;
		*copy = *member;
		copy->next = NULL;
		ar_json_set(open, member->key, copy);
	}
	return ar_json_print(call->pool, open);
}

/* What makes two requests the same: the action and everything that goes into it, but secrets. */
static struct ar_str request_hash(const struct ar_call *call)
{
	struct ar_sha256 *h = ar_sha256_new();
	unsigned char digest[AR_SHA256_LEN];
	struct ar_str input = input_text(call);
	bool raw = (call->action->flags & AR_A_RAW_IN) != 0;

	ar_sha256_add(h, call->action->name, strlen(call->action->name) + 1);
	if (raw) /* such a row may look at the whole address */
		ar_sha256_add(h, call->target.p, call->target.n);
	ar_sha256_add(h, "", 1);
	ar_sha256_add(h, input.p, input.n);
	ar_sha256_add(h, "", 1);
	ar_sha256_add(h, call->body.p, call->body.n);
	ar_sha256_end(h, digest);
	return ar_hex(call->pool, digest, sizeof(digest));
}

static struct ar_str caller_name(const struct ar_call *call)
{
	return ar_strf(call->pool, "%d:%.*s", (int)call->who->kind, AR_FMT(call->who->id));
}

/* ---- replay ---- */

enum { COL_HASH, COL_STATUS, COL_KIND, COL_TYPE, COL_HEADERS, COL_BODY };

static int replay_headers(struct ar_call *call, struct ar_str text)
{
	struct ar_json *headers;

	if (ar_json_parse(call->pool, text, &ar_json_limits_default, &headers) != 0)
		return ar_fail_over(AR_E_INTERNAL);
	ar_json_each (header, headers)
		ar_reply_header(call, ar_strz(call->pool, header->key), header->s);
	ar_reply_header(call, "idempotency-replayed", AR_STR("true"));
	return 0;
}

static int replay(struct ar_call *call, const struct ar_rows *row)
{
	struct ar_str body = ar_col_str(row, COL_BODY);

	call->reply.kind = (enum ar_reply_kind)ar_col_int(row, COL_KIND);
	if (call->reply.kind == AR_REPLY_JSON) {
		call->reply.json = ar_buf_new(call->pool, body.n);
		ar_buf_str(call->reply.json, body);
	} else if (call->reply.kind == AR_REPLY_BYTES) {
		call->reply.content_type = ar_col_str(row, COL_TYPE);
		if (ar_base64_decode(call->pool, body, &call->reply.bytes) != 0)
			return ar_fail_over(AR_E_INTERNAL);
	}
	call->reply.status = (int)ar_col_int(row, COL_STATUS);
	return replay_headers(call, ar_col_str(row, COL_HEADERS));
}

/* 1: replayed, 0: there is none that still counts. */
static AR_YIELDS int find_stored(struct ar_call *call, const struct idempotency *idempotency)
{
	struct ar_rows rows;

	if (ar_query(&call->scope, &rows,
		     "SELECT hash, status, kind, type, headers, body FROM action_reply "
		     "WHERE caller = ? AND key = ? AND created > ?",
		     AR_ARGS(AR_J_STR(idempotency->caller), AR_J_STR(call->idempotency_key),
			     AR_J_INT(ar_now_ms() - KEEP_MS))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return 0;
	if (!ar_str_eq(ar_col_str(&rows, COL_HASH), idempotency->hash))
		return ar_fail(AR_E_KEY_REUSED);
	if (call->action->flags & AR_A_SECRET_OUT)
		return ar_fail(AR_E_KEY_SECRET);
	return replay(call, &rows) != 0 ? -1 : 1;
}

AR_YIELDS int idempotency_enter(struct ar_call *call, struct idempotency *ret)
{
	if (call->idempotency_key.n == 0 || call->tenant == NULL ||
	    !(call->action->flags & AR_A_WRITE))
		return 0;
	if (!key_valid(call->idempotency_key))
		return ar_fail(AR_E_MALFORMED, "what", "Idempotency-Key", "reason",
			       "not 1 to 255 visible ASCII characters");
	ret->caller = caller_name(call);
	ret->hash = request_hash(call);
	struct ar_str name = ar_strf(call->pool, "%.*s\n%.*s\n%.*s", AR_FMT(call->tenant->id),
				     AR_FMT(ret->caller), AR_FMT(call->idempotency_key));

	if (!running_enter(name)) {
		ar_reply_header(call, "retry-after", AR_STR("1"));
		return ar_fail(AR_E_KEY_RUNNING);
	}
	ret->held = true;
	ret->name = ar_heap_strz(name);
	int rc = find_stored(call, ret);

	if (rc == 1)
		idempotency_leave(ret);
	return rc == 0 ? replies_room(call, KEEP_MS) : rc;
}

/* ---- store ---- */

static struct ar_str headers_text(const struct ar_call *call)
{
	struct ar_buf *buf = ar_buf_new(call->pool, 64 * 1024);
	struct ar_jw w;

	ar_jw_init(&w, buf);
	ar_jw_object(&w);
	for (size_t i = 0; i < call->reply.nheaders; i++) {
		ar_jw_keyz(&w, call->reply.headers[i].name);
		ar_jw_str(&w, call->reply.headers[i].value);
	}
	ar_jw_object_end(&w);
	return ar_buf_view(buf);
}

static struct ar_str body_text(const struct ar_call *call)
{
	if (call->reply.kind == AR_REPLY_JSON)
		return ar_buf_view(call->reply.json);
	if (call->reply.kind == AR_REPLY_BYTES)
		return ar_base64(call->pool, call->reply.bytes.p, call->reply.bytes.n);
	return AR_STR("");
}

static AR_YIELDS int purge(struct ar_call *call, int64_t before)
{
	if (ar_random_below(PURGE_EVERY) != 0)
		return 0;
	return ar_exec(&call->scope,
		       "DELETE FROM action_reply WHERE (caller, key) IN (SELECT caller, key "
		       "FROM action_reply WHERE created <= ? ORDER BY created LIMIT ?)",
		       AR_ARGS(AR_J_INT(before), AR_J_INT(PURGE_MAX)), NULL);
}

AR_YIELDS int idempotency_store(struct ar_call *call, const struct idempotency *idempotency)
{
	int64_t now = ar_now_ms(), changed, size;
	bool secret = (call->action->flags & AR_A_SECRET_OUT) != 0;
	struct ar_str headers = secret ? AR_STR("{}") : headers_text(call);
	struct ar_str body = secret ? AR_STR("") : body_text(call);

	assert(call->reply.kind != AR_REPLY_FILE);
	size = replies_add(call, (int64_t)(idempotency->caller.n + call->idempotency_key.n +
					   headers.n + body.n));
	/* Another process may have been faster (PostgreSQL): then nothing changes here. */
	if (ar_exec(&call->scope,
		    "INSERT INTO action_reply (caller, key, action, hash, status, kind, type, "
		    "headers, body, created, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		    "ON CONFLICT (caller, key) DO UPDATE SET action = excluded.action, "
		    "hash = excluded.hash, status = excluded.status, kind = excluded.kind, "
		    "type = excluded.type, headers = excluded.headers, body = excluded.body, "
		    "created = excluded.created, size = excluded.size WHERE action_reply.created "
		    "<= ?",
		    AR_ARGS(AR_J_STR(idempotency->caller), AR_J_STR(call->idempotency_key),
			    AR_J_Z(call->action->name), AR_J_STR(idempotency->hash),
			    AR_J_INT(call->reply.status), AR_J_INT(call->reply.kind),
			    AR_J_STR(call->reply.content_type), AR_J_STR(headers), AR_J_STR(body),
			    AR_J_INT(now), AR_J_INT(size), AR_J_INT(now - KEEP_MS)),
		    &changed) != 0)
		return -1;
	if (changed == 0)
		return ar_fail(AR_E_KEY_RUNNING);
	return purge(call, now - KEEP_MS);
}
