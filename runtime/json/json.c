/*
 * json.c - the dynamic value: make, look up, change, copy, compare, merge.
 *
 * Members are a linked list, so that a value made from rows or by Lua costs one block a node.
 * Look-ups walk the list; what compares or checks large objects whole builds an index first, so that
 * no input makes this quadratic.
 */
#include "json/json_int.h"

struct ar_json *ar_json_new(struct ar_pool *pool, enum ar_type type)
{
	struct ar_json *value = ar_new(pool, struct ar_json);

	value->type = type;
	return value;
}

struct ar_json *ar_json_str(struct ar_pool *pool, struct ar_str s)
{
	struct ar_json *value = ar_json_new(pool, AR_STRING);

	value->s = s;
	return value;
}

struct ar_json *ar_json_int(struct ar_pool *pool, int64_t v)
{
	struct ar_json *value = ar_json_new(pool, AR_INT);

	value->i = v;
	return value;
}

struct ar_json *ar_json_bool(struct ar_pool *pool, bool v)
{
	struct ar_json *value = ar_json_new(pool, AR_BOOL);

	value->b = v;
	return value;
}

struct ar_json *ar_json_float(struct ar_pool *pool, double v)
{
	struct ar_json *value = ar_json_new(pool, AR_FLOAT);

	value->f = v;
	return value;
}

/* ---- an index of a large object ---- */

void index_init(struct index *index, size_t members)
{
	size_t slots = 32;

	while (slots < members * 2)
		slots *= 2;
	index->slots = ar_heap_alloc(slots * sizeof(struct ar_json *));
	index->mask = slots - 1;
}

void index_done(struct index *index)
{
	ar_heap_free(index->slots);
	index->slots = NULL;
}

static struct ar_json **index_slot(const struct index *index, struct ar_str key)
{
	size_t at = ar_hash(key.p, key.n) & index->mask;

	while (index->slots[at] != NULL && !ar_str_eq(index->slots[at]->key, key))
		at = (at + 1) & index->mask;
	return &index->slots[at];
}

struct ar_json *index_add(struct index *index, struct ar_json *member)
{
	struct ar_json **slot = index_slot(index, member->key);

	if (*slot != NULL)
		return *slot;
	*slot = member;
	return NULL;
}

struct ar_json *index_get(const struct index *index, struct ar_str key)
{
	return *index_slot(index, key);
}

/* ---- looking up ---- */

struct ar_json *ar_json_get_str(const struct ar_json *object, struct ar_str key)
{
	if (object == NULL || object->type != AR_OBJECT)
		return NULL;
	ar_json_each (member, object) {
		if (ar_str_eq(member->key, key))
			return member;
	}
	return NULL;
}

struct ar_json *ar_json_get(const struct ar_json *object, const char *key)
{
	return ar_json_get_str(object, ar_str(key));
}

static struct ar_json *array_at(const struct ar_json *array, struct ar_str part)
{
	int64_t at;

	if (!ar_str_int(part, &at) || at < 0 || at >= array->count)
		return NULL;
	ar_json_each (member, array) {
		if (at-- == 0)
			return member;
	}
	return NULL;
}

struct ar_json *ar_json_path(const struct ar_json *value, struct ar_str path)
{
	struct ar_str rest = path;
	const struct ar_json *at = value;

	if (path.n == 0)
		return (struct ar_json *)value;
	while (rest.p != NULL && at != NULL) {
		struct ar_str part = ar_str_cut(&rest, '.');

		if (at->type == AR_ARRAY)
			at = array_at(at, part);
		else
			at = ar_json_get_str(at, part);
	}
	return (struct ar_json *)at;
}

struct ar_str ar_json_text(const struct ar_json *object, const char *key, struct ar_str otherwise)
{
	const struct ar_json *member = ar_json_get(object, key);

	return member != NULL && member->type == AR_STRING ? member->s : otherwise;
}

int64_t ar_json_number(const struct ar_json *object, const char *key, int64_t otherwise)
{
	const struct ar_json *member = ar_json_get(object, key);

	return member != NULL && member->type == AR_INT ? member->i : otherwise;
}

bool ar_json_truth(const struct ar_json *object, const char *key, bool otherwise)
{
	const struct ar_json *member = ar_json_get(object, key);

	return member != NULL && member->type == AR_BOOL ? member->b : otherwise;
}

/* ---- changing ---- */

void ar_json_add(struct ar_json *array, struct ar_json *value)
{
	value->next = NULL;
	if (array->last != NULL)
		array->last->next = value;
	else
		array->first = value;
	array->last = value;
	array->count++;
}

void ar_json_set(struct ar_json *object, struct ar_str key, struct ar_json *value)
{
	struct ar_json *before = NULL;

	value->key = key;
	ar_json_each (member, object) {
		if (!ar_str_eq(member->key, key)) {
			before = member;
			continue;
		}
		if (member == value)
			return;
		value->next = member->next;
		if (before != NULL)
			before->next = value;
		else
			object->first = value;
		if (object->last == member)
			object->last = value;
		return;
	}
	ar_json_add(object, value);
}

bool ar_json_remove(struct ar_json *object, struct ar_str key)
{
	struct ar_json *before = NULL;

	if (object == NULL || object->type != AR_OBJECT)
		return false;
	ar_json_each (member, object) {
		if (!ar_str_eq(member->key, key)) {
			before = member;
			continue;
		}
		if (before != NULL)
			before->next = member->next;
		else
			object->first = member->next;
		if (object->last == member)
			object->last = before;
		object->count--;
		return true;
	}
	return false;
}

