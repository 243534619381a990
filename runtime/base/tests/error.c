/*
 * error.c - error stacks, and the log lines made of them.
 */
#include <pthread.h>

#include "tests/harness/test.h"

static const struct ar_err_def E_TAKEN[1] = { { "test/taken", 409 } };

static void stacks(void **state)
{
	const struct ar_err *err;

	ar_err_clear();
	assert_null(ar_err());
	assert_int_equal(ar_fail(AR_E_CONFLICT, "table", "user", "column", "email"), -1);
	assert_int_equal(ar_fail_over(E_TAKEN, "email", "li@x.cn"), -1);
	err = ar_err();
	assert_ptr_equal(err->def, E_TAKEN);
	assert_string_equal(ar_err_param(err, "email"), "li@x.cn");
	assert_null(ar_err_param(err, "column"));
	assert_string_equal(ar_err_param(err->below, "column"), "email");
	assert_null(ar_err_param(NULL, "x"));
	assert_true(ar_err_is(E_TAKEN) && ar_err_is(AR_E_CONFLICT));
	assert_false(ar_err_is(AR_E_INVALID));
	assert_non_null(strstr(err->file, "error.c"));
	assert_true(err->line > 0);
	ar_fail(AR_E_NOT_FOUND); /* a new stack */
	assert_null(ar_err()->below);
	assert_false(ar_err_is(E_TAKEN));
	ar_err_clear();
	ar_fail_over(E_TAKEN); /* over nothing is a start */
	assert_null(ar_err()->below);
}

static void parameters_may_come_from_the_error_replaced(void **state)
{
	char name[8] = "first";

	ar_fail(E_TAKEN, "name", name);
	name[0] = '?'; /* copied */
	ar_fail(AR_E_CONFLICT, "was", ar_err_param(ar_err(), "name"), "none", (char *)NULL);
	assert_string_equal(ar_err_param(ar_err(), "was"), "first");
	assert_string_equal(ar_err_param(ar_err(), "none"), "");
	ar_fail_why(AR_E_INTERNAL, "%s of %d", ar_err_param(ar_err(), "was"), 3);
	assert_string_equal(ar_err()->why, "first of 3");
}

static void fields(void **state)
{
	const struct ar_err_field *f;
	size_t n = 0;

	ar_fail(AR_E_CONFLICT);
	ar_fail_field("email", "required");
	assert_null(ar_err()->below);
	ar_fail_field("name", "too-long", "max", "120");
	f = ar_err()->fields;
	assert_string_equal(f->path, "email");
	assert_string_equal(f->code, "required");
	assert_string_equal(f->next->path, "name");
	assert_string_equal(f->next->params->value, "120");
	assert_null(f->next->next);
	for (int i = 0; i < 10000; i++) /* a stranger sends many */
		ar_fail_field("more", "unknown");
	for (f = ar_err()->fields; f != NULL; f = f->next)
		n++;
	assert_int_equal(n, 64);
	ar_fail(AR_E_INVALID);
	assert_null(ar_err()->fields);
	ar_fail_field("again", "type");
	assert_string_equal(ar_err()->fields->path, "again");
}

static void depth_is_bounded(void **state)
{
	int n = 0;

	ar_fail(AR_E_CONFLICT);
	for (int i = 0; i < 1000; i++)
		ar_fail_over(E_TAKEN);
	for (const struct ar_err *err = ar_err(); err != NULL; err = err->below)
		n++;
	assert_true(n > 0 && n <= 64);
}

static void stacks_are_apart(void **state)
{
	struct ar_errstack *a = ar_errstack_new(), *b = ar_errstack_new(), *own;

	ar_err_clear();
	own = ar_errstack_use(a);
	ar_fail(E_TAKEN, "in", "a");
	assert_ptr_equal(ar_errstack_use(b), a);
	assert_null(ar_err());
	ar_fail(AR_E_CONFLICT);
	ar_errstack_move(b, a); /* what b held is gone */
	assert_string_equal(ar_err_param(ar_err(), "in"), "a");
	ar_errstack_use(a);
	assert_null(ar_err());
	ar_errstack_use(own);
	assert_null(ar_err());
	ar_errstack_move(own, b);
	ar_errstack_free(a);
	ar_errstack_free(b);
	ar_errstack_free(NULL);
	assert_string_equal(ar_err_param(ar_err(), "in"), "a");
}

static void *fail_elsewhere(void *stack)
{
	ar_errstack_use(stack);
	ar_fail_why(E_TAKEN, "on another thread");
	return NULL;
}

static void stacks_cross_threads(void **state)
{
	struct ar_errstack *there = ar_errstack_new();
	pthread_t thread;

	ar_err_clear();
	assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, there), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_null(ar_err());
	ar_errstack_move(NULL, there);
	ar_errstack_free(there);
	assert_ptr_equal(ar_err()->def, E_TAKEN);
	assert_string_equal(ar_err()->why, "on another thread");
}

/* ---- the log ---- */

static int log_pipe[2];

/* One read() gets one line, because one write() wrote it. */
static struct ar_str logged(void)
{
	static char line[128 << 10];
	ssize_t n = read(log_pipe[0], line, sizeof(line) - 1);

