/*
 * problem.c - tests of problem+json, of Accept-Language, and that every message is there in every
 * language with the same placeholders.
 */
#include "action/action.h"
#include "tests/harness/test.h"

extern const struct ar_file ar_i18n_files[];

static void languages(void **state)
{
	static const struct {
		const char *accept, *language;
	} rows[] = {
		{ "", "en" },
		{ "en", "en" },
		{ "zh-CN", "zh-CN" },
		{ "zh", "zh-CN" },
		{ "ZH-Hans-CN", "zh-CN" },
		{ "zh-TW", "zh-CN" },
		{ "de", "en" },
		{ "*", "en" },
		{ "de, zh;q=0.1", "zh-CN" },
		{ "zh;q=0.5, en;q=0.4", "zh-CN" },
		{ "zh;q=0.4,en;q=0.5", "en" },
		{ "zh;q=0.123, en;q=0.124", "en" },
		{ "en;q=0, zh;q=0.001", "zh-CN" },
		{ "zh;q=0", "en" },
		{ "zh;q=2", "en" },
		{ "zh;q=x", "en" },
		{ "zh;level=1", "en" },
		{ ",,;,;;q=,zh", "zh-CN" },
		{ "zhx", "en" },
		{ "en-GB,en;q=0.9,zh-CN;q=0.8", "en" },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_string_equal(ar_language(ar_str(rows[i].accept)), rows[i].language);
}

static struct ar_json *problem(struct ar_pool *pool, const char *accept, int *ret_status)
{
	struct ar_buf *out = ar_buf_new(pool, 100000);
	struct ar_json *value;

	*ret_status = ar_problem(pool, ar_err(), ar_str(accept), AR_STR("01J9Z"), out);
	assert_ok(ar_json_parse(pool, ar_buf_view(out), &ar_json_limits_default, &value));
	return value;
}

/* A message that names its cause says it in the same language, its words too; what a stranger gave
 * stays as it is, braces and all. */
static void causes(void **state)
{
	static const struct {
		const char *accept, *title;
	} rows[] = {
		{ "en", "The list rule of {cause} would not work any more: "
			"The expression cannot be read at position 3: a value is wanted" },
		{ "zh",
		  "{cause} 的 list 规则将不再有效：表达式在第 3 个字符处无法读取：此处应为值" },
	};
	static const struct ar_err_def rule = { "data/rule", 422 };
	static const struct ar_err_def syntax = { "expr/syntax", 422 };

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
		struct ar_json *p;
		int status;

		ar_fail(&syntax, "position", "3", "reason", "operand");
		ar_fail_over(&rule, "collection", "{cause}", "rule", "list", "cause",
			     ar_err()->def->slug);
		p = problem(pool, rows[i].accept, &status);
		assert_str(ar_json_text(p, "title", AR_STR("")), rows[i].title);
		ar_fail(&rule, "collection", "c", "rule", "list", "cause", "expr/syntax");
		p = problem(pool, rows[i].accept, &status); /* no cause below: its code */
		assert_true(
			ar_str_ends(ar_json_text(p, "title", AR_STR("")), AR_STR("expr/syntax")));
		ar_err_clear();
	}
}

static void written(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *p;
	int status;

	ar_fail_why(AR_E_INTERNAL, "SELECT secret FROM /etc/passwd");
	ar_fail_over(AR_E_TENANT_UNKNOWN, "tenant", "\"acme\" {x}");
	p = problem(pool, "en", &status);
	assert_int_equal(status, 404);
	assert_int_equal(ar_json_number(p, "status", 0), 404);
	assert_str(ar_json_text(p, "code", AR_STR_NONE), "tenant/unknown");
	assert_str(ar_json_text(p, "type", AR_STR_NONE),
		   "https://apprun.dev/problems/tenant/unknown");
	assert_str(ar_json_text(p, "title", AR_STR_NONE), "There is no tenant \"acme\" {x}");
	assert_str(ar_json_text(p, "instance", AR_STR_NONE), "/requests/01J9Z");
	assert_null(strstr(ar_strz(pool, ar_json_print(pool, p)), "SELECT"));
	assert_null(strstr(ar_strz(pool, ar_json_print(pool, p)), "passwd"));
	p = problem(pool, "zh", &status);
	assert_str(ar_json_text(p, "title", AR_STR_NONE), "租户 \"acme\" {x} 不存在");
	ar_err_clear();
}

