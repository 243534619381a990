/*
 * input.c - what goes into an action: read from HTTP, held against the row's table, asked for.
 *
 * From HTTP the input object is put together from path, query, headers and body; a name that comes
 * from two of them with different values is refused. Every face passes call_check_input(), which
 * replaces the input by the checked one: unknown members are refused, defaults are filled in.
 */
#include <assert.h>

#include "action/action_int.h"

#define QUERY_MAX 256 /* parameters */

static const struct ar_json_limits body_limits = { .bytes = 8u << 20,
						   .depth = 64,
						   .nodes = 200000 };

/* ---- from HTTP ---- */

static void fail_member(struct ar_pool *pool, struct ar_str name, const char *code)
{
	ar_fail_field(ar_strz(pool, ar_str_sub(name, 0, 100)), code);
}

/* A text under a name: typed by the row's field, or as it is when there is no such field. */
static int put_text(struct ar_call *call, struct ar_str name, struct ar_str text)
{
	const struct ar_action *action = call->action;
	const struct ar_field *field = action->in != NULL ? ar_fields_find(action->in, name) : NULL;

	if (field == NULL && action->flags & AR_A_LIST)
		field = ar_fields_find(list_fields, name);
	struct ar_json *value = field != NULL ? ar_field_from_text(call->pool, field, text)
					      : ar_json_str(call->pool, text);
	const struct ar_json *before = ar_json_get_str(call->input, name);

	if (before == NULL) {
		ar_json_set(call->input, name, value);
	} else if (!ar_json_equal(before, value)) {
		fail_member(call->pool, name, "duplicate");
		return -1;
	}
	return 0;
}

static bool takes_query(const struct ar_action *action, const struct ar_rest *rest,
			struct ar_str name, bool *ret_ignore)
{
	bool any = strncmp(action->route, "ANY ", 4) == 0;
	const struct ar_field *field = action->in != NULL ? ar_fields_find(action->in, name) : NULL;

	*ret_ignore = any; /* such a row reads the query itself */
	if (field != NULL && field->query)
		return true;
	return !any && (ar_str_is(rest->method, "GET") || ar_str_is(rest->method, "HEAD") ||
			ar_str_is(rest->method, "DELETE"));
}

int ar_query_next(struct ar_pool *pool, struct ar_str *rest, struct ar_str *ret_name,
		  struct ar_str *ret_value)
{
	while (rest->n > 0) {
		struct ar_str value = ar_str_cut(rest, '&'), name = ar_str_cut(&value, '=');

		if (name.n == 0 && value.n == 0)
			continue;
		if (percent_decode(pool, name, true, ret_name) != 0 ||
		    percent_decode(pool, value, true, ret_value) != 0)
			return -1;
		return 1;
	}
	return 0;
}

static int read_query(struct ar_call *call, const struct ar_rest *rest)
{
	struct ar_str left = rest->query, name, value;
	int count = 0, more;

	while ((more = ar_query_next(call->pool, &left, &name, &value)) == 1) {
		bool ignore;

		if (++count > QUERY_MAX)
			return ar_fail(AR_E_MALFORMED, "what", "query", "reason",
				       "too many parameters");
		if (!takes_query(call->action, rest, name, &ignore)) {
			if (ignore)
				continue;
			fail_member(call->pool, name, "unknown");
			return -1;
		}
		if (put_text(call, name, value) != 0)
			return -1;
	}
	return more;
}

/* application/json, or any type that ends in +json, in UTF-8. */
static bool is_json_type(struct ar_pool *pool, struct ar_str content_type)
{
	struct ar_str rest = ar_str_lower(pool, content_type);
	struct ar_str type = ar_str_trim(ar_str_cut(&rest, ';'));

	if (!ar_str_is(type, "application/json") &&
	    !(ar_str_starts(type, AR_STR("application/")) && ar_str_ends(type, AR_STR("+json"))))
		return false;
	while (rest.p != NULL) {
		struct ar_str value = ar_str_trim(ar_str_cut(&rest, ';'));
		struct ar_str name = ar_str_trim(ar_str_cut(&value, '='));

		value = ar_str_trim(value);
		if (ar_str_is(name, "charset") && !ar_str_is(value, "utf-8") &&
		    !ar_str_is(value, "\"utf-8\""))
			return false;
	}
	return true;
}

static int read_json(struct ar_call *call, const struct ar_rest *rest)
{
	struct ar_json *body;

	if (rest->body.n == 0)
		return 0;
	if (!is_json_type(call->pool, rest->content_type))
		return ar_fail(AR_E_MEDIA_TYPE, "wanted", "application/json");
	if (ar_json_parse(call->pool, rest->body, &body_limits, &body) != 0)
		return -1;
	if (call->action->body != NULL) {
		ar_json_set(call->input, ar_str(call->action->body), body);
		return 0;
	}
	if (body->type != AR_OBJECT)
		return ar_fail_field("", "type", "type", "object");
	call->input = body;
	return 0;
}

