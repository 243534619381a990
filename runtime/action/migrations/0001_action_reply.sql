-- replies to writes that came with an Idempotency-Key, for 24 hours
CREATE TABLE action_reply (
	caller TEXT NOT NULL,
	key TEXT NOT NULL,
	action TEXT NOT NULL,
	hash TEXT NOT NULL,
	status INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	type TEXT NOT NULL,
	headers TEXT NOT NULL,
	body TEXT NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (caller, key)
);
CREATE INDEX action_reply_created ON action_reply (created);