/* ---- whole values ---- */

struct ar_json *ar_json_copy(struct ar_pool *pool, const struct ar_json *value)
{
	struct ar_json *copy = ar_new(pool, struct ar_json);

	copy->type = value->type;
	switch (value->type) {
	case AR_STRING:
		copy->s = ar_str_dup(pool, value->s);
		break;
	case AR_ARRAY:
	case AR_OBJECT:
		ar_json_each (member, value) {
			struct ar_json *m = ar_json_copy(pool, member);

			if (value->type == AR_OBJECT)
				m->key = ar_str_dup(pool, member->key);
			ar_json_add(copy, m);
		}
		break;
	case AR_BOOL:
		copy->b = value->b;
		break;
	case AR_INT:
		copy->i = value->i;
		break;
	case AR_FLOAT:
		copy->f = value->f;
		break;
	case AR_NULL:
		break;
	}
	return copy;
}

/* Exact: a double that is no int64 equals no int, and no int is rounded to meet a double. */
static bool int_equals_float(int64_t i, double f)
{
	return f >= -0x1p63 && f < 0x1p63 && (double)(int64_t)f == f && (int64_t)f == i;
}

static bool objects_equal(const struct ar_json *a, const struct ar_json *b)
{
	const struct ar_json *n = b->first;
	struct index index = { 0 };
	bool equal = true;

	/* Mostly both have the same order; only when it differs is anything searched. */
	ar_json_each (m, a) {
		const struct ar_json *other;

		if (n != NULL && ar_str_eq(m->key, n->key)) {
			other = n;
		} else if (b->count < INDEX_FROM) {
			other = ar_json_get_str(b, m->key);
		} else {
			if (index.slots == NULL) {
				index_init(&index, b->count);
				ar_json_each (member, b)
					index_add(&index, member);
			}
			other = index_get(&index, m->key);
		}
		n = n != NULL ? n->next : NULL;
		equal = other != NULL && ar_json_equal(m, other);
		if (!equal)
			break;
	}
	if (index.slots != NULL)
		index_done(&index);
	return equal;
}

bool ar_json_equal(const struct ar_json *a, const struct ar_json *b)
{
	const struct ar_json *n;

	if (a->type == AR_INT && b->type == AR_FLOAT)
		return int_equals_float(a->i, b->f);
	if (a->type == AR_FLOAT && b->type == AR_INT)
		return int_equals_float(b->i, a->f);
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case AR_NULL:
		return true;
	case AR_BOOL:
		return a->b == b->b;
	case AR_INT:
		return a->i == b->i;
	case AR_FLOAT:
		return a->f == b->f;
	case AR_STRING:
		return ar_str_eq(a->s, b->s);
	case AR_ARRAY:
		if (a->count != b->count)
			return false;
		n = b->first;
		ar_json_each (m, a) {
			if (!ar_json_equal(m, n))
				return false;
			n = n->next;
		}
		return true;
	case AR_OBJECT:
		return a->count == b->count && objects_equal(a, b);
	}
	return false;
}

/* A member that a patch removed, until the list is swept. */
#define REMOVED ((enum ar_type)(AR_OBJECT + 1))

static void sweep(struct ar_json *object)
{
	struct ar_json *member = object->first, *next;

	object->first = object->last = NULL;
	object->count = 0;
	for (; member != NULL; member = next) {
		next = member->next;
		if (member->type != REMOVED)
			ar_json_add(object, member);
	}
}

static void merge_member(struct ar_pool *pool, struct ar_json *target, struct index *index,
			 const struct ar_json *m)
{
	struct ar_json *old =
		index != NULL ? index_get(index, m->key) : ar_json_get_str(target, m->key);
	struct ar_json *value;

	if (m->type == AR_NULL) {
		if (old != NULL)
			old->type = REMOVED;
		return;
	}
	if (m->type == AR_OBJECT && old != NULL && old->type == AR_OBJECT) {
		ar_json_merge(pool, old, m);
		return;
	}
	value = ar_json_merge(pool, NULL, m);
	if (old != NULL) { /* in its place: the list and the index stay as they are */
		value->key = old->key;
		value->next = old->next;
		*old = *value;
		return;
	}
	value->key = ar_str_dup(pool, m->key);
	ar_json_add(target, value);
	if (index != NULL)
		index_add(index, value);
}

struct ar_json *ar_json_merge(struct ar_pool *pool, struct ar_json *target,
			      const struct ar_json *patch)
{
	struct index index = { 0 };
	bool indexed;

	if (patch->type != AR_OBJECT)
		return ar_json_copy(pool, patch);
	if (target == NULL || target->type != AR_OBJECT)
		target = ar_json_new(pool, AR_OBJECT);
	indexed = (size_t)target->count + patch->count > INDEX_FROM;
	if (indexed) {
		index_init(&index, (size_t)target->count + patch->count);
		ar_json_each (member, target)
			index_add(&index, member);
	}
	ar_json_each (m, patch)
		merge_member(pool, target, indexed ? &index : NULL, m);
	if (indexed)
		index_done(&index);
	sweep(target);
	return target;
}
