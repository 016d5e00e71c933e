-- Times are nanoseconds since 1970, 0 for "never". Addresses are a byte 4 or 6,
-- then the bytes of the address: they sort as netip.Addr does, and a prefix is
-- a range.

-- +goose Up
CREATE TABLE runs (
    id      TEXT NOT NULL PRIMARY KEY,
    state   TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    doc     TEXT NOT NULL -- the whole exposure.Run in JSON; state and ended above win
) STRICT;
CREATE INDEX runs_started ON runs (started);

-- One row for each position that a leg rested at, in the order in which it was
-- there: a clock that jumps does not change the order.
CREATE TABLE ticks (
    run_id   TEXT NOT NULL,
    probe    TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- when it came there
    until    INTEGER NOT NULL, -- when it was last known to be there
    handed   INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    PRIMARY KEY (run_id, probe, seq)
) STRICT, WITHOUT ROWID;

-- Reserved, committed, then sent: after a crash the rows that are not settled
-- tell which hosts must not be called silent.
CREATE TABLE batches (
    run_id   TEXT NOT NULL,
    lo       INTEGER NOT NULL,
    hi       INTEGER NOT NULL, -- lo <= position < hi
    reserved INTEGER NOT NULL,
    sent     INTEGER NOT NULL,
    settled  INTEGER NOT NULL,
    PRIMARY KEY (run_id, lo)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_unsettled ON batches (run_id, lo) WHERE settled = 0;

-- Keys of the tokens in call-back paths; they die after 24 hours.
CREATE TABLE keys (
    run_id TEXT NOT NULL,
    made   INTEGER NOT NULL,
    secret BLOB NOT NULL,
    PRIMARY KEY (run_id, made)
) STRICT, WITHOUT ROWID;

-- Call-backs that were counted and not believed.
CREATE TABLE calls (
    day  TEXT NOT NULL, -- 2026-11-23, UTC
    kind TEXT NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE exclusions (
    prefix TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    who    TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row. The generation rises with every order, so that a running scan sees
-- in one small read that nothing changed.
CREATE TABLE control (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    paused     INTEGER NOT NULL,
    who        TEXT NOT NULL,
    reason     TEXT NOT NULL,
    since      INTEGER NOT NULL
) STRICT;
INSERT INTO control (id, generation, paused, who, reason, since) VALUES (1, 0, 0, '', '', 0);

CREATE TABLE exposures (
    addr       BLOB NOT NULL,
    transport  TEXT NOT NULL,
    port       INTEGER NOT NULL,
    rule       TEXT NOT NULL,
    name       TEXT NOT NULL, -- exposure.Key.Case
    severity   TEXT NOT NULL,
    condition  TEXT NOT NULL,
    since      INTEGER NOT NULL, -- when the condition was entered
    contact    TEXT NOT NULL,
    ruling     TEXT NOT NULL,
    cycle      INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    times_seen INTEGER NOT NULL,
    evidence   TEXT NOT NULL,
    last       TEXT NOT NULL, -- the observation
    country    TEXT NOT NULL,
    region     TEXT NOT NULL,
    city       TEXT NOT NULL,
    asn        INTEGER NOT NULL,
    as_name    TEXT NOT NULL,
    hostname   TEXT NOT NULL,
    simulated  INTEGER NOT NULL,
    PRIMARY KEY (addr, transport, port, rule)
) STRICT, WITHOUT ROWID;
CREATE INDEX exposures_name ON exposures (name);

CREATE TABLE transitions (
    seq       INTEGER NOT NULL PRIMARY KEY,
    addr      BLOB NOT NULL,
    transport TEXT NOT NULL,
    port      INTEGER NOT NULL,
    rule      TEXT NOT NULL,
    axis      TEXT NOT NULL,
    was       TEXT NOT NULL,
    became    TEXT NOT NULL,
    cycle     INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    evidence  TEXT NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
CREATE INDEX transitions_at ON transitions (at, seq);
CREATE INDEX transitions_addr ON transitions (addr, at, seq);

CREATE TABLE audit (
    seq    INTEGER NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
