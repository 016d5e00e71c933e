-- One stranger's visits are asked for by page and API; among a million a day they
-- are not looked for one by one.

-- +goose Up
CREATE INDEX visit_addr ON visit (addr, observed, id);

-- +goose Down
DROP INDEX visit_addr;
