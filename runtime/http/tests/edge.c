/*
 * edge.c - tests of the edge over real sockets, with two loops: tenants by three addresses,
 * callers, the process's own paths, the log.
 */
#include "http/tests/edge.h"

/* ---- tenants ---- */

static void tenants(void **state)
{
	static const struct {
		const char *host, *path, *header;
		int status;
		const char *want; /* the tenant, or the problem's code */
	} rows[] = {
		{ "x", "/t/acme/api/v1/echo/1", NULL, 200, "acme" },
		{ "acme.apprun.test", "/api/v1/echo/1", NULL, 200, "acme" },
		{ "ACME.AppRun.Test:8090", "/api/v1/echo/1", NULL, 200, "acme" },
		{ "x", "/api/v1/echo/1", "beta", 200, "beta" },
		{ "beta.apprun.test", "/t/beta/api/v1/echo/1", "beta", 200, "beta" },
		{ "acme.apprun.test", "/t/beta/api/v1/echo/1", NULL, 400, "tenant/conflict" },
		{ "acme.apprun.test", "/api/v1/echo/1", "beta", 400, "tenant/conflict" },
		{ "x", "/t/acme/api/v1/echo/1", "beta", 400, "tenant/conflict" },
		{ "x", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "apprun.test", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "acmeapprun.test", "/api/v1/echo/1", NULL, 404, "tenant/missing" },
		{ "x.acme.apprun.test", "/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/nobody/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/ACME/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/%61cme/api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t//api/v1/echo/1", NULL, 404, "tenant/unknown" },
		{ "x", "/t/acme/api/v1/nothing", NULL, 404, "not-found" },
		{ "x", "/t/acme/api/v2/echo/1", NULL, 404, "not-found" },
		{ "x", "/t/acme/echo/1", NULL, 404, "not-found" },
		{ "x", "/t/acme/api/v1/../../beta/api/v1/echo/1", NULL, 400, "malformed" },
		{ "x", "/t/acme/api/v1/echo/%00", NULL, 400, "malformed" },
		{ "x", "/t/acme/.well-known/test", NULL, 200, "acme" },
		{ "acme.apprun.test", "/.well-known/test", NULL, 200, "acme" },
		{ "x", "/.well-known/test", NULL, 404, "tenant/missing" },
		{ "x", "/t/acme", NULL, 404, "not-found" },
		{ "x", "/platform/v1/echo/1", NULL, 404, "not-found" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = ask_host(
			rows[i].host, ar_printf(pool, "GET %s HTTP/1.1%s%s", rows[i].path,
						rows[i].header != NULL ? "\nX-Apprun-Tenant: " : "",
						rows[i].header != NULL ? rows[i].header : ""));
		const char *got = a.status == 200 ? ar_strz(pool, ECHO_TENANT(a)) : code(&a);

		if (a.status != rows[i].status || strcmp(got, rows[i].want) != 0)
			fail_msg("%s%s (%s): %d %s", rows[i].host, rows[i].path,
				 rows[i].header != NULL ? rows[i].header : "", a.status, got);
	}
}

/* ---- callers ---- */

static void callers(void **state)
{
	static const struct {
		const char *authorization;
		int status;
	} rows[] = {
		{ "", 401 },
		{ "\nAuthorization: Bearer writer", 201 },
		{ "\nAuthorization: bearer writer", 201 },
		{ "\nAuthorization: Bearer reader", 403 },
		{ "\nAuthorization: Bearer nobody", 401 },
		{ "\nAuthorization: Bearer ", 401 },
		{ "\nAuthorization: Bearer", 401 },
		{ "\nAuthorization: Basic d3JpdGVyOg==", 401 },
		{ "\nAuthorization: Bearer " PLATFORM, 401 },
		{ "\nAuthorization: Bearer " LOCAL, 401 },
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = ask(ar_printf(
			pool,
			"POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json%s"
			"\n\n{\"n\":1}",
			rows[i].authorization));
		if (a.status != rows[i].status)
			fail_msg("%s: %d", rows[i].authorization, a.status);
		if (a.status == 401)
			assert_string_equal(header(&a, "www-authenticate"), "Bearer");
	}
	/* Who may not call learns nothing about the body. */
	a = ask("POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: text/plain\n\n{{{");
	assert_int_equal(a.status, 401);
	a = ask("POST /t/acme/api/v1/things HTTP/1.1\nContent-Type: application/json\n"
		"Authorization: Bearer writer\n\n{{{");
	assert_int_equal(a.status, 400);
}

static void operators(void **state)
{
	static const struct {
		const char *line, *token, *body;
		int status;
	} rows[] = {
		{ "GET /platform/v1/tenants", "", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer writer", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM "x", NULL, 401 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM, NULL, 200 },
		{ "GET /platform/v1/tenants", "\nAuthorization: Bearer " LOCAL, NULL, 200 },
		{ "GET /platform/v1/tenants",
		  "\nX-Forwarded-For: 1.2.3.4\nAuthorization: Bearer " LOCAL, NULL, 401 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " PLATFORM,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":2}}", 403 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":2}}", 200 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"acme\",\"action\":\"test.add\",\"input\":{\"n\":20}}", 422 },
		{ "POST /platform/v1/call", "\nAuthorization: Bearer " LOCAL,
		  "{\"tenant\":\"nobody\",\"action\":\"test.add\"}", 404 },
		{ "DELETE /platform/v1/tenants/nobody", "\nAuthorization: Bearer " PLATFORM, NULL,
		  404 },
		{ "PUT /platform/v1/tenants", "\nAuthorization: Bearer " PLATFORM, NULL, 405 },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = ask(
			ar_printf(pool, "%s HTTP/1.1\nContent-Type: application/json%s%s%s",
				  rows[i].line, rows[i].token, rows[i].body != NULL ? "\n\n" : "",
				  rows[i].body != NULL ? rows[i].body : ""));

		if (a.status != rows[i].status)
			fail_msg("%zu: %s: %d %s", i, rows[i].line, a.status, a.body);
	}
}

