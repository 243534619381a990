/*
 * collection.c - tests of collections: definitions, changes, what is refused, what is kept.
 */
#include "data/tests/world.h"

#define AUTHORS "{'name':'authors','fields':[{'name':'name','type':'text','required':true}]}"

TEST(a_collection_is_made_and_read_back)
{
	struct ar_json *c =
		GOOD(w, "data.create_collection",
		     "{'name':'posts','fields':[{'name':'title','type':'text','required':true,"
		     "'max':20},{'name':'n','type':'int','unique':true}],"
		     "'rules':{'list':'','view':\"title != null\"}}");
	struct ar_json *again = GOOD(w, "data.get_collection", "{'collection':'posts'}");

	assert_string_equal(text_of(w, c), text_of(w, again));
	assert_string_equal(
		text_of(w, ar_json_get(c, "fields")),
		"[{\"name\":\"title\",\"type\":\"text\",\"required\":true,\"unique\":false,"
		"\"indexed\":false,\"multiple\":false,\"max\":20},"
		"{\"name\":\"n\",\"type\":\"int\",\"required\":false,\"unique\":true,\"indexed\":"
		"false,"
		"\"multiple\":false}]");
	assert_string_equal(
		text_of(w, ar_json_get(c, "rules")),
		"{\"list\":\"\",\"view\":\"title != null\",\"create\":null,\"update\":null,"
		"\"delete\":null}");
	GOOD(w, "data.create_collection", AUTHORS);
	assert_string_equal(items(w, GOOD(w, "data.list_collections", "{}"), "name"),
			    "authors,posts");
	assert_fails(CALL(w, "data.get_collection", "{'collection':'none'}"), AR_E_NOT_FOUND);
}

TEST(what_is_no_definition_is_refused)
{
#define FIELD(path, code, field)                                                                   \
	BLAMES(w, path, code, "data.create_collection", "{'name':'c','fields':[%s]}", field)
	BLAMES(w, "name", "pattern", "data.create_collection", "{'name':'Bad Name'}");
	BLAMES(w, "name", "required", "data.create_collection", "{}");
	FIELD("fields.0.type", "enum", "{'name':'a','type':'blob'}");
	FIELD("fields.0.name", "pattern", "{'name':'a b','type':'text'}");
	FIELD("fields.0.name", "pattern", "{'name':'a\\\"; DROP TABLE x','type':'text'}");
	FIELD("fields.0.name", "reserved", "{'name':'ID','type':'text'}");
	FIELD("fields.0.name", "reserved", "{'name':'null','type':'text'}");
	FIELD("fields.1.name", "duplicate", "{'name':'a','type':'text'},{'name':'A','type':'int'}");
	FIELD("fields.0.values", "required", "{'name':'a','type':'select'}");
	FIELD("fields.0.values", "duplicate", "{'name':'a','type':'select','values':['x','x']}");
	FIELD("fields.0.values", "not-for-type", "{'name':'a','type':'text','values':['x']}");
	FIELD("fields.0.multiple", "not-for-type", "{'name':'a','type':'text','multiple':true}");
	FIELD("fields.0.unique", "not-for-type", "{'name':'a','type':'json','unique':true}");
	FIELD("fields.0.collection", "required", "{'name':'a','type':'relation'}");
	FIELD("fields.0.collection", "not-found",
	      "{'name':'a','type':'relation','collection':'x'}");
	FIELD("fields.0.pattern", "pattern-syntax", "{'name':'a','type':'text','pattern':'[a'}");
	FIELD("fields.0.pattern", "pattern-syntax", "{'name':'a','type':'text','pattern':'(a|b)'}");
	FIELD("fields.0.pattern", "pattern-syntax", "{'name':'a','type':'text','pattern':'^$'}");
	FIELD("fields.0.pattern", "pattern-syntax", "{'name':'a','type':'text','pattern':'a$b'}");
	FIELD("fields.0.pattern", "pattern-syntax",
	      "{'name':'a','type':'text','pattern':'a{9999}'}");
	FIELD("fields.0.pattern", "pattern-syntax", "{'name':'a','type':'text','pattern':'*'}");
	FIELD("fields.0.max", "too-small", "{'name':'a','type':'int','min':5,'max':4}");
	FIELD("fields.0.min", "not-for-type", "{'name':'a','type':'bool','min':5}");
	FIELD("fields.0.default", "default", "{'name':'a','type':'int','default':'x'}");
	FIELD("fields.0.default", "default", "{'name':'a','type':'int','max':3,'default':4}");
#undef FIELD
	assert_fails(
		CALL(w, "data.create_collection", "{'name':'c','rules':{'list':'nothing = 1'}}"),
		DATA_E_RULE);
	assert_fails(CALL(w, "data.create_collection", "{'name':'c','rules':{'list':'1 ='}}"),
		     DATA_E_RULE);
	assert_string_equal(items(w, GOOD(w, "data.list_collections", "{}"), "name"), "");
	GOOD(w, "data.create_collection", "{'name':'c'}");
	assert_fails(CALL(w, "data.create_collection", "{'name':'c'}"), DATA_E_EXISTS);
}

