/*
 * demo.c - sample content of the demo tenant: the collection that the registration workflow holds its
 * input against, and one to play with. Made when missing, never changed. Notes are made once, and do
 * not come back when they were deleted. Each is a commit of its own, so a start that was killed is
 * finished by the next one: notes have fixed ids, those there are passed over, and the mark comes last.
 */
#include "data/data_int.h"

#define DONE "data.demo" /* the mark, a setting: the notes are made */

static const struct sample {
	const char *action, *input;
	const char *collection; /* made unless there is one of this name */
} samples[] = {
	{ "data.create_collection",
	  "{\"name\":\"registrations\",\"fields\":["
	  "{\"name\":\"email\",\"type\":\"email\",\"required\":true},"
	  "{\"name\":\"name\",\"type\":\"text\",\"required\":true,\"min\":1,\"max\":200},"
	  "{\"name\":\"password\",\"type\":\"text\",\"min\":8,\"max\":200},"
	  "{\"name\":\"locale\",\"type\":\"text\",\"max\":35}]}",
	  "registrations" },
	{ "data.create_collection",
	  "{\"name\":\"notes\",\"fields\":["
	  "{\"name\":\"title\",\"type\":\"text\",\"required\":true,\"min\":1,\"max\":200,"
	  "\"indexed\":true},"
	  "{\"name\":\"body\",\"type\":\"text\"},"
	  "{\"name\":\"done\",\"type\":\"bool\",\"default\":false},"
	  "{\"name\":\"priority\",\"type\":\"int\",\"min\":1,\"max\":5,\"default\":3,\"indexed\":"
	  "true},"
	  "{\"name\":\"tags\",\"type\":\"select\",\"multiple\":true,"
	  "\"values\":[\"home\",\"work\",\"idea\"]},"
	  "{\"name\":\"due\",\"type\":\"date\"},"
	  "{\"name\":\"owner\",\"type\":\"text\",\"indexed\":true}],"
	  "\"rules\":{\"list\":\"owner = @auth.id || owner = null\","
	  "\"view\":\"owner = @auth.id || owner = null\",\"create\":\"owner = @auth.id\","
	  "\"update\":\"owner = @auth.id\",\"delete\":\"owner = @auth.id\"}}",
	  "notes" },
};

static const char *const notes[] = {
	"{\"id\":\"01a00000-0000-7000-8000-000000000001\",\"title\":\"Welcome\",\"body\":"
	"\"Everybody may read this note\",\"tags\":[\"idea\"]}",
	"{\"id\":\"01a00000-0000-7000-8000-000000000002\",\"title\":\"买牛奶\",\"priority\":1,"
	"\"tags\":[\"home\"],\"due\":\"2026-12-01\"}",
	"{\"id\":\"01a00000-0000-7000-8000-000000000003\",\"title\":\"Write the first "
	"workflow\",\"priority\":2,\"tags\":[\"work\",\"idea\"]}",
};

static AR_YIELDS int make(struct ar_call *call, const char *action, struct ar_json *input)
{
	struct ar_invoke invoke = { .tenant = call->tenant,
				    .who = &ar_who_system,
				    .face = AR_FACE_SYSTEM,
				    .action = ar_str(action),
				    .input = input };
	struct ar_json *ignored;

	return ar_action_invoke(call->pool, &invoke, &ignored);
}

static AR_YIELDS int make_notes(struct ar_call *call)
{
	for (size_t i = 0; i < AR_COUNT(notes); i++) {
		struct ar_json *input = ar_json_new(call->pool, AR_OBJECT), *data;

		if (ar_json_parse(call->pool, ar_str(notes[i]), NULL, &data) != 0)
			return -1;
		ar_json_set(input, AR_STR("collection"), ar_json_str(call->pool, AR_STR("notes")));
		ar_json_set(input, AR_STR("data"), data);
		if (make(call, "data.create_record", input) != 0) {
			if (!ar_err_is(DATA_E_UNIQUE))
				return -1;
			ar_err_clear();
		}
	}
	return 0;
}

AR_YIELDS int data_demo(struct ar_call *call)
{
	const struct data_schema *schema;
	struct ar_json *input, *done;

	if (data_schema_get(call, &schema) != 0 ||
	    ar_setting_get(call->tenant, call->pool, DONE, &done) != 0)
		return -1;
	for (size_t i = 0; i < AR_COUNT(samples); i++) {
		if (data_schema_find(schema, ar_str(samples[i].collection)) != NULL)
			continue;
		if (ar_json_parse(call->pool, ar_str(samples[i].input), NULL, &input) != 0 ||
		    make(call, samples[i].action, input) != 0)
			return -1;
	}
	if (done != NULL)
		return 0;
	if (make_notes(call) != 0)
		return -1;
	return ar_setting_set(call->tenant, &call->scope, DONE, ar_json_bool(call->pool, true));
}
