-- What the pages narrow and order cases by. A first sighting pays for the first
-- of these alone, at its end: who was told, decided or found closed comes later,
-- and is few among many.

-- +goose Up
CREATE INDEX exposures_worst ON exposures (severity, last_seen);
CREATE INDEX exposures_closed ON exposures (condition, severity, last_seen) WHERE condition NOT IN ('reported', 'confirmed');
CREATE INDEX exposures_told ON exposures (contact) WHERE contact <> 'none';
CREATE INDEX exposures_ruled ON exposures (ruling) WHERE ruling <> 'none';
CREATE INDEX exposures_assigned ON exposures (assignee) WHERE assignee <> '';

-- +goose Down
DROP INDEX exposures_assigned;
DROP INDEX exposures_ruled;
DROP INDEX exposures_told;
DROP INDEX exposures_closed;
DROP INDEX exposures_worst;
