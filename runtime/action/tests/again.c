/*
 * again.c - a call that comes again with its Idempotency-Key: run once, answered twice.
 */
#include "action/tests/door.h"

TEST(same_key_once)
{
	struct ar_who *other = who_with(w->pool, AR_WHO_USER, "u9", "[\"*\"]");
	struct ar_call *first, *again;

	assert_ok(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k1",
			  &first));
	assert_ok(request(w, w->writer, "POST /things", "application/json", "{ \"n\": 1 }", "k1",
			  &again));
	assert_int_equal(again->reply.status, 201);
	assert_true(ar_str_eq(ar_buf_view(first->reply.json), ar_buf_view(again->reply.json)));
	assert_int_equal(again->reply.nheaders, 2); /* etag, and idempotency-replayed */
	assert_string_equal(again->reply.headers[0].name, "etag");
	assert_str(again->reply.headers[0].value, "\"v2\"");
	assert_int_equal(runs, 1);
	assert_int_equal(things(w), 1);

	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k1",
			     &again),
		     AR_E_KEY_REUSED);
	assert_fails(request(w, w->writer, "PUT /things/1", "application/json", "{\"n\":1}", "k1",
			     &again),
		     AR_E_KEY_REUSED);
	assert_ok(request(w, other, "POST /things", "application/json", "{\"n\":2}", "k1", &again));
	assert_int_equal(things(w), 2); /* another caller's key is another key */

	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":13}", "k2",
			     &again),
		     AR_E_CONFLICT);
	assert_ok(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k2",
			  &again)); /* what failed may be tried again */
	assert_fails(request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k 3",
			     &again),
		     AR_E_MALFORMED);

	assert_ok(request(w, w->writer, "PUT /bytes", "", "\x01\xff text", "k4", &again));
	assert_ok(request(w, w->writer, "PUT /bytes", "", "\x01\xff text", "k4", &again));
	assert_str(again->reply.bytes, "\x01\xff text");
	assert_str(again->reply.content_type, "text/plain");
	assert_fails(request(w, w->writer, "PUT /bytes", "", "\x01\xff texT", "k4", &again),
		     AR_E_KEY_REUSED);
}

static bool slow_ended;

static void slow_request(void *arg)
{
	struct ar_call *call;

	assert_ok(request(arg, &ar_who_anyone, "POST /slow", "", "", "s1", &call));
	slow_ended = true;
}

TEST(still_running)
{
	struct ar_call *call;

	slow_ended = false;
	ar_go("slow", slow_request, w, AR_NO_DEADLINE);
	assert_fails(request(w, &ar_who_anyone, "POST /slow", "", "", "s1", &call),
		     AR_E_KEY_RUNNING);
	assert_string_equal(call->reply.headers[0].name, "retry-after");
	ar_cond_signal(&hold);
	while (!slow_ended)
		assert_ok(ar_sleep(1));
	assert_int_equal(things(w), 1);
	assert_ok(request(w, &ar_who_anyone, "POST /slow", "", "", "s1", &call));
	assert_int_equal(runs, 1);
	assert_int_equal(call->reply.status, 204);
}

static int64_t shifted_now;
static int64_t shifted(void *arg)
{
	return shifted_now;
}

TEST(kept_for_a_day)
{
	static const struct ar_seam seam = { .now_ms = shifted };
	struct ar_call *call;

	shifted_now = ar_now_ms();
	ar_seam_set(&seam);
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k", &call));
	shifted_now += 24 * 3600 * 1000LL - 1;
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "k", &call));
	assert_int_equal(runs, 1);
	shifted_now += 1;
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k", &call));
	assert_int_equal(runs, 2);
	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":2}", "k", &call));
	assert_int_equal(runs, 2);
	ar_seam_set(NULL);
}

#define ROOM 20000 /* bytes: a reply of 5,000 and its row fit three times, and a fourth is let in */

static AR_YIELDS int with_key(struct world *w, const char *key, struct ar_call **ret)
{
	static char body[5001];

	memset(body, 'b', sizeof(body) - 1);
	return request(w, w->writer, "PUT /bytes", "", body, key, ret);
}

TEST(no_more_than_there_is_room_for)
{
	static const struct ar_seam seam = { .now_ms = shifted };
	struct ar_call *call;

	shifted_now = ar_now_ms();
	ar_seam_set(&seam);
	ar_action_replies_max(ROOM);
	assert_ok(with_key(w, "r1", &call));
	assert_ok(with_key(w, "r2", &call));
	shifted_now += 3600 * 1000;
	assert_ok(with_key(w, "r3", &call));
	assert_fails(with_key(w, "r4", &call), AR_E_KEYS_FULL);
	assert_string_equal(call->reply.headers[0].name, "retry-after");
	assert_ok(with_key(w, "r1", &call)); /* what is kept is not forgotten */
	assert_string_equal(call->reply.headers[0].name, "idempotency-replayed");
	assert_ok(with_key(w, "", &call));
	shifted_now += 23 * 3600 * 1000LL; /* the first two are a day old */
	assert_ok(with_key(w, "r4", &call));
	assert_ok(with_key(w, "r5", &call));
	assert_fails(with_key(w, "r6", &call), AR_E_KEYS_FULL);
	ar_action_forget(call->tenant->name); /* counted anew: it is still too much */
	assert_fails(with_key(w, "r6", &call), AR_E_KEYS_FULL);
	ar_action_replies_max(10 * ROOM);
	assert_ok(with_key(w, "r6", &call));
	ar_action_replies_max(INT64_C(1) << 30);
	ar_seam_set(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_key_once),
		cmocka_unit_test(still_running),
		cmocka_unit_test(kept_for_a_day),
		cmocka_unit_test(no_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
