/*
 * crash.c - kill -9 at random instants, start again, and count: every run that was acknowledged ends as
 * it would have, each effect in the store is there exactly once, each effect outside at least once.
 *
 * A life is a child process on the same store: it resumes what was left, begins new runs while the
 * rounds last, and notes the id of each run that was acknowledged. The parent kills it within
 * 150 ms, of its start or of the moment when runs begin. CRASH_ROUNDS and CRASH_SEED make other schedules; the seed is printed.
 */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "workflow/tests/rig.h"

#define RUNS_MAX    600 /* begun in all lives together */
#define ACKED_LEAST 5

static char folder[] = "/tmp/apprun-crash-XXXXXX";
static char acked_file[96], begun_file[96];
static int ready[2]; /* a pipe: a life tells that runs begin */

static void append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	size_t n = strlen(line);

	if (fd < 0 || write(fd, line, n) != (ssize_t)n)
		abort();
	close(fd);
}

static int lines_of(const char *path)
{
	int fd = open(path, O_RDONLY), count = 0;
	char c;

	while (fd >= 0 && read(fd, &c, 1) == 1)
		count += c == '\n';
	if (fd >= 0)
		close(fd);
	return count;
}

static const char good[] =
	"steps:\n"
	"  a: {action: probe.note, note: 'a ${input.n}'}\n"
	"  b: {action: probe.slow, ms: 7, note: 'b ${input.n}', depends_on: a}\n"
	"  c: {action: probe.outside, note: 'c ${input.n}', depends_on: a}\n"
	"  d: {action: probe.fail, note: 'd ${input.n}', times: 2, depends_on: b,\n"
	"      retry: {delay: 15ms}}\n"
	"  e: {action: probe.note, note: 'e ${input.n} ${steps.c.attempt}', depends_on: [c, d]}\n"
	"  f: {action: probe.note, note: 'f ${input.n}', depends_on: e, when: input.odd}\n"
	"output: '${input.n}'\n";
static const char bad[] =
	"steps:\n"
	"  a: {action: probe.note, note: 'a ${input.n}'}\n"
	"  b: {action: probe.slow, ms: 3, note: 'b ${input.n}', depends_on: a}\n"
	"  x: {action: probe.fail, note: 'x ${input.n}', times: 99, status: 422,\n"
	"      depends_on: b}\n"
	"  y: {action: probe.note, note: 'y ${input.n}', depends_on: x}\n";

static void begin_one(int n)
{
	struct ar_str input =
		ar_strf(rig_pool, "{\"n\":\"%d.\",\"odd\":%s}", n, n % 2 == 1 ? "true" : "false");
	struct ar_str id;
	char line[64];

	append(begun_file, ".\n");
	id = rig_start(n % 5 == 4 ? "bad" : "good", ar_strz(rig_pool, input));
	snprintf(line, sizeof(line), "%.*s\n", AR_FMT(id));
	append(acked_file, line);
}

static int64_t left(void)
{
	return rig_count("SELECT count(*) FROM workflow_runs WHERE status = 'running'", AR_NO_ARGS);
}

static void live(void *arg)
{
	bool last = *(bool *)arg;

	rig_put("good", good);
	rig_put("bad", bad);
	if (write(ready[1], ".", 1) != 1)
		abort();
	assert_ok(ar_bus_resume_all(ar_tenant_list));
	for (int n = lines_of(begun_file); n < RUNS_MAX && !last; n++) {
		begin_one(n);
		ar_sleep((int64_t)ar_random_below(12));
	}
	while (!last)
		ar_sleep(1000);
	rig_until(left() == 0);
}

/* ---- the checks ---- */

