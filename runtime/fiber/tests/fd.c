/*
 * fd.c - tests of waiting for files: both directions, hang-ups, time-outs, forgetting, watching.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "tests/harness/fiber.h"

#define RUN(body)  fiber_run(body, NULL)
#define TEST(name) TEST_IN(name, RUN, void *arg)

static void pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
}

static void pair_close(int sv[2])
{
	ar_fd_forget(sv[0]);
	ar_fd_forget(sv[1]);
	close(sv[0]);
	close(sv[1]);
}

static void writes_later(void *arg)
{
	int fd = *(int *)arg;

	ar_sleep(5);
	assert_int_equal(write(fd, "x", 1), 1);
}

TEST(readable_when_bytes_come)
{
	int sv[2];
	char c;

	pair(sv);
	for (int i = 0; i < 3; i++) {
		ar_go("writes", writes_later, &sv[1], AR_NO_DEADLINE);
		assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), AR_READ);
		assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), AR_READ); /* not read yet: still */
		assert_int_equal(read(sv[0], &c, 1), 1);
	}
	pair_close(sv);
}

static char block[65536];

static void drains(void *arg)
{
	int fd = *(int *)arg;

	ar_sleep(5);
	while (read(fd, block, sizeof(block)) > 0)
		;
}

TEST(writable_when_the_other_side_reads)
{
	int sv[2];

	pair(sv);
	assert_int_equal(ar_wait_fd(sv[0], AR_WRITE, -1), AR_WRITE);
	while (write(sv[0], block, sizeof(block)) > 0)
		;
	assert_int_equal(ar_wait_fd(sv[0], AR_WRITE, 3), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	assert_false(ar_cancelled());
	ar_go("drains", drains, &sv[1], AR_NO_DEADLINE);
	assert_int_equal(ar_wait_fd(sv[0], AR_WRITE, -1), AR_WRITE);
	pair_close(sv);
}

TEST(both_directions_at_once)
{
	int sv[2];

	pair(sv);
	assert_int_equal(ar_wait_fd(sv[0], AR_READ | AR_WRITE, -1), AR_WRITE);
	assert_int_equal(write(sv[1], "x", 1), 1);
	assert_int_equal(ar_wait_fd(sv[0], AR_READ | AR_WRITE, -1), AR_READ | AR_WRITE);
	pair_close(sv);
}

struct side {
	int fd, what, got;
};

static void waits_side(void *arg)
{
	struct side *s = arg;

	s->got = ar_wait_fd(s->fd, s->what, -1);
}

TEST(a_reader_and_a_writer_of_one_file)
{
	int sv[2];
	struct side r, w;

	pair(sv);
	while (write(sv[0], block, sizeof(block)) > 0)
		;
	r = (struct side){ sv[0], AR_READ, 0 };
	w = (struct side){ sv[0], AR_WRITE, 0 };
	ar_go("reader", waits_side, &r, AR_NO_DEADLINE);
	ar_go("writer", waits_side, &w, AR_NO_DEADLINE);
	ar_sleep(3);
	assert_int_equal(r.got | w.got, 0);
	assert_int_equal(write(sv[1], "x", 1), 1);
	for (int i = 0; i < 60000 && r.got == 0; i++)
		ar_sleep(1);
	assert_int_equal(r.got, AR_READ);
	assert_int_equal(w.got, 0);
	while (read(sv[1], block, sizeof(block)) > 0)
		;
	for (int i = 0; i < 60000 && w.got == 0; i++)
		ar_sleep(1);
	assert_int_equal(w.got, AR_WRITE);
	pair_close(sv);
}

TEST(a_hang_up_wakes_and_does_not_spin)
{
	int sv[2], turns = 0;
	char c;

	pair(sv);
	assert_int_equal(write(sv[1], "x", 1), 1);
	assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), AR_READ);
	close(sv[1]);
	assert_true(ar_wait_fd(sv[0], AR_READ, -1) & AR_READ);
	assert_int_equal(read(sv[0], &c, 1), 1);
	assert_int_equal(read(sv[0], &c, 1), 0);
	/* nobody waits now: the loop must come to rest */
	ar_sleep(2);
	for (int64_t end = ar_mono_ms() + 20; ar_mono_ms() < end; turns++)
		ar_sleep(5);
	assert_true(turns <= 5);
	ar_fd_forget(sv[0]);
	close(sv[0]);
}

static void canceller(void *arg)
{
	ar_sleep(3);
	ar_cancel(arg);
}

