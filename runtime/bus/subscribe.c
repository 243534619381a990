/*
 * subscribe.c - who gets which events: rows of bus_subscription, and the built-in consumers.
 *
 * A change of them moves bus_state.version in its unit of work. The worker reads the version under
 * the same lock that guards its position, so an event that was committed after a subscription is
 * always matched against it, whichever loop hears of what first.
 */
#include "bus/bus_int.h"

#include <assert.h>

#define TARGETS_MAX       32
#define SUBSCRIPTIONS_MAX 1000 /* of a tenant: each event is held against each */

static const struct ar_bus_target *targets[TARGETS_MAX + 1];
static size_t ntargets;

void ar_bus_register(const struct ar_bus_target *target)
{
	assert(ntargets < TARGETS_MAX && target_find(ar_str(target->kind)) == NULL);
	targets[ntargets++] = target;
}

const struct ar_bus_target *target_find(struct ar_str kind)
{
	for (size_t i = 0; i < ntargets; i++) {
		if (ar_str_is(kind, targets[i]->kind))
			return targets[i];
	}
	return NULL;
}

const struct ar_bus_target *target_at(size_t i)
{
	return targets[i];
}

/* ---- matching ---- */

static bool one_matches(struct ar_str pattern, struct ar_str topic)
{
	if (ar_str_is(pattern, "*"))
		return true;
	if (ar_str_ends(pattern, AR_STR(".*")))
		return ar_str_starts(topic, ar_str_sub(pattern, 0, pattern.n - 1));
	return ar_str_eq(pattern, topic);
}

bool topic_matches(struct ar_str patterns, struct ar_str topic)
{
	struct ar_str rest = patterns;

	while (rest.p != NULL) {
		if (one_matches(ar_str_trim(ar_str_cut(&rest, ',')), topic))
			return true;
	}
	return false;
}

struct ar_expr *condition_compile(struct ar_pool *pool, struct ar_str text)
{
	static const char *const roots[] = { "@event", NULL };
	static const char *const event[] = { "id",      "topic", "key",  "time",
					     "traceId", "hops",  "data", NULL };
	static const char *const *const members[] = { event };
	const struct ar_expr_names names = { .roots = roots, .members = members };
	struct ar_expr *expr;

	if (ar_expr_parse(pool, text, &expr) != 0 || ar_expr_check_test(expr, &names) != 0)
		return NULL;
	return expr;
}

/* ---- changing ---- */

/* Locks the state row too: no turn of the worker comes between this and the commit. */
static AR_YIELDS int version_move(struct ar_scope *scope)
{
	if (ar_exec(scope, "UPDATE bus_state SET version = version + 1 WHERE id = 1", AR_NO_ARGS,
		    NULL) != 0)
		return -1;
	return wake_after_commit(scope, false, 0);
}

/* Only a * of its own, or after a full stop at the end, stands for something. */
static bool patterns_good(struct ar_str patterns)
{
	struct ar_str rest = patterns;

	while (rest.p != NULL) {
		struct ar_str one = ar_str_trim(ar_str_cut(&rest, ','));
		ptrdiff_t star = ar_str_find(one, '*');

		if (one.n == 0 || (star >= 0 && (size_t)star != one.n - 1) ||
		    (star > 0 && (one.p[star - 1] != '.' || star == 1)))
			return false;
	}
	return true;
}

static int check_subscription(struct ar_pool *pool, const struct ar_subscription *s)
{
	if (check_text("name", s->name, 1, NAME_MAX_) != 0 ||
	    check_text("topics", s->topics, 1, KEY_MAX) != 0 ||
	    check_text("kind", s->kind, 1, NAME_MAX_) != 0 ||
	    check_text("target", s->target, 0, NAME_MAX_) != 0)
		return -1;
	if (!patterns_good(s->topics))
		return ar_fail_field("topics", "pattern");
	if (target_find(s->kind) == NULL || target_find(s->kind)->topics != NULL)
		return ar_fail_field("kind", "not-found");
	if (s->max_attempts < 0 || s->max_attempts > 100)
		return ar_fail_field("maxAttempts", "too-large", "max", "100");
	if (s->condition.n > 0 && condition_compile(pool, s->condition) == NULL)
		return -1;
	return 0;
}

/* Under the lock of version_move(). */
static AR_YIELDS int check_room(struct ar_scope *scope)
{
	struct ar_rows rows;

	if (ar_query(scope, &rows, "SELECT count(*) FROM bus_subscription WHERE builtin = 0",
		     AR_NO_ARGS) != 0)
		return -1;
	if (ar_rows_next(&rows) && ar_col_int(&rows, 0) < SUBSCRIPTIONS_MAX)
		return 0;
	return ar_fail_field("name", "too-many", "max", "1000");
}

