/*
 * resolve.c - names: slow ones, several addresses, sharing, forgetting. The C library's resolver is
 * replaced by the one below, which libcurl would get as well if it ever asked.
 */
#include <netdb.h>

#include "client/tests/rig.h"

static struct tcp_server server;
static atomic_int asked, held; /* held: look-ups of slow names */
static atomic_bool released;

struct answer {
	struct addrinfo info;
	struct sockaddr_storage addr;
};

static struct addrinfo *answer_of(const char *address, struct addrinfo *next)
{
	struct answer *a = calloc(1, sizeof(*a));
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->addr;
	struct in6_addr parsed;

	assert_true(client_addr_parse(address, &parsed));
	v4->sin_family = AF_INET;
	memcpy(&v4->sin_addr, parsed.s6_addr + 12, 4);
	a->info.ai_family = AF_INET;
	a->info.ai_addr = (struct sockaddr *)&a->addr;
	a->info.ai_addrlen = sizeof(*v4);
	a->info.ai_next = next;
	return &a->info;
}

/* "slow." waits until it may go on; then a dash-separated list of last bytes of 127.0.0.x. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	char address[32];
	const char *at;

	atomic_fetch_add(&asked, 1);
	if (strncmp(name, "slow.", 5) == 0) {
		atomic_fetch_add(&held, 1);
		for (int i = 0; i < 60000 && !atomic_load(&released); i++)
			usleep(1000);
		atomic_fetch_sub(&held, 1);
	}
	at = strstr(name, "ip-");
	if (at == NULL)
		return EAI_NONAME;
	*ret = NULL;
	for (at += 3; *at >= '0' && *at <= '9'; at += *at == '-') {
		char *end;

		snprintf(address, sizeof(address), "127.0.0.%lu", strtoul(at, &end, 10));
		*ret = answer_of(address, *ret);
		at = end;
	}
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;

		free(AR_CONTAINER(list, struct answer, info));
		list = next;
	}
}

static void serve(struct tcp_server *self AR_UNUSED, int fd)
{
	char head[4096];

	while (tcp_read_until(fd, head, sizeof(head), "\r\n\r\n"))
		tcp_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

#define TEST(name) TEST_IN(name, rig_run, struct ar_pool *pool)

static int get(struct ar_pool *pool, const char *host, int64_t timeout_ms)
{
	struct ar_fetch req = { .url = ar_strf(pool, "http://%s:%d/", host, server.port),
				.timeout_ms = timeout_ms };
	struct ar_fetched r;

	return ar_fetch(pool, &req, &r);
}

TEST(names_are_remembered)
{
	int before = asked;

	assert_ok(get(pool, "a.ip-1", 0));
	assert_ok(get(pool, "A.IP-1", 0));
	assert_ok(get(pool, "a.ip-1.", 0));
	assert_int_equal(asked - before, 1); /* and libcurl did not ask either */
	assert_fails(get(pool, "nobody", 0), AR_E_CLIENT_FAILED);
	assert_fails(get(pool, "nobody", 0), AR_E_CLIENT_FAILED);
	assert_int_equal(asked - before, 2);
}

/* A name with a closed and an open address: the closed one is never tried. */
TEST(only_open_addresses_are_tried)
{
	int before = server.connections;

	assert_fails(get(pool, "b.ip-2", 0), AR_E_CLIENT_ADDRESS);
	assert_fails(get(pool, "b.ip-2-3-4", 0), AR_E_CLIENT_ADDRESS);
	assert_int_equal(server.connections, before);
	assert_ok(get(pool, "b.ip-2-1-3", 0));
	assert_int_equal(server.connections, before + 1);
}

/* The name points elsewhere from one call to the next; so does the answer. */
TEST(names_that_change_are_checked_again)
{
	struct ar_fetch req = { .url = ar_strf(pool, "http://c.ip-1:%d/", server.port) };
	struct ar_fetched r;

	assert_ok(ar_fetch(pool, &req, &r)); /* now a connection is kept */
	assert_ok(ar_client_allow(AR_STR("127.0.0.9")));
	assert_fails(ar_fetch(pool, &req, &r), AR_E_CLIENT_ADDRESS);
	assert_ok(ar_client_allow(AR_STR("127.0.0.1")));
}

TEST(slow_names_end_with_the_call)
{
	int before = asked;

	released = false;
	assert_fails(get(pool, "slow.ip-1", 50), AR_E_CLIENT_TIMEOUT);
	assert_fails(get(pool, "slow.ip-1", 50), AR_E_CLIENT_TIMEOUT);
	assert_ok(get(pool, "quick.ip-1", 0));
	released = true;
	assert_ok(get(pool, "slow.ip-1", 0)); /* still the same look-up */
	assert_int_equal(asked - before, 2);
}

static int finished;

static void get_slow(void *arg)
{
	struct ar_pool *pool = ar_pool_new();

	assert_ok(get(pool, arg, 0));
	ar_pool_free(pool);
	finished++;
}

TEST(many_share_one_look_up)
{
	int before = asked;

	finished = 0;
	released = false;
	for (int i = 0; i < 20; i++)
		ar_go("slow", get_slow, "slow.shared.ip-1", AR_NO_DEADLINE);
	ar_sleep(50);
	released = true;
	for (int i = 0; i < 6000 && finished < 20; i++)
		ar_sleep(10);
	assert_int_equal(finished, 20);
	assert_int_equal(asked - before, 1);
}

static const struct ar_err_def *ended_with;

static void get_detached(void *arg)
{
	struct ar_pool *pool = ar_pool_new();

	assert_int_equal(get(pool, arg, 0), -1);
	ended_with = ar_err()->def;
	ar_pool_free(pool);
}

/* The look-up outlives its loop, and finds nobody. */
static void look_ups_outlive_their_loop(void **state)
{
	struct ar_loop *loop = ar_loop_new();

	ended_with = NULL;
	released = false;
	ar_go("slow", get_detached, "slow.gone.ip-1", AR_NO_DEADLINE);
	ar_client_detach();
	ar_loop_free(loop);
	assert_ptr_equal(ended_with, AR_E_CANCELLED);
	released = true;
	for (int i = 0; i < 60000 && held > 0; i++)
		usleep(1000);
	assert_int_equal(held, 0);
	usleep(100000); /* and what comes after it */
}

TEST(names_do_not_pile_up)
{
	int before = asked;

	for (int i = 0; i < 1100; i++) /* more than are kept */
		assert_fails(get(pool, ar_printf(pool, "n%d.ip-2", i), 0), AR_E_CLIENT_ADDRESS);
	assert_int_equal(asked - before, 1100);
	assert_fails(get(pool, "n1099.ip-2", 0), AR_E_CLIENT_ADDRESS);
	assert_int_equal(asked - before, 1100); /* the last ones are still known */
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
		cmocka_unit_test(names_are_remembered),
		cmocka_unit_test(only_open_addresses_are_tried),
		cmocka_unit_test(names_that_change_are_checked_again),
		cmocka_unit_test(slow_names_end_with_the_call),
		cmocka_unit_test(many_share_one_look_up),
		cmocka_unit_test(look_ups_outlive_their_loop),
		cmocka_unit_test(names_do_not_pile_up),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, start, stop);
}