static void check_run(const struct ar_json *run)
{
	struct ar_str n = ar_json_path(run, AR_STR("input.n"))->s;
	const char *tag = ar_strz(rig_pool, n);
	bool is_bad = ar_str_is(ar_json_text(run, "workflow", AR_STR("")), "bad");
	bool odd = ar_json_path(run, AR_STR("input.odd"))->b;
	const struct {
		const char *step;
		int good, bad;
	} effects[] = { { "a %s", 1, 1 },   { "b %s", 1, 1 }, { "d %s", 1, 0 }, { "e %s ", 1, 0 },
			{ "f %s", odd, 0 }, { "x %s", 0, 0 }, { "y %s", 0, 0 } };

	assert_status(run, is_bad ? "failed" : "succeeded");
	for (size_t i = 0; i < AR_COUNT(effects); i++) {
		char note[64];
		int want = is_bad ? effects[i].bad : effects[i].good;

		snprintf(note, sizeof(note), effects[i].step, tag);
		if (rig_notes(note) != want)
			fail_msg("run %s: \"%s\" is there %d times, not %d", tag, note,
				 (int)rig_notes(note), want);
	}
	if (!is_bad)
		assert_true(probe_lines(ar_strf(rig_pool, "c %s", tag)) >= 1);
	assert_int_equal(rig_count("SELECT count(*) FROM bus_event WHERE key = ?",
				   AR_ARGS(AR_J_STR(ar_json_text(run, "id", AR_STR(""))))),
			 1);
}

static void check_all(void *arg)
{
	char ids[RUNS_MAX * (AR_ID_LEN + 1) + 1] = "";
	int fd = open(acked_file, O_RDONLY), count = 0, extra = 0;
	ssize_t n = read(fd, ids, sizeof(ids) - 1);
	struct ar_str rest = ar_str_n(ids, n > 0 ? (size_t)n : 0);

	close(fd);
	while (rest.n > 0) {
		check_run(rig_of_run("workflows.get_run", ar_str_cut(&rest, '\n')));
		count++;
	}
	extra = (int)rig_count("SELECT count(*) FROM workflow_runs", AR_NO_ARGS) - count;
	fprintf(stderr, "%d runs acknowledged, %d begun without an answer\n", count, extra);
	assert_true(count >= ACKED_LEAST && extra >= 0);
	assert_int_equal(left(), 0);
	*(bool *)arg = true;
}

/* ---- lives ---- */

static pid_t child(void (*body)(void *arg), bool last)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	rig_open_at(folder);
	rig_run(body, &last);
	house_leave();
	_exit(last ? 0 : 1);
}

static void kill_one(unsigned seed)
{
	struct timespec pause = { .tv_nsec = (long)((seed >> 8) % 150) * 1000000 };
	pid_t pid = child(live, false);
	int status;
	char c;

	if (seed >> 31)
		assert_int_equal(poll(&(struct pollfd){ ready[0], POLLIN, 0 }, 1, RIG_PATIENCE_MS),
				 1);
	nanosleep(&pause, NULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (read(ready[0], &c, 1) == 1)
		;
}

static void survives(void **state)
{
	const char *rounds_text = getenv("CRASH_ROUNDS"), *seed_text = getenv("CRASH_SEED");
	int rounds = rounds_text != NULL ? (int)strtol(rounds_text, NULL, 10) : 40, status;
	unsigned seed =
		seed_text != NULL ? (unsigned)strtoul(seed_text, NULL, 10) : (unsigned)time(NULL);
	pid_t pid;

	assert_non_null(mkdtemp(folder));
	snprintf(acked_file, sizeof(acked_file), "%s/acked", folder);
	snprintf(begun_file, sizeof(begun_file), "%s/begun", folder);
	snprintf(probe_file, sizeof(probe_file), "%s/probe", folder);
	fprintf(stderr, "CRASH_SEED=%u\n", seed);
	assert_int_equal(pipe2(ready, O_NONBLOCK), 0);
	/* On a slow machine lives are too short to begin much: then there are more of them. */
	for (int i = 0; i < rounds || (lines_of(acked_file) < ACKED_LEAST && i < rounds * 10);
	     i++) {
		seed = seed * 1103515245u + 12345u;
		kill_one(i == 0 || i >= rounds ? seed | 1u << 31 : seed);
	}
	pid = child(live, true);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pid = child(check_all, false);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	nftw(folder, house_remove, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(survives) };

	return cmocka_run_group_tests(tests, rig_register, rig_forget);
}
