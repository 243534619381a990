/*
 * libFuzzer: a request as the edge hands it on, from its path to the checked input of an action:
 * "POST /things/a?q=1", headers that become inputs, an empty line, the body.
 *
 * What is taken holds when it is checked again, and is nothing that the table does not know; a
 * cursor comes back as it was written. What is refused becomes a problem that a client can read.
 * Run: build-fuzz/tests/fuzz/fuzz_rest -max_total_time=60
 */
#include "action/action_int.h"
#include "action/list.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *const seeds[] = {
	"GET /things?filter=n%3E{:a}&params=%7B%22a%22:1%7D&sort=-n,name&limit=5&q=x+y\n\n",
	"GET /things?sort=-n&cursor=WyItbiIsZmFsc2UsMSwiYSJd&fields=a,b&count=exact\n\n",
	"GET /things?page=3&perPage=20&on=true&tags=a,b&at=2026-01-01&kind=one\n\n",
	"POST /things/a%20b?note=n\ncontent-type: application/json; charset=utf-8\n"
	"if-match: \"v1\", W/\"v2\"\n\n{\"n\":1,\"f\":0.5,\"name\":\"x\",\"mail\":\"A@B.cn\","
	"\"deep\":{\"a\":[1],\"when\":\"2026-11-24T00:00:00+08:00\"},\"tags\":[\"a\"]}",
	"PUT /files/a/b%2Fc/%E4%B8%AD\nif-none-match: *\ncontent-type: text/plain\n\nbytes",
	"PATCH /whole/7\ncontent-type: application/merge-patch+json\n\n[1,{\"a\":null}]",
	"DELETE /things/x?ifMatch=%22a%22\n\n",
	"POST /hook/a/../b?x=1&x=2\naccept-language: zh-TW, en;q=0.5, *;q=0.1\n\nraw",
	"GET /things/a/parts/%\n\n",
};

/* ---- the rows ---- */

static int done(struct ar_call *call)
{
	return ar_reply_none(call);
}

static const char *const kinds[] = { "one", "two", NULL };
static const struct ar_field deep[] = {
	AR_FIELD_FREE("a", AR_F_ARRAY, .max = 3, .items = AR_ITEM(AR_F_INT)),
	AR_FIELD_FREE("when", AR_F_TIME),
	{ 0 },
};
static const struct ar_field list_in[] = {
	AR_FIELD_FREE("q", AR_F_TEXT, .max = 10),
	AR_FIELD_FREE("on", AR_F_BOOL),
	AR_FIELD_FREE("at", AR_F_DATE),
	AR_FIELD_FREE("kind", AR_F_ENUM, .values = kinds),
	AR_FIELD_FREE("tags", AR_F_ARRAY, .items = AR_ITEM(AR_F_TEXT)),
	{ 0 },
};
static const struct ar_field thing_in[] = {
	AR_FIELD_FREE("id", AR_F_TEXT, .min = 1, .max = 40, .required = true),
	AR_FIELD_FREE("ifMatch", AR_F_TEXT),
	AR_FIELD_FREE("n", AR_F_INT, .min = -5, .max = 1000),
	AR_FIELD_FREE("f", AR_F_FLOAT, .nullable = true),
	AR_FIELD_FREE("name", AR_F_TEXT, .pattern = "[a-z]+[0-9]*", .otherwise = "\"a\""),
	AR_FIELD_FREE("mail", AR_F_EMAIL),
	AR_FIELD_FREE("note", AR_F_TEXT, .query = true),
	AR_FIELD_FREE("deep", AR_F_OBJECT, .fields = deep),
	AR_FIELD_FREE("tags", AR_F_ARRAY, .max = 4, .items = AR_ITEM(AR_F_TEXT, .max = 5)),
	AR_FIELD_FREE("any", AR_F_JSON),
	{ 0 },
};
static const struct ar_field file_in[] = {
	AR_FIELD_FREE("key", AR_F_TEXT, .max = 50, .required = true),
	AR_FIELD_FREE("ifNoneMatch", AR_F_TEXT),
	{ 0 },
};
static const struct ar_field whole_in[] = {
	AR_FIELD_FREE("id", AR_F_INT, .required = true),
	AR_FIELD_FREE("value", AR_F_JSON, .required = true),
	{ 0 },
};
static const struct ar_field part_in[] = {
	AR_FIELD_FREE("id", AR_F_ID, .required = true),
	AR_FIELD_FREE("part", AR_F_TEXT, .required = true),
	{ 0 },
};
static const struct ar_action actions[] = {
	{ "fuzz.list", "GET /things", "-", .in = list_in, .run = done, .flags = AR_A_LIST },
	{ "fuzz.post", "POST /things/{id}", "-", .in = thing_in, .run = done, .flags = AR_A_WRITE },
	{ "fuzz.delete", "DELETE /things/{id}", "-", .in = thing_in, .run = done,
	  .flags = AR_A_WRITE },
	{ "fuzz.part", "GET /things/{id}/parts/{part}", "-", .in = part_in, .run = done },
	{ "fuzz.file", "PUT /files/{key...}", "-", .in = file_in, .run = done,
	  .flags = AR_A_RAW_IN | AR_A_WRITE },
	{ "fuzz.whole", "PATCH /whole/{id}", "-", .in = whole_in, .body = "value", .run = done },
	{ "fuzz.hook", "ANY /hook/{rest...}", "-", .run = done,
	  .flags = AR_A_RAW_IN | AR_A_REST_ONLY },
	{ 0 },
};
static const struct ar_module module = { .name = "fuzz", .actions = actions };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	ar_action_register(&module);
	return 0;
}

