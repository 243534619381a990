/*
 * snapshot.c - reads of one turn of the loop share a read transaction.
 *
 * Beginning and ending one costs SQLite four system calls, more than a read by key itself. So the
 * reader keeps its transaction until the loop is about to wait, or until any unit of work of that
 * file was committed since: file->commits moves before a commit is acknowledged to anybody, and it
 * is looked at before each read. No read that begins after an acknowledgement can miss it.
 */
#include "store/sqlite/sqlite_int.h"

static _Thread_local struct sqlite_db *reading;

void snapshot_turn_over(void)
{
	while (reading != NULL)
		snapshot_end(reading);
}

void snapshot_end(struct sqlite_db *db)
{
	if (!db->reading)
		return;
	db->reading = false;
	DL_DELETE(reading, db);
	if (conn_in_transaction(&db->reader))
		conn_do(&db->reader, "COMMIT");
}

int snapshot_use(struct sqlite_db *db)
{
	uint64_t commits = atomic_load(&db->file->commits);
	int rc;

	if (db->reading && db->seen == commits && conn_in_transaction(&db->reader))
		return SQLITE_OK;
	snapshot_end(db);
	rc = conn_do(&db->reader, "BEGIN");
	if (rc != SQLITE_OK)
		return rc;
	db->seen = commits;
	db->reading = true;
	DL_PREPEND(reading, db);
	return SQLITE_OK;
}