TEST(fields_are_added_changed_and_renamed)
{
	struct ar_json *r;

	GOOD(w, "data.create_collection",
	     "{'name':'c','fields':[{'name':'a','type':'text'},{'name':'b','type':'int'}]}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{'a':'x','b':1}}");
	GOOD(w, "data.update_collection",
	     "{'collection':'c','fields':[{'name':'b','type':'int','indexed':true,'unique':true},"
	     "{'name':'d','type':'bool','default':true}],'renameFields':{'a':'title'}}");
	r = GOOD(w, "data.get_record", "{'collection':'c','id':'%s','fields':'title,b,d'}",
		 id_of(w, r));
	assert_string_equal(text_of(w, r), "{\"title\":\"x\",\"b\":1,\"d\":true}");
	BLAMES(w, "b", "unique", "data.create_record", "{'collection':'c','data':{'b':1}}");
	assert_true(ar_err()->def == DATA_E_UNIQUE);
	/* and the constraint goes again */
	GOOD(w, "data.update_collection",
	     "{'collection':'c','fields':[{'name':'b','type':'int'}]}");
	GOOD(w, "data.create_record", "{'collection':'c','data':{'b':1}}");
	BLAMES(w, "fields.b.unique", "not-unique", "data.update_collection",
	       "{'collection':'c','fields':[{'name':'b','type':'int','unique':true}]}");
	BLAMES(w, "fields.0.type", "immutable", "data.update_collection",
	       "{'collection':'c','fields':[{'name':'b','type':'text'}]}");
	BLAMES(w, "renameFields.gone", "not-found", "data.update_collection",
	       "{'collection':'c','renameFields':{'gone':'z'}}");
	BLAMES(w, "renameFields.b", "unique", "data.update_collection",
	       "{'collection':'c','renameFields':{'b':'d'}}");
}

TEST(long_texts_have_no_index)
{
	char *big = ar_alloc(w->pool, 701);

	memset(big, 'x', 700);
	BLAMES(w, "fields.0.max", "too-large", "data.create_collection",
	       "{'name':'c','fields':[{'name':'a','type':'text','unique':true,'max':700}]}");
	GOOD(w, "data.create_collection",
	     "{'name':'c','fields':[{'name':'a','type':'text'},{'name':'b','type':'text','unique':"
	     "true}]}");
	BLAMES(w, "b", "too-long", "data.create_record", "{'collection':'c','data':{'b':'%s'}}",
	       big);
	GOOD(w, "data.create_record", "{'collection':'c','data':{'a':'%s','b':'%.600s'}}", big,
	     big);
	BLAMES(w, "fields.a.indexed", "too-long", "data.update_collection",
	       "{'collection':'c','fields':[{'name':'a','type':'text','indexed':true}]}");
}

