-- What is kept long enough is removed; the counts of its days stay.

-- +goose Up
-- pruned: observations of the day were removed, so it is never counted again.
ALTER TABLE day ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;

-- Rises when entries of the dictionaries are removed. A writer that finds it
-- higher than it knows forgets what it remembers of them.
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  n  INTEGER NOT NULL
);
INSERT INTO epoch (id, n) VALUES (1, 0);

-- +goose Down
DROP TABLE epoch;
ALTER TABLE day DROP COLUMN pruned;
