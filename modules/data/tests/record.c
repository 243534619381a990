/*
 * record.c - tests of records: what is stored, what is refused and with which field, rules, tags,
 * events, relations.
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

/* ---- rules ---- */

static AR_YIELDS void make_notes(struct world *w)
{
	struct ar_json *input = json(
		w, "{\"name\":\"notes\",\"fields\":[{\"name\":\"owner\",\"type\":\"text\"},"
		   "{\"name\":\"open\",\"type\":\"bool\"},{\"name\":\"text\",\"type\":\"text\"}],"
		   "\"rules\":{\"list\":\"owner = @auth.id || open = true\","
		   "\"view\":\"owner = @auth.id || open = true\","
		   "\"create\":\"owner = @auth.id && @auth.roles ?= 'staff'\","
		   "\"update\":\"owner = @auth.id && !has(@request.data.owner)\","
		   "\"delete\":\"owner = @auth.id && @request.action = 'data.delete_record'\"}}");
	struct ar_invoke invoke = { .tenant = w->tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_LUA,
				    .action = AR_STR("data.create_collection"),
				    .input = input };
	struct ar_json *ignored;

	assert_ok(ar_action_invoke(w->pool, &invoke, &ignored));
}

TEST(rules_say_who_may)
{
	struct ar_json *mine, *open;
	const char *id;

	make_notes(w);
	w->who = &w->ann;
	mine = GOOD(w, "data.create_record",
		    "{'collection':'notes','data':{'owner':'ann','text':'m'}}");
	open = GOOD(w, "data.create_record",
		    "{'collection':'notes','data':{'owner':'ann','open':true,'text':'o'}}");
	id = id_of(w, mine);
	assert_fails(CALL(w, "data.create_record", "{'collection':'notes','data':{'owner':'bob'}}"),
		     AR_E_FORBIDDEN);
	assert_fails(CALL(w, "data.update_record",
			  "{'collection':'notes','id':'%s','data':{'owner':'bob'}}", id),
		     AR_E_FORBIDDEN);
	GOOD(w, "data.update_record", "{'collection':'notes','id':'%s','data':{'text':'n'}}", id);

	w->who = &w->bob;
	assert_string_equal(
		items(w, GOOD(w, "data.list_records", "{'collection':'notes'}"), "text"), "o");
	assert_fails(CALL(w, "data.get_record", "{'collection':'notes','id':'%s'}", id),
		     AR_E_NOT_FOUND);
	GOOD(w, "data.get_record", "{'collection':'notes','id':'%s'}", id_of(w, open));
	/* what is not seen is not there, what is seen is forbidden */
	assert_fails(CALL(w, "data.update_record",
			  "{'collection':'notes','id':'%s','data':{'text':'x'}}", id),
		     AR_E_NOT_FOUND);
	assert_fails(CALL(w, "data.delete_record", "{'collection':'notes','id':'%s'}", id),
		     AR_E_NOT_FOUND);
	assert_fails(
		CALL(w, "data.delete_record", "{'collection':'notes','id':'%s'}", id_of(w, open)),
		AR_E_FORBIDDEN);

	w->who = &ar_who_anyone; /* @auth.id is null: owns nothing */
	GOOD(w, "data.get_record", "{'collection':'notes','id':'%s'}", id_of(w, open));
	assert_fails(CALL(w, "data.create_record", "{'collection':'notes','data':{}}"),
		     AR_E_UNAUTHORIZED);
	assert_string_equal(
		items(w, GOOD(w, "data.list_records", "{'collection':'notes'}"), "text"), "o");

	w->who = &w->ann;
	GOOD(w, "data.delete_record", "{'collection':'notes','id':'%s'}", id);
	w->who = &ar_who_system;
	assert_string_equal(
		items(w, GOOD(w, "data.list_records", "{'collection':'notes'}"), "text"), "o");
}