TEST(a_column_goes_only_when_it_is_named)
{
	struct ar_json *r, *c;

	GOOD(w, "data.create_collection",
	     "{'name':'c','fields':[{'name':'a','type':'text','indexed':true},"
	     "{'name':'b','type':'int','unique':true},{'name':'me','type':'relation','collection':'"
	     "c'}],"
	     "'rules':{'view':'b > 0'}}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{'a':'x','b':1}}");
	c = GOOD(w, "data.update_collection", "{'collection':'c','fields':[]}");
	assert_int_equal(ar_json_get(c, "fields")->count, 3);
	/* not while a rule speaks of it */
	assert_fails(CALL(w, "data.update_collection", "{'collection':'c','deleteFields':['b']}"),
		     DATA_E_RULE);
	BLAMES(w, "deleteFields", "not-found", "data.update_collection",
	       "{'collection':'c','deleteFields':['gone']}");
	c = GOOD(w, "data.update_collection",
		 "{'collection':'c','deleteFields':['b','me'],'rules':{'view':null}}");
	assert_int_equal(ar_json_get(c, "fields")->count, 1);
	r = GOOD(w, "data.get_record", "{'collection':'c','id':'%s','fields':'a'}", id_of(w, r));
	assert_string_equal(text_of(w, r), "{\"a\":\"x\"}");
}

TEST(a_collection_goes_with_its_records_only_when_asked)
{
	GOOD(w, "data.create_collection", AUTHORS);
	GOOD(w, "data.create_collection",
	     "{'name':'books','fields':[{'name':'by','type':'relation','collection':'authors'}]}");
	GOOD(w, "data.create_record", "{'collection':'authors','data':{'name':'Li'}}");
	assert_fails(CALL(w, "data.delete_collection", "{'collection':'authors'}"),
		     DATA_E_REFERENCED);
	GOOD(w, "data.delete_collection", "{'collection':'books'}");
	assert_fails(CALL(w, "data.delete_collection", "{'collection':'authors'}"),
		     DATA_E_NOT_EMPTY);
	assert_int_equal(
		GOOD(w, "data.list_records", "{'collection':'authors','count':'exact'}")->count, 4);
	GOOD(w, "data.delete_collection", "{'collection':'authors','deleteRecords':true}");
	assert_fails(CALL(w, "data.list_records", "{'collection':'authors'}"), AR_E_NOT_FOUND);
	GOOD(w, "data.create_collection", AUTHORS);
	assert_string_equal(
		items(w, GOOD(w, "data.list_records", "{'collection':'authors'}"), "name"), "");
}

TEST(many_fields_are_more_than_one_table)
{
	struct ar_buf *buf = ar_buf_new(w->pool, 1 << 20);
	struct ar_json *r;

	ar_buf_z(buf, "{'name':'wide','fields':[");
	for (int i = 0; i < 150; i++)
		ar_buf_printf(buf, "%s{'name':'f%d','type':'int','required':%s}", i > 0 ? "," : "",
			      i, i == 149 ? "true" : "false");
	ar_buf_z(buf, "]}");
	good(w, "data.create_collection", ar_strz(w->pool, ar_buf_view(buf)));
	r = GOOD(w, "data.create_record", "{'collection':'wide','data':{'f0':1,'f70':2,'f149':3}}");
	r = GOOD(w, "data.get_record", "{'collection':'wide','id':'%s','fields':'f0,f70,f149'}",
		 id_of(w, r));
	assert_string_equal(text_of(w, r), "{\"f0\":1,\"f70\":2,\"f149\":3}");
	BLAMES(w, "f149", "required", "data.create_record",
	       "{'collection':'wide','data':{'f0':1}}");
	BLAMES(w, "f200", "unknown", "data.create_record",
	       "{'collection':'wide','data':{'f200':1}}");
}

TEST(only_who_may_defines)
{
	w->who = &w->ann;
	assert_fails(CALL(w, "data.create_collection", AUTHORS), AR_E_FORBIDDEN);
	w->who = &ar_who_anyone;
	assert_fails(CALL(w, "data.create_collection", AUTHORS), AR_E_UNAUTHORIZED);
	assert_fails(CALL(w, "data.list_collections", "{}"), AR_E_UNAUTHORIZED);
}

