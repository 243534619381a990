/*
 * tls.c - certificates are checked: of HTTPS and of mail, with STARTTLS and without.
 */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include "client/tests/rig.h"

static struct tcp_server https, smtps, starttls, plain;
static SSL_CTX *right, *wrong; /* for 127.0.0.1, and for somebody else */
static SSL_CTX *use;
static char pem[] = "/tmp/apprun-tls-XXXXXX";
static atomic_int served, auths;
static const char *user;

static X509 *certificate(EVP_PKEY *key, const char *names)
{
	X509 *cert = X509_new();
	X509_EXTENSION *ext;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"apprun test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static SSL_CTX *context(const char *names, FILE *trusted)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = certificate(key, names);

	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	PEM_write_X509(trusted, cert);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* One byte at a time, like tcp_read_until(). */
static bool ssl_line(SSL *ssl, char *out, size_t max, const char *end)
{
	size_t n = 0, len = strlen(end);

	while (n + 1 < max && SSL_read(ssl, out + n, 1) == 1) {
		out[++n] = '\0';
		if (n >= len && memcmp(out + n - len, end, len) == 0)
			return true;
	}
	return false;
}

static void ssl_say(SSL *ssl, const char *text)
{
	SSL_write(ssl, text, (int)strlen(text));
}

static SSL *ssl_on(int fd)
{
	SSL *ssl = SSL_new(use);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static void serve_https(struct tcp_server *self AR_UNUSED, int fd)
{
	SSL *ssl = ssl_on(fd);
	char head[4096], text[512];

	while (ssl != NULL && ssl_line(ssl, head, sizeof(head), "\r\n\r\n")) {
		atomic_fetch_add(&served, 1);
		snprintf(text, sizeof(text),
			 "HTTP/1.1 %s\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: "
			 "2\r\n\r\nok",
			 strstr(head, "/down") != NULL ? "302 Found" : "200 OK", plain.port);
		ssl_say(ssl, text);
	}
	SSL_free(ssl);
}

static void serve_plain(struct tcp_server *self AR_UNUSED, int fd)
{
	char head[4096];

	while (tcp_read_until(fd, head, sizeof(head), "\r\n\r\n"))
		tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
}

static void smtp_talk(SSL *ssl)
{
	char line[1024];

	while (ssl_line(ssl, line, sizeof(line), "\r\n")) {
		if (strncmp(line, "EHLO", 4) == 0) {
			ssl_say(ssl, "250-hi\r\n250 AUTH PLAIN\r\n");
		} else if (strncmp(line, "AUTH", 4) == 0) {
			ssl_say(ssl, "334 \r\n");
			ssl_line(ssl, line, sizeof(line), "\r\n");
			atomic_fetch_add(&auths, 1);
			ssl_say(ssl, "235 ok\r\n");
		} else if (strncmp(line, "DATA", 4) == 0) {
			ssl_say(ssl, "354 go\r\n");
			for (int i = 0; i < 1000 && strcmp(line, ".\r\n") != 0; i++)
				ssl_line(ssl, line, sizeof(line), "\r\n");
			atomic_fetch_add(&served, 1);
			ssl_say(ssl, "250 taken\r\n");
		} else {
			ssl_say(ssl, "250 ok\r\n");
		}
	}
}

static void serve_smtps(struct tcp_server *self AR_UNUSED, int fd)
{
	SSL *ssl = ssl_on(fd);

	if (ssl == NULL)
		return;
	ssl_say(ssl, "220 hi\r\n");
	smtp_talk(ssl);
	SSL_free(ssl);
}

static void serve_starttls(struct tcp_server *self AR_UNUSED, int fd)
{
	char line[1024];
	SSL *ssl;

	tcp_say(fd, "220 hi\r\n");
	while (tcp_read_until(fd, line, sizeof(line), "\r\n")) {
		if (strncmp(line, "AUTH", 4) == 0)
			atomic_fetch_add(&auths, 1); /* in the clear: the test will see */
		if (strncmp(line, "STARTTLS", 8) == 0)
			break;
		tcp_say(fd, strncmp(line, "EHLO", 4) == 0
				    ? "250-hi\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"
				    : "250 ok\r\n");
	}
	tcp_say(fd, "220 go\r\n");
	ssl = ssl_on(fd);
	if (ssl == NULL)
		return;
	smtp_talk(ssl);
	SSL_free(ssl);
}

/* ---- tests ---- */

static void run(void (*body)(struct ar_pool *pool))
{
	served = auths = 0;
	rig_run(body);
}

#define TEST(name) TEST_IN(name, run, struct ar_pool *pool)

static int get(struct ar_pool *pool, const char *path, struct ar_fetched *ret)
{
	struct ar_fetch req = { .url = ar_strf(pool, "https://127.0.0.1:%d%s", https.port, path),
				.follow = 3 };

	return ar_fetch(pool, &req, ret);
}

static int send_mail(struct ar_pool *pool, enum ar_mail_tls tls)
{
	struct ar_mailbox to = { AR_STR_NONE, AR_STR("li@example.cn") };
	struct ar_mail mail = {
		.host = AR_STR("127.0.0.1"),
		.port = tls == AR_MAIL_TLS ? smtps.port : starttls.port,
		.tls = tls,
		.user = ar_str(user), /* a new one does not get a connection that was kept */
		.password = AR_STR("secret"),
		.from = to,
		.to = &to,
		.nto = 1,
		.text = AR_STR("Hi"),
		.message_id = AR_STR("m@x"),
	};

	return ar_mail_send(pool, &mail);
}

TEST(strangers_are_not_trusted)
{
	struct ar_fetched r;

	use = right;
	user = "li";
	assert_fails(get(pool, "/", &r), AR_E_CLIENT_FAILED);
	assert_fails(send_mail(pool, AR_MAIL_TLS), AR_E_MAIL_FAILED);
	assert_fails(send_mail(pool, AR_MAIL_STARTTLS), AR_E_MAIL_FAILED);
	assert_int_equal(served, 0);
	assert_int_equal(auths, 0);
}

TEST(those_the_operator_knows_are)
{
	struct ar_fetched r;

	use = right;
	user = "li";
	ar_client_trust(pem);
	assert_ok(get(pool, "/", &r));
	assert_str(r.body, "ok");
	assert_ok(send_mail(pool, AR_MAIL_TLS));
	assert_ok(send_mail(pool, AR_MAIL_STARTTLS));
	assert_int_equal(served, 3);
	assert_int_equal(auths, 2);
	ar_client_trust(NULL);
}

TEST(but_not_under_another_name)
{
	struct ar_fetched r;

	use = wrong;
	user = "wu";
	ar_client_trust(pem);
	assert_fails(get(pool, "/", &r), AR_E_CLIENT_FAILED);
	assert_fails(send_mail(pool, AR_MAIL_TLS), AR_E_MAIL_FAILED);
	assert_fails(send_mail(pool, AR_MAIL_STARTTLS), AR_E_MAIL_FAILED);
	assert_int_equal(served, 0);
	assert_int_equal(auths, 0);
	ar_client_trust(NULL);
}

TEST(no_way_down_from_https)
{
	struct ar_fetched r;

	use = right;
	user = "li";
	ar_client_trust(pem);
	assert_ok(get(pool, "/down", &r));
	assert_int_equal(r.status, 302); /* the reply as it is */
	assert_int_equal(plain.connections, 0);
	ar_client_trust(NULL);
}

static int start(void **state)
{
	FILE *trusted = fdopen(mkstemp(pem), "w");

	right = context("IP:127.0.0.1", trusted);
	wrong = context("DNS:other.example", trusted);
	fclose(trusted);
	tcp_start(&https, serve_https, NULL);
	tcp_start(&smtps, serve_smtps, NULL);
	tcp_start(&starttls, serve_starttls, NULL);
	tcp_start(&plain, serve_plain, NULL);
	signal(SIGPIPE, SIG_IGN); /* of the servers' SSL_write() */
	return ar_client_allow(AR_STR("127.0.0.1"));
}

static int stop(void **state)
{
	tcp_stop(&https);
	tcp_stop(&smtps);
	tcp_stop(&starttls);
	tcp_stop(&plain);
	SSL_CTX_free(right);
	SSL_CTX_free(wrong);
	unlink(pem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_are_not_trusted),
		cmocka_unit_test(those_the_operator_knows_are),
		cmocka_unit_test(but_not_under_another_name),
		cmocka_unit_test(no_way_down_from_https),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
