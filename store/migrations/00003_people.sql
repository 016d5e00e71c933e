-- Who is responsible for what. What an import brought and what a hand edited
-- stand apart, so that the one never overwrites the other.

-- +goose Up
-- One row. The generation rises with every change, so that whoever keeps the
-- constituents in memory sees in one small read that nothing changed.
CREATE TABLE people (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO people (id, generation) VALUES (1, 0);

CREATE TABLE imports (
    kind   TEXT NOT NULL, -- constituents, customers
    source TEXT NOT NULL,
    file   TEXT NOT NULL,
    who    TEXT NOT NULL,
    at     INTEGER NOT NULL,
    done   INTEGER NOT NULL, -- 0: it was killed on its way; again, it finishes
    PRIMARY KEY (kind, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE constituents (
    name   TEXT NOT NULL,
    source TEXT NOT NULL, -- the import that said so
    doc    TEXT NOT NULL, -- exposure.Constituent in JSON
    PRIMARY KEY (name, source)
) STRICT, WITHOUT ROWID;

-- One row for each thing that a hand edited: of a field, or of one element of a
-- list. It stays whatever imports say.
CREATE TABLE edits (
    name    TEXT NOT NULL, -- of the constituent
    field   TEXT NOT NULL,
    element TEXT NOT NULL, -- of a list; '' otherwise
    value   TEXT NOT NULL,
    who     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (name, field, element)
) STRICT, WITHOUT ROWID;

-- What is known of an address hangs on the address, not on who named it: an
-- import cannot revive who opted out.
CREATE TABLE contact_status (
    contact TEXT NOT NULL, -- exposure.Recipient.Key
    status  TEXT NOT NULL, -- opt-out, invalid
    reason  TEXT NOT NULL,
    source  TEXT NOT NULL, -- how we learned of it
    who     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (contact, status)
) STRICT, WITHOUT ROWID;

-- Contacts that were looked up, for a range of addresses. A look-up that found
-- nobody is a row without contact.
CREATE TABLE lookups (
    lo      BLOB NOT NULL,
    hi      BLOB NOT NULL,
    source  TEXT NOT NULL, -- security.txt, rdap, cert
    contact TEXT NOT NULL,
    doc     TEXT NOT NULL, -- exposure.Recipient in JSON
    via     TEXT NOT NULL, -- the URL or file that said so
    at      INTEGER NOT NULL,
    expires INTEGER NOT NULL, -- 0: it does not say
    PRIMARY KEY (lo, hi, source, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE assignments (
    lo       BLOB NOT NULL, -- the first address of the prefix
    bits     INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    source   TEXT NOT NULL,
    until    INTEGER NOT NULL, -- 0: it goes on
    customer TEXT NOT NULL,
    PRIMARY KEY (lo, bits, since, source)
) STRICT, WITHOUT ROWID;
