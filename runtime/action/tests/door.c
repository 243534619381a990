/*
 * door.c - tests of the one way into an action: permission, validation, commit, what is counted.
 */
#include "action/tests/door.h"

/* ---- permission ---- */

static void permissions(void **state)
{
	static const struct {
		const char *have, *want;
		bool may;
	} rows[] = {
		{ "[]", "a.b", false },
		{ "[\"a.b\"]", "a.b", true },
		{ "[\"a.b\"]", "a.bc", false },
		{ "[\"a.b\"]", "a", false },
		{ "[\"a.*\"]", "a.b", true },
		{ "[\"a.*\"]", "a.b.c", true },
		{ "[\"a.*\"]", "ab.c", false },
		{ "[\"a.*\"]", "a", false },
		{ "[\"a*\"]", "ab", false }, /* a star stands for whole parts */
		{ "[\"customer:*\"]", "customer:read", true },
		{ "[\"*\"]", "anything", true },
		{ "[\"*\"]", "", false },
		{ "[\"\", 3, null, \"x\"]", "x", true },
		{ "[\"A.B\"]", "a.b", false },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_who *who = who_with(pool, AR_WHO_USER, "u", rows[i].have);

		if (ar_who_may(who, ar_str(rows[i].want)) != rows[i].may)
			fail_msg("%s on %s", rows[i].have, rows[i].want);
	}
	assert_false(ar_who_may(&ar_who_anyone, AR_STR("x")));
	assert_true(ar_who_may(&ar_who_system, AR_STR("x")));
}

TEST(permission_matrix)
{
	struct ar_who *nobody = who_with(w->pool, AR_WHO_USER, "u2", "[]");
	struct ar_who *all = who_with(w->pool, AR_WHO_USER, "u3", "[\"*\"]");
	const struct ar_who *whos[] = { &ar_who_anyone, nobody, w->writer, all, &ar_who_system };
	static const struct {
		const char *line, *body;
		int status[5]; /* 0: success */
	} rows[] = {
		{ "POST /things", "{\"n\":1}", { 401, 403, 0, 0, 0 } },
		{ "GET /signed", "", { 401, 0, 0, 0, 0 } },
		{ "GET /things", "", { 0, 0, 0, 0, 0 } },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		for (size_t j = 0; j < AR_COUNT(whos); j++) {
			int rc = request(w, whos[j], rows[i].line, "application/json", rows[i].body,
					 "", &call);

			assert_int_equal(rc == 0 ? 0 : ar_err()->def->status, rows[i].status[j]);
		}
	}
	assert_int_equal(things(w), 3);
	/* Whoever is not an operator has no business with the platform, whatever the tenant gave. */
	call->tenant = NULL;
	call->who = all;
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("platform.create_tenant"))),
		     AR_E_FORBIDDEN);
	call->who = &ar_who_anyone;
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("platform.list_tenants"))),
		     AR_E_UNAUTHORIZED);
}

/* ---- validation ---- */

TEST(bad_input)
{
	static const struct {
		const char *line, *type, *body;
		int status;
		const char *field;
	} rows[] = {
		{ "POST /things", "application/json", "{", 400 },
		{ "POST /things", "application/json", "{\"n\":1}x", 400 },
		{ "POST /things", "application/json", "{\"n\":1e400}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"n\":2}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"note\":\"a\\u0000\"}", 400 },
		{ "POST /things", "application/json", "{\"n\":1,\"note\":\"\xff\"}", 400 },
		{ "POST /things", "application/json", "[]", 422, "" },
		{ "POST /things", "application/json", "3", 422, "" },
		{ "POST /things", "application/json", "", 422, "n" },
		{ "POST /things", "application/json", "{}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":\"1\"}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":1001}", 422, "n" },
		{ "POST /things", "application/json", "{\"n\":1,\"x\":2}", 422, "x" },
		{ "POST /things", "text/plain", "{\"n\":1}", 415 },
		{ "POST /things", "", "{\"n\":1}", 415 },
		{ "POST /things", "application/x-www-form-urlencoded", "n=1", 415 },
		{ "POST /things", "application/json; charset=gbk", "{\"n\":1}", 415 },
		{ "POST /things?n=1", "application/json", "{\"n\":1}", 422, "n" }, /* no .query */
		{ "POST /things?note=a&note=b", "application/json", "{\"n\":1}", 422, "note" },
		{ "POST /things?note=a%00", "application/json", "{\"n\":1}", 400 },
		{ "POST /things?note=%ff", "application/json", "{\"n\":1}", 400 },
		{ "PUT /things/7", "application/json", "{\"n\":1,\"id\":\"8\"}", 422, "id" },
		{ "GET /things?min=x", "", "", 422, "min" },
		{ "GET /things?nonsense=1", "", "", 422, "nonsense" },
		{ "GET /list?limit=501", "", "", 422, "limit" },
		{ "GET /list?sorted=n", "", "", 422, "sorted" },
		{ "GET /signed?x=1", "", "", 422, "x" },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (request(w, &ar_who_system, rows[i].line, rows[i].type, rows[i].body, "",
			    &call) == 0)
			fail_msg("%zu: %s %s passed", i, rows[i].line, rows[i].body);
		if (ar_err()->def->status != rows[i].status)
			fail_msg("%zu: %s %s: %s", i, rows[i].line, rows[i].body,
				 ar_err()->def->slug);
		if (rows[i].field != NULL)
			assert_string_equal(ar_err()->fields->path, rows[i].field);
	}
	ar_err_clear();
	assert_int_equal(things(w), 0);
	assert_int_equal(runs, 0);
}

