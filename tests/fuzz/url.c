/*
 * libFuzzer: addresses that strangers name, of the web and of people, and mails to them.
 *
 * What is taken reads the same when it is read again, and holds nothing that another reader could
 * take for something else; a mail has the headers that it should have and no others.
 * Run: build-fuzz/tests/fuzz/fuzz_url -max_total_time=60
 */
#include "client/client_int.h"
#include "tests/fuzz/fuzz.h"

static const char *const seeds[] = {
	"https://Example.CN:8443/a/../b?x=%20y&z#f",
	"http://[2001:DB8::1]/",
	"http://0x7f.1/",
	"http://127.1:080/",
	"http://\xe4\xbe\x8b\xe5\xad\x90.cn./\xe4\xb8\xad?\xe6\x96\x87",
	"HTTP:///a.example@b.example/",
	"https://u:p@host/",
	"http://[::ffff:10.0.0.1%25eth0]/",
	"li.ming+x@\xe4\xbe\x8b\xe5\xad\x90.cn",
	"Li \"Ming\" =?x\n<li@example.cn>\nBcc: a@b.cn\n\nA subject \xe4\xb8\xad\xe6\x96\x87 that "
	"is "
	"longer than one line of a header may be \xf0\x9f\x98\x80",
	"10.1.0.0/16, fd00::/8,127.0.0.1",
};
FUZZ_SEEDS(seeds)

static void fuzz_url(struct ar_pool *pool, struct ar_str text)
{
	struct client_url url, again;

	if (client_url_parse(pool, text, &url) != 0)
		return;
	for (const char *p = url.text; *p != '\0'; p++)
		must(*p > ' ' && *p < 0x7F && *p != '\\' && *p != '#');
	must(url.port >= 1 && url.port <= 65535 && url.host[0] != '\0');
	must(ar_str_starts(ar_str(url.text), url.secure ? AR_STR("https://") : AR_STR("http://")));
	must(client_url_parse(pool, ar_str(url.text), &again) == 0);
	must(ar_str_is(ar_str(url.host), again.host) && url.port == again.port);
	must(ar_str_is(ar_str(url.origin), again.origin) && url.literal == again.literal);
	must(ar_str_is(ar_str(url.text), again.text) && url.secure == again.secure);
}

static void fuzz_host(struct ar_pool *pool, struct ar_str text)
{
	struct ar_str host, again = AR_STR_NONE;

	if (client_host_ascii(pool, text, &host)) {
		must(host.n > 0 && client_host_ascii(pool, host, &again));
		must(ar_str_eq(host, again));
	}
	if (mail_address(pool, text, &host)) {
		must(host.n <= 254 && ar_str_find(host, '@') > 0);
		must(mail_address(pool, host, &again) && ar_str_eq(host, again));
	}
	ar_client_public(text);
	ar_client_allow(text);
	ar_client_allow(AR_STR(""));
}

/* Lines end with CR LF and are short; the head is ASCII, and each line of it is one of ours. */
static void check_mail(struct ar_str text)
{
	static const char *const names[] = { "Date: ",       "From: ",         "To: ",
					     "Subject: ",    "Message-ID: ",   "MIME-Version: ",
					     "Content-Type", "Content-Transf", " " };
	bool head = true;

	while (text.n > 0) {
		struct ar_str line = ar_str_cut(&text, '\n');
		bool known = false;

		must(line.n >= 1 && line.n <= 998 && line.p[line.n - 1] == '\r');
		line.n--;
		must(ar_str_find(line, '\r') < 0);
		for (size_t i = 0; i < line.n; i++)
			must(line.p[i] >= ' ' && line.p[i] < 0x7F);
		for (size_t i = 0; i < AR_COUNT(names); i++)
			known |= ar_str_starts(line, ar_str(names[i]));
		must(!head || known || line.n == 0);
		head = head && line.n > 0;
		must(head || line.n <= 78);
	}
}

/* name, address and body, a line each; what is left is the subject */
static void fuzz_mail(struct ar_pool *pool, struct ar_str text)
{
	struct ar_str rest = text, name = ar_str_cut(&rest, '\n');
	struct ar_str address = ar_str_cut(&rest, '\n'), body = ar_str_cut(&rest, '\n');
	struct ar_mailbox to[] = { { name, address }, { AR_STR("x"), AR_STR("x@example.cn") } };
	struct ar_mail mail = { .from = { name, AR_STR("from@example.cn") },
				.to = to,
				.nto = address.n > 0 ? 2 : 1,
				.subject = rest,
				.text = body,
				.html = AR_STR("<p>\n\r\n"),
				.message_id = AR_STR("a@b") };
	struct ar_str printed;

	if (address.n == 0)
		to[0].address = AR_STR("to@example.cn");
	if (ar_mail_print(pool, &mail, &printed) == 0)
		check_mail(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_str text = { (const char *)data, size };

	fuzz_url(pool, text);
	fuzz_host(pool, text);
	fuzz_mail(pool, text);
	ar_err_clear();
	ar_pool_free(pool);
	return 0;
}
