/*
 * list.c - tests of lists: what is asked for, cursors in both directions under inserts and deletes,
 * filters, and what is refused.
 */
#include "action/list.h"
#include "tests/harness/house.h"

static const struct ar_list_column columns[] = {
	{ "id", NULL, AR_LIST_STR },
	{ "n", "t.num", AR_LIST_INT },
	{ "name", NULL, AR_LIST_STR },
	{ "score", NULL, AR_LIST_FLOAT },
	{ "on", "active", AR_LIST_BOOL },
	{ "created", NULL, AR_LIST_TIME },
	{ "data", NULL, AR_LIST_JSON },
	{ "secret", NULL, AR_LIST_STR, .silent = true },
	{ 0 },
};
static const struct ar_list_table table = { "thing t", columns, "-created" };

static AR_YIELDS int list_all(struct ar_call *call)
{
	return ar_list_table(call, &table, "t.num <> ?", AR_ARGS(AR_J_INT(-1)));
}

static const struct ar_action actions[] = {
	{ "test.list", "GET /things", AR_ALLOW_ANYONE, .run = list_all, .flags = AR_A_LIST },
	{ 0 },
};

#define THING                                                                                      \
	"CREATE TABLE thing (id TEXT PRIMARY KEY, num BIGINT NOT NULL, name TEXT, "                \
	"score DOUBLE PRECISION, active INTEGER NOT NULL, created BIGINT NOT NULL, data TEXT, "    \
	"secret TEXT)"
static const struct ar_migration thing_migrations[] = { { "0001_thing", THING, THING }, { 0 } };
static const struct ar_module module = { .name = "test",
					 .actions = actions,
					 .migrations = thing_migrations };

struct world {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
};

static AR_YIELDS int list(struct world *w, const char *input, struct ar_json **ret)
{
	struct ar_invoke call = { .tenant = w->tenant,
				  .who = &ar_who_anyone,
				  .face = AR_FACE_LUA,
				  .action = AR_STR("test.list") };

	assert_ok(ar_json_parse(w->pool, ar_str(input), &ar_json_limits_default, &call.input));
	ar_err_clear();
	return ar_action_invoke(w->pool, &call, ret);
}

#define BASE_MS 1700000000123LL

static AR_YIELDS void add(struct world *w, int n, const char *name)
{
	struct ar_scope scope;

	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_exec(&scope,
			  "INSERT INTO thing (id, num, name, score, active, created, data, secret) "
			  "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			  AR_ARGS(AR_J_STR(ar_strf(w->pool, "id%03d", n)), AR_J_INT(n),
				  name != NULL ? AR_J_Z(name) : AR_J_NULL,
				  n % 3 == 0 ? AR_J_NULL : AR_J_FLOAT(n / 2.0), AR_J_INT(n % 2),
				  AR_J_INT(BASE_MS + n / 4 * 1000), AR_J_Z("{\"a\":[1]}"),
				  AR_J_Z("hidden")),
			  NULL));
	assert_ok(ar_commit(&scope));
}

static AR_YIELDS void take_away(struct world *w, int n)
{
	struct ar_scope scope;

	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_exec(&scope, "DELETE FROM thing WHERE num = ?", AR_ARGS(AR_J_INT(n)), NULL));
	assert_ok(ar_commit(&scope));
}

static void world_body(void *arg)
{
	void (*body)(struct world *) = arg;
	struct world w = { .pool = ar_pool_new() };

	if (ar_tenant_delete(AR_STR("acme")) != 0) /* a server keeps it from the test before */
		ar_err_clear();
	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &w.tenant));
	body(&w);
	ar_tenant_release(w.tenant);
	ar_pool_free(w.pool);
}

static void run(void (*body)(struct world *w))
{
	static const struct ar_migration_set sets[] = {
		{ "action", ar_action_migrations },
		{ "test", thing_migrations },
		{ 0 },
	};

	ar_action_register(&module);
	house_open(sets);
	house_run(world_body, body);
	house_close();
	ar_action_done();
}

#define TEST(name) TEST_IN(name, run, struct world *w)

