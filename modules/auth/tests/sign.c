/*
 * sign.c - tests of accounts and sessions: sign-up, sign-in, refresh and its theft, sign-out,
 * passwords, forged tokens, guessing. Each goes through router and door, as a request does.
 */
#include "auth/tests/people.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#define TEST(name) TEST_IN(name, auth_run, void)

TEST(signing_up)
{
	static const struct {
		const char *body;
		int status;
		const char *code, *field;
	} rows[] = {
		{ "{\"email\":\"Li@例子.cn\",\"password\":\"longenough\",\"name\":\"李\"}", 201, "",
		  "" },
		{ "{\"email\":\"li@例子.cn\",\"password\":\"longenough\"}", 409, "auth/email-taken",
		  "" },
		{ "{\"email\":\"LI@例子.cn\",\"password\":\"longenough\"}", 409, "auth/email-taken",
		  "" },
		{ "{\"email\":\"a@b.cn\",\"password\":\"short\"}", 422, "invalid", "password" },
		{ "{\"email\":\"a@b.cn\"}", 422, "invalid", "password" },
		{ "{\"email\":\"a b.cn\",\"password\":\"longenough\"}", 422, "invalid", "email" },
		{ "{\"email\":\"a@b.cn\",\"password\":12345678}", 422, "invalid", "password" },
		{ "{\"email\":\"a@b.cn\",\"password\":\"longenough\",\"roles\":[\"admin\"]}", 422,
		  "invalid", "roles" },
		{ "{\"email\":\"a@b.cn\",\"password\":\"longenough\",\"verified\":true}", 422,
		  "invalid", "verified" },
		{ "{\"email\":\"a@b.cn\",\"password\":\"a\\u0000bcdefgh\"}", 400, "malformed", "" },
		/* 30 characters, but 90 bytes: bcrypt would cut it */
		{ "{\"email\":\"a@b.cn\",\"password\":\"一二三四五六七八九十一二三四五六七八九十"
		  "一二三四五六七八九十\"}",
		  422, "invalid", "password" },
	};
	struct wire_tenant t = wire_tenant("acme");
	int64_t seq = 0;

	wire_topics(&t, &seq);
	for (size_t i = 0; i < AR_COUNT(rows); i++) {
		struct answer a = wire(&t, NULL, "POST /auth/signup", rows[i].body);

		assert_answer(a, rows[i].status, rows[i].code);
		if (rows[i].field[0] != 0)
			assert_string_not_equal(
				wire_text(&t, &a,
					  ar_printf(t.pool, "fields.%s.code", rows[i].field)),
				"");
	}
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_users"), 2);
	assert_string_equal(wire_topics(&t, &seq), "auth.user.created auth.session.created");
	wire_release(&t);
}

TEST(signing_in)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t);
	char long_one[90];
	struct answer a;

	memset(long_one, 'x', sizeof(long_one));
	long_one[72] = 0;
	assert_answer(
		wire(&t, NULL, "POST /auth/signup",
		     ar_printf(t.pool, "{\"email\":\"long@x.cn\",\"password\":\"%s\"}", long_one)),
		201, "");
	assert_answer(sign_in(&t, "long@x.cn", long_one), 200, "");
	/* the same 72 bytes and more: bcrypt alone would let it in */
	long_one[72] = 'x', long_one[73] = 0;
	assert_answer(sign_in(&t, "long@x.cn", long_one), 401, "auth/credentials");
	assert_answer(sign_in(&t, "long@x.cn",
			      ar_printf(t.pool, "%.*s", 900, ar_hex(t.pool, long_one, 80).p)),
		      401, "auth/credentials");
	assert_answer(sign_in(&t, "nobody@x.cn", SECRET), 401, "auth/credentials");
	assert_answer(sign_in(&t, "not an address", SECRET), 422, "invalid");

	a = wire(&t, admin, "POST /auth/users", "{\"email\":\"nopass@x.cn\"}");
	assert_answer(a, 201, "");
	assert_answer(sign_in(&t, "nopass@x.cn", ""), 401, "auth/credentials");
	assert_answer(sign_in(&t, "nopass@x.cn", "*0"), 401, "auth/credentials");

	a = sign_up(&t, "off@x.cn");
	assert_answer(wire(&t, admin,
			   ar_printf(t.pool, "PATCH /auth/users/%s", wire_text(&t, &a, "user.id")),
			   "{\"disabled\":true}"),
		      200, "");
	assert_answer(sign_in(&t, "off@x.cn", SECRET), 401, "auth/credentials");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
	/* enabled again: what was signed in before stays signed out */
	assert_answer(wire(&t, admin,
			   ar_printf(t.pool, "PATCH /auth/users/%s", wire_text(&t, &a, "user.id")),
			   "{\"disabled\":false}"),
		      200, "");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(sign_in(&t, "OFF@x.cn", SECRET), 200, "");
	/* nothing of a password or a token is in the database */
	assert_int_equal(
		wire_count(&t, "SELECT count(*) FROM auth_users WHERE password LIKE '%xxx%'"), 0);
	wire_release(&t);
}

