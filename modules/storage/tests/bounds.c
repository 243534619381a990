/*
 * bounds.c - who may read and write objects, the limits of buckets, also with many at once, and
 * what stays on the disk.
 */
#include "storage/tests/rig.h"

/* ---- who may ---- */

TEST(rules)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const char *li = user_with(&t, admin, "li", "[]"), *wu = user_with(&t, admin, "wu", "[]");
	const char *reader = user_with(&t, admin, "reader", "[\"storage.objects.read\"]");
	const char *writer = user_with(&t, admin, "writer", "[\"storage.objects.write\"]");
	const struct {
		const char *who, *method, *path;
		int status;
		const char *code;
	} rows[] = {
		/* closed: nobody without the right */
		{ NULL, "PUT", "closed/objects/x", 401, "unauthorized" },
		{ li, "PUT", "closed/objects/x", 403, "forbidden" },
		{ reader, "PUT", "closed/objects/x", 403, "forbidden" },
		{ writer, "PUT", "closed/objects/x", 201, "" },
		{ NULL, "GET", "closed/objects/x", 401, "unauthorized" },
		{ NULL, "GET", "closed/objects/nothere", 401, "unauthorized" },
		{ li, "GET", "closed/objects/x", 404, "not-found" },
		{ li, "GET", "closed/objects/nothere", 404, "not-found" },
		{ writer, "GET", "closed/objects/x", 404, "not-found" },
		{ reader, "GET", "closed/objects/x", 200, "" },
		{ li, "GET", "closed/objects", 403, "forbidden" },
		{ NULL, "GET", "closed/objects", 401, "unauthorized" },
		{ reader, "GET", "closed/objects", 200, "" },
		{ li, "DELETE", "closed/objects/x", 403, "forbidden" },
		{ reader, "DELETE", "closed/objects/x", 403, "forbidden" },
		/* a bucket that is not there looks closed to strangers */
		{ NULL, "GET", "nothere/objects/x", 401, "unauthorized" },
		{ NULL, "PUT", "nothere/objects/x", 401, "unauthorized" },
		{ li, "GET", "nothere/objects/x", 404, "not-found" },
		/* open to read, each writes its own */
		{ NULL, "PUT", "shared/objects/a", 401, "unauthorized" },
		{ li, "PUT", "shared/objects/a", 201, "" },
		{ wu, "PUT", "shared/objects/a", 403, "forbidden" },
		{ li, "PUT", "shared/objects/a", 200, "" },
		{ NULL, "GET", "shared/objects/a", 200, "" },
		{ NULL, "GET", "shared/objects/nothere", 404, "not-found" },
		{ wu, "DELETE", "shared/objects/a", 403, "forbidden" },
		{ wu, "DELETE", "shared/objects/nothere", 403, "forbidden" },
		{ wu, "PUT", "shared/objects/b", 201, "" },
		{ li, "DELETE", "shared/objects/a", 204, "" },
		{ li, "PUT", "shared/objects/c", 201, "" },
		/* buckets themselves */
		{ li, "GET", "closed", 403, "forbidden" },
		{ li, "DELETE", "closed", 403, "forbidden" },
		{ writer, "GET", "closed", 403, "forbidden" },
	};
	struct answer a;

	bucket(&t, admin, "{\"bucket\":\"closed\"}");
	bucket(&t, admin,
	       "{\"bucket\":\"shared\",\"rules\":{\"read\":\"\",\"write\":\"owner = @auth.id\","
	       "\"delete\":\"owner = @auth.id\",\"list\":\"owner = @auth.id || key ~ "
	       "\\\"c\\\"\"}}");
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		a = wire(&t, rows[i].who,
			 ar_printf(t.pool, "%s /buckets/%s", rows[i].method, rows[i].path),
			 strcmp(rows[i].method, "PUT") == 0 ? "x" : "");
		if (a.status != rows[i].status)
			print_message("row %zu: %s %s\n", i, rows[i].method, rows[i].path);
		assert_answer(a, rows[i].status, rows[i].code);
	}
	/* the list rule is a filter: wu sees its own and c */
	a = wire(&t, wu, "GET /buckets/shared/objects", "");
	assert_answer(a, 200, "");
	assert_int_equal(ar_json_get(a.json, "items")->count, 2);
	assert_string_equal(wire_text(&t, &a, "items.0.key"), "b");
	a = wire(&t, NULL, "GET /buckets/shared/objects?count=exact", "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "total"), "1");

	/* a rule that is changed counts for the next request */
	assert_answer(wire(&t, admin, "PATCH /buckets/shared", "{\"rules\":{\"read\":null}}"), 200,
		      "");
	assert_answer(get(&t, NULL, "shared/objects/b"), 401, "unauthorized");
	assert_answer(get(&t, wu, "shared/objects/b"), 404, "not-found");
	wire_release(&t);
}

