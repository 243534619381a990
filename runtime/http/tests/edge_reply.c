/*
 * edge_reply.c - what the edge answers: headers, conditions, replays, problems in two languages,
 * and how often.
 */
#include "http/tests/edge.h"

/* ---- headers ---- */

static void headers(void **state)
{
	struct answer a =
		ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Request-Id: abc-1.2_3\n"
		    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

	assert_string_equal(header(&a, "x-request-id"), "abc-1.2_3");
	assert_memory_equal(header(&a, "traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
	assert_null(strstr(header(&a, "traceparent"), "00f067aa0ba902b7"));
	assert_string_equal(header(&a, "content-type"), "application/json");
	assert_string_equal(header(&a, "x-content-type-options"), "nosniff");
	assert_string_equal(header(&a, "cache-control"), "private, no-cache");
	assert_string_equal(header(&a, "etag"), "\"e1\"");
	assert_string_equal(header(&a, "access-control-allow-origin"), "");
	assert_string_equal(header(&a, "ratelimit"), "");

	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Request-Id: a b<>\ntraceparent: 00-0-0-0\n"
		"Origin: https://x.example");
	assert_int_equal(strlen(header(&a, "x-request-id")), AR_ID_LEN);
	assert_int_equal(strlen(header(&a, "traceparent")), 55);
	assert_string_equal(header(&a, "access-control-allow-origin"), "*");
	assert_string_equal(header(&a, "access-control-allow-credentials"), "");

	a = ask("GET /t/acme/api/v1/html HTTP/1.1");
	assert_string_equal(header(&a, "content-type"), "text/html");
	assert_non_null(strstr(header(&a, "content-security-policy"), "sandbox"));

	a = ask("OPTIONS /t/acme/api/v1/things HTTP/1.1\nOrigin: https://x.example\n"
		"Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: "
		"authorization");
	assert_int_equal(a.status, 204);
	assert_string_equal(header(&a, "access-control-allow-headers"), "authorization");
	assert_string_equal(header(&a, "access-control-allow-origin"), "*");

	a = ask("DELETE /t/acme/api/v1/things HTTP/1.1\nAuthorization: Bearer writer");
	assert_int_equal(a.status, 405);
	assert_string_equal(header(&a, "allow"), "POST");
}

static void conditions(void **state)
{
	static const struct {
		const char *header;
		int status;
	} rows[] = {
		{ "If-None-Match: \"e1\"", 304 }, { "If-None-Match: W/\"e1\"", 304 },
		{ "If-None-Match: *", 304 },      { "If-None-Match: \"e0\", \"e1\"", 304 },
		{ "If-None-Match: \"e0\"", 200 }, { "Prefer: return=minimal", 200 }, /* no write */
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = ask(ar_printf(pool, "GET /t/acme/api/v1/echo/1 HTTP/1.1\n%s", rows[i].header));
		assert_int_equal(a.status, rows[i].status);
		assert_int_equal(strlen(a.body) == 0, a.status == 304);
	}
	a = ask("GET /t/acme/api/v1/echo/1?n=3 HTTP/1.1\nIf-Match: \"q\"");
	assert_str(ar_json_path(a.json, AR_STR("input.ifMatch"))->s, "\"q\"");
	a = ask("POST /t/acme/api/v1/open HTTP/1.1\nContent-Type: application/json\n"
		"Prefer: return=minimal\n\n{}");
	assert_int_equal(a.status, 204);
	assert_string_equal(header(&a, "preference-applied"), "return=minimal");
	a = ask("HEAD /t/acme/api/v1/echo/1 HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "");
}

static void idempotent(void **state)
{
	static const char request[] =
		"POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json\n"
		"Authorization: Bearer writer\nIdempotency-Key: k-%d\n\n{\"n\":%d}";
	struct answer a = ask(ar_printf(pool, request, 1, 1)),
		      b = ask(ar_printf(pool, request, 1, 1));

	assert_int_equal(a.status, 201);
	assert_int_equal(b.status, 201);
	assert_string_equal(a.body, b.body);
	assert_string_equal(header(&a, "idempotency-replayed"), "");
	assert_string_equal(header(&b, "idempotency-replayed"), "true");
	a = ask(ar_printf(pool, request, 1, 2));
	assert_int_equal(a.status, 422);
	assert_string_equal(code(&a), "action/key-reused");
}

/* ---- problems ---- */

static void problems(void **state)
{
	struct answer a = ask("GET /t/acme/api/v1/boom HTTP/1.1\nX-Request-Id: r1");

	assert_int_equal(a.status, 500);
	assert_string_equal(header(&a, "content-type"), "application/problem+json");
	assert_string_equal(header(&a, "cache-control"), "no-store");
	assert_string_equal(header(&a, "content-language"), "en");
	assert_null(strstr(a.body, "secret"));
	assert_str(ar_json_text(a.json, "instance", AR_STR_NONE), "/requests/r1");

	a = ask("GET /t/acme/api/v1/echo/1?n=11&x=1 HTTP/1.1\nAccept-Language: de, zh-CN;q=0.9, "
		"en;q=0.1");
	assert_int_equal(a.status, 422);
	assert_string_equal(header(&a, "content-language"), "zh-CN");
	assert_str(ar_json_path(a.json, AR_STR("fields.n.code"))->s, "too-large");
	assert_str(ar_json_path(a.json, AR_STR("fields.x.code"))->s, "unknown");
	assert_true((unsigned char)ar_json_text(a.json, "title", AR_STR_NONE).p[0] > 127);

	/* What the server's own guards refuse looks the same. */
	a = ask("BREW /t/acme/api/v1/echo/1 HTTP/1.1");
	assert_true(a.status >= 400 && a.json != NULL);
	char *big = ar_alloc(pool, 200001);

	memset(big, 'a', 200000);
	a = ask(ar_printf(pool,
			  "POST /t/acme/api/v1/open HTTP/1.1\nContent-Type: application/json\n\n%s",
			  big));
	assert_int_equal(a.status, 413);
	assert_string_equal(code(&a), "too-large");
}

/* ---- limits: a server of its own ---- */

/* Asks until it is refused, which tokens that come in meanwhile put off. How often it was not. */
static int until_refused(const char *request, struct answer *ret)
{
	int served = 0;

	for (*ret = ask(request); ret->status == 200 && served < 1000; *ret = ask(request))
		served++;
	assert_int_equal(ret->status, 429);
	return served;
}

static void limits(void **state)
{
	static const char request[] =
		"GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Forwarded-For: 9.9.9.9, %s";
	struct ar_edge_options options = plain;
	struct answer a;

	options.trust_proxy = true;
	options.client_rate = 1;
	options.client_burst = 3;
	options.tenant_rate = 1000;
	options.tenant_burst = 1000;
	options.cors_origins = AR_STR("https://a.example, https://b.example");
	pool = ar_pool_new();
	serve(&options);
	make_tenant("acme");
	assert_true(until_refused(ar_printf(pool, request, "1.2.3.4"), &a) >= 3);
	assert_string_equal(code(&a), "too-many-requests");
	assert_string_equal(header(&a, "retry-after"), "1");
	assert_string_equal(header(&a, "ratelimit-policy"), "\"default\";q=3;w=3");
	assert_string_equal(header(&a, "ratelimit"), "\"default\";r=0;t=1");
	a = ask(ar_printf(pool, request, "1.2.3.5")); /* another client */
	assert_int_equal(a.status, 200);
	/* a proxy that adds a line of its own: the last one counts */
	assert_true(until_refused("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Forwarded-For: 7.7.7.7\n"
				  "X-Forwarded-For: 5.5.5.5",
				  &a) >= 3);
	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nX-Forwarded-For: 5.5.5.5\n"
		"X-Forwarded-For: 7.7.7.7");
	assert_int_equal(a.status, 200);
	/* who has one IPv6 address has all of its network */
	a.status = 200;
	for (int i = 0; i < 1000 && a.status == 200; i++)
		a = ask(ar_printf(pool, request, ar_printf(pool, "2001:db8:1:2:%x::%x", i, i + 1)));
	assert_int_equal(a.status, 429);
	a = ask(ar_printf(pool, request, "2001:db8:1:3::1"));
	assert_int_equal(a.status, 200);
	usleep(1100000);
	a = ask(ar_printf(pool, request, "1.2.3.4")); /* a second is one token */
	assert_int_equal(a.status, 200);
	for (int i = 0; i < 8; i++) { /* this machine has no limit of its own */
		a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 200);
	}
	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nOrigin: https://b.example");
	assert_string_equal(header(&a, "access-control-allow-origin"), "https://b.example");
	a = ask("GET /t/acme/api/v1/echo/1 HTTP/1.1\nOrigin: https://c.example");
	assert_string_equal(header(&a, "access-control-allow-origin"), "");
	assert_non_null(strstr(header(&a, "vary"), "origin"));
	served();
	ar_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(conditions),
		cmocka_unit_test(idempotent),
		cmocka_unit_test(problems),
	};
	const struct CMUnitTest alone[] = { cmocka_unit_test(limits) };

	return cmocka_run_group_tests(tests, start, stop) +
	       cmocka_run_group_tests_name("limits", alone, NULL, NULL);
}
