-- How many events led here, each published by what the one before had started.
ALTER TABLE bus_event ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bus_timer ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;
