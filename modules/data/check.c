/*
 * check.c - what a client sends as a record, held against the collection.
 *
 * A whole record (create, replace) has every field afterwards: given, default or null. A patch is a
 * merge patch (RFC 7386); a number may be {"$inc": n}, worked out on the record that the unit of work
 * has locked. Members that the server keeps (id, created, updated) may come back in a replace or a
 * patch, and are passed over. Every member that is wrong is in the one answer.
 */
#include "data/data_int.h"

#include <assert.h>

static bool is_kept_by_server(struct ar_str name)
{
	for (size_t i = 0; data_fixed_names[i] != NULL; i++)
		if (ar_str_is(name, data_fixed_names[i]))
			return true;
	return false;
}

/* What the tables will see: the members without those of the server. -1: some are unknown; the
 * others are in ret all the same. */
static int members(struct ar_pool *pool, const struct data_collection *collection,
		   const struct ar_json *input, bool creating, struct ar_json **ret)
{
	struct ar_json *own = ar_json_new(pool, AR_OBJECT);
	int rc = 0;

	ar_json_each (m, input) {
		struct ar_json *copy = ar_new(pool, struct ar_json);

		if (is_kept_by_server(m->key)) {
			if (creating && !ar_str_is(m->key, "id"))
				rc = ar_fail_field(ar_strz(pool, m->key), "read-only");
			continue;
		}
		if (data_field_find(collection, m->key) == NULL) {
			rc = ar_fail_field(ar_strz(pool, ar_utf8_head(m->key, 100)), "unknown");
			continue;
		}
		*copy = *m;
		copy->next = NULL;
		ar_json_set(own, m->key, copy);
	}
	*ret = own;
	return rc;
}

static int run_checks(struct ar_pool *pool, const struct data_collection *collection,
		      const struct ar_json *own, unsigned flags, struct ar_json **ret)
{
	struct ar_json *part, *all = NULL;
	int rc = 0;

	flags |= AR_FIELDS_DROP_UNKNOWN | AR_FIELDS_ADD;
	for (size_t i = 0; collection->checks[i] != NULL; i++) {
		if (ar_fields_check(pool, collection->checks[i], own, flags, &part) != 0) {
			rc = -1;
			continue;
		}
		if (all == NULL) {
			all = part;
			continue;
		}
		for (struct ar_json *m = part->first, *next; m != NULL; m = next) {
			next = m->next;
			m->next = NULL;
			ar_json_set(all, m->key, m);
		}
	}
	assert(rc != 0 || all != NULL); /* a collection has a table, if an empty one */
	*ret = all;
	return rc;
}

/* Limits of JSON fields are of their text. */
static int check_json(struct ar_pool *pool, const struct data_collection *collection,
		      const struct ar_json *checked)
{
	int rc = 0;

	if (!collection->has_json)
		return 0;
	ar_json_each (m, checked) {
		const struct data_field *field = data_field_find(collection, m->key);
		int64_t max, n;

		if (field == NULL || field->type != DATA_JSON)
			continue;
		if (m->type == AR_NULL && field->required)
			rc = ar_fail_field(ar_strz(pool, m->key), "null");
		max = ar_json_number(field->definition, "max", DATA_RECORD_MAX);
		n = (int64_t)ar_json_print(pool, m).n;
		if (n > max)
			rc = ar_fail_field(ar_strz(pool, m->key), "too-long", "max",
					   ar_printf(pool, "%lld", (long long)max));
	}
	return rc;
}

size_t data_weight(const struct ar_json *value)
{
	size_t n = value->key.n + (value->key.n > 0 ? 4 : 1); /* its quotes, colon, comma */

	switch (value->type) {
	case AR_STRING:
		return n + value->s.n + 2;
	case AR_INT:
		return n + (value->i > -100 && value->i < 1000 ? 3 : 20);
	case AR_FLOAT:
		return n + 24;
	case AR_ARRAY:
	case AR_OBJECT:
		ar_json_each (m, value)
			n += data_weight(m);
		return n + 2;
	default:
		return n + 5;
	}
}