TEST(cancel_and_deadline_end_the_wait)
{
	int sv[2];

	pair(sv);
	ar_deadline_set(ar_mono_ms() + 3);
	assert_int_equal(ar_wait_fd(sv[0], AR_READ, 60000), -1);
	assert_true(ar_err_is(AR_E_DEADLINE));
	assert_true(ar_cancelled());
	ar_deadline_set(AR_NO_DEADLINE);
	ar_go("canceller", canceller, ar_self(), AR_NO_DEADLINE);
	assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), -1);
	assert_true(ar_err_is(AR_E_CANCELLED));
	pair_close(sv);
}

static void forgets(void *arg)
{
	ar_sleep(3);
	ar_fd_forget(*(int *)arg);
}

TEST(forgetting_ends_the_wait_and_the_number_can_be_used_again)
{
	int sv[2];

	for (int i = 0; i < 5; i++) {
		pair(sv);
		ar_go("forgets", forgets, &sv[0], AR_NO_DEADLINE);
		assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), -1);
		assert_true(ar_err_is(AR_E_CANCELLED));
		assert_int_equal(write(sv[1], "x", 1), 1);
		assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), AR_READ);
		pair_close(sv);
	}
}

TEST(an_ordinary_file_is_always_ready)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ar_wait_fd(fd, AR_READ, -1), AR_READ);
	ar_fd_forget(fd);
	close(fd);
	assert_int_equal(ar_wait_fd(fd, AR_READ, -1), -1); /* closed */
	assert_true(ar_err_is(AR_E_INTERNAL));
}

static int watched, watched_ready;

static void on_ready(void *arg, int fd, int ready)
{
	char c;

	assert_null(ar_self());
	assert_ptr_equal(arg, &watched);
	watched++;
	watched_ready |= ready;
	if (ready & AR_READ)
		assert_true(read(fd, &c, 1) >= 0);
}

TEST(a_watch_is_called_while_ready)
{
	int sv[2], calls;

	pair(sv);
	watched = watched_ready = 0;
	ar_fd_watch(sv[0], AR_READ, on_ready, &watched);
	ar_sleep(2);
	assert_int_equal(watched, 0);
	assert_int_equal(write(sv[1], "xyz", 3), 3);
	for (int i = 0; i < 60000 && watched < 3; i++)
		ar_sleep(1);
	assert_int_equal(watched, 3);
	assert_int_equal(watched_ready, AR_READ);
	ar_fd_watch(sv[0], AR_WRITE, on_ready, &watched);
	for (int i = 0; i < 60000 && !(watched_ready & AR_WRITE); i++)
		ar_sleep(1);
	assert_true(watched_ready & AR_WRITE);
	ar_fd_watch(sv[0], 0, NULL, NULL);
	calls = watched;
	assert_int_equal(write(sv[1], "x", 1), 1);
	ar_sleep(3);
	assert_int_equal(watched, calls);
	/* and a fiber may wait for it now */
	assert_int_equal(ar_wait_fd(sv[0], AR_READ, -1), AR_READ);
	pair_close(sv);
}

static void echoes(void *arg)
{
	int fd = *(int *)arg;

	for (;;) {
		char buf[256];
		ssize_t n;

		if (ar_wait_fd(fd, AR_READ, -1) < 0)
			return;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return;
		assert_int_equal(write(fd, buf, (size_t)n), n);
	}
}

TEST(two_fibers_talk_through_a_socket)
{
	int sv[2];
	struct ar_fiber *echo;

	pair(sv);
	echo = ar_go("echo", echoes, &sv[1], AR_NO_DEADLINE);
	ar_fiber_hold(echo);
	for (int i = 0; i < 1000; i++) {
		int got;

		assert_int_equal(write(sv[0], &i, sizeof(i)), sizeof(i));
		assert_int_equal(ar_wait_fd(sv[0], AR_READ, 1000), AR_READ);
		assert_int_equal(read(sv[0], &got, sizeof(got)), sizeof(got));
		assert_int_equal(got, i);
	}
	shutdown(sv[0], SHUT_WR);
	ar_join(echo);
	ar_fiber_drop(echo);
	pair_close(sv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readable_when_bytes_come),
		cmocka_unit_test(writable_when_the_other_side_reads),
		cmocka_unit_test(both_directions_at_once),
		cmocka_unit_test(a_reader_and_a_writer_of_one_file),
		cmocka_unit_test(a_hang_up_wakes_and_does_not_spin),
		cmocka_unit_test(cancel_and_deadline_end_the_wait),
		cmocka_unit_test(forgetting_ends_the_wait_and_the_number_can_be_used_again),
		cmocka_unit_test(an_ordinary_file_is_always_ready),
		cmocka_unit_test(a_watch_is_called_while_ready),
		cmocka_unit_test(two_fibers_talk_through_a_socket),
	};

	return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
