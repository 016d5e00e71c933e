-- How bad an alert is that lasts: when it rises, it is told again.

-- +goose Up
ALTER TABLE alerts ADD COLUMN level INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE alerts DROP COLUMN level;