static struct answer refresh(struct wire_tenant *t, const char *token)
{
	return wire(t, NULL, "POST /auth/refresh",
		    ar_printf(t->pool, "{\"refreshToken\":\"%s\"}", token));
}

TEST(refreshing)
{
	struct wire_tenant t = wire_tenant("acme");
	struct answer first = sign_up(&t, "li@x.cn"), second, other;
	const char *old = wire_text(&t, &first, "refreshToken");
	int64_t seq = 0;

	other = sign_in(&t, "li@x.cn", SECRET);
	second = refresh(&t, old);
	assert_answer(second, 200, "");
	assert_string_not_equal(wire_text(&t, &second, "refreshToken"), old);
	assert_string_equal(wire_text(&t, &second, "user.email"), "li@x.cn");
	assert_str(wire_header(&second, "cache-control"), "no-store");
	assert_answer(wire(&t, token_of(&t, &second), "GET /auth/me", ""), 200, "");
	assert_answer(refresh(&t, "nonsense"), 401, "auth/refresh-token");
	assert_answer(refresh(&t, ""), 401, "auth/refresh-token");
	assert_answer(refresh(&t, token_of(&t, &second)), 422, "invalid"); /* too long */

	/* the old one again: a theft; the session ends, tokens of both holders with it */
	wire_topics(&t, &seq);
	assert_answer(refresh(&t, old), 401, "auth/refresh-token-reused");
	assert_string_equal(wire_topics(&t, &seq), "auth.session.revoked");
	assert_answer(refresh(&t, wire_text(&t, &second, "refreshToken")), 401,
		      "auth/refresh-token");
	assert_answer(refresh(&t, old), 401, "auth/refresh-token");
	assert_answer(wire(&t, token_of(&t, &first), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(wire(&t, token_of(&t, &second), "GET /auth/me", ""), 401, "unauthorized");
	/* the other session of the same user lives */
	assert_answer(wire(&t, token_of(&t, &other), "GET /auth/me", ""), 200, "");
	wire_release(&t);
}

struct racer {
	struct wire_tenant *t;
	const char *token;
	int *wins, *reused, *left;
	struct ar_cond *done;
};

static void race_fiber(void *arg)
{
	struct racer *r = arg;
	struct answer a = refresh(r->t, r->token);

	*r->wins += a.status == 200;
	*r->reused += ar_str_is(a.code, "auth/refresh-token-reused");
	if (--*r->left == 0)
		ar_cond_signal(r->done);
}

TEST(two_at_once)
{
	for (int round = 0; round < 20; round++) {
		struct wire_tenant t = round == 0 ? wire_tenant("acme") : wire_hold("acme");
		struct answer a = sign_up(&t, ar_printf(t.pool, "u%d@x.cn", round));
		int wins = 0, reused = 0, left = 2;
		struct ar_cond done = { 0 };
		struct racer r = { &t,   wire_text(&t, &a, "refreshToken"), &wins, &reused, &left,
				   &done };

		ar_go("one", race_fiber, &r, AR_NO_DEADLINE);
		ar_go("two", race_fiber, &r, AR_NO_DEADLINE);
		while (left > 0)
			assert_ok(ar_cond_wait(&done));
		assert_int_equal(wins, 1);
		assert_int_equal(reused, 1);
		assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
		assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_sessions "
						"WHERE revoked IS NULL"),
				 0);
		wire_release(&t);
	}
}

