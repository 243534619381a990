/*
 * record.c - tests of records: what is stored, what is refused and with which field, patches,
 * uniqueness, relations, sizes.
 */
#include "data/tests/world.h"

#define ALL                                                                                        \
	"{'name':'all','fields':[{'name':'t','type':'text','max':10,'pattern':'[a-zé ]*'},"       \
	"{'name':'i','type':'int','min':-5,'max':100},{'name':'f','type':'float','min':0},"        \
	"{'name':'b','type':'bool','default':true},{'name':'d','type':'date'},"                    \
	"{'name':'w','type':'datetime'},{'name':'j','type':'json','max':30},"                      \
	"{'name':'s','type':'select','values':['x','y']},"                                         \
	"{'name':'m','type':'select','values':['x','y'],'multiple':true,'max':2},"                 \
	"{'name':'e','type':'email','unique':true},{'name':'r','type':'relation',"                 \
	"'collection':'all'},{'name':'rs','type':'relation','collection':'all','multiple':true}]}"

#define ALL_FIELDS "t,i,f,b,d,w,j,s,m,e,r,rs"

static AR_YIELDS const char *stored(struct world *w, const struct ar_json *record,
				    const char *fields)
{
	return text_of(w, GOOD(w, "data.get_record", "{'collection':'all','id':'%s','fields':'%s'}",
			       id_of(w, record), fields));
}

TEST(every_type_is_kept_as_it_was)
{
	struct ar_json *r;

	GOOD(w, "data.create_collection", ALL);
	r = GOOD(w, "data.create_record",
		 "{'collection':'all','data':{'t':'aé b','i':7,'f':2,'b':false,'d':'2024-02-29',"
		 "'w':'2026-01-01T08:00:00+08:00','j':{'a':[1,null]},'s':'x','m':['y','x'],"
		 "'e':'A.b@Ex.CN'}}");
	assert_string_equal(stored(w, r, ALL_FIELDS),
			    "{\"t\":\"aé b\",\"i\":7,\"f\":2,\"b\":false,\"d\":\"2024-02-29\","
			    "\"w\":\"2026-01-01T00:00:00.000Z\",\"j\":{\"a\":[1,null]},\"s\":\"x\","
			    "\"m\":[\"y\",\"x\"],"
			    "\"e\":\"A.b@ex.cn\",\"r\":null,\"rs\":null}");
	/* what a create answers is what a read answers */
	assert_string_equal(text_of(w, r),
			    text_of(w, GOOD(w, "data.get_record", "{'collection':'all','id':'%s'}",
					    id_of(w, r))));
	r = GOOD(w, "data.create_record", "{'collection':'all','data':{}}");
	assert_string_equal(stored(w, r, "t,i,f,b,j,m"),
			    "{\"t\":null,\"i\":null,\"f\":null,\"b\":true,\"j\":null,\"m\":null}");
	r = GOOD(w, "data.create_record",
		 "{'collection':'all','data':{'j':'text','r':'%s','rs':['%s']}}", id_of(w, r),
		 id_of(w, r));
	assert_string_equal(stored(w, r, "j"), "{\"j\":\"text\"}");
}

TEST(what_does_not_fit_is_refused_with_its_field)
{
	GOOD(w, "data.create_collection", ALL);
#define BAD(path, code, data)                                                                      \
	BLAMES(w, path, code, "data.create_record", "{'collection':'all','data':%s}", data)
	BAD("t", "too-long", "{'t':'aaaaaaaaaaaa'}");
	BAD("t", "pattern", "{'t':'A'}");
	BAD("t", "type", "{'t':1}");
	BAD("i", "too-small", "{'i':-6}");
	BAD("i", "too-large", "{'i':101}");
	BAD("i", "type", "{'i':1.5}");
	BAD("f", "too-small", "{'f':-0.5}");
	BAD("b", "type", "{'b':1}");
	BAD("d", "date", "{'d':'2023-02-29'}");
	BAD("d", "year", "{'d':'0000-01-01'}");
	BAD("w", "time", "{'w':'soon'}");
	BAD("j", "too-long", "{'j':{'a':'0123456789012345678901234567890'}}");
	BAD("s", "enum", "{'s':'z'}");
	BAD("m.1", "enum", "{'m':['x','z']}");
	BAD("m", "too-many", "{'m':['x','y','x']}");
	BAD("e", "email", "{'e':'x'}");
	BAD("r", "id", "{'r':'x'}");
	BAD("r", "reference", "{'r':'01890000-0000-7000-8000-000000000000'}");
	BAD("rs", "reference", "{'rs':['01890000-0000-7000-8000-000000000000']}");
	BAD("id", "id", "{'id':'x'}");
	BAD("created", "read-only", "{'created':'2024-01-01'}");
	BAD("more", "unknown", "{'more':1}");
	BAD("data", "type", "[]");
#undef BAD
	assert_string_equal(items(w, GOOD(w, "data.list_records", "{'collection':'all'}"), "id"),
			    "");
	assert_fails(CALL(w, "data.create_record", "{'collection':'none','data':{}}"),
		     AR_E_NOT_FOUND);
}

