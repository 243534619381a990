/*
 * objects.c - tests of buckets and objects through router and door: bytes in and out, keys,
 * conditions, ranges, lists, from inside.
 */
#include "storage/tests/rig.h"

TEST(buckets)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	const struct {
		const char *line, *body;
		int status;
		const char *code;
	} rows[] = {
		{ "POST /buckets", "{\"bucket\":\"a\",\"maxSize\":10,\"types\":[\"image/*\"]}", 201,
		  "" },
		{ "POST /buckets", "{\"bucket\":\"a\"}", 409, "storage/bucket-exists" },
		{ "POST /buckets", "{}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"..\"}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"A\"}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"a/b\"}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"b\",\"rules\":{\"read\":\"nonsense ==\"}}", 422,
		  "invalid" },
		{ "POST /buckets", "{\"bucket\":\"b\",\"rules\":{\"read\":\"secret = 1\"}}", 422,
		  "invalid" },
		{ "POST /buckets", "{\"bucket\":\"b\",\"rules\":{\"own\":\"\"}}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"b\",\"maxSize\":-1}", 422, "invalid" },
		{ "POST /buckets", "{\"bucket\":\"b\",\"types\":[\"image\"]}", 422, "invalid" },
		{ "GET /buckets/a", "", 200, "" },
		{ "GET /buckets/b", "", 404, "not-found" },
		{ "PATCH /buckets/a", "{\"maxSize\":0,\"rules\":{\"read\":\"\"}}", 200, "" },
		{ "PATCH /buckets/b", "{\"maxSize\":0}", 404, "not-found" },
		{ "DELETE /buckets/a", "", 204, "" },
		{ "DELETE /buckets/a", "", 404, "not-found" },
	};
	int64_t seq = 0;

	wire_topics(&t, &seq);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = wire(&t, admin, rows[i].line, rows[i].body);

		if (a.status != rows[i].status)
			print_message("%s %s\n", rows[i].line, rows[i].body);
		assert_answer(a, rows[i].status, rows[i].code);
	}
	assert_string_equal(wire_topics(&t, &seq), "storage.bucket.created storage.bucket.updated "
						   "storage.bucket.deleted");
	wire_release(&t);
}

TEST(bytes)
{
	static const char all[] = "a\0b\r\n\xff\xfe";
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct wire_extra extra = { .bearer = admin, .bytes = { all, sizeof(all) } };
	struct answer a;
	int64_t seq = 0;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	wire_topics(&t, &seq);
	a = wire_with(&t, "PUT /buckets/b/objects/dir/file%20%E4%B8%AD.bin", "", &extra);
	assert_answer(a, 201, "");
	assert_string_equal(wire_text(&t, &a, "key"), "dir/file 中.bin");
	assert_string_equal(wire_text(&t, &a, "size"), "8");
	assert_string_equal(wire_text(&t, &a, "type"), "application/octet-stream");
	assert_string_equal(wire_text(&t, &a, "sha256"),
			    ar_sha256_hex(t.pool, ar_str_n(all, sizeof(all))).p);
	a = get(&t, admin, "b/objects/dir/file%20%E4%B8%AD.bin");
	assert_answer(a, 200, "");
	assert_true(ar_str_eq(a.text, ar_str_n(all, sizeof(all))));
	assert_str(wire_header(&a, "content-security-policy"), "sandbox; default-src 'none'");

	a = put(&t, admin, "b/objects/dir/file%20%E4%B8%AD.bin", "short");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "type"), "text/plain");
	a = get(&t, admin, "b/objects/dir/file%20%E4%B8%AD.bin");
	assert_str(a.text, "short");
	assert_answer(put(&t, admin, "b/objects/empty", ""), 201, "");
	a = get(&t, admin, "b/objects/empty");
	assert_answer(a, 200, "");
	assert_int_equal(a.text.n, 0);
	a = wire(&t, admin, "GET /buckets/b", "");
	assert_string_equal(wire_text(&t, &a, "objects"), "2");
	assert_string_equal(wire_text(&t, &a, "bytes"), "5");
	files_become("acme", 2); /* the replaced bytes are gone */

	assert_answer(wire(&t, admin, "DELETE /buckets/b", ""), 409, "storage/not-empty");
	assert_answer(wire(&t, admin, "DELETE /buckets/b/objects/empty", ""), 204, "");
	assert_answer(wire(&t, admin, "DELETE /buckets/b/objects/empty", ""), 404, "not-found");
	assert_answer(get(&t, admin, "b/objects/empty"), 404, "not-found");
	files_become("acme", 1);
	assert_string_equal(wire_topics(&t, &seq), "storage.object.put storage.object.put "
						   "storage.object.put storage.object.deleted");
	a = wire(&t, admin, "GET /buckets/b", "");
	assert_string_equal(wire_text(&t, &a, "objects"), "1");
	wire_release(&t);
}