static AR_YIELDS int write_row(struct ar_scope *scope, const struct ar_subscription *s,
			       int64_t from_seq)
{
	const struct ar_json empty = { .type = AR_OBJECT };
	struct ar_str options = ar_json_print(scope->pool, s->options ? s->options : &empty);
	int64_t attempts = s->max_attempts != 0 ? s->max_attempts : 10, changed = 0;

	if (ar_exec(scope,
		    "UPDATE bus_subscription SET topics = ?, condition = ?, kind = ?, target = ?, "
		    "options = ?, max_attempts = ?, from_seq = ? WHERE name = ? AND builtin = 0",
		    AR_ARGS(AR_J_STR(s->topics), AR_J_STR(s->condition), AR_J_STR(s->kind),
			    AR_J_STR(s->target), AR_J_STR(options), AR_J_INT(attempts),
			    AR_J_INT(from_seq), AR_J_STR(s->name)),
		    &changed) != 0)
		return -1;
	if (changed > 0)
		return 0;
	if (check_room(scope) != 0)
		return -1;
	return ar_exec(
		scope,
		"INSERT INTO bus_subscription (name, builtin, topics, condition, kind, "
		"target, options, max_attempts, from_seq) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)",
		AR_ARGS(AR_J_STR(s->name), AR_J_STR(s->topics), AR_J_STR(s->condition),
			AR_J_STR(s->kind), AR_J_STR(s->target), AR_J_STR(options),
			AR_J_INT(attempts), AR_J_INT(from_seq)),
		NULL);
}

int ar_subscribe(struct ar_scope *scope, const struct ar_subscription *s)
{
	struct ar_rows rows;

	if (check_subscription(scope->pool, s) != 0 || version_move(scope) != 0)
		return -1;
	if (ar_query(scope, &rows, "SELECT max(seq) FROM bus_event", AR_NO_ARGS) != 0)
		return -1;
	return write_row(scope, s, ar_rows_next(&rows) ? ar_col_int(&rows, 0) : 0);
}

int ar_unsubscribe(struct ar_scope *scope, struct ar_str name)
{
	struct ar_rows rows;
	int64_t id;

	if (ar_query(scope, &rows, "SELECT id FROM bus_subscription WHERE name = ? AND builtin = 0",
		     AR_ARGS(AR_J_STR(name))) != 0)
		return -1;
	if (!ar_rows_next(&rows))
		return 0;
	id = ar_col_int(&rows, 0);
	if (version_move(scope) != 0)
		return -1;
	if (ar_exec(scope, "DELETE FROM bus_delivery WHERE subscription = ?", AR_ARGS(AR_J_INT(id)),
		    NULL) != 0)
		return -1;
	return ar_exec(scope, "DELETE FROM bus_subscription WHERE id = ?", AR_ARGS(AR_J_INT(id)),
		       NULL);
}

/* ---- all that a target gets ---- */

static struct ar_str topic_name(struct ar_pool *pool, struct ar_str kind, struct ar_str target,
				const char *number)
{
	return ar_strf(pool, "%.*s.%.*s.%s", AR_FMT(kind), AR_FMT(target), number);
}

static bool topics_have(const struct ar_json *topics, struct ar_str topic)
{
	ar_json_each (t, topics)
		if (ar_str_eq(t->s, topic))
			return true;
	return false;
}

/* Ends those of the target's that are not wanted. What is left: their topics, their numbers. */
static AR_YIELDS int topics_keep(struct ar_scope *scope, struct ar_str kind, struct ar_str target,
				 const struct ar_json *topics, struct ar_json *kept, bool *taken)
{
	struct ar_str prefix = topic_name(scope->pool, kind, target, "");
	struct ar_rows rows;
	int64_t number;

	if (ar_query(scope, &rows,
		     "SELECT name, topics FROM bus_subscription "
		     "WHERE kind = ? AND target = ? AND builtin = 0",
		     AR_ARGS(AR_J_STR(kind), AR_J_STR(target))) != 0)
		return -1;
	while (ar_rows_next(&rows)) {
		struct ar_str name = ar_col_str(&rows, 0), topic = ar_col_str(&rows, 1);

		if (!ar_str_starts(name, prefix) ||
		    !ar_str_int(ar_str_sub(name, prefix.n, name.n), &number) || number < 0 ||
		    number >= AR_SUBSCRIBE_TOPICS_MAX)
			continue; /* somebody else's, of the same target */
		if (topics_have(topics, topic) && !topics_have(kept, topic)) {
			ar_json_add(kept, ar_json_str(scope->pool, topic));
			taken[number] = true;
		} else if (ar_unsubscribe(scope, name) != 0) {
			return -1;
		}
	}
	return 0;
}

