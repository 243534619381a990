/*
 * address.c - which addresses are open, and how URLs are understood.
 */
#include "client/client_int.h"
#include "tests/harness/test.h"

static void closed_to_strangers(void **state)
{
	static const char *const rows[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.0.0.1",
		"10.255.255.255",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.254",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.1",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.0.1",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.7",
		"203.0.113.7",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::ffff:127.0.0.1",
		"::ffff:10.0.0.1",
		"::127.0.0.1",
		"::8.8.8.8",
		"64:ff9b::7f00:1",
		"64:ff9b::10.0.0.1",
		"64:ff9b:1::8.8.8.8",
		"100::1",
		"2001::1",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2",
		"2001:db8::1",
		"2002:7f00:1::1",
		"2002:a00:1::",
		"2002:c0a8:101::1",
		"fc00::1",
		"fd12:3456::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"ff0e::1",
		"4000::1",
		"5f00::1",
		"3fff::1",
		"2a00:1450:4001:80e:0:5efe:127.0.0.1",
		"2a00:1450:4001:80e:200:5efe:10.0.0.1",
		/* and what is no address at all */
		"",
		"localhost",
		"127.1",
		"2130706433",
		"0x7f000001",
		"8.8.8.8 ",
		"8.8.8.8/32",
		"1.2.3.4.5",
		"[2606:4700::1111]",
		"fe80::1%eth0",
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (ar_client_public(ar_str(rows[i])))
			fail_msg("%s is open", rows[i]);
	}
	assert_false(ar_client_public(ar_str_n("8.8.8.8\0", 8)));
	assert_false(ar_client_public(AR_STR_NONE));
}

static void open_to_all(void **state)
{
	static const char *const rows[] = {
		"8.8.8.8",
		"1.1.1.1",
		"9.255.255.255",
		"11.0.0.0",
		"100.63.255.255",
		"100.128.0.0",
		"126.255.255.255",
		"128.0.0.0",
		"169.253.255.255",
		"169.255.0.0",
		"172.15.255.255",
		"172.32.0.0",
		"192.0.1.0",
		"192.167.255.255",
		"192.169.0.0",
		"198.17.255.255",
		"198.20.0.0",
		"223.255.255.255",
		"2606:4700:4700::1111",
		"2a00:1450:4001:80e::200e",
		"::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8",
		"2002:808:808::1",
		"2001:200::1",
		"2a00:1450:4001:80e:0:5efe:8.8.8.8",
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (!ar_client_public(ar_str(rows[i])))
			fail_msg("%s is closed", rows[i]);
	}
}

static void the_operator_opens(void **state)
{
	assert_ok(ar_client_allow(AR_STR("10.1.0.0/16, 127.0.0.1,fd00:1::/32 , ")));
	assert_true(ar_client_public(AR_STR("10.1.2.3")));
	assert_true(ar_client_public(AR_STR("::ffff:10.1.2.3")));
	assert_true(ar_client_public(AR_STR("64:ff9b::10.1.2.3")));
	assert_true(ar_client_public(AR_STR("127.0.0.1")));
	assert_true(ar_client_public(AR_STR("fd00:1:ffff::9")));
	assert_false(ar_client_public(AR_STR("10.2.0.0")));
	assert_false(ar_client_public(AR_STR("127.0.0.2")));
	assert_false(ar_client_public(AR_STR("fd00:2::1")));
	assert_ok(ar_client_allow(AR_STR("172.16.0.0/13")));
	assert_false(ar_client_public(AR_STR("127.0.0.1"))); /* replaced */
	assert_true(ar_client_public(AR_STR("172.23.255.255")));
	assert_false(ar_client_public(AR_STR("172.24.0.0")));
	assert_ok(ar_client_allow(AR_STR("::/0")));
	assert_true(ar_client_public(AR_STR("169.254.169.254")));
	assert_ok(ar_client_allow(AR_STR_NONE));
	assert_false(ar_client_public(AR_STR("172.23.255.255")));
}