/* A key makes a write happen once, and what it answered is kept nowhere. */
TEST(keys_keep_no_secret)
{
	static const char body[] = "{\"email\":\"li@x.cn\",\"password\":\"" SECRET "\"}";
	struct wire_tenant t = wire_tenant("acme");
	struct wire_extra extra = { .key = "k1" };
	struct answer a = wire_with(&t, "POST /auth/signup", body, &extra);

	assert_answer(a, 201, "");
	assert_answer(wire_with(&t, "POST /auth/signup", body, &extra), 409, "action/key-secret");
	assert_answer(wire_with(&t, "POST /auth/signup",
				"{\"email\":\"wu@x.cn\",\"password\":\"" SECRET "\"}", &extra),
		      422, "action/key-reused");
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_users WHERE email = 'li@x.cn'"),
			 1);
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_sessions"), 1);
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM action_reply WHERE body = '' "
					"AND headers = '{}'"),
			 1);
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM action_reply"), 1);

	/* the password does not go into the hash of the request either */
	extra = (struct wire_extra){ .key = "k2", .bearer = token_of(&t, &a) };
	assert_answer(wire_with(&t, "POST /auth/password",
				"{\"current\":\"" SECRET "\",\"password\":\"another one\"}",
				&extra),
		      204, "");
	assert_answer(wire_with(&t, "POST /auth/password",
				"{\"current\":\"x\",\"password\":\"yyyyyyyyy\"}", &extra),
		      204, "");
	assert_answer(sign_in(&t, "li@x.cn", "another one"), 200, "");
	wire_release(&t);
}

