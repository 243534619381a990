/*
 * mail.c - SMTP conversations with a server on threads: taken, refused, slow, silent.
 */
#include "client/tests/rig.h"

/* How the server behaves: the text it answers to a command, or what it does. */
struct script {
	const char *greeting, *mail, *rcpt, *data, *end;
	bool auth, hang_on_quit, hang_on_end, silent;
	int end_after_ms;
};

static struct tcp_server server;
static struct script script;
static char got_from[1024], got_to[1024], got_auth[1024], got_message[65536];
static pthread_mutex_t got_lock = PTHREAD_MUTEX_INITIALIZER; /* connections are threads */
static atomic_int hanging, busy, busiest;

static void got(char *what, size_t cap, const char *text)
{
	pthread_mutex_lock(&got_lock);
	snprintf(what, cap, "%s", text);
	pthread_mutex_unlock(&got_lock);
}

static void hang(int fd)
{
	atomic_fetch_add(&hanging, 1);
	while (recv(fd, &(char){ 0 }, 1, 0) == 1)
		;
	atomic_fetch_sub(&hanging, 1);
}

/* Connections, also one that an earlier test left behind, are threads. */
static struct script script_now(void)
{
	struct script now;

	pthread_mutex_lock(&got_lock);
	now = script;
	pthread_mutex_unlock(&got_lock);
	return now;
}

static bool smtp_data(int fd, const struct script *does)
{
	char message[sizeof(got_message)] = "";

	tcp_say(fd, does->data);
	if (does->data[0] != '3')
		return true;
	if (!tcp_read_until(fd, message, sizeof(message), "\r\n.\r\n"))
		return false;
	got(got_message, sizeof(got_message), message);
	if (does->hang_on_end) {
		hang(fd);
		return false;
	}
	if (atomic_fetch_add(&busy, 1) + 1 > busiest)
		busiest = busy;
	usleep(does->end_after_ms * 1000);
	atomic_fetch_sub(&busy, 1);
	return tcp_say(fd, does->end);
}

static void smtp_auth(int fd, const char *line)
{
	char answer[512] = "";

	tcp_say(fd, "334 \r\n");
	if (!tcp_read_until(fd, answer, sizeof(answer), "\r\n"))
		return;
	got(got_auth, sizeof(got_auth), line);
	tcp_say(fd, strstr(answer, "AGxpAHNlY3JldA==") != NULL ? "235 ok\r\n" : "535 no\r\n");
}

static void serve(struct tcp_server *self AR_UNUSED, int fd)
{
	struct script does = script_now();
	char line[1024];

	if (does.silent) {
		hang(fd);
		return;
	}
	tcp_say(fd, does.greeting);
	while (tcp_read_until(fd, line, sizeof(line), "\r\n")) {
		does = script_now();
		if (strncmp(line, "EHLO", 4) == 0) {
			tcp_say(fd, does.auth ? "250-hi\r\n250 AUTH PLAIN\r\n" : "250 hi\r\n");
		} else if (strncmp(line, "AUTH", 4) == 0) {
			smtp_auth(fd, line);
		} else if (strncmp(line, "MAIL", 4) == 0) {
			got(got_from, sizeof(got_from), line);
			tcp_say(fd, does.mail);
		} else if (strncmp(line, "RCPT", 4) == 0) {
			pthread_mutex_lock(&got_lock);
			strncat(got_to, line, sizeof(got_to) - strlen(got_to) - 1);
			pthread_mutex_unlock(&got_lock);
			tcp_say(fd, does.rcpt);
		} else if (strncmp(line, "DATA", 4) == 0) {
			if (!smtp_data(fd, &does))
				return;
		} else if (strncmp(line, "QUIT", 4) == 0) {
			if (does.hang_on_quit)
				hang(fd);
			tcp_say(fd, "221 bye\r\n");
			return;
		} else {
			tcp_say(fd, "250 ok\r\n");
		}
	}
}

static void reset(void)
{
	pthread_mutex_lock(&got_lock);
	script = (struct script){ "220 hi\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n",
				  "250 taken\r\n" };
	got_from[0] = got_to[0] = got_auth[0] = got_message[0] = '\0';
	pthread_mutex_unlock(&got_lock);
}

static const struct ar_mailbox people[] = {
	{ { "Li", 2 }, { "li@example.cn", 13 } },
	{ { NULL, 0 }, { "wu@example.cn", 13 } },
};

