CREATE TABLE workflow_workflows (
	name TEXT PRIMARY KEY,
	version TEXT NOT NULL,
	number BIGINT NOT NULL,
	description TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE workflow_versions (
	id TEXT PRIMARY KEY,
	workflow TEXT NOT NULL REFERENCES workflow_workflows (name) ON DELETE CASCADE,
	number BIGINT NOT NULL,
	definition TEXT NOT NULL,
	source TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	created BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	UNIQUE (workflow, number)
);

CREATE TABLE workflow_runs (
	id TEXT PRIMARY KEY,
	workflow TEXT NOT NULL,
	version TEXT NOT NULL,
	status TEXT NOT NULL,
	input TEXT NOT NULL,
	output TEXT,
	error TEXT,
	cause TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	wake BIGINT,
	created BIGINT NOT NULL,
	finished BIGINT
);
CREATE INDEX workflow_runs_status ON workflow_runs (status, id);
CREATE INDEX workflow_runs_workflow ON workflow_runs (workflow, id);

CREATE TABLE workflow_steps (
	run_id TEXT NOT NULL REFERENCES workflow_runs (id) ON DELETE CASCADE,
	step TEXT NOT NULL,
	status TEXT NOT NULL,
	attempt BIGINT NOT NULL,
	output TEXT,
	error TEXT,
	next_ms BIGINT,
	started BIGINT NOT NULL,
	finished BIGINT,
	PRIMARY KEY (run_id, step)
);
