/*
 * limits.c - clients that take too long, come in too great numbers, or do not read; stopping.
 * Times are short so that the test is; each has its own server.
 */
#include "server.h"

#define HEADER_MS 200

static int down(void **state)
{
	if (server != NULL)
		server_down();
	return 0;
}

static int64_t since(int64_t start)
{
	return ar_mono_ms() - start;
}

static void slow_head(void **state)
{
	int64_t start = ar_mono_ms();
	int fd;

	server_up((struct ar_server_options){ .header_ms = HEADER_MS });
	fd = dial();
	put_z(fd, "GET / HTTP/1.1\r\n");
	while (since(start) < PATIENCE_MS && !readable(fd, 20))
		if (put_z(fd, "X: y\r\n") != 0) /* a little all the time */
			break;
	read_for(fd, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 408);
	assert_non_null(strstr(got.p, "http/too-slow"));
	assert_in_range(since(start), HEADER_MS, PATIENCE_MS);
	close(fd);
	/* one that sends nothing is closed without a word */
	start = ar_mono_ms();
	fd = dial();
	assert_string_equal(read_for(fd, PATIENCE_MS), "");
	assert_true(got.closed);
	assert_true(since(start) >= HEADER_MS - 50);
	close(fd);
}

static void slow_body(void **state)
{
	int64_t start = ar_mono_ms();
	int fd;

	server_up((struct ar_server_options){ .header_ms = HEADER_MS });
	fd = dial();
	put_z(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
	while (since(start) < PATIENCE_MS && !readable(fd, 20))
		if (put_z(fd, "x") != 0)
			break;
	read_for(fd, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 408);
	assert_in_range(since(start), 3 * HEADER_MS, PATIENCE_MS);
	close(fd);
	assert_int_equal(handled, 0);
}

/* A slow line is no attack: a body that keeps coming gets longer than 3 x header_ms. */
static void steady_body(void **state)
{
	char block[4096];
	int fd;

	server_up((struct ar_server_options){ .header_ms = 1000 });
	memset(block, 'x', sizeof(block));
	fd = dial();
	put_z(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 81920\r\n"
		  "Connection: close\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(put(fd, block, sizeof(block)), 0);
		usleep(180000);
	}
	read_for(fd, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 200);
	assert_non_null(strstr(got.p, "|81920:"));
	close(fd);
}

static void idle_connection(void **state)
{
	int64_t start;
	int fd;

	server_up((struct ar_server_options){ .idle_ms = 200 });
	fd = dial();
	start = ar_mono_ms();
	put_z(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	read_for(fd, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 200);
	assert_true(got.closed);
	assert_in_range(since(start), 150, PATIENCE_MS);
	close(fd);
}

static void reader_that_does_not_read(void **state)
{
	int fd, small = 4096;
	int64_t start;

	server_up((struct ar_server_options){ .send_stall_ms = 300 });
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	start = ar_mono_ms();
	put_z(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(wait_until(&handled, 1));
	assert_true(closed_to(0));
	assert_true(since(start) >= 300);
	close(fd);
}

/* Some bytes a second are as good as none. */
static void reader_that_sips(void **state)
{
	char c;
	int fd, small = 4096;
	int64_t start;

	server_up((struct ar_server_options){ .send_stall_ms = 300 });
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	put_z(fd, "GET /file?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	start = ar_mono_ms();
	assert_true(wait_until(&handled, 1));
	while (connections_open() > 0 && since(start) < PATIENCE_MS && read(fd, &c, 1) == 1)
		usleep(20000);
	assert_true(closed_to(0));
	close(fd);
}

/* Slower than the stall limit in all, but always taking: served to the end. */
static void reader_that_is_slow(void **state)
{
	int64_t start = ar_mono_ms();

	server_up((struct ar_server_options){ .send_stall_ms = 1500 });
	assert_true(read_slowly(20) > 8000000);
	assert_true(since(start) > 2000);
}

static void too_many_connections(void **state)
{
	int fds[3];

	server_up((struct ar_server_options){ .connections_max = 2 });
	for (int i = 0; i < 2; i++) {
		fds[i] = dial();
		put_z(fds[i], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
		read_until(fds[i], "200 OK", 1);
	}
	fds[2] = dial();
	read_for(fds[2], PATIENCE_MS);
	assert_int_equal(status_of(got.p), 503);
	assert_non_null(strstr(got.p, "\"code\":\"unavailable\""));
	assert_true(got.closed);
	close(fds[2]);
	close(fds[0]);
	assert_true(closed_to(1));
	fds[0] = dial();
	put_z(fds[0], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	read_until(fds[0], "200 OK", 1);
	assert_int_equal(status_of(got.p), 200);
	close(fds[0]);
	close(fds[1]);
}

static int answered(const int *fds, int n)
{
	int ready = 0;

	for (int i = 0; i < n; i++)
		ready += readable(fds[i], 0);
	return ready;
}

/* 64 bodies of the largest size are the most that is held; then 503, and it frees again. */
static void too_many_bodies(void **state)
{
	static char block[10000];
	int fds[70], fd, refused = 0;

	server_up((struct ar_server_options){ .body_max = 10000 });
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 70; i++) {
		fds[i] = dial();
		put_z(fds[i], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
		put(fds[i], block, 9999);
	}
	for (int i = 0; i < PATIENCE_MS / 50 && answered(fds, 70) < 6; i++)
		usleep(50000);
	usleep(100000);
	for (int i = 0; i < 70; i++) {
		if (readable(fds[i], 0)) {
			read_for(fds[i], PATIENCE_MS);
			assert_int_equal(status_of(got.p), 503);
			refused++;
		}
	}
	assert_int_equal(refused, 6);
	for (int i = 0; i < 70; i++)
		close(fds[i]);
	assert_true(closed_to(0));
	fd = dial();
	put_z(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
	put(fd, block, 10000);
	read_until(fd, "|10000:", 1);
	assert_int_equal(status_of(got.p), 200);
	close(fd);
}

/* Clients that ask for much and read nothing hold so much memory, and no more. */
static void too_many_waiting_replies(void **state)
{
	int fds[2], fd;

	server_up((struct ar_server_options){ .replies_max = 20 << 20 });
	for (int i = 0; i < 2; i++) { /* 8 MiB each */
		fds[i] = dial();
		put_z(fds[i], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_true(readable(fds[i], PATIENCE_MS));
	}
	fd = dial();
	put_z(fd, "GET /big HTTP/1.1\r\nHost: x\r\nAccept-Language: fr\r\n\r\n");
	read_until(fd, "\"code\":\"unavailable\",\"lang\":\"fr\"}", 1);
	assert_int_equal(status_of(got.p), 503);
	put_z(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); /* small ones go on */
	read_until(fd, "\r\n\r\nhello", 1);
	assert_int_equal(status_of(got.p), 200);
	close(fds[0]);
	assert_true(closed_to(2));
	put_z(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	read_until(fd, "200 OK", 1);
	assert_int_equal(status_of(got.p), 200);
	close(fd);
	close(fds[1]);
}

static void graceful_stop(void **state)
{
	int busy, idle;
	pthread_t t;

	server_up((struct ar_server_options){ .loops = 2 });
	idle = dial();
	put_z(idle, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	read_until(idle, "200 OK", 1);
	busy = dial();
	put_z(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(wait_until(&handled, 2));
	pthread_create(&t, NULL, stop_server, NULL);
	read_for(idle, PATIENCE_MS);
	assert_true(got.closed);
	assert_false(readable(busy, 0));
	released = true;
	read_for(busy, PATIENCE_MS);
	assert_int_equal(status_of(got.p), 200);
	assert_non_null(strstr(got.p, "slept"));
	assert_non_null(strstr(got.p, "Connection: close"));
	assert_true(got.closed);
	pthread_join(t, NULL);
	assert_int_equal(cancelled, 0);
	close(idle);
	close(busy);
}

/* What is not done when the grace is over is cancelled, and still answers. */
static void stop_cancels(void **state)
{
	int64_t start = ar_mono_ms();
	int fd;

	server_up((struct ar_server_options){ 0 });
	fd = dial();
	put_z(fd, "GET /sleep?60000 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(wait_until(&handled, 1));
	ar_server_stop(server, 200);
	server = NULL;
	assert_true(since(start) < 20000);
	read_for(fd, PATIENCE_MS);
	assert_non_null(strstr(got.p, "cut short"));
	assert_int_equal(cancelled, 1);
	close(fd);
}

static void port_taken(void **state)
{
	struct ar_server_options o = { .handle = test_handle, .loops = 1 };
	struct ar_server *second;

	server_up((struct ar_server_options){ 0 });
	o.port = ar_server_port(server);
	assert_int_equal(ar_server_start(&o, &second), -1);
	assert_true(ar_err_is(AR_E_UNAVAILABLE));
	ar_err_clear();
}

static int fail_to_start(int index)
{
	return index == 1 ? ar_fail(AR_E_CONFLICT, "what", "loop") : 0;
}

static void loop_start_fails(void **state)
{
	struct ar_server_options o = { .handle = test_handle, .loops = 2 };
	struct ar_server *none = NULL;

	o.loop_start = fail_to_start;
	assert_int_equal(ar_server_start(&o, &none), -1);
	assert_null(none);
	assert_true(ar_err_is(AR_E_CONFLICT));
	assert_string_equal(ar_err_param(ar_err(), "what"), "loop");
	ar_err_clear();
}

static void spread_over_loops(void **state)
{
	int fds[40];

	server_up((struct ar_server_options){ .loops = 4 });
	for (int i = 0; i < 40; i++) {
		fds[i] = dial();
		put_z(fds[i], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	}
	for (int i = 0; i < 40; i++) {
		read_until(fds[i], "200 OK", 1);
		assert_int_equal(status_of(got.p), 200);
		close(fds[i]);
	}
	assert_int_equal(handled, 40);
	assert_true(closed_to(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(slow_head, down),
		cmocka_unit_test_teardown(slow_body, down),
		cmocka_unit_test_teardown(steady_body, down),
		cmocka_unit_test_teardown(idle_connection, down),
		cmocka_unit_test_teardown(reader_that_does_not_read, down),
		cmocka_unit_test_teardown(reader_that_sips, down),
		cmocka_unit_test_teardown(reader_that_is_slow, down),
		cmocka_unit_test_teardown(too_many_connections, down),
		cmocka_unit_test_teardown(too_many_bodies, down),
		cmocka_unit_test_teardown(too_many_waiting_replies, down),
		cmocka_unit_test_teardown(graceful_stop, down),
		cmocka_unit_test_teardown(stop_cancels, down),
		cmocka_unit_test_teardown(port_taken, down),
		cmocka_unit_test_teardown(loop_start_fails, down),
		cmocka_unit_test_teardown(spread_over_loops, down),
	};

	ar_log_fd(open("/dev/null", O_WRONLY));
	assert_int_equal(ar_offload_start(2), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