/* The n of the items: "3,2,1". */
static const char *numbers(struct world *w, const struct ar_json *reply)
{
	struct ar_buf *text = ar_buf_new(w->pool, 100000);

	ar_json_each (item, ar_json_get(reply, "items")) {
		if (text->n > 0)
			ar_buf_char(text, ',');
		ar_buf_int(text, ar_json_number(item, "n", -1));
	}
	return ar_strz(w->pool, ar_buf_view(text));
}

TEST(one_item)
{
	struct ar_json *reply;

	add(w, 1, "李");
	add(w, 3, NULL);
	assert_ok(list(w, "{\"sort\":\"n\",\"count\":\"exact\"}", &reply));
	assert_str(
		ar_json_print(w->pool, reply),
		"{\"items\":[{\"id\":\"id001\",\"n\":1,\"name\":\"李\",\"score\":0.5,\"on\":true,"
		"\"created\":\"2023-11-14T22:13:20.123Z\",\"data\":{\"a\":[1]}},"
		"{\"id\":\"id003\",\"n\":3,\"name\":null,\"score\":null,\"on\":true,"
		"\"created\":\"2023-11-14T22:13:20.123Z\",\"data\":{\"a\":[1]}}],"
		"\"nextCursor\":null,\"prevCursor\":null,\"total\":2}");
	assert_ok(list(w, "{\"fields\":\"name, id\",\"limit\":1}", &reply));
	assert_str(ar_json_print(w->pool, ar_json_get(reply, "items")),
		   "[{\"id\":\"id003\",\"name\":null}]");
}

TEST(filters_and_sorts)
{
	static const struct {
		const char *input, *numbers;
	} rows[] = {
		{ "{\"sort\":\"n\"}", "0,1,2,3,4,5,6,7,8" },
		{ "{}", "8,7,6,5,4,3,2,1,0" }, /* -created, then the id in the same direction */
		{ "{\"sort\":\"-n\",\"limit\":2}", "8,7" },
		{ "{\"sort\":\"score,n\"}", "0,3,6,1,2,4,5,7,8" }, /* NULL is the smallest */
		{ "{\"sort\":\"-score,n\"}", "8,7,5,4,2,1,0,3,6" },
		{ "{\"sort\":\"-on,n\",\"limit\":3}", "1,3,5" },
		{ "{\"sort\":\"n\",\"filter\":\"n > 5 && on = true\"}", "7" },
		{ "{\"sort\":\"n\",\"filter\":\"name ~ 'b' || n = {:x}\",\"params\":{\"x\":8}}",
		  "1,4,7,8" },
		{ "{\"sort\":\"n\",\"filter\":\"score = null\"}", "0,3,6" },
		{ "{\"sort\":\"n\",\"filter\":\"created > '2023-11-14T22:13:21.123Z'\"}", "8" },
		{ "{\"sort\":\"n\",\"filter\":\"created = '2023-11-14T22:13:21.123Z'\"}",
		  "4,5,6,7" },
		{ "{\"sort\":\"n\",\"filter\":\"secret = 'hidden' && n < 2\"}", "0,1" },
		{ "{\"filter\":\"data.b = 'x'\"}", "" },
		{ "{\"sort\":\"n\",\"filter\":\"data.a != null && n < 2\"}", "0,1" },
		{ "{\"sort\":\"n\",\"page\":2,\"perPage\":4}", "4,5,6,7" },
		{ "{\"sort\":\"n\",\"page\":9,\"perPage\":4}", "" },
	};
	struct ar_json *reply;

	for (int i = 0; i < 9; i++)
		add(w, i, i % 3 == 1 ? "xbx" : "c");
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (list(w, rows[i].input, &reply) != 0)
			fail_msg("%s: %s", rows[i].input, ar_err()->def->slug);
		if (strcmp(numbers(w, reply), rows[i].numbers) != 0)
			fail_msg("%s: %s", rows[i].input, numbers(w, reply));
	}
	assert_ok(list(w, "{\"filter\":\"n >= 4\",\"count\":\"estimated\",\"limit\":1}", &reply));
	assert_int_equal(ar_json_number(reply, "total", -1), 5);
}

