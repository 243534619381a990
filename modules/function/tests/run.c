/*
 * run.c - the list of runs: what is kept of each and for how long; runs that events start.
 */
#include "function/tests/rig.h"

static struct answer runs_of(struct wire_tenant *t, const char *admin, const char *name, int count)
{
	const char *line = ar_printf(t->pool, "GET /functions/%s/runs?limit=500", name);
	struct answer a;

	for (int i = 0; i < 6000; i++) {
		a = wire(t, admin, line, "");
		assert_answer(a, 200, "");
		if ((int)ar_json_get(a.json, "items")->count >= count)
			return a;
		ar_sleep(10);
	}
	fail_msg("%d runs are not listed", count);
	return a;
}

TEST(remembers_runs)
{
	struct answer a;
	const char *id;

	put(t, admin, "f",
	    "return function(i)\n"
	    "  print('hello', i.n) log.warn('about ' .. i.password)\n"
	    "  if i.n == 2 then error('bad ' .. i.password) end\n"
	    "  return {n = i.n, echo = i.password, password = 'other'}\n"
	    "end",
	    ANYONE);
	assert_answer(call(t, NULL, "f", "{\"n\":1,\"password\":\"geheim99\"}"), 200, "");
	assert_answer(call(t, NULL, "f", "{\"n\":2,\"password\":\"geheim99\"}"), 500,
		      "function/failed");
	a = runs_of(t, admin, "f", 2);
	assert_string_equal(wire_text(t, &a, "items.1.status"), "ok");
	assert_string_equal(wire_text(t, &a, "items.1.input"), "{\"n\":1,\"password\":\"***\"}");
	assert_string_equal(wire_text(t, &a, "items.1.output"),
			    "{\"echo\":\"***\",\"n\":1,\"password\":\"***\"}");
	assert_string_equal(wire_text(t, &a, "items.1.logs"),
			    "[{\"level\":\"info\",\"text\":\"hello\\t1\"},"
			    "{\"level\":\"warn\",\"text\":\"about ***\"}]");
	assert_string_equal(wire_text(t, &a, "items.1.error"), "null");
	assert_string_equal(wire_text(t, &a, "items.0.status"), "failed");
	assert_non_null(strstr(wire_text(t, &a, "items.0.error.message"), "bad ***"));
	assert_string_equal(wire_text(t, &a, "items.0.error.code"), "sandbox/error");
	assert_null(strstr(ar_strz(t->pool, a.text), "geheim99"));
	assert_true(strtol(wire_text(t, &a, "items.0.durationUs"), NULL, 10) > 0);
	assert_true(strtol(wire_text(t, &a, "items.0.memory"), NULL, 10) > 0);
	id = wire_text(t, &a, "items.0.id");
	a = wire(t, admin, ar_printf(t->pool, "GET /functions/f/runs/%s", id), "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "id"), id);
	assert_string_equal(wire_text(t, &a, "cause"), "call");
	assert_answer(wire(t, admin, ar_printf(t->pool, "GET /functions/g/runs/%s", id), ""), 404,
		      "not-found");
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE input LIKE "
				       "'%geheim99%' OR output LIKE '%geheim99%' OR error LIKE "
				       "'%geheim99%' OR logs LIKE '%geheim99%'"),
			 0);
}

TEST(keeps_the_last_runs)
{
	put(t, admin, "f", "return function(i) return i end", ANYONE);
	put(t, admin, "g", "return function(i) return i end", ANYONE);
	assert_answer(call(t, NULL, "g", "{\"n\":0}"), 200, "");
	for (int i = 0; i < 1200; i++) {
		struct ar_json n = AR_J_INT(i);
		struct ar_sandbox_result result = { .output = &n };
		struct function_run_record record = { .id = ar_id(t->pool),
						      .function = AR_STR("f"),
						      .version = AR_STR("v"),
						      .cause = "call",
						      .result = &result,
						      .created_ms = ar_now_ms() };

		function_run_record(t->tenant, &record);
		if (i == 500)
			runs_of(t, admin, "f", 500);
	}
	again.detach(); /* writes what is left */
	again.attach();
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE function = 'f'"),
			 1000);
	assert_int_equal(wire_count(t, "SELECT min(CAST(output AS BIGINT)) FROM function_runs "
				       "WHERE function = 'f'"),
			 200);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE function = 'g'"),
			 1);
}

TEST(large_values_are_cut)
{
	struct answer a;

	put(t, admin, "f", "return function() return string.rep('x', 100000) end", ANYONE);
	assert_answer(call(t, NULL, "f", "{}"), 200, "");
	a = runs_of(t, admin, "f", 1);
	assert_string_equal(wire_text(t, &a, "items.0.output"), "{\"cut\":true,\"bytes\":100002}");
}

