/*
 * words.c - tests of i18n's actions: locales and their chain, messages put, found, changed, refused;
 * what is written in which language; formats.
 */
#include "auth/tests/people.h"
#include "i18n/i18n_int.h"

static const struct ar_module *const modules[] = { &auth_module, &i18n_module, NULL };

static void run(void (*body)(void))
{
	wire_run(modules, body);
}

#define TEST(name) TEST_IN(name, run, void)

static void put_messages(struct wire_tenant *t, const char *admin, const char *locale,
			 const char *body)
{
	assert_answer(wire(t, admin, ar_printf(t->pool, "PUT /i18n/messages/%s", locale),
			   ar_printf(t->pool, "{\"messages\":%s}", body)),
		      200, "");
}

static struct answer translate(struct wire_tenant *t, const char *query, const char *language)
{
	struct wire_extra extra = { .language = language };

	return wire_with(t, ar_printf(t->pool, "GET /i18n/translate?%s", query), "", &extra);
}

TEST(locales)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const struct {
		const char *body;
		int status;
	} rows[] = {
		{ "{\"locales\":[{\"locale\":\"zh-cn\",\"default\":true},{\"locale\":\"de\","
		  "\"fallback\":\"EN\"}]}",
		  200 },
		{ "{\"locales\":[]}", 422 },
		{ "{\"locales\":[{\"locale\":\"de\"}]}", 422 },
		{ "{\"locales\":[{\"locale\":\"de\",\"default\":true},{\"locale\":\"en\","
		  "\"default\":true}]}",
		  422 },
		{ "{\"locales\":[{\"locale\":\"de\",\"default\":true},{\"locale\":\"DE\"}]}", 422 },
		{ "{\"locales\":[{\"locale\":\"no locale\",\"default\":true}]}", 422 },
		{ "{\"locales\":[{\"locale\":\"\",\"default\":true}]}", 422 },
		{ "{\"locales\":\"de\"}", 422 },
	};
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_int_equal(wire(&t, admin, "PUT /i18n/locales", rows[i].body).status,
				 rows[i].status);
	a = wire(&t, NULL, "GET /i18n/locales", "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "locales"),
			    "[{\"locale\":\"de\",\"fallback\":\"en\",\"default\":false},"
			    "{\"locale\":\"zh-CN\",\"fallback\":\"\",\"default\":true}]");
	assert_answer(wire(&t, NULL, "PUT /i18n/locales", rows[0].body), 401, "unauthorized");
	wire_release(&t);
}

