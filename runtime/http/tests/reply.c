/*
 * reply.c - replies: headers left out, gzip, files in blocks, statuses without a body.
 */
#include <zlib.h>

#include "server.h"

static const char json[] = "application/json; charset=utf-8";

static void handle(struct ar_http *http)
{
	static const struct ar_header odd[] = {
		{ AR_STR("x-good"), AR_STR("yes") },
		{ AR_STR("x-split"), AR_STR("a\r\nSet-Cookie: evil=1") },
		{ AR_STR("x bad"), AR_STR("1") },
		{ AR_STR("Content-Length"), AR_STR("999") },
		{ AR_STR("transfer-encoding"), AR_STR("chunked") },
		{ AR_STR("connection"), AR_STR("close") },
	};
	struct ar_header type = { AR_STR("content-type"), ar_str(json) };
	struct ar_header packed[] = { type, { AR_STR("content-encoding"), AR_STR("br") } };
	struct ar_header image = { AR_STR("content-type"), AR_STR("image/png") };
	struct ar_str small = ar_str_sub(big, 0, 1024), large = ar_str_sub(big, 0, 100000);

	if (ar_str_is(http->path, "/odd"))
		ar_http_reply(http, 200, odd, AR_COUNT(odd), AR_STR("body"));
	else if (ar_str_is(http->path, "/204"))
		ar_http_reply(http, 204, NULL, 0, AR_STR(""));
	else if (ar_str_is(http->path, "/304"))
		ar_http_reply(http, 304, NULL, 0, AR_STR("not to be sent"));
	else if (ar_str_is(http->path, "/large"))
		ar_http_reply(http, 200, &type, 1, large);
	else if (ar_str_is(http->path, "/small"))
		ar_http_reply(http, 200, &type, 1, small);
	else if (ar_str_is(http->path, "/packed"))
		ar_http_reply(http, 200, packed, 2, large);
	else if (ar_str_is(http->path, "/image"))
		ar_http_reply(http, 200, &image, 1, large);
	else
		test_handle(http);
}

static int up(void **state)
{
	server_up((struct ar_server_options){ 0 });
	ar_server_stop(server, 0);
	assert_int_equal(ar_server_start(&(struct ar_server_options){ .loops = 1,
								      .send_stall_ms = 2000,
								      .deadline_ms = 500,
								      .handle = handle },
					 &server),
			 0);
	return 0;
}

static int down(void **state)
{
	server_down();
	return 0;
}

static char text[64 * 1024 + 512];

static const char *get(const char *path, const char *header)
{
	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n",
		 path, header);
	return ask(text);
}

static struct ar_str body_of(const char *reply)
{
	const char *body = strstr(reply, "\r\n\r\n") + 4;

	return ar_str_n(body, got.n - (size_t)(body - reply));
}

static void headers_left_out(void **state)
{
	const char *r = get("/odd", "");

	assert_non_null(strstr(r, "x-good: yes\r\n"));
	assert_null(strstr(r, "evil"));
	assert_null(strstr(r, "x bad"));
	assert_null(strstr(r, "999"));
	assert_null(strstr(r, "chunked"));
	assert_non_null(strstr(r, "Content-Length: 4\r\n"));
}

static void without_body(void **state)
{
	const char *r = get("/204", "");

	assert_int_equal(status_of(r), 204);
	assert_null(strstr(r, "Content-Length"));
	assert_int_equal(body_of(r).n, 0);
	r = get("/304", "");
	assert_int_equal(status_of(r), 304);
	assert_null(strstr(r, "Content-Length"));
	assert_int_equal(body_of(r).n, 0);
}

static void unpacks_to_large(struct ar_str packed)
{
	static unsigned char out[200000];
	z_stream z = { .next_in = (Bytef *)packed.p, .avail_in = (uInt)packed.n };

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = out;
	z.avail_out = sizeof(out);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, 100000);
	assert_memory_equal(out, big.p, 100000);
	inflateEnd(&z);
}

static void gzip(void **state)
{
	static const struct {
		const char *path, *accept;
		bool packed, vary;
	} rows[] = {
		{ "/large", "Accept-Encoding: gzip\r\n", true, true },
		{ "/large", "Accept-Encoding: br;q=1, GZIP;q=0.5\r\n", true, true },
		{ "/large", "Accept-Encoding: *\r\n", true, true },
		{ "/large", "Accept-Encoding: gzip;q=0\r\n", false, true },
		{ "/large", "Accept-Encoding: gzip;q=0.00, *\r\n", false, true },
		{ "/large", "Accept-Encoding: identity\r\n", false, true },
		{ "/large", "Accept-Encoding: gzipped\r\n", false, true },
		{ "/large", "", false, true },
		{ "/small", "Accept-Encoding: gzip\r\n", false, false },
		{ "/packed", "Accept-Encoding: gzip\r\n", false, false },
		{ "/image", "Accept-Encoding: gzip\r\n", false, false },
	};

	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		const char *r = get(rows[i].path, rows[i].accept);
		struct ar_str body = body_of(r);
		char length[64];

		assert_int_equal(status_of(r), 200);
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body.n);
		assert_non_null(strstr(r, length));
		if ((strstr(r, "vary: Accept-Encoding\r\n") != NULL) != rows[i].vary ||
		    (strstr(r, "content-encoding: gzip\r\n") != NULL) != rows[i].packed)
			fail_msg("row %zu: %.300s", i, r);
		if (rows[i].packed)
			unpacks_to_large(body);
	}
}