TEST(data_is_held_against_a_schema)
{
	struct ar_json *r;

	assert_fails(CALL(w, "data-model.validate_schema", "{'data':{}}"), AR_E_NOT_FOUND);
	GOOD(w, "data.create_collection",
	     "{'name':'registrations','fields':[{'name':'email','type':'email','required':true},"
	     "{'name':'age','type':'int','default':18}]}");
	r = GOOD(w, "data-model.validate_schema", "{'data':{'email':'Li@例子.CN'}}");
	assert_string_equal(text_of(w, r),
			    "{\"valid\":true,\"collection\":\"registrations\",\"data\":"
			    "{\"email\":\"Li@例子.cn\",\"age\":18}}");
	BLAMES(w, "email", "required", "data-model.validate_schema", "{'data':{}}");
	BLAMES(w, "email", "email", "data-model.validate_schema", "{'data':{'email':'nobody'}}");
	BLAMES(w, "more", "unknown", "data.validate_schema",
	       "{'collection':'registrations','data':{'email':'a@b.cn','more':1}}");
	assert_string_equal(
		items(w, GOOD(w, "data.list_records", "{'collection':'registrations'}"), "id"), "");
}

TEST(the_document_knows_the_collections)
{
	struct ar_call openapi = { .pool = w->pool, .tenant = w->tenant, .who = &ar_who_system };
	struct ar_json *paths = ar_json_new(w->pool, AR_OBJECT),
		       *schemas = ar_json_new(w->pool, AR_OBJECT);
	struct ar_pool *pool = ar_pool_new();

	GOOD(w, "data.create_collection",
	     "{'name':'posts','fields':[{'name':'title','type':'text','required':true,'max':20},"
	     "{'name':'kind','type':'select','values':['a','b'],'multiple':true}]}");
	openapi.pool = pool;
	assert_ok(data_module.openapi(&openapi, paths, schemas));
	assert_non_null(ar_json_get(paths, "/collections/posts/records"));
	assert_non_null(
		ar_json_get(ar_json_get(paths, "/collections/posts/records/{id}"), "patch"));
	assert_str(ar_json_path(schemas, AR_STR("record_posts.properties.kind.items.enum.1"))->s,
		   "b");
	assert_str(ar_json_path(schemas, AR_STR("record_postsInput.required.0"))->s, "title");
	ar_pool_free(pool);
}

TEST(the_demo_is_made_once)
{
	for (int i = 0; i < 3; i++) {
		struct ar_pool *pool = ar_pool_new();
		struct ar_call demo = { .pool = pool, .tenant = w->tenant, .who = &ar_who_system };

		ar_scope_init(&demo.scope, w->tenant->db, pool);
		assert_ok(data_module.demo(&demo));
		/* The first time is one that did not come to its end: its notes are there, its mark is not. */
		if (i == 0)
			ar_rollback(&demo.scope);
		else
			assert_ok(ar_commit(&demo.scope));
		ar_pool_free(pool);
	}
	assert_string_equal(
		items(w,
		      GOOD(w, "data.list_records",
			   "{'collection':'notes','sort':'priority','fields':'priority'}"),
		      "priority"),
		"1,2,3");
}

/* ---- a large collection ---- */

struct ticker {
	bool end;
	int turns; /* in which the loop did something else */
};

static void tick(void *arg)
{
	struct ticker *ticker = arg;

	while (!ticker->end && ar_sleep(1) == 0)
		ticker->turns++;
}

/* Every record gets the default, and other work goes on meanwhile. */
TEST(a_default_for_many_records)
{
	struct ar_pool *pool = ar_pool_new();
	struct ticker ticker = { 0 };
	struct ar_scope scope;
	struct ar_rows rows;

	GOOD(w, "data.create_collection", "{'name':'many','fields':[{'name':'n','type':'int'}]}");
	ar_scope_init(&scope, w->tenant->db, pool);
	assert_ok(ar_exec(
		&scope,
		"INSERT INTO \"c_many\" (\"id\", \"created\", \"updated\", "
		"\"ar_revision\", \"n\") "
		"WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < "
		"40321) SELECT 'id' || (n + 100000), '', '', 1, n FROM up",
		AR_NO_ARGS, NULL));
	assert_ok(ar_commit(&scope));
	ar_go("ticker", tick, &ticker, AR_NO_DEADLINE);
	GOOD(w, "data.update_collection",
	     "{'collection':'many','fields':[{'name':'age','type':'int','default':18}]}");
	ticker.end = true;
	assert_true(ticker.turns >= 10);
	assert_ok(ar_query(&scope, &rows, "SELECT count(*) FROM \"c_many\" WHERE \"age\" = 18",
			   AR_NO_ARGS));
	assert_true(ar_rows_next(&rows));
	assert_int_equal(ar_col_int(&rows, 0), 40321);
	assert_ok(ar_sleep(5));
	ar_pool_free(pool);
}