static int check_size(const struct ar_json *checked)
{
	return data_weight(checked) <= DATA_RECORD_MAX ? 0
						       : ar_fail(AR_E_TOO_LARGE, "what", "record");
}

int data_check_whole(struct ar_pool *pool, const struct data_collection *collection,
		     const struct ar_json *input, bool creating, struct ar_json **ret)
{
	struct ar_json *own, *checked;
	int rc;

	if (input->type != AR_OBJECT)
		return ar_fail_field("", "type", "type", "object");
	rc = members(pool, collection, input, creating, &own);
	rc |= run_checks(pool, collection, own, 0, &checked);
	if (rc != 0 || check_json(pool, collection, checked) != 0 || check_size(checked) != 0)
		return -1;
	for (size_t i = 0; i < collection->nfields; i++)
		if (ar_json_get_str(checked, collection->fields[i].name) == NULL)
			ar_json_set(checked, collection->fields[i].name,
				    ar_json_new(pool, AR_NULL));
	*ret = checked;
	return 0;
}

/* ---- patches ---- */

static bool is_increment(const struct data_field *field, const struct ar_json *value)
{
	return (field->type == DATA_INT || field->type == DATA_FLOAT) && value->type == AR_OBJECT &&
	       value->count == 1 && ar_str_is(value->first->key, "$inc");
}

static bool is_number(const struct ar_json *v)
{
	return v->type == AR_INT || v->type == AR_FLOAT;
}

static double as_float(const struct ar_json *v)
{
	return v->type == AR_INT ? (double)v->i : v->f;
}

/* A number that is not there yet counts as 0. */
static int increment(struct ar_pool *pool, const struct data_field *field,
		     const struct ar_json *before, const struct ar_json *by, struct ar_json *ret)
{
	static const struct ar_json zero = { .type = AR_INT };

	if (before == NULL || before->type == AR_NULL)
		before = &zero;
	if (!is_number(by) || (field->type == DATA_INT && by->type != AR_INT))
		return ar_fail_field(ar_printf(pool, "%.*s.$inc", AR_FMT(field->name)), "type",
				     "type", field->type == DATA_INT ? "integer" : "number");
	if (field->type == DATA_INT) {
		*ret = AR_J_INT(0);
		if (!__builtin_add_overflow(before->i, by->i, &ret->i))
			return 0;
	} else {
		*ret = AR_J_FLOAT(as_float(before) + as_float(by));
		if (ret->f - ret->f == 0)
			return 0;
	}
	return ar_fail_field(ar_strz(pool, field->name), "too-large", "max", "2^63-1");
}

/* The new value of one member of a patch, before it is checked. */
static int patched(struct ar_pool *pool, const struct data_field *field,
		   const struct ar_json *before, const struct ar_json *value, struct ar_json *ret)
{
	if (is_increment(field, value))
		return increment(pool, field, before, value->first, ret);
	if (field->type == DATA_JSON && value->type == AR_OBJECT) {
		struct ar_json *target = before != NULL ? ar_json_copy(pool, before) : NULL;

		*ret = *ar_json_merge(pool, target, value);
	} else {
		*ret = *value;
	}
	return 0;
}

int data_check_patch(struct ar_pool *pool, const struct data_collection *collection,
		     const struct ar_json *record, const struct ar_json *patch,
		     struct ar_json **ret)
{
	struct ar_json *own;
	int rc, wrong = 0;

	if (patch->type != AR_OBJECT)
		return ar_fail_field("", "type", "type", "object");
	rc = members(pool, collection, patch, false, &own);
	ar_json_each (m, own) {
		const struct data_field *field = data_field_find(collection, m->key);
		struct ar_json value;

		wrong |= patched(pool, field, ar_json_get_str(record, m->key), m, &value);
		if (wrong != 0)
			continue;
		value.key = m->key;
		value.next = m->next;
		*m = value;
	}
	if (wrong != 0)
		return -1;
	rc |= run_checks(pool, collection, own, AR_FIELDS_PARTIAL, ret);
	if (rc != 0 || check_json(pool, collection, *ret) != 0)
		return -1;
	return check_size(*ret);
}