static struct ar_mail mail_of(void)
{
	return (struct ar_mail){
		.host = AR_STR("127.0.0.1"),
		.port = server.port,
		.tls = AR_MAIL_PLAIN,
		.from = { AR_STR("Shop"), AR_STR("shop@example.com") },
		.to = people,
		.nto = 2,
		.subject = AR_STR("\xE4\xBD\xA0\xE5\xA5\xBD"),
		.text = AR_STR("Hi\n"),
		.message_id = AR_STR("m1@example.com"),
	};
}

static void run(void (*body)(struct ar_pool *pool))
{
	reset();
	rig_run(body);
}

#define TEST(name) TEST_IN(name, run, struct ar_pool *pool)

TEST(hands_over)
{
	struct ar_mail mail = mail_of();

	assert_ok(ar_mail_send(pool, &mail));
	assert_int_equal(strncmp(got_from, "MAIL FROM:<shop@example.com>", 28), 0);
	assert_string_equal(got_to, "RCPT TO:<li@example.cn>\r\nRCPT TO:<wu@example.cn>\r\n");
	assert_non_null(strstr(got_message, "\r\nSubject: =?UTF-8?B?5L2g5aW9?=\r\n"));
	assert_non_null(strstr(got_message, "\r\nMessage-ID: <m1@example.com>\r\n"));
	assert_non_null(strstr(got_message, "\r\n\r\nSGkNCg==\r\n.\r\n"));
	assert_string_equal(got_auth, "");
}

TEST(signs_in)
{
	struct ar_mail mail = mail_of();

	script.auth = true;
	mail.user = AR_STR("li");
	mail.password = AR_STR("secret");
	assert_ok(ar_mail_send(pool, &mail));
	assert_non_null(strstr(got_auth, "AUTH PLAIN"));
	mail.password = AR_STR("wrong");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_REFUSED);
	mail.password = AR_STR("a\r\nRSET");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_INVALID);
}

TEST(is_refused_for_good)
{
	struct ar_mail mail = mail_of();

	script.rcpt = "550 nobody here\r\n";
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_REFUSED);
	reset();
	script.mail = "553 not from you\r\n";
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_REFUSED);
	reset();
	script.end = "554 spam\r\n";
	assert_int_equal(ar_mail_send(pool, &mail), -1);
	assert_ptr_equal(ar_err()->def, AR_E_MAIL_REFUSED);
	assert_string_equal(ar_err_param(ar_err(), "status"), "554");
	assert_non_null(strstr(ar_err()->below->why, "554 spam"));
}

TEST(fails_for_now)
{
	struct ar_mail mail = mail_of();

	script.rcpt = "450 later\r\n";
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
	reset();
	script.end = "451 later\r\n";
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
	reset();
	script.greeting = "421 busy\r\n";
	mail.user = AR_STR("somebody else"); /* a kept connection is not greeted again */
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
	reset();
	mail.port = 1; /* nobody listens */
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
	mail.host = AR_STR("nobody.invalid");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
}

/* What the server does not offer is not done without. */
TEST(insists_on_tls)
{
	struct ar_mail mail = mail_of();

	mail.tls = AR_MAIL_STARTTLS;
	mail.user = AR_STR("li");
	mail.password = AR_STR("secret");
	script.auth = true;
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_REFUSED);
	assert_string_equal(got_auth, "");
	assert_string_equal(got_message, "");
}

TEST(checks_the_address)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "2130706433", "127.0.0.2" };
	int before;

	assert_ok(ar_client_allow(AR_STR_NONE));
	usleep(50000);
	before = server.connections;
	for (size_t i = 0; i < AR_COUNT(hosts); i++) {
		struct ar_mail mail = mail_of();

		mail.host = ar_str(hosts[i]);
		assert_fails(ar_mail_send(pool, &mail), AR_E_CLIENT_ADDRESS);
		assert_int_equal(server.connections, before);
	}
	for (size_t i = 0; i < AR_COUNT(hosts); i++) {
		struct ar_mail mail = mail_of();

		mail.host = ar_str(hosts[i]);
		mail.allow_private = true;
		assert_ok(ar_mail_send(pool, &mail));
	}
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

TEST(refuses_nonsense)
{
	struct ar_mail mail = mail_of();

	mail.host = AR_STR("a/b");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_INVALID);
	mail = mail_of();
	mail.host = AR_STR("a\r\nb");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_INVALID);
	mail = mail_of();
	mail.port = 70000;
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_INVALID);
	mail = mail_of();
	mail.helo = AR_STR("me\r\nRSET");
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_INVALID);
}