struct change {
	struct world *w;
	const char *action, *input;
	int rc, delay;
	bool ended;
};

static void change_main(void *arg)
{
	struct change *change = arg;
	struct world own = *change->w;

	own.pool = ar_pool_new();
	for (int i = 0; i < change->delay; i++)
		ar_pause();
	change->rc = CALL(&own, change->action, "%s", change->input);
	if (change->rc != 0) {
		const struct ar_err *err = ar_err();

		if (!ar_err_is(AR_E_CONFLICT) && !ar_err_is(AR_E_INVALID) &&
		    !ar_err_is(DATA_E_REFERENCED) && !ar_err_is(AR_E_NOT_FOUND))
			fail_msg("%s: %s %s", change->action, err->def->slug,
				 err->why != NULL ? err->why : "");
		ar_err_clear();
	}
	ar_pool_free(own.pool);
	change->ended = true;
}

/* Whoever comes second finds what the first one did. */
TEST(changes_that_race_leave_no_relation_to_nowhere)
{
	static const char *const makers[][2] = {
		{ "data.update_collection", "{'collection':'from','fields':[{'name':'r',"
					    "'type':'relation','collection':'to'}]}" },
		{ "data.update_collection",
		  "{'collection':'from','fields':[{'name':'r','type':'relation','collection':'to',"
		  "'multiple':true}]}" },
		{ "data.create_collection",
		  "{'name':'other','fields':[{'name':'r','type':'relation','collection':'to',"
		  "'multiple':true}]}" },
		{ "data.update_collection",
		  "{'collection':'from','fields':[{'name':'plain','type':'text'}]}" },
	};

	for (int round = 0; round < 16; round++) {
		struct change drop = { w, "data.delete_collection", "{'collection':'to'}", -1,
				       round % 3 };
		struct change make = { w, makers[round % 4][0], makers[round % 4][1], -1,
				       round / 3 % 3 };
		struct ar_json *list;

		GOOD(w, "data.create_collection", "{'name':'to'}");
		GOOD(w, "data.create_collection", "{'name':'from'}");
		ar_go("drop", change_main, &drop, AR_NO_DEADLINE);
		ar_go("make", change_main, &make, AR_NO_DEADLINE);
		while (!drop.ended || !make.ended)
			assert_ok(ar_sleep(1));
		assert_true(drop.rc == 0 || make.rc == 0);
		if (round % 4 == 3) /* these have nothing to do with each other */
			assert_true(drop.rc == 0 && make.rc == 0);
		list = GOOD(w, "data.list_collections", "{}");
		if (drop.rc == 0)
			assert_null(strstr(text_of(w, list), "\"collection\":\"to\""));
		ar_json_each (c, ar_json_get(list, "items"))
			if (!ar_str_eq(ar_json_text(c, "name", AR_STR_NONE), AR_STR("to")))
				GOOD(w, "data.delete_collection", "{'collection':'%s'}",
				     ar_strz(w->pool, ar_json_text(c, "name", AR_STR_NONE)));
		if (drop.rc != 0)
			GOOD(w, "data.delete_collection", "{'collection':'to'}");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_collection_is_made_and_read_back),
		cmocka_unit_test(what_is_no_definition_is_refused),
		cmocka_unit_test(fields_are_added_changed_and_renamed),
		cmocka_unit_test(long_texts_have_no_index),
		cmocka_unit_test(a_column_goes_only_when_it_is_named),
		cmocka_unit_test(a_collection_goes_with_its_records_only_when_asked),
		cmocka_unit_test(many_fields_are_more_than_one_table),
		cmocka_unit_test(only_who_may_defines),
		cmocka_unit_test(data_is_held_against_a_schema),
		cmocka_unit_test(the_document_knows_the_collections),
		cmocka_unit_test(the_demo_is_made_once),
		cmocka_unit_test(a_default_for_many_records),
		cmocka_unit_test(changes_that_race_leave_no_relation_to_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
