/*
 * mail.c - hands a message to an SMTP server, on a thread of the mail crew.
 *
 * libcurl waits without yielding for the reply to a message's end and to QUIT, so SMTP may not run
 * on a loop. The fiber waits for the job and may be cancelled; the thread then gives up within a
 * second. A thread keeps its handle, and with it the connection, for its next message. The address
 * guard is the same as for HTTP, checked where the socket is made.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "client/client_int.h"

#define TIMEOUT_MS    60000
#define CONNECT_MS    20000L
#define IDLE_SECONDS  60L /* a kept connection older than that is not used again */
#define REPLY_SECONDS 30L
#define GRACE_MS      500 /* the fiber notices first; the thread has its own limit all the same */

static struct crew crew = { .threads_max = 16, .per_key = 8, .queue_max = 1024 };

struct job {
	struct crew_job job;
	struct ar_pool *pool; /* everything below, also this */
	char *url, *user, *password, *from, *host;
	char *server; /* what must be equal for a connection to be used again */
	struct curl_slist *to;
	struct ar_str message;
	size_t sent;
	enum ar_mail_tls tls;
	int64_t deadline; /* ar_mono_ms() */
	atomic_bool cancelled;

	CURLcode code;
	long status;     /* SMTP's */
	char reply[256]; /* the server's last line, for the log */
	struct client_guard guard;

	/* under the lock */
	struct ar_loop *loop; /* NULL: the fiber has left */
	/* on the loop */
	bool done;
	struct ar_cond *cond;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A thread's connection. libcurl would use one that was made without TLS for a message that asks
 * for STARTTLS; so it is kept for the same server in the same mode only. */
struct kept {
	CURL *easy;
	char *server;
	curl_socket_t fd;
};
static __thread struct kept *kept;
static pthread_key_t kept_key;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;

static void job_free(struct job *job)
{
	curl_slist_free_all(job->to);
	if (job->password != NULL)
		ar_wipe(job->password, strlen(job->password));
	ar_pool_free(job->pool);
}

/* ---- on the crew's thread ---- */

static size_t give_message(char *p, size_t size, size_t n, void *arg)
{
	struct job *job = arg;
	struct ar_str next = ar_str_sub(job->message, job->sent, size * n);

	if (next.n > 0)
		memcpy(p, next.p, next.n);
	job->sent += next.n;
	return next.n;
}

static size_t take_reply(char *p, size_t size, size_t n, void *arg)
{
	struct job *job = arg;
	size_t kept_n = AR_MIN(size * n, sizeof(job->reply) - 1);

	memcpy(job->reply, p, kept_n);
	job->reply[kept_n] = '\0';
	job->reply[strcspn(job->reply, "\r\n")] = '\0';
	return size * n;
}

static int take_progress(void *arg, curl_off_t a AR_UNUSED, curl_off_t b AR_UNUSED,
			 curl_off_t c AR_UNUSED, curl_off_t d AR_UNUSED)
{
	struct job *job = arg;

	return atomic_load(&job->cancelled) ? 1 : 0;
}

/* Without QUIT, whose reply a server may keep us waiting for. */
static void kept_drop(void)
{
	if (kept == NULL)
		return;
	if (kept->fd != CURL_SOCKET_BAD)
		shutdown(kept->fd, SHUT_RDWR);
	curl_easy_cleanup(kept->easy);
	ar_heap_free(kept->server);
	ar_heap_free(kept);
	kept = NULL;
	pthread_setspecific(kept_key, NULL);
}

static void kept_end(void *unused AR_UNUSED)
{
	kept_drop();
}

static void kept_start(void)
{
	client_start();
	pthread_key_create(&kept_key, kept_end);
}

static CURL *kept_handle(const struct job *job)
{
	pthread_once(&kept_once, kept_start);
	if (kept != NULL && strcmp(kept->server, job->server) != 0)
		kept_drop();
	if (kept == NULL) {
		kept = ar_heap_new(struct kept);
		kept->server = ar_heap_strz(ar_str(job->server));
		kept->fd = CURL_SOCKET_BAD;
		kept->easy = curl_easy_init();
		pthread_setspecific(kept_key, kept);
	}
	return kept->easy;
}

static void job_setup(struct job *job, CURL *easy, int64_t left_ms)
{
	long ssl = job->tls == AR_MAIL_PLAIN ? CURLUSESSL_NONE : CURLUSESSL_ALL;

	client_easy_setup(easy, &job->guard);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(easy, CURLOPT_URL, job->url);
	curl_easy_setopt(easy, CURLOPT_USE_SSL, ssl);
	if (job->user[0] != '\0') {
		curl_easy_setopt(easy, CURLOPT_USERNAME, job->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, job->password);
	}
	curl_easy_setopt(easy, CURLOPT_MAIL_FROM, job->from);
	curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, job->to);
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_message);
	curl_easy_setopt(easy, CURLOPT_READDATA, job);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)job->message.n);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_reply);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, job);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, take_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, job);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, REPLY_SECONDS);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
}

static void job_perform(struct job *job)
{
	int64_t left = job->deadline - ar_mono_ms();
	CURL *easy;

	job->code = CURLE_OPERATION_TIMEDOUT;
	if (left <= 0 || atomic_load(&job->cancelled))
		return;
	easy = kept_handle(job);
	job->code = CURLE_OUT_OF_MEMORY;
	if (easy == NULL)
		return;
	job_setup(job, easy, left);
	job->code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &job->status);
	curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &kept->fd);
	curl_easy_reset(easy); /* nothing of the job stays behind */
	if (job->code != CURLE_OK)
		kept_drop();
}