TEST(without_a_rule_nobody_may_but_who_has_the_permission)
{
	struct ar_json *r, *reader_permissions;

	GOOD(w, "data.create_collection", "{'name':'c','fields':[{'name':'a','type':'int'}]}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{'a':1}}");
	for (int i = 0; i < 2; i++) {
		const struct ar_err_def *def = i == 0 ? AR_E_FORBIDDEN : AR_E_UNAUTHORIZED;

		w->who = i == 0 ? &w->ann : &ar_who_anyone;
		assert_fails(CALL(w, "data.list_records", "{'collection':'c'}"), def);
		assert_fails(
			CALL(w, "data.get_record", "{'collection':'c','id':'%s'}", id_of(w, r)),
			def);
		assert_fails(CALL(w, "data.create_record", "{'collection':'c','data':{}}"), def);
		assert_fails(CALL(w, "data.update_record",
				  "{'collection':'c','id':'%s','data':{'a':2}}", id_of(w, r)),
			     def);
		assert_fails(
			CALL(w, "data.delete_record", "{'collection':'c','id':'%s'}", id_of(w, r)),
			def);
	}
	reader_permissions = json(w, "[\"data.records.read\"]");
	w->who = ar_who_limited(w->pool, AR_WHO_FUNCTION, AR_STR("f"), reader_permissions);
	GOOD(w, "data.get_record", "{'collection':'c','id':'%s'}", id_of(w, r));
	assert_fails(CALL(w, "data.create_record", "{'collection':'c','data':{}}"), AR_E_FORBIDDEN);
}

TEST(rules_go_through_relations)
{
	struct ar_json *team, *task, *other;

	GOOD(w, "data.create_collection",
	     "{'name':'teams','fields':[{'name':'lead','type':'text'},{'name':'secret','type':'"
	     "text'}]}");
	GOOD(w, "data.create_collection",
	     "{'name':'tasks','fields':[{'name':'team','type':'relation','collection':'teams'},"
	     "{'name':'n','type':'int'}],'rules':{'list':'team.lead = @auth.id',"
	     "'view':'team.lead = @auth.id','create':'team.lead = @auth.id'}}");
	team = GOOD(w, "data.create_record",
		    "{'collection':'teams','data':{'lead':'ann','secret':'x'}}");
	other = GOOD(w, "data.create_record", "{'collection':'teams','data':{'lead':'bob'}}");
	w->who = &w->ann;
	task = GOOD(w, "data.create_record", "{'collection':'tasks','data':{'team':'%s','n':1}}",
		    id_of(w, team));
	assert_fails(CALL(w, "data.create_record", "{'collection':'tasks','data':{'team':'%s'}}",
			  id_of(w, other)),
		     AR_E_FORBIDDEN);
	GOOD(w, "data.get_record", "{'collection':'tasks','id':'%s'}", id_of(w, task));
	assert_string_equal(items(w, GOOD(w, "data.list_records", "{'collection':'tasks'}"), "n"),
			    "1");
	/* a filter must not tell what a view would not */
	assert_fails(CALL(w, "data.list_records",
			  "{'collection':'tasks','filter':\"team.secret ~ \\\"x\\\"\"}"),
		     AR_E_EXPR_FIELD);
	w->who = &w->bob;
	assert_fails(CALL(w, "data.get_record", "{'collection':'tasks','id':'%s'}", id_of(w, task)),
		     AR_E_NOT_FOUND);
	assert_string_equal(items(w, GOOD(w, "data.list_records", "{'collection':'tasks'}"), "n"),
			    "");
	w->who = &ar_who_system;
	assert_string_equal(items(w,
				  GOOD(w, "data.list_records",
				       "{'collection':'tasks','filter':\"team.lead = "
				       "{:who}\",'params':{'who':'ann'}}"),
				  "n"),
			    "1");
}

/* ---- tags and events ---- */

struct tagged {
	struct ar_str etag;
	int status;
};