TEST(a_users_bucket)
{
	struct wire_tenant t = wire_tenant("acme"), b = wire_tenant("beta");
	const char *admin = admin_token(&t), *li = user_with(&t, admin, "li", "[]");
	const char *wu = user_with(&t, admin, "wu", "[]");
	const char *path = ar_printf(t.pool, "user-%s/objects/face.png", id_of(&t, li));

	bucket(&t, admin, ar_printf(t.pool, "{\"userId\":\"%s\"}", id_of(&t, li)));
	assert_answer(put(&t, li, path, "png"), 201, "");
	assert_answer(get(&t, li, path), 200, "");
	assert_answer(get(&t, wu, path), 404, "not-found");
	assert_answer(put(&t, wu, path, "png"), 403, "forbidden");
	assert_answer(wire(&t, li, ar_printf(t.pool, "DELETE /buckets/%s", path), ""), 204, "");
	/* in another tenant it is nothing, also for who is mighty there */
	assert_answer(get(&b, admin_token(&b), path), 404, "not-found");
	assert_answer(get(&b, li, path), 401, "unauthorized");
	wire_release(&b);
	wire_release(&t);
}

/* ---- limits ---- */

TEST(limits)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct ar_header type = { AR_STR("content-type"), AR_STR("image/PNG; q=1") };
	struct wire_extra extra = { .bearer = admin, .headers = &type, .nheaders = 1 };

	bucket(&t, admin, "{\"bucket\":\"b\",\"maxSize\":10,\"maxObjects\":3,\"maxBytes\":20}");
	assert_answer(put(&t, admin, "b/objects/a", "0123456789x"), 413, "storage/too-large");
	assert_answer(put(&t, admin, "b/objects/a", "0123456789"), 201, "");
	assert_answer(put(&t, admin, "b/objects/b", "0123456789"), 201, "");
	assert_answer(put(&t, admin, "b/objects/c", "x"), 409, "storage/bucket-full");
	assert_answer(put(&t, admin, "b/objects/b", "0"), 200, "");
	assert_answer(put(&t, admin, "b/objects/c", "x"), 201, "");
	assert_answer(put(&t, admin, "b/objects/d", ""), 409, "storage/bucket-full");
	files_become("acme", 3);
	/* a limit below what is there stops what grows, not what shrinks */
	assert_answer(wire(&t, admin, "PATCH /buckets/b", "{\"maxObjects\":1,\"maxBytes\":1}"), 200,
		      "");
	assert_answer(put(&t, admin, "b/objects/a", "012345678"), 200, "");
	assert_answer(put(&t, admin, "b/objects/a", "0123456789"), 409, "storage/bucket-full");
	assert_answer(wire(&t, admin, "DELETE /buckets/b/objects/a", ""), 204, "");
	assert_answer(wire(&t, admin, "DELETE /buckets/b/objects/c", ""), 204, "");

	bucket(&t, admin, "{\"bucket\":\"pics\",\"types\":[\"image/*\",\"text/css\"]}");
	assert_answer(wire_with(&t, "PUT /buckets/pics/objects/a", "x", &extra), 201, "");
	type.value = AR_STR("imagex/png");
	assert_answer(wire_with(&t, "PUT /buckets/pics/objects/b", "x", &extra), 415,
		      "storage/type");
	type.value = AR_STR("text/css;charset=utf-8");
	assert_answer(wire_with(&t, "PUT /buckets/pics/objects/b", "x", &extra), 201, "");
	type.value = AR_STR("text/html");
	assert_answer(wire_with(&t, "PUT /buckets/pics/objects/b", "x", &extra), 415,
		      "storage/type");
	type.value = AR_STR("a\tb");
	assert_answer(wire_with(&t, "PUT /buckets/b/objects/q", "x", &extra), 422, "invalid");
	wire_release(&t);
}

