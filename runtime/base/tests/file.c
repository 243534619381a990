/*
 * file.c - tests of whole files: what is put is read again, what fails leaves what was there.
 */
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char folder[] = "/tmp/apprun-file-XXXXXX";

static const char *read_back(const char *name, size_t n, int64_t offset)
{
	static char text[64], path[128];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return "none";
	memset(text, 0, sizeof(text));
	rc = ar_read_at(fd, text, n, offset);
	close(fd);
	return rc == 0 ? text : strerrorname_np(errno);
}

static void comes_back_whole(void **state)
{
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "%s/a", folder);
	assert_int_equal(ar_file_put_in(folder, "a", "a.tmp", AR_STR("hello there")), 0);
	assert_string_equal(read_back("a", 11, 0), "hello there");
	assert_string_equal(read_back("a", 5, 6), "there");
	assert_string_equal(read_back("a", 6, 6), "ENODATA");
	assert_string_equal(read_back("a", 0, 500), "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ar_file_put_in(folder, "a", "a.tmp", AR_STR("")), 0);
	assert_string_equal(read_back("a", 1, 0), "ENODATA");
	assert_string_equal(read_back("a.tmp", 0, 0), "none");
}

/* Half a file of a process that was killed, and a link that somebody laid there. */
static void the_temporary_is_made_anew(void **state)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/b.tmp", folder);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(ar_write_all(fd, AR_STR("half of something longer")), 0);
	close(fd);
	assert_int_equal(ar_file_put_in(folder, "b", "b.tmp", AR_STR("new")), 0);
	assert_string_equal(read_back("b", 3, 0), "new");
	assert_string_equal(read_back("b", 4, 0), "ENODATA");
	assert_int_equal(ar_file_put_in(folder, "victim", "v.tmp", AR_STR("mine")), 0);
	assert_int_equal(symlink("victim", path), 0);
	assert_int_equal(ar_file_put_in(folder, "b", "b.tmp", AR_STR("newer")), 0);
	assert_string_equal(read_back("victim", 4, 0), "mine");
	assert_string_equal(read_back("b", 5, 0), "newer");
}

static void what_fails_leaves_what_was_there(void **state)
{
	struct rlimit before, small = { 4, RLIM_INFINITY };

	assert_int_equal(ar_file_put_in(folder, "c", "c.tmp", AR_STR("old")), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	errno = 0;
	assert_int_equal(ar_file_put_in(folder, "c", "c.tmp", AR_STR("newer than before")), -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_string_equal(read_back("c", 3, 0), "old");
	assert_string_equal(read_back("c.tmp", 0, 0), "none");
	assert_int_equal(ar_file_put_in("/nowhere/at/all", "c", "c.tmp", AR_STR("x")), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(ar_file_put_in(folder, "no/such", "d.tmp", AR_STR("x")), -1);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(read_back("d.tmp", 0, 0), "none");
	assert_int_equal(ar_folder_sync("/nowhere"), -1);
	assert_int_equal(ar_folder_sync(folder), 0);
}

static int make(void **state)
{
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int unmake(void **state)
{
	static const char *const names[] = { "a", "b", "c", "victim" };
	char path[128];

	for (size_t i = 0; i < AR_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder); /* nothing else was left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_whole),
		cmocka_unit_test(the_temporary_is_made_anew),
		cmocka_unit_test(what_fails_leaves_what_was_there),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
