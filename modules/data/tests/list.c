/*
 * list.c - tests of lists: filters, sorts, and pages that stay right while records come and go.
 */
#include "data/tests/world.h"

static AR_YIELDS void make(struct world *w)
{
	GOOD(w, "data.create_collection",
	     "{'name':'c','fields':[{'name':'n','type':'int'},{'name':'a','type':'int','indexed':"
	     "true},"
	     "{'name':'t','type':'text'},{'name':'f','type':'float'},{'name':'b','type':'bool'},"
	     "{'name':'d','type':'date'},{'name':'tags','type':'json'}]}");
}

static AR_YIELDS const char *add(struct world *w, int n)
{
	static const char *const texts[] = { "''", "'a'", "'B'", "'é'", "null" };
	static const char *const dates[] = { "'2024-01-01'", "'2023-12-31'", "null" };
	struct ar_json *r =
		GOOD(w, "data.create_record",
		     "{'collection':'c','data':{'n':%d,'a':%s,'t':%s,'f':%s,'b':%s,'d':%s,'tags':['"
		     "t%d',%d]}}",
		     n, n % 4 == 0 ? "null" : ar_printf(w->pool, "%d", n % 3), texts[n % 5],
		     n % 7 == 0 ? "null" : ar_printf(w->pool, "%g", (n % 6) / 4.0),
		     n % 3 == 0   ? "null"
		     : n % 3 == 1 ? "true"
				  : "false",
		     dates[n % 3], n % 4, n % 2);

	return id_of(w, r);
}

static AR_YIELDS const char *numbers(struct world *w, const char *input)
{
	return items(w, GOOD(w, "data.list_records", "{'collection':'c',%s}", input), "n");
}

TEST(filters_choose)
{
	static const struct {
		const char *filter, *params, *numbers;
	} rows[] = {
		{ "n > 3 && n <= 5", "{}", "4,5" },
		{ "a = null", "{}", "4,8" },
		{ "a != 1", "{}", "2,3,4,5,6,8,9" },
		{ "t = {:t}", "{'t':'a'}", "1,6" },
		{ "t ~ {:t}", "{'t':'A'}", "1,6" },
		{ "n in {:list}", "{'list':[1,3,99]}", "1,3" },
		{ "tags ?= {:t}", "{'t':'t2'}", "2,6" },
		{ "tags.1 = 1 && b = true", "{}", "1,7" },
		{ "d >= {:d}", "{'d':'2024-01-01'}", "3,6,9" },
		{ "created > @now - 1h && id != null && n < 3", "{}", "1,2" },
		{ "f * 2 > 1 && f < 1", "{}", "3,9" },
		{ "t = {:x}", "{'x':'a\\\" OR 1=1 --'}", "" },
	};

	make(w);
	for (int n = 1; n < 10; n++)
		add(w, n);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct ar_json *r = GOOD(
			w, "data.list_records",
			"{'collection':'c','sort':'n','count':'exact','filter':'%s','params':%s}",
			rows[i].filter, rows[i].params);

		if (strcmp(items(w, r, "n"), rows[i].numbers) != 0)
			fail_msg("%s: %s, not %s", rows[i].filter, items(w, r, "n"),
				 rows[i].numbers);
	}
	assert_int_equal(
		ar_json_number(
			GOOD(w, "data.list_records",
			     "{'collection':'c','limit':2,'count':'exact','filter':'n > 4'}"),
			"total", -1),
		5);
	assert_int_equal(ar_json_number(GOOD(w, "data.list_records",
					     "{'collection':'c','limit':2,'count':'estimated'}"),
					"total", -1),
			 9);
	assert_fails(CALL(w, "data.list_records", "{'collection':'c','filter':'n >'}"),
		     AR_E_EXPR_SYNTAX);
	assert_fails(CALL(w, "data.list_records", "{'collection':'c','filter':'x = 1'}"),
		     AR_E_EXPR_FIELD);
	assert_fails(CALL(w, "data.list_records", "{'collection':'c','filter':'t = 1'}"),
		     AR_E_EXPR_TYPE);
	assert_fails(CALL(w, "data.list_records", "{'collection':'c','filter':'ar_revision = 1'}"),
		     AR_E_EXPR_FIELD);
	BLAMES(w, "sort", "not-found", "data.list_records", "{'collection':'c','sort':'x'}");
	BLAMES(w, "sort", "not-found", "data.list_records", "{'collection':'c','sort':'tags'}");
	BLAMES(w, "fields", "not-found", "data.list_records", "{'collection':'c','fields':'n,x'}");
	BLAMES(w, "expand", "unknown", "data.list_records", "{'collection':'c','expand':'n'}");
}

