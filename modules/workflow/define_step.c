/*
 * define_step.c - the parts of one step: its action, its input, when, how often, how long.
 *
 * A step says `service` and `action` (or `action: "auth.create_user"`). Its own words are in `words`
 * below; every other member is an input of the action, and so are the members of `input`. Where the
 * action itself has an input of that name (a function's), `input` is that.
 */
#include "workflow/workflow_int.h"

#define RETRY_DEFAULT                                                                              \
	{                                                                                          \
		.attempts = 5, .delay_ms = 1000, .max_delay_ms = 60000, .backoff = 2.0             \
	}
#define DURATION_MAX (INT64_C(365) * 24 * 3600 * 1000)

bool workflow_duration(const struct ar_json *value, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }
	};
	int64_t n = -1, ms = 1;

	if (value->type == AR_INT)
		n = value->i;
	for (size_t i = 0; i < AR_COUNT(units) && value->type == AR_STRING; i++) {
		struct ar_str unit = ar_str(units[i].unit);

		ms = units[i].ms;
		if (ar_str_ends(value->s, unit) &&
		    ar_str_int(ar_str_sub(value->s, 0, value->s.n - unit.n), &n))
			break;
	}
	if (n < 0 || n > DURATION_MAX / ms)
		return false;
	*ret_ms = n * ms;
	return true;
}

static int action_read(struct workflow_graph *graph, struct workflow_step *step,
		       const struct ar_json *json, const struct workflow_where *where)
{
	struct ar_str service = AR_STR(""), action = AR_STR("");

	if (workflow_text(json, "service", where, &service) != 0 ||
	    workflow_text(json, "action", where, &action) != 0)
		return -1;
	if (action.n == 0)
		return workflow_bad(where, "action is missing");
	action = ar_str_sub(action, 0, 200);
	if (service.n > 0)
		action = ar_strf(graph->pool, "%.*s.%.*s", AR_FMT(ar_str_sub(service, 0, 200)),
				 AR_FMT(action));
	step->action = ar_action_find(action);
	if (step->action == NULL)
		return ar_fail(AR_E_ACTION_UNKNOWN, "action", ar_strz(graph->pool, action));
	if (step->action->flags & (AR_A_REST_ONLY | AR_A_PLATFORM | AR_A_SECRET_OUT))
		return ar_fail(AR_E_ACTION_FACE, "action", ar_strz(graph->pool, action));
	return 0;
}

/* ---- retry ---- */

static int retry_members(struct workflow_step *step, const struct ar_json *retry,
			 const struct workflow_where *where)
{
	const struct ar_json *most = ar_json_get(retry, "max_delay");

	ar_json_each (m, retry) {
		struct workflow_where at = { .in = where, .name = m->key };

		if (ar_str_is(m->key, "attempts")) {
			if (m->type != AR_INT)
				return workflow_bad(&at, "a whole number is wanted");
			step->retry.attempts = m->i;
		} else if (ar_str_is(m->key, "backoff")) {
			if (m->type != AR_INT && m->type != AR_FLOAT)
				return workflow_bad(&at, "a number is wanted");
			step->retry.backoff = m->type == AR_INT ? (double)m->i : m->f;
		} else if (ar_str_is(m->key, "delay")) {
			if (!workflow_duration(m, &step->retry.delay_ms))
				return workflow_bad(&at, "this is no duration, such as 30s");
		} else if (ar_str_is(m->key, "max_delay")) {
			if (!workflow_duration(m, &step->retry.max_delay_ms))
				return workflow_bad(&at, "this is no duration, such as 30s");
		} else {
			return workflow_bad(&at, "is not a part of retry");
		}
	}
	if (most == NULL)
		step->retry.max_delay_ms = AR_MAX(step->retry.max_delay_ms, step->retry.delay_ms);
	return 0;
}

static int retry_read(struct workflow_step *step, const struct ar_json *retry,
		      const struct workflow_where *in)
{
	struct workflow_where where = { .in = in, .name = AR_STR("retry") };

	step->retry = (struct workflow_retry)RETRY_DEFAULT;
	if (retry == NULL || retry->type == AR_NULL)
		return 0;
	if (retry->type == AR_INT)
		step->retry.attempts = retry->i;
	else if (retry->type != AR_OBJECT)
		return workflow_bad(&where, "a number of attempts, or an object");
	else if (retry_members(step, retry, &where) != 0)
		return -1;
	if (step->retry.attempts < 1 || step->retry.attempts > 100)
		return workflow_bad(&where, "1 to 100 attempts");
	if (!(step->retry.backoff >= 1 && step->retry.backoff <= 100))
		return workflow_bad(&where, "backoff is 1 to 100");
	return 0;
}

/* ---- options ---- */

