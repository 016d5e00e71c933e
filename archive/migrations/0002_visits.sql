-- Visits of strangers at sensors, append-only. What is asked for by has a
-- column; the rest stands in the body, as it is in NDJSON. The address is in the
-- form of the keys of observations, so that a prefix is a range.

-- +goose Up
CREATE TABLE visit (
  id       BLOB    PRIMARY KEY,
  observed INTEGER NOT NULL, -- Unix nanoseconds
  addr     BLOB    NOT NULL,
  source   BLOB    NOT NULL,
  kind     BLOB    NOT NULL,
  body     BLOB    NOT NULL  -- exposure.Visit in JSON
) WITHOUT ROWID;
CREATE INDEX visit_observed ON visit (observed, id);

-- +goose Down
DROP TABLE visit;
