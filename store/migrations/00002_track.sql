-- What the life cycle adds to a case: the device behind it, the proofs of a fix,
-- the words of a verdict, and where the device went.

-- +goose Up
ALTER TABLE exposures ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE exposures ADD COLUMN cleared_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exposures ADD COLUMN silent_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exposures ADD COLUMN ruled_by TEXT NOT NULL DEFAULT '';
ALTER TABLE exposures ADD COLUMN ruled_why TEXT NOT NULL DEFAULT '';
ALTER TABLE exposures ADD COLUMN ruled_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exposures ADD COLUMN assignee TEXT NOT NULL DEFAULT '';
ALTER TABLE exposures ADD COLUMN moved_to TEXT NOT NULL DEFAULT '';   -- address in text
ALTER TABLE exposures ADD COLUMN moved_from TEXT NOT NULL DEFAULT '';
CREATE INDEX exposures_device ON exposures (device) WHERE device <> '';
CREATE INDEX exposures_asn ON exposures (asn) WHERE asn <> 0;
CREATE INDEX exposures_country ON exposures (country) WHERE country <> '';
CREATE INDEX exposures_accepted ON exposures (ruled_until) WHERE ruling = 'accepted';