/* A time in a filter is the one that the list shows, to the last digit, however far it is. */
TEST(times_are_exact)
{
	static const int64_t from[] = { 0, 1700000000000, 7258118400000, 64060588800000,
					253402300799000 };
	struct ar_scope scope;
	struct ar_json *reply;
	char time[AR_TIME_MAX];

	ar_scope_init(&scope, w->tenant->db, w->pool);
	for (int64_t i = 0; i < (int64_t)AR_COUNT(from) * 1000; i += 37)
		assert_ok(ar_exec(
			&scope, "INSERT INTO thing (id, num, active, created) VALUES (?, ?, 1, ?)",
			AR_ARGS(AR_J_STR(ar_strf(w->pool, "id%lld", (long long)i)), AR_J_INT(i),
				AR_J_INT(from[i / 1000] + i % 1000)),
			NULL));
	assert_ok(ar_commit(&scope));
	for (int64_t i = 0; i < (int64_t)AR_COUNT(from) * 1000; i += 37) {
		ar_time_format(from[i / 1000] + i % 1000, time);
		assert_ok(list(w, ar_printf(w->pool, "{\"filter\":\"created = '%s'\"}", time),
			       &reply));
		assert_string_equal(numbers(w, reply), ar_printf(w->pool, "%lld", (long long)i));
	}
}

static const char *page(struct world *w, const char *sort, const struct ar_json *from,
			const char *cursor, struct ar_json **ret)
{
	struct ar_str at = from != NULL ? ar_json_text(from, cursor, AR_STR_NONE) : AR_STR_NONE;
	const char *input =
		at.n == 0 ? ar_printf(w->pool, "{\"sort\":\"%s\",\"limit\":4}", sort)
			  : ar_printf(w->pool, "{\"sort\":\"%s\",\"limit\":4,\"cursor\":\"%.*s\"}",
				      sort, AR_FMT(at));

	assert_ok(list(w, input, ret));
	return numbers(w, *ret);
}

/* Every sort gives every row once, forward, and backward again from the end. */
TEST(pages_both_ways)
{
	static const char *const sorts[] = {
		"n",         "-n",  "score",   "-score",        "name,-n", "-name",
		"on,-score", "-on", "created", "-created,name", "id",      "-id"
	};
	struct ar_json *reply, *all;

	for (int i = 0; i < 22; i++)
		add(w, i, i % 5 == 0 ? NULL : i % 2 == 0 ? "a" : "b");
	for (size_t s = 0; s < AR_COUNT(sorts); s++) {
		const char *forward = "", *backward = "";
		int pages = 0;

		assert_ok(list(w, ar_printf(w->pool, "{\"sort\":\"%s\",\"limit\":100}", sorts[s]),
			       &all));
		reply = NULL;
		do {
			const char *got = page(w, sorts[s], reply, "nextCursor", &reply);

			forward = ar_printf(w->pool, "%s%s%s", forward, pages > 0 ? "," : "", got);
			assert_int_equal(ar_json_get(reply, "prevCursor")->type == AR_NULL,
					 pages == 0);
			pages++;
		} while (ar_json_get(reply, "nextCursor")->type == AR_STRING && pages < 20);
		assert_int_equal(pages, 6);
		assert_string_equal(forward, numbers(w, all));
		backward = numbers(w, reply);
		while (ar_json_get(reply, "prevCursor")->type == AR_STRING && pages-- > 0) {
			const char *got = page(w, sorts[s], reply, "prevCursor", &reply);

			backward = ar_printf(w->pool, "%s,%s", got, backward);
			assert_int_equal(ar_json_get(reply, "nextCursor")->type, AR_STRING);
		}
		assert_string_equal(backward, forward);
	}
}

/* Rows that come and go beside the cursor neither repeat nor hide others. */
TEST(pages_while_it_changes)
{
	struct ar_json *reply;

	for (int i = 10; i < 30; i++)
		add(w, i, "x");
	assert_string_equal(page(w, "n", NULL, NULL, &reply), "10,11,12,13");
	add(w, 5, "x");   /* before the cursor */
	take_away(w, 13); /* the row that the cursor was made from */
	take_away(w, 14);
	assert_string_equal(page(w, "n", reply, "nextCursor", &reply), "15,16,17,18");
	assert_string_equal(page(w, "n", reply, "prevCursor", &reply), "5,10,11,12");
}