TEST(sessions)
{
	struct wire_tenant t = wire_tenant("acme");
	const char *admin = admin_token(&t), *session;
	struct ar_header agent = { AR_STR("user-agent"), AR_STR("curl/8 \xff") };
	struct wire_extra extra = { .headers = &agent, .nheaders = 1, .client = "198.51.100.7" };
	struct answer a = sign_up(&t, "li@x.cn"), b, list;

	agent.value = AR_STR("curl/8");
	b = wire_with(&t, "POST /auth/login", "{\"email\":\"li@x.cn\",\"password\":\"" SECRET "\"}",
		      &extra);
	assert_answer(b, 200, "");
	list = wire(&t, token_of(&t, &a), "GET /auth/sessions", "");
	assert_answer(list, 200, "");
	assert_int_equal(ar_json_get(list.json, "items")->count, 2);
	assert_string_equal(wire_text(&t, &list, "items.0.address"), "198.51.100.7");
	assert_string_equal(wire_text(&t, &list, "items.0.agent"), "curl/8");
	assert_false(ar_json_path(list.json, AR_STR("items.0.current"))->b);
	assert_true(ar_json_path(list.json, AR_STR("items.1.current"))->b);
	session = wire_text(&t, &list, "items.0.id");

	/* not another user's, unless one may manage that user */
	assert_answer(wire(&t, token_of(&t, &b), "GET /auth/me", ""), 200, "");
	struct answer wu = sign_up(&t, "wu@x.cn");
	const char *line = ar_printf(t.pool, "DELETE /auth/sessions/%s", session);

	assert_answer(wire(&t, token_of(&t, &wu), line, ""), 404, "not-found");
	assert_answer(wire(&t, NULL, line, ""), 401, "unauthorized");
	assert_answer(wire(&t, token_of(&t, &b), "GET /auth/me", ""), 200, "");
	assert_answer(wire(&t, token_of(&t, &a), line, ""), 204, "");
	assert_answer(wire(&t, token_of(&t, &b), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(refresh(&t, wire_text(&t, &b, "refreshToken")), 401, "auth/refresh-token");
	assert_answer(wire(&t, token_of(&t, &a), line, ""), 404, "not-found");
	list = wire(&t, token_of(&t, &a), "GET /auth/sessions", "");
	assert_int_equal(ar_json_get(list.json, "items")->count, 1);
	line = ar_printf(t.pool, "DELETE /auth/sessions/%s", wire_text(&t, &list, "items.0.id"));
	assert_answer(wire(&t, admin, line, ""), 204, "");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");

	a = sign_in(&t, "li@x.cn", SECRET);
	assert_answer(wire(&t, token_of(&t, &a), "POST /auth/logout", ""), 204, "");
	assert_answer(wire(&t, token_of(&t, &a), "POST /auth/logout", ""), 401, "unauthorized");
	assert_answer(refresh(&t, wire_text(&t, &a, "refreshToken")), 401, "auth/refresh-token");
	wire_release(&t);
}

TEST(oneself)
{
	struct wire_tenant t = wire_tenant("acme");
	struct answer a = sign_up(&t, "li@x.cn"), other = sign_in(&t, "li@x.cn", SECRET), me;
	int64_t seq = 0;

	wire_topics(&t, &seq);
	me = wire(&t, token_of(&t, &a), "PATCH /auth/me",
		  "{\"name\":\"李雷\",\"locale\":\"zh-CN\"}");
	assert_answer(me, 200, "");
	assert_string_equal(wire_text(&t, &me, "name"), "李雷");
	assert_answer(wire(&t, token_of(&t, &a), "PATCH /auth/me", "{\"roles\":[\"admin\"]}"), 422,
		      "invalid");
	assert_answer(wire(&t, token_of(&t, &a), "PATCH /auth/me", "{\"email\":\"wu@x.cn\"}"), 422,
		      "invalid");
	assert_answer(wire(&t, NULL, "GET /auth/me", ""), 401, "unauthorized");

	assert_answer(wire(&t, token_of(&t, &a), "POST /auth/password",
			   "{\"current\":\"wrong\",\"password\":\"something new\"}"),
		      422, "invalid");
	assert_answer(wire(&t, token_of(&t, &other), "GET /auth/me", ""), 200, "");
	assert_answer(wire(&t, token_of(&t, &a), "POST /auth/password",
			   "{\"current\":\"" SECRET "\",\"password\":\"something new\"}"),
		      204, "");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 200, "");
	assert_answer(wire(&t, token_of(&t, &other), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(sign_in(&t, "li@x.cn", SECRET), 401, "auth/credentials");
	assert_string_equal(wire_topics(&t, &seq), "auth.user.updated auth.user.updated");
	assert_answer(sign_in(&t, "li@x.cn", "something new"), 200, "");
	wire_release(&t);
}

TEST(signup_closed)
{
	struct wire_tenant t = wire_tenant("acme");
	struct ar_scope scope;

	ar_scope_init(&scope, t.tenant->db, t.pool);
	assert_ok(ar_setting_set(t.tenant, &scope, "auth.signup", &AR_J_BOOL(false)));
	assert_ok(ar_commit(&scope));
	assert_answer(wire(&t, NULL, "POST /auth/signup",
			   "{\"email\":\"li@x.cn\",\"password\":\"longenough\"}"),
		      403, "auth/signup-closed");
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_users"), 1);
	wire_release(&t);
}

TEST(guessing)
{
	struct wire_tenant t = wire_tenant("guessed");
	struct wire_extra elsewhere = { .client = "203.0.113.9" };
	struct answer a = sign_up(&t, "li@x.cn"), closed;

	for (int i = 0; i < 19; i++)
		assert_answer(sign_in(&t, "li@x.cn", "wrong wrong"), 401, "auth/credentials");
	assert_answer(sign_in(&t, "li@x.cn", SECRET), 200, ""); /* which forgives the 19 */
	for (int i = 0; i < 20; i++)
		assert_answer(sign_in(&t, "LI@x.cn", "wrong wrong"), 401, "auth/credentials");
	closed = sign_in(&t, "li@x.cn", SECRET);
	assert_answer(closed, 429, "too-many-requests");
	assert_true(wire_header(&closed, "retry-after").n > 0);
	/* others, and the owner elsewhere, are not kept out */
	sign_up(&t, "wu@x.cn");
	assert_answer(sign_in(&t, "wu@x.cn", SECRET), 200, "");
	assert_answer(wire_with(&t, "POST /auth/login",
				"{\"email\":\"li@x.cn\",\"password\":\"" SECRET "\"}", &elsewhere),
		      200, "");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 200, "");

	/* a stolen token guesses no faster */
	for (int i = 0; i < 20; i++)
		assert_answer(wire(&t, token_of(&t, &a), "POST /auth/password",
				   "{\"current\":\"wrong\",\"password\":\"something new\"}"),
			      422, "invalid");
	assert_answer(wire(&t, token_of(&t, &a), "POST /auth/password",
			   "{\"current\":\"" SECRET "\",\"password\":\"something new\"}"),
		      429, "too-many-requests");

	/* many addresses at one account */
	for (int i = 0; i < 300; i++) {
		struct wire_extra from = { .client = ar_printf(t.pool, "198.51.100.%d", i) };

		closed = wire_with(&t, "POST /auth/login",
				   "{\"email\":\"wu@x.cn\",\"password\":\"wrong wrong\"}", &from);
		if (closed.status == 429)
			break;
		assert_answer(closed, 401, "auth/credentials");
	}
	assert_answer(closed, 429, "too-many-requests");
	wire_release(&t);
}

static void time_refusal(struct wire_tenant *t, const char *email, const char *password,
			 int64_t *fastest)
{
	int64_t from = ar_mono_us();

	assert_answer(sign_in(t, email, password), 401, "auth/credentials");
	*fastest = AR_MIN(*fastest, ar_mono_us() - from);
}

static bool alike(int64_t a, int64_t b)
{
	return a <= b * 2 && b <= a * 2;
}

/* What a stranger can time tells nothing of who has an account. In turns, and the fastest of each:
 * what else the machine does slows all of them, and some less than others. */
TEST(no_account_costs_the_same)
{
	struct wire_tenant t = wire_tenant("timed");
	int64_t there = INT64_MAX, nobody = INT64_MAX, long_one = INT64_MAX;

	sign_up(&t, "li@x.cn");
	for (int i = 0; i < 12; i++) {
		time_refusal(&t, "li@x.cn", "wrong wrong", &there);
		time_refusal(&t, "no@x.cn", "wrong wrong", &nobody);
		time_refusal(&t, "wu@x.cn", ar_printf(t.pool, "%0200d", 1), &long_one);
	}
	assert_true(alike(there, nobody) && alike(there, long_one));
	wire_release(&t);
}

/* ---- tokens that nobody here made ---- */

static const char *hs256(struct wire_tenant *t, struct ar_str kid, struct ar_str claims,
			 struct ar_str key)
{
	struct ar_str head = ar_strf(t->pool, "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}", AR_FMT(kid));
	struct ar_str text = ar_strf(t->pool, "%.*s.%.*s",
				     AR_FMT(ar_base64url(t->pool, head.p, head.n)), AR_FMT(claims));
	unsigned char mac[32];
	unsigned n = sizeof(mac);

	HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)text.p, text.n, mac, &n);
	return ar_printf(t->pool, "%.*s.%.*s", AR_FMT(text), AR_FMT(ar_base64url(t->pool, mac, n)));
}

