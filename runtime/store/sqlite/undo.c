/*
 * undo.c - one unit of a group is undone, the others are not.
 *
 * A savepoint for each unit would do, and costs much: SQLite keeps a copy of every page that the
 * unit is the first to change. So units run without one, and the group keeps a log of its
 * statements with their values. A unit that fails when it has changed something takes the whole
 * transaction with it; the statements of the units before it are run again, which gives the same
 * rows: the file has one writer, and our SQL asks neither the clock nor chance. Should a statement
 * answer otherwise the second time, the group is lost rather than something else stored.
 *
 * The log is bounded, and does not hold what changes tables. Where it ends, and for some groups
 * after one unit had to be undone by it, units are `guarded`: they get their savepoint.
 */
#include "store/sqlite/sqlite_int.h"

#define LOG_STATEMENTS 512
#define LOG_BYTES      ((size_t)256 << 10)
#define CAREFUL_GROUPS 16 /* are guarded after a unit was undone by the log */

/* ---- the log ---- */

struct entry {
	struct cached *statement; /* pinned */
	int64_t changed;          /* rows, with those that the statement's triggers and keys did */
	size_t bytes;             /* of the entry with its values and their texts */
	uint32_t nvalues;
	struct ar_cell values[]; /* texts follow the last one, in order */
};

static struct entry *entry_at(const struct undo_log *log, size_t at)
{
	return (struct entry *)(void *)(log->p + at);
}

static void cut(struct undo_log *log, size_t n, unsigned statements)
{
	for (size_t at = n; at < log->n; at += entry_at(log, at)->bytes)
		entry_at(log, at)->statement->pins--;
	log->n = n;
	log->statements = statements;
}

void undo_begin_group(struct file *file)
{
	file->log.whole = file->careful == 0;
	file->careful -= file->careful > 0;
}

void undo_end_group(struct file *file)
{
	cut(&file->log, 0, 0);
}

void undo_free(struct file *file)
{
	ar_heap_free(file->log.p);
	file->log = (struct undo_log){ 0 };
}

/* Room for so many bytes, or NULL: the log ends here. */
static char *log_room(struct undo_log *log, size_t bytes)
{
	if (log->statements >= LOG_STATEMENTS || bytes > LOG_BYTES - log->n)
		return NULL;
	if (log->n + bytes > log->cap) {
		log->cap = AR_MIN(AR_MAX(log->cap * 2, log->n + bytes + 8192), LOG_BYTES);
		log->p = ar_heap_realloc(log->p, log->cap);
	}
	return log->p + log->n;
}

static void add_texts(struct entry *entry)
{
	char *text = (char *)&entry->values[entry->nvalues];

	for (uint32_t i = 0; i < entry->nvalues; i++) {
		const struct ar_cell *value = &entry->values[i];

		if (value->type != AR_STRING || value->n == 0)
			continue;
		memcpy(text, value->p, value->n);
		text += value->n;
	}
}

static void log_add(struct undo_log *log, struct cached *statement, int64_t changed,
		    const struct ar_cell *values, size_t nvalues)
{
	size_t bytes = sizeof(struct entry) + nvalues * sizeof(*values);
	struct entry *entry;

	for (size_t i = 0; i < nvalues; i++)
		bytes += values[i].type == AR_STRING ? values[i].n : 0;
	bytes = (bytes + 7) / 8 * 8;
	entry = (struct entry *)(void *)log_room(log, bytes);
	if (entry == NULL) {
		log->whole = false;
		return;
	}
	*entry = (struct entry){ statement, changed, bytes, (uint32_t)nvalues };
	if (nvalues > 0)
		memcpy(entry->values, values, nvalues * sizeof(*values));
	add_texts(entry);
	statement->pins++;
	log->n += bytes;
	log->statements++;
}

/* The texts have moved since they were noted. */
static void find_texts(struct entry *entry)
{
	const char *text = (const char *)&entry->values[entry->nvalues];

	for (uint32_t i = 0; i < entry->nvalues; i++) {
		struct ar_cell *value = &entry->values[i];

		if (value->type == AR_STRING) {
			value->p = text;
			text += value->n;
		}
	}
}

static int run_again(struct file *file)
{
	const struct undo_log *log = &file->log;
	int rc;

	for (size_t at = 0; at < log->n; at += entry_at(log, at)->bytes) {
		struct entry *entry = entry_at(log, at);

		find_texts(entry);
		rc = conn_run(&file->writer, entry->statement, entry->values, entry->nvalues);
		if (rc != SQLITE_OK)
			return rc;
		if (file->writer.changed != entry->changed)
			return SQLITE_MISMATCH;
	}
	return SQLITE_OK;
}

/* ---- units ---- */

int undo_begin(struct unit *unit)
{
	struct file *file = unit->file;

	unit->log_bytes = file->log.n;
	unit->log_statements = file->log.statements;
	return file->log.whole ? SQLITE_OK : undo_guard(unit);
}

int undo_guard(struct unit *unit)
{
	int rc = SQLITE_OK;

	if (!unit->guarded && !unit->wrote)
		rc = conn_do(&unit->file->writer, "SAVEPOINT u");
	unit->guarded = unit->guarded || (rc == SQLITE_OK && !unit->wrote);
	return rc;
}

void undo_note(struct unit *unit, struct cached *statement, const struct ar_cell *values,
	       size_t nvalues)
{
	struct file *file = unit->file;

	unit->wrote = true;
	if (file->log.whole)
		log_add(&file->log, statement, file->writer.changed, values, nvalues);
}

void undo_note_unknown(struct unit *unit)
{
	unit->wrote = true;
	unit->file->log.whole = false;
}

int undo_keep(struct unit *unit)
{
	return unit->guarded ? conn_do(&unit->file->writer, "RELEASE u") : SQLITE_OK;
}

/* The transaction ends; a new one gets what the units before this one did. */
static int undo_by_log(struct unit *unit)
{
	struct file *file = unit->file;
	int rc = conn_do(&file->writer, "ROLLBACK");

	if (rc == SQLITE_OK)
		rc = conn_do(&file->writer, "BEGIN IMMEDIATE");
	file->log.whole =
		file->log.n == 0; /* it was when the unit began: else there is a savepoint */
	if (rc == SQLITE_OK && file->log.n > 0) {
		file->careful = CAREFUL_GROUPS;
		file->store->store->count.replays++;
		rc = run_again(file);
	}
	return rc;
}

int undo_unit(struct unit *unit)
{
	struct file *file = unit->file;
	int rc = SQLITE_OK;

	cut(&file->log, unit->log_bytes, unit->log_statements);
	if (unit->guarded) {
		rc = conn_do(&file->writer, "ROLLBACK TO u");
		return rc == SQLITE_OK ? conn_do(&file->writer, "RELEASE u") : rc;
	}
	return unit->wrote ? undo_by_log(unit) : SQLITE_OK;
}