TEST(good_input)
{
	static const struct {
		const char *line, *type, *body, *input;
	} rows[] = {
		{ "POST /things", "application/json", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things", "Application/JSON ; Charset=UTF-8", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things", "application/merge-patch+json", "{\"n\":1}", "{\"n\":1}" },
		{ "POST /things?note=a+b%26&tags=x,y", "application/json", "{\"n\":1}",
		  "{\"n\":1,\"note\":\"a b&\",\"tags\":[\"x\",\"y\"]}" },
		{ "PUT /things/7", "application/json", "{\"n\":1,\"id\":\"7\"}",
		  "{\"n\":1,\"id\":\"7\"}" },
		{ "PUT /whole/7", "application/json", "[1,{}]", "{\"id\":\"7\",\"data\":[1,{}]}" },
		{ "GET /things", "", "", "{\"min\":3}" },
		{ "GET /things?&min=4&&deep=true", "", "", "{\"min\":4,\"deep\":true}" },
		{ "GET /list?min=4&limit=7&sort=-n&params=%7B%22a%22:1%7D", "", "",
		  "{\"min\":4,\"limit\":7,\"sort\":\"-n\",\"params\":{\"a\":1}}" },
		{ "HEAD /things", "", "", "{\"min\":3}" },
	};
	struct ar_call *call;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		assert_ok(request(w, &ar_who_system, rows[i].line, rows[i].type, rows[i].body, "",
				  &call));
		if (!ar_json_equal(call->input, parse(w->pool, rows[i].input)))
			fail_msg("%zu: got %s", i,
				 ar_strz(w->pool, ar_json_print(w->pool, call->input)));
	}
}

/* ---- commit and roll back ---- */

TEST(commit_or_nothing)
{
	struct ar_call *call;

	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "", &call));
	assert_int_equal(call->reply.status, 201);
	assert_int_equal(call->reply.nheaders, 1); /* the one that would split is not sent */
	assert_int_equal(things(w), 1);
	assert_fails(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":13}", "", &call),
		AR_E_CONFLICT);
	assert_int_equal(things(w), 1);
	call->input = parse(w->pool, "{\"n\":1,\"ifMatch\":\"\\\"v0\\\", \\\"v9\\\"\"}");
	assert_fails(ar_action_enter(call, ar_action_find(AR_STR("test.add"))), AR_E_PRECONDITION);
	assert_int_equal(things(w), 1);
	call->input = parse(w->pool, "{\"n\":1,\"ifMatch\":\"\\\"v0\\\",\\\"v1\\\"\"}");
	assert_ok(ar_action_enter(call, ar_action_find(AR_STR("test.add"))));
	assert_int_equal(things(w), 2);
}

static const char *metrics_text(struct ar_pool *pool)
{
	struct ar_buf *out = ar_buf_new(pool, 1 << 22);

	assert_ok(ar_metrics_write(out));
	return ar_strz(pool, ar_buf_view(out));
}

/* The number behind a series; 0 when it is not there. */
static long series(struct ar_pool *pool, const char *name)
{
	const char *text = strstr(metrics_text(pool), name);

	return text != NULL ? strtol(text + strlen(name), NULL, 10) : 0;
}

TEST(metrics)
{
	static const char ok[] = "apprun_action_calls_total{action=\"test.add\",result=\"ok\"} ";
	static const char no[] =
		"apprun_action_calls_total{action=\"test.add\",result=\"refused\"} ";
	static const char count[] = "apprun_action_seconds_count{action=\"test.add\"} ";
	long before[3] = { series(w->pool, ok), series(w->pool, no), series(w->pool, count) };
	struct ar_call *call;

	assert_ok(
		request(w, w->writer, "POST /things", "application/json", "{\"n\":1}", "", &call));
	assert_int_equal(request(w, w->writer, "POST /things", "application/json", "{}", "", &call),
			 -1);
	ar_err_clear();
	assert_int_equal(series(w->pool, ok), before[0] + 1);
	assert_int_equal(series(w->pool, no), before[1] + 1);
	assert_int_equal(series(w->pool, count), before[2] + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permissions),       cmocka_unit_test(permission_matrix),
		cmocka_unit_test(bad_input),         cmocka_unit_test(good_input),
		cmocka_unit_test(commit_or_nothing), cmocka_unit_test(metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
