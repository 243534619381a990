-- what a reply takes, about; in the index, so that a tenant's sum reads no replies
ALTER TABLE action_reply ADD COLUMN size BIGINT NOT NULL DEFAULT 0;
UPDATE action_reply SET size = length(body) + length(headers) + 400;
DROP INDEX action_reply_created;
CREATE INDEX action_reply_created ON action_reply (created, size);