/* Keys are names, not paths: whatever they say, bytes stay below the tenant's folder. */
TEST(keys)
{
	static const struct {
		const char *key;
		int status;
		const char *code;
	} rows[] = {
		{ "../../etc/passwd", 400, "malformed" },
		{ "a/../../b", 400, "malformed" },
		{ "..%2F..%2Fetc%2Fpasswd", 400, "malformed" },
		{ "%2e%2e/x", 400, "malformed" },
		{ ".", 400, "malformed" },
		{ "a%00b", 400, "malformed" },
		{ "a%0Ab", 422, "invalid" },
		{ "%ff", 400, "malformed" },
		{ "%ed%a0%80", 400, "malformed" },
		{ "..%5C..%5Cx", 201, "" },
		{ "...", 201, "" },
		{ "~root", 201, "" },
		{ "%2Fetc%2Fpasswd", 201, "" },
		{ "a%2F%2Fb", 201, "" },
		{ "%E2%80%AEgpj.exe", 201, "" },
		{ "'; DROP TABLE storage_objects; --", 201, "" },
	};
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct ar_buf *longest = ar_buf_new(t.pool, 20000);
	int stored = 0;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a =
			put(&t, admin, ar_printf(t.pool, "b/objects/%s", rows[i].key), "x");

		if (a.status != rows[i].status)
			print_message("%s\n", rows[i].key);
		assert_answer(a, rows[i].status, rows[i].code);
		stored += a.status == 201;
		if (a.status == 201)
			assert_answer(
				get(&t, admin, ar_printf(t.pool, "b/objects/%s", rows[i].key)), 200,
				"");
	}
	ar_buf_z(longest, "b/objects/");
	for (int i = 0; i < 1024; i++)
		ar_buf_z(longest, i < 300 ? "%E4%B8%AD" : "k");
	assert_answer(put(&t, admin, ar_strz(t.pool, ar_buf_view(longest)), "x"), 201, "");
	ar_buf_z(longest, "x");
	assert_answer(put(&t, admin, ar_strz(t.pool, ar_buf_view(longest)), "x"), 422, "invalid");
	assert_int_equal(files("acme"), stored + 1);
	wire_release(&t);
}

TEST(conditions)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *line = "PUT /buckets/b/objects/k", *etag;
	struct wire_extra fresh = { .bearer = admin, .if_none_match = "*" };
	struct wire_extra over = { .bearer = admin, .if_match = "*" };
	struct answer a;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	assert_answer(wire_with(&t, line, "0", &over), 412, "precondition-failed");
	a = wire_with(&t, line, "1", &fresh);
	assert_answer(a, 201, "");
	etag = ar_strz(t.pool, wire_header(&a, "etag"));
	assert_string_equal(
		etag, ar_printf(t.pool, "\"%.*s\"", AR_FMT(ar_sha256_hex(t.pool, AR_STR("1")))));
	assert_answer(wire_with(&t, line, "2", &fresh), 412, "precondition-failed");
	over.if_match = "\"nope\"";
	assert_answer(wire_with(&t, line, "2", &over), 412, "precondition-failed");
	over.if_match = ar_printf(t.pool, "W/%s", etag); /* weak tags match nothing here */
	assert_answer(wire_with(&t, line, "2", &over), 412, "precondition-failed");
	over.if_match = ar_printf(t.pool, "\"nope\", %s", etag);
	assert_answer(wire_with(&t, line, "2", &over), 200, "");
	files_become("acme", 1); /* what was refused left nothing on the disk */

	line = "GET /buckets/b/objects/k";
	over.if_match = etag; /* of "1": gone */
	assert_answer(wire_with(&t, line, "", &over), 412, "precondition-failed");
	a = get(&t, admin, "b/objects/k");
	etag = ar_strz(t.pool, wire_header(&a, "etag"));
	fresh.if_none_match = ar_printf(t.pool, "\"x\",W/%s", etag);
	a = wire_with(&t, line, "", &fresh);
	assert_answer(a, 304, "");
	assert_int_equal(a.text.n, 0);
	assert_str(wire_header(&a, "etag"), etag);
	fresh.if_none_match = "\"x\"";
	assert_answer(wire_with(&t, line, "", &fresh), 200, "");
	over.if_match = "\"x\"";
	assert_answer(wire_with(&t, "DELETE /buckets/b/objects/k", "", &over), 412,
		      "precondition-failed");
	over.if_match = etag;
	assert_answer(wire_with(&t, "DELETE /buckets/b/objects/k", "", &over), 204, "");
	wire_release(&t);
}

