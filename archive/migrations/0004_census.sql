-- What sensors counted, minute by minute, append-only. The body is as it is in
-- NDJSON.

-- +goose Up
CREATE TABLE census (
  id     BLOB    PRIMARY KEY,
  began  INTEGER NOT NULL, -- Unix nanoseconds
  body   BLOB    NOT NULL  -- exposure.Census in JSON
) WITHOUT ROWID;
CREATE INDEX census_began ON census (began, id);

-- +goose Down
DROP TABLE census;
