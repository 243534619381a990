/*
 * event.c - the event log through router and door: publishing, reading, subscribing, dead letters.
 */
#include "auth/tests/people.h"
#include "event/event_int.h"
#include "function/function_int.h"
#include "workflow/workflow_int.h"

/* The bus remembers who registered; the tenant room forgets with each house. */
static int start_functions(void)
{
	static bool started;

	if (started)
		ar_tenant_slot_register(&function_slot);
	else if (function_module.start() != 0)
		return -1;
	started = true;
	return 0;
}

static int start_workflows(void)
{
	static bool started;

	if (started)
		ar_tenant_slot_register(&workflow_slot);
	else if (workflow_module.start() != 0)
		return -1;
	started = true;
	return 0;
}

static struct ar_module functions, workflows;
static const struct ar_module *const modules[] = { &auth_module, &event_module, &functions,
						   &workflows, NULL };
static void (*test_body)(struct wire_tenant *t, const char *admin);

static void with_bus(void)
{
	struct ar_loop *loop = ar_loop();
	struct wire_tenant t;

	assert_ok(workflows.attach());
	assert_ok(ar_bus_start(house.store, &loop, 1));
	t = wire_tenant("acme");
	test_body(&t, admin_token(&t));
	ar_bus_stop();
	workflows.detach();
	wire_release(&t);
}

static void run(void (*body)(struct wire_tenant *t, const char *admin))
{
	functions = function_module;
	functions.start = start_functions;
	workflows = workflow_module;
	workflows.start = start_workflows;
	test_body = body;
	wire_run(modules, with_bus);
}

#define TEST(name) TEST_IN(name, run, struct wire_tenant *t, const char *admin)

TEST(publishes)
{
	const char *user = user_with(t, admin, "user", "[\"events.publish\"]");
	const char *reader = user_with(t, admin, "reader", "[\"events.read\"]");
	struct answer a;

	a = wire(t, user, "POST /events",
		 "{\"event\":\"user_registered\",\"key\":\"k\",\"data\":{\"name\":\"李\","
		 "\"password\":\"geheim99\",\"current\":\"v1\",\"more\":[{\"refresh_token\":\"x\"}]"
		 "}}");
	assert_answer(a, 201, "");
	assert_int_equal(strlen(wire_text(t, &a, "eventId")), AR_ID_LEN);
	assert_answer(wire(t, user, "GET /events", ""), 403, "forbidden");
	a = wire(t, reader, "GET /events?filter=event%20=%20%22user_registered%22", "");
	assert_answer(a, 200, "");
	assert_string_equal(wire_text(t, &a, "items.0.event"), "user_registered");
	assert_string_equal(wire_text(t, &a, "items.0.key"), "k");
	assert_string_equal(wire_text(t, &a, "items.0.data"),
			    "{\"name\":\"李\",\"password\":\"***\",\"current\":\"v1\","
			    "\"more\":[{\"refresh_token\":\"***\"}]}");
	assert_string_equal(wire_text(t, &a, "items.1.event"), "");
	assert_answer(wire(t, reader, "POST /events", "{\"event\":\"x\"}"), 403, "forbidden");
	assert_answer(wire(t, NULL, "POST /events", "{\"event\":\"x\"}"), 401, "unauthorized");
}