static void tenant_comes_and_goes(void **state)
{
	struct answer a;

	make_tenant("gamma");
	for (int i = 0; i < 8; i++) { /* on both loops */
		a = ask("GET /t/gamma/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 200);
	}
	a = ask("DELETE /platform/v1/tenants/gamma HTTP/1.1\nAuthorization: Bearer " PLATFORM);
	assert_int_equal(a.status, 204);
	for (int i = 0; i < 8; i++) {
		a = ask("GET /t/gamma/api/v1/echo/1 HTTP/1.1");
		assert_int_equal(a.status, 404);
	}
}

/* ---- the process's own ---- */

static void own_paths(void **state)
{
	struct answer a = ask("GET /livez HTTP/1.1");

	assert_int_equal(a.status, 200);
	a = ask("GET /readyz HTTP/1.1");
	assert_int_equal(a.status, 200);
	ar_state_set(AR_STOPPING);
	a = ask("GET /readyz HTTP/1.1");
	assert_int_equal(a.status, 503);
	a = ask("GET /livez HTTP/1.1");
	assert_int_equal(a.status, 200);
	ar_state_set(AR_SERVING);
	a = ask("GET /healthz HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_str(ar_json_path(a.json, AR_STR("checks.store"))->s, "ok");
	a = ask("POST /livez HTTP/1.1\n\n");
	assert_int_equal(a.status, 405);
	assert_string_equal(header(&a, "allow"), "GET, HEAD");

	a = ask("GET /metrics HTTP/1.1");
	assert_int_equal(a.status, 200);
	assert_non_null(
		strstr(a.body, "\napprun_action_calls_total{action=\"test.echo\",result=\"ok\"} "));
	assert_non_null(strstr(a.body, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(a.body, "\napprun_http_requests_total "));
	assert_non_null(strstr(a.body, "\napprun_store_commits_total "));
	a = ask("GET /metrics HTTP/1.1\nX-Forwarded-For: 1.2.3.4");
	assert_int_equal(a.status, 401);
	a = ask("GET /metrics HTTP/1.1\nX-Forwarded-For: 1.2.3.4\nAuthorization: Bearer " PLATFORM);
	assert_int_equal(a.status, 200);

	a = ask("GET / HTTP/1.1");
	assert_string_equal(a.body, "the page");
	a = ask("GET /else HTTP/1.1");
	assert_int_equal(a.status, 404);
	a = ask("POST / HTTP/1.1\n\n");
	assert_int_equal(a.status, 404);
}

static void access_log(void **state)
{
	static char text[1 << 20];
	struct answer a =
		ask("GET /t/acme/api/v1/echo/1?n=3 HTTP/1.1\nX-Request-Id: logged-1\n"
		    "Authorization: Bearer writer\n"
		    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	struct ar_json *line = NULL;
	char *at = NULL;

	assert_int_equal(a.status, 200);
	for (int i = 0; i < 10000 && at == NULL; i++) { /* written at the end of the loop's turn */
		ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

		text[n > 0 ? n : 0] = '\0';
		at = strstr(text, "logged-1");
		usleep(1000);
	}
	assert_non_null(at);
	assert_null(strstr(text, PLATFORM));
	while (at > text && at[-1] != '\n')
		at--;
	*strchr(at, '\n') = '\0';
	assert_ok(ar_json_parse(pool, ar_str(at), &ar_json_limits_default, &line));
	assert_str(ar_json_text(line, "traceId", AR_STR_NONE), "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_str(ar_json_text(line, "userId", AR_STR_NONE), "u1");
	assert_str(ar_json_text(line, "tenant", AR_STR_NONE), "acme");
	assert_str(ar_json_path(line, AR_STR("data.path"))->s, "/t/acme/api/v1/echo/1");
	assert_str(ar_json_path(line, AR_STR("data.action"))->s, "test.echo");
	assert_int_equal(ar_json_path(line, AR_STR("data.status"))->i, 200);
	assert_non_null(ar_json_path(line, AR_STR("timestamp")));
	assert_non_null(ar_json_path(line, AR_STR("data.ms")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenants),   cmocka_unit_test(callers),
		cmocka_unit_test(operators), cmocka_unit_test(tenant_comes_and_goes),
		cmocka_unit_test(own_paths), cmocka_unit_test(access_log),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
