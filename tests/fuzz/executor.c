/*
 * libFuzzer: a whole executor in an attacker's hands, against the supervisor: packets of any type,
 * in any order, for two calls at a time, and its end at any moment.
 *
 * A step is a byte that says what, a byte for the length (times 8 with LONG), and so many bytes. The
 * supervisor must come out of it with both calls ended, no executor, no queue and nothing lost.
 * Run: build-fuzz/tests/fuzz/fuzz_executor -max_total_time=60
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/sandbox_int.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum {
	TYPE = 7,         /* of types[] */
	SECOND = 1 << 3,  /* of the second call */
	MORE = 1 << 4,    /* WIRE_MORE */
	LONG = 1 << 5,    /* the length counts eights */
	LISTEN = 1 << 6,  /* first wait for what the supervisor says */
	CORRECT = 1 << 7, /* begins with a struct wire_done: the first byte is its status */
};
enum { PATIENCE = 40 };

static const uint8_t types[] = { WIRE_LOG,  WIRE_HOST,   WIRE_DONE, WIRE_OBIT,
				 WIRE_CALL, WIRE_ANSWER, 0,         255 };

/* "a" in a name stands for a host call that waits, "f" for one that fails */
static const char *const seeds[] = {
	"\x82\x06\x01\x80\x40\x41\x42\x85hello\x8a\x06\x01\x82yes",
	"\x02\x04zzzz",
	"\x01\x03\x01\x01g\xc2\x05\x01\x01\x80\x41\x42",
	"\x40\x09\x02\x03\x01\x01\x01ok\x01\x01\xc2\x02\x01\x80",
	"\x50\x03\x01\x01\x01\x40\x03\x01\x01\x01\xc2\x01\x03",
	"\x48\x02xx\x4b\x04\x01\x01\x01\x01",
	"\xc2\x01\x04\xca\x01\x05",
};
FUZZ_SEEDS(seeds)

static struct ar_loop *loop;
static struct {
	const uint8_t *p, *end;
	int fd;     /* the executor's; -1: it is gone */
	bool heard; /* the supervisor said something since the last step */
	int running, idle;

} x;

/* ---- the executor ---- */

static void put_done(struct ar_buf *packet, uint8_t status, const uint8_t *p, size_t n)
{
	struct wire_done done = { .status = status, .line = 3 };

	if (n > 0 && p[0] > 0x80) /* a few lines of log come first */
		done.logs_len = p[0] - 0x80u;
	ar_buf_add(packet, &done, sizeof(done));
	ar_buf_add(packet, p, n);
}

static void put_host(struct ar_buf *packet, const uint8_t *p, size_t n)
{
	uint16_t name = n > 0 ? p[0] : 0;

	ar_buf_add(packet, &name, sizeof(name));
	ar_buf_add(packet, p + 1, n - 1);
}