TEST(orders_are_as_asked)
{
	make(w);
	for (int n = 1; n < 10; n++)
		add(w, n);
	assert_string_equal(numbers(w, "'limit':4"), "9,8,7,6");
	assert_string_equal(numbers(w, "'sort':'id','limit':3"), "1,2,3");
	assert_string_equal(numbers(w, "'sort':'a,-n'"), "8,4,9,6,3,7,1,5,2");
	assert_string_equal(numbers(w, "'sort':'-a,n'"), "2,5,1,7,3,6,9,4,8");
	assert_string_equal(numbers(w, "'sort':'t,n'"), "4,9,5,2,7,1,6,3,8");
	assert_string_equal(numbers(w, "'sort':'-b,n'"), "1,4,7,2,5,8,3,6,9");
	assert_string_equal(numbers(w, "'sort':'n','page':2,'perPage':4"), "5,6,7,8");
	assert_string_equal(
		text_of(w,
			ar_json_get(GOOD(w, "data.list_records",
					 "{'collection':'c','sort':'n','limit':1,'fields':'t,n'}"),
				    "items")),
		"[{\"n\":1,\"t\":\"a\"}]");
}

static AR_YIELDS const char *next_of(struct world *w, const struct ar_json *page, const char *name)
{
	const struct ar_json *cursor = ar_json_get(page, name);

	return cursor != NULL && cursor->type == AR_STRING ? ar_strz(w->pool, cursor->s) : NULL;
}

/* All pages from the first, put together. */
static AR_YIELDS const char *walk(struct world *w, const char *sort, int limit)
{
	const char *cursor = NULL, *all = "";

	do {
		struct ar_json *page = GOOD(
			w, "data.list_records", "{'collection':'c','sort':'%s','limit':%d%s}", sort,
			limit, cursor != NULL ? ar_printf(w->pool, ",'cursor':'%s'", cursor) : "");

		all = ar_printf(w->pool, "%s%s%s", all, *all != '\0' ? "," : "",
				items(w, page, "n"));
		cursor = next_of(w, page, "nextCursor");
	} while (cursor != NULL);
	return all;
}

/* To the end, then back from there. */
static AR_YIELDS const char *walk_back(struct world *w, const char *sort, int limit)
{
	const char *cursor = NULL, *next, *all = "";
	struct ar_json *page = NULL;

	do {
		page = GOOD(w, "data.list_records", "{'collection':'c','sort':'%s','limit':%d%s}",
			    sort, limit,
			    cursor != NULL ? ar_printf(w->pool, ",'cursor':'%s'", cursor) : "");
		next = next_of(w, page, "nextCursor");
		if (next != NULL)
			cursor = next;
	} while (next != NULL);
	all = items(w, page, "n");
	while ((cursor = next_of(w, page, "prevCursor")) != NULL) {
		page = GOOD(w, "data.list_records",
			    "{'collection':'c','sort':'%s','limit':%d,'cursor':'%s'}", sort, limit,
			    cursor);
		all = ar_printf(w->pool, "%s,%s", items(w, page, "n"), all);
	}
	return all;
}

static const char *const sorts[] = { "",  "id",   "-created", "a",    "-a",    "t,-a",    "-t,a",
				     "f", "-f,b", "b,-d",     "-b,f", "d,t,a", "-d,-f,-t" };

