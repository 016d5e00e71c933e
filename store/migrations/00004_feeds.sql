-- What came from feeds: the files, the rows that could not be read, what waits
-- until its type is known, and how fresh each feed is.

-- +goose Up
CREATE TABLE feed_files (
    seq     INTEGER NOT NULL PRIMARY KEY,
    source  TEXT NOT NULL,
    type    TEXT NOT NULL,
    file    TEXT NOT NULL,
    ref     TEXT NOT NULL, -- hash of what it was downloaded by, or ''
    begun   INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error   TEXT NOT NULL,
    rows    INTEGER NOT NULL,
    fresh   INTEGER NOT NULL,
    known   INTEGER NOT NULL,
    other   INTEGER NOT NULL,
    aside   INTEGER NOT NULL,
    day     INTEGER NOT NULL
) STRICT;
CREATE INDEX feed_files_file ON feed_files (file, source);
CREATE INDEX feed_files_ref ON feed_files (source, ref) WHERE ref <> '';

-- A row is known by its content: a file that is sent again adds none.
CREATE TABLE feed_aside (
    hash   TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    type   TEXT NOT NULL,
    file   TEXT NOT NULL,
    line   INTEGER NOT NULL,
    reason TEXT NOT NULL,
    head   BLOB NOT NULL, -- the beginning of the row, as it came
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_aside_at ON feed_aside (at, file, line);

CREATE TABLE feed_parked (
    digest TEXT NOT NULL PRIMARY KEY, -- SHA-256 of the content
    source TEXT NOT NULL,
    type   TEXT NOT NULL,
    file   TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    kept   INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed_days (
    source TEXT NOT NULL,
    type   TEXT NOT NULL,
    day    INTEGER NOT NULL, -- the last for which data came
    taken  INTEGER NOT NULL,
    PRIMARY KEY (source, type)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE feed_days;
DROP TABLE feed_parked;
DROP TABLE feed_aside;
DROP TABLE feed_files;