static void fields(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *p, *f;
	int status;

	ar_fail_field("email", "required");
	ar_fail_field("name", "too-long", "max", "12");
	ar_fail_field("email", "unknown");
	p = problem(pool, "en", &status);
	assert_int_equal(status, 422);
	f = ar_json_get(p, "fields");
	assert_int_equal(f->count, 2);
	assert_str(ar_json_text(ar_json_get(f, "email"), "code", AR_STR_NONE), "required");
	f = ar_json_get(f, "name");
	assert_str(ar_json_text(f, "message", AR_STR_NONE), "must be at most 12 long");
	assert_str(ar_json_text(ar_json_get(f, "params"), "max", AR_STR_NONE), "12");
	ar_err_clear();
}

static void without_an_error(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *p;
	int status;

	ar_err_clear();
	p = problem(pool, "", &status);
	assert_int_equal(status, 500);
	assert_str(ar_json_text(p, "code", AR_STR_NONE), "internal");
}

/* ---- the messages themselves ---- */

static struct ar_json *messages_of(struct ar_pool *pool, const char *language)
{
	struct ar_json *all = ar_json_new(pool, AR_OBJECT), *one;

	for (const struct ar_file *f = ar_i18n_files; f->path != NULL; f++) {
		struct ar_str path = ar_str(f->path);

		if (!ar_str_is(ar_str_cut(&path, '/'), language))
			continue;
		assert_ok(ar_json_parse(pool, ar_str_n(f->data, f->size), &ar_json_limits_default,
					&one));
		assert_int_equal(one->type, AR_OBJECT);
		ar_json_each (text, one) {
			assert_int_equal(text->type, AR_STRING);
			assert_true(text->s.n > 0);
			if (ar_json_get_str(all, text->key) != NULL)
				fail_msg("%s: %.*s is there twice", language, AR_FMT(text->key));
			ar_json_set(all, text->key, ar_json_str(pool, text->s));
		}
	}
	assert_true(all->count > 20);
	return all;
}

/* Each {name} of a is in b. */
static bool names_in(struct ar_str a, struct ar_str b)
{
	for (size_t i = 0; i < a.n; i++) {
		struct ar_str rest = ar_str_sub(a, i, a.n);
		ptrdiff_t end = a.p[i] == '{' ? ar_str_find(rest, '}') : -1;

		if (end > 0 && memmem(b.p, b.n, rest.p, (size_t)end + 1) == NULL)
			return false;
	}
	return true;
}

static void same_in_every_language(void **state)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *en = messages_of(pool, "en"), *zh = messages_of(pool, "zh-CN");

	ar_json_each (text, en) {
		struct ar_json *other = ar_json_get_str(zh, text->key);

		if (other == NULL)
			fail_msg("zh-CN misses %.*s", AR_FMT(text->key));
		if (!names_in(text->s, other->s) || !names_in(other->s, text->s))
			fail_msg("%.*s has other placeholders in zh-CN", AR_FMT(text->key));
	}
	ar_json_each (text, zh) {
		if (ar_json_get_str(en, text->key) == NULL)
			fail_msg("en misses %.*s", AR_FMT(text->key));
	}
}

/* The codes of the rooms that this one stands on; modules/ holds its own against the same files. */
static void every_code_has_a_message(void **state)
{
	static const struct ar_err_def *const base[] = {
		AR_E_MALFORMED,
		AR_E_UNAUTHORIZED,
		AR_E_FORBIDDEN,
		AR_E_NOT_FOUND,
		AR_E_METHOD,
		AR_E_CONFLICT,
		AR_E_PRECONDITION,
		AR_E_TOO_LARGE,
		AR_E_MEDIA_TYPE,
		AR_E_RANGE,
		AR_E_INVALID,
		AR_E_TOO_MANY,
		AR_E_INTERNAL,
		AR_E_UNAVAILABLE,
		AR_E_DEADLINE,
		AR_E_CANCELLED,
		NULL,
	};
	const struct ar_err_def *const *lists[] = { base, ar_core_module.errors };
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_json *en = messages_of(pool, "en");

	for (size_t i = 0; i < AR_COUNT(lists); i++) {
		for (size_t j = 0; lists[i][j] != NULL; j++) {
			if (ar_json_get(en, lists[i][j]->slug) == NULL)
				fail_msg("%s has no message", lists[i][j]->slug);
		}
	}
	assert_non_null(ar_json_get(en, "field/cursor"));
	assert_non_null(ar_json_get(en, "field/tenant-name"));
}

static int stop(void **state)
{
	ar_action_done();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(languages),
		cmocka_unit_test(causes),
		cmocka_unit_test(written),
		cmocka_unit_test(fields),
		cmocka_unit_test(without_an_error),
		cmocka_unit_test(same_in_every_language),
		cmocka_unit_test(every_code_has_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, stop);
}
