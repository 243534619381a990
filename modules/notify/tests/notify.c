/*
 * notify.c - mails through router and door: into the outbox, to the operator's server, to a tenant's.
 */
#include <dirent.h>
#include <fcntl.h>

#include "auth/tests/people.h"
#include "client/client.h"
#include "notify/notify_int.h"
#include "tests/harness/tcp.h"

static const struct ar_module *const modules[] = { &auth_module, &notify_module, NULL };
static void (*test_body)(struct wire_tenant *t, const char *admin);

/* ---- a mail server that keeps the last message ---- */

static struct tcp_server server;
static const char *rcpt_answer;
static char got_from[1024], got_message[65536];
static atomic_int taken;

static void serve(struct tcp_server *self AR_UNUSED, int fd)
{
	char line[1024];

	tcp_say(fd, "220 hi\r\n");
	while (tcp_read_until(fd, line, sizeof(line), "\r\n")) {
		if (strncmp(line, "EHLO", 4) == 0) {
			tcp_say(fd, "250 hi\r\n");
		} else if (strncmp(line, "MAIL", 4) == 0) {
			snprintf(got_from, sizeof(got_from), "%s", line);
			tcp_say(fd, "250 ok\r\n");
		} else if (strncmp(line, "RCPT", 4) == 0) {
			tcp_say(fd, rcpt_answer);
		} else if (strncmp(line, "DATA", 4) == 0) {
			tcp_say(fd, "354 go\r\n");
			if (!tcp_read_until(fd, got_message, sizeof(got_message), "\r\n.\r\n"))
				return;
			atomic_fetch_add(&taken, 1);
			tcp_say(fd, "250 ok\r\n");
		} else {
			tcp_say(fd, "250 ok\r\n");
			if (strncmp(line, "QUIT", 4) == 0)
				return;
		}
	}
}

static void configure(const char *smtp_url)
{
	char data[100], url[200], from[] = "--smtp-from=apprun@operator.example",
				  cost[] = "--bcrypt-cost=4";
	char *argv[] = { data, url, from, cost, NULL }, *env[] = { NULL };
	struct ar_buf message;
	int argc = 4;

	snprintf(data, sizeof(data), "--data=%s", house.data);
	snprintf(url, sizeof(url), "--smtp-url=%s", smtp_url);
	ar_config_reset();
	ar_buf_init(&message, 1024);
	if (ar_config_load(&argc, argv, env, true, &message) != 0)
		fail_msg("%.*s", AR_FMT(ar_buf_view(&message)));
	ar_buf_done(&message);
}

static void with_tenant(void)
{
	struct wire_tenant t = wire_tenant("acme");

	configure("");
	test_body(&t, admin_token(&t));
	ar_client_detach();
	wire_release(&t);
}

static void run(void (*body)(struct wire_tenant *t, const char *admin))
{
	test_body = body;
	wire_run(modules, with_tenant);
}

#define TEST(name) TEST_IN(name, run, struct wire_tenant *t, const char *admin)

#define MAIL(more)                                                                                 \
	"{\"to\":[\"li@x.example\"],\"subject\":\"你好, Zoë\",\"text\":\"Hello\\nمرحبا\"" more "}"

static struct answer mail(struct wire_tenant *t, const char *who, const char *body)
{
	return wire(t, who, "POST /notify/email", body);
}

/* Messages in the tenant's outbox; the last one's text in got_message. */
static int outbox(void)
{
	char path[400], folder[100];
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/outbox/acme", house.data);
	dir = opendir(folder);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		ssize_t n;
		int fd;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		assert_non_null(strstr(entry->d_name, ".eml"));
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		fd = open(path, O_RDONLY);
		n = read(fd, got_message, sizeof(got_message) - 1);
		assert_true(n > 0);
		got_message[n] = '\0';
		close(fd);
		count++;
	}
	if (dir != NULL)
		closedir(dir);
	return count;
}

TEST(without_a_server_mails_become_files)
{
	struct answer a = mail(t, admin, MAIL(",\"id\":\"welcome-1\",\"fromName\":\"店\""));

	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "sent"), "outbox");
	assert_string_equal(wire_text(t, &a, "messageId"), "welcome-1@acme.apprun");
	assert_int_equal(outbox(), 1);
	assert_non_null(strstr(got_message, "Message-ID: <welcome-1@acme.apprun>\r\n"));
	assert_non_null(strstr(got_message, "To: "));
	assert_non_null(strstr(got_message, "no-reply@acme.example"));
	assert_answer(mail(t, admin, MAIL(",\"id\":\"welcome-1\"")), 200,
		      ""); /* repeated: the same */
	assert_int_equal(outbox(), 1);
	assert_answer(mail(t, admin, MAIL("")), 200, "");
	assert_answer(mail(t, admin, MAIL("")), 200, "");
	assert_int_equal(outbox(), 3);
	assert_answer(mail(t, admin, MAIL(",\"id\":\"welcome-2\",\"from\":\"me@acme.example\"")),
		      200, "");
	assert_int_equal(outbox(), 4);
}