static void step(void)
{
	uint8_t what = *x.p++;
	size_t n = x.p < x.end ? *x.p++ * (size_t)(what & LONG ? 8 : 1) : 0;
	const uint8_t *p = x.p;
	struct wire_header h = { .type = types[what & TYPE],
				 .flags = what & MORE ? WIRE_MORE : 0,
				 .call = what & SECOND ? 2 : 1 };
	struct ar_buf packet AR_CLEANUP(ar_buf_done) = { 0 };

	n = AR_MIN(n, (size_t)(x.end - p));
	x.p += n;
	ar_buf_init(&packet, 4096);
	if (h.type != 255)
		ar_buf_add(&packet, &h, sizeof(h));
	if (what & CORRECT && h.type == WIRE_DONE && n > 0)
		put_done(&packet, p[0], p + 1, n - 1);
	else if (what & CORRECT && h.type == WIRE_HOST && n > 0)
		put_host(&packet, p, n);
	else
		ar_buf_add(&packet, p, n);
	if (packet.n > 0)
		send(x.fd, packet.p, packet.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void leave(void)
{
	if (x.fd < 0)
		return;
	ar_fd_watch(x.fd, 0, NULL, NULL);
	close(x.fd);
	x.fd = -1;
}

static void act(void)
{
	while (x.fd >= 0 && x.p < x.end && (x.heard || !(*x.p & LISTEN))) {
		x.heard = x.heard && !(*x.p & LISTEN);
		x.idle = 0;
		step();
	}
	if (x.p == x.end)
		leave();
}

static void hear(void *arg, int fd, int ready)
{
	static char packet[WIRE_PACKET];
	ssize_t n;

	while ((n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		x.heard = true;
	if (n == 0 || errno != EAGAIN)
		leave();
	else
		act();
}

/* ---- the supervisor's callers ---- */

static int host(void *arg, struct ar_pool *pool, struct ar_str name, struct ar_json *input,
		struct ar_json **ret)
{
	must(ar_utf8_valid(name) && name.n > 0 && ar_utf8_valid(ar_json_print(pool, input)));
	if (ar_str_find(name, 'a') >= 0 && ar_pause() != 0)
		return -1;
	if (ar_str_find(name, 'f') >= 0)
		return ar_fail_field("x.y", "required", "max", "3");
	*ret = input;
	return 0;
}

static void check_result(struct ar_pool *pool, const struct ar_sandbox_result *result, int r)
{
	must((r == 0) == (ar_err() == NULL) && (r == 0) == (result->output != NULL));
	for (size_t i = 0; i < result->nlogs; i++)
		must(ar_utf8_valid(result->logs[i].text) && result->logs[i].level <= AR_DEBUG);
	if (result->output != NULL)
		must(ar_utf8_valid(ar_json_print(pool, result->output)));
	if (result->error != NULL)
		must(ar_utf8_valid(ar_json_print(pool, result->error)));
}

static void caller(void *arg)
{
	const bool second = arg != NULL;
	struct ar_pool *pool = ar_pool_new();
	struct ar_sandbox_run run = {
		.tenant = AR_STR("t"),
		.code = { AR_STR("id"), AR_STR("name"), AR_STR("return 1") },
		.limits = { .host_calls = 3, .output_max = 900, .log_max = second ? 1000 : 20 },
		.host = host,
		.seed = 1
	};
	struct ar_sandbox_result result;
	int r = ar_sandbox_call(pool, &run, &result);

	check_result(pool, &result, r);
	ar_err_clear();
	ar_pool_free(pool);
	x.running--;
}

static void conduct(void *arg)
{
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	x.fd = pair[1];
	sb_loop->next_id = 0;
	sb_exec_new(sb_loop, sb_tenant_get(sb_loop, AR_STR("t")), pair[0], -1, INT32_MAX);
	ar_fd_watch(x.fd, AR_READ, hear, NULL);
	x.running = 2;
	ar_go("first", caller, NULL, AR_NO_DEADLINE);
	ar_go("second", caller, &x, AR_NO_DEADLINE);
	while (x.running > 0) {
		if (++x.idle > PATIENCE)
			leave();
		if (x.fd < 0 && x.idle > 2) /* nobody gives them another one */
			ar_sandbox_close(AR_STR("t"));
		ar_pause();
	}
	leave();
	ar_sandbox_close(AR_STR("t"));
	ar_pause(); /* the dead are freed */
	must(sb_loop->execs == 0 && sb_counts.running == 0 && sb_counts.queued == 0);
	ar_loop_stop(loop);
}

static void attach(void *arg)
{
	ar_sandbox_attach();
	ar_loop_stop(loop);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	ar_log_fd(-1);
	sb_options = (struct ar_sandbox_options){ .loops = 1,
						  .executors_max = 4,
						  .executors_per_tenant = 1,
						  .queue_max = 16,
						  .idle_ms = 60000 };
	loop = ar_loop_new();
	ar_go("attach", attach, NULL, AR_NO_DEADLINE);
	ar_loop_run(loop);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&x, 0, sizeof(x));
	x.p = data;
	x.end = data + size;
	ar_go("conduct", conduct, NULL, AR_NO_DEADLINE);
	ar_loop_run(loop);
	return 0;
}
