-- What the daemon remembers, and what is held against the prune.

-- +goose Up
CREATE TABLE jobs (
    kind      TEXT NOT NULL PRIMARY KEY,
    due       INTEGER NOT NULL, -- last time of the plan that was dealt with
    started   INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    succeeded INTEGER NOT NULL, -- end of the last run that was done
    outcome   TEXT NOT NULL,
    note      TEXT NOT NULL,
    mark      TEXT NOT NULL,    -- where it goes on: a run, for a scan
    attempts  INTEGER NOT NULL  -- begun since it last ended by itself
) STRICT, WITHOUT ROWID;

-- Who runs a kind of job. A holder is alive while beats rises; the times are for
-- people, as a clock may be set.
CREATE TABLE leases (
    kind   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    beats  INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    beat   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What an operator was alerted of; ended is 0 while it lasts.
CREATE TABLE alerts (
    seq    INTEGER NOT NULL PRIMARY KEY,
    name   TEXT NOT NULL,
    began  INTEGER NOT NULL,
    ended  INTEGER NOT NULL,
    detail TEXT NOT NULL,
    step   TEXT NOT NULL -- what to do
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (name) WHERE ended = 0;

-- Which alerter has told the beginning (phase 0) and the end (1) of an alert.
CREATE TABLE alerts_told (
    alert_seq INTEGER NOT NULL,
    via   TEXT NOT NULL,
    phase INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (alert_seq, via, phase)
) STRICT, WITHOUT ROWID;

-- Legal holds: what is of these addresses outlives its retention.
CREATE TABLE holds (
    what   TEXT NOT NULL PRIMARY KEY, -- a case or a prefix, as it was named
    prefix TEXT NOT NULL,
    reason TEXT NOT NULL,
    who    TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, written to find out whether writing is possible.
CREATE TABLE pulse (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
INSERT INTO pulse (id, at) VALUES (1, 0);

CREATE INDEX exposures_since ON exposures (condition, since);
CREATE INDEX audit_at ON audit (at);

-- +goose Down
DROP INDEX audit_at;
DROP INDEX exposures_since;
DROP TABLE pulse;
DROP TABLE holds;
DROP TABLE alerts_told;
DROP TABLE alerts;
DROP TABLE leases;
DROP TABLE jobs;
