/*
 * rule.c - who may do what with a record: rules, also through relations, and permissions where
 * there is no rule.
 */
#include "data/tests/world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_say_who_may),
		cmocka_unit_test(without_a_rule_nobody_may_but_who_has_the_permission),
		cmocka_unit_test(rules_go_through_relations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