TEST(refuses_events)
{
	static const struct {
		const char *body;
		int status;
		const char *code;
	} rows[] = {
		{ "{\"event\":\"auth.user.created\"}", 422, "event/reserved" },
		{ "{\"event\":\"workflow.run.finished\"}", 422, "event/reserved" },
		{ "{\"event\":\"data.x\"}", 422, "event/reserved" },
		{ "{\"event\":\"\"}", 422, "invalid" },
		{ "{\"event\":\"a b\"}", 422, "invalid" },
		{ "{\"event\":\"a*\"}", 422, "invalid" },
		{ "{\"event\":\"x\",\"data\":[]}", 422, "invalid" },
		{ "{\"event\":\"x\",\"data\":\"text\"}", 422, "invalid" },
		{ "{\"event\":\"x\",\"time\":1}", 422, "invalid" },
		{ "{\"event\":5}", 422, "invalid" },
		{ "{}", 422, "invalid" },
	};
	int64_t before = wire_count(t, "SELECT count(*) FROM bus_event");
	char *big = ar_alloc(t->pool, 300001);

	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_answer(wire(t, admin, "POST /events", rows[i].body), rows[i].status,
			      rows[i].code);
	memset(big, 'x', 300000);
	assert_answer(wire(t, admin, "POST /events",
			   ar_printf(t->pool, "{\"event\":\"x\",\"data\":{\"t\":\"%s\"}}", big)),
		      413, "too-large");
	assert_int_equal(wire_count(t, "SELECT count(*) FROM bus_event"), before);
}

static void put_workflow(struct wire_tenant *t, const char *admin, const char *name,
			 const char *more)
{
	struct wire_extra extra = { .bearer = admin, .type = "application/yaml" };
	const char *text = ar_printf(t->pool,
				     "steps: {a: {action: events.publish, event: after,"
				     " data: {n: '${input.n}'}}}\n%s",
				     more);
	struct answer a = wire_with(t, ar_printf(t->pool, "PUT /workflows/%s", name), text, &extra);

	assert_answer(a, 201, "");
}

static void wait_for(struct wire_tenant *t, const char *sql, int64_t want)
{
	for (int i = 0; i < 6000 && wire_count(t, sql) != want; i++)
		ar_sleep(10);
	assert_int_equal(wire_count(t, sql), want);
}

#define RUNS "SELECT count(*) FROM workflow_runs WHERE status = 'succeeded'"

TEST(subscribes)
{
	struct answer a;

	put_workflow(t, admin, "w", "");
	a = wire(
		t, admin, "PUT /subscriptions/s",
		"{\"topics\":\"order.*\",\"condition\":\"@event.data.n > 2\",\"kind\":\"workflow\","
		"\"target\":\"w\"}");
	assert_answer(a, 200, "");
	for (int n = 1; n <= 4; n++)
		assert_answer(wire(t, admin, "POST /events",
				   ar_printf(t->pool,
					     "{\"event\":\"order.paid\",\"data\":{\"n\":%d}}", n)),
			      201, "");
	wait_for(t, RUNS, 2);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM bus_event WHERE topic = 'after'"), 2);
	a = wire(t, admin, "GET /subscriptions", "");
	assert_string_equal(wire_text(t, &a, "items.0.name"), "s");
	assert_string_equal(wire_text(t, &a, "items.0.condition"), "@event.data.n > 2");
	assert_answer(wire(t, admin, "DELETE /subscriptions/s", ""), 204, "");
	assert_answer(wire(t, admin, "DELETE /subscriptions/s", ""), 404, "not-found");
	assert_answer(
		wire(t, admin, "POST /events", "{\"event\":\"order.paid\",\"data\":{\"n\":9}}"),
		201, "");
	ar_sleep(100);
	assert_int_equal(wire_count(t, RUNS), 2);
}