static void job_done(void *arg);

static void job_run(struct crew_job *base)
{
	struct job *job = AR_CONTAINER(base, struct job, job);
	bool wanted;

	job_perform(job);
	pthread_mutex_lock(&lock);
	wanted = job->loop != NULL;
	if (wanted) /* under the lock: the loop cannot end before */
		ar_post(job->loop, job_done, job);
	pthread_mutex_unlock(&lock);
	if (!wanted)
		job_free(job);
}

/* ---- on the loop ---- */

static void job_done(void *arg)
{
	struct job *job = arg;

	job->done = true;
	if (job->cond == NULL) /* the fiber left while this was on its way */
		job_free(job);
	else
		ar_cond_signal(job->cond);
}

/* The fiber goes; whoever still has the job frees it. */
static void job_leave(struct job *job)
{
	atomic_store(&job->cancelled, true);
	pthread_mutex_lock(&lock);
	job->loop = NULL;
	job->cond = NULL;
	pthread_mutex_unlock(&lock);
}

static int job_error(const struct job *job)
{
	char status[16];

	if (job->code == CURLE_OK)
		return 0;
	if (job->guard.refused)
		return ar_fail(AR_E_CLIENT_ADDRESS, "host", job->host);
	snprintf(status, sizeof(status), "%ld", job->status);
	ar_fail_why(AR_E_INTERNAL, "libcurl %d: %s; server: %s", (int)job->code,
		    curl_easy_strerror(job->code), job->reply);
	if (job->status >= 500 || job->code == CURLE_USE_SSL_FAILED)
		return ar_fail_over(AR_E_MAIL_REFUSED, "host", job->host, "status", status);
	return ar_fail_over(AR_E_MAIL_FAILED, "host", job->host, "status", status);
}

static bool secret_ok(struct ar_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return false;
	}
	return s.n <= 512;
}

static int job_server(struct job *job, const struct ar_mail *mail)
{
	static const int ports[] = {
		[AR_MAIL_STARTTLS] = 587, [AR_MAIL_TLS] = 465, [AR_MAIL_PLAIN] = 25
	};
	struct ar_str host, helo = AR_STR_NONE;
	int port = mail->port != 0 ? mail->port : ports[mail->tls];

	if (!client_host_ascii(job->pool, mail->host, &host) || port < 1 || port > 65535)
		return ar_fail(AR_E_MAIL_INVALID, "field", "host");
	if (mail->helo.n > 0 && !client_host_ascii(job->pool, mail->helo, &helo))
		return ar_fail(AR_E_MAIL_INVALID, "field", "helo");
	if (!secret_ok(mail->user) || !secret_ok(mail->password))
		return ar_fail(AR_E_MAIL_INVALID, "field", "user");
	job->url = ar_printf(job->pool, "%s://%.*s:%d/%.*s",
			     mail->tls == AR_MAIL_TLS ? "smtps" : "smtp", AR_FMT(host), port,
			     AR_FMT(helo));
	job->host = ar_strz(job->pool, host);
	job->user = ar_strz(job->pool, mail->user);
	job->password = ar_strz(job->pool, mail->password);
	job->tls = mail->tls;
	job->server = ar_printf(job->pool, "%d %s %s", (int)job->tls, job->url, job->user);
	job->guard.on = !mail->allow_private;
	return 0;
}

static int job_message(struct job *job, const struct ar_mail *mail)
{
	struct ar_str address;

	if (ar_mail_print(job->pool, mail, &job->message) != 0)
		return -1;
	mail_address(job->pool, mail->from.address, &address); /* checked just before */
	job->from = ar_printf(job->pool, "<%.*s>", AR_FMT(address));
	for (size_t i = 0; i < mail->nto; i++) {
		struct curl_slist *longer;

		mail_address(job->pool, mail->to[i].address, &address);
		longer =
			curl_slist_append(job->to, ar_printf(job->pool, "<%.*s>", AR_FMT(address)));
		if (longer == NULL) /* nobody may be left out in silence */
			return ar_fail_why(AR_E_INTERNAL, "no memory for a recipient");
		job->to = longer;
	}
	return 0;
}

static int mail_run(const struct ar_mail *mail)
{
	struct ar_pool *pool = ar_pool_new();
	struct job *job = ar_new(pool, struct job);
	struct ar_cond cond = { 0 };
	int rc = 0;

	job->pool = pool;
	job->job.run = job_run;
	job->deadline = ar_deadline() + GRACE_MS;
	job->loop = ar_loop();
	job->cond = &cond;
	if (job_server(job, mail) != 0 || job_message(job, mail) != 0) {
		job_free(job);
		return -1;
	}
	job->job.key = job->host;
	if (crew_add(&crew, &job->job) != 0) {
		job_free(job);
		return -1;
	}
	while (!job->done && rc == 0)
		rc = ar_cond_wait(&cond);
	if (!job->done) {
		job_leave(job);
		return -1;
	}
	rc = job_error(job);
	job_free(job);
	return rc;
}

int ar_mail_send(struct ar_pool *pool AR_UNUSED, const struct ar_mail *mail)
{
	int64_t own = ar_mono_ms() + (mail->timeout_ms > 0 ? mail->timeout_ms : TIMEOUT_MS);
	int64_t before = ar_deadline_set(AR_MIN(own, ar_deadline()));
	int rc = mail_run(mail);

	ar_deadline_set(before);
	if (rc != 0 && ar_err_is(AR_E_DEADLINE) && !ar_cancelled())
		return ar_fail(AR_E_MAIL_FAILED, "status", "timeout");
	return rc;
}
