/*
 * probe.h - a small module whose actions leave traces: rows of a table (exactly once, or not), lines
 * of a file (outside of the store: at least once), failures as often as asked for, and time.
 */
#ifndef WORKFLOW_TEST_PROBE_H
#define WORKFLOW_TEST_PROBE_H

#include <fcntl.h>

#include "workflow/workflow_int.h"

static char probe_file[128]; /* where effects outside of the store go */
static _Atomic int probe_running, probe_most;
static _Atomic bool probe_hold; /* slow ones are slower still, until it is false */

static inline void probe_line(struct ar_str note)
{
	char line[300];
	int fd = open(probe_file, O_WRONLY | O_APPEND | O_CREAT, 0600);
	int n = snprintf(line, sizeof(line), "%.*s\n", AR_FMT(note));

	if (write(fd, line, (size_t)n) != n)
		abort();
	close(fd);
}

/* How often a line is in the file. */
static inline int probe_lines(struct ar_str note)
{
	static char text[1 << 20];
	int fd = open(probe_file, O_RDONLY), count = 0;
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : 0;
	struct ar_str rest = ar_str_n(text, n > 0 ? (size_t)n : 0);

	if (fd >= 0)
		close(fd);
	while (rest.n > 0)
		count += ar_str_eq(ar_str_cut(&rest, '\n'), note);
	return count;
}

static inline int probe_reply(struct ar_call *call)
{
	struct ar_json *reply = ar_json_copy(call->pool, call->input);

	ar_json_remove(reply, AR_STR("secretWord"));
	return ar_reply_value(call, reply);
}

static inline int probe_note(struct ar_call *call)
{
	if (ar_exec(&call->scope, "INSERT INTO probe_notes (note) VALUES (?)",
		    AR_ARGS(AR_J_STR(ar_in_str(call, "note"))), NULL) != 0)
		return -1;
	return probe_reply(call);
}

static inline int probe_create(struct ar_call *call)
{
	struct ar_str id = ar_id(call->pool);

	if (ar_exec(&call->scope, "INSERT INTO probe_notes (note) VALUES (?)",
		    AR_ARGS(AR_J_STR(ar_in_str(call, "name"))), NULL) != 0)
		return -1;
	ar_json_set(call->input, AR_STR("id"), ar_json_str(call->pool, id));
	return probe_reply(call);
}

static inline int probe_outside(struct ar_call *call)
{
	probe_line(ar_in_str(call, "note"));
	return probe_reply(call);
}

static inline int probe_look(struct ar_call *call)
{
	return probe_reply(call);
}

static inline int probe_fail(struct ar_call *call)
{
	struct ar_str note = ar_in_str(call, "note");
	struct ar_str mark = ar_strf(call->pool, "failed %.*s", AR_FMT(note));

	if (probe_lines(mark) < ar_in_int(call, "times", 1)) {
		probe_line(mark);
		if (ar_in_int(call, "status", 503) == 503)
			return ar_fail(AR_E_UNAVAILABLE, "message", ar_strz(call->pool, note));
		return ar_fail_field("note", "pattern");
	}
	return probe_note(call);
}

static inline int probe_slow(struct ar_call *call)
{
	int rc;

	probe_running++;
	if (probe_running > probe_most)
		probe_most = probe_running;
	rc = ar_sleep(ar_in_int(call, "ms", 10));
	while (rc == 0 && probe_hold)
		rc = ar_sleep(2);
	probe_running--;
	return rc != 0 ? -1 : probe_note(call);
}

static inline int probe_large(struct ar_call *call)
{
	size_t n = (size_t)ar_in_int(call, "bytes", 0);
	char *p = ar_alloc(call->pool, n + 1);
	struct ar_json *reply = ar_json_new(call->pool, AR_OBJECT);

	memset(p, 'x', n);
	ar_json_set(reply, AR_STR("text"), ar_json_str(call->pool, ar_str_n(p, n)));
	return probe_note(call) != 0 ? -1 : ar_reply_value(call, reply);
}