static bool has_json_body(const struct ar_call *call, const struct ar_rest *rest)
{
	return !(call->action->flags & AR_A_RAW_IN) &&
	       (ar_str_is(rest->method, "POST") || ar_str_is(rest->method, "PUT") ||
		ar_str_is(rest->method, "PATCH") || ar_str_is(rest->method, "DELETE"));
}

/* An empty condition is no condition that somebody meant: a client that lost its tag. */
static int read_condition(struct ar_call *call, const char *name, struct ar_str value)
{
	if (value.p == NULL || call->action->in == NULL ||
	    ar_fields_find(call->action->in, ar_str(name)) == NULL)
		return 0;
	if (value.n == 0)
		return ar_fail_field(name, "required");
	return put_text(call, ar_str(name), value);
}

static int read_headers(struct ar_call *call, const struct ar_rest *rest)
{
	return read_condition(call, "ifMatch", rest->if_match) != 0
		       ? -1
		       : read_condition(call, "ifNoneMatch", rest->if_none_match);
}

int ar_rest_input(struct ar_call *call, const struct ar_rest *rest)
{
	call->action = rest->match->action;
	call->input = ar_json_new(call->pool, AR_OBJECT);
	call->subpath = rest->match->rest;
	if (call->action->flags & AR_A_RAW_IN)
		call->body = rest->body;
	if (has_json_body(call, rest) && read_json(call, rest) != 0)
		return -1;
	for (size_t i = 0; i < rest->match->nparams; i++) {
		struct ar_str name = rest->match->params[i].name;

		if (call->action->in == NULL || ar_fields_find(call->action->in, name) == NULL)
			continue; /* a {rest...} that only call->subpath carries */
		if (put_text(call, name, rest->match->params[i].value) != 0)
			return -1;
	}
	return read_headers(call, rest) != 0 ? -1 : read_query(call, rest);
}

/* ---- the check at the door ---- */

static const struct ar_field no_fields[] = { { 0 } };

/* A list's own fields and the list's common ones are two tables: split, check, join. */
static int check_list(struct ar_call *call, const struct ar_field *in, struct ar_json **ret)
{
	struct ar_json *own = ar_json_new(call->pool, AR_OBJECT);
	struct ar_json *common = ar_json_new(call->pool, AR_OBJECT), *checked;

	ar_json_each (member, call->input) {
		bool mine = ar_fields_find(in, member->key) != NULL;
		struct ar_json *copy = ar_new(call->pool, struct ar_json);

		*copy = *member;
		copy->next = NULL;
		if (!mine && ar_fields_find(list_fields, member->key) != NULL)
			ar_json_set(common, member->key, copy);
		else
			ar_json_set(own, member->key, copy);
	}
	if (ar_fields_check(call->pool, in, own, 0, ret) != 0 ||
	    ar_fields_check(call->pool, list_fields, common, 0, &checked) != 0)
		return -1;
	for (struct ar_json *member = checked->first, *next; member != NULL; member = next) {
		next = member->next;
		member->next = NULL;
		ar_json_set(*ret, member->key, member);
	}
	return 0;
}

int call_check_input(struct ar_call *call)
{
	const struct ar_action *action = call->action;
	const struct ar_field *in = action->in != NULL ? action->in : no_fields;
	struct ar_json *checked;

	if (call->input == NULL)
		call->input = ar_json_new(call->pool, AR_OBJECT);
	if (call->input->type != AR_OBJECT)
		return ar_fail_field("", "type", "type", "object");
	if (action->flags & AR_A_LIST) {
		if (check_list(call, in, &checked) != 0)
			return -1;
	} else if (ar_fields_check(call->pool, in, call->input, 0, &checked) != 0) {
		return -1;
	}
	call->input = checked;
	return 0;
}

/* ---- for the row's function ---- */

int ar_input(struct ar_call *call, void *ret_struct, uint64_t *ret_present)
{
	return ar_fields_decode(call->pool, call->action->in, call->input, ret_struct, ret_present);
}

struct ar_json *ar_in(struct ar_call *call, const char *name)
{
	struct ar_json *value = ar_json_get(call->input, name);

	return value != NULL && value->type != AR_NULL ? value : NULL;
}

struct ar_str ar_in_str(struct ar_call *call, const char *name)
{
	return ar_json_text(call->input, name, AR_STR_NONE);
}

int64_t ar_in_int(struct ar_call *call, const char *name, int64_t otherwise)
{
	return ar_json_number(call->input, name, otherwise);
}

bool ar_in_bool(struct ar_call *call, const char *name, bool otherwise)
{
	return ar_json_truth(call->input, name, otherwise);
}

int ar_in_names(struct ar_call *call, const char *name, struct ar_str *names, size_t max,
		size_t *ret_count)
{
	struct ar_str left = ar_in_str(call, name);
	size_t count = 0;

	while (left.n > 0) {
		struct ar_str one = ar_str_trim(ar_str_cut(&left, ','));

		if (one.n == 0)
			continue;
		if (count == max)
			return ar_fail_field(name, "too-many", "max",
					     ar_printf(call->pool, "%zu", max));
		names[count++] = one;
	}
	*ret_count = count;
	return 0;
}