TEST(all_that_does_not_fit_is_in_one_answer)
{
	static const char *const wrong[][2] = {
		{ "more", "unknown" },      { "t", "type" },   { "i", "too-large" },
		{ "created", "read-only" }, { "m.0", "enum" },
	};
	struct ar_json *r;

	GOOD(w, "data.create_collection", ALL);
	r = GOOD(w, "data.create_record", "{'collection':'all','data':{}}");
	assert_int_equal(CALL(w, "data.create_record",
			      "{'collection':'all','data':{'more':1,'t':1,'i':101,'created':"
			      "'2024-01-01','m':['z']}}"),
			 -1);
	for (size_t i = 0; i < AR_COUNT(wrong); i++)
		assert_blames(wrong[i][0], wrong[i][1]);
	assert_int_equal(CALL(w, "data.update_record",
			      "{'collection':'all','id':'%s','data':{'more':1,'t':1,'m':['z']}}",
			      id_of(w, r)),
			 -1);
	assert_blames("more", "unknown");
	assert_blames("t", "type");
	assert_blames("m.0", "enum");
	assert_int_equal(CALL(w, "data.update_record",
			      "{'collection':'all','id':'%s','data':{'more':1,'i':{'$inc':0.5},"
			      "'f':{'$inc':'x'}}}",
			      id_of(w, r)),
			 -1);
	assert_blames("more", "unknown");
	assert_blames("i.$inc", "type");
	assert_blames("f.$inc", "type");
	/* and nothing of the call before */
	assert_int_equal(CALL(w, "data.create_record", "{'collection':'all','data':{'less':1}}"),
			 -1);
	assert_blames("less", "unknown");
	assert_null(ar_err()->fields->next);
}

TEST(a_patch_is_merged)
{
	struct ar_json *r;
	const char *id;

	GOOD(w, "data.create_collection", ALL);
	r = GOOD(w, "data.create_record",
		 "{'collection':'all','data':{'t':'a','i':1,'j':{'a':1,'b':2}}}");
	id = id_of(w, r);
#define PATCH(data)                                                                                \
	GOOD(w, "data.update_record", "{'collection':'all','id':'%s','data':%s}", id, data)
	PATCH("{'i':{'$inc':5},'j':{'b':null,'c':3},'t':null}");
	assert_string_equal(stored(w, r, "t,i,j,b"),
			    "{\"t\":null,\"i\":6,\"b\":true,\"j\":{\"a\":1,\"c\":3}}");
	PATCH("{'f':{'$inc':1.5}}");
	PATCH("{'f':{'$inc':1}}");
	assert_string_equal(stored(w, r, "f"), "{\"f\":2.5}");
	/* a record sent back whole is fine */
	PATCH(text_of(w, GOOD(w, "data.get_record", "{'collection':'all','id':'%s'}", id)));
#undef PATCH
	BLAMES(w, "i", "too-large", "data.update_record",
	       "{'collection':'all','id':'%s','data':{'i':{'$inc':95}}}", id);
	BLAMES(w, "i", "too-large", "data.update_record",
	       "{'collection':'all','id':'%s','data':{'i':{'$inc':9223372036854775807}}}", id);
	BLAMES(w, "i.$inc", "type", "data.update_record",
	       "{'collection':'all','id':'%s','data':{'i':{'$inc':0.5}}}", id);
	BLAMES(w, "i", "type", "data.update_record",
	       "{'collection':'all','id':'%s','data':{'i':{'$mul':2}}}", id);
	r = GOOD(w, "data.replace_record", "{'collection':'all','id':'%s','data':{'t':'z'}}", id);
	assert_string_equal(
		stored(w, r, ALL_FIELDS),
		"{\"t\":\"z\",\"i\":null,\"f\":null,\"b\":true,\"d\":null,\"w\":null,\"j\":null,"
		"\"s\":null,\"m\":null,\"e\":null,\"r\":null,\"rs\":null}");
	assert_fails(
		CALL(w, "data.replace_record",
		     "{'collection':'all','id':'01890000-0000-7000-8000-000000000000','data':{}}"),
		AR_E_NOT_FOUND);
}

struct adder {
	struct world *w;
	const char *id;
	struct ar_cond *done;
	int *left;
};

static void add_one(void *arg)
{
	struct adder *a = arg;

	GOOD(a->w, "data.update_record", "{'collection':'c','id':'%s','data':{'n':{'$inc':1}}}",
	     a->id);
	if (--*a->left == 0)
		ar_cond_broadcast(a->done);
}