#define PROBE_NOTE AR_FIELD_FREE("note", AR_F_TEXT, .max = 200, .required = true)

static const struct ar_field probe_note_in[] = {
	PROBE_NOTE,
	AR_FIELD_FREE("data", AR_F_OBJECT, .otherwise = "{}"),
	AR_FIELD_FREE("thingId", AR_F_ID),
	{ 0 },
};
static const struct ar_field probe_create_in[] = {
	AR_FIELD_FREE("name", AR_F_TEXT, .max = 200, .required = true),
	AR_FIELD_FREE("secretWord", AR_F_TEXT, .max = 200, .secret = true),
	AR_FIELD_FREE("data", AR_F_OBJECT),
	{ 0 },
};
static const struct ar_field probe_outside_in[] = {
	PROBE_NOTE,
	AR_FIELD_FREE("input", AR_F_JSON, .otherwise = "{}"),
	{ 0 },
};
static const struct ar_field probe_look_in[] = {
	AR_FIELD_FREE("collection", AR_F_TEXT, .max = 200),
	AR_FIELD_FREE("data", AR_F_JSON, .required = true),
	{ 0 },
};
static const struct ar_field probe_fail_in[] = {
	PROBE_NOTE,
	AR_FIELD_FREE("times", AR_F_INT, .min = 0),
	AR_FIELD_FREE("status", AR_F_INT, .min = 400),
	{ 0 },
};
static const struct ar_field probe_slow_in[] = {
	PROBE_NOTE,
	AR_FIELD_FREE("ms", AR_F_INT, .min = 0),
	{ 0 },
};
static const struct ar_field probe_large_in[] = {
	PROBE_NOTE,
	AR_FIELD_FREE("bytes", AR_F_INT, .min = 0),
	{ 0 },
};
static const struct ar_field probe_out[] = { { 0 } };

static const struct ar_action probe_actions[] = {
	{ "probe.note", "POST /probe/note", "probe.write", .in = probe_note_in, .out = probe_out,
	  .run = probe_note, .flags = AR_A_WRITE },
	{ "probe.create_thing", "POST /probe/things", "probe.write", .in = probe_create_in,
	  .out = probe_out, .run = probe_create, .flags = AR_A_WRITE },
	{ "probe.outside", "POST /probe/outside", "probe.act", .in = probe_outside_in,
	  .out = probe_out, .run = probe_outside, .flags = AR_A_OUTSIDE,
	  .alias = "probe-alias.outside" },
	{ "probe.look", "POST /probe/look", "probe.read", .in = probe_look_in, .out = probe_out,
	  .run = probe_look },
	{ "probe.fail", "POST /probe/fail", "probe.write", .in = probe_fail_in, .out = probe_out,
	  .run = probe_fail, .flags = AR_A_WRITE },
	{ "probe.slow", "POST /probe/slow", "probe.write", .in = probe_slow_in, .out = probe_out,
	  .run = probe_slow, .flags = AR_A_WRITE },
	{ "probe.large", "POST /probe/large", "probe.write", .in = probe_large_in, .out = probe_out,
	  .run = probe_large, .flags = AR_A_WRITE },
	{ "probe.list", "GET /probe", "probe.read", .out = probe_out, .run = probe_look,
	  .flags = AR_A_LIST },
	{ "probe.http", "POST /probe/http", AR_ALLOW_ANYONE, .out = probe_out, .run = probe_look,
	  .flags = AR_A_REST_ONLY },
	{ "probe.idle", "POST /probe/idle", AR_ALLOW_ANYONE, .out = probe_out, .run = probe_look },
	{ 0 },
};
static const struct ar_migration probe_migrations[] = {
	{ "0001_probe", "CREATE TABLE probe_notes (note TEXT NOT NULL)",
	  "CREATE TABLE probe_notes (note TEXT NOT NULL)" },
	{ 0 },
};
static const struct ar_module probe_module = { .name = "probe",
					       .actions = probe_actions,
					       .migrations = probe_migrations };

#endif