static void many_gzips_at_once(void **state)
{
	for (int i = 0; i < 50; i++) {
		const char *r = get("/large", "Accept-Encoding: gzip\r\n");

		unpacks_to_large(body_of(r));
	}
}

static void large_reply(void **state)
{
	size_t n = 0, at;
	int fd = dial();
	static char block[100000];
	bool head = true;

	put_z(fd, "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	for (;;) {
		ssize_t r = read(fd, block, sizeof(block) - 1);

		if (r <= 0)
			break;
		at = 0;
		block[r] = '\0';
		if (head) {
			assert_non_null(strstr(block, "Content-Length: 8388608\r\n"));
			at = (size_t)(strstr(block, "\r\n\r\n") + 4 - block);
			head = false;
		}
		assert_memory_equal(block + at, big.p + n, (size_t)r - at);
		n += (size_t)r - at;
	}
	assert_int_equal(n, 8 << 20);
	close(fd);
}

static void files(void **state)
{
	static const int64_t sizes[] = { 0, 1, 131071, 131072, 131073, 900000 };

	for (size_t i = 0; i < AR_COUNT(sizes); i++) {
		char path[64];
		struct ar_str body;

		snprintf(path, sizeof(path), "/file?%lld", (long long)sizes[i]);
		body = body_of(get(path, ""));
		assert_int_equal(body.n, sizes[i]);
		for (int64_t k = 0; k < sizes[i]; k++)
			if (body.p[k] != (char)(k * 7 % 251))
				fail_msg("size %zu: byte %lld", i, (long long)k);
	}
}

/* A file that ends before its length: the connection breaks off, the client sees that. */
static void file_too_short(void **state)
{
	struct ar_str body = body_of(get("/file-short?500000", ""));

	assert_true(body.n < 500000);
	assert_true(got.closed);
}

/* The deadline of the request is for making the reply, not for a slow line. */
static void file_outlives_deadline(void **state)
{
	int64_t start = ar_mono_ms();

	assert_true(read_slowly(20) > 8000000);
	assert_true(ar_mono_ms() - start > 1000);
}

static void files_pipelined(void **state)
{
	const char *r = ask("GET /file?200000 HTTP/1.1\r\nHost: a\r\n\r\n"
			    "GET /file?300000 HTTP/1.1\r\nHost: a\r\n\r\n"
			    "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

	assert_non_null(memmem(r, got.n, "11 GET /echo", 12));
	assert_true(got.n > 500000 && got.n < 501000);
}

static void client_leaves_a_file(void **state)
{
	struct ar_server_stats s;

	for (int i = 0; i < 20; i++) {
		int fd = dial();

		put_z(fd, "GET /file?4000000 HTTP/1.1\r\nHost: a\r\n\r\n");
		usleep(2000 * i);
		close(fd);
	}
	get("/large", ""); /* all of them are known */
	assert_true(closed_to(0));
	for (int i = 0; i < PATIENCE_MS / 5; i++) {
		ar_server_stats(server, &s);
		if (s.requests_open == 0)
			break;
		usleep(5000);
	}
	assert_int_equal(s.requests_open, 0);
}

static void counted(void **state)
{
	struct ar_server_stats a, b;

	ar_server_stats(server, &a);
	get("/large", "");
	ask("nonsense\r\n\r\n");
	ar_server_stats(server, &b);
	assert_int_equal(b.connections - a.connections, 2);
	assert_int_equal(b.requests - a.requests, 1);
	assert_int_equal(b.refused - a.refused, 1);
	assert_in_range(b.bytes_out - a.bytes_out, 100000, 101000);
	assert_in_range(b.bytes_in - a.bytes_in, 40, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_left_out),
		cmocka_unit_test(without_body),
		cmocka_unit_test(gzip),
		cmocka_unit_test(many_gzips_at_once),
		cmocka_unit_test(large_reply),
		cmocka_unit_test(files),
		cmocka_unit_test(file_too_short),
		cmocka_unit_test(file_outlives_deadline),
		cmocka_unit_test(files_pipelined),
		cmocka_unit_test(client_leaves_a_file),
		cmocka_unit_test(counted),
	};

	ar_log_fd(open("/dev/null", O_WRONLY));
	assert_int_equal(ar_offload_start(2), 0);
	return cmocka_run_group_tests(tests, up, down);
}