TEST(falling_back)
{
	static const struct {
		const char *query, *language, *locale, *text;
	} rows[] = {
		{ "key=hi&locale=de-AT", "", "de-AT", "Servus" },
		{ "key=hi&locale=DE-at", "", "de-AT", "Servus" },
		{ "key=hi&locale=de-CH", "", "de", "Hallo" },
		{ "key=hi&locale=zh-TW", "", "zh-Hant", "\u4f60\u597d\u55ce" },
		{ "key=hi&locale=zh-Hant-HK", "", "zh-Hant", "\u4f60\u597d\u55ce" },
		{ "key=hi&locale=de-Latn-AT", "", "de-AT", "Servus" },
		{ "key=hi", "de-Latn-AT", "de-AT", "Servus" },
		{ "key=hi&locale=zh-SG", "", "zh", "\u4f60\u597d" },
		{ "key=hi&locale=gsw", "", "de", "Hallo" }, /* its fallback, as set */
		{ "key=hi&locale=fr", "", "en", "Hello" },  /* the default */
		{ "key=bye&locale=de-AT", "", "en", "Bye" },
		{ "key=bye&locale=zh-TW", "", "en", "Bye" },
		/* Accept-Language, when no locale is named */
		{ "key=hi", "de-CH, en;q=0.5", "de", "Hallo" },
		{ "key=hi", "en;q=0.5, de-CH", "de", "Hallo" },
		{ "key=hi", "fr, da;q=0.9, zh-TW;q=0.8, de;q=0.7", "zh-Hant",
		  "\u4f60\u597d\u55ce" },
		{ "key=hi", "fr, de;q=0", "en", "Hello" },
		{ "key=hi", "", "en", "Hello" },
		{ "key=hi", "*", "en", "Hello" },
		{ "key=hi", ";;;,,q=,en-;q=x,\xff, de", "de", "Hallo" },
		{ "key=hi&locale=de", "zh", "de", "Hallo" },
		{ "key=loop&locale=x-a", "", "en", "Loop" },
	};
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);

	assert_answer(wire(&t, admin, "PUT /i18n/locales",
			   "{\"locales\":[{\"locale\":\"en\",\"default\":true},{\"locale\":\"gsw\","
			   "\"fallback\":\"de\"},{\"locale\":\"x-a\",\"fallback\":\"x-b\"},"
			   "{\"locale\":\"x-b\",\"fallback\":\"x-a\"}]}"),
		      200, "");
	put_messages(&t, admin, "en", "{\"hi\":\"Hello\",\"bye\":\"Bye\",\"loop\":\"Loop\"}");
	put_messages(&t, admin, "de", "{\"hi\":\"Hallo\"}");
	put_messages(&t, admin, "de-at", "{\"hi\":\"Servus\"}");
	put_messages(&t, admin, "zh", "{\"hi\":\"\u4f60\u597d\"}");
	put_messages(&t, admin, "zh-Hant", "{\"hi\":\"\u4f60\u597d\u55ce\"}");
	for (int round = 0; round < 2; round++) /* the second time from what is remembered */
		for (size_t i = 0; i < AR_COUNT(rows); i++) {
			struct answer a = translate(&t, rows[i].query, rows[i].language);

			assert_answer(a, 200, "");
			if (strcmp(wire_text(&t, &a, "locale"), rows[i].locale) != 0)
				print_message("%s %s\n", rows[i].query, rows[i].language);
			assert_string_equal(wire_text(&t, &a, "locale"), rows[i].locale);
			assert_string_equal(wire_text(&t, &a, "text"), rows[i].text);
		}
	assert_answer(translate(&t, "key=nothere&locale=de", ""), 404, "i18n/no-message");
	assert_answer(translate(&t, "key=hi&locale=not%20one", ""), 422, "invalid");
	assert_answer(translate(&t, "locale=de", ""), 422, "invalid");
	wire_release(&t);
}

TEST(messages)
{
	struct wire_tenant t = wire_tenant("acme"), b = wire_tenant("beta");
	const char *admin = admin_token(&t), *plain = user_with(&t, admin, "plain", "[]");
	struct answer a;

	a = wire(&t, admin, "PUT /i18n/messages/de/cart.items",
		 "{\"text\":\"{n, plural, one {# St\u00fcck} other {# St\u00fcck}} f\u00fcr {sum, "
		 "number, "
		 "::currency/EUR}\"}");
	assert_answer(a, 200, "");
	a = translate(&t,
		      "key=cart.items&locale=de-AT&args=%7B%22n%22%3A1234%2C%22sum%22%3A1234.5%7D",
		      "");
	assert_answer(a, 200, "");
	/* found in "de", numbers as Austria writes them */
	assert_string_equal(wire_text(&t, &a, "text"),
			    "1\u00a0234 St\u00fcck f\u00fcr \u20ac\u00a01.234,50");
	assert_string_equal(wire_text(&t, &a, "locale"), "de");

	/* a change is seen by the next call; what was not there is found once it is */
	assert_answer(translate(&t, "key=new&locale=de", ""), 404, "i18n/no-message");
	assert_answer(wire(&t, admin, "PUT /i18n/messages/de/new", "{\"text\":\"neu\"}"), 200, "");
	a = translate(&t, "key=new&locale=de", "");
	assert_string_equal(wire_text(&t, &a, "text"), "neu");
	assert_answer(wire(&t, admin, "PUT /i18n/messages/de/new", "{\"text\":\"anders\"}"), 200,
		      "");
	a = translate(&t, "key=new&locale=de", "");
	assert_string_equal(wire_text(&t, &a, "text"), "anders");
	a = wire(&t, NULL, "GET /i18n/messages/DE/new", "");
	assert_string_equal(wire_text(&t, &a, "text"), "anders");
	a = wire(&t, NULL, "GET /i18n/messages/de?limit=1&count=exact", "");
	assert_string_equal(wire_text(&t, &a, "total"), "2");
	assert_answer(translate(&b, "key=new&locale=de", ""), 404, "i18n/no-message"); /* not B's */
	assert_answer(wire(&t, admin, "DELETE /i18n/messages/de/new", ""), 204, "");
	assert_answer(wire(&t, admin, "DELETE /i18n/messages/de/new", ""), 404, "not-found");
	assert_answer(translate(&t, "key=new&locale=de", ""), 404, "i18n/no-message");

	assert_answer(wire(&t, plain, "PUT /i18n/messages/de/x", "{\"text\":\"x\"}"), 403,
		      "forbidden");
	assert_answer(wire(&t, NULL, "PUT /i18n/messages/de", "{\"messages\":{\"x\":\"x\"}}"), 401,
		      "unauthorized");
	wire_release(&b);
	wire_release(&t);
}

