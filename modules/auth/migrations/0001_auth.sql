CREATE TABLE auth_users (
	id TEXT PRIMARY KEY,
	email TEXT NOT NULL UNIQUE,
	name TEXT NOT NULL,
	password TEXT NOT NULL,
	locale TEXT NOT NULL,
	data TEXT NOT NULL,
	verified SMALLINT NOT NULL,
	disabled SMALLINT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE auth_roles (
	name TEXT PRIMARY KEY,
	description TEXT NOT NULL,
	created BIGINT NOT NULL
);

CREATE TABLE auth_permissions (
	name TEXT PRIMARY KEY,
	description TEXT NOT NULL
);

CREATE TABLE auth_role_permissions (
	role TEXT NOT NULL REFERENCES auth_roles (name) ON DELETE CASCADE,
	permission TEXT NOT NULL,
	PRIMARY KEY (role, permission)
);

CREATE TABLE auth_user_roles (
	user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
	role TEXT NOT NULL REFERENCES auth_roles (name) ON DELETE CASCADE,
	PRIMARY KEY (user_id, role)
);
CREATE INDEX auth_user_roles_role ON auth_user_roles (role);

CREATE TABLE auth_sessions (
	id TEXT PRIMARY KEY,
	user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
	created BIGINT NOT NULL,
	used BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	revoked BIGINT,
	address TEXT NOT NULL,
	agent TEXT NOT NULL
);
CREATE INDEX auth_sessions_user ON auth_sessions (user_id);
CREATE INDEX auth_sessions_expires ON auth_sessions (expires);

CREATE TABLE auth_refresh_tokens (
	hash TEXT PRIMARY KEY,
	session_id TEXT NOT NULL REFERENCES auth_sessions (id) ON DELETE CASCADE,
	created BIGINT NOT NULL,
	used BIGINT
);
CREATE INDEX auth_refresh_tokens_session ON auth_refresh_tokens (session_id);

CREATE TABLE auth_keys (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	hash TEXT NOT NULL,
	permissions TEXT NOT NULL,
	-- whose key it is: it ends with the user, and never gives more than the user may
	owner TEXT REFERENCES auth_users (id) ON DELETE CASCADE,
	-- the key that made it: it ends with that one
	parent TEXT REFERENCES auth_keys (id) ON DELETE CASCADE,
	created_by TEXT NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT
);
CREATE INDEX auth_keys_owner ON auth_keys (owner);
CREATE INDEX auth_keys_parent ON auth_keys (parent);

CREATE TABLE auth_signing_keys (
	kid TEXT PRIMARY KEY,
	alg TEXT NOT NULL,
	private_pem TEXT NOT NULL,
	x TEXT NOT NULL,
	y TEXT NOT NULL,
	created BIGINT NOT NULL
);
