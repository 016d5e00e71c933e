-- What was answered to a program that may ask the same again, because it did not
-- hear the answer.

-- +goose Up
CREATE TABLE repeats (
    caller TEXT NOT NULL,
    word   TEXT NOT NULL, -- its Idempotency-Key
    digest BLOB NOT NULL, -- SHA-256 of what it asked
    at     INTEGER NOT NULL,
    status INTEGER NOT NULL, -- 0: it is still being worked on
    kind   TEXT NOT NULL, -- content type
    body   BLOB NOT NULL,
    PRIMARY KEY (caller, word)
) STRICT, WITHOUT ROWID;
CREATE INDEX repeats_at ON repeats (at);

-- +goose Down
DROP TABLE repeats;