/* The call as HTTP makes it: its headers can be seen. */
static AR_YIELDS int enter(struct world *w, const char *action, const char *input,
			   struct tagged *ret)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_call c = {
		.pool = pool, .tenant = w->tenant, .who = w->who, .face = AR_FACE_REST
	};
	int rc;

	for (char *p = (char *)input; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	c.input = json(w, input);
	ar_scope_init(&c.scope, w->tenant->db, pool);
	ar_err_clear();
	rc = ar_action_enter(&c, ar_action_find(ar_str(action)));
	ret->status = c.reply.status;
	for (size_t i = 0; rc == 0 && i < c.reply.nheaders; i++)
		if (strcmp(c.reply.headers[i].name, "ETag") == 0)
			ret->etag = ar_str_dup(w->pool, c.reply.headers[i].value);
	ar_pool_free(pool);
	return rc;
}
#define ENTER(w, action, ret, input, ...)                                                          \
	enter((w), (action), ar_printf((w)->pool, (input), ##__VA_ARGS__), (ret))

static const char *escaped(struct world *w, struct ar_str etag)
{
	return ar_printf(w->pool, "\\\"%.*s\\\"", (int)etag.n - 2, etag.p + 1);
}

TEST(tags_guard_changes)
{
	struct tagged first, second, read;
	struct ar_json *r;
	const char *id;

	GOOD(w, "data.create_collection", "{'name':'c','fields':[{'name':'a','type':'int'}]}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{'a':1}}");
	id = id_of(w, r);
	assert_ok(ENTER(w, "data.get_record", &first, "{'collection':'c','id':'%s'}", id));
	assert_int_equal(first.status, 200);
	assert_ok(ENTER(w, "data.get_record", &read,
			"{'collection':'c','id':'%s','ifNoneMatch':'%s'}", id,
			escaped(w, first.etag)));
	assert_int_equal(read.status, 304);
	/* nothing changed: the tag stays */
	assert_ok(ENTER(w, "data.update_record", &second,
			"{'collection':'c','id':'%s','data':{'a':1}}", id));
	assert_true(ar_str_eq(first.etag, second.etag));
	assert_ok(ENTER(w, "data.update_record", &second,
			"{'collection':'c','id':'%s','data':{'a':2},'ifMatch':'%s'}", id,
			escaped(w, first.etag)));
	assert_false(ar_str_eq(first.etag, second.etag));
	assert_fails(ENTER(w, "data.update_record", &read,
			   "{'collection':'c','id':'%s','data':{'a':3},'ifMatch':'%s'}", id,
			   escaped(w, first.etag)),
		     AR_E_PRECONDITION);
	assert_fails(ENTER(w, "data.delete_record", &read,
			   "{'collection':'c','id':'%s','ifMatch':'%s'}", id,
			   escaped(w, first.etag)),
		     AR_E_PRECONDITION);
	r = GOOD(w, "data.get_record", "{'collection':'c','id':'%s','fields':'a'}", id);
	assert_string_equal(text_of(w, r), "{\"a\":2}");
	assert_ok(ENTER(w, "data.delete_record", &read,
			"{'collection':'c','id':'%s','ifMatch':'%s'}", id,
			escaped(w, second.etag)));
	assert_int_equal(read.status, 204);
}

/* The log of the bus, oldest first. */
static AR_YIELDS const char *events(struct world *w, const char *topic)
{
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_buf *buf = ar_buf_new(w->pool, 1 << 20);

	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_query(&scope, &rows, "SELECT data FROM bus_event WHERE topic = ? ORDER BY seq",
			   AR_ARGS(AR_J_Z(topic))));
	while (ar_rows_next(&rows)) {
		struct ar_json *data = json(w, ar_strz(w->pool, ar_col_str(&rows, 0)));
		struct ar_json *record = ar_json_get(data, "record");

		ar_buf_printf(buf, "%.*s", AR_FMT(ar_json_text(data, "collection", AR_STR("?"))));
		if (record != NULL)
			ar_buf_printf(buf, ":%lld", (long long)ar_json_number(record, "a", -1));
		if (ar_json_get(data, "changed") != NULL)
			ar_buf_str(buf, ar_json_print(w->pool, ar_json_get(data, "changed")));
		ar_buf_char(buf, ' ');
	}
	return ar_strz(w->pool, ar_buf_view(buf));
}

TEST(every_change_has_its_event)
{
	struct ar_json *r;
	const char *id;

	GOOD(w, "data.create_collection",
	     "{'name':'c','fields':[{'name':'a','type':'int','max':9}]}");
	r = GOOD(w, "data.create_record", "{'collection':'c','data':{'a':1}}");
	id = id_of(w, r);
	GOOD(w, "data.update_record", "{'collection':'c','id':'%s','data':{'a':2}}", id);
	GOOD(w, "data.update_record", "{'collection':'c','id':'%s','data':{'a':2}}", id);
	BLAMES(w, "a", "too-large", "data.update_record",
	       "{'collection':'c','id':'%s','data':{'a':10}}", id);
	GOOD(w, "data.delete_record", "{'collection':'c','id':'%s'}", id);
	GOOD(w, "data.update_collection", "{'collection':'c','rules':{'list':''}}");
	GOOD(w, "data.delete_collection", "{'collection':'c'}");
	assert_string_equal(events(w, "data.record.created"), "c:1 ");
	assert_string_equal(events(w, "data.record.updated"), "c:2[\"a\"] ");
	assert_string_equal(events(w, "data.record.deleted"), "c:2 ");
	assert_string_equal(events(w, "data.collection.created"), "c ");
	assert_string_equal(events(w, "data.collection.updated"), "c ");
	assert_string_equal(events(w, "data.collection.deleted"), "c ");
}

/* ---- a collection that changes under a call ---- */

struct late {
	struct world *w;
	int rc;
	const struct ar_err_def *def;
	bool ended;
};

static void late_create(void *arg)
{
	struct late *late = arg;

	late->rc = CALL(late->w, "data.create_record",
			"{'collection':'moving','data':{'kept':'x','gone':'y'}}");
	late->def = late->rc != 0 ? ar_err()->def : NULL;
	late->ended = true;
}

/* The change is on disk, and this loop has not heard of it yet. */
TEST(a_collection_that_changes_meanwhile_is_a_conflict)
{
	struct ar_pool *pool = ar_pool_new();
	struct late late = { .w = w };
	struct ar_json *record;
	struct ar_scope scope;

	GOOD(w, "data.create_collection",
	     "{'name':'moving','fields':[{'name':'kept','type':'text'},{'name':'gone','type':'text'"
	     "}]}");
	record = GOOD(w, "data.create_record", "{'collection':'moving','data':{'kept':'a'}}");
	ar_scope_init(&scope, w->tenant->db, pool);
	assert_ok(
		ar_exec(&scope, "ALTER TABLE \"c_moving\" DROP COLUMN \"gone\"", AR_NO_ARGS, NULL));
	assert_ok(ar_exec(&scope,
			  "UPDATE data_collections SET revision = revision + 1 WHERE name = ?",
			  AR_ARGS(AR_J_Z("moving")), NULL));
	ar_go("late", late_create, &late, AR_NO_DEADLINE);
	assert_ok(ar_commit(&scope));
	while (!late.ended)
		assert_ok(ar_sleep(1));
	assert_int_equal(late.rc, -1);
	assert_string_equal(late.def->slug, "conflict");
	assert_fails(CALL(w, "data.update_record",
			  "{'collection':'moving','id':'%s','data':{'gone':'z'}}",
			  id_of(w, record)),
		     AR_E_CONFLICT);
	assert_fails(CALL(w, "data.delete_record", "{'collection':'moving','id':'%s'}",
			  id_of(w, record)),
		     AR_E_CONFLICT);
	assert_fails(
		CALL(w, "data.get_record", "{'collection':'moving','id':'%s'}", id_of(w, record)),
		AR_E_CONFLICT);
	assert_fails(CALL(w, "data.list_records", "{'collection':'moving'}"), AR_E_CONFLICT);
	ar_pool_free(pool);
}

struct creator {
	struct world *w;
	int made, ended;
};

static void create_some(void *arg)
{
	struct creator *creator = arg;
	struct world own = *creator->w;

	own.pool = ar_pool_new();
	for (int i = 0; i < 40; i++) {
		if (CALL(&own, "data.create_record",
			 "{'collection':'growing','data':{'n':%d,'tags':['x']}}", i) == 0)
			creator->made++;
		else
			assert_true(ar_err_is(AR_E_CONFLICT));
		ar_err_clear();
		assert_ok(ar_sleep(1));
	}
	ar_pool_free(own.pool);
	creator->ended++;
}

/* A record is of the collection before the field, and filled, or of the one after it. */
TEST(records_made_while_a_field_is_added_have_its_default)
{
	enum { CREATORS = 8, FIELDS = 12 };
	struct creator creator = { .w = w };
	struct ar_json *list;

	GOOD(w, "data.create_collection",
	     "{'name':'growing','fields':[{'name':'n','type':'int'},"
	     "{'name':'tags','type':'select','multiple':true,'values':['x','y']}]}");
	for (int i = 0; i < CREATORS; i++)
		ar_go("creator", create_some, &creator, AR_NO_DEADLINE);
	for (int i = 0; i < FIELDS; i++) {
		assert_ok(ar_sleep(4));
		GOOD(w, "data.update_collection",
		     "{'collection':'growing','fields':[{'name':'f%d','type':'%s','default':%s}]}",
		     i, i % 2 ? "int" : "text", i % 2 ? "7" : "'it\\u0027s'");
	}
	while (creator.ended < CREATORS)
		assert_ok(ar_sleep(1));
	assert_int_equal(creator.made, CREATORS * 40); /* nobody was told to try again */
	list = GOOD(w, "data.list_records", "{'collection':'growing','limit':500}");
	assert_int_equal(ar_json_get(list, "items")->count, CREATORS * 40);
	ar_json_each (record, ar_json_get(list, "items"))
		for (int i = 0; i < FIELDS; i++) {
			const struct ar_json *v = ar_json_get(record, ar_printf(w->pool, "f%d", i));

			if (v == NULL || v->type == AR_NULL)
				fail_msg("f%d is missing in %s", i, text_of(w, record));
		}
}

struct maker {
	struct world *w;
	int tries, made;
	bool stop, ended;
};

static void create_until(void *arg)
{
	struct maker *maker = arg;
	struct world own = *maker->w;

	own.pool = ar_pool_new();
	while (!maker->stop) {
		maker->tries++;
		maker->made += CALL(&own, "data.create_record",
				    "{'collection':'leaving','data':{'n':1}}") == 0;
		ar_err_clear();
		ar_sleep(0);
	}
	ar_pool_free(own.pool);
	maker->ended = true;
}

/* "Not empty" is asked of what the table holds when it goes. */
TEST(a_record_made_while_its_collection_is_deleted_is_not_lost)
{
	for (int round = 0; round < 12; round++) {
		struct maker maker = { .w = w };
		int rc;

		GOOD(w, "data.create_collection",
		     "{'name':'leaving','fields':[{'name':'n','type':'int'}]}");
		ar_go("maker", create_until, &maker, AR_NO_DEADLINE);
		rc = CALL(w, "data.delete_collection", "{'collection':'leaving'}");
		maker.stop = true;
		while (!maker.ended)
			assert_ok(ar_sleep(1));
		if (rc == 0) {
			assert_int_equal(maker.made, 0);
			continue;
		}
		assert_true(ar_err_is(DATA_E_NOT_EMPTY));
		ar_err_clear();
		GOOD(w, "data.delete_collection", "{'collection':'leaving','deleteRecords':true}");
	}
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
		cmocka_unit_test(rules_say_who_may),
		cmocka_unit_test(without_a_rule_nobody_may_but_who_has_the_permission),
		cmocka_unit_test(rules_go_through_relations),
		cmocka_unit_test(tags_guard_changes),
		cmocka_unit_test(every_change_has_its_event),
		cmocka_unit_test(a_collection_that_changes_meanwhile_is_a_conflict),
		cmocka_unit_test(records_made_while_a_field_is_added_have_its_default),
		cmocka_unit_test(a_record_made_while_its_collection_is_deleted_is_not_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