	assert_true(n > 0);
	line[n] = '\0';
	assert_int_equal(line[n - 1], '\n');
	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	return ar_str_n(line, n - 1);
}

#define assert_has(line, part)                                                                     \
	do {                                                                                       \
		if (strstr((line).p, (part)) == NULL)                                              \
			fail_msg("no %s in %.*s", (part), AR_FMT(line));                           \
	} while (0)

static int log_setup(void **state)
{
	if (pipe(log_pipe) != 0)
		return -1;
	ar_log_fd(log_pipe[1]);
	ar_err_clear();
	return 0;
}

static int log_teardown(void **state)
{
	ar_log_fd(2);
	ar_log_level(AR_INFO);
	close(log_pipe[0]);
	close(log_pipe[1]);
	return 0;
}

static void log_line(void **state)
{
	struct ar_log_context ctx = { AR_STR("t1"), AR_STR("u1"), AR_STR("acme") };
	struct ar_str line;

	assert_null(ar_log_context_use(&ctx));
	ar_info("auth", "signed in", "role", "admin", "n", "2");
	assert_ptr_equal(ar_log_context_use(NULL), &ctx);
	line = logged();
	assert_true(ar_str_starts(line, AR_STR("{\"timestamp\":\"20")));
	assert_has(line, "Z\",\"level\":\"info\",\"service\":\"auth\",\"traceId\":\"t1\","
			 "\"userId\":\"u1\",\"tenant\":\"acme\",\"message\":\"signed in\","
			 "\"data\":{\"role\":\"admin\",\"n\":\"2\"}}");
	ar_warn("auth", "no data");
	assert_has(logged(),
		   "\"userId\":\"\",\"tenant\":\"\",\"message\":\"no data\",\"data\":{}}");
}

static void log_levels(void **state)
{
	ar_debug("x", "hidden");
	ar_log_level(AR_ERROR);
	ar_warn("x", "hidden too");
	ar_error("x", "shown");
	assert_has(logged(), "\"message\":\"shown\"");
	ar_log_level(AR_DEBUG);
	ar_debug("x", "now shown");
	assert_has(logged(), "\"message\":\"now shown\"");
}

static void log_hostile_text(void **state)
{
	ar_info("x",
		"a\"b\\c\nd\x01"
		"e\x7F",
		"bad", "\xFF<\xE4\xB8\xAD>\xE4\xB8");
	assert_has(logged(), "\"message\":\"a\\\"b\\\\c\\nd\\u0001e\\u007f\",\"data\":{\"bad\":"
			     "\"\xEF\xBF\xBD<\xE4\xB8\xAD>\xEF\xBF\xBD\xEF\xBF\xBD\"}}");
}

/* However much comes in, the line ends as an object and the caller's errors stay. */
static void log_too_much(void **state)
{
	char *big = ar_heap_alloc(100001);
	struct ar_str line;

	memset(big, 1, 100000); /* each byte becomes six */
	ar_fail(E_TAKEN, "mine", "yes");
	ar_info(big, big, "a", big, "b", big, "c", big, "d", "small");
	line = logged();
	assert_true(line.n < 70000);
	assert_has(line, "...\",\"d\":\"small\"}}");
	assert_null(strstr(line.p, "\"c\":"));
	assert_string_equal(ar_err_param(ar_err(), "mine"), "yes");
	for (int i = 0; i < 40; i++)
		ar_fail_over(E_TAKEN, "big", big);
	ar_log_err(AR_ERROR, "x", "failed");
	line = logged();
	assert_true(line.n < 70000);
	assert_true(ar_str_ends(line, AR_STR("}]}}")));
	ar_heap_free(big);
}

static void log_whole_stack(void **state)
{
	struct ar_str line;

	ar_fail_field("email", "unique");
	ar_fail_over(E_TAKEN, "email", "li@x.cn");
	ar_log_err(AR_ERROR, "auth", "sign-up failed");
	line = logged();
	assert_has(line,
		   "\"data\":{\"errors\":[{\"code\":\"test/taken\",\"email\":\"li@x.cn\",\"file\":"
		   "\"runtime/base/tests/error.c\",\"line\":");
	assert_has(line, ",{\"code\":\"invalid\",\"fields\":{\"email\":\"unique\"},\"file\":");
	ar_fail_why(AR_E_INTERNAL, "disk %d", 7);
	ar_log_err(AR_ERROR, "auth", "why");
	assert_has(logged(), "[{\"code\":\"internal\",\"why\":\"disk 7\",");
	ar_err_clear();
	ar_log_err(AR_ERROR, "auth", "nothing");
	assert_has(logged(), "\"errors\":[]}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks),
		cmocka_unit_test(parameters_may_come_from_the_error_replaced),
		cmocka_unit_test(fields),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(stacks_are_apart),
		cmocka_unit_test(stacks_cross_threads),
		cmocka_unit_test_setup_teardown(log_line, log_setup, log_teardown),
		cmocka_unit_test_setup_teardown(log_levels, log_setup, log_teardown),
		cmocka_unit_test_setup_teardown(log_hostile_text, log_setup, log_teardown),
		cmocka_unit_test_setup_teardown(log_too_much, log_setup, log_teardown),
		cmocka_unit_test_setup_teardown(log_whole_stack, log_setup, log_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