TEST(ranges)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct ar_header headers[2] = { { .name = AR_STR("range") },
					{ .name = AR_STR("if-range") } };
	struct wire_extra extra = { .bearer = admin, .headers = headers, .nheaders = 1 };
	const char *line = "GET /buckets/b/objects/k";
	struct answer a;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	a = put(&t, admin, "b/objects/k", "0123456789");
	headers[1].value = wire_header(&a, "etag");
	headers[0].value = AR_STR("bytes=2-4");
	a = wire_with(&t, line, "", &extra);
	assert_answer(a, 206, "");
	assert_str(a.text, "234");
	assert_str(wire_header(&a, "content-range"), "bytes 2-4/10");
	assert_str(wire_header(&a, "accept-ranges"), "bytes");
	a = wire_with(&t, "HEAD /buckets/b/objects/k", "", &extra);
	assert_answer(a, 200, ""); /* ranges are of GET alone: RFC 9110, 14.2 */
	assert_int_equal(a.call->reply.length, 10);
	assert_null(wire_header(&a, "content-range").p);
	headers[0].value = AR_STR("bytes=10-");
	a = wire_with(&t, line, "", &extra);
	assert_answer(a, 416, "range-not-satisfiable");
	assert_str(wire_header(&a, "content-range"), "bytes */10");
	headers[0].value = AR_STR("bytes=-3");
	extra.nheaders = 2;
	a = wire_with(&t, line, "", &extra);
	assert_answer(a, 206, "");
	assert_str(a.text, "789");
	headers[1].value = AR_STR("\"of an older one\"");
	a = wire_with(&t, line, "", &extra);
	assert_answer(a, 200, "");
	assert_str(a.text, "0123456789");
	wire_release(&t);
}

/* ---- lists ---- */

TEST(listing)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	struct answer a;

	bucket(&t, admin, "{\"bucket\":\"b\"}");
	bucket(&t, admin, "{\"bucket\":\"c\"}");
	for (int i = 0; i < 12; i++)
		assert_answer(put(&t, admin, ar_printf(t.pool, "b/objects/p%%C3%%BF/%02d", i), "x"),
			      201, "");
	assert_answer(put(&t, admin, "b/objects/pz", "x"), 201, "");
	assert_answer(put(&t, admin, "b/objects/p%25", "x"), 201, "");
	assert_answer(put(&t, admin, "c/objects/p%C3%BF/99", "x"), 201, "");
	a = wire(&t, admin, "GET /buckets/b/objects?prefix=p%C3%BF/&limit=5&count=exact", "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(&t, &a, "total"), "12");
	assert_string_equal(wire_text(&t, &a, "items.0.key"), "pÿ/00");
	a = wire(&t, admin,
		 ar_printf(t.pool, "GET /buckets/b/objects?prefix=p%%C3%%BF/&limit=5&cursor=%s",
			   wire_text(&t, &a, "nextCursor")),
		 "");
	assert_string_equal(wire_text(&t, &a, "items.0.key"), "pÿ/05");
	a = wire(&t, admin, "GET /buckets/b/objects?prefix=p%25", "");
	assert_int_equal(ar_json_get(a.json, "items")->count, 1);
	a = wire(&t, admin, "GET /buckets/b/objects?filter=size%20%3E%203", "");
	assert_int_equal(ar_json_get(a.json, "items")->count, 0);
	wire_release(&t);
}

/* Functions and workflows put and get through the same door. */
TEST(from_inside)
{
	struct wire_tenant t = wire_tenant("acme");
	struct ar_invoke invoke = { .tenant = t.tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_LUA,
				    .action = AR_STR("storage.create_bucket") };
	struct ar_json *out;

	assert_ok(ar_json_parse(t.pool, AR_STR("{\"bucket\":\"b\"}"), &ar_json_limits_default,
				&invoke.input));
	assert_ok(ar_action_invoke(t.pool, &invoke, &out));
	invoke.action = AR_STR("storage.put_object");
	assert_ok(ar_json_parse(t.pool,
				AR_STR("{\"bucket\":\"b\",\"key\":\"k\",\"type\":\"text/plain\","
				       "\"body\":\"中文\"}"),
				&ar_json_limits_default, &invoke.input));
	assert_ok(ar_action_invoke(t.pool, &invoke, &out));
	assert_str(ar_json_text(out, "type", AR_STR("")), "text/plain");
	invoke.action = AR_STR("storage.get_object");
	ar_json_remove(invoke.input, AR_STR("body"));
	ar_json_remove(invoke.input, AR_STR("type"));
	assert_ok(ar_action_invoke(t.pool, &invoke, &out));
	assert_str(out->s, "中文");
	ar_json_set(invoke.input, AR_STR("key"), ar_json_str(t.pool, AR_STR("../../../k")));
	assert_fails(ar_action_invoke(t.pool, &invoke, &out), AR_E_INVALID);
	wire_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets),     cmocka_unit_test(bytes),  cmocka_unit_test(keys),
		cmocka_unit_test(conditions),  cmocka_unit_test(ranges), cmocka_unit_test(listing),
		cmocka_unit_test(from_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
