/*
 * mux.c - libcurl's multi interface on the fiber's loop: one a loop, made at the first call.
 *
 * libcurl asks for file events, which the loop calls back for, and for one timer. A small fiber is
 * the timer while transfers run; libcurl's own work is done on the loop's stack, where there is
 * room for a TLS handshake. Addresses are checked where the socket is made, and again before each
 * request, because a kept connection may have been made for somebody who may go further.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <unistd.h>

#include "client/client_int.h"

#define CALLS_MAX    1024 /* at once, of a loop */
#define PER_HOST_MAX 128  /* one slow host must not take them all */
#define KEPT_MAX     128  /* idle connections */

struct mux {
	CURLM *multi;
	struct ar_loop *loop;
	struct resolver *resolver;
	struct mux_call *calls;
	int active;
	int users; /* fibers and messages that hold a pointer */
	bool driven, closed;
	int64_t timer_at; /* ar_mono_ms(), or AR_NO_DEADLINE */
	struct ar_cond changed;
};

static __thread struct mux *current;
static char *trust_file;

/* ---- what every handle has ---- */

static curl_socket_t guard_open(void *arg, curlsocktype purpose AR_UNUSED,
				struct curl_sockaddr *address)
{
	struct client_guard *guard = arg;

	if (guard->on && !client_sockaddr_open(&address->addr)) {
		guard->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int guard_close(void *arg AR_UNUSED, curl_socket_t fd)
{
	ar_fd_forget(fd);
	return close(fd);
}

static int guard_request(void *arg, char *peer, char *local AR_UNUSED, int peer_port AR_UNUSED,
			 int local_port AR_UNUSED)
{
	struct client_guard *guard = arg;

	if (!guard->on || ar_client_public(ar_str(peer)))
		return CURL_PREREQFUNC_OK;
	guard->refused = true;
	return CURL_PREREQFUNC_ABORT;
}

void client_easy_setup(void *easy, struct client_guard *guard)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, guard_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, guard);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, guard_close);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, guard_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, guard);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* the environment's would see every address */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (trust_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, trust_file);
}

void ar_client_trust(const char *pem_file)
{
	ar_heap_free(trust_file);
	trust_file = pem_file != NULL ? ar_heap_strz(ar_str(pem_file)) : NULL;
}

static void curl_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

void client_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, curl_start);
}

/* ---- the multi and its loop ---- */

static void mux_release(struct mux *mux)
{
	if (--mux->users > 0 || !mux->closed)
		return;
	ar_heap_free(mux);
}

static void call_finish(struct mux *mux, struct mux_call *call, int code)
{
	curl_multi_remove_handle(mux->multi, call->easy);
	call->code = code;
	call->finished = true;
	ar_cond_signal(&call->done);
}

/* Transfers that have ended wake their fibers. */
static void mux_collect(struct mux *mux)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(mux->multi, &left)) != NULL) {
		CURLcode code = message->data.result;
		char *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		call_finish(mux, (struct mux_call *)call, code);
	}
}

static void mux_ready(void *arg, int fd, int ready)
{
	struct mux *mux = arg;
	int what = 0, running;

	what |= (ready & AR_READ) ? CURL_CSELECT_IN : 0;
	what |= (ready & AR_WRITE) ? CURL_CSELECT_OUT : 0;
	curl_multi_socket_action(mux->multi, fd, what, &running);
	mux_collect(mux);
}

static int mux_socket(CURL *easy AR_UNUSED, curl_socket_t fd, int what, void *arg,
		      void *socket_arg AR_UNUSED)
{
	int watch = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		watch |= AR_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		watch |= AR_WRITE;
	ar_fd_watch(fd, watch, mux_ready, arg);
	return 0;
}

static int mux_timer(CURLM *multi AR_UNUSED, long timeout_ms, void *arg)
{
	struct mux *mux = arg;

	mux->timer_at = timeout_ms < 0 ? AR_NO_DEADLINE : ar_mono_ms() + timeout_ms;
	ar_cond_signal(&mux->changed);
	return 0;
}

