/*
 * people.c - tests of relations to the tenant's users: who they are to records and rules, who goes.
 */
#include "auth/tests/people.h"
#include "data/data.h"
#include "data/data_int.h"

static const struct ar_module *const modules[] = { &auth_module, &data_module, NULL };

static void run(void (*body)(void))
{
	wire_run(modules, body);
}

#define TEST(name) TEST_IN(name, run, void)

#define RECORDS "/collections/posts/records"

static void posts(struct wire_tenant *t, const char *admin)
{
	assert_answer(wire(t, admin, "POST /collections",
			   "{\"name\":\"posts\",\"fields\":[{\"name\":\"title\",\"type\":\"text\"},"
			   "{\"name\":\"owner\",\"type\":\"relation\",\"collection\":\"users\"},"
			   "{\"name\":\"readers\",\"type\":\"relation\",\"collection\":\"users\","
			   "\"multiple\":true}],"
			   "\"rules\":{\"view\":\"owner = @auth.id\",\"create\":\"\","
			   "\"list\":\"owner.email ~ 'ann@%' && owner.id = @auth.id\"}}"),
		      201, "");
}

static struct answer post(struct wire_tenant *t, const char *who, const char *owner,
			  const char *reader)
{
	return wire(t, who, "POST " RECORDS,
		    ar_printf(t->pool, "{\"title\":\"t\",\"owner\":\"%s\",\"readers\":[\"%s\"]}",
			      owner, reader));
}

static struct answer list(struct wire_tenant *t, const char *who, const char *query)
{
	return wire(t, who, ar_printf(t->pool, "GET " RECORDS "?fields=title%s", query), "");
}

TEST(records_belong_to_users)
{
	static const char nobody[] = "01a21480-81c8-70dc-ad0d-d4cf9f81a4a0";
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *ann = user_with(&t, admin, "ann", "[]");
	const char *bob = user_with(&t, admin, "bob", "[]"), *ann_id = id_of(&t, ann);
	struct answer a;

	posts(&t, admin);
	a = post(&t, admin, nobody, ann_id);
	assert_answer(a, 422, "invalid");
	assert_string_equal(wire_text(&t, &a, "fields.owner.code"), "reference");
	a = post(&t, admin, ann_id, nobody);
	assert_answer(a, 422, "invalid");
	assert_string_equal(wire_text(&t, &a, "fields.readers.code"), "reference");
	a = post(&t, ann, ann_id, ann_id);
	assert_answer(a, 201, "");
	const char *id = wire_text(&t, &a, "id"), *path = ar_printf(t.pool, RECORDS "/%s", id);

	assert_answer(wire(&t, ann, ar_printf(t.pool, "GET %s", path), ""), 200, "");
	assert_answer(wire(&t, bob, ar_printf(t.pool, "GET %s", path), ""), 404, "not-found");
	a = list(&t, ann, "");
	assert_string_equal(wire_text(&t, &a, "items"), "[{\"title\":\"t\"}]");
	a = list(&t, bob, "");
	assert_string_equal(wire_text(&t, &a, "items"), "[]");

	/* What is known of users by way of records is known to who may read users. */
	a = list(&t, admin, "&filter=owner.email%20~%20%22ann%22");
	assert_string_equal(wire_text(&t, &a, "items"), "[{\"title\":\"t\"}]");
	assert_answer(list(&t, ann, "&filter=owner.email%20~%20%22ann%22"), 422,
		      "expr/unknown-field");
	assert_answer(list(&t, admin, "&filter=owner.password%20!=%20%22%22"), 422,
		      "expr/unknown-field");
	assert_answer(list(&t, admin, "&filter=owner.created%20!=%20%22%22"), 422,
		      "expr/unknown-field");
	wire_release(&t);
}

TEST(who_is_referred_to_stays)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *ann = user_with(&t, admin, "ann", "[]");
	const char *ann_id = id_of(&t, ann),
		   *gone = ar_printf(t.pool, "DELETE /auth/users/%s", ann_id);
	struct answer a;

	posts(&t, admin);
	a = post(&t, admin, ann_id, ann_id);
	assert_answer(wire(&t, admin, gone, ""), 409, "auth/user-referenced");
	assert_answer(wire(&t, ann, "GET /auth/me", ""), 200, "");
	assert_answer(wire(&t, admin,
			   ar_printf(t.pool, "DELETE " RECORDS "/%s", wire_text(&t, &a, "id")), ""),
		      204, "");
	assert_answer(wire(&t, admin, gone, ""), 204, "");
	wire_release(&t);
}

/* The name means the users: no collection takes it. A field may be added later. */
TEST(the_name_is_reserved)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct answer a = wire(&t, admin, "POST /collections", "{\"name\":\"users\"}");

	assert_answer(a, 422, "invalid");
	assert_string_equal(wire_text(&t, &a, "fields.name.code"), "reserved");
	assert_answer(wire(&t, admin, "POST /collections", "{\"name\":\"notes\"}"), 201, "");
	assert_answer(wire(&t, admin, "PATCH /collections/notes",
			   "{\"fields\":[{\"name\":\"by\",\"type\":\"relation\","
			   "\"collection\":\"users\"}]}"),
		      200, "");
	a = wire(&t, admin, "POST /collections/notes/records",
		 ar_printf(t.pool, "{\"by\":\"%s\"}", id_of(&t, admin)));
	assert_answer(a, 201, "");
	assert_answer(wire(&t, admin, "GET /collections/users", ""), 404, "not-found");
	wire_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_belong_to_users),
		cmocka_unit_test(who_is_referred_to_stays),
		cmocka_unit_test(the_name_is_reserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
