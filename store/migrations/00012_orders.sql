-- What the audit log and the outreach queue are sorted and narrowed by on their
-- pages: each order is one index, so that a page of a year costs what the page
-- costs. Both are written by people and mails, not by packets.

-- +goose Up
CREATE INDEX audit_who ON audit (who);
CREATE INDEX audit_what ON audit (what);
CREATE INDEX outbox_party ON outbox (party, planned);
CREATE INDEX outbox_kind ON outbox (kind, planned);
CREATE INDEX outbox_next ON outbox (next);
CREATE INDEX outbox_ended ON outbox (ended);
-- The last decisions about many cases at once, and what was before: their undo.
CREATE TABLE deeds (
    seq    INTEGER NOT NULL PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    at     INTEGER NOT NULL,
    took   INTEGER NOT NULL, -- cases that took it
    others INTEGER NOT NULL, -- that did not
    undone INTEGER NOT NULL,
    back   INTEGER NOT NULL, -- cases that were undone
    was    TEXT NOT NULL     -- []store.Was in JSON
) STRICT;
-- How many cases a message has; rows of before may have none.
CREATE INDEX outbox_cases ON outbox (ifnull(json_array_length(doc, '$.exposures'), 0));

-- +goose Down
DROP INDEX outbox_cases;
DROP TABLE deeds;
DROP INDEX outbox_ended;
DROP INDEX outbox_next;
DROP INDEX outbox_kind;
DROP INDEX outbox_party;
DROP INDEX audit_what;
DROP INDEX audit_who;
