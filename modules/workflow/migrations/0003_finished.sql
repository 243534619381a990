-- For those that have ended long ago: they go.
CREATE INDEX workflow_runs_finished ON workflow_runs (finished) WHERE finished IS NOT NULL;