TEST(refuses_mails)
{
	static const struct {
		const char *body;
		int status;
		const char *code;
	} rows[] = {
		{ "{}", 422, "invalid" },
		{ "{\"to\":[],\"subject\":\"s\",\"text\":\"t\"}", 422, "invalid" },
		{ "{\"to\":[\"li\"],\"subject\":\"s\",\"text\":\"t\"}", 422, "invalid" },
		{ "{\"to\":\"li@x.example\",\"subject\":\"s\",\"text\":\"t\"}", 422, "invalid" },
		{ "{\"to\":[\"li@x.example\"],\"subject\":\"s\"}", 422, "invalid" },
		{ "{\"to\":[\"li@x.example\"],\"subject\":\"\",\"text\":\"t\"}", 422, "invalid" },
		{ "{\"to\":[\"li@x.example\"],\"subject\":\"a\\r\\nBcc: "
		  "b@x.example\",\"text\":\"t\"}",
		  422, "client/mail-invalid" },
		{ "{\"to\":[\"li@x.example\\r\\nRCPT TO:<b@x.example>\"],\"subject\":\"s\","
		  "\"text\":\"t\"}",
		  422, "invalid" },
		{ MAIL(",\"fromName\":\"a\\r\\nX: y\""), 422, "client/mail-invalid" },
		{ MAIL(",\"id\":\"a b\""), 422, "invalid" },
		{ MAIL(",\"id\":\"../x\""), 422, "invalid" },
		{ MAIL(",\"replyTo\":\"x\""), 422, "invalid" },
		{ MAIL(",\"cc\":[]"), 422, "invalid" },
	};
	const char *nobody = user_with(t, admin, "nobody", "[]");

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_answer(mail(t, admin, rows[i].body), rows[i].status, rows[i].code);
	assert_answer(mail(t, NULL, MAIL("")), 401, "unauthorized");
	assert_answer(mail(t, nobody, MAIL("")), 403, "forbidden");
	assert_int_equal(outbox(), 0);
}

TEST(the_operators_server_has_one_sender)
{
	struct answer a;

	rcpt_answer = "250 ok\r\n";
	configure(ar_printf(t->pool, "smtp://127.0.0.1:%d", server.port));
	a = mail(t, admin, MAIL(",\"replyTo\":\"shop@acme.example\""));
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "sent"), "smtp");
	assert_int_equal(taken, 1);
	assert_non_null(strstr(got_from, "<apprun@operator.example>"));
	assert_non_null(strstr(got_message, "shop@acme.example"));
	assert_answer(mail(t, admin, MAIL(",\"from\":\"boss@bank.example\"")), 422, "invalid");
	assert_answer(mail(t, admin, MAIL(",\"from\":\"apprun@operator.example\"")), 200, "");
	assert_int_equal(taken, 2);
	assert_int_equal(outbox(), 0);
}

TEST(a_refusal_is_told_from_a_failure)
{
	configure(ar_printf(t->pool, "smtp://127.0.0.1:%d", server.port));
	rcpt_answer = "550 no such user\r\n";
	assert_answer(mail(t, admin, MAIL("")), 422, "client/mail-refused");
	rcpt_answer = "451 later\r\n";
	assert_answer(mail(t, admin, MAIL("")), 503, "client/mail-failed");
	configure("smtp://127.0.0.1:1");
	assert_answer(mail(t, admin, MAIL("")), 503, "client/mail-failed");
}

TEST(a_tenant_has_its_own_server)
{
	struct answer a;

	configure(ar_printf(t->pool, "smtp://127.0.0.1:%d", server.port));
	assert_answer(wire(t, admin, "GET /notify/smtp", ""), 404, "not-found");
	a = wire(t, admin, "PUT /notify/smtp",
		 ar_printf(t->pool,
			   "{\"host\":\"127.0.0.1\",\"port\":%d,\"tls\":\"none\",\"user\":\"u\","
			   "\"password\":\"geheim99\",\"from\":\"shop@acme.example\"}",
			   server.port));
	assert_answer(a, 200, "");
	assert_null(strstr(ar_strz(t->pool, a.text), "geheim99"));
	a = wire(t, admin, "GET /notify/smtp", "");
	assert_string_equal(wire_text(t, &a, "host"), "127.0.0.1");
	assert_string_equal(wire_text(t, &a, "tls"), "none");
	assert_null(strstr(ar_strz(t->pool, a.text), "geheim99"));
	/* It may not be inside: a tenant must not look around the operator's network. */
	taken = 0;
	assert_answer(mail(t, admin, MAIL("")), 422, "client/refused-address");
	assert_int_equal(taken, 0);
	assert_answer(wire(t, admin, "PUT /notify/smtp", "{\"host\":\"x.example\"}"), 422,
		      "invalid");
	assert_answer(wire(t, admin, "PUT /notify/smtp",
			   "{\"host\":\"x.example\",\"from\":\"a@b.example\",\"port\":70000}"),
		      422, "invalid");
	assert_answer(wire(t, admin, "DELETE /notify/smtp", ""), 204, "");
	rcpt_answer = "250 ok\r\n";
	assert_answer(mail(t, admin, MAIL("")), 200, "");
	assert_int_equal(taken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_server_mails_become_files),
		cmocka_unit_test(refuses_mails),
		cmocka_unit_test(the_operators_server_has_one_sender),
		cmocka_unit_test(a_refusal_is_told_from_a_failure),
		cmocka_unit_test(a_tenant_has_its_own_server),
	};
	int failed;

	setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check must not jump out of a fiber */
	tcp_start(&server, serve, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tcp_stop(&server);
	return failed;
}