TEST(forged_tokens)
{
	struct wire_tenant t = wire_tenant("acme"), b = wire_tenant("beta");
	struct answer a = sign_up(&t, "li@x.cn"),
		      jwks = wire(&t, NULL, "GET /.well-known/jwks.json", "");
	struct ar_str rest = ar_str(token_of(&t, &a)), head, claims, decoded;
	struct ar_json *header;

	assert_answer(jwks, 200, "");
	head = ar_str_cut(&rest, '.');
	claims = ar_str_cut(&rest, '.');
	assert_ok(ar_base64url_decode(t.pool, head, &decoded));
	assert_ok(ar_json_parse(t.pool, decoded, &ar_json_limits_default, &header));
	struct ar_str kid = ar_json_text(header, "kid", AR_STR(""));

	assert_str(kid, wire_text(&t, &jwks, "keys.0.kid"));
	assert_null(ar_json_get(ar_json_path(jwks.json, AR_STR("keys.0")), "d"));
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_signing_keys"), 1);

	struct ar_str none = ar_strf(t.pool, "{\"alg\":\"none\",\"kid\":\"%.*s\"}", AR_FMT(kid));
	struct ar_str no_kid = AR_STR("{\"alg\":\"ES256\"}");
	const char *const forged[] = {
		ar_printf(t.pool, "%.*s.%.*s.", AR_FMT(ar_base64url(t.pool, none.p, none.n)),
			  AR_FMT(claims)),
		ar_printf(t.pool, "%.*s.%.*s.%.*s", AR_FMT(ar_base64url(t.pool, none.p, none.n)),
			  AR_FMT(claims), AR_FMT(rest)),
		ar_printf(t.pool, "%.*s.%.*s.%.*s",
			  AR_FMT(ar_base64url(t.pool, no_kid.p, no_kid.n)), AR_FMT(claims),
			  AR_FMT(rest)),
		hs256(&t, kid, claims, ar_str(wire_text(&t, &jwks, "keys.0.x"))),
		hs256(&t, kid, claims, jwks.text),
		ar_printf(t.pool, "%.*s.%.*s.", AR_FMT(head), AR_FMT(claims)),
		ar_printf(t.pool, "%.*s.%.*sAA.%.*s", AR_FMT(head), AR_FMT(claims), AR_FMT(rest)),
		ar_printf(t.pool, "%.*s.%.*s.%.*s.x", AR_FMT(head), AR_FMT(claims), AR_FMT(rest)),
		ar_printf(t.pool, "%.*s.%.*s.%.*s", AR_FMT(head), AR_FMT(claims), 86,
			  ar_printf(t.pool, "%086d", 0)),
		"x",
		"..",
		"ark_",
		"ark_00000000-0000-7000-8000-000000000000_",
		"ark_00000000-0000-7000-8000-000000000000_secret",
		ar_printf(t.pool, "%09000d", 1),
	};

	for (size_t i = 0; i < AR_COUNT(forged); i++)
		assert_answer(wire(&t, forged[i], "GET /auth/me", ""), 401, "unauthorized");
	/* a good token of another tenant, where it is good and where it is not */
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 200, "");
	assert_answer(wire(&b, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
	assert_answer(refresh(&b, wire_text(&t, &a, "refreshToken")), 401, "auth/refresh-token");
	assert_answer(sign_in(&b, "li@x.cn", SECRET), 401, "auth/credentials");
	wire_release(&b);
	wire_release(&t);
}

static int64_t ahead_ms;

static int64_t later(void *arg)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_ms;
}

