CREATE TABLE tenant_setting (
	name TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL,
	updated BIGINT NOT NULL
);
