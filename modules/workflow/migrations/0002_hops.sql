-- How many events led to the run (bus_event.hops).
ALTER TABLE workflow_runs ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;