TEST(refused)
{
	static const struct {
		const char *input, *field, *code;
	} rows[] = {
		{ "{\"sort\":\"nothing\"}", "sort", "not-found" },
		{ "{\"sort\":\"n,n\"}", "sort", "duplicate" },
		{ "{\"sort\":\"data\"}", "sort", "not-found" },
		{ "{\"sort\":\"num\"}", "sort",
		  "not-found" }, /* the column's own name is not its name */
		{ "{\"sort\":\"a,b,c,d,e,f,g,h,i\"}", "sort", "too-many" },
		{ "{\"sort\":\"n; DROP TABLE thing\"}", "sort", "not-found" },
		{ "{\"fields\":\"secret\"}", "fields", "not-found" },
		{ "{\"fields\":\"nothing\"}", "fields", "not-found" },
		{ "{\"limit\":0}", "limit", NULL },
		{ "{\"limit\":501}", "limit", NULL },
		{ "{\"limit\":\"3\"}", "limit", NULL },
		{ "{\"count\":\"all\"}", "count", NULL },
		{ "{\"cursor\":\"x\"}", "cursor", "cursor" },
		{ "{\"cursor\":\"!!!\"}", "cursor", "cursor" },
		{ "{\"cursor\":\"bnVsbA\"}", "cursor", "cursor" },           /* null */
		{ "{\"cursor\":\"WyIiLGZhbHNlLDFd\"}", "cursor", "cursor" }, /* ["",false,1] */
		/* ["",false,1,1]: created fits, an id is a text */
		{ "{\"cursor\":\"WyIiLGZhbHNlLDEsMV0\"}", "cursor", "cursor" },
		{ "{\"unknown\":1}", "unknown", "unknown" },
	};
	static const struct {
		const char *filter;
		int status;
	} filters[] = {
		{ "n >", 400 },
		{ "nothing = 1", 422 },
		{ "n = 'x'", 422 },
		{ "1; DROP TABLE thing", 400 },
		{ "name = {:p}", 422 },
		{ "num = 1", 422 },
		{ "sqlite_version() = 1", 422 },
	};
	struct ar_json *reply, *first;

	for (int i = 0; i < 9; i++)
		add(w, i, "x");
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		if (list(w, rows[i].input, &reply) == 0)
			fail_msg("%s passed", rows[i].input);
		if (ar_err()->fields == NULL ||
		    strcmp(ar_err()->fields->path, rows[i].field) != 0 ||
		    (rows[i].code != NULL && strcmp(ar_err()->fields->code, rows[i].code) != 0))
			fail_msg("%s: %s", rows[i].input, ar_err()->def->slug);
	}
	for (size_t i = 0; i < AR_COUNT(filters); i++) {
		if (list(w, ar_printf(w->pool, "{\"filter\":\"%s\"}", filters[i].filter), &reply) ==
		    0)
			fail_msg("%s passed", filters[i].filter);
		if (ar_err()->def->status != filters[i].status)
			fail_msg("%s: %s", filters[i].filter, ar_err()->def->slug);
	}
	/* A cursor belongs to its sort, and does not go with a page. */
	page(w, "n", NULL, NULL, &first);
	const char *cursor = ar_strz(w->pool, ar_json_text(first, "nextCursor", AR_STR_NONE));

	assert_fails(
		list(w, ar_printf(w->pool, "{\"sort\":\"-n\",\"cursor\":\"%s\"}", cursor), &reply),
		AR_E_INVALID);
	assert_fails(
		list(w, ar_printf(w->pool, "{\"sort\":\"n\",\"page\":2,\"cursor\":\"%s\"}", cursor),
		     &reply),
		AR_E_INVALID);
	assert_ok(list(w, "{\"sort\":\"n\",\"count\":\"exact\"}", &reply));
	assert_int_equal(ar_json_number(reply, "total", 0), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_item),
		cmocka_unit_test(filters_and_sorts),
		cmocka_unit_test(times_are_exact),
		cmocka_unit_test(pages_both_ways),
		cmocka_unit_test(pages_while_it_changes),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
