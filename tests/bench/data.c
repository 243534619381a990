/*
 * data.c - what a record costs inside of the process: CPU time of get, list and create through the
 * action's door, with rules on and a caller without permissions. HTTP comes on top of it.
 *
 * build-release/tests/bench/bench_data [records]
 */
#include "data/tests/world.h"
#include "tests/bench/bench.h"

#define RULE "\"owner = @auth.id || open = true\""
#define COLLECTION                                                                                 \
	"{\"name\":\"items\",\"fields\":[{\"name\":\"title\",\"type\":\"text\",\"indexed\":true}," \
	"{\"name\":\"n\",\"type\":\"int\",\"indexed\":true},{\"name\":\"open\",\"type\":\"bool\"}" \
	","                                                                                        \
	"{\"name\":\"owner\",\"type\":\"text\"},{\"name\":\"body\",\"type\":\"text\"}],"           \
	"\"rules\":{\"list\":" RULE ",\"view\":" RULE ",\"create\":\"owner = @auth.id\"}}"

static AR_YIELDS void enter(struct world *w, const char *action, const char *input)
{
	struct ar_pool *pool = ar_pool_new();
	struct ar_call c = {
		.pool = pool, .tenant = w->tenant, .who = w->who, .face = AR_FACE_REST
	};

	assert_ok(ar_json_parse(pool, ar_str(input), NULL, &c.input));
	ar_scope_init(&c.scope, w->tenant->db, pool);
	assert_ok(ar_action_enter(&c, ar_action_find(ar_str(action))));
	ar_pool_free(pool);
}

static AR_YIELDS void measure(struct world *w, const char *name, int count, const char *action,
			      const char *const *inputs, int ninputs)
{
	int64_t before = cpu_us(), began = ar_mono_us();

	for (int i = 0; i < count; i++)
		enter(w, action, inputs[(i * 7919) % ninputs]);
	print_message("%-22s %8.2f us CPU %8.2f us\n", name, (double)(cpu_us() - before) / count,
		      (double)(ar_mono_us() - began) / count);
}

static const char *text(struct world *w, const char *input)
{
	char *t = ar_strz(w->pool, ar_str(input));

	for (char *p = t; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	return t;
}

static AR_YIELDS void bench(struct world *w)
{
	const char *gets[1000], *list, *filtered, *create;

	struct ar_json *ignored;
	struct ar_invoke make = { .tenant = w->tenant,
				  .who = &ar_who_system,
				  .face = AR_FACE_LUA,
				  .action = AR_STR("data.create_collection"),
				  .input = json(w, COLLECTION) };

	assert_ok(ar_action_invoke(w->pool, &make, &ignored));
	w->who = &w->ann;
	for (int i = 0; i < 5000; i++) {
		struct ar_json *r =
			GOOD(w, "data.create_record",
			     "{'collection':'items','data':{'title':'Title %d','n':%d,'open':true,"
			     "'owner':'ann','body':'lorem ipsum dolor sit amet, consectetur'}}",
			     i, i % 100);

		gets[i % 1000] = text(
			w, ar_printf(w->pool, "{'collection':'items','id':'%s'}", id_of(w, r)));
	}
	list = text(w, "{'collection':'items'}");
	filtered = text(w, "{'collection':'items','filter':'n > 10','sort':'-n'}");
	create = text(w,
		      "{'collection':'items','data':{'title':'x','n':5,'open':false,'owner':'ann',"
		      "'body':'lorem ipsum dolor sit amet'}}");
	for (int round = 0; round < 2; round++) {
		measure(w, "get", 50000, "data.get_record", gets, 1000);
		measure(w, "list 30", 20000, "data.list_records", &list, 1);
		measure(w, "list 30, filter, sort", 20000, "data.list_records", &filtered, 1);
		measure(w, "create, one by one", 5000, "data.create_record", &create, 1);
	}
}

int main(void)
{
	world(bench);
	return 0;
}
