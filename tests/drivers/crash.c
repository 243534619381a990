/*
 * crash.c - what was acknowledged is on disk. A child commits units of three rows each, from eight
 * fibers on two loops, some of which it undoes, and reports every acknowledged one on a pipe; it is
 * killed with -9 at a random instant, thirty times on the same database. Afterwards every
 * acknowledged unit is there, no unit is there in part or undone, and the file is sound.
 */
#include "tests/drivers/rig.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define KILLS  30
#define FIBERS 4 /* on each loop */

/* ---- the child ---- */

static struct rig rig;
static int report;

static void commit_on(void *arg, int index)
{
	struct ar_db *db = arg;

	for (;;) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_str unit = ar_id(pool);
		bool undo = ar_random_below(8) == 0;
		struct ar_scope scope;

		ar_scope_init(&scope, db, pool);
		for (int part = 0; part < 3; part++)
			CHECK(ar_exec(&scope,
				      "INSERT INTO unit (id, part, filler) VALUES (?, ?, ?)",
				      AR_ARGS(AR_J_STR(unit), AR_J_INT(part),
					      AR_J_Z(undo ? "undone" : "some text of a row")),
				      NULL) == 0);
		if (undo) {
			ar_rollback(&scope);
		} else {
			CHECK(ar_commit(&scope) == 0);
			CHECK(write(report, unit.p, unit.n) == (ssize_t)unit.n);
		}
		ar_pool_free(pool);
	}
}

static void child_loop(void *arg, int index)
{
	struct ar_db *db = rig_open(&rig, "crash");

	rig_fibers(FIBERS, commit_on, db);
}

static int child(const char *folder)
{
	snprintf(rig.folder, sizeof(rig.folder), "%s", folder);
	rig.prefix = "crash";
	report = STDOUT_FILENO;
	rig_start(&rig, NULL);
	rig_run(&rig, 2, child_loop, NULL);
	return 0;
}

/* ---- the parent ---- */

struct acked {
	char (*ids)[AR_ID_LEN];
	size_t n, cap;
};

static void acked_add(struct acked *acked, const char *id)
{
	if (acked->n == acked->cap) {
		acked->cap = acked->cap > 0 ? 2 * acked->cap : 1024;
		acked->ids = ar_heap_realloc(acked->ids, acked->cap * sizeof(*acked->ids));
	}
	memcpy(acked->ids[acked->n++], id, AR_ID_LEN);
}

static bool read_id(FILE *from, char id[AR_ID_LEN])
{
	return fread(id, AR_ID_LEN, 1, from) == 1;
}

static void run_and_kill(struct acked *acked)
{
	struct timespec wait = { 0, (long)ar_random_below(60) * 1000000 };
	char id[AR_ID_LEN];
	int pipes[2];
	FILE *from;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execl("/proc/self/exe", "crash", "child", rig.folder, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	from = fdopen(pipes[0], "r");
	assert_true(read_id(from, id)); /* it is at work */
	acked_add(acked, id);
	nanosleep(&wait, NULL);
	kill(pid, SIGKILL);
	while (read_id(from, id))
		acked_add(acked, id);
	fclose(from);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void check_all(void *arg, int index)
{
	const struct acked *acked = arg;
	struct ar_db *db = rig_open(&rig, "crash");
	struct ar_pool *pool = ar_pool_new();
	struct ar_scope scope;
	struct ar_rows rows;

	ar_scope_init(&scope, db, pool);
	for (size_t i = 0; i < acked->n; i++) {
		CHECK(ar_query(&scope, &rows, "SELECT part FROM unit WHERE id = ?",
			       AR_ARGS(AR_J_STR(ar_str_n(acked->ids[i], AR_ID_LEN)))) == 0);
		CHECK(rows.count == 3);
	}
	CHECK(rig_count(db, "SELECT count(*) FROM (SELECT id FROM unit GROUP BY id"
			    " HAVING count(*) <> 3) AS partial") == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM unit WHERE filler = 'undone'") == 0);
	CHECK(rig_count(db, "SELECT count(*) FROM unit") >= 3 * (int64_t)acked->n);
	if (rig_is_sqlite(&rig))
		CHECK(rig_count(db, "SELECT count(*) FROM pragma_integrity_check"
				    " WHERE integrity_check = 'ok'") == 1);
	ar_pool_free(pool);
	ar_db_release(db);
}

static void set_up(void *arg, int index)
{
	struct ar_db *db = rig_db(&rig, "crash");

	rig_exec(db, "CREATE TABLE unit (id TEXT NOT NULL, part BIGINT NOT NULL, filler TEXT,"
		     " PRIMARY KEY (id, part))");
	ar_db_release(db);
}

static void in_this_process(void (*fn)(void *arg, int index), void *arg)
{
	rig_start(&rig, NULL);
	rig_run(&rig, 1, fn, arg);
	rig_stop(&rig);
}

static void survives_kill(void **state)
{
	struct acked acked = { 0 };

	rig_make(&rig, "crash");
	in_this_process(set_up, NULL);
	for (int i = 0; i < KILLS; i++) {
		run_and_kill(&acked);
		if (i % 10 == 9)
			in_this_process(check_all, &acked);
	}
	assert_true(acked.n >= KILLS);
	printf("%zu units acknowledged before %d kills, all there\n", acked.n, KILLS);
	ar_heap_free(acked.ids);
	rig_remove(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(survives_kill) };

	if (argc == 3)
		return child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