TEST(pages_add_up_for_every_sort)
{
	make(w);
	for (int n = 1; n < 40; n++)
		add(w, n);
	for (size_t i = 0; i < AR_COUNT(sorts); i++) {
		const char *whole =
			numbers(w, ar_printf(w->pool, "'limit':100,'sort':'%s'", sorts[i]));

		assert_string_equal(walk(w, sorts[i], 7), whole);
		assert_string_equal(walk(w, sorts[i], 1), whole);
		assert_string_equal(walk_back(w, sorts[i], 7), whole);
	}
}

/* While pages are read, records come and go: those that stay are seen exactly once. */
TEST(pages_stay_right_under_changes)
{
	for (size_t s = 0; s < AR_COUNT(sorts); s++) {
		const char *ids[60] = { NULL }, *cursor = NULL, *seen = ",";
		int next = 30;

		make(w);
		for (int n = 0; n < 30; n++)
			ids[n] = add(w, n);
		do {
			struct ar_json *page = GOOD(
				w, "data.list_records",
				"{'collection':'c','sort':'%s','limit':4%s}", sorts[s],
				cursor != NULL ? ar_printf(w->pool, ",'cursor':'%s'", cursor) : "");

			seen = ar_printf(w->pool, "%s%s,", seen, items(w, page, "n"));
			cursor = next_of(w, page, "nextCursor");
			if (next < 40) {
				/* one of the page goes, so do others; one is new */
				ids[next] = add(w, next);
				GOOD(w, "data.delete_record", "{'collection':'c','id':'%s'}",
				     ids[next - 30]);
				ids[next - 30] = NULL;
				next++;
			}
		} while (cursor != NULL);
		for (int n = 10; n < 30; n++) {
			const char *one = ar_printf(w->pool, ",%d,", n), *at = strstr(seen, one);

			if (at == NULL || strstr(at + 1, one) != NULL)
				fail_msg("sort %s: %d is %s in %s", sorts[s], n,
					 at == NULL ? "missing" : "there twice", seen);
		}
		GOOD(w, "data.delete_collection", "{'collection':'c','deleteRecords':true}");
	}
}

static const char *forge(struct world *w, const char *text)
{
	return ar_strz(w->pool, ar_base64url(w->pool, text, strlen(text)));
}

TEST(cursors_are_not_trusted)
{
	struct ar_json *page;
	const char *cursor;

	make(w);
	for (int n = 1; n < 6; n++)
		add(w, n);
	page = GOOD(w, "data.list_records", "{'collection':'c','sort':'a','limit':2}");
	cursor = next_of(w, page, "nextCursor");
	BLAMES(w, "cursor", "cursor", "data.list_records",
	       "{'collection':'c','sort':'t','cursor':'%s'}", cursor);
	BLAMES(w, "cursor", "cursor", "data.list_records",
	       "{'collection':'c','sort':'a','cursor':'x%s'}", cursor);
	/* ["+a", false, "text", "id"]: a text where the sort has an int */
	const char *forged = forge(w, "[\"+a\",false,\"x\",\"y\"]");

	BLAMES(w, "cursor", "cursor", "data.list_records",
	       "{'collection':'c','sort':'a','cursor':'%s'}", forged);
	forged = forge(w, "[\"+a\",false,1]");
	BLAMES(w, "cursor", "cursor", "data.list_records",
	       "{'collection':'c','sort':'a','cursor':'%s'}", forged);
}

TEST(a_sort_that_fits_no_cursor_is_refused)
{
	char *big = ar_alloc(w->pool, 9001);

	memset(big, 'x', 9000);
	make(w);
	for (int i = 0; i < 3; i++)
		GOOD(w, "data.create_record", "{'collection':'c','data':{'t':'%s','n':%d}}", big,
		     i);
	BLAMES(w, "sort", "too-long", "data.list_records",
	       "{'collection':'c','sort':'t','limit':2}");
	assert_string_equal(numbers(w, "'sort':'t,n','fields':'n'"), "0,1,2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_choose),
		cmocka_unit_test(orders_are_as_asked),
		cmocka_unit_test(pages_add_up_for_every_sort),
		cmocka_unit_test(pages_stay_right_under_changes),
		cmocka_unit_test(cursors_are_not_trusted),
		cmocka_unit_test(a_sort_that_fits_no_cursor_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
