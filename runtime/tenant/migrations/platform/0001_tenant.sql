-- state: creating (not reachable yet), ready, deleting (no longer reachable)
CREATE TABLE tenant (
	name TEXT NOT NULL PRIMARY KEY,
	id TEXT NOT NULL,
	state TEXT NOT NULL,
	created BIGINT NOT NULL
);
