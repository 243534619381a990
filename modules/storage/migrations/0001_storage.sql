CREATE TABLE storage_buckets (
	name TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	read_rule TEXT,
	write_rule TEXT,
	delete_rule TEXT,
	list_rule TEXT,
	max_size BIGINT NOT NULL,
	max_objects BIGINT NOT NULL,
	max_bytes BIGINT NOT NULL,
	types TEXT NOT NULL,
	objects BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE storage_objects (
	id TEXT PRIMARY KEY,
	bucket TEXT NOT NULL REFERENCES storage_buckets (name),
	key TEXT NOT NULL,
	size BIGINT NOT NULL,
	type TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	owner TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	UNIQUE (bucket, key)
);