TEST(refused)
{
	static const struct {
		const char *line, *body;
		int status;
		const char *code;
	} rows[] = {
		{ "PUT /i18n/messages/de/x", "{\"text\":\"{n, plural, one {x}}\"}", 422,
		  "i18n/pattern" },
		{ "PUT /i18n/messages/de/x", "{\"text\":\"{n, number, ::nonsense}\"}", 422,
		  "i18n/argument" },
		{ "PUT /i18n/messages/de/x", "{\"text\":\"\"}", 422, "invalid" },
		{ "PUT /i18n/messages/de/x", "{}", 422, "invalid" },
		{ "PUT /i18n/messages/_/x", "{\"text\":\"a\"}", 422, "invalid" },
		{ "PUT /i18n/messages/de", "{\"messages\":{\"a\":\"fine\",\"b\":\"{\"}}", 422,
		  "i18n/pattern" },
		{ "PUT /i18n/messages/de", "{\"messages\":{\"a\":\"fine\",\"b\":\"\"}}", 422,
		  "invalid" },
		{ "PUT /i18n/messages/de", "{\"messages\":{\"a\":\"fine\",\"b\":1}}", 422,
		  "invalid" },
		{ "PUT /i18n/messages/de", "{\"messages\":{\"a\":\"fine\",\"\":\"x\"}}", 422,
		  "invalid" },
		{ "PUT /i18n/messages/de", "{\"messages\":{}}", 422, "invalid" },
		{ "PUT /i18n/messages/de", "{\"messages\":[]}", 422, "invalid" },
	};
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct answer a;

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = wire(&t, admin, rows[i].line, rows[i].body);
		if (a.status != rows[i].status)
			print_message("%s %s\n", rows[i].line, rows[i].body);
		assert_answer(a, rows[i].status, rows[i].code);
	}
	/* all or nothing */
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM i18n_messages"), 0);
	a = wire(&t, admin, "PUT /i18n/messages/de",
		 "{\"messages\":{\"a\":\"fine\",\"b\":\"ab{\"}}");
	assert_string_equal(wire_text(&t, &a, "params.key"), "b");
	assert_string_equal(wire_text(&t, &a, "params.position"), "4");

	put_messages(&t, admin, "en", "{\"n\":\"{n, plural, other {#}}\",\"d\":\"{d, date}\"}");
	assert_answer(translate(&t, "key=n&locale=en&args=%7B%22n%22%3A%22x%22%7D", ""), 422,
		      "i18n/argument");
	assert_answer(translate(&t, "key=d&locale=en&args=%7B%22d%22%3A0%7D&timeZone=Mars/X", ""),
		      422, "i18n/argument");
	assert_answer(translate(&t, "key=n&locale=en&args=%5B1%5D", ""), 422, "invalid");
	assert_answer(translate(&t, "key=n&locale=en&args=%7B", ""), 422, "invalid");
	wire_release(&t);
}

