/*
 * change.c - records under change: tags that guard a change, the event of each, and collections
 * that change or go while records are made.
 */
#include "data/tests/world.h"

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
	const char *id;
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

static void late_changes(void *arg)
{
	struct late *late = arg;
	struct world own = *late->w;

	own.pool = ar_pool_new();
	BLAMES(&own, "n", "too-large", "data.update_record",
	       "{'collection':'tighter','id':'%s','data':{'n':50}}", late->id);
	BLAMES(&own, "n", "too-large", "data.replace_record",
	       "{'collection':'tighter','id':'%s','data':{'n':50}}", late->id);
	ar_pool_free(own.pool);
	late->ended = true;
}

/* Who waited for the change holds the record against the collection as it is then. */
TEST(a_change_is_held_against_the_collection_as_it_is)
{
	struct ar_pool *pool = ar_pool_new();
	struct late late = { .w = w };
	struct ar_scope scope;

	GOOD(w, "data.create_collection",
	     "{'name':'tighter','fields':[{'name':'n','type':'int','max':90}]}");
	late.id =
		id_of(w, GOOD(w, "data.create_record", "{'collection':'tighter','data':{'n':1}}"));
	ar_scope_init(&scope, w->tenant->db, pool);
	assert_ok(ar_exec(&scope,
			  "UPDATE data_collections SET revision = revision + 1, "
			  "definition = REPLACE(definition, '90', '9') WHERE name = ?",
			  AR_ARGS(AR_J_Z("tighter")), NULL));
	assert_ok(ar_tenant_changes(w->tenant, &data_slot, &scope));
	if (ar_db_dialect(w->tenant->db) == AR_SQLITE) /* the unit has the database */
		ar_go("late", late_changes, &late, AR_NO_DEADLINE);
	assert_ok(ar_commit(&scope));
	if (ar_db_dialect(w->tenant->db) != AR_SQLITE)
		ar_go("late", late_changes, &late, AR_NO_DEADLINE);
	while (!late.ended)
		assert_ok(ar_sleep(1));
	ar_pool_free(pool);
}

/* This loop has not heard of it, and never will. */
TEST(no_record_changes_under_an_old_collection)
{
	const char *const calls[] = { "data.update_record", "data.replace_record" };
	struct ar_json *record;
	struct ar_scope scope;

	GOOD(w, "data.create_collection",
	     "{'name':'deaf','fields':[{'name':'n','type':'int'}],'rules':{'update':''}}");
	record = GOOD(w, "data.create_record", "{'collection':'deaf','data':{'n':1}}");
	GOOD(w, "data.create_collection", "{'name':'other'}"); /* what was held before is not now */
	GOOD(w, "data.get_record", "{'collection':'deaf','id':'%s'}", id_of(w, record));
	ar_scope_init(&scope, w->tenant->db, w->pool);
	assert_ok(ar_exec(&scope,
			  "UPDATE data_collections SET revision = revision + 1 WHERE name = ?",
			  AR_ARGS(AR_J_Z("deaf")), NULL));
	assert_ok(ar_commit(&scope));
	for (size_t i = 0; i < AR_COUNT(calls); i++)
		assert_fails(CALL(w, calls[i], "{'collection':'deaf','id':'%s','data':{'n':2}}",
				  id_of(w, record)),
			     AR_E_CONFLICT);
	assert_fails(
		CALL(w, "data.delete_record", "{'collection':'deaf','id':'%s'}", id_of(w, record)),
		AR_E_CONFLICT);
	assert_string_equal(
		text_of(w, GOOD(w, "data.list_records", "{'collection':'deaf','fields':'n'}")),
		"{\"items\":[{\"n\":1}],\"nextCursor\":null,\"prevCursor\":null}");
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
		cmocka_unit_test(tags_guard_changes),
		cmocka_unit_test(every_change_has_its_event),
		cmocka_unit_test(a_collection_that_changes_meanwhile_is_a_conflict),
		cmocka_unit_test(a_change_is_held_against_the_collection_as_it_is),
		cmocka_unit_test(no_record_changes_under_an_old_collection),
		cmocka_unit_test(records_made_while_a_field_is_added_have_its_default),
		cmocka_unit_test(a_record_made_while_its_collection_is_deleted_is_not_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