FUZZ_SEEDS(seeds)

/* ---- what must hold ---- */

static void check_text(struct ar_str s)
{
	must(ar_utf8_valid(s) && ar_str_find(s, '\0') < 0);
}

static void check_cursor(struct ar_call *call, const struct ar_list *list)
{
	struct ar_str again;
	struct ar_list back;

	must(list->limit >= 1 && list->limit <= AR_LIST_LIMIT_MAX && list->offset >= 0);
	must(list->nsort <= AR_LIST_SORT_MAX && list->nfields <= AR_LIST_NAMES_MAX);
	if (list->cursor == NULL)
		return;
	again = ar_list_cursor(call->pool, list, list->cursor, list->backward);
	if (again.n > 8192) /* the same values, spelled longer than they came */
		return;
	ar_json_set(call->input, AR_STR("cursor"), ar_json_str(call->pool, again));
	must(ar_list_parse(call, &back) == 0 && back.backward == list->backward);
	must(ar_json_equal(back.cursor, list->cursor));
}

/* The checked input, written out and read: checked again it is the same. */
static void check_input(struct ar_call *call)
{
	struct ar_json *before = call->input, *again;
	struct ar_list list;

	if (!(call->action->flags & AR_A_LIST)) {
		must(ar_json_parse(call->pool, ar_json_print(call->pool, before), NULL, &again) ==
		     0);
		call->input = again;
		must(call_check_input(call) == 0 && ar_json_equal(before, call->input));
	} else if (ar_list_parse(call, &list) == 0) {
		check_cursor(call, &list);
	} else {
		must(ar_err()->def->status == 422);
	}
}

static void check_problem(struct ar_pool *pool, struct ar_str language)
{
	const struct ar_err *err = ar_err();
	struct ar_buf *out = ar_buf_new(pool, 1 << 20);
	struct ar_json *problem;
	int status;

	must(err != NULL);
	status = ar_problem(pool, err, language, AR_STR("id"), out);
	must(status >= 400 && status < 500 && ar_utf8_valid(ar_buf_view(out)));
	must(ar_json_parse(pool, ar_buf_view(out), NULL, &problem) == 0);
	must(ar_json_number(problem, "status", 0) == status);
	must(ar_json_text(problem, "title", AR_STR("")).n > 0);
}

/* ---- a request ---- */

static void read_header(struct ar_str line, struct ar_rest *rest, struct ar_call *call)
{
	struct ar_str value = line, name = ar_str_cut(&value, ':');
	struct {
		const char *name;
		struct ar_str *to;
	} known[] = { { "content-type", &rest->content_type },
		      { "if-match", &rest->if_match },
		      { "if-none-match", &rest->if_none_match },
		      { "accept-language", &call->language } };

	for (size_t i = 0; i < AR_COUNT(known); i++)
		if (value.p != NULL && ar_str_is(name, known[i].name))
			*known[i].to = ar_str_trim(value);
}

static int request(struct ar_call *call, struct ar_str text)
{
	struct ar_rest rest = { .body = text };
	struct ar_str line = ar_str_cut(&rest.body, '\n'), path;
	struct ar_route_match match = { 0 };

	rest.method = ar_str_cut(&line, ' ');
	rest.query = line;
	path = ar_str_cut(&rest.query, '?');
	while (rest.body.p != NULL && (line = ar_str_cut(&rest.body, '\n')).n > 0)
		read_header(line, &rest, call);
	if (ar_route_match(call->pool, rest.method, path, AR_ROUTES_API, &match) != 0)
		return -1;
	for (size_t i = 0; i < match.nparams; i++)
		check_text(match.params[i].value);
	check_text(match.rest);
	rest.match = &match;
	return ar_rest_input(call, &rest) != 0 ? -1 : call_check_input(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ar_call call = { .pool = ar_pool_new(), .who = &ar_who_anyone };

	if (request(&call, ar_str_n((const char *)data, size)) == 0) {
		ar_err_clear();
		check_input(&call);
		ar_check_if_match(&call, AR_STR("\"v1\""));
		ar_none_match_names(&call, AR_STR("\"v1\""));
	} else {
		check_problem(call.pool, call.language);
	}
	ar_err_clear();
	ar_pool_free(call.pool);
	return 0;
}
