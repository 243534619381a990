/*
 * publish.c - an event is a row of the log, written in the unit of work of what it announces.
 *
 * Topic and key are checked, the payload is printed and measured, the row is inserted; once the
 * commit is on disk the tenant's worker is woken. Nothing else happens here: who gets the event is
 * found out by the worker, so publishing costs the same whoever subscribes.
 */
#include "bus/bus_int.h"

#include <stdatomic.h>

struct wake_note {
	struct ar_str database; /* the handle's: its holder is still in the unit's fiber */
	bool look;
	int64_t due_ms;
};

static void wake_now(void *arg)
{
	const struct wake_note *note = arg;

	if (note->look)
		atomic_fetch_add_explicit(&bus_count.published, 1, memory_order_relaxed);
	bus_wake(note->database, note->look, note->due_ms);
}

int wake_after_commit(struct ar_scope *scope, bool look, int64_t due_ms)
{
	struct wake_note *note = ar_new(scope->pool, struct wake_note);

	note->database = ar_db_name(scope->db);
	note->look = look;
	note->due_ms = due_ms;
	return ar_after_commit(scope, wake_now, note);
}

int check_text(const char *field, struct ar_str s, size_t min, size_t max)
{
	if (s.n < min)
		return ar_fail_field(field, "required");
	if (s.n > max)
		return ar_fail_field(field, "too-long", "max", max == KEY_MAX ? "512" : "200");
	if (!ar_utf8_valid(s))
		return ar_fail_field(field, "encoding");
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		return ar_fail_field(field, "characters");
	return 0;
}

static const struct ar_log_context *context_now(void)
{
	static const struct ar_log_context none;
	struct ar_log_context *context = ar_log_context_use(NULL);

	ar_log_context_use(context);
	return context != NULL ? context : &none;
}

int64_t ar_bus_hops(void)
{
	return context_now()->hops;
}

int ar_publish_text(struct ar_scope *scope, const char *topic, struct ar_str key,
		    struct ar_str json, struct ar_str *ret_id)
{
	struct ar_str id = ar_id(scope->pool);
	const struct ar_log_context *context = context_now();

	if (check_text("topic", ar_str(topic), 1, TOPIC_MAX) != 0 ||
	    check_text("key", key, 0, KEY_MAX) != 0)
		return -1;
	if (hops_too_many(context->hops))
		return loop_refuse(scope, ar_str(topic), context);
	if (json.n > EVENT_BYTES_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "event");
	if (ar_exec(scope,
		    "INSERT INTO bus_event (id, topic, key, time_ms, trace_id, data, hops) "
		    "VALUES (?, ?, ?, ?, ?, ?, ?)",
		    AR_ARGS(AR_J_STR(id), AR_J_Z(topic), AR_J_STR(key), AR_J_INT(ar_now_ms()),
			    AR_J_STR(context->trace_id), AR_J_STR(json), AR_J_INT(context->hops)),
		    NULL) != 0)
		return -1;
	if (wake_after_commit(scope, true, NEVER) != 0)
		return -1;
	if (ret_id != NULL)
		*ret_id = id;
	return 0;
}

int ar_publish(struct ar_scope *scope, const char *topic, struct ar_str key,
	       const struct ar_json *data, struct ar_str *ret_id)
{
	static const struct ar_json nothing = { .type = AR_OBJECT };
	struct ar_buf *text = ar_buf_new(scope->pool, EVENT_BYTES_MAX + 32);

	if (ar_json_write(text, data != NULL ? data : &nothing) != 0)
		return ar_fail(AR_E_TOO_LARGE, "what", "event");
	return ar_publish_text(scope, topic, key, ar_buf_view(text), ret_id);
}

/* ---- an event, as it is read ---- */

void event_read(const struct ar_rows *rows, size_t column, struct event_row *ret)
{
	*ret = (struct event_row){
		.event = {
			.seq = ar_col_int(rows, column),
			.id = ar_col_str(rows, column + 1),
			.topic = ar_col_str(rows, column + 2),
			.key = ar_col_str(rows, column + 3),
			.time_ms = ar_col_int(rows, column + 4),
			.trace_id = ar_col_str(rows, column + 5),
			.hops = ar_col_int(rows, column + 7),
		},
		.data = ar_col_str(rows, column + 6),
	};
}

static const struct ar_json_limits event_limits = { EVENT_BYTES_MAX * 2, 200, 1000000 };

void event_parse(struct ar_pool *pool, struct event_row *row)
{
	if (row->parsed)
		return;
	row->parsed = true;
	/* We printed it ourselves: a text that cannot be read means a damaged database. */
	if (ar_json_parse(pool, row->data, &event_limits, &row->event.data) != 0) {
		ar_log_err(AR_ERROR, "bus", "an event's data cannot be read");
		ar_err_clear();
		row->event.data = ar_json_new(pool, AR_NULL);
	}
}

struct ar_json *event_json(struct ar_pool *pool, struct event_row *row)
{
	struct ar_json *json, *data;
	char time[AR_TIME_MAX];
	size_t n;

	if (row->json != NULL)
		return row->json;
	event_parse(pool, row);
	json = ar_json_new(pool, AR_OBJECT);
	n = ar_time_format(row->event.time_ms, time);
	ar_json_set(json, AR_STR("id"), ar_json_str(pool, row->event.id));
	ar_json_set(json, AR_STR("topic"), ar_json_str(pool, row->event.topic));
	ar_json_set(json, AR_STR("key"), ar_json_str(pool, row->event.key));
	ar_json_set(json, AR_STR("time"), ar_json_str(pool, ar_str_dup(pool, ar_str_n(time, n))));
	ar_json_set(json, AR_STR("traceId"), ar_json_str(pool, row->event.trace_id));
	ar_json_set(json, AR_STR("hops"), ar_json_int(pool, row->event.hops));
	data = ar_new(pool, struct ar_json);
	*data = *row->event.data; /* linked in here, and free to be used alone there */
	ar_json_set(json, AR_STR("data"), data);
	row->json = json;
	return json;
}

int event_from_json(struct ar_pool *pool, struct ar_str text, struct event_row *ret)
{
	struct ar_json *json, *data;

	if (ar_json_parse(pool, text, &event_limits, &json) != 0)
		return -1;
	data = ar_json_get(json, "data");
	ret->event.id = ar_json_text(json, "id", AR_STR_NONE);
	ret->event.topic = ar_json_text(json, "topic", AR_STR_NONE);
	ret->event.key = ar_json_text(json, "key", AR_STR_NONE);
	ret->event.trace_id = ar_json_text(json, "traceId", AR_STR_NONE);
	ret->event.hops = ar_json_number(json, "hops", 0);
	ar_time_parse(ar_json_text(json, "time", AR_STR_NONE), &ret->event.time_ms);
	ret->data = data != NULL ? ar_json_print(pool, data) : AR_STR("null");
	return 0;
}
