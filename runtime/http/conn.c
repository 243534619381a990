/*
 * conn.c - a connection: its bytes in and out, its time limits, its end.
 *
 * h2o's socket tells when there is something to read or room to write; reading itself is done here,
 * into one buffer per loop, so that nothing is kept for a connection that is idle and no more is
 * taken than the protocol allows. A sweep over all connections, some times a second, is the only
 * timer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h> /* glibc's own lacks tcpi_bytes_acked */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "http/server_int.h"

/* ---- begin and end ---- */

void conn_ref(struct conn *c)
{
	c->refs++;
}

void conn_unref(struct conn *c)
{
	if (--c->refs > 0)
		return;
	assert(c->sock == NULL);
	ar_buf_done(&c->in);
	ar_heap_free(c);
}

/* Over HTTP/2 h2o writes, and keeps count. */
static void count_written(struct conn *c)
{
	if (c->h2 == NULL)
		return;
	count(&c->l->n.bytes_out, c->sock->bytes_written - c->written_seen);
	c->written_seen = c->sock->bytes_written;
}

/* h2o has closed the socket, by itself or because we asked for it. */
static void on_close(void *arg)
{
	struct conn *c = arg;
	struct ar_http_int *next;

	count_written(c);
	c->sock = NULL;
	for (struct ar_http_int *ex = c->first; ex != NULL; ex = next) {
		next = ex->next;
		exchange_gone(ex);
	}
	h2_done(c);
	DL_DELETE(c->l->conns, c);
	atomic_fetch_sub(&c->l->nconns, 1);
	atomic_fetch_sub(&c->l->server->open, 1);
	conn_unref(c);
}