TEST(refuses_subscriptions)
{
	static const struct {
		const char *name, *body;
		int status;
		const char *code;
	} rows[] = {
		{ "s", "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"none\"}", 422,
		  "invalid" },
		{ "s", "{\"topics\":\"x\",\"kind\":\"function\",\"target\":\"w\"}", 422,
		  "invalid" },
		{ "s", "{\"topics\":\"x\",\"kind\":\"webhook\",\"target\":\"w\"}", 422, "invalid" },
		{ "s", "{\"topics\":\"x*y\",\"kind\":\"workflow\",\"target\":\"w\"}", 422,
		  "invalid" },
		{ "s", "{\"topics\":\"\",\"kind\":\"workflow\",\"target\":\"w\"}", 422, "invalid" },
		{ "s", "{\"kind\":\"workflow\",\"target\":\"w\"}", 422, "invalid" },
		{ "s",
		  "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\",\"maxAttempts\":101}",
		  422, "invalid" },
		{ "s",
		  "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\",\"condition\":\"a >\"}",
		  400, "expr/syntax" },
		{ "s",
		  "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\",\"condition\":\"a = "
		  "1\"}",
		  422, "expr/unknown-field" },
		{ "workflow.w.0", "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\"}", 422,
		  "event/name" },
		{ "function.w.0", "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\"}", 422,
		  "event/name" },
	};
	const char *some = user_with(t, admin, "some", "[\"events.subscribe\"]");
	const char *more = user_with(t, admin, "more", "[\"events.subscribe\",\"workflows.run\"]");
	static const char good[] = "{\"topics\":\"x\",\"kind\":\"workflow\",\"target\":\"w\"}";

	put_workflow(t, admin, "w", "on: y\n");
	for (size_t i = 0; i < AR_COUNT(rows); i++)
		assert_answer(wire(t, admin,
				   ar_printf(t->pool, "PUT /subscriptions/%s", rows[i].name),
				   rows[i].body),
			      rows[i].status, rows[i].code);
	assert_answer(wire(t, admin, "DELETE /subscriptions/workflow.w.0", ""), 422, "event/name");
	assert_answer(wire(t, some, "PUT /subscriptions/s", good), 403, "forbidden");
	assert_int_equal(wire_count(t, "SELECT count(*) FROM bus_subscription WHERE builtin = 0"),
			 1);
	assert_answer(wire(t, more, "PUT /subscriptions/s", good), 200, "");
}

TEST(dead_letters_come_back)
{
	struct answer a;
	const char *id;

	put_workflow(t, admin, "w", "on: y\n");
	wire_count(t, "SELECT 1");
	{ /* its workflow goes while the subscription stays: nothing can be delivered */
		struct ar_scope scope;

		ar_scope_init(&scope, t->tenant->db, t->pool);
		assert_ok(ar_exec(&scope,
				  "UPDATE bus_subscription SET target = 'gone' "
				  "WHERE builtin = 0",
				  AR_NO_ARGS, NULL));
		assert_ok(ar_exec(&scope, "UPDATE bus_state SET version = version + 1", AR_NO_ARGS,
				  NULL));
		assert_ok(ar_commit(&scope));
	}
	assert_answer(wire(t, admin, "POST /events", "{\"event\":\"y\",\"data\":{\"n\":1}}"), 201,
		      "");
	wait_for(t, "SELECT count(*) FROM bus_dead", 1);
	a = wire(t, admin, "GET /deadletters", "");
	assert_string_equal(wire_text(t, &a, "items.0.event"), "y");
	assert_string_equal(wire_text(t, &a, "items.0.attempts"), "1");
	assert_string_equal(wire_text(t, &a, "items.0.letter.data.n"), "1");
	assert_non_null(strstr(wire_text(t, &a, "items.0.error"), "not-found"));
	id = wire_text(t, &a, "items.0.id");
	put_workflow(t, admin, "gone", "");
	assert_answer(wire(t, admin, ar_printf(t->pool, "POST /deadletters/%s/redrive", id), ""),
		      204, "");
	wait_for(t, RUNS, 1);
	assert_int_equal(wire_count(t, "SELECT count(*) FROM bus_dead"), 0);
	assert_answer(wire(t, admin, ar_printf(t->pool, "POST /deadletters/%s/redrive", id), ""),
		      404, "not-found");
	assert_answer(wire(t, admin, ar_printf(t->pool, "DELETE /deadletters/%s", id), ""), 404,
		      "not-found");
	assert_answer(wire(t, admin, "DELETE /deadletters/x", ""), 422, "invalid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishes),
		cmocka_unit_test(refuses_events),
		cmocka_unit_test(subscribes),
		cmocka_unit_test(refuses_subscriptions),
		cmocka_unit_test(dead_letters_come_back),
	};

	setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check must not jump out of a fiber */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