TEST(formats)
{
	static const struct {
		const char *body, *text; /* NULL: refused */
	} rows[] = {
		{ "\"kind\":\"number\",\"value\":1234567.891,\"locale\":\"de\"", "1.234.567,891" },
		{ "\"kind\":\"number\",\"value\":1234567,\"locale\":\"hi\"", "12,34,567" },
		{ "\"kind\":\"number\",\"value\":0.5,\"locale\":\"en\",\"skeleton\":\".00\"",
		  "0.50" },
		{ "\"kind\":\"integer\",\"value\":2.5,\"locale\":\"en\"", "3" },
		{ "\"kind\":\"percent\",\"value\":0.256,\"locale\":\"fr\"", "26\u00a0%" },
		{ "\"kind\":\"currency\",\"value\":1234.5,\"currency\":\"CNY\",\"locale\":\"zh-"
		  "CN\"",
		  "\u00a51,234.50" },
		{ "\"kind\":\"currency\",\"value\":1234.5,\"currency\":\"JPY\",\"locale\":\"ja\"",
		  "\uffe51,235" },
		{ "\"kind\":\"currency\",\"value\":-3,\"currency\":\"EUR\",\"locale\":\"de\"",
		  "-3,00\u00a0\u20ac" },
		{ "\"kind\":\"date\",\"value\":\"2026-11-25T23:30:00Z\",\"locale\":\"zh-CN\","
		  "\"style\":\"full\",\"timeZone\":\"Asia/Shanghai\"",
		  "2026\u5e7411\u670826\u65e5\u661f\u671f\u56db" },
		{ "\"kind\":\"time\",\"value\":\"2026-11-25T23:30:00+01:00\",\"locale\":\"en\","
		  "\"style\":\"short\"",
		  "10:30\u202fPM" },
		{ "\"kind\":\"datetime\",\"value\":1792893600000,\"locale\":\"de\",\"style\":"
		  "\"short\","
		  "\"timeZone\":\"Europe/Berlin\"",
		  "25.10.26, 03:00" },
		{ "\"kind\":\"date\",\"value\":\"2026-11-25\",\"locale\":\"en\",\"skeleton\":"
		  "\"yMMMM\"",
		  "November 2026" },
		{ "\"kind\":\"currency\",\"value\":1,\"locale\":\"en\"", NULL },
		{ "\"kind\":\"currency\",\"value\":1,\"currency\":\"ZZZ\",\"locale\":\"en\"",
		  NULL },
		{ "\"kind\":\"number\",\"value\":\"1\",\"locale\":\"en\"", NULL },
		{ "\"kind\":\"number\",\"value\":null,\"locale\":\"en\"", NULL },
		{ "\"kind\":\"number\",\"value\":1,\"locale\":\"en\",\"skeleton\":\"rubbish\"",
		  NULL },
		{ "\"kind\":\"date\",\"value\":\"soon\",\"locale\":\"en\"", NULL },
		{ "\"kind\":\"date\",\"value\":0,\"locale\":\"en\",\"timeZone\":\"GMT+25\"", NULL },
		{ "\"kind\":\"roman\",\"value\":0,\"locale\":\"en\"", NULL },
		{ "\"kind\":\"number\",\"value\":0", NULL },
	};
	struct wire_tenant t = wire_tenant("acme");
	const char *user = user_with(&t, admin_token(&t), "plain", "[]");

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = wire(&t, user, "POST /i18n/format",
				       ar_printf(t.pool, "{%s}", rows[i].body));

		if (rows[i].text == NULL) {
			if (a.status != 422)
				print_message("%s\n", rows[i].body);
			assert_int_equal(a.status, 422);
			continue;
		}
		assert_answer(a, 200, "");
		assert_string_equal(wire_text(&t, &a, "text"), rows[i].text);
	}
	assert_answer(wire(&t, NULL, "POST /i18n/format",
			   "{\"kind\":\"number\",\"value\":1,\"locale\":\"en\"}"),
		      401, "unauthorized");
	/* What ICU calls its error says nothing to people. */
	struct wire_extra extra = { .bearer = user, .language = "zh-CN" };
	struct answer a = wire_with(&t, "POST /i18n/format",
				    "{\"kind\":\"number\",\"value\":1,\"locale\":\"en\","
				    "\"skeleton\":\"rubbish\"}",
				    &extra);

	assert_answer(a, 422, "i18n/argument");
	assert_string_equal(wire_text(&t, &a, "title"),
			    "消息的参数无法格式化：不是可用的数字骨架（例如 ::.00 或 ::percent）");
	wire_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locales),  cmocka_unit_test(falling_back),
		cmocka_unit_test(messages), cmocka_unit_test(refused),
		cmocka_unit_test(formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