static void the_operator_errs(void **state)
{
	static const char *const bad[] = {
		"10.0.0.0/33", "10.0.0.0/-1",          "10.0.0.0/",   "10.0.0/8", "example.com",
		"::/129",      "10.0.0.0/8;127.0.0.1", "10.0.0.0/8/8"
	};

	assert_ok(ar_client_allow(AR_STR("127.0.0.9")));
	for (size_t i = 0; i < AR_COUNT(bad); i++)
		assert_fails(ar_client_allow(ar_str(bad[i])), AR_E_INVALID);
	assert_true(ar_client_public(AR_STR("127.0.0.9"))); /* nothing changed */
	assert_ok(ar_client_allow(AR_STR_NONE));
}

static void urls(void **state)
{
	static const struct {
		const char *in, *text, *host;
		int port;
	} rows[] = {
		{ "http://Example.COM", "http://example.com/", "example.com", 80 },
		{ "https://example.com/a?b=c#d", "https://example.com/a?b=c", "example.com", 443 },
		{ "HTTP://example.com.:8080/", "http://example.com:8080/", "example.com", 8080 },
		{ "http://2130706433/", "http://127.0.0.1/", "127.0.0.1", 80 },
		{ "http://0x7f.1/", "http://127.0.0.1/", "127.0.0.1", 80 },
		{ "http://017700000001/", "http://127.0.0.1/", "127.0.0.1", 80 },
		{ "http://0x7f.1./", "http://127.0.0.1/", "127.0.0.1", 80 },
		{ "http://0x7f1.:80/", "http://0.0.7.241:80/", "0.0.7.241", 80 },
		{ "http://[::1]:9/", "http://[::1]:9/", "::1", 9 },
		{ "http://\xE4\xBE\x8B\xE5\xAD\x90.cn/", "http://xn--fsqu00a.cn/", "xn--fsqu00a.cn",
		  80 },
		{ "http://e.com/\xE4\xB8\xAD", "http://e.com/%e4%b8%ad", "e.com", 80 },
		{ "ftp://example.com/", NULL },
		{ "file:///etc/passwd", NULL },
		{ "gopher://example.com/", NULL },
		{ "example.com", NULL },
		{ "//example.com/", NULL },
		{ "http://", NULL },
		{ "http:///x", "http://x/", "x", 80 }, /* lenient, but understood once */
		{ "http://user@example.com/", NULL },
		{ "http://user:pass@example.com/", NULL },
		{ "http://a.com\\@b.com/", NULL },
		{ "http://a.com /", NULL },
		{ "http://a.com/\r\nX: y", NULL },
		{ "http://a.com:0/", NULL },
		{ "http://a.com:65536/", NULL },
		{ "http://a.com:x/", NULL },
		{ "http://[fe80::1%25eth0]/", NULL },
		{ "http://[::1/", NULL },
		{ "http://a.com/\xFF", NULL },
		{ "http://..", NULL },
		{ "", NULL },
	};
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct client_url url = { 0 };
		int rc = client_url_parse(pool, ar_str(rows[i].in), &url);

		if (rc != (rows[i].text != NULL ? 0 : -1))
			fail_msg("%s: %d, %s", rows[i].in, rc, url.text);
		if (rc != 0)
			continue;
		assert_string_equal(url.text, rows[i].text);
		assert_string_equal(url.host, rows[i].host);
		assert_int_equal(url.port, rows[i].port);
	}
	assert_fails(
		client_url_parse(pool, ar_str_n("http://a.com/\0x", 15), &(struct client_url){ 0 }),
		AR_E_CLIENT_URL);
}

static void urls_that_are_too_long(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	char *path = ar_alloc(pool, 9001), *label = ar_alloc(pool, 301);
	struct client_url url;

	memset(path, 'a', 9000);
	memset(label, 'a', 300);
	assert_fails(client_url_parse(pool, ar_strf(pool, "http://e.com/%s", path), &url),
		     AR_E_CLIENT_URL);
	assert_fails(client_url_parse(pool, ar_strf(pool, "http://%s/", label), &url),
		     AR_E_CLIENT_URL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_to_strangers),
		cmocka_unit_test(open_to_all),
		cmocka_unit_test(the_operator_opens),
		cmocka_unit_test(the_operator_errs),
		cmocka_unit_test(urls),
		cmocka_unit_test(urls_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
