-- What is kept for a tenant, in bytes: of the log up to the position, and of the dead letters.
ALTER TABLE bus_state ADD COLUMN log_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bus_state ADD COLUMN dead_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE bus_state SET
	log_bytes = (SELECT coalesce(sum(length(data) + 200), 0) FROM bus_event WHERE seq <= position),
	dead_bytes = (SELECT coalesce(sum(length(event) + 200), 0) FROM bus_dead);