static void mux_timeout(void *arg)
{
	struct mux *mux = arg;
	int running;

	if (!mux->closed) {
		curl_multi_socket_action(mux->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		mux_collect(mux);
	}
	mux_release(mux);
}

/* The timer: a fiber that lives as long as there are transfers. */
static void mux_drive(void *arg)
{
	struct mux *mux = arg;

	while (mux->active > 0 && !mux->closed && !ar_cancelled()) {
		int64_t now = ar_mono_ms();

		if (mux->timer_at <= now) {
			mux->timer_at = AR_NO_DEADLINE;
			mux->users++;
			ar_post(mux->loop, mux_timeout, mux);
		}
		if (mux->timer_at == AR_NO_DEADLINE)
			ar_cond_wait(&mux->changed);
		else
			ar_cond_wait_for(&mux->changed, mux->timer_at - now);
		ar_err_clear(); /* the time being over is no error */
	}
	mux->driven = false;
	mux_release(mux);
}

static struct mux *mux_get(void)
{
	if (current != NULL)
		return current;
	client_start();
	current = ar_heap_new(struct mux);
	current->multi = curl_multi_init();
	current->loop = ar_loop();
	current->resolver = resolver_new();
	current->timer_at = AR_NO_DEADLINE;
	curl_multi_setopt(current->multi, CURLMOPT_SOCKETFUNCTION, mux_socket);
	curl_multi_setopt(current->multi, CURLMOPT_SOCKETDATA, current);
	curl_multi_setopt(current->multi, CURLMOPT_TIMERFUNCTION, mux_timer);
	curl_multi_setopt(current->multi, CURLMOPT_TIMERDATA, current);
	curl_multi_setopt(current->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_MAX);
	return current;
}

struct resolver *client_resolver(void)
{
	return mux_get()->resolver;
}

void ar_client_detach(void)
{
	struct mux *mux = current;

	if (mux == NULL)
		return;
	current = NULL;
	mux->closed = true;
	mux->users++;
	for (struct mux_call *call = mux->calls; call != NULL; call = call->next) {
		if (!call->finished)
			call_finish(mux, call, CURLE_ABORTED_BY_CALLBACK);
	}
	curl_multi_cleanup(mux->multi);
	mux->multi = NULL;
	resolver_close(mux->resolver);
	ar_cond_signal(&mux->changed);
	mux_release(mux);
}

/* ---- calls ---- */

static bool mux_busy(const struct mux *mux, const char *host)
{
	int same = 0;

	if (mux->active >= CALLS_MAX)
		return true;
	if (mux->active < PER_HOST_MAX)
		return false;
	for (const struct mux_call *call = mux->calls; call != NULL; call = call->next)
		same += strcmp(call->host, host) == 0;
	return same >= PER_HOST_MAX;
}

static void call_link(struct mux *mux, struct mux_call *call)
{
	DL_PREPEND(mux->calls, call);
	mux->active++;
	mux->users++;
}

static void call_unlink(struct mux *mux, struct mux_call *call)
{
	DL_DELETE(mux->calls, call);
	if (--mux->active == 0)
		ar_cond_signal(&mux->changed); /* the timer has nothing left to do */
	mux_release(mux);
}

int mux_run(struct mux_call *call)
{
	struct mux *mux = mux_get();
	int rc = 0;

	if (mux_busy(mux, call->host))
		return ar_fail(AR_E_CLIENT_BUSY);
	call->finished = false;
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	call_link(mux, call);
	if (curl_multi_add_handle(mux->multi, call->easy) != CURLM_OK) {
		call_unlink(mux, call);
		return ar_fail_why(AR_E_INTERNAL, "libcurl refuses a handle");
	}
	if (!mux->driven) {
		mux->driven = true;
		mux->users++;
		ar_go("client timer", mux_drive, mux, AR_NO_DEADLINE);
	}
	while (!call->finished && rc == 0)
		rc = ar_cond_wait(&call->done);
	if (!call->finished)
		curl_multi_remove_handle(mux->multi, call->easy);
	else if (mux->closed)
		rc = ar_fail(AR_E_CANCELLED);
	call_unlink(mux, call);
	return rc;
}
