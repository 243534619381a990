/*
 * objects.c - tests of buckets and objects through router and door: bytes in and out, conditions,
 * ranges, who may, limits, many at once, what stays on the disk.
 */
#include "auth/tests/people.h"
#include "storage/storage_int.h"

#include <dirent.h>

static const struct ar_module *const modules[] = { &auth_module, &storage_module, NULL };

static void blobs_dropped(struct ar_str tenant)
{
	assert_ok(ar_blob_drop(tenant));
}

static void (*test_body)(void);

static void with_blobs(void)
{
	struct ar_pool *pool = ar_pool_new();

	assert_ok(ar_blob_init(ar_strf(pool, "%s/blobs", house.data)));
	ar_tenant_on_delete(blobs_dropped);
	ar_pool_free(pool);
	test_body();
}

static void run(void (*body)(void))
{
	test_body = body;
	wire_run(modules, with_blobs);
}

#define TEST(name) TEST_IN(name, run, void)

static struct answer put(struct wire_tenant *t, const char *who, const char *path,
			 const char *bytes)
{
	struct wire_extra extra = { .bearer = who, .type = "text/plain" };
	struct ar_header type = { AR_STR("content-type"), AR_STR("text/plain") };

	extra.headers = &type;
	extra.nheaders = 1;
	return wire_with(t, ar_printf(t->pool, "PUT /buckets/%s", path), bytes, &extra);
}

static struct answer get(struct wire_tenant *t, const char *who, const char *path)
{
	return wire(t, who, ar_printf(t->pool, "GET /buckets/%s", path), "");
}

static void bucket(struct wire_tenant *t, const char *admin, const char *body)
{
	assert_answer(wire(t, admin, "POST /buckets", body), 201, "");
}

/* Files below data/blobs/TENANT. */
static int files(const char *tenant)
{
	int n = 0;

	for (int i = 0; i < 256; i++) {
		char path[200];
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "%s/blobs/%s/%02x", house.data, tenant, (unsigned)i);
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL)
			n += entry->d_name[0] != '.';
		if (dir != NULL)
			closedir(dir);
	}
	return n;
}

/* All of them become two hours old. */
static void files_age(const char *tenant)
{
	const struct timespec then[2] = { { ar_now_ms() / 1000 - 7200, 0 },
					  { ar_now_ms() / 1000 - 7200, 0 } };

	for (int i = 0; i < 256; i++) {
		char path[200];
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "%s/blobs/%s/%02x", house.data, tenant, (unsigned)i);
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL)
			if (entry->d_name[0] != '.')
				assert_ok(utimensat(dirfd(dir), entry->d_name, then, 0));
		if (dir != NULL)
			closedir(dir);
	}
}

/* What the bus does in the night. */
static void night(struct wire_tenant *t)
{
	struct ar_scope scope;
	bool more = true;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_begin(&scope));
	assert_ok(storage_daily(&scope, t->tenant->name, &more));
	assert_ok(ar_commit(&scope));
	assert_false(more);
}

/* Deletes run in the background. */
static void files_become(const char *tenant, int n)
{
	for (int i = 0; i < 500 && files(tenant) != n; i++)
		assert_ok(ar_sleep(10));
	assert_int_equal(files(tenant), n);
}

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
		cmocka_unit_test(buckets),
		cmocka_unit_test(bytes),
		cmocka_unit_test(keys),
		cmocka_unit_test(conditions),
		cmocka_unit_test(ranges),
		cmocka_unit_test(rules),
		cmocka_unit_test(a_users_bucket),
		cmocka_unit_test(limits),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(listing),
		cmocka_unit_test(swept_and_dropped),
		cmocka_unit_test(from_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
