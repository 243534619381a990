CREATE TABLE function_functions (
	name TEXT PRIMARY KEY,
	version TEXT NOT NULL,
	number BIGINT NOT NULL,
	library SMALLINT NOT NULL,
	description TEXT NOT NULL,
	allow TEXT NOT NULL,
	permissions TEXT NOT NULL,
	events TEXT NOT NULL,
	limits TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE function_versions (
	id TEXT PRIMARY KEY,
	function TEXT NOT NULL REFERENCES function_functions (name) ON DELETE CASCADE,
	number BIGINT NOT NULL,
	source TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	created BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	UNIQUE (function, number)
);

CREATE TABLE function_runs (
	id TEXT PRIMARY KEY,
	function TEXT NOT NULL,
	version TEXT NOT NULL,
	cause TEXT NOT NULL,
	status TEXT NOT NULL,
	input TEXT NOT NULL,
	output TEXT,
	error TEXT,
	logs TEXT NOT NULL,
	duration_us BIGINT NOT NULL,
	cpu_us BIGINT NOT NULL,
	memory BIGINT NOT NULL,
	trace_id TEXT NOT NULL,
	created BIGINT NOT NULL
);
CREATE INDEX function_runs_function ON function_runs (function, id);
