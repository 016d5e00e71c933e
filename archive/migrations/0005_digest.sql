-- The days' counts by all that is counted by, so that any union of sources and
-- tags is a sum: a host stands in one cell with all sources and tags that it had
-- that day. See digest.go for the bodies.

-- +goose Up
CREATE TABLE digest (
  day   INTEGER NOT NULL REFERENCES day (day),
  sheet INTEGER NOT NULL, -- see digest.go
  body  BLOB    NOT NULL,
  UNIQUE (day, sheet)
);

-- What is still there is counted again; what was pruned before has no digest. A
-- day has one if rolled > 0.
UPDATE day SET rolled = 0;

-- +goose Down
DROP TABLE digest;