TEST(time_passes)
{
	static const struct ar_seam seam = { .now_ms = later };
	struct wire_tenant t = wire_tenant("acme");
	struct answer a, b;

	ahead_ms = 0;
	ar_seam_set(&seam);
	a = sign_up(&t, "li@x.cn");
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 200, ""); /* and remembered */
	ahead_ms = 899 * 1000;
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 200, "");
	ahead_ms = 901 * 1000;
	assert_answer(wire(&t, token_of(&t, &a), "GET /auth/me", ""), 401, "unauthorized");
	b = refresh(&t, wire_text(&t, &a, "refreshToken"));
	assert_answer(b, 200, "");
	assert_answer(wire(&t, token_of(&t, &b), "GET /auth/me", ""), 200, "");
	ahead_ms = 901 * 1000 + INT64_C(2592001) * 1000;
	assert_answer(refresh(&t, wire_text(&t, &b, "refreshToken")), 401, "auth/refresh-token");
	sign_in(&t, "li@x.cn", SECRET); /* clears away what is over */
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_sessions"), 1);
	assert_int_equal(wire_count(&t, "SELECT count(*) FROM auth_refresh_tokens"), 1);
	wire_release(&t);
	ar_seam_set(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signing_up),
		cmocka_unit_test(signing_in),
		cmocka_unit_test(refreshing),
		cmocka_unit_test(two_at_once),
		cmocka_unit_test(keys_keep_no_secret),
		cmocka_unit_test(sessions),
		cmocka_unit_test(oneself),
		cmocka_unit_test(signup_closed),
		cmocka_unit_test(guessing),
		cmocka_unit_test(no_account_costs_the_same),
		cmocka_unit_test(forged_tokens),
		cmocka_unit_test(time_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
