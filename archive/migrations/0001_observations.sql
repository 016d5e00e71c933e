-- Everything that repeats stands in a dictionary once; an observation row is a
-- reference to what its host looked like (face) and the values that move (pack).
-- What a stranger chose is a BLOB, so that NUL and bytes that are not UTF-8 stay.
-- Foreign keys are declared for the doctor and not enforced on every insert.

-- +goose Up
CREATE TABLE run (
  id    INTEGER PRIMARY KEY,
  name  BLOB    NOT NULL UNIQUE,
  base  INTEGER NOT NULL, -- Unix nanoseconds; observation.observed counts from here
  first INTEGER NOT NULL, -- bounds of the observation times, Unix nanoseconds
  last  INTEGER NOT NULL
);

CREATE TABLE door (
  id        INTEGER PRIMARY KEY,
  port      INTEGER NOT NULL,
  transport BLOB    NOT NULL,
  probe     BLOB    NOT NULL,
  UNIQUE (port, transport, probe)
);

CREATE TABLE kind (
  id        INTEGER PRIMARY KEY,
  v         INTEGER NOT NULL,
  source    BLOB    NOT NULL,
  vantage   BLOB    NOT NULL,
  transport BLOB    NOT NULL,
  verdict   BLOB    NOT NULL,
  simulated INTEGER NOT NULL,
  cups      INTEGER NOT NULL, -- the observation has a CUPS part
  UNIQUE (v, source, vantage, transport, verdict, simulated, cups)
);

CREATE TABLE place (
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE,
  country  BLOB    NOT NULL,
  region   BLOB    NOT NULL,
  city     BLOB    NOT NULL,
  asn      INTEGER NOT NULL,
  as_name  BLOB    NOT NULL,
  hostname BLOB    NOT NULL
);

CREATE TABLE tag (
  id   INTEGER PRIMARY KEY,
  name BLOB    NOT NULL UNIQUE
);

CREATE TABLE tagset (
  id   INTEGER PRIMARY KEY,
  body BLOB    NOT NULL UNIQUE -- the worst severity and the sorted rule ids
);

CREATE TABLE tagset_tag (
  tagset INTEGER NOT NULL REFERENCES tagset (id),
  tag    INTEGER NOT NULL REFERENCES tag (id),
  PRIMARY KEY (tagset, tag)
) WITHOUT ROWID;

-- The stable part of an observation. A body with a base is what differs from
-- the base's; a base has none itself.
CREATE TABLE content (
  id   INTEGER PRIMARY KEY,
  hash BLOB    NOT NULL UNIQUE, -- SHA-256 of the plain body, 16 bytes
  stem INTEGER NOT NULL,        -- bodies of one stem are much alike
  base INTEGER REFERENCES content (id),
  form INTEGER NOT NULL,        -- of the body; see form/body.go
  body BLOB    NOT NULL
);
CREATE INDEX content_stem ON content (stem) WHERE base IS NULL;

CREATE TABLE face (
  id      INTEGER PRIMARY KEY,
  hash    BLOB    NOT NULL UNIQUE,
  content INTEGER NOT NULL REFERENCES content (id),
  place   INTEGER NOT NULL REFERENCES place (id),
  kind    INTEGER NOT NULL REFERENCES kind (id),
  tags    INTEGER NOT NULL REFERENCES tagset (id)
);

CREATE TABLE observation (
  run      INTEGER NOT NULL REFERENCES run (id),
  key      BLOB    NOT NULL, -- address, door, attempt; see form/key.go
  observed INTEGER NOT NULL, -- nanoseconds after run.base
  face     INTEGER NOT NULL REFERENCES face (id),
  pack     BLOB    NOT NULL, -- what moves; see form/volatile.go
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

-- Ids that are not the hash of run, target, probe and attempt: rows of feeds.
CREATE TABLE known (
  id BLOB PRIMARY KEY
) WITHOUT ROWID;

-- One row a UTC day that has observations. It must be rolled up again while
-- changed > rolled.
CREATE TABLE day (
  day     INTEGER PRIMARY KEY, -- days since 1970-01-01
  changed INTEGER NOT NULL,    -- counts the writes to the day
  rolled  INTEGER NOT NULL     -- changed, as the rollup saw it
);

-- Distinct addresses and observations by country and ASN. tag 0 is any
-- observation that spoke. source 0 is a correction: an address that k sources
-- saw stands there as 1-k, so that the sum over all rows counts it once.
CREATE TABLE rollup (
  day    INTEGER NOT NULL REFERENCES day (day),
  tag    INTEGER NOT NULL, -- tag.id
  source INTEGER NOT NULL, -- tag.id of the source's name
  body   BLOB    NOT NULL, -- see rollup.go
  PRIMARY KEY (day, tag, source)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE rollup;
DROP TABLE day;
DROP TABLE known;
DROP TABLE observation;
DROP TABLE face;
DROP TABLE content;
DROP TABLE tagset_tag;
DROP TABLE tagset;
DROP TABLE tag;
DROP TABLE place;
DROP TABLE kind;
DROP TABLE door;
DROP TABLE run;