static int when_read(const struct workflow_reader *reader, struct workflow_step *step,
		     const struct ar_json *when, const struct workflow_where *in)
{
	struct workflow_where where = { .in = in, .name = AR_STR("when") };
	struct ar_str text;

	if (when == NULL || when->type == AR_NULL)
		return 0;
	if (when->type != AR_STRING && when->type != AR_BOOL)
		return workflow_bad(&where, "an expression is wanted");
	text = when->type == AR_STRING ? when->s : when->b ? AR_STR("true") : AR_STR("false");
	return workflow_test_read(reader, text, &where, &step->when);
}

static int options_read(const struct workflow_reader *reader, struct workflow_step *step,
			const struct ar_json *json, const struct workflow_where *where)
{
	const struct ar_json *timeout = ar_json_get(json, "timeout");
	struct workflow_where at_timeout = { .in = where, .name = AR_STR("timeout") };
	struct workflow_where at_error = { .in = where, .name = AR_STR("on_error") };
	struct ar_str on_error = AR_STR("fail"), description;

	if (timeout != NULL &&
	    (!workflow_duration(timeout, &step->timeout_ms) || step->timeout_ms == 0))
		return workflow_bad(&at_timeout, "this is no duration, such as 30s");
	if (workflow_text(json, "on_error", where, &on_error) != 0 ||
	    workflow_text(json, "description", where, &description) != 0)
		return -1;
	if (!ar_str_is(on_error, "fail") && !ar_str_is(on_error, "continue"))
		return workflow_bad(&at_error, "fail or continue");
	step->goes_on = ar_str_is(on_error, "continue");
	if (when_read(reader, step, ar_json_get(json, "when"), where) != 0)
		return -1;
	return retry_read(step, ar_json_get(json, "retry"), where);
}

/* ---- input ---- */

static const char *const words[] = { "service", "action",  "depends_on", "when",        "input",
				     "retry",   "timeout", "on_error",   "description", "name" };

static bool is_word(struct ar_str key, bool named)
{
	for (size_t i = 0; i < AR_COUNT(words) - (named ? 0 : 1); i++)
		if (ar_str_is(key, words[i]))
			return true;
	return false;
}

/* Lists have inputs of their own beside the row's, and bytes come as `body`: the door checks them. */
static bool takes(const struct ar_action *action, struct ar_str name)
{
	const struct ar_field *field = action->in != NULL ? ar_fields_find(action->in, name) : NULL;

	if (field != NULL)
		return !field->read_only;
	return (action->flags & AR_A_LIST) ||
	       ((action->flags & AR_A_RAW_IN) && ar_str_is(name, "body"));
}

static int input_add(struct workflow_graph *graph, const struct workflow_step *step,
		     struct ar_json *input, const struct ar_json *member,
		     const struct workflow_where *where)
{
	struct workflow_where at = { .in = where, .name = member->key };

	if (!takes(step->action, member->key))
		return workflow_bad_name(&at, "not-taken", ar_str(step->action->name));
	if (ar_json_get_str(input, member->key) != NULL)
		return workflow_bad(&at, "is given twice");
	ar_json_set(input, member->key, ar_json_copy(graph->pool, member));
	return 0;
}

static int input_read(const struct workflow_reader *reader, struct workflow_step *step,
		      const struct ar_json *json, bool named, const struct workflow_where *where)
{
	struct workflow_where at = { .in = where, .name = AR_STR("input") };
	struct ar_json *input = ar_json_new(reader->graph->pool, AR_OBJECT);
	const struct ar_json *given = ar_json_get(json, "input");
	bool own = step->action->in != NULL &&
		   ar_fields_find(step->action->in, AR_STR("input")) != NULL;

	step->implicit = given == NULL;
	if (given != NULL && own) {
		ar_json_set(input, AR_STR("input"), ar_json_copy(reader->graph->pool, given));
	} else if (given != NULL) {
		if (given->type != AR_OBJECT)
			return workflow_bad(&at, "an object is wanted");
		ar_json_each (m, given)
			if (input_add(reader->graph, step, input, m, &at) != 0)
				return -1;
	}
	ar_json_each (m, json)
		if (!is_word(m->key, named) && input_add(reader->graph, step, input, m, where) != 0)
			return -1;
	return workflow_value_read(reader, input, where, &step->input);
}

int workflow_step_read(struct workflow_graph *graph, struct workflow_step *step,
		       const struct ar_json *json, bool named)
{
	static const struct workflow_where top = { 0 };
	struct workflow_where in = { .in = &top, .name = AR_STR("steps") };
	struct workflow_where where = { .in = &in, .name = step->name };
	struct workflow_reader reader = { graph, step };

	return action_read(graph, step, json, &where) != 0 ||
			       options_read(&reader, step, json, &where) != 0 ||
			       input_read(&reader, step, json, named, &where) != 0
		       ? -1
		       : 0;
}
