-- a tenant's collections; the records of "posts" are in the table c_posts, made with the collection
CREATE TABLE data_collections (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	definition TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created TEXT NOT NULL,
	updated TEXT NOT NULL
);
