CREATE TABLE i18n_locales (
	locale TEXT PRIMARY KEY,
	fallback TEXT NOT NULL,
	is_default SMALLINT NOT NULL
);
INSERT INTO i18n_locales (locale, fallback, is_default) VALUES ('en', '', 1);

CREATE TABLE i18n_messages (
	locale TEXT NOT NULL,
	key TEXT NOT NULL,
	text TEXT NOT NULL,
	updated BIGINT NOT NULL,
	PRIMARY KEY (locale, key)
);