/* ---- a server that takes its time must not take ours ---- */

static int64_t longest_pause;
static bool ticking;

static void tick(void *arg AR_UNUSED)
{
	int64_t last = ar_mono_ms();

	longest_pause = 0;
	while (ticking && ar_sleep(5) == 0) {
		longest_pause = AR_MAX(longest_pause, ar_mono_ms() - last);
		last = ar_mono_ms();
	}
}

TEST(slow_servers_do_not_stop_the_loop)
{
	struct ar_mail mail = mail_of();

	ticking = true;
	ar_go("tick", tick, NULL, AR_NO_DEADLINE);
	script.end_after_ms = 4000; /* libcurl waits for this reply without yielding */
	assert_ok(ar_mail_send(pool, &mail));
	script.end_after_ms = 0;
	script.rcpt = "550 no\r\n";
	script.hang_on_quit = true; /* and for the one to QUIT */
	mail.timeout_ms = 4000;
	assert_int_equal(ar_mail_send(pool, &mail), -1);
	ticking = false;
	assert_in_range(longest_pause, 0, 3500); /* not as long as the servers' */
}

TEST(time_is_limited)
{
	struct ar_mail mail = mail_of();
	int64_t start = ar_mono_ms(), before;

	script.silent = true;
	mail.user = AR_STR("nobody before"); /* a kept connection would not meet the silence */
	mail.timeout_ms = 300;
	assert_fails(ar_mail_send(pool, &mail), AR_E_MAIL_FAILED);
	assert_in_range(ar_mono_ms() - start, 0, 9000); /* the server would hang up after 10 s */
	before = ar_deadline_set(ar_mono_ms() + 100);
	assert_fails(ar_mail_send(pool, &mail), AR_E_DEADLINE);
	ar_deadline_set(before);
}

static const struct ar_err_def *ended_with;

static void send_one(void *arg AR_UNUSED)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_mail mail = mail_of();

	assert_int_equal(ar_mail_send(pool, &mail), -1);
	ended_with = ar_err()->def;
	ar_pool_free(pool);
}

TEST(cancel_returns_at_once)
{
	struct ar_fiber *fiber;

	ended_with = NULL;
	for (int i = 0; i < 60000 && hanging > 0; i++) /* those of tests before */
		assert_ok(ar_sleep(1));
	script.hang_on_end = true;
	fiber = ar_go("mail", send_one, NULL, AR_NO_DEADLINE);
	for (int i = 0; i < 60000 && hanging == 0; i++)
		assert_ok(ar_sleep(1));
	assert_int_equal(hanging, 1);
	ar_cancel(fiber);
	ar_sleep(1);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
	for (int i = 0; i < 6000 && hanging > 0; i++) /* and the thread gives up soon after */
		ar_sleep(10);
	assert_int_equal(hanging, 0);
}

static int taken;

static void send_taken(void *arg AR_UNUSED)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_mail mail = mail_of();

	assert_ok(ar_mail_send(pool, &mail));
	ar_pool_free(pool);
	taken++;
}

TEST(many_share_the_threads)
{
	int before = server.connections;

	taken = busiest = 0;
	script.end_after_ms = 20;
	for (int i = 0; i < 40; i++)
		ar_go("mail", send_taken, NULL, AR_NO_DEADLINE);
	for (int i = 0; i < 6000 && taken < 40; i++)
		ar_sleep(10);
	assert_int_equal(taken, 40);
	assert_true(busiest > 1 && busiest <= 8);       /* one host has its share */
	assert_true(server.connections - before <= 16); /* and connections are kept */
}

static int start(void **state)
{
	tcp_start(&server, serve, NULL);
	return ar_client_allow(AR_STR("127.0.0.1"));
}

static int stop(void **state)
{
	tcp_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over),
		cmocka_unit_test(signs_in),
		cmocka_unit_test(is_refused_for_good),
		cmocka_unit_test(fails_for_now),
		cmocka_unit_test(insists_on_tls),
		cmocka_unit_test(checks_the_address),
		cmocka_unit_test(refuses_nonsense),
		cmocka_unit_test(slow_servers_do_not_stop_the_loop),
		cmocka_unit_test(time_is_limited),
		cmocka_unit_test(cancel_returns_at_once),
		cmocka_unit_test(many_share_the_threads),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