/* ---- events ---- */

static void publish(struct wire_tenant *t, const char *topic, const char *key)
{
	struct ar_json *data = ar_json_new(t->pool, AR_OBJECT);
	struct ar_scope scope;

	ar_json_set(data, AR_STR("x"), ar_json_str(t->pool, AR_STR("你")));
	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_publish(&scope, topic, ar_str(key), data, NULL));
	assert_ok(ar_commit(&scope));
}

static void wait_for(struct wire_tenant *t, const char *sql, int64_t want)
{
	for (int i = 0; i < 6000 && wire_count(t, sql) != want; i++)
		ar_sleep(10);
	assert_int_equal(wire_count(t, sql), want);
}

TEST(events_run_functions)
{
	struct answer a;

	put(t, admin, "f", "return function(e) return e end",
	    ",\"events\":[\"thing.*\",\"other\"]");
	publish(t, "thing.made", "k");
	publish(t, "nothing", "k");
	a = runs_of(t, admin, "f", 1);
	assert_string_equal(wire_text(t, &a, "items.0.cause"), "event");
	assert_string_equal(wire_text(t, &a, "items.0.output.event"), "thing.made");
	assert_string_equal(wire_text(t, &a, "items.0.output.key"), "k");
	assert_string_equal(wire_text(t, &a, "items.0.output.data.x"), "你");
	put(t, admin, "f", "return function(e) return e end", ",\"events\":[]");
	publish(t, "other", "k");
	ar_sleep(400);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs"), 1);
}

TEST(failed_events_are_kept)
{
	struct ar_subscription s = { .name = AR_STR("s"),
				     .topics = AR_STR("again"),
				     .kind = AR_STR("function"),
				     .target = AR_STR("faulty"),
				     .max_attempts = 3 };
	struct ar_scope scope;

	put(t, admin, "faulty", "return function() error('no') end", "");
	put(t, admin, "picky", "return function() error{status = 422, message = 'no'} end",
	    ",\"events\":[\"once\"]");
	s.options = ar_json_new(t->pool, AR_OBJECT);
	ar_json_set(s.options, AR_STR("backoff"), ar_json_new(t->pool, AR_ARRAY));
	ar_json_add(ar_json_get(s.options, "backoff"), ar_json_int(t->pool, 0));
	ar_scope_init(&scope, t->tenant->db, t->pool);
	assert_ok(ar_subscribe(&scope, &s));
	assert_ok(ar_commit(&scope));
	publish(t, "again", "k");
	publish(t, "once", "k");
	wait_for(t, "SELECT count(*) FROM bus_dead", 2);
	wait_for(t, "SELECT count(*) FROM function_runs WHERE function = 'faulty'", 3);
	wait_for(t, "SELECT count(*) FROM function_runs WHERE function = 'picky'", 1);
	assert_int_equal(wire_count(t, "SELECT attempts FROM bus_dead WHERE topic = 'again'"), 3);
	assert_int_equal(wire_count(t, "SELECT attempts FROM bus_dead WHERE topic = 'once'"), 1);
}

/* Also of functions that nobody calls any more. */
TEST(old_runs_go)
{
	struct ar_scope scope;
	bool more;

	ar_scope_init(&scope, t->tenant->db, t->pool);
	for (int i = 0; i < 700; i++)
		assert_ok(ar_exec(
			&scope,
			"INSERT INTO function_runs (id, function, version, cause, status, "
			"input, logs, duration_us, cpu_us, memory, trace_id, created) VALUES "
			"(?, 'gone', 'v', 'call', 'ok', 'null', '[]', 0, 0, 0, '', ?)",
			AR_ARGS(AR_J_STR(ar_strf(t->pool, "%03d", i)),
				AR_J_INT(ar_now_ms() - (i < 600 ? 31 : 29) * 86400000LL)),
			NULL));
	assert_ok(function_sweep(&scope, AR_STR("acme"), &more));
	assert_true(more);
	assert_ok(function_sweep(&scope, AR_STR("acme"), &more));
	assert_false(more);
	assert_ok(ar_commit(&scope));
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs"), 100);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM function_runs WHERE id < '600'"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_runs),       cmocka_unit_test(keeps_the_last_runs),
		cmocka_unit_test(large_values_are_cut), cmocka_unit_test(old_runs_go),
		cmocka_unit_test(events_run_functions), cmocka_unit_test(failed_events_are_kept),
	};

	return run_all(argc, argv, tests, AR_COUNT(tests));
}
