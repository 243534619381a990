-- The log. seq is drawn before the commit: the reader waits where one is missing (gap.c).
CREATE TABLE bus_event (
	seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id TEXT NOT NULL,
	topic TEXT NOT NULL,
	key TEXT NOT NULL,
	time_ms BIGINT NOT NULL,
	trace_id TEXT NOT NULL,
	data TEXT NOT NULL
);

-- One row: how far the log was handed out, and a number that moves with every change of who gets it.
CREATE TABLE bus_state (
	id BIGINT PRIMARY KEY CHECK (id = 1),
	position BIGINT NOT NULL,
	version BIGINT NOT NULL
);
INSERT INTO bus_state (id, position, version) VALUES (1, 0, 0);

CREATE TABLE bus_subscription (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	builtin BIGINT NOT NULL,
	topics TEXT NOT NULL,
	condition TEXT NOT NULL,
	kind TEXT NOT NULL,
	target TEXT NOT NULL,
	options TEXT NOT NULL,
	max_attempts BIGINT NOT NULL,
	from_seq BIGINT NOT NULL
);

-- What is still to be delivered. due_ms NULL: waits behind an earlier one with its key. event: a
-- copy, for one that came back from the dead letters and may have outlived the log.
CREATE TABLE bus_delivery (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	subscription BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	key TEXT NOT NULL,
	attempt BIGINT NOT NULL,
	due_ms BIGINT,
	error TEXT,
	event TEXT
);
CREATE INDEX bus_delivery_due ON bus_delivery (subscription, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX bus_delivery_key ON bus_delivery (subscription, key, id) WHERE key <> '';

CREATE TABLE bus_dead (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	subscription TEXT NOT NULL,
	seq BIGINT NOT NULL,
	topic TEXT NOT NULL,
	key TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	error TEXT NOT NULL,
	time_ms BIGINT NOT NULL,
	event TEXT NOT NULL
);

CREATE TABLE bus_timer (
	id TEXT PRIMARY KEY,
	due_ms BIGINT NOT NULL,
	kind TEXT NOT NULL,
	data TEXT NOT NULL,
	attempt BIGINT NOT NULL
);
CREATE INDEX bus_timer_due ON bus_timer (due_ms);