TEST(increments_are_not_lost)
{
	struct ar_cond done = { 0 };
	struct ar_json *r;
	int left = 25;

	GOOD(w, "data.create_collection", "{'name':'c','fields':[{'name':'n','type':'int'}]}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{}}");
	struct adder adder = { w, id_of(w, r), &done, &left };

	for (int i = 0; i < 25; i++)
		ar_go("adder", add_one, &adder, AR_NO_DEADLINE);
	while (left > 0)
		assert_ok(ar_cond_wait(&done));
	r = GOOD(w, "data.get_record", "{'collection':'c','id':'%s','fields':'n'}", adder.id);
	assert_string_equal(text_of(w, r), "{\"n\":25}");
}

TEST(uniqueness_is_a_conflict)
{
	struct ar_json *r;

	GOOD(w, "data.create_collection", ALL);
	r = GOOD(w, "data.create_record", "{'collection':'all','data':{'e':'a@b.cn'}}");
	BLAMES(w, "e", "unique", "data.create_record",
	       "{'collection':'all','data':{'e':'a@B.cn'}}");
	assert_true(ar_err()->def == DATA_E_UNIQUE && ar_err()->def->status == 409);
	BLAMES(w, "id", "unique", "data.create_record", "{'collection':'all','data':{'id':'%s'}}",
	       id_of(w, r));
	r = GOOD(w, "data.create_record", "{'collection':'all','data':{}}");
	BLAMES(w, "e", "unique", "data.update_record",
	       "{'collection':'all','id':'%s','data':{'e':'a@b.cn'}}", id_of(w, r));
	/* null is not a value */
	GOOD(w, "data.create_record", "{'collection':'all','data':{}}");
}

TEST(what_is_referred_to_stays)
{
	struct ar_json *a, *b;

	GOOD(w, "data.create_collection", ALL);
	a = GOOD(w, "data.create_record", "{'collection':'all','data':{}}");
	b = GOOD(w, "data.create_record", "{'collection':'all','data':{'r':'%s'}}", id_of(w, a));
	assert_fails(CALL(w, "data.delete_record", "{'collection':'all','id':'%s'}", id_of(w, a)),
		     DATA_E_REFERENCED);
	GOOD(w, "data.delete_record", "{'collection':'all','id':'%s'}", id_of(w, b));
	GOOD(w, "data.delete_record", "{'collection':'all','id':'%s'}", id_of(w, a));
	assert_fails(CALL(w, "data.delete_record", "{'collection':'all','id':'%s'}", id_of(w, a)),
		     AR_E_NOT_FOUND);
}

TEST(large_records_are_kept_or_refused_whole)
{
	struct ar_buf *buf = ar_buf_new(w->pool, 4 << 20);
	struct ar_json *r;
	const char *id;

	GOOD(w, "data.create_collection",
	     "{'name':'all','fields':[{'name':'j','type':'json'},{'name':'n','type':'int'}]}");
	ar_buf_z(buf, "{'collection':'all','data':{'j':{'a':[0");
	for (int i = 0; i < 80000; i++)
		ar_buf_z(buf, ",1");
	ar_buf_z(buf, "]}}}");
	r = good(w, "data.create_record", ar_strz(w->pool, ar_buf_view(buf)));
	id = id_of(w, r);
	/* by and by more values than one text may have */
	GOOD(w, "data.update_record", "{'collection':'all','id':'%s','data':{'j':{'k':%.*s}}}", id,
	     AR_FMT(ar_json_print(w->pool, ar_json_path(r, AR_STR("j.a")))));
	GOOD(w, "data.update_record", "{'collection':'all','id':'%s','data':{'n':1,'j':{'b':2}}}",
	     id);
	r = GOOD(w, "data.get_record", "{'collection':'all','id':'%s'}", id);
	assert_int_equal(ar_json_get(r, "j")->count, 3);
	assert_int_equal(ar_json_path(r, AR_STR("j.k"))->count, 80001);
	ar_buf_done(buf);
	ar_buf_init(buf, 4 << 20);
	ar_buf_z(buf, "{'collection':'all','data':{'j':'");
	for (int i = 0; i < (1 << 20) - 8; i++)
		ar_buf_char(buf, 'x');
	ar_buf_z(buf, "'}}");
	assert_fails(call(w, "data.create_record", ar_strz(w->pool, ar_buf_view(buf)), NULL),
		     AR_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_kept_as_it_was),
		cmocka_unit_test(what_does_not_fit_is_refused_with_its_field),
		cmocka_unit_test(all_that_does_not_fit_is_in_one_answer),
		cmocka_unit_test(a_patch_is_merged),
		cmocka_unit_test(increments_are_not_lost),
		cmocka_unit_test(uniqueness_is_a_conflict),
		cmocka_unit_test(what_is_referred_to_stays),
		cmocka_unit_test(large_records_are_kept_or_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
