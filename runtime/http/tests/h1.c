/*
 * h1.c - HTTP/1.1 over raw sockets: what works, and every lax form that must not.
 */
#include "server.h"

static int up(void **state)
{
	server_up((struct ar_server_options){ 0 });
	return 0;
}

static int down(void **state)
{
	server_down();
	return 0;
}

static void plain_get(void **state)
{
	const char *r = ask("GET /echo/a%20b?x=1&y HTTP/1.1\r\nHost: Example.COM:80\r\n"
			    "X-One: 1\r\nConnection: close\r\n\r\n");

	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "\r\nServer: apprun\r\n"));
	assert_non_null(strstr(r, "\r\nDate: "));
	assert_non_null(strstr(r, " GMT\r\n"));
	assert_non_null(strstr(r, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(r, "11 GET /echo/a%20b|x=1&y|Example.COM:80|host=Example.COM:80;"
				  "x-one=1;connection=close;|0:"));
	assert_true(got.closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_get),
	};

	return cmocka_run_group_tests(tests, up, down);
}