struct putter {
	struct wire_tenant *t;
	const char *admin;
	int i, *stored, *full, *left;
	struct ar_cond *done;
};

static void put_fiber(void *arg)
{
	struct putter p = *(struct putter *)arg;
	struct answer a =
		put(p.t, p.admin, ar_printf(p.t->pool, "b/objects/k%d", p.i % 30), "0123456789");

	*p.stored += a.status == 201 || a.status == 200;
	*p.full += ar_str_is(a.code, "storage/bucket-full");
	if (--*p.left == 0)
		ar_cond_signal(p.done);
}

TEST(many_at_once)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	int stored = 0, full = 0, left = 60;
	struct ar_cond done = { 0 };
	struct putter p = { &t, admin, 0, &stored, &full, &left, &done };
	struct answer a;

	bucket(&t, admin, "{\"bucket\":\"b\",\"maxObjects\":20,\"maxBytes\":155}");
	for (p.i = 0; p.i < 60; p.i++)
		ar_go("put", put_fiber, &p, AR_NO_DEADLINE);
	while (left > 0)
		assert_ok(ar_cond_wait(&done));
	assert_int_equal(stored + full, 60);
	a = wire(&t, admin, "GET /buckets/b", "");
	assert_string_equal(wire_text(&t, &a, "objects"), "15");
	assert_string_equal(wire_text(&t, &a, "bytes"), "150");
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM storage_objects"), 15);
	assert_int_equal(wire_count(&t, "SELECT sum(size) FROM storage_objects"), 150);
	files_become("acme", 15);
	wire_release(&t);
}

/* ---- the disk ---- */

TEST(swept_and_dropped)
{
	struct wire_tenant t = wire_tenant("acme"), b = wire_tenant("beta");
	const char *admin = admin_token(&t);
	struct ar_blob lost;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	bucket(&b, admin_token(&b), "{\"bucket\":\"b\"}");
	assert_answer(put(&t, admin, "b/objects/k", "kept"), 201, "");
	assert_answer(put(&b, admin_token(&b), "b/objects/k", "kept"), 201, "");
	assert_ok(
		ar_blob_put(t.pool, AR_STR("acme"), AR_STR("of a put that did not commit"), &lost));
	struct answer a = wire(&t, admin, "POST /storage/sweep", "");

	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "deleted"), "0"); /* too young */
	assert_int_equal(files("acme"), 2);
	night(&t); /* neither */
	ar_sleep(100);
	assert_int_equal(files("acme"), 2);
	files_age("acme");
	files_age("beta");
	night(&t);
	files_become("acme", 1);
	assert_int_equal(files("beta"), 1);
	assert_answer(get(&t, admin, "b/objects/k"), 200, "");

	/* a tenant that goes takes its files along, and nobody else's */
	wire_release(&t);
	assert_ok(ar_tenant_delete(AR_STR("acme")));
	assert_int_equal(files("acme"), 0);
	assert_int_equal(files("beta"), 1);
	t = wire_tenant("acme");
	assert_answer(get(&t, admin_token(&t), "b/objects/k"), 404, "not-found");
	wire_release(&t);
	wire_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(a_users_bucket),
		cmocka_unit_test(limits),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(swept_and_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