int ar_subscribe_topics(struct ar_scope *scope, struct ar_str kind, struct ar_str target,
			const struct ar_json *topics)
{
	struct ar_json *kept = ar_json_new(scope->pool, AR_ARRAY);
	bool taken[AR_SUBSCRIBE_TOPICS_MAX + 1] = { false };
	size_t number = 0;

	if (topics_keep(scope, kind, target, topics, kept, taken) != 0)
		return -1;
	ar_json_each (topic, topics) {
		if (topics_have(kept, topic->s))
			continue;
		while (taken[number])
			number++;
		if (number == AR_SUBSCRIBE_TOPICS_MAX)
			return ar_fail_field("topics", "too-many", "max", "16");
		const char *text = ar_printf(scope->pool, "%zu", number++);
		struct ar_subscription s = { .name = topic_name(scope->pool, kind, target, text),
					     .topics = topic->s,
					     .kind = kind,
					     .target = target };

		if (ar_subscribe(scope, &s) != 0)
			return -1;
		ar_json_add(kept, ar_json_str(scope->pool, topic->s));
	}
	return 0;
}

/* ---- the worker's view ---- */

int subs_add_builtin(struct ar_scope *scope)
{
	for (size_t i = 0; i < ntargets; i++) {
		const struct ar_bus_target *t = targets[i];
		struct ar_rows rows;

		if (t->topics == NULL)
			continue;
		if (ar_query(scope, &rows,
			     "SELECT topics FROM bus_subscription WHERE builtin = 1 AND kind = ?",
			     AR_ARGS(AR_J_Z(t->kind))) != 0)
			return -1;
		if (ar_rows_next(&rows))
			continue;
		/* A colon cannot come from a subscription of the tenant's: the name is taken apart. */
		if (ar_exec(scope,
			    "INSERT INTO bus_subscription (name, builtin, topics, condition, kind, "
			    "target, options, max_attempts, from_seq) "
			    "VALUES (?, 1, ?, '', ?, '', '{}', 10, 0)",
			    AR_ARGS(AR_J_STR(ar_strf(scope->pool, "builtin:%s", t->kind)),
				    AR_J_Z(t->topics), AR_J_Z(t->kind)),
			    NULL) != 0)
			return -1;
	}
	return 0;
}

static void sub_read(const struct ar_rows *rows, struct ar_pool *pool, struct sub *sub)
{
	struct ar_str condition = ar_col_str(rows, 4);
	bool builtin = ar_col_int(rows, 2) != 0;

	sub->id = ar_col_int(rows, 0);
	sub->name = ar_str_dup(pool, ar_col_str(rows, 1));
	sub->kind = ar_str_dup(pool, ar_col_str(rows, 5));
	sub->target = target_find(sub->kind);
	if (sub->target != NULL && builtin != (sub->target->topics != NULL))
		sub->target = NULL;
	/* A built-in consumer's pattern is the program's, not the one of the day it was added. */
	sub->topics = builtin && sub->target != NULL ? ar_str(sub->target->topics)
						     : ar_str_dup(pool, ar_col_str(rows, 3));
	sub->target_name = ar_str_dup(pool, ar_col_str(rows, 6));
	if (ar_json_parse(pool, ar_str_dup(pool, ar_col_str(rows, 7)), NULL, &sub->options) != 0)
		sub->options = ar_json_new(pool, AR_OBJECT);
	sub->max_attempts = ar_col_int(rows, 8);
	sub->from_seq = ar_col_int(rows, 9);
	sub->backlog = ar_col_int(rows, 10);
	sub->next_due_ms = sub->backlog > 0 ? 0 : NEVER;
	if (condition.n > 0) {
		sub->condition = condition_compile(pool, condition);
		sub->broken = sub->condition == NULL;
	}
	if (sub->broken)
		ar_log_err(AR_ERROR, "bus", "a subscription's condition cannot be read");
}

int subs_load(struct ar_scope *scope, struct subs **ret)
{
	struct ar_rows rows;
	struct subs *subs;
	size_t n = 0;

	if (ar_query(scope, &rows,
		     "SELECT s.id, s.name, s.builtin, s.topics, s.condition, s.kind, s.target, "
		     "s.options, s.max_attempts, s.from_seq, "
		     "(SELECT count(*) FROM bus_delivery d WHERE d.subscription = s.id) "
		     "FROM bus_subscription s ORDER BY s.id",
		     AR_NO_ARGS) != 0)
		return -1;
	subs = ar_heap_new(struct subs);
	subs->pool = ar_pool_new();
	subs->refs = 1;
	subs->list = ar_new_n(subs->pool, struct sub, rows.count + 1);
	while (ar_rows_next(&rows))
		sub_read(&rows, subs->pool, &subs->list[n++]);
	subs->n = n;
	*ret = subs;
	return 0;
}

void subs_unref(struct subs *subs)
{
	if (subs == NULL || --subs->refs > 0)
		return;
	ar_pool_free(subs->pool);
	ar_heap_free(subs);
}