static void peer_text(const struct sockaddr_storage *peer, char out[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	if (peer->ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, out, INET6_ADDRSTRLEN);
	else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
	else if (peer->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, out, INET6_ADDRSTRLEN);
}

void conn_open(struct sloop *l, int fd, const struct sockaddr_storage *peer)
{
	struct conn *c = ar_heap_new(struct conn);
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->l = l;
	c->refs = 1;
	peer_text(peer, c->peer);
	ar_buf_init(&c->in, SIZE_MAX); /* h1.c and h2.c bound what they leave in it */
	DL_PREPEND(l->conns, c);
	c->sock = h2o_evloop_socket_create(l->evloop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
	c->sock->on_close.cb = on_close;
	c->sock->on_close.data = c;
	h2o_socket_dont_read(c->sock, 1);
	c->expires_ms = ar_mono_ms() + l->server->options.header_ms;
	count(&l->n.connections, 1);
	h2o_socket_read_start(c->sock, conn_readable);
}

void conn_close(struct conn *c)
{
	if (c->sock == NULL)
		return;
	if (c->h2 != NULL) {
		/* h2o closes it on the error that both directions give from now on */
		shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
		h2_eof(c, "closed");
		return;
	}
	h2o_socket_close(c->sock);
}

void conn_read(struct conn *c, bool on)
{
	if (on == !c->read_off)
		return;
	c->read_off = !on;
	if (on)
		h2o_socket_read_start(c->sock, conn_readable);
	else
		h2o_socket_read_stop(c->sock);
}

void conn_keep(struct conn *c, const char *p, size_t n)
{
	if (n == 0) {
		ar_buf_done(&c->in);
	} else if (c->in.n > 0) {
		memmove(c->in.p, p, n);
		c->in.n = n;
	} else {
		ar_buf_add(&c->in, p, n);
	}
}

/*
 * The last reply is out. When the client may still be sending, close() would answer that with a
 * reset, which can overtake the reply: say that we are done, and drop what comes for a while.
 */
void conn_linger(struct conn *c)
{
	int unread = 0, fd;

	if (c->sock == NULL)
		return;
	fd = h2o_socket_get_fd(c->sock);
	if (c->eof || (c->state == CONN_RUNNING && c->in.n == 0 &&
		       ioctl(fd, FIONREAD, &unread) == 0 && unread == 0)) {
		conn_close(c);
		return;
	}
	shutdown(fd, SHUT_WR);
	c->state = CONN_LINGER;
	c->expires_ms = ar_mono_ms() + LINGER_MS;
	ar_buf_done(&c->in);
	conn_read(c, true);
}

void conn_drain(struct conn *c)
{
	if (c->state == CONN_H2)
		h2_drain(c);
	else if (c->state == CONN_HEAD && c->in.n == 0)
		conn_close(c);
}

/* ---- in ---- */

static void conn_eof(struct conn *c, const char *err)
{
	if (c->state == CONN_H2) {
		h2_eof(c, err);
	} else if (c->state == CONN_RUNNING && err == h2o_socket_error_closed) {
		/* Done sending, but maybe still waiting for its reply. */
		c->eof = true;
		conn_read(c, false);
	} else {
		conn_close(c);
	}
}

static bool preface_begins(const struct conn *c, const char *p, size_t n)
{
	return !c->served && n > 3 && memcmp(p, H2_PREFACE, AR_MIN(n, H2_PREFACE_LEN)) == 0;
}

static void conn_input(struct conn *c, const char *p, size_t n)
{
	if (c->state == CONN_H2) {
		h2_input(c, p, n);
		return;
	}
	if (c->state == CONN_HEAD && c->in.n > 0 && !c->served) { /* may be a preface in pieces */
		ar_buf_add(&c->in, p, n);
		p = c->in.p;
		n = c->in.n;
	}
	if (c->state == CONN_HEAD && preface_begins(c, p, n)) {
		if (n >= H2_PREFACE_LEN)
			h2_adopt(c, p, n);
		else if (p != c->in.p)
			ar_buf_add(&c->in, p, n);
		return;
	}
	h1_input(c, p, n);
}

void conn_readable(h2o_socket_t *sock, AR_UNUSED const char *err)
{
	struct conn *c = sock->on_close.data;
	struct sloop *l = c->l;
	ssize_t n = recv(h2o_socket_get_fd(sock), l->scratch, SCRATCH_LEN, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	conn_ref(c);
	if (n <= 0) {
		conn_eof(c, n == 0 ? h2o_socket_error_closed : h2o_socket_error_io);
	} else {
		count(&l->n.bytes_in, (uint64_t)n);
		l->now_us = ar_mono_us();
		if (c->state != CONN_LINGER)
			conn_input(c, l->scratch, (size_t)n);
	}
	conn_unref(c);
}

/* ---- out ---- */

/* How much the client has taken in all. *ret_waiting: the kernel still has some for it. */
static uint64_t bytes_acked(const struct conn *c, bool *ret_waiting)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	*ret_waiting = true;
	if (getsockopt(h2o_socket_get_fd(c->sock), IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		*ret_waiting = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
	return info.tcpi_bytes_acked;
}

static void on_writable(h2o_socket_t *sock, const char *err);

/* One piece, as most replies are, goes the shorter way through the kernel. */
static ssize_t out_write(int fd, const struct iovec *out, int n)
{
	return n == 1 ? send(fd, out->iov_base, out->iov_len, MSG_NOSIGNAL) : writev(fd, out, n);
}

/* 1: nothing is left in c->out; 0: some is, and the socket is watched; -1: closed. */
static int out_flush(struct conn *c)
{
	ssize_t n;

	while (c->nout > 0) {
		n = out_write(h2o_socket_get_fd(c->sock), c->out, c->nout);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			h2o_socket_notify_write(c->sock, on_writable);
			return 0;
		}
		if (n < 0) {
			conn_close(c);
			return -1;
		}
		count(&c->l->n.bytes_out, (uint64_t)n);
		while (c->nout > 0 && (size_t)n >= c->out[0].iov_len) {
			n -= (ssize_t)c->out[0].iov_len;
			c->out[0] = c->out[1];
			c->nout--;
		}
		if (c->nout > 0) {
			c->out[0].iov_base = (char *)c->out[0].iov_base + n;
			c->out[0].iov_len -= (size_t)n;
		}
	}
	return 1;
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
	struct conn *c = sock->on_close.data;
	struct ar_http_int *ex = c->first;

	conn_ref(c);
	if (err != NULL) {
		conn_close(c);
	} else if (out_flush(c) == 1 && ex != NULL) {
		if (ex->streaming) {
			ar_cond_signal(&ex->moved);
		} else {
			ex->sent = true;
			exchange_settle(ex);
		}
	}
	conn_unref(c);
}

int conn_write(struct conn *c, const struct iovec *iov, int n)
{
	bool waiting;
	int r;

	assert(c->nout == 0 && n <= (int)AR_COUNT(c->out));
	memcpy(c->out, iov, (size_t)n * sizeof(*iov));
	c->nout = n;
	r = out_flush(c);
	if (r == 0) {
		c->mark_ms = ar_mono_ms();
		c->mark_acked = bytes_acked(c, &waiting);
	}
	return r;
}

/* ---- time ---- */

static void check_reader(struct conn *c, int64_t now)
{
	int64_t stall = c->l->server->options.send_stall_ms;
	uint64_t acked;
	bool waiting;

	if (!h2o_socket_is_writing(c->sock)) {
		c->mark_ms = 0;
		return;
	}
	if (c->mark_ms != 0 && now - c->mark_ms < stall)
		return;
	acked = bytes_acked(c, &waiting);
	if (c->mark_ms != 0 && waiting && acked - c->mark_acked < SEND_MIN) {
		count(&c->l->n.refused, 1);
		conn_close(c);
		return;
	}
	c->mark_ms = now;
	c->mark_acked = acked;
}

static void expire(struct conn *c)
{
	c->expires_ms = 0;
	switch (c->state) {
	case CONN_HEAD:
	case CONN_BODY:
		h1_expired(c);
		break;
	case CONN_H2:
		h2_calm(c, "too slow");
		break;
	default:
		conn_close(c);
	}
}

void conn_sweep(struct sloop *l)
{
	int64_t now = ar_mono_ms();
	struct conn *next;

	if (l->accept_again_ms != 0 && now >= l->accept_again_ms)
		listener_start(l);
	for (struct conn *c = l->conns; c != NULL; c = next) {
		conn_ref(c);
		if (c->expires_ms != 0 && now >= c->expires_ms)
			expire(c);
		if (c->sock != NULL) {
			count_written(c);
			check_reader(c, now);
		}
		if (c->sock != NULL && c->state == CONN_H2)
			h2_sweep(c, now);
		if (c->sock != NULL && l->stopping)
			conn_drain(c);
		next = c->next;
		conn_unref(c);
	}
}
